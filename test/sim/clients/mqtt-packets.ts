// Packets as the scripted clients make and read them.
import { type Packet, type Publish, properties, publish } from '../../../protocols/mqtt/packet.ts';
import { PACKET_NAMES, PacketType } from '../../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES } from '../../../protocols/mqtt/properties.ts';
import type { Delivery } from '../model/deliveries.ts';
import type { Ledger, Sent } from '../model/sent.ts';

export function deliveryOf(packet: Publish, frameBytes: number): Delivery {
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

export function packetOf(sent: Sent, id: number, v5: boolean): Publish {
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

/** Each of them ends the connection. */
export const GARBAGE: readonly Buffer[] = [
  // CONNECT once more, a type that is reserved, QoS 3, a length of five bytes, a SUBSCRIBE without filters, a topic with a wildcard.
  Buffer.from([0x10, 0x00]),
  Buffer.from([0x00, 0x00]),
  Buffer.from([0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01]),
  Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]),
  Buffer.from([0x82, 0x02, 0x00, 0x01]),
  Buffer.from([0x30, 0x04, 0x00, 0x01, 0x23, 0x00]),
];

/** For people. */
export function describe(packet: Packet, ledger: Ledger): string {
  const name = PACKET_NAMES[packet.type];
  const id = 'packetId' in packet && packet.packetId !== 0 ? ` ${packet.packetId}` : '';
  switch (packet.type) {
    case PacketType.PUBLISH: {
      const flags = `QoS ${packet.qos}${packet.dup ? ' DUP' : ''}${packet.retain ? ' RETAIN' : ''}`;
      return `${name}${id} ${ledger.find(packet.payload as Buffer) ?? packet.topic} ${flags} identifiers ${packet.properties.subscriptionIdentifiers ?? '-'}`;
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
