// The broker as a library, in-process: no port is opened unless asked for.
import mqtt from 'mqtt';
import { afterEach, describe, expect, test } from 'vitest';
import { BrokerError, ConfigError, createBroker, type EmbeddedBroker, type ReceivedMessage } from '../../src/index.ts';

const open: EmbeddedBroker[] = [];
async function broker(options?: Parameters<typeof createBroker>[0]): Promise<EmbeddedBroker> {
  const made = await createBroker(options);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

/** Resolves with the first `count` messages that a handler gets. */
function collector(count: number): {
  handler: (message: ReceivedMessage) => void;
  messages: Promise<ReceivedMessage[]>;
} {
  const got: ReceivedMessage[] = [];
  let done: (messages: ReceivedMessage[]) => void = () => undefined;
  const messages = new Promise<ReceivedMessage[]>((resolve) => {
    done = resolve;
  });
  return {
    handler: (message) => {
      got.push(message);
      if (got.length === count) done(got);
    },
    messages,
  };
}

describe('an embedded broker', () => {
  test('delivers what is published in the same process, with all that was said about it', async () => {
    const sluice = await broker();
    const { handler, messages } = collector(1);
    await sluice.subscribe('plant/+/temp', handler);
    const result = await sluice.publish('plant/1/temp', '21.5', {
      contentType: 'text/plain',
      correlationId: 'c-1',
      replyTo: 'plant/replies',
      priority: 3,
      headers: ['unit', 'C', 'unit', 'K'],
    });
    expect(result).toEqual({ matched: true });
    const [message] = await messages;
    expect(message!.address).toBe('plant/1/temp');
    expect(message!.text()).toBe('21.5');
    expect(message!.headers).toEqual(['unit', 'C', 'unit', 'K']);
    expect(message!.priority).toBe(3);
    expect(message!.properties.contentType).toBe('text/plain');
    expect(message!.properties.replyTo?.key.path).toBe('plant/replies');
    expect(sluice.addresses).toEqual([]);
  });

  test('says when nobody is there to get a message', async () => {
    const sluice = await broker();
    expect(await sluice.publish('nobody/here', 'x')).toEqual({ matched: false });
  });

  test('gives a message whose handler fails to another consumer of the queue, counted', async () => {
    const sluice = await broker();
    const failed: string[] = [];
    const first = await sluice.subscribe('$queue/jobs', (message) => {
      failed.push(message.text());
      return Promise.reject(new Error('not today'));
    });
    await sluice.publish('$queue/jobs', 'job');
    await expect.poll(() => failed.length).toBeGreaterThan(0);
    first.end();
    const { handler, messages } = collector(1);
    await sluice.subscribe('$queue/jobs', handler);
    const [message] = await messages;
    expect(message!.text()).toBe('job');
    expect(message!.deliveryCount).toBeGreaterThan(0);
  });

  test('replays retained messages first, marked', async () => {
    const sluice = await broker();
    await sluice.publish('state/a', 'on', { retain: true });
    const { handler, messages } = collector(2);
    await sluice.subscribe('state/#', handler);
    await sluice.publish('state/b', 'off');
    expect((await messages).map((m) => [m.address, m.text(), m.retained])).toEqual([
      ['state/a', 'on', true],
      ['state/b', 'off', false],
    ]);
  });

  test('hands over no more than prefetch at a time', async () => {
    const sluice = await broker();
    let running = 0;
    let most = 0;
    const release: (() => void)[] = [];
    await sluice.subscribe(
      'work',
      () => {
        most = Math.max(most, ++running);
        return new Promise<void>((resolve) => {
          release.push(() => {
            running--;
            resolve();
          });
        });
      },
      { prefetch: 3 },
    );
    for (let i = 0; i < 10; i++) await sluice.publish('work', String(i));
    await expect.poll(() => running).toBe(3);
    for (let done = 0; done < 10; done++) {
      await expect.poll(() => release.length).toBeGreaterThan(0);
      release.shift()!();
    }
    expect(most).toBe(3);
  });

  test('talks to clients on the listeners it is told to open', async () => {
    const sluice = await broker({ config: { listeners: { mqtt: '127.0.0.1:0' } } });
    const [address] = await sluice.listen();
    expect(address).toMatchObject({ name: 'mqtt', host: '127.0.0.1' });
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${address!.port}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
    });
    const { handler, messages } = collector(1);
    await sluice.subscribe('from/device', handler);
    await client.publishAsync('from/device', 'hello', { qos: 1 });
    expect((await messages)[0]!.text()).toBe('hello');
    const heard = new Promise<string>((resolve) => {
      client.on('message', (_topic, payload) => resolve(payload.toString()));
    });
    await client.subscribeAsync('to/device', { qos: 1 });
    await sluice.publish('to/device', 'hello back');
    expect(await heard).toBe('hello back');
    await client.endAsync();
  });

  test("lets in whom the program's authenticator knows, and lets them do what its authorizer allows", async () => {
    const asked: string[] = [];
    const sluice = await broker({
      config: { listeners: { mqtt: '127.0.0.1:0' } },
      authenticator: {
        authenticate: async ({ username, password }) => {
          await Promise.resolve();
          const known = username === 'eve' && password !== null && Buffer.from(password).toString() === 'apple';
          return known
            ? { ok: true, principal: { name: 'eve', policy: { team: 'garden' } } }
            : { ok: false, reason: 'bad-credentials' };
        },
      },
      authorizer: {
        epoch: 0,
        dependsOnClient: () => false,
        allows: ({ name, policy }, _clientId, action, resource) => {
          asked.push(`${name} ${(policy as { team: string }).team} ${action} ${resource.name}`);
          return resource.name.startsWith('garden/');
        },
        principal: (name) => ({ name, policy: { team: 'nobody' } }),
      },
    });
    const [mqttAddress] = await sluice.listen();
    const url = `mqtt://127.0.0.1:${mqttAddress!.port}`;
    const options = { reconnectPeriod: 0, protocolVersion: 5 } as const;
    await expect(mqtt.connectAsync(url, { ...options, username: 'eve', password: 'pear' })).rejects.toThrow(
      /Bad User Name/,
    );
    const client = await mqtt.connectAsync(url, { ...options, username: 'eve', password: 'apple' });
    await client.publishAsync('garden/tree', 'x', { qos: 1 });
    await expect(client.publishAsync('kitchen/tree', 'x', { qos: 1 })).rejects.toThrow(/Not authorized/);
    await client.endAsync();
    expect(asked).toContain('eve garden publish garden/tree');
    expect(asked).toContain('eve garden publish kitchen/tree');
  });

  test("without an authorizer of the program's, everybody its authenticator lets in may do everything", async () => {
    const sluice = await broker({
      config: { listeners: { mqtt: '127.0.0.1:0' } },
      authenticator: { authenticate: () => ({ ok: true, principal: { name: 'anyone', policy: { of: 'mine' } } }) },
    });
    const [mqttAddress] = await sluice.listen();
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttAddress!.port}`, {
      reconnectPeriod: 0,
      protocolVersion: 5,
    });
    await client.subscribeAsync('#', { qos: 1 });
    await client.publishAsync('kitchen/tree', 'x', { qos: 1 });
    await client.endAsync();
  });

  test('refuses wrong options and addresses by name', async () => {
    await expect(createBroker({ config: { mqtt: { receiveMaximum: 0 } as never } })).rejects.toThrow(ConfigError);
    const sluice = await broker();
    await expect(sluice.publish('a/+/b', 'x')).rejects.toThrow(BrokerError);
    await expect(sluice.publish('$exchange/nowhere/key', 'x')).rejects.toThrow(/nowhere/);
  });
});
