// From a checkpoint's files to contents. Everything is read once before anything is put in place: who finds it damaged needs the contents as they were. Then its blocks are visited again, but
// for those with nothing but index entries after a stop in good order, which stay where they are (sleepers.ts).
import type { Disk } from '../../io/disk.ts';
import { assert } from '../../lib/assert.ts';
import { Durability } from '../commit-log.ts';
import {
  BLOCK_HEADER_BYTES,
  Blocks,
  CHECKPOINT_BLOCK_BYTES,
  ENTRY_HEADER_BYTES,
  Ending,
  eachEntry,
  Kind,
} from './checkpoint-format.ts';
import type { Contents } from './contents.ts';
import { DEAD, type LifeWatch } from './index.ts';
import type { EmbeddedQueue } from './queue.ts';
import type { Segment } from './segments.ts';
import { type BlockReader, NO_CHUNK, Sleepers } from './sleepers.ts';

export interface LoadedCheckpoint {
  readonly start: number;
  readonly reach: number;
  readonly clean: boolean;
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
    const content = lookThrough(blocks);
    if (content === null) return null;
    const readAgain = laterReader(disk, directory, name);
    return new Loading(blocks, content, contents, segmentOf, readAgain).run();
  } finally {
    blocks.close();
  }
}

/** Reads blocks when the files have been closed. */
function laterReader(disk: Disk, directory: string, name: string): BlockReader {
  let memory: Uint8Array | null = null;
  return (at, number, visit) => {
    memory ??= new Uint8Array(CHECKPOINT_BLOCK_BYTES);
    const files = new Blocks(disk, directory, name, memory);
    try {
      const block = files.read(at, number);
      if (block === null)
        throw new Error(`block ${number} of ${name} was whole at the start and can not be read any more`);
      visit(block);
    } finally {
      files.close();
    }
  };
}

/** What a block is known by before anything is put in place. */
interface SeenBlock {
  readonly at: number;
  readonly number: number;
  /** Its entries in Content.entries, when it holds nothing else: the first, and the one behind the last. Else both are -1. */
  readonly from: number;
  readonly to: number;
}

interface Content {
  readonly ending: number;
  readonly blocks: readonly SeenBlock[];
  /** ENTRY_FIELDS numbers each: queue, count, dead, how many in front of the first live one, first sequence, base. */
  readonly entries: readonly number[];
}

const ENTRY_FIELDS = 6;

/** Reads all blocks; null when one of them is whole in neither file. */
function lookThrough(files: Blocks): Content | null {
  let ending: number = Ending.Running;
  const blocks: SeenBlock[] = [];
  const entries: number[] = [];
  const whole = files.each((block, blockAt, number) => {
    const words = new Uint32Array(block.buffer, block.byteOffset, block.length >>> 2);
    const doubles = new Float64Array(block.buffer, block.byteOffset, block.length >>> 3);
    const from = entries.length;
    let others = false;
    for (let at = BLOCK_HEADER_BYTES; at < block.length; ) {
      const kind = words[at >>> 2]!;
      const size = words[(at >>> 2) + 1]!;
      const body = at + ENTRY_HEADER_BYTES;
      at += size;
      if (kind !== Kind.Entries) {
        others = true;
        if (kind === Kind.End) ending = words[(body + 8) >>> 2]!;
        continue;
      }
      const word = body >>> 2;
      const count = words[word + 1]! & 0xffff;
      let before = 0;
      while (before < count && words[word + 6 + before] === DEAD) before++;
      entries.push(
        words[word]!,
        count,
        words[word + 1]! >>> 16,
        before,
        doubles[(body + 8) >>> 3]!,
        doubles[(body + 16) >>> 3]!,
      );
    }
    if (others) entries.length = from;
    blocks.push({ at: blockAt, number, from: others ? -1 : from, to: others ? -1 : entries.length });
  });
  return whole ? { ending, blocks, entries } : null;
}

class Loading {
  private readonly files: Blocks;
  private readonly content: Content;
  private readonly contents: Contents;
  private readonly segmentOf: (number: number) => Segment | undefined;
  private readonly sleepers: Sleepers | null;
  /** Nothing changed while the checkpoint was written: what it says of segments is true of the entries. */
  private readonly exact: boolean;
  private readonly nexts: [queue: number, next: number][] = [];
  private readonly totals: [segment: Segment, total: number][] = [];
  private start = 0;
  private reach = 0;

  constructor(
    files: Blocks,
    content: Content,
    contents: Contents,
    segmentOf: (number: number) => Segment | undefined,
    readAgain: BlockReader,
  ) {
    this.files = files;
    this.content = content;
    this.contents = contents;
    this.segmentOf = segmentOf;
    this.exact = content.ending === Ending.Exact;
    this.sleepers = this.exact ? new Sleepers(contents.index, readAgain) : null;
  }

  run(): LoadedCheckpoint {
    const { content, contents, sleepers } = this;
    for (const seen of content.blocks) {
      if (sleepers !== null && seen.from >= 0) {
        this.leave(seen, sleepers);
        continue;
      }
      const block = this.files.read(seen.at, seen.number);
      assert(block !== null, 'a checkpoint that was whole can not be read a second time');
      this.visit(block);
    }
    for (const [id, next] of this.nexts) contents.queuesById.get(id)?.endRestore(next);
    for (const [segment, total] of this.totals) segment.total = Math.max(segment.live, total);
    return { start: this.start, reach: this.reach, clean: content.ending !== Ending.Running };
  }

  /** Puts the chunks of a block in place, and leaves their entries where they are. */
  private leave({ at, number, from, to }: SeenBlock, sleepers: Sleepers): void {
    const { queuesById } = this.contents;
    const { entries } = this.content;
    sleepers.beginBlock(at, number);
    let id = 0;
    let queue: EmbeddedQueue | undefined;
    for (let i = from; i < to; i += ENTRY_FIELDS) {
      if (entries[i] !== id) {
        id = entries[i]!;
        queue = queuesById.get(id);
      }
      const chunk = queue?.restoreAsleep(
        entries[i + 5]!,
        entries[i + 4]!,
        entries[i + 1]!,
        entries[i + 2]!,
        entries[i + 3]!,
      );
      sleepers.add(chunk ?? NO_CHUNK);
    }
  }

  private visit(block: Uint8Array): void {
    const { contents, exact } = this;
    const words = new Uint32Array(block.buffer, block.byteOffset, block.length >>> 2);
    const far = farOf(block);
    eachEntry(block, (kind, view, at) => {
      const byte = view.byteOffset + at;
      switch (kind) {
        case Kind.Head:
          this.start = view.getFloat64(at, true);
          contents.nextQueueId = view.getUint32(at + 12, true);
          contents.sets.nextId = view.getUint32(at + 16, true);
          break;
        case Kind.Segment: {
          const segment = this.segmentOf(view.getFloat64(at, true));
          if (segment === undefined) break;
          if (exact) segment.live = view.getUint32(at + 28, true);
          segment.dataEnd = view.getFloat64(at + 16, true);
          this.totals.push([segment, view.getFloat64(at + 8, true)]);
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
          this.nexts.push([id, view.getFloat64(at + 8, true)]);
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
          const count = view.getUint16(at + 4, true);
          const first = view.getFloat64(at + 8, true);
          let positions: Float64Array | null = null;
          if (far !== null) {
            positions = new Float64Array(count);
            for (let k = 0; k < count; k++) positions[k] = far.get(`${id}:${first + k}`) ?? 0;
          }
          const base = view.getFloat64(at + 16, true);
          const watch = exact ? COUNTED : contents.segments;
          contents.queuesById.get(id)?.restore(base, first, words, (at + 24) >>> 2, count, positions, watch);
          break;
        }
        case Kind.End:
          this.reach = view.getFloat64(at, true);
          break;
      }
    });
  }
}

/** Of entries whose segments know already how many of theirs live. */
const COUNTED: LifeWatch = { onLive: () => undefined, isTogether: () => true };

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
