// Messages of named queues that a client asked to come back later (x-retry-after): they stay unsettled in their queue, with nobody, until it is time. Nothing is lost with the process: what is
// unsettled in a durable queue is delivered again after a restart, at once.
import { Outcome } from '../../src/core/consumer.ts';
import { ExpiryIndex } from '../../src/core/expiry.ts';
import type { Queue } from '../../src/core/queue.ts';

/** A week: longer is not a retry any more. */
export const RETRY_AFTER_MS_MAX = 7 * 24 * 3600 * 1000;

export class Retries {
  private readonly index = new ExpiryIndex();
  private readonly waiting = new Map<number, { readonly queue: Queue; readonly tag: number }>();
  private nextId = 1;

  get count(): number {
    return this.waiting.size;
  }

  /** The delivery goes back to its queue at dueMs. */
  add(queue: Queue, tag: number, dueMs: number): void {
    if (!queue.keep(tag)) return;
    const id = this.nextId++;
    this.waiting.set(id, { queue, tag });
    this.index.add(dueMs, id);
  }

  tick(nowMs: number): void {
    if (this.waiting.size === 0) return;
    this.index.popExpired(nowMs, (id) => {
      const { queue, tag } = this.waiting.get(id)!;
      this.waiting.delete(id);
      if (!queue.deleted) queue.settle(tag, Outcome.Requeued);
    });
  }
}
