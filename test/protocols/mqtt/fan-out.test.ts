// One message for many: whoever gets it gets the same bytes, whatever else is on the way to him.
import { expect, test } from 'vitest';
import { publish } from '../../../protocols/mqtt/packet.ts';
import { MqttClient } from '../../support/mqtt-client.ts';
import { World } from '../../support/world.ts';

test('each of many subscribers gets all of his topics in order, those that others share and his own', () => {
  const world = new World();
  const clients = Array.from({ length: 300 }, (_, i) => {
    const client = MqttClient.connected(world, `s${i}`);
    client.subscribe('all');
    client.subscribe(`own/${i % 3}`);
    return client;
  });
  const publisher = MqttClient.connected(world, 'p');
  const orders = [
    ['all', 'all', 'all'],
    ['own/0', 'all', 'own/1', 'all', 'all'],
    ['all', 'own/1', 'own/2', 'all'],
    ['all'],
  ];
  let number = 0;
  for (const order of orders) {
    const packets = order.map((topic) => publish(topic, { payload: Buffer.from(`${topic} ${number++} `.repeat(20)) }));
    publisher.send(...packets);
    for (const [i, client] of clients.entries()) {
      const his = packets.filter(({ topic }) => topic === 'all' || topic === `own/${i % 3}`);
      expect(client.texts()).toEqual(his.map(({ topic, payload }) => `${topic} ${Buffer.from(payload)}`));
    }
  }
});
