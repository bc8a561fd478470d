// The other WebSocket engine in a whole broker: clients nobody here wrote over uWebSockets.js, in company with clients over TCP.
import { randomBytes } from 'node:crypto';
import { Versions } from '@stomp/stompjs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MqttJs, V5, V31, V311 } from '../support/mqttjs.ts';
import { RawClient } from '../support/raw-client.ts';
import { RealBroker } from '../support/real-broker.ts';
import { describeWith } from '../support/requirements.ts';
import { Stompit } from '../support/stompit.ts';
import { StompJs } from '../support/stompjs.ts';

const LISTENERS = {
  mqtt: '127.0.0.1:0',
  stomp: '127.0.0.1:0',
  http: { host: '127.0.0.1', port: 0, accept: ['http' as const] },
};

describeWith(['uws'], 'WebSocket by uWebSockets.js', () => {
  let broker: RealBroker;
  beforeEach(async () => {
    broker = await RealBroker.start({ listeners: LISTENERS, websocket: { engine: 'uws' } });
  });
  afterEach(() => broker.close());

  it.each([
    ['3.1', V31],
    ['3.1.1', V311],
    ['5.0', V5],
  ])('carries MQTT %s', async (_name, version) => {
    const [near, far] = [
      broker.keep(await MqttJs.connect(broker.wsUrl('/mqtt'), version)),
      broker.keep(await MqttJs.connect(broker.mqttUrl, version)),
    ];
    for (const client of [near, far]) await client.subscribe('bytes', { qos: 2 });
    for (const payload of [Buffer.from([0]), randomBytes(1024 * 1024)]) {
      for (const publisher of [near, far]) {
        await publisher.publish('bytes', payload, { qos: 2 });
        for (const client of [near, far]) {
          expect(payload.equals((await client.messages.next()).payload as Buffer)).toBe(true);
        }
      }
    }
    await Promise.all(Array.from({ length: 1000 }, (_, i) => far.publish('bytes', String(i), { qos: 1 })));
    const got = await near.messages.take(1000);
    expect(got.map(({ payload }) => Number(payload.toString()))).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  it.each(['1.0', '1.1', '1.2'] as const)('carries STOMP %s', async (version) => {
    const near = broker.keep(await StompJs.connect(broker.wsUrl('/stomp'), { stompVersions: new Versions([version]) }));
    const far = broker.keep(await Stompit.connect(broker.ports.stomp, { 'accept-version': version }));
    const [here, there] = [await near.subscribe('/topic/x.#'), await far.subscribe('/topic/x.#')];
    await near.publish('/topic/x.near', Buffer.from([1, 0, 255]));
    await far.send('/topic/x.far', randomBytes(300_000));
    for (const messages of [await here.messages.take(2), await there.messages.take(2)]) {
      expect(messages.map(({ headers }) => headers.destination)).toEqual(['/topic/x.near', '/topic/x.far']);
    }
    const jobs = await near.subscribe('/queue/jobs', { ack: 'client-individual' });
    await far.send('/queue/jobs', 'job');
    const job = await jobs.messages.next();
    near.drop();
    const again = await far.subscribe('/queue/jobs');
    expect(job.headers.redelivered).toBeUndefined();
    expect((await again.messages.next('the job again')).headers.redelivered).toBe('true');
  });

  it('takes over a client id, publishes wills and keeps sessions across carriers', async () => {
    const watcher = broker.keep(await MqttJs.connect(broker.mqttUrl, V5));
    await watcher.subscribe('will', { qos: 1 });
    const options = { ...V5, clientId: 'one', clean: false, properties: { sessionExpiryInterval: 60 } };
    const will = { topic: 'will', payload: Buffer.from('lost'), qos: 1 as const, retain: false };
    const first = broker.keep(await MqttJs.connect(broker.wsUrl('/ws'), { ...options, will }));
    await first.subscribe('to/one', { qos: 1 });
    const second = broker.keep(await MqttJs.connect(broker.mqttUrl, options));
    expect((await first.disconnects.next('DISCONNECT')).reasonCode).toBe(0x8e);
    expect(second.connack.sessionPresent).toBe(true);
    expect(await watcher.nextText()).toBe('will lost');
    second.drop();
    await second.closed.next('the second to be gone');
    await watcher.publish('to/one', 'missed', { qos: 1 });
    const third = broker.keep(await MqttJs.connect(broker.wsUrl('/mqtt'), options));
    expect(await third.nextText()).toBe('to/one missed');
  });

  it('serves the page, and answers what is no page', async () => {
    expect((await fetch(broker.httpUrl('/demo'))).status).toBe(200);
    expect((await fetch(broker.httpUrl('/nowhere'))).status).toBe(404);
  });

  it('closes on bad input with the protocol’s own error', async () => {
    const mqtt = await RawClient.ws(broker.wsUrl('/mqtt'), 'mqtt');
    mqtt.send(Buffer.from('100e00044d5154540502000000000178', 'hex'));
    await mqtt.atLeast(5);
    const answer = await mqtt.send(Buffer.from([0, 0])).end();
    expect(answer.subarray(2 + (answer[1] ?? 0))[2]).toBe(0x81);
    const stomp = await RawClient.ws(broker.wsUrl('/stomp'), 'v12.stomp');
    expect((await stomp.send('SEND\ndestination:/topic/a\n\nx\0').end()).toString()).toMatch(
      /^ERROR\nmessage:Illegal command\n/,
    );
    expect(broker.complaints.map(({ fields }) => fields.code)).toEqual(['malformed-packet', 'connect-expected']);
  });

  it('closes who says nothing, and who says too much, before being let in', async () => {
    await broker.close();
    const connection = { handshakeTimeoutMs: 600 };
    broker = await RealBroker.start({ listeners: LISTENERS, websocket: { engine: 'uws' }, connection });
    const silent = await RawClient.ws(broker.wsUrl('/mqtt'), 'mqtt');
    await silent.end();
    const loud = await RawClient.ws(broker.wsUrl('/mqtt'), 'mqtt');
    await loud.send(Buffer.concat([Buffer.from([0x10, 0xff, 0xff, 0x7f]), Buffer.alloc(100_000)])).end();
    expect(broker.complaints.map(({ fields }) => fields.code)[0]).toBe('handshake-timeout');
    expect(broker.complaints.length).toBe(2);
  });
});
