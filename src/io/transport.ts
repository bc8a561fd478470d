// A byte stream to one peer, whatever carries it: TCP, TLS, WebSocket, or the simulated network.
// Protocol sessions see only this. Bytes to the peer go into `output` and leave once per turn; bytes from the peer come by onChunk.
import type { Output } from './output.ts';

export interface TransportHandler {
  /**
   * Bytes [start, end) of `bytes` came in. They are valid during this call only: the buffer is shared and will be overwritten.
   */
  onChunk(bytes: Uint8Array, start: number, end: number): void;
  /** The output, once congested, has room again. */
  onDrain(): void;
  /** The stream is gone, in whatever way. Called exactly once, nothing comes after it. */
  onClosed(error: Error | null): void;
}

export interface Peer {
  /** Address as the socket reports it; '' when there is none (in-process). */
  readonly address: string;
  readonly port: number;
  /** Judged by the address of the real socket, never by a header. */
  readonly loopback: boolean;
}

/** What holds a new stream to its time limit until its peer has been let in. */
export interface HandshakeGuard {
  /** The peer has been let in, or the stream is over. */
  end(): void;
}

export type TransportKind = 'tcp' | 'tls' | 'ws' | 'memory';

export interface Transport {
  readonly kind: TransportKind;
  readonly peer: Peer;
  /** Name of the listener that accepted it, as configured. */
  readonly listener: string;
  readonly output: Output;
  /** Takes over the stream; may be replaced (protocol detection hands over to the session). */
  handler: TransportHandler;
  /** The peer has said who it is and was let in: the deadline for that no longer holds. */
  established(): void;
  /** Stops and restarts reading from the peer: how a publisher is slowed down. Counted: as many resumes as pauses. */
  pause(): void;
  resume(): void;
  /** Sends what is in the output, then closes. Nothing is read any more. */
  end(): void;
  /** Closes at once; the output is thrown away. */
  destroy(): void;
}
