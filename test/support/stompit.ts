// stompit as the tests use it: promises with deadlines, whole bodies, a receipt for everything that a test waits for.
import { createConnection, type Socket } from 'node:net';
import { Client, type FrameOptions, type Headers, type IncomingFrame, type Transaction } from 'stompit';
import { DEADLINE_MS, Inbox, inTime } from './inbox.ts';
import type { Ending } from './real-broker.ts';

export interface StompMessage {
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** As stompit wants it back to acknowledge it. */
  readonly frame: IncomingFrame;
}

export type AckMode = 'auto' | 'client' | 'client-individual';

export class StompitSubscription {
  readonly messages = new Inbox<StompMessage>(
    ({ headers, body }) => `${headers.destination} ${body.toString().slice(0, 60)}`,
  );

  /** Body as text. */
  async nextText(): Promise<string> {
    return (await this.messages.next('a message')).body.toString();
  }

  async nextTexts(count: number): Promise<string[]> {
    return (await this.messages.take(count, 'messages')).map(({ body }) => body.toString());
  }
}

/** As stompit's own, which for a text of type text/plain ends the frame instead of the client and so throws where nobody can catch it. */
function onErrorFrame(client: Client, frame: IncomingFrame): void {
  frame.readString('utf8', (_error, text) => {
    client.destroy(new Error(`${frame.headers.message}: ${text}`));
  });
}

export class Stompit implements Ending {
  readonly client: Client;
  readonly errors = new Inbox<Error>((error) => error.message);
  private readonly ended: Promise<void>;
  private nextId = 1;

  private constructor(client: Client) {
    this.client = client;
    client.on('error', (error: Error) => this.errors.put(error));
    client.setCommandHandler('ERROR', (frame) => onErrorFrame(client, frame));
    this.ended = new Promise((resolve) => {
      client.getTransportSocket().once('close', () => resolve());
    });
  }

  /** connectHeaders: host, accept-version, login, heart-beat, … Rejects with what the broker says. */
  static connect(port: number, connectHeaders: Headers = {}): Promise<Stompit> {
    // stompit writes a frame in several pieces; without noDelay each waits for the system to acknowledge the one before.
    return Stompit.over(createConnection({ host: '127.0.0.1', port, noDelay: true }), connectHeaders);
  }

  /** The same over a connection that somebody else has made. */
  static async over(socket: Socket, connectHeaders: Headers = {}): Promise<Stompit> {
    const client = new Promise<Client>((resolve, reject) => {
      const made = new Client(socket, { heartbeatDelayMargin: DEADLINE_MS });
      made.connect({ host: '/', ...connectHeaders }, (error, connected) =>
        error === null ? resolve(connected) : reject(error),
      );
      made.setCommandHandler('ERROR', (frame) => onErrorFrame(made, frame));
    });
    return new Stompit(await inTime('CONNECTED', client));
  }

  /** Of CONNECTED. */
  get version(): string {
    return this.client.headers.version ?? '1.0';
  }

  /** Resolves with the receipt. */
  private receipt(what: string, send: (options: FrameOptions) => void): Promise<void> {
    return inTime(
      `the receipt of ${what}`,
      new Promise((resolve, reject) => send({ onReceipt: resolve, onError: reject })),
    );
  }

  /** Resolves when the subscription is in force. */
  async subscribe(destination: string, ack: AckMode = 'auto', headers: Headers = {}): Promise<StompitSubscription> {
    const subscription = new StompitSubscription();
    const id = `sub-${this.nextId++}`;
    this.client.setImplicitSubscription(id, ack, (error, frame) => {
      if (error !== null) return;
      const parts: Buffer[] = [];
      frame.on('data', (part: Buffer) => parts.push(part));
      frame.on('end', () => subscription.messages.put({ headers: frame.headers, body: Buffer.concat(parts), frame }));
    });
    await this.receipt(`SUBSCRIBE ${destination}`, (options) =>
      this.client.sendFrame('SUBSCRIBE', { id, destination, ack, ...headers }, options).end(),
    );
    return subscription;
  }

  /** Resolves with the receipt. Sends content-length, so the body may be any bytes. */
  async send(destination: string, body: Buffer | string, headers: Headers = {}): Promise<void> {
    await this.receipt(`SEND ${destination}`, (options) =>
      this.client.send({ destination, 'content-length': Buffer.byteLength(body), ...headers }, options).end(body),
    );
  }

  /** Without a receipt. */
  sendInTransaction(transaction: Transaction, destination: string, body: string): void {
    transaction.send({ destination }).end(body);
  }

  async commit(transaction: Transaction): Promise<void> {
    await this.receipt('COMMIT', (options) => transaction.commit(options));
  }

  async abort(transaction: Transaction): Promise<void> {
    await this.receipt('ABORT', (options) => transaction.abort(options));
  }

  async ack(message: StompMessage, headers: Headers = {}): Promise<void> {
    await this.receipt('ACK', (options) => this.client.ack(message.frame, headers, options));
  }

  async nack(message: StompMessage, headers: Headers = {}): Promise<void> {
    await this.receipt('NACK', (options) => this.client.nack(message.frame, headers, options));
  }

  /** DISCONNECT with a receipt. */
  async disconnect(): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      this.client.disconnect((error) => (error === null ? resolve() : reject(error)));
    });
    await inTime('the receipt of DISCONNECT', done);
  }

  /** The connection is gone without a word. */
  async drop(): Promise<void> {
    this.client.destroy();
    await inTime('the socket to close', this.ended);
  }

  close(): Promise<void> {
    return this.drop();
  }
}
