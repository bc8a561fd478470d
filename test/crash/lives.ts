// One data directory and the lives of the broker on it: start, let the cast work, end it by a fault, look at what is left. Used by all campaigns; what differs between them is how a life ends.
import { setTimeout as delay } from 'node:timers/promises';
import { CrashBroker, type Exit, type Ports } from './broker.ts';
import type { Run } from './campaign.ts';
import { Cast, type Load } from './cast.ts';
import type { Excuse, Journal } from './journal.ts';

/** A session's queue drops its oldest beyond its limit, as promised; here nothing is to be dropped. */
const UNLIMITED = ['mqtt.queueBytesMax=64GiB'];
/** A broker that was told to stop has to be gone by then. */
const STOP_MS_MAX = 20_000;
/** What the kernel still has of a dead broker's output is read within this time. */
const LEFTOVERS_MS_MAX = 3000;
/** Why a read from a dead disk fails: damage is found by its checksum. */
const DEAD_DISK = /^EIO\b/;

export interface LivesOptions {
  readonly run: Run;
  readonly folder: string;
  readonly seed: number;
  readonly settings: readonly string[];
  /** The data directory, where it is not `folder`/data. */
  readonly data?: string;
  /** For every broker that is not given another one. */
  readonly env?: NodeJS.ProcessEnv;
  /** Damage in the log is to be expected. */
  readonly expectDamage?: boolean;
  /** The disk may die before the broker does, which then says that it can not read: that is no damage. */
  readonly diskDies?: boolean;
}

export class Lives {
  readonly journal: Journal;
  readonly cast: Cast;
  readonly folder: string;
  readonly data: string;
  /** Of the last start that was not disturbed. */
  startMs = 150;
  tornTails = 0;
  recoveryMsMax = 0;
  private readonly settings: readonly string[];
  private readonly env: NodeJS.ProcessEnv;
  private readonly expectDamage: boolean;
  private readonly diskDies: boolean;
  private begun = false;

  constructor({ run, folder, seed, settings, data, env = {}, expectDamage = false, diskDies = false }: LivesOptions) {
    this.folder = folder;
    this.data = data ?? `${folder}/data`;
    this.settings = [...UNLIMITED, ...settings];
    this.env = env;
    this.expectDamage = expectDamage;
    this.diskDies = diskDies;
    this.journal = run.journal();
    this.cast = new Cast(this.journal, seed);
  }

  start(env: NodeJS.ProcessEnv = this.env): CrashBroker {
    this.journal.newLife();
    return new CrashBroker({ folder: this.folder, data: this.data, settings: this.settings, env });
  }

  /** Starts a broker that has every reason to start. Null when it does not, which is a violation. */
  async startWell(): Promise<{ broker: CrashBroker; ports: Ports } | null> {
    const broker = this.start();
    const ports = await broker.listening;
    if (ports === null) {
      const { code, signal } = await broker.exited;
      this.journal.violation('liveness', `the broker did not start (${signal ?? code}): ${broker.complaints()}`);
      return null;
    }
    this.startMs = broker.startMs;
    return { broker, ports };
  }

  /** Looks at what is there, then works; until `signal`. */
  async work(ports: Ports, load: Load, signal: AbortSignal): Promise<void> {
    if (!this.begun) {
      await this.cast.begin(ports);
      this.begun = true;
    } else if (!(await this.cast.look(ports)) || signal.aborted) return;
    if (signal.aborted) return;
    this.cast.load(ports, load);
    await this.cast.shake(signal);
  }

  /** A dead broker's output is read to its end, and what it logged is judged. */
  async bury(broker: CrashBroker): Promise<Exit> {
    const exit = await broker.exited;
    const until = performance.now() + LEFTOVERS_MS_MAX;
    while (this.cast.openCount > 0 && performance.now() < until) await delay(2);
    this.cast.hangUp();
    for (const { tornTailBytes, durationMs } of broker.find('recovered')) {
      if (Number(tornTailBytes) > 0) this.tornTails++;
      this.recoveryMsMax = Math.max(this.recoveryMsMax, Number(durationMs));
    }
    if (!this.expectDamage) {
      for (const line of broker.find('damage')) {
        if (!(this.diskDies && DEAD_DISK.test(String(line.reason))))
          this.journal.violation('damage', JSON.stringify(line));
      }
    }
    return exit;
  }

  /** It ended although nobody wanted it to. */
  endedByItself(broker: CrashBroker, { code, signal }: Exit): void {
    this.journal.violation('liveness', `the broker ended by itself (${signal ?? code}): ${broker.complaints()}`);
  }

  /** Starts once more, takes everything there is, and judges. Leaves the broker running; null when it did not start. */
  async verify(excused?: Excuse): Promise<CrashBroker | null> {
    const started = await this.startWell();
    if (started === null) return null;
    const { broker, ports } = started;
    if (!this.begun) {
      await this.cast.begin(ports);
      this.begun = true;
    }
    await this.cast.look(ports);
    await this.cast.drain(ports, excused);
    if (!broker.alive) this.endedByItself(broker, await broker.exited);
    return broker;
  }

  /** SIGTERM, and the end it has to come to. */
  async stop(broker: CrashBroker): Promise<void> {
    const late = setTimeout(() => {
      this.journal.violation('liveness', `the broker did not stop within ${STOP_MS_MAX} ms`);
      broker.process.kill('SIGKILL');
    }, STOP_MS_MAX);
    const { code } = await broker.kill('SIGTERM');
    clearTimeout(late);
    if (code !== 0)
      this.journal.violation('liveness', `told to stop, the broker ended with ${code}: ${broker.complaints()}`);
    await this.bury(broker);
  }
}
