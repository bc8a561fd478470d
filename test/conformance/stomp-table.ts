// Makes test/conformance/stomp.md of the tags [STOMP-…] in titles of tests and in comments of the code. See table.ts, which does the same for MQTT.
import { STOMP } from './stomp-statements.ts';
import { type Found, findTags, names } from './table.ts';

const CODE = ['protocols/stomp', 'protocols/websocket', 'src/core'];
const TAG = /\[(STOMP-[A-Z]-\d+)\]/g;

export function findStomp(root: string): Found {
  return findTags(root, CODE, TAG);
}

export function untestedStomp(found: Found): string[] {
  return statements().filter((id) => !found.tests.has(id));
}

export function unknownStomp(found: Found): string[] {
  const known = new Set(statements());
  return [...new Set([...found.code.keys(), ...found.tests.keys()])].filter((tag) => !known.has(tag));
}

export function statements(): string[] {
  return STOMP.flatMap(([, rows]) => rows.map(({ id }) => id));
}

export function stompMarkdown(found: Found): string {
  const all = statements();
  const lines = [
    '# STOMP, statement by statement',
    '',
    'Made by `test/conformance/generate.ts` from the tags in the code and in the titles of the tests; words and numbers are ours, the specifications have none. A test runs in every version that says it.',
    '',
    `${all.length} statements, ${all.length - untestedStomp(found).length} of them with a test.`,
    '',
  ];
  for (const [title, rows] of STOMP) {
    lines.push(
      `## ${title}`,
      '',
      '| Statement | Versions | Binds | About | Code | Test |',
      '|---|---|---|---|---|---|',
    );
    for (const { id, versions, binds, about } of rows) {
      const said = [...versions].map((minor) => `1.${minor}`).join(', ');
      lines.push(`| ${[id, said, binds, about, names(found.code.get(id)), names(found.tests.get(id))].join(' | ')} |`);
    }
    lines.push('');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}
