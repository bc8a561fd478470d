// Bytes of the log by position: from the open and pending frames and the ring (log.ts) when they are that new, otherwise from a bounded cache of extents that the
// keeper reads and checks. An extent is a whole number of frames, so a record never straddles two. Asking for what is not there starts the read; the waiter is told.
//
// Whoever reads on in order is read ahead of, in groups of extents that double in size up to a third of the cache. A group is asked for when the one before it is used first, and whoever
// waits for one of its extents is told when all are there: where thousands of queues lie side by side in the log, each of them then takes what the group holds of it, not a message
// at a time.
import { assert } from '../../lib/assert.ts';
import type { Crew } from './crew.ts';
import type { BadStretch } from './keeper.ts';
import type { Log } from './log.ts';
import { BLOCK_BYTES } from './segment.ts';
import { EXTENT_BYTES_MAX, type Segment, type Segments } from './segments.ts';

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
  readonly group: Group;
  /** Nobody had asked for it when its read began. */
  readonly ahead: boolean;
  used = false;
  usedAt: number;
  ready = false;
  bad: readonly BadStretch[] = [];
  /** Those who wait for it alone: the others of its group have been told already. */
  waiters: Waiter[] | null = null;

  constructor(
    key: number,
    start: number,
    end: number,
    memory: Uint8Array,
    at: number,
    slot: number,
    group: Group,
    ahead: boolean,
    usedAt: number,
  ) {
    this.key = key;
    this.usedAt = usedAt;
    this.start = start;
    this.end = end;
    this.memory = memory;
    this.at = at;
    this.slot = slot;
    this.group = group;
    this.ahead = ahead;
  }
}

/** Extents that are read together, one behind the other. */
class Group {
  /** In the order of their reads. */
  readonly number: number;
  readonly blocks: Block[] = [];
  /** How many of them nobody had asked for, at most. */
  readonly size: number;
  /** Where the next group begins: after the last extent that is part of this one. */
  segment: Segment;
  extent: number;
  /** Reads that have not come back. */
  reading = 0;
  /** Those who wait for its extents, once all are there, and how many of them have been told. */
  waiters: Waiter[] = NOBODY;
  waiting = 0;
  told = 0;
  /** The next one has been asked for. */
  followed = false;

  constructor(number: number, segment: Segment, extent: number, size: number) {
    this.number = number;
    this.segment = segment;
    this.extent = extent;
    this.size = size;
  }

  /** Nobody is going to be told any more. */
  get over(): boolean {
    return this.reading === 0 && this.told === this.waiting;
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
  private readonly blocks = new Map<number, Block>();
  /** Counts what blocks are put in order of use by. */
  private uses = 0;
  private current: Block | null = null;
  /** Waiters that found no slot free. */
  private crowd: Waiter[] = [];
  private reading = 0;
  /** Complete groups whose waiters are being told. */
  private readonly telling: Group[] = [];
  /** Lists of waiters that have been told, to be used again: they are as long as there are queues. */
  private readonly spareWaiters: Waiter[][] = [];
  private readonly groupMax: number;
  private nextGroup = 1;
  /** Blocks read ahead that nobody has used yet. */
  private unusedCount = 0;
  /** Of the blocks with memory of their own. */
  private largeBytes = 0;

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
    this.slotBytes = Math.max(EXTENT_BYTES_MAX, Math.ceil(frameBytesMax / BLOCK_BYTES) * BLOCK_BYTES) + 2 * BLOCK_BYTES;
    const slots = Math.max(4, Math.floor(cacheBytes / this.slotBytes));
    this.groupMax = Math.floor(slots / 3);
    this.pool = crew.makeMemory(slots * this.slotBytes);
    for (let slot = slots - 1; slot >= 0; slot--) this.freeSlots.push(slot);
  }

  /** waiter: told when it makes sense to ask again; null when nobody has to be. */
  lookup(position: number, length: number, waiter: Waiter | null): Lookup {
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

  private onDisk(position: number, length: number, waiter: Waiter | null): Lookup {
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
      block = this.readOn(segment, extent) ?? undefined;
      if (block === undefined) {
        if (waiter !== null) this.crowd.push(waiter);
        return Lookup.Waiting;
      }
    }
    const { group } = block;
    if (!block.ready || group.reading > 0) {
      if (waiter === null) return Lookup.Waiting;
      if (group.reading > 0) this.wait(group, waiter);
      else {
        block.waiters ??= [];
        block.waiters.push(waiter);
      }
      return Lookup.Waiting;
    }
    const telling = this.telling[0];
    if (telling !== undefined && group.number > telling.number) {
      // Others have not had their turn with an earlier group. Who went on without them would need the cache for itself.
      if (waiter !== null) this.tellLater(group, waiter);
      return Lookup.Waiting;
    }
    block.usedAt = ++this.uses;
    this.current = block;
    if (!block.used) this.onFirstUse(block);
    return this.inBlock(block, position, length);
  }

  private onFirstUse(block: Block): void {
    block.used = true;
    if (!block.ahead) return;
    this.unusedCount--;
    const { group } = block;
    if (group.followed) return;
    group.followed = true;
    const next = new Group(this.nextGroup++, group.segment, group.extent, Math.min(2 * group.size, this.groupMax));
    this.readAhead(next);
  }

  /** Reads an extent somebody has asked for, and ahead of it; null when every slot is busy. */
  private readOn(segment: Segment, extent: number): Block | null {
    const before = extent === 0 ? undefined : this.blocks.get(segment.base + segment.extents[extent - 1]!);
    const size = before === undefined ? 1 : Math.min(2 * before.group.size, this.groupMax);
    const group = new Group(this.nextGroup++, segment, extent + 1, size);
    const block = this.read(segment, extent, group, false);
    if (block !== null) this.readAhead(group);
    return block;
  }

  /** Begins to read up to group.size extents from where the group is to go on. What is read ahead must not push out what somebody waits for, nor all that is in use. */
  private readAhead(group: Group): void {
    for (let i = 0; i < group.size && this.unusedCount < 2 * this.groupMax; i++) {
      if (group.extent >= group.segment.extents.length) {
        const next = this.segments.at(group.segment.end);
        if (next === undefined || next.extents.length === 0) return;
        group.segment = next;
        group.extent = 0;
      }
      const { segment, extent } = group;
      if (!this.mayReadAhead(segment, extent)) return;
      // What needs memory of its own is read ahead one at a time.
      if (i > 0 && this.endOf(segment, extent) - segment.base - segment.extents[extent]! > this.slotBytes) return;
      if (this.read(segment, extent, group, true) === null) return;
      this.unusedCount++;
      group.extent++;
    }
  }

  /** There is such an extent, something of it is written, and nobody has it. The first frame of the newest one may still be on its way to the disk. */
  private mayReadAhead(segment: Segment, extent: number): boolean {
    const start = segment.base + segment.extents[extent]!;
    return start < this.log().memoryStart && this.endOf(segment, extent) > start && !this.blocks.has(start);
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
  private read(segment: Segment, extent: number, group: Group, ahead: boolean): Block | null {
    const start = segment.base + segment.extents[extent]!;
    const end = this.endOf(segment, extent);
    assert(end > start, 'a read was asked for that is not written yet');
    const length = end - start;
    let slot = -1;
    if (length <= this.slotBytes) {
      slot = this.freeSlots.pop() ?? this.evict();
      if (slot < 0) return null;
    } else this.dropLarge(length);
    const memory = slot < 0 ? this.crew.makeMemory(length).subarray(0, length) : this.pool;
    const at = slot < 0 ? 0 : slot * this.slotBytes;
    const block = new Block(start, start, end, memory, at, slot, group, ahead, ++this.uses);
    this.blocks.set(start, block);
    group.blocks.push(block);
    group.reading++;
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
        this.reading--;
        const { error } = result;
        if (error !== null) {
          // A disk that has died can not be read either, and nothing on it is lost for that: it is one that still takes writes whose word is taken.
          this.damage.whenWritable(() => {
            block.bad = [{ start, end }];
            this.damage.onDamage(segment, start, end, error.message);
            block.ready = true;
            const { waiters } = block;
            block.waiters = null;
            if (waiters !== null) for (const waiter of waiters) waiter.onRead();
            this.tellCrowd();
          });
        } else {
          block.bad = result.bad.map((bad) => ({ start: segment.base + bad.start, end: segment.base + bad.end }));
          for (const bad of block.bad) this.damage.onDamage(segment, bad.start, bad.end, 'no valid frame');
          block.ready = true;
        }
        // The others of the group do not wait for one that can not be read.
        if (--group.reading === 0) this.onComplete(group);
      },
    );
    return block;
  }

  private onComplete(group: Group): void {
    this.telling.push(group);
    if (this.telling.length === 1) this.tell();
  }

  /** One of an earlier group is being told, so its turn comes. */
  private tellLater(group: Group, waiter: Waiter): void {
    if (group.over && !this.telling.includes(group)) this.telling.push(group);
    this.wait(group, waiter);
  }

  private wait(group: Group, waiter: Waiter): void {
    if (group.waiting === 0) group.waiters = this.spareWaiters.pop() ?? [];
    group.waiters[group.waiting++] = waiter;
  }

  /** Tells waiters, some at a time: connections have their turn in between. */
  private tell(): void {
    const { telling } = this;
    for (let told = 0; telling.length > 0 && told < TOLD_MAX; ) {
      const group = telling[0]!;
      if (group.over) {
        telling.shift();
        if (group.waiting > 0) this.spareWaiters.push(group.waiters);
        group.waiters = NOBODY;
        group.waiting = 0;
        group.told = 0;
        this.tellCrowd();
        continue;
      }
      told++;
      group.waiters[group.told++]!.onRead();
    }
    if (telling.length > 0) this.crew.later(() => this.tell());
  }

  private tellCrowd(): void {
    if (this.crowd.length === 0) return;
    const { crowd } = this;
    this.crowd = [];
    for (const waiter of crowd) waiter.onRead();
  }

  /** Makes room for an extent with memory of its own: together they take no more than the pool, unless they are waited for. */
  private dropLarge(length: number): void {
    for (const block of this.blocks.values()) {
      if (this.largeBytes + length <= this.pool.length) break;
      if (block.slot < 0 && block.ready && block.group.over) this.drop(block);
    }
    this.largeBytes += length;
  }

  /** The slot of the least recently used block that nobody waits for; -1 when there is none. */
  private evict(): number {
    let oldest: Block | null = null;
    for (const block of this.blocks.values()) {
      if (oldest !== null && block.usedAt >= oldest.usedAt) continue;
      // The current one is being looked at.
      if (!block.ready || block.slot < 0 || !block.group.over || block === this.current) continue;
      oldest = block;
    }
    if (oldest !== null) {
      this.drop(oldest);
      return this.freeSlots.pop()!;
    }
    return -1;
  }

  private drop(block: Block): void {
    this.blocks.delete(block.key);
    if (this.current === block) this.current = null;
    if (block.ahead && !block.used) this.unusedCount--;
    if (block.slot >= 0) this.freeSlots.push(block.slot);
    else this.largeBytes -= block.memory.length;
  }
}

/** Waiters told within one turn: a few milliseconds of work. */
const TOLD_MAX = 256;
const NOTHING = new Uint8Array(0);
/** Of every group that nobody waits for: nobody writes to it. */
const NOBODY: Waiter[] = [];
