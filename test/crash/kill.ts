// The kill campaign: the broker is ended by SIGKILL at random moments under load, at named steps of its work on files, during recovery from the last kill, and during an orderly stop; nothing it
// has confirmed may be missing afterwards. A kill leaves the page cache alone, so this says nothing about power cuts: those are power.ts.
//
//   npm run crash:kill -- [--cycles 1000] [--seed S] [--fresh 100] [--verify 10] [--set PATH=VALUE] [--write]
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Dice } from '../sim/dice.ts';
import { type Arguments, type Outcome, Run, readArguments, type Say, toConsole } from './campaign.ts';
import type { Load } from './cast.ts';
import { Lives } from './lives.ts';
import { writeResults } from './results.ts';
import { type Failpoint, Shim } from './shim.ts';

/**
 * cycles: lives that end by a fault. fresh: after so many the data directory is a new one. verify: after so many everything is taken and judged. max: milliseconds a life lasts at most.
 * stop: ends at the first violation when 1.
 */
export const KILL_DEFAULTS = { cycles: 1000, seed: 0, fresh: 100, verify: 10, max: 2000, stop: 0 } as const;
export type KillArguments = Arguments<typeof KILL_DEFAULTS>;

type Step = Pick<Failpoint, 'call' | 'name' | 'when'> & { readonly title: string; readonly kMax: number };

/** Steps under load. kMax: how many such calls a life of a second or two makes, about. */
const STEPS: readonly Step[] = [
  { title: 'before a frame is written', call: 'write', name: '.segment', when: 'before', kMax: 300 },
  { title: 'in the middle of a frame', call: 'write', name: '.segment', when: 'half', kMax: 300 },
  { title: 'after a frame is written', call: 'write', name: '.segment', when: 'after', kMax: 300 },
  { title: 'before a sync', call: 'sync', name: '', when: 'before', kMax: 300 },
  { title: 'after a sync', call: 'sync', name: '', when: 'after', kMax: 300 },
  { title: 'while a segment is made', call: 'write', name: '.segment.making', when: 'half', kMax: 60 },
  { title: 'before a segment is in place', call: 'rename', name: '.segment', when: 'before', kMax: 3 },
  { title: 'after a segment is in place', call: 'rename', name: '.segment', when: 'after', kMax: 3 },
  { title: 'before the directory is synced', call: 'sync', name: '/', when: 'before', kMax: 4 },
  { title: 'after the directory is synced', call: 'sync', name: '/', when: 'after', kMax: 4 },
  { title: 'before a segment is removed', call: 'unlink', name: '.segment', when: 'before', kMax: 1 },
  { title: 'while the reserve is made', call: 'write', name: 'ballast', when: 'half', kMax: 60 },
];

/** Steps of an orderly stop. */
const STOP_STEPS: readonly Step[] = [
  { title: 'in the middle of a checkpoint', call: 'write', name: '.checkpoint.making', when: 'half', kMax: 1 },
  {
    title: 'between the copies of a checkpoint',
    call: 'write',
    name: '.checkpoint-copy.making',
    when: 'before',
    kMax: 1,
  },
  { title: 'before a checkpoint is in place', call: 'rename', name: '.checkpoint', when: 'before', kMax: 1 },
  { title: 'after a checkpoint is in place', call: 'rename', name: '.checkpoint', when: 'after', kMax: 1 },
  {
    title: 'before the copy of a checkpoint is in place',
    call: 'rename',
    name: '.checkpoint-copy',
    when: 'before',
    kMax: 1,
  },
  { title: 'before the checkpoint before goes', call: 'unlink', name: '.checkpoint', when: 'before', kMax: 1 },
  { title: 'after the checkpoint before went', call: 'unlink', name: '.checkpoint', when: 'after', kMax: 1 },
];

/** Steps of a recovery after a kill. */
const RECOVERY_STEPS: readonly Step[] = [
  { title: 'while the tail is copied', call: 'write', name: '.segment.making', when: 'half', kMax: 1 },
  { title: 'before the copied tail is synced', call: 'sync', name: '.segment.making', when: 'before', kMax: 1 },
  { title: 'before the copied tail is in place', call: 'rename', name: '.segment', when: 'before', kMax: 1 },
  { title: 'after the copied tail is in place', call: 'rename', name: '.segment', when: 'after', kMax: 1 },
  { title: 'while a segment that stood ready is renewed', call: 'write', name: '.segment', when: 'before', kMax: 2 },
  { title: 'before recovery syncs the directory', call: 'sync', name: '/', when: 'before', kMax: 2 },
  { title: 'while the lock is taken', call: 'link', name: '', when: 'after', kMax: 1 },
];

export async function killCampaign({ numbers, settings }: KillArguments, say: Say): Promise<Outcome> {
  const { cycles, fresh, verify } = numbers;
  const seed = numbers.seed === 0 ? (Date.now() % 1_000_000_000) + 1 : numbers.seed;
  const run = new Run(
    'crash:kill',
    seed,
    `npm run crash:kill -- --cycles ${cycles} --seed ${seed} --fresh ${fresh} --verify ${verify}`,
    say,
  );
  const built = Shim.build(run.folder);
  const shim = built instanceof Shim ? built : null;
  if (!(built instanceof Shim)) say(`crash:kill: no failpoints, random kills only: ${built}`);
  let tornTails = 0;
  let recoveryMsMax = 0;
  let starts = 0;
  for (let first = 0; first < cycles; first += fresh) {
    const folder = run.makeFolder(`directory-${first}`);
    const lives = new Lives({ run, folder, seed: seed + first, settings });
    const count = Math.min(fresh, cycles - first);
    for (let i = 0; i < count; i++) {
      run.cycles++;
      lives.journal.where = `cycle ${run.cycles}`;
      starts += await new Cycle(run, lives, shim, new Dice(seed * 7919 + run.cycles), numbers.max).live();
      if ((i + 1) % verify === 0 || i + 1 === count) {
        const broker = await lives.verify();
        await broker?.kill();
        if (broker !== null) await lives.bury(broker);
      }
      if (run.cycles % 10 === 0) run.progress();
      if (numbers.stop === 1 && lives.journal.counts.violations > 0) break;
    }
    tornTails += lives.tornTails;
    recoveryMsMax = Math.max(recoveryMsMax, lives.recoveryMsMax);
    run.finish(lives.journal, folder);
    if (numbers.stop === 1 && run.counts.violations > 0) break;
  }
  run.figures.push(
    `brokers started ${starts}, torn tails cut ${tornTails}, longest recovery ${recoveryMsMax.toFixed(0)} ms`,
    ...(shim === null ? [`no failpoints: ${String(built)}`] : []),
  );
  return run.end();
}

class Cycle {
  private readonly run: Run;
  private readonly lives: Lives;
  private readonly shim: Shim | null;
  private readonly dice: Dice;
  private readonly msMax: number;
  private starts = 0;

  constructor(run: Run, lives: Lives, shim: Shim | null, dice: Dice, msMax: number) {
    this.run = run;
    this.lives = lives;
    this.shim = shim;
    this.dice = dice;
    this.msMax = msMax;
  }

  /** Returns how many brokers it took. */
  async live(): Promise<number> {
    const { dice } = this;
    for (let crashes = dice.chance(0.25) ? 1 + dice.below(3) : 0; crashes > 0; crashes--) await this.crashRecovery();
    const way = dice.below(10);
    if (way < 5) await this.crashRandomly();
    else if (way < 8) await this.crashAt(dice.pick(STEPS));
    else await this.crashStop();
    return this.starts;
  }

  /** Between 5 ms and the longest, short ones as often as long ones. */
  private get lifeMs(): number {
    return 5 * (this.msMax / 5) ** (this.dice.next() / 2 ** 32);
  }

  private get load(): Load {
    const { dice } = this;
    const messages = dice.pick([30, 300, 300, 1000, 3000]);
    return { messages, largeMessages: dice.chance(0.15) ? 400 : 20 };
  }

  /** A broker that is killed before it listens. */
  private async crashRecovery(): Promise<void> {
    const { dice, lives, run, shim } = this;
    this.starts++;
    if (shim !== null && dice.chance(0.5)) {
      const step = dice.pick(RECOVERY_STEPS);
      const broker = lives.start(this.arm(step, 1 + dice.below(step.kMax)));
      const ports = await Promise.race([broker.listening, broker.exited.then(() => null)]);
      run.faults.count(`kill in recovery ${step.title}`, shim.hits > 0);
      if (ports !== null) await broker.kill();
      else if (shim.hits === 0) lives.endedByItself(broker, await broker.exited);
      await lives.bury(broker);
      return;
    }
    const broker = lives.start();
    await Promise.race([delay(lives.startMs * (0.3 + 0.8 * (dice.next() / 2 ** 32))), broker.exited]);
    const { phase, alive } = broker;
    if (!alive) lives.endedByItself(broker, await broker.exited);
    await broker.kill();
    if (phase !== 'listening') run.faults.count('kill during recovery', phase === 'opening');
    await lives.bury(broker);
  }

  private async crashRandomly(): Promise<void> {
    const { lives, run } = this;
    this.starts++;
    const started = await lives.startWell();
    if (started === null) return;
    const { broker, ports } = started;
    const acknowledged = lives.journal.counts.acknowledged;
    const over = new AbortController();
    const work = lives.work(ports, this.load, over.signal);
    await Promise.race([delay(this.lifeMs), broker.exited]);
    const died = !broker.alive;
    const busy = lives.cast.underway > 0 || lives.journal.counts.acknowledged > acknowledged;
    const exit = await broker.kill();
    over.abort();
    if (died) lives.endedByItself(broker, exit);
    run.faults.count('kill under load', busy);
    await lives.bury(broker);
    await work;
  }

  private async crashAt(step: Step): Promise<void> {
    const { lives, run, shim, dice } = this;
    if (shim === null) {
      await this.crashRandomly();
      return;
    }
    this.starts++;
    const broker = lives.start(this.arm(step, Math.max(1, Math.round(step.kMax ** (dice.next() / 2 ** 32)))));
    const ports = await broker.listening;
    const over = new AbortController();
    const work = ports === null ? Promise.resolve() : lives.work(ports, this.load, over.signal);
    if (ports !== null) await Promise.race([delay(this.msMax), broker.exited]);
    const died = !broker.alive;
    const exit = await broker.kill();
    over.abort();
    if (died && shim.hits === 0) lives.endedByItself(broker, exit);
    run.faults.count(`kill ${step.title}`, shim.hits > 0);
    await lives.bury(broker);
    await work;
  }

  /** An orderly stop: at rest or under load, whole or cut short. */
  private async crashStop(): Promise<void> {
    const { lives, run, shim, dice } = this;
    this.starts++;
    const step = shim !== null && dice.chance(0.5) ? dice.pick(STOP_STEPS) : null;
    const broker = lives.start(step === null ? {} : this.arm(step, 1));
    const ports = await broker.listening;
    const over = new AbortController();
    const work = ports === null ? Promise.resolve() : lives.work(ports, this.load, over.signal);
    if (ports !== null) await Promise.race([delay(this.lifeMs), broker.exited]);
    const hitBefore = step !== null && shim!.hits > 0;
    if (!broker.alive && !hitBefore) lives.endedByItself(broker, await broker.exited);
    over.abort();
    if (step !== null) {
      const cut = setTimeout(() => broker.process.kill('SIGKILL'), 5000);
      await broker.kill('SIGTERM');
      clearTimeout(cut);
      run.faults.count(`kill while stopping ${step.title}`, shim!.hits > 0);
      await lives.bury(broker);
    } else if (dice.chance(0.5)) {
      broker.process.kill('SIGTERM');
      await Promise.race([delay(dice.below(60)), broker.exited]);
      const { alive } = broker;
      await broker.kill();
      run.faults.count('kill while stopping', alive);
      await lives.bury(broker);
    } else {
      await lives.stop(broker);
      run.faults.count('orderly stop', true);
    }
    await work;
  }

  private arm(step: Step, k: number): NodeJS.ProcessEnv {
    const { call, name, when } = step;
    return this.shim!.arm({ call, name, when, k, action: 'kill' }, this.lives.data);
  }
}

async function main(): Promise<void> {
  const args = readArguments(KILL_DEFAULTS, process.argv.slice(2));
  const outcome = await killCampaign(args, toConsole);
  if (args.write) writeResults([outcome]);
  process.exitCode = outcome.failure === '' ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
