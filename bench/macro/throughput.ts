// QoS 0 at full load with small payloads, the closed loop kept full by a window: what a broker costs per delivery when
// every read brings many packets. Latencies are those of the queue (window / rate), not of the broker.

import type { Scenario } from './scenario.ts';

export const throughput: readonly Scenario[] = [
  {
    name: 'qos0-1-1',
    title: 'MQTT QoS 0, 1 publisher to 1 subscriber',
    needs: ['mqtt'],
    plan: { window: 1000 },
  },
  {
    name: 'fanout-1-100',
    title: 'MQTT QoS 0, 1 publisher to 100 subscribers of one topic',
    needs: ['mqtt'],
    plan: { subscribers: 100, window: 100 },
  },
  {
    name: 'fanin-100-1',
    title: 'MQTT QoS 0, 100 publishers to 1 subscriber',
    needs: ['mqtt'],
    plan: { publishers: 100, window: 1000 },
  },
  {
    name: 'qos0-50-50',
    title: 'MQTT QoS 0, 50 pairs on 50 topics',
    needs: ['mqtt'],
    plan: { publishers: 50, subscribers: 50, topics: 50, window: 100 },
  },
  {
    name: 'properties-1-1',
    title: 'MQTT 5 QoS 0, 1 publisher to 1 subscriber, with a content type and two user properties',
    needs: ['mqtt', 'mqtt5'],
    plan: { mqttVersion: 5, properties: true, window: 1000 },
  },
];
