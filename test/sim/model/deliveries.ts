// Deliveries: what the broker wrote to a client, and what came of it. Every message has to be somebody's, whole, wanted there, in its order, no more often than promised, and with
// an identifier that is free.
import type { Conn } from './conn.ts';
import type { Oracle } from './oracle.ts';
import type { Copies, QueueModel } from './queue-model.ts';
import type { Sent } from './sent.ts';
import type { Expectation, Outstanding, SessionModel } from './session-model.ts';
import { LATE_MS } from './tolerance.ts';
import { matches } from './topics.ts';

/** A message as the broker wrote it. */
export interface Delivery {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly id: number;
  readonly identifiers: readonly number[] | null;
  readonly frameBytes: number;
}

/** What a client says to a delivery. */
export type Outcome = 'accepted' | 'rejected' | 'requeued';

export class Deliveries {
  private readonly oracle: Oracle;
  /** What came for the first time after later ones, in this turn. */
  private overtaken: { readonly copies: Copies; readonly text: string }[] = [];
  private firsts: { readonly conn: Conn; readonly queue: QueueModel; readonly sent: Sent }[] = [];

  constructor(oracle: Oracle) {
    this.oracle = oracle;
  }

  /** The broker has died: nobody will say more about this turn. */
  forgetTurn(): void {
    this.firsts = [];
    this.overtaken = [];
  }

  /** A turn of the broker has ended. */
  turnEnded(): void {
    for (const { copies, text } of this.overtaken) {
      // Outputs are written one after the other: now it shows whether somebody else had it first, and gave it back within the turn.
      if (copies.emitted === 1 && !copies.disturbed) this.oracle.fail('order', text);
    }
    this.overtaken = [];
    if (this.firsts.length === 0) return;
    for (const { conn, queue, sent } of this.firsts) {
      const earlier = queue.passedOver(sent, this.oracle.turn);
      if (earlier !== null) {
        this.oracle.fail('order', `${conn.name}: ${sent} left ${queue.name} before ${earlier}, which had come back`);
      }
    }
    this.firsts = [];
  }

  /** The broker has written a PUBLISH. */
  emitted(conn: Conn, delivery: Delivery): void {
    const { session } = conn;
    const { topic, qos, id } = delivery;
    if (session === null) {
      this.oracle.fail('answer', `${conn.name}: PUBLISH before CONNACK`);
      return;
    }
    // What was lost before it was written comes for the first time, although the broker means to repeat it.
    const mayBeFirst = session.broken || this.oracle.crashes.enabled;
    const again = delivery.dup && (session.outstanding.has(id) || !mayBeFirst);
    const there = session.outstanding.get(id);
    const queue = again ? (there?.queue ?? null) : this.sourceOf(session, topic);
    const replay = queue === null && !session.keepsRetain && (again ? there?.retain === true : delivery.retain);
    if (qos > 0) this.trackIdentifier(conn, session, queue, this.find(delivery), delivery, again);
    this.emittedTo(conn, session, queue, delivery, replay, again);
  }

  private find({ payload }: Delivery): Sent | null {
    const found = payload.length === 0 ? null : this.oracle.ledger.find(payload);
    return found === 'damaged' ? null : found;
  }

  /**
   * The broker has written a message for this session, out of a queue that is not its own or (null) straight. replay: it is a retained one; again: it was written before. Returns the
   * message, null when it is not known which.
   */
  emittedTo(
    conn: Conn,
    session: SessionModel,
    queue: QueueModel | null,
    delivery: Delivery,
    replay: boolean,
    again: boolean,
  ): Sent | null {
    const { oracle } = this;
    oracle.step++;
    const found = this.identify(conn, delivery);
    if (found === null) return null;
    if (queue !== null) this.fromQueue(conn, session, queue, found, delivery, again);
    else if (replay) this.replayEmitted(conn, session, found, again);
    else this.fromOwn(conn, session, found, delivery, again);
    const lateMs = oracle.nowMs() - found.lastFedMs;
    if (found.expiryMs > 0 && !delivery.dup && !delivery.retain && lateMs > found.expiryMs + LATE_MS) {
      oracle.fail(
        'expired',
        `${conn.name}: ${found} came after ${Math.round(lateMs)} ms, with an expiry of ${found.expiryMs} ms`,
      );
    }
    return found;
  }

  /** The same for a subscription that has ended meanwhile. */
  emittedLate(conn: Conn, queue: QueueModel, delivery: Delivery): void {
    this.oracle.step++;
    const found = this.identify(conn, delivery);
    if (found === null) return;
    const copies = queue.copies.get(found);
    if (copies === undefined)
      this.oracle.fail('invented', `${conn.name}: ${found} came from ${queue.name}, where it never was`);
    else if (delivery.qos === 0) copies.settle(this.oracle.step);
    else copies.broughtBack(this.oracle.turn);
  }

  /** Which message it is. Null for one that clears, which looks like any other of its kind, and for what nobody sent. */
  private identify(conn: Conn, { topic, payload, frameBytes }: Delivery): Sent | null {
    const { oracle } = this;
    if (frameBytes > conn.packetBytesMax) {
      oracle.fail(
        'too-large',
        `${conn.name}: a PUBLISH of ${frameBytes} bytes; the client takes ${conn.packetBytesMax}`,
      );
    }
    if (payload.length === 0) return null;
    const found = oracle.ledger.find(payload);
    if (found === 'damaged') {
      oracle.fail('corrupt', `${conn.name}: a message on ${topic} of ${payload.length} bytes is not what anybody sent`);
      return null;
    }
    if (found === null) {
      oracle.fail('invented', `${conn.name}: nobody sent the message on ${topic}`);
      return null;
    }
    if (found.topic !== topic) oracle.fail('topic-changed', `${conn.name}: ${found} came as ${topic}`);
    if (found.feeds > 0) return found;
    oracle.fail(
      'invented',
      `${conn.name}: ${found} came before the broker was given it, or although it must not come at all`,
    );
    return null;
  }

  private sourceOf(session: SessionModel, topic: string): QueueModel | null {
    for (const { fields } of session.subs.values()) {
      const { queue } = fields;
      if (queue === null) continue;
      if (queue.topicFilter === null ? queue.name === topic : matches(queue.topicFilter, topic)) return queue;
    }
    return null;
  }

  private trackIdentifier(
    conn: Conn,
    session: SessionModel,
    queue: QueueModel | null,
    sent: Sent | null,
    delivery: Delivery,
    again: boolean,
  ): void {
    const { id, qos, topic, retain } = delivery;
    conn.unacknowledged.add(id);
    if (conn.unacknowledged.size > conn.receiveMaximum) {
      this.oracle.fail(
        'receive-maximum',
        `${conn.name}: ${conn.unacknowledged.size} unacknowledged messages; its receive maximum is ${conn.receiveMaximum}`,
      );
    }
    const there = session.outstanding.get(id);
    if (again && there?.unsure === true) {
      // The crash has made it forget that the message was taken.
      if (there.released && there.queue !== null && there.sent !== null) there.queue.unsettled(there.sent);
      there.released = false;
    }
    if (!again) {
      if (there !== undefined)
        this.oracle.fail(
          'packet-id-in-use',
          `${conn.name}: identifier ${id} of ${sent ?? topic} is in use for ${there.sent ?? there.topic}`,
        );
      session.outstanding.set(id, {
        sent,
        qos,
        topic,
        retain,
        queue,
        conn,
        released: false,
        releasedStep: -1,
        step: this.oracle.step,
      });
      return;
    }
    this.oracle.counts.resent++;
    if (there === undefined || there.released || there.sent !== sent || there.qos !== qos || there.conn === conn) {
      this.oracle.fail(
        'resend',
        `${conn.name}: DUP is set on ${sent ?? topic} with identifier ${id}, which was not sent like this before`,
      );
      session.outstanding.set(id, {
        sent,
        qos,
        topic,
        retain,
        queue,
        conn,
        released: false,
        releasedStep: -1,
        step: this.oracle.step,
      });
      return;
    }
    if (there.retain !== retain)
      this.oracle.fail(
        'resend-retain',
        `${conn.name}: ${sent ?? topic} was sent with RETAIN ${there.retain} and again with ${retain}`,
      );
    there.conn = conn;
    // [MQTT-4.6.0-1]
    if (!this.oracle.crashes.enabled && there.step < conn.resentSteps[qos]!)
      this.oracle.fail('order', `${conn.name}: ${sent ?? topic} was sent again after one that it came before`);
    conn.resentSteps[qos] = there.step;
  }

  private fromOwn(conn: Conn, session: SessionModel, sent: Sent, delivery: Delivery, again: boolean): void {
    const { qos } = delivery;
    const expectation = session.expectations.get(sent);
    if (expectation === undefined) {
      this.oracle.fail('invented', `${conn.name}: ${sent} came without a subscription`);
      return;
    }
    if (qos < expectation.qosLow || qos > expectation.qosHigh) {
      this.oracle.fail(
        'qos',
        `${conn.name}: ${sent} came with QoS ${qos}; it should be ${expectation.qosLow} to ${expectation.qosHigh}`,
      );
    }
    this.checkIdentifiers(conn, sent, expectation, delivery);
    if (session.keepsRetain && delivery.retain !== sent.retain) {
      this.oracle.fail('retain-flag', `${conn.name}: ${sent} came with RETAIN ${delivery.retain}`);
    }
    if (again) return;
    expectation.emitted++;
    const allowed = (sent.qos === 2 ? 1 : expectation.possible) + expectation.extra;
    if (expectation.emitted > allowed) this.oracle.fail(`duplicated-qos${qos}`, `${conn.name}: ${sent} came once more`);
    // A session that was not there the first time gets repetitions of the publisher's among later messages.
    const comparable = qos === 0 ? sent.feeds === 1 : expectation.certain === sent.feeds && expectation.qosLow > 0;
    if (!sent.ordered || expectation.emitted > 1 || !comparable) return;
    // A message at QoS 2 waits for the disk before it is written, and is overtaken by others meanwhile.
    const last = session.last[qos > 0 && !this.oracle.crashes.enabled ? 1 : qos]!;
    const before = last.get(sent.publisher);
    if (before !== undefined && before.order > sent.order)
      this.oracle.fail('order', `${conn.name}: ${sent} came after ${before}`);
    else last.set(sent.publisher, sent);
  }

  private checkIdentifiers(conn: Conn, sent: Sent, expectation: Expectation, { identifiers }: Delivery): void {
    const came = identifiers ?? [];
    for (const identifier of came) {
      if (!expectation.identifiersPossible.includes(identifier))
        this.oracle.fail('identifiers', `${conn.name}: ${sent} came with subscription identifier ${identifier}`);
    }
    if (!conn.takesIdentifiers) return;
    for (const identifier of expectation.identifiersCertain) {
      if (!came.includes(identifier))
        this.oracle.fail('identifiers', `${conn.name}: ${sent} came without subscription identifier ${identifier}`);
    }
  }

  private replayEmitted(conn: Conn, session: SessionModel, sent: Sent, again: boolean): void {
    if (again) return;
    this.oracle.counts.replayed++;
    if (!sent.retain) {
      this.oracle.fail('retain-flag', `${conn.name}: ${sent} came with RETAIN, but was not sent with it`);
      return;
    }
    const asked = session.replays.filter(
      ({ topicFilter, step }) => matches(topicFilter, sent.topic) && step <= sent.supersededStep,
    );
    const came = (session.replayed.get(sent) ?? 0) + 1;
    session.replayed.set(sent, came);
    if (came > asked.length) {
      this.oracle.fail(
        'retained-wrong',
        `${conn.name}: ${sent} came as a retained message ${came} times for ${asked.length} subscriptions`,
      );
    }
  }

  private fromQueue(
    conn: Conn,
    session: SessionModel,
    queue: QueueModel,
    sent: Sent,
    { qos, retain }: Delivery,
    again: boolean,
  ): void {
    if (again) return;
    const copies = queue.copies.get(sent);
    if (copies === undefined) {
      this.oracle.fail('invented', `${conn.name}: ${sent} came from ${queue.name}, where it never was`);
      return;
    }
    const sub = session.subs.get(queue.name)!;
    const low = queue.topicFilter === null ? sub.qosLow : Math.min(sub.qosLow, sent.qos);
    const high = queue.topicFilter === null ? sub.qosHigh : Math.min(sub.qosHigh, sent.qos);
    if (!sub.settlesAnything && (qos < low || qos > high))
      this.oracle.fail(
        'qos',
        `${conn.name}: ${sent} came with QoS ${qos} from ${queue.name}; it should be ${low} to ${high}`,
      );
    if (retain) this.oracle.fail('retain-flag', `${conn.name}: ${sent} came with RETAIN from ${queue.name}`);
    const allowed = (sent.qos === 2 ? 1 : copies.possible) + copies.extra;
    if (copies.out + copies.settled >= allowed) this.endDoubtfulHolders(queue, sent);
    if (copies.out + copies.settled >= allowed) {
      this.oracle.fail(
        'delivered-twice',
        `${conn.name}: ${sent} came from ${queue.name}, with ${copies.out} unanswered and ${copies.settled} settled of ${allowed}`,
      );
    }
    copies.emitted++;
    if (copies.emitted > 1) this.oracle.counts.requeued++;
    // What waits for the disk before it is written is overtaken by what does not.
    const lane = this.oracle.crashes.enabled ? sent.qos * 3 + qos : 0;
    const problem = queue.orderProblem(sent, copies, session, lane);
    if (copies.emitted === 1 && !this.oracle.crashes.enabled) this.firsts.push({ conn, queue, sent });
    if (problem !== null) {
      const text = `${conn.name}: ${sent} came from ${queue.name} after ${problem}`;
      if (copies.emitted === 1) this.overtaken.push({ copies, text });
      else this.oracle.fail('requeue-order', text);
    }
    if (queue.topicFilter !== null && qos === 2) {
      const { holder } = copies;
      if (holder !== null && holder !== session && sent.qos === 2) {
        this.oracle.fail(
          'share-qos2-moved',
          `${conn.name}: ${sent} is in flight to ${holder.name} at QoS 2 and went to another member`,
        );
      }
      copies.holder = session;
    }
    if (qos === 0) copies.settle(this.oracle.step);
    else copies.out++;
  }

  /** Sessions whose time may be up, and that had this message: since it came back, they have ended. */
  private endDoubtfulHolders(queue: QueueModel, sent: Sent): void {
    for (const { session } of this.oracle.identities) {
      if (session === null || !session.doubtful || session.conn !== null) continue;
      for (const outstanding of session.outstanding.values()) {
        if (outstanding.queue !== queue || outstanding.sent !== sent) continue;
        this.oracle.endSession(session);
        break;
      }
    }
  }

  /** The client has given it to the application. */
  received(conn: Conn, sent: Sent, delivery: Delivery): void {
    this.oracle.step++;
    const { session } = conn;
    if (session === null) return;
    this.oracle.counts.delivered++;
    if (delivery.qos === 0) this.oracle.counts.deliveredQos0++;
    const queue = this.sourceOf(session, sent.topic);
    if (queue !== null) {
      const copies = queue.copies.get(sent);
      if (copies !== undefined) copies.received++;
      return;
    }
    if (delivery.retain && !session.keepsRetain) return;
    const expectation = session.expectations.get(sent);
    if (expectation === undefined) return;
    expectation.received++;
    if (delivery.qos === 2 && sent.qos === 2 && expectation.received > 1)
      this.oracle.fail('duplicated-qos2', `${conn.name}: the application got ${sent} ${expectation.received} times`);
  }

  /** The client's acknowledgement has reached the broker. */
  settled(outstanding: Outstanding, outcome: Outcome): void {
    this.oracle.step++;
    this.oracle.counts.settled++;
    const { queue, sent, qos, conn } = outstanding;
    if (sent === null) return;
    if (queue === null) {
      const expectation = conn.session?.expectations.get(sent);
      if (expectation !== undefined && qos === 1) expectation.settledStep = this.oracle.step;
      return;
    }
    if (outcome === 'requeued') queue.returned(sent, ++this.oracle.step, -1);
    else queue.settled(sent, outcome === 'rejected', this.oracle.step);
  }
}
