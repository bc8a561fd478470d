// Who publishes: a protocol session, a will, a bridge, the embedding process. It is told when its messages are durable by a number, the position; and
// asked to pause when nobody can take what it sends.
import type { Destination } from './delivery.ts';

export interface Publisher {
  /** For log lines and for "no local". */
  readonly name: string;
  /** Whether the destination is that of a subscription of its own, for "no local". Asked only where some binding of the route says that. */
  owns(destination: Destination): boolean;
  /** Something it appended is still to be confirmed. */
  readonly awaitsDurable: boolean;
  /** Kept by the broker: whether it is in the list of those who wait. */
  listedAwaiting: boolean;
  /** Everything this publisher appended up to `position` is durable: confirm it. Called only after it asked through Broker.awaitDurable, and while awaitsDurable says so. */
  onDurable(position: number): void;
  /** What it appended can not be made durable any more: no confirm, ever. */
  onLogFailed(): void;
  /** Stop and go on reading from the peer, for a moment. */
  pause(): void;
  resume(): void;
  /** No more messages until releaseMessages(), which may take long: whatever else the peer sends is to be answered as always. */
  holdMessages(): void;
  releaseMessages(): void;
}
