// The index against a plain map, with positions as far apart as those of a log that has been written for years.
import { describe, expect, it } from 'vitest';
import { type ChunkSource, DEAD, Index, NOWHERE } from '../../src/storage/embedded/index.ts';
import { IndexList, type Search } from '../../src/storage/embedded/index-list.ts';
import { Dice } from '../sim/dice.ts';

/** An entry holds a quarter of the distance from its chunk's base in 32 bits: this is as far as it reaches. */
const REACH = 16 * 2 ** 30;

interface Entry {
  readonly base: number;
  readonly first: number;
  readonly entries: Uint32Array;
  readonly far: Float64Array | null;
}

function dumped(list: IndexList): Entry[] {
  const chunks: Entry[] = [];
  let at = 0;
  while (at < list.nextSequence) {
    at = list.dump(at, list.nextSequence, (base, first, entries, far) => {
      chunks.push({ base, first, entries: entries.slice(), far: far?.slice() ?? null });
      return true;
    });
    if (list.count === 0) break;
  }
  return chunks;
}

/** Wakes a chunk when it is asked for, and with it the one it was given with. */
class Dormitory implements ChunkSource {
  private readonly index: Index;
  private readonly asleep: Map<number, Uint32Array>;

  constructor(index: Index, asleep: Map<number, Uint32Array>) {
    this.index = index;
    this.asleep = asleep;
  }

  wake(chunk: number): void {
    const ids = [...this.asleep.keys()];
    const neighbour = ids[(ids.indexOf(chunk) + 1) % ids.length]!;
    for (const one of new Set([chunk, neighbour])) {
      const entries = this.asleep.get(one)!;
      this.asleep.delete(one);
      // Its number may have been given to another chunk meanwhile.
      if (this.index.sleeps(one)) this.index.fill(one, Uint32Array.of(7, ...entries, 7), 1, entries.length);
    }
  }

  wakeNext(): boolean {
    throw new Error('nobody asks for more than is wanted here');
  }
}

/** What a search finds that may look at so many entries at a time, and how it goes on. */
function found(list: IndexList, low: number, high: number, atATime: number): [number, number][] {
  const pairs: [number, number][] = [];
  const search: Search = { low, high, left: 0, onFound: (sequence, position) => pairs.push([sequence, position]) };
  for (let at = 0; at < list.nextSequence; ) {
    search.left = atATime;
    const next = list.search(at, search);
    if (next <= at) throw new Error('the search stands still');
    at = next;
  }
  return pairs;
}

describe('the index of a queue', () => {
  it('keeps positions that lie further apart than an entry reaches', () => {
    const list = new IndexList(new Index());
    const positions = [8, 12, REACH - 4, REACH + 4, REACH + 8, 5 * REACH, 5 * REACH + 4, 400 * REACH];
    for (const position of positions) list.add(position, 1);
    expect(positions.map((_, i) => list.position(i + 1))).toEqual(positions);
    expect(list.count).toBe(positions.length);
  });

  it('finds nothing to kill where a chunk is missing between two others', () => {
    const list = new IndexList(new Index());
    const watch = { onDead: () => undefined, isTogether: () => true };
    const live = { onLive: () => undefined, isTogether: () => true };
    // As a checkpoint gives them back: sequences 5 to 19 were settled, and the chunk they were in is not there.
    list.restore(4096, 1, Uint32Array.of(0, 1, 2, 3), 0, 4, null, live);
    list.restore(8192, 20, Uint32Array.of(0, 1), 0, 2, null, live);
    list.endRestore(22);
    expect(list.kill(5, 10, watch)).toBe(0);
    expect(list.kill(3, 10, watch)).toBe(2);
    expect(list.kill(15, 6, watch)).toBe(1);
    expect(list.count).toBe(3);
    expect(list.firstSequence).toBe(1);
    expect(list.position(21)).toBe(8196);
  });

  it('does not wake what can not be in the range that is searched', () => {
    const index = new Index();
    const list = new IndexList(index);
    const fields = [1, 4096, 1, 4, 0, 0, 1, 8192, 5, 4, 0, 0, 1, 12_288, 9, 4, 0, 0];
    const made = new Uint32Array(3);
    list.restoreAsleep(Float64Array.from(fields), 0, fields.length, made, 0);
    list.endRestore(13);
    const entries = Uint32Array.of(0, 1, 2, 3);
    index.source = new Dormitory(index, new Map([...made].map((chunk) => [chunk, entries])));
    expect(found(list, 8192, 8200, 100)).toEqual([
      [5, 8192],
      [6, 8196],
    ]);
    expect([...made].map((chunk) => index.sleeps(chunk))).toEqual([false, false, true]);
  });

  it('agrees with a map whatever is added, killed and moved, also after a dump', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const dice = new Dice(seed);
      const index = new Index();
      let list = new IndexList(index);
      const model = new Map<number, number>();
      const dead: number[] = [];
      // Counted by segment, as it is used for.
      const segmentOf = (position: number): number => Math.floor(position / 3000);
      const watch = {
        onDead: (position: number, count: number) => {
          for (let i = 0; i < count; i++) dead.push(segmentOf(position));
        },
        isTogether: (low: number, high: number) => segmentOf(low) === segmentOf(high),
      };
      let end = 4096;
      let next = 1;
      for (let step = 0; step < 400; step++) {
        const kind = dice.below(10);
        if (kind < 5) {
          end += dice.chance(0.05) ? dice.below(8) * 2 * 2 ** 30 : 8 * (1 + dice.below(100));
          const count = 1 + dice.below(20);
          list.add(end, count);
          for (let i = 0; i < count; i++) model.set(next++, end + 4 * i);
          end += 4 * count;
          end += (8 - (end % 8)) % 8;
        } else if (kind < 8 && model.size > 0) {
          const sequences = [...model.keys()];
          const from = dice.chance(0.5) ? sequences[0]! : dice.pick(sequences);
          const count = 1 + dice.below(30);
          dead.length = 0;
          const expected: number[] = [];
          for (let i = 0; i < count; i++) {
            const position = model.get(from + i);
            if (position !== undefined) expected.push(segmentOf(position));
            model.delete(from + i);
          }
          expect(list.kill(from, count, watch)).toBe(expected.length);
          expect([...dead].sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b));
        } else if (kind === 8 && model.size > 0) {
          // As compaction does: to the end of the log, however far that is.
          const sequence = dice.pick([...model.keys()]);
          end += 8 * (1 + dice.below(50)) + (dice.chance(0.3) ? 3 * REACH : 0);
          expect(list.move(sequence, end)).toBe(model.get(sequence));
          model.set(sequence, end);
        } else if (kind === 9 && dice.chance(0.2)) {
          const restored = new IndexList(index);
          const live: number[] = [];
          // Somewhere in a block, as a checkpoint holds it.
          // Some come at once, the others when they are asked for.
          const asleep = dice.chance(0.5) ? new Map<number, Uint32Array>() : null;
          const chunks = dumped(list);
          if (asleep !== null) index.source = new Dormitory(index, asleep);
          // Chunks that sleep come several at a time, as many as stand side by side.
          let sleeping: { fields: number[]; entries: Uint32Array }[] = [];
          const putAsleep = (): void => {
            if (sleeping.length === 0) return;
            const fields = Float64Array.from(sleeping.flatMap((one) => one.fields));
            const made = new Uint32Array(sleeping.length);
            restored.restoreAsleep(fields, 0, fields.length, made, 0);
            for (let i = 0; i < made.length; i++) if (made[i] !== NOWHERE) asleep!.set(made[i]!, sleeping[i]!.entries);
            sleeping = [];
          };
          for (const { base, first, entries, far } of chunks) {
            if (asleep !== null && far === null) {
              const firstLive = entries.findIndex((entry) => entry !== DEAD);
              const deadCount = entries.filter((entry) => entry === DEAD).length;
              sleeping.push({ fields: [1, base, first, entries.length, deadCount, firstLive], entries });
              for (let i = deadCount; i < entries.length; i++) live.push(0);
              if (dice.chance(0.3)) putAsleep();
              continue;
            }
            putAsleep();
            restored.restore(base, first, Uint32Array.of(7, ...entries, 7), 1, entries.length, far, {
              onLive: (position, count) => {
                for (let i = 0; i < count; i++) live.push(position);
              },
              isTogether: () => dice.chance(0.5),
            });
          }
          putAsleep();
          restored.endRestore(list.nextSequence);
          expect(live.length).toBe(model.size);
          list.clear();
          list = restored;
        }
        const sequences = [...model.keys()];
        expect(list.count).toBe(sequences.length);
        expect(list.nextSequence).toBe(next);
        expect(list.firstSequence).toBe(sequences[0] ?? next);
        if (step % 20 === 0) {
          for (const sequence of sequences) expect(list.position(sequence)).toBe(model.get(sequence));
          let at = list.firstSequence;
          const walked: number[] = [];
          while (at < next) {
            walked.push(at);
            at = list.nextLive(at + 1);
          }
          expect(walked).toEqual(sequences);
          const bounds = [...model.values(), 4096 + dice.below(end)];
          const ends = [dice.pick(bounds), dice.pick(bounds)];
          const sought = found(list, Math.min(...ends), Math.max(...ends), 1 + dice.below(300));
          expect(sought).toEqual(
            [...model].filter(([, position]) => position >= Math.min(...ends) && position < Math.max(...ends)),
          );
        }
      }
    }
  });
});
