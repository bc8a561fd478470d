// Peers for the load generator's own tests: they take MQTT or STOMP from any connection and hand every message to every
// subscriber, which is all a load needs, and do to it what a test wants to see noticed. Real sockets, but no broker: no
// topics and no queues.

import { type AddressInfo, createServer, type Socket } from 'node:net';
import { WebSocketServer } from 'ws';

/** What becomes of the message with this ordinal: the frames to deliver, usually itself. */
export type Fault = (ordinal: number, frame: Buffer) => Buffer[];

export interface Relay {
  port: number;
  close(): Promise<void>;
}

interface Peer {
  isSubscriber: boolean;
  held: Buffer;
  write(bytes: Buffer): void;
}

type Take = (peer: Peer, forward: (frame: Buffer) => void) => void;

function takeMqtt(peer: Peer, forward: (frame: Buffer) => void): void {
  for (;;) {
    let at = 1;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= peer.held.length) return;
      const byte = peer.held[at++]!;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (peer.held.length < at + length) return;
    const packet = peer.held.subarray(0, at + length);
    const body = packet.subarray(at);
    peer.held = peer.held.subarray(at + length);
    const type = packet[0]! >>> 4;
    if (type === 1) peer.write(Buffer.of(0x20, 2, 0, 0));
    else if (type === 8) {
      peer.isSubscriber = true;
      peer.write(Buffer.of(0x90, 3, body[0]!, body[1]!, body.at(-1)!));
    } else if (type === 3) {
      forward(packet);
      const id = 2 + body.readUInt16BE(0);
      const qos = (packet[0]! >>> 1) & 3;
      if (qos > 0) peer.write(Buffer.of(qos === 1 ? 0x40 : 0x50, 2, body[id]!, body[id + 1]!));
    } else if (type === 6) peer.write(Buffer.of(0x70, 2, body[0]!, body[1]!));
    else if (type === 5) peer.write(Buffer.of(0x62, 2, body[0]!, body[1]!));
  }
}

function takeStomp(peer: Peer, forward: (frame: Buffer) => void): void {
  for (;;) {
    while (peer.held[0] === 0x0a) peer.held = peer.held.subarray(1);
    const headersEnd = peer.held.indexOf('\n\n');
    if (headersEnd < 0) return;
    const [command, ...lines] = peer.held.toString('latin1', 0, headersEnd).split('\n');
    const header = (name: string): string | undefined =>
      lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
    const bodyStart = headersEnd + 2;
    const bodyEnd = bodyStart + Number(header('content-length') ?? 0);
    if (peer.held.length <= bodyEnd) return;
    const body = peer.held.subarray(bodyStart, bodyEnd + 1);
    peer.held = peer.held.subarray(bodyEnd + 1);
    if (command === 'CONNECT') peer.write(Buffer.from('CONNECTED\nversion:1.2\n\n\0'));
    else if (command === 'SUBSCRIBE') peer.isSubscriber = true;
    else if (command === 'SEND') {
      const headers = `MESSAGE\nsubscription:0\nmessage-id:7\nack:a-7\ncontent-length:${body.length - 1}\n\n`;
      forward(Buffer.concat([Buffer.from(headers), body]));
    }
    const receipt = header('receipt');
    if (receipt !== undefined) peer.write(Buffer.from(`RECEIPT\nreceipt-id:${receipt}\n\n\0`));
  }
}

export interface RelayOptions {
  protocol?: 'mqtt' | 'stomp';
  websocket?: boolean;
  fault?: Fault;
  /** Deliveries leave in pieces of this size, each in a turn of its own. */
  pieceBytes?: number;
}

export async function startRelay(options: RelayOptions = {}): Promise<Relay> {
  const take: Take = options.protocol === 'stomp' ? takeStomp : takeMqtt;
  const peers = new Set<Peer>();
  let ordinal = 0;
  const forward = (frame: Buffer): void => {
    const frames = options.fault === undefined ? [frame] : options.fault(ordinal, frame);
    ordinal++;
    for (const peer of peers) if (peer.isSubscriber) for (const out of frames) peer.write(out);
  };
  const serve = (write: (bytes: Buffer) => void): { peer: Peer; onBytes: (bytes: Buffer) => void } => {
    const peer: Peer = { isSubscriber: false, held: Buffer.alloc(0), write };
    peers.add(peer);
    const onBytes = (bytes: Buffer): void => {
      peer.held = Buffer.concat([peer.held, bytes]);
      take(peer, forward);
    };
    return { peer, onBytes };
  };
  const sockets = new Set<Socket>();
  if (options.websocket === true) {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await new Promise((resolve) => server.once('listening', resolve));
    server.on('connection', (socket) => {
      const { peer, onBytes } = serve((bytes) => socket.send(bytes));
      socket.on('message', (data) => onBytes(data as Buffer));
      socket.on('close', () => peers.delete(peer));
      socket.ping('are you there');
    });
    return {
      port: (server.address() as AddressInfo).port,
      close: async () => {
        for (const client of server.clients) client.terminate();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    const { peer, onBytes } = serve(
      options.pieceBytes === undefined ? (bytes) => socket.write(bytes) : inPieces(socket, options.pieceBytes),
    );
    socket.on('data', onBytes);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => peers.delete(peer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function inPieces(socket: Socket, pieceBytes: number): (bytes: Buffer) => void {
  let queue = Buffer.alloc(0);
  let isSending = false;
  const send = (): void => {
    if (queue.length === 0 || socket.destroyed) {
      isSending = false;
      return;
    }
    socket.write(queue.subarray(0, pieceBytes));
    queue = queue.subarray(pieceBytes);
    setImmediate(send);
  };
  return (bytes) => {
    queue = Buffer.concat([queue, bytes]);
    if (isSending) return;
    isSending = true;
    send();
  };
}
