import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../protocols/stomp/encoder.ts';
import { type CommandName, Frame, Version } from '../../../protocols/stomp/frame.ts';
import { StompClient, StompWorld } from '../../support/stomp-client.ts';
import { SeededRandom } from '../../support/world.ts';

const SEEDS = 60;
const STEPS = 120;
const VERSIONS = [Version.V1_0, Version.V1_1, Version.V1_2] as const;

/** One run of clients that do what comes to their mind. */
class Crowd {
  readonly random: SeededRandom;
  readonly world: StompWorld;
  private readonly clients: StompClient[] = [];
  /** Of each client, deliveries it has not settled. */
  private readonly waiting = new Map<StompClient, Frame[]>();
  /** Clients whose bytes are no frames any more, perhaps. */
  private readonly confused = new Set<StompClient>();
  private readonly everybody: StompClient[] = [];
  private jobCount = 0;
  /** Bodies that /queue/jobs has taken for certain and that nobody has said to have done. */
  readonly undone = new Set<string>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed * 7919 + 1);
    // Half of them speak ActiveMQ's dialect, in whose lists of destinations others see one.
    const activemq = () => this.random.below(2) === 0;
    this.world = new StompWorld({ seed, activemq, congestedBytes: 20_000, stomp: { prefetchDefault: 5 } });
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      if (this.clients.length < 2 || (this.clients.length < 6 && this.random.below(10) === 0)) this.join();
      const client = this.pick(this.clients);
      if (client.pipe.isClosed) this.clients.splice(this.clients.indexOf(client), 1);
      else this.act(client);
      if (this.random.below(3) === 0) this.look();
    }
    for (const client of this.clients) client.pipe.readOn();
    this.look();
  }

  leave(): void {
    for (const client of this.clients) client.hangUp();
    for (const client of this.everybody) client.pipe.readOn();
    this.world.settle();
  }

  private join(): void {
    const client = StompClient.connected(this.world, this.pick(VERSIONS));
    client.chunkBytes = this.pick([9, 130, 5000, 1_000_000]);
    this.clients.push(client);
    this.everybody.push(client);
    this.waiting.set(client, []);
  }

  private act(client: StompClient): void {
    const destination = this.pick([
      '/topic/a',
      '/topic/a.b',
      '/topic/a/b',
      '/queue/other',
      '/exchange/amq.fanout',
      '/temp-queue/t',
      '/topic/a,/topic/a.b,/temp-topic/t',
      '/queue/other,/topic/a/b,/exchange/amq.fanout',
    ]);
    const body = 'x'.repeat(this.pick([0, 1, 100, 3000, 20_000, 70_000]));
    switch (this.random.below(14)) {
      case 0:
        this.subscribe(client, destination);
        return;
      case 1:
        this.send(client, 'UNSUBSCRIBE', ['id', String(this.random.below(4))]);
        return;
      case 2:
      case 3:
      case 4:
        this.settleOne(client);
        return;
      case 5:
        this.send(client, this.pick(['BEGIN', 'COMMIT', 'ABORT']), ['transaction', this.pick(['t', 'u'])]);
        return;
      case 6:
        client.pipe.stalled = true;
        return;
      case 7:
        client.pipe.readOn();
        return;
      case 8:
        if (this.random.below(4) === 0) client.hangUp();
        else this.send(client, 'DISCONNECT', ['receipt', 'bye']);
        return;
      case 9:
        if (this.random.below(4) === 0) {
          this.confused.add(client);
          client.sendBytes(this.random.bytes(20));
        }
        return;
      case 10:
        this.send(client, 'SEND', ['destination', '/queue/other', 'transaction', this.pick(['t', 'u'])], body);
        return;
      case 11:
      case 12:
        this.sendJob(client);
        return;
      default:
        this.send(
          client,
          'SEND',
          [
            'destination',
            destination,
            ...this.pick([
              [],
              ['receipt', 'r:1'],
              ['receipt', '7'],
              ['retain', 'true'],
              ['expiration', '500'],
              ['k', 'a:b\\c'],
              ['reply-to', '/temp-queue/x'],
              ['persistent', 'true'],
            ]),
          ],
          body,
        );
    }
  }

  private subscribe(client: StompClient, near: string): void {
    const destination = this.pick([near, '/topic/#', '/topic/*/b', '/topic/a,/topic/#,/queue/other', '/queue/jobs']);
    // A job is done when somebody says so.
    const ack =
      destination === '/queue/jobs' ? 'client-individual' : this.pick(['auto', 'client', 'client-individual']);
    const more = this.pick([
      [],
      ['prefetch-count', '1'],
      ['x-share-group', 'g'],
      ['durable', 'true'],
      ['receipt', 's'],
      ['no-local', 'true'],
      ['no-local', 'true', 'durable', 'true'],
    ]);
    this.send(client, 'SUBSCRIBE', [
      'id',
      String(this.random.below(4)),
      'destination',
      destination,
      'ack',
      ack,
      ...more,
    ]);
  }

  private sendJob(client: StompClient): void {
    const body = `job ${this.jobCount++}`;
    this.send(client, 'SEND', ['destination', '/queue/jobs', ...this.pick([[], ['persistent', 'true']])], body);
    if (!client.pipe.isClosed && !this.confused.has(client)) this.undone.add(body);
  }

  private settleOne(client: StompClient): void {
    const waiting = this.waiting.get(client)!;
    if (waiting.length === 0) return;
    const [message] = waiting.splice(this.random.below(waiting.length), 1);
    this.undone.delete(message!.text());
    const id = message!.header('ack');
    const headers =
      id !== null
        ? ['id', id]
        : ['message-id', message!.header('message-id')!, 'subscription', message!.header('subscription') ?? ''];
    this.send(client, client.version === Version.V1_0 ? 'ACK' : this.pick(['ACK', 'ACK', 'NACK']), headers);
  }

  private send(client: StompClient, command: CommandName, headers: string[], body = ''): void {
    const frame = new Frame(command, headers, body);
    if (this.random.below(3) > 0) client.send(frame);
    else
      client.sendBytes(
        Buffer.from(encodeFrame(frame, client.version))
          .toString()
          .replace(/content-length:\d+\n/, ''),
      );
  }

  /** Everybody looks at what has come. */
  private look(): void {
    for (const client of this.clients) {
      for (const frame of client.receive()) {
        expect(['MESSAGE', 'RECEIPT', 'ERROR', 'CONNECTED']).toContain(frame.command);
        if (frame.command === 'ERROR') expect(client.pipe.ended).toBe(true);
        if (frame.command === 'MESSAGE' && !client.pipe.isClosed) this.waiting.get(client)!.push(frame);
      }
    }
    if (this.random.below(5) === 0) this.world.advance(300);
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.random.below(from.length)]!;
  }
}

describe('a crowd of clients that do anything, at random', () => {
  it('never brings the broker down, and leaves only named queues behind when it is gone', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const crowd = new Crowd(seed);
      try {
        crowd.run();
        crowd.leave();
        const { world } = crowd;
        const vhost = world.broker.vhosts.get('/')!;
        for (const queue of vhost.queues.values()) {
          expect(queue.unsettledCount, queue.name).toBe(0);
          expect(queue.consumerCount, queue.name).toBe(0);
          expect(queue.name).toMatch(/^(jobs|other|other,\/.*|stomp-subscription-[\w-]{25})$/);
          if (queue.name.startsWith('stomp-')) expect(queue.spec.durable).toBe(true);
        }
        expect(world.stompAdapter.connectionCount).toBe(0);
        expect(world.stompAdapter.classes.size).toBe(0);
        expect(world.arena.borrowedCount).toBe(2);
        for (const exchange of vhost.exchanges.values()) {
          for (const { destination } of exchange.bindings)
            expect(vhost.queues.has((destination as { name?: string }).name ?? '')).toBe(true);
        }
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });

  it('loses no message of a queue that nobody has settled, repeats none and keeps their order', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const crowd = new Crowd(seed + 10_000);
      crowd.run();
      crowd.leave();
      // What is left is taken by one who settles, in order, each once.
      const last = StompClient.connected(crowd.world).subscribe('/queue/jobs', { ack: 'client', 'prefetch-count': 0 });
      const left = last.messages().map((message) => message.text());
      const numbers = left.map((text) => Number(text.slice('job '.length)));
      expect(numbers, `seed ${seed}`).toEqual([...new Set(numbers)].sort((a, b) => a - b));
      for (const job of crowd.undone) expect(left, `seed ${seed}`).toContain(job);
    }
  });
});
