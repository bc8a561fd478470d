// A queue in the plainest way: one array, looked through from the front. What the real one must do, whatever lies in its window and whatever in its log.
import { type Consumer, Credit, Outcome } from '../../src/core/consumer.ts';
import type { Counters } from '../../src/core/counters.ts';
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { QueueOwner } from '../../src/core/queue-owner.ts';
import type { QueueSpec } from '../../src/core/queue-spec.ts';
import { Overflow } from '../../src/core/queue-spec.ts';
import type { Run } from '../../src/core/run.ts';
import { textOf } from './runs.ts';

export interface Got {
  readonly text: string;
  readonly tag: number;
  readonly attempts: number;
  readonly options: DeliveryOptions;
}

/** A consumer that notes what it gets. */
export class Taker implements Consumer {
  readonly name: string;
  readonly credit: Credit;
  /** Takes messages as done. */
  readonly auto: boolean;
  readonly got: Got[] = [];
  cancelled = 0;
  /** Largest number of messages given in one call. */
  countMax = 0;

  constructor(name: string, credit: number, auto = false) {
    this.name = name;
    this.credit = new Credit(credit);
    this.auto = auto;
  }

  deliver(
    _queue: Queue,
    run: Run,
    index: number,
    count: number,
    firstTag: number,
    attempts: number,
    options: DeliveryOptions,
  ): boolean {
    this.countMax = Math.max(this.countMax, count);
    for (let i = 0; i < count; i++) {
      this.got.push({ text: textOf(run, index + i), tag: firstTag + i, attempts, options });
    }
    return this.auto;
  }

  onCancelled(): void {
    this.cancelled++;
  }

  get texts(): string[] {
    return this.got.map(({ text }) => text);
  }
}

export class Owner implements QueueOwner {
  readonly counters: Counters;
  nowMs = 1_000_000;
  readonly events: string[] = [];

  constructor(counters: Counters) {
    this.counters = counters;
  }

  onQueueUnused(queue: Queue): void {
    this.events.push(`unused ${queue.name}`);
    queue.delete();
  }

  onQueueUseChanged(queue: Queue): void {
    this.events.push(queue.unusedSinceMs === 0 ? 'used' : `not used since ${queue.unusedSinceMs}`);
  }

  /** Every message is told to the log at once, so that its count can be looked at. */
  onSettling(backlog: { endUnit(): void }): void {
    backlog.endUnit();
  }

  onQueueExpires(): void {
    this.events.push('expires');
  }
}

export const Where = { Ready: 'ready', Held: 'held', Unsettled: 'unsettled' } as const;
export type Where = (typeof Where)[keyof typeof Where];

export interface Item {
  readonly text: string;
  readonly level: number;
  readonly expiresAtMs: number;
  readonly logged: boolean;
  where: Where;
  by: ModelConsumer | null;
  attempts: number;
}

export class ModelConsumer {
  readonly auto: boolean;
  credit: number;
  readonly got: string[] = [];

  constructor(credit: number, auto: boolean) {
    this.credit = credit;
    this.auto = auto;
  }
}

export class QueueModel {
  items: Item[] = [];
  readonly consumers: ModelConsumer[] = [];
  expired = 0;
  overflown = 0;
  rejected = 0;
  nowMs: number;
  private readonly spec: QueueSpec;
  private turn = 0;

  constructor(spec: QueueSpec, nowMs: number) {
    this.spec = spec;
    this.nowMs = nowMs;
  }

  get ready(): Item[] {
    return this.items.filter(({ where }) => where !== Where.Unsettled);
  }

  get unsettled(): Item[] {
    return this.items.filter(({ where }) => where === Where.Unsettled);
  }

  private get over(): boolean {
    const { lengthMax, bytesMax } = this.spec;
    const { ready } = this;
    const bytes = ready.reduce((sum, { text }) => sum + text.length, 0);
    return (lengthMax !== null && ready.length > lengthMax) || (bytesMax !== null && bytes > bytesMax);
  }

  refuses(texts: readonly string[]): boolean {
    if (this.spec.overflow !== Overflow.RejectPublish) return false;
    const { lengthMax, bytesMax } = this.spec;
    const bytes = [...this.ready.map(({ text }) => text), ...texts].reduce((sum, text) => sum + text.length, 0);
    return (
      (lengthMax !== null && this.ready.length + texts.length > lengthMax) || (bytesMax !== null && bytes > bytesMax)
    );
  }

  deliver(items: readonly Item[]): void {
    this.items.push(...items);
    this.run();
  }

  /** What can go to consumers goes; of what is left, only what the limits allow stays. */
  run(): void {
    this.pump();
    if (this.spec.overflow !== Overflow.DropHead) return;
    for (let level = 0; level <= this.spec.priorityMax; level++) {
      for (let next = this.next(level); next !== null && this.over; next = this.next(level)) {
        this.overflown++;
        this.drop(next);
      }
    }
  }

  attach(consumer: ModelConsumer): void {
    this.consumers.push(consumer);
    this.pump();
  }

  detach(consumer: ModelConsumer): void {
    const at = this.consumers.indexOf(consumer);
    if (at < 0) return;
    this.consumers.splice(at, 1);
    if (this.turn > at) this.turn--;
    for (const item of this.unsettled) if (item.by === consumer) this.giveBack(item);
    this.run();
  }

  settle(text: string, outcome: Outcome): boolean {
    const item = this.items.find((other) => other.text === text);
    if (item?.where !== Where.Unsettled) return false;
    if (outcome === Outcome.Requeued) {
      this.giveBack(item);
      this.run();
      return true;
    }
    if (outcome === Outcome.Rejected) this.rejected++;
    this.drop(item);
    return true;
  }

  purge(): number {
    const { length } = this.ready;
    this.items = this.unsettled;
    return length;
  }

  expire(): void {
    for (const item of this.ready) {
      if (item.expiresAtMs > this.nowMs) continue;
      this.expired++;
      this.drop(item);
    }
  }

  pump(): void {
    if (this.consumers.length === 0) return;
    for (let level = this.spec.priorityMax; level >= 0; level--) {
      for (let next = this.next(level); next !== null; next = this.next(level)) {
        if (next.expiresAtMs <= this.nowMs) {
          this.expired++;
          this.drop(next);
          continue;
        }
        const consumer = this.withCredit();
        if (consumer === null) return;
        consumer.got.push(next.text);
        next.attempts++;
        if (consumer.auto) this.drop(next);
        else {
          consumer.credit--;
          next.where = Where.Unsettled;
          next.by = consumer;
        }
      }
    }
  }

  private withCredit(): ModelConsumer | null {
    for (let i = 0; i < this.consumers.length; i++) {
      if (this.turn >= this.consumers.length) this.turn = 0;
      const consumer = this.consumers[this.turn++]!;
      if (consumer.credit > 0) return consumer;
    }
    return null;
  }

  private next(level: number): Item | null {
    const first = this.items.find((item) => item.level === level && item.where !== Where.Unsettled);
    return first?.where === Where.Ready ? first : null;
  }

  private giveBack(item: Item): void {
    item.where = Where.Ready;
    if (item.expiresAtMs > this.nowMs) return;
    this.expired++;
    this.drop(item);
  }

  private drop(item: Item): void {
    this.items.splice(this.items.indexOf(item), 1);
  }
}
