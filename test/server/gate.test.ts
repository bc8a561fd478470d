import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { SOCKET_MODES, type SocketMode } from '../../src/io/tcp.ts';
import type { Transport } from '../../src/io/transport.ts';
import { Detector, type DetectorOwner } from '../../src/server/detect.ts';
import { Detection, type ProtocolAdapter } from '../../src/server/protocol.ts';
import { nothing, turns, until } from '../io/until.ts';
import { type Accepted, TestServer, TinyAdapter } from '../protocols/websocket/harness.ts';

/** A raw client that keeps what it is sent. */
class RawClient {
  readonly socket: Socket;
  text = '';
  closed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (bytes) => {
      this.text += bytes.toString('latin1');
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('error', nothing);
  }

  send(text: string): void {
    this.socket.write(Buffer.from(text, 'latin1'));
  }
}

describe('gate', () => {
  const servers: TestServer[] = [];
  const clients: RawClient[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.socket.destroy();
    for (const server of servers.splice(0)) await server.close();
  });

  /** Adapters that keep what comes in, and echo it. */
  async function started(
    options: { accept?: string[]; socketMode?: SocketMode } = {},
  ): Promise<{ server: TestServer; accepted: (Accepted & { text: string })[] }> {
    const accepted: (Accepted & { text: string })[] = [];
    const server = await new TestServer({
      ...options,
      onAccept: (one) => {
        const entry = { ...one, text: '' };
        accepted.push(entry);
        one.transport.handler = {
          onChunk: (bytes, start, end) => {
            entry.text += Buffer.from(bytes.subarray(start, end)).toString('latin1');
            one.transport.output.append(bytes, start, end);
          },
          onDrain: nothing,
          onClosed: nothing,
        };
      },
    }).listen();
    servers.push(server);
    return { server, accepted };
  }

  function client(server: TestServer): RawClient {
    const one = new RawClient(server.port);
    clients.push(one);
    return one;
  }

  test.each(SOCKET_MODES)('one port serves MQTT, STOMP and HTTP (reading: %s)', async (socketMode) => {
    const { server, accepted } = await started({ socketMode });
    const mqtt = client(server);
    mqtt.send('\x10\x0c\x00\x04MQTT');
    await until('MQTT is accepted', () => accepted.length === 1);
    const stomp = client(server);
    stomp.send('CONNECT\nhost:x\n\n\0');
    await until('STOMP is accepted', () => accepted.length === 2);
    expect(accepted.map(({ adapter, subprotocol }) => [adapter, subprotocol])).toEqual([
      ['mqtt', ''],
      ['stomp', ''],
    ]);
    expect(accepted[0]!.text).toBe('\x10\x0c\x00\x04MQTT');
    await until('it is answered', () => stomp.text === 'CONNECT\nhost:x\n\n\0');
    const http = client(server);
    http.send('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await until('HTTP is answered', () => http.closed);
    expect(http.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(http.text.endsWith('\r\n\r\nok\n')).toBe(true);
  });

  test('bytes that come one by one are held back until they tell, and lost for nobody', async () => {
    const { server, accepted } = await started();
    const stomp = client(server);
    const frame = 'CONNECT\nhost:x\n\n\0';
    for (const byte of frame) {
      stomp.send(byte);
      await turns(5);
    }
    await until('all came', () => accepted[0]?.text === frame);
    const http = client(server);
    for (const byte of 'GET /health HTTP/1.1\r\nhost: x\r\n\r\n') {
      http.send(byte);
      await turns(2);
    }
    await until('it is answered', () => http.text.endsWith('ok\n'));
  });

  test('a protocol that the listener does not accept is closed with a line that says so', async () => {
    const { server, accepted } = await started({ accept: ['stomp'] });
    const mqtt = client(server);
    mqtt.send('\x10\x0c');
    await until('it is closed', () => mqtt.closed);
    expect(accepted).toEqual([]);
    expect(server.log).toEqual(['protocol-not-accepted: connection closed: mqtt is not accepted here, only stomp']);
    expect(server.logger.lines[0]!.fields).toMatchObject({
      listener: 'test',
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    });
  });

  test('TLS on a plain listener is named as such', async () => {
    const { server } = await started();
    const tls = client(server);
    tls.send('\x16\x03\x01\x02\x00\x01');
    await until('it is closed', () => tls.closed);
    expect(server.log).toEqual([
      'tls-on-plain-listener: connection closed: the peer speaks TLS, this listener does not (its option tls)',
    ]);
  });

  test('bytes of no known protocol are closed and shown in hexadecimal', async () => {
    const { server } = await started();
    const other = client(server);
    other.send('\xff\x00hello');
    await until('it is closed', () => other.closed);
    expect(server.log).toEqual([
      'protocol-unknown: connection closed: the first bytes (ff0068656c6c6f) are of no protocol known here',
    ]);
  });

  test('a connection that sends nothing is closed after ten seconds', async () => {
    const { server } = await started();
    const silent = client(server);
    await until('it is accepted', () => server.connections.open === 1);
    server.clock.advance(9999);
    await turns(10);
    expect(silent.closed).toBe(false);
    server.clock.advance(1);
    await until('it is closed', () => silent.closed);
    expect(server.log).toEqual(['handshake-timeout: connection closed: the peer sent nothing within 10000 ms']);
    expect(server.logger.lines[0]!.fields).toMatchObject({ setting: 'connection.handshakeTimeoutMs' });
  });

  test('a connection that stays undecided is closed after ten seconds', async () => {
    const { server } = await started();
    const slow = client(server);
    slow.send('CONN');
    await until('it is accepted', () => server.connections.open === 1);
    await turns(20);
    server.clock.advance(10_000);
    await until('it is closed', () => slow.closed);
    expect(server.log).toEqual([
      'handshake-timeout: connection closed: no protocol could be recognised in what it sent within 10000 ms',
    ]);
  });

  test('a session that is not established in ten seconds is closed, one that is stays', async () => {
    const { server, accepted } = await started();
    const slow = client(server);
    slow.send('\x10');
    await until('it is accepted', () => accepted.length === 1);
    const quick = client(server);
    quick.send('\x10');
    await until('it is accepted', () => accepted.length === 2);
    accepted[1]!.transport.established();
    server.clock.advance(10_000);
    await until('it is closed', () => slow.closed);
    await turns(20);
    expect(quick.closed).toBe(false);
    expect(server.log).toEqual(['handshake-timeout: connection closed: no session was established within 10000 ms']);
    expect(server.logger.lines[0]!.fields).toMatchObject({ protocol: 'mqtt' });
    expect(server.clock.timerCount).toBe(0);
  });

  test('a peer that leaves takes its time limit with it', async () => {
    const { server, accepted } = await started();
    const undecided = client(server);
    undecided.send('C');
    const decided = client(server);
    decided.send('\x10');
    await until('it is accepted', () => accepted.length === 1 && server.connections.open === 2);
    undecided.socket.destroy();
    decided.socket.destroy();
    await until('both are gone', () => server.connections.open === 0 && server.clock.timerCount === 0);
    server.clock.advance(20_000);
    expect(server.log).toEqual([]);
  });
});

describe('detector', () => {
  class Owner implements DetectorOwner {
    detected = '';
    unrecognised = '';
    onFirstBytes = nothing;
    onClosed = nothing;
    private readonly take: (adapter: ProtocolAdapter) => void;

    constructor(take: (adapter: ProtocolAdapter) => void) {
      this.take = take;
    }

    onDetected(adapter: ProtocolAdapter): boolean {
      this.detected = adapter.name;
      this.take(adapter);
      return true;
    }

    onUnrecognised({ code }: { code: string }): void {
      this.unrecognised = code;
    }
  }

  function detecting(adapters: ProtocolAdapter[]): { owner: Owner; feed(text: string): void; text(): string } {
    let text = '';
    const transport = { handler: null } as unknown as Transport;
    const owner = new Owner(() => {
      transport.handler = {
        onChunk: (bytes, start, end) => {
          text += Buffer.from(bytes.subarray(start, end)).toString('latin1');
        },
        onDrain: nothing,
        onClosed: nothing,
      };
    });
    transport.handler = new Detector(transport, adapters, ['a', 'b'], owner);
    return {
      owner,
      feed: (piece) => {
        const bytes = Buffer.from(`..${piece}..`, 'latin1');
        transport.handler.onChunk(bytes, 2, bytes.length - 2);
        // What a shared buffer would do.
        bytes.fill(0);
      },
      text: () => text,
    };
  }

  test('decides the same however the first bytes are cut, and hands all of them over', () => {
    const stream = 'beta-and-more';
    for (let cut = 1; cut < stream.length; cut++) {
      for (let next = cut; next < stream.length; next++) {
        const { owner, feed, text } = detecting([
          new TinyAdapter('a', [], 'alpha', nothing),
          new TinyAdapter('b', [], 'beta-', nothing),
        ]);
        feed(stream.slice(0, cut));
        if (next > cut) feed(stream.slice(cut, next));
        feed(stream.slice(next));
        expect(owner.detected).toBe('b');
        expect(text()).toBe(stream);
      }
    }
  });

  test('an adapter that never decides is not waited for longer than 64 bytes', () => {
    const never: ProtocolAdapter = {
      name: 'a',
      subprotocols: [],
      detect: () => Detection.More,
      accept: nothing,
      close: nothing,
    };
    const { owner, feed } = detecting([never]);
    feed('x'.repeat(63));
    expect(owner.unrecognised).toBe('');
    feed('x');
    expect(owner.unrecognised).toBe('protocol-unknown');
    feed('more');
    expect(owner.detected).toBe('');
  });
});
