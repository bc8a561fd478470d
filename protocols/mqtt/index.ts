// The MQTT adapter: recognises the protocol, makes connections, and keeps what they share: options, route caches, delivery classes, the gathering of the hot path, delayed wills and the
// clock of keep-alives. It knows the core and no other protocol.

import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import type { Authenticator } from '../../src/core/authenticator.ts';
import type { Principal } from '../../src/core/authorizer.ts';
import type { Broker, SessionObserver } from '../../src/core/broker.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { queueSpec, TEMPORARY_QUEUE_PREFIX } from '../../src/core/queue-spec.ts';
import { Route, RouteTable } from '../../src/core/route-table.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import { Run } from '../../src/core/run.ts';
import type { Session } from '../../src/core/session.ts';
import { SHARE_PREFIX } from '../../src/core/share-group.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import type { Arena } from '../../src/io/arena.ts';
import { absentMs, type Clock } from '../../src/io/clock.ts';
import type { Logger } from '../../src/io/logger.ts';
import type { Random } from '../../src/io/random.ts';
import type { Transport } from '../../src/io/transport.ts';
import type { Turn } from '../../src/io/turn.ts';
import { Detection, type ProtocolAdapter } from '../../src/server/protocol.ts';
import { filterToAddress, type PublishAddress, topicToAddress } from './addresses.ts';
import { ClientState } from './client-state.ts';
import { Connection } from './connection.ts';
import { MqttClasses } from './direct.ts';
import { malformed, topicNameInvalid } from './errors.ts';
import { EXCLUSIVE_PREFIX, HeldFilters } from './held-filters.ts';
import { LookAhead } from './look-ahead.ts';
import type { MqttOptions } from './options.ts';
import { connack, properties } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { PlainProperties } from './plain-properties.ts';
import { MQTT_CODEC } from './publish-form.ts';
import { Gathering } from './publish-path.ts';
import { connackReturnCode, ReasonCode, shortReason } from './reason-codes.ts';
import { Retries } from './retries.ts';
import { StoredSessions } from './stored-sessions.ts';
import { endDeliveries, shareQueue } from './subscriptions.ts';
import { validText } from './text.ts';
import { type TopicLimits, validTopicNameBytes } from './topics.ts';
import { type DelayedWill, sendWill } from './will.ts';

export interface MqttParts {
  readonly broker: Broker;
  readonly arena: Arena;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly authenticator: Authenticator;
  readonly options: MqttOptions;
  /** The virtual host where clients of a listener are that name none themselves. */
  listenerVhost(listener: string): string;
}

/** Bytes of a topic; the specification's own limit. */
const TOPIC_BYTES_MAX = 65_535;
const CONNECT_BYTE = PacketType.CONNECT << 4;
const NAMES = ['MQTT', 'MQIsdp'].map((name) => Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name)]));

export class MqttAdapter implements ProtocolAdapter, SessionObserver {
  readonly name = 'mqtt';
  readonly subprotocols: readonly string[] = ['mqtt', 'mqttv3.1'];
  readonly broker: Broker;
  readonly arena: Arena;
  readonly random: Random;
  readonly logger: Logger;
  readonly authenticator: Authenticator;
  readonly options: MqttOptions;
  readonly topicLimits: TopicLimits;
  readonly listenerVhost: (listener: string) => string;
  readonly classes = new MqttClasses();
  readonly gathering = new Gathering(new Run(MQTT_CODEC));
  readonly lookAhead = new LookAhead();
  readonly plain: PlainProperties;
  readonly connections = new Set<Connection>();
  /** Coarse: as of the last tick. */
  monotonicMs: number;
  closing = false;
  private bytesSentBefore = 0;
  readonly stored: StoredSessions;
  readonly held = new HeldFilters();
  readonly retries = new Retries();
  private readonly clock: Clock;
  private readonly turn: Turn;
  private readonly endings: (() => void)[] = [];
  /** Routes that need more than the exchange: queues to be there, or a reason why nothing goes there. */
  private readonly queueRoutes = new WeakMap<Route, PublishAddress>();
  private readonly closedRoutes = new WeakMap<Route, string>();
  private routeTables = new Map<Vhost, Map<Principal, RouteTable>>();
  private routesEpoch = -1;
  private delayed: DelayedWill[] = [];

  constructor(parts: MqttParts) {
    this.broker = parts.broker;
    this.arena = parts.arena;
    this.turn = parts.turn;
    this.clock = parts.clock;
    this.random = parts.random;
    this.logger = parts.logger;
    this.authenticator = parts.authenticator;
    this.listenerVhost = parts.listenerVhost;
    this.options = parts.options;
    this.plain = new PlainProperties(parts.options.validatePayloadFormat);
    this.topicLimits = { bytesMax: TOPIC_BYTES_MAX, levelsMax: parts.options.levelsMax };
    this.monotonicMs = parts.clock.now();
    this.stored = new StoredSessions(parts.broker);
    this.broker.observeSessions(this);
    this.turn.addHook(() => this.runEndings());
  }

  // ---- ProtocolAdapter

  detect(bytes: Uint8Array, start: number, end: number): Detection {
    if (bytes[start] !== CONNECT_BYTE) return Detection.No;
    let at = start + 1;
    for (let i = 0; i < 4; i++, at++) {
      if (at >= end) return Detection.More;
      if (bytes[at]! < 0x80) break;
    }
    at++;
    for (const name of NAMES) {
      const length = Math.min(name.length, end - at);
      let same = 0;
      while (same < length && bytes[at + same] === name[same]) same++;
      if (same === name.length) return Detection.Yes;
      if (same === length) return Detection.More;
    }
    // A CONNECT in form with a name that is not known is still MQTT: it is told so in MQTT.
    return bytes[at] === 0 && at < end ? Detection.Yes : Detection.No;
  }

  accept(transport: Transport, _subprotocol: string): void {
    const connection = new Connection(this, transport);
    this.connections.add(connection);
    this.broker.counters.connectionsOpened++;
    transport.handler = connection;
  }

  close(): void {
    this.closing = true;
    for (const connection of [...this.connections])
      connection.close(ReasonCode.SERVER_SHUTTING_DOWN, 'the server is shutting down');
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  forget(connection: Connection): void {
    if (!this.connections.delete(connection)) return;
    this.broker.counters.connectionsClosed++;
    this.bytesSentBefore += connection.output.totalBytes;
  }

  /** Bytes given to all connections there are and have been. */
  get bytesSent(): number {
    let bytes = this.bytesSentBefore;
    for (const connection of this.connections) bytes += connection.output.totalBytes;
    return bytes;
  }

  /** Says why a connection is not made, where its version has a word for it. */
  refuse(connection: Connection, reason: number, why: string): void {
    this.broker.counters.connectionsRefused++;
    const { version } = connection;
    // Not even the version could be read.
    if (!connection.versionKnown) return;
    if (version !== ProtocolVersion.V5) {
      // A CONNECT that is not in form is not answered [3.1.1 MQTT-3.1.4-1]; nor is a reason without a return code [3.1.1 MQTT-3.2.2-6].
      if (connectionReturnCode(connection, reason) < 0) return;
      connection.send(connack(reason));
      return;
    }
    // [MQTT-3.1.4-1] [MQTT-3.2.2-8]
    const { serverReference } = this.options;
    const elsewhere = reason === ReasonCode.USE_ANOTHER_SERVER || reason === ReasonCode.SERVER_MOVED;
    connection.send(
      connack(
        reason,
        false,
        properties({ reasonString: shortReason(why), serverReference: elsewhere ? serverReference : null }),
      ),
    );
  }

  // ---- administration

  /** Ends the connection of a client with the reason 0x98. False when it is not connected. */
  disconnect(vhost: string, clientId: string, why = 'ended by the administrator'): boolean {
    for (const connection of this.connections) {
      if (connection.clientId !== clientId || connection.vhost.name !== vhost || connection.session === null) continue;
      connection.close(ReasonCode.ADMINISTRATIVE_ACTION, why);
      return true;
    }
    return false;
  }

  /** Sends every connected client to another server: for good, or for now. */
  redirect(serverReference: string, moved: boolean): void {
    const reason = moved ? ReasonCode.SERVER_MOVED : ReasonCode.USE_ANOTHER_SERVER;
    for (const connection of [...this.connections]) {
      connection.close(reason, 'another server takes over', serverReference);
    }
  }

  // ---- time

  /** Called a few times a second. */
  tick(): void {
    const nowMs = this.clock.now();
    const absent = absentMs(this.monotonicMs, nowMs);
    this.monotonicMs = nowMs;
    for (const connection of this.connections) {
      connection.lastReceivedMs += absent;
      // [MQTT-3.1.2-22], [3.1.1 MQTT-3.1.2-24]
      if (
        connection.keepAliveMs > 0 &&
        connection.pauseCount === 0 &&
        this.monotonicMs - connection.lastReceivedMs > connection.keepAliveMs
      ) {
        connection.close(ReasonCode.KEEP_ALIVE_TIMEOUT, 'nothing came for one and a half times the keep-alive');
      }
    }
    this.retries.tick(this.broker.nowMs);
    if (this.delayed.length > 0) {
      const due = this.delayed.filter(({ dueMs }) => dueMs <= this.broker.nowMs);
      if (due.length === 0) return;
      this.delayed = this.delayed.filter(({ dueMs }) => dueMs > this.broker.nowMs);
      for (const { vhost, session, will } of due) {
        // [MQTT-3.1.2-10]
        this.stored.removeWill(session);
        sendWill(this, vhost, session, will);
      }
    }
  }

  /** The connection has an answer that waits for what this turn has appended: the turn ends as one that has something to write, even if no output has. */
  awaitLog(connection: Connection): void {
    this.broker.awaitDurable(connection);
    this.turn.request();
  }

  /** task runs before this turn's outputs leave. */
  atEndOfTurn(task: () => void): void {
    this.endings.push(task);
    this.turn.request();
  }

  /** task runs after this turn, so that others come first. */
  nextTurn(task: () => void): void {
    this.clock.endOfTurn(task);
  }

  private runEndings(): void {
    while (this.endings.length > 0) for (const task of this.endings.splice(0)) task();
  }

  // ---- wills

  delayWill(delayed: DelayedWill): void {
    this.delayed.push(delayed);
  }

  /** The client is back. A will that is due and was only waiting for the next tick is sent: after a restart that is every will without a delay [MQTT-3.1.2-8]. */
  settleWill(session: Session): void {
    const { nowMs } = this.broker;
    const due = this.delayed.filter((delayed) => delayed.session === session && delayed.dueMs <= nowMs);
    this.cancelWill(session);
    for (const { vhost, will } of due) sendWill(this, vhost, session, will);
  }

  cancelWill(session: Session): void {
    if (this.delayed.length > 0) this.delayed = this.delayed.filter((delayed) => delayed.session !== session);
    this.stored.removeWill(session);
  }

  onSessionEnded(vhost: Vhost, session: Session): void {
    const due = this.delayed.filter((delayed) => delayed.session === session);
    if (due.length > 0) {
      this.cancelWill(session);
      // [MQTT-3.1.2-8]: at the end of the session at the latest.
      for (const { will } of due) sendWill(this, vhost, session, will);
    }
    const client = session.state;
    if (client instanceof ClientState) endDeliveries(client);
    this.stored.forget(session, client instanceof ClientState ? client : null);
    session.state = null;
    this.held.releaseAll(vhost, session);
  }

  onSessionRests(session: Session): void {
    if (session.queue === null && session.state instanceof ClientState && session.state.idle) session.state = null;
  }

  // ---- routes

  routeTable(vhost: Vhost, principal: Principal): RouteTable {
    const { authorizer } = this.broker;
    if (authorizer.dependsOnClient(principal)) return newRouteTable();
    if (this.routesEpoch !== authorizer.epoch) {
      this.routeTables = new Map();
      this.routesEpoch = authorizer.epoch;
    }
    let tables = this.routeTables.get(vhost);
    if (tables === undefined) {
      tables = new Map();
      this.routeTables.set(vhost, tables);
    }
    let table = tables.get(principal);
    if (table === undefined) {
      table = newRouteTable();
      tables.set(principal, table);
    }
    return table;
  }

  /** A route for a topic name in bytes, not yet resolved. Throws topic-name-invalid. */
  makeRoute(bytes: Uint8Array, start: number, end: number): Route {
    if (!validTopicNameBytes(bytes, start, end, this.topicLimits)) {
      // What is no text at all is malformed; a text that names no topic is another thing.
      if (!validText(bytes, start, end))
        throw malformed(`a topic of ${end - start} bytes is not well-formed UTF-8, or contains U+0000`);
      throw topicNameInvalid(
        `a topic of ${end - start} bytes is empty, has wildcards, or more than ${this.topicLimits.levelsMax} levels`,
      );
    }
    const topic = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    let address: PublishAddress;
    try {
      address = topicToAddress(topic);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (error.code !== 'access-refused') throw topicNameInvalid(error.message);
      const route = new Route(TOPIC_EXCHANGE, new RoutingKey(topic));
      this.closedRoutes.set(route, error.message);
      return route;
    }
    const route = new Route(address.exchange, address.key);
    if (address.kind === 'queue' && address.key.path.startsWith(SHARE_PREFIX)) {
      this.closedRoutes.set(route, 'queues under $share/ belong to share groups');
    } else if (address.kind === 'queue') this.queueRoutes.set(route, address);
    return route;
  }

  resolve(vhost: Vhost, route: Route, principal: Principal, clientId: string): void {
    const closed = this.closedRoutes.get(route);
    if (closed !== undefined) {
      route.generation = vhost.generation;
      route.set = null;
      route.allowed = false;
      route.refusal = closed;
      return;
    }
    vhost.resolve(route, principal, clientId);
    const address = this.queueRoutes.get(route);
    if (address === undefined || !route.allowed || vhost.queues.has(address.key.path)) return;
    if (!address.declare || address.key.path.startsWith(TEMPORARY_QUEUE_PREFIX)) {
      route.allowed = false;
      route.refusal = `there is no queue ${JSON.stringify(address.key.path)}`;
      return;
    }
    vhost.declareQueue(queueSpec(address.key.path, { durable: true, autoDelete: false, exclusive: false }, new Map()));
    vhost.resolve(route, principal, clientId);
  }

  /** Session expiry as asked for, in seconds of MQTT 5, within what is configured; in milliseconds. */
  sessionExpiryMs(askedS: number): number {
    const { sessionExpiryMaxS } = this.options;
    const seconds = Math.min(askedS, sessionExpiryMaxS);
    return seconds === 0xffff_ffff ? Number.POSITIVE_INFINITY : seconds * 1000;
  }

  // ---- recovery

  /** After Broker.recover: identifiers and wills go back to their sessions, share groups and exclusive filters to their members. */
  recover(): void {
    this.monotonicMs = this.clock.now();
    for (const vhost of this.broker.vhosts.values()) {
      for (const session of vhost.sessions.values()) this.recoverSubscriptions(vhost, session);
    }
    for (const { vhost, session, will, dueMs } of this.stored.recover()) {
      // Its client was cut off when the broker ended: the delay begins now.
      const atMs = dueMs !== 0 ? dueMs : this.broker.nowMs + Math.min(will.delayMs, session.expiryMs);
      this.delayed.push({ vhost, session, will, dueMs: atMs });
    }
  }

  private recoverSubscriptions(vhost: Vhost, session: Session): void {
    for (const subscription of [...session.subscriptions.values()]) {
      const { filter, options, selector } = subscription;
      if (filter.startsWith(EXCLUSIVE_PREFIX)) this.held.hold(session, filter);
      if (!filter.startsWith(SHARE_PREFIX)) continue;
      let { queue } = subscription;
      if (queue === null) {
        // The group was made by a member that did not outlive the process.
        const address = filterToAddress(filter);
        if (address.kind !== 'binding' || address.share === null) continue;
        queue = shareQueue(vhost, address.share, address.exchange, address.pattern);
        vhost.sessions.subscribeQueue(session, filter, queue, options, selector);
      }
      this.held.join(queue);
    }
  }
}

/** What a CONNECT of MQTT 3 is answered with; -1 for nothing. */
function connectionReturnCode(connection: Connection, reason: number): number {
  if (
    !connection.connectRead &&
    reason !== ReasonCode.UNSUPPORTED_PROTOCOL_VERSION &&
    reason !== ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
  ) {
    return -1;
  }
  return connackReturnCode(reason);
}

/** Topics remembered per virtual host and user, and the memory for it. */
const ROUTES_MAX = 4_194_304;
const ROUTES_BYTES_MAX = 256 * 1024 * 1024;

function newRouteTable(): RouteTable {
  return new RouteTable(ROUTES_MAX, ROUTES_BYTES_MAX);
}
