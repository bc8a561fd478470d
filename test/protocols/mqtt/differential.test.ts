// The codec beside mqtt-packet, in both directions, on random packets that both can express.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FROM_CLIENT, FROM_SERVER } from '../../../protocols/mqtt/decode-options.ts';
import { decode, VERSION_UNKNOWN } from '../../../protocols/mqtt/decoder.ts';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import type { Packet } from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion, Sender } from '../../../protocols/mqtt/packet-type.ts';
import type { Properties } from '../../../protocols/mqtt/properties.ts';
import { packets } from './arbitraries.ts';
import { levelled, theirDecode, theirEncode } from './mqtt-packet.ts';

const CASES = Object.values(ProtocolVersion).flatMap((version) =>
  [Sender.CLIENT, Sender.SERVER].map((sender) => [version, sender] as const),
);

function propertiesOf(packet: Packet): Readonly<Properties>[] {
  if (packet.type === PacketType.PINGREQ || packet.type === PacketType.PINGRESP) return [];
  if (packet.type !== PacketType.CONNECT || packet.will === null) return [packet.properties];
  return [packet.properties, packet.will.properties];
}

/** Its parser forgets an empty value when the same name follows. */
function forgetsNothing(packet: Packet): boolean {
  return propertiesOf(packet).every((properties) => {
    const pairs = properties.userProperties ?? [];
    const names = pairs.filter((_, i) => i % 2 === 0);
    return new Set(names).size === names.length || !pairs.some((value, i) => i % 2 === 1 && value === '');
  });
}

/** Its parser does not know 0x8C in DISCONNECT, which table 2-6 of the specification lists and its table 3-13 does not. */
function knowsReason(packet: Packet): boolean {
  return packet.type !== PacketType.DISCONNECT || packet.reasonCode !== 0x8c;
}

/** Its generator refuses two forms of CONNECT that version 5 allows. */
function generates(packet: Packet): boolean {
  if (packet.type !== PacketType.CONNECT) return true;
  return !(packet.password !== null && packet.username === null) && !(packet.clientId === '' && !packet.clean);
}

describe.each(CASES)('version %i, sent by %i', (version, sender) => {
  it('mqtt-packet reads what the encoder writes', () => {
    let compared = 0;
    fc.assert(
      fc.property(
        packets(version, sender).filter((packet) => forgetsNothing(packet) && knowsReason(packet)),
        (packet) => {
          compared += 1;
          expect(levelled(theirDecode(encode(packet, version), version))).toEqual(levelled(packet));
        },
      ),
      { numRuns: 2_000 },
    );
    expect(compared).toBe(2_000);
  });

  it('the decoder reads what mqtt-packet writes', () => {
    let compared = 0;
    const options = sender === Sender.CLIENT ? FROM_CLIENT : FROM_SERVER;
    fc.assert(
      fc.property(packets(version, sender).filter(generates), (packet) => {
        compared += 1;
        const bytes = theirEncode(packet, version);
        const connectionVersion = packet.type === PacketType.CONNECT ? VERSION_UNKNOWN : version;
        expect(levelled(decode(bytes, connectionVersion, options))).toEqual(levelled(packet));
      }),
      { numRuns: 2_000 },
    );
    expect(compared).toBe(2_000);
  });
});
