// Promises for the embedding program that resolve when the log is durable up to a position. The one place where a confirm is a promise: here somebody awaits it anyway.
import type { Broker } from '../core/broker.ts';
import { ConfirmRing, type ConfirmSink } from '../core/confirms.ts';
import { BrokerError } from '../core/errors.ts';
import type { Publisher } from '../core/publisher.ts';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Confirms implements Publisher, ConfirmSink {
  readonly name = 'embedding program';
  listedAwaiting = false;
  private readonly broker: Broker;
  private readonly ring = new ConfirmRing();
  private waiting = new Set<Waiting>();

  constructor(broker: Broker) {
    this.broker = broker;
  }

  owns(): boolean {
    return false;
  }

  /** Resolves with `value` when everything up to `position` is durable; at once for 0. */
  wait<T>(position: number, value: T): Promise<T> {
    if (this.broker.failed !== null) return Promise.reject(notSafe());
    if (position <= this.broker.log.durablePosition) return Promise.resolve(value);
    return new Promise<T>((resolve, reject) => {
      const entry: Waiting = { resolve: () => resolve(value), reject };
      this.waiting.add(entry);
      this.ring.add(position, 0, entry);
      this.broker.awaitDurable(this);
    });
  }

  onConfirm(_what: number, extra: object | null): void {
    const entry = extra as Waiting;
    this.waiting.delete(entry);
    entry.resolve();
  }

  get awaitsDurable(): boolean {
    return !this.ring.empty;
  }

  onDurable(position: number): void {
    this.ring.release(position, this);
  }

  onLogFailed(): void {
    const failed = this.waiting;
    this.waiting = new Set();
    this.ring.clear();
    for (const { reject } of failed) reject(notSafe());
  }

  pause(): void {
    // The program is not a stream that could be paused: what slows it down is that its promises resolve late.
  }

  resume(): void {
    // See pause.
  }

  holdMessages(): void {
    // See pause.
  }

  releaseMessages(): void {
    // See pause.
  }
}

function notSafe(): BrokerError {
  return new BrokerError('shutting-down', 'the log has failed; the message is not safe');
}
