// The table of reason codes, compared with the tables of another implementation, and the translation to the return codes of MQTT 3.
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { PacketType, Sender } from '../../../protocols/mqtt/packet-type.ts';
import {
  connackReturnCode,
  REASON_CODES,
  ReasonCode,
  reasonCodeAllowed,
  reasonCodeName,
  reasonOfConnackReturnCode,
  subackReturnCode,
} from '../../../protocols/mqtt/reason-codes.ts';

type CodeTable = Readonly<Record<string, string>>;

/** Not part of mqtt-packet's declared interface. */
const constants = createRequire(import.meta.url)('mqtt-packet/constants.js') as Readonly<
  Record<
    | 'MQTT5_PUBACK_PUBREC_CODES'
    | 'MQTT5_PUBREL_PUBCOMP_CODES'
    | 'MQTT5_SUBACK_CODES'
    | 'MQTT5_UNSUBACK_CODES'
    | 'MQTT5_DISCONNECT_CODES'
    | 'MQTT5_AUTH_CODES',
    CodeTable
  >
>;

function codesOf(type: PacketType, sender: Sender): number[] {
  return Array.from({ length: 256 }, (_, code) => code).filter((code) => reasonCodeAllowed(code, type, sender));
}

const theirs = (table: CodeTable): number[] => Object.keys(table).map(Number);

describe('reason codes', () => {
  it('has one row for each code of the specification, in order', () => {
    const codes = REASON_CODES.map((definition) => definition.code);
    expect(codes).toEqual([...new Set(Object.values(ReasonCode))].sort((a, b) => a - b));
    expect(codes).toHaveLength(43);
  });

  it.each([
    ['PUBACK', PacketType.PUBACK, constants.MQTT5_PUBACK_PUBREC_CODES],
    ['PUBREC', PacketType.PUBREC, constants.MQTT5_PUBACK_PUBREC_CODES],
    ['PUBREL', PacketType.PUBREL, constants.MQTT5_PUBREL_PUBCOMP_CODES],
    ['PUBCOMP', PacketType.PUBCOMP, constants.MQTT5_PUBREL_PUBCOMP_CODES],
    ['SUBACK', PacketType.SUBACK, constants.MQTT5_SUBACK_CODES],
    ['UNSUBACK', PacketType.UNSUBACK, constants.MQTT5_UNSUBACK_CODES],
    ['AUTH', PacketType.AUTH, constants.MQTT5_AUTH_CODES],
  ] as const)('allows in %s what mqtt-packet does', (_, type, table) => {
    expect(codesOf(type, Sender.EITHER)).toEqual(theirs(table));
  });

  it('allows in DISCONNECT what mqtt-packet does, and 0x8C, which table 2-6 lists', () => {
    const expected = [...theirs(constants.MQTT5_DISCONNECT_CODES), 0x8c].sort((a, b) => a - b);
    expect(codesOf(PacketType.DISCONNECT, Sender.EITHER)).toEqual(expected);
  });

  it('[MQTT-3.2.2-8] allows in CONNACK the codes of table 3-1', () => {
    const expected = [
      0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
      0x9c, 0x9d, 0x9f,
    ];
    expect(codesOf(PacketType.CONNACK, Sender.SERVER)).toEqual(expected);
    expect(codesOf(PacketType.CONNACK, Sender.CLIENT)).toEqual([]);
  });

  it('[MQTT-3.14.2-1] knows which codes of DISCONNECT a client and a server may send', () => {
    const client = [0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    expect(codesOf(PacketType.DISCONNECT, Sender.CLIENT)).toEqual(client);
    const either = codesOf(PacketType.DISCONNECT, Sender.EITHER);
    expect(codesOf(PacketType.DISCONNECT, Sender.SERVER)).toEqual(either.filter((code) => code !== 4));
  });

  it('[MQTT-3.15.2-1] lets only a server finish an authentication and only a client start it again', () => {
    expect(codesOf(PacketType.AUTH, Sender.CLIENT)).toEqual([0x18, 0x19]);
    expect(codesOf(PacketType.AUTH, Sender.SERVER)).toEqual([0, 0x18]);
  });

  it('allows none in packets without a reason code, and none that is no byte', () => {
    for (const type of [
      PacketType.CONNECT,
      PacketType.PUBLISH,
      PacketType.SUBSCRIBE,
      PacketType.UNSUBSCRIBE,
      PacketType.PINGREQ,
      PacketType.PINGRESP,
    ]) {
      expect(codesOf(type, Sender.EITHER)).toEqual([]);
    }
    expect(reasonCodeAllowed(256, PacketType.PUBACK, Sender.EITHER)).toBe(false);
    expect(reasonCodeAllowed(-1, PacketType.PUBACK, Sender.EITHER)).toBe(false);
  });

  it('names a code, and gives the number of one that has no name', () => {
    expect(reasonCodeName(0x87)).toBe('Not authorized');
    expect(reasonCodeName(0x42)).toBe('0x42');
    expect(reasonCodeName(0x03)).toBe('0x03');
  });
});

describe('return codes of MQTT 3', () => {
  it('says each refusal of CONNACK as the nearest return code, or as none [3.1.1 MQTT-3.2.2-6]', () => {
    const byReturnCode = new Map<number, number[]>();
    for (const code of codesOf(PacketType.CONNACK, Sender.SERVER)) {
      const returnCode = connackReturnCode(code);
      byReturnCode.set(returnCode, [...(byReturnCode.get(returnCode) ?? []), code]);
    }
    expect([...byReturnCode].sort(([a], [b]) => a - b)).toEqual([
      [-1, [0x81, 0x82, 0x90, 0x95, 0x99, 0x9a, 0x9b]],
      [0, [0]],
      [1, [0x84]],
      [2, [0x85]],
      [3, [0x80, 0x83, 0x88, 0x89, 0x97, 0x9c, 0x9d, 0x9f]],
      [4, [0x86]],
      [5, [0x87, 0x8a, 0x8c]],
    ]);
  });

  it('translates a return code into a reason and back', () => {
    for (let code = 0; code <= 5; code++) expect(connackReturnCode(reasonOfConnackReturnCode(code))).toBe(code);
    expect(reasonOfConnackReturnCode(6)).toBe(-1);
    expect(reasonOfConnackReturnCode(255)).toBe(-1);
  });

  it('[3.1.1 MQTT-3.9.3-2] says every failure of SUBACK as 0x80 and keeps a granted QoS', () => {
    expect([0, 1, 2, 0x80, 0x87, 0xa2].map(subackReturnCode)).toEqual([0, 1, 2, 0x80, 0x80, 0x80]);
  });
});
