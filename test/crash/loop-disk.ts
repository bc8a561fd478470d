// A real file system in a file: ext4 on a loop device, whose power can be cut, whose backing store can be too small, and which is gone without a trace afterwards. Needs root, loop devices, mkfs.ext4
// and python3 (which makes the one ioctl that Node can not).
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statfsSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../../src/io/disk.ts';

const MIB = 1024 * 1024;
/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: stop at once, the journal is not written out. */
const CUT =
  'import fcntl,os,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, (2).to_bytes(4, "little"))';
/** A dead broker's last files are closed within this time. */
const UNMOUNT_TRIES = 50;

function call(command: string, ...args: string[]): { readonly ok: boolean; readonly said: string } {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  return { ok: status === 0, said: error?.message ?? stderr.trim() };
}

function must(command: string, ...args: string[]): void {
  const { ok, said } = call(command, ...args);
  if (!ok) throw new Error(`${command} ${args.join(' ')}: ${said}`);
}

/** What is mounted now goes when the process does, however it ends. */
const mounted = new Set<string>();
process.on('exit', () => {
  for (const point of [...mounted].reverse()) call('umount', '-l', point);
});

export class LoopDisk {
  readonly point: string;
  private readonly image: string;

  private constructor(folder: string, image: string) {
    this.image = image;
    this.point = join(folder, 'disk');
  }

  /** Why there can be none; '' when there can. `folder` is used for trying. */
  static whyNot(folder: string): string {
    if (process.platform !== 'linux') return 'ext4 on loop devices is there on Linux only';
    if (process.getuid?.() !== 0) return 'only root may mount';
    for (const command of ['mkfs.ext4', 'mount', 'umount', 'python3'])
      if (spawnSync(command, ['-V']).error !== undefined) return `${command} is not installed`;
    const trial = join(folder, 'trial');
    mkdirSync(trial);
    try {
      const disk = LoopDisk.make(trial, 16);
      disk.cut();
      disk.remount();
      disk.unmount();
      return '';
    } catch (error) {
      return `a trial failed: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** A fresh file system, mounted. `image` is where its bytes are. */
  static make(folder: string, mib: number, image = join(folder, 'image')): LoopDisk {
    const disk = new LoopDisk(folder, image);
    closeSync(openSync(image, 'w'));
    truncateSync(image, mib * MIB);
    must('mkfs.ext4', '-q', '-F', '-m', '0', image);
    mkdirSync(disk.point, { recursive: true });
    disk.mount();
    return disk;
  }

  path(name: string): string {
    return join(this.point, name);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.point);
    return bavail * bsize;
  }

  /** Nothing reaches the disk from now on, and what was not synced never will. */
  cut(): void {
    const { ok, said } = call('python3', '-c', CUT, this.point);
    // A file system that is cut already can not be opened.
    if (!ok && !said.includes('Input/output error') && !said.includes('shut'))
      throw new Error(`the power could not be cut: ${said}`);
  }

  remount(): void {
    this.unmount();
    this.mount();
  }

  mount(): void {
    must('mount', '-o', 'loop', this.image, this.point);
    mounted.add(this.point);
  }

  /** Repairs what a failed disk has left of the file system; it must not be mounted. */
  check(): void {
    const { status, stdout } = spawnSync('e2fsck', ['-fy', this.image], { encoding: 'utf8' });
    // 0: nothing to do. 1: repaired. The rest: there is something it could not do.
    if (status !== 0 && status !== 1) throw new Error(`e2fsck: ${stdout}`);
  }

  unmount(): void {
    if (!mounted.has(this.point)) return;
    for (let attempt = 1; ; attempt++) {
      const { ok, said } = call('umount', this.point);
      if (ok) break;
      if (attempt === UNMOUNT_TRIES) throw new Error(`umount: ${said}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
    mounted.delete(this.point);
  }
}

/** Memory as a disk, of a size that can be changed. */
export class MemoryDisk {
  readonly point: string;

  constructor(point: string, mib: number) {
    this.point = point;
    mkdirSync(point, { recursive: true });
    must('mount', '-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', point);
    mounted.add(point);
  }

  resize(mib: number): void {
    must('mount', '-o', `remount,size=${mib}m`, this.point);
  }

  path(name: string): string {
    return join(this.point, name);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.point);
    return bavail * bsize;
  }

  unmount(): void {
    must('umount', this.point);
    mounted.delete(this.point);
  }
}

/** Takes space away: a file of zeros, of so many bytes or as many as there is room for. */
export function fill(path: string, bytes: number): void {
  const chunk = Buffer.alloc(MIB);
  const file = openSync(path, 'w');
  try {
    for (let left = bytes; left > 0; left -= chunk.length) writeSync(file, chunk, 0, Math.min(left, chunk.length));
  } catch (error) {
    // Somebody else was faster.
    if (errorCode(error) !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
