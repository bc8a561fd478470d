// What has changed lately of where messages go: bindings that came or went, and destinations whose deliveries are other ones now. In a large fleet somebody comes, goes or subscribes all the
// time, and hardly any of it concerns the topics that are being published to: what was found out before (a route, a plan) asks here whether it still holds instead of being found out
// again, which costs some thirty times as much.
//
//   generation   counts changes of bindings        keys       [ hash, generation | hash, generation | … ]       a ring: a topic or a queue, by its name
//                                                  patterns   [ pattern, generation | … ]                       a ring: topics by a pattern
//                                                  floor      what was found out before this generation is not known to hold any more
//   epoch        counts changes of destinations    changed    [ id | id | … ]                                   a ring, by epoch
//
// A change that leaves its ring, because others came after it, lifts the floor. Only topics (keys of amq.topic) and queues (keys of the default exchange) are told apart; whatever might
// concern more than these, as when exchanges are bound to amq.topic, concerns everything. Being asked costs a look at each change since: a nanosecond.
//
// The counts are 32-bit numbers that wrap around; of two of them, the one that is further back is the older.
import { hashBytes } from '../lib/byte-hash.ts';
import { DEFAULT_EXCHANGE, TOPIC_EXCHANGE } from './address.ts';
import type { Route } from './route-table.ts';

/** The generation of what was never found out. */
export const UNKNOWN = 0;
/** Powers of two. Finding a route out costs as much as looking at a few thousand keys, or a hundred patterns. */
const KEYS = 1024;
const PATTERNS = 64;
const DESTINATIONS = 256;
/** Keeps names of queues apart from topics of the same name. */
const QUEUE = 0x5bd1_e995;
const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

/** The count after this one. UNKNOWN is left out. */
function following(count: number): number {
  const next = (count + 1) | 0;
  return next === UNKNOWN ? 1 : next;
}

export class RouteChanges {
  /** Grows with every change that may change a route. */
  generation = 1;
  /** Grows with every change of a destination that changes deliveries to it, not what leads to it. */
  epoch = 1;
  private floor = 1;
  private readonly keyHashes = new Int32Array(KEYS);
  private readonly keyGenerations = new Int32Array(KEYS).fill(UNKNOWN);
  private nextKey = 0;
  private readonly patterns: Uint8Array[] = [];
  private readonly patternGenerations = new Int32Array(PATTERNS).fill(UNKNOWN);
  private nextPattern = 0;
  private readonly changed = new Uint32Array(DESTINATIONS);

  /** Anything may have changed. */
  everything(): void {
    this.generation = following(this.generation);
    this.floor = this.generation;
  }

  /** Nothing that is told apart has changed, but other routes may. */
  elsewhere(): void {
    this.generation = following(this.generation);
  }

  /** A binding of amq.topic with this pattern came or went. */
  topics(pattern: string): void {
    this.generation = following(this.generation);
    const bytes = Buffer.from(pattern);
    if (bytes.includes(PLUS) || bytes.includes(HASH)) this.addPattern(bytes);
    else this.addKey(hashBytes(bytes, 0, bytes.length));
  }

  /** A queue of this name came or went. */
  queue(name: string): void {
    this.generation = following(this.generation);
    const bytes = Buffer.from(name);
    this.addKey(hashBytes(bytes, 0, bytes.length) ^ QUEUE);
  }

  /** What this destination does with messages has changed. */
  destination(id: number): void {
    this.epoch = following(this.epoch);
    this.changed[this.epoch & (DESTINATIONS - 1)] = id;
  }

  /** Where messages go to this topic, in the bytes of its path, with this hash (by hashBytes), is where they went in generation `since`. */
  topicHolds(since: number, hash: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (since === this.generation) return true;
    const age = this.ageOf(since);
    return age > 0 && !this.hasKey(age, hash) && !this.hasPattern(age, bytes, start, end);
  }

  /** The route leads where it led when it was found out. If so, it is of this generation now. */
  holds(route: Route): boolean {
    if (route.generation === this.generation) return true;
    if (route.exchange !== TOPIC_EXCHANGE && route.exchange !== DEFAULT_EXCHANGE) return false;
    const bytes = Buffer.from(route.key.path);
    const hash = hashBytes(bytes, 0, bytes.length);
    if (route.exchange === TOPIC_EXCHANGE) {
      if (!this.topicHolds(route.generation, hash, bytes, 0, bytes.length)) return false;
    } else {
      const age = this.ageOf(route.generation);
      if (age === 0 || this.hasKey(age, hash ^ QUEUE)) return false;
    }
    route.generation = this.generation;
    return true;
  }

  /** One of these destinations may have changed since that epoch. */
  concerns(since: number, ids: { has(id: number): boolean }): boolean {
    const { epoch, changed } = this;
    const age = (epoch - since) >>> 0;
    if (age >= DESTINATIONS) return true;
    for (let i = 0; i < age; i++) if (ids.has(changed[(epoch - i) & (DESTINATIONS - 1)]!)) return true;
    return false;
  }

  /** How many generations ago that was; 0 when it is too long ago, or never was. */
  private ageOf(since: number): number {
    const age = (this.generation - since) >>> 0;
    return since === UNKNOWN || age > (this.generation - this.floor) >>> 0 ? 0 : age;
  }

  private addKey(hash: number): void {
    const place = this.nextKey;
    this.lift(this.keyGenerations[place]!);
    this.keyHashes[place] = hash;
    this.keyGenerations[place] = this.generation;
    this.nextKey = (place + 1) & (KEYS - 1);
  }

  private addPattern(pattern: Uint8Array): void {
    const place = this.nextPattern;
    this.lift(this.patternGenerations[place]!);
    this.patterns[place] = pattern;
    this.patternGenerations[place] = this.generation;
    this.nextPattern = (place + 1) & (PATTERNS - 1);
  }

  private hasKey(age: number, hash: number): boolean {
    const { keyHashes, keyGenerations, generation } = this;
    for (let i = 0, place = (this.nextKey - 1) & (KEYS - 1); i < KEYS; i++, place = (place - 1) & (KEYS - 1)) {
      const there = keyGenerations[place]!;
      if (there === UNKNOWN || (generation - there) >>> 0 >= age) return false;
      if (keyHashes[place] === hash) return true;
    }
    return false;
  }

  private hasPattern(age: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { patterns, patternGenerations, generation } = this;
    for (
      let i = 0, place = (this.nextPattern - 1) & (PATTERNS - 1);
      i < PATTERNS;
      i++, place = (place - 1) & (PATTERNS - 1)
    ) {
      const there = patternGenerations[place]!;
      if (there === UNKNOWN || (generation - there) >>> 0 >= age) return false;
      if (mayMatch(patterns[place]!, bytes, start, end)) return true;
    }
    return false;
  }

  /** The change of this generation is not remembered any more. */
  private lift(generation: number): void {
    if (generation === UNKNOWN) return;
    if ((this.generation - generation) >>> 0 < (this.generation - this.floor) >>> 0) this.floor = generation;
  }
}

/** False only where the pattern does not match. Behind its first '#' anything does. */
function mayMatch(pattern: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const { length } = pattern;
  let at = start;
  for (let i = 0; i < length; i++) {
    const byte = pattern[i]!;
    const levelBegins = i === 0 || pattern[i - 1] === SLASH;
    const levelEnds = i + 1 === length || pattern[i + 1] === SLASH;
    if (levelBegins && levelEnds && byte === HASH) return true;
    if (levelBegins && levelEnds && byte === PLUS) {
      while (at < end && bytes[at] !== SLASH) at++;
    } else if (at < end && bytes[at] === byte) at++;
    // "a/#" is "a", too.
    else return at === end && byte === SLASH && pattern[i + 1] === HASH;
  }
  return at === end;
}
