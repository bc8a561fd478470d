// The MQTT adapter: recognises the protocol, makes connections, and keeps what they share: options, route caches, delivery classes, the gathering of the hot path, delayed wills and the
// clock of keep-alives. It knows the core and no other protocol.
import type { Authenticator } from '../../src/core/authenticator.ts';
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import type { Principal } from '../../src/core/authorizer.ts';
import type { Broker, SessionObserver } from '../../src/core/broker.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { Route, RouteTable } from '../../src/core/route-table.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import { Run } from '../../src/core/run.ts';
import type { Session, Subscription } from '../../src/core/session.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import type { Arena } from '../../src/io/arena.ts';
import type { Clock } from '../../src/io/clock.ts';
import type { Logger } from '../../src/io/logger.ts';
import type { Random } from '../../src/io/random.ts';
import type { Transport } from '../../src/io/transport.ts';
import type { Turn } from '../../src/io/turn.ts';
import { Detection, type ProtocolAdapter } from '../../src/server/protocol.ts';
import { type PublishAddress, topicToAddress } from './addresses.ts';
import { ClientState, ReceivedIds } from './client-state.ts';
import { Connection, ConnectionState } from './connection.ts';
import { MqttClasses } from './direct.ts';
import { encode } from './encoder.ts';
import { topicNameInvalid } from './errors.ts';
import { InflightState } from './inflight-window.ts';
import type { MqttOptions } from './options.ts';
import { connack } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { MQTT_CODEC } from './publish-form.ts';
import { Gathering } from './publish-path.ts';
import { connackReturnCode, ReasonCode } from './reason-codes.ts';
import { stopConsuming } from './subscriptions.ts';
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
/** State spaces: QoS 2 identifiers of durable sessions, taken from clients and released to them. */
const RECEIVED = 'mqtt.received';
const RELEASED = 'mqtt.released';
const NOTHING = new Uint8Array(0);

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
  readonly connections = new Set<Connection>();
  /** Coarse: as of the last tick. */
  monotonicMs: number;
  closing = false;
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
    this.topicLimits = { bytesMax: TOPIC_BYTES_MAX, levelsMax: parts.options.levelsMax };
    this.monotonicMs = parts.clock.now();
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
    transport.output.setDrainHandler(() => connection.onDrain());
  }

  close(): void {
    this.closing = true;
    for (const connection of [...this.connections]) connection.close(ReasonCode.SERVER_SHUTTING_DOWN, 'the server is shutting down');
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  forget(connection: Connection): void {
    if (this.connections.delete(connection)) this.broker.counters.connectionsClosed++;
  }

  /** Says why a connection is not made, where its version has a word for it. */
  refuse(connection: Connection, reason: number, _why: string): void {
    this.broker.counters.connectionsRefused++;
    if (connection.state === ConnectionState.AwaitConnect && reason !== ReasonCode.UNSUPPORTED_PROTOCOL_VERSION) {
      // The CONNECT could not be read [3.1.1 MQTT-3.1.4-1]; in MQTT 5 a CONNACK may be sent [MQTT-3.1.4-1], but its version is not known for sure.
      if (connection.version !== ProtocolVersion.V5) return;
    }
    // A reason that MQTT 3 has no return code for ends the connection without a word [3.1.1 MQTT-3.2.2-6].
    if (connection.version !== ProtocolVersion.V5 && connackReturnCode(reason) < 0) return;
    const bytes = encode(connack(reason), connection.version);
    connection.output.append(bytes, 0, bytes.length);
  }

  // ---- time

  /** Called a few times a second. */
  tick(): void {
    this.monotonicMs = this.clock.now();
    for (const connection of this.connections) {
      // [MQTT-3.1.2-22]
      if (connection.keepAliveMs > 0 && this.monotonicMs - connection.lastReceivedMs > connection.keepAliveMs) {
        connection.close(ReasonCode.KEEP_ALIVE_TIMEOUT, 'nothing came for one and a half times the keep-alive');
      }
    }
    if (this.delayed.length > 0) {
      const due = this.delayed.filter(({ dueMs }) => dueMs <= this.broker.nowMs);
      if (due.length === 0) return;
      this.delayed = this.delayed.filter(({ dueMs }) => dueMs > this.broker.nowMs);
      for (const { vhost, session, will } of due) sendWill(this, vhost, session, will);
    }
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

  cancelWill(session: Session): void {
    if (this.delayed.length > 0) this.delayed = this.delayed.filter((delayed) => delayed.session !== session);
  }

  onSessionEnded(vhost: Vhost, session: Session): void {
    const due = this.delayed.filter((delayed) => delayed.session === session);
    if (due.length > 0) {
      this.cancelWill(session);
      // [MQTT-3.1.3-9]: at the end of the session at the latest.
      for (const { will } of due) sendWill(this, vhost, session, will);
    }
    for (const subscription of session.subscriptions.values()) this.dropUnusedShare(vhost, subscription);
    if (session.state instanceof ClientState && session.durable) this.forgetIdentifiers(session, session.state);
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
      throw topicNameInvalid(`a topic of ${end - start} bytes is empty, not UTF-8, has wildcards, or more than ${this.topicLimits.levelsMax} levels`);
    }
    const topic = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    let address: PublishAddress;
    try {
      address = topicToAddress(topic);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (error.code !== 'access-refused') throw topicNameInvalid(error.message);
      const route = new Route(TOPIC_EXCHANGE, new RoutingKey(topic), bytes, start, end);
      this.closedRoutes.set(route, error.message);
      return route;
    }
    const route = new Route(address.exchange, address.key, bytes, start, end);
    if (address.kind === 'queue') this.queueRoutes.set(route, address);
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
    if (!address.declare) {
      route.allowed = false;
      route.refusal = `there is no queue ${JSON.stringify(address.key.path)}`;
      return;
    }
    vhost.declareQueue(queueSpec(address.key.path, { durable: true, autoDelete: false, exclusive: false }, new Map()));
    vhost.resolve(route, principal, clientId);
  }

  /** Keeps (or clears) the retained message of a topic. Returns the log position to wait for, 0 when there is none. */
  retain(vhost: Vhost, route: Route, run: Run, clear: boolean): number {
    if (route.exchange !== TOPIC_EXCHANGE) return 0;
    return vhost.retain(route.key.path, clear ? null : run);
  }

  /** Session expiry as asked for, in seconds of MQTT 5, within what is configured; in milliseconds. */
  sessionExpiryMs(askedS: number): number {
    const { sessionExpiryMaxS } = this.options;
    const seconds = Math.min(askedS, sessionExpiryMaxS);
    return seconds === 0xffff_ffff ? Number.POSITIVE_INFINITY : seconds * 1000;
  }

  // ---- queues

  /** The connection of this session is gone: others get what its shared and named queues had in flight with it. */
  leaveQueues(session: Session): void {
    const client = session.state;
    if (!(client instanceof ClientState)) return;
    for (const subscription of session.subscriptions.values()) {
      if (subscription.queue !== null) stopConsuming(client, subscription);
    }
  }

  /** The queue of a share group ends with the last subscription to it. */
  dropUnusedShare(vhost: Vhost, subscription: Subscription): void {
    const { queue, filter } = subscription;
    if (queue === null || !filter.startsWith('$share/') || queue.deleted) return;
    for (const session of vhost.sessions.values()) {
      if (session.subscriptions.get(filter)?.queue === queue) return;
    }
    vhost.deleteQueue(queue);
  }

  // ---- QoS 2 identifiers of durable sessions

  storeReceived(client: ClientState, id: number, taken: boolean): number {
    return this.storeId(RECEIVED, client, id, taken);
  }

  storeReleased(client: ClientState, id: number, released: boolean): number {
    return this.storeId(RELEASED, client, id, released);
  }

  private storeId(space: string, client: ClientState, id: number, present: boolean): number {
    const { state } = this.broker;
    if (state === null || !client.session.durable) return 0;
    const key = `${client.session.vhostName}\0${client.session.clientId}\0${id}`;
    return present ? state.put(space, key, NOTHING) : state.remove(space, key);
  }

  private forgetIdentifiers(session: Session, client: ClientState): void {
    for (const id of client.received ?? []) this.storeReceived(client, id, false);
    for (const id of client.window.inOrder()) {
      if (client.window.stateOf(id) === InflightState.AwaitPubcomp) this.storeReleased(client, id, false);
    }
    session.state = null;
  }

  /** After Broker.recover: identifiers go back to their sessions. */
  recover(): void {
    const { state, vhosts } = this.broker;
    if (state === null) return;
    for (const [key] of state.load(RECEIVED)) {
      const [vhost, clientId, id] = key.split('\0');
      const session = vhosts.get(vhost!)?.sessions.get(clientId!);
      if (session === undefined) continue;
      const client = this.clientOf(session);
      client.received ??= new ReceivedIds();
      client.received.add(Number(id));
    }
  }

  private clientOf(session: Session): ClientState {
    if (session.state instanceof ClientState) return session.state;
    const client = new ClientState(session);
    session.state = client;
    return client;
  }
}

/** Topics remembered per virtual host and user, and the memory for it. */
const ROUTES_MAX = 262_144;
const ROUTES_BYTES_MAX = 128 * 1024 * 1024;

function newRouteTable(): RouteTable {
  return new RouteTable(ROUTES_MAX, ROUTES_BYTES_MAX);
}
