// The only source of randomness. Identifiers and salts come from here, so that a seed replays a whole broker.
import { randomFillSync } from 'node:crypto';

export interface Random {
  /** count fresh unpredictable bytes. */
  bytes(count: number): Uint8Array;
}

export class SystemRandom implements Random {
  bytes(count: number): Uint8Array {
    return randomFillSync(new Uint8Array(count));
  }
}

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';

/** A name of `length` characters out of [0-9a-z]; 25 of them carry 129 bits. */
export function randomName(random: Random, length: number): string {
  const bytes = random.bytes(length * 2);
  let name = '';
  for (let i = 0; i < length; i++) {
    // 16 bits modulo 36 is biased by less than 0.06 %, of no use to a guesser at this length.
    name += ALPHABET[(bytes[2 * i]! * 256 + bytes[2 * i + 1]!) % 36];
  }
  return name;
}
