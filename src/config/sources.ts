// Where options come from: a file (YAML or JSON), environment variables, and assignments made by flags. Each puts what it has into the merged tree with its
// origin; what cannot even be read is a problem, said in one line. Relies on the schema only to know which values are plain text.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parse, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { MergedOptions, Tree } from './merge.ts';
import { notesOf, step } from './options.ts';
import { ENV_PREFIX, envPath, type Path, parsePath, showPath } from './path.ts';
import { configSchema } from './schema.ts';

/** An option set by a flag: `text` is read as the option's type asks. */
export interface Assignment {
  /** 'listeners.mqtt' */
  readonly path: string;
  readonly text: string;
  /** '--mqtt' */
  readonly origin: string;
}

export const FILE_NAMES = ['sluice.yaml', 'sluice.yml', 'sluice.json'];
/** Names the configuration file, as --config does; not an option itself. */
export const FILE_VARIABLE = `${ENV_PREFIX}CONFIG`;

const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Aliases repeat what they stand for; this many values are more than anybody writes. */
const VALUES_MAX = 200_000;

/** The configuration file of a directory, null when there is none; more than one is a problem. */
export function findFile(directory: string, problems: string[]): string | null {
  const found = FILE_NAMES.filter((name) => existsSync(join(directory, name)));
  if (found.length > 1) problems.push(`${found.join(' and ')} are both there; keep one, or choose with --config`);
  return found[0] === undefined ? null : join(directory, found[0]);
}

function readText(file: string, problems: string[]): string | null {
  try {
    const { size } = statSync(file);
    if (size > FILE_BYTES_MAX) problems.push(`${file}: is larger than ${FILE_BYTES_MAX} bytes`);
    else return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    problems.push(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
  }
  return null;
}

/** Plain values out of a parsed document, and the line of each. */
class Reader {
  readonly lines = new Map<string, number>();
  private readonly document: Document;
  private readonly counter: LineCounter;
  private count = 0;

  constructor(document: Document, counter: LineCounter) {
    this.document = document;
    this.counter = counter;
  }

  read(node: unknown, path: Path): unknown {
    if (++this.count > VALUES_MAX) throw new Error(`it has more than ${VALUES_MAX} values`);
    if (isAlias(node)) return this.read(node.resolve(this.document), path);
    if (isSeq(node)) {
      return node.items.map((item, i) => {
        this.noteLine(item, [...path, i]);
        return this.read(item, [...path, i]);
      });
    }
    if (isMap(node)) {
      const tree = Object.create(null) as Tree;
      for (const { key, value } of node.items) {
        const name = String(isScalar(key) ? key.value : key);
        this.noteLine(key, [...path, name]);
        tree[name] = this.read(value, [...path, name]);
      }
      return tree;
    }
    return isScalar(node) ? node.value : null;
  }

  private noteLine(node: unknown, path: Path): void {
    const start = (node as { range?: readonly number[] } | null)?.range?.[0];
    if (start !== undefined) this.lines.set(showPath(path), this.counter.linePos(start).line);
  }
}

export function putFile(into: MergedOptions, file: string, problems: string[]): void {
  const text = readText(file, problems);
  if (text === null) return;
  const shown = basename(file);
  const counter = new LineCounter();
  // JSON is YAML, but for tabs as indentation.
  const source = file.endsWith('.json') ? text.replace(/^\t+/gm, (tabs) => ' '.repeat(tabs.length)) : text;
  const document = parseDocument(source, { lineCounter: counter, prettyErrors: false });
  for (const { message, pos } of [...document.errors, ...document.warnings]) {
    const { line, col } = counter.linePos(pos[0]);
    problems.push(`${shown}:${line}:${col}: ${message}`);
  }
  if (document.errors.length + document.warnings.length > 0) return;
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) return;
  if (!isMap(document.contents)) {
    problems.push(`${shown}: is not a list of options, such as "mqtt:" with "maximumQos: 1" below it`);
    return;
  }
  const reader = new Reader(document, counter);
  const origin = (path: Path) => {
    const line = reader.lines.get(showPath(path));
    return line === undefined ? shown : `${shown}:${line}`;
  };
  try {
    for (const [key, value] of Object.entries(reader.read(document.contents, []) as Tree))
      into.put([key], value, origin);
  } catch (error) {
    problems.push(`${shown}: ${(error as Error).message}`);
  }
}

/** Is the option at `path` one whose text is taken as it is? */
function isVerbatim(path: readonly string[]): boolean {
  let schema: z.core.$ZodType | null = configSchema;
  for (const key of path) schema = schema === null ? null : step(schema, key);
  return schema !== null && notesOf(schema)?.verbatim === true;
}

function putText(into: MergedOptions, path: string[], text: string, origin: string, problems: string[]): void {
  let value: unknown = text;
  if (!isVerbatim(path)) {
    try {
      value = parse(text, { prettyErrors: false });
    } catch (error) {
      problems.push(
        `${showPath(path)}: ${JSON.stringify(text)} cannot be read as YAML: ${(error as Error).message} (${origin})`,
      );
      return;
    }
  }
  into.put(path, value, () => origin);
}

/**
 * Kubernetes describes every service to its containers in variables like SLUICE_SERVICE_HOST, SLUICE_PORT=tcp://… and SLUICE_PORT_1883_TCP_ADDR: for a
 * service that is called sluice, or sluice-something, they look like ours, but none of our options is like that.
 */
function isFromKubernetes(variable: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(variable)) return true;
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(variable)) return true;
  return variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value);
}

export function putEnvironment(into: MergedOptions, env: NodeJS.ProcessEnv, problems: string[]): void {
  const variables = Object.keys(env).filter((variable) => variable.startsWith(ENV_PREFIX));
  // Sorted, so that SLUICE_LISTENERS__MQTT comes before SLUICE_LISTENERS__MQTT__PORT.
  for (const variable of variables.sort()) {
    const text = env[variable] ?? '';
    if (variable === FILE_VARIABLE || isFromKubernetes(variable, text)) continue;
    const path = envPath(variable);
    if (path === null || (path.length === 1 && step(configSchema, path[0] ?? '') === null)) {
      problems.push(`${variable}: is not an option; a dot is two underscores, such as in SLUICE_MQTT__MAXIMUM_QOS`);
    } else putText(into, path, text, variable, problems);
  }
}

export function putAssignments(into: MergedOptions, assignments: readonly Assignment[], problems: string[]): void {
  for (const { path: text, text: value, origin } of assignments) {
    const path = parsePath(text);
    if (path === null) problems.push(`${text || '(nothing)'}: is not the path of an option (${origin})`);
    else putText(into, path, value, origin, problems);
  }
}
