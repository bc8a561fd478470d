// RECEIPT: at once, or when the log is durable up to the position of what the frame did; never before an earlier one. Receipts that are plain numbers wait as numbers.
import type { BrokerError } from '../../src/core/errors.ts';
import type { Connection } from './connection.ts';
import { decimalBytes, encodeFrame, receiptBytes, writeDecimal, writeReceipt } from './encoder.ts';
import { Frame } from './frame.ts';
import type { HeaderIndex } from './header-index.ts';
import { Header } from './headers.ts';

/** What to do when a waiting receipt's time has come, packed into the confirm ring. Numbers below stand for themselves: RECEIPT with that receipt-id. */
const WRITE_BYTES = 0xffff_fffe;
const CLOSE = 0xffff_ffff;
const DIGITS_MAX = 9;

const SCRATCH = new Uint8Array(16);

/** Answers the frame that is being looked at, if it asks for it; position 0: nothing to wait for. */
export function answer(connection: Connection, position: number): void {
  const { headers } = connection.scanner;
  const index = headers.find(Header.receipt);
  if (index >= 0) answerRange(connection, headers.bytes, headers.valueStart(index), headers.valueEnd(index), position);
}

/** The receipt whose id is bytes[start, end), as it came. */
export function answerRange(
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
  position: number,
): void {
  if (isDue(connection, position)) {
    write(connection, bytes, start, end);
    return;
  }
  const number = plainNumber(bytes, start, end);
  if (number >= 0) wait(connection, position, number, null);
  else {
    const frame = new Uint8Array(receiptBytes(end - start));
    writeReceipt(frame, 0, bytes, start, end);
    wait(connection, position, WRITE_BYTES, frame);
  }
}

/** The same for the frames of a run: the id of frame i is bytes[starts[i], ends[i]); where ends[i] is 0 it asked for none. Those that have to wait and are no numbers wait as one block. */
export function answerMany(
  connection: Connection,
  bytes: Uint8Array,
  starts: Uint32Array,
  ends: Uint32Array,
  count: number,
  position: number,
): void {
  const due = isDue(connection, position);
  let blockBytes = 0;
  let blockStart = 0;
  for (let i = 0; i < count; i++) {
    const start = starts[i]!;
    const end = ends[i]!;
    if (end === 0) continue;
    if (due) {
      write(connection, bytes, start, end);
      continue;
    }
    const number = plainNumber(bytes, start, end);
    if (number < 0) {
      if (blockBytes === 0) blockStart = i;
      blockBytes += receiptBytes(end - start);
      continue;
    }
    if (blockBytes > 0) waitTogether(connection, position, bytes, starts, ends, blockStart, i, blockBytes);
    blockBytes = 0;
    wait(connection, position, number, null);
  }
  if (blockBytes > 0) waitTogether(connection, position, bytes, starts, ends, blockStart, count, blockBytes);
}

function waitTogether(
  connection: Connection,
  position: number,
  bytes: Uint8Array,
  starts: Uint32Array,
  ends: Uint32Array,
  from: number,
  to: number,
  size: number,
): void {
  const block = new Uint8Array(size);
  let at = 0;
  for (let i = from; i < to; i++) if (ends[i] !== 0) at = writeReceipt(block, at, bytes, starts[i]!, ends[i]!);
  wait(connection, position, WRITE_BYTES, block);
}

function isDue({ confirms, adapter }: Connection, position: number): boolean {
  return confirms.empty && position <= adapter.broker.log.durablePosition;
}

function write({ output }: Connection, bytes: Uint8Array, start: number, end: number): void {
  const at = output.reserve(receiptBytes(end - start));
  writeReceipt(output.bytes, at, bytes, start, end);
}

/** A SEND with x-nack:true was refused: the connection goes on, the receipt says no. */
export function refuse(connection: Connection, headers: HeaderIndex, error: BrokerError): void {
  const lines = [
    'receipt-id',
    headers.string(Header.receipt)!,
    'x-confirm',
    'nack',
    'message',
    `${error.code}: ${error.message}`,
  ];
  const frame = encodeFrame(new Frame('RECEIPT', lines), connection.version);
  if (connection.confirms.empty) connection.output.append(frame, 0, frame.length);
  else wait(connection, 0, WRITE_BYTES, frame);
}

/** Ends the connection when everything before has been answered. */
export function closeAfterAnswers(connection: Connection): void {
  if (connection.confirms.empty) connection.leave();
  else wait(connection, 0, CLOSE, null);
}

function wait(connection: Connection, position: number, what: number, extra: Uint8Array | null): void {
  const { confirms } = connection;
  confirms.add(Math.max(position, confirms.lastPosition), what, extra);
  connection.adapter.broker.awaitDurable(connection);
}

/** The time of a waiting answer has come. */
export function writeConfirm(connection: Connection, what: number, extra: object | null): void {
  if (what === CLOSE) {
    connection.leave();
    return;
  }
  if (extra !== null) {
    const frame = extra as Uint8Array;
    connection.output.append(frame, 0, frame.length);
    return;
  }
  const digits = decimalBytes(what);
  writeDecimal(SCRATCH, 0, what);
  write(connection, SCRATCH, 0, digits);
}

/** A number that is written as it stands, or -1. */
function plainNumber(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length === 0 || length > DIGITS_MAX || (bytes[start] === 0x30 && length > 1)) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
