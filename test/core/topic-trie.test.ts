import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Binding } from '../../src/core/binding.ts';
import { RouteResult } from '../../src/core/exchange.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import { TopicTrie } from '../../src/core/topic-trie.ts';
import { binding, destination, matchesPattern, sorted } from './bindings.ts';

function matched(trie: TopicTrie, path: string): Binding[] {
  const result = new RouteResult().begin();
  trie.match(new RoutingKey(path), result);
  return sorted(result);
}

/** Which of the patterns match, each being the only one in its trie and all of them together. */
function matchedPatterns(patterns: string[], path: string): string[] {
  const trie = new TopicTrie();
  for (const pattern of patterns) trie.add(binding(pattern));
  return matched(trie, path).map((found) => found.key);
}

/** Everything the trie holds, but for the marks of past matches. */
function shape(trie: TopicTrie): string {
  return JSON.stringify(trie, (name, value: unknown) =>
    name === 'stamp' ? 0 : value instanceof Map ? [...value] : value,
  );
}

const level = fc.constantFrom('a', 'b', 'c', '', '$x');
const wildLevel = fc.constantFrom('a', 'b', 'c', '', '$x', '+', '#', '#');
const path = fc.array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join('/'));
const pattern = fc.array(wildLevel, { minLength: 1, maxLength: 6 }).map((levels) => levels.join('/'));

describe('topic trie', () => {
  test('a pattern without wildcards matches its own path and nothing else', () => {
    expect(matchedPatterns(['a/b', 'a', 'a/b/c', '/a/b', 'a/b/', 'A/b'], 'a/b')).toEqual(['a/b']);
  });

  test('the examples of the MQTT specification hold', () => {
    const all = [
      'sport/tennis/player1/#',
      'sport/#',
      '#',
      '+',
      '+/tennis/#',
      'sport/+/player1',
      'sport/+',
      '+/+',
      '/+',
    ];
    // MQTT 5.0 section 4.7.1
    expect(matchedPatterns(all, 'sport/tennis/player1')).toEqual([
      'sport/tennis/player1/#',
      'sport/#',
      '#',
      '+/tennis/#',
      'sport/+/player1',
    ]);
    expect(matchedPatterns(all, 'sport')).toEqual(['sport/#', '#', '+']);
    expect(matchedPatterns(all, 'sport/')).toEqual(['sport/#', '#', 'sport/+', '+/+']);
    expect(matchedPatterns(all, '/finance')).toEqual(['#', '+/+', '/+']);
  });

  test('a wildcard in the first level does not match a first level that starts with a dollar sign', () => {
    // [MQTT-4.7.2-1]
    const all = ['#', '+/monitor/Clients', '$SYS/#', '$SYS/monitor/+', '#/Clients', '+/#', '$SYS/monitor/Clients'];
    expect(matchedPatterns(all, '$SYS/monitor/Clients')).toEqual(['$SYS/#', '$SYS/monitor/+', '$SYS/monitor/Clients']);
    expect(matchedPatterns(['a/+', 'a/#'], 'a/$SYS')).toEqual(['a/+', 'a/#']);
    expect(matchedPatterns(['#/$SYS'], '$SYS')).toEqual([]);
  });

  test('a # in the middle stands for zero or more levels', () => {
    const all = ['a/#/z', 'a/#/m/#/z', '#/z', 'a/#/+/z'];
    expect(matchedPatterns(all, 'a/z')).toEqual(['a/#/z', '#/z']);
    expect(matchedPatterns(all, 'a/m/z')).toEqual(['a/#/z', 'a/#/m/#/z', '#/z', 'a/#/+/z']);
    expect(matchedPatterns(all, 'a/m')).toEqual([]);
  });

  test('escaped wildcard characters and whole-level look-alikes are literal', () => {
    expect(matchedPatterns(['\0p', 'a+', '+'], '\0p')).toEqual(['\0p', '+']);
    expect(matchedPatterns(['a+', 'a#/b'], 'a+')).toEqual(['a+']);
    expect(matchedPatterns(['a+', 'a#/b'], 'ab')).toEqual([]);
  });

  test('an empty key is one empty level', () => {
    expect(matchedPatterns(['', '+', '#', '+/+', 'a'], '')).toEqual(['', '+', '#']);
  });

  test('it finds what the naive matcher finds', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 12 }), path, (patterns, text) => {
        const trie = new TopicTrie();
        const bindings = patterns.map((key) => binding(key));
        for (const one of bindings) trie.add(one);
        expect(matched(trie, text)).toEqual(bindings.filter((one) => matchesPattern(one.key, text)));
      }),
      { numRuns: 2000 },
    );
  });

  test('it stays true to a plain list while bindings come and go', () => {
    const step = fc.record({ key: pattern, remove: fc.boolean(), at: fc.nat(), ask: path });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const trie = new TopicTrie();
        const list: Binding[] = [];
        const targets = [destination(), destination(), destination()];
        for (const { key, remove, at, ask } of steps) {
          if (remove && list.length > 0) {
            const [gone] = list.splice(at % list.length, 1);
            expect(trie.remove(gone!)).toBe(true);
            expect(trie.remove(gone!)).toBe(false);
          } else {
            const target = targets[at % targets.length]!;
            if (list.some((one) => one.key === key && one.destination === target)) continue;
            const added = binding(key, target);
            list.push(added);
            trie.add(added);
          }
          expect(trie.size).toBe(list.length);
          expect(matched(trie, ask)).toEqual(
            list.filter((one) => matchesPattern(one.key, ask)).sort((a, b) => a.way - b.way),
          );
        }
        for (const one of list) trie.remove(one);
        // Nothing is left behind: what was pruned looks like a new one.
        expect(shape(trie)).toBe(shape(new TopicTrie()));
      }),
      { numRuns: 300 },
    );
  });

  test('an equal binding removes the one that was added', () => {
    const trie = new TopicTrie();
    const target = destination();
    trie.add(binding('a/+', target));
    trie.add(binding('a/b', target));
    expect(trie.remove(binding('a/+', destination()))).toBe(false);
    expect(trie.remove(binding('a/+', target))).toBe(true);
    expect(trie.remove(binding('a/b', target, new Map([['k', 'v']])))).toBe(false);
    expect(trie.remove(binding('a/b', target))).toBe(true);
    expect(trie.size).toBe(0);
  });

  test('many subscribers of one pattern come and go in any order', () => {
    for (const key of ['a/b', 'a/+']) {
      const trie = new TopicTrie();
      const all = Array.from({ length: 100 }, () => binding(key));
      for (const one of all) trie.add(one);
      expect(matched(trie, 'a/b')).toEqual(all);
      const rest = all.filter((_, i) => i % 7 !== 0);
      for (const one of all) if (!rest.includes(one)) expect(trie.remove(one)).toBe(true);
      // By value, too.
      expect(trie.remove(binding(key, rest.pop()!.destination))).toBe(true);
      expect(matched(trie, 'a/b')).toEqual(rest);
      for (const one of rest) trie.remove(one);
      expect(matched(trie, 'a/b')).toEqual([]);
    }
  });

  test('many # in one pattern cost no more than levels times nodes', () => {
    const trie = new TopicTrie();
    const deep = Array.from({ length: 200 }, () => '#/a').join('/');
    trie.add(binding(`${deep}/b`));
    trie.add(binding('#/#/#/#/#/#/#/#/#/#/c'));
    // Ways through it grow like 2000 over 200; visiting each node once per level is 400,000 steps.
    const key = Array.from({ length: 2000 }, () => 'a').join('/');
    expect(matched(trie, key)).toEqual([]);
    expect(matched(trie, `${key}/b`)).toHaveLength(1);
    expect(matched(trie, `${key}/c`)).toHaveLength(1);
  });

  test('# after # is the same as one #', () => {
    expect(matchedPatterns(['#/#', 'a/#/#/b', '#'], 'a/b')).toEqual(['#/#', 'a/#/#/b', '#']);
    expect(matchedPatterns([Array.from({ length: 50_000 }, () => '#').join('/')], 'a')).toHaveLength(1);
    const trie = new TopicTrie();
    const one = binding('a/#/#/b');
    trie.add(one);
    expect(trie.remove(one)).toBe(true);
    expect(shape(trie)).toBe(shape(new TopicTrie()));
  });
});
