// `sluice user scram`: makes the keys of a password for auth.users, with which a client can log in by SCRAM-SHA-256, that is without sending the password.
import { formatScramKeys, ITERATIONS_MAX, ITERATIONS_MIN, scramKeys } from '../auth/scram.ts';
import { Refusal } from './refusal.ts';
import { readPassword } from './user-hash.ts';

export function parseIterations(text: string): number {
  const iterations = Number(text);
  if (Number.isInteger(iterations) && iterations >= ITERATIONS_MIN && iterations <= ITERATIONS_MAX) return iterations;
  throw new Refusal(`--iterations: ${text} is not allowed; a whole number from ${ITERATIONS_MIN} to ${ITERATIONS_MAX}`);
}

/** Reads a password and prints its keys. */
export async function userScram(iterations: number): Promise<void> {
  process.stdout.write(`${formatScramKeys(scramKeys(await readPassword(), iterations))}\n`);
}
