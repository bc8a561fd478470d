// CONNECT: who is it, which session, and what was agreed. The only step of a connection that may take time (a password to hash); until it is answered nothing else of the client is looked at.
import type { AuthResult, Credentials } from '../../src/core/authenticator.ts';
import { NO_ARGUMENTS } from '../../src/core/binding.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import type { Session } from '../../src/core/session.ts';
import { randomName } from '../../src/io/random.ts';
import * as acknowledgements from './acknowledgements.ts';
import { replyPrefix, topicToAddress } from './addresses.ts';
import { ClientState } from './client-state.ts';
import { type Connection, ConnectionState } from './connection.ts';
import { packetLength } from './encoder.ts';
import { EnhancedAuthentication } from './enhanced-authentication.ts';
import { InflightState } from './inflight-window.ts';
import { type Connect, connack } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { Properties } from './properties.ts';
import { wireVersion } from './publish-form.ts';
import { validPayload } from './publish-path.ts';
import { ReasonCode } from './reason-codes.ts';
import { resendNext } from './resend.ts';
import { consumeQueue, leaveQueues } from './subscriptions.ts';
import { TopicAliases } from './topic-aliases.ts';
import { validTopicName } from './topics.ts';
import { storedWill, willProperties } from './will.ts';

/** Client ids longer than this are refused; the specification asks servers to take 23 bytes and allows any length. */
const CLIENT_ID_BYTES_MAX = 1024;
const ASSIGNED_ID_LENGTH = 25;

export function onConnect(connection: Connection, packet: Connect): void {
  const { adapter } = connection;
  connection.version = packet.protocolVersion;
  connection.wire = wireVersion(packet.protocolVersion);
  connection.requestProblemInformation = packet.properties.requestProblemInformation ?? true;
  // Before anything can be delivered to it: a target looks at them once.
  connection.packetBytesMax = packet.properties.maximumPacketSize ?? Number.POSITIVE_INFINITY;
  const aliasesMax = packet.properties.topicAliasMaximum ?? 0;
  if (aliasesMax > 0) connection.aliases = new TopicAliases(aliasesMax);
  connection.versionKnown = true;
  connection.connectRead = true;
  const refusal = problemOf(connection, packet);
  if (refusal !== null) {
    refuse(connection, refusal[0], refusal[1]);
    return;
  }
  const { vhost, username } = splitUsername(connection, packet.username);
  connection.vhost = vhost;
  connection.state = ConnectionState.Authenticating;
  const { peer, listener } = connection.transport;
  const credentials: Credentials = {
    username,
    password: packet.password === null ? null : new Uint8Array(packet.password),
    clientId: packet.clientId,
    peer,
    listener,
    mechanism: 'password',
  };
  const method = packet.properties.authenticationMethod;
  if (method !== null) {
    const exchange = adapter.authenticator.begin?.(method, credentials) ?? null;
    if (exchange === null) {
      // [MQTT-4.12.0-1]
      refuse(
        connection,
        ReasonCode.BAD_AUTHENTICATION_METHOD,
        `authentication method ${JSON.stringify(method.slice(0, 100))} is not offered`,
      );
      return;
    }
    const kept = keptConnect(connection, packet);
    connection.enhanced = new EnhancedAuthentication(connection, method, credentials, (result, data) =>
      onAuthenticated(connection, kept, result, data),
    );
    connection.enhanced.begin(exchange, packet.properties.authenticationData);
    return;
  }
  const answer = adapter.authenticator.authenticate(credentials);
  if (!(answer instanceof Promise)) {
    onAuthenticated(connection, packet, answer, null);
    return;
  }
  const kept = keptConnect(connection, packet);
  connection.pause();
  void answer.then((result) => {
    if (connection.state !== ConnectionState.Authenticating) return;
    try {
      onAuthenticated(connection, kept, result, null);
    } catch (error) {
      connection.onError(error);
    }
    connection.resume();
    connection.goOn();
  });
}

/** The packet's views end with the call that brought it, so what is needed later is copied. */
function keptConnect(connection: Connection, packet: Connect): Connect {
  const { will } = packet;
  return {
    ...packet,
    password: null,
    will: will === null ? null : { ...will, ...storedWill(will, connection.wire), properties: willProperties(will) },
  };
}

/** What is wrong with the packet itself, as reason code and text. */
function problemOf(connection: Connection, packet: Connect): readonly [number, string] | null {
  const { adapter } = connection;
  const { options } = adapter;
  if (packet.clientId === '') {
    // 3.1 section 3.1 wants 1 to 23 characters; [3.1.1 MQTT-3.1.3-8]
    if (
      packet.protocolVersion === ProtocolVersion.V31 ||
      (packet.protocolVersion === ProtocolVersion.V311 && !packet.clean)
    ) {
      return [ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, 'an empty client id needs a clean session'];
    }
    // [MQTT-3.1.3-5], [3.1.1 MQTT-3.1.3-5]
  } else if (Buffer.byteLength(packet.clientId) > CLIENT_ID_BYTES_MAX) {
    // [MQTT-3.1.3-8], [3.1.1 MQTT-3.1.3-9]
    return [ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, `the client id has more than ${CLIENT_ID_BYTES_MAX} bytes`];
  }
  const { will } = packet;
  if (will !== null) {
    if (!validTopicName(will.topic, adapter.topicLimits))
      return [ReasonCode.TOPIC_NAME_INVALID, 'the will topic is not allowed'];
    const problem = addressProblem(will.topic);
    if (problem !== null) return [ReasonCode.TOPIC_NAME_INVALID, problem];
    // [MQTT-3.2.2-12] [MQTT-3.2.2-13]
    if (will.qos > options.maximumQos)
      return [ReasonCode.QOS_NOT_SUPPORTED, `will QoS ${will.qos}; mqtt.maximumQos is ${options.maximumQos}`];
    if (will.retain && !options.retainAvailable)
      return [ReasonCode.RETAIN_NOT_SUPPORTED, 'will RETAIN; mqtt.retainAvailable is false'];
    if (options.validatePayloadFormat && !validPayload(will)) {
      return [ReasonCode.PAYLOAD_FORMAT_INVALID, 'the will payload is not the UTF-8 it says to be'];
    }
  }
  const asked = sessionArguments(packet);
  if (typeof asked === 'string') return [ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, asked];
  // 0x8B is for DISCONNECT only.
  if (adapter.closing) return [ReasonCode.SERVER_UNAVAILABLE, 'the server is shutting down'];
  if (options.serverReference !== '') {
    const reason = options.serverMoved ? ReasonCode.SERVER_MOVED : ReasonCode.USE_ANOTHER_SERVER;
    return [reason, 'clients of this server are to use another one'];
  }
  return null;
}

/** `vhost:user` names the virtual host, if there is one of that name; otherwise it is all user name. */
function splitUsername(
  connection: Connection,
  username: string | null,
): { vhost: Connection['vhost']; username: string | null } {
  const { broker } = connection.adapter;
  const preset = connection.vhost;
  if (username === null) return { vhost: preset, username };
  const colon = username.indexOf(':');
  const vhost = colon > 0 ? broker.vhosts.get(username.slice(0, colon)) : undefined;
  return vhost === undefined ? { vhost: preset, username } : { vhost, username: username.slice(colon + 1) };
}

/** Why nothing can be published to a topic; whether this client may is asked when it is. */
function addressProblem(topic: string): string | null {
  try {
    topicToAddress(topic);
    return null;
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return error.code === 'access-refused' ? null : error.message;
  }
}

/** The x-… user properties of CONNECT: what its session's queue is to be like. A text says what is wrong with them. */
function sessionArguments(packet: Connect): ReadonlyMap<string, string> | string {
  const pairs = packet.properties.userProperties;
  if (pairs === null) return NO_ARGUMENTS;
  const args = new Map<string, string>();
  for (let i = 0; i + 1 < pairs.length; i += 2)
    if (SESSION_ARGUMENTS.has(pairs[i]!)) args.set(pairs[i]!, pairs[i + 1]!);
  if (args.size === 0) return NO_ARGUMENTS;
  try {
    queueSpec('session', { durable: false, autoDelete: false, exclusive: true }, args);
    return args;
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return error.message;
  }
}

const SESSION_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-message-ttl',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-max-priority',
]);

/** What a refused login is in MQTT 5. */
export function reasonOfRefusal(result: AuthResult & { ok: false }): number {
  switch (result.reason) {
    case 'busy':
      return ReasonCode.SERVER_BUSY;
    case 'bad-credentials':
      return ReasonCode.BAD_USER_NAME_OR_PASSWORD;
    default:
      return ReasonCode.NOT_AUTHORIZED;
  }
}

function onAuthenticated(connection: Connection, packet: Connect, result: AuthResult, data: Uint8Array | null): void {
  if (!result.ok) {
    refuse(connection, reasonOfRefusal(result), result.reason);
    return;
  }
  const { adapter, vhost } = connection;
  const { principal } = result;
  const v5 = packet.protocolVersion === ProtocolVersion.V5;
  // [MQTT-3.1.3-6] [MQTT-3.2.2-16]
  const clientId = packet.clientId === '' ? `auto-${randomName(adapter.random, ASSIGNED_ID_LENGTH)}` : packet.clientId;
  let session: Session | null;
  try {
    // [MQTT-3.1.3-2], [3.1.1 MQTT-3.1.3-2] [MQTT-3.1.2-5], [3.1.1 MQTT-3.1.2-4]
    session = vhost.sessions.find(principal, clientId);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    refuse(connection, ReasonCode.NOT_AUTHORIZED, error.message);
    return;
  }
  connection.principal = principal;
  connection.clientId = clientId;
  if (session?.link != null) {
    // [MQTT-3.1.4-3], [3.1.1 MQTT-3.1.4-2]
    const { link } = session;
    leaveQueues(session);
    session.link = null;
    link.onTakenOver();
  }
  // [MQTT-3.1.4-4], [3.1.1 MQTT-3.1.4-3]
  // One that was to last as long as its connection ends with it, also when that is taken over.
  if (session !== null && (packet.clean || session.expiryMs === 0)) {
    // [MQTT-3.1.2-4], [3.1.1 MQTT-3.1.2-6]
    vhost.sessions.end(session);
    session = null;
  }
  const present = session !== null;
  // Back before it was due: the delayed will is not sent [MQTT-3.1.3-9].
  if (session !== null) adapter.settleWill(session);
  // [MQTT-3.1.2-6]
  session ??= vhost.sessions.create(principal, clientId);
  vhost.sessions.belongsTo(session, principal);
  session.copyForEach = adapter.options.overlappingSubscriptions === 'each';
  // Its queue is what it was when it was first needed.
  if (!session.stores) session.queueArguments = sessionArguments(packet) as ReadonlyMap<string, string>;
  const asked = v5 ? (packet.properties.sessionExpiryIntervalS ?? 0) : packet.clean ? 0 : 0xffff_ffff;
  const client = ClientState.of(session);
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
  vhost.sessions.attach(session, connection, adapter.sessionExpiryMs(asked));
  client.logged = adapter.stored.keeps(session);
  connection.hotQos2 = !client.logged;
  // [MQTT-3.1.2-7]
  if (connection.will !== null) adapter.stored.putWill(session, connection.will, 0);
  const answer = connack(
    ReasonCode.SUCCESS,
    present,
    v5 ? agreed(connection, packet, keepAliveS, asked, data) : undefined,
  );
  if (packetLength(answer, packet.protocolVersion) > connection.packetBytesMax) {
    // The client has left no room for the answer it has to get, nor for a refusal [MQTT-3.1.2-24].
    connection.leave(false, null);
    return;
  }
  // [MQTT-3.1.4-5], [3.1.1 MQTT-3.1.4-4] [MQTT-3.2.0-1], [3.1.1 MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-2], [3.1.1 MQTT-3.2.2-1] [MQTT-3.2.2-3], [3.1.1 MQTT-3.2.2-3], [3.1.1 MQTT-3.2.2-2]
  connection.send(answer);
  adapter.logger.debug({ ...connection.logFields(), version: packet.protocolVersion, present }, 'connected');
  resume(connection, client, session);
}

// [MQTT-3.2.2-22]
function agreedKeepAlive(asked: number, max: number, v5: boolean): number {
  if (max === 0 || (asked !== 0 && asked <= max)) return asked;
  // Only MQTT 5 can tell the client [MQTT-3.2.2-21]; older ones are held to what they asked for.
  return v5 ? max : asked;
}

/** The properties of CONNACK: what differs from what the client may assume. */
function agreed(
  connection: Connection,
  packet: Connect,
  keepAliveS: number,
  askedExpiryS: number,
  authenticationData: Uint8Array | null,
): Properties {
  const { options } = connection.adapter;
  const properties = new Properties();
  // [MQTT-3.1.3-7]
  if (packet.clientId === '') properties.assignedClientIdentifier = connection.clientId;
  if (keepAliveS !== packet.keepAliveS) properties.serverKeepAliveS = keepAliveS;
  const givenMs = connection.adapter.sessionExpiryMs(askedExpiryS);
  if (givenMs !== Number.POSITIVE_INFINITY && givenMs !== askedExpiryS * 1000)
    properties.sessionExpiryIntervalS = givenMs / 1000;
  if (options.receiveMaximum < 65_535) properties.receiveMaximum = options.receiveMaximum;
  if (options.topicAliasMaximum > 0) properties.topicAliasMaximum = options.topicAliasMaximum;
  properties.maximumPacketSize = options.maximumPacketSize;
  // [MQTT-3.2.2-9]
  if (options.maximumQos < 2) properties.maximumQos = options.maximumQos;
  if (!options.retainAvailable) properties.retainAvailable = false;
  if (!options.wildcardSubscriptions) properties.wildcardSubscriptionAvailable = false;
  if (!options.sharedSubscriptions) properties.sharedSubscriptionAvailable = false;
  if (!options.subscriptionIdentifiers) properties.subscriptionIdentifiersAvailable = false;
  // [MQTT-3.1.2-28]
  if (packet.properties.requestResponseInformation === true)
    properties.responseInformation = replyPrefix(connection.clientId);
  // [MQTT-4.12.0-5] [MQTT-4.12.0-6]
  properties.authenticationMethod = packet.properties.authenticationMethod;
  properties.authenticationData = authenticationData;
  return properties;
}

/**
 * Sends again what was in flight, in its order, with its identifiers [MQTT-4.4.0-1] [MQTT-4.4.0-2] [3.1.1 MQTT-4.6.0-1], as far as the client's Receive Maximum goes; the rest follows its
 * acknowledgements [MQTT-3.3.4-9]. Then takes part in the queues.
 */
function resume(connection: Connection, client: ClientState, session: Session): void {
  const { window, credit, waiting } = client;
  const ids = window.inOrder();
  waiting.length = 0;
  for (const id of ids) {
    // The message of a recovered identifier comes from the log, and takes the identifier up again.
    const state = window.stateOf(id);
    if (state === InflightState.AwaitPuback || state === InflightState.AwaitPubrec) waiting.push(id);
  }
  // [MQTT-4.9.0-1]; below 0 where the client allows fewer than it has not completed.
  credit.available = connection.receiveMaximum - (ids.length - waiting.length);
  for (const id of ids) {
    if (window.stateOf(id) === InflightState.AwaitPubcomp)
      acknowledgements.answerAgain(connection, PacketType.PUBREL, id);
    else if (waiting[0] === id) resendNext(connection, client);
  }
  attachOwnQueue(connection);
  for (const subscription of session.subscriptions.values()) consumeQueue(connection, subscription);
  connection.pumpQueues();
}

/** Makes the client the consumer of its session's queue, once. */
export function attachOwnQueue(connection: Connection): void {
  const { client, session } = connection;
  const queue = session!.queue;
  if (queue?.mayAttach(true) === true) queue.attach(client!.own, true);
}

function refuse(connection: Connection, reason: number, why: string): void {
  connection.adapter.logger.warn({ ...connection.logFields(), reasonCode: reason }, `connection refused: ${why}`);
  // [MQTT-3.1.4-2] [MQTT-3.1.4-6], [3.1.1 MQTT-3.1.4-5] [MQTT-3.2.2-6] [MQTT-3.2.2-7], [3.1.1 MQTT-3.2.2-5]
  connection.adapter.refuse(connection, reason, why);
  connection.leave(false, null);
}
