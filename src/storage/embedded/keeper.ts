// The slow work on files that must disturb neither the event loop nor the writer: making segments ahead of time, recycling and removing dead ones, reading and
// checking stretches of the log, writing checkpoints. Does one short step per call; runs on the keeper's thread, or inline in a simulation. Keeps no opinion of what
// is dead or needed: that is the storage's business.
import { join } from 'node:path';
import { type Disk, type DiskFile, errorCode, readFully, writeFully } from '../../io/disk.ts';
import { copyName } from './checkpoint-format.ts';
import type { Faults } from './faults.ts';
import {
  BLOCK_BYTES,
  encodeSegmentHeader,
  FRAME_MAGIC,
  frameLength,
  previousEnd,
  SEGMENT_DATA_START,
  segmentName,
} from './segment.ts';

/** Zeros are written in pieces of this size, so that a read never waits long behind them. */
const ZERO_BYTES = 1 << 20;

export const BALLAST_NAME = 'ballast';

export type KeeperJob =
  /** Makes the segment, out of the dead one `recycled` when that is not 0. */
  | { kind: 'make'; segment: number; strides: number; stride: number; salt: Uint8Array; recycled: number }
  | { kind: 'remove'; segments: readonly number[] }
  /** Reads [offset, offset + length) of a segment into memory at `at` and checks its frames. */
  | {
      kind: 'read';
      segment: number;
      offset: number;
      length: number;
      memory: Uint8Array;
      at: number;
      base: number;
      salt: Uint8Array;
    }
  /** One piece of a checkpoint file; the first one makes it, the last one puts it in its place and removes the ones before. */
  | { kind: 'checkpoint'; name: string; bytes: Uint8Array; first: boolean; last: boolean; replaces: readonly string[] }
  /** Makes the file that is given up when the disk is full, or gives it up (bytes 0). */
  | { kind: 'ballast'; bytes: number }
  | { kind: 'space' };

/** A stretch of a segment that holds no valid frame where one should be. Offsets in the segment. */
export interface BadStretch {
  readonly start: number;
  readonly end: number;
}

export interface KeeperResult {
  readonly error: { readonly message: string; readonly code: string } | null;
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly bad: readonly BadStretch[];
}

export class Keeper {
  private readonly disk: Disk;
  private readonly directory: string;
  private readonly faults: Faults;
  private readonly zeros = new Uint8Array(ZERO_BYTES);
  private making: { file: DiskFile; path: string; job: KeeperJob & { kind: 'make' }; at: number } | null = null;
  private checkpoint: { files: DiskFile[]; paths: string[]; at: number } | null = null;
  private readonly readers = new Map<number, DiskFile>();

  constructor(disk: Disk, directory: string, faults: Faults) {
    this.disk = disk;
    this.directory = directory;
    this.faults = faults;
  }

  /** Does a step of the job; null while it is not finished. Errors are part of the result. */
  step(job: KeeperJob): KeeperResult | null {
    try {
      switch (job.kind) {
        case 'make':
          return this.make(job) ? this.result() : null;
        case 'remove':
          return this.remove(job.segments);
        case 'read':
          return this.read(job);
        case 'checkpoint':
          return this.writeCheckpoint(job);
        case 'ballast':
          return this.ballast(job.bytes);
        case 'space':
          return this.result();
      }
    } catch (error) {
      this.abandon(job);
      const message = error instanceof Error ? error.message : String(error);
      return { error: { message, code: errorCode(error) }, freeBytes: 0, totalBytes: 0, bad: [] };
    }
  }

  close(): void {
    for (const file of this.readers.values()) file.close();
    this.readers.clear();
    this.making?.file.close();
    this.making = null;
    for (const file of this.checkpoint?.files ?? []) file.close();
    this.checkpoint = null;
  }

  private result(): KeeperResult {
    const { freeBytes, totalBytes } = this.disk.space(this.directory);
    return { error: null, freeBytes, totalBytes, bad: [] };
  }

  private syncDirectory(): void {
    if (!this.faults.skipDirectorySync) this.disk.syncDirectory(this.directory);
  }

  private path(segment: number): string {
    return join(this.directory, segmentName(segment));
  }

  private make(job: KeeperJob & { kind: 'make' }): boolean {
    const header = encodeSegmentHeader(job.segment, job.stride, job.strides, job.salt);
    if (job.recycled !== 0) {
      this.forgetReader(job.recycled);
      // Renamed first: with the old header it is no valid segment under the new name, and nobody needs it under the old one.
      this.disk.rename(this.path(job.recycled), this.path(job.segment));
      const file = this.disk.open(this.path(job.segment), 'write');
      try {
        writeFully(file, header, 0, header.length, 0);
        file.sync();
      } finally {
        file.close();
      }
      this.syncDirectory();
      return true;
    }
    if (this.making === null) {
      const path = `${this.path(job.segment)}.making`;
      removeIfThere(this.disk, path);
      const file = this.disk.open(path, 'create');
      writeFully(file, header, 0, header.length, 0);
      this.making = { file, path, job, at: header.length };
    }
    const { file, path } = this.making;
    const size = job.stride * job.strides;
    const count = Math.min(ZERO_BYTES, size - this.making.at);
    if (count > 0) {
      writeFully(file, this.zeros, 0, count, this.making.at);
      this.making.at += count;
    }
    if (this.making.at < size) return false;
    file.sync();
    file.close();
    this.making = null;
    this.disk.rename(path, this.path(job.segment));
    this.syncDirectory();
    return true;
  }

  private remove(segments: readonly number[]): KeeperResult {
    for (const segment of segments) {
      this.forgetReader(segment);
      removeIfThere(this.disk, this.path(segment));
    }
    this.syncDirectory();
    return this.result();
  }

  private read(job: KeeperJob & { kind: 'read' }): KeeperResult {
    let file = this.readers.get(job.segment);
    if (file === undefined) {
      file = this.disk.open(this.path(job.segment), 'read');
      this.readers.set(job.segment, file);
      if (this.readers.size > READERS_MAX) this.forgetReader(this.readers.keys().next().value!);
    }
    const { memory, at } = job;
    const count = readFully(file, memory, at, at + job.length, job.offset);
    memory.fill(0, at + count, at + job.length);
    const bad: BadStretch[] = [];
    const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    const end = at + job.length;
    const shift = job.offset - at;
    let here = at;
    while (here < end) {
      const length = frameLength(view, memory, here, end, job.base + here + shift, job.salt, this.faults);
      if (length > 0) {
        here += length;
        continue;
      }
      // Between frames lies at most the rest of a block, and the next one knows where the one before it ended: a block of zeros may have held whole frames. An extent begins with a frame.
      const next = this.nextFrame(view, memory, here, end, job, shift);
      const pad =
        here > at &&
        blockStart(here + shift) === next + shift &&
        (next === end || previousEnd(view, next) === job.base + here + shift);
      if (!pad || !isZero(memory, here, next)) bad.push({ start: here + shift, end: next + shift });
      here = next;
    }
    return { error: null, freeBytes: 0, totalBytes: 0, bad };
  }

  private nextFrame(
    view: DataView,
    memory: Uint8Array,
    from: number,
    end: number,
    job: KeeperJob & { kind: 'read' },
    shift: number,
  ): number {
    for (let at = from + 8; at + 8 <= end; at += 8) {
      if (view.getUint32(at, true) !== FRAME_MAGIC) continue;
      if (frameLength(view, memory, at, end, job.base + at + shift, job.salt, this.faults) > 0) return at;
    }
    return end;
  }

  private writeCheckpoint(job: KeeperJob & { kind: 'checkpoint' }): KeeperResult {
    const names = [job.name, copyName(job.name)].map((name) => join(this.directory, name));
    if (job.first) {
      this.dropCheckpoint();
      const paths = names.map((name) => `${name}.making`);
      this.checkpoint = { files: [], paths, at: 0 };
      for (const path of paths) {
        removeIfThere(this.disk, path);
        this.checkpoint.files.push(this.disk.open(path, 'create'));
      }
    }
    const { checkpoint } = this;
    if (checkpoint === null) throw new Error('a checkpoint goes on that was not begun');
    const { files, paths } = checkpoint;
    for (const file of files) writeFully(file, job.bytes, 0, job.bytes.length, checkpoint.at);
    checkpoint.at += job.bytes.length;
    if (!job.last) return { error: null, freeBytes: 0, totalBytes: 0, bad: [] };
    if (!this.faults.checkpointBeforeSync) for (const file of files) file.sync();
    for (const file of files) file.close();
    this.checkpoint = null;
    for (let i = 0; i < paths.length; i++) this.disk.rename(paths[i]!, names[i]!);
    this.syncDirectory();
    // The one before goes when the new one is there for certain. Its end is not synced: a leftover is found and removed at the next start.
    for (const name of job.replaces) removeIfThere(this.disk, join(this.directory, name));
    return this.result();
  }

  private dropCheckpoint(): void {
    const { checkpoint } = this;
    this.checkpoint = null;
    for (const file of checkpoint?.files ?? []) file.close();
    for (const path of checkpoint?.paths ?? []) quietly(() => removeIfThere(this.disk, path));
  }

  private ballast(bytes: number): KeeperResult {
    const path = join(this.directory, BALLAST_NAME);
    removeIfThere(this.disk, path);
    if (bytes > 0) {
      const file = this.disk.open(path, 'create');
      try {
        for (let at = 0; at < bytes; at += ZERO_BYTES)
          writeFully(file, this.zeros, 0, Math.min(ZERO_BYTES, bytes - at), at);
        file.sync();
      } finally {
        file.close();
      }
    }
    this.syncDirectory();
    return this.result();
  }

  private forgetReader(segment: number): void {
    this.readers.get(segment)?.close();
    this.readers.delete(segment);
  }

  /** Takes away what a failed job left behind. */
  private abandon(job: KeeperJob): void {
    if (job.kind === 'make' && this.making !== null) {
      this.making.file.close();
      quietly(() => removeIfThere(this.disk, `${this.path(job.segment)}.making`));
      this.making = null;
    } else if (job.kind === 'checkpoint') {
      this.dropCheckpoint();
    } else if (job.kind === 'ballast') {
      quietly(() => removeIfThere(this.disk, join(this.directory, BALLAST_NAME)));
    }
  }
}

const READERS_MAX = 64;

export function removeIfThere(disk: Disk, path: string): void {
  try {
    disk.remove(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/** The job has failed already and its error is reported; what goes wrong while tidying up adds nothing to it. */
function quietly(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (errorCode(error) === '') throw error;
  }
}

function blockStart(offset: number): number {
  return Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
}

export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

export { SEGMENT_DATA_START };
