// From the text of an address as an adapter received it, in bytes, to the resolved route: what a steady topic costs per message instead of a translation, an
// authorisation and a walk over the bindings. Nothing here makes a string or an object on a hit. Whether a route is still true, and for whom, is the business
// of the table's owner (Route.generation).
//
// It is a cache, bounded in entries and in bytes, in two generations of which the young one takes all entries. When that is full, it becomes the old
// one and the old one is emptied; an entry found in the old one moves to the young. What is used stays, what is not is gone after two turns.
//
//   hashes  [ 0 | h | h | 0 | h | … ]    0: free; the slots from hash & mask on, PROBES_MAX of them, are where an entry may stand
//   routes  [   | r | r |   | r | … ]
//
// A table that has many routes takes a stranger only when it comes again (or by chance, in case its note was overwritten): a million topics that are published to once, as when
// retained messages are loaded, are not to push out what is used, nor to be kept for nothing.
//
// The bound on probes makes texts chosen to collide push each other out instead of making look-ups slow.
import { hashBytes, sameBytes } from '../lib/byte-hash.ts';
import type { DestinationSet } from './destination-set.ts';
import type { RoutingKey } from './routing-key.ts';

const SLOTS_MIN = 64;
/** With at most a quarter of the slots taken, practically no entry needs more. */
const PROBES_MAX = 32;
const SLOTS_PER_ENTRY = 4;
/** Of a route beside its text: the object, its key, the strings of both. */
const ROUTE_BYTES = 400;

/** Routes up to this many are kept from the first time on. */
const STRANGERS_WELCOME = 4096;
/** Beyond, one of so many strangers is. */
const STRANGER_TAKEN_EACH = 32;

export class Route {
  readonly exchange: string;
  readonly key: RoutingKey;
  /** The adapter's text, in memory of its own. */
  readonly text: Uint8Array;
  /** Of the bindings when `set`, `allowed` and `refusal` were found out; -1 before. */
  generation: number;
  /** Where it leads; null when that depends on more than the key, or when not allowed. */
  set: DestinationSet | null;
  /** Its messages have to be published one by one: each may go elsewhere, or be refused. */
  oneByOne: boolean;
  allowed: boolean;
  /** Why not, for people. */
  refusal: string | null;

  /** Copies bytes[start, end). */
  constructor(exchange: string, key: RoutingKey, bytes: Uint8Array, start: number, end: number) {
    this.exchange = exchange;
    this.key = key;
    // Not Buffer's shared slab, which a single surviving route would keep.
    this.text = new Uint8Array(end - start);
    this.text.set(bytes.subarray(start, end));
    this.generation = -1;
    this.set = null;
    this.oneByOne = true;
    this.allowed = false;
    this.refusal = null;
  }
}

class Generation {
  hashes: Uint32Array;
  routes: (Route | null)[];
  mask: number;
  count = 0;
  bytes = 0;

  constructor() {
    this.mask = SLOTS_MIN - 1;
    this.hashes = new Uint32Array(SLOTS_MIN);
    this.routes = new Array<Route | null>(SLOTS_MIN).fill(null);
  }

  /** The slot of this text, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, length: number): number {
    const hashes = this.hashes;
    const mask = this.mask;
    for (let i = 0, slot = hash & mask; i < PROBES_MAX; i++, slot = (slot + 1) & mask) {
      const there = hashes[slot]!;
      if (there === 0) return -1;
      if (there !== hash) continue;
      const text = this.routes[slot]!.text;
      if (text.length === length && sameBytes(text, 0, bytes, start, length)) return slot;
    }
    return -1;
  }

  /** The text must not be in here. */
  put(hash: number, route: Route): void {
    if ((this.count + 1) * SLOTS_PER_ENTRY > this.mask + 1) this.grow();
    const home = hash & this.mask;
    let slot = home;
    for (let i = 0; i < PROBES_MAX && this.hashes[slot] !== 0; i++) slot = (home + i + 1) & this.mask;
    // All of its places are taken: the first of them is given up. Nothing becomes free, so nothing behind it is lost to find().
    if (slot === ((home + PROBES_MAX) & this.mask)) slot = home;
    const evicted = this.routes[slot]!;
    if (evicted !== null) {
      this.count--;
      this.bytes -= ROUTE_BYTES + evicted.text.length;
    }
    this.hashes[slot] = hash;
    this.routes[slot] = route;
    this.count++;
    this.bytes += ROUTE_BYTES + route.text.length;
  }

  replace(slot: number, route: Route): void {
    this.routes[slot] = route;
  }

  empty(): void {
    if (this.count === 0) return;
    this.count = 0;
    this.bytes = 0;
    this.hashes.fill(0);
    this.routes.fill(null);
  }

  private grow(): void {
    const { hashes, routes } = this;
    const slots = hashes.length * 2;
    this.hashes = new Uint32Array(slots);
    this.routes = new Array<Route | null>(slots).fill(null);
    this.mask = slots - 1;
    this.count = 0;
    this.bytes = 0;
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i]!;
      if (route !== null) this.put(hashes[i]!, route);
    }
  }
}

export class RouteTable {
  private young = new Generation();
  private old = new Generation();
  private readonly countMax: number;
  private readonly bytesMax: number;
  /** Hashes of strangers, each in the place it falls on. Made when they are first refused. */
  private noted: Uint32Array | null = null;
  private strangers = 0;

  /** Both bounds are for the whole table and approximate: an entry counts ROUTE_BYTES and its text. */
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

  lookup(bytes: Uint8Array, start: number, end: number): Route | null {
    const hash = hashBytes(bytes, start, end);
    const length = end - start;
    const slot = this.young.find(hash, bytes, start, length);
    if (slot >= 0) return this.young.routes[slot]!;
    if (this.old.count === 0) return null;
    const oldSlot = this.old.find(hash, bytes, start, length);
    if (oldSlot < 0) return null;
    const route = this.old.routes[oldSlot]!;
    this.put(hash, route);
    return route;
  }

  /** Adds the route, unless there are many and it is a stranger, or replaces the one with the same text. */
  insert(route: Route): void {
    const text = route.text;
    const hash = hashBytes(text, 0, text.length);
    const slot = this.young.find(hash, text, 0, text.length);
    if (slot >= 0) this.young.replace(slot, route);
    else if (this.size < STRANGERS_WELCOME || this.hasCome(hash)) this.put(hash, route);
  }

  private hasCome(hash: number): boolean {
    if (this.noted === null) {
      let places = STRANGERS_WELCOME;
      while (places < this.countMax) places *= 2;
      this.noted = new Uint32Array(places);
    }
    const place = hash & (this.noted.length - 1);
    if (this.noted[place] === hash || ++this.strangers % STRANGER_TAKEN_EACH === 0) return true;
    // Of two that fall on the same place and come in turn, neither would ever find its note.
    if (this.noted[place] === 0 || (this.strangers & 1) === 0) this.noted[place] = hash;
    return false;
  }

  clear(): void {
    this.young = new Generation();
    this.old = new Generation();
  }

  private put(hash: number, route: Route): void {
    const { young } = this;
    if (young.count * 2 >= this.countMax || (young.bytes + ROUTE_BYTES + route.text.length) * 2 > this.bytesMax) {
      this.young = this.old;
      this.old = young;
      this.young.empty();
    }
    this.young.put(hash, route);
  }

  /** For comparing with the route used last, before anything is looked up. */
  static readonly sameBytes = sameBytes;
}
