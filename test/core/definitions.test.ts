import { describe, expect, test } from 'vitest';
import { NO_ARGUMENTS } from '../../src/core/binding.ts';
import * as definitions from '../../src/core/definitions.ts';
import { exchangeSpec } from '../../src/core/exchange-node.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { CoreWorld, Link, subscription } from './core-world.ts';

const ODD = 'ä\0"\\/\u2028 𝄞';

describe('what is stored comes back', () => {
  test('an exchange', () => {
    const spec = exchangeSpec(
      ODD,
      'topic',
      { durable: true, autoDelete: true, internal: true },
      new Map([
        ['alternate-exchange', 'x'],
        [ODD, ODD],
      ]),
    );
    expect(definitions.decodeExchange(definitions.encodeExchange(spec))).toEqual(spec);
  });

  test('a queue', () => {
    const args = new Map([
      ['x-max-length', '5'],
      ['x-overflow', 'reject-publish'],
      [ODD, ODD],
    ]);
    const spec = queueSpec(ODD, { durable: true, autoDelete: false, exclusive: true }, args);
    expect(definitions.decodeQueue(definitions.encodeQueue(spec))).toEqual(spec);
  });

  test('bindings to queues and to exchanges', () => {
    const world = new CoreWorld();
    const args = new Map([
      ['x-match', 'any'],
      [ODD, ODD],
    ]);
    const toQueue = world.vhost.bind('amq.headers', world.queue(ODD), ODD, args);
    const toExchange = world.vhost.bind('amq.topic', world.vhost.exchanges.get('amq.headers')!, '#');
    expect(definitions.decodeBinding(definitions.encodeBinding(toQueue))).toEqual({
      source: 'amq.headers',
      kind: 'queue',
      destination: ODD,
      key: ODD,
      args: [...args],
    });
    expect(definitions.decodeBinding(definitions.encodeBinding(toExchange))).toEqual({
      source: 'amq.topic',
      kind: 'exchange',
      destination: 'amq.headers',
      key: '#',
      args: [],
    });
  });

  test('a session with its subscriptions to exchanges and to queues', () => {
    const world = new CoreWorld();
    const session = world.session(ODD, new Link(), 5000, { name: 'user', policy: null });
    session.queueArguments = new Map([['x-max-length', '7']]);
    const options = subscription(2, { noLocal: true, retainAsPublished: true, subscriptionIdentifier: 9 });
    world.subscribe(session, 'a/#', 2, options);
    world.vhost.sessions.subscribeQueue(session, '$queue/q', world.queue('q'), subscription(1));
    expect(definitions.decodeSession(definitions.encodeSession(session))).toMatchObject({
      principal: 'user',
      clientId: ODD,
      expiryMs: 5000,
      endsAtMs: 0,
      hasQueue: true,
      queueArguments: [['x-max-length', '7']],
      subscriptions: [
        { filter: 'a/#', options, exchange: 'amq.topic', pattern: 'a/#', queue: '' },
        { filter: '$queue/q', options: subscription(1), exchange: null, pattern: '', queue: 'q' },
      ],
    });
  });

  test('a session that never ends', () => {
    const world = new CoreWorld();
    const session = world.session('s', null, Number.POSITIVE_INFINITY);
    expect(definitions.decodeSession(definitions.encodeSession(session)).expiryMs).toBeNull();
  });
});

test('the key of a binding tells any two of them apart, and any two virtual hosts', () => {
  const world = new CoreWorld();
  const { vhost } = world;
  const [q, r] = [world.queue('q'), world.queue('r')];
  world.exchange('q', 'fanout');
  const bindings = [
    vhost.bind('amq.topic', q, 'a'),
    vhost.bind('amq.topic', q, 'b'),
    vhost.bind('amq.topic', r, 'a'),
    vhost.bind('amq.direct', q, 'a'),
    vhost.bind('amq.topic', vhost.exchanges.get('q')!, 'a'),
    vhost.bind('amq.topic', q, 'a', new Map([['x', 'y']])),
    vhost.bind('amq.topic', q, 'a', new Map([['x', 'z']])),
  ];
  const keys = bindings.flatMap((binding) => ['/', 'other'].map((name) => definitions.bindingKey(name, binding)));
  expect(new Set(keys).size).toBe(keys.length);
  expect(definitions.bindingKey('/', { ...bindings[0]!, way: 99, args: NO_ARGUMENTS })).toBe(keys[0]);
});
