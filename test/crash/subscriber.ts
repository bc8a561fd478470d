// A receiving client: takes messages, acknowledges them in order, at once or late, and keeps its half of QoS 2 over reconnects. What it takes goes into the journal under its destination;
// several clients of one share group or queue have the same destination.
import {
  type Packet,
  type Publish,
  puback,
  pubcomp,
  pubrec,
  type Suback,
  subscribe,
  subscription,
} from '../../protocols/mqtt/packet.ts';
import { PacketType } from '../../protocols/mqtt/packet-type.ts';
import type { Dice } from '../sim/dice.ts';
import { Actor, type ActorOptions, type Taker } from './actor.ts';
import type { Ports } from './broker.ts';
import type { Destination, Journal, Qos } from './journal.ts';

export interface SubscriberOptions extends ActorOptions {
  readonly filters: readonly { readonly filter: string; readonly qos: Qos }[];
  /** Acknowledgements wait up to so long. 0: none waits. */
  readonly ackDelayMs: number;
}

export class Subscriber extends Actor implements Taker {
  readonly destination: Destination;
  private readonly options: SubscriberOptions;
  private readonly dice: Dice;
  /** QoS 2: identifiers taken whose PUBREL has not come, with what came under them. Part of the session. */
  private readonly received = new Map<number, string>();
  private readonly acks: Packet[] = [];
  private ackTimer: NodeJS.Timeout | null = null;
  /** SUBACK has come once for this session. */
  private subscribed = false;
  private subscribedWaiter: (() => void) | null = null;
  /** A paused one takes messages and acknowledges none. */
  holding = false;

  constructor(journal: Journal, dice: Dice, destination: Destination, options: SubscriberOptions) {
    super(journal, options);
    this.options = options;
    this.dice = dice;
    this.destination = destination;
  }

  /** QoS 2 exchanges that are not finished. */
  get unfinished(): number {
    return this.received.size + this.acks.length;
  }

  async ready(ports: Ports): Promise<void> {
    await this.connect(ports);
    if (!this.connected || this.subscribed) return;
    await new Promise<void>((resolve) => {
      this.subscribedWaiter = resolve;
    });
  }

  /** Acknowledges what it has held back. */
  release(): void {
    this.holding = false;
    this.flushAcks();
  }

  protected onConnected(present: boolean): void {
    if (!present) {
      // A new session knows nothing of the old one's identifiers.
      this.received.clear();
      this.subscribed = false;
    }
    if (this.subscribed) return;
    this.send(
      subscribe(
        1,
        this.options.filters.map(({ filter, qos }) => subscription(filter, qos)),
      ),
    );
  }

  protected onGone(): void {
    this.acks.length = 0;
    if (!this.durable) this.subscribed = false;
    this.subscribedWaiter?.();
    this.subscribedWaiter = null;
  }

  protected onPacket(packet: Packet): void {
    switch (packet.type) {
      case PacketType.SUBACK:
        this.onSuback(packet);
        break;
      case PacketType.PUBLISH:
        this.onPublish(packet);
        break;
      case PacketType.PUBREL:
        // An identifier that is not known was finished before; its PUBCOMP got lost.
        this.received.delete(packet.packetId);
        this.acknowledge(pubcomp(packet.packetId));
        break;
      default:
        this.unexpected(packet);
    }
  }

  private onSuback({ reasonCodes }: Suback): void {
    const { filters } = this.options;
    for (let i = 0; i < filters.length; i++) {
      const { filter, qos } = filters[i]!;
      if (reasonCodes[i] !== qos)
        this.journal.violation(
          'subscription',
          `${this.clientId} was given ${reasonCodes[i]} for ${filter} at QoS ${qos}`,
        );
    }
    this.subscribed = true;
    this.sessionSafe = this.durable;
    this.destination.subscribed();
    this.subscribedWaiter?.();
    this.subscribedWaiter = null;
  }

  private onPublish(packet: Publish): void {
    const { journal, destination } = this;
    const found = journal.identify(this.clientId, packet.topic, packet.payload);
    if (packet.qos === 0) {
      journal.violation('protocol', `${this.clientId} got a message at QoS 0 on ${packet.topic}`);
      return;
    }
    if (packet.qos === 1) {
      if (found !== null) journal.delivered(destination, found.source, found.number);
      this.acknowledge(puback(packet.packetId));
      return;
    }
    const name = found === null ? 'what is not a message' : `${found.source.id}/${found.number}`;
    const before = this.received.get(packet.packetId);
    if (before === undefined) {
      this.received.set(packet.packetId, name);
      if (found !== null) journal.delivered(destination, found.source, found.number);
    } else if (before !== name) {
      // The client has to take it for a repetition of the first [MQTT-4.3.3-10], so it is lost to it.
      journal.violation(
        'protocol',
        `${this.clientId} got ${name} under identifier ${packet.packetId}, under which ${before} is unfinished`,
      );
    }
    this.acknowledge(pubrec(packet.packetId));
  }

  /** In the order of what is acknowledged [MQTT-4.6.0-2]. */
  private acknowledge(packet: Packet): void {
    const { ackDelayMs } = this.options;
    if (ackDelayMs === 0 && !this.holding) {
      this.send(packet);
      return;
    }
    this.acks.push(packet);
    if (this.holding) return;
    this.ackTimer ??= setTimeout(() => this.flushAcks(), this.dice.below(ackDelayMs + 1));
  }

  private flushAcks(): void {
    if (this.ackTimer !== null) clearTimeout(this.ackTimer);
    this.ackTimer = null;
    if (this.holding) return;
    for (const packet of this.acks.splice(0)) this.send(packet);
  }
}
