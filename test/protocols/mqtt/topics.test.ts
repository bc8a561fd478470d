// Topic names, filters and shared subscriptions: tables of examples, then random texts against the rules written a second time as patterns.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  hasWildcard,
  isShared,
  parseTopicFilter,
  validTopicFilter,
  validTopicName,
  validTopicNameBytes,
} from '../../../protocols/mqtt/topics.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Texts in which separators, wildcards and dollars are frequent. */
const topicLike = fc
  .array(fc.constantFrom('a', 'b', '/', '/', '+', '#', '$', '$share/', 'ä', '😀', '\0', ' ', '.'), { maxLength: 10 })
  .map((parts) => parts.join(''));

describe('topic names', () => {
  it.each(['a', '/', '//', 'a/b', '/a', 'a/', ' ', 'a b/c', '$SYS/x', '$', 'ä/😀', '\ufeff', 'a.b*c', '$share/g/a'])(
    'takes %j',
    (topic) => {
      expect(validTopicName(topic)).toBe(true);
      const bytes = bytesOf(topic);
      expect(validTopicNameBytes(bytes, 0, bytes.length)).toBe(true);
    },
  );

  it.each(['', '+', '#', 'a/+', 'a/#', 'a+', '#a', 'a/+/b', '\0', 'a\0b'])(
    '[MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] refuses %j',
    (topic) => {
      expect(validTopicName(topic)).toBe(false);
      const bytes = bytesOf(topic);
      expect(validTopicNameBytes(bytes, 0, bytes.length)).toBe(false);
    },
  );

  it('judges bytes and text alike, wherever the bytes stand', () => {
    fc.assert(
      fc.property(
        topicLike,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        (topic, bytesMax, levelsMax) => {
          const limits = { bytesMax, levelsMax };
          const bytes = bytesOf(`+${topic}#`);
          const expected =
            /^[^+#\0]+$/u.test(topic) && bytes.length - 2 <= bytesMax && topic.split('/').length <= levelsMax;
          expect(validTopicName(topic, limits)).toBe(expected);
          expect(validTopicNameBytes(bytes, 1, bytes.length - 1, limits)).toBe(expected);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('[MQTT-1.5.4-1] refuses bytes that are not UTF-8', () => {
    for (const bytes of [[0xff], [0x61, 0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
      expect(validTopicNameBytes(Uint8Array.from(bytes), 0, bytes.length)).toBe(false);
    }
  });

  it('[MQTT-4.7.3-3] takes 65,535 bytes and not one more', () => {
    expect(validTopicName('a'.repeat(65_535))).toBe(true);
    expect(validTopicName('a'.repeat(65_536))).toBe(false);
    expect(validTopicName('ä'.repeat(32_768))).toBe(false);
    expect(validTopicName('/'.repeat(65_535))).toBe(true);
    expect(validTopicNameBytes(new Uint8Array(65_536).fill(0x61), 0, 65_536)).toBe(false);
  });
});

describe('topic filters', () => {
  it.each([
    '#',
    '+',
    '/',
    'a',
    'a/#',
    '/#',
    '+/+',
    '/+',
    '+/',
    '+/a/#',
    'a/+/b',
    'a//#',
    '$SYS/#',
    '$share',
    '$sharex/g/a',
    'ä/+',
  ])('takes %j', (filter) => {
    expect(parseTopicFilter(filter)).toEqual({ share: null, filter });
    expect(validTopicFilter(filter)).toBe(true);
  });

  it.each([
    '',
    'a#',
    'a/b#',
    '#/',
    '#/a',
    'a/#/b',
    '##',
    'a+',
    '+a',
    'a/+b',
    'a/b+/c',
    '++',
    '+#',
    '#+',
    'a\0',
    '\0/#',
  ])('[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] refuses %j', (filter) => {
    expect(parseTopicFilter(filter)).toBeNull();
    expect(validTopicFilter(filter)).toBe(false);
  });

  it.each([
    ['$share/g/a', 'g', 'a'],
    ['$share/g/#', 'g', '#'],
    ['$share/g//a', 'g', '/a'],
    ['$share/g//', 'g', '/'],
    ['$share/group one/a/+/b', 'group one', 'a/+/b'],
    ['$share/$g/$SYS/x', '$g', '$SYS/x'],
    ['$share/g/$share/h/a', 'g', '$share/h/a'],
  ])('[MQTT-4.8.2-1] finds share and filter in %j', (text, share, filter) => {
    expect(parseTopicFilter(text)).toEqual({ share, filter });
    expect(isShared(text)).toBe(true);
  });

  it.each([
    '$share/',
    '$share/g',
    '$share/g/',
    '$share//a',
    '$share///',
    '$share/+/a',
    '$share/#',
    '$share/g+/a',
    '$share/g#/a',
    '$share/g/a#',
    '$share/g/+a',
    '$share/\0/a',
  ])('[MQTT-4.8.2-1] [MQTT-4.8.2-2] refuses %j', (text) => {
    expect(isShared(text)).toBe(true);
    expect(parseTopicFilter(text)).toBeNull();
  });

  it('follows the rules of 4.7.1 and 4.8.2 for any text', () => {
    const plain = /^(?:(?:\+|[^/+#\0]*)\/)*(?:\+|#|[^/+#\0]*)$/u;
    let shared = 0;
    fc.assert(
      fc.property(topicLike, (text) => {
        const share = /^\$share\/([^/+#\0]+)\/(.+)$/su.exec(text);
        const filter = text.startsWith('$share/') ? (share?.[2] ?? '') : text;
        const expected = filter !== '' && plain.test(filter);
        if (expected && share !== null) shared += 1;
        expect(validTopicFilter(text)).toBe(expected);
        if (expected) expect(parseTopicFilter(text)).toEqual({ share: share?.[1] ?? null, filter });
      }),
      { numRuns: 5_000 },
    );
    expect(shared).toBeGreaterThan(0);
  });

  it('counts the bytes of the whole text and the levels of what is matched', () => {
    expect(validTopicFilter('a/b/c', { bytesMax: 5, levelsMax: 3 })).toBe(true);
    expect(validTopicFilter('a/b/c', { bytesMax: 4, levelsMax: 3 })).toBe(false);
    expect(validTopicFilter('a/b/c', { bytesMax: 5, levelsMax: 2 })).toBe(false);
    expect(validTopicFilter('$share/g/a/b/c', { bytesMax: 14, levelsMax: 3 })).toBe(true);
    expect(validTopicFilter('$share/g/a/b/c', { bytesMax: 13, levelsMax: 3 })).toBe(false);
    expect(validTopicFilter('ä', { bytesMax: 1, levelsMax: 1 })).toBe(false);
  });

  it('knows which filters have a wildcard', () => {
    expect(['a', '/', '$share/g/a'].filter(hasWildcard)).toEqual([]);
    expect(['#', '+', 'a/#', 'a/+/b', '+/a'].every(hasWildcard)).toBe(true);
  });
});
