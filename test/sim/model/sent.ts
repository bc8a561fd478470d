// What was sent, by whom, and what is known of its fate at the publisher's end.
import { HEADER_BYTES, makePayload, readPayload } from '../payload.ts';

/** What travels with a message beside its payload, where both ends can say it. */
export interface SentProperties {
  readonly contentType: string | null;
  readonly userProperties: readonly string[] | null;
}

/** Publishers of wills are told apart from the clients they belong to. */
export const WILL_PUBLISHERS_FROM = 1000;

export class Sent {
  /** Unique in the run; who may send a number again (a session's own resends) does so with the same object. */
  readonly publisher: number;
  readonly number: number;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly payload: Buffer;
  readonly properties: SentProperties | null;
  /** It may vanish so long after the broker took it; 0: never. */
  readonly expiryMs: number;
  /** Its place among everything the broker was given, by the first time. */
  order = -1;
  /** How often the broker was given it. */
  feeds = 0;
  lastFedMs = 0;
  firstFedStep = -1;
  /** Somebody was to get it for certain who keeps it on the disk. */
  logged = false;
  acked = false;
  refused = false;
  /** Of the last feed: how many sessions and queues were to get it for certain, and at most. */
  certainTargets = 0;
  possibleTargets = 0;
  /** Of a retained one: the step at which a later one had certainly taken its place. */
  supersededStep = Number.POSITIVE_INFINITY;

  constructor(fields: {
    publisher: number;
    number: number;
    topic: string;
    qos: 0 | 1 | 2;
    retain: boolean;
    payload: Buffer;
    properties: SentProperties | null;
    expiryMs: number;
  }) {
    this.publisher = fields.publisher;
    this.number = fields.number;
    this.topic = fields.topic;
    this.qos = fields.qos;
    this.retain = fields.retain;
    this.payload = fields.payload;
    this.properties = fields.properties;
    this.expiryMs = fields.expiryMs;
  }

  /**
   * It has a place among the messages of its publisher. A will is sent when its connection ends, whenever that began; and of a message that expires the repetition may be the
   * first to be seen.
   */
  get ordered(): boolean {
    return this.publisher < WILL_PUBLISHERS_FROM && (this.expiryMs === 0 || this.feeds === 1);
  }

  /** Takes the retained message of its topic away. */
  get clears(): boolean {
    return this.retain && this.payload.length === 0;
  }

  toString(): string {
    return `message ${this.publisher}:${this.number} (${this.topic}, QoS ${this.qos}${this.retain ? ', retain' : ''}${this.clears ? ', clears' : ''})`;
  }
}

export interface NewMessage {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Bytes of the payload; 0 makes a message that clears. */
  readonly size: number;
  readonly properties: SentProperties | null;
  readonly expiryMs: number;
}

/** Everything that was sent in a run. */
export class Ledger {
  private readonly byPublisher: Sent[][] = [];
  count = 0;

  send(publisher: number, message: NewMessage): Sent {
    this.byPublisher[publisher] ??= [];
    const list = this.byPublisher[publisher];
    const number = list.length;
    const { size } = message;
    const payload = size === 0 ? Buffer.alloc(0) : makePayload(publisher, number, Math.max(size, HEADER_BYTES));
    const sent = new Sent({ ...message, publisher, number, payload });
    list.push(sent);
    this.count++;
    return sent;
  }

  /** The message with this payload; null when there is none, 'damaged' when the payload is not as anybody sent it. */
  find(payload: Buffer): Sent | null | 'damaged' {
    const read = readPayload(payload);
    if (read === null) return 'damaged';
    const sent = this.byPublisher[read.publisher]?.[read.number];
    if (sent === undefined) return null;
    return sent.payload.equals(payload) ? sent : 'damaged';
  }

  *all(): IterableIterator<Sent> {
    for (const list of this.byPublisher) if (list !== undefined) yield* list;
  }
}
