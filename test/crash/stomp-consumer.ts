// A STOMP client that takes from a queue or from a durable subscription and acknowledges every message by itself; for some it asks for a receipt: what the broker has confirmed as acknowledged must never
// come again.
import type { Frame } from '../../protocols/stomp/frame.ts';
import type { Dice } from '../sim/dice.ts';
import type { Taker } from './actor.ts';
import type { Ports } from './broker.ts';
import type { Destination, Journal, Source } from './journal.ts';
import { StompLink } from './stomp-link.ts';
import { destinationOf, topicOf } from './stomp-publisher.ts';

export interface StompConsumerOptions {
  readonly clientId: string;
  /** As MQTT writes it. */
  readonly filter: string;
  /** A topic subscription that outlives the connection. */
  readonly durable: boolean;
}

const CONNECT_MS_MAX = 15_000;
/** One of so many acknowledgements asks for a receipt. */
const RECEIPT_EVERY = 8;
const SUBSCRIBED = 'subscribed';

export class StompConsumer implements Taker {
  readonly clientId: string;
  readonly destination: Destination;
  readonly unfinished = 0;
  connected = false;
  private readonly journal: Journal;
  private readonly dice: Dice;
  private readonly options: StompConsumerOptions;
  private link: StompLink | null = null;
  private nextReceipt = 1;
  private readonly confirming = new Map<string, { source: Source; number: number }>();
  private waiting: (() => void) | null = null;

  constructor(journal: Journal, dice: Dice, destination: Destination, options: StompConsumerOptions) {
    this.journal = journal;
    this.dice = dice;
    this.destination = destination;
    this.options = options;
    this.clientId = options.clientId;
  }

  get isOpen(): boolean {
    return this.link !== null;
  }

  /** Resolves when the subscription is confirmed, or the connection has gone. */
  connect(ports: Ports): Promise<void> {
    this.hangUp();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.journal.violation('liveness', `${this.clientId} has not subscribed within ${CONNECT_MS_MAX} ms`);
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

  ready(ports: Ports): Promise<void> {
    return this.connect(ports);
  }

  hangUp(): void {
    if (this.link === null) return;
    this.link.cut();
    this.gone();
  }

  private gone(): void {
    this.link = null;
    this.connected = false;
    this.confirming.clear();
    this.waiting?.();
  }

  private onFrame(frame: Frame): void {
    switch (frame.command) {
      case 'CONNECTED': {
        this.connected = true;
        const { filter, durable } = this.options;
        const extra = durable ? { durable: 'true' } : {};
        this.link!.send('SUBSCRIBE', {
          id: this.clientId,
          destination: destinationOf(filter),
          ack: 'client-individual',
          receipt: SUBSCRIBED,
          ...extra,
        });
        break;
      }
      case 'RECEIPT':
        this.onReceipt(frame.header('receipt-id') ?? '');
        break;
      case 'MESSAGE':
        this.onMessage(frame);
        break;
      default: {
        const text = `${frame.header('message') ?? ''} ${Buffer.from(frame.body).toString()}`;
        if (!/log has failed|shutting/.test(text))
          this.journal.violation('protocol', `${this.clientId} got ${frame.command}: ${text}`);
      }
    }
  }

  private onReceipt(receipt: string): void {
    if (receipt === SUBSCRIBED) {
      this.destination.subscribed();
      this.waiting?.();
      return;
    }
    const taken = this.confirming.get(receipt);
    if (taken === undefined) {
      this.journal.violation('protocol', `${this.clientId} got a receipt ${receipt} that it does not wait for`);
      return;
    }
    this.confirming.delete(receipt);
    this.journal.consumed(this.destination, taken.source, taken.number);
  }

  private onMessage(frame: Frame): void {
    const { journal, destination } = this;
    const found = journal.identify(this.clientId, topicOf(frame.header('destination') ?? ''), frame.body);
    if (found !== null) journal.delivered(destination, found.source, found.number);
    const headers: Record<string, string> = { id: frame.header('ack') ?? '' };
    if (found !== null && this.dice.below(RECEIPT_EVERY) === 0) {
      const receipt = String(this.nextReceipt++);
      this.confirming.set(receipt, found);
      headers.receipt = receipt;
    }
    this.link!.send('ACK', headers);
  }
}
