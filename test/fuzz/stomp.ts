// Throws mutated frames at FrameScanner, in pieces, and holds every result against the reference parser. One scanner serves all executions, as it serves
// all connections of a broker, so that what it remembers of one frame is tested against every other. The same seed gives the same executions.
import { fileURLToPath } from 'node:url';
import { type FrameLimits, FrameScanner, Scan } from '../../protocols/stomp/decoder.ts';
import { encodeFrame } from '../../protocols/stomp/encoder.ts';
import type { Frame } from '../../protocols/stomp/frame.ts';
import { Version } from '../../protocols/stomp/frame.ts';
import { ProtocolError } from '../../src/core/errors.ts';
import { reference } from '../protocols/stomp/reference.ts';
import { VECTORS } from '../protocols/stomp/vectors.ts';

export interface FuzzOptions {
  readonly executions: number;
  readonly seed: number;
}

export interface FuzzResult {
  executions: number;
  /** Executions that ended in a ProtocolError. */
  protocolErrors: number;
  /** Frames found. */
  decoded: number;
  /** The longest execution, the scanner's part of it. */
  slowestMs: number;
  /** Executions that threw anything else, or found something else than the reference. */
  uncaught: number;
  /** What the first of those was, and for which input. */
  firstUncaught: string | null;
}

/** How often an execution that is the slowest so far is timed again. */
const AGAIN_MAX = 5;

/** Small, so that they are reached. */
const LIMITS: FrameLimits = {
  frameBytesMax: 3000,
  frameBytesSetting: 'stomp.frameBytesMax',
  headersMax: 24,
  headerBytesMax: 400,
  bodyBytesMax: 2000,
};
const LIMIT_CODES = ['header-line-too-long', 'header-count-exceeded', 'body-too-large', 'frame-too-large'];
const INPUT_BYTES_MAX = 4096;
const VERSIONS = [Version.V1_0, Version.V1_1, Version.V1_2];
const CORPUS = VECTORS.map((vector) => vector.bytes).filter((bytes) => bytes.length <= 1024);
const PIECES = [
  ...[
    '\n',
    '\r\n',
    '\r',
    '\0',
    ':',
    '\\',
    '\\n',
    '\\c',
    '\\r',
    '\\\\',
    '\\t',
    ' ',
    '\n\n',
    '\0\n',
    '\u00e9',
    '\ufeff',
    '0',
  ],
  ...[
    'SEND\n',
    'ACK\n',
    'MESSAGE\n',
    'CONNECT\n',
    'content-length:',
    'content-length:3\n',
    'receipt:1\n',
    'receipt:2\n',
  ],
  ...[
    'destination:/topic/a\n',
    'accept-version:1.2\n',
    'x:1\n',
    'x:y:z\n',
    '4294967296',
    '-1',
    '1e3',
    '9999999999999999',
  ],
].map((text) => Buffer.from(text));

/** xorshift32: enough for mutations, and the same everywhere. */
class Dice {
  state: number;
  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }
  /** 0 … sides - 1 */
  roll(sides: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % sides;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.roll(list.length)]!;
  }
}

/** The same frame some times over, with a figure changed now and then. */
function alike(dice: Dice, bytes: Buffer): Buffer {
  const copies: Buffer[] = [];
  for (let count = 2 + dice.roll(5); count > 0; count--) {
    const copy = Buffer.from(bytes);
    for (let at = 0; at < copy.length; at++) {
      const digit = copy[at]! >= 0x30 && copy[at]! <= 0x39;
      if (digit && dice.roll(2) === 0) copy[at] = 0x30 + dice.roll(4);
    }
    copies.push(copy);
  }
  return Buffer.concat(copies);
}

function mutated(dice: Dice): Buffer {
  let bytes: Buffer = Buffer.from(dice.pick(CORPUS));
  if (dice.roll(3) === 0) bytes = alike(dice, bytes);
  if (dice.roll(3) === 0) bytes = Buffer.concat([bytes, dice.pick(CORPUS)]);
  for (let times = dice.roll(6); times > 0; times--) {
    const at = dice.roll(bytes.length + 1);
    const to = Math.min(bytes.length, at + dice.roll(dice.roll(4) === 0 ? 200 : 8));
    switch (dice.roll(8)) {
      case 0:
        if (at < bytes.length) bytes[at] = dice.roll(256);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << dice.roll(8));
        break;
      case 2:
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), dice.pick(PIECES), bytes.subarray(at)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
        break;
      case 5: {
        const part = bytes.subarray(at, to);
        const repeated = Array.from({ length: 1 + dice.roll(30) }, () => part);
        bytes = Buffer.concat([bytes.subarray(0, at), ...repeated, bytes.subarray(to)]);
        break;
      }
      case 6: {
        const other = dice.pick(CORPUS);
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(dice.roll(other.length + 1)), bytes.subarray(to)]);
        break;
      }
      default:
        if (dice.roll(4) === 0) bytes = bytes.subarray(0, at);
    }
  }
  return bytes.subarray(0, INPUT_BYTES_MAX);
}

interface Found {
  readonly frames: Frame[];
  code: string | null;
  incomplete: boolean;
}

class Fuzzer {
  private readonly dice: Dice;
  private readonly scanner = new FrameScanner(LIMITS);
  private readonly buffer = Buffer.alloc(INPUT_BYTES_MAX + 64);

  constructor(seed: number) {
    this.dice = new Dice(seed);
  }

  /** One input, in pieces that each lie elsewhere in a buffer that is overwritten in between. */
  private feed(input: Buffer): Found {
    const { dice, scanner, buffer } = this;
    const found: Found = { frames: [], code: null, incomplete: false };
    let consumed = 0;
    let arrived = 0;
    try {
      while (arrived < input.length) {
        const size = dice.roll(3) === 0 ? input.length : 1 + dice.roll(dice.roll(2) === 0 ? 4 : 100);
        arrived = Math.min(input.length, arrived + size);
        const start = dice.roll(60);
        const end = start + arrived - consumed;
        input.copy(buffer, start, consumed, arrived);
        // What lies behind may look like the end of the frame.
        for (let i = end; i < end + 4; i++) buffer[i] = dice.pick([0, 0x0a, 0x78]);
        let pos = start;
        while (pos < end) {
          const status = scanner.scan(buffer, pos, end);
          if (status === Scan.INCOMPLETE) break;
          if (scanner.frameEnd <= pos || scanner.frameEnd > end)
            throw new Error(`a scan from ${pos} ends at ${scanner.frameEnd}`);
          if (status === Scan.FRAME) found.frames.push(scanner.toFrame());
          pos = scanner.frameEnd;
        }
        if (pos < end && scanner.bytesNeeded <= end - pos)
          throw new Error(`${end - pos} bytes were enough, and it says so`);
        consumed += pos - start;
        buffer.fill(dice.pick([0, 0x0a, 0x41, 0xff]), start, end);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      found.code = error.code;
    }
    found.incomplete = found.code === null && consumed < input.length;
    if (found.code !== null || found.incomplete || dice.roll(4) === 0) scanner.reset();
    return found;
  }

  private timeAgain(input: Buffer, diceState: number): number {
    const after = this.dice.state;
    this.dice.state = diceState;
    this.scanner.reset();
    const start = performance.now();
    this.feed(input);
    const ms = performance.now() - start;
    this.dice.state = after;
    return ms;
  }

  private compare(input: Buffer, version: Version, found: Found): void {
    const expected = reference(input, version, LIMITS);
    if (found.frames.length !== expected.frames.length) {
      throw new Error(`${found.frames.length} frames, not ${expected.frames.length}`);
    }
    for (const [i, frame] of found.frames.entries()) same(frame, expected.frames[i]!);
    if (expected.code !== null) {
      // Of two faults, one a limit, the order depends on the pieces.
      const either = [found.code ?? '', expected.code].some((code) => LIMIT_CODES.includes(code));
      if (found.code === null || (found.code !== expected.code && !either)) {
        throw new Error(`${found.code ?? 'no error'}, not ${expected.code}`);
      }
    } else if (!expected.incomplete && (found.code !== null || found.incomplete)) {
      throw new Error(`${found.code ?? 'incomplete'}, but it is complete and good`);
    } else if (expected.incomplete && found.code === null && !found.incomplete) {
      throw new Error('it is not complete');
    }
  }

  /** What was read can be written, and then read again. */
  private again(frame: Frame, version: Version): void {
    const bytes = encodeFrame(frame, version);
    const limits = {
      ...LIMITS,
      frameBytesMax: 1e6,
      headerBytesMax: 1e5,
      headersMax: LIMITS.headersMax + 1,
    };
    const { frames, code } = reference(bytes, version, limits);
    if (code !== null || frames.length !== 1)
      throw new Error(`written again it is ${code ?? `${frames.length} frames`}`);
    if (Buffer.compare(frames[0]!.body, frame.body) !== 0) throw new Error('written again it has another body');
  }

  run(executions: number): FuzzResult {
    const result: FuzzResult = {
      executions: 0,
      protocolErrors: 0,
      decoded: 0,
      slowestMs: 0,
      uncaught: 0,
      firstUncaught: null,
    };
    for (; result.executions < executions; result.executions++) {
      const input = mutated(this.dice);
      const version = this.dice.pick(VERSIONS);
      this.scanner.version = version;
      try {
        const before = this.dice.state;
        const start = performance.now();
        const found = this.feed(input);
        let ms = performance.now() - start;
        // A machine that has other things to do makes an execution slow once; an input that is slow is slow again.
        for (let more = AGAIN_MAX; more > 0 && ms > result.slowestMs; more--) {
          ms = Math.min(ms, this.timeAgain(input, before));
        }
        if (ms > result.slowestMs) result.slowestMs = ms;
        result.decoded += found.frames.length;
        if (found.code !== null) result.protocolErrors++;
        this.compare(input, version, found);
        if (found.frames.length > 0 && this.dice.roll(8) === 0) this.again(found.frames[0]!, version);
      } catch (error) {
        result.uncaught++;
        result.firstUncaught ??= `${String(error)}; version ${version}, input ${input.toString('hex')}`;
        this.scanner.reset();
      }
    }
    return result;
  }
}

function same(frame: Frame, expected: Frame): void {
  if (frame.command !== expected.command) throw new Error(`${frame.command}, not ${expected.command}`);
  const entries = JSON.stringify(frame.headers);
  if (entries !== JSON.stringify(expected.headers)) throw new Error(`headers ${entries}`);
  if (Buffer.compare(frame.body, expected.body) !== 0) throw new Error(`another body of ${frame.body.length} bytes`);
}

export function fuzzStomp({ executions, seed }: FuzzOptions): FuzzResult {
  return new Fuzzer(seed).run(executions);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const executions = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? 1);
  const heapBefore = process.memoryUsage().heapUsed;
  const result = fuzzStomp({ executions, seed });
  const heapGrowthBytes = process.memoryUsage().heapUsed - heapBefore;
  process.stdout.write(`${JSON.stringify({ seed, ...result, heapGrowthBytes })}\n`);
  process.exitCode = result.uncaught === 0 ? 0 : 1;
}
