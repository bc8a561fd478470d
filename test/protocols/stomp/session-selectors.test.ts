import { describe, expect, it } from 'vitest';
import { Version } from '../../../protocols/stomp/frame.ts';
import { SCANNED_MAX } from '../../../src/core/lane.ts';
import { frame, StompClient, StompWorld } from '../../support/stomp-client.ts';

function connected(): { world: StompWorld; client: () => StompClient } {
  const world = new StompWorld();
  return { world, client: () => StompClient.connected(world, Version.V1_2) };
}

describe('a selector on a topic', () => {
  it('lets through what it selects, and nothing else', () => {
    const { client } = connected();
    const [listener, publisher] = [client(), client()];
    listener.subscribe('/topic/a', { id: 'red', selector: "color = 'red'" });
    listener.subscribe('/topic/a', { id: 'heavy', 'x-selector': 'weight > 10' });
    listener.subscribe('/topic/a', { id: 'all' });
    publisher.publish('/topic/a', '1', { color: 'red', weight: 5 });
    publisher.publish('/topic/a', '2', { color: 'blue', weight: 50 });
    publisher.publish('/topic/a', '3', { color: 'red', weight: 50 });
    publisher.publish('/topic/a', '4');
    const got = listener.messages().map((message) => `${message.header('subscription')}${message.text()}`);
    expect(got.sort()).toEqual(['all1', 'all2', 'all3', 'all4', 'heavy2', 'heavy3', 'red1', 'red3']);
  });

  it('that is wrong gets an ERROR that names the position', () => {
    const { client } = connected();
    const listener = client();
    listener.send(frame('SUBSCRIBE', { id: '1', destination: '/topic/a', selector: 'color = ', receipt: 'r' }));
    const error = listener.error()!;
    expect(error.header('message')).toBe('Invalid selector');
    expect(error.header('receipt-id')).toBe('r');
    expect(error.text()).toContain('position 8');
  });

  it('is asked once per message, however many subscriptions have it', () => {
    const { world, client } = connected();
    const publisher = client();
    const listeners = Array.from({ length: 50 }, client);
    for (let i = 0; i < 10_000; i++) {
      const listener = listeners[i % 50]!;
      listener.subscribe('/topic/a', { id: String(Math.floor(i / 50)), selector: `kind = ${i % 100}` });
    }
    for (const listener of listeners) listener.receive();
    const { selectors } = world.broker;
    for (let message = 0; message < 10; message++) publisher.publish('/topic/a', 'x', { kind: message });
    for (let i = 0; i < 100; i++) expect(selectors.get(`kind = ${i}`)!.evaluations).toBe(10);
    let count = 0;
    for (const listener of listeners) count += listener.messages().length;
    expect(count).toBe(1000);
  });

  it('judges retained messages, too', () => {
    const { client } = connected();
    const [listener, publisher] = [client(), client()];
    publisher.publish('/topic/a.1', 'yes', { retain: true, n: 1 });
    publisher.publish('/topic/a.2', 'no', { retain: true, n: 2 });
    listener.subscribe('/topic/a.*', { selector: 'n = 1' });
    expect(listener.bodies()).toEqual(['yes']);
  });

  it('keeps what it does not select out of a durable subscription', () => {
    const { world, client } = connected();
    const durable = { id: 'd', durable: true, 'auto-delete': false, ack: 'client' };
    const listener = client().subscribe('/topic/a', { ...durable, selector: 'n > 1' });
    listener.hangUp();
    const publisher = client();
    for (let n = 0; n < 4; n++) publisher.publish('/topic/a', String(n), { n });
    expect([...world.broker.addVhost('/').queues.values()][0]!.readyCount).toBe(2);
    const again = client().subscribe('/topic/a', { ...durable, selector: 'n > 1' });
    expect(again.bodies()).toEqual(['2', '3']);
    again.hangUp();
    const other = client().subscribe('/topic/a', { ...durable, selector: 'n = 0' });
    expect(other.bodies()).toEqual([]);
    publisher.publish('/topic/a', 'zero', { n: 0 });
    publisher.publish('/topic/a', 'two', { n: 2 });
    expect(other.bodies()).toEqual(['zero']);
  });
});

describe('a selector on a queue', () => {
  it('takes what it selects, and leaves the rest for others in its order', () => {
    const { client } = connected();
    const [even, publisher] = [client(), client()];
    even.subscribe('/queue/q', { selector: 'even = TRUE' });
    for (let n = 0; n < 6; n++) publisher.publish('/queue/q', String(n), { even: n % 2 === 0 });
    expect(even.bodies()).toEqual(['0', '2', '4']);
    const all = client().subscribe('/queue/q');
    expect(all.bodies()).toEqual(['1', '3', '5']);
  });

  it('gets back what it had refused to settle, before what came later', () => {
    const { client } = connected();
    const [listener, publisher] = [client(), client()];
    listener.subscribe('/queue/q', { ack: 'client-individual', 'prefetch-count': 1, selector: 'n > 0' });
    for (let n = 0; n < 4; n++) publisher.publish('/queue/q', String(n), { n });
    const [first] = listener.messages();
    expect(first!.text()).toBe('1');
    listener.send(frame('NACK', { id: first!.header('ack')! }));
    const [again] = listener.messages();
    expect([again!.text(), again!.header('redelivered')]).toEqual(['1', 'true']);
    listener.send(frame('ACK', { id: again!.header('ack')! }));
    expect(listener.bodies()).toEqual(['2']);
    listener.hangUp();
    const other = client().subscribe('/queue/q');
    expect(other.bodies()).toEqual(['0', '2', '3']);
  });

  it('finds what lies behind any number of others, a bounded number of them at a time', async () => {
    const { world, client } = connected();
    await world.open();
    const publisher = client();
    publisher.subscribe('/queue/q', { id: 'declare', durable: false, ack: 'client', 'prefetch-count': 1 });
    publisher.send(frame('UNSUBSCRIBE', { id: 'declare' }));
    for (let n = 0; n < 2 * SCANNED_MAX; n++) publisher.publish('/queue/q', '-', { persistent: false });
    publisher.publish('/queue/q', 'here', { n: 1 });
    const listener = client().subscribe('/queue/q', { selector: 'n = 1' });
    const selector = world.broker.selectors.get('n = 1')!;
    expect(listener.bodies()).toEqual([]);
    expect(selector.evaluations).toBeLessThanOrEqual(2 * SCANNED_MAX);
    for (let i = 0; i < 3; i++) world.advance(1000);
    expect(listener.bodies()).toEqual(['here']);
    expect(selector.evaluations).toBe(2 * SCANNED_MAX + 1);
  });
});
