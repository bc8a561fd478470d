// What is wrong with a configuration, in words: the path, the value and what is allowed, where it was written, and for an unknown name the one that was
// probably meant. A secret value is never repeated.
import type { z } from 'zod';
import { isTree, type MergedOptions } from './merge.ts';
import { notesOf, type OptionNotes, step, unwrap } from './options.ts';
import { type Path, showPath } from './path.ts';
import { optionRows } from './table.ts';

const SHOWN_MAX = 60;

/** Names people know from elsewhere. */
const HINTS: Readonly<Record<string, string>> = {
  password: 'only hashes are kept here: `hash`, made by `sluice user hash`',
  port: 'ports are set by listener, such as listeners.mqtt.port',
  host: 'addresses are set by listener, such as listeners.mqtt.host',
};

function showValue(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a section';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}

/** Changes of one character that lead from one word to the other. */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const changed = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The candidate that `word` is most likely a slip of; null when none is near. */
export function closest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** What was noted for the schema at a path, or for the list it is an element of. */
function notesAt(root: z.core.$ZodType, path: Path): OptionNotes | null {
  const notes = notesOf(schemaAt(root, path));
  return notes === null && typeof path.at(-1) === 'number' ? notesAt(root, path.slice(0, -1)) : notes;
}

/** The schema at a path, or the nearest one above it. */
function schemaAt(root: z.core.$ZodType, path: Path): z.core.$ZodType {
  let schema = root;
  for (const key of path) {
    const inner = step(schema, key);
    if (inner === null) return schema;
    schema = inner;
  }
  return schema;
}

function membersOf(schema: z.core.$ZodType): string[] {
  const inner = unwrap(schema) as { shape?: object };
  return Object.keys(inner.shape ?? {});
}

function unknownOption(root: z.core.$ZodType, section: Path, key: string): string {
  const path = showPath([...section, key]);
  const members = membersOf(schemaAt(root, section));
  const near = closest(key, members);
  if (near !== null) return `${path}: is not an option; did you mean ${showPath([...section, near])}?`;
  const hint = Object.hasOwn(HINTS, key) ? HINTS[key] : undefined;
  if (hint !== undefined) return `${path}: is not an option; ${hint}`;
  const elsewhere = optionRows(root).find(({ path }) => path.split('.').at(-1) === key)?.path;
  if (elsewhere !== undefined) return `${path}: is not an option; did you mean ${elsewhere}?`;
  return `${path}: is not an option; ${showPath(section) || 'the configuration'} has ${members.join(', ')}`;
}

function wrongValue(
  path: Path,
  value: unknown,
  notes: OptionNotes | null,
  section: readonly string[],
  why: string,
): string {
  const shown = showPath(path) || 'the configuration';
  const allowed = notes?.allowed ?? `a section with ${section.join(', ')}`;
  if (value === undefined) return `${shown}: is missing; ${allowed}`;
  const repeated = notes?.secret === true ? 'this value' : showValue(value);
  return `${shown}: ${repeated} is not allowed${why === '' ? '' : `, ${why}`}; ${allowed}`;
}

/** One line for each thing that zod found. */
export function describeIssues(
  root: z.core.$ZodType,
  issues: readonly z.core.$ZodIssue[],
  options: MergedOptions,
): string[] {
  const lines = new Set<string>();
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        lines.add(withOrigin(unknownOption(root, issue.path, key), [...issue.path, key], options));
      continue;
    }
    const schema = schemaAt(root, issue.path);
    const value = options.at(issue.path);
    const notes = issue.code === 'invalid_key' ? keyNotes(root, issue.path) : notesAt(root, issue.path);
    const shown = issue.code === 'invalid_key' ? issue.path.at(-1) : isTree(value) && !notes ? 'a section' : value;
    const why = issue.code === 'custom' && issue.message !== 'Invalid input' ? issue.message : '';
    lines.add(withOrigin(wrongValue(issue.path, shown, notes, membersOf(schema), why), issue.path, options));
  }
  return [...lines];
}

function keyNotes(root: z.core.$ZodType, path: Path): OptionNotes | null {
  const record = unwrap(schemaAt(root, path.slice(0, -1))) as { keyType?: z.core.$ZodType };
  return record.keyType === undefined ? null : notesOf(record.keyType);
}

/** `line` with where `path` was written. */
export function withOrigin(line: string, path: Path, options: MergedOptions): string {
  const origin = options.originOf(path);
  return origin === '' ? line : `${line} (${origin})`;
}
