// Where things are, whether this runs from the sources (vitest) or compiled (npm run crash:…).
import { basename, dirname, join } from 'node:path';
import { executable } from '../support/built.ts';

const above = join(import.meta.dirname, '../..');
const isCompiled = basename(above) === 'dist';

export const ROOT = isCompiled ? dirname(above) : above;

/** The broker's executable. A compiled campaign was started by what has built the broker, too. */
export function brokerFile(): string {
  return isCompiled ? join(above, 'bin/sluice.js') : executable();
}
