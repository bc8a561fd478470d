// Where a message is sent to: an exchange and a routing key. Every protocol has its own spelling; translation happens at its edge, once.
import { RoutingKey } from './routing-key.ts';

/** The default exchange: routes to the queue whose name is the routing key. */
export const DEFAULT_EXCHANGE = '';
/** Where plain topics live. */
export const TOPIC_EXCHANGE = 'amq.topic';

export interface Address {
  readonly exchange: string;
  readonly key: RoutingKey;
}

/** A queue by name. The name is one literal text, not levels; it stands in the key as it is. */
export function queueAddress(queue: string): Address {
  return { exchange: DEFAULT_EXCHANGE, key: new RoutingKey(queue) };
}

export function topicAddress(path: string): Address {
  return { exchange: TOPIC_EXCHANGE, key: new RoutingKey(path) };
}
