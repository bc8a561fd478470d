// What happened, as plain numbers, read by whoever exports them. Every message that does not arrive is in one of the dropped… counters.

export class Counters {
  messagesReceived = 0;
  bytesReceived = 0;
  messagesDelivered = 0;
  messagesRetained = 0;
  /** No binding matched. */
  droppedUnroutable = 0;
  /** At-most-once messages to a peer whose output was over its bound. */
  droppedSlowConsumer = 0;
  /** At-most-once messages for a session whose client is away. */
  droppedOffline = 0;
  droppedExpired = 0;
  droppedRejected = 0;
  /** A length limit of a queue (x-max-length, x-max-length-bytes, a session's limit). */
  droppedOverflow = 0;
  /** Larger than what the receiving client takes. */
  droppedTooLarge = 0;
  /** A publisher was refused because a queue was full. */
  refusedQuota = 0;
  refusedUnauthorized = 0;
  connectionsOpened = 0;
  connectionsClosed = 0;
  connectionsRefused = 0;
  protocolErrors = 0;
}
