import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Arena, HEADROOM_BYTES, READ_BYTES } from '../../src/io/arena.ts';
import type { ChunkParser } from '../../src/io/chunk-joiner.ts';
import { ChunkJoiner } from '../../src/io/chunk-joiner.ts';

const FRAME_BYTES_MAX = 16 * 1024 * 1024;

/** Frames with a size in front: 4 bytes of length of the body, then the body. Knows what it wants as soon as the length is there. */
class SizedParser implements ChunkParser {
  readonly frameBytesMax = FRAME_BYTES_MAX;
  readonly frames: Buffer[] = [];
  bytesWanted = 0;
  parseCount = 0;
  stopped = false;
  onFrame: (() => void) | null = null;

  parse(bytes: Uint8Array, start: number, end: number): number {
    this.parseCount++;
    this.bytesWanted = 0;
    let at = start;
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    while (!this.stopped && end - at >= 4) {
      const size = 4 + view.readUInt32BE(at);
      if (size > this.frameBytesMax) throw new RangeError('too large');
      if (end - at < size) {
        this.bytesWanted = size;
        break;
      }
      this.frames.push(Buffer.from(view.subarray(at + 4, at + size)));
      at += size;
      this.onFrame?.();
    }
    return at;
  }

  static encode(body: Uint8Array): Buffer {
    const frame = Buffer.alloc(4 + body.length);
    frame.writeUInt32BE(body.length);
    frame.set(body, 4);
    return frame;
  }
}

/** Frames that end with NUL: how much is missing is never known. Goes on scanning where it stopped. */
class TerminatedParser implements ChunkParser {
  readonly frameBytesMax = FRAME_BYTES_MAX;
  readonly bytesWanted = 0;
  readonly frames: Buffer[] = [];
  private scanned = 0;

  parse(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    for (let i = start + this.scanned; i < end; i++) {
      if (bytes[i] !== 0) continue;
      this.frames.push(Buffer.from(bytes.subarray(at, i)));
      at = i + 1;
    }
    this.scanned = end - at;
    return at;
  }

  static encode(body: Uint8Array): Buffer {
    return Buffer.concat([body.map((byte) => byte | 1), Buffer.alloc(1)]);
  }
}

const arena = new Arena(0);

/** Gives the chunk as TCP does, out of the arena, or in memory of its own as others do; scribbles over it afterwards. */
function give(joiner: ChunkJoiner, chunk: Uint8Array, inArena: boolean): void {
  if (!inArena || chunk.length > READ_BYTES) {
    const own = Buffer.from(chunk);
    joiner.onChunk(own, 0, own.length);
    own.fill(0xa5);
    return;
  }
  arena.bytes.set(chunk, arena.readStart);
  joiner.onChunk(arena.bytes, arena.readStart, arena.readStart + chunk.length);
  arena.bytes.fill(0xa5, 0, arena.readStart + chunk.length);
}

/** Cuts stream into chunks of the given sizes, over and over. */
function feed(
  joiner: ChunkJoiner,
  stream: Uint8Array,
  sizes: readonly number[],
  inArena: (index: number) => boolean,
): void {
  let from = 0;
  for (let i = 0; from < stream.length; i++) {
    const to = Math.min(stream.length, from + sizes[i % sizes.length]!);
    give(joiner, stream.subarray(from, to), inArena(i));
    from = to;
  }
}

const bodies = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.uint8Array({ maxLength: 60 }) },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 500, max: 200_000 }).map((size) => new Uint8Array(size).map((_, i) => i * 7)),
    },
  ),
  { minLength: 1, maxLength: 12 },
);
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 10, max: 300_000 })), {
  minLength: 1,
  maxLength: 10,
});
const places = fc.constantFrom('arena', 'own', 'mixed');

function placed(place: string): (index: number) => boolean {
  return (index) => place === 'arena' || (place === 'mixed' && index % 3 !== 0);
}

describe('chunk joiner', () => {
  afterEach(() => vi.restoreAllMocks());

  test('frames that say their size come out the same however the stream is cut', () => {
    fc.assert(
      fc.property(bodies, sizes, places, (frames, cuts, place) => {
        const parser = new SizedParser();
        const joiner = new ChunkJoiner(arena, parser);
        feed(joiner, Buffer.concat(frames.map(SizedParser.encode)), cuts, placed(place));
        expect(parser.frames.length).toBe(frames.length);
        for (let i = 0; i < frames.length; i++) expect(Buffer.compare(parser.frames[i]!, frames[i]!)).toBe(0);
        expect(joiner.pendingBytes).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test('frames of unknown size come out the same however the stream is cut', () => {
    fc.assert(
      fc.property(bodies, sizes, places, (frames, cuts, place) => {
        const parser = new TerminatedParser();
        const joiner = new ChunkJoiner(arena, parser);
        const encoded = frames.map(TerminatedParser.encode);
        feed(joiner, Buffer.concat(encoded), cuts, placed(place));
        expect(parser.frames.length).toBe(frames.length);
        for (let i = 0; i < frames.length; i++) {
          expect(Buffer.compare(parser.frames[i]!, encoded[i]!.subarray(0, -1))).toBe(0);
        }
        expect(joiner.pendingBytes).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test.each([true, false])('two frames cut at every position (out of the arena: %s)', (inArena) => {
    const stream = Buffer.concat([SizedParser.encode(Buffer.from('first')), SizedParser.encode(Buffer.from('second'))]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const parser = new SizedParser();
      const joiner = new ChunkJoiner(arena, parser);
      if (cut > 0) give(joiner, stream.subarray(0, cut), inArena);
      if (cut < stream.length) give(joiner, stream.subarray(cut), inArena);
      expect(parser.frames.map(String)).toEqual(['first', 'second']);
    }
  });

  test('a partial frame is put in front of the next chunk and parsed with it in one go', () => {
    const seen: [number, number][] = [];
    const parser = new SizedParser();
    const parse = parser.parse.bind(parser);
    parser.parse = (bytes, start, end) => {
      expect(bytes).toBe(arena.bytes);
      seen.push([start, end]);
      return parse(bytes, start, end);
    };
    const joiner = new ChunkJoiner(arena, parser);
    const stream = Buffer.concat(Array.from({ length: 10 }, () => SizedParser.encode(Buffer.alloc(96))));
    give(joiner, stream.subarray(0, 250), true);
    give(joiner, stream.subarray(250), true);
    expect(seen).toEqual([
      [HEADROOM_BYTES, HEADROOM_BYTES + 250],
      [HEADROOM_BYTES - 50, HEADROOM_BYTES + 750],
    ]);
    expect(parser.frames.length).toBe(10);
  });

  /** Runs work and counts what is copied and allocated by it. */
  function costOf(work: () => void): { copiedBytes: number; allocatedBytes: number; largestBytes: number } {
    const cost = { copiedBytes: 0, allocatedBytes: 0, largestBytes: 0 };
    const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as {
      set: (source: ArrayLike<number>, at?: number) => void;
    };
    const set = typedArray.set;
    const allocate = Buffer.allocUnsafeSlow;
    vi.spyOn(typedArray, 'set').mockImplementation(function (this: unknown, source, at) {
      cost.copiedBytes += source.length;
      set.call(this, source, at);
    });
    vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) => {
      cost.allocatedBytes += size;
      cost.largestBytes = Math.max(cost.largestBytes, size);
      return allocate(size);
    });
    work();
    vi.restoreAllMocks();
    return cost;
  }

  test.each([
    { kind: 'sized', inArena: true },
    { kind: 'sized', inArena: false },
    { kind: 'terminated', inArena: true },
    { kind: 'terminated', inArena: false },
  ])(
    '10 MB in chunks of 1 KB are copied a few times, not once per chunk ($kind, out of the arena: $inArena)',
    ({ kind, inArena }) => {
      const parser = kind === 'sized' ? new SizedParser() : new TerminatedParser();
      const joiner = new ChunkJoiner(arena, parser);
      const body = Buffer.alloc(10_000_000, 7);
      const stream = kind === 'sized' ? SizedParser.encode(body) : TerminatedParser.encode(body);
      const cost = costOf(() => {
        for (let from = 0; from < stream.length; from += 1024) {
          const chunk = stream.subarray(from, from + 1024);
          if (inArena) {
            chunk.copy(arena.bytes, arena.readStart);
            joiner.onChunk(arena.bytes, arena.readStart, arena.readStart + chunk.length);
          } else joiner.onChunk(chunk, 0, chunk.length);
        }
      });
      expect(parser.frames.length).toBe(1);
      expect(parser.frames[0]!.equals(kind === 'sized' ? body : stream.subarray(0, -1))).toBe(true);
      expect(cost.copiedBytes).toBeLessThan(4 * stream.length);
      expect(cost.allocatedBytes).toBeLessThan(4 * stream.length);
      if (parser instanceof SizedParser) expect(parser.parseCount).toBeLessThanOrEqual(3);
    },
  );

  test('a frame of unknown size that comes byte by byte is copied a few times only', () => {
    const parser = new TerminatedParser();
    const joiner = new ChunkJoiner(arena, parser);
    const stream = TerminatedParser.encode(Buffer.alloc(60_000, 7));
    const cost = costOf(() => {
      for (const byte of stream) {
        arena.bytes[arena.readStart] = byte;
        joiner.onChunk(arena.bytes, arena.readStart, arena.readStart + 1);
      }
    });
    expect(parser.frames.length).toBe(1);
    expect(cost.copiedBytes).toBeLessThan(15 * stream.length);
  });

  test('a declared length alone costs no memory', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(15_000_000);
    const cost = costOf(() => {
      joiner.onChunk(header, 0, 4);
      joiner.onChunk(Buffer.alloc(100), 0, 100);
      joiner.onChunk(Buffer.alloc(1000), 0, 1000);
    });
    expect(joiner.pendingBytes).toBe(1104);
    expect(cost.largestBytes).toBeLessThan(3000);
  });

  test('the buffer of a gathered frame is never larger than the frame', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    const stream = SizedParser.encode(Buffer.alloc(1_000_000));
    const cost = costOf(() => {
      for (let from = 0; from < stream.length; from += 60_000) {
        joiner.onChunk(stream, from, Math.min(stream.length, from + 60_000));
      }
    });
    expect(parser.frames.length).toBe(1);
    expect(cost.largestBytes).toBe(stream.length);
  });

  test('behind a large frame the chunk is parsed where it lies', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    const large = SizedParser.encode(Buffer.alloc(500_000, 1));
    const small = SizedParser.encode(Buffer.from('small'));
    const rest = Buffer.concat([large.subarray(200_000), ...Array.from({ length: 1000 }, () => small)]);
    const cost = costOf(() => {
      joiner.onChunk(large, 0, 200_000);
      joiner.onChunk(rest, 0, rest.length);
    });
    expect(parser.frames.length).toBe(1001);
    expect(cost.copiedBytes).toBe(200_000 + 200_000 + 300_004);
  });

  test('a parser that stopped on its own is shown the rest again by retry', () => {
    for (const inArena of [true, false]) {
      const parser = new SizedParser();
      const joiner = new ChunkJoiner(arena, parser);
      const frames = Buffer.concat(['one', 'two', 'three'].map((body) => SizedParser.encode(Buffer.from(body))));
      parser.onFrame = () => {
        parser.stopped = parser.frames.length === 1;
      };
      give(joiner, frames, inArena);
      expect(parser.frames.map(String)).toEqual(['one']);
      give(joiner, SizedParser.encode(Buffer.from('four')), inArena);
      expect(parser.frames.map(String)).toEqual(['one']);
      expect(joiner.pendingBytes).toBe(7 + 9 + 8);
      parser.stopped = false;
      joiner.retry();
      expect(parser.frames.map(String)).toEqual(['one', 'two', 'three', 'four']);
      expect(joiner.pendingBytes).toBe(0);
      joiner.retry();
      expect(parser.frames.length).toBe(4);
    }
  });

  test('a parser that stops at a gathered frame of known size gets it and all that follows by retry', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    const frame = SizedParser.encode(Buffer.alloc(100_000, 3));
    const stream = Buffer.concat([
      frame,
      SizedParser.encode(Buffer.from('next')),
      SizedParser.encode(Buffer.from('last')),
    ]);
    give(joiner, stream.subarray(0, 90_000), true);
    parser.stopped = true;
    give(joiner, stream.subarray(90_000, stream.length - 3), true);
    give(joiner, stream.subarray(stream.length - 3), true);
    expect(parser.frames.length).toBe(0);
    parser.stopped = false;
    joiner.retry();
    expect(parser.frames.map((one) => one.length)).toEqual([100_000, 4, 4]);
  });

  test('retry from within parse calls it once more', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    parser.onFrame = () => {
      if (parser.frames.length !== 1) return;
      parser.stopped = true;
      // The answer came at once.
      parser.stopped = false;
      joiner.retry();
    };
    give(joiner, Buffer.concat(['one', 'two'].map((body) => SizedParser.encode(Buffer.from(body)))), true);
    expect(parser.frames.map(String)).toEqual(['one', 'two']);
  });

  test('what the parser throws passes through', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    const header = Buffer.alloc(4, 0xff);
    give(joiner, header.subarray(0, 2), true);
    expect(() => give(joiner, header.subarray(2), true)).toThrow(RangeError);
  });

  test('discard forgets a partial frame', () => {
    const parser = new SizedParser();
    const joiner = new ChunkJoiner(arena, parser);
    give(joiner, SizedParser.encode(Buffer.alloc(10)).subarray(0, 9), true);
    expect(joiner.pendingBytes).toBe(9);
    joiner.discard();
    expect(joiner.pendingBytes).toBe(0);
    give(joiner, SizedParser.encode(Buffer.from('fresh')), true);
    expect(parser.frames.map(String)).toEqual(['fresh']);
  });
});
