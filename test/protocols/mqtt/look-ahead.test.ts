// Looking ahead over a chunk must never change what is found, only when it is read.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import { LookAhead } from '../../../protocols/mqtt/look-ahead.ts';
import { type Packet, PINGREQ, puback, publish } from '../../../protocols/mqtt/packet.ts';
import { ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { RouteTable } from '../../../src/core/route-table.ts';
import { hashBytes } from '../../../src/lib/byte-hash.ts';
import { MqttClient } from '../../support/mqtt-client.ts';
import { World } from '../../support/world.ts';

class WatchedTable extends RouteTable {
  readonly asked: number[] = [];
  override prefetch(hashes: Uint32Array, lengths: Uint32Array, count: number): void {
    this.asked.push(...hashes.subarray(0, count));
    super.prefetch(hashes, lengths, count);
  }
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
  test('gives the hash of every topic it is asked for, in whatever stands around it and wherever the chunk ends', () => {
    fc.assert(
      fc.property(
        fc.array(packet, { maxLength: 200, size: 'max' }),
        fc.nat(30),
        fc.nat(200),
        (packets, cut, skipped) => {
          const ahead = new LookAhead();
          const table = new RouteTable(1000, 1e6);
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
              expect(ahead.hash(table, bytes, start, start + size, packetEnd, end)).toBe(
                hashBytes(bytes, start, start + size),
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
    const ahead = new LookAhead();
    const topics = ['a', 'b', 'b', 'b', 'c', 'a', 'd'];
    const frames = topics.map((name) => encode(publish(name), ProtocolVersion.V311));
    const bytes = Buffer.concat(frames);
    let pos = 0;
    for (const [i, frame] of frames.entries()) {
      const packetEnd = pos + frame.length;
      if (topics[i] !== topics[i - 1]) ahead.hash(table, bytes, pos + 4, pos + 5, packetEnd, bytes.length);
      pos = packetEnd;
    }
    expect(table.asked).toEqual(['a', 'b', 'c', 'a', 'd'].map((name) => hashBytes(Buffer.from(name), 0, 1)));
  });

  test('the same places in other bytes are other topics', () => {
    const ahead = new LookAhead();
    const table = new RouteTable(1000, 1e6);
    const bytes = Buffer.concat(['a', 'b'].map((name) => encode(publish(name), ProtocolVersion.V311)));
    ahead.hash(table, bytes, 4, 5, 5, 10);
    bytes[9] = 'x'.charCodeAt(0);
    ahead.reset();
    expect(ahead.hash(table, bytes, 9, 10, 10, 10)).toBe(hashBytes(Buffer.from('x'), 0, 1));
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
