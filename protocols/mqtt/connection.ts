// One client's connection: from bytes to broker calls and back. It parses in place; runs of PUBLISH and the acknowledgements take no object each, everything else becomes a packet object
// and goes through onPacket. It is the publisher of what it sends, the link of its session, and the receiver of what the core delivers. It ends itself on every
// error of its peer, with the peer's own reason code, and touches nobody else.
//
// The file is longer than most: what a connection is between its packets is one object, and what could be split off (the hot loop, CONNECT, SUBSCRIBE, wills, acknowledgements) is in files
// of its own.

import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import type { Principal } from '../../src/core/authorizer.ts';
import { ConfirmRing, type ConfirmSink } from '../../src/core/confirms.ts';
import { Outcome } from '../../src/core/consumer.ts';
import type { Counters } from '../../src/core/counters.ts';
import type { DeliveryOptions, Destination, DirectTarget } from '../../src/core/delivery.ts';
import { BrokerError, ProtocolError } from '../../src/core/errors.ts';
import type { Publisher } from '../../src/core/publisher.ts';
import type { Route, RouteTable } from '../../src/core/route-table.ts';
import type { Session, SessionLink } from '../../src/core/session.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { ChunkJoiner } from '../../src/io/chunk-joiner.ts';
import type { LogFields } from '../../src/io/logger.ts';
import type { Output } from '../../src/io/output.ts';
import type { Transport, TransportHandler } from '../../src/io/transport.ts';
import { hashBytes } from '../../src/lib/byte-hash.ts';
import * as acknowledgements from './acknowledgements.ts';
import type { ClientState } from './client-state.ts';
import { attachOwnQueue, onConnect } from './connect.ts';
import { peekProtocolLevel } from './connect-decoder.ts';
import { FROM_CLIENT } from './decode-options.ts';
import { checkFirstByte, decodePacket, decodePublish, VERSION_UNKNOWN } from './decoder.ts';
import { type DirectReceiver, MqttTarget } from './direct.ts';
import { encodePacket, packetLength, trimToMaximum, withoutProblemInformation } from './encoder.ts';
import type { EnhancedAuthentication } from './enhanced-authentication.ts';
import { protocolError } from './errors.ts';
import { headerBytes, INCOMPLETE, readFrameLength, remainingLength } from './frame.ts';
import { takeHot } from './hot-loop.ts';
import type { MqttAdapter } from './index.ts';
import { InflightState } from './inflight-window.ts';
import { disconnect, type Packet, properties } from './packet.ts';
import { PACKET_NAMES, PacketType, ProtocolVersion, Sender } from './packet-type.ts';
import { PUBLISH_BYTE, type WireVersion } from './publish-form.ts';
import { PublishPath } from './publish-path.ts';
import { ReasonCode, shortReason } from './reason-codes.ts';
import { resendNext } from './resend.ts';
import type { RetainedReplay } from './retained-replay.ts';
import { leaveQueues, onSubscribe, onUnsubscribe } from './subscriptions.ts';
import type { TopicAliases } from './topic-aliases.ts';
import { publishWill, type StoredWill } from './will.ts';

export const ConnectionState = { AwaitConnect: 0, Authenticating: 1, Connected: 2, Closed: 3 } as const;
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState];

/** mosquitto's bridges set it in the protocol level. */
const DOLLAR = 0x24;
const BRIDGE_BIT = 0x80;
/** A peer whose output has grown to this takes no more from queues until it has drained. */
const HOLD_BYTES = 1024 * 1024;

export class Connection implements TransportHandler, Publisher, SessionLink, DirectReceiver, ConfirmSink {
  readonly adapter: MqttAdapter;
  readonly transport: Transport;
  readonly output: Output;
  readonly counters: Counters;
  readonly publishing: PublishPath;
  state: ConnectionState = ConnectionState.AwaitConnect;
  version: ProtocolVersion = ProtocolVersion.V311;
  /** A CONNECT has told the version, even if nothing else. */
  versionKnown = false;
  /** A CONNECT could be read to its end. */
  connectRead = false;
  wire: WireVersion = 4;
  clientId = '';
  principal: Principal | null = null;
  vhost: Vhost;
  session: Session | null = null;
  client: ClientState | null = null;
  will: StoredWill | null = null;
  keepAliveMs = 0;
  /** It is not read from while this is more than 0. */
  pauseCount = 0;
  listedAwaiting = false;
  /** No PUBLISH may be taken for now, and one waits to be. */
  private onHold = false;
  private stalled = false;
  lastReceivedMs: number;
  /** Of the client: nothing larger is sent to it. */
  packetBytesMax = Number.POSITIVE_INFINITY;
  receiveMaximum = 65_535;
  requestProblemInformation = true;
  /** Towards the client; null unless it allows them. */
  aliases: TopicAliases | null = null;
  /** Of an authentication by challenge and response; null for a password or none. */
  enhanced: EnhancedAuthentication | null = null;
  /** QoS 1 messages taken whose PUBACK waits for the log. */
  pubacksPending = 0;
  /** QoS 2 messages taken on this connection that are not complete. */
  qos2Pending = 0;
  /** First byte of the PUBLISH with the highest QoS the hot loop takes. */
  readonly publishByteMax: number;
  private routes: RouteTable | null = null;
  private routesEpoch = 0;
  readonly confirms = new ConfirmRing();
  replay: RetainedReplay | null = null;
  /** Frame size the joiner waits for; 0 when unknown. */
  bytesWanted = 0;
  private readonly joiner: ChunkJoiner;
  /** QoS 2 identifiers need not be stored, so the hot loop may take them. */
  hotQos2 = false;
  private pumpWanted = false;
  /** Null until something is subscribed to. */
  private targets: Map<DeliveryOptions, MqttTarget> | null = null;
  private readonly settles: number[] = [];

  constructor(adapter: MqttAdapter, transport: Transport) {
    this.adapter = adapter;
    this.transport = transport;
    this.output = transport.output;
    this.counters = adapter.broker.counters;
    this.vhost = adapter.broker.addVhost(adapter.listenerVhost(transport.listener));
    this.lastReceivedMs = adapter.monotonicMs;
    this.joiner = new ChunkJoiner(adapter.arena, this);
    this.publishing = new PublishPath(this);
    this.publishByteMax = PUBLISH_BYTE | (adapter.options.maximumQos << 1);
  }

  get name(): string {
    return this.clientId;
  }

  owns(destination: Destination): boolean {
    return destination === this.session;
  }

  get nowMs(): number {
    return this.adapter.broker.nowMs;
  }

  /** Largest frame the joiner may gather: small before authentication. */
  get frameBytesMax(): number {
    return this.state === ConnectionState.Connected
      ? this.adapter.options.maximumPacketSize
      : this.adapter.options.preAuthBytesMax;
  }

  // ---- TransportHandler

  onChunk(bytes: Uint8Array, start: number, end: number): void {
    this.lastReceivedMs = this.adapter.monotonicMs;
    if (this.state === ConnectionState.Closed) return;
    try {
      this.joiner.onChunk(bytes, start, end);
    } catch (error) {
      this.onError(error);
    }
  }

  onDrain(): void {
    if (this.client?.credit.held === true) {
      this.client.credit.held = false;
      this.pumpQueues();
    }
    this.replay?.go();
    this.adapter.broker.onOutputDrained();
  }

  onClosed(_error: Error | null): void {
    this.leave(true, null);
  }

  // ---- parsing

  /** Takes whole packets from bytes[start, end); returns where it stopped. */
  parse(bytes: Uint8Array, start: number, end: number): number {
    let pos = start;
    const { publishing } = this;
    this.bytesWanted = 0;
    publishing.topicBytes = -1;
    this.adapter.lookAhead.reset();
    while (pos < end && this.state !== ConnectionState.Closed) {
      if (this.state === ConnectionState.Connected) {
        if (this.onHold && bytes[pos]! >>> 4 === PacketType.PUBLISH) {
          this.stall();
          break;
        }
        const next = takeHot(this, bytes, pos, end);
        if (next !== pos) {
          pos = next;
          if (pos >= end) break;
        }
        // Not reached by the hot loop: a packet of another kind, or an incomplete one.
      } else if (this.state === ConnectionState.Authenticating && this.enhanced?.awaitsClient !== true) {
        break;
      }
      const first = bytes[pos]!;
      checkFirstByte(
        first,
        this.state === ConnectionState.AwaitConnect ? VERSION_UNKNOWN : this.version,
        Sender.CLIENT,
      );
      const header = readFrameLength(bytes, pos, end);
      if (header === INCOMPLETE) break;
      const size = headerBytes(header) + remainingLength(header);
      if (size > this.frameBytesMax) {
        if (this.state === ConnectionState.AwaitConnect) this.peekVersion(bytes, pos + headerBytes(header), end);
        throw this.tooLarge(first, size);
      }
      if (pos + size > end) {
        this.bytesWanted = size;
        break;
      }
      publishing.flush();
      this.onFrame(bytes, pos, pos + headerBytes(header), pos + size);
      pos += size;
    }
    publishing.flush();
    if (this.pumpWanted) this.pumpQueues();
    return this.state === ConnectionState.Closed ? end : pos;
  }

  private onFrame(bytes: Uint8Array, start: number, bodyStart: number, end: number): void {
    const type = bytes[start]! >>> 4;
    if (this.state === ConnectionState.AwaitConnect) {
      this.peekVersion(bytes, bodyStart, end);
      const packet = decodePacket(bytes, start, bodyStart, end, VERSION_UNKNOWN, FROM_CLIENT);
      if (packet.type === PacketType.CONNECT) onConnect(this, packet);
      return;
    }
    // [MQTT-3.1.0-2], [3.1.1 MQTT-3.1.0-2]: whatever is in it.
    if (type === PacketType.CONNECT) throw protocolError('CONNECT came a second time');
    if (this.state === ConnectionState.Authenticating) {
      const packet = decodePacket(bytes, start, bodyStart, end, this.version, FROM_CLIENT);
      if (packet.type === PacketType.AUTH) this.enhanced!.onAuth(packet);
      else if (packet.type === PacketType.DISCONNECT) this.leave(false, null);
      // [MQTT-3.1.2-30]
      else throw protocolError(`${PACKET_NAMES[packet.type]} came before CONNACK`);
      return;
    }
    if (type === PacketType.PUBLISH) {
      const publish = decodePublish(bytes, start, bodyStart, end, this.version, FROM_CLIENT);
      this.publishing.one(publish, bytes, start, end);
      return;
    }
    this.onPacket(decodePacket(bytes, start, bodyStart, end, this.version, FROM_CLIENT));
  }

  /** For the answer to a CONNECT that cannot be read: the form its sender knows. */
  private peekVersion(bytes: Uint8Array, bodyStart: number, end: number): void {
    const level = peekProtocolLevel(bytes, bodyStart, end);
    if (level === 0) return;
    this.versionKnown = true;
    this.version =
      level === ProtocolVersion.V31
        ? ProtocolVersion.V31
        : level >= ProtocolVersion.V5 && level < BRIDGE_BIT
          ? ProtocolVersion.V5
          : ProtocolVersion.V311;
  }

  // [MQTT-4.9.0-3] [MQTT-3.3.4-10]
  private onPacket(packet: Packet): void {
    switch (packet.type) {
      case PacketType.PUBACK:
        acknowledgements.onPuback(this, packet.packetId, packet.reasonCode, packet.properties.userProperties);
        return;
      case PacketType.PUBREC:
        acknowledgements.onPubrec(this, packet.packetId, packet.reasonCode, packet.properties.userProperties);
        return;
      case PacketType.PUBREL:
        acknowledgements.onPubrel(this, packet.packetId);
        return;
      case PacketType.PUBCOMP:
        acknowledgements.onPubcomp(this, packet.packetId);
        return;
      case PacketType.SUBSCRIBE:
        onSubscribe(this, packet);
        return;
      case PacketType.UNSUBSCRIBE:
        onUnsubscribe(this, packet);
        return;
      case PacketType.PINGREQ: {
        // [MQTT-3.12.4-1], [3.1.1 MQTT-3.12.4-1]
        const at = this.output.reserve(2);
        this.output.bytes[at] = PacketType.PINGRESP << 4;
        this.output.bytes[at + 1] = 0;
        return;
      }
      case PacketType.DISCONNECT: {
        const expiry = packet.properties.sessionExpiryIntervalS;
        if (expiry !== null && this.session !== null) {
          // MQTT 5.0 section 3.14.2.2.2: zero cannot be turned into something else.
          if (expiry !== 0 && this.session.expiryMs === 0) {
            throw protocolError('DISCONNECT: the session expiry interval was 0 and cannot be raised');
          }
          this.vhost.sessions.setExpiry(this.session, this.adapter.sessionExpiryMs(expiry));
        }
        // [MQTT-3.14.4-3], [3.1.1 MQTT-3.14.4-3] [MQTT-3.1.2-10]: a normal end discards the will; 0x04 asks for it.
        this.leave(packet.reasonCode !== ReasonCode.SUCCESS, null);
        return;
      }
      case PacketType.AUTH:
        // [MQTT-4.12.0-7]
        if (this.enhanced === null) throw protocolError('AUTH came without an authentication method in CONNECT');
        this.enhanced.onAuth(packet);
        return;
      default:
        throw protocolError(`${PACKET_NAMES[packet.type]} came from a client`);
    }
  }

  private tooLarge(first: number, size: number): ProtocolError {
    const max = this.frameBytesMax;
    const setting = this.state === ConnectionState.Connected ? 'mqtt.maximumPacketSize' : 'connection.preAuthBytesMax';
    const name = PACKET_NAMES[first >>> 4]!;
    // [MQTT-3.2.2-15]
    return new ProtocolError(
      'packet-too-large',
      ReasonCode.PACKET_TOO_LARGE,
      `${name} of ${size} bytes; ${setting} allows ${max}`,
    );
  }

  // ---- routes

  routeTable(): RouteTable {
    const { authorizer } = this.adapter.broker;
    if (this.routes === null || this.routesEpoch !== authorizer.epoch) {
      this.routes = this.adapter.routeTable(this.vhost, this.principal!);
      this.routesEpoch = authorizer.epoch;
    }
    return this.routes;
  }

  /** The route of a topic name in bytes, resolved. Topics that lead to the same sessions may have it in common: its key is not for use. Throws for an invalid topic. */
  findRoute(bytes: Uint8Array, start: number, end: number, hash = hashBytes(bytes, start, end)): Route {
    const routes = this.routeTable();
    let route = routes.lookupTrue(bytes, start, end, hash, this.vhost.changes);
    if (route === null) {
      // What was gathered belongs to the bindings as they were.
      this.publishing.flush();
      const found = this.adapter.makeRoute(bytes, start, end);
      this.adapter.resolve(this.vhost, found, this.principal!, this.clientId);
      if (!found.allowed) {
        this.counters.refusedUnauthorized++;
        this.adapter.logger.warn(this.logFields(), `publish refused: ${found.refusal}`);
      }
      // Only where the text is the topic's path: "$exchange/amq.topic/a" is one of the topic "a".
      const isCommon = found.set !== null && found.exchange === TOPIC_EXCHANGE && bytes[start] !== DOLLAR;
      route = isCommon ? routes.common(found) : found;
      routes.insert(route, bytes, start, end, found.generation);
    }
    this.publishing.keep(route);
    return route;
  }

  // ---- Publisher, SessionLink

  get awaitsDurable(): boolean {
    return !this.confirms.empty;
  }

  onDurable(position: number): void {
    this.confirms.release(position, this);
  }

  onConfirm(what: number, extra: object | null, count: number): void {
    acknowledgements.writeConfirm(this, what, extra, count);
  }

  onLogFailed(): void {
    this.confirms.clear();
    this.close(ReasonCode.UNSPECIFIED_ERROR, 'the log has failed');
  }

  pause(): void {
    this.pauseCount++;
    this.transport.pause();
  }

  resume(): void {
    this.pauseCount--;
    // Its silence was ours: the keep-alive counts from here.
    this.lastReceivedMs = this.adapter.monotonicMs;
    this.transport.resume();
  }

  holdMessages(): void {
    this.onHold = true;
  }

  releaseMessages(): void {
    this.onHold = false;
    if (!this.stalled) return;
    // Not here: the broker may be in the middle of something.
    this.adapter.nextTurn(() => {
      if (this.onHold || !this.stalled) return;
      this.stalled = false;
      this.resume();
      this.goOn();
    });
  }

  /** A PUBLISH stands where the parser is, and none may be taken: nothing is read until one may. Up to there the client's pings and acknowledgements are. */
  private stall(): void {
    if (this.stalled) return;
    this.stalled = true;
    this.pause();
  }

  directTarget(options: DeliveryOptions): DirectTarget {
    this.targets ??= new Map();
    let target = this.targets.get(options);
    if (target === undefined) {
      target = new MqttTarget(this.adapter.classes.get(this.wire, options), this);
      this.targets.set(options, target);
    }
    return target;
  }

  onQueueMade(): void {
    // Not while it is leaving: its own will may be the message.
    if (this.session !== null) attachOwnQueue(this);
  }

  onTakenOver(): void {
    // [MQTT-3.1.4-3]
    this.close(ReasonCode.SESSION_TAKEN_OVER, 'another connection uses the client id');
  }

  // ---- queues

  /** Deliveries came back: room for others. */
  // [MQTT-4.9.0-2] [MQTT-3.3.4-9]
  giveCredit(count = 1): void {
    const client = this.client!;
    client.credit.available += count;
    if (client.waiting.length > 0) resendNext(this, client);
    this.pumpWanted = true;
  }

  /** A delivery was settled without having been sent; called while a queue is delivering, so it is done at the end of the turn. */
  settleLater(packetId: number): void {
    if (this.settles.length === 0) this.adapter.atEndOfTurn(() => this.settleNow());
    this.settles.push(packetId);
  }

  private settleNow(): void {
    const { client } = this;
    if (client === null) return;
    for (const id of this.settles.splice(0)) {
      // The client may have acknowledged an identifier that it has never been sent.
      const state = client.window.stateOf(id);
      if (state !== InflightState.AwaitPuback && state !== InflightState.AwaitPubrec) continue;
      const queue = client.window.queueOf(id)!;
      const tag = client.window.tagOf(id);
      if (state === InflightState.AwaitPubrec) this.adapter.stored.removeSent(client.session, id);
      client.window.remove(id);
      this.giveCredit();
      queue.settle(tag, Outcome.Accepted);
    }
    this.pumpQueues();
  }

  /** After a queue has delivered: a peer that does not keep up gets no more for now. */
  holdIfSlow(): void {
    if (this.output.unsentBytes < HOLD_BYTES || this.client === null || this.client.credit.held) return;
    this.client.credit.held = true;
    // Perhaps it keeps up and a queue just had much for it: when the turn has ended without congestion, it goes on, after the others have had their turn.
    this.adapter.nextTurn(() => {
      if (!this.output.congested) this.onDrain();
    });
  }

  pumpQueues(): void {
    this.pumpWanted = false;
    const { session } = this;
    if (session === null) return;
    session.queue?.pump();
    for (const subscription of session.subscriptions.values()) subscription.queue?.pump();
    this.replay?.go();
  }

  // ---- sending

  send(packet: Packet): void {
    const asked = this.requestProblemInformation ? packet : withoutProblemInformation(packet);
    const fitting = trimToMaximum(
      asked,
      this.version,
      Number.isFinite(this.packetBytesMax) ? this.packetBytesMax : null,
    );
    if (fitting === null) return;
    const size = packetLength(fitting, this.version);
    if (size > 16_384) {
      const bytes = Buffer.allocUnsafeSlow(size);
      encodePacket(fitting, this.version, bytes, 0);
      this.output.appendOwned(bytes);
      return;
    }
    const at = this.output.reserve(size);
    encodePacket(fitting, this.version, this.output.bytes, at);
  }

  /** Sends DISCONNECT where the version has one for it, and ends. The will is published. */
  close(reasonCode: number, why: string, serverReference: string | null = null): void {
    if (this.state === ConnectionState.Closed) return;
    // [MQTT-3.14.0-1]
    if (this.version === ProtocolVersion.V5 && this.state === ConnectionState.Connected) {
      this.send(disconnect(reasonCode, properties({ reasonString: shortReason(why), serverReference })));
    }
    this.adapter.logger.info({ ...this.logFields(), reasonCode }, `connection closed: ${why}`);
    this.leave(true, null);
  }

  /** The authentication has been answered, or something else it waited for: go on with what has arrived. */
  goOn(): void {
    if (this.state === ConnectionState.Closed) return;
    try {
      this.joiner.retry();
    } catch (error) {
      this.onError(error);
    }
  }

  onError(error: unknown): void {
    this.publishing.drop();
    if (error instanceof BrokerError) {
      this.close(acknowledgements.reasonOfBrokerError(error), error.message);
      return;
    }
    // Ours: not to be hidden.
    if (!(error instanceof ProtocolError)) throw error;
    this.counters.protocolErrors++;
    this.adapter.logger.warn(
      { ...this.logFields(), code: error.code, reasonCode: error.reason },
      `protocol error: ${error.message}`,
    );
    if (this.state < ConnectionState.Connected) this.adapter.refuse(this, error.reason, error.message);
    else if (this.version === ProtocolVersion.V5 && this.state === ConnectionState.Connected) {
      // [MQTT-4.13.1-1], [3.1.1 MQTT-4.8.0-2], [3.1.1 MQTT-4.8.0-1] [MQTT-4.13.2-1]
      this.send(disconnect(error.reason, properties({ reasonString: shortReason(error.message) })));
    }
    this.leave(true, error);
  }

  /** Ends the connection: the session is detached, the will published if asked for, the stream ended. Safe to call again. */
  leave(withWill: boolean, _error: Error | null): void {
    if (this.state === ConnectionState.Closed) return;
    const wasConnected = this.state === ConnectionState.Connected;
    this.state = ConnectionState.Closed;
    this.publishing.drop();
    this.replay?.stop();
    this.adapter.forget(this);
    const { session, client, will } = this;
    this.session = null;
    this.client = null;
    this.will = null;
    this.enhanced?.stop();
    // [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1]
    this.transport.end();
    const owns = session !== null && session.link === this;
    if (owns) leaveQueues(session);
    if (client !== null && client.connection === this) {
      client.connection = null;
      client.credit.available = 0;
      client.credit.held = false;
    }
    if (wasConnected && session !== null) {
      // [3.1.1 MQTT-3.1.2-12]
      if (will !== null && withWill) publishWill(this.adapter, this.vhost, session, will);
      else if (will !== null && owns) this.adapter.stored.removeWill(session);
      // [MQTT-3.1.2-23] [MQTT-4.1.0-1] [MQTT-4.1.0-2], [3.1.1 MQTT-4.1.0-1] [3.1.1 MQTT-4.1.0-2]
      if (owns) this.vhost.sessions.detach(session);
    }
    this.confirms.clear();
    this.adapter.broker.forgetPublisher(this);
    this.adapter.broker.onOutputDrained();
  }

  logFields(): LogFields {
    const { peer, listener } = this.transport;
    return { listener, peer: `${peer.address}:${peer.port}`, clientId: this.clientId };
  }
}
