// Sets of queues under a number of 4 bytes: a message to a thousand queues carries one number, not a thousand. A set is defined in the log before its first use, again in
// every segment that uses it, a few times further on (repeats.ts), and in every checkpoint; it is forgotten when no segment is left that could refer to it. What a checkpoint had stays as it
// stood there until somebody asks for it.
import { type DeliveryOptions, deliveryOptions } from '../../core/delivery.ts';
import { assert } from '../../lib/assert.ts';
import { Durability, type LogTargets } from '../commit-log.ts';
import { MemoryQueue } from '../memory/memory-queue.ts';
import { ENTRY_HEADER_BYTES } from './checkpoint-format.ts';
import type { Log } from './log.ts';
import { EmbeddedQueue } from './queue.ts';
import { padded, RecordKind, TEXT_HEADER_BYTES } from './record.ts';
import { Repeats } from './repeats.ts';

/** In the place of a queue that is no more; ids begin with 1. */
export const NO_QUEUE = 0;

export class QueueSet {
  readonly id: number;
  readonly queueIds: Uint32Array;
  /** Those of them that existed when it was made or restored. */
  readonly queues: readonly EmbeddedQueue[];
  /** One for all queues, or one each. */
  readonly options: readonly DeliveryOptions[];
  readonly sync: boolean;
  /** Segment and position it was defined at last, and which of the places of its definitions in that segment this was, from 1. */
  definedIn = -1;
  definedAt = 0;
  definitions = 0;
  lastUsed = 0;
  dropped = false;
  private text: Uint8Array | null = null;
  private optionsByQueue: Map<number, DeliveryOptions> | null = null;

  constructor(
    id: number,
    queueIds: Uint32Array,
    queues: readonly EmbeddedQueue[],
    options: readonly DeliveryOptions[],
  ) {
    this.id = id;
    this.queueIds = queueIds;
    this.queues = queues;
    this.options = options;
    this.sync = queues.some((queue) => queue.durability === Durability.Fsync);
  }

  optionsOf(queueId: number): DeliveryOptions {
    if (this.options.length === 1) return this.options[0]!;
    if (this.optionsByQueue === null) {
      this.optionsByQueue = new Map();
      for (let i = 0; i < this.queueIds.length; i++) this.optionsByQueue.set(this.queueIds[i]!, this.options[i]!);
    }
    return this.optionsByQueue.get(queueId) ?? this.options[0]!;
  }

  /** The ids as a definition has them: who reads it looks for the queue of each, and tells one that was deleted from one that was lost. */
  liveIds(): Uint32Array {
    const { queueIds, queues } = this;
    if (queues.length === queueIds.length && !queues.some((queue) => queue.deleted)) return queueIds;
    const live = new Set(queues.filter((queue) => !queue.deleted).map((queue) => queue.id));
    return queueIds.map((id) => (live.has(id) ? id : NO_QUEUE));
  }

  /** The delivery options as text, as a definition carries them. */
  optionsText(): Uint8Array {
    this.text ??= Buffer.from(
      JSON.stringify(
        this.options.map(({ guarantee, retainAsPublished, subscriptionIdentifiers }) => [
          guarantee,
          retainAsPublished,
          subscriptionIdentifiers,
        ]),
      ),
    );
    return this.text;
  }
}

/** What LogTargets.interned holds: the logged part of the targets, and the part that lives in memory. */
export class InternedTargets {
  set: QueueSet | null;
  readonly memory: readonly MemoryQueue[];
  readonly memoryOptions: readonly DeliveryOptions[];

  constructor(set: QueueSet | null, memory: readonly MemoryQueue[], memoryOptions: readonly DeliveryOptions[]) {
    this.set = set;
    this.memory = memory;
    this.memoryOptions = memoryOptions;
  }
}

/** Sets woken at a time: some tenths of a millisecond. */
const WOKEN_TOGETHER = 64;

/** Where the entry of a set is that nobody has asked for. */
interface SleepingSet {
  readonly entries: Uint8Array;
  readonly at: number;
}

export class QueueSets {
  private readonly byId = new Map<number, QueueSet>();
  /** Sets that are still as they stood in the checkpoint. */
  private readonly asleep = new Map<number, SleepingSet>();
  private readonly byHash = new Map<number, QueueSet[]>();
  private readonly repeats = new Repeats();
  /** Those that byHash does not have yet: it is not needed before somebody publishes. */
  private restored: QueueSet[] = [];
  nextId = 1;
  private queueOf: (id: number) => EmbeddedQueue | undefined = () => undefined;
  private restoredText: Uint8Array = Buffer.alloc(0);
  private restoredOptions: readonly DeliveryOptions[] = [];

  /** The interned form of targets; kept by them. */
  intern(targets: LogTargets): InternedTargets {
    const queues: EmbeddedQueue[] = [];
    const options: DeliveryOptions[] = [];
    const memory: MemoryQueue[] = [];
    const memoryOptions: DeliveryOptions[] = [];
    for (let i = 0; i < targets.queues.length; i++) {
      const queue = targets.queues[i]!;
      if (queue instanceof EmbeddedQueue) {
        assert(!queue.deleted, `queue ${queue.name} is deleted and takes nothing`);
        queues.push(queue);
        options.push(targets.options[i]!);
      } else {
        assert(queue instanceof MemoryQueue, `queue ${queue.name} belongs to another engine`);
        memory.push(queue);
        memoryOptions.push(targets.options[i]!);
      }
    }
    const interned = new InternedTargets(
      queues.length === 0 ? null : this.find(queues, options),
      memory,
      memoryOptions,
    );
    targets.interned = interned;
    return interned;
  }

  get(id: number): QueueSet | undefined {
    return this.byId.get(id) ?? this.wake(id);
  }

  /** For a checkpoint: sets may come and go between two of them. */
  *all(): Iterable<QueueSet> {
    this.wakeAll();
    yield* this.byId.values();
  }

  /** Sets whose entries stand one after the other in a checkpoint. Keeps the bytes; the queues are asked for when somebody wants the set. */
  restoreAsleep(entries: Uint8Array, queueOf: (id: number) => EmbeddedQueue | undefined): void {
    this.queueOf = queueOf;
    const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
    for (let at = 0; at < entries.length; at += view.getUint32(at + 4, true)) {
      const id = view.getUint32(at + ENTRY_HEADER_BYTES, true);
      this.asleep.set(id, { entries, at: at + ENTRY_HEADER_BYTES });
      if (id >= this.nextId) this.nextId = id + 1;
    }
  }

  /** Wakes some that sleep; false when none does any more. */
  wakeNext(): boolean {
    let left = WOKEN_TOGETHER;
    for (const id of this.asleep.keys()) {
      if (left-- === 0) return true;
      this.wake(id);
    }
    return false;
  }

  private wakeAll(): void {
    for (const id of this.asleep.keys()) this.wake(id);
  }

  private wake(id: number): QueueSet | undefined {
    const sleeping = this.asleep.get(id);
    if (sleeping === undefined) return undefined;
    this.asleep.delete(id);
    const { entries, at } = sleeping;
    const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
    const ids = new Uint32Array(view.getUint32(at + 4, true));
    for (let i = 0; i < ids.length; i++) ids[i] = view.getUint32(at + 24 + 4 * i, true);
    const text = at + 24 + 4 * ids.length;
    const set = this.restore(id, ids, entries.subarray(text, text + view.getUint32(at + 16, true)), this.queueOf);
    set.lastUsed = view.getFloat64(at + 8, true);
    return set;
  }

  /** A set that recovery has read; replaces nothing that is known under the id. Keeps queueIds, not optionsText. */
  restore(
    id: number,
    queueIds: Uint32Array,
    optionsText: Uint8Array,
    queueOf: (id: number) => EmbeddedQueue | undefined,
  ): QueueSet {
    const known = this.byId.get(id);
    if (known !== undefined) return known;
    if (Buffer.compare(optionsText, this.restoredText) !== 0) {
      // Thousands of sets one after the other have the same.
      const text = Buffer.from(optionsText);
      const list = JSON.parse(text.toString()) as [0 | 1 | 2, boolean, number[] | null][];
      this.restoredText = text;
      this.restoredOptions = list.map(([guarantee, retainAsPublished, identifiers]) =>
        deliveryOptions(guarantee, retainAsPublished, identifiers),
      );
    }
    const options = this.restoredOptions;
    const queues = queuesOf(queueIds, queueOf);
    const set = new QueueSet(id, queueIds, queues, options);
    this.byId.set(id, set);
    // Only a set that still has all its queues can be met again by intern().
    if (queues.length === queueIds.length) this.restored.push(set);
    if (id >= this.nextId) this.nextId = id + 1;
    return set;
  }

  /** Appends the definition, and with it those of its queues. Must be on the disk as soon as the messages are that need it. */
  define(set: QueueSet, log: Log, defineQueue: (queue: EmbeddedQueue) => void): void {
    this.write(set, log, defineQueue);
    if (set.sync) log.requireSync();
  }

  /** Appends once more the definitions that are due; to be called before a unit ends. */
  repeatDue(log: Log, defineQueue: (queue: EmbeddedQueue) => void): void {
    for (let set = this.repeats.take(log); set !== null; set = this.repeats.take(log))
      this.write(set, log, defineQueue);
  }

  private write(set: QueueSet, log: Log, defineQueue: (queue: EmbeddedQueue) => void): void {
    const start = log.end;
    for (const queue of set.queues) if (!queue.deleted) defineQueue(queue);
    const text = set.optionsText();
    const count = set.queueIds.length;
    const size = padded(TEXT_HEADER_BYTES + 4 * count + text.length);
    const at = log.reserve(size);
    const word = at >>> 2;
    log.words[word] = RecordKind.SetDef;
    log.words[word + 1] = size;
    log.words[word + 2] = set.id;
    log.words[word + 3] = count;
    log.words[word + 4] = text.length;
    log.words.set(set.liveIds(), word + 5);
    log.bytes.set(text, at + TEXT_HEADER_BYTES + 4 * count);
    set.definitions = set.definedIn === log.segment.number ? set.definitions + 1 : 1;
    set.definedIn = log.segment.number;
    set.definedAt = at + log.shift;
    this.repeats.add(set, log.end - start);
  }

  /** Forgets the sets that nothing from `position` on refers to. */
  dropBefore(position: number): void {
    for (const [id, { entries, at }] of this.asleep) {
      const lastUsed = new DataView(entries.buffer, entries.byteOffset, entries.length).getFloat64(at + 8, true);
      if (lastUsed < position) this.asleep.delete(id);
    }
    for (const set of this.byId.values()) {
      if (set.lastUsed >= position) continue;
      set.dropped = true;
      this.byId.delete(set.id);
      const hash = hashOf(set.queueIds, set.options);
      const left = (this.byHash.get(hash) ?? []).filter((other) => other !== set);
      if (left.length === 0) this.byHash.delete(hash);
      else this.byHash.set(hash, left);
    }
  }

  private find(queues: readonly EmbeddedQueue[], allOptions: readonly DeliveryOptions[]): QueueSet {
    const queueIds = Uint32Array.from(queues, (queue) => queue.id);
    this.wakeAll();
    for (const set of this.restored) if (!set.dropped) this.remember(set);
    this.restored = [];
    const options = allOptions.every((one) => one === allOptions[0]) ? [allOptions[0]!] : allOptions;
    for (const set of this.byHash.get(hashOf(queueIds, options)) ?? []) {
      if (isSame(set.queueIds, queueIds) && isSame(set.options, options) && isSame(set.queues, queues)) return set;
    }
    const set = new QueueSet(this.nextId++, queueIds, queues, options);
    this.byId.set(set.id, set);
    this.remember(set);
    return set;
  }

  private remember(set: QueueSet): void {
    const hash = hashOf(set.queueIds, set.options);
    const sets = this.byHash.get(hash);
    if (sets === undefined) this.byHash.set(hash, [set]);
    else sets.push(set);
  }
}

/** Those of the queues that there are. */
function queuesOf(ids: Uint32Array, queueOf: (id: number) => EmbeddedQueue | undefined): readonly EmbeddedQueue[] {
  if (ids.length === 1) {
    // By far the most; an array that grows by push() takes room for 17.
    const queue = queueOf(ids[0]!);
    return queue === undefined ? NO_QUEUES : [queue];
  }
  const queues: EmbeddedQueue[] = [];
  for (const id of ids) {
    const queue = queueOf(id);
    if (queue !== undefined) queues.push(queue);
  }
  return queues;
}

const NO_QUEUES: readonly EmbeddedQueue[] = [];

function isSame(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** FNV-1a over the queue ids; options only add whether they are one or many. */
function hashOf(queueIds: Uint32Array, options: readonly DeliveryOptions[]): number {
  let hash = 0x811c9dc5 ^ options.length;
  for (let i = 0; i < queueIds.length; i++) hash = Math.imul(hash ^ queueIds[i]!, 0x01000193);
  return hash >>> 0;
}
