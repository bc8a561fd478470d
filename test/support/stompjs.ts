// @stomp/stompjs over ws as the tests use it: promises with deadlines, nothing reconnects unless asked to.
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

export class StompJs implements Ending {
  readonly client: Client;
  /** One for each time it was connected. */
  readonly connected = new Inbox<IFrame>(({ command }) => command);
  readonly errors = new Inbox<IFrame>(({ headers, body }) => `${headers.message} ${body}`);
  readonly closed = new Inbox<{ code: number; reason: string }>(({ code, reason }) => `${code} ${reason}`);
  /** Rejects with the first ERROR. */
  private readonly refused: Promise<never>;
  private socket: WebSocket | null = null;
  private nextReceipt = 1;

  private constructor(url: string, config: StompConfig) {
    this.client = new Client({
      reconnectDelay: 0,
      webSocketFactory: () => {
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
  }

  async close(): Promise<void> {
    await inTime('stompjs to end', this.client.deactivate({ force: true }));
    this.socket?.terminate();
  }
}
