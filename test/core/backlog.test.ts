// Queues whose messages lie in the log for the most part, and are read back now or later.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Backlog } from '../../src/core/backlog.ts';
import { Outcome } from '../../src/core/consumer.ts';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import { Durability, LogTargets } from '../../src/storage/commit-log.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import { Taker } from './queue-model.ts';
import { textRun } from './runs.ts';
import { numbers, SMALL, STEP, type Step, TAKERS, TestQueue } from './test-queue.ts';

describe('with a log that answers later', () => {
  /** Every message is either with a consumer, settled or still there; each consumer gets them in order; none comes twice without a reason. */
  test('nothing is lost, nothing is invented, and the order is kept', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(STEP, { maxLength: 80, size: 'max' }), (holds, steps) => {
        const { test: it, ...comparison } = follow(holds, steps);
        const { published, purged, settled, requeued, held } = comparison;
        for (const taker of comparison.takers) taker.credit.available = 0;
        for (const taker of comparison.takers) it.queue.detach(taker);
        for (const release of held) it.queue.release(release.tag, release.count);
        const last = it.attach(1, true);
        it.slow!.answer();
        expect(it.queue.readyCount).toBe(0);
        expect(it.log!.count).toBe(0);
        // What comes at the end is all there is left, in the order in which it was published.
        const gone = new Set([...purged, ...settled]);
        expect(last.texts).toEqual(published.filter((text) => !gone.has(text)));
        // Before that each message came once, and once more for each time it was given back.
        const times = new Map<string, number>();
        for (const taker of comparison.takers)
          for (const { text } of taker.got) times.set(text, (times.get(text) ?? 0) + 1);
        for (const [text, count] of times) expect(count).toBeLessThanOrEqual(1 + (requeued.get(text) ?? 0));
      }),
      { numRuns: 250 },
    );
  });

  function follow(holds: boolean, steps: readonly Step[]) {
    const it = new TestQueue({ log: 'slow' });
    const takers = TAKERS.map(({ credit, auto }, i) => new Taker(`taker ${i}`, credit, auto));
    const attached = new Set<Taker>();
    const published: string[] = [];
    const purged: string[] = [];
    const settled: string[] = [];
    const requeued = new Map<string, number>();
    const held: { readonly tag: number; readonly count: number }[] = [];
    const unsettled = new Map<number, { readonly text: string; readonly taker: Taker }>();
    const seen = new Map<Taker, number>();
    let next = 0;
    const look = (): void => {
      for (const taker of takers) {
        for (const { text, tag } of taker.got.slice(seen.get(taker) ?? 0)) {
          if (taker.auto) settled.push(text);
          else unsettled.set(tag, { text, taker });
        }
        seen.set(taker, taker.got.length);
      }
    };
    for (const step of steps) {
      switch (step.kind) {
        case 'publish': {
          const texts = Array.from({ length: step.count }, () => `${next++}`.padEnd(step.bytes, '.'));
          const isHeld = step.held && holds;
          published.push(...texts);
          const tag = it.publish(texts, { guarantee: isHeld ? 2 : step.transient ? 0 : 1, held: isHeld });
          if (isHeld) held.push({ tag, count: texts.length });
          break;
        }
        case 'attach': {
          const taker = takers[step.taker]!;
          if (!attached.has(taker)) it.queue.attach(taker, false);
          attached.add(taker);
          break;
        }
        case 'detach': {
          const taker = takers[step.taker]!;
          for (const [tag, delivery] of unsettled) {
            if (delivery.taker !== taker || !attached.has(taker)) continue;
            unsettled.delete(tag);
            requeued.set(delivery.text, (requeued.get(delivery.text) ?? 0) + 1);
          }
          attached.delete(taker);
          it.queue.detach(taker);
          break;
        }
        case 'credit':
          if (!takers[step.taker]!.auto) it.give(takers[step.taker]!, step.credit);
          break;
        case 'settle': {
          const [tag, delivery] = [...unsettled][step.which % Math.max(1, unsettled.size)] ?? [];
          if (tag === undefined || delivery === undefined) break;
          unsettled.delete(tag);
          if (step.outcome === Outcome.Requeued) requeued.set(delivery.text, (requeued.get(delivery.text) ?? 0) + 1);
          else settled.push(delivery.text);
          expect(it.queue.settle(tag, step.outcome)).toBe(true);
          break;
        }
        case 'settleRun': {
          const [first] = [...unsettled.keys()].slice(step.which % Math.max(1, unsettled.size));
          if (first === undefined) break;
          for (let tag = first; tag < first + step.count; tag++) {
            const delivery = unsettled.get(tag);
            if (delivery === undefined) continue;
            unsettled.delete(tag);
            settled.push(delivery.text);
          }
          it.queue.settleRun(first, step.count);
          break;
        }
        case 'release': {
          const release = held.shift();
          if (release !== undefined) it.queue.release(release.tag, release.count);
          break;
        }
        case 'purge': {
          const { readyCount } = it.queue;
          look();
          const here = new Set([...unsettled.values()].map(({ text }) => text));
          const left = published.filter((text) => !settled.includes(text) && !purged.includes(text) && !here.has(text));
          expect(left.length).toBe(readyCount);
          expect(it.queue.purge()).toBe(readyCount);
          expect(it.queue.readyCount).toBe(0);
          purged.push(...left);
          break;
        }
        case 'answer':
          it.slow!.answer(1);
          break;
        case 'advance':
          it.advance(step.ms);
      }
      look();
    }
    return { test: it, takers, published, purged, settled, requeued, held };
  }
});

describe('the log behind the window', () => {
  test('a queue of an earlier life gives everything, in order', () => {
    const storage = new MemoryStorage();
    const before = new TestQueue({ log: 'memory' }, storage);
    for (const text of numbers(30)) before.publish(text);
    before.settleAll(before.attach(7));
    const it = new TestQueue({ log: 'memory' }, storage);
    expect(it.queue.readyCount).toBe(23);
    expect(it.attach(3).texts).toEqual(['7', '8', '9']);
    const taker = it.attach(100, true);
    expect(taker.texts).toEqual(numbers(20, 10));
    expect(it.log!.count).toBe(3);
  });

  test('the bytes of an earlier life, which nobody knew, are not taken off those of this one', async () => {
    const storage = new MemoryStorage();
    await storage.open(new Map(), { onDurable: () => undefined, onFailed: () => undefined, onFull: () => undefined });
    const kept = storage.log.openQueue('kept', Durability.Fsync);
    storage.log.append(textRun(['a', 'bb', 'ccc']), new LogTargets([kept], [AS_PUBLISHED]));
    const given: [number, number][] = [];
    let wants = false;
    const backlog = new Backlog(
      kept,
      {
        get wantsMore() {
          return wants;
        },
        onLoaded: (sequence, _run, _index, count) => given.push([sequence, count]),
        onBatch: () => undefined,
        onSettling: () => undefined,
      },
      4,
      1e9,
    );
    const run = textRun(['dddd', 'eeeee']).own();
    const first = kept.nextSequence;
    storage.log.append(run, new LogTargets([kept], [AS_PUBLISHED]));
    backlog.add(run, first, false);
    expect(backlog.bytes).toBe(9);
    wants = true;
    backlog.load();
    expect(given).toEqual([
      [1, 3],
      [4, 1],
      [5, 1],
    ]);
    expect(backlog.bytes).toBe(0);
  });

  test('a consumer with credit gets on however much is unsettled', () => {
    const it = new TestQueue({ log: 'memory' });
    for (const text of numbers(100)) it.publish(text.padEnd(30, '.'));
    // It acknowledges the hundredth and means all of them: as long as it has credit, messages come.
    expect(it.attach(100).got).toHaveLength(100);
  });

  test('a backlog that is read within the call needs no stack', () => {
    const it = new TestQueue({ log: 'memory' });
    const count = 60_000;
    for (const text of numbers(count)) it.publish(text);
    const taker = it.attach(1, true);
    expect(taker.got).toHaveLength(count);
    expect(it.log!.count).toBe(0);
  });

  test('a message without durability follows those that lie in the log', () => {
    const it = new TestQueue({ log: 'memory' });
    for (const text of numbers(10)) it.publish(text, { guarantee: 1 });
    it.publish('last', { guarantee: 0 });
    expect(it.attach(100, true).texts).toEqual([...numbers(10), 'last']);
  });

  test('what is held there is not delivered before its release, and nothing overtakes it', () => {
    for (const log of ['memory', 'slow'] as const) {
      const it = new TestQueue({ log });
      for (const text of numbers(6)) it.publish(text);
      const held = it.publish(['held', 'held too'], { guarantee: 2, held: true });
      it.publish('behind');
      const taker = it.attach(100, true);
      it.slow?.answer();
      expect(taker.texts).toEqual(numbers(6));
      expect(it.queue.readyCount).toBe(3);
      it.queue.release(held, 2);
      it.slow?.answer();
      expect(taker.texts).toEqual([...numbers(6), 'held', 'held too', 'behind']);
    }
  });

  test('a fetch that was under way when something became held does not bring it in, nor what is behind it', () => {
    const it = new TestQueue({ log: 'slow', window: { ...SMALL, batchCount: 100, batchBytes: 1000 } });
    for (const text of numbers(6)) it.publish(text);
    const taker = it.attach(100, true);
    expect(it.slow!.isAsked).toBe(true);
    const held = it.publish('held', { guarantee: 2, held: true });
    it.publish('behind');
    it.slow!.answer();
    expect(taker.texts).toEqual(numbers(6));
    it.queue.release(held, 1);
    it.slow!.answer();
    expect(taker.texts).toEqual([...numbers(6), 'held', 'behind']);
  });

  test('a purge while deliveries are unsettled leaves those, and nothing else', () => {
    for (const log of ['memory', 'slow'] as const) {
      const it = new TestQueue({ log });
      for (const text of numbers(50)) it.publish(text);
      const taker = it.attach(1);
      it.slow?.answer();
      expect(it.queue.purge()).toBe(49);
      expect(it.queue.readyCount).toBe(0);
      for (const text of numbers(10, 100)) it.publish(text);
      expect(it.queue.readyCount).toBe(10);
      it.slow?.answer();
      expect(it.queue.readyCount).toBe(10);
      expect(it.log!.count).toBe(11);
      it.settleAll(taker);
      it.give(taker, 100);
      it.slow?.answer();
      expect(taker.texts).toEqual(['0', ...numbers(10, 100)]);
      it.settleAll(taker);
      expect(it.log!.count).toBe(0);
    }
  });

  test('a fetch that a purge has passed brings nothing twice', () => {
    const it = new TestQueue({ log: 'slow', window: { ...SMALL, batchCount: 100, batchBytes: 1000 } });
    const taker = it.attach(0, true);
    for (const text of numbers(6)) it.publish(text);
    it.give(taker, 100);
    expect(taker.texts).toEqual(numbers(4));
    expect(it.slow!.isAsked).toBe(true);
    expect(it.queue.purge()).toBe(2);
    it.publish(numbers(3, 10));
    it.slow!.answer();
    expect(taker.texts).toEqual([...numbers(4), ...numbers(3, 10)]);
    expect(it.queue.readyCount).toBe(0);
    expect(it.log!.count).toBe(0);
  });

  test('a fetch under way when the queue is deleted ends in nothing', () => {
    const it = new TestQueue({ log: 'slow' });
    for (const text of numbers(20)) it.publish(text);
    const taker = it.attach(100, true);
    expect(it.slow!.isAsked).toBe(true);
    it.queue.delete();
    it.slow!.answer();
    expect(taker.texts).toEqual(numbers(4));
    expect(taker.cancelled).toBe(1);
  });
});
