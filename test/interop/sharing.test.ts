// What clients of different protocols share, and what they are kept from: groups, names that must exist, addresses below '$', virtual hosts.
import { describe, expect, it } from 'vitest';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { AuthResult } from '../../src/core/authenticator.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { frame, StompClient, StompWorld } from '../support/stomp-client.ts';
import { MQTT_SPEAKERS, SPEAKERS, STOMP_SPEAKERS } from './peer.ts';

const numbers = (texts: readonly string[]): number[] => texts.map((text) => Number(text.split(' ').at(-1)));

describe('a share group', () => {
  it.each(MQTT_SPEAKERS)(
    'has members of both protocols, each message for one of them: published by $name',
    (speaker) => {
      const world = new StompWorld();
      const mqtt = MqttClient.connected(world, 'member');
      expect(mqtt.subscribe('$share/team/work/#', 1)[0]).toMatchObject({ reasonCodes: [1] });
      const stomp = StompClient.connected(world);
      stomp.subscribe('/topic/work.#', { 'x-share-group': 'team' });
      const outsider = StompClient.connected(world);
      outsider.subscribe('/topic/work.#');
      const publisher = speaker.connect(world, 'publisher');
      for (let i = 0; i < 10; i++) publisher.publish(publisher.topic('work/x'), String(i));
      const [here, there] = [numbers(mqtt.texts()), numbers(stomp.bodies())];
      expect([here.length, there.length]).toEqual([5, 5]);
      expect([...here, ...there].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(numbers(outsider.bodies()).length).toBe(10);
    },
  );

  it('goes on without a member that is lost, which takes nothing with it', () => {
    const world = new StompWorld();
    const mqtt = MqttClient.connected(world, 'member');
    mqtt.subscribe('$share/team/work', 1);
    const stomp = StompClient.connected(world);
    stomp.subscribe('/topic/work', { 'x-share-group': 'team', ack: 'client-individual' });
    const publisher = STOMP_SPEAKERS[2]!.connect(world, 'publisher');
    for (let i = 0; i < 4; i++) publisher.publish('/topic/work', String(i));
    const lost = numbers(stomp.bodies());
    expect(lost.length).toBe(2);
    const before = numbers(mqtt.texts());
    stomp.hangUp();
    expect([...before, ...numbers(mqtt.texts())].sort()).toEqual([0, 1, 2, 3]);
  });
});

describe('a queue that must exist', () => {
  it('is missed by both protocols in their own words, and made by neither', () => {
    const world = new StompWorld();
    const mqtt = MqttClient.connected(world, 'mqtt');
    expect(mqtt.subscribe('$amq/queue/none', 1)[0]).toMatchObject({ reasonCodes: [0x8f] });
    mqtt.publish('$amq/queue/none', 'x', { qos: 1 });
    expect(mqtt.receive()).toMatchObject([{ type: PacketType.PUBACK, reasonCode: 0x87 }]);
    for (const asked of [
      frame('SUBSCRIBE', { id: '1', destination: '/amq/queue/none' }),
      frame('SEND', { destination: '/amq/queue/none' }, 'x'),
    ]) {
      const stomp = StompClient.connected(world);
      stomp.send(asked);
      expect(stomp.error()?.header('message')).toBe('not_found');
    }
    expect([...world.broker.addVhost('/').queues.keys()]).toEqual([]);
  });

  it.each(SPEAKERS)('is found by everybody once $name has made it', (maker) => {
    const world = new StompWorld();
    const made = maker.connect(world, 'maker');
    made.publish(made.queue('made'), 'first');
    const mqtt = MqttClient.connected(world, 'mqtt');
    mqtt.publish('$amq/queue/made', 'second', { qos: 1 });
    mqtt.receive();
    const stomp = StompClient.connected(world);
    stomp.subscribe('/amq/queue/made');
    expect(stomp.bodies()).toEqual(['first', 'second']);
  });
});

describe('addresses below $', () => {
  it.each(SPEAKERS)('are not matched by wildcards in the first level: published by $name', (speaker) => {
    const world = new StompWorld();
    const publisher = speaker.connect(world, 'publisher');
    const mqtt = MqttClient.connected(world, 'mqtt');
    const stomp = StompClient.connected(world);
    for (const filter of ['#', '+/x', '+/#']) mqtt.subscribe(filter, 1);
    for (const [id, destination] of Object.entries(['/topic/#', '/topic/*.x', '/topic/#.x', '/topic/*.#']))
      stomp.subscribe(destination, { id });
    publisher.publish(publisher.topic('$own/x'), 'no');
    expect([mqtt.texts(), stomp.bodies()]).toEqual([[], []]);
    mqtt.subscribe('$own/#', 1);
    stomp.subscribe('/topic/$own.*', { id: 'own' });
    publisher.publish(publisher.topic('$own/x'), 'yes');
    expect([mqtt.texts(), stomp.bodies()]).toEqual([['$own/x yes'], ['yes']]);
  });

  it('that are the broker’s own cannot be published to', () => {
    const world = new StompWorld();
    const mqtt = MqttClient.connected(world, 'mqtt');
    mqtt.publish('$SYS/broker/version', 'x', { qos: 1 });
    expect(mqtt.receive()).toMatchObject([{ reasonCode: 0x87 }]);
    const stomp = StompClient.connected(world);
    stomp.send(frame('SEND', { destination: '/topic/$SYS.broker.version' }, 'x'));
    expect(stomp.error()?.header('message')).toBe('access_refused');
  });

  it('that are for replies to one client are read by no other, of either protocol', () => {
    const world = new StompWorld();
    const mqtt = MqttClient.connected(world, 'nosy');
    for (const filter of [
      '$reply/#',
      '$reply/other/#',
      '$share/g/$reply/other/x',
      '$exchange/amq.topic/$reply/other/x',
    ]) {
      expect(mqtt.subscribe(filter, 1)[0]).toMatchObject({ reasonCodes: [0x87] });
    }
    for (const destination of ['/topic/$reply.#', '/topic/$reply.other.x', '/exchange/amq.topic/$reply.#']) {
      const stomp = StompClient.connected(world);
      stomp.send(frame('SUBSCRIBE', { id: '1', destination }));
      expect(stomp.error()?.header('message')).toBe('access_refused');
    }
  });
});

describe('a virtual host', () => {
  it('is the same world for both protocols, and another one than the next', () => {
    const granted: AuthResult = { ok: true, principal: { name: 'meter', policy: null } };
    const world = new StompWorld({ authenticator: { authenticate: () => granted } });
    world.broker.addVhost('plant');
    const mqtt = (clientId: string, username: string) =>
      MqttClient.connected(world, clientId, { protocolVersion: ProtocolVersion.V5, username });
    const [inside, outside] = [mqtt('inside', 'plant:meter'), mqtt('outside', 'meter')];
    const stompInside = StompClient.connected(world, undefined, { host: 'plant' });
    const stompOutside = StompClient.connected(world, undefined, { host: 'broker.example' });
    for (const client of [inside, outside]) client.subscribe('#', 1);
    for (const client of [stompInside, stompOutside]) client.subscribe('/topic/#');
    inside.publish('a', 'by MQTT inside');
    stompInside.publish('/topic/a', 'by STOMP inside');
    outside.publish('a', 'by MQTT outside');
    stompOutside.publish('/topic/a', 'by STOMP outside');
    expect(inside.texts()).toEqual(['a by MQTT inside', 'a by STOMP inside']);
    expect(stompInside.bodies()).toEqual(['by MQTT inside', 'by STOMP inside']);
    expect(outside.texts()).toEqual(['a by MQTT outside', 'a by STOMP outside']);
    expect(stompOutside.bodies()).toEqual(['by MQTT outside', 'by STOMP outside']);
  });
});
