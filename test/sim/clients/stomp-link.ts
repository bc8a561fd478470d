// One connection of a scripted STOMP client: what it sends, what it does with what arrives, and what the oracle is told about both.
import { encodeFrame } from '../../../protocols/stomp/encoder.ts';
import { type CommandName, Frame, Version, versionText } from '../../../protocols/stomp/frame.ts';
import { Conn } from '../model/conn.ts';
import type { Outcome } from '../model/deliveries.ts';
import type { Oracle } from '../model/oracle.ts';
import type { Reader } from '../model/readers.ts';
import type { Sent } from '../model/sent.ts';
import { type Part, Wire, type WireOwner } from '../network.ts';
import type { StompActor } from './stomp.ts';
import { type StompFrame, StompFrames } from './stomp-frames.ts';
import { destinationOf, type StompSubscriptionPlan } from './stomp-plan.ts';

/** Heart-beats the simulated broker asks for, at least. */
export const HEART_BEAT_MS = 1000;
/** The broker waits twice as long as was agreed. */
const HEART_BEAT_TOLERANCE = 2;

/** A receipt that was asked for: what the oracle and what the client does with it. */
interface Receipt {
  readonly id: string;
  readonly onEmitted: () => void;
  readonly onArrived: () => void;
}

/** A MESSAGE, by the id that acknowledges it. */
interface Received {
  readonly reader: Reader;
  readonly key: number;
}

export class StompLink implements WireOwner<StompFrame> {
  readonly actor: StompActor;
  readonly conn: Conn;
  readonly wire: Wire<StompFrame>;
  connected = false;
  acksPending = 0;
  receiptsPending = 0;
  private readonly oracle: Oracle;
  private readonly plan;
  /** Subscriptions the client has asked for and not given up, and their ids, which are never used again. */
  private readonly subscribed = new Map<StompSubscriptionPlan, string>();
  /** The oracle's view of those the broker was given. */
  private readonly readers = new Map<string, Reader>();
  /** In the order in which the broker was given them, which it numbers from 1. */
  private readonly readersByPlace: Reader[] = [];
  private readonly due: Receipt[] = [];
  private readonly arriving = new Map<string, Receipt>();
  private readonly received = new Map<string, Received>();
  private subscriptions = 0;
  private transactions = 0;
  private receipts = 0;
  private lastAckMs = 0;
  private endExpected = false;
  private spoiled = false;
  private leaving = false;
  private brokerSaid = '';
  private silenceMs = 0;

  constructor(actor: StompActor, number: number) {
    this.actor = actor;
    this.plan = actor.plan;
    const { network, oracle } = actor.around;
    this.oracle = oracle;
    this.conn = new Conn(actor.identity.index, `${actor.name}/${number}`);
    this.wire = new Wire(network, this, new StompFrames(actor.plan.version));
    actor.around.accept('stomp', this.wire);
    const { version, heartBeatMs } = this.plan;
    const headers = ['accept-version', versionText(version), 'host', '/', 'client-id', actor.name];
    if (heartBeatMs > 0) headers.push('heart-beat', `${heartBeatMs},${heartBeatMs}`);
    this.put(new Frame('CONNECT', headers), () => undefined);
  }

  // ---- sending

  private put(frame: Frame, onFed: () => void): void {
    this.wire.write([this.part(frame, onFed)]);
  }

  private part(frame: Frame, onFed: () => void): Part {
    return { bytes: encodeFrame(frame, this.plan.version), onFed: () => this.fed(frame, onFed) };
  }

  private fed(frame: Frame, onFed: () => void): void {
    const { oracle, conn } = this;
    if (oracle.trace !== null)
      oracle.note(`${conn.name} ─▶ ${this.describe(frame)}${conn.open ? '' : ' (after the end)'}`);
    if (conn.open && !this.spoiled) onFed();
  }

  private describe(frame: Frame): string {
    const headers: string[] = [];
    for (let i = 0; i < frame.headers.length; i += 2) {
      if (frame.headers[i] !== 'content-length') headers.push(`${frame.headers[i]}:${frame.headers[i + 1]}`);
    }
    const body = frame.body.length === 0 ? '' : ` ${this.oracle.ledger.find(Buffer.from(frame.body)) ?? 'unknown'}`;
    return `${frame.command} ${headers.join(' ')}${body}`;
  }

  /** A frame that asks for a receipt. */
  private request(frame: Frame, onFed: () => void, onEmitted: () => void, onArrived: () => void): Part {
    const id = this.actor.around.dice.chance(0.5) ? String(++this.receipts) : `receipt ${++this.receipts}`;
    const receipt: Receipt = { id, onEmitted, onArrived };
    this.receiptsPending++;
    this.arriving.set(id, receipt);
    return this.part(frame.add('receipt', id), () => {
      this.due.push(receipt);
      onFed();
    });
  }

  send(messages: readonly Sent[], inTransaction: boolean): void {
    const { actor, oracle, conn, plan } = this;
    const { dice } = actor.around;
    const parts: Part[] = [];
    const transaction = inTransaction ? `tx${++this.transactions}` : null;
    if (transaction !== null) parts.push(this.part(new Frame('BEGIN', ['transaction', transaction]), () => undefined));
    for (const sent of messages) {
      const frame = sendFrame(sent);
      if (transaction !== null) parts.push(this.part(frame.add('transaction', transaction), () => undefined));
      else if (dice.below(100) < plan.receiptShare) {
        parts.push(
          this.request(
            frame,
            () => oracle.publishFed(conn, sent),
            () => oracle.acked(conn, sent, null),
            nothing,
          ),
        );
      } else parts.push(this.part(frame, () => oracle.publishFed(conn, sent)));
    }
    if (transaction !== null) parts.push(...this.endTransaction(transaction, messages));
    this.wire.write(parts);
    if (actor.dropsAt()) actor.drop(this, transaction === null ? 'SEND sent' : 'COMMIT sent');
  }

  /** COMMIT, ABORT, or nothing, which leaves it open for as long as the connection lives. */
  private endTransaction(transaction: string, messages: readonly Sent[]): Part[] {
    const { actor, oracle, conn } = this;
    const { dice, counts } = actor.around;
    const fate = dice.below(10);
    if (fate === 0) return [];
    if (fate <= 2) {
      counts.aborts++;
      return [this.part(new Frame('ABORT', ['transaction', transaction]), () => undefined)];
    }
    counts.commits++;
    const onFed = (): void => {
      for (const sent of messages) oracle.publishFed(conn, sent);
    };
    const onEmitted = (): void => {
      for (const sent of messages) oracle.acked(conn, sent, null);
    };
    return [this.request(new Frame('COMMIT', ['transaction', transaction]), onFed, onEmitted, nothing)];
  }

  subscribeAll(): void {
    for (const plan of this.plan.subscriptions) if (!this.subscribed.has(plan)) this.subscribe(plan);
  }

  changeSubscriptions(): void {
    const { dice } = this.actor.around;
    const { subscriptions } = this.plan;
    if (subscriptions.length === 0) return;
    const plan = dice.pick(subscriptions);
    if (this.subscribed.has(plan)) this.unsubscribe(plan, plan.kind === 'durable' && dice.chance(0.5));
    else this.subscribe(plan);
  }

  private subscribe(plan: StompSubscriptionPlan): void {
    const { conn, oracle, actor } = this;
    const { kind, filter, group, ack, prefetch, replays } = plan;
    // A durable one is found again by its id.
    const id = kind === 'durable' ? plan.id : `${plan.id}.${++this.subscriptions}`;
    this.subscribed.set(plan, id);
    const headers = ['id', id, 'destination', destinationOf(filter), 'ack', ack, 'prefetch-count', String(prefetch)];
    if (kind === 'share') headers.push('x-share-group', group);
    if (kind === 'durable') headers.push('durable', 'true');
    if (!replays) headers.push('x-retain-handling', '2');
    if (kind === 'durable') actor.durableAsked = true;
    let reader: Reader | null = null;
    const reads = kind === 'durable' ? 'kept' : kind !== 'topic' ? 'shared' : ack === 'auto' ? 'direct' : 'own';
    const queueName =
      kind === 'durable' ? `durable ${actor.name}` : kind === 'share' ? `$share/${group}/${filter}` : filter;
    this.wire.write([
      this.request(
        new Frame('SUBSCRIBE', headers),
        () => {
          reader = oracle.readers.subscribeFed(conn, {
            id,
            topicFilter: filter,
            reads,
            queueName,
            acks: ack,
            prefetch,
            replays,
          });
          this.readers.set(id, reader);
          this.readersByPlace.push(reader);
        },
        () => {
          if (reader !== null) oracle.readers.subscribed(reader);
        },
        nothing,
      ),
    ]);
  }

  private unsubscribe(plan: StompSubscriptionPlan, forGood: boolean): void {
    const { oracle } = this;
    const id = this.subscribed.get(plan)!;
    this.subscribed.delete(plan);
    const headers = ['id', id];
    if (forGood) headers.push('durable', 'true');
    let reader: Reader | undefined;
    this.wire.write([
      this.request(
        new Frame('UNSUBSCRIBE', headers),
        () => {
          reader = this.readers.get(id);
          if (reader !== undefined) oracle.readers.unsubscribeFed(reader, forGood);
        },
        () => {
          if (reader !== undefined) oracle.readers.unsubscribed(reader);
        },
        nothing,
      ),
    ]);
  }

  disconnect(): void {
    this.actor.around.counts.disconnects++;
    this.put(new Frame('DISCONNECT'), () => this.disconnectFed());
    this.actor.lose(this, 'close');
  }

  /** Goodbye for good, with the end of what would be kept. */
  leave(durable: boolean): void {
    if (this.leaving) return;
    this.leaving = true;
    const plan = this.plan.subscriptions.find(({ kind }) => kind === 'durable');
    if (durable && plan !== undefined) {
      if (!this.subscribed.has(plan)) this.subscribe(plan);
      this.unsubscribe(plan, true);
    }
    this.wire.write([
      this.request(
        new Frame('DISCONNECT'),
        () => this.disconnectFed(),
        nothing,
        () => this.actor.done(),
      ),
    ]);
  }

  private disconnectFed(): void {
    this.endExpected = true;
    this.actor.around.oracle.readers.disconnectFed(this.conn);
  }

  garbage(): void {
    const { dice, counts } = this.actor.around;
    counts.garbage++;
    this.endExpected = true;
    this.wire.write([
      {
        bytes: dice.pick(GARBAGE),
        onFed: () => {
          this.spoiled = true;
        },
      },
    ]);
  }

  vanish(): void {
    const { actor, wire, conn, oracle } = this;
    actor.around.counts.halfOpen++;
    wire.vanish();
    if (this.silenceMs === 0 || !this.connected) return;
    this.endExpected = true;
    actor.around.network.schedule.after(this.silenceMs + 1000, () => {
      if (conn.open)
        oracle.fail(
          'keep-alive',
          `${conn.name} said nothing for more than ${this.silenceMs} ms and is still connected`,
        );
    });
  }

  private beat(intervalMs: number): void {
    this.actor.around.network.schedule.after(intervalMs * 0.7, () => {
      if (!this.conn.open || this.actor.link !== this) return;
      this.wire.write([{ bytes: LINE_END, onFed: nothing }]);
      this.beat(intervalMs);
    });
  }

  // ---- WireOwner

  onBrokerClosed(byBroker: boolean): void {
    const { actor, conn, oracle } = this;
    oracle.readers.closed(conn, byBroker);
    if (!byBroker || this.endExpected || actor.link !== this) return;
    oracle.fail(
      this.wire.heldBack ? 'closed-while-paused' : 'closed-without-cause',
      `the broker has ended ${conn.name} (${this.brokerSaid || 'without a word'})`,
    );
  }

  onBrokerDied(): void {
    this.conn.open = false;
  }

  onHungUp(): void {
    this.actor.onHungUp(this);
  }

  onEmitted({ frame, bytes }: StompFrame): void {
    const { oracle, conn } = this;
    if (oracle.trace !== null) oracle.note(`${conn.name} ◀─ ${this.describe(frame)}`);
    switch (frame.command) {
      case 'CONNECTED':
        if (frame.header('version') !== versionText(this.plan.version))
          oracle.fail('answer', `${conn.name}: the version is ${frame.header('version')}`);
        return;
      case 'MESSAGE':
        this.messageEmitted(frame, bytes);
        return;
      case 'RECEIPT': {
        const due = this.due.shift();
        const id = frame.header('receipt-id');
        if (due?.id !== id)
          oracle.fail('answer', `${conn.name}: RECEIPT ${id} came where ${due?.id ?? 'none'} was due`);
        else due.onEmitted();
        return;
      }
      case 'ERROR':
        this.brokerSaid = `${frame.header('message')}: ${frame.text()}`;
        return;
      default:
        oracle.fail('answer', `${conn.name}: the broker wrote ${frame.command}`);
    }
  }

  /** An id may be used again; what is to be acknowledged says in its message-id which subscription it is of: name-place-number. */
  private readerOf(frame: Frame): Reader | undefined {
    const id = frame.header('subscription');
    const place = /-(\d+)-\d+$/.exec(frame.header('message-id') ?? '');
    const placed = place === null ? undefined : this.readersByPlace[Number(place[1]) - 1];
    if (placed?.fields.id === id) return placed;
    return id === null ? undefined : this.readers.get(id);
  }

  private messageEmitted(frame: Frame, bytes: number): void {
    const { oracle, conn } = this;
    const id = frame.header('subscription');
    const reader = this.readerOf(frame);
    if (reader === undefined) {
      oracle.fail('invented', `${conn.name}: a MESSAGE for the subscription ${id}, which does not exist`);
      return;
    }
    const payload = Buffer.from(frame.body);
    const sent = payload.length === 0 ? null : oracle.ledger.find(payload);
    const destination = frame.header('destination') ?? '';
    const expected = sent === null || sent === 'damaged' ? '' : destinationOf(sent.topic);
    const topic = sent !== null && sent !== 'damaged' && destination === expected ? sent.topic : destination;
    const { acks } = reader.fields;
    const delivery = {
      topic,
      payload,
      qos: acks === 'auto' ? 0 : 1,
      retain: frame.header('retained') === 'true',
      dup: false,
      id: 0,
      identifiers: null,
      frameBytes: bytes,
    };
    const key = oracle.readers.emitted(reader, delivery, frame.header('redelivered') === 'true');
    if (sent !== null && sent !== 'damaged') this.checkProperties(sent, frame);
    const ackId = this.ackIdOf(frame);
    if (acks === 'auto') return;
    if (ackId === null) oracle.fail('answer', `${conn.name}: a MESSAGE that cannot be acknowledged`);
    else this.received.set(ackId, { reader, key });
  }

  private checkProperties(sent: Sent, frame: Frame): void {
    const type = frame.header('content-type');
    const number = frame.header('n');
    const pairs = sent.properties?.userProperties ?? [];
    if (type !== (sent.properties?.contentType ?? null) || number !== (pairs[1] ?? null)) {
      this.oracle.fail('properties', `${this.conn.name}: ${sent} came with content-type ${type} and n ${number}`);
    }
  }

  private ackIdOf(frame: Frame): string | null {
    return frame.header(this.plan.version === Version.V1_2 ? 'ack' : 'message-id');
  }

  onArrived({ frame }: StompFrame): void {
    const { actor } = this;
    if (actor.link !== this) return;
    switch (frame.command) {
      case 'CONNECTED': {
        this.connected = true;
        const [, wants] = (frame.header('heart-beat') ?? '0,0').split(',').map(Number);
        if (this.plan.heartBeatMs > 0 && wants! > 0) {
          const agreedMs = Math.max(this.plan.heartBeatMs, wants!);
          this.silenceMs = agreedMs * HEART_BEAT_TOLERANCE;
          this.beat(agreedMs);
        }
        actor.onConnected(this);
        return;
      }
      case 'MESSAGE':
        this.onMessage(frame);
        return;
      case 'RECEIPT': {
        const receipt = this.arriving.get(frame.header('receipt-id') ?? '');
        if (receipt === undefined) return;
        this.arriving.delete(receipt.id);
        this.receiptsPending--;
        receipt.onArrived();
        if (actor.dropsAt()) actor.drop(this, 'RECEIPT received');
        return;
      }
      default:
        return;
    }
  }

  private onMessage(frame: Frame): void {
    const { actor, oracle } = this;
    const { dice } = actor.around;
    const subscription = frame.header('subscription')!;
    const reader = this.readerOf(frame);
    if (reader === undefined) return;
    const found = frame.body.length === 0 ? null : oracle.ledger.find(Buffer.from(frame.body));
    const sent = found === 'damaged' ? null : found;
    const { acks } = reader.fields;
    if (acks === 'auto') {
      if (sent !== null) oracle.readers.received(reader, sent);
      return;
    }
    if (actor.dropsAt()) {
      actor.drop(this, 'MESSAGE received');
      return;
    }
    const id = this.ackIdOf(frame);
    const got = id === null ? undefined : this.received.get(id);
    if (id === null || got === undefined) return;
    const at = dice.below(100);
    const { rejectShare, requeueShare } = this.plan;
    const refuses = at < rejectShare + requeueShare && !actor.healing;
    const outcome: Outcome = !refuses ? 'accepted' : at < rejectShare ? 'rejected' : 'requeued';
    if (!refuses && sent !== null) oracle.readers.received(reader, sent);
    this.later(() => this.settle(id, got, subscription, outcome));
  }

  /** In the order of arrival, after a while. */
  private later(settle: () => void): void {
    const { around, healing } = this.actor;
    const { schedule } = around.network;
    const delayMs = this.plan.ackDelayMs === 0 || healing ? 0 : around.dice.below(this.plan.ackDelayMs);
    this.lastAckMs = Math.max(this.lastAckMs, schedule.nowMs + delayMs);
    this.acksPending++;
    schedule.at(this.lastAckMs, () => {
      this.acksPending--;
      if (this.actor.link === this) settle();
    });
  }

  private settle(id: string, { reader, key }: Received, subscription: string, outcome: Outcome): void {
    const { actor, plan, oracle } = this;
    const { dice } = actor.around;
    // A cumulative acknowledgement has settled it already, or its subscription has ended.
    if (!this.received.has(id)) return;
    if (reader.fields.acks === 'client') {
      for (const [other, got] of this.received)
        if (got.reader === reader && got.key <= key) this.received.delete(other);
    } else this.received.delete(id);
    const command: CommandName = outcome === 'accepted' ? 'ACK' : 'NACK';
    const headers = plan.version === Version.V1_2 ? ['id', id] : ['message-id', id, 'subscription', subscription];
    if (outcome === 'rejected') headers.push('requeue', 'false');
    const settled = (): void => oracle.readers.settled(reader, key, outcome);
    if (dice.below(100) < plan.transactionShare && !actor.healing)
      this.settleInTransaction(new Frame(command, headers), settled);
    else this.put(new Frame(command, headers), settled);
    if (actor.dropsAt()) actor.drop(this, `${command} sent`);
  }

  private settleInTransaction(frame: Frame, settled: () => void): void {
    const transaction = `tx${++this.transactions}`;
    this.actor.around.counts.commits++;
    this.wire.write([
      this.part(new Frame('BEGIN', ['transaction', transaction]), nothing),
      this.part(frame.add('transaction', transaction), nothing),
      this.request(new Frame('COMMIT', ['transaction', transaction]), settled, nothing, nothing),
    ]);
  }
}

function nothing(): void {
  // What is sent without a receipt leaves nothing to be done.
}

function sendFrame(sent: Sent): Frame {
  const headers = ['destination', destinationOf(sent.topic)];
  if (sent.qos > 0) headers.push('persistent', 'true');
  if (sent.retain) headers.push('retain', 'true');
  if (sent.properties !== null) {
    if (sent.properties.contentType !== null) headers.push('content-type', sent.properties.contentType);
    headers.push(...(sent.properties.userProperties ?? []));
  }
  headers.push('content-length', String(sent.payload.length));
  return new Frame('SEND', headers, sent.payload);
}

const LINE_END = new Uint8Array([0x0a]);

/** Each of them ends the connection: CONNECT once more, an unknown command, a header without a colon, an ACK of nothing, a command of the server. */
const GARBAGE: readonly Buffer[] = [
  Buffer.from('CONNECT\naccept-version:1.2\nhost:/\n\n\0'),
  Buffer.from('SHOUT\n\n\0'),
  Buffer.from('SEND\nno colon\n\n\0'),
  Buffer.from('ACK\nid:99-99\nmessage-id:99\nsubscription:0\n\n\0'),
  Buffer.from('MESSAGE\n\n\0'),
];
