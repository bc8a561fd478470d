// The model's STOMP side. Each frame is read by the slow parser of the codec's tests (test/protocols/stomp/reference.ts), and answered frame by frame (stomp-wire.ts).
import type { Frame, Version } from '../../protocols/stomp/frame.ts';
import { reference } from '../protocols/stomp/reference.ts';
import { type Gateway, ModelConnection, type Owed, type Receiver, type Subscription } from './gateway.ts';
import { destinationToTopic, type Message, mqttToHeaders, topicToDestination } from './message.ts';
import type { Entry, ModelQueue, Taker } from './queue.ts';
import { frameBytes, type Level } from './stomp-wire.ts';

const PREFETCH = 100;
const VERSION_TEXT = { 10: '1.0', 11: '1.1', 12: '1.2' } as const;
const HEART_BEAT = '10000,10000';

/** Headers of a SEND that speak to the broker. */
const TO_THE_BROKER = new Set(
  'content-length receipt transaction subscription message-id ack redelivered retained retain expiration x-nack x-confirm x-delivery-count destination'.split(
    ' ',
  ),
);

interface Sub {
  readonly id: string | null;
  readonly place: number;
  readonly ack: string;
  readonly prefetch: number;
  readonly slashes: boolean;
  /** Null for one that is direct. */
  readonly queue: ModelQueue | null;
  readonly isNamed: boolean;
  readonly subscription: Subscription | null;
  readonly taker: Taker | null;
  /** By number. */
  readonly unsettled: Map<number, Entry>;
  next: number;
  ended: boolean;
}

type Step =
  | { readonly send: Message }
  | { readonly sub: Sub; readonly number: number; readonly command: string; readonly requeue: boolean };

export interface StompWorld {
  readonly gateway: Gateway;
  /** The server's name in CONNECTED. */
  readonly server: string;
}

export class StompModel extends ModelConnection {
  readonly level: Level;
  readonly owed: Owed[] = [];
  /** The session header of CONNECTED, which is the broker's to choose. Told by whoever compares. */
  sessionName = '';
  private readonly world: StompWorld;
  private readonly subs = new Map<string, Sub>();
  private nextPlace = 1;
  private readonly transactions = new Map<string, Step[]>();

  constructor(world: StompWorld, level: Level) {
    super();
    this.world = world;
    this.level = level;
  }

  onPacket(bytes: Buffer): void {
    const { frames } = reference(bytes, this.level as Version);
    for (const frame of frames) this.onFrame(frame);
  }

  onLost(): void {
    this.leave();
  }

  private count(what: string): void {
    this.world.gateway.count(what);
  }

  private onFrame(frame: Frame): void {
    switch (frame.command) {
      case 'CONNECT':
      case 'STOMP':
        this.onConnect();
        return;
      case 'SEND':
        this.onSend(frame);
        break;
      case 'SUBSCRIBE':
        this.onSubscribe(frame);
        break;
      case 'UNSUBSCRIBE': {
        const sub = this.subs.get(keyOf(frame))!;
        this.end([sub]);
        break;
      }
      case 'ACK':
      case 'NACK':
        this.onAck(frame);
        break;
      case 'BEGIN':
        this.transactions.set(frame.header('transaction')!, []);
        break;
      case 'COMMIT':
        this.onCommit(frame.header('transaction')!);
        break;
      case 'ABORT':
        this.count('transaction aborted');
        this.transactions.delete(frame.header('transaction')!);
        break;
      case 'DISCONNECT':
        this.end([...this.subs.values()]);
        break;
      default:
        throw new Error(`the model does not know ${frame.command}`);
    }
    const receipt = frame.header('receipt');
    if (receipt !== null) {
      this.count('RECEIPT');
      this.send('answers', frameBytes(this.level, 'RECEIPT', ['receipt-id', receipt]));
    }
    if (frame.command === 'DISCONNECT') this.leave();
  }

  private onConnect(): void {
    this.count(`STOMP ${VERSION_TEXT[this.level]}`);
    const headers = ['version', VERSION_TEXT[this.level], 'session', this.sessionName, 'server', this.world.server];
    if (this.level > 10) headers.push('heart-beat', HEART_BEAT);
    this.send('answers', frameBytes(this.level, 'CONNECTED', headers));
  }

  private leave(): void {
    if (this.closed) return;
    this.closed = true;
    this.end([...this.subs.values()]);
    this.transactions.clear();
  }

  /** Whether an answer to this delivery is one to all before it. */
  isCumulative(messageId: string): boolean {
    const place = Number(messageId.split('-').at(-2));
    return [...this.subs.values()].some((sub) => sub.place === place && sub.ack === 'client');
  }

  // ---- SEND

  private onSend(frame: Frame): void {
    const { gateway } = this.world;
    const { topic, isQueue } = destinationToTopic(frame.header('destination')!);
    const expiration = frame.header('expiration');
    const message: Message = {
      topic,
      isQueue,
      payload: Buffer.from(frame.body),
      qos: frame.header('persistent') === 'true' ? 1 : 0,
      retain: frame.header('retain') === 'true',
      receivedAtMs: gateway.nowMs,
      expiresAtMs: expiration === null ? 0 : gateway.nowMs + Math.max(1, Number(expiration)),
      origin: { protocol: 'stomp', headers: travelling(frame.headers) },
    };
    const transaction = frame.header('transaction');
    if (transaction !== null) this.transactions.get(transaction)!.push({ send: message });
    else this.publish(message);
  }

  private publish(message: Message): void {
    this.count('published by STOMP');
    if (!this.world.gateway.publish(message, this)) this.count('published to nobody');
  }

  private onCommit(id: string): void {
    const steps = this.transactions.get(id)!;
    this.transactions.delete(id);
    this.count('transaction committed');
    for (const step of steps) if ('send' in step) this.publish(step.send);
    for (const step of steps)
      if ('sub' in step && step.sub.unsettled.has(step.number))
        this.settle(step.sub, step.number, step.command, step.requeue);
  }

  // ---- subscriptions

  private onSubscribe(frame: Frame): void {
    const { gateway } = this.world;
    const { topic, isQueue, slashes } = destinationToTopic(frame.header('destination')!);
    const ack = frame.header('ack') ?? 'auto';
    const prefetch = Number(frame.header('prefetch-count') ?? PREFETCH);
    const direct = !isQueue && ack === 'auto';
    const queue = isQueue ? gateway.queue(topic) : direct ? null : gateway.makeQueue();
    const pattern = topic.split('/');
    const receiver: Receiver = {
      receive: (message) => {
        if (queue === null) this.deliver(sub, message, null, []);
        else queue.push(message, { qos: 2, retainAsPublished: false, identifiers: null });
        return true;
      },
    };
    const subscription: Subscription | null = isQueue
      ? null
      : { receiver, pattern, qos: 2, noLocal: false, retainAsPublished: false, identifier: 0 };
    const taker: Taker = {
      get credit() {
        if (sub.ended) return 0;
        return sub.ack === 'auto' || prefetch === 0 ? Number.POSITIVE_INFINITY : prefetch - sub.unsettled.size;
      },
      take: (_queue, entry) => this.deliver(sub, entry.message, entry, extrasOf(entry)),
    };
    const sub: Sub = {
      id: frame.header('id'),
      place: this.nextPlace++,
      ack,
      prefetch,
      slashes,
      queue,
      isNamed: isQueue,
      subscription,
      taker: queue === null ? null : taker,
      unsettled: new Map(),
      next: 1,
      ended: false,
    };
    this.subs.set(keyOf(frame), sub);
    this.count(
      direct
        ? 'STOMP subscription past all queues'
        : isQueue
          ? 'STOMP subscription to a queue'
          : 'STOMP subscription with a queue of its own',
    );
    if (subscription !== null) gateway.subscriptions.push(subscription);
    queue?.attach(taker);
    if (!isQueue && gateway.retained.size > 0) gateway.later.push(() => this.replay(sub, pattern));
  }

  private replay(sub: Sub, pattern: readonly string[]): void {
    if (sub.ended) return;
    const { gateway } = this.world;
    for (const message of gateway.retainedFor(pattern)) {
      this.count('retained to STOMP');
      if (sub.queue === null) this.deliver(sub, message, null, ['retained', 'true']);
      else sub.queue.push(message, { qos: 2, retainAsPublished: true, identifiers: null });
    }
  }

  /** Their subscriptions leave together: what they had goes to others. */
  private end(subs: readonly Sub[]): void {
    const { subscriptions } = this.world.gateway;
    const queues = new Set<ModelQueue>();
    for (const sub of subs) {
      sub.ended = true;
      for (const [key, one] of this.subs) if (one === sub) this.subs.delete(key);
      if (sub.subscription !== null) subscriptions.splice(subscriptions.indexOf(sub.subscription), 1);
      if (sub.queue === null) continue;
      if (sub.unsettled.size > 0 && sub.isNamed) this.count('given back by a STOMP client that left');
      sub.queue.detach(sub.taker!);
      sub.unsettled.clear();
      queues.add(sub.queue);
    }
    for (const queue of queues) queue.pump();
  }

  // ---- deliveries

  /** Returns true when the delivery is settled by having been sent. */
  private deliver(sub: Sub, message: Message, entry: Entry | null, more: readonly string[]): boolean {
    const { level } = this;
    const { nowMs } = this.world.gateway;
    const number = sub.next++;
    const acknowledges = entry !== null && sub.ack !== 'auto';
    const own = sub.id === null ? [] : ['subscription', sub.id];
    // Ids of deliveries that are not settled mean nothing to anybody: see compare.ts.
    const messageId = entry === null ? DIRECT_ID : `${this.sessionName}-${sub.place}-${number}`;
    const headers = [...own, 'message-id', messageId];
    if (acknowledges && level === 12) headers.push('ack', `${sub.place}-${number}`);
    const waited = entry === null && more.length === 0 ? message.receivedAtMs : nowMs;
    const expiration =
      message.expiresAtMs === 0 ? [] : ['expiration', String(Math.max(1, message.expiresAtMs - waited))];
    const redelivered = more[0] === 'redelivered' ? more.slice(0, 4) : [];
    headers.push(...redelivered, ...expiration, ...more.slice(redelivered.length));
    headers.push('destination', topicToDestination(message, sub.slashes));
    const { origin } = message;
    headers.push(...(origin.protocol === 'stomp' ? origin.headers : mqttToHeaders(message)));
    this.count('delivered to STOMP');
    if (origin.protocol === 'mqtt') this.count('from MQTT to STOMP');
    if (redelivered.length > 0) this.count('redelivered to STOMP');
    this.send(`subscription ${sub.id ?? ''}`, frameBytes(level, 'MESSAGE', headers, message.payload));
    if (!acknowledges) return true;
    sub.unsettled.set(number, entry);
    this.owed.push({
      kind: 'ack',
      id: number,
      messageId: level === 12 ? `${sub.place}-${number}` : messageId,
      subscription: sub.id,
    });
    return false;
  }

  private onAck(frame: Frame): void {
    const id = frame.header(this.level === 12 ? 'id' : 'message-id')!;
    const [place, number] = id.split('-').slice(-2).map(Number) as [number, number];
    const sub = [...this.subs.values()].find((one) => one.place === place);
    // It crossed an UNSUBSCRIBE.
    if (sub === undefined) return;
    const requeue = frame.header('requeue') !== 'false';
    const transaction = frame.header('transaction');
    if (transaction === null) this.settle(sub, number, frame.command, requeue);
    else this.transactions.get(transaction)!.push({ sub, number, command: frame.command, requeue });
  }

  private settle(sub: Sub, number: number, command: string, requeue: boolean): void {
    const numbers = sub.ack === 'client' ? [...sub.unsettled.keys()].filter((one) => one <= number) : [number];
    if (numbers.length > 1) this.count('cumulative ACK or NACK');
    const back = command === 'NACK' && requeue;
    this.count(command === 'ACK' ? 'ACK' : requeue ? 'NACK' : 'NACK that drops');
    for (const one of numbers) {
      const entry = sub.unsettled.get(one)!;
      if (!back) sub.queue!.remove(entry);
      else {
        // Others come first: what this one gives back is its own until all of it is settled.
        entry.holder = null;
        sub.queue!.pump();
      }
    }
    for (const one of numbers) sub.unsettled.delete(one);
    sub.queue!.pump();
  }
}

/** Instead of the message-id of a delivery that is not to be settled. */
export const DIRECT_ID = '*';

function extrasOf({ attempts, message, options }: Entry): string[] {
  const lines = attempts > 0 ? ['redelivered', 'true', 'x-delivery-count', String(attempts)] : [];
  if (options.retainAsPublished && message.retain) lines.push('retained', 'true');
  return lines;
}

function keyOf(frame: Frame): string {
  const id = frame.header('id');
  return id === null ? `destination ${frame.header('destination')}` : `id ${id}`;
}

/** The headers that are sent on. The publisher's own message-id gets another name. */
function travelling(headers: readonly string[]): string[] {
  const lines: string[] = [];
  let named = headers.some((name, i) => i % 2 === 0 && name === 'x-message-id');
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const [name, value] = [headers[i]!, headers[i + 1]!];
    if (name === 'message-id' && !named) {
      named = true;
      lines.push('x-message-id', value);
    } else if (!TO_THE_BROKER.has(name)) lines.push(name, value);
  }
  return lines;
}
