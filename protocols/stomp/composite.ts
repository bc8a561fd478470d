// A subscription to several destinations (ActiveMQ's comma list): one Subscription for each, all under the id that the client gave. What would reach several of them reaches the client once, where they
// share a subscriber or a queue. It remembers in which order they delivered, because with ack:client an ACK means everything before it, wherever it came from.
import type { StompTopicSubscriber } from './direct.ts';
import type { Subscription } from './subscription.ts';

/** Consecutive deliveries of one part. */
interface Stretch {
  readonly part: Subscription;
  /** Number of the last. */
  last: number;
}

export class Composite {
  readonly parts: Subscription[] = [];
  /** The direct subscriber of all topics that are written alike, by whether they are with slashes; and the queue that collects topics. */
  readonly subscribers = new Map<boolean, StompTopicSubscriber>();
  readonly collectors = new Map<boolean, Subscription>();
  private readonly order: Stretch[] = [];

  /** A part has delivered, up to its number `last`. Called with ack:client only. */
  note(part: Subscription, last: number): void {
    const latest = this.order.at(-1);
    if (latest?.part === part) latest.last = last;
    else this.order.push({ part, last });
  }

  /** Calls `settle` for every part that delivered before number `number` of `part`, that included, with the number up to which it did. */
  upTo(part: Subscription, number: number, settle: (part: Subscription, last: number) => void): void {
    const { order } = this;
    let done = 0;
    while (done < order.length && (order[done]!.part !== part || order[done]!.last < number)) done++;
    for (let i = 0; i < done; i++) settle(order[i]!.part, order[i]!.last);
    settle(part, number);
    order.splice(0, order[done]?.last === number ? done + 1 : done);
  }
}
