import { scryptSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  formatPasswordHash,
  hashPassword,
  parsePasswordHash,
  unsatisfiableHash,
  verifyPassword,
} from '../../src/auth/password.ts';

const bytes = (text: string) => Buffer.from(text, 'utf8');

describe('a password hash', () => {
  it('is satisfied by its password alone, also after it was written and read', () => {
    const hash = hashPassword(bytes('correct horse'), 14);
    const text = formatPasswordHash(hash);
    expect(text).toMatch(/^\$scrypt\$ln=14,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    const read = parsePasswordHash(text);
    expect(read).not.toBeNull();
    if (read === null) return;
    expect(verifyPassword(bytes('correct horse'), read)).toBe(true);
    expect(verifyPassword(bytes('correct horsf'), read)).toBe(false);
    expect(verifyPassword(bytes(''), read)).toBe(false);
  });

  it('is scrypt as others compute it', () => {
    const { salt, key } = hashPassword(bytes('pässword'), 14);
    expect(key).toEqual(scryptSync('pässword', salt, 32, { N: 16384, r: 8, p: 1, maxmem: 64 * 1024 * 1024 }));
  });

  it('has a salt of its own each time', () => {
    expect(formatPasswordHash(hashPassword(bytes('a'), 14))).not.toBe(formatPasswordHash(hashPassword(bytes('a'), 14)));
  });

  it('is not read where anything is off, nor where its cost is out of bounds', () => {
    const text = formatPasswordHash(unsatisfiableHash(15));
    expect(parsePasswordHash(text)).not.toBeNull();
    const wrong = [
      '',
      'geheim',
      `${text} `,
      ` ${text}`,
      `${text}\n`,
      text.replace('scrypt', 'argon2id'),
      text.replace('ln=15', 'ln=13'),
      text.replace('ln=15', 'ln=19'),
      text.replace('ln=15', 'ln=99'),
      text.replace('r=8', 'r=9'),
      text.replace('p=1', 'p=2'),
      text.slice(0, -20),
      text.replace(/\$[^$]*$/, '$'),
    ];
    for (const other of wrong) expect(parsePasswordHash(other), other).toBeNull();
  });

  it('that stands for nobody is satisfied by nothing', () => {
    const nobody = unsatisfiableHash(14);
    for (const password of ['', 'a', 'password']) expect(verifyPassword(bytes(password), nobody)).toBe(false);
  });
});
