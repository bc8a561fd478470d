import { describe, expect, test } from 'vitest';
import { Arena, HEADROOM_BYTES, READ_BYTES, SLOT_BYTES, type Slot } from '../../src/io/arena.ts';

describe('an arena', () => {
  test('lays headroom, read buffer and slots side by side', () => {
    const arena = new Arena(3);
    expect([arena.readStart, arena.readEnd]).toEqual([HEADROOM_BYTES, HEADROOM_BYTES + READ_BYTES]);
    const slots = [arena.borrow(), arena.borrow(), arena.borrow()];
    expect(slots.map(({ start, end }) => [start, end])).toEqual([
      [arena.readEnd, arena.readEnd + SLOT_BYTES],
      [arena.readEnd + SLOT_BYTES, arena.readEnd + 2 * SLOT_BYTES],
      [arena.readEnd + 2 * SLOT_BYTES, arena.readEnd + 3 * SLOT_BYTES],
    ]);
    expect(slots.every(({ bytes }) => bytes === arena.bytes)).toBe(true);
    expect(arena.bytes).toHaveLength(arena.readEnd + 3 * SLOT_BYTES);
  });

  test('lends a slot to one at a time', () => {
    const arena = new Arena(4);
    const lent = new Set<Slot>();
    let seed = 1;
    for (let i = 0; i < 1000; i++) {
      seed = (seed * 48_271) % 2_147_483_647;
      if (seed % 2 === 0 && lent.size < 6) {
        const slot = arena.borrow();
        for (const other of lent) {
          const apart = slot.bytes !== other.bytes || slot.end <= other.start || other.end <= slot.start;
          expect(apart).toBe(true);
        }
        expect(slot.end - slot.start).toBe(SLOT_BYTES);
        lent.add(slot);
      } else {
        const [slot] = lent;
        if (slot === undefined) continue;
        lent.delete(slot);
        arena.giveBack(slot);
      }
      expect(arena.borrowedCount).toBe(lent.size);
    }
  });

  test('has no end: beyond its slots there are ordinary buffers, which are not kept', () => {
    const arena = new Arena(1);
    const own = arena.borrow();
    const beyond = arena.borrow();
    expect(beyond.bytes).not.toBe(arena.bytes);
    expect([beyond.start, beyond.end, beyond.bytes.length]).toEqual([0, SLOT_BYTES, SLOT_BYTES]);
    arena.giveBack(beyond);
    arena.giveBack(own);
    expect(arena.borrow()).toBe(own);
    expect(arena.borrow()).not.toBe(beyond);
    expect(new Arena(0).borrow().bytes).toHaveLength(SLOT_BYTES);
    // For a few bytes not a whole slot is made.
    expect(new Arena(0).borrow(20).bytes.length).toBeLessThan(SLOT_BYTES / 10);
  });
});
