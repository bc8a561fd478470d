// Wills, on real bytes: when they are published, and as what.
import { describe, expect, test } from 'vitest';
import { type Connect, connect, disconnect, properties, will } from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { wire } from '../protocols/mqtt/wire.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { World } from '../support/world.ts';

const { V311, V5 } = ProtocolVersion;
const BOTH = [
  ['3.1.1', V311],
  ['5.0', V5],
] as const;

async function watched(): Promise<{ world: World; watcher: MqttClient }> {
  const world = await new World().open();
  const watcher = MqttClient.connected(world, 'w');
  watcher.subscribe('gone/#', 2);
  return { world, watcher };
}

const BYE = { payload: Buffer.from('bye') };

/** With a will that waits so long, and a session that does. */
function delayed(delayS: number, expiryS: number): Partial<Connect> {
  return {
    clean: false,
    properties: properties({ sessionExpiryIntervalS: expiryS }),
    will: will('gone/c', { ...BYE, properties: properties({ willDelayIntervalS: delayS }) }),
  };
}

describe('a will', () => {
  test.each(BOTH)(
    '%s: is published when the connection ends without DISCONNECT, once, and not otherwise [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3] [3.1.1 MQTT-3.1.2-8] [3.1.1 MQTT-3.1.2-10] [3.1.1 MQTT-3.1.2-12] [3.1.1 MQTT-3.14.4-3]',
    async (_, protocolVersion) => {
      const { world, watcher } = await watched();
      const connected = (fields: Partial<Connect> = { will: will('gone/c', BYE) }) =>
        MqttClient.connected(world, 'c', { protocolVersion, ...fields });
      connected().hangUp();
      expect(watcher.texts()).toEqual(['gone/c bye']);
      const rude = connected();
      rude.sendBytes(wire('c1 []'));
      expect(watcher.texts()).toEqual(['gone/c bye']);
      connected({ will: will('gone/c', BYE), keepAliveS: 1 });
      world.advance(2000);
      expect(watcher.texts()).toEqual(['gone/c bye']);
      connected();
      connected({});
      expect(watcher.texts()).toEqual(['gone/c bye']);
      connected().send(disconnect());
      connected({ will: null }).hangUp();
      world.advance(100_000);
      expect(watcher.texts()).toEqual([]);
    },
  );

  test('for whose retained message there is no room is published all the same, and the operator is told', () => {
    const world = new World({ limits: { retained: { countMax: 1, bytesMax: 1000 } } });
    const watcher = MqttClient.connected(world, 'w');
    watcher.subscribe('gone/#');
    for (const id of ['a', 'b']) {
      MqttClient.connected(world, id, { will: will(`gone/${id}`, { ...BYE, retain: true }) }).hangUp();
    }
    expect(watcher.texts()).toEqual(['gone/a bye', 'gone/b bye']);
    expect(MqttClient.connected(world, 'x').subscribe('gone/#')).toMatchObject([{}, { topic: 'gone/a' }]);
    expect(world.logger.lines.filter(({ level }) => level === 'warn')).toMatchObject([
      {
        fields: { clientId: 'b' },
        message: expect.stringMatching(/^will published, but not retained: .*retained\.max/),
      },
    ]);
  });

  test('that a full queue refuses is neither kept nor retained, and the operator is told', () => {
    const world = new World();
    const reader = MqttClient.connected(world, 'r', { properties: properties({ receiveMaximum: 1 }) });
    reader.consumeLimited('q');
    const vhost = world.broker.vhosts.get('/')!;
    vhost.bind(TOPIC_EXCHANGE, vhost.queues.get('q')!, '#');
    // One is on its way to the reader, one waits.
    const publisher = MqttClient.connected(world, 'p');
    for (const packetId of [1, 2]) publisher.publish('full', 'x', { qos: 1, packetId });
    expect(reader.messages()).toHaveLength(1);
    MqttClient.connected(world, 'c', { will: will('gone/c', { ...BYE, qos: 1, retain: true }) }).hangUp();
    expect(reader.messages()).toEqual([]);
    expect(MqttClient.connected(world, 'x').subscribe('gone/#')).toHaveLength(1);
    expect(world.logger.lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { fields: { clientId: 'c' }, message: expect.stringMatching(/^will not published: a queue is full/) },
    ]);
  });

  test('DISCONNECT with a reason other than 0 has it published', async () => {
    const { world, watcher } = await watched();
    MqttClient.connected(world, 'c', { will: will('gone/c', BYE) }).send(disconnect(0x04));
    expect(watcher.texts()).toEqual(['gone/c bye']);
  });

  test.each(BOTH)(
    '%s: has its QoS, and is retained when it says so [MQTT-3.1.2-14] [MQTT-3.1.2-15] [3.1.1 MQTT-3.1.2-16] [3.1.1 MQTT-3.1.2-17]',
    async (_, protocolVersion) => {
      for (const retain of [false, true]) {
        for (const qos of [0, 1, 2] as const) {
          const { world, watcher } = await watched();
          MqttClient.connected(world, 'c', { protocolVersion, will: will('gone/c', { ...BYE, qos, retain }) }).hangUp();
          expect(watcher.messages()).toMatchObject([{ qos, retain: false }]);
          const late = MqttClient.connected(world, 'l').subscribe('gone/c', 2);
          expect(late.slice(1)).toMatchObject(retain ? [{ type: PacketType.PUBLISH, qos, retain: true }] : []);
        }
      }
    },
  );

  test('has all its properties, user properties in order [MQTT-3.1.3-10] [MQTT-3.1.2-9]', async () => {
    const { world, watcher } = await watched();
    const sent = {
      payloadFormat: 1,
      messageExpiryIntervalS: 100,
      contentType: 'text/plain',
      responseTopic: 'r',
      userProperties: ['b', '1', 'a', '2', 'b', '1'],
    };
    MqttClient.connected(world, 'c', {
      will: will('gone/c', { ...BYE, properties: properties({ ...sent, correlationData: Buffer.from([1, 0]) }) }),
    }).hangUp();
    const [message] = watcher.messages();
    expect(message!.properties).toMatchObject({ ...sent, willDelayIntervalS: null });
    expect([...message!.properties.correlationData!]).toEqual([1, 0]);
  });

  test('waits for its delay, or the end of the session when that comes first [MQTT-3.1.2-8]', async () => {
    for (const [delayS, expiryS, afterS] of [
      [50, 100, 50],
      [100, 50, 50],
      [50, 0, 0],
      [0, 50, 0],
    ] as const) {
      const { world, watcher } = await watched();
      MqttClient.connected(world, 'c', delayed(delayS, expiryS)).hangUp();
      world.advance(Math.max(0, afterS * 1000 - 500));
      expect(watcher.texts()).toEqual(afterS === 0 ? ['gone/c bye'] : []);
      world.advance(1000);
      expect(watcher.texts()).toEqual(afterS === 0 ? [] : ['gone/c bye']);
    }
  });

  test('is not sent when the client is back before its delay is over, and is when it begins anew [MQTT-3.1.3-9]', async () => {
    for (const clean of [false, true]) {
      const { world, watcher } = await watched();
      MqttClient.connected(world, 'c', delayed(50, 100)).hangUp();
      world.advance(40_000);
      const again = MqttClient.connected(world, 'c', { clean });
      expect(watcher.texts()).toEqual(clean ? ['gone/c bye'] : []);
      again.send(disconnect());
      world.advance(100_000);
      expect(watcher.texts()).toEqual([]);
    }
  });

  test('of a session that is taken over waits as of one that is cut off', async () => {
    const { world, watcher } = await watched();
    MqttClient.connected(world, 'c', delayed(0, 100));
    MqttClient.connected(world, 'c', delayed(50, 100));
    expect(watcher.texts()).toEqual(['gone/c bye']);
    const third = MqttClient.connected(world, 'c', { clean: false });
    expect(watcher.texts()).toEqual([]);
    third.send(disconnect());
    world.advance(100_000);
    expect(watcher.texts()).toEqual([]);
  });

  test('to a topic that may not be published to is dropped; with a wildcard it is refused', async () => {
    const { world, watcher } = await watched();
    MqttClient.connected(world, 'c', { will: will('$SYS/x', BYE) }).hangUp();
    expect(watcher.texts()).toEqual([]);
    const refused = new MqttClient(world);
    refused.send(connect({ clientId: 'd' }));
    refused.receive();
    const bytes = new MqttClient(world);
    bytes.sendBytes(wire("10 [<'MQTT'> 05 06 0000 00 <'d'> 00 <'a/+'> <'m'>]"));
    expect(bytes.receive()).toMatchObject([{ type: PacketType.CONNACK, reasonCode: 0x90 }]);
  });
});
