// SEND frames as runs of the core: the codec of STOMP, and the forms of a run for subscribers of each version. A run's frames are SEND frames in a normal form, which is, behind its
// first line, already what a MESSAGE consists of behind the headers that belong to one delivery:
//
//   ┌──────┬──────────────────────┬──────────────────────────────────┬─────────────────┬────┬──────┬─────┐
//   │SEND\n│destination:/topic/a\n│ other headers, as they came, \n  │content-length:5\n│ \n │hello │ NUL │
//   └──────┴──────────────────────┴──────────────────────────────────┴─────────────────┴────┴──────┴─────┘
//          └ BODY_OF_FRAME: from here on copied into every MESSAGE of a subscriber whose version and notation fit the run's variant
//
// What the broker has taken out of the frame (receipt, transaction, expiration, …) is not in it, lines end in LF, content-length stands whenever there is a body, except in a text (variant
// TEXT): there ActiveMQ's clients tell text from bytes by it, and a text that came without leaves without, to them. Headers in which no version writes anything differently make a frame portable: it fits every version, and that is what nearly all frames are.
import type { Message } from '../../src/core/message.ts';
import { type ByteRange, type Codec, type Run, type WireForm, wireSlot } from '../../src/core/run.ts';
import { assert } from '../../src/lib/assert.ts';
import { ByteBuilder } from '../../src/lib/byte-builder.ts';
import { sameBytes } from '../../src/lib/byte-hash.ts';
import { addressToDestination, destinationToAddress, type SendAddress, type StompDialect } from './addresses.ts';
import { FrameScanner, Scan } from './decoder.ts';
import { encodeHeaderBlock, messageTailBytes, writeMessageTail } from './encoder.ts';
import { Version } from './frame.ts';
import { Header } from './headers.ts';
import { headersOfMessage, type Meaning, meaningOf, messageOf } from './mapping.ts';
import type { MessageHead } from './message-writer.ts';

/** Where the part of a normal frame starts that goes into a MESSAGE. */
export const SEND_LINE = new TextEncoder().encode('SEND\n');
export const SEND_LINE_BYTES = SEND_LINE.length;
const END_OF_HEADERS = new Uint8Array([0x0a]);
const END_OF_FRAME = new Uint8Array([0x00]);
const CONTENT_LENGTH = new TextEncoder().encode('content-length:');
const LF = 0x0a;
const EQUALS = 0x3d;
/** What a frame of another protocol is expected to grow by at most. */
const LONGER_BY = 64;

// A variant: which version wrote the headers (0: portable), in which notation the destination is, whether the message is to be retained, whether its frames have no content-length.
const VERSION_MASK = 3;
export const DOTTED = 4;
export const SLASHED = 8;
const RETAIN = 16;
export const TEXT = 32;

/** notation: DOTTED, SLASHED, or 0 where both are the same. */
export function variantOf(
  version: Version,
  portable: boolean,
  notation: number,
  retain: boolean,
  text: boolean,
): number {
  return (portable ? 0 : version - Version.V1_0 + 1) | notation | (retain ? RETAIN : 0) | (text ? TEXT : 0);
}

function versionOfVariant(variant: number): Version {
  // A portable frame means the same in every version; only 1.0 would take spaces off.
  const version = variant & VERSION_MASK;
  return version === 0 ? Version.V1_2 : ((Version.V1_0 + version - 1) as Version);
}

/** Whether the frames of a STOMP run can be sent as they are. */
function fits(variant: number, version: Version, slashes: boolean, texts: boolean): boolean {
  if ((variant & TEXT) !== 0 && !texts) return false;
  const from = variant & VERSION_MASK;
  if (from !== 0 && from !== version - Version.V1_0 + 1) return false;
  return (variant & (slashes ? DOTTED : SLASHED)) === 0;
}

/** Frames in runs are ours: whatever they are, they have passed the limits of the connection they came by. */
const NO_LIMITS = {
  frameBytesMax: Number.POSITIVE_INFINITY,
  frameBytesSetting: '',
  headersMax: Number.POSITIVE_INFINITY,
  headerBytesMax: Number.POSITIVE_INFINITY,
  bodyBytesMax: Number.POSITIVE_INFINITY,
};

const ANY_DESTINATION: StompDialect = { activemq: false, levelsMax: Number.POSITIVE_INFINITY };

/** The address in a normal frame: temporary destinations have been replaced by what they stand for. */
function addressIn(scanner: FrameScanner): SendAddress {
  const address = destinationToAddress(scanner.headers.string(Header.destination)!, ANY_DESTINATION);
  assert('exchange' in address, 'A run has no temporary destination.');
  return address;
}

class StompCodec implements Codec {
  readonly id = 2;
  readonly name = 'stomp';
  private readonly scanner = new FrameScanner(NO_LIMITS);
  private meaning: Meaning | null = null;
  /** What `meaning` was made of: the same headers in the same variant mean the same. */
  private generation = -1;

  message(run: Run, index: number): Message {
    const { scanner } = this;
    scanFrame(scanner, run, index);
    if (this.meaning === null || scanner.headers.generation !== this.generation) {
      this.generation = scanner.headers.generation;
      this.meaning = meaningOf(scanner.headers, addressIn(scanner));
    }
    return messageOf(this.meaning, run, run.bytes.subarray(scanner.bodyStart, scanner.bodyEnd), isRetain(run));
  }

  repeats(run: Run, index: number, payload: ByteRange): boolean {
    const { bytes } = run;
    const start = run.frameStart(index);
    const end = run.frameEnd(index);
    const shift = start - run.frameStart(index - 1);
    let line = start;
    let at = start;
    // Up to the empty line, or to the first byte that is another one.
    for (; bytes[at] === bytes[at - shift]; at++) {
      const byte = bytes[at]!;
      // What a content type says of the payload's characters is true of one payload, and may not be of the next.
      if (byte === EQUALS) return false;
      if (byte !== LF) continue;
      if (at === line) return isBody(payload, at + 1, end);
      line = at + 1;
    }
    // The length of the body may be another one: it is the last header there is.
    if (!startsWith(bytes, line, CONTENT_LENGTH) || !startsWith(bytes, line - shift, CONTENT_LENGTH)) return false;
    const emptyLine = bytes.indexOf(LF, line + CONTENT_LENGTH.length) + 1;
    return isBody(payload, emptyLine + 1, end);
  }
}

/** The body is bytes[start, end - 1), behind which stands a NUL. */
function isBody(payload: ByteRange, start: number, end: number): boolean {
  payload.start = start;
  payload.end = end - 1;
  return true;
}

function startsWith(bytes: Uint8Array, at: number, text: Uint8Array): boolean {
  return sameBytes(bytes, at, text, 0, text.length);
}

export const STOMP_CODEC: Codec = new StompCodec();

/** The publisher asked for the message to be retained. */
export function isRetain(run: Run): boolean {
  return run.codec === STOMP_CODEC ? (run.variant & RETAIN) !== 0 : run.message(0).retain;
}

/** Of a run of one message. */
export function isEmpty(run: Run): boolean {
  // The empty line is followed by NUL; the rest is for bodies that end in line ends.
  return run.bytes[run.end - 2] === 0x0a && run.bytes[run.end - 3] === 0x0a && run.message(0).payload.length === 0;
}

function scanFrame(scanner: FrameScanner, run: Run, index: number): void {
  scanner.version = versionOfVariant(run.variant);
  const found = scanner.scan(run.bytes, run.frameStart(index), run.frameEnd(index));
  assert(found === Scan.FRAME, 'A run of STOMP holds whole frames.');
}

// Forms.

/** By version and notation; the second half for texts without content-length. */
const SLOTS = Array.from({ length: 12 }, () => wireSlot());
const SLOTS_OF_TEXTS = 6;
const transcoder = new FrameScanner(NO_LIMITS);

/**
 * The run's frames in normal form for subscribers of this version that write destinations with slashes or dots: the run itself where it fits, otherwise made once. texts: they want a text
 * without content-length.
 */
export function formFor(run: Run, { version, slashes, texts }: MessageHead): WireForm {
  const own = run.codec === STOMP_CODEC;
  if (own && fits(run.variant, version, slashes, texts)) return run;
  const text = own && texts && (run.variant & TEXT) !== 0;
  const slot = SLOTS[(version - Version.V1_0) * 2 + (slashes ? 1 : 0) + (text ? SLOTS_OF_TEXTS : 0)]!;
  const made = run.wire[slot];
  if (made !== undefined && made !== null) return made;
  const form = own ? transcode(run, version, slashes, text) : encode(run, version, slashes);
  run.setWire(slot, form);
  return form;
}

/** From another version of STOMP, the other notation, or without content-length where it has to be there. */
function transcode(run: Run, version: Version, slashes: boolean, text: boolean): WireForm {
  const frames: Uint8Array[] = [];
  let block: Uint8Array | null = null;
  let generation = -1;
  for (let i = 0; i < run.count; i++) {
    scanFrame(transcoder, run, i);
    const { headers } = transcoder;
    if (block === null || headers.generation !== generation) {
      generation = headers.generation;
      const lines = ['destination', addressToDestination(addressIn(transcoder), slashes)];
      for (let h = 0; h < headers.count; h++) {
        const number = headers.numberAt(h);
        if (number !== Header.destination && number !== Header['content-length'])
          lines.push(headers.nameAt(h), headers.valueAt(h));
      }
      block = encodeHeaderBlock(lines, version);
    }
    const { bodyStart, bodyEnd } = transcoder;
    frames.push(
      text ? textFrame(block, run.bytes, bodyStart, bodyEnd) : normalFrame(block, run.bytes, bodyStart, bodyEnd),
    );
  }
  return joined(frames);
}

/** From another protocol. Of messages that differ in nothing but their payload, the first is taken apart. */
function encode(run: Run, version: Version, slashes: boolean): WireForm {
  const { count } = run;
  const out = new ByteBuilder(run.byteLength + count * LONGER_BY);
  const offsets = count === 1 ? null : new Uint32Array(count + 1);
  const body = { start: 0, end: 0 };
  let block: Uint8Array = NO_BLOCK;
  for (let i = 0; i < count; i++) {
    let { bytes } = run;
    if (i === 0 || !run.repeats(i, body)) {
      const message = run.message(i);
      block = encodeHeaderBlock(headersOfMessage(message, slashes), version);
      bytes = message.payload;
      body.start = 0;
      body.end = bytes.length;
    }
    const at = out.room(SEND_LINE_BYTES + messageTailBytes(block.length, body.end - body.start));
    out.bytes.set(SEND_LINE, at);
    writeMessageTail(out.bytes, at + SEND_LINE_BYTES, block, bytes, body.start, body.end);
    if (offsets !== null) offsets[i + 1] = out.length;
  }
  return { bytes: out.bytes, start: 0, end: out.length, offsets };
}

const NO_BLOCK = new Uint8Array(0);

function normalFrame(block: Uint8Array, body: Uint8Array, bodyStart: number, bodyEnd: number): Uint8Array {
  const frame = Buffer.allocUnsafe(SEND_LINE_BYTES + messageTailBytes(block.length, bodyEnd - bodyStart));
  frame.set(SEND_LINE);
  writeMessageTail(frame, SEND_LINE_BYTES, block, body, bodyStart, bodyEnd);
  return frame;
}

function textFrame(block: Uint8Array, body: Uint8Array, bodyStart: number, bodyEnd: number): Uint8Array {
  return Buffer.concat([SEND_LINE, block, END_OF_HEADERS, body.subarray(bodyStart, bodyEnd), END_OF_FRAME]);
}

function joined(frames: readonly Uint8Array[]): WireForm {
  if (frames.length === 1) return { bytes: frames[0]!, start: 0, end: frames[0]!.length, offsets: null };
  const offsets = new Uint32Array(frames.length + 1);
  for (let i = 0; i < frames.length; i++) offsets[i + 1] = offsets[i]! + frames[i]!.length;
  return { bytes: Buffer.concat(frames), start: 0, end: offsets[frames.length]!, offsets };
}
