// What `npm start`, `npm test` and the other scripts call: makes sure that everything is installed and built, then runs the thing itself. Works right
// after `git clone` with Node and npm alone; does nothing, and says nothing, where nothing is to be done.
//
//   node src/cli/ensure.mjs VERB [ARGUMENTS]
//
// A verb is one row of VERBS. A new script under test/ or bench/ needs no new verb: `run test/sim/run.ts ARGUMENTS` compiles and runs it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { compiler, ensureBuilt, PROJECTS, projectOf } from './ensure/build.mjs';
import { ensureInstalled } from './ensure/install.mjs';
import { inRoot, Refusal, ROOT, say } from './ensure/project.mjs';

const NODE_MIN = [20, 19];

const VERBS = {
  start: { builds: ['broker'], run: (args) => become('dist/bin/sluice.js', ['start', ...args]) },
  build: { builds: ['broker'], run: async () => 0 },
  check: { builds: [], run: check },
  test: { builds: ['broker', 'test'], run: test },
  bench: { builds: ['broker', 'bench'], run: (args) => become('dist/bench/main.js', args) },
  run: { builds: ['broker'], run: runFile },
};

/** Goes on as `file`, in this very process, so that signals and standard streams are its own. */
async function become(file, args) {
  const path = inRoot(file);
  if (!existsSync(path)) throw new Refusal(`${file} does not exist: its source is not in this working copy`);
  process.argv = [process.execPath, path, ...args];
  await import(pathToFileURL(path).href);
  return null;
}

/** Runs a program to its end with our streams; resolves with its exit code. */
function follow(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' });
    // A terminal sends SIGINT to the child as well; we only have to outlive it.
    const ignore = () => undefined;
    const pass = () => child.kill('SIGTERM');
    process.on('SIGINT', ignore);
    process.on('SIGTERM', pass);
    child.on('error', (error) => reject(new Refusal(`${command}: ${error.message}`)));
    child.on('exit', (code, signal) => {
      process.off('SIGINT', ignore);
      process.off('SIGTERM', pass);
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143));
    });
  });
}

/** Types of every project, then lint and format: all of it, so that one run shows every error. */
async function check(args) {
  const [node, tsc] = compiler();
  let failed = 0;
  for (const { settings } of Object.values(PROJECTS)) {
    if (existsSync(inRoot(settings)) && (await follow(node, [tsc, '--noEmit', '-p', settings])) !== 0) failed = 1;
  }
  const biome = inRoot('node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const lint = ['check', '--error-on-warnings', '--max-diagnostics=none', ...args];
  if ((await follow(node, [biome, ...lint])) !== 0) failed = 1;
  return failed;
}

async function test(args) {
  const prepared = await follow(process.execPath, [inRoot('test', 'setup.mjs')]);
  if (prepared !== 0) return prepared;
  const vitest = inRoot('node_modules', 'vitest', 'vitest.mjs');
  return follow(process.execPath, [vitest, 'run', '--config', 'test/vitest.config.ts', ...args]);
}

async function runFile([file, ...args]) {
  const project = file === undefined ? undefined : projectOf(file);
  if (project === undefined || !file.endsWith('.ts'))
    throw new Refusal('run what? A .ts file under src, test or bench.');
  if (!existsSync(inRoot(file))) throw new Refusal(`${file} does not exist`);
  ensureBuilt(project);
  return become(`dist/${file.replace(/\.ts$/, '.js')}`, args);
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  throw new Refusal(`Sluice needs Node ${NODE_MIN.join('.')} or newer; this is ${process.versions.node}.`);
}

async function main([verb, ...args]) {
  const row = Object.hasOwn(VERBS, verb ?? '') ? VERBS[verb] : undefined;
  if (row === undefined) throw new Refusal(`${verb ?? 'no verb'}: expected one of ${Object.keys(VERBS).join(', ')}`);
  requireNode();
  ensureInstalled();
  for (const project of row.builds) ensureBuilt(project);
  return row.run(args);
}

try {
  const code = await main(process.argv.slice(2));
  if (code !== null) process.exitCode = code;
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  say(error.message);
  process.exitCode = 1;
}
