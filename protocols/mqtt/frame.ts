// Where one packet ends and the next begins: the fixed header, whose length is a Variable Byte Integer.
//
//   byte 0      type (bits 7-4) and flags (bits 3-0)
//   byte 1..4   remaining length, 7 bits a byte, lowest first, bit 7 set on all but the last
//   then        as many bytes as it says: variable header and payload
//
// Nothing here makes an object, keeps state or looks into the body; incomplete input is a number, not an exception.
import { malformed } from './errors.ts';

/** The largest remaining length four bytes can say (MQTT 5.0 section 1.5.5). */
export const REMAINING_LENGTH_MAX = 268_435_455;

/** The largest packet: one byte, four bytes of length, and the rest. */
export const PACKET_BYTES_MAX = 5 + REMAINING_LENGTH_MAX;

/** More bytes are needed before the length of the frame is known. */
export const INCOMPLETE = -1;

/**
 * Reads the length of the frame that starts at `pos`, of which bytes up to `end` have arrived. The answer is INCOMPLETE, or both numbers in one small
 * integer: headerBytes(answer) is the size of the fixed header (2 to 5), remainingLength(answer) the number of bytes after it, which may not have
 * arrived yet. Throws malformed-packet for a length of five bytes or of more bytes than needed.
 */
export function readFrameLength(bytes: Uint8Array, pos: number, end: number): number {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const at = pos + 1 + i;
    if (at >= end) return INCOMPLETE;
    const byte = bytes[at]!;
    length |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      // [MQTT-1.5.5-1]. MQTT 3.1.1 section 2.2.3 describes no other way to write it either.
      if (byte === 0 && i > 0) throw malformed('The remaining length has more bytes than it needs');
      return (length << 3) | (i + 2);
    }
  }
  throw malformed('The remaining length has more than four bytes');
}

/** Size of the fixed header, from the answer of readFrameLength. */
export function headerBytes(frameLength: number): number {
  return frameLength & 7;
}

/** Bytes after the fixed header, from the answer of readFrameLength. */
export function remainingLength(frameLength: number): number {
  return frameLength >>> 3;
}

/** Bytes of the shortest encoding of a Variable Byte Integer. */
export function variableByteIntegerBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4;
}

/** Writes `value` (0 to REMAINING_LENGTH_MAX) in its shortest form [MQTT-1.5.5-1]; returns the position after it. */
export function writeVariableByteInteger(into: Uint8Array, at: number, value: number): number {
  let rest = value;
  let pos = at;
  while (rest >= 0x80) {
    into[pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  into[pos++] = rest;
  return pos;
}
