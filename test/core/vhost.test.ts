// Virtual hosts by what their users see: where messages go, what may be declared, what sessions get and keep.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Action, type Authorizer, type Principal, type Resource } from '../../src/core/authorizer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { EXCHANGE_HOPS_MAX, exchangeSpec } from '../../src/core/exchange-node.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Session } from '../../src/core/session.ts';
import { Durability } from '../../src/storage/commit-log.ts';
import { matchesPattern } from './bindings.ts';
import { CoreWorld, drain, Link, NOBODY, Sender, subscription } from './core-world.ts';
import { Taker } from './queue-model.ts';
import { textRun } from './runs.ts';

/** The code of the BrokerError that this throws; the text of anything else. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return error instanceof BrokerError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'none';
}

/** Allows what its rule allows. */
class Rules implements Authorizer {
  epoch = 1;
  allows_: (principal: Principal, clientId: string, action: Action, resource: Resource) => boolean = () => true;

  dependsOnClient(): boolean {
    return false;
  }

  allows(principal: Principal, clientId: string, action: Action, resource: Resource): boolean {
    return this.allows_(principal, clientId, action, resource);
  }

  change(rule: Rules['allows_']): void {
    this.allows_ = rule;
    this.epoch++;
  }
}

const USER: Principal = { name: 'user', policy: {} };

describe('routing', () => {
  test('through direct, fanout and topic exchanges, and by the name of a queue', () => {
    const world = new CoreWorld();
    const queue = world.queue('q');
    world.vhost.bind('amq.direct', queue, 'key');
    world.vhost.bind('amq.fanout', queue, 'ignored');
    world.vhost.bind('amq.topic', queue, 'a/+');
    world.publish('amq.direct', 'key', 'direct');
    world.publish('amq.direct', 'other', 'no');
    world.publish('amq.fanout', 'whatever', 'fanout');
    world.publish('amq.topic', 'a/b', 'topic');
    world.publish('amq.topic', 'a/b/c', 'no');
    world.publish('', 'q', 'by name');
    world.publish('', 'not there', 'no');
    expect(drain(queue)).toEqual(['direct', 'fanout', 'topic', 'by name']);
    expect(world.broker.counters.droppedUnroutable).toBe(3);
    expect(world.broker.counters.messagesReceived).toBe(7);
  });

  test('says whether somebody gets a message', () => {
    const world = new CoreWorld();
    world.bound('q', 'amq.topic', 'a');
    const session = world.session('away', null, 1000);
    world.subscribe(session, 'b');
    expect(world.topic('a', 'x').run.matched).toBe(true);
    expect(world.topic('b', 'x').run.matched).toBe(true);
    expect(world.topic('c', 'x').run.matched).toBe(false);
    expect(world.broker.counters.droppedOffline).toBe(1);
  });

  test('gives one copy however many bindings lead to a queue', () => {
    const world = new CoreWorld();
    const queue = world.bound('q', 'amq.topic', '#');
    world.vhost.bind('amq.topic', queue, 'a');
    world.vhost.bind('amq.topic', queue, '+');
    world.topic('a', 'x');
    expect(drain(queue)).toEqual(['x']);
  });

  test('a headers exchange judges every message by its headers', () => {
    const world = new CoreWorld();
    const red = world.bound('red', 'amq.headers', '', { colour: 'red' });
    const any = world.bound('any', 'amq.headers', '', { 'x-match': 'any', colour: 'blue', size: 'big' });
    const route = world.resolve('amq.headers', 'same for all');
    expect(route.set).toBeNull();
    for (const [text, headers] of [
      ['1', ['colour', 'red']],
      ['2', ['colour', 'blue', 'size', 'small']],
      ['3', ['colour', 'red', 'size', 'big']],
      ['4', []],
    ] as const) {
      world.vhost.publish(textRun(text, { headers }), route);
    }
    expect(drain(red)).toEqual(['1', '3']);
    expect(drain(any)).toEqual(['2', '3']);
  });

  test('an exchange that leads to a headers exchange is not cached by key either', () => {
    const world = new CoreWorld();
    const red = world.bound('red', 'amq.headers', '', { colour: 'red' });
    world.vhost.bind('amq.topic', world.vhost.exchanges.get('amq.headers')!, 'a/#');
    world.topic('a/b', 'red', { headers: ['colour', 'red'] });
    world.topic('a/b', 'blue', { headers: ['colour', 'blue'] });
    expect(drain(red)).toEqual(['red']);
  });

  test('an exchange that is not there, or internal, takes nothing from clients', () => {
    const world = new CoreWorld();
    expect(world.resolve('nowhere', 'a')).toMatchObject({ allowed: false });
    const inner = world.exchange('inner', 'fanout', { internal: true });
    expect(world.resolve('inner', 'a').refusal).toContain('inner');
    const queue = world.bound('q', 'inner', '');
    world.vhost.bind('amq.topic', inner, 'a');
    world.topic('a', 'through');
    expect(drain(queue)).toEqual(['through']);
  });

  test('a route is resolved anew after every change of bindings, and not before', () => {
    const world = new CoreWorld();
    const { vhost } = world;
    const route = world.resolve('amq.topic', 'a');
    const changes: (() => unknown)[] = [
      () => world.queue('q'),
      () => vhost.bind('amq.topic', vhost.queues.get('q')!, 'a'),
      () => world.exchange('e', 'fanout'),
      () => vhost.unbind([...vhost.queues.get('q')!.bindings][0]!),
      () => vhost.deleteExchange('e'),
      () => vhost.deleteQueue(vhost.queues.get('q')!),
      () => vhost.policyChanged(),
    ];
    for (const change of changes) {
      expect(route.generation).toBe(vhost.generation);
      change();
      expect(route.generation).not.toBe(vhost.generation);
      vhost.resolve(route, NOBODY, '');
    }
    world.topic('a', 'x');
    vhost.bind('amq.topic', world.queue('q2'), 'b');
    vhost.resolve(route, NOBODY, '');
    vhost.bind('amq.topic', vhost.queues.get('q2')!, 'b');
    world.topic('b', 'x');
    expect(route.generation).toBe(vhost.generation);
  });

  test('topics that lead to the same place share one destination set', () => {
    const world = new CoreWorld();
    world.bound('q', 'amq.topic', 'a/#');
    world.bound('r', 'amq.topic', '+/special');
    const set = world.resolve('amq.topic', 'a/b').set;
    expect(set).not.toBeNull();
    expect(world.resolve('amq.topic', 'a/c').set).toBe(set);
    expect(world.resolve('amq.topic', 'a/special').set).not.toBe(set);
    expect(world.resolve('amq.topic', 'x').set).toBe(world.resolve('amq.direct', 'y').set);
    // The same destination by another binding is another set: the options may differ.
    const session = world.session('s', new Link());
    world.subscribe(session, 'one', 0, { subscriptionIdentifier: 1 });
    world.subscribe(session, 'two', 0, { subscriptionIdentifier: 2 });
    expect(world.resolve('amq.topic', 'one').set).not.toBe(world.resolve('amq.topic', 'two').set);
    expect(world.resolve('amq.topic', 'one').set).toBe(world.resolve('amq.topic', 'one').set);
  });

  test('a topic exchange with any bindings reaches what matches, whatever has come and gone before', () => {
    const level = fc.constantFrom('a', 'b', '+', '#');
    const pattern = fc.array(level, { minLength: 1, maxLength: 3 }).map((levels) => levels.join('/'));
    const path = fc
      .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
      .map((levels) => levels.join('/'));
    fc.assert(
      fc.property(
        fc.array(fc.record({ queue: fc.nat({ max: 3 }), pattern, add: fc.boolean() }), { maxLength: 12, size: 'max' }),
        fc.array(path, { maxLength: 5 }),
        (steps, paths) => {
          const world = new CoreWorld();
          const queues = [0, 1, 2, 3].map((i) => world.queue(`q${i}`));
          const patterns = queues.map(() => new Set<string>());
          for (const { queue, pattern: key, add } of steps) {
            if (add) {
              world.vhost.bind('amq.topic', queues[queue]!, key);
              patterns[queue]!.add(key);
            } else if (patterns[queue]!.delete(key)) {
              world.vhost.unbind([...queues[queue]!.bindings].find((binding) => binding.key === key)!);
            }
          }
          for (const topic of paths) {
            world.topic(topic, topic);
            const reached = queues.map((queue) => drain(queue).length);
            expect(reached).toEqual(
              patterns.map((keys) => ([...keys].some((key) => matchesPattern(key, topic)) ? 1 : 0)),
            );
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('exchanges bound to exchanges', () => {
  test('lead on to what those are bound to', () => {
    const world = new CoreWorld();
    const inner = world.exchange('inner', 'topic');
    world.vhost.bind('amq.topic', inner, 'plant/#');
    const queue = world.bound('q', 'inner', 'plant/+/alarm');
    world.topic('plant/1/alarm', 'yes');
    world.topic('plant/1/other', 'no');
    expect(drain(queue)).toEqual(['yes']);
  });

  test('a loop ends, and gives each destination one copy by each of its bindings once', () => {
    const world = new CoreWorld();
    const [a, b] = [world.exchange('a', 'fanout'), world.exchange('b', 'fanout')];
    world.vhost.bind('a', b, '');
    world.vhost.bind('b', a, '');
    world.vhost.bind('a', a, '');
    const queue = world.bound('q', 'a', '');
    const link = new Link();
    const session = world.session('s', link);
    world.vhost.sessions.subscribe(session, 'f', 'a', '', subscription(0, { subscriptionIdentifier: 7 }));
    world.publish('a', 'k', 'x');
    world.publish('b', 'k', 'y');
    expect(drain(queue)).toEqual(['x', 'y']);
    expect(link.got).toEqual(['x', 'y']);
    expect(link.optionsOf.map(({ subscriptionIdentifiers }) => subscriptionIdentifiers)).toEqual([[7], [7]]);
  });

  test('a chain is followed for so many exchanges, and no further', () => {
    const world = new CoreWorld();
    const queues: Queue[] = [];
    for (let i = 0; i < EXCHANGE_HOPS_MAX + 3; i++) {
      const next = world.exchange(`e${i}`, 'fanout');
      if (i > 0) world.vhost.bind(`e${i - 1}`, next, '');
      queues.push(world.bound(`q${i}`, `e${i}`, ''));
    }
    world.publish('e0', 'k', 'x');
    expect(queues.map((queue) => drain(queue).length)).toEqual(queues.map((_, i) => (i < EXCHANGE_HOPS_MAX ? 1 : 0)));
  });

  test('one is reached behind any number of queues', () => {
    const world = new CoreWorld();
    for (let i = 0; i < 3000; i++) world.bound(`q${i}`, 'amq.fanout', '');
    const behind = world.exchange('behind', 'fanout');
    world.vhost.bind('amq.fanout', behind, '');
    const queue = world.bound('last', 'behind', '');
    world.publish('amq.fanout', 'k', 'x');
    expect(drain(queue)).toEqual(['x']);
    expect(drain(world.vhost.queues.get('q2999')!)).toEqual(['x']);
  });
});

describe('alternate exchanges', () => {
  test('get what nothing else matches', () => {
    const world = new CoreWorld();
    world.exchange('main', 'direct', {}, { 'alternate-exchange': 'rest' });
    world.exchange('rest', 'fanout');
    const queue = world.bound('q', 'main', 'known');
    const rest = world.bound('r', 'rest', '');
    world.publish('main', 'known', 'a');
    world.publish('main', 'unknown', 'b');
    expect(drain(queue)).toEqual(['a']);
    expect(drain(rest)).toEqual(['b']);
  });

  test('one behind the other, in a circle, to one that is not there', () => {
    const world = new CoreWorld();
    world.exchange('a', 'direct', {}, { 'alternate-exchange': 'b' });
    world.exchange('b', 'direct', {}, { 'alternate-exchange': 'a' });
    world.exchange('c', 'direct', {}, { 'alternate-exchange': 'nowhere' });
    world.publish('a', 'k', 'x');
    world.publish('c', 'k', 'x');
    expect(world.broker.counters.droppedUnroutable).toBe(2);
    const queue = world.bound('q', 'b', 'k');
    world.publish('a', 'k', 'y');
    expect(drain(queue)).toEqual(['y']);
  });

  test('a bound exchange that leads nowhere does not count as a match', () => {
    const world = new CoreWorld();
    world.exchange('main', 'fanout', {}, { 'alternate-exchange': 'amq.fanout' });
    world.vhost.bind('main', world.exchange('empty', 'fanout'), '');
    const queue = world.bound('q', 'amq.fanout', '');
    world.publish('main', 'k', 'x');
    expect(drain(queue)).toEqual(['x']);
  });
});

describe('declaring', () => {
  test('the same again gives what there is', () => {
    const world = new CoreWorld();
    const exchange = world.exchange('e', 'topic', { durable: false }, { 'alternate-exchange': 'x' });
    expect(world.exchange('e', 'topic', { durable: false }, { 'alternate-exchange': 'x' })).toBe(exchange);
    const queue = world.queue('q', { 'x-max-length': '5' });
    expect(world.queue('q', { 'x-max-length': '5' })).toBe(queue);
    const binding = world.vhost.bind('e', queue, 'k', new Map([['a', 'b']]));
    const { generation } = world.vhost;
    expect(world.vhost.bind('e', queue, 'k', new Map([['a', 'b']]))).toBe(binding);
    expect(world.vhost.generation).toBe(generation);
    expect(world.vhost.bind('e', queue, 'k', new Map([['a', 'c']]))).not.toBe(binding);
  });

  test.each<[string, (world: CoreWorld) => void, string]>([
    ['an exchange with another type', (world) => void world.exchange('e', 'direct'), 'type'],
    ['an exchange that is not durable', (world) => void world.exchange('e', 'topic', { durable: false }), 'durable'],
    ['an auto-delete exchange', (world) => void world.exchange('e', 'topic', { autoDelete: true }), 'autoDelete'],
    ['an internal exchange', (world) => void world.exchange('e', 'topic', { internal: true }), 'internal'],
    [
      'an exchange with an alternate',
      (world) => void world.exchange('e', 'topic', {}, { 'alternate-exchange': 'x' }),
      'alternate',
    ],
    ['a queue that is not durable', (world) => void world.queue('q', {}, { durable: false }), 'durable'],
    ['an auto-delete queue', (world) => void world.queue('q', {}, { autoDelete: true }), 'autoDelete'],
    ['a queue with an argument', (world) => void world.queue('q', { 'x-max-length': '5' }), 'x-max-length'],
  ])('%s where there is another of that name is refused, and says what differs', (_name, declare, difference) => {
    const world = new CoreWorld();
    world.exchange('e', 'topic');
    world.queue('q');
    const text = refusal(() => declare(world));
    expect(text).toMatch(/^precondition-failed: /);
    expect(text).toContain(difference);
  });

  test('the broker keeps its own exchanges, and their names', () => {
    const world = new CoreWorld();
    for (const name of ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']) {
      expect(world.vhost.exchanges.has(name)).toBe(true);
      expect(refusal(() => world.vhost.deleteExchange(name))).toMatch(/^access-refused/);
    }
    expect(refusal(() => world.exchange('amq.mine', 'fanout'))).toMatch(/^access-refused/);
    expect(refusal(() => world.exchange('', 'direct'))).toMatch(/^access-refused/);
    expect(world.exchange('amq.topic', 'topic')).toBe(world.vhost.exchanges.get('amq.topic'));
    expect(refusal(() => world.exchange('e', 'nonsense'))).toMatch(/^invalid-argument/);
  });

  test('there are only so many queues; those there are can still be declared', () => {
    const world = new CoreWorld({ limits: { queuesMax: 2 } });
    const first = world.queue('a');
    world.queue('b');
    expect(refusal(() => world.queue('c'))).toMatch(/^quota-exceeded/);
    expect(world.queue('a')).toBe(first);
    world.vhost.deleteQueue(first);
    expect(refusal(() => world.queue('c'))).toBe('none');
  });

  test('an exclusive queue is for its holder only', () => {
    const world = new CoreWorld();
    const [mine, other] = [{}, {}];
    const queue = world.queue('q', {}, { exclusive: true }, mine);
    expect(world.queue('q', {}, { exclusive: true }, mine)).toBe(queue);
    expect(refusal(() => world.queue('q', {}, { exclusive: true }, other))).toMatch(/^resource-locked/);
    expect(refusal(() => world.vhost.checkHolder(queue, other))).toMatch(/^resource-locked/);
    expect(refusal(() => world.vhost.checkHolder(queue, mine))).toBe('none');
  });

  test('a binding to an exchange that is not there is refused, and leaves nothing behind', () => {
    const world = new CoreWorld();
    const queue = world.queue('q');
    expect(refusal(() => world.vhost.bind('nowhere', queue, ''))).toMatch(/^not-found/);
    expect(refusal(() => world.vhost.bind('amq.headers', queue, '', new Map([['x-match', 'some']])))).toMatch(
      /^invalid-argument/,
    );
    expect(queue.bindings.size).toBe(0);
    expect(world.vhost.exchanges.get('amq.headers')!.bindingCount).toBe(0);
  });

  test('a deleted exchange takes its bindings along, in both directions', () => {
    const world = new CoreWorld();
    const middle = world.exchange('middle', 'fanout');
    world.vhost.bind('amq.topic', middle, '#');
    const queue = world.bound('q', 'middle', '');
    expect(world.vhost.deleteExchange('middle')).toBe(true);
    expect(world.vhost.deleteExchange('middle')).toBe(false);
    expect(queue.bindings.size).toBe(0);
    expect(world.vhost.exchanges.get('amq.topic')!.bindingCount).toBe(0);
    world.exchange('middle', 'fanout');
    world.topic('a', 'x');
    expect(drain(queue)).toEqual([]);
  });

  test('an auto-delete exchange goes with its last binding, and takes the way to it along', () => {
    const world = new CoreWorld();
    const auto = world.exchange('auto', 'fanout', { autoDelete: true });
    world.vhost.bind('amq.topic', auto, '#');
    const [first, second] = [world.bound('first', 'auto', ''), world.bound('second', 'auto', '')];
    world.vhost.deleteQueue(first);
    expect(world.vhost.exchanges.has('auto')).toBe(true);
    world.vhost.unbind([...second.bindings][0]!);
    expect(world.vhost.exchanges.has('auto')).toBe(false);
    expect(world.vhost.exchanges.get('amq.topic')!.bindingCount).toBe(0);
  });

  test('a deleted queue is out of all bindings, and its consumers are told', () => {
    const world = new CoreWorld();
    const queue = world.bound('q', 'amq.topic', 'a');
    const taker = new Taker('t', 1);
    queue.attach(taker, false);
    world.vhost.deleteQueue(queue);
    world.vhost.deleteQueue(queue);
    expect(taker.cancelled).toBe(1);
    expect(world.topic('a', 'x').run.matched).toBe(false);
    expect(world.queue('q')).not.toBe(queue);
  });

  test('an auto-delete queue goes with its last consumer', () => {
    const world = new CoreWorld();
    const queue = world.queue('q', {}, { autoDelete: true });
    const taker = new Taker('t', 1);
    queue.attach(taker, false);
    queue.detach(taker);
    expect(world.vhost.queues.has('q')).toBe(false);
  });

  test('a queue with x-expires goes when nobody has consumed it for so long', () => {
    const world = new CoreWorld();
    const queue = world.queue('q', { 'x-expires': '1000' });
    world.advance(999);
    const taker = new Taker('t', 1);
    queue.attach(taker, false);
    world.advance(5000);
    expect(queue.deleted).toBe(false);
    queue.detach(taker);
    world.advance(999);
    expect(queue.deleted).toBe(false);
    world.advance(1);
    expect(queue.deleted).toBe(true);
    expect(world.vhost.queues.has('q')).toBe(false);
  });

  test('messages of a queue expire with the tick', () => {
    const world = new CoreWorld();
    const queue = world.queue('q', { 'x-message-ttl': '100' });
    world.publish('', 'q', 'x');
    world.advance(99);
    expect(queue.readyCount).toBe(1);
    world.advance(1);
    expect(queue.readyCount).toBe(0);
    expect(world.broker.counters.droppedExpired).toBe(1);
  });
});

describe('publishing', () => {
  test('goes message by message where each may go elsewhere or be refused, and nowhere else', () => {
    const world = new CoreWorld();
    world.bound('q', 'amq.topic', 'plain');
    world.queue('full', { 'x-overflow': 'reject-publish', 'x-max-length': '1' });
    world.vhost.bind('amq.topic', world.vhost.queues.get('full')!, 'may/refuse');
    const session = world.session('s', null, 1000);
    session.queueArguments = new Map([['x-overflow', 'reject-publish']]);
    world.subscribe(session, 'session', 1);
    const ways = [
      ['amq.topic', 'plain'],
      ['amq.topic', 'nowhere'],
      ['amq.topic', 'may/refuse'],
      ['amq.topic', 'session'],
      ['amq.headers', 'any'],
      ['', 'full'],
      ['', 'q'],
    ] as const;
    expect(ways.map(([exchange, path]) => world.resolve(exchange, path).oneByOne)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
      false,
    ]);
  });

  test('a queue that is full and rejects refuses for all, and nobody gets the message', () => {
    const world = new CoreWorld();
    const other = world.bound('other', 'amq.topic', 'a');
    world.queue('full', { 'x-max-length': '1', 'x-overflow': 'reject-publish' });
    world.vhost.bind('amq.topic', world.vhost.queues.get('full')!, 'a');
    expect(world.topic('a', '1').run.refused).toBeNull();
    expect(world.topic('a', '2').run.refused).toBe('quota-exceeded');
    expect(drain(other)).toEqual(['1']);
    expect(world.broker.counters.refusedQuota).toBe(1);
  });

  test('a borrowed run may be overwritten afterwards, whoever has got it', () => {
    const world = new CoreWorld();
    const queue = world.bound('q', 'amq.topic', 'a');
    const { run } = world.topic('a', ['one', 'two'], { borrowedAt: 5 });
    run.bytes.fill(0xdb);
    expect(drain(queue)).toEqual(['one', 'two']);
  });

  test('a publisher whose every direct subscriber is congested waits until some output has drained', () => {
    const world = new CoreWorld();
    const [a, b] = [new Link(), new Link()];
    for (const link of [a, b]) world.subscribe(world.session(`s${link === a ? 1 : 2}`, link), 't');
    const sender = new Sender();
    a.congested = true;
    world.topic('t', '1', { guarantee: 0, publisher: sender });
    expect(sender.paused).toBe(0);
    b.congested = true;
    world.topic('t', '2', { guarantee: 0, publisher: sender });
    world.topic('t', '3', { guarantee: 0, publisher: sender });
    expect(sender.paused).toBe(1);
    expect(b.got).toEqual(['1', '2', '3']);
    world.broker.onOutputDrained();
    expect(sender.paused).toBe(0);
    world.broker.onOutputDrained();
    expect(sender.paused).toBe(0);
  });

  test('a queue beside them keeps it going', () => {
    const world = new CoreWorld();
    const link = new Link();
    link.congested = true;
    world.subscribe(world.session('s', link), 't');
    world.bound('q', 'amq.topic', 't');
    const sender = new Sender();
    world.topic('t', '1', { guarantee: 0, publisher: sender });
    expect(sender.paused).toBe(0);
  });
});

describe('authorisation', () => {
  test('is asked once per resolved route, with who and what', () => {
    const rules = new Rules();
    const asked: unknown[] = [];
    rules.allows_ = (principal, clientId, action, resource) => {
      asked.push([principal.name, clientId, action, resource.kind, resource.name, resource.key]);
      return resource.name !== 'secret';
    };
    const world = new CoreWorld({ authorizer: rules });
    world.exchange('e', 'fanout');
    expect(world.resolve('amq.topic', 'a/b', USER, 'c1').allowed).toBe(true);
    expect(world.resolve('', 'q', USER, 'c1').allowed).toBe(true);
    expect(world.resolve('e', 'k', USER, 'c1').allowed).toBe(true);
    const refused = world.resolve('amq.topic', 'secret', USER, 'c1');
    expect(refused).toMatchObject({ allowed: false, set: null });
    expect(refused.refusal).toContain('secret');
    expect(asked).toEqual([
      ['user', 'c1', Action.Publish, 'topic', 'a/b', 'a/b'],
      ['user', 'c1', Action.Publish, 'queue', 'q', ''],
      ['user', 'c1', Action.Publish, 'exchange', 'e', 'k'],
      ['user', 'c1', Action.Publish, 'topic', 'secret', 'secret'],
    ]);
  });

  test('what a subscriber may not see is not delivered to it, directly or into its queue, from the moment its rights change', () => {
    const rules = new Rules();
    const world = new CoreWorld({ authorizer: rules });
    const link = new Link();
    const session = world.session('s', link, 0, USER);
    world.subscribe(session, 'zero/#', 0);
    world.subscribe(session, 'one/#', 1);
    const send = (): void => {
      for (const topic of ['zero/open', 'zero/secret', 'one/open', 'one/secret']) world.topic(topic, topic);
    };
    send();
    expect(link.got).toEqual(['zero/open', 'zero/secret']);
    expect(drain(session.queue)).toEqual(['one/open', 'one/secret']);
    rules.change((_principal, clientId, action, resource) => {
      expect([clientId, action]).toEqual(['s', Action.Subscribe]);
      return !resource.name.endsWith('secret');
    });
    world.advance(100);
    send();
    expect(link.got.slice(2)).toEqual(['zero/open']);
    expect(drain(session.queue)).toEqual(['one/open']);
    rules.change(() => true);
    world.advance(100);
    send();
    expect(link.got.slice(3)).toEqual(['zero/open', 'zero/secret']);
    expect(drain(session.queue)).toEqual(['one/open', 'one/secret']);
  });
});

describe('sessions', () => {
  test('a replaced subscription is never without a binding, and the new options hold', () => {
    const world = new CoreWorld();
    const link = new Link();
    const session = world.session('s', link);
    world.subscribe(session, 'a', 0);
    const auto = world.exchange('auto', 'topic', { autoDelete: true });
    world.vhost.sessions.subscribe(session, 'f', 'auto', 'a', subscription(0));
    // The exchange would be gone if there were a moment without a binding.
    world.vhost.sessions.subscribe(session, 'f', 'auto', 'a', subscription(1));
    expect(world.vhost.exchanges.get('auto')).toBe(auto);
    expect(auto.bindingCount).toBe(1);
    world.subscribe(session, 'a', 1);
    world.topic('a', 'x');
    expect(link.got).toEqual([]);
    expect(drain(session.queue)).toEqual(['x']);
  });

  test('overlapping subscriptions give one copy: the highest guarantee, every identifier', () => {
    const world = new CoreWorld();
    const session = world.session('s', new Link());
    world.subscribe(session, 'a/#', 0, { subscriptionIdentifier: 1 });
    world.subscribe(session, 'a/+', 2, { subscriptionIdentifier: 2, retainAsPublished: true });
    world.subscribe(session, '+/b', 1);
    world.topic('a/b', 'x', { guarantee: 2 });
    const taker = new Taker('t', 10);
    session.queue!.attach(taker, true);
    expect(taker.texts).toEqual(['x']);
    const [{ options }] = taker.got as [(typeof taker.got)[number]];
    expect(options.guarantee).toBe(2);
    expect(options.retainAsPublished).toBe(true);
    expect([...options.subscriptionIdentifiers!].sort()).toEqual([1, 2]);
  });

  test('or, where the client wants it, a copy for each, also over the log', () => {
    const world = new CoreWorld({ durability: 2 });
    const session = world.session('s', new Link(), 1000);
    session.copyForEach = true;
    world.subscribe(session, 'a/#', 1, { subscriptionIdentifier: 1 });
    world.subscribe(session, 'a/+', 2, { subscriptionIdentifier: 2 });
    const { position } = world.topic('a/b', ['x', 'y'], { guarantee: 1 });
    expect(position).toBe(world.broker.log.position);
    const taker = new Taker('t', 10);
    session.queue!.attach(taker, true);
    expect(taker.got.map(({ text, options }) => `${text} ${options.subscriptionIdentifiers}`).sort()).toEqual([
      'x 1',
      'x 2',
      'y 1',
      'y 2',
    ]);
    for (const { tag } of taker.got) session.queue!.settle(tag, 0);
    world.broker.endUnit();
    expect(session.queue!.log!.count).toBe(0);
  });

  test('the smaller of what publisher and subscription ask for decides between direct and stored', () => {
    const world = new CoreWorld();
    const link = new Link();
    const session = world.session('s', link);
    world.subscribe(session, 'a', 1);
    world.topic('a', 'zero', { guarantee: 0 });
    world.topic('a', 'one', { guarantee: 1 });
    expect(link.got).toEqual(['zero']);
    expect(drain(session.queue)).toEqual(['one']);
  });

  test('no local withholds what comes from the session itself, and only that', () => {
    const world = new CoreWorld();
    const [link, otherLink] = [new Link(), new Link()];
    const session = world.session('s', link);
    world.subscribe(session, 'a', 0, { noLocal: true });
    world.subscribe(world.session('other', otherLink), 'a');
    const sender = new Sender();
    sender.own = session;
    world.topic('a', 'own', { guarantee: 0, publisher: sender });
    world.topic('a', 'foreign', { guarantee: 0, publisher: new Sender() });
    expect(link.got).toEqual(['foreign']);
    expect(otherLink.got).toEqual(['own', 'foreign']);
    world.subscribe(session, '+', 0);
    world.topic('a', 'own again', { guarantee: 0, publisher: sender });
    expect(link.got).toEqual(['foreign', 'own again']);
  });

  test('without a link the stored ones wait, the others are lost and counted', () => {
    const world = new CoreWorld();
    const session = world.session('s', new Link(), 1000);
    world.subscribe(session, 'a', 1);
    world.vhost.sessions.detach(session);
    world.topic('a', 'lost', { guarantee: 0 });
    world.topic('a', 'kept', { guarantee: 1 });
    expect(world.broker.counters.droppedOffline).toBe(1);
    const link = new Link();
    expect(world.session('s', link, 1000)).toBe(session);
    expect(drain(session.queue)).toEqual(['kept']);
    world.topic('a', 'direct', { guarantee: 0 });
    expect(link.got).toEqual(['direct']);
  });

  describe('that is at rest', () => {
    function away(options: ConstructorParameters<typeof CoreWorld>[0] = {}): { world: CoreWorld; session: Session } {
      const world = new CoreWorld(options);
      const session = world.session('s', new Link(), Number.POSITIVE_INFINITY);
      world.subscribe(session, 'a', 1);
      return { world, session };
    }

    test.each([Durability.Memory, Durability.Fsync])(
      'has no queue, and gets one with the next message (%i)',
      (durability) => {
        const { world, session } = away({ durability });
        world.topic('a', 'before');
        expect(drain(session.queue)).toEqual(['before']);
        world.vhost.sessions.detach(session);
        const { queue } = session;
        world.endUnit();
        world.advance(1);
        expect([session.queue, queue!.deleted, [...world.broker.log.queueNames()]]).toEqual([null, true, []]);
        world.topic('a', ['one', 'two']);
        world.advance(1);
        expect(world.session('s', new Link(), 1000)).toBe(session);
        world.topic('a', 'three');
        expect(drain(session.queue)).toEqual(['one', 'two', 'three']);
      },
    );

    test('keeps its queue while a message is in it, with somebody, or not yet durable', () => {
      const { world, session } = away({ durability: Durability.Fsync });
      world.topic('a', 'x');
      const { queue } = session;
      world.vhost.sessions.detach(session);
      world.advance(1);
      expect(session.queue).toBe(queue);
      const taker = new Taker('t', 1);
      queue!.attach(taker, false);
      world.vhost.sessions.detach(session);
      world.advance(1);
      expect(session.queue).toBe(queue);
      queue!.settle(taker.got[0]!.tag, 0);
      world.vhost.sessions.detach(session);
      world.advance(1);
      expect(session.queue).toBeNull();
    });

    test('is not disturbed in the turn in which its client leaves: what is under way still reaches its queue', () => {
      const { world, session } = away();
      const route = world.resolve('amq.topic', 'a');
      world.topic('a', 'x');
      expect(drain(session.queue)).toEqual(['x']);
      world.vhost.sessions.detach(session);
      world.vhost.publish(textRun('y'), route);
      world.advance(1);
      expect(drain(session.queue)).toEqual(['y']);
    });

    test('is known to whoever keeps state for it', () => {
      const { world, session } = away();
      const rested: string[] = [];
      world.broker.observeSessions({
        onSessionEnded: () => undefined,
        onSessionRests: ({ clientId }) => void rested.push(clientId),
      });
      world.advance(1);
      expect(rested).toEqual([]);
      world.vhost.sessions.detach(session);
      world.session('s', new Link(), 1000);
      world.advance(1);
      expect(rested).toEqual([]);
      world.vhost.sessions.detach(session);
      world.advance(1);
      world.advance(1);
      expect(rested).toEqual(['s']);
    });

    test('has its queue all the same when it asked for a certain one', () => {
      const world = new CoreWorld();
      const session = world.session('s', new Link(), 1000);
      session.queueArguments = new Map([['x-max-length', '1']]);
      world.subscribe(session, 'a', 1);
      world.vhost.sessions.detach(session);
      world.advance(1);
      world.topic('a', ['one', 'two']);
      expect(drain(session.queue)).toEqual(['two']);
    });
  });

  test('one without expiry ends with its link', () => {
    const world = new CoreWorld();
    const session = world.session('s', new Link(), 0);
    world.subscribe(session, 'a', 1);
    const queue = session.wake();
    world.vhost.sessions.detach(session);
    expect([session.ended, queue.deleted, world.vhost.sessions.has('s')]).toEqual([true, true, false]);
    expect(world.topic('a', 'x').run.matched).toBe(false);
  });

  test('one with expiry ends so long after its link has gone, unless it comes back', () => {
    const world = new CoreWorld();
    const ended: string[] = [];
    world.broker.observeSessions({
      onSessionEnded: (_vhost, { clientId }) => void ended.push(clientId),
      onSessionRests: () => undefined,
    });
    for (const id of ['short', 'back', 'forever', 'here']) {
      world.session(id, new Link(), id === 'forever' ? Number.POSITIVE_INFINITY : 1000);
    }
    for (const id of ['short', 'back', 'forever']) world.vhost.sessions.detach(world.vhost.sessions.get(id)!);
    world.advance(999);
    world.session('back', new Link(), 1000);
    world.advance(1);
    expect(ended).toEqual(['short']);
    world.advance(1e12);
    expect(ended).toEqual(['short']);
    expect([...world.vhost.sessions.keys()].sort()).toEqual(['back', 'forever', 'here']);
  });

  test('whoever hears of the end still sees the subscriptions', () => {
    const world = new CoreWorld();
    const session = world.session('s', new Link());
    const queue = world.queue('shared');
    world.vhost.sessions.subscribeQueue(session, '$share/g/a', queue, subscription(1));
    const seen: string[] = [];
    world.broker.observeSessions({
      onSessionEnded: (_vhost, { subscriptions }) => void seen.push(...subscriptions.keys()),
      onSessionRests: () => undefined,
    });
    world.vhost.sessions.end(session);
    world.vhost.sessions.end(session);
    expect(seen).toEqual(['$share/g/a']);
    expect(session.subscriptions.size).toBe(0);
  });

  test('another user does not get at a client id that is taken', () => {
    const world = new CoreWorld();
    const session = world.session('s', new Link(), 1000, USER);
    expect(refusal(() => world.vhost.sessions.find(NOBODY, 's'))).toMatch(/^access-refused/);
    expect(world.vhost.sessions.find({ ...USER }, 's')).toBe(session);
    world.vhost.sessions.end(session);
    expect(world.vhost.sessions.find(NOBODY, 's')).toBeNull();
  });

  test('every link that comes makes the epoch grow', () => {
    const world = new CoreWorld();
    const session = world.session('s', new Link(), 1000);
    const { epoch } = session;
    world.session('s', new Link(), 1000);
    expect(session.epoch).toBeGreaterThan(epoch);
  });

  test('unsubscribing says whether there was something', () => {
    const world = new CoreWorld();
    const link = new Link();
    const session = world.session('s', link);
    world.subscribe(session, 'a');
    expect(world.vhost.sessions.unsubscribe(session, 'a')).toBe(true);
    expect(world.vhost.sessions.unsubscribe(session, 'a')).toBe(false);
    world.topic('a', 'x');
    expect(link.got).toEqual([]);
  });

  test('its queue is bounded, the oldest go first', () => {
    const world = new CoreWorld({ limits: { sessionQueue: { lengthMax: 3, bytesMax: 1000 } } });
    const session = world.session('s', null, 1000);
    world.subscribe(session, 'a', 1);
    for (let i = 0; i < 5; i++) world.topic('a', String(i));
    expect(drain(session.queue)).toEqual(['2', '3', '4']);
    expect(world.broker.counters.droppedOverflow).toBe(2);
  });

  test('its client may ask for less of it, or for its publishers to be refused, but not for more', () => {
    const limits = { sessionQueue: { lengthMax: 3, bytesMax: 1000 } };
    for (const [args, left, refused] of [
      [{ 'x-max-length': '2' }, ['3', '4'], 0],
      [{ 'x-max-length': '99' }, ['2', '3', '4'], 0],
      [{ 'x-overflow': 'reject-publish' }, ['0', '1', '2'], 2],
    ] as const) {
      const world = new CoreWorld({ limits });
      const session = world.session('s', null, 1000);
      session.queueArguments = new Map(Object.entries(args));
      world.subscribe(session, 'a', 1);
      for (let i = 0; i < 5; i++) world.topic('a', String(i));
      expect(drain(session.queue)).toEqual(left);
      expect(world.broker.counters.refusedQuota).toBe(refused);
    }
  });
});

describe('retained messages', () => {
  test('are replaced, cleared, and refused where there is no room', () => {
    const world = new CoreWorld({ limits: { retained: { countMax: 2, bytesMax: 1000 } } });
    const { vhost } = world;
    const now = world.broker.nowMs;
    expect(vhost.retain('a', textRun('1'))).toBe(0);
    expect(vhost.retain('b', textRun('2'))).toBe(0);
    expect(vhost.retain('c', textRun('3'))).toBe(-1);
    expect(vhost.retain('a', textRun('4'))).toBe(0);
    expect(vhost.retained.get('a', now)!.byteLength).toBe(1);
    expect(vhost.retained.get('c', now)).toBeNull();
    expect(world.broker.counters.refusedQuota).toBe(1);
    expect(vhost.retain('a', null)).toBe(0);
    expect(vhost.retain('a', null)).toBe(0);
    expect(vhost.retain('c', textRun('5'))).toBe(0);
  });

  test('expire with the tick', () => {
    const world = new CoreWorld();
    world.vhost.retain('a', textRun('1', { expiresAtMs: world.broker.nowMs + 100 }));
    world.vhost.retain('b', textRun('2'));
    world.advance(99);
    expect(world.vhost.retained.count).toBe(2);
    world.advance(1);
    expect(world.vhost.retained.count).toBe(1);
  });
});

test('an exchange of an unknown type is refused before anything changes', () => {
  const world = new CoreWorld();
  const { generation } = world.vhost;
  const spec = exchangeSpec('e', 'nonsense', { durable: true, autoDelete: false, internal: false }, new Map());
  expect(refusal(() => world.vhost.declareExchange(spec))).toMatch(/^invalid-argument/);
  expect(world.vhost.exchanges.has('e')).toBe(false);
  expect(world.vhost.generation).toBe(generation);
});
