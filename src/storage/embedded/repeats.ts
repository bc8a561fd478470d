// When the definitions of queue sets are written again. A definition stands in several places of the log, each further behind the one before, whether or not the set is used
// there: what is damaged in one place must not take messages with it that stand whole in others. A set that is used in a later segment is defined anew there, and so is a definition
// for the earlier one, too.
//
//   log   D─D────D─────────────────D──────────────────────────────────────────────────D──…     8 KB, 64 KB, 512 KB, 4 MB, 32 MB behind the place before
import type { Log } from './log.ts';
import type { QueueSet } from './queue-sets.ts';
import { BLOCK_BYTES } from './segment.ts';

const DISTANCES = [2 * BLOCK_BYTES, 64 * 1024, 512 * 1024, 4 * 1024 * 1024, 32 * 1024 * 1024];
/** The next place of a large definition is at least so many of its sizes away: repetitions are to take a small part of the log. */
const SIZES_BETWEEN = 8;
/** Of a list, emptied places at the front are cut off from here on, when they are the larger half. */
const EMPTIED_MAX = 1024;

interface Entry {
  readonly set: QueueSet;
  /** Of the definition to be repeated. */
  readonly position: number;
}

/** Definitions that wait for the same distance, oldest first. */
class Line {
  private entries: (Entry | null)[] = [];
  private head = 0;

  add(entry: Entry): void {
    this.entries.push(entry);
  }

  first(): Entry | null {
    return this.entries[this.head] ?? null;
  }

  shift(): void {
    this.entries[this.head++] = null;
    if (this.head < this.entries.length && this.head < EMPTIED_MAX) return;
    if (this.head < this.entries.length && this.head * 2 < this.entries.length) return;
    this.entries.splice(0, this.head);
    this.head = 0;
  }
}

/** Whether a definition that was written at `position`, in the place of that number, is to be written in its next place now. */
export function isDue(log: Log, place: number, position: number): boolean {
  // A frame is whole or not: to have a definition twice in one is of no use.
  return place <= DISTANCES.length && log.end - position >= DISTANCES[place - 1]! && position < log.frameStart;
}

export class Repeats {
  private readonly lines = DISTANCES.map(() => new Line());

  /** A set has just been defined at set.definedAt, in `bytes`, and is to be defined again. */
  add(set: QueueSet, bytes: number): void {
    let line = set.definitions - 1;
    while (line < DISTANCES.length && DISTANCES[line]! < SIZES_BETWEEN * bytes) line++;
    // The places between are passed over for good.
    set.definitions = line + 1;
    this.lines[line]?.add({ set, position: set.definedAt });
  }

  /** A set that is to be defined again now; it is then no longer waiting. Null when there is none. */
  take(log: Log): QueueSet | null {
    for (let i = 0; i < DISTANCES.length; i++) {
      const line = this.lines[i]!;
      for (let entry = line.first(); entry !== null; entry = line.first()) {
        const { set, position } = entry;
        const over = set.dropped || set.definedAt !== position;
        if (!over && !isDue(log, i + 1, position)) break;
        line.shift();
        if (!over) return set;
      }
    }
    return null;
  }
}
