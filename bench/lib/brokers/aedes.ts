// aedes, the MQTT broker for Node that is in the development dependencies, run by bench/peers/aedes.mjs.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { aedesProgram, repositoryRoot } from '../paths.ts';
import type { BenchBroker, RunningBroker } from './broker.ts';
import { BrokerProcess } from './process.ts';

const startTimeoutMs = 10_000;

export const aedes: BenchBroker = {
  name: 'aedes',
  capabilities: ['mqtt', 'mqtt-qos2', 'mqtt-websocket'],
  settings: 'memory persistence, concurrency 10000, queueLimit 1e6, drainTimeout 0; WebSocket by ws',
  warmupMsMin: 0,
  isShared: false,

  version(): string | null {
    const path = join(repositoryRoot, 'node_modules/aedes/package.json');
    if (!existsSync(path)) return null;
    const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
    return `${version}, node ${process.versions.node}`;
  },

  async start(directory: string): Promise<RunningBroker> {
    const child = await BrokerProcess.start(process.execPath, ['--max-old-space-size=4096', aedesProgram], directory);
    const { listening } = JSON.parse(await child.firstJsonLine(startTimeoutMs)) as {
      listening: { mqtt: number; http: number };
    };
    return {
      process: child,
      mqttPort: listening.mqtt,
      stompPort: 0,
      websocketPort: listening.http,
      websocketPath: '/mqtt',
      user: '',
      password: '',
      loopDelayPath: '',
      stop: () => child.stop(),
    };
  },
};
