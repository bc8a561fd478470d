// The hot loop of a connection against its object path: the same clients in two worlds, one of which takes every packet as an object. What comes out must be the same,
// byte for byte, however what goes in is cut.
import fc from 'fast-check';
import { afterAll, describe, expect, test, vi } from 'vitest';
import type { Connection } from '../../../protocols/mqtt/connection.ts';
import { FROM_SERVER } from '../../../protocols/mqtt/decode-options.ts';
import { decode } from '../../../protocols/mqtt/decoder.ts';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import { headerBytes, readFrameLength, remainingLength } from '../../../protocols/mqtt/frame.ts';
import {
  connect,
  type Packet,
  PINGREQ,
  properties,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  type Qos,
  subscribe,
  subscription,
  unsubscribe,
} from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import type { Counters } from '../../../src/core/counters.ts';
import { type Pipe, World } from '../../support/world.ts';

const { V31, V311, V5 } = ProtocolVersion;

/** How the bytes of one step reach the broker. */
interface Cut {
  /** Sizes of the chunks, over and over; none: all at once. */
  readonly sizes: readonly number[];
  /** Into the arena's read buffer, as a socket does. */
  readonly arena: boolean;
}

const WHOLE: Cut = { sizes: [], arena: false };

/** One client of one world. */
class Client {
  readonly version: ProtocolVersion;
  readonly pipe: Pipe;
  private readonly world: World;
  /** Everything received. */
  received: Buffer = Buffer.alloc(0);
  private parsed = 0;
  /** Acknowledgements it owes. */
  owed: Uint8Array[] = [];

  constructor(world: World, version: ProtocolVersion, hot: boolean) {
    this.world = world;
    this.version = version;
    this.pipe = world.connect();
    if (!hot) slow.connections.add([...world.mqttAdapter.connections].at(-1)!);
  }

  send(bytes: Uint8Array, cut: Cut): void {
    let at = 0;
    for (let i = 0; at < bytes.length && !this.pipe.isClosed; i++) {
      const size = cut.sizes.length === 0 ? bytes.length : cut.sizes[i % cut.sizes.length]!;
      const end = Math.min(bytes.length, at + size);
      if (cut.arena) this.sendThroughArena(bytes.subarray(at, end));
      else this.pipe.send(bytes.subarray(at, end));
      at = end;
    }
  }

  private sendThroughArena(bytes: Uint8Array): void {
    const { arena } = this.world;
    for (let at = 0; at < bytes.length && !this.pipe.isClosed; ) {
      const size = Math.min(bytes.length - at, arena.readEnd - arena.readStart);
      arena.bytes.set(bytes.subarray(at, at + size), arena.readStart);
      this.pipe.handler.onChunk(arena.bytes, arena.readStart, arena.readStart + size);
      arena.bytes.fill(0xdb, arena.readStart - 8192, arena.readStart + size);
      at += size;
    }
  }

  /** Takes what has come and notes what it has to answer. */
  take(): Packet[] {
    const taken = this.pipe.taken();
    if (taken.length > 0) this.received = Buffer.concat([this.received, taken]);
    const packets: Packet[] = [];
    for (;;) {
      const length = readFrameLength(this.received, this.parsed, this.received.length);
      if (length < 0) return packets;
      const end = this.parsed + headerBytes(length) + remainingLength(length);
      if (end > this.received.length) return packets;
      const packet = decode(Buffer.from(this.received.subarray(this.parsed, end)), this.version, FROM_SERVER);
      this.parsed = end;
      packets.push(packet);
      const answer = answerTo(packet);
      if (answer !== null) this.owed.push(encode(answer, this.version));
    }
  }
}

function answerTo(packet: Packet): Packet | null {
  switch (packet.type) {
    case PacketType.PUBLISH:
      if (packet.qos === 1) return puback(packet.packetId);
      return packet.qos === 2 ? pubrec(packet.packetId) : null;
    case PacketType.PUBREC:
      return packet.reasonCode < 0x80 ? pubrel(packet.packetId) : null;
    case PacketType.PUBREL:
      return pubcomp(packet.packetId);
    default:
      return null;
  }
}

/** Connections without a hot loop: it stops in front of everything. */
const slow = vi.hoisted(() => ({ connections: new WeakSet<object>(), stops: 0, taken: 0 }));
vi.mock('../../../protocols/mqtt/hot-loop.ts', async (original) => {
  const { takeHot } = await original<typeof import('../../../protocols/mqtt/hot-loop.ts')>();
  return {
    takeHot(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
      if (slow.connections.has(connection)) {
        slow.stops++;
        return start;
      }
      const next = takeHot(connection, bytes, start, end);
      slow.taken += next - start;
      return next;
    },
  };
});

afterAll(() => {
  // Else both sides went the same way.
  expect(slow.stops).toBeGreaterThan(1000);
  expect(slow.taken).toBeGreaterThan(100_000);
});

interface Member {
  readonly version: ProtocolVersion;
  /** Packets it sends once it is connected. */
  readonly first: readonly Packet[];
  readonly receiveMaximum: number;
  /** Takes no packet that is larger. */
  readonly maximumPacketSize?: number;
}

/** One world with all its clients. */
class Side {
  readonly world = new World({ seed: 7 });
  readonly clients: Client[] = [];

  constructor(members: readonly Member[], hot: boolean) {
    for (const [i, { version, first, receiveMaximum, maximumPacketSize = null }] of members.entries()) {
      const client = new Client(this.world, version, hot);
      const props = version === V5 ? properties({ receiveMaximum, maximumPacketSize }) : undefined;
      const hello = connect({ clientId: `c${i}`, protocolVersion: version, ...(props && { properties: props }) });
      client.send(Buffer.concat([hello, ...first].map((packet) => encode(packet, version))), WHOLE);
      this.clients.push(client);
    }
    this.settle();
  }

  settle(): void {
    this.world.settle();
    for (const client of this.clients) client.take();
  }

  /** Sends what a client owes. Returns whether it owed something. */
  answer(index: number, cut: Cut): boolean {
    const client = this.clients[index]!;
    const owed = Buffer.concat(client.owed.splice(0));
    if (owed.length === 0 || client.pipe.isClosed) return false;
    client.send(owed, cut);
    return true;
  }

  /** Until nobody owes anything. */
  finish(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > 10_000) throw new Error('the acknowledgements do not come to an end');
      let any = false;
      for (let i = 0; i < this.clients.length; i++) any = this.answer(i, WHOLE) || any;
      this.settle();
      if (!any) return;
    }
  }
}

function queues({ world }: Side): [string, number, number][] {
  const all = [...world.broker.vhosts.get('/')!.queues.values()];
  return all.map(({ name, readyCount, unsettledCount }) => [name, readyCount, unsettledCount]);
}

function counts(counters: Counters): Record<string, number> {
  return { ...counters };
}

// ---- scripts

interface Sent {
  readonly topic: number;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly bytes: number;
  readonly extras: Extras;
  readonly repeat: boolean;
}

/** In MQTT 5: nothing; properties of three kinds; an alias instead of the topic, alone, with other properties, with an expiry, with properties in an order that is not ours; an alias beside the topic. */
type Extras = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;
const ALIASES = 3;
const BY_ALIAS: readonly Extras[] = [4, 5, 6, 7];

type Step =
  | {
      readonly kind: 'publish';
      readonly client: number;
      readonly messages: readonly Sent[];
      /** What the client owes goes between the messages. */
      readonly acknowledging: boolean;
      readonly cut: Cut;
    }
  | { readonly kind: 'answer'; readonly client: number; readonly cut: Cut }
  | { readonly kind: 'subscribe' | 'unsubscribe'; readonly client: number; readonly filter: number; readonly qos: Qos }
  | { readonly kind: 'ping' | 'hangUp'; readonly client: number }
  | { readonly kind: 'garbage'; readonly client: number; readonly which: number; readonly before: number };

const TOPICS = [
  'a',
  'a/b',
  'a/b/c',
  'b/é/語',
  '$exchange/amq.fanout/x',
  `long/${'x'.repeat(200)}`,
  '$queue/jobs',
  '$queue/taken',
  'a/',
  '/',
  'nobody/is/here',
];
/** Published by others than client 0 only, which has subscribed to it: so it owes acknowledgements while it publishes. */
const OF_OTHERS = 3;
const FILTERS = ['a', 'a/#', 'a/+', '+/#', '#', 'b/é/+', '$exchange/amq.fanout/#', 'long/#', '/'];

/** What ends a connection, in whatever state it is. */
const GARBAGE: readonly number[][] = [
  // PUBLISH with QoS 3, without a packet identifier, with identifier 0, with a wildcard, with an empty topic, not UTF-8; a length that is too long, and one in five bytes.
  [0x36, 5, 0, 1, 0x61, 0, 1],
  [0x32, 3, 0, 1, 0x61],
  [0x32, 5, 0, 1, 0x61, 0, 0],
  [0x30, 3, 0, 1, 0x23],
  [0x30, 3, 0, 0, 0],
  [0x30, 4, 0, 2, 0xc3, 0x28],
  [0x30, 4, 0, 9, 0x61, 0x61],
  [0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 0x61],
  [0x30, 0x83, 0x80, 0x80, 0x80, 0x00, 0, 1, 0x61],
  // PUBACK with identifier 0, CONNACK from a client, type 0, flags that must not be there.
  [0x40, 2, 0, 0],
  [0x20, 2, 0, 0],
  [0x00, 0],
  [0x41, 2, 0, 1],
];

function cut(): fc.Arbitrary<Cut> {
  const size = fc.oneof(
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 1, max: 5000 }),
  );
  return fc.record({ sizes: fc.array(size, { maxLength: 6 }), arena: fc.boolean() });
}

const MESSAGE: fc.Arbitrary<Sent> = fc.record({
  // Mostly the same topic in a row: that is what runs are made of.
  topic: fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 2 }) },
    { weight: 1, arbitrary: fc.nat({ max: TOPICS.length - 1 }) },
  ),
  qos: fc.constantFrom<Qos>(0, 0, 1, 1, 2),
  retain: fc.nat({ max: 9 }).map((n) => n === 0),
  bytes: fc.oneof(
    { weight: 8, arbitrary: fc.nat({ max: 30 }) },
    { weight: 3, arbitrary: fc.integer({ min: 100, max: 300 }) },
    { weight: 1, arbitrary: fc.constantFrom(16_370, 16_384, 17_000, 65_536, 70_000) },
  ),
  extras: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0 as const) },
    { weight: 1, arbitrary: fc.constantFrom<Extras>(1, 2, 3) },
    { weight: 3, arbitrary: fc.constantFrom<Extras>(4, 5, 6, 7, 7, 8) },
  ),
  repeat: fc.nat({ max: 12 }).map((n) => n === 0),
});

function step(publishers: number, subscribers: number): fc.Arbitrary<Step> {
  const publisher = fc.nat({ max: publishers - 1 });
  const subscriber = fc.integer({ min: publishers, max: publishers + subscribers - 1 });
  const anybody = fc.nat({ max: publishers + subscribers - 1 });
  return fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('publish' as const),
        client: publisher,
        messages: fc.array(MESSAGE, { minLength: 1, maxLength: 12 }),
        acknowledging: fc.boolean(),
        cut: cut(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('answer' as const), client: anybody, cut: cut() }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constantFrom('subscribe' as const, 'unsubscribe' as const),
        client: subscriber,
        filter: fc.nat({ max: FILTERS.length - 1 }),
        qos: fc.constantFrom<Qos>(0, 1, 2),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('ping' as const), client: anybody }) },
  );
}

/** Makes the bytes of steps; the same for both sides. */
class Script {
  private readonly nextId: number[] = [];
  /** Of each client: the last packet with an identifier that it may repeat. */
  private readonly repeatable: (Buffer | null)[] = [];
  /** Of each client: what its aliases mean at the moment. There are fewer than topics. */
  private readonly aliased: Map<number, number>[] = [];
  private sequence = 0;

  framesOf(client: number, version: ProtocolVersion, messages: readonly Sent[]): Buffer[] {
    const frames: Buffer[] = [];
    for (const { topic, qos, retain, bytes, extras, repeat } of messages) {
      const again = this.repeatable[client];
      if (repeat && again != null) {
        frames.push(again);
        continue;
      }
      const packetId = qos === 0 ? 0 : this.id(client);
      const payload = Buffer.alloc(bytes, `${this.sequence++} `);
      const place = client === 0 && topic === OF_OTHERS ? 0 : topic;
      this.aliased[client] ??= new Map();
      const known = this.aliased[client];
      const alias = (place % ALIASES) + 1;
      // The first time, and when it has meant another topic, the alias is set.
      const byAlias = version === V5 && known.get(alias) === place && BY_ALIAS.includes(extras);
      if (version === V5 && extras >= 4) known.set(alias, place);
      const fields = { qos, retain, packetId, payload, ...extrasOf(version, extras, alias) };
      const encoded = Buffer.from(encode(publish(byAlias ? '' : TOPICS[place]!, fields), version));
      const frame = version === V5 && extras === 7 ? reordered(encoded) : encoded;
      frames.push(frame);
      if (qos === 2) {
        // A client that has lost its connection says it again, with DUP; one that is wrong, without.
        const again = Buffer.from(frame);
        if (packetId % 2 === 0) again[0]! |= 0x08;
        this.repeatable[client] = again;
      }
    }
    return frames;
  }

  id(client: number): number {
    const id = (this.nextId[client] ?? 0) + 1;
    this.nextId[client] = id;
    return id;
  }
}

/** The content type, the first of the properties, behind the others: an alias and a user property of 7 bytes. */
function reordered(frame: Buffer): Buffer {
  const contentType = Buffer.from([0x03, 0, 8, ...Buffer.from('text/csv')]);
  const at = frame.indexOf(contentType);
  const others = at + contentType.length;
  const end = others + 3 + 7;
  return Buffer.concat([frame.subarray(0, at), frame.subarray(others, end), contentType, frame.subarray(end)]);
}

function extrasOf(version: ProtocolVersion, extras: Extras, topicAlias: number) {
  if (version !== V5 || extras === 0) return {};
  if (extras === 1) return { properties: properties({ contentType: 'text/plain', userProperties: ['k', 'v'] }) };
  if (extras === 2)
    return { properties: properties({ messageExpiryIntervalS: 60, correlationData: Buffer.from([1, 2]) }) };
  if (extras === 3) return { properties: properties({ userProperties: ['priority', '5'], payloadFormat: 1 }) };
  if (extras === 5)
    return { properties: properties({ topicAlias, responseTopic: 'a/b', userProperties: ['k', 'é', 'k', ''] }) };
  if (extras === 6) return { properties: properties({ topicAlias, messageExpiryIntervalS: 60 }) };
  if (extras === 7)
    return { properties: properties({ topicAlias, contentType: 'text/csv', userProperties: ['k', 'v'] }) };
  return { properties: properties({ topicAlias }) };
}

function perform(side: Side, action: Step, frames: readonly Uint8Array[]): void {
  const client = side.clients[action.client]!;
  if (client.pipe.isClosed) return;
  switch (action.kind) {
    case 'publish':
      client.send(Buffer.concat(action.acknowledging ? mixed(frames, client.owed.splice(0)) : frames), action.cut);
      break;
    case 'answer':
      side.answer(action.client, action.cut);
      break;
    case 'hangUp':
      client.pipe.hangUp();
      break;
    default:
      client.send(Buffer.concat(frames), WHOLE);
  }
  side.settle();
}

/** One of these after the other, as long as there are both. */
function mixed(a: readonly Uint8Array[], b: readonly Uint8Array[]): Uint8Array[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => [a[i], b[i]])
    .flat()
    .filter((frame) => frame !== undefined);
}

function framesFor(script: Script, members: readonly Member[], action: Step): Uint8Array[] {
  const { version } = members[action.client]!;
  switch (action.kind) {
    case 'publish':
      return script.framesOf(action.client, version, action.messages);
    case 'subscribe':
      return [
        encode(subscribe(script.id(action.client), [subscription(FILTERS[action.filter]!, action.qos)]), version),
      ];
    case 'unsubscribe':
      return [encode(unsubscribe(script.id(action.client), [FILTERS[action.filter]!]), version)];
    case 'ping':
      return [encode(PINGREQ, version)];
    case 'garbage': {
      const before = Array.from(
        { length: action.before },
        (): Sent => ({ topic: 1, qos: 1, retain: false, bytes: 3, extras: 0, repeat: false }),
      );
      return [...script.framesOf(action.client, version, before), Buffer.from(GARBAGE[action.which]!)];
    }
    default:
      return [];
  }
}

/** Both sides, step by step; what each client has received so far must be the same. */
function compare(members: readonly Member[], steps: readonly Step[]): [Side, Side] {
  const script = new Script();
  const [hot, objects] = [new Side(members, true), new Side(members, false)];
  for (const action of steps) {
    const frames = framesFor(script, members, action);
    perform(hot, action, frames);
    perform(objects, action, frames);
    expectSame(hot, objects);
  }
  hot.finish();
  objects.finish();
  expectSame(hot, objects);
  expect(counts(hot.world.broker.counters)).toEqual(counts(objects.world.broker.counters));
  expect(queues(hot)).toEqual(queues(objects));
  expect(hot.world.arena.borrowedCount).toBe(0);
  return [hot, objects];
}

function expectSame(hot: Side, objects: Side): void {
  for (const [i, client] of hot.clients.entries()) {
    const other = objects.clients[i]!;
    if (!client.received.equals(other.received)) {
      expect({ client: i, received: describeBytes(client) }).toEqual({ client: i, received: describeBytes(other) });
      // Packets that say the same in other bytes.
      expect(client.received.toString('hex')).toBe(other.received.toString('hex'));
    }
    if (client.pipe.isClosed !== other.pipe.isClosed) throw new Error(`client ${i} is closed on one side only`);
  }
}

function describeBytes({ received, version }: Client): string[] {
  const packets: string[] = [];
  for (let at = 0; at < received.length; ) {
    const length = readFrameLength(received, at, received.length);
    const end = at + headerBytes(length) + remainingLength(length);
    const packet = decode(Buffer.from(received.subarray(at, end)), version, FROM_SERVER);
    packets.push(
      packet.type === PacketType.PUBLISH
        ? `${packet.topic} ${packet.qos} ${packet.packetId} ${packet.payload.length} ${JSON.stringify(packet.properties)}`
        : JSON.stringify(packet),
    );
    at = end;
  }
  return packets;
}

const ENDLESS = 65_535;

function subscriber(
  version: ProtocolVersion,
  filter: string,
  qos: Qos,
  receiveMaximum = ENDLESS,
  identifier = 0,
): Member {
  const props = version === V5 && identifier !== 0 ? properties({ subscriptionIdentifiers: [identifier] }) : undefined;
  return { version, first: [subscribe(60_000, [subscription(filter, qos)], props)], receiveMaximum };
}

function publisher(version: ProtocolVersion): Member {
  return { version, first: [], receiveMaximum: ENDLESS };
}

const MEMBERS: readonly Member[] = [
  subscriber(V311, TOPICS[OF_OTHERS]!, 1),
  publisher(V5),
  subscriber(V311, 'a/#', 0),
  subscriber(V5, 'a/#', 2),
  subscriber(V5, '#', 1, 3, 42),
  { ...subscriber(V5, 'a/#', 0), maximumPacketSize: 120 },
  { ...subscriber(V5, 'a/#', 2), maximumPacketSize: 120 },
  subscriber(V31, '+/b', 1),
  subscriber(V5, '$share/g/a/#', 1),
  subscriber(V311, '$queue/jobs', 1),
  subscriber(V5, '$queue/taken', 0),
];
const PUBLISHERS = 2;
/** Those that may subscribe to more: shared and named queues are another order of things, see below. */
const SUBSCRIBERS = 6;

describe('with and without the hot loop', () => {
  test('random clients get the same bytes', () => {
    fc.assert(
      fc.property(fc.array(step(PUBLISHERS, SUBSCRIBERS), { maxLength: 25, size: 'max' }), (steps) => {
        compare(MEMBERS, steps);
      }),
      { numRuns: 40 },
    );
  });

  test('random clients of one version get the same bytes', () => {
    for (const version of [V31, V311, V5]) {
      const members = [
        publisher(version),
        publisher(version),
        subscriber(version, 'a/+', 2),
        subscriber(version, '#', 1),
        subscriber(version, 'a', 0),
      ];
      fc.assert(
        fc.property(fc.array(step(2, 3), { maxLength: 20, size: 'max' }), (steps) => {
          compare(members, steps);
        }),
        { numRuns: 20 },
      );
    }
  });

  test('topics by alias, with whatever stands beside it', () => {
    const sent = (extras: Extras, topic: number): Sent => ({
      topic,
      qos: 0,
      retain: false,
      bytes: 5,
      extras,
      repeat: false,
    });
    const all: readonly Extras[] = [8, 4, 5, 6, 7, 8, 1, 4];
    // 0 and 3 have one alias: it means now the one, now the other.
    const messages = [0, 1, 0, 3, 0].flatMap((topic) => all.map((extras) => sent(extras, topic)));
    const members = [subscriber(V311, 'none', 0), publisher(V5), subscriber(V5, '#', 0), subscriber(V311, '#', 0)];
    for (const sizes of [[], [7]]) {
      compare(members, [{ kind: 'publish', client: 1, messages, acknowledging: false, cut: { sizes, arena: false } }]);
    }
  });

  test('what is wrong ends a connection at the same point, with the same words', () => {
    const garbage = fc.record({
      kind: fc.constant('garbage' as const),
      client: fc.nat({ max: 1 }),
      which: fc.nat({ max: GARBAGE.length - 1 }),
      before: fc.nat({ max: 4 }),
    });
    fc.assert(
      fc.property(
        fc.array(step(PUBLISHERS, SUBSCRIBERS), { maxLength: 8, size: 'max' }),
        garbage,
        fc.array(step(PUBLISHERS, SUBSCRIBERS), { maxLength: 4 }),
        (before, wrong, after) => {
          compare(MEMBERS, [...before, wrong, ...after]);
        },
      ),
      { numRuns: 80 },
    );
    for (let which = 0; which < GARBAGE.length; which++) {
      const [hot] = compare(MEMBERS, [{ kind: 'garbage', client: which % 2, which, before: 3 }]);
      expect(hot.clients[which % 2]!.pipe.isClosed).toBe(true);
    }
  });

  test('a client that subscribes to what it publishes gets the same messages and the same answers, each in the same order', () => {
    const member: Member = { version: V5, first: [subscribe(60_000, [subscription('a/#', 2)])], receiveMaximum: 5 };
    fc.assert(
      fc.property(fc.array(step(1, 1), { maxLength: 15, size: 'max' }), (steps) => {
        const members = [member, subscriber(V311, '#', 1)];
        const script = new Script();
        const [hot, objects] = [new Side(members, true), new Side(members, false)];
        for (const step of steps) {
          // A PUBREL among the acknowledgements may stand before a repetition of its PUBLISH on one side and behind it on the other: without repetitions there.
          const action =
            step.kind === 'publish' && step.acknowledging
              ? { ...step, messages: step.messages.map((message) => ({ ...message, repeat: false })) }
              : step;
          const frames = framesFor(script, members, action);
          perform(hot, action, frames);
          perform(objects, action, frames);
        }
        hot.finish();
        objects.finish();
        const [own, other] = [hot, objects].map(({ clients }) => {
          const packets = describeBytes(clients[0]!);
          // Acknowledgements that stand between messages make room at another point, so what may be lost can pass what waits; MQTT orders each by itself.
          return {
            mayBeLost: packets.filter((line) => /^[^{]\S* 0 /.test(line)),
            acknowledged: packets.filter((line) => /^[^{]\S* [12] /.test(line)),
            answers: packets.filter((line) => /"type":[45]/.test(line)),
          };
        });
        expect(own).toEqual(other);
        expect(hot.clients[1]!.received.equals(objects.clients[1]!.received)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
});

describe('a queue that refuses', () => {
  test('refuses what has no room, not what came in the same chunk', () => {
    const limits = properties({ userProperties: ['x-max-length', '5', 'x-overflow', 'reject-publish'] });
    const worker: Member = {
      version: V5,
      first: [subscribe(60_000, [subscription('$queue/jobs', 1)], limits)],
      receiveMaximum: 2,
    };
    const messages = Array.from(
      { length: 12 },
      (): Sent => ({ topic: TOPICS.indexOf('$queue/jobs'), qos: 1, retain: false, bytes: 5, extras: 0, repeat: false }),
    );
    const [hot] = compare(
      [publisher(V5), worker],
      [{ kind: 'publish', client: 0, messages, acknowledging: false, cut: WHOLE }],
    );
    // Two with the worker, five in the queue.
    const refused = describeBytes(hot.clients[0]!).filter((line) => line.includes('"reasonCode":151'));
    expect(refused).toHaveLength(5);
  });
});

describe('cut at every byte', () => {
  const messages: Sent[] = ([0, 1, 2, 1, 1, 0, 0] as const).flatMap((qos, i) => [
    { topic: i % 3, qos, retain: i === 4, bytes: [0, 150, 1, 0, 2, 3, 1][i]!, extras: i === 5 ? 1 : 0, repeat: false },
    { topic: 1, qos: 1, retain: false, bytes: 2, extras: 0, repeat: false },
  ]);

  test.each([
    ['3.1.1', V311],
    ['5.0', V5],
  ] as const)('a stream of MQTT %s gives the bytes it gives in one piece', (_name, version) => {
    const members = [publisher(version), subscriber(V311, 'a/#', 1), subscriber(V5, '#', 2)];
    const bytes = Buffer.concat(new Script().framesOf(0, version, messages));
    const outcome = (sizes: readonly number[], hot: boolean, arena: boolean): Buffer[] => {
      const side = new Side(members, hot);
      side.clients[0]!.send(bytes, { sizes, arena });
      side.settle();
      side.finish();
      return side.clients.map(({ received }) => received);
    };
    const expected = outcome([], false, false);
    expect(expected[1]!.length).toBeGreaterThan(250);
    const same = (sizes: readonly number[], arena: boolean): void => {
      const got = outcome(sizes, true, arena);
      for (const [i, received] of got.entries())
        expect([sizes, i, received.equals(expected[i]!)]).toEqual([sizes, i, true]);
    };
    for (let at = 1; at < bytes.length; at++) same([at, bytes.length], at % 2 === 0);
    same([1], false);
    same([1], true);
    same([2, 3], true);
  });
});

describe('the hot loop', () => {
  test('is what these tests go through: a run of publishes is one publish to the core', () => {
    for (const [hot, runs] of [
      [true, 1],
      [false, 10],
    ] as const) {
      const side = new Side([publisher(V5), subscriber(V5, 'a', 1)], hot);
      const { vhost } = [...side.world.mqttAdapter.connections][0]!;
      const publishRun = vhost.publish.bind(vhost);
      let calls = 0;
      vhost.publish = (run, route) => {
        calls++;
        return publishRun(run, route);
      };
      const messages = Array.from(
        { length: 10 },
        (): Sent => ({ topic: 0, qos: 1, retain: false, bytes: 5, extras: 0, repeat: false }),
      );
      side.clients[0]!.send(Buffer.concat(new Script().framesOf(0, V5, messages)), WHOLE);
      expect(calls).toBe(runs);
    }
  });
});
