import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { topicAddress } from '../../src/core/address.ts';
import { simpleMessage } from '../../src/core/message.ts';
import { type RetainedEntry, RetainedTable, type RetainedWalk, RetainedWalks } from '../../src/core/retained.ts';
import { type Codec, Run } from '../../src/core/run.ts';
import { matchesPattern } from './bindings.ts';

const NOW = 1_700_000_000_000;

/** A codec whose frame is the payload. */
const codec: Codec = {
  id: 99,
  name: 'plain',
  message: (run, index) =>
    simpleMessage(
      topicAddress('x'),
      run.bytes.subarray(run.frameStart(index), run.frameEnd(index)),
      run.guarantee,
      run.receivedAtMs,
    ),
};

function makeRun(text: string, expiresAtMs = 0): Run {
  const run = new Run(codec);
  // In the middle of a chunk, as a borrowed run is.
  run.bytes = Buffer.from(`<<${text}>>`);
  run.start = 2;
  run.end = run.bytes.length - 2;
  run.count = 1;
  run.guarantee = 1;
  run.variant = 5;
  run.priority = 7;
  run.receivedAtMs = NOW;
  run.expiresAtMs = expiresAtMs;
  return run;
}

function text(run: Run | null): string | null {
  return run === null ? null : Buffer.from(run.message(0).payload).toString();
}

function collect(walk: RetainedWalk, nowMs = NOW, limit = 3): [string, string][] {
  const found: RetainedEntry[] = [];
  for (let slices = 0; ; slices++) {
    if (slices > 10_000) throw new Error('the walk does not end');
    const slice: RetainedEntry[] = [];
    const done = walk.next(limit, slice, nowMs);
    if (slice.length > limit) throw new Error('a slice has more than its limit');
    found.push(...slice);
    if (done) break;
  }
  return found.map(({ path, run }) => [path, text(run)!]);
}

function byPath(a: [string, string], b: [string, string]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

function table(countMax = 1e9, bytesMax = 1e9): RetainedTable {
  return new RetainedTable({ countMax, bytesMax });
}

const level = fc.constantFrom('a', 'b', 'c', '', '$x', 'a-level-of-some-length');
const wildLevel = fc.oneof(level, fc.constantFrom('+', '#', '#', '+'));
const path = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const pattern = fc.array(wildLevel, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/'));

describe('retained table', () => {
  test('a topic has the message that was set last, with all that a run says about it', () => {
    const retained = table();
    expect(retained.get('a/b', NOW)).toBeNull();
    expect(retained.set('a/b', makeRun('one'))).toBe(true);
    expect(retained.set('a/b', makeRun('two'))).toBe(true);
    const run = retained.get('a/b', NOW)!;
    expect(text(run)).toBe('two');
    expect(run).toMatchObject({
      variant: 5,
      guarantee: 1,
      priority: 7,
      receivedAtMs: NOW,
      expiresAtMs: 0,
      count: 1,
      owned: true,
      frameBytesMax: 3,
    });
    expect(run.own()).toBe(run);
    expect([retained.count, retained.bytes]).toEqual([1, 6]);
    expect(retained.get('a', NOW)).toBeNull();
    expect(retained.get('a/b/c', NOW)).toBeNull();
  });

  test('the bytes are its own, and stay when the topic changes', () => {
    const retained = table();
    for (const size of [3, 5000]) {
      const source = makeRun('x'.repeat(size));
      retained.set('a', source);
      source.bytes.fill(0);
      const run = retained.get('a', NOW)!;
      retained.set('a', makeRun('y'.repeat(size)));
      retained.clear('a');
      retained.set('b', makeRun('z'.repeat(size)));
      expect(text(run)).toBe('x'.repeat(size));
    }
  });

  test('clearing says whether there was something', () => {
    const retained = table();
    retained.set('a/b', makeRun('one'));
    expect(retained.clear('a')).toBe(false);
    expect(retained.clear('x/y')).toBe(false);
    expect(retained.clear('a/b')).toBe(true);
    expect(retained.clear('a/b')).toBe(false);
    expect([retained.count, retained.bytes]).toEqual([0, 0]);
  });

  test('it takes no more topics and bytes than its limits', () => {
    const retained = table(2, 20);
    expect(retained.set('a', makeRun('12345'))).toBe(true);
    expect(retained.set('b', makeRun('12345'))).toBe(true);
    expect(retained.set('c', makeRun('1'))).toBe(false);
    expect(retained.set('b', makeRun('1234567890123'))).toBe(true);
    expect(retained.set('a', makeRun('123456'))).toBe(false);
    expect(text(retained.get('a', NOW))).toBe('12345');
    expect(retained.clear('b')).toBe(true);
    expect(retained.set('c', makeRun('12345678901234'))).toBe(false);
    expect(retained.set('c', makeRun('1234567890123'))).toBe(true);
    expect([retained.count, retained.bytes]).toEqual([2, 20]);
  });

  test('what has expired is not given out, and goes when it is swept', () => {
    const retained = table();
    retained.set('a', makeRun('short', NOW + 10));
    retained.set('b', makeRun('long', NOW + 1000));
    retained.set('c', makeRun('forever'));
    retained.set('d', makeRun('renewed', NOW + 10));
    retained.set('d', makeRun('renewed', NOW + 1000));
    retained.set('e', makeRun('cleared', NOW + 10));
    retained.clear('e');
    expect(text(retained.get('a', NOW + 9))).toBe('short');
    expect(retained.get('a', NOW + 10)).toBeNull();
    expect(collect(retained.walk('#'), NOW + 10).map(([at]) => at)).toEqual(['d', 'c', 'b']);
    const gone: string[] = [];
    expect(retained.expire(NOW + 10, (at) => gone.push(at))).toBe(1);
    expect(gone).toEqual(['a']);
    expect(retained.count).toBe(3);
    expect(retained.expire(NOW + 1000, (at) => gone.push(at), 1)).toBe(1);
    expect(retained.expire(NOW + 1000, (at) => gone.push(at))).toBe(1);
    expect(gone.slice(1).sort()).toEqual(['b', 'd']);
    expect(retained.count).toBe(1);
  });

  test('a topic that is renewed all the time does not fill the index of what expires', () => {
    const retained = table();
    retained.set('other', makeRun('o', NOW + 5));
    for (let i = 0; i < 5000; i++) retained.set(`gone/${i}`, makeRun('g', NOW + 5));
    for (let i = 0; i < 5000; i++) retained.clear(`gone/${i}`);
    for (let i = 0; i < 10_000; i++) retained.set('a', makeRun('v', NOW + 1000 + i));
    const { expiry } = retained as unknown as { expiry: { size: number } };
    expect(expiry.size).toBeLessThan(2000);
    const gone: string[] = [];
    retained.expire(NOW + 10_998, (at) => gone.push(at));
    expect(gone).toEqual(['other']);
    retained.expire(NOW + 10_999, (at) => gone.push(at));
    expect(gone).toEqual(['other', 'a']);
  });

  test('wildcards find what they match, topics with a dollar sign only by name', () => {
    const retained = table();
    for (const at of ['a', 'a/b', 'a/b/c', '/', '$SYS/x', 'a/$SYS']) retained.set(at, makeRun(at));
    const found = (by: string): string[] =>
      collect(retained.walk(by))
        .map(([at]) => at)
        .sort();
    expect(found('#')).toEqual(['/', 'a', 'a/$SYS', 'a/b', 'a/b/c']);
    expect(found('+/#')).toEqual(['/', 'a', 'a/$SYS', 'a/b', 'a/b/c']);
    expect(found('a/#')).toEqual(['a', 'a/$SYS', 'a/b', 'a/b/c']);
    expect(found('a/+')).toEqual(['a/$SYS', 'a/b']);
    expect(found('+/+')).toEqual(['/', 'a/$SYS', 'a/b']);
    expect(found('$SYS/+')).toEqual(['$SYS/x']);
    expect(found('+/x')).toEqual([]);
    expect(found('#/c')).toEqual(['a/b/c']);
    expect(found('a/b/c')).toEqual(['a/b/c']);
    expect(collect(retained.walkAll())).toHaveLength(6);
  });

  test('a slice is bounded by what it looks at, too', () => {
    const retained = table();
    for (let i = 0; i < 2000; i++) retained.set(`a/${i}/x`, makeRun('v'));
    retained.set('a/999/y', makeRun('found'));
    const walk = retained.walk('a/+/y');
    const found: RetainedEntry[] = [];
    let slices = 1;
    while (!walk.next(10, found, NOW)) slices++;
    expect(found.map((entry) => entry.path)).toEqual(['a/999/y']);
    expect(slices).toBeGreaterThan(20);
  });

  test('a walk that stands at a topic which goes does not go on in the one that takes its place', () => {
    // Every number of steps that a first slice can stop after.
    for (let more = 0; more < 12; more++) {
      const retained = table();
      for (let i = 0; i < 20; i++) retained.set(`a/${i}/y`, makeRun('v'));
      for (let i = 0; i < more; i++) retained.set(`a/m${i}`, makeRun('v'));
      const walk = retained.walk('a/+/x');
      const found: RetainedEntry[] = [];
      walk.next(1, found, NOW);
      for (let i = 0; i < 20; i++) {
        retained.clear(`a/${i}/y`);
        retained.set(`b${i}/x`, makeRun('v'));
      }
      while (!walk.next(1, found, NOW));
      expect(found).toEqual([]);
    }
  });

  test('many # in a pattern do not make a walk explode', () => {
    const retained = table();
    retained.set(Array.from({ length: 60 }, () => 'a').join('/'), makeRun('deep'));
    expect(collect(retained.walk(`${'#/a/'.repeat(25)}b`))).toEqual([]);
    expect(collect(retained.walk(`${'#/a/'.repeat(25)}#`))).toHaveLength(1);
  });

  test('a node with many children loses them again', () => {
    const retained = table();
    for (const times of [1, 2]) {
      for (let i = 0; i < 500; i++) retained.set(`dev/${i}`, makeRun(`${times}`));
      for (let i = 0; i < 500; i += 3) expect(text(retained.get(`dev/${i}`, NOW))).toBe(`${times}`);
      for (let i = 0; i < 500; i++) expect(retained.clear(`dev/${i}`)).toBe(true);
      expect(collect(retained.walkAll())).toEqual([]);
    }
  });

  test('it does what a map and a plain matcher do', () => {
    const command = fc.record({
      kind: fc.constantFrom('set', 'set', 'set', 'clear', 'tick', 'sweep', 'walk'),
      path,
      pattern,
      size: fc.oneof(fc.nat(20), fc.nat(5000)),
      ttl: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120, size: 'max' }), (commands) => {
        const retained = table();
        const map = new Map<string, { value: string; expiresAtMs: number }>();
        let now = NOW;
        let made = 0;
        const live = (at: string): boolean => {
          const entry = map.get(at);
          return entry !== undefined && (entry.expiresAtMs === 0 || entry.expiresAtMs > now);
        };
        for (const { kind, path, pattern, size, ttl } of commands) {
          if (kind === 'set') {
            const value = `${made++}:${'v'.repeat(size)}`;
            const expiresAtMs = ttl === 0 ? 0 : now + ttl;
            retained.set(path, makeRun(value, expiresAtMs));
            map.set(path, { value, expiresAtMs });
          } else if (kind === 'clear') {
            expect(retained.clear(path)).toBe(map.delete(path));
          } else if (kind === 'tick') {
            now += ttl;
          } else if (kind === 'sweep') {
            const gone: string[] = [];
            retained.expire(now, (at) => gone.push(at));
            const due = [...map.keys()].filter((at) => !live(at));
            expect(gone.sort()).toEqual(due.sort());
            for (const at of due) map.delete(at);
          } else {
            const expected = [...map].filter(([at]) => live(at) && matchesPattern(pattern, at));
            expect(collect(retained.walk(pattern), now).sort(byPath)).toEqual(
              expected.map(([at, entry]): [string, string] => [at, entry.value]).sort(byPath),
            );
          }
          expect(retained.count).toBe(map.size);
          expect(text(retained.get(path, now))).toBe(live(path) ? map.get(path)!.value : null);
          let bytes = 0;
          for (const [at, entry] of map) bytes += at.length + entry.value.length;
          expect(retained.bytes).toBe(bytes);
        }
        const all = [...map].filter(([at]) => live(at)).map(([at, entry]): [string, string] => [at, entry.value]);
        expect(collect(retained.walkAll(), now).sort(byPath)).toEqual(all.sort(byPath));
      }),
      { numRuns: 200 },
    );
  });

  test('a walk finds what is there all the time exactly once, whatever else comes and goes between its slices', () => {
    // Few first levels and many second ones, so that lists of siblings are long and change a lot.
    const number = fc.nat(30);
    const topic = fc
      .tuple(fc.constantFrom('a', 'b'), number, fc.constantFrom('', '/x', '/y'))
      .map(([a, n, b]) => `${a}/${n}${b}`);
    const change = fc.record({ clear: fc.boolean(), topic });
    fc.assert(
      fc.property(
        fc.uniqueArray(topic, { maxLength: 60, size: 'max' }),
        fc.array(fc.array(change, { maxLength: 8 }), { maxLength: 40, size: 'max' }),
        fc.constantFrom('#', 'a/#', '+/+/x', 'a/+', '#/x', 'b/#/x', 'a/7/#'),
        fc.integer({ min: 1, max: 4 }),
        (initial, changes, by, limit) => {
          const retained = table();
          for (const at of initial) retained.set(at, makeRun('0'));
          const steady = new Set(initial);
          const ever = new Set(initial);
          const walk = retained.walk(by);
          const found: RetainedEntry[] = [];
          let turn = 0;
          for (;;) {
            const before = found.length;
            const done = walk.next(limit, found, NOW);
            expect(found.length - before).toBeLessThanOrEqual(limit);
            // What a slice gives out is there at that moment.
            for (const entry of found.slice(before)) expect(retained.get(entry.path, NOW)).not.toBeNull();
            if (done) break;
            for (const one of changes[turn++] ?? []) {
              if (one.clear) {
                retained.clear(one.topic);
                steady.delete(one.topic);
              } else {
                retained.set(one.topic, makeRun('1'));
                ever.add(one.topic);
              }
            }
          }
          const paths = found.map((entry) => entry.path);
          for (const at of paths) expect(ever.has(at) && matchesPattern(by, at)).toBe(true);
          for (const at of steady) {
            if (matchesPattern(by, at)) expect(paths.filter((found) => found === at)).toEqual([at]);
          }
          expect(new Set(paths).size).toBe(paths.length);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('the walks of one client', () => {
  interface Slice {
    readonly found: [number, string][];
  }

  function slices(walks: RetainedWalks<number>, entries: number): Slice[] {
    const all: Slice[] = [];
    while (walks.about !== null) {
      if (all.length > 100_000) throw new Error('the walks do not end');
      const found: [number, string][] = [];
      walks.begin(entries);
      for (let about = walks.about; about !== null && !walks.used; about = walks.about) {
        const into: RetainedEntry[] = [];
        walks.next(into, NOW);
        for (const entry of into) found.push([about, entry.path]);
      }
      all.push({ found });
    }
    return all;
  }

  test('many that find one message each, or none, share a slice', () => {
    const retained = table();
    const walks = new RetainedWalks<number>(retained);
    for (let i = 0; i < 10_000; i++) {
      if (i % 2 === 0) retained.set(`plant/${i}`, makeRun('x'));
      walks.add(`plant/${i}`, i);
    }
    const all = slices(walks, 128);
    expect(all.flatMap(({ found }) => found)).toEqual(
      Array.from({ length: 5000 }, (_, i) => [2 * i, `plant/${2 * i}`]),
    );
    expect(all.length).toBeLessThan(10_000 / 50);
    for (const { found } of all) expect(found.length).toBeLessThanOrEqual(128);
  });

  test('a long one takes as many slices as it needs, and the next one follows in the last of them', () => {
    const retained = table();
    for (let i = 0; i < 1000; i++) retained.set(`a/${i}`, makeRun('x'));
    retained.set('b', makeRun('y'));
    const walks = new RetainedWalks<number>(retained);
    walks.add('a/+', 1);
    walks.add('b', 2);
    const all = slices(walks, 100);
    expect(all.length).toBeGreaterThan(9);
    expect(all.length).toBeLessThan(13);
    for (const { found } of all) expect(found.length).toBeLessThanOrEqual(101);
    const found = all.flatMap(({ found }) => found);
    expect(found).toHaveLength(1001);
    expect(found.at(-1)).toEqual([2, 'b']);
  });

  test('one that is skipped or cleared away finds nothing any more', () => {
    const retained = table();
    for (const path of ['a', 'b', 'c']) retained.set(path, makeRun('x'));
    const walks = new RetainedWalks<number>(retained);
    for (const [i, path] of ['a', 'b', 'c'].entries()) walks.add(path, i);
    walks.skip();
    expect(walks.about).toBe(1);
    expect(slices(walks, 10).flatMap(({ found }) => found)).toEqual([
      [1, 'b'],
      [2, 'c'],
    ]);
    walks.add('a', 5);
    walks.clear();
    expect(walks.about).toBeNull();
  });

  test('what each finds is what it would find alone', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(path, { maxLength: 30 }),
        fc.array(pattern, { maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        (paths, patterns, entries) => {
          const retained = table();
          for (const path of paths) retained.set(path, makeRun('x'));
          const walks = new RetainedWalks<number>(retained);
          for (const [i, one] of patterns.entries()) {
            const alone = collect(retained.walk(one));
            // Certain when it says no.
            if (!retained.mayHave(one)) expect(alone).toEqual([]);
            walks.add(one, i);
          }
          const expected = patterns.flatMap((one, i) => collect(retained.walk(one)).map(([path]) => [i, path]));
          expect(slices(walks, entries).flatMap(({ found }) => found)).toEqual(expected);
        },
      ),
    );
  });

  test('a pattern without wildcards has something only where there is a message', () => {
    const retained = table();
    expect(retained.mayHave('#')).toBe(false);
    retained.set('a/b', makeRun('x'));
    expect(['a/b', 'a', 'a/b/c', '#', 'x/+'].map((one) => retained.mayHave(one))).toEqual([
      true,
      false,
      false,
      true,
      true,
    ]);
  });
});
