// Whatever an MQTT client names, a STOMP client is shown under a name that leads back to it, through the whole broker: for any topic, queue, exchange and filter.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { Version } from '../../protocols/stomp/frame.ts';
import { StompWorld } from '../support/stomp-client.ts';
import { encodeByte, MqttPeer, StompPeer } from './peer.ts';

const { V311, V5 } = ProtocolVersion;

/** Levels with whatever makes trouble in some notation: separators, escapes, wildcards of the other one, spaces, controls, any plane of Unicode. */
const level = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: fc.constantFrom(...'abc.%*>2E: \\~\t\n\r$é🙂'), maxLength: 6 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', '.', '*', '>', '%', '%2F', '%2B', '%00', ' ', '\u0001', '\u007f', '\u0085'),
  },
);

const RESERVED =
  /^\$(queue|amq|dlq|exchange|share|exclusive|delayed|return|stream|event|trace|tx|shadow|opt|CONTROL|SYS|reply|temp)(\/|$)/;

/** Any topic that a client may publish to. */
const topic = fc
  .array(level, { minLength: 1, maxLength: 6 })
  .map((levels) => levels.join('/').replace(/[+#\0]/g, '_'))
  .filter((text) => text !== '' && !RESERVED.test(text) && !/\p{Cs}/u.test(text));

/** Levels of a key as STOMP can have them: with MQTT's separator and wildcards inside. */
const stompLevels = fc
  .array(fc.string({ unit: fc.constantFrom(...'abc./+#%*>2F: \\~\té🙂'), maxLength: 6 }), {
    minLength: 1,
    maxLength: 5,
  })
  .filter((levels) => levels.join('/') !== '' && !levels[0]?.startsWith('$') && !levels.at(-1)?.endsWith(' '));

/** Names of queues, as MQTT writes them. */
const queueName = fc
  .string({ unit: fc.constantFrom(...'abc./%*>2E: \\~\té🙂'), minLength: 1, maxLength: 12 })
  .filter((name) => !name.startsWith('$') && !/%00/.test(name));

describe.each([Version.V1_0, Version.V1_1, Version.V1_2])('through STOMP %i', (version) => {
  it('any MQTT topic leads back to itself', () => {
    fc.assert(
      fc.property(topic, fc.constantFrom(V311, V5), (name, mqttVersion) => {
        const world = new StompWorld();
        const publisher = new MqttPeer(world, mqttVersion, 'publisher');
        const stomp = new StompPeer(world, version);
        const watcher = new MqttPeer(world, V5, 'watcher');
        // Not matched by a wildcard in the first level.
        stomp.subscribe(name.startsWith('$') ? `${stomp.topic(name.split('/')[0] ?? '')}.#` : '/topic/#');
        publisher.publish(name, 'there');
        const heard = stomp.receive();
        expect(heard.map(({ payload }) => payload.toString())).toEqual(['there']);
        watcher.subscribe(name);
        stomp.publish(heard[0]?.destination ?? '', 'and back');
        expect(watcher.receive().map(({ destination, payload }) => [destination, payload.toString()])).toEqual([
          [name, 'and back'],
        ]);
      }),
      { numRuns: 150 },
    );
  });

  it('any MQTT topic leads back to itself where STOMP separates levels by slashes', () => {
    fc.assert(
      fc.property(topic, (name) => {
        const world = new StompWorld();
        const publisher = new MqttPeer(world, V311, 'publisher');
        const stomp = new StompPeer(world, version);
        const watcher = new MqttPeer(world, V311, 'watcher');
        const first = name.split('/')[0] ?? '';
        stomp.subscribe(name.startsWith('$') ? `${stomp.topic(first)}/#` : '/topic/#/#');
        publisher.publish(name, 'there');
        const [heard] = stomp.receive();
        watcher.subscribe(name);
        stomp.publish(heard?.destination ?? '', 'and back');
        expect(watcher.receive().map(({ destination }) => destination)).toEqual([name]);
      }),
      { numRuns: 100 },
    );
  });

  it('any MQTT topic, as a filter of one, is the same subscription in STOMP', () => {
    fc.assert(
      fc.property(topic, topic, (name, other) => {
        const world = new StompWorld();
        const publisher = new MqttPeer(world, V311, 'publisher');
        const scout = new StompPeer(world, version);
        scout.subscribe(name.startsWith('$') ? `${scout.topic(name.split('/')[0] ?? '')}.#` : '/topic/#');
        publisher.publish(name, 'x');
        const [shown] = scout.receive();
        const stomp = new StompPeer(world, version);
        stomp.subscribe(shown?.destination ?? '');
        if (other !== name) publisher.publish(other, 'no');
        publisher.publish(name, 'yes');
        expect(stomp.receive().map(({ payload }) => payload.toString())).toEqual(['yes']);
      }),
      { numRuns: 100 },
    );
  });

  it('any STOMP topic is shown to STOMP as it is, and to MQTT with what MQTT cannot say encoded', () => {
    fc.assert(
      fc.property(stompLevels, (levels) => {
        const world = new StompWorld();
        const publisher = new StompPeer(world, version);
        const stomp = new StompPeer(world, version);
        const mqtt = new MqttPeer(world, V5, 'mqtt');
        const exact = new MqttPeer(world, V311, 'exact');
        stomp.subscribe('/topic/#');
        mqtt.subscribe('#');
        // The address that says every key there is.
        exact.subscribe(
          `$exchange/amq.topic/${levels.map((one) => one.replace(/[/+#%]|\p{Cc}/gu, encodeByte)).join('/')}`,
        );
        publisher.publish(`/topic/${levels.map((one) => one.replace(/[./%*#>]|\p{Cc}/gu, encodeByte)).join('.')}`, 'x');
        const [heard] = stomp.receive();
        const shown = (heard?.destination ?? '').slice('/topic/'.length).split('.').map(decodeURIComponent);
        expect(shown).toEqual(levels);
        const topicShown = levels.map((one) => one.replace(/[/+#]/g, encodeByte)).join('/');
        for (const peer of [mqtt, exact])
          expect(peer.receive().map(({ destination }) => destination)).toEqual([topicShown]);
      }),
      { numRuns: 100 },
    );
  });

  it('any queue leads back to itself', () => {
    fc.assert(
      fc.property(queueName, (name) => {
        const world = new StompWorld();
        const mqtt = new MqttPeer(world, V5, 'mqtt');
        const stomp = new StompPeer(world, version);
        const replies = `$queue/${name}`;
        stomp.subscribe('/queue/service');
        mqtt.subscribe(replies);
        mqtt.publish('$queue/service', 'x', { replyTo: replies });
        const [request] = stomp.receive();
        stomp.publish(request?.replyTo ?? '', 'answer');
        expect(mqtt.receive().map(({ payload }) => payload.toString())).toEqual(['answer']);
      }),
      { numRuns: 100 },
    );
  });
});

describe('the addresses of the documentation', () => {
  it.each([
    ['a/b/c', '/topic/a.b.c'],
    ['a.b/c', '/topic/a%2Eb.c'],
    ['/a', '/topic/.a'],
    ['a/', '/topic/a.'],
    ['a//b', '/topic/a..b'],
    ['a*/>', '/topic/a%2A.%3E'],
    ['50%/x', '/topic/50%25.x'],
    ['$queue/jobs', '/queue/jobs'],
    ['$queue/a/b.c', '/queue/a/b.c'],
    ['$exchange/amq.direct/red/one', '/exchange/amq.direct/red.one'],
    ['$exchange/amq.fanout', '/exchange/amq.fanout'],
  ])('%s is %s', (mqttAddress, destination) => {
    const world = new StompWorld();
    const mqtt = new MqttPeer(world, V5, 'mqtt');
    const stomp = new StompPeer(world, Version.V1_2);
    stomp.subscribe(destination);
    mqtt.publish(mqttAddress, 'to STOMP');
    expect(stomp.receive().map((heard) => heard.destination)).toEqual([destination]);
    stomp.hangUp();
    const back = new StompPeer(world, Version.V1_2);
    mqtt.subscribe(mqttAddress);
    back.publish(destination, 'to MQTT');
    expect(mqtt.receive().map((heard) => heard.destination)).toEqual([mqttAddress]);
  });

  it.each([
    ['plant/+/temp', '/topic/plant.*.temp', '/topic/plant/*/temp'],
    ['plant/#', '/topic/plant.#', '/topic/plant/#'],
    ['+/temp', '/topic/*.temp', '/topic/*/temp'],
  ])('the filter %s is %s and %s', (filter, dotted, slashed) => {
    const world = new StompWorld();
    const mqtt = new MqttPeer(world, V5, 'mqtt');
    mqtt.subscribe(filter);
    const [withDots, withSlashes] = [new StompPeer(world, Version.V1_2), new StompPeer(world, Version.V1_2)];
    withDots.subscribe(dotted);
    withSlashes.subscribe(slashed);
    const publisher = new MqttPeer(world, V311, 'publisher');
    const topics = ['plant', 'plant/1', 'plant/1/temp', 'plant/1/2/temp', 'other/temp', 'plant/a.b/temp'];
    for (const name of topics) publisher.publish(name, name);
    const matched = mqtt.receive().map(({ payload }) => payload.toString());
    expect(withDots.receive().map(({ payload }) => payload.toString())).toEqual(matched);
    const slashes = withSlashes.receive();
    expect(slashes.map(({ payload }) => payload.toString())).toEqual(matched);
    // A subscription made with '/' is shown its destinations with '/'.
    for (const { destination } of slashes) expect(destination.slice('/topic/'.length)).not.toMatch(/^[^/]*\.[^/]*$/);
  });
});
