import { describe, expect, test } from 'vitest';
import { partsOf } from '../../bench/lib/all.ts';
import { barPlot, linePlot } from '../../bench/lib/plot.ts';

/** Every number an attribute has. */
function numbers(svg: string, attribute: string): number[] {
  return [...svg.matchAll(new RegExp(`<rect x="[\\d.]+" y="[\\d.]+" ${attribute}="([\\d.-]+)"`, 'g'))].map(
    ([, value]) => Number(value),
  );
}

describe('plots', () => {
  test('a bar ten times as large is one decade longer, and text is escaped', () => {
    const svg = barPlot({
      title: 'a < b & "c"',
      axisTitle: 'things',
      series: ['one', 'two', 'three'],
      groups: [
        {
          name: 'g',
          bars: [
            { series: 'one', value: 100 },
            { series: 'two', value: 1000 },
            { series: 'three', value: 10_000 },
          ],
        },
      ],
      write: String,
    });
    expect(svg).toContain('a &lt; b &amp; &quot;c&quot;</text>');
    expect(svg).toContain('aria-label="a &lt; b &amp; &quot;c&quot;"');
    const widths = numbers(svg, 'width').slice(-3);
    expect(widths[1]! - widths[0]!).toBeCloseTo(widths[2]! - widths[1]!, 0);
    expect(widths[0]!).toBeGreaterThan(0);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('a line goes through all points, the larger the higher', () => {
    const points = [
      { x: 1, y: 300 },
      { x: 10, y: 200 },
      { x: 100, y: 250 },
    ];
    const svg = linePlot({ title: 't', xTitle: 'x', yTitle: 'y', points });
    const drawn = /points="([^"]+)"/
      .exec(svg)![1]!
      .split(' ')
      .map((pair) => pair.split(',').map(Number));
    expect(drawn).toHaveLength(3);
    expect(drawn[1]![1]!).toBeGreaterThan(drawn[2]![1]!);
    expect(drawn[2]![1]!).toBeGreaterThan(drawn[0]![1]!);
    expect(drawn[1]![0]! - drawn[0]![0]!).toBeCloseTo(drawn[2]![0]! - drawn[1]![0]!, 0);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('a single point, and one at nothing, can be drawn', () => {
    const svg = linePlot({ title: 't', xTitle: 'x', yTitle: 'y', points: [{ x: 0, y: 3 }] });
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});

test('everything that can be measured is part of all', () => {
  expect(partsOf({ quick: false, write: true })).toEqual([
    ['--write'],
    ['storage', '--write'],
    ['durability', '--write'],
    ['retained', '--write'],
    ['connections', '--write'],
    ['sessions', '--write'],
    ['hostile', '--write'],
    ['curves', '--write'],
  ]);
  expect(partsOf({ quick: true, write: false })[0]).toContain('--repeat');
});
