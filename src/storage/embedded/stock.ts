// The supply of segments: keeps some ready ahead of the log, recycles dead ones, gives the rest of their space back, and watches the free space. When the disk is full it
// gives up the ballast file, says so, and goes on as soon as there is room. Relies on the keeper for the work on files.
import type { Random } from '../../io/random.ts';
import type { Crew } from './crew.ts';
import type { KeeperResult } from './keeper.ts';
import type { SegmentSupply } from './log.ts';
import { align, BLOCK_BYTES, SALT_BYTES, SEGMENT_DATA_START } from './segment.ts';
import { Segment, type Segments } from './segments.ts';

export interface StockListener {
  /** A segment that the log may be waiting for is in place. */
  onSegmentReady(): void;
  onFull(full: boolean): void;
  /** A file could not be made for another reason than space. */
  onStockFailed(error: Error): void;
}

export interface SpaceLimits {
  /** Below this much free space, or this share of the disk, whichever is more, the disk counts as full. */
  readonly freeBytesMin: number;
  readonly freeShareMin: number;
}

/** Segments that stand ready behind the current one. */
const AHEAD = 2;
/** Dead ones kept to be recycled, while the log grows and when it rests. Renaming one takes a millisecond, making one some fifty. */
const KEPT = 8;
const KEPT_AT_REST = 0;

export class Stock implements SegmentSupply {
  full = false;
  freeBytes = -1;
  /** What must be free. */
  neededBytes = 0;
  private readonly crew: Crew;
  private readonly segments: Segments;
  private readonly random: Random;
  private readonly listener: StockListener;
  private readonly limits: SpaceLimits;
  private readonly ballastBytes: number;
  private readonly ahead: Segment[] = [];
  /** Numbers of dead segments whose files may be used again. */
  private readonly dead: number[] = [];
  private readonly stalled: Segment[] = [];
  private nextNumber: number;
  private ballast = false;
  /** This process has made it or given it up; before, there may be that of another one. */
  private ballastKnown = false;
  /** It was given up and is not back yet. */
  private ballastLost = false;
  private ballastBusy = false;
  private making = 0;
  private checking = false;
  private newestChecked = -1;

  constructor(
    crew: Crew,
    segments: Segments,
    random: Random,
    listener: StockListener,
    limits: SpaceLimits,
    ballastBytes: number,
    nextNumber: number,
    ahead: readonly Segment[],
  ) {
    this.crew = crew;
    this.segments = segments;
    this.random = random;
    this.listener = listener;
    this.limits = limits;
    this.ballastBytes = ballastBytes;
    this.nextNumber = nextNumber;
    this.ahead.push(...ahead.filter((segment) => segment.strides === 1));
  }

  /** Nothing is being made. */
  get idle(): boolean {
    return this.making === 0 && !this.ballastBusy;
  }

  /** The ballast is made with the first look at the space: what is read for the first deliveries does not wait for it. */
  start(): void {
    this.refill();
  }

  next(dataBytes: number): Segment {
    const { stride } = this.segments;
    const needed = SEGMENT_DATA_START + align(dataBytes, BLOCK_BYTES) + BLOCK_BYTES;
    if (needed > stride) {
      // Numbers only grow, so what stands ready with a lower one is passed over, and used again later.
      for (const segment of this.ahead.splice(0)) {
        if (segment.ready) this.retire(segment);
        else this.stalled.push(segment);
      }
      return this.make(Math.ceil(needed / stride));
    }
    const segment = this.ahead.shift() ?? this.make(1);
    this.refill();
    return segment;
  }

  /** These hold nothing that is needed any more. */
  free(dead: readonly Segment[]): void {
    const removed: number[] = [];
    for (const segment of dead) {
      this.segments.remove(segment);
      if (segment.strides === 1 && this.dead.length < (this.full ? 0 : KEPT) + this.stalled.length)
        this.dead.push(segment.number);
      else removed.push(segment.number);
    }
    if (removed.length > 0) this.crew.keep({ kind: 'remove', segments: removed }, (result) => this.onResult(result));
    this.retry();
  }

  /** Looks how much space there is; called every second or so. Lets go of spare segments when the log has not grown since. */
  check(): void {
    if (this.checking) return;
    this.checking = true;
    if (!this.ballastKnown && this.ballastBytes > 0) this.makeBallast();
    const newest = this.nextNumber;
    const keep = this.full ? 0 : newest === this.newestChecked ? KEPT_AT_REST : KEPT;
    if (this.dead.length > keep) {
      this.crew.keep({ kind: 'remove', segments: this.dead.splice(keep) }, (result) => this.onResult(result));
    }
    this.newestChecked = newest;
    this.crew.keep({ kind: 'space' }, (result) => {
      this.checking = false;
      this.onResult(result);
      this.retry();
    });
  }

  /** A file other than a segment found no space. Returns whether the ballast was given up for it, so that trying again makes sense. */
  onNoSpace(): boolean {
    this.setFull(true);
    if (!this.mayHaveBallast) return false;
    this.dropBallast();
    return true;
  }

  private retire(segment: Segment): void {
    this.segments.remove(segment);
    this.dead.push(segment.number);
  }

  private refill(): void {
    while (this.ahead.length < AHEAD && this.stalled.length === 0) this.ahead.push(this.make(1));
  }

  private make(strides: number): Segment {
    const segment = new Segment(this.nextNumber, this.segments.stride, strides, this.random.bytes(SALT_BYTES), false);
    this.nextNumber += strides;
    this.segments.add(segment);
    this.order(segment);
    return segment;
  }

  private order(segment: Segment): void {
    const recycled = segment.strides === 1 ? (this.dead.shift() ?? 0) : 0;
    this.making++;
    this.crew.keep(
      {
        kind: 'make',
        segment: segment.number,
        strides: segment.strides,
        stride: this.segments.stride,
        salt: segment.salt,
        recycled,
      },
      (result) => {
        this.making--;
        if (result.error === null) {
          segment.ready = true;
          this.onResult(result);
          this.listener.onSegmentReady();
          return;
        }
        if (result.error.code !== 'ENOSPC') {
          this.listener.onStockFailed(
            new Error(`segment ${segment.number} could not be made: ${result.error.message}`),
          );
          return;
        }
        this.stalled.push(segment);
        this.setFull(true);
        if (this.mayHaveBallast) this.dropBallast();
      },
    );
  }

  /** Tries again what found no space. */
  private retry(): void {
    for (const segment of this.stalled.splice(0)) this.order(segment);
    this.refill();
  }

  private get mayHaveBallast(): boolean {
    return this.ballast || (!this.ballastKnown && this.ballastBytes > 0);
  }

  private makeBallast(): void {
    if (this.ballastBusy) return;
    this.ballastKnown = true;
    this.ballastBusy = true;
    this.crew.keep({ kind: 'ballast', bytes: this.ballastBytes }, (result) => {
      this.ballastBusy = false;
      this.ballast = result.error === null;
      if (this.ballast) this.ballastLost = false;
      if (result.error === null) this.onResult(result);
    });
  }

  private dropBallast(): void {
    if (this.ballastBusy) return;
    this.ballast = false;
    this.ballastKnown = true;
    this.ballastLost = true;
    this.ballastBusy = true;
    this.crew.keep({ kind: 'ballast', bytes: 0 }, (result) => {
      this.ballastBusy = false;
      this.onResult(result);
      this.retry();
    });
  }

  private onResult(result: KeeperResult): void {
    if (result.error !== null || result.totalBytes === 0) return;
    this.freeBytes = result.freeBytes;
    const min = Math.max(this.limits.freeBytesMin, Math.ceil(this.limits.freeShareMin * result.totalBytes));
    this.neededBytes = min;
    // Without its reserve the disk is as good as full.
    this.setFull(this.stalled.length > 0 || this.ballastLost || result.freeBytes < min);
    const room = result.freeBytes > min + 2 * this.ballastBytes;
    if (!this.ballast && this.ballastBytes > 0 && this.stalled.length === 0 && room) this.makeBallast();
  }

  private setFull(full: boolean): void {
    if (this.full === full) return;
    this.full = full;
    this.listener.onFull(full);
  }
}
