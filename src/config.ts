// The configuration: read from its sources, checked, filled with defaults, frozen. Sources, weakest first: defaults, file, environment, flags. The options
// themselves are in config/schema.ts. Everything wrong is reported at once; nothing is ever guessed, so a broken configuration starts nothing.
import { basename, resolve } from 'node:path';
import type { z } from 'zod';
import { ANONYMOUS } from './auth/user-directory.ts';
import { isTree, MergedOptions } from './config/merge.ts';
import type { Path } from './config/path.ts';
import { describeIssues, withOrigin } from './config/problems.ts';
import { configSchema, LISTENERS_DEFAULT, type PROTOCOLS } from './config/schema.ts';
import { type Assignment, FILE_VARIABLE, findFile, putAssignments, putEnvironment, putFile } from './config/sources.ts';

export { configTable } from './config/table.ts';
export type { Assignment };

type Deep<T> = T extends (infer E)[]
  ? readonly Deep<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Deep<T[K]> }
    : T;

export type Config = Deep<z.output<typeof configSchema>>;

export type ListenerProtocol = (typeof PROTOCOLS)[number];

type ListenerInput = Exclude<z.input<typeof configSchema>['listeners'], undefined>[string];

/** What may be given to configure an embedded broker: any part of the configuration, listeners also in their short forms. */
export type ConfigInput = Omit<Partial<z.input<typeof configSchema>>, 'listeners'> & {
  readonly listeners?: Readonly<Record<string, Partial<ListenerInput> | string | number | false>>;
};

/** A listener that is on. */
export interface ListenerConfig {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly accept: readonly ListenerProtocol[];
  readonly vhost: string;
  readonly tls: ListenerTls | null;
}

export type ListenerTls = NonNullable<Config['listeners'][string]['tls']>;

/** A configuration that cannot be used: `problems` has a line for each thing that is wrong. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export interface ConfigSources {
  /** Where the file is looked for and relative paths start. */
  readonly directory: string;
  /** The file to read instead of looking for one. */
  readonly file?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly assignments?: readonly Assignment[] | undefined;
}

export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read, null when there was none. */
  readonly file: string | null;
  /** Where the value at a path was written; '' for a default. */
  writtenAt(path: Path): string;
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const member of Object.values(value)) freeze(member);
  return Object.freeze(value);
}

/** Rules that span several options. */
function contradictions(config: Config, options: MergedOptions): string[] {
  const lines: string[] = [];
  const report = (path: Path, line: string) => lines.push(withOrigin(line, path, options));

  if (!config.vhosts.includes('/')) report(['vhosts'], 'vhosts: / is missing; it is where clients are by default');
  const taken = new Map<string, string>();
  for (const [name, { enabled, host, port, vhost }] of Object.entries(config.listeners)) {
    const path = `listeners.${name}`;
    if (!config.vhosts.includes(vhost)) {
      report(
        ['listeners', name, 'vhost'],
        `${path}.vhost: "${vhost}" is not allowed; one of vhosts (${config.vhosts.join(', ')})`,
      );
    }
    if (!enabled || port === 0) continue;
    const other = taken.get(`${host} ${port}`);
    if (other !== undefined)
      report(['listeners', name], `${path}: ${host}:${port} is not allowed; ${other} listens there`);
    taken.set(`${host} ${port}`, path);
  }
  const names = new Set([ANONYMOUS]);
  for (const [i, { name }] of config.auth.users.entries()) {
    const path = `auth.users[${i}].name`;
    if (names.has(name)) report(['auth', 'users', i, 'name'], `${path}: "${name}" is not allowed; it is taken`);
    names.add(name);
  }
  return lines;
}

function finish(options: MergedOptions, directory: string, problems: string[]): Config {
  const parsed = configSchema.safeParse(options.tree);
  if (!parsed.success) problems.push(...describeIssues(configSchema, parsed.error.issues, options));
  else problems.push(...contradictions(parsed.data, options));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return freeze(withFullPaths(parsed.data, directory));
}

function withFullPaths<C extends z.output<typeof configSchema>>(config: C, directory: string): C {
  const { data } = config;
  const listeners = { ...config.listeners };
  for (const [name, listener] of Object.entries(listeners)) {
    if (listener.tls === undefined) continue;
    const tls = { ...listener.tls };
    for (const option of ['certificate', 'key', 'clientCa'] as const) {
      const path = tls[option];
      if (path !== undefined) tls[option] = resolve(directory, path);
    }
    listeners[name] = { ...listener, tls };
  }
  return { ...config, listeners, data: { ...data, dir: resolve(directory, data.dir) } };
}

function withDefaults(): MergedOptions {
  const options = new MergedOptions();
  for (const [name, { port }] of Object.entries(LISTENERS_DEFAULT)) {
    options.put(['listeners', name, 'port'], port, () => '');
  }
  return options;
}

/** Reads the configuration of the executable. Throws ConfigError. */
export function loadConfig({ directory, file, env = {}, assignments = [] }: ConfigSources): LoadedConfig {
  const problems: string[] = [];
  const options = withDefaults();
  const named = file ?? env[FILE_VARIABLE];
  const found = named === undefined ? findFile(directory, problems) : resolve(directory, named);
  if (found !== null) putFile(options, found, problems);
  putEnvironment(options, env, problems);
  putAssignments(options, assignments, problems);
  const config = finish(options, directory, problems);
  return { config, file: found, writtenAt: (path) => options.writtenAt(path) };
}

/** The configuration of an embedded broker: `input` over the defaults, no file, no environment. Throws ConfigError. */
export function resolveConfig(input: ConfigInput = {}, directory: string = process.cwd()): Config {
  const options = withDefaults();
  if (!isTree(input)) throw new ConfigError(['the configuration: an object is expected']);
  for (const [key, value] of Object.entries(input)) if (value !== undefined) options.put([key], value, () => '');
  return finish(options, directory, []);
}

/** The listeners that are on, in their order. */
export function enabledListeners(config: Config): ListenerConfig[] {
  return Object.entries(config.listeners)
    .filter(([, { enabled }]) => enabled)
    .map(([name, { host, port, accept, vhost, tls = null }]) => ({ name, host, port, accept, vhost, tls }));
}

/** How a file is called in messages. */
export function showFile(file: string | null): string {
  return file === null ? 'no file' : basename(file);
}
