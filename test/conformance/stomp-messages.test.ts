// STOMP's sending, subscribing, acknowledging and transactions.
import { expect } from 'vitest';
import { frame, type StompClient } from '../support/stomp-client.ts';
import { said, type Wire } from './stomp.ts';

const Q = '/queue/q';

/** A consumer of the queue and what it got of so many messages. */
function consuming(wire: Wire, ack: string, count: number) {
  const publisher = wire.client();
  for (let i = 0; i < count; i++) publisher.publish(Q, String(i));
  const consumer = wire.client().subscribe(Q, { ack });
  return { publisher, consumer, got: consumer.messages() };
}

/** What another client gets of the queue when `client` has gone. */
function left(wire: Wire, client: StompClient): string[] {
  client.hangUp();
  const other = wire.client().subscribe(Q);
  const bodies = other.bodies();
  other.hangUp();
  return bodies;
}

said('[STOMP-S-1] SEND needs a destination', (wire) => {
  const client = wire.client();
  client.send(frame('SEND', {}, 'x'));
  expect(client.error()!.text()).toContain('destination');
});

said('[STOMP-S-2] [STOMP-S-3] headers of SEND go into its MESSAGE, content-type among them', (wire) => {
  const client = wire.client().subscribe('/topic/a');
  client.publish('/topic/a', '{}', { one: '1', 'content-type': 'application/json', two: '2' });
  const [message] = client.messages();
  expect([message!.header('one'), message!.header('two'), message!.header('content-type')]).toEqual([
    '1',
    '2',
    'application/json',
  ]);
});

said('[STOMP-S-4] SEND that is refused: ERROR, then the end', (wire) => {
  const client = wire.client();
  client.publish('/exchange/missing/key', 'x');
  expect(client.error()!.text()).toContain('NOT_FOUND');
});

said('[STOMP-S-5] [STOMP-T-3] SEND with transaction takes effect with COMMIT', (wire) => {
  const [client, listener] = [wire.client(), wire.client().subscribe('/topic/a')];
  client.request(frame('BEGIN', { transaction: 't' }));
  for (const body of ['1', '2']) client.request(frame('SEND', { destination: '/topic/a', transaction: 't' }, body));
  expect(listener.bodies()).toEqual([]);
  client.request(frame('COMMIT', { transaction: 't' }));
  expect(listener.bodies()).toEqual(['1', '2']);
});

// Subscribing.

said('[STOMP-U-1] SUBSCRIBE needs a destination', (wire) => {
  const client = wire.client();
  client.send(frame('SUBSCRIBE', { id: '1' }));
  expect(client.error()!.text()).toContain('destination');
});

said('[STOMP-U-2] SUBSCRIBE needs an id', (wire) => {
  const client = wire.client();
  client.send(frame('SUBSCRIBE', { destination: '/topic/a' }));
  expect(client.error()!.text()).toContain('id');
});

said('[STOMP-U-3] [STOMP-U-12] id may be missing, and the destination stand for it', (wire) => {
  const client = wire.client();
  client.request(frame('SUBSCRIBE', { destination: '/topic/a' }));
  client.publish('/topic/a', '1');
  expect(client.bodies()).toEqual(['1']);
  client.request(frame('UNSUBSCRIBE', { destination: '/topic/a' }));
  client.publish('/topic/a', '2');
  expect(client.bodies()).toEqual([]);
});

said('[STOMP-U-4] an id that is taken is an error', (wire) => {
  const client = wire.client().subscribe('/topic/a');
  client.send(frame('SUBSCRIBE', { id: 'sub', destination: '/topic/b' }));
  expect(client.error()!.header('message')).toBe('Duplicated subscription identifier');
});

said('[STOMP-U-5] [STOMP-M-2] subscriptions to one destination each get their messages, under their ids', (wire) => {
  const client = wire.client().subscribe('/topic/a', { id: '1' }).subscribe('/topic/a', { id: '2' });
  client.publish('/topic/a', 'x');
  expect(
    client
      .messages()
      .map((message) => message.header('subscription'))
      .sort(),
  ).toEqual(['1', '2']);
});

said('[STOMP-U-6] ack is auto where nothing is said: what was sent has been received', (wire) => {
  wire.client().publish(Q, 'x');
  const client = wire.client();
  client.request(frame('SUBSCRIBE', { id: '1', destination: Q }));
  client.receive();
  expect(left(wire, client)).toEqual([]);
});

said('[STOMP-U-7] ack:client: ACK covers everything before it, what comes after has not been received', (wire) => {
  const { consumer, got } = consuming(wire, 'client', 5);
  consumer.request(frame('ACK', wire.naming(got[2]!)));
  expect(left(wire, consumer)).toEqual(['3', '4']);
});

said('[STOMP-U-8] ack:client-individual: ACK covers one message', (wire) => {
  const { consumer, got } = consuming(wire, 'client-individual', 4);
  consumer.request(frame('ACK', wire.naming(got[2]!)));
  expect(left(wire, consumer)).toEqual(['0', '1', '3']);
});

said('[STOMP-U-9] what was not acknowledged when the connection ends goes to others', (wire) => {
  const { consumer } = consuming(wire, 'client', 2);
  const other = wire.client().subscribe(Q);
  expect(other.bodies()).toEqual([]);
  consumer.hangUp();
  expect(other.bodies()).toEqual(['0', '1']);
});

said('[STOMP-U-10] any other ack mode is an error', (wire) => {
  const client = wire.client();
  client.send(frame('SUBSCRIBE', { id: '1', destination: Q, ack: 'Client' }));
  expect(client.error()!.text()).toContain('ack');
});

said('[STOMP-U-11] UNSUBSCRIBE needs the id', (wire) => {
  const client = wire.client().subscribe('/topic/a');
  client.send(frame('UNSUBSCRIBE', { destination: '/topic/a' }));
  expect(client.error()!.text()).toContain('id');
});

said('[STOMP-U-13] after UNSUBSCRIBE nothing comes any more', (wire) => {
  const client = wire.client().subscribe('/topic/a').subscribe(Q, { id: 'q' });
  client.request(frame('UNSUBSCRIBE', { id: 'sub' }));
  client.request(frame('UNSUBSCRIBE', { id: 'q' }));
  client.publish('/topic/a', 'x');
  client.publish(Q, 'x');
  expect(client.bodies()).toEqual([]);
});

said('[STOMP-U-14] UNSUBSCRIBE of what was not subscribed to is an error', (wire) => {
  const client = wire.client();
  client.send(frame('UNSUBSCRIBE', { id: 'none' }));
  expect(client.error()!.header('message')).toBe('No subscription found');
});

// Acknowledging.

said('[STOMP-A-1] ACK and NACK name the ack header by id', (wire) => {
  const { consumer, got } = consuming(wire, 'client-individual', 3);
  consumer.request(frame('ACK', { id: got[0]!.header('ack')! }));
  const again = consumer.request(frame('NACK', { id: got[1]!.header('ack')!, requeue: 'false' }));
  expect(again).toEqual([]);
  expect(left(wire, consumer)).toEqual(['2']);
});

said('[STOMP-A-2] ACK and NACK name message-id and subscription', (wire) => {
  const { consumer, got } = consuming(wire, 'client-individual', 2);
  consumer.request(frame('ACK', { 'message-id': got[0]!.header('message-id')!, subscription: 'sub' }));
  expect(left(wire, consumer)).toEqual(['1']);
});

said('[STOMP-A-3] ACK names message-id', (wire) => {
  const { consumer, got } = consuming(wire, 'client-individual', 2);
  consumer.request(frame('ACK', { 'message-id': got[1]!.header('message-id')! }));
  expect(left(wire, consumer)).toEqual(['0']);
});

said('[STOMP-A-4] NACK says that a message was not consumed: it goes to somebody again', (wire) => {
  const { consumer, got } = consuming(wire, 'client-individual', 1);
  const again = [...consumer.request(frame('NACK', wire.naming(got[0]!))), ...consumer.receive()];
  expect(again.map((message) => [message.text(), message.header('redelivered')])).toEqual([['0', 'true']]);
});

said('[STOMP-A-5] NACK on ack:client covers everything before it', (wire) => {
  const { consumer, got } = consuming(wire, 'client', 3);
  consumer.request(frame('NACK', { ...wire.naming(got[1]!), requeue: 'false' }));
  expect(left(wire, consumer)).toEqual(['2']);
});

said('[STOMP-A-6] ACK may be part of a transaction', (wire) => {
  for (const [end, rest] of [
    ['COMMIT', []],
    ['ABORT', ['0']],
  ] as const) {
    const { consumer, got } = consuming(wire, 'client', 1);
    consumer.request(frame('BEGIN', { transaction: 't' }));
    consumer.request(frame('ACK', { ...wire.naming(got[0]!), transaction: 't' }));
    consumer.request(frame(end, { transaction: 't' }));
    expect(left(wire, consumer)).toEqual(rest);
  }
});

said('[STOMP-A-7] NACK may be part of a transaction', (wire) => {
  const { consumer, got } = consuming(wire, 'client', 1);
  consumer.request(frame('BEGIN', { transaction: 't' }));
  consumer.request(frame('NACK', { ...wire.naming(got[0]!), transaction: 't' }));
  expect(consumer.bodies()).toEqual([]);
  const again = [...consumer.request(frame('COMMIT', { transaction: 't' })), ...consumer.receive()];
  expect(again.map((message) => message.text())).toEqual(['0']);
});

said('[STOMP-A-8] ACK of what was not delivered, or was acknowledged already, is an error', (wire) => {
  const { consumer, got } = consuming(wire, 'client', 1);
  consumer.request(frame('ACK', wire.naming(got[0]!)));
  consumer.send(frame('ACK', wire.naming(got[0]!)));
  expect(consumer.error()).not.toBeNull();
  const client = wire.client();
  client.send(frame('ACK', { id: 'none', 'message-id': 'none', subscription: 'none' }));
  expect(client.error()).not.toBeNull();
});

// Transactions.

said('[STOMP-T-1] BEGIN, COMMIT and ABORT need a transaction', (wire) => {
  for (const command of ['BEGIN', 'COMMIT', 'ABORT'] as const) {
    const client = wire.client();
    client.send(frame(command));
    expect(client.error()!.text(), command).toContain('transaction');
  }
});

said('[STOMP-T-2] a transaction that is open cannot be begun again', (wire) => {
  const client = wire.client();
  client.request(frame('BEGIN', { transaction: 't' }));
  client.send(frame('BEGIN', { transaction: 't' }));
  expect(client.error()!.header('message')).toBe('Bad transaction');
});

said('[STOMP-T-4] ABORT does nothing of it', (wire) => {
  const client = wire.client().subscribe('/topic/a');
  client.request(frame('BEGIN', { transaction: 't' }));
  client.request(frame('SEND', { destination: '/topic/a', transaction: 't' }, 'x'));
  client.request(frame('ABORT', { transaction: 't' }));
  expect(client.bodies()).toEqual([]);
});

said('[STOMP-T-5] a transaction that is open when the connection ends is aborted', (wire) => {
  const listener = wire.client().subscribe('/topic/a');
  for (const leave of ['hang up', 'DISCONNECT']) {
    const client = wire.client();
    client.request(frame('BEGIN', { transaction: 't' }));
    client.request(frame('SEND', { destination: '/topic/a', transaction: 't' }, 'x'));
    if (leave === 'DISCONNECT') client.request(frame('DISCONNECT'));
    else client.hangUp();
  }
  expect(listener.bodies()).toEqual([]);
});

said('[STOMP-T-6] a transaction that is not open is an error', (wire) => {
  for (const command of ['COMMIT', 'ABORT', 'SEND'] as const) {
    const client = wire.client();
    client.send(frame(command, { destination: '/topic/a', transaction: 't' }));
    expect(client.error()!.header('message'), command).toBe('Bad transaction');
  }
});

said('[STOMP-T-7] several transactions may be open', (wire) => {
  const client = wire.client().subscribe('/topic/a');
  for (const transaction of ['1', '2', '3']) {
    client.request(frame('BEGIN', { transaction }));
    client.request(frame('SEND', { destination: '/topic/a', transaction }, transaction));
  }
  client.send(
    frame('COMMIT', { transaction: '3' }),
    frame('ABORT', { transaction: '2' }),
    frame('COMMIT', { transaction: '1' }),
  );
  expect(client.bodies()).toEqual(['3', '1']);
});

// Leaving.

said('[STOMP-D-1] [STOMP-D-3] DISCONNECT ends the connection, and nothing after it is looked at', (wire) => {
  const listener = wire.client().subscribe('/topic/a');
  const client = wire.client();
  client.send(frame('DISCONNECT'), frame('SEND', { destination: '/topic/a' }, 'x'));
  client.receive();
  expect([client.pipe.ended, listener.bodies()]).toEqual([true, []]);
});

said('[STOMP-D-2] DISCONNECT with a receipt is answered before the end', (wire) => {
  const client = wire.client();
  client.publish('/queue/q', 'x');
  expect(client.request(frame('DISCONNECT'))).toEqual([]);
  expect(client.pipe.ended).toBe(true);
});

// Messages.

said('[STOMP-M-1] [STOMP-M-3] MESSAGE has its destination and an id of its own', (wire) => {
  const client = wire.client().subscribe('/topic/a.#').subscribe(Q, { id: 'q' });
  for (let i = 0; i < 20; i++) {
    client.publish('/topic/a.b', 'x');
    client.publish(Q, 'x');
  }
  const messages = client.messages();
  expect(new Set(messages.map((message) => message.header('message-id'))).size).toBe(40);
  expect(new Set(messages.map((message) => message.header('destination')))).toEqual(new Set(['/topic/a.b', Q]));
});

said('[STOMP-M-4] MESSAGE has ack where it has to be acknowledged, and only there', (wire) => {
  const client = wire.client();
  for (const ack of ['auto', 'client', 'client-individual']) client.subscribe(`/queue/${ack}`, { id: ack, ack });
  for (const ack of ['auto', 'client', 'client-individual']) client.publish(`/queue/${ack}`, ack);
  expect(client.messages().map((message) => [message.text(), message.header('ack') !== null])).toEqual([
    ['auto', false],
    ['client', true],
    ['client-individual', true],
  ]);
});

said('[STOMP-M-5] the body arrives as it was sent', (wire) => {
  const client = wire.client().subscribe('/topic/a');
  const body = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
  client.publish('/topic/a', body, { 'content-length': body.length });
  expect(Buffer.from(client.messages()[0]!.body).equals(body)).toBe(true);
});
