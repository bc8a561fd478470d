// The benchmark. Measures this broker beside every other broker that is installed, in the same run, on real sockets,
// with the load made by a separate process.
//
//   npm run bench                                        all scenarios and installed brokers; prints the tables
//   npm run bench -- all --write                          every section of bench/RESULTS.md, with its plots: three quarters of an hour on two cores
//   npm run bench -- all --quick --write                  the same with one run of each scenario: a third of that
//   npm run bench -- list                                scenarios and brokers
//   npm run bench -- --only qos0-1-1,ws-1-1              some scenarios (a name ending in * takes all that begin so)
//   npm run bench -- --brokers sluice,mosquitto          some brokers
//   npm run bench -- --repeat 5 --seconds 2 --warmup 1   runs of each (3), measured time (3 s), warm-up (1 s)
//   npm run bench -- --quiet 20                          wait so long at most for a quiet machine before each run (3 s)
//   npm run bench -- --json FILE                         every report of every run
//   npm run bench -- --write                             the tables into bench/RESULTS.md
//   npm run bench -- --only stomp-* --section stomp      the tables of some scenarios into a section of that file, beside what is there
//   npm run bench -- NAME [...]                          macro/NAME or micro/NAME, a module that exports run(args): storage, durability, retained, connections,
//                                                        sessions, hostile, curves
//
// Exit status 0, 1 when a run failed or messages were lost above QoS 0, 2 when the arguments are wrong.

import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runAll } from './lib/all.ts';
import { allBrokers } from './lib/brokers/all.ts';
import type { BenchBroker } from './lib/brokers/broker.ts';
import { answered, completePlan } from './lib/load/plan.ts';
import { resultsPath } from './lib/paths.ts';
import { resultsMarkdown, resultsSection, writeResultPlots } from './lib/results.ts';
import { type Run, runScenarios } from './lib/runner.ts';
import { keepingSections, readResults, writeSection } from './lib/section.ts';
import { figuresTable, ratioTable, summarize } from './lib/summary.ts';
import { asText, milliseconds, rate } from './lib/table.ts';
import type { Scenario } from './macro/scenario.ts';
import { scenarios as allScenarios } from './macro/scenarios.ts';

/** Another benchmark: a module of macro/ or micro/ that is called by its name. */
interface Benchmark {
  run(args: string[]): Promise<number>;
}

class UsageError extends Error {}

async function main(args: string[]): Promise<number> {
  const [first] = args;
  if (first === 'list') return list();
  if (first === 'all') return all(args.slice(1));
  if (first !== undefined && !first.startsWith('-')) return runNamed(first, args.slice(1));
  return runMacro(args);
}

function list(): number {
  for (const scenario of allScenarios) process.stdout.write(`${scenario.name.padEnd(20)} ${scenario.title}\n`);
  process.stdout.write('\n');
  for (const broker of allBrokers)
    process.stdout.write(`${broker.name.padEnd(20)} ${broker.version() ?? 'not installed'}\n`);
  return 0;
}

async function all(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { quick: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
  });
  const failed = await runAll(fileURLToPath(import.meta.url), values);
  return failed === 0 ? 0 : 1;
}

async function runNamed(name: string, args: string[]): Promise<number> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new UsageError(`${name} is not the name of a benchmark`);
  for (const folder of ['macro', 'micro']) {
    const url = new URL(`${folder}/${name}.js`, import.meta.url);
    if (!existsSync(url)) continue;
    const module = (await import(url.href)) as Partial<Benchmark>;
    if (typeof module.run === 'function') return module.run(args);
  }
  throw new UsageError(`no benchmark ${name}: neither macro/${name} nor micro/${name} is there and can be run`);
}

async function runMacro(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      brokers: { type: 'string' },
      repeat: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      warmup: { type: 'string', default: '1' },
      quiet: { type: 'string', default: '3' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      section: { type: 'string' },
    },
  });
  const scenarios = choose(allScenarios, values.only);
  const brokers = choose(allBrokers, values.brokers).filter((broker) =>
    isInstalled(broker, values.brokers !== undefined),
  );
  const options = {
    repeat: positive('--repeat', values.repeat),
    seconds: positive('--seconds', values.seconds),
    warmupSeconds: positive('--warmup', values.warmup),
    quietSeconds: Number(values.quiet),
  };
  if (values.section !== undefined && !/^[a-z][a-z0-9-]*$/.test(values.section)) {
    throw new UsageError('--section is a word of small letters, digits and hyphens');
  }
  if (brokers.length === 0) throw new UsageError('none of the brokers is installed');

  const began = new Date();
  const runs = await runScenarios(scenarios, brokers, { ...options, onReport: printRun });
  const rows = summarize(runs);
  const names = brokers.map((broker) => broker.name);
  process.stdout.write(`\n${asText(figuresTable(rows))}\n\n${asText(ratioTable(rows, scenarios, names))}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(runs, null, 1)}\n`);
  if (values.write || values.section !== undefined) {
    const command = ['npm run bench --', ...args.map(shellWord)].join(' ');
    const results = { rows, scenarios, brokers, ...options, command, date: began };
    if (values.section === undefined) {
      writeFileSync(resultsPath, keepingSections(resultsMarkdown(results), readResults()));
      writeResultPlots(results);
    } else writeSection(values.section, resultsSection(sectionTitle(values.section), results));
    process.stdout.write(`\nwritten to ${resultsPath}\n`);
  }
  return runs.some((run) => isWrong(run, scenarios)) ? 1 : 0;
}

/** What `--only` and `--brokers` name, in the order of the tables. */
function choose<T extends { readonly name: string }>(all: readonly T[], names: string | undefined): T[] {
  if (names === undefined) return [...all];
  const patterns = names.split(',').filter((name) => name !== '');
  const matches = (pattern: string, name: string): boolean =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
  for (const pattern of patterns) {
    if (!all.some(({ name }) => matches(pattern, name))) {
      throw new UsageError(`${pattern} is none of ${all.map(({ name }) => name).join(', ')}`);
    }
  }
  return all.filter(({ name }) => patterns.some((pattern) => matches(pattern, name)));
}

function isInstalled(broker: BenchBroker, asked: boolean): boolean {
  if (broker.version() !== null) return true;
  if (asked) process.stderr.write(`${broker.name} is not installed and left out\n`);
  return false;
}

function positive(name: string, value: string): number {
  const number = Number(value);
  if (!Number.isFinite(number) || number <= 0) throw new UsageError(`${name} must be a positive number, is ${value}`);
  return number;
}

function printRun({ scenario, broker, repetition, report }: Run): void {
  const figures =
    report.failure === ''
      ? `${rate(report.receivedPerSecond).padStart(8)} msg/s ${rate(report.receivedPerCpuSecond).padStart(8)}` +
        ` msg/CPU-s  p50 ${milliseconds(report.latency.p50)} ms  p99 ${milliseconds(report.latency.p99)} ms`
      : `failed: ${report.failure}`;
  process.stderr.write(`${scenario.padEnd(18)} ${broker.padEnd(10)} ${repetition + 1}  ${figures}\n`);
}

function sectionTitle(name: string): string {
  return name[0]!.toUpperCase() + name.slice(1).replaceAll('-', ' ');
}

function shellWord(word: string): string {
  return /^[\w./,:=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Loss is a broker's right at QoS 0 only; anything else must not happen at all. */
function isWrong({ scenario, report }: Run, scenarios: readonly Scenario[]): boolean {
  const { plan } = scenarios.find(({ name }) => name === scenario)!;
  const mayLose = !answered(completePlan(plan));
  return report.failure !== '' || report.corrupt > 0 || report.misrouted > 0 || (report.lost > 0 && !mayLose);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
