// An open loop: messages are due at fixed times, one per wake-up and connection, as sensors send. The rate is given, so
// that the figures are the broker's CPU for it and the latency from the due time.

import type { Scenario } from './scenario.ts';

export const paced: readonly Scenario[] = [
  {
    name: 'paced-60k',
    title: 'MQTT QoS 0, 60,000 messages/s paced over 50 pairs',
    needs: ['mqtt'],
    plan: { publishers: 50, subscribers: 50, topics: 50, rate: 60_000 },
  },
];
