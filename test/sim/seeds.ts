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
];
