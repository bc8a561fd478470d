// One complete, contiguous frame to one packet object, for MQTT 3.1, 3.1.1 and 5. Strict: whatever the specification forbids is a ProtocolError, and
// nothing else is ever thrown. Relies on frame.ts to have found where the frame ends. Keeps no state: what depends on earlier packets (order of packets,
// packet ids in use, aliases, limits announced in CONNACK, whether filters are valid and allowed) is the session's to judge.
//
// Lifetime: payloads, passwords and binary properties are views of the given bytes, valid during the call that got them. Strings are fresh.
import { decodeConnect } from './connect-decoder.ts';
import type { DecodeOptions } from './decode-options.ts';
import { malformed, protocolError, quotaExceeded, topicAliasInvalid } from './errors.ts';
import { headerBytes, INCOMPLETE, readFrameLength, remainingLength } from './frame.ts';
import type {
  Auth,
  Connack,
  Disconnect,
  Packet,
  Puback,
  Pubcomp,
  Publish,
  Pubrec,
  Pubrel,
  Qos,
  Suback,
  Subscribe,
  Subscription,
  Unsuback,
  Unsubscribe,
} from './packet.ts';
import { PINGREQ, PINGRESP } from './packet.ts';
import { PACKET_NAMES, PacketType, ProtocolVersion, Sender } from './packet-type.ts';
import { EMPTY_PROPERTIES, readProperties } from './properties.ts';
import { PacketReader } from './reader.ts';
import { reasonCodeAllowed, reasonOfConnackReturnCode } from './reason-codes.ts';
import { isShared } from './topics.ts';

/** The version of a connection whose CONNECT has not been seen. */
export const VERSION_UNKNOWN = 0;

/** Flags of the first byte by type [MQTT-2.1.3-1], [3.1.1 MQTT-2.2.2-1]; PUBLISH is the exception with meaningful ones. */
const REQUIRED_FLAGS: readonly number[] = [0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0];

const FROM_CLIENT_ONLY =
  (1 << PacketType.CONNECT) | (1 << PacketType.SUBSCRIBE) | (1 << PacketType.UNSUBSCRIBE) | (1 << PacketType.PINGREQ);
const FROM_SERVER_ONLY =
  (1 << PacketType.CONNACK) | (1 << PacketType.SUBACK) | (1 << PacketType.UNSUBACK) | (1 << PacketType.PINGRESP);

const DUP = 0x08;
/** Besides PUBLISH, what MQTT 3.1 sends again with DUP set (3.1 section 2.1). */
const RETRIED_IN_V31 = (1 << PacketType.PUBREL) | (1 << PacketType.SUBSCRIBE) | (1 << PacketType.UNSUBSCRIBE);

/**
 * Throws unless a frame may begin with this byte. decodePacket does the same; asking as soon as the first byte is there refuses a peer that speaks
 * something else before its body is awaited.
 */
export function checkFirstByte(first: number, version: ProtocolVersion | typeof VERSION_UNKNOWN, sender: Sender): void {
  const type = first >>> 4;
  const name = PACKET_NAMES[type]!;
  // Reserved in all versions; 15 is, too, before version 5 (3.1.1 table 2.1).
  if (type === 0 || (type === PacketType.AUTH && version !== ProtocolVersion.V5 && version !== VERSION_UNKNOWN)) {
    throw malformed(`The packet type ${type} is reserved`);
  }
  // [MQTT-3.1.0-1], [3.1.1 MQTT-3.1.0-1]
  if (version === VERSION_UNKNOWN && type !== PacketType.CONNECT) throw protocolError(`${name} came before CONNECT`);
  if (type === PacketType.PUBLISH) checkPublishFlags(first);
  else {
    // [MQTT-2.1.3-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [3.1.1 MQTT-3.14.1-1], [MQTT-3.15.1-1], [3.1.1 MQTT-2.2.2-2]
    let flags = first & 0x0f;
    if (version === ProtocolVersion.V31 && (RETRIED_IN_V31 & (1 << type)) !== 0) flags &= ~DUP;
    if (flags !== REQUIRED_FLAGS[type]) throw malformed(`${name}: the flags of the fixed header are ${first & 0x0f}`);
  }
  if (
    (sender === Sender.CLIENT && ((1 << type) & FROM_SERVER_ONLY) !== 0) ||
    (sender === Sender.SERVER && ((1 << type) & FROM_CLIENT_ONLY) !== 0) ||
    // Only a client disconnects with a packet before version 5.
    (sender === Sender.SERVER && type === PacketType.DISCONNECT && version < ProtocolVersion.V5)
  ) {
    throw protocolError(`${name} came from a ${sender === Sender.CLIENT ? 'client' : 'server'}`);
  }
}

function checkPublishFlags(first: number): void {
  const qos = (first >>> 1) & 3;
  // [MQTT-3.3.1-4], [3.1.1 MQTT-3.3.1-4]
  if (qos === 3) throw malformed('PUBLISH: both QoS bits are set');
  // [MQTT-3.3.1-2], [3.1.1 MQTT-3.3.1-2]
  if (qos === 0 && (first & DUP) !== 0) throw malformed('PUBLISH: DUP is set at QoS 0');
}

/**
 * Decodes the frame bytes[start, end), whose fixed header ends at bodyStart. `version` is that of the connection; before its CONNECT it is
 * VERSION_UNKNOWN, and a CONNECT brings its own.
 */
export function decodePacket(
  bytes: Uint8Array,
  start: number,
  bodyStart: number,
  end: number,
  version: ProtocolVersion | typeof VERSION_UNKNOWN,
  options: DecodeOptions,
): Packet {
  const first = bytes[start]!;
  checkFirstByte(first, version, options.sender);
  const type = (first >>> 4) as PacketType;
  if (type === PacketType.PUBLISH) return decodePublishBody(bytes, first, bodyStart, end, version, options);
  const reader = new PacketReader(bytes, bodyStart, end, PACKET_NAMES[type]!);
  const packet = decodeBody(reader, type, version, options);
  reader.expectEnd();
  return packet;
}

/** Decodes a frame that is known to be a PUBLISH; otherwise as decodePacket. */
export function decodePublish(
  bytes: Uint8Array,
  start: number,
  bodyStart: number,
  end: number,
  version: ProtocolVersion,
  options: DecodeOptions,
): Publish {
  const first = bytes[start]!;
  checkPublishFlags(first);
  return decodePublishBody(bytes, first, bodyStart, end, version, options);
}

/** Decodes exactly one frame that fills the whole array; for tools and tests. */
export function decode(
  bytes: Uint8Array,
  version: ProtocolVersion | typeof VERSION_UNKNOWN,
  options: DecodeOptions,
): Packet {
  const frame = readFrameLength(bytes, 0, bytes.length);
  if (frame === INCOMPLETE) throw malformed('The frame ends within its length');
  const bodyStart = headerBytes(frame);
  if (bodyStart + remainingLength(frame) !== bytes.length) {
    throw malformed(`The frame says ${bodyStart + remainingLength(frame)} bytes and has ${bytes.length}`);
  }
  return decodePacket(bytes, 0, bodyStart, bytes.length, version, options);
}

function decodeBody(
  reader: PacketReader,
  type: Exclude<PacketType, typeof PacketType.PUBLISH>,
  version: ProtocolVersion | typeof VERSION_UNKNOWN,
  options: DecodeOptions,
): Packet {
  switch (type) {
    case PacketType.CONNECT:
      return decodeConnect(reader, options);
    case PacketType.CONNACK:
      return decodeConnack(reader, version, options);
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP:
      return decodeAcknowledgement(reader, type, version, options);
    case PacketType.SUBSCRIBE:
      return decodeSubscribe(reader, version, options);
    case PacketType.SUBACK:
      return decodeSuback(reader, version, options);
    case PacketType.UNSUBSCRIBE:
      return decodeUnsubscribe(reader, version, options);
    case PacketType.UNSUBACK:
      return decodeUnsuback(reader, version, options);
    case PacketType.PINGREQ:
      return PINGREQ;
    case PacketType.PINGRESP:
      return PINGRESP;
    case PacketType.DISCONNECT:
      return decodeDisconnect(reader, version, options);
    case PacketType.AUTH:
      return decodeAuth(reader, options);
  }
}

function decodeConnack(reader: PacketReader, version: number, options: DecodeOptions): Connack {
  const flags = reader.byte('the acknowledge flags');
  const code = reader.byte('the reason code');
  // The byte is unused in MQTT 3.1, which knows no Session Present.
  const sessionPresent = version !== ProtocolVersion.V31 && (flags & 1) !== 0;
  // [MQTT-3.2.2-1]
  if (version !== ProtocolVersion.V31 && flags > 1) throw malformed('CONNACK: a reserved flag is set');
  const v5 = version === ProtocolVersion.V5;
  const reasonCode = v5 ? code : reasonOfConnackReturnCode(code);
  // [MQTT-3.2.2-8]; return codes above 5 are reserved in MQTT 3.
  if (reasonCode < 0) throw protocolError(`CONNACK: ${code} is not a return code`);
  if (v5) checkReasonCode(code, PacketType.CONNACK, Sender.SERVER);
  // [MQTT-3.2.2-6], [3.1.1 MQTT-3.2.2-4]
  if (sessionPresent && reasonCode !== 0) throw protocolError('CONNACK: Session Present in a refusal');
  const properties = v5 ? readProperties(reader, PacketType.CONNACK, options) : EMPTY_PROPERTIES;
  return { type: PacketType.CONNACK, sessionPresent, reasonCode, properties };
}

function decodePublishBody(
  bytes: Uint8Array,
  first: number,
  bodyStart: number,
  end: number,
  version: number,
  options: DecodeOptions,
): Publish {
  const reader = new PacketReader(bytes, bodyStart, end, 'PUBLISH');
  const qos = ((first >>> 1) & 3) as Qos;
  // [MQTT-3.3.2-1], [3.1.1 MQTT-3.3.2-1]
  const topic = reader.topicName('the topic name');
  const packetId = qos === 0 ? 0 : reader.packetId();
  const properties =
    version === ProtocolVersion.V5 ? readProperties(reader, PacketType.PUBLISH, options) : EMPTY_PROPERTIES;
  const alias = properties.topicAlias;
  // [MQTT-3.3.2-8]
  if (alias === 0) throw topicAliasInvalid('PUBLISH: the Topic Alias is 0');
  // MQTT 5.0 section 3.3.2.1; in MQTT 3 there is no alias, and every name has a character [3.1.1 MQTT-4.7.3-1].
  if (topic.length === 0 && alias === null) throw protocolError('PUBLISH: an empty topic name without a Topic Alias');
  // [MQTT-3.3.4-6]
  if (properties.subscriptionIdentifiers !== null && options.sender === Sender.CLIENT) {
    throw protocolError('PUBLISH: a Subscription Identifier from a client');
  }
  return {
    type: PacketType.PUBLISH,
    dup: (first & DUP) !== 0,
    qos,
    retain: (first & 1) !== 0,
    topic,
    packetId,
    payload: reader.rest(),
    properties,
  };
}

type AcknowledgementType =
  | typeof PacketType.PUBACK
  | typeof PacketType.PUBREC
  | typeof PacketType.PUBREL
  | typeof PacketType.PUBCOMP;

function decodeAcknowledgement(
  reader: PacketReader,
  type: AcknowledgementType,
  version: number,
  options: DecodeOptions,
): Puback | Pubrec | Pubrel | Pubcomp {
  const packetId = reader.packetId();
  let reasonCode = 0;
  let properties = EMPTY_PROPERTIES;
  // Both may be missing: two bytes mean success, three mean no properties (MQTT 5.0 sections 3.4.2.1 and 3.4.2.2.1).
  if (version === ProtocolVersion.V5 && reader.remaining > 0) {
    reasonCode = reader.byte('the reason code');
    // [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]
    checkReasonCode(reasonCode, type, options.sender);
    if (reader.remaining > 0) properties = readProperties(reader, type, options);
  }
  return { type, packetId, reasonCode, properties };
}

function decodeSubscribe(reader: PacketReader, version: number, options: DecodeOptions): Subscribe {
  const packetId = reader.packetId();
  const v5 = version === ProtocolVersion.V5;
  const properties = v5 ? readProperties(reader, PacketType.SUBSCRIBE, options) : EMPTY_PROPERTIES;
  const subscriptions: Subscription[] = [];
  while (reader.remaining > 0) {
    if (subscriptions.length === options.filtersMax) throw tooMany(reader, options.filtersMax);
    const filter = reader.text('a topic filter');
    const flags = reader.byte('the subscription options');
    const qos = flags & 3;
    const retainHandling = (flags >>> 4) & 3;
    // [MQTT-3.8.3-5], [3.1.1 MQTT-3.8.3-4]
    if ((flags & (v5 ? 0xc0 : 0xfc)) !== 0) throw malformed('SUBSCRIBE: a reserved bit of the options is set');
    // MQTT 5.0 section 3.8.3.1 calls the two values a Protocol Error; in 3.1.1 the packet is malformed [3.1.1 MQTT-3.8.3-4].
    if (qos === 3) throw v5 ? protocolError('SUBSCRIBE: the QoS is 3') : malformed('SUBSCRIBE: the QoS is 3');
    if (retainHandling === 3) throw protocolError('SUBSCRIBE: the Retain Handling is 3');
    const noLocal = (flags & 0x04) !== 0;
    // [MQTT-3.8.3-4]
    if (noLocal && isShared(filter)) throw protocolError('SUBSCRIBE: No Local on a shared subscription');
    const retainAsPublished = (flags & 0x08) !== 0;
    subscriptions.push({
      filter,
      qos: qos as Qos,
      noLocal,
      retainAsPublished,
      retainHandling: retainHandling as 0 | 1 | 2,
    });
  }
  // [MQTT-3.8.3-2], [3.1.1 MQTT-3.8.3-3]
  if (subscriptions.length === 0) throw protocolError('SUBSCRIBE without a topic filter');
  return { type: PacketType.SUBSCRIBE, packetId, subscriptions, properties };
}

function decodeSuback(reader: PacketReader, version: number, options: DecodeOptions): Suback {
  const packetId = reader.packetId();
  const v5 = version === ProtocolVersion.V5;
  const properties = v5 ? readProperties(reader, PacketType.SUBACK, options) : EMPTY_PROPERTIES;
  const reasonCodes = readReasonCodes(reader, options);
  for (const code of reasonCodes) {
    // [MQTT-3.9.3-2]
    if (v5) checkReasonCode(code, PacketType.SUBACK, Sender.SERVER);
    // [3.1.1 MQTT-3.9.3-2]
    else if (code > 2 && code !== 0x80) throw protocolError(`SUBACK: ${code} is not a return code`);
  }
  return { type: PacketType.SUBACK, packetId, reasonCodes, properties };
}

function decodeUnsubscribe(reader: PacketReader, version: number, options: DecodeOptions): Unsubscribe {
  const packetId = reader.packetId();
  const properties =
    version === ProtocolVersion.V5 ? readProperties(reader, PacketType.UNSUBSCRIBE, options) : EMPTY_PROPERTIES;
  const filters: string[] = [];
  while (reader.remaining > 0) {
    if (filters.length === options.filtersMax) throw tooMany(reader, options.filtersMax);
    filters.push(reader.text('a topic filter'));
  }
  // [MQTT-3.10.3-2]
  if (filters.length === 0) throw protocolError('UNSUBSCRIBE without a topic filter');
  return { type: PacketType.UNSUBSCRIBE, packetId, filters, properties };
}

function decodeUnsuback(reader: PacketReader, version: number, options: DecodeOptions): Unsuback {
  const packetId = reader.packetId();
  // No payload before version 5 (3.1.1 section 3.11.3).
  if (version !== ProtocolVersion.V5)
    return { type: PacketType.UNSUBACK, packetId, reasonCodes: [], properties: EMPTY_PROPERTIES };
  const properties = readProperties(reader, PacketType.UNSUBACK, options);
  const reasonCodes = readReasonCodes(reader, options);
  // [MQTT-3.11.3-2]
  for (const code of reasonCodes) checkReasonCode(code, PacketType.UNSUBACK, Sender.SERVER);
  return { type: PacketType.UNSUBACK, packetId, reasonCodes, properties };
}

/** The payload of SUBACK and UNSUBACK: a code for each filter, of which there was at least one. */
function readReasonCodes(reader: PacketReader, options: DecodeOptions): number[] {
  if (reader.remaining === 0) throw protocolError(`${reader.packet} without a reason code`);
  if (reader.remaining > options.filtersMax) throw tooMany(reader, options.filtersMax);
  return Array.from(reader.rest());
}

function decodeDisconnect(reader: PacketReader, version: number, options: DecodeOptions): Disconnect {
  let reasonCode = 0;
  let properties = EMPTY_PROPERTIES;
  // No byte means normal disconnection, one byte no properties (MQTT 5.0 sections 3.14.2.1 and 3.14.2.2.1).
  if (version === ProtocolVersion.V5 && reader.remaining > 0) {
    reasonCode = reader.byte('the reason code');
    // [MQTT-3.14.2-1]
    checkReasonCode(reasonCode, PacketType.DISCONNECT, options.sender);
    if (reader.remaining > 0) properties = readProperties(reader, PacketType.DISCONNECT, options);
    // [MQTT-3.14.2-2]
    if (properties.sessionExpiryIntervalS !== null && options.sender === Sender.SERVER) {
      throw protocolError('DISCONNECT: a Session Expiry Interval from a server');
    }
  }
  return { type: PacketType.DISCONNECT, reasonCode, properties };
}

function decodeAuth(reader: PacketReader, options: DecodeOptions): Auth {
  // Success without properties may be left out altogether, but not by half (MQTT 5.0 section 3.15.2.1).
  const short = reader.remaining === 0;
  const reasonCode = short ? 0 : reader.byte('the reason code');
  // [MQTT-3.15.2-1]
  checkReasonCode(reasonCode, PacketType.AUTH, options.sender);
  const properties = short ? EMPTY_PROPERTIES : readProperties(reader, PacketType.AUTH, options);
  // MQTT 5.0 section 3.15.2.2.2: it is a Protocol Error to omit it.
  if (!short && properties.authenticationMethod === null) throw protocolError('AUTH without Authentication Method');
  return { type: PacketType.AUTH, reasonCode, properties };
}

function checkReasonCode(code: number, type: PacketType, sender: Sender): void {
  if (!reasonCodeAllowed(code, type, sender)) {
    throw protocolError(
      `${PACKET_NAMES[type]}: 0x${code.toString(16).padStart(2, '0')} is not a reason code its sender may use`,
    );
  }
}

function tooMany(reader: PacketReader, max: number): Error {
  return quotaExceeded(`${reader.packet}: more than ${max} topic filters`);
}
