// A STOMP client that publishes persistent messages and asks for receipts, one by one or in transactions. After a reconnect it sends again what it got no receipt for, in the same order; a forgetful one
// gives it up instead, and then each of its transactions must have happened as a whole or not at all.
import type { Frame } from '../../protocols/stomp/frame.ts';
import type { Dice } from '../sim/dice.ts';
import { makePayload } from '../sim/payload.ts';
import type { Sender } from './actor.ts';
import type { Ports } from './broker.ts';
import type { Journal, Source } from './journal.ts';
import { StompLink } from './stomp-link.ts';

export interface StompPublisherOptions {
  readonly id: number;
  /** As MQTT writes them. */
  readonly topics: readonly string[];
  /** Sends, or transactions, without a receipt at most. */
  readonly window: number;
  /** Messages of a transaction at most; 0: none are used. */
  readonly transactionMax: number;
  readonly forgets: boolean;
}

interface Message {
  readonly number: number;
  readonly topic: string;
  readonly payload: Uint8Array;
}

const CONNECT_MS_MAX = 15_000;
const SIZE_MIN = 20;
const SIZE_MAX = 300;

export class StompPublisher implements Sender {
  readonly clientId: string;
  readonly source: Source;
  readonly isLarge = false;
  connected = false;
  budget = 0;
  private readonly journal: Journal;
  private readonly dice: Dice;
  private readonly options: StompPublisherOptions;
  private link: StompLink | null = null;
  private nextReceipt = 1;
  private readonly underway = new Map<string, readonly Message[]>();
  private waiting: (() => void) | null = null;
  private idleWaiter: (() => void) | null = null;

  constructor(journal: Journal, dice: Dice, options: StompPublisherOptions) {
    this.journal = journal;
    this.dice = dice;
    this.options = options;
    this.clientId = `stomp-publisher-${options.id}`;
    this.source = journal.source(options.id, 1, options.topics);
  }

  get isOpen(): boolean {
    return this.link !== null;
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

  async settled(msMax: number): Promise<boolean> {
    if (this.underway.size === 0) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.idleWaiter = resolve;
      timer = setTimeout(resolve, msMax);
    });
    clearTimeout(timer);
    this.idleWaiter = null;
    return this.underway.size === 0;
  }

  connect(ports: Ports): Promise<void> {
    this.hangUp();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.journal.violation('liveness', `${this.clientId} got no CONNECTED within ${CONNECT_MS_MAX} ms`);
        this.waiting?.();
      }, CONNECT_MS_MAX);
      this.waiting = () => {
        clearTimeout(timer);
        this.waiting = null;
        resolve();
      };
      const link: StompLink = new StompLink(ports.stomp, {
        onFrame: (frame) => {
          if (this.link === link) this.onFrame(frame);
        },
        onClose: () => {
          if (this.link === link) this.gone();
        },
        onGarbage: (error) => {
          this.journal.violation('protocol', `${this.clientId} got what no broker sends: ${error.message}`);
          if (this.link === link) this.gone();
        },
      });
      this.link = link;
      link.send('CONNECT', { 'accept-version': '1.2', host: '/', 'heart-beat': '0,0' });
    });
  }

  hangUp(): void {
    if (this.link === null) return;
    this.link.cut();
    this.gone();
  }

  private gone(): void {
    this.link = null;
    this.connected = false;
    if (this.options.forgets) this.forget();
    this.waiting?.();
  }

  private forget(): void {
    for (const messages of this.underway.values()) {
      for (const { number } of messages) this.journal.givenUp(this.source, number);
      this.journal.allOrNone(
        this.source,
        messages.map(({ number }) => number),
      );
    }
    this.underway.clear();
    this.idleWaiter?.();
  }

  private onFrame(frame: Frame): void {
    switch (frame.command) {
      case 'CONNECTED':
        this.connected = true;
        for (const [receipt, messages] of this.underway) this.sendAll(receipt, messages);
        this.fill();
        this.waiting?.();
        break;
      case 'RECEIPT': {
        const receipt = frame.header('receipt-id') ?? '';
        const messages = this.underway.get(receipt);
        if (messages === undefined) {
          this.journal.violation('protocol', `${this.clientId} got a receipt ${receipt} that it does not wait for`);
          return;
        }
        this.underway.delete(receipt);
        for (const { number } of messages) this.journal.acknowledged(this.source, number);
        this.fill();
        if (this.underway.size === 0) this.idleWaiter?.();
        break;
      }
      case 'ERROR':
        this.onRefused(frame);
        break;
      default:
        this.journal.violation('protocol', `${this.clientId} got ${frame.command}`);
    }
  }

  /** The connection ends behind it. What a full disk refuses is sent again on the next one. */
  private onRefused(frame: Frame): void {
    const text = `${frame.header('message') ?? ''} ${Buffer.from(frame.body).toString()}`;
    if (/quota-exceeded|full/.test(text)) {
      for (const messages of this.underway.values())
        for (const { number } of messages) this.journal.refused(this.source, number);
    } else if (!/log has failed|shutting/.test(text))
      this.journal.violation('protocol', `${this.clientId} got ERROR: ${text}`);
  }

  private fill(): void {
    const { window, transactionMax, topics } = this.options;
    while (this.connected && this.budget > 0 && this.underway.size < window) {
      const count = transactionMax === 0 ? 1 : 1 + this.dice.below(transactionMax);
      const messages: Message[] = [];
      for (let i = 0; i < count; i++) {
        const index = this.dice.below(topics.length);
        const number = this.journal.sent(this.source, index);
        const payload = makePayload(this.options.id, number, SIZE_MIN + this.dice.below(SIZE_MAX - SIZE_MIN));
        messages.push({ number, topic: topics[index]!, payload });
      }
      this.budget = Math.max(0, this.budget - count);
      const receipt = String(this.nextReceipt++);
      this.underway.set(receipt, messages);
      this.sendAll(receipt, messages);
    }
  }

  private sendAll(receipt: string, messages: readonly Message[]): void {
    const link = this.link!;
    const inTransaction = this.options.transactionMax > 0;
    if (inTransaction) link.send('BEGIN', { transaction: receipt });
    for (const { topic, payload } of messages) {
      const extra = inTransaction ? { transaction: receipt } : { receipt };
      link.send('SEND', { destination: destinationOf(topic), persistent: 'true', ...extra }, payload);
    }
    if (inTransaction) link.send('COMMIT', { transaction: receipt, receipt });
  }
}

/** The campaign's names have nothing in them that would have to be escaped. */
export function destinationOf(topic: string): string {
  return topic.startsWith('$queue/') ? `/queue/${topic.slice(7)}` : `/topic/${topic.replaceAll('/', '.')}`;
}

export function topicOf(destination: string): string {
  return destination.startsWith('/queue/')
    ? `$queue/${destination.slice(7)}`
    : destination.slice(7).replaceAll('.', '/');
}
