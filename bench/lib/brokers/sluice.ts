// This broker, as built, with its defaults.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brokerProgram, loopDelayProgram, repositoryRoot } from '../paths.ts';
import type { BenchBroker, RunningBroker } from './broker.ts';
import { BrokerProcess } from './process.ts';

const startTimeoutMs = 20_000;

/** The line of JSON that `start --json` prints once it listens. */
interface Started {
  listening: { name: string; host: string; port: number }[];
  pid: number;
}

/** This broker under another name, with settings (PATH=VALUE) that differ from its defaults. */
export const sluiceWith = (name: string, settings: readonly string[]): BenchBroker => ({
  name,
  capabilities: ['mqtt', 'mqtt5', 'mqtt-qos2', 'mqtt-websocket', 'stomp'],
  settings: settings.length === 0 ? 'defaults' : settings.join(', '),
  warmupMsMin: 0,
  isShared: false,

  version(): string | null {
    if (!existsSync(brokerProgram)) return null;
    const { version } = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')) as { version: string };
    return `${version}, node ${process.versions.node}`;
  },

  async start(directory: string): Promise<RunningBroker> {
    const loopDelayPath = join(directory, 'loop-delay.json');
    const anyPort = '127.0.0.1:0';
    const child = await BrokerProcess.start(
      process.execPath,
      [
        '--import',
        pathToFileURL(loopDelayProgram).href,
        brokerProgram,
        'start',
        '--json',
        '--mqtt',
        anyPort,
        '--stomp',
        anyPort,
        '--http',
        anyPort,
        '--data',
        join(directory, 'data'),
        ...settings.flatMap((setting) => ['--set', setting]),
      ],
      directory,
      { BENCH_LOOP_DELAY: loopDelayPath },
    );
    const { listening } = JSON.parse(await child.firstJsonLine(startTimeoutMs)) as Started;
    const portOf = (name: string): number => listening.find((listener) => listener.name === name)?.port ?? 0;
    return {
      process: child,
      mqttPort: portOf('mqtt'),
      stompPort: portOf('stomp'),
      websocketPort: portOf('http'),
      websocketPath: '/mqtt',
      user: '',
      password: '',
      loopDelayPath,
      stop: () => child.stop(),
    };
  },
});

export const sluice = sluiceWith('sluice', []);
