// The table is up to date and has no blank where a server is bound.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MQTT5, MQTT311 } from './statements.ts';
import { findStomp, statements, stompMarkdown, unknownStomp, untestedStomp } from './stomp-table.ts';
import { find, markdown, unknown, untested } from './table.ts';

const root = join(import.meta.dirname, '../..');
const found = find(root);

test('every statement about a server has a test', () => {
  expect(untested(found)).toEqual([]);
});

test('every tag is a statement', () => {
  expect(unknown(found)).toEqual([]);
});

test('the table is made of the tags as they are', () => {
  // To renew it: node src/cli/ensure.mjs run test/conformance/generate.ts
  expect(readFileSync(join(root, 'test/conformance/mqtt.md'), 'utf8')).toBe(markdown(found));
});

test('no statement stands twice in the list', () => {
  for (const list of [MQTT5, MQTT311]) {
    expect(new Set(list.map(({ id }) => id)).size).toBe(list.length);
  }
});

test('every statement of STOMP has a test, every tag is a statement, and the table is made of them', () => {
  const stomp = findStomp(root);
  expect(untestedStomp(stomp)).toEqual([]);
  expect(unknownStomp(stomp)).toEqual([]);
  expect(readFileSync(join(root, 'test/conformance/stomp.md'), 'utf8')).toBe(stompMarkdown(stomp));
  expect(new Set(statements()).size).toBe(statements().length);
});
