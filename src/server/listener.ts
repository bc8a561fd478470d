// One configured listener: a TCP port whose connections go through the gate, which finds out what each of them speaks.
import type { Logger } from '../io/logger.ts';
import type { TransportEnvironment } from '../io/socket-transport.ts';
import { type ConnectionCount, type SocketMode, TcpListener } from '../io/tcp.ts';
import type { Gate } from './gate.ts';

export interface ListenerSpec {
  readonly name: string;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Names of the adapters that may be spoken here. */
  readonly accept: readonly string[];
}

/** What a server opens and closes, whoever owns the sockets behind it. */
export interface StreamListener {
  readonly name: string;
  /** Resolves to the real address; rejects with a ListenError. */
  listen(): Promise<{ host: string; port: number }>;
  /** Stops accepting. Open streams live on. */
  close(): Promise<void>;
}

export interface ListenerParts {
  readonly environment: TransportEnvironment;
  readonly connections: ConnectionCount;
  readonly gate: Gate;
  readonly logger: Logger;
  /** See TcpListenerOptions. */
  readonly socketMode?: SocketMode;
}

export class Listener implements StreamListener {
  readonly name: string;
  private readonly tcp: TcpListener;

  constructor(parts: ListenerParts, spec: ListenerSpec) {
    const { gate, socketMode } = parts;
    const { name, host, port, accept } = spec;
    this.name = name;
    const options = socketMode === undefined ? { name, host, port } : { name, host, port, socketMode };
    this.tcp = new TcpListener(parts.environment, options, parts.connections, parts.logger, (transport) =>
      gate.receive(transport, accept),
    );
  }

  listen(): Promise<{ host: string; port: number }> {
    return this.tcp.listen();
  }

  close(): Promise<void> {
    return this.tcp.close();
  }
}
