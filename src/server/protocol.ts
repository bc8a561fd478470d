// What a protocol adapter offers the server, and how a listener finds out which one a new stream speaks.
import type { Transport } from '../io/transport.ts';

export const Detection = {
  No: 0,
  /** Not enough bytes to tell. */
  More: 1,
  Yes: 2,
} as const;
export type Detection = (typeof Detection)[keyof typeof Detection];

export interface ProtocolAdapter {
  /** 'mqtt', 'stomp', 'http'. */
  readonly name: string;
  /** WebSocket subprotocols that mean this adapter: 'mqtt', 'v12.stomp', … */
  readonly subprotocols: readonly string[];
  /** Do the first bytes of a stream look like this protocol? */
  detect(bytes: Uint8Array, start: number, end: number): Detection;
  /**
   * Takes the stream over: sets transport.handler. The bytes that were read for detection are given to that handler afterwards. subprotocol is the
   * WebSocket subprotocol agreed on, '' on plain streams.
   */
  accept(transport: Transport, subprotocol: string): void;
  /** Tells every peer of this adapter that the server stops (MQTT 5 DISCONNECT 0x8B, STOMP ERROR) and ends the streams. */
  close(): void;
}
