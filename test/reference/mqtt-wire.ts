// MQTT packets written plainly: one packet, one buffer, field by field as the specification lists them. It shares no code with protocols/mqtt/, so that each checks the other. Properties stand in
// the order of their identifiers, a topic alias before all others: the order in which the broker writes them, which the specification leaves free.

/** 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0: as in CONNECT. */
export type Level = 3 | 4 | 5;

export interface PublishProperties {
  readonly alias?: number | null;
  readonly payloadFormat?: number | null;
  readonly expiryS?: number | null;
  readonly contentType?: string | null;
  readonly responseTopic?: string | null;
  readonly correlation?: Uint8Array | null;
  readonly identifiers?: readonly number[] | null;
  /** Name, value, name, value, … */
  readonly pairs?: readonly string[] | null;
}

export interface PublishFields {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 at QoS 0. */
  readonly id: number;
  readonly properties: PublishProperties;
}

export function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A Variable Byte Integer. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}

export function binary(bytes: Uint8Array): Buffer {
  return Buffer.concat([u16(bytes.length), bytes]);
}

export function text(value: string): Buffer {
  return binary(Buffer.from(value));
}

export function packet(first: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first]), varint(body.length), body]);
}

/** The property length and the properties. */
export function properties(...parts: readonly Uint8Array[]): Buffer {
  const all = Buffer.concat(parts);
  return Buffer.concat([varint(all.length), all]);
}

export function property(id: number, value: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([id]), value]);
}

export function pairsOf(pairs: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2)
    parts.push(property(0x26, Buffer.concat([text(pairs[i]!), text(pairs[i + 1]!)])));
  return Buffer.concat(parts);
}

export function publishBytes(level: Level, fields: PublishFields): Buffer {
  const { topic, payload, qos, retain, dup, id } = fields;
  const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  const parts: Uint8Array[] = [text(topic)];
  if (qos > 0) parts.push(u16(id));
  if (level === 5) parts.push(publishProperties(fields.properties));
  return packet(first, ...parts, payload);
}

function publishProperties(of: PublishProperties): Buffer {
  const parts: Buffer[] = [];
  if (of.alias != null) parts.push(property(0x23, u16(of.alias)));
  if (of.payloadFormat != null) parts.push(property(0x01, Buffer.from([of.payloadFormat])));
  if (of.expiryS != null) parts.push(property(0x02, u32(of.expiryS)));
  if (of.contentType != null) parts.push(property(0x03, text(of.contentType)));
  if (of.responseTopic != null) parts.push(property(0x08, text(of.responseTopic)));
  if (of.correlation != null) parts.push(property(0x09, binary(of.correlation)));
  for (const identifier of of.identifiers ?? []) parts.push(property(0x0b, varint(identifier)));
  if (of.pairs != null) parts.push(pairsOf(of.pairs));
  return properties(...parts);
}

/** PUBACK 4, PUBREC 5, PUBREL 6, PUBCOMP 7. */
export function ackBytes(level: Level, type: number, id: number, reason = 0): Buffer {
  const first = (type << 4) | (type === 6 ? 2 : 0);
  return level === 5 && reason !== 0 ? packet(first, u16(id), Buffer.from([reason])) : packet(first, u16(id));
}

export interface Filter {
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: number;
}

export function subscribeBytes(level: Level, id: number, filters: readonly Filter[], identifier: number): Buffer {
  const parts: Uint8Array[] = [u16(id)];
  if (level === 5) parts.push(identifier === 0 ? properties() : properties(property(0x0b, varint(identifier))));
  for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of filters) {
    const options = level === 5 ? (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4) : 0;
    parts.push(text(filter), Buffer.from([qos | options]));
  }
  return packet(0x82, ...parts);
}

export function unsubscribeBytes(level: Level, id: number, filters: readonly string[]): Buffer {
  return packet(0xa2, u16(id), ...(level === 5 ? [properties()] : []), ...filters.map(text));
}

/** SUBACK 9 and UNSUBACK 11; in MQTT 3 the latter has no codes. */
export function answerBytes(level: Level, type: 9 | 11, id: number, codes: readonly number[]): Buffer {
  const body = level === 5 ? [properties(), Buffer.from(codes)] : type === 9 ? [Buffer.from(codes)] : [];
  return packet(type << 4, u16(id), ...body);
}

export interface ConnectFields {
  readonly clientId: string;
  readonly clean: boolean;
  readonly sessionExpiryS: number;
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number;
  readonly topicAliasMaximum: number;
  readonly will: {
    readonly topic: string;
    readonly payload: Uint8Array;
    readonly qos: number;
    readonly retain: boolean;
  } | null;
}

/** Numbers that are 0 are left out. */
export function connectBytes(level: Level, fields: ConnectFields): Buffer {
  const { will } = fields;
  const flags = (fields.clean ? 2 : 0) | (will === null ? 0 : 4 | (will.qos << 3) | (will.retain ? 0x20 : 0));
  const parts: Uint8Array[] = [text(level === 3 ? 'MQIsdp' : 'MQTT'), Buffer.from([level, flags]), u16(0)];
  if (level === 5) {
    const own: Buffer[] = [];
    if (fields.sessionExpiryS !== 0) own.push(property(0x11, u32(fields.sessionExpiryS)));
    if (fields.receiveMaximum !== 0) own.push(property(0x21, u16(fields.receiveMaximum)));
    if (fields.topicAliasMaximum !== 0) own.push(property(0x22, u16(fields.topicAliasMaximum)));
    if (fields.maximumPacketSize !== 0) own.push(property(0x27, u32(fields.maximumPacketSize)));
    parts.push(properties(...own));
  }
  parts.push(text(fields.clientId));
  if (will !== null) {
    if (level === 5) parts.push(properties());
    parts.push(text(will.topic), binary(will.payload));
  }
  return packet(0x10, ...parts);
}

/** What stands in a stream of packets, one by one. */
export function splitPackets(bytes: Buffer): Buffer[] {
  const packets: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    let at = start + 1;
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the stream ends inside a packet');
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    if (at + length > bytes.length) throw new Error('the stream ends inside a packet');
    packets.push(bytes.subarray(start, at + length));
    start = at + length;
  }
  return packets;
}
