// Retained messages on their way to a new subscription: walked in slices, so that a million of them neither stall the other clients nor fill this one's output.

import { Action } from '../../src/core/authorizer.ts';
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import { deliveryOptions } from '../../src/core/delivery.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { type RetainedEntry, type RetainedTable, RetainedWalks } from '../../src/core/retained.ts';
import type { Selector } from '../../src/core/selector/selector.ts';
import type { Connection } from './connection.ts';
import { dressedFrame } from './publish-form.ts';

/** Messages in one go: a fraction of a millisecond. */
const SLICE = 128;
/** More unsent bytes than this, and the rest waits for the next turn. */
const OUTPUT_BYTES_MAX = 256 * 1024;
/** More messages waiting in the session's queue than this, and the rest waits. */
const QUEUED_MAX = 1024;

interface Asked {
  readonly options: DeliveryOptions;
  readonly selector: Selector | null;
}

export class RetainedReplay {
  private readonly connection: Connection;
  private readonly walks: RetainedWalks<Asked>;
  private readonly slice: RetainedEntry[] = [];
  private scheduled = false;
  private stopped = false;

  constructor(connection: Connection, table: RetainedTable) {
    this.connection = connection;
    this.walks = new RetainedWalks(table);
  }

  /** A subscription that asks for retained messages; they go with RETAIN set [MQTT-3.3.1-8], [3.1.1 MQTT-3.3.1-12]. */
  add(pattern: string, guarantee: Guarantee, subscriptionIdentifier: number, selector: Selector | null): void {
    const identifiers = subscriptionIdentifier === 0 ? null : [subscriptionIdentifier];
    this.walks.add(pattern, { options: deliveryOptions(guarantee, true, identifiers), selector });
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    this.walks.clear();
  }

  /** Goes on as far as the client can take it. */
  go(): void {
    const { connection, walks, slice } = this;
    const { output } = connection;
    walks.begin(SLICE);
    for (let asked = walks.about; !this.stopped && asked !== null; asked = walks.about) {
      if (walks.used) {
        this.schedule();
        return;
      }
      // The client's acknowledgements make room in its queue, and each of them asks again.
      if ((connection.session?.queue?.readyCount ?? 0) > QUEUED_MAX) return;
      if (output.unsentBytes > OUTPUT_BYTES_MAX) {
        // A congested output says when it has drained; otherwise the next turn will do.
        if (!output.congested) this.schedule();
        return;
      }
      walks.next(slice, connection.nowMs);
      if (slice.length === 0) continue;
      for (const entry of slice) {
        if (asked.selector === null || asked.selector.matches(entry.run.message(0))) this.deliver(entry, asked.options);
      }
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

  private deliver(entry: RetainedEntry, options: DeliveryOptions): void {
    const { connection } = this;
    const { run } = entry;
    const principal = connection.principal!;
    if (principal.policy !== null) {
      const resource = { vhost: connection.vhost.name, kind: 'topic', name: entry.path, key: entry.path } as const;
      if (!connection.adapter.broker.authorizer.allows(principal, connection.clientId, Action.Subscribe, resource))
        return;
    }
    const qos = run.guarantee < options.guarantee ? run.guarantee : options.guarantee;
    if (qos > 0 && connection.session?.stores === true) {
      connection.session.wake().deliver(run, options, 0, false);
      return;
    }
    const frame = dressedFrame(run, 0, connection.wire, {
      qos: 0,
      retain: true,
      dup: false,
      packetId: 0,
      subscriptionIdentifiers: connection.wire === 5 ? options.subscriptionIdentifiers : null,
      deliveryCount: 0,
      nowMs: connection.nowMs,
    });
    if (frame.length > connection.packetBytesMax) {
      connection.counters.droppedTooLarge++;
      return;
    }
    connection.output.appendOwned(frame);
    connection.counters.messagesDelivered++;
  }
}
