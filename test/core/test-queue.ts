// A queue and what surrounds it, for tests: its keeper, its log, and the steps in which the property tests treat it.
import fc from 'fast-check';
import { Outcome } from '../../src/core/consumer.ts';
import { Counters } from '../../src/core/counters.ts';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import { Queue } from '../../src/core/queue.ts';
import type { QueueWindow } from '../../src/core/queue-owner.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { Durability, type FetchSink, LogTargets, type QueueLog } from '../../src/storage/commit-log.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import { Owner, Taker } from './queue-model.ts';
import { type RunFields, textRun } from './runs.ts';

/** What the queue has in memory is so little that every test goes through the log. */
export const SMALL: QueueWindow = { countMax: 4, bytesMax: 40, batchCount: 2, batchBytes: 20 };

/** A log whose fetches are answered when the test says so, as they are when they come from a disk. */
export class SlowLog implements QueueLog {
  private readonly log: QueueLog;
  private asked: (() => void) | null = null;

  constructor(log: QueueLog) {
    this.log = log;
  }

  get name(): string {
    return this.log.name;
  }

  get durability(): Durability {
    return this.log.durability;
  }

  get nextSequence(): number {
    return this.log.nextSequence;
  }

  get count(): number {
    return this.log.count;
  }

  get firstSequence(): number {
    return this.log.firstSequence;
  }

  settle(sequence: number, count: number): void {
    this.log.settle(sequence, count);
  }

  fetch(from: number, countMax: number, bytesMax: number, sink: FetchSink): void {
    if (this.asked !== null) throw new Error('one fetch per queue at a time');
    this.asked = () => this.log.fetch(from, countMax, bytesMax, sink);
  }

  purge(): void {
    this.log.purge();
  }

  delete(): void {
    this.log.delete();
  }

  get isAsked(): boolean {
    return this.asked !== null;
  }

  /** Answers what is being asked, and what is asked thereupon. */
  answer(times = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < times && this.asked !== null; i++) {
      const { asked } = this;
      this.asked = null;
      asked();
    }
  }
}

export type LogKind = 'none' | 'memory' | 'slow';

export interface TestQueueOptions {
  readonly log?: LogKind;
  readonly args?: Readonly<Record<string, string>>;
  readonly window?: QueueWindow;
  readonly autoDelete?: boolean;
}

/** A queue and what a virtual host does for it. */
export class TestQueue {
  readonly owner = new Owner(new Counters());
  readonly storage: MemoryStorage;
  readonly log: QueueLog | null;
  readonly slow: SlowLog | null;
  readonly queue: Queue;

  constructor(options: TestQueueOptions = {}, storage = new MemoryStorage()) {
    const { log = 'none', args = {}, window = SMALL, autoDelete = false } = options;
    this.storage = storage;
    this.log = log === 'none' ? null : storage.log.openQueue('q', Durability.Fsync);
    this.slow = log === 'slow' ? new SlowLog(this.log!) : null;
    const spec = queueSpec(
      'q',
      { durable: log !== 'none', autoDelete, exclusive: false },
      new Map(Object.entries(args)),
    );
    this.queue = new Queue(spec, this.slow ?? this.log, this.owner, window);
  }

  get counters(): Counters {
    return this.owner.counters;
  }

  /** Publishes; returns what release() wants for held ones. */
  publish(texts: string | readonly string[], fields: RunFields & { readonly held?: boolean } = {}): number {
    const run = textRun(texts, { receivedAtMs: this.owner.nowMs, ...fields });
    const sequence = this.log !== null && (run.guarantee > 0 || this.queue.spilled) ? this.log.nextSequence : 0;
    if (sequence !== 0) this.storage.log.append(run, new LogTargets([this.log!], [AS_PUBLISHED]));
    return this.queue.deliver(run, AS_PUBLISHED, sequence, fields.held === true);
  }

  attach(credit: number, auto = false): Taker {
    const taker = new Taker('taker', credit, auto);
    this.queue.attach(taker, false);
    return taker;
  }

  give(taker: Taker, credit: number): void {
    taker.credit.available += credit;
    this.queue.pump();
  }

  advance(ms: number): void {
    this.owner.nowMs += ms;
    this.queue.expire(this.owner.nowMs);
  }

  settleAll(taker: Taker, outcome: Outcome = Outcome.Accepted): void {
    for (const { tag } of taker.got) this.queue.settle(tag, outcome);
  }
}

export function numbers(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => String(from + i));
}

// ---- steps

export type Step =
  | {
      readonly kind: 'publish';
      readonly count: number;
      readonly bytes: number;
      readonly priority: number;
      readonly ttlMs: number;
      readonly transient: boolean;
      readonly held: boolean;
    }
  | { readonly kind: 'attach' | 'detach'; readonly taker: number }
  | { readonly kind: 'credit'; readonly taker: number; readonly credit: number }
  | { readonly kind: 'settle'; readonly taker: number; readonly which: number; readonly outcome: Outcome }
  | { readonly kind: 'settleRun'; readonly taker: number; readonly which: number; readonly count: number }
  | { readonly kind: 'release' | 'purge' | 'answer' }
  | { readonly kind: 'advance'; readonly ms: number };

export const TAKERS = [
  { credit: 0, auto: false },
  { credit: 2, auto: false },
  { credit: 1, auto: true },
] as const;

export const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      count: fc.integer({ min: 1, max: 5 }),
      bytes: fc.integer({ min: 0, max: 12 }),
      priority: fc.integer({ min: 0, max: 5 }),
      ttlMs: fc.integer({ min: 0, max: 30 }),
      transient: fc.nat({ max: 5 }).map((n) => n === 0),
      held: fc.nat({ max: 3 }).map((n) => n === 0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('attach' as const, 'detach' as const), taker: fc.nat({ max: 2 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('credit' as const),
      taker: fc.nat({ max: 2 }),
      credit: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      taker: fc.nat({ max: 2 }),
      which: fc.nat({ max: 20 }),
      outcome: fc.constantFrom(Outcome.Accepted, Outcome.Requeued, Outcome.Rejected),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('settleRun' as const),
      taker: fc.nat({ max: 2 }),
      which: fc.nat({ max: 20 }),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('release' as const, 'answer' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('purge' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 20 }) }) },
);
