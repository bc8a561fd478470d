// What becomes of a server whose log can not be written any more.
import { expect, it } from 'vitest';
import { World } from '../support/world.ts';

it('ends with what went wrong when the log has failed, also when nobody writes', async () => {
  const world = new World();
  await world.open();
  world.clock.advance(1000);
  world.broker.onFailed(new Error('EIO: i/o error, write'));
  expect(() => world.clock.advance(1000)).toThrow('EIO');
});
