// A queue of the model: an array of entries, and consumers in a circle. An entry that is with a consumer stays in its place, so that it can come back to it.
import type { Message } from './message.ts';

/** How one receiver wants a message. */
export interface Options {
  readonly qos: number;
  readonly retainAsPublished: boolean;
  readonly identifiers: readonly number[] | null;
}

export interface Entry {
  readonly message: Message;
  readonly options: Options;
  /** Null while it is ready; 'kept' for one whose consumer has left and still owns it. */
  holder: Taker | 'kept' | null;
  /** How often it was delivered. */
  attempts: number;
}

export interface Taker {
  /** How many more it takes. */
  readonly credit: number;
  /** Returns true when that settles it. */
  take(queue: ModelQueue, entry: Entry): boolean;
}

export class ModelQueue {
  /** It is that of a share group. */
  isShared = false;
  entries: Entry[] = [];
  readonly takers: Taker[] = [];
  private turn = 0;
  private readonly now: () => number;
  private readonly onExpired: () => void;
  private pumping = false;

  constructor(now: () => number, onExpired: () => void) {
    this.now = now;
    this.onExpired = onExpired;
  }

  push(message: Message, options: Options): void {
    this.entries.push({ message, options, holder: null, attempts: 0 });
    this.pump();
  }

  attach(taker: Taker): void {
    this.takers.push(taker);
    this.pump();
  }

  /** Leaves; what it holds comes back, unless it is kept. */
  detach(taker: Taker): void {
    const at = this.takers.indexOf(taker);
    if (at < 0) return;
    this.takers.splice(at, 1);
    if (this.turn > at) this.turn--;
    for (const entry of this.entries) if (entry.holder === taker) entry.holder = null;
  }

  remove(entry: Entry): void {
    const at = this.entries.indexOf(entry);
    if (at >= 0) this.entries.splice(at, 1);
  }

  /** Drops what has expired, among the ready ones. */
  expire(): void {
    const nowMs = this.now();
    this.entries = this.entries.filter(({ holder, message: { expiresAtMs } }) => {
      const expired = holder === null && expiresAtMs !== 0 && expiresAtMs <= nowMs;
      if (expired) this.onExpired();
      return !expired;
    });
  }

  pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    this.expire();
    for (;;) {
      const entry = this.entries.find(({ holder }) => holder === null);
      if (entry === undefined) break;
      const taker = this.next();
      if (taker === null) break;
      entry.holder = taker;
      const settled = taker.take(this, entry);
      entry.attempts++;
      if (settled) this.remove(entry);
    }
    this.pumping = false;
  }

  private next(): Taker | null {
    for (let i = 0; i < this.takers.length; i++) {
      if (this.turn >= this.takers.length) this.turn = 0;
      const taker = this.takers[this.turn++]!;
      if (taker.credit > 0) return taker;
    }
    return null;
  }
}
