// How far the broker may be off.

/** The broker's clock of a turn is coarse: what depends on it may come so much early, and so much late. */
export const EARLY_MS = 110;
export const LATE_MS = 220;
