// Everything the engine holds in memory, all of it rebuilt from checkpoint and log: queues and their index, queue sets, keyed state, segments. Recovery fills it, the
// storage works on it, checkpoints write it down.
import { assert } from '../../lib/assert.ts';
import { Durability } from '../commit-log.ts';
import type { Faults } from './faults.ts';
import type { Fetches } from './fetch.ts';
import { Index } from './index.ts';
import type { Log } from './log.ts';
import { EmbeddedQueue, type QueueHost } from './queue.ts';
import { QueueSets } from './queue-sets.ts';
import { padded, RecordKind, TEXT_HEADER_BYTES } from './record.ts';
import { isDue } from './repeats.ts';
import { Segments } from './segments.ts';
import { Settled } from './settled.ts';
import { EmbeddedState } from './state.ts';

export class Contents implements QueueHost {
  readonly index = new Index();
  readonly segments: Segments;
  readonly sets = new QueueSets();
  readonly settled: Settled;
  readonly state: EmbeddedState;
  readonly queuesById = new Map<number, EmbeddedQueue>();
  readonly queuesByName = new Map<string, EmbeddedQueue>();
  nextQueueId = 1;
  private openLog: Log | null = null;
  private openFetches: Fetches | null = null;

  constructor(stride: number, faults: Faults) {
    this.segments = new Segments(stride);
    const log = (): Log => this.log;
    this.settled = new Settled(log, faults.settleAhead);
    this.state = new EmbeddedState(log);
  }

  get log(): Log {
    assert(this.openLog !== null, 'the storage is not open');
    return this.openLog;
  }

  get fetches(): Fetches {
    assert(this.openFetches !== null, 'the storage is not open');
    return this.openFetches;
  }

  serve(log: Log, fetches: Fetches): void {
    this.openLog = log;
    this.openFetches = fetches;
  }

  get messageCount(): number {
    let count = 0;
    for (const queue of this.queuesById.values()) count += queue.count;
    return count;
  }

  /** Puts a queue in place without writing it. */
  restoreQueue(id: number, name: string, durability: Durability): EmbeddedQueue {
    const queue = new EmbeddedQueue(this.index, this, id, name, durability);
    this.queuesById.set(id, queue);
    this.queuesByName.set(name, queue);
    if (id >= this.nextQueueId) this.nextQueueId = id + 1;
    return queue;
  }

  makeQueue(name: string, durability: Durability): EmbeddedQueue {
    const queue = this.restoreQueue(this.nextQueueId, name, durability);
    this.writeQueue(queue);
    return queue;
  }

  /** Writes the definition of a queue as part of a set's, unless it stands there anyway, for another set. */
  readonly repeatQueue = (queue: EmbeddedQueue): void => {
    const { log } = this;
    if (queue.definedIn !== log.segment.number || isDue(log, queue.definitions, queue.definedAt))
      this.writeQueue(queue);
  };

  writeQueue(queue: EmbeddedQueue): void {
    const name = Buffer.from(queue.name);
    const { log } = this;
    const size = padded(TEXT_HEADER_BYTES + name.length);
    const at = log.reserve(size);
    const word = at >>> 2;
    log.words[word] = RecordKind.QueueDef;
    log.words[word + 1] = size;
    log.words[word + 2] = queue.id;
    log.words[word + 3] = queue.durability;
    log.words[word + 4] = name.length;
    log.bytes.set(name, at + TEXT_HEADER_BYTES);
    if (queue.durability === Durability.Fsync || queue.definedIn < 0) log.requireSync();
    queue.definitions = queue.definedIn === log.segment.number ? queue.definitions + 1 : 1;
    queue.definedIn = log.segment.number;
    queue.definedAt = at + log.shift;
  }

  deleteQueue(queue: EmbeddedQueue): void {
    this.forgetQueue(queue);
    const at = this.log.reserve(16) >>> 2;
    const { words } = this.log;
    words[at] = RecordKind.QueueEnd;
    words[at + 1] = 16;
    words[at + 2] = queue.id;
    words[at + 3] = 0;
    this.log.requireSync();
  }

  forgetQueue(queue: EmbeddedQueue): void {
    queue.deleted = true;
    this.queuesById.delete(queue.id);
    if (this.queuesByName.get(queue.name) === queue) this.queuesByName.delete(queue.name);
  }
}
