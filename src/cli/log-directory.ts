// How the tools come to a data directory: that it is one, that no broker has it, and what to say when that is not so.
import { join } from 'node:path';
import { type Disk, DiskLockedError, errorCode, NodeDisk } from '../io/disk.ts';
import { BackupError } from '../storage/embedded/backup.ts';
import { FormatError } from '../storage/embedded/recovery.ts';
import { holdsLog } from '../storage/embedded/survey.ts';
import { Refusal } from './refusal.ts';

/** Exit code of a tool that has done its work and found damage. */
export const EXIT_DAMAGED = 2;

function asRefusal(error: unknown): unknown {
  if (error instanceof DiskLockedError || error instanceof FormatError || error instanceof BackupError)
    return new Refusal(error.message);
  const { path } = error as NodeJS.ErrnoException;
  if (errorCode(error) !== '' && path !== undefined) return new Refusal((error as Error).message);
  return error;
}

/** Runs `work` on the log in `directory`. Refuses where there is none, and in one line where the machine stands in the way. */
export async function onLog<T>(directory: string, work: (disk: Disk) => T | Promise<T>): Promise<T> {
  const disk = new NodeDisk();
  try {
    if (!holdsLog(disk, directory))
      throw new Refusal(`${directory} holds no log: name the data directory of a broker (data.dir)`);
    return await work(disk);
  } catch (error) {
    throw asRefusal(error);
  }
}

/** Runs `work` while no broker can start on the directory; refuses when one has it. */
export function alone<T>(disk: Disk, directory: string, work: () => T): T {
  const lock = disk.lock(join(directory, 'lock'));
  try {
    return work();
  } finally {
    lock.release();
  }
}
