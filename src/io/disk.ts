// Files as an input: what storage engines ask of a disk, and the real one. Every call is synchronous; whoever must not wait makes them on a thread of its own.
// A simulation implements the same interface and decides what survives a crash: nothing that was not synced, and no name whose directory was not synced.
import {
  chmodSync,
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';

/**
 * read: an existing file, to read only. write: an existing file, to read and write. create: a new file, to read and write; fails when the name is taken.
 * direct: an existing file, past the page cache, durable when write() returns; offset, length and memory must be multiples of 4096; refused by some file systems.
 */
export type OpenMode = 'read' | 'write' | 'create' | 'direct';

export interface DiskFile {
  /** Writes bytes[start, end) at position; may write less than asked, and returns how much. */
  write(bytes: Uint8Array, start: number, end: number, position: number): number;
  /** Reads into bytes[start, end) from position; returns how much, 0 at the end of the file. */
  read(bytes: Uint8Array, start: number, end: number, position: number): number;
  /** Returns when everything written is on the disk. After an error nothing may be assumed about earlier writes, and asking again proves nothing. */
  sync(): void;
  size(): number;
  truncate(size: number): void;
  close(): void;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface DiskLock {
  release(): void;
}

export interface Disk {
  open(path: string, mode: OpenMode): DiskFile;
  /** Names of the entries of a directory, without order. */
  list(directory: string): string[];
  /** Makes the directory and its parents, for the owner only; content when it is there. */
  makeDirectory(path: string): void;
  rename(from: string, to: string): void;
  link(from: string, to: string): void;
  remove(path: string): void;
  /** Returns when creations, renames and removals in the directory are on the disk. */
  syncDirectory(path: string): void;
  space(path: string): DiskSpace;
  /** Takes the exclusive lock that the file `path` stands for, or throws DiskLockedError. A lock left behind by a process that has ended is taken over. */
  lock(path: string): DiskLock;
}

export class DiskLockedError extends Error {
  override readonly name = 'DiskLockedError';
}

/** The code of a system error ('ENOSPC'), or ''. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Writes all of bytes[start, end). Short writes go on at `grain` boundaries, as direct writes need it. */
export function writeFully(
  file: DiskFile,
  bytes: Uint8Array,
  start: number,
  end: number,
  position: number,
  grain = 1,
): void {
  let at = start;
  while (at < end) {
    const written = file.write(bytes, at, end, position + (at - start));
    const whole = at + written === end ? written : written - (written % grain);
    if (whole <= 0) throw Object.assign(new Error('the disk took nothing of a write'), { code: 'EIO' });
    at += whole;
  }
}

/** Reads until bytes[start, end) is full or the file ends; returns how much was read. */
export function readFully(file: DiskFile, bytes: Uint8Array, start: number, end: number, position: number): number {
  let at = start;
  while (at < end) {
    const count = file.read(bytes, at, end, position + (at - start));
    if (count === 0) break;
    at += count;
  }
  return at - start;
}

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

class NodeFile implements DiskFile {
  private readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  write(bytes: Uint8Array, start: number, end: number, position: number): number {
    return writeSync(this.descriptor, bytes, start, end - start, position);
  }

  read(bytes: Uint8Array, start: number, end: number, position: number): number {
    return readSync(this.descriptor, bytes, start, end - start, position);
  }

  sync(): void {
    fdatasyncSync(this.descriptor);
  }

  size(): number {
    return fstatSync(this.descriptor).size;
  }

  truncate(size: number): void {
    ftruncateSync(this.descriptor, size);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

export class NodeDisk implements Disk {
  open(path: string, mode: OpenMode): DiskFile {
    switch (mode) {
      case 'read':
        return new NodeFile(openSync(path, constants.O_RDONLY));
      case 'write':
        return new NodeFile(openSync(path, constants.O_RDWR));
      case 'create':
        return new NodeFile(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, FILE_MODE));
      case 'direct': {
        // Neither flag exists on every platform; without both this is no direct file.
        if (constants.O_DIRECT === undefined || constants.O_DSYNC === undefined) {
          throw Object.assign(new Error('this platform has no direct files'), { code: 'EINVAL' });
        }
        return new NodeFile(openSync(path, constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC));
      }
    }
  }

  list(directory: string): string[] {
    return readdirSync(directory);
  }

  makeDirectory(path: string): void {
    const made = mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
    if (made !== undefined) chmodSync(path, DIRECTORY_MODE);
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  link(from: string, to: string): void {
    linkSync(from, to);
  }

  remove(path: string): void {
    unlinkSync(path);
  }

  syncDirectory(path: string): void {
    const descriptor = openSync(path, constants.O_RDONLY);
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  space(path: string): DiskSpace {
    const { bavail, blocks, bsize } = statfsSync(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  lock(path: string): DiskLock {
    return new PidLock(path);
  }
}

/** A file with the process id and start time of its owner, put in place by link(), which fails when the name is taken. */
class PidLock implements DiskLock {
  private readonly path: string;
  private readonly content: string;

  constructor(path: string) {
    this.path = path;
    this.content = JSON.stringify({ pid: process.pid, started: startedOf(process.pid), host: hostname() });
    const own = `${path}.${process.pid}`;
    writeFileSync(own, this.content, { mode: FILE_MODE });
    try {
      for (let attempt = 0; attempt < TAKEOVERS_MAX; attempt++) {
        if (linked(own, path)) return;
        this.takeOver();
      }
      throw new DiskLockedError(
        `${path} changes hands all the time: several brokers are starting on this data directory; start one`,
      );
    } finally {
      unlinkSync(own);
    }
  }

  release(): void {
    if (readIfThere(this.path) === this.content) unlinkSync(this.path);
  }

  /** Removes the lock of a process that has ended; throws when its owner lives. */
  private takeOver(): void {
    const found = readIfThere(this.path);
    if (found === null) return;
    const owner = parseOwner(found);
    if (owner !== null && owner.host === hostname() && isAlive(owner.pid, owner.started)) {
      throw new DiskLockedError(
        `the data directory is in use by the Sluice process ${owner.pid} (lock file ${this.path}); stop that process or give this one another data directory`,
      );
    }
    if (owner !== null && owner.host !== hostname()) {
      throw new DiskLockedError(
        `the data directory was locked by process ${owner.pid} on host ${owner.host}; when no Sluice runs there any more, remove ${this.path}`,
      );
    }
    // Moved aside rather than removed: of two who find it stale one moves it, and can see what it has moved.
    const aside = `${this.path}.stale.${process.pid}`;
    try {
      renameSync(this.path, aside);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw error;
    }
    if (readIfThere(aside) !== found) linked(aside, this.path);
    unlinkSync(aside);
  }
}

const TAKEOVERS_MAX = 8;

interface LockOwner {
  readonly pid: number;
  readonly started: string;
  readonly host: string;
}

function parseOwner(content: string): LockOwner | null {
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value !== 'object' || value === null) return null;
    if (!('pid' in value && 'started' in value && 'host' in value)) return null;
    const { pid, started, host } = value;
    if (typeof pid !== 'number' || typeof started !== 'string' || typeof host !== 'string') return null;
    return { pid, started, host };
  } catch {
    // A lock file cut short by a crash names nobody: it is stale.
    return null;
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** When the process started, in the kernel's own unit; '' where that can not be known. Tells a process from a later one of the same id. */
function startedOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may contain anything; the start time is the 20th field after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isAlive(pid: number, started: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    if (errorCode(error) === 'ESRCH') return false;
  }
  return started === '' || startedOf(pid) === started;
}
