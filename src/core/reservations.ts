// Messages that were with somebody when the process before this one ended, and are that somebody's: when they are read back from the log, they go to their heir and to no consumer.
// By their number in the log. Relies on the queue to read its log in order; holds nothing once everything reserved has been seen.
import type { Queue } from './queue.ts';

/** Whose message it is. Must not call back into the queue but to settle it. */
export interface Heir {
  /** Read back: unsettled under this tag, as after a delivery. */
  onFound(queue: Queue, tag: number): void;
  /** It is not in the log any more. */
  onMissing(queue: Queue): void;
}

export class Reservations {
  private readonly heirs = new Map<number, Heir>();

  get empty(): boolean {
    return this.heirs.size === 0;
  }

  add(sequence: number, heir: Heir): void {
    this.heirs.set(sequence, heir);
  }

  /** Returns the heir and forgets the reservation; null when there is none. */
  take(sequence: number): Heir | null {
    const heir = this.heirs.get(sequence);
    if (heir === undefined) return null;
    this.heirs.delete(sequence);
    return heir;
  }

  /** Everything before `sequence` has been read, or is gone: what was reserved there is missing. */
  passed(sequence: number, queue: Queue): void {
    for (const [reserved, heir] of this.heirs) {
      if (reserved >= sequence) continue;
      this.heirs.delete(reserved);
      heir.onMissing(queue);
    }
  }
}
