// STOMP's headers and the core's Message: what each is in the other. Only messages that cross to or from another protocol, or whose fields the core asks for, come through here; STOMP
// to STOMP stays bytes (codec-run.ts).
//
//   STOMP                                     core
//   content-type, content-encoding            contentType (+ utf8 by ";charset=utf-8"), contentEncoding
//   correlation-id, correlation-id-encoding   correlationId (base64 where the bytes are no text that a header can carry)
//   reply-to                                  replyTo
//   x-message-id (amqp-message-id)            messageId
//   timestamp, type, user-id, app-id          the same
//   priority, persistent                      priority, guarantee
//   expiration, expires                       expiresAtMs; written anew for every delivery, so not here
//   all other headers                         headers, in order; the first of a repeated one wins
//
// A header of another protocol whose name means something here would change what the frame says ("content-length"), so it is written x-header-<name>, and that prefix is
// taken off on the way back.
import { isUtf8 } from 'node:buffer';
import type { Address } from '../../src/core/address.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { Message } from '../../src/core/message.ts';
import { type Headers, NO_HEADERS, NO_PROPERTIES, type Properties } from '../../src/core/properties.ts';
import type { Run } from '../../src/core/run.ts';
import { addressToDestination, addressToReplyDestination, destinationToAddress } from './addresses.ts';
import type { HeaderIndex } from './header-index.ts';
import { HEADER_NUMBERS, Header, type HeaderName } from './headers.ts';

/** Headers that speak to the broker, or that only a MESSAGE of the broker has. They are taken out of a SEND. */
const TO_THE_BROKER: readonly HeaderName[] = [
  'content-length',
  'receipt',
  'transaction',
  'subscription',
  'message-id',
  'ack',
  'redelivered',
  'retained',
  'retain',
  'expiration',
  'x-nack',
  'x-confirm',
  'x-delivery-count',
];

/** Headers that are properties of a message. */
const PROPERTIES: readonly HeaderName[] = [
  'destination',
  'content-type',
  'content-encoding',
  'correlation-id',
  'correlation-id-encoding',
  'reply-to',
  'priority',
  'persistent',
  'expires',
  'timestamp',
  'type',
  'user-id',
  'app-id',
  'x-message-id',
  'amqp-message-id',
];

/** By number: 1 for headers that are taken out of a SEND. */
export const TAKEN_OUT = table(TO_THE_BROKER);
/** By number: 1 for headers that are no application headers. */
const OURS = table([...TO_THE_BROKER, ...PROPERTIES]);
const OUR_NAMES: ReadonlySet<string> = new Set([...TO_THE_BROKER, ...PROPERTIES]);

function table(names: readonly HeaderName[]): Uint8Array {
  const marks = new Uint8Array(HEADER_NUMBERS);
  for (const name of names) marks[Header[name]] = 1;
  return marks;
}

const FOREIGN = 'x-header-';
const CHARSET = ';charset=utf-8';
const ANY_DESTINATION = { activemq: false, levelsMax: Number.POSITIVE_INFINITY };

/** What the headers of a frame say, apart from its body and the moment. */
export interface Meaning {
  readonly address: Address;
  readonly properties: Properties;
  readonly headers: Headers;
  readonly priority: number;
  /** The content type ended in charset=utf-8, which was taken off it. */
  readonly charset: boolean;
}

/** Of a SEND in normal form. */
export function meaningOf(index: HeaderIndex, address: Address): Meaning {
  let properties: Properties = NO_PROPERTIES;
  const headers: string[] = [];
  let charset = false;
  let plain = true;
  for (let i = 0; i < index.count; i++) {
    const number = index.numberAt(i);
    if (OURS[number] === 1) plain = plain && (number === Header.destination || TAKEN_OUT[number] === 1);
    else if (!index.isRepeated(i)) headers.push(nativeName(index.nameAt(i)), index.valueAt(i));
  }
  if (!plain) {
    const contentType = index.string(Header['content-type']);
    charset = contentType?.endsWith(CHARSET) === true;
    const reply = index.string(Header['reply-to']);
    const replyTo = reply === null ? null : replyAddress(reply);
    // Something that is no destination is left to the applications.
    if (reply !== null && replyTo === null) headers.push('reply-to', reply);
    properties = {
      contentType: charset ? contentType!.slice(0, -CHARSET.length) : contentType,
      contentEncoding: index.string(Header['content-encoding']),
      correlationId: correlationOf(index, headers),
      replyTo,
      messageId: index.string(Header['x-message-id']) ?? index.string(Header['amqp-message-id']),
      timestamp: index.string(Header.timestamp),
      type: index.string(Header.type),
      userId: index.string(Header['user-id']),
      appId: index.string(Header['app-id']),
      utf8: false,
    };
  }
  return {
    address,
    properties,
    headers: headers.length === 0 ? NO_HEADERS : headers,
    priority: priorityOf(index),
    charset,
  };
}

export function messageOf(meaning: Meaning, run: Run, payload: Uint8Array, retain: boolean): Message {
  const { address, headers, priority, charset } = meaning;
  let { properties } = meaning;
  if (charset) {
    // Only what is true is promised on: other protocols close a connection over it.
    properties = isUtf8(payload)
      ? { ...properties, utf8: true }
      : { ...properties, contentType: properties.contentType + CHARSET };
  }
  return new Message(
    address,
    payload,
    properties,
    headers,
    run.guarantee,
    retain,
    priority,
    run.receivedAtMs,
    run.expiresAtMs,
    null,
  );
}

/** 0 to 255; more counts as 255, and what is no number as 0. */
export function priorityOf(index: HeaderIndex): number {
  const at = index.find(Header.priority);
  return at < 0 ? 0 : Math.min(255, Math.max(0, index.decimalAt(at)));
}

function replyAddress(text: string): Address | null {
  try {
    const address = destinationToAddress(text, ANY_DESTINATION);
    return 'exchange' in address ? address : null;
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return null;
  }
}

function correlationOf(index: HeaderIndex, headers: string[]): Uint8Array | null {
  const text = index.string(Header['correlation-id']);
  if (text === null) return null;
  const encoding = index.string(Header['correlation-id-encoding']);
  if (encoding === 'base64') {
    const bytes = Buffer.from(text, 'base64');
    if (bytes.toString('base64') === text) return bytes;
  }
  // An encoding of somebody's own: the text is taken as it stands, and the word for it goes along.
  if (encoding !== null) headers.push('correlation-id-encoding', encoding);
  return Buffer.from(text);
}

/**
 * The headers of a MESSAGE for a message of any origin: destination first, then properties, then the publisher's headers in order. Without content-length, and without
 * what belongs to one delivery (expiration, redelivered).
 */
export function headersOfMessage(message: Message, slashes: boolean): string[] {
  const { properties, headers, priority } = message;
  const lines = ['destination', addressToDestination(message.address, slashes)];
  if (properties !== NO_PROPERTIES) pushProperties(lines, properties);
  if (priority !== 0) lines.push('priority', String(priority));
  if (message.persistent) lines.push('persistent', 'true');
  for (let i = 0; i + 1 < headers.length; i += 2) lines.push(foreignName(headers[i]!), headers[i + 1]!);
  return lines;
}

function pushProperties(lines: string[], properties: Properties): void {
  const { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, userId, appId, utf8 } =
    properties;
  if (contentType !== null || utf8) {
    const known = contentType ?? 'text/plain';
    lines.push('content-type', utf8 && !/;\s*charset=/i.test(known) ? known + CHARSET : known);
  }
  if (contentEncoding !== null) lines.push('content-encoding', contentEncoding);
  if (correlationId !== null) pushCorrelation(lines, correlationId);
  if (replyTo !== null) lines.push('reply-to', addressToReplyDestination(replyTo));
  if (messageId !== null) lines.push('x-message-id', messageId);
  if (timestamp !== null) lines.push('timestamp', timestamp);
  if (type !== null) lines.push('type', type);
  if (userId !== null) lines.push('user-id', userId);
  if (appId !== null) lines.push('app-id', appId);
}

/** Bytes that some version would change: control characters, and the spaces that 1.0 takes off. */
const NOT_CARRIED = /\p{Cc}|^ | $/u;

function pushCorrelation(lines: string[], bytes: Uint8Array): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = isUtf8(bytes) ? buffer.toString('utf8') : null;
  if (text !== null && !NOT_CARRIED.test(text)) lines.push('correlation-id', text);
  else lines.push('correlation-id', buffer.toString('base64'), 'correlation-id-encoding', 'base64');
}

function foreignName(name: string): string {
  return name === '' || OUR_NAMES.has(name) || name.startsWith(FOREIGN) ? FOREIGN + name : name;
}

function nativeName(name: string): string {
  if (!name.startsWith(FOREIGN)) return name;
  const rest = name.slice(FOREIGN.length);
  return rest === '' || OUR_NAMES.has(rest) || rest.startsWith(FOREIGN) ? rest : name;
}

/** Headers that are arguments of a queue, on SUBSCRIBE and on a SEND that declares it; any other x-… header of a SEND is the application's. */
const QUEUE_ARGUMENTS: ReadonlySet<string> = new Set([
  'x-message-ttl',
  'x-expires',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-max-priority',
  'x-single-active-consumer',
  'x-delivery-limit',
  'x-queue-type',
  'x-durability',
]);

export function queueArguments(index: HeaderIndex): Map<string, string> {
  const args = new Map<string, string>();
  for (let i = 0; i < index.count; i++) {
    if (!mayBeArgument(index, i)) continue;
    const name = index.nameAt(i);
    if (QUEUE_ARGUMENTS.has(name) && !args.has(name)) args.set(name, index.valueAt(i));
  }
  return args;
}

/** Whether header `i` starts with "x-"; asked before its name is made into a string. */
export function mayBeArgument(index: HeaderIndex, i: number): boolean {
  const start = index.nameStart(i);
  return index.bytes[start] === 0x78 && index.bytes[start + 1] === 0x2d;
}

/** What a binding to a headers exchange asks for: x-match, and every header that means nothing to the broker. */
export function bindingArguments(index: HeaderIndex): Map<string, string> {
  const args = new Map<string, string>();
  for (let i = 0; i < index.count; i++) {
    if (index.numberAt(i) !== 0) continue;
    const name = index.nameAt(i);
    if (!QUEUE_ARGUMENTS.has(name) && !args.has(name)) args.set(name, index.valueAt(i));
  }
  return args;
}
