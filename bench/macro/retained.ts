// A million retained messages: how fast they are loaded, what they cost, and whether a subscription to all of them holds up anybody else.
//
//   npm run bench -- retained
//     --count N --payload BYTES        1000000 messages of 100 bytes
//     --brokers NAME,…                 sluice,mosquitto,aedes
//     --write                          the table into bench/RESULTS.md

import { parseArgs } from 'node:util';
import { type BrokerRun, pause, restingRssBytes, rssBytes, rssPeakBytes, withBrokers } from '../lib/broker-run.ts';
import { PingProbe } from '../lib/ping-probe.ts';
import { PlainClient, publishFrame } from '../lib/plain-client.ts';
import { writeTable } from '../lib/section.ts';
import { asText, significant, type Table } from '../lib/table.ts';

const CHUNK = 500;
/** How long pings are measured with nothing else going on: what the machine adds. */
const QUIET_MS = 4000;
const REPLAY_MS_MAX = 120_000;

function topic(index: number): string {
  return `plant/${index % 1000}/device/${index}/state`;
}

async function load(run: BrokerRun, count: number, payload: Buffer): Promise<number> {
  const client = await PlainClient.connect(run.running.mqttPort, 'loader');
  const began = performance.now();
  for (let at = 0; at < count; at += CHUNK) {
    const frames: Buffer[] = [];
    for (let i = at; i < Math.min(count, at + CHUNK); i++) frames.push(publishFrame(topic(i), payload, 0, true));
    if (!client.socket.write(Buffer.concat(frames)))
      await new Promise((resolve) => client.socket.once('drain', resolve));
  }
  // Behind all the others, and answered.
  await client.publish('loaded', payload, true);
  const seconds = (performance.now() - began) / 1000;
  client.leave();
  return count / seconds;
}

async function replay(run: BrokerRun, count: number): Promise<{ received: number; seconds: number }> {
  const client = await PlainClient.connect(run.running.mqttPort, 'reader');
  let received = 0;
  const began = performance.now();
  const all = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, REPLAY_MS_MAX);
    client.onPublish = (bytes, start) => {
      // RETAIN set: not what is published meanwhile.
      if ((bytes[start]! & 1) === 1 && ++received === count + 1) {
        clearTimeout(timer);
        resolve();
      }
    };
  });
  await client.subscribe(['#']);
  await all;
  const seconds = (performance.now() - began) / 1000;
  client.cut();
  return { received, seconds };
}

async function measure(run: BrokerRun, count: number, payload: Buffer): Promise<string[]> {
  const { pid } = run.running.process;
  const emptyBytes = await restingRssBytes(pid);
  const loadRate = await load(run, count, payload);
  const loadedBytes = rssBytes(pid);
  const restingBytes = await restingRssBytes(pid);
  const probe = await PingProbe.start(run.running.mqttPort);
  await probe.take();
  await pause(QUIET_MS);
  const quiet = await probe.take();
  const { received, seconds } = await replay(run, count);
  const { worstMs } = await probe.take();
  probe.stop();
  const replayedBytes = rssBytes(pid);
  const megabytes = (bytes: number): string => String(Math.round(bytes / 1e6));
  return [
    run.broker.name,
    String(Math.round(loadRate)),
    megabytes(emptyBytes),
    megabytes(loadedBytes),
    megabytes(restingBytes),
    megabytes(replayedBytes),
    megabytes(rssPeakBytes(pid)),
    String(received - 1),
    String(Math.round(received / seconds)),
    significant(quiet.worstMs),
    significant(worstMs),
  ];
}

export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: 'string', default: '1000000' },
      payload: { type: 'string', default: '100' },
      brokers: { type: 'string', default: 'sluice,mosquitto,aedes' },
      write: { type: 'boolean', default: false },
    },
  });
  const count = Number(values.count);
  const payload = Buffer.alloc(Number(values.payload), 0x78);
  const rows = await withBrokers(values.brokers.split(','), async (broker) => {
    const row = await measure(broker, count, payload);
    process.stderr.write(`${row.join('  ')}\n`);
    return row;
  });
  const table: Table = {
    columns: [
      'broker',
      'loaded/s',
      'RSS MB empty',
      'loaded',
      'at rest',
      'after #',
      'peak',
      'received by #',
      'received/s',
      'worst ping ms before',
      'worst ping ms meanwhile',
    ],
    rows,
    wordColumns: [0],
  };
  process.stdout.write(`\n${asText(table)}\n`);
  if (values.write) {
    const about = `${count} retained messages of ${payload.length} bytes, set at QoS 0 by one client; then another client subscribes to \`#\` while a third one, in a process of its own, sends PINGREQ all the time.
sluice keeps them on its disk, too; mosquitto and aedes have no persistence here.`;
    writeTable('retained', 'A million retained messages', args, about, table);
  }
  return 0;
}
