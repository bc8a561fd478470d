// SCRAM-SHA-256 against the example of RFC 7677 and against what a peer may do wrong.
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  formatScramKeys,
  parseScramKeys,
  type ScramKeys,
  ScramServer,
  scramKeys,
  unknownKeys,
} from '../../src/auth/scram.ts';

const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const KEYS = scramKeys('pencil', 4096, SALT);
const FIRST = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO';

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** A server whose part of the nonce is known; for the name "user". */
function server(keys: ScramKeys = KEYS): ScramServer {
  return new ScramServer(
    () => keys,
    () => Buffer.from('hvYDpWUa2RaTCAfuxFIlj)hNlF$k0', 'latin1'),
  );
}

/** The final message of a client that believes to have these keys' password. */
function final(first: string, serverFirst: string, clientKey: Buffer, header = 'n,,'): string {
  const nonce = /r=([^,]+)/.exec(serverFirst)![1]!;
  const without = `c=${Buffer.from(header).toString('base64')},r=${nonce}`;
  const said = `${first.slice(header.length)},${serverFirst},${without}`;
  const stored = createHash('sha256').update(clientKey).digest();
  const proof = createHmac('sha256', stored).update(said).digest();
  for (let i = 0; i < proof.length; i++) proof[i] = proof[i]! ^ clientKey[i]!;
  return `${without},p=${proof.toString('base64')}`;
}

describe('stored keys', () => {
  test('are those of the example of RFC 7677', () => {
    // The example's server signature over its own messages proves both keys.
    const said =
      'n=user,r=rOprNGfwEbeRWgbNEkqO,' +
      'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,' +
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
    expect(createHmac('sha256', KEYS.serverKey).update(said).digest('base64')).toBe(
      '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    );
    const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64');
    const signature = createHmac('sha256', KEYS.storedKey).update(said).digest();
    for (let i = 0; i < proof.length; i++) proof[i] = proof[i]! ^ signature[i]!;
    expect(createHash('sha256').update(proof).digest()).toEqual(KEYS.storedKey);
  });

  test('are written and read again', () => {
    const written = formatScramKeys(KEYS);
    expect(formatScramKeys(parseScramKeys(written)!)).toBe(written);
    expect(parseScramKeys(written)!.iterations).toBe(4096);
  });

  test.each([
    '',
    'pencil',
    formatScramKeys({ ...KEYS, iterations: 4095 }),
    `${formatScramKeys(KEYS)}x`,
    '$scrypt$ln=15,r=8,p=1$a$b',
  ])('are not read from %j', (line) => expect(parseScramKeys(line)).toBeNull());

  test('of an unknown user are the same each time, and differ by name', () => {
    const secret = Buffer.from('secret');
    expect(unknownKeys(secret, 'a')).toEqual(unknownKeys(secret, 'a'));
    expect(unknownKeys(secret, 'a').salt).not.toEqual(unknownKeys(secret, 'b').salt);
  });
});

describe('a conversation', () => {
  const clientKey = (password: string) => {
    // The client's side of scramKeys, written down a second time.
    const salted = createHmacChain(password, SALT, 4096);
    return createHmac('sha256', salted).update('Client Key').digest();
  };

  test('ends with the proof of the server when the client has the password', () => {
    const scram = server();
    const first = scram.step(Buffer.from(FIRST));
    expect(first.kind).toBe('challenge');
    const serverFirst = first.kind === 'challenge' ? text(first.data) : '';
    expect(serverFirst).toMatch(/^r=rOprNGfwEbeRWgbNEkqO[^,]+,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096$/);
    const last = scram.step(Buffer.from(final(FIRST, serverFirst, clientKey('pencil'))));
    expect(last).toMatchObject({ kind: 'accepted', name: 'user' });
    expect(last.kind === 'accepted' && text(last.data)).toMatch(/^v=/);
  });

  test('is refused with another password', () => {
    const scram = server();
    const first = scram.step(Buffer.from(FIRST));
    const serverFirst = first.kind === 'challenge' ? text(first.data) : '';
    expect(scram.step(Buffer.from(final(FIRST, serverFirst, clientKey('pen'))))).toEqual({ kind: 'refused' });
  });

  test('is refused when the header or the nonce is changed on the way', () => {
    for (const change of [(s: string) => s.replace('c=biws', 'c=eSws'), (s: string) => s.replace('r=rOpr', 'r=rOps')]) {
      const scram = server();
      const first = scram.step(Buffer.from(FIRST));
      const serverFirst = first.kind === 'challenge' ? text(first.data) : '';
      const last = final(FIRST, serverFirst, clientKey('pencil'));
      expect(scram.step(Buffer.from(change(last)))).toEqual({ kind: 'refused' });
    }
  });

  test.each([
    'p=tls-unique,,n=user,r=abc',
    'n,a=other,n=user,r=abc',
    'n,,n=user',
    'n,,r=abc,n=user',
    'n,,n=us=er,r=abc',
    'n,,m=ext,n=user,r=abc',
    '',
    `n,,n=user,r=${'x'.repeat(5000)}`,
  ])('does not begin with %j', (message) => expect(server().step(Buffer.from(message))).toEqual({ kind: 'refused' }));

  test('takes escaped names', () => {
    let asked = '';
    const scram = new ScramServer((name) => {
      asked = name;
      return KEYS;
    });
    expect(scram.step(Buffer.from('y,,n=a=2Cb=3Dc,r=abc')).kind).toBe('challenge');
    expect(asked).toBe('a,b=c');
  });
});

/** PBKDF2 by its definition, for one block. */
function createHmacChain(password: string, salt: Uint8Array, iterations: number): Buffer {
  let block = createHmac('sha256', password)
    .update(salt)
    .update(Buffer.from([0, 0, 0, 1]))
    .digest();
  const sum = Buffer.from(block);
  for (let i = 1; i < iterations; i++) {
    block = createHmac('sha256', password).update(block).digest();
    for (let k = 0; k < sum.length; k++) sum[k] = sum[k]! ^ block[k]!;
  }
  return sum;
}
