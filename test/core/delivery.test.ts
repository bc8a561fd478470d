import { describe, expect, test } from 'vitest';
import {
  AS_PUBLISHED,
  type DeliveryClass,
  DeliveryPlan,
  type DirectTarget,
  deliveryOptions,
  LOGGED_AGAIN,
} from '../../src/core/delivery.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { CoreWorld } from './core-world.ts';

const CLASS = (): DeliveryClass => ({ deliver: () => 0 });
const target = (deliveryClass: DeliveryClass): DirectTarget => ({ deliveryClass, congested: false });

describe('delivery options', () => {
  test('that are equal are the same object, others are not', () => {
    const all: [Guarantee, boolean, number[] | null][] = [
      [0, false, null],
      [1, false, null],
      [2, false, null],
      [0, true, null],
      [0, false, [1]],
      [0, false, [1, 2]],
      [0, false, [2, 1]],
      [0, false, [12]],
      [0, true, [1]],
      [1, false, [1]],
    ];
    const made = all.map(([guarantee, retain, ids]) => deliveryOptions(guarantee, retain, ids));
    expect(all.map(([guarantee, retain, ids]) => deliveryOptions(guarantee, retain, ids && [...ids]))).toEqual(made);
    expect(new Set(made).size).toBe(all.length);
    expect(made.every(Object.isFrozen)).toBe(true);
    expect(deliveryOptions(2, false, null)).toBe(AS_PUBLISHED);
  });
});

describe('a plan', () => {
  test('groups direct targets by what they want', () => {
    const plan = new DeliveryPlan();
    const [a, b] = [CLASS(), CLASS()];
    const targets = [target(a), target(b), target(a)] as const;
    for (const one of targets) plan.addDirect(one);
    plan.seal(0);
    expect(plan.groups.map((group) => [group.deliveryClass, group.targets])).toEqual([
      [a, [targets[0], targets[2]]],
      [b, [targets[1]]],
    ]);
    expect(plan.directCount).toBe(3);
    expect(plan.empty).toBe(false);
  });

  test('looks at each target a few times only, however many others want something else', () => {
    const plan = new DeliveryPlan();
    let looks = 0;
    for (let i = 0; i < 1000; i++) {
      const own = CLASS();
      plan.addDirect({
        get deliveryClass() {
          looks++;
          return own;
        },
        congested: false,
      });
    }
    expect(plan.seal(0).groups).toHaveLength(1000);
    expect(looks).toBeLessThan(5000);
  });

  test('knows which of its queues the log keeps, and which of those twice', () => {
    const world = new CoreWorld({ durability: 2 });
    const [kept, transient, other] = [world.queue('a'), world.queue('b', {}, { durable: false }), world.queue('c')];
    const options = [deliveryOptions(1, false, [1]), deliveryOptions(1, false, [2])] as const;
    const fill = (): DeliveryPlan => {
      const plan = new DeliveryPlan();
      plan.addQueue(transient, AS_PUBLISHED);
      plan.addQueue(kept, options[0]);
      plan.addQueue(kept, options[1]);
      plan.addQueue(other, AS_PUBLISHED);
      return plan;
    };
    const plan = fill().seal(1);
    expect(plan.logged).toEqual([-1, 0, LOGGED_AGAIN, 1]);
    expect(plan.targets!.queues).toEqual([kept.log, other.log]);
    expect(plan.targets!.options).toEqual([options[0], AS_PUBLISHED]);
    // What is delivered at most once is never logged.
    expect(fill().seal(0)).toMatchObject({ logged: [-1, -1, -1, -1], targets: null });
  });

  test('of nobody is empty', () => {
    expect(new DeliveryPlan().seal(1)).toMatchObject({ empty: true, targets: null, directCount: 0 });
  });
});
