// The confirms a publisher still has to send: a ring of (position, what), in the order of publishing. "What" is a number the protocol packs itself (packet type and
// identifier) plus, for the few confirms that are more than that, an object. Confirms with consecutive numbers that wait for the same position, as those of a run mostly do, are one entry.
// No promise, no closure per message.
//
//   ──┬──────────┬──────────┬──────────┬──
//     │ position │ position │ position │     grow from left to right;
//     │ what     │ what     │ what     │     released from the left up to the durable position
//     │ count    │ count    │ count    │     what, what + 1, … in all
//   ──┴──────────┴──────────┴──────────┴──
//     head                  tail

export interface ConfirmSink {
  /** Tell the publisher: of what, what + 1 and so on, `count` in all. More than one only where a run was added. */
  onConfirm(what: number, extra: object | null, count: number): void;
}

const CAPACITY_MIN = 8;

/** Of every ring before its first entry. */
const NO_POSITIONS = new Float64Array(0);
const NO_WHATS = new Uint32Array(0);
const NO_COUNTS = new Uint16Array(0);
const NO_EXTRAS: (object | null)[] = [];

export class ConfirmRing {
  private positions: Float64Array = NO_POSITIONS;
  private whats: Uint32Array = NO_WHATS;
  private counts: Uint16Array = NO_COUNTS;
  private extras = NO_EXTRAS;
  private head = 0;
  private tail = 0;

  get empty(): boolean {
    return this.head === this.tail;
  }

  /** Entries. */
  get count(): number {
    return this.tail - this.head;
  }

  /** The position the latest entry waits for; 0 when empty. What comes after it must not overtake it. */
  get lastPosition(): number {
    return this.empty ? 0 : this.positions[(this.tail - 1) & (this.positions.length - 1)]!;
  }

  /** count: at most 65,535. */
  add(position: number, what: number, extra: object | null, count = 1): void {
    if (this.tail - this.head === this.positions.length) this.grow();
    const at = this.tail++ & (this.positions.length - 1);
    this.positions[at] = position;
    this.whats[at] = what;
    this.counts[at] = count;
    this.extras[at] = extra;
  }

  /** Hands everything up to `position` to the sink, in order. */
  release(position: number, sink: ConfirmSink): void {
    while (this.head < this.tail) {
      const at = this.head & (this.positions.length - 1);
      if (this.positions[at]! > position) return;
      this.head++;
      const extra = this.extras[at]!;
      if (extra !== null) this.extras[at] = null;
      sink.onConfirm(this.whats[at]!, extra, this.counts[at]!);
    }
  }

  clear(): void {
    this.extras.fill(null);
    this.head = this.tail = 0;
  }

  private grow(): void {
    const size = Math.max(CAPACITY_MIN, this.positions.length * 2);
    const positions = new Float64Array(size);
    const whats = new Uint32Array(size);
    const counts = new Uint16Array(size);
    const extras = new Array<object | null>(size).fill(null);
    for (let i = this.head; i < this.tail; i++) {
      const from = i & (this.positions.length - 1);
      const to = i & (size - 1);
      positions[to] = this.positions[from]!;
      whats[to] = this.whats[from]!;
      counts[to] = this.counts[from]!;
      extras[to] = this.extras[from]!;
    }
    this.positions = positions;
    this.whats = whats;
    this.counts = counts;
    this.extras = extras;
  }
}
