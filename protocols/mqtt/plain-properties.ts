// The properties of a PUBLISH, looked at where they lie: whether they are such that the packet can travel on as it is, without being taken apart into objects. That is so for what only its
// receivers care about. What the broker itself has to do something about is either noted here (expiry, alias), or left to the long way, as is everything that is wrong:
// decoder.ts and properties.ts decide about that, and answer for every error. MQTT 5.0 section 3.3.2.3.
import { validText } from './text.ts';

const PAYLOAD_FORMAT = 0x01;
const EXPIRY = 0x02;
const CONTENT_TYPE = 0x03;
const RESPONSE_TOPIC = 0x08;
const CORRELATION_DATA = 0x09;
const TOPIC_ALIAS = 0x23;
const USER_PROPERTY = 0x26;
const PLUS = 0x2b;
const HASH = 0x23;
/** Longer ones take the long way: there the number of User Properties is limited. */
const BYTES_MAX = 2048;
/** Names of User Properties that mean something to the broker; others of these lengths take the long way, too. */
const PRIORITY_BYTES = 'priority'.length;
const DELIVERY_MODE_BYTES = 'delivery-mode'.length;
const LOWER_P = 0x70;
const LOWER_D = 0x64;

/** One for all connections of an adapter; only one of them parses at a time. */
export class PlainProperties {
  /** Where the first property begins, and where the last one ends. */
  start = 0;
  end = 0;
  /** Message Expiry Interval in seconds, -1 without one. */
  expiryS = -1;
  /** 0 without one. */
  alias = 0;
  /** Where the alias begins, with its identifier. */
  aliasAt = 0;
  /** They are in the order in which we would write them. */
  ordered = false;
  private readonly validatesFormat: boolean;

  /** Payloads that are said to be UTF-8 are looked at, which is for the long way. */
  constructor(validatesFormat: boolean) {
    this.validatesFormat = validatesFormat;
  }

  /** Takes property length and properties at `at`, in a packet that ends at `end`. False: the long way has to decide. */
  take(bytes: Uint8Array, at: number, end: number): boolean {
    let pos = at;
    if (pos >= end) return false;
    let size = bytes[pos++]!;
    if (size >= 0x80) {
      if (pos >= end) return false;
      const second = bytes[pos++]!;
      if (second >= 0x80 || second === 0) return false;
      size = (size & 0x7f) | (second << 7);
    }
    const last = pos + size;
    if (last > end || size > BYTES_MAX) return false;
    this.start = pos;
    this.end = last;
    this.expiryS = -1;
    this.alias = 0;
    this.ordered = true;
    let seen = 0;
    let before = 0;
    while (pos < last) {
      const id = bytes[pos]!;
      if (id < before) this.ordered = false;
      before = id;
      if (id !== USER_PROPERTY) {
        // All but that one may stand there once. Those that are taken here have bits of their own.
        const bit = 1 << (id === TOPIC_ALIAS ? 31 : id & 31);
        if ((seen & bit) !== 0) return false;
        seen |= bit;
      }
      switch (id) {
        case USER_PROPERTY: {
          const value = textEnd(bytes, pos + 1, last);
          if (value < 0 || isOurs(bytes, pos + 3, value)) return false;
          pos = textEnd(bytes, value, last);
          break;
        }
        case CONTENT_TYPE:
          pos = textEnd(bytes, pos + 1, last);
          break;
        case RESPONSE_TOPIC: {
          const from = pos + 3;
          pos = textEnd(bytes, pos + 1, last);
          if (pos <= from) return false;
          for (let i = from; i < pos; i++) if (bytes[i] === PLUS || bytes[i] === HASH) return false;
          break;
        }
        case CORRELATION_DATA:
          if (pos + 3 > last) return false;
          pos += 3 + ((bytes[pos + 1]! << 8) | bytes[pos + 2]!);
          break;
        case PAYLOAD_FORMAT:
          if (pos + 2 > last || bytes[pos + 1]! > (this.validatesFormat ? 0 : 1)) return false;
          pos += 2;
          break;
        case EXPIRY:
          if (pos + 5 > last) return false;
          this.expiryS =
            ((bytes[pos + 1]! << 8) | bytes[pos + 2]!) * 0x1_0000 + ((bytes[pos + 3]! << 8) | bytes[pos + 4]!);
          pos += 5;
          break;
        case TOPIC_ALIAS:
          if (pos + 3 > last) return false;
          this.alias = (bytes[pos + 1]! << 8) | bytes[pos + 2]!;
          this.aliasAt = pos;
          if (this.alias === 0) return false;
          pos += 3;
          break;
        default:
          return false;
      }
      if (pos < 0) return false;
    }
    return pos === last;
  }
}

/** The end of the string whose two bytes of length stand at `at`; -1 when it does not end by `end`, or is none. */
function textEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at + 2 > end) return -1;
  const from = at + 2;
  const to = from + ((bytes[at]! << 8) | bytes[at + 1]!);
  if (to > end) return -1;
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    if (byte === 0) return -1;
    if (byte >= 0x80) return validText(bytes, i, to) ? to : -1;
  }
  return to;
}

/** The name of a User Property may be one of those that the broker acts on: priority, delivery-mode. */
function isOurs(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  return (
    (length === PRIORITY_BYTES && bytes[start] === LOWER_P) ||
    (length === DELIVERY_MODE_BYTES && bytes[start] === LOWER_D)
  );
}
