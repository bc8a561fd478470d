// What must be true of a queue with competing consumers, a share group's or a named one: every copy of a message is with at most one consumer at a time, is settled once, and goes
// out in the order in which it came in.
import type { Sent } from './sent.ts';
import { type SessionModel, type SubModel, SubState } from './session-model.ts';

const PUBLISHERS_MAX = 65_536;

export class Copies {
  /** How many there may be, and how many there must be. */
  possible = 0;
  certain = 0;
  /** With consumers that have not answered. */
  out = 0;
  /** Settled, or handed over for good. */
  settled = 0;
  /** Refused by a consumer: settled, too. */
  rejected = 0;
  emitted = 0;
  received = 0;
  /** Who got it last at QoS 2 and has not answered. */
  holder: SessionModel | null = null;
  /** A consumer took part for which it is too large: the broker may have discarded it. */
  tooLarge = false;
  /** It may have been with a consumer although it was never written. */
  disturbed = false;
  /** Deliveries more than that which a crash allows. */
  extra = 0;
  /** When each of the settled ones was. */
  private settledSteps: number[] = [];
  /** When it came back last; -1 while nobody can say whether it has been with somebody since. */
  returnedStep = -1;
  /** The turn in which its consumer went, and it came back for others; -1 while that is not so. */
  returnedTurn = -1;

  settle(step: number): void {
    this.settled++;
    this.settledSteps.push(step);
  }

  /** It has been with a consumer and come back within the same turn. */
  broughtBack(turn: number): void {
    this.disturbed = true;
    this.returnedStep = -1;
    this.returnedTurn = turn;
  }

  /** It was settled, and that was forgotten. */
  unsettle(): void {
    this.settled--;
    this.settledSteps.pop();
  }

  /** What is not on the disk may be forgotten: a settlement always, the message itself where it was sent at most once. */
  crashed(transient: boolean, isDurable: (step: number) => boolean): void {
    for (const step of this.settledSteps) if (!isDurable(step)) this.extra++;
    this.settledSteps = [];
    this.returnedTurn = -1;
    if (transient) this.certain = Number.NEGATIVE_INFINITY;
  }
}

export class QueueModel {
  readonly name: string;
  /** Of a share group; null for a named queue. */
  readonly topicFilter: string | null;
  readonly copies = new Map<Sent, Copies>();
  readonly members = new Set<SubModel>();
  /** It stays while nobody reads it, possibly and for certain. */
  kept = false;
  keptForCertain = false;
  /** By session: per lane and publisher what it got last for the first time, and what it got last of what had come back. */
  private readonly lastFirst = new Map<SessionModel, Map<number, Sent>>();
  private readonly back = new Set<Sent>();
  private readonly lastAgain = new Map<SessionModel, { readonly sent: Sent; readonly returnedStep: number }>();

  constructor(name: string, topicFilter: string | null) {
    this.name = name;
    this.topicFilter = topicFilter;
  }

  /** It is there for certain: named queues stay, the queue of a group lives as long as somebody subscribes to it. */
  get certain(): boolean {
    if (this.topicFilter === null || this.keptForCertain) return true;
    for (const member of this.members) if (member.certain) return true;
    return false;
  }

  route(sent: Sent): Copies {
    let copies = this.copies.get(sent);
    if (copies === undefined) {
      copies = new Copies();
      this.copies.set(sent, copies);
    }
    copies.possible++;
    if (this.certain) copies.certain++;
    return copies;
  }

  /** Given out to a session: what is wrong with the order, or null. */
  orderProblem(sent: Sent, copies: Copies, session: SessionModel, lane: number): string | null {
    this.back.delete(sent);
    if (copies.emitted === 1) {
      // Repetitions of the publisher's come among later messages where the first one found no queue.
      if (copies.certain !== sent.feeds || copies.disturbed || !sent.ordered) return null;
      let last = this.lastFirst.get(session);
      if (last === undefined) {
        last = new Map();
        this.lastFirst.set(session, last);
      }
      const key = lane * PUBLISHERS_MAX + sent.publisher;
      const before = last.get(key);
      if (before !== undefined && before.order > sent.order) return String(before);
      last.set(key, sent);
      return null;
    }
    // Of several copies nobody can say which one it is.
    if (copies.possible > 1) return null;
    // What came back together goes out again in its order.
    if (lane > 0) return null;
    const again = this.lastAgain.get(session);
    this.lastAgain.set(session, { sent, returnedStep: copies.returnedStep });
    if (copies.returnedStep < 0) return null;
    if (again === undefined || again.returnedStep !== copies.returnedStep || again.sent.publisher !== sent.publisher)
      return null;
    return again.sent.order > sent.order ? `${again.sent}, with which it had come back` : null;
  }

  /** turn: when it is free for others at once; -1 when it may take its time. */
  returned(sent: Sent, step: number, turn: number): void {
    const copies = this.copies.get(sent);
    if (copies === undefined) return;
    copies.out--;
    copies.returnedStep = step;
    copies.returnedTurn = turn;
    if (turn >= 0) this.back.add(sent);
  }

  /** What came back in an earlier turn, is still there, and should have gone before this one. */
  passedOver(sent: Sent, turn: number): Sent | null {
    for (const earlier of this.back) {
      const copies = this.copies.get(earlier)!;
      const waits = copies.returnedTurn >= 0 && copies.returnedTurn < turn && copies.out === 0 && copies.settled === 0;
      if (!waits) continue;
      const comparable = copies.possible === 1 && copies.certain === 1 && !copies.tooLarge && earlier.expiryMs === 0;
      if (comparable && earlier.publisher === sent.publisher && earlier.order < sent.order) return earlier;
    }
    return null;
  }

  settled(sent: Sent, rejected: boolean, step: number): void {
    const copies = this.copies.get(sent);
    if (copies === undefined) return;
    copies.out--;
    copies.settle(step);
    copies.holder = null;
    if (rejected) copies.rejected++;
  }

  /** A consumer was cut off. What it was just given and not written comes back, or is gone where it was at QoS 0. */
  outputLost(isAtMostOnce: (sent: Sent) => boolean): void {
    for (const [sent, copies] of this.copies) {
      if (copies.settled + copies.out >= copies.possible) continue;
      copies.disturbed = true;
      copies.returnedStep = -1;
      if (isAtMostOnce(sent)) copies.certain = Number.NEGATIVE_INFINITY;
    }
  }

  /** A member has left, or may have. Nothing is certain of what a group held that may have ended in between. */
  memberLeft(): void {
    if (this.certain) return;
    for (const copies of this.copies.values()) copies.certain = Number.NEGATIVE_INFINITY;
  }

  /** It was settled, and that was forgotten: its consumer has it again. */
  unsettled(sent: Sent): void {
    const copies = this.copies.get(sent);
    if (copies === undefined) return;
    copies.out++;
    copies.unsettle();
  }

  crashed(isDurable: (step: number) => boolean): void {
    this.memberLeft();
    for (const [sent, copies] of this.copies) copies.crashed(sent.qos === 0, isDurable);
  }

  /** Nobody is left who could keep it alive. */
  get abandoned(): boolean {
    if (this.topicFilter === null || this.kept) return false;
    for (const member of this.members) if (member.state !== SubState.Leaving || member.session.doubtful) return false;
    return this.members.size === 0;
  }
}
