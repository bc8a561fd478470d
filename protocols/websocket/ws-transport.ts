// A Transport over a WebSocket of the package `ws`, which reads, and sends all frames that are not messages. What a turn has to say leaves as one frame: its few bytes of header are made
// here, and go with the pieces in one system call, straight to the descriptor where there is nothing before them; the way through the package takes longer than all else that a small message
// costs. Relies on permessage-deflate being off: then `ws` writes its own frames to the socket within the call, so they stand in front of these or behind them, never within.
//
//   0        1                      0                 65,536 and more
//   ├ FIN+op ┼ length < 126 ┤       ├ FIN+op ┼ 126 ┼ length 2 bytes ┤       ├ FIN+op ┼ 127 ┼ length 8 bytes ┤        RFC 6455 section 5.2; a server masks nothing
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Piece } from '../../src/io/output.ts';
import { PiecesInFlight } from '../../src/io/pieces-in-flight.ts';
import {
  mayWriteDirectly,
  READ_BYTES_PER_TURN,
  type TransportEnvironment,
  writeAllDirectly,
} from '../../src/io/socket-transport.ts';
import type { Peer } from '../../src/io/transport.ts';
import { type CloseCode, type Refusal, WebSocketTransport } from './transport.ts';

/** readyState of a WebSocket. */
const OPEN = 1;
const CLOSING = 2;
/** Node reads this much at a time; a shorter read means that the socket is empty. */
const STREAM_READ_BYTES = 64 * 1024;

const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;
/** Larger lengths than this do not fit into the second byte of a frame, and into two more. */
const LENGTH_7_MAX = 125;
const LENGTH_16_MAX = 0xffff;

/** The header of a frame that holds a whole message. */
function frameHead(opcode: number, size: number): Buffer {
  if (size <= LENGTH_7_MAX) return Buffer.of(opcode, size);
  if (size <= LENGTH_16_MAX) return Buffer.of(opcode, 126, size >>> 8, size & 0xff);
  const head = Buffer.allocUnsafe(10);
  head[0] = opcode;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(size), 2);
  return head;
}

export class WsTransport extends WebSocketTransport {
  private readonly webSocket: WebSocket;
  private readonly socket: Socket;
  private readonly descriptor: number;
  private readonly inFlight: PiecesInFlight;
  private readonly preAuthBytesMax: number;
  private strangerBytes = 0;
  private readBytesInRow = 0;
  private yielding = false;

  constructor(
    environment: TransportEnvironment,
    webSocket: WebSocket,
    socket: Socket,
    descriptor: number,
    listener: string,
    peer: Peer,
    preAuthBytesMax: number,
    refused: Refusal,
  ) {
    super(environment, listener, peer, refused);
    this.webSocket = webSocket;
    this.socket = socket;
    this.descriptor = descriptor;
    this.preAuthBytesMax = preAuthBytesMax;
    this.inFlight = new PiecesInFlight(this.output);
    webSocket.on('message', (data, isBinary) => this.onMessage(data as Buffer, !isBinary));
    webSocket.on('error', (error) => this.onError(error));
    webSocket.on('close', () => this.onGone());
    // Behind the listener of `ws` itself: what this chunk led to has happened.
    socket.on('data', (chunk: Buffer) => this.onRaw(chunk.length));
  }

  send(pieces: readonly Piece[]): void {
    const { webSocket, socket, inFlight, output } = this;
    if (this.ended || webSocket.readyState !== OPEN) {
      for (const piece of pieces) output.sent(piece);
      return;
    }
    let size = 0;
    for (const { bytes } of pieces) size += bytes.length;
    const head = frameHead(this.leavesAsText(pieces) ? FINAL_TEXT : FINAL_BINARY, size);
    let taken = 0;
    if (this.descriptor >= 0 && inFlight.count === 0 && mayWriteDirectly(socket)) {
      taken = writeAllDirectly(this.descriptor, [head, ...pieces.map(({ bytes }) => bytes)]);
      if (taken === head.length + size) {
        for (const piece of pieces) output.sent(piece);
        return;
      }
    }
    socket.cork();
    if (taken < head.length) socket.write(head.subarray(taken));
    let skip = Math.max(0, taken - head.length);
    for (const piece of pieces) {
      const { length } = piece.bytes;
      if (skip >= length) output.sent(piece);
      else {
        inFlight.add(piece);
        socket.write(skip === 0 ? piece.bytes : piece.bytes.subarray(skip), inFlight.onWritten);
      }
      skip = Math.max(0, skip - length);
    }
    socket.uncork();
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
