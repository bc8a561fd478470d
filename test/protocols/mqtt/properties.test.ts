// Every property in every place, generated from the specification's table written a second time: allowed or not, once or repeated, within its bounds.
import { describe, expect, it } from 'vitest';
import { FROM_EITHER } from '../../../protocols/mqtt/decode-options.ts';
import { PACKET_NAMES, PacketType } from '../../../protocols/mqtt/packet-type.ts';
import {
  EMPTY_PROPERTIES,
  Properties,
  propertiesBytes,
  readProperties,
  writeProperties,
} from '../../../protocols/mqtt/properties.ts';
import { PROPERTIES, type PropertyPlace, propertyById, WILL } from '../../../protocols/mqtt/property-table.ts';
import { PacketReader } from '../../../protocols/mqtt/reader.ts';
import { ProtocolError } from '../../../src/core/errors.ts';
import { hex, wire } from './wire.ts';

const {
  CONNECT,
  CONNACK,
  PUBLISH,
  PUBACK,
  PUBREC,
  PUBREL,
  PUBCOMP,
  SUBSCRIBE,
  SUBACK,
  UNSUBSCRIBE,
  UNSUBACK,
  DISCONNECT,
  AUTH,
} = PacketType;
const ACKS = [PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK];

interface Row {
  readonly id: number;
  readonly places: readonly PropertyPlace[];
  /** Bytes after the identifier, and what they mean. */
  readonly good: readonly (readonly [string, unknown])[];
  /** Bytes of a value that is out of bounds. */
  readonly outside: readonly string[];
}

const NUMBER_32: Row['good'] = [
  ['00000000', 0],
  ['00000001', 1],
  ['7fffffff', 2147483647],
  ['80000000', 2147483648],
  ['ffffffff', 4294967295],
];
const TEXT: Row['good'] = [
  [`<'ä'>`, 'ä'],
  [`<'text'>`, 'text'],
];
const BYTES: Row['good'] = [
  ['<>', new Uint8Array(0)],
  ['<00ff>', Uint8Array.of(0, 255)],
];
const FLAG: Row['good'] = [
  ['00', false],
  ['01', true],
];

// MQTT 5.0 table 2-4 and the sections that describe each property.
const TABLE: readonly Row[] = [
  {
    id: 0x01,
    places: [PUBLISH, WILL],
    good: [
      ['00', 0],
      ['01', 1],
    ],
    outside: ['02', 'ff'],
  },
  { id: 0x02, places: [PUBLISH, WILL], good: NUMBER_32, outside: [] },
  { id: 0x03, places: [PUBLISH, WILL], good: [['<>', ''], ...TEXT], outside: [] },
  { id: 0x08, places: [PUBLISH, WILL], good: TEXT, outside: ['<>', `<'+'>`, `<'a/#'>`] },
  { id: 0x09, places: [PUBLISH, WILL], good: BYTES, outside: [] },
  {
    id: 0x0b,
    places: [PUBLISH, SUBSCRIBE],
    good: [
      ['01', [1]],
      ['8001', [128]],
      ['ffffff7f', [268435455]],
    ],
    outside: ['00'],
  },
  { id: 0x11, places: [CONNECT, CONNACK, DISCONNECT], good: NUMBER_32, outside: [] },
  { id: 0x12, places: [CONNACK], good: TEXT, outside: [] },
  {
    id: 0x13,
    places: [CONNACK],
    good: [
      ['0000', 0],
      ['ffff', 65535],
    ],
    outside: [],
  },
  { id: 0x15, places: [CONNECT, CONNACK, AUTH], good: TEXT, outside: [] },
  { id: 0x16, places: [CONNECT, CONNACK, AUTH], good: BYTES, outside: [] },
  { id: 0x17, places: [CONNECT], good: FLAG, outside: ['02', 'ff'] },
  { id: 0x18, places: [WILL], good: NUMBER_32, outside: [] },
  { id: 0x19, places: [CONNECT], good: FLAG, outside: ['02', 'ff'] },
  { id: 0x1a, places: [CONNACK], good: TEXT, outside: [] },
  { id: 0x1c, places: [CONNACK, DISCONNECT], good: TEXT, outside: [] },
  { id: 0x1f, places: [CONNACK, DISCONNECT, AUTH, ...ACKS], good: [['<>', ''], ...TEXT], outside: [] },
  {
    id: 0x21,
    places: [CONNECT, CONNACK],
    good: [
      ['0001', 1],
      ['ffff', 65535],
    ],
    outside: ['0000'],
  },
  {
    id: 0x22,
    places: [CONNECT, CONNACK],
    good: [
      ['0000', 0],
      ['ffff', 65535],
    ],
    outside: [],
  },
  {
    id: 0x23,
    places: [PUBLISH],
    good: [
      ['0001', 1],
      ['ffff', 65535],
    ],
    outside: [],
  },
  {
    id: 0x24,
    places: [CONNACK],
    good: [
      ['00', 0],
      ['01', 1],
    ],
    outside: ['02', 'ff'],
  },
  { id: 0x25, places: [CONNACK], good: FLAG, outside: ['02'] },
  {
    id: 0x26,
    places: [CONNECT, CONNACK, PUBLISH, WILL, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH, ...ACKS],
    good: [
      [`<'k'> <'v'>`, ['k', 'v']],
      ['<> <>', ['', '']],
    ],
    outside: [],
  },
  {
    id: 0x27,
    places: [CONNECT, CONNACK],
    good: [
      ['00000001', 1],
      ['ffffffff', 4294967295],
    ],
    outside: ['00000000'],
  },
  { id: 0x28, places: [CONNACK], good: FLAG, outside: ['02'] },
  { id: 0x29, places: [CONNACK], good: FLAG, outside: ['02'] },
  { id: 0x2a, places: [CONNACK], good: FLAG, outside: ['02'] },
];

const PLACES: readonly PropertyPlace[] = [
  WILL,
  CONNECT,
  CONNACK,
  PUBLISH,
  SUBSCRIBE,
  UNSUBSCRIBE,
  DISCONNECT,
  AUTH,
  ...ACKS,
];
const isRepeatable = (property: number, place: PropertyPlace): boolean =>
  property === 0x26 || (property === 0x0b && place === PUBLISH);

function read(bytes: Uint8Array, place: PropertyPlace): Readonly<Properties> {
  const reader = new PacketReader(bytes, 0, bytes.length, 'PACKET');
  const properties = readProperties(reader, place, FROM_EITHER);
  reader.expectEnd();
  return properties;
}

function outcome(bytes: Uint8Array, place: PropertyPlace): string {
  try {
    read(bytes, place);
    return 'taken';
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

const id = (row: Row): string => row.id.toString(16).padStart(2, '0');

describe('properties', () => {
  it('are those of the specification, in the order of their identifiers', () => {
    expect(PROPERTIES.map((definition) => definition.id)).toEqual(TABLE.map((row) => row.id));
    expect(PROPERTIES.map((definition) => definition.field).sort()).toEqual(Object.keys(new Properties()).sort());
  });

  it.each(TABLE.map((row) => [propertyById(row.id)!.name, row] as const))(
    '%s is taken where it may stand, malformed elsewhere',
    (_, row) => {
      for (const place of PLACES) {
        for (const [value] of row.good) {
          const expected = row.places.includes(place) ? 'taken' : 'malformed-packet';
          expect(outcome(wire(`[ ${id(row)} ${value} ]`), place), PACKET_NAMES[place]).toBe(expected);
        }
      }
    },
  );

  it.each(TABLE.map((row) => [propertyById(row.id)!.name, row] as const))(
    '%s keeps its value, there and back',
    (_, row) => {
      const { field } = propertyById(row.id)!;
      for (const place of row.places) {
        for (const [value, expected] of row.good) {
          const bytes = wire(`[ ${id(row)} ${value} ]`);
          const properties = read(bytes, place);
          expect(properties).toEqual(Object.assign(new Properties(), { [field]: expected }));
          const size = propertiesBytes(properties, place);
          const into = Buffer.alloc(bytes.length);
          expect(writeProperties(into, 0, properties, place, size)).toBe(bytes.length);
          expect(hex(into)).toBe(hex(bytes));
        }
      }
    },
  );

  it.each(TABLE.map((row) => [propertyById(row.id)!.name, row] as const))(
    '%s is refused out of its bounds, cut, and twice unless repeatable',
    (_, row) => {
      for (const place of row.places) {
        for (const value of row.outside)
          expect(outcome(wire(`[ ${id(row)} ${value} ]`), place), value).toBe('protocol-error');
        const [value] = row.good.at(-1)!;
        const one = wire(`${id(row)} ${value}`);
        for (let cut = 1; cut < one.length; cut++) {
          expect(outcome(wire(`[ ${hex(one.subarray(0, cut))} ]`), place), `cut at ${cut}`).toBe('malformed-packet');
        }
        const repeatable = isRepeatable(row.id, place);
        expect(outcome(wire(`[ ${id(row)} ${value} ${id(row)} ${value} ]`), place)).toBe(
          repeatable ? 'taken' : 'protocol-error',
        );
      }
    },
  );

  it('with identifiers that do not exist are malformed', () => {
    for (let unknown = 0; unknown < 256; unknown++) {
      if (propertyById(unknown) !== null) continue;
      const encoded = unknown < 128 ? unknown.toString(16).padStart(2, '0') : `${unknown.toString(16)}01`;
      expect(outcome(wire(`[ ${encoded} 00 ]`), CONNACK)).toBe('malformed-packet');
    }
    expect(outcome(wire('[ ffffff7f 00 ]'), CONNACK)).toBe('malformed-packet');
  });

  it('keep the order and the duplicates of user properties', () => {
    const pairs = read(wire(`[ 26 <'b'> <'1'> 26 <'a'> <'2'> 26 <'b'> <'1'> 26 <'B'> <> ]`), CONNECT).userProperties;
    expect(pairs).toEqual(['b', '1', 'a', '2', 'b', '1', 'B', '']);
  });

  it('leave the reader behind them, whatever follows', () => {
    const bytes = wire(`[ 17 01 ] <'next'>`);
    const reader = new PacketReader(bytes, 0, bytes.length, 'PACKET');
    expect(readProperties(reader, CONNECT, FROM_EITHER).requestProblemInformation).toBe(true);
    expect(reader.text('next')).toBe('next');
  });

  it('are one frozen object when there are none', () => {
    expect(read(wire('00'), CONNECT)).toBe(EMPTY_PROPERTIES);
    expect(Object.isFrozen(EMPTY_PROPERTIES)).toBe(true);
    expect(Object.values(EMPTY_PROPERTIES).every((value) => value === null)).toBe(true);
  });
});
