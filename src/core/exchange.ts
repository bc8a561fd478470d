// What every exchange type implements. route() only finds destinations, it never delivers. A type is one small file in exchanges/ and a line in the
// registry there.
import type { Binding } from './binding.ts';
import type { Destination } from './delivery.ts';
import type { Message } from './message.ts';
import type { RoutingKey } from './routing-key.ts';

export interface ExchangeSpec {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  /** May not be published to by clients, only through bindings. */
  readonly internal: boolean;
  /** Where messages go that no binding matches; null: they are dropped and counted. */
  readonly alternate: string | null;
  readonly args: ReadonlyMap<string, string>;
}

/** One type's routing, without the name and the rest: what a file in exchanges/ exports. */
export interface Router {
  /** The result depends on the routing key alone, so it may be cached by key. False for headers. */
  readonly routesByKey: boolean;
  /** Adds a binding; the same (destination, key, args) is never added twice. Throws BrokerError('invalid-argument') for bad arguments. */
  bind(binding: Binding): void;
  unbind(binding: Binding): void;
  /** Appends every match to the result. message is null when only the key is known (allowed only if routesByKey). */
  route(key: RoutingKey, message: Message | null, result: RouteResult): void;
}

/**
 * Destinations found, without duplicates, each with the bindings by which it was reached. One object is reused; begin() starts anew. Exchanges bound to
 * exchanges appear as destinations here and are followed by the vhost.
 */
export class RouteResult {
  readonly destinations: Destination[] = [];
  /** bindings[i] led to destinations[i]. */
  readonly bindings: Binding[][] = [];
  private static stamps = 0;
  private stamp = 0;

  begin(): this {
    this.stamp = ++RouteResult.stamps;
    this.destinations.length = 0;
    this.bindings.length = 0;
    return this;
  }

  add(binding: Binding): void {
    const destination = binding.destination;
    if (destination.routeStamp === this.stamp) {
      this.bindings[destination.routeIndex]!.push(binding);
      return;
    }
    destination.routeStamp = this.stamp;
    destination.routeIndex = this.destinations.length;
    this.destinations.push(destination);
    this.bindings.push([binding]);
  }
}
