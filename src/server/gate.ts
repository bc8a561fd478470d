// Where new streams come in, whatever carries them: finds the adapter each one belongs to and holds it to the time limit for its handshake.
// Knows adapters by their interface only, never what they do with a stream.
import type { Clock } from '../io/clock.ts';
import { LimitedLog } from '../io/limited-log.ts';
import type { Logger } from '../io/logger.ts';
import { hostPort } from '../io/tcp.ts';
import type { HandshakeGuard, Peer, Transport } from '../io/transport.ts';
import { Detector } from './detect.ts';
import { Handshake, type HandshakeRules, Phase } from './handshake.ts';
import type { ProtocolAdapter } from './protocol.ts';

/** A transport that ends its guard when it is established or gone. */
export interface GuardedTransport extends Transport {
  guard: HandshakeGuard | null;
}

export interface GateParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly handshakeTimeoutMs: number;
}

export class Gate {
  private readonly adapters: ProtocolAdapter[] = [];
  private readonly log: LimitedLog;
  private readonly rules: HandshakeRules;
  /** Streams that belong to no adapter yet. */
  private readonly unassigned = new Set<GuardedTransport>();
  private closed = false;

  constructor(parts: GateParts) {
    this.log = new LimitedLog(parts.clock, parts.logger);
    this.rules = { clock: parts.clock, log: this.log, timeoutMs: parts.handshakeTimeoutMs };
  }

  /** Adapters are asked in the order in which they were added. */
  add(adapter: ProtocolAdapter): void {
    this.adapters.push(adapter);
  }

  get names(): string[] {
    return this.adapters.map((adapter) => adapter.name);
  }

  /** The adapter of that name, or null. */
  adapter(name: string): ProtocolAdapter | null {
    return this.adapters.find((adapter) => adapter.name === name) ?? null;
  }

  /** The adapter a WebSocket subprotocol means, or null. */
  adapterOfSubprotocol(subprotocol: string): ProtocolAdapter | null {
    return this.adapters.find((adapter) => adapter.subprotocols.includes(subprotocol)) ?? null;
  }

  /** The subprotocols of all adapters. */
  get subprotocols(): string[] {
    return this.adapters.flatMap((adapter) => adapter.subprotocols);
  }

  /** Starts the time limit of a stream that has no transport yet. */
  handshake(listener: string, peer: Peer, close: () => void): Handshake {
    return new Handshake(this.rules, listener, peer, close);
  }

  /**
   * A new stream: which of the protocols named in `accepted` does it speak? `admit` is asked before an adapter gets it, and has closed the stream when it
   * says no. `handshake` is what the stream has been held to so far.
   */
  receive(
    transport: GuardedTransport,
    accepted: readonly string[],
    handshake: Handshake | null = null,
    admit: ((adapter: ProtocolAdapter) => boolean) | null = null,
  ): void {
    if (this.closed) {
      transport.destroy();
      handshake?.end();
      return;
    }
    const guard = this.guard(transport, handshake);
    this.unassigned.add(transport);
    transport.handler = new Detector(transport, this.adapters, accepted, {
      onFirstBytes: () => guard.enter(Phase.NotRecognised),
      onDetected: (adapter) => {
        this.unassigned.delete(transport);
        if (admit !== null && !admit(adapter)) return false;
        guard.enter(Phase.NoSession);
        guard.protocol = adapter.name;
        adapter.accept(transport, '');
        return true;
      },
      onUnrecognised: ({ code, message }) => {
        this.unassigned.delete(transport);
        this.refused(transport.listener, transport.peer, code, `connection closed: ${message}`);
        transport.destroy();
      },
      onClosed: () => {
        this.unassigned.delete(transport);
        guard.end();
      },
    });
  }

  /** Closes every stream that belongs to no adapter, also those still to come. What belongs to one is closed by it. */
  close(): void {
    this.closed = true;
    for (const transport of this.unassigned) transport.destroy();
    this.unassigned.clear();
  }

  /** A new stream that is known to speak the protocol of `adapter`. */
  assign(
    transport: GuardedTransport,
    adapter: ProtocolAdapter,
    subprotocol: string,
    handshake: Handshake | null = null,
  ): void {
    const guard = this.guard(transport, handshake);
    guard.enter(Phase.NoSession);
    guard.protocol = adapter.name;
    adapter.accept(transport, subprotocol);
  }

  /** Logs why a peer was turned away. */
  refused(
    listener: string,
    peer: Peer,
    code: string,
    message: string,
    more: Readonly<Record<string, unknown>> = {},
  ): void {
    this.log.warn({ listener, peer: hostPort(peer.address, peer.port), code, ...more }, message);
  }

  private guard(transport: GuardedTransport, handshake: Handshake | null): Handshake {
    const close = (): void => transport.destroy();
    const guard = handshake ?? this.handshake(transport.listener, transport.peer, close);
    guard.closeBy(close);
    transport.guard = guard;
    return guard;
  }
}
