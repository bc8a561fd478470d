// The model: a gateway that is as simple as can be, and slow. One object for each message, subscriptions in an array that is looked through for every message, each outgoing packet encoded for
// itself. What a connection is to be sent stands in `sent`, piece by piece, each with the stream it belongs to.
//
// Canonical order. A connection's bytes consist of streams: the answers to what it sent, in the order in which it sent it; and its messages, per subscription in STOMP, and in MQTT those at QoS 0
// and those at QoS 1 and 2 apart. Each stream has one order, that of publishing and settling. Between streams the order is that of the model (a packet's deliveries before its answer, and everything in
// the order in which packets came) for whoever only listens. For the client that is sending, and for one that reads slowly, both protocols leave it open how the streams are interleaved, and
// where input was cut decides. See compare.ts.
import { type Message, matches } from './message.ts';
import type { Options } from './queue.ts';
import { ModelQueue } from './queue.ts';

export interface Piece {
  readonly stream: string;
  readonly bytes: Buffer;
}

/** Somebody a message may go to: a session, a queue, a direct subscriber. */
export interface Receiver {
  /** It gets one copy of a message, however many of its subscriptions match. False: it gets none, all of them say "no local". */
  receive(message: Message, subscriptions: readonly Subscription[], publisher: object | null): boolean;
}

export interface Subscription {
  readonly receiver: Receiver;
  /** In MQTT's notation. */
  readonly pattern: readonly string[];
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly identifier: number;
}

export abstract class ModelConnection {
  /** What it is to be sent and has not been looked at. */
  sent: Piece[] = [];
  closed = false;

  send(stream: string, bytes: Buffer): void {
    if (!this.closed) this.sent.push({ stream, bytes });
  }

  /** A whole packet or frame. */
  abstract onPacket(bytes: Buffer): void;
  /** The connection is lost. */
  abstract onLost(): void;
  /** Answers the client would give, in the order in which they became due. */
  abstract readonly owed: Owed[];
}

/** One acknowledgement a client owes: PUBACK, PUBREC, PUBREL, PUBCOMP by type and id; or ACK. */
export interface Owed {
  readonly kind: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' | 'ack';
  readonly id: number;
  /** STOMP: what the ACK names. */
  readonly messageId: string;
  readonly subscription: string | null;
}

export class Gateway {
  nowMs: number;
  subscriptions: Subscription[] = [];
  readonly retained = new Map<string, Message>();
  readonly queues = new Map<string, ModelQueue>();
  /** What is done when the turn ends: first the endings, then what was put off. */
  readonly endings: (() => void)[] = [];
  readonly later: (() => void)[] = [];
  /** How often what happened. */
  readonly tally: Map<string, number>;
  /** Each level of a retained topic, and when it came to be. */
  private readonly births = new Map<string, number>();
  private birth = 0;

  constructor(nowMs: number, tally: Map<string, number>) {
    this.nowMs = nowMs;
    this.tally = tally;
  }

  count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  makeQueue(): ModelQueue {
    return new ModelQueue(
      () => this.nowMs,
      () => this.count('expired in a queue'),
    );
  }

  /** A queue with a name, declared on first use. */
  queue(name: string): ModelQueue {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = this.makeQueue();
      this.queues.set(name, queue);
    }
    return queue;
  }

  /** Returns whether somebody gets it, or would, were they there. */
  publish(message: Message, publisher: object | null): boolean {
    this.count('messages published');
    if (message.isQueue) {
      this.queue(message.topic).push(message, AS_PUBLISHED);
      return true;
    }
    const topic = message.topic.split('/');
    const reached = new Map<Receiver, Subscription[]>();
    for (const subscription of this.subscriptions) {
      if (!matches(subscription.pattern, topic)) continue;
      const list = reached.get(subscription.receiver);
      if (list === undefined) reached.set(subscription.receiver, [subscription]);
      else list.push(subscription);
    }
    let matched = false;
    for (const [receiver, list] of reached)
      matched = receiver.receive(message, list.sort(bySpecificity), publisher) || matched;
    if (message.retain) this.retain(message);
    return matched;
  }

  private retain(message: Message): void {
    const { topic } = message;
    if (message.payload.length > 0) {
      this.count('retained set');
      this.retained.set(topic, message);
      for (const prefix of prefixes(topic)) if (!this.births.has(prefix)) this.births.set(prefix, ++this.birth);
      return;
    }
    this.count('retained cleared');
    this.forgetRetained(topic);
  }

  private forgetRetained(topic: string): void {
    if (!this.retained.delete(topic)) return;
    const left = new Set([...this.retained.keys()].flatMap(prefixes));
    for (const prefix of this.births.keys()) if (!left.has(prefix)) this.births.delete(prefix);
  }

  /** Canonical order of retained messages: branch by branch, the one that came to be last before the others, a topic before those below it. */
  retainedFor(pattern: readonly string[]): Message[] {
    return [...this.retained.values()]
      .filter(
        ({ topic, expiresAtMs }) =>
          matches(pattern, topic.split('/')) && (expiresAtMs === 0 || expiresAtMs > this.nowMs),
      )
      .sort((a, b) => this.byBirth(prefixes(a.topic), prefixes(b.topic)));
  }

  private byBirth(a: readonly string[], b: readonly string[]): number {
    for (let i = 0; i < Math.max(a.length, b.length); i++) {
      if (a[i] === b[i]) continue;
      if (a[i] === undefined) return -1;
      if (b[i] === undefined) return 1;
      return this.births.get(b[i]!)! - this.births.get(a[i]!)!;
    }
    return 0;
  }

  /** Time has moved on. */
  tick(nowMs: number): void {
    this.nowMs = nowMs;
    for (const queue of this.queues.values()) queue.expire();
    for (const { topic, expiresAtMs } of [...this.retained.values()]) {
      if (expiresAtMs !== 0 && expiresAtMs <= nowMs) this.forgetRetained(topic);
    }
  }

  /** The turn ends, and those after it, until nothing is left to do. */
  settle(): void {
    while (this.endings.length + this.later.length > 0) {
      const tasks = this.later.splice(0);
      while (this.endings.length > 0) for (const task of this.endings.splice(0)) task();
      for (const task of tasks) task();
    }
  }
}

export const AS_PUBLISHED: Options = { qos: 2, retainAsPublished: false, identifiers: null };

/** a, a/b, a/b/c */
function prefixes(topic: string): string[] {
  const levels = topic.split('/');
  return levels.map((_, i) => levels.slice(0, i + 1).join('/'));
}

/** Canonical order of Subscription Identifiers: the pattern that says more comes first; one without wildcards before all others. */
function bySpecificity(a: Subscription, b: Subscription): number {
  const exact = Number(isExact(b)) - Number(isExact(a));
  if (exact !== 0) return exact;
  for (let i = 0; i < Math.max(a.pattern.length, b.pattern.length); i++) {
    const difference = rank(a.pattern[i]) - rank(b.pattern[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function isExact({ pattern }: Subscription): boolean {
  return !pattern.includes('+') && !pattern.includes('#');
}

function rank(level: string | undefined): number {
  if (level === '#') return 3;
  if (level === '+') return 1;
  return level === undefined ? 2 : 0;
}

/** Overlapping subscriptions give one copy: at the highest QoS, with every identifier. */
export function merged(subscriptions: readonly Subscription[]): Options {
  const identifiers = subscriptions.map(({ identifier }) => identifier).filter((identifier) => identifier !== 0);
  identifiers.sort((a, b) => a - b);
  return {
    qos: Math.max(...subscriptions.map(({ qos }) => qos)),
    retainAsPublished: subscriptions.some(({ retainAsPublished }) => retainAsPublished),
    identifiers: identifiers.length === 0 ? null : identifiers,
  };
}
