// An MQTT 3.1.1 client in a few lines, for benchmarks that need thousands of them rather than a fast one: frames are built whole, packets are found in what comes and handed on
// as they are. Whoever waits for a packet that does not come waits until the connection ends.

import { connect, type Socket } from 'node:net';

export const PacketType = {
  connack: 2,
  publish: 3,
  puback: 4,
  suback: 9,
  pingresp: 13,
} as const;

export const PINGREQ = Buffer.of(0xc0, 0);
const DISCONNECT = Buffer.of(0xe0, 0);
/** A connection that says nothing for so long is looked after: longer than any benchmark. */
const KEEP_ALIVE_S = 3600;

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]);
}

export function frame(firstByte: number, ...parts: readonly Buffer[]): Buffer {
  const head = [firstByte];
  let length = parts.reduce((sum, part) => sum + part.length, 0);
  do {
    head.push(length > 127 ? (length & 127) | 128 : length);
    length >>>= 7;
  } while (length > 0);
  return Buffer.concat([Buffer.from(head), ...parts]);
}

export function connectFrame(clientId: string, clean: boolean, user = '', password = ''): Buffer {
  const flags = (clean ? 2 : 0) | (user === '' ? 0 : 0x80) | (password === '' ? 0 : 0x40);
  const fixed = Buffer.of(4, flags, KEEP_ALIVE_S >> 8, KEEP_ALIVE_S & 255);
  const credentials = [user, password].filter((value) => value !== '').map(text);
  return frame(0x10, text('MQTT'), fixed, text(clientId), ...credentials);
}

export function subscribeFrame(packetId: number, filters: readonly string[], qos: number): Buffer {
  return frame(
    0x82,
    Buffer.of(packetId >> 8, packetId & 255),
    ...filters.flatMap((filter) => [text(filter), Buffer.of(qos)]),
  );
}

/** QoS 1 with a packet identifier, QoS 0 without one. */
export function publishFrame(topic: string, payload: Buffer, packetId = 0, retain = false): Buffer {
  const identifier = packetId === 0 ? Buffer.alloc(0) : Buffer.of(packetId >> 8, packetId & 255);
  return frame(0x30 | (packetId === 0 ? 0 : 2) | (retain ? 1 : 0), text(topic), identifier, payload);
}

export type OnPacket = (bytes: Buffer, start: number, end: number) => void;

export class PlainClient {
  readonly socket: Socket;
  /** Every PUBLISH, at whichever QoS; nothing is acknowledged. */
  onPublish: OnPacket | null = null;
  private rest: Buffer | null = null;
  private readonly waiting: { type: number; resolve: (packet: Buffer) => void; reject: (error: Error) => void }[] = [];
  private failure: Error | null = null;

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.socket.on('data', (chunk) => this.onData(chunk));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.failure = new Error('the broker closed the connection');
      for (const { reject } of this.waiting.splice(0)) reject(this.failure);
    });
  }

  /** Resolves with whether there was a session. */
  static async connect(port: number, clientId: string, clean = true): Promise<PlainClient & { present: boolean }> {
    const client = new PlainClient(port);
    return Object.assign(client, await client.connect(clientId, clean));
  }

  async connect(clientId: string, clean: boolean, user = '', password = ''): Promise<{ present: boolean }> {
    const connack = await this.ask(connectFrame(clientId, clean, user, password), PacketType.connack);
    if (connack[3] !== 0) throw new Error(`CONNACK ${connack[3]}`);
    return { present: connack[2] === 1 };
  }

  /** A copy of the next packet of this type that comes. */
  next(type: number): Promise<Buffer> {
    if (this.failure !== null) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => this.waiting.push({ type, resolve, reject }));
  }

  async ask(bytes: Buffer, type: number): Promise<Buffer> {
    const answer = this.next(type);
    this.socket.write(bytes);
    return answer;
  }

  async subscribe(filters: readonly string[], qos = 0): Promise<Buffer> {
    return this.ask(subscribeFrame(1, filters, qos), PacketType.suback);
  }

  /** Returns when the broker has answered. */
  async publish(topic: string, payload: Buffer, retain = false): Promise<void> {
    await this.ask(publishFrame(topic, payload, 1, retain), PacketType.puback);
  }

  /** As a cable that is pulled: no DISCONNECT, and no port that rests for a minute. */
  cut(): void {
    this.socket.resetAndDestroy();
  }

  leave(): void {
    this.socket.end(DISCONNECT);
  }

  private onData(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    this.rest = null;
    let at = 0;
    while (at < bytes.length) {
      let length = 0;
      let size = 1;
      let byte = 128;
      for (let shift = 0; (byte & 128) !== 0 && at + size < bytes.length; shift += 7, size++) {
        byte = bytes[at + size]!;
        length |= (byte & 127) << shift;
      }
      const end = at + size + length;
      if ((byte & 128) !== 0 || end > bytes.length) break;
      this.onPacket(bytes, at, end);
      at = end;
    }
    if (at < bytes.length) this.rest = Buffer.from(bytes.subarray(at));
  }

  private onPacket(bytes: Buffer, start: number, end: number): void {
    const type = bytes[start]! >> 4;
    if (type === PacketType.publish) {
      this.onPublish?.(bytes, start, end);
      return;
    }
    const index = this.waiting.findIndex((waiter) => waiter.type === type);
    if (index >= 0) this.waiting.splice(index, 1)[0]!.resolve(Buffer.from(bytes.subarray(start, end)));
  }
}

/** Does `work` for 0 … count - 1, so many at a time. */
export async function each(count: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}
