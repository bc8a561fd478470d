// The brokers a benchmark can run, in the order of the tables.

import { activemq } from './activemq.ts';
import { aedes } from './aedes.ts';
import type { BenchBroker } from './broker.ts';
import { mosquitto } from './mosquitto.ts';
import { nats } from './nats.ts';
import { rabbitmq } from './rabbitmq.ts';
import { sluice } from './sluice.ts';

export const allBrokers: readonly BenchBroker[] = [sluice, mosquitto, aedes, nats, rabbitmq, activemq];
