// One generation of a route table (route-table.ts): texts, each with the route it has, in a hash table that nothing is ever taken out of.
//
//   slots    [ tag, record | tag, record | … ]               one word each; 0: free. The slots from hash & mask on, PROBES_MAX of them, are where an entry may stand; the tag is the
//                                                            hash's upper byte, so that hardly ever another one's record is looked at
//   records  [ hash | length | place | since | text … ] …    one piece of memory, of which what was never written to costs nothing; a record is known by where it begins, in units of 8 bytes
//   routes   [ route | route | … ]                           place: its route, which many texts may have in common; since: the generation of the bindings in which the text was last known to have it
//
// A million topics in use are looked up in two places of the memory each, of which the slots, 8 MB of them, are few enough to be in a cache now and then: the objects behind them are few where
// many topics lead to the same subscribers (RouteTable.common), so that they stay in the processor's cache, and nothing of a topic is an object that the collector has to look at.
//
// What find() waits for in a large table is the memory, twice, and not at all if it has been asked for early enough: prefetch() asks for many texts at once, which takes little longer
// than one.
//
// The bound on probes makes texts chosen to collide push each other out instead of making look-ups slow.
import { sameBytes, sameInViews } from '../lib/byte-hash.ts';
import type { Route } from './route-table.ts';

export const SLOTS_MIN = 64;
/** With at most half of the slots taken, practically no entry needs more. */
const PROBES_MAX = 64;
const PREFETCH_PROBES_MAX = 8;
/** Reads in one round of a loop. */
const READ_TOGETHER = 8;
/** A line of the processor's cache. */
const LINE_BYTES = 64;
const LINE_WORDS_LOG2 = 4;
const SLOTS_PER_ENTRY = 2;
/** A slot: the tag above, the record below. */
const TAG_MASK = 0xff00_0000 | 0;
const RECORD_MASK = 0x00ff_ffff;
/** Words of a record; its text follows. */
const HASH = 0;
const LENGTH = 1;
const PLACE = 2;
const SINCE = 3;
const TEXT = 4;
/** Records begin at multiples of this. */
const UNIT_LOG2 = 3;
const UNIT_BYTES = 1 << UNIT_LOG2;
const UNIT_WORDS_LOG2 = UNIT_LOG2 - 2;
export const RECORD_MEMORY_MIN = 2048;
/** What the numbers of records reach: twice what a generation may have, with what is not used of it. */
export const RECORD_MEMORY_MAX = 1 << (24 + UNIT_LOG2);
/** A route: the object, its key, the strings of both. */
export const ROUTE_BYTES = 300;

/** Texts to be looked up together: text i is what `view` shows of [starts[i], starts[i] + lengths[i]). */
export interface Texts {
  view: DataView;
  count: number;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  /** By hashBytes. */
  readonly hashes: Int32Array;
  /** What was found. */
  readonly routes: (Route | null)[];
}

const NONE_FOUND = new Uint32Array(0);

function recordBytes(length: number): number {
  return ((TEXT << 2) + length + UNIT_BYTES - 1) & -UNIT_BYTES;
}

/** A record and its share of the slots. */
export function entryBytes(length: number): number {
  return recordBytes(length) + SLOTS_PER_ENTRY * 4;
}

export class Generation {
  count = 0;
  bytes = 0;
  private readonly routes: (Route | null)[] = [];
  private slots: Uint32Array;
  private mask: number;
  /** Entries of each route. */
  private readonly uses: number[] = [];
  private readonly vacant: number[] = [];
  /** The memory of the records, seen as bytes, as words, and as words that begin anywhere. */
  private texts: Uint8Array;
  private words: Uint32Array;
  private memory: DataView;
  /** No record is number 0. Large memory begins at 16 bytes of a line of the cache: the first record, and with it all of the same size, at the beginning of one. */
  private memoryUsed = LINE_BYTES - 16;
  /** What prefetch() has found: for each text the first record with its tag, 0 for none; and which words are to be read. */
  private candidates = NONE_FOUND;
  private found = NONE_FOUND;

  constructor(slotCount: number, memoryBytes: number) {
    this.mask = slotCount - 1;
    this.slots = new Uint32Array(slotCount);
    const buffer = new ArrayBuffer(memoryBytes);
    this.texts = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.memory = new DataView(buffer);
  }

  get slotCount(): number {
    return this.mask + 1;
  }

  get memoryBytes(): number {
    return this.texts.length;
  }

  /** The half of the slots that is used is. */
  get full(): boolean {
    return (this.count + 1) * SLOTS_PER_ENTRY > this.slotCount;
  }

  /** The memory takes one more text of this length. */
  hasRoom(length: number): boolean {
    return this.memoryUsed + recordBytes(length) <= this.texts.length;
  }

  /** The record of this text, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, length: number): number {
    const { slots, mask, words } = this;
    for (let i = 0, slot = hash & mask; i < PROBES_MAX; i++, slot = (slot + 1) & mask) {
      const there = slots[slot]!;
      if (there === 0) return -1;
      if (((there ^ hash) & TAG_MASK) !== 0) continue;
      const record = there & RECORD_MASK;
      const at = record << UNIT_WORDS_LOG2;
      if (((words[at + HASH]! ^ hash) | (words[at + LENGTH]! ^ length)) !== 0) continue;
      if (sameBytes(this.texts, (at + TEXT) << 2, bytes, start, length)) return record;
    }
    return -1;
  }

  /**
   * After prefetch() of the same texts: the routes of those that were true in this generation of the bindings; null for others, for texts that are not here, and for the few in whose way
   * another one with the same tag stands.
   */
  findAll(texts: Texts, generation: number): void {
    const { view, count, starts, lengths, hashes, routes } = texts;
    const { words, memory, candidates } = this;
    for (let i = 0; i < count; i++) {
      const at = candidates[i]!;
      const length = lengths[i]!;
      const differs =
        (words[at + HASH]! ^ hashes[i]!) | (words[at + LENGTH]! ^ length) | (words[at + SINCE]! ^ generation);
      // What stands at 0 is no record; no text has its hash.
      const isHere = differs === 0 && sameInViews(memory, (at + TEXT) << 2, view, starts[i]!, length);
      routes[i] = isHere ? this.routes[words[at + PLACE]!]! : null;
    }
  }

  /**
   * Reads what find(), findAll() and routeAt() will read for texts with these hashes and lengths: first all slots, then all records. The reads of one loop do not depend on each other, and there is
   * little else in it, so that the processor waits for many at a time: it looks some hundred instructions ahead, and a round of a loop is 25 of them, of which one read needs 9. Returns a
   * number that means nothing, so that the reads are not optimised away.
   */
  prefetch(texts: Texts): number {
    const { hashes, lengths, count } = texts;
    // Some words more: the loops go on to the end of a group of reads, whatever is there.
    if (this.candidates.length < count) {
      this.candidates = new Uint32Array(count);
      this.found = new Uint32Array(2 * count + READ_TOGETHER);
    }
    const { slots, mask, words, found, candidates } = this;
    let sum = 0;
    let first = 0;
    for (; first + READ_TOGETHER <= count; first += READ_TOGETHER) {
      sum ^= slots[hashes[first]! & mask]!;
      sum ^= slots[hashes[first + 1]! & mask]!;
      sum ^= slots[hashes[first + 2]! & mask]!;
      sum ^= slots[hashes[first + 3]! & mask]!;
      sum ^= slots[hashes[first + 4]! & mask]!;
      sum ^= slots[hashes[first + 5]! & mask]!;
      sum ^= slots[hashes[first + 6]! & mask]!;
      sum ^= slots[hashes[first + 7]! & mask]!;
    }
    for (; first < count; first++) sum ^= slots[hashes[first]! & mask]!;
    let foundEnd = 0;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!;
      let slot = hash & mask;
      let there = slots[slot]!;
      while (there !== 0 && ((there ^ hash) & TAG_MASK) !== 0) {
        slot = (slot + 1) & mask;
        there = slots[slot]!;
        // Far from home: not worth looking for.
        if (((slot - hash) & mask) >= PREFETCH_PROBES_MAX) there = 0;
      }
      const at = (there & RECORD_MASK) << UNIT_WORDS_LOG2;
      candidates[i] = at;
      if (at === 0) continue;
      // The last byte may be on another line of the cache; it is not this record's when the text is another one.
      const last = at + TEXT + ((lengths[i]! - 1) >>> 2);
      found[foundEnd++] = at;
      found[foundEnd] = last < words.length ? last : at;
      // Two lines next to each other differ in their numbers' last bit.
      foundEnd += (((at + 4) ^ (last + 4)) >>> LINE_WORDS_LOG2) & 1;
    }
    for (let i = 0; i < READ_TOGETHER; i++) found[foundEnd + i] = 0;
    for (let i = 0; i < foundEnd; i += READ_TOGETHER) {
      sum ^= words[found[i]!]!;
      sum ^= words[found[i + 1]!]!;
      sum ^= words[found[i + 2]!]!;
      sum ^= words[found[i + 3]!]!;
      sum ^= words[found[i + 4]!]!;
      sum ^= words[found[i + 5]!]!;
      sum ^= words[found[i + 6]!]!;
      sum ^= words[found[i + 7]!]!;
    }
    return sum;
  }

  routeAt(record: number): Route {
    return this.routes[this.wordOf(record, PLACE)]!;
  }

  sinceAt(record: number): number {
    return this.wordOf(record, SINCE) | 0;
  }

  setSince(record: number, since: number): void {
    this.words[(record << UNIT_WORDS_LOG2) + SINCE] = since;
  }

  /** The text must not be in here, the table not be full, and have room for it. Returns its record. */
  put(hash: number, bytes: Uint8Array, start: number, length: number, route: Route, since: number): number {
    const slot = this.slotFor(hash);
    const there = this.slots[slot]!;
    if (there !== 0) {
      // All of its places are taken: the first of them is given up. Nothing becomes free, so nothing behind it is lost to find(); its record stays where it is, and counts.
      this.count--;
      this.detach(this.wordOf(there & RECORD_MASK, PLACE));
    }
    const record = this.keep(hash, bytes, start, length, this.attach(route), since);
    this.slots[slot] = ((hash & TAG_MASK) | record) >>> 0;
    this.count++;
    this.bytes += entryBytes(length);
    return record;
  }

  replace(record: number, route: Route, since: number): void {
    const before = this.wordOf(record, PLACE);
    this.setSince(record, since);
    this.words[(record << UNIT_WORDS_LOG2) + PLACE] = this.attach(route);
    this.detach(before);
  }

  /** More memory, for one more text of this length. */
  growMemory(length: number): void {
    const { texts } = this;
    let size = texts.length;
    while (size < this.memoryUsed + recordBytes(length)) size *= 2;
    const buffer = new ArrayBuffer(size);
    this.texts = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.memory = new DataView(buffer);
    this.texts.set(texts.subarray(0, this.memoryUsed));
  }

  /** Twice the slots. */
  growSlots(): void {
    const { slots } = this;
    this.mask = this.slotCount * 2 - 1;
    this.slots = new Uint32Array(this.slotCount);
    for (let from = 0; from < slots.length; from++) {
      const there = slots[from]!;
      if (there === 0) continue;
      const slot = this.slotFor(this.wordOf(there & RECORD_MASK, HASH));
      if (this.slots[slot] !== 0) {
        this.count--;
        this.detach(this.wordOf(this.slots[slot]! & RECORD_MASK, PLACE));
      }
      this.slots[slot] = there;
    }
  }

  /** Puts the entries of a few slots from `slot` on into another generation, those that it does not have and has room for. */
  moveTo(other: Generation, slot: number, count: number): void {
    const { slots } = this;
    const end = Math.min(slots.length, slot + count);
    for (let from = slot; from < end; from++) {
      if (slots[from] === 0) continue;
      const record = slots[from]! & RECORD_MASK;
      const hash = this.wordOf(record, HASH);
      const length = this.wordOf(record, LENGTH);
      const start = ((record << UNIT_WORDS_LOG2) + TEXT) << 2;
      if (other.full || !other.hasRoom(length) || other.find(hash, this.texts, start, length) >= 0) continue;
      other.put(hash, this.texts, start, length, this.routeAt(record), this.sinceAt(record));
    }
  }

  /** A free slot for this hash; its home when there is none. */
  private slotFor(hash: number): number {
    const { slots, mask } = this;
    const home = hash & mask;
    for (let i = 0, slot = home; i < PROBES_MAX; i++, slot = (slot + 1) & mask) {
      if (slots[slot] === 0) return slot;
    }
    return home;
  }

  private wordOf(record: number, word: number): number {
    return this.words[(record << UNIT_WORDS_LOG2) + word]!;
  }

  /** Writes a record; returns which it is. */
  private keep(hash: number, bytes: Uint8Array, start: number, length: number, place: number, since: number): number {
    const { texts, words } = this;
    const from = this.memoryUsed;
    this.memoryUsed = from + recordBytes(length);
    words[(from >> 2) + HASH] = hash;
    words[(from >> 2) + LENGTH] = length;
    words[(from >> 2) + PLACE] = place;
    words[(from >> 2) + SINCE] = since;
    const text = from + (TEXT << 2);
    for (let i = 0; i < length; i++) texts[text + i] = bytes[start + i]!;
    return from >> UNIT_LOG2;
  }

  private attach(route: Route): number {
    if (route.keeper === this) {
      this.uses[route.place]!++;
      return route.place;
    }
    const place = this.vacant.pop() ?? this.routes.length;
    this.routes[place] = route;
    this.uses[place] = 1;
    this.bytes += ROUTE_BYTES;
    route.keeper = this;
    route.place = place;
    return place;
  }

  private detach(place: number): void {
    this.uses[place]!--;
    if (this.uses[place] !== 0) return;
    const route = this.routes[place]!;
    if (route.keeper === this) route.keeper = null;
    this.routes[place] = null;
    this.vacant.push(place);
    this.bytes -= ROUTE_BYTES;
  }
}
