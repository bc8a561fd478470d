// The encoder: exact sizes, bytes as in the vectors, translation to what each version can say, and packets made to fit a peer's Maximum Packet Size.
import { describe, expect, it } from 'vitest';
import { FROM_EITHER } from '../../../protocols/mqtt/decode-options.ts';
import { decode } from '../../../protocols/mqtt/decoder.ts';
import {
  encode,
  encodePacket,
  packetLength,
  trimToMaximum,
  withoutProblemInformation,
} from '../../../protocols/mqtt/encoder.ts';
import {
  auth,
  connack,
  connect,
  disconnect,
  type Packet,
  PINGREQ,
  properties,
  puback,
  publish,
  pubrel,
  suback,
  subscribe,
  subscription,
  unsuback,
  will,
} from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { VECTORS } from './vectors.ts';
import { hex, wire } from './wire.ts';

const { V31, V311, V5 } = ProtocolVersion;

describe('every valid frame in its shortest form is what the encoder writes', () => {
  it.each(VECTORS.filter((v) => v.packet !== null && v.canonical).map((v) => [`${v.version}: ${v.name}`, v] as const))(
    '%s',
    (_, { packet, version, bytes }) => {
      expect(packetLength(packet!, version)).toBe(bytes.length);
      expect(Buffer.from(encode(packet!, version)).equals(bytes)).toBe(true);
    },
  );
});

describe('encoder', () => {
  it('writes a longer form of a valid frame in fewer bytes', () => {
    for (const { packet, version, bytes, name } of VECTORS.filter((v) => v.packet !== null && !v.canonical)) {
      expect(packetLength(packet!, version), name).toBeLessThanOrEqual(bytes.length);
    }
  });

  it('writes where it is told and nowhere else', () => {
    for (const { packet, version, bytes, name } of VECTORS.filter((v) => v.packet !== null && v.canonical)) {
      for (const memory of [Buffer.alloc(bytes.length + 16, 0xee), new Uint8Array(bytes.length + 16).fill(0xee)]) {
        expect(encodePacket(packet!, version, memory, 9)).toBe(9 + bytes.length);
        expect(
          memory.subarray(0, 9).every((byte) => byte === 0xee),
          name,
        ).toBe(true);
        expect(
          memory.subarray(9 + bytes.length).every((byte) => byte === 0xee),
          name,
        ).toBe(true);
        expect(Buffer.from(memory.subarray(9, 9 + bytes.length)).equals(bytes), name).toBe(true);
      }
    }
  });

  it('refuses to write into too little room, and leaves it untouched', () => {
    const memory = new Uint8Array(10);
    expect(() => encodePacket(publish('topic', { payload: memory }), V5, memory, 0)).toThrow(RangeError);
    expect(() => encodePacket(PINGREQ, V5, memory, 9)).toThrow(RangeError);
    expect(memory.every((byte) => byte === 0)).toBe(true);
  });

  it('leaves out what MQTT 3 cannot say', () => {
    const explained = properties({ reasonString: 'why', userProperties: ['k', 'v'] });
    for (const version of [V31, V311]) {
      expect(hex(encode(puback(1, 0x97, explained), version))).toBe('40020001');
      expect(hex(encode(pubrel(1, 0x92, explained), version))).toBe('62020001');
      expect(hex(encode(suback(1, [0, 1, 2, 0x87, 0x8f], explained), version))).toBe('900700010001028080');
      expect(hex(encode(unsuback(1, [0, 0x11], explained), version))).toBe('b0020001');
      expect(hex(encode(disconnect(0x8e, explained), version))).toBe('e000');
      expect(hex(encode(publish('a', { properties: explained }), version))).toBe('3003000161');
      const options = { noLocal: true, retainAsPublished: true, retainHandling: 2 } as const;
      expect(hex(encode(subscribe(1, [subscription('a', 1, options)], explained), version))).toBe('8206000100016101');
      expect(hex(encode(connack(0x89, false, explained), version))).toBe('20020003');
    }
    expect(hex(encode(connack(0, true), V311))).toBe('20020100');
    expect(hex(encode(connack(0, true), V31))).toBe('20020000');
  });

  it('leaves out properties that the packet may not have', () => {
    const mixed = properties({ reasonString: 'why', topicAlias: 1, receiveMaximum: 5, willDelayIntervalS: 1 });
    expect(encode(publish('a', { properties: mixed }), V5)).toEqual(wire(`30 [ <'a'> [ 23 0001 ] ]`));
    expect(encode(puback(1, 0, mixed), V5)).toEqual(wire(`40 [ 0001 00 [ 1f <'why'> ] ]`));
    expect(encode(subscribe(1, [subscription('a', 0)], mixed), V5)).toEqual(wire(`82 [ 0001 00 <'a'> 00 ]`));
  });

  it.each([
    ['packet id 0', puback(0), V5],
    ['packet id 65,536', puback(65536), V5],
    ['a packet id that is no integer', puback(1.5), V5],
    ['packet id 0 at QoS 1', publish('a', { qos: 1 }), V311],
    ['a topic of 65,536 bytes', publish('a'.repeat(65536)), V311],
    ['a topic of 65,536 bytes in fewer characters', publish('ä'.repeat(32768)), V311],
    ['a topic with U+0000', publish('a\0'), V5],
    ['a client id with U+0000', connect({ clientId: '\0' }), V5],
    ['a keep-alive of 65,536', connect({ keepAliveS: 65536 }), V5],
    ['a password of 65,536 bytes', connect({ username: '', password: new Uint8Array(65536) }), V5],
    ['a will payload of 65,536 bytes', connect({ will: will('w', { payload: new Uint8Array(65536) }) }), V5],
    ['a password without a user name in MQTT 3', connect({ protocolVersion: V311, password: new Uint8Array(1) }), V311],
    ['a CONNACK without a return code in MQTT 3', connack(0x81), V311],
    ['AUTH in MQTT 3', auth(0), V311],
    ['a Receive Maximum of 0', connack(0, false, properties({ receiveMaximum: 0 })), V5],
    ['a Receive Maximum of 65,536', connack(0, false, properties({ receiveMaximum: 65536 })), V5],
    ['a Maximum QoS of 2', connack(0, false, properties({ maximumQos: 2 })), V5],
    ['an expiry that is negative', publish('a', { properties: properties({ messageExpiryIntervalS: -1 }) }), V5],
    ['an expiry that is no integer', publish('a', { properties: properties({ messageExpiryIntervalS: 0.5 }) }), V5],
    ['subscription identifier 0', publish('a', { properties: properties({ subscriptionIdentifiers: [0] }) }), V5],
    [
      'a subscription identifier above its bound',
      publish('a', { properties: properties({ subscriptionIdentifiers: [268435456] }) }),
      V5,
    ],
    [
      'a user property value of 65,536 bytes',
      disconnect(0, properties({ userProperties: ['k', 'x'.repeat(65536)] })),
      V5,
    ],
  ] satisfies [string, Packet, ProtocolVersion][])('refuses %s before anything is written', (_, packet, version) => {
    expect(() => packetLength(packet, version)).toThrow(RangeError);
  });

  it('refuses a packet whose length four bytes cannot say', () => {
    // The memory is never touched, so the system never provides it.
    const payload = new Uint8Array(268_435_455);
    expect(packetLength(publish('a', { payload: payload.subarray(0, 268_435_452) }), V311)).toBe(268_435_460);
    expect(() => packetLength(publish('a', { payload: payload.subarray(0, 268_435_453) }), V311)).toThrow(RangeError);
  });

  it('replaces half a surrogate pair by U+FFFD, so that what it writes is always UTF-8', () => {
    const bytes = encode(publish('a\ud800b'), V5);
    expect(decode(bytes, V5, FROM_EITHER)).toEqual(publish('a\ufffdb'));
  });
});

describe('trimToMaximum', () => {
  const reasonString = 'r'.repeat(20);
  const userProperties = ['k', 'v'.repeat(40)];
  const full = puback(1, 0x87, properties({ reasonString, userProperties }));
  const sizeOf = (packet: Packet): number => packetLength(packet, V5);
  const only = (fields: Parameters<typeof properties>[0]): Packet => puback(1, 0x87, properties(fields));

  it('returns the packet itself when it fits or nothing was announced', () => {
    expect(trimToMaximum(full, V5, sizeOf(full))).toBe(full);
    expect(trimToMaximum(full, V5, null)).toBe(full);
  });

  it('[MQTT-3.4.2-2] [MQTT-3.4.2-3] keeps the Reason String, else the User Properties, else neither', () => {
    expect(trimToMaximum(full, V5, sizeOf(full) - 1)).toEqual(only({ reasonString }));
    expect(trimToMaximum(full, V5, sizeOf(only({ reasonString })) - 1)).toEqual(puback(1, 0x87));
    const longReason = puback(1, 0x87, properties({ reasonString: 'r'.repeat(100), userProperties }));
    expect(trimToMaximum(longReason, V5, 60)).toEqual(only({ userProperties }));
    expect(trimToMaximum(full, V5, 5)).toEqual(puback(1, 0x87));
  });

  it('[MQTT-3.1.2-24] returns null when even the rest is too large', () => {
    expect(trimToMaximum(full, V5, 4)).toBeNull();
    expect(trimToMaximum(PINGREQ, V5, 1)).toBeNull();
  });

  it('[MQTT-3.3.2-17] never trims a PUBLISH', () => {
    const packet = publish('a', { properties: properties({ userProperties }) });
    expect(trimToMaximum(packet, V5, sizeOf(packet))).toBe(packet);
    expect(trimToMaximum(packet, V5, sizeOf(packet) - 1)).toBeNull();
  });

  it('keeps the other properties and does not change the packet it was given', () => {
    const packet = connack(0, false, properties({ reasonString, userProperties, assignedClientIdentifier: 'id' }));
    const expected = connack(0, false, properties({ assignedClientIdentifier: 'id' }));
    expect(trimToMaximum(packet, V5, sizeOf(expected))).toEqual(expected);
    expect(packet.properties.reasonString).toBe(reasonString);
  });

  it('never returns more than the maximum, for every maximum and every packet that may be trimmed', () => {
    const explained = properties({ reasonString, userProperties, authenticationMethod: 'm' });
    const packets = [
      connack(0, false, explained),
      full,
      suback(1, [0], explained),
      unsuback(1, [0], explained),
      disconnect(0, explained),
      auth(0x18, explained),
    ];
    for (const packet of packets) {
      for (let maximum = 1; maximum <= sizeOf(packet) + 1; maximum++) {
        const trimmed = trimToMaximum(packet, V5, maximum);
        if (trimmed !== null) expect(sizeOf(trimmed)).toBeLessThanOrEqual(maximum);
        if (maximum >= sizeOf(packet)) expect(trimmed).toBe(packet);
      }
    }
  });
});

describe('withoutProblemInformation', () => {
  const explained = properties({ reasonString: 'r', userProperties: ['k', 'v'], authenticationMethod: 'm' });

  it('[MQTT-3.1.2-29] takes Reason String and User Properties from all but PUBLISH, CONNACK and DISCONNECT', () => {
    expect(withoutProblemInformation(puback(1, 0x87, explained))).toEqual(
      puback(1, 0x87, properties({ authenticationMethod: 'm' })),
    );
    expect(withoutProblemInformation(suback(1, [0], explained)).properties.reasonString).toBeNull();
    expect(withoutProblemInformation(unsuback(1, [0], explained)).properties.userProperties).toBeNull();
    expect(withoutProblemInformation(auth(0x18, explained)).properties.authenticationMethod).toBe('m');
    for (const packet of [
      publish('a', { properties: explained }),
      connack(0, false, explained),
      disconnect(0, explained),
    ]) {
      expect(withoutProblemInformation(packet)).toBe(packet);
    }
  });

  it('returns the packet itself when there is nothing to take', () => {
    const packet = puback(1);
    expect(withoutProblemInformation(packet)).toBe(packet);
    expect(withoutProblemInformation(packet).type).toBe(PacketType.PUBACK);
  });
});
