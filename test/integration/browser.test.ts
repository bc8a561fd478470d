// A page in Chromium with the browser builds of MQTT.js and @stomp/stompjs, as an application would have them: both subscribe over WebSocket and receive what a
// device (MQTT over TCP) and a legacy application (STOMP over TCP) send. And the demo page itself.
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { ChromiumBrowser, DemoPage } from '../support/browser.ts';
import { ROOT } from '../support/built.ts';
import { MqttJs, V5, V311 } from '../support/mqttjs.ts';
import { RealBroker } from '../support/real-broker.ts';
import { describeWith } from '../support/requirements.ts';
import { Stompit } from '../support/stompit.ts';

const library = (path: string): string => readFileSync(join(ROOT, 'node_modules', path), 'utf8');

/** What runs in the page: `start` connects both libraries to the broker at `host`; what they get is kept as lines. */
const SCRIPT = `
  const lines = [];
  let mqttClient, stompClient;
  window.lines = lines;
  window.start = (host) => Promise.all([
    new Promise((resolve, reject) => {
      mqttClient = mqtt.connect('ws://' + host + '/mqtt', { protocolVersion: 5, reconnectPeriod: 0 });
      mqttClient.on('error', reject);
      mqttClient.on('close', () => lines.push('mqtt closed'));
      mqttClient.on('message', (topic, payload, packet) => lines.push(['mqtt', topic, new TextDecoder().decode(payload), packet.properties?.contentType ?? ''].join(' ')));
      mqttClient.on('connect', () => mqttClient.subscribe('plant/#', { qos: 1 }, (error) => (error ? reject(error) : resolve())));
    }),
    new Promise((resolve, reject) => {
      stompClient = new StompJs.Client({ brokerURL: 'ws://' + host + '/stomp', reconnectDelay: 0 });
      stompClient.onStompError = (frame) => reject(new Error(frame.headers.message));
      stompClient.onWebSocketClose = () => { lines.push('stomp closed'); reject(new Error('closed')); };
      stompClient.onConnect = () => {
        stompClient.watchForReceipt('subscribed', () => resolve());
        stompClient.subscribe('/topic/plant.#', (message) => lines.push(['stomp', message.headers.destination, message.body, message.headers['content-type'] ?? ''].join(' ')), { receipt: 'subscribed' });
      };
      stompClient.activate();
    }),
  ]).then(() => 'ready');
  window.publish = () => {
    mqttClient.publish('plant/page', 'by MQTT.js in a page', { qos: 1 });
    stompClient.publish({ destination: '/topic/plant.page', body: 'by stompjs in a page' });
  };
`;

const FILES: Readonly<Record<string, readonly [type: string, body: string]>> = {
  '/': [
    'text/html',
    '<!doctype html><title>page</title><link rel="icon" href="data:,"><script src="mqtt.js"></script><script src="stomp.js"></script><script src="page.js"></script>',
  ],
  '/mqtt.js': ['text/javascript', library('mqtt/dist/mqtt.min.js')],
  '/stomp.js': ['text/javascript', library('@stomp/stompjs/bundles/stomp.umd.min.js')],
  '/page.js': ['text/javascript', SCRIPT],
};

describeWith(['chromium'], 'a page in Chromium', () => {
  let browser: ChromiumBrowser;
  let site: Server;
  let origin: string;
  let broker: RealBroker;

  beforeAll(async () => {
    browser = await ChromiumBrowser.launch();
    site = createServer((request, response) => {
      const file = FILES[request.url ?? ''];
      response.writeHead(file === undefined ? 404 : 200, { 'content-type': file?.[0] ?? 'text/plain' }).end(file?.[1]);
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  });
  beforeEach(async () => {
    broker = await RealBroker.start({ websocket: { origins: ['same-host', origin] } });
  });
  afterEach(() => broker.close());
  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => site?.close(resolve));
  });

  const start = (page: Page, port: number): Promise<string> => page.evaluate(`start('127.0.0.1:${port}')`);
  const waitFor = (page: Page, line: string): Promise<unknown> =>
    page.waitForFunction(`lines.includes(${JSON.stringify(line)})`);

  it('receives with MQTT.js and stompjs what a device and an application send, and they what it sends', async () => {
    const page = await browser.open(origin);
    expect(await start(page, broker.ports.http)).toBe('ready');
    const device = broker.keep(await MqttJs.connect(broker.mqttUrl, V311));
    const application = broker.keep(await Stompit.connect(broker.ports.stomp));
    await device.subscribe('plant/page', { qos: 1 });
    const heard = await application.subscribe('/topic/plant.page');

    await device.publish('plant/line1/temp', '21.5', { qos: 1 });
    await application.send('/topic/plant.line2.temp', '22', { 'content-type': 'text/plain' });
    for (const line of [
      'mqtt plant/line1/temp 21.5 ',
      'stomp /topic/plant.line1.temp 21.5 ',
      'mqtt plant/line2/temp 22 text/plain',
      'stomp /topic/plant.line2.temp 22 text/plain',
    ]) {
      await waitFor(page, line);
    }

    await page.evaluate('publish()');
    const both = ['by MQTT.js in a page', 'by stompjs in a page'];
    expect((await device.nextTexts(2)).sort()).toEqual(both.map((text) => `plant/page ${text}`));
    expect((await heard.nextTexts(2)).sort()).toEqual(both);
    expect(browser.takeProblems()).toEqual([]);
    await page.close();
  });

  it('is kept out when its origin is not allowed', async () => {
    await broker.close();
    broker = await RealBroker.start();
    const page = await browser.open(origin);
    await expect(start(page, broker.ports.http)).rejects.toThrow();
    await page.waitForFunction(`lines.includes('mqtt closed') && lines.includes('stomp closed')`);
    expect(broker.complaints.map(({ fields }) => fields.code)).toContain('websocket-origin');
    // Which the browser complains about, too.
    expect(browser.takeProblems().join(' ')).toContain('403');
    await page.close();
  });

  it('shows in the demo page what any client publishes, as text or as bytes, and the latest of each topic', async () => {
    const device = broker.keep(await MqttJs.connect(broker.mqttUrl, V5));
    await device.publish('plant/kept', 'from before', { qos: 1, retain: true });
    const demo = broker.keep(await DemoPage.open(browser, broker.httpUrl('/demo')));
    expect(await demo.received('mqtt', 'plant/kept', 'from before')).toContain('retained');
    expect(await demo.received('stomp', '/topic/plant.kept', 'from before')).toContain('retained');

    await device.publish('plant/line1/temp', '21.5', { qos: 1 });
    await device.publish('plant/line1/temp', '22', { qos: 1 });
    await device.publish('plant/a.b/raw', Buffer.from([0, 255, 1]), { qos: 1 });
    await demo.received('mqtt', 'plant/line1/temp', '22');
    await demo.received('stomp', '/topic/plant.a%2Eb.raw', '00 ff 01');
    const tile = demo.page.locator('.tile[data-topic="plant/line1/temp"]');
    await tile.getByText('22', { exact: true }).waitFor();
    expect(await demo.page.locator('.tile').count()).toBe(3);

    await device.subscribe('plant/from/#', { qos: 1 });
    await demo.publish('mqtt', 'plant/from/mqtt', 'grüße');
    await demo.publish('stomp', 'plant/from/stomp', 'grüße', true);
    expect(await device.nextTexts(2)).toEqual(['plant/from/mqtt grüße', 'plant/from/stomp grüße']);
    const late = broker.keep(await MqttJs.connect(broker.mqttUrl, V5));
    await late.subscribe('plant/from/#');
    expect((await late.messages.next('what the page retained')).retain).toBe(true);

    await demo.show('other');
    expect(await demo.page.locator('.tile[data-topic^="plant/"]').count()).toBe(0);
    expect(browser.takeProblems()).toEqual([]);
  });

  it('comes back in the demo page when the broker has been away', async () => {
    const demo = await DemoPage.open(browser, broker.httpUrl('/demo'));
    const { http } = broker.ports;
    await broker.close();
    for (const protocol of ['mqtt', 'stomp'])
      await demo.page.waitForSelector(
        `#${protocol}-state[data-state=disconnected], #${protocol}-state[data-state=connecting]`,
      );
    broker = await RealBroker.start({
      listeners: { mqtt: '127.0.0.1:0', stomp: '127.0.0.1:0', http: `127.0.0.1:${http}` },
    });
    for (const protocol of ['mqtt', 'stomp'])
      await demo.page.waitForSelector(`#${protocol}-state[data-state=connected]`);
    await demo.show('plant');
    // Refused connections are complained about while it was away.
    browser.takeProblems();
    await demo.close();
  });
});
