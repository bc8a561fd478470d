// `sluice config docs`: the table of all options, for the README.
import { readFileSync, writeFileSync } from 'node:fs';
import { TABLE_BEGIN, TABLE_END, withConfigTable } from '../config/table.ts';
import { configTable } from '../config.ts';
import { Refusal } from './refusal.ts';

/** Prints the table, or puts it into `file` between its two marks. */
export function configDocs(file: string | undefined): void {
  if (file === undefined) {
    process.stdout.write(`${configTable()}\n`);
    return;
  }
  const after = withConfigTable(readFileSync(file, 'utf8'));
  if (after === null) throw new Refusal(`${file} has no place for the table: "${TABLE_BEGIN}" and "${TABLE_END}"`);
  writeFileSync(file, after);
}
