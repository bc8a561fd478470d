// Runs scenarios against brokers: each repetition takes every broker once, in an order that moves on by one each time,
// so that what the machine does meanwhile meets all alike. A broker is started afresh with empty data for each run
// (some slow starters serve all runs), the generator is a process of its own. It keeps every report; the medians are
// taken by summary.ts.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scenario } from '../macro/scenario.ts';
import type { BenchBroker, RunningBroker } from './brokers/broker.ts';
import { killAtExit } from './brokers/process.ts';
import { failedReport, type LoadPlan, type LoadReport } from './load/plan.ts';
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
}

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
          const report = await runOnce(scenario, hosts.get(broker)!, options);
          const run = { scenario: scenario.name, broker: broker.name, repetition, report };
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

async function runOnce(scenario: Scenario, host: BrokerHost, options: RunOptions): Promise<LoadReport> {
  const started = await host.start();
  if (typeof started === 'string') return failedReport(started);
  try {
    await untilQuiet(options.quietSeconds);
    return await generate(planFor(scenario, host.broker, started, options));
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
  };
}

/** Runs the generator to its end; a run that produced no report becomes one that says so. */
export function generate(plan: Partial<LoadPlan>): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [generatorProgram, JSON.stringify(plan)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    killAtExit(child);
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
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
