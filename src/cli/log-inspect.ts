// `sluice log inspect`: what is in the log of a data directory. Changes nothing. With --read-only also while a broker runs on it: as of one moment.
import { DiskLockedError } from '../io/disk.ts';
import { surveyMoment } from '../storage/embedded/backup.ts';
import { survey } from '../storage/embedded/survey.ts';
import { ViewDisk } from '../storage/embedded/view-disk.ts';
import { alone, onLog } from './log-directory.ts';
import { inspectionText } from './log-report.ts';
import { Refusal } from './refusal.ts';

export interface InspectFlags {
  readonly readOnly?: boolean;
  readonly json?: boolean;
}

export async function logInspect(directory: string, { readOnly, json }: InspectFlags): Promise<void> {
  const found = await onLog(directory, (disk) => {
    if (readOnly === true) return surveyMoment(disk, directory);
    try {
      return alone(disk, directory, () => survey(new ViewDisk(disk), directory));
    } catch (error) {
      if (error instanceof DiskLockedError)
        throw new Refusal(`${error.message}; or look at it while it runs: sluice log inspect --read-only`);
      throw error;
    }
  });
  if (found === null) throw new Refusal(`${directory} changes faster than it can be looked through; try again`);
  process.stdout.write(`${json === true ? JSON.stringify(found, null, 2) : inspectionText(found)}\n`);
}
