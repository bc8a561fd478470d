// What of a queue consumers with one selector have looked at: everything before `places` has been asked about once, so that no message is asked about twice by the same selector unless it
// came back. Relies on the rings for what is ready.
import { EntryState, type MessageRing } from './message-ring.ts';
import type { Selector } from './selector/selector.ts';

/** Entries looked at in one go: some milliseconds. The rest is looked at with the next message, settlement or tick. */
export const SCANNED_MAX = 16_384;

export class Lane {
  readonly selector: Selector;
  users = 0;
  /** It stopped at its bound, with more to look at. */
  behind = false;
  /** By level: the first entry that was not looked at. */
  private readonly places: number[];
  /** By level: entries before that which came back since, in order. */
  private readonly returned: number[][];

  constructor(selector: Selector, levels: number) {
    this.selector = selector;
    this.places = new Array<number>(levels).fill(0);
    this.returned = Array.from({ length: levels }, () => []);
  }

  /** The first ready entry that is selected, or -1. */
  next(ring: MessageRing, level: number): number {
    const back = this.returned[level]!;
    while (back.length > 0) {
      const tag = back[0]!;
      if (ring.stateOf(tag) === EntryState.Ready && this.selects(ring, tag)) return tag;
      back.shift();
    }
    let at = ring.firstFrom(this.places[level]!);
    const end = Math.min(ring.tail, at + SCANNED_MAX);
    let found = -1;
    for (; at < end && found < 0; at++) {
      const state = ring.stateOf(at);
      // What is held stops whatever comes after it.
      if (state === EntryState.Held) break;
      if (state === EntryState.Ready && this.selects(ring, at)) found = at;
    }
    this.places[level] = at;
    if (found < 0 && at === end && at < ring.tail) this.behind = true;
    return found;
  }

  onReturned(tag: number, level: number): void {
    if (tag >= this.places[level]!) return;
    const back = this.returned[level]!;
    let at = back.length;
    while (at > 0 && back[at - 1]! > tag) at--;
    if (back[at - 1] !== tag) back.splice(at, 0, tag);
  }

  private selects(ring: MessageRing, tag: number): boolean {
    return this.selector.matches(ring.runOf(tag).message(ring.indexOf(tag)));
  }
}
