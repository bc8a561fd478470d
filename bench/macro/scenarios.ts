// All scenarios of the macro benchmark, in the order of the tables.

import { acknowledged } from './acknowledged.ts';
import { paced } from './paced.ts';
import { payload } from './payload.ts';
import type { Scenario } from './scenario.ts';
import { stomp } from './stomp.ts';
import { throughput } from './throughput.ts';
import { websocket } from './websocket.ts';

export const scenarios: readonly Scenario[] = [
  ...throughput,
  ...acknowledged,
  ...paced,
  ...payload,
  ...stomp,
  ...websocket,
];
