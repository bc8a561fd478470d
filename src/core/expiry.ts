// When the messages of a queue expire: pairs of (moment, tag) in a binary heap, so that a message that expires early is found behind others that live on.
// The heap lies in two typed arrays: 16 bytes per entry and nothing for the collector to walk. A message that left earlier stays in here until its moment;
// whoever visits checks whether the tag is still there, and calls keepOnly() when the entries outnumber the messages by far.
//
//   moments  [ 5 | 9 | 6 | 12 | … ]     the earliest first; children of i at 2i + 1 and 2i + 2
//   tags     [ t | t | t | t  | … ]     at the same moment the smaller tag goes first

const CAPACITY_MIN = 16;

export class ExpiryIndex {
  private moments = new Float64Array(CAPACITY_MIN);
  private tags = new Float64Array(CAPACITY_MIN);
  private count = 0;

  /** Entries, including those whose message left already. */
  get size(): number {
    return this.count;
  }

  /** The earliest moment (epoch ms); Infinity when empty. */
  peek(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : this.moments[0]!;
  }

  add(expiresAtMs: number, tag: number): void {
    if (this.count === this.moments.length) this.resize(this.count * 2);
    this.siftUp(this.count++, expiresAtMs, tag);
  }

  /**
   * Visits and removes what expires at or before nowMs, earliest first, at most countMax entries. visit may add new entries. Returns how many were visited.
   */
  popExpired(nowMs: number, visit: (tag: number) => void, countMax = Number.POSITIVE_INFINITY): number {
    let visited = 0;
    while (visited < countMax && this.count > 0 && this.moments[0]! <= nowMs) {
      const tag = this.tags[0]!;
      const last = --this.count;
      if (last > 0) this.siftDown(0, this.moments[last]!, this.tags[last]!);
      visited++;
      visit(tag);
    }
    if (visited > 0) this.shrink();
    return visited;
  }

  /** Drops every entry whose tag is not kept. */
  keepOnly(keeps: (tag: number) => boolean): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      if (!keeps(this.tags[i]!)) continue;
      this.moments[kept] = this.moments[i]!;
      this.tags[kept] = this.tags[i]!;
      kept++;
    }
    this.count = kept;
    for (let i = (kept >> 1) - 1; i >= 0; i--) this.siftDown(i, this.moments[i]!, this.tags[i]!);
    this.shrink();
  }

  clear(): void {
    this.count = 0;
    this.shrink();
  }

  private siftUp(index: number, moment: number, tag: number): void {
    const moments = this.moments;
    const tags = this.tags;
    let at = index;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(moment, tag, moments[parent]!, tags[parent]!)) break;
      moments[at] = moments[parent]!;
      tags[at] = tags[parent]!;
      at = parent;
    }
    moments[at] = moment;
    tags[at] = tag;
  }

  private siftDown(index: number, moment: number, tag: number): void {
    const moments = this.moments;
    const tags = this.tags;
    const count = this.count;
    let at = index;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= count) break;
      const right = child + 1;
      if (right < count && isBefore(moments[right]!, tags[right]!, moments[child]!, tags[child]!)) child = right;
      if (!isBefore(moments[child]!, tags[child]!, moment, tag)) break;
      moments[at] = moments[child]!;
      tags[at] = tags[child]!;
      at = child;
    }
    moments[at] = moment;
    tags[at] = tag;
  }

  private shrink(): void {
    const capacity = this.moments.length;
    if (capacity > CAPACITY_MIN && this.count < capacity / 8) this.resize(Math.max(CAPACITY_MIN, capacity / 4));
  }

  private resize(capacity: number): void {
    const moments = new Float64Array(capacity);
    const tags = new Float64Array(capacity);
    moments.set(this.moments.subarray(0, this.count));
    tags.set(this.tags.subarray(0, this.count));
    this.moments = moments;
    this.tags = tags;
  }
}

function isBefore(momentA: number, tagA: number, momentB: number, tagB: number): boolean {
  return momentA < momentB || (momentA === momentB && tagA < tagB);
}
