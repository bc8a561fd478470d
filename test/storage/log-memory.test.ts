import { describe, expect, it } from 'vitest';
import type { Crew } from '../../src/storage/embedded/crew.ts';
import { Log } from '../../src/storage/embedded/log.ts';
import { SEGMENT_DATA_START } from '../../src/storage/embedded/segment.ts';
import { Segment, Segments } from '../../src/storage/embedded/segments.ts';
import type { FrameOrder } from '../../src/storage/embedded/writer.ts';
import { Dice } from '../sim/dice.ts';

const STRIDE = 64 * 1024;

/** A log that writes nothing, and what was appended to it. */
class Bench {
  readonly segments = new Segments(STRIDE);
  readonly log: Log;
  readonly frames: FrameOrder[] = [];
  readonly records: { position: number; bytes: Uint8Array }[] = [];
  private readonly dice: Dice;

  constructor(dice: Dice, frameBytesMax: number) {
    this.dice = dice;
    // It only keeps what it is given; the rest of a crew is not asked for.
    const crew: Partial<Crew> = {
      submit: (frame) => this.frames.push(frame),
      makeMemory: (bytes) => new Uint8Array(bytes),
    };
    const first = this.add();
    const supply = { next: () => this.add() };
    this.log = new Log(
      crew as Crew,
      new Uint8Array(STRIDE),
      this.segments,
      supply,
      { onWritten: () => undefined },
      first,
      first.base + SEGMENT_DATA_START,
      frameBytesMax,
      false,
    );
  }

  append(size: number): void {
    const { log } = this;
    const at = log.reserve(size);
    for (let i = 0; i < size; i++) log.bytes[at + i] = 1 + this.dice.below(255);
    this.records.push({ position: at + log.shift, bytes: log.bytes.slice(at, at + size) });
  }

  written(): void {
    if (this.frames.shift() !== undefined) this.log.onFrameWritten();
  }

  private add(): Segment {
    const segment = new Segment(this.segments.count, STRIDE, 1, new Uint8Array(8), true);
    this.segments.add(segment);
    return segment;
  }
}

describe('what the log says it has in memory', () => {
  it('is what was appended, wherever frames begin and end, and however full they are', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const dice = new Dice(seed);
      const frameBytesMax = 4096 + 8 * dice.below(1536);
      const bench = new Bench(dice, frameBytesMax);
      const { log } = bench;
      let found = 0;
      for (let step = 0; step < 500; step++) {
        bench.append(8 * (1 + dice.below(dice.chance(0.2) ? 500 : 40)));
        if (dice.chance(0.3)) log.endUnit();
        if (dice.chance(0.2)) log.seal();
        while (dice.chance(0.4)) bench.written();
        // What lies further back than the memory is long is not in it any more.
        const recent = bench.records.filter(({ position }) => position > log.end - 2 * STRIDE);
        for (const { position, bytes } of recent) {
          if (!log.find(position, bytes.length)) continue;
          found++;
          const there = log.found.subarray(log.foundAt, log.foundAt + bytes.length);
          if (Buffer.compare(there, bytes) !== 0) expect(there, `seed ${seed}, position ${position}`).toEqual(bytes);
        }
      }
      expect(found).toBeGreaterThan(1000);
    }
  });
});
