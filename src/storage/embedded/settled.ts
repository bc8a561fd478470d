// What consumers have settled since the last unit ended, as ranges per queue, and the Settle records it becomes at the end of the unit. Ten thousand settlements of
// one queue in order are one range of 24 bytes.
import type { Log } from './log.ts';
import type { EmbeddedQueue } from './queue.ts';
import { padded, placeOf, RECORD_HEADER_BYTES, RecordKind, SETTLE_RANGE_BYTES } from './record.ts';

const RANGE_WORDS = SETTLE_RANGE_BYTES / 4;
/** Ranges in one record. */
const RANGES_MAX = 4096;

export class Settled {
  private ranges = new Uint32Array(64 * RANGE_WORDS);
  private rangeCount = 0;
  private batch = 1;
  private readonly log: () => Log;
  private syncNeeded = false;
  private readonly ahead: boolean;

  /** ahead: a seeded bug, see Faults.settleAhead. */
  constructor(log: () => Log, ahead: boolean) {
    this.log = log;
    this.ahead = ahead;
  }

  get empty(): boolean {
    return this.rangeCount === 0;
  }

  /** `first` and `last` are the positions of the first and the last message. */
  add(queue: EmbeddedQueue, sequence: number, count: number, first: number, last: number): void {
    const { ranges } = this;
    if (queue.settledBatch === this.batch) {
      const at = queue.settledRange * RANGE_WORDS;
      const length = ranges[at + 1]!;
      if (ranges[at + 2]! + ranges[at + 3]! * WORD + length === sequence) {
        ranges[at + 1] = length + count;
        ranges[at + 5] = placeOf(last);
        return;
      }
    }
    if ((this.rangeCount + 1) * RANGE_WORDS > ranges.length) this.grow();
    const at = this.rangeCount * RANGE_WORDS;
    const to = this.ranges;
    to[at] = queue.id;
    to[at + 1] = count;
    to[at + 2] = sequence % WORD;
    to[at + 3] = Math.floor(sequence / WORD);
    to[at + 4] = placeOf(first);
    to[at + 5] = placeOf(last);
    queue.settledBatch = this.batch;
    queue.settledRange = this.rangeCount++;
    if (queue.durability > 1) this.syncNeeded = true;
    if (this.ahead) {
      this.write();
      this.log().endUnit();
    }
  }

  /** Appends the records. Called before the unit ends. */
  write(): void {
    const log = this.log();
    const max = Math.max(
      1,
      Math.min(RANGES_MAX, Math.floor((log.recordBytesMax - RECORD_HEADER_BYTES) / SETTLE_RANGE_BYTES) - 1),
    );
    for (let from = 0; from < this.rangeCount; from += max) {
      const count = Math.min(max, this.rangeCount - from);
      const size = padded(RECORD_HEADER_BYTES + count * SETTLE_RANGE_BYTES);
      const at = log.reserve(size) >>> 2;
      log.words[at] = RecordKind.Settle;
      log.words[at + 1] = size;
      log.words.set(this.ranges.subarray(from * RANGE_WORDS, (from + count) * RANGE_WORDS), at + 2);
      if (this.syncNeeded) log.requireSync();
    }
    this.rangeCount = 0;
    this.batch++;
    this.syncNeeded = false;
    if (this.ranges.length > RANGES_KEPT * RANGE_WORDS) this.ranges = new Uint32Array(64 * RANGE_WORDS);
  }

  private grow(): void {
    const ranges = new Uint32Array(this.ranges.length * 2);
    ranges.set(this.ranges);
    this.ranges = ranges;
  }
}

/** A batch that grew beyond this gives its memory back. */
const RANGES_KEPT = 65_536;
const WORD = 4_294_967_296;
