// One block of memory that all connections of a shard read into and write out of. Inside one ArrayBuffer a copy is copyWithin (22-44 ns up to 1 KB),
// half the price of a copy between two buffers.
//
//   0            HEADROOM          HEADROOM + READ_BYTES
//   ├── headroom ──┼── read buffer ───────┼── slot 0 ──┼── slot 1 ──┼── … ──┤
//
// headroom: a partial frame is copied here, right in front of the next chunk, so that parsers only ever see contiguous bytes.
// slots: output pieces of SLOT_BYTES, borrowed when something is appended and given back when it has left for the kernel; an idle connection
// holds none. When all slots are out, further ones are ordinary buffers no larger than what they are for: with thousands of peers that are sent a few bytes each, a whole slot for
// every one of them would cost more than the sending. So the arena is a matter of speed, never a limit.
// Pages that were never touched cost nothing: the size is address space, not memory.

export const HEADROOM_BYTES = 64 * 1024;
export const READ_BYTES = 256 * 1024;
export const SLOT_BYTES = 64 * 1024;
/** Of an ordinary buffer at least: cut from a shared one by Node. */
const OUTSIDE_BYTES_MIN = 2048;

export interface Slot {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export class Arena {
  readonly bytes: Buffer;
  readonly readStart = HEADROOM_BYTES;
  readonly readEnd = HEADROOM_BYTES + READ_BYTES;
  /** Slots out at the moment, for metrics. */
  borrowedCount = 0;
  private readonly free: Slot[] = [];
  private fresh: number;

  constructor(slotCount: number) {
    this.bytes = Buffer.from(new ArrayBuffer(this.readEnd + slotCount * SLOT_BYTES));
    this.fresh = this.readEnd;
  }

  /** Room for sizeMin bytes (at most SLOT_BYTES) or more. */
  borrow(sizeMin = SLOT_BYTES): Slot {
    this.borrowedCount++;
    const slot = this.free.pop();
    if (slot !== undefined) return slot;
    if (this.fresh < this.bytes.length) {
      const start = this.fresh;
      this.fresh += SLOT_BYTES;
      return { bytes: this.bytes, start, end: this.fresh };
    }
    const bytes =
      sizeMin <= OUTSIDE_BYTES_MIN ? Buffer.allocUnsafe(OUTSIDE_BYTES_MIN) : Buffer.allocUnsafeSlow(SLOT_BYTES);
    return { bytes, start: 0, end: bytes.length };
  }

  giveBack(slot: Slot): void {
    this.borrowedCount--;
    // A buffer from outside the arena is left to the collector.
    if (slot.bytes === this.bytes) this.free.push(slot);
  }
}
