// The core on a real store, without sockets and protocols: a broker that recovers, and one consumer per queue that settles whatever it gets.

import type { Broker } from '../../src/core/broker.ts';
import { type Consumer, Credit, Outcome } from '../../src/core/consumer.ts';
import type { Queue } from '../../src/core/queue.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { coreBroker } from './core-broker.ts';
import { type Bench, CODECS } from './store-bench.ts';

/** As much as a busy MQTT client has in flight. */
const CREDIT = 100;
const FLAGS = { durable: true, autoDelete: false, exclusive: false };

class Taker implements Consumer {
  readonly credit = new Credit(CREDIT);
  readonly queue: Queue;
  private readonly core: CoreBench;
  /** Deliveries that are to be settled at the end of the turn: ranges of tags. */
  readonly tags: number[] = [];

  constructor(core: CoreBench, queue: Queue) {
    this.core = core;
    this.queue = queue;
  }

  deliver(_queue: Queue, _run: unknown, _index: number, count: number, firstTag: number): boolean {
    if (this.tags.length === 0) this.core.onDelivered(this);
    this.tags.push(firstTag, count);
    return false;
  }

  onCancelled(): void {
    throw new Error('nobody deletes a queue here');
  }

  /** Returns how many. */
  settle(): number {
    const { queue, tags } = this;
    let settled = 0;
    for (let at = 0; at < tags.length; at += 2) {
      const first = tags[at]!;
      const count = tags[at + 1]!;
      for (let i = 0; i < count; i++) queue.settle(first + i, Outcome.Accepted);
      settled += count;
    }
    tags.length = 0;
    this.credit.available += settled;
    queue.pump();
    return settled;
  }
}

export class CoreBench {
  private readonly bench: Bench;
  private broker!: Broker;
  private busy: Taker[] = [];
  private onFirst: () => void = () => undefined;

  constructor(bench: Bench) {
    this.bench = bench;
  }

  async open(): Promise<void> {
    const storage = this.bench.make();
    this.broker = coreBroker(storage);
    const { broker } = this;
    await storage.open(CODECS, {
      onDurable: (position) => {
        broker.onDurable(position);
        this.bench.onDurable(position);
      },
      onFailed: (error) => broker.onFailed(error),
      onFull: (full) => broker.onFull(full),
    });
    broker.recover(CODECS);
  }

  declareQueues(count: number): Queue[] {
    const vhost = this.broker.addVhost('/');
    return Array.from({ length: count }, (_, i) => vhost.declareQueue(queueSpec(`q${i}`, FLAGS, new Map())));
  }

  get queues(): Queue[] {
    return [...this.broker.addVhost('/').queues.values()];
  }

  /** Messages that wait in the queues. */
  get found(): number {
    return this.queues.reduce((sum, queue) => sum + queue.readyCount, 0);
  }

  onDelivered(taker: Taker): void {
    this.busy.push(taker);
    this.onFirst();
  }

  /** Epoch milliseconds at which a first consumer has its first message; it leaves again, and the message goes back. */
  async firstDelivery(): Promise<number> {
    const [queue] = this.queues;
    const taker = new Taker(this, queue!);
    const delivered = new Promise<number>((resolve) => {
      this.onFirst = () => resolve(performance.timeOrigin + performance.now());
    });
    queue!.attach(taker, false);
    const at = await delivered;
    this.onFirst = () => undefined;
    this.busy = [];
    queue!.detach(taker);
    return at;
  }

  /** A consumer at every queue until all are empty. Returns how many messages they have settled. */
  async drain(): Promise<number> {
    const { queues } = this;
    let left = this.found;
    let settled = 0;
    for (const queue of queues) queue.attach(new Taker(this, queue), false);
    const { storage } = this.bench;
    while (left > storage.lostMessages) {
      const { busy } = this;
      this.busy = [];
      for (const taker of busy) {
        const count = taker.settle();
        settled += count;
        left -= count;
      }
      this.broker.endUnit();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await this.bench.written();
    return settled;
  }
}
