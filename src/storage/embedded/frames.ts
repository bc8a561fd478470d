// The valid frames of a whole segment in memory, for whoever looks at a log from outside: the tools, and copies of a running log. Relies on segment.ts for what a frame
// is; decides nothing about what is missing between them.
import { type Disk, readFully } from '../../io/disk.ts';
import { NO_FAULTS } from './faults.ts';
import {
  decodeSegmentHeader,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  frameLength,
  previousEnd,
  SEGMENT_DATA_START,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './segment.ts';

/** A segment file as it is in memory. */
export interface SegmentImage {
  readonly header: SegmentHeader;
  readonly base: number;
  readonly bytes: Uint8Array;
}

/** Where a frame stands in the segment, and where the log ended before it. */
export interface FramePlace {
  readonly at: number;
  readonly end: number;
  readonly previousEnd: number;
}

export function readFile(disk: Disk, path: string): Uint8Array {
  const file = disk.open(path, 'read');
  try {
    const bytes = new Uint8Array(file.size());
    return bytes.subarray(0, readFully(file, bytes, 0, bytes.length, 0));
  } finally {
    file.close();
  }
}

export function readSegmentHeader(disk: Disk, path: string): SegmentHeader | null {
  const file = disk.open(path, 'read');
  try {
    const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
    return readFully(file, bytes, 0, bytes.length, 0) === bytes.length ? decodeSegmentHeader(bytes) : null;
  } finally {
    file.close();
  }
}

/** The file at `path`; null when its header is no segment's. */
export function readSegment(disk: Disk, path: string): SegmentImage | null {
  const bytes = readFile(disk, path);
  const header = decodeSegmentHeader(bytes);
  return header === null ? null : { header, base: header.number * header.stride, bytes };
}

/** The next valid frame at or behind offset `from`; null when there is none. */
export function nextFrame({ header, base, bytes }: SegmentImage, from: number): FramePlace | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = from; at + FRAME_HEADER_BYTES <= bytes.length; at += 8) {
    if (view.getUint32(at, true) !== FRAME_MAGIC) continue;
    const length = frameLength(view, bytes, at, bytes.length, base + at, header.salt, NO_FAULTS);
    if (length > 0) return { at, end: at + length, previousEnd: previousEnd(view, at) };
  }
  return null;
}

/** All of them, in order. */
export function* framesOf(image: SegmentImage): Generator<FramePlace> {
  for (let frame = nextFrame(image, SEGMENT_DATA_START); frame !== null; frame = nextFrame(image, frame.end))
    yield frame;
}
