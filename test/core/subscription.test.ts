import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Subscription, SubscriptionTable } from '../../src/core/subscription.ts';
import { destination } from './bindings.ts';
import { subscription } from './core-world.ts';

const owner = destination();

function of(filter: string, guarantee: 0 | 1 | 2 = 1): Subscription {
  return new Subscription(owner, filter, subscription(guarantee), null, 'amq.topic', filter, null);
}

describe('the table of a session’s subscriptions', () => {
  test('is a map from filter to subscription in order of arrival, whatever comes and goes', () => {
    const step = fc.record({
      filter: fc.nat({ max: 40 }).map(String),
      act: fc.constantFrom('set', 'set', 'set', 'delete'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
        const table = new SubscriptionTable();
        const map = new Map<string, Subscription>();
        for (const { filter, act } of steps) {
          if (act === 'set') {
            const made = of(filter);
            table.set(made);
            map.set(filter, made);
          } else {
            table.delete(filter);
            map.delete(filter);
          }
          expect(table.get(filter)).toBe(map.get(filter));
          expect(table.has(filter)).toBe(map.has(filter));
          expect(table.size).toBe(map.size);
        }
        expect([...table.values()]).toEqual([...map.values()]);
        expect([...table.keys()]).toEqual([...map.keys()]);
        table.clear();
        expect([table.size, ...table.values()]).toEqual([0]);
      }),
    );
  });

  test('equal options are one object, and equal subscriptions know each other', () => {
    expect(of('a').options).toBe(of('b').options);
    expect(of('a').isSame(of('a'))).toBe(true);
    expect(of('a').isSame(of('a', 2))).toBe(false);
    expect(of('a').isSame(of('b'))).toBe(false);
  });
});
