// From the text of an address as an adapter received it, in bytes, to the resolved route: what a steady topic costs per message instead of a translation, an
// authorisation and a walk over the bindings. Nothing here makes a string or an object on a hit. Whether a route is still true, and for whom, is the business
// of the table's owner (Route.generation).
//
// It is a cache, bounded in entries and in bytes, in two generations of which the young one takes all entries. When that is full, it becomes the old
// one and the old one is given up; an entry found in the old one moves to the young. What is used stays, what is not is gone after two turns.
//
//   slots   [ hash | length | where | place | hash | … ]   four words each; hash 0: free. The slots from hash & mask on, PROBES_MAX of them, are where an entry may stand
//   chunks  [ text | text | … ] [ … ]                      where: chunk and offset of the text
//   routes  [ route | route | … ]                          place: its route, which many texts may have in common
//
// A million topics in use are looked up in two places of the memory each, slot and text: the objects behind them are few where many topics lead to the same
// subscribers (common()), so that they stay in the processor's cache, and nothing of a topic is an object that the collector has to look at.
//
// What lookup() waits for in a large table is the memory, twice, and not at all if it has been asked for early enough: prefetch() asks for many texts at once, which takes little longer
// than one.
//
// A table that has many routes takes a stranger only when it comes again (or by chance, in case its note was overwritten): a million topics that are published to once, as when
// retained messages are loaded, are not to push out what is used, nor to be kept for nothing.
//
// The bound on probes makes texts chosen to collide push each other out instead of making look-ups slow.
import { hashBytes, sameBytes } from '../lib/byte-hash.ts';
import type { DestinationSet } from './destination-set.ts';
import type { RoutingKey } from './routing-key.ts';

const SLOTS_MIN = 64;
/** With at most half of the slots taken, practically no entry needs more. */
const PROBES_MAX = 64;
const PREFETCH_PROBES_MAX = 8;
const SLOTS_PER_ENTRY = 2;
/** A table with more slots is not rehashed at once, which would take long: it turns, and with each entry that comes a few of the old slots move. */
const REHASHED_SLOTS_MAX = 65_536;
/** Twice as many as are needed to be done before the larger table is full. */
const MOVED_SLOTS = 4;
/** A slot: four words. */
const SLOT_WORDS_LOG2 = 2;
const HASH = 0;
const LENGTH = 1;
const WHERE = 2;
const PLACE = 3;
/** Texts are kept in chunks, the first of them small; a chunk takes the longest text there is. */
const CHUNK_BYTES_MIN = 1024;
const CHUNK_LOG2 = 18;
const CHUNK_BYTES_MAX = 1 << CHUNK_LOG2;
const OFFSET_MASK = CHUNK_BYTES_MAX - 1;
/** An entry, beside its text: its share of the slots. */
const ENTRY_BYTES = SLOTS_PER_ENTRY * 16;
/** A route: the object, its key, the strings of both. */
const ROUTE_BYTES = 300;

/** Entries up to this many are kept from the first time on. */
const STRANGERS_WELCOME = 4096;
/** Beyond, one of so many strangers is. */
const STRANGER_TAKEN_EACH = 32;
/** Places for notes of strangers, two bytes each: so many at first (not fewer, see growNotes), four times as many when a quarter is taken. */
const NOTES_MIN = 65_536;
const NOTES_MAX = 1 << 22;
/** From so many slots on, they and the texts do not fit into a processor's own cache. */
const LARGE_SLOTS = 16_384;
/** Routes in common between two changes of the bindings. */
const COMMONS_MAX = 16_384;

export class Route {
  readonly exchange: string;
  /** Of a route that topics have in common: the key of one of them. */
  readonly key: RoutingKey;
  /** Of the bindings when `set`, `allowed` and `refusal` were found out; -1 before. */
  generation: number;
  /** Where it leads; null when that depends on more than the key, or when not allowed. */
  set: DestinationSet | null;
  /** Its messages have to be published one by one: each may go elsewhere, or be refused. */
  oneByOne: boolean;
  allowed: boolean;
  /** Why not, for people. */
  refusal: string | null;
  /** The generation of a table that took it in last, and its place there. */
  keeper: object | null;
  place: number;

  constructor(exchange: string, key: RoutingKey) {
    this.exchange = exchange;
    this.key = key;
    this.generation = -1;
    this.set = null;
    this.oneByOne = true;
    this.allowed = false;
    this.refusal = null;
    this.keeper = null;
    this.place = 0;
  }
}

class Generation {
  readonly routes: (Route | null)[] = [];
  slots: Uint32Array;
  count = 0;
  bytes = 0;
  private mask: number;
  /** Entries of each route. */
  private readonly uses: number[] = [];
  private readonly vacant: number[] = [];
  private readonly chunks: Uint8Array[] = [];
  private chunkEnd = 0;

  constructor(slotCount: number) {
    this.mask = slotCount - 1;
    this.slots = new Uint32Array(slotCount << SLOT_WORDS_LOG2);
  }

  get slotCount(): number {
    return this.mask + 1;
  }

  /** The half of the slots that is used is. */
  get full(): boolean {
    return (this.count + 1) * SLOTS_PER_ENTRY > this.slotCount;
  }

  /** Where the slot of this text begins, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, length: number): number {
    const { slots, mask } = this;
    for (let i = 0, slot = hash & mask; i < PROBES_MAX; i++, slot = (slot + 1) & mask) {
      const at = slot << SLOT_WORDS_LOG2;
      const there = slots[at]!;
      if (there === 0) return -1;
      if (there !== hash || slots[at + LENGTH] !== length) continue;
      const where = slots[at + WHERE]!;
      if (sameBytes(this.chunks[where >>> CHUNK_LOG2]!, where & OFFSET_MASK, bytes, start, length)) return at;
    }
    return -1;
  }

  /**
   * Reads what find() and routeAt() will read for texts with these hashes: first all slots, then all texts and routes. The reads of one loop do not depend on each other, so that the
   * processor waits for many at a time. Returns a number that means nothing, so that they are not optimised away.
   */
  prefetch(hashes: Uint32Array, count: number): number {
    const { slots, mask, chunks, routes } = this;
    let sum = 0;
    for (let i = 0; i < count; i++) sum ^= slots[(hashes[i]! & mask) << SLOT_WORDS_LOG2]!;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!;
      let slot = hash & mask;
      let there = slots[slot << SLOT_WORDS_LOG2]!;
      while (there !== hash && there !== 0) {
        slot = (slot + 1) & mask;
        there = slots[slot << SLOT_WORDS_LOG2]!;
        // Far from home: not worth looking for.
        if (((slot - hash) & mask) >= PREFETCH_PROBES_MAX) there = 0;
      }
      if (there === 0) continue;
      const at = slot << SLOT_WORDS_LOG2;
      const where = slots[at + WHERE]!;
      sum ^= chunks[where >>> CHUNK_LOG2]![where & OFFSET_MASK]!;
      sum ^= routes[slots[at + PLACE]!]!.generation;
    }
    return sum;
  }

  routeAt(at: number): Route {
    return this.routes[this.slots[at + PLACE]!]!;
  }

  /** The text must not be in here, and the table not be full. */
  put(hash: number, bytes: Uint8Array, start: number, length: number, route: Route): void {
    const at = this.placeFor(hash);
    const { slots } = this;
    if (slots[at + HASH] !== 0) {
      // All of its places are taken: the first of them is given up. Nothing becomes free, so nothing behind it is lost to find().
      this.count--;
      this.bytes -= ENTRY_BYTES + slots[at + LENGTH]!;
      this.detach(slots[at + PLACE]!);
    }
    slots[at + HASH] = hash;
    slots[at + LENGTH] = length;
    slots[at + WHERE] = this.keep(bytes, start, length);
    slots[at + PLACE] = this.attach(route);
    this.count++;
    this.bytes += ENTRY_BYTES + length;
  }

  replace(at: number, route: Route): void {
    const before = this.slots[at + PLACE]!;
    this.slots[at + PLACE] = this.attach(route);
    this.detach(before);
  }

  /** Twice the slots. */
  grow(): void {
    const { slots } = this;
    this.mask = this.slotCount * 2 - 1;
    this.slots = new Uint32Array(this.slotCount << SLOT_WORDS_LOG2);
    for (let from = 0; from < slots.length; from += 1 << SLOT_WORDS_LOG2) {
      const hash = slots[from]!;
      if (hash === 0) continue;
      const at = this.placeFor(hash);
      if (this.slots[at + HASH] !== 0) {
        this.count--;
        this.bytes -= ENTRY_BYTES + this.slots[at + LENGTH]!;
        this.detach(this.slots[at + PLACE]!);
      }
      for (let word = 0; word < 1 << SLOT_WORDS_LOG2; word++) this.slots[at + word] = slots[from + word]!;
    }
  }

  /** Puts the entries of a few slots from `slot` on into another generation, those that it does not have. */
  moveTo(other: Generation, slot: number, count: number): void {
    const { slots } = this;
    const end = Math.min(slots.length, (slot + count) << SLOT_WORDS_LOG2);
    for (let at = slot << SLOT_WORDS_LOG2; at < end; at += 1 << SLOT_WORDS_LOG2) {
      const hash = slots[at]!;
      if (hash === 0) continue;
      const where = slots[at + WHERE]!;
      const chunk = this.chunks[where >>> CHUNK_LOG2]!;
      const start = where & OFFSET_MASK;
      const length = slots[at + LENGTH]!;
      if (other.find(hash, chunk, start, length) < 0) other.put(hash, chunk, start, length, this.routeAt(at));
    }
  }

  /** A free slot for this hash; its home when there is none. */
  private placeFor(hash: number): number {
    const { slots, mask } = this;
    const home = hash & mask;
    for (let i = 0, slot = home; i < PROBES_MAX; i++, slot = (slot + 1) & mask) {
      const at = slot << SLOT_WORDS_LOG2;
      if (slots[at] === 0) return at;
    }
    return home << SLOT_WORDS_LOG2;
  }

  /** Copies a text; returns where it is. */
  private keep(bytes: Uint8Array, start: number, length: number): number {
    const { chunks } = this;
    if (chunks.length === 0 || this.chunkEnd + length > chunks.at(-1)!.length) {
      let size = Math.min(CHUNK_BYTES_MIN << Math.min(chunks.length, 16), CHUNK_BYTES_MAX);
      while (size < length) size *= 2;
      // Not Buffer's shared slab, which would live as long as this chunk.
      chunks.push(new Uint8Array(size));
      this.chunkEnd = 0;
    }
    const chunk = chunks.at(-1)!;
    const at = this.chunkEnd;
    for (let i = 0; i < length; i++) chunk[at + i] = bytes[start + i]!;
    this.chunkEnd = at + length;
    return (((chunks.length - 1) << CHUNK_LOG2) | at) >>> 0;
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

export class RouteTable {
  private young = new Generation(SLOTS_MIN);
  private old = new Generation(SLOTS_MIN);
  /** The next slot of the old generation to move, because the young one is its larger successor; -1 when it is not. */
  private moving = -1;
  private readonly countMax: number;
  private readonly bytesMax: number;
  /** Of strangers, half of the hash each, in the place that the other half says. Made when the first one is refused. */
  private noted: Uint16Array | null = null;
  private strangers = 0;
  private notes = 0;
  /** Written so that what prefetch() reads is needed. */
  prefetched = 0;
  private readonly commons = new Map<DestinationSet, Route>();
  private commonsGeneration = 0;

  /** Both bounds are for the whole table and approximate: an entry counts ENTRY_BYTES and its text, a route ROUTE_BYTES. */
  constructor(countMax: number, bytesMax: number) {
    this.countMax = countMax;
    this.bytesMax = bytesMax;
  }

  /** Entries; one that moved to the young generation lately counts twice. */
  get size(): number {
    return this.young.count + this.old.count;
  }

  get bytes(): number {
    return this.young.bytes + this.old.bytes;
  }

  /** What is looked up should be asked for before, see prefetch(). */
  get large(): boolean {
    return this.young.slotCount >= LARGE_SLOTS;
  }

  /** Of texts that will be looked up, their hashes (by hashBytes): asks for the memory that this takes, so that it is there by then. */
  prefetch(hashes: Uint32Array, count: number): void {
    this.prefetched = this.young.prefetch(hashes, count);
    if (this.old.count > 0) this.prefetched ^= this.old.prefetch(hashes, count);
  }

  lookup(bytes: Uint8Array, start: number, end: number, hash = hashBytes(bytes, start, end)): Route | null {
    const length = end - start;
    const { young } = this;
    const at = young.find(hash, bytes, start, length);
    if (at >= 0) return young.routeAt(at);
    if (this.old.count === 0) return null;
    const oldAt = this.old.find(hash, bytes, start, length);
    if (oldAt < 0) return null;
    const route = this.old.routeAt(oldAt);
    this.put(hash, bytes, start, length, route);
    return route;
  }

  /** Adds the route of bytes[start, end), which are copied, unless there are many and it is a stranger, or replaces the one there is. */
  insert(route: Route, bytes: Uint8Array, start: number, end: number): void {
    const hash = hashBytes(bytes, start, end);
    const length = end - start;
    const at = this.young.find(hash, bytes, start, length);
    if (at >= 0) this.young.replace(at, route);
    else if (this.size < STRANGERS_WELCOME || this.hasCome(hash) || this.old.find(hash, bytes, start, length) >= 0) {
      this.put(hash, bytes, start, length, route);
    }
  }

  /**
   * The route that all texts have in common that lead to the same set: `route`, when it is the first. For routes that are told apart by nothing but their set: resolved, allowed, of one
   * exchange, and asked for their key by nobody.
   */
  common(route: Route): Route {
    if (route.generation !== this.commonsGeneration || this.commons.size >= COMMONS_MAX) {
      this.commons.clear();
      this.commonsGeneration = route.generation;
    }
    const there = this.commons.get(route.set!);
    if (there !== undefined) return there;
    this.commons.set(route.set!, route);
    return route;
  }

  private hasCome(hash: number): boolean {
    if (this.noted === null) this.noted = new Uint16Array(NOTES_MIN);
    else if (this.notes * 4 > this.noted.length) this.growNotes(this.noted);
    const { noted } = this;
    const place = hash & (noted.length - 1);
    const note = hash >>> 16 || 1;
    const there = noted[place]!;
    if (there === note) {
      // Room for another one: it is a stranger no more.
      noted[place] = 0;
      this.notes--;
      return true;
    }
    if (++this.strangers % STRANGER_TAKEN_EACH === 0) return true;
    if (there === 0) {
      noted[place] = note;
      this.notes++;
    }
    // Of two that fall on the same place and come in turn, neither would ever find its note.
    else if ((this.strangers & 1) === 0) noted[place] = note;
    return false;
  }

  /** Four times the places. A note and the lower 16 bits of its place are the whole hash (but for that of a note of 0, which is none). */
  private growNotes(noted: Uint16Array): void {
    if (noted.length >= NOTES_MAX || noted.length >= this.countMax) return;
    const grown = new Uint16Array(noted.length * 4);
    for (let place = 0; place < noted.length; place++) {
      const note = noted[place]!;
      if (note !== 0) grown[((note << 16) | (place & 0xffff)) & (grown.length - 1)] = note;
    }
    this.noted = grown;
  }

  clear(): void {
    this.moving = -1;
    this.young = new Generation(SLOTS_MIN);
    this.old = new Generation(SLOTS_MIN);
    this.commons.clear();
  }

  private put(hash: number, bytes: Uint8Array, start: number, length: number, route: Route): void {
    const { young } = this;
    const added = ENTRY_BYTES + length + (route.keeper === young ? 0 : ROUTE_BYTES);
    if (young.count * 2 >= this.countMax || (young.bytes + added) * 2 > this.bytesMax) this.turn(young.slotCount);
    else if (young.full) {
      if (young.slotCount < REHASHED_SLOTS_MAX) young.grow();
      else {
        this.turn(young.slotCount * 2);
        this.moving = 0;
      }
    }
    this.young.put(hash, bytes, start, length, route);
    if (this.moving >= 0) this.moveSome();
  }

  private moveSome(): void {
    this.old.moveTo(this.young, this.moving, MOVED_SLOTS);
    this.moving += MOVED_SLOTS;
    if (this.moving < this.old.slotCount) return;
    this.moving = -1;
    this.old = new Generation(SLOTS_MIN);
  }

  private turn(slotCount: number): void {
    this.moving = -1;
    this.old = this.young;
    this.young = new Generation(slotCount);
  }

  /** For comparing with the route used last, before anything is looked up. */
  static readonly sameBytes = sameBytes;
}
