// `sluice user hash`: makes the hash of a password for auth.users. The password comes from a prompt that does not show it, or from standard input; never
// from an argument, which every process of the machine can read.

import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import {
  COST_LOG2_MAX,
  COST_LOG2_MIN,
  formatPasswordHash,
  hashPassword,
  PASSWORD_BYTES_MAX,
} from '../auth/password.ts';
import { Refusal } from './refusal.ts';

/** Asks on the terminal, one question after the other; what is typed is not shown, also what is typed ahead. */
async function ask(questions: readonly string[]): Promise<string[]> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  terminal.on('SIGINT', () => {
    terminal.close();
    process.stderr.write('\n');
    process.exit(130);
  });
  const answers: string[] = [];
  try {
    for (const question of questions) {
      process.stderr.write(question);
      answers.push(await terminal.question(''));
      process.stderr.write('\n');
    }
  } finally {
    terminal.close();
  }
  return answers;
}

/** All of standard input, without the line end that `echo` and editors put there. */
async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > PASSWORD_BYTES_MAX + 2) break;
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

/** Asks for a password, twice on a terminal. Never empty, never longer than a login may send. */
export async function readPassword(): Promise<string> {
  const password = await readUnchecked();
  if (password.length === 0) throw new Refusal('the password is empty; an empty one never logs anybody in');
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    throw new Refusal(`the password is longer than ${PASSWORD_BYTES_MAX} bytes`);
  }
  return password;
}

async function readUnchecked(): Promise<string> {
  if (!process.stdin.isTTY) return readInput();
  const [password = '', again] = await ask(['Password: ', 'Again: ']);
  if (again !== password) throw new Refusal('the two passwords differ');
  return password;
}

export function parseCost(text: string): number {
  const cost = Number(text);
  if (Number.isInteger(cost) && cost >= COST_LOG2_MIN && cost <= COST_LOG2_MAX) return cost;
  throw new Refusal(`--cost: ${text} is not allowed; a whole number from ${COST_LOG2_MIN} to ${COST_LOG2_MAX}`);
}

/** Reads a password and prints its hash. */
export async function userHash(costLog2: number): Promise<void> {
  const password = Buffer.from(await readPassword(), 'utf8');
  process.stdout.write(`${formatPasswordHash(hashPassword(password, costLog2))}\n`);
}
