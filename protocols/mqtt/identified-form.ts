// PUBLISH frames of MQTT 5 with the subscription identifiers of one receiver put into them, as bytes: a subscription that has an identifier is no reason to take every message apart.
//
//   topic | packet id | length | properties below 0x0B | 0x0B identifier … | properties above | payload
//
// Relies on the frames being valid. Where the properties are not in the order of their identifiers, which is ours, the long way writes the frame anew in that order, and so it has to here.
import type { WireForm } from '../../src/core/run.ts';
import { copy } from '../../src/lib/copy.ts';
import { readFrameLength, variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';

const SUBSCRIPTION_IDENTIFIER = 0x0b;
/** Bytes of the properties a PUBLISH may have in front of its subscription identifiers or behind them; 0: a string or binary data, as long as its first two bytes say. */
const VALUE_BYTES: Readonly<Record<number, number>> = { 1: 1, 2: 4, 3: 0, 8: 0, 9: 0, 35: 2 };
const USER_PROPERTY = 0x26;
/** What the two lengths of a frame may grow by. */
const LENGTHS_GROW_BY = 4;

/** The properties that say these identifiers, as bytes. */
export function identifierBlock(identifiers: readonly number[]): Uint8Array {
  const block = new Uint8Array(identifiers.reduce((sum, value) => sum + 1 + variableByteIntegerBytes(value), 0));
  let at = 0;
  for (const value of identifiers) {
    block[at++] = SUBSCRIPTION_IDENTIFIER;
    at = writeVariableByteInteger(block, at, value);
  }
  return block;
}

/**
 * Frames [index, index + count) of a form of MQTT 5 with the identifiers of the block (identifierBlock), in memory of their own; null when the long way has to make them. withId: the frames
 * have packet identifiers.
 */
export function identifiedForm(
  form: WireForm,
  index: number,
  count: number,
  withId: boolean,
  block: Uint8Array,
): WireForm | null {
  const { bytes, offsets } = form;
  const from = form.start + (offsets === null ? 0 : offsets[index]!);
  const to = offsets === null ? form.end : form.start + offsets[index + count]!;
  const out = Buffer.allocUnsafe(to - from + count * (block.length + LENGTHS_GROW_BY));
  const places = count === 1 ? null : new Uint32Array(count + 1);
  let at = 0;
  for (let i = 0, start = from; i < count; i++) {
    const end = offsets === null ? form.end : form.start + offsets[index + i + 1]!;
    const header = readFrameLength(bytes, start, end);
    const body = start + (header & 7);
    const lengthAt = body + 2 + ((bytes[body]! << 8) | bytes[body + 1]!) + (withId ? 2 : 0);
    let properties = lengthAt;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[properties++]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    const place = placeFor(bytes, properties, properties + length);
    if (place < 0) return null;
    const grown = length + block.length;
    if (places !== null) places[i] = at;
    out[at++] = bytes[start]!;
    at = writeVariableByteInteger(
      out,
      at,
      lengthAt - body + variableByteIntegerBytes(grown) + block.length + (end - properties),
    );
    at = copy(bytes, body, lengthAt, out, at);
    at = writeVariableByteInteger(out, at, grown);
    at = copy(bytes, properties, place, out, at);
    at = copy(block, 0, block.length, out, at);
    at = copy(bytes, place, end, out, at);
    start = end;
  }
  if (places !== null) places[count] = at;
  return { bytes: out, start: 0, end: at, offsets: places };
}

/** Where the identifiers belong among the properties bytes[start, end); -1 when those are not in order. */
function placeFor(bytes: Uint8Array, start: number, end: number): number {
  let place = start;
  let before = 0;
  for (let at = start; at < end; ) {
    const id = bytes[at++]!;
    if (id < before) return -1;
    before = id;
    if (id === USER_PROPERTY) {
      at = textEnd(bytes, textEnd(bytes, at));
      continue;
    }
    const size = VALUE_BYTES[id];
    if (size === undefined) return -1;
    at = size === 0 ? textEnd(bytes, at) : at + size;
    if (id < SUBSCRIPTION_IDENTIFIER) place = at;
  }
  return place;
}

function textEnd(bytes: Uint8Array, at: number): number {
  return at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!);
}
