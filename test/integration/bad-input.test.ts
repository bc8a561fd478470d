// What no client should send, on every listener and carrier: the protocol's own error where there is one, that one connection closed, a line in the log that
// names the reason, and nobody else disturbed.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/config.ts';
import { until } from '../io/until.ts';
import { MqttJs, V5 } from '../support/mqttjs.ts';
import { RawClient } from '../support/raw-client.ts';
import { RealBroker } from '../support/real-broker.ts';
import { Stompit, type StompitSubscription } from '../support/stompit.ts';

const MIB = 1024 * 1024;
const SMALL: ConfigInput = {
  mqtt: { maximumPacketSize: MIB },
  stomp: { bodyBytesMax: MIB, frameBytesMax: 2 * MIB, headersMax: 16, headerBytesMax: 1024 },
  websocket: { messageBytesMax: 2 * MIB },
};

let broker: RealBroker;
let publisher: MqttJs;
let subscription: StompitSubscription;

async function start(config: ConfigInput = SMALL): Promise<void> {
  broker = await RealBroker.start(config);
  publisher = broker.keep(await MqttJs.connect(broker.mqttUrl, V5));
  const subscriber = broker.keep(await Stompit.connect(broker.ports.stomp));
  subscription = await subscriber.subscribe('/topic/bystanders.#');
}

beforeEach(() => start());

/** Those who were connected before are still, and exchange messages. */
async function undisturbed(): Promise<void> {
  await publisher.publish('bystanders/x', 'still here', { qos: 1 });
  expect(await subscription.nextText()).toBe('still here');
  expect(publisher.closed.waiting).toEqual([]);
}

afterEach(async () => {
  await undisturbed();
  await broker.close();
});

/** Codes of what the log complains about. */
const codes = (): unknown[] => broker.complaints.map(({ fields }) => fields.code ?? fields.reasonCode);

const CARRIERS = [
  ['TCP at the MQTT port', () => RawClient.tcp(broker.ports.mqtt)],
  ['TCP at the STOMP port', () => RawClient.tcp(broker.ports.stomp)],
  ['TCP at the HTTP port', () => RawClient.tcp(broker.ports.http)],
  ['WebSocket at /ws', () => RawClient.ws(broker.wsUrl('/ws'), '')],
] as const;

const MQTT_CARRIERS = [
  ...CARRIERS,
  ['WebSocket with subprotocol mqtt', () => RawClient.ws(broker.wsUrl('/mqtt'), 'mqtt')] as const,
];
const STOMP_CARRIERS = [
  ...CARRIERS,
  ['WebSocket with subprotocol v12.stomp', () => RawClient.ws(broker.wsUrl('/stomp'), 'v12.stomp')] as const,
];

// ---- MQTT

const bytes = (...parts: (number | string | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part as string))));

/** CONNECT of 3.1.1 and of 5, client id "x". */
const CONNECT_4 = bytes(0x10, 13, 0, 4, 'MQTT', 4, 2, 0, 0, 0, 1, 'x');
const CONNECT_5 = bytes(0x10, 14, 0, 4, 'MQTT', 5, 2, 0, 0, 0, 0, 1, 'x');

/** After CONNECT. `reason`: of the DISCONNECT that MQTT 5 has for it. In MQTT 3.1.1 the connection is closed without a word. */
const MQTT_FRAMES = [
  ['a second CONNECT', CONNECT_5, CONNECT_4, 0x82, 'protocol-error'],
  ['a CONNACK', bytes(0x20, 3, 0, 0, 0), bytes(0x20, 2, 0, 0), 0x82, 'protocol-error'],
  ['a SUBACK', bytes(0x90, 4, 0, 1, 0, 0), bytes(0x90, 3, 0, 1, 0), 0x82, 'protocol-error'],
  ['a PINGRESP', bytes(0xd0, 0), bytes(0xd0, 0), 0x82, 'protocol-error'],
  ['a packet of type 0', bytes(0, 0), bytes(0, 0), 0x81, 'malformed-packet'],
  [
    'a PUBLISH of QoS 3',
    bytes(0x36, 7, 0, 1, 'a', 0, 1, 0, 'x'),
    bytes(0x36, 6, 0, 1, 'a', 0, 1, 'x'),
    0x81,
    'malformed-packet',
  ],
  [
    'a PUBLISH to a filter',
    bytes(0x30, 5, 0, 1, '#', 0, 'x'),
    bytes(0x30, 4, 0, 1, '#', 'x'),
    0x90,
    'topic-name-invalid',
  ],
  [
    'a topic longer than its packet',
    bytes(0x30, 4, 0, 200, 'a', 0),
    bytes(0x30, 4, 0, 200, 'a', 'x'),
    0x81,
    'malformed-packet',
  ],
  [
    'packet identifier 0',
    bytes(0x32, 7, 0, 1, 'a', 0, 0, 0, 'x'),
    bytes(0x32, 6, 0, 1, 'a', 0, 0, 'x'),
    0x82,
    'protocol-error',
  ],
  ['a SUBSCRIBE without filters', bytes(0x82, 3, 0, 1, 0), bytes(0x82, 2, 0, 1), 0x82, 'protocol-error'],
  [
    'a SUBSCRIBE with wrong flags',
    bytes(0x80, 7, 0, 1, 0, 0, 1, 'a', 0),
    bytes(0x80, 6, 0, 1, 0, 1, 'a', 0),
    0x81,
    'malformed-packet',
  ],
  ['an UNSUBSCRIBE without filters', bytes(0xa2, 3, 0, 1, 0), bytes(0xa2, 2, 0, 1), 0x82, 'protocol-error'],
  [
    'a length that never ends',
    bytes(0x30, 0xff, 0xff, 0xff, 0xff, 1),
    bytes(0x30, 0xff, 0xff, 0xff, 0xff, 1),
    0x81,
    'malformed-packet',
  ],
  [
    'a length of 256 MiB',
    bytes(0x30, 0xff, 0xff, 0xff, 0x7f),
    bytes(0x30, 0xff, 0xff, 0xff, 0x7f),
    0x95,
    'packet-too-large',
  ],
] as const;

/** What only MQTT 5 has. */
const MQTT_5_FRAMES = [
  ['a property that is not for PUBLISH', bytes(0x30, 9, 0, 1, 'a', 5, 0x11, 0, 0, 0, 1), 0x81, 'malformed-packet'],
  ['a property that comes twice', bytes(0x30, 8, 0, 1, 'a', 4, 0x01, 0, 0x01, 0), 0x82, 'protocol-error'],
  ['topic alias 0', bytes(0x30, 7, 0, 1, 'a', 3, 0x23, 0, 0), 0x94, 'topic-alias-invalid'],
  ['a topic alias over the maximum', bytes(0x30, 7, 0, 1, 'a', 3, 0x23, 1, 0), 0x94, 'topic-alias-invalid'],
  ['a topic alias that was never set', bytes(0x30, 6, 0, 0, 3, 0x23, 0, 5), 0x82, 'protocol-error'],
  ['AUTH without a method', bytes(0xf0, 2, 0x18, 0), 0x82, 'protocol-error'],
] as const;

/** In the place of CONNECT; `answer`: what comes back. */
const MQTT_FIRST = [
  [
    'a version that is none',
    bytes(0x10, 13, 0, 4, 'MQTT', 6, 2, 0, 0, 0, 1, 'x'),
    bytes(0x20, 3, 0, 0x84),
    'unsupported-protocol-version',
  ],
  [
    'the reserved flag',
    bytes(0x10, 14, 0, 4, 'MQTT', 5, 3, 0, 0, 0, 0, 1, 'x'),
    bytes(0x20, 3, 0, 0x81, 0),
    'malformed-packet',
  ],
  [
    'a client id longer than its packet',
    bytes(0x10, 14, 0, 4, 'MQTT', 5, 2, 0, 0, 0, 0, 99, 'x'),
    bytes(0x20, 3, 0, 0x81, 0),
    'malformed-packet',
  ],
  [
    'no client id and no clean session',
    bytes(0x10, 12, 0, 4, 'MQTT', 4, 0, 0, 0, 0, 0),
    bytes(0x20, 2, 0, 2),
    'client-identifier-not-valid',
  ],
] as const;

describe.each(MQTT_CARRIERS)('MQTT over %s', (_carrier, open) => {
  const raw = async () => broker.keep(await open());

  it.each(MQTT_FRAMES)('closes on %s, in MQTT 5 with its reason', async (_what, frame, _frame4, reason, code) => {
    const client = (await raw()).send(CONNECT_5);
    await client.atLeast(5);
    const answer = await client.send(frame).end();
    const disconnect = answer.subarray(2 + (answer[1] ?? 0));
    expect([disconnect[0], disconnect[2]]).toEqual([0xe0, reason]);
    expect(codes()).toEqual([code]);
  });

  it.each(MQTT_FRAMES)('closes on %s, in MQTT 3.1.1 without a word', async (_what, _frame5, frame, _reason, code) => {
    const client = (await raw()).send(CONNECT_4);
    await client.atLeast(4);
    const answer = await client.send(frame).end();
    expect(answer).toEqual(bytes(0x20, 2, 0, 0));
    expect(codes()).toEqual([code]);
  });

  it.each(MQTT_5_FRAMES)('closes on %s', async (_what, frame, reason, code) => {
    const client = (await raw()).send(CONNECT_5);
    await client.atLeast(5);
    const answer = await client.send(frame).end();
    const disconnect = answer.subarray(2 + (answer[1] ?? 0));
    expect([disconnect[0], disconnect[2]]).toEqual([0xe0, reason]);
    expect(codes()).toEqual([code]);
  });

  it.each(MQTT_FIRST)('refuses CONNECT with %s', async (_what, frame, wanted, code) => {
    const answer = await (await raw()).send(frame).end();
    // The properties of a CONNACK may explain it; type, flags and reason are what counts.
    expect([answer[0], answer[2], answer[3]]).toEqual([wanted[0], wanted[2], wanted[3]]);
    expect(codes()).toEqual([code]);
  });

  it('closes when more than connection.preAuthBytesMax comes before CONNECT is complete, and keeps none of it', async () => {
    const client = await raw();
    // A user name of 65,535 bytes and a password of as many.
    const long = bytes(0xff, 0xff, Buffer.alloc(65_535, 0x61));
    const rest = bytes(0, 4, 'MQTT', 4, 0xc2, 0, 0, 0, 1, 'x', long, long);
    const length = [(rest.length & 0x7f) | 0x80, ((rest.length >> 7) & 0x7f) | 0x80, rest.length >> 14];
    const answer = await client.send(bytes(0x10, ...length, rest)).end();
    expect(answer.length).toBeLessThanOrEqual(4);
    expect(codes().length).toBe(1);
    expect(['packet-too-large', 'websocket-unauthenticated', 'pre-auth-bytes']).toContain(codes()[0]);
  });
});

describe('MQTT without CONNECT', () => {
  it.each([
    ['PUBLISH', bytes(0x30, 4, 0, 1, 'a', 'x')],
    ['SUBSCRIBE', bytes(0x82, 6, 0, 1, 0, 1, 'a', 0)],
    ['DISCONNECT', bytes(0xe0, 0)],
    ['PINGREQ', bytes(0xc0, 0)],
  ])('is closed: %s comes first', async (_what, frame) => {
    const tcp = await RawClient.tcp(broker.ports.mqtt);
    expect(await tcp.send(frame).end()).toEqual(Buffer.alloc(0));
    const ws = await RawClient.ws(broker.wsUrl('/mqtt'), 'mqtt');
    expect(await ws.send(frame).end()).toEqual(Buffer.alloc(0));
    expect(codes()).toEqual(['protocol-unknown', 'protocol-error']);
  });
});

// ---- STOMP

const CONNECT_STOMP = 'CONNECT\naccept-version:1.2\nhost:/\n\n\0';

/** After CONNECT of 1.2; `message`: the header of the ERROR. */
const STOMP_FRAMES = [
  ['a second CONNECT', CONNECT_STOMP, 'Illegal command', 'connect-repeated'],
  [
    'a MESSAGE',
    'MESSAGE\ndestination:/topic/a\nmessage-id:1\nsubscription:1\n\nx\0',
    'Illegal command',
    'direction-wrong',
  ],
  ['a RECEIPT', 'RECEIPT\nreceipt-id:1\n\n\0', 'Illegal command', 'direction-wrong'],
  ['an unknown command', 'PUBLISH\ndestination:/topic/a\n\nx\0', 'Bad command', 'command-unknown'],
  ['a command in small letters', 'send\ndestination:/topic/a\n\nx\0', 'Bad command', 'command-unknown'],
  ['a header without a colon', 'SEND\ndestination\n\nx\0', 'malformed frame received', 'header-malformed'],
  ['an unknown escape', 'SEND\ndestination:/topic/a\\t\n\nx\0', 'malformed frame received', 'header-escape-invalid'],
  ['a NUL among the headers', 'SEND\ndestination:/topic/a\0\n\nx\0', 'malformed frame received', 'header-nul'],
  [
    'a body in SUBSCRIBE',
    'SUBSCRIBE\nid:1\ndestination:/topic/a\n\nbody\0',
    'malformed frame received',
    'body-not-allowed',
  ],
  [
    'a content-length that is no number',
    'SEND\ndestination:/topic/a\ncontent-length:-1\n\nx\0',
    'malformed frame received',
    'content-length-invalid',
  ],
  [
    'a content-length that is too short',
    'SEND\ndestination:/topic/a\ncontent-length:1\n\nxyz\0',
    'malformed frame received',
    'content-length-wrong',
  ],
  [
    'a body of a gigabyte',
    'SEND\ndestination:/topic/a\ncontent-length:1073741824\n\nx',
    'Frame over limit',
    'body-too-large',
  ],
  [
    'a body of more digits than numbers have',
    `SEND\ndestination:/topic/a\ncontent-length:${'9'.repeat(40)}\n\nx`,
    'Frame over limit',
    'body-too-large',
  ],
  [
    'a header line that never ends',
    `SEND\ndestination:/topic/${'a'.repeat(3000)}`,
    'Frame over limit',
    'header-line-too-long',
  ],
  ['more headers than allowed', `SEND\n${'a:b\n'.repeat(40)}`, 'Frame over limit', 'header-count-exceeded'],
  ['SEND without a destination', 'SEND\n\nx\0', 'Missing header', 'header-missing'],
  ['SEND to no destination', 'SEND\ndestination:somewhere\n\nx\0', 'Invalid destination', 'destination-invalid'],
  ['SUBSCRIBE without an id', 'SUBSCRIBE\ndestination:/topic/a\n\n\0', 'Missing header', 'header-missing'],
  ['UNSUBSCRIBE of nothing', 'UNSUBSCRIBE\nid:9\n\n\0', 'No subscription found', 'subscription-unknown'],
  ['ACK of nothing', 'ACK\nid:1-1-1\n\n\0', 'Invalid header', 'ack-unknown'],
  ['COMMIT of nothing', 'COMMIT\ntransaction:t\n\n\0', 'Bad transaction', 'transaction-unknown'],
  [
    'a transaction begun twice',
    'BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0',
    'Bad transaction',
    'transaction-exists',
  ],
] as const;

const STOMP_FIRST = [
  ['a SEND', 'SEND\ndestination:/topic/a\n\nx\0', 'Illegal command', 'connect-expected'],
  ['a SUBSCRIBE', 'SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0', 'Illegal command', 'connect-expected'],
  ['a version that is none', 'CONNECT\naccept-version:7.0\nhost:/\n\n\0', 'Version mismatch', 'version-unsupported'],
  ['a header without a colon', 'CONNECT\nhost\n\n\0', 'malformed frame received', 'header-malformed'],
  ['a login without a passcode', 'CONNECT\naccept-version:1.2\nhost:/\nlogin:x\n\n\0', 'Bad CONNECT', 'login-refused'],
] as const;

describe.each(STOMP_CARRIERS)('STOMP over %s', (_carrier, open) => {
  const raw = async () => broker.keep(await open());
  const errorIn = (answer: Buffer): string => /ERROR\nmessage:([^\n]*)\n/.exec(answer.toString())?.[1] ?? '';

  it.each(STOMP_FRAMES)('answers ERROR to %s, and closes', async (_what, frame, message, code) => {
    const client = (await raw()).send(CONNECT_STOMP);
    await client.atLeast(20);
    const answer = await client.send(frame).end();
    expect(errorIn(answer)).toBe(message);
    expect(answer.at(-1)).toBe(0);
    expect(codes()).toEqual([code]);
  });

  it.each(STOMP_FIRST)(
    'answers ERROR to %s in the place of CONNECT, and closes',
    async (_what, frame, message, code) => {
      const answer = await (await raw()).send(frame).end();
      expect(errorIn(answer)).toBe(message);
      expect(codes()).toEqual([code]);
      if (code === 'version-unsupported') expect(answer.toString()).toContain('\nversion:1.0,1.1,1.2\n');
    },
  );

  it('closes when more than connection.preAuthBytesMax comes before CONNECT is complete', async () => {
    const client = await raw();
    client.send('CONNECT\naccept-version:1.2\n');
    for (let i = 0; i < 90; i++) client.send(`h${i}:${'x'.repeat(900)}\n`);
    const answer = await client.end();
    expect(answer.length === 0 || errorIn(answer) === 'Frame over limit').toBe(true);
    expect(codes().length).toBe(1);
  });
});

// ---- neither

describe('at any listener', () => {
  it.each([
    ['nothing known', Buffer.from('\x05\x01\x00hello'), 'protocol-unknown'],
    ['TLS', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), 'tls-on-plain-listener'],
    ['HTTP by another name', Buffer.from('CONNECT a:443 HTTP/1.1\r\n\r\n'), 'protocol-unknown'],
    ['a STOMP frame of the server', Buffer.from('CONNECTED\nversion:1.2\n\n\0'), 'protocol-unknown'],
  ])('%s is closed without a word', async (_what, first, code) => {
    for (const port of Object.values(broker.ports) as number[]) {
      expect(await (await RawClient.tcp(port)).send(first).end()).toEqual(Buffer.alloc(0));
    }
    expect(codes()).toEqual([code, code, code]);
  });

  it.each([
    ['a bad request line', 'GET / HTTP/9.9\r\n\r\n', '400'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nhost\r\n\r\n', '400'],
    ['headers without end', `GET / HTTP/1.1\r\nhost: x\r\n${'x: y\r\n'.repeat(10_000)}`, '431'],
    ['a WebSocket nowhere', upgrade('/nowhere', ''), '404'],
    ['a WebSocket for another page', upgrade('/ws', 'origin: https://elsewhere.example\r\n'), '403'],
    ['a WebSocket for another protocol', upgrade('/ws', 'sec-websocket-protocol: wamp\r\n'), '400'],
    ['a WebSocket without its key', upgrade('/ws', '').replace(/sec-websocket-key: [^\r]*\r\n/, ''), '400'],
  ])('HTTP with %s gets its status and is closed', async (_what, request, status) => {
    for (const port of Object.values(broker.ports) as number[]) {
      const answer = await (await RawClient.tcp(port)).send(request).end();
      expect(answer.toString()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    }
  });

  it.each([
    ['an unmasked frame', Buffer.from([0x82, 1, 0x10]), 1002],
    ['a reserved opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002],
    ['a reserved bit', Buffer.from([0xc2, 0x80, 0, 0, 0, 0]), 1002],
    ['a control frame in parts', Buffer.from([0x09, 0x80, 0, 0, 0, 0]), 1002],
    ['a frame of 2^40 bytes', Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1009],
  ])('a WebSocket is closed with its code on %s', async (_what, frame, code) => {
    const client = await RawClient.tcp(broker.ports.http);
    client.send(upgrade('/mqtt', 'sec-websocket-protocol: mqtt\r\n'));
    await client.atLeast(100);
    const answer = await client.send(frame).end();
    const closing = answer.subarray(answer.indexOf('\r\n\r\n') + 4);
    expect([closing[0], closing.readUInt16BE(2)]).toEqual([0x88, code]);
    expect(codes().length).toBe(1);
  });

  it('MQTT in text frames is refused', async () => {
    const client = await RawClient.tcp(broker.ports.http);
    client.send(upgrade('/mqtt', 'sec-websocket-protocol: mqtt\r\n'));
    await client.atLeast(100);
    // "hello", masked with zeros.
    const answer = await client
      .send(Buffer.concat([Buffer.from([0x81, 0x85, 0, 0, 0, 0]), Buffer.from('hello')]))
      .end();
    const closing = answer.subarray(answer.indexOf('\r\n\r\n') + 4);
    expect(closing[0]).toBe(0x88);
    expect(codes().length).toBe(1);
  });
});

function upgrade(path: string, more: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`;
}

// ---- slowness and size

describe('a handshake that takes too long', () => {
  it.each([
    ['nothing at all', ''],
    ['half a CONNECT of MQTT', CONNECT_5.subarray(0, 9)],
    ['half a CONNECT of STOMP', 'CONNECT\naccept-version:1.2\n'],
    ['half a request of HTTP', 'GET /demo HTTP/1.1\r\nhost:'],
    ['a WebSocket and then nothing', upgrade('/mqtt', 'sec-websocket-protocol: mqtt\r\n')],
    ['line ends for ever', '\n\n\n'],
  ])('is closed, with a line that says so: %s', async (_what, first) => {
    await broker.close();
    await start({ ...SMALL, connection: { handshakeTimeoutMs: 600 } });
    const ports = Object.values(broker.ports) as number[];
    const clients = await Promise.all(ports.map((port) => RawClient.tcp(port)));
    for (const client of clients) if (first.length > 0) client.send(first);
    for (const client of clients) await client.end();
    expect(codes()).toEqual(ports.map(() => 'handshake-timeout'));
    expect(broker.complaints[0]?.message).toMatch(/within 600 ms$/);
  });

  it('is closed however busily it sends: a CONNECT byte by byte', async () => {
    await broker.close();
    await start({ ...SMALL, connection: { handshakeTimeoutMs: 600 } });
    const client = await RawClient.tcp(broker.ports.mqtt);
    const long = bytes(0x10, 0xff, 0x7f, 0, 4, 'MQTT', 5, 2, 0, 0, 0, 0x3f, 0x00);
    let at = 0;
    const drip = setInterval(() => client.send(Uint8Array.of(long[at++] ?? 0x61)), 5);
    await client.end();
    clearInterval(drip);
    expect(at).toBeGreaterThan(5);
    expect(codes()).toEqual(['handshake-timeout']);
  });
});

describe('a length that is only declared', () => {
  /** Bytes of all buffers, after what is garbage has had a chance to go. */
  const bufferBytes = (): number => process.memoryUsage().arrayBuffers;

  it('costs no memory, in MQTT, STOMP and WebSocket', async () => {
    await broker.close();
    await start();
    const before = bufferBytes();
    const clients: RawClient[] = [];
    for (let i = 0; i < 30; i++) {
      const mqtt = await RawClient.tcp(broker.ports.mqtt);
      // A PUBLISH of almost the megabyte that is allowed, of which nothing but its beginning comes.
      mqtt.send(bytes(0x10, 14, 0, 4, 'MQTT', 5, 2, 0, 0, 0, 0, 1, String.fromCharCode(65 + i)));
      mqtt.send(bytes(0x30, 0xf0, 0xff, 0x3f, 0, 1, 'a', 0, 'xyz'));
      const stomp = await RawClient.tcp(broker.ports.stomp);
      stomp.send(`${CONNECT_STOMP}SEND\ndestination:/topic/a\ncontent-length:1000000\n\nxyz`);
      const ws = await RawClient.tcp(broker.ports.http);
      ws.send(upgrade('/mqtt', 'sec-websocket-protocol: mqtt\r\n'));
      await ws.atLeast(100);
      ws.send(bytes(0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0, 0, 0, 0, CONNECT_5));
      clients.push(mqtt, stomp, ws);
      await mqtt.atLeast(5);
      await stomp.atLeast(20);
      broker.keep(mqtt);
      broker.keep(stomp);
      broker.keep(ws);
    }
    await undisturbed();
    // 90 megabytes were declared.
    await until('the buffers to be small', () => bufferBytes() - before < 8 * MIB);
    expect(codes()).toEqual([]);
  });
});
