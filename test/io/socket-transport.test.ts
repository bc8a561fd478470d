// A stream whose kernel takes what the test says: bytes are looked at only when they are taken, so a slot that was given back too early shows as wrong bytes.
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Arena, SLOT_BYTES } from '../../src/io/arena.ts';
import { SocketTransport } from '../../src/io/socket-transport.ts';
import { Turn } from '../../src/io/turn.ts';
import { WorldClock } from '../support/world.ts';
import { nothing } from './until.ts';

const CONGESTED_BYTES = 256 * 1024;

/** Takes a write within the call when it has room for all of it, as a socket does, and otherwise when room comes. */
class Kernel extends Duplex {
  readonly received: Buffer[] = [];
  private room = 0;
  private waiting: { chunks: Buffer[]; done: (error?: Error | null) => void } | null = null;

  override _read(): void {
    nothing();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.put([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.put(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  grant(bytes: number): void {
    this.room += bytes;
    const { waiting } = this;
    if (waiting === null) return;
    this.waiting = null;
    this.put(waiting.chunks, waiting.done);
  }

  private put(chunks: Buffer[], done: (error?: Error | null) => void): void {
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (size > this.room) {
      this.waiting = { chunks, done };
      return;
    }
    this.room -= size;
    this.received.push(Buffer.concat(chunks));
    done();
  }
}

const STEP = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('append' as const), size: fc.nat({ max: 4 * SLOT_BYTES }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('append' as const), size: fc.nat({ max: 24 * SLOT_BYTES }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('grant' as const), size: fc.nat({ max: 24 * SLOT_BYTES }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('endTurn' as const), size: fc.constant(0) }) },
  // What a write leads to in the stream itself.
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), size: fc.constant(0) }) },
);

test('the peer gets what was sent, whatever it takes when, and whatever is appended when it has caught up', async () => {
  let drains = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(STEP, { maxLength: 60, size: 'max' }),
      fc.array(fc.nat({ max: 24 * SLOT_BYTES }), { maxLength: 6 }),
      async (steps, refills) => {
        const clock = new WorldClock();
        const arena = new Arena(64);
        const kernel = new Kernel();
        const environment = { arena, turn: new Turn(clock), clock, congestedBytes: CONGESTED_BYTES };
        const transport = new SocketTransport(environment, kernel as unknown as Socket, 'tcp', 'test', false);
        const { output } = transport;
        let number = 0;
        const append = (size: number): void => {
          const at = new Uint8Array(4);
          const view = new DataView(at.buffer);
          for (let i = 0; i < size / 4; i++) {
            view.setUint32(0, number++);
            output.append(at, 0, 4);
          }
        };
        transport.handler = {
          onChunk: nothing,
          onClosed: nothing,
          onDrain: () => {
            drains++;
            append(refills.pop() ?? 0);
          },
        };
        for (const { kind, size } of steps) {
          if (kind === 'append') append(size);
          else if (kind === 'grant') kernel.grant(size);
          else if (kind === 'endTurn') clock.settle();
          else await new Promise(setImmediate);
        }
        kernel.grant(Number.POSITIVE_INFINITY);
        while (output.unsentBytes > 0 || refills.length > 0) {
          append(refills.pop() ?? 0);
          clock.settle();
          await new Promise(setImmediate);
        }
        const received = Buffer.concat(kernel.received);
        expect(received.length).toBe(4 * number);
        for (let i = 0; i < number; i++) {
          if (received.readUInt32BE(4 * i) !== i) expect.fail(`word ${i} is ${received.readUInt32BE(4 * i)}`);
        }
        expect(arena.borrowedCount).toBe(0);
        transport.destroy();
      },
    ),
    { numRuns: 60 },
  );
  expect(drains).toBeGreaterThan(0);
}, 60_000);
