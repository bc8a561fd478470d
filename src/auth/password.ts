// Password hashes: scrypt in the PHC string format, `$scrypt$ln=15,r=8,p=1$SALT$HASH` (base64 without padding). Only makes, reads and compares hashes;
// the running broker verifies through password-verifier.ts, off the main thread.
import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';

export interface PasswordHash {
  /** log2 of scrypt's N. */
  readonly costLog2: number;
  readonly blockSize: number;
  readonly parallelism: number;
  readonly salt: Uint8Array;
  readonly key: Uint8Array;
}

/**
 * N = 2^15: 32 MiB and about 0.1 s a check. Whoever restarts a broker gets all of its users back at once, and one thread checks them: at this cost a
 * hundred different ones are in within the ten seconds a handshake may take, at 2^17 it would be twenty. Twice what RFC 7914 calls interactive use;
 * `sluice user hash --cost 17` is there for those who have few users.
 */
export const COST_LOG2_DEFAULT = 15;
/** Below this a stolen hash is too cheap to try passwords on. */
export const COST_LOG2_MIN = 14;
/** 2^18 is 256 MiB and about a second for each attempt, wrong ones included. */
export const COST_LOG2_MAX = 18;
export const PASSWORD_BYTES_MAX = 1024;

const BLOCK_SIZE = 8;
const PARALLELISM = 1;
const SALT_BYTES = 16;
const KEY_BYTES = 32;

const PHC = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43,86})$/;

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '');
}

/** Reads a PHC string; null when it is none, or one whose cost is outside of what is accepted. */
export function parsePasswordHash(text: string): PasswordHash | null {
  const match = PHC.exec(text);
  if (match === null) return null;
  const costLog2 = Number(match[1]);
  if (costLog2 < COST_LOG2_MIN || costLog2 > COST_LOG2_MAX) return null;
  if (Number(match[2]) !== BLOCK_SIZE || Number(match[3]) !== PARALLELISM) return null;
  const salt = Buffer.from(match[4] as string, 'base64');
  const key = Buffer.from(match[5] as string, 'base64');
  return { costLog2, blockSize: BLOCK_SIZE, parallelism: PARALLELISM, salt, key };
}

export function formatPasswordHash({ costLog2, blockSize, parallelism, salt, key }: PasswordHash): string {
  return `$scrypt$ln=${costLog2},r=${blockSize},p=${parallelism}$${base64(salt)}$${base64(key)}`;
}

/** scrypt, on this thread. */
export function derive(password: Uint8Array, like: PasswordHash): Uint8Array {
  const { costLog2, blockSize: r, parallelism: p, salt, key } = like;
  const N = 2 ** costLog2;
  return scryptSync(password, salt, key.length, { N, r, p, maxmem: 128 * N * r + 128 * r * p + 1024 * 1024 });
}

/** A fresh hash of `password`, which must not be empty. Takes about 0.1 s at the default cost. */
export function hashPassword(password: Uint8Array, costLog2: number = COST_LOG2_DEFAULT): PasswordHash {
  const salt = randomBytes(SALT_BYTES);
  const shape = { costLog2, blockSize: BLOCK_SIZE, parallelism: PARALLELISM, salt, key: new Uint8Array(KEY_BYTES) };
  return { ...shape, key: derive(password, shape) };
}

/** Is `password` the one that was hashed? On this thread; in constant time for the comparison. */
export function verifyPassword(password: Uint8Array, hash: PasswordHash): boolean {
  return timingSafeEqual(derive(password, hash), hash.key);
}

/** A hash that no password satisfies, as slow to check as one of the same cost: what an unknown user is compared with. */
export function unsatisfiableHash(costLog2: number): PasswordHash {
  const salt = randomBytes(SALT_BYTES);
  return { costLog2, blockSize: BLOCK_SIZE, parallelism: PARALLELISM, salt, key: randomBytes(KEY_BYTES) };
}
