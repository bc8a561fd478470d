// An embedded store whose writer and keeper work when a test says so.
import { InlineCrew } from '../../src/storage/embedded/crew.ts';
import { NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import type { Damage } from '../../src/storage/embedded/recovery.ts';
import { EmbeddedStorage, READ_CACHE_BYTES } from '../../src/storage/embedded/storage.ts';
import type { RecoveryReport } from '../../src/storage/storage.ts';
import { Dice } from '../sim/dice.ts';
import type { SimDisk } from '../sim/sim-disk.ts';
import { CODECS, RecordingListener } from './harness.ts';

export interface Opened {
  readonly storage: EmbeddedStorage;
  readonly crew: InlineCrew;
  readonly listener: RecordingListener;
  readonly damages: Damage[];
  readonly report: RecoveryReport;
  work(): void;
}

export async function open(disk: SimDisk, readCacheBytes = READ_CACHE_BYTES): Promise<Opened> {
  let crew!: InlineCrew;
  const listener = new RecordingListener();
  const damages: Damage[] = [];
  const storage = new EmbeddedStorage({
    directory: '/data',
    disk,
    random: new Dice(3),
    crew: (directory) => {
      crew = new InlineCrew(disk, directory, true, NO_FAULTS);
      return crew;
    },
    segmentBytes: 4 * 1024 * 1024,
    ballastBytes: 0,
    freeBytesMin: 0,
    freeShareMin: 0,
    readCacheBytes,
    onDamage: (damage) => damages.push(damage),
  });
  const report = await storage.open(CODECS, listener);
  const work = (): void => {
    for (let i = 0; i < 100_000 && (crew.stepWriter() || crew.stepKeeper()); i++);
  };
  return { storage, crew, listener, damages, report, work };
}

export async function stop(one: Opened): Promise<void> {
  let closed = false;
  const closing = one.storage.close().then(() => {
    closed = true;
  });
  while (!closed) {
    one.work();
    await new Promise(setImmediate);
  }
  await closing;
}
