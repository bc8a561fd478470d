// Compiles to dist/, and puts the executable into one file, when a source file changed. A project is up to date when the fingerprint of its sources (path, size, time of change), its settings
// and the compiler's version is the one in its stamp; finding that out takes a few milliseconds.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { inRoot, Refusal, ROOT, readJson, runQuietly, say } from './project.mjs';
import { alone } from './turn-taking.mjs';

// bench and test are compiled unchecked (their types are looked at by `npm run check`), and without declarations, so that they never replace those of src.
const UNCHECKED = ['--noCheck', '--declaration', 'false'];
export const PROJECTS = {
  broker: { settings: 'tsconfig.json', folders: ['src', 'protocols'], flags: [], bundled: true },
  bench: { settings: 'bench/tsconfig.json', folders: ['bench'], flags: UNCHECKED },
  test: { settings: 'test/tsconfig.json', folders: ['test'], flags: UNCHECKED },
};

/** The project that compiles this source file. */
export function projectOf(file) {
  const folder = file.split(/[\\/]/)[0];
  return Object.keys(PROJECTS).find((name) => PROJECTS[name].folders.includes(folder));
}

export const compiler = () => [process.execPath, inRoot('node_modules', 'typescript', 'bin', 'tsc')];

function sourcesOf(folders) {
  const found = [];
  for (const folder of folders) {
    if (!existsSync(inRoot(folder))) continue;
    for (const entry of readdirSync(inRoot(folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) found.push(join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.length + 1));
    }
  }
  return found.sort();
}

function fingerprint(project, sources) {
  const hash = createHash('sha256');
  hash.update(readFileSync(inRoot('tsconfig.json')));
  if (existsSync(inRoot(project.settings))) hash.update(readFileSync(inRoot(project.settings)));
  hash.update(readJson(inRoot('node_modules', 'typescript', 'package.json'))?.version ?? '');
  // The packages are part of it.
  if (project.bundled === true) hash.update(readFileSync(inRoot('package-lock.json')));
  for (const file of sources) {
    const { size, mtimeMs } = statSync(inRoot(file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

const isAsset = (file) => !/(\.ts|tsconfig\.json)$/.test(file);

/** What was compiled from a source file that is gone must not be found any more. */
function removeStale(file) {
  const output = inRoot('dist', file);
  if (isAsset(file)) rmSync(output, { force: true });
  else for (const ending of ['.js', '.js.map', '.d.ts']) rmSync(output.replace(/\.ts$/, ending), { force: true });
}

function compile(name, project, sources, before) {
  say(`Building ${project.folders.join(' and ')} …`);
  for (const file of before?.sources ?? []) if (!sources.includes(file)) removeStale(file);
  const [command, ...args] = compiler();
  const { status, output } = runQuietly(command, [...args, '-p', project.settings, ...project.flags]);
  for (const file of sources.filter(isAsset)) {
    mkdirSync(dirname(inRoot('dist', file)), { recursive: true });
    copyFileSync(inRoot(file), inRoot('dist', file));
  }
  if (status !== 0) throw new Refusal(`${output}\nThe ${name} build failed.`);
  if (project.bundled === true) {
    const bundled = runQuietly(process.execPath, [inRoot('src', 'cli', 'ensure', 'bundle.mjs')]);
    if (bundled.status !== 0) throw new Refusal(`${bundled.output}\nThe ${name} could not be put into one file.`);
  }
}

export function ensureBuilt(name) {
  const project = PROJECTS[name];
  const stampFile = inRoot('dist', `.${name}.json`);
  const sources = sourcesOf(project.folders);
  if (sources.length === 0) throw new Refusal(`there is nothing to build in ${project.folders.join(', ')}`);
  const now = fingerprint(project, sources);
  if (readJson(stampFile)?.fingerprint === now) return;
  alone(() => {
    const before = readJson(stampFile);
    if (before?.fingerprint === now) return;
    compile(name, project, sources, before);
    writeFileSync(stampFile, JSON.stringify({ fingerprint: now, sources }));
  });
}
