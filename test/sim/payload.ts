// Payloads that say where they come from and whether they are whole: whoever receives one knows its publisher and number, and that no byte of it was changed on the way.
//
//   0          4            6           10         14
//   │ CRC-32   │ publisher  │ number    │ size     │ filler, different for every message
//
// Messages that clear a retained topic are empty; what is known about those is their topic.
import { crc32 } from 'node:zlib';
import { Dice } from './dice.ts';

export const HEADER_BYTES = 14;

/** Filler is cut out of this at a place that depends on the message. */
const FILLER_BYTES = 256 * 1024;
const filler: Buffer = (() => {
  const dice = new Dice(20);
  const bytes = Buffer.alloc(FILLER_BYTES);
  for (let i = 0; i < FILLER_BYTES; i += 4) bytes.writeUInt32LE(dice.next(), i);
  return bytes;
})();

/** Sizes from HEADER_BYTES to about 128 KB. */
export function makePayload(publisher: number, number: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeUInt16BE(publisher, 4);
  bytes.writeUInt32BE(number, 6);
  bytes.writeUInt32BE(size, 10);
  const from = (publisher * 7919 + number * 31) % (FILLER_BYTES / 2);
  filler.copy(bytes, HEADER_BYTES, from, from + size - HEADER_BYTES);
  bytes.writeUInt32BE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

/** Who sent it, or null when it is not as it was sent. */
export function readPayload(bytes: Buffer): { readonly publisher: number; readonly number: number } | null {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(10) !== bytes.length) return null;
  if (crc32(bytes.subarray(4)) !== bytes.readUInt32BE(0)) return null;
  return { publisher: bytes.readUInt16BE(4), number: bytes.readUInt32BE(6) };
}
