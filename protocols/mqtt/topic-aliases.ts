// Topic aliases towards a client that allows them (MQTT 5.0 section 3.3.2.3.4): the first topics that are long enough to gain by it get one, for as long as the connection lives. A PUBLISH
// is rewritten on its way into the output; what it was made from is shared with other clients and stays as it is.
import type { Output } from '../../src/io/output.ts';
import { variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';

/** An alias takes three bytes in each packet; shorter topics gain nothing. */
const TOPIC_BYTES_MIN = 4;
const TOPIC_ALIAS = 0x23;
const ALIAS_BYTES = 3;
/** Aliases kept for one client, whatever it allows: each holds a topic in memory. */
export const ALIASES_MAX = 1024;

export class TopicAliases {
  // [MQTT-3.3.2-7]
  private readonly aliases = new Map<string, number>();
  private readonly max: number;

  /** max is the client's Topic Alias Maximum, above 0 [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11]. */
  constructor(max: number) {
    this.max = Math.min(max, ALIASES_MAX);
  }

  /** Appends the MQTT 5 PUBLISH in bytes[start, end), whose topic is written out. Nothing larger than bytesMax leaves; false when it is too large in every form. */
  append(output: Output, bytes: Uint8Array, start: number, end: number, bytesMax: number): boolean {
    let at = start + 1;
    while (bytes[at++]! >= 0x80);
    const topicBytes = (bytes[at]! << 8) | bytes[at + 1]!;
    const topicEnd = at + 2 + topicBytes;
    if (topicBytes < TOPIC_BYTES_MIN) return appendWhole(output, bytes, start, end, bytesMax);
    const topic = Buffer.from(bytes.buffer, bytes.byteOffset + at + 2, topicBytes).toString('latin1');
    const known = this.aliases.get(topic);
    if (known === undefined && this.aliases.size >= this.max) return appendWhole(output, bytes, start, end, bytesMax);
    const alias = known ?? this.aliases.size + 1;
    const frame = withAlias(bytes, start, at, topicEnd, end, alias, known === undefined);
    if (frame.length > bytesMax) return known === undefined && appendWhole(output, bytes, start, end, bytesMax);
    if (known === undefined) this.aliases.set(topic, alias);
    output.append(frame, 0, frame.length);
    return true;
  }
}

function appendWhole(output: Output, bytes: Uint8Array, start: number, end: number, bytesMax: number): boolean {
  if (end - start > bytesMax) return false;
  output.append(bytes, start, end);
  return true;
}

/** The frame with the alias, and with the topic only where it is being set. */
function withAlias(
  bytes: Uint8Array,
  start: number,
  topicAt: number,
  topicEnd: number,
  end: number,
  alias: number,
  setting: boolean,
): Uint8Array {
  const idBytes = (bytes[start]! & 0x06) === 0 ? 0 : 2;
  let properties = topicEnd + idBytes;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[properties++]!;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  const grown = length + ALIAS_BYTES;
  const topicBytes = setting ? topicEnd - topicAt : 2;
  const remaining = topicBytes + idBytes + variableByteIntegerBytes(grown) + ALIAS_BYTES + (end - properties);
  const frame = Buffer.allocUnsafe(1 + variableByteIntegerBytes(remaining) + remaining);
  frame[0] = bytes[start]!;
  let at = writeVariableByteInteger(frame, 1, remaining);
  if (setting) frame.set(bytes.subarray(topicAt, topicEnd), at);
  else frame[at] = frame[at + 1] = 0;
  at += topicBytes;
  frame.set(bytes.subarray(topicEnd, topicEnd + idBytes), at);
  at = writeVariableByteInteger(frame, at + idBytes, grown);
  frame[at++] = TOPIC_ALIAS;
  frame[at++] = alias >>> 8;
  frame[at++] = alias & 0xff;
  frame.set(bytes.subarray(properties, end), at);
  return frame;
}
