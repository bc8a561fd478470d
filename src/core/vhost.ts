// A virtual host: the named exchanges, queues, bindings, sessions and retained messages of one tenant, and the routing between them. Control operations take effect at once
// and in memory; whoever must answer for them waits for Broker.log.position to become durable. No I/O, no clock, no protocol.
// A little longer than most files: exchanges, queues, bindings and sessions of one vhost are declared, bound and taken away with each other in mind.

import { Durability } from '../storage/commit-log.ts';
import type { StateStore } from '../storage/state-store.ts';
import { DEFAULT_EXCHANGE } from './address.ts';
import { Action, type Authorizer, type Principal } from './authorizer.ts';
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
import { Overflow, type QueueSpec, queueSpec, specDifference } from './queue-spec.ts';
import { addressResource } from './resource.ts';
import { RetainedTable } from './retained.ts';
import type { Route } from './route-table.ts';
import { Routing } from './routing.ts';
import type { Run } from './run.ts';
import { encodeRun } from './run-record.ts';
import { SELECTOR_ARGUMENT, type Selector } from './selector/selector.ts';
import { Session, type SessionHome } from './session.ts';
import { Subscription } from './subscription.ts';

/** Retained messages let go in one tick: a mass expiry is spread over several. */
const RETAINED_EXPIRED_PER_TICK = 10_000;

export class Vhost implements QueueOwner, SessionHome {
  readonly name: string;
  readonly broker: Broker;
  readonly counters: Counters;
  readonly retained: RetainedTable;
  /** Grows with every change that may change a route. Cached routes of an older generation are resolved again. */
  generation = 1;
  readonly exchanges = new Map<string, Exchange>();
  readonly queues = new Map<string, Queue>();
  /** By client id: there is one session for it, and it belongs to one principal. */
  readonly sessions = new Map<string, Session>();
  private readonly routing = new Routing(this.exchanges, this.queues);
  private readonly expiring = new Set<Queue>();
  private readonly unused = new Set<Queue>();
  private readonly waiting = new Set<Session>();
  /** Their clients have left since the last tick. */
  private readonly left = new Set<Session>();

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

  get authorizer(): Authorizer {
    return this.broker.authorizer;
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
      route.set = this.routing.find(route.exchange, route.key, null, this.generation);
      route.oneByOne = route.set.oneByOne;
    }
  }

  private bindingsChanged(): void {
    this.generation++;
  }

  /** Rights have changed: every route is judged anew. */
  policyChanged(): void {
    this.generation++;
  }

  // ---- publishing

  /**
   * Delivers a run along a resolved, allowed route (resolve it first when route.generation is not ours). A route that goes one by one
   * needs runs of one message. Returns the log position after which the publisher may be told that it is safe; 0 when nothing was logged.
   * run.matched and run.refused say what became of it.
   */
  publish(run: Run, route: Route): number {
    const set = route.set ?? this.routing.find(route.exchange, route.key, run.message(0), this.generation);
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
    this.bindingsChanged();
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
    if (exchange.subscriptionCount > 0) {
      for (const session of this.sessions.values()) {
        for (const one of session.subscriptions.values()) if (one.exchange === name) this.unbindSubscription(one);
      }
    }
    this.exchanges.delete(name);
    this.bindingsChanged();
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
    this.bindingsChanged();
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

  private makeQueue(spec: QueueSpec, logName: string): Queue {
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
    this.bindingsChanged();
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
      bindingsTo(destination)!.add(binding);
      if (exchange.spec.durable && destination.spec.durable && this.isNamed(destination)) {
        this.state?.put('binding', definitions.bindingKey(this.name, binding), definitions.encodeBinding(binding));
      }
    }
    this.bindingsChanged();
    return binding;
  }

  unbind(binding: Binding): void {
    const exchange = this.exchanges.get(binding.source);
    if (exchange === undefined || !exchange.remove(binding)) return;
    exchange.router.unbind(binding);
    const { destination } = binding;
    if (destination instanceof Queue || destination instanceof Exchange) {
      bindingsTo(destination)!.delete(binding);
      if (exchange.spec.durable && destination.spec.durable && this.isNamed(destination)) {
        this.state?.remove('binding', definitions.bindingKey(this.name, binding));
      }
    }
    this.bindingsChanged();
    this.dropUnbound(exchange);
  }

  private exchangeOf(name: string): Exchange {
    const exchange = this.exchanges.get(name);
    if (exchange === undefined)
      throw new BrokerError('not-found', `there is no exchange ${JSON.stringify(name)} in vhost ${this.name}`);
    return exchange;
  }

  private dropUnbound(exchange: Exchange): void {
    if (exchange.spec.autoDelete && exchange.bindingCount === 0) this.deleteExchange(exchange.spec.name);
  }

  private bindSubscription(subscription: Subscription, exchange: Exchange): void {
    exchange.router.bind(subscription);
    exchange.subscriptionCount++;
    subscription.bound = true;
    this.bindingsChanged();
  }

  private unbindSubscription(subscription: Subscription): void {
    if (!subscription.bound) return;
    subscription.bound = false;
    const exchange = this.exchangeOf(subscription.source);
    exchange.router.unbind(subscription);
    exchange.subscriptionCount--;
    this.bindingsChanged();
    this.dropUnbound(exchange);
  }

  /** Session queues are not definitions of their own: they come back with their session. */
  private isNamed(destination: Queue | Exchange): boolean {
    return destination instanceof Exchange || this.queues.get(destination.name) === destination;
  }

  // ---- sessions

  /** The session of a client id, or null. Throws BrokerError('access-refused') when it belongs to another principal. */
  findSession(principal: Principal, clientId: string): Session | null {
    const session = this.sessions.get(clientId);
    if (session === undefined) return null;
    if (session.principal.name !== principal.name) {
      throw new BrokerError('access-refused', `client id ${JSON.stringify(clientId)} belongs to another user`);
    }
    return session;
  }

  createSession(principal: Principal, clientId: string): Session {
    const session = new Session(this, principal, clientId);
    this.sessions.set(clientId, session);
    return session;
  }

  /** A link takes part: what was stored is delivered once the link consumes session.queue. */
  attachSession(session: Session, link: Session['link'], expiryMs: number): void {
    session.link = link;
    this.left.delete(session);
    session.epoch++;
    session.endsAtMs = 0;
    this.waiting.delete(session);
    this.setSessionExpiry(session, expiryMs);
    // Direct targets are part of plans.
    if (session.subscriptions.size > 0) this.bindingsChanged();
  }

  setSessionExpiry(session: Session, expiryMs: number): void {
    session.expiryMs = expiryMs;
    const durable = expiryMs > 0;
    if (durable || session.durable) {
      session.durable = durable;
      this.saveSession(session);
    }
  }

  /** The link is gone; the session waits, or ends when it has no expiry. */
  detachSession(session: Session): void {
    session.link = null;
    if (session.expiryMs <= 0) {
      this.endSession(session);
      return;
    }
    session.endsAtMs = session.expiryMs === Number.POSITIVE_INFINITY ? 0 : this.nowMs + session.expiryMs;
    if (session.endsAtMs !== 0) {
      this.waiting.add(session);
      this.saveSession(session);
    }
    this.left.add(session);
    if (session.subscriptions.size > 0) this.bindingsChanged();
  }

  /**
   * Lets go of what a session does not need while its client is away, when nothing is stored for it: its queue, which the next message makes again. Not while anything is under way, as
   * a plan that is being carried out may lead to the queue.
   */
  private rest(session: Session): void {
    const { queue } = session;
    if (session.link !== null || session.ended) return;
    if (queue !== null) {
      // What was asked for with arguments decides how messages are routed to it.
      if (!queue.idle || session.queueArguments.size > 0) return;
      session.queue = null;
      this.expiring.delete(queue);
      queue.delete();
      this.bindingsChanged();
    }
    this.broker.onSessionRests(session);
  }

  endSession(session: Session): void {
    if (session.ended) return;
    session.ended = true;
    for (const subscription of session.subscriptions.values()) this.unbindSubscription(subscription);
    if (session.queue !== null) {
      session.queue.delete();
      this.expiring.delete(session.queue);
      session.queue = null;
    }
    this.waiting.delete(session);
    this.left.delete(session);
    if (this.sessions.get(session.clientId) === session) this.sessions.delete(session.clientId);
    if (session.durable) this.state?.remove('session', `${this.name}\0${session.clientId}`);
    this.broker.onSessionEnded(this, session);
    session.subscriptions.clear();
    this.bindingsChanged();
  }

  /** Adds or replaces a subscription of the session to an exchange. */
  subscribe(
    session: Session,
    filter: string,
    exchange: string,
    pattern: string,
    options: SubscriptionOptions,
    selector: Selector | null = null,
  ): void {
    if (options.guarantee > 0 && !session.stores) {
      session.stores = true;
      // What it asked for is taken now, and some of it decides how messages are routed to it.
      if (session.queueArguments.size > 0) session.wake();
    }
    const made = new Subscription(session, filter, options, selector, exchange, pattern, null);
    const before = session.subscriptions.get(filter);
    // Clients that come back often ask for what they have.
    if (before?.bound === true && before.isSame(made)) return;
    // Replaced, not added to: no moment without a binding, so nothing is missed [MQTT-3.8.4-3].
    this.bindSubscription(made, this.exchangeOf(exchange));
    if (before !== undefined) this.unbindSubscription(before);
    session.subscriptions.set(made);
    if (session.durable) this.saveSession(session);
  }

  /** Notes that the session consumes a queue that is not its own (shared subscription, work queue). */
  subscribeQueue(
    session: Session,
    filter: string,
    queue: Queue,
    options: SubscriptionOptions,
    selector: Selector | null = null,
  ): void {
    session.subscriptions.set(new Subscription(session, filter, options, selector, null, '', queue));
    if (session.durable) this.saveSession(session);
  }

  /** Returns false when there was no such subscription. */
  unsubscribe(session: Session, filter: string): boolean {
    const subscription = session.subscriptions.get(filter);
    if (subscription === undefined) return false;
    session.subscriptions.delete(filter);
    this.unbindSubscription(subscription);
    if (session.durable) this.saveSession(session);
    return true;
  }

  makeSessionQueue(session: Session): Queue {
    const { bytesMax, lengthMax } = this.broker.limits.sessionQueue;
    const flags = { durable: session.durable, autoDelete: false, exclusive: true };
    const asked = queueSpec(session.clientId, flags, session.queueArguments);
    const spec = {
      ...asked,
      lengthMax: Math.min(asked.lengthMax ?? lengthMax, lengthMax),
      bytesMax: Math.min(asked.bytesMax ?? bytesMax, bytesMax),
      // A session's queue makes room by itself, unless its client would rather have its publishers refused.
      overflow: session.queueArguments.has('x-overflow') ? asked.overflow : Overflow.DropHead,
    };
    const queue = this.makeQueue(spec, this.sessionQueueName(session));
    session.queue = queue;
    queue.holder = session;
    session.link?.onQueueMade(queue);
    return queue;
  }

  /** That of its queue in the log. */
  private sessionQueueName(session: Session): string {
    return `${this.name}\0session\0${session.clientId}`;
  }

  /** A session from the disk. Subscriptions to queues are taken up again when its client comes back. logged: the names of all queues in the log. */
  restoreSession(stored: definitions.StoredSession, principal: Principal, logged: ReadonlySet<string>): void {
    const session = this.createSession(principal, stored.clientId);
    session.durable = true;
    session.queueArguments = new Map(stored.queueArguments ?? []);
    session.copyForEach = stored.copyForEach === true;
    session.expiryMs = stored.expiryMs ?? Number.POSITIVE_INFINITY;
    // Whoever was connected when the broker ended was cut off: the session waits from now on.
    if (session.expiryMs !== Number.POSITIVE_INFINITY) {
      session.endsAtMs = stored.endsAtMs !== 0 ? stored.endsAtMs : this.nowMs + session.expiryMs;
      this.waiting.add(session);
    }
    session.stores = stored.hasQueue;
    if (stored.hasQueue && (session.queueArguments.size > 0 || logged.has(this.sessionQueueName(session)))) {
      session.wake();
      this.left.add(session);
    }
    for (const { filter, options, exchange, pattern, queue, selector: text } of stored.subscriptions) {
      // An exchange that was not durable, or has been deleted, has taken its bindings with it.
      if (exchange !== null && !this.exchanges.has(exchange)) continue;
      const selector = this.broker.selectors.get(text);
      const reads = this.queues.get(queue) ?? null;
      const subscription = new Subscription(session, filter, options, selector, exchange, pattern, reads);
      if (exchange !== null) this.bindSubscription(subscription, this.exchangeOf(exchange));
      session.subscriptions.set(subscription);
    }
  }

  private saveSession(session: Session): void {
    const key = `${this.name}\0${session.clientId}`;
    if (session.durable) this.state?.put('session', key, definitions.encodeSession(session));
    else this.state?.remove('session', key);
  }

  /** The state store, where it survives; null with the memory engine. */
  private get state(): StateStore | null {
    return this.broker.recovering ? null : this.broker.state;
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
    for (const session of this.waiting) {
      if (session.link === null && session.endsAtMs !== 0 && session.endsAtMs <= nowMs) this.endSession(session);
    }
    if (this.left.size > 0 && this.broker.failed === null) {
      for (const session of this.left) this.rest(session);
      this.left.clear();
    }
  }
}

/** All bindings that lead to it, where it knows them. */
function bindingsTo(destination: Destination): Set<Binding> | null {
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
