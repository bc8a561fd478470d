// Bytes of the log by position: from the open and pending frames and the ring (log.ts) when they are that new, otherwise from a bounded cache of extents that the
// keeper reads and checks. An extent is a whole number of frames, so a record never straddles two. Asking for what is not there starts the read; the waiter is told.
import { assert } from '../../lib/assert.ts';
import type { Crew } from './crew.ts';
import type { BadStretch } from './keeper.ts';
import type { Log } from './log.ts';
import { BLOCK_BYTES } from './segment.ts';
import { EXTENT_BYTES, type Segment, type Segments } from './segments.ts';

export interface Waiter {
  /** What it asked for can be asked for again. */
  onRead(): void;
}

export interface DamageListener {
  /** The disk gave back other bytes than were written, or none. Each stretch is reported once. */
  onDamage(segment: Segment, start: number, end: number, reason: string): void;
  /** Calls back when a write that was begun now has reached the disk; never, when it does not. */
  whenWritable(then: () => void): void;
}

export const Lookup = { Found: 0, Waiting: 1, Lost: 2 } as const;
export type Lookup = (typeof Lookup)[keyof typeof Lookup];

class Block {
  readonly key: number;
  readonly start: number;
  readonly end: number;
  readonly memory: Uint8Array;
  readonly at: number;
  /** Place in the pool, -1 for memory of its own. */
  readonly slot: number;
  ready = false;
  bad: readonly BadStretch[] = [];
  readonly waiters: Waiter[] = [];

  constructor(key: number, start: number, end: number, memory: Uint8Array, at: number, slot: number) {
    this.key = key;
    this.start = start;
    this.end = end;
    this.memory = memory;
    this.at = at;
    this.slot = slot;
  }
}

export class Reader {
  /** Set when lookup() returns Found: the asked position is found[foundAt]. */
  found: Uint8Array = NOTHING;
  foundAt = 0;
  private readonly crew: Crew;
  private readonly segments: Segments;
  private readonly log: () => Log;
  private readonly damage: DamageListener;
  private readonly pool: Uint8Array;
  private readonly slotBytes: number;
  private readonly freeSlots: number[] = [];
  /** In order of use, the least recently used first. */
  private readonly blocks = new Map<number, Block>();
  private current: Block | null = null;
  /** Waiters that found no slot free. */
  private crowd: Waiter[] = [];
  private reading = 0;

  constructor(
    crew: Crew,
    segments: Segments,
    log: () => Log,
    damage: DamageListener,
    cacheBytes: number,
    frameBytesMax: number,
  ) {
    this.crew = crew;
    this.segments = segments;
    this.log = log;
    this.damage = damage;
    this.slotBytes = EXTENT_BYTES + Math.ceil(frameBytesMax / BLOCK_BYTES) * BLOCK_BYTES + 2 * BLOCK_BYTES;
    const slots = Math.max(4, Math.floor(cacheBytes / this.slotBytes));
    this.pool = crew.makeMemory(slots * this.slotBytes);
    for (let slot = slots - 1; slot >= 0; slot--) this.freeSlots.push(slot);
  }

  get idle(): boolean {
    return this.reading === 0;
  }

  lookup(position: number, length: number, waiter: Waiter): Lookup {
    const { current } = this;
    if (current !== null && position >= current.start && position + length <= current.end)
      return this.inBlock(current, position, length);
    const log = this.log();
    if (log.find(position, length)) {
      this.found = log.found;
      this.foundAt = log.foundAt;
      return Lookup.Found;
    }
    return this.onDisk(position, length, waiter);
  }

  /** Forgets what is cached of a segment that is about to go. */
  forget(segment: Segment): void {
    for (const block of this.blocks.values()) {
      if (block.start >= segment.base && block.start < segment.end && block.ready) this.drop(block);
    }
  }

  private onDisk(position: number, length: number, waiter: Waiter): Lookup {
    const segment = this.segments.at(position);
    if (segment === undefined) return Lookup.Lost;
    const extent = segment.extentAt(position - segment.base);
    if (extent < 0) return Lookup.Lost;
    const key = segment.base + segment.extents[extent]!;
    let block = this.blocks.get(key);
    if (block?.ready === true && position + length > block.end) {
      // It was read when the segment was still growing.
      if (this.endOf(segment, extent) <= block.end) return Lookup.Lost;
      this.drop(block);
      block = undefined;
    }
    if (block === undefined) {
      block = this.read(segment, extent) ?? undefined;
      if (block === undefined) {
        this.crowd.push(waiter);
        return Lookup.Waiting;
      }
      // The next extent is likely to be wanted next; it must not push anything out that somebody waits for.
      if (this.reading < READS_MAX && this.mayReadAhead(segment, extent + 1)) this.read(segment, extent + 1);
    }
    if (!block.ready) {
      block.waiters.push(waiter);
      return Lookup.Waiting;
    }
    this.blocks.delete(key);
    this.blocks.set(key, block);
    this.current = block;
    return this.inBlock(block, position, length);
  }

  /** There is such an extent, something of it is written, and nobody has it. The first frame of the newest one may still be on its way to the disk. */
  private mayReadAhead(segment: Segment, extent: number): boolean {
    if (extent >= segment.extents.length) return false;
    const start = segment.base + segment.extents[extent]!;
    return this.endOf(segment, extent) > start && !this.blocks.has(start);
  }

  private inBlock(block: Block, position: number, length: number): Lookup {
    for (const bad of block.bad) if (position < bad.end && position + length > bad.start) return Lookup.Lost;
    this.found = block.memory;
    this.foundAt = block.at + (position - block.start);
    return Lookup.Found;
  }

  private endOf(segment: Segment, extent: number): number {
    const written = Math.min(segment.dataEnd, Math.max(this.log().writtenEnd, segment.base));
    return extent + 1 < segment.extents.length
      ? Math.min(segment.base + segment.extents[extent + 1]!, written)
      : written;
  }

  /** Starts a read; null when every slot is busy. */
  private read(segment: Segment, extent: number): Block | null {
    const start = segment.base + segment.extents[extent]!;
    const end = this.endOf(segment, extent);
    assert(end > start, 'a read was asked for that is not written yet');
    const length = end - start;
    let slot = -1;
    if (length <= this.slotBytes) {
      slot = this.freeSlots.pop() ?? this.evict();
      if (slot < 0) return null;
    }
    const memory = slot < 0 ? this.crew.makeMemory(length) : this.pool;
    const block = new Block(start, start, end, memory, slot < 0 ? 0 : slot * this.slotBytes, slot);
    this.blocks.set(start, block);
    this.reading++;
    this.crew.keep(
      {
        kind: 'read',
        segment: segment.number,
        offset: start - segment.base,
        length,
        memory,
        at: block.at,
        base: segment.base,
        salt: segment.salt,
      },
      (result) => {
        const { error } = result;
        if (error !== null) {
          // A disk that has died can not be read either, and nothing on it is lost for that: it is one that still takes writes whose word is taken.
          this.damage.whenWritable(() => {
            block.bad = [{ start, end }];
            this.damage.onDamage(segment, start, end, error.message);
            this.onRead(block);
          });
          return;
        }
        block.bad = result.bad.map((bad) => ({ start: segment.base + bad.start, end: segment.base + bad.end }));
        for (const bad of block.bad) this.damage.onDamage(segment, bad.start, bad.end, 'no valid frame');
        this.onRead(block);
      },
    );
    return block;
  }

  private onRead(block: Block): void {
    this.reading--;
    block.ready = true;
    for (const waiter of block.waiters.splice(0)) waiter.onRead();
    const crowd = this.crowd;
    this.crowd = [];
    for (const waiter of crowd) waiter.onRead();
  }

  /** The slot of the least recently used block that nobody waits for; -1 when there is none. */
  private evict(): number {
    for (const block of this.blocks.values()) {
      if (!block.ready || block.slot < 0) continue;
      this.drop(block);
      return this.freeSlots.pop()!;
    }
    return -1;
  }

  private drop(block: Block): void {
    this.blocks.delete(block.key);
    if (this.current === block) this.current = null;
    if (block.slot >= 0) this.freeSlots.push(block.slot);
  }
}

/** Extents being read at a time, read-ahead included. */
const READS_MAX = 4;
const NOTHING = new Uint8Array(0);
