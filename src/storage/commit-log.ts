// What the core needs from an engine to keep messages. One log holds the messages of all queues: one record carries a run and the queues it went to.
// Everything appended in a turn, messages and keyed state alike (state-store.ts), is one atomic unit: after a crash all of it is there or none of it.
//
// Positions grow; nobody outside the engine does arithmetic with them, only compares them. Sequence numbers count the messages of one queue: the first is 1,
// each message of a run appended to a queue gets the next one. They survive restarts.
import type { DeliveryOptions } from '../core/delivery.ts';
import type { Run } from '../core/run.ts';

/** The point at which a confirm may leave. */
export const Durability = {
  /** Kept in memory only. */
  Memory: 0,
  /** Handed to the operating system. */
  Written: 1,
  /** On the disk. */
  Fsync: 2,
} as const;
export type Durability = (typeof Durability)[keyof typeof Durability];

/**
 * The queues a run goes to, as the core's plan has them. Built once per plan and handed to append() again and again; the engine keeps what it interned
 * about it in `interned`.
 */
export class LogTargets {
  readonly queues: readonly QueueLog[];
  /** options[i] belongs to queues[i]. */
  readonly options: readonly DeliveryOptions[];
  /** The engine's own; null at first. */
  interned: object | null = null;

  constructor(queues: readonly QueueLog[], options: readonly DeliveryOptions[]) {
    this.queues = queues;
    this.options = options;
  }
}

/** Takes what QueueLog.fetch reads. */
export interface FetchSink {
  /** Stored messages: those of `run` (owned) from `index` on, `count` of them, are the ones from `sequence` on. In order of sequence. */
  onFetched(sequence: number, run: Run, index: number, count: number, options: DeliveryOptions): void;
  /** The fetch is complete; everything below `next` that is still stored has been given. */
  onFetchEnd(next: number): void;
}

/** The log's side of one queue. */
export interface QueueLog {
  readonly name: string;
  readonly durability: Durability;
  /** What the next appended message will get. */
  readonly nextSequence: number;
  /** Stored and not settled. */
  readonly count: number;
  /** The lowest sequence that is stored and not settled; nextSequence when there is none. */
  readonly firstSequence: number;
  /** These are done and may be forgotten. Each sequence is settled at most once. Durable with the turn's unit, but nobody waits for it. */
  settle(sequence: number, count: number): void;
  /**
   * Gives up to countMax (and about bytesMax, but at least one) stored messages from sequence `from` on to the sink, within the call when they are in memory,
   * otherwise in a later turn. It may end with fewer, where the rest has to be read first. One fetch per queue at a time.
   */
  fetch(from: number, countMax: number, bytesMax: number, sink: FetchSink): void;
  /** Settles everything stored. */
  purge(): void;
  /** Forgets the queue and all it holds. */
  delete(): void;
}

export interface CommitLog {
  /** Position of what was appended last. */
  readonly position: number;
  /** Everything up to here is as durable as its queues ask for. */
  readonly durablePosition: number;
  /** Bytes appended and not yet durable; the broker slows publishers down by it. */
  readonly pendingBytes: number;
  /** A queue's part of the log; made when it does not exist. `name` is unique (it contains the vhost). */
  openQueue(name: string, durability: Durability): QueueLog;
  /** Names of all queues that hold something or were opened and not deleted; after recovery. */
  queueNames(): Iterable<string>;
  /** Appends all messages of a run (borrowed or owned; the engine copies) to all target queues. Returns the position to wait for. */
  append(run: Run, targets: LogTargets): number;
}
