// Bad disks: damaged blocks, no space, failed writes. On the simulated disk, with the real engine.
import { describe, expect, it } from 'vitest';
import { Durability } from '../../src/storage/commit-log.ts';
import { InlineCrew } from '../../src/storage/embedded/crew.ts';
import { NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import type { Damage } from '../../src/storage/embedded/recovery.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { Dice } from '../sim/dice.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { CODECS, collect, RecordingListener, targets, textRun } from './harness.ts';

interface Opened {
  readonly storage: EmbeddedStorage;
  readonly crew: InlineCrew;
  readonly listener: RecordingListener;
  readonly damages: Damage[];
  work(): void;
  texts(queue: string): string[];
}

async function open(disk: SimDisk, extra: { checkpointBytes?: number; ballastBytes?: number } = {}): Promise<Opened> {
  let crew!: InlineCrew;
  const damages: Damage[] = [];
  const storage = new EmbeddedStorage({
    directory: '/data',
    disk,
    random: new Dice(7),
    crew: (directory) => {
      crew = new InlineCrew(disk, directory, true, NO_FAULTS);
      return crew;
    },
    segmentBytes: 64 * 1024,
    readCacheBytes: 1,
    ballastBytes: 0,
    freeBytesMin: 0,
    freeShareMin: 0,
    onDamage: (damage) => damages.push(damage),
    ...extra,
  });
  const listener = new RecordingListener();
  await storage.open(CODECS, listener);
  const work = (): void => {
    for (let i = 0; i < 100_000 && (crew.stepWriter() || crew.stepKeeper()); i++);
  };
  const texts = (name: string): string[] => {
    const sink = collect(storage.log.openQueue(name, Durability.Fsync));
    for (let i = 0; !sink.ended && i < 10_000; i++) crew.stepKeeper();
    expect(sink.ended).toBe(true);
    return sink.texts;
  };
  return { storage, crew, listener, damages, work, texts };
}

/** 600 messages of about 400 bytes in frames of their own, in four or five segments. */
async function filled(disk: SimDisk, checkpointBytes: number): Promise<string[]> {
  const { storage, work } = await open(disk, { checkpointBytes });
  const all: string[] = [];
  const to = targets([storage.log.openQueue('q', Durability.Fsync)]);
  for (let i = 0; i < 600; i++) {
    const text = `${i}:`.padEnd(300 + (i % 200), 'abcdefgh');
    all.push(text);
    storage.log.append(textRun(text), to);
    storage.endUnit();
    work();
  }
  return all;
}

describe('damage', () => {
  it('is found wherever it is, reported, and costs nothing but the frames it hits', { timeout: 60_000 }, async () => {
    let found = 0;
    let hit = 0;
    for (let seed = 1; seed <= 150; seed++) {
      const dice = new Dice(seed);
      const disk = new SimDisk();
      // Half of them with a checkpoint, so that recovery never looks at the damaged place and a fetch has to notice.
      const all = await filled(disk, seed % 2 === 0 ? 40 * 1024 : 1e9);
      const crashed = disk.afterPowerCut(dice, 'keep');
      const segments = crashed
        .list('/data')
        .filter((name) => name.endsWith('.segment'))
        .sort();
      const victim = `/data/${segments[dice.below(3)]!}`;
      const kind = dice.pick(['bit', 'zero', 'noise']);
      const at = 4096 + dice.below(10) * 4096;
      let changed = false;
      crashed.damage(victim, (bytes) => {
        const before = Buffer.from(bytes.subarray(at, at + 4096));
        if (kind === 'bit') bytes[at + 2000] = bytes[at + 2000]! ^ 16;
        else for (let i = 0; i < 4096; i++) bytes[at + i] = kind === 'zero' ? 0 : (i * 7 + seed) & 0xff;
        changed = !before.equals(bytes.subarray(at, at + 4096));
      });
      if (!changed) continue;
      hit++;
      const { damages, texts, storage } = await open(crashed);
      const got = texts('q');
      const wrong = got.filter((text) => !all.includes(text));
      expect(wrong, `seed ${seed}: wrong payloads`).toEqual([]);
      expect(got, `seed ${seed}: order`).toEqual(
        [...got].sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)),
      );
      // A block holds about ten frames, one at either end is cut.
      expect(all.length - got.length, `seed ${seed}: lost`).toBeLessThanOrEqual(14);
      if (damages.length > 0) found++;
      // What was not in a frame (the rest of a block) may go unnoticed: nothing is lost by it.
      else expect(got.length, `seed ${seed}: lost without a word`).toBe(all.length);
      for (const damage of damages) {
        expect(damage.segment).toMatch(/^\d{10}\.segment$/);
        expect(damage.position).toBeGreaterThan(0);
      }
      expect(storage.log.openQueue('q', Durability.Fsync).count).toBe(got.length);
    }
    expect(hit).toBeGreaterThan(100);
    expect(found).toBeGreaterThan(0.9 * hit);
  });

  it('of one copy of a checkpoint is mended by the other', async () => {
    const disk = new SimDisk();
    const all = await filled(disk, 40 * 1024);
    const crashed = disk.afterPowerCut(new Dice(1), 'keep');
    const name = crashed.list('/data').find((one) => one.endsWith('.checkpoint'))!;
    crashed.damage(`/data/${name}`, (bytes) => bytes.fill(0, 100, 600));
    const { texts, damages } = await open(crashed);
    expect(texts('q')).toEqual(all);
    expect(damages).toEqual([]);
  });
});

describe('a full disk', () => {
  it('is said, stores settlements all the same, and is over when consumers have made room', async () => {
    const disk = new SimDisk();
    const { storage, work, listener } = await open(disk, { ballastBytes: 64 * 1024 });
    const q = storage.log.openQueue('q', Durability.Fsync);
    work();
    disk.capacityBytes = disk.usedBytes + 100 * 1024;
    const to = targets([q]);
    let stored = 0;
    for (; stored < 2000 && !storage.full; stored++) {
      storage.log.append(textRun('x'.repeat(1000)), to);
      storage.endUnit();
      work();
    }
    expect(storage.full).toBe(true);
    expect(listener.full).toEqual([true]);
    expect(listener.failures).toEqual([]);
    while (q.count > 0) {
      q.settle(q.firstSequence, 1);
      storage.endUnit();
      work();
      storage.checkSpace();
      work();
    }
    expect(storage.log.durablePosition).toBe(storage.log.position);
    for (let i = 0; i < 5; i++) {
      storage.checkSpace();
      work();
    }
    expect(storage.full).toBe(false);
    expect(listener.full[listener.full.length - 1]).toBe(false);
    storage.log.append(textRun('room again'), to);
    storage.endUnit();
    work();
    expect(storage.log.durablePosition).toBe(storage.log.position);
    expect(listener.failures).toEqual([]);
  });
});

describe('a failed write or sync', () => {
  for (const call of ['write', 'sync'] as const) {
    for (const sticky of [true, false]) {
      it(`(${call}, ${sticky ? 'for good' : 'once'}) ends all confirming, and the next start has everything that was confirmed`, {
        timeout: 60_000,
      }, async () => {
        for (let nth = 1; nth <= 60; nth++) {
          const disk = new SimDisk();
          disk.directFiles = nth % 2 === 0;
          const { storage, work, listener, crew } = await open(disk, { checkpointBytes: 20 * 1024 });
          const q = storage.log.openQueue('q', Durability.Fsync);
          const confirmed: string[] = [];
          work();
          disk.fault = { call, nth, code: 'EIO', sticky };
          for (let i = 0; i < 200 && listener.failures.length === 0; i++) {
            const position = storage.log.append(textRun(`${i}:`.padEnd(500, 'y')), targets([q]));
            storage.endUnit();
            work();
            if (listener.durable >= position) confirmed.push(`${i}:`);
          }
          if (disk.faultHits === 0) continue;
          expect(listener.failures.length).toBe(1);
          const { durable } = listener;
          for (let i = 0; i < 20; i++) crew.stepWriter();
          expect(listener.durable).toBe(durable);
          const after = await open(disk.afterPowerCut(new Dice(nth), 'drop'));
          const got = after.texts('q').map((text) => text.slice(0, text.indexOf(':') + 1));
          expect(got.slice(0, confirmed.length)).toEqual(confirmed);
        }
      });
    }
  }
});

describe('a failure while it closes', () => {
  for (const call of ['write', 'sync'] as const) {
    it(`(${call}) is told and does not keep it from closing; the next start has everything that was confirmed`, async () => {
      let hits = 0;
      for (let nth = 1; nth <= 12; nth++) {
        const disk = new SimDisk();
        const { storage, work, listener } = await open(disk);
        storage.log.append(textRun('confirmed'), targets([storage.log.openQueue('q', Durability.Fsync)]));
        storage.endUnit();
        work();
        expect(storage.log.durablePosition).toBe(storage.log.position);
        disk.fault = { call, nth, code: 'EIO', sticky: true };
        let closed = false;
        void storage.close().then(() => {
          closed = true;
        });
        for (let i = 0; i < 100 && !closed; i++) {
          work();
          await new Promise(setImmediate);
        }
        expect(closed, `the ${nth}. call fails`).toBe(true);
        expect(listener.failures.length).toBeLessThanOrEqual(disk.faultHits);
        hits += listener.failures.length;
        expect((await open(disk.afterPowerCut(new Dice(nth), 'drop'))).texts('q')).toEqual(['confirmed']);
      }
      expect(hits).toBeGreaterThan(0);
    });
  }
});

describe('space', () => {
  it('is given back while the log rests: scattered survivors are brought together, and all are there', async () => {
    const disk = new SimDisk();
    const { storage, work, texts } = await open(disk, { checkpointBytes: 1e9 });
    const q = storage.log.openQueue('q', Durability.Fsync);
    const to = targets([q]);
    for (let i = 1; i <= 3000; i++) {
      storage.log.append(textRun(`${i}:`.padEnd(800, 'x')), to);
      if (i % 10 === 0) storage.endUnit();
      work();
    }
    const full = disk.usedBytes;
    for (let from = 1; from <= 3000; from += 100) q.settle(from, 99);
    storage.endUnit();
    work();
    for (let i = 0; i < 40; i++) {
      storage.checkSpace();
      work();
    }
    const liveBytes = 30 * 800;
    expect(full).toBeGreaterThan(3000 * 800);
    expect(disk.usedBytes).toBeLessThanOrEqual(2 * liveBytes + 4 * 64 * 1024);
    expect(texts('q').map((text) => Number.parseInt(text, 10))).toEqual(
      Array.from({ length: 30 }, (_, i) => (i + 1) * 100),
    );
    // And nothing goes on for ever.
    const { calls } = disk;
    const writes = storage.figures.logBytes;
    for (let i = 0; i < 5; i++) {
      storage.checkSpace();
      work();
    }
    expect(storage.figures.logBytes).toBe(writes);
    expect(disk.calls).toBe(calls);
    const after = await open(disk.afterPowerCut(new Dice(1), 'drop'));
    expect(after.texts('q').length).toBe(30);
  });

  it('of a drained queue is given back but for what stands ready', async () => {
    const disk = new SimDisk();
    const { storage, work } = await open(disk, { checkpointBytes: 200 * 1024, ballastBytes: 64 * 1024 });
    const q = storage.log.openQueue('q', Durability.Fsync);
    for (let i = 0; i < 2000; i++) {
      storage.log.append(textRun('x'.repeat(700)), targets([q]));
      storage.endUnit();
      work();
    }
    while (q.count > 0) q.settle(q.firstSequence, 1);
    storage.endUnit();
    for (let i = 0; i < 10; i++) {
      work();
      storage.checkSpace();
    }
    work();
    const checkpoint = disk.list('/data').filter((name) => name.includes('checkpoint'));
    const bytes = checkpoint.reduce((sum, name) => sum + disk.sizeOf(`/data/${name}`), 0);
    expect(disk.usedBytes).toBeLessThanOrEqual(4 * 64 * 1024 + bytes);
  });
});

describe('a unit longer than a segment', () => {
  it('is all there or not at all, wherever the power is cut', async () => {
    const count = 40;
    let whole = 0;
    let none = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const dice = new Dice(seed);
      const disk = new SimDisk();
      disk.directFiles = seed % 2 === 0;
      const { storage, work, crew, listener } = await open(disk);
      const q = storage.log.openQueue('q', Durability.Fsync);
      storage.log.append(textRun('before'), targets([q]));
      storage.endUnit();
      work();
      // 40 records of 5,000 bytes in frames of 16 KB and segments of 64 KB.
      let position = 0;
      for (let i = 0; i < count; i++) position = storage.log.append(textRun(`${i}:`.padEnd(5000, 'u')), targets([q]));
      storage.endUnit();
      for (let steps = dice.below(30); steps > 0; steps--) if (!crew.stepWriter()) crew.stepKeeper();
      const confirmed = listener.durable >= position;
      const after = await open(disk.afterPowerCut(dice, dice.pick(['drop', 'keep', 'prefix', 'random'])));
      const got = after.texts('q');
      expect(got[0]).toBe('before');
      if (got.length === 1) {
        none++;
        expect(confirmed, `seed ${seed}: confirmed and gone`).toBe(false);
        continue;
      }
      whole++;
      expect(
        got.slice(1).map((text) => Number.parseInt(text, 10)),
        `seed ${seed}`,
      ).toEqual(Array.from({ length: count }, (_, i) => i));
    }
    expect(whole).toBeGreaterThan(5);
    expect(none).toBeGreaterThan(5);
  });

  it('and a message longer than several are stored, fetched and found again', async () => {
    const disk = new SimDisk();
    const { storage, work, texts } = await open(disk);
    const q = storage.log.openQueue('q', Durability.Fsync);
    const long = 'abcdefgh'.repeat(40_000);
    storage.log.append(textRun('small'), targets([q]));
    storage.log.append(textRun(long), targets([q]));
    storage.log.append(textRun('after'), targets([q]));
    storage.endUnit();
    work();
    expect(storage.log.durablePosition).toBe(storage.log.position);
    expect(texts('q')).toEqual(['small', long, 'after']);
    const after = await open(disk.afterPowerCut(new Dice(1), 'drop'));
    expect(after.texts('q')).toEqual(['small', long, 'after']);
  });
});
