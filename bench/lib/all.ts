// Every section of bench/RESULTS.md, one after the other, each in a process of its own: what one leaves in memory is not the next one's, and one that fails does not stop the others.

import { spawn } from 'node:child_process';
import { killAtExit } from './brokers/process.ts';

interface Part {
  /** Arguments of the benchmark, as on the command line. */
  readonly args: readonly string[];
  /** What differs with --quick. */
  readonly quick: readonly string[];
}

const MACRO = 'macro';

const PARTS: readonly Part[] = [
  { args: [MACRO], quick: ['--repeat', '1', '--seconds', '2', '--quiet', '0'] },
  { args: ['storage'], quick: [] },
  { args: ['durability'], quick: ['--repeat', '3', '--seconds', '2'] },
  { args: ['retained'], quick: [] },
  { args: ['connections'], quick: [] },
  { args: ['sessions'], quick: [] },
  { args: ['hostile'], quick: [] },
  { args: ['curves'], quick: ['--repeat', '1', '--seconds', '2'] },
];

/** The command lines that `all` runs, without the program. */
export function partsOf(options: { quick: boolean; write: boolean }): string[][] {
  return PARTS.map(({ args, quick }) => [
    ...args.filter((arg) => arg !== MACRO),
    ...(options.quick ? quick : []),
    ...(options.write ? ['--write'] : []),
  ]);
}

/** Runs them all; returns how many failed. */
export async function runAll(program: string, options: { quick: boolean; write: boolean }): Promise<number> {
  let failed = 0;
  const began = performance.now();
  for (const args of partsOf(options)) {
    const name = args[0]?.startsWith('-') === false ? args[0] : 'scenarios';
    process.stderr.write(`\n== ${name}\n`);
    const partBegan = performance.now();
    const status = await follow(program, args);
    const seconds = Math.round((performance.now() - partBegan) / 1000);
    process.stderr.write(`== ${name}: ${status === 0 ? 'done' : `status ${status}`} after ${seconds} s\n`);
    if (status !== 0) failed++;
  }
  process.stderr.write(`== all: ${Math.round((performance.now() - began) / 60_000)} minutes\n`);
  return failed;
}

function follow(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
    killAtExit(child);
    child.once('error', reject);
    child.once('exit', (status) => resolve(status ?? 1));
  });
}
