// The long form of the fuzzers, as a program: `npm run fuzz:mqtt`, `npm run fuzz:stomp`, each with [EXECUTIONS [SEED]]. Exits with 1 when anything but a ProtocolError was thrown,
// an input took longer than the limit the fuzzers know, or the heap is larger afterwards than before.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { numbersOrUsage } from '../support/numbers.ts';
import { fuzzMqtt } from './mqtt.ts';
import { fuzzStomp } from './stomp.ts';

const [protocol = '', ...numbers] = process.argv.slice(2);
const [executions, seed] = numbersOrUsage(`npm run fuzz:${protocol} -- [EXECUTIONS [SEED]]`, numbers, [1_000_000, 1]);

/** No input may take longer: it would hold up everybody. */
const SLOW_MS = 50;
/** More than this would be something that is kept; compiled code and the like stay below. */
const HEAP_GROWTH_BYTES_MAX = 1024 * 1024;
/** What a process keeps once and for all is there after so many executions. */
const WARM_UP = 200_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

interface Counts {
  readonly executions: number;
  readonly uncaught: number;
  readonly slowestMs: number;
}

/** Runs one target and prints its line; returns whether it held. */
function report(target: string, fuzz: (executions: number) => Counts): boolean {
  fuzz(Math.min(executions, WARM_UP));
  const heapBefore = heapBytes();
  const began = performance.now();
  const result = fuzz(executions);
  const seconds = Math.round((performance.now() - began) / 100) / 10;
  const heapGrowthBytes = heapBytes() - heapBefore;
  process.stdout.write(`${JSON.stringify({ target, seed, ...result, seconds, heapGrowthBytes })}\n`);
  return (
    result.uncaught === 0 &&
    result.slowestMs <= SLOW_MS &&
    result.executions >= executions &&
    heapGrowthBytes <= HEAP_GROWTH_BYTES_MAX
  );
}

const targets: Record<string, () => boolean> = {
  mqtt: () =>
    [ProtocolVersion.V31, ProtocolVersion.V311, ProtocolVersion.V5]
      .map((version) => report(`mqtt ${version}`, (count) => fuzzMqtt({ version, executions: count, seed })))
      .every((held) => held),
  stomp: () => report('stomp', (count) => fuzzStomp({ executions: count, seed })),
};

const run = targets[protocol];
if (run === undefined || !Number.isSafeInteger(executions) || !Number.isSafeInteger(seed) || executions < 1) {
  process.stderr.write(`usage: ${Object.keys(targets).join('|')} [EXECUTIONS [SEED]]\n`);
  process.exitCode = 2;
} else {
  process.exitCode = run() ? 0 : 1;
}
