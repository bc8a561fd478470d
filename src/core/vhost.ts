// A virtual host: the named exchanges, queues, bindings and retained messages of one tenant, its sessions (sessions.ts), and the routing between them. Control operations take effect at once
// and in memory; whoever must answer for them waits for Broker.log.position to become durable. No I/O, no clock, no protocol.

import { Durability } from '../storage/commit-log.ts';
import type { StateStore } from '../storage/state-store.ts';
import { DEFAULT_EXCHANGE, TOPIC_EXCHANGE } from './address.ts';
import { Action, type Principal } from './authorizer.ts';
import type { Backlog } from './backlog.ts';
import { type Binding, NO_ARGUMENTS, type SubscriptionOptions, wayOf } from './binding.ts';
import type { Broker } from './broker.ts';
import type { Counters } from './counters.ts';
import * as definitions from './definitions.ts';
import type { Destination } from './delivery.ts';
import { dispatch } from './dispatch.ts';
import { BrokerError } from './errors.ts';
import type { ExchangeSpec } from './exchange.ts';
import { Exchange, exchangeSpec, PREDECLARED } from './exchange-node.ts';
import { Queue } from './queue.ts';
import type { QueueOwner } from './queue-owner.ts';
import { type QueueSpec, specDifference } from './queue-spec.ts';
import { addressResource } from './resource.ts';
import { RetainedTable } from './retained.ts';
import { RouteChanges } from './route-changes.ts';
import type { Route } from './route-table.ts';
import { Routing } from './routing.ts';
import type { Run } from './run.ts';
import { encodeRun } from './run-record.ts';
import { SELECTOR_ARGUMENT } from './selector/selector.ts';
import type { Session } from './session.ts';
import { Sessions, type SessionsHome } from './sessions.ts';

/** Retained messages let go in one tick: a mass expiry is spread over several. */
const RETAINED_EXPIRED_PER_TICK = 10_000;

export class Vhost implements QueueOwner, SessionsHome {
  readonly name: string;
  readonly broker: Broker;
  readonly counters: Counters;
  readonly retained: RetainedTable;
  /** What has changed of where messages go. A route that was resolved in another generation is to be asked about (RouteChanges.holds), or resolved again. */
  readonly changes = new RouteChanges();
  readonly exchanges = new Map<string, Exchange>();
  readonly queues = new Map<string, Queue>();
  readonly sessions = new Sessions(this);
  private readonly routing = new Routing(this.exchanges, this.queues, this.changes);
  private readonly expiring = new Set<Queue>();
  private readonly unused = new Set<Queue>();

  constructor(name: string, broker: Broker) {
    this.name = name;
    this.broker = broker;
    this.counters = broker.counters;
    this.retained = new RetainedTable(broker.limits.retained);
    for (const [exchange, type] of PREDECLARED) {
      this.exchanges.set(
        exchange,
        new Exchange(exchangeSpec(exchange, type, { durable: true, autoDelete: false, internal: false }, NO_ARGUMENTS)),
      );
    }
  }

  get nowMs(): number {
    return this.broker.nowMs;
  }

  get generation(): number {
    return this.changes.generation;
  }

  // ---- routing

  /** Finds where a route leads, and whether this principal may publish there. */
  resolve(route: Route, principal: Principal, clientId: string): void {
    route.generation = this.generation;
    route.set = null;
    route.oneByOne = true;
    const resource = addressResource(this.name, route.exchange, route.key.path);
    route.allowed =
      principal.policy === null || this.broker.authorizer.allows(principal, clientId, Action.Publish, resource);
    route.refusal = route.allowed
      ? null
      : `${principal.name} may not publish to ${resource.kind} ${JSON.stringify(resource.name)}`;
    if (!route.allowed) return;
    const exchange = this.exchanges.get(route.exchange);
    if (route.exchange !== DEFAULT_EXCHANGE && (exchange === undefined || exchange.spec.internal)) {
      route.allowed = false;
      route.refusal = `there is no exchange ${JSON.stringify(route.exchange)} that takes messages in vhost ${this.name}`;
      return;
    }
    if (exchange === undefined || this.routing.goesByKey(exchange)) {
      route.set = this.routing.find(route.exchange, route.key, null);
      route.oneByOne = route.set.oneByOne;
    }
  }

  /** A binding of this exchange came or went. */
  bindingChanged(exchange: Exchange, { key, destination }: Binding): void {
    if (destination instanceof Exchange) this.changes.everything();
    else if (exchange.spec.name === TOPIC_EXCHANGE) this.changes.topics(key);
    else this.changedElsewhere();
  }

  destinationChanged({ id }: Destination): void {
    this.changes.destination(id);
  }

  /** Rights have changed: every route is judged anew. */
  policyChanged(): void {
    this.changes.everything();
  }

  /** Neither amq.topic nor the default exchange has changed, but what amq.topic may lead to: only where it leads on at all do topics go by it. */
  private changedElsewhere(): void {
    if (this.exchanges.get(TOPIC_EXCHANGE)!.onward.size === 0) this.changes.elsewhere();
    else this.changes.everything();
  }

  // ---- publishing

  /**
   * Delivers a run along a resolved, allowed route (resolve it first when route.generation is not ours). A route that goes one by one
   * needs runs of one message. Returns the log position after which the publisher may be told that it is safe; 0 when nothing was logged.
   * run.matched and run.refused say what became of it.
   */
  publish(run: Run, route: Route): number {
    const set = route.set ?? this.routing.find(route.exchange, route.key, run.message(0));
    this.counters.messagesReceived += run.count;
    this.counters.bytesReceived += run.end - run.start;
    const plan = set.plan(run, run.publisher);
    run.matched = !plan.empty || plan.offlineCount > 0;
    run.refused = null;
    if (plan.offlineCount > 0) this.counters.droppedOffline += plan.offlineCount * run.count;
    if (plan.groups.length === 0 && plan.queues.length === 0) {
      if (plan.offlineCount === 0) this.counters.droppedUnroutable += run.count;
      return 0;
    }
    return dispatch(run, plan, this.broker);
  }

  /**
   * Replaces the retained message of a topic by the one of `run`, or clears it. Returns the log position to wait for, 0 when there is none, -1 when it is refused: there is
   * no room for it (retained.max, retained.bytesMax), and what was retained stays.
   */
  retain(path: string, run: Run | null): number {
    const key = `${this.name}\0${path}`;
    if (run === null) {
      const cleared = this.retained.clear(path);
      if (this.state === null) return 0;
      // Where there is nothing to clear, somebody may have cleared it just now, and the disk may not know of it yet.
      return cleared ? this.state.remove('retained', key) : this.broker.log.position;
    }
    // What was stored is kept, even when there is less room for it now.
    if (!this.retained.set(path, run, this.broker.recovering)) {
      this.counters.refusedQuota++;
      return -1;
    }
    return this.state === null ? 0 : this.state.put('retained', key, encodeRun(run));
  }

  // ---- definitions

  declareExchange(spec: ExchangeSpec): Exchange {
    const existing = this.exchanges.get(spec.name);
    if (existing !== undefined) {
      const difference = existing.difference(spec);
      if (difference !== null) {
        throw new BrokerError(
          'precondition-failed',
          `exchange ${JSON.stringify(spec.name)} is there already, but its ${difference}`,
        );
      }
      return existing;
    }
    if (spec.name.startsWith('amq.') || spec.name === DEFAULT_EXCHANGE) {
      throw new BrokerError(
        'access-refused',
        `exchange ${JSON.stringify(spec.name)}: names that begin with amq. are the broker's`,
      );
    }
    const exchange = new Exchange(spec);
    this.exchanges.set(spec.name, exchange);
    this.changedElsewhere();
    if (spec.durable) this.state?.put('exchange', `${this.name}\0${spec.name}`, definitions.encodeExchange(spec));
    return exchange;
  }

  deleteExchange(name: string): boolean {
    const exchange = this.exchanges.get(name);
    if (exchange === undefined) return false;
    if (PREDECLARED.some(([predeclared]) => predeclared === name)) {
      throw new BrokerError('access-refused', `exchange ${JSON.stringify(name)} is the broker's own`);
    }
    for (const binding of [...exchange.bindings, ...exchange.incoming]) this.unbind(binding);
    this.sessions.leaveExchange(exchange);
    this.exchanges.delete(name);
    this.changedElsewhere();
    if (exchange.spec.durable) this.state?.remove('exchange', `${this.name}\0${name}`);
    return true;
  }

  /** Makes the queue, or gives the one there is when it fits. holder: the connection or session an exclusive queue belongs to. */
  declareQueue(spec: QueueSpec, holder: object | null = null): Queue {
    const existing = this.queues.get(spec.name);
    if (existing !== undefined) {
      this.checkHolder(existing, holder);
      const difference = specDifference(existing.spec, spec);
      if (difference !== null) {
        throw new BrokerError(
          'precondition-failed',
          `queue ${JSON.stringify(spec.name)} is there already, but its ${difference}`,
        );
      }
      return existing;
    }
    if (this.queues.size >= this.broker.limits.queuesMax && !this.broker.recovering) {
      throw new BrokerError(
        'quota-exceeded',
        `vhost ${this.name} has ${this.queues.size} queues; queue.max allows no more`,
      );
    }
    const queue = this.makeQueue(spec, `${this.name}\0queue\0${spec.name}`);
    queue.holder = spec.exclusive ? holder : null;
    this.queues.set(spec.name, queue);
    if (spec.expiresMs !== null) this.unused.add(queue);
    this.changes.queue(spec.name);
    if (spec.durable) this.state?.put('queue', `${this.name}\0${spec.name}`, definitions.encodeQueue(spec));
    return queue;
  }

  /** Refuses everybody but its holder the use of an exclusive queue. */
  checkHolder(queue: Queue, holder: object | null): void {
    if (queue.holder !== null && queue.holder !== holder) {
      throw new BrokerError(
        'resource-locked',
        `queue ${JSON.stringify(queue.name)} is exclusive to another connection`,
      );
    }
  }

  makeQueue(spec: QueueSpec, logName: string): Queue {
    const durability = durabilityOf(spec, this.broker.durability);
    const log =
      spec.durable && durability !== Durability.Memory ? this.broker.log.openQueue(logName, durability) : null;
    return new Queue(spec, log, this);
  }

  deleteQueue(queue: Queue): void {
    if (queue.deleted) return;
    for (const binding of [...queue.bindings]) this.unbind(binding);
    if (this.queues.get(queue.name) === queue) {
      this.queues.delete(queue.name);
      if (queue.spec.durable) this.state?.remove('queue', `${this.name}\0${queue.name}`);
    }
    this.expiring.delete(queue);
    this.unused.delete(queue);
    this.changes.queue(queue.name);
    queue.delete();
  }

  /** Binds a queue, direct subscriber or exchange to an exchange; a session subscribes. Binding the same again gives the binding there is. */
  bind(
    source: string,
    destination: Destination,
    key: string,
    args: ReadonlyMap<string, string> = NO_ARGUMENTS,
    subscription: SubscriptionOptions | null = null,
  ): Binding {
    const exchange = this.exchangeOf(source);
    if (subscription === null) {
      const existing = exchange.find(destination, key, args, bindingsTo(destination));
      if (existing !== null) return existing;
    }
    const selector = this.broker.selectors.get(args.get(SELECTOR_ARGUMENT));
    if (selector !== null && destination instanceof Exchange) {
      throw new BrokerError('invalid-argument', `${SELECTOR_ARGUMENT}: a binding to an exchange can have none`);
    }
    const binding: Binding = {
      way: wayOf(args, subscription, selector),
      source,
      destination,
      key,
      args,
      subscription,
      selector,
    };
    exchange.router.bind(binding);
    exchange.add(binding);
    if (destination instanceof Queue || destination instanceof Exchange) {
      destination.onBound(binding);
      if (exchange.spec.durable && destination.spec.durable && this.isNamed(destination)) {
        this.state?.put('binding', definitions.bindingKey(this.name, binding), definitions.encodeBinding(binding));
      }
    }
    this.bindingChanged(exchange, binding);
    return binding;
  }

  unbind(binding: Binding): void {
    const exchange = this.exchanges.get(binding.source);
    if (exchange === undefined || !exchange.remove(binding)) return;
    exchange.router.unbind(binding);
    const { destination } = binding;
    if (destination instanceof Queue || destination instanceof Exchange) {
      destination.onUnbound(binding);
      if (exchange.spec.durable && destination.spec.durable && this.isNamed(destination)) {
        this.state?.remove('binding', definitions.bindingKey(this.name, binding));
      }
    }
    this.bindingChanged(exchange, binding);
    this.dropUnbound(exchange);
  }

  exchangeOf(name: string): Exchange {
    const exchange = this.exchanges.get(name);
    if (exchange === undefined)
      throw new BrokerError('not-found', `there is no exchange ${JSON.stringify(name)} in vhost ${this.name}`);
    return exchange;
  }

  dropUnbound(exchange: Exchange): void {
    if (exchange.spec.autoDelete && exchange.bindingCount === 0) this.deleteExchange(exchange.spec.name);
  }

  dropQueue(queue: Queue): void {
    this.expiring.delete(queue);
    queue.delete();
  }

  /** Session queues are not definitions of their own: they come back with their session. */
  private isNamed(destination: Queue | Exchange): boolean {
    return destination instanceof Exchange || this.queues.get(destination.name) === destination;
  }

  /** The state store, where it survives; null with the memory engine. */
  get state(): StateStore | null {
    return this.broker.recovering ? null : this.broker.state;
  }

  onSessionEnded(session: Session): void {
    this.broker.onSessionEnded(this, session);
  }

  // ---- time

  onQueueUnused(queue: Queue): void {
    this.deleteQueue(queue);
  }

  onQueueUseChanged(queue: Queue): void {
    if (queue.spec.expiresMs === null) return;
    if (queue.unusedSinceMs === 0) this.unused.delete(queue);
    else this.unused.add(queue);
  }

  onSettling(backlog: Backlog): void {
    this.broker.settleBeforeUnitEnds(backlog);
  }

  onQueueExpires(queue: Queue): void {
    this.expiring.add(queue);
  }

  /** Lets go what has expired: messages, unused queues, sessions, retained messages. Called a few times a second. */
  tick(nowMs: number): void {
    for (const queue of this.expiring) queue.expire(nowMs);
    for (const queue of this.unused) {
      if (queue.unusedSinceMs !== 0 && queue.unusedSinceMs + queue.spec.expiresMs! <= nowMs) this.deleteQueue(queue);
    }
    this.retained.expire(
      nowMs,
      (path) => this.state?.remove('retained', `${this.name}\0${path}`),
      RETAINED_EXPIRED_PER_TICK,
    );
    this.sessions.tick(nowMs);
  }
}

/** All bindings that lead to it, where it knows them. */
function bindingsTo(destination: Destination): ReadonlySet<Binding> | null {
  if (destination instanceof Queue) return destination.bindings;
  return destination instanceof Exchange ? destination.incoming : null;
}

function durabilityOf(spec: QueueSpec, preset: Durability): Durability {
  const asked = spec.args.get('x-durability');
  if (asked === undefined) return preset;
  if (asked === 'memory') return Durability.Memory;
  if (asked === 'written') return preset === Durability.Memory ? Durability.Memory : Durability.Written;
  if (asked === 'fsync') return preset === Durability.Memory ? Durability.Memory : Durability.Fsync;
  throw new BrokerError('invalid-argument', `x-durability: '${asked}' is not allowed; memory, written or fsync`);
}
