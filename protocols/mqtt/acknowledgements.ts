// PUBACK, PUBREC, PUBREL, PUBCOMP in both directions, and the answers that wait for the log. Functions over a connection: they keep nothing themselves.

import { Outcome } from '../../src/core/consumer.ts';
import type { BrokerError } from '../../src/core/errors.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Run } from '../../src/core/run.ts';
import { isShare } from '../../src/core/share-group.ts';
import type { Connection } from './connection.ts';
import { NO_ROOM_FOR_MESSAGE, NO_ROOM_TO_RETAIN } from './errors.ts';
import { InflightState } from './inflight-window.ts';
import { type Packet, pubrel } from './packet.ts';
import { PacketType, PUBACK_BYTE, PUBREC_BYTE, PUBREL_BYTE } from './packet-type.ts';
import { PendingPublish, sendFitting } from './queue-consumer.ts';
import { FAILURE_MIN, ReasonCode } from './reason-codes.ts';
import { RETRY_AFTER_MS_MAX } from './retries.ts';

/** An answer packed into a number for the confirm ring: packet type, reason code, identifier. */
function pack(type: number, reason: number, id: number): number {
  return (type << 24) | (reason << 16) | id;
}

/** What became of a published run, as a reason code; -1 when the connection has ended by it, and nothing is to be answered. */
export function publishReason(connection: Connection, run: Run): number {
  if (run.refused !== null) {
    // MQTT 3 cannot say no, and to acknowledge would be a lie: the connection ends and the client tries again.
    if (connection.wire === 4) {
      connection.close(ReasonCode.QUOTA_EXCEEDED, `${NO_ROOM_FOR_MESSAGE}, or ${NO_ROOM_TO_RETAIN}`);
      return -1;
    }
    return ReasonCode.QUOTA_EXCEEDED;
  }
  return run.matched ? ReasonCode.SUCCESS : ReasonCode.NO_MATCHING_SUBSCRIBERS;
}

/** Answers one packet, now or when the log is durable up to position (0: nothing to wait for). Never overtakes an earlier answer [MQTT-4.6.0-2], [3.1.1 MQTT-4.6.0-2] [3.1.1 MQTT-4.6.0-3] [3.1.1 MQTT-4.6.0-4]. */
export function answer(connection: Connection, type: number, id: number, reason: number, position: number): void {
  const { confirms, adapter } = connection;
  if (confirms.empty && position <= adapter.broker.log.durablePosition) {
    writeAnswer(connection, type, reason, id);
    return;
  }
  confirms.add(Math.max(position, confirms.lastPosition), pack(type, reason, id), null);
  if (type === PacketType.PUBACK) connection.pubacksPending++;
  adapter.awaitLog(connection);
}

/** The same for many identifiers with one reason. */
// [MQTT-3.3.4-1], [3.1.1 MQTT-3.3.4-1] [MQTT-4.3.2-4], [3.1.1 MQTT-4.3.2-2] [MQTT-4.3.2-5] [MQTT-4.3.3-8], [3.1.1 MQTT-4.3.3-2]
export function answerMany(
  connection: Connection,
  type: number,
  ids: Uint16Array,
  count: number,
  reason: number,
  position: number,
): void {
  const { confirms, adapter } = connection;
  const now = confirms.empty && position <= adapter.broker.log.durablePosition;
  const waitFor = Math.max(position, confirms.lastPosition);
  // Consecutive identifiers, as most clients use them, are one entry, or one block of answers.
  for (let i = 0; i < count; ) {
    const id = ids[i]!;
    let run = 1;
    while (i + run < count && ids[i + run] === id + run) run++;
    if (now) writeAnswers(connection, type, reason, id, run);
    else confirms.add(waitFor, pack(type, reason, id), null, run);
    i += run;
  }
  if (now) return;
  if (type === PacketType.PUBACK) connection.pubacksPending += count;
  adapter.awaitLog(connection);
}

/** A whole packet as the answer: SUBACK, UNSUBACK. */
export function answerPacket(connection: Connection, packet: Packet, position: number): void {
  const { confirms, adapter } = connection;
  if (confirms.empty && position <= adapter.broker.log.durablePosition) {
    connection.send(packet);
    return;
  }
  confirms.add(Math.max(position, confirms.lastPosition), 0, packet);
  adapter.awaitLog(connection);
}

/** A PUBLISH that must not leave before the log is durable up to position. */
export function sendWhenDurable(connection: Connection, pending: PendingPublish, position: number): void {
  const { confirms, adapter } = connection;
  if (confirms.empty && position <= adapter.broker.log.durablePosition) {
    sendFitting(connection, pending.frame, pending.packetId);
    return;
  }
  confirms.add(Math.max(position, confirms.lastPosition), 0, pending);
  adapter.awaitLog(connection);
}

/** The log has caught up with an answer. */
export function writeConfirm(connection: Connection, what: number, extra: object | null, count: number): void {
  if (extra === null) {
    const type = what >>> 24;
    if (type === PacketType.PUBACK) connection.pubacksPending -= count;
    writeAnswers(connection, type, (what >>> 16) & 0xff, what & 0xffff, count);
  } else if (!(extra instanceof PendingPublish)) connection.send(extra as Packet);
  // Its subscription may have ended meanwhile, and the message gone back to its queue.
  else if (connection.client!.window.stateOf(extra.packetId) === InflightState.AwaitPubrec) {
    sendFitting(connection, extra.frame, extra.packetId);
  }
}

// [MQTT-2.2.1-5], [3.1.1 MQTT-2.3.1-6]
function writeAnswer(connection: Connection, type: number, reason: number, id: number): void {
  const { output } = connection;
  const withReason = reason !== 0 && connection.wire === 5;
  const at = output.reserve(withReason ? 5 : 4);
  const { bytes } = output;
  bytes[at] = (type << 4) | (type === PacketType.PUBREL ? 2 : 0);
  bytes[at + 1] = withReason ? 3 : 2;
  bytes[at + 2] = id >>> 8;
  bytes[at + 3] = id;
  if (withReason) bytes[at + 4] = reason;
}

/** The same for `count` consecutive identifiers. */
function writeAnswers(connection: Connection, type: number, reason: number, id: number, count: number): void {
  if (count === 1 || (reason !== 0 && connection.wire === 5)) {
    for (let i = 0; i < count; i++) writeAnswer(connection, type, reason, id + i);
    return;
  }
  const { output } = connection;
  const first = (type << 4) | (type === PacketType.PUBREL ? 2 : 0);
  let at = output.reserve(count * 4);
  const { bytes } = output;
  for (let next = id; next < id + count; next++) {
    bytes[at] = first;
    bytes[at + 1] = 2;
    bytes[at + 2] = next >>> 8;
    bytes[at + 3] = next;
    at += 4;
  }
}

/** PUBACKs without a reason stand from bytes[start] on. Takes them as far as they go; returns where it stopped. */
export function onPubacks(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
  let pos = start;
  while (pos + 4 <= end && bytes[pos] === PUBACK_BYTE && bytes[pos + 1] === 2) {
    const id = (bytes[pos + 2]! << 8) | bytes[pos + 3]!;
    if (id === 0) return pos;
    let count = 1;
    for (pos += 4; pos + 4 <= end && bytes[pos] === PUBACK_BYTE && bytes[pos + 1] === 2; pos += 4) {
      if (((bytes[pos + 2]! << 8) | bytes[pos + 3]!) !== id + count) break;
      count++;
    }
    takeRun(connection, id, count);
  }
  return pos;
}

/** PUBRECs, PUBRELs or PUBCOMPs without a reason, all with this first byte, stand from bytes[start] on. Takes them as far as they go; returns where it stopped. */
export function onStepsOfQos2(
  connection: Connection,
  first: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  let pos = start;
  for (; pos + 4 <= end && bytes[pos] === first && bytes[pos + 1] === 2; pos += 4) {
    const id = (bytes[pos + 2]! << 8) | bytes[pos + 3]!;
    if (id === 0) break;
    if (first === PUBREC_BYTE) onPubrec(connection, id, 0);
    else if (first === PUBREL_BYTE) onPubrel(connection, id);
    else onPubcomp(connection, id);
  }
  return pos;
}

/** The client has taken the QoS 1 messages [id, id + count). Most often they are consecutive messages of one queue, and leave it together. */
function takeRun(connection: Connection, id: number, count: number): void {
  const { window, waiting } = connection.client!;
  for (let done = 0; done < count; ) {
    const next = id + done;
    if (count - done === 1 || waiting.length > 0) {
      onPuback(connection, next, 0);
      done++;
      continue;
    }
    if (window.stateOf(next) !== InflightState.AwaitPuback) {
      done++;
      continue;
    }
    const queue = window.queueOf(next)!;
    const tag = window.tagOf(next);
    const taken = window.removeRun(next, count - done);
    connection.giveCredit(taken);
    queue.settleRun(tag, taken);
    done += taken;
  }
}

/** The client has taken a QoS 1 message, or (MQTT 5) refused it. */
export function onPuback(
  connection: Connection,
  id: number,
  reason: number,
  userProperties: readonly string[] | null = null,
): void {
  const { window } = connection.client!;
  if (window.stateOf(id) !== InflightState.AwaitPuback) return;
  const queue = window.queueOf(id)!;
  const tag = window.tagOf(id);
  window.remove(id);
  if (!answeredEarly(connection, id)) connection.giveCredit();
  if (reason < FAILURE_MIN) queue.settle(tag, Outcome.Accepted);
  else refuse(connection, queue, tag, userProperties);
}

/** The answer is to a PUBLISH of an earlier connection, which has not been sent again on this one. */
function answeredEarly({ client }: Connection, id: number): boolean {
  return client!.waiting.length > 0 && client!.stopWaiting(id);
}

/**
 * A refusal is final: the message is not sent again, to anybody [MQTT-4.4.0-2] [MQTT-4.8.2-6]. Only those of named queues may be asked back, with x-requeue=true at once or with
 * x-retry-after=<ms> later.
 */
function refuse(connection: Connection, queue: Queue, tag: number, userProperties: readonly string[] | null): void {
  const { adapter, vhost } = connection;
  if (userProperties !== null && vhost.queues.get(queue.name) === queue && !isShare(queue)) {
    for (let i = 0; i + 1 < userProperties.length; i += 2) {
      const value = userProperties[i + 1]!;
      if (userProperties[i] === 'x-requeue' && value === 'true') {
        queue.settle(tag, Outcome.Requeued);
        return;
      }
      if (userProperties[i] === 'x-retry-after' && /^\d{1,12}$/.test(value)) {
        adapter.retries.add(queue, tag, adapter.broker.nowMs + Math.min(Number(value), RETRY_AFTER_MS_MAX));
        return;
      }
    }
  }
  queue.settle(tag, Outcome.Rejected);
}

export function onPubrec(
  connection: Connection,
  id: number,
  reason: number,
  userProperties: readonly string[] | null = null,
): void {
  const { window } = connection.client!;
  const state = window.stateOf(id);
  // [MQTT-4.3.3-6]
  if (state === InflightState.AwaitPubcomp) {
    // Repeated: so is the answer.
    answerAgain(connection, PacketType.PUBREL, id);
    return;
  }
  // Its message is on its way from the log, and its PUBLISH comes again.
  if (state === InflightState.Recovered) return;
  if (state !== InflightState.AwaitPubrec) {
    if (connection.wire === 5 && reason >= FAILURE_MIN) return;
    // An identifier that is not known is answered all the same, so that the client can let go of it (MQTT 5.0 section 4.3.3, figure).
    connection.send(pubrel(id, connection.wire === 5 ? ReasonCode.PACKET_IDENTIFIER_NOT_FOUND : 0));
    return;
  }
  const queue = window.queueOf(id)!;
  const tag = window.tagOf(id);
  const { stored } = connection.adapter;
  const { session } = connection.client!;
  stored.removeSent(session, id);
  if (reason >= FAILURE_MIN) {
    window.remove(id);
    if (!answeredEarly(connection, id)) connection.giveCredit();
    refuse(connection, queue, tag, userProperties);
    return;
  }
  // It counts from here on.
  if (answeredEarly(connection, id)) connection.client!.credit.available--;
  // The client owns the message now; the identifier stays taken until PUBCOMP [MQTT-4.3.3-4] [MQTT-4.3.3-6].
  window.setState(id, InflightState.AwaitPubcomp);
  queue.settle(tag, Outcome.Accepted);
  answer(connection, PacketType.PUBREL, id, 0, stored.putReleased(session, id));
}

/**
 * An answer once more, to a client that may have come back before the first one left. What it stands for may not be on the disk yet, so it waits for everything up to now: otherwise a crash could still
 * undo what the client has been told.
 */
export function answerAgain(connection: Connection, type: number, id: number, reason = 0): void {
  const position = connection.client!.logged ? connection.adapter.broker.log.position : 0;
  answer(connection, type, id, reason, position);
}

export function onPubcomp(connection: Connection, id: number): void {
  const { window } = connection.client!;
  if (window.stateOf(id) !== InflightState.AwaitPubcomp) return;
  window.remove(id);
  connection.giveCredit();
  connection.adapter.stored.removeReleased(connection.client!.session, id);
}

export function onPubrel(connection: Connection, id: number): void {
  const client = connection.client!;
  // [MQTT-4.3.3-12] [MQTT-4.3.3-13]
  const known = client.received?.remove(id) === true;
  if (!known) {
    const reason = connection.wire === 4 ? 0 : ReasonCode.PACKET_IDENTIFIER_NOT_FOUND;
    answerAgain(connection, PacketType.PUBCOMP, id, reason);
    return;
  }
  if (connection.qos2Pending > 0) connection.qos2Pending--;
  const position = connection.adapter.stored.removeReceived(client.session, id);
  // [MQTT-4.3.3-11]
  answer(connection, PacketType.PUBCOMP, id, 0, position);
}

/** What a refused operation is in MQTT 5. */
export function reasonOfBrokerError(error: BrokerError): number {
  switch (error.code) {
    case 'access-refused':
      return ReasonCode.NOT_AUTHORIZED;
    case 'quota-exceeded':
      return ReasonCode.QUOTA_EXCEEDED;
    case 'shutting-down':
      return ReasonCode.SERVER_SHUTTING_DOWN;
    case 'not-found':
    case 'invalid-argument':
      return ReasonCode.TOPIC_NAME_INVALID;
    default:
      return ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR;
  }
}
