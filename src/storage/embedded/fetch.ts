// Reads stored messages back for the queues: walks the index, finds the records, makes runs of their own bytes out of them, and hands them to the sink. What has to be
// read from the disk interrupts the walk: it ends there when it has given something, and otherwise goes on when the bytes are there. Relies on Reader for bytes and on QueueSets for delivery options.
import { AS_PUBLISHED, type DeliveryOptions } from '../../core/delivery.ts';
import { type Codec, Run } from '../../core/run.ts';
import { assert } from '../../lib/assert.ts';
import type { FetchSink } from '../commit-log.ts';
import type { EmbeddedQueue } from './queue.ts';
import type { QueueSets } from './queue-sets.ts';
import { Lookup, type Reader, type Waiter } from './reader.ts';
import { PUBLISH_HEADER_BYTES, RecordKind, SLOT_BODY_BITS } from './record.ts';

/** Recently made runs, so that a thousand queues that hold the same message share one copy of it. */
const RUNS_KEPT = 256;
const RUN_KEPT_BYTES_MAX = 64 * 1024;
const SLAB_BYTES = 16 * 1024;
const NO_SLAB = new Uint8Array(0);
const NO_WORDS = new Uint32Array(0);
/** Below this a loop is faster than a view of the bytes and a copy of it. */
const COPIED_BY_WORDS = 512;

export class Fetches {
  readonly reader: Reader;
  private readonly sets: QueueSets;
  private readonly codecs: ReadonlyMap<number, Codec>;
  private readonly kept: (StoredRun | null)[] = new Array<StoredRun | null>(RUNS_KEPT).fill(null);
  private last: StoredRun | null = null;
  /** Fetches to be used again: each lives long enough to be costly garbage. */
  private readonly idle: Fetch[] = [];
  /** Small runs made one after the other share their memory, down to the view of it: with a million messages on their way these views would be half of it all. */
  private slab: Uint8Array = NO_SLAB;
  private slabWords: Uint32Array = NO_WORDS;
  private slabAt = 0;
  /** The memory that was looked into last. */
  private viewed: Uint8Array = NO_SLAB;
  private view: DataView = new DataView(NO_SLAB.buffer);
  private words: Uint32Array = NO_WORDS;
  private readonly lost: (queue: EmbeddedQueue, sequence: number) => void;
  /** Index of the message in the run that stored() gave last. */
  index = 0;

  /** lost is called for a message whose bytes can not be had any more. */
  constructor(
    reader: Reader,
    sets: QueueSets,
    codecs: ReadonlyMap<number, Codec>,
    lost: (queue: EmbeddedQueue, sequence: number) => void,
  ) {
    this.reader = reader;
    this.sets = sets;
    this.codecs = codecs;
    this.lost = lost;
  }

  start(queue: EmbeddedQueue, from: number, countMax: number, bytesMax: number, sink: FetchSink): void {
    const fetch = this.idle.pop() ?? new Fetch(this);
    fetch.start(queue, Math.max(from, queue.firstSequence), countMax, bytesMax, sink);
  }

  /** It has ended, and nobody knows it any more. */
  onFetchEnd(fetch: Fetch): void {
    this.idle.push(fetch);
  }

  giveUp(queue: EmbeddedQueue, sequence: number): void {
    this.lost(queue, sequence);
  }

  /** The run that holds the message whose slot is at `position`; sets index. */
  stored(position: number, waiter: Waiter | null): StoredRun | Lookup {
    const { last } = this;
    if (last !== null && position >= last.slots && position < last.slotsEnd) {
      this.index = (position - last.slots) / 4;
      return last;
    }
    const { reader } = this;
    let lookup = reader.lookup(position, 4, waiter);
    if (lookup !== Lookup.Found) return lookup;
    const at = reader.foundAt;
    const slot =
      (reader.found[at]! |
        (reader.found[at + 1]! << 8) |
        (reader.found[at + 2]! << 16) |
        (reader.found[at + 3]! << 24)) >>>
      0;
    const index = slot >>> SLOT_BODY_BITS;
    this.index = index;
    const record = position - PUBLISH_HEADER_BYTES - 4 * index;
    const place = (record / 8) % RUNS_KEPT;
    const kept = this.kept[place]!;
    if (kept !== null && kept.record === record) {
      this.last = kept;
      return kept;
    }
    lookup = reader.lookup(record, PUBLISH_HEADER_BYTES, waiter);
    if (lookup !== Lookup.Found) return lookup;
    const kind = reader.found[reader.foundAt]!;
    assert(kind === RecordKind.Publish || kind === RecordKind.Moved, `the index points to a record of kind ${kind}`);
    lookup = reader.lookup(record, this.viewOf(reader.found).getUint32(reader.foundAt + 4, true), waiter);
    if (lookup !== Lookup.Found) return lookup;
    const stored = this.decode(record, reader.found, reader.foundAt);
    if (stored.run.byteLength <= RUN_KEPT_BYTES_MAX) this.kept[place] = stored;
    this.last = stored;
    return stored;
  }

  options(stored: StoredRun, queue: EmbeddedQueue) {
    const set = this.sets.get(stored.set);
    assert(set !== undefined, `a stored message refers to the unknown queue set ${stored.set}`);
    return set.optionsOf(queue.id);
  }

  /** Forgets what was made out of the log at [start, end). */
  forget(start: number, end: number): void {
    for (let i = 0; i < RUNS_KEPT; i++) {
      const kept = this.kept[i]!;
      if (kept !== null && kept.record >= start && kept.record < end) this.kept[i] = null;
    }
    this.last = null;
  }

  /** Memory in which `size` bytes from slabAt on are free, a multiple of 4. */
  private room(size: number): Uint8Array {
    if (size > SLAB_BYTES / 4) this.makeSlab(size);
    else if (this.slabAt + size > this.slab.length) this.makeSlab(SLAB_BYTES);
    return this.slab;
  }

  private makeSlab(size: number): void {
    this.slab = Buffer.allocUnsafeSlow(size);
    this.slabWords = new Uint32Array(this.slab.buffer, 0, size >>> 2);
    this.slabAt = 0;
  }

  /** Copies `size` bytes and what fills the last word: records and slabs are in whole words. */
  private copyWords(from: number, size: number): void {
    const { words, slabWords } = this;
    const end = from + ((size + 3) >>> 2);
    let to = this.slabAt >>> 2;
    for (let at = from; at < end; at++) slabWords[to++] = words[at]!;
  }

  /** A view of all of `bytes`. There are few memories to be found in, and views of each message would be garbage of its size. */
  private viewOf(bytes: Uint8Array): DataView {
    if (bytes !== this.viewed) {
      this.viewed = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
    }
    return this.view;
  }

  private decode(record: number, bytes: Uint8Array, at: number): StoredRun {
    const view = this.viewOf(bytes);
    const codecId = view.getUint16(at + 16, true);
    const codec = this.codecs.get(codecId);
    assert(
      codec !== undefined,
      `a stored message is of the unknown codec ${codecId}; it was written by a Sluice with another protocol`,
    );
    const count = view.getUint16(at + 18, true);
    const size = view.getUint32(at + 12, true);
    const body = PUBLISH_HEADER_BYTES + 4 * count;
    const run = new Run(codec);
    run.bytes = this.room(size + 4);
    // In step with where it comes from: shared memory is copied by words of eight bytes only where both ends are aligned alike.
    this.slabAt += (this.slabAt ^ (at + body)) & 4;
    run.start = this.slabAt;
    run.end = run.start + size;
    if (size <= COPIED_BY_WORDS) this.copyWords((at + body) >>> 2, size);
    else run.bytes.set(bytes.subarray(at + body, at + body + size), run.start);
    this.slabAt += (size + 3) & ~3;
    run.count = count;
    run.frameBytesMax = size;
    if (count > 1) {
      const offsets = new Uint32Array(count + 1);
      offsets[count] = size;
      let largest = 0;
      for (let i = count - 1; i >= 0; i--) {
        offsets[i] = view.getUint32(at + PUBLISH_HEADER_BYTES + 4 * i, true) & SLOT_BODY_MASK;
        const length = offsets[i + 1]! - offsets[i]!;
        if (length > largest) largest = length;
      }
      run.offsets = offsets;
      run.frameBytesMax = largest;
    }
    run.guarantee = bytes[at + 1] as Run['guarantee'];
    run.priority = bytes[at + 2]!;
    run.variant = view.getUint32(at + 20, true);
    run.receivedAtMs = view.getFloat64(at + 24, true);
    run.expiresAtMs = view.getFloat64(at + 32, true);
    run.owned = true;
    return {
      record,
      slots: record + PUBLISH_HEADER_BYTES,
      slotsEnd: record + body,
      set: view.getUint32(at + 8, true),
      run,
    };
  }
}

export interface StoredRun {
  readonly record: number;
  readonly slots: number;
  readonly slotsEnd: number;
  readonly set: number;
  readonly run: Run;
}

const SLOT_BODY_MASK = (1 << SLOT_BODY_BITS) - 1;

class Fetch implements Waiter {
  private readonly fetches: Fetches;
  private queue: EmbeddedQueue | null = null;
  private sink: FetchSink | null = null;
  private given = 0;
  private next = 0;
  private countLeft = 0;
  private bytesLeft = 0;

  constructor(fetches: Fetches) {
    this.fetches = fetches;
  }

  start(queue: EmbeddedQueue, next: number, countMax: number, bytesMax: number, sink: FetchSink): void {
    this.queue = queue;
    this.sink = sink;
    this.given = 0;
    this.next = next;
    this.countLeft = countMax;
    // At least one message, however long.
    this.bytesLeft = Math.max(1, bytesMax);
    this.onRead();
  }

  onRead(): void {
    const { fetches } = this;
    const queue = this.queue!;
    const sink = this.sink!;
    let set = -1;
    let options: DeliveryOptions = AS_PUBLISHED;
    while (this.countLeft > 0 && this.bytesLeft > 0) {
      const sequence = queue.nextLive(this.next);
      if (sequence >= queue.nextSequence) {
        this.next = queue.nextSequence;
        break;
      }
      this.next = sequence;
      // A thousand queues that each hold what they have until the disk has given them the rest would hold half the log: who has something does not wait.
      const stored = fetches.stored(queue.position(sequence), this.given > 0 ? null : this);
      if (stored === Lookup.Waiting) {
        if (this.given > 0) break;
        return;
      }
      if (typeof stored === 'number') {
        this.next = sequence + 1;
        fetches.giveUp(queue, sequence);
        continue;
      }
      const { run } = stored;
      const { index } = fetches;
      // What came in one run is mostly there as one run.
      let count = run.count - index;
      if (count > this.countLeft) count = this.countLeft;
      if (count > 1) count = queue.span(sequence, count);
      const start = run.frameStart(index);
      let bytes = run.frameEnd(index + count - 1) - start;
      if (bytes > this.bytesLeft) {
        for (count = 1; run.frameEnd(index + count - 1) - start < this.bytesLeft; ) count++;
        bytes = run.frameEnd(index + count - 1) - start;
      }
      this.next = sequence + count;
      this.given += count;
      this.countLeft -= count;
      this.bytesLeft -= bytes;
      if (stored.set !== set) {
        ({ set } = stored);
        options = fetches.options(stored, queue);
      }
      sink.onFetched(sequence, run, index, count, options);
    }
    // What the sink does next may be another fetch.
    const { next } = this;
    this.queue = null;
    this.sink = null;
    fetches.onFetchEnd(this);
    sink.onFetchEnd(next);
  }
}
