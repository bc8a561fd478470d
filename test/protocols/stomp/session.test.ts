import { describe, expect, it } from 'vitest';
import { Version } from '../../../protocols/stomp/frame.ts';
import type { AuthResult } from '../../../src/core/authenticator.ts';
import { Detection } from '../../../src/server/protocol.ts';
import { frame, StompClient, StompWorld } from '../../support/stomp-client.ts';

const CONNECT = 'CONNECT\naccept-version:1.2\nhost:/\n\n\0';

describe('detection', () => {
  const detect = (text: string) => {
    const bytes = Buffer.from(text);
    return new StompWorld().stompAdapter.detect(bytes, 0, bytes.length);
  };

  it('takes a stream for STOMP when its first line is a command', () => {
    expect(detect('CONNECT\naccept-version:1.2\n')).toBe(Detection.Yes);
    expect(detect('STOMP\r\n')).toBe(Detection.Yes);
    expect(detect('\r\n\nCONNECT\n')).toBe(Detection.Yes);
    expect(detect('SEND\n')).toBe(Detection.Yes);
  });

  it('waits while the first bytes could still become one', () => {
    for (const text of ['', '\n', 'C', 'CONNECT', 'STO', 'SUBSCRIBE']) expect(detect(text), text).toBe(Detection.More);
  });

  it('leaves HTTP, MQTT and TLS to others', () => {
    for (const text of [
      'CONNECT a:443 HTTP/1.1\r\n',
      'GET / HTTP/1.1\r\n',
      '\x10\x10\x00\x04MQTT',
      '\x16\x03\x01',
      'CONNECTED\n',
    ]) {
      expect(detect(text), text).toBe(Detection.No);
    }
  });
});

describe('CONNECT', () => {
  it('is answered with the highest common version, a session, the server and heart-beats', () => {
    const world = new StompWorld();
    const client = new StompClient(world);
    client.sendBytes('CONNECT\naccept-version:1.0,1.1,1.2,9.9\nhost:/\n\n\0');
    const [connected] = client.receive();
    expect(connected!.command).toBe('CONNECTED');
    expect(connected!.header('version')).toBe('1.2');
    expect(connected!.header('server')).toBe('Sluice/1.2.3');
    expect(connected!.header('session')).toMatch(/^\w{12}$/);
    expect(connected!.header('heart-beat')).toBe('10000,10000');
    expect(client.pipe.isEstablished).toBe(true);
  });

  it.each([
    ['1.1,1.0', '1.1'],
    ['1.0', '1.0'],
    ['1.2, 1.1', '1.2'],
  ])('with accept-version %s gives %s', (accepted, version) => {
    const client = new StompClient(new StompWorld());
    client.send(frame('STOMP', { 'accept-version': accepted, host: 'whatever' }));
    expect(client.receive()[0]!.header('version')).toBe(version);
  });

  it('without accept-version is from a client of 1.0', () => {
    const client = new StompClient(new StompWorld());
    client.sendBytes('CONNECT\nlogin: me\npasscode: secret\n\n\0\n');
    const [connected] = client.receive();
    expect(connected!.header('version')).toBe('1.0');
    expect(connected!.header('session')).not.toBe(null);
    expect(connected!.header('heart-beat')).toBe(null);
  });

  it('without a common version is refused with the versions there are', () => {
    const client = new StompClient(new StompWorld());
    client.send(frame('CONNECT', { 'accept-version': '2.0,3.1', host: '/' }));
    const error = client.error()!;
    expect(error.header('version')).toBe('1.0,1.1,1.2');
    expect(error.text()).toContain('2.0,3.1');
    expect(client.pipe.isEstablished).toBe(false);
  });

  it("names its virtual host, and means the listener's with any other name", () => {
    const world = new StompWorld();
    world.broker.addVhost('plant');
    const inPlant = StompClient.connected(world, Version.V1_2, { host: 'plant' }).subscribe('/topic/a');
    const inDefault = StompClient.connected(world, Version.V1_2, { host: 'broker.example' }).subscribe('/topic/a');
    const publisher = StompClient.connected(world, Version.V1_2, { host: 'plant' });
    publisher.publish('/topic/a', 'hello');
    expect(inPlant.bodies()).toEqual(['hello']);
    expect(inDefault.bodies()).toEqual([]);
  });

  it('to an unknown virtual host is refused when hosts are strict', () => {
    const world = new StompWorld({ stomp: { strictHost: true } });
    const client = new StompClient(world);
    client.send(frame('CONNECT', { 'accept-version': '1.2', host: 'nowhere' }));
    expect(client.error()!.text()).toContain('nowhere');
    StompClient.connected(world, Version.V1_2, { host: '/' });
  });

  it('hands login, passcode and client id to the authenticator, unescaped', () => {
    const seen: unknown[] = [];
    const world = new StompWorld({
      authenticator: {
        authenticate: ({ username, password, clientId }) => {
          seen.push(username, Buffer.from(password!).toString(), clientId);
          return { ok: true, principal: { name: 'me', policy: null } };
        },
      },
    });
    const client = new StompClient(world);
    client.sendBytes('CONNECT\naccept-version:1.2\nhost:/\nlogin:a\\cb\npasscode:p:w\\n\nclient-id:c1\n\n\0');
    expect(client.receive()[0]!.command).toBe('CONNECTED');
    expect(seen).toEqual(['a\\cb', 'p:w\\n', 'c1']);
  });

  it.each([
    ['bad-credentials', 'wrong'],
    ['not-authorized', 'needed'],
    ['busy', 'later'],
  ] as const)('refused as %s says so and ends', (reason, word) => {
    const world = new StompWorld({ authenticator: { authenticate: () => ({ ok: false, reason }) } });
    const client = new StompClient(world);
    client.sendBytes(CONNECT);
    const error = client.error()!;
    expect(error.header('message')).toBe('Bad CONNECT');
    expect(error.text()).toContain(word);
    expect(client.pipe.isEstablished).toBe(false);
    expect(world.broker.counters.connectionsRefused).toBe(1);
  });

  it('waits for an authenticator that takes its time, and what follows waits with it', async () => {
    let decide: (result: AuthResult) => void = () => undefined;
    const world = new StompWorld({
      authenticator: { authenticate: () => new Promise((resolve) => (decide = resolve)) },
    });
    const client = new StompClient(world);
    client.sendBytes(
      `${CONNECT}SUBSCRIBE\nid:1\ndestination:/topic/a\nreceipt:r\n\n\0SEND\ndestination:/topic/a\n\nearly\0`,
    );
    expect(client.pipe.paused).toBe(1);
    expect(client.receive()).toEqual([]);
    decide({ ok: true, principal: { name: 'me', policy: null } });
    await Promise.resolve();
    client.version = Version.V1_2;
    expect(client.receive().map(({ command }) => command)).toEqual(['CONNECTED', 'RECEIPT', 'MESSAGE']);
    expect(client.pipe.paused).toBe(0);
  });

  it('that is refused late is told so', async () => {
    let decide: (result: AuthResult) => void = () => undefined;
    const world = new StompWorld({
      authenticator: { authenticate: () => new Promise((resolve) => (decide = resolve)) },
    });
    const client = new StompClient(world);
    client.sendBytes(CONNECT);
    decide({ ok: false, reason: 'bad-credentials' });
    await Promise.resolve();
    expect(client.error()!.text()).toContain('wrong');
  });

  it('of a client that left before it was let in is forgotten', async () => {
    let decide: (result: AuthResult) => void = () => undefined;
    const world = new StompWorld({
      authenticator: { authenticate: () => new Promise((resolve) => (decide = resolve)) },
    });
    const client = new StompClient(world);
    client.sendBytes(CONNECT);
    client.hangUp();
    decide({ ok: true, principal: { name: 'me', policy: null } });
    await Promise.resolve();
    expect(world.stompAdapter.connectionCount).toBe(0);
    expect(client.receive()).toEqual([]);
  });

  it('comes once', () => {
    const client = StompClient.connected(new StompWorld());
    client.sendBytes(CONNECT);
    expect(client.error()!.header('message')).toBe('Illegal command');
  });
});

describe('errors', () => {
  const errorFor = (text: string, version: Version = Version.V1_2) => {
    const client = StompClient.connected(new StompWorld(), version);
    client.sendBytes(text);
    return client.error()!;
  };

  it('a frame before CONNECT is told so in an ERROR', () => {
    const client = new StompClient(new StompWorld());
    client.sendBytes('SEND\ndestination:/topic/a\n\nhello\0');
    expect(client.error()!.text()).toContain('SEND came before CONNECT');
  });

  it.each(['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR'])('%s from a client is an error', (command) => {
    expect(errorFor(`${command}\n\n\0`).text()).toContain(command);
  });

  it('names the receipt of the frame at fault', () => {
    const error = errorFor('SUBSCRIBE\ndestination:/topic/a\nreceipt:r-7\n\n\0');
    expect(error.header('receipt-id')).toBe('r-7');
    expect(error.header('message')).toBe('Missing header');
    expect(error.text()).toContain('without the header id');
  });

  it.each([
    ['SEND\n\nbody\0', 'destination'],
    ['SUBSCRIBE\nid:1\n\n\0', 'destination'],
    ['SEND\ndestination:topic/a\n\n\0', 'topic/a'],
    ['SEND\ndestination:/topic/\n\n\0', '/topic/'],
    ['SUBSCRIBE\nid:1\ndestination:/nowhere/a\n\n\0', '/nowhere/a'],
    ['SUBSCRIBE\nid:1\ndestination:/topic/a\nack:sometimes\n\n\0', 'sometimes'],
    ['SUBSCRIBE\nid:1\ndestination:/topic/a\nprefetch-count:many\n\n\0', 'prefetch-count'],
    ['SUBSCRIBE\nid:1\ndestination:/topic/a\nselector:a >\n\n\0', 'selector'],
    ['SUBSCRIBE\nid:1\ndestination:/queue/a\nx-max-length:ten\n\n\0', 'x-max-length'],
    ['SUBSCRIBE\nid:1\ndestination:/topic/a\nx-share-group:a/b\n\n\0', 'x-share-group'],
    ['UNSUBSCRIBE\nid:none\n\n\0', 'none'],
    ['UNSUBSCRIBE\n\n\0', 'id'],
    ['ACK\n\n\0', 'id'],
    ['ACK\nid:1-1\n\n\0', '1-1'],
    ['NACK\nid:nonsense\n\n\0', 'nonsense'],
    ['BEGIN\n\n\0', 'transaction'],
    ['COMMIT\ntransaction:none\n\n\0', 'none'],
    ['ABORT\ntransaction:none\n\n\0', 'none'],
    ['SEND\ndestination:/topic/a\ntransaction:none\n\n\0', 'none'],
    ['SEND\ndestination:/topic/a\nexpiration:soon\n\n\0', 'expiration'],
    ['HELLO\n\n\0', 'HELLO'],
    ['SEND\ndestination\n\n\0', 'colon'],
  ])('%j is answered with an ERROR that says %s', (text, word) => {
    expect(errorFor(text).text()).toContain(word);
  });

  it('what stood in front of an error has been done', () => {
    const world = new StompWorld();
    const listener = StompClient.connected(world).subscribe('/topic/a');
    const client = StompClient.connected(world);
    client.sendBytes(
      'SEND\ndestination:/topic/a\n\none\0SEND\ndestination:/topic/a\n\ntwo\0OOPS\n\n\0SEND\ndestination:/topic/a\n\nthree\0',
    );
    expect(client.error()).not.toBe(null);
    expect(listener.bodies()).toEqual(['one', 'two']);
  });

  it("one client's error touches nobody else", () => {
    const world = new StompWorld();
    const other = StompClient.connected(world).subscribe('/topic/a');
    const client = StompClient.connected(world);
    client.sendBytes('OOPS\n\n\0');
    expect(client.error()).not.toBe(null);
    other.publish('/topic/a', 'still here');
    expect(other.bodies()).toEqual(['still here']);
    expect(world.broker.counters.protocolErrors).toBe(1);
    expect(world.stompAdapter.connectionCount).toBe(1);
  });

  it('a second subscription with one id is an error', () => {
    const client = StompClient.connected(new StompWorld()).subscribe('/topic/a');
    client.send(frame('SUBSCRIBE', { id: 'sub', destination: '/topic/b' }));
    expect(client.error()!.header('message')).toBe('Duplicated subscription identifier');
  });

  it('more subscriptions than a connection may have are refused', () => {
    const client = StompClient.connected(new StompWorld({ stomp: { subscriptionsMax: 2 } }));
    client.subscribe('/topic/a', { id: 1 }).subscribe('/topic/b', { id: 2 });
    client.send(frame('SUBSCRIBE', { id: 3, destination: '/topic/c' }));
    expect(client.error()!.text()).toContain('2 subscriptions');
  });
});

describe('limits', () => {
  const send = (headers: string, body: string) => `SEND\ndestination:/topic/a\n${headers}\n${body}\0`;

  it.each([
    ['frameBytesMax', { frameBytesMax: 500 }, send('', 'x'.repeat(600)), 'stomp.frameBytesMax'],
    ['headersMax', { headersMax: 8 }, send('a:1\n'.repeat(9), ''), 'stomp.headersMax'],
    ['headerBytesMax', { headerBytesMax: 256 }, send(`a:${'x'.repeat(300)}\n`, ''), 'stomp.headerBytesMax'],
    ['bodyBytesMax', { bodyBytesMax: 100 }, send('', 'x'.repeat(101)), 'stomp.bodyBytesMax'],
    ['bodyBytesMax', { bodyBytesMax: 100 }, send('content-length:101\n', ''), 'stomp.bodyBytesMax'],
    ['frameBytesMax', {}, send('content-length:99999999999\n', ''), 'bytes'],
  ])('a frame over %s is refused, naming the setting', (_name, stomp, text, setting) => {
    const world = new StompWorld({ stomp });
    const other = StompClient.connected(world).subscribe('/topic/a');
    const client = StompClient.connected(world);
    client.chunkBytes = 64;
    client.sendBytes(text);
    expect(client.error()!.text()).toContain(setting);
    other.publish('/topic/a', 'ok');
    expect(other.bodies()).toEqual(['ok']);
  });

  it('before it has said who it is, a client gets by with 64 KiB', () => {
    const world = new StompWorld();
    const client = new StompClient(world);
    client.chunkBytes = 1000;
    client.sendBytes(`CONNECT\n${`x:${'y'.repeat(1000)}\n`.repeat(70)}`);
    const error = client.error()!;
    expect(error.text()).toContain('connection.preAuthBytesMax');
  });
});

describe('heart-beats', () => {
  it('do not count the time in which the broker itself was not there', () => {
    const world = new StompWorld({ stomp: { heartBeatSendMs: 0, heartBeatReceiveMs: 2000 } });
    const client = StompClient.connected(world, Version.V1_2, { 'heart-beat': '2000,0' });
    // No tick comes for long: the process was suspended, or recovers before it listens.
    world.advance(60_000);
    world.stompAdapter.tick();
    expect(client.pipe.ended).toBe(false);
    for (let i = 0; i < 5; i++) {
      world.advance(900);
      world.stompAdapter.tick();
    }
    expect(client.pipe.ended).toBe(true);
  });

  const connected = async (heartBeat: string, stomp = {}) => {
    const world = await new StompWorld({ stomp: { heartBeatSendMs: 1000, heartBeatReceiveMs: 2000, ...stomp } }).open();
    const client = StompClient.connected(world, Version.V1_2, { 'heart-beat': heartBeat });
    return { world, client };
  };

  it('are sent as often as the client asked for, never later', async () => {
    const { world, client } = await connected('0,3000');
    for (let i = 0; i < 4; i++) {
      world.advance(3000);
      client.read();
      expect(client.heartBeats).toBeGreaterThanOrEqual(i + 1);
    }
    expect(client.heartBeats).toBeLessThanOrEqual(6);
  });

  it('are not sent to a client that wants none, nor while messages are', async () => {
    const { world, client } = await connected('0,0');
    world.advance(60_000);
    client.read();
    expect(client.heartBeats).toBe(0);
    const { world: busyWorld, client: busy } = await connected('0,1000');
    busy.subscribe('/topic/a');
    for (let i = 0; i < 20; i++) {
      busy.publish('/topic/a', 'x');
      busyWorld.advance(500);
      busy.read();
    }
    expect(busy.heartBeats).toBe(0);
  });

  it('that stop coming end the connection, after twice the interval agreed', async () => {
    const { world, client } = await connected('3000,0');
    world.advance(5800);
    expect(client.pipe.ended).toBe(false);
    world.advance(600);
    expect(client.error()!.header('message')).toBe('Heart-beat timeout');
  });

  it('may be anything: line ends, parts of frames', async () => {
    const { world, client } = await connected('3000,0');
    for (const bytes of ['\n', '\r\n', 'SEND\ndesti', 'nation:/topic/a\n', '\n', 'body', '\0', '\n']) {
      world.advance(4000);
      client.sendBytes(bytes);
    }
    expect(client.pipe.ended).toBe(false);
  });

  it('nobody waits for those of a client that promised none', async () => {
    const { world, client } = await connected('0,0');
    world.advance(600_000);
    expect(client.pipe.ended).toBe(false);
  });

  it('are not missed while the broker itself does not read', async () => {
    const { world, client } = await connected('2000,0');
    const connection = [...world.stompAdapter.connections][0]!;
    connection.pause();
    world.advance(60_000);
    connection.resume();
    world.advance(1000);
    expect(client.pipe.ended).toBe(false);
    world.advance(6000);
    expect(client.pipe.ended).toBe(true);
  });

  it('in any other form are an error', () => {
    for (const heartBeat of ['1000', 'a,b', '-1,0', '1,2,3', '']) {
      const client = new StompClient(new StompWorld());
      client.send(frame('CONNECT', { 'accept-version': '1.1', host: '/', 'heart-beat': heartBeat }));
      expect(client.error()!.text(), heartBeat).toContain('heart-beat');
    }
  });
});

describe('DISCONNECT', () => {
  it('with a receipt is answered after everything before it, then the connection ends', () => {
    const world = new StompWorld();
    const listener = StompClient.connected(world).subscribe('/queue/q');
    const client = StompClient.connected(world);
    client.sendBytes(
      'SEND\ndestination:/queue/q\nreceipt:1\n\na\0SEND\ndestination:/queue/q\n\nb\0DISCONNECT\nreceipt:2\n\n\0SEND\ndestination:/queue/q\n\nc\0',
    );
    expect(client.receive().map((f) => [f.command, f.header('receipt-id')])).toEqual([
      ['RECEIPT', '1'],
      ['RECEIPT', '2'],
    ]);
    expect(client.pipe.ended).toBe(true);
    expect(listener.bodies()).toEqual(['a', 'b']);
    expect(world.stompAdapter.connectionCount).toBe(1);
  });

  it('without one ends at once', () => {
    const client = StompClient.connected(new StompWorld());
    client.send(frame('DISCONNECT'));
    expect(client.receive()).toEqual([]);
    expect(client.pipe.ended).toBe(true);
  });
});

describe('shutting down', () => {
  it('tells every client, and refuses new ones', () => {
    const world = new StompWorld();
    const client = StompClient.connected(world);
    world.stompAdapter.close();
    const error = client.error()!;
    expect(error.header('message')).toBe('connection_forced');
    expect(error.text()).toContain('CONNECTION_FORCED - the server is shutting down');
    const late = new StompClient(world);
    late.sendBytes(CONNECT);
    expect(late.error()!.header('message')).toBe('connection_forced');
  });
});

describe('input', () => {
  it.each([Number.POSITIVE_INFINITY, 1, 2, 7, 100])('in chunks of %s bytes means the same', (chunkBytes) => {
    const world = new StompWorld();
    const client = new StompClient(world);
    client.chunkBytes = chunkBytes;
    const big = 'z'.repeat(300);
    client.sendBytes(
      `\n\r\n${CONNECT}\n\nSUBSCRIBE\r\nid:1\r\ndestination:/topic/a.*\r\n\r\n\0SEND\ndestination:/topic/a.b\ncontent-length:3\n\na\0b\0\n\nSEND\ndestination:/topic/a.b\nreceipt:x\n\n${big}\0DISCONNECT\nreceipt:77\n\n\0`,
    );
    client.version = Version.V1_2;
    expect(client.receive().map((f) => [f.command, f.text()])).toEqual([
      ['CONNECTED', ''],
      ['MESSAGE', 'a\0b'],
      ['MESSAGE', big],
      ['RECEIPT', ''],
      ['RECEIPT', ''],
    ]);
  });
});
