// Strangers on a real broker, a process of its own: sockets that connect and never log in. What each costs the broker in memory, and how long a legitimate client takes to get in meanwhile.
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { BrokerProcess } from '../support/real-broker.ts';

/** What the strangers send before they fall silent. */
export const BEHAVIOURS = {
  'say nothing': '',
  'begin a CONNECT': 'CONNECT\naccept-version:1.2\nho',
  'begin an MQTT packet': Buffer.from([0x10, 0xff, 0x7f, 0x00, 0x04]),
  'send header after header': `CONNECT\n${'a:b\n'.repeat(60)}`,
  'stuff a frame up to the limit': `CONNECT\naccept-version:1.2\n${`k:${'x'.repeat(1000)}\n`.repeat(47)}`,
  'promise a body': `SEND\ndestination:/queue/q\ncontent-length:45000\n\n${'x'.repeat(40_000)}`,
} as const;

export type Behaviour = keyof typeof BEHAVIOURS;

export interface Cost {
  readonly behaviour: Behaviour;
  readonly sockets: number;
  /** Still open when the memory was measured. */
  readonly open: number;
  readonly bytesEach: number;
  /** The slowest of the clients that came while the strangers were there, until CONNECTED. */
  readonly loginMs: number;
}

/** Sockets that connect at the same time: the backlog of a listener is no larger. */
const BATCH = 200;
const CLIENTS = 10;

export async function measure(behaviour: Behaviour, sockets: number): Promise<Cost> {
  const broker = await BrokerProcess.start(
    '--set',
    'connection.handshakeTimeoutMs=600000',
    '--set',
    'storage.engine=memory',
  );
  const strangers: Socket[] = [];
  let open = 0;
  try {
    // What a process allocates once is there after the first of them.
    await login(broker);
    await crowd(broker.ports.stomp, behaviour, BATCH, strangers, (change) => {
      open += change;
    });
    const before = residentBytes(broker);
    let loginMs = 0;
    const measured = sockets - BATCH;
    for (let came = 0; came < measured; came += BATCH) {
      await crowd(broker.ports.stomp, behaviour, Math.min(BATCH, measured - came), strangers, (change) => {
        open += change;
      });
      if (came % (BATCH * Math.ceil(measured / BATCH / CLIENTS)) === 0)
        loginMs = Math.max(loginMs, await login(broker));
    }
    loginMs = Math.max(loginMs, await login(broker));
    return { behaviour, sockets, open, bytesEach: Math.max(0, residentBytes(broker) - before) / measured, loginMs };
  } finally {
    for (const stranger of strangers) stranger.destroy();
    await broker.close();
  }
}

async function crowd(
  port: number,
  behaviour: Behaviour,
  count: number,
  into: Socket[],
  onOpen: (change: number) => void,
): Promise<void> {
  const bytes = BEHAVIOURS[behaviour];
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port });
      into.push(socket);
      socket.once('error', reject);
      socket.once('connect', () => {
        onOpen(1);
        socket.off('error', reject);
        socket.on('error', () => undefined);
        socket.once('close', () => onOpen(-1));
        socket.resume();
        if (bytes.length === 0) resolve();
        else socket.write(bytes, () => resolve());
      });
    });
  await Promise.all(Array.from({ length: count }, one));
}

/** Milliseconds until a legitimate client is in and has been served: from its first packet to the answer to DISCONNECT. */
async function login(broker: BrokerProcess): Promise<number> {
  const began = performance.now();
  const socket = connect({ host: '127.0.0.1', port: broker.ports.stomp, noDelay: true });
  socket.write('CONNECT\naccept-version:1.2\nhost:/\n\n\0DISCONNECT\nreceipt:bye\n\n\0');
  let answer = '';
  for await (const bytes of socket) answer += String(bytes);
  if (!answer.startsWith('CONNECTED') || !answer.includes('receipt-id:bye'))
    throw new Error(`a client was refused: ${answer}`);
  return performance.now() - began;
}

function residentBytes(broker: BrokerProcess): number {
  const status = readFileSync(`/proc/${broker.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}
