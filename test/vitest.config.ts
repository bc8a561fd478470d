// How the tests run. Two processes at a time, since broker and clients share the machine with them; each file in a process of its own, because many
// start child processes, set signal handlers or load a native WebSocket engine.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const root = join(import.meta.dirname, '..');
// Where CI wants the counts. Not a SLUICE_ variable: those are the broker's settings, which children of a test inherit.
const reportFile = process.env.TEST_REPORT_FILE;

/** The module that stands in for uWebSockets.js, where test/setup.mjs could install one that loads. */
function uws(): Record<string, string> {
  const report = join(root, 'node_modules/.sluice-test/report.json');
  if (!existsSync(report)) return {};
  const { uws } = JSON.parse(readFileSync(report, 'utf8')) as { uws?: { available: boolean; path: string } };
  return uws?.available === true && existsSync(uws.path) ? { 'uWebSockets.js': uws.path } : {};
}

export default defineConfig({
  root,
  resolve: { alias: uws() },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // Generous: on a loaded machine a test may be slow, but one that hangs still ends. A longer test states its own time.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: reportFile === undefined ? ['default'] : ['default', ['json', { outputFile: reportFile }]],
    // A forgotten `.only` must not pass for a whole run.
    allowOnly: process.env.CI === undefined,
    passWithNoTests: false,
  },
});
