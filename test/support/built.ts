// The compiled broker, for tests that start it as a process of its own. `npm test` has built it; run by vitest alone, a test builds what has changed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';

const ABOVE = join(import.meta.dirname, '../..');
/** Compiled itself (npm run strangers), it was started by what has built the broker, too. */
const isCompiled = basename(ABOVE) === 'dist';

export const ROOT = isCompiled ? join(ABOVE, '..') : ABOVE;

let built = isCompiled;

/** Path of the broker as it is shipped: /…/dist/bin/sluice.js */
export function executable(): string {
  compiled('src/main.ts');
  return join(ROOT, 'dist/bin/sluice.js');
}

/** Path of a compiled file, given its source: 'src/main.ts' → /…/dist/src/main.js */
export function compiled(source: string): string {
  if (!built) {
    // The compiler writes its output also where it finds a type error, which is the business of `npm run check`.
    const { stderr } = spawnSync(process.execPath, [join(ROOT, 'src/cli/ensure.mjs'), 'build'], { encoding: 'utf8' });
    if (!existsSync(join(ROOT, 'dist/bin/sluice.js'))) throw new Error(`the build failed: ${stderr}`);
    built = true;
  }
  return join(ROOT, 'dist', source.replace(/\.ts$/, '.js'));
}
