// nats-server, where it is installed: its MQTT and WebSocket listeners on JetStream in files. Version 2.9 has no QoS 2.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchBroker, RunningBroker } from './broker.ts';
import { BrokerProcess, firstExisting, freePorts, outputOf } from './process.ts';

const startTimeoutMs = 15_000;
const places = [
  '/usr/sbin/nats-server',
  '/usr/local/bin/nats-server',
  '/usr/bin/nats-server',
  '/opt/homebrew/bin/nats-server',
];

export const nats: BenchBroker = {
  name: 'nats',
  capabilities: ['mqtt', 'mqtt-websocket'],
  settings: 'JetStream in files, max_pending 2GB, mqtt.max_ack_pending 65535',
  warmupMsMin: 0,
  isShared: false,

  version(): string | null {
    const program = firstExisting(places);
    if (program === null) return null;
    return /v(\d\S*)/.exec(outputOf(program, ['--version']))?.[1] ?? 'unknown';
  },

  async start(directory: string): Promise<RunningBroker> {
    const [clientPort = 0, mqttPort = 0, websocketPort = 0] = await freePorts(3);
    const configuration = {
      server_name: 'bench',
      host: '127.0.0.1',
      port: clientPort,
      max_connections: 65_536,
      max_pending: 2 * 1024 ** 3,
      write_deadline: '60s',
      jetstream: { store_dir: join(directory, 'data') },
      mqtt: { host: '127.0.0.1', port: mqttPort, ack_wait: '60s', max_ack_pending: 65_535 },
      websocket: { host: '127.0.0.1', port: websocketPort, no_tls: true },
    };
    const path = join(directory, 'nats.conf'); // Its configuration format has JSON as a subset.
    writeFileSync(path, JSON.stringify(configuration));
    const child = await BrokerProcess.start(firstExisting(places)!, ['-c', path], directory);
    await child.untilListening(mqttPort, startTimeoutMs);
    return {
      process: child,
      mqttPort,
      stompPort: 0,
      websocketPort,
      websocketPath: '/mqtt',
      user: '',
      password: '',
      loopDelayPath: '',
      stop: () => child.stop(),
    };
  },
};
