// A session: the identity of a client that outlives its connection: its subscriptions, and the queue for what it must not miss. It *has* a queue and is itself the destination
// of its bindings, so that overlapping subscriptions give one copy. A connection attaches as the link; what the protocol must remember between connections (packet
// identifiers) hangs in `state`, which the core does not look into.
// There may be a million of them whose clients are away: a queue is there only while it has something to do. It is made when the first message is on its way to it, and goes when
// it is empty and nobody is connected (Sessions.rest).
import type { Address } from './address.ts';
import { Action, type Authorizer, type Principal } from './authorizer.ts';
import { type Binding, NO_ARGUMENTS } from './binding.ts';
import {
  type DeliveryOptions,
  type DeliveryPlan,
  type Destination,
  type DirectTarget,
  deliveryOptions,
  nextDestinationId,
} from './delivery.ts';
import type { Guarantee } from './guarantee.ts';
import type { Queue } from './queue.ts';
import { addressResource } from './resource.ts';
import { SubscriptionTable } from './subscription.ts';

/** The connected client's side. */
export interface SessionLink {
  /** The target for messages that are delivered at most once with these options; the same object for the same options. */
  directTarget(options: DeliveryOptions): DirectTarget;
  /** Another connection takes the session over: say so to the client and close, without touching the session any more. */
  onTakenOver(): void;
  /** The session has got its queue, which is empty: time to consume it. */
  onQueueMade(queue: Queue): void;
}

/** Where a session lives. */
export interface SessionHome {
  readonly name: string;
  readonly authorizer: Authorizer;
  /** Makes the queue of a session that stores messages and has none at the moment. */
  makeQueue(session: Session): Queue;
}

export class Session implements Destination {
  readonly id = nextDestinationId();
  routeStamp = 0;
  routeIndex = 0;
  /** The same user each time; the object is that of the latest connection. */
  principal: Principal;
  readonly clientId: string;
  readonly subscriptions = new SubscriptionTable();
  /** It has had a subscription for messages delivered at least once: what comes for it is stored. */
  stores = false;
  /** For those messages. Null until one comes, and while the session rests. */
  queue: Queue | null = null;
  link: SessionLink | null = null;
  /** Grows with every attach: whoever holds an older one must not touch the session any more. */
  epoch = 0;
  /** How long it lives without a link; 0 ends with it, Infinity never. */
  expiryMs = 0;
  /** Epoch milliseconds at which it ends, while it has no link; 0 otherwise. */
  endsAtMs = 0;
  /** It is kept in the state store. */
  durable = false;
  ended = false;
  state: object | null = null;
  /** Filters it holds exclusively; null when there are none. */
  exclusive: Set<string> | null = null;
  /** What its client asked of its queue: x-… arguments. They stay as they are once it stores messages. */
  queueArguments: ReadonlyMap<string, string> = NO_ARGUMENTS;
  /** Overlapping subscriptions give a message each, instead of one together. */
  copyForEach = false;
  private readonly home: SessionHome;

  constructor(home: SessionHome, principal: Principal, clientId: string) {
    this.home = home;
    this.principal = principal;
    this.clientId = clientId;
  }

  get vhostName(): string {
    return this.home.name;
  }

  get mayRefuse(): boolean {
    return this.queue?.mayRefuse === true;
  }

  /** Its queue, made if need be. It must be one that stores messages. */
  wake(): Queue {
    return this.queue ?? this.home.makeQueue(this);
  }

  addTo(plan: DeliveryPlan, bindings: readonly Binding[], guarantee: Guarantee): void {
    // [MQTT-3.3.4-5]
    if (this.copyForEach && bindings.length > 1) {
      for (const binding of bindings) this.addOne(plan, mergeSubscriptions([binding]), guarantee);
    } else this.addOne(plan, mergeSubscriptions(bindings), guarantee);
  }

  private addOne(plan: DeliveryPlan, options: DeliveryOptions, guarantee: Guarantee): void {
    const effective = guarantee < options.guarantee ? guarantee : options.guarantee;
    if (effective > 0 && this.stores) plan.addQueue(this.wake(), options);
    else if (this.link !== null) plan.addDirect(this.link.directTarget(options));
    else plan.offlineCount++;
  }

  mayReceive(address: Address): boolean {
    if (this.principal.policy === null) return true;
    const resource = addressResource(this.home.name, address.exchange, address.key.path);
    return this.home.authorizer.allows(this.principal, this.clientId, Action.Subscribe, resource);
  }
}

/** One copy for overlapping subscriptions: the highest guarantee, every identifier [MQTT-3.3.4-2], [3.1.1 MQTT-3.3.5-1] [MQTT-3.3.4-4]. */
// [MQTT-3.3.4-3]
function mergeSubscriptions(bindings: readonly Binding[]): DeliveryOptions {
  let guarantee: Guarantee = 0;
  let retainAsPublished = false;
  let identifiers: number[] | null = null;
  for (const { subscription } of bindings) {
    if (subscription === null) continue;
    if (subscription.guarantee > guarantee) guarantee = subscription.guarantee;
    if (subscription.retainAsPublished) retainAsPublished = true;
    if (subscription.subscriptionIdentifier !== 0) {
      identifiers ??= [];
      identifiers.push(subscription.subscriptionIdentifier);
    }
  }
  // The specification leaves their order open; ours does not depend on how the subscriptions are kept.
  identifiers?.sort((a, b) => a - b);
  return deliveryOptions(guarantee, retainAsPublished, identifiers);
}
