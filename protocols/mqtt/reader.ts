// Reads the fields of one packet in order and never past its end: the only place where the length of a field meets the length of the packet. Every
// field that does not fit is a ProtocolError; no other error leaves this file. The bytes belong to the caller, and so do the views returned by
// binary() and rest(): they are valid as long as the bytes are.
import { malformed, protocolError, topicNameInvalid } from './errors.ts';
import { asBuffer, decodeText } from './text.ts';

export class PacketReader {
  /** As given, for views of the same kind. */
  private readonly source: Uint8Array;
  private readonly bytes: Buffer;
  private pos: number;
  private end: number;
  /** Name of the packet, for messages. */
  readonly packet: string;

  constructor(bytes: Uint8Array, start: number, end: number, packet: string) {
    this.source = bytes;
    this.bytes = asBuffer(bytes);
    this.pos = start;
    this.end = end;
    this.packet = packet;
  }

  get remaining(): number {
    return this.end - this.pos;
  }

  byte(what: string): number {
    return this.bytes[this.take(1, what)]!;
  }

  uint16(what: string): number {
    const at = this.take(2, what);
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  uint32(what: string): number {
    const at = this.take(4, what);
    const high = (this.bytes[at]! << 8) | this.bytes[at + 1]!;
    return high * 0x1_0000 + ((this.bytes[at + 2]! << 8) | this.bytes[at + 3]!);
  }

  /** 1 to 4 bytes, in the shortest form [MQTT-1.5.5-1]. */
  variableByteInteger(what: string): number {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.byte(what);
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw malformed(`${this.packet}: ${what} has more bytes than it needs`);
        return value;
      }
    }
    throw malformed(`${this.packet}: ${what} has more than four bytes`);
  }

  /** A UTF-8 Encoded String. */
  // [MQTT-3.3.2-13] [MQTT-3.3.2-19]
  text(what: string): string {
    const size = this.uint16(what);
    const at = this.take(size, what);
    return decodeText(this.bytes, at, at + size, what);
  }

  /** A UTF-8 Encoded String without wildcards. It may be empty: only the packet knows whether something stands in for it. */
  topicName(what: string): string {
    const topic = this.text(what);
    // [MQTT-3.3.2-2], [MQTT-4.7.0-1], [3.1.1 MQTT-4.7.1-1]
    if (topic.includes('+') || topic.includes('#'))
      throw topicNameInvalid(`${this.packet}: ${what} contains a wildcard`);
    return topic;
  }

  /** Binary Data, as a view. */
  binary(what: string): Uint8Array {
    const size = this.uint16(what);
    const at = this.take(size, what);
    return this.source.subarray(at, at + size);
  }

  /** Everything up to the end, as a view. */
  rest(): Uint8Array {
    const at = this.take(this.end - this.pos, 'the rest');
    return this.source.subarray(at, this.end);
  }

  packetId(): number {
    const id = this.uint16('the packet identifier');
    // [MQTT-2.2.1-3], [MQTT-2.2.1-4], [3.1.1 MQTT-2.3.1-1]
    if (id === 0) throw protocolError(`${this.packet}: the packet identifier is 0`);
    return id;
  }

  /** Ends the readable part after `size` bytes; returns what widen() needs to undo it. */
  narrow(size: number, what: string): number {
    const end = this.end;
    this.take(size, what);
    this.pos -= size;
    this.end = this.pos + size;
    return end;
  }

  widen(end: number): void {
    this.end = end;
  }

  /** Every byte of the packet has a meaning, or the packet has none. */
  expectEnd(): void {
    if (this.pos !== this.end) throw malformed(`${this.packet}: ${this.end - this.pos} bytes follow the last field`);
  }

  private take(size: number, what: string): number {
    const at = this.pos;
    if (size > this.end - at) throw malformed(`${this.packet} ends within ${what}`);
    this.pos = at + size;
    return at;
  }
}
