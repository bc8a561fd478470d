// The payload of a generated message: a header that says what it is, then a fixed pattern. Binary for MQTT, hexadecimal
// digits for STOMP, so that a broker which measures STOMP bodies by their final NUL delivers them unharmed. Fields are
// little endian.
//
//   seq u32 | stamp u32 | lane u32 | check u32 | pattern ...          check = seq ^ lane ^ tag of the run
//
// The stamp is in microseconds of this process's clock, modulo 2^32 (71 minutes).

// Imported, because the global of this name is looked up anew at each use.
import { performance } from 'node:perf_hooks';

export const seqAt = 0;
export const stampAt = 4;
export const laneAt = 8;
export const checkAt = 12;
export const headerBytes = 16;
/** The header as text has two digits for each byte. */
export const textHeaderBytes = 2 * headerBytes;

/** Microseconds since the process began, as an unsigned 32-bit integer. */
export function nowUs(): number {
  return Math.floor(performance.now() * 1000) >>> 0;
}

/** A payload with its header still empty. */
export function blankPayload(payloadBytes: number): Uint8Array {
  const payload = new Uint8Array(payloadBytes);
  for (let index = 0; index < payloadBytes; index++) payload[index] = 0x61 + ((index * 7) % 26);
  return payload;
}

const digits = new Uint8Array(16);
const digitValues = new Uint8Array(256);
for (let value = 0; value < 16; value++) {
  digits[value] = value.toString(16).charCodeAt(0);
  digitValues[digits[value]!] = value;
}

/** Writes an unsigned 32-bit integer as eight lower-case hexadecimal digits. */
export function writeHex(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = digits[value >>> 28]!;
  bytes[at + 1] = digits[(value >>> 24) & 15]!;
  bytes[at + 2] = digits[(value >>> 20) & 15]!;
  bytes[at + 3] = digits[(value >>> 16) & 15]!;
  bytes[at + 4] = digits[(value >>> 12) & 15]!;
  bytes[at + 5] = digits[(value >>> 8) & 15]!;
  bytes[at + 6] = digits[(value >>> 4) & 15]!;
  bytes[at + 7] = digits[value & 15]!;
}

export function readHex(bytes: Uint8Array, at: number): number {
  return (
    ((digitValues[bytes[at]!]! << 28) |
      (digitValues[bytes[at + 1]!]! << 24) |
      (digitValues[bytes[at + 2]!]! << 20) |
      (digitValues[bytes[at + 3]!]! << 16) |
      (digitValues[bytes[at + 4]!]! << 12) |
      (digitValues[bytes[at + 5]!]! << 8) |
      (digitValues[bytes[at + 6]!]! << 4) |
      digitValues[bytes[at + 7]!]!) >>>
    0
  );
}
