// The embedded engine as it runs in a broker: real files, threads of its own.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NodeDisk } from '../../src/io/disk.ts';
import { SystemRandom } from '../../src/io/random.ts';
import { Durability } from '../../src/storage/commit-log.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { threadCrew } from '../../src/storage/embedded/thread-crew.ts';
import { storageConformance } from './conformance.ts';
import { CODECS, type Engine, RecordingListener, targets, textRun } from './harness.ts';

const SMALL = { segmentBytes: 4 * 1024 * 1024, ballastBytes: 0 };

function onDisk(direct: boolean): () => Promise<Engine> {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-storage-'));
    const options = { ...SMALL, directory, disk: new NodeDisk(), random: new SystemRandom(), crew: threadCrew(direct) };
    return {
      create: () => new EmbeddedStorage(options),
      until: async (ready) => {
        while (!ready()) await new Promise((resolve) => setImmediate(resolve));
      },
      survives: true,
      dispose: async () => rmSync(directory, { recursive: true }),
    };
  };
}

storageConformance('embedded, threads, direct writes', onDisk(true));
storageConformance('embedded, threads, buffered writes', onDisk(false));

describe('what the writer has done', () => {
  it('is taken in when it is asked for, also by who is being told of it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-storage-'));
    const options = { ...SMALL, directory, disk: new NodeDisk(), random: new SystemRandom(), crew: threadCrew() };
    const storage = new EmbeddedStorage(options);
    const told: number[] = [];
    await storage.open(CODECS, {
      onDurable: (position) => {
        told.push(position);
        storage.poll();
      },
      onFailed: (error) => {
        throw error;
      },
      onFull: () => undefined,
    });
    const to = targets([storage.log.openQueue('q', Durability.Fsync)]);
    storage.append(textRun('first'), to);
    storage.endUnit();
    while (storage.durablePosition < storage.position) await new Promise((resolve) => setImmediate(resolve));
    // From here on the event loop has no turn: nothing else than poll() can have seen it.
    for (let i = 0; i < 50; i++) {
      storage.append(textRun(`message ${i}`), to);
      storage.endUnit();
      storage.poll();
    }
    for (const until = Date.now() + 10_000; storage.durablePosition < storage.position && Date.now() < until; )
      storage.poll();
    expect(storage.durablePosition).toBe(storage.position);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told.at(-1)).toBe(storage.position);
    await storage.close();
    rmSync(directory, { recursive: true });
  });
});

describe('the data directory', () => {
  it('belongs to one broker at a time, and to its owner alone', async () => {
    const directory = join(mkdtempSync(join(tmpdir(), 'sluice-storage-')), 'data');
    const options = { ...SMALL, directory, disk: new NodeDisk(), random: new SystemRandom(), crew: threadCrew() };
    const storage = new EmbeddedStorage(options);
    await storage.open(CODECS, new RecordingListener());
    storage.log.append(textRun('x'), targets([storage.log.openQueue('q', Durability.Fsync)]));
    await expect(new EmbeddedStorage(options).open(CODECS, new RecordingListener())).rejects.toThrow(
      `in use by the Sluice process ${process.pid}`,
    );
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await storage.close();
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    const again = new EmbeddedStorage(options);
    expect((await again.open(CODECS, new RecordingListener())).messages).toBe(1);
    await again.close();
    rmSync(directory, { recursive: true });
  });
});
