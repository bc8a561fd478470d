// The messages of a queue that are in memory, as parallel arrays in a ring: no object per message. A message is named by its tag, which grows by one per message and
// is never reused; tag & mask is its place. Which run it comes from is known by its stretch (stretches.ts).
//
//        head                cursor                 tail
//   ──────┼────────────────────┼──────────────────────┼──────
//         │ unsettled, settled │ ready (or held)      │ free
//
// [head, cursor) has been delivered at least once, [cursor, tail) never. What comes back goes into `returned`, a heap of tags, and is delivered before the cursor
// moves on: "requeue in place". When a few old messages stay while many pass them, they are moved aside into `stragglers`, so the ring's length follows the number of
// live messages and not the age of the oldest. One that nobody has taken yet stands in `returned` then, too.
import { assert } from '../lib/assert.ts';
import type { DeliveryOptions } from './delivery.ts';
import type { Run } from './run.ts';
import { Stretches } from './stretches.ts';

export const EntryState = { Gone: 0, Ready: 1, Unsettled: 2, Held: 3 } as const;
export type EntryState = (typeof EntryState)[keyof typeof EntryState];

interface Straggler {
  run: Run;
  index: number;
  options: DeliveryOptions;
  state: EntryState;
  owner: number;
  attempts: number;
  sequence: number;
}

const CAPACITY_MIN = 8;
const CAPACITY_KEPT = 65_536;
/** From this size on stragglers are moved aside rather than the ring made larger. */
const CAPACITY_STRAGGLERS = 1024;
/** Entries of `returned` that may be of messages that are gone, before it is made anew. */
const RETURNED_STALE_MAX = 64;

/** Of every ring before its first message: nobody writes to them. */
const NO_TAGS: number[] = [];
const NO_WORDS = new Uint32Array(0);
const NO_BYTES = new Uint8Array(0);

export class MessageRing {
  head = 0;
  cursor = 0;
  tail = 0;
  /** Entries in state Ready or Held. */
  readyCount = 0;
  /** Bytes of the frames of those. */
  readyBytes = 0;
  unsettledCount = 0;
  private capacity = 0;
  private mask = 0;
  private readonly stretches = new Stretches();
  private places: Uint32Array = NO_WORDS;
  private states: Uint8Array = NO_BYTES;
  private attempts: Uint8Array = NO_BYTES;
  private owners: Uint32Array = NO_WORDS;
  /** A binary heap, the smallest tag first. Entries of messages that are gone stay until they are met, or outnumber the others. */
  private returned: number[] = NO_TAGS;
  private returnedStale = 0;
  private stragglers: Map<number, Straggler> | null = null;

  /** Appends messages [index, index + count) of an owned run as Ready (or Held; or Unsettled, with nobody, as after a delivery). firstSequence is 0 for messages that are not in the log. */
  push(
    run: Run,
    index: number,
    count: number,
    options: DeliveryOptions,
    firstSequence: number,
    state: EntryState,
  ): void {
    if (this.tail + count - this.head > this.capacity) this.makeRoom(count);
    const { mask, places, states, attempts, owners } = this;
    let tag = this.tail;
    const stretch = this.stretches.add(run, index, count, options, tag, firstSequence);
    const before = state === EntryState.Unsettled ? 1 : 0;
    for (let i = 0; i < count; i++, tag++) {
      const at = tag & mask;
      places[at] = stretch;
      states[at] = state;
      attempts[at] = before;
      owners[at] = 0;
    }
    this.tail = tag;
    if (state === EntryState.Unsettled) {
      this.unsettledCount += count;
      return;
    }
    this.readyCount += count;
    this.readyBytes += frameBytes(run, index, count);
  }

  /** The next tag to deliver, or -1: the smallest returned one, else the one at the cursor unless that is held. */
  nextReady(): number {
    while (this.returned.length > 0) {
      const tag = this.returned[0]!;
      if (this.stateOf(tag) === EntryState.Ready) return tag;
      this.popReturned();
      this.returnedStale--;
    }
    while (this.cursor < this.tail) {
      const state = this.states[this.cursor & this.mask];
      if (state === EntryState.Ready) return this.cursor;
      if (state === EntryState.Held) return -1;
      this.cursor++;
    }
    return -1;
  }

  /** How many entries from `tag` on, at most `limit`, are consecutive messages of one run with the same options, ready and never delivered. */
  span(tag: number, limit: number): number {
    if (tag < this.cursor || limit <= 1) return 1;
    const { mask, states, attempts } = this;
    const first = tag & mask;
    if (attempts[first] !== 0) return 1;
    const end = Math.min(this.tail, tag + limit, this.stretches.endOf(this.places[first]!));
    let next = tag + 1;
    for (; next < end; next++) {
      const at = next & mask;
      if (states[at] !== EntryState.Ready || attempts[at] !== 0) break;
    }
    return next - tag;
  }

  /** Marks [tag, tag + count) as delivered to `owner`. Count is 1 for a returned message. */
  take(tag: number, count: number, owner: number): void {
    this.readyCount -= count;
    this.readyBytes -= frameBytes(this.runOf(tag), this.indexOf(tag), count);
    this.unsettledCount += count;
    if (this.returned.length > 0 && this.returned[0] === tag) {
      this.popReturned();
      const straggler = tag < this.head ? this.stragglers!.get(tag)! : null;
      if (straggler !== null) {
        straggler.state = EntryState.Unsettled;
        straggler.owner = owner;
        if (straggler.attempts < 255) straggler.attempts++;
        return;
      }
      this.takeAt(tag & this.mask, owner);
      return;
    }
    assert(tag === this.cursor, 'Messages leave a ring in order.');
    for (let i = 0; i < count; i++) this.takeAt((tag + i) & this.mask, owner);
    this.cursor = tag + count;
  }

  /** As take(), for one that is not next: somebody selects it, and what is before it stays. */
  pick(tag: number, owner: number): void {
    if (tag === this.cursor || tag === this.returned[0]) {
      this.take(tag, 1, owner);
      return;
    }
    this.readyCount--;
    this.readyBytes -= frameBytes(this.runOf(tag), this.indexOf(tag), 1);
    this.unsettledCount++;
    if (tag < this.cursor) this.returnedStale++;
    const straggler = tag < this.head ? this.stragglers!.get(tag)! : null;
    if (straggler === null) this.takeAt(tag & this.mask, owner);
    else {
      straggler.state = EntryState.Unsettled;
      straggler.owner = owner;
      if (straggler.attempts < 255) straggler.attempts++;
    }
  }

  /** The first place from `from` on at which an entry may stand. */
  firstFrom(from: number): number {
    if (from >= this.head) return from;
    let first = this.head;
    if (this.stragglers !== null) for (const tag of this.stragglers.keys()) if (tag >= from && tag < first) first = tag;
    return first;
  }

  /** Forgets an entry, whatever its state. Returns false when it is not there (any more). */
  remove(tag: number): boolean {
    if (tag >= this.tail || tag < 0) return false;
    if (tag < this.head) {
      const straggler = this.stragglers?.get(tag);
      if (straggler === undefined) return false;
      this.stragglers!.delete(tag);
      this.uncount(straggler.state, tag, straggler.run, straggler.index);
      return true;
    }
    const at = tag & this.mask;
    const state = this.states[at]!;
    if (state === EntryState.Gone) return false;
    const stretch = this.places[at]!;
    this.states[at] = EntryState.Gone;
    this.uncount(state as EntryState, tag, this.stretches.runOf(stretch), this.stretches.indexOf(stretch, tag));
    this.stretches.release(stretch, 1);
    if (tag === this.head) this.advance();
    return true;
  }

  /**
   * Forgets [tag, tag + count), which are all unsettled, none of them aside, and of consecutive sequences in the log or all in none. Returns the first sequence, 0 when there is none; -1, and does
   * nothing, when it is not as said.
   */
  removeUnsettled(tag: number, count: number): number {
    const { mask, states, places, stretches } = this;
    const end = tag + count;
    if (tag < this.head || end > this.tail) return -1;
    for (let t = tag; t < end; t++) if (states[t & mask] !== EntryState.Unsettled) return -1;
    const sequence = this.sequencesOf(tag, end);
    if (sequence < 0) return -1;
    for (let t = tag; t < end; t++) states[t & mask] = EntryState.Gone;
    for (let t = tag; t < end; ) {
      const stretch = places[t & mask]!;
      const stop = Math.min(end, stretches.endOf(stretch));
      stretches.release(stretch, stop - t);
      t = stop;
    }
    this.unsettledCount -= count;
    if (tag === this.head) this.advance();
    return sequence;
  }

  /** Puts an unsettled entry back in its place. Returns false when it is not unsettled. */
  giveBack(tag: number): boolean {
    if (this.stateOf(tag) !== EntryState.Unsettled) return false;
    if (tag < this.head) this.stragglers!.get(tag)!.state = EntryState.Ready;
    else this.states[tag & this.mask] = EntryState.Ready;
    this.unsettledCount--;
    this.readyCount++;
    this.readyBytes += frameBytes(this.runOf(tag), this.indexOf(tag), 1);
    // Where the cursor has not been, it will come.
    if (tag < this.cursor) this.pushReturned(tag);
    return true;
  }

  /** Held entries of [tag, tag + count) become ready. */
  release(tag: number, count: number): void {
    for (let t = Math.max(tag, this.head); t < tag + count; t++) {
      if (this.states[t & this.mask] === EntryState.Held) this.states[t & this.mask] = EntryState.Ready;
    }
  }

  stateOf(tag: number): EntryState {
    if (tag < 0 || tag >= this.tail) return EntryState.Gone;
    if (tag < this.head) return this.stragglers?.get(tag)?.state ?? EntryState.Gone;
    return this.states[tag & this.mask] as EntryState;
  }

  ownerOf(tag: number): number {
    return tag < this.head ? (this.stragglers?.get(tag)?.owner ?? 0) : this.owners[tag & this.mask]!;
  }

  setOwner(tag: number, owner: number): void {
    if (tag < this.head) this.stragglers!.get(tag)!.owner = owner;
    else this.owners[tag & this.mask] = owner;
  }

  attemptsOf(tag: number): number {
    return tag < this.head ? (this.stragglers?.get(tag)?.attempts ?? 0) : this.attempts[tag & this.mask]!;
  }

  /** A delivery that never reached anybody does not count as one. */
  forgetAttempt(tag: number): void {
    if (tag < this.head) {
      const straggler = this.stragglers?.get(tag);
      if (straggler !== undefined && straggler.attempts > 0) straggler.attempts--;
    } else if (this.attempts[tag & this.mask]! > 0) {
      this.attempts[tag & this.mask]!--;
    }
  }

  runOf(tag: number): Run {
    return tag < this.head ? this.stragglers!.get(tag)!.run : this.stretches.runOf(this.places[tag & this.mask]!);
  }

  indexOf(tag: number): number {
    if (tag < this.head) return this.stragglers!.get(tag)!.index;
    return this.stretches.indexOf(this.places[tag & this.mask]!, tag);
  }

  optionsOf(tag: number): DeliveryOptions {
    if (tag < this.head) return this.stragglers!.get(tag)!.options;
    return this.stretches.optionsOf(this.places[tag & this.mask]!);
  }

  /** 0 when it is not in the log. */
  sequenceOf(tag: number): number {
    if (tag < this.head) return this.stragglers!.get(tag)!.sequence;
    return this.stretches.sequenceOf(this.places[tag & this.mask]!, tag);
  }

  /** Calls visit with every live tag in order. visit may remove the tag it is given. */
  forEach(visit: (tag: number, state: EntryState) => void): void {
    if (this.stragglers !== null) {
      for (const tag of [...this.stragglers.keys()].sort((a, b) => a - b)) visit(tag, this.stragglers.get(tag)!.state);
    }
    for (let tag = this.head; tag < this.tail; tag++) {
      const state = this.states[tag & this.mask] as EntryState;
      if (state !== EntryState.Gone) visit(tag, state);
    }
  }

  /** The first of the consecutive sequences of [tag, end), all of which are here; 0 when none has one; -1 when it is neither. */
  private sequencesOf(tag: number, end: number): number {
    const { places, stretches, mask } = this;
    const stretch = places[tag & mask]!;
    const first = stretches.sequenceOf(stretch, tag);
    for (let t = stretches.endOf(stretch); t < end; ) {
      const next = places[t & mask]!;
      if (stretches.sequenceOf(next, t) !== (first === 0 ? 0 : first + (t - tag))) return -1;
      t = stretches.endOf(next);
    }
    return first;
  }

  private takeAt(at: number, owner: number): void {
    this.states[at] = EntryState.Unsettled;
    this.owners[at] = owner;
    if (this.attempts[at]! < 255) this.attempts[at]!++;
  }

  private uncount(state: EntryState, tag: number, run: Run, index: number): void {
    if (state === EntryState.Unsettled) {
      this.unsettledCount--;
      return;
    }
    this.readyCount--;
    this.readyBytes -= frameBytes(run, index, 1);
    if (tag >= this.cursor) return;
    this.returnedStale++;
    if (this.returnedStale > RETURNED_STALE_MAX && this.returnedStale * 2 > this.returned.length) this.dropStale();
  }

  private advance(): void {
    const { mask, states, tail } = this;
    let head = this.head;
    while (head < tail && states[head & mask] === EntryState.Gone) head++;
    this.head = head;
    if (this.cursor < head) this.cursor = head;
    // A ring that held a great backlog does not keep its size when that is gone.
    if (head === tail && this.capacity > CAPACITY_KEPT) this.resize(CAPACITY_MIN);
  }

  private makeRoom(count: number): void {
    const live = this.readyCount + this.unsettledCount - (this.stragglers?.size ?? 0);
    if (this.capacity >= CAPACITY_STRAGGLERS && live < this.capacity >> 2) {
      this.setAside(this.cursor);
      // Still long: there are gaps among those that nobody has taken yet, too. They expired behind one that lives on.
      if (this.tail - this.head > this.capacity >> 1) this.setAside(this.tail);
    }
    const needed = this.tail + count - this.head;
    if (needed <= this.capacity) return;
    let capacity = Math.max(this.capacity, CAPACITY_MIN);
    while (capacity < needed) capacity *= 2;
    this.resize(capacity);
  }

  /** Moves everything before `end` out of the ring, up to the first that is held: that one stops whatever comes after it. */
  private setAside(end: number): void {
    this.stragglers ??= new Map();
    const { stretches } = this;
    let tag = this.head;
    for (; tag < end; tag++) {
      const at = tag & this.mask;
      const state = this.states[at] as EntryState;
      if (state === EntryState.Gone) continue;
      if (state === EntryState.Held) break;
      if (tag >= this.cursor && state === EntryState.Ready) this.pushReturned(tag);
      const stretch = this.places[at]!;
      this.stragglers.set(tag, {
        run: stretches.runOf(stretch),
        index: stretches.indexOf(stretch, tag),
        options: stretches.optionsOf(stretch),
        state,
        owner: this.owners[at]!,
        attempts: this.attempts[at]!,
        sequence: stretches.sequenceOf(stretch, tag),
      });
      this.states[at] = EntryState.Gone;
      stretches.release(stretch, 1);
    }
    if (this.cursor < tag) this.cursor = tag;
    this.head = tag;
    while (this.head < this.tail && this.states[this.head & this.mask] === EntryState.Gone) this.head++;
    if (this.cursor < this.head) this.cursor = this.head;
  }

  private resize(capacity: number): void {
    const mask = capacity - 1;
    const places = new Uint32Array(capacity);
    const states = new Uint8Array(capacity);
    const attempts = new Uint8Array(capacity);
    const owners = new Uint32Array(capacity);
    for (let tag = this.head; tag < this.tail; tag++) {
      const from = tag & this.mask;
      const to = tag & mask;
      places[to] = this.places[from]!;
      states[to] = this.states[from]!;
      attempts[to] = this.attempts[from]!;
      owners[to] = this.owners[from]!;
    }
    this.capacity = capacity;
    this.mask = mask;
    this.places = places;
    this.states = states;
    this.attempts = attempts;
    this.owners = owners;
  }

  private pushReturned(tag: number): void {
    if (this.returned === NO_TAGS) this.returned = [];
    const heap = this.returned;
    let at = heap.push(tag) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (heap[up]! <= tag) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = tag;
  }

  private popReturned(): void {
    const heap = this.returned;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && heap[down + 1]! < heap[down]!) down++;
      if (heap[down]! >= last) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
  }

  private dropStale(): void {
    // In order of tags it is a heap as well.
    this.returned = this.returned.filter((tag) => this.stateOf(tag) === EntryState.Ready).sort((a, b) => a - b);
    this.returnedStale = 0;
  }
}

/** Of `count` consecutive messages of a run. */
function frameBytes(run: Run, index: number, count: number): number {
  return run.frameEnd(index + count - 1) - run.frameStart(index);
}
