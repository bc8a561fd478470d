// Hides the boundaries of chunks from a parser: it only ever sees contiguous bytes that begin where it stopped. Relies on the parser for all limits on
// the size of a frame: they hold before bytesWanted is announced, and for bytes that keep coming in without one.
//
//   chunk n                          chunk n + 1
//   │ frame │ frame │ par│           │tial │ frame │ …
//                     └── copied out ──┐
//   arena   │ headroom            │par│tial │ frame │ …        small: right in front of the next chunk, wherever that is the arena's read buffer
//   held    │ ═══════════════ │ + │ rest of the frame │        large: gathered in a buffer that doubles with what has arrived; then on with the chunk itself
//
// A stream that stands between two frames holds no memory here.
import { assert } from '../lib/assert.ts';
import type { Arena } from './arena.ts';

export interface ChunkParser {
  /**
   * Takes whole frames from bytes[start, end) and returns the offset up to which it did. What is behind it is shown again, followed by more. The bytes are
   * valid during the call only. What it throws passes through; nothing more is to be given to the joiner afterwards.
   */
  parse(bytes: Uint8Array, start: number, end: number): number;
  /** After parse(): the whole size of the frame that begins where it stopped, 0 when that cannot be told yet. parse() is called again when so much is there. */
  readonly bytesWanted: number;
  /** The largest frame that parse() lets pass: no buffer grows past it ahead of need. */
  readonly frameBytesMax: number;
}

/** Up to here a partial frame is put in front of the next chunk however short that one is. */
const SMALL_BYTES = 512;

export class ChunkJoiner {
  private readonly arena: Arena;
  private readonly parser: ChunkParser;
  /** The partial frame is held[0, heldBytes). */
  private held: Buffer | null = null;
  private heldBytes = 0;
  /** Size of the frame that held begins; 0 when unknown. */
  private wantedBytes = 0;
  private parsing = false;
  private again = false;

  constructor(arena: Arena, parser: ChunkParser) {
    this.arena = arena;
    this.parser = parser;
  }

  /** Bytes that have arrived and that the parser has not taken. */
  get pendingBytes(): number {
    return this.heldBytes;
  }

  onChunk(bytes: Uint8Array, start: number, end: number): void {
    const held = this.held;
    if (held === null) {
      const at = this.run(bytes, start, end);
      if (at < end) this.hold(bytes, at, end);
      return;
    }
    const totalBytes = this.heldBytes + end - start;
    if (this.wantedBytes > totalBytes) this.gather(bytes, start, end);
    else if (this.fitsInFront(bytes, start, end)) this.joinInFront(held, start, end);
    else if (this.wantedBytes > 0) this.completeHeld(bytes, start, end);
    else {
      this.gather(bytes, start, end);
      this.retry();
    }
  }

  /** Shows the parser again what it has left, after it stopped for a reason of its own. Also from within parse(), which is then called once more. */
  retry(): void {
    if (this.parsing) {
      this.again = true;
      return;
    }
    const held = this.held;
    if (held === null) return;
    const heldBytes = this.heldBytes;
    const at = this.run(held, 0, heldBytes);
    if (at === 0) this.wantedBytes = this.wantedBeyond(heldBytes);
    else this.hold(held, at, heldBytes);
  }

  /** Forgets what has arrived. */
  discard(): void {
    this.held = null;
    this.heldBytes = 0;
    this.wantedBytes = 0;
  }

  private run(bytes: Uint8Array, start: number, end: number): number {
    this.parsing = true;
    try {
      let at = this.parser.parse(bytes, start, end);
      while (this.again) {
        this.again = false;
        if (at < end) at = this.parser.parse(bytes, at, end);
      }
      assert(at >= start && at <= end, 'a parser stops within what it was given');
      return at;
    } finally {
      this.parsing = false;
    }
  }

  /** Copies out what the parser has left. */
  private hold(bytes: Uint8Array, start: number, end: number): void {
    const byteCount = end - start;
    if (byteCount === 0) {
      this.discard();
      return;
    }
    const held = Buffer.allocUnsafeSlow(byteCount);
    held.set(bytes.subarray(start, end));
    this.held = held;
    this.heldBytes = byteCount;
    this.wantedBytes = this.wantedBeyond(byteCount);
  }

  /** A parser that has the frame it wants and stopped nevertheless waits for something else: retry(). */
  private wantedBeyond(byteCount: number): number {
    const wanted = this.parser.bytesWanted;
    return wanted > byteCount ? wanted : 0;
  }

  /** Puts the chunk behind what is held. */
  private gather(bytes: Uint8Array, start: number, end: number): void {
    const totalBytes = this.heldBytes + end - start;
    let held = this.held!;
    if (totalBytes > held.length) {
      // Grows with what has really come in: a declared length costs its sender at least half of the memory it makes us take.
      const doubled = 2 * totalBytes;
      const max = this.parser.frameBytesMax;
      // More than a frame is here when the parser waits for something else (retry).
      const cap = this.wantedBytes > 0 ? this.wantedBytes : totalBytes < max ? max : doubled;
      const grown = Buffer.allocUnsafeSlow(Math.max(totalBytes, Math.min(doubled, cap)));
      grown.set(held.subarray(0, this.heldBytes));
      held = grown;
      this.held = grown;
    }
    held.set(bytes.subarray(start, end), this.heldBytes);
    this.heldBytes = totalBytes;
  }

  private fitsInFront(bytes: Uint8Array, start: number, end: number): boolean {
    const arena = this.arena;
    if (bytes !== arena.bytes || start !== arena.readStart || this.heldBytes > arena.readStart) return false;
    // A frame of unknown size that comes in tiny chunks would be copied in front of each of them.
    return this.wantedBytes > 0 || this.heldBytes <= SMALL_BYTES || this.heldBytes <= end - start;
  }

  private joinInFront(held: Buffer, start: number, end: number): void {
    const bytes = this.arena.bytes;
    const from = start - this.heldBytes;
    bytes.set(held.subarray(0, this.heldBytes), from);
    this.discard();
    const at = this.run(bytes, from, end);
    if (at < end) this.hold(bytes, at, end);
  }

  /** The rest of a frame of known size: only that is copied, and the chunk is parsed from there on where it lies. */
  private completeHeld(bytes: Uint8Array, start: number, end: number): void {
    const next = start + this.wantedBytes - this.heldBytes;
    this.gather(bytes, start, next);
    const held = this.held!;
    const heldBytes = this.heldBytes;
    const taken = this.run(held, 0, heldBytes);
    if (taken < heldBytes) {
      // It stopped for a reason of its own; what follows belongs behind what it left.
      this.hold(held, taken, heldBytes);
      if (next < end) this.gather(bytes, next, end);
      this.wantedBytes = 0;
      return;
    }
    this.discard();
    if (next === end) return;
    const at = this.run(bytes, next, end);
    if (at < end) this.hold(bytes, at, end);
  }
}
