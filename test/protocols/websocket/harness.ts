// A listener with HTTP and WebSocket in front of adapters made of a few lines, and a WebSocket client: real sockets, no broker.
import { WebSocket } from 'ws';
import type { Uws } from '../../../protocols/websocket/uws-api.ts';
import { UwsListener, type UwsParts } from '../../../protocols/websocket/uws-engine.ts';
import { WsEngine } from '../../../protocols/websocket/ws-engine.ts';
import { Arena } from '../../../src/io/arena.ts';
import { KeptLogger } from '../../../src/io/logger.ts';
import type { TransportEnvironment } from '../../../src/io/socket-transport.ts';
import { ConnectionCount, type SocketMode } from '../../../src/io/tcp.ts';
import type { Transport } from '../../../src/io/transport.ts';
import { Turn } from '../../../src/io/turn.ts';
import { Gate } from '../../../src/server/gate.ts';
import { HttpAdapter } from '../../../src/server/http.ts';
import { Listener, type StreamListener } from '../../../src/server/listener.ts';
import { servePages } from '../../../src/server/pages.ts';
import { Detection, type ProtocolAdapter } from '../../../src/server/protocol.ts';
import { ManualClock } from '../../io/manual-clock.ts';
import type { CarrierClient } from '../../io/transport-suite.ts';
import { nothing } from '../../io/until.ts';

export interface Accepted {
  readonly adapter: string;
  readonly subprotocol: string;
  readonly transport: Transport;
}

/** Recognises streams that begin with `magic`; tells who was accepted. */
export class TinyAdapter implements ProtocolAdapter {
  readonly name: string;
  readonly subprotocols: readonly string[];
  closed = false;
  private readonly magic: Buffer;
  private readonly onAccept: (accepted: Accepted) => void;

  constructor(name: string, subprotocols: readonly string[], magic: string, onAccept: (accepted: Accepted) => void) {
    this.name = name;
    this.subprotocols = subprotocols;
    this.magic = Buffer.from(magic, 'latin1');
    this.onAccept = onAccept;
  }

  detect(bytes: Uint8Array, start: number, end: number): Detection {
    const length = Math.min(this.magic.length, end - start);
    if (!this.magic.subarray(0, length).equals(bytes.subarray(start, start + length))) return Detection.No;
    return length === this.magic.length ? Detection.Yes : Detection.More;
  }

  accept(transport: Transport, subprotocol: string): void {
    this.onAccept({ adapter: this.name, subprotocol, transport });
  }

  close(): void {
    this.closed = true;
  }
}

export const MQTT_MAGIC = '\x10';
export const STOMP_MAGIC = 'CONNECT';
export const MQTT_SUBPROTOCOLS = ['mqtt', 'mqttv3.1'];
export const STOMP_SUBPROTOCOLS = ['v12.stomp', 'v11.stomp', 'v10.stomp'];

export interface ServerOptions {
  readonly environment?: TransportEnvironment;
  readonly clock?: ManualClock;
  readonly accept?: readonly string[];
  readonly origins?: readonly string[];
  readonly socketMode?: SocketMode;
  readonly messageBytesMax?: number;
  readonly preAuthBytesMax?: number;
  readonly connectionsMax?: number;
  readonly port?: number;
  /** Serves the listener by this engine, HTTP only. */
  readonly uws?: Uws;
  readonly onAccept: (accepted: Accepted) => void;
}

export class TestServer {
  readonly logger = new KeptLogger();
  readonly clock: ManualClock;
  readonly environment: TransportEnvironment;
  readonly connections: ConnectionCount;
  readonly parts: UwsParts;
  readonly gate: Gate;
  readonly http: HttpAdapter;
  readonly engine: WsEngine;
  readonly listener: StreamListener;
  port = 0;

  constructor(options: ServerOptions) {
    this.clock = options.clock ?? new ManualClock();
    const { clock, logger } = this;
    this.environment = options.environment ?? {
      arena: new Arena(8),
      turn: new Turn(clock),
      clock,
      congestedBytes: 256 * 1024,
    };
    const { environment } = this;
    this.gate = new Gate({ clock, logger, handshakeTimeoutMs: 10_000 });
    const { gate } = this;
    gate.add(new TinyAdapter('mqtt', MQTT_SUBPROTOCOLS, MQTT_MAGIC, options.onAccept));
    gate.add(new TinyAdapter('stomp', STOMP_SUBPROTOCOLS, STOMP_MAGIC, options.onAccept));
    this.connections = new ConnectionCount(options.connectionsMax ?? 100);
    const { connections } = this;
    this.parts = {
      connections,
      handler: servePages,
      logger,
      environment,
      gate,
      rules: { paths: ['/mqtt', '/stomp', '/ws'], origins: options.origins ?? ['same-host'] },
      limits: {
        messageBytesMax: options.messageBytesMax ?? 64 * 1024 * 1024,
        preAuthBytesMax: options.preAuthBytesMax ?? 1024 * 1024 * 1024,
      },
    };
    this.engine = new WsEngine(this.parts);
    this.http = new HttpAdapter({ gate, handler: servePages, upgrades: this.engine });
    gate.add(this.http);
    const { socketMode, uws } = options;
    const spec = {
      name: 'test',
      host: '127.0.0.1',
      port: options.port ?? 0,
      accept: options.accept ?? ['mqtt', 'stomp', 'http'],
      secure: false,
    };
    this.listener =
      uws === undefined
        ? new Listener(
            { environment, connections, gate, logger, ...(socketMode === undefined ? {} : { socketMode }) },
            spec,
          )
        : new UwsListener(uws, this.parts, spec);
  }

  async listen(): Promise<this> {
    this.port = (await this.listener.listen()).port;
    return this;
  }

  async close(): Promise<void> {
    await this.listener.close();
    this.http.close();
    this.engine.close();
  }

  /** The lines of the log, as `code: message`. */
  get log(): string[] {
    return this.logger.lines.map(({ fields, message }) => `${String(fields.code)}: ${message}`);
  }
}

export class WsClient implements CarrierClient {
  readonly received: Buffer[] = [];
  readonly texts: boolean[] = [];
  readonly webSocket: WebSocket;
  closed = false;
  closeCode = 0;
  closeReason = '';

  constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
    webSocket.on('message', (data, isBinary) => {
      this.received.push(data as Buffer);
      this.texts.push(!isBinary);
    });
    webSocket.on('close', (code, reason) => {
      this.closed = true;
      this.closeCode = code;
      this.closeReason = reason.toString();
    });
    webSocket.on('error', nothing);
  }

  static async connect(url: string, subprotocols: string[] = [], origin = ''): Promise<WsClient> {
    const webSocket = new WebSocket(url, subprotocols, {
      perMessageDeflate: false,
      maxPayload: 1 << 30,
      ...(origin === '' ? {} : { origin }),
    });
    await new Promise<void>((resolve, reject) => {
      webSocket.once('open', () => resolve());
      webSocket.once('error', reject);
      webSocket.once('unexpected-response', (_request, response) => {
        reject(new Error(`refused with ${response.statusCode}`));
        webSocket.on('error', nothing);
        webSocket.terminate();
      });
    });
    return new WsClient(webSocket);
  }

  send(bytes: Uint8Array): void {
    this.webSocket.send(bytes);
  }

  sendText(text: string): void {
    this.webSocket.send(text);
  }

  unsentBytes(): number {
    return this.webSocket.bufferedAmount;
  }

  stopReading(): void {
    this.webSocket.pause();
  }

  startReading(): void {
    this.webSocket.resume();
  }

  end(): void {
    this.webSocket.close(1000);
  }

  abort(): void {
    this.webSocket.terminate();
  }
}
