// ACK and NACK: which delivery is meant, and what becomes of it. The ids are ours (message-writer.ts), so they are read in place.
import { Outcome } from '../../src/core/consumer.ts';
import type { Connection } from './connection.ts';
import type { FrameScanner } from './decoder.ts';
import { quoted, stompError } from './errors.ts';
import { COMMAND_NAMES, Command, Version } from './frame.ts';
import { HEADER_NAMES, Header } from './headers.ts';
import { answer } from './receipts.ts';
import { AckMode, type Subscription } from './subscription.ts';

const DASH = 0x2d;
const DIGIT_0 = 0x30;
/** Digits of a number in an id: all that a double holds exactly. */
const DIGITS_MAX = 15;

export function onAck(connection: Connection, scanner: FrameScanner): void {
  const { headers, command } = scanner;
  const { version } = connection;
  if (command === Command.NACK && version === Version.V1_0) {
    throw stompError('command-unknown', 'NACK came with STOMP 1.1; this connection speaks 1.0');
  }
  // [STOMP-A-1] [STOMP-A-2] [STOMP-A-3] STOMP 1.2 "ACK": the id header is the ack header of the MESSAGE. Before, message-id and (from 1.1 on required) subscription name it.
  const name = version === Version.V1_2 ? Header.id : Header['message-id'];
  const index = headers.find(name);
  if (index < 0)
    throw stompError('header-missing', `${COMMAND_NAMES[command]!} without the header ${HEADER_NAMES[name]!}`);
  if (version === Version.V1_1 && !headers.has(Header.subscription)) {
    throw stompError('header-missing', `${COMMAND_NAMES[command]!} without the header subscription`);
  }
  const { bytes } = headers;
  const start = headers.valueStart(index);
  const end = headers.valueEnd(index);
  // …<place>-<number>
  const numberAt = digitsBefore(bytes, start, end);
  const placeAt = digitsBefore(bytes, start, numberAt - 1);
  const number = decimal(bytes, numberAt, end);
  const place = decimal(bytes, placeAt, numberAt - 1);
  const isOurs =
    number >= 0 && place >= 0 && bytes[numberAt - 1] === DASH && isNamespace(connection, bytes, start, placeAt);
  const subscription = isOurs ? connection.byPlace.get(place) : undefined;
  // Its subscription has ended, and with it the delivery: an ACK that crosses UNSUBSCRIBE on its way is no error.
  const isLate = subscription === undefined && isOurs && place < connection.nextPlace;
  if (!isLate) {
    if (subscription?.unsettled?.has(number) !== true || !isNamed(scanner, subscription)) {
      throw stompError('ack-unknown', `no delivery ${quoted(bytes, start, end)} waits to be settled`);
    }
    const outcome = outcomeOf(scanner);
    const transaction = headers.string(Header.transaction);
    if (transaction === null) settle(connection, subscription, number, outcome);
    else connection.transactions.settle(transaction, subscription, number, outcome);
  }
  answer(connection, connection.adapter.broker.positionOfAll());
}

/** Where the digits begin that end at `end`; nothing before `start` is looked at. */
function digitsBefore(bytes: Uint8Array, start: number, end: number): number {
  let at = end;
  while (at > start && bytes[at - 1]! >= DIGIT_0 && bytes[at - 1]! <= DIGIT_0 + 9) at--;
  return at;
}

/** The number in bytes[start, end), all of them digits; -1 for none, and for one that is not written as we do. */
function decimal(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length <= 0 || length > DIGITS_MAX || (bytes[start] === DIGIT_0 && length > 1)) return -1;
  let value = 0;
  for (let i = start; i < end; i++) value = value * 10 + bytes[i]! - DIGIT_0;
  return value;
}

/** What stands in front of the place: nothing in an ack header, the connection's name and a dash in a message-id. */
function isNamespace({ version, sessionName }: Connection, bytes: Uint8Array, start: number, end: number): boolean {
  if (version === Version.V1_2) return start === end;
  if (end - start !== sessionName.length + 1 || bytes[end - 1] !== DASH) return false;
  for (let i = 0; i < sessionName.length; i++) if (bytes[start + i] !== sessionName.charCodeAt(i)) return false;
  return true;
}

/** The subscription header, where there is one, names the subscription the delivery belongs to. */
function isNamed({ headers }: FrameScanner, subscription: Subscription): boolean {
  const named = headers.find(Header.subscription);
  return named < 0 || subscription.id === null || headers.valueAt(named) === subscription.id;
}

function outcomeOf({ headers, command }: FrameScanner): Outcome {
  if (command === Command.ACK) return Outcome.Accepted;
  return headers.is(Header.requeue, 'false') ? Outcome.Rejected : Outcome.Requeued;
}

/** STOMP 1.2 "SUBSCRIBE": with ack:client an ACK or NACK means all deliveries of the subscription up to the one named. [STOMP-U-7] [STOMP-A-5] */
export function settle(connection: Connection, subscription: Subscription, number: number, outcome: Outcome): void {
  const { composite, ackMode } = subscription;
  if (composite === null || ackMode !== AckMode.Client) settleOf(connection, subscription, number, outcome);
  else composite.upTo(subscription, number, (part, last) => settleOf(connection, part, last, outcome));
}

function settleOf(connection: Connection, subscription: Subscription, number: number, outcome: Outcome): void {
  const { unsettled, queue, consumer } = subscription;
  let first = subscription.ackMode === AckMode.Client ? unsettled!.first : number;
  while (first !== 0 && first <= number) {
    const tag = unsettled!.take(first);
    if (tag >= 0) queue!.settle(tag, outcome);
    if (first === number) break;
    first = unsettled!.first;
  }
  consumer!.refreshCredit();
  connection.wantPump(subscription);
}
