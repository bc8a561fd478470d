// The sessions of a virtual host: who they belong to, what they subscribe to, when they rest and when they end. Like the virtual host's own, these operations take effect at once; whoever
// must answer for them waits for Broker.log.position to become durable.

import type { StateStore } from '../storage/state-store.ts';
import type { Authorizer, Principal } from './authorizer.ts';
import type { Binding, SubscriptionOptions } from './binding.ts';
import type { Broker } from './broker.ts';
import * as definitions from './definitions.ts';
import type { Destination } from './delivery.ts';
import { BrokerError } from './errors.ts';
import type { Exchange } from './exchange-node.ts';
import type { Queue } from './queue.ts';
import { Overflow, type QueueSpec, queueSpec } from './queue-spec.ts';
import type { Selector } from './selector/selector.ts';
import { Session, type SessionHome } from './session.ts';
import { isShare } from './share-group.ts';
import { Subscription } from './subscription.ts';

/** What they need of their virtual host. */
export interface SessionsHome {
  readonly name: string;
  readonly broker: Broker;
  readonly nowMs: number;
  readonly exchanges: ReadonlyMap<string, Exchange>;
  readonly queues: ReadonlyMap<string, Queue>;
  /** Null where nothing survives, and during recovery. */
  readonly state: StateStore | null;
  /** Throws BrokerError('not-found'). */
  exchangeOf(name: string): Exchange;
  /** Deletes an auto-delete exchange to which nothing is bound any more. */
  dropUnbound(exchange: Exchange): void;
  makeQueue(spec: QueueSpec, logName: string): Queue;
  /** Deletes a queue that has no name of its own. */
  dropQueue(queue: Queue): void;
  /** A binding of the exchange came or went. */
  bindingChanged(exchange: Exchange, binding: Binding): void;
  /** Messages that reach it go elsewhere now. */
  destinationChanged(destination: Destination): void;
  /** Who may do what is another question now. */
  policyChanged(): void;
  onSessionEnded(session: Session): void;
}

/** Of the sessions that wait for their end, so many are looked at in each tick at least; where there are more, each is looked at once in so many ticks (a second). */
const LOOKED_AT_MIN = 1000;
const LOOKING_TICKS = 10;

export class Sessions implements SessionHome {
  /** There is one session for a client id, and it belongs to one principal. */
  private readonly byClientId = new Map<string, Session>();
  /** Those that end when their time is over. */
  private readonly waiting = new Set<Session>();
  /** How far the look at them has come; null: it begins anew. */
  private walk: Iterator<Session, undefined> | null = null;
  /** In each tick of this walk. */
  private lookedAt = 0;
  /** Their clients have left since the last tick. */
  private readonly left = new Set<Session>();
  /** Subscriptions of all sessions, and those of them that take part in a share group. */
  subscriptionCount = 0;
  sharedCount = 0;
  private readonly home: SessionsHome;

  constructor(home: SessionsHome) {
    this.home = home;
  }

  get name(): string {
    return this.home.name;
  }

  get authorizer(): Authorizer {
    return this.home.broker.authorizer;
  }

  get size(): number {
    return this.byClientId.size;
  }

  get(clientId: string): Session | undefined {
    return this.byClientId.get(clientId);
  }

  has(clientId: string): boolean {
    return this.byClientId.has(clientId);
  }

  keys(): Iterable<string> {
    return this.byClientId.keys();
  }

  values(): Iterable<Session> {
    return this.byClientId.values();
  }

  /** The session of a client id, or null. Throws BrokerError('access-refused') when it belongs to another principal. */
  find(principal: Principal, clientId: string): Session | null {
    const session = this.byClientId.get(clientId);
    if (session === undefined) return null;
    if (session.principal.name !== principal.name) {
      throw new BrokerError('access-refused', `client id ${JSON.stringify(clientId)} belongs to another user`);
    }
    return session;
  }

  create(principal: Principal, clientId: string): Session {
    const session = new Session(this, principal, clientId);
    this.byClientId.set(clientId, session);
    return session;
  }

  /** A link takes part: what was stored is delivered once the link consumes session.queue. */
  attach(session: Session, link: Session['link'], expiryMs: number): void {
    session.link = link;
    this.left.delete(session);
    session.epoch++;
    session.endsAtMs = 0;
    this.waiting.delete(session);
    this.setExpiry(session, expiryMs);
    // Direct targets are part of plans, also of those for subscriptions that it has no more and may have again.
    this.home.destinationChanged(session);
  }

  /** The session is this user's: the same as before, but what the user may do may be said anew. */
  belongsTo(session: Session, principal: Principal): void {
    const isOther = session.principal.policy !== principal.policy;
    session.principal = principal;
    if (isOther && session.subscriptions.size > 0) this.home.policyChanged();
  }

  setExpiry(session: Session, expiryMs: number): void {
    session.expiryMs = expiryMs;
    const durable = expiryMs > 0;
    if (durable || session.durable) {
      session.durable = durable;
      this.save(session);
    }
  }

  /** The link is gone; the session waits, or ends when it has no expiry. */
  detach(session: Session): void {
    session.link = null;
    if (session.expiryMs <= 0) {
      this.end(session);
      return;
    }
    session.endsAtMs = session.expiryMs === Number.POSITIVE_INFINITY ? 0 : this.home.nowMs + session.expiryMs;
    if (session.endsAtMs !== 0) {
      this.waiting.add(session);
      this.save(session);
    }
    this.left.add(session);
    this.home.destinationChanged(session);
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
      this.home.dropQueue(queue);
      this.home.destinationChanged(session);
    }
    this.home.broker.onSessionRests(session);
  }

  end(session: Session): void {
    if (session.ended) return;
    session.ended = true;
    for (const subscription of session.subscriptions.values()) {
      this.count(subscription, -1);
      this.unbind(subscription);
    }
    if (session.queue !== null) {
      this.home.dropQueue(session.queue);
      session.queue = null;
    }
    this.waiting.delete(session);
    this.left.delete(session);
    if (this.byClientId.get(session.clientId) === session) this.byClientId.delete(session.clientId);
    if (session.durable) this.home.state?.remove('session', `${this.home.name}\0${session.clientId}`);
    this.home.onSessionEnded(session);
    session.subscriptions.clear();
    this.home.destinationChanged(session);
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
    this.bind(made, this.home.exchangeOf(exchange));
    if (before !== undefined) this.unbind(before);
    this.keep(session, made);
    if (session.durable) this.save(session);
  }

  /** Notes that the session consumes a queue that is not its own (shared subscription, work queue). */
  subscribeQueue(
    session: Session,
    filter: string,
    queue: Queue,
    options: SubscriptionOptions,
    selector: Selector | null = null,
  ): void {
    this.keep(session, new Subscription(session, filter, options, selector, null, '', queue));
    if (session.durable) this.save(session);
  }

  /** Returns false when there was no such subscription. */
  unsubscribe(session: Session, filter: string): boolean {
    const subscription = session.subscriptions.get(filter);
    if (subscription === undefined) return false;
    session.subscriptions.delete(filter);
    this.count(subscription, -1);
    this.unbind(subscription);
    if (session.durable) this.save(session);
    return true;
  }

  makeQueue(session: Session): Queue {
    const { bytesMax, lengthMax } = this.home.broker.limits.sessionQueue;
    const flags = { durable: session.durable, autoDelete: false, exclusive: true };
    const asked = queueSpec(session.clientId, flags, session.queueArguments);
    const spec = {
      ...asked,
      lengthMax: Math.min(asked.lengthMax ?? lengthMax, lengthMax),
      bytesMax: Math.min(asked.bytesMax ?? bytesMax, bytesMax),
      // A session's queue makes room by itself, unless its client would rather have its publishers refused.
      overflow: session.queueArguments.has('x-overflow') ? asked.overflow : Overflow.DropHead,
    };
    const queue = this.home.makeQueue(spec, this.queueName(session));
    session.queue = queue;
    queue.holder = session;
    session.link?.onQueueMade(queue);
    return queue;
  }

  /** That of its queue in the log. */
  private queueName(session: Session): string {
    return `${this.home.name}\0session\0${session.clientId}`;
  }

  /** A session from the disk. Subscriptions to queues are taken up again when its client comes back. logged: the names of all queues in the log. */
  restore(stored: definitions.StoredSession, principal: Principal, logged: ReadonlySet<string>): void {
    const session = this.create(principal, stored.clientId);
    session.durable = true;
    session.queueArguments = new Map(stored.queueArguments ?? []);
    session.copyForEach = stored.copyForEach === true;
    session.expiryMs = stored.expiryMs ?? Number.POSITIVE_INFINITY;
    // Whoever was connected when the broker ended was cut off: the session waits from now on.
    if (session.expiryMs !== Number.POSITIVE_INFINITY) {
      session.endsAtMs = stored.endsAtMs !== 0 ? stored.endsAtMs : this.home.nowMs + session.expiryMs;
      this.waiting.add(session);
    }
    session.stores = stored.hasQueue;
    if (stored.hasQueue && (session.queueArguments.size > 0 || logged.has(this.queueName(session)))) {
      session.wake();
      this.left.add(session);
    }
    for (const { filter, options, exchange, pattern, queue, selector: text } of stored.subscriptions) {
      // An exchange that was not durable, or has been deleted, has taken its bindings with it.
      if (exchange !== null && !this.home.exchanges.has(exchange)) continue;
      const selector = this.home.broker.selectors.get(text);
      const reads = this.home.queues.get(queue) ?? null;
      const subscription = new Subscription(session, filter, options, selector, exchange, pattern, reads);
      if (exchange !== null) this.bind(subscription, this.home.exchangeOf(exchange));
      this.keep(session, subscription);
    }
  }

  /** In place of the one of the same filter. */
  private keep(session: Session, subscription: Subscription): void {
    const before = session.subscriptions.get(subscription.filter);
    if (before !== undefined) this.count(before, -1);
    session.subscriptions.set(subscription);
    this.count(subscription, 1);
  }

  private count({ queue }: Subscription, by: 1 | -1): void {
    this.subscriptionCount += by;
    if (queue !== null && isShare(queue)) this.sharedCount += by;
  }

  private save(session: Session): void {
    const key = `${this.home.name}\0${session.clientId}`;
    if (session.durable) this.home.state?.put('session', key, definitions.encodeSession(session));
    else this.home.state?.remove('session', key);
  }

  /** An exchange goes: nobody is subscribed to it any more. */
  leaveExchange(exchange: Exchange): void {
    if (exchange.subscriptionCount === 0) return;
    for (const session of this.byClientId.values()) {
      for (const one of session.subscriptions.values()) if (one.exchange === exchange.spec.name) this.unbind(one);
    }
  }

  /** Lets go what has expired, and what nobody needs while its client is away. */
  tick(nowMs: number): void {
    this.endSome(nowMs);
    if (this.left.size === 0 || this.home.broker.failed !== null) return;
    for (const session of this.left) this.rest(session);
    this.left.clear();
  }

  /** Looks at the next of those that wait: all of them where they are few, a tenth where they are many. */
  private endSome(nowMs: number): void {
    if (this.waiting.size === 0) return;
    if (this.walk === null) {
      this.walk = this.waiting.values();
      this.lookedAt = Math.max(LOOKED_AT_MIN, Math.ceil(this.waiting.size / LOOKING_TICKS));
    }
    const { walk } = this;
    for (let left = this.lookedAt; left >= 0; left--) {
      const { done, value: session } = walk.next();
      if (done === true) {
        this.walk = null;
        return;
      }
      if (session.link === null && session.endsAtMs !== 0 && session.endsAtMs <= nowMs) this.end(session);
    }
  }

  private bind(subscription: Subscription, exchange: Exchange): void {
    exchange.router.bind(subscription);
    exchange.subscriptionCount++;
    subscription.bound = true;
    this.home.bindingChanged(exchange, subscription);
  }

  private unbind(subscription: Subscription): void {
    if (!subscription.bound) return;
    subscription.bound = false;
    const exchange = this.home.exchangeOf(subscription.source);
    exchange.router.unbind(subscription);
    exchange.subscriptionCount--;
    this.home.bindingChanged(exchange, subscription);
    this.home.dropUnbound(exchange);
  }
}
