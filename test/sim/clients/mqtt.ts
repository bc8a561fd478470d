// A scripted MQTT client: a session with all a client has to remember, and one connection after the other, each of which may end at any point. It obeys the specification to the
// letter (except where its plan says garbage), so that whatever goes wrong is the broker's doing. It tells the oracle what the broker was given and what it wrote.
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
  publish,
  pubrec,
  pubrel,
  subscribe,
  subscription,
  unsubscribe,
  will,
} from '../../../protocols/mqtt/packet.ts';
import { PACKET_NAMES, PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES } from '../../../protocols/mqtt/properties.ts';
import { FAILURE_MIN, ReasonCode } from '../../../protocols/mqtt/reason-codes.ts';
import type { Dice } from '../dice.ts';
import { Conn } from '../model/conn.ts';
import { EARLY_MS, type Identity, type Oracle, type WillModel } from '../model/oracle.ts';
import { type Sent, WILL_PUBLISHERS_FROM } from '../model/sent.ts';
import { type Network, type Part, Wire, type WireOwner } from '../network.ts';
import type { Actor } from './actor.ts';
import { type MqttFrame, MqttFrames } from './mqtt-frames.ts';
import { type FaultShares, type FilterPlan, type MqttPlan, NEVER_S, NO_FAULTS, willTopic } from './mqtt-plan.ts';

const UNACKNOWLEDGED_MAX = 15;

export class MqttCounts {
  connects = 0;
  sent = 0;
  /** Connections dropped at a step of a handshake, by the packet that was not answered, or was just sent. */
  readonly droppedAt = new Map<string, number>();
  disconnects = 0;
  garbage = 0;
  halfOpen = 0;
  takeovers = 0;
  refusals = 0;
  aliasesSeen = 0;
}

export interface Surroundings {
  readonly network: Network;
  readonly oracle: Oracle;
  readonly dice: Dice;
  readonly counts: MqttCounts;
  /** Situations to keep away from, because what the broker makes of them is known and hides the rest. */
  readonly avoid: ReadonlySet<string>;
  readonly adapterOf: (network: Network) => { accept(transport: Wire<MqttFrame>, subprotocol: string): void };
}

interface Outgoing {
  readonly id: number;
  readonly sent: Sent;
  released: boolean;
}

export class MqttActor implements Actor {
  readonly name: string;
  readonly plan: MqttPlan;
  readonly identity: Identity;
  readonly around: Surroundings;
  readonly unacknowledged: Outgoing[] = [];
  readonly received = new Set<number>();
  /** Filters with a SUBSCRIBE or UNSUBSCRIBE under way, and those that are subscribed to. */
  readonly asking = new Set<string>();
  readonly subscribed = new Set<string>();
  link: MqttLink | null = null;
  /** There was no clean start since it last had a session that goes on. */
  keepsState = false;
  /** When the session ends, and whether it may have ended without the client having been told. */
  private endsAtMs = Number.POSITIVE_INFINITY;
  private unsure = false;
  faults: FaultShares;
  finished = false;
  private stepsLeft: number;
  private nextId = 1;
  healing = false;
  private finishing = false;
  private connections = 0;

  constructor(around: Surroundings, plan: MqttPlan) {
    this.around = around;
    this.plan = plan;
    this.name = plan.clientId;
    this.identity = around.oracle.addIdentity(plan.clientId);
    this.faults = plan.faults;
    this.stepsLeft = plan.steps;
  }

  get v5(): boolean {
    return this.plan.version === ProtocolVersion.V5;
  }

  // ---- Actor

  start(): void {
    this.later(this.around.dice.below(100), () => this.connect(true));
    this.scheduleStep();
  }

  heal(): void {
    this.healing = true;
    this.faults = NO_FAULTS;
    this.link?.wire.readOn();
    if (this.link === null) this.later(1, () => this.connect(false));
  }

  get quiet(): boolean {
    const { link } = this;
    return (
      link?.connected === true && this.unacknowledged.length === 0 && this.asking.size === 0 && link.acksPending === 0
    );
  }

  leftovers(): readonly (readonly [string, string])[] {
    const found: [string, string][] = [];
    const { link } = this;
    if (link === null || !link.connected) return [['liveness', `${this.name} is not connected`]];
    const { conn } = link;
    if (this.unacknowledged.length > 0)
      found.push([
        'unanswered',
        `${this.name} waits for answers to ${this.unacknowledged.map(({ sent }) => sent).join(', ')}`,
      ]);
    if (this.asking.size > 0)
      found.push(['unanswered', `${this.name} waits for answers about ${[...this.asking].join(', ')}`]);
    if (conn.pubacks.length + conn.pubrecs.length + conn.pubcomps.length + conn.pings > 0)
      found.push(['unanswered', `${conn.name} was not answered`]);
    if (link.wire.paused)
      found.push(['still-paused', `the broker does not read from ${conn.name}, and nobody is slow any more`]);
    if (this.received.size > 0)
      found.push(['qos2-id-stuck', `${this.name} waits for PUBREL of ${[...this.received].join(', ')}`]);
    return found;
  }

  /** A clean session of its own makes an end of the one before. */
  finish(): void {
    this.finishing = true;
    this.link?.leave();
    this.later(1, () => this.connect(true));
  }

  // ---- steps

  private later(delayMs: number, task: () => void): void {
    this.around.network.schedule.after(delayMs, task);
  }

  private scheduleStep(): void {
    if (this.stepsLeft-- <= 0 || this.healing) return;
    this.later(1 + this.around.dice.below(this.plan.gapMs * 2), () => {
      if (!this.healing) this.act();
      this.scheduleStep();
    });
  }

  private act(): void {
    const { dice } = this.around;
    const { link, faults, plan } = this;
    if (link === null) {
      if (dice.chance(0.5)) this.connect(dice.below(100) < plan.cleanShare);
      return;
    }
    if (!link.connected) {
      if (dice.chance(0.02)) this.drop(link, 'CONNECT');
      return;
    }
    let at = dice.below(100);
    const falls = (share: number): boolean => {
      at -= share;
      return at < 0;
    };
    if (falls(faults.reset)) this.lose(link, 'reset');
    else if (falls(faults.vanish)) this.lose(link, 'vanish');
    else if (falls(faults.close)) this.lose(link, 'close');
    else if (falls(faults.disconnect)) link.disconnect();
    else if (falls(faults.takeover)) {
      this.around.counts.takeovers++;
      this.abandon(link);
      this.connect(dice.below(100) < plan.cleanShare);
    } else if (falls(faults.garbage)) link.garbage();
    else if (falls(faults.stall)) {
      link.wire.stall();
      this.later(50 + dice.below(1500), () => link.wire.readOn());
    } else if (falls(12)) this.changeSubscriptions(link);
    else if (falls(4)) link.ping();
    else this.publishSome(link);
  }

  private changeSubscriptions(link: MqttLink): void {
    const { dice } = this.around;
    const free = this.plan.filters.filter(({ filter }) => !this.asking.has(filter));
    if (free.length === 0) return;
    const one = dice.pick(free);
    if (this.subscribed.has(one.filter) && dice.chance(0.5)) link.unsubscribe([one.filter]);
    else link.subscribe(dice.chance(0.3) ? free.slice(0, 3) : [one]);
  }

  private publishSome(link: MqttLink): void {
    const { dice, oracle, counts } = this.around;
    const { plan } = this;
    const packets: { packet: Publish; sent: Sent; id: number }[] = [];
    for (let i = dice.below(plan.burst); i >= 0; i--) {
      const qos = weighted(dice, plan.qosWeights);
      if (qos > 0 && this.unacknowledged.length >= Math.min(UNACKNOWLEDGED_MAX, link.sendMaximum)) break;
      const topic = dice.pick(plan.topics);
      const retain = topic.startsWith('r/') && dice.below(100) < plan.retainShare;
      const clears = retain && dice.chance(0.2);
      const large = dice.below(100) < plan.largeShare;
      const withProperties = dice.below(100) < plan.propertyShare;
      const sent = oracle.ledger.send(this.identity.index, {
        topic,
        qos,
        retain,
        size: clears ? 0 : large ? dice.pick([500, 5000, 17_000, 70_000]) : 14 + dice.below(40),
        properties: withProperties
          ? { contentType: dice.chance(0.5) ? 'text/x' : null, userProperties: ['n', String(dice.below(10)), 'n', 'ü'] }
          : null,
        expiryMs: !retain && dice.below(100) < plan.expiryShare ? dice.pick([1000, 2000, 60_000]) : 0,
      });
      counts.sent++;
      const id = qos === 0 ? 0 : this.takeId();
      if (qos > 0) this.unacknowledged.push({ id, sent, released: false });
      packets.push({ packet: packetOf(sent, id, this.v5), sent, id });
    }
    link.publish(packets);
  }

  private takeId(): number {
    do this.nextId = this.nextId >= 65_535 ? 1 : this.nextId + 1;
    while (this.unacknowledged.some(({ id }) => id === this.nextId));
    return this.nextId;
  }

  freshId(): number {
    return this.takeId();
  }

  // ---- connections

  connect(clean: boolean): void {
    if (this.link !== null || this.finished) return;
    const { plan, around } = this;
    around.counts.connects++;
    this.asking.clear();
    const ends = plan.expiryS === 0;
    const { nowMs } = around.network.schedule;
    // Its session may be over, and the last answer, which would have told, never came: what it still remembers might be taken for that of another session.
    const lostTrack = this.unsure;
    if (nowMs > this.endsAtMs - EARLY_MS) this.unsure = true;
    const isClean =
      lostTrack || (around.avoid.has('takeover') ? ends || (clean && this.v5) : clean || (ends && !this.v5));
    this.link = new MqttLink(this, ++this.connections, isClean || this.finishing, this.finishing);
  }

  /** The connection is no longer this client's concern. */
  abandon(link: MqttLink, expiryS = this.plan.expiryS): void {
    if (this.link !== link) return;
    this.link = null;
    // [MQTT-3.1.2-6] of 3.1.1; MQTT 5.0 section 3.1.2.11.2: what the session knew ends with the connection.
    if (this.v5 ? expiryS === 0 : link.clean) this.forget();
    // Whether the broker has heard of that is another matter.
    if (expiryS === 0 && this.plan.expiryS !== 0) this.unsure = true;
    this.sessionWaits(expiryS);
  }

  /** As far as the client can tell, its session lives until then. */
  private sessionWaits(expiryS: number): void {
    this.endsAtMs =
      expiryS === NEVER_S ? Number.POSITIVE_INFINITY : this.around.network.schedule.nowMs + expiryS * 1000;
  }

  onConnected(): void {
    this.unsure = false;
    this.endsAtMs = Number.POSITIVE_INFINITY;
  }

  lose(link: MqttLink, how: 'reset' | 'vanish' | 'close', expiryS = this.plan.expiryS): void {
    this.abandon(link, expiryS);
    if (how === 'reset') link.wire.reset();
    else if (how === 'close') link.wire.close();
    else link.vanish();
    const { dice } = this.around;
    const silenceMs = this.plan.keepAliveS * 1500;
    // Time enough for the broker to notice the silence, or not.
    if (how === 'vanish' && silenceMs > 0 && dice.chance(0.5)) this.later(silenceMs + 1500, () => this.comeBack());
    else this.comeBack();
  }

  /** Drops the connection at a step of a handshake. */
  drop(link: MqttLink, step: string): void {
    const { droppedAt } = this.around.counts;
    droppedAt.set(step, (droppedAt.get(step) ?? 0) + 1);
    this.lose(link, this.around.dice.chance(0.8) ? 'reset' : 'vanish');
  }

  dropsAt(): boolean {
    return this.faults.atStep > 0 && this.around.dice.below(100) < this.faults.atStep;
  }

  comeBack(): void {
    if (this.healing || this.finishing) {
      if (!this.finished) this.later(5, () => this.connect(this.finishing));
      return;
    }
    const { dice } = this.around;
    if (dice.chance(0.7))
      this.later(dice.below(this.plan.awayMs), () => this.connect(dice.below(100) < this.plan.cleanShare));
  }

  /** The session the client remembered is not there: what was in flight is nobody's business any more. */
  forget(): void {
    this.unacknowledged.length = 0;
    this.received.clear();
    this.subscribed.clear();
  }

  onHungUp(link: MqttLink): void {
    if (this.link !== link) return;
    this.abandon(link);
    this.comeBack();
  }

  done(): void {
    this.finished = true;
  }
}

/** One connection of a client. */
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
  private lastAckMs = 0;
  private aliasMaximum = 0;
  private readonly aliases = new Map<string, number>();
  private readonly brokerAliases = new Map<number, string>();
  private readonly subacks = new Map<number, readonly FilterPlan[]>();
  private readonly unsubacks = new Map<number, readonly string[]>();
  /** The broker has a reason to end this connection. */
  private endExpected = false;
  /** The broker was given garbage: what comes after it is not looked at. */
  private spoiled = false;
  private brokerSaid = '';

  constructor(actor: MqttActor, number: number, clean: boolean, last: boolean) {
    this.actor = actor;
    this.clean = clean;
    this.last = last;
    const { network, oracle, adapterOf } = actor.around;
    this.oracle = oracle;
    const { plan } = actor;
    this.conn = new Conn(actor.identity.index, `${plan.clientId}/${number}`);
    this.conn.takesIdentifiers = actor.v5;
    this.wire = new Wire(network, this, new MqttFrames(plan.version));
    adapterOf(network).accept(this.wire, '');
    this.sendConnect();
  }

  /** MQTT 3.1 does not tell its clients whether it found a session. */
  private get saysPresent(): boolean {
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
      this.oracle.note(`${this.conn.name} ─▶ ${this.describe(packet)}${this.conn.open ? '' : ' (after the end)'}`);
    if (this.conn.open && !this.spoiled) onFed();
  }

  private describe(packet: Packet): string {
    const name = PACKET_NAMES[packet.type];
    const id = 'packetId' in packet && packet.packetId !== 0 ? ` ${packet.packetId}` : '';
    switch (packet.type) {
      case PacketType.PUBLISH: {
        const flags = `QoS ${packet.qos}${packet.dup ? ' DUP' : ''}${packet.retain ? ' RETAIN' : ''}`;
        return `${name}${id} ${this.oracle.ledger.find(packet.payload as Buffer) ?? packet.topic} ${flags} identifiers ${packet.properties.subscriptionIdentifiers ?? '-'}`;
      }
      case PacketType.CONNECT:
        return `${name} ${packet.protocolVersion} clean ${packet.clean} keep-alive ${packet.keepAliveS} expiry ${packet.properties.sessionExpiryIntervalS} receive maximum ${packet.properties.receiveMaximum} will ${packet.will === null ? '-' : `QoS ${packet.will.qos} delay ${packet.will.properties.willDelayIntervalS}`}`;
      case PacketType.SUBSCRIBE:
        return `${name}${id} ${packet.subscriptions.map(({ filter, qos, noLocal, retainHandling }) => `${filter}(${qos}${noLocal ? ' no local' : ''} rh ${retainHandling})`).join(' ')}`;
      case PacketType.UNSUBSCRIBE:
        return `${name}${id} ${packet.filters.join(' ')}`;
      case PacketType.CONNACK:
        return `${name} present ${packet.sessionPresent}`;
      default:
        return `${name}${id}${'reasonCode' in packet && packet.reasonCode !== 0 ? ` reason ${packet.reasonCode}` : ''}`;
    }
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
        this.wire.paused ? 'closed-while-paused' : 'closed-without-cause',
        `the broker has ended ${conn.name} (${this.brokerSaid || 'without a word'})`,
      );
  }

  onHungUp(): void {
    this.actor.onHungUp(this);
  }

  onEmitted({ packet, bytes }: MqttFrame): void {
    const { conn, oracle } = this;
    if (packet.type === PacketType.PUBLISH) this.resolveAlias(packet);
    if (oracle.trace !== null) oracle.note(`${conn.name} ◀─ ${this.describe(packet)} (${bytes} bytes)`);
    switch (packet.type) {
      case PacketType.CONNACK:
        if (packet.reasonCode !== 0) {
          oracle.fail('answer', `${conn.name}: CONNACK with reason ${packet.reasonCode}`);
          this.endExpected = true;
          return;
        }
        oracle.connackEmitted(conn, this.saysPresent ? packet.sessionPresent : null);
        return;
      case PacketType.PUBLISH:
        oracle.emitted(conn, deliveryOf(packet, bytes));
        this.checkProperties(packet);
        return;
      case PacketType.PUBACK:
        this.answered(conn.pubacks, packet.type, packet.packetId, packet.reasonCode);
        return;
      case PacketType.PUBREC:
        this.answered(conn.pubrecs, packet.type, packet.packetId, packet.reasonCode);
        return;
      case PacketType.PUBCOMP:
        if (conn.pubcomps.shift() !== packet.packetId)
          oracle.fail('answer', `${conn.name}: PUBCOMP ${packet.packetId} out of turn`);
        return;
      case PacketType.PUBREL: {
        const outstanding = conn.session?.outstanding.get(packet.packetId);
        if (outstanding !== undefined && !outstanding.released)
          oracle.fail('answer', `${conn.name}: PUBREL ${packet.packetId} before PUBREC`);
        return;
      }
      case PacketType.SUBACK:
        this.subscribed(packet.packetId, packet.reasonCodes);
        return;
      case PacketType.UNSUBACK:
        for (const filter of this.unsubacks.get(packet.packetId) ?? []) oracle.unsubackEmitted(conn, filter);
        return;
      case PacketType.PINGRESP:
        if (conn.pings === 0) oracle.fail('answer', `${conn.name}: a PINGRESP too many`);
        else conn.pings--;
        return;
      case PacketType.DISCONNECT:
        this.brokerSaid = `reason ${packet.reasonCode} ${packet.properties.reasonString ?? ''}`;
        return;
      default:
        oracle.fail('answer', `${conn.name}: the broker wrote ${PACKET_NAMES[packet.type]}`);
    }
  }

  /** What the broker writes may stand for a topic it wrote before. */
  private resolveAlias(packet: Publish): void {
    const alias = packet.properties.topicAlias;
    if (alias === null) return;
    const { conn, oracle, actor } = this;
    actor.around.counts.aliasesSeen++;
    if (alias > actor.plan.aliasMaximum)
      oracle.fail('alias', `${conn.name}: topic alias ${alias}; the client takes ${actor.plan.aliasMaximum}`);
    if (packet.topic !== '') this.brokerAliases.set(alias, packet.topic);
    else packet.topic = this.brokerAliases.get(alias) ?? '';
    if (packet.topic === '') oracle.fail('alias', `${conn.name}: topic alias ${alias} stands for nothing`);
  }

  private checkProperties(packet: Publish): void {
    if (!this.actor.v5 || packet.payload.length === 0) return;
    const sent = this.oracle.ledger.find(packet.payload as Buffer);
    if (sent === null || sent === 'damaged') return;
    const came = packet.properties;
    const pairs = came.userProperties ?? [];
    const own = pairs.includes('x-delivery-count') ? pairs.slice(0, pairs.indexOf('x-delivery-count')) : pairs;
    if (
      own.join('\n') !== (sent.properties?.userProperties ?? []).join('\n') ||
      came.contentType !== (sent.properties?.contentType ?? null)
    ) {
      this.oracle.fail(
        'properties',
        `${this.conn.name}: ${sent} came with other properties (${own.join()}, ${came.contentType})`,
      );
    }
  }

  private answered(
    waiting: { readonly id: number; readonly sent: Sent }[],
    type: number,
    id: number,
    reason: number,
  ): void {
    const { conn, oracle, actor } = this;
    const first = waiting.shift();
    if (first?.id !== id) {
      oracle.fail('answer', `${conn.name}: ${PACKET_NAMES[type]} ${id} came where ${first?.id ?? 'nothing'} was due`);
      return;
    }
    if (reason >= FAILURE_MIN) {
      actor.around.counts.refusals++;
      first.sent.refused = true;
      oracle.fail('refused', `${conn.name}: ${first.sent} was refused with reason ${reason}`);
      return;
    }
    oracle.acked(conn, first.sent, actor.v5 ? reason !== ReasonCode.NO_MATCHING_SUBSCRIBERS : null);
  }

  private subscribed(id: number, codes: readonly number[]): void {
    const { conn, oracle } = this;
    const asked = this.subacks.get(id);
    if (asked === undefined || asked.length !== codes.length) {
      oracle.fail('answer', `${conn.name}: SUBACK ${id} with ${codes.length} codes does not fit`);
      return;
    }
    for (const [i, { filter }] of asked.entries()) oracle.subackEmitted(conn, filter, codes[i]!);
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
        this.ack(() => this.put(pubcomp(packet.packetId), () => this.pubcompFed(packet.packetId)), 'PUBCOMP sent');
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
      if (fresh && sent !== null) oracle.received(conn, sent, deliveryOf(packet, bytes));
      actor.drop(this, qos === 1 ? 'QoS 1 PUBLISH received' : 'QoS 2 PUBLISH received');
      return;
    }
    const mayRefuse = packet.topic.startsWith('$queue/') && qos > 0 && fresh;
    const at = mayRefuse ? dice.below(100) : 100;
    const { rejectShare, requeueShare } = actor.plan;
    const refuses = at < rejectShare + requeueShare && !actor.healing;
    if (fresh && !refuses && sent !== null) oracle.received(conn, sent, deliveryOf(packet, bytes));
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
      this.ack(() => this.put(puback(id, reason, props), () => this.pubackFed(id, outcome)), 'PUBACK sent');
    else {
      // [MQTT-4.3.3-9]
      if (refuses) actor.received.delete(id);
      this.ack(() => this.put(pubrec(id, reason, props), () => this.pubrecFed(id, outcome)), 'PUBREC sent');
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

  // ---- the broker is given an acknowledgement

  private pubackFed(id: number, outcome: 'accepted' | 'rejected' | 'requeued'): void {
    const { conn, oracle } = this;
    conn.unacknowledged.delete(id);
    const outstanding = conn.session?.outstanding.get(id);
    if (outstanding === undefined || outstanding.conn !== conn || outstanding.qos !== 1) return;
    conn.session!.outstanding.delete(id);
    oracle.settled(outstanding, outcome);
  }

  private pubrecFed(id: number, outcome: 'accepted' | 'rejected' | 'requeued'): void {
    const { conn, oracle } = this;
    if (outcome !== 'accepted') conn.unacknowledged.delete(id);
    const outstanding = conn.session?.outstanding.get(id);
    if (outstanding === undefined || outstanding.conn !== conn || outstanding.qos !== 2 || outstanding.released) return;
    if (outcome === 'accepted') outstanding.released = true;
    else conn.session!.outstanding.delete(id);
    oracle.settled(outstanding, outcome);
  }

  private pubcompFed(id: number): void {
    const { conn } = this;
    conn.unacknowledged.delete(id);
    if (conn.session?.outstanding.get(id)?.released === true) conn.session.outstanding.delete(id);
  }
}

function deliveryOf(packet: Publish, frameBytes: number) {
  return {
    topic: packet.topic,
    payload: packet.payload as Buffer,
    qos: packet.qos,
    retain: packet.retain,
    dup: packet.dup,
    id: packet.packetId,
    identifiers: packet.properties.subscriptionIdentifiers,
    frameBytes,
  };
}

function packetOf(sent: Sent, id: number, v5: boolean): Publish {
  const { topic, qos, retain, payload, expiryMs } = sent;
  const bare = !v5 || (sent.properties === null && expiryMs === 0);
  return publish(topic, {
    payload,
    qos,
    retain,
    packetId: id,
    properties: bare
      ? EMPTY_PROPERTIES
      : properties({
          messageExpiryIntervalS: expiryMs === 0 ? null : expiryMs / 1000,
          contentType: sent.properties?.contentType ?? null,
          userProperties: sent.properties?.userProperties ?? null,
        }),
  });
}

function weighted(dice: Dice, weights: readonly [number, number, number]): 0 | 1 | 2 {
  let at = dice.below(weights[0] + weights[1] + weights[2]);
  for (let i = 0; i < 3; i++) {
    at -= weights[i]!;
    if (at < 0) return i as 0 | 1 | 2;
  }
  return 2;
}

/** Each of them ends the connection. */
const GARBAGE: readonly Buffer[] = [
  // CONNECT once more, a type that is reserved, QoS 3, a length of five bytes, a SUBSCRIBE without filters, a topic with a wildcard.
  Buffer.from([0x10, 0x00]),
  Buffer.from([0x00, 0x00]),
  Buffer.from([0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01]),
  Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]),
  Buffer.from([0x82, 0x02, 0x00, 0x01]),
  Buffer.from([0x30, 0x04, 0x00, 0x01, 0x23, 0x00]),
];
