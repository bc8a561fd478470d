// Bindings and destinations for tests of the routing: a destination that only has an identity.
import { type Binding, NO_ARGUMENTS } from '../../src/core/binding.ts';
import { type Destination, nextDestinationId } from '../../src/core/delivery.ts';
import { RouteResult, type Router } from '../../src/core/exchange.ts';
import type { Message } from '../../src/core/message.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';

export function destination(): Destination {
  return {
    id: nextDestinationId(),
    routeStamp: 0,
    routeIndex: 0,
    mayRefuse: false,
    mayReceive: () => true,
    addTo: () => undefined,
  };
}

let ways = 0;

/** No two of them are interchangeable. */
export function binding(
  key: string,
  to: Destination = destination(),
  args: ReadonlyMap<string, string> = NO_ARGUMENTS,
): Binding {
  return { way: ++ways, source: 'test', destination: to, key, args, subscription: null, selector: null };
}

/** The bindings that a router finds, in the order in which they were made; fails when one is found twice. */
export function routed(router: Pick<Router, 'route'>, path: string, message: Message | null = null): Binding[] {
  const result = new RouteResult().begin();
  router.route(new RoutingKey(path), message, result);
  return sorted(result);
}

export function sorted(result: RouteResult): Binding[] {
  const found = result.bindings.flat();
  if (new Set(found).size !== found.length) throw new Error('a binding was found twice');
  return found.sort((a, b) => a.way - b.way);
}

/** What a pattern means, in the plainest way: exponential in the number of '#', for short texts. */
export function matchesPattern(pattern: string, path: string): boolean {
  const levels = path.split('/');
  const wanted = pattern.split('/');
  if (levels[0]!.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  return matchesLevels(wanted, 0, levels, 0);
}

function matchesLevels(wanted: string[], w: number, levels: string[], l: number): boolean {
  if (w === wanted.length) return l === levels.length;
  if (wanted[w] === '#') {
    for (let skip = l; skip <= levels.length; skip++) {
      if (matchesLevels(wanted, w + 1, levels, skip)) return true;
    }
    return false;
  }
  if (l === levels.length) return false;
  return (wanted[w] === '+' || wanted[w] === levels[l]) && matchesLevels(wanted, w + 1, levels, l + 1);
}
