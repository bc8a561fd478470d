// RabbitMQ, where it is installed: one node with the MQTT, Web MQTT and STOMP plugins, its own epmd beside it,
// everything on loopback. Its schedulers do not spin while they wait, since that would count as work. Its QoS 2 is
// granted as 1.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchBroker, RunningBroker } from './broker.ts';
import { BrokerProcess, firstExisting, freePorts, packageVersion } from './process.ts';

const startTimeoutMs = 120_000;
const places = ['/usr/lib/rabbitmq/bin/rabbitmq-server', '/opt/homebrew/sbin/rabbitmq-server'];
const epmdPlaces = ['/usr/bin/epmd', '/usr/local/bin/epmd', '/opt/homebrew/bin/epmd'];

export const rabbitmq: BenchBroker = {
  name: 'rabbitmq',
  capabilities: ['mqtt', 'mqtt-websocket', 'stomp'],
  settings: 'mqtt.prefetch 1000, scheduler busy waiting off; one process for all runs',
  warmupMsMin: 2000,
  isShared: true,

  version(): string | null {
    if (firstExisting(places) === null || firstExisting(epmdPlaces) === null) return null;
    return packageVersion('rabbitmq-server');
  },

  async start(directory: string): Promise<RunningBroker> {
    const [amqp = 0, mqtt = 0, stomp = 0, web = 0, distribution = 0, epmd = 0] = await freePorts(6);
    const settings = {
      'listeners.tcp.default': `127.0.0.1:${amqp}`,
      'mqtt.listeners.tcp.default': `127.0.0.1:${mqtt}`,
      'mqtt.allow_anonymous': true,
      'mqtt.default_user': 'guest',
      'mqtt.default_pass': 'guest',
      'mqtt.prefetch': 1000,
      'stomp.listeners.tcp.default': `127.0.0.1:${stomp}`,
      'web_mqtt.tcp.ip': '127.0.0.1',
      'web_mqtt.tcp.port': web,
      'log.console': false,
      'log.file.level': 'warning',
      'disk_free_limit.absolute': '500MB',
    };
    const path = join(directory, 'rabbitmq.conf');
    writeFileSync(
      path,
      Object.entries(settings)
        .map(([key, value]) => `${key} = ${value}\n`)
        .join(''),
    );
    const environment = {
      HOME: directory,
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(epmd),
      RABBITMQ_NODENAME: 'bench@localhost',
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_CONFIG_FILE: path,
      RABBITMQ_MNESIA_BASE: join(directory, 'data'),
      RABBITMQ_LOG_BASE: directory,
      RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins'),
      RABBITMQ_ENABLED_PLUGINS: 'rabbitmq_mqtt,rabbitmq_web_mqtt,rabbitmq_stomp',
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none',
    };
    const names = await BrokerProcess.start(
      firstExisting(epmdPlaces)!,
      ['-address', '127.0.0.1', '-port', String(epmd)],
      directory,
      {},
      'epmd',
    );
    try {
      const child = await BrokerProcess.start(firstExisting(places)!, [], directory, environment);
      for (const port of [mqtt, stomp, web]) await child.untilListening(port, startTimeoutMs);
      return {
        process: child,
        mqttPort: mqtt,
        stompPort: stomp,
        websocketPort: web,
        websocketPath: '/ws',
        user: 'guest',
        password: 'guest',
        loopDelayPath: '',
        stop: async () => {
          await child.stop();
          await names.stop();
        },
      };
    } catch (error) {
      await names.stop();
      throw error;
    }
  },
};
