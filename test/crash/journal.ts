// What the campaign knows: every message sent, confirmed, delivered, and what may therefore never be missing, never come twice, never come out of order. Lives in the process that is never
// killed. Knows no protocol and no broker.
//
//   message       (publisher, number): sent ─▶ confirmed, or sent ─▶ unknown (its publisher has given it up)
//   destination   a durable session, a share group or a queue: how often each message arrived, and the last first arrival of each topic
//
// A message is outstanding at a destination while it is confirmed there and has not arrived; a drained broker leaves none.
import { readPayload } from '../sim/payload.ts';

export type Qos = 1 | 2;

/** What must not happen, by name. */
export type Kind =
  | 'lost'
  | 'duplicated'
  | 'reordered'
  | 'corrupted'
  | 'invented'
  | 'session lost'
  | 'subscription'
  | 'retained'
  | 'will'
  | 'transaction'
  | 'protocol'
  | 'liveness'
  | 'damage';

export interface Counts {
  sent: number;
  acknowledged: number;
  delivered: number;
  /** Acknowledged messages that never came. */
  lost: number;
  /** Second arrivals where at least once is promised: allowed. */
  repeated: number;
  /** Second arrivals where exactly once is promised. */
  duplicated: number;
  reordered: number;
  corrupted: number;
  invented: number;
  /** Sent, not acknowledged and given up by their publishers. */
  unknown: number;
  /** Of these, how many arrived. */
  unknownDelivered: number;
  /** Publishes the broker refused by the protocol's own means. */
  refused: number;
  /** Retained topics, subscriptions and wills looked at after a restart. */
  stateChecks: number;
  violations: number;
}

export const noCounts = (): Counts => ({
  sent: 0,
  acknowledged: 0,
  delivered: 0,
  lost: 0,
  repeated: 0,
  duplicated: 0,
  reordered: 0,
  corrupted: 0,
  invented: 0,
  unknown: 0,
  unknownDelivered: 0,
  refused: 0,
  stateChecks: 0,
  violations: 0,
});

const Mark = { Sent: 1, Acknowledged: 2, Unknown: 4, Refused: 8 } as const;

/** Numbers of growing length: bytes or words by message number. */
class Column {
  private bytes = new Uint8Array(1024);

  get(index: number): number {
    return index < this.bytes.length ? this.bytes[index]! : 0;
  }

  set(index: number, value: number): void {
    if (index >= this.bytes.length) {
      const grown = new Uint8Array(Math.max(index + 1, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes[index] = value;
  }
}

/** One source of numbered messages. */
export type Excuse = (source: Source, number: number) => boolean;

export class Source {
  readonly id: number;
  readonly qos: Qos;
  readonly topics: readonly string[];
  /** Number of the last message sent; the first is 1. */
  last = 0;
  readonly marks = new Column();
  readonly topicOf = new Column();

  constructor(id: number, qos: Qos, topics: readonly string[]) {
    this.id = id;
    this.qos = qos;
    this.topics = topics;
  }
}

/** What one destination has seen of one source. */
class Seen {
  readonly times = new Column();
  readonly lastOfTopic: number[];
  /** 1: its acknowledgement has been confirmed. */
  readonly consumed = new Column();
  /** Messages before this number were sent when the subscription was not there for certain. */
  from = Number.POSITIVE_INFINITY;

  constructor(topics: number) {
    this.lastOfTopic = new Array<number>(topics).fill(0);
  }
}

export interface DestinationRule {
  /** The QoS at which it gets messages on this topic; 0 when it does not get them. */
  readonly qosOf: (topic: string) => 0 | Qos;
  /** First arrivals are in the order of sending. Not where several consumers compete. */
  readonly ordered: boolean;
  /** QoS 2 messages arrive exactly once. Not where a message may go to another consumer. */
  readonly exactlyOnce: boolean;
}

export class Destination {
  readonly name: string;
  readonly rule: DestinationRule;
  /** Confirmed and not arrived. */
  outstanding = 0;
  readonly seen = new Map<number, Seen>();
  private readonly journal: Journal;

  constructor(journal: Journal, name: string, rule: DestinationRule) {
    this.journal = journal;
    this.name = name;
    this.rule = rule;
  }

  /** Its subscriptions are there for certain: from now on it gets everything. */
  subscribed(): void {
    for (const source of this.journal.sources.values()) {
      const seen = this.seenOf(source);
      if (seen.from === Number.POSITIVE_INFINITY) seen.from = source.last + 1;
    }
  }

  expects(source: Source, number: number): boolean {
    return number >= this.seenOf(source).from && this.qosFor(source, number) > 0;
  }

  qosFor(source: Source, number: number): number {
    return this.rule.qosOf(source.topics[source.topicOf.get(number)]!);
  }

  seenOf(source: Source): Seen {
    let seen = this.seen.get(source.id);
    if (seen === undefined) {
      seen = new Seen(source.topics.length);
      this.seen.set(source.id, seen);
    }
    return seen;
  }

  timesOf(source: Source, number: number): number {
    return this.seenOf(source).times.get(number);
  }
}

/** Messages of which a destination gets all or none. */
interface Group {
  readonly source: Source;
  readonly numbers: readonly number[];
  /** Those that had got none of it when a broker was started anew; null before that. */
  strangers: Destination[] | null;
}

/** Enough to see a pattern. */
const DETAILS_MAX = 40;

export class Journal {
  readonly counts: Counts = noCounts();
  readonly sources = new Map<number, Source>();
  readonly destinations: Destination[] = [];
  readonly details: string[] = [];
  /** Whatever arrived last, by performance.now(): tells a broker at rest from one that still drains. */
  lastEventAt = 0;
  private groups: Group[] = [];
  /** Where in the campaign it happened. */
  where = '';
  private readonly onDetail: (line: string) => void;

  constructor(onDetail: (line: string) => void = () => undefined) {
    this.onDetail = onDetail;
  }

  source(id: number, qos: Qos, topics: readonly string[]): Source {
    const source = new Source(id, qos, topics);
    this.sources.set(id, source);
    return source;
  }

  destination(name: string, rule: DestinationRule): Destination {
    const destination = new Destination(this, name, rule);
    this.destinations.push(destination);
    return destination;
  }

  get outstanding(): number {
    let sum = 0;
    for (const destination of this.destinations) sum += destination.outstanding;
    return sum;
  }

  violation(kind: Kind, text: string): void {
    this.counts.violations++;
    if (kind === 'lost' || kind === 'duplicated' || kind === 'reordered' || kind === 'corrupted' || kind === 'invented')
      this.counts[kind]++;
    if (this.details.length >= DETAILS_MAX) return;
    const line = `${this.where === '' ? '' : `${this.where}: `}${kind}: ${text}`;
    this.details.push(line);
    this.onDetail(line);
  }

  /** Returns the number of the new message. */
  sent(source: Source, topic: number): number {
    const number = ++source.last;
    source.topicOf.set(number, topic);
    source.marks.set(number, Mark.Sent);
    this.counts.sent++;
    return number;
  }

  acknowledged(source: Source, number: number): void {
    this.lastEventAt = performance.now();
    const marks = source.marks.get(number);
    if ((marks & Mark.Acknowledged) !== 0) return;
    source.marks.set(number, marks | Mark.Acknowledged);
    this.counts.acknowledged++;
    for (const destination of this.destinations) {
      if (destination.expects(source, number) && destination.timesOf(source, number) === 0) destination.outstanding++;
    }
  }

  isAcknowledged(source: Source, number: number): boolean {
    return (source.marks.get(number) & Mark.Acknowledged) !== 0;
  }

  /** The publisher will not send it again. */
  givenUp(source: Source, number: number): void {
    const marks = source.marks.get(number);
    if ((marks & (Mark.Acknowledged | Mark.Unknown)) !== 0) return;
    source.marks.set(number, marks | Mark.Unknown);
    this.counts.unknown++;
    for (const destination of this.destinations)
      if (destination.timesOf(source, number) > 0) this.counts.unknownDelivered++;
  }

  /** The broker has said no. */
  refused(source: Source, number: number): void {
    this.counts.refused++;
    source.marks.set(number, source.marks.get(number) | Mark.Refused);
  }

  /** Which message this is; null for one that was never sent, which is counted. */
  identify(destination: string, topic: string, payload: Uint8Array): { source: Source; number: number } | null {
    this.lastEventAt = performance.now();
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const read = readPayload(bytes);
    if (read === null) {
      this.violation(
        'corrupted',
        `${destination} got ${bytes.length} bytes on ${topic} that nobody sent: ${bytes.toString('hex', 0, 32)}`,
      );
      return null;
    }
    const source = this.sources.get(read.publisher);
    if (source === undefined || read.number > source.last || read.number === 0) {
      this.violation('invented', `${destination} got message ${read.publisher}/${read.number} on ${topic}`);
      return null;
    }
    const sentOn = source.topics[source.topicOf.get(read.number)];
    if (sentOn !== topic) {
      this.violation(
        'corrupted',
        `${destination} got message ${read.publisher}/${read.number} on ${topic}, it was sent to ${sentOn}`,
      );
      return null;
    }
    return { source, number: read.number };
  }

  /** The broker has confirmed the consumer's acknowledgement. */
  consumed(destination: Destination, source: Source, number: number): void {
    destination.seenOf(source).consumed.set(number, 1);
  }

  /** Messages given up that belong together: each destination gets all of them or none. */
  allOrNone(source: Source, numbers: readonly number[]): void {
    if (numbers.length > 1) this.groups.push({ source, numbers, strangers: null });
  }

  /**
   * A broker is started. Whoever got something of a group from the one before, which may have died in the middle of delivering it, is not asked about it any more: at QoS 1 messages are
   * delivered before they are safe.
   */
  newLife(): void {
    for (const group of this.groups) {
      group.strangers ??= this.destinations.filter((destination) =>
        group.numbers.every((number) => destination.timesOf(group.source, number) === 0),
      );
    }
  }

  /** A message has been taken by a consumer of `destination`. */
  delivered(destination: Destination, source: Source, number: number): void {
    const seen = destination.seenOf(source);
    const times = seen.times.get(number);
    seen.times.set(number, Math.min(255, times + 1));
    this.counts.delivered++;
    const qos = destination.qosFor(source, number);
    if (qos === 0) {
      this.violation(
        'invented',
        `${destination.name} got ${this.name(source, number)}, which it has not subscribed to`,
      );
      return;
    }
    if (times > 0) {
      // Published exactly once, so there is no second copy that could be meant.
      if (source.qos === 2 && seen.consumed.get(number) === 1)
        this.violation(
          'duplicated',
          `${destination.name} got ${this.name(source, number)} after its acknowledgement was confirmed`,
        );
      else if (destination.rule.exactlyOnce && source.qos === 2 && qos === 2)
        this.violation('duplicated', `${destination.name} got ${this.name(source, number)} ${times + 1} times`);
      else this.counts.repeated++;
      return;
    }
    const marks = source.marks.get(number);
    if ((marks & Mark.Unknown) !== 0) this.counts.unknownDelivered++;
    if ((marks & Mark.Acknowledged) !== 0 && number >= seen.from) destination.outstanding--;
    // What was refused and offered again has lost its place.
    if ((marks & Mark.Refused) !== 0) return;
    const topic = source.topicOf.get(number);
    if (destination.rule.ordered && number < seen.lastOfTopic[topic]!) {
      this.violation(
        'reordered',
        `${destination.name} got ${this.name(source, number)} after ${seen.lastOfTopic[topic]!} of the same topic`,
      );
      return;
    }
    seen.lastOfTopic[topic] = number;
  }

  /** Everything that is confirmed and has not come, is lost, unless `excused`. Called when the broker has nothing left. */
  close(excused: Excuse = () => false): void {
    this.checkGroups();
    for (const destination of this.destinations) {
      if (destination.outstanding === 0) continue;
      for (const source of this.sources.values()) {
        const { from } = destination.seenOf(source);
        for (let number = Math.max(1, from); number <= source.last; number++) {
          if (!this.isAcknowledged(source, number) || !destination.expects(source, number)) continue;
          if (destination.timesOf(source, number) > 0) continue;
          if (!excused(source, number))
            this.violation('lost', `${destination.name} never got ${this.name(source, number)}`);
          // It is reported once.
          destination.seenOf(source).times.set(number, 1);
        }
      }
      destination.outstanding = 0;
    }
  }

  private checkGroups(): void {
    for (const { source, numbers, strangers } of this.groups) {
      for (const destination of strangers ?? this.destinations) {
        const expected = numbers.filter((number) => destination.expects(source, number));
        const arrived = expected.filter((number) => destination.timesOf(source, number) > 0);
        if (arrived.length === 0 || arrived.length === expected.length) continue;
        const names = expected.map((number) => this.name(source, number)).join(', ');
        this.violation('transaction', `${destination.name} got ${arrived.join(', ')} of a transaction of ${names}`);
      }
    }
    this.groups = [];
  }

  name(source: Source, number: number): string {
    return `${source.id}/${number} (QoS ${source.qos}, ${source.topics[source.topicOf.get(number)]})`;
  }
}

export function addCounts(into: Counts, more: Counts): void {
  for (const key of Object.keys(into) as (keyof Counts)[]) into[key] += more[key];
}
