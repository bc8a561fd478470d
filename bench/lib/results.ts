// Writes bench/RESULTS.md: the tables with everything that is needed to believe and to repeat them.

import type { Scenario } from '../macro/scenario.ts';
import type { BenchBroker } from './brokers/broker.ts';
import { completePlan } from './load/plan.ts';
import { describeMachine } from './machine.ts';
import { barPlot, writePlot } from './plot.ts';
import { figuresTable, type Row, ratioTable } from './summary.ts';
import { asMarkdown, rate, significant } from './table.ts';

export interface ResultsInput {
  readonly rows: readonly Row[];
  readonly scenarios: readonly Scenario[];
  readonly brokers: readonly BenchBroker[];
  readonly repeat: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** How the benchmark was called. */
  readonly command: string;
  readonly date: Date;
}

export function resultsMarkdown(input: ResultsInput): string {
  const machine = describeMachine();
  const names = input.brokers.map((broker) => broker.name);
  return `# Benchmark results

Measured on ${input.date.toISOString().slice(0, 16).replace('T', ' ')} UTC on ${machine.cpuModel}, ${machine.cores} cores, ${machine.memoryGib} GiB, ${machine.kernel},
Node ${machine.node}. Repeat these tables with

    ${input.command}

and the whole of this file, plots too, with \`npm run bench -- all --write\` (three quarters of an hour; a third of that with \`--quick\`). Each section says how to repeat it alone.

Brokers that are not installed are left out (on Debian: \`apt-get install mosquitto nats-server rabbitmq-server activemq libmqtt-client-java\`).

## Messages delivered per CPU-second of the broker

${asMarkdown(ratioTable(input.rows, input.scenarios, names))}

\`× broker\` is how many times that broker's figure this broker's is. CPU-seconds are user and system time of all threads and
processes of the broker: on a machine shared with the load generator they say more than messages per second do, which are in the next table.

![messages delivered per CPU-second, by scenario and broker](plots/cpu.svg)

## All figures

${asMarkdown(figuresTable(input.rows))}

Medians of ${input.repeat} runs of ${input.seconds} s after ${input.warmupSeconds} s of warm-up (RabbitMQ 2 s, ActiveMQ 4 s); ± is half the range of msg/CPU-s over the runs. All brokers took
turns within each repetition. *cores* is what the broker used, *gen* what the generator used of its one core; near 1, the generator may
have set the rate, which msg/CPU-s hardly depends on. *RSS* is at the end of the measured time. Latency is from the stamp in the payload to
the read that completes the delivery. Without a note, every message arrived once, in order and intact; *disturbed* means that more than
a quarter of a core went to other work on the machine during that many of the runs, *generator busy* that it used all of its core.

When the measured time is over, the load goes on for as long again and is watched, which is work for the broker and in none of the other figures:
*loop p99* is how late the event loop of this broker's process was, beyond the millisecond at which Node's monitor looks (\`perf_hooks.monitorEventLoopDelay\`, loaded
into the process by the benchmark; an idle broker shows up to 1 ms, the error of the method). *connect p99* is how long a new client took meanwhile from TCP connect to CONNACK: a process of its own
connects and leaves all the time, 20 to 40 times a second, and shares the machine with broker and generator, so that its own waiting for a core is in the figure.

At full load latency is that of a full queue (window ÷ rate). Only \`qos1-latency\` (one message at a time) and \`paced-60k\` (from the time each
message was due, which the sender keeps to whatever the broker does) show what the broker adds.

![latency of one message at a time and of a paced load, by broker](plots/latency.svg)

## Scenarios

${input.scenarios.map(describeScenario).join('\n')}

## Brokers

${input.brokers.map((broker) => `- **${broker.name}** ${broker.version() ?? ''}: ${broker.settings}.`).join('\n')}
`;
}

/** The plots that resultsMarkdown() shows. */
export function writeResultPlots(input: ResultsInput): void {
  const names = input.brokers.map((broker) => broker.name);
  const rowsOf = (scenario: string): Row[] =>
    names.flatMap((name) =>
      input.rows.filter((row) => row.scenario === scenario && row.broker === name && row.runCount > 0),
    );
  writePlot(
    'cpu',
    '',
    barPlot({
      title: 'Messages delivered per CPU-second of the broker',
      axisTitle: 'messages per CPU-second',
      series: names,
      groups: input.scenarios
        .map(({ name }) => ({
          name,
          bars: rowsOf(name).map((row) => ({ series: row.broker, value: row.perCpuSecond })),
        }))
        .filter(({ bars }) => bars.length > 0),
      write: rate,
    }),
  );
  // A broker that lost whatever was due in the measured time has no latency.
  const measured = (scenario: string) => rowsOf(scenario).filter((row) => row.p50Us > 0);
  const latencies = LATENCY_SCENARIOS.flatMap((scenario) => [
    {
      name: `${scenario} p50`,
      bars: measured(scenario).map((row) => ({ series: row.broker, value: row.p50Us / 1000 })),
    },
    {
      name: `${scenario} p99`,
      bars: measured(scenario).map((row) => ({ series: row.broker, value: row.p99Us / 1000 })),
    },
  ]).filter(({ bars }) => bars.length > 0);
  if (latencies.length === 0) return;
  writePlot(
    'latency',
    '',
    barPlot({
      title: 'Delivery latency: one message at a time, and a paced load',
      axisTitle: 'ms',
      series: names,
      groups: latencies,
      write: significant,
    }),
  );
}

/** Scenarios whose latency is the broker's, not that of a full queue. */
const LATENCY_SCENARIOS = ['qos1-latency', 'paced-60k'];

/** The tables alone, for a section of the file beside the rest of it. */
export function resultsSection(title: string, input: ResultsInput): string {
  const machine = describeMachine();
  const names = input.brokers.map((broker) => broker.name);
  return `## ${title}

Measured on ${input.date.toISOString().slice(0, 16).replace('T', ' ')} UTC on ${machine.cpuModel}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}, with

    ${input.command}

Medians of ${input.repeat} runs of ${input.seconds} s. Messages delivered per CPU-second of the broker:

${asMarkdown(ratioTable(input.rows, input.scenarios, names))}

${asMarkdown(figuresTable(input.rows))}

${input.scenarios.map(describeScenario).join('\n')}

${input.brokers.map((broker) => `- **${broker.name}** ${broker.version() ?? ''}: ${broker.settings}.`).join('\n')}
`;
}

function describeScenario(scenario: Scenario): string {
  const plan = completePlan(scenario.plan);
  const loop =
    plan.rate > 0
      ? `open loop, ${plan.rate} messages/s`
      : plan.window > 0
        ? `window ${plan.window} per topic`
        : 'closed loop';
  return `- \`${scenario.name}\`: ${scenario.title}; ${plan.payloadBytes} bytes, ${loop}.`;
}
