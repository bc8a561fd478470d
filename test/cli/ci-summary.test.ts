import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ROOT } from '../support/built.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-summary-'));
afterAll(() => rmSync(directory, { recursive: true }));

interface File {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
}

function summary(testResults: readonly File[] | null, checked = '0', tested = '0') {
  const file = join(directory, 'results.json');
  rmSync(file, { force: true });
  if (testResults !== null) writeFileSync(file, JSON.stringify({ testResults }));
  const { status, stdout } = spawnSync(process.execPath, [join(ROOT, '.ci/summary.mjs'), file, checked, tested], {
    encoding: 'utf8',
  });
  return { status, lines: stdout.trimEnd().split('\n') };
}

const file = (name: string, ...statuses: string[]): File => ({
  name,
  status: statuses.includes('failed') ? 'failed' : 'passed',
  message: '',
  assertionResults: statuses.map((status, i) => ({ status, fullName: `${name} ${i}` })),
});

describe('the last line of CI', () => {
  it('counts what passed', () => {
    expect(summary([file('a', 'passed', 'passed'), file('b', 'passed')])).toEqual({
      status: 0,
      lines: ['3 passed, 0 failed'],
    });
  });

  it('counts and names what failed', () => {
    expect(summary([file('a', 'passed', 'failed')], '0', '1')).toEqual({
      status: 1,
      lines: ['failed: a 1', '1 passed, 1 failed'],
    });
  });

  it('counts a file that could not be loaded as one failure', () => {
    const broken = { name: 'b', status: 'failed', message: 'SyntaxError: x\nmore', assertionResults: [] };
    expect(summary([file('a', 'passed'), broken], '0', '1')).toEqual({
      status: 1,
      lines: ['failed: b: SyntaxError: x', '1 passed, 1 failed'],
    });
  });

  it('does not let a skipped test pass', () => {
    expect(summary([file('a', 'passed', 'skipped', 'todo')])).toEqual({
      status: 1,
      lines: ['not run (skipped): a 1', 'not run (todo): a 2', '1 passed, 0 failed'],
    });
  });

  it('fails with a failed check, a run that ended badly, a run without tests, or none at all', () => {
    expect(summary([file('a', 'passed')], '1')).toEqual({
      status: 1,
      lines: ['npm run check failed (exit code 1)', '1 passed, 0 failed'],
    });
    expect(summary([file('a', 'passed')], '0', '124')).toEqual({
      status: 1,
      lines: ['npm test ended with exit code 124', '1 passed, 0 failed'],
    });
    expect(summary([])).toEqual({ status: 1, lines: ['no test passed', '0 passed, 0 failed'] });
    expect(summary(null, '0', '1')).toEqual({
      status: 1,
      lines: ['npm test left no report (exit code 1)', '0 passed, 1 failed'],
    });
  });
});
