// Lives that end by a fault, one after the other on the same data directory: what the kill and the power campaign have in common. They differ in the blow that ends a life, and in what has to be
// done to the disk before the next one.
import { setTimeout as delay } from 'node:timers/promises';
import { Dice } from '../sim/dice.ts';
import type { CrashBroker, Exit } from './broker.ts';
import type { Run } from './campaign.ts';
import type { Load } from './cast.ts';
import { Lives } from './lives.ts';
import { type Failpoint, Shim } from './shim.ts';
import { RECOVERY_STEPS, STEPS, STOP_STEPS, type Step } from './steps.ts';

/**
 * cycles: lives that end by a fault. seed: 0 takes one from the clock. fresh: after so many the data directory is a new one. verify: after so many everything is taken and judged. max:
 * milliseconds a life lasts at most. stop: 1 ends at the first violation. lie: 1 has every sync do nothing, so that a power cut must show: it tests the campaign, not the broker.
 */
export const CYCLE_DEFAULTS = { cycles: 1000, seed: 0, fresh: 100, verify: 10, max: 2000, stop: 0, lie: 0 } as const;
export type CycleNumbers = { readonly [K in keyof typeof CYCLE_DEFAULTS]: number };

/** How a life ends, and where it takes place. */
export interface Blow {
  readonly verb: 'kill' | 'cut';
  /** What shim.c does for it. */
  readonly action: Failpoint['action'];
  /** Ends the broker, if it has not ended by itself. */
  strike(broker: CrashBroker): Promise<Exit>;
  /** Makes the disk fit for the next life. */
  heal(): void;
}

export interface Place {
  readonly blow: Blow;
  /** The data directory. */
  readonly data: string;
  /** The place goes; what is in `folder` stays. */
  close(): void;
}

/** Of the clock, where none is asked for. */
export function seedOf(asked: number): number {
  return asked === 0 ? (Date.now() % 1_000_000_000) + 1 : asked;
}

const LIE: Failpoint = { call: 'sync', name: '', k: 1, when: 'before', action: 'skip', sticky: true };

export async function runCycles(
  run: Run,
  numbers: CycleNumbers,
  settings: readonly string[],
  open: (folder: string) => Place,
): Promise<void> {
  const { cycles, fresh, verify, stop } = numbers;
  const built = Shim.build(run.folder);
  const shim = built instanceof Shim ? built : null;
  let tornTails = 0;
  let recoveryMsMax = 0;
  let starts = 0;
  for (let first = 0; first < cycles && (stop === 0 || run.counts.violations === 0); first += fresh) {
    const folder = run.makeFolder(`directory-${first}`);
    const place = open(folder);
    const env = numbers.lie === 0 || shim === null ? {} : shim.arm(LIE, place.data);
    const diskDies = place.blow.action === 'cut';
    const lives = new Lives({ run, folder, data: place.data, seed: run.seed + first, settings, env, diskDies });
    const count = Math.min(fresh, cycles - first);
    for (let i = 0; i < count && (stop === 0 || lives.journal.counts.violations === 0); i++) {
      run.cycles++;
      lives.journal.where = `cycle ${run.cycles}`;
      const dice = new Dice(run.seed * 7919 + run.cycles);
      starts += await new Cycle(run, lives, shim, place.blow, dice, numbers.max).live();
      if ((i + 1) % verify === 0 || i + 1 === count) {
        const broker = await lives.verify();
        if (broker !== null) {
          await place.blow.strike(broker);
          await lives.bury(broker);
          place.blow.heal();
        }
      }
      if (run.cycles % 10 === 0) run.progress();
    }
    tornTails += lives.tornTails;
    recoveryMsMax = Math.max(recoveryMsMax, lives.recoveryMsMax);
    place.close();
    run.finish(lives.journal, folder);
  }
  run.figures.push(
    `brokers started ${starts}, torn tails cut off ${tornTails}, longest recovery ${recoveryMsMax.toFixed(0)} ms`,
    ...(shim === null ? [`no failpoints: ${String(built)}`] : []),
  );
}

class Cycle {
  private readonly run: Run;
  private readonly lives: Lives;
  private readonly shim: Shim | null;
  private readonly blow: Blow;
  private readonly dice: Dice;
  private readonly msMax: number;
  private starts = 0;

  constructor(run: Run, lives: Lives, shim: Shim | null, blow: Blow, dice: Dice, msMax: number) {
    this.run = run;
    this.lives = lives;
    this.shim = shim;
    this.blow = blow;
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

  /** A broker that ends before it listens. */
  private async crashRecovery(): Promise<void> {
    const { dice, lives, run, shim, blow } = this;
    this.starts++;
    if (shim !== null && dice.chance(0.5)) {
      const step = dice.pick(RECOVERY_STEPS);
      const broker = lives.start(this.arm(step, 1 + dice.below(step.kMax)));
      const ports = await broker.listening;
      run.faults.count(`${blow.verb} in recovery ${step.title}`, shim.hits > 0);
      if (ports === null && shim.hits === 0) lives.endedByItself(broker, await broker.exited);
      await this.end(broker);
      return;
    }
    const broker = lives.start();
    await Promise.race([delay(lives.startMs * (0.3 + 0.8 * (dice.next() / 2 ** 32))), broker.exited]);
    const { phase, alive } = broker;
    if (!alive) lives.endedByItself(broker, await broker.exited);
    if (phase !== 'listening') run.faults.count(`${blow.verb} during recovery`, phase === 'opening');
    await this.end(broker);
  }

  private async crashRandomly(): Promise<void> {
    const { lives, run, blow } = this;
    this.starts++;
    const started = await lives.startWell();
    if (started === null) return;
    const { broker, ports } = started;
    const acknowledged = lives.journal.counts.acknowledged;
    const over = new AbortController();
    const work = lives.work(ports, this.load, over.signal);
    await Promise.race([delay(this.lifeMs), broker.exited]);
    if (!broker.alive) lives.endedByItself(broker, await broker.exited);
    const busy = lives.cast.underway > 0 || lives.journal.counts.acknowledged > acknowledged;
    run.faults.count(`${blow.verb} under load`, busy);
    await this.end(broker, over);
    await work;
  }

  private async crashAt(step: Step): Promise<void> {
    const { lives, run, shim, dice, blow } = this;
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
    if (!broker.alive && shim.hits === 0) lives.endedByItself(broker, await broker.exited);
    run.faults.count(`${blow.verb} ${step.title}`, shim.hits > 0);
    await this.end(broker, over);
    await work;
  }

  /** An orderly stop: at rest or under load, whole or cut short. */
  private async crashStop(): Promise<void> {
    const { lives, run, shim, dice, blow } = this;
    this.starts++;
    const step = shim !== null && dice.chance(0.5) ? dice.pick(STOP_STEPS) : null;
    const broker = step === null ? lives.start() : lives.start(this.arm(step, 1));
    const ports = await broker.listening;
    const over = new AbortController();
    const work = ports === null ? Promise.resolve() : lives.work(ports, this.load, over.signal);
    if (ports !== null) await Promise.race([delay(this.lifeMs), broker.exited]);
    const struck = (): boolean => step !== null && shim!.hits > 0;
    if (!broker.alive && !struck()) lives.endedByItself(broker, await broker.exited);
    if (step === null && dice.chance(0.5)) {
      over.abort();
      await lives.stop(broker);
      run.faults.count('orderly stop', true);
    } else {
      broker.process.kill('SIGTERM');
      await Promise.race([delay(step === null ? dice.below(60) : STOP_STEP_MS_MAX), broker.exited]);
      if (step === null) run.faults.count(`${blow.verb} while stopping`, broker.alive);
      else run.faults.count(`${blow.verb} while stopping ${step.title}`, struck());
      await this.end(broker, over);
    }
    await work;
  }

  /** The blow falls, if the broker has not ended by itself, and what is left is cleared away. */
  private async end(broker: CrashBroker, over?: AbortController): Promise<void> {
    await this.blow.strike(broker);
    over?.abort();
    await this.lives.bury(broker);
    this.blow.heal();
  }

  private arm({ call, name, when }: Step, k: number): NodeJS.ProcessEnv {
    return this.shim!.arm({ call, name, when, k, action: this.blow.action }, this.lives.data);
  }
}

/** An orderly stop that is to be struck at some step is over by then, or hangs. */
const STOP_STEP_MS_MAX = 5000;
