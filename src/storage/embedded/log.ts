// The growing end of the log: collects records into the open frame, seals it, hands it to the writer, and knows what is durable. While a frame
// is written, the next one collects. Relies on Crew for the disk and on SegmentSupply for segments that stand ready; never reads.
//
//   ring     one segment's worth of memory: position p of the log stands at p mod its size, so that the bytes in front of a frame, which its first block
//            shares, are there already, and the newest part of the log can be read back from it without the disk
//   frames   [pending: sealed, the oldest being written] [open]      a frame that would overwrite what is pending, or is larger than usual, gets memory of its own
import { assert } from '../../lib/assert.ts';
import type { Crew } from './crew.ts';
import { align, BLOCK_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameFlag, SEGMENT_DATA_START } from './segment.ts';
import type { Segment, Segments } from './segments.ts';

/** While a frame is being written, another one is handed over only when it is so large, and no more than so many: the writer goes on with it at once, whatever this thread is busy with, but small ones would cost more than that saves. */
const AHEAD_BYTES = 64 * 1024;
const AHEAD_FRAMES = 4;

export interface SegmentSupply {
  /** The segment that follows, with at least dataBytes of room; its file may still be in the making. */
  next(dataBytes: number): Segment;
}

export interface LogListener {
  /** A frame is written: durablePosition, syncedUnit and pendingBytes may have changed. */
  onWritten(): void;
}

interface Memory {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
}

interface PendingFrame {
  readonly memory: Memory;
  readonly at: number;
  readonly position: number;
  readonly length: number;
  readonly segment: Segment;
  readonly sync: boolean;
  /** The last unit that ends in it, if it ends with one; else 0. */
  readonly unit: number;
}

export class Log {
  /** Memory of the open frame; changes with reserve(). */
  bytes: Uint8Array = NO_MEMORY.bytes;
  words: Uint32Array = NO_MEMORY.words;
  doubles: Float64Array = NO_MEMORY.doubles;
  /** Position of bytes[0]. */
  shift = 0;
  /** The segment of the open frame, or of the last one. */
  segment: Segment;
  /** The unit that is being collected, or ended last. */
  unit = 0;
  durableUnit = 0;
  /** The last unit that is on the disk for certain. */
  syncedUnit = 0;
  /** Position behind the last frame that is written. */
  writtenEnd: number;
  pendingBytes = 0;
  failed: Error | null = null;
  private readonly crew: Crew;
  private readonly segments: Segments;
  private readonly supply: SegmentSupply;
  private readonly listener: LogListener;
  private readonly ring: Memory;
  private readonly frameBytesMax: number;
  private readonly confirmBeforeSync: boolean;
  private memory: Memory = NO_MEMORY;
  private at = 0;
  private limit = 0;
  private frameAt = -1;
  private framePosition = 0;
  private frameStartsUnit = true;
  private frameSync = false;
  /** The sealed frame before asks the next one for a sync, too. */
  private carriedSync = false;
  /** The last sealed frame asked for a sync. */
  private lastSync = true;
  private endedUnit = 0;
  /** Position behind the last sealed frame, and whether its last block may be written again by the next one. */
  private sealedEnd: number;
  private sealedInRing = false;
  /** What the ring holds below is overwritten, or was never in it. */
  private cachedFrom: number;
  private readonly pending: PendingFrame[] = [];
  private submitted = 0;

  /** ring: memory of the crew's, as long as a segment; what it holds does not matter. */
  constructor(
    crew: Crew,
    ring: Uint8Array,
    segments: Segments,
    supply: SegmentSupply,
    listener: LogListener,
    segment: Segment,
    end: number,
    frameBytesMax: number,
    confirmBeforeSync: boolean,
  ) {
    this.crew = crew;
    this.segments = segments;
    this.supply = supply;
    this.listener = listener;
    this.segment = segment;
    this.sealedEnd = end;
    this.writtenEnd = end;
    this.cachedFrom = end;
    this.frameBytesMax = frameBytesMax;
    this.confirmBeforeSync = confirmBeforeSync;
    segments.unit = 1;
    assert(ring.length === segments.stride, 'the ring is as long as a segment');
    this.ring = memoryOf(ring);
  }

  /** Position behind everything appended so far. */
  get end(): number {
    return this.frameAt < 0 ? this.sealedEnd : this.shift + this.at;
  }

  /** Bytes appended and not written. */
  get uncommittedBytes(): number {
    return this.pendingBytes + (this.frameAt < 0 ? 0 : this.at - this.frameAt);
  }

  /** Nothing has been appended since the last unit ended. */
  get atUnitEnd(): boolean {
    return this.unit === this.endedUnit;
  }

  /** What stands below has to be read from the disk. */
  get memoryStart(): number {
    return this.cachedFrom;
  }

  /** Frames handed over and not written. */
  get pendingCount(): number {
    return this.pending.length;
  }

  /** Position where the open frame begins; without one, where everything appended so far ends. */
  get frameStart(): number {
    return this.frameAt < 0 ? this.sealedEnd : this.framePosition;
  }

  /** What a record may hold in all, for it to fit into a frame of the usual size. */
  get recordBytesMax(): number {
    return this.frameBytesMax - FRAME_HEADER_BYTES;
  }

  /** Makes room for a record of `size` bytes (a multiple of 8) and counts it as appended; returns where it begins in `bytes`. */
  reserve(size: number): number {
    if (this.at + size > this.limit) this.makeRoom(size);
    if (this.unit === this.endedUnit) this.unit++;
    const { at } = this;
    this.at = at + size;
    return at;
  }

  /** What was appended last must be on the disk before its unit counts as durable. */
  requireSync(): void {
    this.frameSync = true;
  }

  /** The open unit is complete. Hands the frame over when the writer has nothing to do. */
  endUnit(): void {
    this.endedUnit = this.unit;
    this.segments.unit = this.unit + 1;
    const waiting = this.pending.length;
    if (waiting === 0 || (waiting < AHEAD_FRAMES && this.at - this.frameAt >= AHEAD_BYTES)) this.seal();
  }

  /** Ends the open frame, if there is one, and hands it to the writer. */
  seal(): void {
    if (this.frameAt < 0) return;
    const { memory, frameAt, at } = this;
    const length = at - frameAt;
    const ends = this.unit === this.endedUnit;
    const word = frameAt >>> 2;
    memory.words[word] = FRAME_MAGIC;
    memory.words[word + 1] = length;
    memory.words[word + 2] = 0;
    memory.words[word + 3] =
      (this.frameStartsUnit ? FrameFlag.StartsUnit : 0) |
      (ends ? FrameFlag.EndsUnit : 0) |
      (this.frameSync || this.lastSync ? 0 : FrameFlag.Loose);
    this.lastSync = this.frameSync;
    // A frame that ends within a unit counts only together with the one in which that unit ends: it is that one which must be synced.
    this.carriedSync = !ends && this.frameSync;
    memory.doubles[(frameAt + 16) >>> 3] = this.framePosition;
    memory.doubles[(frameAt + 24) >>> 3] = this.sealedEnd;
    memory.bytes.fill(0, at, Math.min(align(at, BLOCK_BYTES), memory.bytes.length));
    const { segment } = this;
    segment.noteFrame(this.framePosition, length);
    this.sealedEnd = this.framePosition + length;
    this.sealedInRing = memory === this.ring;
    if (!this.sealedInRing) this.cachedFrom = this.sealedEnd;
    segment.dataEnd = this.sealedEnd;
    this.pending.push({
      memory,
      at: frameAt,
      position: this.framePosition,
      length,
      segment,
      sync: this.frameSync,
      unit: ends ? this.unit : 0,
    });
    this.pendingBytes += length;
    this.frameAt = -1;
    this.limit = 0;
    this.at = 0;
    this.submit();
  }

  /** Hands over what had to wait for its segment. */
  submit(): void {
    while (this.submitted < this.pending.length && this.failed === null) {
      const frame = this.pending[this.submitted]!;
      if (!frame.segment.ready) return;
      this.submitted++;
      this.crew.submit({
        segment: frame.segment.number,
        offset: frame.position - frame.segment.base,
        length: frame.length,
        memory: frame.memory.bytes,
        at: frame.at,
        salt: frame.segment.salt,
        sync: frame.sync,
      });
      if (this.confirmBeforeSync && frame.unit > 0) {
        this.durableUnit = frame.unit;
        this.listener.onWritten();
      }
    }
  }

  /** The writer has written the oldest frame. */
  onFrameWritten(): void {
    const frame = this.pending.shift();
    assert(frame !== undefined && this.submitted > 0, 'a frame was written that nobody handed over');
    this.submitted--;
    this.pendingBytes -= frame.length;
    this.writtenEnd = frame.position + frame.length;
    if (frame.unit > 0) {
      this.durableUnit = Math.max(this.durableUnit, frame.unit);
      if (frame.sync) this.syncedUnit = frame.unit;
    }
    // The next frame goes out before anybody hears of this one: the disk works while confirms are sent.
    if (this.pending.length === 0 && this.unit === this.endedUnit) this.seal();
    this.listener.onWritten();
  }

  /** Lets the listener look again: something else than a frame has made progress. */
  poke(): void {
    this.listener.onWritten();
  }

  /**
   * Memory that holds [position, position + length) of the log: sets found and foundAt and returns true; false when it has to be read from the disk.
   */
  find(position: number, length: number): boolean {
    if (this.frameAt >= 0 && position >= this.framePosition)
      return this.foundIn(this.memory, this.frameAt + (position - this.framePosition));
    for (let i = this.pending.length - 1; i >= 0; i--) {
      const frame = this.pending[i]!;
      if (position >= frame.position && position + length <= frame.position + frame.length)
        return this.foundIn(frame.memory, frame.at + (position - frame.position));
    }
    if (position < this.cachedFrom || position + length > this.sealedEnd) return false;
    return this.foundIn(this.ring, position % this.segments.stride);
  }

  found: Uint8Array = NO_MEMORY.bytes;
  foundAt = 0;

  private foundIn(memory: Memory, at: number): true {
    this.found = memory.bytes;
    this.foundAt = at;
    return true;
  }

  /** Goes on in a fresh segment, although this one has room. */
  leaveSegment(): void {
    this.seal();
    this.enterNext(this.frameBytesMax);
  }

  private enterNext(room: number): void {
    this.segments.close(this.segment);
    this.segment = this.supply.next(room);
  }

  private makeRoom(size: number): void {
    if (this.failed !== null) throw this.failed;
    this.seal();
    const needed = FRAME_HEADER_BYTES + size;
    const room = Math.max(needed, this.frameBytesMax);
    let position = this.pending.length === 0 && this.sealedInRing ? this.sealedEnd : align(this.sealedEnd, BLOCK_BYTES);
    // Memory of its own begins a block of its own, hence the block to spare.
    if (position + room + BLOCK_BYTES > this.segment.end) this.enterNext(room);
    // The end of a segment that is full to the last block is the very place where the next one begins, with its header.
    position = Math.max(position, this.segment.base + SEGMENT_DATA_START);
    const { stride } = this.segments;
    const oldest = this.pending.length === 0 ? position : this.pending[0]!.position;
    const inRing =
      needed <= this.frameBytesMax &&
      this.segment.strides === 1 &&
      position + room - Math.floor(oldest / BLOCK_BYTES) * BLOCK_BYTES <= stride;
    if (inRing) {
      this.memory = this.ring;
      this.frameAt = position % stride;
      // The rest of its last block is zeroed, too.
      this.cachedFrom = Math.max(this.cachedFrom, align(position + room, BLOCK_BYTES) - stride);
    } else {
      position = align(position, BLOCK_BYTES);
      this.memory = memoryOf(this.crew.makeMemory(align(room, BLOCK_BYTES)));
      this.frameAt = 0;
    }
    this.framePosition = position;
    this.shift = position - this.frameAt;
    this.at = this.frameAt + FRAME_HEADER_BYTES;
    this.limit = Math.min(this.frameAt + room, this.frameAt + this.segment.end - position, this.memory.bytes.length);
    this.frameStartsUnit = this.unit === this.endedUnit;
    this.frameSync = this.carriedSync;
    this.bytes = this.memory.bytes;
    this.words = this.memory.words;
    this.doubles = this.memory.doubles;
    assert(this.at + size <= this.limit, 'a frame has no room for its first record');
  }
}

function memoryOf(bytes: Uint8Array): Memory {
  return {
    bytes,
    words: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2),
    doubles: new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 3),
  };
}

const NO_MEMORY: Memory = memoryOf(new Uint8Array(0));

export type { PendingFrame };
