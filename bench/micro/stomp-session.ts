// A whole STOMP adapter in memory: SEND frames in, MESSAGE frames out, without a socket. Prints nanoseconds per message sent, best of several rounds. npm run bench -- stomp-session

import { StompAdapter } from '../../protocols/stomp/index.ts';
import { Arena } from '../../src/io/arena.ts';
import { SystemClock } from '../../src/io/clock.ts';
import { SILENT } from '../../src/io/logger.ts';
import { Output, type OutputSink, type Piece } from '../../src/io/output.ts';
import { SystemRandom } from '../../src/io/random.ts';
import type { Peer, Transport, TransportHandler } from '../../src/io/transport.ts';
import { Turn } from '../../src/io/turn.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import { coreBroker } from '../lib/core-broker.ts';

const ROUNDS = 12;
const BODY = 'x'.repeat(100);
const FRAMES_PER_CHUNK = 400;
const CHUNKS_PER_ROUND = 250;

const NOBODY: TransportHandler = {
  onChunk: () => undefined,
  onDrain: () => undefined,
  onClosed: () => undefined,
};

/** A client that takes everything at once. */
class Peerless implements Transport, OutputSink {
  readonly kind = 'memory';
  readonly listener = 'bench';
  readonly peer: Peer = { address: '127.0.0.1', port: 1, loopback: true };
  readonly output: Output;
  handler: TransportHandler = NOBODY;
  bytes = 0;
  /** The ids of what is to be acknowledged, in one chunk; null when the client acknowledges nothing. */
  acks: string[] | null = null;

  constructor(arena: Arena, turn: Turn) {
    this.output = new Output(arena, turn, this, 256 * 1024);
  }

  send(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      this.bytes += piece.bytes.length;
      if (this.acks !== null) {
        const text = Buffer.from(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.length).toString('latin1');
        for (const [, id] of text.matchAll(/\nack:(\S+)\n/g)) this.acks.push(id!);
      }
      this.output.sent(piece);
    }
  }

  established(): void {
    // Nothing is timed.
  }

  pause(): void {
    throw new Error('the bench is never paused');
  }

  resume(): void {
    throw new Error('the bench is never paused');
  }

  end(): void {
    throw new Error('the bench has sent something wrong');
  }

  destroy(): void {
    this.end();
  }
}

class Bench {
  readonly arena = new Arena(64);
  readonly turn: Turn;
  readonly adapter: StompAdapter;
  private readonly clock = new SystemClock();
  private readonly storage = new MemoryStorage();

  constructor() {
    this.turn = new Turn(this.clock);
    const broker = coreBroker(this.storage);
    this.turn.addHook(() => broker.endUnit());
    void this.storage.open(new Map(), broker);
    const principal = { name: 'bench', policy: null };
    this.adapter = new StompAdapter({
      broker,
      arena: this.arena,
      turn: this.turn,
      clock: this.clock,
      random: new SystemRandom(),
      logger: SILENT,
      authenticator: { authenticate: () => ({ ok: true, principal }) },
      serverVersion: 'bench',
      listenerVhost: () => '/',
      activemq: () => false,
      options: {
        heartBeatSendMs: 0,
        heartBeatReceiveMs: 0,
        frameBytesMax: 1 << 24,
        headersMax: 256,
        headerBytesMax: 16_384,
        bodyBytesMax: 1 << 24,
        strictHost: false,
        prefetchDefault: 0,
        levelsMax: 128,
        subscriptionsMax: 1000,
        preAuthBytesMax: 65_536,
      },
    });
  }

  connect(text = ''): Peerless {
    const peer = new Peerless(this.arena, this.turn);
    this.adapter.accept(peer, '');
    this.feed(peer, `CONNECT\naccept-version:1.2\nhost:/\n\n\0${text}`);
    return peer;
  }

  /** As a socket does: into the arena, in reads of its size. */
  feed(peer: Peerless, text: string | Buffer): void {
    const from = typeof text === 'string' ? Buffer.from(text) : text;
    const { bytes, readStart, readEnd } = this.arena;
    for (let at = 0; at < from.length; at += readEnd - readStart) {
      const size = from.copy(bytes, readStart, at, Math.min(from.length, at + readEnd - readStart));
      peer.handler.onChunk(bytes, readStart, readStart + size);
    }
    this.turn.finish();
  }
}

function report(name: string, messages: number, work: () => void): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    work();
    const ns = Number(process.hrtime.bigint() - start) / messages;
    if (ns < best) best = ns;
  }
  process.stdout.write(
    `${name.padEnd(64)} ${best.toFixed(0).padStart(8)} ns  ${(1e9 / best).toFixed(0).padStart(10)}/s\n`,
  );
}

function chunk(frame: (index: number) => string): Buffer {
  return Buffer.from(Array.from({ length: FRAMES_PER_CHUNK }, (_, i) => frame(i)).join(''));
}

function topic(name: string, subscribers: number, frame: (index: number) => string, sameIds = true): void {
  const bench = new Bench();
  const peers = Array.from({ length: subscribers }, (_, i) =>
    bench.connect(`SUBSCRIBE\nid:${sameIds ? 0 : i}\ndestination:/topic/bench.0\n\n\0`),
  );
  const publisher = bench.connect();
  const frames = chunk(frame);
  report(name, FRAMES_PER_CHUNK * CHUNKS_PER_ROUND, () => {
    for (let i = 0; i < CHUNKS_PER_ROUND; i++) bench.feed(publisher, frames);
  });
  if (peers.some((peer) => peer.bytes < FRAMES_PER_CHUNK * CHUNKS_PER_ROUND * ROUNDS * 100))
    throw new Error('messages are missing');
}

const send = (headers: string): string => `SEND\ndestination:/topic/bench.0\n${headers}\n${BODY}\0`;

function queue(): void {
  const bench = new Bench();
  const consumer = bench.connect(
    'SUBSCRIBE\nid:0\ndestination:/queue/bench\nack:client-individual\nprefetch-count:1000\n\n\0',
  );
  consumer.acks = [];
  const publisher = bench.connect();
  let receipt = 0;
  report('queue 1 to 1, persistent, receipts, client-individual', FRAMES_PER_CHUNK * CHUNKS_PER_ROUND, () => {
    for (let i = 0; i < CHUNKS_PER_ROUND; i++) {
      const frames = chunk(
        () => `SEND\ndestination:/queue/bench\npersistent:true\nreceipt:${receipt++ % 100_000}\n\n${BODY}\0`,
      );
      bench.feed(publisher, frames);
      bench.feed(
        consumer,
        consumer
          .acks!.splice(0)
          .map((id) => `ACK\nid:${id}\n\n\0`)
          .join(''),
      );
    }
  });
}

export async function run(): Promise<number> {
  topic('topic 1 to 1, 100 B', 1, () => send('content-length:100\n'));
  topic('topic 1 to 1, body to NUL', 1, () => send(''));
  topic('topic 1 to 1, another receipt each', 1, (i) => send(`receipt:${i}\n`));
  topic('topic 1 to 1, 6 headers, alternating', 1, (i) =>
    send(`${i % 2 === 0 ? 'a:1\n' : ''}content-type:application/json\ntrace-id:4bf92f3577b34da6\nregion:zürich\n`),
  );
  topic('topic 1 to 50', 50, () => send('content-length:100\n'));
  topic('topic 1 to 50, all ids different', 50, () => send('content-length:100\n'), false);
  queue();
  return 0;
}
