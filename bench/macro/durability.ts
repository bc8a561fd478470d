// What the disk costs the whole broker: one load, on sockets, with answers that leave when the message is in memory, handed to the operating system, or on the disk. The three take turns
// within the same run, so that what the machine does meanwhile meets all alike, and a turn's figures are compared with each other only.
//
//   npm run bench -- durability
//     --repeat N --seconds N           7 turns, 3 seconds measured in each
//     --write                          the table into bench/RESULTS.md

import { parseArgs } from 'node:util';
import { sluiceWith } from '../lib/brokers/sluice.ts';
import { type Run, runScenarios } from '../lib/runner.ts';
import { writeTable } from '../lib/section.ts';
import { median } from '../lib/statistics.ts';
import { asText, milliseconds, rate, significant, type Table } from '../lib/table.ts';
import { acknowledged } from './acknowledged.ts';

const LEVELS = ['memory', 'written', 'fsync'] as const;
const SCENARIO = 'qos1-durable-50-50';
/** A log that is new makes its segments, each by writing it, and has none to use again before its first checkpoint: what is measured is what comes after. */
const WARMUP_S = 4;
/** Rate with fsync over that with memory. */
const TARGET = 0.6;

/** Of the turns in which neither failed: this level's rate over memory's. */
function ratios(runs: readonly Run[], level: string): number[] {
  const found: number[] = [];
  for (const { broker, repetition, report } of runs) {
    const other = runs.find((run) => run.broker === 'memory' && run.repetition === repetition)?.report;
    if (broker !== level || report.failure !== '' || other === undefined || other.failure !== '') continue;
    found.push(report.receivedPerSecond / other.receivedPerSecond);
  }
  return found;
}

function tableOf(runs: readonly Run[]): Table {
  const rows = LEVELS.map((level) => {
    const reports = runs
      .filter(({ broker, report }) => broker === level && report.failure === '')
      .map(({ report }) => report);
    const byTurn = ratios(runs, level);
    const ratio = median(byTurn);
    const wrong = reports.reduce((sum, { lost, corrupt, misrouted }) => sum + lost + corrupt + misrouted, 0);
    return [
      level,
      rate(median(reports.map(({ receivedPerSecond }) => receivedPerSecond))),
      rate(median(reports.map(({ receivedPerCpuSecond }) => receivedPerCpuSecond))),
      milliseconds(median(reports.map(({ answer }) => answer?.p50 ?? 0))),
      milliseconds(median(reports.map(({ answer }) => answer?.p99 ?? 0))),
      significant(ratio),
      `${significant(Math.min(...byTurn))} to ${significant(Math.max(...byTurn))}`,
      level === 'fsync' ? `${ratio >= TARGET ? 'yes' : 'no'} (${significant(ratio / TARGET)})` : '',
      `${reports.length} of ${runs.filter(({ broker }) => broker === level).length}`,
      String(wrong),
    ];
  });
  return {
    columns: [
      'durability',
      'messages/s',
      'per CPU-second',
      'answer p50 ms',
      'answer p99 ms',
      '× memory',
      'from turn to turn',
      `${TARGET} reached`,
      'runs',
      'lost or wrong',
    ],
    rows,
    wordColumns: [0, 6, 7, 8],
  };
}

/** `npm run bench -- durability [--repeat N] [--seconds N] [--write]` */
export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      repeat: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '3' },
      write: { type: 'boolean', default: false },
    },
  });
  const scenario = acknowledged.find(({ name }) => name === SCENARIO)!;
  const brokers = LEVELS.map((level) => sluiceWith(level, [`storage.durability=${level}`]));
  const runs = await runScenarios([scenario], brokers, {
    repeat: Number(values.repeat),
    seconds: Number(values.seconds),
    warmupSeconds: WARMUP_S,
    quietSeconds: 3,
    onReport: ({ broker, report }) => {
      const said = report.failure === '' ? `${rate(report.receivedPerSecond)}/s` : report.failure;
      process.stderr.write(`${broker}: ${said}\n`);
    },
  });
  const table = tableOf(runs);
  process.stdout.write(`\n${asText(table)}\n`);
  if (values.write) {
    writeTable(
      'durability',
      'What the disk costs',
      args,
      `${scenario.title}; the whole broker, on sockets. Its answers leave when a message is where \`storage.durability\` says. Each is measured after ${WARMUP_S} s of the load, when its segments are being used again. The settings take turns; *× memory* is the median, over the turns, of a setting's rate over that of \`memory\` in the same turn.`,
      table,
    );
  }
  return runs.some(({ report }) => report.failure !== '' || report.lost > 0) ? 1 : 0;
}
