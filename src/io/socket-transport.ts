// A Transport over a net.Socket (or a TLS socket). Reading comes in one of two ways: by onReadBuffer() out of the read buffer shared by the whole shard,
// or by 'data' events. Writing hands the pieces of a turn to the stream in one go and gives them back when the kernel has taken them.
// What fits is written straight to the descriptor: the stream's own way to the same system call takes longer than everything else a small message costs. Only
// what the kernel does not take at once, and what comes in several pieces, goes through the stream.
// Relies on the socket having been made with allowHalfOpen, so that this class alone decides when its own side closes.
//
//   open ──end()──▶ ending ──(peer closes too, or LINGER_MS)──▶ gone
//     └── peer closes ─▶ end of turn, so that answers made in it still leave ─▶ onClosed ─▶ ending ─▶ gone
import { writeSync, writevSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Arena } from './arena.ts';
import type { Clock, Timer } from './clock.ts';
import type { DrainTarget, OutputSink, Piece } from './output.ts';
import { Output } from './output.ts';
import { PiecesInFlight } from './pieces-in-flight.ts';
import type { HandshakeGuard, Peer, Transport, TransportHandler, TransportKind } from './transport.ts';
import type { Turn } from './turn.ts';

/** How long a stream that was ended may take to send what is left and to be closed by its peer. */
export const LINGER_MS = 2000;
/** What one connection may deliver before the others have their turn: reading goes on after the end of the turn. */
export const READ_BYTES_PER_TURN = 512 * 1024;
/** Node reads this much at a time into buffers of its own; a shorter read means that the socket is empty. */
const STREAM_READ_BYTES = 64 * 1024;

/** What all transports of a shard share. */
export interface TransportEnvironment {
  readonly arena: Arena;
  readonly turn: Turn;
  readonly clock: Clock;
  /** Unsent bytes at a flush from which on an output counts as congested. */
  readonly congestedBytes: number;
}

export const nothing = (): void => undefined;
/** Handler of a stream nobody has taken over. */
export const IGNORE: TransportHandler = { onChunk: nothing, onDrain: nothing, onClosed: nothing };

export function peerOf(address: string | undefined, port: number | undefined): Peer {
  return { address: address ?? '', port: port ?? 0, loopback: isLoopback(address ?? '') };
}

export function isLoopback(address: string): boolean {
  if (address === '::1') return true;
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  return /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}

/** Bytes that the kernel took; 0 also when it takes none now, or never will: the stream then learns which. */
export function writeDirectly(descriptor: number, bytes: Uint8Array, size: number): number {
  try {
    return writeSync(descriptor, bytes, 0, size);
  } catch {
    return 0;
  }
}

/** The same for several blocks, in their order. */
export function writeAllDirectly(descriptor: number, blocks: readonly Uint8Array[]): number {
  try {
    return writevSync(descriptor, blocks);
  } catch {
    return 0;
  }
}

/** The descriptor is still this socket's, and the stream holds nothing that stands before what would be written to it. A closed one may already belong to somebody else. */
export function mayWriteDirectly(socket: Socket): boolean {
  return (
    !socket.destroyed && socket.writableLength === 0 && (socket as unknown as { _handle: unknown })._handle !== null
  );
}

/** Where a socket finds its transport: listeners and callbacks are the same functions for all sockets, as there may be a great many that do nothing. */
const TRANSPORT = Symbol('transport');

interface OwnedSocket extends Socket {
  [TRANSPORT]?: SocketTransport;
}

export class SocketTransport implements Transport, OutputSink, DrainTarget {
  readonly kind: TransportKind;
  readonly peer: Peer;
  readonly listener: string;
  readonly output: Output;
  handler: TransportHandler = IGNORE;
  guard: HandshakeGuard | null = null;
  private readonly environment: TransportEnvironment;
  private readonly socket: Socket;
  private readonly inFlight: PiecesInFlight;
  /** The socket's descriptor; -1: writing is the stream's business. */
  readonly descriptor: number;
  private pauseCount = 0;
  /** Has read its share of this turn. */
  private yielding = false;
  private readBytesInRow = 0;
  /** end() was called or the peer closed: bytes that still come in are thrown away. */
  private deaf = false;
  private ended = false;
  private gone = false;
  private told = false;
  private released = false;
  private error: Error | null = null;
  private lingering: Timer | null = null;

  constructor(
    environment: TransportEnvironment,
    socket: Socket,
    kind: 'tcp' | 'tls',
    listener: string,
    sharedBuffer: boolean,
    descriptor = -1,
  ) {
    this.environment = environment;
    this.socket = socket;
    this.kind = kind;
    this.listener = listener;
    this.peer = peerOf(socket.remoteAddress, socket.remotePort);
    this.output = new Output(environment.arena, environment.turn, this, environment.congestedBytes);
    this.output.setDrainTarget(this);
    this.inFlight = new PiecesInFlight(this.output);
    this.descriptor = descriptor;
    (socket as OwnedSocket)[TRANSPORT] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.on('end', onPeerEnd);
    if (!sharedBuffer) socket.on('data', onData);
    socket.resume();
  }

  onDrain(): void {
    this.handler.onDrain();
  }

  /** byteCount bytes stand at the beginning of the arena's read buffer. Returns false when reading is to stop. */
  onReadBuffer(byteCount: number): boolean {
    const arena = this.environment.arena;
    const start = arena.readStart;
    // Whoever took the socket over reads it as an ordinary stream; the shared buffer is about to be overwritten.
    if (this.released) return this.socket.push(copyOf(arena.bytes, start, start + byteCount));
    if (this.deaf) return true;
    this.hand(arena.bytes, start, start + byteCount);
    // Given away within this call: whether it is read on is the new owner's decision, already made.
    return this.released || this.mayReadOn(byteCount, arena.readEnd - start);
  }

  established(): void {
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

  send(pieces: readonly Piece[]): void {
    const socket = this.socket;
    const inFlight = this.inFlight;
    if (
      pieces.length === 1 &&
      this.descriptor >= 0 &&
      inFlight.count === 0 &&
      !this.gone &&
      !this.ended &&
      mayWriteDirectly(socket)
    ) {
      const piece = pieces[0]!;
      const size = piece.bytes.length;
      const written = writeDirectly(this.descriptor, piece.bytes, size);
      if (written === size) {
        this.output.sent(piece);
        return;
      }
      inFlight.add(piece);
      socket.write(written === 0 ? piece.bytes : piece.bytes.subarray(written), inFlight.onWritten);
      return;
    }
    for (let i = 0; i < pieces.length; i++) inFlight.add(pieces[i]!);
    if (this.gone || this.ended || socket.destroyed) {
      inFlight.releaseAll();
      return;
    }
    if (pieces.length === 1) {
      socket.write(pieces[0]!.bytes, inFlight.onWritten);
    } else {
      socket.cork();
      for (let i = 0; i < pieces.length; i++) socket.write(pieces[i]!.bytes, inFlight.onWritten);
      socket.uncork();
    }
    // The kernel took all of it within the call, which is the rule: the slots can be used again at once.
    if (socket.writableLength === 0) inFlight.releaseAll();
  }

  end(): void {
    if (this.ended || this.gone || this.released) return;
    this.output.flush();
    this.ended = true;
    this.deaf = true;
    this.output.discard();
    this.socket.end();
    // Reading goes on, only to learn that the peer has closed as well.
    this.updateReading();
    this.lingering = this.environment.clock.timer(LINGER_MS, this);
  }

  destroy(): void {
    if (this.gone || this.released) return;
    this.ended = true;
    this.deaf = true;
    this.output.discard();
    this.socket.destroy();
  }

  /** The time to close in good order is over. */
  onTimer(): void {
    this.socket.destroy();
  }

  /**
   * Gives the socket away as an ordinary stream whose first bytes are bytes[start, end). This transport is over without onClosed; its guard stays with
   * whoever called. To be called from within onChunk, before anything was written.
   */
  release(bytes: Uint8Array, start: number, end: number): Socket {
    const socket = this.socket;
    this.released = true;
    this.deaf = true;
    this.told = true;
    this.handler = IGNORE;
    this.guard = null;
    this.output.discard();
    socket.off('error', onError);
    socket.off('close', onClose);
    socket.off('end', onPeerEnd);
    socket.off('data', onData);
    socket.pause();
    // Back to "nobody reads yet", so that the next reader's 'data' handler starts the flow.
    (socket as { readableFlowing: boolean | null }).readableFlowing = null;
    if (end > start) socket.unshift(copyOf(bytes, start, end));
    return socket;
  }

  onData(chunk: Buffer): void {
    if (this.deaf) return;
    this.hand(chunk, 0, chunk.length);
    if (!this.released) this.mayReadOn(chunk.length, STREAM_READ_BYTES);
  }

  private hand(bytes: Uint8Array, start: number, end: number): void {
    const turn = this.environment.turn;
    turn.enter();
    try {
      this.handler.onChunk(bytes, start, end);
    } finally {
      turn.leave();
    }
  }

  onError(error: Error): void {
    this.error ??= error;
  }

  onClose(): void {
    if (this.gone) return;
    this.gone = true;
    this.deaf = true;
    this.lingering?.cancel();
    this.established();
    this.output.discard();
    // Closed means that the kernel has let go of the memory, written or not.
    this.inFlight.releaseAll();
    this.tell(this.error);
  }

  onPeerEnd(): void {
    if (this.deaf) return;
    this.deaf = true;
    this.environment.clock.endOfTurn(() => {
      this.end();
      this.tell(null);
    });
  }

  private tell(error: Error | null): void {
    if (this.told) return;
    this.told = true;
    this.handler.onClosed(error);
  }

  private mayReadOn(byteCount: number, bufferBytes: number): boolean {
    // A read that does not fill the buffer has emptied the socket, and the event loop turns to the next one by itself.
    if (byteCount < bufferBytes) {
      this.readBytesInRow = 0;
      return this.ended || this.pauseCount === 0;
    }
    this.readBytesInRow += byteCount;
    if (this.readBytesInRow < READ_BYTES_PER_TURN) return this.ended || this.pauseCount === 0;
    this.readBytesInRow = 0;
    if (!this.yielding) {
      this.yielding = true;
      this.updateReading();
      this.environment.clock.endOfTurn(() => this.afterYield());
    }
    return false;
  }

  private afterYield(): void {
    this.yielding = false;
    if (!this.released) this.updateReading();
  }

  private updateReading(): void {
    if (this.gone) return;
    if (this.ended || (this.pauseCount === 0 && !this.yielding)) this.socket.resume();
    else this.socket.pause();
  }
}

/** Memory of its own, which is not cleared before it is filled, as Buffer.from() would for more than a few kilobytes. */
function copyOf(bytes: Uint8Array, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this[TRANSPORT]!.onData(chunk);
}

function onError(this: OwnedSocket, error: Error): void {
  this[TRANSPORT]!.onError(error);
}

function onClose(this: OwnedSocket): void {
  this[TRANSPORT]!.onClose();
}

function onPeerEnd(this: OwnedSocket): void {
  this[TRANSPORT]!.onPeerEnd();
}

/** The callback of `onread` for all sockets that share a buffer: bytes for the transport of this socket. */
export function onSharedRead(this: unknown, byteCount: number): boolean {
  return (this as OwnedSocket)[TRANSPORT]!.onReadBuffer(byteCount);
}
