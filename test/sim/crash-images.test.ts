import { describe, expect, it } from 'vitest';
import { type Faults, NO_FAULTS, withFault } from '../../src/storage/embedded/faults.ts';
import { crashImages } from './crash-images.ts';

describe('the crash campaign on the simulated disk', () => {
  it('finds no violation in 5,000 crash images', { timeout: 300_000 }, async () => {
    const result = await crashImages({ seed: 1, images: 5000 });
    expect(result.violations).toEqual([]);
    // A campaign that confirmed nothing, tore nothing or never got to a checkpoint proves nothing.
    expect(result.confirmedUnits).toBeGreaterThan(1000);
    expect(result.tornTails).toBeGreaterThan(10);
    expect(result.checkpoints).toBeGreaterThan(10);
    expect(result.compactions).toBeGreaterThan(10);
    expect(result.diskFaultsHit).toBeGreaterThan(10);
  });

  for (const fault of Object.keys(NO_FAULTS) as (keyof Faults)[]) {
    it(`notices the seeded bug ${fault}`, { timeout: 120_000 }, async () => {
      const result = await crashImages({ seed: 1, images: 20_000, faults: withFault(fault), stopAtFirst: true });
      expect(result.violations.length).toBeGreaterThan(0);
    });
  }
});
