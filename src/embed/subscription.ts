// A subscription of the embedding program: a consumer of a queue that calls a function for each message and settles it by what the function does.

import { addressToTopic } from '../../protocols/mqtt/addresses.ts';
import type { Broker } from '../core/broker.ts';
import { type Consumer, Credit, Outcome } from '../core/consumer.ts';
import { type DeliveryOptions, deliveryOptions } from '../core/delivery.ts';
import type { Message } from '../core/message.ts';
import type { Queue } from '../core/queue.ts';
import type { RetainedEntry, RetainedWalk } from '../core/retained.ts';
import type { Run } from '../core/run.ts';
import type { Turn } from '../io/turn.ts';

/** A message as the program sees it. Everything in it stays valid. */
export interface ReceivedMessage {
  /** The address it was published to, as in MQTT. */
  readonly address: string;
  readonly payload: Uint8Array;
  /** The payload as UTF-8 text. */
  text(): string;
  readonly properties: Message['properties'];
  readonly headers: Message['headers'];
  readonly priority: number;
  /** It was retained before the subscription was made. */
  readonly retained: boolean;
  /** Earlier deliveries of this message. */
  readonly deliveryCount: number;
}

export type Handler = (message: ReceivedMessage) => void | Promise<void>;

const RETAINED = deliveryOptions(2, true, null);
const SLICE = 1000;
const decoder = new TextDecoder();

export class Subscription implements Consumer {
  readonly credit: Credit;
  private readonly queue: Queue;
  private readonly handler: Handler;
  private readonly turn: Turn;
  private readonly onEnd: (subscription: Subscription) => void;
  private ended = false;

  constructor(
    queue: Queue,
    handler: Handler,
    prefetch: number,
    turn: Turn,
    onEnd: (subscription: Subscription) => void,
  ) {
    this.queue = queue;
    this.handler = handler;
    this.turn = turn;
    this.credit = new Credit(prefetch);
    this.onEnd = onEnd;
  }

  start(): void {
    this.queue.attach(this, false);
  }

  /** Puts retained messages in front, before start(). */
  replay(walk: RetainedWalk, broker: Broker): void {
    const entries: RetainedEntry[] = [];
    while (!walk.next(SLICE, entries, broker.nowMs));
    for (const { run } of entries) this.queue.deliver(run, RETAINED, 0, false);
  }

  deliver(
    _queue: Queue,
    run: Run,
    index: number,
    count: number,
    firstTag: number,
    deliveryCount: number,
    options: DeliveryOptions,
  ): boolean {
    for (let i = 0; i < count; i++) {
      const message = run.message(index + i);
      const payload = new Uint8Array(message.payload);
      const received: ReceivedMessage = {
        address: addressToTopic(message.address),
        payload,
        text: () => decoder.decode(payload),
        properties: message.properties,
        headers: message.headers,
        priority: message.priority,
        retained: options === RETAINED,
        deliveryCount,
      };
      // After the turn: a handler may publish, which must not happen inside a delivery.
      queueMicrotask(() => void this.handle(received, firstTag + i));
    }
    return false;
  }

  onCancelled(_queue: Queue): void {
    this.finish();
  }

  /** Stops at once; what is not settled goes back to its queue. */
  end(): void {
    if (this.ended) return;
    this.finish();
    this.queue.detach(this);
    this.turn.request();
  }

  private finish(): void {
    if (this.ended) return;
    this.ended = true;
    this.onEnd(this);
  }

  private async handle(message: ReceivedMessage, tag: number): Promise<void> {
    let outcome: Outcome = Outcome.Accepted;
    try {
      await this.handler(message);
    } catch {
      // The program's own error is the program's to report; here it means: not done, for somebody else or for later.
      outcome = Outcome.Requeued;
    }
    if (this.ended) return;
    this.credit.available++;
    this.queue.settle(tag, outcome);
    this.queue.pump();
    this.turn.request();
  }
}
