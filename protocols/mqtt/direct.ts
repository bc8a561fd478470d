// Deliveries at most once: a class of targets that want the same bytes, and the target of one connection. A run is brought into the class's form once and appended to each
// target's output as a block; nothing is kept.

import type { Counters } from '../../src/core/counters.ts';
import type { DeliveryClass, DeliveryOptions, DirectTarget } from '../../src/core/delivery.ts';
import type { Run, WireForm } from '../../src/core/run.ts';
import type { Output, Piece } from '../../src/io/output.ts';
import { dressedForm, identifierBlock } from './dressed-form.ts';
import { dressedFrame, MQTT_CODEC, RETAIN_FLAG, type WireVersion, wireForm } from './publish-form.ts';
import type { TopicAliases } from './topic-aliases.ts';

/** What a direct delivery needs of a connection. */
export interface DirectReceiver {
  readonly output: Output;
  /** The client's Maximum Packet Size; nothing larger is sent [MQTT-3.1.2-24]. */
  readonly packetBytesMax: number;
  /** Null unless the client allows aliases. */
  readonly aliases: TopicAliases | null;
  readonly counters: Counters;
}

/** With this much unsent, a client is too slow for messages that may be lost: they are dropped and counted. */
export const SLOW_BYTES = 16 * 1024 * 1024;

/** To at least so many targets, a block goes by reference instead of being copied into each output, whose copies would not stay in the cache until they are sent; a large one to two. */
const SHARED_TARGETS_MIN = 256;
const SHARED_BYTES_MIN = 16 * 1024;

export class MqttTarget implements DirectTarget {
  readonly deliveryClass: MqttClass;
  readonly receiver: DirectReceiver;
  // What nearly every delivery needs of the receiver, so that it is not even looked at: among thousands, each look is a wait for the memory.
  readonly output: Output;
  readonly counters: Counters;
  /** The receiver has conditions: aliases, or a size that not every packet has. */
  readonly conditional: boolean;

  /** The receiver's conditions are known, and will not change. */
  constructor(deliveryClass: MqttClass, receiver: DirectReceiver) {
    this.deliveryClass = deliveryClass;
    this.receiver = receiver;
    this.output = receiver.output;
    this.counters = receiver.counters;
    this.conditional = receiver.aliases !== null || receiver.packetBytesMax !== Number.POSITIVE_INFINITY;
  }

  get congested(): boolean {
    return this.output.congested;
  }
}

export class MqttClass implements DeliveryClass {
  private readonly version: WireVersion;
  private readonly options: DeliveryOptions;

  constructor(version: WireVersion, options: DeliveryOptions) {
    this.version = version;
    this.options = options;
  }

  deliver(run: Run, targets: readonly DirectTarget[]): number {
    const form = this.form(run);
    const { bytes, start, end } = form;
    const shared: readonly [Piece] | null =
      targets.length >= SHARED_TARGETS_MIN || (targets.length > 1 && end - start >= SHARED_BYTES_MIN)
        ? [{ bytes: Buffer.from(bytes.subarray(start, end)), slot: null }]
        : null;
    let open = 0;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i] as MqttTarget;
      const { output, counters } = target;
      if (output.unsentBytes > SLOW_BYTES) {
        counters.droppedSlowConsumer += run.count;
        continue;
      }
      if (target.conditional && !this.suits(run, target.receiver)) this.deliverFitting(run, form, target.receiver);
      else {
        if (shared !== null) output.appendShared(shared);
        else output.append(bytes, start, end);
        counters.messagesDelivered += run.count;
      }
      if (!output.congested) open++;
    }
    return open;
  }

  /** The run can go to this receiver as it goes to all. */
  private suits(run: Run, receiver: DirectReceiver): boolean {
    if (receiver.aliases !== null) return false;
    // A form that is made anew, or comes from another protocol, may be longer than what it was made from.
    return (
      run.codec === MQTT_CODEC && !this.dresses(run) && run.frameBytesMax + FORM_BYTES_ADDED <= receiver.packetBytesMax
    );
  }

  /** Frame by frame, leaving out what is too large for this client. */
  private deliverFitting(run: Run, form: WireForm, receiver: DirectReceiver): void {
    for (let i = 0; i < run.count; i++) {
      const start = form.start + (form.offsets === null ? 0 : form.offsets[i]!);
      const end = form.offsets === null ? form.end : form.start + form.offsets[i + 1]!;
      // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
      if (appendFitting(receiver, form.bytes, start, end)) receiver.counters.messagesDelivered++;
      else receiver.counters.droppedTooLarge++;
    }
  }

  /** Whether each frame needs more than a change of form. [MQTT-3.3.1-12], [3.1.1 MQTT-3.3.1-9] [MQTT-3.3.1-13] */
  private dresses(run: Run): boolean {
    const { subscriptionIdentifiers, retainAsPublished } = this.options;
    return (this.version === 5 && subscriptionIdentifiers !== null) || (retainAsPublished && isRetain(run));
  }

  private form(run: Run): WireForm {
    const { subscriptionIdentifiers, retainAsPublished } = this.options;
    const identifiers = this.version === 5 ? subscriptionIdentifiers : null;
    const retain = retainAsPublished && isRetain(run);
    if (!this.dresses(run)) return wireForm(run, this.version, false);
    if (!retain && run.expiresAtMs === 0) {
      const form = dressedForm(wireForm(run, 5, false), 0, run.count, false, identifierBlock(identifiers!), -1);
      if (form !== null) return form;
    }
    const frames: Uint8Array[] = [];
    const offsets = new Uint32Array(run.count + 1);
    for (let i = 0; i < run.count; i++) {
      const dressing = {
        qos: 0,
        retain,
        dup: false,
        packetId: 0,
        subscriptionIdentifiers: identifiers,
        deliveryCount: 0,
        nowMs: run.receivedAtMs,
      } as const;
      const frame = dressedFrame(run, i, this.version, dressing);
      frames.push(frame);
      offsets[i + 1] = offsets[i]! + frame.length;
    }
    return { bytes: Buffer.concat(frames), start: 0, end: offsets[run.count]!, offsets };
  }
}

/** Appends a PUBLISH as far as the client takes it: with an alias where that is allowed, not at all where it is too large. */
export function appendFitting(receiver: DirectReceiver, bytes: Uint8Array, start: number, end: number): boolean {
  const { output, packetBytesMax, aliases } = receiver;
  if (aliases !== null) return aliases.append(output, bytes, start, end, packetBytesMax);
  if (end - start > packetBytesMax) return false;
  output.append(bytes, start, end);
  return true;
}

/** What a change of form may add to a frame. */
const FORM_BYTES_ADDED = 4;

export function isRetain(run: Run): boolean {
  return run.codec === MQTT_CODEC ? (run.bytes[run.start]! & RETAIN_FLAG) !== 0 : run.message(0).retain;
}

/** One class per version and options, so that equal ones are the same object. */
export class MqttClasses {
  private readonly byVersion = { 4: new Map<DeliveryOptions, MqttClass>(), 5: new Map<DeliveryOptions, MqttClass>() };

  get(version: WireVersion, options: DeliveryOptions): MqttClass {
    const classes = this.byVersion[version];
    let found = classes.get(options);
    if (found === undefined) {
      // Identifiers come from peers: the table is bounded, beyond it classes are merely not shared.
      if (classes.size >= CLASSES_MAX) classes.clear();
      found = new MqttClass(version, options);
      classes.set(options, found);
    }
    return found;
  }
}

const CLASSES_MAX = 10_000;
