// `sluice log repair`: copies damaged files aside and leaves a log without damage, in which all intact messages keep their places.
import { SystemRandom } from '../io/random.ts';
import { repair } from '../storage/embedded/repair.ts';
import { EXIT_DAMAGED, onLog } from './log-directory.ts';
import { damageText } from './log-report.ts';

/** damaged-20260102-030405: a name that sorts by time. */
function quarantineName(now: Date): string {
  const [day = '', time = ''] = now.toISOString().slice(0, 19).split('T');
  return `damaged-${day.replaceAll('-', '')}-${time.replaceAll(':', '')}`;
}

export async function logRepair(directory: string): Promise<void> {
  const report = await onLog(directory, (disk) =>
    repair(disk, directory, new SystemRandom(), quarantineName(new Date())),
  );
  const { before, after, quarantine, quarantined } = report;
  const write = (line: string) => process.stdout.write(`${line}\n`);
  write(damageText(before.damages, before.lost.length));
  if (before.damages.length === 0) return;
  if (quarantine !== '') write(`Copied to ${quarantine}: ${quarantined.join(', ')}`);
  write(`${after.messages} messages are left, ${before.messages - after.messages} are given up.`);
  if (after.damages.length === 0) write('The log has no damage any more.');
  else {
    write('Not everything could be repaired:');
    write(damageText(after.damages, after.lost.length));
    process.exitCode = EXIT_DAMAGED;
  }
}
