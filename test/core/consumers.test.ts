import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Outcome } from '../../src/core/consumer.ts';
import { type ConsumerWish, NO_WISH } from '../../src/core/consumers.ts';
import { Selector } from '../../src/core/selector/selector.ts';
import { Taker } from './queue-model.ts';
import { TestQueue } from './test-queue.ts';

function attach(it: TestQueue, credit: number, wish: Partial<ConsumerWish>, auto = false): Taker {
  const taker = new Taker('taker', credit, auto);
  it.queue.attach(taker, false, { ...NO_WISH, ...wish });
  return taker;
}

function publish(it: TestQueue, count: number, first = 0): void {
  for (let n = first; n < first + count; n++) it.publish(String(n), { headers: ['n', String(n)] });
}

describe('consumers of a queue', () => {
  test('of a higher priority are served first, as long as they have credit; equals take turns', () => {
    const it = new TestQueue();
    const low = attach(it, 10, {});
    const [a, b] = [attach(it, 2, { priority: 5 }), attach(it, 1, { priority: 5 })];
    publish(it, 5);
    expect([a.texts, b.texts, low.texts]).toEqual([['0', '2'], ['1'], ['3', '4']]);
  });

  test('that want to be the only one are served alone, the next one after the first', () => {
    const it = new TestQueue();
    const plain = attach(it, 10, {});
    const [first, second] = [attach(it, 2, { sole: true }), attach(it, 10, { sole: true })];
    publish(it, 3);
    expect([plain.texts, first.texts, second.texts]).toEqual([[], ['0', '1'], []]);
    it.queue.detach(first);
    expect([plain.texts, second.texts]).toEqual([[], ['0', '1', '2']]);
    it.queue.detach(second);
    expect(plain.texts).toEqual(['0', '1', '2']);
  });

  test('with a selector are asked once per message, also when several have the same', () => {
    const it = new TestQueue();
    const selector = new Selector('n >= 50');
    const takers = [attach(it, 10, { selector }), attach(it, 10, { selector })];
    publish(it, 100);
    expect(selector.evaluations).toBeLessThanOrEqual(100);
    for (let round = 0; round < 10; round++) {
      for (const taker of takers) taker.credit.available = 10;
      it.queue.pump();
    }
    expect(selector.evaluations).toBe(100);
    expect(
      takers
        .flatMap(({ texts }) => texts)
        .map(Number)
        .sort((x, y) => x - y),
    ).toEqual(Array.from({ length: 50 }, (_, i) => 50 + i));
    expect(it.queue.readyCount).toBe(50);
  });

  test('get what they select and nothing else, whatever comes, comes back and leaves', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('publish' as const), count: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ kind: fc.constant('settle' as const), taker: fc.nat(3), requeue: fc.boolean() }),
      fc.record({ kind: fc.constant('leave' as const), taker: fc.nat(3) }),
      fc.record({ kind: fc.constant('credit' as const), taker: fc.nat(3), count: fc.integer({ min: 1, max: 20 }) }),
    );
    const texts = ['n < 20', 'n >= 20 AND n < 60', 'n >= 10', null];
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (steps, levels) => {
        const it = new TestQueue({ args: levels === 1 ? {} : { 'x-max-priority': String(levels) } });
        const selectors = texts.map((text) => (text === null ? null : new Selector(text)));
        const takers = selectors.map((selector) => attach(it, 3, { selector }));
        let published = 0;
        let settled = 0;
        for (const action of steps) {
          if (action.kind === 'publish') {
            publish(it, action.count, published);
            published += action.count;
            continue;
          }
          const taker = takers[action.taker]!;
          if (action.kind === 'credit') {
            taker.credit.available += action.count;
            it.queue.pump();
          } else if (action.kind === 'leave') {
            it.queue.detach(taker);
            takers[action.taker] = attach(it, 3, { selector: selectors[action.taker]! });
          } else {
            const delivery = taker.got.shift();
            if (delivery === undefined) continue;
            if (!action.requeue) settled++;
            it.queue.settle(delivery.tag, action.requeue ? Outcome.Requeued : Outcome.Accepted);
          }
          takers.forEach((each, i) => {
            const bounds = [
              [0, 19],
              [20, 59],
              [10, Number.POSITIVE_INFINITY],
              [0, Number.POSITIVE_INFINITY],
            ][i]!;
            for (const text of each.texts) {
              expect(Number(text)).toBeGreaterThanOrEqual(bounds[0]!);
              expect(Number(text)).toBeLessThanOrEqual(bounds[1]!);
            }
          });
          expect(it.queue.readyCount + it.queue.unsettledCount + settled).toBe(published);
          // Whoever takes anything has credit left only when nothing is ready.
          if (takers[3]!.credit.available > 0) expect(it.queue.readyCount).toBe(0);
        }
      }),
      { numRuns: 200 },
    );
  });
});
