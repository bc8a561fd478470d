// A disk that fails. Injected: the k-th sync (or synced write) fails with EIO, once or from then on; what was confirmed before must survive, nothing may be confirmed after, and a broker whose log was
// struck ends with a message. In half of the runs the power is cut afterwards as well, because the page cache may show what the disk does not have. Real: the ext4 below runs out of backing store.
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Dice } from '../sim/dice.ts';
import type { Run } from './campaign.ts';
import { Lives } from './lives.ts';
import { LoopDisk, MemoryDisk } from './loop-disk.ts';
import { type Failpoint, failpointName, type Shim } from './shim.ts';

const IMAGE_MIB = 1024;
/** On a machine that does little else a life is over much sooner: the sync that is to fail comes within the first second. */
const LIFE_MS_MAX = 30_000;
/** From the failed call to the end of the process. */
const END_MS_MAX = 15_000;
/** What else was struck is lived with so long, and then the life ends. */
const OTHER_MS_MAX = 300;
/** Long enough to use up the backing store. */
const REAL_LIFE_MS_MAX = 15_000;

/** Every k from `from` to `to`, once and from then on. */
export async function syncErrors(
  run: Run,
  shim: Shim,
  from: number,
  to: number,
  settings: readonly string[],
): Promise<void> {
  const dice = new Dice(run.seed);
  const ended = { log: 0, other: 0, wentOn: 0 };
  const folder = run.makeFolder('errors');
  // Without root there is no disk whose power could be cut; the errors are injected all the same.
  const disk = LoopDisk.whyNot(run.makeFolder('errors-trial')) === '' ? LoopDisk.make(folder, IMAGE_MIB) : null;
  for (let k = from; k <= to; k++) {
    for (const sticky of [false, true]) {
      run.cycles++;
      const when = dice.chance(0.5) ? 'before' : 'after';
      const failpoint: Failpoint = { call: 'sync', name: '', k, when, action: 'eio', sticky };
      const data = disk?.path('data') ?? `${folder}/data`;
      rmSync(data, { recursive: true, force: true });
      const lives = new Lives({ run, folder, data, seed: run.seed + run.cycles, settings });
      lives.journal.where = failpointName(failpoint);
      const how = await struckLife(lives, shim, failpoint, data);
      if (how !== null) ended[how]++;
      run.faults.count(`EIO at a sync, ${sticky ? 'from then on' : 'once'}`, how !== null);
      if (disk !== null && dice.chance(0.5)) {
        disk.cut();
        disk.remount();
      }
      const broker = await lives.verify();
      await broker?.kill();
      if (broker !== null) await lives.bury(broker);
      const bad = lives.journal.counts.violations > 0;
      if (bad) disk?.unmount();
      run.finish(lives.journal, bad ? folder : data);
      if (bad) return;
      if (run.cycles % 20 === 0) run.progress();
    }
  }
  disk?.unmount();
  run.figures.push(
    `EIO at k = ${from}…${to}: the log was struck and the broker ended ${ended.log} times, something else was struck and it ended ${ended.other} times, or went on ${ended.wentOn} times`,
  );
}

/** What became of the broker; null when nothing was struck. */
async function struckLife(
  lives: Lives,
  shim: Shim,
  failpoint: Failpoint,
  data: string,
): Promise<'log' | 'other' | 'wentOn' | null> {
  const { journal } = lives;
  const broker = lives.start(shim.arm(failpoint, data));
  const ports = await broker.listening;
  const over = new AbortController();
  const load = { messages: 2000, largeMessages: 200 };
  const work = ports === null ? Promise.resolve() : lives.work(ports, load, over.signal);
  const began = performance.now();
  let struckAt = 0;
  let logStruckAt = 0;
  // A life that is over, or has to be: the log was struck. What else was struck the broker may live with.
  const lifeEnds = (now: number): boolean => {
    if (logStruckAt > 0) return now - logStruckAt > END_MS_MAX;
    return now - began > LIFE_MS_MAX || (struckAt > 0 && now - struckAt > OTHER_MS_MAX);
  };
  while (broker.alive && !lifeEnds(performance.now())) {
    await Promise.race([delay(20), broker.exited]);
    const now = performance.now();
    if (struckAt === 0 && shim.hits > 0) struckAt = now;
    if (logStruckAt === 0 && logWasStruck(shim)) logStruckAt = now;
  }
  over.abort();
  const byItself = !broker.alive;
  const exit = byItself ? await broker.exited : await broker.kill();
  await lives.bury(broker);
  await work;
  if (shim.hits === 0) {
    if (byItself) lives.endedByItself(broker, exit);
    return null;
  }
  if (!byItself) {
    // Where it was struck after the last look, nobody has waited for its end.
    if (logStruckAt === 0) return 'wentOn';
    journal.violation('liveness', `a sync of the log failed, and the broker went on: ${shim.struck.join(' ')}`);
    return 'log';
  }
  if (exit.code === 0 || exit.code === null || !/EIO|i\/o error/i.test(broker.complaints()))
    journal.violation(
      'liveness',
      `the broker ended with ${exit.signal ?? exit.code}, without saying why: ${broker.complaints()}`,
    );
  return logWasStruck(shim) ? 'log' : 'other';
}

/** A segment in use: nothing may be confirmed any more. */
function logWasStruck(shim: Shim): boolean {
  return shim.struck.some((path) => path.endsWith('.segment'));
}

/** ext4 in a file on a memory disk that is too small for it: writes are taken, and fail when they are to reach the disk. */
export async function realErrors(run: Run, rounds: number, settings: readonly string[]): Promise<void> {
  const dice = new Dice(run.seed);
  for (let round = 0; round < rounds; round++) {
    run.cycles++;
    const folder = run.makeFolder(`real-${round}`);
    const backing = new MemoryDisk(`${folder}/backing`, 180 + dice.below(200));
    const disk = LoopDisk.make(folder, 1024, backing.path('image'));
    const data = disk.path('data');
    const lives = new Lives({ run, folder, data, seed: run.seed + round, settings, diskDies: true });
    lives.journal.where = `real errors, round ${round + 1}`;
    const broker = lives.start();
    const ports = await broker.listening;
    if (ports !== null) {
      await lives.cast.begin(ports);
      lives.cast.publishOnly(ports, { messages: 1000, largeMessages: 1_000_000 });
      await Promise.race([delay(REAL_LIFE_MS_MAX), broker.exited]);
      lives.cast.stop();
    }
    // What the kernel says depends on what failed first: the data (EIO, ENOSPC), or the journal, after which the file system takes no more (EROFS).
    const ended = !broker.alive && /EIO|ENOSPC|EROFS/.test(broker.complaints());
    run.faults.count('a disk that fails for real, and the broker ends', ended);
    if (!ended)
      run.faults.count('a disk that fails for real, and is a full one to the broker', lives.journal.counts.refused > 0);
    if (broker.alive) {
      // The disk cut short is a full one to some calls; then it is the power that ends it.
      disk.cut();
      await broker.kill();
    }
    await lives.bury(broker);
    disk.cut();
    disk.unmount();
    backing.resize(1200);
    disk.check();
    disk.mount();
    const again = await lives.verify();
    await again?.kill();
    if (again !== null) await lives.bury(again);
    disk.unmount();
    backing.unmount();
    run.finish(lives.journal, folder);
  }
}
