import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashBytes, hashView, sameBytes, sameInViews } from '../../src/lib/byte-hash.ts';
import { ByteView } from '../../src/lib/byte-view.ts';

/** Bytes that stand somewhere in a buffer that is larger, as a chunk does in an arena. */
const chunk = fc.tuple(fc.uint8Array({ maxLength: 70 }), fc.nat(9)).map(([bytes, before]) => {
  const all = new Uint8Array(before + bytes.length + 5).fill(0xaa);
  all.set(bytes, before);
  return all.subarray(before, before + bytes.length);
});

describe('hash and equality of bytes', () => {
  test('by views are what they are byte by byte, wherever the bytes begin', () => {
    const views = new ByteView();
    fc.assert(
      fc.property(chunk, fc.nat(70), fc.nat(70), (bytes, a, b) => {
        const start = Math.min(a, b, bytes.length);
        const end = Math.min(Math.max(a, b), bytes.length);
        expect(hashView(views.of(bytes), start, end)).toBe(hashBytes(bytes, start, end));
      }),
      { numRuns: 2000 },
    );
  });

  test('one byte that differs is seen, at every place of every length', () => {
    for (let length = 0; length <= 21; length++) {
      const bytes = Uint8Array.from({ length: length + 7 }, (_, i) => i * 37);
      const other = new Uint8Array(length + 9);
      other.set(bytes.subarray(3, 3 + length), 5);
      const [a, b] = [new ByteView().of(bytes), new ByteView().of(other)];
      expect(sameInViews(a, 3, b, 5, length)).toBe(true);
      expect(sameBytes(bytes, 3, other, 5, length)).toBe(true);
      // What stands around them does not matter.
      other[4]! ^= 1;
      other[5 + length]! ^= 1;
      expect(sameInViews(a, 3, b, 5, length)).toBe(true);
      for (let place = 0; place < length; place++) {
        other[5 + place]! ^= 0x80;
        expect(sameInViews(a, 3, b, 5, length)).toBe(false);
        expect(sameBytes(bytes, 3, other, 5, length)).toBe(false);
        other[5 + place]! ^= 0x80;
      }
    }
  });
});

test('a view follows the bytes it is asked for, and lets go of them', () => {
  const views = new ByteView();
  const [one, two] = [Uint8Array.of(1, 2), Uint8Array.of(9, 3).subarray(1)];
  const first = views.of(one);
  expect(views.of(one)).toBe(first);
  expect(views.of(two).getUint8(0)).toBe(3);
  views.release();
  expect(views.of(one)).not.toBe(first);
  expect(views.of(one).getUint8(1)).toBe(2);
});
