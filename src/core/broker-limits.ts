// The bounds that the core keeps. Their values come from the configuration; limits.ts has the presets and their reasons.

export interface RetainedLimits {
  /** Retained messages per vhost. */
  readonly countMax: number;
  /** Bytes of retained messages per vhost. */
  readonly bytesMax: number;
}

export interface BrokerLimits {
  /** Named queues per vhost. */
  readonly queuesMax: number;
  readonly retained: RetainedLimits;
  /** What waits for a client that is away or slow; beyond it the oldest message is dropped and counted. */
  readonly sessionQueue: { readonly lengthMax: number; readonly bytesMax: number };
  /** Bytes on their way to the disk; beyond it publishers are paused until half of it is durable. */
  readonly logPendingBytesMax: number;
}
