// The power campaign: the data directory is on an ext4 of its own, which is told to stop as if its power had gone (EXT4_IOC_SHUTDOWN without flushing its journal): whatever was not synced is lost,
// names as well as bytes. The broker is killed, the file system mounted again, the broker started; nothing it has confirmed may be missing. Cuts fall at random under load, at named steps, during
// recovery, and during an orderly stop. Needs root and loop devices; where there are none it says so and does nothing.
//
//   npm run crash:power -- [--cycles 200] [--seed S] [--set PATH=VALUE] [--write]
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Dice } from '../sim/dice.ts';
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
import { CYCLE_DEFAULTS, type Place, runCycles, seedOf } from './cycle.ts';
import { LoopDisk } from './loop-disk.ts';
import { writeResults } from './results.ts';

export const POWER_DEFAULTS = { ...CYCLE_DEFAULTS, cycles: 200 } as const;

const IMAGE_MIB = 3072;
/** Between the cut and the kill the broker lives on a dead disk: what it confirms then had better be true. */
const AGONY_MS_MAX = 200;

function open(folder: string, dice: Dice): Place {
  const disk = LoopDisk.make(folder, IMAGE_MIB);
  return {
    data: disk.path('data'),
    blow: {
      verb: 'cut',
      action: 'cut',
      async strike(broker) {
        if (broker.alive) {
          disk.cut();
          if (dice.chance(0.5)) await Promise.race([delay(dice.below(AGONY_MS_MAX)), broker.exited]);
        }
        return broker.kill();
      },
      heal: () => disk.remount(),
    },
    close: () => disk.unmount(),
  };
}

export async function powerCampaign(
  args: Arguments<typeof POWER_DEFAULTS>,
  say: Say,
  options: RunOptions = {},
): Promise<Outcome> {
  const { numbers, settings } = args;
  const seed = seedOf(numbers.seed);
  const run = new Run('crash:power', seed, replayOf('crash:power', args, seed), say, options);
  const reason = LoopDisk.whyNot(run.folder);
  if (reason !== '') return run.skipped(reason);
  const dice = new Dice(seed);
  await runCycles(run, numbers, settings, (folder) => open(folder, dice));
  return run.end();
}

async function main(): Promise<void> {
  exitOnSignals();
  const args = readArguments(POWER_DEFAULTS, process.argv.slice(2));
  const outcome = await powerCampaign(args, toConsole);
  if (args.write) writeResults([outcome]);
  process.exitCode = outcome.failure === '' ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
