// The broker over a storage that can wait, fill up and fail; and a second one over what the first has left.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Outcome } from '../../src/core/consumer.ts';
import { Exchange } from '../../src/core/exchange-node.ts';
import { Queue } from '../../src/core/queue.ts';
import type { Codec } from '../../src/core/run.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { type CommitLog, Durability } from '../../src/storage/commit-log.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import type { RecoveryReport, Storage, StorageListener } from '../../src/storage/storage.ts';
import { type CoreOptions, CoreWorld, drain, Link, Sender, subscription } from './core-world.ts';
import { Taker } from './queue-model.ts';
import { textOf, textRun } from './runs.ts';

/** Durable when the test says so; full when the test says so. */
class SlowStorage implements Storage {
  readonly memory = new MemoryStorage();
  readonly log: CommitLog = this.memory.log;
  readonly state: StateStore = this.memory.state;
  full = false;
  listener: StorageListener | null = null;

  open(codecs: ReadonlyMap<number, Codec>, listener: StorageListener): Promise<RecoveryReport> {
    this.listener = listener;
    return this.memory.open(codecs, listener);
  }

  endUnit(): void {
    // Not yet.
  }

  sync(): void {
    this.memory.endUnit();
  }

  setFull(full: boolean): void {
    this.full = full;
    this.listener!.onFull(full);
  }

  close(): Promise<void> {
    return this.memory.close();
  }
}

async function durableWorld(storage: Storage, options: CoreOptions = {}): Promise<CoreWorld> {
  return await new CoreWorld({ storage, durability: Durability.Fsync, ...options }).open();
}

/** The next broker over what this one has left. */
async function restarted(world: CoreWorld, laterMs = 0): Promise<CoreWorld> {
  world.endUnit();
  await world.storage.close();
  const next = new CoreWorld({ storage: world.storage, durability: Durability.Fsync });
  next.broker.setTime(world.broker.nowMs + laterMs);
  return await next.open();
}

// ---- recovery

/** Everything of a virtual host that must survive, as plain values. */
function survivors(vhost: Vhost): unknown {
  const exchanges = [...vhost.exchanges.values()].filter(({ spec }) => spec.durable);
  const queues = [...vhost.queues.values()].filter(({ spec }) => spec.durable);
  const bindings = exchanges.flatMap((exchange) =>
    [...exchange.bindings]
      .filter(
        ({ destination }) =>
          (destination instanceof Queue || destination instanceof Exchange) && destination.spec.durable,
      )
      .map(({ source, destination, key, args }) => [
        source,
        destination instanceof Queue ? destination.name : (destination as Exchange).spec.name,
        key,
        [...args],
      ]),
  );
  const sessions = [...vhost.sessions.values()].filter(({ durable }) => durable);
  return {
    exchanges: exchanges.map(({ spec }) => spec).sort(byName),
    queues: queues
      .map(({ spec, readyCount, unsettledCount }) => ({ ...spec, count: readyCount + unsettledCount }))
      .sort(byName),
    bindings: bindings.map((binding) => JSON.stringify(binding)).sort(),
    sessions: sessions
      .map((session) => ({
        name: session.clientId,
        principal: session.principal.name,
        expiryMs: session.expiryMs,
        stored: session.stores ? (session.queue?.readyCount ?? 0) + (session.queue?.unsettledCount ?? 0) : null,
        queueArguments: [...session.queueArguments],
        subscriptions: [...session.subscriptions.values()]
          .filter(({ exchange }) => exchange === null || vhost.exchanges.get(exchange)?.spec.durable === true)
          .map(({ filter, options, exchange, key, queue }) => ({
            filter,
            options,
            binding: exchange === null ? null : [exchange, key],
            // By its name: one that was deleted and declared again is taken up again.
            queue: queue !== null && vhost.queues.get(queue.name)?.spec.durable === true ? queue.name : null,
          })),
      }))
      .sort(byName),
    retained: retained(vhost),
  };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function retained(vhost: Vhost): string[] {
  const entries: Parameters<ReturnType<Vhost['retained']['walkAll']>['next']>[1] = [];
  const walk = vhost.retained.walkAll();
  while (!walk.next(100, entries, vhost.nowMs));
  return entries
    .map(({ path, run }) => `${path} ${textOf(run, 0)} ${run.guarantee} ${run.priority} ${run.expiresAtMs}`)
    .sort();
}

const NAME = fc.constantFrom('a', 'b', 'c');
const FLAG = fc.boolean();

const CHANGE = fc.oneof(
  fc.record({
    kind: fc.constant('exchange' as const),
    name: NAME,
    durable: FLAG,
    type: fc.constantFrom('topic', 'fanout', 'headers'),
  }),
  fc.record({ kind: fc.constant('queue' as const), name: NAME, durable: FLAG, limited: FLAG }),
  fc.record({
    kind: fc.constantFrom('bindQueue' as const, 'bindExchange' as const, 'unbind' as const),
    from: NAME,
    to: NAME,
    key: NAME,
    args: FLAG,
  }),
  fc.record({
    kind: fc.constantFrom(
      'deleteExchange' as const,
      'deleteQueue' as const,
      'endSession' as const,
      'unsubscribe' as const,
    ),
    name: NAME,
  }),
  fc.record({
    kind: fc.constant('session' as const),
    name: NAME,
    expiryMs: fc.constantFrom(0, 1000, Number.POSITIVE_INFINITY),
    limited: FLAG,
  }),
  fc.record({
    kind: fc.constant('subscribe' as const),
    name: NAME,
    filter: NAME,
    exchange: fc.option(NAME),
    guarantee: fc.constantFrom(0 as const, 1 as const, 2 as const),
  }),
  fc.record({ kind: fc.constant('subscribeQueue' as const), name: NAME, filter: NAME }),
  fc.record({ kind: fc.constant('detach' as const), name: NAME }),
  fc.record({ kind: fc.constant('retain' as const), path: NAME, clear: FLAG, expires: FLAG }),
  fc.record({
    kind: fc.constant('publish' as const),
    path: NAME,
    exchange: fc.option(NAME),
    guarantee: fc.constantFrom(1 as const, 2 as const),
    count: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ kind: fc.constant('take' as const), name: NAME, count: fc.integer({ min: 1, max: 3 }) }),
);

type Change = typeof CHANGE extends fc.Arbitrary<infer T> ? T : never;

/** Where an exchange may be missing, the topic exchange serves. */
function apply(world: CoreWorld, change: Change): void {
  const { vhost } = world;
  const source = (name: string | null): string => (name !== null && vhost.exchanges.has(name) ? name : 'amq.topic');
  const session = (name: string) => vhost.sessions.get(name);
  switch (change.kind) {
    case 'exchange':
      if (!vhost.exchanges.has(change.name))
        world.exchange(change.name, change.type, { durable: change.durable }, { 'alternate-exchange': 'c' });
      return;
    case 'queue': {
      const args = change.limited ? { 'x-max-length': '2', 'x-message-ttl': '100000' } : {};
      if (!vhost.queues.has(change.name)) world.queue(change.name, args, { durable: change.durable });
      return;
    }
    case 'bindQueue':
    case 'bindExchange': {
      const to = change.kind === 'bindQueue' ? vhost.queues.get(change.to) : vhost.exchanges.get(change.to);
      if (to !== undefined) vhost.bind(source(change.from), to, change.key, new Map(change.args ? [['h', 'v']] : []));
      return;
    }
    case 'unbind': {
      const [binding] = vhost.exchanges.get(source(change.from))!.bindings;
      if (binding !== undefined && binding.subscription === null) vhost.unbind(binding);
      return;
    }
    case 'deleteExchange':
      vhost.deleteExchange(change.name);
      return;
    case 'deleteQueue': {
      const queue = vhost.queues.get(change.name);
      if (queue !== undefined) vhost.deleteQueue(queue);
      return;
    }
    case 'session': {
      if (session(change.name) !== undefined) return;
      const made = vhost.sessions.create({ name: `user of ${change.name}`, policy: null }, change.name);
      if (change.limited) made.queueArguments = new Map([['x-max-length', '2']]);
      vhost.sessions.attach(made, new Link(), change.expiryMs);
      return;
    }
    case 'endSession': {
      const ending = session(change.name);
      if (ending !== undefined) vhost.sessions.end(ending);
      return;
    }
    case 'detach': {
      const leaving = session(change.name);
      if (leaving !== undefined && leaving.link !== null) vhost.sessions.detach(leaving);
      return;
    }
    case 'subscribe': {
      const subscriber = session(change.name);
      const options = subscription(change.guarantee, { noLocal: true, subscriptionIdentifier: 5 });
      if (subscriber !== undefined)
        vhost.sessions.subscribe(subscriber, change.filter, source(change.exchange), change.filter, options);
      return;
    }
    case 'subscribeQueue': {
      const subscriber = session(change.name);
      const queue = vhost.queues.get(change.name);
      if (subscriber !== undefined && queue !== undefined)
        vhost.sessions.subscribeQueue(subscriber, `$queue/${change.filter}`, queue, subscription(1));
      return;
    }
    case 'unsubscribe': {
      const subscriber = session(change.name);
      if (subscriber !== undefined) vhost.sessions.unsubscribe(subscriber, change.name);
      return;
    }
    case 'retain': {
      const expiresAtMs = change.expires ? world.broker.nowMs + 10_000 : 0;
      vhost.retain(
        change.path,
        change.clear ? null : textRun(`retained ${change.path}`, { priority: 3, expiresAtMs, guarantee: 2 }),
      );
      return;
    }
    case 'publish':
      for (let i = 0; i < change.count; i++)
        world.publish(source(change.exchange), change.path, 'x', { guarantee: change.guarantee });
      return;
    case 'take': {
      const queue = vhost.queues.get(change.name);
      if (queue === undefined) return;
      const taker = new Taker('t', change.count);
      queue.attach(taker, false);
      // One is settled, the others go back.
      if (taker.got.length > 0) queue.settle(taker.got[0]!.tag, Outcome.Accepted);
      queue.detach(taker);
    }
  }
}

describe('a second broker over the same storage', () => {
  test('has all that is durable, whatever came and went before', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(CHANGE, { maxLength: 60, size: 'max' }), async (changes) => {
        const first = await durableWorld(new MemoryStorage());
        for (const change of changes) apply(first, change);
        const before = survivors(first.vhost);
        const names = [...first.storage.log.queueNames()].sort();
        const second = await restarted(first);
        expect(survivors(second.vhost)).toEqual(before);
        expect([...second.storage.log.queueNames()].sort()).toEqual(names);
        // To come back changes nothing of what is stored.
        const third = await restarted(second);
        expect(survivors(third.vhost)).toEqual(before);
      }),
      { numRuns: 150 },
    );
  });

  test('routes as the first did', async () => {
    const first = await durableWorld(new MemoryStorage());
    first.exchange('inner', 'headers');
    first.vhost.bind('amq.topic', first.vhost.exchanges.get('inner')!, 'a/#');
    first.bound('q', 'inner', '', { colour: 'red' });
    first.subscribe(first.session('s', new Link(), 1000), 'a/+', 2);
    const second = await restarted(first);
    second.topic('a/b', 'red', { headers: ['colour', 'red'] });
    second.topic('a/b', 'blue', { headers: ['colour', 'blue'] });
    expect(drain(second.vhost.queues.get('q')!)).toEqual(['red']);
    expect(drain(second.vhost.sessions.get('s')!.queue)).toEqual(['red', 'blue']);
  });

  test('has the messages of its queues, those included that were with consumers, in order', async () => {
    const first = await durableWorld(new MemoryStorage());
    const queue = first.bound('q', 'amq.topic', 'a');
    const taker = new Taker('t', 2);
    queue.attach(taker, false);
    first.topic('a', ['1', '2', '3']);
    queue.settle(taker.got[0]!.tag, Outcome.Accepted);
    first.topic('a', 'transient', { guarantee: 0 });
    const second = await restarted(first);
    expect(drain(second.vhost.queues.get('q')!)).toEqual(['2', '3']);
  });

  test('has forgotten what was not durable', async () => {
    const first = await durableWorld(new MemoryStorage());
    first.exchange('e', 'fanout', { durable: false });
    first.queue('q', {}, { durable: false });
    first.queue('in memory', { 'x-durability': 'memory' });
    first.publish('', 'in memory', 'x');
    first.subscribe(first.session('s', new Link(), 0), 'a', 1);
    const second = await restarted(first);
    expect(second.vhost.exchanges.has('e')).toBe(false);
    expect([...second.vhost.queues.keys()]).toEqual(['in memory']);
    expect(drain(second.vhost.queues.get('in memory')!)).toEqual([]);
    expect(second.vhost.sessions.size).toBe(0);
  });

  test('has the other virtual hosts, too', async () => {
    const first = await durableWorld(new MemoryStorage());
    const other = first.broker.addVhost('other');
    other.retain('a/b', textRun('here'));
    const second = await restarted(first);
    expect(retained(second.broker.vhosts.get('other')!)).toEqual(['a/b here 1 0 0']);
    expect(retained(second.vhost)).toEqual([]);
  });

  test('lets a session that was away end at its time, and one that was cut off so long after the start', async () => {
    const first = await durableWorld(new MemoryStorage());
    for (const id of ['away', 'cut off']) first.session(id, new Link(), 1000);
    first.vhost.sessions.detach(first.vhost.sessions.get('away')!);
    first.advance(400);
    const second = await restarted(first, 200);
    second.advance(399);
    expect([...second.vhost.sessions.keys()].sort()).toEqual(['away', 'cut off']);
    second.advance(1);
    expect([...second.vhost.sessions.keys()]).toEqual(['cut off']);
    second.advance(600);
    expect(second.vhost.sessions.size).toBe(0);
  });

  test('starts although an exchange that a session has subscribed to is gone', async () => {
    const first = await durableWorld(new MemoryStorage());
    const session = first.session('s', new Link(), 1000);
    first.exchange('gone', 'topic', { durable: false });
    first.exchange('deleted', 'topic');
    for (const exchange of ['gone', 'deleted'])
      first.vhost.sessions.subscribe(session, exchange, exchange, 'a', subscription(1));
    first.subscribe(session, 'b', 1);
    first.vhost.deleteExchange('deleted');
    const second = await restarted(first);
    expect([...second.vhost.sessions.get('s')!.subscriptions.keys()]).toEqual(['b']);
  });

  test('forgets the messages of a session that had stopped being durable', async () => {
    const first = await durableWorld(new MemoryStorage());
    const session = first.session('s', new Link(), 1000);
    first.subscribe(session, 'a', 1);
    first.topic('a', 'x');
    first.vhost.sessions.setExpiry(session, 0);
    const second = await restarted(first);
    expect([...second.storage.log.queueNames()]).toEqual([]);
    second.subscribe(second.session('s', new Link(), 1000), 'a', 1);
    expect(drain(second.vhost.sessions.get('s')!.queue)).toEqual([]);
  });

  test('asks nothing of a storage that forgets', async () => {
    const storage = new MemoryStorage();
    const first = await new CoreWorld({ storage }).open();
    first.queue('q');
    first.session('s', new Link(), 1000);
    expect(first.broker.state).toBeNull();
    await storage.close();
    const second = await new CoreWorld({ storage }).open();
    expect(second.vhost.queues.size).toBe(0);
    expect(storage.log.position).toBe(0);
  });
});

// ---- durability

describe('what is not durable yet', () => {
  test('is not confirmed: publish gives the position to wait for, and the publisher hears when it is reached', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    world.bound('q', 'amq.topic', 'a');
    storage.sync();
    const sender = new Sender();
    const { position } = world.topic('a', 'x', { publisher: sender });
    expect(position).toBeGreaterThan(storage.log.durablePosition);
    world.broker.awaitDurable(sender);
    world.endUnit();
    expect(sender.durable).toEqual([]);
    storage.sync();
    expect(sender.durable).toEqual([position]);
    sender.awaitsDurable = false;
    world.topic('a', 'y', { publisher: sender });
    storage.sync();
    expect(sender.durable).toEqual([position]);
  });

  test('is told once to each, in whatever way those who are told end a turn, leave, or wait again', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    world.bound('q', 'amq.topic', 'a');
    const [first, second, third] = [new Sender(), new Sender(), new Sender()];
    const positions = [first, second, third].map((publisher) => world.topic('a', 'x', { publisher }).position);
    for (const sender of [first, second, third]) world.broker.awaitDurable(sender);
    let later = 0;
    second.whenDurable = () => {
      second.awaitsDurable = false;
      if (second.durable.length > 1) return;
      // Within the pass: one more message, durable at once; and it waits for that as well.
      later = world.topic('a', 'y', { publisher: second }).position;
      second.awaitsDurable = true;
      world.broker.awaitDurable(second);
      storage.sync();
    };
    third.whenDurable = () => {
      third.awaitsDurable = false;
    };
    world.endUnit();
    storage.sync();
    const reached = Math.max(...positions);
    expect(later).toBeGreaterThan(reached);
    expect(first.durable).toEqual([reached, later]);
    expect(second.durable).toEqual([reached, later]);
    expect(third.durable).toEqual([later]);
    expect([first, second, third].map(({ listedAwaiting }) => listedAwaiting)).toEqual([true, false, false]);
    world.topic('a', 'z', { publisher: third });
    third.awaitsDurable = true;
    world.broker.awaitDurable(third);
    storage.sync();
    expect([first.durable.length, second.durable.length, third.durable.length]).toEqual([3, 2, 2]);
  });

  test('has nothing to wait for where no durable queue is reached, or the message need not be kept', async () => {
    const world = await durableWorld(new SlowStorage());
    world.vhost.bind('amq.topic', world.queue('q', {}, { durable: false }), 'a');
    expect(world.topic('a', 'x').position).toBe(0);
    expect(world.topic('nowhere', 'x').position).toBe(0);
    const kept = world.bound('kept', 'amq.topic', 'b');
    expect(world.topic('b', 'x', { guarantee: 0 }).position).toBe(0);
    const run = textRun('not to be kept');
    run.persistent = false;
    expect(world.vhost.publish(run, world.resolve('amq.topic', 'b'))).toBe(0);
    expect(drain(kept)).toEqual(['x', 'not to be kept']);
  });

  test('is delivered all the same, unless it is to come exactly once', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    const queue = world.bound('q', 'amq.topic', 'a');
    const taker = new Taker('t', 10);
    queue.attach(taker, false);
    world.topic('a', 'one', { guarantee: 1 });
    world.topic('a', 'two', { guarantee: 2 });
    world.topic('a', 'behind', { guarantee: 1 });
    expect(taker.texts).toEqual(['one']);
    world.endUnit();
    expect(taker.texts).toEqual(['one']);
    storage.sync();
    expect(taker.texts).toEqual(['one', 'two', 'behind']);
    world.topic('a', 'three', { guarantee: 2 });
    expect(taker.texts).toEqual(['one', 'two', 'behind']);
  });

  test('that goes for what has no room in memory as well', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    const queue = world.bound('q', 'amq.topic', 'a');
    const large = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 6; i++) world.topic('a', `${i}${large}`);
    storage.sync();
    expect(queue.spilled).toBe(true);
    world.topic('a', 'held', { guarantee: 2 });
    const taker = new Taker('t', 100);
    queue.attach(taker, false);
    expect(taker.texts.map((text) => text.slice(0, 4))).toEqual(['0xxx', '1xxx', '2xxx', '3xxx', '4xxx', '5xxx']);
    storage.sync();
    expect(taker.texts.at(-1)).toBe('held');
  });

  test('a deleted queue is not woken up by what becomes durable', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    const queue = world.bound('q', 'amq.topic', 'a');
    const taker = new Taker('t', 10);
    queue.attach(taker, false);
    world.topic('a', 'two', { guarantee: 2 });
    world.vhost.deleteQueue(queue);
    storage.sync();
    expect(taker.texts).toEqual([]);
  });

  test('becomes so never when the log has failed: publishers are told, once each', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    const [waiting, other] = [new Sender(), new Sender()];
    world.broker.awaitDurable(waiting);
    storage.listener!.onFailed(new Error('sync'));
    expect([waiting.failed, other.failed]).toEqual([1, 0]);
    expect(world.broker.failed).toBeInstanceOf(Error);
  });
});

describe('settlements', () => {
  test('are told to the log with the unit, or when somebody has to answer for them, each once', async () => {
    const world = await durableWorld(new MemoryStorage());
    const queue = world.bound('q', 'amq.topic', 'a');
    const taker = new Taker('t', 10);
    queue.attach(taker, false);
    world.topic('a', ['0', '1', '2', '3', '4', '5']);
    const settle = (...which: number[]): void => {
      for (const i of which) queue.settle(taker.got[i]!.tag, Outcome.Accepted);
    };
    settle(4, 5);
    expect([queue.log!.count, queue.unsettledCount]).toEqual([6, 4]);
    world.broker.positionOfAll();
    expect(queue.log!.count).toBe(4);
    // In any order: only what is consecutive is one range.
    settle(2, 0, 1);
    world.endUnit();
    expect(queue.log!.count).toBe(1);
    world.endUnit();
    settle(3);
    world.vhost.deleteQueue(queue);
    world.endUnit();
    expect([...world.storage.log.queueNames()]).toEqual([]);
  });
});

describe('publishers', () => {
  test('wait when the log has too much on its way, until half of it is durable', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    world.bound('q', 'amq.topic', 'a');
    const sender = new Sender();
    const text = 'x'.repeat(600);
    world.topic('a', text, { publisher: sender });
    expect(sender.paused).toBe(0);
    for (let i = 0; i < 3; i++) world.topic('a', text, { publisher: sender });
    expect(sender.paused).toBe(1);
    storage.sync();
    expect(sender.paused).toBe(0);
  });

  test('wait while memory is short', async () => {
    const world = await durableWorld(new SlowStorage());
    world.vhost.bind('amq.topic', world.queue('q', {}, { durable: false }), 'a');
    const sender = new Sender();
    world.broker.setMemoryHigh(true);
    for (let i = 0; i < 3; i++) world.topic('a', 'x', { publisher: sender });
    expect(sender.onHold).toBe(1);
    world.broker.setMemoryHigh(false);
    expect(sender.onHold).toBe(0);
  });

  test('both reasons to wait count for themselves', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    world.bound('q', 'amq.topic', 'a');
    const sender = new Sender();
    world.broker.pauseUntilDrained(sender);
    world.topic('a', 'x'.repeat(2000), { publisher: sender });
    expect(sender.paused).toBe(2);
    world.broker.onOutputDrained();
    expect(sender.paused).toBe(1);
    storage.sync();
    expect(sender.paused).toBe(0);
  });

  test('are forgotten with their connection', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    world.bound('q', 'amq.topic', 'a');
    const sender = new Sender();
    world.broker.pauseUntilDrained(sender);
    world.topic('a', 'x'.repeat(2000), { publisher: sender });
    world.broker.awaitDurable(sender);
    sender.awaitsDurable = false;
    world.broker.forgetPublisher(sender);
    world.broker.onOutputDrained();
    storage.sync();
    storage.listener!.onFailed(new Error('sync'));
    expect([sender.paused, sender.durable, sender.failed]).toEqual([2, [], 0]);
  });

  test('are refused while the disk is full, if their messages would have to be stored', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    const queue = world.bound('q', 'amq.topic', 'a');
    const link = new Link();
    world.subscribe(world.session('s', link), 'a', 0);
    storage.setFull(true);
    const refused = world.topic('a', 'stored', { guarantee: 1 });
    expect([refused.position, refused.run.refused]).toEqual([0, 'quota-exceeded']);
    expect(world.topic('a', 'transient', { guarantee: 0 }).run.refused).toBeNull();
    expect(link.got).toEqual(['transient']);
    storage.setFull(false);
    expect(world.topic('a', 'again', { guarantee: 1 }).run.refused).toBeNull();
    expect(drain(queue)).toEqual(['transient', 'again']);
    expect(world.broker.counters.refusedQuota).toBe(1);
  });

  test('what would have to follow others into a full log is dropped and counted', async () => {
    const storage = new SlowStorage();
    const world = await durableWorld(storage);
    const queue = world.bound('q', 'amq.topic', 'a');
    const large = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 6; i++) world.topic('a', large);
    expect(queue.spilled).toBe(true);
    storage.setFull(true);
    const { position } = storage.log;
    expect(world.topic('a', ['transient', 'too'], { guarantee: 0 }).run.refused).toBeNull();
    expect(storage.log.position).toBe(position);
    expect(world.broker.counters.droppedOverflow).toBe(2);
  });
});
