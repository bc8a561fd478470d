import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Route, RouteTable } from '../../src/core/route-table.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';

function route(text: string): Route {
  const bytes = Buffer.from(text);
  return new Route('amq.topic', new RoutingKey(text), bytes, 0, bytes.length);
}

/** Looks the text up where it stands in a larger chunk, at an odd place. */
function lookup(table: RouteTable, text: string): Route | null {
  const bytes = Buffer.from(`..${text}/x`);
  return table.lookup(bytes, 2, 2 + Buffer.byteLength(text));
}

describe('route table', () => {
  test('a route is found by its exact bytes only', () => {
    const table = new RouteTable(100, 1e6);
    const ab = route('a/b');
    table.insert(ab);
    expect(lookup(table, 'a/b')).toBe(ab);
    for (const other of ['', 'a', 'a/', 'a/b/', 'a/c', 'A/b', ' a/b']) expect(lookup(table, other)).toBeNull();
  });

  test('the empty text is a text', () => {
    const table = new RouteTable(100, 1e6);
    expect(lookup(table, '')).toBeNull();
    const empty = route('');
    table.insert(empty);
    expect(lookup(table, '')).toBe(empty);
  });

  test('a route keeps its text when the chunk it came in is overwritten', () => {
    const table = new RouteTable(100, 1e6);
    const chunk = Buffer.from('xxa/bxx');
    const made = new Route('', new RoutingKey('a/b'), chunk, 2, 5);
    table.insert(made);
    chunk.fill(0x5a);
    expect(lookup(table, 'a/b')).toBe(made);
    expect(made.text.buffer.byteLength).toBe(3);
  });

  test('a new route starts unresolved', () => {
    const made = route('a');
    expect([made.generation, made.set, made.allowed, made.refusal]).toEqual([-1, null, false, null]);
  });

  test('a route with the same text takes the place of the old one', () => {
    const table = new RouteTable(100, 1e6);
    table.insert(route('a'));
    const second = route('a');
    table.insert(second);
    expect(lookup(table, 'a')).toBe(second);
    expect(table.size).toBe(1);
  });

  test('within its bounds it forgets nothing', () => {
    const table = new RouteTable(40_000, 1e9);
    const routes = Array.from({ length: 15_000 }, (_, i) => route(`plant/line${i % 10}/sensor/${i}`));
    // Strangers come twice or more often before they are kept.
    for (let round = 0; round < 10; round++)
      for (const one of routes) if (table.lookup(one.text, 0, one.text.length) === null) table.insert(one);
    let found = 0;
    for (const one of routes) if (table.lookup(one.text, 0, one.text.length) === one) found++;
    expect(found).toBeGreaterThan(14_900);
  });

  test('topics that come once do not fill a large table, and do not push out what is used', () => {
    const table = new RouteTable(200_000, 1e9);
    const steady = Array.from({ length: 5000 }, (_, i) => route(`steady/${i}`));
    for (let round = 0; round < 3; round++)
      for (const one of steady) if (table.lookup(one.text, 0, one.text.length) === null) table.insert(one);
    for (let i = 0; i < 300_000; i++) table.insert(route(`once/${i}`));
    expect(table.size).toBeLessThan(20_000);
    let found = 0;
    for (const one of steady) if (table.lookup(one.text, 0, one.text.length) === one) found++;
    expect(found).toBeGreaterThan(4900);
  });

  test('it stays within its count, and what is used all the time stays in it', () => {
    const table = new RouteTable(1000, 1e9);
    const steady = Array.from({ length: 50 }, (_, i) => route(`steady/${i}`));
    for (const one of steady) table.insert(one);
    let misses = 0;
    for (let i = 0; i < 50_000; i++) {
      table.insert(route(`passing/${i}`));
      const one = steady[i % steady.length]!;
      if (table.lookup(one.text, 0, one.text.length) === one) continue;
      misses++;
      table.insert(one);
    }
    expect(table.size).toBeLessThanOrEqual(1000);
    expect(misses).toBeLessThan(50);
    expect(lookup(table, 'passing/0')).toBeNull();
    expect(lookup(table, 'passing/49999')).not.toBeNull();
  });

  test('it stays within its bytes', () => {
    const table = new RouteTable(1e6, 1e6);
    for (let i = 0; i < 500; i++) table.insert(route(`${'x'.repeat(10_000)}${i}`));
    expect(table.bytes).toBeLessThanOrEqual(1e6);
    expect(table.size).toBeGreaterThan(40);
    table.clear();
    expect([table.size, table.bytes]).toEqual([0, 0]);
    expect(lookup(table, `${'x'.repeat(10_000)}499`)).toBeNull();
  });

  test('a text longer than the whole table is kept until the next one', () => {
    const table = new RouteTable(100, 10_000);
    table.insert(route('x'.repeat(60_000)));
    for (let i = 0; i < 20; i++) table.insert(route(`${i}`));
    expect(table.bytes).toBeLessThanOrEqual(10_000);
  });

  test('it never answers other than a map would, except with nothing', () => {
    const text = fc.oneof(fc.constantFrom('a', 'b', 'a/b', 'a/c', ''), fc.string({ maxLength: 40, unit: 'grapheme' }));
    const command = fc.record({ insert: fc.boolean(), clear: fc.nat(40).map((n) => n === 0), text });
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 200, size: 'max' }),
        fc.constantFrom(8, 64, 1000),
        (commands, countMax) => {
          const table = new RouteTable(countMax, 1e9);
          const map = new Map<string, Route>();
          for (const one of commands) {
            if (one.clear) {
              table.clear();
              map.clear();
            }
            const bytes = Buffer.from(one.text);
            if (one.insert) {
              const made = route(one.text);
              table.insert(made);
              map.set(bytes.toString('hex'), made);
              expect(lookup(table, one.text)).toBe(made);
            } else {
              const found = lookup(table, one.text);
              const expected = map.get(bytes.toString('hex')) ?? null;
              if (countMax === 1000) expect(found).toBe(expected);
              else if (found !== null) expect(found.text).toEqual(new Uint8Array(bytes));
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('equality of ranges looks at every byte', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(), (bytes, at) => {
        const shifted = new Uint8Array([1, 2, 3, ...bytes]);
        expect(RouteTable.sameBytes(bytes, 0, shifted, 3, bytes.length)).toBe(true);
        if (bytes.length === 0) return;
        shifted[3 + (at % bytes.length)]! ^= 0x80;
        expect(RouteTable.sameBytes(bytes, 0, shifted, 3, bytes.length)).toBe(false);
      }),
    );
  });
});
