import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressToTopic, filterToAddress, patternToFilter, topicToAddress } from '../../../protocols/mqtt/addresses.ts';
import { type Address, queueAddress, topicAddress } from '../../../src/core/address.ts';
import { RoutingKey } from '../../../src/core/routing-key.ts';
import { exchangeName, literalPath, mqttTopic, queueName } from '../address-texts.ts';

const invalid = expect.objectContaining({ name: 'BrokerError', code: 'invalid-argument' });
const closed = expect.objectContaining({ name: 'BrokerError', code: 'access-refused' });

function exchangeAddress(exchange: string, path: string): Address {
  return { exchange, key: new RoutingKey(path) };
}

/** Exchange and path: what an address is, whatever else its object says. */
function parts(address: Address): [string, string] {
  return [address.exchange, address.key.path];
}

describe('MQTT topics as addresses', () => {
  test('a plain topic is a key of amq.topic, letter for letter', () => {
    for (const topic of ['a/b/c', 'a', '/', '/a', 'a//b', 'a.b/c', 'a%2Fb', '%00', '$foo/bar', 'a/$queue', ' ']) {
      const address = topicToAddress(topic);
      expect([address.kind, ...parts(address), address.declare]).toEqual(['topic', 'amq.topic', topic, false]);
      expect(addressToTopic(address)).toBe(topic);
    }
  });

  test('$queue and $amq/queue name a queue, which is declared or must exist', () => {
    expect(topicToAddress('$queue/jobs')).toMatchObject({
      kind: 'queue',
      exchange: '',
      key: { path: 'jobs' },
      declare: true,
    });
    expect(topicToAddress('$amq/queue/jobs')).toMatchObject({ kind: 'queue', key: { path: 'jobs' }, declare: false });
    expect(topicToAddress('$dlq/jobs')).toMatchObject({ kind: 'queue', key: { path: 'jobs.dlq' }, declare: false });
    expect(parts(topicToAddress('$queue/a/b%2Bc%'))).toEqual(['', 'a/b+c%']);
    expect(addressToTopic(queueAddress('a/b+c#d%e\n'))).toBe('$queue/a/b%2Bc%23d%25e%0A');
  });

  test('$exchange names an exchange and a key', () => {
    const address = topicToAddress('$exchange/logs%2Feu/a/b%2Fc/%23');
    expect([address.kind, ...parts(address)]).toEqual(['exchange', 'logs/eu', 'a/b\0sc/\0h']);
    expect(addressToTopic(address)).toBe('$exchange/logs%2Feu/a/b%2Fc/%23');
    expect(parts(topicToAddress('$exchange/logs'))).toEqual(['logs', '']);
    expect(parts(topicToAddress('$exchange/logs/'))).toEqual(['logs', '']);
    expect(parts(topicToAddress('$exchange/logs//'))).toEqual(['logs', '/']);
    expect(topicToAddress('$exchange/amq.topic/a/b')).toMatchObject({ kind: 'topic', key: { path: 'a/b' } });
  });

  test('an address that a topic can not say is shown through its exchange', () => {
    expect(addressToTopic(topicAddress('$queue/a'))).toBe('$exchange/amq.topic/$queue/a');
    expect(addressToTopic(topicAddress(''))).toBe('$exchange/amq.topic');
    expect(addressToTopic(topicAddress('$SYS/broker/uptime'))).toBe('$SYS/broker/uptime');
  });

  test('levels of other protocols show what MQTT can not say percent-encoded', () => {
    expect(addressToTopic(topicAddress('a\0sb/\0p/\0h'))).toBe('a%2Fb/%2B/%23');
  });

  test('texts that are no topic name are refused', () => {
    for (const text of [
      '',
      'a/+',
      '#',
      'a\0b',
      '$queue',
      '$queue/',
      '$queue/%00',
      '$amq',
      '$amq/queue',
      '$amq/queue/',
      '$amq/x/y',
      '$exchange',
      '$exchange/',
      '$exchange//key',
      '$exchange/e/%00',
      '$exchange/%00/k',
    ]) {
      expect(() => topicToAddress(text), text).toThrow(invalid);
    }
    expect(() => topicToAddress('x'.repeat(65_536))).toThrow(invalid);
  });

  test('names that nobody can publish to are refused, whichever way they are written', () => {
    for (const text of [
      '$SYS/broker',
      '$SYS',
      '$exchange/amq.topic/$SYS/x',
      '$exchange/amq.topic/%24SYS/x',
      '$share/g/a',
      '$exclusive/a',
      '$delayed/5/a',
      '$event/x',
      '$stream/s',
      '$return/c',
      '$CONTROL/x',
    ]) {
      expect(() => topicToAddress(text), text).toThrow(closed);
    }
  });

  test('every topic is its address and back', () => {
    fc.assert(
      fc.property(mqttTopic, (topic) => {
        expect(addressToTopic(topicToAddress(topic))).toBe(topic);
      }),
      { numRuns: 1000 },
    );
  });

  test('every queue and every key of another exchange is its topic and back', () => {
    fc.assert(
      fc.property(queueName, exchangeName, literalPath, (queue, exchange, path) => {
        expect(parts(topicToAddress(addressToTopic(queueAddress(queue))))).toEqual(['', queue]);
        expect(parts(topicToAddress(addressToTopic(exchangeAddress(exchange, path))))).toEqual([exchange, path]);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('MQTT filters as addresses', () => {
  const plain = { kind: 'binding', exchange: 'amq.topic', share: null, exclusive: false };

  test('a plain filter is a pattern of amq.topic, letter for letter', () => {
    for (const filter of ['a/b', '#', '+', '+/a/#', '/+', '$SYS/#', '$foo/+', 'a%2B/+']) {
      expect(filterToAddress(filter)).toEqual({ ...plain, pattern: filter });
    }
  });

  test('shared and exclusive subscriptions keep the filter and say what they are', () => {
    expect(filterToAddress('$share/g/a/+')).toEqual({ ...plain, pattern: 'a/+', share: 'g' });
    expect(filterToAddress('$share/g/$SYS/#')).toEqual({ ...plain, pattern: '$SYS/#', share: 'g' });
    expect(filterToAddress('$share/g//a')).toEqual({ ...plain, pattern: '/a', share: 'g' });
    expect(filterToAddress('$exclusive/a/#')).toEqual({ ...plain, pattern: 'a/#', exclusive: true });
    expect(filterToAddress('$share/g/$exchange/logs/#')).toEqual({
      ...plain,
      exchange: 'logs',
      pattern: '#',
      share: 'g',
    });
    expect(filterToAddress('$exclusive/$exchange/logs/+')).toEqual({
      ...plain,
      exchange: 'logs',
      pattern: '+',
      exclusive: true,
    });
  });

  test('queues are named as for publishing', () => {
    expect(filterToAddress('$queue/jobs')).toEqual({ kind: 'queue', queue: 'jobs', declare: true });
    expect(filterToAddress('$amq/queue/jobs')).toEqual({ kind: 'queue', queue: 'jobs', declare: false });
    expect(filterToAddress('$dlq/a/b')).toEqual({ kind: 'queue', queue: 'a/b.dlq', declare: false });
  });

  test('a pattern of any exchange has wildcards where levels are, and escapes elsewhere', () => {
    expect(filterToAddress('$exchange/logs/+/%2B/a%2Fb/#')).toEqual({
      ...plain,
      exchange: 'logs',
      pattern: '+/\0p/a\0sb/#',
    });
    expect(filterToAddress('$exchange/logs')).toEqual({ ...plain, exchange: 'logs', pattern: '' });
  });

  test('what is no filter, or asks for what does not go together, is refused', () => {
    for (const text of [
      '',
      'a+',
      'a/#/b',
      '$share/g',
      '$share//a',
      '$share/g/',
      '$share/+/a',
      '$exclusive/',
      '$queue/+',
      '$queue/#',
      '$amq/queue/a/#',
      '$exchange/+/a',
      '$exchange/#',
      '$share/g/$queue/a',
      '$exclusive/$queue/a',
      '$share/g/$share/h/a',
      '$share/g/$exclusive/a',
      '$exclusive/$share/g/a',
      '$queue/%00',
    ]) {
      expect(() => filterToAddress(text), text).toThrow(invalid);
    }
    for (const text of ['$delayed/1/a', '$event/#', '$stream/s', '$share/g/$event/x', '$exclusive/$CONTROL/#']) {
      expect(() => filterToAddress(text), text).toThrow(closed);
    }
  });

  test('an error names the text, cut to a readable length', () => {
    expect(() => filterToAddress(`$queue/+/${'x'.repeat(1000)}`)).toThrow(
      /^"\$queue\/\+\/x{191}…" is no address: .*%2B/,
    );
  });

  test('every pattern of another exchange is its filter and back', () => {
    const wild = fc.tuple(literalPath, fc.constantFrom('', '/+', '/+/x', '/#')).map(([path, more]) => path + more);
    fc.assert(
      fc.property(exchangeName, wild, (exchange, pattern) => {
        const address = filterToAddress(patternToFilter(exchange, pattern));
        expect(address).toEqual({ ...plain, exchange, pattern });
      }),
      { numRuns: 1000 },
    );
    expect(patternToFilter('amq.topic', 'a/+')).toBe('a/+');
    expect(patternToFilter('amq.topic', '$queue/+')).toBe('$exchange/amq.topic/$queue/+');
    expect(patternToFilter('amq.topic', 'a\0p/+')).toBe('$exchange/amq.topic/a%2B/+');
  });
});
