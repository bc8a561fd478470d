// What the three campaigns have in common: their arguments, the folder of a run, a line every so many cycles, the summary, and what is kept when something was wrong.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { addCounts, type Counts, Journal, noCounts } from './journal.ts';

/** Named numbers that a campaign takes, with what they are when they are not given. */
export type NumberOptions = Readonly<Record<string, number>>;

export interface Arguments<N extends NumberOptions> {
  readonly numbers: { readonly [K in keyof N]: number };
  /** --write: the figures go into RESULTS.md. */
  readonly write: boolean;
  /** --set: more settings of the broker. */
  readonly settings: readonly string[];
  /** --only: a part of the campaign. */
  readonly only: string;
}

export function readArguments<const N extends NumberOptions>(defaults: N, args: readonly string[]): Arguments<N> {
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({
    // npm puts one in front of what it passes on, or does not.
    args: args.filter((arg) => arg !== '--'),
    options: {
      ...options,
      write: { type: 'boolean', default: false },
      set: { type: 'string', multiple: true, default: [] },
      only: { type: 'string', default: '' },
    },
  });
  const numbers = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const text = (values as Record<string, unknown>)[name];
      const number = text === undefined ? value : Number(text);
      if (!Number.isSafeInteger(number) || number < 0) throw new Error(`--${name} wants a number, not ${String(text)}`);
      return [name, number];
    }),
  ) as Arguments<N>['numbers'];
  return { numbers, write: values.write === true, settings: values.set as string[], only: values.only as string };
}

/** The command that does it again. What the clients do depends on when the broker answers, so it is the same kind of run, not the same run. */
export function replayOf<N extends NumberOptions>(
  title: string,
  { numbers, settings, only }: Arguments<N>,
  seed: number,
): string {
  const given = Object.entries({ ...numbers, seed }).map(([name, value]) => `--${name} ${value}`);
  for (const setting of settings) given.push(`--set ${setting}`);
  if (only !== '') given.push(`--only ${only}`);
  return `npm run ${title} -- ${given.join(' ')}`;
}

/** A campaign that is told to end ends its brokers and unmounts its disks, which they do when the process exits. */
export function exitOnSignals(): void {
  process.on('SIGINT', () => process.exit(130));
  process.on('SIGTERM', () => process.exit(143));
}

export type Say = (line: string) => void;

export const toConsole: Say = (line) => process.stdout.write(`${line}\n`);

/** Faults by name: how often each was ordered, and how often it struck. */
export class Faults {
  private readonly byName = new Map<string, { ordered: number; hit: number }>();

  count(name: string, hit: boolean): void {
    const entry = this.byName.get(name) ?? { ordered: 0, hit: 0 };
    entry.ordered++;
    if (hit) entry.hit++;
    this.byName.set(name, entry);
  }

  get hit(): number {
    let sum = 0;
    for (const { hit } of this.byName.values()) sum += hit;
    return sum;
  }

  get names(): string[] {
    return [...this.byName.keys()].sort();
  }

  lines(): string[] {
    return this.names.map((name) => {
      const { ordered, hit } = this.byName.get(name)!;
      return `${name}: ${hit} of ${ordered}`;
    });
  }
}

export interface Outcome {
  readonly title: string;
  readonly counts: Counts;
  readonly faults: Faults;
  readonly seed: number;
  readonly cycles: number;
  readonly seconds: number;
  /** More figures, as they are to be printed. */
  readonly figures: readonly string[];
  readonly details: readonly string[];
  /** Why nothing was done; '' when something was. */
  readonly skipped: string;
  /** Why it failed; '' when it passed. */
  readonly failure: string;
}

export interface RunOptions {
  /** Nothing is kept, whatever happens: violations are what is wanted. */
  readonly discard?: boolean;
}

/** One campaign under way: journals come and go with data directories, the counts add up. */
export class Run {
  readonly title: string;
  readonly seed: number;
  readonly folder: string;
  readonly faults = new Faults();
  readonly counts: Counts = noCounts();
  readonly details: string[] = [];
  readonly figures: string[] = [];
  private readonly say: Say;
  private readonly replay: string;
  private readonly discard: boolean;
  private readonly startedAt = performance.now();
  private journals: Journal[] = [];
  cycles = 0;
  /** Violations happened on it: it is not removed. */
  private readonly spoiled: string[] = [];

  constructor(title: string, seed: number, replay: string, say: Say, { discard = false }: RunOptions = {}) {
    this.discard = discard;
    this.title = title;
    this.seed = seed;
    this.replay = replay;
    this.say = say;
    this.folder = mkdtempSync(join(tmpdir(), 'sluice-crash-'));
  }

  /** A folder inside the run's. */
  makeFolder(name: string): string {
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  journal(): Journal {
    const journal = new Journal((line) => this.say(`VIOLATION ${line}`));
    this.journals.push(journal);
    return journal;
  }

  /** The journal has been closed and its data directory is done with; it is kept when something was wrong. */
  finish(journal: Journal, folder: string): void {
    addCounts(this.counts, journal.counts);
    this.details.push(...journal.details);
    this.journals = this.journals.filter((other) => other !== journal);
    if (journal.counts.violations === 0 || this.discard) rmSync(folder, { recursive: true, force: true });
    else {
      writeFileSync(join(folder, 'violations.txt'), `${this.replay}\n${journal.details.join('\n')}\n`);
      this.spoiled.push(folder);
      this.say(`kept: ${folder}`);
    }
  }

  /** Counts of finished and running journals together. */
  get total(): Counts {
    const total = { ...this.counts };
    for (const { counts } of this.journals) addCounts(total, counts);
    return total;
  }

  progress(): void {
    this.say(
      `${this.title} ${this.cycles}: ${describeCounts(this.total)}; faults hit ${this.faults.hit}; ${this.seconds.toFixed(0)} s`,
    );
  }

  get seconds(): number {
    return (performance.now() - this.startedAt) / 1000;
  }

  skipped(reason: string): Outcome {
    this.say(`${this.title}: skipped: ${reason}`);
    rmSync(this.folder, { recursive: true, force: true });
    return { ...this.outcome(''), skipped: reason };
  }

  /** The verdict. `needsFault`: a run whose fault never struck has shown nothing. */
  end(needsFault = true): Outcome {
    const { violations, acknowledged } = this.total;
    const why: string[] = [];
    if (violations > 0) why.push(`${violations} violations`);
    if (acknowledged === 0) why.push('nothing was acknowledged, so nothing was shown');
    if (needsFault && this.faults.hit === 0) why.push('no fault ever struck, so nothing was shown');
    const outcome = this.outcome(why.join('; '));
    for (const line of summaryLines(outcome)) this.say(line);
    if (outcome.failure !== '') this.say(`replay: ${this.replay}`);
    if (this.spoiled.length === 0) rmSync(this.folder, { recursive: true, force: true });
    return outcome;
  }

  private outcome(failure: string): Outcome {
    const { title, faults, seed, cycles, figures, details, seconds } = this;
    return { title, counts: this.total, faults, seed, cycles, seconds, figures, details, skipped: '', failure };
  }
}

export function describeCounts(counts: Counts): string {
  return [
    `acknowledged ${counts.acknowledged}`,
    `delivered ${counts.delivered}`,
    `lost ${counts.lost}`,
    `duplicated ${counts.duplicated} (QoS 2) + ${counts.repeated} (allowed)`,
    `reordered ${counts.reordered}`,
    `corrupted ${counts.corrupted}`,
    `invented ${counts.invented}`,
    `unknown ${counts.unknown} (${counts.unknownDelivered} delivered)`,
    ...(counts.refused > 0 ? [`refused ${counts.refused}`] : []),
    `state checks ${counts.stateChecks}`,
    `violations ${counts.violations}`,
  ].join(', ');
}

export function summaryLines({
  title,
  counts,
  faults,
  seed,
  cycles,
  seconds,
  figures,
  failure,
  skipped,
}: Outcome): string[] {
  if (skipped !== '') return [`${title}: skipped: ${skipped}`];
  return [
    `${title}: ${cycles} cycles in ${seconds.toFixed(0)} s, seed ${seed}`,
    `  ${describeCounts(counts)}`,
    ...faults.lines().map((line) => `  fault ${line}`),
    ...figures.map((line) => `  ${line}`),
    failure === '' ? `${title}: passed` : `${title}: FAILED: ${failure}`,
  ];
}

/** What kind of machine it was, without saying which. */
export function machineClass(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} cores, ${gib} GB, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}
