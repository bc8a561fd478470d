// How long a new client waits: a process of its own that, once told to begin, connects, is taken (CONNACK), leaves and comes again, all the time. Measured from before the TCP connect. It pauses between two of
// them, longer where they take long, so that it is no load itself.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { killAtExit } from './brokers/process.ts';
import { PlainClient } from './plain-client.ts';
import { quantile } from './statistics.ts';

const PAUSE_MS_MIN = 25;
const PAUSE_MS_MAX = 200;
/** The pause, in times of what the last connect took. */
const PAUSE_TIMES = 5;

export interface Connects {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
}

export class ConnectProbe {
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  static async start(port: number, user: string, password: string): Promise<ConnectProbe> {
    const child = fork(fileURLToPath(import.meta.url), ['--connect', JSON.stringify({ port, user, password })]);
    killAtExit(child);
    await new Promise((resolve) => child.once('message', resolve).once('exit', resolve));
    return new ConnectProbe(child);
  }

  begin(): void {
    if (this.child.connected) this.child.send('begin', () => undefined);
  }

  /** What was measured since it began. A client that is still on its way counts with the time it has taken. Nothing when the process has ended. */
  take(): Promise<Connects | null> {
    return new Promise((resolve) => {
      const onExit = (): void => resolve(null);
      this.child.once('exit', onExit);
      this.child.once('message', (connects) => {
        this.child.off('exit', onExit);
        resolve(connects as Connects);
      });
      if (this.child.connected) this.child.send('take', (error) => error !== null && resolve(null));
      else resolve(null);
    });
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}

async function connectAgainAndAgain(port: number, user: string, password: string): Promise<void> {
  const times: number[] = [];
  let beganAt = 0;
  let begin: (value: unknown) => void;
  const begun = new Promise((resolve) => {
    begin = resolve;
  });
  process.on('message', (what) => {
    if (what === 'begin') {
      begin(undefined);
      return;
    }
    const all = [...times, ...(beganAt === 0 ? [] : [performance.now() - beganAt])].sort((a, b) => a - b);
    process.send?.({
      count: all.length,
      p50Ms: quantile(all, 0.5),
      p99Ms: quantile(all, 0.99),
      worstMs: all.at(-1) ?? 0,
    } satisfies Connects);
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
  await begun;
  for (let number = 0; ; number++) {
    beganAt = performance.now();
    const client = new PlainClient(port);
    await client.connect(`newcomer-${process.pid}-${number}`, true, user, password);
    const took = performance.now() - beganAt;
    times.push(took);
    beganAt = 0;
    client.leave();
    await new Promise((resolve) =>
      setTimeout(resolve, Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, took * PAUSE_TIMES))),
    );
  }
}

if (process.argv[2] === '--connect') {
  const { port, user, password } = JSON.parse(process.argv[3]!) as { port: number; user: string; password: string };
  // A broker that ends, or refuses, ends the probe.
  await connectAgainAndAgain(port, user, password).catch(() => process.exit(1));
}
