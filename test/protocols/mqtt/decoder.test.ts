// The decoder against the table of vectors: whole, cut at every byte, with bytes appended, at other places in memory; then what the table cannot say.
import { describe, expect, it } from 'vitest';
import { peekProtocolLevel } from '../../../protocols/mqtt/connect-decoder.ts';
import { type DecodeOptions, FROM_CLIENT, FROM_EITHER, FROM_SERVER } from '../../../protocols/mqtt/decode-options.ts';
import {
  checkFirstByte,
  decode,
  decodePacket,
  decodePublish,
  VERSION_UNKNOWN,
} from '../../../protocols/mqtt/decoder.ts';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import { headerBytes, INCOMPLETE, readFrameLength, remainingLength } from '../../../protocols/mqtt/frame.ts';
import { connect, type Packet, publish, subscribe, subscription } from '../../../protocols/mqtt/packet.ts';
import { PACKET_NAMES, PacketType, ProtocolVersion, Sender } from '../../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES } from '../../../protocols/mqtt/properties.ts';
import { ProtocolError } from '../../../src/core/errors.ts';
import { VECTORS, type Vector } from './vectors.ts';
import { lengthPrefix, wire } from './wire.ts';

const { V31, V311, V5 } = ProtocolVersion;

function optionsFor(sender: Sender): DecodeOptions {
  return sender === Sender.CLIENT ? FROM_CLIENT : sender === Sender.SERVER ? FROM_SERVER : FROM_EITHER;
}

/** CONNECT brings its own version; everything else has that of its connection. */
function versionFor(bytes: Uint8Array, version: ProtocolVersion): ProtocolVersion | typeof VERSION_UNKNOWN {
  return bytes[0]! >>> 4 === PacketType.CONNECT ? VERSION_UNKNOWN : version;
}

function decodeVector({ bytes, version, sender }: Vector): Packet {
  return decode(bytes, versionFor(bytes, version), optionsFor(sender));
}

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return null;
}

/** The frame with another body behind the same first byte and a length that fits. */
function withBody(first: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(first, ...lengthPrefix(body.length)), body]);
}

function bodyOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(headerBytes(readFrameLength(bytes, 0, bytes.length)));
}

/** Every cut, but of a frame whose size is what it tests (a long string) only those around its ends and some between. */
function cuts(size: number): number[] {
  return Array.from({ length: size }, (_, i) => i).filter(
    (i) => size <= 1_000 || i < 50 || i > size - 50 || i % 997 === 0,
  );
}

/** Packets of which a part can be a whole packet: lists, payloads, fields that may be left out at the end. */
function mayBeCut(packet: Packet, version: ProtocolVersion): boolean {
  switch (packet.type) {
    case PacketType.PUBLISH:
    case PacketType.SUBSCRIBE:
    case PacketType.UNSUBSCRIBE:
    case PacketType.SUBACK:
    case PacketType.UNSUBACK:
      return true;
    case PacketType.CONNECT:
      return version === V31;
    default:
      return version === V5;
  }
}

function title({ name, version }: Vector): string {
  return `${version === V31 ? '3.1' : version === V311 ? '3.1.1' : '5'}: ${name}`;
}

const valid = VECTORS.filter((vector) => vector.packet !== null);
const invalid = VECTORS.filter((vector) => vector.error !== null);
const framed = VECTORS.filter((vector) => !vector.name.startsWith('a remaining length'));

describe('every valid frame is decoded', () => {
  it.each(valid.map((vector) => [title(vector), vector] as const))('%s', (_, vector) => {
    expect(decodeVector(vector)).toEqual(vector.packet);
  });
});

describe('every invalid frame is refused with its code', () => {
  it.each(invalid.map((vector) => [title(vector), vector] as const))('%s', (_, vector) => {
    const error = errorOf(() => decodeVector(vector));
    expect(error).toBeInstanceOf(ProtocolError);
    const { code, reason } = error as ProtocolError;
    expect({ code, reason }).toEqual(vector.error);
  });
});

describe('vectors, changed', () => {
  it('has packets of every type in every version that knows it, valid and invalid', () => {
    for (const version of [V31, V311, V5]) {
      for (const type of Object.values(PacketType)) {
        if (type === PacketType.AUTH && version !== V5) continue;
        const of = (list: Vector[]): number =>
          list.filter((vector) => vector.version === version && vector.bytes[0]! >>> 4 === type).length;
        expect(of(valid), `valid ${PACKET_NAMES[type]} of version ${version}`).toBeGreaterThan(0);
        expect(of(invalid), `invalid ${PACKET_NAMES[type]} of version ${version}`).toBeGreaterThan(0);
      }
    }
  });

  it('says incomplete for a frame whose length has not arrived, and the length as soon as it has', () => {
    for (const { bytes } of framed) {
      const size = headerBytes(readFrameLength(bytes, 0, bytes.length));
      for (let cut = 0; cut < bytes.length && cut < 8; cut++) {
        const frame = readFrameLength(bytes, 0, cut);
        if (cut < size) expect(frame).toBe(INCOMPLETE);
        else expect(headerBytes(frame) + remainingLength(frame)).toBe(bytes.length);
      }
    }
  });

  it('refuses a body cut anywhere, or takes what is a whole packet by itself, and throws nothing but ProtocolError', () => {
    let refused = 0;
    let taken = 0;
    for (const vector of valid) {
      const body = bodyOf(vector.bytes);
      for (const cut of cuts(body.length)) {
        const bytes = withBody(vector.bytes[0]!, body.subarray(0, cut));
        let packet: Packet;
        try {
          packet = decodeVector({ ...vector, bytes });
        } catch (error) {
          expect(error, `${title(vector)} cut at ${cut}`).toBeInstanceOf(ProtocolError);
          refused += 1;
          continue;
        }
        taken += 1;
        expect(mayBeCut(packet, vector.version), `${title(vector)} cut at ${cut} was taken`).toBe(true);
        // What was taken is fully accounted for: it says the same after encoding.
        const again = encode(packet, vector.version);
        const twice = encode(decodeVector({ ...vector, bytes: again }), vector.version);
        expect(Buffer.from(again).equals(twice), `${title(vector)} cut at ${cut}`).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(1_500);
    expect(taken).toBeGreaterThan(100);
  });

  it('throws nothing but ProtocolError for an invalid body cut anywhere', () => {
    for (const vector of invalid.filter((v) => framed.includes(v))) {
      const body = bodyOf(vector.bytes);
      for (const cut of cuts(body.length)) {
        const error = errorOf(() =>
          decodeVector({ ...vector, bytes: withBody(vector.bytes[0]!, body.subarray(0, cut)) }),
        );
        if (error !== null) expect(error, `${title(vector)} cut at ${cut}`).toBeInstanceOf(ProtocolError);
      }
    }
  });

  it('refuses a byte behind the last field of every packet that does not end in a list or a payload', () => {
    let refused = 0;
    for (const vector of valid) {
      const body = bodyOf(vector.bytes);
      const bytes = withBody(vector.bytes[0]!, Uint8Array.of(...body.subarray(0, 2_000), 0));
      if (body.length > 2_000 || mayBeCut(vector.packet!, vector.version)) continue;
      expect(
        errorOf(() => decodeVector({ ...vector, bytes })),
        title(vector),
      ).toMatchObject({ code: 'malformed-packet' });
      refused += 1;
    }
    expect(refused).toBeGreaterThan(40);
  });

  it('gives the same packet from the middle of a larger buffer, of whatever kind', () => {
    for (const vector of valid) {
      const frame = readFrameLength(vector.bytes, 0, vector.bytes.length);
      const size = vector.bytes.length;
      for (const memory of [
        new Uint8Array(size + 20),
        Buffer.alloc(size + 20),
        new Uint8Array(new SharedArrayBuffer(size + 20), 3, size + 15),
      ]) {
        memory.fill(0xff);
        memory.set(vector.bytes, 7);
        const version = versionFor(vector.bytes, vector.version);
        const packet = decodePacket(memory, 7, 7 + headerBytes(frame), 7 + size, version, optionsFor(vector.sender));
        // A view of a Buffer is a Buffer, which is not equal to a Uint8Array with the same bytes; its clone is.
        expect(Buffer.isBuffer(memory) ? structuredClone(packet) : packet).toEqual(vector.packet);
      }
    }
  });
});

describe('decoder', () => {
  it('hands out views of payload, password and binary properties, and strings of their own', () => {
    const bytes = wire(
      `10 [ <'MQTT'> 05 c6 0000 [ 15 <'m'> 16 <'data'> ] <'id'> [ 09 <'corr'> ] <'w'> <'will'> <'user'> <'pass'> ]`,
    );
    const packet = decode(bytes, VERSION_UNKNOWN, FROM_CLIENT);
    if (packet.type !== PacketType.CONNECT) throw new Error('not a CONNECT');
    bytes.fill(0x58);
    const seen = [
      packet.properties.authenticationData,
      packet.will?.properties.correlationData,
      packet.will?.payload,
      packet.password,
    ];
    expect(seen.map((view) => Buffer.from(view!).toString())).toEqual(['XXXX', 'XXXX', 'XXXX', 'XXXX']);
    expect([packet.clientId, packet.will?.topic, packet.username, packet.properties.authenticationMethod]).toEqual([
      'id',
      'w',
      'user',
      'm',
    ]);
  });

  it('gives packets without properties the one empty set', () => {
    for (const version of [V31, V311, V5]) {
      const packet = decode(encode(publish('a'), version), version, FROM_CLIENT);
      expect(packet.type === PacketType.PUBLISH && packet.properties).toBe(EMPTY_PROPERTIES);
    }
  });

  it('[MQTT-3.1.0-1] takes nothing but CONNECT while the version is unknown', () => {
    for (const bytes of [`c0 00`, `30 03 00 01 61`, `e0 00`, `f0 00`]) {
      expect(errorOf(() => decode(wire(bytes), VERSION_UNKNOWN, FROM_CLIENT))).toMatchObject({
        code: 'protocol-error',
        reason: 0x82,
      });
    }
  });

  it('accepts exactly the first bytes that a version and a sender may use', () => {
    const known = (type: number, version: ProtocolVersion, sender: Sender): boolean => {
      if (type === 0 || (type === 15 && version !== V5)) return false;
      if (sender === Sender.CLIENT) return ![2, 9, 11, 13].includes(type);
      if (sender === Sender.SERVER) return ![1, 8, 10, 12].includes(type) && !(type === 14 && version !== V5);
      return true;
    };
    const flagsAllowed = (type: number, flags: number, version: ProtocolVersion): boolean => {
      if (type === 3) return [0, 1, 2, 3, 4, 5, 10, 11, 12, 13].includes(flags);
      if ([6, 8, 10].includes(type)) return flags === 2 || (flags === 10 && version === V31);
      return flags === 0;
    };
    for (const version of [V31, V311, V5]) {
      for (const sender of [Sender.CLIENT, Sender.SERVER, Sender.EITHER]) {
        for (let first = 0; first < 256; first++) {
          const expected = known(first >>> 4, version, sender) && flagsAllowed(first >>> 4, first & 15, version);
          const error = errorOf(() => checkFirstByte(first, version, sender));
          expect(error === null, `0x${first.toString(16)} in version ${version} from ${sender}`).toBe(expected);
          if (error !== null) expect(error).toBeInstanceOf(ProtocolError);
        }
      }
    }
  });

  it('takes the levels of bridges when told to, and says so', () => {
    const options = { ...FROM_CLIENT, bridgeLevels: true };
    const v311 = decode(wire(`10 [ <'MQTT'> 84 02 0000 <'a'> ]`), VERSION_UNKNOWN, options);
    expect(v311).toEqual(connect({ protocolVersion: V311, bridge: true, clientId: 'a' }));
    const v31 = decode(wire(`10 [ <'MQIsdp'> 83 02 0000 <'a'> ]`), VERSION_UNKNOWN, options);
    expect(v31).toEqual(connect({ protocolVersion: V31, bridge: true, clientId: 'a' }));
    expect(encode(v311, V311)).toEqual(wire(`10 [ <'MQTT'> 84 02 0000 <'a'> ]`));
    // Version 5 has No Local and Retain As Published of its own.
    expect(errorOf(() => decode(wire(`10 [ <'MQTT'> 85 02 0000 00 <'a'> ]`), VERSION_UNKNOWN, options))).toMatchObject({
      code: 'unsupported-protocol-version',
    });
  });

  it('takes its limits from the options', () => {
    const options = { ...FROM_CLIENT, filtersMax: 2, userPropertiesMax: 1 };
    const two = subscribe(1, [subscription('a', 0), subscription('b', 0)]);
    expect(decode(encode(two, V5), V5, options)).toEqual(two);
    const three = subscribe(1, [...two.subscriptions, subscription('c', 0)]);
    expect(errorOf(() => decode(encode(three, V5), V5, options))).toMatchObject({
      code: 'quota-exceeded',
      reason: 0x97,
    });
    const pairs = wire(`30 [ <'a'> [ 26 <'k'> <'v'> 26 <'k'> <'v'> ] ]`);
    expect(errorOf(() => decode(pairs, V5, options))).toMatchObject({ code: 'quota-exceeded', reason: 0x97 });
  });

  it('decodes a frame known to be a PUBLISH without asking for its type', () => {
    const bytes = wire(`3b [ <'a'> 0001 'x' ]`);
    const packet = decodePublish(bytes, 0, 2, bytes.length, V311, FROM_CLIENT);
    expect(packet).toEqual(
      publish('a', { dup: true, qos: 1, retain: true, packetId: 1, payload: Uint8Array.of(0x78) }),
    );
    for (const first of [0x36, 0x3e, 0x38]) {
      const wrong = Uint8Array.from(bytes);
      wrong[0] = first;
      expect(errorOf(() => decodePublish(wrong, 0, 2, bytes.length, V311, FROM_CLIENT))).toMatchObject({
        code: 'malformed-packet',
      });
    }
  });

  it('finds the level a CONNECT claims, even when it cannot be decoded', () => {
    const level = (body: string): number => {
      const bytes = wire(body);
      return peekProtocolLevel(bytes, 0, bytes.length);
    };
    expect(level(`<'MQTT'> 04`)).toBe(4);
    expect(level(`<'MQTT'> 05 ff rubbish`.replace(' rubbish', ''))).toBe(5);
    expect(level(`<'MQIsdp'> 03 02`)).toBe(3);
    expect(level(`<'MQTT'> 09 02`)).toBe(9);
    for (const body of [``, `00`, `<'MQTT'>`, `<'MQIsdp'>`, `<'MQTX'> 04`, `<'HTTP'> 04`, `0005 'MQTT' 04`])
      expect(level(body)).toBe(0);
    // Bytes beyond the end of the frame are not looked at.
    expect(peekProtocolLevel(wire(`<'MQTT'> 04`), 0, 6)).toBe(0);
  });

  it('refuses a frame that is not exactly as long as it says', () => {
    for (const bytes of [``, `c0`, `c0 80`, `c0 01`, `c0 00 00`]) {
      expect(
        errorOf(() => decode(wire(bytes), V5, FROM_CLIENT)),
        bytes,
      ).toMatchObject({ code: 'malformed-packet' });
    }
  });

  it('names packet and field in its errors', () => {
    const error = errorOf(() => decode(wire(`32 03 00 01 61`), V5, FROM_CLIENT)) as ProtocolError;
    expect(error.message).toBe('PUBLISH ends within the packet identifier');
  });
});
