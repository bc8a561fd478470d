// From a checkpoint's files to contents. Everything is read once before anything is put in place: who finds it damaged needs the contents as they were. Then its blocks are visited again, but
// for those with nothing but index entries after a stop in good order: what they are is known by then, and they stay where they are (sleepers.ts).
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
import { DEAD, NOWHERE } from './index.ts';
import { CHUNK_FIELDS, ChunkField, type LifeWatch } from './index-list.ts';
import type { Segment } from './segments.ts';
import { type BlockReader, Sleepers } from './sleepers.ts';

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
  /** What it holds, CHUNK_FIELDS each (index-list.ts), when that is index entries and nothing else. */
  readonly chunks: Float64Array | null;
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
    let entries = 0;
    let others = 0;
    let kind = 0;
    for (let at = BLOCK_HEADER_BYTES >>> 2, end = words.length; at < end; at += words[at + 1]! >>> 2) {
      kind = words[at]!;
      if (kind === Kind.Entries) entries++;
      else others++;
      if (kind === Kind.End) ending = words[at + 4]!;
    }
    blocks.push({
      at: blockAt,
      number,
      file: files.foundIn,
      chunks: others === 0 ? chunksOf(block, words, entries) : null,
    });
    return kind === Kind.End;
  });
  return whole ? { ending, blocks } : null;
}

function chunksOf(block: Uint8Array, words: Uint32Array, entries: number): Float64Array {
  const chunks = new Float64Array(entries * CHUNK_FIELDS);
  const doubles = new Float64Array(block.buffer, block.byteOffset, block.length >>> 3);
  let to = 0;
  for (let at = BLOCK_HEADER_BYTES >>> 2, end = words.length; at < end; at += words[at + 1]! >>> 2) {
    const body = at + (ENTRY_HEADER_BYTES >>> 2);
    const shape = words[body + 1]!;
    const count = shape & 0xffff;
    let dead = 0;
    while (dead < count && words[body + 6 + dead] === DEAD) dead++;
    chunks[to + ChunkField.Queue] = words[body]!;
    chunks[to + ChunkField.Base] = doubles[(body + 4) >>> 1]!;
    chunks[to + ChunkField.First] = doubles[(body + 2) >>> 1]!;
    chunks[to + ChunkField.Count] = count;
    chunks[to + ChunkField.Dead] = shape >>> 16;
    chunks[to + ChunkField.DeadFirst] = dead;
    to += CHUNK_FIELDS;
  }
  return chunks;
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
  /** Queues and what their next message gets, one after the other. */
  private readonly nexts: number[] = [];
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
    for (const { at, number, file, chunks } of content.blocks) {
      if (sleepers !== null && chunks !== null) {
        sleepers.add(at, number, this.leave(chunks));
        continue;
      }
      const block = this.files.readAgain(at, number, file);
      assert(block !== null, 'a checkpoint that was whole can not be read a second time');
      this.visit(block);
    }
    const { nexts } = this;
    for (let i = 0; i < nexts.length; i += 2) contents.queuesById.get(nexts[i]!)?.endRestore(nexts[i + 1]!);
    for (const [segment, total] of this.totals) segment.total = Math.max(segment.live, total);
    return { start: this.start, reach: this.reach, clean: content.ending !== Ending.Running };
  }

  /** Puts the chunks of a block with nothing but entries in place, and leaves their entries where they are. Returns their numbers. */
  private leave(chunks: Float64Array): Uint32Array {
    const made = new Uint32Array(chunks.length / CHUNK_FIELDS).fill(NOWHERE);
    for (let at = 0; at < chunks.length; ) {
      const id = chunks[at]!;
      let to = at + CHUNK_FIELDS;
      while (to < chunks.length && chunks[to] === id) to += CHUNK_FIELDS;
      this.contents.queuesById.get(id)?.restoreAsleep(chunks, at, to, made, at / CHUNK_FIELDS);
      at = to;
    }
    return made;
  }

  private visit(block: Uint8Array): void {
    const words = wordsOf(block);
    const doubles = new Float64Array(block.buffer, block.byteOffset, block.length >>> 3);
    const text = Buffer.from(block.buffer, block.byteOffset, block.length);
    const far = farOf(block);
    const { queuesById } = this.contents;
    for (let at = BLOCK_HEADER_BYTES >>> 2, end = words.length; at < end; ) {
      const next = at + (words[at + 1]! >>> 2);
      const body = at + (ENTRY_HEADER_BYTES >>> 2);
      switch (words[at]) {
        case Kind.Head:
          this.start = doubles[body >>> 1]!;
          this.contents.nextQueueId = words[body + 3]!;
          this.contents.sets.nextId = words[body + 4]!;
          break;
        case Kind.Segment:
          this.segment(words, doubles, body);
          break;
        case Kind.Queue: {
          const durability = words[body + 1] === Durability.Fsync ? Durability.Fsync : Durability.Written;
          const name = text.toString('utf8', body * 4 + 24, body * 4 + 24 + words[body + 4]!);
          this.contents.restoreQueue(words[body]!, name, durability);
          this.nexts.push(words[body]!, doubles[(body + 2) >>> 1]!);
          break;
        }
        case Kind.Set: {
          const last = endOfRun(words, at, () => true);
          this.contents.sets.restoreAsleep(block.slice(at * 4, last * 4), (id) => queuesById.get(id));
          at = last;
          continue;
        }
        case Kind.State:
          at = this.state(words, text, at);
          continue;
        case Kind.Entries:
          this.entries(words, doubles, body, far);
          break;
        case Kind.End:
          this.reach = doubles[body >>> 1]!;
          break;
      }
      at = next;
    }
  }

  private segment(words: Uint32Array, doubles: Float64Array, body: number): void {
    const segment = this.segmentOf(doubles[body >>> 1]!);
    if (segment === undefined) return;
    if (this.exact) segment.live = words[body + 7]!;
    segment.dataEnd = doubles[(body + 4) >>> 1]!;
    this.totals.push([segment, doubles[(body + 2) >>> 1]!]);
    for (let i = 0; i < words[body + 6]!; i++) segment.extents.push(words[body + 8 + i]!);
  }

  /** The entries of one space from words[at] on. Returns where they end. */
  private state(words: Uint32Array, text: Buffer, at: number): number {
    const lengthAt = ENTRY_HEADER_BYTES >>> 2;
    const length = words[at + lengthAt]!;
    const start = at * 4 + ENTRY_HEADER_BYTES + 16;
    let count = 0;
    const end = endOfRun(words, at, (word) => {
      if (words[word + lengthAt] !== length) return false;
      const other = word * 4 + ENTRY_HEADER_BYTES + 16;
      for (let i = 0; i < length; i++) if (text[other + i] !== text[start + i]) return false;
      count++;
      return true;
    });
    this.contents.state.restorePacked(
      text.toString('utf8', start, start + length),
      new Uint8Array(text.subarray(at * 4, end * 4)),
      count,
    );
    return end;
  }

  private entries(words: Uint32Array, doubles: Float64Array, body: number, far: Map<string, number> | null): void {
    const { contents, exact } = this;
    const id = words[body]!;
    const count = words[body + 1]! & 0xffff;
    const first = doubles[(body + 2) >>> 1]!;
    let positions: Float64Array | null = null;
    if (far !== null) {
      positions = new Float64Array(count);
      for (let k = 0; k < count; k++) positions[k] = far.get(`${id}:${first + k}`) ?? 0;
    }
    const base = doubles[(body + 4) >>> 1]!;
    const watch = exact ? COUNTED : contents.segments;
    contents.queuesById.get(id)?.restore(base, first, words, body + 6, count, positions, watch);
  }
}

/** Where a run of entries of one kind ends, which begins at words[from] and of which `belongs` says what is part of it. */
function endOfRun(words: Uint32Array, from: number, belongs: (at: number) => boolean): number {
  let at = from;
  while (at < words.length && words[at] === words[from] && belongs(at)) at += words[at + 1]! >>> 2;
  return at;
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
