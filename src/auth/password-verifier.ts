// Checks passwords against hashes in one worker thread of its own, behind a bounded line. Peers take turns, so that one that tries many passwords does
// not keep the others waiting. A full line is an answer ('busy'), never a longer line. Never uses libuv's thread pool.
import { Worker } from 'node:worker_threads';
import type { PasswordHash } from './password.ts';

/** At 0.1 s a check the last in line waits about six seconds, within the ten a handshake may take. */
export const WAITING_MAX = 64;
/** Half the line: a fleet behind one address gets far, a second address still gets in. */
export const WAITING_PER_PEER_MAX = 32;

export type Verdict = 'matches' | 'differs' | 'busy';

/** What checks a password; a simulation gives its own. */
export interface PasswordVerifier {
  /** `peer` is whose turn it takes: the address of the other side. Never throws; a failed worker is 'busy'. */
  verify(password: Uint8Array, hash: PasswordHash, peer: string): Promise<Verdict>;
  close(): Promise<void>;
}

interface Attempt {
  readonly password: Uint8Array;
  readonly hash: PasswordHash;
  readonly settle: (verdict: Verdict) => void;
}

interface Answer {
  readonly id: number;
  readonly matches: boolean;
}

export class WorkerPasswordVerifier implements PasswordVerifier {
  private worker: Worker | null = null;
  private closed = false;
  private nextId = 0;
  private running: Attempt | null = null;
  private waitingCount = 0;
  // One line for each peer, in the order of their turns: a Map keeps insertion order, and whoever was served moves to its end.
  private readonly lines = new Map<string, Attempt[]>();

  verify(password: Uint8Array, hash: PasswordHash, peer: string): Promise<Verdict> {
    const line = this.lines.get(peer);
    if (this.closed || this.waitingCount >= WAITING_MAX || (line?.length ?? 0) >= WAITING_PER_PEER_MAX) {
      return Promise.resolve('busy');
    }
    return new Promise((settle) => {
      // The caller's bytes are only lent to us; this copy is wiped by the worker.
      const attempt = { password: Uint8Array.from(password), hash, settle };
      if (line === undefined) this.lines.set(peer, [attempt]);
      else line.push(attempt);
      this.waitingCount++;
      this.next();
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    const { worker } = this;
    this.refuseAll();
    await worker?.terminate();
  }

  private next(): void {
    if (this.running !== null) return;
    for (const [peer, line] of this.lines) {
      const attempt = line.shift();
      this.lines.delete(peer);
      if (line.length > 0) this.lines.set(peer, line);
      if (attempt === undefined) continue;
      this.waitingCount--;
      this.run(attempt);
      return;
    }
  }

  private run(attempt: Attempt): void {
    this.running = attempt;
    this.worker ??= this.start();
    const { password, hash } = attempt;
    this.worker.postMessage({ id: ++this.nextId, password, ...hash }, [password.buffer as ArrayBuffer]);
  }

  private start(): Worker {
    const worker = new Worker(new URL('./hash-worker.mjs', import.meta.url), { execArgv: [], env: {} });
    worker.unref();
    worker.on('message', ({ id, matches }: Answer) => {
      if (this.worker !== worker || id !== this.nextId || this.running === null) return;
      const { settle } = this.running;
      this.running = null;
      settle(matches ? 'matches' : 'differs');
      this.next();
    });
    // It cannot go on (out of memory): whoever waits is refused for now, and the next attempt starts a new one.
    worker.on('error', () => this.lost(worker));
    worker.on('exit', () => this.lost(worker));
    return worker;
  }

  private lost(worker: Worker): void {
    if (this.worker === worker) this.refuseAll();
  }

  private refuseAll(): void {
    this.worker = null;
    const attempts = this.running === null ? [] : [this.running];
    for (const line of this.lines.values()) attempts.push(...line);
    this.running = null;
    this.waitingCount = 0;
    this.lines.clear();
    for (const { settle } of attempts) settle('busy');
  }
}
