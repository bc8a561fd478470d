// The bytes on their way to one peer. Appending copies into a borrowed slot of the arena; at the end of the turn all of it goes to the sink (socket) in
// one go. Large blocks go by reference. Relies on Turn to be flushed and on the sink to give slots back; never talks to a socket itself.
//
//   pieces[0] … pieces[n-1]   full slots and references, in order
//   slot [slot.start … at … slot.end)   being filled
//   lone                      instead of both: a block that many outputs have, and nothing else yet. It leaves as it is, or is copied into a slot when something follows it
//
// unsentBytes counts everything not yet taken by the kernel; the owner judges congestion by it.
import { assert } from '../lib/assert.ts';
import type { Arena, Slot } from './arena.ts';
import { SLOT_BYTES } from './arena.ts';
import type { Turn } from './turn.ts';

/** A run of bytes to be written, and the slot to give back when they are (null: memory of its own). */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly slot: Slot | null;
}

export interface OutputSink {
  /** Writes the pieces in order. Calls output.sent(piece) for each when its bytes are no longer needed, now or later. */
  send(pieces: readonly Piece[]): void;
}

/** Whoever has to know that a congested output has room again. */
export interface DrainTarget {
  onDrain(): void;
}

/** From here on a block is not copied into a slot but handed on as it is, if it has memory of its own. */
export const REFERENCE_BYTES_MIN = 16 * 1024;

/** Of every output that has nothing to write; nobody adds to it. */
const NO_PIECES: Piece[] = [];

export class Output {
  // First what every append needs, so that it is in one place.
  private slot: Slot | null = null;
  private at = 0;
  /** Bytes appended and not yet taken by the kernel. */
  unsentBytes = 0;
  /** Set when unsentBytes passed congestedBytes at a flush; cleared when all of it has left. */
  congested = false;
  /** The memory that reserve() offsets refer to; changes with every reserve. */
  bytes: Buffer;
  /** Bytes handed over in total. */
  totalBytes = 0;
  private readonly arena: Arena;
  private readonly turn: Turn;
  private sink: OutputSink | null;
  private readonly congestedBytes: number;
  private drainTarget: DrainTarget | null = null;
  private pieces = NO_PIECES;
  private lone: readonly Piece[] | null = null;
  private dirty = false;
  /** Pieces are handed over in the middle of an append: nobody else may append before it is complete. */
  private handing = false;

  constructor(arena: Arena, turn: Turn, sink: OutputSink, congestedBytes: number) {
    this.arena = arena;
    this.turn = turn;
    this.sink = sink;
    this.congestedBytes = congestedBytes;
    this.bytes = arena.bytes;
  }

  /** target is told when a congested output has become empty. */
  setDrainTarget(target: DrainTarget | null): void {
    this.drainTarget = target;
  }

  /** Copies bytes[start, end). */
  append(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    while (from < end) {
      const slot = this.slot ?? this.takeSlot(end - from);
      const room = slot.end - this.at;
      const size = end - from < room ? end - from : room;
      if (bytes === slot.bytes) slot.bytes.copyWithin(this.at, from, from + size);
      else slot.bytes.set(from === 0 && size === bytes.length ? bytes : bytes.subarray(from, from + size), this.at);
      this.at += size;
      this.unsentBytes += size;
      from += size;
      if (this.at === slot.end) this.closeSlot(slot);
    }
  }

  /**
   * Makes room for exactly `size` contiguous bytes (at most SLOT_BYTES) and counts them as appended. The caller fills
   * this.bytes[offset, offset + size) before anything else is done with this output.
   */
  reserve(size: number): number {
    assert(size <= SLOT_BYTES, 'What is reserved fits into a slot.');
    let slot = this.slot ?? this.takeSlot(size);
    if (slot.end - this.at < size) {
      this.closeSlot(slot);
      slot = this.takeSlot(size);
    }
    const offset = this.at;
    this.at += size;
    this.unsentBytes += size;
    this.bytes = slot.bytes;
    return offset;
  }

  /** Takes back the last `size` bytes of the latest reserve(), which turned out not to be needed. */
  unreserve(size: number): void {
    this.at -= size;
    this.unsentBytes -= size;
  }

  /** Hands on bytes that nobody will change any more; copies them when they are too small to be worth a piece. */
  appendOwned(bytes: Uint8Array): void {
    if (bytes.length < REFERENCE_BYTES_MIN) {
      this.append(bytes, 0, bytes.length);
      return;
    }
    if (this.lone !== null) this.takeSlot(0);
    if (this.slot !== null) this.closeSlot(this.slot);
    this.markDirty();
    this.addPiece({ bytes, slot: null });
    this.unsentBytes += bytes.length;
  }

  /** Hands on one piece, without a slot, that many outputs are given, whatever its size: ten thousand copies of it would all have to be fetched from the memory again to be sent. */
  appendShared(block: readonly [Piece]): void {
    const { bytes } = block[0];
    if (this.slot !== null || this.lone !== null || this.pieces !== NO_PIECES) {
      this.appendOwned(bytes);
      return;
    }
    this.lone = block;
    this.unsentBytes += bytes.length;
    this.markDirty();
  }

  /** Hands everything to the sink. Called by Turn. */
  flush(): void {
    this.dirty = false;
    if (this.slot !== null) this.closeSlot(this.slot);
    const pieces = this.lone ?? this.pieces;
    if (pieces.length > 0) {
      this.lone = null;
      this.pieces = NO_PIECES;
      if (this.sink === null) {
        for (const piece of pieces) this.sent(piece);
        return;
      }
      this.sink.send(pieces);
    }
    // Also when all of it was handed over, or has left, before the end of the turn.
    if (this.unsentBytes === 0) this.drained();
    else if (this.sink !== null && this.unsentBytes > this.congestedBytes) this.congested = true;
  }

  /** The sink says: these bytes have left. */
  sent(piece: Piece): void {
    if (piece.slot !== null) this.arena.giveBack(piece.slot);
    this.unsentBytes -= piece.bytes.length;
    this.totalBytes += piece.bytes.length;
    if (this.unsentBytes === 0 && !this.handing) this.drained();
  }

  private drained(): void {
    if (!this.congested) return;
    this.congested = false;
    if (this.drainTarget !== null) this.drainTarget.onDrain();
  }

  /** Throws away what has not been handed to the sink, and all that will be appended: the stream is gone. */
  discard(): void {
    this.sink = null;
    this.drainTarget = null;
    if (this.dirty) this.flush();
  }

  get discarded(): boolean {
    return this.sink === null;
  }

  private takeSlot(size: number): Slot {
    const { lone } = this;
    if (lone !== null) {
      this.lone = null;
      const { bytes } = lone[0]!;
      if (bytes.length < REFERENCE_BYTES_MIN) return this.takeSlotBehind(bytes, size);
      this.addPiece(lone[0]!);
    }
    const slot = this.arena.borrow(size);
    this.slot = slot;
    this.at = slot.start;
    this.markDirty();
    return slot;
  }

  /** A slot that begins with these bytes, which are counted already. */
  private takeSlotBehind(bytes: Uint8Array, size: number): Slot {
    const slot = this.arena.borrow(Math.min(SLOT_BYTES, bytes.length + size));
    slot.bytes.set(bytes, slot.start);
    this.slot = slot;
    this.at = slot.start + bytes.length;
    return slot;
  }

  private closeSlot(slot: Slot): void {
    this.slot = null;
    if (this.at === slot.start) {
      this.arena.giveBack(slot);
      return;
    }
    this.addPiece({ bytes: slot.bytes.subarray(slot.start, this.at), slot });
    // A peer that is sent a great deal in one turn holds many slots; handing them over early keeps the arena small and the socket busy.
    if (this.pieces.length >= PIECES_PER_TURN_MAX && this.sink !== null) this.flushPieces();
  }

  private addPiece(piece: Piece): void {
    if (this.pieces === NO_PIECES) this.pieces = [piece];
    else this.pieces.push(piece);
  }

  private flushPieces(): void {
    const pieces = this.pieces;
    this.pieces = NO_PIECES;
    // Whoever is told of a drain appends, and its bytes would stand in the middle of what is being appended now. It is told by flush(), which is due.
    this.handing = true;
    try {
      this.sink?.send(pieces);
    } finally {
      this.handing = false;
    }
  }

  private markDirty(): void {
    if (this.dirty) return;
    this.dirty = true;
    this.turn.mark(this);
  }
}

/** 16 slots of 64 KB: enough for one writev of a megabyte. */
const PIECES_PER_TURN_MAX = 16;

export { SLOT_BYTES };
