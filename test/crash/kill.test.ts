// The short form of the kill campaign, and the proof that it can fail.
import { expect, it } from 'vitest';
import { KILL_DEFAULTS, killCampaign } from './kill.ts';

const SHORT = { ...KILL_DEFAULTS, cycles: 10, verify: 5, max: 800, seed: 7 };
const quiet = (): void => undefined;

it('loses nothing that was confirmed when the broker is killed again and again', { timeout: 240_000 }, async () => {
  const outcome = await killCampaign({ numbers: SHORT, settings: [], write: false, only: '' }, quiet);
  expect(outcome.details).toEqual([]);
  expect(outcome.failure).toBe('');
  expect(outcome.counts.acknowledged).toBeGreaterThan(100);
  expect(outcome.counts.delivered).toBeGreaterThan(100);
  expect(outcome.counts.stateChecks).toBeGreaterThan(0);
  expect(outcome.faults.hit).toBeGreaterThan(2);
});

it('finds what a broker without a disk has lost', { timeout: 120_000 }, async () => {
  const numbers = { ...SHORT, cycles: 3, verify: 3 };
  const args = { numbers, settings: ['storage.engine=memory'], write: false, only: '' };
  const outcome = await killCampaign({ ...args }, quiet, { discard: true });
  expect(outcome.failure).toContain('violations');
  expect(outcome.details.length).toBeGreaterThan(0);
});
