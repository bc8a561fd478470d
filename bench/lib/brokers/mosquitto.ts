// Eclipse Mosquitto, where it is installed. Its limits that would drop messages are lifted, and TCP_NODELAY is on, as
// in every other broker here: with its default (off) the kernel gathers its small writes, at the price of 40 ms in the
// latencies. No WebSocket: its listener ignores the bind address.

import { writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { BenchBroker, RunningBroker } from './broker.ts';
import { BrokerProcess, firstExisting, freePorts, outputOf } from './process.ts';

const startTimeoutMs = 10_000;
const places = [
  '/usr/sbin/mosquitto',
  '/usr/local/sbin/mosquitto',
  '/usr/bin/mosquitto',
  '/opt/homebrew/sbin/mosquitto',
];

export const mosquitto: BenchBroker = {
  name: 'mosquitto',
  capabilities: ['mqtt', 'mqtt5', 'mqtt-qos2'],
  settings: 'set_tcp_nodelay true, max_queued_messages 0, max_inflight_messages 0, no persistence',
  warmupMsMin: 0,
  isShared: false,

  version(): string | null {
    const program = firstExisting(places);
    if (program === null) return null;
    return /version (\S+)/.exec(outputOf(program, ['-h']))?.[1] ?? 'unknown';
  },

  async start(directory: string): Promise<RunningBroker> {
    const [port = 0] = await freePorts(1);
    const configuration = [
      `user ${userInfo().username}`,
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'max_connections -1',
      'max_queued_messages 0',
      'max_queued_bytes 0',
      'max_inflight_messages 0',
      'set_tcp_nodelay true',
      'persistence false',
      'log_type error',
      'log_type warning',
    ];
    const path = join(directory, 'mosquitto.conf');
    writeFileSync(path, `${configuration.join('\n')}\n`);
    const child = await BrokerProcess.start(firstExisting(places)!, ['-c', path], directory);
    await child.untilListening(port, startTimeoutMs);
    return {
      process: child,
      mqttPort: port,
      stompPort: 0,
      websocketPort: 0,
      websocketPath: '',
      user: '',
      password: '',
      loopDelayPath: '',
      stop: () => child.stop(),
    };
  },
};
