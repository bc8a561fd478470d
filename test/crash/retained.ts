// Retained messages over restarts: a client that sets and clears them, and knows what each topic may hold; and a look from outside at what it does hold.
//
//   of a topic   …│ last confirmed │ operations sent and not confirmed │      what it holds is what one of these left behind, once all are confirmed the last one
import {
  type Packet,
  type Publish,
  puback,
  publish,
  pubrel,
  subscribe,
  subscription,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { Dice } from '../sim/dice.ts';
import { makePayload, readPayload } from '../sim/payload.ts';
import { Actor } from './actor.ts';
import type { Ports } from './broker.ts';
import type { Journal, Qos, Source } from './journal.ts';

interface Operation {
  readonly number: number;
  readonly topic: number;
  /** Empty: the topic is cleared. */
  readonly payload: Uint8Array;
  taken: boolean;
}

const WINDOW = 16;
/** A client that was refused does not insist at once. */
const REFUSED_WAIT_MS = 50;
const CLEARED = 0;
const NOTHING = new Uint8Array(0);

export class Retainer extends Actor {
  readonly source: Source;
  readonly prefix: string;
  budget = 0;
  private readonly dice: Dice;
  private readonly underway = new Map<number, Operation>();
  private readonly sentTwice = new Set<number>();
  /** By topic: numbers of messages it may hold, CLEARED among them; the first one is confirmed. */
  private readonly possible: number[][];

  constructor(journal: Journal, dice: Dice, id: number, qos: Qos, topics: number) {
    super(journal, { clientId: `retainer-${id}`, version: ProtocolVersion.V5, durable: true });
    this.dice = dice;
    this.prefix = `kept/${id}`;
    const names = Array.from({ length: topics }, (_, index) => `${this.prefix}/${index}`);
    this.source = journal.source(id, qos, names);
    this.possible = names.map(() => [CLEARED]);
  }

  get unacknowledged(): number {
    return this.underway.size;
  }

  allow(count: number): void {
    this.budget += count;
    this.fill();
  }

  stop(): void {
    this.budget = 0;
  }

  /** Compares what a new subscriber was given with what may be. `found`: number by topic name. */
  check(found: ReadonlyMap<string, number>): void {
    for (let topic = 0; topic < this.possible.length; topic++) {
      const name = this.source.topics[topic]!;
      const number = found.get(name) ?? CLEARED;
      this.journal.counts.stateChecks++;
      if (!this.possible[topic]!.some((may) => Math.max(may, CLEARED) === number)) {
        const allowed = this.possible[topic]!.map((may) => Math.max(may, CLEARED));
        this.journal.violation(
          'retained',
          `${name} holds ${number}, it should be ${allowed.join(' or ')} (0: nothing)`,
        );
      }
    }
  }

  /** Topics that hold something for certain. */
  *held(): Iterable<string> {
    for (let topic = 0; topic < this.possible.length; topic++) {
      const [first, second] = this.possible[topic]!;
      if (first! > 0 && second === undefined) yield this.source.topics[topic]!;
    }
  }

  protected onConnected(): void {
    for (const [packetId, { number, topic, payload, taken }] of this.underway) {
      this.sentTwice.add(number);
      if (taken) this.send(pubrel(packetId));
      else this.sendOperation(packetId, topic, payload, true);
    }
    this.fill();
  }

  protected onGone(): void {
    // What is under way stays so: it is sent again.
  }

  protected onPacket(packet: Packet): void {
    const operation = 'packetId' in packet ? this.underway.get(packet.packetId) : undefined;
    if (operation === undefined) {
      this.unexpected(packet);
      return;
    }
    const { packetId } = packet as Packet & { packetId: number };
    if (packet.type !== PacketType.PUBCOMP && 'reasonCode' in packet && packet.reasonCode >= 0x80) {
      this.refused(packetId, operation);
      return;
    }
    if (packet.type === PacketType.PUBREC) {
      this.confirm(operation);
      operation.taken = true;
      this.send(pubrel(packetId));
      return;
    }
    if (packet.type === PacketType.PUBACK) this.confirm(operation);
    this.underway.delete(packetId);
    this.fill();
  }

  /** It must not have happened; it is not tried again. */
  private refused(packetId: number, { number, topic, payload }: Operation): void {
    this.journal.refused(this.source, number);
    this.journal.givenUp(this.source, number);
    this.underway.delete(packetId);
    const possible = this.possible[topic]!;
    // Refused on being sent again, it may have been stored the first time, without an answer.
    if (!this.sentTwice.has(number)) possible.splice(possible.indexOf(payload.length === 0 ? -number : number), 1);
    this.sentTwice.delete(number);
    setTimeout(() => this.fill(), REFUSED_WAIT_MS);
  }

  private confirm({ number, topic, payload }: Operation): void {
    if (this.source.qos === 2) this.sessionSafe = true;
    this.sentTwice.delete(number);
    if (this.journal.isAcknowledged(this.source, number)) return;
    this.journal.acknowledged(this.source, number);
    // What stood there before it is over for good.
    const possible = this.possible[topic]!;
    const at = possible.indexOf(payload.length === 0 ? -number : number);
    if (at > 0) possible.splice(0, at);
    if (possible[0]! < 0) possible[0] = CLEARED;
  }

  private fill(): void {
    while (this.connected && this.underway.size < WINDOW && this.budget > 0) {
      this.budget--;
      const topic = this.dice.below(this.source.topics.length);
      const number = this.journal.sent(this.source, topic);
      const payload = this.dice.chance(0.3) ? NOTHING : makePayload(this.source.id, number, 20 + this.dice.below(200));
      let packetId = 1;
      while (this.underway.has(packetId)) packetId++;
      this.underway.set(packetId, { number, topic, payload, taken: false });
      // A clear stands as its negative number until it is confirmed, so that two of them are told apart.
      this.possible[topic]!.push(payload.length === 0 ? -number : number);
      this.sendOperation(packetId, topic, payload, false);
    }
  }

  private sendOperation(packetId: number, topic: number, payload: Uint8Array, dup: boolean): void {
    this.send(publish(this.source.topics[topic]!, { qos: this.source.qos, packetId, payload, retain: true, dup }));
  }
}

/** A new subscriber to everything retained under `prefix`. It publishes a message to itself behind that, and then waits for silence. */
export class RetainedProbe extends Actor {
  readonly found = new Map<string, number>();
  private readonly prefix: string;
  private readonly end: string;
  private readonly certain: Set<string>;
  private ended = false;
  private done: () => void = () => undefined;
  private quiet: NodeJS.Timeout | null = null;

  /** `certain`: topics that it does not go without for a while. */
  constructor(journal: Journal, prefix: string, round: number, certain: Iterable<string>) {
    super(journal, { clientId: `probe-${round}`, version: ProtocolVersion.V5, durable: false });
    this.prefix = prefix;
    this.end = `probe/${round}`;
    this.certain = new Set(certain);
  }

  /** Resolves with whether it saw everything; not when the broker went meanwhile. */
  async look(ports: Ports): Promise<boolean> {
    const finished = new Promise<void>((resolve) => {
      this.done = resolve;
    });
    await this.connect(ports);
    if (!this.connected) return false;
    const late = setTimeout(() => {
      this.journal.violation('liveness', `a new subscriber was not served within ${LOOK_MS_MAX} ms`);
      this.done();
    }, LOOK_MS_MAX);
    await finished;
    clearTimeout(late);
    if (this.quiet !== null) clearTimeout(this.quiet);
    const whole = this.connected && this.ended;
    this.hangUp();
    return whole;
  }

  protected onConnected(): void {
    this.send(subscribe(1, [subscription(`${this.prefix}/#`, 1), subscription(this.end, 1)]));
  }

  protected onGone(): void {
    this.done();
  }

  protected onPacket(packet: Packet): void {
    if (packet.type === PacketType.SUBACK) {
      this.send(publish(this.end, { qos: 1, packetId: 1, payload: NOTHING }));
      return;
    }
    if (packet.type !== PacketType.PUBLISH) {
      if (packet.type !== PacketType.PUBACK) this.unexpected(packet);
      return;
    }
    if (packet.qos > 0) this.send(puback(packet.packetId));
    if (packet.topic === this.end) this.ended = true;
    else this.onRetained(packet);
    if (!this.ended) return;
    if (this.quiet !== null) clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.done(), this.certain.size === 0 ? QUIET_MS : MISSING_MS);
  }

  private onRetained({ topic, payload, retain }: Publish): void {
    this.certain.delete(topic);
    const read = readPayload(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength));
    if (read === null || !retain)
      this.journal.violation('corrupted', `${topic} holds what nobody sent, or is not marked as retained`);
    else this.found.set(topic, read.number);
  }
}

const LOOK_MS_MAX = 10_000;
/** Nothing is missing: something too much would have come by now. */
const QUIET_MS = 30;
/** Something is missing, and may only be late. */
const MISSING_MS = 1500;
