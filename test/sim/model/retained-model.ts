// The retained message of every topic: the last one that was taken for certain, and those after it that may have been.
import type { Sent } from './sent.ts';

interface Entry {
  readonly sent: Sent | null;
  readonly step: number;
  /** It is not a repetition, which the broker may have recognised as one and left where it was. */
  readonly first: boolean;
  /** It was taken for certain. */
  taken: boolean;
}

interface Topic {
  /** In the order of feeding; the first one is certain (or null: none), the others may have taken its place. */
  now: Entry[];
  /** The same as far as the disk knows: what a crash may bring back. */
  stored: Entry[];
}

export class RetainedModel {
  private readonly topics = new Map<string, Topic>();

  /** The broker was given a retained message. */
  fed(sent: Sent, step: number): void {
    let topic = this.topics.get(sent.topic);
    if (topic === undefined) {
      const none: Entry = { sent: null, step: -1, first: true, taken: true };
      topic = { now: [none], stored: [none] };
      this.topics.set(sent.topic, topic);
    }
    const entry: Entry = { sent, step, first: sent.qos < 2 || sent.feeds <= 1, taken: false };
    topic.now.push(entry);
    topic.stored.push(entry);
    sent.supersededStep = Number.POSITIVE_INFINITY;
  }

  /** It was taken for certain. */
  taken(sent: Sent, step: number): void {
    const topic = this.topics.get(sent.topic);
    if (topic === undefined) return;
    const { now } = topic;
    let at = now.length - 1;
    while (at >= 0 && !(now[at]!.sent === sent && now[at]!.first)) at--;
    if (at < 0) return;
    now[at]!.taken = true;
    for (const { sent: earlier } of now.splice(0, at)) {
      if (earlier !== null && !now.some((entry) => entry.sent === earlier)) earlier.supersededStep = step;
    }
  }

  /** Everything up to this step is on the disk. */
  durable(step: number): void {
    for (const topic of this.topics.values()) {
      const { stored } = topic;
      let at = stored.length - 1;
      while (at > 0 && !(stored[at]!.taken && stored[at]!.step <= step)) at--;
      if (at > 0) stored.splice(0, at);
    }
  }

  /** The broker has died: any of those that may be on the disk may be what is retained now. */
  crashed(): void {
    for (const topic of this.topics.values()) {
      // Which of them it is, nothing that becomes durable from now on can tell.
      topic.stored = topic.stored.map((entry) => ({ ...entry, taken: false }));
      topic.now = [...topic.stored];
      for (const { sent } of topic.now) if (sent !== null) sent.supersededStep = Number.POSITIVE_INFINITY;
    }
  }

  get names(): IterableIterator<string> {
    return this.topics.keys();
  }

  /** What a topic may have; null stands for nothing. */
  candidates(name: string): readonly (Sent | null)[] {
    const topic = this.topics.get(name);
    if (topic === undefined) return [null];
    return topic.now.map(({ sent }) => (sent === null || sent.clears ? null : sent));
  }
}
