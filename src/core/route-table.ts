// From the text of an address as an adapter received it, in bytes, to the resolved route: what a steady topic costs per message instead of a translation, an
// authorisation and a walk over the bindings. Nothing here makes a string or an object on a hit. For whom a route is true is the business of the table's owner;
// whether it still is, that of RouteChanges, which is asked for each text: many texts may have one route, and not all of them lose it together.
//
// It is a cache, bounded in entries and in bytes, in two generations of which the young one takes all entries. When that is full, it becomes the old
// one and the old one is given up; an entry found in the old one moves to the young. What is used stays, what is not is gone after two turns.
//
// How a generation finds its entries, and where they are in the memory: route-generation.ts.
//
// A table that has many routes takes a stranger only when it comes again (or by chance, in case its note was overwritten): a million topics that are published to once, as when
// retained messages are loaded, are not to push out what is used, nor to be kept for nothing.
import { hashBytes, sameBytes } from '../lib/byte-hash.ts';
import type { DestinationSet } from './destination-set.ts';
import { type RouteChanges, UNKNOWN } from './route-changes.ts';
import { entryBytes, Generation, ROUTE_BYTES, SLOTS_MIN, type Texts } from './route-generation.ts';
import type { RoutingKey } from './routing-key.ts';

/** A table with more slots or memory is not made anew at once, which would take long: it turns, and with each entry that comes a few of the old slots move. */
const REHASHED_SLOTS_MAX = 65_536;
const COPIED_BYTES_MAX = 4 * 1024 * 1024;
/** Twice as many as are needed to be done before the larger table is full. */
const MOVED_SLOTS = 4;
/** Entries up to this many are kept from the first time on. */
const STRANGERS_WELCOME = 4096;
/** Beyond, one of so many strangers is. */
const STRANGER_TAKEN_EACH = 32;
/** Places for notes of strangers, two bytes each: so many at first (not fewer, see growNotes), four times as many when a quarter is taken. */
const NOTES_MIN = 65_536;
const NOTES_MAX = 1 << 22;
/** From so many slots on (half a megabyte), they do not fit into a processor's own cache together with what else there is. */
const LARGE_SLOTS = 16_384;
/** Routes in common. They are forgotten after so many changes of the bindings, so that what is gone is not kept for long. */
const COMMONS_MAX = 16_384;
const COMMONS_CHANGES_MAX = 4096;

export class Route {
  readonly exchange: string;
  /** Of a route that topics have in common: the key of one of them. */
  readonly key: RoutingKey;
  /** Of the bindings when `set`, `allowed` and `refusal` were found out, or were known to be true last; UNKNOWN before. Of a route in common, only the former. */
  generation: number;
  /** Where it leads; null when that depends on more than the key, or when not allowed. */
  set: DestinationSet | null;
  /** Its messages have to be published one by one: each may go elsewhere, or be refused. */
  oneByOne: boolean;
  allowed: boolean;
  /** Why not, for people. */
  refusal: string | null;
  /** Texts have it in common: each is the path of a topic, and has a generation of its own. */
  shared: boolean;
  /** The generation of a table that took it in last, and its place there. */
  keeper: object | null;
  place: number;

  constructor(exchange: string, key: RoutingKey) {
    this.exchange = exchange;
    this.key = key;
    this.generation = UNKNOWN;
    this.set = null;
    this.oneByOne = true;
    this.allowed = false;
    this.refusal = null;
    this.shared = false;
    this.keeper = null;
    this.place = 0;
  }
}

function emptyGeneration(): Generation {
  return new Generation(SLOTS_MIN, 0);
}

export class RouteTable {
  private young = emptyGeneration();
  private old = emptyGeneration();
  /** The next slot of the old generation to move, because the young one is its larger successor; -1 when it is not. */
  private moving = -1;
  private readonly countMax: number;
  private readonly bytesMax: number;
  /** Of strangers, half of the hash each, in the place that the other half says. Made when the first one is refused. */
  private noted: Uint16Array | null = null;
  private strangers = 0;
  private notes = 0;
  private readonly commons = new Map<DestinationSet, Route>();
  private commonsGeneration = 0;

  /** Both bounds are for the whole table and approximate: an entry counts its slots, with those that stay free for it, and its text where that is elsewhere; a route ROUTE_BYTES. A generation has half of the bytes at most. */
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

  /** Texts should be looked up many at a time, see lookupAll(). */
  get large(): boolean {
    return this.young.slotCount >= LARGE_SLOTS;
  }

  /** lookupTrue() of many texts, as far as it is easy: what is not is left to that, and most of the memory that it will read has been asked for. */
  lookupAll(texts: Texts, changes: RouteChanges): void {
    this.young.prefetch(texts);
    if (this.old.count > 0) this.old.prefetch(texts);
    this.young.findAll(texts, changes.generation);
  }

  /** The route of bytes[start, end), whether it is still true or not. */
  lookup(bytes: Uint8Array, start: number, end: number, hash = hashBytes(bytes, start, end)): Route | null {
    const entry = this.entry(hash, bytes, start, end - start);
    return entry < 0 ? null : this.young.routeAt(entry);
  }

  /** The route of bytes[start, end), if it is still true. Only for tables whose texts are the paths of topics where their routes are in common. */
  lookupTrue(bytes: Uint8Array, start: number, end: number, hash: number, changes: RouteChanges): Route | null {
    const entry = this.entry(hash, bytes, start, end - start);
    if (entry < 0) return null;
    const { young } = this;
    const route = young.routeAt(entry);
    const since = young.sinceAt(entry);
    if (since === changes.generation) return route;
    if (!(route.shared ? changes.topicHolds(since, hash, bytes, start, end) : changes.holds(route))) return null;
    young.setSince(entry, changes.generation);
    return route;
  }

  /** Of the young generation, where what is used is; -1 when there is none. */
  private entry(hash: number, bytes: Uint8Array, start: number, length: number): number {
    const at = this.young.find(hash, bytes, start, length);
    if (at >= 0 || this.old.count === 0) return at;
    const oldAt = this.old.find(hash, bytes, start, length);
    if (oldAt < 0) return -1;
    return this.put(hash, bytes, start, length, this.old.routeAt(oldAt), this.old.sinceAt(oldAt));
  }

  /**
   * Adds the route of bytes[start, end), which are copied, unless there are many and it is a stranger, or replaces the one there is. since: the generation of the bindings in which it is
   * true for this text.
   */
  insert(route: Route, bytes: Uint8Array, start: number, end: number, since = route.generation): void {
    const hash = hashBytes(bytes, start, end);
    const length = end - start;
    const at = this.young.find(hash, bytes, start, length);
    if (at >= 0) this.young.replace(at, route, since);
    else if (this.size < STRANGERS_WELCOME || this.hasCome(hash) || this.old.find(hash, bytes, start, length) >= 0) {
      this.put(hash, bytes, start, length, route, since);
    }
  }

  /**
   * The route that all texts have in common that lead to the same set: `route`, when it is the first. For routes that are told apart by nothing but their set: resolved, allowed, of
   * amq.topic, and asked for their key by nobody.
   */
  common(route: Route): Route {
    const changes = (route.generation - this.commonsGeneration) >>> 0;
    if (changes > COMMONS_CHANGES_MAX || this.commons.size >= COMMONS_MAX) {
      this.commons.clear();
      this.commonsGeneration = route.generation;
    }
    const there = this.commons.get(route.set!);
    if (there !== undefined) return there;
    route.shared = true;
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
    this.young = emptyGeneration();
    this.old = emptyGeneration();
    this.commons.clear();
  }

  /** Returns its entry. */
  private put(hash: number, bytes: Uint8Array, start: number, length: number, route: Route, since: number): number {
    const { young } = this;
    const added = entryBytes(length) + (route.keeper === young ? 0 : ROUTE_BYTES);
    if (young.count * 2 >= this.countMax || (young.bytes + added) * 2 > this.bytesMax) {
      this.turn(young.slotCount, young.farBytes);
    } else if (young.full) {
      if (young.slotCount < REHASHED_SLOTS_MAX) young.growSlots();
      else this.succeed(young.slotCount * 2, young.farBytes * 2);
    }
    if (!this.young.hasRoom(length)) {
      if (this.young.farBytes < COPIED_BYTES_MAX) this.young.growFar(length);
      else this.succeed(this.young.slotCount, this.young.farBytes * 2);
    }
    const entry = this.young.put(hash, bytes, start, length, route, since);
    if (this.moving >= 0) this.moveSome();
    return entry;
  }

  private moveSome(): void {
    this.old.moveTo(this.young, this.moving, MOVED_SLOTS);
    this.moving += MOVED_SLOTS;
    if (this.moving < this.old.slotCount) return;
    this.moving = -1;
    this.old = emptyGeneration();
  }

  private turn(slotCount: number, farBytes: number): void {
    this.moving = -1;
    this.old = this.young;
    this.young = new Generation(slotCount, farBytes);
  }

  /** A larger generation follows, into which the entries of the young one move by and by. */
  private succeed(slotCount: number, farBytes: number): void {
    this.turn(slotCount, farBytes);
    this.moving = 0;
  }

  /** For comparing with the route used last, before anything is looked up. */
  static readonly sameBytes = sameBytes;
}
