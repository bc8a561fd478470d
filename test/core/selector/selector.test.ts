import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { topicAddress } from '../../../src/core/address.ts';
import { Message } from '../../../src/core/message.ts';
import { NO_PROPERTIES, type Properties } from '../../../src/core/properties.ts';
import { SELECTOR_DEPTH_MAX, SELECTOR_WORDS_MAX } from '../../../src/core/selector/compile.ts';
import {
  SELECTOR_LENGTH_MAX,
  SELECTORS_SHARED_MAX,
  Selector,
  SelectorTable,
} from '../../../src/core/selector/selector.ts';

function message(headers: Readonly<Record<string, string>>, properties: Partial<Properties> = {}, priority = 4) {
  const core = { ...NO_PROPERTIES, ...properties };
  const pairs = Object.entries(headers).flat();
  return new Message(topicAddress('t'), new Uint8Array(0), core, pairs, 1, false, priority, 1000, 0, null);
}

const SAMPLE = message(
  {
    color: 'red',
    weight: '12.5',
    count: '-3',
    urgent: 'true',
    off: 'false',
    name: "O'Hara 100%",
    day: '2024-05-01',
    big: '1e3',
  },
  { correlationId: Buffer.from('c-1'), type: 'order', messageId: 'm-1', contentType: 'text/plain', timestamp: '77' },
);

function selects(text: string): boolean {
  return new Selector(text).matches(SAMPLE);
}

describe('a selector', () => {
  it.each([
    "color = 'red'",
    "color <> 'blue'",
    "color != 'blue'",
    'weight = 12.5',
    'weight > 12 and weight < 13',
    'weight >= 12.5 AND weight <= 12.5',
    'big = 1000 AND big = 0x3E8 AND big = 1000L',
    'count < 0 AND count = -3 AND -count = 3 AND +count = -3',
    'weight * 2 + 1 = 26',
    'weight - 2.5 - 5 = 5',
    '1 + 2 * 3 = 7 AND (1 + 2) * 3 = 9 AND 8 / 4 / 2 = 1',
    'urgent = TRUE',
    'urgent',
    'NOT off',
    'off = FALSE AND urgent <> false',
    "color IN ('green', 'red')",
    "color NOT IN ('green')",
    'count IN (1, -3)',
    'weight BETWEEN 12 AND 13',
    'weight NOT BETWEEN 13 AND 20',
    "day BETWEEN '2024-01-01' AND '2024-12-31'",
    "color LIKE 'r%'",
    "color LIKE '_e_'",
    "color LIKE '%e%'",
    "color LIKE 'red'",
    "color NOT LIKE 'r'",
    "name LIKE 'O''Hara %!%' ESCAPE '!'",
    "name = 'O''Hara 100%'",
    'missing IS NULL',
    'color IS NOT NULL',
    "missing = 'x' OR color = 'red'",
    "NOT (missing = 'x' AND color = 'blue')",
    "(missing = 'x') IS NULL",
    'weight / 0 IS NULL',
    'JMSPriority = 4',
    "JMSCorrelationID = 'c-1'",
    "JMSType = 'order'",
    "JMSMessageID = 'm-1'",
    'JMSTimestamp = 77',
    "JMSDeliveryMode = 'PERSISTENT'",
    '"content-type" = \'text/plain\'',
    "type = 'order' AND priority > 3",
    'convert_string_expressions:weight > 12',
    "  color  =\t'red'\n",
  ])('selects by %s', (text) => {
    expect(selects(text)).toBe(true);
  });

  it.each([
    "color = 'blue'",
    "Color = 'red'",
    "color = 'RED'",
    'color = 5',
    'color > 5',
    "weight = '12'",
    'weight > 13',
    "missing = 'x'",
    "missing <> 'x'",
    "NOT missing = 'x'",
    "missing = 'x' AND color = 'red'",
    'missing BETWEEN 1 AND 2',
    "missing IN ('x')",
    "missing NOT LIKE 'x'",
    'NOT missing',
    'color',
    'weight',
    '12',
    'FALSE',
    "color LIKE 'r_'",
    "color LIKE 'RED'",
    "color LIKE ''",
    "name LIKE 'O''Hara !%' ESCAPE '!'",
    'weight + color = 1',
    "JMSCorrelationID = 'c-2'",
  ])('does not select by %s', (text) => {
    expect(selects(text)).toBe(false);
  });

  it('takes a header before a property of the same name', () => {
    expect(new Selector("type = 'mine'").matches(message({ type: 'mine' }, { type: 'order' }))).toBe(true);
    expect(new Selector("JMSType = 'order'").matches(message({ type: 'mine' }, { type: 'order' }))).toBe(true);
  });

  it.each([
    ['color =', 'a name, a text in single quotes or a number is expected, but it ends at position 8'],
    ["color = 'red", "the quote ' is never closed at position 9"],
    ["color == 'red'", 'is expected, but there is "=" at position 8'],
    ["color = 'red' size", 'AND, OR or the end is expected, but there is "size" at position 15'],
    ['color LIKE 5', 'a pattern in single quotes is expected, but there is "5" at position 12'],
    ["color LIKE 'a' ESCAPE 'bc'", 'ESCAPE is followed by one character at position 23'],
    ["color LIKE 'a!b' ESCAPE '!'", 'in the pattern at position 12'],
    ['color IS 5', 'NULL is expected, but there is "5" at position 10'],
    ['color NOT 5', 'BETWEEN, IN or LIKE is expected, but there is "5" at position 11'],
    ['color IN ()', 'is expected, but there is ")" at position 11'],
    ['weight BETWEEN 1 OR 2', 'AND is expected, but there is "OR" at position 18'],
    ['a & b', '"&" means nothing at position 3'],
    ['(a = 1', ') is expected, but it ends at position 7'],
    ['5x = 1', 'a number runs into a name at position 1'],
    ['convert_string_expressions:a =', 'but it ends at position 31'],
    [`${'('.repeat(SELECTOR_DEPTH_MAX + 1)}a`, `it is nested deeper than ${SELECTOR_DEPTH_MAX} at position`],
    [`${'NOT '.repeat(SELECTOR_DEPTH_MAX + 1)}a`, `it is nested deeper than ${SELECTOR_DEPTH_MAX} at position`],
    [`a IN (${'1,'.repeat(SELECTOR_WORDS_MAX)}1)`, `it has more than ${SELECTOR_WORDS_MAX} words at position`],
    ['a'.repeat(SELECTOR_LENGTH_MAX + 1), `it has ${SELECTOR_LENGTH_MAX + 1} characters and the limit is`],
    [`a LIKE '${'%'.repeat(129)}'`, 'a pattern is longer than 128 characters at position 8'],
  ])('that is wrong says what and where: %s', (text, problem) => {
    expect(() => new Selector(text)).toThrow(problem);
  });

  it('that is anything at all is refused or answers, and never fails otherwise', () => {
    const word = fc.constantFrom(
      'a',
      "'x'",
      '1',
      '=',
      '<',
      'AND',
      'OR',
      'NOT',
      'IN',
      '(',
      ')',
      ',',
      'LIKE',
      'IS',
      'NULL',
      'BETWEEN',
      '-',
      '*',
      '/',
      "'%_'",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 14 }), (words) => {
        const text = words.join(' ');
        let selector: Selector;
        try {
          selector = new Selector(text);
        } catch (error) {
          expect((error as Error).message).toMatch(/^selector: .* at position \d+$/);
          return;
        }
        expect(typeof selector.matches(SAMPLE)).toBe('boolean');
      }),
    );
  });

  it('matches LIKE as the regular expression would', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '%', '_'), maxLength: 8 });
    fc.assert(
      fc.property(letters, letters, (pattern, value) => {
        const expected = new RegExp(`^${pattern.replaceAll('%', '.*').replaceAll('_', '.')}$`).test(value);
        expect(new Selector(`v LIKE '${pattern}'`).matches(message({ v: value }))).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the table of selectors', () => {
  it('gives one object for one text, and none for an empty one', () => {
    const table = new SelectorTable();
    expect(table.get(' a = 1 ')).toBe(table.get('a = 1'));
    expect([table.get(''), table.get('  '), table.get(null), table.get(undefined)]).toEqual([null, null, null, null]);
  });

  it('shares so many, and the oldest no longer', () => {
    const table = new SelectorTable();
    const first = table.get('n = 0');
    for (let i = 1; i <= SELECTORS_SHARED_MAX; i++) table.get(`n = ${i}`);
    expect(table.size).toBe(SELECTORS_SHARED_MAX);
    expect(table.get('n = 0')).not.toBe(first);
  });
});
