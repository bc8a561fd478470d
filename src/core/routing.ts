// Where a message to an exchange and a key goes: through the exchanges of a virtual host, from one to the other, and to their alternates. Finds, never delivers; relies on
// the exchange types (exchanges/) for what matches, and on each destination for whether its owner may see the message.
import { type Address, DEFAULT_EXCHANGE } from './address.ts';
import { type Binding, NO_ARGUMENTS } from './binding.ts';
import type { Destination } from './delivery.ts';
import { DestinationSet } from './destination-set.ts';
import { RouteResult } from './exchange.ts';
import { EXCHANGE_HOPS_MAX, Exchange } from './exchange-node.ts';
import type { Message } from './message.ts';
import type { Queue } from './queue.ts';
import type { RouteChanges } from './route-changes.ts';
import type { RoutingKey } from './routing-key.ts';

/** Interned destination sets. They are forgotten after so many changes of the bindings, so that destinations that are gone are not kept for long. */
const SETS_MAX = 100_000;
const SETS_CHANGES_MAX = 4096;
/** Sets of more destinations than this are not looked up for interning: their key would cost more than the run it lengthens saves. */
const INTERNED_DESTINATIONS_MAX = 64;

export class Routing {
  private readonly exchanges: ReadonlyMap<string, Exchange>;
  private readonly queues: ReadonlyMap<string, Queue>;
  private readonly changes: RouteChanges;
  private readonly result = new RouteResult();
  private readonly sets = new Map<string, DestinationSet>();
  private setsGeneration = 0;

  constructor(exchanges: ReadonlyMap<string, Exchange>, queues: ReadonlyMap<string, Queue>, changes: RouteChanges) {
    this.exchanges = exchanges;
    this.queues = queues;
    this.changes = changes;
  }

  /** Where a message to this address goes. message is null when the key alone decides. */
  find(exchange: string, key: RoutingKey, message: Message | null): DestinationSet {
    const result = this.result.begin();
    this.follow(exchange, key, message, result);
    const address: Address = { exchange, key };
    const destinations: Destination[] = [];
    const bindings: Binding[][] = [];
    for (let i = 0; i < result.destinations.length; i++) {
      const destination = result.destinations[i]!;
      if (destination instanceof Exchange || !destination.mayReceive(address)) continue;
      destinations.push(destination);
      bindings.push(result.bindings[i]!);
    }
    return this.intern(destinations, bindings);
  }

  /** Follows bindings from exchange to exchange, EXCHANGE_HOPS_MAX of them; a loop ends because every exchange is visited once. */
  private follow(name: string, key: RoutingKey, message: Message | null, result: RouteResult): void {
    if (name === DEFAULT_EXCHANGE) {
      const queue = this.queues.get(key.path);
      if (queue !== undefined) result.add(queueBinding(queue));
      return;
    }
    const { destinations } = result;
    let exchange = this.exchanges.get(name);
    for (let alternates = 0; exchange !== undefined && alternates < EXCHANGE_HOPS_MAX; alternates++) {
      let next = destinations.length;
      let matched = false;
      exchange.router.route(key, message, result);
      for (let hops = 1; next < destinations.length; hops++) {
        for (const end = destinations.length; next < end; next++) {
          const reached = destinations[next]!;
          if (!(reached instanceof Exchange)) matched = true;
          // Back where it began: that one has been asked already.
          else if (reached !== exchange && hops < EXCHANGE_HOPS_MAX) reached.router.route(key, message, result);
        }
      }
      // Nothing matched: the alternate exchange gets it.
      if (matched || exchange.spec.alternate === null) return;
      exchange = this.exchanges.get(exchange.spec.alternate);
    }
  }

  /** Whether the routing key alone decides, here and wherever this exchange leads to. */
  goesByKey(exchange: Exchange): boolean {
    const seen = new Set<Exchange>([exchange]);
    for (const current of seen) {
      if (!current.router.routesByKey) return false;
      if (current.spec.alternate !== null) {
        const alternate = this.exchanges.get(current.spec.alternate);
        if (alternate !== undefined) seen.add(alternate);
      }
      for (const { destination } of current.onward) seen.add(destination as Exchange);
    }
    return true;
  }

  /** The same set for the same destinations by bindings that want the same, mostly. */
  private intern(destinations: Destination[], bindings: Binding[][]): DestinationSet {
    const { changes } = this;
    if (destinations.length > INTERNED_DESTINATIONS_MAX) return new DestinationSet(destinations, bindings, changes);
    if ((changes.generation - this.setsGeneration) >>> 0 > SETS_CHANGES_MAX || this.sets.size >= SETS_MAX) {
      this.sets.clear();
      this.setsGeneration = changes.generation;
    }
    const order = destinations.map((_, i) => i).sort((a, b) => destinations[a]!.id - destinations[b]!.id);
    let key = '';
    for (const i of order) {
      key += `${destinations[i]!.id}:`;
      for (const binding of bindings[i]!) key += `${binding.way},`;
    }
    let set = this.sets.get(key);
    if (set === undefined) {
      set = new DestinationSet(
        order.map((i) => destinations[i]!),
        order.map((i) => bindings[i]!),
        changes,
      );
      this.sets.set(key, set);
    }
    return set;
  }
}

/** The default exchange has no bindings of its own: every queue is bound to it by its name. */
function queueBinding(queue: Queue): Binding {
  return {
    way: 0,
    source: DEFAULT_EXCHANGE,
    destination: queue,
    key: queue.name,
    args: NO_ARGUMENTS,
    subscription: null,
    selector: null,
  };
}
