// A publishing client: keeps a window of messages unacknowledged, and after a reconnect sends again what was not acknowledged, under the same packet identifiers and in the same order, as
// [MQTT-4.4.0-1] wants it. Identifiers are taken lowest first, so that one that the broker failed to let go of is met at once. A forgetful one begins a new session every time and gives up what was
// unacknowledged.
import { type Packet, publish, pubrel } from '../../protocols/mqtt/packet.ts';
import { PacketType } from '../../protocols/mqtt/packet-type.ts';
import type { Dice } from '../sim/dice.ts';
import { makePayload } from '../sim/payload.ts';
import { Actor, type ActorOptions, type Sender } from './actor.ts';
import type { Journal, Qos, Source } from './journal.ts';

export interface PublisherOptions extends ActorOptions {
  readonly id: number;
  readonly qos: Qos;
  readonly topics: readonly string[];
  /** Messages unacknowledged at most. */
  readonly window: number;
  readonly sizeMin: number;
  readonly sizeMax: number;
  readonly retain?: boolean;
}

interface Underway {
  readonly number: number;
  readonly topic: string;
  readonly payload: Uint8Array;
  /** It has been sent on some connection. */
  sent: boolean;
  /** PUBREC has come: only PUBREL is to be sent. */
  taken: boolean;
}

/** A peer that takes nothing is not sent more. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024;
const FAILURE_MIN = 0x80;
const LARGE_BYTES = 10_000;
/** MQTT 5: the peer knows no exchange under this identifier; what is to be expected when PUBCOMP got lost. */
const PACKET_IDENTIFIER_NOT_FOUND = 0x92;

export class Publisher extends Actor implements Sender {
  readonly source: Source;
  /** Messages it may still begin; more are given by allow(). */
  budget = 0;
  private readonly options: PublisherOptions;
  private readonly dice: Dice;
  private readonly underway = new Map<number, Underway>();
  /** By when it was sent again after a refusal; a refused message is offered anew. */
  private readonly refusedNumbers: { number: number; topic: string; payload: Uint8Array }[] = [];
  /** Held back until then: the broker has refused, and a real client would not insist. */
  private retryAt = 0;
  private idleWaiter: (() => void) | null = null;

  constructor(journal: Journal, dice: Dice, options: PublisherOptions) {
    super(journal, options);
    this.options = options;
    this.dice = dice;
    this.source = journal.source(options.id, options.qos, options.topics);
  }

  get isLarge(): boolean {
    return this.options.sizeMin > LARGE_BYTES;
  }

  get unacknowledged(): number {
    return this.underway.size + this.refusedNumbers.length;
  }

  allow(count: number): void {
    this.budget += count;
    this.fill();
  }

  stop(): void {
    this.budget = 0;
  }

  async settled(msMax: number): Promise<boolean> {
    if (this.unacknowledged === 0) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.idleWaiter = resolve;
      timer = setTimeout(resolve, msMax);
    });
    clearTimeout(timer);
    this.idleWaiter = null;
    return this.unacknowledged === 0;
  }

  /** What the topic of a retained publisher is to hold is its owner's to know. */
  protected payloadOf(number: number, _topic: string): Uint8Array {
    const { sizeMin, sizeMax, id } = this.options;
    return makePayload(id, number, sizeMin + this.dice.below(sizeMax - sizeMin + 1));
  }

  protected onConnected(_present: boolean): void {
    if (!this.durable) {
      this.forget();
    } else {
      // PUBRELs after the PUBLISHes they followed is not asked for; each kind in its own order is [MQTT-4.6.0-1] [MQTT-4.6.0-4].
      for (const [packetId, { topic, payload, taken, sent }] of this.underway) {
        if (!taken) this.sendPublish(packetId, topic, payload, sent);
      }
      for (const [packetId, { taken }] of this.underway) if (taken) this.send(pubrel(packetId));
      for (const message of this.underway.values()) message.sent = true;
    }
    this.fill();
  }

  protected onGone(): void {
    if (!this.durable) this.forget();
  }

  protected onPacket(packet: Packet): void {
    switch (packet.type) {
      case PacketType.PUBACK: {
        const message = this.underway.get(packet.packetId);
        if (message === undefined || this.options.qos !== 1) {
          this.unexpected(packet);
          return;
        }
        if (packet.reasonCode >= FAILURE_MIN) this.onRefused(packet.packetId, message);
        else {
          this.acknowledged(message.number);
          this.finish(packet.packetId);
        }
        break;
      }
      case PacketType.PUBREC: {
        const message = this.underway.get(packet.packetId);
        if (message === undefined || this.options.qos !== 2) {
          this.unexpected(packet);
          return;
        }
        if (packet.reasonCode >= FAILURE_MIN) {
          this.onRefused(packet.packetId, message);
          break;
        }
        this.acknowledged(message.number);
        // In the order of PUBREC [MQTT-4.6.0-4].
        if (!message.taken) {
          message.taken = true;
          this.underway.delete(packet.packetId);
          this.underway.set(packet.packetId, message);
        }
        this.send(pubrel(packet.packetId));
        break;
      }
      case PacketType.PUBCOMP: {
        const message = this.underway.get(packet.packetId);
        if (message?.taken !== true) {
          this.unexpected(packet);
          return;
        }
        if (packet.reasonCode !== 0 && packet.reasonCode !== PACKET_IDENTIFIER_NOT_FOUND) this.unexpected(packet);
        this.finish(packet.packetId);
        break;
      }
      default:
        this.unexpected(packet);
    }
  }

  protected acknowledged(number: number): void {
    // Of QoS 1 a session remembers nothing.
    if (this.options.qos === 2) this.sessionSafe = true;
    this.journal.acknowledged(this.source, number);
  }

  private forget(): void {
    for (const { number } of this.underway.values()) this.journal.givenUp(this.source, number);
    for (const { number } of this.refusedNumbers.splice(0)) this.journal.givenUp(this.source, number);
    this.underway.clear();
    this.idleWaiter?.();
  }

  private onRefused(packetId: number, message: Underway): void {
    // The identifier is free again, the message is the client's to offer anew, in its place.
    this.journal.refused(this.source, message.number);
    this.underway.delete(packetId);
    const { number, topic, payload } = message;
    this.refusedNumbers.push({ number, topic, payload });
    this.refusedNumbers.sort((a, b) => a.number - b.number);
    this.retryAt = performance.now() + RETRY_MS;
    setTimeout(() => this.fill(), RETRY_MS + 1);
  }

  private finish(packetId: number): void {
    this.underway.delete(packetId);
    this.fill();
    if (this.unacknowledged === 0) this.idleWaiter?.();
  }

  private fill(): void {
    const { window, topics } = this.options;
    if (performance.now() < this.retryAt) return;
    while (this.connected && this.underway.size < window && this.unsentBytes < UNSENT_BYTES_MAX) {
      const again = this.refusedNumbers.shift();
      if (again !== undefined) {
        this.begin(again.number, again.topic, again.payload);
        continue;
      }
      if (this.budget === 0) return;
      this.budget--;
      const index = this.dice.below(topics.length);
      const number = this.journal.sent(this.source, index);
      this.begin(number, topics[index]!, this.payloadOf(number, topics[index]!));
    }
  }

  private begin(number: number, topic: string, payload: Uint8Array): void {
    let packetId = 1;
    while (this.underway.has(packetId)) packetId++;
    this.underway.set(packetId, { number, topic, payload, sent: true, taken: false });
    this.sendPublish(packetId, topic, payload, false);
  }

  private sendPublish(packetId: number, topic: string, payload: Uint8Array, dup: boolean): void {
    const { qos, retain = false } = this.options;
    this.send(publish(topic, { qos, packetId, payload, retain, dup }));
  }
}

const RETRY_MS = 50;
