// What applications written for ActiveMQ say.
import { describe, expect, it } from 'vitest';
import { Version } from '../../../protocols/stomp/frame.ts';
import { compilePolicy, isAllowed } from '../../../src/auth/policy.ts';
import type { Authorizer } from '../../../src/core/authorizer.ts';
import { frame, StompClient, StompWorld, type StompWorldOptions } from '../../support/stomp-client.ts';

function connected(options: StompWorldOptions = {}) {
  const world = new StompWorld(options);
  const client = (clientId = '') =>
    StompClient.connected(world, Version.V1_2, clientId === '' ? {} : { 'client-id': clientId });
  return { world, client, queues: () => [...world.broker.vhosts.get('/')!.queues.values()] };
}

describe.each(['activemq.subscriptionName', 'durable-subscription-name'])('a durable subscription by %s', (header) => {
  it('keeps what comes while its client is away, with any ack mode', () => {
    const { client } = connected();
    const named = { id: 's', [header]: 'orders' };
    client('c').subscribe('/topic/a', named).hangUp();
    const publisher = client();
    publisher.publish('/topic/a', '1');
    const again = client('c').subscribe('/topic/a', { ...named, id: 'other' });
    publisher.publish('/topic/a', '2');
    expect(again.bodies()).toEqual(['1', '2']);
    expect(client('d').subscribe('/topic/a', named).bodies()).toEqual([]);
  });

  it('begins anew with another destination, and ends by UNSUBSCRIBE, in use or not', () => {
    const { client, queues } = connected();
    const named = { id: 's', [header]: 'orders' };
    client('c').subscribe('/topic/a', named).hangUp();
    const publisher = client();
    publisher.publish('/topic/a', '1');
    const moved = client('c').subscribe('/topic/b', named);
    publisher.publish('/topic/a', '2');
    publisher.publish('/topic/b', '3');
    expect(moved.bodies()).toEqual(['3']);
    moved.hangUp();
    expect(queues()).toHaveLength(1);
    const gone = client('c');
    expect(gone.request(frame('UNSUBSCRIBE', { id: 's', [header]: 'orders' }))).toEqual([]);
    expect(queues()).toHaveLength(0);
    gone.subscribe('/topic/a', named);
    expect(gone.request(frame('UNSUBSCRIBE', { id: 's', [header]: 'orders' }))).toEqual([]);
    expect(queues()).toHaveLength(0);
  });

  it('has one client at a time, which says who it is', () => {
    const { client } = connected();
    const named = { id: 's', [header]: 'orders' };
    client('c').subscribe('/topic/a', named);
    const second = client('c');
    second.send(frame('SUBSCRIBE', { destination: '/topic/a', ...named }));
    expect(second.error()!.text()).toContain('has another consumer');
    const nobody = client();
    nobody.send(frame('SUBSCRIBE', { destination: '/topic/a', ...named }));
    expect(nobody.error()!.text()).toContain('client-id');
  });
});

describe('a consumer', () => {
  it('has no more unsettled than activemq.prefetchSize', () => {
    const { client } = connected();
    const listener = client().subscribe('/queue/q', { ack: 'client', 'activemq.prefetchSize': 2 });
    const publisher = client();
    for (let i = 0; i < 5; i++) publisher.publish('/queue/q', String(i));
    expect(listener.bodies()).toEqual(['0', '1']);
  });

  it('of a higher activemq.priority comes first', () => {
    const { client } = connected();
    const ack = { ack: 'client', 'prefetch-count': 2 };
    const low = client().subscribe('/queue/q', ack);
    const high = client().subscribe('/queue/q', { ...ack, 'activemq.priority': 10 });
    const publisher = client();
    for (let i = 0; i < 4; i++) publisher.publish('/queue/q', String(i));
    expect([high.bodies(), low.bodies()]).toEqual([
      ['0', '1'],
      ['2', '3'],
    ]);
  });

  it('with activemq.exclusive is the only one served, and another takes over', () => {
    const { client } = connected();
    const first = client().subscribe('/queue/q', { 'activemq.exclusive': true });
    const second = client().subscribe('/queue/q', { 'activemq.exclusive': true });
    const publisher = client();
    publisher.publish('/queue/q', '1');
    publisher.publish('/queue/q', '2');
    expect([first.bodies(), second.bodies()]).toEqual([['1', '2'], []]);
    first.hangUp();
    publisher.publish('/queue/q', '3');
    expect(second.bodies()).toEqual(['3']);
  });
});

describe('a message', () => {
  it('with expires is gone at that moment', () => {
    const { world, client } = connected();
    const publisher = client();
    publisher.publish('/queue/q', 'early', { expires: world.broker.nowMs + 1000 });
    publisher.publish('/queue/q', 'never', { expires: 0 });
    world.advance(2000);
    world.broker.setTime(world.broker.nowMs + 2000);
    expect(client().subscribe('/queue/q').bodies()).toEqual(['never']);
  });

  it('with transformation goes through as it is, header and body', () => {
    const { client } = connected();
    const body = '{"map":{"entry":{"string":["name","value"]}}}';
    const listener = client().subscribe('/topic/a', { transformation: 'jms-map-json' });
    client().publish('/topic/a', body, { transformation: 'jms-map-json' });
    const [message] = listener.messages();
    expect([message!.header('transformation'), message!.text()]).toEqual(['jms-map-json', body]);
  });
});

describe.each(['no-local', 'activemq.noLocal'])('a subscription with %s', (header) => {
  it.each([
    ['ack:auto', {}],
    ['ack:client', { ack: 'client' }],
    ['durable:true', { durable: true }],
    ['a selector', { selector: 'n = 1' }],
  ])('does not get what its own connection sends to the topic, with %s', (_, headers) => {
    const { client } = connected();
    const own = client().subscribe('/topic/a.*', { id: 's', [header]: true, ...headers });
    const other = client().subscribe('/topic/a.*', { id: 'plain' });
    own.publish('/topic/a.b', '1', { n: 1 });
    other.publish('/topic/a.b', '2', { n: 1 });
    own.publish('/topic/a.b', '3', { n: 1 });
    other.publish('/topic/a.b', '4', { n: 1 });
    expect([own.bodies(), other.bodies()]).toEqual([
      ['2', '4'],
      ['1', '2', '3', '4'],
    ]);
  });

  it('does not hold up its connection, and leaves the others of the connection alone', () => {
    const { client } = connected();
    const own = client()
      .subscribe('/topic/a', { id: 's', [header]: true })
      .subscribe('/queue/q', { id: 'q', [header]: true });
    own.publish('/topic/a', '1');
    expect(own.bodies()).toEqual([]);
    own.subscribe('/topic/a', { id: 'local' });
    own.publish('/topic/a', '2');
    own.send(frame('BEGIN', { transaction: 't' }));
    own.publish('/topic/a', '3', { transaction: 't' });
    own.send(frame('COMMIT', { transaction: 't' }));
    // A queue has one consumer for a message, whoever sent it.
    own.publish('/queue/q', '4');
    const seen = own.messages().map((message) => `${message.header('subscription')} ${message.text()}`);
    expect(seen).toEqual(['local 2', 'local 3', 'q 4']);
    own.request(frame('UNSUBSCRIBE', { id: 's' }));
    own.subscribe('/topic/a', { id: 's' });
    own.publish('/topic/a', '5');
    expect(own.bodies()).toEqual(['5', '5']);
  });

  it('is another durable subscription than one without', () => {
    const { client } = connected();
    const durable = { id: 's', 'activemq.subscriptionName': 'orders' };
    const publisher = client();
    client('c').subscribe('/topic/a', durable).hangUp();
    publisher.publish('/topic/a', '1');
    const changed = client('c').subscribe('/topic/a', { ...durable, [header]: true });
    changed.publish('/topic/a', '2');
    publisher.publish('/topic/a', '3');
    expect(changed.bodies()).toEqual(['3']);
    changed.hangUp();
    publisher.publish('/topic/a', '4');
    expect(
      client('c')
        .subscribe('/topic/a', { ...durable, [header]: true })
        .bodies(),
    ).toEqual(['4']);
  });

  it('has a queue of its own', () => {
    const { client } = connected();
    const member = client();
    member.send(frame('SUBSCRIBE', { id: '1', destination: '/topic/a', 'x-share-group': 'g', [header]: true }));
    expect(member.error()!.text()).toContain('no-local');
  });
});

describe('a temporary topic', () => {
  it('is answered by whoever has the default permissions, and read by its own client only', () => {
    const policy = compilePolicy({});
    const authorizer: Authorizer = {
      epoch: 0,
      dependsOnClient: () => false,
      allows: ({ name }, clientId, action, resource) => isAllowed(policy, name, clientId, action, resource),
    };
    const authenticator = { authenticate: () => ({ ok: true, principal: { name: 'u', policy } }) as const };
    const { client } = connected({ authorizer, authenticator });
    const asker = client().subscribe('/temp-topic/t');
    const service = client().subscribe('/queue/service');
    asker.publish('/queue/service', 'ping', { 'reply-to': '/temp-topic/t' });
    const replyTo = service.messages()[0]!.header('reply-to')!;
    service.publish(replyTo, 'pong');
    expect(asker.bodies()).toEqual(['pong']);
    for (const destination of [replyTo, '/topic/$reply.#']) {
      const spy = client();
      spy.send(frame('SUBSCRIBE', { id: '1', destination }));
      expect(spy.error()!.text()).toContain('ACCESS_REFUSED');
    }
  });
});

/** SEND frames as bytes: this client does not count bodies. */
const uncounted = (destination: string, body: string, headers = ''): string =>
  `SEND\ndestination:${destination}\n${headers}\n${body}\0`;

const lengths = (client: StompClient): (string | null)[] =>
  client.messages().map((message) => message.header('content-length'));

describe("on a listener with ActiveMQ's destinations, a message that came without content-length is text", () => {
  it.each([
    ['a topic', '/topic/t', {}],
    ['a queue', '/queue/q', {}],
    ['a topic through a queue', '/topic/t', { ack: 'client' }],
  ])('and leaves without, from %s, as one that came with it leaves with it', (_, destination, headers) => {
    const { client } = connected({ activemq: true });
    const listener = client().subscribe(destination, headers);
    const publisher = client();
    publisher.sendBytes(uncounted(destination, 'one') + uncounted(destination, 'two\n\n'));
    publisher.publish(destination, 'counted');
    publisher.publish(destination, 'a\0b');
    publisher.sendBytes(uncounted(destination, 'three', 'content-type:text/plain\n') + uncounted(destination, ''));
    const messages = listener.messages();
    expect(messages.map((message) => [message.text(), message.header('content-length')])).toEqual([
      ['one', null],
      ['two\n\n', null],
      ['counted', '7'],
      ['a\0b', '3'],
      ['three', null],
      ['', null],
    ]);
  });

  it('for subscribers of every version and notation, and in a transaction', () => {
    const { world, client } = connected({ activemq: true });
    const listeners = [Version.V1_0, Version.V1_1, Version.V1_2].flatMap((version) =>
      ['/topic/a.b', '/topic/a/b'].map((destination) => StompClient.connected(world, version).subscribe(destination)),
    );
    const publisher = client();
    publisher.sendBytes(uncounted('/topic/a.b', 'x', 'k:a\\cb\n'));
    publisher.sendBytes(`BEGIN\ntransaction:t\n\n\0${uncounted('/topic/a.b', 'y', 'transaction:t\n')}`);
    publisher.sendBytes('COMMIT\ntransaction:t\n\n\0');
    for (const listener of listeners) expect(lengths(listener)).toEqual([null, null]);
  });

  it('to each of several destinations, and when it is retained', () => {
    const { client } = connected({ activemq: true });
    client().sendBytes(uncounted('/topic/a,/queue/b', 'x', 'retain:true\n'));
    expect(lengths(client().subscribe('/topic/a'))).toEqual([null]);
    expect(lengths(client().subscribe('/queue/b'))).toEqual([null]);
    // And a body of nothing but line ends is one.
    client().sendBytes(uncounted('/topic/a', '\n\n', 'retain:true\n'));
    expect(client().subscribe('/topic/a').bodies()).toEqual(['\n\n']);
  });

  it('unless amq-msg-type says otherwise', () => {
    const { client } = connected({ activemq: true });
    const listener = client().subscribe('/topic/t');
    const publisher = client();
    publisher.sendBytes(uncounted('/topic/t', 'x', 'amq-msg-type:bytes\n'));
    publisher.publish('/topic/t', 'yy', { 'amq-msg-type': 'text' });
    publisher.publish('/topic/t', 'z\0z', { 'amq-msg-type': 'text' });
    publisher.publish('/topic/t,/queue/q', 'www', { 'amq-msg-type': 'text' });
    expect(lengths(listener)).toEqual(['1', null, '3', null]);
  });

  it('and is counted elsewhere', () => {
    let activemq = true;
    const { client } = connected({ activemq: () => activemq });
    const inDialect = client().subscribe('/topic/t');
    activemq = false;
    const plain = client().subscribe('/topic/t');
    plain.sendBytes(uncounted('/topic/t', 'from a plain listener'));
    inDialect.sendBytes(uncounted('/topic/t', 'from its own'));
    expect([lengths(inDialect), lengths(plain)]).toEqual([
      ['21', null],
      ['21', '12'],
    ]);
  });
});

describe("on a listener with ActiveMQ's destinations", () => {
  it('> is a wildcard, and * one level', () => {
    const { client } = connected({ activemq: true });
    const listener = client().subscribe('/topic/a.>', { id: 'all' }).subscribe('/topic/a.*', { id: 'one' });
    const publisher = client();
    publisher.publish('/topic/a.b', '1');
    publisher.publish('/topic/a.b.c', '2');
    const got = listener.messages().map((message) => `${message.header('subscription')}${message.text()}`);
    expect(got.sort()).toEqual(['all1', 'all2', 'one1']);
    const plain = connected();
    const literal = plain.client().subscribe('/topic/a.>');
    plain.client().publish('/topic/a.b', 'no');
    expect(literal.bodies()).toEqual([]);
  });

  it('a SEND to several goes to each, under the name of each, in one transaction too', () => {
    const { client } = connected({ activemq: true });
    const topic = client().subscribe('/topic/t');
    const publisher = client();
    publisher.publish('/queue/a,b,/topic/t', '1', { k: 'v' });
    publisher.send(frame('BEGIN', { transaction: 'tx' }));
    publisher.publish('/queue/a,b,/topic/t', '2', { k: 'v', transaction: 'tx' });
    publisher.send(frame('COMMIT', { transaction: 'tx' }));
    publisher.publish('/queue/a', '3', { k: 'v' });
    publisher.publish('/queue/a,b,/topic/t', '4', { k: 'v', 'content-type': 'text/plain' });
    const seen = [topic, client().subscribe('/queue/a'), client().subscribe('/queue/b')].map((listener) =>
      listener
        .messages()
        .map((message) => [message.header('destination'), message.text(), message.header('k')].join(' ')),
    );
    expect(seen).toEqual([
      ['/topic/t 1 v', '/topic/t 2 v', '/topic/t 4 v'],
      ['/queue/a 1 v', '/queue/a 2 v', '/queue/a 3 v', '/queue/a 4 v'],
      ['/queue/b 1 v', '/queue/b 2 v', '/queue/b 4 v'],
    ]);
  });

  it('a SEND to several, one of which may not be, goes nowhere', () => {
    const { client } = connected({ activemq: true });
    const topic = client().subscribe('/topic/t');
    const publisher = client();
    publisher.publish('/topic/t,/amq/queue/missing', '1');
    expect(publisher.error()!.text()).toContain('missing');
    expect(topic.bodies()).toEqual([]);
  });

  it('a list that is too long is refused', () => {
    const { client } = connected({ activemq: true });
    const list = `/queue/a${',a'.repeat(32)}`;
    const publisher = client();
    publisher.publish(list, '1');
    const listener = client();
    listener.send(frame('SUBSCRIBE', { id: '1', destination: list }));
    for (const one of [publisher, listener]) expect(one.error()!.text()).toContain('33 parts');
  });

  it('a subscription to several gets the messages of each, under one id, until its UNSUBSCRIBE', () => {
    const { client, queues } = connected({ activemq: true });
    const listener = client().subscribe('/queue/a,b,/topic/t,/temp-queue/r,/temp-topic/r,/queue/a', { id: 's' });
    listener.publish('/temp-topic/r', 'own topic');
    listener.publish('/temp-queue/r', 'own queue');
    const publisher = client();
    for (const destination of ['/queue/a', '/queue/b', '/topic/t', '/topic/u'])
      publisher.publish(destination, destination);
    const messages = listener.messages();
    expect(messages.map((message) => message.text())).toEqual([
      'own topic',
      'own queue',
      '/queue/a',
      '/queue/b',
      '/topic/t',
    ]);
    expect(new Set(messages.map((message) => message.header('subscription')))).toEqual(new Set(['s']));
    expect(new Set(messages.map((message) => message.header('message-id'))).size).toBe(5);
    listener.request(frame('UNSUBSCRIBE', { id: 's' }));
    publisher.publish('/queue/a', 'late');
    publisher.publish('/topic/t', 'late');
    expect(listener.bodies()).toEqual([]);
    expect(queues().map(({ readyCount }) => readyCount)).toEqual([1, 0, 0]);
  });

  it.each(['auto', 'client'])('what matches several of its topics comes once, with ack:%s', (ack) => {
    const { client } = connected({ activemq: true });
    const listener = client().subscribe('/topic/a,/topic/>,/topic/b.*', { ack });
    const publisher = client();
    publisher.publish('/topic/a', '1');
    publisher.publish('/topic/b.c', '2');
    expect(listener.bodies()).toEqual(['1', '2']);
  });

  it('an ACK of ack:client covers what came before from any of them', () => {
    const { world, client, queues } = connected({ activemq: true });
    const listener = client().subscribe('/queue/a,/queue/b,/topic/t', { id: 's', ack: 'client' });
    const publisher = client();
    const to = ['/queue/a', '/queue/b', '/queue/b', '/topic/t', '/queue/a', '/queue/b'];
    to.forEach((destination, i) => {
      publisher.publish(destination, String(i));
      world.settle();
    });
    const messages = listener.messages();
    expect(messages.map((message) => message.text())).toEqual(['0', '1', '2', '3', '4', '5']);
    const unsettled = () => queues().map((queue) => queue.unsettledCount);
    expect(unsettled()).toEqual([2, 3, 1]);
    const ack = (i: number) => listener.request(frame('ACK', { id: messages[i]!.header('ack')! }));
    ack(1);
    expect(unsettled()).toEqual([1, 2, 1]);
    ack(3);
    expect(unsettled()).toEqual([1, 1, 0]);
    ack(5);
    expect(unsettled()).toEqual([0, 0, 0]);
    publisher.publish('/queue/b', '6');
    publisher.publish('/queue/a', '7');
    const [b, a] = listener.messages();
    const [again] = listener.request(frame('NACK', { id: b!.header('ack')! }));
    expect(unsettled()).toEqual([1, 1, 0]);
    expect([again!.text(), again!.header('redelivered')]).toEqual(['6', 'true']);
    listener.request(frame('ACK', { id: again!.header('ack')! }));
    expect(unsettled()).toEqual([0, 0, 0]);
    listener.send(frame('ACK', { id: a!.header('ack')! }));
    expect(listener.error()!.text()).toContain('waits to be settled');
  });

  it('a durable subscription to several ends with all its queues, and one with a name is refused', () => {
    const { client, queues } = connected({ activemq: true });
    const durable = { id: 's', durable: true };
    client().subscribe('/topic/a,/topic/b', durable).hangUp();
    const publisher = client();
    publisher.publish('/topic/a', '1');
    publisher.publish('/topic/b', '2');
    const again = client().subscribe('/topic/a,/topic/b', durable);
    expect(again.bodies()).toEqual(['1', '2']);
    again.request(frame('UNSUBSCRIBE', durable));
    expect(queues()).toEqual([]);
    const named = client('c');
    named.send(
      frame('SUBSCRIBE', { id: '1', destination: '/topic/a,/topic/b', 'activemq.subscriptionName': 'orders' }),
    );
    expect(named.error()!.text()).toContain('several destinations');
  });

  it('a subscription to several, one of which may not be read, reads none', () => {
    const { client } = connected({ activemq: true });
    const listener = client();
    listener.send(frame('SUBSCRIBE', { id: '1', destination: '/topic/a,/amq/queue/missing' }));
    expect(listener.error()!.text()).toContain('missing');
    client().publish('/topic/a', '1');
    expect(listener.bodies()).toEqual([]);
  });

  it('a comma is a comma elsewhere', () => {
    const { client } = connected();
    const listener = client().subscribe('/queue/a,b');
    client().publish('/queue/a,b', '1');
    expect(listener.bodies()).toEqual(['1']);
  });
});
