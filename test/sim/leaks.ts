// What may be left in a broker all of whose clients have ended their sessions: named queues without messages, retained messages, and nothing else. The one place of the simulation
// that looks inside.
import type { World } from '../support/world.ts';
import type { Oracle } from './model/oracle.ts';
import type { Network } from './network.ts';

export function checkLeaks(oracle: Oracle, world: World, network: Network, slotsAtRest: number): void {
  const { broker } = world;
  const expect = (rule: string, what: string, found: number, wanted = 0): void => {
    if (found !== wanted) oracle.fail(`leak-${rule}`, `${what}: ${found} instead of ${wanted}`);
  };
  expect('wires', 'open streams', network.wires.size);
  expect('slots', 'output slots that were not given back', world.arena.borrowedCount, slotsAtRest);
  for (const adapter of world.adapters)
    expect('connections', `connections of ${adapter.name}`, adapter.connectionCount);
  expect('wills', 'wills that wait', sizeOf(world.mqttAdapter, 'delayed'));
  for (const field of ['awaiting', 'undrained', 'slowed', 'onHold', 'held'])
    expect('publishers', `publishers in Broker.${field}`, sizeOf(broker, field));
  for (const vhost of broker.vhosts.values()) {
    expect('sessions', 'sessions', vhost.sessions.size);
    for (const queue of vhost.queues.values()) {
      // After a restart it waits for its members.
      if (queue.name.startsWith('$share/') && oracle.crashes.count === 0)
        oracle.fail('leak-share', `the queue ${queue.name} is there, but nobody subscribes to it`);
      expect('consumers', `consumers of ${queue.name}`, queue.consumerCount);
      if (queue.name.startsWith('$share/')) continue;
      expect('messages', `ready messages of ${queue.name}`, queue.readyCount);
      expect('messages', `unsettled messages of ${queue.name}`, queue.unsettledCount);
    }
    if (oracle.crashes.count > 0) continue;
    for (const exchange of vhost.exchanges.values())
      expect('bindings', `bindings of ${exchange.spec.name}`, exchange.bindingCount);
  }
}

/** Private collections are counted all the same; one that has another name by now is an error, not a pass. */
function sizeOf(owner: object, field: string): number {
  const value: unknown = Reflect.get(owner, field);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Set || value instanceof Map) return value.size;
  throw new Error(`${field} is no collection any more`);
}
