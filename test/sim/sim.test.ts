import { describe, expect, it } from 'vitest';
import { Campaign } from './campaign.ts';
import { KNOWN_BREACHES, KNOWN_SITUATIONS } from './known.ts';
import { SEEDS_THAT_FAILED } from './seeds.ts';
import { type SimulationReport, simulate } from './simulation.ts';

const SEEDS = 300;
const options = { tolerated: KNOWN_BREACHES, avoid: KNOWN_SITUATIONS };

function broken({ seed, violations }: SimulationReport): string[] {
  return violations.map(({ rule, text, step }) => `seed ${seed}, step ${step}: ${rule}: ${text}`);
}

describe('the whole broker under random workloads', () => {
  it('keeps every promise over a network that cuts, delays, resets and goes silent', async () => {
    const campaign = new Campaign(options);
    for (let seed = 1; seed <= SEEDS; seed++) await campaign.run(seed);
    const { failures, unseen } = campaign.report;
    expect(failures.flatMap(({ report }) => broken(report))).toEqual([]);
    expect(unseen).toEqual([]);
  }, 120_000);

  it.each(SEEDS_THAT_FAILED)('keeps them with seed %i: %s', async (seed) => {
    expect(broken(await simulate(seed, options))).toEqual([]);
  });

  it('does the same again with the same seed', async () => {
    const [first, second] = [
      await simulate(7, { ...options, trace: true }),
      await simulate(7, { ...options, trace: true }),
    ];
    expect(first.trace.length).toBeGreaterThan(100);
    expect(second.trace).toEqual(first.trace);
  });

  it('fails a campaign in which something never happened', async () => {
    const campaign = new Campaign({ ...options, avoid: new Set([...KNOWN_SITUATIONS, 'faults']) });
    for (let seed = 1; seed <= 50; seed++) await campaign.run(seed);
    expect(campaign.report.failures).toEqual([]);
    expect(campaign.report.unseen).toEqual(
      expect.arrayContaining(['messages sent again', 'clients stalled', 'garbage']),
    );
  }, 60_000);
});
