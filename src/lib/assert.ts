// Invariants of our own code. A broken one is a bug here, never the peer's fault, so it stops whoever asked; storage and core let it stop the process.

export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws AssertionError with `message` (a sentence) unless `condition` holds. Stays on in production. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
