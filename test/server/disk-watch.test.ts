import { expect, it } from 'vitest';
import { KeptLogger } from '../../src/io/logger.ts';
import { DiskWatch } from '../../src/server/disk-watch.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';

class FullStorage {
  full = false;
  space = { freeBytes: 1000, neededBytes: 2000 };
  looks = 0;

  checkSpace(): void {
    this.looks++;
  }
}

it('has the storage look once a second, and says once when the disk is full and once when it is not', () => {
  const storage = new FullStorage();
  const logger = new KeptLogger();
  const watch = new DiskWatch(storage, '/var/sluice', logger);
  const ticks = (count: number): void => {
    for (let i = 0; i < count; i++) watch.tick();
  };
  ticks(50);
  expect(storage.looks).toBe(5);
  expect(logger.lines).toEqual([]);
  storage.full = true;
  ticks(20);
  expect(logger.lines.map(({ level }) => level)).toEqual(['error']);
  expect(logger.lines[0]!.message).toMatch(/^the disk is full: publishers .* refused, consumers go on; free space/);
  expect(logger.lines[0]!.fields).toEqual({
    dataDir: '/var/sluice',
    freeBytes: 1000,
    neededBytes: 2000,
    settings: ['disk.freeLimitBytes', 'disk.freeLimitShare'],
  });
  // A minute later it still is.
  ticks(600);
  expect(logger.lines.length).toBe(2);
  storage.full = false;
  ticks(20);
  expect(logger.lines.length).toBe(3);
  expect(logger.lines[2]).toMatchObject({ level: 'info', message: 'the disk has room again: publishers go on' });
});

it('leaves a storage without a disk alone', () => {
  const logger = new KeptLogger();
  const watch = new DiskWatch(new MemoryStorage(), '', logger);
  for (let i = 0; i < 100; i++) watch.tick();
  expect(logger.lines).toEqual([]);
});
