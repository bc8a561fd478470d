// The kill campaign: the broker is ended by SIGKILL at random moments under load, at named steps of its work on files, during recovery from the last kill, and during an orderly stop; nothing it
// has confirmed may be missing afterwards. A kill leaves the page cache alone, so this says nothing about power cuts: those are power.ts.
//
//   npm run crash:kill -- [--cycles 1000] [--seed S] [--fresh 100] [--verify 10] [--set PATH=VALUE] [--write]
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Arguments,
  exitOnSignals,
  type Outcome,
  Run,
  type RunOptions,
  readArguments,
  replayOf,
  type Say,
  toConsole,
} from './campaign.ts';
import { type Blow, CYCLE_DEFAULTS, runCycles, seedOf } from './cycle.ts';
import { writeResults } from './results.ts';

export const KILL_DEFAULTS = CYCLE_DEFAULTS;

const KILL: Blow = {
  verb: 'kill',
  action: 'kill',
  strike: (broker) => broker.kill(),
  heal: () => undefined,
};

export async function killCampaign(
  args: Arguments<typeof KILL_DEFAULTS>,
  say: Say,
  options: RunOptions = {},
): Promise<Outcome> {
  const { numbers, settings } = args;
  const seed = seedOf(numbers.seed);
  const run = new Run('crash:kill', seed, replayOf('crash:kill', args, seed), say, options);
  await runCycles(run, numbers, settings, (folder) => ({
    blow: KILL,
    data: join(folder, 'data'),
    close: () => undefined,
  }));
  return run.end();
}

async function main(): Promise<void> {
  exitOnSignals();
  const args = readArguments(KILL_DEFAULTS, process.argv.slice(2));
  const outcome = await killCampaign(args, toConsole);
  if (args.write) writeResults([outcome]);
  process.exitCode = outcome.failure === '' ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
