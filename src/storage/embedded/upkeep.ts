// What keeps the log short: when to write a checkpoint, when dead segments may go, when mostly dead ones are compacted. Everything in small steps, each begun by an
// answer of the writer or the keeper, so that the event loop never stands still for it. Relies on Stock for the files.
import { CheckpointDump } from './checkpoint.ts';
import { CHECKPOINT_BLOCK_BYTES, checkpointName, copyName, Ending } from './checkpoint-format.ts';
import { Compaction } from './compaction.ts';
import type { Contents } from './contents.ts';
import type { Crew } from './crew.ts';
import type { Faults } from './faults.ts';
import type { Log } from './log.ts';
import { RecordKind } from './record.ts';
import type { Segment } from './segments.ts';
import type { Stock } from './stock.ts';

export interface UpkeepParts {
  readonly contents: Contents;
  readonly crew: Crew;
  readonly stock: Stock;
  readonly log: Log;
  readonly faults: Faults;
  readonly checkpointBytes: number;
  readonly compactBelow: number;
  readonly checkpointNumber: number;
  readonly checkpointStart: number;
  /** Where the log ended when the checkpoint in place was complete, if that was a stop in good order and nothing has come since; -1 otherwise. */
  readonly checkpointReach: number;
  readonly lastCheckpointBytes: number;
  /** Ends the open unit in the storage's name. */
  readonly endUnit: () => void;
  readonly onFailed: (error: Error) => void;
}

/** Dead segments and what was written since the last checkpoint, in strides, for which one is written early; less on a full disk. */
const FREED_EARLY = 6;
const FREED_EARLY_FULL = 3;
/** The youngest closed segments are left alone: what is in them is most likely about to be settled anyway. */
const YOUNG_SEGMENTS = 2;
/** Segments compacted at a time. */
const VICTIMS_MAX = 8;
/** A resting log writes its checkpoint anew when it would be less than half, and so much, smaller. */
const SHRUNK_BYTES = 1 << 20;
/** While the log rests there is time: no segment is too young, and half dead is enough, so that the disk holds at most twice what lives. */
const RESTING_COMPACT_BELOW = 0.5;

export class Upkeep {
  checkpointCount = 0;
  compactionCount = 0;
  movedMessages = 0;
  private readonly parts: UpkeepParts;
  /** Where the checkpoint that is in place starts. */
  private start: number;
  private number: number;
  private bytes: number;
  private nameInPlace: string;
  private wanted = false;
  private dump: CheckpointDump | null = null;
  /** Shared with the keeper, and used again for every block: copies of them would be garbage as large as the index. */
  private dumpMemory: Uint8Array | null = null;
  private dumpBytes = 0;
  private dumpFirst = true;
  /** The unit that must be synced before the dump may be ended; 0 while it goes on. */
  private dumpUnit = 0;
  private dumpReach = 0;
  private dumpEnding: Ending = Ending.Running;
  private dumpBusy = false;
  private finishing = false;
  finished = false;
  private compaction: Compaction | null = null;
  private compactedAt = 0;
  private deathsSeen = 0;
  /** Size of the index that the checkpoint in place has, or the one being written. */
  private indexBytes: number;
  private resting = false;
  /** There were more victims than one compaction takes. */
  private moreVictims = false;
  private wantedAfter = false;
  private evacuating: readonly Segment[] = NO_SEGMENTS;
  /** A step of ours is appending: the end of its unit begins no other. */
  private stepping = false;

  constructor(parts: UpkeepParts) {
    this.parts = parts;
    this.start = parts.checkpointStart;
    this.number = parts.checkpointNumber;
    this.bytes = parts.lastCheckpointBytes;
    this.nameInPlace = checkpointName(parts.checkpointNumber - 1);
    this.compactedAt = parts.log.end;
    this.indexBytes = parts.contents.index.usedBytes;
  }

  /** No step is outstanding. */
  get idle(): boolean {
    return this.dump === null && this.compaction === null && this.evacuating.length === 0;
  }

  /** Moves what is live in these segments to the end of the log, which has left them, and lets go of them. */
  evacuate(segments: readonly Segment[]): void {
    this.evacuating = segments;
    this.step();
  }

  /** The log rests: lets go of what it does not need, and brings together what is scattered. Called every second or so. */
  tidy(): void {
    if (!this.idle || this.finishing || this.parts.log.failed !== null) return;
    this.resting = true;
    this.beginCompaction();
    const { index, segments } = this.parts.contents;
    const shrunk = index.usedBytes + SHRUNK_BYTES < this.indexBytes / 2;
    if (this.compaction === null && this.idle && (segments.deadCount > 0 || shrunk)) this.checkpointSoon();
  }

  /** The log does not rest any more. */
  hurry(): void {
    this.resting = false;
  }

  checkpointSoon(): void {
    this.wanted = true;
    this.step();
  }

  /** Writes the last checkpoint: nothing will be appended any more. */
  finish(): void {
    this.finishing = true;
    // A broker that was started and stopped has changed nothing, and reads nothing for that.
    if (this.parts.log.end === this.start || this.parts.log.end === this.parts.checkpointReach) {
      this.finished = true;
      return;
    }
    this.beginCheckpoint();
  }

  /** A unit has ended. */
  onUnitEnd(): void {
    if (!this.stepping) this.step();
  }

  /** A frame is written. */
  onWritten(): void {
    this.step();
  }

  private step(): void {
    if (this.parts.log.failed !== null) return;
    if (this.dump !== null) this.stepCheckpoint();
    if (this.finishing) return;
    const { deaths, lastDeathUnit } = this.parts.contents.segments;
    if (
      deaths !== this.deathsSeen &&
      (lastDeathUnit <= this.parts.log.syncedUnit || this.parts.faults.freeBeforeCheckpoint)
    ) {
      this.deathsSeen = deaths;
      this.free();
    }
    if (this.dump === null && this.checkpointDue()) this.beginCheckpoint();
    if (this.compaction !== null) this.stepCompaction();
    else if (this.evacuating.length > 0) {
      const victims = this.evacuating;
      this.evacuating = NO_SEGMENTS;
      // The checkpoint that lets them go comes when they are empty.
      this.wantedAfter = true;
      this.compact(victims);
    } else if (this.moreVictims || this.parts.log.end - this.compactedAt >= this.parts.contents.segments.stride / 4)
      this.beginCompaction();
  }

  private checkpointDue(): boolean {
    const { contents, log, stock, checkpointBytes } = this.parts;
    if (!log.atUnitEnd) return false;
    if (this.wanted) return true;
    const since = log.end - this.start;
    if (since >= checkpointBytes) return true;
    // Dead segments wait for it. It is worth it when it frees more than it writes.
    const { deadCount, deadBytes, stride } = contents.segments;
    const early = Math.max((stock.full ? FREED_EARLY_FULL : FREED_EARLY) * stride, 4 * this.bytes);
    return deadCount > 0 && since > 0 && deadBytes + since >= early && this.wouldFree();
  }

  /** Some dead segment waits for nothing but a checkpoint. */
  private wouldFree(): boolean {
    for (const segment of this.parts.contents.segments.all())
      if (isDead(segment) && segment.end > this.start) return true;
    return false;
  }

  private beginCheckpoint(): void {
    const { contents, log } = this.parts;
    this.wanted = false;
    // Everything so far in frames of its own: the checkpoint starts between two.
    log.seal();
    this.dumpMemory ??= this.parts.crew.makeMemory(CHECKPOINT_BLOCK_BYTES);
    this.dump = new CheckpointDump(contents, log.end, this.dumpMemory);
    this.indexBytes = contents.index.usedBytes;
    this.dumpBytes = 0;
    this.dumpFirst = true;
    this.dumpUnit = 0;
    this.stepCheckpoint();
  }

  private stepCheckpoint(): void {
    const { dump } = this;
    if (dump === null || this.dumpBusy || this.parts.log.failed !== null) return;
    const { log, faults } = this.parts;
    if (this.dumpUnit === 0) {
      const block = dump.step();
      if (block !== null) {
        this.write(block, false);
        return;
      }
      if (!this.quiet) return;
      this.dumpEnding = this.endingOf(dump);
      // All is written that the dump has seen; what it has seen must be on the disk before the dump counts.
      const at = log.reserve(8) >>> 2;
      log.words[at] = RecordKind.Mark;
      log.words[at + 1] = 8;
      log.requireSync();
      this.dumpUnit = log.unit;
      // What ends later than this unit has not been seen.
      this.dumpReach = log.end;
      this.stepping = true;
      this.parts.endUnit();
      this.stepping = false;
    }
    if (log.syncedUnit < this.dumpUnit && !faults.checkpointBeforeSync) return;
    this.write(dump.end(this.dumpReach, this.dumpEnding), true);
  }

  /** What has been appended or settled since the dump began shows in the log; no unit is open. */
  private endingOf(dump: CheckpointDump): Ending {
    if (!this.finishing) return Ending.Running;
    return this.parts.log.end === dump.start ? Ending.Exact : Ending.Clean;
  }

  private write(bytes: Uint8Array, last: boolean): void {
    const { crew, stock } = this.parts;
    const name = checkpointName(this.number);
    const replaces = last && this.number > 1 ? [this.nameInPlace, copyName(this.nameInPlace)] : [];
    this.dumpBusy = true;
    this.dumpBytes += bytes.length;
    crew.keep({ kind: 'checkpoint', name, bytes, first: this.dumpFirst, last, replaces }, (result) => {
      this.dumpBusy = false;
      if (result.error !== null) {
        this.dump = null;
        if (result.error.code !== 'ENOSPC') {
          this.parts.onFailed(new Error(`a checkpoint could not be written: ${result.error.message}`));
          return;
        }
        // No checkpoint for now; the log goes on, and with the ballast gone the next attempt may fit.
        if (stock.onNoSpace()) this.wanted = true;
        if (this.finishing) this.finished = true;
        this.parts.log.poke();
        return;
      }
      if (last) this.installed(name);
      else this.stepCheckpoint();
    });
    this.dumpFirst = false;
  }

  private installed(name: string): void {
    this.start = this.dump!.start;
    this.bytes = this.dumpBytes;
    this.nameInPlace = name;
    this.number++;
    this.checkpointCount++;
    this.dump = null;
    this.free();
    if (this.finishing) this.finished = true;
    this.parts.log.poke();
  }

  private free(): void {
    const { contents, faults, log, stock } = this.parts;
    const freed: Segment[] = [];
    for (const segment of contents.segments.all()) {
      if (!isDead(segment)) continue;
      if ((segment.end > this.start || segment.deadAt > log.syncedUnit) && !faults.freeBeforeCheckpoint) continue;
      contents.fetches.reader.forget(segment);
      contents.fetches.forget(segment.base, segment.end);
      freed.push(segment);
    }
    if (freed.length > 0) stock.free(freed);
    const oldest = contents.segments.all()[0];
    if (oldest !== undefined) contents.sets.dropBefore(Math.min(oldest.base, this.start));
  }

  private beginCompaction(): void {
    const { contents, log, compactBelow } = this.parts;
    this.compactedAt = log.end;
    this.moreVictims = false;
    const newest = this.resting ? log.segment.base : log.segment.base - YOUNG_SEGMENTS * contents.segments.stride;
    const below = this.resting ? Math.max(compactBelow, RESTING_COMPACT_BELOW) : compactBelow;
    const segments = contents.segments.all();
    const victims = segments
      .filter(
        (segment) =>
          segment.closed &&
          !segment.stuck &&
          segment.end <= newest &&
          segment.live > 0 &&
          segment.live < segment.total * below &&
          this.isSteady(segment),
      )
      .sort((a, b) => a.live / a.total - b.live / b.total)
      .slice(0, VICTIMS_MAX);
    for (const segment of segments) {
      // One that is still being filled has more every time.
      if (segment.live <= segment.liveSeen && segment.live >= segment.liveSeen * STEADY_SHARE) continue;
      segment.liveSeen = segment.live;
      segment.steadyFrom = log.end;
    }
    if (victims.length > 0) this.compact(victims);
  }

  /** One whose messages are being taken will be empty without help: also where consumers and publishers take turns. */
  private isSteady(segment: Segment): boolean {
    if (segment.liveSeen < 0 || segment.live < segment.liveSeen * STEADY_SHARE) return false;
    const { log, contents } = this.parts;
    return this.resting || log.end - segment.steadyFrom >= STEADY_STRIDES * contents.segments.stride;
  }

  private compact(victims: readonly Segment[]): void {
    const { contents, faults } = this.parts;
    this.compaction = new Compaction(contents, victims, () => this.stepCompaction(), faults.forgetSettledOnCompaction);
    this.compactionCount++;
    this.stepCompaction();
  }

  private stepCompaction(): void {
    const { compaction } = this;
    // One slice, and the next one when what it wrote is written: publishers come in between.
    if (
      compaction === null ||
      this.stepping ||
      this.parts.log.failed !== null ||
      !this.quiet ||
      this.parts.log.pendingCount > 1
    )
      return;
    this.stepping = true;
    const more = compaction.step();
    if (compaction.done) {
      this.movedMessages += compaction.movedMessages;
      this.compaction = null;
      // What is left can not be read.
      for (const victim of compaction.victims) if (victim.live > 0) victim.stuck = true;
      this.moreVictims = compaction.victims.length >= VICTIMS_MAX;
      if (this.wantedAfter) this.wanted = true;
      this.wantedAfter = false;
    }
    if (!this.parts.log.atUnitEnd) this.parts.endUnit();
    else if (more) this.parts.crew.keep({ kind: 'space' }, () => this.stepCompaction());
    this.stepping = false;
    if (this.compaction === null) this.parts.log.poke();
  }

  /** No unit is open: what is appended now is a unit of its own. */
  private get quiet(): boolean {
    return this.parts.log.atUnitEnd && this.parts.contents.settled.empty;
  }
}

/** A segment that keeps so much of what was alive in it, while the log grows by so many strides, is not emptied by its consumers. */
const STEADY_SHARE = 0.9;
const STEADY_STRIDES = 2;
const NO_SEGMENTS: readonly Segment[] = [];

function isDead(segment: Segment): boolean {
  return segment.closed && segment.live === 0;
}
