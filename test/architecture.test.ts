// The rules of the house, checked on the sources: who may import whom, what the core never touches, how long a file may be, and words that have no place in it.
//
//   lib ◀─ io ◀─ core ◀─ { storage engines, auth, server, protocols/*, bridge, management } ◀─ main, index, cli, config, embed, server/compose, server/start
//
// What stands inside the braces never imports its neighbours. The core owns every interface; of a storage it knows the three files that describe one.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const LINES_MAX = 500;

interface Import {
  /** Path from the root for files of ours, otherwise the name of a module. */
  readonly target: string;
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean;
  /** Names that are there at run time. */
  readonly values: readonly string[];
  readonly ours: boolean;
}

interface Source {
  readonly path: string;
  readonly text: string;
  /** Without comments and without the insides of texts. */
  readonly code: string;
  readonly imports: readonly Import[];
}

function filesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort();
}

/** Comments become nothing, texts and regular expressions empty ones; everything else stays where it is. */
function codeOf(text: string): string {
  let code = '';
  /** For each template that is open: how deep in braces its ${} is. */
  const templates: number[] = [];
  let depth = 0;
  const skip = (from: number, quote: string): number => {
    let at = from;
    while (at < text.length && text[at] !== quote) {
      if (text[at] === '\\') at++;
      else if (quote === '`' && text.startsWith('${', at)) {
        templates.push(depth++);
        code += '${';
        return at + 2;
      } else if (quote === '/' && text[at] === '[') {
        while (text[at] !== ']') at += text[at] === '\\' ? 2 : 1;
      }
      at++;
    }
    code += quote;
    return at + 1;
  };
  for (let at = 0; at < text.length; ) {
    const character = text[at]!;
    if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else if (text.startsWith('/*', at)) {
      at = text.indexOf('*/', at) + 2;
    } else if (
      character === '/' &&
      /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of))\s*$/.test(code.slice(-20))
    ) {
      code += character;
      at = skip(at + 1, '/');
    } else if (character === "'" || character === '"' || character === '`') {
      code += character;
      at = skip(at + 1, character);
    } else {
      if (character === '{') depth++;
      if (character === '}') {
        depth--;
        if (templates.at(-1) === depth) {
          templates.pop();
          code += '}';
          at = skip(at + 1, '`');
          continue;
        }
      }
      code += character;
      at++;
    }
  }
  return code;
}

const STATEMENT =
  /^(?:import|export)\s+(type\s+)?(?:(\*\s+as\s+\w+|\*|\w+|\{[^}]*\}|\w+\s*,\s*\{[^}]*\})\s+from\s+)?'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;

function importsOf(path: string, text: string): Import[] {
  const imports: Import[] = [];
  const add = (specifier: string, typeOnly: boolean, values: readonly string[]): void => {
    const ours = specifier.startsWith('.');
    const target = ours ? relative(ROOT, resolve(ROOT, dirname(path), specifier)) : specifier;
    imports.push({ target, typeOnly, values, ours });
  };
  for (const [, type, clause, specifier] of text.matchAll(STATEMENT)) {
    const names = /\{([^}]*)\}/.exec(clause ?? '')?.[1] ?? null;
    const listed = names === null ? [clause ?? '*'] : names.split(',').map((name) => name.trim());
    const values = type === undefined ? listed.filter((name) => name !== '' && !name.startsWith('type ')) : [];
    add(specifier!, values.length === 0, values);
  }
  for (const [, specifier] of text.matchAll(DYNAMIC)) add(specifier!, false, ['*']);
  return imports;
}

const SOURCES: readonly Source[] = [...filesIn('src'), ...filesIn('protocols')].map((path) => {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return { path, text, code: codeOf(text), imports: importsOf(path, text) };
});

function inFolder(path: string, ...folders: readonly string[]): boolean {
  return folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
}

/** The files that put the parts together: they may know everything, and nobody below them may know them. */
const TOP = [
  'src/main.ts',
  'src/index.ts',
  'src/config.ts',
  'src/limits.ts',
  'src/version.ts',
  'src/cli',
  'src/config',
  'src/embed',
  'src/server/compose.ts',
  'src/server/start.ts',
];
const STORAGE_INTERFACES = ['src/storage/commit-log.ts', 'src/storage/state-store.ts', 'src/storage/storage.ts'];

/** A part: its files, and the files it may import besides its own. */
interface Part {
  readonly name: string;
  readonly files: readonly string[];
  readonly mayImport: readonly string[];
  /** Modules from outside; null for any. */
  readonly modules: readonly string[] | null;
}

const BELOW = ['src/lib', 'src/io', 'src/core', ...STORAGE_INTERFACES];

const PARTS: readonly Part[] = [
  { name: 'lib', files: ['src/lib'], mayImport: [], modules: [] },
  { name: 'io', files: ['src/io'], mayImport: ['src/lib'], modules: null },
  { name: 'core', files: ['src/core'], mayImport: ['src/lib', 'src/io', ...STORAGE_INTERFACES], modules: [] },
  { name: 'storage interfaces', files: STORAGE_INTERFACES, mayImport: ['src/core'], modules: [] },
  { name: 'memory engine', files: ['src/storage/memory'], mayImport: BELOW, modules: [] },
  {
    name: 'embedded engine',
    files: ['src/storage/embedded'],
    // Queues whose durability is memory are the same in every engine.
    mayImport: [...BELOW, 'src/storage/memory/memory-queue.ts'],
    modules: ['node:path', 'node:zlib', 'node:worker_threads', 'node:url', 'node:fs'],
  },
  { name: 'auth', files: ['src/auth'], mayImport: BELOW, modules: ['node:crypto', 'node:worker_threads', 'node:url'] },
  { name: 'server', files: ['src/server'], mayImport: BELOW, modules: null },
  { name: 'management', files: ['src/management'], mayImport: [...BELOW, 'src/server/protocol.ts'], modules: null },
  { name: 'bridge', files: ['src/bridge'], mayImport: BELOW, modules: null },
  {
    name: 'mqtt',
    files: ['protocols/mqtt'],
    mayImport: [...BELOW, 'src/server/protocol.ts'],
    modules: ['node:buffer'],
  },
  {
    name: 'stomp',
    files: ['protocols/stomp'],
    mayImport: [...BELOW, 'src/server/protocol.ts'],
    modules: ['node:buffer', 'node:crypto'],
  },
  {
    name: 'websocket',
    files: ['protocols/websocket'],
    // It carries what others speak: HTTP hands it a stream, and it hands one to the gate.
    mayImport: [...BELOW, 'src/server'],
    modules: ['node:buffer', 'node:crypto', 'node:http', 'node:net', 'node:stream', 'ws', 'uWebSockets.js'],
  },
];

function partOf(path: string): Part | null {
  if (inFolder(path, ...TOP)) return null;
  return PARTS.find(({ files }) => inFolder(path, ...files)) ?? null;
}

describe('the sources', () => {
  test('are read as they are: every import statement is understood', () => {
    expect(SOURCES.length).toBeGreaterThan(150);
    for (const { path, text, imports } of SOURCES) {
      const statements = text.match(/^import\b(?!\()|^export\b[^;=(]*\bfrom '/gm)?.length ?? 0;
      expect([path, imports.length >= statements]).toEqual([path, true]);
    }
    expect(
      importsOf(
        'src/core/x.ts',
        "import { type A, b } from '../lib/y.ts';\nimport type { C } from 'z';\nawait import('w');",
      ),
    ).toEqual([
      { target: 'src/lib/y.ts', typeOnly: false, values: ['b'], ours: true },
      { target: 'z', typeOnly: true, values: [], ours: false },
      { target: 'w', typeOnly: false, values: ['*'], ours: false },
    ]);
  });

  test('are read as they are: comments and texts are told from code', () => {
    const [open, close] = ['${', '}'];
    const template = `\`any ${open}c['any']${close} any\``;
    const text = `const a = 'x // y'; // any\n/* any */ const b = ${template}; const r = /any[/'"]/.test('}'); const q = a / b / c;`;
    const kept = `\`${open}c['']${close}\``;
    expect(codeOf(text)).toBe(`const a = ''; \n const b = ${kept}; const r = //.test(''); const q = a / b / c;`);
  });

  test('belong each to a part, or to the top', () => {
    const strays = SOURCES.filter(({ path }) => !inFolder(path, ...TOP) && partOf(path) === null);
    expect(strays.map(({ path }) => path)).toEqual([]);
  });
});

describe('imports', () => {
  test('of files go down only, and never to a neighbour', () => {
    const wrong: string[] = [];
    for (const { path, imports } of SOURCES) {
      const part = partOf(path);
      if (part === null) continue;
      for (const { target, ours } of imports) {
        if (!ours || (inFolder(target, ...part.files) && !inFolder(target, ...TOP))) continue;
        if (!inFolder(target, ...part.mayImport) || inFolder(target, ...TOP)) wrong.push(`${path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('of modules are those the part needs', () => {
    const wrong: string[] = [];
    for (const { path, imports } of SOURCES) {
      const part = partOf(path);
      if (part === null || part.modules === null) continue;
      for (const { target, ours } of imports) {
        if (!ours && !part.modules.includes(target)) wrong.push(`${path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('of protocols never lead to another protocol', () => {
    const wrong: string[] = [];
    for (const { path, imports } of SOURCES) {
      const [, own] = /^protocols\/([^/]+)\//.exec(path) ?? [];
      if (own === undefined) continue;
      for (const { target } of imports) {
        const [, other] = /^protocols\/([^/]+)\//.exec(target) ?? [];
        if (other !== undefined && other !== own) wrong.push(`${path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('of the core from io and from storages are types, but for two values of the commit log', () => {
    const wrong: string[] = [];
    for (const { path, imports } of SOURCES) {
      if (!inFolder(path, 'src/core')) continue;
      for (const { target, values } of imports) {
        if (!inFolder(target, 'src/io', 'src/storage')) continue;
        for (const name of values) {
          if (target === 'src/storage/commit-log.ts' && ['LogTargets', 'Durability'].includes(name)) continue;
          wrong.push(`${path} imports ${name} from ${target}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('of storage interfaces are types', () => {
    const wrong = SOURCES.filter(({ path }) => STORAGE_INTERFACES.includes(path)).flatMap(({ path, imports }) =>
      imports.filter(({ typeOnly }) => !typeOnly).map(({ target }) => `${path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });
});

/** Reads a clock, waits, or reaches for the machine. */
const MACHINE =
  /(?<!\.)\b(?:Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|process|globalThis|crypto|fetch|require|Worker|WebSocket|console)\b(?!\s*[:?](?!:))|\bMath\s*\.\s*random\b/g;

function machineWords({ path, code }: Source): string[] {
  return [...code.matchAll(MACHINE)].map(([word]) => `${path}: ${word}`);
}

describe('the core', () => {
  const core = SOURCES.filter(({ path }) => inFolder(path, 'src/core'));

  test('touches no clock, timer, socket, file or other part of the machine', () => {
    expect(core.length).toBeGreaterThan(30);
    expect(core.flatMap(machineWords)).toEqual([]);
  });

  test('waits for nothing', () => {
    const waiting = core.filter(({ code }) => /\b(?:await|async)\b|\.then\(/.test(code));
    expect(waiting.map(({ path }) => path)).toEqual([]);
  });

  test('knows no protocol', () => {
    // Comments may say where a rule comes from; code may not know. The one notation it keeps beside its own is a topic as MQTT writes it.
    const knowing = core.filter(({ path, code }) => {
      const rest = path === 'src/core/routing-key.ts' ? code.replace(/\bmqtt(?:Form)?\b/g, '') : code;
      return /mqtt|stomp|websocket/i.test(rest);
    });
    expect(knowing.map(({ path }) => path)).toEqual([]);
  });
});

describe('protocols', () => {
  test('are given their time and their chances, and read no clock themselves', () => {
    const adapters = SOURCES.filter(({ path }) => inFolder(path, 'protocols/mqtt', 'protocols/stomp'));
    expect(adapters.flatMap(machineWords)).toEqual([]);
  });
});

describe('files', () => {
  test(`of more than ${LINES_MAX} lines say why`, () => {
    const silent: string[] = [];
    for (const { path, text } of SOURCES) {
      const lines = text.split('\n');
      if (lines.length - 1 <= LINES_MAX) continue;
      const header = lines
        .slice(
          0,
          lines.findIndex((line) => !line.startsWith('//')),
        )
        .join(' ');
      if (!/\blong(?:er)?\b/i.test(header)) silent.push(`${path}: ${lines.length - 1} lines`);
    }
    expect(silent).toEqual([]);
  });

  test('begin with what they are', () => {
    const silent = SOURCES.filter(
      ({ path, text }) => !inFolder(path, 'src/server/demo') && !/^(?:#!.*\n)?\/\/ \S/.test(text),
    );
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test('hold no unfinished work and no way around the types', () => {
    const words =
      /\b(?:TODO|FIXME|XXX|HACK|TBD)\b|\bstub(?:s|bed)?\b|@ts-(?:ignore|expect-error|nocheck)|biome-ignore-all/;
    const anything = /(?::|\bas|<|\||&|\bextends)\s*any\b(?!\s*[:(])|\bany\[\]/;
    const wrong: string[] = [];
    for (const { path, text, code } of SOURCES) {
      const word = words.exec(text) ?? anything.exec(code);
      if (word !== null) wrong.push(`${path}: ${word[0]}`);
    }
    expect(wrong).toEqual([]);
  });
});
