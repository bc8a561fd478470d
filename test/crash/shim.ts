// Failpoints in the compiled broker, without a word about them in its source: shim.c is compiled once and preloaded, and strikes at the k-th call of a kind. Needs a C compiler and Linux.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export interface Failpoint {
  readonly call: 'write' | 'sync' | 'rename' | 'link' | 'unlink' | 'create';
  /** End of the file's name; '/' for the data directory itself, '' for any. */
  readonly name: string;
  readonly k: number;
  readonly when: 'before' | 'after' | 'half';
  /** kill: SIGKILL. cut: the file system loses its power, then SIGKILL. eio, enospc: the call fails. slow: it takes 300 ms longer. skip: a sync does nothing. */
  readonly action: 'kill' | 'cut' | 'eio' | 'enospc' | 'slow' | 'skip';
  readonly sticky?: boolean;
}

export class Shim {
  private readonly library: string;
  private readonly hitFile: string;

  private constructor(folder: string) {
    this.library = join(folder, 'shim.so');
    this.hitFile = join(folder, 'shim-hits');
  }

  /** Compiles it into `folder`; a text says why that is not possible. */
  static build(folder: string): Shim | string {
    if (process.platform !== 'linux') return 'calls can be intercepted on Linux only';
    const shim = new Shim(folder);
    const source = join(import.meta.dirname, 'shim.c');
    const args = ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', shim.library, source, '-ldl'];
    const { status, stderr, error } = spawnSync('gcc', args, { encoding: 'utf8' });
    if (error !== undefined) return `gcc: ${error.message}`;
    return status === 0 ? shim : `gcc could not compile shim.c: ${stderr}`;
  }

  /** Environment for a broker on the data directory `data`. Forgets hits of before. */
  arm({ call, name, k, when, action, sticky = false }: Failpoint, data: string): NodeJS.ProcessEnv {
    rmSync(this.hitFile, { force: true });
    return {
      LD_PRELOAD: this.library,
      CRASH_DIR: data,
      CRASH_CALL: call,
      CRASH_NAME: name,
      CRASH_K: String(k),
      CRASH_WHEN: when,
      CRASH_ACTION: action,
      CRASH_STICKY: sticky ? '1' : '0',
      CRASH_HIT: this.hitFile,
    };
  }

  /** The files it struck since arm(), in order. */
  get struck(): string[] {
    return existsSync(this.hitFile) ? readFileSync(this.hitFile, 'utf8').trimEnd().split('\n') : [];
  }

  /** How often it struck since arm(). */
  get hits(): number {
    return this.struck.length;
  }
}

export function failpointName({ call, name, k, when, action, sticky = false }: Failpoint): string {
  const file = name === '/' ? 'the directory' : name === '' ? 'any file' : `*${name}`;
  return `${action}${sticky ? ' from' : ''} ${when} ${call} ${k} of ${file}`;
}
