// A checkpoint: everything in memory as of one position of the log, so that a restart reads it and the log behind that position only. Written in blocks while the
// storage goes on working (the generator is asked for a block at a time), so what it says of a queue may be younger than its start; replaying the log from the start sets
// that right, provided that the log reaches as far as the checkpoint looked: hence `reach`, and hence it is put in place only when everything up to there is synced.
//
//   file     block │ block │ …                    two files with the same content: a block damaged in one is taken from the other
//   block    magic u32 │ length u32 (header included, multiple of 8) │ crc u32 of what follows │ number of the block u32 │ entries …
//   entry    kind u32 │ bytes u32 (multiple of 8) │ …
//     Head     start f64 │ stride u32 │ next queue u32 │ next set u32 │ –
//     Segment  number f64 │ total f64 │ data end f64 │ extents u32 │ –, u32 × extents
//     Queue    id u32 │ durability u32 │ next sequence f64 │ name bytes u32 │ –, name
//     Set      id u32 │ count u32 │ last used f64 │ text bytes u32 │ –, queue u32 × count, options as JSON
//     State    space bytes u32 │ key bytes u32 │ value bytes u32 │ –, space, key, value
//     Entries  queue u32 │ count u32 │ first sequence f64 │ base f64, index entries u32 × count
//     Far      queue u32 │ – │ sequence f64 │ position f64          a message that lies too far from its chunk's base; follows its Entries in the same block
//     End      reach f64 │ clean u32 │ –
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Disk, type DiskFile, errorCode, readFully } from '../../io/disk.ts';
import { assert } from '../../lib/assert.ts';
import { Durability } from '../commit-log.ts';
import type { Contents } from './contents.ts';
import type { EmbeddedQueue } from './queue.ts';
import type { Segment } from './segments.ts';

const MAGIC = 0x504b4353;
const BLOCK_HEADER_BYTES = 16;
/** Size of a block, unless one entry is larger: a few tenths of a millisecond of work. */
export const CHECKPOINT_BLOCK_BYTES = 256 * 1024;
const ENTRY_HEADER_BYTES = 8;

const Kind = { Head: 1, Segment: 2, Queue: 3, Set: 4, State: 5, Entries: 6, Far: 7, End: 8 } as const;

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

class BlockBuilder {
  /** Every block is built in it, one after the other; only one with an entry that is larger has memory of its own. */
  private readonly memory: Uint8Array;
  private bytes: Uint8Array;
  private view: DataView;
  private at = BLOCK_HEADER_BYTES;
  private number = 0;

  constructor(memory: Uint8Array) {
    assert(memory.length >= CHECKPOINT_BLOCK_BYTES, 'a block of a checkpoint does not fit into its memory');
    this.memory = memory;
    this.bytes = memory;
    this.view = viewOf(memory);
  }

  fits(size: number): boolean {
    return this.at === BLOCK_HEADER_BYTES || this.at + ENTRY_HEADER_BYTES + size <= CHECKPOINT_BLOCK_BYTES;
  }

  /** Begins an entry with `size` bytes behind its header; returns where they start. They are zero. */
  entry(kind: number, size: number): number {
    const { at } = this;
    const whole = Math.ceil((ENTRY_HEADER_BYTES + size) / 8) * 8;
    if (at + whole > this.bytes.length) {
      const bytes = new Uint8Array(at + whole);
      bytes.set(this.bytes.subarray(0, at));
      this.bytes = bytes;
      this.view = viewOf(bytes);
    } else this.bytes.fill(0, at, at + whole);
    this.view.setUint32(at, kind, true);
    this.view.setUint32(at + 4, whole, true);
    this.at = at + whole;
    return at + ENTRY_HEADER_BYTES;
  }

  u32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  f64(at: number, value: number): void {
    this.view.setFloat64(at, value, true);
  }

  set(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at);
  }

  finish(): Uint8Array {
    const block = this.bytes.subarray(0, this.at);
    this.view.setUint32(0, MAGIC, true);
    this.view.setUint32(4, this.at, true);
    this.view.setUint32(12, this.number++, true);
    this.view.setUint32(8, crc32(block.subarray(12)), true);
    if (this.bytes !== this.memory) {
      this.bytes = this.memory;
      this.view = viewOf(this.memory);
    }
    this.at = BLOCK_HEADER_BYTES;
    return block;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asBytes(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/**
 * The blocks of a checkpoint that starts at `start`, the current end of the log. The first step takes note of what the rest is about. A block is valid until the next one is
 * asked for: it lies in `memory`, of CHECKPOINT_BLOCK_BYTES, unless it is larger.
 */
export class CheckpointDump {
  readonly start: number;
  private readonly contents: Contents;
  private readonly builder: BlockBuilder;
  private readonly steps: Iterator<Uint8Array>;

  constructor(contents: Contents, start: number, memory: Uint8Array) {
    this.contents = contents;
    this.builder = new BlockBuilder(memory);
    this.start = start;
    const queues = [...contents.queuesById.values()];
    const next = Float64Array.from(queues, (queue) => queue.nextSequence);
    this.steps = this.dump(queues, next);
  }

  /** The next block; null when only the last one, end(), is left. */
  step(): Uint8Array | null {
    const { done, value } = this.steps.next();
    return done === true ? null : value;
  }

  end(reach: number, clean: boolean): Uint8Array {
    const { builder } = this;
    const at = builder.entry(Kind.End, 16);
    builder.f64(at, reach);
    builder.u32(at + 8, clean ? 1 : 0);
    return builder.finish();
  }

  private *dump(queues: readonly EmbeddedQueue[], next: Float64Array): Generator<Uint8Array> {
    const { builder, contents } = this;
    let at = builder.entry(Kind.Head, 24);
    builder.f64(at, this.start);
    builder.u32(at + 8, contents.segments.stride);
    builder.u32(at + 12, contents.nextQueueId);
    builder.u32(at + 16, contents.sets.nextId);
    for (const segment of contents.segments.all()) {
      const size = 32 + 4 * segment.extents.length;
      if (!builder.fits(size)) yield builder.finish();
      at = builder.entry(Kind.Segment, size);
      builder.f64(at, segment.number);
      builder.f64(at + 8, segment.total);
      builder.f64(at + 16, segment.dataEnd);
      builder.u32(at + 24, segment.extents.length);
      builder.set(at + 32, asBytes(Uint32Array.from(segment.extents)));
    }
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i]!;
      if (queue.deleted) continue;
      const name = Buffer.from(queue.name);
      if (!builder.fits(24 + name.length)) yield builder.finish();
      at = builder.entry(Kind.Queue, 24 + name.length);
      builder.u32(at, queue.id);
      builder.u32(at + 4, queue.durability);
      builder.f64(at + 8, next[i]!);
      builder.u32(at + 16, name.length);
      builder.set(at + 24, name);
    }
    for (const set of contents.sets.byId.values()) {
      const text = set.optionsText();
      const size = 24 + 4 * set.queueIds.length + text.length;
      if (!builder.fits(size)) yield builder.finish();
      at = builder.entry(Kind.Set, size);
      builder.u32(at, set.id);
      builder.u32(at + 4, set.queueIds.length);
      builder.f64(at + 8, set.lastUsed);
      builder.u32(at + 16, text.length);
      builder.set(at + 24, asBytes(set.queueIds));
      builder.set(at + 24 + 4 * set.queueIds.length, text);
    }
    for (const [spaceText, entries] of contents.state.all()) {
      const space = Buffer.from(spaceText);
      for (const [keyText, value] of entries) {
        const key = Buffer.from(keyText);
        const size = 16 + space.length + key.length + value.length;
        if (!builder.fits(size)) yield builder.finish();
        at = builder.entry(Kind.State, size);
        builder.u32(at, space.length);
        builder.u32(at + 4, key.length);
        builder.u32(at + 8, value.length);
        builder.set(at + 16, space);
        builder.set(at + 16 + space.length, key);
        builder.set(at + 16 + space.length + key.length, value);
      }
    }
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i]!;
      for (let sequence = 0; ; ) {
        if (queue.deleted) break;
        sequence = queue.dump(sequence, next[i]!, (base, first, entries, far) => {
          let farCount = 0;
          if (far !== null) for (let k = 0; k < far.length; k++) if (far[k]! > 0) farCount++;
          if (!builder.fits(24 + 4 * entries.length + farCount * 32)) return false;
          const to = builder.entry(Kind.Entries, 24 + 4 * entries.length);
          builder.u32(to, queue.id);
          builder.u32(to + 4, entries.length);
          builder.f64(to + 8, first);
          builder.f64(to + 16, base);
          builder.set(to + 24, asBytes(entries));
          for (let k = 0; farCount > 0 && k < entries.length; k++) {
            if (far![k]! === 0) continue;
            const one = builder.entry(Kind.Far, 24);
            builder.u32(one, queue.id);
            builder.f64(one + 8, first + k);
            builder.f64(one + 16, far![k]!);
          }
          return true;
        });
        if (sequence >= next[i]!) break;
        yield builder.finish();
      }
    }
    yield builder.finish();
  }
}

export interface LoadedCheckpoint {
  readonly start: number;
  readonly reach: number;
  readonly clean: boolean;
}

/**
 * A checkpoint read a block at a time, so that a start needs no more memory than the index itself. The second file is looked at only where the first one is damaged.
 */
class Blocks {
  private readonly files: (DiskFile | null)[];
  private memory = new Uint8Array(CHECKPOINT_BLOCK_BYTES);

  constructor(disk: Disk, directory: string, name: string) {
    this.files = [name, copyName(name)].map((one) => openIfPossible(disk, join(directory, one)));
  }

  close(): void {
    for (const file of this.files) file?.close();
  }

  /** Shows all blocks in order; false when one of them is good in neither file. The bytes are valid during the call. */
  each(visit: (block: Uint8Array) => void): boolean {
    for (let at = 0, number = 0; ; number++) {
      const block = this.read(0, at, number) ?? this.read(1, at, number);
      if (block === null) return false;
      visit(block);
      if (lastKind(block) === Kind.End) return true;
      at += block.length;
    }
  }

  private read(which: 0 | 1, at: number, number: number): Uint8Array | null {
    const file = this.files[which] ?? null;
    if (file === null) return null;
    try {
      const head = this.memory.subarray(0, BLOCK_HEADER_BYTES);
      if (readFully(file, head, 0, BLOCK_HEADER_BYTES, at) < BLOCK_HEADER_BYTES) return null;
      const view = new DataView(head.buffer);
      const length = view.getUint32(4, true);
      if (view.getUint32(0, true) !== MAGIC || view.getUint32(12, true) !== number) return null;
      if (length < BLOCK_HEADER_BYTES || length % 8 !== 0 || at + length > file.size()) return null;
      const crc = view.getUint32(8, true);
      if (length > this.memory.length) this.memory = new Uint8Array(length);
      const { memory } = this;
      if (readFully(file, memory, 0, length, at) < length) return null;
      return crc32(memory.subarray(12, length)) === crc ? memory.subarray(0, length) : null;
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

function lastKind(block: Uint8Array): number {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  let kind = 0;
  for (let at = BLOCK_HEADER_BYTES; at < block.length; at += view.getUint32(at + 4, true))
    kind = view.getUint32(at, true);
  return kind;
}

/** Fills empty contents from the checkpoint; null when its files are not whole. segmentOf knows the segments whose files are there. */
export function loadCheckpoint(
  disk: Disk,
  directory: string,
  name: string,
  contents: Contents,
  segmentOf: (number: number) => Segment | undefined,
): LoadedCheckpoint | null {
  const blocks = new Blocks(disk, directory, name);
  try {
    return loadFrom(blocks, contents, segmentOf);
  } finally {
    blocks.close();
  }
}

function loadFrom(
  blocks: Blocks,
  contents: Contents,
  segmentOf: (number: number) => Segment | undefined,
): LoadedCheckpoint | null {
  const { segments } = contents;
  const nexts: [queue: number, next: number][] = [];
  const totals: [segment: Segment, total: number][] = [];
  let start = 0;
  let reach = 0;
  let clean = false;
  // The first time through shows whether it is whole.
  if (!blocks.each(() => undefined)) return null;
  const again = blocks.each((block) => {
    const words = new Uint32Array(block.buffer, block.byteOffset, block.length >>> 2);
    const far = farOf(block);
    eachEntry(block, (kind, view, at) => {
      const byte = view.byteOffset + at;
      switch (kind) {
        case Kind.Head:
          start = view.getFloat64(at, true);
          contents.nextQueueId = view.getUint32(at + 12, true);
          contents.sets.nextId = view.getUint32(at + 16, true);
          break;
        case Kind.Segment: {
          const segment = segmentOf(view.getFloat64(at, true));
          if (segment === undefined) break;
          segment.dataEnd = view.getFloat64(at + 16, true);
          totals.push([segment, view.getFloat64(at + 8, true)]);
          const count = view.getUint32(at + 24, true);
          for (let i = 0; i < count; i++) segment.extents.push(view.getUint32(at + 32 + 4 * i, true));
          break;
        }
        case Kind.Queue: {
          const id = view.getUint32(at, true);
          const name = Buffer.from(view.buffer, byte + 24, view.getUint32(at + 16, true)).toString();
          contents.restoreQueue(
            id,
            name,
            view.getUint32(at + 4, true) === Durability.Fsync ? Durability.Fsync : Durability.Written,
          );
          nexts.push([id, view.getFloat64(at + 8, true)]);
          break;
        }
        case Kind.Set: {
          const count = view.getUint32(at + 4, true);
          const ids = words.slice((at + 24) >>> 2, ((at + 24) >>> 2) + count);
          const text = new Uint8Array(view.buffer, byte + 24 + 4 * count, view.getUint32(at + 16, true));
          const set = contents.sets.restore(view.getUint32(at, true), ids, text, (id) => contents.queuesById.get(id));
          set.lastUsed = view.getFloat64(at + 8, true);
          break;
        }
        case Kind.State: {
          const key = byte + 16 + view.getUint32(at, true);
          const value = key + view.getUint32(at + 4, true);
          contents.state.restore(
            Buffer.from(view.buffer, byte + 16, key - byte - 16).toString(),
            Buffer.from(view.buffer, key, value - key).toString(),
            new Uint8Array(view.buffer, value, view.getUint32(at + 8, true)).slice(),
          );
          break;
        }
        case Kind.Entries: {
          const id = view.getUint32(at, true);
          const count = view.getUint32(at + 4, true);
          const first = view.getFloat64(at + 8, true);
          let positions: Float64Array | null = null;
          if (far !== null) {
            positions = new Float64Array(count);
            for (let k = 0; k < count; k++) positions[k] = far.get(`${id}:${first + k}`) ?? 0;
          }
          const base = view.getFloat64(at + 16, true);
          contents.queuesById.get(id)?.restore(base, first, words, (at + 24) >>> 2, count, positions, segments);
          break;
        }
        case Kind.End:
          reach = view.getFloat64(at, true);
          clean = view.getUint32(at + 8, true) === 1;
          break;
      }
    });
  });
  assert(again, 'a checkpoint that was whole can not be read a second time');
  for (const [id, next] of nexts) contents.queuesById.get(id)?.endRestore(next);
  for (const [segment, total] of totals) segment.total = Math.max(segment.live, total);
  return { start, reach, clean };
}

/** The far positions in a block by queue and sequence; null when there are none. They stand behind the entries they belong to. */
function farOf(block: Uint8Array): Map<string, number> | null {
  let far: Map<string, number> | null = null;
  eachEntry(block, (kind, view, at) => {
    if (kind !== Kind.Far) return;
    far ??= new Map();
    far.set(`${view.getUint32(at, true)}:${view.getFloat64(at + 8, true)}`, view.getFloat64(at + 16, true));
  });
  return far;
}

function eachEntry(block: Uint8Array, visit: (kind: number, view: DataView, at: number) => void): void {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  for (let at = BLOCK_HEADER_BYTES; at < block.length; at += view.getUint32(at + 4, true))
    visit(view.getUint32(at, true), view, at + ENTRY_HEADER_BYTES);
}
