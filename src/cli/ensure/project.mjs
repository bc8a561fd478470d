// Where the working copy is, and how its tools are called. Plain JavaScript on Node alone: everything under src/cli/ensure runs before anything is
// installed or built. Never writes to standard output: that belongs to the command which runs afterwards.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export const inRoot = (...parts) => join(ROOT, ...parts);

/** A refusal with its whole explanation in the message: printed without a stack. */
export class Refusal extends Error {}

export const say = (line) => process.stderr.write(`${line}\n`);

export function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
}

/** The command line of npm: the one that runs us, or the one on the PATH. */
export function npmCommand() {
  const running = process.env.npm_execpath;
  if (running !== undefined && /npm-cli\.c?js$/.test(running)) return [process.execPath, running];
  return process.platform === 'win32' ? ['npm.cmd'] : ['npm'];
}

/** Runs to its end with nothing shown; returns { status, output }. status is -1 when it could not be started. */
export function runQuietly(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, ...options });
  if (done.error !== undefined) return { status: -1, output: done.error.message };
  return { status: done.status ?? 1, output: `${done.stdout}${done.stderr}`.trim() };
}
