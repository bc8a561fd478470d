// UTF-8 Encoded Strings (MQTT 5.0 section 1.5.4): bytes to string and back, with the rules every version shares. A decoded string is a fresh string that
// keeps nothing of the bytes alive.
import { isAscii, isUtf8 } from 'node:buffer';
import { malformed } from './errors.ts';

/** What two bytes of length can say. */
export const TEXT_BYTES_MAX = 65_535;

/** Half of a surrogate pair that stands alone; a whole pair is one character to the u flag. */
const HALF_PAIR = /\p{Surrogate}/u;

/** The same memory as a Buffer, whose native string conversions are several times as fast as TextDecoder for short strings. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** From this size on, asking the platform three times is faster than one look at every byte. */
const LONG_TEXT_BYTES = 96;

const ASCII = 0;
const BEYOND_ASCII = 1;
const HAS_NULL = 2;
const ILL_FORMED = 3;

/** What bytes[start, end) are, as the content of a UTF-8 Encoded String. */
function classify(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < LONG_TEXT_BYTES) {
    let seen = 0;
    for (let i = start; i < end; i++) {
      const byte = bytes[i]!;
      if (byte === 0) return HAS_NULL;
      seen |= byte;
    }
    if (seen < 0x80) return ASCII;
    return isUtf8(bytes.subarray(start, end)) ? BEYOND_ASCII : ILL_FORMED;
  }
  const view = bytes.subarray(start, end);
  if (view.includes(0)) return HAS_NULL;
  if (isAscii(view)) return ASCII;
  // Refuses surrogates, over-long forms and everything above U+10FFFF.
  return isUtf8(view) ? BEYOND_ASCII : ILL_FORMED;
}

/** bytes[start, end) as a string. `what` names the field in the error. */
export function decodeText(bytes: Buffer, start: number, end: number, what: string): string {
  switch (classify(bytes, start, end)) {
    case ASCII:
      return bytes.toString('latin1', start, end);
    case BEYOND_ASCII:
      // Keeps U+FEFF wherever it stands [MQTT-1.5.4-3], [3.1.1 MQTT-1.5.3-3].
      return bytes.toString('utf8', start, end);
    case HAS_NULL:
      // [MQTT-1.5.4-2], [3.1.1 MQTT-1.5.3-2]
      throw malformed(`${what} contains the character U+0000`);
    default:
      // [MQTT-1.5.4-1], [3.1.1 MQTT-1.5.3-1]
      throw malformed(`${what} is not well-formed UTF-8`);
  }
}

/** Whether bytes[start, end) may be the content of a UTF-8 Encoded String. */
export function validText(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start <= TEXT_BYTES_MAX && classify(bytes, start, end) <= BEYOND_ASCII;
}

/** Whether a string of any origin can be sent as a UTF-8 Encoded String: not too long, without U+0000 and without half a surrogate pair. */
export function encodableText(text: string): boolean {
  if (text.length > TEXT_BYTES_MAX || text.includes('\0')) return false;
  return Buffer.byteLength(text) <= TEXT_BYTES_MAX && !HALF_PAIR.test(text);
}

/** Bytes of the string on the wire, with its two bytes of length. RangeError when it cannot be sent (see encodableText). */
export function textBytes(text: string): number {
  const size = Buffer.byteLength(text);
  if (size > TEXT_BYTES_MAX)
    throw new RangeError(`A string of ${size} bytes exceeds the ${TEXT_BYTES_MAX} bytes MQTT allows`);
  if (text.includes('\0')) throw new RangeError('A string with the character U+0000 cannot be sent in MQTT');
  return 2 + size;
}

/** Writes length and bytes at `at`; returns the position after them. */
export function writeText(into: Buffer, at: number, text: string): number {
  const size = into.write(text, at + 2, 'utf8');
  into[at] = size >>> 8;
  into[at + 1] = size & 0xff;
  return at + 2 + size;
}
