// A whole broker in one object: real core, real adapters, memory storage; clock, network and randomness are ours. Clients are byte pipes: what they send is cut as the test likes,
// and scribbled over after each call, so that whoever keeps borrowed bytes is found out.
import { MqttAdapter } from '../../protocols/mqtt/index.ts';
import type { MqttOptions } from '../../protocols/mqtt/options.ts';
import { MQTT_CODEC } from '../../protocols/mqtt/publish-form.ts';
import type { Authenticator } from '../../src/core/authenticator.ts';
import { ALLOW_ALL, type Authorizer } from '../../src/core/authorizer.ts';
import { Broker } from '../../src/core/broker.ts';
import type { BrokerLimits } from '../../src/core/broker-limits.ts';
import type { Codec } from '../../src/core/run.ts';
import { Arena } from '../../src/io/arena.ts';
import type { Clock, Timer, TimerTarget } from '../../src/io/clock.ts';
import { KeptLogger } from '../../src/io/logger.ts';
import { Output, type OutputSink, type Piece } from '../../src/io/output.ts';
import type { Random } from '../../src/io/random.ts';
import type { Peer, Transport, TransportHandler } from '../../src/io/transport.ts';
import { Turn } from '../../src/io/turn.ts';
import type { ProtocolAdapter } from '../../src/server/protocol.ts';
import { type RunningAdapter, Server } from '../../src/server/server.ts';
import { Durability } from '../../src/storage/commit-log.ts';
import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import type { Storage } from '../../src/storage/storage.ts';

/** Time that stands still until it is told to move. Ends of turns run when asked to. */
export class WorldClock implements Clock {
  private monotonicMs = 1000;
  private epochMs = Date.UTC(2026, 0, 1);
  private timers: { dueMs: number; target: TimerTarget }[] = [];
  private tasks: (() => void)[] = [];

  now(): number {
    return this.monotonicMs;
  }

  realtime(): number {
    return this.epochMs;
  }

  timer(delayMs: number, target: TimerTarget): Timer {
    const entry = { dueMs: this.monotonicMs + delayMs, target };
    this.timers.push(entry);
    return {
      refresh: () => {
        entry.dueMs = this.monotonicMs + delayMs;
      },
      cancel: () => {
        this.timers = this.timers.filter((timer) => timer !== entry);
      },
    };
  }

  endOfTurn(task: () => void): void {
    this.tasks.push(task);
  }

  /** Ends turns until nothing is left to do. */
  settle(): void {
    for (let turns = 0; this.tasks.length > 0; turns++) {
      if (turns > 100_000) throw new Error('the turns do not come to an end');
      for (const task of this.tasks.splice(0)) task();
    }
  }

  /** Moves time on in small steps; timers fire in their order. */
  advance(ms: number): void {
    const endMs = this.monotonicMs + ms;
    this.settle();
    for (;;) {
      const next = this.timers.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.step(Math.max(0, next.dueMs - this.monotonicMs));
      next.target.onTimer();
      this.settle();
    }
    this.step(endMs - this.monotonicMs);
  }

  private step(ms: number): void {
    this.monotonicMs += ms;
    this.epochMs += ms;
  }
}

/** xorshift32: small, seeded, good enough for tests. */
export class SeededRandom implements Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  uint32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** 0 … n - 1 */
  below(n: number): number {
    return this.uint32() % n;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.uint32();
    return bytes;
  }
}

const NOBODY: TransportHandler = {
  onChunk: () => undefined,
  onDrain: () => undefined,
  onClosed: () => undefined,
};

/** One client's pipe. The test's side: send, take, hangUp; the broker's side: Transport. */
export class Pipe implements Transport, OutputSink {
  readonly kind = 'memory';
  readonly listener = 'test';
  readonly peer: Peer;
  readonly output: Output;
  handler: TransportHandler = NOBODY;
  /** The broker has let the client in. */
  isEstablished = false;
  /** The broker has ended the stream. */
  ended = false;
  /** How often it is paused. */
  paused = 0;
  /** The client does not read: pieces stay where they are. */
  stalled = false;
  private readonly received: Uint8Array[] = [];
  private readonly stuck: Piece[] = [];
  /** Bytes of the first of them that have been taken. */
  private stuckAt = 0;
  private closed = false;

  constructor(arena: Arena, turn: Turn, peer: Peer, congestedBytes: number) {
    this.peer = peer;
    this.output = new Output(arena, turn, this, congestedBytes);
    this.output.setDrainTarget(this);
  }

  onDrain(): void {
    this.handler.onDrain();
  }

  established(): void {
    this.isEstablished = true;
  }

  pause(): void {
    this.paused++;
  }

  resume(): void {
    this.paused--;
  }

  end(): void {
    if (this.ended) return;
    this.output.flush();
    this.ended = true;
    this.hangUp();
  }

  destroy(): void {
    this.output.discard();
    this.ended = true;
    this.hangUp();
  }

  send(pieces: readonly Piece[]): void;
  /** Client: sends bytes, cut into chunks of at most chunkBytes. */
  send(bytes: Uint8Array, chunkBytes?: number): void;
  send(what: readonly Piece[] | Uint8Array, chunkBytes = Number.POSITIVE_INFINITY): void {
    if (what instanceof Uint8Array) this.feed(what, chunkBytes);
    else for (const piece of what) this.take1(piece);
  }

  private feed(bytes: Uint8Array, chunkBytes: number): void {
    for (let at = 0; at < bytes.length && !this.closed; at += chunkBytes) {
      const chunk = new Uint8Array(bytes.subarray(at, Math.min(bytes.length, at + chunkBytes)));
      this.handler.onChunk(chunk, 0, chunk.length);
      chunk.fill(0xdb);
      if (chunkBytes === Number.POSITIVE_INFINITY) break;
    }
  }

  private take1(piece: Piece): void {
    if (this.stalled) {
      this.stuck.push(piece);
      return;
    }
    this.received.push(new Uint8Array(piece.bytes));
    this.output.sent(piece);
  }

  /** Client: reads on after it had stalled. */
  readOn(): void {
    this.readSome(Number.POSITIVE_INFINITY);
    this.stalled = false;
  }

  /** Client: takes so many bytes of what waits, while it is stalled. */
  readSome(byteCount: number): void {
    let left = byteCount;
    while (left > 0 && this.stuck.length > 0) {
      const piece = this.stuck[0]!;
      const end = Math.min(piece.bytes.length, this.stuckAt + left);
      this.received.push(new Uint8Array(piece.bytes.subarray(this.stuckAt, end)));
      left -= end - this.stuckAt;
      this.stuckAt = end;
      if (end < piece.bytes.length) return;
      this.stuckAt = 0;
      this.stuck.shift();
      this.output.sent(piece);
    }
  }

  /** Client: everything received since the last call. */
  taken(): Buffer {
    return Buffer.concat(this.received.splice(0));
  }

  /** Client: the connection is gone without a word. */
  hangUp(): void {
    if (this.closed) return;
    this.closed = true;
    this.handler.onClosed(null);
    this.output.discard();
  }

  get isClosed(): boolean {
    return this.closed;
  }
}

export const MQTT_DEFAULTS: MqttOptions = {
  keepAliveMaxS: 65_535,
  receiveMaximum: 1024,
  inflightMax: 1024,
  topicAliasMaximum: 32,
  maximumPacketSize: 16 * 1024 * 1024,
  sessionExpiryMaxS: 0xffff_ffff,
  maximumQos: 2,
  retainAvailable: true,
  wildcardSubscriptions: true,
  sharedSubscriptions: true,
  subscriptionIdentifiers: true,
  validatePayloadFormat: false,
  overlappingSubscriptions: 'once',
  serverReference: '',
  serverMoved: false,
  levelsMax: 128,
  subscriptionsMax: 10_000,
  preAuthBytesMax: 65_536,
};

export interface WorldOptions {
  readonly mqtt?: Partial<MqttOptions>;
  readonly limits?: Partial<BrokerLimits>;
  readonly authenticator?: Authenticator;
  readonly authorizer?: Authorizer;
  readonly storage?: Storage;
  readonly durability?: Durability;
  readonly seed?: number;
  readonly congestedBytes?: number;
  /** Slots of its arena. */
  readonly slotCount?: number;
  /** More adapters, made with the world's parts. */
  readonly adapters?: readonly ((world: World) => RunningAdapter)[];
  readonly codecs?: readonly Codec[];
  /** Told that the log has failed, instead of the error being thrown. */
  readonly onFailed?: (error: Error) => void;
}

const LOOPBACK: Peer = { address: '127.0.0.1', port: 40_000, loopback: true };

export class World {
  readonly clock = new WorldClock();
  readonly random: SeededRandom;
  readonly arena: Arena;
  readonly turn: Turn;
  readonly logger = new KeptLogger();
  readonly broker: Broker;
  readonly mqttAdapter: MqttAdapter;
  readonly adapters: readonly RunningAdapter[];
  readonly server: Server;
  readonly authenticator: Authenticator;
  private readonly congestedBytes: number;

  constructor(options: WorldOptions = {}) {
    this.random = new SeededRandom(options.seed ?? 1);
    this.arena = new Arena(options.slotCount ?? 64);
    this.turn = new Turn(this.clock);
    this.congestedBytes = options.congestedBytes ?? 256 * 1024;
    const storage = options.storage ?? new MemoryStorage();
    const principal = { name: 'anonymous', policy: null };
    this.authenticator = options.authenticator ?? { authenticate: () => ({ ok: true, principal }) };
    this.broker = new Broker({
      storage,
      durability: options.durability ?? Durability.Memory,
      authorizer: options.authorizer ?? ALLOW_ALL,
      limits: {
        queuesMax: 100_000,
        retained: { countMax: 1_000_000, bytesMax: 256 * 1024 * 1024 },
        sessionQueue: { lengthMax: 1_000_000, bytesMax: 64 * 1024 * 1024 },
        logPendingBytesMax: 32 * 1024 * 1024,
        ...options.limits,
      },
      principal: (name) => ({ name, policy: null }),
    });
    this.broker.setTime(this.clock.realtime());
    const { broker, arena, turn, clock, random, logger, authenticator } = this;
    this.mqttAdapter = new MqttAdapter({
      broker,
      arena,
      turn,
      clock,
      random,
      logger,
      authenticator,
      listenerVhost: () => '/',
      options: { ...MQTT_DEFAULTS, ...options.mqtt },
    });
    this.adapters = [this.mqttAdapter, ...(options.adapters ?? []).map((make) => make(this))];
    const codecs = new Map([MQTT_CODEC, ...(options.codecs ?? [])].map((codec) => [codec.id, codec]));
    this.server = new Server({
      broker,
      storage,
      adapters: this.adapters,
      codecs,
      arena,
      turn,
      clock,
      logger,
      memoryBytesMax: Number.POSITIVE_INFINITY,
      memoryBytes: () => 0,
      ...(options.onFailed === undefined ? {} : { onFailed: options.onFailed }),
    });
  }

  /** Opens the server: needed where storage or timers matter. */
  async open(): Promise<this> {
    await this.server.open();
    return this;
  }

  /** A new connection to an adapter. */
  connect(adapter: ProtocolAdapter = this.mqttAdapter, peer: Peer = LOOPBACK, subprotocol = ''): Pipe {
    const pipe = new Pipe(this.arena, this.turn, peer, this.congestedBytes);
    adapter.accept(pipe, subprotocol);
    return pipe;
  }

  /** Ends the turn: answers leave. */
  settle(): void {
    this.clock.settle();
  }

  advance(ms: number): void {
    this.clock.advance(ms);
  }
}
