// The embedded engine: one commit log on the local disk for everything (architecture: "Storage"). This file wires the parts together and decides when upkeep happens;
// log.ts grows the log, writer.ts and keeper.ts touch the disk, recovery.ts starts it all. Relies on an injected Disk and Random; owns its data directory exclusively.
import { join } from 'node:path';
import type { Codec, Run } from '../../core/run.ts';
import type { Disk, DiskLock } from '../../io/disk.ts';
import type { Random } from '../../io/random.ts';
import { assert } from '../../lib/assert.ts';
import { type CommitLog, Durability, type LogTargets, type QueueLog } from '../commit-log.ts';
import { MemoryQueue } from '../memory/memory-queue.ts';
import type { StateStore } from '../state-store.ts';
import type { RecoveryReport, Storage, StorageListener } from '../storage.ts';
import { Contents } from './contents.ts';
import type { Crew } from './crew.ts';
import { type Faults, NO_FAULTS } from './faults.ts';
import { Fetches } from './fetch.ts';
import { Log } from './log.ts';
import { InternedTargets } from './queue-sets.ts';
import { Reader } from './reader.ts';
import {
  PUBLISH_HEADER_BYTES,
  publishBytes,
  RecordKind,
  SLOT_BODY_BITS,
  SLOT_BODY_MAX,
  SLOT_MESSAGES_MAX,
} from './record.ts';
import { type Damage, recover, storedStride } from './recovery.ts';
import { SEGMENT_DATA_START, segmentName } from './segment.ts';
import type { Segment } from './segments.ts';
import { Stock } from './stock.ts';
import { Upkeep } from './upkeep.ts';

export interface EmbeddedOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly random: Random;
  /** Makes the crew once the directory is locked; see threadCrew() and InlineCrew. */
  readonly crew: (directory: string) => Crew;
  /** Size of a segment, a power of two; an existing directory keeps its own. */
  readonly segmentBytes?: number;
  /** Largest ordinary frame: what one write carries. */
  readonly frameBytesMax?: number;
  /** Memory for what is read back from the disk. */
  readonly readCacheBytes?: number;
  /** A checkpoint is due when so much has been written since the last one. */
  readonly checkpointBytes?: number;
  /** Below so much free space, or this share of the disk, publishers are refused. */
  readonly freeBytesMin?: number;
  readonly freeShareMin?: number;
  /** File that is given up when the disk is full, so that draining queues goes on. */
  readonly ballastBytes?: number;
  /** Segments whose live share is below this are compacted. */
  readonly compactBelow?: number;
  /** Told of every damaged stretch, at recovery and later. */
  readonly onDamage?: (damage: Damage) => void;
  readonly faults?: Faults;
}

export const SEGMENT_BYTES = 32 * 1024 * 1024;
/** Bandwidth hardly grows beyond, latency does. */
export const FRAME_BYTES_MAX = 256 * 1024;
export const READ_CACHE_BYTES = 12 * 1024 * 1024;
export const CHECKPOINT_BYTES = 256 * 1024 * 1024;
export const FREE_BYTES_MIN = 50 * 1024 * 1024;
export const FREE_SHARE_MIN = 0.05;
/** As much as a segment: with the two that stand ready it lasts for the settlements of what a full disk holds, and for the checkpoint that frees it. */
export const BALLAST_BYTES = SEGMENT_BYTES;
export const COMPACT_BELOW = 0.4;
/** A log that grows by less between two looks rests. */
const RESTING_BYTES = 256 * 1024;

export class EmbeddedStorage implements Storage, CommitLog {
  readonly log: CommitLog = this;
  readonly poll = (): void => this.crew?.poll();
  private readonly options: EmbeddedOptions;
  private readonly faults: Faults;
  private contents: Contents;
  private readonly memoryQueues = new Map<string, MemoryQueue>();
  private readonly forgetMemoryQueue = (queue: MemoryQueue): void => {
    this.memoryQueues.delete(queue.name);
  };
  private listener: StorageListener | null = null;
  private lock: DiskLock | null = null;
  private crew: Crew | null = null;
  private frames: Log | null = null;
  private stock: Stock | null = null;
  private upkeep: Upkeep | null = null;
  private toldDurable = 0;
  private checkedEnd = Number.NEGATIVE_INFINITY;
  private failed: Error | null = null;
  private closing = false;
  private readonly idleWaiters: (() => void)[] = [];
  /** Who waits for a write, in order of unit. */
  private readonly probes: { readonly unit: number; readonly then: () => void }[] = [];
  /** Messages whose bytes could not be read back. */
  lostMessages = 0;

  constructor(options: EmbeddedOptions) {
    this.options = options;
    this.faults = options.faults ?? NO_FAULTS;
    this.contents = new Contents(options.segmentBytes ?? SEGMENT_BYTES, this.faults);
  }

  get state(): StateStore {
    return this.contents.state;
  }

  get full(): boolean {
    return this.stock?.full ?? false;
  }

  get space(): { freeBytes: number; neededBytes: number } | null {
    const { stock } = this;
    return stock === null || stock.freeBytes < 0
      ? null
      : { freeBytes: stock.freeBytes, neededBytes: stock.neededBytes };
  }

  get position(): number {
    const { frames } = this;
    if (frames === null) return 0;
    // What was settled is appended when the unit ends, and may be all there is in it.
    return frames.atUnitEnd && !this.contents.settled.empty ? frames.unit + 1 : frames.unit;
  }

  get durablePosition(): number {
    return this.frames?.durableUnit ?? 0;
  }

  get pendingBytes(): number {
    return this.frames?.uncommittedBytes ?? 0;
  }

  /** Figures for metrics. */
  get figures() {
    const { index, segments } = this.contents;
    return {
      indexBytes: index.bytes,
      indexUsedBytes: index.usedBytes,
      segments: segments.count,
      deadSegments: segments.deadCount,
      checkpoints: this.upkeep?.checkpointCount ?? 0,
      compactions: this.upkeep?.compactionCount ?? 0,
      movedMessages: this.upkeep?.movedMessages ?? 0,
      logBytes: this.frames?.end ?? 0,
      freeBytes: this.stock?.freeBytes ?? -1,
      writeMethod: this.crew?.method ?? '',
    };
  }

  async open(codecs: ReadonlyMap<number, Codec>, listener: StorageListener): Promise<RecoveryReport> {
    assert(this.listener === null, 'the storage is open already');
    const { options, faults } = this;
    const { disk, directory } = options;
    const began = performance.now();
    disk.makeDirectory(directory);
    this.lock = disk.lock(join(directory, 'lock'));
    try {
      const stride = storedStride(disk, directory) || (options.segmentBytes ?? SEGMENT_BYTES);
      this.contents = new Contents(stride, faults);
      const crew = options.crew(directory);
      this.crew = crew;
      // Its keeper comes to life while the log is read, its writer with the first frame.
      const started = crew.start({
        onFrameWritten: () => this.frames?.onFrameWritten(),
        onWriterFailed: (error) => this.fail(error),
      });
      // Said below, unless recovery has something to say first.
      started.catch(() => undefined);
      // What the log builds its frames in is what recovery reads segments into: so much less memory to start with.
      const ring = crew.makeMemory(stride).subarray(0, stride);
      const { contents, recovered } = recover(disk, directory, stride, options.random, faults, ring);
      this.contents = contents;
      await started;
      if (this.failed !== null) throw this.failed;
      this.listener = listener;
      const frameBytesMax = Math.min(options.frameBytesMax ?? FRAME_BYTES_MAX, stride / 4, SLOT_BODY_MAX);
      const stock = new Stock(
        crew,
        contents.segments,
        options.random,
        {
          onSegmentReady: () => this.frames?.submit(),
          onFull: (full) => this.listener?.onFull(full),
          onStockFailed: (error) => this.fail(error),
        },
        { freeBytesMin: options.freeBytesMin ?? FREE_BYTES_MIN, freeShareMin: options.freeShareMin ?? FREE_SHARE_MIN },
        options.ballastBytes ?? BALLAST_BYTES,
        recovered.nextSegment,
        recovered.ahead,
      );
      this.stock = stock;
      const tail = recovered.tail ?? stock.next(frameBytesMax);
      for (const segment of contents.segments.all()) if (segment.number < tail.number) contents.segments.close(segment);
      const end = recovered.tail === null ? tail.base + SEGMENT_DATA_START : recovered.end;
      const frames = new Log(
        crew,
        ring,
        contents.segments,
        stock,
        { onWritten: () => this.onWritten() },
        tail,
        end,
        frameBytesMax,
        faults.confirmBeforeSync,
      );
      this.frames = frames;
      const reader = new Reader(
        crew,
        contents.segments,
        () => frames,
        {
          onDamage: (segment, start, stop, reason) => this.onDamage(segment, start, stop, reason),
          whenWritable: (then) => this.whenWritable(then),
        },
        options.readCacheBytes ?? READ_CACHE_BYTES,
        frameBytesMax,
      );
      const fetches = new Fetches(reader, contents.sets, codecs, (queue, sequence) => {
        this.lostMessages++;
        queue.settle(sequence, 1);
      });
      contents.serve(frames, fetches);
      this.upkeep = new Upkeep({
        contents,
        crew,
        stock,
        log: frames,
        faults,
        checkpointBytes: options.checkpointBytes ?? CHECKPOINT_BYTES,
        compactBelow: options.compactBelow ?? COMPACT_BELOW,
        checkpointNumber: recovered.nextCheckpoint,
        checkpointStart: recovered.checkpointStart,
        checkpointReach: recovered.clean ? recovered.end : -1,
        lastCheckpointBytes: recovered.checkpointBytes,
        endUnit: () => this.endUnit(),
        onFailed: (error) => this.fail(error),
      });
      stock.start();
      this.wakeSleepers();
      for (const damage of recovered.damages) options.onDamage?.(damage);
      // What was found damaged must not be found again: from here on the log starts behind it.
      if (recovered.damages.length > 0) this.upkeep.checkpointSoon();
      return {
        messages: contents.messageCount,
        queues: contents.queuesById.size,
        stateEntries: contents.state.entryCount,
        tornTailBytes: recovered.tornTailBytes,
        damagedFrames: recovered.damages.length + recovered.unreadableRecords,
        durationMs: performance.now() - began,
      };
    } catch (error) {
      await this.crew?.stop();
      this.lock.release();
      this.lock = null;
      throw error;
    }
  }

  openQueue(name: string, durability: Durability): QueueLog {
    const logged = this.contents.queuesByName.get(name);
    if (durability === Durability.Memory) {
      assert(
        logged === undefined || logged.count === 0,
        `queue ${name} holds messages in the log and can not become one in memory`,
      );
      logged?.delete();
      let queue = this.memoryQueues.get(name);
      if (queue === undefined) {
        queue = new MemoryQueue(name, durability, this.forgetMemoryQueue);
        this.memoryQueues.set(name, queue);
      }
      return queue;
    }
    const inMemory = this.memoryQueues.get(name);
    assert(
      inMemory === undefined || inMemory.count === 0,
      `queue ${name} holds messages in memory and can not become one in the log`,
    );
    inMemory?.delete();
    if (logged === undefined) return this.contents.makeQueue(name, durability);
    if (logged.durability !== durability) {
      logged.durability = durability;
      this.contents.writeQueue(logged);
    }
    return logged;
  }

  *queueNames(): Iterable<string> {
    yield* this.contents.queuesByName.keys();
    yield* this.memoryQueues.keys();
  }

  append(run: Run, targets: LogTargets): number {
    let interned = targets.interned;
    if (!(interned instanceof InternedTargets) || interned.set?.dropped === true)
      interned = this.contents.sets.intern(targets);
    const { set, memory, memoryOptions } = interned as InternedTargets;
    if (memory.length > 0) {
      const owned = run.own();
      for (let i = 0; i < memory.length; i++) memory[i]!.push(owned, memoryOptions[i]!);
    }
    const log = this.frames!;
    if (set === null) return log.durableUnit;
    if (set.definedIn !== log.segment.number) this.contents.sets.define(set, log, this.contents.repeatQueue);
    const { count } = run;
    const bytesMax = log.recordBytesMax;
    if (count === 1 || (count <= SLOT_MESSAGES_MAX && publishBytes(count, run.end - run.start) <= bytesMax)) {
      this.appendPart(log, run, set, 0, count);
      return log.unit;
    }
    // A long run becomes several records.
    const offsets = run.offsets!;
    for (let from = 0; from < count; ) {
      let to = from + 1;
      while (
        to < count &&
        to - from < SLOT_MESSAGES_MAX &&
        publishBytes(to + 1 - from, offsets[to + 1]! - offsets[from]!) <= bytesMax
      )
        to++;
      this.appendPart(log, run, set, from, to);
      from = to;
    }
    return log.unit;
  }

  endUnit(): void {
    const log = this.frames;
    if (log === null || this.failed !== null) return;
    if (!this.contents.settled.empty) this.contents.settled.write();
    if (log.atUnitEnd) return;
    this.contents.sets.repeatDue(log, this.contents.repeatQueue);
    log.endUnit();
    this.upkeep?.onUnitEnd();
  }

  async close(): Promise<void> {
    if (this.listener === null) return;
    this.closing = true;
    if (this.failed === null) {
      this.endUnit();
      await this.until(() => this.settledDown);
      if (this.failed === null) {
        this.upkeep?.finish();
        await this.until(() => this.failed !== null || (this.upkeep?.finished === true && this.settledDown));
      }
    }
    await this.crew?.stop();
    this.lock?.release();
    this.lock = null;
    this.listener = null;
    this.frames = null;
    this.upkeep = null;
  }

  /** Looks at the free space again, and lets go of what a resting log does not need. A host calls it every second or so. */
  checkSpace(): void {
    const { frames, stock, upkeep } = this;
    if (this.failed !== null || this.closing || frames === null || stock === null || upkeep === null) return;
    stock.check();
    if (frames.end - this.checkedEnd <= RESTING_BYTES) upkeep.tidy();
    else upkeep.hurry();
    this.checkedEnd = frames.end;
  }

  /** Settles a message that can not be read any more, if it is there. */
  giveUp(queueName: string, sequence: number): void {
    const queue = this.contents.queuesByName.get(queueName);
    if (queue !== undefined && queue.position(sequence) !== 0) queue.settle(sequence, 1);
  }

  /**
   * Moves everything that is live out of these segments and lets go of them. What can not be read must have been settled before. Resolves when they are gone, or the storage
   * has failed.
   */
  async evacuate(numbers: readonly number[]): Promise<void> {
    const log = this.frames;
    const { segments } = this.contents;
    assert(log !== null, 'the storage is not open');
    assert(log.atUnitEnd, 'segments are evacuated between two units');
    if (numbers.includes(log.segment.number)) log.leaveSegment();
    const victims = segments.all().filter(({ number }) => numbers.includes(number));
    // The checkpoint to come starts behind this, that is behind all of them.
    this.mark(log);
    this.endUnit();
    this.upkeep?.evacuate(victims);
    await this.until(() => this.failed !== null || (this.settledDown && victims.every((one) => !segments.has(one))));
  }

  /** What was left as the checkpoint had it comes into memory, a little at a time. */
  private wakeSleepers(): void {
    if (this.failed !== null) return;
    const { index, sets } = this.contents;
    try {
      if (index.source !== null && !index.source.wakeNext()) index.source = null;
      if (sets.wakeNext() || index.source !== null) this.crew?.later(() => this.wakeSleepers());
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private get settledDown(): boolean {
    return this.failed !== null || (this.frames!.pendingCount === 0 && this.frames!.atUnitEnd && this.upkeep!.idle);
  }

  /** Resolves when `ready` holds; asked again after everything that happens. */
  private until(ready: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (ready()) resolve();
        else this.idleWaiters.push(look);
      };
      look();
    });
  }

  private wakeWaiters(): void {
    for (const look of this.idleWaiters.splice(0)) look();
  }

  private appendPart(log: Log, run: Run, set: NonNullable<InternedTargets['set']>, from: number, to: number): void {
    const count = to - from;
    const { offsets } = run;
    const start = offsets === null ? run.start : run.start + offsets[from]!;
    const end = offsets === null ? run.end : run.start + offsets[to]!;
    const size = publishBytes(count, end - start);
    const at = log.reserve(size);
    const { words, bytes } = log;
    const word = at >>> 2;
    words[word] = RecordKind.Publish | (run.guarantee << 8) | (run.priority << 16);
    words[word + 1] = size;
    words[word + 2] = set.id;
    words[word + 3] = end - start;
    words[word + 4] = run.codec.id | (count << 16);
    words[word + 5] = run.variant;
    log.doubles[(at + 24) >>> 3] = run.receivedAtMs;
    log.doubles[(at + 32) >>> 3] = run.expiresAtMs;
    const slots = word + PUBLISH_HEADER_BYTES / 4;
    if (offsets === null) words[slots] = 0;
    else {
      const first = offsets[from]!;
      for (let i = 0; i < count; i++) words[slots + i] = (i << SLOT_BODY_BITS) | (offsets[from + i]! - first);
    }
    bytes.set(run.bytes.subarray(start, end), at + PUBLISH_HEADER_BYTES + 4 * count);
    if (set.sync) log.requireSync();
    const position = at + PUBLISH_HEADER_BYTES + log.shift;
    const { queues } = set;
    let references = 0;
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i]!;
      if (queue.deleted) continue;
      queue.add(position, count);
      references += count;
    }
    set.lastUsed = position;
    log.segment.live += references;
    log.segment.total += references;
  }

  /** A record that says nothing and has to be written all the same. */
  private mark(log: Log): void {
    const at = log.reserve(8) >>> 2;
    log.words[at] = RecordKind.Mark;
    log.words[at + 1] = 8;
    log.requireSync();
  }

  private whenWritable(then: () => void): void {
    const { frames } = this;
    if (frames === null || this.failed !== null) return;
    const between = frames.atUnitEnd;
    this.mark(frames);
    this.probes.push({ unit: frames.unit, then });
    if (between) this.endUnit();
  }

  private onWritten(): void {
    const log = this.frames!;
    while (this.probes.length > 0 && this.probes[0]!.unit <= log.durableUnit) this.probes.shift()!.then();
    if (log.durableUnit > this.toldDurable && this.failed === null) {
      this.toldDurable = log.durableUnit;
      this.listener?.onDurable(log.durableUnit);
    }
    this.upkeep?.onWritten();
    this.wakeWaiters();
  }

  private onDamage(segment: Segment, start: number, end: number, reason: string): void {
    this.options.onDamage?.({ segment: segmentName(segment.number), position: start, bytes: end - start, reason });
  }

  private fail(error: Error): void {
    if (this.failed !== null) return;
    this.failed = error;
    if (this.frames !== null) this.frames.failed = error;
    this.listener?.onFailed(error);
    this.wakeWaiters();
  }
}
