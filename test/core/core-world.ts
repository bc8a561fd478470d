// A broker without protocols: what adapters do with the core, as plain calls.
import { topicAddress } from '../../src/core/address.ts';
import { ALLOW_ALL, type Authorizer, type Principal } from '../../src/core/authorizer.ts';
import type { SubscriptionOptions } from '../../src/core/binding.ts';
import { Broker } from '../../src/core/broker.ts';
import type { BrokerLimits } from '../../src/core/broker-limits.ts';
import type { DeliveryClass, DeliveryOptions, Destination, DirectTarget } from '../../src/core/delivery.ts';
import { type Exchange, exchangeSpec } from '../../src/core/exchange-node.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import type { Publisher } from '../../src/core/publisher.ts';
import type { Queue } from '../../src/core/queue.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { Route } from '../../src/core/route-table.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import type { Run } from '../../src/core/run.ts';
import type { Session, SessionLink } from '../../src/core/session.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { Durability } from '../../src/storage/commit-log.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { Taker } from './queue-model.ts';
import { type RunFields, TEXT_CODEC, textRun, textsOf } from './runs.ts';

export const CODECS = new Map([[TEXT_CODEC.id, TEXT_CODEC]]);
export const NOBODY: Principal = { name: 'nobody', policy: null };

const LIMITS: BrokerLimits = {
  retained: { countMax: 1000, bytesMax: 1_000_000 },
  sessionQueue: { lengthMax: 1000, bytesMax: 1_000_000 },
  queuesMax: 100_000,
  logPendingBytesMax: 1000,
};

export interface CoreOptions {
  readonly storage?: Storage;
  readonly durability?: Durability;
  readonly authorizer?: Authorizer;
  readonly limits?: Partial<BrokerLimits>;
}

export interface Published {
  readonly run: Run;
  readonly route: Route;
  readonly position: number;
}

export class CoreWorld {
  readonly broker: Broker;
  readonly storage: Storage;
  readonly vhost: Vhost;

  constructor(options: CoreOptions = {}) {
    this.storage = options.storage ?? new MemoryStorage();
    this.broker = new Broker({
      storage: this.storage,
      durability: options.durability ?? Durability.Memory,
      authorizer: options.authorizer ?? ALLOW_ALL,
      limits: { ...LIMITS, ...options.limits },
      principal: (name) => ({ name, policy: null }),
    });
    this.broker.setTime(1_000_000);
    this.vhost = this.broker.addVhost('/');
  }

  async open(): Promise<this> {
    await this.storage.open(CODECS, this.broker);
    this.broker.recover(CODECS);
    return this;
  }

  advance(ms: number): void {
    this.broker.setTime(this.broker.nowMs + ms);
    this.broker.tick();
  }

  resolve(exchange: string, path: string, principal: Principal = NOBODY, clientId = 'client'): Route {
    const route = new Route(exchange, new RoutingKey(path));
    this.vhost.resolve(route, principal, clientId);
    return route;
  }

  publish(exchange: string, path: string, texts: string | readonly string[], fields: RunFields = {}): Published {
    const route = this.resolve(exchange, path);
    if (!route.allowed) throw new Error(route.refusal ?? 'refused');
    const run = textRun(texts, { receivedAtMs: this.broker.nowMs, ...fields });
    return { run, route, position: this.vhost.publish(run, route) };
  }

  topic(path: string, texts: string | readonly string[], fields: RunFields = {}): Published {
    return this.publish(topicAddress(path).exchange, path, texts, fields);
  }

  exchange(
    name: string,
    type: string,
    flags: Partial<ExchangeFlags> = {},
    args: Readonly<Record<string, string>> = {},
  ): Exchange {
    const all = { durable: true, autoDelete: false, internal: false, ...flags };
    return this.vhost.declareExchange(exchangeSpec(name, type, all, new Map(Object.entries(args))));
  }

  queue(
    name: string,
    args: Readonly<Record<string, string>> = {},
    flags: Partial<QueueFlags> = {},
    holder: object | null = null,
  ): Queue {
    const all = { durable: true, autoDelete: false, exclusive: false, ...flags };
    return this.vhost.declareQueue(queueSpec(name, all, new Map(Object.entries(args))), holder);
  }

  /** A queue that is bound. */
  bound(name: string, source: string, key: string, args: Readonly<Record<string, string>> = {}): Queue {
    const queue = this.queue(name);
    this.vhost.bind(source, queue, key, new Map(Object.entries(args)));
    return queue;
  }

  session(clientId: string, link: SessionLink | null, expiryMs = 0, principal: Principal = NOBODY): Session {
    const session = this.vhost.sessions.find(principal, clientId) ?? this.vhost.sessions.create(principal, clientId);
    this.vhost.sessions.attach(session, link, expiryMs);
    return session;
  }

  subscribe(
    session: Session,
    filter: string,
    guarantee: Guarantee = 0,
    options: Partial<SubscriptionOptions> = {},
  ): void {
    this.vhost.sessions.subscribe(
      session,
      filter,
      topicAddress(filter).exchange,
      filter,
      subscription(guarantee, options),
    );
  }

  /** Ends the turn's unit. */
  endUnit(): void {
    this.broker.endUnit();
  }
}

interface ExchangeFlags {
  durable: boolean;
  autoDelete: boolean;
  internal: boolean;
}

interface QueueFlags {
  durable: boolean;
  autoDelete: boolean;
  exclusive: boolean;
}

export function subscription(guarantee: Guarantee, options: Partial<SubscriptionOptions> = {}): SubscriptionOptions {
  return { guarantee, noLocal: false, retainAsPublished: false, subscriptionIdentifier: 0, ...options };
}

/** Takes everything that is ready in a queue. */
export function drain(queue: Queue | null): string[] {
  if (queue === null) return [];
  const taker = new Taker('drain', 1, true);
  queue.attach(taker, false);
  queue.detach(taker);
  return taker.texts;
}

/** A connected client: notes what it gets directly. */
export class Link implements SessionLink {
  readonly got: string[] = [];
  readonly optionsOf: DeliveryOptions[] = [];
  congested = false;
  takenOver = 0;
  private readonly targets = new Map<DeliveryOptions, LinkTarget>();

  directTarget(options: DeliveryOptions): DirectTarget {
    let target = this.targets.get(options);
    if (target === undefined) {
      target = new LinkTarget(this, options);
      this.targets.set(options, target);
    }
    return target;
  }

  onTakenOver(): void {
    this.takenOver++;
  }

  onQueueMade(): void {
    // It consumes when its test says so.
  }
}

class LinkTarget implements DirectTarget {
  readonly link: Link;
  readonly deliveryClass: DeliveryClass;

  constructor(link: Link, options: DeliveryOptions) {
    this.link = link;
    this.deliveryClass = LinkClass.of(options);
  }

  get congested(): boolean {
    return this.link.congested;
  }
}

class LinkClass implements DeliveryClass {
  private static readonly all = new Map<DeliveryOptions, LinkClass>();
  private readonly options: DeliveryOptions;

  static of(options: DeliveryOptions): LinkClass {
    let found = LinkClass.all.get(options);
    if (found === undefined) {
      found = new LinkClass(options);
      LinkClass.all.set(options, found);
    }
    return found;
  }

  private constructor(options: DeliveryOptions) {
    this.options = options;
  }

  deliver(run: Run, targets: readonly DirectTarget[]): number {
    let open = 0;
    for (const target of targets) {
      const { link } = target as LinkTarget;
      for (const text of textsOf(run)) {
        link.got.push(text);
        link.optionsOf.push(this.options);
      }
      if (!link.congested) open++;
    }
    return open;
  }
}

/** A publisher that notes what it is told. */
export class Sender implements Publisher {
  readonly name: string;
  own: Destination | null = null;
  readonly durable: number[] = [];
  failed = 0;
  /** How often it is paused at the moment. */
  paused = 0;
  onHold = 0;
  listedAwaiting = false;
  awaitsDurable = true;
  /** What it does when it is told. */
  whenDurable: () => void = () => undefined;

  constructor(name = 'sender') {
    this.name = name;
  }

  owns(destination: Destination): boolean {
    return destination === this.own;
  }

  onDurable(position: number): void {
    this.durable.push(position);
    this.whenDurable();
  }

  onLogFailed(): void {
    this.failed++;
  }

  pause(): void {
    this.paused++;
  }

  resume(): void {
    this.paused--;
  }

  holdMessages(): void {
    this.onHold++;
  }

  releaseMessages(): void {
    this.onHold--;
  }
}
