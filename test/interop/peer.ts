// The six ways to speak to the broker behind one interface, so that a test can let any of them publish and any other receive: what is said in a test is said in
// the words of the core, and each peer writes and reads it in its own protocol's. What a protocol has no word for is left out on the way in, and null on the way back.

import {
  type Connect,
  type Packet,
  type Publish,
  puback,
  publish,
  subscribe,
  subscription,
  unsubscribe,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES, Properties } from '../../protocols/mqtt/properties.ts';
import { Frame, Version } from '../../protocols/stomp/frame.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { frame, StompClient, type StompWorld } from '../support/stomp-client.ts';

/** What can be said of a message, whatever the protocol. */
export interface Said {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly utf8?: boolean;
  readonly correlationId?: Uint8Array;
  /** As the peer writes addresses. */
  readonly replyTo?: string;
  /** Whole seconds, which both can say. */
  readonly expirationMs?: number;
  readonly priority?: number;
  readonly messageId?: string;
  readonly timestamp?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly retain?: boolean;
  readonly persistent?: boolean;
}

/** What came out of a message. */
export interface Heard {
  /** As the peer writes addresses. */
  readonly destination: string;
  readonly payload: Buffer;
  readonly retained: boolean;
  readonly redelivered: boolean;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly utf8: boolean;
  readonly correlationId: Buffer | null;
  readonly replyTo: string | null;
  readonly expirationMs: number | null;
  readonly priority: number;
  readonly messageId: string | null;
  readonly timestamp: string | null;
  /** Without what is listed above. */
  readonly headers: readonly (readonly [string, string])[];
}

export interface Peer {
  readonly name: string;
  /** It has words for properties of a message. */
  readonly hasProperties: boolean;
  /** Levels to an address of a topic: what this peer writes for the MQTT topic. */
  topic(mqttTopic: string): string;
  queue(name: string): string;
  publish(destination: string, payload: Uint8Array | string, said?: Said): void;
  /** Whatever comes is acknowledged by receive(), unless `hold` is said. */
  subscribe(filter: string, hold?: boolean): void;
  unsubscribe(filter: string): void;
  /** What has come since the last call. */
  receive(): Heard[];
  /** Gone without a word. */
  hangUp(): void;
}

/** The dotted form of a filter: MQTT's wildcards become STOMP's, and what STOMP would mistake or cannot carry is encoded. */
function dotted(filter: string): string {
  const levels = filter.split('/');
  return levels
    .map((level, i) => {
      if (level === '+') return '*';
      if (level === '#' && i === levels.length - 1) return '#';
      return level.replace(/[./%*#]|\p{Cc}/gu, encodeByte);
    })
    .join('.');
}

/** As %XX, in UTF-8. */
export function encodeByte(character: string): string {
  return [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

export class MqttPeer implements Peer {
  readonly name: string;
  readonly hasProperties: boolean;
  readonly client: MqttClient;
  private readonly inbox: Publish[] = [];
  private nextId = 1;
  private hold = false;

  constructor(world: StompWorld, version: ProtocolVersion, clientId: string, fields: Partial<Connect> = {}) {
    this.name = { 3: 'MQTT 3.1', 4: 'MQTT 3.1.1', 5: 'MQTT 5' }[version];
    this.hasProperties = version === ProtocolVersion.V5;
    this.client = MqttClient.connected(world, clientId, { protocolVersion: version, ...fields });
  }

  /** Takes in what has come; gives back what is no message. */
  private pump(): Packet[] {
    const others: Packet[] = [];
    for (const packet of this.client.receive()) {
      if (packet.type === PacketType.PUBLISH) this.inbox.push(packet);
      else others.push(packet);
    }
    return others;
  }

  topic(mqttTopic: string): string {
    return mqttTopic;
  }

  queue(name: string): string {
    return `$queue/${name}`;
  }

  publish(destination: string, payload: Uint8Array | string, said: Said = {}): void {
    const qos = said.persistent === false ? 0 : 1;
    const packetId = qos === 0 ? 0 : this.nextId++;
    this.pump();
    this.client.send(
      publish(destination, {
        payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
        qos,
        packetId,
        retain: said.retain ?? false,
        properties: this.hasProperties ? propertiesOf(said) : EMPTY_PROPERTIES,
      }),
    );
    const [answer] = this.pump();
    const taken = qos === 0 ? answer === undefined : answer?.type === PacketType.PUBACK && answer.reasonCode < 0x80;
    if (!taken) throw new Error(`${this.name}: publish to ${destination} was answered ${JSON.stringify(answer)}`);
  }

  subscribe(filter: string, hold = false): void {
    this.hold ||= hold;
    this.client.send(subscribe(this.nextId++, [subscription(filter, 1)]));
    const suback = this.pump().find((packet) => packet.type === PacketType.SUBACK);
    if (suback?.reasonCodes[0] !== 1)
      throw new Error(`${this.name}: subscribing to ${filter} gave ${JSON.stringify(suback)}`);
  }

  unsubscribe(filter: string): void {
    this.client.send(unsubscribe(this.nextId++, [filter]));
    this.pump();
  }

  receive(): Heard[] {
    this.pump();
    const heard: Heard[] = [];
    // What is acknowledged makes room for more.
    for (let packet = this.inbox.shift(); packet !== undefined; packet = this.inbox.shift()) {
      heard.push(heardOf(packet));
      if (this.hold || packet.qos === 0) continue;
      this.client.send(puback(packet.packetId));
      this.pump();
    }
    return heard;
  }

  hangUp(): void {
    this.client.hangUp();
  }
}

function propertiesOf(said: Said): Readonly<Properties> {
  const properties = new Properties();
  properties.contentType = said.contentType ?? null;
  properties.payloadFormat = said.utf8 === true ? 1 : null;
  properties.correlationData = said.correlationId ?? null;
  properties.responseTopic = said.replyTo ?? null;
  properties.messageExpiryIntervalS = said.expirationMs === undefined ? null : said.expirationMs / 1000;
  const pairs: string[] = [];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) pairs.push(name, value);
  };
  add('content-encoding', said.contentEncoding);
  add('priority', said.priority?.toString());
  add('message-id', said.messageId);
  add('timestamp', said.timestamp);
  for (const [name, value] of said.headers ?? []) add(name, value);
  properties.userProperties = pairs.length === 0 ? null : pairs;
  return properties;
}

/** Takes the first entry of that name out of the list. */
function take(headers: [string, string][], name: string): string | null {
  const index = headers.findIndex(([key]) => key === name);
  return index < 0 ? null : (headers.splice(index, 1)[0]?.[1] ?? null);
}

function heardOf({ topic, payload, retain, dup, properties }: Publish): Heard {
  const headers: [string, string][] = [];
  const pairs = properties.userProperties ?? [];
  for (let i = 0; i + 1 < pairs.length; i += 2) headers.push([pairs[i] ?? '', pairs[i + 1] ?? '']);
  const seconds = properties.messageExpiryIntervalS;
  return {
    destination: topic,
    payload: Buffer.from(payload),
    retained: retain,
    redelivered: take(headers, 'x-delivery-count') !== null || dup,
    contentType: properties.contentType,
    contentEncoding: take(headers, 'content-encoding'),
    utf8: properties.payloadFormat === 1,
    correlationId: properties.correlationData === null ? null : Buffer.from(properties.correlationData),
    replyTo: properties.responseTopic,
    expirationMs: seconds === null ? null : seconds * 1000,
    priority: Number(take(headers, 'priority') ?? 0),
    messageId: take(headers, 'message-id'),
    timestamp: take(headers, 'timestamp'),
    headers,
  };
}

const CHARSET = ';charset=utf-8';

export class StompPeer implements Peer {
  readonly name: string;
  readonly hasProperties = true;
  readonly client: StompClient;
  private readonly inbox: Frame[] = [];
  private readonly ids = new Map<string, string>();
  private nextId = 1;
  private hold = false;

  constructor(world: StompWorld, version: Version) {
    this.name = `STOMP ${{ 10: '1.0', 11: '1.1', 12: '1.2' }[version]}`;
    this.client = StompClient.connected(world, version);
  }

  private ask(asked: Frame): void {
    this.take(this.client.request(asked));
  }

  private take(frames: Frame[]): void {
    for (const one of frames) {
      if (one.command !== 'MESSAGE')
        throw new Error(`${this.name}: ${one.command} ${one.headers.join(' ')} ${one.text()}`);
      this.inbox.push(one);
    }
  }

  topic(mqttTopic: string): string {
    return `/topic/${dotted(mqttTopic)}`;
  }

  queue(name: string): string {
    return `/queue/${name}`;
  }

  publish(destination: string, payload: Uint8Array | string, said: Said = {}): void {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const lines: string[] = ['destination', destination, 'content-length', String(bytes.length)];
    const add = (name: string, value: string | number | boolean | undefined): void => {
      if (value !== undefined) lines.push(name, String(value));
    };
    if (said.contentType !== undefined) add('content-type', said.contentType + (said.utf8 === true ? CHARSET : ''));
    add('content-encoding', said.contentEncoding);
    if (said.correlationId !== undefined) {
      const id = Buffer.from(said.correlationId);
      const isText = id.equals(Buffer.from(id.toString())) && !/\p{Cc}|^ | $/u.test(id.toString());
      add('correlation-id', id.toString(isText ? 'utf8' : 'base64'));
      if (!isText) add('correlation-id-encoding', 'base64');
    }
    add('reply-to', said.replyTo);
    add('expiration', said.expirationMs);
    add('priority', said.priority);
    add('x-message-id', said.messageId);
    add('timestamp', said.timestamp);
    add('retain', said.retain);
    if (said.persistent !== false) add('persistent', true);
    for (const [name, value] of said.headers ?? []) add(name, value);
    this.ask(new Frame('SEND', lines, bytes));
  }

  subscribe(filter: string, hold = false): void {
    this.hold ||= hold;
    const id = `s${this.nextId++}`;
    this.ids.set(filter, id);
    this.ask(frame('SUBSCRIBE', { id, destination: filter, ack: hold ? 'client' : 'auto' }));
  }

  unsubscribe(filter: string): void {
    this.ask(frame('UNSUBSCRIBE', { id: this.ids.get(filter) ?? '' }));
  }

  receive(): Heard[] {
    this.take(this.client.receive());
    return this.inbox.splice(0).map(heardOfFrame);
  }

  hangUp(): void {
    this.client.hangUp();
  }
}

/** Of the frame rather than of the message. */
const OF_THE_FRAME = ['destination', 'subscription', 'message-id', 'ack', 'content-length', 'x-delivery-count'];

function heardOfFrame(message: Frame): Heard {
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < message.headers.length; i += 2)
    headers.push([message.headers[i] ?? '', message.headers[i + 1] ?? '']);
  const destination = message.header('destination') ?? '';
  for (const name of OF_THE_FRAME) take(headers, name);
  const contentType = take(headers, 'content-type');
  const utf8 = contentType?.endsWith(CHARSET) === true;
  const id = take(headers, 'correlation-id');
  const encoding = take(headers, 'correlation-id-encoding') === 'base64' ? 'base64' : 'utf8';
  const expiration = take(headers, 'expiration');
  take(headers, 'persistent');
  return {
    destination,
    payload: Buffer.from(message.body),
    retained: take(headers, 'retained') === 'true',
    redelivered: take(headers, 'redelivered') === 'true',
    contentType: utf8 ? (contentType?.slice(0, -CHARSET.length) ?? null) : contentType,
    contentEncoding: take(headers, 'content-encoding'),
    utf8,
    correlationId: id === null ? null : Buffer.from(id, encoding),
    replyTo: take(headers, 'reply-to'),
    expirationMs: expiration === null ? null : Number(expiration),
    priority: Number(take(headers, 'priority') ?? 0),
    messageId: take(headers, 'x-message-id'),
    timestamp: take(headers, 'timestamp'),
    headers,
  };
}

const { V31, V311, V5 } = ProtocolVersion;
const { V1_0, V1_1, V1_2 } = Version;

export interface Speaker {
  readonly name: string;
  /** clientId: of MQTT, unique in the world. */
  connect(world: StompWorld, clientId: string): Peer;
}

export const MQTT_SPEAKERS: readonly Speaker[] = [
  ['MQTT 3.1', V31] as const,
  ['MQTT 3.1.1', V311] as const,
  ['MQTT 5', V5] as const,
].map(([name, version]) => ({ name, connect: (world, clientId) => new MqttPeer(world, version, clientId) }));

export const STOMP_SPEAKERS: readonly Speaker[] = [
  ['STOMP 1.0', V1_0] as const,
  ['STOMP 1.1', V1_1] as const,
  ['STOMP 1.2', V1_2] as const,
].map(([name, version]) => ({ name, connect: (world) => new StompPeer(world, version) }));

export const SPEAKERS: readonly Speaker[] = [...MQTT_SPEAKERS, ...STOMP_SPEAKERS];

/** Every one with every one, itself included. */
export const PAIRS = SPEAKERS.flatMap((from) => SPEAKERS.map((to) => ({ from, to })));
