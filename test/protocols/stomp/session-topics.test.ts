import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../protocols/stomp/encoder.ts';
import { Version } from '../../../protocols/stomp/frame.ts';
import { ALLOW_ALL, type Authorizer } from '../../../src/core/authorizer.ts';
import { frame, StompClient, StompWorld } from '../../support/stomp-client.ts';

const VERSIONS = [Version.V1_0, Version.V1_1, Version.V1_2] as const;

function pair(version: Version = Version.V1_2) {
  const world = new StompWorld();
  return { world, listener: StompClient.connected(world, version), publisher: StompClient.connected(world, version) };
}

describe('MESSAGE', () => {
  it('has subscription, a unique message-id, the destination and the body as sent', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a.b', { id: 'the one' });
    publisher.publish('/topic/a.b', 'hello', { 'content-type': 'text/plain' });
    publisher.publish('/topic/a.b', 'hello');
    const [first, second] = listener.messages();
    expect(first!.headers).toEqual([
      'subscription',
      'the one',
      'message-id',
      first!.header('message-id'),
      'destination',
      '/topic/a.b',
      'content-type',
      'text/plain',
      'content-length',
      '5',
    ]);
    expect(second!.header('message-id')).not.toBe(first!.header('message-id'));
    expect(first!.header('ack')).toBe(null);
    expect(first!.text()).toBe('hello');
  });

  it("keeps the application's headers in their order, and lets the first of a repeated one win", () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a');
    publisher.sendBytes('SEND\nz:1\ndestination:/topic/a\ny:2\nz:3\nx-custom:4\ny\\c:5\n\n\0');
    const [message] = listener.messages();
    expect(message!.headers.slice(6)).toEqual(['z', '1', 'y', '2', 'z', '3', 'x-custom', '4', 'y:', '5']);
    expect(message!.header('z')).toBe('1');
  });

  it('has nothing of what a SEND says to the broker, and nothing that only the broker says', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a');
    publisher.send(
      frame('SEND', {
        receipt: '1',
        destination: '/topic/a',
        subscription: 'forged',
        'message-id': 'mine',
        ack: 'forged',
        redelivered: true,
        retained: true,
        'x-delivery-count': 7,
        'x-nack': true,
        keep: 'me',
      }),
    );
    const [message] = listener.messages();
    expect(message!.header('subscription')).toBe('sub');
    expect(message!.header('message-id')).not.toBe('mine');
    expect(message!.headers.slice(4)).toEqual(['destination', '/topic/a', 'x-message-id', 'mine', 'keep', 'me']);
  });

  it.each([
    ['no body', ''],
    ['NULs', 'a\0b\0\0'],
    ['line ends', '\n\n\r\n'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0x80])],
    ['20 KB', 'x'.repeat(20_000)],
    ['200 KB', 'y'.repeat(200_000)],
    ['5 MB', Buffer.alloc(5_000_000, 'z')],
  ])('carries %s', (_name, body) => {
    const { world, listener, publisher } = pair();
    const second = StompClient.connected(world, Version.V1_2).subscribe('/topic/a');
    listener.subscribe('/topic/a');
    publisher.chunkBytes = 65_536;
    publisher.publish('/topic/a', body);
    publisher.publish('/topic/a', 'after');
    for (const client of [listener, second]) {
      const [big, after] = client.messages();
      expect(Buffer.from(big!.body).equals(Buffer.from(body))).toBe(true);
      expect(after!.text()).toBe('after');
    }
  });

  it('of a body without content-length says how long it is', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a');
    publisher.sendBytes('SEND\ndestination:/topic/a\n\nhello\0');
    expect(listener.messages()[0]!.header('content-length')).toBe('5');
  });

  it('comes in the order of sending, whatever the sizes', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a.*');
    const sizes = [1, 20_000, 3, 0, 16_000, 70_000, 5, 5, 5, 30_000, 2];
    const bodies = sizes.map((size, i) => `${i}${'.'.repeat(size)}`);
    publisher.send(...bodies.map((body, i) => frame('SEND', { destination: `/topic/a.${i % 3}` }, body)));
    expect(listener.bodies()).toEqual(bodies);
  });

  it('comes from the read buffer that all connections share as from any other', () => {
    const { world, listener, publisher } = pair();
    listener.subscribe('/topic/a').subscribe('/queue/q', { id: 'q' });
    const { arena } = world;
    const sizes = [0, 10, 100, 3000, 17_000, 90_000, 1];
    const sent = sizes.flatMap((size, i) => [
      frame('SEND', { destination: '/topic/a', i }, 'x'.repeat(size)),
      frame('SEND', { destination: '/queue/q', persistent: true }, 'y'.repeat(size)),
    ]);
    const bytes = Buffer.concat(sent.map((one) => encodeFrame(one, Version.V1_2)));
    for (const chunkBytes of [1000, 70_000, bytes.length]) {
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        const size = bytes.copy(arena.bytes, arena.readStart, at, Math.min(bytes.length, at + chunkBytes));
        publisher.pipe.handler.onChunk(arena.bytes, arena.readStart, arena.readStart + size);
        arena.bytes.fill(0xdb, 0, arena.readEnd);
      }
      expect(listener.messages().map((message) => message.text())).toEqual(sent.map((one) => one.text()));
    }
  });

  it('comes by the thousands in one chunk', () => {
    const { world, listener, publisher } = pair();
    const others = [1, 2, 3].map(() => StompClient.connected(world).subscribe('/topic/#'));
    listener.subscribe('/topic/a');
    const bodies = Array.from({ length: 5000 }, (_, i) => `body ${i}`);
    publisher.send(...bodies.map((body) => frame('SEND', { destination: '/topic/a' }, body)));
    for (const client of [listener, ...others]) expect(client.bodies()).toEqual(bodies);
    expect(world.broker.counters.messagesReceived).toBe(5000);
    expect(world.broker.counters.messagesDelivered).toBe(20_000);
  });

  it('goes to every subscription of a connection on its own', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a', { id: 1 }).subscribe('/topic/*', { id: 2 }).subscribe('/topic/b', { id: 3 });
    publisher.publish('/topic/a', 'x');
    expect(
      listener
        .messages()
        .map((m) => m.header('subscription'))
        .sort(),
    ).toEqual(['1', '2']);
  });

  it('does not come any more after UNSUBSCRIBE', () => {
    const { world, listener, publisher } = pair();
    listener.subscribe('/topic/a');
    listener.request(frame('UNSUBSCRIBE', { id: 'sub' }));
    publisher.publish('/topic/a', 'x');
    expect(listener.messages()).toEqual([]);
    expect(world.stompAdapter.classes.size).toBe(0);
  });
});

describe('versions', () => {
  const texts = ['plain', 'co:lon', 'back\\slash', 'two\nlines', 'ümläut ☃', ' spaces '];

  it.each(VERSIONS.flatMap((from) => VERSIONS.map((to) => [from, to] as const)))(
    'a header sent in %s and received in %s is what both can say',
    (from, to) => {
      const world = new StompWorld();
      const listener = StompClient.connected(world, to).subscribe('/topic/a');
      const publisher = StompClient.connected(world, from);
      for (const text of texts) publisher.publish('/topic/a', text, { custom: text });
      const got = listener.messages();
      expect(got.map((message) => message.text())).toEqual(texts);
      const expected = texts.map((text) => {
        let value = text;
        // 1.0 has no escapes, and its values are trimmed.
        if (from === Version.V1_0 || to === Version.V1_0) value = value.replace('\n', ' ');
        return from === Version.V1_0 || to === Version.V1_0 ? value.trim() : value;
      });
      expect(got.map((message) => message.header('custom'))).toEqual(expected);
    },
  );

  it('of three listeners in one fan-out, each gets its own escapes', () => {
    const world = new StompWorld();
    const listeners = VERSIONS.map((version) => StompClient.connected(world, version).subscribe('/topic/a'));
    const publisher = StompClient.connected(world, Version.V1_2);
    publisher.sendBytes('SEND\ndestination:/topic/a\nk:a\\cb\\\\c\n\nx\0');
    const wires = listeners.map((client) => {
      world.settle();
      return client.pipe.taken().toString();
    });
    expect(wires[0]).toContain('\nk:a:b\\c\n');
    expect(wires[1]).toContain('\nk:a\\cb\\\\c\n');
    expect(wires[2]).toContain('\nk:a\\cb\\\\c\n');
  });

  it('a colon that 1.2 lets pass unescaped is escaped on its way out', () => {
    const { world, listener, publisher } = pair();
    listener.subscribe('/topic/a');
    publisher.sendBytes('SEND\ndestination:/topic/a\nurl:http://x/\n\n\0');
    world.settle();
    expect(listener.pipe.taken().toString()).toContain('\nurl:http\\c//x/\n');
  });

  it('a subscription of 1.0 needs no id, and is ended by its destination', () => {
    const { listener, publisher } = pair(Version.V1_0);
    listener.send(frame('SUBSCRIBE', { destination: '/topic/a' }));
    publisher.publish('/topic/a', 'x');
    const [message] = listener.messages();
    expect(message!.header('subscription')).toBe(null);
    expect(message!.text()).toBe('x');
    listener.send(frame('UNSUBSCRIBE', { destination: '/topic/a' }));
    publisher.publish('/topic/a', 'y');
    expect(listener.messages()).toEqual([]);
  });
});

describe('destinations', () => {
  it('are written with slashes for whoever subscribed with slashes, and with dots for others', () => {
    const { world, listener, publisher } = pair();
    const slashed = StompClient.connected(world).subscribe('/topic/a/*');
    listener.subscribe('/topic/a.*');
    publisher.publish('/topic/a/b', '1');
    publisher.publish('/topic/a.b', '2');
    publisher.publish('/topic/a/x.y', '3');
    expect(listener.messages().map((m) => m.header('destination'))).toEqual([
      '/topic/a.b',
      '/topic/a.b',
      '/topic/a.x%2Ey',
    ]);
    expect(slashed.messages().map((m) => m.header('destination'))).toEqual([
      '/topic/a/b',
      '/topic/a/b',
      '/topic/a/x.y',
    ]);
  });

  it('with an escaped colon lead where they say', () => {
    const { listener, publisher } = pair();
    listener.sendBytes('SUBSCRIBE\nid:1\ndestination:/topic/a\\cb\n\n\0');
    publisher.sendBytes('SEND\ndestination:/topic/a\\cb\n\nescaped\0SEND\ndestination:/topic/a:b\n\nplain\0');
    const got = listener.messages();
    expect(got.map((m) => m.text())).toEqual(['escaped', 'plain']);
    expect(got[0]!.header('destination')).toBe('/topic/a:b');
  });

  it('of exchanges lead to every type of exchange', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/exchange/amq.direct/key', { id: 'direct' });
    listener.subscribe('/exchange/amq.fanout', { id: 'fanout' });
    listener.subscribe('/exchange/amq.headers', { id: 'headers', 'x-match': 'all', colour: 'red' });
    publisher.publish('/exchange/amq.direct/key', 'd');
    publisher.publish('/exchange/amq.direct/other', 'nobody');
    publisher.publish('/exchange/amq.fanout/whatever', 'f');
    publisher.publish('/exchange/amq.headers', 'blue', { colour: 'blue' });
    publisher.publish('/exchange/amq.headers', 'red', { colour: 'red' });
    const got = listener.messages();
    expect(got.map((m) => [m.header('subscription'), m.header('destination'), m.text()])).toEqual([
      ['direct', '/exchange/amq.direct/key', 'd'],
      ['fanout', '/exchange/amq.fanout/whatever', 'f'],
      ['headers', '/exchange/amq.headers', 'red'],
    ]);
  });

  it('of exchanges that do not exist are not found', () => {
    const { world, publisher } = pair();
    publisher.publish('/exchange/none/key', 'x', { receipt: 1 });
    const error = publisher.error()!;
    expect(error.header('message')).toBe('not_found');
    expect(error.text()).toContain('NOT_FOUND - ');
    expect(error.header('receipt-id')).toBe('1');
    const subscriber = StompClient.connected(world);
    subscriber.send(frame('SUBSCRIBE', { id: 1, destination: '/exchange/none/key', ack: 'client' }));
    expect(subscriber.error()!.header('message')).toBe('not_found');
    expect(world.broker.vhosts.get('/')!.queues.size).toBe(0);
  });
});

describe('permissions', () => {
  const onlyPublic: Authorizer = {
    ...ALLOW_ALL,
    allows: (_principal, _clientId, _action, { name }) => name.startsWith('public'),
  };
  const authenticator = { authenticate: () => ({ ok: true, principal: { name: 'ann', policy: {} } }) as const };

  it('that are missing refuse SEND and SUBSCRIBE', () => {
    const world = new StompWorld({ authorizer: onlyPublic, authenticator });
    for (const asked of [
      frame('SEND', { destination: '/topic/secret' }),
      frame('SEND', { destination: '/queue/secret' }),
      frame('SUBSCRIBE', { id: 1, destination: '/topic/secret' }),
      frame('SUBSCRIBE', { id: 1, destination: '/queue/secret' }),
      frame('SUBSCRIBE', { id: 1, destination: '/topic/public', 'x-queue-name': 'secret', ack: 'client' }),
    ]) {
      const client = StompClient.connected(world);
      client.send(asked);
      const error = client.error()!;
      expect(error.header('message')).toBe('access_refused');
      expect(error.text()).toMatch(/^ACCESS_REFUSED - ann may not /);
    }
    expect(world.broker.vhosts.get('/')!.queues.size).toBe(0);
    expect(world.broker.counters.refusedUnauthorized).toBeGreaterThanOrEqual(4);
  });

  it('filter what a wildcard brings', () => {
    const narrow: Authorizer = {
      ...ALLOW_ALL,
      allows: (principal, _clientId, action, { name }) =>
        principal.name !== 'ann' || action === 'publish' || !name.includes('secret'),
    };
    const world = new StompWorld({ authorizer: narrow, authenticator });
    const client = StompClient.connected(world).subscribe('/topic/#');
    client.publish('/topic/public', '1');
    client.publish('/topic/secret', '2');
    client.publish('/topic/public', '3');
    expect(client.bodies()).toEqual(['1', '3']);
  });

  it('that a SEND with x-nack lacks are told in its RECEIPT, and the connection goes on', () => {
    const world = new StompWorld({ authorizer: onlyPublic, authenticator });
    const client = StompClient.connected(world).subscribe('/topic/public');
    client.publish('/topic/secret', 'x', { receipt: 7, 'x-nack': true });
    client.publish('/topic/public', 'y', { receipt: 8, 'x-nack': true });
    const [no, message, yes] = client.receive();
    expect([no!.command, no!.header('receipt-id'), no!.header('x-confirm')]).toEqual(['RECEIPT', '7', 'nack']);
    expect(no!.header('message')).toContain('access-refused');
    expect(message!.text()).toBe('y');
    expect([yes!.header('receipt-id'), yes!.header('x-confirm')]).toEqual(['8', null]);
  });
});

describe('retained messages', () => {
  it('come to a new subscription with retained:true', () => {
    const { listener, publisher } = pair();
    publisher.publish('/topic/a.b', 'kept', { retain: true, colour: 'red' });
    publisher.publish('/topic/a.c', 'not kept');
    listener.subscribe('/topic/a.*');
    const [message, ...rest] = listener.messages();
    expect(rest).toEqual([]);
    expect(message!.text()).toBe('kept');
    expect(message!.header('retained')).toBe('true');
    expect(message!.header('colour')).toBe('red');
    expect(message!.header('retain')).toBe(null);
  });

  it('are live messages for those who are there', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a');
    publisher.publish('/topic/a', 'x', { retain: true });
    expect(listener.messages()[0]!.header('retained')).toBe(null);
  });

  it('are replaced by the next, and cleared by one without a body', () => {
    const { world, publisher } = pair();
    const seen = () => StompClient.connected(world).subscribe('/topic/a').bodies();
    publisher.publish('/topic/a', '1', { retain: true });
    publisher.publish('/topic/a', '2', { retain: true });
    expect(seen()).toEqual(['2']);
    publisher.publish('/topic/a', '', { retain: true });
    world.settle();
    expect(seen()).toEqual([]);
  });

  it('stay away when x-retain-handling says so', () => {
    const { listener, publisher } = pair();
    publisher.publish('/topic/a', 'x', { retain: true });
    listener.subscribe('/topic/a', { 'x-retain-handling': 2 });
    expect(listener.messages()).toEqual([]);
  });

  it('are settled like others where the client settles', () => {
    const { world, listener, publisher } = pair();
    publisher.publish('/topic/a', 'x', { retain: true });
    listener.subscribe('/topic/a', { ack: 'client-individual' });
    const [message] = listener.messages();
    expect(message!.header('retained')).toBe('true');
    listener.request(frame('ACK', { id: message!.header('ack')! }));
    expect([...world.broker.vhosts.get('/')!.queues.values()].map((queue) => queue.unsettledCount)).toEqual([0]);
  });

  it('come by the thousands, a slice at a time, and only what the client can take', () => {
    const { listener, publisher } = pair();
    const count = 3000;
    publisher.send(
      ...Array.from({ length: count }, (_, i) => frame('SEND', { destination: `/topic/r.${i}`, retain: true }, `${i}`)),
    );
    listener.subscribe('/topic/r.*', { id: 'direct' });
    expect(listener.bodies().length).toBe(count);
    listener.subscribe('/topic/r.*', { id: 'queued', ack: 'client-individual', 'prefetch-count': 10 });
    let got = 0;
    for (let batch = listener.messages(); batch.length > 0; batch = listener.messages()) {
      got += batch.length;
      listener.send(...batch.map((message) => frame('ACK', { id: message.header('ack')! })));
    }
    expect(got).toBe(count);
  });
});

describe('expiry', () => {
  it('is told as the milliseconds that are left', async () => {
    const world = await new StompWorld().open();
    const listener = StompClient.connected(world).subscribe('/topic/a', { id: 1 });
    const publisher = StompClient.connected(world);
    publisher.publish('/topic/a', 'x', { expiration: 5000 });
    publisher.publish('/queue/q', 'x', { expiration: 5000 });
    publisher.publish('/queue/q', 'y', { expires: world.clock.realtime() + 9000 });
    expect(listener.messages()[0]!.header('expiration')).toBe('5000');
    world.advance(2000);
    listener.subscribe('/queue/q', { id: 2 });
    expect(listener.messages().map((m) => m.header('expiration'))).toEqual(['3000', '7000']);
  });

  it('ends what nobody has taken', async () => {
    const world = await new StompWorld().open();
    const client = StompClient.connected(world);
    client.publish('/queue/q', 'short', { expiration: 1000 });
    client.publish('/queue/q', 'long', { expiration: 60_000 });
    client.publish('/queue/q', 'for ever', { expires: 0 });
    client.publish('/queue/q', 'at once', { expiration: 0 });
    world.advance(1500);
    expect(client.subscribe('/queue/q').bodies()).toEqual(['long', 'for ever']);
    expect(world.broker.counters.droppedExpired).toBe(2);
  });

  it('of more than anybody can say is none', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/topic/a');
    publisher.publish('/topic/a', 'x', { expiration: '99999999999999999999' });
    expect(listener.messages()[0]!.header('expiration')).toBe(null);
  });

  it('of 0 goes to whoever takes it at once', () => {
    const { listener, publisher } = pair();
    listener.subscribe('/queue/q');
    publisher.publish('/queue/q', 'now', { expiration: 0 });
    expect(listener.bodies()).toEqual(['now']);
  });
});

describe('a slow client', () => {
  it('loses what may be lost, counted, and nobody else does', () => {
    const { world, listener, publisher } = pair();
    listener.subscribe('/topic/a');
    const quick = StompClient.connected(world).subscribe('/topic/a');
    listener.pipe.stalled = true;
    const body = 'x'.repeat(1_000_000);
    let sent = 0;
    for (let i = 0; i < 30; i++) {
      publisher.publish('/topic/a', body);
      sent += quick.messages().length;
    }
    expect(sent).toBe(30);
    const dropped = world.broker.counters.droppedSlowConsumer;
    expect(dropped).toBeGreaterThan(0);
    listener.pipe.readOn();
    expect(listener.messages().length + dropped).toBe(30);
    publisher.publish('/topic/a', 'again');
    expect(listener.bodies()).toEqual(['again']);
  });

  it('that is the only one makes the publisher wait', () => {
    const { listener, publisher, world } = pair();
    listener.subscribe('/topic/a');
    listener.pipe.stalled = true;
    for (let i = 0; i < 3; i++) {
      publisher.publish('/topic/a', 'x'.repeat(300_000));
      world.settle();
    }
    expect(publisher.pipe.paused).toBe(1);
    listener.pipe.readOn();
    world.settle();
    expect(publisher.pipe.paused).toBe(0);
    expect(listener.messages().length).toBe(3);
  });
});
