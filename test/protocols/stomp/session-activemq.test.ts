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

  it('a subscription to several is refused, and so is a list that is too long', () => {
    const { client } = connected({ activemq: true });
    const listener = client();
    listener.send(frame('SUBSCRIBE', { id: '1', destination: '/queue/a,/queue/b' }));
    expect(listener.error()!.text()).toContain('one destination');
    const publisher = client();
    publisher.publish(`/queue/a${',a'.repeat(32)}`, '1');
    expect(publisher.error()!.text()).toContain('33 parts');
  });

  it('a comma is a comma elsewhere', () => {
    const { client } = connected();
    const listener = client().subscribe('/queue/a,b');
    client().publish('/queue/a,b', '1');
    expect(listener.bodies()).toEqual(['1']);
  });
});
