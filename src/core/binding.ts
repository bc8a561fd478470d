// A binding: immutable, a value. It says that messages of an exchange whose routing key (or headers) match go on to a destination.
import type { Destination } from './delivery.ts';
import type { Guarantee } from './guarantee.ts';
import type { Selector } from './selector/selector.ts';

export interface SubscriptionOptions {
  readonly guarantee: Guarantee;
  /** The subscriber does not want what it published itself. */
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0 for none. */
  readonly subscriptionIdentifier: number;
}

/** The same for equal options only. */
export function optionsKey(options: SubscriptionOptions): string {
  const { guarantee, noLocal, retainAsPublished, subscriptionIdentifier } = options;
  return `${guarantee}${noLocal ? 'l' : ''}${retainAsPublished ? 'r' : ''}${subscriptionIdentifier === 0 ? '' : ` ${subscriptionIdentifier}`}`;
}

const ways = new Map<string, number>();
let lastWay = 0;
const WAYS_MAX = 100_000;

/**
 * What the bindings of one destination may differ in, beside source and key, without leading to other deliveries, is nothing: those with the same number are as good as one
 * another, and a million subscriptions of a client that differ in their topics only make one destination set, not a million.
 */
export function wayOf(
  args: ReadonlyMap<string, string>,
  subscription: SubscriptionOptions | null,
  selector: Selector | null,
): number {
  // A selector decides message by message, and there are few.
  if (selector !== null) return ++lastWay;
  const noLocal = args.get(NO_LOCAL_ARGUMENT) === 'true';
  const text = `${noLocal} ${subscription === null ? '' : optionsKey(subscription)}`;
  let way = ways.get(text);
  if (way === undefined) {
    way = ++lastWay;
    // Identifiers come from peers: the table is bounded, beyond it ways are merely not shared.
    if (ways.size < WAYS_MAX) ways.set(text, way);
  }
  return way;
}

export interface Binding {
  /** See wayOf(). */
  readonly way: number;
  /** Name of the exchange. */
  readonly source: string;
  readonly destination: Destination;
  /** Pattern in path notation (routing-key.ts); for direct exchanges a literal key; ignored by fanout and headers. */
  readonly key: string;
  /** For headers exchanges: x-match and the headers asked for. Empty otherwise. */
  readonly args: ReadonlyMap<string, string>;
  /** How a session's subscription wants its messages; null for bindings of queues and exchanges. */
  readonly subscription: SubscriptionOptions | null;
  /** Of its argument x-selector: only messages that this selects take this way. Null for all. */
  readonly selector: Selector | null;
}

export const NO_ARGUMENTS: ReadonlyMap<string, string> = new Map();

/** "true" says of the binding of a queue or direct subscriber what SubscriptionOptions.noLocal says of a session's. */
export const NO_LOCAL_ARGUMENT = 'x-no-local';

/** What its publisher owns itself, the message does not reach this way. */
export function isNoLocal({ subscription, args }: Binding): boolean {
  return subscription?.noLocal === true || args.get(NO_LOCAL_ARGUMENT) === 'true';
}
