// The machine the broker runs on: in memory, where a broker that ends takes everything with it, or with a disk, where it can be killed or lose its power at any moment, in the
// middle of a call of the disk too, and another broker comes up on what is left. The disk works on the virtual time, as slowly as the dice say.
import { Durability } from '../../src/storage/commit-log.ts';
import { InlineCrew } from '../../src/storage/embedded/crew.ts';
import { type Faults, NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { StompWorld, type StompWorldOptions } from '../support/stomp-client.ts';
import type { Dice } from './dice.ts';
import type { Schedule } from './schedule.ts';
import { type Crash, SimDisk } from './sim-disk.ts';

export interface MachineOptions {
  readonly world: StompWorldOptions;
  /** A disk, or memory only. */
  readonly durable: boolean;
  readonly faults: Faults;
  /** Done to every broker before it starts. */
  readonly tamper: (world: StompWorld) => void;
}

export class MachineCounts {
  crashes = 0;
  powerCuts = 0;
  kills = 0;
  crashesWithinCalls = 0;
  recoveredMessages = 0;
  recoveredEntries = 0;
  tornTails = 0;
  diskCalls = 0;
}

const DIRECTORY = '/data';
const SEGMENT_BYTES = 128 * 1024;
const CHECKPOINT_BYTES = 32 * 1024;
/** Promises that a recovery may take until it is there. */
const OPENING_STEPS_MAX = 100_000;

export class Machine {
  readonly counts = new MachineCounts();
  world!: StompWorld;
  /** The broker is dead: what it still does is not seen by anybody. */
  dead = false;
  /** Slots that adapters keep for themselves. */
  slotsAtRest = 0;
  private readonly options: MachineOptions;
  private readonly dice: Dice;
  private disk = new SimDisk();
  /** What a crash in the middle of a call has left. */
  private image: SimDisk | null = null;
  private crew: InlineCrew | null = null;
  private readonly diskMs: number;
  private writeScheduled = false;
  private keepScheduled = false;
  private epochMs = 0;

  constructor(options: MachineOptions, dice: Dice) {
    this.options = options;
    this.dice = dice;
    this.diskMs = dice.pick([0, 1, 5, 40]);
  }

  /** Starts a broker on what the disk holds. */
  async boot(): Promise<void> {
    const { durable, world, tamper } = this.options;
    this.dead = false;
    this.writeScheduled = this.keepScheduled = false;
    this.crew = null;
    this.world = new StompWorld({
      ...world,
      ...(durable ? { storage: this.storage(), durability: Durability.Fsync } : {}),
    });
    this.slotsAtRest = this.world.arena.borrowedCount;
    if (this.epochMs !== 0) this.world.clock.advance(this.epochMs - this.world.clock.realtime());
    tamper(this.world);
    let over = false;
    const opening = this.world.open().finally(() => {
      over = true;
    });
    // Said below.
    opening.catch(() => undefined);
    for (let i = 0; !over; i++) {
      if (i > OPENING_STEPS_MAX) throw new Error('the broker does not come up');
      this.stepDisk();
      await Promise.resolve();
    }
    await opening;
  }

  private stepDisk(): void {
    this.crew?.stepWriter();
    this.crew?.stepKeeper();
  }

  private storage(): Storage {
    const { disk } = this;
    const { faults } = this.options;
    const storage = new EmbeddedStorage({
      directory: DIRECTORY,
      disk,
      random: this.dice,
      crew: (directory) => {
        const crew = new InlineCrew(disk, directory, this.dice.chance(0.5), faults);
        // A thread of its own may have written the frame by now.
        crew.onPoll = () => {
          if (!this.dead && this.crew === crew && this.dice.chance(0.3)) crew.stepWriter();
        };
        this.crew = crew;
        return crew;
      },
      segmentBytes: SEGMENT_BYTES,
      checkpointBytes: CHECKPOINT_BYTES,
      ballastBytes: 0,
      freeBytesMin: 0,
      faults,
    });
    const open = storage.open.bind(storage);
    storage.open = async (codecs, listener) => {
      const report = await open(codecs, listener);
      if (report.damagedFrames > 0)
        throw new Error(`${report.damagedFrames} damaged frames after a crash that damages none`);
      this.counts.recoveredMessages += report.messages;
      this.counts.recoveredEntries += report.stateEntries;
      if (report.tornTailBytes > 0) this.counts.tornTails++;
      return report;
    };
    return storage;
  }

  /** Lets the disk work on what it was given; called whenever a turn has ended. */
  work(schedule: Schedule): void {
    const { crew } = this;
    if (crew === null || this.dead) return;
    if (crew.frameCount > 0 && !this.writeScheduled) {
      this.writeScheduled = true;
      schedule.after(this.dice.below(this.diskMs + 1), () => {
        if (this.crew !== crew) return;
        this.writeScheduled = false;
        if (!this.dead) crew.stepWriter();
      });
    }
    if (crew.jobCount > 0 && !this.keepScheduled) {
      this.keepScheduled = true;
      schedule.after(this.dice.below(this.diskMs + 1), () => {
        if (this.crew !== crew) return;
        this.keepScheduled = false;
        if (!this.dead) crew.stepKeeper();
      });
    }
  }

  /** The broker dies now. */
  crash(): void {
    if (this.dead) return;
    this.dead = true;
    this.counts.crashes++;
    if (this.image === null) this.image = this.left();
    this.epochMs = this.world.clock.realtime();
  }

  /** The broker dies in the middle of the disk's next call, or of one of those after it. */
  crashWithinCall(): void {
    let calls = 1 + this.dice.below(6);
    this.disk.onCall = () => {
      if (this.dead || --calls > 0) return;
      this.counts.crashesWithinCalls++;
      this.image = this.left();
      this.crash();
    };
  }

  /** No more crashes. */
  disarm(): void {
    this.disk.onCall = () => undefined;
  }

  private left(): SimDisk {
    if (this.dice.chance(0.3)) {
      this.counts.kills++;
      return this.disk.afterKill();
    }
    this.counts.powerCuts++;
    const how: Crash = this.dice.pick(['drop', 'keep', 'prefix', 'random']);
    return this.disk.afterPowerCut(this.dice, how);
  }

  /** The next broker, on what the crash has left. */
  async restart(): Promise<void> {
    this.counts.diskCalls += this.disk.calls;
    this.disk = this.image!;
    this.image = null;
    await this.boot();
  }

  get idle(): boolean {
    return this.crew === null || (this.crew.frameCount === 0 && this.crew.jobCount === 0);
  }
}

export { NO_FAULTS };
