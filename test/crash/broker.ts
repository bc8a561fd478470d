// The compiled broker as a process of its own on a data directory that outlives it: started, watched, killed. Keeps what it says in a file beside the data directory, since
// after a violation that is half of the evidence.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { brokerFile } from './places.ts';

export interface StartOptions {
  /** Holds data/, the broker's data directory unless `data` says otherwise, and its log. */
  readonly folder: string;
  readonly data?: string;
  /** PATH=VALUE as after --set. */
  readonly settings?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface Ports {
  readonly mqtt: number;
  readonly stomp: number;
}

/** One line of the broker's log. */
export interface BrokerLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How far a broker had come. */
export type Phase = 'starting' | 'opening' | 'listening';

/** A start that takes longer is a violation of its own. */
export const START_MS_MAX = 30_000;
const KEPT_LINES_MAX = 2000;

/** None outlives the campaign. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class CrashBroker {
  readonly process: ChildProcess;
  /** The ports, or null when it ended before it listened. */
  readonly listening: Promise<Ports | null>;
  readonly exited: Promise<Exit>;
  readonly startedAt = performance.now();
  phase: Phase = 'starting';
  alive = true;
  /** From spawn to listening. */
  startMs = 0;
  /** Warnings, errors and what recovery said. */
  readonly lines: BrokerLine[] = [];
  private rest = '';
  private readonly logFile: string;

  constructor({ folder, data, settings = [], env = {} }: StartOptions) {
    this.logFile = join(folder, 'broker.log');
    const args = [brokerFile(), 'start', '--json', '--mqtt', '127.0.0.1:0', '--stomp', '127.0.0.1:0', '--http', 'off'];
    args.push('--data', data ?? join(folder, 'data'), '--set', 'storage.engine=embedded');
    for (const setting of settings) args.push('--set', setting);
    this.process = spawn(process.execPath, args, {
      cwd: folder,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stderr!.on('data', (chunk: Buffer) => this.onLog(String(chunk)));
    running.add(this.process);
    this.exited = once(this.process, 'close').then(([code, signal]) => {
      this.alive = false;
      running.delete(this.process);
      return { code, signal } as Exit;
    });
    this.listening = this.untilListening();
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** The ports; throws when it does not start. */
  async ports(): Promise<Ports> {
    const ports = await this.listening;
    if (ports === null) throw new Error(`the broker ended before it listened: ${this.complaints()}`);
    return ports;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.process.kill(signal);
    return this.exited;
  }

  find(text: string): BrokerLine[] {
    return this.lines.filter(({ msg }) => msg.includes(text));
  }

  complaints(): string {
    return this.lines
      .filter(({ level }) => level === 'warn' || level === 'error')
      .slice(-5)
      .map((line) => JSON.stringify(line))
      .join('\n');
  }

  private untilListening(): Promise<Ports | null> {
    return new Promise((resolve) => {
      let said = '';
      const late = setTimeout(() => this.process.kill('SIGKILL'), START_MS_MAX);
      this.process.stdout!.on('data', (chunk: Buffer) => {
        said += String(chunk);
        if (this.phase === 'listening' || !said.includes('\n')) return;
        clearTimeout(late);
        this.phase = 'listening';
        this.startMs = performance.now() - this.startedAt;
        const { listening } = JSON.parse(said) as { listening: { name: string; port: number }[] };
        const port = (name: string): number => listening.find((address) => address.name === name)?.port ?? 0;
        resolve({ mqtt: port('mqtt'), stomp: port('stomp') });
      });
      void this.exited.then(() => {
        clearTimeout(late);
        resolve(null);
      });
    });
  }

  private onLog(text: string): void {
    appendFileSync(this.logFile, text);
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    for (const line of lines) {
      const parsed = parseLine(line);
      if (parsed.msg === 'starting') this.phase = 'opening';
      if (this.lines.length < KEPT_LINES_MAX) this.lines.push(parsed);
    }
  }
}

/** What is no JSON comes from Node itself: a crash. */
function parseLine(line: string): BrokerLine {
  try {
    const value = JSON.parse(line) as Partial<BrokerLine>;
    return { ...value, level: String(value.level ?? ''), msg: String(value.msg ?? '') };
  } catch {
    return { level: 'error', msg: line };
  }
}
