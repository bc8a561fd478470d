// `sluice log verify`: reads every byte that counts and says what is damaged. Changes nothing. The exit code tells a script.
import { survey } from '../storage/embedded/survey.ts';
import { ViewDisk } from '../storage/embedded/view-disk.ts';
import { alone, EXIT_DAMAGED, onLog } from './log-directory.ts';
import { damageText } from './log-report.ts';

export async function logVerify(directory: string, { json }: { readonly json?: boolean }): Promise<void> {
  const found = await onLog(directory, (disk) => alone(disk, directory, () => survey(new ViewDisk(disk), directory)));
  const { damages, lost, messages, queues, segments } = found;
  if (damages.length > 0) process.exitCode = EXIT_DAMAGED;
  if (json === true) {
    process.stdout.write(`${JSON.stringify({ damages, lost, messages, queues: queues.length }, null, 2)}\n`);
    return;
  }
  const frames = segments.reduce((sum, segment) => sum + segment.frames, 0);
  process.stdout.write(
    `${frames} frames in ${segments.length} segments, ${messages} messages in ${queues.length} queues.\n`,
  );
  process.stdout.write(`${damageText(damages, lost.length)}\n`);
  if (damages.length > 0)
    process.stdout.write(
      `sluice log repair ${directory} copies the damaged files aside and writes a log without them.\n`,
    );
}
