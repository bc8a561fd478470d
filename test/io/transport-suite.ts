// What every Transport must do, whatever carries it. A carrier describes how to open a server and how to connect to it (TransportCarrier); the suite
// then plays the session's part on one side and the peer's on the other.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Arena } from '../../src/io/arena.ts';
import type { Output } from '../../src/io/output.ts';
import type { TransportEnvironment } from '../../src/io/socket-transport.ts';
import type { Transport, TransportHandler, TransportKind } from '../../src/io/transport.ts';
import { Turn } from '../../src/io/turn.ts';
import { ManualClock } from './manual-clock.ts';
import { turns, until } from './until.ts';

/** The peer's end of a connection. */
export interface CarrierClient {
  /** What came in, in order. */
  readonly received: Buffer[];
  /** The peer has seen the end of the stream, orderly or not. */
  readonly closed: boolean;
  send(bytes: Uint8Array): void;
  /** Bytes handed to send() that have not left this process. */
  unsentBytes(): number;
  stopReading(): void;
  startReading(): void;
  /** Closes in good order. */
  end(): void;
  /** Breaks off. */
  abort(): void;
}

export interface CarrierServer {
  connect(): Promise<CarrierClient>;
  close(): Promise<void>;
}

export interface TransportCarrier {
  readonly name: string;
  readonly kind: TransportKind;
  /** Why it cannot run here; '' when it can. */
  readonly skipped: string;
  open(environment: TransportEnvironment, accept: (transport: Transport) => void): Promise<CarrierServer>;
  /** Is the peer's port known? */
  readonly knowsPort: boolean;
  /** Can it stop reading from one peer? One that cannot closes the stream of a peer that sends too much meanwhile. */
  readonly stopsReading: boolean;
}

const CONGESTED_BYTES = 256 * 1024;

class Recorder implements TransportHandler {
  readonly chunks: Buffer[] = [];
  byteCount = 0;
  drains = 0;
  closes = 0;
  error: Error | null = null;
  answer: ((bytes: Buffer) => void) | null = null;
  onDraining: (() => void) | null = null;

  onChunk(bytes: Uint8Array, start: number, end: number): void {
    expect(this.closes).toBe(0);
    expect(end).toBeGreaterThan(start);
    const chunk = Buffer.from(bytes.subarray(start, end));
    this.chunks.push(chunk);
    this.byteCount += chunk.length;
    this.answer?.(chunk);
  }

  onDrain(): void {
    expect(this.closes).toBe(0);
    this.drains++;
    this.onDraining?.();
  }

  onClosed(error: Error | null): void {
    this.closes++;
    this.error = error;
  }
}

function sizeOf(chunks: readonly Buffer[]): number {
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  return size;
}

/** In place of `test` for what a carrier does not promise: that is no test left out. */
const notApplicable = (_title: string, _body: () => Promise<void>): void => undefined;

export function describeTransport(carrier: TransportCarrier): void {
  if (carrier.skipped !== '') console.warn(`transport suite for ${carrier.name} is skipped: ${carrier.skipped}`);

  describe.skipIf(carrier.skipped !== '')(`transport over ${carrier.name}`, () => {
    let arena: Arena;
    let clock: ManualClock;
    let server: CarrierServer;
    let accepted: { transport: Transport; recorder: Recorder }[];
    let clients: CarrierClient[];

    beforeEach(async () => {
      arena = new Arena(64);
      clock = new ManualClock();
      accepted = [];
      clients = [];
      const environment = { arena, turn: new Turn(clock), clock, congestedBytes: CONGESTED_BYTES };
      server = await carrier.open(environment, (transport) => {
        const recorder = new Recorder();
        transport.handler = recorder;
        accepted.push({ transport, recorder });
      });
    });

    afterEach(async () => {
      for (const client of clients) client.abort();
      for (const { transport } of accepted) transport.destroy();
      await server.close();
      await until('every transport is told that it is closed', () =>
        accepted.every((one) => one.recorder.closes === 1),
      );
      expect(arena.borrowedCount).toBe(0);
    });

    async function connected(): Promise<{ transport: Transport; recorder: Recorder; client: CarrierClient }> {
      const client = await server.connect();
      clients.push(client);
      await until('the connection is accepted', () => accepted.length === clients.length);
      return { ...accepted[accepted.length - 1]!, client };
    }

    function fill(output: Output, bytes: Buffer): void {
      output.append(bytes, 0, bytes.length);
    }

    test('says what it is and who the peer is', async () => {
      const { transport } = await connected();
      expect(transport.kind).toBe(carrier.kind);
      expect(transport.listener).toBe('test');
      expect(transport.peer.address).toMatch(/127\.0\.0\.1$/);
      expect(transport.peer.loopback).toBe(true);
      if (carrier.knowsPort) expect(transport.peer.port).toBeGreaterThan(0);
    });

    test('the bytes of the peer arrive complete and in order', async () => {
      const { recorder, client } = await connected();
      const sent = [randomBytes(1), randomBytes(100), randomBytes(70_000), randomBytes(1_000_000), randomBytes(3)];
      for (const bytes of sent) client.send(bytes);
      await until('all bytes came', () => recorder.byteCount === sizeOf(sent));
      expect(Buffer.concat(recorder.chunks).equals(Buffer.concat(sent))).toBe(true);
    });

    test('what is appended reaches the peer complete and in order, from one byte to many slots', async () => {
      const { transport, client } = await connected();
      const sent = [randomBytes(1), randomBytes(500), randomBytes(64 * 1024), randomBytes(2_500_000), randomBytes(7)];
      for (const bytes of sent) {
        fill(transport.output, bytes);
        await turns(1);
      }
      await until('all bytes came', () => sizeOf(client.received) === sizeOf(sent));
      expect(Buffer.concat(client.received).equals(Buffer.concat(sent))).toBe(true);
      await until('all slots are back', () => arena.borrowedCount === 0);
      expect(transport.output.unsentBytes).toBe(0);
    });

    test('copied, reserved and owned bytes keep their order', async () => {
      const { transport, client } = await connected();
      const output = transport.output;
      const large = randomBytes(100_000);
      const reserved = randomBytes(1000);
      fill(output, Buffer.from('first'));
      output.appendOwned(large);
      const offset = output.reserve(reserved.length);
      output.bytes.set(reserved, offset);
      output.appendOwned(Buffer.from('last'));
      const expected = Buffer.concat([Buffer.from('first'), large, reserved, Buffer.from('last')]);
      await until('all bytes came', () => sizeOf(client.received) === expected.length);
      expect(Buffer.concat(client.received).equals(expected)).toBe(true);
    });

    test('an echo answers every chunk in the same turn', async () => {
      const { transport, recorder, client } = await connected();
      recorder.answer = (bytes) => fill(transport.output, bytes);
      const sent = Array.from({ length: 50 }, (_, i) => randomBytes(i * 997 + 1));
      for (const bytes of sent) client.send(bytes);
      await until('all bytes came back', () => sizeOf(client.received) === sizeOf(sent));
      expect(Buffer.concat(client.received).equals(Buffer.concat(sent))).toBe(true);
    });

    test('a peer that closes is noticed once, and nothing comes after it', async () => {
      const { transport, recorder, client } = await connected();
      client.send(Buffer.from('bye'));
      await until('the bytes came', () => recorder.byteCount === 3);
      client.end();
      await until('it is closed', () => recorder.closes === 1);
      expect(recorder.error).toBe(null);
      fill(transport.output, Buffer.from('too late'));
      transport.end();
      transport.destroy();
      await turns(20);
      expect(recorder.closes).toBe(1);
    });

    test('an answer to the last bytes before the peer closes still reaches it', async () => {
      if (carrier.kind === 'ws') return; // A WebSocket closes as a whole: there is no half that could still be read.
      const { transport, recorder, client } = await connected();
      recorder.answer = () => fill(transport.output, Buffer.from('the answer'));
      client.send(Buffer.from('question'));
      client.end();
      await until('the answer came', () => Buffer.concat(client.received).toString() === 'the answer');
      await until('it is closed', () => recorder.closes === 1 && client.closed);
    });

    test('a peer that breaks off is noticed once', async () => {
      const { recorder, client } = await connected();
      client.abort();
      await until('it is closed', () => recorder.closes === 1);
      await turns(20);
      expect(recorder.closes).toBe(1);
    });

    test('destroy closes at once, also from within onChunk, and is reported once', async () => {
      const { transport, recorder, client } = await connected();
      recorder.answer = () => {
        fill(transport.output, randomBytes(200_000));
        transport.destroy();
        transport.destroy();
        fill(transport.output, Buffer.from('into the void'));
      };
      client.send(Buffer.from('go'));
      await until('both sides know', () => recorder.closes === 1 && client.closed);
      await turns(20);
      expect(recorder.closes).toBe(1);
      expect(transport.output.unsentBytes).toBe(0);
    });

    test('end sends what is in the output and then closes, deaf to the peer', async () => {
      const { transport, recorder, client } = await connected();
      const sent = randomBytes(300_000);
      fill(transport.output, sent);
      transport.end();
      fill(transport.output, Buffer.from('after the end'));
      client.send(Buffer.from('anybody there?'));
      await until('the peer has seen all and the end', () => client.closed);
      expect(Buffer.concat(client.received).equals(sent)).toBe(true);
      client.end();
      await until('it is closed', () => recorder.closes === 1);
      expect(recorder.byteCount).toBe(0);
      expect(clock.timerCount).toBe(0);
    });

    test('end from within onChunk and destroy after it are reported once', async () => {
      const { transport, recorder, client } = await connected();
      recorder.answer = () => {
        transport.pause();
        fill(transport.output, Buffer.from('no'));
        transport.end();
        transport.end();
      };
      client.send(Buffer.from('go'));
      await until('the answer came', () => Buffer.concat(client.received).toString() === 'no');
      transport.destroy();
      await until('it is closed', () => recorder.closes === 1);
    });

    test('a paused stream that is ended still learns that its peer has closed', async () => {
      const { transport, recorder, client } = await connected();
      transport.pause();
      await turns(3);
      transport.end();
      await until('the peer has seen the end', () => client.closed);
      client.end();
      // No time passes on the clock: it is not the limit that closes it.
      await until('it is closed', () => recorder.closes === 1);
    });

    test('a peer that does not close after end is given two seconds', async () => {
      const { transport, recorder, client } = await connected();
      client.stopReading();
      fill(transport.output, randomBytes(20_000_000));
      await turns(3);
      transport.end();
      await until('it waits', () => clock.timerCount === 1);
      clock.advance(1999);
      await turns(20);
      expect(recorder.closes).toBe(0);
      clock.advance(2);
      await until('it is closed', () => recorder.closes === 1);
      await until('all slots are back', () => arena.borrowedCount === 0);
    });

    test('an output that its peer does not read becomes congested, and drains when it is read', async () => {
      const { transport, recorder, client } = await connected();
      client.stopReading();
      const sent: Buffer[] = [];
      const output = transport.output;
      // The kernel and the peer take a few megabytes before they say no.
      for (let i = 0; i < 1000 && !output.congested; i++) {
        const bytes = randomBytes(100_000);
        sent.push(bytes);
        fill(output, bytes);
        await turns(1);
      }
      expect(output.congested).toBe(true);
      expect(output.unsentBytes).toBeGreaterThan(0);
      expect(recorder.drains).toBe(0);
      client.startReading();
      await until('it has drained', () => recorder.drains === 1);
      expect(output.congested).toBe(false);
      await until('all bytes came', () => sizeOf(client.received) === sizeOf(sent));
      expect(Buffer.concat(client.received).equals(Buffer.concat(sent))).toBe(true);
      await until('all slots are back', () => arena.borrowedCount === 0);
      fill(output, Buffer.from('and on'));
      await until('it goes on', () => sizeOf(client.received) === sizeOf(sent) + 6);
    });

    test('onDrain may fill the output again', async () => {
      const { transport, recorder, client } = await connected();
      client.stopReading();
      const block = randomBytes(8_000_000);
      recorder.onDraining = () => {
        if (recorder.drains < 3) fill(transport.output, block);
      };
      fill(transport.output, block);
      await turns(5);
      client.startReading();
      await until('it has drained', () => sizeOf(client.received) === 3 * block.length);
    });

    test('destroying a congested stream gives all its slots back', async () => {
      const { transport, recorder, client } = await connected();
      client.stopReading();
      for (let i = 0; i < 300 && !transport.output.congested; i++) {
        fill(transport.output, randomBytes(200_000));
        await turns(1);
      }
      expect(transport.output.congested).toBe(true);
      transport.destroy();
      await until('it is closed', () => recorder.closes === 1);
      expect(transport.output.unsentBytes).toBe(0);
      expect(arena.borrowedCount).toBe(0);
      expect(recorder.drains).toBe(0);
    });

    (carrier.stopsReading ? test : notApplicable)(
      'a paused stream holds its peer back until it was resumed as often as paused',
      async () => {
        const { transport, recorder, client } = await connected();
        transport.pause();
        transport.pause();
        const sent = randomBytes(40_000_000);
        const step = 50_000;
        for (let from = 0; from < sent.length; from += step) client.send(sent.subarray(from, from + step));
        await until('what fits into the buffers is in them', () => client.unsentBytes() < sent.length);
        // The peer's unsent bytes stop falling: no further turn of the loop changes them.
        let before = -1;
        while (before !== client.unsentBytes()) {
          before = client.unsentBytes();
          await turns(200);
        }
        expect(client.unsentBytes()).toBeGreaterThan(0);
        const receivedPaused = recorder.byteCount;
        expect(receivedPaused).toBeLessThan(2_000_000);
        transport.resume();
        await turns(20);
        expect(recorder.byteCount).toBe(receivedPaused);
        transport.resume();
        await until('all bytes came', () => recorder.byteCount === sent.length);
        expect(Buffer.concat(recorder.chunks).equals(sent)).toBe(true);
      },
    );

    (carrier.stopsReading ? notApplicable : test)(
      'a paused stream keeps what comes, up to a bound, and is closed beyond it',
      async () => {
        const { transport, recorder, client } = await connected();
        transport.pause();
        const sent = randomBytes(2_000_000);
        for (let from = 0; from < sent.length; from += 50_000) client.send(sent.subarray(from, from + 50_000));
        await until('it has left the peer', () => client.unsentBytes() === 0);
        await turns(50);
        expect(recorder.byteCount).toBe(0);
        transport.resume();
        await until('all bytes came', () => recorder.byteCount === sent.length);
        expect(Buffer.concat(recorder.chunks).equals(sent)).toBe(true);
        transport.pause();
        for (let i = 0; i < 10; i++) client.send(sent);
        await until('it is closed', () => recorder.closes === 1 && client.closed);
        expect(recorder.byteCount).toBe(sent.length);
        expect(recorder.error?.message).toContain('could not take them');
      },
    );

    test('pausing within onChunk works, and one resume too many does no harm', async () => {
      const { transport, recorder, client } = await connected();
      recorder.answer = () => {
        transport.pause();
        setImmediate(() => {
          transport.resume();
          transport.resume();
        });
      };
      const sent = randomBytes(3_000_000);
      for (let from = 0; from < sent.length; from += 100_000) client.send(sent.subarray(from, from + 100_000));
      await until('all bytes came', () => recorder.byteCount === sent.length);
      expect(Buffer.concat(recorder.chunks).equals(sent)).toBe(true);
    });

    test('a busy stream and a stalled one do not disturb a third', async () => {
      const busy = await connected();
      const stalled = await connected();
      const third = await connected();
      stalled.client.stopReading();
      fill(stalled.transport.output, randomBytes(10_000_000));
      third.recorder.answer = (bytes) => fill(third.transport.output, bytes);
      for (let i = 0; i < 200; i++) busy.client.send(randomBytes(100_000));
      third.client.send(Buffer.from('ping'));
      await until('the third is answered', () => Buffer.concat(third.client.received).toString() === 'ping');
      await until('the busy one is served', () => busy.recorder.byteCount === 20_000_000);
    });
  });
}
