// Who takes part in a campaign: publishers and subscribers of every QoS and version, durable sessions that are there, late or away, a share group, queues with one and with competing consumers,
// clients that keep retained messages and subscriptions in motion. The cast outlives every broker: it is the outside world.
import { setTimeout as delay } from 'node:timers/promises';
import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { Dice } from '../sim/dice.ts';
import type { Client, Sender, Taker } from './actor.ts';
import type { Ports } from './broker.ts';
import type { Destination, Excuse, Journal, Qos } from './journal.ts';
import { Publisher, type PublisherOptions } from './publisher.ts';
import { RetainedProbe, Retainer } from './retained.ts';
import { StompConsumer, type StompConsumerOptions } from './stomp-consumer.ts';
import { StompPublisher, type StompPublisherOptions } from './stomp-publisher.ts';
import { Subscriber, type SubscriberOptions } from './subscriber.ts';
import { Churner } from './subscriptions.ts';
import { WILLER_VERSIONS, Willer } from './willer.ts';

const { V5, V311 } = ProtocolVersion;

/** How much a life of the broker is given to do. */
export interface Load {
  /** Messages of each publisher, at most. */
  readonly messages: number;
  /** Of the publisher of large ones. */
  readonly largeMessages: number;
}

/** A client that was thrown out waits before it comes again. */
const RETURN_MS = 250;
/** Nothing more is to be done: so long without any event, while something is missing. */
const QUIET_MS = 3000;
const DRAIN_MS_MAX = 60_000;
/** Nothing is missing: whatever comes too much would have come by now. */
const SURPLUS_MS = 60;

export class Cast {
  readonly journal: Journal;
  readonly publishers: Sender[] = [];
  readonly subscribers: Taker[] = [];
  /** They are away most of the time. */
  private readonly absentees: Taker[] = [];
  private readonly retainers: Retainer[];
  private readonly churners: Churner[];
  private readonly willers: Willer[];
  private readonly dice: Dice;
  private round = 0;
  private ports: Ports = { mqtt: 0, stomp: 0 };
  private nextReturnAt = 0;

  constructor(journal: Journal, seed: number) {
    this.journal = journal;
    this.dice = new Dice(seed);
    const topics = (id: number, count: number): string[] => Array.from({ length: count }, (_, i) => `load/${id}/${i}`);
    const small = { version: V5, durable: true, sizeMin: 20, sizeMax: 300 };
    this.publisher({ ...small, id: 1, qos: 1, topics: topics(1, 4), window: 100 });
    this.publisher({ ...small, id: 2, qos: 2, topics: topics(2, 4), window: 50 });
    this.publisher({ ...small, id: 3, qos: 1, topics: topics(3, 2), window: 1, version: V311 });
    this.publisher({ ...small, id: 4, qos: 2, topics: topics(4, 2), window: 20, version: V311 });
    this.publisher({ ...small, id: 5, qos: 1, topics: topics(5, 1), window: 50, durable: false });
    this.publisher({ ...small, id: 6, qos: 2, topics: topics(6, 1), window: 20, durable: false });
    this.publisher({ ...small, id: 7, qos: 1, topics: ['$queue/single'], window: 50 });
    this.publisher({ ...small, id: 8, qos: 2, topics: ['$queue/crowd'], window: 50 });
    this.publisher({
      ...small,
      id: LARGE,
      qos: 1,
      topics: topics(LARGE, 2),
      window: 8,
      sizeMin: 20_000,
      sizeMax: 120_000,
    });

    const all = [{ filter: 'load/#', qos: 1 }] as const;
    const exactly = [{ filter: 'load/#', qos: 2 }] as const;
    const session = { version: V5, durable: true, ackDelayMs: 0 };
    this.session({ ...session, clientId: 'at-least-once', filters: all });
    this.session({ ...session, clientId: 'exactly-once', filters: exactly });
    this.session({
      ...session,
      clientId: 'old',
      version: V311,
      ackDelayMs: 20,
      filters: [{ filter: 'load/+/0', qos: 2 }],
    });
    this.session({
      ...session,
      clientId: 'narrow',
      receiveMaximum: 50,
      filters: [...all, { filter: 'load/2/#', qos: 2 }, { filter: 'load/4/#', qos: 2 }],
    });
    this.absentees.push(
      this.session({ ...session, clientId: 'away-1', filters: all }),
      this.session({ ...session, clientId: 'away-2', filters: exactly, version: V311, ackDelayMs: 3 }),
    );
    this.group(
      'group',
      false,
      ['member-1', 'member-2'],
      { ...session, filters: [{ filter: '$share/g/load/#', qos: 1 }] },
      'load/#',
    );
    this.group('$queue/single', true, ['worker'], {
      ...session,
      durable: false,
      filters: [{ filter: '$queue/single', qos: 1 }],
    });
    this.group('$queue/crowd', false, ['worker-1', 'worker-2'], {
      ...session,
      durable: false,
      receiveMaximum: 20,
      filters: [{ filter: '$queue/crowd', qos: 1 }],
    });
    const stomp = { window: 30, transactionMax: 0, forgets: false };
    this.stompPublisher({ ...stomp, id: 40, topics: topics(40, 3) });
    this.stompPublisher({ ...stomp, id: 41, topics: ['$queue/stomp'], window: 5, transactionMax: 8 });
    this.stompPublisher({ ...stomp, id: 42, topics: topics(42, 2), window: 4, transactionMax: 8, forgets: true });
    this.stompConsumer('stomp-durable', { clientId: 'stomp-durable', filter: 'load/#', durable: true }, true);
    this.stompConsumer('$queue/stomp', { clientId: 'stomp-worker', filter: '$queue/stomp', durable: false }, true);
    this.stompConsumer('$queue/crowd', { clientId: 'stomp-worker-3', filter: '$queue/crowd', durable: false }, false);
    this.retainers = [new Retainer(journal, this.fork(), 20, 1, 24), new Retainer(journal, this.fork(), 21, 2, 24)];
    this.willers = WILLER_VERSIONS.map((version, index) => new Willer(journal, 50 + index, version));
    this.churners = [new Churner(journal, this.fork(), 30, V5, 12), new Churner(journal, this.fork(), 31, V311, 12)];
  }

  /** Everybody's subscriptions are made and confirmed, before anything is published. */
  async begin(ports: Ports): Promise<void> {
    this.ports = ports;
    await Promise.all(this.subscribers.map((subscriber) => subscriber.ready(ports)));
  }

  /** Looks at what the broker has kept, before anybody changes it; resolves false when it went meanwhile. */
  async look(ports: Ports): Promise<boolean> {
    this.ports = ports;
    const probe = new RetainedProbe(this.journal, 'kept', ++this.round, this.held());
    if (!(await probe.look(ports))) return false;
    for (const retainer of this.retainers) retainer.check(probe.found);
    for (const churner of this.churners) if (!(await churner.look(ports))) return false;
    return true;
  }

  /** Everybody comes, some of the absentees excepted, and begins. Does not wait for anybody. */
  load(ports: Ports, { messages, largeMessages }: Load): void {
    this.ports = ports;
    for (const subscriber of this.subscribers) {
      if (!this.absentees.includes(subscriber) || this.dice.chance(0.3)) void subscriber.ready(ports);
    }
    for (const publisher of this.publishers) {
      publisher.stop();
      publisher.allow(publisher.isLarge ? largeMessages : messages);
      void publisher.connect(ports);
    }
    for (const retainer of this.retainers) {
      retainer.allow(messages);
      void retainer.connect(ports);
    }
    for (const willer of this.willers) void willer.connect(ports);
    for (const churner of this.churners) {
      if (!churner.isOpen) void churner.connect(ports);
      churner.allow(messages);
    }
  }

  /** Publishers and keepers of retained messages come, nobody takes anything. */
  publishOnly(ports: Ports, { messages, largeMessages }: Load): void {
    this.ports = ports;
    for (const subscriber of this.subscribers) subscriber.hangUp();
    for (const publisher of this.publishers) publisher.allow(publisher.isLarge ? largeMessages : messages);
    for (const retainer of this.retainers) retainer.allow(messages);
    this.comeBack();
  }

  /** So many more messages of each publisher, from wherever it is. */
  more(count: number): void {
    for (const publisher of this.publishers) publisher.allow(count);
  }

  /** Publishers whose connection the broker has ended connect again. */
  comeBack(): void {
    const now = performance.now();
    if (now < this.nextReturnAt) return;
    this.nextReturnAt = now + RETURN_MS;
    for (const client of [...this.publishers, ...this.retainers]) if (!client.isOpen) void client.connect(this.ports);
  }

  /** Those who take messages come. */
  async consume(ports: Ports): Promise<void> {
    this.ports = ports;
    await Promise.all(this.subscribers.map((subscriber) => subscriber.ready(ports)));
  }

  /** While the broker lives: now and then somebody's cable is pulled, or somebody connects a second time. Ends when `signal` is aborted. */
  async shake(signal: AbortSignal): Promise<void> {
    const clients = this.everybody;
    while (!signal.aborted) {
      await delay(10 + this.dice.below(150));
      if (signal.aborted) return;
      const client = this.dice.pick(clients);
      if (!client.connected) continue;
      if (this.dice.chance(0.5)) client.hangUp();
      void client.connect(this.ports);
    }
  }

  /** Acknowledged by nobody yet. */
  get underway(): number {
    return [...this.publishers, ...this.retainers].reduce((sum, { unacknowledged }) => sum + unacknowledged, 0);
  }

  get openCount(): number {
    return this.everybody.reduce((sum, { isOpen }) => sum + (isOpen ? 1 : 0), 0);
  }

  stop(): void {
    for (const actor of [...this.publishers, ...this.retainers, ...this.churners]) actor.stop();
  }

  /** Nothing new is sent; what was not acknowledged is sent again, and everything is taken. What is missing then is lost. */
  async drain(ports: Ports, excused?: Excuse): Promise<void> {
    this.stop();
    this.ports = ports;
    const { journal, subscribers, publishers, retainers } = this;
    for (const willer of this.willers) willer.hangUp();
    await Promise.all(subscribers.map((subscriber) => subscriber.ready(ports)));
    await Promise.all([...publishers, ...retainers].map((client) => client.connect(ports)));
    const began = performance.now();
    journal.lastEventAt = began;
    const rest = (): number =>
      this.underway + journal.outstanding + subscribers.reduce((sum, { unfinished }) => sum + unfinished, 0);
    while (rest() > 0) {
      const now = performance.now();
      if (now - journal.lastEventAt > QUIET_MS || now - began > DRAIN_MS_MAX) break;
      await delay(5);
    }
    await delay(SURPLUS_MS);
    for (const { clientId, unacknowledged } of [...publishers, ...retainers]) {
      if (unacknowledged > 0)
        journal.violation(
          'liveness',
          `${clientId} has ${unacknowledged} messages that the broker does not acknowledge`,
        );
    }
    for (const { clientId, unfinished } of subscribers) {
      if (unfinished > 0)
        journal.violation('liveness', `${clientId} has ${unfinished} QoS 2 exchanges that the broker does not finish`);
    }
    journal.close(excused);
  }

  hangUp(): void {
    for (const actor of this.everybody) actor.hangUp();
  }

  private get everybody(): Client[] {
    return [...this.publishers, ...this.subscribers, ...this.retainers, ...this.churners, ...this.willers];
  }

  private *held(): Iterable<string> {
    for (const retainer of this.retainers) yield* retainer.held();
  }

  private fork(): Dice {
    return new Dice(this.dice.next());
  }

  private publisher(options: Omit<PublisherOptions, 'clientId'>): void {
    this.publishers.push(new Publisher(this.journal, this.fork(), { ...options, clientId: `publisher-${options.id}` }));
  }

  private session(options: SubscriberOptions): Subscriber {
    const rule = { qosOf: qosByFilters(options.filters), ordered: true, exactlyOnce: true };
    const destination = this.journal.destination(options.clientId, rule);
    return this.subscriber(destination, options);
  }

  /** Several consumers of one source of messages; `topic` is what it stands for, where that is not its name. */
  private group(
    name: string,
    ordered: boolean,
    clientIds: readonly string[],
    options: Omit<SubscriberOptions, 'clientId'>,
    topic = name,
  ): void {
    const qosOf = qosByFilters([{ filter: topic, qos: 1 }]);
    const destination = this.journal.destination(name, { qosOf, ordered, exactlyOnce: false });
    for (const clientId of clientIds) this.subscriber(destination, { ...options, clientId });
  }

  private stompPublisher(options: StompPublisherOptions): void {
    this.publishers.push(new StompPublisher(this.journal, this.fork(), options));
  }

  /** Joins the destination of that name, if there is one. */
  private stompConsumer(name: string, options: StompConsumerOptions, ordered: boolean): void {
    const qosOf = qosByFilters([{ filter: options.filter, qos: 1 }]);
    const destination =
      this.journal.destinations.find((other) => other.name === name) ??
      this.journal.destination(name, { qosOf, ordered, exactlyOnce: false });
    this.subscribers.push(new StompConsumer(this.journal, this.fork(), destination, options));
  }

  private subscriber(destination: Destination, options: SubscriberOptions): Subscriber {
    const subscriber = new Subscriber(this.journal, this.fork(), destination, options);
    this.subscribers.push(subscriber);
    return subscriber;
  }
}

const LARGE = 9;

/** The highest QoS of the filters that match: overlapping subscriptions give one copy. */
function qosByFilters(filters: readonly { readonly filter: string; readonly qos: Qos }[]): (topic: string) => 0 | Qos {
  const known = new Map<string, 0 | Qos>();
  return (topic) => {
    let qos = known.get(topic);
    if (qos === undefined) {
      qos = filters.reduce<0 | Qos>((best, one) => (matches(one.filter, topic) && one.qos > best ? one.qos : best), 0);
      known.set(topic, qos);
    }
    return qos;
  };
}

function matches(filter: string, topic: string): boolean {
  const levels = topic.split('/');
  const parts = filter.split('/');
  for (let i = 0; i < parts.length; i++) {
    if (parts[i] === '#') return true;
    if (i >= levels.length || (parts[i] !== '+' && parts[i] !== levels[i])) return false;
  }
  return parts.length === levels.length;
}
