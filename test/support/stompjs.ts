// @stomp/stompjs over ws as the tests use it: promises with deadlines, nothing reconnects unless asked to.
import { connect, type Socket } from 'node:net';
import {
  Client,
  type IFrame,
  type IMessage,
  type StompConfig,
  type StompHeaders,
  type StompSubscription,
} from '@stomp/stompjs';
import { WebSocket } from 'ws';
import { Inbox, inTime } from './inbox.ts';
import type { Ending } from './real-broker.ts';

export class StompJsSubscription {
  readonly messages = new Inbox<IMessage>(({ headers, body }) => `${headers.destination} ${body.slice(0, 60)}`);
  /** For unsubscribe(). */
  handle: StompSubscription | null = null;

  async nextText(): Promise<string> {
    return (await this.messages.next('a message')).body;
  }

  async nextTexts(count: number): Promise<string[]> {
    return (await this.messages.take(count, 'messages')).map(({ body }) => body);
  }
}

/** A TCP connection in the shape of a WebSocket, as stompjs' users have it in Node: bytes as they come, no frames. */
class TcpSocket {
  readonly url: string;
  readonly protocol = '';
  binaryType = 'arraybuffer';
  readyState = 0;
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  private readonly socket: Socket;

  constructor(url: string) {
    this.url = url;
    const { hostname, port } = new URL(url);
    this.socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.socket.on('connect', () => {
      this.readyState = 1;
      this.onopen?.();
    });
    this.socket.on('data', (bytes) => this.onmessage?.({ data: new Uint8Array(bytes).buffer }));
    this.socket.on('error', (error) => this.onerror?.(error));
    this.socket.on('close', () => {
      this.readyState = 3;
      this.onclose?.({ code: 1000, reason: '' });
    });
  }

  send(data: string | ArrayBuffer): void {
    this.socket.write(typeof data === 'string' ? data : new Uint8Array(data));
  }

  close(): void {
    this.readyState = 2;
    this.socket.end();
  }

  terminate(): void {
    this.socket.destroy();
  }
}

export class StompJs implements Ending {
  readonly client: Client;
  /** One for each time it was connected. */
  readonly connected = new Inbox<IFrame>(({ command }) => command);
  readonly errors = new Inbox<IFrame>(({ headers, body }) => `${headers.message} ${body}`);
  readonly closed = new Inbox<{ code: number; reason: string }>(({ code, reason }) => `${code} ${reason}`);
  /** Rejects with the first ERROR. */
  private readonly refused: Promise<never>;
  private socket: WebSocket | null = null;
  private tcp: TcpSocket | null = null;
  private nextReceipt = 1;

  private constructor(url: string, config: StompConfig) {
    this.client = new Client({
      reconnectDelay: 0,
      webSocketFactory: () => {
        if (url.startsWith('tcp:')) {
          this.tcp = new TcpSocket(url);
          return this.tcp as never;
        }
        // Node 20 has no WebSocket of its own; to stompjs ws looks the same.
        this.socket = new WebSocket(url, this.client.stompVersions.protocolVersions());
        return this.socket as never;
      },
      ...config,
    });
    const { onConnect } = config;
    this.client.onConnect = (frame) => {
      onConnect?.(frame);
      this.connected.put(frame);
    };
    this.refused = new Promise((_resolve, reject) => {
      this.client.onStompError = (frame) => {
        this.errors.put(frame);
        reject(new Error(`${frame.headers.message}: ${frame.body}`));
      };
    });
    this.refused.catch(() => undefined);
    this.client.onWebSocketClose = ({ code, reason }: { code: number; reason: string }) =>
      this.closed.put({ code, reason });
    this.client.activate();
  }

  static async connect(url: string, config: StompConfig = {}): Promise<StompJs> {
    const client = new StompJs(url, config);
    try {
      await inTime('CONNECTED', Promise.race([client.connected.next('CONNECTED'), client.refused]));
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** What the other side chose. */
  get subprotocol(): string {
    return this.socket?.protocol ?? '';
  }

  private receipt(what: string, send: (receipt: string) => void): Promise<void> {
    const id = `r-${this.nextReceipt++}`;
    return inTime(
      `the receipt of ${what}`,
      new Promise((resolve) => {
        this.client.watchForReceipt(id, () => resolve());
        send(id);
      }),
    );
  }

  /** Resolves when the subscription is in force. */
  async subscribe(destination: string, headers: StompHeaders = {}): Promise<StompJsSubscription> {
    const subscription = new StompJsSubscription();
    await this.receipt(`SUBSCRIBE ${destination}`, (receipt) => {
      subscription.handle = this.client.subscribe(destination, (message) => subscription.messages.put(message), {
        ...headers,
        receipt,
      });
    });
    return subscription;
  }

  async publish(destination: string, body: string | Uint8Array, headers: StompHeaders = {}): Promise<void> {
    await this.receipt(`SEND ${destination}`, (receipt) => {
      const what = typeof body === 'string' ? { body } : { binaryBody: body };
      this.client.publish({ destination, headers: { ...headers, receipt }, ...what });
    });
  }

  /** The connection is gone without a word. */
  drop(): void {
    this.socket?.terminate();
    this.tcp?.terminate();
  }

  async close(): Promise<void> {
    await inTime('stompjs to end', this.client.deactivate({ force: true }));
    this.drop();
  }
}
