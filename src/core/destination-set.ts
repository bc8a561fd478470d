// Where a route leads: the destinations a routing found, interned per vhost, so that routes of different topics that lead to the same place share one object and their
// messages form one run. It makes and keeps the delivery plan for each guarantee.
import type { Binding } from './binding.ts';
import { DeliveryPlan, type Destination } from './delivery.ts';
import type { Guarantee } from './guarantee.ts';
import type { Run } from './run.ts';
import { SelectivePlan } from './selective-plan.ts';

export class DestinationSet {
  private readonly destinations: readonly Destination[];
  private readonly bindings: readonly (readonly Binding[])[];
  private readonly plans: (DeliveryPlan | null)[] = [null, null, null];
  private readonly selective: (SelectivePlan | null)[] = [null, null, null];
  private readonly excludesOwn: boolean;
  /** Some binding has a selector: where a message goes depends on more than the route. */
  private readonly selects: boolean;
  /** Its messages have to come one by one: some destination may refuse one, or a selector decides. */
  readonly oneByOne: boolean;

  constructor(destinations: readonly Destination[], bindings: readonly (readonly Binding[])[]) {
    this.destinations = destinations;
    this.bindings = bindings;
    this.excludesOwn = bindings.some((reached) => reached.some(isNoLocal));
    this.selects = bindings.some((reached) => reached.some(({ selector }) => selector !== null));
    this.oneByOne = this.selects || destinations.some((destination) => destination.mayRefuse);
  }

  get empty(): boolean {
    return this.destinations.length === 0;
  }

  /** For this run. own: the publisher's own destination, which gets nothing where its subscriptions say "no local". */
  plan(run: Run, own: Destination | null): DeliveryPlan {
    const { guarantee } = run;
    if (this.excludesOwn && own !== null) {
      const at = this.destinations.indexOf(own);
      // Rare, so it is made anew each time instead of being kept per publisher.
      if (at >= 0 && this.bindings[at]!.some(isNoLocal))
        return this.selects ? this.makeSelective(guarantee, at).planOf(run) : this.makePlan(guarantee, at);
    }
    if (this.selects) {
      let selective = this.selective[guarantee]!;
      if (selective === null) {
        selective = this.makeSelective(guarantee, -1);
        this.selective[guarantee] = selective;
      }
      return selective.planOf(run);
    }
    let plan = this.plans[guarantee]!;
    if (plan === null) {
      plan = this.makePlan(guarantee, -1);
      this.plans[guarantee] = plan;
    }
    return plan;
  }

  /** own: the place of the publisher's own destination, -1 when it does not matter. */
  private makePlan(guarantee: Guarantee, own: number): DeliveryPlan {
    const plan = new DeliveryPlan();
    for (let i = 0; i < this.destinations.length; i++) {
      const reached = this.reached(i, own);
      if (reached.length > 0) this.destinations[i]!.addTo(plan, reached, guarantee);
    }
    return plan.seal(guarantee);
  }

  private makeSelective(guarantee: Guarantee, own: number): SelectivePlan {
    const plan = new SelectivePlan(guarantee);
    for (let i = 0; i < this.destinations.length; i++) {
      const reached = this.reached(i, own);
      if (reached.length > 0) plan.add(this.destinations[i]!, reached);
    }
    return plan;
  }

  private reached(i: number, own: number): readonly Binding[] {
    return i === own ? this.bindings[i]!.filter((binding) => !isNoLocal(binding)) : this.bindings[i]!;
  }
}

/** Of overlapping subscriptions only those match a publisher's own message that do not say "no local". */
// [MQTT-3.8.3-3]
function isNoLocal(binding: Binding): boolean {
  return binding.subscription?.noLocal === true;
}
