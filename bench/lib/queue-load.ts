// Publishes to one queue, or consumes from it, as fast as the broker answers: a process of its own, so that what the broker costs can be told apart. Frames are prebuilt and
// answers are counted; it knows only what MQTT 3.1.1 at QoS 1 needs. What it relies on is checked: the broker says every identifier once, and every body is one that was published.

import { fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { killAtExit } from './brokers/process.ts';
import { connectFrame, PacketType, publishFrame, subscribeFrame } from './plain-client.ts';

const IN_FLIGHT = 4000;
const BATCH = 500;
const PUBACK_BYTES = 4;
const PUBLISH_QOS1 = 0x32;

export interface QueueLoad {
  readonly port: number;
  readonly queue: string;
  readonly what: 'publish' | 'consume';
  readonly count: number;
  readonly payloadBytes: number;
}

/** Runs a load to its end in a process of its own. */
export function runQueueLoad(load: QueueLoad): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ['--load', JSON.stringify(load)]);
    killAtExit(child);
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${load.what}: status ${code}`))));
  });
}

function open(port: number, clientId: string, onData: (chunk: Buffer) => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the broker closed the connection')));
    socket.write(connectFrame(clientId, true));
    socket.once('data', (connack) => {
      if (connack[0] !== PacketType.connack << 4 || connack[3] !== 0) reject(new Error('CONNACK refuses'));
      socket.on('data', onData);
      resolve(socket);
    });
  });
}

async function publish({ port, queue, count, payloadBytes }: QueueLoad): Promise<void> {
  const one = publishFrame(`$queue/${queue}`, Buffer.alloc(payloadBytes, 120), 1);
  const idAt = one.length - payloadBytes - 2;
  const batch = Buffer.concat(Array.from({ length: BATCH }, () => one));
  let sent = 0;
  let answeredBytes = 0;
  let done = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const send = (): void => {
    while (sent < count && sent - answeredBytes / PUBACK_BYTES <= IN_FLIGHT - BATCH) {
      const frames = Buffer.from(batch.subarray(0, one.length * Math.min(BATCH, count - sent)));
      for (let at = idAt; at < frames.length; at += one.length) frames.writeUInt16BE((sent++ % 65_535) + 1, at);
      socket.write(frames);
    }
  };
  const socket = await open(port, `${queue}-publisher`, (chunk) => {
    answeredBytes += chunk.length;
    if (answeredBytes === count * PUBACK_BYTES) done();
    else send();
  });
  send();
  await finished;
  socket.removeAllListeners('close').destroy();
}

async function consume({ port, queue, count, payloadBytes }: QueueLoad): Promise<void> {
  let received = 0;
  let rest: Buffer = Buffer.alloc(0);
  let done = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const answers = Buffer.alloc(1024 * 1024);
  const onPublish = (bytes: Buffer, start: number, end: number): void => {
    if (bytes[start] !== PUBLISH_QOS1 && bytes[start] !== (PUBLISH_QOS1 | 8))
      throw new Error(`a packet that begins with ${bytes[start]}`);
    if (bytes[end - 1] !== 120 || bytes[end - payloadBytes] !== 120) throw new Error('a body nobody published');
    received++;
  };
  const socket = await open(port, `${queue}-consumer`, (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    let answered = 0;
    while (at + 2 <= bytes.length && received < count) {
      let length = bytes[at + 1]!;
      let head = 2;
      if (length > 127) {
        if (at + 3 > bytes.length) break;
        length = (length & 127) | (bytes[at + 2]! << 7);
        head = 3;
      }
      const end = at + head + length;
      if (end > bytes.length) break;
      if (bytes[at]! >> 4 === PacketType.publish) {
        onPublish(bytes, at, end);
        const idAt = at + head + 2 + ((bytes[at + head]! << 8) | bytes[at + head + 1]!);
        answers[answered] = PacketType.puback << 4;
        answers[answered + 1] = 2;
        answers[answered + 2] = bytes[idAt]!;
        answers[answered + 3] = bytes[idAt + 1]!;
        answered += PUBACK_BYTES;
      }
      at = end;
    }
    rest = Buffer.from(bytes.subarray(at));
    if (answered > 0) socket.write(Buffer.from(answers.subarray(0, answered)), received === count ? done : undefined);
  });
  socket.write(subscribeFrame(1, [`$queue/${queue}`], 1));
  await finished;
  await new Promise((resolve) => socket.removeAllListeners('close').end(Buffer.of(0xe0, 0), () => resolve(null)));
}

if (process.argv[2] === '--load') {
  const load = JSON.parse(process.argv[3]!) as QueueLoad;
  await (load.what === 'publish' ? publish(load) : consume(load));
  process.exit(0);
}
