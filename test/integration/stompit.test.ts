// What STOMP promises, seen by stompit on real sockets, in every version.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatPasswordHash, hashPassword } from '../../src/auth/password.ts';
import { inTime } from '../support/inbox.ts';
import { RealBroker } from '../support/real-broker.ts';
import { Stompit } from '../support/stompit.ts';

let broker: RealBroker;
beforeEach(async () => {
  broker = await RealBroker.start();
});
afterEach(() => broker.close());

const ACK_MODES = ['auto', 'client', 'client-individual'] as const;

describe.each(['1.0', '1.1', '1.2'])('stompit with STOMP %s', (version) => {
  const connect = async (headers: Record<string, string> = {}) =>
    broker.keep(await Stompit.connect(broker.ports.stomp, { 'accept-version': version, ...headers }));

  it('agrees on the version', async () => {
    expect((await connect()).version).toBe(version);
  });

  it.each(ACK_MODES)('delivers from a topic with ack:%s', async (ack) => {
    const publisher = await connect();
    const subscriber = await connect();
    const subscription = await subscriber.subscribe('/topic/plant.*.temp', ack);
    await publisher.send('/topic/plant.1.temp', '1');
    await publisher.send('/topic/plant.1.other', 'no');
    await publisher.send('/topic/plant.2.temp', '2');
    const got = await subscription.messages.take(2);
    expect(got.map(({ headers, body }) => [headers.destination, body.toString()])).toEqual([
      ['/topic/plant.1.temp', '1'],
      ['/topic/plant.2.temp', '2'],
    ]);
    if (ack !== 'auto') for (const message of got) if (ack === 'client-individual') await subscriber.ack(message);
  });

  it.each(ACK_MODES)('delivers from a queue with ack:%s, in order', async (ack) => {
    const client = await connect();
    for (let i = 0; i < 20; i++) await client.send('/queue/jobs', String(i));
    const subscription = await client.subscribe('/queue/jobs', ack);
    const got = await subscription.messages.take(20);
    expect(got.map(({ body }) => Number(body.toString()))).toEqual(Array.from({ length: 20 }, (_, i) => i));
    if (ack === 'client') await client.ack(got[19]!);
    if (ack === 'client-individual') for (const message of got) await client.ack(message);
    await client.drop();
    // All of it is settled: nothing comes back to the next one.
    const next = await connect();
    const after = await next.subscribe('/queue/jobs', 'auto');
    await next.send('/queue/jobs', 'end');
    expect(await after.nextText()).toBe('end');
  });

  it('settles with ack:client everything up to the message that is named', async () => {
    const client = await connect();
    for (const text of ['a', 'b', 'c', 'd']) await client.send('/queue/q', text);
    const subscription = await client.subscribe('/queue/q', 'client');
    const got = await subscription.messages.take(4);
    await client.ack(got[1]!);
    await client.drop();
    const next = await connect();
    const again = await next.subscribe('/queue/q', 'auto');
    expect(await again.nextTexts(2)).toEqual(['c', 'd']);
  });

  it('settles with ack:client-individual only the message that is named', async () => {
    const client = await connect();
    for (const text of ['a', 'b', 'c', 'd']) await client.send('/queue/q', text);
    const subscription = await client.subscribe('/queue/q', 'client-individual');
    const got = await subscription.messages.take(4);
    await client.ack(got[2]!);
    await client.ack(got[0]!);
    await client.drop();
    const next = await connect();
    const again = await next.subscribe('/queue/q', 'auto');
    const redelivered = await again.messages.take(2);
    expect(redelivered.map(({ body, headers }) => [body.toString(), headers.redelivered])).toEqual([
      ['b', 'true'],
      ['d', 'true'],
    ]);
  });

  it('makes the sends and acknowledgements of a transaction happen together, or not at all', async () => {
    const client = await connect();
    await client.send('/queue/in', 'job');
    const input = await client.subscribe('/queue/in', 'client-individual');
    const output = await client.subscribe('/queue/out', 'auto');
    const job = await input.messages.next();

    const given = client.client.begin();
    client.sendInTransaction(given, '/queue/out', 'not this');
    await client.ack(job, { transaction: given.id });
    await client.abort(given);

    const taken = client.client.begin();
    client.sendInTransaction(taken, '/queue/out', 'one');
    client.sendInTransaction(taken, '/queue/out', 'two');
    await client.ack(job, { transaction: taken.id });
    expect(output.messages.waiting).toEqual([]);
    await client.commit(taken);
    expect(await output.nextTexts(2)).toEqual(['one', 'two']);

    await client.drop();
    const next = await connect();
    const rest = await next.subscribe('/queue/in', 'auto');
    await next.send('/queue/in', 'end');
    expect(await rest.nextText()).toBe('end');
  });

  it('takes a transaction back whose client is lost before COMMIT', async () => {
    const client = await connect();
    await client.send('/queue/in', 'job');
    const input = await client.subscribe('/queue/in', 'client-individual');
    const job = await input.messages.next();
    const transaction = client.client.begin();
    client.sendInTransaction(transaction, '/queue/out', 'never');
    await client.ack(job, { transaction: transaction.id });
    await client.drop();
    const next = await connect();
    const again = await next.subscribe('/queue/in', 'auto');
    expect((await again.messages.next('the job again')).headers.redelivered).toBe('true');
    const output = await next.subscribe('/queue/out', 'auto');
    await next.send('/queue/out', 'end');
    expect(await output.nextText()).toBe('end');
  });

  it('carries bodies of any bytes and any size', async () => {
    const client = await connect();
    const subscription = await client.subscribe('/topic/bytes');
    const every = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 0xff));
    for (const body of [Buffer.alloc(0), Buffer.from([0]), every, randomBytes(1024 * 1024)]) {
      await client.send('/topic/bytes', body);
      expect((await subscription.messages.next('the body')).body.equals(body)).toBe(true);
    }
  });

  it('carries headers, in whatever characters the version can escape', async () => {
    const client = await connect();
    const subscription = await client.subscribe('/topic/h');
    const odd = version === '1.0' ? 'plain: \\n' : 'colon:, backslash\\, line\nend';
    await client.send('/topic/h', 'x', { unit: 'C', odd, ключ: 'значение', 'content-type': 'text/plain', priority: 7 });
    const { headers } = await subscription.messages.next();
    expect(headers).toMatchObject({ unit: 'C', odd, ключ: 'значение', 'content-type': 'text/plain', priority: '7' });
  });

  it('gives a new subscription the retained messages, flagged', async () => {
    const client = await connect();
    await client.send('/topic/state.a', 'on', { retain: 'true' });
    const subscription = await client.subscribe('/topic/state.#');
    const { headers, body } = await subscription.messages.next('the retained message');
    expect([headers.destination, headers.retained, body.toString()]).toEqual(['/topic/state.a', 'true', 'on']);
    await client.send('/topic/state.a', 'off', { retain: 'true' });
    expect((await subscription.messages.next('the live one')).headers.retained).toBeUndefined();
    const none = await client.subscribe('/topic/state.#', 'auto', { 'x-retain-handling': 2 });
    await client.send('/topic/state.b', 'live');
    expect(await none.nextText()).toBe('live');
  });

  it('stops delivering after UNSUBSCRIBE', async () => {
    const client = await connect();
    const messages: string[] = [];
    const subscription = client.client.subscribe({ destination: '/topic/x' }, (_error, frame) => {
      frame.readString('utf8', (_e, text) => messages.push(text));
    });
    const other = await client.subscribe('/topic/x');
    await client.send('/topic/x', 'yes');
    expect(await other.nextText()).toBe('yes');
    subscription.unsubscribe();
    await client.send('/topic/x', 'no');
    expect(await other.nextText()).toBe('no');
    expect(messages).toEqual(['yes']);
  });

  it('says goodbye with a receipt', async () => {
    const client = await connect();
    await client.disconnect();
    expect(client.errors.waiting).toEqual([]);
  });

  it('keeps a connection alive by heart-beats in both directions', async () => {
    await broker.close();
    // The broker gives up a client that is silent for two of its own intervals; margins are wide, for a busy machine.
    broker = await RealBroker.start({ stomp: { heartBeatSendMs: 300, heartBeatReceiveMs: 1000 } });
    const client = await connect({ 'heart-beat': '1000,300' });
    if (version === '1.0') {
      // Which has none.
      expect(client.client.headers['heart-beat']).toBeUndefined();
      return;
    }
    const [sends, receives] = (client.client.headers['heart-beat'] ?? '').split(',').map(Number);
    expect([sends, receives].every((n) => Number.isInteger(n) && (n as number) > 0)).toBe(true);
    const { bytesRead } = client.client.getTransportSocket();
    await inTime(
      'ten heart-beats, which take longer than the silence that the broker allows',
      new Promise<void>((resolve) => {
        client.client.getTransportSocket().on('data', () => {
          if (client.client.getTransportSocket().bytesRead >= bytesRead + 10) resolve();
        });
      }),
    );
    expect(client.errors.waiting).toEqual([]);
    await client.send('/topic/still', 'here');
  });

  it('is told by ERROR what was wrong, and then the connection ends', async () => {
    const client = await connect();
    const bad = client.send('nowhere', 'x');
    await expect(bad).rejects.toThrow(/destination/);
    await client.drop();
    const other = await connect();
    await other.send('/topic/fine', 'x');
  });

  it('is refused when its credentials are wrong', async () => {
    await broker.close();
    broker = await RealBroker.start({
      auth: { users: [{ name: 'app', hash: formatPasswordHash(hashPassword(Buffer.from('right'), 14)) }] },
    });
    await expect(connect({ login: 'app', passcode: 'wrong' })).rejects.toThrow();
    await expect(connect({ login: 'who', passcode: 'right' })).rejects.toThrow();
    const client = await connect({ login: 'app', passcode: 'right' });
    await client.send('/topic/x', 'x');
    await connect();
  });
});

describe('stompit with STOMP 1.2', () => {
  const connect = async () => broker.keep(await Stompit.connect(broker.ports.stomp));

  it('gives a message back by NACK to another worker, flagged', async () => {
    const [first, second] = [await connect(), await connect()];
    const one = await first.subscribe('/queue/jobs', 'client-individual', { 'prefetch-count': 1 });
    await first.send('/queue/jobs', 'a');
    const message = await one.messages.next();
    expect(message.headers.redelivered).toBeUndefined();
    const two = await second.subscribe('/queue/jobs', 'client-individual', { 'prefetch-count': 1 });
    await first.nack(message);
    const again = await Promise.race([one.messages.next(), two.messages.next()]);
    expect([again.body.toString(), again.headers.redelivered]).toEqual(['a', 'true']);
  });

  it('spreads a queue over its workers, each taking no more than its prefetch-count', async () => {
    const workers = [await connect(), await connect()];
    const subscriptions = [];
    for (const worker of workers)
      subscriptions.push(await worker.subscribe('/queue/w', 'client-individual', { 'prefetch-count': 5 }));
    const publisher = await connect();
    for (let i = 0; i < 20; i++) await publisher.send('/queue/w', String(i));
    const shares = await Promise.all(subscriptions.map(({ messages }) => messages.take(5)));
    expect(subscriptions.map(({ messages }) => messages.waiting.length)).toEqual([0, 0]);
    for (const message of shares[0]!) await workers[0]!.ack(message);
    expect((await subscriptions[0]!.messages.take(5)).length).toBe(5);
    expect(subscriptions[1]!.messages.waiting).toEqual([]);
  });

  it('answers requests by temporary queues', async () => {
    const [requester, responder] = [await connect(), await connect()];
    const requests = await responder.subscribe('/queue/service', 'auto');
    const replies = await requester.subscribe('/temp-queue/answers');
    await requester.send('/queue/service', '21', { 'reply-to': '/temp-queue/answers', 'correlation-id': 'c-1' });
    const request = await requests.messages.next();
    const { 'reply-to': replyTo = '', 'correlation-id': correlationId = '' } = request.headers;
    await responder.send(replyTo, String(2 * Number(request.body.toString())), { 'correlation-id': correlationId });
    const answer = await replies.messages.next();
    expect([answer.body.toString(), answer.headers['correlation-id']]).toEqual(['42', 'c-1']);
  });

  it('sends through any exchange to whatever is bound there', async () => {
    const client = await connect();
    const direct = await client.subscribe('/exchange/amq.direct/red');
    const fanout = await client.subscribe('/exchange/amq.fanout');
    await client.send('/exchange/amq.direct/blue', 'no');
    await client.send('/exchange/amq.direct/red', 'yes');
    await client.send('/exchange/amq.fanout/any', 'all');
    expect([await direct.nextText(), await fanout.nextText()]).toEqual(['yes', 'all']);
  });
});
