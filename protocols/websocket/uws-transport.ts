// A Transport over a WebSocket of uWebSockets.js. What it cannot write at once it copies and keeps, so slots are given back as soon as they are sent; the
// output counts bytes as unsent until the engine says that they have left.
// The engine cannot stop reading one WebSocket. While this stream is paused, messages are kept here up to HELD_BYTES_MAX, then it is closed.
import type { Piece } from '../../src/io/output.ts';
import type { TransportEnvironment } from '../../src/io/socket-transport.ts';
import type { Peer } from '../../src/io/transport.ts';
import { CloseCode, type Refusal, WebSocketTransport } from './transport.ts';
import type { UwsWebSocket } from './uws-api.ts';

/** What a peer may send while it is to be held back: more than TCP's own buffers would take, so that short pauses go unnoticed. */
export const HELD_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Payload of one WebSocket frame. A frame that does not fit with its header into the engine's buffer of 16 KB takes another way through it, which (seen in
 * the version of @rjweb/uws 1.5.0) forgets as many bytes as the header has when the system takes only a part.
 */
const FRAME_BYTES_MAX = 16_000;

interface Held {
  readonly bytes: Uint8Array;
  readonly text: boolean;
}

export class UwsTransport extends WebSocketTransport {
  private readonly webSocket: UwsWebSocket;
  private readonly preAuthBytesMax: number;
  /** The engine's object must not be touched any more. */
  private engineClosed = false;
  /** The close frame to be sent when everything before it has left. */
  private closing: { readonly code: CloseCode; readonly reason: string } | null = null;
  private strangerBytes = 0;
  /** Sent and waiting in the engine, oldest first; without their slots. */
  private waiting: Piece[] = [];
  private waitingBytes = 0;
  private reading = true;
  private held: Held[] = [];
  private heldBytes = 0;
  private readonly delivering = (): void => this.deliverHeld();

  constructor(
    environment: TransportEnvironment,
    webSocket: UwsWebSocket,
    listener: string,
    peer: Peer,
    preAuthBytesMax: number,
    refused: Refusal,
  ) {
    super(environment, listener, peer, refused);
    this.webSocket = webSocket;
    this.preAuthBytesMax = preAuthBytesMax;
  }

  // ---- called by the engine

  onUwsMessage(message: ArrayBuffer, text: boolean): void {
    if (this.deaf) return;
    if (!this.isEstablished) {
      this.strangerBytes += message.byteLength;
      if (this.strangerBytes > this.preAuthBytesMax) {
        this.failStranger(this.preAuthBytesMax);
        return;
      }
    }
    const bytes = new Uint8Array(message);
    if (this.reading && this.held.length === 0) {
      this.onMessage(bytes, text);
      return;
    }
    this.heldBytes += bytes.length;
    if (this.heldBytes > HELD_BYTES_MAX) {
      this.held = [];
      this.fail(
        CloseCode.TryAgainLater,
        'websocket-overrun',
        `more than ${HELD_BYTES_MAX} bytes came while the server could not take them; websocket.engine ws would have held the peer back`,
      );
      return;
    }
    this.held.push({ bytes: bytes.slice(), text });
  }

  onUwsDrain(): void {
    this.releaseSent();
  }

  onUwsClose(): void {
    this.engineClosed = true;
    this.deaf = true;
    // Also called from within destroy() and end(): whoever called those is to return first.
    this.environment.clock.endOfTurn(() => this.onGone());
  }

  // ---- Transport

  send(pieces: readonly Piece[]): void {
    const { webSocket } = this;
    if (this.ended || this.engineClosed) {
      for (let i = 0; i < pieces.length; i++) this.output.sent(pieces[i]!);
      return;
    }
    const binary = !this.leavesAsText(pieces);
    if (pieces.length === 1 && pieces[0]!.bytes.length <= FRAME_BYTES_MAX)
      webSocket.send(pieces[0]!.bytes, binary, false);
    else webSocket.cork(() => this.sendFragments(pieces, binary));
    if (this.waitingBytes === 0 && webSocket.getBufferedAmount() === 0) {
      for (let i = 0; i < pieces.length; i++) this.output.sent(pieces[i]!);
      return;
    }
    for (let i = 0; i < pieces.length; i++) {
      const { bytes, slot } = pieces[i]!;
      if (slot !== null) this.environment.arena.giveBack(slot);
      this.waiting.push({ bytes, slot: null });
      this.waitingBytes += bytes.length;
    }
    this.releaseSent();
  }

  /** One message of several frames. */
  private sendFragments(pieces: readonly Piece[], binary: boolean): void {
    const { webSocket } = this;
    const last = pieces.length - 1;
    let first = true;
    for (let i = 0; i <= last; i++) {
      const { bytes } = pieces[i]!;
      for (let from = 0; from < bytes.length; ) {
        const to = Math.min(bytes.length, from + FRAME_BYTES_MAX);
        const part = bytes.subarray(from, to);
        if (i === last && to === bytes.length && !first) webSocket.sendLastFragment(part, false);
        else if (first) webSocket.sendFirstFragment(part, binary, false);
        else webSocket.sendFragment(part, false);
        first = false;
        from = to;
      }
    }
  }

  protected startReading(): void {
    this.reading = true;
    if (this.held.length > 0) this.environment.clock.endOfTurn(this.delivering);
  }

  protected stopReading(): void {
    this.reading = false;
  }

  protected closeWith(code: CloseCode, reason: string): void {
    // With bytes waiting the engine would wait for its peer for as long as that likes; so the close frame follows when they have left (releaseSent),
    // or never, when the time for it is over.
    this.closing = { code, reason };
    if (this.waitingBytes === 0) this.finish();
  }

  protected terminate(): void {
    if (!this.engineClosed) this.webSocket.close();
  }

  protected releaseUnsent(): void {
    const { waiting } = this;
    this.waiting = [];
    this.waitingBytes = 0;
    for (const piece of waiting) this.output.sent(piece);
  }

  private finish(): void {
    const { closing } = this;
    if (closing === null || this.engineClosed) return;
    this.closing = null;
    this.webSocket.end(closing.code, closing.reason);
  }

  /** Reports as sent what no longer waits in the engine, whole pieces only. */
  private releaseSent(): void {
    if (this.engineClosed) return;
    const buffered = this.webSocket.getBufferedAmount();
    let count = 0;
    while (count < this.waiting.length && this.waitingBytes - this.waiting[count]!.bytes.length >= buffered) {
      this.waitingBytes -= this.waiting[count]!.bytes.length;
      count++;
    }
    for (const piece of this.waiting.splice(0, count)) this.output.sent(piece);
    if (this.waitingBytes === 0) this.finish();
  }

  private deliverHeld(): void {
    while (this.reading && this.held.length > 0 && !this.deaf) {
      const { bytes, text } = this.held.shift()!;
      this.heldBytes -= bytes.length;
      this.onMessage(bytes, text);
    }
  }
}
