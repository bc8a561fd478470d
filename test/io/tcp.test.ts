import { execFile } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Arena } from '../../src/io/arena.ts';
import { LimitedLog } from '../../src/io/limited-log.ts';
import { KeptLogger, type Logger, SILENT } from '../../src/io/logger.ts';
import type { SocketTransport, TransportEnvironment } from '../../src/io/socket-transport.ts';
import { isLoopback } from '../../src/io/socket-transport.ts';
import {
  ConnectionCount,
  ListenError,
  listenOn,
  SOCKET_MODES,
  type SocketMode,
  socketModeHere,
  TcpListener,
} from '../../src/io/tcp.ts';
import { Turn } from '../../src/io/turn.ts';
import { ManualClock } from './manual-clock.ts';
import type { CarrierClient, TransportCarrier } from './transport-suite.ts';
import { describeTransport } from './transport-suite.ts';
import { nothing, turns, until } from './until.ts';

function environmentOf(clock: ManualClock): TransportEnvironment {
  return { arena: new Arena(8), turn: new Turn(clock), clock, congestedBytes: 256 * 1024 };
}

class TcpClient implements CarrierClient {
  readonly received: Buffer[] = [];
  closed = false;
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => this.received.push(bytes));
    socket.on('end', () => {
      this.closed = true;
    });
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', nothing);
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  unsentBytes(): number {
    return this.socket.writableLength;
  }

  stopReading(): void {
    this.socket.pause();
  }

  startReading(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.end();
  }

  abort(): void {
    this.socket.destroy();
  }
}

async function connectTo(port: number): Promise<TcpClient> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return new TcpClient(socket);
}

function tcp(socketMode: SocketMode): TransportCarrier {
  return {
    name: `TCP (${socketMode})`,
    kind: 'tcp',
    skipped: '',
    knowsPort: true,
    stopsReading: true,
    async open(environment, accept) {
      const options = { name: 'test', host: '127.0.0.1', port: 0, socketMode };
      const listener = new TcpListener(environment, options, new ConnectionCount(100), SILENT, accept);
      const { port } = await listener.listen();
      return { connect: () => connectTo(port), close: () => listener.close() };
    },
  };
}

for (const mode of SOCKET_MODES) describeTransport(tcp(mode));

describe('TCP listener', () => {
  const closing: (() => void)[] = [];

  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  async function listening(
    connections: ConnectionCount,
    accept: (transport: SocketTransport) => void,
    log: Logger = SILENT,
    environment = environmentOf(new ManualClock()),
  ): Promise<{ port: number; listener: TcpListener }> {
    const listener = new TcpListener(
      environment,
      { name: 'mqtt', host: '127.0.0.1', port: 0 },
      connections,
      log,
      (transport) => {
        closing.push(() => transport.destroy());
        accept(transport);
      },
    );
    closing.push(() => void listener.close());
    return { port: (await listener.listen()).port, listener };
  }

  async function client(port: number): Promise<TcpClient> {
    const one = await connectTo(port);
    closing.push(() => one.abort());
    return one;
  }

  test('the shared read buffer and direct writes work on this version of Node', async () => {
    expect(await socketModeHere()).toBe('direct');
  });

  test('chunks come out of the arena, right behind the headroom', async () => {
    const environment = environmentOf(new ManualClock());
    const seen: { own: boolean; start: number }[] = [];
    const { port } = await listening(
      new ConnectionCount(10),
      (transport) => {
        transport.handler = {
          onChunk: (bytes, start) => seen.push({ own: bytes === environment.arena.bytes, start }),
          onDrain: nothing,
          onClosed: nothing,
        };
      },
      SILENT,
      environment,
    );
    (await client(port)).send(Buffer.from('x'));
    await until('a chunk', () => seen.length === 1);
    expect(seen).toEqual([{ own: true, start: environment.arena.readStart }]);
  });

  test("nothing is written to a descriptor that is not the socket's any more", async () => {
    const environment = environmentOf(new ManualClock());
    let taken: SocketTransport | null = null;
    const { port } = await listening(
      new ConnectionCount(10),
      (transport) => {
        taken = transport;
      },
      SILENT,
      environment,
    );
    await client(port);
    await until('a transport', () => taken !== null);
    const transport = taken as unknown as SocketTransport;
    const inside = transport as unknown as { socket: { destroy(): void }; descriptor: number };
    const folder = mkdtempSync(join(tmpdir(), 'sluice-descriptor-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    transport.output.append(Buffer.from('late'), 0, 4);
    inside.socket.destroy();
    // The next descriptor that is opened is the one that was closed last.
    const file = openSync(join(folder, 'file'), 'w+');
    closing.push(() => closeSync(file));
    expect(file).toBe(inside.descriptor);
    environment.turn.finish();
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('');
  });

  test('a port in use is a ListenError that names the listener, the address and the way out', async () => {
    const other = createServer();
    await listenOn(other, { port: 0, host: '127.0.0.1' });
    closing.push(() => other.close());
    const port = (other.address() as { port: number }).port;
    const listener = new TcpListener(
      environmentOf(new ManualClock()),
      { name: 'stomp', host: '127.0.0.1', port },
      new ConnectionCount(1),
      SILENT,
      nothing,
    );
    const error = await listener.listen().then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ListenError);
    expect(error).toMatchObject({ listener: 'stomp', code: 'EADDRINUSE' });
    expect((error as Error).message).toContain(`listener stomp cannot listen on 127.0.0.1:${port}`);
  });

  test('an address of another machine is refused with its code', async () => {
    const listener = new TcpListener(
      environmentOf(new ManualClock()),
      { name: 'http', host: '192.0.2.1', port: 0 },
      new ConnectionCount(1),
      SILENT,
      nothing,
    );
    await expect(listener.listen()).rejects.toMatchObject({ name: 'ListenError', code: 'EADDRNOTAVAIL' });
  });

  test('a closed listener frees its port at once and leaves open connections alone', async () => {
    const transports: SocketTransport[] = [];
    const { port, listener } = await listening(new ConnectionCount(10), (transport) => transports.push(transport));
    const one = await client(port);
    await until('it is accepted', () => transports.length === 1);
    await listener.close();
    await expect(connectTo(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    transports[0]!.output.append(Buffer.from('still here'), 0, 10);
    await until('the bytes came', () => Buffer.concat(one.received).toString() === 'still here');
  });

  test('connections over the limit are refused, counted and logged once in ten seconds', async () => {
    const clock = new ManualClock();
    const log = new KeptLogger();
    const warnings = log.lines;
    const connections = new ConnectionCount(2);
    const transports: SocketTransport[] = [];
    const { port } = await listening(connections, (transport) => transports.push(transport), log, environmentOf(clock));
    const first = await client(port);
    await client(port);
    await until('two are accepted', () => transports.length === 2);
    for (let i = 0; i < 3; i++) {
      const refused = await client(port);
      await until('it is refused', () => refused.closed);
    }
    expect(connections).toMatchObject({ open: 2, accepted: 2, refused: 3 });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]!.fields).toMatchObject({ listener: 'mqtt', setting: 'connection.max' });
    first.end();
    await until('its place is free', () => connections.open === 1);
    await client(port);
    await until('another is accepted', () => transports.length === 3);
    clock.advance(10_000);
    const refused = await client(port);
    await until('it is refused', () => refused.closed);
    expect(warnings).toHaveLength(2);
    expect(warnings[1]!.fields).toMatchObject({ suppressed: 2 });
  });

  test('a connection that never stops sending lets others in between', async () => {
    let firehoseBytes = 0;
    let firehoseBytesAtPing = -1;
    let largest = 0;
    let sinceTurn = 0;
    const { port } = await listening(new ConnectionCount(10), (transport) => {
      transport.handler = {
        onChunk(bytes, start, end) {
          if (end - start === 4 && Buffer.from(bytes.subarray(start, end)).toString() === 'ping') {
            firehoseBytesAtPing = firehoseBytes;
            return;
          }
          firehoseBytes += end - start;
          if (sinceTurn === 0) setImmediate(() => (sinceTurn = 0));
          sinceTurn += end - start;
          if (sinceTurn > largest) largest = sinceTurn;
        },
        onDrain: nothing,
        onClosed: nothing,
      };
    });
    // A process of its own, so that the socket is always full.
    const source = `const s = require('net').connect(${port}, '127.0.0.1'); const b = Buffer.alloc(1 << 20, 1);
      let left = 200; const go = () => { while (left-- > 0) if (!s.write(b)) return s.once('drain', go); s.end(); }; go();
      s.on('close', () => process.exit()); s.on('error', () => {}); s.resume();`;
    const firehose = execFile(process.execPath, ['-e', source]);
    closing.push(() => firehose.kill());
    await until('the firehose runs', () => firehoseBytes > 0);
    (await client(port)).send(Buffer.from('ping'));
    await until('the ping came', () => firehoseBytesAtPing >= 0);
    await until('all of it came', () => firehoseBytes === 200 * 1024 * 1024);
    expect(largest).toBeLessThanOrEqual(512 * 1024 + 256 * 1024);
  });

  test.each(SOCKET_MODES)('a stream is given away with its first bytes (%s)', async (socketMode) => {
    const environment = environmentOf(new ManualClock());
    const seen: Buffer[] = [];
    let ended = false;
    let closes = 0;
    const connections = new ConnectionCount(10);
    const listener = new TcpListener(
      environment,
      { name: 'auto', host: '127.0.0.1', port: 0, socketMode },
      connections,
      SILENT,
      (transport) => {
        transport.handler = {
          onChunk(bytes, start, end) {
            const socket = transport.release(bytes, start, end);
            bytes.fill(0xee, start, end);
            closing.push(() => socket.destroy());
            socket.on('data', (chunk) => {
              seen.push(Buffer.from(chunk));
              socket.write(chunk);
            });
            socket.on('end', () => {
              ended = true;
              socket.end();
            });
          },
          onDrain: nothing,
          onClosed: () => void closes++,
        };
      },
    );
    closing.push(() => void listener.close());
    const { port } = await listener.listen();
    const one = await client(port);
    one.send(Buffer.from('GET '));
    await until('the first bytes', () => Buffer.concat(seen).toString() === 'GET ');
    const rest = Buffer.alloc(5_000_000, 'abcdefghijk');
    one.send(rest);
    await until('the rest', () => Buffer.concat(one.received).length === 4 + rest.length);
    expect(Buffer.concat(seen).subarray(4).equals(rest)).toBe(true);
    one.end();
    await until('the end', () => ended && one.closed);
    await until('it is no longer counted', () => connections.open === 0);
    await turns(5);
    expect(closes).toBe(0);
  });
});

test('only addresses of this machine itself are loopback', () => {
  for (const address of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) expect(isLoopback(address)).toBe(true);
  for (const address of ['', '10.0.0.1', '128.0.0.1', '::', '::2', '127.evil.example', '::ffff:10.0.0.1', '1127.0.0.1'])
    expect(isLoopback(address)).toBe(false);
});

test('a limited log lets a few lines through in ten seconds and says how many it left out', () => {
  const clock = new ManualClock();
  const kept = new KeptLogger();
  const log = new LimitedLog(clock, kept, 2);
  for (let i = 0; i < 5; i++) log.warn({ i }, 'again');
  clock.advance(10_000);
  for (let i = 5; i < 8; i++) log.warn({ i }, 'again');
  expect(kept.lines.map(({ fields }) => fields)).toEqual([{ i: 0 }, { i: 1 }, { i: 5, suppressed: 3 }, { i: 6 }]);
});
