// SUBSCRIBE and UNSUBSCRIBE, on real bytes: options, codes, overlapping, shared and exclusive subscriptions, named queues.
import { describe, expect, test } from 'vitest';
import {
  connect,
  type Packet,
  type Publish,
  properties,
  puback,
  pubcomp,
  pubrec,
  subscribe,
  subscription,
  unsubscribe,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { wire } from '../protocols/mqtt/wire.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { World } from '../support/world.ts';

const { V311, V5 } = ProtocolVersion;
const BOTH = [
  ['3.1.1', V311],
  ['5.0', V5],
] as const;
const KEEP = { clean: false, properties: properties({ sessionExpiryIntervalS: 1000 }) };

function textOf({ payload }: Publish): string {
  return Buffer.from(payload).toString();
}

function publishes(packets: readonly Packet[]): Publish[] {
  return packets.filter((packet) => packet.type === PacketType.PUBLISH);
}

function queuesOf(world: World): string[] {
  return [...world.broker.vhosts.get('/')!.queues.keys()];
}

describe('SUBSCRIBE', () => {
  test.each(BOTH)(
    '%s: several filters are as several packets, with one answer that has their codes in order [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [3.1.1 MQTT-2.3.1-7] [3.1.1 MQTT-3.8.4-1] [3.1.1 MQTT-3.8.4-2] [3.1.1 MQTT-3.8.4-4] [3.1.1 MQTT-3.8.4-5] [3.1.1 MQTT-3.9.3-1] [3.1.1 MQTT-3.9.3-2]',
    (_, protocolVersion) => {
      const client = MqttClient.connected(new World(), 'c', { protocolVersion });
      const filters = ['a', 'b/#', 'c/#/d', 'd/+', '$queue/x', '$CONTROL/x'];
      client.send(
        subscribe(
          65_535,
          filters.map((filter, i) => subscription(filter, (i % 3) as 0 | 1 | 2)),
        ),
      );
      const failures = protocolVersion === V5 ? [0x8f, 0x87] : [0x80, 0x80];
      expect(client.receive()).toMatchObject([
        { type: PacketType.SUBACK, packetId: 65_535, reasonCodes: [0, 1, failures[0], 0, 1, failures[1]] },
      ]);
    },
  );

  test.each(BOTH)(
    '%s: the same filter again replaces the subscription, sends retained messages again and loses nothing [MQTT-3.8.4-3] [MQTT-3.8.4-4] [MQTT-3.8.4-8] [3.1.1 MQTT-3.8.4-3] [3.1.1 MQTT-3.8.4-6]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      const publisher = MqttClient.connected(world, 'p');
      publisher.publish('a', 'retained', { retain: true, qos: 2 });
      expect(publishes(client.subscribe('a', 0)).map(({ qos }) => qos)).toEqual([0]);
      publisher.publish('a', '1', { qos: 2 });
      expect(publishes(client.subscribe('a', 2)).map((message) => `${textOf(message)} ${message.qos}`)).toEqual([
        '1 0',
        'retained 2',
      ]);
      publisher.publish('a', '2', { qos: 2 });
      expect(client.messages().map((message) => `${textOf(message)} ${message.qos}`)).toEqual(['2 2']);
      client.subscribe('a', 1);
      for (const qos of [0, 1, 2] as const) publisher.publish('a', 'x', { qos });
      expect(client.messages().map(({ qos }) => qos)).toEqual([0, 1, 1]);
      expect(world.broker.vhosts.get('/')!.sessions.get('c')!.subscriptions.size).toBe(1);
    },
  );

  test('Retain Handling: 0 sends, 1 only to a new subscription, 2 does not [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]', () => {
    const world = new World();
    MqttClient.connected(world, 'p').publish('r', 'x', { retain: true });
    const client = MqttClient.connected(world, 'c');
    const sent = (retainHandling: 0 | 1 | 2) => publishes(client.subscribe('r', 0, { retainHandling })).length;
    expect([sent(2), sent(1), sent(0), sent(1)]).toEqual([0, 0, 1, 0]);
    client.send(unsubscribe(9, ['r']));
    expect(sent(1)).toBe(1);
  });

  test('No Local keeps a client from its own messages, and others not [MQTT-3.8.3-3]', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c');
    const other = MqttClient.connected(world, 'o');
    client.subscribe('a/+', 1, { noLocal: true });
    for (const qos of [0, 1, 2] as const) {
      client.publish('a/1', 'own', { qos });
      other.publish('a/1', 'theirs', { qos });
    }
    expect(client.messages().map(textOf)).toEqual(['theirs', 'theirs', 'theirs']);
    client.subscribe('a/1', 1, {}, 5);
    client.publish('a/1', 'own', { qos: 1 });
    const [message] = client.messages();
    expect(message!.properties.subscriptionIdentifiers).toEqual([5]);
  });

  test.each([
    ['no filter [MQTT-3.8.3-2]', '82 [0001 00]', 0x82],
    ['a filter that is not UTF-8 [MQTT-3.8.3-1]', '82 [0001 00 <ff> 00]', 0x81],
    ['a filter with U+0000 [MQTT-3.8.3-1] [MQTT-4.7.3-2]', "82 [0001 00 <'a' 00> 00]", 0x81],
    ['options that are missing', "82 [0001 00 <'a'>]", 0x81],
    ['reserved bits in the options [MQTT-3.8.3-5]', "82 [0001 00 <'a'> 40]", 0x81],
    ['the other reserved bit [MQTT-3.8.3-5]', "82 [0001 00 <'a'> 80]", 0x81],
    ['a QoS of 3', "82 [0001 00 <'a'> 03]", 0x82],
    ['a Retain Handling of 3', "82 [0001 00 <'a'> 30]", 0x82],
    ['No Local on a shared subscription [MQTT-3.8.3-4]', "82 [0001 00 <'$share/g/a'> 04]", 0x82],
    ['a Subscription Identifier of 0', "82 [0001 [0b 00] <'a'> 00]", 0x82],
    ['two Subscription Identifiers', "82 [0001 [0b 01 0b 02] <'a'> 00]", 0x82],
    ['a Subscription Identifier in five bytes', "82 [0001 [0b ffffffff7f] <'a'> 00]", 0x81],
    ['identifier 0', "82 [0000 00 <'a'> 00]", 0x82],
    ['UNSUBSCRIBE without a filter [MQTT-3.10.3-2]', 'a2 [0001 00]', 0x82],
    ['UNSUBSCRIBE with a filter that is not UTF-8 [MQTT-3.10.3-1]', 'a2 [0001 00 <c0>]', 0x81],
    ['UNSUBSCRIBE with identifier 0', "a2 [0000 00 <'a'>]", 0x82],
  ])('5.0: %s ends the connection', (_, bytes, reason) => {
    const client = MqttClient.connected(new World(), 'c');
    client.sendBytes(wire(bytes));
    expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: reason }]);
    expect(client.pipe.isClosed).toBe(true);
  });

  test.each([
    ['no filter [3.1.1 MQTT-3.8.3-3]', '82 [0001]'],
    ['a filter that is not UTF-8 [3.1.1 MQTT-3.8.3-1]', '82 [0001 <ff> 00]'],
    ['reserved bits [3.1.1 MQTT-3.8.3-4]', "82 [0001 <'a'> 04]"],
    ['a QoS of 3 [3.1.1 MQTT-3.8.3-4]', "82 [0001 <'a'> 03]"],
    ['identifier 0 [3.1.1 MQTT-2.3.1-1]', "82 [0000 <'a'> 00]"],
    ['UNSUBSCRIBE without a filter [3.1.1 MQTT-3.10.3-2]', 'a2 [0001]'],
    ['UNSUBSCRIBE with a filter that is not UTF-8 [3.1.1 MQTT-3.10.3-1]', 'a2 [0001 <ff>]'],
  ])('3.1.1: %s ends the connection', (_, bytes) => {
    const client = MqttClient.connected(new World(), 'c', { protocolVersion: V311 });
    client.sendBytes(wire(bytes));
    expect(client.receive()).toEqual([]);
    expect(client.pipe.isClosed).toBe(true);
  });

  test.each(BOTH)(
    '%s: filters that are none are refused one by one [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3] [3.1.1 MQTT-4.7.3-1]',
    (_, protocolVersion) => {
      const client = MqttClient.connected(new World(), 'c', { protocolVersion });
      const failure = protocolVersion === V5 ? 0x8f : 0x80;
      for (const filter of ['', '#a', 'a#', '#/a', 'a/#/b', '+a', 'a+', 'a/b+/c', 'a/'.repeat(200)]) {
        expect(client.subscribe(filter, 1)).toMatchObject([{ reasonCodes: [failure] }]);
      }
      expect(client.pipe.isClosed).toBe(false);
    },
  );

  test('what is not offered has a code of its own, and is announced [3.1.1 MQTT-3.8.3-2]', () => {
    const world = new World({
      mqtt: { wildcardSubscriptions: false, sharedSubscriptions: false, subscriptionIdentifiers: false },
    });
    const asking = new MqttClient(world);
    asking.send(connect({ clientId: 'c' }));
    expect(asking.receive()).toMatchObject([
      {
        properties: {
          wildcardSubscriptionAvailable: false,
          sharedSubscriptionAvailable: false,
          subscriptionIdentifiersAvailable: false,
        },
      },
    ]);
    expect(asking.subscribe('a/+')).toMatchObject([{ reasonCodes: [0xa2] }]);
    expect(asking.subscribe('$share/g/a')).toMatchObject([{ reasonCodes: [0x9e] }]);
    expect(asking.subscribe('a', 0, {}, 1)).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0xa1 }]);
    const old = MqttClient.connected(world, 'd', { protocolVersion: V311 });
    expect(old.subscribe('a/#')).toMatchObject([{ reasonCodes: [0x80] }]);
  });

  test('more subscriptions than allowed are refused, the same again is not', () => {
    const client = MqttClient.connected(new World({ mqtt: { subscriptionsMax: 2 } }), 'c');
    expect(
      ['a', 'b', 'c', 'a'].map((filter) => (client.subscribe(filter)[0] as { reasonCodes: number[] }).reasonCodes[0]),
    ).toEqual([0, 0, 0x97, 0]);
  });

  test('the answer has no explanation that the client did not ask for, or has no room for [MQTT-3.1.2-29] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-2.2.2-1]', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c', {
      properties: properties({ requestProblemInformation: false, maximumPacketSize: 30 }),
    });
    client.send(subscribe(1, [subscription('a/#/b', 0)]), unsubscribe(2, ['x']));
    world.settle();
    expect(client.pipe.taken().toString('hex')).toBe('90040001008f' + 'b00400020011');
  });
});

describe('overlapping subscriptions', () => {
  test.each(BOTH)(
    '%s: one copy at the highest QoS with all identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [3.1.1 MQTT-3.3.5-1]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      const v5 = protocolVersion === V5;
      client.subscribe('a/+', 0, {}, v5 ? 1 : 0);
      client.subscribe('a/#', 2, {}, v5 ? 268_435_455 : 0);
      client.subscribe('a/b', 1);
      MqttClient.connected(world, 'p').publish('a/b', 'x', { qos: 2 });
      const messages = client.messages();
      expect(messages).toMatchObject([{ qos: 2 }]);
      if (v5)
        expect([...messages[0]!.properties.subscriptionIdentifiers!].sort((x, y) => x - y)).toEqual([1, 268_435_455]);
    },
  );

  test.each(BOTH)(
    '%s: or one for each, at its QoS and with its identifier [MQTT-3.3.4-2] [MQTT-3.3.4-5] [3.1.1 MQTT-3.3.5-1]',
    (_, protocolVersion) => {
      const world = new World({ mqtt: { overlappingSubscriptions: 'each' } });
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      const v5 = protocolVersion === V5;
      client.subscribe('a/+', 0, {}, v5 ? 1 : 0);
      client.subscribe('a/#', 2, {}, v5 ? 2 : 0);
      client.subscribe('a/b', 1);
      MqttClient.connected(world, 'p').publish('a/b', 'x', { qos: 2 });
      const seen = client
        .messages()
        .map(({ qos, properties: { subscriptionIdentifiers } }) => [qos, subscriptionIdentifiers]);
      expect(seen.sort()).toEqual([
        [0, v5 ? [1] : null],
        [1, null],
        [2, v5 ? [2] : null],
      ]);
    },
  );

  test('retained messages come for each of them', () => {
    const world = new World();
    MqttClient.connected(world, 'p').publish('a/b', 'x', { retain: true });
    const client = MqttClient.connected(world, 'c');
    expect(publishes(client.subscribe('a/+', 0, {}, 1)).map((m) => m.properties.subscriptionIdentifiers)).toEqual([
      [1],
    ]);
    expect(publishes(client.subscribe('#', 0, {}, 2)).map((m) => m.properties.subscriptionIdentifiers)).toEqual([[2]]);
  });
});

describe('UNSUBSCRIBE', () => {
  test.each(BOTH)(
    '%s: compared character by character, answered in order also when nothing matched [MQTT-2.2.1-6] [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] [3.1.1 MQTT-3.10.4-1] [3.1.1 MQTT-3.10.4-2] [3.1.1 MQTT-3.10.4-4] [3.1.1 MQTT-3.10.4-5] [3.1.1 MQTT-3.10.4-6]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      for (const filter of ['a/b', 'a/+', 'a/#']) client.subscribe(filter, 1);
      client.send(unsubscribe(77, ['a/+', 'A/b', 'a/b/', 'a/b', 'x/#/y']));
      expect(client.receive()).toMatchObject([
        {
          type: PacketType.UNSUBACK,
          packetId: 77,
          reasonCodes: protocolVersion === V5 ? [0, 0x11, 0x11, 0, 0x8f] : [],
        },
      ]);
      client.publish('a/b', 'still', { qos: 1 });
      expect(publishes(client.receive())).toHaveLength(1);
      client.send(unsubscribe(78, ['a/#']));
      client.receive();
      client.publish('a/b', 'no more', { qos: 1 });
      expect(publishes(client.receive())).toEqual([]);
    },
  );

  test.each(BOTH)(
    '%s: what has begun to be sent is completed [MQTT-3.10.4-3] [3.1.1 MQTT-3.10.4-3]',
    (_, protocolVersion) => {
      for (const filter of ['a', '$share/g/a', '$queue/q']) {
        const world = new World();
        let client = MqttClient.connected(world, 'c', { protocolVersion, ...KEEP });
        client.subscribe(filter, 2);
        const publisher = MqttClient.connected(world, 'p');
        publisher.publish(filter === '$queue/q' ? filter : 'a', 'x', { qos: 2 });
        const [message] = client.messages();
        client.send(unsubscribe(5, [filter]));
        client.receive();
        if (filter === 'a') {
          client.hangUp();
          client = new MqttClient(world, protocolVersion);
          client.send(connect({ clientId: 'c', protocolVersion, ...KEEP }));
          expect(client.messages()).toMatchObject([{ packetId: message!.packetId, dup: true }]);
        }
        client.send(pubrec(message!.packetId));
        expect(client.receive()).toMatchObject([
          { type: PacketType.PUBREL, packetId: message!.packetId, reasonCode: 0 },
        ]);
        client.send(pubcomp(message!.packetId));
        expect(client.receive()).toEqual([]);
      }
    },
  );
});

describe('shared subscriptions', () => {
  test.each(BOTH)('%s: forms that are none are refused [MQTT-4.8.2-1] [MQTT-4.8.2-2]', (_, protocolVersion) => {
    const client = MqttClient.connected(new World(), 'c', { protocolVersion });
    const failure = protocolVersion === V5 ? 0x8f : 0x80;
    for (const filter of [
      '$share',
      '$share/',
      '$share//a',
      '$share/g',
      '$share/g/',
      '$share/+/a',
      '$share/#/a',
      '$share/g+/a',
      '$share/g/a#',
    ]) {
      if (filter === '$share') continue;
      expect([filter, client.subscribe(filter)]).toMatchObject([filter, [{ reasonCodes: [failure] }]]);
    }
  });

  test.each(BOTH)(
    '%s: each message goes to one member, at the QoS it was granted, and nothing retained does [MQTT-4.8.2-3]',
    (_, protocolVersion) => {
      const world = new World();
      const publisher = MqttClient.connected(world, 'p');
      publisher.publish('x/0', 'retained', { retain: true, qos: 1 });
      const members = [0, 1, 2].map((qos) => {
        const member = MqttClient.connected(world, `m${qos}`, { protocolVersion });
        expect(publishes(member.subscribe('$share/g/x/+', qos as 0 | 1 | 2))).toEqual([]);
        return member;
      });
      const other = MqttClient.connected(world, 'o');
      other.subscribe('$share/other/x/+', 2);
      for (let i = 0; i < 9; i++) publisher.publish(`x/${i}`, String(i), { qos: 2 });
      const got = members.map((member) => member.messages());
      expect(got.map((messages) => messages.map(({ qos }) => qos))).toEqual([
        [0, 0, 0],
        [1, 1, 1],
        [2, 2, 2],
      ]);
      expect(got.flat().map(textOf).sort()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8']);
      expect(other.messages()).toHaveLength(9);
    },
  );

  test('a member that leaves gives QoS 1 to the others at once; nothing is lost or sent twice', () => {
    const world = new World();
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id));
    for (const member of [a!, b!]) member.subscribe('$share/g/x', 1);
    const publisher = MqttClient.connected(world, 'p');
    for (let i = 0; i < 10; i++) publisher.publish('x', String(i), { qos: 1 });
    const taken = a!.messages();
    const other = b!.messages();
    a!.send(puback(taken[0]!.packetId));
    a!.hangUp();
    const moved = b!.messages().map(textOf);
    expect(moved).toEqual(taken.slice(1).map(textOf));
    expect([...other.map(textOf), ...moved, textOf(taken[0]!)].sort()).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
      '8',
      '9',
    ]);
  });

  test('QoS 2 in flight waits for the member it was sent to [MQTT-4.8.2-4]', () => {
    const world = new World();
    const a = MqttClient.connected(world, 'a', KEEP);
    a.subscribe('$share/g/x', 2);
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('x', 'one', { qos: 2 });
    expect(a.messages()).toMatchObject([{ packetId: 1, qos: 2 }]);
    const b = MqttClient.connected(world, 'b');
    b.subscribe('$share/g/x', 2);
    a.hangUp();
    publisher.publish('x', 'two', { qos: 2 });
    expect(b.messages().map(textOf)).toEqual(['two']);
    const again = new MqttClient(world);
    again.send(connect({ clientId: 'a', ...KEEP }));
    expect(again.messages()).toMatchObject([{ packetId: 1, dup: true, qos: 2 }]);
    again.send(pubrec(1));
    expect(again.receive()).toMatchObject([{ type: PacketType.PUBREL, packetId: 1 }]);
  });

  test('and goes to nobody else when its session ends [MQTT-4.8.2-5]', async () => {
    const world = await new World().open();
    const a = MqttClient.connected(world, 'a', {
      clean: false,
      properties: properties({ sessionExpiryIntervalS: 10 }),
    });
    a.subscribe('$share/g/x', 2);
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('x', 'one', { qos: 2 });
    a.receive();
    const b = MqttClient.connected(world, 'b');
    b.subscribe('$share/g/x', 2);
    a.hangUp();
    world.advance(20_000);
    expect(b.messages()).toEqual([]);
    const queue = world.broker.vhosts.get('/')!.queues.get('$share/g/x')!;
    expect([queue.readyCount, queue.unsettledCount]).toEqual([0, 0]);
    // Without a session to come back to it is over with the connection.
    const c = MqttClient.connected(world, 'c');
    b.send(unsubscribe(3, ['$share/g/x']));
    b.receive();
    c.subscribe('$share/g/x', 2);
    publisher.publish('x', 'two', { qos: 2 });
    expect(c.messages()).toHaveLength(1);
    b.subscribe('$share/g/x', 2);
    c.hangUp();
    expect(b.messages()).toEqual([]);
  });

  test('a refused message is sent to nobody else [MQTT-4.8.2-6]', () => {
    const world = new World();
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id));
    a!.subscribe('$share/g/x', 2);
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('x', 'one', { qos: 1 });
    publisher.publish('x', 'two', { qos: 2 });
    const messages = a!.messages();
    b!.subscribe('$share/g/x', 2);
    const requeue = properties({ userProperties: ['x-requeue', 'true', 'x-retry-after', '1'] });
    a!.send(puback(messages[0]!.packetId, 0x80, requeue), pubrec(messages[1]!.packetId, 0x97, requeue));
    expect(a!.messages()).toEqual([]);
    expect(b!.messages()).toEqual([]);
    a!.hangUp();
    expect(b!.messages()).toEqual([]);
    expect(world.broker.counters.droppedRejected).toBe(2);
  });

  test('the queue behind a group ends with its last member, however it goes', async () => {
    const world = await new World().open();
    const a = MqttClient.connected(world, 'a');
    const b = MqttClient.connected(world, 'b', { clean: false, properties: properties({ sessionExpiryIntervalS: 5 }) });
    const c = MqttClient.connected(world, 'c');
    for (const member of [a, b, c]) member.subscribe('$share/g/x', 1);
    a.subscribe('$share/g/x', 2);
    a.send(unsubscribe(9, ['$share/g/x']));
    a.receive();
    c.hangUp();
    b.hangUp();
    expect(queuesOf(world)).toEqual(['$share/g/x']);
    world.advance(10_000);
    expect(queuesOf(world)).toEqual([]);
  });

  test('subscription identifiers are those of the member', () => {
    const world = new World();
    const a = MqttClient.connected(world, 'a');
    a.subscribe('$share/g/x', 1, {}, 12);
    a.subscribe('x', 0, {}, 13);
    MqttClient.connected(world, 'p').publish('x', 'm', { qos: 1 });
    expect(
      a
        .messages()
        .map((message) => message.properties.subscriptionIdentifiers)
        .sort(),
    ).toEqual([[12], [13]]);
  });
});

describe('exclusive subscriptions', () => {
  test.each(BOTH)('%s: one session at a time has it', async (_, protocolVersion) => {
    const world = await new World().open();
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id, { protocolVersion }));
    expect(a!.subscribe('$exclusive/x/+', 1)).toMatchObject([{ reasonCodes: [1] }]);
    expect(a!.subscribe('$exclusive/x/+', 0)).toMatchObject([{ reasonCodes: [0] }]);
    const taken = protocolVersion === V5 ? 0x97 : 0x80;
    expect(b!.subscribe('$exclusive/x/+', 1)).toMatchObject([{ reasonCodes: [taken] }]);
    b!.publish('x/1', 'm');
    expect(a!.texts()).toEqual(['x/1 m']);
    expect(b!.texts()).toEqual([]);
    a!.send(unsubscribe(5, ['$exclusive/x/+']));
    a!.receive();
    expect(b!.subscribe('$exclusive/x/+', 1)).toMatchObject([{ reasonCodes: [1] }]);
    b!.hangUp();
    if (protocolVersion === V311) return;
    expect(a!.subscribe('$exclusive/x/+', 1)).toMatchObject([{ reasonCodes: [1] }]);
  });
});

describe('named queues', () => {
  test('a refused message is gone, asked back at once, or comes back later', async () => {
    const world = await new World().open();
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id));
    a!.subscribe('$queue/jobs', 1);
    const publisher = MqttClient.connected(world, 'p');
    const next = () => {
      const [message] = a!.messages();
      return message!;
    };
    publisher.publish('$queue/jobs', 'one', { qos: 1 });
    a!.send(puback(next().packetId, 0x80));
    expect(a!.messages()).toEqual([]);
    publisher.publish('$queue/jobs', 'two', { qos: 1 });
    a!.send(puback(next().packetId, 0x80, properties({ userProperties: ['x-requeue', 'true'] })));
    let again = next();
    expect([textOf(again), again.properties.userProperties]).toEqual(['two', ['x-delivery-count', '1']]);
    a!.send(puback(again.packetId, 0x80, properties({ userProperties: ['x-retry-after', '5000'] })));
    expect(a!.messages()).toEqual([]);
    b!.subscribe('$queue/jobs', 2);
    a!.hangUp();
    world.advance(4_000);
    expect(b!.messages()).toEqual([]);
    world.advance(2_000);
    [again] = b!.messages() as [Publish];
    expect([textOf(again), again.qos, again.properties.userProperties]).toEqual(['two', 2, ['x-delivery-count', '2']]);
    b!.send(pubrec(again.packetId, 0x80, properties({ userProperties: ['x-retry-after', 'soon'] })));
    world.advance(10_000);
    expect(b!.messages()).toEqual([]);
    expect(world.mqttAdapter.retries.count).toBe(0);
  });

  test('QoS 2 in flight of a consumer that leaves waits for it while its session lives, and then goes to another one', async () => {
    const world = await new World().open();
    const fields = { clean: false, properties: properties({ sessionExpiryIntervalS: 10 }) };
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id, fields));
    a!.subscribe('$queue/jobs', 2);
    MqttClient.connected(world, 'p').publish('$queue/jobs', 'one', { qos: 1 });
    const packetId = a!.messages()[0]!.packetId;
    b!.subscribe('$queue/jobs', 2);
    a!.hangUp();
    expect(b!.messages()).toEqual([]);
    const again = new MqttClient(world);
    again.send(connect({ clientId: 'a', ...fields }));
    // The client may have it already: under another identifier it would be a second message to it, and another message under this one would be lost on it.
    expect(again.receive().slice(1)).toMatchObject([{ type: PacketType.PUBLISH, packetId, dup: true }]);
    again.hangUp();
    world.advance(11_000);
    expect(b!.messages()).toMatchObject([{ dup: false, properties: { userProperties: ['x-delivery-count', '1'] } }]);
  });

  test('the queue of a share group has no other name', () => {
    const client = MqttClient.connected(new World(), 'c');
    client.subscribe('$share/g/x', 1);
    expect(client.subscribe('$queue/$share/g/x', 1)).toMatchObject([{ reasonCodes: [0x87] }]);
    client.publish('$queue/$share/g/x', 'm', { qos: 1 });
    expect(client.receive()).toMatchObject([{ type: PacketType.PUBACK, reasonCode: 0x87 }]);
  });
});
