import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { decodeRun, encodeRun } from '../../src/core/run-record.ts';
import { CODECS } from './core-world.ts';
import { textRun, textsOf } from './runs.ts';

describe('a stored run', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.constantFrom<Guarantee>(0, 1, 2),
        fc.nat({ max: 255 }),
        fc.nat({ max: 255 }),
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        fc.option(fc.nat({ max: 20 })),
        (text, guarantee, priority, variant, receivedAtMs, expiresAtMs, at) => {
          const borrowedAt = at === null ? {} : { borrowedAt: at };
          const run = textRun(text, { guarantee, priority, receivedAtMs, expiresAtMs, ...borrowedAt });
          run.variant = variant;
          const record = encodeRun(run);
          const back = decodeRun(record, CODECS);
          expect(textsOf(back)).toEqual(textsOf(run));
          expect(back).toMatchObject({
            guarantee,
            priority,
            variant,
            receivedAtMs,
            expiresAtMs,
            count: 1,
            owned: true,
          });
          expect(back.frameBytesMax).toBe(run.byteLength);
          // It lives on when the memory it was read from does not.
          record.fill(0xdb);
          expect(textsOf(back)).toEqual(textsOf(run));
        },
      ),
    );
  });

  test('comes out of the middle of a larger block', () => {
    const record = encodeRun(textRun('text'));
    const block = Buffer.alloc(record.length + 11, 0xdb);
    block.set(record, 7);
    expect(textsOf(decodeRun(block.subarray(7, 7 + record.length), CODECS))).toEqual(['text']);
  });

  test('of a codec that is not there is an error that says which', () => {
    expect(() => decodeRun(encodeRun(textRun('x')), new Map())).toThrow(/codec 77/);
  });

  test('is one message, and no less than its header', () => {
    expect(() => encodeRun(textRun(['a', 'b']))).toThrow();
    expect(() => decodeRun(encodeRun(textRun('')).subarray(1), CODECS)).toThrow();
  });
});
