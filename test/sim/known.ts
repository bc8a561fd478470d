// Promises the broker is known to break, so that the rest is tested all the same. Each entry says what is wrong; whoever repairs it takes the entry out. Empty is how it should be.

/** Rules whose breach is counted and reported, but does not fail a run. */
export const KNOWN_BREACHES: ReadonlySet<string> = new Set([
  // A client that the broker itself does not read from, because nobody can take what it sends, is closed for its silence.
  'closed-while-paused',
  // When a session ends, what it had of a named queue at QoS 2 goes to others one by one in the order of its identifiers, which need not be that of the queue.
  'requeue-order',
]);

/** Situations to keep away from. */
export const KNOWN_SITUATIONS: ReadonlySet<string> = new Set([
  // The queue of a share group with members of both protocols is deleted with its last MQTT member.
  'mixed-share',
]);
