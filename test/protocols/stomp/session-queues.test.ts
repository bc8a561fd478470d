import { describe, expect, it } from 'vitest';
import { type Frame, Version } from '../../../protocols/stomp/frame.ts';
import type { Queue } from '../../../src/core/queue.ts';
import { Durability } from '../../../src/storage/commit-log.ts';
import { frame, StompClient, StompWorld, type StompWorldOptions } from '../../support/stomp-client.ts';

function setup(options: StompWorldOptions = {}, version: Version = Version.V1_2) {
  const world = new StompWorld(options);
  return { world, consumer: StompClient.connected(world, version), publisher: StompClient.connected(world) };
}

function queueNamed(world: StompWorld, name: string): Queue | undefined {
  return world.broker.vhosts.get('/')!.queues.get(name);
}

/** Queues that subscriptions made for themselves. */
function ownQueues(world: StompWorld): Queue[] {
  return [...world.broker.vhosts.get('/')!.queues.values()].filter(({ name }) => name.startsWith('stomp-'));
}

const fill = (publisher: StompClient, bodies: readonly string[], destination = '/queue/q') =>
  publisher.send(...bodies.map((body) => frame('SEND', { destination }, body)));

const ack = (message: Frame, headers = {}) => frame('ACK', { id: message.header('ack')!, ...headers });
const nack = (message: Frame, headers = {}) => frame('NACK', { id: message.header('ack')!, ...headers });

describe('/queue', () => {
  it('is declared by the first SEND, durable, and keeps its messages for a consumer', () => {
    const { world, consumer, publisher } = setup();
    fill(publisher, ['a', 'b']);
    expect(queueNamed(world, 'q')!.spec).toMatchObject({ durable: true, autoDelete: false, exclusive: false });
    consumer.subscribe('/queue/q');
    const got = consumer.messages();
    expect(got.map((m) => m.text())).toEqual(['a', 'b']);
    expect(got[0]!.header('destination')).toBe('/queue/q');
    expect(got[0]!.header('redelivered')).toBe(null);
  });

  it('is declared by the first SUBSCRIBE with its x-… headers as arguments', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { 'x-max-length': 2, 'x-other': 'ignored', ack: 'client', 'prefetch-count': 1 });
    expect([...queueNamed(world, 'q')!.spec.args]).toEqual([['x-max-length', '2']]);
    fill(publisher, ['1', '2', '3', '4']);
    world.settle();
    expect(queueNamed(world, 'q')!.readyCount).toBe(2);
  });

  it('is declared by a SEND with its x-… headers as arguments, which must fit ever after', () => {
    const { world, publisher } = setup();
    publisher.publish('/queue/q', 'low', { 'x-max-priority': 9, 'x-mine': 'kept' });
    publisher.publish('/queue/q', 'high', { 'x-max-priority': 9, priority: 5 });
    const consumer = StompClient.connected(world).subscribe('/queue/q');
    const got = consumer.messages();
    expect(got.map((m) => m.text())).toEqual(['high', 'low']);
    expect(got[1]!.header('x-mine')).toBe('kept');
    publisher.publish('/queue/q', 'x', { 'x-max-priority': 3 });
    const error = publisher.error()!;
    expect(error.header('message')).toBe('precondition_failed');
    expect(error.text()).toMatch(/^PRECONDITION_FAILED - .*x-max-priority/);
  });

  it('with arguments that do not fit the queue there is, fails', () => {
    const { consumer, publisher } = setup();
    publisher.publish('/queue/q');
    consumer.send(frame('SUBSCRIBE', { id: 1, destination: '/queue/q', 'x-max-length': 5 }));
    expect(consumer.error()!.header('message')).toBe('precondition_failed');
  });

  it('gives its messages to its consumers in turn', () => {
    const { world, consumer, publisher } = setup();
    const second = StompClient.connected(world).subscribe('/queue/q');
    consumer.subscribe('/queue/q');
    fill(publisher, ['1', '2', '3', '4']);
    expect(consumer.bodies().length).toBe(2);
    expect(second.bodies().length).toBe(2);
  });

  it('kept for one consumer by exclusive:true refuses the second', () => {
    const { world, consumer } = setup();
    consumer.subscribe('/queue/q', { exclusive: true });
    const second = StompClient.connected(world);
    second.send(frame('SUBSCRIBE', { id: 1, destination: '/queue/q' }));
    expect(second.error()!.header('message')).toBe('resource_locked');
    consumer.request(frame('UNSUBSCRIBE', { id: 'sub' }));
    StompClient.connected(world).subscribe('/queue/q');
  });

  it('that is deleted under its consumer ends the connection, so that it knows', () => {
    const { world, consumer } = setup();
    consumer.subscribe('/queue/q');
    world.broker.vhosts.get('/')!.deleteQueue(queueNamed(world, 'q')!);
    expect(consumer.error()!.text()).toContain('queue "q" is gone');
  });

  it('that is deleted is declared again by the next SEND', () => {
    const { world, publisher } = setup();
    fill(publisher, ['a']);
    world.broker.vhosts.get('/')!.deleteQueue(queueNamed(world, 'q')!);
    fill(publisher, ['b']);
    world.settle();
    expect(queueNamed(world, 'q')!.readyCount).toBe(1);
  });
});

describe('/amq/queue and /reply-queue', () => {
  it.each(['/amq/queue/q', '/reply-queue/q'])('%s is a queue that must exist', (destination) => {
    const { world, consumer, publisher } = setup();
    for (const command of ['SEND', 'SUBSCRIBE'] as const) {
      const client = StompClient.connected(world);
      client.send(frame(command, { id: 1, destination }));
      expect(client.error()!.header('message')).toBe('not_found');
    }
    fill(publisher, ['a']);
    fill(publisher, ['b'], destination);
    consumer.subscribe(destination);
    expect(consumer.bodies()).toEqual(['a', 'b']);
  });
});

describe('ack:auto', () => {
  it('settles what has been written', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q');
    fill(publisher, ['a', 'b']);
    const got = consumer.messages();
    expect(got.map((m) => m.header('ack'))).toEqual([null, null]);
    expect(queueNamed(world, 'q')!.unsettledCount).toBe(0);
    consumer.hangUp();
    expect(queueNamed(world, 'q')!.readyCount).toBe(0);
  });

  it('leaves in the queue what a slow client cannot take, and goes on when it reads on', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q');
    consumer.pipe.stalled = true;
    const body = 'x'.repeat(50_000);
    for (let i = 0; i < 100; i++) {
      publisher.publish('/queue/q', body);
      world.settle();
    }
    const queue = queueNamed(world, 'q')!;
    expect(queue.readyCount).toBeGreaterThan(70);
    expect(consumer.pipe.output.unsentBytes).toBeLessThan(1_200_000);
    consumer.pipe.readOn();
    expect(consumer.messages().length).toBe(100);
    expect(queue.readyCount).toBe(0);
  });

  it('takes a long queue a megabyte a turn', () => {
    const { world, consumer, publisher } = setup();
    fill(
      publisher,
      Array.from({ length: 600 }, () => 'x'.repeat(10_000)),
    );
    consumer.send(frame('SUBSCRIBE', { id: 1, destination: '/queue/q' }));
    expect(queueNamed(world, 'q')!.readyCount).toBeGreaterThan(450);
    expect(consumer.messages().length).toBe(600);
  });
});

describe('ack:client-individual', () => {
  it('settles one delivery with each ACK, in any order', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { ack: 'client-individual' });
    fill(publisher, ['a', 'b', 'c']);
    const [a, b, c] = consumer.messages();
    consumer.send(ack(b!), ack(a!));
    world.settle();
    expect(queueNamed(world, 'q')!.unsettledCount).toBe(1);
    consumer.hangUp();
    const next = StompClient.connected(world).subscribe('/queue/q');
    const [again] = next.messages();
    expect(again!.text()).toBe('c');
    expect(again!.header('redelivered')).toBe('true');
    expect(again!.header('x-delivery-count')).toBe('1');
    expect(again!.header('message-id')).not.toBe(c!.header('message-id'));
  });

  it('gets no more than prefetch-count before it settles', () => {
    const { consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { ack: 'client-individual', 'prefetch-count': 2 });
    fill(publisher, ['a', 'b', 'c', 'd', 'e']);
    const [a, b, none] = consumer.messages();
    expect(none).toBe(undefined);
    consumer.send(ack(a!));
    expect(consumer.bodies()).toEqual(['c']);
    consumer.send(ack(b!));
    expect(consumer.bodies()).toEqual(['d']);
  });

  it('gets the configured number without prefetch-count, and any number with 0', () => {
    const { world, publisher } = setup({ stomp: { prefetchDefault: 3 } });
    fill(
      publisher,
      Array.from({ length: 500 }, (_, i) => `${i}`),
    );
    const first = StompClient.connected(world).subscribe('/queue/q', { ack: 'client-individual' });
    expect(first.bodies().length).toBe(3);
    const second = StompClient.connected(world).subscribe('/queue/q', { ack: 'client', 'prefetch-count': 0 });
    expect(second.bodies().length).toBe(497);
  });

  it('an ACK of something settled, of somebody else or of nothing is an error', () => {
    const cases: ((world: StompWorld, mine: Frame, other: Frame) => string)[] = [
      (_world, mine) => mine.header('ack')!,
      (_world, _mine, other) => other.header('ack')!,
      () => '1-9',
      () => '1-01',
      () => '-1',
      () => '1-',
      () => '',
      () => '999999999999999999999-1',
    ];
    for (const idOf of cases) {
      const { world, consumer, publisher } = setup();
      StompClient.connected(world).subscribe('/queue/p', { ack: 'client' });
      const other = StompClient.connected(world)
        .subscribe('/queue/x', { id: 'x', ack: 'client' })
        .subscribe('/queue/y', { id: 'y', ack: 'client-individual' });
      consumer.subscribe('/queue/q', { ack: 'client-individual' });
      publisher.publish('/queue/q', 'x');
      publisher.publish('/queue/y', 'x');
      const [mine] = consumer.messages();
      const [theirs] = other.messages();
      consumer.send(ack(mine!));
      expect(consumer.receive()).toEqual([]);
      const id = idOf(world, mine!, theirs!);
      consumer.send(frame('ACK', { id, receipt: 'r' }));
      const error = consumer.error();
      // An id of a subscription that there never was on this connection.
      expect(error?.header('receipt-id'), id).toBe('r');
      expect(queueNamed(world, 'y')!.unsettledCount).toBe(1);
    }
  });

  it('an ACK that crosses UNSUBSCRIBE is no error, and the message is back in its queue', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { ack: 'client-individual' });
    fill(publisher, ['a']);
    const [message] = consumer.messages();
    consumer.send(frame('UNSUBSCRIBE', { id: 'sub' }), ack(message!));
    expect(consumer.receive()).toEqual([]);
    expect(consumer.pipe.ended).toBe(false);
    expect(queueNamed(world, 'q')!.readyCount).toBe(1);
  });
});

describe('ack:client', () => {
  it('settles everything up to the delivery named, of this subscription only', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { id: 1, ack: 'client' }).subscribe('/queue/other', { id: 2, ack: 'client' });
    fill(publisher, ['a', 'b', 'c', 'd']);
    fill(publisher, ['z'], '/queue/other');
    const messages = consumer.messages();
    consumer.send(ack(messages.find((m) => m.text() === 'c')!));
    world.settle();
    expect(queueNamed(world, 'q')!.unsettledCount).toBe(1);
    expect(queueNamed(world, 'other')!.unsettledCount).toBe(1);
  });

  it('a NACK gives everything up to the delivery named back, in order', () => {
    const { consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { ack: 'client', 'prefetch-count': 3 });
    fill(publisher, ['a', 'b', 'c', 'd']);
    const messages = consumer.messages();
    consumer.send(nack(messages[1]!));
    const again = consumer.messages();
    expect(again.map((m) => m.text())).toEqual(['a', 'b']);
    expect(again[0]!.header('redelivered')).toBe('true');
  });
});

describe('NACK', () => {
  it('puts the message back, and counts its deliveries', () => {
    const { consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { ack: 'client-individual', 'prefetch-count': 1 });
    fill(publisher, ['a', 'b']);
    let [message] = consumer.messages();
    for (let count = 1; count <= 3; count++) {
      consumer.send(nack(message!));
      [message] = consumer.messages();
      expect(message!.text()).toBe('a');
      expect(message!.header('x-delivery-count')).toBe(String(count));
    }
  });

  it('with requeue:false is the end of the message', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', { ack: 'client-individual', 'prefetch-count': 1 });
    fill(publisher, ['a', 'b']);
    consumer.send(nack(consumer.messages()[0]!, { requeue: false }));
    expect(consumer.bodies()).toEqual(['b']);
    expect(world.broker.counters.droppedRejected).toBe(1);
  });
});

describe('acknowledgements by version', () => {
  it('1.1 names message-id and subscription', () => {
    const { world, consumer, publisher } = setup({}, Version.V1_1);
    consumer.subscribe('/queue/q', { ack: 'client-individual' });
    fill(publisher, ['a', 'b']);
    const [a, b] = consumer.messages();
    expect(a!.header('ack')).toBe(null);
    consumer.send(frame('ACK', { 'message-id': a!.header('message-id')!, subscription: 'sub' }));
    consumer.send(frame('NACK', { 'message-id': b!.header('message-id')!, subscription: 'sub', requeue: false }));
    world.settle();
    expect(queueNamed(world, 'q')!.unsettledCount).toBe(0);
    consumer.send(frame('ACK', { 'message-id': b!.header('message-id')! }));
    expect(consumer.error()!.text()).toContain('subscription');
  });

  it('1.1 does not settle in the name of another subscription', () => {
    const { consumer, publisher } = setup({}, Version.V1_1);
    consumer.subscribe('/queue/q', { ack: 'client' });
    fill(publisher, ['a']);
    const [a] = consumer.messages();
    consumer.send(frame('ACK', { 'message-id': a!.header('message-id')!, subscription: 'other' }));
    expect(consumer.error()!.header('message')).toBe('Invalid header');
  });

  it('1.0 names message-id, and has no NACK', () => {
    const { world, consumer, publisher } = setup({}, Version.V1_0);
    consumer.send(frame('SUBSCRIBE', { destination: '/queue/q', ack: 'client' }));
    fill(publisher, ['a', 'b', 'c']);
    const [, b, c] = consumer.messages();
    consumer.send(frame('ACK', { 'message-id': b!.header('message-id')! }));
    world.settle();
    expect(queueNamed(world, 'q')!.unsettledCount).toBe(1);
    consumer.send(frame('NACK', { 'message-id': c!.header('message-id')! }));
    expect(consumer.error()!.text()).toContain('1.1');
  });

  it('the ids of another connection settle nothing', () => {
    const { world, consumer, publisher } = setup({}, Version.V1_0);
    const other = StompClient.connected(world, Version.V1_0);
    other.send(frame('SUBSCRIBE', { destination: '/queue/other', ack: 'client' }));
    consumer.send(frame('SUBSCRIBE', { destination: '/queue/q', ack: 'client' }));
    fill(publisher, ['a']);
    fill(publisher, ['a'], '/queue/other');
    const [theirs] = other.messages();
    expect(consumer.messages().length).toBe(1);
    consumer.send(frame('ACK', { 'message-id': theirs!.header('message-id')! }));
    expect(consumer.error()).not.toBe(null);
    expect(queueNamed(world, 'other')!.unsettledCount).toBe(1);
  });
});

describe('a topic with acknowledgements', () => {
  it('has a queue of its own that goes with the subscription', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/topic/a.*', { ack: 'client-individual', 'prefetch-count': 1 });
    expect(ownQueues(world).map(({ spec }) => [spec.durable, spec.autoDelete, spec.exclusive])).toEqual([
      [false, true, true],
    ]);
    publisher.publish('/topic/a.b', '1');
    publisher.publish('/topic/a.c', '2');
    const [one] = consumer.messages();
    expect(one!.header('destination')).toBe('/topic/a.b');
    consumer.send(ack(one!));
    expect(consumer.bodies()).toEqual(['2']);
    consumer.hangUp();
    expect(ownQueues(world)).toEqual([]);
  });

  it('is bounded, as a client may never settle', () => {
    const { world, consumer, publisher } = setup({ limits: { sessionQueue: { lengthMax: 10, bytesMax: 1_000_000 } } });
    consumer.subscribe('/topic/a', { ack: 'client', 'prefetch-count': 1 });
    fill(
      publisher,
      Array.from({ length: 50 }, (_, i) => `${i}`),
      '/topic/a',
    );
    world.settle();
    expect(ownQueues(world)[0]!.readyCount).toBe(10);
    expect(world.broker.counters.droppedOverflow).toBe(39);
  });

  it('with x-… arguments gets them even when the client does not acknowledge', () => {
    const { world, consumer } = setup();
    consumer.subscribe('/topic/a', { 'x-message-ttl': 1000, 'x-queue-name': 'mine' });
    expect(queueNamed(world, 'mine')!.spec.messageTtlMs).toBe(1000);
    consumer.hangUp();
    expect(queueNamed(world, 'mine')).toBe(undefined);
  });
});

describe('a durable subscription', () => {
  const durable = { id: 'news', durable: true, 'auto-delete': false, ack: 'client-individual' };

  it('keeps what comes while its client is away', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/topic/a', durable);
    publisher.publish('/topic/a', '1');
    expect(consumer.messages().length).toBe(1);
    consumer.hangUp();
    publisher.publish('/topic/a', '2');
    const back = StompClient.connected(world).subscribe('/topic/a', durable);
    const got = back.messages();
    expect(got.map((m) => [m.text(), m.header('redelivered')])).toEqual([
      ['1', 'true'],
      ['2', null],
    ]);
  });

  it('is another one with another id, destination or user', () => {
    let name = 'ann';
    const { world, consumer } = setup({
      authenticator: { authenticate: () => ({ ok: true, principal: { name, policy: null } }) },
    });
    consumer.subscribe('/topic/a', durable);
    consumer.subscribe('/topic/a', { ...durable, id: 'other' });
    StompClient.connected(world).subscribe('/topic/b', durable);
    name = 'bob';
    StompClient.connected(world).subscribe('/topic/a', durable);
    expect(ownQueues(world).length).toBe(4);
  });

  it('ends with UNSUBSCRIBE that says durable:true, not without', () => {
    const { world, consumer } = setup();
    consumer.subscribe('/topic/a', durable);
    consumer.request(frame('UNSUBSCRIBE', { id: 'news' }));
    expect(ownQueues(world).length).toBe(1);
    consumer.subscribe('/topic/a', durable);
    consumer.request(frame('UNSUBSCRIBE', { id: 'news', durable: true, 'auto-delete': false }));
    expect(ownQueues(world)).toEqual([]);
  });

  it('needs an id, also in 1.0', () => {
    const { consumer } = setup({}, Version.V1_0);
    consumer.send(frame('SUBSCRIBE', { destination: '/topic/a', durable: true }));
    expect(consumer.error()!.text()).toContain('id');
  });
});

describe('a share group', () => {
  it('is durable, so that a member of another protocol finds what was confirmed', () => {
    const { world, consumer } = setup();
    consumer.subscribe('/topic/a', { 'x-share-group': 'g' });
    expect(queueNamed(world, '$share/g/a')!.spec).toMatchObject({ durable: true, autoDelete: false });
  });

  it('shares the messages of a pattern among its members', () => {
    const { world, consumer, publisher } = setup();
    const group = { 'x-share-group': 'g' };
    consumer.subscribe('/topic/a.*', group);
    const second = StompClient.connected(world).subscribe('/topic/a.*', { ...group, ack: 'client-individual' });
    const alone = StompClient.connected(world).subscribe('/topic/a.*', { 'x-share-group': 'h' });
    fill(publisher, ['1', '2', '3', '4'], '/topic/a.b');
    expect([...consumer.bodies(), ...second.bodies()].sort()).toEqual(['1', '2', '3', '4']);
    expect(alone.bodies().length).toBe(4);
    expect(queueNamed(world, '$share/g/a/+')!.consumerCount).toBe(2);
    consumer.hangUp();
    second.hangUp();
    expect(queueNamed(world, '$share/g/a/+')).toBe(undefined);
  });

  it("is not read by its queue's name", () => {
    const { world, consumer } = setup();
    StompClient.connected(world).subscribe('/topic/a', { 'x-share-group': 'g' });
    for (const asked of [
      frame('SUBSCRIBE', { id: 1, destination: '/amq/queue/$share/g/a' }),
      frame('SUBSCRIBE', { id: 1, destination: '/topic/b', 'x-queue-name': '$share/g/a' }),
      frame('SEND', { destination: '/queue/$share/g/a' }),
      frame('SEND', { destination: '/queue/$exclusive/b' }),
    ]) {
      const client = StompClient.connected(world);
      client.send(asked);
      expect(client.error()!.header('message')).toBe('access_refused');
    }
    expect(consumer.pipe.ended).toBe(false);
  });
});

describe('temporary queues', () => {
  it('bring the answers to a request to whoever named them in reply-to', () => {
    const { world, consumer: service, publisher: client } = setup();
    service.subscribe('/queue/service');
    client.publish('/queue/service', 'ping', { 'reply-to': '/temp-queue/answers', 'correlation-id': 'c:1' });
    const [request] = service.messages();
    const replyTo = request!.header('reply-to')!;
    expect(replyTo).toMatch(/^\/reply-queue\/stomp-temp-\w{25}$/);
    service.publish(replyTo, 'pong', { 'correlation-id': request!.header('correlation-id')! });
    const [answer] = client.messages();
    expect(answer!.text()).toBe('pong');
    expect(answer!.header('subscription')).toBe('/temp-queue/answers');
    expect(answer!.header('correlation-id')).toBe('c:1');
    client.hangUp();
    expect(ownQueues(world)).toEqual([]);
    service.publish(replyTo, 'late');
    expect(service.error()!.header('message')).toBe('not_found');
  });

  it('may be subscribed to, before or after', () => {
    const { consumer: service, publisher: client } = setup();
    service.subscribe('/queue/service');
    client.subscribe('/temp-queue/a', { id: 'mine', ack: 'client-individual' });
    client.publish('/queue/service', '1', { 'reply-to': '/temp-queue/a' });
    client.publish('/queue/service', '2', { 'reply-to': '/temp-queue/b' });
    client.subscribe('/temp-queue/b', { id: 'b', ack: 'client' });
    const requests = service.messages();
    for (const request of requests) service.publish(request.header('reply-to')!, `re ${request.text()}`);
    const answers = client.messages();
    expect(answers.map((m) => [m.header('subscription'), m.text(), m.header('ack') === null])).toEqual([
      ['mine', 're 1', false],
      ['b', 're 2', false],
    ]);
  });

  it("are each connection's own, whatever they are called", () => {
    const { world, consumer: service } = setup();
    service.subscribe('/queue/service');
    const clients = [1, 2].map(() => StompClient.connected(world));
    for (const [i, client] of clients.entries())
      client.publish('/queue/service', `${i}`, { 'reply-to': '/temp-queue/same' });
    for (const request of service.messages()) service.publish(request.header('reply-to')!, request.text());
    expect(clients.map((client) => client.bodies())).toEqual([['0'], ['1']]);
  });

  it('are read by nobody else', () => {
    const { world, publisher: client } = setup();
    client.subscribe('/temp-queue/a');
    const [queue] = ownQueues(world);
    const thief = StompClient.connected(world);
    thief.send(frame('SUBSCRIBE', { id: 1, destination: `/amq/queue/${queue!.name}` }));
    expect(thief.error()!.header('message')).toBe('resource_locked');
  });

  it('take what their own connection sends', () => {
    const { publisher: client } = setup();
    client.subscribe('/temp-queue/a', { id: 1 }).subscribe('/temp-topic/t', { id: 2 });
    client.publish('/temp-queue/a', 'q');
    client.publish('/temp-topic/t', 't');
    client.publish('/temp-queue/a', 'q again');
    expect(client.bodies()).toEqual(['q', 't', 'q again']);
  });

  it('topics bring answers, too', () => {
    const { consumer: service, publisher: client } = setup();
    service.subscribe('/queue/service');
    client.subscribe('/temp-topic/t');
    client.publish('/queue/service', 'ping', { 'reply-to': '/temp-topic/t' });
    service.publish(service.messages()[0]!.header('reply-to')!, 'pong');
    expect(client.bodies()).toEqual(['pong']);
  });
});

describe('RECEIPT', () => {
  it('of a persistent message comes when the log has it, not before, and in order', async () => {
    const publisher = StompClient.connected(await new StompWorld({ durability: Durability.Fsync }).open());
    publisher.send(
      frame('SEND', { destination: '/queue/q', receipt: 'a', persistent: true }, '1'),
      frame('SEND', { destination: '/queue/q', receipt: '17', persistent: true }, '2'),
      frame('SEND', { destination: '/topic/none', receipt: 'not waiting' }, '3'),
      frame('SEND', { destination: '/queue/q', receipt: '007', persistent: true }, '4'),
      frame('SEND', { destination: '/queue/q', receipt: '12345678901', persistent: true }, '5'),
    );
    expect(publisher.pipe.output.unsentBytes).toBe(0);
    expect(publisher.receive().map((f) => f.header('receipt-id'))).toEqual([
      'a',
      '17',
      'not waiting',
      '007',
      '12345678901',
    ]);
  });

  it('of each message of a run that asked for one comes in order, whatever the ids are, once the log has the run', async () => {
    const publisher = StompClient.connected(await new StompWorld({ durability: Durability.Fsync }).open());
    const ids = ['a', 'b-2', null, '3', '4', null, 'e', null, 'é', '07', '8', 'last'];
    publisher.send(
      ...ids.map((receipt, i) =>
        frame('SEND', { destination: '/queue/q', persistent: true, ...(receipt === null ? {} : { receipt }) }, `${i}`),
      ),
    );
    expect(publisher.pipe.output.unsentBytes).toBe(0);
    const frames = publisher.receive();
    expect(frames.map((f) => f.header('receipt-id'))).toEqual(ids.filter((id) => id !== null));
    expect(new Set(frames.map(({ command }) => command))).toEqual(new Set(['RECEIPT']));
  });

  it('of a transient message waits for nothing', () => {
    const { publisher } = setup({ durability: Durability.Fsync });
    publisher.publish('/topic/none', '', { receipt: 'r' });
    expect(publisher.pipe.output.unsentBytes).toBeGreaterThan(0);
  });

  it('has the id as it was written, whatever the version escapes', () => {
    for (const version of [Version.V1_0, Version.V1_1, Version.V1_2]) {
      const { consumer } = setup({ durability: Durability.Fsync }, version);
      const id = version === Version.V1_0 ? 'a:b\\c' : 'a:b\\c\nd';
      consumer.send(frame('SEND', { destination: '/topic/a', receipt: id }));
      expect(consumer.receive()[0]!.header('receipt-id')).toBe(id);
    }
  });

  it('comes for every frame of a client', () => {
    const { consumer } = setup();
    for (const asked of [
      frame('SUBSCRIBE', { id: 1, destination: '/queue/q', ack: 'client' }),
      frame('SEND', { destination: '/topic/a' }),
      frame('BEGIN', { transaction: 't' }),
      frame('SEND', { destination: '/topic/a', transaction: 't' }),
      frame('COMMIT', { transaction: 't' }),
      frame('BEGIN', { transaction: 't' }),
      frame('ABORT', { transaction: 't' }),
      frame('UNSUBSCRIBE', { id: 1 }),
      frame('DISCONNECT'),
    ]) {
      consumer.request(asked);
    }
    expect(consumer.pipe.ended).toBe(true);
  });

  it('of DISCONNECT comes after those that wait for the log, then the connection ends', async () => {
    const publisher = StompClient.connected(await new StompWorld({ durability: Durability.Fsync }).open());
    publisher.send(
      frame('SEND', { destination: '/queue/q', receipt: 'a', persistent: true }, '1'),
      frame('DISCONNECT', { receipt: 'bye' }),
    );
    expect(publisher.pipe.ended).toBe(false);
    expect(publisher.receive().map((f) => f.header('receipt-id'))).toEqual(['a', 'bye']);
    expect(publisher.pipe.ended).toBe(true);
  });
});

describe('a queue that is full and refuses', () => {
  const full = { 'x-max-length': 2, 'x-overflow': 'reject-publish', ack: 'client', 'prefetch-count': 1 };

  it('takes what it has room for out of a burst, and the first receipt beyond it becomes an ERROR', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', full);
    publisher.send(...[1, 2, 3, 4, 5].map((i) => frame('SEND', { destination: '/queue/q', receipt: i }, `${i}`)));
    const frames = publisher.receive();
    expect(frames.map((f) => [f.command, f.header('receipt-id')])).toEqual([
      ['RECEIPT', '1'],
      ['RECEIPT', '2'],
      ['RECEIPT', '3'],
      ['ERROR', '4'],
    ]);
    expect(frames[3]!.header('message')).toBe('resource_error');
    expect(frames[3]!.text()).toContain('queue "q" is full');
    expect(queueNamed(world, 'q')!.readyCount).toBe(2);
    expect(world.broker.counters.refusedQuota).toBe(1);
    expect(world.broker.counters.messagesReceived).toBe(4);
  });

  it('says no in the RECEIPT when x-nack asks for it', () => {
    const { consumer, publisher } = setup();
    consumer.subscribe('/queue/q', full);
    publisher.send(
      ...[1, 2, 3, 4].map((i) => frame('SEND', { destination: '/queue/q', receipt: i, 'x-nack': true }, `${i}`)),
    );
    expect(publisher.receive().map((f) => [f.header('receipt-id'), f.header('x-confirm')])).toEqual([
      ['1', null],
      ['2', null],
      ['3', null],
      ['4', 'nack'],
    ]);
  });

  it('and one that does not fit its arguments say no in the RECEIPT, too', () => {
    const { publisher } = setup();
    publisher.publish('/queue/q', 'x');
    publisher.publish('/queue/q', 'x', { 'x-max-length': 1, receipt: 'r', 'x-nack': true });
    const [receipt] = publisher.receive();
    expect([receipt!.header('receipt-id'), receipt!.header('x-confirm')]).toEqual(['r', 'nack']);
    expect(receipt!.header('message')).toContain('precondition-failed');
  });

  it('counts what nobody asked a receipt for', () => {
    const { world, consumer, publisher } = setup();
    consumer.subscribe('/queue/q', full);
    fill(publisher, ['1', '2', '3', '4', '5']);
    expect(publisher.receive()).toEqual([]);
    expect(publisher.pipe.ended).toBe(false);
    expect(world.broker.counters.refusedQuota).toBe(2);
  });
});

describe('a connection that ends', () => {
  it('leaves nothing behind but named queues and their messages', () => {
    const { world, consumer, publisher } = setup();
    consumer
      .subscribe('/queue/q', { id: 1, ack: 'client' })
      .subscribe('/queue/q', { id: 2, ack: 'client' })
      .subscribe('/topic/a', { id: 3 })
      .subscribe('/topic/b', { id: 4, ack: 'client' })
      .subscribe('/temp-queue/t', { id: 5 });
    fill(publisher, ['1', '2', '3', '4']);
    expect(consumer.messages().length).toBe(4);
    consumer.hangUp();
    publisher.hangUp();
    expect([...world.broker.vhosts.get('/')!.queues.keys()]).toEqual(['q']);
    const next = StompClient.connected(world).subscribe('/queue/q');
    expect(next.messages().map((m) => [m.text(), m.header('x-delivery-count')])).toEqual([
      ['1', '1'],
      ['2', '1'],
      ['3', '1'],
      ['4', '1'],
    ]);
    next.hangUp();
    expect(world.stompAdapter.classes.size).toBe(0);
    expect(world.broker.counters.connectionsOpened).toBe(world.broker.counters.connectionsClosed);
    // The adapter's own two.
    expect(world.arena.borrowedCount).toBe(2);
  });
});
