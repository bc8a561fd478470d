// One tree of options out of several sources, weakest first, which remembers for every value where it came from. Lists are replaced as a whole, sections are
// merged. Judges nothing: a wrong value stays in the tree for the schema to refuse.
import { type Path, showPath } from './path.ts';

/** Without a prototype, so that a key of any name is just a key. */
export type Tree = { [key: string]: unknown };

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bareTree(): Tree {
  return Object.create(null) as Tree;
}

/** 'HOST:PORT', ':PORT', 'PORT' or '[IPv6]:PORT' → host and port; null when it is none of them. */
export function parseAddress(text: string): { host?: string; port: number } | null {
  const match = /^(?:(?:\[([\da-fA-F:.%]+)\]|([^\s:[\]/]*)):)?(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  const host = match[1] ?? match[2] ?? '';
  return host === '' ? { port } : { host, port };
}

/** The short forms of a listener, written out: an address or a port turns it on, `off` turns it off. */
function listenerInFull(value: unknown): unknown {
  if (value === 'off' || value === false) return { enabled: false };
  const address = typeof value === 'string' || typeof value === 'number' ? parseAddress(String(value)) : null;
  return address === null ? value : { enabled: true, ...address };
}

export class MergedOptions {
  readonly tree: Tree = bareTree();
  private readonly origins = new Map<string, string>();

  /** Puts `value` at `path`, over what weaker sources said. originOf tells where the value at a path below was written. */
  put(path: Path, value: unknown, originOf: (path: Path) => string): void {
    this.putIn(this.tree, path, 0, value, originOf);
  }

  /** Where the value at `path`, or what it is part of, was written; '' for defaults. */
  originOf(path: Path): string {
    for (let length = path.length; length > 0; length--) {
      const origin = this.origins.get(showPath(path.slice(0, length)));
      if (origin !== undefined) return origin;
    }
    return '';
  }

  /** Where exactly this value was written; '' when it was not. */
  writtenAt(path: Path): string {
    return this.origins.get(showPath(path)) ?? '';
  }

  at(path: Path): unknown {
    let value: unknown = this.tree;
    for (const key of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Record<PropertyKey, unknown>)[key];
    }
    return value;
  }

  private putIn(into: Tree, path: Path, depth: number, value: unknown, originOf: (path: Path) => string): void {
    const key = String(path[depth]);
    if (depth < path.length - 1) {
      if (!Object.hasOwn(into, key)) {
        into[key] = bareTree();
        this.origins.set(showPath(path.slice(0, depth + 1)), originOf(path));
      }
      const inner = into[key];
      // Otherwise a weaker source has something else where a section should be: that stays, and is refused.
      if (isTree(inner)) this.putIn(inner, path, depth + 1, value, originOf);
      return;
    }
    const full = path.length === 2 && path[0] === 'listeners' ? listenerInFull(value) : value;
    this.origins.set(showPath(path), originOf(path));
    if (!isTree(full)) {
      into[key] = full;
      this.noteElements(path, full, originOf);
      return;
    }
    if (!isTree(into[key])) into[key] = bareTree();
    const below = full === value ? originOf : () => originOf(path);
    for (const [name, member] of Object.entries(full)) {
      this.putIn(into[key] as Tree, [...path, name], depth + 1, member, below);
    }
  }

  /** Lists are replaced as a whole, so their elements' origins replace what was noted for the elements before. */
  private noteElements(path: Path, value: unknown, originOf: (path: Path) => string): void {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, member] of Object.entries(value)) {
      const inner = [...path, Array.isArray(value) ? Number(key) : key];
      this.origins.set(showPath(inner), originOf(inner));
      this.noteElements(inner, member, originOf);
    }
  }
}
