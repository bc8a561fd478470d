// The long form of the fuzzers, as a program: `npm run fuzz:mqtt`, `npm run fuzz:stomp`, each with [EXECUTIONS [SEED]]. Exits with 1 when anything but a ProtocolError was thrown,
// or an input took longer than the limit the fuzzers know.

import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { fuzzMqtt } from './mqtt.ts';
import { fuzzStomp } from './stomp.ts';

const [protocol = '', executionsText = '1000000', seedText = '1'] = process.argv.slice(2);
const executions = Number(executionsText);
const seed = Number(seedText);

/** No input may take longer: it would hold up everybody. */
const SLOW_MS = 50;

interface Counts {
  readonly executions: number;
  readonly uncaught: number;
  readonly slowestMs: number;
}

/** Runs one target and prints its line; returns whether it held. */
function report(target: string, fuzz: () => Counts): boolean {
  const heapBefore = process.memoryUsage().heapUsed;
  const result = fuzz();
  const heapGrowthBytes = process.memoryUsage().heapUsed - heapBefore;
  process.stdout.write(`${JSON.stringify({ target, seed, ...result, heapGrowthBytes })}\n`);
  return result.uncaught === 0 && result.slowestMs <= SLOW_MS && result.executions >= executions;
}

const targets: Record<string, () => boolean> = {
  mqtt: () =>
    [ProtocolVersion.V31, ProtocolVersion.V311, ProtocolVersion.V5]
      .map((version) => report(`mqtt ${version}`, () => fuzzMqtt({ version, executions, seed })))
      .every((held) => held),
  stomp: () => report('stomp', () => fuzzStomp({ executions, seed })),
};

const run = targets[protocol];
if (run === undefined || !Number.isSafeInteger(executions) || !Number.isSafeInteger(seed) || executions < 1) {
  process.stderr.write(`usage: ${Object.keys(targets).join('|')} [EXECUTIONS [SEED]]\n`);
  process.exitCode = 2;
} else {
  process.exitCode = run() ? 0 : 1;
}
