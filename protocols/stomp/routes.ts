// From the destination of a SEND, in bytes, to a resolved route: what an adapter's connections share per virtual host and user, and what a route of STOMP knows beside the core's.
import { DEFAULT_EXCHANGE } from '../../src/core/address.ts';
import { Action, type Authorizer, type Principal } from '../../src/core/authorizer.ts';
import type { Broker } from '../../src/core/broker.ts';
import type { BrokerErrorCode } from '../../src/core/errors.ts';
import { queueSpec, TEMPORARY_QUEUE_PREFIX } from '../../src/core/queue-spec.ts';
import { addressResource } from '../../src/core/resource.ts';
import { Route, RouteTable } from '../../src/core/route-table.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { addressToDestination, type SendAddress } from './addresses.ts';
import { DOTTED, SLASHED } from './codec-run.ts';
import { encodeHeaderBlock } from './encoder.ts';
import { Version } from './frame.ts';

/** Destinations remembered per virtual host and user, and the memory for it. */
const ROUTES_MAX = 65_536;
const ROUTES_BYTES_MAX = 32 * 1024 * 1024;

/** Who may do all there is to do with what is its own. */
const OWNER: Principal = { name: 'owner', policy: null };

const ALONE: readonly StompRoute[] = Object.freeze([]);

export class StompRoute extends Route {
  readonly address: SendAddress;
  /** Whether the destination is written differently with slashes and dots, and how this one is: DOTTED, SLASHED, or 0. */
  readonly notation: number;
  /** The destination's line is the same in every version. */
  readonly portable: boolean;
  /** When not allowed: why, for programs. */
  refusalCode: BrokerErrorCode = 'access-refused';
  /** It leads to the connection's own temporary destination, for which nobody is asked. */
  readonly own: boolean;
  /** Of a composite destination: where else its messages go. */
  readonly others: readonly StompRoute[];
  private readonly destination: string;
  private readonly lines: (Uint8Array | null)[] = [null, null, null];

  constructor(address: SendAddress, own = false, others: readonly StompRoute[] = ALONE) {
    super(address.exchange, address.key);
    this.own = own;
    this.others = others;
    this.address = address;
    const { slashes } = address;
    this.destination = addressToDestination(address, slashes);
    const same = this.destination === addressToDestination(address, !slashes);
    this.notation = same ? 0 : slashes ? SLASHED : DOTTED;
    this.portable = !/[:\\]/.test(this.destination);
  }

  /** "destination:…\n" as it stands in frames of a version. */
  line(version: Version): Uint8Array {
    const place = this.portable ? 0 : version - Version.V1_0;
    this.lines[place] ??= encodeHeaderBlock(['destination', this.destination], version);
    return this.lines[place];
  }
}

/**
 * Finds out where the route leads; a queue that is declared on first use is made, with `args`. Where args are given, a queue that is there must fit them. Throws BrokerError
 * when it does not, or cannot be made.
 */
export function resolveRoute(
  vhost: Vhost,
  route: StompRoute,
  principal: Principal,
  clientId: string,
  args: ReadonlyMap<string, string>,
): void {
  const { address } = route;
  const asker = route.own ? OWNER : principal;
  vhost.resolve(route, asker, clientId);
  if (!route.allowed) {
    route.refusalCode = isMissing(vhost, route, principal, clientId) ? 'not-found' : 'access-refused';
    return;
  }
  if (address.exchange !== DEFAULT_EXCHANGE) return;
  if (isReserved(address.key.path)) {
    route.allowed = false;
    route.refusal = reservedProblem(address.key.path);
    return;
  }
  const exists = vhost.queues.has(address.key.path);
  if (exists && (args.size === 0 || !address.declare)) return;
  if (!address.declare || address.key.path.startsWith(TEMPORARY_QUEUE_PREFIX)) {
    route.allowed = false;
    route.refusalCode = 'not-found';
    route.refusal = `there is no queue ${JSON.stringify(address.key.path)} in vhost ${vhost.name}`;
    return;
  }
  vhost.declareQueue(queueSpec(address.key.path, { durable: true, autoDelete: false, exclusive: false }, args));
  vhost.resolve(route, asker, clientId);
}

/** Names of queues that are made for what else is asked for (x-share-group, exclusive:true), and reached by nothing else. */
const RESERVED = ['$share/', '$exclusive/'];

export function isReserved(queue: string): boolean {
  return RESERVED.some((prefix) => queue.startsWith(prefix));
}

export function reservedProblem(queue: string): string {
  return `queue ${JSON.stringify(queue)} belongs to a shared or exclusive subscription`;
}

/** The exchange is not there, and the user is one who may know. */
function isMissing(vhost: Vhost, route: Route, principal: Principal, clientId: string): boolean {
  if (route.exchange === DEFAULT_EXCHANGE || vhost.exchanges.has(route.exchange)) return false;
  if (principal.policy === null) return true;
  const resource = addressResource(vhost.name, route.exchange, route.key.path);
  return vhost.broker.authorizer.allows(principal, clientId, Action.Publish, resource);
}

export class RouteTables {
  private readonly authorizer: Authorizer;
  private tables = new Map<Vhost, Map<Principal, RouteTable>>();
  private epoch = -1;

  constructor(broker: Broker) {
    this.authorizer = broker.authorizer;
  }

  /** The table to share with others of this user, or one of its own where the rights depend on the client. Valid while the authorizer's epoch stays. */
  get(vhost: Vhost, principal: Principal): RouteTable {
    if (this.authorizer.dependsOnClient(principal)) return new RouteTable(ROUTES_MAX, ROUTES_BYTES_MAX);
    if (this.epoch !== this.authorizer.epoch) {
      this.tables = new Map();
      this.epoch = this.authorizer.epoch;
    }
    let tables = this.tables.get(vhost);
    if (tables === undefined) {
      tables = new Map();
      this.tables.set(vhost, tables);
    }
    let table = tables.get(principal);
    if (table === undefined) {
      table = new RouteTable(ROUTES_MAX, ROUTES_BYTES_MAX);
      tables.set(principal, table);
    }
    return table;
  }
}
