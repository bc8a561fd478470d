// The version, as package.json says it.
import { readFileSync } from 'node:fs';

/** package.json lies beside dist/ in an installed package and above src/ in a working copy. */
function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
      if (name === 'sluice') return version;
    } catch (error) {
      // Not in this place: look in the other.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('package.json is not where the package has it');
}

export const VERSION: string = readVersion();
