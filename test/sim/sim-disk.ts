// A disk in memory that forgets what a real one may forget. Every file has what reads show (current) and what a power cut leaves (durable, plus any choice of the writes
// since the last sync, torn at sectors); every directory entry likewise. Each call is announced before and after it takes effect, so that a campaign can cut the power
// in the middle of any of them. Deterministic: choices come from the generator that is passed in.
import { dirname } from 'node:path';
import {
  type Disk,
  type DiskFile,
  type DiskLock,
  DiskLockedError,
  type DiskSpace,
  type OpenMode,
} from '../../src/io/disk.ts';
import type { Dice } from './dice.ts';

const SECTOR_BYTES = 512;

interface UnsyncedWrite {
  readonly at: number;
  readonly bytes: Uint8Array;
  /** Size of the file when it was made. */
  readonly sizeAfter: number;
}

class Inode {
  current: Uint8Array;
  size: number;
  durable: Uint8Array;
  durableSize: number;
  unsynced: UnsyncedWrite[] = [];

  constructor(current: Uint8Array, size: number, durable: Uint8Array, durableSize: number) {
    this.current = current;
    this.size = size;
    this.durable = durable;
    this.durableSize = durableSize;
  }

  clone(): Inode {
    const copy = new Inode(this.current.slice(), this.size, this.durable.slice(), this.durableSize);
    copy.unsynced = [...this.unsynced];
    return copy;
  }
}

type NameChange = { directory: string; from: string | null; to: string | null; inode: Inode };

export type Crash = 'drop' | 'keep' | 'prefix' | 'random';

export interface DiskFault {
  /** The how-manieth call of this kind fails, counted from 1. */
  readonly call: 'write' | 'sync' | 'read' | 'any';
  readonly nth: number;
  readonly code: 'EIO' | 'ENOSPC' | 'short';
  readonly sticky: boolean;
}

export class SimDisk implements Disk {
  /** Called in the middle of every call that changes something: what the call does may or may not have reached the disk. */
  onCall: (call: string, path: string) => void = () => undefined;
  /** Called before every read of a file. */
  onRead: (path: string) => void = () => undefined;
  capacityBytes = Number.POSITIVE_INFINITY;
  directFiles = true;
  fault: DiskFault | null = null;
  faultHits = 0;
  calls = 0;
  private readonly counts = new Map<string, number>();
  private names = new Map<string, Inode>();
  private durableNames = new Map<string, Inode>();
  private changes: NameChange[] = [];
  private readonly directories = new Set<string>();
  private readonly locked = new Set<string>();

  /** What a machine finds after the power came back. */
  afterPowerCut(dice: Dice, crash: Crash): SimDisk {
    const after = new SimDisk();
    after.directFiles = this.directFiles;
    const names = new Map(this.durableNames);
    for (const change of this.changes) {
      if (crash === 'drop' || (crash !== 'keep' && dice.chance(0.5))) continue;
      if (change.from !== null && names.get(change.from) === change.inode) names.delete(change.from);
      if (change.to !== null) names.set(change.to, change.inode);
    }
    const survivors = new Map<Inode, Inode>();
    for (const [path, inode] of names) {
      let survivor = survivors.get(inode);
      if (survivor === undefined) {
        survivor = surviving(inode, dice, crash);
        survivors.set(inode, survivor);
      }
      after.names.set(path, survivor);
    }
    after.durableNames = new Map(after.names);
    for (const directory of this.directories) after.directories.add(directory);
    return after;
  }

  /** What the next process finds after this one was killed: everything, as unsynced as it was. */
  afterKill(): SimDisk {
    const after = new SimDisk();
    after.directFiles = this.directFiles;
    const copies = new Map<Inode, Inode>();
    const copyOf = (inode: Inode): Inode => {
      let copy = copies.get(inode);
      if (copy === undefined) {
        copy = inode.clone();
        copies.set(inode, copy);
      }
      return copy;
    };
    for (const [path, inode] of this.names) after.names.set(path, copyOf(inode));
    for (const [path, inode] of this.durableNames) after.durableNames.set(path, copyOf(inode));
    after.changes = this.changes.map((change) => ({ ...change, inode: copyOf(change.inode) }));
    for (const directory of this.directories) after.directories.add(directory);
    return after;
  }

  /** The bytes of a file as reads show them, to be changed by tests of damage; what they change is on the disk. */
  damage(path: string, change: (bytes: Uint8Array) => void): void {
    const inode = this.find(path);
    change(inode.current.subarray(0, inode.size));
    change(inode.durable.subarray(0, inode.durableSize));
  }

  sizeOf(path: string): number {
    return this.find(path).size;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const inode of new Set(this.names.values())) bytes += inode.size;
    return bytes;
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === 'direct' && !this.directFiles) throw problem('EINVAL', path);
    if (mode === 'create') {
      if (this.names.has(path)) throw problem('EEXIST', path);
      const inode = new Inode(new Uint8Array(0), 0, new Uint8Array(0), 0);
      this.names.set(path, inode);
      this.change({ directory: dirname(path), from: null, to: path, inode }, 'create', path);
    }
    return new SimFile(this, this.find(path), path, mode);
  }

  list(directory: string): string[] {
    return [...this.names.keys()]
      .filter((path) => dirname(path) === directory)
      .map((path) => path.slice(directory.length + 1));
  }

  makeDirectory(path: string): void {
    this.directories.add(path);
  }

  rename(from: string, to: string): void {
    const inode = this.find(from);
    this.names.delete(from);
    this.names.set(to, inode);
    this.change({ directory: dirname(to), from, to, inode }, 'rename', to);
  }

  link(from: string, to: string): void {
    if (this.names.has(to)) throw problem('EEXIST', to);
    const inode = this.find(from);
    this.names.set(to, inode);
    this.change({ directory: dirname(to), from: null, to, inode }, 'link', to);
  }

  remove(path: string): void {
    const inode = this.find(path);
    this.names.delete(path);
    this.change({ directory: dirname(path), from: path, to: null, inode }, 'remove', path);
  }

  syncDirectory(path: string): void {
    this.announce('syncDirectory', path);
    this.strike('sync', path);
    for (const change of this.changes) {
      if (change.directory !== path) continue;
      if (change.from !== null && this.durableNames.get(change.from) === change.inode)
        this.durableNames.delete(change.from);
      if (change.to !== null) this.durableNames.set(change.to, change.inode);
    }
    this.changes = this.changes.filter((change) => change.directory !== path);
  }

  space(): DiskSpace {
    const totalBytes = Number.isFinite(this.capacityBytes) ? this.capacityBytes : 1e12;
    return { freeBytes: Math.max(0, totalBytes - this.usedBytes), totalBytes };
  }

  lock(path: string): DiskLock {
    if (this.locked.has(path)) throw new DiskLockedError(`the data directory is in use (${path})`);
    this.locked.add(path);
    return { release: () => this.locked.delete(path) };
  }

  /** Throws or shortens when it is this call's turn; returns how much of `length` may be done. */
  strike(call: 'write' | 'sync' | 'read', path: string, length = 0): number {
    const { fault } = this;
    if (fault === null || (fault.call !== 'any' && fault.call !== call)) return length;
    const count = (this.counts.get(fault.call) ?? 0) + 1;
    this.counts.set(fault.call, count);
    if (count < fault.nth || (count > fault.nth && !fault.sticky)) return length;
    this.faultHits++;
    if (fault.code === 'short') {
      if (call === 'write' && length > 1) return Math.floor(length / 2);
      return length;
    }
    throw problem(fault.code, path);
  }

  announce(call: string, path: string): void {
    this.calls++;
    this.onCall(call, path);
  }

  private change(change: NameChange, call: string, path: string): void {
    this.changes.push(change);
    this.announce(call, path);
  }

  private find(path: string): Inode {
    const inode = this.names.get(path);
    if (inode === undefined) throw problem('ENOENT', path);
    return inode;
  }
}

class SimFile implements DiskFile {
  private readonly disk: SimDisk;
  private readonly inode: Inode;
  private readonly path: string;
  private readonly mode: OpenMode;

  constructor(disk: SimDisk, inode: Inode, path: string, mode: OpenMode) {
    this.disk = disk;
    this.inode = inode;
    this.path = path;
    this.mode = mode;
  }

  write(bytes: Uint8Array, start: number, end: number, position: number): number {
    if (this.mode === 'read') throw problem('EBADF', this.path);
    const { disk, inode } = this;
    if (this.mode === 'direct' && ((end - start) % 4096 !== 0 || position % 4096 !== 0))
      throw problem('EINVAL', this.path);
    const length = disk.strike('write', this.path, end - start);
    const grows = Math.max(0, position + length - inode.size);
    if (grows > 0 && disk.usedBytes + grows > disk.capacityBytes) throw problem('ENOSPC', this.path);
    const piece = bytes.slice(start, start + length);
    inode.current = roomFor(inode.current, position + length);
    inode.current.set(piece, position);
    inode.size = Math.max(inode.size, position + length);
    const write: UnsyncedWrite = { at: position, bytes: piece, sizeAfter: inode.size };
    inode.unsynced.push(write);
    disk.announce('write', this.path);
    if (this.mode === 'direct') {
      apply(inode, write);
      inode.unsynced = inode.unsynced.filter((other) => other !== write);
    }
    return length;
  }

  read(bytes: Uint8Array, start: number, end: number, position: number): number {
    this.disk.onRead(this.path);
    this.disk.strike('read', this.path);
    const count = Math.max(0, Math.min(end - start, this.inode.size - position));
    if (count > 0) bytes.set(this.inode.current.subarray(position, position + count), start);
    return count;
  }

  sync(): void {
    const { disk, inode } = this;
    disk.announce('sync', this.path);
    try {
      disk.strike('sync', this.path);
    } catch (error) {
      // As Linux has it: the pages are clean now, reads show them, and the disk never gets them.
      inode.unsynced = [];
      throw error;
    }
    for (const write of inode.unsynced) apply(inode, write);
    inode.unsynced = [];
    inode.durableSize = Math.max(inode.durableSize, inode.size);
    inode.durable = roomFor(inode.durable, inode.size);
  }

  size(): number {
    return this.inode.size;
  }

  truncate(size: number): void {
    const { inode } = this;
    inode.current = roomFor(inode.current, size);
    if (size < inode.size) inode.current.fill(0, size);
    inode.size = size;
    this.disk.announce('truncate', this.path);
    inode.durable = inode.current.slice();
    inode.durableSize = size;
  }

  close(): void {
    // Closing promises nothing about what was written.
  }
}

function apply(inode: Inode, write: UnsyncedWrite): void {
  inode.durable = roomFor(inode.durable, write.at + write.bytes.length);
  inode.durable.set(write.bytes, write.at);
  inode.durableSize = Math.max(inode.durableSize, write.at + write.bytes.length);
}

/** The inode as a power cut leaves it. */
function surviving(inode: Inode, dice: Dice, crash: Crash): Inode {
  const after = new Inode(new Uint8Array(0), 0, inode.durable.slice(), inode.durableSize);
  const apply1 = (write: UnsyncedWrite): void => {
    apply(after, write);
  };
  const { unsynced } = inode;
  if (crash === 'keep') for (const write of unsynced) apply1(write);
  if (crash === 'prefix' && unsynced.length > 0) {
    const whole = dice.below(unsynced.length + 1);
    for (let i = 0; i < whole; i++) apply1(unsynced[i]!);
    const torn = unsynced[whole];
    if (torn !== undefined) {
      const sectors = Math.floor(torn.bytes.length / SECTOR_BYTES);
      const bytes = torn.bytes.subarray(0, dice.below(sectors + 1) * SECTOR_BYTES);
      if (bytes.length > 0) apply1({ at: torn.at, bytes, sizeAfter: 0 });
    }
  }
  if (crash === 'random') {
    for (const write of unsynced) {
      const share = dice.pick([0, 0.2, 0.5, 0.8, 1]);
      for (let from = 0; from < write.bytes.length; ) {
        // Up to the next sector of the disk, not of the write.
        const to = Math.min(
          write.bytes.length,
          (Math.floor((write.at + from) / SECTOR_BYTES) + 1) * SECTOR_BYTES - write.at,
        );
        if (dice.chance(share)) apply1({ at: write.at + from, bytes: write.bytes.subarray(from, to), sizeAfter: 0 });
        from = to;
      }
      // The size may have grown although the data never came.
      if (write.sizeAfter > after.durableSize && dice.chance(0.5)) {
        after.durable = roomFor(after.durable, write.sizeAfter);
        after.durableSize = write.sizeAfter;
      }
    }
  }
  after.current = after.durable.slice();
  after.size = after.durableSize;
  return after;
}

function roomFor(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length >= size) return bytes;
  const larger = new Uint8Array(Math.max(size, Math.min(bytes.length * 2, bytes.length + (1 << 20))));
  larger.set(bytes);
  return larger;
}

function problem(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
