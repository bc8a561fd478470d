// The segments of the log as the event loop knows them: which exist, where they stand, how much in them is live. Does no input or output.
//
//   dead → freed when   nothing in it is live, what killed the last of it is synced, and it ends before the last checkpoint in place
import { assert } from '../../lib/assert.ts';
import type { DeathWatch, LifeWatch } from './index-list.ts';
import { SEGMENT_DATA_START } from './segment.ts';

export class Segment {
  readonly number: number;
  readonly strides: number;
  readonly base: number;
  readonly end: number;
  readonly salt: Uint8Array;
  /** The file is in place. */
  ready: boolean;
  /** Position behind the last frame. */
  dataEnd: number;
  /** Live entries of the index that point into it, and how many ever did. */
  live = 0;
  total = 0;
  /** The unit that killed the last live entry. */
  deadAt = 0;
  /** The log has left it for good. */
  closed = false;
  /** It holds messages that can not be read: compaction can not empty it. */
  stuck = false;
  /** What was live when compaction last saw that consumers take what is in it, and where the log ended then; -1 when it never looked. */
  liveSeen = -1;
  steadyFrom = 0;
  /** Offsets of frames, about EXTENT_BYTES apart: what is between two of them is read as one piece. */
  readonly extents: number[] = [];

  constructor(number: number, stride: number, strides: number, salt: Uint8Array, ready: boolean) {
    this.number = number;
    this.strides = strides;
    this.base = number * stride;
    this.end = this.base + stride * strides;
    this.salt = salt;
    this.ready = ready;
    this.dataEnd = this.base + SEGMENT_DATA_START;
  }

  noteFrame(position: number, length: number): void {
    const offset = position - this.base;
    const last = this.extents.length === 0 ? -EXTENT_BYTES : this.extents[this.extents.length - 1]!;
    if (offset - last >= EXTENT_BYTES || offset + length - last > EXTENT_BYTES_MAX) this.extents.push(offset);
  }

  /** Index in extents of the one that holds `offset`; -1 before the first. */
  extentAt(offset: number): number {
    let low = -1;
    let high = this.extents.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.extents[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

export const EXTENT_BYTES = 128 * 1024;
/** None is longer, padding aside, unless it is of one frame only. */
export const EXTENT_BYTES_MAX = 256 * 1024;

export class Segments implements DeathWatch, LifeWatch {
  readonly stride: number;
  /** The unit that what happens now belongs to, for deadAt. Kept up to date by the log. */
  unit = 0;
  /** Segments closed, dead and not freed. */
  deadCount = 0;
  deadBytes = 0;
  /** How often a segment has become dead, and the unit that did it last. */
  deaths = 0;
  lastDeathUnit = 0;
  private readonly byNumber = new Map<number, Segment>();
  private last: Segment | null = null;

  constructor(stride: number) {
    this.stride = stride;
  }

  get count(): number {
    let count = 0;
    for (const [number, segment] of this.byNumber) if (number === segment.number) count++;
    return count;
  }

  /** In order of number. */
  all(): Segment[] {
    return [...this.byNumber]
      .filter(([number, segment]) => number === segment.number)
      .map(([, segment]) => segment)
      .sort((a, b) => a.number - b.number);
  }

  has(segment: Segment): boolean {
    return this.byNumber.get(segment.number) === segment;
  }

  add(segment: Segment): void {
    for (let i = 0; i < segment.strides; i++) {
      assert(!this.byNumber.has(segment.number + i), `segment ${segment.number + i} exists twice`);
      this.byNumber.set(segment.number + i, segment);
    }
  }

  remove(segment: Segment): void {
    for (let i = 0; i < segment.strides; i++) this.byNumber.delete(segment.number + i);
    if (this.last === segment) this.last = null;
    if (segment.closed && segment.live === 0) {
      this.deadCount--;
      this.deadBytes -= segment.end - segment.base;
    }
  }

  /** The segment that `position` lies in. */
  at(position: number): Segment | undefined {
    const { last } = this;
    if (last !== null && position >= last.base && position < last.end) return last;
    const found = this.byNumber.get(Math.floor(position / this.stride));
    if (found !== undefined) this.last = found;
    return found;
  }

  close(segment: Segment): void {
    if (segment.closed) return;
    segment.closed = true;
    if (segment.live === 0) this.noteDead(segment);
  }

  isTogether(low: number, high: number): boolean {
    const segment = this.at(low);
    return segment !== undefined && high < segment.end;
  }

  onLive(position: number, count: number): void {
    const segment = this.at(position);
    if (segment === undefined) return;
    if (segment.closed && segment.live === 0 && count > 0) {
      this.deadCount--;
      this.deadBytes -= segment.end - segment.base;
    }
    segment.live += count;
    segment.total += count;
  }

  onDead(position: number, count: number): void {
    const segment = this.at(position);
    if (segment === undefined) return;
    segment.live -= count;
    if (segment.live === 0) {
      segment.deadAt = this.unit;
      if (segment.closed) this.noteDead(segment);
    }
  }

  private noteDead(segment: Segment): void {
    this.deadCount++;
    this.deadBytes += segment.end - segment.base;
    if (segment.deadAt === 0) segment.deadAt = this.unit;
    this.deaths++;
    this.lastDeathUnit = this.unit;
  }
}
