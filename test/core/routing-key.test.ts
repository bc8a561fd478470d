import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  dottedToPath,
  levelFromPath,
  levelToPath,
  pathToDotted,
  patternToDotted,
  percentDecode,
  RoutingKey,
  separatedToPath,
  separatedToPattern,
} from '../../src/core/routing-key.ts';

/** One level with whatever characters; U+0000 is allowed in no protocol. */
const LEVEL = fc.string({ unit: fc.constantFrom(...'ab.+/#*%>$ éß語𝄞0127EFf') });
const LEVELS = fc.array(LEVEL, { minLength: 1, maxLength: 5 });

describe('a routing key', () => {
  test.each([
    ['a.b/c', 'a%2Eb.c', 'a.b/c'],
    ['a\0sb/c', 'a%2Fb.c', 'a%2Fb/c'],
    ['\0p/\0h', '+.%23', '%2B/%23'],
    ['/a//', '.a..', '/a//'],
    ['100%/*', '100%25.%2A', '100%/*'],
    ['', '', ''],
  ])('%j is %j with dots and %j for MQTT', (path, dotted, mqtt) => {
    const key = new RoutingKey(path);
    expect(key.dotted).toBe(dotted);
    expect(key.mqtt).toBe(mqtt);
    expect(key.levels).toEqual(path.split('/'));
    expect(dottedToPath(dotted)).toBe(path);
  });

  test('any list of levels survives every notation', () => {
    fc.assert(
      fc.property(LEVELS, (levels) => {
        const path = levels.map(levelToPath).join('/');
        expect(path.split('/').map(levelFromPath)).toEqual(levels);
        const dotted = pathToDotted(path);
        expect(dotted.split('.')).toHaveLength(levels.length);
        expect(dotted).not.toMatch(/[*#/]/);
        expect(dottedToPath(dotted)).toBe(path);
      }),
    );
  });

  test('any text with dots is some key, and stays that key', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab.+/#*%2EF>é') }), (text) => {
        const path = dottedToPath(text);
        expect(dottedToPath(pathToDotted(path))).toBe(path);
      }),
    );
  });

  test('an MQTT topic is its own path', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab./%*$é語') }), (topic) => {
        expect(new RoutingKey(topic).mqtt).toBe(topic);
        expect(dottedToPath(new RoutingKey(topic).dotted)).toBe(topic);
      }),
    );
  });
});

describe('a pattern', () => {
  test.each([
    ['a.*.#', 'a/+/#'],
    ['*', '+'],
    ['#', '#'],
    ['a*.b#', 'a*/b\0h'],
    ['%2A.%23.+', '*/\0h/\0p'],
    ['a.>', 'a/>'],
    ['', ''],
  ])('%j is %j', (dotted, path) => {
    expect(separatedToPattern(dotted, '.', false)).toBe(path);
  });

  test("'>' is many levels where asked for", () => {
    expect(separatedToPattern('a.>', '.', true)).toBe('a/#');
    expect(separatedToPattern('a.>b', '.', true)).toBe('a/>b');
  });

  test('with slashes between levels keeps its dots', () => {
    expect(separatedToPattern('a.b/*/#', '/', false)).toBe('a.b/+/#');
    expect(separatedToPath('a.b/c', '/')).toBe('a.b/c');
  });

  test('comes back as it was', () => {
    const level = fc.oneof(fc.constantFrom('+', '#'), LEVEL.map(levelToPath));
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 5 }), (levels) => {
        const pattern = levels.join('/');
        expect(separatedToPattern(patternToDotted(pattern), '.', false)).toBe(pattern);
      }),
    );
  });
});

describe('percent-encoding', () => {
  test.each([
    ['%41', 'A'],
    ['%C3%A9', 'é'],
    ['%c3%a9', 'é'],
    ['a%2Eb%2Ec', 'a.b.c'],
    ['100%', '100%'],
    ['%', '%'],
    ['%4', '%4'],
    ['%zz', '%zz'],
    ['%C3', '%C3'],
    ['%FF', '%FF'],
    ['%25%34%31', '%41'],
    ['none', 'none'],
  ])('%j stands for %j', (text, decoded) => {
    expect(percentDecode(text)).toBe(decoded);
  });
});
