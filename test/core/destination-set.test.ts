import { describe, expect, test } from 'vitest';
import { type Binding, NO_ARGUMENTS, type SubscriptionOptions, wayOf } from '../../src/core/binding.ts';
import type { DeliveryPlan, Destination } from '../../src/core/delivery.ts';
import { DestinationSet } from '../../src/core/destination-set.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { destination } from './bindings.ts';
import { Sender, subscription } from './core-world.ts';
import { textRun } from './runs.ts';

function reachedBy(to: Destination, options: SubscriptionOptions | null): Binding {
  return {
    way: wayOf(NO_ARGUMENTS, options, null),
    source: 'e',
    destination: to,
    key: 'k',
    args: NO_ARGUMENTS,
    subscription: options,
    selector: null,
  };
}

function sentBy(own: Destination): Sender {
  const sender = new Sender();
  sender.own = own;
  return sender;
}

/** A destination that notes by which bindings it was added to plans. */
class Noting implements Destination {
  readonly id = destination().id;
  routeStamp = 0;
  routeIndex = 0;
  mayRefuse = false;
  readonly added: [number, Guarantee][] = [];

  mayReceive(): boolean {
    return true;
  }

  addTo(plan: DeliveryPlan, bindings: readonly Binding[], guarantee: Guarantee): void {
    this.added.push([bindings.length, guarantee]);
    plan.offlineCount++;
  }
}

describe('a destination set', () => {
  test('makes the plan of each guarantee once', () => {
    const to = new Noting();
    const set = new DestinationSet([to], [[reachedBy(to, null)]]);
    const plan = set.plan(textRun('', { guarantee: 1 }), null);
    expect(set.plan(textRun('', { guarantee: 1 }), sentBy(destination()))).toBe(plan);
    expect(set.plan(textRun('', { guarantee: 0 }), null)).not.toBe(plan);
    expect(set.plan(textRun('', { guarantee: 2 }), null)).not.toBe(plan);
    expect(to.added).toEqual([
      [1, 1],
      [1, 0],
      [1, 2],
    ]);
  });

  test('leaves out the bindings that do not want what their own client publishes', () => {
    const [own, other] = [new Noting(), new Noting()];
    const noLocal = subscription(1, { noLocal: true });
    const bindings = [[reachedBy(own, noLocal), reachedBy(own, subscription(0))], [reachedBy(other, noLocal)]];
    const set = new DestinationSet([own, other], bindings);
    set.plan(textRun('', { guarantee: 1 }), sentBy(own));
    expect([own.added, other.added]).toEqual([[[1, 1]], [[1, 1]]]);
    set.plan(textRun('', { guarantee: 1 }), null);
    expect([own.added[1], other.added[1]]).toEqual([
      [2, 1],
      [1, 1],
    ]);
    set.plan(textRun('', { guarantee: 1 }), sentBy(other));
    expect(own.added[2]).toEqual([2, 1]);
    expect(other.added).toHaveLength(2);
  });

  test('with nothing in it plans nothing', () => {
    const set = new DestinationSet([], []);
    expect(set.empty).toBe(true);
    expect(set.plan(textRun('', { guarantee: 1 }), null).empty).toBe(true);
  });
});
