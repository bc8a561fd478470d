// How often a message may arrive. A property of a message (what its publisher asked for) and of a subscription (what it takes at most);
// a delivery has the smaller one.

export const Guarantee = {
  AtMostOnce: 0,
  AtLeastOnce: 1,
  ExactlyOnce: 2,
} as const;

export type Guarantee = (typeof Guarantee)[keyof typeof Guarantee];
