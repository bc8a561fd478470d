// The figures of the broker as a client sees them.
import { expect, test } from 'vitest';
import { disconnect, unsubscribe } from '../../protocols/mqtt/packet.ts';
import { PacketType } from '../../protocols/mqtt/packet-type.ts';
import { SysTopics } from '../../src/server/sys-topics.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { World } from '../support/world.ts';

function figures(world: World): SysTopics {
  return new SysTopics({
    broker: world.broker,
    clock: world.clock,
    version: 'sluice version 1.2.3',
    intervalMs: 10_000,
    figures: () => ({ connections: world.mqttAdapter.connectionCount, bytesSent: world.mqttAdapter.bytesSent }),
  });
}

test('are retained for whoever subscribes, and published when they have changed', () => {
  const world = new World();
  const sys = figures(world);
  sys.tick();
  const watcher = MqttClient.connected(world, 'w');
  const retained = watcher.subscribe('$SYS/broker/#').filter((packet) => packet.type === PacketType.PUBLISH);
  const value = (topic: string, of = retained) => {
    const found = of.find((message) => message.topic === `$SYS/broker/${topic}`);
    return found === undefined ? undefined : Buffer.from(found.payload).toString();
  };
  expect(retained.every((message) => message.retain)).toBe(true);
  expect(value('version')).toBe('sluice version 1.2.3');
  expect(value('clients/connected')).toBe('0');
  const publisher = MqttClient.connected(world, 'p');
  publisher.subscribe('a', 1);
  publisher.publish('a', 'x', { retain: true });
  world.advance(9_000);
  sys.tick();
  expect(watcher.messages()).toEqual([]);
  world.advance(1_000);
  sys.tick();
  const changed = watcher.messages();
  expect(value('uptime', changed)).toBe('10 seconds');
  expect(value('clients/connected', changed)).toBe('2');
  expect(value('subscriptions/count', changed)).toBe('2');
  expect(value('publish/messages/received', changed)).toBe('1');
  expect(Number(value('bytes/sent', changed))).toBeGreaterThan(10);
  expect(value('version', changed)).toBeUndefined();
  expect(changed.every((message) => !message.retain)).toBe(true);
});

test('are not matched by a wildcard in the first level, and take no publishes', () => {
  const world = new World();
  const client = MqttClient.connected(world, 'c');
  client.subscribe('#');
  figures(world).tick();
  expect(client.messages()).toEqual([]);
  client.publish('$SYS/broker/version', 'mine', { qos: 1 });
  expect(client.receive()).toMatchObject([{ reasonCode: 0x87 }]);
});

test('count subscriptions as they come, are replaced and go, those of share groups apart', () => {
  const world = new World();
  const sys = figures(world);
  const watcher = MqttClient.connected(world, 'w');
  const counted = () => {
    world.advance(10_000);
    sys.tick();
    const { sessions } = world.broker.addVhost('/');
    const held = [...sessions.values()].flatMap((session) => [...session.subscriptions.values()]);
    // What is counted one by one is what a look at all of them shows.
    expect(sessions.subscriptionCount).toBe(held.length);
    expect(sessions.sharedCount).toBe(held.filter(({ queue }) => queue?.name.startsWith('$share/')).length);
    return [sessions.subscriptionCount, sessions.sharedCount];
  };
  expect(counted()).toEqual([0, 0]);
  watcher.subscribe('$SYS/broker/+/count');
  const client = MqttClient.connected(world, 'c');
  client.subscribe('a', 1);
  client.subscribe('a', 0);
  client.subscribe('$share/g/a', 1);
  client.subscribe('$share/g/b', 1);
  client.subscribe('$share/g/b', 0);
  expect(counted()).toEqual([4, 2]);
  const shown = new Map(watcher.messages().map(({ topic, payload }) => [topic, Buffer.from(payload).toString()]));
  expect(shown.get('$SYS/broker/subscriptions/count')).toBe('4');
  expect(shown.get('$SYS/broker/shared_subscriptions/count')).toBe('2');
  client.send(unsubscribe(9, ['a', 'a', '$share/g/b']));
  expect(counted()).toEqual([2, 1]);
  client.send(disconnect(0));
  expect(counted()).toEqual([1, 0]);
});
