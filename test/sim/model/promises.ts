// What must hold when everything has come to rest: nothing that was acknowledged is missing, and the retained messages are those that were set last.
import type { Oracle } from './oracle.ts';
import type { SessionModel } from './session-model.ts';

export function checkPromises(oracle: Oracle): void {
  for (const { session } of oracle.identities) {
    if (session === null || session.doubtful) continue;
    const { conn } = session;
    for (const [sent, expectation] of session.expectations) {
      if (
        !sent.acked ||
        sent.clears ||
        sent.expiryMs > 0 ||
        expectation.certain !== sent.feeds ||
        expectation.qosLow === 0
      )
        continue;
      if (conn === null || !oracle.fits(conn, sent)) continue;
      oracle.counts.mustDeliver++;
      if (expectation.received === 0) oracle.fail('lost', `${session.name} never got ${sent}, which was acknowledged`);
    }
  }
  for (const queue of oracle.queues.values()) {
    for (const [sent, copies] of queue.copies) {
      if (!sent.acked || sent.clears || sent.expiryMs > 0 || copies.certain !== sent.feeds || copies.tooLarge) continue;
      oracle.counts.mustSettle++;
      if (copies.settled === 0)
        oracle.fail(
          'lost',
          `${sent} was acknowledged, and nobody took it from ${queue.name} (given out ${copies.emitted} times)`,
        );
    }
  }
}

/** `session` has just subscribed to everything. */
export function checkRetained(oracle: Oracle, session: SessionModel | null): void {
  if (session === null) {
    oracle.fail('liveness', 'nobody could look at the retained messages');
    return;
  }
  const came = new Map([...session.replayed.keys()].map((sent) => [sent.topic, sent]));
  for (const topic of oracle.retained.names) {
    oracle.counts.retainedChecked++;
    const candidates = oracle.retained.candidates(topic);
    const there = came.get(topic) ?? null;
    if (!candidates.includes(there)) {
      oracle.fail(
        'retained-wrong',
        `${topic} has ${there ?? 'nothing'}; it should have ${candidates.map((one) => one ?? 'nothing').join(' or ')}`,
      );
    }
    came.delete(topic);
  }
  for (const [topic, sent] of came)
    oracle.fail('retained-wrong', `${topic} has ${sent}, and nobody retained anything there`);
}
