// Gives the space of mostly dead segments back: looks the index through for what is still live in them, copies it to the end of the log as Moved records, and leaves the
// rest to the rule by which dead segments go. Works in slices that the storage hands out; reading is up to the Reader.
import type { Contents } from './contents.ts';
import type { Fetches, StoredRun } from './fetch.ts';
import type { Search } from './index-list.ts';
import type { Log } from './log.ts';
import type { EmbeddedQueue } from './queue.ts';
import { Lookup, type Waiter } from './reader.ts';
import { MOVED_REF_BYTES, PUBLISH_HEADER_BYTES, padded, placeOf, RecordKind, SLOT_BODY_BITS } from './record.ts';
import type { Segment } from './segments.ts';

/** Index entries looked at in one slice, and how many of them one counts for that is found: half a millisecond in either case. */
const ENTRIES_PER_SLICE = 200_000;
const ENTRIES_PER_SURVIVOR = 20;
/** Bytes copied in one slice. */
const BYTES_PER_SLICE = 64 * 1024;

interface Survivor {
  readonly queue: EmbeddedQueue;
  readonly sequence: number;
  readonly position: number;
}

export class Compaction implements Waiter, Search {
  readonly victims: readonly Segment[];
  movedMessages = 0;
  done = false;
  /** All victims lie in between; others may, too. */
  readonly low: number;
  readonly high: number;
  left = 0;
  private readonly stride: number;
  /** By number of a stride, from that at `low` on: 1 for a victim's. */
  private readonly marks: Uint8Array;
  private readonly contents: Contents;
  private readonly log: Log;
  private readonly fetches: Fetches;
  private readonly wake: () => void;
  private readonly forgetSettled: boolean;
  private readonly queues: EmbeddedQueue[];
  private queueAt = 0;
  private sequence = 0;
  private survivors: Survivor[] = [];
  private survivorAt = 0;
  private waiting = false;

  /** wake is called when a slice can be done again after one that had to wait for the disk. */
  constructor(contents: Contents, victims: readonly Segment[], wake: () => void, forgetSettled: boolean) {
    this.contents = contents;
    this.log = contents.log;
    this.fetches = contents.fetches;
    this.victims = victims;
    this.wake = wake;
    this.forgetSettled = forgetSettled;
    this.queues = [...contents.queuesById.values()];
    this.stride = contents.segments.stride;
    this.low = Math.min(...victims.map(({ base }) => base));
    this.high = Math.max(...victims.map(({ end }) => end));
    this.marks = new Uint8Array((this.high - this.low) / this.stride);
    for (const { base, end } of victims)
      this.marks.fill(1, (base - this.low) / this.stride, (end - this.low) / this.stride);
  }

  onRead(): void {
    this.waiting = false;
    this.wake();
  }

  /** Does a slice. Returns false when it waits for the disk or is done. */
  step(): boolean {
    if (this.waiting || this.done) return false;
    if (this.queueAt < this.queues.length) {
      this.look();
      if (this.queueAt === this.queues.length) this.survivors.sort((a, b) => a.position - b.position);
      return true;
    }
    return this.copy();
  }

  onFound(sequence: number, position: number): void {
    if (this.marks[Math.floor((position - this.low) / this.stride)] !== 1) return;
    this.left -= ENTRIES_PER_SURVIVOR;
    this.survivors.push({ queue: this.queues[this.queueAt]!, sequence, position });
  }

  private look(): void {
    this.left = ENTRIES_PER_SLICE;
    while (this.left > 0 && this.queueAt < this.queues.length) {
      const queue = this.queues[this.queueAt]!;
      this.left--;
      if (!queue.deleted) {
        this.sequence = queue.search(this.sequence, this);
        if (this.sequence < queue.nextSequence) return;
      }
      this.queueAt++;
      this.sequence = 0;
    }
  }

  private copy(): boolean {
    let left = BYTES_PER_SLICE;
    while (left > 0) {
      const first = this.survivors[this.survivorAt];
      if (first === undefined) {
        this.done = true;
        this.survivors = [];
        return false;
      }
      const stored = this.fetches.stored(first.position, this);
      if (stored === Lookup.Waiting) {
        this.waiting = true;
        return false;
      }
      if (typeof stored === 'number') {
        // Damaged: whoever fetches it learns that; there is nothing to copy.
        this.survivorAt++;
        continue;
      }
      left -= this.moveRecord(stored);
    }
    return true;
  }

  /** Copies what is left of one record. Survivors are in order of position, so they stand next to each other. */
  private moveRecord(stored: StoredRun): number {
    const refs: { survivor: Survivor; index: number }[] = [];
    const indexes: number[] = [];
    const from = this.survivorAt;
    while (this.survivorAt < this.survivors.length) {
      const survivor = this.survivors[this.survivorAt]!;
      if (survivor.position < stored.slots || survivor.position >= stored.slotsEnd) break;
      this.survivorAt++;
      // Settled, deleted or moved since it was found.
      if (
        !this.forgetSettled &&
        (survivor.queue.deleted || survivor.queue.position(survivor.sequence) !== survivor.position)
      )
        continue;
      const index = (survivor.position - stored.slots) / 4;
      if (indexes[indexes.length - 1] !== index) indexes.push(index);
      refs.push({ survivor, index: indexes.length - 1 });
    }
    if (this.survivorAt === from) this.survivorAt++;
    return refs.length === 0 ? 64 : this.write(stored, indexes, refs);
  }

  private write(
    stored: StoredRun,
    indexes: readonly number[],
    refs: readonly { survivor: Survivor; index: number }[],
  ): number {
    const { contents, log } = this;
    const { run } = stored;
    let body = 0;
    for (const index of indexes) body += run.frameEnd(index) - run.frameStart(index);
    const head = padded(PUBLISH_HEADER_BYTES + 4 * indexes.length + body);
    const size = head + MOVED_REF_BYTES * refs.length;
    const at = log.reserve(size);
    const word = at >>> 2;
    const { words, doubles, bytes } = log;
    words[word] = RecordKind.Moved | (run.guarantee << 8) | (run.priority << 16);
    words[word + 1] = size;
    words[word + 2] = stored.set;
    words[word + 3] = body;
    words[word + 4] = run.codec.id | (indexes.length << 16);
    words[word + 5] = run.variant;
    doubles[(at + 24) >>> 3] = run.receivedAtMs;
    doubles[(at + 32) >>> 3] = run.expiresAtMs;
    const slots = at + PUBLISH_HEADER_BYTES;
    let to = slots + 4 * indexes.length;
    const bodyAt = to;
    // Messages that stood side by side go together.
    for (let i = 0; i < indexes.length; ) {
      const from = i;
      const start = run.frameStart(indexes[from]!);
      for (; i < indexes.length && indexes[i]! - indexes[from]! === i - from; i++)
        words[(slots >>> 2) + i] =
          (i << SLOT_BODY_BITS) | (indexes.length === 1 ? 0 : to - bodyAt + run.frameStart(indexes[i]!) - start);
      const end = run.frameEnd(indexes[i - 1]!);
      bytes.set(run.bytes.subarray(start, end), to);
      to += end - start;
    }
    const set = contents.sets.get(stored.set);
    if (set !== undefined) set.lastUsed = slots + log.shift;
    let ref = at + head;
    for (const { survivor, index } of refs) {
      words[ref >>> 2] = survivor.queue.id;
      words[(ref >>> 2) + 1] = index;
      doubles[(ref + 8) >>> 3] = survivor.sequence;
      words[(ref >>> 2) + 4] = placeOf(survivor.position);
      words[(ref >>> 2) + 5] = 0;
      ref += MOVED_REF_BYTES;
      const position = slots + log.shift + 4 * index;
      const before = survivor.queue.move(survivor.sequence, position);
      if (before === 0) continue;
      contents.segments.onLive(position, 1);
      contents.segments.onDead(before, 1);
      this.movedMessages++;
    }
    log.requireSync();
    return size;
  }
}
