// One STOMP connection over a raw socket: frame objects in both directions, nothing remembered.
import { connect as connectSocket, type Socket } from 'node:net';
import { FrameScanner, Scan } from '../../protocols/stomp/decoder.ts';
import { encodeFrame } from '../../protocols/stomp/encoder.ts';
import { type CommandName, Frame, Version } from '../../protocols/stomp/frame.ts';

export interface StompListener {
  onFrame(frame: Frame): void;
  /** The connection has ended, by whomever. */
  onClose(): void;
  /** The other side sent what is no frame. */
  onGarbage(error: Error): void;
}

export class StompLink {
  private readonly socket: Socket;
  private readonly listener: StompListener;
  private readonly scanner = new FrameScanner();
  private rest: Buffer | null = null;
  private corked = false;
  private ended = false;

  constructor(port: number, listener: StompListener) {
    this.listener = listener;
    this.scanner.version = Version.V1_2;
    const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true });
    this.socket = socket;
    socket.on('data', (chunk) => this.onData(chunk));
    // Every error is followed by 'close'.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.ended) return;
      this.ended = true;
      listener.onClose();
    });
  }

  /** What is sent in one turn leaves in one piece. */
  send(command: CommandName, headers: Readonly<Record<string, string>>, body: Uint8Array | string = ''): void {
    if (this.ended) return;
    if (!this.corked) {
      this.corked = true;
      this.socket.cork();
      process.nextTick(() => {
        this.corked = false;
        this.socket.uncork();
      });
    }
    this.socket.write(encodeFrame(new Frame(command, Object.entries(headers).flat(), body), Version.V1_2));
  }

  /** Ends it from this side at once, as a cable does; the listener is not told. */
  cut(): void {
    this.ended = true;
    this.socket.destroy();
  }

  private onData(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    this.rest = null;
    const { scanner } = this;
    try {
      for (let at = 0; at < bytes.length && !this.ended; at = scanner.frameEnd) {
        const found = scanner.scan(bytes, at, bytes.length);
        if (found === Scan.INCOMPLETE) {
          this.rest = bytes.subarray(at);
          // A frame is scanned from its beginning again.
          this.scanner.reset();
          return;
        }
        if (found === Scan.FRAME) this.listener.onFrame(scanner.toFrame());
      }
    } catch (error) {
      this.socket.destroy();
      this.listener.onGarbage(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
