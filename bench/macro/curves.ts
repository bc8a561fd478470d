// What a message costs as there is more of something: topics, wildcard subscriptions, subscriptions that come and go, subscribers of one topic, messages that wait. Measured from outside as the scenarios are: CPU of the
// broker's process per message, load from another one. Only this broker; how the others grow is their business.
//
//   npm run bench -- curves
//     --only NAME,…                    topics,wildcards,churn,fanout,fanout-window,backlog
//     --repeat N                       runs of each point (3); the table has their medians
//     --seconds N                      measured time of a run (3)
//     --max N                          leaves out the points above, for a short look
//     --write                          table and plots into bench/RESULTS.md
//
// Exit status 0, 1 when a run failed. Goals are shown, not enforced.

import { parseArgs } from 'node:util';
import { withBrokers } from '../lib/broker-run.ts';
import type { RunningBroker } from '../lib/brokers/broker.ts';
import type { LoadPlan } from '../lib/load/plan.ts';
import { linePlot, writePlot } from '../lib/plot.ts';
import { readProcessTree } from '../lib/process-figures.ts';
import { runQueueLoad } from '../lib/queue-load.ts';
import { generate } from '../lib/runner.ts';
import { writeTable } from '../lib/section.ts';
import { median } from '../lib/statistics.ts';
import { asText, significant, type Table } from '../lib/table.ts';

/** Messages that wait in the queue of the last curve. */
const BACKLOG = 10_000_000;
/** Published to it and consumed from it, each time it is measured: so many, so often. Before that as often without measuring. */
const QUEUE_ROUND = 500_000;
const QUEUE_ROUNDS = 6;
const PAYLOAD_BYTES = 100;
/** Rounds over all topics before anything is measured: what is used is known by then. */
const WARM_ROUNDS = 6;
/** Messages a second of a publisher that sends steadily: with 10,000 subscribers about half of what this generator can receive. */
const STEADY_RATE = 300;
/** Of a rate that is kept: the measured time begins and ends within a round to all subscribers. */
const KEPT = 0.95;
/** Where there is one topic: enough windows that the load runs before it is measured, with 10,000 subscribers, too. */
const WARM_MESSAGES = 500;
const WARM_MS_MAX = 120_000;

interface Curve {
  readonly name: string;
  readonly title: string;
  /** What grows, and by which numbers. */
  readonly axis: string;
  readonly points: readonly number[];
  /** What a figure is: CPU nanoseconds for this. */
  readonly per: string;
  readonly goal: string;
  /** Of all figures, smallest point first: whether the goal is reached. */
  reached(figures: readonly number[]): boolean;
  plan(point: number): Partial<LoadPlan>;
}

const SUBSCRIBERS = [1, 10, 100, 1000, 10_000];

const falls = (figures: readonly number[]): boolean =>
  figures.every((figure, i) => i === 0 || figure < figures[i - 1]!);
const last = (figures: readonly number[]): number => figures.at(-1)! / figures[0]!;

const CURVES: readonly Curve[] = [
  {
    name: 'topics',
    title: 'Exact subscriptions',
    axis: 'topics',
    points: [1000, 10_000, 100_000, 1_000_000],
    per: 'message',
    goal: 'at most 1.5 times the first',
    reached: (figures) => last(figures) <= 1.5,
    plan: (topics) => ({ topics, mixed: true, publishers: 10, subscribers: 100, window: 5000 }),
  },
  {
    name: 'wildcards',
    title: 'Wildcard subscriptions',
    axis: 'subscriptions',
    points: [1000, 10_000, 100_000],
    per: 'message',
    goal: 'at most 3 times the first',
    reached: (figures) => last(figures) <= 3,
    plan: (topics) => ({ topics, patterns: true, mixed: true, publishers: 10, subscribers: 100, window: 5000 }),
  },
  {
    name: 'churn',
    title: 'Subscriptions that come and go',
    axis: 'changes per second',
    points: [0, 10, 100, 1000],
    per: 'message',
    goal: 'at most 1.5 times the first',
    reached: (figures) => last(figures) <= 1.5,
    plan: (changes) => ({ changes, topics: 10_000, mixed: true, publishers: 10, subscribers: 100, window: 5000 }),
  },
  {
    name: 'fanout',
    title: 'Subscribers of one topic, a steady publisher',
    axis: 'subscribers',
    points: SUBSCRIBERS,
    per: 'delivery',
    goal: 'falls throughout',
    reached: falls,
    plan: (subscribers) => ({ subscribers, rate: STEADY_RATE }),
  },
  {
    name: 'fanout-window',
    title: 'Subscribers of one topic, a publisher that waits for the slowest',
    axis: 'subscribers',
    points: SUBSCRIBERS,
    per: 'delivery',
    goal: 'falls throughout',
    reached: falls,
    plan: (subscribers) => ({ subscribers, window: 100 }),
  },
];

/** One row of the table: a point of a curve. */
interface Point {
  readonly curve: string;
  readonly at: number;
  readonly per: string;
  readonly nanoseconds: number;
  readonly times: number;
  readonly goal: string;
  readonly rssMb: number;
}

async function measurePoint(curve: Curve, at: number, seconds: number): Promise<{ ns: number; rssMb: number }> {
  const [figure] = await withBrokers(['sluice'], async ({ running }) => {
    const plan = curve.plan(at);
    const report = await generate({
      ...plan,
      payloadBytes: PAYLOAD_BYTES,
      port: running.mqttPort,
      brokerPid: running.process.pid,
      warmupMs: 2000,
      warmupMessages: plan.mixed === true ? plan.topics! * WARM_ROUNDS : WARM_MESSAGES,
      warmupMsMax: WARM_MS_MAX,
      measureMs: seconds * 1000,
    });
    if (report.failure !== '') throw new Error(`${curve.name} ${at}: ${report.failure}`);
    if (report.corrupt + report.misrouted > 0) throw new Error(`${curve.name} ${at}: wrong messages`);
    const rate = plan.rate ?? 0;
    // Messages dropped, or published later than they were due, would make each delivery look cheap.
    if (rate > 0 && (report.lost > 0 || report.receivedPerSecond < rate * at * KEPT))
      throw new Error(
        `${curve.name} ${at}: ${report.lost} lost, ${Math.round(report.receivedPerSecond)} a second arrived`,
      );
    // Rather no curve than one with a hole in it.
    if (report.receivedPerCpuSecond === 0) throw new Error(`${curve.name} ${at}: nothing arrived in the measured time`);
    return { ns: 1e9 / report.receivedPerCpuSecond, rssMb: report.rssBytes / 1e6 };
  });
  return figure!;
}

async function measureCurve(curve: Curve, repeat: number, seconds: number, max: number): Promise<Point[]> {
  const points = curve.points.filter((point) => point <= max);
  const runs = points.map(() => [] as { ns: number; rssMb: number }[]);
  for (let repetition = 0; repetition < repeat; repetition++) {
    for (const [i, point] of points.entries()) {
      const figure = await measurePoint(curve, point, seconds);
      runs[i]!.push(figure);
      process.stderr.write(`${curve.name} ${point}  ${figure.ns.toFixed(1)} ns\n`);
    }
  }
  const figures = runs.map((of) => median(of.map(({ ns }) => ns)));
  const reached = `${curve.goal}: ${curve.reached(figures) ? 'yes' : 'no'}`;
  return points.map((point, i) => ({
    curve: curve.name,
    at: point,
    per: curve.per,
    nanoseconds: figures[i]!,
    times: figures[i]! / figures[0]!,
    goal: i === points.length - 1 ? reached : '',
    rssMb: median(runs[i]!.map(({ rssMb }) => rssMb)),
  }));
}

/** CPU seconds of a broker for this many messages, in ns each. */
async function queueCost(
  { process: { pid }, mqttPort: port }: RunningBroker,
  queue: string,
  what: 'publish' | 'consume',
  count: number,
): Promise<number> {
  const before = readProcessTree(pid).cpuSeconds;
  await runQueueLoad({ port, queue, what, count, payloadBytes: PAYLOAD_BYTES });
  return ((readProcessTree(pid).cpuSeconds - before) * 1e9) / count;
}

/** Rounds of publishing and consuming, taking turns at the brokers: what the machine does meanwhile meets all alike. The median cost of each. */
async function queueRounds(brokers: readonly RunningBroker[]): Promise<{ publish: number; consume: number }[]> {
  const costs = brokers.map(() => ({ publish: [] as number[], consume: [] as number[] }));
  for (let round = 0; round < QUEUE_ROUNDS; round++) {
    for (const what of ['publish', 'consume'] as const) {
      for (const [i, broker] of brokers.entries())
        costs[i]![what].push(await queueCost(broker, 'backlog', what, QUEUE_ROUND));
    }
  }
  return costs.map(({ publish, consume }) => ({ publish: median(publish), consume: median(consume) }));
}

/** Publishes to and consumes from a queue with nothing else in it, and one with BACKLOG messages before what is published: two brokers, so that whatever the messages cost is not shared. */
async function measureBacklog(max: number): Promise<Point[]> {
  const depth = Math.min(BACKLOG, max);
  const [[figures] = []] = await withBrokers(['sluice'], ({ running: emptyBroker }) =>
    withBrokers(['sluice'], async ({ running: fullBroker }) => {
      const filling = await queueCost(fullBroker, 'backlog', 'publish', depth);
      process.stderr.write(`backlog: ${depth} messages are there, ${filling.toFixed(0)} ns each\n`);
      const brokers = [emptyBroker, fullBroker];
      // Both are to be warm, and the way to the disk known.
      await queueRounds(brokers);
      const [empty, full] = await queueRounds(brokers);
      return { empty: empty!, full: full!, rssMb: readProcessTree(fullBroker.process.pid).rssBytes / 1e6 };
    }),
  );
  const { empty, full, rssMb } = figures!;
  const rows = [
    { per: 'message published', first: empty.publish, last: full.publish },
    { per: 'message consumed', first: empty.consume, last: full.consume },
    { per: 'message, both', first: empty.publish + empty.consume, last: full.publish + full.consume },
  ];
  return rows.flatMap(({ per, first, last }) => {
    const times = last / first;
    const row = { curve: 'backlog', per, rssMb };
    process.stderr.write(`backlog, ${per}: ${first.toFixed(0)} ns, ${last.toFixed(0)} ns\n`);
    return [
      { ...row, at: 0, nanoseconds: first, times: 1, goal: '' },
      {
        ...row,
        at: depth,
        nanoseconds: last,
        times,
        goal: `at most 1.2 times the first: ${times <= 1.2 ? 'yes' : 'no'}`,
      },
    ];
  });
}

function plot(curve: Curve, points: readonly Point[]): string {
  return writePlot(
    `curve-${curve.name}`,
    `${curve.title}: CPU per ${curve.per} in ns`,
    linePlot({
      title: `${curve.title}: CPU of the broker per ${curve.per}`,
      xTitle: curve.axis,
      yTitle: `ns per ${curve.per}`,
      points: points.map(({ at, nanoseconds }) => ({ x: at, y: nanoseconds })),
    }),
  );
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', default: [...CURVES.map(({ name }) => name), 'backlog'].join() },
      repeat: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      max: { type: 'string', default: String(BACKLOG) },
      write: { type: 'boolean', default: false },
    },
  });
  const only = values.only.split(',');
  for (const name of only) {
    if (name !== 'backlog' && !CURVES.some((curve) => curve.name === name))
      throw new TypeError(`${name} is none of ${CURVES.map((curve) => curve.name).join(', ')}, backlog`);
  }
  const max = Number(values.max);
  const points: Point[] = [];
  for (const curve of CURVES) {
    if (only.includes(curve.name))
      points.push(...(await measureCurve(curve, Number(values.repeat), Number(values.seconds), max)));
  }
  if (only.includes('backlog')) points.push(...(await measureBacklog(max)));
  const table: Table = {
    columns: ['curve', 'at', 'CPU ns', 'per', '× the first', 'RSS MB', 'goal'],
    rows: points.map(({ curve, at, nanoseconds, per, times, rssMb, goal }) => [
      curve,
      String(at),
      significant(nanoseconds),
      per,
      times.toFixed(2),
      String(Math.round(rssMb)),
      goal,
    ]),
    wordColumns: [0, 3, 6],
  };
  process.stdout.write(`\n${asText(table)}\n`);
  if (values.write) {
    const plots = CURVES.filter((curve) => only.includes(curve.name)).map((curve) =>
      plot(
        curve,
        points.filter((point) => point.curve === curve.name),
      ),
    );
    const about = `CPU time of the broker (all its threads) per message, as there is more of something; messages of ${PAYLOAD_BYTES} bytes, medians of ${values.repeat} runs of ${values.seconds} s.

- *topics*: QoS 0, each topic has one exact subscription, 100 subscribers hold them all; 10 publishers send to all topics, each round in another order, so that hardly two messages in a row go to the same topic or the same subscriber.
- *wildcards*: the same, with a pattern instead of each name: a third each end in \`+\`, end in \`#\`, begin with \`+\`.
- *churn*: as *topics*, with 10,000 of them, while one more client subscribes to topics that nobody publishes to and unsubscribes again, as the clients of a fleet come and go.
- *fanout*: QoS 0, one publisher, all subscribers have the same topic, ${STEADY_RATE} messages a second; the figure is for one delivery. With few subscribers each delivery is a write of its own, and waking up is shared by them; where
  one round to all subscribers takes longer than the next message is away, the broker takes several messages on each round. A run in which messages are lost, or the rate is not kept, is none.
- *fanout-window*: the same without a rate, at most 100 messages on their way to the slowest subscriber. Every round carries the same 100 messages then, as one write to each subscriber, so that from some 100 subscribers on there is
  nothing more to share: what is left is that write, which costs the kernel a little more as sockets and buffers leave the cache.
- *backlog*: QoS 1 to a durable queue, ${QUEUE_ROUND} messages published and then consumed, ${QUEUE_ROUNDS} times, after as many times that do not count; the queue is empty before, or has ${BACKLOG} messages that come first. Two brokers take turns at that, one with the empty queue and one with the full one.

${plots.join('\n')}`;
    writeTable('curves', 'Cost curves', args, about, table);
  }
  return 0;
}
