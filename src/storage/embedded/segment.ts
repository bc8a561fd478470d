// The files of the log and the frames in them: names, layouts, and the checks that tell a frame from anything else. Relies on nothing; does no input or output.
//
//   <number, 10 digits>.segment         number × stride = position of its first byte; written once from front to back
//
//   0          4096                                                                stride × strides
//   ├─ header ─┼─ frame ─┼─ frame ─┼──── zeros or stale bytes of an earlier use ──────────┤
//
//   header   magic u32 │ version u32 │ number f64 │ stride u32 │ strides u32 │ salt 2×u32 │ crc u32 (of what stands before it)
//
//   frame    one group commit, 8-aligned; all of it counts or nothing
//     0  magic u32
//     4  length u32            header included, multiple of 8
//     8  crc u32               of bytes [12, length), then of the segment's salt
//    12  flags u32             StartsUnit: its first record begins a unit. EndsUnit: its last record ends one. Loose: neither it nor the frame before it was synced
//                              when it was written, so that a power cut may have kept it and not the one before
//    16  position f64          where it stands
//    24  previousEnd f64       where the frame before it ended: a frame that is missing in between shows
//    32  records …
//
// Position and salt make a frame valid in one place of one use of one file: what a recycled file still holds, or what a publisher puts into a payload, can not pass
// for a frame. A frame follows its predecessor at once or at the next multiple of 4096: while a block is being written nobody touches it.
import { crc32 } from 'node:zlib';
import type { Faults } from './faults.ts';

export const FORMAT_VERSION = 1;
export const BLOCK_BYTES = 4096;
export const SEGMENT_HEADER_BYTES = 44;
export const SEGMENT_DATA_START = BLOCK_BYTES;
export const SEGMENT_MAGIC = 0x534c5347;
export const FRAME_MAGIC = 0x464c5553;
/** As it stands in a file. */
export const FRAME_MAGIC_BYTES = Buffer.from([0x53, 0x55, 0x4c, 0x46]);
export const FRAME_HEADER_BYTES = 32;
export const FRAME_CRC_START = 12;

export const FrameFlag = {
  StartsUnit: 1,
  EndsUnit: 2,
  Loose: 4,
} as const;

export interface SegmentHeader {
  readonly version: number;
  readonly number: number;
  readonly stride: number;
  readonly strides: number;
  readonly salt: Uint8Array;
}

export const SALT_BYTES = 8;

export function align(value: number, grain: number): number {
  return Math.ceil(value / grain) * grain;
}

const SEGMENT_NAME = /^(\d{10})\.segment$/;

export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.segment`;
}

/** The number in a segment's name, or -1. */
export function segmentNumber(name: string): number {
  const match = SEGMENT_NAME.exec(name);
  return match === null ? -1 : Number(match[1]);
}

/** The first block of a segment. */
export function encodeSegmentHeader(
  number: number,
  stride: number,
  strides: number,
  salt: Uint8Array,
  version = FORMAT_VERSION,
): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint32(4, version, true);
  view.setFloat64(8, number, true);
  view.setUint32(16, stride, true);
  view.setUint32(20, strides, true);
  bytes.set(salt, 24);
  view.setUint32(32, crc32(bytes.subarray(0, 32)), true);
  return bytes;
}

/** The header, or null when these bytes are none. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < SEGMENT_HEADER_BYTES || view.getUint32(0, true) !== SEGMENT_MAGIC) return null;
  if (view.getUint32(32, true) !== crc32(bytes.subarray(0, 32))) return null;
  return {
    version: view.getUint32(4, true),
    number: view.getFloat64(8, true),
    stride: view.getUint32(16, true),
    strides: view.getUint32(20, true),
    salt: bytes.slice(24, 24 + SALT_BYTES),
  };
}

export function frameCrc(bytes: Uint8Array, start: number, length: number, salt: Uint8Array): number {
  return crc32(salt, crc32(bytes.subarray(start + FRAME_CRC_START, start + length)));
}

/** Where the frame before the one at `at` ended, as a position. */
export function previousEnd(view: DataView, at: number): number {
  return view.getFloat64(at + 24, true);
}

/**
 * The length of the valid frame at bytes[at…end), which stands for `position` in a segment of this salt; 0 when there is none.
 */
export function frameLength(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  end: number,
  position: number,
  salt: Uint8Array,
  faults: Faults,
): number {
  if (at + FRAME_HEADER_BYTES > end || view.getUint32(at, true) !== FRAME_MAGIC) return 0;
  const length = view.getUint32(at + 4, true);
  if (length < FRAME_HEADER_BYTES || length % 8 !== 0 || at + length > end) return 0;
  if (faults.acceptStaleFrames) return length;
  if (view.getFloat64(at + 16, true) !== position) return 0;
  if (faults.skipCrcCheck || view.getUint32(at + 8, true) === frameCrc(bytes, at, length, salt)) return length;
  return 0;
}
