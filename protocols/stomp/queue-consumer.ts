// How a subscription takes messages from a queue. Frames are copied into the output as the run has them, behind a head for each delivery; what only this delivery has (redelivered,
// the time it has left, that it was retained) stands in the head, too.
import { type Consumer, Credit } from '../../src/core/consumer.ts';
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Run } from '../../src/core/run.ts';
import { formFor, isRetain } from './codec-run.ts';
import type { Composite } from './composite.ts';
import type { Connection } from './connection.ts';
import { expirationLine } from './direct.ts';
import { appendMessages, type MessageHead, NO_EXTRA } from './message-writer.ts';
import { AckMode, type Subscription } from './subscription.ts';
import type { Unsettled } from './unsettled.ts';

export class StompConsumer implements Consumer {
  readonly credit = new Credit(0);
  private readonly connection: Connection;
  private readonly subscription: Subscription;
  private readonly head: MessageHead;
  /** Unsettled deliveries at most; Infinity for no limit. */
  private readonly prefetch: number;
  /** Null for ack:auto. */
  private readonly unsettled: Unsettled | null;
  /** With ack:client and several destinations: who has to know what came before what. */
  private readonly notes: Composite | null;
  /** With ack:auto: the number of the next delivery. */
  private number = 1;

  constructor(connection: Connection, subscription: Subscription, head: MessageHead, prefetch: number) {
    this.connection = connection;
    this.subscription = subscription;
    this.head = head;
    this.prefetch = prefetch;
    this.unsettled = subscription.unsettled;
    this.notes = subscription.ackMode === AckMode.Client ? subscription.composite : null;
  }

  /** Sets the credit to what the subscription may have at the moment. */
  refreshCredit(): void {
    if (this.connection.holding) this.credit.available = 0;
    else if (this.unsettled === null) this.credit.available = Number.POSITIVE_INFINITY;
    else this.credit.available = Math.max(0, this.prefetch - this.unsettled.count);
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
    const { connection, head, unsettled } = this;
    const { output } = connection;
    let number: number;
    if (unsettled === null) {
      number = this.number;
      this.number += count;
    } else {
      number = unsettled.add(firstTag, count);
      if (this.notes !== null) this.notes.note(this.subscription, number + count - 1);
    }
    const form = formFor(run, head);
    const retained = options.retainAsPublished && isRetain(run);
    const plain = deliveryCount === 0 && run.expiresAtMs === 0 && !retained;
    const extra = plain ? NO_EXTRA : extraOf(run, deliveryCount, retained, connection.nowMs);
    appendMessages(output, head, form, true, index, count, number, extra);
    connection.counters.messagesDelivered += count;
    // STOMP has no word for "too fast": what would pile up in the output stays in the queue. The queue gives the credit of settled deliveries back, so that is taken off beforehand.
    if (connection.hasEnough) connection.hold(this, unsettled === null ? count : 0);
    return unsettled === null;
  }

  onCancelled(_queue: Queue): void {
    this.connection.onQueueGone(this.subscription);
  }
}

function extraOf(run: Run, deliveryCount: number, retained: boolean, nowMs: number): Uint8Array {
  const lines: Uint8Array[] = [];
  if (deliveryCount > 0) lines.push(Buffer.from(`redelivered:true\nx-delivery-count:${deliveryCount}\n`));
  if (run.expiresAtMs !== 0) lines.push(expirationLine(run, nowMs));
  if (retained) lines.push(RETAINED_LINE);
  return lines.length === 1 ? lines[0]! : Buffer.concat(lines);
}

export const RETAINED_LINE = Buffer.from('retained:true\n');
