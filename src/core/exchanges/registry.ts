// The exchange types there are. A new one is a file beside this one and a line here.
import type { Router } from '../exchange.ts';
import { DirectRouter } from './direct.ts';
import { FanoutRouter } from './fanout.ts';
import { HeadersRouter } from './headers.ts';
import { TopicRouter } from './topic.ts';

const TYPES: ReadonlyMap<string, () => Router> = new Map<string, () => Router>([
  ['direct', () => new DirectRouter()],
  ['fanout', () => new FanoutRouter()],
  ['topic', () => new TopicRouter()],
  ['headers', () => new HeadersRouter()],
]);

export const EXCHANGE_TYPES: readonly string[] = [...TYPES.keys()];

/** A router of this type without bindings, or null when there is no such type. */
export function createRouter(type: string): Router | null {
  return TYPES.get(type)?.() ?? null;
}
