// The long form: `node dist/test/sim/run.js --seeds 10000 --from 1`. Prints what happened, and for a seed that fails what was broken, when, and how to see it again.
//
//   --seeds N --from N     which seeds
//   --seed N               one, with everything that happened
//   --tolerate a,b         rules whose breach does not count
//   --avoid a              situations to keep away from
//   --durable              on a disk, with crashes
//   --keep-going           do not stop at the tenth seed that fails
import { parseArgs } from 'node:util';
import { Campaign } from './campaign.ts';
import { type SimulationOptions, simulate } from './simulation.ts';

const FAILURES_MAX = 10;
const PROGRESS_MS = 10_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    tolerate: { type: 'string', default: '' },
    avoid: { type: 'string', default: '' },
    durable: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

const options: SimulationOptions = {
  tolerated: new Set(values.tolerate.split(',').filter((rule) => rule !== '')),
  avoid: new Set(values.avoid.split(',').filter((name) => name !== '')),
  durable: values.durable,
};

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (values.seed === undefined) await campaign(Number(values.from), Number(values.seeds));
else await replay(Number(values.seed));

async function replay(seed: number): Promise<void> {
  const report = await simulate(seed, { ...options, trace: true });
  for (const line of report.trace) say(line);
  for (const { rule, text, step, atMs } of report.violations)
    say(`${rule} at step ${step}, ${Math.round(atMs)} ms: ${text}`);
  if (report.violations.length === 0) say(`seed ${seed}: nothing broken`);
  else process.exitCode = 1;
}

async function campaign(from: number, seeds: number): Promise<void> {
  const run = new Campaign(options);
  const began = performance.now();
  const cpuBegan = process.cpuUsage();
  let told = began;
  for (let seed = from; seed < from + seeds; seed++) {
    const report = await run.run(seed);
    const [first] = report.violations;
    if (first !== undefined) {
      say(`seed ${seed} failed at step ${first.step}, ${Math.round(first.atMs)} ms: ${first.rule}: ${first.text}`);
      say(`  to see it again: node dist/test/sim/run.js --seed ${seed}${flags()}`);
      if (run.report.failures.length >= FAILURES_MAX && !values['keep-going']) break;
    }
    if (performance.now() - told > PROGRESS_MS) {
      told = performance.now();
      say(`${seed - from + 1} of ${seeds} seeds, ${run.report.failures.length} failed`);
    }
  }
  const { user, system } = process.cpuUsage(cpuBegan);
  const report = run.report;
  for (const [name, amount] of [...report.totals].sort()) say(`${String(Math.round(amount)).padStart(12)}  ${name}`);
  const seconds = (performance.now() - began) / 1000;
  const cpuSeconds = (user + system) / 1e6;
  say(
    `${report.seeds} seeds in ${seconds.toFixed(1)} s, ${(report.seeds / cpuSeconds).toFixed(0)} per CPU-second; ${report.failures.length} failed`,
  );
  const rules = new Map<string, number[]>();
  for (const {
    seed,
    report: { violations },
  } of report.failures) {
    const { rule } = violations[0]!;
    rules.set(rule, [...(rules.get(rule) ?? []), seed]);
  }
  for (const [rule, failed] of rules) say(`  ${rule}: ${failed.length} (${failed.slice(0, 10).join(', ')})`);
  for (const name of report.unseen) say(`never happened: ${name}`);
  if (report.failures.length > 0 || report.unseen.length > 0) process.exitCode = 1;
}

function flags(): string {
  return `${values.durable ? ' --durable' : ''}${values.tolerate === '' ? '' : ` --tolerate ${values.tolerate}`}${values.avoid === '' ? '' : ` --avoid ${values.avoid}`}`;
}
