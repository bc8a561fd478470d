// Finds the tags of statements in titles of tests (and the rows of their tables) and in comments of the code, and makes the table of test/conformance/mqtt.md of them. A tag is a number in brackets; those of
// MQTT 3.1.1 say so:  [MQTT-3.1.0-2]  [3.1.1 MQTT-3.1.0-2]
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { MQTT5, MQTT311, type Statement } from './statements.ts';

/** Where the code is that a statement can be obeyed in. */
const CODE = ['protocols/mqtt', 'protocols/websocket', 'src/core'];
const TESTS = ['test'];
const TAG = /\[(3\.1\.1 )?(MQTT-[\d.-]+-\d+)\]/g;
/** A comment to the end of its line. Titles of tests, and the rows of their tables, are texts. */
const COMMENT = /^\s*(?:\/\/|\*|\/\*).*$/gm;

export interface Found {
  /** Paths from the root, by tag as written: 'MQTT-…' or '3.1.1 MQTT-…'. */
  readonly code: ReadonlyMap<string, ReadonlySet<string>>;
  readonly tests: ReadonlyMap<string, ReadonlySet<string>>;
}

export function find(root: string): Found {
  return findTags(root, CODE, TAG);
}

/** tag: one or two groups, the last of which is the number and the first what stands in front of it. */
export function findTags(root: string, folders: readonly string[], tag: RegExp): Found {
  const code = new Map<string, Set<string>>();
  const tests = new Map<string, Set<string>>();
  for (const path of files(root, folders, '.ts')) collect(code, readFileSync(join(root, path), 'utf8'), path, tag);
  for (const path of files(root, TESTS, '.test.ts')) {
    collect(tests, readFileSync(join(root, path), 'utf8').replaceAll(COMMENT, ''), path, tag);
  }
  return { code, tests };
}

function* files(root: string, folders: readonly string[], end: string): Iterable<string> {
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && entry.name.endsWith(end)) yield relative(root, join(entry.parentPath, entry.name));
    }
  }
}

function collect(into: Map<string, Set<string>>, text: string, path: string, pattern: RegExp): void {
  for (const [, first = '', last = ''] of text.matchAll(pattern)) {
    const tag = `${first}${last}`;
    let paths = into.get(tag);
    if (paths === undefined) {
      paths = new Set();
      into.set(tag, paths);
    }
    paths.add(path);
  }
}

export function tagOf(statement: Statement, version: '5.0' | '3.1.1'): string {
  return version === '5.0' ? statement.id : `3.1.1 ${statement.id}`;
}

/** Statements that bind a server and have no test. */
export function untested(found: Found): string[] {
  const tags: string[] = [];
  for (const [version, list] of VERSIONS) {
    for (const statement of list) {
      const tag = tagOf(statement, version);
      if (bindsServer(statement) && !found.tests.has(tag)) tags.push(tag);
    }
  }
  return tags;
}

/** Tags that stand somewhere and are no statement. */
export function unknown(found: Found): string[] {
  const known = new Set(VERSIONS.flatMap(([version, list]) => list.map((statement) => tagOf(statement, version))));
  return [...new Set([...found.code.keys(), ...found.tests.keys()])].filter((tag) => !known.has(tag));
}

const VERSIONS = [
  ['5.0', MQTT5],
  ['3.1.1', MQTT311],
] as const;

function bindsServer({ binds }: Statement): boolean {
  return binds === 'server' || binds === 'both';
}

export function markdown(found: Found): string {
  const lines = [
    '# MQTT, statement by statement',
    '',
    'Made by `test/conformance/generate.ts` from the tags in the code and in the titles of the tests; the words are ours, the specification’s own count. Statements that bind only a client',
    'are listed with the test of how the broker takes one that does not keep to them, where there is one.',
    '',
  ];
  for (const [version, list] of VERSIONS) {
    const server = list.filter(bindsServer);
    const tested = server.filter((statement) => found.tests.has(tagOf(statement, version)));
    lines.push(
      `## MQTT ${version}`,
      '',
      `${list.length} statements, ${server.length} of them about a server, ${tested.length} of those with a test.`,
      '',
    );
    lines.push('| Statement | Binds | About | Code | Test |', '|---|---|---|---|---|');
    for (const statement of list) {
      const tag = tagOf(statement, version);
      const cells = [
        statement.id,
        statement.binds,
        statement.about,
        names(found.code.get(tag)),
        names(found.tests.get(tag)),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
    lines.push('');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Short names of files, without folders. */
export function names(paths: ReadonlySet<string> | undefined): string {
  if (paths === undefined) return '';
  return [...new Set([...paths].map((path) => path.slice(path.lastIndexOf('/') + 1).replace(/\.ts$/, '')))]
    .sort()
    .join(', ');
}
