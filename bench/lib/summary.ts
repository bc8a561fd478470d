// Turns the reports of repeated runs into one row per scenario and broker (medians, spread, what was wrong) and those
// into tables: the figures of every broker, and how this broker compares to each of the others.

import type { Scenario } from '../macro/scenario.ts';
import type { LoadReport } from './load/plan.ts';
import type { Run } from './runner.ts';
import { median, spread } from './statistics.ts';
import { milliseconds, rate, significant, type Table } from './table.ts';

/** The broker all ratios are about. */
const ownName = 'sluice';
/** Cores in use by neither broker nor generator from which a run is marked as disturbed. */
const disturbedCores = 0.25;
/** Cores the generator uses from which it may have set the rate. */
const generatorLimitCores = 0.95;
const failureCharactersMax = 80;

export interface Row {
  readonly scenario: string;
  readonly broker: string;
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly perCpuSecondSpread: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly rssBytes: number;
  readonly brokerCores: number;
  readonly generatorCores: number;
  /** Null where nobody knows: the event loop of another broker, newcomers of one without MQTT. */
  readonly loopP99Ms: number | null;
  readonly connectP99Ms: number | null;
  readonly runCount: number;
  readonly notes: readonly string[];
}

export function summarize(runs: readonly Run[]): Row[] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const key = `${run.scenario} ${run.broker}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [run]);
    else group.push(run);
  }
  return [...groups.values()].map(summarizeGroup);
}

function summarizeGroup(group: readonly Run[]): Row {
  const reports = group.map((run) => run.report).filter((report) => report.failure === '');
  const middle = (figure: (report: LoadReport) => number): number => median(reports.map(figure));
  return {
    scenario: group[0]!.scenario,
    broker: group[0]!.broker,
    perSecond: middle((report) => report.receivedPerSecond),
    perCpuSecond: middle((report) => report.receivedPerCpuSecond),
    perCpuSecondSpread: spread(reports.map((report) => report.receivedPerCpuSecond)),
    p50Us: middle((report) => report.latency.p50),
    p99Us: middle((report) => report.latency.p99),
    rssBytes: middle((report) => report.rssBytes),
    brokerCores: middle((report) => report.brokerCores),
    generatorCores: middle((report) => report.generatorCores),
    loopP99Ms: medianOf(group.map(({ loop }) => loop?.p99Ms)),
    connectP99Ms: medianOf(group.map(({ connects }) => (connects?.count ? connects.p99Ms : undefined))),
    runCount: reports.length,
    notes: notesOf(group, reports),
  };
}

function medianOf(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? null : median(known);
}

/** What a reader must know before believing the row. */
function notesOf(group: readonly Run[], reports: readonly LoadReport[]): string[] {
  const notes: string[] = [];
  const failures = group.filter((run) => run.report.failure !== '');
  if (failures.length > 0) {
    notes.push(`${failures.length}/${group.length} failed: ${firstLine(failures[0]!.report.failure)}`);
  }
  const count = (what: string, figure: (report: LoadReport) => number): void => {
    const total = reports.reduce((sum, report) => sum + figure(report), 0);
    if (total > 0) notes.push(`${total} ${what}`);
  };
  count('lost', (report) => report.lost);
  count('duplicates', (report) => report.duplicates);
  count('reordered', (report) => report.reordered);
  count('corrupt', (report) => report.corrupt);
  count('misrouted', (report) => report.misrouted);
  count('stalls', (report) => report.stalls);
  const disturbed = reports.filter((report) => report.otherCores > disturbedCores).length;
  if (disturbed > 0) notes.push(`${disturbed}/${reports.length} disturbed`);
  if (reports.length > 0 && median(reports.map((report) => report.generatorCores)) >= generatorLimitCores) {
    notes.push('generator busy');
  }
  return notes;
}

/** Enough of a failure for a table; the whole of it went to the terminal. */
function firstLine(failure: string): string {
  return failure.split('\n', 1)[0]!.slice(0, failureCharactersMax);
}

export function figuresTable(rows: readonly Row[]): Table {
  return {
    columns: [
      'scenario',
      'broker',
      'msg/s',
      'msg/CPU-s',
      '±',
      'p50 ms',
      'p99 ms',
      'loop p99 ms',
      'connect p99 ms',
      'RSS MiB',
      'cores',
      'gen',
      'notes',
    ],
    wordColumns: [0, 1, 12],
    rows: rows.map((row) => [
      row.scenario,
      row.broker,
      rate(row.perSecond),
      rate(row.perCpuSecond),
      `${Math.round(row.perCpuSecondSpread * 100)} %`,
      milliseconds(row.p50Us),
      milliseconds(row.p99Us),
      row.loopP99Ms === null ? '–' : significant(row.loopP99Ms),
      row.connectP99Ms === null ? '–' : significant(row.connectP99Ms),
      significant(row.rssBytes / 1024 ** 2),
      row.brokerCores.toFixed(2),
      row.generatorCores.toFixed(2),
      row.notes.join('; '),
    ]),
  };
}

/** Messages per broker CPU-second by broker, and how many times the others' this broker's is. */
export function ratioTable(rows: readonly Row[], scenarios: readonly Scenario[], brokers: readonly string[]): Table {
  const figure = (scenario: string, broker: string): Row | undefined =>
    rows.find((row) => row.scenario === scenario && row.broker === broker && row.runCount > 0);
  const others = brokers.filter((broker) => broker !== ownName);
  const compares = brokers.includes(ownName) && others.length > 0;
  return {
    columns: ['msg/CPU-s', ...brokers, ...(compares ? others.map((other) => `× ${other}`) : [])],
    wordColumns: [0],
    rows: scenarios.map(({ name }) => {
      const own = figure(name, ownName);
      const cells = brokers.map((broker) => cell(figure(name, broker), (row) => rate(row.perCpuSecond)));
      const ratios = others.map((other) =>
        own === undefined ? '–' : cell(figure(name, other), (row) => significant(own.perCpuSecond / row.perCpuSecond)),
      );
      return [name, ...cells, ...(compares ? ratios : [])];
    }),
  };
}

function cell(row: Row | undefined, write: (row: Row) => string): string {
  return row === undefined || row.perCpuSecond === 0 ? '–' : write(row);
}
