// How long a bystander waits: a client in a process of its own that sends PINGREQ a moment after each answer, so that what it measures is the broker and the machine, not the load generator
// beside it.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { killAtExit } from './brokers/process.ts';
import { PacketType, PINGREQ, PlainClient } from './plain-client.ts';

const BETWEEN_MS = 2;

export interface Pings {
  readonly count: number;
  readonly worstMs: number;
}

export class PingProbe {
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  static async start(port: number): Promise<PingProbe> {
    const child = fork(fileURLToPath(import.meta.url), ['--ping', String(port)]);
    killAtExit(child);
    const probe = new PingProbe(child);
    await probe.take();
    return probe;
  }

  /** What was measured since the last time. A PINGREQ that is still unanswered counts with the time it has waited. */
  take(): Promise<Pings> {
    return new Promise((resolve, reject) => {
      this.child.once('message', (pings) => resolve(pings as Pings));
      this.child.once('exit', () => reject(new Error('the ping client has ended')));
      this.child.send('take');
    });
  }

  stop(): void {
    this.child.removeAllListeners('exit');
    this.child.kill('SIGKILL');
  }
}

async function ping(port: number): Promise<void> {
  let count = 0;
  let worstMs = 0;
  let sentAt = 0;
  process.on('message', () => {
    const waitingMs = sentAt === 0 ? 0 : performance.now() - sentAt;
    process.send?.({ count, worstMs: Math.max(worstMs, waitingMs) });
    [count, worstMs] = [0, 0];
  });
  process.on('disconnect', () => process.exit(0));
  const client = await PlainClient.connect(port, 'bystander');
  for (;;) {
    sentAt = performance.now();
    await client.ask(PINGREQ, PacketType.pingresp);
    worstMs = Math.max(worstMs, performance.now() - sentAt);
    sentAt = 0;
    count++;
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  }
}

if (process.argv[2] === '--ping') await ping(Number(process.argv[3]));
