// Short forms of the parts of the disk campaign. What a machine can not do is skipped with its reason.
import { expect, it } from 'vitest';
import type { Outcome } from './campaign.ts';
import { DISK_DEFAULTS, diskCampaign } from './disk.ts';

const quiet = (): void => undefined;

async function part(only: string, numbers: Partial<Record<keyof typeof DISK_DEFAULTS, number>>): Promise<Outcome> {
  const all = { ...DISK_DEFAULTS, seed: 7, ...numbers };
  const [outcome] = await diskCampaign({ numbers: all, settings: [], write: false, only }, quiet);
  if (outcome!.skipped !== '') console.log(`crash:disk ${only} is skipped: ${outcome!.skipped}`);
  else {
    expect(outcome!.details).toEqual([]);
    expect(outcome!.failure).toBe('');
  }
  return outcome!;
}

it('refuses, drains and goes on when the disk is full', { timeout: 240_000 }, async () => {
  await part('full', { rounds: 2 });
});

it('confirms nothing after a failed sync, and ends', { timeout: 240_000 }, async () => {
  await part('errors', { from: 9, k: 10 });
});

it('keeps what was confirmed when the disk fails for real', { timeout: 240_000 }, async () => {
  await part('real', { real: 1 });
});

it('finds every damaged block, and serves what is around it', { timeout: 240_000 }, async () => {
  const outcome = await part('damage', { blocks: 20 });
  expect(outcome.figures.join()).toMatch(/20 blocks/);
});
