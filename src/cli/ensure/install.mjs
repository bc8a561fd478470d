// Installs the dependencies when they are missing or are not those of the lock file. What is installed is remembered by a stamp in node_modules, which
// goes away with it; without a stamp (somebody ran npm directly) npm's own record is compared before anything is installed again.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { inRoot, npmCommand, Refusal, readJson, runQuietly, say } from './project.mjs';
import { alone } from './turn-taking.mjs';

const STAMP = inRoot('node_modules', '.sluice-installed');

/** What has to be installed: the lock file, for this machine (some packages carry binaries). */
function wanted() {
  const hash = createHash('sha256');
  hash.update(readFileSync(inRoot('package-lock.json')));
  hash.update(`${process.platform} ${process.arch}`);
  return hash.digest('hex');
}

function stamped(digest) {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === digest;
}

/** Does npm's record of node_modules hold every package of the lock file in its version? Optional ones depend on the machine. */
function satisfied() {
  const locked = readJson(inRoot('package-lock.json')).packages;
  const installed = readJson(inRoot('node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined) return false;
  return Object.entries(locked).every(
    ([path, { version, optional }]) =>
      path === '' || optional || (installed[path]?.version === version && existsSync(inRoot(path, 'package.json'))),
  );
}

function install() {
  say('Installing dependencies (only when they change) …');
  const [command, ...args] = npmCommand();
  // No scripts: no dependency needs one, and none should get to run one. Dev dependencies also where NODE_ENV says production: the compiler is one.
  args.push('ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error');
  const { status, output } = runQuietly(command, args);
  if (status === 0) return;
  throw new Refusal(
    `npm ci failed (${status === -1 ? 'npm was not found' : `exit code ${status}`}), so the dependencies are not installed:\n${output}\n` +
      'Is the registry reachable (npm ping), and may you write to node_modules?',
  );
}

export function ensureInstalled() {
  const digest = wanted();
  if (stamped(digest)) return;
  alone(() => {
    if (stamped(digest)) return;
    if (!satisfied()) install();
    writeFileSync(STAMP, digest);
  });
}
