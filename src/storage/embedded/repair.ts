// Makes a damaged log whole again, as far as that is possible. First the damaged files are copied aside; then the log is opened as at any start, messages whose bytes are
// gone are given up, everything that is live is moved out of the damaged segments, and a checkpoint is written that needs none of them. All of it by the same means as in
// daily work, so it may be killed at any point and done again. Sequence numbers stay what they are.
import { join } from 'node:path';
import type { Codec } from '../../core/run.ts';
import { type Disk, writeFully } from '../../io/disk.ts';
import type { Random } from '../../io/random.ts';
import { checkpointNumber } from './checkpoint-format.ts';
import { InlineCrew } from './crew.ts';
import { NO_FAULTS } from './faults.ts';
import { readFile } from './frames.ts';
import { segmentNumber } from './segment.ts';
import { EmbeddedStorage } from './storage.ts';
import { type Survey, survey } from './survey.ts';
import { ViewDisk } from './view-disk.ts';

export interface RepairReport {
  readonly before: Survey;
  /** What is left of the damage: none, unless something failed. */
  readonly after: Survey;
  /** Where the damaged files were copied to; '' when there were none. */
  readonly quarantine: string;
  readonly quarantined: readonly string[];
}

/** Bodies are moved and never looked into: any codec will do. */
class OpaqueCodecs extends Map<number, Codec> {
  override get(id: number): Codec {
    return {
      id,
      name: 'opaque',
      message() {
        throw new Error('a repair looks into no message');
      },
    };
  }
}

/** Repairs the log of `directory`; `quarantine` is the name of the directory in it that damaged files are copied to. Throws DiskLockedError when a broker has it. */
export async function repair(
  disk: Disk,
  directory: string,
  random: Random,
  quarantine: string,
  options: { readonly segmentBytes?: number } = {},
): Promise<RepairReport> {
  const lock = disk.lock(join(directory, 'lock'));
  let before: Survey;
  let quarantined: string[] = [];
  try {
    before = survey(new ViewDisk(disk), directory);
    if (before.damages.length === 0) return { before, after: before, quarantine: '', quarantined };
    quarantined = damagedFiles(disk, directory, before);
    if (quarantined.length > 0) putAside(disk, directory, join(directory, quarantine), quarantined);
  } finally {
    lock.release();
  }
  await rewrite(disk, directory, random, before, options);
  const after = survey(new ViewDisk(disk), directory);
  return { before, after, quarantine: quarantined.length > 0 ? join(directory, quarantine) : '', quarantined };
}

function damagedFiles(disk: Disk, directory: string, found: Survey): string[] {
  const damaged = new Set(found.damages.map(({ segment }) => segment));
  const checkpoints = new Set([...damaged].map(checkpointNumber).filter((number) => number >= 0));
  return disk.list(directory).filter((name) => damaged.has(name) || checkpoints.has(checkpointNumber(name)));
}

function putAside(disk: Disk, from: string, to: string, names: readonly string[]): void {
  disk.makeDirectory(to);
  for (const name of names) {
    const bytes = readFile(disk, join(from, name));
    const file = disk.open(join(to, name), 'create');
    try {
      writeFully(file, bytes, 0, bytes.length, 0);
      file.sync();
    } finally {
      file.close();
    }
  }
  disk.syncDirectory(to);
  disk.syncDirectory(from);
}

async function rewrite(
  disk: Disk,
  directory: string,
  random: Random,
  found: Survey,
  options: { readonly segmentBytes?: number },
): Promise<void> {
  let crew!: InlineCrew;
  let failed: Error | null = null;
  const storage = new EmbeddedStorage({
    ...options,
    directory,
    disk,
    random,
    crew: (path) => {
      // Memory of this thread is not aligned for direct writes.
      crew = new InlineCrew(disk, path, false, NO_FAULTS);
      return crew;
    },
    ballastBytes: 0,
    freeBytesMin: 0,
    freeShareMin: 0,
  });
  await storage.open(new OpaqueCodecs(), {
    onDurable: () => undefined,
    onFailed: (error) => {
      failed = error;
    },
    onFull: () => undefined,
  });
  for (const { queue, sequence } of found.lost) storage.giveUp(queue, sequence);
  storage.endUnit();
  const numbers = found.damages.map(({ segment }) => segmentNumber(segment)).filter((number) => number >= 0);
  await driven(crew, storage.evacuate(numbers));
  await driven(crew, storage.close());
  if (failed !== null) throw failed;
}

/** Does the crew's work until the promise is kept. */
async function driven(crew: InlineCrew, promise: Promise<void>): Promise<void> {
  let pending = true;
  const settled = promise.finally(() => {
    pending = false;
  });
  while (pending) {
    crew.stepWriter();
    crew.stepKeeper();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await settled;
}
