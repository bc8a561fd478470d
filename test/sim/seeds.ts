// Seeds that once failed, with what they showed. They are run every time.
export const SEEDS_THAT_FAILED: readonly (readonly [seed: number, showed: string])[] = [
  [84, 'a repeated QoS 1 message comes among later ones where the first one found no queue'],
  [97, 'a session that ends gives back what it had of a named queue'],
  [147, 'what a consumer leaves goes out again in the order of the queue'],
  [193, 'what the end of a turn leads to comes before time moves on'],
  [404, 'a subscription whose QoS changes between a message and its repetition'],
  [992, 'a clean start ends a session before it is answered'],
  [2323, 'DISCONNECT with an expiry of 0 that is overtaken by the next CONNECT'],
  [3518, 'an answer to CONNECT that never arrives'],
  [159, 'what went to a consumer that was cut off at the same time is not compared'],
  [1178, 'two subscriptions of one connection to the same queue end in the order of the queue'],
  [1343, 'a durable subscription asked for again before the answer to its end is kept'],
  [1446, 'what an ended session had of a named queue comes back in the order of the queue'],
  [1936, 'what a subscription had that ends in the same turn has come back in this turn'],
  [4102, 'a message of QoS 0 may be lost with the connection, also from a share group at QoS 1'],
  [5741, 'a message that somebody had and gave back within the turn may come after later ones'],
];

/** The same for a broker on a disk that dies. */
export const DURABLE_SEEDS_THAT_FAILED: readonly (readonly [seed: number, showed: string])[] = [
  [15, 'a QoS 2 message of a queue stays with its session over a restart'],
  [23, 'the queue of a share group that a STOMP client made outlives the process'],
  [31, 'an identifier of QoS 2 whose message ended with the process is let go before it is used again'],
  [63, 'so is one whose message has expired meanwhile'],
  [92, 'the time of a recovery does not count as silence'],
  [919627883, 'a QoS 2 delivery that waits for the disk comes back when its connection ends'],
];
