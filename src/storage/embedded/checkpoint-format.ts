// What a checkpoint is in its files, and how its blocks are read: names, blocks, entries. checkpoint.ts says what stands in the entries, sleepers.ts reads some of them late.
//
//   file     block │ block │ …                    two files with the same content: a block damaged in one is taken from the other
//   block    magic u32 │ length u32 (header included, multiple of 8) │ crc u32 of what follows │ number of the block u32 │ entries …
//   entry    kind u32 │ bytes u32 (multiple of 8) │ …
//     Head     start f64 │ stride u32 │ next queue u32 │ next set u32 │ –
//     Segment  number f64 │ total f64 │ data end f64 │ extents u32 │ live u32, u32 × extents                    live: valid in an exact checkpoint
//     Queue    id u32 │ durability u32 │ next sequence f64 │ name bytes u32 │ –, name
//     Set      id u32 │ count u32 │ last used f64 │ text bytes u32 │ –, queue u32 × count, options as JSON
//     State    space bytes u32 │ key bytes u32 │ value bytes u32 │ –, space, key, value
//     Entries  queue u32 │ count u16 │ dead u16 │ first sequence f64 │ base f64, index entries u32 × count      dead: how many of them are settled
//     Far      queue u32 │ – │ sequence f64 │ position f64          a message that lies too far from its chunk's base; follows its Entries in the same block
//     End      reach f64 │ how u32 │ –                                                                               how: Ending
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Disk, type DiskFile, errorCode, readFully } from '../../io/disk.ts';

export const MAGIC = 0x504b4353;
export const BLOCK_HEADER_BYTES = 16;
/** Size of a block, unless one entry is larger: a few tenths of a millisecond of work. */
export const CHECKPOINT_BLOCK_BYTES = 256 * 1024;
export const ENTRY_HEADER_BYTES = 8;

export const Kind = { Head: 1, Segment: 2, Queue: 3, Set: 4, State: 5, Entries: 6, Far: 7, End: 8 } as const;

const NAME = /^(\d{10})\.checkpoint$/;

export function checkpointName(number: number): string {
  return `${String(number).padStart(10, '0')}.checkpoint`;
}

/** The second file of a checkpoint. */
export function copyName(name: string): string {
  return name.replace('.checkpoint', '.checkpoint-copy');
}

export function checkpointNumber(name: string): number {
  const match = NAME.exec(name.replace('.checkpoint-copy', '.checkpoint'));
  return match === null ? -1 : Number(match[1]);
}

/** How an End was reached. Exact: the broker was stopped, and nothing changed from the checkpoint's start to its end. */
export const Ending = { Running: 0, Clean: 1, Exact: 2 } as const;
export type Ending = (typeof Ending)[keyof typeof Ending];

/**
 * A checkpoint read a block at a time, so that a start needs no more memory than the index itself. The second file is looked at only where the first one is damaged.
 */
export class Blocks {
  private readonly files: (DiskFile | null)[];
  private memory: Uint8Array;
  /** Which of the two files the last block was read from. */
  foundIn: 0 | 1 = 0;

  /** memory: what blocks are read into, for as long as none is larger. */
  constructor(
    disk: Disk,
    directory: string,
    name: string,
    memory: Uint8Array = new Uint8Array(CHECKPOINT_BLOCK_BYTES),
  ) {
    this.memory = memory;
    this.files = [name, copyName(name)].map((one) => openIfPossible(disk, join(directory, one)));
  }

  close(): void {
    for (const file of this.files) file?.close();
  }

  /** Shows all blocks in order, until visit says that there was the last one; false when one of them is good in neither file. The bytes are valid during the call. */
  each(visit: (block: Uint8Array, at: number, number: number) => boolean): boolean {
    for (let at = 0, number = 0; ; number++) {
      const block = this.read(at, number);
      if (block === null) return false;
      if (visit(block, at, number)) return true;
      at += block.length;
    }
  }

  /** The block of this number, which begins at this place of the file; null when it is good in neither. Sets foundIn. */
  read(at: number, number: number): Uint8Array | null {
    this.foundIn = 0;
    const block = this.readFrom(0, at, number, true);
    if (block !== null) return block;
    this.foundIn = 1;
    return this.readFrom(1, at, number, true);
  }

  /** A block that read() has just found whole in this file. */
  readAgain(at: number, number: number, which: 0 | 1): Uint8Array | null {
    return this.readFrom(which, at, number, false);
  }

  private readFrom(which: 0 | 1, at: number, number: number, checked: boolean): Uint8Array | null {
    const file = this.files[which] ?? null;
    if (file === null) return null;
    try {
      const count = readFully(file, this.memory, 0, this.memory.length, at);
      if (count < BLOCK_HEADER_BYTES) return null;
      const view = new DataView(this.memory.buffer);
      const length = view.getUint32(4, true);
      if (view.getUint32(0, true) !== MAGIC || view.getUint32(12, true) !== number) return null;
      if (length < BLOCK_HEADER_BYTES || length % 8 !== 0) return null;
      const crc = view.getUint32(8, true);
      if (length > this.memory.length) {
        if (at + length > file.size()) return null;
        this.memory = new Uint8Array(length);
        if (readFully(file, this.memory, 0, length, at) < length) return null;
      } else if (length > count) return null;
      const block = this.memory.subarray(0, length);
      return !checked || crc32(block.subarray(12)) === crc ? block : null;
    } catch (error) {
      // Unreadable: the other file has to do.
      if (errorCode(error) === '') throw error;
      return null;
    }
  }
}

function openIfPossible(disk: Disk, path: string): DiskFile | null {
  try {
    return disk.open(path, 'read');
  } catch (error) {
    // Missing or unreadable: the other file has to do, and when that fails too, the whole log is read.
    if (errorCode(error) === '') throw error;
    return null;
  }
}

export function eachEntry(block: Uint8Array, visit: (kind: number, view: DataView, at: number) => void): void {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  for (let at = BLOCK_HEADER_BYTES; at < block.length; at += view.getUint32(at + 4, true))
    visit(view.getUint32(at, true), view, at + ENTRY_HEADER_BYTES);
}

/** State entries of one space, as they stand in a block one after the other. The values are views. */
export function* stateEntries(entries: Uint8Array): Generator<readonly [key: string, value: Uint8Array]> {
  const text = Buffer.from(entries.buffer, entries.byteOffset, entries.length);
  const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
  for (let at = 0; at < entries.length; at += view.getUint32(at + 4, true)) {
    const key = at + ENTRY_HEADER_BYTES + 16 + view.getUint32(at + ENTRY_HEADER_BYTES, true);
    const value = key + view.getUint32(at + ENTRY_HEADER_BYTES + 4, true);
    const length = view.getUint32(at + ENTRY_HEADER_BYTES + 8, true);
    yield [text.toString('utf8', key, value), new Uint8Array(entries.buffer, entries.byteOffset + value, length)];
  }
}
