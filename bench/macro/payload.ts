// Payloads of 16 KiB: cost per byte rather than per message.

import type { Scenario } from './scenario.ts';

export const payload: readonly Scenario[] = [
  {
    name: 'payload16k-1-1',
    title: 'MQTT QoS 0, 16 KiB, 1 publisher to 1 subscriber',
    needs: ['mqtt'],
    plan: { payloadBytes: 16_384, window: 100 },
  },
  {
    name: 'payload16k-1-20',
    title: 'MQTT QoS 0, 16 KiB, 1 publisher to 20 subscribers of one topic',
    needs: ['mqtt'],
    plan: { payloadBytes: 16_384, subscribers: 20, window: 50 },
  },
];
