// PUBLISH frames of MQTT 5 with what one delivery adds to them, as bytes: the subscription identifiers of the receiver, and the time that a message has left. Neither is a reason to take
// every message apart.
//
//   topic | packet id | length | properties below 0x0B, 0x02 with the seconds left | 0x0B identifier … | properties above | payload
//
// Relies on the frames being valid. Where the properties are not in the order of their identifiers, which is ours, the long way writes the frame anew in that order, and so it has to here.
import type { WireForm } from '../../src/core/run.ts';
import { copy } from '../../src/lib/copy.ts';
import { readFrameLength, variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';

const MESSAGE_EXPIRY_INTERVAL = 0x02;
const SUBSCRIPTION_IDENTIFIER = 0x0b;
/** What the look at a frame's properties has found. */
interface Places {
  /** For the subscription identifiers. */
  identifiers: number;
  /** Of the seconds a message has; -1 when it has no such property. */
  expiry: number;
}

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

/** No subscription identifiers. */
export const NO_BLOCK = new Uint8Array(0);

/**
 * Frames [index, index + count) of a form of MQTT 5 with the identifiers of the block (identifierBlock) and, unless it is -1, the seconds that are left, in memory of their own; null when the
 * long way has to make them. withId: the frames have packet identifiers.
 */
export function dressedForm(
  form: WireForm,
  index: number,
  count: number,
  withId: boolean,
  block: Uint8Array,
  secondsLeft: number,
): WireForm | null {
  const { bytes, offsets } = form;
  const from = form.start + (offsets === null ? 0 : offsets[index]!);
  const to = offsets === null ? form.end : form.start + offsets[index + count]!;
  const out = Buffer.allocUnsafe(to - from + count * (block.length + LENGTHS_GROW_BY));
  const starts = count === 1 ? null : new Uint32Array(count + 1);
  const places: Places = { identifiers: 0, expiry: 0 };
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
    if (!look(bytes, properties, properties + length, places)) return null;
    // Where there is no such property, it would have to be put in.
    if (secondsLeft >= 0 && places.expiry < 0) return null;
    const place = places.identifiers;
    const grown = length + block.length;
    if (starts !== null) starts[i] = at;
    out[at++] = bytes[start]!;
    at = writeVariableByteInteger(
      out,
      at,
      lengthAt - body + variableByteIntegerBytes(grown) + block.length + (end - properties),
    );
    at = copy(bytes, body, lengthAt, out, at);
    at = writeVariableByteInteger(out, at, grown);
    const copied = at;
    at = copy(bytes, properties, place, out, at);
    // [MQTT-3.3.2-6]
    if (secondsLeft >= 0) out.writeUInt32BE(secondsLeft, copied + places.expiry - properties);
    at = copy(block, 0, block.length, out, at);
    at = copy(bytes, place, end, out, at);
    start = end;
  }
  if (starts !== null) starts[count] = at;
  return { bytes: out, start: 0, end: at, offsets: starts };
}

/** Looks at the properties bytes[start, end); false when they are not in order. */
function look(bytes: Uint8Array, start: number, end: number, places: Places): boolean {
  places.identifiers = start;
  places.expiry = -1;
  let before = 0;
  for (let at = start; at < end; ) {
    const id = bytes[at++]!;
    if (id < before) return false;
    before = id;
    if (id === USER_PROPERTY) {
      at = textEnd(bytes, textEnd(bytes, at));
      continue;
    }
    const size = VALUE_BYTES[id];
    if (size === undefined) return false;
    if (id === MESSAGE_EXPIRY_INTERVAL) places.expiry = at;
    at = size === 0 ? textEnd(bytes, at) : at + size;
    if (id < SUBSCRIPTION_IDENTIFIER) places.identifiers = at;
  }
  return true;
}

function textEnd(bytes: Uint8Array, at: number): number {
  return at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!);
}
