import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ExpiryIndex } from '../../src/core/expiry.ts';

const BASE = 1_700_000_000_000;

describe('expiry index', () => {
  test('what expires first is visited first, whatever came first', () => {
    const index = new ExpiryIndex();
    index.add(BASE + 30, 1);
    index.add(BASE + 10, 2);
    index.add(BASE + 20, 3);
    const visited: number[] = [];
    expect(index.peek()).toBe(BASE + 10);
    expect(index.popExpired(BASE + 20, (tag) => visited.push(tag))).toBe(2);
    expect(visited).toEqual([2, 3]);
    expect(index.peek()).toBe(BASE + 30);
    expect(index.size).toBe(1);
  });

  test('an empty index has nothing to wait for', () => {
    const index = new ExpiryIndex();
    expect(index.peek()).toBe(Number.POSITIVE_INFINITY);
    expect(index.popExpired(Number.MAX_SAFE_INTEGER, () => expect.fail('nothing to visit'))).toBe(0);
  });

  test('a visitor may add entries, which are visited when they are due', () => {
    const index = new ExpiryIndex();
    index.add(BASE, 1);
    const visited: number[] = [];
    index.popExpired(BASE + 5, (tag) => {
      visited.push(tag);
      if (tag < 4) index.add(BASE + tag * 2, tag + 1);
    });
    expect(visited).toEqual([1, 2, 3]);
    expect(index.peek()).toBe(BASE + 6);
  });

  test('it does what a sorted list does', () => {
    const moment = fc.integer({ min: 0, max: 50 }).map((ms) => BASE + ms);
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), moment, tag: fc.nat(2 ** 40) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('pop' as const), moment, tag: fc.nat(8) }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('keep' as const), moment, tag: fc.integer({ min: 1, max: 3 }) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), moment, tag: fc.constant(0) }) },
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 300, size: 'max' }), (commands) => {
        const index = new ExpiryIndex();
        let list: { moment: number; tag: number }[] = [];
        for (const { kind, moment, tag } of commands) {
          if (kind === 'add') {
            index.add(moment, tag);
            list.push({ moment, tag });
            list.sort((a, b) => a.moment - b.moment || a.tag - b.tag);
          } else if (kind === 'pop') {
            const visited: number[] = [];
            const countMax = tag === 0 ? Number.POSITIVE_INFINITY : tag;
            const due = list.filter((entry) => entry.moment <= moment).slice(0, countMax);
            expect(index.popExpired(moment, (t) => visited.push(t), countMax)).toBe(due.length);
            expect(visited).toEqual(due.map((entry) => entry.tag));
            list = list.slice(due.length);
          } else if (kind === 'keep') {
            index.keepOnly((t) => t % tag === 0);
            list = list.filter((entry) => entry.tag % tag === 0);
          } else {
            index.clear();
            list = [];
          }
          expect(index.size).toBe(list.length);
          expect(index.peek()).toBe(list[0]?.moment ?? Number.POSITIVE_INFINITY);
        }
      }),
      { numRuns: 300 },
    );
  });
});
