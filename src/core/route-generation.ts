// One generation of a route table (route-table.ts): texts, each with the route it has, in a hash table that nothing is ever taken out of.
//
//   lines    a line of the processor's cache each; the line hash & mask, and those behind it up to PROBES_MAX, are where an entry may stand
//            [ hash | length | place | since | text, 16 bytes at most ][ the same again ]     two slots, an entry in each; hash 0: free
//            [ hash | length | place | since | text, 48 bytes at most                  ]     or one entry that takes both
//            [ hash | length | place | since | where its text is in `far` | …          ]     or one with a longer text
//   far      texts that do not fit into a line, one behind the other, each from a multiple of 8 on
//   routes   [ route | route | … ]      place: its route, which many texts may have in common; since: the generation of the bindings in which the text was last known to have it
//
// What a look-up waits for in a large table is the memory: one line for each text, nine times out of ten the first it looks at; half as many as with numbers of entries in a table of their own, and what
// is not read pushes nothing else out of the cache. And it does not wait where it has been asked for early enough: prefetch() asks for many texts at once, which takes little longer than one. Nothing of
// a topic is an object that the collector has to look at.
//
// Whoever looks from home on for a text stops at the first free place that would have taken it. The bound on probes makes texts chosen to collide push each other out instead of making look-ups slow.
import { sameBytes, sameInViews } from '../lib/byte-hash.ts';
import type { Route } from './route-table.ts';

/** Two in a line. */
export const SLOTS_MIN = 64;
/** Lines. With at most half of the slots taken, practically no entry needs more. */
const PROBES_MAX = 64;
/** A look-up of many together goes no further, and leaves the few that are there to find(). */
const PROBES_TOGETHER_MAX = 8;
/** Reads in one round of a loop. */
const READ_TOGETHER = 8;
/** Words of a slot, and of a line. */
const SLOT_WORDS = 8;
const SLOT_WORDS_LOG2 = 3;
const LINE_WORDS = 16;
const LINE_WORDS_LOG2 = 4;
const SLOT_BYTES = 4 * SLOT_WORDS;
/** Large memory begins at 16 bytes of a line of the cache; the lines begin with one. */
const FIRST_LINE = 48;
const SLOTS_PER_ENTRY = 2;
/** Words of an entry; its text follows, or where it is. */
const HASH = 0;
const LENGTH = 1;
const PLACE = 2;
const SINCE = 3;
const TEXT = 4;
/** Texts of an entry that takes one slot, and of one that takes a line. */
const SHORT_MAX = 4 * (SLOT_WORDS - TEXT);
const LONG_MAX = 4 * (LINE_WORDS - TEXT);
const FAR_BYTES_MIN = 2048;
const FAR_UNIT = 8;
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

function farBytes(length: number): number {
  return length <= LONG_MAX ? 0 : (length + FAR_UNIT - 1) & -FAR_UNIT;
}

const slotsOf = (length: number): number => (length <= SHORT_MAX ? 1 : 2);

/** What an entry takes, with the slots that stay free for it. */
export function entryBytes(length: number): number {
  return slotsOf(length) * SLOTS_PER_ENTRY * SLOT_BYTES + farBytes(length);
}

export class Generation {
  count = 0;
  bytes = 0;
  /** None at place 0. */
  private readonly routes: (Route | null)[] = [null];
  /** Entries of each route. */
  private readonly uses: number[] = [0];
  private readonly vacant: number[] = [];
  /** Of lines. */
  private mask = 0;
  private slotsTaken = 0;
  /** The lines, and one that stays free, seen as words, as bytes, and as words that begin anywhere. */
  private words: Int32Array;
  private texts: Uint8Array;
  private memory: DataView;
  private far = new Uint8Array(0);
  private farMemory = new DataView(this.far.buffer);
  private farUsed = 0;
  /** For each text of a look-up together: the word where its entry seems to begin. */
  private candidates = NONE_FOUND;
  /** Of those whose entry is not in its first line: which text, and the next line to look at. */
  private elsewhere = NONE_FOUND;
  /** Written so that what is only read to be in the cache is needed, and those reads stay. */
  unneeded = 0;

  constructor(slotCount: number, farBytes: number) {
    this.words = NO_WORDS;
    this.texts = NO_BYTES;
    this.memory = NO_MEMORY;
    this.makeLines(slotCount >> 1);
    this.makeFar(farBytes);
  }

  get slotCount(): number {
    return (this.mask + 1) * 2;
  }

  /** Of texts that do not fit into lines. */
  get farBytes(): number {
    return this.far.length;
  }

  /** The half of the slots that is used is. */
  get full(): boolean {
    return (this.slotsTaken + 2) * SLOTS_PER_ENTRY > this.slotCount;
  }

  /** The memory for texts that do not fit into lines takes one more of this length. */
  hasRoom(length: number): boolean {
    return this.farUsed + farBytes(length) <= this.far.length;
  }

  /** The entry of this text, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, length: number): number {
    const { words, mask } = this;
    for (let i = 0, line = hash & mask; i < PROBES_MAX; i++, line = (line + 1) & mask) {
      const first = line << LINE_WORDS_LOG2;
      if (words[first + HASH] === 0) return -1;
      if (this.isAt(first, hash, bytes, start, length)) return first;
      if (words[first + LENGTH]! > SHORT_MAX) continue;
      const second = first + SLOT_WORDS;
      if (words[second + HASH] === 0) {
        if (length <= SHORT_MAX) return -1;
      } else if (this.isAt(second, hash, bytes, start, length)) return second;
    }
    return -1;
  }

  private isAt(entry: number, hash: number, bytes: Uint8Array, start: number, length: number): boolean {
    const { words } = this;
    if (((words[entry + HASH]! ^ hash) | (words[entry + LENGTH]! ^ length)) !== 0) return false;
    return length <= LONG_MAX
      ? sameBytes(this.texts, (entry + TEXT) << 2, bytes, start, length)
      : sameBytes(this.far, words[entry + TEXT]!, bytes, start, length);
  }

  /**
   * After prefetch() of the same texts: the routes of those that were true in this generation of the bindings; null for others, for texts that are not here, and for the few that are found only far
   * from home.
   */
  findAll(texts: Texts, generation: number): void {
    const { view, count, starts, lengths, hashes, routes } = texts;
    const { words, memory, farMemory, candidates } = this;
    this.findCandidates(texts);
    for (let i = 0; i < count; i++) {
      const entry = candidates[i]!;
      const length = lengths[i]!;
      // A second slot is none where the first entry takes the whole line: what stands there is the inside of a text, which may look like anything.
      const inside = entry & SLOT_WORDS & ((SHORT_MAX - words[(entry & -LINE_WORDS) + LENGTH]!) >> 31);
      const differs =
        (words[entry + HASH]! ^ hashes[i]!) |
        (words[entry + LENGTH]! ^ length) |
        (words[entry + SINCE]! ^ generation) |
        inside;
      const isHere =
        differs === 0 &&
        (length <= LONG_MAX
          ? sameInViews(memory, (entry + TEXT) << 2, view, starts[i]!, length)
          : sameInViews(farMemory, words[entry + TEXT]!, view, starts[i]!, length));
      routes[i] = isHere ? this.routes[words[entry + PLACE]!]! : null;
    }
  }

  /** Where an entry has the hash of a text, if there is one near its home. Without branches on what is in the memory, but for the tenth that is not at home: those wait for their next lines together. */
  private findCandidates({ hashes, lengths, count }: Texts): void {
    const { words, mask, candidates, elsewhere } = this;
    const nowhere = (mask + 1) << LINE_WORDS_LOG2;
    let elsewhereEnd = 0;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!;
      const entry = entryOfHash(words, (hash & mask) << LINE_WORDS_LOG2, hash);
      candidates[i] = entry;
      if (words[entry + HASH] === hash) continue;
      elsewhere[elsewhereEnd] = i;
      elsewhere[elsewhereEnd + 1] = ((hash + 1) & mask) << LINE_WORDS_LOG2;
      elsewhereEnd += 2;
    }
    let sum = 0;
    for (let k = 1; k < elsewhereEnd; k += 2) sum ^= words[elsewhere[k]!]!;
    for (let k = 0; k < elsewhereEnd; k += 2) {
      const i = elsewhere[k]!;
      const hash = hashes[i]!;
      candidates[i] = nowhere;
      for (let probes = 1, line = elsewhere[k + 1]!; probes < PROBES_TOGETHER_MAX; probes++) {
        const entry = entryOfHash(words, line, hash);
        if (words[entry + HASH] === hash) {
          candidates[i] = entry;
          break;
        }
        if (words[line + HASH] === 0) break;
        line = (line + LINE_WORDS) & (nowhere - 1);
      }
    }
    // Texts that are apart, too.
    const { far } = this;
    for (let i = 0; i < count; i++) {
      if (lengths[i]! <= LONG_MAX) continue;
      const text = words[candidates[i]! + TEXT]!;
      if (text >= 0 && text < far.length) sum ^= far[text]!;
    }
    this.unneeded ^= sum;
  }

  /**
   * Reads what find() and findAll() will read for texts with these hashes. The reads do not depend on each other, and there is little else in the loop, so that the processor waits for many at a time: it
   * looks some hundred instructions ahead, and a round of the loop is 25 of them, of which one read needs 9.
   */
  prefetch({ hashes, count }: Texts): void {
    if (this.candidates.length < count) {
      this.candidates = new Uint32Array(count);
      this.elsewhere = new Uint32Array(2 * count);
    }
    const { words, mask } = this;
    let sum = 0;
    let first = 0;
    for (; first + READ_TOGETHER <= count; first += READ_TOGETHER) {
      sum ^= words[(hashes[first]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 1]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 2]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 3]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 4]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 5]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 6]! & mask) << LINE_WORDS_LOG2]!;
      sum ^= words[(hashes[first + 7]! & mask) << LINE_WORDS_LOG2]!;
    }
    for (; first < count; first++) sum ^= words[(hashes[first]! & mask) << LINE_WORDS_LOG2]!;
    this.unneeded ^= sum;
  }

  routeAt(entry: number): Route {
    return this.routes[this.words[entry + PLACE]!]!;
  }

  sinceAt(entry: number): number {
    return this.words[entry + SINCE]!;
  }

  setSince(entry: number, since: number): void {
    this.words[entry + SINCE] = since;
  }

  /** The text must not be in here, the table not be full, and have room for it. Returns its entry. */
  put(hash: number, bytes: Uint8Array, start: number, length: number, route: Route, since: number): number {
    const entry = this.entryFor(hash, length);
    const { words, texts } = this;
    const place = this.attach(route);
    words[entry + HASH] = hash;
    words[entry + LENGTH] = length;
    words[entry + PLACE] = place;
    words[entry + SINCE] = since;
    let into = texts;
    let text = (entry + TEXT) << 2;
    if (length > LONG_MAX) {
      into = this.far;
      text = this.farUsed;
      words[entry + TEXT] = text;
      this.farUsed += farBytes(length);
    }
    for (let i = 0; i < length; i++) into[text + i] = bytes[start + i]!;
    this.count++;
    this.bytes += entryBytes(length);
    return entry;
  }

  replace(entry: number, route: Route, since: number): void {
    const before = this.words[entry + PLACE]!;
    this.words[entry + SINCE] = since;
    this.words[entry + PLACE] = this.attach(route);
    this.detach(before);
  }

  /** More memory for texts that do not fit into lines, for one more of this length. */
  growFar(length: number): void {
    const { far, farUsed } = this;
    let size = Math.max(FAR_BYTES_MIN, far.length);
    while (size < farUsed + farBytes(length)) size *= 2;
    this.makeFar(size);
    this.far.set(far.subarray(0, farUsed));
  }

  /** Twice the slots. */
  growSlots(): void {
    const { words, slotCount } = this;
    this.makeLines(slotCount);
    this.slotsTaken = 0;
    for (let slot = 0; slot < slotCount; slot++) {
      const from = slot << SLOT_WORDS_LOG2;
      if (!isEntry(words, from)) continue;
      const size = slotsOf(words[from + LENGTH]!) * SLOT_WORDS;
      const to = this.entryFor(words[from + HASH]!, words[from + LENGTH]!);
      for (let i = 0; i < size; i++) this.words[to + i] = words[from + i]!;
    }
  }

  /** Puts the entries of a few slots from `slot` on into another generation, those that it does not have and has room for. */
  moveTo(other: Generation, slot: number, count: number): void {
    const { words } = this;
    const end = Math.min(this.slotCount, slot + count);
    for (let at = slot; at < end; at++) {
      const entry = at << SLOT_WORDS_LOG2;
      if (!isEntry(words, entry)) continue;
      const hash = words[entry + HASH]!;
      const length = words[entry + LENGTH]!;
      const isFar = length > LONG_MAX;
      const bytes = isFar ? this.far : this.texts;
      const start = isFar ? words[entry + TEXT]! : (entry + TEXT) << 2;
      if (other.full || !other.hasRoom(length) || other.find(hash, bytes, start, length) >= 0) continue;
      other.put(hash, bytes, start, length, this.routeAt(entry), this.sinceAt(entry));
    }
  }

  /** A free place for a text of this length; when there is none, its home, whose entries are given up. Nothing becomes free by that but what is taken again, so nothing behind it is lost to find(). */
  private entryFor(hash: number, length: number): number {
    const { words, mask } = this;
    const home = hash & mask;
    this.slotsTaken += slotsOf(length);
    for (let i = 0, line = home; i < PROBES_MAX; i++, line = (line + 1) & mask) {
      const first = line << LINE_WORDS_LOG2;
      if (words[first + HASH] === 0) return first;
      if (length > SHORT_MAX || words[first + LENGTH]! > SHORT_MAX) continue;
      if (words[first + SLOT_WORDS + HASH] === 0) return first + SLOT_WORDS;
    }
    const first = home << LINE_WORDS_LOG2;
    if (isEntry(words, first + SLOT_WORDS)) {
      this.giveUp(first + SLOT_WORDS);
      // A short text takes the second slot, and the first one stays.
      if (length <= SHORT_MAX) return first + SLOT_WORDS;
    }
    this.giveUp(first);
    return first;
  }

  private giveUp(entry: number): void {
    const { words } = this;
    const length = words[entry + LENGTH]!;
    this.count--;
    // Where it stood apart, its text stays, and counts.
    this.bytes -= entryBytes(length) - farBytes(length);
    this.slotsTaken -= slotsOf(length);
    this.detach(words[entry + PLACE]!);
    words.fill(0, entry, entry + slotsOf(length) * SLOT_WORDS);
  }

  private makeLines(lines: number): void {
    this.mask = lines - 1;
    const size = (lines + 1) * 4 * LINE_WORDS;
    const buffer = new ArrayBuffer(FIRST_LINE + size);
    this.words = new Int32Array(buffer, FIRST_LINE);
    this.texts = new Uint8Array(buffer, FIRST_LINE);
    this.memory = new DataView(buffer, FIRST_LINE);
  }

  private makeFar(bytes: number): void {
    this.far = new Uint8Array(bytes);
    this.farMemory = new DataView(this.far.buffer);
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

/** Which of the two slots of a line has this hash: the second unless the first does, also when neither has. Without a branch, which would be a guess. */
function entryOfHash(words: Int32Array, line: number, hash: number): number {
  const differs = words[line + HASH]! ^ hash;
  return line + (((differs | -differs) >>> 31) << SLOT_WORDS_LOG2);
}

/** An entry begins at this slot. */
function isEntry(words: Int32Array, slot: number): boolean {
  if (words[slot + HASH] === 0) return false;
  return (slot & SLOT_WORDS) === 0 || words[slot - SLOT_WORDS + LENGTH]! <= SHORT_MAX;
}

const NO_WORDS = new Int32Array(0);
const NO_BYTES = new Uint8Array(0);
const NO_MEMORY = new DataView(new ArrayBuffer(0));
