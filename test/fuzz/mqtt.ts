// A seeded mutation fuzzer for the MQTT codec. Each execution changes a frame of the corpus (the valid and invalid vectors, and whatever mutants were
// decoded before), then asks of the codec: find the frame's length, decode it, and when that succeeds, encode it and decode it again. Only ProtocolError
// may be thrown, what is decoded must survive the round trip, and nothing may take long. Same version, executions and seed: same inputs.
import { type DecodeOptions, FROM_CLIENT, FROM_EITHER, FROM_SERVER } from '../../protocols/mqtt/decode-options.ts';
import { decodePacket, VERSION_UNKNOWN } from '../../protocols/mqtt/decoder.ts';
import { encode } from '../../protocols/mqtt/encoder.ts';
import { headerBytes, INCOMPLETE, readFrameLength, remainingLength } from '../../protocols/mqtt/frame.ts';
import { PacketType, type ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { ProtocolError } from '../../src/core/errors.ts';
import { VECTORS } from '../protocols/mqtt/vectors.ts';
import { hex, lengthPrefix } from '../protocols/mqtt/wire.ts';

export interface FuzzOptions {
  readonly version: ProtocolVersion;
  readonly executions: number;
  readonly seed: number;
}

export interface Finding {
  /** The input, in hexadecimal. */
  readonly input: string;
  readonly what: string;
}

export interface FuzzReport {
  readonly executions: number;
  /** Inputs whose frame was not complete. */
  readonly incomplete: number;
  readonly protocolErrors: number;
  readonly decoded: number;
  /** Time of the slowest execution; a slow one is repeated and its best time counts, since the machine has other work. */
  readonly slowestMs: number;
  /** Executions over SLOW_MS. */
  readonly slow: number;
  /** Anything thrown that is no ProtocolError, and packets that do not survive the round trip. */
  readonly uncaught: number;
  /** The first few of the two above. */
  readonly findings: readonly Finding[];
}

/** No input of a few kilobytes may hold up the other connections for longer. */
export const SLOW_MS = 50;
/** From here on an execution is timed again, to tell a slow input from a busy machine. */
const REPEAT_MS = 5;
const FINDINGS_MAX = 10;
/** Longer frames say little that shorter ones do not, and cost the executions that could be made instead. */
const CORPUS_BYTES_MAX = 400;
/** Of one packet type: any PUBLISH with another payload is a new one, and must not drown the others. */
const MUTANTS_PER_TYPE_MAX = 150;
const INPUT_BYTES_MAX = 4_096;
const INTERESTING: readonly number[] = [
  0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x1f, 0x20, 0x23, 0x26, 0x2b, 0x2f, 0x7f, 0x80, 0x81, 0xbf, 0xc0,
  0xed, 0xfe, 0xff,
];

/** Marsaglia's xorshift with 32 bits: enough to choose mutations, and the same everywhere. */
class Xorshift {
  private state: number;

  constructor(seed: number) {
    this.state = (seed ^ 0x9e37_79b9) | 0 || 1;
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  below(bound: number): number {
    return this.next() % bound;
  }
}

export function fuzzMqtt({ version, executions, seed }: FuzzOptions): FuzzReport {
  const random = new Xorshift(seed);
  const corpus = VECTORS.filter((vector) => vector.version === version && vector.bytes.length <= CORPUS_BYTES_MAX).map(
    (vector) => vector.bytes,
  );
  const senders = [FROM_CLIENT, FROM_SERVER, FROM_EITHER];
  const vectorCount = corpus.length;
  const kept = new Uint16Array(16);
  const seen = new Set<string>();
  const findings: Finding[] = [];
  let incomplete = 0;
  let protocolErrors = 0;
  let decoded = 0;
  let slowestMs = 0;
  let slow = 0;
  let uncaught = 0;
  for (let i = 0; i < executions; i++) {
    // Half of the executions begin at a vector, however many mutants have joined.
    const base = corpus[random.below(random.below(2) === 0 ? vectorCount : corpus.length)]!;
    const input = mutate(random, base, corpus);
    const options = senders[random.below(senders.length)]!;
    const began = performance.now();
    const outcome = execute(input, version, options);
    let tookMs = performance.now() - began;
    if (tookMs > REPEAT_MS) tookMs = Math.min(tookMs, again(input, version, options), again(input, version, options));
    if (tookMs > slowestMs) slowestMs = tookMs;
    if (tookMs > SLOW_MS) {
      slow += 1;
      if (findings.length < FINDINGS_MAX) findings.push({ input: hex(input), what: `took ${tookMs} ms` });
    }
    switch (outcome) {
      case INCOMPLETE_FRAME:
        incomplete += 1;
        break;
      case REFUSED:
        protocolErrors += 1;
        break;
      case DECODED:
        decoded += 1;
        // Mutants that are packets of their own are worth changing further.
        if (input.length <= CORPUS_BYTES_MAX && kept[input[0]! >>> 4]! < MUTANTS_PER_TYPE_MAX) {
          const key = hex(input);
          if (!seen.has(key)) {
            seen.add(key);
            kept[input[0]! >>> 4]! += 1;
            corpus.push(input);
          }
        }
        break;
      default:
        uncaught += 1;
        if (findings.length < FINDINGS_MAX) findings.push({ input: hex(input), what: String(outcome) });
    }
  }
  return { executions, incomplete, protocolErrors, decoded, slowestMs, slow, uncaught, findings };
}

const INCOMPLETE_FRAME = 0;
const REFUSED = 1;
const DECODED = 2;

function again(input: Uint8Array, version: ProtocolVersion, options: DecodeOptions): number {
  const began = performance.now();
  execute(input, version, options);
  return performance.now() - began;
}

/** One of the three outcomes, or what went wrong. */
function execute(input: Uint8Array, version: ProtocolVersion, options: DecodeOptions): number | string {
  let step = 'decode';
  try {
    const frame = readFrameLength(input, 0, input.length);
    if (frame === INCOMPLETE) return INCOMPLETE_FRAME;
    const bodyStart = headerBytes(frame);
    const end = bodyStart + remainingLength(frame);
    if (end > input.length) return INCOMPLETE_FRAME;
    const connectionVersion = input[0]! >>> 4 === PacketType.CONNECT ? VERSION_UNKNOWN : version;
    const packet = decodePacket(input, 0, bodyStart, end, connectionVersion, options);
    const packetVersion = packet.type === PacketType.CONNECT ? packet.protocolVersion : version;
    step = 'encode what was decoded';
    const bytes = encode(packet, packetVersion);
    step = 'decode it again';
    const secondFrame = readFrameLength(bytes, 0, bytes.length);
    const secondBody = headerBytes(secondFrame);
    if (secondBody + remainingLength(secondFrame) !== bytes.length) return 'the encoded length is wrong';
    if (bytes.length > end) return 'what was decoded became longer';
    const second = decodePacket(bytes, 0, secondBody, bytes.length, connectionVersion, options);
    step = 'encode it again';
    if (!Buffer.from(bytes.buffer).equals(encode(second, packetVersion)))
      return 'the second round trip differs from the first';
    return DECODED;
  } catch (error) {
    if (error instanceof ProtocolError && step === 'decode') return REFUSED;
    return `${step}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}

function mutate(random: Xorshift, base: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = Array.from(base);
  for (let rounds = 1 + random.below(4); rounds > 0; rounds--) {
    const at = bytes.length === 0 ? 0 : random.below(bytes.length);
    switch (random.below(10)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        bytes[at] = random.below(256);
        break;
      case 2:
        bytes[at] = INTERESTING[random.below(INTERESTING.length)]!;
        break;
      case 3:
        bytes[at] = ((bytes[at] ?? 0) + (random.below(2) === 0 ? 1 : 255)) & 0xff;
        break;
      case 4:
        bytes.splice(at, 1 + random.below(8));
        break;
      case 5:
        bytes.splice(
          at,
          0,
          ...Array.from({ length: 1 + random.below(4) }, () => INTERESTING[random.below(INTERESTING.length)]!),
        );
        break;
      case 6: {
        // A part of itself, once more: properties and list entries repeat.
        const part = bytes.slice(at, at + 1 + random.below(24));
        bytes.splice(random.below(bytes.length + 1), 0, ...part);
        break;
      }
      case 7: {
        // A part of another frame.
        const other = corpus[random.below(corpus.length)]!;
        const from = random.below(other.length);
        bytes.splice(at, random.below(8), ...other.subarray(from, from + 1 + random.below(32)));
        break;
      }
      case 8:
        bytes = bytes.slice(0, at);
        break;
      case 9:
        // Two bytes that say a length, made to say another.
        bytes[at] = 0;
        bytes[at + 1] =
          random.below(2) === 0 ? random.below(16) : Math.max(0, bytes.length - at - 2 - random.below(3)) & 0xff;
        break;
    }
  }
  if (bytes.length > INPUT_BYTES_MAX) bytes.length = INPUT_BYTES_MAX;
  // Most mutants get a length that fits, or hardly any would be looked into.
  if (bytes.length > 2 && random.below(8) !== 0) {
    const body = bytes.slice(headerSize(bytes));
    bytes = [bytes[0]!, ...lengthPrefix(body.length), ...body];
  }
  return Uint8Array.from(bytes);
}

/** Bytes up to the end of what looks like a remaining length. */
function headerSize(bytes: readonly number[]): number {
  let size = 2;
  while (size < 5 && size < bytes.length && (bytes[size - 1] ?? 0) >= 0x80) size += 1;
  return size;
}
