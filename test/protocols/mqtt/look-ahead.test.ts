// Looking ahead over a chunk must never change what is found, only when it is read.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import { LookAhead } from '../../../protocols/mqtt/look-ahead.ts';
import { type Packet, PINGREQ, puback, publish } from '../../../protocols/mqtt/packet.ts';
import { ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { TOPIC_EXCHANGE } from '../../../src/core/address.ts';
import { RouteChanges } from '../../../src/core/route-changes.ts';
import type { Texts } from '../../../src/core/route-generation.ts';
import { Route, RouteTable } from '../../../src/core/route-table.ts';
import { RoutingKey } from '../../../src/core/routing-key.ts';
import { hashBytes } from '../../../src/lib/byte-hash.ts';
import { MqttClient } from '../../support/mqtt-client.ts';
import { World } from '../../support/world.ts';

class WatchedTable extends RouteTable {
  readonly asked: number[] = [];
  override lookupAll(texts: Texts, changes: RouteChanges): void {
    this.asked.push(...texts.hashes.subarray(0, texts.count));
    super.lookupAll(texts, changes);
  }
}

/** What it says of the topic bytes[start, topicEnd): its hash, and the key of its route. */
function find(
  ahead: LookAhead,
  table: RouteTable,
  bytes: Buffer,
  start: number,
  topicEnd: number,
  packetEnd: number,
  changes = new RouteChanges(),
): [number, string | null] {
  const route = ahead.find(table, changes, bytes, start, topicEnd, packetEnd, bytes.length);
  return [ahead.hash, route === null ? null : route.key.path];
}

function insert(table: RouteTable, path: string, changes: RouteChanges): void {
  const bytes = Buffer.from(path);
  table.insert(new Route(TOPIC_EXCHANGE, new RoutingKey(path)), bytes, 0, bytes.length, changes.generation);
}

const topic = fc.oneof(fc.constantFrom('a', 'b', 'b/c', 'b/d'), fc.string({ minLength: 1, maxLength: 300 }));
const packet: fc.Arbitrary<Packet> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.tuple(topic, fc.nat(400)).map(([to, size]) => publish(to, { payload: Buffer.alloc(size) })),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 65_535 }).map((id) => puback(id)) },
  { weight: 1, arbitrary: fc.constant(PINGREQ) },
);

describe('look-ahead', () => {
  test('knows every topic it is asked for, in whatever stands around it and wherever the chunk ends, and its route where the table has one', () => {
    fc.assert(
      fc.property(
        fc.array(packet, { maxLength: 200, size: 'max' }),
        fc.nat(30),
        fc.nat(200),
        (packets, cut, skipped) => {
          const ahead = new LookAhead();
          const table = new RouteTable(1000, 1e6);
          const changes = new RouteChanges();
          for (const known of ['a', 'b/c', 'b/d']) insert(table, known, changes);
          const frames = packets.map((one) => encode(one, ProtocolVersion.V311));
          const bytes = Buffer.concat([Buffer.from('..'), ...frames]);
          const end = Math.max(2, bytes.length - cut);
          ahead.reset();
          let pos = 2;
          for (const [i, frame] of frames.entries()) {
            const packetEnd = pos + frame.length;
            const one = packets[i]!;
            // Not all are asked for: a packet of another kind, or the topic of the one before.
            if ('topic' in one && i % 7 !== skipped % 7 && packetEnd <= end) {
              const size = Buffer.byteLength(one.topic as string);
              const start = bytes.indexOf(Buffer.from(one.topic as string), pos + 2);
              const route = ahead.find(table, changes, bytes, start, start + size, packetEnd, end);
              expect(ahead.hash).toBe(hashBytes(bytes, start, start + size));
              if (route !== null) expect(route.key.path).toBe(one.topic);
              expect(table.lookupTrue(bytes, start, start + size, ahead.hash, changes)).toBe(
                route ?? table.lookup(bytes, start, start + size),
              );
            }
            pos = packetEnd;
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('asks for many topics at a time, for none twice, and not for a topic that repeats', () => {
    const table = new WatchedTable(1000, 1e6);
    const changes = new RouteChanges();
    insert(table, 'a', changes);
    insert(table, 'c', changes);
    const ahead = new LookAhead();
    const topics = ['a', 'b', 'b', 'b', 'c', 'a', 'd'];
    const frames = topics.map((name) => encode(publish(name), ProtocolVersion.V311));
    const bytes = Buffer.concat(frames);
    const found: (string | null)[] = [];
    let pos = 0;
    for (const [i, frame] of frames.entries()) {
      const packetEnd = pos + frame.length;
      if (topics[i] !== topics[i - 1]) found.push(find(ahead, table, bytes, pos + 4, pos + 5, packetEnd, changes)[1]);
      pos = packetEnd;
    }
    expect(table.asked).toEqual(['a', 'b', 'c', 'a', 'd'].map((name) => hashBytes(Buffer.from(name), 0, 1)));
    expect(found).toEqual(['a', null, 'c', 'a', null]);
  });

  test('what it knows of routes does not outlive a change of the bindings, nor is it of another table', () => {
    const changes = new RouteChanges();
    const tables = [new RouteTable(1000, 1e6), new RouteTable(1000, 1e6)] as const;
    for (const name of ['a', 'b', 'c', 'd']) insert(tables[0], name, changes);
    const ahead = new LookAhead();
    const bytes = Buffer.concat(['a', 'b', 'c', 'd'].map((name) => encode(publish(name), ProtocolVersion.V311)));
    const at = (table: RouteTable, i: number) => find(ahead, table, bytes, i * 5 + 4, i * 5 + 5, i * 5 + 5, changes)[1];
    expect(at(tables[0], 0)).toBe('a');
    expect(at(tables[1], 1)).toBeNull();
    expect(at(tables[0], 2)).toBe('c');
    changes.topics('d');
    expect(at(tables[0], 3)).toBeNull();
  });

  test('the same places in other bytes are other topics', () => {
    const ahead = new LookAhead();
    const table = new RouteTable(1000, 1e6);
    const bytes = Buffer.concat(['a', 'b'].map((name) => encode(publish(name), ProtocolVersion.V311)));
    find(ahead, table, bytes, 4, 5, 5);
    bytes[9] = 'x'.charCodeAt(0);
    ahead.reset();
    expect(find(ahead, table, bytes, 9, 10, 10)[0]).toBe(hashBytes(Buffer.from('x'), 0, 1));
  });
});

test('with more topics than a processor has cache for, every message goes where its topic says', () => {
  const world = new World();
  const groups = ['even', 'odd'];
  const subscribers = groups.map((name) => {
    const client = MqttClient.connected(world, name);
    client.subscribe(`${name}/#`);
    return client;
  });
  const publisher = MqttClient.connected(world, 'p');
  publisher.chunkBytes = 10_007;
  const TOPICS = 12_000;
  const ROUNDS = 4;
  let place = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const packets = Array.from({ length: TOPICS }, () => {
      // A full cycle over the topics, in another order than they were made in.
      place = (place + 7919) % TOPICS;
      return publish(`${groups[place % 2]}/${place}`, { payload: Buffer.from(`${place}`) });
    });
    publisher.send(...packets);
    for (const [i, subscriber] of subscribers.entries()) {
      const got = subscriber.messages();
      const sent = packets.filter(({ topic: to }) => to.startsWith(groups[i]!));
      expect(got.map(({ topic: to, payload }) => `${to} ${Buffer.from(payload)}`)).toEqual(
        sent.map(({ topic: to, payload }) => `${to} ${Buffer.from(payload)}`),
      );
    }
  }
});
