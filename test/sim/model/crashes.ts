// What a crash of the broker does to its promises. Everything before the last answer that had to wait for the disk is on the disk, in the order in which it was done; what came
// later may be there or not. A confirmed message stays promised; a settlement that nobody waited for may be forgotten once; connections and what lives with them are gone.
import type { Oracle } from './oracle.ts';
import type { Sent } from './sent.ts';
import type { SessionModel } from './session-model.ts';
import { LATE_MS } from './tolerance.ts';

export class Crashes {
  /** There is a disk, and a broker may die. */
  enabled = false;
  count = 0;
  /** Up to this step everything is on the disk. */
  durableStep = -1;
  private readonly oracle: Oracle;

  constructor(oracle: Oracle) {
    this.oracle = oracle;
  }

  /** An answer was written for what the broker was given at this step, and had to wait for the disk. */
  answered(fedStep: number): void {
    if (!this.enabled || fedStep <= this.durableStep) return;
    this.durableStep = fedStep;
    this.oracle.retained.durable(fedStep);
    for (const identity of this.oracle.identities) {
      if (identity.endedStep >= 0 && identity.endedStep < fedStep) identity.endedStep = -1;
    }
  }

  isDurable(step: number): boolean {
    return step <= this.durableStep;
  }

  /** The broker has died, and another one is up. */
  crashed(): void {
    const { oracle } = this;
    oracle.step++;
    this.count++;
    oracle.note('the broker has died and come up again');
    oracle.wills.crashed();
    oracle.retained.crashed();
    oracle.readers.crashed();
    for (const identity of oracle.identities) {
      const { session, connecting } = identity;
      // Whoever asked for a clean session and got no answer may find the old one.
      if (connecting !== null && session !== null) session.doubtful = true;
      identity.connecting = null;
      if (identity.endedStep > this.durableStep) identity.ghost = true;
      if (session === null) continue;
      session.conn = null;
      if (session.expiryMs <= 0) {
        // It goes with the process, and what it had in flight comes back.
        session.loseOutstanding(oracle.step);
        oracle.endSession(session);
      } else this.survives(session);
    }
    for (const queue of oracle.queues.values()) queue.crashed((step) => this.isDurable(step));
    oracle.forgetTurn();
  }

  private survives(session: SessionModel): void {
    if (!this.isDurable(session.createdStep)) session.doubtful = true;
    session.broken = true;
    for (const [id, outstanding] of session.outstanding) {
      const { qos, queue, sent } = outstanding;
      if (qos === 1) {
        // Delivered again under another identifier.
        session.outstanding.delete(id);
        if (sent === null) continue;
        if (queue === null) this.mayComeAgain(session, sent);
        else queue.returned(sent, this.oracle.step, -1);
      } else {
        // So it is where the queue of a share group ended with its last member, and the process after it.
        const gone = queue !== null && sent !== null && (queue.copies.get(sent)?.certain ?? 0) < 1;
        // What one crash has left open stays so over the next.
        outstanding.endedWithProcess ||= sent === null || sent.qos === 0 || outstanding.retain || gone;
        outstanding.unsure ||= outstanding.released && !this.isDurable(outstanding.releasedStep);
      }
    }
    for (const [sent, expectation] of session.expectations) {
      // Of several copies nobody can say which one was settled when.
      if (expectation.settledStep > this.durableStep) expectation.extra += expectation.possible;
      // Whoever takes it at most once has it before the disk has; its publisher, who was not answered, sends it again.
      if (sent.qos === 2 && !sent.acked) this.mayComeAgain(session, sent);
      if (sent.qos === 0) expectation.certain = Number.NEGATIVE_INFINITY;
    }
    if (session.expiryMs === Number.POSITIVE_INFINITY) return;
    // It waits from now on, or from before; which of the two, nobody can tell.
    const waited = session.endsAtMs !== Number.POSITIVE_INFINITY;
    if (waited) session.doubtful = true;
    this.oracle.startExpiry(session, waited ? LATE_MS : 0);
  }

  private mayComeAgain(session: SessionModel, sent: Sent): void {
    const expectation = session.expectations.get(sent);
    if (expectation !== undefined) expectation.extra++;
  }
}
