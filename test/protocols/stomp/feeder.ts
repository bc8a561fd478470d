// Feeds a FrameScanner the way a connection does: chunks in a shared buffer that is overwritten afterwards, what is left of a frame put in front of the
// next chunk, at another place each time.
import { type FrameLimits, FrameScanner, Scan } from '../../../protocols/stomp/decoder.ts';
import type { Frame, Version } from '../../../protocols/stomp/frame.ts';
import { ProtocolError } from '../../../src/core/errors.ts';

/** What came of a whole input. */
export interface Outcome {
  readonly frames: Frame[];
  /** Line ends between frames were seen at least this often. */
  heartBeats: number;
  /** Code of the ProtocolError that ended it, or null. */
  code: string | null;
  /** Bytes that are the beginning of a further frame. */
  left: number;
}

export class Feeder {
  readonly outcome: Outcome = { frames: [], heartBeats: 0, code: null, left: 0 };
  readonly scanner: FrameScanner;
  private shared = new Uint8Array(256);
  private partial = new Uint8Array(0);
  private turns = 0;

  constructor(version: Version, limits?: FrameLimits) {
    this.scanner = new FrameScanner(limits);
    this.scanner.version = version;
  }

  /** Throws whatever is not a ProtocolError. */
  feed(chunk: Uint8Array): void {
    if (this.outcome.code !== null) return;
    // Another place in every turn, filled before and after with what would be taken for frames.
    let pos = this.turns++ % 7;
    const end = pos + this.partial.length + chunk.length;
    if (end + 8 > this.shared.length) this.shared = new Uint8Array(2 * end + 8);
    const shared = this.shared;
    shared.fill(0x0a, 0, pos);
    shared.set(this.partial, pos);
    shared.set(chunk, pos + this.partial.length);
    shared.fill(this.turns % 2 === 0 ? 0 : 0x78, end, end + 4);
    shared.fill(0, end + 4, end + 8);
    try {
      while (pos < end) {
        const found = this.scanner.scan(shared, pos, end);
        if (found === Scan.INCOMPLETE) break;
        if (found === Scan.FRAME) this.outcome.frames.push(this.scanner.toFrame());
        else this.outcome.heartBeats++;
        pos = this.scanner.frameEnd;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.outcome.code = error.code;
    }
    this.partial = shared.slice(pos, end);
    this.outcome.left = this.partial.length;
    shared.fill(0x7f, 0, end + 8);
  }
}

/** The input in one piece. */
export function whole(bytes: Uint8Array, version: Version, limits?: FrameLimits): Outcome {
  return pieces([bytes], version, limits);
}

export function pieces(chunks: readonly Uint8Array[], version: Version, limits?: FrameLimits): Outcome {
  const feeder = new Feeder(version, limits);
  for (const chunk of chunks) feeder.feed(chunk);
  return feeder.outcome;
}

export function byteByByte(bytes: Uint8Array, version: Version, limits?: FrameLimits): Outcome {
  const feeder = new Feeder(version, limits);
  for (let i = 0; i < bytes.length; i++) feeder.feed(bytes.subarray(i, i + 1));
  return feeder.outcome;
}

export function cutAt(bytes: Uint8Array, at: number, version: Version, limits?: FrameLimits): Outcome {
  return pieces([bytes.subarray(0, at), bytes.subarray(at)], version, limits);
}
