// What one client may do to the others by asking for as much as the protocol allows: filters that all match one topic, subscribers of everything, topics of nothing but levels, filters that
// search all that is retained. Each of them takes what it takes; a bystander who pings meanwhile must not notice much.
//
//   npm run bench -- hostile
//     --brokers NAME,…                 sluice,mosquitto,aedes
//     --write                          the table into bench/RESULTS.md

import { parseArgs } from 'node:util';
import { type BrokerRun, pause, withBrokers } from '../lib/broker-run.ts';
import { PingProbe } from '../lib/ping-probe.ts';
import { each, PacketType, PINGREQ, PlainClient, publishFrame } from '../lib/plain-client.ts';
import { writeTable } from '../lib/section.ts';
import { asText, significant, type Table } from '../lib/table.ts';

const QUIET_MS = 2000;
/** An attack that is not over by then is given up. */
const ATTACK_MS_MAX = 30_000;
const LEVELS = 12;
const TEXT_BYTES_MAX = 65_535;

type Attack = (port: number) => Promise<void>;

/** All 4,096 filters of 12 levels, each level itself or +, and then messages that all of them match. */
const overlapping: Attack = async (port) => {
  const client = await PlainClient.connect(port, 'overlapping');
  const topic = Array.from({ length: LEVELS }, (_, i) => `l${i}`);
  const filters = Array.from({ length: 2 ** LEVELS }, (_, bits) =>
    topic.map((level, i) => (((bits >> i) & 1) === 1 ? '+' : level)).join('/'),
  );
  for (let at = 0; at < filters.length; at += 500) await client.subscribe(filters.slice(at, at + 500));
  const publisher = await PlainClient.connect(port, 'publisher');
  for (let i = 0; i < 100; i++) await publisher.publish(topic.join('/'), Buffer.from(String(i)));
  client.cut();
  publisher.cut();
};

/** 2,000 clients that subscribe to everything, and 200 messages. */
const everything: Attack = async (port) => {
  const clients: PlainClient[] = [];
  let received = 0;
  let resolve = (): void => undefined;
  const all = new Promise<void>((done) => {
    resolve = done;
  });
  await each(2000, 200, async (index) => {
    const client = await PlainClient.connect(port, `everything-${index}`);
    await client.subscribe(['#']);
    client.onPublish = () => {
      if (++received === 2000 * 200) resolve();
    };
    clients.push(client);
  });
  const publisher = await PlainClient.connect(port, 'publisher');
  for (let i = 0; i < 200; i++) await publisher.publish(`bomb/${i}`, Buffer.from(String(i)));
  await all;
  publisher.cut();
  for (const client of clients) client.cut();
};

/** Publishes to, and subscribes to, topics of 65,535 bytes that are nothing but levels; a broker may refuse by closing. */
const levels: Attack = async (port) => {
  const topics = ['/'.repeat(TEXT_BYTES_MAX), 'a/'.repeat(TEXT_BYTES_MAX >> 1), 'x'.repeat(TEXT_BYTES_MAX)];
  for (let round = 0; round < 100; round++) {
    for (const topic of topics) {
      const client = await PlainClient.connect(port, 'levels');
      const name = `${topic.slice(0, -4)}${1000 + round}`;
      // Refused or not: only how long it takes matters here.
      await client.subscribe([`${'+/'.repeat(32_000)}#`]).catch(() => undefined);
      const writer = await PlainClient.connect(port, 'levels-writer');
      writer.socket.write(publishFrame(name, Buffer.from('x'), 0, true));
      await writer.ask(PINGREQ, PacketType.pingresp).catch(() => undefined);
      client.cut();
      writer.cut();
    }
  }
};

/** 100,000 retained messages, and filters that look at all of them and match none. */
const search: Attack = async (port) => {
  const client = await PlainClient.connect(port, 'search');
  for (let at = 0; at < 100_000; at += 500) {
    const frames = Array.from({ length: 500 }, (_, i) =>
      publishFrame(`s/${(at + i) % 10}/${(at + i) % 100}/${at + i}/x`, Buffer.from('x'), 0, true),
    );
    client.socket.write(Buffer.concat(frames));
    await client.ask(PINGREQ, PacketType.pingresp);
  }
  for (let i = 0; i < 100; i++) await client.subscribe([`+/+/+/+/y${i}`, `s/+/${i}/+/y`]);
  // What was asked for last is looked for last.
  await new Promise<void>((resolve) => {
    client.onPublish = () => resolve();
    client.socket.write(publishFrame('end', Buffer.from('x'), 0, true));
    void client.subscribe(['end']);
  });
  client.cut();
};

const ATTACKS: readonly (readonly [name: string, attack: Attack])[] = [
  ['4,096 filters that match one topic', overlapping],
  ['2,000 subscribers of #', everything],
  ['topics of 65,535 levels', levels],
  ['100 searches in 100,000 retained', search],
];

async function measure({ broker, running }: BrokerRun): Promise<string[][]> {
  const rows: string[][] = [];
  for (const [name, attack] of ATTACKS) {
    const probe = await PingProbe.start(running.mqttPort);
    await probe.take();
    await pause(QUIET_MS);
    const before = await probe.take();
    const began = performance.now();
    const outcome = await Promise.race([
      attack(running.mqttPort).then(
        () => '',
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      ),
      pause(ATTACK_MS_MAX).then(() => 'given up'),
    ]);
    const seconds = (performance.now() - began) / 1000;
    const meanwhile = await probe.take();
    probe.stop();
    rows.push([
      name,
      broker.name,
      significant(seconds),
      significant(before.worstMs),
      significant(meanwhile.worstMs),
      outcome,
    ]);
    process.stderr.write(`${rows.at(-1)!.join('  ')}\n`);
  }
  return rows;
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      brokers: { type: 'string', default: 'sluice,mosquitto,aedes' },
      write: { type: 'boolean', default: false },
    },
  });
  const rows = (await withBrokers(values.brokers.split(','), measure)).flat();
  const order = ATTACKS.map(([name]) => name);
  rows.sort((a, b) => order.indexOf(a[0]!) - order.indexOf(b[0]!));
  const table: Table = {
    columns: ['what', 'broker', 'seconds', 'worst ping ms before', 'worst ping ms meanwhile', 'outcome'],
    rows,
    wordColumns: [0, 1, 5],
  };
  process.stdout.write(`\n${asText(table)}\n`);
  if (values.write) {
    const about = `One client, or many, ask for as much as the protocol allows, while a bystander in a process of its own sends PINGREQ all the time; *before* is the same with nothing else going on. A broker may
refuse what it is asked for. An attack that takes more than ${ATTACK_MS_MAX / 1000} s is given up.`;
    writeTable('hostile', 'Hostile clients', args, about, table);
  }
  return 0;
}
