// ActiveMQ Classic as Debian packages it, where it is installed: MQTT (needs libmqtt-client-java beside it) and STOMP
// over NIO, KahaDB with its journal synced on every write. The package has no Jetty, hence no WebSocket.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchBroker, RunningBroker } from './broker.ts';
import { BrokerProcess, firstExisting, freePorts, outputOf, packageVersion } from './process.ts';

const startTimeoutMs = 60_000;
const launcher = '/usr/share/activemq/bin/activemq.jar';
const java = ['/usr/bin/java', '/usr/local/bin/java'];
const mqttCodec = [
  '/usr/share/java/mqtt-client.jar',
  '/usr/share/java/hawtdispatch.jar',
  '/usr/share/java/hawtdispatch-transport.jar',
];

export const activemq: BenchBroker = {
  name: 'activemq',
  capabilities: firstExisting(mqttCodec) === null ? ['stomp'] : ['mqtt', 'mqtt-qos2', 'stomp'],
  settings: 'NIO transports, heap 1 to 4 GiB, KahaDB synced on every write; one process for all runs',
  warmupMsMin: 4000,
  isShared: true,

  version(): string | null {
    if (firstExisting([launcher]) === null || firstExisting(java) === null) return null;
    const runtime = /version "([^"]+)"/.exec(outputOf(firstExisting(java)!, ['-version']))?.[1];
    return `${packageVersion('activemq')}, Java ${runtime ?? 'unknown'}`;
  },

  async start(directory: string): Promise<RunningBroker> {
    const [mqtt = 0, stomp = 0] = await freePorts(2);
    writeFileSync(join(directory, 'activemq.xml'), configuration(directory, mqtt, stomp));
    writeFileSync(
      join(directory, 'log4j2.properties'),
      [
        'appender.console.type=Console',
        'appender.console.name=console',
        'rootLogger.level=warn',
        'rootLogger.appenderRef.console.ref=console\n',
      ].join('\n'),
    );
    const properties = {
      'activemq.home': '/usr/share/activemq',
      'activemq.base': directory,
      'activemq.conf': directory,
      'activemq.data': join(directory, 'data'),
      'activemq.classpath': [directory, ...mqttCodec].join(':'),
      'java.io.tmpdir': directory,
      'java.awt.headless': 'true',
    };
    const child = await BrokerProcess.start(
      firstExisting(java)!,
      [
        '-Xms1G',
        '-Xmx4G',
        ...['java.base/java.lang', 'java.base/java.util'].map((name) => `--add-opens=${name}=ALL-UNNAMED`),
        ...Object.entries(properties).map(([key, value]) => `-D${key}=${value}`),
        '-jar',
        launcher,
        'start',
        `xbean:file:${join(directory, 'activemq.xml')}`,
      ],
      directory,
    );
    for (const port of [mqtt, stomp]) await child.untilListening(port, startTimeoutMs);
    return {
      process: child,
      mqttPort: mqtt,
      stompPort: stomp,
      websocketPort: 0,
      websocketPath: '',
      user: '',
      password: '',
      loopDelayPath: '',
      stop: () => child.stop(),
    };
  },
};

function configuration(directory: string, mqttPort: number, stompPort: number): string {
  const connector = (name: string, port: number): string =>
    `<transportConnector name="${name}" uri="${name}+nio://127.0.0.1:${port}?maximumConnections=65536"/>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="bench" dataDirectory="${directory}/data" useJmx="false">
    <persistenceAdapter><kahaDB directory="${directory}/data/kahadb" journalDiskSyncStrategy="always"/></persistenceAdapter>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage percentOfJvmHeap="70"/></memoryUsage>
      <storeUsage><storeUsage limit="10 gb"/></storeUsage>
      <tempUsage><tempUsage limit="5 gb"/></tempUsage>
    </systemUsage></systemUsage>
    <transportConnectors>${connector('mqtt', mqttPort)}${connector('stomp', stompPort)}</transportConnectors>
  </broker>
</beans>
`;
}
