// One broker, started afresh with an empty directory for one benchmark, and its memory.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allBrokers } from './brokers/all.ts';
import type { BenchBroker, RunningBroker } from './brokers/broker.ts';
import { readProcessTree } from './process-figures.ts';

const SAMPLE_MS = 500;
/** Memory that grows by less between two looks is at rest. */
const STILL_BYTES = 256 * 1024;

export interface BrokerRun {
  readonly broker: BenchBroker;
  readonly running: RunningBroker;
  readonly directory: string;
}

/** Runs `work` against each of the named brokers that is installed, one after the other. */
export async function withBrokers<T>(names: readonly string[], work: (run: BrokerRun) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const name of names) {
    const broker = allBrokers.find((other) => other.name === name);
    if (broker === undefined) throw new TypeError(`there is no broker ${name}`);
    if (broker.version() === null) {
      process.stderr.write(`${name} is not installed and left out\n`);
      continue;
    }
    const directory = mkdtempSync(join(tmpdir(), `bench-${name}-`));
    const running = await broker.start(directory);
    try {
      results.push(await work({ broker, running, directory }));
    } finally {
      await running.stop();
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    }
  }
  return results;
}

export function rssBytes(pid: number): number {
  return readProcessTree(pid).rssBytes;
}

export function rssPeakBytes(pid: number): number {
  return readProcessTree(pid).rssPeakBytes;
}

/** Resident memory when it has come to rest, or after secondsMax. */
export async function restingRssBytes(pid: number, secondsMax = 10): Promise<number> {
  let before = rssBytes(pid);
  for (let waited = 0; waited < secondsMax * 1000; waited += SAMPLE_MS) {
    await pause(SAMPLE_MS);
    const now = rssBytes(pid);
    if (Math.abs(now - before) < STILL_BYTES && waited >= 2 * SAMPLE_MS) return now;
    before = now;
  }
  return before;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
