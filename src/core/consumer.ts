// Who takes messages from a queue: a protocol session, or the embedding process.
import type { DeliveryOptions } from './delivery.ts';
import type { Queue } from './queue.ts';
import type { Run } from './run.ts';

/** How many more deliveries its holder will take. Consumers of one connection may share one. */
export class Credit {
  available: number;
  /** Its holder does not keep up: nothing more for now, however much is available. Who clears it pumps the queues. */
  held = false;

  constructor(available: number) {
    this.available = available;
  }
}

export interface Consumer {
  readonly credit: Credit;
  /**
   * Takes messages [index, index + count) of `run`, with the tags firstTag, firstTag + 1, …; count is at most credit.available, which the queue has already
   * reduced by count. deliveryCount counts earlier deliveries of these messages (0 for the first). The run is owned; keep it as long as you like.
   * Returns true when it takes them as done (ack: auto, at-most-once deliveries): the queue settles them and gives the credit back. Must not call back into the
   * queue (settle, detach) from inside.
   */
  deliver(
    queue: Queue,
    run: Run,
    index: number,
    count: number,
    firstTag: number,
    deliveryCount: number,
    options: DeliveryOptions,
  ): boolean;
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
