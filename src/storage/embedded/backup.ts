// Copies of a log: of one that is being written by another process, and back. Nothing is asked of that process. What makes it safe is how a log changes: frames are only
// added behind the last one, a checkpoint is replaced by a younger one, and a segment goes, or is used again, only when all in it was settled by units that are synced.
// So the order of copying decides:
//
//   checkpoint ─▶ segments in order ─▶ the last one, up to the frame it ends with      what went before its turn came was settled by what is copied after it
//
// The copy is then looked through as a start would. If a newer checkpoint came in between and took something away that the older one needs, it shows there, and another
// round copies what is missing. A copy counts when its manifest is in place.
import { join } from 'node:path';
import { type Disk, errorCode, writeFully } from '../../io/disk.ts';
import { checkpointNumber } from './checkpoint-format.ts';
import { framesOf, nextFrame, readFile, readSegment, readSegmentHeader, type SegmentImage } from './frames.ts';
import { removeIfThere } from './keeper.ts';
import { align, BLOCK_BYTES, SEGMENT_DATA_START, segmentName, segmentNumber } from './segment.ts';
import { holdsLog, type Survey, survey } from './survey.ts';
import { ViewDisk } from './view-disk.ts';

export const MANIFEST_NAME = 'backup.json';
/** A log that changes faster than it can be copied so many times over is not copied. */
const ROUNDS_MAX = 10;
const ZERO_BYTES = 1 << 20;

export class BackupError extends Error {
  override readonly name = 'BackupError';
}

export interface Manifest {
  readonly kind: 'sluice-backup';
  readonly madeAt: string;
  readonly messages: number;
  readonly stateEntries: number;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

export interface BackupReport {
  readonly survey: Survey;
  readonly rounds: number;
  readonly bytes: number;
}

/** Copies the log of `source` into `target`, an empty or new directory. Damage that the log has, the copy has as well: see survey.damages. */
export function backup(disk: Disk, source: string, target: string, madeAt: Date): BackupReport {
  if (!holdsLog(disk, source)) throw new BackupError(`${source} holds no log`);
  requireEmpty(disk, target);
  const copy = new Copy(disk, source, target);
  for (let round = 1; ; round++) {
    const before = newestCheckpoint(disk, source);
    const whole = copy.round();
    const found = whole ? survey(new ViewDisk(disk), target) : null;
    const moved = newestCheckpoint(disk, source) !== before;
    if (found !== null && (found.damages.length === 0 || !moved)) {
      const bytes = writeManifest(disk, target, found, madeAt);
      return { survey: found, rounds: round, bytes };
    }
    if (round === ROUNDS_MAX)
      throw new BackupError(`${source} changed faster than it could be copied, ${ROUNDS_MAX} times; try again`);
  }
}

/** Looks the log of a running broker through, as of a moment. Null when it changed too fast. */
export function surveyMoment(disk: Disk, directory: string): Survey | null {
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const before = newestCheckpoint(disk, directory);
    try {
      const found = survey(momentOf(disk, directory), directory);
      if (found.damages.length === 0 || newestCheckpoint(disk, directory) === before) return found;
    } catch (error) {
      // A file that was there when the names were read is gone by now.
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  return null;
}

/** Puts a backup into an empty or new directory, after looking it through; `judge` is shown what was found and may throw. */
export function restore(disk: Disk, source: string, directory: string, judge: (found: Survey) => void): Survey {
  const manifest = readManifest(disk, source);
  requireEmpty(disk, directory);
  const there = new Set(disk.list(source));
  for (const { name, bytes } of manifest.files) {
    const size = there.has(name) ? readFile(disk, join(source, name)).length : -1;
    if (size !== bytes)
      throw new BackupError(
        size < 0
          ? `the backup lacks ${name}`
          : `${name} of the backup has ${size} bytes, ${bytes} were written: it is damaged`,
      );
  }
  const found = survey(new ViewDisk(disk), source);
  judge(found);
  disk.makeDirectory(directory);
  // The checkpoint last: without it nothing of an unfinished restore passes for a log that began in the middle.
  const names = manifest.files.map(({ name }) => name);
  const ordered = [
    ...names.filter((name) => segmentNumber(name) >= 0),
    ...names.filter((name) => segmentNumber(name) < 0),
  ];
  for (const name of ordered) {
    const bytes = readFile(disk, join(source, name));
    const header = segmentNumber(name) < 0 ? null : readSegmentHeader(disk, join(source, name));
    const size = header === null ? bytes.length : header.stride * header.strides;
    writeFile(disk, directory, name, bytes, size);
  }
  disk.syncDirectory(directory);
  return found;
}

export function readManifest(disk: Disk, source: string): Manifest {
  if (!disk.list(source).includes(MANIFEST_NAME))
    throw new BackupError(`${source} is no backup, or one that was not finished: it has no ${MANIFEST_NAME}`);
  const value: unknown = JSON.parse(Buffer.from(readFile(disk, join(source, MANIFEST_NAME))).toString());
  if (typeof value !== 'object' || value === null || !('kind' in value) || value.kind !== 'sluice-backup')
    throw new BackupError(`${join(source, MANIFEST_NAME)} is not what a backup writes`);
  return value as Manifest;
}

class Copy {
  private readonly disk: Disk;
  private readonly source: string;
  private readonly target: string;
  /** Segments that will not change any more, with the salt they have. */
  private readonly closed = new Map<number, string>();

  constructor(disk: Disk, source: string, target: string) {
    this.disk = disk;
    this.source = source;
    this.target = target;
    disk.makeDirectory(target);
  }

  /** Brings the copy up to date. Returns false when the source changed in a way that makes the result useless. */
  round(): boolean {
    const { disk, source, target } = this;
    for (const name of disk.list(target)) if (checkpointNumber(name) >= 0) removeIfThere(disk, join(target, name));
    const newest = newestCheckpoint(disk, source);
    for (const name of disk.list(source)) {
      if (newest < 0 || checkpointNumber(name) !== newest || name.endsWith('.making')) continue;
      const bytes = readIfThere(disk, join(source, name));
      if (bytes === null) return false;
      writeFile(disk, target, name, bytes, bytes.length);
    }
    // Copying takes time, in which the log goes on: what was the last segment becomes one in the middle, until one is left that still is the last.
    for (;;) {
      const last = lastSegment(disk, source);
      let copied = 0;
      for (const number of segmentNumbers(disk, source)) {
        if (number >= last) break;
        if (this.copyClosed(number)) copied++;
      }
      if (copied > 0 && lastSegment(disk, source) !== last) continue;
      return last < 0 || this.copyLast(last);
    }
  }

  /** Returns whether there was something to copy. */
  private copyClosed(number: number): boolean {
    const path = join(this.source, segmentName(number));
    try {
      const header = readSegmentHeader(this.disk, path);
      if (header === null) return this.copyDamaged(number);
      const salt = Buffer.from(header.salt).toString('hex');
      if (this.closed.get(number) === salt) return false;
      const image = readSegment(this.disk, path);
      const after = readSegmentHeader(this.disk, path);
      // Used again under another name, or about to be: whoever does that first changes the header.
      if (image === null || after === null || after.number !== number || !Buffer.from(after.salt).equals(header.salt))
        return true;
      this.write(number, image);
      this.closed.set(number, salt);
      return true;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      return true;
    }
  }

  /** A header that is none: it may be being written, or it is damaged. */
  private copyDamaged(number: number): boolean {
    if (this.closed.get(number) === 'damaged') return false;
    const name = segmentName(number);
    const bytes = readFile(this.disk, join(this.source, name));
    writeFile(this.disk, this.target, name, bytes, bytes.length);
    this.closed.set(number, 'damaged');
    return true;
  }

  private copyLast(number: number): boolean {
    const image = readGrowing(this.disk, join(this.source, segmentName(number)));
    if (image === null || image.header.number !== number) return false;
    this.write(number, image);
    return true;
  }

  private write(number: number, image: SegmentImage): void {
    let end = SEGMENT_DATA_START;
    for (const frame of framesOf(image)) end = frame.end;
    const used = Math.min(align(end, BLOCK_BYTES), image.bytes.length);
    const bytes = image.bytes.slice(0, used);
    bytes.fill(0, end);
    writeFile(this.disk, this.target, segmentName(number), bytes, used);
  }
}

/** Names and contents of a log that is being written, as of now: what would be appended later is not in it. */
function momentOf(disk: Disk, directory: string): ViewDisk {
  const held = new Map<string, Uint8Array>();
  const newest = newestCheckpoint(disk, directory);
  const names = disk.list(directory).filter((name) => newest >= 0 && checkpointNumber(name) === newest);
  for (const name of names) held.set(join(directory, name), readFile(disk, join(directory, name)));
  const last = lastSegment(disk, directory);
  for (const number of segmentNumbers(disk, directory)) if (last < 0 || number <= last) names.push(segmentName(number));
  if (last >= 0) {
    const path = join(directory, segmentName(last));
    const image = readGrowing(disk, path);
    if (image !== null) held.set(path, image.bytes);
  }
  return new ViewDisk(disk, names, held);
}

/**
 * A segment that frames are being added to. It is read from front to back, so a frame may be missed that is written just behind the place that is read, and the next one
 * seen: where one is missing everything from there on is read again. What is missing then as well is damage.
 */
function readGrowing(disk: Disk, path: string): SegmentImage | null {
  const first = readIfThere(disk, path);
  if (first === null) return null;
  let bytes = first;
  for (let tries = 0; ; tries++) {
    const header = readSegmentHeaderOf(disk, path);
    if (header === null) return null;
    const image: SegmentImage = { header, base: header.number * header.stride, bytes };
    let end = SEGMENT_DATA_START;
    let gap = -1;
    for (let frame = nextFrame(image, end); frame !== null; frame = nextFrame(image, frame.end)) {
      if (frame.previousEnd > image.base + end && gap < 0) gap = end;
      end = frame.end;
    }
    if (gap < 0 || tries === 1) return image;
    bytes = readIfThere(disk, path) ?? bytes;
  }
}

function readSegmentHeaderOf(disk: Disk, path: string) {
  try {
    return readSegmentHeader(disk, path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

function segmentNumbers(disk: Disk, directory: string): number[] {
  return disk
    .list(directory)
    .map(segmentNumber)
    .filter((number) => number >= 0)
    .sort((a, b) => a - b);
}

/** The highest number of a segment that holds a frame; -1 when none does. */
function lastSegment(disk: Disk, directory: string): number {
  for (const number of segmentNumbers(disk, directory).reverse()) {
    try {
      const image = readSegment(disk, join(directory, segmentName(number)));
      if (image !== null && image.header.number === number && nextFrame(image, SEGMENT_DATA_START) !== null)
        return number;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  return -1;
}

/** -1 for none. */
function newestCheckpoint(disk: Disk, directory: string): number {
  return Math.max(-1, ...disk.list(directory).map(checkpointNumber));
}

function readIfThere(disk: Disk, path: string): Uint8Array | null {
  try {
    return readFile(disk, path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Writes a file of `size` bytes that begins with `bytes`, synced; replaces the one of that name. */
function writeFile(disk: Disk, directory: string, name: string, bytes: Uint8Array, size: number): void {
  const path = join(directory, name);
  removeIfThere(disk, path);
  const file = disk.open(path, 'create');
  try {
    writeFully(file, bytes, 0, bytes.length, 0);
    const zeros = new Uint8Array(Math.min(ZERO_BYTES, Math.max(0, size - bytes.length)));
    for (let at = bytes.length; at < size; at += zeros.length)
      writeFully(file, zeros, 0, Math.min(zeros.length, size - at), at);
    file.sync();
  } finally {
    file.close();
  }
}

function writeManifest(disk: Disk, target: string, found: Survey, madeAt: Date): number {
  const files = disk
    .list(target)
    .filter((name) => segmentNumber(name) >= 0 || checkpointNumber(name) >= 0)
    .sort()
    .map((name) => ({ name, bytes: readFile(disk, join(target, name)).length }));
  const manifest: Manifest = {
    kind: 'sluice-backup',
    madeAt: madeAt.toISOString(),
    messages: found.messages,
    stateEntries: found.state.reduce((sum, { entries }) => sum + entries, 0),
    files,
  };
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  const making = `${MANIFEST_NAME}.making`;
  writeFile(disk, target, making, text, text.length);
  disk.syncDirectory(target);
  disk.rename(join(target, making), join(target, MANIFEST_NAME));
  disk.syncDirectory(target);
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function requireEmpty(disk: Disk, directory: string): void {
  let names: string[] = [];
  try {
    names = disk.list(directory);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  if (names.length > 0)
    throw new BackupError(`${directory} is not empty (${names[0]}): name a new or an empty directory`);
}
