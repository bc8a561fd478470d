// Remembers the command and header lines of the latest frame, byte for byte. A publisher that sends the same headers again and again (only a receipt or
// a sequence number differs) is the common case, and comparing four bytes at a time costs a fifth of scanning them. Relies on the scanner to keep what
// it knows about those bytes (HeaderIndex) in step; never looks at what they mean.
//
//   SEND \n destination:/topic/a \n receipt:41 \n \n      bytes[0, length)
//   SEND \n destination:/topic/a \n receipt:42 \n \n …    the next frame
//   └──────────── common() ────────────────┘
import { ByteView } from '../../src/lib/byte-view.ts';

/** Longer header sections are not remembered: they cost more to copy than they are likely to save. */
const LENGTH_MAX = 512;

export class LastHeaders {
  /** 0: nothing is remembered. */
  length = 0;
  private readonly bytes = new Uint8Array(LENGTH_MAX);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly foreign = new ByteView();

  /** How many bytes from bytes[pos] on are the same as those remembered; nothing is read at or after `end`. */
  common(bytes: Uint8Array, pos: number, end: number): number {
    const length = Math.min(end - pos, this.length);
    const { view } = this;
    const foreign = this.foreign.of(bytes);
    let i = 0;
    while (i + 4 <= length && foreign.getInt32(pos + i) === view.getInt32(i)) i += 4;
    while (i < length && bytes[pos + i] === this.bytes[i]) i++;
    return i;
  }

  /** Remembers bytes[start, start + length), of which the first `same` are remembered already. */
  remember(bytes: Uint8Array, start: number, length: number, same: number): void {
    if (length > LENGTH_MAX) {
      this.length = 0;
      return;
    }
    const { view } = this;
    const foreign = this.foreign.of(bytes);
    let i = same;
    for (; i + 4 <= length; i += 4) view.setInt32(i, foreign.getInt32(start + i));
    for (; i < length; i++) this.bytes[i] = bytes[start + i]!;
    this.length = length;
  }

  /** Forgets everything, and lets go of the latest bytes compared. */
  release(): void {
    this.length = 0;
    this.foreign.release();
  }
}
