// Puts the executable into few files: dist/bin/sluice.js with all that it is made of, packages included, and the storage's thread beside it. Two hundred and fifty modules, and as many of the
// packages, are most of the time a broker takes to start; in one file they are read and compiled in less than half of it. Run as a program of its own by build.mjs.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { rolldown } from 'rolldown';
import { inRoot, ROOT } from './project.mjs';

const TARGET = inRoot('dist', 'bin');
/** Made beside it and put in its place when it is whole: a broker that runs may be about to start a thread from there. */
const MAKING = inRoot('dist', 'bin.making');
/** Files that are started by their own name, beside whoever starts them. */
const ENTRIES = { sluice: 'dist/src/main.js', thread: 'dist/src/storage/embedded/thread.js' };
const WORKERS = ['src/auth/hash-worker.mjs'];
/** Found beside the broker when they are installed, and done without when not. */
const OPTIONAL = ['bufferutil', 'utf-8-validate', 'uWebSockets.js'];

/** The terms under which the packages in there are used. */
function notices(modules) {
  const folders = new Set(modules.map((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]));
  folders.delete(undefined);
  return [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    return `${name} ${version} (${license})\n\n${file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
}

const input = Object.fromEntries(Object.entries(ENTRIES).filter(([, file]) => existsSync(inRoot(file))));
rmSync(MAKING, { recursive: true, force: true });
mkdirSync(MAKING, { recursive: true });
const bundle = await rolldown({ input, cwd: ROOT, platform: 'node', external: OPTIONAL });
const { output } = await bundle.write({
  dir: MAKING,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  hashCharacters: 'hex',
});
for (const file of WORKERS) if (existsSync(inRoot(file))) copyFileSync(inRoot(file), join(MAKING, basename(file)));
const modules = output.flatMap((part) => (part.type === 'chunk' ? part.moduleIds : []));
writeFileSync(join(MAKING, 'NOTICES'), notices(modules).join('\n'));
rmSync(TARGET, { recursive: true, force: true });
renameSync(MAKING, TARGET);
