// The short form of the disk campaign: failing syncs. Full disks, disks that fail for real and damage take longer than every test run can wait. What a machine can not do is skipped with its reason.
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

it('confirms nothing after a failed sync, and ends', { timeout: 240_000 }, async () => {
  await part('errors', { from: 10, k: 11 });
});
