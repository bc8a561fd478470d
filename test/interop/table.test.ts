// The interop table: a message published in any protocol and version, received in any other, on real bytes through the whole broker in memory.
import { describe, expect, it } from 'vitest';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { StompWorld } from '../support/stomp-client.ts';
import { type Heard, MQTT_SPEAKERS, PAIRS, type Peer, type Said, SPEAKERS, STOMP_SPEAKERS } from './peer.ts';

const MIB = 1024 * 1024;

function bytes(count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => (i * 131) & 0xff));
}

const PAYLOADS: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from([0]),
  Buffer.from('text, ünïcödé, 🙂'),
  Buffer.from([0, 0, 10, 13, 0, 255, 254, 0]),
  bytes(70_000),
  bytes(MIB),
];

interface Meeting {
  readonly world: StompWorld;
  readonly from: Peer;
  readonly to: Peer;
}

describe.each(PAIRS)('$from.name to $to.name', ({ from: publisher, to: consumer }) => {
  function meet(): Meeting {
    const world = new StompWorld();
    return { world, from: publisher.connect(world, 'from'), to: consumer.connect(world, 'to') };
  }

  /** Publishes one message and gives what came of it. */
  function exchange({ from, to }: Meeting, payload: Uint8Array | string, said: Said): Heard {
    to.subscribe(to.topic('interop/#'));
    from.publish(from.topic('interop/x'), payload, said);
    const heard = to.receive();
    expect(heard.length).toBe(1);
    return heard[0]!;
  }

  it('carries payloads of any bytes and any size to topics', () => {
    const { from, to } = meet();
    to.subscribe(to.topic('plant/+/temp'));
    for (const payload of PAYLOADS) {
      from.publish(from.topic('plant/1/temp'), payload);
      from.publish(from.topic('plant/1/other'), 'no');
      const heard = to.receive();
      expect(heard.map(({ destination }) => destination)).toEqual([to.topic('plant/1/temp')]);
      expect(heard[0]!.payload.equals(payload)).toBe(true);
    }
  });

  it('carries payloads of any bytes and any size to queues, in order, once', () => {
    const { from, to } = meet();
    for (const payload of PAYLOADS) from.publish(from.queue('jobs'), payload);
    to.subscribe(to.queue('jobs'));
    const heard = to.receive();
    expect(heard.map(({ destination, redelivered }) => [destination, redelivered])).toEqual(
      PAYLOADS.map(() => [to.queue('jobs'), false]),
    );
    for (const [i, payload] of PAYLOADS.entries()) expect(heard[i]!.payload.equals(payload)).toBe(true);
    expect(to.receive()).toEqual([]);
  });

  it('carries what is said about a message, as far as both have words for it', () => {
    const meeting = meet();
    const { from, to } = meeting;
    const said: Said = {
      contentType: 'application/json',
      contentEncoding: 'gzip',
      utf8: true,
      correlationId: Buffer.from('request 17'),
      replyTo: from.topic('answers/a.b'),
      expirationMs: 90_000,
      priority: 7,
      messageId: 'm-1',
      timestamp: '1767225600000',
      headers: [
        ['unit', 'C'],
        ['ключ', 'значение'],
        ['x-app', '1'],
      ],
    };
    const heard = exchange(meeting, '{"t":21.5}', said);
    if (!from.hasProperties || !to.hasProperties) {
      expect(heard).toMatchObject({ payload: Buffer.from('{"t":21.5}'), headers: [] });
      return;
    }
    expect(heard).toEqual({
      ...said,
      destination: to.topic('interop/x'),
      payload: Buffer.from('{"t":21.5}'),
      replyTo: to.topic('answers/a.b'),
      retained: false,
      redelivered: false,
    });
  });

  it.each([
    ['empty', Buffer.alloc(0)],
    ['text with a space at the end', Buffer.from('id ')],
    ['text with a line end', Buffer.from('a\nb')],
    ['text with a colon and a backslash', Buffer.from('a:b\\c')],
    ['bytes', Buffer.from([0, 1, 0x80, 0xff, 0xfe, 0])],
  ])('carries a correlation id: %s', (_what, correlationId) => {
    const meeting = meet();
    const { correlationId: got } = exchange(meeting, 'x', { correlationId });
    const both = meeting.from.hasProperties && meeting.to.hasProperties;
    expect(got).toEqual(both ? correlationId : null);
  });

  it('keeps the order of headers, and of one that is repeated what the protocols say', () => {
    const meeting = meet();
    const { from, to } = meeting;
    const sent = [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
      ['c', ''],
    ] as const;
    const { headers } = exchange(meeting, 'x', { headers: sent });
    if (!from.hasProperties || !to.hasProperties) {
      expect(headers).toEqual([]);
      return;
    }
    const first = [sent[0], sent[1], sent[3]];
    const values = (name: string) => headers.filter(([key]) => key === name).map(([, value]) => value);
    // STOMP: of a repeated header the first counts. MQTT 5 keeps all of them.
    const fromStomp = publisher.name.startsWith('STOMP');
    const toStomp = consumer.name.startsWith('STOMP');
    if (!fromStomp && !toStomp) expect(headers).toEqual(sent);
    else if (!toStomp) expect(headers).toEqual(first);
    else {
      expect([values('b')[0], values('a'), values('c')]).toEqual(['1', ['2'], ['']]);
      const order = [...new Set(headers.map(([name]) => name))];
      expect(order).toEqual(['b', 'a', 'c']);
    }
  });

  it('takes the time that a message has waited off what it has left', () => {
    const { world, from, to } = meet();
    from.publish(from.queue('slow'), 'soon', { expirationMs: 5000 });
    from.publish(from.queue('slow'), 'later', { expirationMs: 90_000 });
    from.publish(from.queue('slow'), 'never');
    world.broker.setTime(world.clock.realtime());
    world.advance(10_000);
    world.broker.setTime(world.clock.realtime());
    world.broker.tick();
    world.settle();
    to.subscribe(to.queue('slow'));
    const heard = to.receive().map(({ payload, expirationMs }) => [payload.toString(), expirationMs]);
    if (!from.hasProperties)
      expect(heard).toEqual([
        ['soon', null],
        ['later', null],
        ['never', null],
      ]);
    else
      expect(heard).toEqual([
        ['later', to.hasProperties ? 80_000 : null],
        ['never', null],
      ]);
  });

  it('replays what is retained, flagged, and forgets it when an empty one is retained', () => {
    const { world, from, to } = meet();
    const live = consumer.connect(world, 'live');
    live.subscribe(live.topic('state/#'));
    from.publish(from.topic('state/a.b'), 'on', { retain: true });
    expect(live.receive().map(({ payload, retained }) => [payload.toString(), retained])).toEqual([['on', false]]);
    to.subscribe(to.topic('state/+'));
    expect(
      to.receive().map(({ destination, payload, retained }) => [destination, payload.toString(), retained]),
    ).toEqual([[to.topic('state/a.b'), 'on', true]]);
    from.publish(from.topic('state/a.b'), '', { retain: true });
    expect(to.receive().length).toBe(1);
    const late = consumer.connect(world, 'late');
    late.subscribe(late.topic('state/#'));
    expect(late.receive()).toEqual([]);
  });

  it('hands out the highest priority first, and equal ones in order', () => {
    const { world, from, to } = meet();
    const flags = { durable: true, autoDelete: false, exclusive: false };
    world.broker.addVhost('/').declareQueue(queueSpec('urgent', flags, new Map([['x-max-priority', '9']])));
    const priorities = [0, 5, 9, 5, 1, 200, 9];
    for (const [i, priority] of priorities.entries()) from.publish(from.queue('urgent'), String(i), { priority });
    to.subscribe(to.queue('urgent'));
    const got = to.receive().map(({ payload }) => Number(payload.toString()));
    expect(got).toEqual(from.hasProperties ? [2, 5, 6, 1, 3, 4, 0] : [0, 1, 2, 3, 4, 5, 6]);
  });

  it('gives to the next what a consumer that is lost has not settled, flagged', () => {
    const { world, from, to } = meet();
    const lost = consumer.connect(world, 'lost');
    from.publish(from.queue('jobs'), 'job');
    lost.subscribe(lost.queue('jobs'), true);
    expect(lost.receive().map(({ redelivered }) => redelivered)).toEqual([false]);
    to.subscribe(to.queue('jobs'));
    expect(to.receive()).toEqual([]);
    lost.hangUp();
    const [again] = to.receive();
    expect(again?.payload.toString()).toBe('job');
    // MQTT 3 can flag only what the same session gets again.
    expect(again?.redelivered).toBe(to.hasProperties);
  });

  it('shares one queue among consumers of both, each message to one of them', () => {
    const { from, to } = meet();
    from.subscribe(from.queue('shared'));
    to.subscribe(to.queue('shared'));
    for (let i = 0; i < 10; i++)
      (i % 2 === 0 ? from : to).publish((i % 2 === 0 ? from : to).queue('shared'), String(i));
    const shares = [from.receive(), to.receive()].map((heard) =>
      heard.map(({ payload }) => Number(payload.toString())),
    );
    expect(shares.map(({ length }) => length)).toEqual([5, 5]);
    expect(shares.flat().sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('delivers nothing any more once nobody is subscribed', () => {
    const { from, to } = meet();
    to.subscribe(to.topic('x'));
    to.unsubscribe(to.topic('x'));
    from.publish(from.topic('x'), 'no');
    to.subscribe(to.topic('y'));
    from.publish(from.topic('y'), 'yes');
    expect(to.receive().map(({ payload }) => payload.toString())).toEqual(['yes']);
  });

  it('goes through exchanges by their name', () => {
    const { from, to } = meet();
    const through = (peer: Peer, rest: string): string =>
      peer.topic('x').startsWith('/topic/')
        ? `/exchange/${rest.replaceAll('~', '.')}`
        : `$exchange/${rest.replaceAll('~', '/')}`;
    to.subscribe(through(to, 'amq.direct/red~one'));
    to.subscribe(through(to, 'amq.topic/logs~#'));
    from.publish(through(from, 'amq.direct/blue'), 'no');
    from.publish(through(from, 'amq.direct/red~one'), 'direct');
    from.publish(from.topic('logs/a/b'), 'topic');
    const heard = to.receive();
    expect(heard.map(({ destination, payload }) => [destination, payload.toString()])).toEqual([
      [through(to, 'amq.direct/red~one'), 'direct'],
      [to.topic('logs/a/b'), 'topic'],
    ]);
  });
});

describe('tables', () => {
  it('are complete', () => {
    expect(PAIRS.length).toBe(36);
    expect([MQTT_SPEAKERS.length, STOMP_SPEAKERS.length, SPEAKERS.length]).toEqual([3, 3, 6]);
  });
});
