// Bounds that are not options: each with its reason. What an operator may change is in config/schema.ts.

/** Output slots of 64 KB in the arena; beyond them slots are ordinary buffers. Address space: pages that are never used cost nothing. */
export const ARENA_SLOTS = 1024;

/** A peer with so much unsent after a flush is congested: publishers whose every subscriber is congested wait. Larger than what the kernel takes at once. */
export const CONGESTED_BYTES = 256 * 1024;

/** Messages a client may have unacknowledged at most, whatever it allows: fills any link, and bounds what is sent again after a reconnect. */
export const INFLIGHT_MAX = 1024;

/** Filters of one session. */
export const SUBSCRIPTIONS_MAX = 100_000;

/** Bytes on their way to the disk, from which on publishers wait: a few of the largest frames of the log. */
export const LOG_PENDING_BYTES_MAX = 32 * 1024 * 1024;

/** Messages waiting for one session; the byte limit is an option. */
export const SESSION_QUEUE_LENGTH_MAX = 10_000_000;
