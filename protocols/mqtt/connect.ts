// CONNECT: who is it, which session, and what was agreed. The only step of a connection that may take time (a password to hash); until it is answered nothing else of the client is looked at.
import type { AuthResult } from '../../src/core/authenticator.ts';
import { Outcome } from '../../src/core/consumer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Session } from '../../src/core/session.ts';
import { randomName } from '../../src/io/random.ts';
import { ClientState } from './client-state.ts';
import { type Connection, ConnectionState } from './connection.ts';
import { InflightState } from './inflight-window.ts';
import { type Connect, connack, pubrel } from './packet.ts';
import { ProtocolVersion } from './packet-type.ts';
import { Properties } from './properties.ts';
import { dressedFrame, wireVersion } from './publish-form.ts';
import { ReasonCode } from './reason-codes.ts';
import { consumeQueue } from './subscriptions.ts';
import { validTopicName } from './topics.ts';
import { storedWill } from './will.ts';

/** Client ids longer than this are refused; the specification asks servers to take 23 bytes and allows any length. */
const CLIENT_ID_BYTES_MAX = 1024;
const ASSIGNED_ID_LENGTH = 25;

export function onConnect(connection: Connection, packet: Connect): void {
  const { adapter } = connection;
  connection.version = packet.protocolVersion;
  connection.wire = wireVersion(packet.protocolVersion);
  connection.requestProblemInformation = packet.properties.requestProblemInformation ?? true;
  connection.packetBytesMax = packet.properties.maximumPacketSize ?? Number.POSITIVE_INFINITY;
  const refusal = problemOf(connection, packet);
  if (refusal !== null) {
    refuse(connection, refusal[0], refusal[1]);
    return;
  }
  const { vhost, username } = splitUsername(connection, packet.username);
  connection.vhost = vhost;
  connection.state = ConnectionState.Authenticating;
  const { peer, listener } = connection.transport;
  const answer = adapter.authenticator.authenticate({
    username,
    password: packet.password === null ? null : new Uint8Array(packet.password),
    clientId: packet.clientId,
    peer,
    listener,
    mechanism: 'password',
  });
  if (!(answer instanceof Promise)) {
    onAuthenticated(connection, packet, answer);
    return;
  }
  // The packet's views end with this call, so what is needed later is copied.
  const kept: Connect = { ...packet, password: null, will: packet.will === null ? null : { ...packet.will, ...storedWill(packet.will, connection.wire), properties: packet.will.properties } };
  connection.pause();
  void answer.then((result) => {
    if (connection.state !== ConnectionState.Authenticating) return;
    try {
      onAuthenticated(connection, kept, result);
    } catch (error) {
      connection.onError(error);
    }
    connection.resume();
    connection.goOn();
  });
}

/** What is wrong with the packet itself, as reason code and text. */
function problemOf(connection: Connection, packet: Connect): readonly [number, string] | null {
  const { adapter } = connection;
  const { options } = adapter;
  if (packet.clientId === '') {
    // 3.1 section 3.1 wants 1 to 23 characters; [3.1.1 MQTT-3.1.3-8]
    if (packet.protocolVersion === ProtocolVersion.V31 || (packet.protocolVersion === ProtocolVersion.V311 && !packet.clean)) {
      return [ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, 'an empty client id needs a clean session'];
    }
  } else if (Buffer.byteLength(packet.clientId) > CLIENT_ID_BYTES_MAX) {
    return [ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, `the client id has more than ${CLIENT_ID_BYTES_MAX} bytes`];
  }
  if (packet.properties.authenticationMethod !== null) {
    // [MQTT-4.12.0-1]
    return [ReasonCode.BAD_AUTHENTICATION_METHOD, `authentication method ${JSON.stringify(packet.properties.authenticationMethod)} is not offered`];
  }
  const { will } = packet;
  if (will !== null) {
    if (!validTopicName(will.topic, adapter.topicLimits)) return [ReasonCode.TOPIC_NAME_INVALID, 'the will topic is not allowed'];
    // [MQTT-3.2.2-12] [MQTT-3.2.2-13]
    if (will.qos > options.maximumQos) return [ReasonCode.QOS_NOT_SUPPORTED, `will QoS ${will.qos}; mqtt.maximumQos is ${options.maximumQos}`];
    if (will.retain && !options.retainAvailable) return [ReasonCode.RETAIN_NOT_SUPPORTED, 'will RETAIN; mqtt.retainAvailable is false'];
  }
  if (adapter.closing) return [ReasonCode.SERVER_SHUTTING_DOWN, 'the server is shutting down'];
  return null;
}

/** `vhost:user` names the virtual host, if there is one of that name; otherwise it is all user name. */
function splitUsername(connection: Connection, username: string | null): { vhost: Connection['vhost']; username: string | null } {
  const { broker } = connection.adapter;
  const preset = connection.vhost;
  if (username === null) return { vhost: preset, username };
  const colon = username.indexOf(':');
  const vhost = colon > 0 ? broker.vhosts.get(username.slice(0, colon)) : undefined;
  return vhost === undefined ? { vhost: preset, username } : { vhost, username: username.slice(colon + 1) };
}

function onAuthenticated(connection: Connection, packet: Connect, result: AuthResult): void {
  if (!result.ok) {
    const reason =
      result.reason === 'busy'
        ? ReasonCode.SERVER_BUSY
        : result.reason === 'bad-credentials'
          ? ReasonCode.BAD_USER_NAME_OR_PASSWORD
          : ReasonCode.NOT_AUTHORIZED;
    refuse(connection, reason, result.reason);
    return;
  }
  const { adapter, vhost } = connection;
  const { principal } = result;
  const v5 = packet.protocolVersion === ProtocolVersion.V5;
  // [MQTT-3.1.3-6] [MQTT-3.2.2-16]
  const clientId = packet.clientId === '' ? `auto-${randomName(adapter.random, ASSIGNED_ID_LENGTH)}` : packet.clientId;
  let session: Session | null;
  try {
    session = vhost.findSession(principal, clientId);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    refuse(connection, ReasonCode.NOT_AUTHORIZED, error.message);
    return;
  }
  connection.principal = principal;
  connection.clientId = clientId;
  if (session?.link != null) {
    const { link } = session;
    adapter.leaveQueues(session);
    session.link = null;
    link.onTakenOver();
  }
  if (session !== null && packet.clean) {
    // [MQTT-3.1.2-4]
    vhost.endSession(session);
    session = null;
  }
  const present = session !== null;
  // Back before it was due: the delayed will is not sent [MQTT-3.1.3-9].
  if (session !== null) adapter.cancelWill(session);
  session ??= vhost.createSession(principal, clientId);
  session.principal = principal;
  const asked = v5 ? (packet.properties.sessionExpiryIntervalS ?? 0) : packet.clean ? 0 : 0xffff_ffff;
  const client = session.state instanceof ClientState ? session.state : new ClientState(session);
  session.state = client;
  connection.session = session;
  connection.client = client;
  client.connection = connection;
  connection.will = packet.will === null ? null : storedWill(packet.will, connection.wire);
  connection.receiveMaximum = Math.min(packet.properties.receiveMaximum ?? 65_535, adapter.options.inflightMax);
  const keepAliveS = agreedKeepAlive(packet.keepAliveS, adapter.options.keepAliveMaxS, v5);
  // [MQTT-3.1.2-22]
  connection.keepAliveMs = keepAliveS * 1500;
  connection.state = ConnectionState.Connected;
  connection.transport.established();
  vhost.attachSession(session, connection, adapter.sessionExpiryMs(asked));
  connection.hotQos2 = !session.durable || adapter.broker.state === null;
  connection.send(connack(ReasonCode.SUCCESS, present, v5 ? agreed(connection, packet, keepAliveS, asked) : undefined));
  adapter.logger.debug({ ...connection.logFields(), version: packet.protocolVersion, present }, 'connected');
  resume(connection, client, session);
}

function agreedKeepAlive(asked: number, max: number, v5: boolean): number {
  if (max === 0 || (asked !== 0 && asked <= max)) return asked;
  // Only MQTT 5 can tell the client [MQTT-3.2.2-21]; older ones are held to what they asked for.
  return v5 ? max : asked;
}

/** The properties of CONNACK: what differs from what the client may assume. */
function agreed(connection: Connection, packet: Connect, keepAliveS: number, askedExpiryS: number): Properties {
  const { options } = connection.adapter;
  const properties = new Properties();
  if (packet.clientId === '') properties.assignedClientIdentifier = connection.clientId;
  if (keepAliveS !== packet.keepAliveS) properties.serverKeepAliveS = keepAliveS;
  const givenMs = connection.adapter.sessionExpiryMs(askedExpiryS);
  if (givenMs !== Number.POSITIVE_INFINITY && givenMs !== askedExpiryS * 1000) properties.sessionExpiryIntervalS = givenMs / 1000;
  if (options.receiveMaximum < 65_535) properties.receiveMaximum = options.receiveMaximum;
  if (options.topicAliasMaximum > 0) properties.topicAliasMaximum = options.topicAliasMaximum;
  properties.maximumPacketSize = options.maximumPacketSize;
  // [MQTT-3.2.2-9]
  if (options.maximumQos < 2) properties.maximumQos = options.maximumQos;
  if (!options.retainAvailable) properties.retainAvailable = false;
  if (!options.wildcardSubscriptions) properties.wildcardSubscriptionAvailable = false;
  if (!options.sharedSubscriptions) properties.sharedSubscriptionAvailable = false;
  if (!options.subscriptionIdentifiers) properties.subscriptionIdentifiersAvailable = false;
  if (packet.properties.requestResponseInformation === true) properties.responseInformation = `$reply/${connection.clientId}/`;
  return properties;
}

/** Sends again what was in flight, in its order, with its identifiers [MQTT-4.4.0-1] [MQTT-4.4.0-2]; then takes part in the queues. */
function resume(connection: Connection, client: ClientState, session: Session): void {
  const { window } = client;
  for (const id of window.inOrder()) {
    if (window.stateOf(id) === InflightState.AwaitPubcomp) {
      connection.send(pubrel(id));
      continue;
    }
    const delivery = window.queueOf(id).delivery(window.tagOf(id));
    if (delivery === null) {
      window.remove(id);
      continue;
    }
    const { run, index, options } = delivery;
    const qos = window.stateOf(id) === InflightState.AwaitPubrec ? 2 : 1;
    const frame = dressedFrame(run, index, connection.wire, {
      qos,
      retain: false,
      // [MQTT-3.3.1-1]
      dup: true,
      packetId: id,
      subscriptionIdentifiers: connection.wire === 5 ? options.subscriptionIdentifiers : null,
      deliveryCount: 0,
      nowMs: connection.nowMs,
    });
    if (frame.length <= connection.packetBytesMax) connection.output.appendOwned(frame);
    else {
      connection.counters.droppedTooLarge++;
      const queue = window.queueOf(id);
      const tag = window.tagOf(id);
      window.remove(id);
      queue.settle(tag, Outcome.Accepted);
    }
  }
  client.credit.available = Math.max(0, connection.receiveMaximum - window.count);
  attachOwnQueue(connection);
  for (const subscription of session.subscriptions.values()) consumeQueue(connection, subscription);
  connection.pumpQueues();
}

/** Makes the client the consumer of its session's queue, once. */
export function attachOwnQueue(connection: Connection): void {
  const { client, session } = connection;
  if (session!.queue !== null && session!.queue.mayAttach(true)) session!.queue.attach(client!.own, true);
}

function refuse(connection: Connection, reason: number, why: string): void {
  connection.adapter.logger.warn({ ...connection.logFields(), reasonCode: reason }, `connection refused: ${why}`);
  connection.adapter.refuse(connection, reason, why);
  connection.leave(false, null);
}
