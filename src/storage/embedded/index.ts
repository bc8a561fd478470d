// Where the messages of all queues of a storage stand in the log: 4 bytes per message and queue, in chunks cut from slabs of typed arrays. What a queue has of it is an IndexList
// (index-list.ts). Relies on nothing; knows positions as numbers and nothing of what stands there.
//
//   chunk       base position, first sequence, how many entries, how many of them dead
//   slab page   Uint32Array of 65,536 entries, cut into chunks of one size (4, 8, … 1024)
//   entry       (position − base of its chunk) / 4; DEAD when settled; FAR when that does not fit (a message moved far away): then `far` has the position
//
// A chunk may sleep: all is known of it but its entries, which a ChunkSource brings when they are asked for (sleepers.ts).
// A chunk whose entries are all dead gives its place in the slab back at once and its number when it is the first of its list.

const PAGE_ENTRIES = 1 << 16;
/** In the place of a page: nobody writes to it. */
export const NO_PAGE = new Uint32Array(0);
/** Chunks hold from 1 << CLASS_MIN to 1 << CLASS_MAX entries. */
export const CLASS_MIN = 2;
export const CLASS_MAX = 10;
/** Entries: settled, and moved too far away. */
export const DEAD = 0xffffffff;
export const FAR = 0xfffffffe;
/** The largest entry that is a distance. */
export const DELTA_MAX = 0xfffffff0;
/** In the place of a chunk that has been given back. */
export const NOWHERE = 0xffffffff;
const ASLEEP = 0xfffffffe;

export interface ChunkSource {
  /** Fills a chunk that sleeps, and others with it. */
  wake(chunk: number): void;
  /** Fills some that sleep; false when none does. */
  wakeNext(): boolean;
}

export class Index {
  base = new Float64Array(64);
  first = new Float64Array(64);
  source: ChunkSource | null = null;
  /** Place of the first entry, counted over all pages; NOWHERE when given back, ASLEEP while its entries are elsewhere. Where entries are wanted, placeOf() is to be asked. */
  at = new Uint32Array(64);
  count = new Uint16Array(64);
  dead = new Uint16Array(64);
  private sizeClass = new Uint8Array(64);
  readonly pages: Uint32Array[] = [];
  /** By page: how many of its places are in use. */
  private readonly placesUsed: number[] = [];
  private readonly freePages: number[] = [];
  private readonly freePlaces: number[][] = [];
  private readonly freeChunks: number[] = [];
  private chunkCount = 0;
  readonly far = new Map<number, number>();
  /** Where a dump puts small chunks together. */
  readonly gathered = new Uint32Array(1 << CLASS_MAX);
  /** Entries that chunks occupy, in use or not. */
  private placedEntries = 0;

  constructor() {
    for (let i = 0; i <= CLASS_MAX; i++) this.freePlaces.push([]);
  }

  /** Bytes of memory taken, spare room in pages included. */
  get bytes(): number {
    return (this.pages.length - this.freePages.length) * PAGE_ENTRIES * 4 + this.base.length * 25;
  }

  get usedBytes(): number {
    return this.placedEntries * 4 + (this.chunkCount - this.freeChunks.length) * 25;
  }

  makeChunk(sizeClass: number, base: number, first: number): number {
    const chunk = this.chunkOf(sizeClass, base, first);
    this.at[chunk] = this.placeFor(sizeClass);
    return chunk;
  }

  /** One whose entries come later. */
  makeSleeping(sizeClass: number, base: number, first: number): number {
    const chunk = this.chunkOf(sizeClass, base, first);
    this.at[chunk] = ASLEEP;
    return chunk;
  }

  sleeps(chunk: number): boolean {
    return this.at[chunk] === ASLEEP;
  }

  /** Where the entries of a chunk are, or NOWHERE. Wakes it. */
  placeOf(chunk: number): number {
    if (this.at[chunk] === ASLEEP) this.source!.wake(chunk);
    return this.at[chunk]!;
  }

  /** The entries of a chunk that sleeps. */
  fill(chunk: number, words: Uint32Array, start: number, count: number): void {
    const place = this.placeFor(this.sizeClass[chunk]!);
    const page = this.pages[place >>> 16]!;
    page.set(words.subarray(start, start + count), place & 0xffff);
    this.at[chunk] = place;
  }

  private chunkOf(sizeClass: number, base: number, first: number): number {
    const chunk = this.freeChunks.pop() ?? this.newChunk();
    this.base[chunk] = base;
    this.first[chunk] = first;
    this.count[chunk] = 0;
    this.dead[chunk] = 0;
    this.sizeClass[chunk] = sizeClass;
    this.placedEntries += 1 << sizeClass;
    return chunk;
  }

  private placeFor(sizeClass: number): number {
    const places = this.freePlaces[sizeClass]!;
    if (places.length === 0) this.makePage(sizeClass, places);
    const place = places.pop()!;
    this.placesUsed[place >>> 16] = this.placesUsed[place >>> 16]! + 1;
    return place;
  }

  private makePage(sizeClass: number, places: number[]): void {
    const page = this.freePages.pop() ?? this.pages.length;
    this.pages[page] = new Uint32Array(PAGE_ENTRIES);
    this.placesUsed[page] = 0;
    const start = page * PAGE_ENTRIES;
    for (let at = start + PAGE_ENTRIES - (1 << sizeClass); at >= start; at -= 1 << sizeClass) places.push(at);
  }

  /** The place is free. A page of free places is let go when there is another one of them: the backlog it was made for is gone. */
  private giveBack(place: number, sizeClass: number): void {
    const page = place >>> 16;
    const places = this.freePlaces[sizeClass]!;
    places.push(place);
    const used = this.placesUsed[page]! - 1;
    this.placesUsed[page] = used;
    if (used > 0 || places.length < (2 * PAGE_ENTRIES) >> sizeClass) return;
    this.freePlaces[sizeClass] = places.filter((other) => other >>> 16 !== page);
    this.pages[page] = NO_PAGE;
    this.freePages.push(page);
  }

  capacity(chunk: number): number {
    return 1 << this.sizeClass[chunk]!;
  }

  classOf(chunk: number): number {
    return this.sizeClass[chunk]!;
  }

  /** Gives the entries of a chunk back; its number stays until freeChunk. */
  freePlace(chunk: number): void {
    const place = this.at[chunk]!;
    if (place === NOWHERE) return;
    const sizeClass = this.sizeClass[chunk]!;
    if (place !== ASLEEP) {
      if (this.far.size > 0) for (let i = 0; i < 1 << sizeClass; i++) this.far.delete(place + i);
      this.giveBack(place, sizeClass);
    }
    this.placedEntries -= 1 << sizeClass;
    this.at[chunk] = NOWHERE;
  }

  freeChunk(chunk: number): void {
    this.freePlace(chunk);
    this.freeChunks.push(chunk);
  }

  private newChunk(): number {
    const chunk = this.chunkCount++;
    if (chunk === this.base.length) {
      const size = this.base.length * 2;
      this.base = grown(this.base, new Float64Array(size));
      this.first = grown(this.first, new Float64Array(size));
      this.at = grown(this.at, new Uint32Array(size));
      this.count = grown(this.count, new Uint16Array(size));
      this.dead = grown(this.dead, new Uint16Array(size));
      this.sizeClass = grown(this.sizeClass, new Uint8Array(size));
    }
    return chunk;
  }
}

function grown<A extends { set(from: A): void }>(from: A, to: A): A {
  to.set(from);
  return to;
}
