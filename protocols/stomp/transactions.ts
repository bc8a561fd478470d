// BEGIN, COMMIT, ABORT. What a transaction sends and settles is kept until COMMIT, then done in one turn, which makes it one atomic unit of the log; whatever can be refused is
// asked for beforehand, so that either all of it happens or nothing. A connection that ends takes its open transactions with it.
import type { Outcome } from '../../src/core/consumer.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Queue } from '../../src/core/queue.ts';
import { Overflow } from '../../src/core/queue-spec.ts';
import type { Run } from '../../src/core/run.ts';
import * as acknowledgements from './acknowledgements.ts';
import type { Connection } from './connection.ts';
import type { FrameScanner } from './decoder.ts';
import { stompError } from './errors.ts';
import { COMMAND_NAMES, Command } from './frame.ts';
import { Header } from './headers.ts';
import { answer } from './receipts.ts';
import type { StompRoute } from './routes.ts';
import type { Subscription } from './subscription.ts';

/** Open transactions of one connection. */
const TRANSACTIONS_MAX = 1000;
/** Sends and settlements in the open transactions of one connection, and the bytes that wait in them: committing them must not hold up the others for long. */
const STEPS_MAX = 100_000;
const BYTES_MAX = 64 * 1024 * 1024;

interface Send {
  readonly run: Run;
  readonly route: StompRoute;
  readonly retain: boolean;
}

interface Settlement {
  readonly subscription: Subscription;
  readonly number: number;
  readonly outcome: Outcome;
}

interface Transaction {
  readonly sends: Send[];
  readonly settlements: Settlement[];
  bytes: number;
}

export class Transactions {
  private readonly connection: Connection;
  private readonly open = new Map<string, Transaction>();
  private steps = 0;
  private bytes = 0;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** BEGIN, COMMIT, ABORT. */
  onFrame({ command, headers }: FrameScanner): void {
    const id = headers.string(Header.transaction);
    if (id === null || id === '')
      throw stompError('header-missing', `${COMMAND_NAMES[command]!} without the header transaction`);
    let position = 0;
    if (command === Command.BEGIN) this.begin(id);
    else {
      const transaction = this.get(id);
      this.forget(id, transaction);
      if (command === Command.COMMIT) position = this.commit(id, transaction);
    }
    answer(this.connection, position);
  }

  /** Keeps an owned run. */
  send(id: string, run: Run, route: StompRoute, retain: boolean): void {
    const transaction = this.get(id);
    this.count(transaction, run.byteLength);
    transaction.sends.push({ run, route, retain });
  }

  settle(id: string, subscription: Subscription, number: number, outcome: Outcome): void {
    const transaction = this.get(id);
    this.count(transaction, 0);
    transaction.settlements.push({ subscription, number, outcome });
  }

  /** The connection ends. */
  abortAll(): void {
    this.open.clear();
  }

  private begin(id: string): void {
    // STOMP 1.2 "BEGIN": the identifiers of open transactions must be different. [STOMP-T-2]
    if (this.open.has(id)) throw stompError('transaction-exists', `transaction ${JSON.stringify(id)} is open already`);
    if (this.open.size >= TRANSACTIONS_MAX) {
      throw stompError('session-limit-exceeded', `more than ${TRANSACTIONS_MAX} open transactions of one connection`);
    }
    this.open.set(id, { sends: [], settlements: [], bytes: 0 });
  }

  private get(id: string): Transaction {
    const transaction = this.open.get(id);
    if (transaction === undefined)
      throw stompError('transaction-unknown', `there is no open transaction ${JSON.stringify(id)}`);
    return transaction;
  }

  private count(transaction: Transaction, bytes: number): void {
    if (++this.steps > STEPS_MAX) {
      throw stompError(
        'session-limit-exceeded',
        `more than ${STEPS_MAX} frames in the open transactions of one connection`,
      );
    }
    this.bytes += bytes;
    transaction.bytes += bytes;
    if (this.bytes > BYTES_MAX) {
      throw stompError(
        'session-limit-exceeded',
        `more than ${BYTES_MAX} bytes in the open transactions of one connection`,
      );
    }
  }

  private forget(id: string, { sends, settlements, bytes }: Transaction): void {
    this.open.delete(id);
    this.steps -= sends.length + settlements.length;
    this.bytes -= bytes;
  }

  /** Does all of it, or throws before any of it is done. Returns the log position to wait for. */
  private commit(id: string, { sends, settlements }: Transaction): number {
    const { connection } = this;
    const live = settlements.filter(({ subscription }) => !subscription.ended);
    for (const { subscription, number } of live) {
      if (!subscription.unsettled!.has(number)) {
        throw stompError(
          'ack-unknown',
          `a delivery that transaction ${JSON.stringify(id)} settles was settled by another frame`,
        );
      }
    }
    this.checkSends(sends);
    for (const { run, route, retain } of sends) connection.publishing.publishOwned(run, route, retain);
    for (const { subscription, number, outcome } of live) {
      // One that an earlier, cumulative ACK of the same transaction included.
      if (subscription.unsettled!.has(number)) acknowledgements.settle(connection, subscription, number, outcome);
    }
    return connection.adapter.broker.positionOfAll();
  }

  /** Asks everything that Vhost.publish asks, of all messages together. */
  private checkSends(sends: readonly Send[]): void {
    const { connection } = this;
    const { broker } = connection.adapter;
    const added = new Map<Queue, number>();
    for (const { run, route } of sends) {
      connection.refreshRoute(route);
      if (!route.allowed) throw new BrokerError(route.refusalCode, route.refusal!);
      // A route that depends on headers has no plan before its message is routed.
      const plan = route.set?.plan(run, connection);
      if (plan === undefined) continue;
      if (plan.targets !== null && broker.full) throw new BrokerError('quota-exceeded', 'the disk is full');
      for (const queue of plan.queues) {
        const { overflow, lengthMax } = queue.spec;
        if (overflow !== Overflow.RejectPublish) continue;
        const before = added.get(queue) ?? 0;
        added.set(queue, before + 1);
        if (queue.refuses(run) || (lengthMax !== null && queue.readyCount + before + 1 > lengthMax))
          throw queueFull(queue.name);
      }
    }
  }
}

export function queueFull(queue: string): BrokerError {
  return new BrokerError('quota-exceeded', `queue ${JSON.stringify(queue)} is full and refuses messages (x-overflow)`);
}
