// TLS on the accepted sockets of a listener: makes of each a stream of what is inside, once its peer has gone through the handshake. Owns no socket and no port, and
// reads no file: whoever accepts gives sockets in, whoever keeps the certificate brings a new one.
//
// Sockets are given to a tls.Server that never listens, which Node documents for any stream of bytes; so they can be counted and refused before anything costs.
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';

/** Who this end is, and whom it believes. PEM, as it was read. */
export interface TlsIdentity {
  /** Its certificate, and those between it and its authority. */
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Of clients: they must present a certificate of one of these. null: none is asked for. */
  readonly clientAuthorities: Buffer | null;
}

export interface TlsRules {
  /** Older ones (RFC 8996 forbids them) cannot be had. */
  readonly versionMin: 'TLSv1.2' | 'TLSv1.3';
  readonly handshakeTimeoutMs: number;
}

export interface TlsOwner {
  onSecure(socket: TLSSocket): void;
  /** The handshake came to nothing; the socket is closed. */
  onRefused(why: TlsRefusal, socket: TLSSocket): void;
}

/** Why a handshake came to nothing. */
export interface TlsRefusal {
  readonly code: 'handshake-timeout' | 'tls-expected' | 'tls-certificate-refused' | 'tls-handshake-failed';
  /** For the operator, as the end of "connection closed: …". */
  readonly message: string;
}

export class TlsTerminator {
  private readonly server: Server;
  private readonly rules: TlsRules;
  /** Sockets in their handshake, by their peer: Node does not say which of them a secure one has come of. */
  private readonly underWay = new Map<string, Socket>();
  private closed = false;

  /** Throws what Node says of an identity that cannot be used. */
  constructor(identity: TlsIdentity, rules: TlsRules, owner: TlsOwner) {
    this.rules = rules;
    this.server = createServer({
      ...contextOf(identity, rules),
      requestCert: identity.clientAuthorities !== null,
      rejectUnauthorized: true,
      handshakeTimeout: rules.handshakeTimeoutMs,
    });
    this.server.on('secureConnection', (socket) => {
      this.underWay.delete(endsOf(socket));
      // From here on its transport decides when this side closes.
      socket.allowHalfOpen = true;
      owner.onSecure(socket);
    });
    this.server.on('tlsClientError', (error, socket) => {
      if (!this.closed) owner.onRefused(refusalOf(error, socket, rules.handshakeTimeoutMs), socket);
      socket.destroy();
    });
  }

  /** A new socket, of which nothing has been read. */
  take(socket: Socket): void {
    // Who hangs up in the handshake is gone, and does not keep its place until the time is over.
    socket.allowHalfOpen = false;
    const ends = endsOf(socket);
    this.underWay.set(ends, socket);
    socket.once('close', () => this.underWay.delete(ends));
    this.server.emit('connection', socket);
  }

  /** From the next handshake on. What clients have to present may change with it, not whether. Throws as the constructor does; the identity is then the one before. */
  renew(identity: TlsIdentity): void {
    this.server.setSecureContext(contextOf(identity, this.rules));
  }

  /** Cuts the handshakes under way, in silence. What is secure belongs to whoever took it. */
  close(): void {
    this.closed = true;
    for (const socket of this.underWay.values()) socket.destroy();
    this.underWay.clear();
  }
}

/** The two ends of a connection, which tell it from every other open one. */
function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress}:${localPort} ${remoteAddress}:${remotePort}`;
}

function contextOf({ certificate, key, clientAuthorities }: TlsIdentity, { versionMin }: TlsRules) {
  return {
    cert: certificate,
    key,
    ...(clientAuthorities === null ? {} : { ca: clientAuthorities }),
    minVersion: versionMin,
    // A peer could make us compute for ever (TLS 1.2 only; 1.3 has no such thing).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}

/** What OpenSSL says of first bytes that are no handshake. */
const NO_TLS = [
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_HTTPS_PROXY_REQUEST',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
];

function refusalOf(error: NodeJS.ErrnoException, socket: TLSSocket, timeoutMs: number): TlsRefusal {
  const { code = '' } = error;
  // As OpenSSL has it: "no shared cipher", "tlsv1 alert unknown ca".
  const { reason } = error as { reason?: string };
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') {
    return { code: 'handshake-timeout', message: `the TLS handshake was not complete within ${timeoutMs} ms` };
  }
  if (NO_TLS.includes(code))
    return { code: 'tls-expected', message: 'the peer does not speak TLS, this listener does' };
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
    return { code: 'tls-certificate-refused', message: 'the peer has presented no certificate' };
  }
  // Of a certificate that was presented and is not believed; it is there only then. The types say Error, Node a code such as CERT_HAS_EXPIRED.
  const unbelieved = socket.authorizationError as Error | string | null | undefined;
  if (unbelieved !== null && unbelieved !== undefined) {
    return {
      code: 'tls-certificate-refused',
      message: `the peer's certificate is not accepted: ${String(unbelieved)}`,
    };
  }
  if (code === 'ECONNRESET') {
    const message = "the peer hung up in the TLS handshake; it may not accept this listener's certificate";
    return { code: 'tls-handshake-failed', message };
  }
  if (reason !== undefined && /alert .*(unknown ca|certificate)/.test(reason)) {
    return { code: 'tls-handshake-failed', message: `the peer does not accept this listener's certificate: ${reason}` };
  }
  return { code: 'tls-handshake-failed', message: `the TLS handshake failed: ${reason ?? error.message}` };
}
