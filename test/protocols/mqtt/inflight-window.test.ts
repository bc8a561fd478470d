import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InflightState, InflightWindow } from '../../../protocols/mqtt/inflight-window.ts';
import { Counters } from '../../../src/core/counters.ts';
import { Queue } from '../../../src/core/queue.ts';
import { queueSpec } from '../../../src/core/queue-spec.ts';
import { Owner } from '../../core/queue-model.ts';

const { Free, AwaitPuback, AwaitPubrec, AwaitPubcomp, Recovered } = InflightState;

function queue(name: string): Queue {
  const spec = queueSpec(name, { durable: false, autoDelete: false, exclusive: false }, new Map());
  return new Queue(spec, null, new Owner(new Counters()));
}

const QUEUES = [queue('a'), queue('b')] as const;

describe('an inflight window', () => {
  test('gives identifiers in order, from 1 to 65,535 and again from 1', () => {
    const window = new InflightWindow();
    for (let i = 0; i < 70_000; i++) {
      const id = window.add(QUEUES[0], i, AwaitPuback);
      expect(id).toBe((i % 65_535) + 1);
      window.remove(id);
    }
    expect(window.count).toBe(0);
  });

  test('knows what each identifier stands for', () => {
    const window = new InflightWindow();
    const ids = Array.from({ length: 100 }, (_, i) =>
      window.add(QUEUES[i % 2]!, i * 1e10, i % 3 === 0 ? AwaitPubrec : AwaitPuback),
    );
    for (const [i, id] of ids.entries()) {
      expect([window.stateOf(id), window.tagOf(id), window.queueOf(id)]).toEqual([
        i % 3 === 0 ? AwaitPubrec : AwaitPuback,
        i * 1e10,
        QUEUES[i % 2],
      ]);
    }
    window.setState(ids[0]!, AwaitPubcomp);
    expect(window.stateOf(ids[0]!)).toBe(AwaitPubcomp);
    window.remove(ids[1]!);
    expect(window.stateOf(ids[1]!)).toBe(Free);
    expect(window.count).toBe(99);
  });

  test('does not know identifiers that share a place with another', () => {
    const window = new InflightWindow();
    const id = window.add(QUEUES[0], 1, AwaitPuback);
    for (const other of [0, id + 16, id + 32, id + 65_520, 65_535]) expect(window.stateOf(other & 0xffff)).toBe(Free);
  });

  test('gives no identifier that is in use, however old it is', () => {
    const window = new InflightWindow();
    const old = [window.add(QUEUES[0], 1, AwaitPuback), window.add(QUEUES[0], 2, AwaitPubrec)];
    const seen = new Set<number>();
    for (let i = 0; i < 140_000; i++) {
      const id = window.add(QUEUES[0], i, AwaitPuback);
      if (old.includes(id)) throw new Error(`${id} is in use`);
      seen.add(id);
      window.remove(id);
    }
    expect(seen.size).toBe(65_533);
    expect(window.inOrder()).toEqual(old);
  });

  test('has room for all identifiers but one', () => {
    const window = new InflightWindow();
    const ids = new Set<number>();
    for (let i = 0; i < 65_534; i++) ids.add(window.add(QUEUES[0], i, AwaitPuback));
    expect(ids.size).toBe(65_534);
    window.remove(1000);
    expect([window.add(QUEUES[0], 1, AwaitPuback), window.add(QUEUES[0], 1, AwaitPuback)].sort()).toEqual([
      1000, 65_535,
    ]);
    expect(window.inOrder()).toHaveLength(65_535);
  });

  test('says in which order identifiers were given out, also when the counter has gone round', () => {
    const window = new InflightWindow();
    for (let i = 0; i < 65_530; i++) window.remove(window.add(QUEUES[0], i, AwaitPuback));
    const ids = Array.from({ length: 12 }, (_, i) => window.add(QUEUES[0], i, AwaitPuback));
    expect(ids.slice(3, 7)).toEqual([65_534, 65_535, 1, 2]);
    expect(window.inOrder()).toEqual(ids);
  });

  test('takes up identifiers of an earlier life, and goes on behind them', () => {
    const window = new InflightWindow();
    window.place(7, null, 0, Recovered);
    window.place(23, QUEUES[0], 5, AwaitPubcomp);
    window.place(40, null, 0, Recovered);
    expect(window.inOrder()).toEqual([7, 23, 40]);
    expect(window.queueOf(7)).toBeNull();
    window.found(7, QUEUES[1], 99);
    expect([window.stateOf(7), window.tagOf(7), window.queueOf(7)]).toEqual([AwaitPubrec, 99, QUEUES[1]]);
    expect(window.add(QUEUES[0], 1, AwaitPuback)).toBe(41);
    expect(window.count).toBe(4);
  });

  test('does what a map does', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ add: fc.integer({ min: 1, max: 40 }), keep: fc.nat({ max: 4 }) }) },
      { weight: 2, arbitrary: fc.record({ remove: fc.nat({ max: 50 }) }) },
      { weight: 1, arbitrary: fc.record({ release: fc.nat({ max: 50 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.nat({ max: 65_534 }), (steps, start) => {
        const window = new InflightWindow();
        const map = new Map<number, { tag: number; state: InflightState }>();
        // The counter stands somewhere.
        if (start > 0) {
          window.place(start, QUEUES[0], 0, AwaitPuback);
          window.remove(start);
        }
        let tag = 0;
        for (const action of steps) {
          if ('add' in action) {
            for (let i = 0; i < action.add; i++) {
              const id = window.add(QUEUES[0], ++tag, AwaitPubrec);
              if (map.has(id) || id < 1 || id > 65_535) throw new Error(`identifier ${id}`);
              map.set(id, { tag, state: AwaitPubrec });
              // Most are finished soon, some stay.
              if (i % 5 <= action.keep) continue;
              window.remove(id);
              map.delete(id);
            }
          } else {
            const ids = [...map.keys()];
            const id = ids[('remove' in action ? action.remove : action.release) % Math.max(1, ids.length)];
            if (id === undefined) continue;
            if ('remove' in action) {
              window.remove(id);
              map.delete(id);
            } else {
              window.setState(id, AwaitPubcomp);
              map.set(id, { tag: map.get(id)!.tag, state: AwaitPubcomp });
            }
          }
        }
        expect(window.count).toBe(map.size);
        expect(window.inOrder()).toEqual([...map.keys()]);
        for (const [id, { tag: expected, state }] of map) {
          expect([window.stateOf(id), window.tagOf(id), window.queueOf(id)]).toEqual([state, expected, QUEUES[0]]);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('frees identifiers together as far as they are alike, and never those that a restart has left', () => {
    const window = new InflightWindow();
    const add = (of: Queue, tag: number, state: InflightState = AwaitPuback): number => window.add(of, tag, state);
    const ids = [add(QUEUES[0], 5), add(QUEUES[0], 6), add(QUEUES[0], 8), add(QUEUES[1], 9), add(QUEUES[1], 10)];
    const other = add(QUEUES[1], 11, AwaitPubrec);
    expect(window.removeRun(ids[0]!, 100)).toBe(2);
    expect(window.removeRun(ids[2]!, 100)).toBe(1);
    expect(window.removeRun(ids[3]!, 1)).toBe(1);
    expect(window.removeRun(ids[4]!, 100)).toBe(1);
    expect(ids.map((id) => window.stateOf(id))).toEqual([Free, Free, Free, Free, Free]);
    expect([window.stateOf(other), window.count]).toEqual([AwaitPubrec, 1]);
  });

  test('frees identifiers together up to the last one there is', () => {
    const window = new InflightWindow();
    for (let i = 0; i < 65_530; i++) window.remove(window.add(QUEUES[0], i, AwaitPuback));
    for (let i = 0; i < 10; i++) window.add(QUEUES[0], i, AwaitPuback);
    expect(window.removeRun(65_531, 10)).toBe(5);
    expect(window.removeRun(1, 10)).toBe(5);
    expect(window.count).toBe(0);
  });
});
