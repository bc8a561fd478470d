// A disk to look at and not to change: what is written to it goes nowhere. Recovery runs on it as it does at a start, and leaves no trace. A view may also hold still what
// changes underneath: names and contents given to it are what is there, whatever the disk says by then.
import type { Disk, DiskFile, DiskLock, DiskSpace, OpenMode } from '../../io/disk.ts';

class HeldFile implements DiskFile {
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  write(_bytes: Uint8Array, start: number, end: number): number {
    return end - start;
  }

  read(bytes: Uint8Array, start: number, end: number, position: number): number {
    const count = Math.max(0, Math.min(end - start, this.bytes.length - position));
    if (count > 0) bytes.set(this.bytes.subarray(position, position + count), start);
    return count;
  }

  size(): number {
    return this.bytes.length;
  }

  sync(): void {
    // There is nothing to keep.
  }

  truncate(): void {
    // There is nothing to keep.
  }

  close(): void {
    // There is nothing to let go of.
  }
}

const NOTHING = new Uint8Array(0);

export class ViewDisk implements Disk {
  private readonly disk: Disk;
  private readonly names: readonly string[] | null;
  private readonly held: ReadonlyMap<string, Uint8Array>;

  /** names: the entries of the directory, null for those of the disk. held: contents by path. */
  constructor(disk: Disk, names: readonly string[] | null = null, held: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.disk = disk;
    this.names = names;
    this.held = held;
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (mode !== 'read') return new HeldFile(NOTHING);
    const held = this.held.get(path);
    return held === undefined ? this.disk.open(path, 'read') : new HeldFile(held);
  }

  list(directory: string): string[] {
    return this.names === null ? this.disk.list(directory) : [...this.names];
  }

  space(path: string): DiskSpace {
    return this.disk.space(path);
  }

  lock(): DiskLock {
    return { release: () => undefined };
  }

  makeDirectory(): void {
    // Nothing changes.
  }

  rename(): void {
    // Nothing changes.
  }

  link(): void {
    // Nothing changes.
  }

  remove(): void {
    // Nothing changes.
  }

  syncDirectory(): void {
    // Nothing changes.
  }
}
