// Where a route leads: the destinations a routing found, interned per vhost, so that routes of different topics that lead to the same place share one object and their
// messages form one run. It makes and keeps the delivery plan for each guarantee, as long as none of its destinations changes.
import { type Binding, isNoLocal } from './binding.ts';
import { DeliveryPlan, type Destination } from './delivery.ts';
import type { Guarantee } from './guarantee.ts';
import type { Publisher } from './publisher.ts';
import type { RouteChanges } from './route-changes.ts';
import type { Run } from './run.ts';
import { SelectivePlan } from './selective-plan.ts';

export class DestinationSet {
  private readonly destinations: readonly Destination[];
  private readonly bindings: readonly (readonly Binding[])[];
  private readonly plans: (DeliveryPlan | null)[] = [null, null, null];
  private readonly selective: (SelectivePlan | null)[] = [null, null, null];
  /** Says which destinations have changed; null where none does. */
  private readonly changes: RouteChanges | null;
  /** No destination has changed since this epoch that is not in the plans. */
  private epoch: number;
  /** Of the destinations; made when it is asked for. */
  private ids: ReadonlySet<number> | null = null;
  /** The places of destinations with bindings that say "no local". */
  private readonly noLocal: readonly number[];
  /** Some binding has a selector: where a message goes depends on more than the route. */
  private readonly selects: boolean;
  /** Its messages have to come one by one: some destination may refuse one, or a selector decides. */
  readonly oneByOne: boolean;

  constructor(
    destinations: readonly Destination[],
    bindings: readonly (readonly Binding[])[],
    changes: RouteChanges | null = null,
  ) {
    this.destinations = destinations;
    this.bindings = bindings;
    this.changes = changes;
    this.epoch = changes === null ? 0 : changes.epoch;
    this.noLocal = bindings.flatMap((reached, i) => (reached.some(isNoLocal) ? [i] : []));
    this.selects = bindings.some((reached) => reached.some(({ selector }) => selector !== null));
    this.oneByOne = this.selects || destinations.some((destination) => destination.mayRefuse);
  }

  get empty(): boolean {
    return this.destinations.length === 0;
  }

  /** For this run. The publisher's own destinations get nothing where their subscriptions say "no local". */
  plan(run: Run, publisher: Publisher | null): DeliveryPlan {
    const { guarantee } = run;
    const { changes } = this;
    if (changes !== null && changes.epoch !== this.epoch) this.review(changes);
    // Rare, so it is made anew each time instead of being kept per publisher.
    if (publisher !== null && this.noLocal.length > 0 && this.ownsSome(publisher))
      return this.selects ? this.makeSelective(guarantee, publisher).planOf(run) : this.makePlan(guarantee, publisher);
    if (this.selects) {
      let selective = this.selective[guarantee]!;
      if (selective === null) {
        selective = this.makeSelective(guarantee, null);
        this.selective[guarantee] = selective;
      }
      return selective.planOf(run);
    }
    let plan = this.plans[guarantee]!;
    if (plan === null) {
      plan = this.makePlan(guarantee, null);
      this.plans[guarantee] = plan;
    }
    return plan;
  }

  /** Gives up the plans if a destination has changed since they were made. */
  private review(changes: RouteChanges): void {
    this.ids ??= new Set(this.destinations.map(({ id }) => id));
    if (changes.concerns(this.epoch, this.ids)) {
      this.plans.fill(null);
      this.selective.fill(null);
    }
    this.epoch = changes.epoch;
  }

  private ownsSome(publisher: Publisher): boolean {
    return this.noLocal.some((place) => publisher.owns(this.destinations[place]!));
  }

  /** owner: whose own destinations count, null when that does not matter. */
  private makePlan(guarantee: Guarantee, owner: Publisher | null): DeliveryPlan {
    const plan = new DeliveryPlan();
    for (let i = 0; i < this.destinations.length; i++) {
      const reached = this.reached(i, owner);
      if (reached.length > 0) this.destinations[i]!.addTo(plan, reached, guarantee);
    }
    return plan.seal(guarantee);
  }

  private makeSelective(guarantee: Guarantee, owner: Publisher | null): SelectivePlan {
    const plan = new SelectivePlan(guarantee);
    for (let i = 0; i < this.destinations.length; i++) {
      const reached = this.reached(i, owner);
      if (reached.length > 0) plan.add(this.destinations[i]!, reached);
    }
    return plan;
  }

  /** Of overlapping subscriptions only those match a publisher's own message that do not say "no local". */
  // [MQTT-3.8.3-3]
  private reached(i: number, owner: Publisher | null): readonly Binding[] {
    const bindings = this.bindings[i]!;
    return owner?.owns(this.destinations[i]!) ? bindings.filter((binding) => !isNoLocal(binding)) : bindings;
  }
}
