// A Transport over a WebSocket of the package `ws`. Relies on permessage-deflate being off: then `ws` writes what it is given to the socket within the
// call, uncopied, and the socket's own count tells what has left.
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Piece } from '../../src/io/output.ts';
import { PiecesInFlight } from '../../src/io/pieces-in-flight.ts';
import { READ_BYTES_PER_TURN, type TransportEnvironment } from '../../src/io/socket-transport.ts';
import type { Peer } from '../../src/io/transport.ts';
import { type CloseCode, type Refusal, WebSocketTransport } from './transport.ts';

/** readyState of a WebSocket. */
const OPEN = 1;
const CLOSING = 2;
/** Node reads this much at a time; a shorter read means that the socket is empty. */
const STREAM_READ_BYTES = 64 * 1024;

const BINARY = { binary: true, compress: false, fin: true };
const BINARY_MORE = { binary: true, compress: false, fin: false };
const TEXT = { binary: false, compress: false, fin: true };
const TEXT_MORE = { binary: false, compress: false, fin: false };

export class WsTransport extends WebSocketTransport {
  private readonly webSocket: WebSocket;
  private readonly socket: Socket;
  private readonly inFlight: PiecesInFlight;
  private readonly preAuthBytesMax: number;
  private strangerBytes = 0;
  private readBytesInRow = 0;
  private yielding = false;

  constructor(
    environment: TransportEnvironment,
    webSocket: WebSocket,
    socket: Socket,
    listener: string,
    peer: Peer,
    preAuthBytesMax: number,
    refused: Refusal,
  ) {
    super(environment, listener, peer, refused);
    this.webSocket = webSocket;
    this.socket = socket;
    this.preAuthBytesMax = preAuthBytesMax;
    this.inFlight = new PiecesInFlight(this.output);
    webSocket.on('message', (data, isBinary) => this.onMessage(data as Buffer, !isBinary));
    webSocket.on('error', (error) => this.onError(error));
    webSocket.on('close', () => this.onGone());
    // Behind the listener of `ws` itself: what this chunk led to has happened.
    socket.on('data', (chunk: Buffer) => this.onRaw(chunk.length));
  }

  send(pieces: readonly Piece[]): void {
    const { webSocket, socket, inFlight } = this;
    for (let i = 0; i < pieces.length; i++) inFlight.add(pieces[i]!);
    if (this.ended || webSocket.readyState !== OPEN) {
      inFlight.releaseAll();
      return;
    }
    const text = this.leavesAsText(pieces);
    const last = pieces.length - 1;
    if (last === 0) webSocket.send(pieces[0]!.bytes, text ? TEXT : BINARY, inFlight.onWritten);
    else {
      socket.cork();
      for (let i = 0; i < last; i++) {
        webSocket.send(pieces[i]!.bytes, text ? TEXT_MORE : BINARY_MORE, inFlight.onWritten);
      }
      webSocket.send(pieces[last]!.bytes, text ? TEXT : BINARY, inFlight.onWritten);
      socket.uncork();
    }
    if (socket.writableLength === 0) inFlight.releaseAll();
  }

  protected startReading(): void {
    this.webSocket.resume();
  }

  protected stopReading(): void {
    this.webSocket.pause();
  }

  protected closeWith(code: CloseCode, reason: string): void {
    this.webSocket.close(code, reason);
  }

  protected terminate(): void {
    this.webSocket.terminate();
  }

  protected releaseUnsent(): void {
    this.inFlight.releaseAll();
  }

  protected override get readingWanted(): boolean {
    return super.readingWanted && (this.ended || !this.yielding);
  }

  private onError(error: NodeJS.ErrnoException): void {
    this.error ??= error;
    if (error.code?.startsWith('WS_ERR_') !== true) return;
    // Bad frames, a message that is too large: `ws` has sent the close code there is for it.
    this.refused(error.code, `connection closed: ${error.message}`);
    this.end();
  }

  private onRaw(byteCount: number): void {
    if (this.webSocket.readyState >= CLOSING) {
      this.onPeerClosing();
      return;
    }
    if (!this.isEstablished) this.countStranger(byteCount);
    if (byteCount < STREAM_READ_BYTES) {
      this.readBytesInRow = 0;
      return;
    }
    this.readBytesInRow += byteCount;
    if (this.readBytesInRow < READ_BYTES_PER_TURN || this.yielding) return;
    this.readBytesInRow = 0;
    this.yielding = true;
    this.updateReading();
    this.environment.clock.endOfTurn(() => {
      this.yielding = false;
      this.updateReading();
    });
  }

  /** A message is shown to nobody before it is complete, so this is where a stranger's is bounded. */
  private countStranger(byteCount: number): void {
    this.strangerBytes += byteCount;
    if (this.strangerBytes > this.preAuthBytesMax) this.failStranger(this.preAuthBytesMax);
  }
}
