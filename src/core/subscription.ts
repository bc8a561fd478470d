// A session's subscription: a filter, what it wants, and where its messages come from. It is itself the binding that leads them to the session, since a large fleet has millions of
// them; or it only names a queue that the session consumes. And the table in which a session has them.
import { type Binding, NO_ARGUMENTS, optionsKey, type SubscriptionOptions, wayOf } from './binding.ts';
import type { Destination } from './delivery.ts';
import type { Queue } from './queue.ts';
import { SELECTOR_ARGUMENT, type Selector } from './selector/selector.ts';

export class Subscription implements Binding {
  readonly way: number;
  /** The session. */
  readonly destination: Destination;
  /** As the client wrote it; the key under which it is replaced or removed. */
  readonly filter: string;
  /** Name of the exchange; null for a subscription to a queue. */
  readonly exchange: string | null;
  readonly key: string;
  readonly options: SubscriptionOptions;
  /** Of what it would get, it wants what this selects. */
  readonly selector: Selector | null;
  /** What it reads when it has a queue of its own (shared, $queue/…). */
  readonly queue: Queue | null;
  /** It stands in its exchange. */
  bound = false;

  constructor(
    destination: Destination,
    filter: string,
    options: SubscriptionOptions,
    selector: Selector | null,
    exchange: string | null,
    key: string,
    queue: Queue | null,
  ) {
    this.way = wayOf(NO_ARGUMENTS, options, selector);
    this.destination = destination;
    this.filter = filter;
    this.exchange = exchange;
    this.key = key === filter ? filter : key;
    this.options = interned(options);
    this.selector = selector;
    this.queue = queue;
  }

  // ---- Binding

  get source(): string {
    return this.exchange ?? '';
  }

  get args(): ReadonlyMap<string, string> {
    return this.selector === null ? NO_ARGUMENTS : new Map([[SELECTOR_ARGUMENT, this.selector.text]]);
  }

  get subscription(): SubscriptionOptions {
    return this.options;
  }

  /** Says the same as another one would, to the last option. */
  isSame(other: Subscription): boolean {
    return (
      this.exchange === other.exchange &&
      this.key === other.key &&
      this.options === other.options &&
      this.selector === other.selector &&
      this.queue === other.queue
    );
  }
}

const INTERNED_MAX = 100_000;
const known = new Map<string, SubscriptionOptions>();

/** Equal options are the same object. */
function interned(options: SubscriptionOptions): SubscriptionOptions {
  const { guarantee, noLocal, retainAsPublished, subscriptionIdentifier } = options;
  const key = optionsKey(options);
  let found = known.get(key);
  if (found === undefined) {
    found = Object.freeze({ guarantee, noLocal, retainAsPublished, subscriptionIdentifier });
    // Identifiers come from peers: the table is bounded, beyond it options are merely not shared.
    if (known.size < INTERNED_MAX) known.set(key, found);
  }
  return found;
}

/** Up to so many are searched one by one. */
const SEARCHED_MAX = 16;

/** By filter, in the order in which the filters came. None, one, some or many: most sessions have a few. */
export class SubscriptionTable {
  private held: null | Subscription | Subscription[] | Map<string, Subscription> = null;

  get size(): number {
    const { held } = this;
    if (held === null) return 0;
    if (held instanceof Subscription) return 1;
    return Array.isArray(held) ? held.length : held.size;
  }

  has(filter: string): boolean {
    return this.get(filter) !== undefined;
  }

  get(filter: string): Subscription | undefined {
    const { held } = this;
    if (held instanceof Map) return held.get(filter);
    for (const subscription of this.values()) if (subscription.filter === filter) return subscription;
    return undefined;
  }

  /** In place of the one of the same filter, or behind all others. */
  set(subscription: Subscription): void {
    const { held } = this;
    const { filter } = subscription;
    if (held instanceof Map) held.set(filter, subscription);
    else if (held === null || (held instanceof Subscription && held.filter === filter)) this.held = subscription;
    else if (held instanceof Subscription) this.held = [held, subscription];
    else {
      const at = held.findIndex((other) => other.filter === filter);
      if (at >= 0) held[at] = subscription;
      else if (held.length < SEARCHED_MAX) this.held = held.concat(subscription);
      else this.held = new Map([...held, subscription].map((one) => [one.filter, one]));
    }
  }

  delete(filter: string): void {
    const { held } = this;
    if (held instanceof Map) held.delete(filter);
    else if (Array.isArray(held)) {
      const left = held.filter((other) => other.filter !== filter);
      this.held = left.length > 1 ? left : (left[0] ?? null);
    } else if (held?.filter === filter) this.held = null;
  }

  clear(): void {
    this.held = null;
  }

  values(): Iterable<Subscription> {
    const { held } = this;
    if (held === null) return NONE;
    if (held instanceof Subscription) return [held];
    return Array.isArray(held) ? held : held.values();
  }

  *keys(): Iterable<string> {
    for (const { filter } of this.values()) yield filter;
  }
}

const NONE: readonly Subscription[] = [];
