// Chunks of the index whose entries are still where the last stop has written them. After a stop in good order a start reads all of the checkpoint, to know that it is whole, but puts
// only its queues and chunks in place: the entries of millions of messages, memory that has never been touched, come when somebody asks for one of them, a block of the checkpoint
// at a time, and soon anyway (wakeNext). The next checkpoint looks at every entry, so that none sleeps when the file goes.
import { eachEntry, Kind } from './checkpoint-format.ts';
import { type ChunkSource, type Index, NOWHERE } from './index.ts';

/** Shows the block of this number, which begins at this place of the checkpoint; throws when it can not be read any more. */
export type BlockReader = (at: number, number: number, visit: (block: Uint8Array) => void) => void;

interface SleepingBlock {
  readonly at: number;
  readonly number: number;
  /** In the order of its entries; NOWHERE for one that made no chunk: all of it was settled. */
  readonly chunks: Uint32Array;
  /** The lowest of them: chunks are numbered in the order they are put in place. */
  readonly first: number;
}

export class Sleepers implements ChunkSource {
  private readonly index: Index;
  private readonly read: BlockReader;
  private readonly blocks: SleepingBlock[] = [];
  /** Blocks before it are awake. */
  private nextBlock = 0;

  constructor(index: Index, read: BlockReader) {
    this.index = index;
    this.read = read;
    index.source = this;
  }

  /** The block of this number, which begins at this place, has the entries of these chunks. */
  add(at: number, number: number, chunks: Uint32Array): void {
    let first = NOWHERE;
    for (let i = 0; i < chunks.length; i++) if (chunks[i]! < first) first = chunks[i]!;
    if (first !== NOWHERE) this.blocks.push({ at, number, chunks, first });
  }

  wake(chunk: number): void {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.blocks[middle]!.first <= chunk) low = middle;
      else high = middle - 1;
    }
    this.wakeBlock(this.blocks[low]!);
  }

  wakeNext(): boolean {
    while (this.nextBlock < this.blocks.length) {
      const block = this.blocks[this.nextBlock++]!;
      if (!block.chunks.some((chunk) => this.index.sleeps(chunk))) continue;
      this.wakeBlock(block);
      return true;
    }
    return false;
  }

  private wakeBlock({ at, number, chunks }: SleepingBlock): void {
    this.read(at, number, (block) => {
      const words = new Uint32Array(block.buffer, block.byteOffset, block.length >>> 2);
      let i = 0;
      eachEntry(block, (kind, view, entry) => {
        if (kind !== Kind.Entries) return;
        const chunk = chunks[i++]!;
        if (this.index.sleeps(chunk))
          this.index.fill(chunk, words, (entry + 24) >>> 2, view.getUint16(entry + 4, true));
      });
    });
  }
}
