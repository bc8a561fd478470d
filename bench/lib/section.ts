// Parts of bench/RESULTS.md that benchmarks of their own write: each stands between two marks, and whoever writes the rest of the file leaves it where it is.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describeMachine } from './machine.ts';
import { resultsPath } from './paths.ts';
import { asMarkdown, type Table } from './table.ts';

const begin = (name: string): string => `<!-- ${name}: begin -->`;
const end = (name: string): string => `<!-- ${name}: end -->`;

/** `text` with the section `name` put in place of the one it has, or behind everything. */
export function withSection(text: string, name: string, section: string): string {
  const marked = `${begin(name)}\n${section.trim()}\n${end(name)}\n`;
  const from = text.indexOf(begin(name));
  const to = text.indexOf(end(name));
  if (from < 0 || to < from) return `${text.trimEnd()}\n\n${marked}`;
  return `${text.slice(0, from)}${marked}${text.slice(to + end(name).length + 1)}`;
}

/** `text` with all sections that `before` has. */
export function keepingSections(text: string, before: string): string {
  let kept = text;
  for (const [, name, section] of before.matchAll(/<!-- ([\w-]+): begin -->\n([\s\S]*?)<!-- \1: end -->/g))
    kept = withSection(kept, name!, section!);
  return kept;
}

export function readResults(): string {
  return existsSync(resultsPath) ? readFileSync(resultsPath, 'utf8') : '';
}

export function writeSection(name: string, section: string): void {
  writeFileSync(resultsPath, withSection(readResults() || '# Benchmark results\n', name, section));
}

/** Writes the section of the benchmark `name`, which was called with `args`. */
export function writeTable(name: string, title: string, args: readonly string[], about: string, table: Table): void {
  const machine = describeMachine();
  const when = new Date().toISOString().slice(0, 16).replace('T', ' ');
  writeSection(
    name,
    `## ${title}

Measured on ${when} UTC on ${machine.cpuModel}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}, with

    ${['npm run bench --', name, ...args].join(' ')}

${about}

${asMarkdown(table)}
`,
  );
}
