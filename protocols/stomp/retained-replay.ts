// Retained messages on their way to a new subscription: walked in slices, so that a million of them neither stall the other clients nor fill this one's output.
import { Action } from '../../src/core/authorizer.ts';
import { deliveryOptions } from '../../src/core/delivery.ts';
import { type RetainedEntry, type RetainedTable, RetainedWalks } from '../../src/core/retained.ts';
import { formFor } from './codec-run.ts';
import type { Connection } from './connection.ts';
import { expirationLine } from './direct.ts';
import { appendMessages } from './message-writer.ts';
import { RETAINED_LINE } from './queue-consumer.ts';
import type { Subscription } from './subscription.ts';

/** Messages in one go: about a millisecond. */
const SLICE = 256;
/** More unsent bytes than this, and the rest waits for the next turn. */
const OUTPUT_BYTES_MAX = 256 * 1024;
/** More messages waiting in the subscription's queue than this, and the rest waits. */
const QUEUED_MAX = 1024;
/** For messages that go through a queue: they are shown as retained when they come out. */
const RETAINED = deliveryOptions(2, true, null);

export class RetainedReplay {
  private readonly connection: Connection;
  private readonly walks: RetainedWalks<Subscription>;
  private readonly slice: RetainedEntry[] = [];
  private scheduled = false;

  constructor(connection: Connection, table: RetainedTable) {
    this.connection = connection;
    this.walks = new RetainedWalks(table);
  }

  add(pattern: string, subscription: Subscription): void {
    this.walks.add(pattern, subscription);
    this.schedule();
  }

  stop(): void {
    this.walks.clear();
  }

  /** Goes on as far as the client can take it. */
  go(): void {
    const { connection, walks, slice } = this;
    const { output } = connection;
    walks.begin(SLICE);
    for (let subscription = walks.about; subscription !== null; subscription = walks.about) {
      if (subscription.ended) {
        walks.skip();
        continue;
      }
      if (walks.used) {
        this.schedule();
        return;
      }
      // What waits in the queue goes on when the client settles, or when a full output drains: the connection calls again then.
      if ((subscription.queue?.readyCount ?? 0) > QUEUED_MAX || output.congested) return;
      if (output.unsentBytes > OUTPUT_BYTES_MAX) {
        this.schedule();
        return;
      }
      walks.next(slice, connection.nowMs);
      if (slice.length === 0) continue;
      for (const entry of slice) this.deliver(entry, subscription);
      slice.length = 0;
    }
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.connection.adapter.nextTurn(() => {
      this.scheduled = false;
      this.go();
    });
  }

  private deliver({ path, run }: RetainedEntry, { queue, deliveryClass, selector }: Subscription): void {
    const { connection } = this;
    const { adapter, principal, vhost, clientId } = connection;
    if (principal!.policy !== null) {
      const resource = { vhost: vhost.name, kind: 'topic', name: path, key: path } as const;
      if (!adapter.broker.authorizer.allows(principal!, clientId, Action.Subscribe, resource)) return;
    }
    if (selector !== null && !selector.matches(run.message(0))) return;
    if (queue !== null) {
      queue.deliver(run, RETAINED, 0, false);
      return;
    }
    const { head } = deliveryClass!;
    const extra =
      run.expiresAtMs === 0 ? RETAINED_LINE : Buffer.concat([expirationLine(run, connection.nowMs), RETAINED_LINE]);
    const form = formFor(run, head);
    appendMessages(connection.output, head, form, true, 0, 1, adapter.direct.nextNumber++, extra);
    connection.counters.messagesDelivered++;
  }
}
