// The STOMP adapter: recognises the protocol, makes connections, and keeps what they share: options, routes, delivery classes, the gathering of the hot path, and the clock of
// heart-beats. It knows the core and no other protocol.
import type { Authenticator } from '../../src/core/authenticator.ts';
import type { Broker } from '../../src/core/broker.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Arena } from '../../src/io/arena.ts';
import { absentMs, type Clock } from '../../src/io/clock.ts';
import type { Logger } from '../../src/io/logger.ts';
import { type Random, randomName } from '../../src/io/random.ts';
import type { Transport } from '../../src/io/transport.ts';
import type { Turn } from '../../src/io/turn.ts';
import { assert } from '../../src/lib/assert.ts';
import { Detection, type ProtocolAdapter } from '../../src/server/protocol.ts';
import type { StompDialect } from './addresses.ts';
import { Connection } from './connection.ts';
import type { FrameLimits } from './decoder.ts';
import { type DirectScratch, StompClasses } from './direct.ts';
import { COMMAND_NAMES, isClientCommand } from './frame.ts';
import type { StompOptions } from './options.ts';
import { Gathering } from './publish-path.ts';
import { RouteTables } from './routes.ts';

export interface StompParts {
  readonly broker: Broker;
  readonly arena: Arena;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly authenticator: Authenticator;
  readonly options: StompOptions;
  /** For the header `server`. */
  readonly serverVersion: string;
  /** The virtual host where clients of a listener are that name none themselves. */
  listenerVhost(listener: string): string;
  /** Destinations on a listener mean what they mean to ActiveMQ. */
  activemq(listener: string): boolean;
}

/** How destinations are read, and where they have been found to lead. */
export interface Speech {
  readonly dialect: StompDialect;
  readonly routes: RouteTables;
}

const LF = 0x0a;
const CR = 0x0d;
const NAME_LENGTH = 8;
const COMMANDS = COMMAND_NAMES.filter((_, command) => isClientCommand(command)).map((name) => Buffer.from(name));

export class StompAdapter implements ProtocolAdapter {
  readonly name = 'stomp';
  readonly subprotocols: readonly string[] = ['v12.stomp', 'v11.stomp', 'v10.stomp'];
  readonly broker: Broker;
  readonly arena: Arena;
  readonly turn: Turn;
  readonly random: Random;
  readonly logger: Logger;
  readonly authenticator: Authenticator;
  readonly options: StompOptions;
  readonly serverVersion: string;
  readonly listenerVhost: (listener: string) => string;
  /** Of frames, before and after a client has said who it is. */
  readonly limitsBefore: FrameLimits;
  readonly limits: FrameLimits;
  readonly direct: DirectScratch;
  readonly classes: StompClasses;
  readonly gathering: Gathering;
  readonly connections = new Set<Connection>();
  private readonly plain: Speech;
  private readonly likeActiveMQ: Speech;
  private readonly activemq: (listener: string) => boolean;
  /** Coarse: as of the last tick. */
  monotonicMs: number;
  closing = false;
  private readonly clock: Clock;

  constructor(parts: StompParts) {
    const { broker, arena, options } = parts;
    this.broker = broker;
    this.arena = arena;
    this.turn = parts.turn;
    this.clock = parts.clock;
    this.random = parts.random;
    this.logger = parts.logger;
    this.authenticator = parts.authenticator;
    this.options = options;
    this.serverVersion = parts.serverVersion;
    this.listenerVhost = parts.listenerVhost;
    const { levelsMax } = options;
    this.plain = { dialect: { activemq: false, levelsMax }, routes: new RouteTables(broker) };
    this.likeActiveMQ = { dialect: { activemq: true, levelsMax }, routes: new RouteTables(broker) };
    this.activemq = parts.activemq;
    const { headersMax, headerBytesMax, bodyBytesMax } = options;
    this.limits = {
      frameBytesMax: options.frameBytesMax,
      frameBytesSetting: 'stomp.frameBytesMax',
      headersMax,
      headerBytesMax,
      bodyBytesMax,
    };
    this.limitsBefore = {
      ...this.limits,
      frameBytesMax: Math.min(options.preAuthBytesMax, options.frameBytesMax),
      frameBytesSetting: 'connection.preAuthBytesMax',
    };
    // Borrowed for good: in the arena, copies from and to them cost half.
    this.direct = { name: randomName(this.random, NAME_LENGTH), nextNumber: 1, slot: arena.borrow(), open: [] };
    this.classes = new StompClasses(this.direct);
    this.gathering = new Gathering(arena.borrow());
    this.monotonicMs = parts.clock.now();
  }

  // ---- ProtocolAdapter

  /** A STOMP command on a line of its own, perhaps behind line ends; any command, so that one that comes too early is told so in STOMP. */
  detect(bytes: Uint8Array, start: number, end: number): Detection {
    let at = start;
    while (at < end && (bytes[at] === LF || bytes[at] === CR)) at++;
    if (at === end) return Detection.More;
    for (const command of COMMANDS) {
      const length = Math.min(command.length, end - at);
      let same = 0;
      while (same < length && bytes[at + same] === command[same]) same++;
      if (same < length) continue;
      const next = at + same;
      if (next === end) return Detection.More;
      // Not "CONNECT host:port HTTP/1.1".
      if (bytes[next] === LF || bytes[next] === CR) return Detection.Yes;
    }
    return Detection.No;
  }

  accept(transport: Transport, _subprotocol: string): void {
    const connection = new Connection(this, transport);
    this.connections.add(connection);
    this.broker.counters.connectionsOpened++;
    transport.handler = connection;
  }

  close(): void {
    this.closing = true;
    for (const connection of [...this.connections]) connection.fail(this.shuttingDown(), null);
  }

  shuttingDown(): BrokerError {
    return new BrokerError('shutting-down', 'the server is shutting down');
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  /** How destinations are read on a listener. */
  speechOf(listener: string): Speech {
    return this.activemq(listener) ? this.likeActiveMQ : this.plain;
  }

  forget(connection: Connection): void {
    if (this.connections.delete(connection)) this.broker.counters.connectionsClosed++;
  }

  // ---- time

  /** Called a few times a second. */
  tick(): void {
    const nowMs = this.clock.now();
    const absent = absentMs(this.monotonicMs, nowMs);
    this.monotonicMs = nowMs;
    for (const connection of this.connections) {
      connection.lastReceivedMs += absent;
      connection.tick(nowMs);
    }
  }

  /** After Broker.recover: nothing of STOMP outlives a connection but queues, which are the core's. */
  recover(): void {
    this.monotonicMs = this.clock.now();
    assert(this.connections.size === 0, 'Recovery comes before the first connection.');
  }

  /** task runs after this turn, so that others come first. */
  nextTurn(task: () => void): void {
    this.clock.endOfTurn(task);
  }
}
