// The growing end of the embedded log as others see it: what a position promises, and what can be read while frames are on their way to the disk.
import { expect, it } from 'vitest';
import type { Run } from '../../src/core/run.ts';
import { Durability, type FetchSink, type QueueLog } from '../../src/storage/commit-log.ts';
import { RecordKind } from '../../src/storage/embedded/record.ts';
import { BLOCK_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameFlag } from '../../src/storage/embedded/segment.ts';
import { EXTENT_BYTES } from '../../src/storage/embedded/segments.ts';
import { Dice } from '../sim/dice.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { open, stop } from './embedded-harness.ts';
import { collect, targets, text, textRun } from './harness.ts';

const FIRST_SEGMENT = '/data/0000000001.segment';

it('counts what was settled since the last unit as appended: whoever answers for it waits until it is written', async () => {
  const disk = new SimDisk();
  const { storage, work } = await open(disk);
  const queue = storage.openQueue('q', Durability.Fsync);
  storage.append(textRun('one', 'two'), targets([queue]));
  storage.endUnit();
  work();
  expect(storage.position).toBe(storage.durablePosition);
  queue.settle(1, 1);
  const { position } = storage;
  expect(position).toBeGreaterThan(storage.durablePosition);
  storage.endUnit();
  expect(storage.position).toBe(position);
  expect(storage.durablePosition).toBeLessThan(position);
  work();
  expect(storage.durablePosition).toBe(position);
  const again = await open(disk.afterPowerCut(new Dice(1), 'drop'));
  expect(again.storage.openQueue('q', Durability.Fsync).firstSequence).toBe(2);
});

it('reads a backlog while the frame behind it is on its way to the disk', async () => {
  const disk = new SimDisk();
  const before = await open(disk);
  const text = 'x'.repeat(60_000);
  for (let i = 0; i < 3; i++) {
    before.storage.append(textRun(text), targets([before.storage.openQueue('q', Durability.Fsync)]));
    before.storage.endUnit();
    before.work();
  }
  // What was written before a restart is not in memory. The next frame begins another stretch to be read in one piece, of which nothing is written yet.
  const { storage, crew, work } = await open(disk.afterPowerCut(new Dice(1), 'drop'));
  work();
  const queue = storage.openQueue('q', Durability.Fsync);
  storage.append(textRun('new'), targets([queue]));
  storage.endUnit();
  expect(crew.frameCount).toBe(1);
  const sink = collect(queue);
  work();
  expect(sink.ended).toBe(true);
  expect(sink.texts).toEqual([text, text, text, 'new']);
});

for (const call of ['read', 'any'] as const) {
  it(`${call === 'any' ? 'skips nothing when the disk has died' : 'reports what can not be read from a disk that still takes writes, and serves the rest'}`, async () => {
    const disk = new SimDisk();
    const before = await open(disk);
    const text = 'x'.repeat(200_000);
    for (const number of [1, 2]) {
      before.storage.append(textRun(`${number}${text}`), targets([before.storage.openQueue('q', Durability.Fsync)]));
      before.storage.endUnit();
      before.work();
    }
    const after = disk.afterPowerCut(new Dice(1), 'drop');
    const { storage, listener, damages, work } = await open(after);
    work();
    const queue = storage.openQueue('q', Durability.Fsync);
    after.fault = { call, nth: 1, code: 'EIO', sticky: call === 'any' };
    const sink = collect(queue);
    work();
    if (call === 'any') {
      expect([sink.messages, damages, listener.failures.length]).toEqual([[], [], 1]);
      const again = await open(after.afterPowerCut(new Dice(1), 'drop'));
      expect(again.storage.openQueue('q', Durability.Fsync).count).toBe(2);
    } else {
      expect(sink.sequences).toEqual([2]);
      expect(damages).toMatchObject([{ segment: '0000000001.segment' }]);
      expect(listener.failures).toEqual([]);
    }
  });
}

it('writes what waits for the disk together', async () => {
  const disk = new SimDisk();
  const { storage, crew, work } = await open(disk);
  const queue = storage.openQueue('q', Durability.Fsync);
  storage.endUnit();
  work();
  const texts = Array.from({ length: 12 }, (_, i) => `${i}${'x'.repeat(150_000)}`);
  for (const text of texts) {
    storage.append(textRun(text), targets([queue]));
    storage.endUnit();
  }
  const frames = crew.frameCount;
  let writes = 0;
  disk.onCall = (call) => {
    if (call === 'write') writes++;
  };
  while (crew.stepWriter());
  expect(frames).toBeGreaterThan(5);
  // 256 KB each, a megabyte at a time; and what was collected meanwhile.
  expect(writes).toBeLessThanOrEqual(Math.ceil(frames / 4) + 2);
  expect(storage.durablePosition).toBe(storage.position);
  const again = await open(disk.afterPowerCut(new Dice(1), 'drop'));
  const sink = collect(again.storage.openQueue('q', Durability.Fsync));
  again.work();
  expect(sink.texts).toEqual(texts);
  expect(again.damages).toEqual([]);
});

it('cuts off what is left of a write of several frames of which an early one is torn', async () => {
  const disk = new SimDisk();
  const { storage, crew, work } = await open(disk);
  const queue = storage.openQueue('q', Durability.Fsync);
  storage.append(textRun('before'), targets([queue]));
  storage.endUnit();
  work();
  for (let i = 0; i < 8; i++) {
    storage.append(textRun(`${i}${'x'.repeat(150_000)}`), targets([queue]));
    storage.endUnit();
  }
  expect(crew.stepWriter()).toBe(true);
  const confirmed = storage.durablePosition;
  let torn: SimDisk | null = null;
  disk.onCall = (call) => {
    if (call === 'write') torn ??= disk.afterPowerCut(new Dice(1), 'keep');
  };
  crew.stepWriter();
  expect(storage.durablePosition).toBeGreaterThan(confirmed);
  // The first block of the second write of these did not make it; the frames behind it did.
  torn!.damage('/data/0000000001.segment', (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let last = -1;
    for (let at = 4096; at + 32 <= bytes.length; at += 8)
      if (view.getUint32(at, true) === FRAME_MAGIC && (view.getUint32(at + 12, true) & FrameFlag.Loose) === 0)
        last = at;
    bytes.fill(0, last, last + 512);
  });
  const again = await open(torn!);
  expect(again.damages).toEqual([]);
  const left = again.storage.openQueue('q', Durability.Fsync);
  const sink = collect(left);
  again.work();
  expect(sink.texts[0]).toBe('before');
  expect(sink.messages.length).toBeLessThan(9);
  expect(sink.messages.length).toBe(left.count);
});

it('ends a fetch where the rest has to be read first', async () => {
  const disk = new SimDisk();
  const before = await open(disk);
  const text = 'x'.repeat(100_000);
  for (let i = 0; i < 12; i++) {
    before.storage.append(textRun(`${i}${text}`), targets([before.storage.openQueue('q', Durability.Fsync)]));
    before.storage.endUnit();
    before.work();
  }
  const { storage, work } = await open(disk.afterPowerCut(new Dice(1), 'drop'));
  const ends: number[] = [];
  let given = 0;
  const sink = {
    onFetched: (_sequence: number, _run: Run, _index: number, count: number): void => {
      given += count;
    },
    onFetchEnd: (next: number): void => {
      ends.push(next);
    },
  };
  storage.openQueue('q', Durability.Fsync).fetch(1, 100, 1e9, sink);
  expect(ends).toEqual([]);
  work();
  expect(ends).toEqual([given + 1]);
  expect(given).toBeGreaterThan(0);
  expect(given).toBeLessThan(12);
});

it('reads the log once for hundreds of queues that lie side by side in it, although it is many times as long as the cache', async () => {
  const queueCount = 900;
  const perQueue = 20;
  const disk = new SimDisk();
  const before = await open(disk);
  const queues = Array.from({ length: queueCount }, (_, i) => before.storage.openQueue(`q${i}`, Durability.Fsync));
  const padding = 'x'.repeat(1000);
  for (let n = 1; n <= perQueue; n++) {
    for (const queue of queues) before.storage.append(textRun(`${queue.name} ${n} ${padding}`), targets([queue]));
    before.storage.endUnit();
    before.work();
  }
  const { storage, crew, work } = await open(disk.afterPowerCut(new Dice(1), 'drop'), 2 * 1024 * 1024);
  const read: string[] = [];
  const keep = crew.keep.bind(crew);
  crew.keep = (job, done) => {
    if (job.kind === 'read') read.push(`${job.segment}:${job.offset}`);
    keep(job, done);
  };
  const wrong: string[] = [];
  let given = 0;
  for (const { name } of queues) {
    const queue = storage.openQueue(name, Durability.Fsync);
    let expected = 1;
    // As a queue does that has room for more whenever it was given something.
    const sink: FetchSink = {
      onFetched(sequence, run, index, count) {
        const found = text(run.bytes.subarray(run.frameStart(index), run.frameEnd(index)));
        if (sequence !== expected || count !== 1 || found !== `${name} ${expected} ${padding}`)
          wrong.push(`${name}: ${sequence}`);
        expected++;
        given++;
      },
      onFetchEnd(next) {
        if (next < queue.nextSequence) queue.fetch(next, 1000, 1e9, sink);
      },
    };
    queue.fetch(1, 1000, 1e9, sink);
  }
  work();
  expect(wrong).toEqual([]);
  expect(given).toBe(queueCount * perQueue);
  expect(read.length).toBeGreaterThan(70);
  expect(new Set(read).size).toBe(read.length);
});

/** The frames of the first segment, each by where its records begin. */
function frames(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: number[] = [];
  for (let at = 4096; at + 8 <= bytes.length; at += 8) {
    if (view.getUint32(at, true) === FRAME_MAGIC) found.push(at + FRAME_HEADER_BYTES);
  }
  return found;
}

/** What a power cut leaves, with the first frame made unreadable. */
function withoutFirstFrame(disk: SimDisk): SimDisk {
  const crashed = disk.afterPowerCut(new Dice(1), 'drop');
  crashed.damage(FIRST_SEGMENT, (bytes) => {
    const first = frames(bytes)[0]!;
    bytes.fill(0, first, first + 32);
  });
  return crashed;
}

it('knows the queue of messages that are whole, although its first definition is damaged and they have ended soon after it', async () => {
  const disk = new SimDisk();
  const { storage, work } = await open(disk);
  const publish = (content: string, queue: QueueLog): void => {
    storage.append(textRun(content), targets([queue]));
    storage.endUnit();
    work();
  };
  const brief = storage.openQueue('brief', Durability.Fsync);
  for (let i = 0; i < 10; i++) publish(`${i}`, brief);
  const other = storage.openQueue('other', Durability.Fsync);
  for (let i = 0; i < 100; i++) publish('x'.repeat(100), other);
  const again = await open(withoutFirstFrame(disk));
  const sink = collect(again.storage.openQueue('brief', Durability.Fsync));
  again.work();
  expect(sink.texts).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9']);
  expect(again.report.damagedFrames).toBe(1);
});

it('counts whole messages that have lost all definitions of their queue, and not those of a deleted one', async () => {
  const disk = new SimDisk();
  const { storage, work } = await open(disk);
  const lost = storage.openQueue('lost', Durability.Fsync);
  const deleted = storage.openQueue('deleted', Durability.Fsync);
  storage.append(textRun('0'), targets([lost]));
  storage.append(textRun('0'), targets([deleted]));
  storage.endUnit();
  work();
  const kept = storage.openQueue('kept', Durability.Fsync);
  for (let i = 0; i < 4; i++) {
    storage.append(textRun('1'), targets([lost, kept]));
    storage.append(textRun('2'), targets([deleted, kept]));
  }
  deleted.delete();
  storage.append(textRun('3'), targets([kept]));
  storage.endUnit();
  work();
  const again = await open(withoutFirstFrame(disk));
  // The stretch, and what 'lost' would have got.
  expect(again.report.damagedFrames).toBe(1 + 4);
  expect(again.storage.openQueue('kept', Durability.Fsync).count).toBe(9);
});

it('repeats definitions, and not often', async () => {
  const disk = new SimDisk();
  const { storage, work } = await open(disk);
  const queue = storage.openQueue('q', Durability.Fsync);
  for (let i = 0; i < 1000; i++) {
    storage.append(textRun('x'.repeat(1000)), targets([queue]));
    storage.endUnit();
    work();
  }
  const count = new Map<number, number>();
  // Looks at what is on the disk and at what is on its way there.
  disk.damage(FIRST_SEGMENT, (bytes) => {
    count.clear();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const first of frames(bytes)) {
      const end = first - FRAME_HEADER_BYTES + view.getUint32(first - FRAME_HEADER_BYTES + 4, true);
      for (let at = first; at < end; at += view.getUint32(at + 4, true))
        count.set(bytes[at]!, (count.get(bytes[at]!) ?? 0) + 1);
    }
  });
  // A megabyte: at once, and 8, 64 and 512 KB behind.
  expect([count.get(RecordKind.SetDef), count.get(RecordKind.QueueDef)]).toEqual([4, 4]);
  expect(count.get(RecordKind.Publish)).toBe(1000);
});

it('knows the queues of a set whose definition is whole, although the first one of a queue in it is damaged', async () => {
  const disk = new SimDisk();
  const { storage, work } = await open(disk);
  const first = storage.openQueue('first', Durability.Fsync);
  storage.append(textRun('gone'), targets([first]));
  storage.endUnit();
  work();
  const second = storage.openQueue('second', Durability.Fsync);
  for (let i = 0; i < 200; i++) {
    // The set is defined now; the queue was a moment ago, and is again when it is due.
    storage.append(textRun(`${i} ${'x'.repeat(1000)}`), targets([first, second]));
    storage.endUnit();
    work();
  }
  const crashed = disk.afterPowerCut(new Dice(1), 'drop');
  crashed.damage(FIRST_SEGMENT, (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = Array.from({ length: 1024 }, (_, i) => 4096 + 8 * i).find(
      (place) => view.getUint32(place, true) === FRAME_MAGIC,
    )!;
    bytes.fill(0, at + 32, at + 64);
  });
  const again = await open(crashed);
  expect(again.damages.length).toBeGreaterThan(0);
  for (const name of ['first', 'second']) {
    const left = again.storage.openQueue(name, Durability.Fsync);
    const sink = collect(left);
    again.work();
    expect(sink.texts.map((one) => one.slice(0, one.indexOf(' ')))).toEqual(
      Array.from({ length: 200 }, (_, i) => `${i}`),
    );
  }
});

it('starts after a stop in good order without the entries of its queues, and has them when they are asked for, in any order, also when it ends at once', async () => {
  const disk = new SimDisk();
  const before = await open(disk);
  const names = Array.from({ length: 60 }, (_, i) => `q${i}`);
  const queues = names.map((name) => before.storage.openQueue(name, Durability.Fsync));
  const wanted = new Map(names.map((name) => [name, [] as string[]]));
  // More than fits into a block of a checkpoint.
  for (let i = 0; i < 150_000; i++) {
    const at = (i * i) % queues.length;
    wanted.get(names[at]!)!.push(`${i}`);
    before.storage.append(textRun(`${i}`), targets([queues[at]!]));
    if (i % 1000 === 999) {
      before.storage.endUnit();
      before.work();
    }
  }
  for (const [i, queue] of queues.entries()) {
    // Gaps within, and a few that begin later.
    if (i % 3 === 0 && queue.count > 50) {
      queue.settle(10, 5);
      wanted.get(names[i]!)!.splice(9, 5);
    }
    if (i % 5 === 0 && queue.count > 50) {
      queue.settle(1, 7);
      wanted.get(names[i]!)!.splice(0, 7);
    }
  }
  await stop(before);
  // Two starts that nobody asks anything of, and one whose reader is cut off by a power cut.
  const checkpoint = disk.list('/data').filter((name) => name.includes('checkpoint'));
  await stop(await open(disk));
  await stop(await open(disk));
  expect(disk.list('/data').filter((name) => name.includes('checkpoint'))).toEqual(checkpoint);
  const brief = await open(disk);
  brief.storage.openQueue('q1', Durability.Fsync).purge();
  brief.storage.openQueue('q2', Durability.Fsync).delete();
  brief.storage.append(textRun('new'), targets([brief.storage.openQueue('q3', Durability.Fsync)]));
  wanted.get('q1')!.length = 0;
  wanted.get('q2')!.length = 0;
  wanted.get('q3')!.push('new');
  brief.storage.endUnit();
  while (brief.crew.stepWriter());
  const after = await open(disk.afterPowerCut(new Dice(2), 'drop'));
  const { index } = (after.storage as unknown as { contents: { index: { source: unknown } } }).contents;
  expect(index.source).not.toBeNull();
  for (const name of [...names].reverse()) {
    const queue = after.storage.openQueue(name, Durability.Fsync);
    expect([name, queue.count]).toEqual([name, wanted.get(name)!.length]);
    const sink = collect(queue);
    after.work();
    expect(sink.texts).toEqual(wanted.get(name));
  }
  expect(index.source).toBeNull();
  expect(after.damages).toEqual([]);
});

it('tells a block of zeros from the unused end of a block, where the reading of it begins in there, too', async () => {
  let damaged = 0;
  for (let seed = 1; seed <= 5; seed++) {
    const dice = new Dice(seed);
    const disk = new SimDisk();
    const before = await open(disk);
    const queue = before.storage.openQueue('q', Durability.Written);
    const wanted: string[] = [];
    for (let i = 0; i < 500; i++) {
      // Small frames, some behind each other in a block; one that comes while another is on its way begins a block.
      wanted.push(`${i} ${'x'.repeat((i * 37) % 300)}`);
      before.storage.append(textRun(wanted[i]!), targets([queue]));
      before.storage.endUnit();
      if (dice.chance(0.6)) before.work();
    }
    await stop(before);
    const extents: number[] = [];
    disk.damage(FIRST_SEGMENT, (bytes) => {
      for (const first of frames(bytes)) {
        const start = first - FRAME_HEADER_BYTES;
        if (start - (extents.at(-1) ?? -EXTENT_BYTES) >= EXTENT_BYTES) extents.push(start);
      }
    });
    for (const extent of extents) {
      const block = extent - (extent % BLOCK_BYTES);
      const copy = disk.afterPowerCut(new Dice(1), 'drop');
      copy.damage(FIRST_SEGMENT, (bytes) => bytes.fill(0, block, block + BLOCK_BYTES));
      const after = await open(copy);
      const sink = collect(after.storage.openQueue('q', Durability.Written));
      after.work();
      // What is left is as it was, in order; what is gone has been reported.
      const numbers = sink.texts.map((one) => Number.parseInt(one, 10));
      expect(sink.ended).toBe(true);
      expect(sink.texts).toEqual(numbers.map((number) => wanted[number]));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      expect(wanted.length - numbers.length).toBeLessThan(200);
      if (numbers.length === wanted.length) continue;
      damaged++;
      expect(after.damages.length).toBeGreaterThan(0);
    }
  }
  expect(damaged).toBeGreaterThan(10);
});
