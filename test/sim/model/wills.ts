// Wills: which are due at once, which after a delay, which are called off, and what each of them is as a message. A will that waits is sent by a tick of a coarse clock: in the
// stretch of time in which that may happen it is possible, afterwards certain.
import type { Oracle } from './oracle.ts';
import type { QueueModel } from './queue-model.ts';
import type { Sent } from './sent.ts';
import type { SessionModel } from './session-model.ts';
import { EARLY_MS, LATE_MS } from './tolerance.ts';
import { matches } from './topics.ts';

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

export class Wills {
  private readonly oracle: Oracle;
  private delayed: DelayedWill[] = [];
  /** What became of wills, as long as a crash may undo it. */
  private fates: { readonly will: WillModel; readonly step: number }[] = [];
  /** Those that a crash has left uncertain. */
  private lingering = new Map<WillModel, SessionModel | null>();

  constructor(oracle: Oracle) {
    this.oracle = oracle;
  }

  /** A new subscription may still get what is about to be sent. */
  subscribed(session: SessionModel, topicFilter: string): void {
    for (const { state, will } of this.delayed) {
      if (state === 'open' && matches(topicFilter, will.sent.topic)) session.route(will.sent, -1);
    }
    for (const { sent } of this.lingering.keys()) if (matches(topicFilter, sent.topic)) session.route(sent, -1);
  }

  /** The connection ended without a goodbye. successor: a connection of the same client, if that was the reason. */
  due(session: SessionModel, will: WillModel, successor: { readonly clean: boolean } | null): void {
    const delayMs = Math.min(will.delayMs, session.expiryMs);
    const goesOn = successor !== null && !successor.clean;
    if (delayMs === 0 || (successor !== null && !goesOn)) {
      this.fire(will);
      return;
    }
    if (goesOn) {
      this.cancelled(will);
      return;
    }
    const delayed: DelayedWill = { will, session, state: 'waiting', certain: new Set() };
    this.delayed.push(delayed);
    this.oracle.after(Math.max(0, delayMs - EARLY_MS), () => this.open(delayed));
    this.oracle.after(delayMs + LATE_MS, () => this.close(delayed));
  }

  /** The session goes on or ends before the delay is over. */
  settle(session: SessionModel, ends: boolean): void {
    for (const delayed of this.delayed) {
      if (delayed.session !== session || delayed.state === 'done') continue;
      if (delayed.state === 'waiting') {
        delayed.state = 'done';
        if (ends) this.fire(delayed.will);
        else this.cancelled(delayed.will);
      } else if (!ends) {
        // It may have been sent already, or not.
        delayed.state = 'done';
        this.fates.push({ will: delayed.will, step: this.oracle.step });
      }
    }
    this.delayed = this.delayed.filter(({ state }) => state !== 'done');
  }

  private cancelled(will: WillModel): void {
    this.oracle.counts.willsCancelled++;
    this.fates.push({ will, step: this.oracle.step });
  }

  /** The same for a new queue. */
  bound(queue: QueueModel): void {
    if (queue.topicFilter === null) return;
    for (const { state, will } of this.delayed) if (state === 'open') this.mayCome(queue, will);
    for (const will of this.lingering.keys()) this.mayCome(queue, will);
  }

  private mayCome(queue: QueueModel, { sent }: WillModel): void {
    if (matches(queue.topicFilter!, sent.topic)) queue.route(sent).certain = Number.NEGATIVE_INFINITY;
  }

  /** Its client has said goodbye. */
  discarded(will: WillModel): void {
    this.fates.push({ will, step: this.oracle.step });
  }

  /** The broker has died. Wills of sessions that outlive it come after a while, and so may those of which the disk does not know yet that they were sent, or were not to be. */
  crashed(): void {
    const { oracle } = this;
    const uncertain = new Map<WillModel, SessionModel | null>(this.lingering);
    for (const delayed of this.delayed) {
      delayed.state = 'done';
      uncertain.set(delayed.will, delayed.session);
    }
    for (const [conn, will] of oracle.openWills) uncertain.set(will, conn.session);
    for (const { will, step } of this.fates) {
      if (oracle.crashes.isDurable(step)) continue;
      will.sent.acked = false;
      uncertain.set(will, null);
    }
    this.fates = [];
    this.delayed = [];
    this.lingering = uncertain;
    for (const will of uncertain.keys()) {
      oracle.route(will.sent, -1, null, false);
      if (will.sent.retain) oracle.retained.fed(will.sent, oracle.step);
    }
  }

  private fire(will: WillModel): void {
    this.fates.push({ will, step: this.oracle.step });
    this.oracle.note(`will ${will.sent}`);
    this.oracle.counts.wills++;
    will.sent.acked = will.armed;
    this.oracle.route(will.sent, -1, null, true);
    if (will.sent.retain) {
      this.oracle.retained.fed(will.sent, this.oracle.step);
      if (will.armed) this.oracle.retained.taken(will.sent, this.oracle.step);
    }
  }

  /** From here on it may come. */
  private open(delayed: DelayedWill): void {
    if (delayed.state !== 'waiting') return;
    this.oracle.step++;
    delayed.state = 'open';
    const { sent } = delayed.will;
    this.oracle.route(sent, -1, null, false);
    if (sent.retain) this.oracle.retained.fed(sent, this.oracle.step);
    delayed.certain = this.certainOf(sent);
  }

  /** By now it has come, unless its session was resumed. */
  private close(delayed: DelayedWill): void {
    if (delayed.state !== 'open') return;
    delayed.state = 'done';
    this.delayed = this.delayed.filter((other) => other !== delayed);
    this.oracle.step++;
    const { sent, armed } = delayed.will;
    if (!armed) return;
    this.oracle.counts.wills++;
    sent.acked = true;
    if (sent.retain) this.oracle.retained.taken(sent, this.oracle.step);
    const still = this.certainOf(sent);
    for (const session of delayed.certain) {
      const expectation = session.expectations.get(sent);
      if (still.has(session) && expectation !== undefined) expectation.certain = expectation.possible;
    }
  }

  private certainOf(sent: Sent): Set<SessionModel> {
    const sessions = new Set<SessionModel>();
    for (const session of this.oracle.sessions()) {
      for (const sub of session.subs.values()) {
        if (sub.certain && sub.fields.queue === null && matches(sub.fields.topicFilter, sent.topic))
          sessions.add(session);
      }
    }
    return sessions;
  }
}
