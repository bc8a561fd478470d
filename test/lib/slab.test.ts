import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SLAB_BYTES_MAX, Slab } from '../../src/lib/slab.ts';

function read(slab: Slab, handle: number, length: number): Buffer {
  const bytes = Buffer.alloc(length + 2, 0xee);
  slab.copyTo(handle, length, bytes, 1);
  expect([bytes[0], bytes[length + 1]]).toEqual([0xee, 0xee]);
  return bytes.subarray(1, length + 1);
}

describe('slab', () => {
  test('strings of every length come back as they were', () => {
    const slab = new Slab();
    const all = Array.from({ length: SLAB_BYTES_MAX + 1 }, (_, length) => {
      const bytes = Buffer.alloc(length + 3, length & 0xff);
      return { length, handle: slab.put(bytes, 1, length + 1) };
    });
    for (const { length, handle } of all) {
      expect(read(slab, handle, length).equals(Buffer.alloc(length, length & 0xff)), `${length} bytes`).toBe(true);
    }
  });

  test('memory of strings that are gone is used again or given back', () => {
    const slab = new Slab();
    const bytes = Buffer.alloc(100, 1);
    const handles = Array.from({ length: 10_000 }, () => slab.put(bytes, 0, 100));
    const full = slab.bytes;
    for (const handle of handles.filter((_, i) => i % 2 === 0)) slab.free(handle, 100);
    for (let i = 0; i < 5000; i++) handles[i * 2] = slab.put(bytes, 0, 100);
    expect(slab.bytes).toBe(full);
    for (const handle of handles) slab.free(handle, 100);
    expect(slab.bytes).toBe(0);
  });

  test('a string that replaces one of about its length takes its place', () => {
    const slab = new Slab();
    const bytes = Buffer.from('first second ');
    const handle = slab.put(bytes, 0, 5);
    expect(slab.replace(handle, 5, bytes, 6, 12)).toBe(handle);
    expect(read(slab, handle, 6).toString()).toBe('second');
    const longer = slab.replace(handle, 6, Buffer.alloc(300, 7), 0, 300);
    expect(read(slab, longer, 300).equals(Buffer.alloc(300, 7))).toBe(true);
    slab.free(longer, 300);
    expect(slab.bytes).toBe(0);
  });

  test('it does what a map does', () => {
    const command = fc.record({
      do: fc.constantFrom('free', 'put', 'put', 'replace'),
      at: fc.nat(),
      length: fc.oneof(fc.nat(SLAB_BYTES_MAX), fc.nat(40)),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400, size: 'max' }), (commands) => {
        const slab = new Slab();
        const live: { handle: number; length: number; fill: number }[] = [];
        let fill = 0;
        for (const { do: what, at, length } of commands) {
          if (what === 'replace' && live.length > 0) {
            const old = live[at % live.length]!;
            fill = (fill + 1) & 0xff;
            old.handle = slab.replace(old.handle, old.length, Buffer.alloc(length, fill), 0, length);
            old.length = length;
            old.fill = fill;
          } else if (what === 'free' && live.length > 0) {
            const [gone] = live.splice(at % live.length, 1);
            slab.free(gone!.handle, gone!.length);
          } else {
            fill = (fill + 1) & 0xff;
            const handle = slab.put(Buffer.alloc(length, fill), 0, length);
            expect(live.some((other) => other.handle === handle)).toBe(false);
            live.push({ handle, length, fill });
          }
        }
        for (const { handle, length, fill } of live) {
          expect(read(slab, handle, length).equals(Buffer.alloc(length, fill))).toBe(true);
          slab.free(handle, length);
        }
        expect(slab.bytes).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
