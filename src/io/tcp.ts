// A TCP listener: accepts connections and turns each into a Transport. Knows nothing of protocols, and nothing of what becomes of a transport. What comes by TLS is an ordinary
// stream of Node's once it is decrypted: nothing of what follows.
//
// Reading without a buffer per connection: net.Socket reads into a given buffer (`onread`) only if it was made with it, which an accepted socket was not.
// So new connections are taken from the listening handle itself, before a socket is made of them, and the socket is made here. Handles are not part of
// Node's documented interface; before the first listener opens, a self-test on the loopback shows whether this works here. If not, 'data' events serve.
// The same goes for the handle's descriptor, to which answers are written.
import type {
  AddressInfo,
  ListenOptions,
  Socket as NetSocket,
  OnReadOpts,
  Server,
  SocketConstructorOpts,
} from 'node:net';
import { connect, createServer, Socket } from 'node:net';
import { LimitedLog } from './limited-log.ts';
import type { Logger } from './logger.ts';
import type { TransportEnvironment } from './socket-transport.ts';
import { onSharedRead, SocketTransport, writeDirectly } from './socket-transport.ts';

/** Waiting connections the kernel keeps for us: a thousand devices that come back after a power cut do not have to try twice. */
const BACKLOG = 1024;
/** An idle peer is probed from here on, so that a dead one is noticed even without a protocol's keep-alive. */
const TCP_KEEP_ALIVE_MS = 60_000;
const SELF_TEST_MS = 1000;

/** How accepted connections are read and written: into one shared buffer and straight to the descriptor; into one shared buffer; as ordinary streams. */
export const SOCKET_MODES = ['direct', 'shared', 'events'] as const;
export type SocketMode = (typeof SOCKET_MODES)[number];

export interface TcpListenerOptions {
  /** As configured; appears in logs and as Transport.listener. */
  readonly name: string;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Given, there is no self-test. Default: the first of them that works here. */
  readonly socketMode?: SocketMode;
}

/** What is done with a new connection before it becomes a transport: `take` gets its socket, and makes a transport of what comes of it. */
export interface Terminator {
  take(socket: NetSocket): void;
}

/** Where a listener was told to listen and why it cannot. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly listener: string;
  /** 'EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND', … */
  readonly code: string;

  constructor(listener: string, host: string, port: number, cause: NodeJS.ErrnoException) {
    const code = cause.code ?? 'UNKNOWN';
    super(`listener ${listener} cannot listen on ${hostPort(host, port)}: ${reasonOf(code, cause)}`, { cause });
    this.listener = listener;
    this.code = code;
  }
}

export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function reasonOf(code: string, cause: Error): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'the port is in use by another process (EADDRINUSE); choose another one, or 0 for any free one';
    case 'EACCES':
      return 'not permitted (EACCES); ports below 1024 usually need a privilege';
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address (EADDRNOTAVAIL)';
    case 'ENOTFOUND':
      return 'the host name is unknown (ENOTFOUND)';
    default:
      return cause.message;
  }
}

/** How many connections are open, over all listeners that share this object, and how many may be. */
export class ConnectionCount {
  readonly max: number;
  open = 0;
  accepted = 0;
  refused = 0;

  constructor(max: number) {
    this.max = max;
  }

  /** False: no room. */
  enter(): boolean {
    if (this.open >= this.max) {
      this.refused++;
      return false;
    }
    this.open++;
    this.accepted++;
    return true;
  }

  leave(): void {
    this.open--;
  }

  logRefusal(log: LimitedLog, listener: string): void {
    const fields = { listener, code: 'connection-limit', connections: this.open, setting: 'connection.max' };
    log.warn(fields, 'connection refused: the limit of open connections is reached');
  }
}

export class TcpListener {
  readonly name: string;
  private readonly environment: TransportEnvironment;
  private readonly options: TcpListenerOptions;
  private readonly connections: ConnectionCount;
  private readonly logger: Logger;
  private readonly refusals: LimitedLog;
  private readonly acceptErrors: LimitedLog;
  private readonly accept: (transport: SocketTransport) => void;
  private readonly terminator: Terminator | null;
  private readonly server: Server;
  /** Of every socket: all read into the arena's buffer. */
  private readonly onread: OnReadOpts;
  private mode: SocketMode = 'events';

  constructor(
    environment: TransportEnvironment,
    options: TcpListenerOptions,
    connections: ConnectionCount,
    logger: Logger,
    /** Is given every new transport and sets its handler before returning. */
    accept: (transport: SocketTransport) => void,
    /** Given, it is what gets the connections. */
    terminator: Terminator | null = null,
  ) {
    this.name = options.name;
    this.environment = environment;
    this.options = options;
    this.connections = connections;
    this.logger = logger;
    this.refusals = new LimitedLog(environment.clock, logger, 1);
    this.acceptErrors = new LimitedLog(environment.clock, logger, 1);
    this.accept = accept;
    this.terminator = terminator;
    const arena = environment.arena;
    this.onread = { buffer: arena.bytes.subarray(arena.readStart, arena.readEnd), callback: onSharedRead };
    this.server = createServer(
      {
        pauseOnConnect: true,
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      },
      (socket) => this.onConnection(socket),
    );
  }

  /** Resolves to the real address; rejects with a ListenError. */
  async listen(): Promise<{ host: string; port: number }> {
    const { name, host, port } = this.options;
    // A terminator needs sockets.
    this.mode = this.terminator !== null ? 'events' : (this.options.socketMode ?? (await socketModeHere()));
    if (this.mode === 'events' && this.terminator === null && this.options.socketMode === undefined) {
      this.logger.warn(
        { listener: name },
        'reading through a shared buffer does not work on this Node version; reading by events, which is slower',
      );
    }
    await listenOn(this.server, { host, port, backlog: BACKLOG }).catch((error: NodeJS.ErrnoException) => {
      throw new ListenError(name, host, port, error);
    });
    if (this.mode !== 'events') takeConnections(this.server, (handle) => this.onHandle(handle));
    this.server.on('error', (error) =>
      this.acceptErrors.warn({ listener: name, error: error.message }, 'cannot accept a connection'),
    );
    const address = this.server.address() as AddressInfo;
    return { host: address.address, port: address.port };
  }

  /** Stops accepting; resolves when the port is free again. Open connections live on: they belong to whoever took them. */
  close(): Promise<void> {
    // Node's own callback would wait for the connections; the port is free as soon as close() returns.
    this.server.close();
    return Promise.resolve();
  }

  /** A connection of which Node has made a socket. */
  private onConnection(socket: NetSocket): void {
    if (!this.mayEnter()) {
      socket.destroy();
      return;
    }
    socket.on('close', this.onSocketClose);
    if (this.terminator !== null) this.terminator.take(socket);
    else this.accept(new SocketTransport(this.environment, socket, 'tcp', this.name, false));
  }

  /** A connection that is nothing but a handle yet. */
  private onHandle(handle: ConnectionHandle): void {
    if (!this.mayEnter()) {
      handle.close();
      return;
    }
    const socket = socketOf(handle, this.onread);
    socket.on('close', this.onSocketClose);
    const descriptor = this.mode === 'direct' ? descriptorOf(handle) : -1;
    this.accept(new SocketTransport(this.environment, socket, 'tcp', this.name, true, descriptor));
  }

  private readonly onSocketClose = (): void => this.connections.leave();

  private mayEnter(): boolean {
    if (this.connections.enter()) return true;
    this.connections.logRefusal(this.refusals, this.name);
    return false;
  }
}

interface ConnectionHandle {
  readStart(): number;
  useUserBuffer(buffer: Uint8Array): void;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, afterS: number): number;
  close(): void;
}

interface ListeningHandle {
  onconnection(this: unknown, error: number, handle: unknown): void;
}

/** From now on `take` gets the connections of a server, instead of its 'connection' event. False, and nothing is changed, when the server's handle does not look as expected. */
function takeConnections(server: Server, take: (handle: ConnectionHandle) => void): boolean {
  const { _handle: listening } = server as unknown as { _handle?: ListeningHandle | null };
  if (typeof listening?.onconnection !== 'function') return false;
  const byNode = listening.onconnection;
  listening.onconnection = function (error, handle) {
    if (error === 0 && isConnection(handle)) take(handle);
    // Errors, for one, become events of the server.
    else byNode.call(this, error, handle);
  };
  return true;
}

function isConnection(handle: unknown): handle is ConnectionHandle {
  if (typeof handle !== 'object' || handle === null) return false;
  const methods = handle as Record<keyof ConnectionHandle, unknown>;
  return [methods.readStart, methods.useUserBuffer, methods.setNoDelay, methods.setKeepAlive, methods.close].every(
    (method) => typeof method === 'function',
  );
}

/** What Node's own server would make of it, with a buffer to read into. */
function socketOf(handle: ConnectionHandle, onread: OnReadOpts): NetSocket {
  handle.setNoDelay(true);
  handle.setKeepAlive(true, TCP_KEEP_ALIVE_MS / 1000);
  return new Socket({ handle, allowHalfOpen: true, onread } as SocketConstructorOpts);
}

/** The descriptor behind a connection's handle, for direct writes; -1 where there is none (Windows) or it does not look as expected. */
function descriptorOf(handle: object): number {
  const descriptor = (handle as { fd?: unknown }).fd;
  return process.platform !== 'win32' && typeof descriptor === 'number' ? descriptor : -1;
}

export function listenOn(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(error);
    server.once('error', onError);
    server.listen(options, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

let knownMode: Promise<SocketMode> | null = null;

/** Finds out, once per process, what can be done with a handed-over handle. */
export function socketModeHere(): Promise<SocketMode> {
  knownMode ??= bestMode();
  return knownMode;
}

async function bestMode(): Promise<SocketMode> {
  if (await selfTest('direct')) return 'direct';
  return (await selfTest('shared')) ? 'shared' : 'events';
}

/** Sends a few bytes to itself through the same steps as TcpListener and expects them back, then the end. */
async function selfTest(mode: 'direct' | 'shared'): Promise<boolean> {
  const question = Buffer.from('sluice');
  const buffer = Buffer.alloc(64);
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => socket.destroy());
  const sockets: NetSocket[] = [];
  let descriptor = -1;
  const onread: OnReadOpts = {
    buffer,
    callback(this: unknown, byteCount: number): boolean {
      // Which socket it is about is told by `this` alone.
      if (!(this instanceof Socket)) return false;
      const answer = Buffer.from(buffer.subarray(0, byteCount));
      if (mode === 'shared') return this.write(answer);
      if (writeDirectly(descriptor, answer, byteCount) !== byteCount) this.destroy();
      return true;
    },
  };
  const echo = (handle: ConnectionHandle): void => {
    descriptor = descriptorOf(handle);
    const socket = socketOf(handle, onread);
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.resume();
  };
  try {
    await listenOn(server, { host: '127.0.0.1', port: 0 });
    if (!takeConnections(server, echo)) return false;
    return await new Promise<boolean>((resolve) => {
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
      const timer = setTimeout(() => resolve(false), SELF_TEST_MS);
      const answer: Buffer[] = [];
      sockets.push(client);
      client.on('data', (chunk) => answer.push(chunk));
      client.on('error', () => resolve(false));
      client.on('close', () => {
        clearTimeout(timer);
        resolve(Buffer.concat(answer).equals(question));
      });
      client.end(question);
    });
  } catch {
    // No loopback to test on: the way that is sure to work is taken.
    return false;
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}
