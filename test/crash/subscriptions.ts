// Subscriptions over restarts: a client with a durable session that subscribes and unsubscribes all the time, and a look at which of its subscriptions the broker has: a message is
// published to every one of its topics, and behind them one to a topic to which it is always subscribed. One publisher, one session: what has not come before the last has no subscription.
import {
  type Packet,
  type Publish,
  puback,
  publish,
  subscribe,
  subscription,
  unsubscribe,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { Dice } from '../sim/dice.ts';
import { makePayload } from '../sim/payload.ts';
import { Actor } from './actor.ts';
import type { Ports } from './broker.ts';
import type { Journal, Source } from './journal.ts';

const Has = { No: 0, Yes: 1, Unknown: 2 } as const;
type Has = (typeof Has)[keyof typeof Has];

const WINDOW = 4;
const LOOK_MS_MAX = 10_000;
const FIRST_ID = 1;

interface Change {
  readonly filter: number;
  readonly to: Has;
}

export class Churner extends Actor {
  readonly source: Source;
  budget = 0;
  private readonly dice: Dice;
  private readonly has: Has[];
  private readonly underway = new Map<number, Change>();
  /** Its subscription to the last topic is confirmed. */
  private endSubscribed = false;
  /** Of the look that is under way: numbers from here on. */
  private roundFrom = 0;
  private readonly arrived = new Set<number>();
  private done: () => void = () => undefined;
  private ended = false;

  constructor(journal: Journal, dice: Dice, id: number, version: ProtocolVersion, filters: number) {
    super(journal, { clientId: `churner-${id}`, version, durable: true });
    this.dice = dice;
    const topics = Array.from({ length: filters }, (_, index) => `churn/${id}/${index}`);
    this.has = topics.map(() => Has.No);
    this.source = journal.source(id, 1, [...topics, `churn/${id}/end`]);
  }

  allow(count: number): void {
    this.budget += count;
    this.fill();
  }

  stop(): void {
    this.budget = 0;
  }

  /** Connects and looks which subscriptions there are. Resolves with whether the broker stayed long enough. */
  async look(ports: Ports): Promise<boolean> {
    await this.connect(ports);
    if (!this.connected) return false;
    if (!this.endSubscribed) return true;
    const finished = new Promise<void>((resolve) => {
      this.done = resolve;
    });
    this.ended = false;
    this.arrived.clear();
    this.roundFrom = this.source.last + 1;
    const prober = new Prober(this.journal, this.source);
    void prober.publishAll(ports).then((all) => {
      if (!all) this.done();
    });
    const late = setTimeout(() => {
      this.journal.violation(
        'liveness',
        `${this.clientId} did not get what was published for it within ${LOOK_MS_MAX} ms`,
      );
      this.done();
    }, LOOK_MS_MAX);
    await finished;
    clearTimeout(late);
    this.done = () => undefined;
    prober.hangUp();
    if (!this.ended || !this.connected) return false;
    this.judge();
    return true;
  }

  protected onConnected(present: boolean): void {
    if (!present) {
      this.endSubscribed = false;
      this.has.fill(Has.No);
    }
    if (!this.endSubscribed) this.send(subscribe(FIRST_ID, [subscription(this.source.topics.at(-1)!, 1)]));
  }

  protected onGone(): void {
    for (const { filter } of this.underway.values()) this.has[filter] = Has.Unknown;
    this.underway.clear();
    this.done();
  }

  protected onPacket(packet: Packet): void {
    switch (packet.type) {
      case PacketType.SUBACK:
        if (packet.reasonCodes.some((code) => code !== 1)) this.unexpected(packet);
        if (packet.packetId === FIRST_ID) {
          this.endSubscribed = true;
          this.sessionSafe = true;
          this.fill();
        } else this.onChanged(packet.packetId);
        break;
      case PacketType.UNSUBACK:
        if (packet.reasonCodes.some((code) => code !== 0)) {
          this.journal.violation(
            'subscription',
            `${this.clientId}: UNSUBACK ${packet.reasonCodes.join(' ')} for a subscription that was confirmed`,
          );
        }
        this.onChanged(packet.packetId);
        break;
      case PacketType.PUBLISH:
        this.onPublish(packet);
        break;
      default:
        this.unexpected(packet);
    }
  }

  private onPublish(packet: Publish): void {
    const found = this.journal.identify(this.clientId, packet.topic, packet.payload);
    this.send(puback(packet.packetId));
    if (found === null || found.number < this.roundFrom) return;
    this.arrived.add(found.source.topicOf.get(found.number));
    if (found.source.topicOf.get(found.number) !== this.has.length) return;
    this.ended = true;
    this.done();
  }

  private judge(): void {
    for (let filter = 0; filter < this.has.length; filter++) {
      const there = this.arrived.has(filter) ? Has.Yes : Has.No;
      this.journal.counts.stateChecks++;
      if (this.has[filter] !== Has.Unknown && this.has[filter] !== there) {
        const text = there === Has.Yes ? 'still has' : 'does not have';
        this.journal.violation(
          'subscription',
          `${this.clientId} ${text} ${this.source.topics[filter]}, against what was confirmed`,
        );
      }
      // What was not confirmed has been decided by now.
      this.has[filter] = there;
    }
  }

  private onChanged(packetId: number): void {
    const change = this.underway.get(packetId);
    if (change === undefined) return;
    this.underway.delete(packetId);
    this.has[change.filter] = change.to;
    this.fill();
  }

  private fill(): void {
    while (this.connected && this.endSubscribed && this.budget > 0 && this.underway.size < WINDOW) {
      this.budget--;
      const filter = this.dice.below(this.has.length);
      if ([...this.underway.values()].some((change) => change.filter === filter)) continue;
      const to = this.has[filter] === Has.Yes ? Has.No : Has.Yes;
      let packetId = FIRST_ID + 1;
      while (this.underway.has(packetId)) packetId++;
      this.underway.set(packetId, { filter, to });
      const name = this.source.topics[filter]!;
      this.send(to === Has.Yes ? subscribe(packetId, [subscription(name, 1)]) : unsubscribe(packetId, [name]));
    }
  }
}

/** Publishes once to every topic of a churner, in order. */
class Prober extends Actor {
  private readonly source: Source;
  private readonly unacknowledged = new Map<number, number>();
  private done: (all: boolean) => void = () => undefined;

  constructor(journal: Journal, source: Source) {
    super(journal, { clientId: `prober-${source.id}`, version: ProtocolVersion.V5, durable: false });
    this.source = source;
  }

  /** Resolves with whether every one was confirmed. */
  publishAll(ports: Ports): Promise<boolean> {
    return new Promise((resolve) => {
      this.done = resolve;
      void this.connect(ports);
    });
  }

  protected onConnected(): void {
    const { topics, id } = this.source;
    for (let topic = 0; topic < topics.length; topic++) {
      const number = this.journal.sent(this.source, topic);
      const packetId = topic + 1;
      this.unacknowledged.set(packetId, number);
      this.send(publish(topics[topic]!, { qos: 1, packetId, payload: makePayload(id, number, 40) }));
    }
  }

  protected onGone(): void {
    for (const number of this.unacknowledged.values()) this.journal.givenUp(this.source, number);
    this.unacknowledged.clear();
    this.done(false);
  }

  protected onPacket(packet: Packet): void {
    const number = packet.type === PacketType.PUBACK ? this.unacknowledged.get(packet.packetId) : undefined;
    if (packet.type !== PacketType.PUBACK || number === undefined || packet.reasonCode >= 0x80) {
      this.unexpected(packet);
      return;
    }
    this.unacknowledged.delete(packet.packetId);
    this.journal.acknowledged(this.source, number);
    if (this.unacknowledged.size === 0) this.done(true);
  }
}
