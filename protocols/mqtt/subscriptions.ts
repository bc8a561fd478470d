// SUBSCRIBE and UNSUBSCRIBE: from filters to bindings, shared queues and named queues, each with its own reason code. What is found out about an address is found out here, once.

import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { Action } from '../../src/core/authorizer.ts';
import { Outcome } from '../../src/core/consumer.ts';
import { NO_WISH } from '../../src/core/consumers.ts';
import { BrokerError, ProtocolError } from '../../src/core/errors.ts';
import type { Queue } from '../../src/core/queue.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import type { Heir } from '../../src/core/reservations.ts';
import { addressResource, queueResource } from '../../src/core/resource.ts';
import { SELECTOR_ARGUMENT, type Selector } from '../../src/core/selector/selector.ts';
import type { Session } from '../../src/core/session.ts';
import { isShare, SHARE_PREFIX } from '../../src/core/share-group.ts';
import type { Subscription as SessionSubscription } from '../../src/core/subscription.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import * as acknowledgements from './acknowledgements.ts';
import { filterToAddress, REPLY_PREFIX, replyPrefix, type SubscribeAddress } from './addresses.ts';
import { ClientState } from './client-state.ts';
import { attachOwnQueue } from './connect.ts';
import type { Connection } from './connection.ts';
import { InflightState } from './inflight-window.ts';
import { type Subscribe, type Subscription, suback, type Unsubscribe, unsuback } from './packet.ts';
import { SharedConsumer, WorkConsumer } from './queue-consumer.ts';
import { ReasonCode } from './reason-codes.ts';
import { RetainedReplay } from './retained-replay.ts';
import { hasWildcard, parseTopicFilter, validTopicFilter } from './topics.ts';

const NO_FLAGS = { durable: false, autoDelete: false, exclusive: false };

export function onSubscribe(connection: Connection, packet: Subscribe): void {
  const { adapter } = connection;
  const { log } = adapter.broker;
  const identifier = packet.properties.subscriptionIdentifiers?.[0] ?? 0;
  if (identifier !== 0 && !adapter.options.subscriptionIdentifiers) {
    throw new ProtocolError(
      'subscription-identifiers-not-supported',
      ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
      'a subscription identifier; mqtt.subscriptionIdentifiers is false',
    );
  }
  const codes: number[] = [];
  const replays: (() => void)[] = [];
  // [MQTT-3.8.4-5], [3.1.1 MQTT-3.8.4-4] [MQTT-3.8.4-6], [3.1.1 MQTT-3.8.4-5] [MQTT-3.9.3-1], [3.1.1 MQTT-3.9.3-1]
  for (const subscription of packet.subscriptions) {
    codes.push(subscribe(connection, subscription, identifier, packet.properties.userProperties, replays));
  }
  // [MQTT-3.8.4-1], [3.1.1 MQTT-3.8.4-1]; what the subscription changed is part of what has been appended by now.
  // [MQTT-2.2.1-6], [3.1.1 MQTT-2.3.1-7] [MQTT-3.8.4-2], [3.1.1 MQTT-3.8.4-2]
  acknowledgements.answerPacket(connection, suback(packet.packetId, codes), log.position);
  for (const replay of replays) replay();
  connection.pumpQueues();
}

/** One filter; returns its reason code. */
function subscribe(
  connection: Connection,
  asked: Subscription,
  identifier: number,
  userProperties: readonly string[] | null,
  replays: (() => void)[],
): number {
  const { adapter } = connection;
  const { options, logger } = adapter;
  const refuse = (code: number, why: string): number => {
    logger.warn({ ...connection.logFields(), filter: asked.filter, reasonCode: code }, `subscription refused: ${why}`);
    return code;
  };
  const filter = parseTopicFilter(asked.filter, adapter.topicLimits);
  // [MQTT-4.7.1-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]: MQTT 3 can only be told by a failure code, too.
  if (filter === null) return refuse(ReasonCode.TOPIC_FILTER_INVALID, 'the filter is not well-formed');
  // [3.1.1 MQTT-3.8.3-2]
  if (!options.wildcardSubscriptions && hasWildcard(asked.filter)) {
    return refuse(ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, 'mqtt.wildcardSubscriptions is false');
  }
  if (filter.share !== null && !options.sharedSubscriptions) {
    return refuse(ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, 'mqtt.sharedSubscriptions is false');
  }
  const session = connection.session!;
  if (session.subscriptions.size >= options.subscriptionsMax && !session.subscriptions.has(asked.filter)) {
    return refuse(ReasonCode.QUOTA_EXCEEDED, `mqtt.subscriptionsMax is ${options.subscriptionsMax}`);
  }
  try {
    const address = filterToAddress(asked.filter);
    const problem = mayRead(connection, address);
    if (problem !== null) return refuse(ReasonCode.NOT_AUTHORIZED, problem);
    // [MQTT-3.8.4-8], [3.1.1 MQTT-3.8.4-6]: granted may be less than asked for.
    const qos = asked.qos > options.maximumQos ? options.maximumQos : asked.qos;
    const args = argumentsOf(userProperties);
    const selector = selectorOf(connection, args);
    if (typeof selector === 'string') return refuse(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, selector);
    subscribeTo(connection, address, { ...asked, qos }, identifier, args, selector, replays);
    // [MQTT-3.8.4-7] [MQTT-3.2.2-10]
    return qos;
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    const code =
      error.code === 'invalid-argument' || error.code === 'not-found'
        ? ReasonCode.TOPIC_FILTER_INVALID
        : acknowledgements.reasonOfBrokerError(error);
    return refuse(code, error.message);
  }
}

/** Its user property x-selector; a text says why it is none. It is no argument of the queue. */
function selectorOf({ adapter }: Connection, args: Map<string, string>): Selector | string | null {
  const text = args.get(SELECTOR_ARGUMENT);
  args.delete(SELECTOR_ARGUMENT);
  try {
    return adapter.broker.selectors.get(text);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return error.message;
  }
}

function mayRead(connection: Connection, address: SubscribeAddress): string | null {
  const { adapter, principal, vhost, clientId } = connection;
  if (address.kind === 'binding' && address.exchange === TOPIC_EXCHANGE && !mayReadReplies(address.pattern, clientId)) {
    return `${address.pattern} is for replies to another client`;
  }
  if (principal!.policy === null) return null;
  const resource =
    address.kind === 'queue'
      ? queueResource(vhost.name, address.queue)
      : addressResource(vhost.name, address.exchange, address.pattern);
  return adapter.broker.authorizer.allows(principal!, clientId, Action.Subscribe, resource)
    ? null
    : `${principal!.name} may not subscribe to ${resource.kind} ${JSON.stringify(resource.name)}`;
}

/** Replies are for the client they are addressed to, whatever the permissions say. */
function mayReadReplies(pattern: string, clientId: string): boolean {
  return !pattern.startsWith(REPLY_PREFIX) || pattern.startsWith(replyPrefix(clientId));
}

/** User properties x-… of SUBSCRIBE are the arguments of the queue it declares. */
function argumentsOf(userProperties: readonly string[] | null): Map<string, string> {
  const args = new Map<string, string>();
  for (let i = 0; userProperties !== null && i + 1 < userProperties.length; i += 2) {
    if (userProperties[i]!.startsWith('x-')) args.set(userProperties[i]!, userProperties[i + 1]!);
  }
  return args;
}

function subscribeTo(
  connection: Connection,
  address: SubscribeAddress,
  asked: Subscription,
  identifier: number,
  args: Map<string, string>,
  selector: Selector | null,
  replays: (() => void)[],
): void {
  const { vhost } = connection;
  const { held } = connection.adapter;
  const session = connection.session!;
  const options = {
    guarantee: asked.qos,
    noLocal: asked.noLocal,
    retainAsPublished: asked.retainAsPublished,
    subscriptionIdentifier: identifier,
  };
  const existing = session.subscriptions.get(asked.filter);
  if (address.kind === 'queue') {
    const queue = namedQueue(connection, address, args);
    if (existing !== undefined) stopConsuming(connection.client!, existing);
    vhost.sessions.subscribeQueue(session, asked.filter, queue, options, selector);
    consumeQueue(connection, session.subscriptions.get(asked.filter)!);
    return;
  }
  if (address.share !== null) {
    const queue = shareQueue(vhost, address.share, address.exchange, address.pattern);
    if (existing === undefined) held.join(queue);
    else stopConsuming(connection.client!, existing);
    vhost.sessions.subscribeQueue(session, asked.filter, queue, options, selector);
    consumeQueue(connection, session.subscriptions.get(asked.filter)!);
    // No retained messages for shared subscriptions (MQTT 5.0 section 4.8.2).
    return;
  }
  if (address.exclusive && !held.hold(session, asked.filter)) {
    throw new BrokerError('quota-exceeded', `${asked.filter} is taken by another session`);
  }
  // [MQTT-3.8.4-3] [MQTT-3.8.4-4], [3.1.1 MQTT-3.8.4-3]
  vhost.sessions.subscribe(session, asked.filter, address.exchange, address.pattern, options, selector);
  attachOwnQueue(connection);
  // [MQTT-3.3.1-9], [3.1.1 MQTT-3.3.1-8], [3.1.1 MQTT-3.3.1-6] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
  if (asked.retainHandling === 2 || (asked.retainHandling === 1 && existing !== undefined)) return;
  if (address.exchange !== TOPIC_EXCHANGE || !vhost.retained.mayHave(address.pattern)) return;
  replays.push(() => {
    connection.replay ??= new RetainedReplay(connection, vhost.retained);
    connection.replay.add(address.pattern, asked.qos, identifier, selector);
  });
}

/** `$queue/<q>` declares on first use, `$amq/queue/<q>` must find it. */
function namedQueue(
  connection: Connection,
  address: SubscribeAddress & { kind: 'queue' },
  args: Map<string, string>,
): Queue {
  const { vhost, session } = connection;
  if (address.queue.startsWith(SHARE_PREFIX)) {
    throw new BrokerError('access-refused', 'queues under $share/ belong to share groups');
  }
  const there = vhost.queues.get(address.queue);
  if (there !== undefined && (!address.declare || args.size === 0)) {
    vhost.checkHolder(there, session);
    if (!there.mayAttach(false)) {
      throw new BrokerError('resource-locked', `queue ${JSON.stringify(there.name)} has an exclusive consumer`);
    }
    return there;
  }
  if (!address.declare)
    throw new BrokerError('not-found', `there is no queue ${JSON.stringify(address.queue)} in vhost ${vhost.name}`);
  return vhost.declareQueue(queueSpec(address.queue, { ...NO_FLAGS, durable: true }, args));
}

/**
 * The queue behind a share group: one per group and filter, gone with its last member's subscription. Always durable: a member whose session outlives the process may join at any time, and
 * has to find what was confirmed.
 */
export function shareQueue(vhost: Vhost, group: string, exchange: string, pattern: string): Queue {
  const name = `$share/${group}/${exchange === TOPIC_EXCHANGE ? '' : `$exchange/${exchange}/`}${pattern}`;
  const queue =
    vhost.queues.get(name) ?? vhost.declareQueue(queueSpec(name, { ...NO_FLAGS, durable: true }, new Map()));
  vhost.bind(exchange, queue, pattern);
  return queue;
}

/** Attaches the connection to the queue of a subscription that has one. */
export function consumeQueue(connection: Connection, subscription: SessionSubscription): void {
  const { queue, options, filter, selector } = subscription;
  if (queue === null || queue.deleted) return;
  const Consumer = filter.startsWith('$share/') ? SharedConsumer : WorkConsumer;
  const consumer = new Consumer(connection.client!, options.guarantee, options.subscriptionIdentifier);
  connection.client!.consumers ??= new Map();
  connection.client!.consumers.set(filter, consumer);
  queue.attach(consumer, false, selector === null ? NO_WISH : { ...NO_WISH, selector });
}

/**
 * Leaves a subscription's queue. What is in flight stays with the session until it is acknowledged [MQTT-3.10.4-3], [3.1.1 MQTT-3.10.4-3]; what has not been sent is for others.
 */
export function stopConsuming(client: ClientState, subscription: SessionSubscription): void {
  const { queue, filter } = subscription;
  const consumer = client.consumers?.get(filter);
  if (queue === null || consumer === undefined) return;
  client.consumers!.delete(filter);
  const { window } = client;
  for (const id of window.inOrder()) {
    if (window.queueOf(id) === queue && window.stateOf(id) !== InflightState.Recovered) queue.keep(window.tagOf(id));
  }
  queue.detach(consumer);
}

/**
 * The connection is gone: what its shared and named queues had in flight with it goes to others at once. Only QoS 2 waits for its client, as long as the session lives
 * [MQTT-4.8.2-4]. After PUBREC there is nothing left to give.
 */
export function leaveQueues(session: Session): void {
  const client = session.state;
  if (!(client instanceof ClientState)) return;
  client.credit.available = 0;
  const { window, connection } = client;
  const given: { queue: Queue; tag: number }[] = [];
  for (const id of window.inOrder()) {
    const queue = window.queueOf(id);
    const state = window.stateOf(id);
    if (
      queue === null ||
      queue === session.queue ||
      (state !== InflightState.AwaitPuback && state !== InflightState.AwaitPubrec)
    )
      continue;
    const tag = window.tagOf(id);
    queue.keep(tag);
    if (state === InflightState.AwaitPubrec) {
      // The client knows the identifier and takes its next use for this message again: while the session lives it must not be given to another one.
      if (isShare(queue) || session.expiryMs > 0) continue;
      connection?.adapter.stored.removeSent(session, id);
    }
    window.remove(id);
    given.push({ queue, tag });
  }
  for (const [filter, consumer] of client.consumers ?? []) session.subscriptions.get(filter)?.queue?.detach(consumer);
  client.consumers = null;
  // In the order of the queue, which is not that of the identifiers where some had come back before.
  given.sort((a, b) => a.tag - b.tag);
  for (const { queue, tag } of given) queue.settle(tag, Outcome.Requeued);
}

/**
 * The session is no more: QoS 2 in flight of shared subscriptions is dropped, nobody else may get it [MQTT-4.8.2-5]; that of named queues goes to others.
 */
export function endDeliveries(client: ClientState): void {
  const { window } = client;
  const given: { queue: Queue; tag: number }[] = [];
  for (const id of window.inOrder()) {
    const queue = window.queueOf(id);
    if (queue === null || queue === client.session.queue) continue;
    if (window.stateOf(id) === InflightState.Recovered) giveUp(queue, window.tagOf(id));
    if (window.stateOf(id) !== InflightState.AwaitPubrec) continue;
    given.push({ queue, tag: window.tagOf(id) });
  }
  // In the order of the queue, as in leaveQueues.
  given.sort((a, b) => a.tag - b.tag);
  for (const { queue, tag } of given) {
    queue.settle(tag, isShare(queue) ? Outcome.Rejected : Outcome.Requeued);
  }
}

/** As above, for a message that has not been read back from the log since the restart. */
function giveUp(queue: Queue, sequence: number): void {
  queue.unreserve(sequence);
  if (isShare(queue)) queue.reserve(sequence, REJECTING);
}

const REJECTING: Heir = {
  onFound: (queue, tag) => {
    queue.settle(tag, Outcome.Rejected);
  },
  onMissing: () => undefined,
};

export function onUnsubscribe(connection: Connection, packet: Unsubscribe): void {
  const { vhost, adapter } = connection;
  const session = connection.session!;
  const { log } = adapter.broker;
  const codes: number[] = [];
  // [MQTT-3.10.4-6], [3.1.1 MQTT-3.10.4-6] [MQTT-3.11.3-1]
  for (const filter of packet.filters) {
    const subscription = session.subscriptions.get(filter);
    if (subscription === undefined) {
      codes.push(
        validTopicFilter(filter, adapter.topicLimits)
          ? ReasonCode.NO_SUBSCRIPTION_EXISTED
          : ReasonCode.TOPIC_FILTER_INVALID,
      );
      continue;
    }
    stopConsuming(connection.client!, subscription);
    // [MQTT-3.10.4-1], [3.1.1 MQTT-3.10.4-1] [MQTT-3.10.4-2], [3.1.1 MQTT-3.10.4-2]
    vhost.sessions.unsubscribe(session, filter);
    adapter.held.release(session, filter);
    if (subscription.queue !== null && filter.startsWith(SHARE_PREFIX)) adapter.held.leave(vhost, subscription.queue);
    codes.push(ReasonCode.SUCCESS);
  }
  // [MQTT-3.10.4-4], [3.1.1 MQTT-3.10.4-4] [MQTT-3.10.4-5], [3.1.1 MQTT-3.10.4-5] [MQTT-2.2.1-6]
  acknowledgements.answerPacket(connection, unsuback(packet.packetId, codes), log.position);
}
