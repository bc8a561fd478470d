// A run: one or more consecutive messages of one publisher that take the same route with the same guarantee. It is what crosses the core, so that
// authorisation, routing, metrics and the log work once per run, and a run of wire frames is copied as one block.
//
//   bytes   ┌────────┬────────┬────────┐
//           │frame 0 │frame 1 │frame 2 │     frame i is bytes[start + offsets[i], start + offsets[i + 1])
//           └────────┴────────┴────────┘
//           start                      end
//
// The core never looks inside a frame; the codec that made the run does. A run that a session fills for every chunk (the hot path) is *borrowed*: its bytes
// and offsets are valid during the publish call only. Whoever keeps it calls own(), which copies once and is shared by all keepers.
import type { BrokerErrorCode } from './errors.ts';
import type { Guarantee } from './guarantee.ts';
import type { Message } from './message.ts';
import type { Publisher } from './publisher.ts';

/** Encodings of a run that codecs leave for each other; small integers given out by wireSlot(). */
export const WIRE_SLOTS = 24;
let wireSlots = 0;

/** A place in run.wire for one codec variant. Called once per variant at start. */
export function wireSlot(): number {
  if (wireSlots === WIRE_SLOTS) throw new Error('no wire slot left; raise WIRE_SLOTS');
  return wireSlots++;
}

/** One encoded form of a run, in the same frame-and-offset shape as the run itself. */
export interface WireForm {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** count + 1 entries relative to start, or null for a single frame. */
  readonly offsets: Uint32Array | null;
}

export interface Codec {
  /** Written into the log with every record; never reused for anything else. */
  readonly id: number;
  readonly name: string;
  /** Makes message `index` of a run out of its frame. Payload and native point into run.bytes. */
  message(run: Run, index: number): Message;
  /**
   * Whether message `index`, which is not the first, is the one before it with another payload; then `payload` says where that is in run.bytes. Translations into another protocol do what
   * the two have in common once. False also where it is not easily told.
   */
  repeats?(run: Run, index: number, payload: ByteRange): boolean;
}

/** Where something is in an array of bytes: [start, end). */
export interface ByteRange {
  start: number;
  end: number;
}

/** The variable part of a run that belongs to its codec (MQTT: protocol version and header length; STOMP: version). One small integer. */
export type CodecVariant = number;

export class Run {
  codec: Codec;
  variant: CodecVariant;
  bytes: Uint8Array;
  start: number;
  end: number;
  count: number;
  /** count + 1 entries relative to start; null for a single frame. In a borrowed run the array is longer and shared. */
  offsets: Uint32Array | null;
  guarantee: Guarantee;
  /** Durable queues store it on the disk. False: its publisher does not need that, whatever the guarantee. */
  persistent: boolean;
  /** Largest single frame, for peers that limit packets. */
  frameBytesMax: number;
  priority: number;
  receivedAtMs: number;
  /** The earliest moment at which a message of this run expires (epoch ms), 0 for never. A run with expiry has one message. */
  expiresAtMs: number;
  publisher: Publisher | null;
  /** The messages, where somebody asked for them or they were there first. */
  messages: (Message | null)[] | null;
  /** Encoded forms by wire slot; most runs never need one, and share an empty list. */
  wire: readonly (WireForm | null)[];
  owned: boolean;
  /** Set by Vhost.publish: somebody gets it (or would, were they there). */
  matched: boolean;
  /** Set by Vhost.publish: nobody got it, and why. */
  refused: BrokerErrorCode | null;
  private copy: Run | null = null;

  constructor(codec: Codec) {
    this.codec = codec;
    this.variant = 0;
    this.bytes = EMPTY;
    this.start = 0;
    this.end = 0;
    this.count = 0;
    this.offsets = null;
    this.guarantee = 0;
    this.persistent = true;
    this.frameBytesMax = 0;
    this.priority = 0;
    this.receivedAtMs = 0;
    this.expiresAtMs = 0;
    this.publisher = null;
    this.messages = null;
    this.wire = NO_FORMS;
    this.owned = false;
    this.matched = false;
    this.refused = null;
  }

  frameStart(index: number): number {
    return this.offsets === null ? this.start : this.start + this.offsets[index]!;
  }

  frameEnd(index: number): number {
    return this.offsets === null ? this.end : this.start + this.offsets[index + 1]!;
  }

  get byteLength(): number {
    return this.end - this.start;
  }

  /** Message `index`, made at the first call. Of a borrowed run it is valid during the publish call only. */
  message(index: number): Message {
    const made = this.messages?.[index];
    if (made !== undefined && made !== null) return made;
    const message = this.codec.message(this, index);
    this.messages ??= new Array<Message | null>(this.count).fill(null);
    this.messages[index] = message;
    return message;
  }

  /** See Codec.repeats. */
  repeats(index: number, payload: ByteRange): boolean {
    return this.codec.repeats?.(this, index, payload) === true;
  }

  setWire(slot: number, form: WireForm): void {
    const forms =
      this.wire === NO_FORMS ? new Array<WireForm | null>(WIRE_SLOTS).fill(null) : (this.wire as (WireForm | null)[]);
    forms[slot] = form;
    this.wire = forms;
  }

  /** Makes a borrowed run ready for its next content: forgets copies and encodings of the last one. */
  reuse(): void {
    this.copy = null;
    this.messages = null;
    this.wire = NO_FORMS;
  }

  /** This run with bytes of its own, safe to keep. One copy is made, however many ask. */
  own(): Run {
    if (this.owned) return this;
    if (this.copy !== null) return this.copy;
    const copy = new Run(this.codec);
    const size = this.end - this.start;
    // The log keeps four bytes for each frame in front of them all, so that they begin at a multiple of eight there, or four bytes behind one. So do they here: memory that threads share
    // is copied by words where both ends are aligned alike, and otherwise by bytes, five times slower.
    const lead = (this.count & 1) * 4;
    // Small frames share a slab of 8 KB (Buffer's pool), large ones get exactly what they need.
    const bytes = Buffer.allocUnsafe(lead + size);
    bytes.set(this.bytes.subarray(this.start, this.end), lead);
    copy.variant = this.variant;
    copy.bytes = bytes;
    copy.start = lead;
    copy.end = lead + size;
    copy.count = this.count;
    copy.offsets = this.offsets === null || this.count === 1 ? null : this.offsets.slice(0, this.count + 1);
    copy.guarantee = this.guarantee;
    copy.persistent = this.persistent;
    copy.frameBytesMax = this.frameBytesMax;
    copy.priority = this.priority;
    copy.receivedAtMs = this.receivedAtMs;
    copy.expiresAtMs = this.expiresAtMs;
    copy.owned = true;
    this.copy = copy;
    return copy;
  }
}

const EMPTY = new Uint8Array(0);
const NO_FORMS: readonly (WireForm | null)[] = Object.freeze([]);
