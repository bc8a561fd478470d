import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../protocols/stomp/encoder.ts';
import type { Frame } from '../../../protocols/stomp/frame.ts';
import { frame, StompClient, StompWorld, type StompWorldOptions } from '../../support/stomp-client.ts';

function setup(options: StompWorldOptions = {}) {
  const world = new StompWorld(options);
  const queue = (name: string) => world.broker.vhosts.get('/')!.queues.get(name)!;
  return { world, queue, client: StompClient.connected(world), listener: StompClient.connected(world) };
}

const begin = (transaction = 't') => frame('BEGIN', { transaction });
const commit = (transaction = 't') => frame('COMMIT', { transaction });
const abort = (transaction = 't') => frame('ABORT', { transaction });
const send = (destination: string, body: string, headers = {}) =>
  frame('SEND', { destination, transaction: 't', ...headers }, body);
const settle = (command: 'ACK' | 'NACK', message: Frame, headers = {}) =>
  frame(command, { id: message.header('ack')!, transaction: 't', ...headers });

describe('a transaction', () => {
  it('does at COMMIT what was sent in it, in order, and nothing before', () => {
    const { client, listener } = setup();
    listener.subscribe('/topic/#');
    client.send(begin(), send('/topic/a', '1'), send('/topic/b', '2'));
    client.publish('/topic/c', 'outside');
    expect(listener.bodies()).toEqual(['outside']);
    client.send(commit());
    const got = listener.messages();
    expect(got.map((m) => m.text())).toEqual(['1', '2']);
    expect(got[0]!.header('transaction')).toBe(null);
  });

  it('does nothing when it is aborted', () => {
    const { client, listener, queue } = setup();
    listener.subscribe('/queue/q', { ack: 'client-individual' });
    client.publish('/queue/q', 'x');
    const [message] = listener.messages();
    listener.send(begin(), settle('ACK', message!), send('/topic/a', '1'), abort());
    expect(listener.receive()).toEqual([]);
    expect(queue('q').unsettledCount).toBe(1);
    listener.send(frame('ACK', { id: message!.header('ack')! }));
    listener.receive();
    expect(queue('q').unsettledCount).toBe(0);
  });

  it('does nothing when its connection ends', () => {
    const { world, client, listener } = setup();
    listener.subscribe('/topic/a');
    client.send(begin(), send('/topic/a', '1'));
    client.hangUp();
    const second = StompClient.connected(world);
    second.send(begin(), send('/topic/a', '2'), frame('DISCONNECT'));
    expect(listener.messages()).toEqual([]);
  });

  it('keeps what it was lent: bodies survive the chunks they came in', () => {
    const { client, listener } = setup();
    listener.subscribe('/topic/a');
    client.chunkBytes = 10;
    const bodies = ['short', 'x'.repeat(5000), 'y'.repeat(50_000)];
    client.send(begin(), ...bodies.map((body) => send('/topic/a', body)), commit());
    expect(listener.bodies()).toEqual(bodies);
  });

  it('settles at COMMIT, one by one or up to a delivery, accepted or given back', () => {
    const { client, listener, queue } = setup();
    for (const name of ['one', 'many', 'back'])
      for (const body of ['1', '2', '3']) client.publish(`/queue/${name}`, body);
    listener
      .subscribe('/queue/one', { id: 'one', ack: 'client-individual' })
      .subscribe('/queue/many', { id: 'many', ack: 'client' })
      .subscribe('/queue/back', { id: 'back', ack: 'client-individual', 'prefetch-count': 3 });
    const messages = listener.messages();
    const find = (id: string, body: string) =>
      messages.find((m) => m.header('subscription') === id && m.text() === body)!;
    listener.send(
      begin(),
      settle('ACK', find('one', '2')),
      settle('ACK', find('many', '2')),
      settle('NACK', find('back', '3')),
    );
    expect(listener.receive()).toEqual([]);
    expect(['one', 'many', 'back'].map((name) => queue(name).unsettledCount)).toEqual([3, 3, 3]);
    listener.send(commit());
    const again = listener.messages();
    expect(again.map((m) => [m.header('subscription'), m.text(), m.header('redelivered')])).toEqual([
      ['back', '3', 'true'],
    ]);
    expect(['one', 'many', 'back'].map((name) => queue(name).unsettledCount)).toEqual([2, 1, 3]);
  });

  it('moves a message from queue to queue: taken, sent on and settled at once', () => {
    const { client, listener, queue } = setup();
    client.publish('/queue/in', 'job');
    listener.subscribe('/queue/in', { ack: 'client-individual' });
    const [job] = listener.messages();
    listener.request(begin());
    listener.send(send('/queue/out', 'done', { persistent: true }), settle('ACK', job!));
    listener.receive();
    expect(listener.request(commit())).toEqual([]);
    expect([queue('in').readyCount, queue('in').unsettledCount, queue('out').readyCount]).toEqual([0, 0, 1]);
  });

  it('gives no credit for what it has not committed', () => {
    const { client, listener } = setup();
    for (const body of ['1', '2', '3']) client.publish('/queue/q', body);
    listener.subscribe('/queue/q', { ack: 'client-individual', 'prefetch-count': 1 });
    const [one] = listener.messages();
    listener.send(begin(), settle('ACK', one!));
    expect(listener.messages()).toEqual([]);
    listener.send(commit());
    expect(listener.bodies()).toEqual(['2']);
  });

  it('retains at COMMIT', () => {
    const { world, client } = setup();
    client.send(begin(), send('/topic/a', 'kept', { retain: true }));
    client.receive();
    expect(world.broker.vhosts.get('/')!.retained.count).toBe(0);
    client.send(commit());
    client.receive();
    expect(StompClient.connected(world).subscribe('/topic/a').bodies()).toEqual(['kept']);
  });

  it('does not mind a subscription that has ended', () => {
    const { client, listener, queue } = setup();
    client.publish('/queue/q', 'x');
    listener.subscribe('/queue/q', { ack: 'client' });
    const [message] = listener.messages();
    listener.send(begin(), settle('ACK', message!), frame('UNSUBSCRIBE', { id: 'sub' }), commit());
    expect(listener.receive()).toEqual([]);
    expect(queue('q').readyCount).toBe(1);
  });
});

describe('transactions', () => {
  it('of one connection have different names; those of others are others', () => {
    const { client, listener } = setup();
    client.request(begin('a'));
    client.request(begin('b'));
    listener.request(begin('a'));
    client.request(commit('a'));
    client.request(begin('a'));
    client.send(begin('b'));
    expect(client.error()!.header('message')).toBe('Bad transaction');
    expect(listener.pipe.ended).toBe(false);
  });

  it('that do not exist are errors, whatever is asked of them', () => {
    for (const asked of [commit(), abort(), send('/topic/a', ''), frame('COMMIT', { transaction: '' })]) {
      const { client } = setup();
      client.send(asked);
      expect(client.error(), asked.command).not.toBe(null);
    }
    const { client, listener } = setup();
    client.publish('/queue/q', 'x');
    listener.subscribe('/queue/q', { ack: 'client' });
    listener.send(settle('ACK', listener.messages()[0]!));
    expect(listener.error()!.header('message')).toBe('Bad transaction');
  });

  it('are used once', () => {
    const { client } = setup();
    client.send(begin(), commit(), commit());
    expect(client.error()!.text()).toContain('"t"');
  });

  it('are bounded in number, in frames and in bytes', () => {
    const many = setup().client;
    many.send(...Array.from({ length: 1001 }, (_, i) => begin(`${i}`)));
    expect(many.error()!.text()).toContain('1000 open transactions');

    const long = setup().client;
    long.send(begin());
    const one = encodeFrame(send('/topic/a', ''), long.version);
    long.sendBytes(Buffer.concat(new Array<Uint8Array>(100_001).fill(one)));
    expect(long.error()!.text()).toContain('100000 frames');

    const large = setup().client;
    const body = 'x'.repeat(10_000_000);
    large.send(begin());
    for (let i = 0; i < 7; i++) large.send(send('/topic/a', body));
    expect(large.error()!.text()).toContain('67108864 bytes');
  });

  it('that are committed make room again', () => {
    const { client } = setup();
    const body = 'x'.repeat(10_000_000);
    for (let i = 0; i < 10; i++)
      client.request(i % 2 === 0 ? begin(`${i >> 1}`) : frame('ABORT', { transaction: `${i >> 1}` }));
    for (let i = 0; i < 10; i++) {
      client.send(begin(), send('/topic/a', body), i % 2 === 0 ? commit() : abort());
      client.receive();
    }
    expect(client.pipe.ended).toBe(false);
  });
});

describe('COMMIT', () => {
  it('that would exceed a queue does nothing at all', () => {
    const { client, listener, queue } = setup();
    listener.subscribe('/topic/a', { id: 'topic' });
    listener.subscribe('/queue/q', {
      id: 'q',
      'x-max-length': 2,
      'x-overflow': 'reject-publish',
      ack: 'client',
      'prefetch-count': 1,
    });
    client.send(begin(), send('/topic/a', '1'), send('/queue/q', '1'), send('/queue/q', '2'), send('/queue/q', '3'));
    client.send(frame('COMMIT', { transaction: 't', receipt: 'r' }));
    const error = client.error()!;
    expect(error.header('receipt-id')).toBe('r');
    expect(error.header('message')).toBe('resource_error');
    expect(listener.receive()).toEqual([]);
    expect(queue('q').readyCount).toBe(0);
  });

  it('whose rights are gone does nothing at all', () => {
    let allowed = true;
    const { world, client, listener } = setup({
      authorizer: {
        epoch: 0,
        dependsOnClient: () => false,
        allows: (_p, _c, action) => allowed || action !== 'publish',
      },
      authenticator: { authenticate: () => ({ ok: true, principal: { name: 'ann', policy: {} } }) },
    });
    listener.subscribe('/topic/#');
    client.send(begin(), send('/topic/a', '1'), send('/topic/b', '2'));
    client.receive();
    allowed = false;
    world.broker.vhosts.get('/')!.policyChanged();
    client.send(commit());
    expect(client.error()!.header('message')).toBe('access_refused');
    expect(listener.messages()).toEqual([]);
  });

  it('that settles what was settled meanwhile does nothing at all', () => {
    const { client, listener, queue } = setup();
    client.publish('/queue/q', 'x');
    listener.subscribe('/queue/q', { ack: 'client-individual' });
    const [message] = listener.messages();
    listener.send(
      begin(),
      send('/queue/out', 'y'),
      settle('ACK', message!),
      frame('ACK', { id: message!.header('ack')! }),
      commit(),
    );
    expect(listener.error()!.header('message')).toBe('Invalid header');
    expect(queue('out').readyCount).toBe(0);
  });
});
