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
import { DEAD } from './index.ts';
import type { LifeWatch } from './index-list.ts';
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
  readonly file: 0 | 1;
  /** It holds index entries and nothing else. */
  readonly entriesOnly: boolean;
}

interface Content {
  readonly ending: number;
  readonly blocks: readonly SeenBlock[];
}

/** Reads all blocks; null when one of them is whole in neither file. */
function lookThrough(files: Blocks): Content | null {
  let ending: number = Ending.Running;
  const blocks: SeenBlock[] = [];
  const whole = files.each((block, blockAt, number) => {
    const words = wordsOf(block);
    let entriesOnly = true;
    for (let at = BLOCK_HEADER_BYTES >>> 2, end = block.length >>> 2; at < end; at += words[at + 1]! >>> 2) {
      if (words[at] === Kind.Entries) continue;
      entriesOnly = false;
      if (words[at] === Kind.End) ending = words[at + 4]!;
    }
    blocks.push({ at: blockAt, number, file: files.foundIn, entriesOnly });
  });
  return whole ? { ending, blocks } : null;
}

function wordsOf(block: Uint8Array): Uint32Array {
  return new Uint32Array(block.buffer, block.byteOffset, block.length >>> 2);
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
  /** Of the last state entry: there are many in a row of the same. */
  private space = '';
  private spaceBytes: Uint8Array = Buffer.alloc(0);

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
    for (const { at, number, file, entriesOnly } of content.blocks) {
      const block = this.files.readAgain(at, number, file);
      assert(block !== null, 'a checkpoint that was whole can not be read a second time');
      if (sleepers === null || !entriesOnly) this.visit(block);
      else {
        sleepers.beginBlock(at, number);
        this.leave(block, sleepers);
      }
    }
    for (const [id, next] of this.nexts) contents.queuesById.get(id)?.endRestore(next);
    for (const [segment, total] of this.totals) segment.total = Math.max(segment.live, total);
    return { start: this.start, reach: this.reach, clean: content.ending !== Ending.Running };
  }

  /** Puts the chunks of a block with nothing but entries in place, and leaves their entries where they are. */
  private leave(block: Uint8Array, sleepers: Sleepers): void {
    const { queuesById } = this.contents;
    const words = wordsOf(block);
    const doubles = new Float64Array(block.buffer, block.byteOffset, block.length >>> 3);
    let id = 0;
    let queue: EmbeddedQueue | undefined;
    for (let at = BLOCK_HEADER_BYTES >>> 2, end = words.length; at < end; at += words[at + 1]! >>> 2) {
      const body = at + (ENTRY_HEADER_BYTES >>> 2);
      if (words[body] !== id) {
        id = words[body]!;
        queue = queuesById.get(id);
      }
      const count = words[body + 1]! & 0xffff;
      const first = doubles[(body + 2) >>> 1]!;
      const base = doubles[(body + 4) >>> 1]!;
      let before = 0;
      while (before < count && words[body + 6 + before] === DEAD) before++;
      sleepers.add(queue?.restoreAsleep(base, first, count, words[body + 1]! >>> 16, before) ?? NO_CHUNK);
    }
  }

  private visit(block: Uint8Array): void {
    const { contents, exact } = this;
    const words = wordsOf(block);
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
          const space = block.subarray(at + 16, key - block.byteOffset);
          if (Buffer.compare(space, this.spaceBytes) !== 0) {
            this.spaceBytes = space.slice();
            this.space = Buffer.from(space).toString();
          }
          contents.state.restore(
            this.space,
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
