// One connection of a scripted MQTT client: what it sends, and what it does with what arrives.
import { encode } from '../../../protocols/mqtt/encoder.ts';
import {
  connect,
  disconnect,
  type Packet,
  PINGREQ,
  type Publish,
  properties,
  puback,
  pubcomp,
  pubrec,
  pubrel,
  subscribe,
  subscription,
  unsubscribe,
  will,
} from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES } from '../../../protocols/mqtt/properties.ts';
import { FAILURE_MIN, ReasonCode } from '../../../protocols/mqtt/reason-codes.ts';
import { Conn } from '../model/conn.ts';
import type { Oracle } from '../model/oracle.ts';
import { type Sent, WILL_PUBLISHERS_FROM } from '../model/sent.ts';
import type { WillModel } from '../model/wills.ts';
import { type Part, Wire, type WireOwner } from '../network.ts';
import type { MqttActor } from './mqtt.ts';
import { type MqttFrame, MqttFrames } from './mqtt-frames.ts';
import { deliveryOf, describe, GARBAGE, packetOf } from './mqtt-packets.ts';
import { type FilterPlan, NEVER_S, willTopic } from './mqtt-plan.ts';
import { MqttWatch } from './mqtt-watch.ts';

export class MqttLink implements WireOwner<MqttFrame> {
  readonly actor: MqttActor;
  readonly conn: Conn;
  readonly wire: Wire<MqttFrame>;
  connected = false;
  acksPending = 0;
  /** QoS 1 and 2 messages the broker takes at a time. */
  sendMaximum = 65_535;
  readonly clean: boolean;
  private readonly last: boolean;
  private readonly oracle: Oracle;
  private readonly watch: MqttWatch;
  private lastAckMs = 0;
  private aliasMaximum = 0;
  private readonly aliases = new Map<string, number>();
  readonly subacks = new Map<number, readonly FilterPlan[]>();
  readonly unsubacks = new Map<number, readonly string[]>();
  /** The broker has a reason to end this connection. */
  endExpected = false;
  /** The broker was given garbage: what comes after it is not looked at. */
  private spoiled = false;
  brokerSaid = '';

  constructor(actor: MqttActor, number: number, clean: boolean, last: boolean) {
    this.actor = actor;
    this.clean = clean;
    this.last = last;
    const { network, oracle } = actor.around;
    this.oracle = oracle;
    const { plan } = actor;
    this.conn = new Conn(actor.identity.index, `${plan.clientId}/${number}`);
    this.conn.takesIdentifiers = actor.v5;
    this.watch = new MqttWatch(this, oracle);
    this.wire = new Wire(network, this, new MqttFrames(plan.version));
    actor.around.accept('mqtt', this.wire);
    this.sendConnect();
  }

  /** MQTT 3.1 does not tell its clients whether it found a session. */
  get saysPresent(): boolean {
    return this.actor.plan.version !== ProtocolVersion.V31;
  }

  private sendConnect(): void {
    if (this.clean) {
      // [MQTT-3.1.2-4]: on both sides.
      this.actor.keepsState = false;
      this.actor.forget();
    }
    const { plan, v5 } = this.actor;
    const expiryS = this.last ? 0 : plan.expiryS;
    const willModel = this.drawWill();
    const packet = connect({
      clientId: plan.clientId,
      protocolVersion: plan.version,
      clean: this.clean,
      keepAliveS: plan.keepAliveS,
      will:
        willModel === null
          ? null
          : will(willModel.sent.topic, {
              payload: willModel.sent.payload,
              qos: willModel.sent.qos,
              retain: willModel.sent.retain,
              properties:
                willModel.delayMs === 0
                  ? EMPTY_PROPERTIES
                  : properties({ willDelayIntervalS: willModel.delayMs / 1000 }),
            }),
      properties: v5
        ? properties({
            sessionExpiryIntervalS: expiryS === 0 ? null : expiryS,
            receiveMaximum: plan.receiveMaximum === 65_535 ? null : plan.receiveMaximum,
            maximumPacketSize: plan.maximumPacketSize,
            topicAliasMaximum: plan.aliasMaximum === 0 ? null : plan.aliasMaximum,
          })
        : EMPTY_PROPERTIES,
    });
    const expiryMs = v5
      ? expiryS === NEVER_S
        ? Number.POSITIVE_INFINITY
        : expiryS * 1000
      : this.clean
        ? 0
        : Number.POSITIVE_INFINITY;
    this.put(packet, () =>
      this.oracle.connectFed(this.conn, {
        clean: this.clean,
        expiryMs,
        receiveMaximum: plan.receiveMaximum,
        packetBytesMax: plan.maximumPacketSize ?? Number.POSITIVE_INFINITY,
        will: willModel,
      }),
    );
  }

  private drawWill(): WillModel | null {
    const { plan, identity } = this.actor;
    if (plan.will === null || this.last) return null;
    const sent = this.oracle.ledger.send(WILL_PUBLISHERS_FROM + identity.index, {
      topic: willTopic(plan.clientId),
      qos: plan.will.qos,
      retain: plan.will.retain,
      size: 20,
      properties: null,
      expiryMs: 0,
    });
    return { sent, delayMs: plan.will.delayS * 1000, armed: false };
  }

  // ---- sending

  private put(packet: Packet, onFed: () => void): void {
    this.wire.write([{ bytes: encode(packet, this.actor.plan.version), onFed: () => this.fed(packet, onFed) }]);
  }

  /** What a connection is given after its end is not looked at any more. */
  private fed(packet: Packet, onFed: () => void): void {
    if (this.oracle.trace !== null)
      this.oracle.note(
        `${this.conn.name} ─▶ ${describe(packet, this.oracle.ledger)}${this.conn.open ? '' : ' (after the end)'}`,
      );
    if (this.conn.open && !this.spoiled) onFed();
  }

  publish(packets: readonly { packet: Publish; sent: Sent; id: number }[]): void {
    const parts: Part[] = [];
    for (const { packet, sent, id } of packets) {
      this.alias(packet);
      parts.push({
        bytes: encode(packet, this.actor.plan.version),
        onFed: () => this.fed(packet, () => this.publishFed(sent, id)),
      });
    }
    if (parts.length > 0) this.wire.write(parts);
    if (packets.some(({ sent }) => sent.qos > 0) && this.actor.dropsAt()) this.actor.drop(this, 'PUBLISH sent');
  }

  private publishFed(sent: Sent, id: number): void {
    if (sent.qos === 1) this.conn.pubacks.push({ id, sent });
    else if (sent.qos === 2) this.conn.pubrecs.push({ id, sent });
    this.oracle.publishFed(this.conn, sent);
  }

  private alias(packet: Publish): void {
    if (this.aliasMaximum === 0 || !this.actor.plan.aliases) return;
    const known = this.aliases.get(packet.topic);
    if (known !== undefined) {
      packet.properties = Object.assign(properties({ ...packet.properties }), { topicAlias: known });
      packet.topic = '';
    } else if (this.aliases.size < this.aliasMaximum) {
      const alias = this.aliases.size + 1;
      this.aliases.set(packet.topic, alias);
      packet.properties = Object.assign(properties({ ...packet.properties }), { topicAlias: alias });
    }
  }

  subscribe(filters: readonly FilterPlan[]): void {
    const { actor, oracle, conn } = this;
    const { dice } = actor.around;
    const { plan, v5 } = actor;
    // One identifier for a whole packet.
    const { identifier } = filters[0]!;
    const chosen = filters.filter((filter) => filter.identifier === identifier);
    const qos = chosen.map(() => dice.below(plan.qosMax + 1) as 0 | 1 | 2);
    const shares = chosen.map(({ filter }) => filter.startsWith('$share/') || filter.startsWith('$queue/'));
    const retainHandling = plan.retainAsPublished || (v5 && dice.below(100) < plan.noReplayShare) ? 2 : 0;
    const id = actor.freshId();
    for (const { filter } of chosen) actor.asking.add(filter);
    const packet = subscribe(
      id,
      chosen.map(({ filter, noLocal }, i) =>
        subscription(filter, qos[i]!, {
          noLocal: v5 && noLocal && !shares[i],
          retainAsPublished: plan.retainAsPublished && !shares[i],
          retainHandling,
        }),
      ),
      identifier === 0 ? EMPTY_PROPERTIES : properties({ subscriptionIdentifiers: [identifier] }),
    );
    this.put(packet, () => {
      this.subacks.set(id, chosen);
      chosen.forEach(({ filter, noLocal }, i) => {
        const fields = {
          filter,
          topicFilter: filter.startsWith('$share/') ? filter.split('/').slice(2).join('/') : filter,
          noLocal,
          retainAsPublished: plan.retainAsPublished,
          identifier,
        };
        oracle.subscribeFed(conn, fields, qos[i]!, retainHandling === 0 && !shares[i]);
      });
    });
  }

  unsubscribe(filters: readonly string[]): void {
    const { actor, oracle, conn } = this;
    const id = actor.freshId();
    for (const filter of filters) actor.asking.add(filter);
    this.put(unsubscribe(id, [...filters]), () => {
      this.unsubacks.set(id, filters);
      for (const filter of filters) oracle.unsubscribeFed(conn, filter);
    });
  }

  ping(): void {
    this.put(PINGREQ, () => {
      this.conn.pings++;
    });
  }

  private keepAlive(): void {
    const { keepAliveS } = this.actor.plan;
    if (keepAliveS === 0) return;
    this.actor.around.network.schedule.after(keepAliveS * 700, () => {
      if (!this.conn.open || this.actor.link !== this) return;
      this.ping();
      this.keepAlive();
    });
  }

  disconnect(): void {
    const { actor, oracle, conn } = this;
    const { dice, counts } = actor.around;
    const { plan, v5 } = actor;
    counts.disconnects++;
    const keepsWill = v5 && dice.chance(0.2);
    const expiryS = v5 && plan.expiryS !== 0 && dice.chance(0.2) ? dice.pick([0, 1, 300]) : null;
    const packet = disconnect(
      keepsWill ? ReasonCode.DISCONNECT_WITH_WILL : 0,
      expiryS === null ? EMPTY_PROPERTIES : properties({ sessionExpiryIntervalS: expiryS }),
    );
    this.put(packet, () => {
      this.endExpected = true;
      oracle.disconnectFed(conn, keepsWill, expiryS === null ? null : expiryS * 1000);
    });
    actor.lose(this, 'close', expiryS ?? plan.expiryS);
  }

  /** Goodbye for good. */
  leave(): void {
    this.put(disconnect(), () => {
      this.endExpected = true;
      this.oracle.disconnectFed(this.conn, false, null);
    });
    this.actor.abandon(this);
    this.wire.close();
  }

  garbage(): void {
    const { dice, counts } = this.actor.around;
    counts.garbage++;
    // Its first byte may be enough.
    this.endExpected = true;
    this.wire.write([
      {
        bytes: dice.pick(GARBAGE),
        onFed: () => {
          this.spoiled = true;
        },
      },
    ]);
  }

  /** The client's machine loses its network: the broker hears nothing any more. */
  vanish(): void {
    const { actor, wire, conn } = this;
    actor.around.counts.halfOpen++;
    wire.vanish();
    const { keepAliveS } = actor.plan;
    if (keepAliveS === 0 || !this.connected) return;
    const { network } = actor.around;
    this.endExpected = true;
    network.schedule.after(keepAliveS * 1500 + 1000, () => {
      if (conn.open)
        this.oracle.fail(
          'keep-alive',
          `${conn.name} said nothing for more than ${keepAliveS * 1.5} s and is still connected`,
        );
    });
  }

  // ---- WireOwner

  onBrokerClosed(byBroker: boolean): void {
    const { actor, conn, oracle } = this;
    const takenOver = oracle.brokerClosed(conn, byBroker);
    if (byBroker && !takenOver && !this.endExpected && actor.link === this)
      oracle.fail(
        this.wire.heldBack ? 'closed-while-paused' : 'closed-without-cause',
        `the broker has ended ${conn.name} (${this.brokerSaid || 'without a word'})`,
      );
  }

  onBrokerDied(): void {
    this.conn.open = false;
  }

  onHungUp(): void {
    this.actor.onHungUp(this);
  }

  onEmitted(frame: MqttFrame): void {
    this.watch.onEmitted(frame);
  }

  onArrived({ packet, bytes }: MqttFrame): void {
    const { actor } = this;
    // Who has moved on to another connection does not look at the old one any more.
    if (actor.link !== this) return;
    switch (packet.type) {
      case PacketType.CONNACK:
        this.onConnack(
          this.saysPresent ? packet.sessionPresent : !this.clean && actor.keepsState,
          packet.properties.receiveMaximum ?? 65_535,
          packet.properties.topicAliasMaximum ?? 0,
        );
        return;
      case PacketType.PUBLISH:
        this.onPublish(packet, bytes);
        return;
      case PacketType.PUBACK:
      case PacketType.PUBCOMP:
        this.release(packet.packetId);
        return;
      case PacketType.PUBREC: {
        const outgoing = actor.unacknowledged.find(({ id }) => id === packet.packetId);
        if (outgoing === undefined) return;
        if (packet.reasonCode >= FAILURE_MIN) {
          this.release(packet.packetId);
          return;
        }
        outgoing.released = true;
        if (actor.dropsAt()) {
          actor.drop(this, 'PUBREC received');
          return;
        }
        this.sendPubrel(packet.packetId);
        if (actor.dropsAt()) actor.drop(this, 'PUBREL sent');
        return;
      }
      case PacketType.PUBREL: {
        actor.received.delete(packet.packetId);
        if (actor.dropsAt()) {
          actor.drop(this, 'PUBREL received');
          return;
        }
        this.ack(
          () => this.put(pubcomp(packet.packetId), () => this.watch.pubcompFed(packet.packetId)),
          'PUBCOMP sent',
        );
        return;
      }
      case PacketType.SUBACK:
        for (const { filter } of this.subacks.get(packet.packetId) ?? []) {
          actor.asking.delete(filter);
          actor.subscribed.add(filter);
        }
        return;
      case PacketType.UNSUBACK:
        for (const filter of this.unsubacks.get(packet.packetId) ?? []) {
          actor.asking.delete(filter);
          actor.subscribed.delete(filter);
        }
        return;
      default:
        return;
    }
  }

  private onConnack(present: boolean, receiveMaximum: number, aliasMaximum: number): void {
    const { actor } = this;
    const { dice } = actor.around;
    this.connected = true;
    actor.onConnected();
    this.sendMaximum = receiveMaximum;
    this.aliasMaximum = aliasMaximum;
    if (this.last) {
      this.leave();
      actor.done();
      return;
    }
    if (!present) actor.forget();
    actor.keepsState = !this.clean;
    // [MQTT-4.4.0-1]
    for (const { id, sent, released } of actor.unacknowledged) {
      if (released) this.sendPubrel(id);
      else {
        const packet = packetOf(sent, id, actor.v5);
        packet.dup = true;
        this.put(packet, () => this.publishFed(sent, id));
      }
    }
    if (actor.plan.filters.length > 0 && (!present || dice.chance(0.3))) this.subscribe(actor.plan.filters);
    this.keepAlive();
  }

  private sendPubrel(id: number): void {
    this.put(pubrel(id), () => {
      this.conn.pubcomps.push(id);
    });
  }

  private release(id: number): void {
    const { unacknowledged } = this.actor;
    const at = unacknowledged.findIndex((outgoing) => outgoing.id === id);
    if (at >= 0) unacknowledged.splice(at, 1);
  }

  private onPublish(packet: Publish, bytes: number): void {
    const { actor, conn, oracle } = this;
    const { dice } = actor.around;
    const { qos, packetId: id } = packet;
    const found = packet.payload.length === 0 ? null : oracle.ledger.find(packet.payload as Buffer);
    const sent = found === 'damaged' ? null : found;
    const fresh = qos < 2 || !actor.received.has(id);
    if (qos === 2) actor.received.add(id);
    if (qos > 0 && actor.dropsAt()) {
      if (fresh && sent !== null) oracle.deliveries.received(conn, sent, deliveryOf(packet, bytes));
      actor.drop(this, qos === 1 ? 'QoS 1 PUBLISH received' : 'QoS 2 PUBLISH received');
      return;
    }
    const mayRefuse = packet.topic.startsWith('$queue/') && qos > 0 && fresh;
    const at = mayRefuse ? dice.below(100) : 100;
    const { rejectShare, requeueShare } = actor.plan;
    const refuses = at < rejectShare + requeueShare && !actor.healing;
    if (fresh && !refuses && sent !== null) oracle.deliveries.received(conn, sent, deliveryOf(packet, bytes));
    if (qos === 0) return;
    const requeues = refuses && at >= rejectShare;
    const reason = refuses ? ReasonCode.UNSPECIFIED_ERROR : 0;
    const props = requeues
      ? properties({
          userProperties: dice.chance(0.5) ? ['x-requeue', 'true'] : ['x-retry-after', String(1 + dice.below(500))],
        })
      : EMPTY_PROPERTIES;
    const outcome = refuses ? (requeues ? 'requeued' : 'rejected') : 'accepted';
    if (qos === 1)
      this.ack(() => this.put(puback(id, reason, props), () => this.watch.pubackFed(id, outcome)), 'PUBACK sent');
    else {
      // [MQTT-4.3.3-9]
      if (refuses) actor.received.delete(id);
      this.ack(() => this.put(pubrec(id, reason, props), () => this.watch.pubrecFed(id, outcome)), 'PUBREC sent');
    }
  }

  private ack(send: () => void, step: string): void {
    const { actor } = this;
    const { plan, around } = actor;
    const { schedule } = around.network;
    let atMs = schedule.nowMs + (plan.ackDelayMs === 0 || actor.healing ? 0 : around.dice.below(plan.ackDelayMs));
    // [MQTT-4.6.0-2], unless it is one of those that do not care.
    if (!plan.shufflesAcks) atMs = this.lastAckMs = Math.max(atMs, this.lastAckMs);
    this.acksPending++;
    schedule.at(atMs, () => {
      this.acksPending--;
      if (actor.link !== this) return;
      send();
      if (actor.dropsAt()) actor.drop(this, step);
    });
  }
}
