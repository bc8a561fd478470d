// The short form of the power campaign, and the proof that it can fail. Where nobody may mount there is nothing to cut: the outcome says why, and that is all that is asked of it.
import { expect, it } from 'vitest';
import { POWER_DEFAULTS, powerCampaign } from './power.ts';

const SHORT = { ...POWER_DEFAULTS, cycles: 8, verify: 4, max: 800, seed: 7 };
const quiet = (): void => undefined;

it('loses nothing that was confirmed when the power is cut, where it can be cut', { timeout: 240_000 }, async () => {
  const outcome = await powerCampaign({ numbers: SHORT, settings: [], write: false, only: '' }, quiet);
  if (outcome.skipped !== '') {
    console.log(`crash:power is skipped: ${outcome.skipped}`);
    return;
  }
  expect(outcome.details).toEqual([]);
  expect(outcome.failure).toBe('');
  expect(outcome.counts.acknowledged).toBeGreaterThan(100);
  expect(outcome.faults.hit).toBeGreaterThan(2);
});

it('finds what a disk has lost that says it has synced and has not', { timeout: 120_000 }, async () => {
  const numbers = { ...SHORT, cycles: 4, verify: 4, lie: 1 };
  const outcome = await powerCampaign({ numbers, settings: [], write: false, only: '' }, quiet, { discard: true });
  if (outcome.skipped !== '') {
    console.log(`crash:power is skipped: ${outcome.skipped}`);
    return;
  }
  expect(outcome.failure).toContain('violations');
});
