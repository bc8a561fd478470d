// Finds out from the first bytes of a stream which protocol it speaks, so that one port can serve all. Holds back the bytes it needs to tell, a few at
// most, and hands the stream over together with them.
import type { Transport, TransportHandler } from '../io/transport.ts';
import { Detection, type ProtocolAdapter } from './protocol.ts';

/** Every protocol here shows itself earlier: a STOMP command has 7 bytes, which line ends may precede; an MQTT CONNECT 12 up to its version. */
export const DETECT_BYTES_MAX = 64;

/** Why a stream was not taken by any adapter. */
export interface Unrecognised {
  readonly code: 'tls-on-plain-listener' | 'protocol-not-accepted' | 'protocol-unknown';
  readonly message: string;
}

export interface DetectorOwner {
  /** The first bytes have come. */
  onFirstBytes(): void;
  /** adapter is what the stream speaks. Takes it over by setting transport.handler; false when it was closed instead. */
  onDetected(adapter: ProtocolAdapter): boolean;
  onUnrecognised(why: Unrecognised): void;
  onClosed(): void;
}

export class Detector implements TransportHandler {
  private readonly transport: Transport;
  private readonly adapters: readonly ProtocolAdapter[];
  private readonly accepted: readonly string[];
  private readonly owner: DetectorOwner;
  private held: Buffer | null = null;
  private over = false;

  /** accepted: the names of the adapters that may be spoken here. */
  constructor(
    transport: Transport,
    adapters: readonly ProtocolAdapter[],
    accepted: readonly string[],
    owner: DetectorOwner,
  ) {
    this.transport = transport;
    this.adapters = adapters;
    this.accepted = accepted;
    this.owner = owner;
  }

  onChunk(bytes: Uint8Array, start: number, end: number): void {
    if (this.over) return;
    if (this.held !== null) {
      const joined = Buffer.concat([this.held, bytes.subarray(start, end)]);
      this.held = null;
      this.decide(joined, 0, joined.length);
      return;
    }
    this.owner.onFirstBytes();
    this.decide(bytes, start, end);
  }

  onDrain(): void {
    // Nothing has been sent.
  }

  onClosed(): void {
    this.over = true;
    this.owner.onClosed();
  }

  private decide(bytes: Uint8Array, start: number, end: number): void {
    let undecided = false;
    for (const adapter of this.adapters) {
      const detection = adapter.detect(bytes, start, end);
      if (detection === Detection.More) undecided = true;
      if (detection !== Detection.Yes) continue;
      this.over = true;
      if (!this.accepted.includes(adapter.name)) {
        const message = `${adapter.name} is not accepted here, only ${this.accepted.join(', ')}`;
        this.owner.onUnrecognised({ code: 'protocol-not-accepted', message });
      } else if (this.owner.onDetected(adapter)) this.transport.handler.onChunk(bytes, start, end);
      return;
    }
    if (undecided && end - start < DETECT_BYTES_MAX) {
      this.held = Buffer.from(bytes.subarray(start, end));
      return;
    }
    this.over = true;
    this.owner.onUnrecognised(whatElse(bytes, start, end));
  }
}

/** Names what often arrives at the wrong port. */
function whatElse(bytes: Uint8Array, start: number, end: number): Unrecognised {
  // A TLS record of type handshake (22), version 3.x.
  if (bytes[start] === 0x16 && (end - start === 1 || bytes[start + 1] === 0x03)) {
    return { code: 'tls-on-plain-listener', message: 'the peer speaks TLS, this listener does not (its option tls)' };
  }
  const first = Buffer.from(bytes.subarray(start, Math.min(end, start + 8))).toString('hex');
  return { code: 'protocol-unknown', message: `the first bytes (${first}) are of no protocol known here` };
}
