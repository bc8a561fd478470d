// From a route to deliveries. A Destination is what a binding may point at. When the core resolves a route it asks every destination once to add itself to
// a DeliveryPlan; from then on a publish is two plain loops over the plan: direct targets grouped by delivery class, and queues.

import { LogTargets, type QueueLog } from '../storage/commit-log.ts';
import type { Address } from './address.ts';
import type { Binding } from './binding.ts';
import type { Guarantee } from './guarantee.ts';
import type { Queue } from './queue.ts';
import type { Run } from './run.ts';

export interface Destination {
  /** Unique in the process; what interned destination sets are made of. */
  readonly id: number;
  /** Scratch of RouteResult: the mark of the last routing that reached this destination, and its place in the result. */
  routeStamp: number;
  routeIndex: number;
  /** It may have no room for a message and refuse it: then its publisher has to send one at a time. */
  readonly mayRefuse: boolean;
  /**
   * Adds this destination to the plan for messages of this guarantee. `bindings` are those by which it was reached (several when filters overlap).
   */
  addTo(plan: DeliveryPlan, bindings: readonly Binding[], guarantee: Guarantee): void;
  /** May its owner see messages of this address? Asked once per route resolution, so that a revoked right stops deliveries too. */
  mayReceive(address: Address): boolean;
}

let destinationIds = 0;
export function nextDestinationId(): number {
  return ++destinationIds;
}

/** Takes messages in the same call and stores nothing. Made by adapters; the core only groups them. */
export interface DirectTarget {
  readonly deliveryClass: DeliveryClass;
  /** Its output is over its bound at the moment. */
  readonly congested: boolean;
}

/**
 * All targets that want the same bytes. It encodes a run once (or not at all) and hands it to each target. Implemented by adapters, which
 * intern their classes, so that object identity is equality.
 */
export interface DeliveryClass {
  /** Targets are of this class. Returns how many of them could take more at once; dropped messages are counted by the class itself. */
  deliver(run: Run, targets: readonly DirectTarget[]): number;
}

/** What a queue keeps beside each message: how its own subscription wants it. Interned, so that identity is equality. */
export interface DeliveryOptions {
  /** Smallest of what publisher and subscription ask for is delivered; this is the subscription's. */
  readonly guarantee: Guarantee;
  readonly retainAsPublished: boolean;
  readonly subscriptionIdentifiers: readonly number[] | null;
}

const interned = new Map<string, DeliveryOptions>();
const INTERNED_MAX = 100_000;

export function deliveryOptions(
  guarantee: Guarantee,
  retainAsPublished: boolean,
  subscriptionIdentifiers: readonly number[] | null,
): DeliveryOptions {
  const key = `${guarantee}${retainAsPublished ? 'r' : ''}${subscriptionIdentifiers === null ? '' : subscriptionIdentifiers.join()}`;
  let options = interned.get(key);
  if (options === undefined) {
    options = Object.freeze({ guarantee, retainAsPublished, subscriptionIdentifiers });
    // Identifiers come from peers: the table is bounded, beyond it options are merely not shared.
    if (interned.size < INTERNED_MAX) interned.set(key, options);
  }
  return options;
}

/** A queue that no subscription asked anything of: messages as their publishers sent them. */
export const AS_PUBLISHED: DeliveryOptions = deliveryOptions(2, false, null);

/** See DeliveryPlan.logged: a second copy for one queue, which a record of the log has no room for. */
export const LOGGED_AGAIN = -2;

export class DirectGroup {
  readonly deliveryClass: DeliveryClass;
  readonly targets: DirectTarget[] = [];

  constructor(deliveryClass: DeliveryClass) {
    this.deliveryClass = deliveryClass;
  }
}

/** Where the messages of one route and one guarantee go. */
export class DeliveryPlan {
  readonly groups: DirectGroup[] = [];
  readonly queues: Queue[] = [];
  /** options[i] belongs to queues[i]. */
  readonly options: DeliveryOptions[] = [];
  /** logged[i] is the place in `targets` of queues[i], -1 when that queue is not durable, LOGGED_AGAIN when it stands there already. */
  readonly logged: number[] = [];
  /** The durable ones among the queues, as the log wants them; null when there is none or the messages are transient. Filled by seal(). */
  targets: LogTargets | null = null;
  directCount = 0;
  /** Subscriptions that would get the messages at most once, but whose client is away: each message is lost so many times, and counted. */
  offlineCount = 0;
  /** The groups by their class, while targets are being added: there may be as many classes as targets. */
  private byClass: Map<DeliveryClass, DirectGroup> | null = null;

  addDirect(target: DirectTarget): void {
    this.directCount++;
    this.byClass ??= new Map();
    let group = this.byClass.get(target.deliveryClass);
    if (group === undefined) {
      group = new DirectGroup(target.deliveryClass);
      this.byClass.set(target.deliveryClass, group);
      this.groups.push(group);
    }
    group.targets.push(target);
  }

  /** Everything of another plan, whose groups it shares from now on: nothing may be added to either one by one. */
  addAll(other: DeliveryPlan): void {
    for (const group of other.groups) this.groups.push(group);
    for (let i = 0; i < other.queues.length; i++) this.addQueue(other.queues[i]!, other.options[i]!);
    this.directCount += other.directCount;
    this.offlineCount += other.offlineCount;
  }

  addQueue(queue: Queue, options: DeliveryOptions): void {
    this.queues.push(queue);
    this.options.push(options);
  }

  seal(guarantee: Guarantee): this {
    this.byClass = null;
    const logs: QueueLog[] = [];
    const seen = new Set<QueueLog>();
    const options: DeliveryOptions[] = [];
    for (let i = 0; i < this.queues.length; i++) {
      const log = guarantee > 0 ? this.queues[i]!.log : null;
      const again = log !== null && seen.has(log);
      this.logged.push(log === null ? -1 : again ? LOGGED_AGAIN : logs.length);
      if (log === null || again) continue;
      seen.add(log);
      logs.push(log);
      options.push(this.options[i]!);
    }
    if (logs.length > 0) this.targets = new LogTargets(logs, options);
    return this;
  }

  get empty(): boolean {
    return this.directCount === 0 && this.queues.length === 0;
  }
}
