// The control packets as objects: one interface per packet, told apart by `type`, every field always present. One vocabulary for all versions: what an
// older version cannot say has the value it implies there (reason codes are those of MQTT 5, properties are EMPTY_PROPERTIES). Below the interfaces
// stand functions that make packets, with the defaults of the specification. Nothing here reads or writes bytes, or checks.
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { EMPTY_PROPERTIES, Properties } from './properties.ts';

export type Qos = 0 | 1 | 2;

export interface Will {
  topic: string;
  payload: Uint8Array;
  qos: Qos;
  retain: boolean;
  properties: Readonly<Properties>;
}

export interface Connect {
  type: typeof PacketType.CONNECT;
  protocolVersion: ProtocolVersion;
  /** The level had bit 7 set, with which mosquitto's bridges present themselves. Always false unless the decoder was told to accept it. */
  bridge: boolean;
  /** Clean Session of MQTT 3, Clean Start of MQTT 5. */
  clean: boolean;
  /** 0 means no limit. */
  keepAliveS: number;
  clientId: string;
  will: Will | null;
  username: string | null;
  password: Uint8Array | null;
  properties: Readonly<Properties>;
}

export interface Connack {
  type: typeof PacketType.CONNACK;
  sessionPresent: boolean;
  /** Of MQTT 5; return codes of MQTT 3 are translated (reason-codes.ts). */
  reasonCode: number;
  properties: Readonly<Properties>;
}

export interface Publish {
  type: typeof PacketType.PUBLISH;
  dup: boolean;
  qos: Qos;
  retain: boolean;
  /** Empty only when a topic alias stands in for it. */
  topic: string;
  /** 0 at QoS 0, which has none; 0 is never a packet identifier. */
  packetId: number;
  payload: Uint8Array;
  properties: Readonly<Properties>;
}

interface Acknowledgement<T extends PacketType> {
  type: T;
  packetId: number;
  /** 0 in MQTT 3, which knows no failure here. */
  reasonCode: number;
  properties: Readonly<Properties>;
}

export type Puback = Acknowledgement<typeof PacketType.PUBACK>;
export type Pubrec = Acknowledgement<typeof PacketType.PUBREC>;
export type Pubrel = Acknowledgement<typeof PacketType.PUBREL>;
export type Pubcomp = Acknowledgement<typeof PacketType.PUBCOMP>;

export interface Subscription {
  filter: string;
  qos: Qos;
  noLocal: boolean;
  retainAsPublished: boolean;
  /** 0 send retained messages, 1 send them to a new subscription only, 2 do not. */
  retainHandling: 0 | 1 | 2;
}

export interface Subscribe {
  type: typeof PacketType.SUBSCRIBE;
  packetId: number;
  subscriptions: Subscription[];
  properties: Readonly<Properties>;
}

export interface Suback {
  type: typeof PacketType.SUBACK;
  packetId: number;
  /** One per filter, in order; 0 to 2 is the granted QoS. Every failure is 0x80 in MQTT 3. */
  reasonCodes: number[];
  properties: Readonly<Properties>;
}

export interface Unsubscribe {
  type: typeof PacketType.UNSUBSCRIBE;
  packetId: number;
  filters: string[];
  properties: Readonly<Properties>;
}

export interface Unsuback {
  type: typeof PacketType.UNSUBACK;
  packetId: number;
  /** One per filter, in order. MQTT 3 has none: empty when decoded, left out when encoded. */
  reasonCodes: number[];
  properties: Readonly<Properties>;
}

export interface Pingreq {
  type: typeof PacketType.PINGREQ;
}

export interface Pingresp {
  type: typeof PacketType.PINGRESP;
}

export interface Disconnect {
  type: typeof PacketType.DISCONNECT;
  reasonCode: number;
  properties: Readonly<Properties>;
}

export interface Auth {
  type: typeof PacketType.AUTH;
  reasonCode: number;
  properties: Readonly<Properties>;
}

export type Packet =
  | Connect
  | Connack
  | Publish
  | Puback
  | Pubrec
  | Pubrel
  | Pubcomp
  | Subscribe
  | Suback
  | Unsubscribe
  | Unsuback
  | Pingreq
  | Pingresp
  | Disconnect
  | Auth;

const NO_BYTES = new Uint8Array(0);

/** Defaults: MQTT 5, a new session, no keep-alive, empty client id, nothing else. */
export function connect(fields: Partial<Omit<Connect, 'type'>> = {}): Connect {
  return {
    type: PacketType.CONNECT,
    protocolVersion: fields.protocolVersion ?? ProtocolVersion.V5,
    bridge: fields.bridge ?? false,
    clean: fields.clean ?? true,
    keepAliveS: fields.keepAliveS ?? 0,
    clientId: fields.clientId ?? '',
    will: fields.will ?? null,
    username: fields.username ?? null,
    password: fields.password ?? null,
    properties: fields.properties ?? EMPTY_PROPERTIES,
  };
}

/** Defaults: empty payload, QoS 0, neither DUP nor RETAIN, no properties. */
export function will(topic: string, fields: Partial<Omit<Will, 'topic'>> = {}): Will {
  return {
    topic,
    payload: fields.payload ?? NO_BYTES,
    qos: fields.qos ?? 0,
    retain: fields.retain ?? false,
    properties: fields.properties ?? EMPTY_PROPERTIES,
  };
}

export function connack(
  reasonCode: number,
  sessionPresent = false,
  properties: Readonly<Properties> = EMPTY_PROPERTIES,
): Connack {
  return { type: PacketType.CONNACK, sessionPresent, reasonCode, properties };
}

/** Defaults: empty payload, QoS 0, neither DUP nor RETAIN, no properties. A QoS above 0 needs a packet id. */
export function publish(topic: string, fields: Partial<Omit<Publish, 'type' | 'topic'>> = {}): Publish {
  return {
    type: PacketType.PUBLISH,
    dup: fields.dup ?? false,
    qos: fields.qos ?? 0,
    retain: fields.retain ?? false,
    topic,
    packetId: fields.packetId ?? 0,
    payload: fields.payload ?? NO_BYTES,
    properties: fields.properties ?? EMPTY_PROPERTIES,
  };
}

export function puback(packetId: number, reasonCode = 0, properties: Readonly<Properties> = EMPTY_PROPERTIES): Puback {
  return { type: PacketType.PUBACK, packetId, reasonCode, properties };
}

export function pubrec(packetId: number, reasonCode = 0, properties: Readonly<Properties> = EMPTY_PROPERTIES): Pubrec {
  return { type: PacketType.PUBREC, packetId, reasonCode, properties };
}

export function pubrel(packetId: number, reasonCode = 0, properties: Readonly<Properties> = EMPTY_PROPERTIES): Pubrel {
  return { type: PacketType.PUBREL, packetId, reasonCode, properties };
}

export function pubcomp(
  packetId: number,
  reasonCode = 0,
  properties: Readonly<Properties> = EMPTY_PROPERTIES,
): Pubcomp {
  return { type: PacketType.PUBCOMP, packetId, reasonCode, properties };
}

/** Defaults: neither No Local nor Retain As Published, retained messages are sent. */
export function subscription(
  filter: string,
  qos: Qos,
  fields: Partial<Omit<Subscription, 'filter' | 'qos'>> = {},
): Subscription {
  return {
    filter,
    qos,
    noLocal: fields.noLocal ?? false,
    retainAsPublished: fields.retainAsPublished ?? false,
    retainHandling: fields.retainHandling ?? 0,
  };
}

export function subscribe(
  packetId: number,
  subscriptions: Subscription[],
  properties: Readonly<Properties> = EMPTY_PROPERTIES,
): Subscribe {
  return { type: PacketType.SUBSCRIBE, packetId, subscriptions, properties };
}

export function suback(
  packetId: number,
  reasonCodes: number[],
  properties: Readonly<Properties> = EMPTY_PROPERTIES,
): Suback {
  return { type: PacketType.SUBACK, packetId, reasonCodes, properties };
}

export function unsubscribe(
  packetId: number,
  filters: string[],
  properties: Readonly<Properties> = EMPTY_PROPERTIES,
): Unsubscribe {
  return { type: PacketType.UNSUBSCRIBE, packetId, filters, properties };
}

export function unsuback(
  packetId: number,
  reasonCodes: number[],
  properties: Readonly<Properties> = EMPTY_PROPERTIES,
): Unsuback {
  return { type: PacketType.UNSUBACK, packetId, reasonCodes, properties };
}

export const PINGREQ: Pingreq = Object.freeze({ type: PacketType.PINGREQ });
export const PINGRESP: Pingresp = Object.freeze({ type: PacketType.PINGRESP });

export function disconnect(reasonCode = 0, properties: Readonly<Properties> = EMPTY_PROPERTIES): Disconnect {
  return { type: PacketType.DISCONNECT, reasonCode, properties };
}

export function auth(reasonCode: number, properties: Readonly<Properties> = EMPTY_PROPERTIES): Auth {
  return { type: PacketType.AUTH, reasonCode, properties };
}

/** A Properties object with some of its fields set. */
export function properties(fields: Partial<Properties>): Properties {
  return Object.assign(new Properties(), fields);
}
