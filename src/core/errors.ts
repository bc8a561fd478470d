// The three kinds of errors have three treatments. Ours: assert (lib/assert.ts), stops the process. The peer's: ProtocolError, caught once per
// connection, which tells the peer and closes. A refused operation: BrokerError, which each adapter maps to its own reason code.

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  /** Stable, for programs and log lines: 'malformed-packet', 'topic-alias-invalid', … */
  readonly code: string;
  /** The protocol's own number for it (MQTT 5 reason code); 0 where the protocol has none. */
  readonly reason: number;

  constructor(code: string, reason: number, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

export type BrokerErrorCode =
  | 'not-found'
  | 'access-refused'
  | 'precondition-failed'
  | 'resource-locked'
  | 'quota-exceeded'
  | 'invalid-argument'
  | 'shutting-down';

export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly code: BrokerErrorCode;

  constructor(code: BrokerErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
