// STOMP 1.2: a topic at full load, and durable queues with receipts and individual acknowledgements.

import type { Scenario } from './scenario.ts';

export const stomp: readonly Scenario[] = [
  {
    name: 'stomp-topic-1-1',
    title: 'STOMP topic, 1 sender to 1 subscriber, ack auto',
    needs: ['stomp'],
    plan: { protocol: 'stomp', destinationPrefix: '/topic/', window: 1000 },
  },
  {
    name: 'stomp-topic-1-50',
    title: 'STOMP topic, 1 sender to 50 subscribers, ack auto',
    needs: ['stomp'],
    plan: { protocol: 'stomp', destinationPrefix: '/topic/', subscribers: 50, window: 200 },
  },
  {
    name: 'stomp-queue-10-10',
    title: 'STOMP queues, 10 pairs on 10 queues, persistent, receipts, client-individual',
    needs: ['stomp'],
    plan: {
      protocol: 'stomp',
      destinationPrefix: '/queue/',
      publishers: 10,
      subscribers: 10,
      topics: 10,
      competing: true,
      persistent: true,
      receipts: true,
      ack: 'client-individual',
      prefetch: 200,
      inFlight: 100,
      window: 200,
    },
  },
];
