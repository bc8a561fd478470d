// The broker as a library: the same parts as the executable's, in the program's own process, with or without ports. Publishing and subscribing in-process take the same way through
// the core as any protocol, with addresses written as in MQTT ('plant/+/temp', '$queue/jobs', '$exchange/orders/eu').
import { filterToAddress, topicToAddress } from '../../protocols/mqtt/addresses.ts';
import { type ConfigInput, resolveConfig } from '../config.ts';
import { BrokerError } from '../core/errors.ts';
import { Message } from '../core/message.ts';
import { runOfMessage } from '../core/message-run.ts';
import { type Headers, NO_PROPERTIES, type Properties } from '../core/properties.ts';
import { queueSpec } from '../core/queue-spec.ts';
import { Route } from '../core/route-table.ts';
import type { Vhost } from '../core/vhost.ts';
import { type Logger, SILENT } from '../io/logger.ts';
import { randomName, SystemRandom } from '../io/random.ts';
import type { BroughtParts } from '../server/compose.ts';
import { type ListeningAddress, type OpenBroker, openBroker } from '../server/start.ts';
import { Confirms } from './confirms.ts';
import { type Handler, Subscription } from './subscription.ts';

export interface CreateBrokerOptions extends BroughtParts {
  /** As in the configuration file, but that there are only the listeners named here, and that nothing is kept on the disk unless `storage.engine` is embedded. */
  readonly config?: ConfigInput;
  /** Silent by default. */
  readonly logger?: Logger;
}

export interface PublishOptions {
  /** 0 may be lost on the way to a slow subscriber; 1 (the default) is stored where a durable queue or session matches, and publish() resolves when it is safe. */
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
  readonly contentType?: string;
  readonly correlationId?: Uint8Array | string;
  /** An address a reply is to be published to. */
  readonly replyTo?: string;
  readonly messageId?: string;
  /** 0 to 255. */
  readonly priority?: number;
  /** Milliseconds until it is of no use any more. */
  readonly expirationMs?: number;
  /** Name, value, name, value, …; order and duplicates are kept. */
  readonly headers?: Headers;
  /** Virtual host; '/' by default. */
  readonly vhost?: string;
}

export interface SubscribeOptions {
  /** Messages handed over and not yet settled, at most; 100 by default. */
  readonly prefetch?: number;
  /** Retained messages come first; true by default. */
  readonly retained?: boolean;
  readonly vhost?: string;
}

export interface PublishResult {
  /** Somebody gets it (or will, when back). */
  readonly matched: boolean;
}

const PREFETCH_DEFAULT = 100;
const NAME_LENGTH = 20;
const random = new SystemRandom();
const encoder = new TextEncoder();

export class EmbeddedBroker {
  /** Where it listens; empty before listen(). */
  addresses: readonly ListeningAddress[] = [];
  private readonly opened: OpenBroker;
  private readonly confirms: Confirms;
  private readonly subscriptions = new Set<Subscription>();
  private closed = false;

  /** Use createBroker. */
  constructor(opened: OpenBroker) {
    this.opened = opened;
    this.confirms = new Confirms(opened.server.broker);
  }

  /** Opens the configured listeners. Rejects when one cannot be opened; none is open then. */
  async listen(): Promise<readonly ListeningAddress[]> {
    this.addresses = await this.opened.listen();
    return this.addresses;
  }

  /**
   * Publishes to an address. Resolves when the message is as safe as its queues promise (at once when nothing stores it). Rejects with BrokerError when it is refused.
   */
  async publish(address: string, payload: Uint8Array | string, options: PublishOptions = {}): Promise<PublishResult> {
    const vhost = this.vhost(options.vhost);
    const { broker } = this.opened.server;
    const target = topicToAddress(address);
    if (target.kind === 'queue' && target.declare && !vhost.queues.has(target.key.path)) {
      vhost.declareQueue(queueSpec(target.key.path, { durable: true, autoDelete: false, exclusive: false }, new Map()));
    }
    const body = typeof payload === 'string' ? encoder.encode(payload) : payload;
    const nowMs = broker.nowMs;
    const { qos = 1, retain = false, priority = 0, headers = [], expirationMs } = options;
    const message = new Message(
      target,
      body,
      propertiesOf(options, typeof payload === 'string'),
      headers,
      qos,
      retain,
      priority,
      nowMs,
      expirationMs === undefined ? 0 : nowMs + expirationMs,
      null,
    );
    const run = runOfMessage(message);
    const route = new Route(target.exchange, target.key);
    vhost.resolve(route, { name: 'embedding program', policy: null }, '');
    if (!route.allowed) throw new BrokerError('not-found', route.refusal!);
    let position = vhost.publish(run, route);
    if (run.refused !== null) throw new BrokerError(run.refused, `the queue that ${address} leads to is full`);
    if (retain && target.kind === 'topic') {
      const retained = vhost.retain(target.key.path, body.length === 0 ? null : run);
      if (retained < 0)
        throw new BrokerError(
          'quota-exceeded',
          'there is no room for another retained message (retained.max, retained.bytesMax)',
        );
      position = Math.max(position, retained);
    }
    this.opened.turn.request();
    return this.confirms.wait(position, { matched: run.matched });
  }

  /**
   * Takes messages from a topic filter, a shared subscription, or a queue. A message is settled when the handler returns (or what it returned resolves); when it throws or rejects, the
   * message goes back to its queue. Resolves when the subscription is in force.
   */
  async subscribe(filter: string, handler: Handler, options: SubscribeOptions = {}): Promise<Subscription> {
    const vhost = this.vhost(options.vhost);
    const { prefetch = PREFETCH_DEFAULT, retained = true } = options;
    const address = filterToAddress(filter);
    const { broker } = this.opened.server;
    const flags = { durable: false, autoDelete: true, exclusive: false };
    let queue = address.kind === 'queue' ? vhost.queues.get(address.queue) : undefined;
    if (address.kind === 'queue' && queue === undefined) {
      if (!address.declare)
        throw new BrokerError('not-found', `there is no queue ${JSON.stringify(address.queue)} in vhost ${vhost.name}`);
      queue = vhost.declareQueue(queueSpec(address.queue, { ...flags, durable: true, autoDelete: false }, new Map()));
    }
    if (address.kind === 'binding') {
      const name =
        address.share === null
          ? `embedded.${randomName(random, NAME_LENGTH)}`
          : `$share/${address.share}/${address.pattern}`;
      queue = vhost.queues.get(name) ?? vhost.declareQueue(queueSpec(name, flags, new Map()));
      vhost.bind(address.exchange, queue, address.pattern);
    }
    const subscription = new Subscription(queue!, handler, prefetch, this.opened.turn, (ended) =>
      this.subscriptions.delete(ended),
    );
    this.subscriptions.add(subscription);
    if (retained && address.kind === 'binding' && address.share === null && address.exchange === 'amq.topic') {
      subscription.replay(vhost.retained.walk(address.pattern), broker);
    }
    subscription.start();
    this.opened.turn.request();
    return this.confirms.wait(broker.log.position, subscription);
  }

  /**
   * Ends subscriptions, tells connected clients, makes everything durable, closes. Rejects with what hindered the log from taking the last of it, unless `onFailed` was told
   * before; all is closed then, too, nothing that was confirmed is lost, and what was not may be.
   */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const subscription of [...this.subscriptions]) subscription.end();
    await this.opened.close();
  }

  private vhost(name = '/'): Vhost {
    if (this.closed) throw new BrokerError('shutting-down', 'the broker is closed');
    const vhost = this.opened.server.broker.vhosts.get(name);
    if (vhost === undefined) throw new BrokerError('not-found', `there is no vhost ${JSON.stringify(name)}`);
    return vhost;
  }
}

function propertiesOf(options: PublishOptions, text: boolean): Properties {
  const { contentType, correlationId, replyTo, messageId } = options;
  return {
    ...NO_PROPERTIES,
    contentType: contentType ?? null,
    correlationId:
      correlationId === undefined
        ? null
        : typeof correlationId === 'string'
          ? encoder.encode(correlationId)
          : correlationId,
    replyTo: replyTo === undefined ? null : topicToAddress(replyTo),
    messageId: messageId ?? null,
    utf8: text,
  };
}

/** Makes a broker and recovers what its storage kept. It listens nowhere until listen() is called. Rejects with ConfigError, naming every wrong option. */
export async function createBroker({
  config = {},
  logger = SILENT,
  ...brought
}: CreateBrokerOptions = {}): Promise<EmbeddedBroker> {
  const off = { mqtt: false, stomp: false, http: false } as const;
  const storage = { engine: 'memory', ...config.storage } as const;
  const resolved = resolveConfig({ ...config, storage, listeners: { ...off, ...config.listeners } });
  return new EmbeddedBroker(await openBroker(resolved, logger, brought));
}
