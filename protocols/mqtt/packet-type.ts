// The small numbers every file of the MQTT codec speaks in: packet types, protocol versions, and who sent a packet. Relies on nothing.

/** Bits 7 to 4 of the first byte. 0 is reserved in every version, 15 (AUTH) exists from version 5 on. */
export const PacketType = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const;
export type PacketType = (typeof PacketType)[keyof typeof PacketType];

/** The first byte of every PUBACK; likewise of the others, of which PUBREL has a bit that is reserved. */
export const PUBACK_BYTE = PacketType.PUBACK << 4;
export const PUBREC_BYTE = PacketType.PUBREC << 4;
export const PUBREL_BYTE = (PacketType.PUBREL << 4) | 2;
export const PUBCOMP_BYTE = PacketType.PUBCOMP << 4;

/** By packet type, for messages and log lines. */
export const PACKET_NAMES: readonly string[] = [
  'type 0',
  'CONNECT',
  'CONNACK',
  'PUBLISH',
  'PUBACK',
  'PUBREC',
  'PUBREL',
  'PUBCOMP',
  'SUBSCRIBE',
  'SUBACK',
  'UNSUBSCRIBE',
  'UNSUBACK',
  'PINGREQ',
  'PINGRESP',
  'DISCONNECT',
  'AUTH',
];

/** The protocol level as CONNECT carries it: 3 is MQTT 3.1 (MQIsdp), 4 is 3.1.1. */
export const ProtocolVersion = { V31: 3, V311: 4, V5: 5 } as const;
export type ProtocolVersion = (typeof ProtocolVersion)[keyof typeof ProtocolVersion];

/** Who sent a packet, as a bit mask: a broker decodes what a CLIENT sent, a bridge what a SERVER sent, a tool may take EITHER. */
export const Sender = { CLIENT: 1, SERVER: 2, EITHER: 3 } as const;
export type Sender = (typeof Sender)[keyof typeof Sender];
