// The disk runs full, by what is published or by a foreign file. Publishers must be refused by the protocol's own means, consumers must be able to drain, the broker must not fall over, also not when
// it is killed and started on a full disk, and when there is room again publishing must go on by itself.
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Dice } from '../sim/dice.ts';
import type { CrashBroker, Ports } from './broker.ts';
import type { Run } from './campaign.ts';
import { Lives } from './lives.ts';
import { fill, LoopDisk, MemoryDisk } from './loop-disk.ts';

const MIB = 1024 * 1024;
/** Room for the reserve, the watermark and some segments. */
const DISK_MIB = 448;
/** What a foreign file leaves: less than the broker wants to have free, or something for the publishers to fill. */
const LEFT_FULL_MIB = 40;
const LEFT_TO_FILL_MIB = 140;
const ROUNDS_PER_DISK = 10;
/** The broker looks at the free space at least this often. */
const NOTICE_MS_MAX = 20_000;
const RESUME_MS_MAX = 10_000;
/** No confirm for so long: paused. */
const STALL_MS = 1500;
const DRAIN_MS_MAX = 90_000;

interface Disk {
  readonly freeBytes: number;
  path(name: string): string;
  unmount(): void;
}

export async function fullRounds(run: Run, rounds: number, settings: readonly string[]): Promise<void> {
  const dice = new Dice(run.seed);
  let resumeMsMax = 0;
  let killedFull = 0;
  for (let first = 0; first < rounds; first += ROUNDS_PER_DISK) {
    const folder = run.makeFolder(`full-${first}`);
    const inMemory = (first / ROUNDS_PER_DISK) % 2 === 1;
    const disk: Disk = inMemory ? new MemoryDisk(`${folder}/disk`, DISK_MIB) : LoopDisk.make(folder, DISK_MIB);
    const lives = new Lives({ run, folder, data: disk.path('data'), seed: run.seed + first, settings });
    lives.journal.where = `full, round ${run.cycles + 1}`;
    let started = await lives.startWell();
    if (started !== null) await lives.cast.begin(started.ports);
    for (let i = first; i < Math.min(rounds, first + ROUNDS_PER_DISK) && started !== null; i++) {
      run.cycles++;
      lives.journal.where = `full, round ${run.cycles}`;
      const round = new Round(lives, disk, started.broker, started.ports, i % 2 === 0);
      const noticed = await round.runFull();
      run.faults.count(round.title, noticed);
      if (i % 4 === 3) {
        killedFull++;
        await started.broker.kill();
        await lives.bury(started.broker);
        started = await lives.startWell();
        if (started === null) break;
        round.goOn(started.broker, started.ports);
      }
      const resumeMs = await round.recover(dice);
      resumeMsMax = Math.max(resumeMsMax, resumeMs);
      if (!started.broker.alive) lives.endedByItself(started.broker, await started.broker.exited);
      if (run.cycles % 10 === 0) run.progress();
    }
    await started?.broker.kill();
    if (started !== null) await lives.bury(started.broker);
    disk.unmount();
    run.finish(lives.journal, folder);
  }
  run.figures.push(
    `disk full: publishing went on at most ${resumeMsMax.toFixed(0)} ms after there was room; killed and started while full ${killedFull} times`,
  );
}

class Round {
  readonly title: string;
  private readonly lives: Lives;
  private readonly disk: Disk;
  private readonly foreign: string;
  private readonly leftBytes: number;
  private broker: CrashBroker;
  private ports: Ports;

  constructor(lives: Lives, disk: Disk, broker: CrashBroker, ports: Ports, byForeignFile: boolean) {
    this.lives = lives;
    this.disk = disk;
    this.broker = broker;
    this.ports = ports;
    this.foreign = disk.path('foreign');
    this.leftBytes = (byForeignFile ? LEFT_FULL_MIB : LEFT_TO_FILL_MIB) * MIB;
    this.title = byForeignFile ? 'disk filled by a foreign file' : 'disk filled by what is published';
  }

  /** The broker was started anew. */
  goOn(broker: CrashBroker, ports: Ports): void {
    this.broker = broker;
    this.ports = ports;
  }

  /** Publishes until the broker does not take more. Resolves with whether it came to that. */
  async runFull(): Promise<boolean> {
    const { lives, disk, foreign } = this;
    const { journal, cast } = lives;
    fill(foreign, Math.max(0, disk.freeBytes - this.leftBytes));
    const refused = journal.counts.refused;
    cast.publishOnly(this.ports, { messages: 200, largeMessages: 1_000_000 });
    const began = performance.now();
    let acknowledged = journal.counts.acknowledged;
    let movedAt = began;
    // Both kinds of answer count: a code that says no, and no answer at all as long as it stays that way.
    while (this.broker.alive && journal.counts.refused === refused) {
      await delay(20);
      const now = performance.now();
      if (journal.counts.acknowledged !== acknowledged) {
        acknowledged = journal.counts.acknowledged;
        movedAt = now;
      }
      if (now - movedAt > STALL_MS) break;
      if (now - began > NOTICE_MS_MAX * 3) {
        journal.violation(
          'liveness',
          `${(disk.freeBytes / MIB).toFixed(0)} MiB are free, and the broker still takes everything`,
        );
        return false;
      }
    }
    if (!this.broker.alive) return false;
    cast.stop();
    return true;
  }

  /** Consumers drain the full broker; then there is room, and what was refused is taken. Returns how long that took. */
  async recover(dice: Dice): Promise<number> {
    const { lives, foreign } = this;
    const { journal, cast } = lives;
    await cast.consume(this.ports);
    journal.lastEventAt = performance.now();
    const began = journal.lastEventAt;
    while (journal.outstanding > 0 && this.broker.alive) {
      await delay(10);
      cast.comeBack();
      const now = performance.now();
      if (now - journal.lastEventAt > STALL_MS * 2 || now - began > DRAIN_MS_MAX) {
        journal.violation('liveness', `${journal.outstanding} messages can not be drained while the disk is full`);
        break;
      }
    }
    await delay(dice.below(100));
    rmSync(foreign, { force: true });
    const room = performance.now();
    cast.more(50);
    while (cast.underway > 0 && this.broker.alive) {
      await delay(10);
      cast.comeBack();
      if (performance.now() - room > RESUME_MS_MAX) {
        journal.violation('liveness', `there is room again, and publishing does not go on within ${RESUME_MS_MAX} ms`);
        break;
      }
    }
    const resumeMs = performance.now() - room;
    if (this.broker.alive) await cast.drain(this.ports);
    return resumeMs;
  }
}
