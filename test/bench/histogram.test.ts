import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Histogram } from '../../bench/lib/histogram.ts';

const durations = fc.array(fc.oneof(fc.nat(300), fc.nat(0xffff_ffff)), { minLength: 1, maxLength: 200 });

test('a quantile is within 0.8 % of the value at its rank', () => {
  fc.assert(
    fc.property(durations, fc.double({ min: 0, max: 1, noNaN: true }), (values, fraction) => {
      const histogram = new Histogram();
      for (const value of values) histogram.record(value);
      const exact = [...values].sort((a, b) => a - b)[Math.max(1, Math.ceil(fraction * values.length)) - 1]!;
      expect(Math.abs(histogram.quantile(fraction) - exact)).toBeLessThanOrEqual(exact * 0.008);
    }),
  );
});

test('merging two histograms is recording all values into one', () => {
  fc.assert(
    fc.property(durations, durations, (left, right) => {
      const [a, b, both] = [new Histogram(), new Histogram(), new Histogram()];
      for (const value of left) a.record(value);
      for (const value of right) b.record(value);
      for (const value of [...left, ...right]) both.record(value);
      a.merge(b);
      expect(a.summary()).toEqual(both.summary());
    }),
  );
});

test('the highest value is exact, and nothing recorded is nothing reported', () => {
  const histogram = new Histogram();
  expect(histogram.summary()).toEqual({ count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
  histogram.record(123_457);
  expect(histogram.maxUs).toBe(123_457);
});
