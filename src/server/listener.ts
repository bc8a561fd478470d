// One configured listener: a TCP port whose connections go through the gate, which finds out what each of them speaks; those of a listener with TLS through the handshake first.
import type { TLSSocket } from 'node:tls';
import type { Logger } from '../io/logger.ts';
import { peerOf, SocketTransport, type TransportEnvironment } from '../io/socket-transport.ts';
import { type ConnectionCount, type SocketMode, TcpListener } from '../io/tcp.ts';
import { type TlsOwner, type TlsRefusal, type TlsRules, TlsTerminator } from '../io/tls.ts';
import type { Certificate } from './certificate.ts';
import type { Gate } from './gate.ts';

export interface ListenerSpec {
  readonly name: string;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Names of the adapters that may be spoken here. */
  readonly accept: readonly string[];
  /** What is spoken here is spoken inside of TLS. */
  readonly secure: boolean;
}

/** What a listener with TLS needs. */
export interface TlsParts {
  readonly certificate: Certificate;
  readonly rules: TlsRules;
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
  /** Of a listener that is secure. */
  readonly tls?: TlsParts;
}

export class Listener implements StreamListener, TlsOwner {
  readonly name: string;
  private readonly accept: readonly string[];
  private readonly environment: TransportEnvironment;
  private readonly gate: Gate;
  private readonly tcp: TcpListener;
  private readonly tls: TlsParts | null;
  private readonly terminator: TlsTerminator | null;

  constructor(parts: ListenerParts, spec: ListenerSpec) {
    const { environment, gate, socketMode, tls } = parts;
    const { name, host, port, accept } = spec;
    this.name = name;
    this.accept = accept;
    this.environment = environment;
    this.gate = gate;
    this.tls = tls ?? null;
    const options = socketMode === undefined ? { name, host, port } : { name, host, port, socketMode };
    this.terminator = tls === undefined ? null : new TlsTerminator(tls.certificate.identity, tls.rules, this);
    this.tcp = new TcpListener(
      environment,
      options,
      parts.connections,
      parts.logger,
      (transport) => gate.receive(transport, accept),
      this.terminator,
    );
  }

  onSecure(socket: TLSSocket): void {
    this.gate.receive(new SocketTransport(this.environment, socket, 'tls', this.name, false), this.accept);
  }

  onRefused({ code, message }: TlsRefusal, socket: TLSSocket): void {
    const peer = peerOf(socket.remoteAddress, socket.remotePort);
    this.gate.refused(this.name, peer, code, `connection closed: ${message}`, this.settingBehind(code));
  }

  /** For the log: what the operator may want to look at. */
  private settingBehind(code: TlsRefusal['code']): { setting?: string } {
    if (code === 'handshake-timeout') return { setting: 'connection.handshakeTimeoutMs' };
    if (code === 'tls-certificate-refused') return { setting: `listeners.${this.name}.tls.clientCa` };
    return {};
  }

  async listen(): Promise<{ host: string; port: number }> {
    const address = await this.tcp.listen();
    this.tls?.certificate.watch((identity) => this.terminator?.renew(identity));
    return address;
  }

  close(): Promise<void> {
    this.tls?.certificate.close();
    this.terminator?.close();
    return this.tcp.close();
  }
}
