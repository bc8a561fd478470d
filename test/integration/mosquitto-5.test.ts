// What only MQTT 5 has, and requests with their answers, seen by mosquitto's command line clients.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MosquittoSub, mosquittoPub, mosquittoRr } from '../support/mosquitto.ts';
import { MqttJs, V5, V311 } from '../support/mqttjs.ts';
import { RealBroker } from '../support/real-broker.ts';
import { describeWith } from '../support/requirements.ts';

let broker: RealBroker;
beforeEach(async () => {
  broker = await RealBroker.start();
});
afterEach(() => broker.close());

const sub = (...args: string[]) => MosquittoSub.start(broker, '-V', '5', '-q', '1', ...args);
const pub = (...args: string[]) => mosquittoPub(broker, ['-V', '5', '-q', '1', ...args]);

describeWith(['mosquittoPub', 'mosquittoSub'], 'mosquitto_pub and mosquitto_sub with MQTT 5', () => {
  it('name the subscription that a message matched', async () => {
    const subscriber = await sub('-t', 'si/#', '-D', 'subscribe', 'subscription-identifier', '42');
    await pub('-t', 'si/a', '-m', 'x');
    expect(await subscriber.messages.next()).toMatchObject({ topic: 'si/a', subscriptionIdentifier: '42' });
  });

  it('honour Retain As Published', async () => {
    const plain = await sub('-t', 'rap');
    const asPublished = await sub('-t', 'rap', '--retain-as-published');
    await pub('-r', '-t', 'rap', '-m', 'x');
    expect((await plain.messages.next()).retain).toBe(false);
    expect((await asPublished.messages.next()).retain).toBe(true);
  });

  it('keep a session as long as asked, and forget messages whose time is over', async () => {
    const session = ['-V', '5', '-c', '-i', 'keeper', '-q', '1', '-t', 'missed/#', '-x', '3600'];
    await MosquittoSub.run(broker, ...session, '-E');
    await pub('-t', 'missed/long', '-m', 'x', '-D', 'publish', 'message-expiry-interval', '300');
    const [message] = await MosquittoSub.run(broker, ...session, '-C', '1');
    expect(message?.topic).toBe('missed/long');
    expect(Number(message?.messageExpiryInterval)).toBeLessThanOrEqual(300);
    // Session expiry 0: it ends with the connection.
    await MosquittoSub.run(broker, ...session.with(-1, '0'), '-E');
    await pub('-t', 'missed/none', '-m', 'x');
    const ready = await sub('-c', '-i', 'keeper', '-t', 'missed/#');
    await pub('-t', 'missed/now', '-m', 'y');
    expect(await ready.nextText()).toBe('missed/now y');
  });

  it('publish a will with its properties', async () => {
    const watcher = await sub('-t', 'will/#');
    const mourned = await sub(
      ...['-t', 'x', '--will-topic', 'will/m', '--will-payload', 'lost', '--will-qos', '1'],
      ...['-D', 'will', 'content-type', 'text/plain', '-D', 'will', 'user-property', 'why', 'killed'],
    );
    await mourned.kill();
    expect(await watcher.messages.next('the will')).toMatchObject({
      topic: 'will/m',
      contentType: 'text/plain',
      userProperties: 'why:killed',
    });
  });

  it('shorten topics by aliases', async () => {
    const subscriber = await sub('-t', 'alias');
    await mosquittoPub(
      broker,
      ['-V', '5', '-q', '1', '-t', 'alias', '-l', '-D', 'publish', 'topic-alias', '3'],
      '1\n2\n3\n',
    );
    expect([await subscriber.nextText(), await subscriber.nextText(), await subscriber.nextText()]).toEqual([
      'alias 1',
      'alias 2',
      'alias 3',
    ]);
  });

  it('get everything within their Receive Maximum', async () => {
    const subscriber = await sub('-t', 'flow', '-D', 'connect', 'receive-maximum', '2');
    const lines = Array.from({ length: 200 }, (_, i) => String(i));
    await mosquittoPub(broker, ['-V', '5', '-q', '1', '-t', 'flow', '-l'], `${lines.join('\n')}\n`);
    expect((await subscriber.messages.take(200)).map(({ payload }) => payload.toString())).toEqual(lines);
  });

  it('share the messages of a queue, and read the broker’s figures', async () => {
    await pub('-t', '$queue/jobs', '-m', '1');
    const worker = await sub('-t', '$queue/jobs');
    expect(await worker.nextText()).toBe('$queue/jobs 1');
    const figures = await MosquittoSub.run(broker, '-V', '5', '-t', '$SYS/broker/#', '-C', '3', '-W', '10');
    expect(figures.every(({ topic }) => topic.startsWith('$SYS/broker/'))).toBe(true);
  });

  it('clear what is retained', async () => {
    await pub('-r', '-t', 'old/a', '-m', 'x');
    const watcher = await sub('-t', 'old/#');
    expect(await watcher.nextText()).toBe('old/a x');
    await sub('-t', 'old/#', '--remove-retained');
    expect(await watcher.nextText()).toBe('old/a ');
    const late = await sub('-t', 'old/#');
    await pub('-t', 'old/b', '-m', 'y');
    expect(await late.nextText()).toBe('old/b y');
  });
});

describeWith(['mosquittoRr'], 'mosquitto_rr', () => {
  it.each([
    ['5', V5],
    ['mqttv311', V311],
  ] as const)('-V %s: gets the answer to its request', async (flag, version) => {
    const responder = broker.keep(await MqttJs.connect(broker.mqttUrl, version));
    await responder.subscribe('service/double', { qos: 1 });
    const answer = mosquittoRr(broker, [
      ...['-V', flag, '-q', '1', '-t', 'service/double', '-m', '21', '-W', '10'],
      ...['-e', 'answer/rr', '-F', '%t %p'],
      ...(flag === '5' ? ['-D', 'publish', 'correlation-data', 'c-1'] : []),
    ]);
    const request = await responder.messages.next('the request');
    const { responseTopic = 'answer/rr', correlationData } = request.properties ?? {};
    if (flag === '5') expect([responseTopic, correlationData?.toString()]).toEqual(['answer/rr', 'c-1']);
    const properties = correlationData === undefined ? {} : { properties: { correlationData } };
    await responder.publish(responseTopic, '42', { qos: 1, ...properties });
    expect((await answer).trim()).toBe('answer/rr 42');
  });
});
