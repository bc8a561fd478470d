// The byte stream inside a WebSocket, whatever engine carries it: messages in both directions are cut anywhere, one message per flush going out.
// Here is what engines have in common: the rules on text messages, pausing, closing once. An engine's class adds how its socket is read, written and closed.
//
//   open ──end()──▶ ending (close frame sent) ──(peer answers, or LINGER_MS)──▶ gone
//     └── peer's close frame ─▶ end of turn ─▶ onClosed ─▶ ending ─▶ gone
import { isUtf8 } from 'node:buffer';
import type { Timer } from '../../src/io/clock.ts';
import { Output, type OutputSink, type Piece, REFERENCE_BYTES_MIN } from '../../src/io/output.ts';
import { IGNORE, LINGER_MS, type TransportEnvironment } from '../../src/io/socket-transport.ts';
import type { HandshakeGuard, Peer, TransportHandler } from '../../src/io/transport.ts';
import type { GuardedTransport } from '../../src/server/gate.ts';
import type { ProtocolAdapter } from '../../src/server/protocol.ts';

/** Close codes of RFC 6455 section 7.4.1. */
export const CloseCode = {
  Normal: 1000,
  UnsupportedData: 1003,
  PolicyViolation: 1008,
  MessageTooBig: 1009,
  TryAgainLater: 1013,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** A close frame has room for 123 bytes; our reasons are ASCII. */
const REASON_LENGTH_MAX = 123;

/** The adapter whose packets travel in binary messages only. */
const BINARY_ONLY = 'mqtt';
/** The adapter that may answer text with text. */
const TEXT_TOO = 'stomp';

/** Says why a stream is closed by us. */
export type Refusal = (code: string, message: string) => void;

export abstract class WebSocketTransport implements GuardedTransport, OutputSink {
  readonly kind = 'ws';
  readonly peer: Peer;
  readonly listener: string;
  readonly output: Output;
  handler: TransportHandler = IGNORE;
  guard: HandshakeGuard | null = null;
  protected readonly environment: TransportEnvironment;
  protected readonly refused: Refusal;
  protected error: Error | null = null;
  /** end() was called or the peer closed: what still comes in is thrown away. */
  protected deaf = false;
  protected ended = false;
  protected gone = false;
  protected isEstablished = false;
  private told = false;
  private pauseCount = 0;
  private lingering: Timer | null = null;
  private protocol = '';
  /** The message at hand is text. */
  private text = false;
  /** null before the first message. */
  private firstWasText: boolean | null = null;

  constructor(environment: TransportEnvironment, listener: string, peer: Peer, refused: Refusal) {
    this.environment = environment;
    this.listener = listener;
    this.peer = peer;
    this.refused = refused;
    this.output = new Output(environment.arena, environment.turn, this, environment.congestedBytes);
    this.output.setDrainTarget(this);
  }

  onDrain(): void {
    this.handler.onDrain();
  }

  abstract send(pieces: readonly Piece[]): void;
  protected abstract startReading(): void;
  protected abstract stopReading(): void;
  /** Sends a close frame behind what was sent, and closes when the peer has answered it. */
  protected abstract closeWith(code: CloseCode, reason: string): void;
  /** Closes the socket at once. Leads to onGone() in a later turn. */
  protected abstract terminate(): void;

  /** This is the adapter's stream. False: it was closed, because the adapter does not speak in text. */
  admit(adapter: ProtocolAdapter): boolean {
    this.protocol = adapter.name;
    if (this.text && adapter.name === BINARY_ONLY) {
      this.failText();
      return false;
    }
    return true;
  }

  /** A message has come; bytes are valid during this call only. */
  // [MQTT-6.0.0-2], [3.1.1 MQTT-6.0.0-2]
  protected onMessage(bytes: Uint8Array, text: boolean): void {
    if (this.deaf) return;
    this.firstWasText ??= text;
    this.text = text;
    // [MQTT-6.0.0-1], [3.1.1 MQTT-6.0.0-1]
    if (text && this.protocol === BINARY_ONLY) {
      this.failText();
      return;
    }
    const size = bytes.length;
    if (size === 0) return;
    if (size >= REFERENCE_BYTES_MIN) {
      this.handler.onChunk(bytes, 0, size);
      return;
    }
    // Parsers join partial frames in front of the read buffer, and copies out of the arena into the arena are half the price.
    const { arena } = this.environment;
    arena.bytes.set(bytes, arena.readStart);
    this.handler.onChunk(arena.bytes, arena.readStart, arena.readStart + size);
  }

  established(): void {
    this.isEstablished = true;
    this.guard?.end();
    this.guard = null;
  }

  pause(): void {
    this.pauseCount++;
    if (this.pauseCount === 1) this.updateReading();
  }

  resume(): void {
    if (this.pauseCount === 0) return;
    this.pauseCount--;
    if (this.pauseCount === 0) this.updateReading();
  }

  end(): void {
    this.close(CloseCode.Normal, '');
  }

  destroy(): void {
    if (this.gone) return;
    this.ended = true;
    this.deaf = true;
    this.output.discard();
    this.terminate();
  }

  /** The time to close in good order is over. */
  onTimer(): void {
    if (!this.gone) this.terminate();
  }

  /** Closes and says why, to the peer and to the log. */
  protected fail(closeCode: CloseCode, code: string, message: string): void {
    this.refused(code, `connection closed: ${message}`);
    this.error ??= new Error(message);
    this.close(closeCode, message.slice(0, REASON_LENGTH_MAX));
  }

  protected failStranger(max: number): void {
    this.fail(
      CloseCode.PolicyViolation,
      'pre-auth-bytes',
      `more than ${max} bytes before a session was established; connection.preAuthBytesMax is ${max}`,
    );
  }

  protected close(code: CloseCode, reason: string): void {
    if (this.ended || this.gone) return;
    this.output.flush();
    this.ended = true;
    this.deaf = true;
    this.output.discard();
    // The peer's answer has to be read.
    this.updateReading();
    this.lingering = this.environment.clock.timer(LINGER_MS, this);
    this.closeWith(code, reason);
  }

  /** The peer has sent its close frame. What this turn answers may still reach it. */
  protected onPeerClosing(): void {
    if (this.deaf) return;
    this.deaf = true;
    this.environment.clock.endOfTurn(() => {
      this.end();
      this.tell();
    });
  }

  /** The engine's socket is closed. */
  protected onGone(): void {
    if (this.gone) return;
    this.gone = true;
    this.deaf = true;
    this.lingering?.cancel();
    this.established();
    this.output.discard();
    this.releaseUnsent();
    this.tell();
  }

  /** Reports everything handed to the engine as sent. */
  protected abstract releaseUnsent(): void;

  protected get readingWanted(): boolean {
    return this.ended || this.pauseCount === 0;
  }

  protected updateReading(): void {
    if (this.gone) return;
    if (this.readingWanted) this.startReading();
    else this.stopReading();
  }

  /** Do these pieces leave as a text message? Only STOMP does that, to clients that began with text, and only with what is text. */
  protected leavesAsText(pieces: readonly Piece[]): boolean {
    if (this.firstWasText !== true || this.protocol !== TEXT_TOO) return false;
    if (pieces.length === 1) return isUtf8(pieces[0]!.bytes);
    // A character may lie across two pieces.
    return isUtf8(Buffer.concat(pieces.map((piece) => piece.bytes)));
  }

  private failText(): void {
    this.fail(CloseCode.UnsupportedData, 'websocket-text', 'MQTT has to be sent in binary WebSocket messages');
  }

  private tell(): void {
    if (this.told) return;
    this.told = true;
    this.handler.onClosed(this.error);
  }
}
