// CONNECT, the packet that brings its own version: the three protocols are told apart here, and so are their different rules for the same flags.

import type { DecodeOptions } from './decode-options.ts';
import { clientIdentifierInvalid, malformed, protocolError, topicNameInvalid, unsupportedVersion } from './errors.ts';
import type { Connect, Qos, Will } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { EMPTY_PROPERTIES, readProperties } from './properties.ts';
import { WILL } from './property-table.ts';
import type { PacketReader } from './reader.ts';

const CONNECT_RESERVED = 0x01;
const CONNECT_CLEAN = 0x02;
const CONNECT_WILL = 0x04;
const CONNECT_WILL_RETAIN = 0x20;
const CONNECT_PASSWORD = 0x40;
const CONNECT_USERNAME = 0x80;
const BRIDGE_BIT = 0x80;

/** Decodes the body of a CONNECT. */
export function decodeConnect(reader: PacketReader, options: DecodeOptions): Connect {
  const name = reader.text('the protocol name');
  const level = reader.byte('the protocol level');
  const version = versionOf(name, level, options);
  const v31 = version === ProtocolVersion.V31;
  const v5 = version === ProtocolVersion.V5;
  const flags = reader.byte('the connect flags');
  // [MQTT-3.1.2-3], [3.1.1 MQTT-3.1.2-3]. MQTT 3.1 section 3.1 calls the bit unused and asks nothing of it.
  if ((flags & CONNECT_RESERVED) !== 0 && !v31) throw malformed('CONNECT: the reserved flag is set');
  const keepAliveS = reader.uint16('the keep-alive');
  const properties = v5 ? readProperties(reader, PacketType.CONNECT, options) : EMPTY_PROPERTIES;
  // MQTT 5.0 section 3.1.2.11.10
  if (properties.authenticationData !== null && properties.authenticationMethod === null) {
    throw protocolError('CONNECT: Authentication Data without Authentication Method');
  }
  const clean = (flags & CONNECT_CLEAN) !== 0;
  const clientId = reader.text('the client identifier');
  let will: Will | null = null;
  if ((flags & CONNECT_WILL) !== 0) {
    will = decodeWill(reader, flags, v5, options);
  } else if (!v31 && (flags & (CONNECT_WILL_RETAIN | 0x18)) !== 0) {
    // [MQTT-3.1.2-11], [3.1.1 MQTT-3.1.2-11], [MQTT-3.1.2-13], [3.1.1 MQTT-3.1.2-13], [3.1.1 MQTT-3.1.2-15]. MQTT 3.1 disregards them without a will.
    throw malformed('CONNECT: Will QoS or Will Retain without a will');
  }
  // [MQTT-3.1.2-16] to [MQTT-3.1.2-19]. In MQTT 3.1 the remaining length takes precedence over these two flags (section 3.1, User Name flag).
  const hasUsername = (flags & CONNECT_USERNAME) !== 0 && !(v31 && reader.remaining === 0);
  const username = hasUsername ? reader.text('the user name') : null;
  // [3.1.1 MQTT-3.1.2-22]; version 5 allows it.
  if ((flags & CONNECT_PASSWORD) !== 0 && (flags & CONNECT_USERNAME) === 0 && !v5) {
    throw malformed('CONNECT: a password without a user name');
  }
  const hasPassword = (flags & CONNECT_PASSWORD) !== 0 && !(v31 && reader.remaining === 0);
  const password = hasPassword ? reader.binary('the password') : null;
  reader.expectEnd();
  // Judged last: this refusal is answered with a CONNACK, which a packet that is not one at all does not get.
  if (clientId.length === 0) {
    // MQTT 3.1 section 3.1: refused with return code 2. Longer ones than its 23 characters are taken, as by every server.
    if (v31) throw clientIdentifierInvalid('CONNECT: MQTT 3.1 has no empty client identifier');
    // [3.1.1 MQTT-3.1.3-8]; version 5 allows it and assigns one [MQTT-3.1.3-6], [3.1.1 MQTT-3.1.3-6].
    if (!v5 && !clean) throw clientIdentifierInvalid('CONNECT: an empty client identifier without Clean Session');
  }
  return {
    type: PacketType.CONNECT,
    protocolVersion: version,
    bridge: level >= BRIDGE_BIT,
    clean,
    keepAliveS,
    clientId,
    will,
    username,
    password,
    properties,
  };
}

/** [MQTT-3.1.2-1], [3.1.1 MQTT-3.1.2-1], [MQTT-3.1.2-2], [3.1.1 MQTT-3.1.2-2] */
function versionOf(name: string, level: number, options: DecodeOptions): ProtocolVersion {
  if (name !== 'MQTT' && name !== 'MQIsdp')
    throw unsupportedVersion('CONNECT: the protocol name is neither MQTT nor MQIsdp');
  const plain = options.bridgeLevels && level >= BRIDGE_BIT && level !== (BRIDGE_BIT | 5) ? level - BRIDGE_BIT : level;
  if (name === 'MQIsdp' && plain === ProtocolVersion.V31) return ProtocolVersion.V31;
  if (name === 'MQTT' && plain === ProtocolVersion.V311) return ProtocolVersion.V311;
  if (name === 'MQTT' && plain === ProtocolVersion.V5) return ProtocolVersion.V5;
  throw unsupportedVersion(`CONNECT: ${name} level ${level} is not spoken here`);
}

function decodeWill(reader: PacketReader, flags: number, v5: boolean, options: DecodeOptions): Will {
  const qos = (flags >>> 3) & 3;
  // [MQTT-3.1.2-12], [3.1.1 MQTT-3.1.2-14]
  if (qos === 3) throw malformed('CONNECT: the Will QoS is 3');
  const properties = v5 ? readProperties(reader, WILL, options) : EMPTY_PROPERTIES;
  // [MQTT-3.1.2-9], [3.1.1 MQTT-3.1.2-9], [MQTT-3.1.3-11]
  const topic = reader.topicName('the will topic');
  // [MQTT-4.7.3-1]
  if (topic.length === 0) throw topicNameInvalid('CONNECT: the will topic is empty');
  const payload = reader.binary('the will payload');
  return { topic, payload, qos: qos as Qos, retain: (flags & CONNECT_WILL_RETAIN) !== 0, properties };
}

/**
 * The protocol level that a CONNECT claims, for answering one that cannot be decoded in a form its sender knows: 3.x clients a two-byte CONNACK, later
 * ones that of MQTT 5. Never throws; 0 when the body does not begin with a protocol name and level.
 */
export function peekProtocolLevel(bytes: Uint8Array, bodyStart: number, end: number): number {
  for (const name of [NAME_BYTES, NAME_V31_BYTES]) {
    const levelAt = bodyStart + name.length;
    if (levelAt >= end) continue;
    let i = 0;
    while (i < name.length && bytes[bodyStart + i] === name[i]) i++;
    if (i === name.length) return bytes[levelAt]!;
  }
  return 0;
}

const NAME_BYTES = Uint8Array.of(0, 4, 0x4d, 0x51, 0x54, 0x54);
const NAME_V31_BYTES = Uint8Array.of(0, 6, 0x4d, 0x51, 0x49, 0x73, 0x64, 0x70);
