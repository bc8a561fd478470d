// What a client has been sent and not answered, sent once more: when it comes back, or when the message comes back from the log after a restart.
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Heir } from '../../src/core/reservations.ts';
import type { Session } from '../../src/core/session.ts';
import * as acknowledgements from './acknowledgements.ts';
import type { ClientState } from './client-state.ts';
import type { Connection } from './connection.ts';
import { isRetain } from './direct.ts';
import { InflightState } from './inflight-window.ts';
import { PacketType } from './packet-type.ts';
import { dressedFrame } from './publish-form.ts';
import { PendingPublish, sendFitting } from './queue-consumer.ts';
import type { StoredSessions } from './stored-sessions.ts';

/** Sends the PUBLISH of an identifier in flight again. Returns false when its message is gone. */
// [MQTT-4.4.0-1] [MQTT-4.4.0-2], [3.1.1 MQTT-4.4.0-1]
export function resend(connection: Connection, client: ClientState, id: number): boolean {
  const { window } = client;
  const queue = window.queueOf(id)!;
  const tag = window.tagOf(id);
  const delivery = queue.delivery(tag);
  if (delivery === null) return false;
  const { run, index, options } = delivery;
  const qos = window.stateOf(id) === InflightState.AwaitPubrec ? 2 : 1;
  const frame = dressedFrame(run, index, connection.wire, {
    qos,
    retain: options.retainAsPublished && isRetain(run),
    // [MQTT-3.3.1-1]
    dup: true,
    packetId: id,
    subscriptionIdentifiers: connection.wire === 5 ? identifiersFor(client.session, queue, options) : null,
    deliveryCount: 0,
    nowMs: connection.nowMs,
  });
  if (qos === 2 && client.logged) {
    acknowledgements.sendWhenDurable(connection, new PendingPublish(id, frame), connection.adapter.broker.log.position);
  } else sendFitting(connection, frame, id);
  return true;
}

/** Of the session's own queue each message has them with it; of another one they are those of the subscription that reads it. */
// [MQTT-3.3.4-3]
function identifiersFor(session: Session, queue: Queue, options: DeliveryOptions): readonly number[] | null {
  if (queue === session.queue) return options.subscriptionIdentifiers;
  for (const subscription of session.subscriptions.values()) {
    const { subscriptionIdentifier } = subscription.options;
    if (subscription.queue === queue && subscriptionIdentifier !== 0) return [subscriptionIdentifier];
  }
  return null;
}

/** Sends the next PUBLISH that waits to be sent again, where the client has room for it. */
// [MQTT-3.3.4-9] [MQTT-4.9.0-2]
export function resendNext(connection: Connection, client: ClientState): void {
  const { window, credit, waiting } = client;
  while (waiting.length > 0 && credit.available > 0) {
    const id = waiting.shift()!;
    if (resend(connection, client, id)) {
      credit.available--;
      return;
    }
    if (window.stateOf(id) === InflightState.AwaitPubrec) connection.adapter.stored.removeSent(client.session, id);
    window.remove(id);
  }
}

/** A QoS 2 message that was sent to this client before the broker was restarted: it keeps its identifier [MQTT-4.4.0-1], and nobody else may get it [MQTT-4.8.2-4]. */
export class SentBefore implements Heir {
  private readonly stored: StoredSessions;
  private readonly client: ClientState;
  private readonly id: number;

  constructor(stored: StoredSessions, client: ClientState, id: number) {
    this.stored = stored;
    this.client = client;
    this.id = id;
  }

  onFound(queue: Queue, tag: number): void {
    const { client, id } = this;
    client.window.found(id, queue, tag);
    if (client.connection !== null) resend(client.connection, client, id);
  }

  onMissing(): void {
    const { client, id, stored } = this;
    stored.letGo(client.session, id);
    client.window.setState(id, InflightState.AwaitPubcomp);
    if (client.connection !== null) acknowledgements.answerAgain(client.connection, PacketType.PUBREL, id);
  }
}
