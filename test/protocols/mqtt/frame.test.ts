// Frame lengths: every boundary of the Variable Byte Integer in both directions, and what is not one.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  headerBytes,
  INCOMPLETE,
  PACKET_BYTES_MAX,
  REMAINING_LENGTH_MAX,
  readFrameLength,
  remainingLength,
  variableByteIntegerBytes,
  writeVariableByteInteger,
} from '../../../protocols/mqtt/frame.ts';
import { ProtocolError } from '../../../src/core/errors.ts';
import { hex, lengthPrefix, wire } from './wire.ts';

// MQTT 5.0 table 1-1.
const BOUNDARIES: readonly (readonly [number, string])[] = [
  [0, '00'],
  [1, '01'],
  [127, '7f'],
  [128, '8001'],
  [16_383, 'ff7f'],
  [16_384, '808001'],
  [2_097_151, 'ffff7f'],
  [2_097_152, '80808001'],
  [268_435_455, 'ffffff7f'],
];

function read(text: string): readonly [number, number] | 'incomplete' {
  const bytes = wire(text);
  const frame = readFrameLength(bytes, 0, bytes.length);
  return frame === INCOMPLETE ? 'incomplete' : [headerBytes(frame), remainingLength(frame)];
}

describe('frame length', () => {
  it.each(BOUNDARIES)('[MQTT-1.5.5-1] writes and reads %i', (value, encoded) => {
    const into = new Uint8Array(6).fill(0xee);
    const end = writeVariableByteInteger(into, 1, value);
    expect(hex(into)).toBe(`ee${encoded}`.padEnd(12, 'e'));
    expect(variableByteIntegerBytes(value)).toBe(end - 1);
    expect(read(`30 ${encoded}`)).toEqual([end, value]);
  });

  it('reads any length at any position, and needs every byte of it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: REMAINING_LENGTH_MAX }),
        fc.integer({ min: 0, max: 9 }),
        (value, offset) => {
          const prefix = lengthPrefix(value);
          const bytes = Uint8Array.from([...new Array<number>(offset).fill(0xff), 0x30, ...prefix, 0xff]);
          for (let end = offset; end <= offset + prefix.length; end++)
            expect(readFrameLength(bytes, offset, end)).toBe(INCOMPLETE);
          const frame = readFrameLength(bytes, offset, bytes.length);
          expect([headerBytes(frame), remainingLength(frame)]).toEqual([1 + prefix.length, value]);
          expect(variableByteIntegerBytes(value)).toBe(prefix.length);
        },
      ),
    );
  });

  it('answers with a small integer even for the largest frame', () => {
    const bytes = wire('30 ffffff7f');
    const frame = readFrameLength(bytes, 0, bytes.length);
    expect(frame).toBeGreaterThan(0);
    expect(frame).toBeLessThan(2 ** 31);
    expect(headerBytes(frame) + remainingLength(frame)).toBe(PACKET_BYTES_MAX);
  });

  it('waits for bytes that may still make a length', () => {
    for (const text of ['', '30', '30 80', '30 8080', '30 808080', '30 ffffff'])
      expect(read(text), text).toBe('incomplete');
  });

  it.each(['8000', '808000', 'ff00', '80808000', 'ffff00'])(
    '[MQTT-1.5.5-1] refuses %s, which is longer than needed',
    (text) => {
      expect(() => read(`30 ${text}`)).toThrow(ProtocolError);
    },
  );

  it.each(['80808080', '8080808001', 'ffffffff', 'ffffff80'])(
    'refuses %s as soon as it is longer than four bytes',
    (text) => {
      expect(() => read(`30 ${text}`)).toThrow(ProtocolError);
    },
  );
});
