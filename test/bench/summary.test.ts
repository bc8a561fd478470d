import { expect, test } from 'vitest';
import { Layout } from '../../bench/lib/load/layout.ts';
import { completePlan, failedReport, type LoadReport } from '../../bench/lib/load/plan.ts';
import type { Run } from '../../bench/lib/runner.ts';
import { median, spread } from '../../bench/lib/statistics.ts';
import { ratioTable, summarize } from '../../bench/lib/summary.ts';
import { asMarkdown, asText, milliseconds, rate } from '../../bench/lib/table.ts';

const noLatency = { count: 1, p50: 1000, p90: 1000, p99: 2000, p999: 2000, max: 2000 };

function run(broker: string, repetition: number, figures: Partial<LoadReport>): Run {
  const report: LoadReport = {
    ...failedReport(''),
    receivedPerSecond: 10,
    receivedPerCpuSecond: 10,
    latency: noLatency,
    rssBytes: 1024 ** 2,
    ...figures,
  };
  return { scenario: 'one', broker, repetition, report, loop: null, connects: null };
}

test('a row has the medians of its runs, their spread, and says what was wrong', () => {
  const [row] = summarize([
    run('sluice', 0, { receivedPerCpuSecond: 90 }),
    run('sluice', 1, { receivedPerCpuSecond: 100, lost: 3 }),
    run('sluice', 2, { receivedPerCpuSecond: 130, otherCores: 0.9 }),
    run('sluice', 3, { failure: 'closed\nand more' }),
  ]);
  expect(row).toMatchObject({ perCpuSecond: 100, perCpuSecondSpread: 0.2, runCount: 3 });
  expect(row?.notes).toEqual(['1/4 failed: closed', '3 lost', '1/3 disturbed']);
});

test('a ratio is how many times the other broker this one is, and a broker without a figure has none', () => {
  const rows = summarize([
    run('sluice', 0, { receivedPerCpuSecond: 1000 }),
    run('mosquitto', 0, { receivedPerCpuSecond: 50 }),
    run('aedes', 0, { failure: 'closed' }),
  ]);
  const scenario = { name: 'one', title: 'one', needs: [], plan: {} };
  const table = ratioTable(rows, [scenario], ['sluice', 'mosquitto', 'aedes']);
  expect(table.columns.slice(4)).toEqual(['× mosquitto', '× aedes']);
  expect(table.rows).toEqual([['one', '1.00 k', '50.0', '–', '20.0', '–']]);
});

test('a table is aligned in text and a table in Markdown', () => {
  const table = {
    columns: ['name', 'n'],
    wordColumns: [0],
    rows: [
      ['a', '10'],
      ['long name', '9'],
    ],
  };
  expect(asText(table)).toBe('name        n\n---------  --\na          10\nlong name   9');
  expect(asMarkdown(table)).toBe('| name | n |\n| --- | ---: |\n| a | 10 |\n| long name | 9 |');
});

test('figures are written with three significant digits', () => {
  expect([rate(1_234_567), rate(12_345), rate(999), milliseconds(59_300), milliseconds(24)]).toEqual([
    '1.23 M',
    '12.3 k',
    '999',
    '59.3',
    '0.024',
  ]);
});

test('median and spread of nothing, one, even and odd counts', () => {
  expect([median([]), median([5]), median([4, 1]), median([9, 1, 5])]).toEqual([0, 5, 2.5, 5]);
  expect([spread([5]), spread([90, 100, 130])]).toEqual([0, 0.2]);
});

test('every message of a publisher meets the subscribers of its topic, whatever the numbers of each', () => {
  for (const [publishers, subscribers, topics] of [
    [1, 1, 1],
    [5, 3, 2],
    [2, 6, 6],
    [6, 2, 4],
    [3, 1, 9],
    [4, 2, 8],
  ] as const) {
    if (topics > publishers && publishers % Math.min(topics, subscribers) !== 0) continue;
    const layout = new Layout(completePlan({ publishers, subscribers, topics, window: 1 }));
    for (let publisher = 0; publisher < publishers; publisher++) {
      for (const lane of layout.lanesOfPublisher(publisher)) {
        const topic = layout.topicOfLane(lane);
        const listeners = Array.from({ length: subscribers }, (_, index) => index).filter((index) =>
          layout.topicsOfSubscriber(index).includes(topic),
        );
        const domain = layout.laneDomain[lane]!;
        expect(domain).toBe(layout.windowOfPublisher(publisher));
        expect(listeners.every((index) => layout.domainOfSubscriber(index) === domain)).toBe(true);
        expect(listeners.length).toBe(layout.domainCopies[domain]);
      }
    }
  }
});
