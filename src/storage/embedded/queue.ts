// One queue of the embedded engine: its place in the index and its fetches. Appending is the storage's business (one record for all queues of a set); reading goes
// through Reader; settling goes to Settled, which writes it down with the unit.
import { assert } from '../../lib/assert.ts';
import type { Durability, FetchSink, QueueLog } from '../commit-log.ts';
import type { Fetches } from './fetch.ts';
import type { Index } from './index.ts';
import { IndexList } from './index-list.ts';
import type { Segments } from './segments.ts';
import type { Settled } from './settled.ts';

/** What a queue needs of the storage it belongs to. */
export interface QueueHost {
  readonly segments: Segments;
  readonly settled: Settled;
  readonly fetches: Fetches;
  deleteQueue(queue: EmbeddedQueue): void;
}

export class EmbeddedQueue extends IndexList implements QueueLog {
  readonly name: string;
  readonly id: number;
  durability: Durability;
  deleted = false;
  /** Where its definition was written last, and how often in that segment. */
  definedIn = -1;
  definedAt = 0;
  definitions = 0;
  /** The batch of Settled this queue's latest range is in, and the range. */
  settledBatch = 0;
  settledRange = 0;
  private readonly host: QueueHost;

  constructor(index: Index, host: QueueHost, id: number, name: string, durability: Durability) {
    super(index);
    this.host = host;
    this.id = id;
    this.name = name;
    this.durability = durability;
  }

  settle(sequence: number, count: number): void {
    const { host } = this;
    const first = this.position(sequence);
    const last = count === 1 ? first : this.position(sequence + count - 1);
    const killed = this.kill(sequence, count, host.segments);
    assert(
      killed === count,
      `of ${count} messages from sequence ${sequence} of ${this.name} only ${killed} were left to settle`,
    );
    host.settled.add(this, sequence, count, first, last);
  }

  fetch(from: number, countMax: number, bytesMax: number, sink: FetchSink): void {
    this.host.fetches.start(this, from, countMax, bytesMax, sink);
  }

  purge(): void {
    if (this.count === 0) return;
    const { firstSequence, nextSequence } = this;
    const first = this.position(firstSequence);
    // The last one may have been settled: then the end of the log stands for it.
    const last = this.position(nextSequence - 1);
    this.kill(firstSequence, nextSequence - firstSequence, this.host.segments);
    this.host.settled.add(this, firstSequence, nextSequence - firstSequence, first, last);
  }

  delete(): void {
    if (this.deleted) return;
    this.kill(this.firstSequence, this.nextSequence - this.firstSequence, this.host.segments);
    this.deleted = true;
    this.host.deleteQueue(this);
  }
}
