// What must be true of one session, as its client and the network see it: which messages it has to get, may get and got, which packet identifiers are out, and in which order things came.
import type { Conn } from './conn.ts';
import type { QueueModel } from './queue-model.ts';
import type { Sent } from './sent.ts';
import { matches } from './topics.ts';

export const SubState = { Asked: 0, Active: 1, Leaving: 2 } as const;
export type SubState = (typeof SubState)[keyof typeof SubState];

export interface SubscriptionFields {
  readonly filter: string;
  /** The filter without `$share/<group>/`. */
  readonly topicFilter: string;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly identifier: number;
  /** The queue it reads; null when it is the session's own. */
  readonly queue: QueueModel | null;
}

export class SubModel {
  readonly fields: SubscriptionFields;
  readonly session: SessionModel;
  state: SubState = SubState.Asked;
  /** The granted QoS; two values while a change is under way. */
  qosLow: number;
  qosHigh: number;
  asked: number;
  askedStep = 0;
  /** Whether a delivery is to be settled is a matter of the subscription alone, whatever the message was sent with. */
  settlesAnything = false;

  constructor(session: SessionModel, fields: SubscriptionFields, qos: number) {
    this.session = session;
    this.fields = fields;
    this.qosLow = this.qosHigh = this.asked = qos;
  }

  get certain(): boolean {
    return this.state === SubState.Active && !this.session.doubtful;
  }
}

/** What one session is to get of one message. */
export class Expectation {
  /** Feeds by which it may have been routed here, and by which it must have been. */
  possible = 0;
  certain = 0;
  qosLow = 2;
  qosHigh = 0;
  /** Written to the client for the first time (DUP clear); twice only where the publisher sent twice. */
  emitted = 0;
  /** Given to the application. */
  received = 0;
  /** Deliveries more than that which a crash allows. */
  extra = 0;
  /** When its acknowledgement at QoS 1 reached the broker. */
  settledStep = -1;
  /** Subscription identifiers that must, and may, come with it. */
  identifiersCertain: readonly number[] = [];
  identifiersPossible: readonly number[] = [];
}

/** A PUBLISH that is not acknowledged. */
export interface Outstanding {
  readonly sent: Sent | null;
  readonly qos: number;
  readonly topic: string;
  readonly retain: boolean;
  /** Where it came from; null: the session's own queue. */
  readonly queue: QueueModel | null;
  conn: Conn;
  /** When it was written first. */
  readonly step: number;
  /** PUBREC has reached the broker, and when. */
  released: boolean;
  releasedStep: number;
  /** That may have been forgotten in a crash. */
  unsure?: boolean;
  /** Its message was in no log, and has ended with the process. */
  endedWithProcess?: boolean;
}

/** A SUBSCRIBE that asked for retained messages. */
export interface ReplayRequest {
  readonly topicFilter: string;
  readonly step: number;
}

export class SessionModel {
  readonly name: string;
  readonly identity: number;
  readonly subs = new Map<string, SubModel>();
  readonly expectations = new Map<Sent, Expectation>();
  readonly outstanding = new Map<number, Outstanding>();
  readonly replays: ReplayRequest[] = [];
  readonly replayed = new Map<Sent, number>();
  /** By QoS and publisher: what was written last for the first time. MQTT orders messages of one QoS (section 4.6). */
  readonly last: readonly Map<number, Sent>[] = [new Map(), new Map(), new Map()];
  /** Its subscriptions ask for RETAIN as it was published, and for no retained messages. */
  keepsRetain = false;
  conn: Conn | null = null;
  createdStep = 0;
  expiryMs = 0;
  /** When it ends, while nobody is connected. */
  endsAtMs = Number.POSITIVE_INFINITY;
  ended = false;
  /** It may have ended: its time is up, or a crash may have taken it. */
  doubtful = false;
  /** A connection broke before everything the broker had for it was written. */
  broken = false;

  constructor(name: string, identity: number) {
    this.name = name;
    this.identity = identity;
  }

  /** Adds what a feed of this message means for this session. Returns whether somebody may be, and is, to get it. */
  route(sent: Sent, publisherIdentity: number): Expectation | null {
    let low = -1;
    let high = -1;
    const own = publisherIdentity === this.identity;
    let identifiersCertain: number[] | null = null;
    let identifiersPossible: number[] | null = null;
    for (const sub of this.subs.values()) {
      const { fields } = sub;
      if (fields.queue !== null || !matches(fields.topicFilter, sent.topic)) continue;
      // Of overlapping subscriptions only those match that do not say "no local".
      if (own && fields.noLocal) continue;
      if (sub.qosHigh > high) high = sub.qosHigh;
      if (sub.certain && sub.qosLow > low) low = sub.qosLow;
      if (fields.identifier !== 0) {
        identifiersPossible ??= [];
        identifiersPossible.push(fields.identifier);
        if (sub.certain) {
          identifiersCertain ??= [];
          identifiersCertain.push(fields.identifier);
        }
      }
    }
    if (high < 0) return null;
    let expectation = this.expectations.get(sent);
    if (expectation === undefined) {
      expectation = new Expectation();
      this.expectations.set(sent, expectation);
    }
    expectation.possible++;
    const effectiveLow = low < 0 ? 0 : Math.min(low, sent.qos);
    const effectiveHigh = Math.min(high, sent.qos);
    if (low >= 0) expectation.certain++;
    if (effectiveLow < expectation.qosLow) expectation.qosLow = effectiveLow;
    if (effectiveHigh > expectation.qosHigh) expectation.qosHigh = effectiveHigh;
    expectation.identifiersCertain = expectation.possible === 1 ? (identifiersCertain ?? []) : [];
    expectation.identifiersPossible = [...expectation.identifiersPossible, ...(identifiersPossible ?? [])];
    return expectation;
  }

  /**
   * Its client is gone: others get what it had of queues that are not its own. Only QoS 2 stays while the session lives [MQTT-4.8.2-4], since the client knows the identifier.
   */
  leaveQueues(step: number, turn: number): void {
    for (const [id, { queue, qos, released, sent }] of this.outstanding) {
      if (queue === null || released) continue;
      if (qos === 2 && (queue.topicFilter !== null || this.expiryMs > 0)) continue;
      this.outstanding.delete(id);
      if (sent !== null) queue.returned(sent, step, turn);
    }
  }

  /** It is gone with its process, and nobody knows what it had. */
  loseOutstanding(step: number): void {
    for (const { queue, released, sent } of this.outstanding.values()) {
      if (queue === null || released || sent === null) continue;
      queue.returned(sent, step, -1);
      // Nothing on the disk says that it had it.
      const copies = queue.copies.get(sent);
      if (copies !== undefined) copies.holder = null;
    }
    this.outstanding.clear();
  }

  /** It ends: what it had at QoS 2 of a share group is for nobody else [MQTT-4.8.2-5], that of a named queue is. */
  endDeliveries(step: number, turn: number): void {
    for (const { queue, released, sent } of this.outstanding.values()) {
      if (queue === null || released || sent === null) continue;
      if (queue.topicFilter !== null) queue.settled(sent, true, step);
      else queue.returned(sent, step, turn);
    }
    this.outstanding.clear();
  }
}
