// Puts sealed frames on the disk: computes their CRCs, writes the blocks they touch, and returns when they are durable (or, for frames that ask for no more, handed to the
// operating system). One write at a time; it takes as many of the frames that wait as stand side by side. Runs on the writer's thread, or inline in a simulation. Never
// retries a failed write or sync: after one, it is dead.
//
//   memory   …│ tail of the frame before │ frame │ zeros │ frame │ zeros │…      the whole blocks around the frames are written; what stands in front of the first
//             └ block boundary ──────────────────┴───────────────┘               frame in its block is already on the disk and is written again unchanged
//
// A power cut in the middle of a write may keep a frame and not the one before it in the same write. So all but the first of a write are marked as Loose: found without the
// one before and with nothing synced behind, it is the remains of a write that nobody was told of; with a frame behind that is not Loose, the one before was there once.
import { join } from 'node:path';
import { type Disk, type DiskFile, errorCode, writeFully } from '../../io/disk.ts';
import type { Faults } from './faults.ts';
import { align, BLOCK_BYTES, FrameFlag, frameCrc, SALT_BYTES, segmentName } from './segment.ts';

/** What one write carries at most, unless one frame is larger: the wait for the disk is paid once for so much, and no confirm waits for more. */
const WRITE_BYTES_MAX = 1024 * 1024;

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

  /** Writes the first of these frames, and with it those that go into the same write; returns how many. */
  write(orders: readonly FrameOrder[]): number {
    if (this.dead) throw new Error('the writer has failed before');
    const count = this.countTogether(orders);
    try {
      this.writeOnce(orders, count);
    } catch (error) {
      if (!this.faults.retryAfterError) {
        this.dead = true;
        throw error;
      }
      this.direct?.sync();
      this.buffered?.sync();
    }
    return count;
  }

  close(): void {
    if (this.unsynced && !this.dead) this.buffered?.sync();
    this.direct?.close();
    this.buffered?.close();
    this.direct = null;
    this.buffered = null;
    this.segment = -1;
  }

  /** How many of the frames, from the first on, stand behind each other in memory and on the disk, ask for the same, and are not too much for one write. */
  private countTogether(orders: readonly FrameOrder[]): number {
    const first = orders[0]!;
    let count = 1;
    for (let end = first.at + first.length; count < orders.length; count++) {
      const { segment, offset, memory, at, length, sync } = orders[count]!;
      const together =
        segment === first.segment &&
        memory === first.memory &&
        sync === first.sync &&
        at - first.at === offset - first.offset;
      if (!together || at < end || at + length - first.at > WRITE_BYTES_MAX) break;
      end = at + length;
    }
    return count;
  }

  private writeOnce(orders: readonly FrameOrder[], count: number): void {
    const first = orders[0]!;
    if (first.segment !== this.segment) this.enter(first.segment);
    const { memory, sync } = first;
    for (let i = 0; i < count; i++) {
      const { at, length, salt } = orders[i]!;
      if (i > 0 && !this.faults.claimSynced) memory[at + 12]! |= FrameFlag.Loose;
      const crc = frameCrc(memory, at, length, salt);
      memory[at + 8] = crc & 0xff;
      memory[at + 9] = (crc >>> 8) & 0xff;
      memory[at + 10] = (crc >>> 16) & 0xff;
      memory[at + 11] = crc >>> 24;
    }
    const last = orders[count - 1]!;
    const before = first.offset % BLOCK_BYTES;
    const start = first.at - before;
    const end = start + align(before + (last.at - first.at) + last.length, BLOCK_BYTES);
    const position = first.offset - before;
    // A frame that is synced proves that everything in front of it was: what was not yet goes first.
    if (sync && this.unsynced) this.syncLoose();
    if (sync && this.writeDirect(memory, start, end, position)) return;
    const file = this.bufferedFile();
    writeFully(file, memory, start, end, position);
    if (sync) file.sync();
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
