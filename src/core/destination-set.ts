// Where a route leads: the destinations a routing found, interned per vhost, so that routes of different topics that lead to the same place share one object and their
// messages form one run. It makes and keeps the delivery plan for each guarantee.
import type { Binding } from './binding.ts';
import { DeliveryPlan, type Destination } from './delivery.ts';
import type { Guarantee } from './guarantee.ts';

export class DestinationSet {
  private readonly destinations: readonly Destination[];
  private readonly bindings: readonly (readonly Binding[])[];
  private readonly plans: (DeliveryPlan | null)[] = [null, null, null];
  private readonly excludesOwn: boolean;

  constructor(destinations: readonly Destination[], bindings: readonly (readonly Binding[])[]) {
    this.destinations = destinations;
    this.bindings = bindings;
    this.excludesOwn = bindings.some(isNoLocal);
  }

  get empty(): boolean {
    return this.destinations.length === 0;
  }

  /** own: the publisher's own destination, which gets nothing where its subscriptions say "no local". */
  plan(guarantee: Guarantee, own: Destination | null): DeliveryPlan {
    if (this.excludesOwn && own !== null) {
      const at = this.destinations.indexOf(own);
      // Rare, so it is made anew each time instead of being kept per publisher.
      if (at >= 0 && isNoLocal(this.bindings[at]!)) return this.makePlan(guarantee, at);
    }
    return (this.plans[guarantee] ??= this.makePlan(guarantee, -1));
  }

  private makePlan(guarantee: Guarantee, without: number): DeliveryPlan {
    const plan = new DeliveryPlan();
    for (let i = 0; i < this.destinations.length; i++) {
      if (i !== without) this.destinations[i]!.addTo(plan, this.bindings[i]!, guarantee);
    }
    return plan.seal(guarantee);
  }
}

/** With overlapping subscriptions the publisher's own message is withheld only when all of them say so. */
function isNoLocal(bindings: readonly Binding[]): boolean {
  return bindings.length > 0 && bindings.every((binding) => binding.subscription?.noLocal === true);
}
