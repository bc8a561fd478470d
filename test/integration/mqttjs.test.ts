// What every version of MQTT promises, seen by MQTT.js on real sockets, over TCP and over WebSocket.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatPasswordHash, hashPassword } from '../../src/auth/password.ts';
import { type IClientOptions, MqttJs, V5, V31, V311 } from '../support/mqttjs.ts';
import { RealBroker } from '../support/real-broker.ts';

let broker: RealBroker;
beforeEach(async () => {
  broker = await RealBroker.start();
});
afterEach(() => broker.close());

const MIB = 1024 * 1024;
const QOS = [0, 1, 2] as const;

const CARRIERS = [
  ['TCP', () => broker.mqttUrl],
  ['WebSocket', () => broker.wsUrl('/mqtt')],
] as const;

const VERSIONS = [
  ['3.1', V31],
  ['3.1.1', V311],
  ['5.0', V5],
] as const;

const CASES = CARRIERS.flatMap(([carrier, url]) =>
  VERSIONS.map(([name, version]) => ({ carrier, url, name, version })),
);

describe.each(CASES)('MQTT.js with MQTT $name over $carrier', ({ url, version }) => {
  const isV5 = version === V5;
  // The CONNACK of 3.1 does not tell.
  const present = version !== V31;
  const connect = async (options: IClientOptions = {}) =>
    broker.keep(await MqttJs.connect(url(), { ...version, ...options }));
  /** A client whose session outlives its connection. */
  const durable = (clientId: string, options: IClientOptions = {}) =>
    connect({ clientId, clean: false, ...(isV5 ? { properties: { sessionExpiryInterval: 3600 } } : {}), ...options });

  it('delivers at the lower of both QoS, in order, once', async () => {
    const publisher = await connect();
    for (const subscribed of QOS) {
      const subscriber = await connect();
      expect(await subscriber.subscribe('plant/+/temp', { qos: subscribed })).toEqual([subscribed]);
      for (const qos of QOS) await publisher.publish('plant/1/temp', `${qos}`, { qos });
      const got = await subscriber.messages.take(3, 'one for each QoS');
      expect(got.map(({ payload, qos, dup, retain }) => [payload.toString(), qos, dup, retain])).toEqual(
        QOS.map((qos) => [String(qos), Math.min(qos, subscribed), false, false]),
      );
    }
  });

  it('carries payloads of any bytes and any size [MQTT-4.2-1] [3.1.1 MQTT-7.1.1-1]', async () => {
    const client = await connect();
    await client.subscribe('bytes/#', { qos: 1 });
    const every = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 0xff));
    for (const payload of [Buffer.alloc(0), Buffer.from([0]), every, randomBytes(MIB)]) {
      await client.publish('bytes/x', payload, { qos: 1 });
      const { payload: got } = await client.messages.next('the payload');
      expect(payload.equals(got as Buffer)).toBe(true);
    }
  });

  it('keeps the order of thousands of messages that are all on their way at once', async () => {
    const publisher = await connect();
    const subscriber = await connect();
    await subscriber.subscribe('many', { qos: 2 });
    const count = 3000;
    // MQTT.js does not heed the broker's Receive Maximum, so the test does: a thousand at a time.
    for (let from = 0; from < count; from += 1000) {
      const batch = Array.from({ length: 1000 }, (_, i) => from + i);
      await Promise.all(batch.map((i) => publisher.publish('many', String(i), { qos: (1 + (i % 2)) as 1 | 2 })));
    }
    const got = (await subscriber.messages.take(count, 'messages')).map(({ payload }) => Number(payload.toString()));
    // Order is promised for each QoS; MQTT.js hands QoS 2 on when it is released.
    for (const parity of [0, 1]) {
      const own = got.filter((n) => n % 2 === parity);
      expect(own).toEqual(Array.from({ length: count / 2 }, (_, i) => 2 * i + parity));
    }
  });

  it('gives a new subscription the retained messages, flagged, and a live one the message without the flag', async () => {
    const publisher = await connect();
    const live = await connect();
    await live.subscribe('state/#', { qos: 1 });
    await publisher.publish('state/1', 'on', { qos: 1, retain: true });
    await publisher.publish('state/2', 'off', { qos: 1, retain: true });
    await publisher.publish('state/2', 'gone', { qos: 1, retain: false });
    expect((await live.messages.take(3)).map(({ retain }) => retain)).toEqual([false, false, false]);

    const late = await connect();
    await late.subscribe('state/+', { qos: 1 });
    const replayed = await late.messages.take(2, 'retained messages');
    expect(replayed.map(({ topic, payload, retain, qos }) => [topic, payload.toString(), retain, qos]).sort()).toEqual([
      ['state/1', 'on', true, 1],
      ['state/2', 'off', true, 1],
    ]);

    await publisher.publish('state/1', '', { qos: 1, retain: true });
    const later = await connect();
    await later.subscribe('state/#', { qos: 1 });
    expect(await later.nextText()).toBe('state/2 off');
    await publisher.publish('state/end', 'end', { qos: 1 });
    expect(await later.nextText()).toBe('state/end end');
  });

  it('publishes the will of a client that is lost, retained when it says so, and not of one that says goodbye', async () => {
    const watcher = await connect();
    await watcher.subscribe('will/#', { qos: 2 });
    const will = (topic: string) => ({ topic, payload: Buffer.from('lost'), qos: 2 as const, retain: true });
    const polite = await connect({ clientId: 'polite', will: will('will/polite') });
    const lost = await connect({ clientId: 'lost', will: will('will/lost') });
    await polite.disconnect();
    lost.drop();
    expect(await watcher.nextText()).toBe('will/lost lost');
    const late = await connect();
    await late.subscribe('will/#', { qos: 0 });
    const { topic, retain } = await late.messages.next('the retained will');
    expect([topic, retain]).toEqual(['will/lost', true]);
    expect(watcher.messages.waiting).toEqual([]);
  });

  it('keeps what a durable session misses, also when MQTT.js reconnects by itself', async () => {
    const publisher = await connect();
    const client = await durable('keeper', { reconnectPeriod: 20 });
    expect(client.connack.sessionPresent).toBe(false);
    await client.subscribe('missed/#', { qos: 1 });
    client.drop();
    await client.closed.next('its connection to close');
    for (let i = 0; i < 10; i++) await publisher.publish('missed/x', String(i), { qos: 1 });
    const again = await client.connacks.next('its own reconnect');
    expect(again.sessionPresent).toBe(present);
    expect(await client.nextTexts(10)).toEqual(Array.from({ length: 10 }, (_, i) => `missed/x ${i}`));
    await client.disconnect();

    await publisher.publish('missed/y', 'later', { qos: 2 });
    const third = await durable('keeper');
    expect(third.connack.sessionPresent).toBe(present);
    expect(await third.nextText()).toBe('missed/y later');
    await third.disconnect();

    const clean = await connect({ clientId: 'keeper', clean: true });
    expect(clean.connack.sessionPresent).toBe(false);
    await publisher.publish('missed/z', 'nobody', { qos: 1 });
    await clean.subscribe('end', { qos: 0 });
    await publisher.publish('end', 'end');
    expect(await clean.nextText()).toBe('end end');
  });

  it('sends again, flagged, what was not acknowledged when the connection broke', async () => {
    const publisher = await connect();
    const first = await durable('worker');
    await first.subscribe('job', { qos: 1 });
    // Takes the message and never acknowledges.
    const taken = new Promise<void>((resolve) => {
      first.client.handleMessage = () => resolve();
    });
    await publisher.publish('job', 'a', { qos: 1 });
    await taken;
    first.drop();
    await first.closed.next('its connection to close');
    const second = await durable('worker');
    const { payload, dup } = await second.messages.next('the message again');
    expect([payload.toString(), dup]).toEqual(['a', true]);
  });

  it('lets a second connection of a client id take the session over', async () => {
    const publisher = await connect();
    const first = await durable('one');
    await first.subscribe('to/one', { qos: 1 });
    const second = await durable('one');
    await first.closed.next('the first connection to be closed');
    if (isV5) expect((await first.disconnects.next('DISCONNECT')).reasonCode).toBe(0x8e);
    expect(second.connack.sessionPresent).toBe(present);
    await publisher.publish('to/one', 'x', { qos: 1 });
    expect(await second.nextText()).toBe('to/one x');
    expect(first.messages.waiting).toEqual([]);
  });

  it('shares a subscription among the members of its group', async () => {
    const publisher = await connect();
    const members = [await connect(), await connect(), await connect()];
    for (const member of members) await member.subscribe('$share/team/work/#', { qos: 1 });
    const all = await connect();
    await all.subscribe('work/#', { qos: 1 });
    for (let i = 0; i < 30; i++) await publisher.publish('work/x', String(i), { qos: 1 });
    expect((await all.nextTexts(30)).length).toBe(30);
    const shares = await Promise.all(members.map((member) => member.messages.take(10, 'a fair share')));
    const numbers = shares.flat().map(({ payload }) => Number(payload.toString()));
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  it('stops delivering after UNSUBSCRIBE', async () => {
    const client = await connect();
    await client.subscribe(['a', 'b'], { qos: 1 });
    await client.client.unsubscribeAsync('a');
    await client.publish('a', 'no', { qos: 1 });
    await client.publish('b', 'yes', { qos: 1 });
    expect(await client.nextText()).toBe('b yes');
  });

  it('hands a queue’s messages to one worker each, and those of a worker that is lost to the next', async () => {
    const publisher = await connect();
    const [lost, other] = [await connect(), await connect()];
    const taken: string[] = [];
    const three = new Promise<void>((resolve) => {
      lost.client.handleMessage = (packet) => {
        taken.push(packet.payload.toString());
        if (taken.length === 1) resolve();
      };
    });
    await lost.subscribe('$queue/jobs', { qos: 1 });
    await publisher.publish('$queue/jobs', 'a', { qos: 1 });
    await three;
    await other.subscribe('$queue/jobs', { qos: 1 });
    lost.drop();
    const packet = await other.messages.next('the job');
    expect([packet.topic, packet.payload.toString()]).toEqual(['$queue/jobs', 'a']);
    if (isV5) expect(packet.properties?.userProperties).toMatchObject({ 'x-delivery-count': '1' });
  });
});

describe.each(CARRIERS)('MQTT.js over %s', (_carrier, url) => {
  it('answers pings, so that an idle client stays', async () => {
    const client = broker.keep(await MqttJs.connect(url(), { keepalive: 1 }));
    await client.packets.find('PINGRESP', ({ cmd }) => cmd === 'pingresp');
    expect(client.client.connected).toBe(true);
  });
});

describe.each(VERSIONS)('MQTT.js with MQTT %s', (_name, version) => {
  it('is refused with the code for it when its credentials are wrong, also where anonymous clients are welcome', async () => {
    await broker.close();
    broker = await RealBroker.start({
      auth: { users: [{ name: 'meter', hash: formatPasswordHash(hashPassword(Buffer.from('right'), 14)) }] },
    });
    const refused = MqttJs.connect(broker.mqttUrl, { ...version, username: 'meter', password: 'wrong' });
    await expect(refused).rejects.toMatchObject({ code: version === V5 ? 0x86 : 4 });
    const unknown = MqttJs.connect(broker.mqttUrl, { ...version, username: 'who', password: 'right' });
    await expect(unknown).rejects.toMatchObject({ code: version === V5 ? 0x86 : 4 });
    const welcome = broker.keep(
      await MqttJs.connect(broker.mqttUrl, { ...version, username: 'meter', password: 'right' }),
    );
    await welcome.subscribe('a');
    const anonymous = broker.keep(await MqttJs.connect(broker.mqttUrl, version));
    await anonymous.publish('a', 'x');
    expect(await welcome.nextText()).toBe('a x');
  });

  it('speaks to clients of the other versions and carriers', async () => {
    const clients: MqttJs[] = [];
    for (const { url, version: other } of CASES) clients.push(broker.keep(await MqttJs.connect(url(), other)));
    for (const client of clients) await client.subscribe('all/#', { qos: 1 });
    const publisher = broker.keep(await MqttJs.connect(broker.mqttUrl, version));
    await publisher.publish('all/of/you', 'hello', { qos: 1 });
    for (const client of clients) expect(await client.nextText()).toBe('all/of/you hello');
  });
});
