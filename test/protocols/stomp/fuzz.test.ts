import { expect, it } from 'vitest';
import { fuzzStomp } from '../../fuzz/stomp.ts';

it('a hundred thousand mutated STOMP inputs are read or refused as the reference says, and nothing else is thrown', () => {
  const result = fuzzStomp({ executions: 100_000, seed: 20_260 });
  expect(result.firstUncaught).toBeNull();
  expect(result.uncaught).toBe(0);
  expect(result.executions).toBe(100_000);
  // Neither all good nor all bad: otherwise the mutations would test nothing.
  expect(result.protocolErrors).toBeGreaterThan(20_000);
  expect(result.decoded).toBeGreaterThan(20_000);
}, 120_000);

it('the same seed gives the same executions', () => {
  const { slowestMs: _first, ...one } = fuzzStomp({ executions: 500, seed: 7 });
  const { slowestMs: _second, ...two } = fuzzStomp({ executions: 500, seed: 7 });
  expect(two).toEqual(one);
});
