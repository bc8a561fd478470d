// The part of a queue that lies in its log only, behind the window: what a full window could not take, and after a restart everything. It is read back in batches, in
// order, when the window has room. Relies on the log to keep the messages; never delivers one, and knows no consumer.
//
//   log   ──────┬──────────────────┬────────────────────────┬──────
//               │ window, settled  │ backlog                │
//   ────────────┴──────────────────┴────────────────────────┴──────
//                                  loadedTo                 log.nextSequence
//
// While there is a backlog, whatever comes goes behind it. What must not be delivered before it is durable is not read back before its release.
import type { FetchSink, QueueLog } from '../storage/commit-log.ts';
import type { DeliveryOptions } from './delivery.ts';
import type { Run } from './run.ts';

export interface BacklogOwner {
  /** The window has room and a use for more. */
  readonly wantsMore: boolean;
  /** The next messages come into the window: those of the run from `index` on, `count` of them. */
  onLoaded(sequence: number, run: Run, index: number, count: number, options: DeliveryOptions): void;
  /** A batch of them is complete. */
  onBatch(): void;
  /** backlog.endUnit() is to be called before the unit ends. */
  onSettling(backlog: Backlog): void;
}

export class Backlog implements FetchSink {
  private readonly log: QueueLog;
  private readonly owner: BacklogOwner;
  private readonly batchCount: number;
  private readonly batchBytes: number;
  /** Messages from this sequence on are not in the window. */
  private loadedTo: number;
  /** What lay in the log when the process began; the sizes of those are not known before they are read. */
  private readonly recoveredTo: number;
  private knownBytes = 0;
  /** Messages of the log that are in the window. */
  private inWindow = 0;
  /** First sequences of what waits for its release, in order. */
  private readonly held: number[] = [];
  /** Purged while others of the log are unsettled: messages below are settled as they are read. */
  private purgedTo = 0;
  private purging = 0;
  /** Settled, and the log has not been told: a range. */
  private settledFrom = 0;
  private settledCount = 0;
  private fetching = false;
  private loading = false;
  /** Of the fetch under way: from here on it gives nothing. */
  private stop = Number.POSITIVE_INFINITY;
  private closed = false;

  /** A batch is at most so many messages and about so many bytes. */
  constructor(log: QueueLog, owner: BacklogOwner, batchCount: number, batchBytes: number) {
    this.log = log;
    this.owner = owner;
    this.batchCount = batchCount;
    this.batchBytes = batchBytes;
    this.loadedTo = log.count > 0 ? log.firstSequence : log.nextSequence;
    this.recoveredTo = log.nextSequence;
  }

  get empty(): boolean {
    return this.loadedTo >= this.log.nextSequence;
  }

  get count(): number {
    return this.empty ? 0 : this.log.count - this.settledCount - this.inWindow - this.purging;
  }

  /** Without what has not been read since the process began. */
  get bytes(): number {
    return this.knownBytes;
  }

  /** The number in the log from which on messages are not in the window; infinite when there is none. */
  get next(): number {
    return this.empty ? Number.POSITIVE_INFINITY : this.loadedTo;
  }

  /** Others come before the message that was appended as `sequence`. */
  isBefore(sequence: number): boolean {
    return this.loadedTo < sequence;
  }

  /** Messages just appended go into the window right away. Nothing may be before them. */
  pass(sequence: number, count: number): void {
    this.loadedTo = sequence + count;
    this.inWindow += count;
  }

  /** A run just appended waits here. */
  add(run: Run, sequence: number, held: boolean): void {
    this.knownBytes += run.byteLength;
    if (held) this.held.push(sequence);
  }

  /** What was added as held up to `sequence` is durable. */
  release(sequence: number): void {
    const { held } = this;
    while (held.length > 0 && held[0]! <= sequence) held.shift();
  }

  /** Messages of the log have left the window for good. Consecutive ones are told to the log as a range, at the latest at the end of the unit. */
  settle(sequence: number, count = 1): void {
    this.inWindow -= count;
    // The log has forgotten a deleted queue; its last deliveries may still be answered.
    if (this.closed) return;
    const isFirst = this.settledCount === 0;
    if (!isFirst) {
      if (sequence === this.settledFrom + this.settledCount) {
        this.settledCount += count;
        return;
      }
      this.endUnit();
    }
    this.settledFrom = sequence;
    this.settledCount = count;
    if (isFirst) this.owner.onSettling(this);
  }

  /** Tells the log what has been settled since it was told last. */
  endUnit(): void {
    const count = this.settledCount;
    this.settledCount = 0;
    if (count > 0) this.log.settle(this.settledFrom, count);
  }

  /** Forgets all of it. Returns how many there were. */
  purge(): number {
    if (this.empty) return 0;
    this.endUnit();
    const { log, count } = this;
    this.held.length = 0;
    this.knownBytes = 0;
    if (this.inWindow === 0) {
      log.purge();
      this.loadedTo = log.nextSequence;
      this.purging = 0;
    } else {
      // Deliveries are unsettled, and the log has no word for "all but those": the rest is read through.
      this.purging += count;
      this.purgedTo = log.nextSequence;
      this.load();
    }
    return count;
  }

  /** The queue is gone. */
  close(): void {
    this.closed = true;
    this.settledCount = 0;
    this.log.delete();
  }

  /** Brings messages into the window, as long as its owner wants more. */
  load(): void {
    if (this.loading || this.fetching) return;
    this.loading = true;
    while (!this.fetching && this.mayLoad()) {
      this.fetching = true;
      this.stop = Number.POSITIVE_INFINITY;
      this.log.fetch(this.loadedTo, this.batchCount, this.batchBytes, this);
      // In memory it ends within the call; otherwise onFetchEnd goes on.
      if (!this.fetching) this.owner.onBatch();
    }
    this.loading = false;
  }

  onFetched(sequence: number, run: Run, index: number, count: number, options: DeliveryOptions): void {
    // A purge may have passed the fetch, and what came since may be in the window already.
    let from = Math.max(sequence, this.loadedTo);
    let end = Math.min(sequence + count, this.stop);
    if (this.closed || from >= end) return;
    if (from < this.purgedTo) {
      const purged = Math.min(end, this.purgedTo) - from;
      this.purging -= purged;
      this.log.settle(from, purged);
      from += purged;
    }
    if (this.held.length > 0 && end > this.held[0]!) {
      end = Math.max(from, this.held[0]!);
      this.stop = end;
    }
    if (from >= end) return;
    const known = Math.max(from, this.recoveredTo);
    if (known < end)
      this.knownBytes -= run.frameEnd(index + (end - 1 - sequence)) - run.frameStart(index + (known - sequence));
    this.inWindow += end - from;
    this.owner.onLoaded(from, run, index + (from - sequence), end - from, options);
  }

  onFetchEnd(next: number): void {
    this.fetching = false;
    if (this.closed) return;
    this.loadedTo = Math.max(this.loadedTo, Math.min(next, this.stop));
    // The log may have lost some of them.
    if (this.loadedTo >= this.purgedTo) this.purging = 0;
    if (this.loading) return;
    this.owner.onBatch();
    this.load();
  }

  private mayLoad(): boolean {
    if (this.closed || this.empty) return false;
    if (this.held.length > 0 && this.loadedTo >= this.held[0]!) return false;
    return this.loadedTo < this.purgedTo || this.owner.wantsMore;
  }
}
