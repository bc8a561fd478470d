// PUBLISH and its acknowledgements, on real bytes: what is delivered, in which form, and the handshakes of QoS 1 and 2 in both directions.
import { describe, expect, test } from 'vitest';
import {
  connect,
  disconnect,
  PINGREQ,
  type Publish,
  properties,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  will,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { wire } from '../protocols/mqtt/wire.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { World } from '../support/world.ts';

const { V311, V5 } = ProtocolVersion;
const BOTH = [
  ['3.1.1', V311],
  ['5.0', V5],
] as const;
const KEEP = properties({ sessionExpiryIntervalS: 1000 });

function textOf({ payload }: Publish): string {
  return Buffer.from(payload).toString();
}

/** A client with a session that outlives its connections. */
function durable(world: World, clientId: string, protocolVersion: ProtocolVersion = V5): MqttClient {
  return MqttClient.connected(world, clientId, { protocolVersion, clean: false, properties: KEEP });
}

/** The packets that a returning client gets after CONNACK. */
function back(world: World, clientId: string, protocolVersion: ProtocolVersion = V5) {
  const client = new MqttClient(world, protocolVersion);
  client.send(connect({ clientId, protocolVersion, clean: false, properties: KEEP }));
  return { client, packets: client.receive().slice(1) };
}

describe('topic names', () => {
  test.each(BOTH)(
    '%s: with wildcards or U+0000, empty or not UTF-8 they end the connection [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [3.1.1 MQTT-1.5.3-1] [3.1.1 MQTT-1.5.3-2] [3.1.1 MQTT-3.3.2-1] [3.1.1 MQTT-3.3.2-2] [3.1.1 MQTT-4.7.1-1] [3.1.1 MQTT-4.7.3-1] [3.1.1 MQTT-4.7.3-2]',
    (_, protocolVersion) => {
      const props = protocolVersion === V5 ? '00' : '';
      for (const topic of ["'a/+'", "'#'", '', "'a' 00", 'ff', 'eda080']) {
        for (const [first, id] of [
          ['30', ''],
          ['32', '0001'],
          ['34', '0001'],
        ] as const) {
          const world = new World();
          const client = MqttClient.connected(world, 'c', { protocolVersion });
          client.sendBytes(wire(`${first} [<${topic}> ${id} ${props} 'x']`));
          const answer = client.receive();
          if (protocolVersion === V5)
            expect([0x81, 0x82, 0x90]).toContain((answer[0] as { reasonCode?: number }).reasonCode);
          else expect(answer).toEqual([]);
          expect(client.pipe.isClosed).toBe(true);
          expect(world.broker.counters.messagesReceived).toBe(0);
        }
      }
    },
  );

  test.each(BOTH)(
    '%s: U+FEFF and other rare characters arrive as they are [MQTT-1.5.4-3] [MQTT-4.7.3-4] [3.1.1 MQTT-1.5.3-3] [3.1.1 MQTT-4.7.3-4]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      for (const topic of [
        '\ufeffa',
        'e\u0301',
        '\u00e9',
        ' a / b ',
        'A',
        'a',
        '/',
        '//',
        'a/',
        '/a',
        '\u{10ffff}',
        '%41',
      ]) {
        client.subscribe(topic);
        client.publish(topic, 'x');
        expect(client.messages().map((message) => message.topic)).toEqual([topic]);
      }
    },
  );

  test.each(BOTH)(
    '%s: 65,535 bytes are taken where levels are not too many [MQTT-4.7.3-3] [3.1.1 MQTT-4.7.3-3]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.subscribe('#');
      client.publish('x'.repeat(65_535), 'y');
      expect(client.messages().map(({ topic }) => topic.length)).toEqual([65_535]);
      client.publish('a/'.repeat(128), 'y');
      client.receive();
      expect(client.pipe.isClosed).toBe(true);
    },
  );

  test.each(BOTH)(
    '%s: topics that begin with $ are not matched by a wildcard in the first level [MQTT-4.7.2-1] [3.1.1 MQTT-4.7.2-1]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.subscribe('#');
      client.subscribe('+/x');
      client.publish('$mine/x', 'no');
      expect(client.texts()).toEqual([]);
      client.subscribe('$mine/#');
      client.publish('$mine/x', 'yes');
      expect(client.texts()).toEqual(['$mine/x yes']);
    },
  );

  test.each(BOTH)(
    '%s: what arrives matches the filter, level by level [MQTT-3.3.2-3] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [3.1.1 MQTT-3.3.2-3] [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3]',
    (_, protocolVersion) => {
      const topics = ['a', 'a/', 'a/b', 'a/b/c', '/a', '/', 'b'];
      const matching: Readonly<Record<string, readonly string[]>> = {
        '#': topics,
        'a/#': ['a', 'a/', 'a/b', 'a/b/c'],
        'a/+': ['a/', 'a/b'],
        '+': ['a', 'b'],
        '/+': ['/a', '/'],
        '+/+': ['a/', 'a/b', '/a', '/'],
        '+/b/#': ['a/b', 'a/b/c'],
        'a/b': ['a/b'],
      };
      for (const [filter, expected] of Object.entries(matching)) {
        const world = new World();
        const client = MqttClient.connected(world, 'c', { protocolVersion });
        client.subscribe(filter);
        for (const topic of topics) client.publish(topic, 'x');
        expect(client.messages().map(({ topic }) => topic)).toEqual(expected);
      }
    },
  );
});

describe('the fixed header', () => {
  test.each(BOTH)(
    '%s: a QoS of 3, DUP at QoS 0 and identifier 0 end the connection [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-2.2.1-3] [3.1.1 MQTT-2.3.1-1] [3.1.1 MQTT-3.3.1-2] [3.1.1 MQTT-3.3.1-4]',
    (_, protocolVersion) => {
      const props = protocolVersion === V5 ? '00' : '';
      for (const [bytes, reason] of [
        [`36 [<'a'> 0001 ${props}]`, 0x81],
        [`38 [<'a'> ${props}]`, 0x81],
        [`32 [<'a'> 0000 ${props}]`, 0x82],
        [`34 [<'a'> 0000 ${props}]`, 0x82],
      ] as const) {
        const client = MqttClient.connected(new World(), 'c', { protocolVersion });
        client.sendBytes(wire(bytes));
        expect(client.receive()).toMatchObject(
          protocolVersion === V5 ? [{ type: PacketType.DISCONNECT, reasonCode: reason }] : [],
        );
        expect(client.pipe.isClosed).toBe(true);
      }
    },
  );

  test.each(BOTH)(
    '%s: reserved flags end the connection [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-4.13.1-1] [3.1.1 MQTT-2.2.2-1] [3.1.1 MQTT-2.2.2-2] [3.1.1 MQTT-3.6.1-1] [3.1.1 MQTT-3.8.1-1] [3.1.1 MQTT-3.10.1-1] [3.1.1 MQTT-3.14.1-1] [3.1.1 MQTT-4.8.0-1]',
    (_, protocolVersion) => {
      const props = protocolVersion === V5 ? '00' : '';
      for (const bytes of [
        '60 [0001]',
        '63 [0001]',
        '6a [0001]',
        '41 [0001]',
        '51 [0001]',
        '72 [0001]',
        `80 [0001 ${props} <'a'> 00]`,
        `83 [0001 ${props} <'a'> 00]`,
        `a0 [0001 ${props} <'a'>]`,
        'c1 []',
        'e1 []',
        'e8 []',
      ]) {
        const client = MqttClient.connected(new World(), 'c', { protocolVersion });
        client.sendBytes(wire(bytes));
        expect(client.receive()).toMatchObject(
          protocolVersion === V5 ? [{ type: PacketType.DISCONNECT, reasonCode: 0x81 }] : [],
        );
        expect(client.pipe.isClosed).toBe(true);
      }
    },
  );

  test('the flags of AUTH are 0 [MQTT-3.15.1-1]', () => {
    const client = MqttClient.connected(new World(), 'c');
    client.sendBytes(wire('f1 []'));
    expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x81 }]);
  });

  test.each(BOTH)(
    '%s: DUP of the publisher is not passed on, and is 0 in what is sent first [MQTT-3.3.1-3] [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-2.2.1-2] [3.1.1 MQTT-2.3.1-5] [3.1.1 MQTT-3.3.1-3] [3.1.1 MQTT-4.3.1-1]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.subscribe('a', 2);
      for (const qos of [0, 1, 2] as const) client.publish('a', 'x', { qos, dup: qos > 0 });
      expect(client.messages().map(({ dup, qos, packetId }) => [dup, qos, packetId > 0])).toEqual([
        [false, 0, false],
        [false, 1, true],
        [false, 2, true],
      ]);
    },
  );
});

describe('retained messages', () => {
  test.each(BOTH)(
    '%s: set, replaced, left alone and removed [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [3.1.1 MQTT-3.3.1-5] [3.1.1 MQTT-3.3.1-6] [3.1.1 MQTT-3.3.1-7] [3.1.1 MQTT-3.3.1-8] [3.1.1 MQTT-3.3.1-10] [3.1.1 MQTT-3.3.1-11] [3.1.1 MQTT-3.3.1-12]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      let fresh = 0;
      const retained = () => {
        const other = MqttClient.connected(world, `f${fresh++}`, { protocolVersion });
        return other
          .subscribe('r/#', 2)
          .filter((packet) => packet.type === PacketType.PUBLISH)
          .map((message) => `${textOf(message)} ${message.qos} ${message.retain}`);
      };
      client.publish('r/a', 'one', { retain: true, qos: 2 });
      expect(retained()).toEqual(['one 2 true']);
      client.publish('r/a', 'two', { retain: true });
      expect(retained()).toEqual(['two 0 true']);
      client.publish('r/a', 'not retained', { qos: 1 });
      client.publish('r/a', '', { qos: 1 });
      expect(retained()).toEqual(['two 0 true']);
      const live = MqttClient.connected(world, 'live', { protocolVersion });
      live.subscribe('r/a');
      client.publish('r/a', '', { retain: true, qos: 1 });
      expect(live.texts()).toEqual(['r/a ']);
      expect(retained()).toEqual([]);
      expect(world.broker.vhosts.get('/')!.retained.count).toBe(0);
    },
  );

  test.each(BOTH)(
    '%s: to established subscriptions they go without RETAIN [MQTT-3.3.1-12] [3.1.1 MQTT-3.3.1-9]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.subscribe('r', 1);
      for (const qos of [0, 1] as const) client.publish('r', 'x', { retain: true, qos });
      expect(client.messages().map(({ retain }) => retain)).toEqual([false, false]);
    },
  );

  test('Retain As Published keeps RETAIN as it was, also for a client that was away [MQTT-3.3.1-13]', () => {
    const world = new World();
    const client = durable(world, 'c');
    client.subscribe('r', 1, { retainAsPublished: true });
    for (const qos of [0, 1] as const) {
      client.publish('r', 'x', { retain: true, qos });
      client.publish('r', 'y', { retain: false, qos });
    }
    expect(client.messages().map(({ retain }) => retain)).toEqual([true, false, true, false]);
    client.hangUp();
    MqttClient.connected(world, 'p').publish('r', 'z', { retain: true, qos: 1 });
    const again = back(world, 'c').packets.filter((packet) => packet.type === PacketType.PUBLISH);
    expect(again.map((message) => message.retain)).toEqual([true, false, true]);
  });

  test.each(BOTH)(
    '%s: they do not end with the session of their publisher [3.1.1 MQTT-3.1.2-7]',
    (_, protocolVersion) => {
      const world = new World();
      const publisher = MqttClient.connected(world, 'p', { protocolVersion });
      publisher.publish('r', 'x', { retain: true });
      publisher.send(disconnect());
      expect(MqttClient.connected(world, 'c').subscribe('r')).toHaveLength(2);
    },
  );

  test('they expire, and say how long they have left [MQTT-3.3.2-5] [MQTT-3.3.2-6]', async () => {
    const world = await new World().open();
    MqttClient.connected(world, 'p').publish('r', 'x', {
      retain: true,
      properties: properties({ messageExpiryIntervalS: 100 }),
    });
    world.advance(40_500);
    expect(MqttClient.connected(world, 'a').subscribe('r')[1]).toMatchObject({
      properties: { messageExpiryIntervalS: 60 },
    });
    world.advance(60_000);
    expect(MqttClient.connected(world, 'b').subscribe('r')).toHaveLength(1);
  });

  test('a full table refuses with 0x97 and keeps what it had', () => {
    const world = new World({ limits: { retained: { countMax: 1, bytesMax: 1000 } } });
    const client = MqttClient.connected(world, 'c');
    client.publish('r/1', 'x', { retain: true, qos: 1 });
    client.publish('r/2', 'x', { retain: true, qos: 1 });
    expect(client.receive()).toMatchObject([{ reasonCode: 0x10 }, { reasonCode: 0x97 }]);
  });
});

describe('properties of PUBLISH', () => {
  test('go on as they are, to every kind of subscriber [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] [MQTT-3.3.2-13] [MQTT-3.3.2-19]', () => {
    const sent = {
      payloadFormat: 1,
      contentType: 'text/plain \ufeff',
      responseTopic: 'reply/to',
      correlationData: Buffer.from([0, 255, 1]),
      userProperties: ['b', '1', 'a', '2', 'b', '1', '', ''],
    };
    for (const qos of [0, 1, 2] as const) {
      const world = new World();
      const subscribers = ['s1', 's2', 's3'].map((id) => MqttClient.connected(world, id));
      subscribers[0]!.subscribe('a', qos);
      subscribers[1]!.subscribe('$share/g/a', qos);
      subscribers[2]!.subscribe('a', qos, {}, 7);
      MqttClient.connected(world, 'p').publish('a', 'x', { qos, properties: properties(sent) });
      for (const subscriber of subscribers) {
        const [message] = subscriber.messages();
        expect(message!.properties).toMatchObject({ ...sent, correlationData: expect.anything() });
        expect([...message!.properties.correlationData!]).toEqual([0, 255, 1]);
      }
    }
  });

  test.each([
    ['a Response Topic with a wildcard [MQTT-3.3.2-14]', "08 <'a/+'>", 0x82],
    ['an empty Response Topic', '08 <>', 0x82],
    ['a Response Topic that is not UTF-8 [MQTT-3.3.2-13]', '08 <ff>', 0x81],
    ['a Content Type that is not UTF-8 [MQTT-3.3.2-19]', '03 <c3>', 0x81],
    ['a Payload Format Indicator of 2', '01 02', 0x82],
    ['a Subscription Identifier from a client [MQTT-3.3.4-6]', '0b 01', 0x82],
    ['a Topic Alias of 0 [MQTT-3.3.2-8]', '23 0000', 0x94],
    ['a Topic Alias above the maximum [MQTT-3.3.2-9] [MQTT-3.2.2-17]', '23 0021', 0x94],
    ['a property of another packet', '11 00000001', 0x81],
    ['a repeated Message Expiry Interval', '02 00000001 02 00000001', 0x82],
    ['a property length beyond the packet', "26 <'a'>", 0x81],
  ])('%s ends the connection', (_, bytes, reason) => {
    for (const [first, id] of [
      ['30', ''],
      ['32', '0001'],
    ] as const) {
      const client = MqttClient.connected(new World(), 'c');
      client.sendBytes(wire(`${first} [<'t'> ${id} [${bytes}] 'x']`));
      expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: reason }]);
      expect(client.pipe.isClosed).toBe(true);
    }
  });

  test('a payload that is not what its format says is refused when asked for', () => {
    const world = new World({ mqtt: { validatePayloadFormat: true } });
    const client = MqttClient.connected(world, 'c');
    const bad = { payload: Buffer.from([0xc3]), properties: properties({ payloadFormat: 1 }) };
    client.send(
      publish('a', { ...bad, qos: 1, packetId: 1 }),
      publish('a', { ...bad, qos: 2, packetId: 2 }),
      publish('a', bad),
    );
    expect(client.receive()).toMatchObject([
      { type: PacketType.PUBACK, reasonCode: 0x99 },
      { type: PacketType.PUBREC, reasonCode: 0x99 },
    ]);
    const refused = new MqttClient(world);
    refused.send(connect({ clientId: 'w', will: will('w', bad) }));
    expect(refused.receive()).toMatchObject([{ reasonCode: 0x99 }]);
  });

  test('an expired message is not delivered, one that waits counts down [MQTT-3.3.2-5] [MQTT-3.3.2-6] [MQTT-4.3.3-13]', async () => {
    const world = await new World().open();
    durable(world, 's').subscribe('a', 2);
    for (const connection of [...world.mqttAdapter.connections]) connection.onClosed(null);
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('a', 'short', { qos: 2, packetId: 9, properties: properties({ messageExpiryIntervalS: 10 }) });
    publisher.publish('a', 'long', { qos: 1, properties: properties({ messageExpiryIntervalS: 100 }) });
    publisher.receive();
    world.advance(30_000);
    // The handshake of the expired one goes on.
    publisher.send(pubrel(9));
    expect(publisher.receive()).toMatchObject([{ type: PacketType.PUBCOMP, packetId: 9, reasonCode: 0 }]);
    const { packets } = back(world, 's');
    expect(packets).toMatchObject([{ properties: { messageExpiryIntervalS: 70 } }]);
  });

  test('what has been sent at QoS 2 does not expire [MQTT-4.3.3-7]', async () => {
    const world = await new World().open();
    const subscriber = durable(world, 's');
    subscriber.subscribe('a', 2);
    MqttClient.connected(world, 'p').publish('a', 'x', {
      qos: 2,
      properties: properties({ messageExpiryIntervalS: 10 }),
    });
    expect(subscriber.messages()).toHaveLength(1);
    subscriber.hangUp();
    world.advance(60_000);
    const { packets } = back(world, 's');
    expect(packets).toMatchObject([{ type: PacketType.PUBLISH, packetId: 1, dup: true }]);
  });

  test('delivery-mode=1 keeps a message off the disk, whatever its QoS', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c');
    client.subscribe('a', 1);
    client.publish('a', 'x', { qos: 1, properties: properties({ userProperties: ['delivery-mode', '1'] }) });
    expect(client.texts()).toEqual(['a x']);
  });
});

describe('topic aliases', () => {
  test('of a client: every one up to the maximum is taken, set anew, and forgotten with the connection [MQTT-3.3.2-7] [MQTT-3.3.2-12] [MQTT-3.2.2-18]', () => {
    const world = new World({ mqtt: { topicAliasMaximum: 3 } });
    const watcher = MqttClient.connected(world, 'w');
    watcher.subscribe('#');
    const publisher = MqttClient.connected(world, 'p');
    for (const alias of [1, 2, 3])
      publisher.publish(`t/${alias}`, 'set', { properties: properties({ topicAlias: alias }) });
    for (const alias of [3, 1, 2])
      publisher.publish('', 'used', { qos: 1, properties: properties({ topicAlias: alias }) });
    publisher.publish('u', 'reset', { properties: properties({ topicAlias: 1 }) });
    publisher.publish('', 'used', { properties: properties({ topicAlias: 1 }) });
    expect(watcher.texts()).toEqual([
      't/1 set',
      't/2 set',
      't/3 set',
      't/3 used',
      't/1 used',
      't/2 used',
      'u reset',
      'u used',
    ]);
    const next = MqttClient.connected(world, 'p');
    next.publish('', 'x', { properties: properties({ topicAlias: 1 }) });
    expect(next.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x82 }]);
    const none = MqttClient.connected(new World({ mqtt: { topicAliasMaximum: 0 } }), 'n');
    none.publish('t', 'x', { properties: properties({ topicAlias: 1 }) });
    expect(none.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x94 }]);
  });

  test('to a client: none unless it allows them, and never above its maximum [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11] [MQTT-3.3.2-7]', () => {
    const world = new World();
    const plain = MqttClient.connected(world, 'plain', { properties: properties({ topicAliasMaximum: 0 }) });
    const two = () => MqttClient.connected(world, 'two', { properties: properties({ topicAliasMaximum: 2 }) });
    let subscriber = two();
    plain.subscribe('#', 1);
    subscriber.subscribe('#', 1);
    const publisher = MqttClient.connected(world, 'p');
    const topics = ['long/topic/one', 'long/topic/two', 'long/topic/three'];
    for (const qos of [0, 1] as const) for (const topic of topics) publisher.publish(topic, 'x', { qos });
    expect(plain.messages().every(({ properties: { topicAlias } }) => topicAlias === null)).toBe(true);
    const seen = subscriber.messages().map((message) => [message.topic, message.properties.topicAlias]);
    expect(seen).toEqual([
      ['long/topic/one', 1],
      ['long/topic/two', 2],
      ['long/topic/three', null],
      ['', 1],
      ['', 2],
      ['long/topic/three', null],
    ]);
    subscriber = two();
    subscriber.subscribe('#', 1);
    publisher.publish('long/topic/two', 'x');
    expect(subscriber.messages().map((message) => [message.topic, message.properties.topicAlias])).toEqual([
      ['long/topic/two', 1],
    ]);
  });
});

describe('Maximum Packet Size', () => {
  test('what is too large for a client is dropped as if it had been sent, and counted [MQTT-3.1.2-24] [MQTT-3.1.2-25]', () => {
    for (const qos of [0, 1, 2] as const) {
      for (const [identifier, expiry] of [
        [0, null],
        [300, null],
        [0, 50],
      ] as const) {
        const world = new World();
        const sizes: number[] = [];
        const subscriber = MqttClient.connected(world, 's', { properties: properties({ maximumPacketSize: 100 }) });
        subscriber.subscribe('a', qos, {}, identifier);
        const publisher = MqttClient.connected(world, 'p');
        for (let size = 70; size <= 110; size++) {
          publisher.publish('a', 'x'.repeat(size), { qos, properties: properties({ messageExpiryIntervalS: expiry }) });
          world.settle();
          const bytes = subscriber.pipe.taken();
          expect(bytes.length).toBeLessThanOrEqual(100);
          if (bytes.length > 0) sizes.push(bytes.length);
        }
        expect(Math.max(...sizes)).toBe(100);
        expect(world.broker.counters.droppedTooLarge).toBe(41 - sizes.length);
        // What was dropped is not in flight, so it does not take from the quota.
        const queue = world.broker.vhosts.get('/')!.sessions.get('s')!.queue;
        if (qos > 0) expect(queue!.unsettledCount).toBe(sizes.length);
      }
    }
  });

  test('holds for retained messages, for what is sent again, and with aliases [MQTT-3.1.2-24]', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('r/large', 'x'.repeat(200), { retain: true, qos: 1 });
    publisher.publish('r/small', 'x', { retain: true, qos: 1 });
    const keep = {
      clean: false,
      properties: properties({ sessionExpiryIntervalS: 99, maximumPacketSize: 60, topicAliasMaximum: 5 }),
    };
    const subscriber = MqttClient.connected(world, 's', keep);
    const got = subscriber.subscribe('r/#', 1).filter((packet) => packet.type === PacketType.PUBLISH);
    expect(got.map(({ topic }) => topic)).toEqual(['r/small']);
    const large = durable(world, 't');
    large.subscribe('q', 2);
    publisher.publish('q', 'y'.repeat(100), { qos: 2 });
    large.hangUp();
    const again = new MqttClient(world);
    again.send(connect({ clientId: 't', ...keep }));
    expect(again.receive()).toHaveLength(1);
    expect(world.broker.vhosts.get('/')!.sessions.get('t')!.queue!.unsettledCount).toBe(0);
  });

  test('of the server: a larger packet ends the connection before it is read [MQTT-3.2.2-15]', () => {
    const world = new World({ mqtt: { maximumPacketSize: 1024 } });
    const client = MqttClient.connected(world, 'c');
    client.sendBytes(wire('30 8008'));
    expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x95 }]);
    const stranger = world.connect();
    stranger.send(wire('10 ffffff7f'));
    world.settle();
    expect(stranger.isClosed).toBe(true);
  });
});

describe('QoS 1', () => {
  test.each(BOTH)(
    '%s: of a client: PUBACK with its identifier, in order; then the identifier stands for a new message [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-3.4.2-1] [MQTT-4.3.2-4] [MQTT-4.3.2-5] [3.1.1 MQTT-2.3.1-6] [3.1.1 MQTT-3.3.4-1] [3.1.1 MQTT-4.3.2-2] [3.1.1 MQTT-4.6.0-2]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.subscribe('a');
      for (const packetId of [7, 65_535, 1]) client.publish('a', String(packetId), { qos: 1, packetId });
      client.publish('a', 'again', { qos: 1, packetId: 7, dup: true });
      const packets = client.receive();
      expect(packets.filter(({ type }) => type === PacketType.PUBACK)).toMatchObject(
        [7, 65_535, 1, 7].map((packetId) => ({ packetId, reasonCode: 0 })),
      );
      expect(packets.filter((packet) => packet.type === PacketType.PUBLISH).map(textOf)).toEqual([
        '7',
        '65535',
        '1',
        'again',
      ]);
    },
  );

  test.each(BOTH)(
    '%s: to a client: unused identifiers, unacknowledged until PUBACK [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.2-3] [3.1.1 MQTT-2.3.1-4] [3.1.1 MQTT-4.3.2-1]',
    (_, protocolVersion) => {
      const world = new World();
      const client = durable(world, 'c', protocolVersion);
      client.subscribe('a', 1);
      const publisher = MqttClient.connected(world, 'p');
      for (let i = 0; i < 300; i++) publisher.publish('a', String(i), { qos: 1 });
      const ids = client.messages().map(({ packetId }) => packetId);
      expect(new Set(ids).size).toBe(300);
      client.send(...ids.filter((id) => id % 3 !== 0).map((id) => puback(id)));
      client.hangUp();
      const again = back(world, 'c', protocolVersion);
      expect(
        again.packets.map((packet) => packet.type === PacketType.PUBLISH && [packet.packetId, packet.dup]),
      ).toEqual(ids.filter((id) => id % 3 === 0).map((id) => [id, true]));
    },
  );

  test.each(BOTH)(
    '%s: identifiers wrap, and leave out those that are still in use [MQTT-2.2.1-4] [MQTT-4.3.3-1]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.subscribe('a', 1);
      const publisher = MqttClient.connected(world, 'p');
      const seen: number[] = [];
      const open = new Set<number>();
      for (let round = 0; round < 70_000 / 500; round++) {
        for (let i = 0; i < 500; i++) publisher.publish('a', '', { qos: 1, packetId: 1 });
        for (const { packetId } of client.messages()) {
          expect(open.has(packetId)).toBe(false);
          open.add(packetId);
          seen.push(packetId);
        }
        // One of each round stays open.
        const acknowledged = seen.slice(-499);
        for (const id of acknowledged) open.delete(id);
        client.send(...acknowledged.map((id) => puback(id)));
        publisher.receive();
      }
      expect(seen).toContain(65_535);
      expect(seen).not.toContain(0);
      expect(seen.length).toBe(70_000);
    },
  );

  test('PUBACK of 0x80 and above counts as acknowledged: nothing is sent again [MQTT-4.4.0-2]', () => {
    const world = new World();
    const client = durable(world, 'c');
    client.subscribe('a', 2);
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('a', '1', { qos: 1 });
    publisher.publish('a', '2', { qos: 2 });
    client.receive();
    client.send(puback(1, 0x83), pubrec(2, 0x97));
    expect(client.receive()).toEqual([]);
    client.hangUp();
    expect(back(world, 'c').packets).toEqual([]);
    expect(world.broker.counters.droppedRejected).toBe(2);
  });

  test('nobody matched is said by 0x10, a refusal by 0x87; 3.1.1 has a plain answer [3.1.1 MQTT-3.3.5-2]', () => {
    const authorizer = { epoch: 0, dependsOnClient: () => false, allows: () => false };
    const world = new World({
      authorizer,
      authenticator: { authenticate: () => ({ ok: true, principal: { name: 'u', policy: {} } }) },
    });
    const v5 = MqttClient.connected(world, 'a');
    for (const qos of [0, 1, 2] as const) v5.publish('t', 'x', { qos });
    expect(v5.receive()).toMatchObject([
      { type: PacketType.PUBACK, reasonCode: 0x87 },
      { type: PacketType.PUBREC, reasonCode: 0x87 },
    ]);
    const v311 = MqttClient.connected(world, 'b', { protocolVersion: V311 });
    for (const qos of [0, 1, 2] as const) v311.publish('t', 'x', { qos, packetId: 5 });
    v311.send(pubrel(5));
    expect(v311.receive().map(({ type }) => type)).toEqual([PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP]);
    expect(world.broker.counters.messagesReceived).toBe(0);
    const alone = MqttClient.connected(new World(), 'c');
    alone.publish('t', 'x', { qos: 1 });
    alone.publish('t', 'x', { qos: 2 });
    expect(alone.receive()).toMatchObject([{ reasonCode: 0x10 }, { reasonCode: 0x10 }]);
  });
});

describe('QoS 2', () => {
  test.each(BOTH)(
    '%s: of a client: PUBREC, no second delivery until PUBREL, PUBCOMP, and the identifier is free [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-3.5.2-1] [MQTT-3.7.2-1] [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] [3.1.1 MQTT-4.3.3-2] [3.1.1 MQTT-4.6.0-3]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      const watcher = MqttClient.connected(world, 'w');
      watcher.subscribe('a', 2);
      client.publish('a', '1', { qos: 2, packetId: 5 });
      client.publish('a', '2', { qos: 2, packetId: 6 });
      client.publish('a', '1', { qos: 2, packetId: 5, dup: true });
      client.publish('a', '1', { qos: 2, packetId: 5 });
      expect(client.receive()).toMatchObject([5, 6, 5, 5].map((packetId) => ({ type: PacketType.PUBREC, packetId })));
      client.send(pubrel(6), pubrel(5), pubrel(5));
      expect(client.receive()).toMatchObject([
        { type: PacketType.PUBCOMP, packetId: 6, reasonCode: 0 },
        { type: PacketType.PUBCOMP, packetId: 5, reasonCode: 0 },
        { type: PacketType.PUBCOMP, packetId: 5, reasonCode: protocolVersion === V5 ? 0x92 : 0 },
      ]);
      client.publish('a', '3', { qos: 2, packetId: 5, dup: true });
      expect(watcher.messages().map(textOf)).toEqual(['1', '2', '3']);
    },
  );

  test('after PUBREC of 0x80 and above the identifier stands for a new message [MQTT-4.3.3-9]', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c');
    client.subscribe('$queue/q', 1, {}, 0);
    const vhost = world.broker.vhosts.get('/')!;
    expect(vhost.queues.has('q')).toBe(true);
    const limited = new World();
    const publisher = MqttClient.connected(limited, 'p');
    const reader = MqttClient.connected(limited, 'r', { properties: properties({ receiveMaximum: 1 }) });
    reader.consumeLimited('q');
    for (const packetId of [1, 2, 3]) publisher.publish('$queue/q', String(packetId), { qos: 2, packetId });
    expect(publisher.receive()).toMatchObject([
      { reasonCode: 0 },
      { reasonCode: 0 },
      { type: PacketType.PUBREC, packetId: 3, reasonCode: 0x97 },
    ]);
    const [first] = reader.messages();
    reader.send(puback(first!.packetId));
    reader.receive();
    publisher.publish('$queue/q', 'new', { qos: 2, packetId: 3 });
    expect(publisher.receive()).toMatchObject([{ type: PacketType.PUBREC, packetId: 3, reasonCode: 0 }]);
  });

  test.each(BOTH)(
    '%s: to a client: PUBREL for PUBREC, sent again until PUBCOMP, and no PUBLISH any more [MQTT-3.6.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [3.1.1 MQTT-4.3.3-1] [3.1.1 MQTT-4.6.0-4]',
    (_, protocolVersion) => {
      const world = new World();
      let client = durable(world, 'c', protocolVersion);
      client.subscribe('a', 2);
      const publisher = MqttClient.connected(world, 'p');
      for (const text of ['1', '2', '3']) publisher.publish('a', text, { qos: 2 });
      expect(client.messages().map(({ packetId }) => packetId)).toEqual([1, 2, 3]);
      client.send(pubrec(2), pubrec(1), pubrec(2));
      expect(client.receive()).toMatchObject([2, 1, 2].map((packetId) => ({ type: PacketType.PUBREL, packetId })));
      client.hangUp();
      const again = back(world, 'c', protocolVersion);
      client = again.client;
      expect(again.packets).toMatchObject([
        { type: PacketType.PUBREL, packetId: 1 },
        { type: PacketType.PUBREL, packetId: 2 },
        { type: PacketType.PUBLISH, packetId: 3, dup: true },
      ]);
      client.send(pubcomp(1), pubcomp(2), pubrec(3));
      expect(client.receive()).toMatchObject([{ type: PacketType.PUBREL, packetId: 3 }]);
      client.send(pubcomp(3));
      client.hangUp();
      expect(back(world, 'c', protocolVersion).packets).toEqual([]);
    },
  );

  test('identifiers that are not known are answered, or let go of', () => {
    const client = MqttClient.connected(new World(), 'c');
    client.send(puback(9), pubcomp(9), pubrec(9), pubrec(8, 0x80), pubrel(9));
    expect(client.receive()).toMatchObject([
      { type: PacketType.PUBREL, packetId: 9, reasonCode: 0x92 },
      { type: PacketType.PUBCOMP, packetId: 9, reasonCode: 0x92 },
    ]);
    expect(client.pipe.isClosed).toBe(false);
  });
});

describe('sending again', () => {
  test.each(BOTH)(
    '%s: what is unacknowledged comes with its identifier and DUP in its order, only on reconnect [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [3.1.1 MQTT-2.3.1-4] [3.1.1 MQTT-3.3.1-1] [3.1.1 MQTT-4.4.0-1] [3.1.1 MQTT-4.6.0-1]',
    async (_, protocolVersion) => {
      const world = await new World().open();
      const client = durable(world, 'c', protocolVersion);
      client.subscribe('a', 2);
      const publisher = MqttClient.connected(world, 'p');
      for (let i = 0; i < 20; i++) publisher.publish('a', String(i), { qos: i % 3 === 0 ? 2 : 1 });
      const sent = client.messages();
      world.advance(600_000);
      expect(client.receive()).toEqual([]);
      client.hangUp();
      publisher.publish('a', 'new', { qos: 1 });
      const { packets } = back(world, 'c', protocolVersion);
      const again = packets.filter((packet) => packet.type === PacketType.PUBLISH);
      expect(again.slice(0, 20).map((m) => [m.packetId, textOf(m), m.dup, m.qos])).toEqual(
        sent.map((m) => [m.packetId, textOf(m), true, m.qos]),
      );
      expect(again.slice(20).map((m) => [textOf(m), m.dup])).toEqual([['new', false]]);
    },
  );

  test.each(BOTH)(
    '%s: messages for a client that is away are kept [MQTT-4.5.0-1] [MQTT-4.1.0-1] [3.1.1 MQTT-3.1.2-5] [3.1.1 MQTT-4.1.0-1] [3.1.1 MQTT-4.1.0-2] [3.1.1 MQTT-4.5.0-1]',
    async (_, protocolVersion) => {
      const world = await new World().open();
      const client = durable(world, 'c', protocolVersion);
      client.subscribe('a', 1);
      world.advance(2_000_000);
      const publisher = MqttClient.connected(world, 'p');
      publisher.publish('a', '1', { qos: 1 });
      expect(client.messages().map(textOf)).toEqual(['1']);
      client.hangUp();
      publisher.publish('a', '2', { qos: 1 });
      publisher.publish('a', '3', { qos: 2 });
      expect(
        back(world, 'c', protocolVersion).packets.map((packet) => packet.type === PacketType.PUBLISH && textOf(packet)),
      ).toEqual(['1', '2', '3']);
    },
  );

  test('a session ends when it has expired [MQTT-3.1.2-23] [MQTT-4.1.0-2]', async () => {
    const world = await new World().open();
    const resume = { clean: false, properties: properties({ sessionExpiryIntervalS: 60 }) };
    const present = (wait: number) => {
      world.advance(wait);
      const client = new MqttClient(world);
      client.send(connect({ clientId: 'c', ...resume }));
      const [answer] = client.receive();
      client.hangUp();
      return answer?.type === PacketType.CONNACK && answer.sessionPresent;
    };
    expect(present(0)).toBe(false);
    expect(present(59_000)).toBe(true);
    expect(present(61_000)).toBe(false);
  });
});

describe('order', () => {
  test.each(BOTH)(
    '%s: messages of one client, topic and QoS arrive in order, in every way there is to deliver [MQTT-4.6.0-5] [MQTT-4.6.0-6] [3.1.1 MQTT-4.6.0-5] [3.1.1 MQTT-4.6.0-6]',
    (_, protocolVersion) => {
      for (const qos of [0, 1, 2] as const) {
        const world = new World();
        const subscriber = MqttClient.connected(world, 's', {
          protocolVersion,
          properties: properties({ receiveMaximum: 7 }),
        });
        subscriber.subscribe('a/+', qos);
        const publisher = MqttClient.connected(world, 'p', { protocolVersion });
        publisher.chunkBytes = 13;
        const seen = new Map<string, number[]>();
        for (let i = 0; i < 200; i++) publisher.publish(`a/${i % 3}`, String(i), { qos, retain: i % 5 === 0 });
        for (let round = 0; round < 400; round++) {
          const packets = subscriber.receive();
          if (packets.length === 0) break;
          for (const packet of packets) {
            if (packet.type === PacketType.PUBREL) subscriber.send(pubcomp(packet.packetId));
            if (packet.type !== PacketType.PUBLISH) continue;
            seen.set(packet.topic, [...(seen.get(packet.topic) ?? []), Number(textOf(packet))]);
            if (packet.qos === 1) subscriber.send(puback(packet.packetId));
            if (packet.qos === 2) subscriber.send(pubrec(packet.packetId));
          }
        }
        for (let i = 0; i < 3; i++) {
          expect(seen.get(`a/${i}`)).toEqual(Array.from({ length: 200 }, (_value, k) => k).filter((k) => k % 3 === i));
        }
      }
    },
  );
});

describe('flow control', () => {
  test('of the client: never more than its Receive Maximum in flight, everything else goes on [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c', { properties: properties({ receiveMaximum: 2 }) });
    client.subscribe('a', 2);
    client.subscribe('b', 0);
    client.subscribe('$share/g/a', 2);
    const publisher = MqttClient.connected(world, 'p');
    for (const text of ['1', '2', '3', '4']) publisher.publish('a', text, { qos: 2 });
    const first = client.messages();
    expect(first).toHaveLength(2);
    publisher.publish('b', 'qos 0');
    client.send(PINGREQ);
    client.subscribe('c');
    expect(client.receive().length).toBe(0);
    publisher.publish('b', 'qos 0');
    client.send(PINGREQ);
    expect(client.receive().map(({ type }) => type)).toEqual([PacketType.PUBLISH, PacketType.PINGRESP]);
    // PUBREC alone does not give the quota back, PUBCOMP and a refusal do.
    client.send(pubrec(first[0]!.packetId));
    expect(client.receive().map(({ type }) => type)).toEqual([PacketType.PUBREL]);
    client.send(pubcomp(first[0]!.packetId));
    expect(client.messages()).toHaveLength(1);
    client.send(pubrec(first[1]!.packetId, 0x80));
    expect(client.messages()).toHaveLength(1);
  });

  test('of a client that comes back with a smaller Receive Maximum: what it is sent again is within it, and nothing new comes before the rest [MQTT-3.3.4-9] [MQTT-4.9.0-1]', () => {
    const world = new World();
    const kept = (receiveMaximum: number) => ({
      clean: false,
      properties: properties({ sessionExpiryIntervalS: 1000, receiveMaximum }),
    });
    const before = MqttClient.connected(world, 'c', kept(10));
    before.subscribe('a', 2);
    const publisher = MqttClient.connected(world, 'p');
    for (const [i, qos] of ([2, 1, 1, 2, 1, 1] as const).entries()) publisher.publish('a', String(i), { qos });
    expect(before.texts()).toHaveLength(6);
    before.send(pubrec(1));
    before.hangUp();
    publisher.publish('a', 'new', { qos: 1 });

    const client = new MqttClient(world);
    client.send(connect({ clientId: 'c', ...kept(2) }));
    const sent = (): string[] =>
      client.receive().flatMap((packet) => {
        if (packet.type === PacketType.PUBREL) return [`PUBREL ${packet.packetId}`];
        if (packet.type !== PacketType.PUBLISH) return [];
        return [`${packet.dup ? 'again ' : ''}${packet.packetId} ${Buffer.from(packet.payload).toString()}`];
      });
    expect(sent()).toEqual(['PUBREL 1', 'again 2 1']);
    client.send(puback(2));
    expect(sent()).toEqual(['again 3 2']);
    // Answered before they have come again: an answer to the connection before.
    client.send(pubrec(4), puback(5));
    expect(sent()).toEqual(['PUBREL 4']);
    client.send(puback(3));
    expect(sent()).toEqual([]);
    client.send(pubcomp(1), pubcomp(4));
    expect(sent()).toEqual(['again 6 5', '7 new']);
    client.send(puback(6), puback(7));
    expect(sent()).toEqual([]);
  });

  test('what comes again from a shared or named queue has the Subscription Identifier it had [MQTT-3.3.4-3] [MQTT-4.4.0-1]', () => {
    for (const [filter, topic] of [
      ['$share/g/a', 'a'],
      ['$queue/q', '$queue/q'],
    ] as const) {
      const world = new World();
      const kept = { clean: false, properties: properties({ sessionExpiryIntervalS: 1000 }) };
      const before = MqttClient.connected(world, 'c', kept);
      before.subscribe(filter, 2, {}, 42);
      MqttClient.connected(world, 'p').publish(topic, 'x', { qos: 2 });
      const [first] = before.messages();
      before.hangUp();
      const client = new MqttClient(world);
      client.send(connect({ clientId: 'c', ...kept }));
      expect(client.messages()).toEqual([{ ...first, dup: true }]);
      expect(first!.properties.subscriptionIdentifiers).toEqual([42]);
    }
  });

  test('of the server: QoS 2 beyond its Receive Maximum ends the connection, up to it does not [MQTT-3.3.4-7]', () => {
    const world = new World({ mqtt: { receiveMaximum: 3 } });
    const client = MqttClient.connected(world, 'c');
    for (const packetId of [1, 2, 3]) client.publish('a', 'x', { qos: 2, packetId });
    client.publish('a', 'x', { qos: 2, packetId: 3, dup: true });
    expect(client.receive()).toHaveLength(4);
    client.send(pubrel(2));
    client.publish('a', 'x', { qos: 2, packetId: 4 });
    expect(client.receive().map(({ type }) => type)).toEqual([PacketType.PUBCOMP, PacketType.PUBREC]);
    for (let i = 0; i < 20; i++) client.publish('a', 'x', { qos: 1, packetId: 100 + i });
    expect(client.pipe.isClosed).toBe(true);
    expect(client.receive().at(-1)).toMatchObject({ type: PacketType.DISCONNECT, reasonCode: 0x93 });
  });

  test('of the server: what is answered at once never counts', () => {
    const client = MqttClient.connected(new World({ mqtt: { receiveMaximum: 3 } }), 'c');
    for (let i = 1; i <= 100; i++) client.publish('a', 'x', { qos: 1, packetId: i });
    for (let i = 1; i <= 100; i++) {
      client.publish('a', 'x', { qos: 2, packetId: i });
      client.send(pubrel(i));
    }
    expect(client.receive()).toHaveLength(300);
    expect(client.pipe.isClosed).toBe(false);
  });
});

describe('what only a fuzzer thinks of', () => {
  test('a PUBACK for a message that turned out too large to be sent settles nothing twice', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c', { properties: properties({ maximumPacketSize: 40 }) });
    client.subscribe('a', 1);
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('a', 'x'.repeat(100), { qos: 1 });
    // Still in the turn in which the message was dropped.
    client.send(puback(1));
    expect(client.receive()).toEqual([]);
    for (let i = 0; i < 3; i++) publisher.publish('a', 'y', { qos: 1 });
    expect(client.messages()).toHaveLength(3);
  });

  test('a will topic that is no address is refused at CONNECT', () => {
    const client = new MqttClient(new World());
    client.send(connect({ clientId: 'c', will: will('$amq/nothing', {}) }));
    expect(client.receive()).toMatchObject([{ type: PacketType.CONNACK, reasonCode: 0x90 }]);
  });

  test('a queue that is not there is a filter that is not accepted', () => {
    const client = MqttClient.connected(new World(), 'c');
    expect(client.subscribe('$amq/queue/none', 1)).toMatchObject([{ reasonCodes: [0x8f] }]);
  });

  test('a reason with a long name in it is cut', () => {
    const world = new World();
    const vhost = world.broker.vhosts.get('/')!;
    const spec = queueSpec('q'.repeat(60_000), { durable: false, autoDelete: false, exclusive: true }, new Map());
    vhost.declareQueue(spec, {});
    const client = MqttClient.connected(world, 'c');
    expect(client.subscribe(`$queue/${spec.name}`, 1)).toMatchObject([{ reasonCodes: [0x83] }]);
    client.publish(`$queue/${spec.name}`, 'x', { qos: 1 });
    expect(client.receive()).toHaveLength(1);
  });
});
