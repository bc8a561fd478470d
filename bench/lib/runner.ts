// Runs scenarios against brokers: each repetition takes every broker once, in an order that moves on by one each time,
// so that what the machine does meanwhile meets all alike. A broker is started afresh with empty data for each run
// (some slow starters serve all runs), the generator is a process of its own. It keeps every report; the medians are
// taken by summary.ts.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scenario } from '../macro/scenario.ts';
import type { BenchBroker, RunningBroker } from './brokers/broker.ts';
import { killAtExit } from './brokers/process.ts';
import { ConnectProbe, type Connects } from './connect-probe.ts';
import { failedReport, type LoadPlan, type LoadReport, type Phase } from './load/plan.ts';
import type { LoopDelay } from './loop-delay.ts';
import { generatorProgram } from './paths.ts';
import { machineBusySeconds } from './process-figures.ts';

const quietSampleMs = 250;
/** Cores in use by others from which the machine is not quiet. */
const quietCoresMax = 0.3;

export interface RunOptions {
  readonly repeat: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** How long to wait for a quiet machine before each run. */
  readonly quietSeconds: number;
  readonly onReport: (run: Run) => void;
}

export interface Run {
  readonly scenario: string;
  readonly broker: string;
  readonly repetition: number;
  readonly report: LoadReport;
  /** After the measured time, under the same load; null where it can not be known. */
  readonly loop: LoopDelay | null;
  readonly connects: Connects | null;
}

type Watched = Pick<Run, 'report' | 'loop' | 'connects'>;

export async function runScenarios(
  scenarios: readonly Scenario[],
  brokers: readonly BenchBroker[],
  options: RunOptions,
): Promise<Run[]> {
  const runs: Run[] = [];
  const hosts = new Map(brokers.map((broker) => [broker, new BrokerHost(broker)]));
  try {
    for (const scenario of scenarios) {
      const able = brokers.filter((broker) => scenario.needs.every((need) => broker.capabilities.includes(need)));
      for (let repetition = 0; repetition < options.repeat; repetition++) {
        for (let turn = 0; turn < able.length; turn++) {
          const broker = able[(repetition + turn) % able.length]!;
          const watched = await runOnce(scenario, hosts.get(broker)!, options);
          const run = { scenario: scenario.name, broker: broker.name, repetition, ...watched };
          runs.push(run);
          options.onReport(run);
        }
      }
    }
  } finally {
    for (const host of hosts.values()) await host.end();
  }
  return runs;
}

async function runOnce(scenario: Scenario, host: BrokerHost, options: RunOptions): Promise<Watched> {
  const started = await host.start();
  if (typeof started === 'string') return { report: failedReport(started), loop: null, connects: null };
  try {
    await untilQuiet(options.quietSeconds);
    return await generateWatched(planFor(scenario, host.broker, started, options), started);
  } finally {
    if (!host.broker.isShared) await host.end();
  }
}

/** Directories of brokers that run; removed at the latest when the benchmark ends, after its brokers have been killed. */
const directories = new Set<string>();
process.on('exit', () => {
  for (const directory of directories) removeDirectory(directory);
});

function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  directories.delete(directory);
}

/** Starts one kind of broker, each time with an empty directory; one that has failed to start is not tried again. */
class BrokerHost {
  readonly broker: BenchBroker;
  private running: RunningBroker | null = null;
  private directory = '';
  private failure = '';

  constructor(broker: BenchBroker) {
    this.broker = broker;
  }

  /** The running broker, or why there is none. */
  async start(): Promise<RunningBroker | string> {
    if (this.failure !== '') return this.failure;
    if (this.running !== null) return this.running;
    this.directory = mkdtempSync(join(tmpdir(), `bench-${this.broker.name}-`));
    directories.add(this.directory);
    try {
      this.running = await this.broker.start(this.directory);
      return this.running;
    } catch (error) {
      this.failure = `does not start: ${error instanceof Error ? error.message : String(error)}`;
      removeDirectory(this.directory);
      return this.failure;
    }
  }

  async end(): Promise<void> {
    if (this.running === null) return;
    await this.running.stop();
    this.running = null;
    removeDirectory(this.directory);
  }
}

function planFor(
  scenario: Scenario,
  broker: BenchBroker,
  running: RunningBroker,
  options: RunOptions,
): Partial<LoadPlan> {
  const { protocol = 'mqtt', transport = 'tcp' } = scenario.plan;
  const port =
    transport === 'websocket' ? running.websocketPort : protocol === 'mqtt' ? running.mqttPort : running.stompPort;
  return {
    ...scenario.plan,
    port,
    path: running.websocketPath,
    user: running.user,
    password: running.password,
    brokerPid: running.process.pid,
    warmupMs: Math.max(options.warmupSeconds * 1000, broker.warmupMsMin),
    measureMs: options.seconds * 1000,
    watchMs: options.seconds * 1000,
  };
}

/** Runs the generator, and when it has measured, watches the broker's event loop and newcomers while the load goes on: both are work for the broker that is none of the load's. */
async function generateWatched(plan: Partial<LoadPlan>, running: RunningBroker): Promise<Watched> {
  const probe =
    running.mqttPort === 0 ? null : await ConnectProbe.start(running.mqttPort, running.user, running.password);
  let connects: Promise<Connects | null> = Promise.resolve(null);
  const onPhase = (phase: Phase): void => {
    if (phase === 'measuring') return;
    if (running.loopDelayPath !== '' && !running.process.hasEnded) process.kill(running.process.pid, 'SIGUSR2');
    if (probe === null) return;
    if (phase === 'watching') probe.begin();
    else connects = probe.take();
  };
  try {
    const report = await generate(plan, onPhase);
    return { report, loop: readLoopDelay(running.loopDelayPath), connects: await connects };
  } finally {
    probe?.stop();
  }
}

function readLoopDelay(path: string): LoopDelay | null {
  return path === '' || !existsSync(path) ? null : (JSON.parse(readFileSync(path, 'utf8')) as LoopDelay);
}

/** Runs the generator to its end; a run that produced no report becomes one that says so. */
export function generate(
  plan: Partial<LoadPlan>,
  onPhase: (phase: Phase) => void = () => undefined,
): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [generatorProgram, JSON.stringify(plan)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    killAtExit(child);
    let output = '';
    let errors = '';
    const phases: Phase[] = ['measuring', 'watching', 'watched'];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      while (phases.length > 0 && output.includes(`${phases[0]}\n`)) onPhase(phases.shift()!);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.once('error', reject);
    child.once('close', (status) => {
      const line = output.trim().split('\n').at(-1) ?? '';
      if (status === 2 || !line.startsWith('{'))
        reject(new Error(`generator, status ${status}: ${errors.trim() || 'no report'}`));
      else resolve(JSON.parse(line) as LoadReport);
    });
  });
}

async function untilQuiet(seconds: number): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (performance.now() < deadline) {
    const before = machineBusySeconds();
    await new Promise((resolve) => setTimeout(resolve, quietSampleMs));
    if (machineBusySeconds() - before < (quietCoresMax * quietSampleMs) / 1000) return;
  }
}
