// Promises the broker is known to break, so that the rest is tested all the same. Each entry says what is wrong; whoever repairs it takes the entry out. Empty is how it should be.

/** Rules whose breach is counted and reported, but does not fail a run. */
export const KNOWN_BREACHES: ReadonlySet<string> = new Set([]);

/** Situations to keep away from. */
export const KNOWN_SITUATIONS: ReadonlySet<string> = new Set([]);
