// HTTP among the protocols of a listener: takes a stream that begins with an HTTP request, gives it to Node's HTTP parser, answers plain requests with
// pages and hands upgrades on. One request per connection: a browser that loads the page needs three, and a connection nobody uses has no time limit to
// be held to. Relies on the handshake's time limit until the answer has left or the WebSocket's session is established.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { nothing, SocketTransport } from '../io/socket-transport.ts';
import type { Peer, Transport } from '../io/transport.ts';
import type { Gate } from './gate.ts';
import { Handshake, Phase } from './handshake.ts';
import { answerBytes, type HttpAnswer, type HttpHandler, plainAnswer } from './pages.ts';
import { Detection, type ProtocolAdapter } from './protocol.ts';

/** Request line and headers together. */
const HEADER_BYTES_MAX = 16 * 1024;

const METHODS = ['GET ', 'HEAD ', 'POST ', 'PUT ', 'DELETE ', 'OPTIONS ', 'PATCH '].map((text) => Buffer.from(text));

/** Where a request came in, and what holds its stream to its time. */
export interface Arrival {
  readonly listener: string;
  readonly peer: Peer;
  readonly handshake: Handshake;
  /** Of the stream, -1 when it must not be written to past the stream. */
  readonly descriptor: number;
}

/** Takes WebSocket upgrades. Answers the request in any case. */
export interface UpgradeTarget {
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer, arrival: Arrival): void;
}

export interface HttpParts {
  readonly gate: Gate;
  readonly handler: HttpHandler;
  readonly upgrades: UpgradeTarget;
}

export class HttpAdapter implements ProtocolAdapter {
  readonly name = 'http';
  readonly subprotocols: readonly string[] = [];
  private readonly gate: Gate;
  private readonly handler: HttpHandler;
  private readonly upgrades: UpgradeTarget;
  private readonly server: Server;
  private readonly arrivals = new WeakMap<Socket, Arrival>();
  private readonly sockets = new Set<Socket>();

  constructor(parts: HttpParts) {
    this.gate = parts.gate;
    this.handler = parts.handler;
    this.upgrades = parts.upgrades;
    this.server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) =>
      this.onRequest(request, response),
    );
    // Never listens: it is given its sockets, which come under the time limit of their handshake.
    this.server.timeout = 0;
    this.server.on('upgrade', (request, socket, head) => this.onUpgrade(request, socket as Socket, head));
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      this.onClientError(error, socket as Socket),
    );
  }

  detect(bytes: Uint8Array, start: number, end: number): Detection {
    for (const method of METHODS) {
      const length = Math.min(method.length, end - start);
      let same = 0;
      while (same < length && bytes[start + same] === method[same]) same++;
      if (same === method.length) return Detection.Yes;
      if (same === end - start) return Detection.More;
    }
    return Detection.No;
  }

  accept(transport: Transport): void {
    // Only a socket can be given to Node; what comes out of a WebSocket is not HTTP again.
    if (!(transport instanceof SocketTransport)) {
      transport.destroy();
      return;
    }
    transport.handler = {
      onChunk: (bytes, start, end) => this.take(transport, bytes, start, end),
      onDrain: nothing,
      onClosed: nothing,
    };
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private take(transport: SocketTransport, bytes: Uint8Array, start: number, end: number): void {
    const { listener, peer, guard, descriptor } = transport;
    const socket = transport.release(bytes, start, end);
    const close = (): void => void socket.destroy();
    const handshake = guard instanceof Handshake ? guard : this.gate.handshake(listener, peer, close);
    handshake.closeBy(close);
    handshake.enter(Phase.NoRequest);
    this.arrivals.set(socket, { listener, peer, handshake, descriptor });
    this.sockets.add(socket);
    // Node's HTTP takes its own error handler away at an upgrade.
    socket.on('error', nothing);
    socket.once('close', () => {
      this.sockets.delete(socket);
      handshake.end();
    });
    this.server.emit('connection', socket);
  }

  private onRequest(request: IncomingMessage, response: ServerResponse): void {
    this.arrivals.get(request.socket)?.handshake.enter(Phase.AnswerNotRead);
    const { status, headers, body } = this.handler(request.method ?? '', request.url ?? '');
    response.shouldKeepAlive = false;
    response.writeHead(status, headers);
    response.end(body);
  }

  private onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const arrival = this.arrivals.get(socket);
    if (arrival === undefined) {
      socket.destroy();
      return;
    }
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      // An offer (HTTP/2, say) that may be ignored. RFC 9110 section 7.8.
      arrival.handshake.enter(Phase.AnswerNotRead);
      endWith(socket, this.handler(request.method ?? '', request.url ?? ''));
      return;
    }
    // From here on whoever takes it closes it.
    this.sockets.delete(socket);
    this.upgrades.upgrade(request, socket, head, arrival);
  }

  private onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const arrival = this.arrivals.get(socket);
    if (arrival === undefined || !socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const message = tooLarge ? `its headers are over ${HEADER_BYTES_MAX} bytes` : `not HTTP: ${error.message}`;
    this.gate.refused(arrival.listener, arrival.peer, error.code ?? 'http', `HTTP request refused: ${message}`);
    arrival.handshake.enter(Phase.AnswerNotRead);
    endWith(socket, plainAnswer(tooLarge ? 431 : 400, `This request cannot be answered: ${message}.`));
  }
}

/** Writes an answer to a bare stream and closes it once its peer has closed too; until then the handshake's time limit holds. */
export function endWith(socket: Socket, answer: HttpAnswer): void {
  socket.end(answerBytes(answer));
  // Closing with bytes unread would make the system take the answer back.
  socket.resume();
}
