// The look at properties where they lie against the decoder: what it takes, the decoder takes, too, and sees the same in it.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FROM_CLIENT } from '../../../protocols/mqtt/decode-options.ts';
import { decodePublish } from '../../../protocols/mqtt/decoder.ts';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import { type Publish, publish } from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { PlainProperties } from '../../../protocols/mqtt/plain-properties.ts';
import type { Properties } from '../../../protocols/mqtt/properties.ts';
import { isPersistent, priorityOf } from '../../../protocols/mqtt/publish-form.ts';
import { ProtocolError } from '../../../src/core/errors.ts';
import { propertiesIn } from './arbitraries.ts';

const PAYLOAD = Buffer.from('payload');
/** First byte, remaining length, the topic "t". */
const BEFORE = [0x30, 0, 0, 1, 0x74];

/** A packet with these bytes where its property length and properties stand. */
function packetWith(block: readonly number[]): Buffer {
  const packet = Buffer.concat([Buffer.from(BEFORE), Buffer.from(block), PAYLOAD]);
  packet[1] = packet.length - 2;
  return packet;
}

/** What the decoder makes of it; null when it refuses. */
function decoded(packet: Buffer, at: number): Publish | null {
  try {
    return decodePublish(packet, 0, at, packet.length, ProtocolVersion.V5, FROM_CLIENT);
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

function takes(block: readonly number[], validatesFormat = false): boolean {
  const packet = packetWith(block);
  return new PlainProperties(validatesFormat).take(packet, BEFORE.length, packet.length);
}

describe('properties where they lie', () => {
  test('what is taken has what the decoder sees in it', () => {
    const plain = new PlainProperties(false);
    let taken = 0;
    fc.assert(
      fc.property(propertiesIn(PacketType.PUBLISH, ['subscriptionIdentifiers']), (fields) => {
        const packet = Buffer.from(
          encode(publish('t', { payload: PAYLOAD, properties: fields as Properties }), ProtocolVersion.V5),
        );
        const bodyStart = packet[1]! >= 0x80 ? 3 : 2;
        if (!plain.take(packet, bodyStart + 3, packet.length)) return;
        taken++;
        const seen = decoded(packet, bodyStart)!;
        expect(plain.expiryS).toBe(seen.properties.messageExpiryIntervalS ?? -1);
        expect(plain.alias).toBe(seen.properties.topicAlias ?? 0);
        expect(packet.length - plain.end).toBe(seen.payload.length);
        expect([priorityOf(seen), isPersistent(seen), plain.ordered]).toEqual([0, true, true]);
        if (plain.alias !== 0) expect(packet.readUIntBE(plain.aliasAt, 3)).toBe(0x23_0000 + plain.alias);
      }),
      { numRuns: 3000 },
    );
    expect(taken).toBeGreaterThan(1000);
  });

  test('whatever the bytes are, what is taken is what the decoder takes', () => {
    const plain = new PlainProperties(false);
    const one = fc.oneof(
      fc.constantFrom<number[]>(
        [0x01, 0],
        [0x01, 1],
        [0x01, 2],
        [0x02, 0, 0, 0, 9],
        [0x03, 0, 1, 0x78],
        [0x03, 0, 2, 0xc3, 0xa9],
        [0x03, 0, 2, 0xc3, 0x28],
        [0x03, 0, 1, 0],
        [0x08, 0, 1, 0x78],
        [0x08, 0, 0],
        [0x08, 0, 1, 0x23],
        [0x09, 0, 2, 0, 0xff],
        [0x0b, 1],
        [0x23, 0, 7],
        [0x23, 0, 0],
        [0x26, 0, 1, 0x6b, 0, 1, 0x76],
        [0x26, 0, 0, 0, 0],
        [0x26, 0, 1, 0x6b, 0, 2, 0x76],
        [0x99],
      ),
      fc.array(fc.nat({ max: 255 }), { maxLength: 3 }),
    );
    let [taken, refused] = [0, 0];
    fc.assert(
      fc.property(fc.array(one, { maxLength: 4 }), fc.integer({ min: -2, max: 2 }), (parts, wrong) => {
        const block = parts.flat();
        const size = block.length + (Math.abs(wrong) === 2 ? wrong / 2 : 0);
        if (size < 0) return;
        const packet = packetWith([size, ...block]);
        const seen = decoded(packet, 2);
        if (!plain.take(packet, BEFORE.length, packet.length)) {
          refused++;
          return;
        }
        taken++;
        expect(seen).not.toBeNull();
        expect(plain.alias).toBe(seen!.properties.topicAlias ?? 0);
        expect(packet.length - plain.end).toBe(seen!.payload.length);
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(500);
    expect(refused).toBeGreaterThan(500);
  });

  test('what the broker acts on takes the long way', () => {
    const pair = (name: string, value: string) => [
      ...Buffer.from([0x26, 0, name.length]),
      ...Buffer.from(name),
      0,
      value.length,
      ...Buffer.from(value),
    ];
    const block = (...parts: number[][]) => [parts.flat().length, ...parts.flat()];
    expect(takes(block(pair('priority', '5')))).toBe(false);
    expect(takes(block(pair('delivery-mode', '1')))).toBe(false);
    expect(takes(block(pair('k', 'v'), pair('priority', '5')))).toBe(false);
    expect(takes(block(pair('priority-', '5'), pair('Priority', '5'), pair('k', 'priority')))).toBe(true);
    expect(takes(block([0x01, 1]))).toBe(true);
    expect(takes(block([0x01, 1]), true)).toBe(false);
    expect(takes(block([0x01, 0]), true)).toBe(true);
    expect(takes([0])).toBe(true);
    // More bytes than the length needs; a length of three bytes.
    expect(takes([0x80, 0])).toBe(false);
    expect(takes([0x80, 0x80, 1])).toBe(false);
  });

  test('their order is noticed', () => {
    const plain = new PlainProperties(false);
    const orderedOf = (block: number[]): boolean => {
      const packet = packetWith([block.length, ...block]);
      expect(plain.take(packet, BEFORE.length, packet.length)).toBe(true);
      return plain.ordered;
    };
    const [format, alias, pair] = [
      [0x01, 0],
      [0x23, 0, 1],
      [0x26, 0, 0, 0, 0],
    ];
    expect(orderedOf([...format, ...alias, ...pair, ...pair])).toBe(true);
    expect(orderedOf([...alias, ...format])).toBe(false);
    expect(orderedOf([...pair, ...alias])).toBe(false);
  });
});
