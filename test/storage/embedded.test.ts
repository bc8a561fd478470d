import { InlineCrew } from '../../src/storage/embedded/crew.ts';
import { NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { Dice } from '../sim/dice.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { storageConformance } from './conformance.ts';
import type { Engine } from './harness.ts';

for (const direct of [true, false]) {
  storageConformance(`embedded, one thread, ${direct ? 'direct' : 'buffered'} writes`, async (): Promise<Engine> => {
    const disk = new SimDisk();
    disk.directFiles = direct;
    let crew: InlineCrew | null = null;
    return {
      create: () =>
        new EmbeddedStorage({
          directory: '/data',
          disk,
          random: new Dice(1),
          crew: (directory) => {
            crew = new InlineCrew(disk, directory, direct, NO_FAULTS);
            void work();
            return crew;
          },
          segmentBytes: 64 * 1024,
          ballastBytes: 0,
          readCacheBytes: 1,
        }),
      until: async (ready) => {
        for (let i = 0; !ready(); i++) {
          if (i > 100_000) throw new Error('nothing happens any more');
          await Promise.resolve();
        }
      },
      survives: true,
      dispose: () => {
        crew = null;
        return Promise.resolve();
      },
    };

    /** Does the crew's work in microtasks, as long as this crew is the current one. */
    async function work(): Promise<void> {
      await Promise.resolve();
      const mine = crew;
      while (crew !== null && crew === mine) {
        crew.stepWriter();
        crew.stepKeeper();
        await Promise.resolve();
      }
    }
  });
}
