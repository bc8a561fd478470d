// One MQTT connection over a raw socket: packet objects in both directions, nothing remembered. What a client remembers is the actors' business (publisher.ts, subscriber.ts).
import { connect as connectSocket, type Socket } from 'node:net';
import { FROM_SERVER } from '../../protocols/mqtt/decode-options.ts';
import { decode } from '../../protocols/mqtt/decoder.ts';
import { encode } from '../../protocols/mqtt/encoder.ts';
import { headerBytes, readFrameLength, remainingLength } from '../../protocols/mqtt/frame.ts';
import type { Packet } from '../../protocols/mqtt/packet.ts';
import type { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';

export interface LinkListener {
  /** The bytes in the packet are valid during the call. */
  onPacket(packet: Packet): void;
  /** The connection has ended, by whomever. */
  onClose(): void;
  /** The other side sent what no broker may send. */
  onGarbage(error: Error): void;
}

export class MqttLink {
  private readonly socket: Socket;
  private readonly version: ProtocolVersion;
  private readonly listener: LinkListener;
  private rest: Buffer | null = null;
  private corked = false;
  private ended = false;

  constructor(port: number, version: ProtocolVersion, listener: LinkListener) {
    this.version = version;
    this.listener = listener;
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

  /** Bytes that the other side has not taken yet. */
  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  /** What is sent in one turn leaves in one piece. */
  send(packet: Packet): void {
    if (this.ended) return;
    if (!this.corked) {
      this.corked = true;
      this.socket.cork();
      process.nextTick(() => {
        this.corked = false;
        this.socket.uncork();
      });
    }
    this.socket.write(encode(packet, this.version));
  }

  /** Ends it from this side at once, as a cable does; the listener is not told. */
  cut(): void {
    this.ended = true;
    this.socket.destroy();
  }

  private onData(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    this.rest = null;
    try {
      for (let at = 0; at < bytes.length && !this.ended; ) {
        const length = readFrameLength(bytes, at, bytes.length);
        const end = length < 0 ? Number.POSITIVE_INFINITY : at + headerBytes(length) + remainingLength(length);
        if (end > bytes.length) {
          this.rest = bytes.subarray(at);
          return;
        }
        this.listener.onPacket(decode(bytes.subarray(at, end), this.version, FROM_SERVER));
        at = end;
      }
    } catch (error) {
      this.socket.destroy();
      this.listener.onGarbage(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
