// Thousands of connections that do nothing: what each costs, how fast they come, and how fast all of them come back after their cables were pulled at once, each to its own session.
//
//   npm run bench -- connections
//     --count N --at-once N            15000 connections, 1000 of them on their way at a time
//     --brokers NAME,…                 sluice,mosquitto,aedes
//     --write                          the table into bench/RESULTS.md

import { parseArgs } from 'node:util';
import { type BrokerRun, restingRssBytes, withBrokers } from '../lib/broker-run.ts';
import { each, PlainClient, publishFrame } from '../lib/plain-client.ts';
import { writeTable } from '../lib/section.ts';
import { asText, significant, type Table } from '../lib/table.ts';

const DELIVERY_MS_MAX = 30_000;
const PUBLISHES_AT_ONCE = 100;

interface Crowd {
  readonly clients: PlainClient[];
  readonly present: number;
  readonly seconds: number;
}

async function connectAll(
  port: number,
  count: number,
  atOnce: number,
  clean: boolean,
  then: (client: PlainClient, index: number) => Promise<void> = () => Promise.resolve(),
): Promise<Crowd> {
  const clients = new Array<PlainClient>(count);
  let present = 0;
  const began = performance.now();
  await each(count, atOnce, async (index) => {
    const client = await PlainClient.connect(port, `client-${index}`, clean);
    if (client.present) present++;
    clients[index] = client;
    await then(client, index);
  });
  return { clients, present, seconds: (performance.now() - began) / 1000 };
}

/** Sends each client its own number: how many got it, and how many got anything else. */
async function checkSessions(port: number, { clients }: Crowd): Promise<{ right: number; wrong: number }> {
  let right = 0;
  let wrong = 0;
  const all = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, DELIVERY_MS_MAX);
    clients.forEach((client, index) => {
      const expected = publishFrame(`own/${index}`, Buffer.from(String(index)));
      let got = 0;
      client.onPublish = (bytes, start, end) => {
        if (expected.equals(bytes.subarray(start, end)) && ++got === 1) right++;
        else wrong++;
        if (right + wrong < clients.length) return;
        clearTimeout(timer);
        resolve();
      };
    });
  });
  const publisher = await PlainClient.connect(port, 'publisher');
  for (let at = 0; at < clients.length; at += PUBLISHES_AT_ONCE) {
    for (let i = at; i < Math.min(clients.length, at + PUBLISHES_AT_ONCE); i++)
      publisher.socket.write(publishFrame(`own/${i}`, Buffer.from(String(i))));
    await publisher.publish('pace', Buffer.alloc(0));
  }
  await all;
  publisher.cut();
  return { right, wrong };
}

async function measure(run: BrokerRun, count: number, atOnce: number): Promise<string[]> {
  const { pid } = run.running.process;
  const port = run.running.mqttPort;
  const emptyBytes = await restingRssBytes(pid);
  const idle = await connectAll(port, count, atOnce, true);
  const idleBytes = await restingRssBytes(pid);
  for (const client of idle.clients) client.cut();
  const durable = await connectAll(port, count, atOnce, false, async (client, index) => {
    await client.subscribe([`own/${index}`]);
  });
  for (const client of durable.clients) client.cut();
  const back = await connectAll(port, count, atOnce, false);
  const { right, wrong } = await checkSessions(port, back);
  for (const client of back.clients) client.cut();
  return [
    run.broker.name,
    significant((idleBytes - emptyBytes) / count / 1024),
    String(Math.round(idleBytes / 1e6)),
    String(Math.round(count / idle.seconds)),
    significant(back.seconds),
    String(back.present),
    String(right),
    String(wrong),
  ];
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: 'string', default: '15000' },
      'at-once': { type: 'string', default: '1000' },
      brokers: { type: 'string', default: 'sluice,mosquitto,aedes' },
      write: { type: 'boolean', default: false },
    },
  });
  const [count, atOnce] = [Number(values.count), Number(values['at-once'])];
  const rows = await withBrokers(values.brokers.split(','), async (broker) => {
    const row = await measure(broker, count, atOnce);
    process.stderr.write(`${row.join('  ')}\n`);
    return row;
  });
  const table: Table = {
    columns: [
      'broker',
      'KiB per idle connection',
      'RSS MB',
      'connects/s',
      'all back after s',
      'sessions found',
      'right messages',
      'wrong messages',
    ],
    rows,
    wordColumns: [0],
  };
  process.stdout.write(`\n${asText(table)}\n`);
  if (values.write) {
    const about = `${count} connections from one generator process, ${atOnce} on their way at a time. *KiB per idle connection* is what resident memory grew by, without subscriptions. Then all of them
connect with sessions that stay, with a subscription each, all cables are pulled at once and all come back; a message to each one's own topic shows whether it got its own session. sluice has written every
session to its disk before it answers; mosquitto and aedes have no persistence here.`;
    writeTable('connections', 'Idle connections', args, about, table);
  }
  return 0;
}
