// An exchange with its name, its flags and its bindings; how it routes is its type's business (exchanges/). As a destination it stands for "and on through that exchange".
import type { Address } from './address.ts';
import type { Binding } from './binding.ts';
import { type DeliveryPlan, type Destination, nextDestinationId } from './delivery.ts';
import { BrokerError } from './errors.ts';
import type { ExchangeSpec, Router } from './exchange.ts';
import { createRouter, EXCHANGE_TYPES } from './exchanges/registry.ts';
import type { Guarantee } from './guarantee.ts';

/** Alternate exchanges behind one another; also bounds chains of exchanges bound to exchanges. */
export const EXCHANGE_HOPS_MAX = 16;

export const PREDECLARED: readonly (readonly [name: string, type: string])[] = [
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
];

export function exchangeSpec(
  name: string,
  type: string,
  flags: { durable: boolean; autoDelete: boolean; internal: boolean },
  args: ReadonlyMap<string, string>,
): ExchangeSpec {
  return { name, type, ...flags, alternate: args.get('alternate-exchange') ?? null, args: new Map(args) };
}

export class Exchange implements Destination {
  readonly id = nextDestinationId();
  readonly spec: ExchangeSpec;
  readonly router: Router;
  /** Bindings whose source it is, without the subscriptions of sessions, which are counted. */
  readonly bindings = new Set<Binding>();
  subscriptionCount = 0;
  /** Those of the bindings that lead to other exchanges: few, where the others may be a million. */
  readonly onward = new Set<Binding>();
  /** Bindings that lead here from other exchanges. */
  readonly incoming = new Set<Binding>();
  routeStamp = 0;
  routeIndex = 0;
  readonly mayRefuse = false;

  constructor(spec: ExchangeSpec) {
    const router = createRouter(spec.type);
    if (router === null) {
      throw new BrokerError(
        'invalid-argument',
        `exchange type '${spec.type}' is not known; ${EXCHANGE_TYPES.join(', ')}`,
      );
    }
    this.spec = spec;
    this.router = router;
  }

  addTo(_plan: DeliveryPlan, _bindings: readonly Binding[], _guarantee: Guarantee): void {
    // The vhost follows exchanges while it routes; they are in no plan.
  }

  onBound(binding: Binding): void {
    this.incoming.add(binding);
  }

  onUnbound(binding: Binding): void {
    this.incoming.delete(binding);
  }

  mayReceive(_address: Address): boolean {
    return true;
  }

  get bindingCount(): number {
    return this.bindings.size + this.subscriptionCount;
  }

  add(binding: Binding): void {
    this.bindings.add(binding);
    if (binding.destination instanceof Exchange) this.onward.add(binding);
  }

  /** Returns whether it was there. */
  remove(binding: Binding): boolean {
    this.onward.delete(binding);
    return this.bindings.delete(binding);
  }

  /** The binding that says exactly this, or null. `reaching`: a set that has every binding of the destination, if there is one. */
  find(
    destination: Destination,
    key: string,
    args: ReadonlyMap<string, string>,
    reaching: ReadonlySet<Binding> | null,
  ): Binding | null {
    const searched = reaching !== null && reaching.size < this.bindings.size ? reaching : this.bindings;
    for (const binding of searched) {
      if (binding.destination !== destination || binding.key !== key || binding.source !== this.spec.name) continue;
      if (sameArguments(binding.args, args)) return binding;
    }
    return null;
  }

  /** Why a second declaration does not fit; null when it does. */
  difference(spec: ExchangeSpec): string | null {
    for (const field of ['type', 'durable', 'autoDelete', 'internal', 'alternate'] as const) {
      if (this.spec[field] !== spec[field]) return `${field} is ${this.spec[field]}, asked for ${spec[field]}`;
    }
    return null;
  }
}

function sameArguments(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
