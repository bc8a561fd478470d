// Deliveries of one subscription that its client has not settled, by their number: 1, 2, 3, … in the order of delivery. A ring of tags, so that neither a delivery nor an
// ACK takes an object.
//
//   ──────┼───────────────────────────────┼──────
//         │ tag │ GONE │ tag │ tag │ GONE │ free
//   head ─┘                               └─ tail      number & mask is the place
//
// When a few old ones stay behind while many pass, they are moved aside, so that the ring follows the number of live deliveries and not the age of the oldest.

const GONE = -1;
const CAPACITY_MIN = 16;

export class Unsettled {
  count = 0;
  private tags = new Float64Array(0);
  private head = 1;
  private tail = 1;
  private readonly aside = new Map<number, number>();

  /** The number of the next delivery. */
  get next(): number {
    return this.tail;
  }

  /** Adds deliveries with consecutive tags; returns the number of the first. */
  add(firstTag: number, count: number): number {
    if (this.tail - this.head + count > this.tags.length) this.makeRoom(count);
    const first = this.tail;
    const mask = this.tags.length - 1;
    for (let i = 0; i < count; i++) this.tags[(first + i) & mask] = firstTag + i;
    this.tail = first + count;
    this.count += count;
    return first;
  }

  has(number: number): boolean {
    if (number >= this.head && number < this.tail) return this.tags[number & (this.tags.length - 1)] !== GONE;
    return this.aside.has(number);
  }

  /** Takes one out; returns its tag, or -1 when there is none of this number. */
  take(number: number): number {
    if (number < this.head || number >= this.tail) {
      const tag = this.aside.get(number);
      if (tag === undefined) return GONE;
      this.aside.delete(number);
      this.count--;
      return tag;
    }
    const at = number & (this.tags.length - 1);
    const tag = this.tags[at]!;
    if (tag === GONE) return GONE;
    this.tags[at] = GONE;
    this.count--;
    if (number === this.head) this.advance();
    return tag;
  }

  /** The lowest number there is, 0 when there is none. */
  get first(): number {
    if (this.count === 0) return 0;
    for (const number of this.aside.keys()) return number;
    return this.head;
  }

  clear(): void {
    this.aside.clear();
    this.head = this.tail;
    this.count = 0;
    this.tags = new Float64Array(0);
  }

  private advance(): void {
    const { tags, tail } = this;
    const mask = tags.length - 1;
    let head = this.head;
    while (head < tail && tags[head & mask] === GONE) head++;
    this.head = head;
  }

  private makeRoom(count: number): void {
    if (this.tags.length >= 1024 && this.count - this.aside.size < this.tags.length >> 2) {
      const mask = this.tags.length - 1;
      for (let number = this.head; number < this.tail; number++) {
        const tag = this.tags[number & mask]!;
        if (tag !== GONE) this.aside.set(number, tag);
      }
      this.head = this.tail;
      if (count <= this.tags.length) return;
    }
    let capacity = Math.max(CAPACITY_MIN, this.tags.length);
    while (capacity < this.tail - this.head + count) capacity *= 2;
    const tags = new Float64Array(capacity);
    const mask = this.tags.length - 1;
    for (let number = this.head; number < this.tail; number++) {
      tags[number & (capacity - 1)] = this.tags[number & mask]!;
    }
    this.tags = tags;
  }
}
