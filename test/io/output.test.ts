// What goes into an output comes out of it: the same bytes in the same order, whenever the peer takes them and whenever the stream ends.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Arena, SLOT_BYTES } from '../../src/io/arena.ts';
import { Output, type OutputSink, type Piece, REFERENCE_BYTES_MIN } from '../../src/io/output.ts';
import { Turn } from '../../src/io/turn.ts';
import { AssertionError } from '../../src/lib/assert.ts';
import { WorldClock } from '../support/world.ts';

/** A peer that takes what it is sent when the test says so. Bytes are looked at only then: a slot given back too early shows. */
class Peer implements OutputSink {
  readonly output: Output;
  readonly received: Buffer[] = [];
  readonly waiting: Piece[] = [];
  drained = 0;
  /** Takes everything within the call. */
  eager: boolean;
  sends = 0;

  constructor(arena: Arena, turn: Turn, congestedBytes: number, eager = false) {
    this.eager = eager;
    this.output = new Output(arena, turn, this, congestedBytes);
    this.output.setDrainTarget({ onDrain: () => void this.drained++ });
  }

  send(pieces: readonly Piece[]): void {
    this.sends++;
    this.waiting.push(...pieces);
    if (this.eager) this.take();
  }

  take(count = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < count && this.waiting.length > 0; i++) {
      const piece = this.waiting.shift()!;
      this.received.push(Buffer.from(piece.bytes));
      this.output.sent(piece);
    }
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }
}

class Bench {
  readonly clock = new WorldClock();
  readonly turn = new Turn(this.clock);
  readonly arena: Arena;

  constructor(slots = 8) {
    this.arena = new Arena(slots);
  }

  peer(congestedBytes = 1000, eager = false): Peer {
    return new Peer(this.arena, this.turn, congestedBytes, eager);
  }

  endTurn(): void {
    this.clock.settle();
  }
}

let counter = 0;
/** Bytes that differ from all before. */
function fresh(length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let i = 0; i < length; i++) {
    counter = (Math.imul(counter, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    bytes[i] = counter >>> 16;
  }
  return bytes;
}

const LENGTH = fc.oneof(
  fc.nat({ max: 40 }),
  fc.nat({ max: 5000 }),
  fc.constantFrom(
    REFERENCE_BYTES_MIN - 1,
    REFERENCE_BYTES_MIN,
    SLOT_BYTES - 1,
    SLOT_BYTES,
    SLOT_BYTES + 1,
    3 * SLOT_BYTES,
  ),
);
const RESERVED = fc.oneof(
  fc.nat({ max: 40 }),
  fc.nat({ max: SLOT_BYTES }),
  fc.constantFrom(0, 1, SLOT_BYTES - 1, SLOT_BYTES),
);

const STEP = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      to: fc.nat({ max: 2 }),
      length: LENGTH,
      skip: fc.nat({ max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('appendFromArena' as const),
      to: fc.nat({ max: 2 }),
      length: fc.nat({ max: 4000 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      to: fc.nat({ max: 2 }),
      length: RESERVED,
      back: fc.nat({ max: 10 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('appendOwned' as const), to: fc.nat({ max: 2 }), length: LENGTH }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('appendShared' as const), length: LENGTH }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('endTurn' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('take' as const),
      to: fc.nat({ max: 2 }),
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('discard' as const, 'eager' as const), to: fc.nat({ max: 2 }) }),
  },
);

describe('an output', () => {
  test('gives what it was given, in order, and every slot back', () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 60, size: 'max' }), fc.nat({ max: 6 }), (steps, slots) => {
        const bench = new Bench(slots);
        const peers = [bench.peer(0), bench.peer(100_000), bench.peer(1000, true)];
        const given: Buffer[][] = peers.map(() => []);
        const give = (to: number, bytes: Buffer): void => {
          if (!peers[to]!.output.discarded) given[to]!.push(Buffer.from(bytes));
        };
        for (const step of steps) {
          const peer = 'to' in step ? peers[step.to]! : peers[0]!;
          const { output } = peer;
          switch (step.kind) {
            case 'append': {
              const bytes = fresh(step.length + 2 * step.skip);
              output.append(bytes, step.skip, step.skip + step.length);
              give(step.to, bytes.subarray(step.skip, step.skip + step.length));
              bytes.fill(0xdb);
              break;
            }
            case 'appendFromArena': {
              const { readStart } = bench.arena;
              const bytes = fresh(step.length);
              bench.arena.bytes.set(bytes, readStart);
              output.append(bench.arena.bytes, readStart, readStart + step.length);
              give(step.to, bytes);
              break;
            }
            case 'reserve': {
              const back = Math.min(step.back, step.length);
              const at = output.reserve(step.length);
              const bytes = fresh(step.length - back);
              output.bytes.set(bytes, at);
              output.unreserve(back);
              give(step.to, bytes);
              break;
            }
            case 'appendOwned': {
              const bytes = fresh(step.length);
              output.appendOwned(bytes);
              give(step.to, bytes);
              break;
            }
            case 'appendShared': {
              const bytes = fresh(step.length);
              const block = [{ bytes, slot: null }] as const;
              for (const [to, { output: each }] of peers.entries()) {
                each.appendShared(block);
                give(to, bytes);
              }
              expect(block.length).toBe(1);
              break;
            }
            case 'endTurn':
              bench.endTurn();
              for (const { output: flushed, eager } of peers) {
                if (!eager && !flushed.discarded) checkCongested(flushed, flushed === peers[0]!.output ? 0 : 100_000);
              }
              break;
            case 'take':
              peer.take(step.count);
              break;
            case 'eager':
              peer.eager = !peer.eager;
              break;
            case 'discard':
              output.discard();
          }
        }
        bench.endTurn();
        for (const [i, peer] of peers.entries()) {
          peer.take();
          const expected = Buffer.concat(given[i]!);
          // What had not been handed over when the stream ended is thrown away.
          const got = peer.bytes;
          if (!peer.output.discarded) expect(got.length).toBe(expected.length);
          expect(got.equals(expected.subarray(0, got.length))).toBe(true);
          expect(peer.output.unsentBytes).toBe(0);
          expect(peer.output.congested).toBe(false);
        }
        expect(bench.arena.borrowedCount).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  function checkCongested(output: Output, limit: number): void {
    if (output.unsentBytes > limit) expect(output.congested).toBe(true);
    if (output.unsentBytes === 0) expect(output.congested).toBe(false);
  }

  test('sends nothing before the end of the turn, and then all in one go', () => {
    const bench = new Bench();
    const peer = bench.peer(1000, true);
    for (let i = 0; i < 100; i++) peer.output.append(Buffer.from('abc'), 0, 3);
    expect(peer.sends).toBe(0);
    bench.endTurn();
    expect([peer.sends, peer.received.length]).toEqual([1, 1]);
    expect(peer.bytes.toString()).toBe('abc'.repeat(100));
    bench.endTurn();
    expect(peer.sends).toBe(1);
  });

  test('that is idle holds no slot', () => {
    const bench = new Bench();
    const peer = bench.peer();
    expect(bench.arena.borrowedCount).toBe(0);
    peer.output.append(Buffer.from('x'), 0, 1);
    expect(bench.arena.borrowedCount).toBe(1);
    bench.endTurn();
    expect(bench.arena.borrowedCount).toBe(1);
    peer.take();
    expect(bench.arena.borrowedCount).toBe(0);
    peer.output.reserve(10);
    peer.output.unreserve(10);
    bench.endTurn();
    expect([bench.arena.borrowedCount, peer.sends]).toEqual([0, 1]);
  });

  test('hands large blocks on as they are, small ones it copies', () => {
    const bench = new Bench();
    const peer = bench.peer();
    const [large, small] = [fresh(REFERENCE_BYTES_MIN), fresh(REFERENCE_BYTES_MIN - 1)];
    peer.output.appendOwned(large);
    peer.output.appendOwned(small);
    bench.endTurn();
    expect(peer.waiting.map(({ bytes }) => bytes === large)).toEqual([true, false]);
    expect(peer.waiting.map(({ slot }) => slot === null)).toEqual([true, false]);
  });

  test('hands on a block that others have, too, as it is when nothing else goes with it, and otherwise with what does', () => {
    const bench = new Bench();
    const peers = [bench.peer(1000, true), bench.peer(1000, true), bench.peer(1000, true)];
    const block = [{ bytes: Buffer.from('shared'), slot: null }] as const;
    peers[1]!.output.append(Buffer.from('before '), 0, 7);
    for (const { output } of peers) output.appendShared(block);
    peers[2]!.output.append(Buffer.from(' after'), 0, 6);
    expect(bench.arena.borrowedCount).toBe(2);
    bench.endTurn();
    expect(peers.map(({ bytes }) => bytes.toString())).toEqual(['shared', 'before shared', 'shared after']);
    expect(peers.map(({ received }) => received.length)).toEqual([1, 1, 1]);
    expect(bench.arena.borrowedCount).toBe(0);
  });

  test('is congested from too much at a flush until all of it has left', () => {
    const bench = new Bench();
    const peer = bench.peer(100);
    peer.output.append(fresh(100), 0, 100);
    bench.endTurn();
    expect(peer.output.congested).toBe(false);
    peer.output.append(fresh(1), 0, 1);
    expect(peer.output.congested).toBe(false);
    bench.endTurn();
    expect([peer.output.congested, peer.drained]).toEqual([true, 0]);
    peer.take(1);
    expect([peer.output.congested, peer.drained]).toEqual([true, 0]);
    peer.take(1);
    expect([peer.output.congested, peer.drained]).toEqual([false, 1]);
    peer.output.append(fresh(1), 0, 1);
    bench.endTurn();
    peer.take();
    expect(peer.drained).toBe(1);
  });

  test('is congested also when the whole of it was handed over before the end of the turn', () => {
    const bench = new Bench(64);
    const peer = bench.peer(1000);
    const bytes = fresh(16 * SLOT_BYTES);
    peer.output.append(bytes, 0, bytes.length);
    // A peer that is sent a great deal in one turn does not hold all of the arena until then.
    expect(peer.sends).toBe(1);
    bench.endTurn();
    expect(peer.output.congested).toBe(true);
    peer.take();
    expect([peer.output.congested, peer.drained]).toEqual([false, 1]);
  });

  test('says that it has drained before anything else is appended, and takes that', () => {
    const bench = new Bench();
    const peer = bench.peer(10);
    peer.output.setDrainTarget({ onDrain: () => peer.output.append(Buffer.from('more'), 0, 4) });
    peer.output.append(fresh(20), 0, 20);
    bench.endTurn();
    peer.take();
    bench.endTurn();
    peer.take();
    expect(peer.bytes.subarray(20).toString()).toBe('more');
  });

  test('says that it has drained never in the middle of an append', () => {
    const bench = new Bench(64);
    const peer = bench.peer(10);
    peer.output.setDrainTarget({ onDrain: () => peer.output.append(Buffer.from('more'), 0, 4) });
    peer.output.append(fresh(20), 0, 20);
    bench.endTurn();
    const given: Buffer[] = [Buffer.from(peer.waiting[0]!.bytes)];
    const give = (bytes: Buffer): void => {
      given.push(bytes);
      peer.output.append(bytes, 0, bytes.length);
    };
    give(fresh(10));
    // All that was handed over leaves while it is congested by what was not.
    peer.take();
    expect(peer.output.congested).toBe(true);
    peer.eager = true;
    give(fresh(16 * SLOT_BYTES + 1000));
    expect([peer.sends, peer.output.congested]).toEqual([2, true]);
    bench.endTurn();
    bench.endTurn();
    expect(peer.bytes.equals(Buffer.concat([...given, Buffer.from('more')]))).toBe(true);
    expect(bench.arena.borrowedCount).toBe(0);
  });

  test('counts what has left', () => {
    const bench = new Bench();
    const peer = bench.peer(10, true);
    peer.output.append(fresh(20), 0, 20);
    expect([peer.output.unsentBytes, peer.output.totalBytes]).toEqual([20, 0]);
    bench.endTurn();
    expect([peer.output.unsentBytes, peer.output.totalBytes]).toEqual([0, 20]);
  });

  test('refuses to reserve more than a slot: it would write into its neighbour', () => {
    const bench = new Bench();
    const { output } = bench.peer();
    expect(() => output.reserve(SLOT_BYTES)).not.toThrow();
    expect(() => output.reserve(SLOT_BYTES + 1)).toThrow(AssertionError);
  });

  test('that is discarded sends nothing more, says nothing more, and keeps nothing', () => {
    const bench = new Bench();
    const peer = bench.peer(10);
    peer.output.append(fresh(20), 0, 20);
    bench.endTurn();
    peer.output.append(fresh(20), 0, 20);
    peer.output.discard();
    peer.output.append(fresh(200_000), 0, 200_000);
    peer.output.appendOwned(fresh(20_000));
    bench.endTurn();
    expect([peer.sends, peer.output.unsentBytes, bench.arena.borrowedCount]).toEqual([1, 20, 1]);
    peer.take();
    expect([peer.drained, peer.output.unsentBytes, bench.arena.borrowedCount]).toEqual([0, 0, 0]);
  });

  test('may be discarded by the very peer it is sending to', () => {
    const bench = new Bench(64);
    let output: Output;
    const taken: Piece[] = [];
    const sink: OutputSink = {
      send: (pieces) => {
        taken.push(...pieces);
        output.discard();
      },
    };
    output = new Output(bench.arena, bench.turn, sink, 10);
    const bytes = fresh(40 * SLOT_BYTES);
    output.append(bytes, 0, bytes.length);
    bench.endTurn();
    for (const piece of taken) output.sent(piece);
    expect([output.unsentBytes, bench.arena.borrowedCount]).toEqual([0, 0]);
  });
});
