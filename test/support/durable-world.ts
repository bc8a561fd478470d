// A world whose broker can be restarted: the embedded engine on a disk in memory. What the engine has handed to the disk is written when asked for, so that a crash can come between; every
// broker after it is a new world on what is left of the disk.
import { Durability } from '../../src/storage/commit-log.ts';
import { InlineCrew } from '../../src/storage/embedded/crew.ts';
import { NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { Dice } from '../sim/dice.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { World, type WorldOptions } from './world.ts';

export class DurableWorld {
  world!: World;
  /** The disk does its work at every settle(). */
  writing = true;
  private disk = new SimDisk();
  private crew!: InlineCrew;
  private readonly options: WorldOptions;
  private epochMs = 0;

  private constructor(options: WorldOptions) {
    this.options = options;
  }

  static async start(options: WorldOptions = {}): Promise<DurableWorld> {
    const durable = new DurableWorld(options);
    await durable.open();
    return durable;
  }

  /** Ends turns and lets the disk work until neither has anything to do. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 5; ) {
      this.world.settle();
      const worked = this.writing && this.work();
      await Promise.resolve();
      idle = worked ? 0 : idle + 1;
    }
  }

  /** The power fails: what has not been written is gone. The world is a new one afterwards. */
  async crash(): Promise<World> {
    const { world } = this;
    this.epochMs = world.clock.realtime();
    this.disk = this.disk.afterPowerCut(new Dice(1), 'drop');
    this.writing = true;
    await this.open();
    return this.world;
  }

  private work(): boolean {
    const wrote = this.crew.stepWriter();
    return this.crew.stepKeeper() || wrote;
  }

  private async open(): Promise<void> {
    const { disk } = this;
    const storage = new EmbeddedStorage({
      directory: '/data',
      disk,
      random: new Dice(1),
      crew: (directory) => {
        this.crew = new InlineCrew(disk, directory, true, NO_FAULTS);
        return this.crew;
      },
      segmentBytes: 256 * 1024,
      ballastBytes: 0,
      freeBytesMin: 0,
    });
    this.world = new World({ ...this.options, storage, durability: Durability.Fsync });
    if (this.epochMs !== 0) this.world.clock.advance(this.epochMs - this.world.clock.realtime());
    let opened = false;
    const opening = this.world.open().then(() => {
      opened = true;
    });
    while (!opened) {
      // The crew exists only once the storage has read the disk.
      if (this.crew !== undefined) this.work();
      await Promise.resolve();
    }
    await opening;
  }
}
