// What is encoded decodes to the same packet, for random packets of every version and both senders; and streams of frames stay apart.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FROM_CLIENT, FROM_SERVER } from '../../../protocols/mqtt/decode-options.ts';
import { decode, decodePacket, VERSION_UNKNOWN } from '../../../protocols/mqtt/decoder.ts';
import { encode, encodePacket, packetLength } from '../../../protocols/mqtt/encoder.ts';
import { headerBytes, readFrameLength, remainingLength } from '../../../protocols/mqtt/frame.ts';
import type { Packet } from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion, Sender } from '../../../protocols/mqtt/packet-type.ts';
import { packets, propertiesIn } from './arbitraries.ts';

const CASES = Object.values(ProtocolVersion).flatMap((version) =>
  [Sender.CLIENT, Sender.SERVER].map((sender) => [version, sender] as const),
);

const optionsFor = (sender: Sender) => (sender === Sender.CLIENT ? FROM_CLIENT : FROM_SERVER);
const versionFor = (packet: Packet, version: ProtocolVersion) =>
  packet.type === PacketType.CONNECT ? VERSION_UNKNOWN : version;

describe.each(CASES)('version %i, sent by %i', (version, sender) => {
  it('decodes what was encoded, whole', () => {
    const seen = new Set<number>();
    fc.assert(
      fc.property(packets(version, sender), (packet) => {
        seen.add(packet.type);
        const bytes = encode(packet, version);
        expect(bytes.length).toBe(packetLength(packet, version));
        expect(decode(bytes, versionFor(packet, version), optionsFor(sender))).toEqual(packet);
      }),
      { numRuns: 1_500 },
    );
    expect(seen.size).toBeGreaterThanOrEqual(8);
  });

  it('finds the frames of a stream one after the other', () => {
    fc.assert(
      fc.property(
        fc.array(packets(version, sender), { maxLength: 6 }),
        fc.integer({ min: 0, max: 9 }),
        (list, offset) => {
          const total = list.reduce((size, packet) => size + packetLength(packet, version), offset);
          const stream = new Uint8Array(total).fill(0xff);
          let at = offset;
          for (const packet of list) at = encodePacket(packet, version, stream, at);
          expect(at).toBe(total);
          const decoded: Packet[] = [];
          for (let pos = offset; pos < total; ) {
            const frame = readFrameLength(stream, pos, total);
            const bodyStart = pos + headerBytes(frame);
            const end = bodyStart + remainingLength(frame);
            const isConnect = stream[pos]! >>> 4 === PacketType.CONNECT;
            decoded.push(
              decodePacket(stream, pos, bodyStart, end, isConnect ? VERSION_UNKNOWN : version, optionsFor(sender)),
            );
            pos = end;
          }
          expect(decoded).toEqual(list);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('user properties', () => {
  it('[MQTT-3.3.2-18] [MQTT-3.1.3-10] keep their order, their duplicates and their empty parts', () => {
    fc.assert(
      fc.property(propertiesIn(PacketType.PUBLISH, ['subscriptionIdentifiers']), (properties) => {
        fc.pre(properties.userProperties !== null);
        const packet: Packet = {
          type: PacketType.PUBLISH,
          dup: false,
          qos: 0,
          retain: false,
          topic: 'a',
          packetId: 0,
          payload: new Uint8Array(0),
          properties,
        };
        const again = decode(encode(packet, ProtocolVersion.V5), ProtocolVersion.V5, FROM_CLIENT);
        expect(again.type === PacketType.PUBLISH && again.properties.userProperties).toEqual(properties.userProperties);
      }),
    );
  });
});
