// The judge of a run. It sees what the network sees, frames as the broker is given and writes them, and what clients give to their applications; of the broker it knows what
// its answers promise, nothing of how it keeps that. Every breach of a promise is a violation with the name of its rule.
//
// Certain and possible: a subscription is certain between its SUBACK and its UNSUBSCRIBE, possible around that; a message that was acknowledged must reach whoever was certain
// at every moment at which the broker was given it, and may reach whoever was possible at one of them.
import type { Conn } from './conn.ts';
import { Crashes } from './crashes.ts';
import { Deliveries } from './deliveries.ts';
import { type Copies, QueueModel } from './queue-model.ts';
import { Readers } from './readers.ts';
import { RetainedModel } from './retained-model.ts';
import { Ledger, type Sent } from './sent.ts';
import { type Expectation, SessionModel, SubModel, SubState, type SubscriptionFields } from './session-model.ts';
import { EARLY_MS, LATE_MS } from './tolerance.ts';
import { matches } from './topics.ts';
import { type WillModel, Wills } from './wills.ts';

export interface Violation {
  readonly rule: string;
  readonly text: string;
  readonly step: number;
  readonly atMs: number;
}

/** More violations than this add nothing. */
const VIOLATIONS_MAX = 20;

/** A client as the broker knows it: by its client id. */
export interface Identity {
  readonly index: number;
  readonly clientId: string;
  session: SessionModel | null;
  /** Connections whose CONNECT the broker was given and not answered yet. */
  connecting: Conn | null;
  sessions: number;
  /** When a session that is kept on the disk ended last, as long as the disk may not know of it; -1 otherwise. */
  endedStep: number;
  /** A crash may have brought back a session that had ended. */
  ghost: boolean;
}

export interface ConnectFields {
  readonly clean: boolean;
  readonly expiryMs: number;
  readonly receiveMaximum: number;
  readonly packetBytesMax: number;
  readonly will: WillModel | null;
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
  readonly wills = new Wills(this);
  readonly deliveries = new Deliveries(this);
  readonly readers = new Readers(this);
  readonly crashes = new Crashes(this);
  /** Rules whose breach is counted but is no violation. */
  readonly tolerated: ReadonlySet<string>;
  readonly toleratedCounts = new Map<string, number>();
  step = 0;
  private orders = 0;
  turn = 0;
  nowMs: () => number = () => 0;
  after: (delayMs: number, task: () => void) => void = () => undefined;
  private readonly connWills = new Map<Conn, WillModel>();
  private readonly connects = new Map<Conn, ConnectFields>();
  private owed: {
    readonly conn: Conn;
    readonly by: Conn | null;
    readonly sent: Sent;
    readonly expectation: Expectation;
  }[] = [];
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
    const identity = {
      index: this.identities.length,
      clientId,
      session: null,
      connecting: null,
      sessions: 0,
      endedStep: -1,
      ghost: false,
    };
    this.identities.push(identity);
    return identity;
  }

  *sessions(): IterableIterator<SessionModel> {
    for (const { session } of this.identities) if (session !== null) yield session;
    yield* this.readers.sessions();
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
    else this.wills.settle(session, false);
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
      session.createdStep = this.step;
    }
    if (fields.clean) {
      identity.endedStep = this.step;
      identity.ghost = false;
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
    const will = this.connWills.get(conn);
    if (keepsWill || will === undefined) return;
    this.connWills.delete(conn);
    this.wills.discarded(will);
    this.counts.willsDiscarded++;
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
        identity.session.createdStep = this.step;
        identity.session.expiryMs = fields.expiryMs;
      }
      session = identity.session;
      session.doubtful = true;
    } else if (session.conn !== conn) return successor !== null;
    session.conn = null;
    if (!flushed) this.outputLost(session);
    else if (this.crashes.enabled) this.waitedForDisk(session);
    session.leaveQueues(this.step, this.turn);
    const will = this.connWills.get(conn);
    this.connWills.delete(conn);
    if (successor !== null) this.counts.takeovers++;
    if (will !== undefined)
      this.wills.due(session, will, successor === null ? null : (this.connects.get(successor) ?? null));
    if (session.expiryMs <= 0 || (successor !== null && this.connects.get(successor)?.clean === true))
      this.endSession(session);
    else this.startExpiry(session);
    return successor !== null;
  }

  /** What was handed to it at most once, and not written yet, is gone. */
  private outputLost(session: SessionModel): void {
    session.broken = true;
    for (const { fields, qosLow } of session.subs.values()) {
      fields.queue?.outputLost((sent) => qosLow === 0 || sent.qos === 0);
    }
  }

  /** What it was given at QoS 2 and is written when the disk knows of it comes back. */
  private waitedForDisk(session: SessionModel): void {
    for (const { fields, qosHigh } of session.subs.values()) if (qosHigh === 2) fields.queue?.outputLost(() => false);
  }

  startExpiry(session: SessionModel, moreMs = 0): void {
    if (session.expiryMs === Number.POSITIVE_INFINITY) return;
    const endsAtMs = this.nowMs() + session.expiryMs;
    session.endsAtMs = endsAtMs;
    const waits = (): boolean => session.endsAtMs === endsAtMs && session.conn === null && !session.ended;
    this.after(Math.max(0, session.expiryMs - EARLY_MS), () => {
      if (waits()) session.doubtful = true;
    });
    this.after(session.expiryMs + LATE_MS + moreMs, () => {
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
    if (session.expiryMs > 0) identity.endedStep = this.step;
    this.wills.settle(session, true);
  }

  leaveQueue(sub: SubModel): void {
    const { queue } = sub.fields;
    if (queue === null) return;
    queue.members.delete(sub);
    queue.memberLeft();
    // A crash may bring a group back that nobody was left in.
    const returns = this.crashes.enabled && queue.name.startsWith('$share/');
    if (queue.abandoned && !returns && this.queues.get(queue.name) === queue) this.queues.delete(queue.name);
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
    session.subs.get(fields.filter)!.askedStep = this.step;
    if (queue !== null) for (const [sent, copies] of queue.copies) this.judgeSize(copies, conn, sent);
    if (fields.retainAsPublished) session.keepsRetain = true;
    if (replays) session.replays.push({ topicFilter: fields.topicFilter, step: this.step });
    if (queue === null) this.wills.subscribed(session, fields.topicFilter);
  }

  subackEmitted(conn: Conn, filter: string, code: number): void {
    this.step++;
    const sub = conn.session?.subs.get(filter);
    if (sub === undefined) return;
    if (code !== sub.asked)
      this.fail('answer', `${conn.name}: ${filter} was asked for with QoS ${sub.asked} and answered with ${code}`);
    if (sub.session.expiryMs > 0) this.crashes.answered(sub.askedStep);
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
    this.retained.fed(sent, this.step);
    if (sent.qos === 0) this.untaken.push({ by: conn, sent });
  }

  /** Works out who is to get it. certainly: the broker has it for sure. */
  route(sent: Sent, identity: number, by: Conn | null, certainly: boolean): void {
    if (sent.feeds++ === 0) {
      sent.order = this.orders++;
      sent.firstFedStep = this.step;
    }
    sent.lastFedMs = this.nowMs();
    sent.certainTargets = sent.possibleTargets = 0;
    sent.logged = false;
    if (sent.topic.startsWith('$queue/')) {
      const queue = this.queueOf(sent.topic)!;
      sent.logged = sent.qos > 0;
      this.toQueue(queue, sent);
      sent.certainTargets = sent.possibleTargets = 1;
      return;
    }
    for (const session of this.sessions()) {
      const before = session.expectations.get(sent)?.certain ?? 0;
      const expectation = session.route(sent, identity);
      if (expectation === null) continue;
      if (!certainly) expectation.certain = before;
      sent.possibleTargets++;
      if (expectation.certain === before) continue;
      sent.certainTargets++;
      if (session.expiryMs > 0 && expectation.qosLow > 0) sent.logged = true;
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
    // Its answer had to wait for the disk, and came.
    if (sent.logged && sent.feeds === 1) this.crashes.answered(sent.firstFedStep);
    if (sent.feeds !== 1 || matched === null) return;
    if (matched && sent.possibleTargets === 0)
      this.fail('answer-reason', `${conn.name}: ${sent} was answered as if somebody had matched`);
    if (!matched) {
      this.counts.unmatchedAnswers++;
      if (sent.certainTargets > 0)
        this.fail('answer-reason', `${conn.name}: ${sent} was answered as if nobody had matched`);
    }
  }

  /** The broker has died in the middle of a turn. */
  forgetTurn(): void {
    this.owed = [];
    this.untaken = [];
    this.connWills.clear();
    this.deliveries.forgetTurn();
  }

  /** The wills of open connections. */
  get openWills(): Iterable<readonly [Conn, WillModel]> {
    return this.connWills;
  }

  /** A turn of the broker has ended. */
  turnEnded(): void {
    if (this.untaken.length > 0) {
      for (const { by, sent } of this.untaken) if (by.open) this.retained.taken(sent, this.step);
      this.untaken = [];
    }
    this.deliveries.turnEnded();
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
}

/** More than MQTT and the broker add to topic and payload. */
const PACKET_OVERHEAD_BYTES = 200;
