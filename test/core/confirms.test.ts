import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfirmRing } from '../../src/core/confirms.ts';

function released(ring: ConfirmRing, position: number): [number, object | null][] {
  const confirms: [number, object | null][] = [];
  ring.release(position, { onConfirm: (what, extra) => confirms.push([what, extra]) });
  return confirms;
}

describe('a confirm ring', () => {
  test('gives everything up to a position, in order, once', () => {
    const ring = new ConfirmRing();
    const extra = {};
    ring.add(5, 1, null);
    ring.add(5, 2, extra);
    ring.add(7, 3, null);
    expect([ring.count, ring.lastPosition, ring.empty]).toEqual([3, 7, false]);
    expect(released(ring, 4)).toEqual([]);
    expect(released(ring, 6)).toEqual([
      [1, null],
      [2, extra],
    ]);
    expect(released(ring, 6)).toEqual([]);
    expect(released(ring, 100)).toEqual([[3, null]]);
    expect([ring.count, ring.lastPosition, ring.empty]).toEqual([0, 0, true]);
  });

  test('carries 32 bits of what', () => {
    const ring = new ConfirmRing();
    ring.add(1, 0xffff_ffff, null);
    expect(released(ring, 1)).toEqual([[0xffff_ffff, null]]);
  });

  test('keeps a run in one entry, also when it grows', () => {
    const ring = new ConfirmRing();
    const given: [number, number][] = [];
    for (let i = 0; i < 30; i++) ring.add(i, 1000 * i, null, i + 1);
    expect(ring.count).toBe(30);
    ring.release(20, { onConfirm: (what, _extra, count) => given.push([what, count]) });
    expect(given).toEqual(Array.from({ length: 21 }, (_, i) => [1000 * i, i + 1]));
    expect(ring.count).toBe(9);
  });

  test('may get more while it gives', () => {
    const ring = new ConfirmRing();
    for (let i = 0; i < 8; i++) ring.add(1, i, null);
    const given: number[] = [];
    ring.release(1, {
      onConfirm: (what) => {
        given.push(what);
        if (what < 100) ring.add(1, what + 100, null);
      },
    });
    expect(given).toHaveLength(16);
    expect(ring.empty).toBe(true);
  });

  test('holds nothing back that it has given or forgotten', () => {
    const ring = new ConfirmRing();
    for (let i = 0; i < 20; i++) ring.add(i, i, {});
    released(ring, 9);
    ring.clear();
    expect(ring.empty).toBe(true);
    const { extras } = ring as unknown as { readonly extras: readonly unknown[] };
    expect(extras.every((extra) => extra === null)).toBe(true);
    ring.add(1, 1, null);
    expect(released(ring, 1)).toEqual([[1, null]]);
  });

  test('does what a list does', () => {
    const step = fc.oneof(
      fc.record({ grow: fc.integer({ min: 0, max: 3 }), what: fc.nat(), count: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ release: fc.integer({ min: -3, max: 3 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
        const ring = new ConfirmRing();
        let list: { position: number; what: number }[] = [];
        let position = 1;
        for (const action of steps) {
          if ('grow' in action) {
            for (let i = 0; i < action.count; i++) {
              position += action.grow;
              ring.add(position, action.what + i, null);
              list.push({ position, what: action.what + i });
            }
          } else {
            const upTo = (list[0]?.position ?? position) + action.release;
            const due = list.filter((entry) => entry.position <= upTo);
            list = list.slice(due.length);
            expect(released(ring, upTo).map(([what]) => what)).toEqual(due.map(({ what }) => what));
          }
          expect(ring.count).toBe(list.length);
        }
      }),
      { numRuns: 100 },
    );
  });
});
