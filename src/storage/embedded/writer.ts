// Puts sealed frames on the disk, one at a time: computes the CRC, writes the blocks the frame touches, and returns when they are durable (or, for a frame that asks
// for no more, handed to the operating system). Runs on the writer's thread, or inline in a simulation. Never retries a failed write or sync: after one, it is dead.
//
//   memory   …│ tail of the frame before │ frame │ zeros │…      the whole blocks around the frame are written; what stands in front of the frame in its
//             └ block boundary ───────────────────────┘          first block is already on the disk and is written again unchanged
import { join } from 'node:path';
import { type Disk, type DiskFile, errorCode, writeFully } from '../../io/disk.ts';
import type { Faults } from './faults.ts';
import { align, BLOCK_BYTES, frameCrc, SALT_BYTES, segmentName } from './segment.ts';

export interface FrameOrder {
  /** Segment and place in it. */
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** Where the frame stands in memory; offset and at agree modulo BLOCK_BYTES. */
  readonly memory: Uint8Array;
  readonly at: number;
  readonly salt: Uint8Array;
  /** Durable before it counts as written. */
  readonly sync: boolean;
}

export class Writer {
  private readonly disk: Disk;
  private readonly directory: string;
  private readonly faults: Faults;
  private segment = -1;
  private direct: DiskFile | null = null;
  private buffered: DiskFile | null = null;
  /** Direct files were refused once; they are not asked for again. */
  private directRefused: boolean;
  /** Something was written to `buffered` and not synced. */
  private unsynced = false;
  private dead = false;

  constructor(disk: Disk, directory: string, direct: boolean, faults: Faults) {
    this.disk = disk;
    this.directory = directory;
    this.faults = faults;
    this.directRefused = !direct;
  }

  /** How frames reach the disk, for the operator. */
  get method(): string {
    return this.directRefused ? 'write + fdatasync' : 'O_DIRECT | O_DSYNC';
  }

  write(order: FrameOrder): void {
    if (this.dead) throw new Error('the writer has failed before');
    try {
      this.writeOnce(order);
    } catch (error) {
      if (!this.faults.retryAfterError) {
        this.dead = true;
        throw error;
      }
      this.direct?.sync();
      this.buffered?.sync();
    }
  }

  close(): void {
    if (this.unsynced && !this.dead) this.buffered?.sync();
    this.direct?.close();
    this.buffered?.close();
    this.direct = null;
    this.buffered = null;
    this.segment = -1;
  }

  private writeOnce(order: FrameOrder): void {
    if (order.segment !== this.segment) this.enter(order.segment);
    const { memory, at, length } = order;
    const crc = frameCrc(memory, at, length, order.salt);
    memory[at + 8] = crc & 0xff;
    memory[at + 9] = (crc >>> 8) & 0xff;
    memory[at + 10] = (crc >>> 16) & 0xff;
    memory[at + 11] = crc >>> 24;
    const before = order.offset % BLOCK_BYTES;
    const start = at - before;
    const end = start + align(before + length, BLOCK_BYTES);
    const position = order.offset - before;
    // A frame that is synced proves that everything in front of it was: what was not yet goes first.
    if (order.sync && this.unsynced) this.syncLoose();
    if (order.sync && this.writeDirect(memory, start, end, position)) return;
    const file = this.bufferedFile();
    writeFully(file, memory, start, end, position);
    if (order.sync) file.sync();
    else this.unsynced = !this.faults.forgetUnsynced;
  }

  private syncLoose(): void {
    this.buffered?.sync();
    this.unsynced = false;
  }

  /** Returns false when the file system has no direct files. */
  private writeDirect(memory: Uint8Array, start: number, end: number, position: number): boolean {
    if (this.directRefused) return false;
    try {
      this.direct ??= this.disk.open(join(this.directory, segmentName(this.segment)), 'direct');
      writeFully(this.direct, memory, start, end, position, BLOCK_BYTES);
      return true;
    } catch (error) {
      // Some file systems refuse at open, some at the first write; nothing has been written then.
      if (errorCode(error) !== 'EINVAL') throw error;
      this.directRefused = true;
      this.direct?.close();
      this.direct = null;
      return false;
    }
  }

  private bufferedFile(): DiskFile {
    this.buffered ??= this.disk.open(join(this.directory, segmentName(this.segment)), 'write');
    return this.buffered;
  }

  private enter(segment: number): void {
    // What the segment before holds must be safe before anything behind it is.
    if (this.unsynced) this.syncLoose();
    this.close();
    this.segment = segment;
  }
}

export { SALT_BYTES };
