// Who takes messages from a queue: a protocol session, or the embedding process.
import type { DeliveryOptions } from './delivery.ts';
import type { Queue } from './queue.ts';
import type { Run } from './run.ts';

/** How many more deliveries its holder will take. Consumers of one connection may share one. */
export class Credit {
  available: number;

  constructor(available: number) {
    this.available = available;
  }
}

export interface Consumer {
  readonly credit: Credit;
  /** Takes the messages as its own at once (ack: auto); the queue settles them as accepted after deliver() returned. */
  readonly autoSettle: boolean;
  /**
   * Takes messages [index, index + count) of `run`, with the tags firstTag, firstTag + 1, …; count is at most credit.available, which the queue has already
   * reduced by count. redelivered counts earlier deliveries of these messages (0 for the first). The run is owned; keep it as long as you like.
   * Must not call back into the queue (settle, detach) from inside.
   */
  deliver(
    queue: Queue,
    run: Run,
    index: number,
    count: number,
    firstTag: number,
    deliveryCount: number,
    options: DeliveryOptions,
  ): void;
  /** The queue is gone (deleted, expired). Its unsettled deliveries are void. */
  onCancelled(queue: Queue): void;
}

/** The consumer's answer. */
export const Outcome = {
  /** Done: the message leaves the queue. */
  Accepted: 0,
  /** Back to its place in the queue, for anybody. */
  Requeued: 1,
  /** Refused: dead-lettered where configured, otherwise dropped and counted. */
  Rejected: 2,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];
