// The demo page in a real browser, against a broker of a few lines: MQTT by mqtt-packet, STOMP by hand.

import mqttPacket, { type Packet } from 'mqtt-packet';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Transport } from '../../src/io/transport.ts';
import { nothing, until } from '../io/until.ts';
import { type Accepted, TestServer } from '../protocols/websocket/harness.ts';
import { describeWith, requirement } from '../support/requirements.ts';

/** Sends what one client publishes to all that have subscribed, in both protocols; knows one password. */
class TinyBroker {
  readonly mqtt = new Map<Transport, string>();
  readonly stomp = new Map<Transport, { id: string; destination: string }>();
  readonly published: { over: string; topic: string; payload: string; retain: boolean }[] = [];
  password: string | null = null;

  readonly accept = ({ adapter, transport }: Accepted): void => {
    if (adapter === 'mqtt') this.acceptMqtt(transport);
    else this.acceptStomp(transport);
    transport.established();
  };

  publish(over: string, topic: string, payload: Buffer, retain: boolean): void {
    this.published.push({ over, topic, payload: payload.toString(), retain });
    for (const transport of this.mqtt.keys()) this.toMqtt(transport, topic, payload, false);
    for (const transport of this.stomp.keys())
      this.toStomp(transport, `/topic/${topic.replaceAll('/', '.')}`, payload, false);
  }

  toMqtt(transport: Transport, topic: string, payload: Buffer, retain: boolean): void {
    this.write(transport, mqttPacket.generate({ cmd: 'publish', topic, payload, retain, qos: 0, dup: false }));
  }

  toStomp(transport: Transport, destination: string, payload: Buffer, retained: boolean): void {
    const { id } = this.stomp.get(transport)!;
    const head = `MESSAGE\nsubscription:${id}\nmessage-id:1\ndestination:${destination}\ncontent-length:${payload.length}\n${retained ? 'retained:true\n' : ''}\n`;
    this.write(transport, Buffer.concat([Buffer.from(head), payload, Buffer.alloc(1)]));
  }

  private write(transport: Transport, bytes: Buffer): void {
    transport.output.append(bytes, 0, bytes.length);
  }

  private acceptMqtt(transport: Transport): void {
    const parser = mqttPacket.parser();
    parser.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') {
        expect(packet).toMatchObject({ protocolId: 'MQTT', protocolVersion: 4, clean: true });
        const right = this.password === null || packet.password?.toString() === this.password;
        this.write(
          transport,
          mqttPacket.generate({ cmd: 'connack', returnCode: right ? 0 : 5, sessionPresent: false }),
        );
      } else if (packet.cmd === 'subscribe') {
        this.mqtt.set(transport, packet.subscriptions[0]!.topic);
        this.write(transport, mqttPacket.generate({ cmd: 'suback', messageId: packet.messageId!, granted: [0] }));
        this.toMqtt(transport, 'plant/kept', Buffer.from('from before'), true);
      } else if (packet.cmd === 'publish') {
        this.publish('mqtt', packet.topic, packet.payload as Buffer, packet.retain);
      }
    });
    transport.handler = {
      onChunk: (bytes, start, end) => void parser.parse(Buffer.from(bytes.subarray(start, end))),
      onDrain: nothing,
      onClosed: () => void this.mqtt.delete(transport),
    };
  }

  private acceptStomp(transport: Transport): void {
    let text = '';
    transport.handler = {
      onChunk: (bytes, start, end) => {
        text += Buffer.from(bytes.subarray(start, end)).toString();
        const frames = text.split('\0');
        text = frames.pop()!;
        for (const frame of frames) this.onFrame(transport, frame.trimStart());
      },
      onDrain: nothing,
      onClosed: () => void this.stomp.delete(transport),
    };
  }

  private onFrame(transport: Transport, frame: string): void {
    const headEnd = frame.indexOf('\n\n');
    const [command, ...lines] = frame.slice(0, headEnd).split('\n');
    const header = (name: string): string =>
      lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1) ?? '';
    if (command === 'CONNECT') {
      const right = this.password === null || header('passcode') === this.password;
      const answer = right ? 'CONNECTED\nversion:1.2\n\n\0' : 'ERROR\nmessage:not authorised\n\n\0';
      this.write(transport, Buffer.from(answer));
    } else if (command === 'SUBSCRIBE') {
      this.stomp.set(transport, { id: header('id'), destination: header('destination') });
      this.toStomp(transport, '/topic/plant.kept', Buffer.from('from before'), true);
    } else if (command === 'SEND') {
      const topic = header('destination').replace('/topic/', '').replaceAll('.', '/');
      this.publish('stomp', topic, Buffer.from(frame.slice(headEnd + 2)), header('retain') === 'true');
    }
  }
}

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

describeWith(['chromium'], 'demo page', () => {
  let browser: Browser;
  let server: TestServer;
  let broker: TinyBroker;
  let page: Page;
  let problems: string[];

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: requirement('chromium').path,
      args: ['--no-sandbox', '--host-resolver-rules=MAP broker.example 127.0.0.1'],
    });
  });

  afterAll(async () => {
    await browser.close();
  });

  beforeEach(async () => {
    broker = new TinyBroker();
    server = await new TestServer({ onAccept: broker.accept }).listen();
    page = await browser.newPage();
    problems = [];
    // Also what the security policy keeps the page from doing.
    page.on('console', (line) => {
      if (line.type() === 'error') problems.push(line.text());
    });
    page.on('pageerror', (error) => problems.push(error.message));
    const foreign: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(`http://127.0.0.1:${server.port}/`)) foreign.push(request.url());
    });
    page.on('close', () => expect(foreign).toEqual([]));
  });

  afterEach(async () => {
    await page.close();
    await server.close();
  });

  async function opened(): Promise<void> {
    await page.goto(`http://127.0.0.1:${server.port}/demo`);
    await page.waitForSelector('#mqtt-state[data-state=connected]');
    await page.waitForSelector('#stomp-state[data-state=connected]');
    await until('both have subscribed', () => broker.mqtt.size === 1 && broker.stomp.size === 1);
  }

  const tile = (topic: string) => page.locator(`.tile[data-topic="${topic}"]`);

  test('subscribes to plant/# in both protocols and shows retained messages as such', async () => {
    await opened();
    expect([...broker.mqtt.values()]).toEqual(['plant/#']);
    expect([...broker.stomp.values()].map(({ destination }) => destination)).toEqual(['/topic/plant.#']);
    await tile('plant/kept').getByText('from before').waitFor();
    await tile('plant/kept').getByText('retained').waitFor();
    await page.locator('#mqtt-feed li', { hasText: 'from before' }).getByText('retained').waitFor();
    await page.locator('#stomp-feed li', { hasText: 'from before' }).getByText('retained').waitFor();
    expect(problems).toEqual([]);
  });

  test('a message from elsewhere appears in both lists and as the latest value', async () => {
    await opened();
    broker.publish('elsewhere', 'plant/line1/temp', Buffer.from('21.5'), false);
    await tile('plant/line1/temp').getByText('21.5').waitFor();
    await page.locator('#mqtt-feed li', { hasText: 'plant/line1/temp' }).getByText('21.5').waitFor();
    await page.locator('#stomp-feed li', { hasText: '/topic/plant.line1.temp' }).getByText('21.5').waitFor();
    broker.publish('elsewhere', 'plant/line1/temp', Buffer.from('22'), false);
    await tile('plant/line1/temp').getByText('22', { exact: true }).waitFor();
    expect(await page.locator('.tile').count()).toBe(2);
    expect(problems).toEqual([]);
  });

  test('publishes over MQTT and over STOMP, retained if asked for', async () => {
    await opened();
    await page.fill('#payload', 'grüße');
    await page.click('#publish button');
    await until('it is published', () => broker.published.length === 1);
    await page.getByText('STOMP', { exact: true }).locator('visible=true').last().click();
    await page.fill('#topic', 'plant/line 2');
    await page.check('#retain');
    await page.click('#publish button');
    await until('it is published', () => broker.published.length === 2);
    expect(broker.published).toEqual([
      { over: 'mqtt', topic: 'plant/demo', payload: 'grüße', retain: false },
      { over: 'stomp', topic: 'plant/line 2', payload: 'grüße', retain: true },
    ]);
    await tile('plant/demo').getByText('grüße').waitFor();
    await page.getByText(/Published over STOMP/).waitFor();
    expect(problems).toEqual([]);
  });

  test('does not publish to a filter', async () => {
    await opened();
    await page.fill('#topic', 'plant/#');
    await page.click('#publish button');
    await page.getByText('no + and no #').waitFor();
    expect(broker.published).toEqual([]);
  });

  test('shows markup as text, bytes as bytes and a large payload cut', async () => {
    await opened();
    broker.publish('elsewhere', 'plant/markup', Buffer.from('<img src=x onerror=alert(1)>'), false);
    broker.publish('elsewhere', 'plant/bytes', Buffer.from([0xff, 0x00, 0x10]), false);
    broker.publish('elsewhere', 'plant/large', Buffer.alloc(300_000, 'x'), false);
    await tile('plant/markup').getByText('<img src=x onerror=alert(1)>').waitFor();
    await tile('plant/bytes').getByText('ff 00 10').waitFor();
    await tile('plant/large').waitFor();
    await page.locator('#stomp-feed li', { hasText: 'plant.large' }).waitFor();
    expect((await tile('plant/large').innerText()).length).toBeLessThan(700);
    expect(problems).toEqual([]);
  });

  test('keeps up with ten thousand messages and holds a bounded list of them', async () => {
    await opened();
    for (let i = 0; i < 10_000; i++) broker.publish('elsewhere', `plant/many/${i % 90}`, Buffer.from(`${i}`), false);
    await page.locator('#mqtt-count', { hasText: '10,001' }).waitFor({ timeout: 80_000 });
    await page.locator('#stomp-count', { hasText: '10,001' }).waitFor({ timeout: 80_000 });
    expect(await page.locator('#mqtt-feed li').count()).toBeLessThanOrEqual(100);
    expect(await page.locator('.tile').count()).toBeLessThanOrEqual(60);
  });

  test('another filter goes to the broker in the writing of each protocol', async () => {
    await opened();
    await page.fill('#filter', '+/a.b/#');
    await page.press('#filter', 'Enter');
    await until('both have it', () => [...broker.mqtt.values()][0] === '+/a.b/#');
    await until('both have it', () => [...broker.stomp.values()][0]?.destination === '/topic/*.a%2Eb.#');
  });

  test('tells a page from another machine where mosquitto_pub has to go', async () => {
    await opened();
    expect(await page.innerText('#command')).toBe('mosquitto_pub -t plant/line1/temp -m 21.5');
    const elsewhere = await browser.newPage();
    await elsewhere.goto(`http://broker.example:${server.port}/demo`);
    expect(await elsewhere.innerText('#command')).toBe('mosquitto_pub -h broker.example -t plant/line1/temp -m 21.5');
    await elsewhere.close();
  });

  test('asks for a user when the broker wants one', async () => {
    broker.password = 'secret';
    await page.goto(`http://127.0.0.1:${server.port}/demo`);
    await page.waitForSelector('#sign-in:not([hidden])');
    await page.waitForSelector('#mqtt-state[data-state=refused]');
    await page.waitForSelector('#stomp-state[data-state=refused]');
    await page.fill('#user', 'ada');
    await page.fill('#password', 'secret');
    await page.click('#sign-in button');
    await page.waitForSelector('#mqtt-state[data-state=connected]');
    await page.waitForSelector('#stomp-state[data-state=connected]');
    await page.waitForSelector('#sign-in', { state: 'hidden' });
    await until('both have subscribed', () => broker.mqtt.size === 1 && broker.stomp.size === 1);
  });

  test('comes back after the connection was lost', async () => {
    await opened();
    const [mqtt] = broker.mqtt.keys();
    const [stomp] = broker.stomp.keys();
    mqtt!.destroy();
    stomp!.destroy();
    await until('both are gone', () => !broker.mqtt.has(mqtt!) && !broker.stomp.has(stomp!));
    await until('both are back', () => broker.mqtt.size === 1 && broker.stomp.size === 1);
    await page.waitForSelector('#mqtt-state[data-state=connected]');
  });

  test('switches between light and dark', async () => {
    await opened();
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const before = await ground();
    await page.click('#theme');
    expect(await ground()).not.toBe(before);
    const folder = process.env.DEMO_SCREENSHOTS;
    if (folder !== undefined) {
      for (let i = 0; i < 12; i++)
        broker.publish(
          'x',
          `plant/line${i % 4}/${i % 3 === 0 ? 'temp' : 'state'}`,
          Buffer.from(i % 3 === 0 ? `${20 + i / 2}` : 'running'),
          false,
        );
      await page.waitForTimeout(1800);
      await page.screenshot({ path: `${folder}/dark.png`, fullPage: true });
      await page.click('#theme');
      await page.screenshot({ path: `${folder}/light.png`, fullPage: true });
      await page.setViewportSize({ width: 390, height: 800 });
      await page.screenshot({ path: `${folder}/phone.png`, fullPage: true });
    }
  });
});
