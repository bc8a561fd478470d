import { describe, expect, it } from 'vitest';
import { withFault } from '../../src/storage/embedded/faults.ts';
import { Campaign } from './campaign.ts';
import { KNOWN_BREACHES, KNOWN_SITUATIONS } from './known.ts';
import { DURABLE_SEEDS_THAT_FAILED, SEEDS_THAT_FAILED } from './seeds.ts';
import { type SimulationReport, simulate } from './simulation.ts';

const SEEDS = 300;
/** Each takes ten times as long as one without a disk. */
const DURABLE_SEEDS = 160;
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

describe('a broker on a disk, which dies and comes up again', () => {
  const durable = { ...options, durable: true };

  it('keeps every promise', async () => {
    const campaign = new Campaign(durable);
    for (let seed = 1; seed <= DURABLE_SEEDS; seed++) await campaign.run(seed);
    const { failures, totals } = campaign.report;
    expect(failures.flatMap(({ report }) => broken(report))).toEqual([]);
    for (const name of ['kills', 'power cuts', 'crashes within a call of the disk', 'messages recovered', 'torn tails'])
      expect(totals.get(name), name).toBeGreaterThan(0);
  }, 180_000);

  it.each(DURABLE_SEEDS_THAT_FAILED)('keeps them with seed %i: %s', async (seed) => {
    expect(broken(await simulate(seed, durable))).toEqual([]);
  });

  // What only the engine's own campaign can see is looked for there. About one seed in twelve shows a confirm that comes too early.
  it.each(['confirmBeforeSync', 'skipDirectorySync'] as const)(
    'is caught when the engine would %s',
    async (fault) => {
      const caught: string[] = [];
      for (let seed = 1; seed <= 100 && caught.length === 0; seed++)
        caught.push(...broken(await simulate(seed, { ...durable, faults: withFault(fault) })));
      expect(caught).not.toEqual([]);
    },
    120_000,
  );
});
