// SUBSCRIBE and UNSUBSCRIBE. A subscription is direct (a topic with ack:auto: nothing is kept for it) or reads a queue; which, is decided here, once.
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { Action } from '../../src/core/authorizer.ts';
import { NO_ARGUMENTS, NO_LOCAL_ARGUMENT, type SubscriptionOptions } from '../../src/core/binding.ts';
import { type ConsumerWish, NO_WISH } from '../../src/core/consumers.ts';
import type { Destination } from '../../src/core/delivery.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Queue } from '../../src/core/queue.ts';
import { addressResource, queueResource } from '../../src/core/resource.ts';
import { SELECTOR_ARGUMENT, type Selector } from '../../src/core/selector/selector.ts';
import { dropUnusedShare } from '../../src/core/share-group.ts';
import { compositeParts, type SubscribeAddress, subscriptionToAddress, type TempAddress } from './addresses.ts';
import { Composite } from './composite.ts';
import type { Connection } from './connection.ts';
import type { FrameScanner } from './decoder.ts';
import { type StompClass, StompTarget, StompTopicSubscriber } from './direct.ts';
import { stompError } from './errors.ts';
import { Version } from './frame.ts';
import type { HeaderIndex } from './header-index.ts';
import { Header, type HeaderName } from './headers.ts';
import { bindingArguments, queueArguments } from './mapping.ts';
import { MessageHead } from './message-writer.ts';
import { StompConsumer } from './queue-consumer.ts';
import { answer } from './receipts.ts';
import { RetainedReplay } from './retained-replay.ts';
import { isReserved, reservedProblem } from './routes.ts';
import { AckMode, Subscription } from './subscription.ts';
import { boundQueue, durableQueueName, isOwn, namedQueue, type QueueWish } from './subscription-queue.ts';
import { isTemporary } from './temporary.ts';

const ACK_MODES: Readonly<Record<string, AckMode>> = {
  auto: AckMode.Auto,
  client: AckMode.Client,
  'client-individual': AckMode.ClientIndividual,
};

/** Of a binding to a direct subscriber: it takes what comes. */
const AT_MOST_ONCE: SubscriptionOptions = Object.freeze({
  guarantee: 0,
  noLocal: false,
  retainAsPublished: false,
  subscriptionIdentifier: 0,
});

/** The key of a subscription: its id, or in STOMP 1.0 its destination when it has none. */
function keyOf(connection: Connection, id: string | null, destination: string | null, command: string): string {
  if (id !== null) return `id:${id}`;
  // STOMP 1.1 "SUBSCRIBE": the id is required. [STOMP-U-2] [STOMP-U-3] [STOMP-U-11] [STOMP-U-12]
  if (connection.version !== Version.V1_0) throw stompError('header-missing', `${command} without the header id`);
  if (destination === null) throw stompError('header-missing', `${command} without the header id or destination`);
  return `destination:${destination}`;
}

/** What a SUBSCRIBE frame says. */
interface Subscribe {
  readonly id: string | null;
  readonly key: string;
  readonly destination: string;
  /** Several of a composite destination. */
  readonly addresses: readonly (SubscribeAddress | TempAddress)[];
  readonly ackMode: AckMode;
  readonly wish: QueueWish;
  readonly prefetch: number;
  /** 0: retained messages come; 1: only to a subscription that is new; 2: never. As in MQTT 5. */
  readonly retainHandling: number;
  readonly selector: Selector | null;
  /** ActiveMQ's: of a consumer of a queue, see ConsumerWish. */
  readonly priority: number;
  readonly sole: boolean;
  /** Nothing of what the connection publishes itself, from topics and exchanges. */
  readonly noLocal: boolean;
}

export function onSubscribe(connection: Connection, { headers }: FrameScanner): void {
  const asked = readSubscribe(connection, headers);
  const { addresses } = asked;
  checkSubscribe(connection, asked);
  const composite = addresses.length > 1 ? new Composite() : null;
  for (let i = 0; i < addresses.length; i++) {
    // No header has a NUL: these keys are nobody's.
    const key = i === 0 ? asked.key : `${asked.key}\0${i}`;
    const subscription = new Subscription(asked.id, key, connection.nextPlace++, asked.ackMode);
    subscription.composite = composite;
    composite?.parts.push(subscription);
    subscribe(connection, subscription, addresses[i]!, asked, headers);
  }
  answer(connection, connection.adapter.broker.positionOfAll());
}

function subscribe(
  connection: Connection,
  subscription: Subscription,
  address: SubscribeAddress | TempAddress,
  asked: Subscribe,
  headers: HeaderIndex,
): void {
  if (isTemporary(address)) subscribeTemporary(connection, subscription, address, asked);
  else if (address.kind === 'binding') subscribePattern(connection, subscription, address, asked, headers);
  else {
    const queue = namedQueue(connection, address.queue, address.declare, asked.wish);
    attachQueue(connection, subscription, queue, consumerWish(asked), asked, false);
  }
}

const NOT_OFFERED: readonly HeaderName[] = ['browser'];

function readSubscribe(connection: Connection, headers: HeaderIndex): Subscribe {
  const destination = headers.string(Header.destination);
  // [STOMP-U-1]
  if (destination === null) throw stompError('header-missing', 'SUBSCRIBE without the header destination');
  const id = headers.string(Header.id);
  const key = keyOf(connection, id, destination, 'SUBSCRIBE');
  for (const name of NOT_OFFERED) {
    // To leave it out would deliver what the client does not want, or take from others what it only wants to look at.
    if (headers.has(Header[name]))
      throw stompError('header-not-allowed', `SUBSCRIBE with ${name}, which is not offered`);
  }
  const subscriptionName = subscriptionNameOf(connection, headers);
  // [STOMP-U-6] [STOMP-U-10]
  const ack = headers.string(Header.ack) ?? 'auto';
  if (!Object.hasOwn(ACK_MODES, ack)) {
    const found = JSON.stringify(ack.slice(0, 50));
    throw stompError('header-value-invalid', `ack is auto, client or client-individual, not ${found}`);
  }
  return {
    id,
    key,
    destination,
    addresses: addressesOf(connection, destination),
    ackMode: ACK_MODES[ack]!,
    wish: {
      id,
      durable: subscriptionName === null ? flag(headers, Header.durable) : true,
      autoDelete: flag(headers, Header['auto-delete']),
      exclusive: flag(headers, Header.exclusive) ?? false,
      subscriptionName,
      name: headers.string(Header['x-queue-name']),
      group: headers.string(Header['x-share-group']),
      args: queueArguments(headers),
    },
    prefetch: headers.int(
      Header['prefetch-count'],
      headers.int(Header['activemq.prefetchSize'], connection.adapter.options.prefetchDefault),
    ),
    priority: Math.min(127, headers.int(Header['activemq.priority'], 0)),
    sole: headers.is(Header['activemq.exclusive'], 'true'),
    noLocal: headers.is(Header['no-local'], 'true') || headers.is(Header['activemq.noLocal'], 'true'),
    retainHandling: headers.int(Header['x-retain-handling'], 0),
    selector: selectorOf(connection, headers),
  };
}

function selectorOf(connection: Connection, headers: HeaderIndex): Selector | null {
  const text = headers.string(Header.selector) ?? headers.string(Header['x-selector']);
  try {
    return connection.adapter.broker.selectors.get(text);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    throw stompError('selector-invalid', error.message);
  }
}

/** ActiveMQ's durable subscriptions: known by the client's id and this name. */
function subscriptionNameOf(connection: Connection, headers: HeaderIndex): string | null {
  const name =
    headers.string(Header['activemq.subscriptionName']) ?? headers.string(Header['durable-subscription-name']);
  if (name !== null && connection.clientId === '') {
    throw stompError('header-missing', 'a durable subscription with a name needs the header client-id on CONNECT');
  }
  return name;
}

function flag(headers: HeaderIndex, number: number): boolean | null {
  if (headers.is(number, 'true')) return true;
  return headers.has(number) ? false : null;
}

function addressesOf(connection: Connection, destination: string): (SubscribeAddress | TempAddress)[] {
  const { dialect } = connection.speech;
  try {
    const parts = compositeParts(destination, dialect) ?? [destination];
    return [...new Set(parts)].map((part) => subscriptionToAddress(part, dialect));
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'invalid-argument') throw error;
    throw stompError('destination-invalid', error.message);
  }
}

/** Throws when the subscription may not be. */
function checkSubscribe(connection: Connection, { key, id, destination, addresses, wish, noLocal }: Subscribe): void {
  const { subscriptions, adapter } = connection;
  const { subscriptionsMax } = adapter.options;
  for (const address of addresses) if (address.kind === 'temp-queue') endAutomatic(connection, address.name);
  // [STOMP-U-4]
  if (subscriptions.has(key)) {
    throw stompError('subscription-exists', `there is a subscription ${JSON.stringify(id ?? destination)} already`);
  }
  if (subscriptions.size + addresses.length > subscriptionsMax) {
    throw stompError('session-limit-exceeded', `more than ${subscriptionsMax} subscriptions of one connection`);
  }
  if (addresses.length > 1 && (wish.name !== null || wish.subscriptionName !== null)) {
    throw stompError('header-not-allowed', 'a subscription to several destinations has a queue with a name for each');
  }
  if (noLocal && (wish.name !== null || wish.group !== null)) {
    throw stompError('header-not-allowed', 'no-local on a queue that others read, too (x-queue-name, x-share-group)');
  }
  for (const address of addresses) {
    const problem = readProblem(connection, address);
    if (problem === null) continue;
    adapter.broker.counters.refusedUnauthorized++;
    throw new BrokerError('access-refused', problem);
  }
}

/** Topics that belong to somebody, whatever the permissions say. */
const REPLY_TOPICS = '$reply/';

/** Why the user may not read there; null when it may. What is the connection's own, it may. */
function readProblem(
  { adapter, principal, vhost, clientId }: Connection,
  address: SubscribeAddress | TempAddress,
): string | null {
  if (isTemporary(address)) return null;
  if (address.kind === 'binding') {
    if (address.exchange === TOPIC_EXCHANGE && address.pattern.startsWith(REPLY_TOPICS)) {
      return `topics under ${REPLY_TOPICS} are for replies to one client`;
    }
  } else if (isReserved(address.queue)) return reservedProblem(address.queue);
  if (principal!.policy === null) return null;
  const resource =
    address.kind === 'binding'
      ? addressResource(vhost.name, address.exchange, address.pattern)
      : queueResource(vhost.name, address.queue);
  if (adapter.broker.authorizer.allows(principal!, clientId, Action.Subscribe, resource)) return null;
  return `${principal!.name} may not subscribe to ${resource.kind} ${JSON.stringify(resource.name)}`;
}

function subscribePattern(
  connection: Connection,
  subscription: Subscription,
  address: SubscribeAddress & { readonly kind: 'binding' },
  asked: Subscribe,
  headers: HeaderIndex,
): void {
  const { exchange, pattern } = address;
  const { wish, retainHandling } = asked;
  const isHeaders = connection.vhost.exchanges.get(exchange)?.spec.type === 'headers';
  const args = isHeaders ? bindingArguments(headers) : NO_ARGUMENTS;
  const { reader, isNew } = subscribeBound(connection, subscription, address, args, asked, false);
  const wantsRetained = retainHandling === 0 || (retainHandling === 1 && isNew);
  if (exchange !== TOPIC_EXCHANGE || wish.group !== null || !wantsRetained) return;
  const { retained } = connection.vhost;
  if (!retained.mayHave(pattern)) return;
  connection.replay ??= new RetainedReplay(connection, retained);
  connection.replay.add(pattern, reader);
}

function subscribeTemporary(
  connection: Connection,
  subscription: Subscription,
  address: TempAddress,
  asked: Subscribe,
): void {
  const { temporary } = connection;
  if (address.kind === 'temp-queue') {
    attachQueue(connection, subscription, temporary.queue(address.name), consumerWish(asked), asked, false);
    return;
  }
  const pattern = temporary.topicPath(address.name);
  subscribeBound(
    connection,
    subscription,
    { exchange: TOPIC_EXCHANGE, pattern, slashes: false },
    NO_ARGUMENTS,
    asked,
    true,
  );
}

interface Bound {
  /** The subscription that gets the messages: another one, where several destinations share a queue. */
  readonly reader: Subscription;
  readonly isNew: boolean;
}

/** To what a pattern of an exchange matches, past all queues or through one. own: a destination of the connection, which nobody has to allow. */
function subscribeBound(
  connection: Connection,
  subscription: Subscription,
  address: { readonly exchange: string; readonly pattern: string; readonly slashes: boolean },
  bindingArgs: ReadonlyMap<string, string>,
  asked: Subscribe,
  own: boolean,
): Bound {
  const { exchange, pattern, slashes } = address;
  const { ackMode, wish, selector } = asked;
  const { composite } = subscription;
  // Where the queue is this subscription's own, nothing gets into it that is not selected; where others share it, each takes what it selects.
  const filtered = wish.name === null && wish.group === null;
  const args = argumentsOf(bindingArgs, filtered ? selector : null, asked.noLocal);
  subscription.selector = selector;
  if (isDirect(ackMode, wish)) {
    attachDirect(connection, subscription, address, args, own);
    return { reader: subscription, isNew: true };
  }
  const collects = composite !== null && isOwn(wish);
  const collector = collects ? composite.collectors.get(slashes) : undefined;
  if (collector !== undefined) {
    connection.vhost.bind(exchange, collector.queue!, pattern, args);
    return { reader: collector, isNew: true };
  }
  const { queue, existed } = boundQueue(connection, exchange, pattern, args, wish);
  subscription.shared = wish.group !== null;
  subscription.durable = wish.durable === true;
  if (asked.noLocal) leaveOutOwn(connection, subscription, queue);
  attachQueue(connection, subscription, queue, filtered ? NO_WISH : consumerWish(asked), asked, slashes);
  if (collects) composite.collectors.set(slashes, subscription);
  return { reader: subscription, isNew: !existed };
}

/** The bindings that lead there say so: what the connection publishes itself takes others only. */
function leaveOutOwn(connection: Connection, subscription: Subscription, destination: Destination): void {
  connection.noLocal ??= new Set();
  connection.noLocal.add(destination);
  subscription.noLocal = destination;
}

/** Arguments of a binding, with what is not to take this way among them. */
function argumentsOf(
  args: ReadonlyMap<string, string>,
  selector: Selector | null,
  noLocal: boolean,
): ReadonlyMap<string, string> {
  if (selector === null && !noLocal) return args;
  const all = new Map(args);
  if (selector !== null) all.set(SELECTOR_ARGUMENT, selector.text);
  if (noLocal) all.set(NO_LOCAL_ARGUMENT, 'true');
  return all;
}

function consumerWish({ selector, priority, sole }: Subscribe): ConsumerWish {
  return { selector, priority, sole };
}

/** Nothing is to be kept for it: at most once, past all queues. */
function isDirect(ackMode: AckMode, wish: QueueWish): boolean {
  return (
    ackMode === AckMode.Auto &&
    wish.durable !== true &&
    !wish.exclusive &&
    wish.name === null &&
    wish.group === null &&
    wish.args.size === 0
  );
}

function attachDirect(
  connection: Connection,
  subscription: Subscription,
  { exchange, pattern, slashes }: { readonly exchange: string; readonly pattern: string; readonly slashes: boolean },
  args: ReadonlyMap<string, string>,
  own: boolean,
): void {
  const { adapter, vhost } = connection;
  // The connection's own topic has a subscriber of its own: everybody else's has to be allowed to read.
  const sharing = own ? undefined : subscription.composite?.subscribers;
  const deliveryClass = adapter.classes.acquire(
    connection.version,
    slashes,
    connection.speech.dialect.activemq,
    subscription.id,
  );
  const subscriber = sharing?.get(slashes) ?? directSubscriber(connection, deliveryClass, own);
  try {
    subscription.binding = vhost.bind(exchange, subscriber, pattern, args, AT_MOST_ONCE);
  } catch (error) {
    adapter.classes.release(deliveryClass);
    throw error;
  }
  sharing?.set(slashes, subscriber);
  if (args.has(NO_LOCAL_ARGUMENT)) leaveOutOwn(connection, subscription, subscriber);
  subscription.deliveryClass = deliveryClass;
  connection.add(subscription);
}

function directSubscriber(connection: Connection, deliveryClass: StompClass, own: boolean): StompTopicSubscriber {
  const { adapter, vhost, principal, clientId } = connection;
  const target = new StompTarget(deliveryClass, connection);
  return new StompTopicSubscriber(target, vhost.name, principal!, clientId, adapter.broker.authorizer, own);
}

function attachQueue(
  connection: Connection,
  subscription: Subscription,
  queue: Queue,
  wants: ConsumerWish,
  asked: { readonly prefetch: number; readonly wish: Pick<QueueWish, 'exclusive' | 'subscriptionName'> },
  slashes: boolean,
): void {
  const { prefetch, wish } = asked;
  const exclusive = wish.exclusive || wish.subscriptionName !== null;
  if (!queue.mayAttach(exclusive)) {
    throw new BrokerError(
      'resource-locked',
      `queue ${JSON.stringify(queue.name)} has ${exclusive ? 'another' : 'an exclusive'} consumer`,
    );
  }
  const { version, sessionName } = connection;
  const name = `${subscription.place}-`;
  const ack = version === Version.V1_2 && subscription.unsettled !== null ? name : null;
  const { activemq } = connection.speech.dialect;
  const head = new MessageHead(version, slashes, activemq, subscription.id, `${sessionName}-${name}`, ack);
  const consumer = new StompConsumer(
    connection,
    subscription,
    head,
    prefetch === 0 ? Number.POSITIVE_INFINITY : prefetch,
  );
  subscription.queue = queue;
  subscription.consumer = consumer;
  connection.add(subscription);
  consumer.refreshCredit();
  queue.attach(consumer, exclusive, wants);
}

// The subscription to a temporary queue that begins with the first message which names it in reply-to; its id is the destination.

function automaticKey(name: string): string {
  return `id:/temp-queue/${name}`;
}

const PLAIN = { exclusive: false, subscriptionName: null };

export function subscribeToReplies(connection: Connection, name: string): void {
  const key = automaticKey(name);
  const queue = connection.temporary.queue(name);
  if (queue.consumerCount > 0 || connection.subscriptions.has(key)) return;
  const subscription = new Subscription(`/temp-queue/${name}`, key, connection.nextPlace++, AckMode.Auto);
  attachQueue(connection, subscription, queue, NO_WISH, { prefetch: 0, wish: PLAIN }, false);
}

function endAutomatic(connection: Connection, name: string): void {
  const automatic = connection.subscriptions.get(automaticKey(name));
  if (automatic !== undefined) endSubscription(connection, automatic);
}

export function onUnsubscribe(connection: Connection, { headers }: FrameScanner): void {
  const id = headers.string(Header.id);
  const destination = headers.string(Header.destination);
  const key = keyOf(connection, id, destination, 'UNSUBSCRIBE');
  const subscription = connection.subscriptions.get(key);
  const name = subscriptionNameOf(connection, headers);
  if (subscription === undefined) {
    if (name !== null) {
      // One that is not in use: its client wants it no longer.
      const kept = connection.vhost.queues.get(durableQueueName(connection, name));
      if (kept !== undefined && kept.consumerCount === 0) {
        connection.vhost.deleteQueue(kept);
        answer(connection, connection.adapter.broker.positionOfAll());
        return;
      }
    }
    throw stompError('subscription-unknown', `there is no subscription ${JSON.stringify(id ?? destination)}`);
  }
  const parts = subscription.composite?.parts ?? [subscription];
  for (const part of parts) {
    const { queue } = part;
    endSubscription(connection, part);
    if (part.durable && queue !== null && (name !== null || headers.is(Header.durable, 'true')))
      connection.vhost.deleteQueue(queue);
  }
  answer(connection, connection.adapter.broker.positionOfAll());
}

/** Ends it; what is not settled goes back to its queue, for others. [STOMP-U-9] [STOMP-U-13] */
export function endSubscription(connection: Connection, subscription: Subscription): void {
  if (subscription.ended) return;
  const { vhost, adapter } = connection;
  subscription.ended = true;
  connection.remove(subscription);
  if (subscription.binding !== null) {
    vhost.unbind(subscription.binding);
    adapter.classes.release(subscription.deliveryClass!);
  }
  const { queue, consumer, noLocal } = subscription;
  if (noLocal !== null) connection.noLocal!.delete(noLocal);
  if (queue === null || consumer === null) return;
  consumer.credit.available = 0;
  subscription.unsettled?.clear();
  queue.detach(consumer);
  if (subscription.shared) dropUnusedShare(vhost, queue);
}
