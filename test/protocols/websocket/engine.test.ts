// What both engines do with upgrades and messages, beyond carrying bytes (transport-suite.ts).
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { EngineError, WebSockets } from '../../../protocols/websocket/engine.ts';
import { loadUws, type Uws } from '../../../protocols/websocket/uws-api.ts';
import { addressText } from '../../../protocols/websocket/uws-engine.ts';
import type { Transport } from '../../../src/io/transport.ts';
import { servePages } from '../../../src/server/pages.ts';
import { nothing, turns, until } from '../../io/until.ts';
import { describeWith } from '../../support/requirements.ts';
import { type ServerOptions, TestServer, WsClient } from './harness.ts';

interface Session {
  readonly adapter: string;
  readonly subprotocol: string;
  readonly transport: Transport;
  readonly chunks: Buffer[];
  closes: number;
}

function behaviour(engine: 'ws' | 'uws'): void {
  const servers: TestServer[] = [];
  const clients: WsClient[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.abort();
    for (const server of servers.splice(0)) await server.close();
  });

  async function started(options: Partial<ServerOptions> = {}): Promise<{ server: TestServer; sessions: Session[] }> {
    const sessions: Session[] = [];
    const uws: { uws?: Uws } = engine === 'uws' ? { uws: await loadUws() } : {};
    const server = await new TestServer({
      ...uws,
      onAccept: ({ adapter, subprotocol, transport }) => {
        const session: Session = { adapter, subprotocol, transport, chunks: [], closes: 0 };
        sessions.push(session);
        transport.handler = {
          onChunk: (bytes, start, end) => void session.chunks.push(Buffer.from(bytes.subarray(start, end))),
          onDrain: nothing,
          onClosed: () => void session.closes++,
        };
      },
      ...options,
    }).listen();
    servers.push(server);
    return { server, sessions };
  }

  async function client(server: TestServer, path: string, subprotocols: string[] = [], origin = ''): Promise<WsClient> {
    const one = await WsClient.connect(`ws://127.0.0.1:${server.port}${path}`, subprotocols, origin);
    clients.push(one);
    return one;
  }

  async function session(sessions: Session[]): Promise<Session> {
    await until('a session', () => sessions.length > 0);
    return sessions[sessions.length - 1]!;
  }

  function textOf({ chunks }: Session): string {
    return Buffer.concat(chunks).toString('latin1');
  }

  function write({ transport }: Session, ...texts: string[]): void {
    for (const text of texts) {
      const bytes = Buffer.from(text);
      transport.output.append(bytes, 0, bytes.length);
    }
  }

  test.each([
    ['/ws', ['mqtt'], 'mqtt', 'mqtt'],
    ['/mqtt', ['mqttv3.1'], 'mqtt', 'mqttv3.1'],
    ['/stomp', ['v10.stomp', 'v11.stomp', 'v12.stomp'], 'stomp', 'v12.stomp'],
    ['/mqtt', [], 'mqtt', ''],
    ['/stomp', [], 'stomp', ''],
  ])(
    'a client at %s that offers %j is a client of %s [MQTT-6.0.0-3] [MQTT-6.0.0-4] [3.1.1 MQTT-6.0.0-3] [3.1.1 MQTT-6.0.0-4]',
    async (path, offered, adapter, subprotocol) => {
      const { server, sessions } = await started();
      const one = await client(server, path, offered);
      expect(one.webSocket.protocol).toBe(subprotocol);
      expect(await session(sessions)).toMatchObject({ adapter, subprotocol });
    },
  );

  test('without path or subprotocol to tell, the first bytes do, over several messages if need be', async () => {
    const { server, sessions } = await started();
    const stomp = await client(server, '/ws');
    for (const byte of 'CONNECT\n') stomp.send(Buffer.from(byte));
    expect(await session(sessions)).toMatchObject({ adapter: 'stomp', subprotocol: '' });
    await until('all of it came', () => textOf(sessions[0]!) === 'CONNECT\n');
    const mqtt = await client(server, '/ws');
    mqtt.send(Buffer.from('\x10abc'));
    await until('a second session', () => sessions.length === 2);
    expect([sessions[1]!.adapter, textOf(sessions[1]!)]).toEqual(['mqtt', '\x10abc']);
  });

  test('what is no protocol inside a WebSocket is closed, HTTP included', async () => {
    const { server } = await started();
    const one = await client(server, '/ws');
    one.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await until('it is closed', () => one.closed);
    expect(server.log).toEqual([
      'protocol-not-accepted: connection closed: http is not accepted here, only mqtt, stomp',
    ]);
  });

  test('several packets in one message and one packet over several messages both come as a stream [MQTT-6.0.0-2] [3.1.1 MQTT-6.0.0-2]', async () => {
    const { server, sessions } = await started();
    const one = await client(server, '/mqtt', ['mqtt']);
    one.send(Buffer.from('first second thi'));
    one.send(Buffer.from('rd'));
    await until('all of it came', () => sessions.length === 1 && textOf(sessions[0]!) === 'first second third');
  });

  test('a message of several fragments comes whole, an empty one not at all', async () => {
    const { server, sessions } = await started();
    const one = await client(server, '/mqtt', ['mqtt']);
    one.webSocket.send('frag', { fin: false, binary: true });
    one.webSocket.send('ment', { fin: false, binary: true });
    one.webSocket.send('ed', { fin: true });
    one.send(Buffer.alloc(0));
    one.send(Buffer.from('.'));
    await until('all of it came', () => sessions.length === 1 && textOf(sessions[0]!) === 'fragmented.');
  });

  test('what is sent in one turn leaves as one binary message', async () => {
    const { server, sessions } = await started();
    const one = await client(server, '/mqtt', ['mqtt']);
    const it = await session(sessions);
    write(it, 'one', 'two', 'three');
    await until('it came', () => one.received.length > 0);
    write(it, 'x'.repeat(200_000));
    await until('it came', () => one.received.length > 1);
    expect(one.received.map((message) => message.length)).toEqual([11, 200_000]);
    expect(one.texts).toEqual([false, false]);
  });

  // [MQTT-6.0.0-1]
  test('MQTT in a text message closes with 1003, however it is known to be MQTT [MQTT-6.0.0-1] [3.1.1 MQTT-6.0.0-1]', async () => {
    const { server, sessions } = await started();
    const bySubprotocol = await client(server, '/ws', ['mqtt']);
    bySubprotocol.sendText('\x10');
    await until('it is closed', () => bySubprotocol.closed);
    const byPath = await client(server, '/mqtt');
    byPath.sendText('\x10');
    await until('it is closed', () => byPath.closed);
    const byFirstBytes = await client(server, '/ws');
    byFirstBytes.sendText('\x10');
    await until('it is closed', () => byFirstBytes.closed);
    const later = await client(server, '/ws');
    later.send(Buffer.from('\x10'));
    await until('it is known', () => sessions.length === 3);
    later.sendText('more');
    await until('it is closed', () => later.closed);
    for (const one of [bySubprotocol, byPath, byFirstBytes, later]) expect(one.closeCode).toBe(1003);
    await until('all are told', () => sessions.every(({ closes }) => closes === 1));
    expect(sessions.map(textOf)).toEqual(['', '', '\x10']);
    expect(server.log).toHaveLength(4);
    expect(server.log[0]).toBe('websocket-text: connection closed: MQTT has to be sent in binary WebSocket messages');
  });

  test('STOMP is answered in text if it began with text, in binary if not, and in binary what is no text', async () => {
    const { server, sessions } = await started();
    const text = await client(server, '/stomp', ['v12.stomp']);
    text.sendText('CONNECT\n');
    await until('it came', () => sessions.length === 1 && sessions[0]!.chunks.length === 1);
    write(sessions[0]!, 'CONNECTED\n\n\0');
    await until('it is answered', () => text.received.length === 1);
    write(sessions[0]!, 'é'.repeat(60_000));
    await until('it is answered', () => text.received.length === 2);
    const bytes = Buffer.from([0x4d, 0xff, 0xfe]);
    sessions[0]!.transport.output.append(bytes, 0, 3);
    await until('it is answered', () => text.received.length === 3);
    expect(text.texts).toEqual([true, true, false]);
    expect(text.received[1]!.toString()).toBe('é'.repeat(60_000));
    expect(text.received[2]!.equals(bytes)).toBe(true);

    const binary = await client(server, '/ws');
    binary.send(Buffer.from('CONNECT\n'));
    await until('it came', () => sessions.length === 2);
    write(sessions[1]!, 'CONNECTED\n\n\0');
    binary.sendText('SEND\n');
    await until('text is taken as well', () => textOf(sessions[1]!) === 'CONNECT\nSEND\n');
    write(sessions[1]!, 'RECEIPT\n\n\0');
    await until('it is answered', () => Buffer.concat(binary.received).toString() === 'CONNECTED\n\n\0RECEIPT\n\n\0');
    expect(binary.texts).not.toContain(true);
  });

  test('pages from elsewhere are refused with 403, and those of this host are not', async () => {
    const { server } = await started();
    await expect(client(server, '/mqtt', ['mqtt'], 'http://evil.example')).rejects.toThrow('refused with 403');
    await client(server, '/mqtt', ['mqtt'], `http://127.0.0.1:${server.port}`);
    expect(server.log).toEqual([
      'websocket-origin: WebSocket refused: pages from http://evil.example may not connect; websocket.origins allows them',
    ]);
  });

  test('other paths are refused with 404, unknown subprotocols with 400', async () => {
    const { server } = await started();
    await expect(client(server, '/other', ['mqtt'])).rejects.toThrow('refused with 404');
    await expect(client(server, '/mqtt', ['chat'])).rejects.toThrow('refused with 400');
    expect(server.log).toHaveLength(2);
  });

  test('a message over the limit closes the connection', async () => {
    const { server, sessions } = await started({ messageBytesMax: 10_000 });
    const one = await client(server, '/mqtt', ['mqtt']);
    const it = await session(sessions);
    it.transport.established();
    one.send(Buffer.alloc(10_000, 'x'));
    await until('it came', () => it.chunks.length > 0);
    one.send(Buffer.alloc(10_001, 'x'));
    await until('it is closed', () => one.closed && it.closes === 1);
    expect(Buffer.concat(it.chunks).length).toBe(10_000);
    if (engine === 'ws')
      expect([one.closeCode, server.log[0]]).toEqual([
        1009,
        expect.stringContaining('WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'),
      ]);
  });

  test('a stranger may send so many bytes, a client that was let in any number', async () => {
    const { server, sessions } = await started({ preAuthBytesMax: 5000 });
    const one = await client(server, '/mqtt', ['mqtt']);
    const it = await session(sessions);
    one.send(Buffer.alloc(4000, 'x'));
    await until('it came', () => it.chunks.length === 1);
    it.transport.established();
    one.send(Buffer.alloc(100_000, 'x'));
    await until('it came', () => Buffer.concat(it.chunks).length === 104_000);

    const stranger = await client(server, '/mqtt', ['mqtt']);
    await until('a second session', () => sessions.length === 2);
    stranger.send(Buffer.alloc(4000, 'x'));
    await until('it came', () => sessions[1]!.chunks.length === 1);
    stranger.send(Buffer.alloc(4000, 'x'));
    await until('it is closed', () => stranger.closed && sessions[1]!.closes === 1);
    expect(stranger.closeCode).toBe(1008);
    expect(server.log).toEqual([
      'pre-auth-bytes: connection closed: more than 5000 bytes before a session was established; connection.preAuthBytesMax is 5000',
    ]);
  });

  test('a session that is not established in ten seconds is closed, and one that is stays', async () => {
    const { server, sessions } = await started();
    const established = await client(server, '/mqtt', ['mqtt']);
    (await session(sessions)).transport.established();
    const undecided = await client(server, '/ws');
    const waiting = await client(server, '/mqtt', ['mqtt']);
    await until('both are there', () => sessions.length === 2 && server.clock.timerCount === 2);
    server.clock.advance(10_000);
    await until('both are closed', () => undecided.closed && waiting.closed);
    await turns(20);
    expect(established.closed).toBe(false);
    expect(server.log.filter((line) => line.startsWith('handshake-timeout'))).toHaveLength(2);
  });

  test('a message that is not UTF-8 although it says so closes with 1007', async () => {
    const { server, sessions } = await started();
    const one = await client(server, '/stomp', ['v12.stomp']);
    const it = await session(sessions);
    one.webSocket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    await until('it is closed', () => one.closed && it.closes === 1);
    expect(it.chunks).toEqual([]);
    if (engine === 'ws') expect(one.closeCode).toBe(1007);
  });

  test('plain requests on the same listener are answered', async () => {
    const { server } = await started();
    const page = await fetch(`http://127.0.0.1:${server.port}/demo`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(await page.text()).toBe(servePages('GET', '/demo').body);
    const head = await fetch(`http://127.0.0.1:${server.port}/demo.js`, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(`${Buffer.byteLength(servePages('GET', '/demo.js').body)}`);
    expect((await fetch(`http://127.0.0.1:${server.port}/nothing`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${server.port}/demo`, { method: 'POST', body: 'x' })).status).toBe(405);
  });

  test('connections are counted, and over the limit they are refused', async () => {
    const { server, sessions } = await started({ connectionsMax: 2 });
    const first = await client(server, '/mqtt', ['mqtt']);
    await client(server, '/mqtt', ['mqtt']);
    expect(server.connections.open).toBe(2);
    await expect(client(server, '/mqtt', ['mqtt'])).rejects.toThrow();
    expect(server.log).toEqual(['connection-limit: connection refused: the limit of open connections is reached']);
    first.end();
    await until('it is gone', () => server.connections.open === 1);
    await client(server, '/mqtt', ['mqtt']);
    expect(sessions.length).toBe(3);
  });

  test('a port in use is a ListenError with its code', async () => {
    const { server } = await started();
    const options = { onAccept: nothing, port: server.port, ...(engine === 'uws' ? { uws: await loadUws() } : {}) };
    await expect(new TestServer(options).listen()).rejects.toMatchObject({
      name: 'ListenError',
      listener: 'test',
      code: 'EADDRINUSE',
    });
  });

  test('a closed listener takes no further connections and leaves WebSockets open', async () => {
    const { server, sessions } = await started();
    const one = await client(server, '/mqtt', ['mqtt']);
    const it = await session(sessions);
    await server.listener.close();
    await expect(client(server, '/mqtt', ['mqtt'])).rejects.toThrow('ECONNREFUSED');
    write(it, 'still here');
    await until('it came', () => Buffer.concat(one.received).toString() === 'still here');
  });
}

describe('WebSocket by ws', () => {
  behaviour('ws');

  test('a large first message of a stranger is cut off before it is complete', async () => {
    const sessions: Transport[] = [];
    const server = await new TestServer({
      preAuthBytesMax: 64 * 1024,
      onAccept: ({ transport }) => void sessions.push(transport),
    }).listen();
    const one = await WsClient.connect(`ws://127.0.0.1:${server.port}/mqtt`, ['mqtt']);
    one.webSocket.send(Buffer.alloc(70_000), { fin: false, binary: true });
    await until('it is closed', () => one.closed);
    expect(one.closeCode).toBe(1008);
    await server.close();
  });

  test('a handshake that is no proper one is refused by HTTP', async () => {
    const server = await new TestServer({ onAccept: nothing }).listen();
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(server.port, '127.0.0.1');
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString();
      });
      socket.on('close', () => resolve(text));
      socket.write(
        'GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n',
      );
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request/);
    await server.close();
  });

  test('a peer that sends its close frame and then nothing is given two seconds', async () => {
    let closes = 0;
    const server = await new TestServer({
      onAccept: ({ transport }) => {
        transport.established();
        transport.handler = { onChunk: nothing, onDrain: nothing, onClosed: () => void closes++ };
      },
    }).listen();
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(
      'GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await new Promise((resolve) => socket.once('data', resolve));
    // Masked with zeros: close, 1000.
    socket.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
    await until('the session is told', () => closes === 1);
    expect(server.connections.open).toBe(1);
    server.clock.advance(2000);
    await until('the socket is closed', () => server.connections.open === 0);
    expect(closes).toBe(1);
    socket.destroy();
    await server.close();
  });
});

describeWith(['uws'], 'WebSocket by uWebSockets.js', () => behaviour('uws'));

describe('choice of the engine', () => {
  const listeners = [
    { name: 'mqtt', host: '127.0.0.1', port: 0, accept: ['mqtt', 'stomp', 'http'], secure: false },
    { name: 'http', host: '127.0.0.1', port: 0, accept: ['http'], secure: false },
    { name: 'https', host: '127.0.0.1', port: 0, accept: ['http'], secure: true },
  ];
  const fake: Uws = {
    createApp: () => {
      const app = { ws: () => app, any: () => app, listen: () => app };
      return app;
    },
    portOf: () => 1,
    stopListening: nothing,
  };
  const never = (): Promise<Uws> => Promise.reject(new Error("Cannot find package 'uWebSockets.js'\nfrom somewhere"));
  const parts = new TestServer({ onAccept: nothing }).parts;

  test.each(['auto', 'ws'] as const)(
    '%s serves every listener by ws and does not even look for the other',
    async (choice) => {
      const engine = await WebSockets.create(choice, parts, listeners, () => {
        throw new Error('not to be called');
      });
      for (const listener of listeners) expect(engine.listenerFor(listener)).toBe(null);
      engine.close();
    },
  );

  test('uws serves the listeners that accept nothing but HTTP', async () => {
    const engine = await WebSockets.create('uws', parts, listeners, () => Promise.resolve(fake));
    expect(engine.listenerFor(listeners[0]!)).toBe(null);
    expect(engine.listenerFor(listeners[1]!)?.name).toBe('http');
    expect(engine.listenerFor(listeners[2]!)).toBe(null);
    engine.close();
  });

  test('uws without the package is refused with the way out', async () => {
    const error: unknown = await WebSockets.create('uws', parts, listeners, never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EngineError);
    expect((error as Error).message).toBe(
      "websocket.engine: uws is not possible; uWebSockets.js cannot be imported (Cannot find package 'uWebSockets.js'). Install it beside the broker, or choose ws",
    );
  });

  test('uws without a listener for it is refused with the setting that makes one', async () => {
    await expect(WebSockets.create('uws', parts, [listeners[0]!], () => Promise.resolve(fake))).rejects.toThrow(
      'Set listeners.mqtt.accept to [http], or choose ws',
    );
  });

  test('addresses read as Node writes them', () => {
    expect(addressText(Uint8Array.of(127, 0, 0, 1))).toBe('127.0.0.1');
    expect(addressText(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1))).toBe('::1');
    expect(addressText(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 7))).toBe('::ffff:10.0.0.7');
    expect(addressText(Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10))).toBe('2001:db8::10');
    expect(addressText(new Uint8Array(0))).toBe('');
  });
});
