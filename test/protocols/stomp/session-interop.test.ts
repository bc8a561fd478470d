import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { connect, type Publish, properties, publish } from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { Version } from '../../../protocols/stomp/frame.ts';
import { MqttClient } from '../../support/mqtt-client.ts';
import { frame, StompClient, StompWorld } from '../../support/stomp-client.ts';

const STOMP = [Version.V1_0, Version.V1_1, Version.V1_2] as const;
const MQTT = [ProtocolVersion.V311, ProtocolVersion.V5] as const;

function setup(mqttVersion: ProtocolVersion = ProtocolVersion.V5, stompVersion: Version = Version.V1_2) {
  const world = new StompWorld();
  const mqtt = MqttClient.connected(world, 'mqtt', { protocolVersion: mqttVersion });
  return { world, mqtt, stomp: StompClient.connected(world, stompVersion) };
}

describe.each(MQTT.flatMap((m) => STOMP.map((s) => [m, s] as const)))('MQTT %s and STOMP %s', (m, s) => {
  it('exchange messages on topics, bodies untouched', () => {
    const { mqtt, stomp } = setup(m, s);
    const body = Buffer.from([0, 1, 2, 255, 10, 13, 0]);
    stomp.subscribe('/topic/a.*');
    mqtt.subscribe('a/+');
    mqtt.send(publishOf('a/b', body));
    const [message] = stomp.messages();
    expect(message!.header('destination')).toBe('/topic/a.b');
    expect(Buffer.from(message!.body)).toEqual(body);
    mqtt.messages();
    stomp.publish('/topic/a.c', body);
    const [packet] = mqtt.messages();
    expect(packet!.topic).toBe('a/c');
    expect(Buffer.from(packet!.payload)).toEqual(body);
  });
});

function publishOf(topic: string, payload: Buffer): Publish {
  return publish(topic, { payload });
}

describe('from MQTT to STOMP', () => {
  it('properties become headers', () => {
    const { mqtt, stomp } = setup();
    stomp.subscribe('/topic/#');
    mqtt.publish('a.b/c', 'x', {
      properties: properties({
        contentType: 'application/json',
        payloadFormat: 1,
        correlationData: Buffer.from('c-1'),
        responseTopic: 'answers/1.2',
        messageExpiryIntervalS: 60,
        userProperties: [
          'z',
          '1',
          'a',
          '2',
          'z',
          '3',
          'priority',
          '7',
          'message-id',
          'm',
          'timestamp',
          '12',
          'type',
          'T',
          'app-id',
          'app',
        ],
      }),
    });
    const [message] = stomp.messages();
    expect(message!.headers.slice(4)).toEqual([
      'expiration',
      '60000',
      'destination',
      '/topic/a%2Eb.c',
      'content-type',
      'application/json;charset=utf-8',
      'correlation-id',
      'c-1',
      'reply-to',
      '/topic/answers.1%2E2',
      'x-message-id',
      'm',
      'timestamp',
      '12',
      'type',
      'T',
      'app-id',
      'app',
      'priority',
      '7',
      'z',
      '1',
      'a',
      '2',
      'z',
      '3',
      'content-length',
      '1',
    ]);
  });

  it('correlation data that is no text comes as base64', () => {
    const { mqtt, stomp } = setup();
    stomp.subscribe('/topic/a');
    mqtt.publish('a', '', { properties: properties({ correlationData: Buffer.from([0xff, 0, 1]) }) });
    const [message] = stomp.messages();
    expect(message!.header('correlation-id')).toBe('/wAB');
    expect(message!.header('correlation-id-encoding')).toBe('base64');
  });

  it('user properties cannot forge what the broker says, or break the frame', () => {
    const { mqtt, stomp } = setup();
    stomp.subscribe('/topic/a');
    const forged = [
      'content-length',
      '0',
      'destination',
      '/queue/x',
      'message-id',
      'M',
      'message-id',
      'N',
      'subscription',
      's',
      '',
      'empty',
      'a:b\nc',
      'd\ne',
      'x-header-y',
      'z',
    ];
    mqtt.publish('a', 'body', { properties: properties({ userProperties: forged }) });
    mqtt.publish('a', 'after');
    const [message, after] = stomp.messages();
    expect(after!.text()).toBe('after');
    expect(message!.text()).toBe('body');
    expect(message!.header('destination')).toBe('/topic/a');
    expect(message!.headers.slice(4)).toEqual([
      'destination',
      '/topic/a',
      'x-message-id',
      'M',
      'x-header-content-length',
      '0',
      'x-header-destination',
      '/queue/x',
      'x-header-message-id',
      'N',
      'x-header-subscription',
      's',
      'x-header-',
      'empty',
      'a:b\nc',
      'd\ne',
      'x-header-x-header-y',
      'z',
      'content-length',
      '4',
    ]);
  });

  it('QoS above 0 is persistent', () => {
    const { mqtt, stomp } = setup();
    stomp.subscribe('/topic/a');
    mqtt.publish('a', '0');
    mqtt.publish('a', '1', { qos: 1 });
    expect(stomp.messages().map((m) => m.header('persistent'))).toEqual([null, 'true']);
  });

  it('retained messages and wills arrive', () => {
    const { world, mqtt, stomp } = setup();
    mqtt.publish('r/1', 'kept', { retain: true });
    const [retained] = stomp.subscribe('/topic/r.1').messages();
    expect([retained!.text(), retained!.header('retained')]).toEqual(['kept', 'true']);
    const dying = MqttClient.connected(world, 'dying', {
      will: { topic: 'r/1', payload: Buffer.from('gone'), qos: 0, retain: false, properties: properties({}) },
    });
    dying.hangUp();
    expect(stomp.bodies()).toEqual(['gone']);
  });

  it('many in one chunk stay in order, with acknowledgements and without', () => {
    const { mqtt, stomp } = setup();
    stomp.subscribe('/topic/a', { id: 'direct' }).subscribe('/topic/a', { id: 'queued', ack: 'client' });
    const bodies = Array.from({ length: 300 }, (_, i) => `${i}`);
    mqtt.send(...bodies.map((body) => publishOf('a', Buffer.from(body))));
    const got = stomp.messages();
    for (const id of ['direct', 'queued']) {
      expect(got.filter((m) => m.header('subscription') === id).map((m) => m.text())).toEqual(
        bodies.slice(0, id === 'direct' ? 300 : 100),
      );
    }
  });
});

describe('from STOMP to MQTT', () => {
  it('headers become properties', () => {
    const { mqtt, stomp } = setup();
    mqtt.subscribe('#', 1);
    stomp.publish('/topic/a%2Eb.c', 'x', {
      'content-type': 'text/plain;charset=utf-8',
      'correlation-id': 'c:1',
      'reply-to': '/queue/answers',
      expiration: 90_000,
      persistent: true,
      priority: 3,
      z: '1',
      a: '2',
      'content-encoding': 'identity',
      'x-message-id': 'm',
      timestamp: '5',
    });
    const [packet] = mqtt.messages();
    expect(packet!.topic).toBe('a.b/c');
    expect(packet!.qos).toBe(1);
    expect(packet!.properties).toMatchObject({
      contentType: 'text/plain',
      payloadFormat: 1,
      responseTopic: '$queue/answers',
      messageExpiryIntervalS: 90,
    });
    expect(Buffer.from(packet!.properties.correlationData!).toString()).toBe('c:1');
    const pairs = packet!.properties.userProperties!;
    expect(pairs.slice(-4)).toEqual(['z', '1', 'a', '2']);
    expect(pairs).toEqual(
      expect.arrayContaining(['content-encoding', 'identity', 'message-id', 'm', 'timestamp', '5', 'priority', '3']),
    );
  });

  it('a body that is not UTF-8 is not said to be', () => {
    const { mqtt, stomp } = setup();
    mqtt.subscribe('a');
    stomp.publish('/topic/a', Buffer.from([0xff]), { 'content-type': 'text/plain;charset=utf-8' });
    const [packet] = mqtt.messages();
    expect(packet!.properties.contentType).toBe('text/plain;charset=utf-8');
    expect(packet!.properties.payloadFormat).toBe(null);
  });

  it('retain:true is RETAIN for those who come later, and for those who asked to see it', () => {
    const { world, mqtt, stomp } = setup();
    mqtt.subscribe('a', 0, { retainAsPublished: true });
    stomp.publish('/topic/a', 'kept', { retain: true });
    expect(mqtt.messages()[0]!.retain).toBe(true);
    const late = MqttClient.connected(world, 'late');
    const replayed = late.subscribe('a').filter((packet) => packet.type === PacketType.PUBLISH);
    expect(replayed.map(({ retain, payload }) => [retain, Buffer.from(payload).toString()])).toEqual([[true, 'kept']]);
  });

  it('what waits for a session that is away is kept whole', () => {
    const { world, stomp } = setup();
    const away = { properties: properties({ sessionExpiryIntervalS: 1000 }), clean: false };
    const first = MqttClient.connected(world, 'away', away);
    first.subscribe('a', 1);
    first.hangUp();
    stomp.publish('/topic/a', 'one', { persistent: true, k: 'v' });
    stomp.publish('/topic/a', 'x'.repeat(100_000), { persistent: true });
    world.settle();
    const back = new MqttClient(world);
    back.send(connect({ clientId: 'away', ...away }));
    const got = back.messages();
    expect(got.map(({ payload }) => payload.length)).toEqual([3, 100_000]);
    expect(got[0]!.properties.userProperties).toEqual(['k', 'v']);
  });
});

describe('both ways', () => {
  it("a queue is shared by workers of both, and a dead one's messages go to the other", () => {
    const { mqtt, stomp } = setup();
    stomp.subscribe('/queue/jobs', { ack: 'client-individual' });
    mqtt.subscribe('$queue/jobs', 1);
    for (const job of ['1', '2', '3', '4']) stomp.publish('/queue/jobs', job);
    const taken = stomp.messages().map((m) => m.text());
    const others = mqtt.messages().map(({ payload }) => Buffer.from(payload).toString());
    expect([...taken, ...others].sort()).toEqual(['1', '2', '3', '4']);
    expect(taken.length).toBe(2);
    mqtt.hangUp();
    const again = stomp.messages();
    expect(again.map((m) => m.text()).sort()).toEqual(others.sort());
    expect(again.every((m) => m.header('redelivered') === 'true')).toBe(true);
  });

  it('a share group has members of both', () => {
    const { mqtt, stomp } = setup();
    mqtt.subscribe('$share/g/a/+');
    stomp.subscribe('/topic/a.*', { 'x-share-group': 'g' });
    for (const body of ['1', '2', '3', '4']) mqtt.publish('a/b', body);
    const [mine, theirs] = [stomp.bodies(), mqtt.messages()];
    expect([mine.length, theirs.length]).toEqual([2, 2]);
  });

  it('a request of MQTT is answered by STOMP, and one of STOMP by MQTT', () => {
    const { world, mqtt, stomp } = setup();
    stomp.subscribe('/topic/service');
    mqtt.subscribe('answers/me');
    mqtt.publish('service', 'ping', {
      properties: properties({ responseTopic: 'answers/me', correlationData: Buffer.from([0, 255]) }),
    });
    const [request] = stomp.messages();
    stomp.send(
      frame(
        'SEND',
        {
          destination: request!.header('reply-to')!,
          'correlation-id': request!.header('correlation-id')!,
          'correlation-id-encoding': request!.header('correlation-id-encoding')!,
        },
        'pong',
      ),
    );
    const [answer] = mqtt.messages();
    expect(Buffer.from(answer!.payload).toString()).toBe('pong');
    expect(Buffer.from(answer!.properties.correlationData!)).toEqual(Buffer.from([0, 255]));

    mqtt.subscribe('service/2');
    stomp.publish('/topic/service.2', 'ping', { 'reply-to': '/temp-queue/t', 'correlation-id': 'k' });
    const [asked] = mqtt.messages();
    mqtt.publish(asked!.properties.responseTopic!, 'pong', {
      properties: properties({ correlationData: asked!.properties.correlationData }),
    });
    const [back] = stomp.messages();
    expect([back!.text(), back!.header('correlation-id'), back!.header('subscription')]).toEqual([
      'pong',
      'k',
      '/temp-queue/t',
    ]);
    stomp.hangUp();
    mqtt.publish(asked!.properties.responseTopic!, 'late');
    expect([...world.broker.vhosts.get('/')!.queues.keys()].filter((name) => name.startsWith('stomp-temp-'))).toEqual(
      [],
    );
  });

  it('any MQTT topic goes through STOMP and back unchanged', () => {
    const { mqtt, stomp } = setup();
    const level = fc.string({ unit: 'grapheme', maxLength: 6 }).map((text) => text.replace(/[/+#\0$]/g, '_'));
    const topic = fc
      .array(level, { minLength: 1, maxLength: 5 })
      .map((levels) => levels.join('/'))
      .filter((text) => text !== '');
    stomp.subscribe('/topic/from.#');
    mqtt.subscribe('#');
    fc.assert(
      fc.property(topic, fc.uint8Array({ maxLength: 50 }), (text, payload) => {
        mqtt.send(publishOf(`from/${text}`, Buffer.from(payload)));
        mqtt.messages();
        const [message] = stomp.messages();
        stomp.publish(message!.header('destination')!, message!.body);
        const [back] = mqtt.messages();
        stomp.messages();
        expect(back!.topic).toBe(`from/${text}`);
        expect(Buffer.from(back!.payload).equals(Buffer.from(payload))).toBe(true);
      }),
      { numRuns: 300, seed: 7 },
    );
  });

  it.each(STOMP)('user properties go to STOMP %s and back unchanged, order and names', (version) => {
    const { mqtt, stomp } = setup(ProtocolVersion.V5, version);
    // What a version has no way to write is another test's business.
    const safe = version === Version.V1_2 ? /[\0]/g : /[\0\r\n]/g;
    const text = fc.string({ unit: 'grapheme', maxLength: 8 }).map((t) => t.replace(safe, '_'));
    const name = fc.oneof(
      text,
      fc.constantFrom('content-length', 'destination', 'x-header-a', 'id', 'receipt', 'selector'),
    );
    const plain = (t: string) => version !== Version.V1_0 || (!/:/.test(t) && t.trim() === t);
    const pairs = fc
      .uniqueArray(
        fc.tuple(
          name.filter(plain),
          text.filter((t) => version !== Version.V1_0 || t.trim() === t),
        ),
        { maxLength: 5, selector: ([n]) => n },
      )
      .map((list) => list.flat());
    stomp.subscribe('/topic/out');
    mqtt.subscribe('back');
    fc.assert(
      fc.property(pairs, (userProperties) => {
        mqtt.publish('out', 'x', {
          properties: properties({ userProperties: userProperties.length === 0 ? null : userProperties }),
        });
        const [message] = stomp.messages();
        const headers = message!.headers.filter(
          (_, i, all) => !['subscription', 'message-id', 'destination', 'content-length'].includes(all[i & ~1]!),
        );
        const sent = frame('SEND', { destination: '/topic/back' }, 'x');
        sent.headers.push(...headers);
        stomp.send(sent);
        const [packet] = mqtt.messages();
        expect(packet!.properties.userProperties ?? []).toEqual(userProperties);
      }),
      { numRuns: 200, seed: 11 },
    );
  });
});
