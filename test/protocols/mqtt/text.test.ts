// UTF-8 Encoded Strings: what is well-formed, byte by byte, judged beside the platform's own strict decoder.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asBuffer,
  decodeText,
  encodableText,
  TEXT_BYTES_MAX,
  textBytes,
  validText,
  writeText,
} from '../../../protocols/mqtt/text.ts';
import { ProtocolError } from '../../../src/core/errors.ts';

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function reference(bytes: Uint8Array): string | null {
  try {
    const text = strict.decode(bytes);
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return decodeText(asBuffer(bytes), 0, bytes.length, 'text');
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'malformed-packet') return null;
    throw error;
  }
}

/** Bytes that are often UTF-8 and often just not. */
const nearlyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 4 }).map((text) => [...Buffer.from(text)]),
      fc.constantFrom(
        [0xed, 0xa0, 0x80],
        [0xc0, 0x80],
        [0xef, 0xbb, 0xbf],
        [0xf4, 0x8f, 0xbf, 0xbf],
        [0xf4, 0x90, 0x80, 0x80],
        [0xe0, 0x9f, 0xbf],
        [0],
      ),
      fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 3 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Uint8Array.from(parts.flat()));

describe('text', () => {
  it('[MQTT-1.5.4-1] [MQTT-1.5.4-2] agrees with a strict decoder that also refuses U+0000', () => {
    let valid = 0;
    let invalid = 0;
    fc.assert(
      fc.property(nearlyText, (bytes) => {
        const expected = reference(bytes);
        if (expected === null) invalid += 1;
        else valid += 1;
        expect(decoded(bytes)).toBe(expected);
        expect(validText(bytes, 0, bytes.length)).toBe(expected !== null);
      }),
      { numRuns: 3_000 },
    );
    expect(Math.min(valid, invalid)).toBeGreaterThan(100);
  });

  it('[MQTT-1.5.4-1] [MQTT-1.5.4-2] judges a long text as it judges a short one', () => {
    fc.assert(
      fc.property(
        nearlyText,
        fc.integer({ min: 0, max: 200 }),
        fc.integer({ min: 0, max: 200 }),
        (bytes, before, after) => {
          const long = Uint8Array.from([
            ...new Array<number>(before).fill(0x61),
            ...bytes,
            ...new Array<number>(after).fill(0x62),
          ]);
          expect(decoded(long)).toBe(reference(long));
          expect(validText(long, 0, long.length)).toBe(reference(long) !== null);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('[MQTT-1.5.4-1] judges every sequence of two bytes, and every lead byte with good continuations, like it', () => {
    for (let first = 0; first < 256; first++) {
      for (let second = 0; second < 256; second++) {
        const bytes = Uint8Array.of(first, second);
        expect(decoded(bytes)).toBe(reference(bytes));
      }
      for (const tail of [
        [0x80],
        [0x80, 0x80],
        [0xbf, 0xbf],
        [0x80, 0x80, 0x80],
        [0xbf, 0xbf, 0xbf],
        [0x80, 0x80, 0x80, 0x80],
      ]) {
        const bytes = Uint8Array.of(first, ...tail);
        expect(decoded(bytes)).toBe(reference(bytes));
      }
    }
  });

  it('[MQTT-1.5.4-3] keeps U+FEFF at the beginning, in the middle and at the end', () => {
    expect(decoded(Buffer.from('\ufeffa\ufeffb\ufeff'))).toBe('\ufeffa\ufeffb\ufeff');
  });

  it('writes what it reads', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        fc.pre(!text.includes('\0'));
        const size = textBytes(text);
        const into = Buffer.alloc(size + 4, 0xee);
        expect(writeText(into, 2, text)).toBe(2 + size);
        expect(into.readUInt16BE(2)).toBe(size - 2);
        expect(decodeText(into, 4, 2 + size, 'text')).toBe(text);
        expect([into[0], into[1], into[2 + size], into[3 + size]]).toEqual([0xee, 0xee, 0xee, 0xee]);
        expect(encodableText(text)).toBe(true);
      }),
    );
  });

  it('knows what cannot be sent', () => {
    expect(encodableText('a'.repeat(TEXT_BYTES_MAX))).toBe(true);
    expect(encodableText('a'.repeat(TEXT_BYTES_MAX + 1))).toBe(false);
    expect(encodableText(`${'ä'.repeat(32_767)}a`)).toBe(true);
    expect(encodableText('ä'.repeat(32_768))).toBe(false);
    expect(encodableText('a\0b')).toBe(false);
    expect(encodableText('\ud83d')).toBe(false);
    expect(encodableText('\ude00\ud83d')).toBe(false);
    expect(encodableText('😀')).toBe(true);
    expect(encodableText('')).toBe(true);
  });

  it('accepts a text of exactly 65,535 bytes and not one more', () => {
    const bytes = new Uint8Array(TEXT_BYTES_MAX + 1).fill(0x61);
    expect(validText(bytes, 0, TEXT_BYTES_MAX)).toBe(true);
    expect(validText(bytes, 0, TEXT_BYTES_MAX + 1)).toBe(false);
  });
});
