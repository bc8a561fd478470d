// A scripted STOMP client on a pipe of the world: sends frames as bytes, gives back what came as frame objects. And a world with a STOMP adapter in it.
import { STOMP_CODEC } from '../../protocols/stomp/codec-run.ts';
import { FrameScanner, Scan } from '../../protocols/stomp/decoder.ts';
import { encodeFrame } from '../../protocols/stomp/encoder.ts';
import { type CommandName, Frame, Version } from '../../protocols/stomp/frame.ts';
import { StompAdapter } from '../../protocols/stomp/index.ts';
import type { StompOptions } from '../../protocols/stomp/options.ts';
import type { Peer } from '../../src/io/transport.ts';
import { type Pipe, World, type WorldOptions } from './world.ts';

export const STOMP_DEFAULTS: StompOptions = {
  heartBeatSendMs: 10_000,
  heartBeatReceiveMs: 10_000,
  frameBytesMax: 17 * 1024 * 1024,
  headersMax: 256,
  headerBytesMax: 16 * 1024,
  bodyBytesMax: 16 * 1024 * 1024,
  strictHost: false,
  prefetchDefault: 100,
  levelsMax: 128,
  subscriptionsMax: 10_000,
  preAuthBytesMax: 65_536,
};

export interface StompWorldOptions extends WorldOptions {
  readonly stomp?: Partial<StompOptions>;
  /** Asked for every connection. */
  readonly activemq?: boolean | (() => boolean);
}

export class StompWorld extends World {
  readonly stompAdapter: StompAdapter;

  constructor(options: StompWorldOptions = {}) {
    const make = (world: World): StompAdapter =>
      new StompAdapter({
        broker: world.broker,
        arena: world.arena,
        turn: world.turn,
        clock: world.clock,
        random: world.random,
        logger: world.logger,
        authenticator: world.authenticator,
        serverVersion: '1.2.3',
        listenerVhost: () => '/',
        activemq: () => (typeof options.activemq === 'function' ? options.activemq() : (options.activemq ?? false)),
        options: { ...STOMP_DEFAULTS, ...options.stomp },
      });
    super({
      ...options,
      adapters: [make, ...(options.adapters ?? [])],
      codecs: [STOMP_CODEC, ...(options.codecs ?? [])],
    });
    this.stompAdapter = this.adapters.find((adapter) => adapter instanceof StompAdapter)!;
  }
}

type Headers = Readonly<Record<string, string | number | boolean>>;

export function frame(command: CommandName, headers: Headers = {}, body: string | Uint8Array = ''): Frame {
  return new Frame(
    command,
    Object.entries(headers).flatMap(([name, value]) => [name, String(value)]),
    body,
  );
}

export class StompClient {
  readonly pipe: Pipe;
  version: Version = Version.V1_0;
  /** Chunks of at most so many bytes. */
  chunkBytes = Number.POSITIVE_INFINITY;
  /** Line ends that came between frames. */
  heartBeats = 0;
  private readonly world: StompWorld;
  private rest = Buffer.alloc(0);
  private held: Frame[] = [];

  constructor(world: StompWorld, peer?: Peer) {
    this.world = world;
    this.pipe = world.connect(world.stompAdapter, peer);
  }

  /** A client that is connected with this version. */
  static connected(world: StompWorld, version: Version = Version.V1_2, headers: Headers = {}): StompClient {
    const client = new StompClient(world);
    client.send(
      frame('CONNECT', { 'accept-version': { 10: '1.0', 11: '1.1', 12: '1.2' }[version], host: '/', ...headers }),
    );
    client.version = version;
    const [connected] = client.receive();
    if (connected?.command !== 'CONNECTED') throw new Error(`not connected: ${JSON.stringify(connected)}`);
    return client;
  }

  send(...frames: Frame[]): void {
    this.sendBytes(Buffer.concat(frames.map((one) => encodeFrame(one, this.version))));
  }

  sendBytes(bytes: Uint8Array | string): void {
    this.pipe.send(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, this.chunkBytes);
  }

  /** Ends the turn and gives what has come. */
  receive(): Frame[] {
    this.world.settle();
    return this.read();
  }

  /** What has come, without ending the turn. */
  read(): Frame[] {
    this.rest = Buffer.concat([this.rest, this.pipe.taken()]);
    const scanner = new FrameScanner();
    scanner.version = this.version;
    const frames = this.held;
    this.held = [];
    for (let at = 0; ; at = scanner.frameEnd) {
      const found = at === this.rest.length ? Scan.INCOMPLETE : scanner.scan(this.rest, at, this.rest.length);
      if (found === Scan.INCOMPLETE) {
        this.rest = this.rest.subarray(at);
        return frames;
      }
      if (found === Scan.FRAME) frames.push(scanner.toFrame());
      else this.heartBeats += scanner.frameEnd - at;
    }
  }

  /** MESSAGE frames of what has come; anything else is an error. */
  messages(): Frame[] {
    const frames = this.receive();
    const other = frames.find(({ command }) => command !== 'MESSAGE');
    if (other !== undefined) throw new Error(`${other.command} came: ${JSON.stringify(other.headers)} ${other.text()}`);
    return frames;
  }

  /** Bodies of what has come. */
  bodies(): string[] {
    return this.messages().map((message) => message.text());
  }

  subscribe(destination: string, headers: Headers = {}): this {
    // What comes with it is for the next receive().
    this.held = this.request(frame('SUBSCRIBE', { id: 'sub', destination, ...headers }));
    return this;
  }

  publish(destination: string, body: string | Uint8Array = '', headers: Headers = {}): void {
    this.send(frame('SEND', { destination, ...headers }, body));
  }

  private receipts = 0;

  /** Sends a frame with a receipt and gives what comes before the RECEIPT. */
  request(asked: Frame): Frame[] {
    const receipt = `receipt-${++this.receipts}`;
    this.send(new Frame(asked.command, [...asked.headers, 'receipt', receipt], asked.body));
    const frames = this.receive();
    const at = frames.findIndex(({ command }) => command === 'RECEIPT');
    if (at < 0 || frames[at]!.header('receipt-id') !== receipt) {
      throw new Error(
        `no receipt for ${asked.command}: ${JSON.stringify(frames.map((f) => [f.command, f.headers, f.text()]))}`,
      );
    }
    frames.splice(at, 1);
    return frames;
  }

  /** The ERROR that came, after which the connection has ended; null when none did. */
  error(): Frame | null {
    const found = this.receive().find(({ command }) => command === 'ERROR') ?? null;
    if (found !== null && !this.pipe.ended) throw new Error('ERROR came, and the connection goes on');
    return found;
  }

  hangUp(): void {
    this.pipe.hangUp();
    this.world.settle();
  }
}
