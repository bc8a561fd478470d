// Runs src/cli/ensure.mjs in a small working copy of its own, with the real compiler and, where installing is concerned, an npm that only writes down what
// it was asked.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../support/built.ts';

let copy: string;

const at = (...parts: string[]) => join(copy, ...parts);

function write(file: string, text: string): void {
  mkdirSync(dirname(at(file)), { recursive: true });
  writeFileSync(at(file), text);
}

const LOCK = {
  lockfileVersion: 3,
  packages: {
    '': { name: 'small' },
    'node_modules/dep': { version: '1.0.0' },
    'node_modules/other': { version: '2.0.0', optional: true },
  },
};

/** What npm leaves in node_modules. */
function installed(version: string): void {
  write('node_modules/dep/package.json', '{}');
  write('node_modules/.package-lock.json', JSON.stringify({ packages: { 'node_modules/dep': { version } } }));
}

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'sluice-ensure-'));
  cpSync(join(ROOT, 'src/cli/ensure.mjs'), at('src/cli/ensure.mjs'));
  cpSync(join(ROOT, 'src/cli/ensure'), at('src/cli/ensure'), { recursive: true });
  cpSync(join(ROOT, 'tsconfig.json'), at('tsconfig.json'));
  cpSync(join(ROOT, 'test/tsconfig.json'), at('test/tsconfig.json'));
  write('package.json', '{"name":"small","type":"module"}');
  write('package-lock.json', JSON.stringify(LOCK));
  installed('1.0.0');
  for (const name of ['typescript', '@typescript', '@types', 'undici-types', 'rolldown', '@rolldown', '@oxc-project']) {
    symlinkSync(join(ROOT, 'node_modules', name), at('node_modules', name));
  }
  write('src/main.ts', "console.log('started', ...process.argv.slice(2));\n");
  write('src/page.html', '<p>1</p>');
  // Stands in for npm: writes down its arguments, installs what the lock file wants, or fails.
  write(
    'npm-cli.js',
    `const { appendFileSync, mkdirSync, writeFileSync } = require('node:fs');
    appendFileSync('npm.log', process.argv.slice(2).join(' ') + '\\n');
    if (process.env.NPM_FAILS) { console.error('npm error network'); process.exit(7); }
    mkdirSync('node_modules/dep', { recursive: true });
    writeFileSync('node_modules/dep/package.json', '{}');`.replace(
      "require('node:fs')",
      "process.getBuiltinModule('node:fs')",
    ),
  );
});

afterEach(() => rmSync(copy, { recursive: true }));

function ensure(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [at('src/cli/ensure.mjs'), ...args], {
    cwd: copy,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, npm_execpath: at('npm-cli.js'), ...env },
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

const npmCalls = () => (existsSync(at('npm.log')) ? readFileSync(at('npm.log'), 'utf8').trim().split('\n') : []);

describe('installing', () => {
  it('runs npm ci once when node_modules is missing, without scripts, and remembers it', () => {
    rmSync(at('node_modules/dep'), { recursive: true });
    expect(ensure(['start']).status).toBe(0);
    expect(npmCalls()).toEqual([expect.stringMatching(/^ci --ignore-scripts --include=dev /)]);
    expect(ensure(['start']).stderr).toBe('');
    expect(npmCalls()).toHaveLength(1);
  });

  it('is left to whoever has done it: an installation that matches the lock file is taken as it is', () => {
    expect(ensure(['start']).status).toBe(0);
    expect(npmCalls()).toEqual([]);
  });

  it('runs again when the lock file wants something else', () => {
    ensure(['start']);
    write(
      'package-lock.json',
      JSON.stringify({ ...LOCK, packages: { ...LOCK.packages, 'node_modules/dep': { version: '1.0.1' } } }),
    );
    ensure(['start']);
    expect(npmCalls()).toHaveLength(1);
  });

  it('says what npm said when it fails, and goes no further', () => {
    installed('0.9.0');
    const { status, stdout, stderr } = ensure(['start'], { NPM_FAILS: '1' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(
      'npm ci failed (exit code 7), so the dependencies are not installed:\nnpm error network\n',
    );
    expect(stderr).not.toContain('    at ');
  });

  it('says so when there is no npm', () => {
    installed('0.9.0');
    const { status, stderr } = ensure(['start'], { npm_execpath: '', PATH: '/nowhere' });
    expect(status).toBe(1);
    expect(stderr).toContain('npm was not found');
  });
});

describe('building', () => {
  it('happens when something changed, and is silent otherwise', () => {
    const first = ensure(['start', 'a', '--b']);
    expect(first).toEqual({ status: 0, stdout: 'started start a --b\n', stderr: expect.stringContaining('Building') });
    const builtAt = statSync(at('dist/src/main.js')).mtimeMs;
    expect(ensure(['start'])).toEqual({ status: 0, stdout: 'started start\n', stderr: '' });
    expect(statSync(at('dist/src/main.js')).mtimeMs).toBe(builtAt);

    write('src/main.ts', "console.log('changed');\n");
    expect(ensure(['start']).stdout).toBe('changed\n');
  });

  it('notices a change that keeps time or size', () => {
    ensure(['build']);
    const { mtime } = statSync(at('src/main.ts'));
    write('src/main.ts', "console.log('STARTED', ...process.argv.slice(2));// longer\n");
    utimesSync(at('src/main.ts'), mtime, mtime);
    expect(ensure(['start']).stdout).toContain('STARTED');
    write('src/main.ts', "console.log('Started', ...process.argv.slice(2));// longer\n");
    expect(ensure(['start']).stdout).toContain('Started');
  });

  it('takes along what is not TypeScript, and takes away what has no source any more', () => {
    write('src/old.ts', 'export const old = 1;\n');
    ensure(['build']);
    expect(readFileSync(at('dist/src/page.html'), 'utf8')).toBe('<p>1</p>');
    expect(existsSync(at('dist/src/old.js'))).toBe(true);
    rmSync(at('src/old.ts'));
    rmSync(at('src/page.html'));
    ensure(['build']);
    expect(readdirSync(at('dist/src')).filter((file) => /old|page/.test(file))).toEqual([]);
  });

  it('shows type errors, fails, and tries again next time', () => {
    write('src/main.ts', "const port: number = 'x';\nconsole.log(port);\n");
    for (const attempt of [1, 2]) {
      const { status, stdout, stderr } = ensure(['start']);
      expect({ attempt, status, stdout }).toEqual({ attempt, status: 1, stdout: '' });
      expect(stderr).toContain("src/main.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'");
    }
    write('src/main.ts', "console.log('fine');\n");
    expect(ensure(['start']).stdout).toBe('fine\n');
  });

  it('is done by one of several commands at the same time', async () => {
    const all = await Promise.all(
      [1, 2, 3, 4].map(async () => {
        const child = spawn(process.execPath, [at('src/cli/ensure.mjs'), 'start'], {
          stdio: ['ignore', 'ignore', 'pipe'],
        });
        let stderr = '';
        child.stderr.on('data', (chunk) => {
          stderr += chunk;
        });
        const [code] = await once(child, 'close');
        return { code, built: stderr.includes('Building') };
      }),
    );
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(all.filter(({ built }) => built)).toHaveLength(1);
  });

  it('is not held up by a command that died while building', () => {
    const { pid } = spawnSync(process.execPath, ['-e', '0']);
    write('dist/.lock', String(pid));
    expect(ensure(['start']).status).toBe(0);
  });
});

describe('running', () => {
  it('compiles and runs a script under test/ with its arguments and exit code', () => {
    write(
      'test/sim/run.ts',
      "import { x } from '../x.ts';\nconsole.log('seed', x, ...process.argv.slice(2));\nprocess.exitCode = 3;\n",
    );
    write('test/x.ts', 'export const x = 7;\n');
    expect(ensure(['run', 'test/sim/run.ts', '--seeds', '5'])).toMatchObject({
      status: 3,
      stdout: 'seed 7 --seeds 5\n',
    });
  });

  it('refuses what it cannot run', () => {
    expect(ensure(['run'])).toMatchObject({ status: 1, stderr: expect.stringContaining('run what?') });
    expect(ensure(['run', 'README.md'])).toMatchObject({ status: 1, stderr: expect.stringContaining('run what?') });
    expect(ensure(['run', 'test/none.ts'])).toMatchObject({ status: 1, stderr: 'test/none.ts does not exist\n' });
    expect(ensure(['fly'])).toMatchObject({
      status: 1,
      stderr: 'fly: expected one of start, build, check, test, bench, run\n',
    });
  });

  it('hands signals to what it runs, also through npm', async () => {
    write(
      'src/main.ts',
      "process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });\nsetInterval(() => 0, 1000);\nconsole.log('up');\n",
    );
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    write('package.json', JSON.stringify({ name: 'small', type: 'module', scripts }));
    ensure(['build']);
    const npm = spawn('npm', ['start', '--silent'], { cwd: copy, stdio: ['ignore', 'pipe', 'ignore'] });
    let stdout = '';
    for await (const chunk of npm.stdout) {
      stdout += chunk;
      if (stdout === 'up\n') npm.kill('SIGTERM');
    }
    expect(stdout).toBe('up\nbye\n');
  });
});
