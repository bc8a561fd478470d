// The promise of the README, literally: the executable runs, and clients nobody here wrote exchange messages through it. mosquitto_sub and mosquitto_pub on
// MQTT 5, stompit on STOMP 1.2, and the demo page in Chromium, which is an MQTT and a STOMP client at once.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { ChromiumBrowser, DemoPage } from '../support/browser.ts';
import { MosquittoSub, mosquittoPub } from '../support/mosquitto.ts';
import { MqttJs, V5 } from '../support/mqttjs.ts';
import { BrokerProcess } from '../support/real-broker.ts';
import { describeWith } from '../support/requirements.ts';
import { Stompit } from '../support/stompit.ts';

describeWith(['mosquittoPub', 'mosquittoSub', 'chromium'], 'a running broker', () => {
  let broker: BrokerProcess;
  let browser: ChromiumBrowser;

  beforeAll(async () => {
    [broker, browser] = await Promise.all([BrokerProcess.start(), ChromiumBrowser.launch()]);
  });
  afterEach(async () => {
    await broker.closeClients();
    expect(browser.takeProblems()).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    await broker?.close();
  });

  /** A fresh set of receivers: what mosquitto_sub, stompit and the page have got. */
  async function receivers(group: string) {
    const mosquitto = await MosquittoSub.start(broker, '-t', `${group}/#`, '-V', '5');
    const stomp = broker.keep(await Stompit.connect(broker.ports.stomp));
    const subscription = await stomp.subscribe(`/topic/${group}.#`);
    const demo = broker.keep(await DemoPage.open(browser, broker.httpUrl('/demo')));
    await demo.show(group);
    /** All of them, the page twice, have got it. */
    const allGot = async (level: string, payload: string, retained = false): Promise<void> => {
      const printed = await mosquitto.messages.find(
        `${level} ${payload}`,
        ({ topic }) => topic === `${group}/${level}`,
      );
      expect([printed.payload.toString(), printed.retain]).toEqual([payload, retained]);
      const message = await subscription.messages.find(
        `${level} ${payload}`,
        ({ headers }) => headers.destination === `/topic/${group}.${level}`,
      );
      expect([message.body.toString(), message.headers.retained === 'true']).toEqual([payload, retained]);
      const rows = [
        await demo.received('mqtt', `${group}/${level}`, payload),
        await demo.received('stomp', `/topic/${group}.${level}`, payload),
      ];
      expect(rows.map((row) => row.includes('retained'))).toEqual([retained, retained]);
    };
    return { stomp, demo, allGot };
  }

  it('lets mosquitto, stompit and the page receive what each of the others publishes', async () => {
    const { stomp, demo, allGot } = await receivers('plant');
    await mosquittoPub(broker, ['-V', '5', '-t', 'plant/mosquitto', '-m', '21.5']);
    await allGot('mosquitto', '21.5');
    await stomp.send('/topic/plant.stompit', 'from STOMP');
    await allGot('stompit', 'from STOMP');
    await demo.publish('mqtt', 'plant/page-mqtt', 'from the page');
    await allGot('page-mqtt', 'from the page');
    await demo.publish('stomp', 'plant/page-stomp', 'from the page, too');
    await allGot('page-stomp', 'from the page, too');
  });

  it('gives all of them the retained messages of each of the others when they come later', async () => {
    const { stomp, demo } = await receivers('kept');
    await mosquittoPub(broker, ['-V', '5', '-q', '1', '-r', '-t', 'kept/mosquitto', '-m', 'one']);
    await stomp.send('/topic/kept.stompit', 'two', { retain: 'true' });
    await demo.publish('mqtt', 'kept/page-mqtt', 'three', true);
    await demo.publish('stomp', 'kept/page-stomp', 'four', true);
    await demo.received('mqtt', 'kept/page-stomp', 'four');
    await broker.closeClients();
    const later = await receivers('kept');
    await later.allGot('mosquitto', 'one', true);
    await later.allGot('stompit', 'two', true);
    await later.allGot('page-mqtt', 'three', true);
    await later.allGot('page-stomp', 'four', true);
  });

  it('tells all of them the will of a client that is gone, and those that come later the retained one', async () => {
    const { allGot } = await receivers('wills');
    const will = (topic: string, ...more: string[]) => [
      '--will-topic',
      topic,
      '--will-payload',
      'gone',
      '--will-qos',
      '1',
      ...more,
    ];
    const mourned = await MosquittoSub.start(broker, '-V', '5', '-t', 'x', ...will('wills/plain'));
    const kept = await MosquittoSub.start(broker, '-V', '5', '-t', 'x', ...will('wills/kept', '--will-retain'));
    await mourned.kill();
    await allGot('plain', 'gone');
    await kept.kill();
    await allGot('kept', 'gone');
    await broker.closeClients();
    const later = await receivers('wills');
    await later.allGot('kept', 'gone', true);
  });

  it('lets a STOMP and an MQTT 5 worker share a queue, each taking over what the other has not acknowledged', async () => {
    const mqttWorker = async () =>
      broker.keep(await MqttJs.connect(broker.mqttUrl, { ...V5, properties: { receiveMaximum: 5 } }));
    const stomp = broker.keep(await Stompit.connect(broker.ports.stomp));
    const stompJobs = await stomp.subscribe('/queue/jobs', 'client-individual', { 'prefetch-count': 5 });
    const mqtt = await mqttWorker();
    const taken: string[] = [];
    let five: () => void = () => undefined;
    const mqttHasFive = new Promise<void>((resolve) => {
      five = resolve;
    });
    // Takes jobs and never acknowledges.
    mqtt.client.handleMessage = ({ payload }) => {
      taken.push(payload.toString());
      if (taken.length === 1) five();
    };
    await mqtt.subscribe('$queue/jobs', { qos: 1 });

    const publisher = broker.keep(await MqttJs.connect(broker.mqttUrl, V5));
    for (let i = 0; i < 10; i++) await publisher.publish('$queue/jobs', `job ${i}`, { qos: 1 });
    const own = await stompJobs.messages.take(5, 'its half of the jobs');
    await mqttHasFive;
    expect(own.map(({ headers }) => headers.redelivered)).toEqual(Array(5).fill(undefined));
    expect(own.map(({ body }) => body.toString())).not.toContain(taken[0]);

    // The MQTT worker dies: what it had moves to the STOMP worker, once that has room.
    mqtt.drop();
    for (const message of own) await stomp.ack(message);
    const moved = await stompJobs.messages.take(5, 'the jobs of the MQTT worker');
    expect(moved.map(({ headers }) => [headers.redelivered, headers['x-delivery-count']])).toEqual(
      Array(5).fill(['true', '1']),
    );
    const all = [...own, ...moved].map(({ body }) => body.toString());
    expect(all.sort()).toEqual(Array.from({ length: 10 }, (_, i) => `job ${i}`));

    // And the other way round.
    const second = await mqttWorker();
    await stomp.drop();
    await second.subscribe('$queue/jobs', { qos: 1 });
    const back = await second.messages.take(5, 'the jobs of the STOMP worker');
    expect(back.map(({ payload }) => payload.toString()).sort()).toEqual(
      moved.map(({ body }) => body.toString()).sort(),
    );
    expect(back.map(({ properties }) => properties?.userProperties?.['x-delivery-count'])).toEqual(Array(5).fill('2'));
  });

  it('tells its clients on SIGTERM and ends with 0', async () => {
    const own = await BrokerProcess.start();
    const client = own.keep(await MqttJs.connect(own.mqttUrl, V5));
    const stomp = own.keep(await Stompit.connect(own.ports.stomp));
    own.kill('SIGTERM');
    expect((await client.disconnects.next('DISCONNECT')).reasonCode).toBe(0x8b);
    await stomp.errors.next('ERROR, or the end of the connection');
    expect(await own.exited).toBe(0);
    expect(own.log).toContain('"stopped"');
    await own.close();
  });
});
