// Where messages go on a route some of whose bindings have a selector: that depends on each message. Every distinct selector is asked once per message; which of them select decides on
// the plan, and a plan that was needed before is taken as it was.
//
//   base        what needs no selector
//   parts[i]    what selectors[i] alone decides: however many subscriptions use it, one part
//   mixed       destinations that several bindings reach, with different selectors or with none: asked to add themselves anew for the bindings that count
import type { Binding } from './binding.ts';
import { DeliveryPlan, type Destination } from './delivery.ts';
import type { Guarantee } from './guarantee.ts';
import type { Run } from './run.ts';
import type { Selector } from './selector/selector.ts';

/** Plans kept of one route; selectors that select in ever new combinations make them anew, at the cost of one step per part. */
const PLANS_MAX = 64;

interface Mixed {
  readonly destination: Destination;
  readonly bindings: readonly Binding[];
}

export class SelectivePlan {
  private readonly guarantee: Guarantee;
  private readonly base = new DeliveryPlan();
  private readonly places = new Map<Selector, number>();
  private readonly selectors: Selector[] = [];
  private readonly parts: DeliveryPlan[] = [];
  private readonly mixed: Mixed[] = [];
  private readonly selected: boolean[] = [];
  private readonly plans = new Map<string, DeliveryPlan>();

  constructor(guarantee: Guarantee) {
    this.guarantee = guarantee;
  }

  add(destination: Destination, bindings: readonly Binding[]): void {
    const { selector } = bindings[0]!;
    if (bindings.some((binding) => binding.selector !== selector)) {
      this.mixed.push({ destination, bindings });
      for (const binding of bindings) if (binding.selector !== null) this.placeOf(binding.selector);
    } else {
      const part = selector === null ? this.base : this.parts[this.placeOf(selector)]!;
      destination.addTo(part, bindings, this.guarantee);
    }
  }

  private placeOf(selector: Selector): number {
    let place = this.places.get(selector);
    if (place === undefined) {
      place = this.selectors.length;
      this.places.set(selector, place);
      this.selectors.push(selector);
      this.parts.push(new DeliveryPlan());
      this.selected.push(false);
    }
    return place;
  }

  /** Of a run of one message. */
  planOf(run: Run): DeliveryPlan {
    const { selectors, selected } = this;
    const message = run.message(0);
    let key = '';
    for (let i = 0; i < selectors.length; i++) {
      selected[i] = selectors[i]!.matches(message);
      if (selected[i]) key += `${i},`;
    }
    let plan = this.plans.get(key);
    if (plan === undefined) {
      plan = this.make();
      if (this.plans.size >= PLANS_MAX) this.plans.clear();
      this.plans.set(key, plan);
    }
    return plan;
  }

  private make(): DeliveryPlan {
    const plan = new DeliveryPlan();
    plan.addAll(this.base);
    for (let i = 0; i < this.parts.length; i++) if (this.selected[i]) plan.addAll(this.parts[i]!);
    for (const { destination, bindings } of this.mixed) {
      const counting = bindings.filter(
        ({ selector }) => selector === null || this.selected[this.places.get(selector)!] === true,
      );
      if (counting.length === 0) continue;
      // Apart, because what is added to a plan may join a group of another part.
      const own = new DeliveryPlan();
      destination.addTo(own, counting, this.guarantee);
      plan.addAll(own);
    }
    return plan.seal(this.guarantee);
  }
}
