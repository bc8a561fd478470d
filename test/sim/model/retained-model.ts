// The retained message of every topic: the last one that was taken for certain, and those after it that may have been.
import type { Sent } from './sent.ts';

interface Entry {
  readonly sent: Sent | null;
  /** It is not a repetition, which the broker may have recognised as one and left where it was. */
  readonly first: boolean;
}

export class RetainedModel {
  /** In the order of feeding; the first one is certain (or null: none), the others may have taken its place. */
  private readonly topics = new Map<string, Entry[]>();

  /** The broker was given a retained message. */
  fed(sent: Sent): void {
    let list = this.topics.get(sent.topic);
    if (list === undefined) {
      list = [{ sent: null, first: true }];
      this.topics.set(sent.topic, list);
    }
    list.push({ sent, first: sent.qos < 2 || sent.feeds <= 1 });
    sent.supersededStep = Number.POSITIVE_INFINITY;
  }

  /** It was taken for certain. */
  taken(sent: Sent, step: number): void {
    const list = this.topics.get(sent.topic);
    if (list === undefined) return;
    let at = list.length - 1;
    while (at >= 0 && !(list[at]!.sent === sent && list[at]!.first)) at--;
    if (at < 0) return;
    for (const { sent: earlier } of list.splice(0, at)) {
      if (earlier !== null && !list.some((entry) => entry.sent === earlier)) earlier.supersededStep = step;
    }
  }

  get names(): IterableIterator<string> {
    return this.topics.keys();
  }

  /** What a topic may have; null stands for nothing. */
  candidates(topic: string): readonly (Sent | null)[] {
    const list = this.topics.get(topic);
    if (list === undefined) return [null];
    return list.map(({ sent }) => (sent === null || sent.clears ? null : sent));
  }
}
