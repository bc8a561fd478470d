// Queues against their model (queue-model.ts), with and without a log behind them; then one by one what the model cannot say.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Outcome } from '../../src/core/consumer.ts';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import { type Item, ModelConsumer, QueueModel, Taker, Where } from './queue-model.ts';
import { textRun } from './runs.ts';
import { type LogKind, numbers, STEP, type Step, TAKERS, TestQueue } from './test-queue.ts';

// ---- against the model

interface Setup {
  readonly log: LogKind;
  readonly priorities: boolean;
  readonly messageTtlMs: number | null;
  readonly messagesExpire: boolean;
  readonly lengthMax: number | null;
  readonly bytesMax: number | null;
  readonly reject: boolean;
  readonly holds: boolean;
}

/** Plain comparisons: there are too many for expect(). */
function same(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, not ${expected}`);
}

class Comparison {
  readonly test: TestQueue;
  readonly model: QueueModel;
  readonly takers = TAKERS.map(({ credit, auto }, i) => new Taker(`taker ${i}`, credit, auto));
  readonly consumers = TAKERS.map(({ credit, auto }) => new ModelConsumer(credit, auto));
  private readonly setup: Setup;
  private readonly held: { readonly tag: number; readonly count: number; readonly items: readonly Item[] }[] = [];
  private next = 0;

  constructor(setup: Setup) {
    this.setup = setup;
    const args: Record<string, string> = {};
    if (setup.priorities) args['x-max-priority'] = '3';
    if (setup.messageTtlMs !== null) args['x-message-ttl'] = String(setup.messageTtlMs);
    if (setup.lengthMax !== null) args['x-max-length'] = String(setup.lengthMax);
    if (setup.bytesMax !== null) args['x-max-length-bytes'] = String(setup.bytesMax);
    if (setup.reject) args['x-overflow'] = 'reject-publish';
    this.test = new TestQueue({ log: setup.log, args });
    this.model = new QueueModel(this.test.queue.spec, this.test.owner.nowMs);
  }

  /** Messages in the log expire when they are read, so what is counted differs for a while; what is delivered never does. */
  get countsAgree(): boolean {
    return this.setup.log === 'none' || (this.setup.messageTtlMs === null && !this.setup.messagesExpire);
  }

  perform(step: Step): void {
    const { test, model } = this;
    const { queue } = test;
    switch (step.kind) {
      case 'publish':
        this.publish(step);
        return;
      case 'attach': {
        const taker = this.takers[step.taker]!;
        const consumer = this.consumers[step.taker]!;
        if (model.consumers.includes(consumer)) return;
        queue.attach(taker, false);
        model.attach(consumer);
        return;
      }
      case 'detach':
        queue.detach(this.takers[step.taker]!);
        model.detach(this.consumers[step.taker]!);
        return;
      case 'credit': {
        const taker = this.takers[step.taker]!;
        if (taker.auto) return;
        test.give(taker, step.credit);
        this.consumers[step.taker]!.credit += step.credit;
        model.pump();
        return;
      }
      case 'settle': {
        const { got } = this.takers[step.taker]!;
        if (got.length === 0) return;
        // Mostly of the latest, so that it is often one that is still unsettled.
        const { tag, text } = got[Math.max(0, got.length - 1 - step.which)]!;
        same(queue.settle(tag, step.outcome), model.settle(text, step.outcome), 'settled');
        return;
      }
      case 'settleRun': {
        const { got } = this.takers[step.taker]!;
        if (got.length === 0) return;
        const { tag } = got[Math.max(0, got.length - 1 - step.which)]!;
        // Whoever has them, or had.
        const texts = new Map(this.takers.flatMap((taker) => taker.got.map((one) => [one.tag, one.text])));
        queue.settleRun(tag, step.count);
        for (let i = 0; i < step.count; i++) {
          const text = texts.get(tag + i);
          if (text !== undefined) model.settle(text, Outcome.Accepted);
        }
        return;
      }
      case 'release': {
        const released = this.held.shift();
        if (released === undefined) return;
        queue.release(released.tag, released.count);
        for (const item of released.items) if (item.where === Where.Held) item.where = Where.Ready;
        model.run();
        return;
      }
      case 'purge': {
        const count = queue.purge();
        const purged = model.purge();
        if (this.countsAgree) expect(count).toBe(purged);
        return;
      }
      case 'answer':
        test.slow?.answer(1);
        return;
      case 'advance':
        test.owner.nowMs += step.ms;
        model.nowMs += step.ms;
        queue.expire(test.owner.nowMs);
        model.expire();
    }
  }

  private publish(step: Step & { readonly kind: 'publish' }): void {
    const { test, model, setup } = this;
    const expires = setup.messagesExpire && step.ttlMs > 0;
    const guarantee = step.transient ? 0 : step.held && setup.holds ? 2 : 1;
    const held = guarantee === 2;
    const texts = Array.from({ length: expires ? 1 : step.count }, () => `${this.next++}`.padEnd(step.bytes, '.'));
    const nowMs = test.owner.nowMs;
    const expiresAtMs = expires ? nowMs + step.ttlMs : 0;
    const run = textRun(texts, { guarantee, priority: step.priority, expiresAtMs, receivedAtMs: nowMs });
    const refused = model.refuses(texts);
    same(test.queue.refuses(run), refused, 'refused');
    if (refused) return;
    const tag = test.publish(texts, { guarantee, priority: step.priority, expiresAtMs, held });
    const byQueue = setup.messageTtlMs === null ? Number.POSITIVE_INFINITY : nowMs + setup.messageTtlMs;
    const items = texts.map(
      (text): Item => ({
        text,
        level: setup.priorities ? Math.min(step.priority, 3) : 0,
        expiresAtMs: Math.min(byQueue, expires ? expiresAtMs : Number.POSITIVE_INFINITY),
        logged: guarantee > 0,
        where: held ? Where.Held : Where.Ready,
        by: null,
        attempts: 0,
      }),
    );
    if (held) this.held.push({ tag, count: texts.length, items });
    model.deliver(items);
  }

  expectSame(): void {
    const { test, model } = this;
    const { queue, counters } = test;
    const got = this.takers.map((taker) => taker.texts.join());
    const expected = this.consumers.map((consumer) => consumer.got.join());
    same(got.join('; '), expected.join('; '), 'what consumers got');
    same(queue.unsettledCount, model.unsettled.length, 'unsettledCount');
    same(queue.consumerCount, model.consumers.length, 'consumerCount');
    if (!this.countsAgree) return;
    same(queue.readyCount, model.ready.length, 'readyCount');
    same(counters.droppedExpired, model.expired, 'droppedExpired');
    same(counters.droppedOverflow, model.overflown, 'droppedOverflow');
    same(counters.droppedRejected, model.rejected, 'droppedRejected');
  }

  /** Everything that is left comes to one last consumer, in order; then nothing is left, in the queue or in its log. */
  expectSameRest(): void {
    const { test, model } = this;
    for (let i = 0; i < this.takers.length; i++) this.perform({ kind: 'detach', taker: i });
    while (this.held.length > 0) this.perform({ kind: 'release' });
    const last = test.attach(1, true);
    const consumer = new ModelConsumer(1, true);
    model.attach(consumer);
    test.slow?.answer();
    expect(last.texts).toEqual(consumer.got);
    expect(test.queue.readyCount).toBe(0);
    expect(test.queue.unsettledCount).toBe(0);
    if (test.log !== null) expect(test.log.count).toBe(0);
  }
}

const limits = fc.record({
  lengthMax: fc.option(fc.integer({ min: 0, max: 12 })),
  bytesMax: fc.option(fc.integer({ min: 0, max: 60 })),
  reject: fc.boolean(),
});
const NO_LIMITS = { lengthMax: null, bytesMax: null, reject: false };
const expiries = fc.record({
  messageTtlMs: fc.option(fc.integer({ min: 0, max: 40 })),
  messagesExpire: fc.boolean(),
});
const NO_EXPIRY = { messageTtlMs: null, messagesExpire: false };

describe('a queue does what its model does', () => {
  function check(setups: fc.Arbitrary<Setup>, numRuns: number, exact = true): void {
    fc.assert(
      fc.property(setups, fc.array(STEP, { maxLength: 80, size: 'max' }), (setup, steps) => {
        const comparison = new Comparison(setup);
        for (const step of steps) {
          comparison.perform(step);
          if (exact) comparison.expectSame();
        }
        comparison.expectSameRest();
      }),
      { numRuns },
    );
  }

  test('without a log: priorities, limits, expiry, held messages', () => {
    check(
      fc
        .record({ log: fc.constant('none' as const), priorities: fc.boolean(), holds: fc.boolean(), limits, expiries })
        .map(({ limits: limited, expiries: expiring, ...setup }) => ({ ...setup, ...limited, ...expiring })),
      250,
    );
  });

  test('with a log that answers at once: limits, held messages', () => {
    check(
      fc
        .record({ log: fc.constant('memory' as const), holds: fc.boolean(), limits })
        .map(({ limits: limited, ...setup }) => ({ ...setup, ...limited, ...NO_EXPIRY, priorities: false })),
      250,
    );
  });

  // Held messages in the log expire with their release, those in the window at their time: they are left out here.
  test('with a log that answers at once: expiry', () => {
    check(
      fc
        .record({ log: fc.constant('memory' as const), holds: fc.constant(false), expiries })
        .map(({ expiries: expiring, ...setup }) => ({ ...setup, ...expiring, ...NO_LIMITS, priorities: false })),
      250,
    );
  });

  // With answers that come later, who gets what depends on when. Everything else does not: see backlog.test.ts.
});

// ---- one by one

describe('consumers', () => {
  test('take turns message by message, whoever has credit', () => {
    const it = new TestQueue();
    const [a, b, c] = [it.attach(3), it.attach(1), it.attach(10)];
    it.publish(numbers(8));
    expect([a.texts, b.texts, c.texts]).toEqual([['0', '3', '5'], ['1'], ['2', '4', '6', '7']]);
  });

  test('who is alone gets a run in one piece, as far as the credit goes', () => {
    const it = new TestQueue();
    const taker = it.attach(3);
    it.publish(numbers(5));
    expect(taker.texts).toEqual(['0', '1', '2']);
    expect(taker.countMax).toBe(3);
    expect(taker.credit.available).toBe(0);
  });

  test('who takes messages as done gets its credit back', () => {
    const it = new TestQueue();
    const taker = it.attach(2, true);
    it.publish(numbers(5));
    expect(taker.texts).toEqual(numbers(5));
    expect(taker.credit.available).toBe(2);
    expect(it.queue.unsettledCount).toBe(0);
  });

  test('one that is exclusive stands alone', () => {
    const { queue } = new TestQueue();
    expect(queue.mayAttach(true)).toBe(true);
    const first = new Taker('first', 0);
    queue.attach(first, false);
    expect(queue.mayAttach(false)).toBe(true);
    expect(queue.mayAttach(true)).toBe(false);
    queue.detach(first);
    queue.attach(first, true);
    expect(queue.mayAttach(false)).toBe(false);
    queue.detach(first);
    expect(queue.mayAttach(true)).toBe(true);
  });

  test('what one leaves behind goes to the others, with the number of earlier deliveries', () => {
    const it = new TestQueue();
    const first = it.attach(2);
    it.publish(numbers(3));
    const second = it.attach(10);
    expect(second.texts).toEqual(['2']);
    it.queue.detach(first);
    expect(second.got.map(({ text, attempts }) => [text, attempts])).toEqual([
      ['2', 0],
      ['0', 1],
      ['1', 1],
    ]);
    expect(it.queue.attemptsOf(first.got[0]!.tag)).toBe(2);
  });

  test('one that does not keep up is passed over until it says so', () => {
    const it = new TestQueue();
    const [slow, other] = [it.attach(10), it.attach(1)];
    slow.credit.held = true;
    it.publish(numbers(3));
    expect([slow.texts, other.texts]).toEqual([[], ['0']]);
    slow.credit.held = false;
    it.queue.pump();
    expect([slow.texts, slow.credit.available]).toEqual([['1', '2'], 8]);
  });

  test('leaving twice, or without having come, changes nothing', () => {
    const it = new TestQueue();
    const [taker, other] = [it.attach(1), it.attach(1)];
    it.queue.detach(new Taker('stranger', 1));
    it.queue.detach(taker);
    it.queue.detach(taker);
    expect(it.queue.consumerCount).toBe(1);
    it.publish('x');
    expect(other.texts).toEqual(['x']);
  });

  test('the queue says since when nobody has consumed it', () => {
    const it = new TestQueue();
    expect(it.queue.unusedSinceMs).toBe(it.owner.nowMs);
    const taker = it.attach(1);
    expect(it.queue.unusedSinceMs).toBe(0);
    it.advance(50);
    it.queue.detach(taker);
    expect(it.owner.events).toEqual(['used', `not used since ${it.owner.nowMs}`]);
  });

  test('an auto-delete queue goes with the last of them, and not before', () => {
    const it = new TestQueue({ autoDelete: true });
    const [a, b] = [it.attach(1), it.attach(1)];
    it.queue.detach(a);
    expect(it.queue.deleted).toBe(false);
    it.queue.detach(b);
    expect(it.queue.deleted).toBe(true);
    expect(it.owner.events.at(-1)).toBe('unused q');
  });

  test('are told when the queue is deleted, and the log forgets it', () => {
    const it = new TestQueue({ log: 'memory' });
    const taker = it.attach(1);
    it.publish(numbers(3));
    it.queue.delete();
    expect(taker.cancelled).toBe(1);
    expect([...it.storage.log.queueNames()]).toEqual([]);
  });
});

describe('settling', () => {
  test('works once', () => {
    const it = new TestQueue({ log: 'memory' });
    const taker = it.attach(1);
    it.publish('x');
    const [{ tag }] = taker.got as [(typeof taker.got)[number]];
    expect(it.queue.delivery(tag)).toMatchObject({ index: 0, options: AS_PUBLISHED });
    expect(it.queue.sequenceOf(tag)).toBe(1);
    expect(it.queue.settle(tag, Outcome.Accepted)).toBe(true);
    for (const outcome of [Outcome.Accepted, Outcome.Requeued, Outcome.Rejected]) {
      expect(it.queue.settle(tag, outcome)).toBe(false);
    }
    expect(it.queue.delivery(tag)).toBeNull();
    expect(it.queue.sequenceOf(tag)).toBe(0);
    expect(it.log!.count).toBe(0);
    expect(it.counters.droppedRejected).toBe(0);
  });

  test('is refused for what was never delivered', () => {
    const it = new TestQueue();
    const held = it.publish('held', { held: true });
    it.publish('ready');
    for (const tag of [held, held + 1, held + 2, 1e9]) expect(it.queue.settle(tag, Outcome.Accepted)).toBe(false);
    expect(it.queue.readyCount).toBe(2);
  });

  test('is refused for what its consumer has left behind', () => {
    const it = new TestQueue();
    const taker = it.attach(1);
    it.publish('x');
    it.queue.detach(taker);
    expect(it.queue.settle(taker.got[0]!.tag, Outcome.Accepted)).toBe(false);
    expect(it.queue.readyCount).toBe(1);
  });

  test('works for what a consumer keeps although it leaves', () => {
    const it = new TestQueue({ log: 'memory' });
    const taker = it.attach(2);
    it.publish(['kept', 'left']);
    const [kept, left] = taker.got;
    expect(it.queue.keep(kept!.tag)).toBe(true);
    it.queue.detach(taker);
    const other = it.attach(10);
    expect(other.texts).toEqual(['left']);
    expect(it.queue.settle(kept!.tag, Outcome.Accepted)).toBe(true);
    expect(it.queue.keep(kept!.tag)).toBe(false);
    expect(it.queue.settle(left!.tag, Outcome.Accepted)).toBe(true);
    expect(it.log!.count).toBe(0);
  });

  test('works for one that many others have passed', () => {
    const it = new TestQueue({ log: 'memory' });
    const taker = it.attach(Number.POSITIVE_INFINITY);
    it.publish('old');
    for (let i = 0; i < 5000; i++) {
      it.publish('x');
      it.queue.settle(taker.got.at(-1)!.tag, Outcome.Accepted);
    }
    const [{ tag }] = taker.got as [(typeof taker.got)[number]];
    expect(it.queue.unsettledCount).toBe(1);
    expect(it.queue.settle(tag, Outcome.Requeued)).toBe(true);
    expect(taker.got.at(-1)).toMatchObject({ text: 'old', tag, attempts: 1 });
    expect(it.queue.settle(tag, Outcome.Accepted)).toBe(true);
    expect(it.queue.settle(tag, Outcome.Accepted)).toBe(false);
    expect(it.log!.count).toBe(0);
  });

  test('after the queue is deleted touches its log no more', () => {
    const it = new TestQueue({ log: 'memory' });
    const taker = it.attach(3);
    it.publish(numbers(3));
    it.queue.delete();
    for (const outcome of [Outcome.Accepted, Outcome.Rejected, Outcome.Requeued]) {
      expect(() => it.queue.settle(taker.got[outcome]!.tag, outcome)).not.toThrow();
    }
  });

  test('names every message of a run right, in a queue with priorities as well', () => {
    const it = new TestQueue({ args: { 'x-max-priority': '3' } });
    const taker = it.attach(10);
    it.publish(numbers(4), { priority: 2 });
    it.publish(numbers(2, 4), { priority: 9 });
    expect(taker.texts).toEqual(numbers(6));
    for (const { tag, text } of taker.got) {
      const delivery = it.queue.delivery(tag)!;
      expect(
        Buffer.from(
          delivery.run.bytes.subarray(delivery.run.frameStart(delivery.index), delivery.run.frameEnd(delivery.index)),
        ).toString(),
      ).toBe(text);
      expect(it.queue.settle(tag, Outcome.Accepted)).toBe(true);
    }
    expect(it.queue.unsettledCount).toBe(0);
  });
});

describe('priorities', () => {
  test('the highest goes first, what is beyond the highest level counts as that', () => {
    const it = new TestQueue({ args: { 'x-max-priority': '2' } });
    for (const priority of [0, 1, 2, 3, 1]) it.publish(`p${priority}`, { priority });
    expect(it.attach(10, true).texts).toEqual(['p2', 'p3', 'p1', 'p1', 'p0']);
  });

  test('what is requeued comes back to its level, in front', () => {
    const it = new TestQueue({ args: { 'x-max-priority': '2' } });
    const taker = it.attach(1);
    it.publish('low');
    it.publish('high', { priority: 1 });
    it.publish('high too', { priority: 1 });
    it.queue.settle(taker.got[0]!.tag, Outcome.Requeued);
    it.give(taker, 3);
    expect(taker.texts).toEqual(['low', 'high', 'high too', 'low']);
  });
});

describe('expiry', () => {
  test("the smaller of the message's and the queue's time counts", () => {
    const it = new TestQueue({ args: { 'x-message-ttl': '100' } });
    const { nowMs } = it.owner;
    it.publish('by the queue', { expiresAtMs: nowMs + 200 });
    it.publish('by itself', { expiresAtMs: nowMs + 50 });
    it.advance(50);
    expect(it.queue.readyCount).toBe(1);
    it.advance(49);
    expect(it.queue.readyCount).toBe(1);
    it.advance(1);
    expect(it.queue.readyCount).toBe(0);
    expect(it.counters.droppedExpired).toBe(2);
  });

  test('an expired message behind a live one leaves on time', () => {
    const it = new TestQueue();
    it.publish('live');
    it.publish('short', { expiresAtMs: it.owner.nowMs + 10 });
    it.publish('live too');
    expect(it.owner.events).toEqual(['expires']);
    it.advance(10);
    expect(it.queue.readyCount).toBe(2);
    expect(it.attach(10, true).texts).toEqual(['live', 'live too']);
  });

  test('what has expired is not delivered although nobody has dropped it yet', () => {
    const it = new TestQueue();
    it.publish('short', { expiresAtMs: it.owner.nowMs + 10 });
    it.publish('live');
    it.owner.nowMs += 10;
    expect(it.attach(1).texts).toEqual(['live']);
    expect(it.counters.droppedExpired).toBe(1);
  });

  test('what expires with a consumer is its own to settle; given back, it is dropped', () => {
    const it = new TestQueue();
    const taker = it.attach(2);
    it.publish('a', { expiresAtMs: it.owner.nowMs + 10 });
    it.publish('b', { expiresAtMs: it.owner.nowMs + 10 });
    it.advance(10);
    expect(it.queue.unsettledCount).toBe(2);
    expect(it.queue.settle(taker.got[0]!.tag, Outcome.Accepted)).toBe(true);
    it.queue.settle(taker.got[1]!.tag, Outcome.Requeued);
    expect(taker.texts).toEqual(['a', 'b']);
    expect(it.queue.readyCount).toBe(0);
    expect(it.counters.droppedExpired).toBe(1);
  });

  test('also where nobody is left to give it to', () => {
    const it = new TestQueue();
    const taker = it.attach(1);
    it.publish('a', { expiresAtMs: it.owner.nowMs + 10 });
    it.advance(10);
    it.queue.detach(taker);
    it.advance(1);
    expect(it.queue.readyCount).toBe(0);
  });

  test('messages that lie in the log expire although nobody consumes', () => {
    for (const log of ['memory', 'slow'] as const) {
      const it = new TestQueue({ log, args: { 'x-message-ttl': '100' } });
      for (let i = 0; i < 50; i++) it.publish(String(i));
      expect(it.queue.spilled).toBe(true);
      // A few batches at a time: a great many must not hold up everybody else.
      for (let i = 0; i < 20; i++) {
        it.advance(100);
        it.slow?.answer();
      }
      expect(it.queue.readyCount).toBe(0);
      expect(it.log!.count).toBe(0);
      expect(it.counters.droppedExpired).toBe(50);
    }
  });

  test('also those of an earlier life of the broker', () => {
    const storage = new MemoryStorage();
    const before = new TestQueue({ log: 'memory', args: { 'x-message-ttl': '100' } }, storage);
    before.publish(numbers(3));
    const it = new TestQueue({ log: 'memory', args: { 'x-message-ttl': '100' } }, storage);
    expect(it.owner.events).toEqual(['expires']);
    expect(it.queue.readyCount).toBe(3);
    it.advance(100);
    it.advance(1);
    expect(it.queue.readyCount).toBe(0);
    expect(it.log!.count).toBe(0);
  });

  test('the index of a busy queue holds no more than what is there', () => {
    const it = new TestQueue();
    const taker = it.attach(1, true);
    for (let i = 0; i < 50_000; i++) it.publish('x', { expiresAtMs: it.owner.nowMs + 1_000_000 });
    expect(taker.got).toHaveLength(50_000);
    const { expiry } = it.queue as unknown as { readonly expiry: { readonly size: number } };
    expect(expiry.size).toBeLessThan(3000);
  });
});

describe('limits', () => {
  test('drop-head keeps the newest', () => {
    const it = new TestQueue({ args: { 'x-max-length': '3' } });
    for (const text of numbers(10)) it.publish(text);
    expect(it.attach(100, true).texts).toEqual(['7', '8', '9']);
    expect(it.counters.droppedOverflow).toBe(7);
  });

  test('drop-head drops of the lowest priority', () => {
    const it = new TestQueue({ args: { 'x-max-length': '2', 'x-max-priority': '1' } });
    it.publish('low');
    it.publish('high', { priority: 1 });
    it.publish('high too', { priority: 1 });
    expect(it.attach(100, true).texts).toEqual(['high', 'high too']);
  });

  test('what a consumer can take at once is never dropped', () => {
    const it = new TestQueue({ args: { 'x-max-length': '0' } });
    const taker = it.attach(2);
    it.publish(numbers(3));
    expect(taker.texts).toEqual(['0', '1']);
    expect(it.counters.droppedOverflow).toBe(1);
  });

  test('only what is ready counts, in messages and in bytes', () => {
    const it = new TestQueue({ args: { 'x-max-length-bytes': '10', 'x-max-length': '1' } });
    const taker = it.attach(2);
    it.publish('with a consumer');
    it.publish('and one more of these');
    it.publish('ready');
    expect(it.queue.readyCount).toBe(1);
    it.settleAll(taker);
    it.give(taker, 1);
    expect(taker.texts.at(-1)).toBe('ready');
  });

  test.each(['memory', 'slow'] as const)('they hold for what lies in the log (%s)', (log) => {
    for (const args of [{ 'x-max-length': '20' }, { 'x-max-length-bytes': '60' }] as const) {
      const it = new TestQueue({ log, args });
      for (let i = 100; i < 300; i++) {
        it.publish(String(i));
        it.slow?.answer();
        expect(it.queue.readyCount).toBeLessThanOrEqual(20);
      }
      expect(it.log!.count).toBe(20);
      const taker = it.attach(100, true);
      it.slow?.answer();
      expect(taker.texts).toEqual(numbers(20, 280));
      expect(it.counters.droppedOverflow).toBe(180);
    }
  });

  test('reject-publish refuses a publisher when there is no room, also for what lies in the log', () => {
    for (const log of ['none', 'memory'] as const) {
      const it = new TestQueue({ log, args: { 'x-max-length': '20', 'x-overflow': 'reject-publish' } });
      for (let i = 0; i < 20; i++) {
        expect(it.queue.refuses(textRun('x'))).toBe(false);
        it.publish('x');
      }
      expect(it.queue.refuses(textRun('x'))).toBe(true);
      it.attach(1, true);
      expect(it.queue.refuses(textRun('x'))).toBe(false);
    }
  });

  test('a limit in bytes refuses by bytes', () => {
    const it = new TestQueue({ args: { 'x-max-length-bytes': '10', 'x-overflow': 'reject-publish' } });
    it.publish('12345678');
    expect(it.queue.refuses(textRun('123'))).toBe(true);
    expect(it.queue.refuses(textRun('12'))).toBe(false);
  });
});

test('consumers that leave together give back in the order of the queue, and not to each other', () => {
  const it = new TestQueue({});
  const [first, second] = [it.attach(2), it.attach(2)];
  it.publish(numbers(4));
  expect([first.texts, second.texts]).toEqual([
    ['0', '2'],
    ['1', '3'],
  ]);
  const stays = it.attach(10);
  it.give(first, 10);
  it.queue.part(() => {
    it.queue.detach(second);
    it.queue.detach(first);
  });
  expect(first.texts).toEqual(['0', '2']);
  expect(stays.texts).toEqual(numbers(4));
});

test('what expired with a consumer and is given back pushes nothing out that is alive', () => {
  const it = new TestQueue({ args: { 'x-max-length': '2' } });
  const leaves = it.attach(2);
  it.publish('alive');
  it.publish('expires', { expiresAtMs: it.owner.nowMs + 1 });
  it.owner.nowMs++;
  it.queue.expire(it.owner.nowMs);
  it.queue.detach(leaves);
  it.publish('later');
  expect(it.attach(10, true).texts).toEqual(['alive', 'later']);
  expect([it.counters.droppedExpired, it.counters.droppedOverflow]).toEqual([1, 0]);
});
