import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Arena } from '../../src/io/arena.ts';
import { Output, type Piece } from '../../src/io/output.ts';
import { PiecesInFlight } from '../../src/io/pieces-in-flight.ts';
import { Turn } from '../../src/io/turn.ts';
import { ManualClock } from './manual-clock.ts';
import { nothing } from './until.ts';

/** An output that writes down what is reported as sent, by the size of the piece. */
class SentLog extends Output {
  readonly sizes: number[] = [];
  onSent: () => void = nothing;

  constructor() {
    super(new Arena(0), new Turn(new ManualClock()), { send: nothing }, 1);
  }

  override sent(piece: Piece): void {
    this.sizes.push(piece.bytes.length);
    this.onSent();
  }
}

function piece(size: number): Piece {
  return { bytes: new Uint8Array(size), slot: null };
}

test('callbacks of writes that were taken at once do not release what was written later', () => {
  const output = new SentLog();
  const inFlight = new PiecesInFlight(output);
  inFlight.add(piece(1));
  inFlight.add(piece(2));
  inFlight.releaseAll();
  inFlight.add(piece(3));
  inFlight.onWritten();
  inFlight.onWritten();
  expect(output.sizes).toEqual([1, 2]);
  expect(inFlight.count).toBe(1);
  inFlight.onWritten();
  expect(output.sizes).toEqual([1, 2, 3]);
});

test('a release that leads to further writes and releases keeps the order and loses none', () => {
  const output = new SentLog();
  const inFlight = new PiecesInFlight(output);
  output.onSent = () => {
    if (output.sizes.length > 5) return;
    inFlight.add(piece(100 + output.sizes.length));
    inFlight.releaseAll();
  };
  inFlight.add(piece(1));
  inFlight.add(piece(2));
  inFlight.releaseAll();
  expect(output.sizes).toEqual([1, 2, 101, 102, 103, 104, 105]);
  expect(inFlight.count).toBe(0);
});

test('what is written because all has left is itself still to leave', () => {
  const output = new SentLog();
  const inFlight = new PiecesInFlight(output);
  output.onSent = () => {
    if (output.sizes.length === 2) inFlight.add(piece(3));
  };
  inFlight.add(piece(1));
  inFlight.add(piece(2));
  inFlight.releaseAll();
  expect([output.sizes, inFlight.count]).toEqual([[1, 2], 1]);
  inFlight.onWritten();
  inFlight.onWritten();
  expect(output.sizes).toEqual([1, 2]);
  inFlight.onWritten();
  expect([output.sizes, inFlight.count]).toEqual([[1, 2, 3], 0]);
});

test('any order of writes, callbacks and releases reports each piece once, in order, never before its write has returned or called back', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('write', 'callback', 'taken'), { maxLength: 5000 }), (steps) => {
      const output = new SentLog();
      const inFlight = new PiecesInFlight(output);
      let written = 0;
      let calledBack = 0;
      let taken = 0;
      for (const step of steps) {
        if (step === 'write') inFlight.add(piece(written++));
        else if (step === 'taken') {
          taken = written;
          inFlight.releaseAll();
        } else if (calledBack < written) {
          calledBack++;
          inFlight.onWritten();
        }
        expect(output.sizes.length).toBe(Math.max(taken, calledBack));
        expect(inFlight.count).toBe(written - output.sizes.length);
      }
      expect(output.sizes).toEqual(Array.from({ length: output.sizes.length }, (_, i) => i));
    }),
    { numRuns: 30 },
  );
});
