// One packet object to the bytes of its frame, for MQTT 3.1, 3.1.1 and 5, in both directions. The size is computed first, then the bytes are written
// straight to where they belong: packetLength, room for that many, encodePacket. What a version cannot say is left out or translated (properties,
// reason codes). Values the wire cannot carry are a RangeError of packetLength, before anything is written: they are our own mistakes, never the peer's.

import { binaryBytes, writeBinary } from './binary.ts';
import { PACKET_BYTES_MAX, REMAINING_LENGTH_MAX, variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';
import type { Connect, Packet, Publish } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { EMPTY_PROPERTIES, Properties, propertiesBytes, writeProperties } from './properties.ts';
import { WILL } from './property-table.ts';
import { connackReturnCode, subackReturnCode } from './reason-codes.ts';
import { asBuffer, textBytes, writeText } from './text.ts';

/** Bytes of the whole frame. */
export function packetLength(packet: Packet, version: ProtocolVersion): number {
  const body = bodyBytes(packet, version);
  return 1 + variableByteIntegerBytes(body) + body;
}

/** Writes the frame at into[at]; returns the position after it. There must be room for packetLength(packet, version) bytes. */
export function encodePacket(packet: Packet, version: ProtocolVersion, into: Uint8Array, at: number): number {
  const body = bodyBytes(packet, version);
  const end = at + 1 + variableByteIntegerBytes(body) + body;
  if (end > into.length) throw new RangeError(`A packet of ${end - at} bytes does not fit into ${into.length - at}`);
  const buffer = asBuffer(into);
  buffer[at] = firstByte(packet);
  const written = writeBody(packet, version, buffer, writeVariableByteInteger(buffer, at + 1, body));
  if (written !== end) throw new Error(`A packet of ${end - at} bytes was written as ${written - at}`);
  return end;
}

/** The frame in memory of its own. */
export function encode(packet: Packet, version: ProtocolVersion): Uint8Array {
  const bytes = new Uint8Array(packetLength(packet, version));
  encodePacket(packet, version, bytes, 0);
  return bytes;
}

/** Packets whose Reason String and User Properties are only an explanation. */
type Explained = Exclude<Packet, { type: typeof PacketType.PINGREQ | typeof PacketType.PINGRESP }>;

/**
 * The packet as it may be sent to a peer with this Maximum Packet Size (null: none announced): itself when it fits, else without its User Properties,
 * its Reason String, or both, whatever keeps most of it. Null when even that is too large and nothing may be sent [MQTT-3.1.2-24]. A PUBLISH is never
 * trimmed, its User Properties belong to the publisher [MQTT-3.3.2-17]; nor is what a client sends to open or subscribe.
 */
export function trimToMaximum<P extends Packet>(
  packet: P,
  version: ProtocolVersion,
  maximumPacketSize: number | null,
): P | null {
  const maximum = maximumPacketSize ?? PACKET_BYTES_MAX;
  if (packetLength(packet, version) <= maximum) return packet;
  if (version !== ProtocolVersion.V5 || !isTrimmable(packet)) return null;
  // [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2],
  // [MQTT-3.7.2-3], [MQTT-3.9.2-1], [MQTT-3.9.2-2], [MQTT-3.11.2-1], [MQTT-3.11.2-2], [MQTT-3.14.2-3], [MQTT-3.14.2-4], [MQTT-3.15.2-2], [MQTT-3.15.2-3]
  for (const [reasonString, userProperties] of [
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    const trimmed = keeping(packet, reasonString, userProperties);
    if (packetLength(trimmed, version) <= maximum) return trimmed;
  }
  return null;
}

/**
 * The packet as it may be sent to a client that set Request Problem Information to 0: without Reason String and User Properties, unless it is one of
 * the three that may have them all the same [MQTT-3.1.2-29].
 */
export function withoutProblemInformation<P extends Packet>(packet: P): P {
  if (packet.type === PacketType.CONNACK || packet.type === PacketType.DISCONNECT || !isTrimmable(packet))
    return packet;
  const { reasonString, userProperties } = packet.properties;
  return reasonString === null && userProperties === null ? packet : keeping(packet, false, false);
}

function isTrimmable(packet: Packet): packet is Explained {
  switch (packet.type) {
    case PacketType.CONNACK:
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP:
    case PacketType.SUBACK:
    case PacketType.UNSUBACK:
    case PacketType.DISCONNECT:
    case PacketType.AUTH:
      return true;
    default:
      return false;
  }
}

function keeping<P extends Explained>(packet: P, reasonString: boolean, userProperties: boolean): P {
  const kept: Properties = Object.assign(new Properties(), packet.properties);
  if (!reasonString) kept.reasonString = null;
  if (!userProperties) kept.userProperties = null;
  return { ...packet, properties: kept };
}

function firstByte(packet: Packet): number {
  switch (packet.type) {
    case PacketType.PUBLISH:
      return (packet.type << 4) | (packet.dup ? 0x08 : 0) | (packet.qos << 1) | (packet.retain ? 1 : 0);
    // [MQTT-3.6.1-1], [3.1.1 MQTT-3.6.1-1], [MQTT-3.8.1-1], [3.1.1 MQTT-3.8.1-1], [MQTT-3.10.1-1], [3.1.1 MQTT-3.10.1-1]
    case PacketType.PUBREL:
    case PacketType.SUBSCRIBE:
    case PacketType.UNSUBSCRIBE:
      return (packet.type << 4) | 0x02;
    default:
      return packet.type << 4;
  }
}

function bodyBytes(packet: Packet, version: ProtocolVersion): number {
  const size = measure(packet, version);
  if (size > REMAINING_LENGTH_MAX)
    throw new RangeError(`A body of ${size} bytes exceeds the ${REMAINING_LENGTH_MAX} bytes MQTT allows`);
  return size;
}

function measure(packet: Packet, version: ProtocolVersion): number {
  const v5 = version === ProtocolVersion.V5;
  switch (packet.type) {
    case PacketType.CONNECT:
      return connectBytes(packet);
    case PacketType.CONNACK:
      if (v5) return 2 + prefixed(propertiesBytes(packet.properties, PacketType.CONNACK));
      if (connackReturnCode(packet.reasonCode) < 0)
        throw new RangeError(`MQTT 3 has no return code for reason ${packet.reasonCode}`);
      return 2;
    case PacketType.PUBLISH: {
      if (packet.qos > 0) checkPacketId(packet.packetId);
      const head = textBytes(packet.topic) + (packet.qos > 0 ? 2 : 0) + packet.payload.length;
      return v5 ? head + prefixed(propertiesBytes(packet.properties, PacketType.PUBLISH)) : head;
    }
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP: {
      checkPacketId(packet.packetId);
      if (!v5) return 2;
      const size = propertiesBytes(packet.properties, packet.type);
      return size > 0 ? 3 + prefixed(size) : packet.reasonCode === 0 ? 2 : 3;
    }
    case PacketType.SUBSCRIBE: {
      checkPacketId(packet.packetId);
      let size = 2 + (v5 ? prefixed(propertiesBytes(packet.properties, PacketType.SUBSCRIBE)) : 0);
      for (const { filter } of packet.subscriptions) size += textBytes(filter) + 1;
      return size;
    }
    case PacketType.SUBACK:
      checkPacketId(packet.packetId);
      return 2 + (v5 ? prefixed(propertiesBytes(packet.properties, PacketType.SUBACK)) : 0) + packet.reasonCodes.length;
    case PacketType.UNSUBSCRIBE: {
      checkPacketId(packet.packetId);
      let size = 2 + (v5 ? prefixed(propertiesBytes(packet.properties, PacketType.UNSUBSCRIBE)) : 0);
      for (const filter of packet.filters) size += textBytes(filter);
      return size;
    }
    case PacketType.UNSUBACK:
      checkPacketId(packet.packetId);
      // No payload before version 5 (3.1.1 section 3.11.3).
      return v5 ? 2 + prefixed(propertiesBytes(packet.properties, PacketType.UNSUBACK)) + packet.reasonCodes.length : 2;
    case PacketType.PINGREQ:
    case PacketType.PINGRESP:
      return 0;
    case PacketType.DISCONNECT: {
      if (!v5) return 0;
      const size = propertiesBytes(packet.properties, PacketType.DISCONNECT);
      return size > 0 ? 1 + prefixed(size) : packet.reasonCode === 0 ? 0 : 1;
    }
    case PacketType.AUTH: {
      if (!v5) throw new RangeError('AUTH does not exist before MQTT 5');
      const size = propertiesBytes(packet.properties, PacketType.AUTH);
      return size === 0 && packet.reasonCode === 0 ? 0 : 1 + prefixed(size);
    }
  }
}

function writeBody(packet: Packet, version: ProtocolVersion, into: Buffer, at: number): number {
  const v5 = version === ProtocolVersion.V5;
  switch (packet.type) {
    case PacketType.CONNECT:
      return writeConnect(packet, into, at);
    case PacketType.CONNACK: {
      // [MQTT-3.2.2-1]; the byte is unused in MQTT 3.1.
      into[at] = packet.sessionPresent && version !== ProtocolVersion.V31 ? 1 : 0;
      into[at + 1] = v5 ? packet.reasonCode : connackReturnCode(packet.reasonCode);
      return v5 ? properties(packet.properties, PacketType.CONNACK, into, at + 2) : at + 2;
    }
    case PacketType.PUBLISH:
      return writePublish(packet, v5, into, at);
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP: {
      const pos = into.writeUInt16BE(packet.packetId, at);
      if (!v5) return pos;
      const size = propertiesBytes(packet.properties, packet.type);
      if (size === 0 && packet.reasonCode === 0) return pos;
      into[pos] = packet.reasonCode;
      return size === 0 ? pos + 1 : writeProperties(into, pos + 1, packet.properties, packet.type, size);
    }
    case PacketType.SUBSCRIBE: {
      let pos = into.writeUInt16BE(packet.packetId, at);
      if (v5) pos = properties(packet.properties, PacketType.SUBSCRIBE, into, pos);
      for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of packet.subscriptions) {
        pos = writeText(into, pos, filter);
        into[pos++] = v5 ? qos | (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0) | (retainHandling << 4) : qos;
      }
      return pos;
    }
    case PacketType.SUBACK: {
      let pos = into.writeUInt16BE(packet.packetId, at);
      if (v5) pos = properties(packet.properties, PacketType.SUBACK, into, pos);
      for (const code of packet.reasonCodes) into[pos++] = v5 ? code : subackReturnCode(code);
      return pos;
    }
    case PacketType.UNSUBSCRIBE: {
      let pos = into.writeUInt16BE(packet.packetId, at);
      if (v5) pos = properties(packet.properties, PacketType.UNSUBSCRIBE, into, pos);
      for (const filter of packet.filters) pos = writeText(into, pos, filter);
      return pos;
    }
    case PacketType.UNSUBACK: {
      let pos = into.writeUInt16BE(packet.packetId, at);
      if (!v5) return pos;
      pos = properties(packet.properties, PacketType.UNSUBACK, into, pos);
      for (const code of packet.reasonCodes) into[pos++] = code;
      return pos;
    }
    case PacketType.PINGREQ:
    case PacketType.PINGRESP:
      return at;
    case PacketType.DISCONNECT: {
      const size = v5 ? propertiesBytes(packet.properties, PacketType.DISCONNECT) : 0;
      if (!v5 || (size === 0 && packet.reasonCode === 0)) return at;
      into[at] = packet.reasonCode;
      return size === 0 ? at + 1 : writeProperties(into, at + 1, packet.properties, PacketType.DISCONNECT, size);
    }
    case PacketType.AUTH: {
      const size = propertiesBytes(packet.properties, PacketType.AUTH);
      if (size === 0 && packet.reasonCode === 0) return at;
      into[at] = packet.reasonCode;
      return writeProperties(into, at + 1, packet.properties, PacketType.AUTH, size);
    }
  }
}

function writePublish(packet: Publish, v5: boolean, into: Buffer, at: number): number {
  let pos = writeText(into, at, packet.topic);
  // [MQTT-2.2.1-2], [3.1.1 MQTT-2.3.1-5]
  if (packet.qos > 0) pos = into.writeUInt16BE(packet.packetId, pos);
  if (v5) pos = properties(packet.properties, PacketType.PUBLISH, into, pos);
  into.set(packet.payload, pos);
  return pos + packet.payload.length;
}

/** CONNECT brings its own version. */
function connectBytes(packet: Connect): number {
  const v5 = packet.protocolVersion === ProtocolVersion.V5;
  let size = (packet.protocolVersion === ProtocolVersion.V31 ? 8 : 6) + 1 + 1 + 2;
  if (!(Number.isInteger(packet.keepAliveS) && packet.keepAliveS >= 0 && packet.keepAliveS <= 0xffff)) {
    throw new RangeError(`The keep-alive cannot be ${packet.keepAliveS} s`);
  }
  if (v5) size += prefixed(propertiesBytes(packet.properties, PacketType.CONNECT));
  size += textBytes(packet.clientId);
  const { will, username, password } = packet;
  if (will !== null) {
    if (v5) size += prefixed(propertiesBytes(will.properties, WILL));
    size += textBytes(will.topic) + binaryBytes(will.payload);
  }
  // [3.1.1 MQTT-3.1.2-22]
  if (password !== null && username === null && !v5) throw new RangeError('MQTT 3 has no password without a user name');
  if (username !== null) size += textBytes(username);
  if (password !== null) size += binaryBytes(password);
  return size;
}

function writeConnect(packet: Connect, into: Buffer, at: number): number {
  const v5 = packet.protocolVersion === ProtocolVersion.V5;
  const { will, username, password } = packet;
  let pos = writeText(into, at, packet.protocolVersion === ProtocolVersion.V31 ? 'MQIsdp' : 'MQTT');
  into[pos++] = packet.protocolVersion | (packet.bridge ? 0x80 : 0);
  into[pos++] =
    (packet.clean ? 0x02 : 0) |
    (will === null ? 0 : 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0)) |
    (password === null ? 0 : 0x40) |
    (username === null ? 0 : 0x80);
  pos = into.writeUInt16BE(packet.keepAliveS, pos);
  if (v5) pos = properties(packet.properties, PacketType.CONNECT, into, pos);
  // [MQTT-3.1.3-1]
  pos = writeText(into, pos, packet.clientId);
  if (will !== null) {
    if (v5) pos = writeProperties(into, pos, will.properties, WILL, propertiesBytes(will.properties, WILL));
    pos = writeText(into, pos, will.topic);
    pos = writeBinary(into, pos, will.payload);
  }
  if (username !== null) pos = writeText(into, pos, username);
  return password === null ? pos : writeBinary(into, pos, password);
}

function properties(of: Readonly<Properties>, place: PacketType, into: Buffer, at: number): number {
  return writeProperties(into, at, of, place, of === EMPTY_PROPERTIES ? 0 : propertiesBytes(of, place));
}

/** A length of this many bytes with the Variable Byte Integer that says it. */
function prefixed(size: number): number {
  return variableByteIntegerBytes(size) + size;
}

function checkPacketId(id: number): void {
  // [MQTT-2.2.1-3], [MQTT-2.2.1-4], [3.1.1 MQTT-2.3.1-4]
  if (!(Number.isInteger(id) && id >= 1 && id <= 0xffff)) throw new RangeError(`${id} is not a packet identifier`);
}
