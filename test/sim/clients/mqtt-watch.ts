// What the oracle is told about one MQTT connection: every packet the broker writes, with the answers checked against the questions, and the acknowledgements the broker is given.
import type { Publish } from '../../../protocols/mqtt/packet.ts';
import { PACKET_NAMES, PacketType } from '../../../protocols/mqtt/packet-type.ts';
import { FAILURE_MIN, ReasonCode } from '../../../protocols/mqtt/reason-codes.ts';
import type { Conn } from '../model/conn.ts';
import type { Outcome } from '../model/deliveries.ts';
import type { Oracle } from '../model/oracle.ts';
import type { Sent } from '../model/sent.ts';
import type { MqttFrame } from './mqtt-frames.ts';
import type { MqttLink } from './mqtt-link.ts';
import { deliveryOf, describe } from './mqtt-packets.ts';

export class MqttWatch {
  private readonly link: MqttLink;
  private readonly conn: Conn;
  private readonly oracle: Oracle;
  private readonly brokerAliases = new Map<number, string>();

  constructor(link: MqttLink, oracle: Oracle) {
    this.link = link;
    this.conn = link.conn;
    this.oracle = oracle;
  }

  onEmitted({ packet, bytes }: MqttFrame): void {
    const { conn, oracle, link } = this;
    if (packet.type === PacketType.PUBLISH) this.resolveAlias(packet);
    if (oracle.trace !== null) oracle.note(`${conn.name} ◀─ ${describe(packet, oracle.ledger)} (${bytes} bytes)`);
    switch (packet.type) {
      case PacketType.CONNACK:
        if (packet.reasonCode !== 0) {
          oracle.fail('answer', `${conn.name}: CONNACK with reason ${packet.reasonCode}`);
          link.endExpected = true;
          return;
        }
        oracle.connackEmitted(conn, link.saysPresent ? packet.sessionPresent : null);
        return;
      case PacketType.PUBLISH:
        oracle.deliveries.emitted(conn, deliveryOf(packet, bytes));
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
        // Of a message that ended with the process only the client knows: it is asked to forget the identifier.
        if (outstanding?.endedWithProcess === true) outstanding.released = true;
        if (outstanding !== undefined && !outstanding.released)
          oracle.fail('answer', `${conn.name}: PUBREL ${packet.packetId} before PUBREC`);
        return;
      }
      case PacketType.SUBACK:
        this.subscribed(packet.packetId, packet.reasonCodes);
        return;
      case PacketType.UNSUBACK:
        for (const filter of link.unsubacks.get(packet.packetId) ?? []) oracle.unsubackEmitted(conn, filter);
        return;
      case PacketType.PINGRESP:
        if (conn.pings === 0) oracle.fail('answer', `${conn.name}: a PINGRESP too many`);
        else conn.pings--;
        return;
      case PacketType.DISCONNECT:
        link.brokerSaid = `reason ${packet.reasonCode} ${packet.properties.reasonString ?? ''}`;
        return;
      default:
        oracle.fail('answer', `${conn.name}: the broker wrote ${PACKET_NAMES[packet.type]}`);
    }
  }

  /** What the broker writes may stand for a topic it wrote before. */
  private resolveAlias(packet: Publish): void {
    const alias = packet.properties.topicAlias;
    if (alias === null) return;
    const { conn, oracle } = this;
    const { actor } = this.link;
    actor.around.counts.aliasesSeen++;
    if (alias > actor.plan.aliasMaximum)
      oracle.fail('alias', `${conn.name}: topic alias ${alias}; the client takes ${actor.plan.aliasMaximum}`);
    if (packet.topic !== '') this.brokerAliases.set(alias, packet.topic);
    else packet.topic = this.brokerAliases.get(alias) ?? '';
    if (packet.topic === '') oracle.fail('alias', `${conn.name}: topic alias ${alias} stands for nothing`);
  }

  private checkProperties(packet: Publish): void {
    if (!this.link.actor.v5 || packet.payload.length === 0) return;
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
    const { conn, oracle } = this;
    const { actor } = this.link;
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
    const asked = this.link.subacks.get(id);
    if (asked === undefined || asked.length !== codes.length) {
      oracle.fail('answer', `${conn.name}: SUBACK ${id} with ${codes.length} codes does not fit`);
      return;
    }
    for (const [i, { filter }] of asked.entries()) oracle.subackEmitted(conn, filter, codes[i]!);
  }

  // ---- the broker is given an acknowledgement

  pubackFed(id: number, outcome: Outcome): void {
    const { conn, oracle } = this;
    conn.unacknowledged.delete(id);
    const outstanding = conn.session?.outstanding.get(id);
    if (outstanding === undefined || outstanding.conn !== conn || outstanding.qos !== 1) return;
    conn.session!.outstanding.delete(id);
    oracle.deliveries.settled(outstanding, outcome);
  }

  pubrecFed(id: number, outcome: Outcome): void {
    const { conn, oracle } = this;
    if (outcome !== 'accepted') conn.unacknowledged.delete(id);
    const outstanding = conn.session?.outstanding.get(id);
    if (outstanding === undefined || outstanding.conn !== conn || outstanding.qos !== 2 || outstanding.released) return;
    if (outcome === 'accepted') {
      outstanding.released = true;
      outstanding.releasedStep = ++oracle.step;
    } else conn.session!.outstanding.delete(id);
    oracle.deliveries.settled(outstanding, outcome);
  }

  pubcompFed(id: number): void {
    const { conn } = this;
    conn.unacknowledged.delete(id);
    if (conn.session?.outstanding.get(id)?.released === true) conn.session.outstanding.delete(id);
  }
}
