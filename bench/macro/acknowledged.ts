// QoS 1 and 2: acknowledged both ways, with many messages in flight (throughput) and with one (the time a message and
// its acknowledgement take when nothing else is under way).

import type { Scenario } from './scenario.ts';

export const acknowledged: readonly Scenario[] = [
  {
    name: 'qos1-50-50',
    title: 'MQTT QoS 1, 50 pairs on 50 topics, 100 in flight each',
    needs: ['mqtt'],
    plan: { qos: 1, publishers: 50, subscribers: 50, topics: 50, inFlight: 100, window: 200 },
  },
  {
    name: 'qos1-durable-50-50',
    title: 'MQTT QoS 1, 50 pairs on 50 topics, 100 in flight each, sessions that outlive their connections',
    needs: ['mqtt'],
    plan: { qos: 1, publishers: 50, subscribers: 50, topics: 50, inFlight: 100, window: 200, lastingSessions: true },
  },
  {
    name: 'qos2-10-10',
    title: 'MQTT QoS 2, 10 pairs on 10 topics, 100 in flight each',
    needs: ['mqtt', 'mqtt-qos2'],
    plan: { qos: 2, publishers: 10, subscribers: 10, topics: 10, inFlight: 100, window: 200 },
  },
  {
    name: 'qos1-latency',
    title: 'MQTT QoS 1, 1 publisher to 1 subscriber, one message in flight',
    needs: ['mqtt'],
    plan: { qos: 1, inFlight: 1 },
  },
];
