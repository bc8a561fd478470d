// MQTT over WebSocket, binary frames with many packets each, client frames masked.

import type { Scenario } from './scenario.ts';

export const websocket: readonly Scenario[] = [
  {
    name: 'ws-1-1',
    title: 'MQTT QoS 0 over WebSocket, 1 publisher to 1 subscriber',
    needs: ['mqtt-websocket'],
    plan: { transport: 'websocket', window: 1000 },
  },
];
