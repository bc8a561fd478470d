// What an address is to the authorizer.
import { DEFAULT_EXCHANGE, TOPIC_EXCHANGE } from './address.ts';
import type { Resource } from './authorizer.ts';

export function addressResource(vhost: string, exchange: string, keyPath: string): Resource {
  if (exchange === TOPIC_EXCHANGE) return { vhost, kind: 'topic', name: keyPath, key: keyPath };
  if (exchange === DEFAULT_EXCHANGE) return { vhost, kind: 'queue', name: keyPath, key: '' };
  return { vhost, kind: 'exchange', name: exchange, key: keyPath };
}

export function queueResource(vhost: string, queue: string): Resource {
  return { vhost, kind: 'queue', name: queue, key: '' };
}
