// Seeded randomness for simulations: the same seed, the same run. Implements the broker's Random as well, so that salts and identifiers repeat, too.
import type { Random } from '../../src/io/random.ts';

export class Dice implements Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  constructor(seed: number) {
    this.a = 0x9e3779b9;
    this.b = 0x243f6a88;
    this.c = 0xb7e15162;
    this.d = (seed ^ 0xdeadbeef) | 0;
    for (let i = 0; i < 15; i++) this.next();
  }

  /** 32 bits (the small fast counting generator, sfc32). */
  next(): number {
    const sum = (this.a + this.b + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + sum) | 0;
    return sum >>> 0;
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return Math.floor((this.next() / 4_294_967_296) * end);
  }

  chance(share: number): boolean {
    return this.next() < share * 4_294_967_296;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.next() & 0xff;
    return bytes;
  }
}
