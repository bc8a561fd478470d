// TLS on the listeners of a whole broker: every protocol inside of it, with clients nobody here wrote, and what is turned away with a reason.

import { randomBytes } from 'node:crypto';
import { get } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { ConfigInput } from '../../src/config.ts';
import { until } from '../io/until.ts';
import { Authority, type Issued, PemFolder } from '../support/certificates.ts';
import { MqttJs, V5, V31, V311 } from '../support/mqttjs.ts';
import { RealBroker } from '../support/real-broker.ts';
import { Stompit } from '../support/stompit.ts';

const folder = new PemFolder();
let authority: Authority;
let stranger: Authority;
let own: { certificate: string; key: string };
let caFile: string;
let client: Issued;
let ca: string;

beforeAll(async () => {
  authority = await Authority.create('Ours');
  stranger = await Authority.create('Theirs');
  own = folder.putIssued('own', await authority.issue('broker'));
  ca = authority.certificate;
  caFile = folder.put('ca.crt', ca);
  client = await authority.issue('device-1', { usage: 'client' });
});
afterAll(() => folder.remove());

let broker: RealBroker;
let sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await broker.close();
});

const portOf = (name: string): number => broker.broker.addresses.find((address) => address.name === name)!.port;

type Tls = NonNullable<Exclude<NonNullable<ConfigInput['listeners']>[string], string | number | false>['tls']>;

async function start(tls: Partial<Tls> = {}, config: ConfigInput = {}): Promise<void> {
  broker = await RealBroker.start({
    ...config,
    listeners: { mqtt: '127.0.0.1:0', stomp: false, http: false, safe: { port: 0, tls: { ...own, ...tls } } },
  });
}

const mqtts = (): string => `mqtts://127.0.0.1:${portOf('safe')}`;

interface Outcome {
  readonly socket: TLSSocket;
  text: string;
  closed: boolean;
}

function open(options: ConnectionOptions = {}): Outcome {
  const socket = connectTls({ host: '127.0.0.1', port: portOf('safe'), ca, ...options });
  const outcome: Outcome = { socket, text: '', closed: false };
  sockets.push(socket);
  socket.on('data', (bytes) => {
    outcome.text += String(bytes);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    outcome.closed = true;
  });
  return outcome;
}

/** A connection, made to a listener, on which nothing is sent. */
async function sayNothing(listener: string): Promise<{ readonly closed: boolean }> {
  const socket = connectTcp(portOf(listener), '127.0.0.1');
  sockets.push(socket);
  const outcome = { closed: false };
  socket.on('error', () => undefined);
  socket.on('close', () => {
    outcome.closed = true;
  });
  socket.resume();
  await new Promise((resolve) => socket.once('connect', resolve));
  return outcome;
}

/** Codes and messages of the broker's warnings. */
const warnings = (): string[] => broker.complaints.map(({ fields, message }) => `${String(fields.code)}: ${message}`);

describe('a listener with TLS', () => {
  beforeEach(() => start());

  it.each([
    ['3.1', V31],
    ['3.1.1', V311],
    ['5.0', V5],
  ])(
    'carries MQTT %s, alone and in WebSockets, and shares its messages with the listeners in the clear',
    async (_name, version) => {
      const plain = broker.keep(await MqttJs.connect(broker.mqttUrl, version));
      const safe = broker.keep(await MqttJs.connect(mqtts(), { ...version, ca }));
      const web = broker.keep(
        await MqttJs.connect(`wss://127.0.0.1:${portOf('safe')}/mqtt`, { ...version, wsOptions: { ca } }),
      );
      const all = [plain, safe, web];
      for (const one of all) await one.subscribe('bytes', { qos: 2 });
      for (const payload of [Buffer.from([0]), randomBytes(1024 * 1024)]) {
        for (const publisher of all) {
          await publisher.publish('bytes', payload, { qos: 2 });
          for (const one of all) expect(payload.equals((await one.messages.next()).payload as Buffer)).toBe(true);
        }
      }
      await Promise.all(Array.from({ length: 1000 }, (_, i) => safe.publish('bytes', String(i), { qos: 1 })));
      for (const one of all) {
        const got = await one.messages.take(1000);
        expect(got.map(({ payload }) => Number(payload.toString()))).toEqual(Array.from({ length: 1000 }, (_, i) => i));
      }
      expect(warnings()).toEqual([]);
    },
  );

  it('carries STOMP', async () => {
    const socket = connectTls({ host: '127.0.0.1', port: portOf('safe'), ca });
    const stomp = broker.keep(await Stompit.over(socket));
    const subscription = await stomp.subscribe('/topic/x.#');
    const payload = randomBytes(300_000);
    await stomp.send('/topic/x.y', payload);
    expect(payload.equals((await subscription.messages.next()).body)).toBe(true);
  });

  it('serves its pages, and lets a page of its own open a WebSocket', async () => {
    const url = `https://127.0.0.1:${portOf('safe')}`;
    const status = await new Promise((resolve, reject) => {
      get(`${url}/demo`, { ca, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
    });
    expect(status).toBe(200);
    const socket = new WebSocket(`wss://127.0.0.1:${portOf('safe')}/mqtt`, ['mqtt'], { ca, origin: url });
    await new Promise((resolve, reject) => {
      socket.on('open', resolve);
      socket.on('error', reject);
    });
    socket.close();
  });

  it('speaks no version that is broken', async () => {
    const old = open({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
    await until('it is refused', () => old.closed);
    await until('it is logged', () => warnings().length > 0);
    expect(warnings()[0]).toMatch(
      /^tls-handshake-failed: connection closed: the TLS handshake failed: .*(version|protocol)/,
    );
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { socket } = open({ minVersion: version, maxVersion: version });
      await until('it is secure', () => socket.authorized);
      expect(socket.getProtocol()).toBe(version);
    }
  });

  it('turns away who does not speak TLS, and says so; nobody else notices', async () => {
    const safe = broker.keep(await MqttJs.connect(mqtts(), { ...V5, ca }));
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      '\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00',
      'CONNECT\nhost:/\n\n\0',
    ]) {
      const before = warnings().length;
      const socket = connectTcp(portOf('safe'), '127.0.0.1');
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.write(Buffer.from(bytes, 'latin1'));
      await until('it is logged', () => warnings().length > before);
      expect(warnings().at(-1)).toBe(
        'tls-expected: connection closed: the peer does not speak TLS, this listener does',
      );
      await until('it is closed', () => socket.destroyed || socket.readableEnded || socket.closed);
    }
    await safe.subscribe('still/here', { qos: 1 });
    await safe.publish('still/here', 'yes', { qos: 1 });
    expect((await safe.messages.next()).payload.toString()).toBe('yes');
  });

  it('says when a client does not believe its certificate', async () => {
    const distrustful = open({ ca: stranger.certificate });
    await until('it is closed', () => distrustful.closed);
    await until('it is logged', () => warnings().length > 0);
    expect(warnings()[0]).toMatch(
      /^tls-handshake-failed: connection closed: the peer (hung up in the TLS handshake; it may not accept|does not accept) this listener's certificate/,
    );
  });

  it('a listener without it says that the peer speaks TLS', async () => {
    const lost = open({ port: portOf('mqtt') });
    await until('it is closed', () => lost.closed);
    expect(warnings()).toEqual([
      'tls-on-plain-listener: connection closed: the peer speaks TLS, this listener does not (its option tls)',
    ]);
  });
});

describe('a listener whose clients must present a certificate', () => {
  beforeEach(() => start({ clientCa: caFile }));

  it('lets in who has one of the authority, over MQTT and over WebSocket', async () => {
    const { certificate: cert, key } = client;
    const safe = broker.keep(await MqttJs.connect(mqtts(), { ...V5, ca, cert, key }));
    const web = broker.keep(
      await MqttJs.connect(`wss://127.0.0.1:${portOf('safe')}/mqtt`, { ...V5, wsOptions: { ca, cert, key } }),
    );
    await safe.subscribe('x', { qos: 1 });
    await web.publish('x', 'in', { qos: 1 });
    expect((await safe.messages.next()).payload.toString()).toBe('in');
    expect(warnings()).toEqual([]);
  });

  const refused = async (what: string, options: ConnectionOptions, reason: RegExp): Promise<void> => {
    const one = open(options);
    // A client of TLS 1.3 believes to be in before the other side has looked at its certificate.
    one.socket.write('CONNECT\naccept-version:1.2\nhost:/\n\n\0');
    await until(`${what}: closed`, () => one.closed);
    await until(`${what}: logged`, () => warnings().length > 0);
    expect(one.text, what).toBe('');
    expect(warnings().at(-1), what).toMatch(reason);
    expect(broker.complaints.at(-1)?.fields.setting, what).toBe('listeners.safe.tls.clientCa');
  };

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const only = { minVersion: version, maxVersion: version };

    it(`turns away who has none (${version})`, () =>
      refused('none', only, /^tls-certificate-refused: connection closed: the peer has presented no certificate$/));

    it(`turns away who has one of somebody else (${version})`, async () => {
      const { certificate: cert, key } = await stranger.issue('device-1', { usage: 'client' });
      await refused("a stranger's", { ...only, cert, key }, /^tls-certificate-refused: .* is not accepted: /);
    });

    it(`turns away who has one that has expired (${version})`, async () => {
      const { certificate: cert, key } = await authority.issue('device-1', {
        usage: 'client',
        notAfter: new Date(Date.now() - 1000),
      });
      await refused('expired', { ...only, cert, key }, /^tls-certificate-refused: .*: CERT_HAS_EXPIRED$/);
    });

    it(`turns away who presents a server's (${version})`, async () => {
      const { certificate: cert, key } = await authority.issue('device-1');
      await refused('of a server', { ...only, cert, key }, /^tls-certificate-refused: .*: INVALID_PURPOSE$/);
    });
  }
});

describe('the handshake', () => {
  it('has its time, and the connection counts as one meanwhile', async () => {
    await start({}, { connection: { handshakeTimeoutMs: 1000, max: 1 } });
    const silent = await sayNothing('safe');
    const second = open();
    await until('the second one is refused', () => second.closed);
    await until('the silent one is closed', () => silent.closed);
    await until('it is logged', () => warnings().length > 1);
    expect(warnings()).toEqual([
      'connection-limit: connection refused: the limit of open connections is reached',
      'handshake-timeout: connection closed: the TLS handshake was not complete within 1000 ms',
    ]);
    // Its place is free again, also after who came in has gone.
    for (let i = 0; i < 3; i++) {
      let one = open();
      await until('there is room', () => {
        // The broker may not know yet that the one before has gone.
        if (one.closed) one = open();
        return one.socket.authorized;
      });
      one.socket.destroy();
    }
  });

  it('ends with the broker, without a complaint; so does a connection that has said nothing', async () => {
    await start();
    const silent = [await sayNothing('safe'), await sayNothing('mqtt')];
    // Who comes later is there: so are they. This one is silent inside.
    const inside = open();
    await until('one is secure', () => inside.socket.authorized);
    const sessions = [
      broker.keep(await MqttJs.connect(broker.mqttUrl, V5)),
      broker.keep(await MqttJs.connect(mqtts(), { ...V5, ca })),
    ];
    await broker.broker.close();
    // Who has a session is told, also over TLS: its connection is no handshake any more.
    for (const session of sessions) expect((await session.disconnects.next()).reasonCode).toBe(0x8b);
    await until('all are closed', () => inside.closed && silent.every(({ closed }) => closed));
    expect(warnings()).toEqual([]);
  });

  it('is not what holds up a client that says nothing once it is done', async () => {
    await start({}, { connection: { handshakeTimeoutMs: 1000 } });
    const { socket } = open();
    await until('it is secure', () => socket.authorized);
    await until('it is closed', () => socket.destroyed);
    expect(warnings()).toEqual(['handshake-timeout: connection closed: the peer sent nothing within 1000 ms']);
  });
});

describe('a broker', () => {
  it('does not start on a certificate that cannot be used', async () => {
    const wrong = folder.put('wrong.key', client.key);
    await expect(start({ key: wrong })).rejects.toThrow(
      `listeners.safe.tls.key: cannot use ${wrong}: it is not the key of the certificate`,
    );
    await start();
  });
});
