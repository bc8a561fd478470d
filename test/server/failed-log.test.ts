// What becomes of a server whose log can not be written any more.
import { expect, it } from 'vitest';
import { Confirms } from '../../src/embed/confirms.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import { World } from '../support/world.ts';

it('ends with what went wrong when the log has failed, also when nobody writes', async () => {
  const world = new World();
  await world.open();
  world.clock.advance(1000);
  world.broker.onFailed(new Error('EIO: i/o error, write'));
  expect(() => world.clock.advance(1000)).toThrow('EIO');
});

it('leaves the end to the program that it is part of, once, when that asked for it, and confirms nothing any more', async () => {
  const told: Error[] = [];
  const world = new World({ onFailed: (error) => told.push(error) });
  await world.open();
  const confirms = new Confirms(world.broker);
  const waiting = confirms.wait(world.broker.log.durablePosition + 1, 'safe');
  world.broker.onFailed(new Error('EIO: i/o error, write'));
  await expect(waiting).rejects.toThrow('not safe');
  world.clock.advance(5000);
  expect(told.map(({ message }) => message)).toEqual(['EIO: i/o error, write']);
  await expect(confirms.wait(0, 'safe')).rejects.toThrow('not safe');
  await world.server.close();
});

it('says so when the log fails with the last of it, once', async () => {
  class FailingStorage extends MemoryStorage {
    override close(): Promise<void> {
      world.broker.onFailed(new Error('EIO: i/o error, write'));
      return super.close();
    }
  }
  const world = new World({ storage: new FailingStorage() });
  await world.open();
  await expect(world.server.close()).rejects.toThrow('EIO');
  await world.server.close();
});
