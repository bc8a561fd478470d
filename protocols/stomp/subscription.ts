// A subscription of a client: direct (a binding and a delivery class) or a consumer of a queue. What is to be done with it, do others (subscriptions.ts, acknowledgements.ts).
import type { Binding } from '../../src/core/binding.ts';
import type { Destination } from '../../src/core/delivery.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Selector } from '../../src/core/selector/selector.ts';
import type { Composite } from './composite.ts';
import type { StompClass } from './direct.ts';
import type { StompConsumer } from './queue-consumer.ts';
import { Unsettled } from './unsettled.ts';

export const AckMode = { Auto: 0, Client: 1, ClientIndividual: 2 } as const;
export type AckMode = (typeof AckMode)[keyof typeof AckMode];

export class Subscription {
  /** By which the client speaks of it; null in STOMP 1.0 without an id. */
  readonly id: string | null;
  /** Key among the connection's subscriptions. */
  readonly key: string;
  /** Its number on the connection, never used again: part of the ids of its messages. */
  readonly place: number;
  readonly ackMode: AckMode;
  /** Null for ack:auto. */
  readonly unsettled: Unsettled | null;
  ended = false;
  /** An ACK has made room: the queue is to be asked for more. */
  pumpWanted = false;

  // One of the two.
  binding: Binding | null = null;
  deliveryClass: StompClass | null = null;
  /** Retained messages are judged by it before they go out. */
  selector: Selector | null = null;

  queue: Queue | null = null;
  consumer: StompConsumer | null = null;
  /** The queue is a share group's. */
  shared = false;
  /** The queue outlives the connection, until UNSUBSCRIBE says durable:true. */
  durable = false;
  /** Where its bindings lead to, when they leave out what the connection publishes itself. */
  noLocal: Destination | null = null;
  /** It is one of several destinations under one id. */
  composite: Composite | null = null;

  constructor(id: string | null, key: string, place: number, ackMode: AckMode) {
    this.id = id;
    this.key = key;
    this.place = place;
    this.ackMode = ackMode;
    this.unsettled = ackMode === AckMode.Auto ? null : new Unsettled();
  }
}
