// One queue's part of the index: its chunks in order of sequence. The newest is the tail, which is unpacked here; one that sleeps is woken when an entry of it is wanted.
// A little longer than most files: whatever looks into the entries of a chunk, and knows what DEAD and FAR mean, is in one place.
//
//   chunks ─▶ [c0][c1][c2] … [tail]
import { CLASS_MAX, CLASS_MIN, DEAD, DELTA_MAX, FAR, type Index, NO_PAGE, NOWHERE } from './index.ts';

export interface Watch {
  /** What lies between two positions may be told of together, by one of the positions. */
  isTogether(low: number, high: number): boolean;
}

/** Told the position of every entry that dies. */
export interface DeathWatch extends Watch {
  onDead(position: number, count: number): void;
}

/** Told the positions of entries that are put in place. */
export interface LifeWatch extends Watch {
  onLive(position: number, count: number): void;
}

/** What is looked for in a list: messages that lie in [low, high) of the log. */
export interface Search {
  readonly low: number;
  readonly high: number;
  /** Entries still to be looked at, before the search stops. */
  left: number;
  onFound(sequence: number, position: number): void;
}

/** What is known of a chunk whose entries are elsewhere: the id of its queue, its base, its first sequence, how many entries it has, how many of them are settled, and how many at its beginning are. */
export const ChunkField = { Queue: 0, Base: 1, First: 2, Count: 3, Dead: 4, DeadFirst: 5 } as const;
export const CHUNK_FIELDS = 6;

export class IndexList {
  nextSequence = 1;
  count = 0;
  /** Lowest live sequence; nextSequence when there is none. */
  firstSequence = 1;
  private readonly index: Index;
  private chunks: number[] = EMPTY;
  private head = 0;
  /** The tail chunk, unpacked: where the next entry goes, where the chunk's room ends, and its base. */
  private page: Uint32Array = NO_PAGE;
  private pageAt = 0;
  private pageEnd = 0;
  private tailBase = 0;

  constructor(index: Index) {
    this.index = index;
  }

  /** The next `count` messages have their slots at `position`, 4 bytes apart. */
  add(position: number, count: number): void {
    if (this.count === 0) this.firstSequence = this.nextSequence;
    let from = position;
    for (let left = count; left > 0; ) {
      const delta = (from - this.tailBase) / 4;
      if (this.pageAt === this.pageEnd || delta > DELTA_MAX - left) {
        this.newTail(from, left);
        continue;
      }
      const room = this.pageEnd - this.pageAt;
      const take = left < room ? left : room;
      const { page } = this;
      let at = this.pageAt;
      for (let i = 0; i < take; i++) page[at++] = delta + i;
      this.pageAt = at;
      this.nextSequence += take;
      left -= take;
      from += take * 4;
    }
    this.count += count;
  }

  /** The position of a message's slot; 0 when it is settled or was never there. */
  position(sequence: number): number {
    if (sequence < this.firstSequence || sequence >= this.nextSequence) return 0;
    return this.positionIn(this.chunks[this.find(sequence)]!, sequence);
  }

  /** How many messages from `sequence` on, which is live, at most `limit`, are live and have their slots side by side in the order of their sequences. */
  span(sequence: number, limit: number): number {
    const { index } = this;
    const i = this.find(sequence);
    const chunk = this.chunks[i]!;
    const place = index.placeOf(chunk);
    const page = index.pages[place >>> 16]!;
    const at = (place & 0xffff) + (sequence - index.first[chunk]!);
    const entry = page[at]!;
    if (entry === FAR) return 1;
    const most = Math.min(limit, this.endOf(i) - sequence, DELTA_MAX - entry);
    let count = 1;
    while (count < most && page[at + count] === entry + count) count++;
    return count;
  }

  /** The lowest live sequence from `sequence` on, nextSequence when there is none. */
  nextLive(sequence: number): number {
    if (sequence <= this.firstSequence) return this.firstSequence;
    if (sequence >= this.nextSequence || this.count === 0) return this.nextSequence;
    const { index } = this;
    let at = sequence;
    for (let i = this.find(sequence); i < this.chunks.length; i++) {
      const chunk = this.chunks[i]!;
      const end = this.endOf(i);
      if (at >= end) continue;
      const place = index.placeOf(chunk);
      if (place === NOWHERE) {
        at = end;
        continue;
      }
      const page = index.pages[place >>> 16]!;
      const offset = (place & 0xffff) - index.first[chunk]!;
      if (at < index.first[chunk]!) at = index.first[chunk]!;
      for (; at < end; at++) if (page[offset + at] !== DEAD) return at;
    }
    return this.nextSequence;
  }

  /**
   * Marks [sequence, sequence + count) as dead and tells `watch` every position. Returns how many were live.
   */
  kill(sequence: number, count: number, watch: DeathWatch): number {
    const { index } = this;
    const end = Math.min(sequence + count, this.nextSequence);
    let at = Math.max(sequence, this.firstSequence);
    let killed = 0;
    for (let i = at < end ? this.find(at) : 0; at < end && i < this.chunks.length; i++) {
      const chunk = this.chunks[i]!;
      const until = Math.min(end, this.endOf(i));
      if (at >= until) continue;
      const place = index.placeOf(chunk);
      if (place === NOWHERE) {
        at = until;
        continue;
      }
      if (at < index.first[chunk]!) at = index.first[chunk]!;
      // The range may end before the chunk begins: what lies between two chunks is dead.
      if (at >= until) break;
      const page = index.pages[place >>> 16]!;
      const offset = (place & 0xffff) - index.first[chunk]!;
      const base = index.base[chunk]!;
      let dead = 0;
      const low = base + page[offset + at]! * 4;
      const high = base + page[offset + until - 1]! * 4;
      if (liveInOrder(page, offset + at, offset + until) && watch.isTogether(low, high)) {
        // The rule: they die as they came.
        dead = until - at;
        watch.onDead(low, dead);
        for (; at < until; at++) page[offset + at] = DEAD;
      }
      for (; at < until; at++) {
        const entry = page[offset + at]!;
        if (entry === DEAD) continue;
        watch.onDead(entry === FAR ? this.farPosition(place + at - index.first[chunk]!) : base + entry * 4, 1);
        page[offset + at] = DEAD;
        dead++;
      }
      index.dead[chunk] = index.dead[chunk]! + dead;
      killed += dead;
      if (i !== this.chunks.length - 1 && index.dead[chunk] === index.count[chunk]) index.freePlace(chunk);
    }
    this.count -= killed;
    if (this.count === 0) this.clear();
    else if (sequence <= this.firstSequence) this.advance(end);
    return killed;
  }

  /** The message has moved. Returns where it was, 0 when it is dead. */
  move(sequence: number, position: number): number {
    const { index } = this;
    if (sequence < this.firstSequence || sequence >= this.nextSequence) return 0;
    const chunk = this.chunks[this.find(sequence)]!;
    const before = this.positionIn(chunk, sequence);
    if (before === 0) return 0;
    const place = index.at[chunk]! + (sequence - index.first[chunk]!);
    const delta = (position - index.base[chunk]!) / 4;
    const fits = delta >= 0 && delta <= DELTA_MAX;
    if (fits) index.far.delete(place);
    else index.far.set(place, position);
    index.pages[place >>> 16]![place & 0xffff] = fits ? delta : FAR;
    return before;
  }

  /** Looks the list through from `sequence` on, chunk by chunk. Returns where to go on when nothing is left of what the search may look at; nextSequence at the end. */
  search(sequence: number, search: Search): number {
    const { index } = this;
    const { low, high } = search;
    if (this.count === 0) return this.nextSequence;
    let at = Math.max(sequence, this.firstSequence);
    for (let i = at < this.nextSequence ? this.find(at) : 0; at < this.nextSequence && i < this.chunks.length; i++) {
      const chunk = this.chunks[i]!;
      const end = this.endOf(i);
      if (at >= end) continue;
      if (search.left <= 0) return at;
      search.left--;
      const base = index.base[chunk]!;
      // No entry lies before the base, but for those that are far. Such a chunk need not even be awake.
      const place = base >= high && index.far.size === 0 ? NOWHERE : index.placeOf(chunk);
      if (place !== NOWHERE) {
        const first = index.first[chunk]!;
        if (at < first) at = first;
        search.left -= end - at;
        const page = index.pages[place >>> 16]!;
        const offset = (place & 0xffff) - first;
        const from = (low - base) / 4;
        const to = Math.min((high - base) / 4, DELTA_MAX + 1);
        for (; at < end; at++) {
          const entry = page[offset + at]!;
          if (entry >= from && entry < to) search.onFound(at, base + entry * 4);
          else if (entry === FAR) {
            const position = this.farPosition(place + at - first);
            if (position >= low && position < high) search.onFound(at, position);
          }
        }
      }
      at = end;
    }
    return this.nextSequence;
  }

  /** Makes a dead message live again. Only the seeded bug of compaction does this. */
  revive(sequence: number, position: number): void {
    if (sequence < this.firstSequence || sequence >= this.nextSequence) return;
    const chunk = this.chunks[this.find(sequence)]!;
    const place = this.index.placeOf(chunk);
    if (place === NOWHERE) return;
    const at = place + (sequence - this.index.first[chunk]!);
    this.index.pages[at >>> 16]![at & 0xffff] = (position - this.index.base[chunk]!) / 4;
    this.index.dead[chunk] = this.index.dead[chunk]! - 1;
    this.count++;
  }

  /** The live sequence whose place (placeOf its position) this is; 0 when there is none. Slow: only the recovery of damaged logs asks. */
  sequenceOfPlace(place: number): number {
    for (let sequence = this.firstSequence; sequence < this.nextSequence; sequence = this.nextLive(sequence + 1)) {
      if ((this.position(sequence) / 4) % 4_294_967_296 === place) return sequence;
    }
    return 0;
  }

  /** Leaves out the next `count` sequences: their messages are lost. */
  skip(count: number): void {
    this.closeTail();
    if (this.count === 0) this.firstSequence = this.nextSequence + count;
    this.nextSequence += count;
  }

  /**
   * Copies the live part of the list from `sequence` on, below `end`, chunk by chunk: take(base, first, entries) until it returns false. Small chunks, of which a list has many while it
   * grows, come as one. Returns where to go on. The entries last until take returns.
   */
  dump(
    sequence: number,
    end: number,
    take: (base: number, first: number, entries: Uint32Array, far: Float64Array | null) => boolean,
  ): number {
    const { index } = this;
    let at = Math.max(sequence, this.firstSequence);
    const limit = Math.min(end, this.nextSequence);
    if (this.count === 0) return limit;
    for (let i = at < limit ? this.find(at) : 0; at < limit && i < this.chunks.length; i++) {
      const chunk = this.chunks[i]!;
      const until = Math.min(limit, this.endOf(i));
      const place = at < until ? index.placeOf(chunk) : NOWHERE;
      const first = Math.max(at, index.first[chunk]!);
      if (place !== NOWHERE && first < until) {
        const from = (place & 0xffff) + first - index.first[chunk]!;
        let entries = index.pages[place >>> 16]!.subarray(from, from + until - first);
        let far: Float64Array | null = null;
        if (index.far.size > 0) {
          for (let k = 0; k < entries.length; k++) {
            if (entries[k] !== FAR) continue;
            far ??= new Float64Array(entries.length);
            far[k] = this.farPosition(place + first - index.first[chunk]! + k);
          }
        } else if (until === this.endOf(i)) {
          entries = this.gather(i + 1, until, limit, index.base[chunk]!, entries);
          while (first + entries.length > this.endOf(i)) i++;
        }
        if (!take(index.base[chunk]!, first, entries, far)) return first;
      }
      const done = Math.min(limit, this.endOf(i));
      if (at < done) at = done;
    }
    return limit;
  }

  /** `entries`, which end at sequence `end`, and behind them those of as many chunks from chunks[from] on as go into one with this base, below `limit`. */
  private gather(from: number, end: number, limit: number, base: number, entries: Uint32Array): Uint32Array {
    const { index } = this;
    const { gathered } = index;
    let length = entries.length;
    let last = end;
    for (let i = from; i < this.chunks.length && last < limit; i++) {
      const chunk = this.chunks[i]!;
      const count = this.endOf(i) - last;
      const shift = (index.base[chunk]! - base) / 4;
      if (index.first[chunk] !== last || last + count > limit || length + count > gathered.length || shift < 0) break;
      const place = index.placeOf(chunk);
      if (place === NOWHERE || !shifted(index.pages[place >>> 16]!, place & 0xffff, count, shift, gathered, length))
        break;
      if (last === end) gathered.set(entries);
      last += count;
      length += count;
    }
    return last === end ? entries : gathered.subarray(0, length);
  }

  /**
   * Adds a dumped chunk behind what is there: the `length` entries from words[start] on. `watch` is told of every live one: of all at once, where they lie in one piece of the
   * log, else one by one.
   */
  restore(
    base: number,
    first: number,
    words: Uint32Array,
    start: number,
    length: number,
    far: Float64Array | null,
    watch: LifeWatch,
  ): void {
    const { index } = this;
    this.closeTail();
    this.nextSequence = first + length;
    let firstLive = 0;
    while (firstLive < length && words[start + firstLive] === DEAD) firstLive++;
    if (firstLive === length) return;
    const chunk = index.makeChunk(classFor(length), base, first);
    const place = index.at[chunk]!;
    const page = index.pages[place >>> 16]!;
    const from = place & 0xffff;
    let dead = 0;
    let farCount = 0;
    let low = DEAD;
    let high = 0;
    for (let k = 0; k < length; k++) {
      const entry = words[start + k]!;
      page[from + k] = entry;
      if (entry < low) low = entry;
      if (entry > high) {
        if (entry === DEAD) dead++;
        else if (entry === FAR) farCount++;
        else high = entry;
      }
    }
    if (farCount === 0 && watch.isTogether(base + low * 4, base + high * 4))
      watch.onLive(base + low * 4, length - dead);
    else {
      for (let k = 0; k < length; k++) {
        const entry = page[from + k]!;
        if (entry === DEAD) continue;
        if (entry === FAR) index.far.set(place + k, far![k]!);
        watch.onLive(entry === FAR ? far![k]! : base + entry * 4, 1);
      }
    }
    index.count[chunk] = length;
    index.dead[chunk] = dead;
    if (this.chunks === EMPTY) this.chunks = [chunk];
    else this.chunks.push(chunk);
    if (this.count === 0) this.firstSequence = first + firstLive;
    this.count += length - dead;
    this.page = page;
    this.pageAt = from + length;
    this.pageEnd = this.pageAt;
    this.tailBase = base;
  }

  /**
   * As restore(), of chunks whose entries come later: what is known of each is in fields[from, to), CHUNK_FIELDS of it. Puts their numbers into `made` from `at` on, NOWHERE for one in which nothing
   * is alive.
   */
  restoreAsleep(fields: Float64Array, from: number, to: number, made: Uint32Array, at: number): void {
    const { index } = this;
    this.closeTail();
    this.page = NO_PAGE;
    this.pageAt = 0;
    this.pageEnd = 0;
    // As long as it has to be: one that grows by push() takes room for 17.
    const chunks = this.chunks === EMPTY ? new Array<number>((to - from) / CHUNK_FIELDS) : this.chunks;
    let length = this.chunks.length;
    let live = 0;
    let next = at;
    for (let field = from; field < to; field += CHUNK_FIELDS, next++) {
      const first = fields[field + ChunkField.First]!;
      const count = fields[field + ChunkField.Count]!;
      const dead = fields[field + ChunkField.Dead]!;
      if (dead === count) {
        made[next] = NOWHERE;
        continue;
      }
      const chunk = index.makeSleeping(classFor(count), fields[field + ChunkField.Base]!, first);
      index.count[chunk] = count;
      index.dead[chunk] = dead;
      if (this.count + live === 0) this.firstSequence = first + fields[field + ChunkField.DeadFirst]!;
      live += count - dead;
      chunks[length++] = chunk;
      made[next] = chunk;
    }
    chunks.length = length;
    if (length > 0) this.chunks = chunks;
    this.count += live;
    this.nextSequence = fields[to - CHUNK_FIELDS + ChunkField.First]! + fields[to - CHUNK_FIELDS + ChunkField.Count]!;
  }

  /** Ends a series of restore(): `next` is what the next message gets. */
  endRestore(next: number): void {
    this.closeTail();
    this.nextSequence = next;
    if (this.count === 0) this.firstSequence = next;
  }

  /** Forgets everything stored. */
  clear(): void {
    for (let i = this.head; i < this.chunks.length; i++) this.index.freeChunk(this.chunks[i]!);
    this.chunks = EMPTY;
    this.head = 0;
    this.count = 0;
    this.firstSequence = this.nextSequence;
    this.page = NO_PAGE;
    this.pageAt = 0;
    this.pageEnd = 0;
  }

  private positionIn(chunk: number, sequence: number): number {
    const { index } = this;
    const nth = sequence - index.first[chunk]!;
    if (nth < 0 || nth >= this.countOf(chunk)) return 0;
    const place = index.placeOf(chunk);
    if (place === NOWHERE) return 0;
    const at = place + nth;
    const entry = index.pages[at >>> 16]![at & 0xffff]!;
    if (entry === DEAD) return 0;
    return entry === FAR ? this.farPosition(at) : index.base[chunk]! + entry * 4;
  }

  private farPosition(place: number): number {
    return this.index.far.get(place)!;
  }

  /** Writes the tail's count down, which is otherwise known by pageAt alone. */
  private closeTail(): void {
    // Without a page the tail was closed when it was put in place.
    if (this.chunks.length === this.head || this.page === NO_PAGE) return;
    const tail = this.chunks[this.chunks.length - 1]!;
    if (this.index.at[tail] !== NOWHERE) this.index.count[tail] = this.pageAt - (this.index.at[tail]! & 0xffff);
    this.pageEnd = this.pageAt;
  }

  private newTail(position: number, wanted: number): void {
    const { index } = this;
    let sizeClass = CLASS_MIN;
    if (this.chunks.length > this.head) {
      this.closeTail();
      const tail = this.chunks[this.chunks.length - 1]!;
      sizeClass = Math.min(CLASS_MAX, index.classOf(tail) + 1);
      if (index.dead[tail] === index.count[tail]) index.freePlace(tail);
    }
    while (sizeClass < CLASS_MAX && 1 << sizeClass < wanted) sizeClass++;
    const chunk = index.makeChunk(sizeClass, position, this.nextSequence);
    if (this.chunks === EMPTY) this.chunks = [chunk];
    else this.chunks.push(chunk);
    const place = index.at[chunk]!;
    this.page = index.pages[place >>> 16]!;
    this.pageAt = place & 0xffff;
    this.pageEnd = this.pageAt + index.capacity(chunk);
    this.tailBase = position;
  }

  /** Index in `chunks` of the last chunk that begins at or before `sequence`. */
  private find(sequence: number): number {
    const { first } = this.index;
    let low = this.head;
    let high = this.chunks.length - 1;
    if (low === high || sequence < first[this.chunks[low + 1]!]!) return low;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (first[this.chunks[middle]!]! <= sequence) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The sequence behind the last one of chunk i. Between it and the next chunk may lie sequences that are settled or lost. */
  private endOf(i: number): number {
    const chunk = this.chunks[i]!;
    return this.index.first[chunk]! + this.countOf(chunk);
  }

  private countOf(chunk: number): number {
    if (chunk !== this.chunks[this.chunks.length - 1] || this.page === NO_PAGE) return this.index.count[chunk]!;
    // The tail: its place is never given back while it is the tail.
    return this.pageAt - (this.index.at[chunk]! & 0xffff);
  }

  /** Moves firstSequence up to the lowest live one at or behind `from`, and lets go of the chunks before it. */
  private advance(from: number): void {
    const { index } = this;
    let at = from;
    for (;;) {
      const chunk = this.chunks[this.head]!;
      const end = this.endOf(this.head);
      const place = at < end ? index.placeOf(chunk) : NOWHERE;
      if (place !== NOWHERE) {
        const page = index.pages[place >>> 16]!;
        const offset = (place & 0xffff) - index.first[chunk]!;
        if (at < index.first[chunk]!) at = index.first[chunk]!;
        while (at < end && page[offset + at] === DEAD) at++;
        if (at < end) break;
      }
      if (at < end) at = end;
      index.freeChunk(chunk);
      this.head++;
    }
    this.firstSequence = at;
    if (this.head >= HEAD_MAX && this.head * 2 >= this.chunks.length) {
      this.chunks = this.chunks.slice(this.head);
      this.head = 0;
    }
  }
}

/** Copies `count` entries of a chunk whose base is `shift` before its own; false when that is too far for one of them. */
function shifted(
  page: Uint32Array,
  from: number,
  count: number,
  shift: number,
  into: Uint32Array,
  to: number,
): boolean {
  for (let i = 0; i < count; i++) {
    const entry = page[from + i]!;
    if (entry === DEAD) into[to + i] = DEAD;
    else if (entry + shift > DELTA_MAX) return false;
    else into[to + i] = entry + shift;
  }
  return true;
}

/** Whether all of page[from, to) are live, in the order of their positions, and near. */
function liveInOrder(page: Uint32Array, from: number, to: number): boolean {
  let before = -1;
  for (let at = from; at < to; at++) {
    const entry = page[at]!;
    if (entry <= before) return false;
    before = entry;
  }
  return before <= DELTA_MAX;
}

/** The smallest chunk that holds so many. */
function classFor(length: number): number {
  let sizeClass = CLASS_MIN;
  while (1 << sizeClass < length) sizeClass++;
  return sizeClass;
}

const HEAD_MAX = 256;
const EMPTY: number[] = [];
