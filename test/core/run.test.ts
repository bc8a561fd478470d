import { describe, expect, test } from 'vitest';
import { Run, WIRE_SLOTS, wireSlot } from '../../src/core/run.ts';
import { TEXT_CODEC, textRun, textsOf } from './runs.ts';

describe('a run', () => {
  test('knows where its frames begin and end', () => {
    const run = textRun(['one', '', 'three'], { borrowedAt: 10 });
    expect([0, 1, 2].map((i) => [run.frameStart(i), run.frameEnd(i)])).toEqual([
      [10, 13],
      [13, 13],
      [13, 18],
    ]);
    expect(run.byteLength).toBe(8);
    const single = textRun('single');
    expect([single.offsets, single.frameStart(0), single.frameEnd(0)]).toEqual([null, 0, 6]);
  });

  test('makes each message once', () => {
    const run = textRun(['one', 'two']);
    const message = run.message(1);
    expect(Buffer.from(message.payload).toString()).toBe('two');
    expect(run.message(1)).toBe(message);
    expect(run.message(0)).not.toBe(message);
  });

  test('that is borrowed can be kept: the copy has all of it and does not change with the original', () => {
    const fields = { guarantee: 2, priority: 7, receivedAtMs: 1000, expiresAtMs: 2000, borrowedAt: 3 } as const;
    const run = textRun(['one', 'two'], fields);
    run.variant = 5;
    run.persistent = false;
    const copy = run.own();
    run.bytes.fill(0);
    expect(textsOf(copy)).toEqual(['one', 'two']);
    expect(copy).toMatchObject({
      codec: TEXT_CODEC,
      variant: 5,
      count: 2,
      guarantee: 2,
      priority: 7,
      receivedAtMs: 1000,
      expiresAtMs: 2000,
      frameBytesMax: 3,
      persistent: false,
      owned: true,
    });
    expect(copy.bytes).toHaveLength(6);
  });

  test('is copied once, however many keep it, until it has other content', () => {
    const run = textRun('one', { borrowedAt: 1 });
    const copy = run.own();
    expect(run.own()).toBe(copy);
    expect(copy.own()).toBe(copy);
    expect(copy.offsets).toBeNull();
    run.reuse();
    expect(run.own()).not.toBe(copy);
  });

  test('forgets messages and encodings with its content', () => {
    const run = textRun('one', { borrowedAt: 1 });
    const message = run.message(0);
    const form = { bytes: run.bytes, start: 1, end: 4, offsets: null };
    run.setWire(3, form);
    expect(run.wire[3]).toBe(form);
    run.reuse();
    expect(run.wire[3] ?? null).toBeNull();
    expect(run.message(0)).not.toBe(message);
  });

  test('leaves room for the encodings of every codec, and says so when there is none', () => {
    // The slots are given out once per process: this file has given out none.
    const slots = Array.from({ length: WIRE_SLOTS }, wireSlot);
    expect(slots).toEqual([...slots.keys()]);
    expect(wireSlot).toThrow(/WIRE_SLOTS/);
  });

  test('starts with nothing', () => {
    expect(new Run(TEXT_CODEC)).toMatchObject({
      count: 0,
      byteLength: 0,
      publisher: null,
      refused: null,
      matched: false,
    });
  });
});
