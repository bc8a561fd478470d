// SUBSCRIBE and UNSUBSCRIBE: from filters to bindings, shared queues and named queues, each with its own reason code. What is found out about an address is found out here, once.
import { Action } from '../../src/core/authorizer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { queueResource, addressResource } from '../../src/core/resource.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Subscription as SessionSubscription } from '../../src/core/session.ts';
import { ProtocolError } from '../../src/core/errors.ts';
import * as acknowledgements from './acknowledgements.ts';
import { filterToAddress, type SubscribeAddress } from './addresses.ts';
import type { ClientState } from './client-state.ts';
import { attachOwnQueue } from './connect.ts';
import type { Connection } from './connection.ts';
import { InflightState } from './inflight-window.ts';
import { suback, type Subscribe, type Subscription, unsuback, type Unsubscribe } from './packet.ts';
import { SharedConsumer, WorkConsumer } from './queue-consumer.ts';
import { ReasonCode } from './reason-codes.ts';
import { RetainedReplay } from './retained-replay.ts';
import { hasWildcard, parseTopicFilter } from './topics.ts';

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
  for (const subscription of packet.subscriptions) {
    codes.push(subscribe(connection, subscription, identifier, packet.properties.userProperties, replays));
  }
  // [MQTT-3.8.4-1]; what the subscription changed is part of what has been appended by now.
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
    // [MQTT-3.8.4-8]: granted may be less than asked for.
    const qos = asked.qos > options.maximumQos ? options.maximumQos : asked.qos;
    subscribeTo(connection, address, { ...asked, qos }, identifier, argumentsOf(userProperties), replays);
    return qos;
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    const code = error.code === 'invalid-argument' ? ReasonCode.TOPIC_FILTER_INVALID : acknowledgements.reasonOfBrokerError(error);
    return refuse(code, error.message);
  }
}

function mayRead(connection: Connection, address: SubscribeAddress): string | null {
  const { adapter, principal, vhost, clientId } = connection;
  if (principal!.policy === null) return null;
  const resource =
    address.kind === 'queue'
      ? queueResource(vhost.name, address.queue)
      : addressResource(vhost.name, address.exchange, address.pattern);
  return adapter.broker.authorizer.allows(principal!, clientId, Action.Subscribe, resource)
    ? null
    : `${principal!.name} may not subscribe to ${resource.kind} ${JSON.stringify(resource.name)}`;
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
  replays: (() => void)[],
): void {
  const { vhost } = connection;
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
    vhost.subscribeQueue(session, asked.filter, queue, options);
    consumeQueue(connection, session.subscriptions.get(asked.filter)!);
    return;
  }
  if (address.share !== null) {
    const queue = shareQueue(connection, address.share, address.exchange, address.pattern);
    if (existing !== undefined) stopConsuming(connection.client!, existing);
    vhost.subscribeQueue(session, asked.filter, queue, options);
    consumeQueue(connection, session.subscriptions.get(asked.filter)!);
    // No retained messages for shared subscriptions (MQTT 5.0 section 4.8.2).
    return;
  }
  vhost.subscribe(session, asked.filter, address.exchange, address.pattern, options);
  attachOwnQueue(connection);
  // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
  if (asked.retainHandling === 2 || (asked.retainHandling === 1 && existing !== undefined)) return;
  if (address.exchange !== 'amq.topic' || vhost.retained.count === 0) return;
  replays.push(() => {
    connection.replay ??= new RetainedReplay(connection);
    connection.replay.add(vhost.retained.walk(address.pattern), asked.qos, identifier);
  });
}

/** `$queue/<q>` declares on first use, `$amq/queue/<q>` must find it. */
function namedQueue(connection: Connection, address: SubscribeAddress & { kind: 'queue' }, args: Map<string, string>): Queue {
  const { vhost, session } = connection;
  const there = vhost.queues.get(address.queue);
  if (there !== undefined && (!address.declare || args.size === 0)) {
    vhost.checkHolder(there, session);
    return there;
  }
  if (!address.declare) throw new BrokerError('not-found', `there is no queue ${JSON.stringify(address.queue)} in vhost ${vhost.name}`);
  return vhost.declareQueue(queueSpec(address.queue, { ...NO_FLAGS, durable: true }, args));
}

/** The queue behind a share group: one per group and filter, gone with its last member's subscription. */
function shareQueue(connection: Connection, group: string, exchange: string, pattern: string): Queue {
  const { vhost } = connection;
  const name = `$share/${group}/${exchange === 'amq.topic' ? '' : `$exchange/${exchange}/`}${pattern}`;
  const queue = vhost.queues.get(name) ?? vhost.declareQueue(queueSpec(name, { ...NO_FLAGS, durable: connection.session!.durable }, new Map()));
  vhost.bind(exchange, queue, pattern);
  return queue;
}

/** Attaches the connection to the queue of a subscription that has one. */
export function consumeQueue(connection: Connection, subscription: SessionSubscription): void {
  const { queue, options, filter } = subscription;
  if (queue === null || queue.deleted) return;
  const Consumer = filter.startsWith('$share/') ? SharedConsumer : WorkConsumer;
  const consumer = new Consumer(connection.client!, options.guarantee, options.subscriptionIdentifier);
  connection.client!.consumers.set(filter, consumer);
  queue.attach(consumer, false);
}

/** Leaves a subscription's queue. What was sent and is not acknowledged goes back to it, for others. */
export function stopConsuming(client: ClientState, subscription: SessionSubscription): void {
  const { queue, filter } = subscription;
  const consumer = client.consumers.get(filter);
  if (queue === null || consumer === undefined) return;
  client.consumers.delete(filter);
  const { window } = client;
  for (const id of window.inOrder()) {
    // After PUBREC the queue has settled it; only the identifier is still to be released.
    if (window.queueOf(id) !== queue || window.stateOf(id) === InflightState.AwaitPubcomp) continue;
    window.remove(id);
    client.credit.available++;
  }
  queue.detach(consumer);
}

export function onUnsubscribe(connection: Connection, packet: Unsubscribe): void {
  const { vhost, adapter } = connection;
  const session = connection.session!;
  const { log } = adapter.broker;
  const codes: number[] = [];
  for (const filter of packet.filters) {
    const subscription = session.subscriptions.get(filter);
    if (subscription !== undefined) stopConsuming(connection.client!, subscription);
    // [MQTT-3.10.4-1]
    const found = vhost.unsubscribe(session, filter);
    if (subscription?.queue != null) adapter.dropUnusedShare(vhost, subscription);
    codes.push(found ? ReasonCode.SUCCESS : ReasonCode.NO_SUBSCRIPTION_EXISTED);
  }
  // [MQTT-3.10.4-4] [MQTT-3.10.4-5]
  acknowledgements.answerPacket(connection, unsuback(packet.packetId, codes), log.position);
}
