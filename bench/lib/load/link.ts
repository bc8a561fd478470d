// One connection of the generator, TCP or WebSocket. All connections read into one arena, whose headroom takes what the
// last read left over of a packet, so that an endpoint only ever sees contiguous bytes; nothing is allocated per read.
// Writes go out as they are handed over; one the kernel does not take at once leaves the link blocked, and its bytes
// must not change until it is writable again.
//
//   arena:   | headroom ........ [left over] | 256 KiB read into by every socket in turn |
//                                ^ start      ^ base                        ^ base + read

import { writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

const readBytes = 262_144;
/** A server's frame header; a client's has four bytes more. */
const frameHeaderBytesMax = 10;
const upgradeBytesMax = 16_384;

export interface Endpoint {
  /** The connection is open; a WebSocket has been upgraded. */
  onOpen(): void;
  /** Takes whole packets from the bytes and returns where the first incomplete one begins. */
  onBytes(bytes: Buffer, view: DataView, start: number, end: number): number;
  /** A blocked link takes bytes again. */
  onWritable(): void;
  onClosed(reason: string): void;
}

export class ReadArena {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly base: number;
  /** The part that sockets read into. */
  readonly chunk: Buffer;

  constructor(frameBytesMax: number) {
    this.base = Math.ceil((frameBytesMax + 1024) / 4096) * 4096;
    this.bytes = Buffer.allocUnsafeSlow(this.base + readBytes);
    this.view = new DataView(this.bytes.buffer);
    this.chunk = this.bytes.subarray(this.base);
  }
}

/** Where answers gather while a chunk is read. Bytes begin at `front`: aligned, with room for a frame header before. */
export class OutBuffer {
  static readonly front = 16;
  bytes: Buffer;
  words: Uint32Array;
  end = OutBuffer.front;
  private readonly capacity: number;

  constructor(payloadBytesMax: number) {
    this.capacity = OutBuffer.front + Math.ceil((payloadBytesMax + readBytes) / 4) * 4;
    this.bytes = Buffer.allocUnsafeSlow(this.capacity);
    this.words = new Uint32Array(this.bytes.buffer);
  }

  get isEmpty(): boolean {
    return this.end === OutBuffer.front;
  }

  /** Starts over; in new memory when the kernel has not taken the old. */
  reset(inUse: boolean): void {
    this.end = OutBuffer.front;
    if (!inUse) return;
    this.bytes = Buffer.allocUnsafeSlow(this.capacity);
    this.words = new Uint32Array(this.bytes.buffer);
  }
}

export class Link {
  blocked = false;
  closed = false;
  readonly out: OutBuffer;
  protected readonly arena: ReadArena;
  protected readonly endpoint: Endpoint;
  protected socket: Socket | null = null;
  /** -1 where it is not known. */
  private descriptor = -1;
  private leftOver: Buffer = Buffer.alloc(0);
  private leftOverBytes = 0;
  private readonly written = (): void => {
    if (!this.blocked || this.socket === null || this.socket.writableLength > 0) return;
    this.blocked = false;
    this.endpoint.onWritable();
  };

  constructor(arena: ReadArena, out: OutBuffer, endpoint: Endpoint) {
    this.arena = arena;
    this.out = out;
    this.endpoint = endpoint;
  }

  open(host: string, port: number): void {
    const socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: this.arena.chunk,
        callback: (read: number): boolean => {
          this.onRead(this.arena.base, this.arena.base + read);
          return true;
        },
      },
    });
    socket.on('connect', () => {
      const { _handle: handle } = socket as unknown as { _handle: { fd?: number } | null };
      this.descriptor = handle?.fd ?? -1;
      this.onConnect();
    });
    socket.on('error', (error) => this.fail(error.message));
    socket.on('close', () => this.fail('closed by the broker'));
    this.socket = socket;
  }

  /** Sends bytes that stay as they are until the link is no longer blocked. */
  send(bytes: Buffer, start: number, end: number): void {
    this.write(bytes.subarray(start, end));
  }

  /** Sends what has gathered in the shared out buffer. */
  flush(): void {
    if (this.out.isEmpty) return;
    this.out.reset(!this.write(this.out.bytes.subarray(OutBuffer.front, this.out.end)));
  }

  /** Ends the connection after some last bytes. */
  close(farewell: Buffer): void {
    if (this.closed || this.socket === null) return;
    this.closed = true;
    this.send(farewell, 0, farewell.length);
    this.socket.end();
  }

  destroy(): void {
    this.closed = true;
    this.descriptor = -1;
    this.socket?.destroy();
  }

  protected onConnect(): void {
    this.endpoint.onOpen();
  }

  protected onRead(start: number, end: number): void {
    this.feed(start, end);
  }

  /** Hands bytes of the arena to the endpoint, what was left over in front of them, and keeps what it leaves. */
  protected feed(start: number, end: number): void {
    if (this.closed) return;
    const { bytes, view } = this.arena;
    let from = start;
    if (this.leftOverBytes > 0) {
      from -= this.leftOverBytes;
      this.leftOver.copy(bytes, from, 0, this.leftOverBytes);
    }
    const rest = this.endpoint.onBytes(bytes, view, from, end);
    this.leftOverBytes = end - rest;
    if (this.leftOverBytes > 0) {
      if (this.leftOverBytes > this.arena.base) {
        this.fail('a packet larger than the plan allows');
        return;
      }
      if (this.leftOver.length < this.leftOverBytes) this.leftOver = Buffer.allocUnsafeSlow(this.leftOverBytes * 2);
      bytes.copy(this.leftOver, 0, rest, end);
    }
    this.flush();
  }

  /** Writes and says whether the kernel has taken all of it. Straight to the descriptor where nothing waits before it: a stream takes as long as the write itself. */
  protected write(bytes: Buffer): boolean {
    const socket = this.socket!;
    let rest = bytes;
    if (this.descriptor >= 0 && socket.writableLength === 0 && !socket.destroyed) {
      const taken = writeNow(this.descriptor, bytes);
      if (taken === bytes.length) return true;
      rest = bytes.subarray(taken);
    }
    socket.write(rest, this.written);
    if (socket.writableLength === 0) return true;
    this.blocked = true;
    return false;
  }

  protected fail(reason: string): void {
    this.descriptor = -1;
    if (this.closed) return;
    this.closed = true;
    this.socket?.destroy();
    this.endpoint.onClosed(reason);
  }
}

/** Bytes that the kernel has taken. */
function writeNow(descriptor: number, bytes: Buffer): number {
  try {
    return writeSync(descriptor, bytes);
  } catch {
    // Full, or broken: the stream, which gets the bytes instead, knows what to do in either case.
    return 0;
  }
}

const opcode = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

/**
 * MQTT over WebSocket (RFC 6455): each write is one masked binary frame, however many packets it holds. Incoming frames
 * are taken apart in place: the first payload of a chunk stays where it is, further ones move up behind it.
 */
export class WebSocketLink extends Link {
  private readonly request: string;
  private upgraded = false;
  private response = '';
  private readonly header = new Uint8Array(frameHeaderBytesMax);
  private headerBytes = 0;
  private frameLeft = 0;
  private frameOpcode: number = opcode.binary;
  private control: number[] = [];
  private maskState = 0x2545_f491;

  constructor(arena: ReadArena, out: OutBuffer, endpoint: Endpoint, host: string, path: string) {
    super(arena, out, endpoint);
    this.request = [
      `GET ${path} HTTP/1.1`,
      `Host: ${host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: c2x1aWNlIGxvYWQgdGVzdA==',
      'Sec-WebSocket-Protocol: mqtt',
      '\r\n',
    ].join('\r\n');
  }

  override send(bytes: Buffer, start: number, end: number): void {
    const out = this.out;
    bytes.copy(out.bytes, out.end, start, end);
    out.end += end - start;
    this.flush();
  }

  override flush(): void {
    const out = this.out;
    if (out.isEmpty) return;
    const start = this.frame(opcode.binary);
    out.reset(!this.write(out.bytes.subarray(start, out.end)));
  }

  protected override onConnect(): void {
    this.write(Buffer.from(this.request, 'latin1'));
  }

  protected override onRead(start: number, end: number): void {
    let from = start;
    if (!this.upgraded) {
      this.response += this.arena.bytes.toString('latin1', start, end);
      const headersEnd = this.response.indexOf('\r\n\r\n');
      if (headersEnd < 0) {
        if (this.response.length > upgradeBytesMax) this.fail('no end to the answer to the upgrade');
        return;
      }
      const status = this.response.slice(0, this.response.indexOf('\r\n'));
      if (!/^HTTP\/1\.1 101 /.test(status)) {
        this.fail(`upgrade refused: ${status}`);
        return;
      }
      from = end - (this.response.length - (headersEnd + 4));
      this.upgraded = true;
      this.endpoint.onOpen();
    }
    this.unframe(from, end);
  }

  /** Masks the out buffer and puts a header in front; returns where the frame begins. RFC 6455 section 5.2, 5.3. */
  private frame(kind: number): number {
    const { bytes, words, end } = this.out;
    const length = end - OutBuffer.front;
    this.maskState ^= this.maskState << 13;
    this.maskState ^= this.maskState >>> 17;
    this.maskState ^= this.maskState << 5;
    const mask = this.maskState;
    const lastWord = (end + 3) >>> 2;
    for (let word = OutBuffer.front >>> 2; word < lastWord; word++) words[word] = words[word]! ^ mask;
    words[(OutBuffer.front >>> 2) - 1] = mask;
    let start = OutBuffer.front - 4;
    if (length < 126) bytes[--start] = 0x80 | length;
    else if (length < 65_536) {
      start -= 3;
      bytes[start] = 0x80 | 126;
      bytes.writeUInt16BE(length, start + 1);
    } else {
      start -= 9;
      bytes[start] = 0x80 | 127;
      bytes.writeUInt32BE(0, start + 1);
      bytes.writeUInt32BE(length, start + 5);
    }
    bytes[--start] = 0x80 | kind;
    return start;
  }

  private unframe(start: number, end: number): void {
    const { bytes } = this.arena;
    let from = -1;
    let to = -1;
    let at = start;
    while (at < end) {
      if (this.frameLeft === 0) {
        this.header[this.headerBytes++] = bytes[at++]!;
        if (this.headerBytes === headerLength(this.header, this.headerBytes) && !this.beginFrame()) return;
        continue;
      }
      const take = Math.min(this.frameLeft, end - at);
      this.frameLeft -= take;
      if (this.frameOpcode >= opcode.close) {
        for (let index = 0; index < take; index++) this.control.push(bytes[at + index]!);
        if (this.frameLeft === 0 && !this.endControl()) return;
      } else if (from < 0) {
        from = at;
        to = at + take;
      } else {
        bytes.copyWithin(to, at, at + take);
        to += take;
      }
      at += take;
    }
    if (from >= 0) this.feed(from, to);
  }

  /** Takes the whole header; false ends the connection. */
  private beginFrame(): boolean {
    const header = this.header;
    const length = header[1]!;
    this.headerBytes = 0;
    this.frameOpcode = header[0]! & 0x0f;
    if (length >= 128) return this.refuse('a masked frame from the broker'); // RFC 6455 section 5.1
    if (this.frameOpcode === opcode.text) return this.refuse('a text frame'); // [MQTT-6.0.0-1]
    if (length < 126) this.frameLeft = length;
    else if (length === 126) this.frameLeft = (header[2]! << 8) | header[3]!;
    else {
      this.frameLeft = 0;
      for (let index = 2; index < frameHeaderBytesMax; index++) this.frameLeft = this.frameLeft * 256 + header[index]!;
    }
    this.control = [];
    return this.frameLeft > 0 || this.frameOpcode < opcode.close || this.endControl();
  }

  private endControl(): boolean {
    if (this.frameOpcode === opcode.close) return this.refuse('WebSocket closed by the broker');
    if (this.frameOpcode !== opcode.ping) return true;
    const out = this.out; // Empty here: answers are flushed at the end of each chunk.
    for (const byte of this.control) out.bytes[out.end++] = byte;
    const start = this.frame(opcode.pong);
    out.reset(!this.write(out.bytes.subarray(start, out.end)));
    return true;
  }

  private refuse(reason: string): false {
    this.fail(reason);
    return false;
  }
}

/** Length of a server's frame header, or -1 while too little of it is there. */
function headerLength(header: Uint8Array, held: number): number {
  if (held < 2) return -1;
  const length = header[1]! & 0x7f;
  if (length < 126) return 2;
  return length === 126 ? 4 : 10;
}
