// What only MQTT 5 has, seen by MQTT.js on real sockets, over TCP and over WebSocket.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatPasswordHash, hashPassword } from '../../src/auth/password.ts';
import { formatScramKeys, scramKeys } from '../../src/auth/scram.ts';
import { type IClientOptions, MqttJs, V5, V311 } from '../support/mqttjs.ts';
import { RealBroker } from '../support/real-broker.ts';
import { Scram } from '../support/scram.ts';

let broker: RealBroker;
beforeEach(async () => {
  broker = await RealBroker.start();
});
afterEach(() => broker.close());

describe.each([
  ['TCP', () => broker.mqttUrl],
  ['WebSocket', () => broker.wsUrl('/mqtt')],
] as const)('MQTT.js with MQTT 5 over %s', (_carrier, url) => {
  const connect = async (options: IClientOptions = {}, answer?: (challenge: Buffer) => Buffer) =>
    broker.keep(await MqttJs.connect(url(), { ...V5, ...options }, answer));

  it('learns from CONNACK what was agreed', async () => {
    const client = await connect({
      clientId: '',
      properties: { sessionExpiryInterval: 60, requestResponseInformation: true },
    });
    const { properties } = client.connack;
    expect(properties?.assignedClientIdentifier).toMatch(/^.{10,}$/);
    expect(properties?.responseInformation).toBe(`$reply/${properties?.assignedClientIdentifier}/`);
    expect(properties).toMatchObject({
      receiveMaximum: 1024,
      topicAliasMaximum: 32,
      maximumPacketSize: 16 * 1024 * 1024,
    });
  });

  it('carries every property of a message from end to end, in order', async () => {
    const publisher = await connect();
    const subscriber = await connect();
    await subscriber.subscribe('p', { qos: 1 });
    const sent = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 300,
      responseTopic: 'answer/here',
      correlationData: Buffer.from([0, 1, 0xfe, 0xff]),
      contentType: 'application/json',
      userProperties: { unit: ['C', 'K', 'C'], ключ: 'значение', '': '' },
    };
    await publisher.publish('p', '{}', { qos: 1, properties: sent });
    const { properties } = await subscriber.messages.next('the message');
    expect(properties).toEqual({ ...sent, messageExpiryInterval: expect.toSatisfy((s) => s === 300 || s === 299) });
  });

  it('shortens topics by aliases in both directions', async () => {
    const publisher = await connect({ autoAssignTopicAlias: true });
    const subscriber = await connect({ properties: { topicAliasMaximum: 10 } });
    const plain = broker.keep(await MqttJs.connect(broker.mqttUrl, V311));
    await subscriber.subscribe('alias/#', { qos: 1 });
    await plain.subscribe('alias/#', { qos: 1 });
    const sent: { topic: string; alias: number | undefined }[] = [];
    publisher.client.on('packetsend', (packet) => {
      if (packet.cmd === 'publish') sent.push({ topic: packet.topic, alias: packet.properties?.topicAlias });
    });
    const topics = ['alias/a', 'alias/b', 'alias/a', 'alias/b', 'alias/a'];
    for (const topic of topics) await publisher.publish(topic, 'x', { qos: 1 });
    // MQTT.js did leave the topic out, so the aliases were needed.
    expect(sent.filter(({ topic, alias }) => topic === '' && alias !== undefined).length).toBe(3);
    expect((await subscriber.messages.take(5)).map(({ topic }) => topic)).toEqual(topics);
    expect(await plain.nextTexts(5)).toEqual(topics.map((topic) => `${topic} x`));
  });

  it('names the subscriptions that a message matched', async () => {
    const client = await connect();
    await client.subscribe('a/#', { qos: 1, properties: { subscriptionIdentifier: 7 } });
    await client.subscribe('a/b', { qos: 0, properties: { subscriptionIdentifier: 300 } });
    await client.publish('a/b', 'x', { qos: 1 });
    const { properties } = await client.messages.next('the message');
    expect([properties?.subscriptionIdentifier].flat().sort()).toEqual([300, 7]);
  });

  it('honours No Local, Retain As Published and Retain Handling', async () => {
    const client = await connect();
    const other = await connect();
    await client.subscribe('nl', { qos: 1, nl: true });
    await client.publish('nl', 'own', { qos: 1 });
    await other.publish('nl', 'other', { qos: 1 });
    expect(await client.nextText()).toBe('nl other');

    await client.subscribe('rap', { qos: 1, rap: true });
    await other.publish('rap', 'x', { qos: 1, retain: true });
    expect((await client.messages.next()).retain).toBe(true);

    await client.subscribe('rap', { qos: 1, rh: 1 });
    await other.subscribe('rap', { qos: 1, rh: 2 });
    await other.publish('rap', 'live', { qos: 1 });
    expect(await client.nextText()).toBe('rap live');
    expect(await other.nextText()).toBe('rap live');
  });

  it('answers a request where the requester said', async () => {
    const responder = await connect();
    const requester = await connect();
    await responder.subscribe('service/double', { qos: 1 });
    const sent: Promise<void>[] = [];
    responder.client.on('message', (_topic, payload, { properties }) => {
      const { responseTopic = '', correlationData = Buffer.alloc(0) } = properties ?? {};
      const answer = String(2 * Number(payload.toString()));
      sent.push(responder.publish(responseTopic, answer, { qos: 1, properties: { correlationData } }));
    });
    await requester.subscribe('reply/me', { qos: 1 });
    for (const n of [1, 2, 3]) {
      const properties = { responseTopic: 'reply/me', correlationData: Buffer.from([n]) };
      await requester.publish('service/double', String(n), { qos: 1, properties });
    }
    const answers = await requester.messages.take(3, 'answers');
    expect(answers.map(({ payload, properties }) => [payload.toString(), properties?.correlationData?.[0]])).toEqual([
      ['2', 1],
      ['4', 2],
      ['6', 3],
    ]);
    await Promise.all(sent);
  });

  it('is told when nobody matched', async () => {
    const client = await connect();
    const isPuback = ({ cmd }: { cmd?: string }) => cmd === 'puback';
    await client.publish('nobody/there', 'x', { qos: 1 });
    expect(await client.packets.find('PUBACK', isPuback)).toMatchObject({ reasonCode: 0x10 });
    await client.subscribe('nobody/#', { qos: 0 });
    await client.publish('nobody/there', 'x', { qos: 1 });
    expect(await client.packets.find('PUBACK', isPuback)).toMatchObject({ reasonCode: 0 });
  });

  it('publishes a will with its properties, also when DISCONNECT asks for it, and a delayed one not when the client is back in time', async () => {
    const watcher = await connect();
    await watcher.subscribe('will/#', { qos: 1 });
    const will = (topic: string, willDelayInterval = 0) => ({
      topic,
      payload: Buffer.from('lost'),
      qos: 1 as const,
      retain: false,
      properties: { willDelayInterval, contentType: 'text/plain', userProperties: { why: 'gone' } },
    });
    const delayed = await connect({
      clientId: 'd',
      will: will('will/delayed', 3600),
      clean: false,
      properties: { sessionExpiryInterval: 7200 },
    });
    delayed.drop();
    await delayed.closed.next('its connection to close');
    const back = await connect({ clientId: 'd', clean: false, properties: { sessionExpiryInterval: 7200 } });
    expect(back.connack.sessionPresent).toBe(true);
    const asking = await connect({ clientId: 'a', will: will('will/asked') });
    await asking.client.endAsync(false, { reasonCode: 4 });
    const { topic, properties } = await watcher.messages.next('the will');
    expect([topic, properties?.contentType, properties?.userProperties]).toEqual([
      'will/asked',
      'text/plain',
      { why: 'gone' },
    ]);
  });

  it('does not hand out again a job that a worker has rejected', async () => {
    const publisher = await connect();
    const worker = await connect({
      customHandleAcks: (_topic, payload, _packet, done) => done(0, payload.toString() === 'bad' ? 0x80 : 0),
    });
    await worker.subscribe('$queue/jobs', { qos: 1 });
    for (const job of ['good', 'bad', 'end']) await publisher.publish('$queue/jobs', job, { qos: 1 });
    await worker.messages.take(2, 'what it accepted');
    worker.drop();
    const next = await connect();
    await next.subscribe('$queue/jobs', { qos: 1 });
    await publisher.publish('$queue/jobs', 'last', { qos: 1 });
    expect(await next.nextText()).toBe('$queue/jobs last');
  });

  it('ends a session at once when it says so on leaving', async () => {
    const client = await connect({ clientId: 's', clean: false, properties: { sessionExpiryInterval: 3600 } });
    await client.client.endAsync(false, { reasonCode: 0, properties: { sessionExpiryInterval: 0 } });
    const again = await connect({ clientId: 's', clean: false, properties: { sessionExpiryInterval: 3600 } });
    expect(again.connack.sessionPresent).toBe(false);
  });

  it('never gets more unacknowledged messages than its Receive Maximum', async () => {
    const publisher = await connect();
    const slow = await connect({ properties: { receiveMaximum: 3 } });
    const held: (() => void)[] = [];
    let most = 0;
    const done = new Promise<void>((resolve) => {
      let count = 0;
      slow.client.handleMessage = (_packet, callback) => {
        held.push(() => callback());
        most = Math.max(most, held.length);
        count++;
        setImmediate(() => held.shift()?.());
        if (count === 50) resolve();
      };
    });
    await slow.subscribe('flow', { qos: 1 });
    await Promise.all(Array.from({ length: 50 }, (_, i) => publisher.publish('flow', String(i), { qos: 1 })));
    await done;
    expect(most).toBeLessThanOrEqual(3);
  });

  it('logs in with SCRAM-SHA-256, and not with another password', async () => {
    await broker.close();
    const hash = formatPasswordHash(hashPassword(Buffer.from('unused'), 14));
    const scram = formatScramKeys(scramKeys('secret', 4096));
    broker = await RealBroker.start({ auth: { users: [{ name: 'ann', hash, scram }] } });
    const login = (password: string) => {
      const side = new Scram('ann', password);
      const authenticationMethod = 'SCRAM-SHA-256';
      return connect({ properties: { authenticationMethod, authenticationData: side.first() } }, (challenge) =>
        side.final(challenge),
      );
    };
    const client = await login('secret');
    await client.subscribe('a', { qos: 1 });
    await client.publish('a', 'in', { qos: 1 });
    expect(await client.nextText()).toBe('a in');
    await expect(login('other')).rejects.toMatchObject({ code: 0x86 });
  });

  it('forgets a message whose time is over', async () => {
    const session = { clientId: 'late', clean: false, properties: { sessionExpiryInterval: 3600 } };
    const keeper = await connect(session);
    await keeper.subscribe(['short', 'long'], { qos: 1 });
    await keeper.disconnect();
    const publisher = await connect();
    await publisher.publish('short', 'x', { qos: 1, properties: { messageExpiryInterval: 1 } });
    await publisher.publish('long', 'y', { qos: 1, properties: { messageExpiryInterval: 100 } });
    await publisher.publish('gone', 'x', { qos: 1, retain: true, properties: { messageExpiryInterval: 1 } });
    // What is retained comes first: when it does not, its second is over, and that of the message before it.
    for (let text = ''; text !== 'gone live'; text = await publisher.nextText()) {
      publisher.messages.waiting.length = 0;
      await publisher.client.unsubscribeAsync('gone');
      await publisher.subscribe('gone', { qos: 1 });
      await publisher.publish('gone', 'live', { qos: 1 });
    }
    const again = await connect(session);
    expect(await again.nextText()).toBe('long y');
  });

  it('is never sent a packet over its Maximum Packet Size', async () => {
    const publisher = await connect();
    const small = await connect({ properties: { maximumPacketSize: 200 } });
    await small.subscribe('size', { qos: 1 });
    await publisher.publish('size', 'x'.repeat(300), { qos: 1 });
    await publisher.publish('size', 'small', { qos: 1 });
    expect(await small.nextText()).toBe('size small');
  });

  it('is told which of its filters are refused, and finds figures under $SYS', async () => {
    const client = await connect();
    const granted = client.client.subscribeAsync(['fine', '$share/+/x'], { qos: 1 });
    await expect(granted).rejects.toMatchObject({ packet: { granted: [1, 0x8f] } });
    await client.subscribe('$SYS/broker/#', { qos: 0 });
    expect((await client.messages.next('a figure')).topic).toMatch(/^\$SYS\/broker\//);
  });
});
