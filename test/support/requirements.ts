// What the machine offers beyond npm's packages, as test/setup.mjs found it. A test that needs something says so by describeWith; where that is missing it
// is skipped with the reason in its title, and in CI it fails.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

export interface Requirement {
  readonly name: string;
  readonly available: boolean;
  /** The program, for `paho` and `stompPy` the Python that has it, for `uws` the module. '' where it is missing. */
  readonly path: string;
  /** Why it is missing. */
  readonly reason: string;
}

export type RequirementName =
  | 'mosquitto'
  | 'mosquittoPub'
  | 'mosquittoSub'
  | 'mosquittoRr'
  | 'paho'
  | 'stompPy'
  | 'chromium'
  | 'uws';

const REPORT = join(import.meta.dirname, '../../node_modules/.sluice-test/report.json');

export function requirement(name: RequirementName): Requirement {
  const missing = { name, available: false, path: '', reason: 'test/setup.mjs has not run; `npm test` runs it' };
  if (!existsSync(REPORT)) return missing;
  const report = JSON.parse(readFileSync(REPORT, 'utf8')) as Record<string, Omit<Requirement, 'name'> | undefined>;
  const found = report[name];
  return found === undefined ? missing : { name, ...found };
}

/** describe() for tests that need every one of `names`. */
export function describeWith(names: readonly RequirementName[], title: string, suite: () => void): void {
  const missing = names.map(requirement).filter(({ available }) => !available);
  if (missing.length === 0) {
    describe(title, suite);
    return;
  }
  const reasons = missing.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  if (process.env.CI === 'true') {
    describe(title, () => it('has what it needs', () => expect(reasons).toBe('')));
    return;
  }
  describe.skip(`${title} [skipped: ${reasons}]`, suite);
}

/** Options for a child `node` that runs the broker from dist/, so that its import('uWebSockets.js') finds the stand-in. */
export function uwsNodeOptions(): string[] {
  const { available, path } = requirement('uws');
  if (!available) return [];
  const hook = `export const resolve = (specifier, context, next) => specifier === 'uWebSockets.js'
    ? { url: ${JSON.stringify(pathToFileURL(path).href)}, shortCircuit: true } : next(specifier, context);`;
  const register = `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});`;
  return ['--import', `data:text/javascript,${encodeURIComponent(register)}`];
}
