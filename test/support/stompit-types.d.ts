// What the tests use of stompit, which comes without types.
declare module 'stompit' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';
  import type { Readable, Writable } from 'node:stream';

  export interface IncomingFrame extends Readable {
    readonly command: string;
    readonly headers: Record<string, string>;
    readString(encoding: string, callback: (error: Error | null, text: string) => void): void;
  }

  export interface FrameOptions {
    onReceipt?: () => void;
    onError?: (error: Error) => void;
  }

  export type Headers = Record<string, string | number>;

  export interface Transaction {
    readonly id: string | number;
    send(headers: Headers, options?: FrameOptions): Writable;
    commit(options?: FrameOptions): void;
    abort(options?: FrameOptions): void;
  }

  export interface Subscription {
    getId(): string | number;
    unsubscribe(headers?: Headers): void;
  }

  export type MessageListener = (error: Error | null, message: IncomingFrame) => void;

  export class Client extends EventEmitter {
    constructor(socket: Socket, options: { heartbeatDelayMargin?: number });
    connect(headers: Headers, listener: (error: Error | null, client: Client) => void): void;
    setCommandHandler(command: string, handler: (frame: IncomingFrame) => void): void;
    /** Of CONNECTED. */
    readonly headers: Record<string, string>;
    send(headers: Headers, options?: FrameOptions): Writable;
    sendFrame(command: string, headers: Headers, options?: FrameOptions): Writable;
    subscribe(headers: Headers, listener: MessageListener): Subscription;
    setImplicitSubscription(id: string | number, ack: string, listener: MessageListener): Subscription;
    ack(message: IncomingFrame, headers?: Headers, options?: FrameOptions): void;
    nack(message: IncomingFrame, headers?: Headers, options?: FrameOptions): void;
    begin(headers?: Headers): Transaction;
    disconnect(callback?: (error: Error | null) => void): void;
    destroy(error?: Error): void;
    getTransportSocket(): Socket;
    getHeartbeat(): [number, number];
  }
}
