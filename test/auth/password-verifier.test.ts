import { afterEach, describe, expect, it } from 'vitest';
import { hashPassword } from '../../src/auth/password.ts';
import { WAITING_MAX, WAITING_PER_PEER_MAX, WorkerPasswordVerifier } from '../../src/auth/password-verifier.ts';

const bytes = (text: string) => Buffer.from(text, 'utf8');
const HASH = hashPassword(bytes('right'), 14);

let verifier = new WorkerPasswordVerifier();
afterEach(async () => {
  await verifier.close();
  verifier = new WorkerPasswordVerifier();
});

describe('the password verifier', () => {
  it('tells the right password from a wrong one', async () => {
    expect(await verifier.verify(bytes('right'), HASH, 'a')).toBe('matches');
    expect(await verifier.verify(bytes('wrong'), HASH, 'a')).toBe('differs');
  });

  it('leaves the caller’s bytes alone', async () => {
    const password = bytes('right');
    await verifier.verify(password, HASH, 'a');
    expect(password.toString()).toBe('right');
  });

  it('does not stop the event loop while it computes', async () => {
    let turns = 0;
    const counting = setInterval(() => turns++, 1);
    await verifier.verify(bytes('right'), HASH, 'a');
    await verifier.verify(bytes('right'), HASH, 'a');
    clearInterval(counting);
    expect(turns).toBeGreaterThan(1);
  });

  it('lets peers take turns', async () => {
    const order: string[] = [];
    const asked = ['a', 'a', 'a', 'a', 'b', 'c'].map((peer) =>
      verifier.verify(bytes('wrong'), HASH, peer).then(() => order.push(peer)),
    );
    await Promise.all(asked);
    expect(order.slice(0, 4).sort()).toEqual(['a', 'a', 'b', 'c']);
  });

  it('says busy at once to a peer whose line is full, and still serves another', async () => {
    const asked = Array.from({ length: WAITING_PER_PEER_MAX + 1 }, () => verifier.verify(bytes('x'), HASH, 'a'));
    expect(await verifier.verify(bytes('right'), HASH, 'a')).toBe('busy');
    expect(await verifier.verify(bytes('right'), HASH, 'b')).toBe('matches');
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['differs']));
  });

  it('says busy to everybody when all lines together are full', async () => {
    // One more than may wait: it is the one being computed.
    const asked = Array.from({ length: WAITING_MAX + 1 }, (_, i) => verifier.verify(bytes('x'), HASH, `peer ${i}`));
    expect(await verifier.verify(bytes('right'), HASH, 'late')).toBe('busy');
    await verifier.close();
    const verdicts = await Promise.all(asked);
    expect(verdicts.filter((verdict) => verdict === 'busy').length).toBeGreaterThanOrEqual(WAITING_MAX);
  });

  it('answers whoever waits when it is closed, and refuses whoever comes later', async () => {
    const asked = [1, 2, 3].map(() => verifier.verify(bytes('right'), HASH, 'a'));
    await verifier.close();
    expect(await Promise.all(asked)).toEqual(['busy', 'busy', 'busy']);
    expect(await verifier.verify(bytes('right'), HASH, 'a')).toBe('busy');
  });

  it('is busy, not broken, when a hash cannot be computed, and goes on with the next', async () => {
    // 1 TiB of memory: scrypt refuses, the thread ends.
    expect(await verifier.verify(bytes('right'), { ...HASH, costLog2: 30 }, 'a')).toBe('busy');
    expect(await verifier.verify(bytes('right'), HASH, 'a')).toBe('matches');
  });
});
