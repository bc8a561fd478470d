// What is copied to give the space of mostly dead segments back, and what is left alone.
import { expect, it } from 'vitest';
import { Durability, type QueueLog } from '../../src/storage/commit-log.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { type Opened, open } from './embedded-harness.ts';
import { collect, targets, textRun } from './harness.ts';

/** Appends `count` messages of a thousand bytes, a hundred to a unit. */
function fill({ storage, work }: Opened, queue: QueueLog, count: number): void {
  const run = textRun('x'.repeat(1000));
  for (let i = 1; i <= count; i++) {
    storage.append(run, targets([queue]));
    if (i % 100 !== 0) continue;
    storage.endUnit();
    work();
  }
}

it('does not copy what consumers that take turns with publishers have left of a segment', async () => {
  const one = await open(new SimDisk());
  const { storage, work } = one;
  const queue = storage.openQueue('q', Durability.Fsync);
  fill(one, queue, 20_000);
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 30; i++) {
      queue.settle(queue.firstSequence, 100);
      storage.endUnit();
      work();
    }
    fill(one, queue, 3000);
  }
  expect(storage.figures).toMatchObject({ compactions: 0, movedMessages: 0 });
  expect(queue.count).toBe(20_000);
});

it('copies what is left scattered over segments, while publishers go on, and gives their space back', async () => {
  const disk = new SimDisk();
  const one = await open(disk);
  const { storage, work } = one;
  const queue = storage.openQueue('q', Durability.Fsync);
  const others = storage.openQueue('others', Durability.Fsync);
  fill(one, queue, 12_000);
  for (let sequence = 1; sequence < 12_000; sequence += 10) queue.settle(sequence, 9);
  storage.endUnit();
  work();
  const segments = (): number => disk.list('/data').filter((name) => name.endsWith('.segment')).length;
  for (let round = 0; round < 60; round++) {
    fill(one, others, 500);
    others.settle(others.firstSequence, 500);
    storage.endUnit();
    work();
  }
  expect(storage.figures.movedMessages).toBeGreaterThanOrEqual(1000);
  expect(segments()).toBeLessThan(12);
  const sink = collect(queue);
  work();
  expect(sink.ended).toBe(true);
  expect(sink.texts).toEqual(new Array(1200).fill('x'.repeat(1000)));
  expect(sink.sequences).toEqual(Array.from({ length: 1200 }, (_, i) => 10 * (i + 1)));
});
