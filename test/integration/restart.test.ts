// The broker is killed with SIGKILL and started again on the same data directory: retained messages, what durable sessions have missed, their subscriptions, queues and QoS 2 in the middle of its
// exchange are there, as clients nobody here wrote see it. Only the QoS 2 publisher, which has to stop between two packets, is bytes of our own.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FROM_SERVER } from '../../protocols/mqtt/decode-options.ts';
import { decode } from '../../protocols/mqtt/decoder.ts';
import { encode } from '../../protocols/mqtt/encoder.ts';
import { connect, type Packet, publish, pubrel } from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { type IClientOptions, MqttJs, V5, V311 } from '../support/mqttjs.ts';
import { RawClient } from '../support/raw-client.ts';
import { BrokerProcess } from '../support/real-broker.ts';
import { Stompit } from '../support/stompit.ts';

let broker: BrokerProcess;
beforeEach(async () => {
  broker = await BrokerProcess.start();
});
afterEach(() => broker.close());

const mqtt = async (options: IClientOptions = {}) => broker.keep(await MqttJs.connect(broker.mqttUrl, options));
const stomp = async () => broker.keep(await Stompit.connect(broker.ports.stomp));

async function killAndStart(): Promise<void> {
  broker = await broker.killAndStart();
}

const DURABLE = {
  '3.1.1': { ...V311, clean: false },
  '5.0': { ...V5, clean: false, properties: { sessionExpiryInterval: 3600 } },
} as const;

it('still has retained messages, and has none where one was cleared', async () => {
  const publisher = await mqtt();
  await publisher.publish('state/kept', 'on', { qos: 1, retain: true });
  await publisher.publish('state/changed', 'old', { qos: 1, retain: true });
  await publisher.publish('state/cleared', 'gone', { qos: 1, retain: true });
  await publisher.publish('state/changed', 'new', { qos: 2, retain: true });
  await publisher.publish('state/cleared', '', { qos: 1, retain: true });
  await (await stomp()).send('/topic/state.stomp', 'from STOMP', { retain: 'true', persistent: 'true' });
  await killAndStart();
  const late = await mqtt();
  await late.subscribe('state/#', { qos: 1 });
  expect((await late.nextTexts(3)).sort()).toEqual(['state/changed new', 'state/kept on', 'state/stomp from STOMP']);
  await (await mqtt()).publish('state/end', 'end', { qos: 1 });
  expect(await late.nextText()).toBe('state/end end');
});

for (const [name, options] of Object.entries(DURABLE)) {
  it(`MQTT ${name}: still has what a durable session has missed, in order, and its subscriptions`, async () => {
    const away = await mqtt({ ...options, clientId: 'away' });
    await away.subscribe(['work/#', 'other/+'], { qos: 2 });
    await away.disconnect();
    const publisher = await mqtt();
    const numbers = Array.from({ length: 15 }, (_, i) => i);
    for (const number of numbers) {
      await publisher.publish('work/1', String(number), { qos: 1 });
      await publisher.publish('work/2', String(number), { qos: 2 });
    }
    await killAndStart();
    await (await mqtt()).publish('other/b', 'after the start', { qos: 1 });
    const back = await mqtt({ ...options, clientId: 'away' });
    expect(back.connack.sessionPresent).toBe(true);
    const texts = await back.nextTexts(31);
    // MQTT.js gives a QoS 2 message to the program when its exchange is complete, so the two are compared each for itself.
    for (const topic of ['work/1', 'work/2'])
      expect(texts.filter((text) => text.startsWith(topic))).toEqual(numbers.map((number) => `${topic} ${number}`));
    expect(texts).toContain('other/b after the start');
    await back.disconnect();
    await killAndStart();
    const again = await mqtt({ ...options, clientId: 'away' });
    expect(again.connack.sessionPresent).toBe(true);
    await (await mqtt()).publish('work/a', 'end', { qos: 2 });
    // QoS 2 does not come again. What was acknowledged at QoS 1 may: nobody waits for that to be written.
    let text = await again.nextText();
    while (/^work\/1|^other/.test(text)) text = await again.nextText();
    expect(text).toBe('work/a end');
  });
}

it('still has the queue of a STOMP client, without what was acknowledged with a receipt', async () => {
  const sender = await stomp();
  for (const text of ['one', 'two', 'three']) await sender.send('/queue/jobs', text, { persistent: 'true' });
  const worker = await stomp();
  const jobs = await worker.subscribe('/queue/jobs', 'client-individual');
  await worker.ack(await jobs.messages.next('one'));
  await killAndStart();
  const next = await (await stomp()).subscribe('/queue/jobs', 'client-individual');
  expect(await next.nextTexts(2)).toEqual(['two', 'three']);
});

it('takes a QoS 2 message once whose PUBREL had not come when it was killed', async () => {
  const watcher = await mqtt({ ...DURABLE['5.0'], clientId: 'watcher' });
  await watcher.subscribe('once/#', { qos: 2 });
  await watcher.disconnect();
  const message = { payload: Buffer.from('a'), qos: 2, packetId: 7 } as const;
  const first = await Exchange.begin(broker, false);
  expect(await first.answer(publish('once/a', message))).toMatchObject({ type: PacketType.PUBREC, packetId: 7 });
  await killAndStart();
  const second = await Exchange.begin(broker, true);
  expect(await second.answer(publish('once/a', { ...message, dup: true }))).toMatchObject({
    type: PacketType.PUBREC,
    packetId: 7,
  });
  expect(await second.answer(pubrel(7))).toMatchObject({ type: PacketType.PUBCOMP, packetId: 7 });
  await killAndStart();
  // The identifier is free again: what comes under it is another message.
  const third = await Exchange.begin(broker, true);
  expect(await third.answer(publish('once/b', { ...message, payload: Buffer.from('b') }))).toMatchObject({
    type: PacketType.PUBREC,
  });
  const back = await mqtt({ ...DURABLE['5.0'], clientId: 'watcher' });
  expect(await back.nextTexts(2)).toEqual(['once/a a', 'once/b b']);
  expect(back.messages.waiting).toEqual([]);
});

/** A publisher that goes through QoS 2 packet by packet. */
class Exchange {
  private readonly client: RawClient;
  private taken = 0;

  private constructor(client: RawClient) {
    this.client = client;
  }

  static async begin(at: BrokerProcess, present: boolean): Promise<Exchange> {
    const exchange = new Exchange(at.keep(await RawClient.tcp(at.ports.mqtt)));
    const fields = { clientId: 'publisher', clean: false, protocolVersion: ProtocolVersion.V311 };
    expect(await exchange.answer(connect(fields))).toMatchObject({ reasonCode: 0, sessionPresent: present });
    return exchange;
  }

  /** Sends one packet; every answer here is four bytes long. */
  async answer(packet: Packet): Promise<Packet> {
    this.client.send(encode(packet, ProtocolVersion.V311));
    this.taken += ANSWER_BYTES;
    const bytes = await this.client.take(this.taken);
    return decode(bytes.subarray(this.taken - ANSWER_BYTES), ProtocolVersion.V311, FROM_SERVER);
  }
}

const ANSWER_BYTES = 4;
