// Starts a broker as a child process and ends it again, with everything it has started. Its output goes to a file, so
// that a failure to start can say why. Only processes started here are ever signalled; those still running when the
// benchmark ends, however it ends, are killed with it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { descendantsOf, isRunning } from '../process-figures.ts';

const stopTimeoutMs = 15_000;
const pollMs = 50;

const started = new Set<number>();
process.on('exit', () => {
  for (const pid of started) for (const member of descendantsOf(pid)) signal(member, 'SIGKILL');
});
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => process.exit(130));

export class BrokerProcess {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly logPath: string;

  private constructor(child: ChildProcess, logPath: string) {
    this.child = child;
    this.pid = child.pid!;
    this.logPath = logPath;
    killAtExit(child);
  }

  /** Runs a program with its working directory and log file (`name`.log) in `directory`. */
  static async start(
    command: string,
    args: readonly string[],
    directory: string,
    environment: Record<string, string> = {},
    name = 'broker',
  ): Promise<BrokerProcess> {
    const logPath = join(directory, `${name}.log`);
    const log = openSync(logPath, 'w');
    const child = spawn(command, args, {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return new BrokerProcess(child, logPath);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  log(): string {
    return readFileSync(this.logPath, 'utf8');
  }

  /** Resolves when the port takes connections. */
  async untilListening(port: number, timeoutMs: number): Promise<void> {
    await this.until(`port ${port} opens`, timeoutMs, () => takesConnections(port));
  }

  /** Resolves with the first whole line of the log that is a JSON object. */
  async firstJsonLine(timeoutMs: number): Promise<string> {
    let found = '';
    await this.until('it says where it listens', timeoutMs, () => {
      const lines = this.log().split('\n').slice(0, -1);
      found = lines.find((line) => line.startsWith('{') && line.includes('"listening"')) ?? '';
      return found !== '';
    });
    return found;
  }

  async stop(): Promise<void> {
    const members = descendantsOf(this.pid);
    for (const member of members) signal(member, 'SIGTERM');
    const deadline = performance.now() + stopTimeoutMs;
    while (members.some(isRunning) && performance.now() < deadline) await pause(pollMs);
    for (const member of members) if (isRunning(member)) signal(member, 'SIGKILL');
    while (!this.hasEnded) await pause(pollMs);
  }

  private async until(what: string, timeoutMs: number, holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await holds())) {
      const late = performance.now() > deadline;
      if (!late && !this.hasEnded) {
        await pause(pollMs);
        continue;
      }
      const log = this.log().trim().slice(-2000);
      await this.stop();
      throw new Error(`${late ? 'too slow' : 'ended'} before ${what}; its log ends with:\n${log}`);
    }
  }
}

/** A child that must not outlive the benchmark, whatever ends it. */
export function killAtExit(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  started.add(pid);
  child.once('exit', () => started.delete(pid));
}

/** The first of some paths that exists, or null. */
export function firstExisting(paths: readonly string[]): string | null {
  return paths.find((path) => existsSync(path)) ?? null;
}

/** What a short command prints, on either stream; empty when it cannot be run. */
export function outputOf(command: string, args: readonly string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 10_000 });
  return `${result.stdout ?? ''}${result.stderr ?? ''}`;
}

/** Upstream version of an installed Debian package. */
export function packageVersion(name: string): string {
  return /^Version: (?:\d+:)?(\d[\w.]*)/m.exec(outputOf('dpkg', ['-s', name]))?.[1] ?? 'unknown';
}

/** Ports that were free a moment ago, each once. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
    ports.push(address.port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (open: boolean) => () => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
