// From files to contents: takes the newest whole checkpoint, replays the frames behind it, and decides about every byte that is not a valid frame. Also leaves the files
// fit to go on with. Runs before anything is served, with plain synchronous calls. Longer than most files: the decisions about a byte depend on each other and are read together.
//
//   torn tail    no valid frame follows, and nothing proves that one was there: cut off; nothing in it was ever confirmed
//   damage       a valid frame follows (frames are written one after the other, so what is in front of it was durable once), or a checkpoint reached further: put aside
//                as a file, counted, reported with segment and position; everything around it is served
//
// After an unclean stop the last segment is written anew into a fresh file, synced, and put in place of the old one: what the page cache shows need not be on the disk,
// and a tail cut off here can never come back, since the new file has a salt of its own.
import { join } from 'node:path';
import { type Disk, readFully, writeFully } from '../../io/disk.ts';
import type { Random } from '../../io/random.ts';

import { checkpointName, checkpointNumber, copyName } from './checkpoint-format.ts';
import { loadCheckpoint } from './checkpoint-load.ts';
import { Contents } from './contents.ts';
import type { Faults } from './faults.ts';
import { isZero, removeIfThere } from './keeper.ts';
import { RecordKind } from './record.ts';
import { Replay } from './replay.ts';
import {
  align,
  BLOCK_BYTES,
  decodeSegmentHeader,
  encodeSegmentHeader,
  FORMAT_VERSION,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_MAGIC_BYTES,
  FrameFlag,
  frameCrc,
  frameLength,
  previousEnd,
  SALT_BYTES,
  SEGMENT_DATA_START,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
  segmentNumber,
} from './segment.ts';
import { Segment } from './segments.ts';

/** The reason of a Damage that is a stretch without frames where some should be. */
export const NO_VALID_FRAME = 'no valid frame';

/** A stretch of the log that could not be read back. */
export interface Damage {
  readonly segment: string;
  readonly position: number;
  readonly bytes: number;
  readonly reason: string;
}

export interface Recovered {
  /** Where the log goes on; null for an empty directory. */
  readonly tail: Segment | null;
  readonly end: number;
  /** Segments behind the tail that hold nothing yet. */
  readonly ahead: readonly Segment[];
  readonly nextSegment: number;
  readonly nextCheckpoint: number;
  readonly checkpointStart: number;
  readonly checkpointBytes: number;
  /** Of the checkpoint that was used; '' for none. */
  readonly checkpointName: string;
  /** How far the log went when it was written. */
  readonly checkpointReach: number;
  readonly clean: boolean;
  readonly tornTailBytes: number;
  readonly damages: readonly Damage[];
  readonly unreadableRecords: number;
}

/** Read at a time where a segment is only looked through. */
const PIECE_BYTES = 256 * 1024;
/** Put-aside copies of damaged stretches do not grow beyond this in all. */
const QUARANTINE_BYTES_MAX = 64 * 1024 * 1024;

export class FormatError extends Error {
  override readonly name = 'FormatError';
}

interface SegmentFile {
  readonly segment: Segment;
  readonly path: string;
}

/** The stride the segments in the directory were made with; 0 when there are none. */
export function storedStride(disk: Disk, directory: string): number {
  for (const name of disk.list(directory)) {
    if (segmentNumber(name) < 0) continue;
    const header = readHeader(disk, join(directory, name));
    if (header !== null) return header.stride;
  }
  return 0;
}

class Recovery {
  private readonly disk: Disk;
  private readonly directory: string;
  private readonly contents: Contents;
  private readonly random: Random;
  private readonly faults: Faults;
  private readonly replay: Replay;
  /** Definitions are looked for in the whole log before anything is replayed: where one is damaged, its repetition has to do. */
  private readonly definitionsFirst: boolean;
  private readonly damages: Damage[] = [];
  /** What a segment is read into, one after the other; as long as the stride. */
  private readonly scratch: Uint8Array;
  private quarantinedBytes = 0;
  private tornTailBytes = 0;
  /** Loose frames were cut off: the log ends there. */
  private cutLoose = false;

  constructor(
    disk: Disk,
    directory: string,
    contents: Contents,
    random: Random,
    faults: Faults,
    scratch: Uint8Array,
    definitionsFirst: boolean,
  ) {
    this.disk = disk;
    this.directory = directory;
    this.contents = contents;
    this.random = random;
    this.faults = faults;
    this.definitionsFirst = definitionsFirst;
    this.replay = new Replay(contents, faults);
    this.scratch = scratch;
  }

  run(): Recovered {
    const files = this.collectSegments();
    const { segments } = this.contents;
    for (const { segment } of files) segments.add(segment);
    const byNumber = new Map(files.map((file) => [file.segment.number, file.segment]));
    const names = this.checkpointNames();
    let start = 0;
    let reach = 0;
    let saidClean = false;
    let used = -1;
    for (const name of names) {
      const loaded = loadCheckpoint(this.disk, this.directory, name, this.contents, (number) => byNumber.get(number));
      if (loaded === null) {
        this.damages.push({
          segment: name,
          position: 0,
          bytes: 0,
          reason: 'neither copy of the checkpoint is whole; the log is read instead',
        });
        this.replay.damaged = true;
        continue;
      }
      ({ start, reach } = loaded);
      saidClean = loaded.clean;
      used = checkpointNumber(name);
      break;
    }
    // The name of the one in use may not be on the disk yet; the others go when it is.
    if (names.length > 1) this.syncDirectory();
    for (const name of names) {
      if (checkpointNumber(name) === used) continue;
      removeIfThere(this.disk, join(this.directory, name));
      removeIfThere(this.disk, join(this.directory, copyName(name)));
    }
    if (this.definitionsFirst) {
      // A set is made of queues: where the first definition of a queue is damaged, the one that is left may stand behind those of its sets.
      this.collectDefinitions(files, start, RecordKind.QueueDef);
      this.collectDefinitions(files, start, RecordKind.SetDef);
    }
    let tail: SegmentFile | null = null;
    // A log that was never cut off in front begins with its first frame.
    const first = files[0]?.segment;
    let end = start === 0 && first?.number === 1 ? first.base + SEGMENT_DATA_START : start;
    for (let i = 0; i < files.length; i++) {
      const file = files[i]!;
      if (file.segment.end <= start) continue;
      const from = Math.max(start, file.segment.base + SEGMENT_DATA_START);
      const reached = this.scan(files, i, from, end);
      this.replay.keepHeld();
      if (reached > from || (start >= file.segment.base && start <= file.segment.end)) {
        tail = file;
        if (reached > end) end = reached;
      }
      if (this.cutLoose) break;
    }
    this.replay.end();
    if (end < reach)
      this.note(tail?.segment ?? null, end, reach - end, 'the log ends before the point the last checkpoint had seen');
    const clean = saidClean && end === reach && this.tornTailBytes === 0 && this.damages.length === 0;
    // Frames of an unfinished unit at the end are dead weight, but the next one begins a unit and so says that they do not count.
    if (tail !== null && !clean && !this.faults.skipTailCopy) this.copyTail(tail, end);
    const ahead = files
      .filter(({ segment }) => tail === null || segment.number > tail.segment.number)
      .map(({ segment }) => segment);
    if (!clean) for (const segment of ahead) this.renew(segment);
    // A killed process may have left names that are not on the disk yet, and what is served from now on relies on them.
    if (!clean) this.syncDirectory();
    const last = files[files.length - 1]?.segment;
    const checkpointNumbers = names.map(checkpointNumber);
    return {
      tail: tail?.segment ?? null,
      end,
      ahead,
      nextSegment: last === undefined ? 1 : last.number + last.strides,
      nextCheckpoint: Math.max(0, ...checkpointNumbers) + 1,
      checkpointStart: start,
      checkpointBytes: used < 0 ? 0 : this.sizeOf(checkpointName(used)),
      checkpointName: used < 0 ? '' : checkpointName(used),
      checkpointReach: reach,
      clean,
      tornTailBytes: this.tornTailBytes,
      damages: this.damages,
      unreadableRecords: this.replay.unreadableRecords,
    };
  }

  /** The segments in order; removes what was never finished. */
  private collectSegments(): SegmentFile[] {
    const files: SegmentFile[] = [];
    for (const name of this.disk.list(this.directory)) {
      const path = join(this.directory, name);
      if (name.endsWith('.making')) {
        this.disk.remove(path);
        continue;
      }
      const number = segmentNumber(name);
      if (number < 0) continue;
      const header = readHeader(this.disk, path);
      if (header !== null && header.version !== FORMAT_VERSION) {
        throw new FormatError(
          `${path} has log format ${header.version}, this Sluice reads format ${FORMAT_VERSION}: start the release that wrote it, or restore a backup into an empty data directory`,
        );
      }
      if (header === null || header.number !== number) {
        // A crash came between the two steps of recycling it, or its first block is damaged. In the first case nobody needs it.
        if (this.holdsFrames(path)) {
          this.damages.push({
            segment: name,
            position: 0,
            bytes: SEGMENT_HEADER_BYTES,
            reason: 'the header of the segment is damaged; put aside',
          });
          this.disk.rename(path, join(this.directory, `${name}.damaged`));
        } else this.disk.remove(path);
        continue;
      }
      files.push({ segment: new Segment(number, header.stride, header.strides, header.salt, true), path });
    }
    return files.sort((a, b) => a.segment.number - b.segment.number);
  }

  private collectDefinitions(files: readonly SegmentFile[], start: number, kind: number): void {
    for (const file of files) {
      if (file.segment.end <= start) continue;
      const from = Math.max(start, file.segment.base + SEGMENT_DATA_START);
      const bytes = this.bytesOf(file, from);
      const view = new DataView(bytes.buffer);
      for (
        let at = this.nextFrame(view, bytes, 0, from, file.segment);
        at >= 0;
        at = this.nextFrame(view, bytes, at, from, file.segment)
      ) {
        const length = view.getUint32(at + 4, true);
        this.replay.definitions(bytes, at, length, from + at, kind);
        at += length;
      }
    }
  }

  /** Newest first, each name once. */
  private checkpointNames(): string[] {
    const numbers = new Set<number>();
    for (const name of this.disk.list(this.directory))
      if (checkpointNumber(name) >= 0) numbers.add(checkpointNumber(name));
    return [...numbers].sort((a, b) => b - a).map(checkpointName);
  }

  /** Replays the frames of a segment from position `from` on. `previous` is where the last frame ended. Returns where the last valid one of this segment ends. */
  private scan(files: readonly SegmentFile[], index: number, from: number, previous: number): number {
    const file = files[index]!;
    const { segment } = file;
    // What is left of the block behind the last frame tells whether another one was begun.
    const bytes = this.bytesOf(file, from, this.scratch, this.lastEnd(file, from) + 2 * BLOCK_BYTES - from);
    const view = new DataView(bytes.buffer);
    let end = from;
    let last = previous;
    for (let at = 0; ; ) {
      const next = this.nextFrame(view, bytes, at, from, segment);
      if (next < 0) break;
      const position = from + next;
      const length = view.getUint32(next + 4, true);
      const before = previousEnd(view, next);
      if (before > last && last > 0) {
        if ((view.getUint32(next + 12, true) & FrameFlag.Loose) !== 0 && !this.syncedBehind(files, index, from, next)) {
          // A power cut took an unsynced frame and left this one, which is unsynced as well, and so is all behind it: an unfinished tail.
          this.cutLoose = true;
          this.tornTailBytes += bytes.length - next;
          return end;
        }
        this.replay.damaged = true;
        this.noteGap(files, last, Math.max(last, Math.min(before, position)));
        if (before >= segment.base)
          this.quarantine(segment, bytes.subarray(Math.max(0, last - from), next), Math.max(last, from));
      }
      this.replay.frame(bytes, next, length, position);
      segment.noteFrame(position, length);
      at = next + length;
      end = from + at;
      last = end;
      segment.dataEnd = end;
    }
    this.tornTailBytes += trailingBytes(bytes, end - from, segment, this.faults);
    return end;
  }

  /** Whether a frame from bytes[at] of a segment on was written after a sync. */
  private syncedBehind(files: readonly SegmentFile[], index: number, from: number, at: number): boolean {
    for (let i = index; i < files.length; i++) {
      const { segment } = files[i]!;
      const start = i === index ? from : segment.base + SEGMENT_DATA_START;
      const bytes = this.bytesOf(files[i]!, start);
      const view = new DataView(bytes.buffer);
      for (let here = i === index ? at : 0; ; ) {
        here = this.nextFrame(view, bytes, here, start, segment);
        if (here < 0) break;
        if ((view.getUint32(here + 12, true) & FrameFlag.Loose) === 0) return true;
        here += view.getUint32(here + 4, true);
      }
    }
    return false;
  }

  /**
   * Where the last thing in a segment ends, from a position on, that looks like a frame by its header; `from` when there is none. Asked of its pieces, from the back: the
   * unused end of a segment does not have to be in memory for it.
   */
  private lastEnd({ segment, path }: SegmentFile, from: number): number {
    const bytes = this.scratch.subarray(0, Math.min(this.scratch.length, PIECE_BYTES));
    const words = new Uint32Array(bytes.buffer, 0, bytes.length >>> 2);
    const view = new DataView(bytes.buffer, 0, bytes.length);
    // A header that begins in one piece ends in it.
    const step = bytes.length - FRAME_HEADER_BYTES;
    const file = this.disk.open(path, 'read');
    try {
      const end = Math.min(segment.end, segment.base + file.size());
      for (let piece = Math.ceil((end - from) / step) - 1; piece >= 0; piece--) {
        const start = from + piece * step;
        const count = readFully(file, bytes, 0, Math.min(bytes.length, end - start), start - segment.base);
        if (Buffer.from(bytes.buffer, 0, count).indexOf(FRAME_MAGIC_BYTES) < 0) continue;
        for (let word = ((count - FRAME_HEADER_BYTES) >> 3) * 2; word >= 0; word -= 2) {
          if (words[word] !== FRAME_MAGIC) continue;
          const position = start + 4 * word;
          if (!this.faults.acceptStaleFrames && view.getFloat64(4 * word + 16, true) !== position) continue;
          return Math.min(segment.end, position + Math.max(FRAME_HEADER_BYTES, words[word + 1]!));
        }
      }
      return from;
    } finally {
      file.close();
    }
  }

  /** The bytes of a segment from a position on, at most `limit`; in `memory` when they fit. */
  private bytesOf(
    { segment, path }: SegmentFile,
    from: number,
    memory: Uint8Array | null = null,
    limit = Number.POSITIVE_INFINITY,
  ): Uint8Array {
    const file = this.disk.open(path, 'read');
    try {
      const offset = from - segment.base;
      const size = Math.max(0, Math.min(file.size() - offset, segment.end - from, limit));
      const bytes = memory !== null && size <= memory.length ? memory.subarray(0, size) : new Uint8Array(size);
      readFully(file, bytes, 0, bytes.length, offset);
      return bytes;
    } finally {
      file.close();
    }
  }

  /** Offset in `bytes` of the first valid frame at or behind `at`; -1 when there is none. */
  private nextFrame(view: DataView, bytes: Uint8Array, at: number, from: number, segment: Segment): number {
    const end = bytes.length;
    if (frameLength(view, bytes, at, end, from + at, segment.salt, this.faults) > 0) return at;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, end >>> 2);
    for (let word = at >>> 2; word + 1 < words.length; word += 2) {
      if (words[word] !== FRAME_MAGIC) continue;
      const here = word << 2;
      if (frameLength(view, bytes, here, end, from + here, segment.salt, this.faults) > 0) return here;
    }
    return -1;
  }

  /** No valid frame from one position to another: each segment is named for its part, whose file is gone is named by nothing. What lies in an earlier one may be its unused end. */
  private noteGap(files: readonly SegmentFile[], from: number, to: number): void {
    let known = from;
    for (const { segment } of files) {
      if (segment.end <= from || segment.base >= to) continue;
      if (segment.base > known) this.note(null, known, segment.base - known, NO_VALID_FRAME);
      const start = Math.max(from, segment.base + SEGMENT_DATA_START);
      const end = Math.min(to, segment.end);
      if (end > start) this.note(segment, start, end - start, NO_VALID_FRAME);
      known = segment.end;
    }
    if (known < to) this.note(null, known, to - known, NO_VALID_FRAME);
  }

  private note(segment: Segment | null, position: number, bytes: number, reason: string): void {
    this.damages.push({ segment: segment === null ? '' : segmentName(segment.number), position, bytes, reason });
  }

  /** Keeps a copy of bytes that make no sense, for whoever wants to look at them. */
  private quarantine(segment: Segment, bytes: Uint8Array, position: number): void {
    if (this.quarantinedBytes + bytes.length > QUARANTINE_BYTES_MAX) return;
    this.quarantinedBytes += bytes.length;
    const path = join(this.directory, `${segmentName(segment.number)}.${position}.damaged`);
    removeIfThere(this.disk, path);
    const file = this.disk.open(path, 'create');
    try {
      writeFully(file, bytes, 0, bytes.length, 0);
      file.sync();
    } finally {
      file.close();
    }
  }

  /** Writes the tail's valid frames into a fresh file with a salt of its own and puts it in place of the old one. */
  private copyTail({ segment, path }: SegmentFile, end: number): void {
    const size = segment.end - segment.base;
    const bytes = size <= this.scratch.length ? this.scratch.subarray(0, size) : new Uint8Array(size);
    const old = this.disk.open(path, 'read');
    try {
      // It has its full size; what would be missing is zeros.
      bytes.fill(0, readFully(old, bytes, 0, size, 0));
    } finally {
      old.close();
    }
    const salt = this.random.bytes(SALT_BYTES);
    const view = new DataView(bytes.buffer);
    const limit = Math.max(SEGMENT_DATA_START, Math.min(size, end - segment.base));
    let done = SEGMENT_DATA_START;
    for (let at = SEGMENT_DATA_START; at < limit; ) {
      const next = this.nextFrame(view, bytes, at, segment.base, segment);
      if (next < 0 || next >= limit) break;
      const length = view.getUint32(next + 4, true);
      bytes.fill(0, done, next);
      view.setUint32(next + 8, frameCrc(bytes, next, length, salt), true);
      at = next + length;
      done = at;
    }
    bytes.fill(0, done);
    bytes.set(encodeSegmentHeader(segment.number, this.contents.segments.stride, segment.strides, salt), 0);
    const fresh = `${path}.making`;
    removeIfThere(this.disk, fresh);
    const file = this.disk.open(fresh, 'create');
    try {
      writeFully(file, bytes, 0, size, 0);
      file.sync();
    } finally {
      file.close();
    }
    this.disk.rename(fresh, path);
    this.syncDirectory();
    segment.salt.set(salt);
  }

  /** Gives an empty segment a new salt, so that what a crash left half written in it can never pass for a frame. */
  private renew(segment: Segment): void {
    const salt = this.random.bytes(SALT_BYTES);
    const header = encodeSegmentHeader(segment.number, this.contents.segments.stride, segment.strides, salt);
    const file = this.disk.open(join(this.directory, segmentName(segment.number)), 'write');
    try {
      writeFully(file, header, 0, header.length, 0);
      file.sync();
    } finally {
      file.close();
    }
    segment.salt.set(salt);
  }

  private syncDirectory(): void {
    if (!this.faults.skipDirectorySync) this.disk.syncDirectory(this.directory);
  }

  private sizeOf(name: string): number {
    try {
      const file = this.disk.open(join(this.directory, name), 'read');
      const size = file.size();
      file.close();
      return size;
    } catch {
      // Only the copy is there; the size only guides when the next checkpoint is due.
      return 0;
    }
  }

  private holdsFrames(path: string): boolean {
    const file = this.disk.open(path, 'read');
    try {
      const bytes = new Uint8Array(BLOCK_BYTES);
      const count = readFully(file, bytes, 0, bytes.length, SEGMENT_DATA_START);
      // A recycled segment has another number in a good header; one whose header is gone shows its frames.
      const header = readHeaderOf(file);
      return header === null && count >= 4 && new DataView(bytes.buffer).getUint32(0, true) === FRAME_MAGIC;
    } finally {
      file.close();
    }
  }
}

/** What the files of a directory hold, and where its log goes on. scratch: memory for it, of stride bytes. */
export function recover(
  disk: Disk,
  directory: string,
  stride: number,
  random: Random,
  faults: Faults,
  scratch: Uint8Array = new Uint8Array(stride),
): { readonly contents: Contents; readonly recovered: Recovered } {
  let contents = new Contents(stride, faults);
  let recovered = new Recovery(disk, directory, contents, random, faults, scratch, false).run();
  if (recovered.unreadableRecords > 0 || recovered.damages.length > 0) {
    // Definitions may be among what was damaged, of sets and of the queues in them. They are repeated further on, so once more, with all definitions first.
    const { damages } = recovered;
    contents = new Contents(stride, faults);
    recovered = new Recovery(disk, directory, contents, random, faults, scratch, true).run();
    recovered = { ...recovered, damages: recovered.damages.length >= damages.length ? recovered.damages : damages };
  }
  return { contents, recovered };
}

/** How many bytes behind the last frame are something else than zeros or the remains of an earlier use. */
function trailingBytes(bytes: Uint8Array, from: number, segment: Segment, faults: Faults): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts =
    from % BLOCK_BYTES === 0
      ? [from]
      : [from, align(segment.dataEnd - segment.base, BLOCK_BYTES) - (segment.dataEnd - segment.base) + from];
  for (const at of starts) {
    if (at + 32 > bytes.length || view.getUint32(at, true) !== FRAME_MAGIC) continue;
    const length = view.getUint32(at + 4, true);
    const position = view.getFloat64(at + 16, true);
    // A frame header for this very place: what follows was cut off in the middle of being written.
    if (position === segment.dataEnd + (at - from) && !faults.acceptStaleFrames)
      return Math.min(length, bytes.length - at);
  }
  const blockEnd = Math.min(
    bytes.length,
    from + (align(segment.dataEnd - segment.base, BLOCK_BYTES) - (segment.dataEnd - segment.base)),
  );
  return isZero(bytes, from, blockEnd) ? 0 : blockEnd - from;
}

function readHeader(disk: Disk, path: string): SegmentHeader | null {
  const file = disk.open(path, 'read');
  try {
    return readHeaderOf(file);
  } finally {
    file.close();
  }
}

function readHeaderOf(file: ReturnType<Disk['open']>): SegmentHeader | null {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  return readFully(file, bytes, 0, bytes.length, 0) === bytes.length ? decodeSegmentHeader(bytes) : null;
}
