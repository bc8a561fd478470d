// One queue that lives in memory: runs in order of arrival, with a mark per settled message. Used by the memory engine for every queue and by other engines
// for queues whose durability is Durability.Memory. Keeps runs as they are (owned); never copies a body.
//
//   entries   [head] ─▶ {first 1, run of 3} {first 4, run of 1} {first 5, run of 2} …     sequences are consecutive from entry to entry
import type { DeliveryOptions } from '../../core/delivery.ts';
import type { Run } from '../../core/run.ts';
import { assert } from '../../lib/assert.ts';
import type { Durability, FetchSink, QueueLog } from '../commit-log.ts';

interface Entry {
  readonly first: number;
  readonly run: Run;
  readonly options: DeliveryOptions;
  live: number;
  /** One byte per message, 1 when settled; null while none is. */
  settled: Uint8Array | null;
}

/** Consumed entries are cut off the front of the array when there are this many. */
const HEAD_MAX = 1024;

export class MemoryQueue implements QueueLog {
  readonly name: string;
  durability: Durability;
  nextSequence = 1;
  count = 0;
  firstSequence = 1;
  private entries: Entry[] = [];
  private head = 0;
  private readonly forget: (queue: MemoryQueue) => void;
  private deleted = false;

  /** forget is called when the queue is deleted. */
  constructor(name: string, durability: Durability, forget: (queue: MemoryQueue) => void) {
    this.name = name;
    this.durability = durability;
    this.forget = forget;
  }

  /** Adds all messages of an owned run. */
  push(run: Run, options: DeliveryOptions): void {
    assert(!this.deleted, `queue ${this.name} is deleted and takes nothing`);
    this.entries.push({ first: this.nextSequence, run, options, live: run.count, settled: null });
    if (this.count === 0) this.firstSequence = this.nextSequence;
    this.nextSequence += run.count;
    this.count += run.count;
  }

  settle(sequence: number, count: number): void {
    const end = sequence + count;
    assert(
      sequence >= this.firstSequence && end <= this.nextSequence,
      `settled sequence ${sequence} is not stored in ${this.name}`,
    );
    let at = sequence;
    for (let i = this.find(sequence); at < end; i++) {
      const entry = this.entries[i]!;
      const until = Math.min(end, entry.first + entry.run.count);
      if (entry.run.count > 1) entry.settled ??= new Uint8Array(entry.run.count);
      assert(entry.live >= until - at, `sequence ${at} of ${this.name} is settled twice`);
      entry.live -= until - at;
      for (; at < until; at++) {
        if (entry.settled === null) continue;
        assert(entry.settled[at - entry.first] === 0, `sequence ${at} of ${this.name} is settled twice`);
        entry.settled[at - entry.first] = 1;
      }
    }
    this.count -= count;
    if (sequence === this.firstSequence) this.advance();
  }

  fetch(from: number, countMax: number, bytesMax: number, sink: FetchSink): void {
    let next = Math.max(from, this.firstSequence);
    let given = 0;
    let bytes = 0;
    while (next < this.nextSequence && given < countMax && (bytes < bytesMax || given === 0)) {
      const index = this.find(next);
      const entry = this.entries[index]!;
      const end = entry.first + entry.run.count;
      if (entry.live === 0) {
        next = end;
        continue;
      }
      while (next < end && next >= this.firstSequence && given < countMax && (bytes < bytesMax || given === 0)) {
        const at = next - entry.first;
        const { run, settled } = entry;
        if (entry.live === 0 || settled?.[at] === 1) {
          next++;
          continue;
        }
        let count = 0;
        do {
          bytes += run.frameEnd(at + count) - run.frameStart(at + count);
          count++;
        } while (next + count < end && given + count < countMax && bytes < bytesMax && settled?.[at + count] !== 1);
        given += count;
        next += count;
        sink.onFetched(next - count, run, at, count, entry.options);
      }
      // The sink may have settled what it was given, or emptied the queue.
      if (next < this.firstSequence) next = this.firstSequence;
    }
    sink.onFetchEnd(next);
  }

  purge(): void {
    this.entries = [];
    this.head = 0;
    this.count = 0;
    this.firstSequence = this.nextSequence;
  }

  delete(): void {
    if (this.deleted) return;
    this.purge();
    this.deleted = true;
    this.forget(this);
  }

  /** Index of the entry that holds `sequence`, which is at least firstSequence and below nextSequence. */
  private find(sequence: number): number {
    let low = this.head;
    let high = this.entries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.entries[middle]!.first <= sequence) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Moves firstSequence to the lowest message that is left and lets go of what lies before it. */
  private advance(): void {
    if (this.count === 0) {
      this.purge();
      return;
    }
    while (this.entries[this.head]!.live === 0) this.head++;
    const entry = this.entries[this.head]!;
    let at = 0;
    if (entry.settled !== null) while (entry.settled[at] === 1) at++;
    this.firstSequence = entry.first + at;
    if (this.head >= HEAD_MAX && this.head * 2 >= this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
  }
}
