import { describe, expect, it } from 'vitest';
import { Unsettled } from '../../../protocols/stomp/unsettled.ts';
import { SeededRandom } from '../../support/world.ts';

describe('unsettled deliveries', () => {
  it('are numbered from 1 on, and known by their number until they are taken out', () => {
    const unsettled = new Unsettled();
    expect(unsettled.add(100, 3)).toBe(1);
    expect(unsettled.add(7, 1)).toBe(4);
    expect(unsettled.take(2)).toBe(101);
    expect(unsettled.take(2)).toBe(-1);
    expect([1, 2, 3, 4, 5, 0].map((number) => unsettled.has(number))).toEqual([true, false, true, true, false, false]);
    expect(unsettled.count).toBe(3);
    expect(unsettled.first).toBe(1);
  });

  it('that are all taken out leave the numbers going on', () => {
    const unsettled = new Unsettled();
    unsettled.add(5, 2);
    unsettled.take(1);
    unsettled.take(2);
    expect([unsettled.count, unsettled.first]).toEqual([0, 0]);
    expect(unsettled.add(9, 1)).toBe(3);
    unsettled.clear();
    expect([unsettled.has(3), unsettled.count, unsettled.add(1, 1)]).toEqual([false, 0, 4]);
  });

  it('behave as a plain map does, with old ones left behind for long', () => {
    const random = new SeededRandom(3);
    const unsettled = new Unsettled();
    const model = new Map<number, number>();
    let tag = 1;
    for (let step = 0; step < 15_000; step++) {
      // A few of the first are never taken: the ring must not hold all that passes them.
      if (random.below(2) === 0 || model.size < 50) {
        const count = 1 + random.below(4);
        const first = unsettled.add(tag, count);
        for (let i = 0; i < count; i++) model.set(first + i, tag + i);
        tag += count;
      } else {
        const late = [...model.keys()].slice(-40);
        const number = late[random.below(late.length)]!;
        expect(unsettled.take(number)).toBe(model.get(number));
        model.delete(number);
        if (model.size > 400) {
          const old = unsettled.first;
          expect(old).toBe(model.keys().next().value);
          expect(unsettled.take(old)).toBe(model.get(old));
          model.delete(old);
        }
      }
      expect(unsettled.count).toBe(model.size);
    }
    for (const [number, expected] of model) expect(unsettled.take(number)).toBe(expected);
    expect(unsettled.first).toBe(0);
  });
});
