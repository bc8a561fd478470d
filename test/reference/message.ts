// One message of the model, as an object, and what its fields are in each protocol. Follows the table of properties in words ("One key, four carriers"), not the broker's code.
import type { PublishProperties } from './mqtt-wire.ts';

export interface MqttOrigin {
  readonly protocol: 'mqtt';
  readonly level: 3 | 4 | 5;
  readonly properties: PublishProperties;
}

export interface StompOrigin {
  readonly protocol: 'stomp';
  /** Headers of the SEND that travel on, in order. */
  readonly headers: readonly string[];
}

export interface Message {
  /** A topic as MQTT writes it, or the name of a queue. */
  readonly topic: string;
  readonly isQueue: boolean;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly receivedAtMs: number;
  /** 0 for never. */
  readonly expiresAtMs: number;
  readonly origin: MqttOrigin | StompOrigin;
}

/** Levels are encoded where the notation needs it. */
export function topicToDestination(message: Pick<Message, 'topic' | 'isQueue'>, slashes: boolean): string {
  if (message.isQueue) return `/queue/${message.topic}`;
  const levels = message.topic.split('/');
  const special = slashes && levels.length > 1 ? /[/%*#]/g : /[./%*#]/g;
  const encoded = levels.map((level) =>
    level.replace(special, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
  );
  return `/topic/${encoded.join(slashes ? '/' : '.')}`;
}

/** The reverse, for /topic/ and /queue/; wildcards become those of MQTT. */
export function destinationToTopic(destination: string): { topic: string; isQueue: boolean; slashes: boolean } {
  if (destination.startsWith('/queue/'))
    return { topic: destination.slice('/queue/'.length), isQueue: true, slashes: false };
  const rest = destination.slice('/topic/'.length);
  const slashes = rest.includes('/');
  const levels = rest.split(slashes ? '/' : '.').map((level) => (level === '*' ? '+' : decodeURIComponent(level)));
  return { topic: levels.join('/'), isQueue: false, slashes };
}

/** Whether a pattern, in MQTT's notation but with # anywhere, matches a topic. */
export function matches(pattern: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]!.startsWith('$') && (pattern[0] === '+' || pattern[0] === '#')) return false;
  return matchesFrom(pattern, 0, topic, 0);
}

function matchesFrom(pattern: readonly string[], p: number, topic: readonly string[], t: number): boolean {
  if (p === pattern.length) return t === topic.length;
  if (pattern[p] === '#')
    return matchesFrom(pattern, p + 1, topic, t) || (t < topic.length && matchesFrom(pattern, p, topic, t + 1));
  return (
    t < topic.length && (pattern[p] === '+' || pattern[p] === topic[t]) && matchesFrom(pattern, p + 1, topic, t + 1)
  );
}

// ---- what the fields of one protocol are in the other

/** User properties that are properties of a message, in the order in which MQTT is shown them. */
const NAMED = ['content-encoding', 'message-id', 'timestamp', 'type', 'user-id', 'app-id'] as const;

/** Headers that STOMP or the broker gives a meaning: a user property of such a name is hidden behind a prefix. */
const OURS = new Set(
  (
    'content-length receipt transaction subscription message-id ack redelivered retained retain expiration x-nack x-confirm x-delivery-count ' +
    'destination content-type content-encoding correlation-id correlation-id-encoding reply-to priority persistent expires timestamp type user-id app-id x-message-id amqp-message-id'
  ).split(' '),
);
const FOREIGN = 'x-header-';

/** The headers of a MESSAGE for a message that came by MQTT, without destination and content-length. */
export function mqttToHeaders(message: Message): string[] {
  const { properties } = message.origin as MqttOrigin;
  const lines: string[] = [];
  const named = new Map<string, string>();
  const others: string[] = [];
  let priority = 0;
  const pairs = properties.pairs ?? [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const [name, value] = [pairs[i]!, pairs[i + 1]!];
    if ((NAMED as readonly string[]).includes(name) && !named.has(name)) named.set(name, value);
    else if (name === 'priority' && priority === 0 && /^\d{1,3}$/.test(value)) priority = Math.min(255, Number(value));
    else others.push(OURS.has(name) || name.startsWith(FOREIGN) ? FOREIGN + name : name, value);
  }
  const utf8 = properties.payloadFormat === 1;
  if (properties.contentType != null || utf8) {
    lines.push('content-type', `${properties.contentType ?? 'text/plain'}${utf8 ? ';charset=utf-8' : ''}`);
  }
  if (named.has('content-encoding')) lines.push('content-encoding', named.get('content-encoding')!);
  if (properties.correlation != null) {
    const bytes = Buffer.from(properties.correlation);
    const text = bytes.toString();
    const carried = Buffer.from(text).equals(bytes) && !/\p{Cc}|^ | $/u.test(text);
    lines.push('correlation-id', carried ? text : bytes.toString('base64'));
    if (!carried) lines.push('correlation-id-encoding', 'base64');
  }
  if (properties.responseTopic != null) {
    lines.push('reply-to', topicToDestination({ topic: properties.responseTopic, isQueue: false }, false));
  }
  for (const [core, header] of [
    ['message-id', 'x-message-id'],
    ['timestamp', 'timestamp'],
    ['type', 'type'],
    ['user-id', 'user-id'],
    ['app-id', 'app-id'],
  ] as const) {
    if (named.has(core)) lines.push(header, named.get(core)!);
  }
  if (priority !== 0) lines.push('priority', String(priority));
  if (message.qos > 0) lines.push('persistent', 'true');
  return [...lines, ...others];
}

/** The properties of an MQTT 5 PUBLISH for a message that came by STOMP. */
export function headersToProperties(message: Message): PublishProperties {
  const { headers } = message.origin as StompOrigin;
  const first = new Map<string, string>();
  const pairs: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const [name, value] = [headers[i]!, headers[i + 1]!];
    if (first.has(name)) continue;
    first.set(name, value);
    if (OURS.has(name)) continue;
    const inner = name.slice(FOREIGN.length);
    pairs.push(name.startsWith(FOREIGN) && (OURS.has(inner) || inner.startsWith(FOREIGN)) ? inner : name, value);
  }
  const named: string[] = [];
  for (const name of NAMED) {
    const value = first.get(name === 'message-id' ? 'x-message-id' : name);
    if (value !== undefined) named.push(name, value);
  }
  const priority = first.get('priority');
  if (priority !== undefined && priority !== '0') named.push('priority', priority);
  let contentType = first.get('content-type') ?? null;
  const utf8 = contentType?.endsWith(';charset=utf-8') === true;
  if (utf8) contentType = contentType!.slice(0, -';charset=utf-8'.length);
  const correlation = first.get('correlation-id');
  const reply = first.get('reply-to');
  const all = [...named, ...pairs];
  return {
    contentType,
    payloadFormat: utf8 ? 1 : null,
    correlation: correlation === undefined ? null : Buffer.from(correlation),
    responseTopic: reply === undefined ? null : destinationToTopic(reply).topic,
    pairs: all.length === 0 ? null : all,
  };
}
