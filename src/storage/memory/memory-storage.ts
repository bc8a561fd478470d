// The engine that keeps everything in memory and promises no survival: for tests, for brokers that carry nothing worth keeping, and as the plainest form of the
// contract. Durable means here: the unit has ended. Relies on nothing but the process; never touches a disk.
import type { Codec, Run } from '../../core/run.ts';
import { assert } from '../../lib/assert.ts';
import type { CommitLog, Durability, LogTargets, QueueLog } from '../commit-log.ts';
import type { StateStore } from '../state-store.ts';
import type { RecoveryReport, Storage, StorageListener } from '../storage.ts';
import { MemoryQueue } from './memory-queue.ts';

class MemoryLog implements CommitLog {
  position = 0;
  durablePosition = 0;
  pendingBytes = 0;
  private readonly queues = new Map<string, MemoryQueue>();
  private readonly forget = (queue: MemoryQueue): void => {
    this.queues.delete(queue.name);
  };

  openQueue(name: string, durability: Durability): QueueLog {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = new MemoryQueue(name, durability, this.forget);
      this.queues.set(name, queue);
    }
    queue.durability = durability;
    return queue;
  }

  queueNames(): Iterable<string> {
    return this.queues.keys();
  }

  append(run: Run, targets: LogTargets): number {
    const owned = run.own();
    for (let i = 0; i < targets.queues.length; i++) (targets.queues[i] as MemoryQueue).push(owned, targets.options[i]!);
    this.pendingBytes += run.byteLength;
    return ++this.position;
  }

  /** Returns whether there was anything to end. */
  endUnit(): boolean {
    if (this.durablePosition === this.position) return false;
    this.durablePosition = this.position;
    this.pendingBytes = 0;
    return true;
  }
}

class MemoryState implements StateStore {
  readonly spaces = new Map<string, Map<string, Uint8Array>>();
  private readonly lent = new Map<string, () => Iterable<readonly [key: string, value: Uint8Array]>>();
  private readonly log: MemoryLog;

  constructor(log: MemoryLog) {
    this.log = log;
  }

  put(space: string, key: string, value: Uint8Array): number {
    if (this.lent.has(space)) return ++this.log.position;
    let entries = this.spaces.get(space);
    if (entries === undefined) {
      entries = new Map();
      this.spaces.set(space, entries);
    }
    entries.set(key, value.slice());
    return ++this.log.position;
  }

  remove(space: string, key: string): number {
    this.spaces.get(space)?.delete(key);
    return ++this.log.position;
  }

  load(space: string): Iterable<readonly [key: string, value: Uint8Array]> {
    return this.lent.get(space)?.() ?? this.spaces.get(space) ?? [];
  }

  lend(space: string, entries: () => Iterable<readonly [key: string, value: Uint8Array]>): void {
    this.lent.set(space, entries);
    this.spaces.delete(space);
  }
}

export class MemoryStorage implements Storage {
  readonly log: CommitLog;
  readonly state: StateStore;
  readonly full = false;
  private readonly memoryLog: MemoryLog;
  private listener: StorageListener | null = null;

  constructor() {
    this.memoryLog = new MemoryLog();
    this.log = this.memoryLog;
    this.state = new MemoryState(this.memoryLog);
  }

  async open(_codecs: ReadonlyMap<number, Codec>, listener: StorageListener): Promise<RecoveryReport> {
    assert(this.listener === null, 'the storage is open already');
    this.listener = listener;
    return { messages: 0, queues: 0, stateEntries: 0, tornTailBytes: 0, damagedFrames: 0, durationMs: 0 };
  }

  endUnit(): void {
    if (this.memoryLog.endUnit()) this.listener?.onDurable(this.memoryLog.durablePosition);
  }

  async close(): Promise<void> {
    this.endUnit();
    this.listener = null;
  }
}
