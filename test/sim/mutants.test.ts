import { describe, expect, it } from 'vitest';
import { KNOWN_BREACHES, KNOWN_SITUATIONS } from './known.ts';
import { MUTANTS } from './mutants.ts';
import { simulate } from './simulation.ts';

/** Most bugs show in the first run; the rarest need a situation that comes every hundred runs or so. */
const SEEDS_MAX = 400;

describe('a simulation of a broker in which', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '%s does not pass',
    async (_name, mutant) => {
      const takeOut = mutant.apply();
      try {
        let caught = '';
        for (let seed = 1; seed <= SEEDS_MAX && caught === ''; seed++) {
          const { violations } = await simulate(seed, { tolerated: KNOWN_BREACHES, avoid: KNOWN_SITUATIONS });
          if (violations.length > 0) caught = violations[0]!.rule;
        }
        expect(caught).not.toBe('');
      } finally {
        takeOut();
      }
    },
    120_000,
  );
});
