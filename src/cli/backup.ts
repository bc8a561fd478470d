// `sluice backup` and `sluice restore`: a copy of the log of a data directory, also while a broker writes it, and the way back.
import { backup, restore } from '../storage/embedded/backup.ts';
import { EXIT_DAMAGED, onLog } from './log-directory.ts';
import { bytesText, damageText } from './log-report.ts';
import { Refusal } from './refusal.ts';

export async function backupTo(directory: string, target: string): Promise<void> {
  const { survey, bytes } = await onLog(directory, (disk) => backup(disk, directory, target, new Date()));
  const { messages, queues, state, damages, lost } = survey;
  const entries = state.reduce((sum, one) => sum + one.entries, 0);
  process.stdout.write(
    `Copied and verified: ${messages} messages in ${queues.length} queues, ${entries} entries of state, ${bytesText(bytes)} in ${target}\n`,
  );
  if (damages.length === 0) return;
  process.stdout.write(`The log is damaged, and so is its copy. ${damageText(damages, lost.length)}\n`);
  process.exitCode = EXIT_DAMAGED;
}

export async function restoreFrom(
  source: string,
  directory: string,
  { damaged }: { readonly damaged?: boolean },
): Promise<void> {
  const { messages, queues } = await onLog(source, (disk) =>
    restore(disk, source, directory, (found) => {
      if (found.damages.length > 0 && damaged !== true)
        throw new Refusal(
          `${damageText(found.damages, found.lost.length)}\nNothing was restored; --damaged restores it all the same`,
        );
    }),
  );
  process.stdout.write(`Restored ${messages} messages in ${queues.length} queues to ${directory}\n`);
}
