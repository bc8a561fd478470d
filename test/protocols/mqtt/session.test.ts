// What a client sees, on real bytes through the whole broker in memory.
import { describe, expect, test } from 'vitest';
import {
  type Connect,
  connect,
  disconnect,
  PINGREQ,
  properties,
  puback,
  pubcomp,
  pubrec,
  pubrel,
  subscribe,
  subscription,
  will,
} from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { MqttClient } from '../../support/mqtt-client.ts';
import { World } from '../../support/world.ts';

const { V31, V311, V5 } = ProtocolVersion;

describe.each([
  ['3.1', V31],
  ['3.1.1', V311],
  ['5.0', V5],
] as const)('MQTT %s', (_name, protocolVersion) => {
  test('a QoS 0 message goes to whoever subscribed, whatever their version', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p', { protocolVersion });
    const subscribers = [V31, V311, V5].map((version) =>
      MqttClient.connected(world, `s${version}`, { protocolVersion: version }),
    );
    for (const subscriber of subscribers) subscriber.subscribe('plant/+/temp');
    publisher.publish('plant/1/temp', '21.5');
    publisher.publish('plant/1/other', 'no');
    publisher.publish('plant/2/temp', '22');
    for (const subscriber of subscribers) expect(subscriber.texts()).toEqual(['plant/1/temp 21.5', 'plant/2/temp 22']);
  });

  test('QoS 1 is acknowledged, delivered with an identifier, and settled by PUBACK', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p', { protocolVersion });
    const subscriber = MqttClient.connected(world, 's', { protocolVersion });
    subscriber.subscribe('a/#', 1);
    for (let i = 0; i < 5; i++) publisher.publish('a/b', String(i), { qos: 1, packetId: i + 10 });
    expect(publisher.receive().map((p) => (p.type === PacketType.PUBACK ? p.packetId : p))).toEqual([
      10, 11, 12, 13, 14,
    ]);
    const got = subscriber.messages();
    expect(got.map((m) => [m.packetId, m.qos, Buffer.from(m.payload).toString()])).toEqual([
      [1, 1, '0'],
      [2, 1, '1'],
      [3, 1, '2'],
      [4, 1, '3'],
      [5, 1, '4'],
    ]);
    const { queue } = world.broker.vhosts.get('/')!.sessions.get('s')!;
    expect(queue!.unsettledCount).toBe(5);
    subscriber.send(puback(2), puback(1), puback(5));
    world.settle();
    expect(queue!.unsettledCount).toBe(2);
  });

  test('QoS 2 is delivered exactly once through its whole handshake', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p', { protocolVersion });
    const subscriber = MqttClient.connected(world, 's', { protocolVersion });
    subscriber.subscribe('a', 2);
    publisher.publish('a', 'x', { qos: 2, packetId: 7 });
    publisher.publish('a', 'x', { qos: 2, packetId: 7, dup: true });
    expect(publisher.receive()).toMatchObject([
      { type: PacketType.PUBREC, packetId: 7 },
      { type: PacketType.PUBREC, packetId: 7 },
    ]);
    publisher.send(pubrel(7));
    expect(publisher.receive()).toMatchObject([{ type: PacketType.PUBCOMP, packetId: 7 }]);
    const got = subscriber.messages();
    expect(got).toHaveLength(1);
    expect(got[0]).toMatchObject({ qos: 2, packetId: 1 });
    subscriber.send(pubrec(1));
    expect(subscriber.receive()).toMatchObject([{ type: PacketType.PUBREL, packetId: 1 }]);
    subscriber.send(pubcomp(1));
    expect(subscriber.receive()).toEqual([]);
    // The identifier is free again for the publisher's next message.
    publisher.publish('a', 'y', { qos: 2, packetId: 7 });
    expect(subscriber.messages()).toHaveLength(1);
  });

  test('a subscription gets the smaller of both QoS', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p', { protocolVersion });
    const subscriber = MqttClient.connected(world, 's', { protocolVersion });
    subscriber.subscribe('zero', 0);
    subscriber.subscribe('one', 1);
    subscriber.subscribe('two', 2);
    for (const topic of ['zero', 'one', 'two']) {
      for (const qos of [0, 1, 2] as const) publisher.publish(topic, String(qos), { qos });
    }
    expect(subscriber.messages().map((m) => `${m.topic} ${m.payload[0]! - 48} ${m.qos}`)).toEqual([
      'zero 0 0',
      'zero 1 0',
      'zero 2 0',
      'one 0 0',
      'one 1 1',
      'one 2 1',
      'two 0 0',
      'two 1 1',
      'two 2 2',
    ]);
  });

  test('everything works byte by byte', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p', { protocolVersion });
    const subscriber = MqttClient.connected(world, 's', { protocolVersion });
    subscriber.chunkBytes = 1;
    publisher.chunkBytes = 1;
    subscriber.subscribe('a/+', 1);
    for (let i = 0; i < 10; i++) publisher.publish(`a/${i % 3}`, `m${i}`, { qos: i % 2 === 0 ? 0 : 1 });
    expect(subscriber.texts().sort()).toEqual(Array.from({ length: 10 }, (_, i) => `a/${i % 3} m${i}`).sort());
  });

  test('PINGREQ is answered', () => {
    const client = MqttClient.connected(new World(), 'c', { protocolVersion });
    client.send(PINGREQ);
    expect(client.receive()).toEqual([{ type: PacketType.PINGRESP }]);
  });

  test('a will is sent when the client goes without a word, and not after DISCONNECT', () => {
    const world = new World();
    const watcher = MqttClient.connected(world, 'w');
    watcher.subscribe('gone/#');
    const fields = { protocolVersion, will: will('gone/c', { payload: Buffer.from('bye') }) };
    MqttClient.connected(world, 'c1', fields).hangUp();
    expect(watcher.texts()).toEqual(['gone/c bye']);
    MqttClient.connected(world, 'c2', fields).send(disconnect());
    expect(watcher.texts()).toEqual([]);
  });

  test('a second CONNECT with the same client id takes the session over', () => {
    const world = new World();
    const first = MqttClient.connected(world, 'c', { protocolVersion });
    MqttClient.connected(world, 'c', { protocolVersion });
    expect(first.pipe.isClosed).toBe(true);
    expect(first.receive()).toMatchObject(
      protocolVersion === V5 ? [{ type: PacketType.DISCONNECT, reasonCode: 0x8e }] : [],
    );
    expect(world.mqttAdapter.connectionCount).toBe(1);
  });

  test('keep-alive closes a silent connection after one and a half times its value', async () => {
    const world = await new World().open();
    const client = MqttClient.connected(world, 'c', { protocolVersion, keepAliveS: 10 });
    world.advance(14_000);
    expect(client.pipe.isClosed).toBe(false);
    world.advance(1500);
    expect(client.pipe.isClosed).toBe(true);
  });

  test('keep-alive does not count the time in which the broker itself was not there', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c', { protocolVersion, keepAliveS: 10 });
    const goOn = (ms: number) => {
      for (let gone = 0; gone < ms; gone += 500) {
        world.advance(500);
        world.mqttAdapter.tick();
      }
    };
    // No tick comes for long: the process was suspended.
    world.advance(60_000);
    goOn(13_000);
    expect(client.pipe.isClosed).toBe(false);
    goOn(3000);
    expect(client.pipe.isClosed).toBe(true);
  });

  test('a publisher that waits for memory gets answers to everything but its messages', () => {
    const world = new World();
    const subscriber = MqttClient.connected(world, 's', { protocolVersion });
    subscriber.subscribe('a', 1);
    const client = MqttClient.connected(world, 'c', { protocolVersion });
    world.broker.setMemoryHigh(true);
    client.publish('a', 'one', { qos: 1 });
    client.send(PINGREQ, PINGREQ, subscribe(5, [subscription('b', 0)]));
    expect(client.receive().map(({ type }) => type)).toEqual([
      PacketType.PUBACK,
      PacketType.PINGRESP,
      PacketType.PINGRESP,
      PacketType.SUBACK,
    ]);
    // One that it sends all the same waits, and so does what is behind it.
    client.publish('a', 'two', { qos: 1 });
    client.send(PINGREQ);
    client.publish('a', 'three', { qos: 1 });
    const texts = () =>
      subscriber
        .receive()
        .map((packet) => (packet.type === PacketType.PUBLISH ? Buffer.from(packet.payload).toString() : ''));
    expect(texts()).toEqual(['one']);
    expect(client.receive()).toEqual([]);
    world.broker.setMemoryHigh(false);
    world.settle();
    world.settle();
    expect(texts()).toEqual(['two', 'three']);
    expect(client.receive().map(({ type }) => type)).toEqual([
      PacketType.PUBACK,
      PacketType.PINGRESP,
      PacketType.PUBACK,
    ]);
  });

  test('a second CONNECT packet on one connection is an error', () => {
    const client = MqttClient.connected(new World(), 'c', { protocolVersion });
    client.send(connect({ clientId: 'c', protocolVersion }));
    expect(client.pipe.isClosed).toBe(true);
  });
});

describe('sessions', () => {
  test('what came while the client was away is there when it comes back', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p');
    let subscriber = MqttClient.connected(world, 's', { protocolVersion: V311, clean: false });
    subscriber.subscribe('a', 1);
    subscriber.hangUp();
    publisher.publish('a', 'one', { qos: 1 });
    publisher.publish('a', 'two', { qos: 2 });
    publisher.publish('a', 'lost', { qos: 0 });
    expect(world.broker.counters.droppedOffline).toBe(1);
    subscriber = new MqttClient(world, V311);
    subscriber.send(connect({ clientId: 's', protocolVersion: V311, clean: false }));
    const [connack, ...messages] = subscriber.receive();
    expect(connack).toMatchObject({ type: PacketType.CONNACK, sessionPresent: true });
    expect(messages).toMatchObject([
      { qos: 1, packetId: 1, dup: false },
      { qos: 1, packetId: 2, dup: false },
    ]);
  });

  test('what was in flight is sent again with its identifier and DUP, in order, before anything new', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p');
    const resume = { clean: false, properties: properties({ sessionExpiryIntervalS: 100 }) };
    let subscriber = MqttClient.connected(world, 's', resume);
    subscriber.subscribe('a', 2);
    publisher.publish('a', '1', { qos: 1 });
    publisher.publish('a', '2', { qos: 2 });
    publisher.publish('a', '3', { qos: 2 });
    expect(subscriber.messages()).toHaveLength(3);
    subscriber.send(pubrec(3));
    expect(subscriber.receive()).toMatchObject([{ type: PacketType.PUBREL, packetId: 3 }]);
    subscriber.hangUp();
    publisher.publish('a', '4', { qos: 1 });
    subscriber = new MqttClient(world);
    subscriber.send(connect({ clientId: 's', ...resume }));
    expect(subscriber.receive().slice(1)).toMatchObject([
      { type: PacketType.PUBLISH, packetId: 1, dup: true, qos: 1 },
      { type: PacketType.PUBLISH, packetId: 2, dup: true, qos: 2 },
      { type: PacketType.PUBREL, packetId: 3 },
      { type: PacketType.PUBLISH, packetId: 4, dup: false, qos: 1 },
    ]);
  });

  test('a session that was to last as long as its connection is not there for whoever takes that over', () => {
    const world = new World();
    const first = MqttClient.connected(world, 'c', { protocolVersion: V311, clean: true });
    first.subscribe('a', 1);
    const second = new MqttClient(world, V311);
    second.send(connect({ clientId: 'c', protocolVersion: V311, clean: false }));
    expect(second.receive()).toMatchObject([{ type: PacketType.CONNACK, sessionPresent: false }]);
    MqttClient.connected(world, 'p').publish('a', 'x', { qos: 1 });
    expect(second.receive()).toEqual([]);
  });

  test('a session ends after its expiry, and its will at the end of its delay', async () => {
    const world = await new World().open();
    const watcher = MqttClient.connected(world, 'w');
    watcher.subscribe('gone');
    const client = MqttClient.connected(world, 'c', {
      properties: properties({ sessionExpiryIntervalS: 60 }),
      will: will('gone', { payload: Buffer.from('x'), properties: properties({ willDelayIntervalS: 20 }) }),
    });
    client.hangUp();
    world.advance(19_000);
    expect(watcher.texts()).toEqual([]);
    world.advance(2000);
    expect(watcher.texts()).toEqual(['gone x']);
    expect(world.broker.vhosts.get('/')!.sessions.has('c')).toBe(true);
    world.advance(40_000);
    expect(world.broker.vhosts.get('/')!.sessions.has('c')).toBe(false);
  });

  test('receive maximum bounds what is in flight', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p');
    const subscriber = MqttClient.connected(world, 's', { properties: properties({ receiveMaximum: 3 }) });
    subscriber.subscribe('a', 1);
    for (let i = 0; i < 10; i++) publisher.publish('a', String(i), { qos: 1 });
    expect(subscriber.messages().map((m) => m.packetId)).toEqual([1, 2, 3]);
    subscriber.send(puback(2));
    expect(subscriber.messages().map((m) => Buffer.from(m.payload).toString())).toEqual(['3']);
    subscriber.send(puback(1), puback(3));
    expect(subscriber.messages()).toHaveLength(2);
  });
});

describe('a session at rest', () => {
  const expires = properties({ sessionExpiryIntervalS: 1000 });
  const staying = (world: World, fields: Partial<Connect> = {}) =>
    MqttClient.connected(world, 's', { clean: false, properties: expires, ...fields });
  const back = (world: World) => {
    const client = new MqttClient(world);
    client.send(connect({ clientId: 's', clean: false, properties: expires }));
    return client;
  };
  /** Until it has noticed that its clients have left. */
  const rest = (world: World) => {
    world.advance(1000);
    world.broker.tick();
  };

  test.each([true, false])(
    'gets what comes for it when its client is back, and settles it (messages before: %s)',
    (used) => {
      const world = new World();
      const publisher = MqttClient.connected(world, 'p');
      const before = staying(world);
      before.subscribe('a/+', 1);
      if (used) {
        publisher.publish('a/b', 'early', { qos: 1 });
        expect(before.texts()).toEqual(['a/b early']);
        before.send(puback(1));
      }
      before.hangUp();
      rest(world);
      const session = world.broker.vhosts.get('/')!.sessions.get('s')!;
      expect(session.queue === null && session.state === null).toBe(true);
      publisher.publish('a/b', 'x', { qos: 1 });
      rest(world);
      const client = back(world);
      expect(client.texts()).toEqual(['a/b x']);
      publisher.publish('a/c', 'y', { qos: 1 });
      expect(client.texts()).toEqual(['a/c y']);
      client.send(puback(1), puback(2));
      world.settle();
      expect(session.queue!.unsettledCount).toBe(0);
    },
  );

  test('keeps what is in flight in either direction', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p');
    const before = staying(world);
    before.subscribe('a', 2);
    publisher.publish('a', 'x', { qos: 2 });
    expect(before.texts()).toEqual(['a x']);
    before.send(pubrec(1));
    before.publish('b', 'y', { qos: 2, packetId: 9 });
    before.receive();
    before.hangUp();
    rest(world);
    const client = back(world);
    expect(client.receive().slice(1)).toMatchObject([{ type: PacketType.PUBREL, packetId: 1 }]);
    client.send(pubrel(9));
    expect(client.receive()).toMatchObject([{ type: PacketType.PUBCOMP, packetId: 9, reasonCode: 0 }]);
  });

  test('stores its own will when it subscribes to it', () => {
    const world = new World();
    const client = staying(world, { will: will('gone', { payload: Buffer.from('s'), qos: 1 }) });
    client.subscribe('gone', 1);
    client.hangUp();
    expect(back(world).texts()).toEqual(['gone s']);
  });
});

describe('retained messages', () => {
  test('are given to a new subscription with RETAIN set, and cleared by an empty payload', () => {
    const world = new World();
    const publisher = MqttClient.connected(world, 'p');
    const early = MqttClient.connected(world, 'e');
    early.subscribe('r/#');
    publisher.publish('r/a', 'A', { retain: true });
    publisher.publish('r/b', 'B', { retain: true, qos: 1 });
    expect(early.messages().map((m) => m.retain)).toEqual([false, false]);
    const late = MqttClient.connected(world, 'l');
    const got = late
      .subscribe('r/+', 1)
      .filter((packet) => packet.type === PacketType.PUBLISH)
      .sort((a, b) => (a.topic < b.topic ? -1 : 1));
    expect(got).toMatchObject([
      { topic: 'r/a', retain: true, qos: 0 },
      { topic: 'r/b', retain: true, qos: 1 },
    ]);
    publisher.publish('r/a', '', { retain: true });
    const last = MqttClient.connected(world, 'last', { protocolVersion: V311 });
    expect(last.subscribe('r/#').slice(1)).toMatchObject([{ topic: 'r/b', retain: true }]);
  });

  test('retain as published keeps the flag', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c');
    client.subscribe('r', 0, { retainAsPublished: true });
    client.publish('r', 'x', { retain: true });
    expect(client.messages()).toMatchObject([{ retain: true }]);
  });
});

describe('queues', () => {
  test('the consumers of $queue/jobs take turns, and one that leaves gives its messages to the other, flagged', () => {
    const world = new World();
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id));
    a!.subscribe('$queue/jobs', 1);
    b!.subscribe('$queue/jobs', 1);
    const publisher = MqttClient.connected(world, 'p', { protocolVersion: V311 });
    for (let i = 0; i < 4; i++) publisher.publish('$queue/jobs', `job${i}`, { qos: 1 });
    const first = a!.messages();
    expect(first).toHaveLength(2);
    expect(b!.messages()).toHaveLength(2);
    a!.hangUp();
    const moved = b!.messages();
    expect(moved.map((m) => Buffer.from(m.payload).toString())).toEqual(
      first.map((m) => Buffer.from(m.payload).toString()),
    );
    for (const message of moved) expect(message.properties.userProperties).toEqual(['x-delivery-count', '1']);
  });

  test('$share gives each message to one member', () => {
    const world = new World();
    const members = ['a', 'b', 'c'].map((id) => MqttClient.connected(world, id));
    for (const member of members) member.subscribe('$share/g/x/+', 1);
    const publisher = MqttClient.connected(world, 'p');
    for (let i = 0; i < 9; i++) publisher.publish(`x/${i}`, 'm', { qos: 1 });
    expect(members.map((member) => member.messages().length)).toEqual([3, 3, 3]);
  });
});

describe('properties of MQTT 5', () => {
  test('travel from end to end, in order and with duplicates', () => {
    const world = new World();
    const subscriber = MqttClient.connected(world, 's');
    subscriber.subscribe('a', 2, {}, 42);
    const sent = properties({
      payloadFormat: 1,
      contentType: 'text/plain',
      responseTopic: 'reply/to',
      correlationData: Buffer.from([1, 2, 3]),
      userProperties: ['k', '1', 'k', '2', 'a', 'b'],
    });
    MqttClient.connected(world, 'p').publish('a', 'x', { qos: 1, properties: sent });
    const [message] = subscriber.messages();
    expect(message!.properties).toMatchObject({
      ...sent,
      correlationData: expect.anything(),
      subscriptionIdentifiers: [42],
    });
    expect([...message!.properties.correlationData!]).toEqual([1, 2, 3]);
  });

  test('a topic alias stands for its topic', () => {
    const world = new World();
    const subscriber = MqttClient.connected(world, 's');
    subscriber.subscribe('long/topic/name');
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('long/topic/name', '1', { properties: properties({ topicAlias: 3 }) });
    publisher.publish('', '2', { properties: properties({ topicAlias: 3 }) });
    expect(subscriber.texts()).toEqual(['long/topic/name 1', 'long/topic/name 2']);
    publisher.publish('', '3', { properties: properties({ topicAlias: 4 }) });
    expect(publisher.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x82 }]);
  });

  test('an expired message is not delivered, a waiting one says how long it has left', async () => {
    const world = await new World().open();
    const resume = { clean: false, properties: properties({ sessionExpiryIntervalS: 1000 }) };
    MqttClient.connected(world, 's', resume).subscribe('a', 1);
    for (const { transport } of [...world.mqttAdapter.connections])
      (transport as unknown as { hangUp(): void }).hangUp();
    const publisher = MqttClient.connected(world, 'p');
    publisher.publish('a', 'short', { qos: 1, properties: properties({ messageExpiryIntervalS: 5 }) });
    publisher.publish('a', 'long', { qos: 1, properties: properties({ messageExpiryIntervalS: 100 }) });
    world.advance(30_000);
    const subscriber = new MqttClient(world);
    subscriber.send(connect({ clientId: 's', ...resume }));
    const messages = subscriber.messages();
    expect(messages.map((m) => Buffer.from(m.payload).toString())).toEqual(['long']);
    expect(messages[0]!.properties.messageExpiryIntervalS).toBe(70);
  });

  test('no local keeps a client from its own messages', () => {
    const world = new World();
    const client = MqttClient.connected(world, 'c');
    client.subscribe('a', 1, { noLocal: true });
    client.publish('a', 'own', { qos: 1 });
    MqttClient.connected(world, 'other').publish('a', 'theirs', { qos: 1 });
    expect(client.texts()).toEqual(['a theirs']);
  });
});
