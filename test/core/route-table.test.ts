import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DestinationSet } from '../../src/core/destination-set.ts';
import { RouteChanges, UNKNOWN } from '../../src/core/route-changes.ts';
import type { Texts } from '../../src/core/route-generation.ts';
import { Route, RouteTable } from '../../src/core/route-table.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import { hashBytes } from '../../src/lib/byte-hash.ts';
import { ByteView } from '../../src/lib/byte-view.ts';

function route(text: string): Route {
  return new Route('amq.topic', new RoutingKey(text));
}

/** Inserts a route for the text that its key has. */
function insert(table: RouteTable, one: Route): void {
  const bytes = Buffer.from(`.${one.key.path}.`);
  table.insert(one, bytes, 1, bytes.length - 1);
  bytes.fill(0x5a);
}

/** Whether the table has this very route for the text of its key. */
function has(table: RouteTable, one: Route): boolean {
  const bytes = Buffer.from(one.key.path);
  return table.lookup(bytes, 0, bytes.length) === one;
}

/** Looks the text up where it stands in a larger chunk, at an odd place. */
function lookup(table: RouteTable, text: string): Route | null {
  const bytes = Buffer.from(`..${text}/x`);
  return table.lookup(bytes, 2, 2 + Buffer.byteLength(text));
}

/** The keys of the routes of these texts, looked up together where they stand in a chunk one behind the other; null for those without. */
function lookupAll(table: RouteTable, asked: readonly (string | Buffer)[], changes: RouteChanges): (string | null)[] {
  const all = asked.map((text) => Buffer.from(text));
  const bytes = Buffer.concat([Buffer.from('.'), ...all, Buffer.from('.')]);
  const lengths = Uint32Array.from(all, (text) => text.length);
  const starts = lengths.map((_, i) => 1 + lengths.subarray(0, i).reduce((sum, length) => sum + length, 0));
  const hashes = Int32Array.from(starts, (start, i) => hashBytes(bytes, start, start + lengths[i]!));
  const routes = asked.map(() => null);
  const texts: Texts = { view: new ByteView().of(bytes), count: asked.length, starts, lengths, hashes, routes };
  table.lookupAll(texts, changes);
  return texts.routes.map((one) => one?.key.path ?? null);
}

describe('route table', () => {
  test('a route is found by its exact bytes only', () => {
    const table = new RouteTable(100, 1e6);
    const ab = route('a/b');
    insert(table, ab);
    expect(lookup(table, 'a/b')).toBe(ab);
    for (const other of ['', 'a', 'a/', 'a/b/', 'a/c', 'A/b', ' a/b']) expect(lookup(table, other)).toBeNull();
  });

  test('the empty text is a text', () => {
    const table = new RouteTable(100, 1e6);
    expect(lookup(table, '')).toBeNull();
    const empty = route('');
    insert(table, empty);
    expect(lookup(table, '')).toBe(empty);
  });

  test('a text is kept when the chunk it came in is overwritten', () => {
    const table = new RouteTable(100, 1e6);
    const chunk = Buffer.from('xxa/bxx');
    const made = route('a/b');
    table.insert(made, chunk, 2, 5);
    chunk.fill(0x5a);
    expect(lookup(table, 'a/b')).toBe(made);
  });

  test('a new route starts unresolved', () => {
    const made = route('a');
    expect([made.generation, made.set, made.allowed, made.refusal]).toEqual([UNKNOWN, null, false, null]);
  });

  test('a route with the same text takes the place of the old one', () => {
    const table = new RouteTable(100, 1e6);
    insert(table, route('a'));
    const second = route('a');
    insert(table, second);
    expect(lookup(table, 'a')).toBe(second);
    expect(table.size).toBe(1);
  });

  test('within its bounds it forgets nothing', () => {
    const table = new RouteTable(40_000, 1e9);
    const routes = Array.from({ length: 15_000 }, (_, i) => route(`plant/line${i % 10}/sensor/${i}`));
    // Strangers come twice or more often before they are kept.
    for (let round = 0; round < 10; round++) for (const one of routes) if (!has(table, one)) insert(table, one);
    let found = 0;
    for (const one of routes) if (has(table, one)) found++;
    expect(found).toBeGreaterThan(14_900);
  });

  test('of many strangers, nearly all are known when they have come four times', () => {
    const table = new RouteTable(1e6, 1e9);
    const routes = Array.from({ length: 60_000 }, (_, i) => route(`plant/${i}`));
    for (let round = 0; round < 4; round++) for (const one of routes) if (!has(table, one)) insert(table, one);
    let found = 0;
    for (const one of routes) if (has(table, one)) found++;
    expect(found).toBeGreaterThan(59_000);
  });

  test('what is looked up together is found as it would be alone', () => {
    const table = new RouteTable(1e6, 1e9);
    const routes = Array.from({ length: 20_000 }, (_, i) => route(`plant/${i}`));
    expect(table.large).toBe(false);
    for (let round = 0; round < 10; round++) for (const one of routes) if (!has(table, one)) insert(table, one);
    expect(table.large).toBe(true);
    const asked = ['plant/1', 'plant/19999', 'plant/20000', '', 'plant/7'];
    const changes = new RouteChanges();
    changes.generation = UNKNOWN;
    expect(lookupAll(table, asked, changes)).toEqual(['plant/1', 'plant/19999', null, null, 'plant/7']);
  });

  test('of texts looked up together, those are found that are there and true in this generation, whatever their length and in which byte they differ', () => {
    const unit = fc.constantFrom('a', 'b', '\0', 'é');
    const text = fc.oneof(fc.string({ unit, maxLength: 9 }), fc.string({ unit, minLength: 10, maxLength: 70 }));
    const texts = fc.uniqueArray(text, { maxLength: 60 });
    let known = 0;
    let passedOver = 0;
    fc.assert(
      fc.property(texts, fc.array(fc.nat(2), { minLength: 60, maxLength: 60 }), (all, kinds) => {
        const table = new RouteTable(1e6, 1e9);
        const changes = new RouteChanges();
        changes.elsewhere();
        const TRUE = 0;
        const OLD = 1;
        for (const [i, text] of all.entries()) {
          const bytes = Buffer.from(text);
          const since = kinds[i] === TRUE ? changes.generation : changes.generation - 1;
          if (kinds[i] === TRUE || kinds[i] === OLD) table.insert(route(text), bytes, 0, bytes.length, since);
        }
        for (const [i, found] of lookupAll(table, all, changes).entries()) {
          if (found !== null) expect([found, kinds[i]]).toEqual([all[i], TRUE]);
          if (kinds[i] !== TRUE) continue;
          known++;
          // Another text stands in its way, and it is left to be looked up alone.
          if (found === null) passedOver++;
        }
      }),
    );
    expect(known).toBeGreaterThan(0);
    expect(passedOver).toBeLessThan(known / 50);
  });

  /** Hashes that begin their search in the same place of a table of up to 4096 lines. */
  const homeOf = (text: Buffer): number => hashBytes(text, 0, text.length) & 0xfff;

  test('texts made to collide push each other out, and are never taken for each other', () => {
    const LENGTHS = [9, 16, 17, 30, 48, 49, 200];
    const texts: Buffer[] = [];
    for (let i = 0; texts.length < 400; i++) {
      const text = Buffer.from(`${i}`.padStart(LENGTHS[i % LENGTHS.length]!, 'x'));
      if (homeOf(text) === 7) texts.push(text);
    }
    expect(new Set(texts.map(({ length }) => length)).size).toBe(LENGTHS.length);
    const table = new RouteTable(1e6, 1e9);
    const changes = new RouteChanges();
    changes.generation = UNKNOWN;
    const there = (text: Buffer): string | null => table.lookup(text, 0, text.length)?.key.path ?? null;
    for (const text of texts) {
      table.insert(route(text.toString()), text, 0, text.length);
      expect(there(text)).toBe(text.toString());
      expect([text.toString(), null]).toContain(lookupAll(table, [text], changes)[0]);
    }
    const found = texts.map(there);
    for (const [i, text] of texts.entries()) expect([text.toString(), null]).toContain(found[i]);
    const known = found.filter((one) => one !== null).length;
    // As many as a search goes through, and a few of those that came when the table was smaller.
    expect(known).toBeGreaterThan(40);
    expect(known).toBeLessThan(texts.length);
    expect(table.size).toBeGreaterThanOrEqual(known);
    // What was pushed out is not counted: the table is as full as it was.
    const { bytes } = table;
    const inLines = texts.filter(({ length }) => length < 49);
    for (let round = 0; round < 50; round++) {
      for (const text of inLines) table.insert(route(text.toString()), text, 0, text.length);
    }
    expect(table.large).toBe(false);
    expect(table.bytes).toBeLessThan(bytes * 1.2);
  });

  test('the inside of a text is not taken for another one', () => {
    const secret = Buffer.from('a/secret');
    const changes = new RouteChanges();
    const inside = Buffer.alloc(32);
    inside.writeInt32LE(hashBytes(secret, 0, secret.length), 0);
    inside.writeInt32LE(secret.length, 4);
    inside.writeInt32LE(1, 8);
    inside.writeInt32LE(changes.generation, 12);
    secret.copy(inside, 16);
    let text = Buffer.alloc(0);
    for (let i = 0; text.length === 0; i++) {
      const made = Buffer.concat([Buffer.from(String(i).padStart(16, '0')), inside]);
      if (homeOf(made) === homeOf(secret)) text = made;
    }
    const table = new RouteTable(1e6, 1e9);
    table.insert(route('whoever made it'), text, 0, text.length, changes.generation);
    expect(table.lookup(text, 0, text.length)?.key.path).toBe('whoever made it');
    expect(lookupAll(table, [text, secret], changes)).toEqual(['whoever made it', null]);
    expect(table.lookup(secret, 0, secret.length)).toBe(null);
    table.insert(route('its own'), secret, 0, secret.length, changes.generation);
    expect(table.lookup(secret, 0, secret.length)?.key.path).toBe('its own');
    // What looks like it stands in its way, and it is left to be looked up alone.
    expect(lookupAll(table, [text, secret], changes)).toEqual(['whoever made it', null]);
  });

  test('topics that come once do not fill a large table, and do not push out what is used', () => {
    const table = new RouteTable(200_000, 1e9);
    const steady = Array.from({ length: 5000 }, (_, i) => route(`steady/${i}`));
    for (let round = 0; round < 3; round++) for (const one of steady) if (!has(table, one)) insert(table, one);
    for (let i = 0; i < 300_000; i++) insert(table, route(`once/${i}`));
    expect(table.size).toBeLessThan(20_000);
    let found = 0;
    for (const one of steady) if (has(table, one)) found++;
    expect(found).toBeGreaterThan(4900);
  });

  test('it stays within its count, and what is used all the time stays in it', () => {
    const table = new RouteTable(1000, 1e9);
    const steady = Array.from({ length: 50 }, (_, i) => route(`steady/${i}`));
    for (const one of steady) insert(table, one);
    let misses = 0;
    for (let i = 0; i < 50_000; i++) {
      insert(table, route(`passing/${i}`));
      const one = steady[i % steady.length]!;
      if (has(table, one)) continue;
      misses++;
      insert(table, one);
    }
    expect(table.size).toBeLessThanOrEqual(1000);
    expect(misses).toBeLessThan(50);
    expect(lookup(table, 'passing/0')).toBeNull();
    expect(lookup(table, 'passing/49999')).not.toBeNull();
  });

  test('it stays within its bytes', () => {
    const table = new RouteTable(1e6, 1e6);
    for (let i = 0; i < 500; i++) insert(table, route(`${'x'.repeat(10_000)}${i}`));
    expect(table.bytes).toBeLessThanOrEqual(1e6);
    expect(table.size).toBeGreaterThan(40);
    table.clear();
    expect([table.size, table.bytes]).toEqual([0, 0]);
    expect(lookup(table, `${'x'.repeat(10_000)}499`)).toBeNull();
  });

  test('a text longer than the whole table is kept until the next one', () => {
    const table = new RouteTable(100, 10_000);
    insert(table, route('x'.repeat(60_000)));
    for (let i = 0; i < 20; i++) insert(table, route(`${i}`));
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
              insert(table, made);
              map.set(bytes.toString('hex'), made);
              expect(lookup(table, one.text)).toBe(made);
            } else {
              const found = lookup(table, one.text);
              const expected = map.get(bytes.toString('hex')) ?? null;
              if (countMax === 1000) expect(found).toBe(expected);
              else if (found !== null) expect(found.key.path).toBe(one.text);
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('texts may have a route in common, which counts once', () => {
    const table = new RouteTable(1000, 1e6);
    const shared = route('shared');
    const alone = route('alone');
    insert(table, alone);
    const before = table.bytes;
    for (let i = 0; i < 100; i++) {
      const text = Buffer.from(`t/${i}`);
      table.insert(shared, text, 0, text.length);
    }
    const each = (table.bytes - before) / 100;
    expect(each).toBeLessThan(70);
    for (let i = 0; i < 100; i++) expect(lookup(table, `t/${i}`)).toBe(shared);
    // One by one they go elsewhere; the route they had is forgotten with the last.
    for (let i = 0; i < 100; i++) {
      const text = Buffer.from(`t/${i}`);
      table.insert(alone, text, 0, text.length);
      expect(lookup(table, `t/${i}`)).toBe(alone);
      if (i < 99) expect(lookup(table, `t/${i + 1}`)).toBe(shared);
    }
    expect(table.bytes).toBeLessThan(before + each * 100);
    insert(table, shared);
    expect([lookup(table, 'shared'), lookup(table, 't/7')]).toEqual([shared, alone]);
  });

  test('routes to the same set are one, until the bindings have changed thousands of times', () => {
    const table = new RouteTable(100, 1e6);
    const [x, y] = [new DestinationSet([], []), new DestinationSet([], [])];
    const leading = (set: DestinationSet, generation: number): Route =>
      Object.assign(route('r'), { set, generation, allowed: true });
    const first = leading(x, 1);
    expect(table.common(first)).toBe(first);
    expect(table.common(leading(x, 1))).toBe(first);
    const other = leading(y, 1);
    expect(table.common(other)).toBe(other);
    expect([first.shared, leading(x, 1).shared]).toEqual([true, false]);
    expect(table.common(leading(x, 4000))).toBe(first);
    const later = leading(x, 5000);
    expect(table.common(later)).toBe(later);
    expect(table.common(leading(x, 5001))).toBe(later);
  });

  test('a hundred thousand texts in use stay, in whatever order they come', () => {
    const table = new RouteTable(1e6, 1e9);
    const count = 100_000;
    const routes = [route('even'), route('odd')];
    const texts = Array.from({ length: count }, (_, i) => Buffer.from(`plant/${i % 97}/sensor/${i}`));
    let missing = count;
    let wrong = 0;
    // A stranger is taken the second time, most often; a note may have been written over.
    for (const step of [7919, 7927, 7933, 7937, 7949, 7951, 7963, 7993, 8009, 8011]) {
      missing = 0;
      for (let i = 0; i < count; i++) {
        const at = (i * step) % count;
        const text = texts[at]!;
        const there = table.lookup(text, 0, text.length);
        if (there !== null) wrong += there === routes[at % 2] ? 0 : 1;
        else {
          missing++;
          table.insert(routes[at % 2]!, text, 0, text.length);
        }
      }
    }
    expect(wrong).toBe(0);
    expect(missing).toBeLessThan(count / 1000);
    expect(table.bytes).toBeLessThan(count * 2 * 130);
  });

  test('long texts in use stay, in a table whose memory is full before its slots are', () => {
    const table = new RouteTable(1e6, 128 * 1024 * 1024);
    const routes = Array.from({ length: 12_000 }, (_, i) => route(`${'x'.repeat(900 + (i % 200))}/${i}`));
    // A few strangers, whose notes fall on the same place, need more rounds than the rest.
    for (let round = 0; round < 20; round++) for (const one of routes) if (!has(table, one)) insert(table, one);
    expect(routes.filter((one) => !has(table, one))).toHaveLength(0);
    expect(table.bytes).toBeGreaterThan(12_000 * 900);
    expect(table.bytes).toBeLessThanOrEqual(128 * 1024 * 1024);
    // The longest text that there is does not disturb them.
    const longest = route('y'.repeat(65_535));
    for (let round = 0; round < 20 && !has(table, longest); round++) insert(table, longest);
    expect(has(table, longest)).toBe(true);
    expect(routes.filter((one) => !has(table, one))).toHaveLength(0);
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
