// How a client takes messages from a queue: its session's own, a shared subscription's, or a named one. Sends a run as one block with packet ids patched in where the forms agree,
// message by message where a message needs dressing (expiry, retain, identifiers, redelivery).
import type { Consumer, Credit } from '../../src/core/consumer.ts';
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Run } from '../../src/core/run.ts';
import { SLOT_BYTES } from '../../src/io/output.ts';
import * as acknowledgements from './acknowledgements.ts';
import type { ClientState } from './client-state.ts';
import type { Connection } from './connection.ts';
import { appendFitting, isRetain } from './direct.ts';
import { dressedForm, identifierBlock, NO_BLOCK } from './dressed-form.ts';
import { InflightState } from './inflight-window.ts';
import type { Qos } from './packet.ts';
import { dressedFrame, MQTT_CODEC, PUBLISH_BYTE, packetIdOffset, secondsUntil, wireForm } from './publish-form.ts';

abstract class MqttConsumer implements Consumer {
  readonly credit: Credit;
  protected readonly client: ClientState;

  constructor(client: ClientState) {
    this.client = client;
    this.credit = client.credit;
  }

  protected abstract qosFor(run: Run, options: DeliveryOptions): Qos;
  protected abstract identifiersFor(options: DeliveryOptions): readonly number[] | null;

  onCancelled(_queue: Queue): void {
    // Deliveries in flight end with the client's acknowledgement, which then finds no message to settle; nothing else refers to the queue.
  }

  deliver(
    queue: Queue,
    run: Run,
    index: number,
    count: number,
    firstTag: number,
    deliveryCount: number,
    options: DeliveryOptions,
  ): boolean {
    const connection = this.client.connection!;
    const qos = this.qosFor(run, options);
    const identifiers = connection.wire === 5 ? this.identifiersFor(options) : null;
    const retain = options.retainAsPublished && isRetain(run);
    // [MQTT-3.3.2-6]
    const secondsLeft =
      connection.wire === 5 && run.expiresAtMs !== 0 ? secondsUntil(run.expiresAtMs, connection.nowMs) : -1;
    const block = identifiers === null ? NO_BLOCK : identifierBlock(identifiers);
    const long =
      (qos === 2 && this.client.logged) ||
      connection.aliases !== null ||
      retain ||
      deliveryCount > 0 ||
      (run.codec === MQTT_CODEC ? run.frameBytesMax + DRESSING_BYTES_MAX + block.length : Number.POSITIVE_INFINITY) >
        connection.packetBytesMax;
    if (long || !sendBlock(this.client, connection, queue, run, index, count, firstTag, qos, block, secondsLeft)) {
      for (let i = 0; i < count; i++) {
        this.sendDressed(connection, queue, run, index + i, firstTag + i, qos, retain, identifiers, deliveryCount);
      }
    }
    connection.counters.messagesDelivered += count;
    connection.holdIfSlow();
    return qos === 0;
  }

  private sendDressed(
    connection: Connection,
    queue: Queue,
    run: Run,
    index: number,
    tag: number,
    qos: Qos,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | null,
    deliveryCount: number,
  ): void {
    const { client } = this;
    const state = qos === 2 ? InflightState.AwaitPubrec : InflightState.AwaitPuback;
    const packetId = qos === 0 ? 0 : client.window.add(queue, tag, state);
    const frame = dressedFrame(run, index, connection.wire, {
      qos,
      retain,
      // [MQTT-3.3.1-1], [3.1.1 MQTT-3.3.1-1]
      dup: false,
      packetId,
      subscriptionIdentifiers,
      deliveryCount,
      nowMs: connection.nowMs,
    });
    if (qos === 2 && client.logged) {
      // Sent when the identifier is on the disk with what it stands for: after a crash the message would get another one, and arrive twice. Also for a message that ends with
      // the process: the client remembers the identifier, and would take the next message under it for this one.
      const position = connection.adapter.stored.putSent(client.session, packetId, queue, queue.sequenceOf(tag));
      acknowledgements.sendWhenDurable(connection, new PendingPublish(packetId, frame), position);
      return;
    }
    sendFitting(connection, frame, packetId);
  }
}

/** A PUBLISH that waits for the log. */
export class PendingPublish {
  readonly packetId: number;
  readonly frame: Uint8Array;

  constructor(packetId: number, frame: Uint8Array) {
    this.packetId = packetId;
    this.frame = frame;
  }
}

/** Sends a PUBLISH that is made for this connection, unless it is too large for the client. */
export function sendFitting(connection: Connection, frame: Uint8Array, packetId: number): void {
  if (connection.aliases === null && frame.length <= connection.packetBytesMax) {
    connection.output.appendOwned(frame);
    return;
  }
  if (appendFitting(connection, frame, 0, frame.length)) return;
  // [MQTT-3.1.2-25]: as if it had been sent and acknowledged.
  connection.counters.droppedTooLarge++;
  if (packetId !== 0) connection.settleLater(packetId);
}

/** Takes from the session's own queue: the smaller of what publisher and subscription ask for. */
export class OwnConsumer extends MqttConsumer {
  protected qosFor(run: Run, options: DeliveryOptions): Qos {
    return run.guarantee < options.guarantee ? run.guarantee : options.guarantee;
  }

  protected identifiersFor(options: DeliveryOptions): readonly number[] | null {
    return options.subscriptionIdentifiers;
  }
}

/** Takes from the queue of a shared subscription: as an ordinary subscription, but with the subscription's own options. */
export class SharedConsumer extends MqttConsumer {
  protected readonly qos: Qos;
  private readonly identifiers: readonly number[] | null;

  constructor(client: ClientState, qos: Qos, subscriptionIdentifier: number) {
    super(client);
    this.qos = qos;
    this.identifiers = subscriptionIdentifier === 0 ? null : [subscriptionIdentifier];
  }

  // [MQTT-4.8.2-3]
  protected qosFor(run: Run, _options: DeliveryOptions): Qos {
    return run.guarantee < this.qos ? run.guarantee : this.qos;
  }

  protected identifiersFor(_options: DeliveryOptions): readonly number[] | null {
    return this.identifiers;
  }
}

/** Takes from a named queue: what is in it has left its publisher's guarantee behind, the consumer's QoS decides how it is handed over. */
export class WorkConsumer extends SharedConsumer {
  protected override qosFor(_run: Run, _options: DeliveryOptions): Qos {
    return this.qos;
  }
}

/** Room for what dressing and forms may add to a frame as received: identifiers, expiry, packet id. */
const DRESSING_BYTES_MAX = 16;

/** Messages [index, index + count) of a run as one block, with subscription identifiers (identifierBlock) and, unless it is -1, the seconds that are left; the packet ids are patched into the copy. False, and nothing is sent, when they have to be made one by one. */
function sendBlock(
  client: ClientState,
  connection: Connection,
  queue: Queue,
  run: Run,
  index: number,
  count: number,
  firstTag: number,
  qos: Qos,
  block: Uint8Array,
  secondsLeft: number,
): boolean {
  const common = wireForm(run, connection.wire, qos > 0);
  const form =
    block.length === 0 && secondsLeft < 0 ? common : dressedForm(common, index, count, qos > 0, block, secondsLeft);
  if (form === null) return false;
  const { offsets } = form;
  const first = form === common ? index : 0;
  const base = offsets === null ? 0 : offsets[first]!;
  const from = form.start + base;
  const to = offsets === null ? form.end : form.start + offsets[first + count]!;
  const { output } = connection;
  if (qos === 0) {
    output.append(form.bytes, from, to);
    return true;
  }
  const size = to - from;
  let bytes: Buffer;
  let at = 0;
  if (size <= SLOT_BYTES) {
    at = output.reserve(size);
    bytes = output.bytes;
  } else {
    bytes = Buffer.allocUnsafeSlow(size);
  }
  bytes.set(form.bytes.subarray(from, to), at);
  const firstByte = PUBLISH_BYTE | (qos << 1);
  const state = qos === 2 ? InflightState.AwaitPubrec : InflightState.AwaitPuback;
  const { window } = client;
  for (let i = 0; i < count; i++) {
    const frame = at + (offsets === null ? 0 : offsets[first + i]! - base);
    const id = window.add(queue, firstTag + i, state);
    bytes[frame] = firstByte;
    const place = packetIdOffset(bytes, frame);
    bytes[place] = id >>> 8;
    bytes[place + 1] = id;
  }
  if (size > SLOT_BYTES) output.appendOwned(bytes);
  return true;
}
