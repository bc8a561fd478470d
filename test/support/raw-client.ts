// A peer that sends whatever bytes a test wants, over TCP or inside WebSocket messages, and keeps what it is answered until the broker closes the connection.
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { inTime } from './inbox.ts';
import type { Ending } from './real-broker.ts';

export class RawClient implements Ending {
  /** Everything the broker has answered, once it has closed the connection. */
  readonly answer: Promise<Buffer>;
  /** Status of a WebSocket's close frame; 1006 without one, 0 for TCP. */
  closeCode = 0;
  private readonly write: (bytes: Uint8Array) => void;
  private readonly finish: () => void;
  private readonly arrived: Buffer[] = [];
  private onArrival: () => void = () => undefined;
  private closed = false;

  private constructor(carrier: Socket | WebSocket) {
    const take = (bytes: Buffer): void => {
      this.arrived.push(bytes);
      this.onArrival();
    };
    if (carrier instanceof WebSocket) {
      carrier.on('message', (data) => take(data as Buffer));
      carrier.on('error', () => undefined);
      this.write = (bytes) => carrier.send(bytes);
      this.finish = () => carrier.terminate();
    } else {
      carrier.on('data', take);
      // A reset is a way to be closed, too.
      carrier.on('error', () => undefined);
      this.write = (bytes) => carrier.write(bytes);
      this.finish = () => carrier.destroy();
    }
    this.answer = new Promise((resolve) => {
      carrier.once('close', (code: number | boolean) => {
        this.closeCode = typeof code === 'number' ? code : 0;
        this.closed = true;
        this.onArrival();
        resolve(Buffer.concat(this.arrived));
      });
    });
  }

  static async tcp(port: number): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const client = new RawClient(socket);
    await inTime(
      'the connection',
      new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)),
    );
    return client;
  }

  static async ws(url: string, subprotocol: string): Promise<RawClient> {
    const webSocket = new WebSocket(url, subprotocol === '' ? [] : [subprotocol], { perMessageDeflate: false });
    const client = new RawClient(webSocket);
    await inTime(
      'the upgrade',
      new Promise((resolve, reject) => webSocket.once('open', resolve).once('error', reject)),
    );
    return client;
  }

  send(bytes: Uint8Array | string): this {
    if (!this.closed) this.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    return this;
  }

  /** Resolves when so many bytes have come, or nothing will come any more. */
  async atLeast(count: number): Promise<void> {
    const enough = (): boolean => this.closed || this.arrived.reduce((sum, { length }) => sum + length, 0) >= count;
    await inTime(
      `${count} bytes`,
      new Promise<void>((resolve) => {
        this.onArrival = () => enough() && resolve();
        this.onArrival();
      }),
    );
  }

  /** Everything that has come, when it is so many bytes. */
  async take(count: number): Promise<Buffer> {
    await this.atLeast(count);
    return Buffer.concat(this.arrived);
  }

  /** What came before the broker closed the connection. */
  end(): Promise<Buffer> {
    return inTime('the broker to close the connection', this.answer);
  }

  async close(): Promise<void> {
    this.finish();
    await this.answer;
  }
}
