// PUBLISH frames as bytes: the codec of MQTT runs, and their forms for other versions and guarantees. A run's frames are complete PUBLISH packets in a normal form: the
// topic is there (aliases are resolved), DUP is clear, all frames share their first byte, and all were received in one version (run.variant: 4 or 5).
//
//   ┌──────┬─────────────┬─────────┬───────┬───────────┬─────────────────┬─────────┐
//   │ 0x3? │ rem. length │ topic # │ topic │ packet id │ length, props   │ payload │
//   └──────┴─────────────┴─────────┴───────┴───────────┴─────────────────┴─────────┘
//                                           QoS > 0 only  MQTT 5 only
//
// Four forms are kept with a run (version × with or without packet id); the run's own bytes are one of them. Changing form moves bytes, it makes no objects.
import type { Message } from '../../src/core/message.ts';
import { type ByteRange, type Codec, Run, type WireForm, wireSlot } from '../../src/core/run.ts';
import { ByteBuilder } from '../../src/lib/byte-builder.ts';
import { sameBytes } from '../../src/lib/byte-hash.ts';
import { copy } from '../../src/lib/copy.ts';
import { FROM_CLIENT } from './decode-options.ts';
import { decodePublish } from './decoder.ts';
import { encode } from './encoder.ts';
import { headerBytes, readFrameLength, variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';
import { fromMessage, toMessage } from './mapping.ts';
import type { Publish, Qos } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { Properties } from './properties.ts';

/** First byte of a PUBLISH without any flag. */
export const PUBLISH_BYTE = PacketType.PUBLISH << 4;
export const RETAIN_FLAG = 0x01;
export const DUP_FLAG = 0x08;

/** 3.1 and 3.1.1 have the same PUBLISH. */
export type WireVersion = 4 | 5;

export function wireVersion(version: ProtocolVersion): WireVersion {
  return version === ProtocolVersion.V5 ? 5 : 4;
}

class MqttCodec implements Codec {
  readonly id = 1;
  readonly name = 'mqtt';

  message(run: Run, index: number): Message {
    return toMessage(decodeFrame(run, index), run.receivedAtMs, run.expiresAtMs);
  }

  repeats(run: Run, index: number, payload: ByteRange): boolean {
    const { bytes } = run;
    let at = bodyOf(bytes, run.frameStart(index));
    let before = bodyOf(bytes, run.frameStart(index - 1));
    // The topic, and its two bytes of length.
    const topicBytes = 2 + ((bytes[at]! << 8) | bytes[at + 1]!);
    if (!sameBytes(bytes, before, bytes, at, topicBytes)) return false;
    const idBytes = run.guarantee > 0 ? 2 : 0;
    at += topicBytes + idBytes;
    before += topicBytes + idBytes;
    if (run.variant === 5) {
      let lengthBytes = 0;
      let length = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[at + lengthBytes++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      if (!sameBytes(bytes, before, bytes, at, lengthBytes + length)) return false;
      at += lengthBytes + length;
    }
    payload.start = at;
    payload.end = run.frameEnd(index);
    return true;
  }
}

/** Where the body of the frame that starts at `frame` begins. */
function bodyOf(bytes: Uint8Array, frame: number): number {
  let at = frame + 1;
  while (bytes[at++]! >= 0x80);
  return at;
}

export const MQTT_CODEC: Codec = new MqttCodec();

/** Frame `index` of an MQTT run as a packet object. */
export function decodeFrame(run: Run, index: number): Publish {
  const start = run.frameStart(index);
  const end = run.frameEnd(index);
  const bodyStart = start + headerBytes(readFrameLength(run.bytes, start, end));
  const version = run.variant === 5 ? ProtocolVersion.V5 : ProtocolVersion.V311;
  return decodePublish(run.bytes, start, bodyStart, end, version, FROM_CLIENT);
}

/** A run of one message out of a packet object, owned. */
export function runOfPublish(publish: Publish, version: WireVersion, receivedAtMs: number): Run {
  const bytes = encode(publish, version === 5 ? ProtocolVersion.V5 : ProtocolVersion.V311);
  const run = new Run(MQTT_CODEC);
  run.variant = version;
  run.bytes = bytes;
  run.end = bytes.length;
  run.count = 1;
  run.guarantee = publish.qos;
  run.frameBytesMax = bytes.length;
  run.receivedAtMs = receivedAtMs;
  const seconds = publish.properties.messageExpiryIntervalS;
  if (seconds !== null) run.expiresAtMs = receivedAtMs + seconds * 1000;
  run.priority = priorityOf(publish);
  run.persistent = isPersistent(publish);
  run.owned = true;
  return run;
}

/** The user property `priority`, 0 to 255; anything else counts as 0. */
export function priorityOf(publish: Publish): number {
  const pairs = publish.properties.userProperties;
  if (pairs === null) return 0;
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    if (pairs[i] === 'priority' && /^\d{1,3}$/.test(pairs[i + 1]!)) return Math.min(255, Number(pairs[i + 1]));
  }
  return 0;
}

/** The user property delivery-mode=1 says that the message need not be on the disk, whatever its QoS. */
export function isPersistent(publish: Publish): boolean {
  const pairs = publish.properties.userProperties;
  if (pairs === null) return true;
  for (let i = 0; i + 1 < pairs.length; i += 2) if (pairs[i] === 'delivery-mode') return pairs[i + 1] !== '1';
  return true;
}

/** Offset of the packet identifier in the frame that starts at `frame` (QoS > 0). */
export function packetIdOffset(bytes: Uint8Array, frame: number): number {
  const at = bodyOf(bytes, frame);
  return at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!);
}

const SLOTS: readonly number[] = [wireSlot(), wireSlot(), wireSlot(), wireSlot()];

/**
 * The run's frames as PUBLISH packets of this version, with packet ids (to be filled in) or without, RETAIN and DUP clear, QoS bits unspecified when with ids.
 */
export function wireForm(run: Run, version: WireVersion, withId: boolean): WireForm {
  const isForm = run.codec === MQTT_CODEC && run.variant === version && run.guarantee > 0 === withId;
  if (isForm && (run.bytes[run.start]! & RETAIN_FLAG) === 0) return run;
  const slot = SLOTS[(version === 5 ? 2 : 0) + (withId ? 1 : 0)]!;
  const made = run.wire[slot];
  if (made !== undefined && made !== null) return made;
  const form =
    isForm && run.count === 1
      ? withoutRetain(run)
      : run.codec === MQTT_CODEC
        ? transcode(run, version, withId)
        : encodeForm(run, version, withId);
  run.setWire(slot, form);
  return form;
}

/** The one frame of a run that has the form but for its RETAIN flag. */
function withoutRetain(run: Run): WireForm {
  const { start, end } = run;
  const bytes = Buffer.allocUnsafe(end - start);
  copy(run.bytes, start, end, bytes, 0);
  bytes[0]! &= ~RETAIN_FLAG;
  return { bytes, start: 0, end: end - start, offsets: null };
}

/** MQTT to MQTT: headers are rewritten, topics, properties and payloads copied. */
function transcode(run: Run, version: WireVersion, withId: boolean): WireForm {
  const { bytes, count } = run;
  const hadId = run.guarantee > 0;
  const hadProperties = run.variant === 5;
  // At most: a packet id, a property length, and a byte more of remaining length for each frame.
  const out = Buffer.allocUnsafe(run.byteLength + count * 4);
  const offsets = count === 1 ? null : new Uint32Array(count + 1);
  // [MQTT-4.3.1-1], [3.1.1 MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2]
  const first = PUBLISH_BYTE | (withId ? 2 : 0);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = run.frameEnd(i);
    let pos = run.frameStart(i) + 1;
    while (bytes[pos++]! >= 0x80);
    const topic = pos;
    const topicEnd = pos + 2 + ((bytes[pos]! << 8) | bytes[pos + 1]!);
    let properties = topicEnd + (hadId ? 2 : 0);
    let payload = properties;
    if (hadProperties) {
      let length = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[payload++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      payload += length;
      if (version === 4) properties = payload;
    }
    const addedLength = version === 5 && !hadProperties ? 1 : 0;
    const remaining = topicEnd - topic + (withId ? 2 : 0) + addedLength + (end - properties);
    if (offsets !== null) offsets[i] = at;
    out[at++] = first;
    at = writeVariableByteInteger(out, at, remaining);
    out.set(bytes.subarray(topic, topicEnd), at);
    at += topicEnd - topic;
    if (withId) {
      out[at++] = 0;
      out[at++] = 0;
    }
    if (addedLength === 1) out[at++] = 0;
    // [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-20]
    out.set(bytes.subarray(properties, end), at);
    at += end - properties;
  }
  if (offsets !== null) offsets[count] = at;
  return { bytes: out, start: 0, end: at, offsets };
}

/** From another protocol. Of messages that differ in nothing but their payload, the first is taken apart. */
function encodeForm(run: Run, version: WireVersion, withId: boolean): WireForm {
  const { count } = run;
  const protocolVersion = version === 5 ? ProtocolVersion.V5 : ProtocolVersion.V311;
  const out = new ByteBuilder(run.byteLength);
  const offsets = count === 1 ? null : new Uint32Array(count + 1);
  const payload = { start: 0, end: 0 };
  let frame: Uint8Array = NO_BYTES;
  // What stands in `frame` between its remaining length and its payload.
  let headStart = 0;
  let headEnd = 0;
  for (let i = 0; i < count; i++) {
    if (i === 0 || !run.repeats(i, payload)) {
      const publish = fromMessage(run.message(i), withId ? 1 : 0);
      if (withId) publish.packetId = 1;
      frame = encode(publish, protocolVersion);
      headStart = bodyOf(frame, 0);
      headEnd = frame.length - publish.payload.length;
      out.append(frame, 0, frame.length);
    } else {
      const remaining = headEnd - headStart + (payload.end - payload.start);
      let at = out.room(1 + variableByteIntegerBytes(remaining) + remaining);
      const { bytes } = out;
      bytes[at] = frame[0]!;
      at = writeVariableByteInteger(bytes, at + 1, remaining);
      at = copy(frame, headStart, headEnd, bytes, at);
      copy(run.bytes, payload.start, payload.end, bytes, at);
    }
    if (offsets !== null) offsets[i + 1] = out.length;
  }
  return { bytes: out.bytes, start: 0, end: out.length, offsets };
}

const NO_BYTES = new Uint8Array(0);

/** What a message has left; an expired one is not sent at all, so at least a second. */
export function secondsUntil(expiresAtMs: number, nowMs: number): number {
  return Math.max(1, Math.ceil((expiresAtMs - nowMs) / 1000));
}

/** How one message goes to one client when it needs more than a form: RETAIN kept, subscription identifiers, an expiry that has run on. */
export interface Dressing {
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly packetId: number;
  readonly subscriptionIdentifiers: readonly number[] | null;
  /** Earlier deliveries from a queue, shown as x-delivery-count. */
  readonly deliveryCount: number;
  readonly nowMs: number;
}

/** The frame of one message, made for one delivery, in memory of its own. */
export function dressedFrame(run: Run, index: number, version: WireVersion, dressing: Dressing): Uint8Array {
  const publish = run.codec === MQTT_CODEC ? decodeFrame(run, index) : fromMessage(run.message(index), dressing.qos);
  publish.qos = dressing.qos;
  publish.retain = dressing.retain;
  publish.dup = dressing.dup;
  publish.packetId = dressing.packetId;
  if (version === 5) {
    const properties: Properties = Object.assign(new Properties(), publish.properties);
    properties.subscriptionIdentifiers = dressing.subscriptionIdentifiers;
    // [MQTT-3.3.2-6]: what is sent on is what is left.
    if (run.expiresAtMs !== 0) properties.messageExpiryIntervalS = secondsUntil(run.expiresAtMs, dressing.nowMs);
    if (dressing.deliveryCount > 0) {
      properties.userProperties = [
        ...(properties.userProperties ?? []),
        'x-delivery-count',
        String(dressing.deliveryCount),
      ];
    }
    publish.properties = properties;
  }
  return encode(publish, version === 5 ? ProtocolVersion.V5 : ProtocolVersion.V311);
}

/** Bytes of a PUBLISH with this topic and payload in MQTT 3.1.1 at QoS 0; for limits. */
export function plainPublishBytes(topicBytes: number, payloadBytes: number): number {
  const body = 2 + topicBytes + payloadBytes;
  return 1 + variableByteIntegerBytes(body) + body;
}
