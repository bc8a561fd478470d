// A hundred thousand clients that are away: sessions that stay, each with three subscriptions, one of them with a wildcard. What they cost, how fast they are made, and how long a start
// with them takes.
//
//   npm run bench -- sessions
//     --count N                        100000 sessions
//     --parts                          only what they consist of: bytes of the heap per session and per subscription, of sluice
//     --brokers NAME,…                 sluice,mosquitto,aedes
//     --write                          the table into bench/RESULTS.md

import { parseArgs } from 'node:util';
import { type BrokerRun, pause, restingRssBytes, withBrokers } from '../lib/broker-run.ts';
import type { RunningBroker } from '../lib/brokers/broker.ts';
import { Heap, INSPECTED } from '../lib/heap.ts';
import { each, PlainClient } from '../lib/plain-client.ts';
import { writeTable } from '../lib/section.ts';
import { asText, significant, type Table } from '../lib/table.ts';

const AT_ONCE = 500;
/** Sessions that are visited at the end. */
const VISITED = 1000;
const GROUPS = 1000;
/** Until the broker has noticed that its clients have left. */
const NOTICE_MS = 2000;

const filtersOf = (index: number): string[] => [
  `client/${index}/command`,
  `client/${index}/+/state`,
  `group/${index % GROUPS}/#`,
];

/** How many of them find their session, and in it one message that was sent while they were away. */
async function visit(port: number, count: number): Promise<number> {
  const step = Math.max(1, Math.floor(count / VISITED));
  const publisher = await PlainClient.connect(port, 'publisher');
  let found = 0;
  await each(Math.min(VISITED, count), 1, async (number) => {
    await publisher.publish(`client/${number * step}/a/state`, Buffer.from(String(number)));
  });
  await each(Math.min(VISITED, count), 50, async (number) => {
    const client = new PlainClient(port);
    const message = new Promise<string>((resolve, reject) => {
      client.onPublish = (bytes, start, end) => resolve(bytes.subarray(start, end).toString('latin1'));
      client.socket.on('close', () => reject(new Error('closed')));
    });
    const connack = await client.connect(`client-${number * step}`, false);
    if (connack.present && (await message).endsWith(String(number))) found++;
    client.cut();
  });
  publisher.cut();
  return found;
}

/** Makes the sessions without and then with subscriptions, and looks each time at what is alive in the heap. */
async function measureParts({ running }: BrokerRun, count: number): Promise<string[]> {
  const heap = await Heap.of(running.process);
  const port = running.mqttPort;
  const visitAll = (use: (client: PlainClient, index: number) => Promise<unknown>): Promise<void> =>
    each(count, AT_ONCE, async (index) => {
      const client = await PlainClient.connect(port, `client-${index}`, false);
      await use(client, index);
      client.cut();
    });
  // What the first connections cost is the code they run.
  await each(AT_ONCE, AT_ONCE, async (index) => {
    const client = await PlainClient.connect(port, `client-${index}`, true);
    await client.subscribe(filtersOf(index), 1);
    client.cut();
  });
  const usedBytes = async (): Promise<number> => {
    await pause(NOTICE_MS);
    return heap.usedBytes();
  };
  const emptyBytes = await usedBytes();
  await visitAll(() => Promise.resolve());
  const bareBytes = await usedBytes();
  await visitAll((client, index) => client.subscribe(filtersOf(index), 1));
  const fullBytes = await usedBytes();
  heap.close();
  const perSubscription = (fullBytes - bareBytes) / count / filtersOf(0).length;
  return [
    String(count),
    ...[(bareBytes - emptyBytes) / count, perSubscription, (fullBytes - emptyBytes) / count].map((bytes) =>
      String(Math.round(bytes)),
    ),
  ];
}

async function parts(count: number): Promise<number> {
  process.env.NODE_OPTIONS = INSPECTED;
  const rows = await withBrokers(['sluice'], (run) => measureParts(run, count));
  const columns = ['sessions', 'heap bytes per session', 'per subscription', 'per session with 3'];
  process.stdout.write(`\n${asText({ columns, rows, wordColumns: [] })}\n`);
  return 0;
}

async function measure({ broker, running, directory }: BrokerRun, count: number): Promise<string[]> {
  const { pid } = running.process;
  const emptyBytes = await restingRssBytes(pid);
  const began = performance.now();
  await each(count, AT_ONCE, async (index) => {
    const client = await PlainClient.connect(running.mqttPort, `client-${index}`, false);
    await client.subscribe(filtersOf(index), 1);
    client.cut();
  });
  const seconds = (performance.now() - began) / 1000;
  const fullBytes = await restingRssBytes(pid);
  const found = await visit(running.mqttPort, count);
  const row = [
    broker.name,
    String(Math.round(count / seconds)),
    significant((fullBytes - emptyBytes) / count / 1024),
    String(Math.round(fullBytes / 1e6)),
    String(found),
  ];
  if (broker.name !== 'sluice') return [...row, '–', '–', '–'];
  // The others are set up without persistence.
  await running.stop();
  const startBegan = performance.now();
  const again: RunningBroker = await broker.start(directory);
  try {
    const startSeconds = (performance.now() - startBegan) / 1000;
    const startBytes = await restingRssBytes(again.process.pid);
    const foundAgain = await visit(again.mqttPort, count);
    return [...row, significant(startSeconds), String(Math.round(startBytes / 1e6)), String(foundAgain)];
  } finally {
    await again.stop();
  }
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: 'string', default: '100000' },
      brokers: { type: 'string', default: 'sluice,mosquitto,aedes' },
      parts: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  });
  const count = Number(values.count);
  if (values.parts) return parts(count);
  const rows = await withBrokers(values.brokers.split(','), async (broker) => {
    const row = await measure(broker, count);
    process.stderr.write(`${row.join('  ')}\n`);
    return row;
  });
  const table: Table = {
    columns: [
      'broker',
      'sessions/s',
      'KiB per session',
      'RSS MB',
      `found of ${Math.min(VISITED, count)}`,
      'restart s',
      'RSS MB then',
      'found then',
    ],
    rows,
    wordColumns: [0],
  };
  process.stdout.write(`\n${asText(table)}\n`);
  if (values.write) {
    const about = `${count} clients connect with a session that stays, subscribe three times at QoS 1 (two with wildcards) and go; ${AT_ONCE} at a time. *found*: of some clients that come back, those that find
their session and in it the message that was sent to them meanwhile. sluice has every session and subscription on its disk, and is then stopped and started again.`;
    writeTable('sessions', 'Sessions of clients that are away', args, about, table);
  }
  return 0;
}
