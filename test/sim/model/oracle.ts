// The judge of a run. It sees what the network sees, frames as the broker is given and writes them, and what clients give to their applications; of the broker it knows what
// its answers promise, nothing of how it keeps that. Every breach of a promise is a violation with the name of its rule.
//
// Certain and possible: a subscription is certain between its SUBACK and its UNSUBSCRIBE, possible around that; a message that was acknowledged must reach whoever was certain
// at every moment at which the broker was given it, and may reach whoever was possible at one of them.
import type { Conn } from './conn.ts';
import { type Copies, QueueModel } from './queue-model.ts';
import { RetainedModel } from './retained-model.ts';
import { Ledger, type Sent } from './sent.ts';
import {
  type Expectation,
  type Outstanding,
  SessionModel,
  SubModel,
  SubState,
  type SubscriptionFields,
} from './session-model.ts';
import { matches } from './topics.ts';

export interface Violation {
  readonly rule: string;
  readonly text: string;
  readonly step: number;
  readonly atMs: number;
}

/** The broker's clock of a turn is coarse: what depends on it may come so much early, and so much late. */
export const EARLY_MS = 110;
export const LATE_MS = 220;

/** More violations than this add nothing. */
const VIOLATIONS_MAX = 20;

export interface WillModel {
  readonly sent: Sent;
  readonly delayMs: number;
  /** CONNACK was written. */
  armed: boolean;
}

interface DelayedWill {
  readonly will: WillModel;
  readonly session: SessionModel;
  state: 'waiting' | 'open' | 'done';
  certain: Set<SessionModel>;
}

/** A client as the broker knows it: by its client id. */
export interface Identity {
  readonly index: number;
  readonly clientId: string;
  session: SessionModel | null;
  /** Connections whose CONNECT the broker was given and not answered yet. */
  connecting: Conn | null;
  sessions: number;
}

export interface ConnectFields {
  readonly clean: boolean;
  readonly expiryMs: number;
  readonly receiveMaximum: number;
  readonly packetBytesMax: number;
  readonly will: WillModel | null;
}

/** A PUBLISH as the broker wrote it. */
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

export class OracleCounts {
  acked = 0;
  delivered = 0;
  deliveredQos0 = 0;
  resent = 0;
  replayed = 0;
  requeued = 0;
  settled = 0;
  takeovers = 0;
  wills = 0;
  willsDiscarded = 0;
  willsCancelled = 0;
  sessionsResumed = 0;
  sessionsExpired = 0;
  keepAliveTimeouts = 0;
  owedQos0 = 0;
  mustDeliver = 0;
  mustSettle = 0;
  retainedChecked = 0;
  unmatchedAnswers = 0;
  expired = 0;
}

export class Oracle {
  readonly ledger = new Ledger();
  readonly retained = new RetainedModel();
  readonly identities: Identity[] = [];
  readonly queues = new Map<string, QueueModel>();
  readonly violations: Violation[] = [];
  readonly counts = new OracleCounts();
  /** Rules whose breach is counted but is no violation. */
  readonly tolerated: ReadonlySet<string>;
  readonly toleratedCounts = new Map<string, number>();
  step = 0;
  turn = 0;
  nowMs: () => number = () => 0;
  after: (delayMs: number, task: () => void) => void = () => undefined;
  private readonly connWills = new Map<Conn, WillModel>();
  private readonly connects = new Map<Conn, ConnectFields>();
  private delayedWills: DelayedWill[] = [];
  private owed: {
    readonly conn: Conn;
    readonly by: Conn | null;
    readonly sent: Sent;
    readonly expectation: Expectation;
  }[] = [];
  private firsts: { readonly conn: Conn; readonly queue: QueueModel; readonly sent: Sent }[] = [];
  private untaken: { readonly by: Conn; readonly sent: Sent }[] = [];

  constructor(tolerated: ReadonlySet<string> = new Set()) {
    this.tolerated = tolerated;
  }

  /** Lines of what happened, when somebody wants to read them. */
  trace: string[] | null = null;

  note(text: string): void {
    this.trace?.push(`${this.nowMs().toFixed(0).padStart(7)} ${String(this.step).padStart(5)}  ${text}`);
  }

  fail(rule: string, text: string): void {
    this.note(`VIOLATION ${rule}: ${text}`);
    if (this.tolerated.has(rule)) {
      this.toleratedCounts.set(rule, (this.toleratedCounts.get(rule) ?? 0) + 1);
      return;
    }
    if (this.violations.length < VIOLATIONS_MAX)
      this.violations.push({ rule, text, step: this.step, atMs: this.nowMs() });
  }

  get failed(): boolean {
    return this.violations.length > 0;
  }

  addIdentity(clientId: string): Identity {
    const identity = { index: this.identities.length, clientId, session: null, connecting: null, sessions: 0 };
    this.identities.push(identity);
    return identity;
  }

  // ---- connections and sessions

  connectFed(conn: Conn, fields: ConnectFields): void {
    this.step++;
    const identity = this.identities[conn.identity]!;
    identity.connecting = conn;
    conn.receiveMaximum = fields.receiveMaximum;
    conn.packetBytesMax = fields.packetBytesMax;
    this.connects.set(conn, fields);
    if (fields.will !== null) this.connWills.set(conn, fields.will);
    // A will that waits is due now where the session ends, and is not sent where it goes on.
    const { session } = identity;
    if (session === null || session.conn !== null) return;
    if (fields.clean) this.endSession(session);
    else this.settleDelayedWills(session, false);
  }

  /** present is null where the version has no word for it. */
  connackEmitted(conn: Conn, said: boolean | null): void {
    this.step++;
    const identity = this.identities[conn.identity]!;
    const fields = this.connects.get(conn);
    if (fields === undefined || conn.session !== null) {
      this.fail('answer', `${conn.name}: a CONNACK that nobody asked for`);
      return;
    }
    identity.connecting = null;
    const prior = identity.session;
    const expected = !fields.clean && prior !== null;
    const present = said ?? expected;
    if (present && !expected) this.fail('session-present', `${conn.name}: session present, but there should be none`);
    if (!present && expected && !prior.doubtful)
      this.fail('session-present', `${conn.name}: the session ${prior.name} is not there any more`);
    let session: SessionModel;
    if (present && prior !== null) {
      session = prior;
      session.doubtful = false;
      this.counts.sessionsResumed++;
    } else {
      if (prior !== null) this.endSession(prior);
      session = new SessionModel(`${identity.clientId}#${++identity.sessions}`, identity.index);
    }
    identity.session = session;
    session.conn = conn;
    session.expiryMs = fields.expiryMs;
    session.endsAtMs = Number.POSITIVE_INFINITY;
    conn.session = session;
    if (conn.packetBytesMax !== Number.POSITIVE_INFINITY) {
      for (const { fields } of session.subs.values()) {
        if (fields.queue === null) continue;
        for (const [sent, copies] of fields.queue.copies) this.judgeSize(copies, conn, sent);
      }
    }
    const will = this.connWills.get(conn);
    if (will !== undefined) will.armed = true;
  }

  /** DISCONNECT has reached the broker. */
  disconnectFed(conn: Conn, keepsWill: boolean, expiryMs: number | null): void {
    this.step++;
    if (conn.session !== null && expiryMs !== null) conn.session.expiryMs = expiryMs;
    if (!keepsWill && this.connWills.delete(conn)) this.counts.willsDiscarded++;
  }

  /** flushed: everything the broker had for it was written before. Returns whether another connection of the same client was the reason. */
  brokerClosed(conn: Conn, flushed: boolean): boolean {
    this.step++;
    if (!conn.open) return false;
    this.note(`${conn.name} closed for the broker`);
    conn.open = false;
    const identity = this.identities[conn.identity]!;
    const successor = identity.connecting === conn ? null : identity.connecting;
    if (identity.connecting === conn) identity.connecting = null;
    const fields = this.connects.get(conn);
    if (fields === undefined) return false;
    let { session } = conn;
    if (session === null) {
      // CONNECT was read, but nobody saw the answer: whatever it did may have been done.
      if (fields.clean && identity.session !== null) this.endSession(identity.session);
      if (identity.session === null) {
        identity.session = new SessionModel(`${identity.clientId}#${++identity.sessions}`, identity.index);
        identity.session.expiryMs = fields.expiryMs;
      }
      session = identity.session;
      session.doubtful = true;
    } else if (session.conn !== conn) return successor !== null;
    session.conn = null;
    if (!flushed) this.outputLost(session);
    session.leaveQueues(this.step, this.turn);
    const will = this.connWills.get(conn);
    this.connWills.delete(conn);
    if (successor !== null) this.counts.takeovers++;
    if (will !== undefined) this.willDue(session, will, successor);
    if (session.expiryMs <= 0 || (successor !== null && this.connects.get(successor)?.clean === true))
      this.endSession(session);
    else this.startExpiry(session);
    return successor !== null;
  }

  /** What was handed to it at most once, and not written yet, is gone. */
  private outputLost(session: SessionModel): void {
    session.broken = true;
    for (const { fields, qosLow } of session.subs.values()) {
      fields.queue?.outputLost(qosLow === 0);
    }
  }

  private startExpiry(session: SessionModel): void {
    if (session.expiryMs === Number.POSITIVE_INFINITY) return;
    const endsAtMs = this.nowMs() + session.expiryMs;
    session.endsAtMs = endsAtMs;
    const waits = (): boolean => session.endsAtMs === endsAtMs && session.conn === null && !session.ended;
    this.after(Math.max(0, session.expiryMs - EARLY_MS), () => {
      if (waits()) session.doubtful = true;
    });
    this.after(session.expiryMs + LATE_MS, () => {
      if (!waits()) return;
      this.counts.sessionsExpired++;
      this.endSession(session);
    });
  }

  endSession(session: SessionModel): void {
    if (session.ended) return;
    session.ended = true;
    session.leaveQueues(this.step, this.turn);
    session.endDeliveries(this.step, this.turn);
    for (const sub of session.subs.values()) this.leaveQueue(sub);
    const identity = this.identities[session.identity]!;
    if (identity.session === session) identity.session = null;
    this.settleDelayedWills(session, true);
  }

  private leaveQueue(sub: SubModel): void {
    const { queue } = sub.fields;
    if (queue === null) return;
    queue.members.delete(sub);
    queue.memberLeft();
    if (queue.abandoned) this.queues.delete(queue.name);
  }

  // ---- wills

  private willDue(session: SessionModel, will: WillModel, successor: Conn | null): void {
    const delayMs = Math.min(will.delayMs, session.expiryMs);
    const goesOn = successor !== null && this.connects.get(successor)?.clean === false;
    if (delayMs === 0 || (successor !== null && !goesOn)) {
      this.fireWill(will);
      return;
    }
    if (goesOn) {
      this.counts.willsCancelled++;
      return;
    }
    const delayed: DelayedWill = { will, session, state: 'waiting', certain: new Set() };
    this.delayedWills.push(delayed);
    this.after(Math.max(0, delayMs - EARLY_MS), () => this.openWill(delayed));
    this.after(delayMs + LATE_MS, () => this.closeWill(delayed));
  }

  /** The session goes on or ends before the delay is over. */
  private settleDelayedWills(session: SessionModel, ends: boolean): void {
    for (const delayed of this.delayedWills) {
      if (delayed.session !== session || delayed.state === 'done') continue;
      if (delayed.state === 'waiting') {
        delayed.state = 'done';
        if (ends) this.fireWill(delayed.will);
        else this.counts.willsCancelled++;
      } else if (!ends) {
        // It may have been sent already, or not.
        delayed.state = 'done';
      }
    }
    this.delayedWills = this.delayedWills.filter(({ state }) => state !== 'done');
  }

  private fireWill(will: WillModel): void {
    this.note(`will ${will.sent}`);
    this.counts.wills++;
    will.sent.acked = will.armed;
    this.route(will.sent, -1, null, true);
    if (will.sent.retain) {
      this.retained.fed(will.sent);
      if (will.armed) this.retained.taken(will.sent, this.step);
    }
  }

  /** From here on it may come. */
  private openWill(delayed: DelayedWill): void {
    if (delayed.state !== 'waiting') return;
    this.step++;
    delayed.state = 'open';
    const { sent } = delayed.will;
    this.route(sent, -1, null, false);
    if (sent.retain) this.retained.fed(sent);
    delayed.certain = this.certainOf(sent);
  }

  /** By now it has come, unless its session was resumed. */
  private closeWill(delayed: DelayedWill): void {
    if (delayed.state !== 'open') return;
    delayed.state = 'done';
    this.delayedWills = this.delayedWills.filter((other) => other !== delayed);
    this.step++;
    const { sent, armed } = delayed.will;
    if (!armed) return;
    this.counts.wills++;
    sent.acked = true;
    if (sent.retain) this.retained.taken(sent, this.step);
    const still = this.certainOf(sent);
    for (const session of delayed.certain) {
      const expectation = session.expectations.get(sent);
      if (still.has(session) && expectation !== undefined) expectation.certain = expectation.possible;
    }
  }

  private certainOf(sent: Sent): Set<SessionModel> {
    const sessions = new Set<SessionModel>();
    for (const { session } of this.identities) {
      if (session === null) continue;
      for (const sub of session.subs.values()) {
        if (sub.certain && sub.fields.queue === null && matches(sub.fields.topicFilter, sent.topic))
          sessions.add(session);
      }
    }
    return sessions;
  }

  // ---- subscriptions

  /** The queue that a filter reads, null for the session's own. */
  queueOf(filter: string): QueueModel | null {
    const share = /^\$share\/[^/]+\/(.*)$/.exec(filter);
    if (share === null && !filter.startsWith('$queue/')) return null;
    let queue = this.queues.get(filter);
    if (queue === undefined) {
      queue = new QueueModel(filter, share === null ? null : share[1]!);
      this.queues.set(filter, queue);
    }
    return queue;
  }

  /** Of a connection whose session is not known yet nothing is kept: it may have subscribed, but nothing is certain. */
  subscribeFed(conn: Conn, fields: Omit<SubscriptionFields, 'queue'>, qos: number, replays: boolean): void {
    this.step++;
    const { session } = conn;
    if (session === null || !conn.open) return;
    const queue = this.queueOf(fields.filter);
    const existing = session.subs.get(fields.filter);
    if (existing !== undefined) {
      existing.qosLow = Math.min(existing.qosLow, qos);
      existing.qosHigh = Math.max(existing.qosHigh, qos);
      existing.asked = qos;
      // Being replaced, it is there all the time.
      if (existing.state === SubState.Leaving) existing.state = SubState.Asked;
    } else {
      const sub = new SubModel(session, { ...fields, queue }, qos);
      session.subs.set(fields.filter, sub);
      queue?.members.add(sub);
    }
    if (queue !== null) for (const [sent, copies] of queue.copies) this.judgeSize(copies, conn, sent);
    if (fields.retainAsPublished) session.keepsRetain = true;
    if (replays) session.replays.push({ topicFilter: fields.topicFilter, step: this.step });
    for (const { state, will } of this.delayedWills) {
      if (state === 'open' && queue === null && matches(fields.topicFilter, will.sent.topic))
        session.route(will.sent, -1);
    }
  }

  subackEmitted(conn: Conn, filter: string, code: number): void {
    this.step++;
    const sub = conn.session?.subs.get(filter);
    if (sub === undefined) return;
    if (code !== sub.asked)
      this.fail('answer', `${conn.name}: ${filter} was asked for with QoS ${sub.asked} and answered with ${code}`);
    sub.state = SubState.Active;
    sub.qosLow = sub.qosHigh = sub.asked;
  }

  unsubscribeFed(conn: Conn, filter: string): void {
    this.step++;
    const sub = conn.session?.subs.get(filter);
    if (sub === undefined || !conn.open) return;
    sub.state = SubState.Leaving;
    sub.fields.queue?.memberLeft();
  }

  unsubackEmitted(conn: Conn, filter: string): void {
    this.step++;
    const session = conn.session;
    const sub = session?.subs.get(filter);
    if (sub === undefined || sub.state !== SubState.Leaving) return;
    session!.subs.delete(filter);
    this.leaveQueue(sub);
  }

  // ---- publishing

  /** The broker is given a message. */
  publishFed(conn: Conn, sent: Sent): void {
    this.step++;
    this.route(sent, conn.identity, conn, true);
    if (!sent.retain) return;
    this.retained.fed(sent);
    if (sent.qos === 0) this.untaken.push({ by: conn, sent });
  }

  private route(sent: Sent, identity: number, by: Conn | null, certainly: boolean): void {
    sent.feeds++;
    sent.lastFedMs = this.nowMs();
    sent.certainTargets = sent.possibleTargets = 0;
    if (sent.topic.startsWith('$queue/')) {
      const queue = this.queueOf(sent.topic)!;
      this.toQueue(queue, sent);
      sent.certainTargets = sent.possibleTargets = 1;
      return;
    }
    for (const { session } of this.identities) {
      if (session === null) continue;
      const before = session.expectations.get(sent)?.certain ?? 0;
      const expectation = session.route(sent, identity);
      if (expectation === null) continue;
      if (!certainly) expectation.certain = before;
      sent.possibleTargets++;
      if (expectation.certain === before) continue;
      sent.certainTargets++;
      const { conn } = session;
      // At most once, but then and there: who is connected gets it in the same turn.
      if (
        conn?.open === true &&
        sent.feeds === 1 &&
        !sent.clears &&
        expectation.qosHigh === 0 &&
        expectation.possible === 1 &&
        this.fits(conn, sent)
      ) {
        this.owed.push({ conn, by, sent, expectation });
      }
    }
    for (const queue of this.queues.values()) {
      if (queue.topicFilter === null || !matches(queue.topicFilter, sent.topic)) continue;
      this.toQueue(queue, sent);
      sent.possibleTargets++;
      if (queue.certain) sent.certainTargets++;
    }
  }

  private toQueue(queue: QueueModel, sent: Sent): void {
    const copies = queue.route(sent);
    for (const { session } of queue.members) this.judgeSize(copies, session.conn, sent);
  }

  /** What is too large for one of the consumers may be discarded (MQTT 5.0 section 3.1.2.11.4). */
  private judgeSize(copies: Copies, conn: Conn | null, sent: Sent): void {
    if (conn !== null && !this.fits(conn, sent)) copies.tooLarge = true;
  }

  /** Whether it is small enough for that client, with all that may be added to it. */
  fits(conn: Conn, sent: Sent): boolean {
    return sent.payload.length + sent.topic.length + PACKET_OVERHEAD_BYTES <= conn.packetBytesMax;
  }

  /** PUBACK, PUBREC or RECEIPT. */
  acked(conn: Conn, sent: Sent, matched: boolean | null): void {
    this.step++;
    if (!sent.acked) this.counts.acked++;
    sent.acked = true;
    if (sent.retain) this.retained.taken(sent, this.step);
    if (sent.feeds !== 1 || matched === null) return;
    if (matched && sent.possibleTargets === 0)
      this.fail('answer-reason', `${conn.name}: ${sent} was answered as if somebody had matched`);
    if (!matched) {
      this.counts.unmatchedAnswers++;
      if (sent.certainTargets > 0)
        this.fail('answer-reason', `${conn.name}: ${sent} was answered as if nobody had matched`);
    }
  }

  /** A turn of the broker has ended. */
  turnEnded(): void {
    if (this.untaken.length > 0) {
      for (const { by, sent } of this.untaken) if (by.open) this.retained.taken(sent, this.step);
      this.untaken = [];
    }
    if (this.firsts.length > 0) {
      for (const { conn, queue, sent } of this.firsts) {
        const earlier = queue.passedOver(sent, this.turn);
        if (earlier !== null) {
          this.fail('order', `${conn.name}: ${sent} left ${queue.name} before ${earlier}, which had come back`);
        }
      }
      this.firsts = [];
    }
    this.turn++;
    if (this.owed.length === 0) return;
    for (const { conn, by, sent, expectation } of this.owed) {
      if (!conn.open || (by !== null && !by.open)) continue;
      this.counts.owedQos0++;
      if (expectation.emitted === 0)
        this.fail('lost-qos0', `${sent} was not handed to ${conn.name}, which is connected and subscribed`);
    }
    this.owed = [];
  }

  // ---- deliveries

  /** The broker has written a PUBLISH. Returns the message, null when it is not known which. */
  emitted(conn: Conn, delivery: Delivery): Sent | null {
    this.step++;
    const { session } = conn;
    const { topic, payload, qos, id } = delivery;
    if (session === null) {
      this.fail('answer', `${conn.name}: PUBLISH before CONNACK`);
      return null;
    }
    if (delivery.frameBytes > conn.packetBytesMax)
      this.fail(
        'too-large',
        `${conn.name}: a PUBLISH of ${delivery.frameBytes} bytes; the client takes ${conn.packetBytesMax}`,
      );
    const found = payload.length === 0 ? null : this.ledger.find(payload);
    if (found === 'damaged') {
      this.fail('corrupt', `${conn.name}: a message on ${topic} of ${payload.length} bytes is not what anybody sent`);
      return null;
    }
    if (found === null && payload.length > 0) {
      this.fail('invented', `${conn.name}: nobody sent the message on ${topic}`);
      return null;
    }
    if (found !== null && found.topic !== topic) this.fail('topic-changed', `${conn.name}: ${found} came as ${topic}`);
    // What was lost before it was written comes for the first time, although the broker means to repeat it.
    const again = delivery.dup && (session.outstanding.has(id) || !session.broken);
    const queue = again ? (session.outstanding.get(id)?.queue ?? null) : this.sourceOf(session, topic);
    const replay =
      queue === null &&
      !session.keepsRetain &&
      (again ? session.outstanding.get(id)?.retain === true : delivery.retain);
    if (qos > 0) this.trackIdentifier(conn, session, queue, found, delivery, again);
    if (found === null) return null;
    if (found.feeds === 0) {
      this.fail(
        'invented',
        `${conn.name}: ${found} came before the broker was given it, or although it must not come at all`,
      );
      return found;
    }
    if (queue !== null) this.fromQueue(conn, session, queue, found, delivery, again);
    else if (replay) this.replayEmitted(conn, session, found, again);
    else this.fromOwn(conn, session, found, delivery, again);
    if (
      found.expiryMs > 0 &&
      !delivery.dup &&
      !delivery.retain &&
      this.nowMs() > found.lastFedMs + found.expiryMs + LATE_MS
    ) {
      this.fail(
        'expired',
        `${conn.name}: ${found} came ${Math.round(this.nowMs() - found.lastFedMs)} ms after it was sent, with an expiry of ${found.expiryMs} ms`,
      );
    }
    return found;
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
      this.fail(
        'receive-maximum',
        `${conn.name}: ${conn.unacknowledged.size} unacknowledged messages; its receive maximum is ${conn.receiveMaximum}`,
      );
    }
    const there = session.outstanding.get(id);
    if (!again) {
      if (there !== undefined)
        this.fail(
          'packet-id-in-use',
          `${conn.name}: identifier ${id} of ${sent ?? topic} is in use for ${there.sent ?? there.topic}`,
        );
      session.outstanding.set(id, { sent, qos, topic, retain, queue, conn, released: false, step: this.step });
      return;
    }
    this.counts.resent++;
    if (there === undefined || there.released || there.sent !== sent || there.qos !== qos || there.conn === conn) {
      this.fail(
        'resend',
        `${conn.name}: DUP is set on ${sent ?? topic} with identifier ${id}, which was not sent like this before`,
      );
      session.outstanding.set(id, { sent, qos, topic, retain, queue, conn, released: false, step: this.step });
      return;
    }
    if (there.retain !== retain)
      this.fail(
        'resend-retain',
        `${conn.name}: ${sent ?? topic} was sent with RETAIN ${there.retain} and again with ${retain}`,
      );
    there.conn = conn;
    // [MQTT-4.6.0-1]
    if (there.step < conn.resentStep)
      this.fail('order', `${conn.name}: ${sent ?? topic} was sent again after one that it came before`);
    conn.resentStep = there.step;
  }

  private fromOwn(conn: Conn, session: SessionModel, sent: Sent, delivery: Delivery, again: boolean): void {
    const { qos } = delivery;
    const expectation = session.expectations.get(sent);
    if (expectation === undefined) {
      this.fail('invented', `${conn.name}: ${sent} came without a subscription`);
      return;
    }
    if (qos < expectation.qosLow || qos > expectation.qosHigh) {
      this.fail(
        'qos',
        `${conn.name}: ${sent} came with QoS ${qos}; it should be ${expectation.qosLow} to ${expectation.qosHigh}`,
      );
    }
    this.checkIdentifiers(conn, sent, expectation, delivery);
    if (session.keepsRetain && delivery.retain !== sent.retain) {
      this.fail('retain-flag', `${conn.name}: ${sent} came with RETAIN ${delivery.retain}`);
    }
    if (again) return;
    expectation.emitted++;
    const allowed = sent.qos === 2 ? 1 : expectation.possible;
    if (expectation.emitted > allowed) this.fail(`duplicated-qos${qos}`, `${conn.name}: ${sent} came once more`);
    // A session that was not there the first time gets repetitions of the publisher's among later messages.
    const comparable = qos === 0 ? sent.feeds === 1 : expectation.certain === sent.feeds && expectation.qosLow > 0;
    if (!sent.ordered || expectation.emitted > 1 || !comparable) return;
    const last = qos === 0 ? session.lastDirect : session.lastQueued;
    const before = last.get(sent.publisher) ?? -1;
    if (before > sent.number)
      this.fail('order', `${conn.name}: ${sent} came after number ${before} of the same publisher`);
    else last.set(sent.publisher, sent.number);
  }

  private checkIdentifiers(conn: Conn, sent: Sent, expectation: Expectation, { identifiers }: Delivery): void {
    const came = identifiers ?? [];
    for (const identifier of came) {
      if (!expectation.identifiersPossible.includes(identifier))
        this.fail('identifiers', `${conn.name}: ${sent} came with subscription identifier ${identifier}`);
    }
    if (!conn.takesIdentifiers) return;
    for (const identifier of expectation.identifiersCertain) {
      if (!came.includes(identifier))
        this.fail('identifiers', `${conn.name}: ${sent} came without subscription identifier ${identifier}`);
    }
  }

  private replayEmitted(conn: Conn, session: SessionModel, sent: Sent, again: boolean): void {
    if (again) return;
    this.counts.replayed++;
    if (!sent.retain) {
      this.fail('retain-flag', `${conn.name}: ${sent} came with RETAIN, but was not sent with it`);
      return;
    }
    const asked = session.replays.filter(
      ({ topicFilter, step }) => matches(topicFilter, sent.topic) && step <= sent.supersededStep,
    );
    const came = (session.replayed.get(sent) ?? 0) + 1;
    session.replayed.set(sent, came);
    if (came > asked.length) {
      this.fail(
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
      this.fail('invented', `${conn.name}: ${sent} came from ${queue.name}, where it never was`);
      return;
    }
    const sub = session.subs.get(queue.name)!;
    const low = queue.topicFilter === null ? sub.qosLow : Math.min(sub.qosLow, sent.qos);
    const high = queue.topicFilter === null ? sub.qosHigh : Math.min(sub.qosHigh, sent.qos);
    if (qos < low || qos > high)
      this.fail('qos', `${conn.name}: ${sent} came with QoS ${qos} from ${queue.name}; it should be ${low} to ${high}`);
    if (retain) this.fail('retain-flag', `${conn.name}: ${sent} came with RETAIN from ${queue.name}`);
    const allowed = sent.qos === 2 ? 1 : copies.possible;
    if (copies.out + copies.settled >= allowed) this.endDoubtfulHolders(queue, sent);
    if (copies.out + copies.settled >= allowed) {
      this.fail(
        'delivered-twice',
        `${conn.name}: ${sent} came from ${queue.name}, with ${copies.out} unanswered and ${copies.settled} settled of ${allowed}`,
      );
    }
    copies.emitted++;
    if (copies.emitted > 1) this.counts.requeued++;
    const problem = queue.orderProblem(sent, copies, session);
    if (copies.emitted === 1) this.firsts.push({ conn, queue, sent });
    if (problem !== null) {
      const rule = copies.emitted === 1 ? 'order' : 'requeue-order';
      this.fail(rule, `${conn.name}: ${sent} came from ${queue.name} after ${problem}`);
    }
    if (queue.topicFilter !== null && qos === 2) {
      const { holder } = copies;
      if (holder !== null && holder !== session && sent.qos === 2) {
        this.fail(
          'share-qos2-moved',
          `${conn.name}: ${sent} is in flight to ${holder.name} at QoS 2 and went to another member`,
        );
      }
      copies.holder = session;
    }
    if (qos === 0) copies.settled++;
    else copies.out++;
  }

  /** Sessions whose time may be up, and that had this message: since it came back, they have ended. */
  private endDoubtfulHolders(queue: QueueModel, sent: Sent): void {
    for (const { session } of this.identities) {
      if (session === null || !session.doubtful || session.conn !== null) continue;
      for (const outstanding of session.outstanding.values()) {
        if (outstanding.queue !== queue || outstanding.sent !== sent) continue;
        this.endSession(session);
        break;
      }
    }
  }

  /** The client has given it to the application. */
  received(conn: Conn, sent: Sent, delivery: Delivery): void {
    this.step++;
    const { session } = conn;
    if (session === null) return;
    this.counts.delivered++;
    if (delivery.qos === 0) this.counts.deliveredQos0++;
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
      this.fail('duplicated-qos2', `${conn.name}: the application got ${sent} ${expectation.received} times`);
  }

  /** The client's acknowledgement has reached the broker. */
  settled(outstanding: Outstanding, outcome: 'accepted' | 'rejected' | 'requeued'): void {
    this.counts.settled++;
    const { queue, sent } = outstanding;
    if (queue === null || sent === null) return;
    if (outcome === 'requeued') queue.returned(sent, ++this.step, -1);
    else queue.settled(sent, outcome === 'rejected');
  }
}

/** More than MQTT and the broker add to topic and payload. */
const PACKET_OVERHEAD_BYTES = 200;
