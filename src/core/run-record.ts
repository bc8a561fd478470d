// One owned run of one message as bytes for the state store (retained messages), and back. The log has a record format of its own for many.
//
//   codec u32 │ variant u8 │ guarantee u8 │ priority u8 │ 0 u8 │ received f64 │ expires f64 │ frame bytes …
import { assert } from '../lib/assert.ts';
import type { Guarantee } from './guarantee.ts';
import { type Codec, Run } from './run.ts';

const HEADER_BYTES = 24;

let scratch = new DataView(new ArrayBuffer(4096));

/** Borrowed or owned. The record is valid until the next call. */
export function encodeRun(run: Run): Uint8Array {
  assert(run.count === 1, 'Only runs of one message are kept as state.');
  const size = HEADER_BYTES + run.byteLength;
  if (scratch.byteLength < size) scratch = new DataView(new ArrayBuffer(size));
  const view = scratch;
  const bytes = new Uint8Array(view.buffer, 0, size);
  view.setUint32(0, run.codec.id);
  view.setUint8(4, run.variant);
  view.setUint8(5, run.guarantee);
  view.setUint8(6, run.priority);
  view.setFloat64(8, run.receivedAtMs);
  view.setFloat64(16, run.expiresAtMs);
  bytes.set(run.bytes.subarray(run.start, run.end), HEADER_BYTES);
  return bytes;
}

/** Copies. Throws when the codec is not known: the record was written by a broker that could do more. */
export function decodeRun(record: Uint8Array, codecs: ReadonlyMap<number, Codec>): Run {
  assert(record.length >= HEADER_BYTES, 'A stored run has its header.');
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const codec = codecs.get(view.getUint32(0));
  if (codec === undefined)
    throw new Error(`A stored message is of codec ${view.getUint32(0)}, which this version does not have`);
  const run = new Run(codec);
  run.variant = view.getUint8(4);
  run.guarantee = view.getUint8(5) as Guarantee;
  run.priority = view.getUint8(6);
  run.receivedAtMs = view.getFloat64(8);
  run.expiresAtMs = view.getFloat64(16);
  run.bytes = new Uint8Array(record.subarray(HEADER_BYTES));
  run.end = run.bytes.length;
  run.frameBytesMax = run.end;
  run.count = 1;
  run.owned = true;
  return run;
}
