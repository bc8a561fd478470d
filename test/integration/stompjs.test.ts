// @stomp/stompjs over WebSocket, as browsers and Spring users have it, in every version of STOMP.
import { randomBytes } from 'node:crypto';
import { type StompConfig, Versions } from '@stomp/stompjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Inbox } from '../support/inbox.ts';
import { RealBroker } from '../support/real-broker.ts';
import { StompJs } from '../support/stompjs.ts';

let broker: RealBroker;
beforeEach(async () => {
  broker = await RealBroker.start();
});
afterEach(() => broker.close());

describe.each([
  ['1.0', 'v10.stomp', '/stomp'],
  ['1.1', 'v11.stomp', '/stomp'],
  ['1.2', 'v12.stomp', '/stomp'],
  ['1.2', 'v12.stomp', '/ws'],
  ['1.2', '', 'tcp'],
  ['1.0', '', 'tcp'],
] as const)('@stomp/stompjs with STOMP %s by subprotocol %s at %s', (version, subprotocol, path) => {
  const connect = async (config: StompConfig = {}) =>
    broker.keep(
      await StompJs.connect(path === 'tcp' ? `tcp://127.0.0.1:${broker.ports.stomp}` : broker.wsUrl(path), {
        stompVersions: new Versions([version]),
        ...config,
      }),
    );

  it('agrees on version and subprotocol', async () => {
    const client = await connect();
    expect([client.client.connectedVersion, client.subprotocol]).toEqual([version, subprotocol]);
  });

  it('publishes to and receives from topics', async () => {
    const [publisher, subscriber] = [await connect(), await connect()];
    const subscription = await subscriber.subscribe('/topic/plant.*.temp');
    await publisher.publish('/topic/plant.1.temp', '21.5', { unit: 'C' });
    const { headers, body } = await subscription.messages.next();
    expect([headers.destination, headers.unit, body]).toEqual(['/topic/plant.1.temp', 'C', '21.5']);
  });

  it('publishes binary bodies', async () => {
    const client = await connect();
    const subscription = await client.subscribe('/topic/bytes');
    for (const body of [Buffer.from([0]), Buffer.from([1, 0, 255, 0]), randomBytes(200_000)]) {
      await client.publish('/topic/bytes', body);
      expect(Buffer.from((await subscription.messages.next()).binaryBody).equals(body)).toBe(true);
    }
  });

  it('sends a large frame in parts, which the broker joins', async () => {
    const client = await connect({ splitLargeFrames: true, maxWebSocketChunkSize: 1000 });
    const subscription = await client.subscribe('/topic/large');
    const body = 'x'.repeat(50_000);
    await client.publish('/topic/large', body);
    expect((await subscription.nextText()) === body).toBe(true);
  });

  it('acknowledges one by one, and what is left goes to another, flagged', async () => {
    const [first, second] = [await connect(), await connect()];
    const one = await first.subscribe('/queue/jobs', { ack: 'client-individual', id: 'w' });
    for (const job of ['a', 'b', 'c']) await first.publish('/queue/jobs', job);
    const jobs = await one.messages.take(3);
    jobs[1]?.ack();
    await first.publish('/topic/after', 'the ACK');
    first.drop();
    await first.closed.next('the first to be closed');
    const two = await second.subscribe('/queue/jobs', { ack: 'auto' });
    const again = await two.messages.take(2);
    expect(again.map(({ body, headers }) => [body, headers.redelivered])).toEqual([
      ['a', 'true'],
      ['c', 'true'],
    ]);
  });

  it('commits and aborts transactions', async () => {
    const client = await connect();
    const subscription = await client.subscribe('/queue/out');
    const given = client.client.begin();
    client.client.publish({ destination: '/queue/out', body: 'no', headers: { transaction: given.id } });
    given.abort();
    const taken = client.client.begin();
    client.client.publish({ destination: '/queue/out', body: 'yes', headers: { transaction: taken.id } });
    taken.commit();
    expect(await subscription.nextText()).toBe('yes');
    expect(subscription.messages.waiting).toEqual([]);
  });

  it('comes back by itself when its connection is lost, and subscribes again', async () => {
    const subscribed: string[] = [];
    let client: StompJs | null = null;
    const bodies: string[] = [];
    client = await connect({
      reconnectDelay: 20,
      onConnect: () => {
        subscribed.push('again');
        client?.client.subscribe('/topic/after', ({ body }) => bodies.push(body), { id: 'own' });
      },
    });
    client.drop();
    await client.connected.next('its own reconnect');
    expect(subscribed.length).toBe(2);
    const probe = await client.subscribe('/topic/after');
    await client.publish('/topic/after', 'x');
    expect(await probe.nextText()).toBe('x');
    expect(bodies).toEqual(['x']);
  });

  it('is told by ERROR what was wrong', async () => {
    const client = await connect();
    client.client.publish({ destination: 'nowhere', body: 'x' });
    const { headers, body } = await client.errors.next('an ERROR');
    expect(headers.message).toBe('Invalid destination');
    expect(body).toContain('nowhere');
    await client.closed.next('the connection to be closed');
  });

  it('keeps a connection alive by heart-beats', async () => {
    await broker.close();
    // The broker gives up a client that is silent for two of its own intervals; margins are wide, for a busy machine.
    broker = await RealBroker.start({ stomp: { heartBeatSendMs: 300, heartBeatReceiveMs: 1000 } });
    const beats = new Inbox<string>();
    const client = await connect({
      heartbeatIncoming: 300,
      heartbeatOutgoing: 1000,
      heartbeatToleranceMultiplier: 30,
      debug: (text) => {
        if (text === '>>> PING' || text === '<<< PONG') beats.put(text);
      },
    });
    if (version !== '1.0') {
      // Longer than the silence that the broker allows.
      for (let i = 0; i < 10; i++) await beats.find('a heart-beat of the broker', (text) => text === '<<< PONG');
      await beats.find('a heart-beat of the client', (text) => text === '>>> PING');
    }
    await client.publish('/topic/still', 'here');
    expect(client.closed.waiting).toEqual([]);
  });

  it("takes Spring's destinations as they are", async () => {
    const client = await connect();
    const seen: string[] = [];
    for (const destination of [
      '/topic/prices/eur',
      '/queue/orders-user7',
      '/user/queue/errors',
      '/user/bob/queue/news',
    ]) {
      const subscription = await client.subscribe(destination, { id: destination });
      await client.publish(destination, destination);
      seen.push(`${(await subscription.messages.next()).headers.subscription} ${destination}`);
    }
    expect(seen.map((line) => line.split(' ')[0] === line.split(' ')[1])).toEqual([true, true, true, true]);
  });
});
