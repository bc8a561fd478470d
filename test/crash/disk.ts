// The disk campaign: full disks, failing syncs, a disk that fails for real, and damaged blocks.
//
//   npm run crash:disk -- [--k 200] [--rounds 50] [--blocks 1000] [--real 10] [--seed S] [--only full|errors|real|damage] [--write]
import { fileURLToPath } from 'node:url';
import {
  type Arguments,
  exitOnSignals,
  type Outcome,
  Run,
  readArguments,
  replayOf,
  type Say,
  toConsole,
} from './campaign.ts';
import { seedOf } from './cycle.ts';
import { damageRounds } from './disk-damage.ts';
import { realErrors, syncErrors } from './disk-errors.ts';
import { fullRounds } from './disk-full.ts';
import { LoopDisk } from './loop-disk.ts';
import { writeResults } from './results.ts';
import { Shim } from './shim.ts';

/** k: syncs that fail, each one once and from then on; `from` is the first. rounds: full disks. blocks: damaged blocks. real: disks that fail for real. */
export const DISK_DEFAULTS = { k: 200, from: 1, rounds: 50, blocks: 1000, real: 10, seed: 0 } as const;
type DiskArguments = Arguments<typeof DISK_DEFAULTS>;

type Part = (run: Run, args: DiskArguments) => Promise<string>;

/** By name: each returns why it was skipped, or ''. */
const PARTS: Readonly<Record<string, Part>> = {
  async full(run, { numbers, settings }) {
    const reason = LoopDisk.whyNot(run.folder);
    if (reason !== '') return reason;
    await fullRounds(run, numbers.rounds, settings);
    return '';
  },
  async errors(run, { numbers, settings }) {
    const shim = Shim.build(run.folder);
    if (!(shim instanceof Shim)) return shim;
    await syncErrors(run, shim, numbers.from, numbers.k, settings);
    return '';
  },
  async real(run, { numbers, settings }) {
    const reason = LoopDisk.whyNot(run.folder);
    if (reason !== '') return reason;
    await realErrors(run, numbers.real, settings);
    return '';
  },
  async damage(run, { numbers, settings }) {
    await damageRounds(run, numbers.blocks, settings);
    return '';
  },
};

/** One outcome for each part. */
export async function diskCampaign(args: DiskArguments, say: Say): Promise<Outcome[]> {
  const seed = seedOf(args.numbers.seed);
  const outcomes: Outcome[] = [];
  for (const [name, part] of Object.entries(PARTS)) {
    if (args.only !== '' && args.only !== name) continue;
    const title = `crash:disk ${name}`;
    const run = new Run(title, seed, replayOf('crash:disk', { ...args, only: name }, seed), say);
    const reason = await part(run, args);
    outcomes.push(reason === '' ? run.end() : run.skipped(reason));
  }
  return outcomes;
}

async function main(): Promise<void> {
  exitOnSignals();
  const args = readArguments(DISK_DEFAULTS, process.argv.slice(2));
  if (args.only !== '' && !Object.hasOwn(PARTS, args.only)) {
    process.stderr.write(`--only ${args.only}: expected one of ${Object.keys(PARTS).join(', ')}\n`);
    process.exitCode = 2;
    return;
  }
  const outcomes = await diskCampaign(args, toConsole);
  if (args.write) writeResults(outcomes);
  process.exitCode = outcomes.every(({ failure }) => failure === '') ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
