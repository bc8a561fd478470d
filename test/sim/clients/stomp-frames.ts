// What the broker writes to a STOMP client, cut into frames.
import { FrameScanner, Scan } from '../../../protocols/stomp/decoder.ts';
import type { Frame, Version } from '../../../protocols/stomp/frame.ts';
import type { FrameReader } from '../network.ts';

export interface StompFrame {
  readonly frame: Frame;
  readonly bytes: number;
}

export class StompFrames implements FrameReader<StompFrame> {
  /** Line ends that came between frames. */
  heartBeats = 0;
  private readonly scanner = new FrameScanner();
  private rest: Buffer | null = null;
  private offset = 0;

  constructor(version: Version) {
    this.scanner.version = version;
  }

  push(bytes: Buffer, onFrame: (frame: StompFrame, endOffset: number) => void): void {
    const all = this.rest === null ? bytes : Buffer.concat([this.rest, bytes]);
    this.rest = null;
    let at = 0;
    while (at < all.length) {
      const found = this.scanner.scan(all, at, all.length);
      if (found === Scan.INCOMPLETE) {
        this.rest = all.subarray(at);
        return;
      }
      const end = this.scanner.frameEnd;
      this.offset += end - at;
      if (found === Scan.FRAME) onFrame({ frame: this.scanner.toFrame(), bytes: end - at }, this.offset);
      else this.heartBeats++;
      at = end;
    }
  }
}
