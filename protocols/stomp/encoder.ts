// Writes frames. Two ways: encodeFrame() takes a Frame object, for everything that is seldom sent; and building blocks for MESSAGE and RECEIPT, with
// which fan-out writes the part that is the same for all subscribers of a version once. Every writer has a counterpart that says beforehand, exactly, how
// many bytes it will write, writes to out[at…] and returns the offset after it. Never allocates on the fan-out path; never checks what a frame must have.
//
//   head, per delivery                                          tail, once per version
//   ┌───────────────────────────────┬──┬─────────────────────┬┐┌───────────────────────────────┬────────────────────┬───────┬───┐
//   │MESSAGE\nsubscription:0\n      │42│\nack:42\nredelivered │…││destination:/topic/a\n…        │content-length:5\n\n│hello  │NUL│
//   │message-id:                    │  │:true\n              │ ││(header block)                 │                    │(body) │   │
//   └ encodeMessagePrefix ──────────┴──┴─────────────────────┴┘└───────────────────────────────┴────────────────────┴───────┴───┘
//     once per subscription                 between the two any header that only this delivery has (writeHeader)
//
// What a version cannot say is replaced, never let through, because a header that ends early is a way to forge another one: NUL is always written as a
// space; where there are no escapes (1.0, CONNECT, CONNECTED) so are LF and CR, and a colon in a name is an underscore.
import { assert } from '../../src/lib/assert.ts';
import { Command, type Frame, isNeverEscaped, Version } from './frame.ts';

const NUL = 0x00;
const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const DIGIT_0 = 0x30;

/** In an escape table: written as it stands, followed by nothing; else the letter after a backslash, or one byte instead (marked). */
const INSTEAD = 0x80;
type EscapeTable = Uint8Array;

function escapeTable(escapes: Readonly<Record<number, number>>): EscapeTable {
  const table = new Uint8Array(128);
  table[NUL] = INSTEAD | 0x20;
  for (const [code, letter] of Object.entries(escapes)) table[Number(code)] = letter;
  return table;
}

const PLAIN_VALUE = escapeTable({ [LF]: INSTEAD | 0x20, [CR]: INSTEAD | 0x20 });
const PLAIN_NAME = escapeTable({ [LF]: INSTEAD | 0x20, [CR]: INSTEAD | 0x20, [COLON]: INSTEAD | 0x5f });
// [STOMP-F-8] STOMP 1.1 "Value Encoding": \n, \c and \\; a CR has no escape and stands for itself.
const ESCAPES_1_1 = escapeTable({ [LF]: 0x6e, [COLON]: 0x63, [BACKSLASH]: BACKSLASH });
// [STOMP-F-7] STOMP 1.2 "Value Encoding": \r, \n, \c and \\.
const ESCAPES_1_2 = escapeTable({ [LF]: 0x6e, [CR]: 0x72, [COLON]: 0x63, [BACKSLASH]: BACKSLASH });

function nameTable(version: Version): EscapeTable {
  return version === Version.V1_0 ? PLAIN_NAME : version === Version.V1_1 ? ESCAPES_1_1 : ESCAPES_1_2;
}

function valueTable(version: Version): EscapeTable {
  return version === Version.V1_0 ? PLAIN_VALUE : version === Version.V1_1 ? ESCAPES_1_1 : ESCAPES_1_2;
}

// Text as UTF-8 with escapes.

function textBytes(text: string, table: EscapeTable): number {
  let size = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) {
      const mark = table[code]!;
      size += mark === 0 || mark >= INSTEAD ? 1 : 2;
    } else if (code < 0x800) size += 2;
    else if (isPair(text, i, code)) {
      size += 4;
      i++;
    } else size += 3;
  }
  return size;
}

function writeText(out: Uint8Array, at: number, text: string, table: EscapeTable): number {
  let to = at;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      const mark = table[code]!;
      if (mark === 0) out[to++] = code;
      else if (mark >= INSTEAD) out[to++] = mark - INSTEAD;
      else {
        out[to++] = BACKSLASH;
        out[to++] = mark;
      }
    } else if (code < 0x800) {
      out[to++] = 0xc0 | (code >> 6);
      out[to++] = 0x80 | (code & 0x3f);
    } else if (isPair(text, i, code)) {
      code = 0x10000 + ((code - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00);
      out[to++] = 0xf0 | (code >> 18);
      out[to++] = 0x80 | ((code >> 12) & 0x3f);
      out[to++] = 0x80 | ((code >> 6) & 0x3f);
      out[to++] = 0x80 | (code & 0x3f);
    } else {
      // Half a pair is no character and has no UTF-8.
      if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
      out[to++] = 0xe0 | (code >> 12);
      out[to++] = 0x80 | ((code >> 6) & 0x3f);
      out[to++] = 0x80 | (code & 0x3f);
    }
  }
  return to;
}

/** Whether a surrogate pair starts at text[i], whose code is given. */
function isPair(text: string, i: number, code: number): boolean {
  if (code < 0xd800 || code > 0xdbff || i + 1 >= text.length) return false;
  const next = text.charCodeAt(i + 1);
  return next >= 0xdc00 && next <= 0xdfff;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function writeBytes(out: Uint8Array, at: number, bytes: Uint8Array): number {
  // Measured: set() takes 20 ns whatever the length, a loop 2 ns per byte.
  out.set(bytes, at);
  return at + bytes.length;
}

/** Digits of a whole number from 0 to 2^53 - 1. */
export function decimalBytes(value: number): number {
  let size = 1;
  for (let bound = 10; value >= bound; bound *= 10) size++;
  return size;
}

export function writeDecimal(out: Uint8Array, at: number, value: number): number {
  assert(Number.isSafeInteger(value) && value >= 0, 'Only whole numbers from 0 on are written in digits.');
  const end = at + decimalBytes(value);
  let to = end;
  let rest = value;
  // Whole numbers over 2^31 take floating-point division; their upper part is brought down first.
  while (rest > 0x7fffffff) {
    const upper = Math.floor(rest / 10);
    out[--to] = DIGIT_0 + (rest - upper * 10);
    rest = upper;
  }
  let small = rest | 0;
  do {
    const upper = (small / 10) | 0;
    out[--to] = DIGIT_0 + (small - upper * 10);
    small = upper;
  } while (small > 0);
  return end;
}

// Header lines.

/** Bytes of the line "name:value\n" in frames that are escaped in that version (all but CONNECT and CONNECTED). */
export function headerBytes(name: string, value: string, version: Version): number {
  return textBytes(name, nameTable(version)) + textBytes(value, valueTable(version)) + 2;
}

export function writeHeader(out: Uint8Array, at: number, name: string, value: string, version: Version): number {
  let to = writeText(out, at, name, nameTable(version));
  out[to++] = COLON;
  to = writeText(out, to, value, valueTable(version));
  out[to++] = LF;
  return to;
}

/** The lines of headers (name, value, name, value, …), without the empty line, in memory of their own. */
export function encodeHeaderBlock(headers: readonly string[], version: Version): Uint8Array {
  let size = 0;
  for (let i = 0; i + 1 < headers.length; i += 2) size += headerBytes(headers[i]!, headers[i + 1]!, version);
  const block = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i + 1 < headers.length; i += 2) at = writeHeader(block, at, headers[i]!, headers[i + 1]!, version);
  return block;
}

// Whole frames.

/** The frame's headers are escaped as in this version. */
function headerVersion(frame: Frame, version: Version): Version {
  return isNeverEscaped(Command[frame.command]) ? Version.V1_0 : version;
}

/** How many bytes encodeFrame() writes. */
export function frameBytes(frame: Frame, version: Version): number {
  const escaped = headerVersion(frame, version);
  const headers = frame.headers;
  let size = frame.command.length + 1;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] !== 'content-length') size += headerBytes(headers[i]!, headers[i + 1]!, escaped);
  }
  return size + bodyBytes(frame.body.length);
}

/**
 * Writes the frame to out[at…], where frameBytes() are free; returns the offset after its NUL. content-length is written
 * for every body that is not empty, whatever the frame's headers say of it.
 */
export function writeFrame(out: Uint8Array, at: number, frame: Frame, version: Version): number {
  const escaped = headerVersion(frame, version);
  const headers = frame.headers;
  let to = writeText(out, at, frame.command, PLAIN_NAME);
  out[to++] = LF;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === 'content-length') continue;
    assert(headers[i] !== '', 'A header has a name.');
    to = writeHeader(out, to, headers[i]!, headers[i + 1]!, escaped);
  }
  return writeBody(out, to, frame.body, 0, frame.body.length);
}

/** The frame in memory of its own. */
export function encodeFrame(frame: Frame, version: Version): Uint8Array {
  const bytes = new Uint8Array(frameBytes(frame, version));
  const end = writeFrame(bytes, 0, frame, version);
  assert(end === bytes.length, 'A frame has the size that was computed for it.');
  return bytes;
}

const CONTENT_LENGTH = ascii('content-length:');

/** Bytes of what follows the other headers: content-length line (when the body is not empty), empty line, body, NUL. */
function bodyBytes(length: number): number {
  return length === 0 ? 2 : CONTENT_LENGTH.length + decimalBytes(length) + 1 + 1 + length + 1;
}

function writeBody(out: Uint8Array, at: number, body: Uint8Array, start: number, end: number): number {
  let to = at;
  if (end > start) {
    to = writeBytes(out, to, CONTENT_LENGTH);
    to = writeDecimal(out, to, end - start);
    out[to++] = LF;
  }
  out[to++] = LF;
  if (end > start) {
    if (body === out) out.copyWithin(to, start, end);
    else out.set(start === 0 && end === body.length ? body : body.subarray(start, end), to);
    to += end - start;
  }
  out[to++] = NUL;
  return to;
}

// MESSAGE, in two parts.

const ACK = ascii('\nack:');
const REDELIVERED = ascii('redelivered:true\n');

/**
 * The first bytes of every MESSAGE to a subscription, up to and with "message-id:". subscription is the id the client gave,
 * or null when it gave none (STOMP 1.0 does not need one). Kept with the subscription.
 */
export function encodeMessagePrefix(subscription: string | null, version: Version): Uint8Array {
  const block = subscription === null ? new Uint8Array(0) : encodeHeaderBlock(['subscription', subscription], version);
  const start = ascii('MESSAGE\n');
  const end = ascii('message-id:');
  const prefix = new Uint8Array(start.length + block.length + end.length);
  writeBytes(prefix, writeBytes(prefix, writeBytes(prefix, 0, start), block), end);
  return prefix;
}

/** Bytes of writeMessageHead(). */
export function messageHeadBytes(prefix: Uint8Array, tag: number, withAck: boolean, redelivered: boolean): number {
  const digits = decimalBytes(tag);
  return prefix.length + digits + 1 + (withAck ? ACK.length + digits : 0) + (redelivered ? REDELIVERED.length : 0);
}

/**
 * MESSAGE, subscription, message-id, and when withAck (STOMP 1.2, ack mode client or client-individual) the ack header; both
 * ids are the tag in decimal. Ends after a header line.
 */
export function writeMessageHead(
  out: Uint8Array,
  at: number,
  prefix: Uint8Array,
  tag: number,
  withAck: boolean,
  redelivered: boolean,
): number {
  let to = writeBytes(out, at, prefix);
  to = writeDecimal(out, to, tag);
  if (withAck) {
    to = writeBytes(out, to, ACK);
    to = writeDecimal(out, to, tag);
  }
  out[to++] = LF;
  return redelivered ? writeBytes(out, to, REDELIVERED) : to;
}

/** Bytes of writeMessageTail(). */
export function messageTailBytes(headerBlockBytes: number, bodyLength: number): number {
  return headerBlockBytes + bodyBytes(bodyLength);
}

/** The rest of a MESSAGE: header block (whole lines, no content-length among them), content-length, empty line, body, NUL. */
export function writeMessageTail(
  out: Uint8Array,
  at: number,
  headerBlock: Uint8Array,
  body: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
): number {
  return writeBody(out, writeBytes(out, at, headerBlock), body, bodyStart, bodyEnd);
}

// RECEIPT.

const RECEIPT = ascii('RECEIPT\nreceipt-id:');

/** Bytes of writeReceipt(). */
export function receiptBytes(valueLength: number): number {
  return RECEIPT.length + valueLength + 3;
}

/**
 * The RECEIPT for a receipt header whose value is bytes[start, end) as it came. Only for a header that is portable
 * (HeaderIndex.isPortable) or escaped in the same version; for any other encode a Frame.
 */
export function writeReceipt(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  let to = writeBytes(out, at, RECEIPT);
  for (let i = start; i < end; i++) out[to++] = bytes[i]!;
  out[to++] = LF;
  out[to++] = LF;
  out[to++] = NUL;
  return to;
}
