// That what is remembered of routes and plans is what would be found out anew, whatever changes in between.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Queue } from '../../src/core/queue.ts';
import { RouteChanges, UNKNOWN } from '../../src/core/route-changes.ts';
import { Route, RouteTable } from '../../src/core/route-table.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import type { Session } from '../../src/core/session.ts';
import { hashBytes } from '../../src/lib/byte-hash.ts';
import { matchesPattern } from './bindings.ts';
import { CoreWorld, drain, Link, NOBODY, subscription } from './core-world.ts';
import { textRun } from './runs.ts';

function topicHolds(changes: RouteChanges, since: number, topic: string): boolean {
  const bytes = Buffer.from(`..${topic}.`);
  const hash = hashBytes(bytes, 2, bytes.length - 1);
  return changes.topicHolds(since, hash, bytes, 2, bytes.length - 1);
}

function routeOf(exchange: string, path: string, generation: number): Route {
  return Object.assign(new Route(exchange, new RoutingKey(path)), { generation });
}

describe('changes of bindings', () => {
  test('a topic loses its route when it gets or loses a binding, and no other one does', () => {
    const changes = new RouteChanges();
    const since = changes.generation;
    changes.topics('devices/1/cmd');
    expect(topicHolds(changes, since, 'devices/1/cmd')).toBe(false);
    expect(topicHolds(changes, since, 'devices/2/cmd')).toBe(true);
    expect(topicHolds(changes, since, 'devices/1')).toBe(true);
    // Found out after the change, it holds.
    expect(topicHolds(changes, changes.generation, 'devices/1/cmd')).toBe(true);
    changes.topics('devices/3/cmd');
    expect(topicHolds(changes, changes.generation - 1, 'devices/1/cmd')).toBe(true);
    expect(topicHolds(changes, since, 'devices/1/cmd')).toBe(false);
  });

  test('what was never found out does not hold', () => {
    const changes = new RouteChanges();
    expect(topicHolds(changes, UNKNOWN, 'a')).toBe(false);
    expect(changes.holds(routeOf('amq.topic', 'a', UNKNOWN))).toBe(false);
    expect(changes.holds(routeOf('', 'a', UNKNOWN))).toBe(false);
  });

  test('a queue and a topic of one name are two', () => {
    const changes = new RouteChanges();
    const since = changes.generation;
    changes.queue('q');
    expect(changes.holds(routeOf('', 'q', since))).toBe(false);
    expect(changes.holds(routeOf('', 'other', since))).toBe(true);
    expect(changes.holds(routeOf('amq.topic', 'q', since))).toBe(true);
    expect(changes.holds(routeOf('amq.direct', 'other', since))).toBe(false);
    const later = changes.generation;
    changes.topics('q');
    expect(changes.holds(routeOf('', 'q', later))).toBe(true);
    expect(changes.holds(routeOf('amq.topic', 'q', later))).toBe(false);
  });

  test('a route that holds is of the present generation', () => {
    const changes = new RouteChanges();
    const route = routeOf('amq.topic', 'a', changes.generation);
    changes.topics('b');
    expect(changes.holds(route)).toBe(true);
    expect(route.generation).toBe(changes.generation);
  });

  test('elsewhere, topics and queues hold; after everything, nothing does', () => {
    const changes = new RouteChanges();
    const since = changes.generation;
    changes.elsewhere();
    expect(topicHolds(changes, since, 'a')).toBe(true);
    expect(changes.holds(routeOf('', 'q', since))).toBe(true);
    expect(changes.holds(routeOf('amq.direct', 'k', since))).toBe(false);
    changes.everything();
    expect(topicHolds(changes, since, 'a')).toBe(false);
    expect(changes.holds(routeOf('', 'q', since))).toBe(false);
    expect(topicHolds(changes, changes.generation, 'a')).toBe(true);
  });

  test.each([
    ['keys', 1024, (i: number) => `t/${i}`],
    ['patterns', 64, (i: number) => `t/${i}/#`],
  ])('of more %s than are remembered, the older ones concern everything', (_, remembered, nameOf) => {
    const changes = new RouteChanges();
    const before = changes.generation;
    changes.topics(nameOf(0));
    const after = changes.generation;
    for (let i = 1; i < remembered; i++) changes.topics(nameOf(i));
    expect(topicHolds(changes, before, 'other')).toBe(true);
    expect(topicHolds(changes, before, 't/0')).toBe(false);
    changes.topics(nameOf(remembered));
    expect(topicHolds(changes, before, 'other')).toBe(false);
    expect(topicHolds(changes, after, 'other')).toBe(true);
    expect(topicHolds(changes, after, 't/1')).toBe(false);
  });

  test('a pattern concerns every topic that it matches', () => {
    const level = fc.constantFrom('a', 'b', '', '+', '#', '\0p', '$s');
    const pattern = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
    const name = fc.constantFrom('a', 'b', '', '\0p', '$s', 'ab');
    const topic = fc.array(name, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
    fc.assert(
      fc.property(pattern, topic, (key, path) => {
        const changes = new RouteChanges();
        const since = changes.generation;
        changes.topics(key);
        if (matchesPattern(key, path)) expect(topicHolds(changes, since, path)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['+/b', 'a/c'],
    ['a/#', 'b/a'],
    ['a/#', 'ab'],
    ['a/+', 'a'],
    ['a/+', 'a/b/c'],
    ['a/b/#', 'a'],
  ])('the pattern %s does not concern the topic %s', (key, path) => {
    const changes = new RouteChanges();
    const since = changes.generation;
    changes.topics(key);
    expect(topicHolds(changes, since, path)).toBe(true);
  });

  test.each([0x7fff_fffa, -6])('counts wrap around at %d', (start) => {
    const changes = new RouteChanges();
    changes.generation = start;
    changes.everything();
    const since = changes.generation;
    for (let i = 0; i < 12; i++) {
      changes.topics(`t/${i}`);
      expect(changes.generation).not.toBe(UNKNOWN);
      expect(topicHolds(changes, changes.generation, `t/${i}`)).toBe(true);
    }
    for (let i = 0; i < 12; i++) expect(topicHolds(changes, since, `t/${i}`)).toBe(false);
    expect(topicHolds(changes, since, 't/12')).toBe(true);
  });
});

describe('changes of destinations', () => {
  test('concern those who have one of them', () => {
    const changes = new RouteChanges();
    const since = changes.epoch;
    expect(changes.concerns(since, new Set([1, 2]))).toBe(false);
    changes.destination(2);
    changes.destination(3);
    expect(changes.concerns(since, new Set([1, 2]))).toBe(true);
    expect(changes.concerns(since + 1, new Set([1, 2]))).toBe(false);
    expect(changes.concerns(since, new Set([4]))).toBe(false);
    for (let i = 0; i < 253; i++) changes.destination(5);
    expect(changes.concerns(since, new Set([2]))).toBe(true);
    expect(changes.concerns(since, new Set([4]))).toBe(false);
    // One more, and the first has left its place.
    changes.destination(5);
    expect(changes.concerns(since, new Set([4]))).toBe(true);
    expect(changes.concerns(since + 1, new Set([4]))).toBe(false);
  });
});

/** Publishes as adapters do, by routes that they keep: MQTT's by the text, many of which may have one in common; STOMP's one for each text. */
class Cache {
  private readonly world: CoreWorld;
  private readonly table = new RouteTable(1e5, 1e7);
  private readonly routes = new Map<string, Route>();

  constructor(world: CoreWorld) {
    this.world = world;
  }

  byText(path: string): Route {
    const { vhost } = this.world;
    const bytes = Buffer.from(path);
    const there = this.table.lookupTrue(bytes, 0, bytes.length, hashBytes(bytes, 0, bytes.length), vhost.changes);
    if (there !== null) return there;
    const found = this.world.resolve('amq.topic', path);
    const route = found.set === null ? found : this.table.common(found);
    this.table.insert(route, bytes, 0, bytes.length, found.generation);
    return route;
  }

  byRoute(exchange: string, path: string): Route {
    const { vhost } = this.world;
    const name = `${exchange} ${path}`;
    let route = this.routes.get(name);
    if (route === undefined) {
      route = new Route(exchange, new RoutingKey(path));
      this.routes.set(name, route);
    }
    if (!vhost.changes.holds(route)) vhost.resolve(route, NOBODY, '');
    return route;
  }
}

/** What the subscriptions and bindings there are say, in the plainest way: who gets how many copies of a message. */
function expected(world: CoreWorld, exchange: string, path: string, guarantee: 0 | 1): Map<object, number> {
  const { vhost } = world;
  const copies = new Map<object, number>();
  const give = (whom: object): unknown => copies.set(whom, (copies.get(whom) ?? 0) + 1);
  if (exchange === '') {
    const queue = vhost.queues.get(path);
    if (queue !== undefined) give(queue);
    return copies;
  }
  for (const session of vhost.sessions.values()) {
    const matching = [...session.subscriptions.values()].filter(({ key }) => matchesPattern(key, path));
    if (matching.length === 0) continue;
    const stored = session.stores && guarantee > 0 && matching.some(({ options }) => options.guarantee > 0);
    if (stored) give(session);
    else if (session.link !== null) give(session.link);
  }
  const onward = [...vhost.exchanges.get('amq.topic')!.onward].some(({ key }) => matchesPattern(key, path));
  for (const queue of vhost.queues.values()) {
    const bound = [...queue.bindings].some(({ source, key }) =>
      source === 'amq.topic' ? matchesPattern(key, path) : source === 'side' && onward,
    );
    if (bound) give(queue);
  }
  return copies;
}

/** What has come since this was asked last. */
function received(world: CoreWorld, links: readonly Link[], queues: Iterable<Queue>): Map<object, number> {
  const copies = new Map<object, number>();
  const note = (whom: object, count: number): unknown => (count > 0 ? copies.set(whom, count) : null);
  for (const link of links) note(link, link.got.splice(0).length);
  for (const session of world.vhost.sessions.values()) note(session, drain(session.queue).length);
  for (const queue of queues) note(queue, drain(queue).length);
  return copies;
}

const level = fc.constantFrom('a', 'b', 'c');
const path = fc.array(level, { minLength: 1, maxLength: 3 }).map((levels) => levels.join('/'));
const pattern = fc
  .array(fc.constantFrom('a', 'b', 'c', '+', '#'), { minLength: 1, maxLength: 3 })
  .map((levels) => levels.join('/'));
const who = fc.nat({ max: 2 });
const guarantee = fc.constantFrom<0 | 1>(0, 1);
const publish = fc.record({
  do: fc.constant('publish' as const),
  path,
  guarantee,
  how: fc.constantFrom<'text' | 'route' | 'queue'>('text', 'text', 'route', 'queue'),
});
const change = fc.oneof(
  fc.record({ do: fc.constant('subscribe' as const), who, pattern, guarantee }),
  fc.record({ do: fc.constant('unsubscribe' as const), who, pattern }),
  fc.record({ do: fc.constantFrom('attach', 'detach', 'end', 'rest'), who }),
  fc.record({ do: fc.constantFrom('declare', 'delete'), who }),
  fc.record({ do: fc.constantFrom('bind', 'unbind'), who, pattern }),
  fc.record({ do: fc.constantFrom('side bind', 'side unbind'), who }),
  fc.record({ do: fc.constantFrom('onward', 'not onward'), pattern }),
  fc.record({ do: fc.constant('policy' as const) }),
);

test('messages go by remembered routes where they would go by routes that are found out anew', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 2, arbitrary: publish }, change), { maxLength: 60, size: 'max' }),
      (steps) => {
        const world = new CoreWorld();
        const { vhost } = world;
        const cache = new Cache(world);
        const links: Link[] = [];
        const queues = new Set<Queue>();
        const link = (): Link => {
          links.push(new Link());
          return links.at(-1)!;
        };
        world.exchange('side', 'fanout');
        const sessionOf = (number: number): Session =>
          vhost.sessions.get(`s${number}`) ?? world.session(`s${number}`, link(), Number.POSITIVE_INFINITY);
        const queueOf = (number: number): Queue => {
          const queue = world.queue(`q${number}`);
          queues.add(queue);
          return queue;
        };
        for (const step of steps) {
          switch (step.do) {
            case 'publish': {
              const exchange = step.how === 'queue' ? '' : 'amq.topic';
              const to = step.how === 'queue' ? `q${step.path.length % 3}` : step.path;
              const route = step.how === 'text' ? cache.byText(to) : cache.byRoute(exchange, to);
              const wanted = expected(world, exchange, to, step.guarantee);
              vhost.publish(textRun('x', { guarantee: step.guarantee }), route);
              expect(received(world, links, queues)).toEqual(wanted);
              break;
            }
            case 'subscribe':
              world.subscribe(sessionOf(step.who), step.pattern, step.guarantee);
              break;
            case 'unsubscribe':
              vhost.sessions.unsubscribe(sessionOf(step.who), step.pattern);
              break;
            case 'attach':
              vhost.sessions.attach(sessionOf(step.who), link(), Number.POSITIVE_INFINITY);
              break;
            case 'detach':
              vhost.sessions.detach(sessionOf(step.who));
              break;
            case 'end':
              vhost.sessions.end(sessionOf(step.who));
              break;
            case 'rest':
              world.advance(1000);
              break;
            case 'declare':
              queueOf(step.who);
              break;
            case 'delete':
              vhost.deleteQueue(queueOf(step.who));
              break;
            case 'bind':
              vhost.bind('amq.topic', queueOf(step.who), step.pattern);
              break;
            case 'unbind':
              for (const one of [...queueOf(step.who).bindings]) if (one.key === step.pattern) vhost.unbind(one);
              break;
            case 'side bind':
              vhost.bind('side', queueOf(step.who), '');
              break;
            case 'side unbind':
              for (const one of [...queueOf(step.who).bindings]) if (one.source === 'side') vhost.unbind(one);
              break;
            case 'onward':
              vhost.bind('amq.topic', vhost.exchanges.get('side')!, step.pattern);
              break;
            case 'not onward':
              for (const one of [...vhost.exchanges.get('amq.topic')!.onward])
                if (one.key === step.pattern) vhost.unbind(one);
              break;
            default:
              vhost.policyChanged();
          }
        }
      },
    ),
    { numRuns: 1500 },
  );
});

test('a session that another principal of its user takes over sees what that one may see', () => {
  const world = new CoreWorld({
    authorizer: {
      epoch: 1,
      dependsOnClient: () => false,
      allows: (principal) => (principal.policy as { may: boolean }).may,
    },
  });
  const { vhost } = world;
  const [may, mayNot] = [true, false].map((allowed) => ({ name: 'user', policy: { may: allowed } }));
  const link = new Link();
  const session = world.session('s', link, Number.POSITIVE_INFINITY, may);
  world.subscribe(session, 'a');
  const cache = new Cache(world);
  const send = (): number => {
    vhost.publish(textRun('x'), cache.byText('a'));
    return link.got.splice(0).length;
  };
  expect(send()).toBe(1);
  vhost.sessions.belongsTo(session, mayNot!);
  vhost.sessions.attach(session, link, Number.POSITIVE_INFINITY);
  expect(send()).toBe(0);
  vhost.sessions.belongsTo(session, may!);
  vhost.sessions.attach(session, link, Number.POSITIVE_INFINITY);
  expect(send()).toBe(1);
});

test('a thousand comings and goings elsewhere leave a route and its plan as they are', () => {
  const world = new CoreWorld();
  const { vhost } = world;
  const cache = new Cache(world);
  const link = new Link();
  world.subscribe(world.session('steady', link), 'steady/topic');
  const route = cache.byText('steady/topic');
  const run = textRun('x');
  const plan = route.set!.plan(run, null);
  for (let i = 0; i < 1000; i++) {
    const passing = world.session(`passing${i}`, new Link());
    vhost.sessions.subscribe(passing, 'f', 'amq.topic', `passing/${i}`, subscription(0));
    // Asked now and then, as a topic in use is.
    if (i % 50 === 0) expect(cache.byText('steady/topic')).toBe(route);
    if (i % 50 === 0) expect(route.set!.plan(run, null)).toBe(plan);
    vhost.sessions.detach(passing);
  }
});
