// The contract of Storage in executable form. Every engine runs it.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AS_PUBLISHED, deliveryOptions } from '../../src/core/delivery.ts';
import { Durability, type QueueLog } from '../../src/storage/commit-log.ts';
import type { Storage } from '../../src/storage/storage.ts';
import {
  type Engine,
  endDurably,
  fetchAll,
  makeRun,
  opened,
  PLAIN,
  type RecordingListener,
  scribble,
  targets,
  text,
  textRun,
} from './harness.ts';

/** In place of `it` for what an engine does not promise: that is no test left out. */
const notApplicable = (_title: string, _body: () => Promise<void>): void => undefined;

export function storageConformance(name: string, makeEngine: () => Promise<Engine>, survives = true): void {
  describe(`${name}: the contract of a storage engine`, () => {
    let engine: Engine;
    let storage: Storage;
    let listener: RecordingListener;

    beforeEach(async () => {
      engine = await makeEngine();
      ({ storage, listener } = await opened(engine));
    });

    afterEach(async () => {
      await storage.close();
      await engine.dispose();
      expect(listener.failures).toEqual([]);
    });

    const queue = (queueName: string): QueueLog => storage.log.openQueue(queueName, Durability.Fsync);

    async function reopen(): Promise<void> {
      await storage.close();
      ({ storage, listener } = await opened(engine));
    }

    it('opens empty and reports so', async () => {
      expect([...storage.log.queueNames()]).toEqual([]);
      const q = queue('q');
      expect([q.name, q.count, q.firstSequence, q.nextSequence]).toEqual(['q', 0, 1, 1]);
      expect((await fetchAll(engine, q)).next).toBe(1);
      expect(storage.full).toBe(false);
    });

    it('gives the same queue for the same name', () => {
      expect(queue('q')).toBe(queue('q'));
      expect([...storage.log.queueNames()]).toEqual(['q']);
    });

    it('numbers messages per queue and gives them back in order, unchanged', async () => {
      const a = queue('a');
      const b = queue('b');
      storage.log.append(textRun('one', 'two', 'three'), targets([a]));
      storage.log.append(textRun('four'), targets([a, b]));
      storage.log.append(textRun('', 'six'), targets([b]));
      await endDurably(engine, storage);
      const fromA = await fetchAll(engine, a);
      expect(fromA.texts).toEqual(['one', 'two', 'three', 'four']);
      expect(fromA.sequences).toEqual([1, 2, 3, 4]);
      expect(fromA.next).toBe(5);
      const fromB = await fetchAll(engine, b);
      expect(fromB.texts).toEqual(['four', '', 'six']);
      expect([b.count, b.firstSequence, b.nextSequence]).toEqual([3, 1, 4]);
    });

    it('keeps what a run carries beside its bytes, and owns its copy', async () => {
      const q = queue('q');
      const payloads = [Buffer.from('first'), Buffer.from('second')];
      const run = makeRun(payloads, {
        variant: 0x50002,
        guarantee: 2,
        priority: 200,
        receivedAtMs: 1_790_000_000_123,
        expiresAtMs: 1_790_000_900_456,
      });
      storage.log.append(run, targets([q]));
      scribble(run);
      await endDurably(engine, storage);
      const { messages } = await fetchAll(engine, q);
      const back = messages[1]!.run;
      expect(messages.map((message) => message.text)).toEqual(['first', 'second']);
      expect(back.codec).toBe(PLAIN);
      expect([back.variant, back.guarantee, back.priority, back.receivedAtMs, back.expiresAtMs]).toEqual([
        0x50002, 2, 200, 1_790_000_000_123, 1_790_000_900_456,
      ]);
      expect([back.owned, back.count, back.frameBytesMax]).toEqual([true, 2, 6]);
    });

    it('gives each queue its own delivery options', async () => {
      const a = queue('a');
      const b = queue('b');
      const quiet = deliveryOptions(0, true, [5, 7]);
      storage.log.append(textRun('x'), targets([a, b], [quiet, AS_PUBLISHED]));
      await endDurably(engine, storage);
      expect((await fetchAll(engine, a)).messages[0]!.options).toBe(quiet);
      expect((await fetchAll(engine, b)).messages[0]!.options).toBe(AS_PUBLISHED);
    });

    it('becomes durable at the end of the unit, not before, and says so once per step', async () => {
      const q = queue('q');
      await endDurably(engine, storage);
      const calls = listener.durableCalls;
      const first = storage.log.append(textRun('a'), targets([q]));
      const second = storage.log.append(textRun('b'), targets([q]));
      expect(second).toBeGreaterThanOrEqual(first);
      expect(storage.log.position).toBe(second);
      expect(storage.log.durablePosition).toBeLessThan(first);
      expect(storage.log.pendingBytes).toBeGreaterThan(0);
      await endDurably(engine, storage);
      expect(listener.durable).toBe(second);
      expect(listener.durableCalls).toBe(calls + 1);
      expect(storage.log.pendingBytes).toBe(0);
    });

    it('has nothing to say about an empty unit', async () => {
      await endDurably(engine, storage);
      const calls = listener.durableCalls;
      storage.endUnit();
      storage.endUnit();
      await endDurably(engine, storage);
      expect(listener.durableCalls).toBe(calls);
    });

    it('fetches by sequence, count and bytes', async () => {
      const q = queue('q');
      for (let i = 1; i <= 10; i++) storage.log.append(textRun(`message ${i}`), targets([q]));
      await endDurably(engine, storage);
      const middle = await fetchAll(engine, q, 4, 3);
      expect(middle.sequences).toEqual([4, 5, 6]);
      expect(middle.next).toBe(7);
      expect((await fetchAll(engine, q, 7, 100, 18)).sequences).toEqual([7, 8]);
      expect((await fetchAll(engine, q, 9, 100, 1)).sequences).toEqual([9]);
      expect((await fetchAll(engine, q, 11)).messages).toEqual([]);
    });

    it('leaves out what is settled, in any order', async () => {
      const q = queue('q');
      storage.log.append(textRun('1', '2', '3', '4', '5'), targets([q]));
      storage.log.append(textRun('6'), targets([q]));
      storage.log.append(textRun('7', '8'), targets([q]));
      storage.endUnit();
      q.settle(3, 1);
      q.settle(5, 3);
      expect([q.count, q.firstSequence]).toEqual([4, 1]);
      expect((await fetchAll(engine, q)).texts).toEqual(['1', '2', '4', '8']);
      q.settle(1, 2);
      expect([q.count, q.firstSequence]).toEqual([2, 4]);
      q.settle(8, 1);
      q.settle(4, 1);
      expect([q.count, q.firstSequence, q.nextSequence]).toEqual([0, 9, 9]);
      expect((await fetchAll(engine, q, 1)).next).toBe(9);
    });

    it('takes appends and settlements from within a fetch', async () => {
      const q = queue('q');
      storage.log.append(textRun('1', '2', '3'), targets([q]));
      await endDurably(engine, storage);
      const seen: string[] = [];
      let end = 0;
      q.fetch(1, 2, 1e9, {
        onFetched: (sequence, run, index, count) => {
          for (let i = index; i < index + count; i++)
            seen.push(text(run.bytes.subarray(run.frameStart(i), run.frameEnd(i))));
          q.settle(sequence, count);
          if (sequence === 1) storage.log.append(textRun('4'), targets([q]));
        },
        onFetchEnd: (next) => {
          end = next;
        },
      });
      await engine.until(() => end > 0);
      expect(seen).toEqual(['1', '2']);
      expect([q.count, q.firstSequence, end]).toEqual([2, 3, 3]);
    });

    it('purges what is stored and goes on numbering', async () => {
      const q = queue('q');
      storage.log.append(textRun('1', '2'), targets([q]));
      q.purge();
      expect([q.count, q.firstSequence, q.nextSequence]).toEqual([0, 3, 3]);
      storage.log.append(textRun('3'), targets([q]));
      expect((await fetchAll(engine, q)).sequences).toEqual([3]);
    });

    it('forgets a deleted queue and starts a new one of that name at 1', async () => {
      const q = queue('q');
      storage.log.append(textRun('1', '2'), targets([q]));
      q.delete();
      expect([...storage.log.queueNames()]).toEqual([]);
      const again = queue('q');
      expect([again.count, again.nextSequence]).toEqual([0, 1]);
      storage.log.append(textRun('new'), targets([again]));
      await endDurably(engine, storage);
      expect((await fetchAll(engine, again)).texts).toEqual(['new']);
    });

    it('keeps queues of every durability', async () => {
      const queues = [Durability.Memory, Durability.Written, Durability.Fsync].map((durability) =>
        storage.log.openQueue(`q${durability}`, durability),
      );
      const position = storage.log.append(textRun('a', 'b'), targets(queues));
      storage.endUnit();
      await engine.until(() => storage.log.durablePosition >= position);
      for (const q of queues) expect((await fetchAll(engine, q)).texts).toEqual(['a', 'b']);
      queues[0]!.settle(1, 1);
      expect((await fetchAll(engine, queues[0]!)).texts).toEqual(['b']);
      const alone = storage.log.append(textRun('c'), targets([queues[0]!]));
      storage.endUnit();
      await engine.until(() => storage.log.durablePosition >= alone);
    });

    it('holds bodies from nothing to a few megabytes', async () => {
      const q = queue('q');
      const sizes = [0, 1, 3, 4, 5, 511, 512, 4095, 4096, 65_537, 1_048_576, 3_000_001];
      for (const size of sizes) {
        const body = new Uint8Array(size);
        for (let i = 0; i < size; i++) body[i] = (i * 31 + size) & 0xff;
        storage.log.append(makeRun([body]), targets([q]));
        storage.endUnit();
      }
      await endDurably(engine, storage);
      const { messages } = await fetchAll(engine, q);
      expect(messages.map((message) => message.text.length)).toEqual(sizes);
      for (const message of messages) {
        const { run } = message;
        for (let i = 0; i < run.byteLength; i += 97) {
          if (run.bytes[run.start + i] !== ((i * 31 + run.byteLength) & 0xff))
            throw new Error(`byte ${i} of ${run.byteLength} differs`);
        }
      }
    });

    it('holds runs of thousands of messages', async () => {
      const q = queue('q');
      const payloads = Array.from({ length: 5000 }, (_, i) => Buffer.from(`number ${i}`));
      storage.log.append(makeRun(payloads), targets([q]));
      await endDurably(engine, storage);
      const sink = await fetchAll(engine, q);
      expect(sink.messages.length).toBe(5000);
      expect(sink.texts[4999]).toBe('number 4999');
      expect((await fetchAll(engine, q, 4097, 2)).texts).toEqual(['number 4096', 'number 4097']);
    });

    it('stores keyed state by space and key', async () => {
      const value = Buffer.from('v1');
      storage.state.put('s', 'k', value);
      value.fill(0);
      storage.state.put('t', 'k', Buffer.from('other'));
      const position = storage.state.remove('s', 'unknown');
      await endDurably(engine, storage);
      expect(storage.log.durablePosition).toBeGreaterThanOrEqual(position);
      if (engine.survives) {
        await reopen();
        const entries = [...storage.state.load('s')].map(([key, bytes]) => [key, text(bytes)]);
        expect(entries).toEqual([['k', 'v1']]);
        expect([...storage.state.load('nothing')]).toEqual([]);
      }
    });

    (survives ? it : notApplicable)('changes keyed state that nobody has read since the start', async () => {
      const { state } = storage;
      for (let i = 0; i < 4000; i++) state.put(i % 7 === 0 ? 'odd' : 's', `k${i}`, Buffer.from(`value ${i}`));
      await endDurably(engine, storage);
      const expected = new Map(
        Array.from({ length: 4000 }, (_, i) => i)
          .filter((i) => i % 7 !== 0)
          .map((i) => [`k${i}`, `value ${i}`]),
      );
      // What is changed while it is as the checkpoint had it is in the log only, then in the checkpoint again.
      for (let round = 1; round <= 3; round++) {
        await reopen();
        expect(storage.state.remove('s', 'unknown')).toBeLessThanOrEqual(storage.log.position);
        storage.state.remove('s', `k${round}`);
        expected.delete(`k${round}`);
        storage.state.put('s', `k${100 * round + 2}`, Buffer.from(`changed ${round}`));
        expected.set(`k${100 * round + 2}`, `changed ${round}`);
        await endDurably(engine, storage);
        if (round === 2) await reopen();
        expect(new Map([...storage.state.load('s')].map(([key, bytes]) => [key, text(bytes)]))).toEqual(expected);
        expect([...storage.state.load('odd')].length).toBe(572);
      }
    });

    it('keeps what its owner lends it, as the owner has it', async () => {
      const owned = new Map<string, Uint8Array>();
      const put = (key: string, value: string): void => {
        owned.set(key, Buffer.from(value));
        storage.state.put('lent', key, Buffer.from(value));
      };
      storage.state.put('lent', 'early', Buffer.from('e'));
      owned.set('early', Buffer.from('e'));
      storage.state.lend('lent', () => owned);
      for (const key of ['kept', 'changed', 'removed']) put(key, 'before');
      storage.endUnit();
      put('changed', 'after');
      owned.delete('removed');
      storage.state.remove('lent', 'removed');
      await endDurably(engine, storage);
      const expected = new Map([
        ['early', 'e'],
        ['kept', 'before'],
        ['changed', 'after'],
      ]);
      if (!engine.survives) return;
      // The second time it comes from a checkpoint alone.
      for (let round = 0; round < 2; round++) {
        await reopen();
        expect(new Map([...storage.state.load('lent')].map(([key, bytes]) => [key, text(bytes)]))).toEqual(expected);
        storage.state.lend('lent', () => owned);
      }
    });

    (survives ? it : notApplicable)('brings everything back after a clean stop', async () => {
      const a = queue('a');
      const b = storage.log.openQueue('b', Durability.Written);
      const c = queue('c');
      const options = deliveryOptions(1, true, [268_435_455]);
      storage.log.append(
        makeRun([Buffer.from('1'), Buffer.from('22')], {
          priority: 9,
          expiresAtMs: 5,
          receivedAtMs: 4,
          guarantee: 2,
          variant: 3,
        }),
        targets([a, b], [options, AS_PUBLISHED]),
      );
      storage.log.append(textRun('333'), targets([b]));
      storage.log.append(textRun('gone'), targets([c]));
      storage.state.put('s', 'kept', Buffer.from('x'));
      storage.state.put('s', 'changed', Buffer.from('before'));
      storage.state.put('s', 'removed', Buffer.from('x'));
      storage.endUnit();
      a.settle(1, 1);
      c.delete();
      storage.state.put('s', 'changed', Buffer.from('after'));
      storage.state.remove('s', 'removed');
      storage.endUnit();
      await reopen();
      expect([...storage.log.queueNames()].sort()).toEqual(['a', 'b']);
      const a2 = queue('a');
      expect([a2.count, a2.firstSequence, a2.nextSequence]).toEqual([1, 2, 3]);
      const fromA = await fetchAll(engine, a2);
      expect(fromA.texts).toEqual(['22']);
      expect(fromA.messages[0]!.options).toBe(options);
      expect(fromA.messages[0]!.run.priority).toBe(9);
      expect((await fetchAll(engine, storage.log.openQueue('b', Durability.Written))).texts).toEqual([
        '1',
        '22',
        '333',
      ]);
      expect(queue('c').nextSequence).toBe(1);
      expect(new Map([...storage.state.load('s')].map(([key, bytes]) => [key, text(bytes)]))).toEqual(
        new Map([
          ['kept', 'x'],
          ['changed', 'after'],
        ]),
      );
    });

    (survives ? it : notApplicable)('goes on where it stopped, any number of times', async () => {
      for (let round = 0; round < 4; round++) {
        const q = queue('q');
        expect(q.nextSequence).toBe(1 + round * 3);
        storage.log.append(textRun(`${round}a`, `${round}b`), targets([q]));
        storage.endUnit();
        storage.log.append(textRun(`${round}c`), targets([q]));
        q.settle(2 + round * 3, 1);
        await reopen();
      }
      const sink = await fetchAll(engine, queue('q'));
      expect(sink.texts).toEqual(['0a', '0c', '1a', '1c', '2a', '2c', '3a', '3c']);
      expect(sink.sequences).toEqual([1, 3, 4, 6, 7, 9, 10, 12]);
    });
  });
}
