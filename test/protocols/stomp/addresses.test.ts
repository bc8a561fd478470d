import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressToTopic, filterToAddress, topicToAddress } from '../../../protocols/mqtt/addresses.ts';
import {
  addressToDestination,
  addressToReplyDestination,
  destinationToAddress,
  patternToDestination,
  type SendAddress,
  subscriptionToAddress,
} from '../../../protocols/stomp/addresses.ts';
import { type Address, queueAddress, topicAddress } from '../../../src/core/address.ts';
import { RouteResult } from '../../../src/core/exchange.ts';
import { RoutingKey } from '../../../src/core/routing-key.ts';
import { TopicTrie } from '../../../src/core/topic-trie.ts';
import { binding, matchesPattern } from '../../core/bindings.ts';
import { exchangeName, literalPath, mqttTopic, queueName, topicAndFilter } from '../address-texts.ts';

const invalid = expect.objectContaining({ name: 'BrokerError', code: 'invalid-argument' });
const closed = expect.objectContaining({ name: 'BrokerError', code: 'access-refused' });

const dialect = { activemq: false, levelsMax: 128 };
const activemq = { activemq: true, levelsMax: 128 };

function send(destination: string, by = dialect): SendAddress {
  const address = destinationToAddress(destination, by);
  if (address.kind === 'temp-queue' || address.kind === 'temp-topic') throw new Error('a temporary destination');
  return address as SendAddress;
}

function parts(address: Address): [string, string] {
  return [address.exchange, address.key.path];
}

describe('STOMP destinations as addresses', () => {
  test.each([
    ['/topic/a.b.c', 'topic', 'amq.topic', 'a/b/c', false, false],
    ['/topic/a', 'topic', 'amq.topic', 'a', false, false],
    ['/topic/.a', 'topic', 'amq.topic', '/a', false, false],
    ['/topic/.', 'topic', 'amq.topic', '/', false, false],
    ['/topic/a%2Eb.c', 'topic', 'amq.topic', 'a.b/c', false, false],
    ['/topic/a%2Fb.%2A.%23.%2B', 'topic', 'amq.topic', 'a\0sb/*/\0h/\0p', false, false],
    ['/topic/a/b', 'topic', 'amq.topic', 'a/b', false, true],
    ['/topic/price.stock/IBM', 'topic', 'amq.topic', 'price.stock/IBM', false, true],
    ['/topic//a/', 'topic', 'amq.topic', '/a/', false, true],
    ['/topic/100%', 'topic', 'amq.topic', '100%', false, false],
    ['/topic/a+b.c>', 'topic', 'amq.topic', 'a\0pb/c>', false, false],
    ['/queue/jobs', 'queue', '', 'jobs', true, false],
    ['/queue/a.b/c%2Fd *', 'queue', '', 'a.b/c/d *', true, false],
    ['/amq/queue/jobs', 'queue', '', 'jobs', false, false],
    ['/reply-queue/amq.gen-1', 'reply-queue', '', 'amq.gen-1', false, false],
    ['/exchange/logs/eu.error', 'exchange', 'logs', 'eu/error', false, false],
    ['/exchange/logs/eu/error', 'exchange', 'logs', 'eu/error', false, true],
    ['/exchange/my%2Flogs', 'exchange', 'my/logs', '', false, false],
    ['/exchange/logs/', 'exchange', 'logs', '', false, false],
    ['/exchange/amq.topic/a.b', 'topic', 'amq.topic', 'a/b', false, false],
  ] as const)('SEND to %s goes to %s %s %j', (destination, kind, exchange, path, declare, slashes) => {
    const address = send(destination);
    expect([address.kind, ...parts(address), address.declare, address.slashes]).toEqual([
      kind,
      exchange,
      path,
      declare,
      slashes,
    ]);
  });

  test("temporary destinations are known by the client's name for them", () => {
    for (const kind of ['temp-queue', 'temp-topic'] as const) {
      expect(destinationToAddress(`/${kind}/my%20box/1`, dialect)).toEqual({ kind, name: 'my box/1' });
      expect(subscriptionToAddress(`/${kind}/x`, dialect)).toEqual({ kind, name: 'x' });
    }
  });

  test('what is no destination is refused with the forms there are', () => {
    for (const text of [
      '',
      'topic/a',
      '/',
      '/topic',
      '/topic/',
      '/queue/',
      '/amq/queue/',
      '/amq/x',
      '/exchange/',
      '/exchange//k',
      '/temp-queue/',
      '/reply-queue/',
      '/Topic/a',
      '/dsub/x',
      '/topic/a\0',
      '/topic/a%00',
      '/queue/%00',
      '/exchange/%00/a',
      '/exchange/a/%00',
      '/temp-topic/%00',
    ]) {
      expect(() => destinationToAddress(text, dialect), text).toThrow(invalid);
      expect(() => subscriptionToAddress(text, dialect), text).toThrow(invalid);
    }
    expect(() => destinationToAddress('jobs', dialect)).toThrow(/"jobs".*\/queue\/<queue>/);
  });

  test('a message goes to one key, so a wildcard level has to be escaped', () => {
    for (const text of ['/topic/a.*', '/topic/#', '/topic/a/*/b', '/exchange/logs/#']) {
      expect(() => destinationToAddress(text, dialect), text).toThrow(invalid);
    }
    expect(() => destinationToAddress('/topic/a.*', dialect)).toThrow(/%2A/);
    expect(parts(send('/topic/a.>'))).toEqual(['amq.topic', 'a/>']);
    expect(() => destinationToAddress('/topic/a.>', activemq)).toThrow(/%3E/);
    expect(parts(send('/topic/a.%3E', activemq))).toEqual(['amq.topic', 'a/>']);
  });

  test('a key has no more levels than the limit', () => {
    const three = { activemq: false, levelsMax: 3 };
    expect(parts(send('/topic/a.b.c', three))).toEqual(['amq.topic', 'a/b/c']);
    for (const text of ['/topic/a.b.c.d', '/topic/a/b/c/d', '/exchange/e/a.b.c.d']) {
      expect(() => destinationToAddress(text, three), text).toThrow(/4 levels and the limit is 3/);
      expect(() => subscriptionToAddress(text, three), text).toThrow(invalid);
    }
    // A queue's name has no levels.
    expect(parts(send('/queue/a.b.c.d', three))).toEqual(['', 'a.b.c.d']);
  });

  test('nobody sends to $SYS, whichever way it is written', () => {
    for (const text of ['/topic/$SYS.x', '/topic/$SYS', '/topic/%24SYS/x', '/exchange/amq.topic/$SYS.x']) {
      expect(() => destinationToAddress(text, dialect), text).toThrow(closed);
      expect(subscriptionToAddress(text, dialect)).toMatchObject({ kind: 'binding', exchange: 'amq.topic' });
    }
  });

  test('an address is shown in the notation that was asked for', () => {
    expect(addressToDestination(topicAddress('a.b/c'), false)).toBe('/topic/a%2Eb.c');
    expect(addressToDestination(topicAddress('a.b/c'), true)).toBe('/topic/a.b/c');
    expect(addressToDestination(topicAddress('a.b'), true)).toBe('/topic/a%2Eb');
    expect(addressToDestination(topicAddress('/a'), false)).toBe('/topic/.a');
    expect(addressToDestination(topicAddress(''), false)).toBe('/exchange/amq.topic');
    expect(addressToDestination(topicAddress('a/>/*/x '), false)).toBe('/topic/a.%3E.%2A.x%20');
    expect(addressToDestination(queueAddress('a.b/c 100%\r\n'), true)).toBe('/queue/a.b/c 100%25%0D%0A');
    expect(addressToDestination({ exchange: 'my/logs', key: new RoutingKey('eu/x') }, false)).toBe(
      '/exchange/my%2Flogs/eu.x',
    );
    expect(addressToReplyDestination(queueAddress('amq.gen-1'))).toBe('/reply-queue/amq.gen-1');
    expect(addressToReplyDestination(topicAddress('a/b'))).toBe('/topic/a.b');
  });

  test('every MQTT topic is a STOMP destination and back, in both notations', () => {
    fc.assert(
      fc.property(mqttTopic, fc.boolean(), fc.boolean(), (topic, slashes, activemq) => {
        const destination = addressToDestination(topicToAddress(topic), slashes);
        expect(destination).not.toMatch(/\p{Cc}| $/u);
        expect(addressToTopic(send(destination, { ...dialect, activemq }))).toBe(topic);
      }),
      { numRuns: 2000 },
    );
  });

  test('every address is its STOMP destination and back, in both notations', () => {
    fc.assert(
      fc.property(
        queueName,
        fc.oneof(exchangeName, fc.constant('amq.topic')),
        literalPath,
        fc.boolean(),
        (queue, exchange, path, slashes) => {
          fc.pre(exchange !== 'amq.topic' || !/^\$SYS(\/|$)/.test(path));
          expect(parts(send(addressToDestination(queueAddress(queue), slashes)))).toEqual(['', queue]);
          expect(parts(send(addressToReplyDestination(queueAddress(queue))))).toEqual(['', queue]);
          const key = { exchange, key: new RoutingKey(path) };
          expect(parts(send(addressToDestination(key, slashes), activemq))).toEqual([exchange, path]);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('STOMP subscriptions as addresses', () => {
  const plain = { kind: 'binding', exchange: 'amq.topic', slashes: false };

  test('wildcards are whole levels, anywhere', () => {
    expect(subscriptionToAddress('/topic/*.b.#', dialect)).toEqual({ ...plain, pattern: '+/b/#' });
    expect(subscriptionToAddress('/topic/#.b', dialect)).toEqual({ ...plain, pattern: '#/b' });
    expect(subscriptionToAddress('/topic/a*.%2A', dialect)).toEqual({ ...plain, pattern: 'a*/*' });
    expect(subscriptionToAddress('/topic/a/*/c', dialect)).toEqual({ ...plain, pattern: 'a/+/c', slashes: true });
    expect(subscriptionToAddress('/exchange/logs/eu.#', dialect)).toEqual({
      ...plain,
      exchange: 'logs',
      pattern: 'eu/#',
    });
    expect(subscriptionToAddress('/exchange/logs', dialect)).toEqual({ ...plain, exchange: 'logs', pattern: '' });
  });

  test('> is a wildcard where the dialect says so', () => {
    expect(subscriptionToAddress('/topic/a.>', dialect)).toEqual({ ...plain, pattern: 'a/>' });
    expect(subscriptionToAddress('/topic/a.>', activemq)).toEqual({ ...plain, pattern: 'a/#' });
    expect(subscriptionToAddress('/topic/a.%3E', activemq)).toEqual({ ...plain, pattern: 'a/>' });
  });

  test('queues are named as for SEND, without wildcards', () => {
    expect(subscriptionToAddress('/queue/a.*', dialect)).toEqual({ kind: 'queue', queue: 'a.*', declare: true });
    expect(subscriptionToAddress('/amq/queue/a', dialect)).toEqual({ kind: 'queue', queue: 'a', declare: false });
    expect(subscriptionToAddress('/reply-queue/a', dialect)).toEqual({
      kind: 'reply-queue',
      queue: 'a',
      declare: false,
    });
  });

  test('an MQTT filter matches a topic exactly when its STOMP form matches the STOMP form', () => {
    fc.assert(
      fc.property(topicAndFilter, fc.boolean(), fc.boolean(), ({ topic, filter }, slashes, activemq) => {
        const by = { ...dialect, activemq };
        const mqtt = filterToAddress(filter);
        if (mqtt.kind !== 'binding') throw new Error('a queue');
        const stomp = subscriptionToAddress(patternToDestination(mqtt.exchange, mqtt.pattern, slashes), by);
        if (stomp.kind !== 'binding') throw new Error('a queue');
        const trie = new TopicTrie();
        trie.add(binding(stomp.pattern));
        const result = new RouteResult().begin();
        trie.match(send(addressToDestination(topicToAddress(topic), !slashes), by).key, result);
        expect(result.destinations.length === 1).toBe(matchesPattern(filter, topic));
      }),
      { numRuns: 2000 },
    );
  });
});
