// Counts what arrived against what was sent: every message of a lane carries the next sequence number, so that a reader
// which keeps the next number it expects, and the ranges it has skipped, tells loss, duplicates and reordering apart
// exactly and at no cost while everything is in order. A reader is a subscriber, or all competing subscribers of a
// queue together. It never guesses: what is still skipped at the end is lost.
//
//   expected 7, holes [2,4) : 0, 1, 4, 5, 6 have arrived; a 3 now is late and fills its hole, a 5 now is a duplicate

/** Half-open ranges of sequence numbers that were skipped, ascending. */
interface Holes {
  starts: number[];
  ends: number[];
}

/** A broker that drops every other message must not fill the memory of the generator: 64 bytes each, give or take. */
const holesMax = 4_000_000;

export class Ledger {
  /** By reader and lane: the next sequence number. Readers write it directly while messages arrive in order. */
  readonly expected: Uint32Array;
  duplicates = 0;
  private readonly holes = new Map<number, Holes>();
  private holeCount = 0;

  constructor(streamCount: number) {
    this.expected = new Uint32Array(streamCount);
  }

  /** Takes a message that is not the expected one, and says whether it fills a hole: it comes after a later one. */
  outOfOrder(stream: number, seq: number): boolean {
    const expected = this.expected[stream]!;
    if (seq >= expected) {
      if (seq > expected) this.addHole(stream, expected, seq);
      this.expected[stream] = seq + 1;
      return false;
    }
    const fills = this.fillHole(stream, seq);
    if (!fills) this.duplicates++;
    return fills;
  }

  private addHole(stream: number, start: number, end: number): void {
    let holes = this.holes.get(stream);
    if (holes === undefined) {
      holes = { starts: [], ends: [] };
      this.holes.set(stream, holes);
    }
    holes.starts.push(start);
    holes.ends.push(end);
    this.holeCount++;
    if (this.holeCount > holesMax) throw new Error(`more than ${holesMax} gaps in what arrived`);
  }

  private fillHole(stream: number, seq: number): boolean {
    const holes = this.holes.get(stream);
    if (holes === undefined) return false;
    const { starts, ends } = holes;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= seq) low = middle + 1;
      else high = middle;
    }
    const index = low - 1;
    if (index < 0 || seq >= ends[index]!) return false;
    const end = ends[index]!;
    if (seq === starts[index]! && seq + 1 === end) {
      starts.splice(index, 1);
      ends.splice(index, 1);
      this.holeCount--;
    } else if (seq === starts[index]!) starts[index] = seq + 1;
    else {
      ends[index] = seq;
      if (seq + 1 < end) {
        starts.splice(index + 1, 0, seq + 1);
        ends.splice(index + 1, 0, end);
        this.holeCount++;
      }
    }
    return true;
  }
}
