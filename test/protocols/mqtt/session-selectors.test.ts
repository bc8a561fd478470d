import { describe, expect, test } from 'vitest';
import {
  connect,
  type Publish,
  properties,
  puback,
  type Suback,
  type Subscription,
  subscribe,
  subscription,
} from '../../../protocols/mqtt/packet.ts';
import { PacketType } from '../../../protocols/mqtt/packet-type.ts';
import { DurableWorld } from '../../support/durable-world.ts';
import { MqttClient } from '../../support/mqtt-client.ts';
import { World } from '../../support/world.ts';

function ask(client: MqttClient, filter: string, selector: string, qos: 0 | 1 = 0, fields: Partial<Subscription> = {}) {
  const props = properties({ userProperties: ['x-selector', selector] });
  client.send(subscribe(7, [subscription(filter, qos, fields)], props));
}

/** Returns the reason code. */
function select(
  client: MqttClient,
  filter: string,
  selector: string,
  qos: 0 | 1 = 0,
  fields: Partial<Subscription> = {},
): number {
  ask(client, filter, selector, qos, fields);
  const answer = client.receive().find((packet): packet is Suback => packet.type === PacketType.SUBACK)!;
  return answer.reasonCodes[0]!;
}

function n(value: number, fields: Partial<Publish> = {}): Partial<Publish> {
  return { properties: properties({ userProperties: ['n', String(value)] }), ...fields };
}

describe('the user property x-selector', () => {
  test('lets a subscription have only what it selects', () => {
    const world = new World();
    const [reader, writer] = [MqttClient.connected(world, 'r'), MqttClient.connected(world, 'w')];
    expect(select(reader, 'a/#', 'n > 1')).toBe(0);
    for (let i = 0; i < 4; i++) writer.publish('a/b', String(i), n(i));
    expect(reader.texts()).toEqual(['a/b 2', 'a/b 3']);
  });

  test('that is wrong is refused with a reason code of its own', () => {
    const world = new World();
    const reader = MqttClient.connected(world, 'r');
    expect(select(reader, 'a', 'n >')).toBe(0x83);
    expect(world.broker.vhosts.get('/')!.sessions.get('r')!.subscriptions.size).toBe(0);
  });

  test('counts for its own subscription only, where several overlap, which still give one copy', () => {
    const world = new World();
    const [reader, writer] = [MqttClient.connected(world, 'r'), MqttClient.connected(world, 'w')];
    select(reader, 'a/#', 'n > 1', 1);
    select(reader, 'a/+', 'n > 2', 0);
    for (let i = 0; i < 4; i++) writer.publish('a/b', String(i), n(i, { qos: 1 }));
    expect(reader.texts()).toEqual(['a/b 2', 'a/b 3']);
    reader.subscribe('a/b');
    for (let i = 0; i < 4; i++) writer.publish('a/b', String(i), n(i, { qos: 1 }));
    const got = reader.messages();
    expect(got.map(({ payload, qos }) => `${Buffer.from(payload).toString()}:${qos}`)).toEqual([
      '0:0',
      '1:0',
      '2:1',
      '3:1',
    ]);
  });

  test('is replaced with its subscription', () => {
    const world = new World();
    const [reader, writer] = [MqttClient.connected(world, 'r'), MqttClient.connected(world, 'w')];
    select(reader, 'a', 'n = 1');
    select(reader, 'a', 'n = 2');
    for (let i = 0; i < 4; i++) writer.publish('a', String(i), n(i));
    expect(reader.texts()).toEqual(['a 2']);
    reader.subscribe('a');
    for (let i = 0; i < 4; i++) writer.publish('a', String(i), n(i));
    expect(reader.texts()).toHaveLength(4);
  });

  test('judges retained messages, and those of a client that says no local', () => {
    const world = new World();
    const [reader, writer] = [MqttClient.connected(world, 'r'), MqttClient.connected(world, 'w')];
    writer.publish('a/1', 'one', n(1, { retain: true }));
    writer.publish('a/2', 'two', n(2, { retain: true }));
    ask(reader, 'a/#', 'n = 2', 0, { noLocal: true });
    expect(reader.texts()).toEqual(['a/2 two']);
    reader.publish('a/2', 'mine', n(2));
    writer.publish('a/2', 'yours', n(2));
    expect(reader.texts()).toEqual(['a/2 yours']);
  });

  test('lets the consumers of a queue and of a share group have each what they select', () => {
    const world = new World();
    const [low, high, writer] = [
      MqttClient.connected(world, 'l'),
      MqttClient.connected(world, 'h'),
      MqttClient.connected(world, 'w'),
    ];
    for (const filter of ['$queue/q', '$share/g/t']) {
      const topic = filter === '$queue/q' ? filter : 't';
      select(low, filter, 'n < 2', 1);
      select(high, filter, 'n >= 2', 1);
      for (let i = 0; i < 4; i++) writer.publish(topic, String(i), n(i, { qos: 1 }));
      expect(low.texts()).toEqual([`${topic} 0`, `${topic} 1`]);
      expect(high.texts()).toEqual([`${topic} 2`, `${topic} 3`]);
    }
  });

  test('outlives a crash with its session', async () => {
    const durable = await DurableWorld.start();
    const session = { clean: false, properties: properties({ sessionExpiryIntervalS: 1000 }) };
    const reader = MqttClient.connected(durable.world, 'r', session);
    ask(reader, 'a', 'n = 1', 1);
    ask(reader, '$queue/q', 'n = 1', 1);
    await durable.settle();
    const world = await durable.crash();
    const writer = MqttClient.connected(world, 'w');
    for (let i = 0; i < 3; i++)
      for (const topic of ['a', '$queue/q']) writer.publish(topic, String(i), n(i, { qos: 1 }));
    await durable.settle();
    const again = new MqttClient(world);
    again.send(connect({ clientId: 'r', ...session }));
    await durable.settle();
    const got = again.messages();
    expect(got.map(({ topic }) => topic).sort()).toEqual(['$queue/q', 'a']);
    expect(got.every(({ payload }) => Buffer.from(payload).toString() === '1')).toBe(true);
    again.send(...got.map(({ packetId }) => puback(packetId)));
  });
});
