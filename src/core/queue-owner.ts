// What surrounds a queue: who keeps it, and how much of it may lie in memory.
import type { Backlog } from './backlog.ts';
import type { Counters } from './counters.ts';
import type { Queue } from './queue.ts';

/** What a queue with a log keeps of its ready messages in memory; beyond it they wait in the log. */
export interface QueueWindow {
  readonly countMax: number;
  readonly bytesMax: number;
  /** Read back in one go, when there are no more than so many left. */
  readonly batchCount: number;
  readonly batchBytes: number;
}

/** Enough to keep a fast consumer busy while a batch is on its way from the disk. */
export const QUEUE_WINDOW: QueueWindow = {
  countMax: 16_384,
  bytesMax: 4 * 1024 * 1024,
  batchCount: 1024,
  batchBytes: 1024 * 1024,
};
/** What a queue asks of whoever keeps it. */
export interface QueueOwner {
  readonly counters: Counters;
  /** Coarse epoch milliseconds of this turn. */
  readonly nowMs: number;
  /** An auto-delete queue lost its last consumer. */
  onQueueUnused(queue: Queue): void;
  /** A consumer came or went: x-expires counts from here. */
  onQueueUseChanged(queue: Queue): void;
  /** backlog.endUnit() is to be called before the unit of the log ends. */
  onSettling(backlog: Backlog): void;
  /** Something in it may expire, or is still to be looked at: visit this queue in expire() from now on. */
  onQueueExpires(queue: Queue): void;
}
