// The short form of `npm run strangers`. Memory is judged there, on many sockets; here a few show what each costs, roughly, and that nobody is kept out.
import { expect, test } from 'vitest';
import { BEHAVIOURS, type Behaviour, measure } from './sockets.ts';

test.each(Object.keys(BEHAVIOURS) as Behaviour[])(
  'strangers that %s cost little, and do not keep others out',
  async (behaviour) => {
    const { bytesEach, loginMs } = await measure(behaviour, 1000);
    expect(bytesEach).toBeLessThan(128 * 1024);
    expect(loginMs).toBeLessThan(5000);
  },
  60_000,
);
