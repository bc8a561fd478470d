// mosquitto_pub and mosquitto_sub, every version of MQTT they speak.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatPasswordHash, hashPassword } from '../../src/auth/password.ts';
import { MosquittoSub, type MosquittoVersion, mosquittoPub } from '../support/mosquitto.ts';
import { RealBroker } from '../support/real-broker.ts';
import { describeWith } from '../support/requirements.ts';

let broker: RealBroker;
beforeEach(async () => {
  broker = await RealBroker.start();
});
afterEach(() => broker.close());

const VERSIONS: readonly MosquittoVersion[] = ['mqttv31', 'mqttv311', 'mqttv5'];

describeWith(['mosquittoPub', 'mosquittoSub'], 'mosquitto_pub and mosquitto_sub', () => {
  for (const version of VERSIONS) {
    const sub = (...args: string[]) => MosquittoSub.start(broker, '-V', version, ...args);
    const pub = (args: readonly string[], input: Buffer | string = '') =>
      mosquittoPub(broker, ['-V', version, ...args], input);

    it(`${version}: deliver at the lower of both QoS`, async () => {
      for (const subscribed of [0, 1, 2]) {
        const subscriber = await sub('-q', String(subscribed), '-t', 'plant/+/temp');
        for (const qos of [0, 1, 2]) await pub(['-q', String(qos), '-t', 'plant/1/temp', '-m', `${qos}`]);
        const got = await subscriber.messages.take(3);
        expect(got.map(({ payload, qos }) => [payload.toString(), qos])).toEqual(
          [0, 1, 2].map((qos) => [`${qos}`, Math.min(qos, subscribed)]),
        );
        await subscriber.close();
      }
    });

    it(`${version}: match wildcards as the specification has it`, async () => {
      const subscriber = await sub('-t', 'a/+/c', '-t', 'b/#', '-t', '+/x', '-t', 'b');
      for (const topic of ['a/b/c', 'a/b/b/c', 'a/c', 'b', 'b/1/2', 'c/x', '/x', 'end/x'])
        await pub(['-t', topic, '-m', '.']);
      const topics = (await subscriber.messages.take(6)).map(({ topic }) => topic);
      expect(topics).toEqual(['a/b/c', 'b', 'b/1/2', 'c/x', '/x', 'end/x']);
    });

    it(`${version}: replay what is retained, and forget it when it is cleared`, async () => {
      await pub(['-r', '-q', '1', '-t', 'state/a', '-m', 'on']);
      await pub(['-r', '-q', '0', '-t', 'state/b', '-m', 'off']);
      const early = await sub('-t', 'state/#');
      const got = await early.messages.take(2);
      expect(got.map(({ topic, payload, retain }) => `${topic} ${payload} ${retain}`).sort()).toEqual([
        'state/a on true',
        'state/b off true',
      ]);
      await pub(['-r', '-n', '-q', '1', '-t', 'state/a']);
      expect((await early.messages.next('the clearing message')).retain).toBe(false);
      const replayed = await MosquittoSub.run(broker, '-V', version, '-t', 'state/#', '-C', '1');
      expect(replayed.map(({ topic }) => topic)).toEqual(['state/b']);
    });

    it(`${version}: publish the will of a client that was killed`, async () => {
      const watcher = await sub('-q', '2', '-t', 'will/#');
      const mourned = await sub(
        '-t',
        'x',
        '--will-topic',
        'will/m',
        '--will-payload',
        'lost',
        '--will-qos',
        '2',
        '--will-retain',
      );
      await mourned.kill();
      expect(await watcher.messages.next('the will')).toMatchObject({
        topic: 'will/m',
        payload: Buffer.from('lost'),
        qos: 2,
        retain: false,
      });
      const late = await sub('-t', 'will/m');
      expect(await late.messages.next('the retained will')).toMatchObject({
        payload: Buffer.from('lost'),
        retain: true,
      });
    });

    it(`${version}: keep a session that was asked to be kept`, async () => {
      const session = ['-V', version, '-c', '-i', 'keeper', '-q', '1', '-t', 'missed/#'];
      await MosquittoSub.run(broker, ...session, '-E');
      for (const text of ['1', '2', '3']) await pub(['-q', '1', '-t', 'missed/x', '-m', text]);
      const got = await MosquittoSub.run(broker, ...session, '-C', '3');
      expect(got.map(({ payload }) => payload.toString())).toEqual(['1', '2', '3']);
    });

    it(`${version}: carry payloads of any bytes, and thousands of lines`, async () => {
      const subscriber = await sub('-q', '1', '-t', 'bytes', '-t', 'lines');
      for (const payload of [Buffer.from([0, 255, 10, 13, 0]), randomBytes(300_000)]) {
        await pub(['-q', '1', '-t', 'bytes', '-s'], payload);
        expect((await subscriber.messages.next('the payload')).payload.equals(payload)).toBe(true);
      }
      const lines = Array.from({ length: 2000 }, (_, i) => String(i));
      await pub(['-q', '1', '-t', 'lines', '-l'], `${lines.join('\n')}\n`);
      expect((await subscriber.messages.take(2000)).map(({ payload }) => payload.toString())).toEqual(lines);
    });

    it(`${version}: are refused with wrong credentials`, async () => {
      await broker.close();
      broker = await RealBroker.start({
        auth: { users: [{ name: 'meter', hash: formatPasswordHash(hashPassword(Buffer.from('right'), 14)) }] },
      });
      await pub(['-u', 'meter', '-P', 'right', '-q', '1', '-t', 'a', '-m', 'x']);
      await expect(pub(['-u', 'meter', '-P', 'wrong', '-q', '1', '-t', 'a', '-m', 'x'])).rejects.toThrow(
        version === 'mqttv5' ? 'Bad User Name or Password' : 'bad user name or password',
      );
    });
  }

  it('mqttv5: carry the properties of a message', async () => {
    const subscriber = await MosquittoSub.start(broker, '-V', '5', '-q', '1', '-t', 'p');
    const property = (...words: string[]) => ['-D', 'publish', ...words];
    await mosquittoPub(broker, [
      ...['-V', '5', '-q', '1', '-t', 'p', '-m', '{}'],
      ...property('content-type', 'application/json'),
      ...property('response-topic', 'answer/here'),
      ...property('correlation-data', 'c-1'),
      ...property('message-expiry-interval', '300'),
      ...property('user-property', 'unit', 'C'),
      ...property('user-property', 'unit', 'K'),
    ]);
    expect(await subscriber.messages.next()).toMatchObject({
      contentType: 'application/json',
      responseTopic: 'answer/here',
      correlationData: 'c-1',
      messageExpiryInterval: '300',
      userProperties: 'unit:C unit:K',
    });
  });

  it('mqttv5: share a subscription', async () => {
    const members = [
      await MosquittoSub.start(broker, '-V', '5', '-q', '1', '-t', '$share/g/work'),
      await MosquittoSub.start(broker, '-V', '5', '-q', '1', '-t', '$share/g/work'),
    ];
    await mosquittoPub(broker, ['-V', '5', '-q', '1', '-t', 'work', '-l'], '1\n2\n3\n4\n');
    const shares = await Promise.all(members.map((member) => member.messages.take(2, 'a fair share')));
    expect(
      shares
        .flat()
        .map(({ payload }) => payload.toString())
        .sort(),
    ).toEqual(['1', '2', '3', '4']);
  });
});
