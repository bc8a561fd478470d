// One client's connection: from bytes to broker calls and back. It is the publisher of what it sends and the receiver of what the core delivers; SEND and ACK take no object each, everything
// else a readable path. It ends itself on every error of its peer, with an ERROR that says why, and touches nobody else.
// A little longer than most files: it is one state machine, whose transitions are read together.
import type { Principal } from '../../src/core/authorizer.ts';
import { ConfirmRing, type ConfirmSink } from '../../src/core/confirms.ts';
import type { Counters } from '../../src/core/counters.ts';
import type { Destination } from '../../src/core/delivery.ts';
import { BrokerError, ProtocolError } from '../../src/core/errors.ts';
import type { Publisher } from '../../src/core/publisher.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { RouteTable } from '../../src/core/route-table.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { ChunkJoiner } from '../../src/io/chunk-joiner.ts';
import type { LogFields } from '../../src/io/logger.ts';
import type { Output } from '../../src/io/output.ts';
import { randomName } from '../../src/io/random.ts';
import type { Transport, TransportHandler } from '../../src/io/transport.ts';
import { onAck } from './acknowledgements.ts';
import { compositeParts, destinationToAddress } from './addresses.ts';
import { onConnect } from './connect.ts';
import { FrameScanner, Scan } from './decoder.ts';
import type { DirectReceiver } from './direct.ts';
import { encodeFrame } from './encoder.ts';
import { errorFrame, stompError } from './errors.ts';
import { COMMAND_NAMES, Command, type Frame, Version } from './frame.ts';
import { HeaderFlag, type HeaderIndex } from './header-index.ts';
import { Header } from './headers.ts';
import type { HeartBeat } from './heart-beat.ts';
import type { Speech, StompAdapter } from './index.ts';
import { PublishPath } from './publish-path.ts';
import type { StompConsumer } from './queue-consumer.ts';
import { answer, closeAfterAnswers, writeConfirm } from './receipts.ts';
import type { RetainedReplay } from './retained-replay.ts';
import { resolveRoute, StompRoute } from './routes.ts';
import type { Subscription } from './subscription.ts';
import { endSubscription, onSubscribe, onUnsubscribe } from './subscriptions.ts';
import { isTemporary, Temporary } from './temporary.ts';
import { Transactions } from './transactions.ts';

/** Leaving: DISCONNECT has come, answers are still due. */
export const ConnectionState = { AwaitConnect: 0, Authenticating: 1, Connected: 2, Leaving: 3, Closed: 4 } as const;
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState];

const LF = 0x0a;
const CR = 0x0d;
const SESSION_NAME_LENGTH = 12;
const LINE_END = new Uint8Array([LF]);
const NO_ARGUMENTS: ReadonlyMap<string, string> = new Map();
/** A client takes so much from queues in one turn, and no more while so much has not left. */
const HOLD_BYTES = 1024 * 1024;
/** Routes to temporary destinations that a connection remembers. */
const OWN_ROUTES_MAX = 1000;

export class Connection implements TransportHandler, Publisher, ConfirmSink, DirectReceiver {
  readonly adapter: StompAdapter;
  readonly transport: Transport;
  readonly output: Output;
  readonly counters: Counters;
  readonly speech: Speech;
  readonly scanner: FrameScanner;
  readonly publishing: PublishPath;
  readonly transactions: Transactions;
  readonly temporary: Temporary;
  readonly confirms = new ConfirmRing();
  listedAwaiting = false;
  readonly subscriptions = new Map<string, Subscription>();
  readonly byPlace = new Map<number, Subscription>();
  state: ConnectionState = ConnectionState.AwaitConnect;
  version: Version = Version.V1_0;
  clientId = '';
  /** Unique in the broker; part of message ids. */
  sessionName = '';
  principal: Principal | null = null;
  vhost: Vhost;
  heartBeat: HeartBeat | null = null;
  replay: RetainedReplay | null = null;
  /** Where its subscriptions with no-local lead to. */
  noLocal: Set<Destination> | null = null;
  nextPlace = 1;
  /** No queue gives the client more for now: it does not keep up, or others have their turn. */
  holding = false;
  /** Bytes that had been written when it was released last. */
  private releasedBytes = 0;
  lastReceivedMs: number;
  /** How often it is paused. */
  pauseCount = 0;
  /** Frame size the joiner waits for; 0 when unknown. */
  bytesWanted = 0;
  private readonly joiner: ChunkJoiner;
  private readonly pumps: Subscription[] = [];
  private routes: RouteTable | null = null;
  private routesEpoch = -1;
  private ownRoutes: Map<string, StompRoute> | null = null;

  constructor(adapter: StompAdapter, transport: Transport) {
    this.adapter = adapter;
    this.transport = transport;
    this.output = transport.output;
    this.counters = adapter.broker.counters;
    this.vhost = adapter.broker.addVhost(adapter.listenerVhost(transport.listener));
    this.speech = adapter.speechOf(transport.listener);
    this.lastReceivedMs = adapter.monotonicMs;
    this.scanner = new FrameScanner(adapter.limitsBefore);
    this.joiner = new ChunkJoiner(adapter.arena, this);
    this.publishing = new PublishPath(this);
    this.transactions = new Transactions(this);
    this.temporary = new Temporary(this);
  }

  get name(): string {
    return this.clientId === '' ? this.sessionName : this.clientId;
  }

  owns(destination: Destination): boolean {
    return this.noLocal?.has(destination) === true;
  }

  get nowMs(): number {
    return this.adapter.broker.nowMs;
  }

  get closed(): boolean {
    return this.state === ConnectionState.Closed;
  }

  /** Largest frame the joiner may gather: small before authentication. */
  get frameBytesMax(): number {
    return this.scanner.limits.frameBytesMax;
  }

  // ---- TransportHandler

  onChunk(bytes: Uint8Array, start: number, end: number): void {
    this.lastReceivedMs = this.adapter.monotonicMs;
    // [STOMP-D-3]
    if (this.state >= ConnectionState.Leaving) return;
    // What is appended to the log belongs to a unit that ends with the turn, whether or not anybody is sent anything.
    this.adapter.turn.request();
    try {
      this.joiner.onChunk(bytes, start, end);
    } catch (error) {
      this.onError(error, this.receiptAtFault());
    }
  }

  onDrain(): void {
    this.release();
    this.replay?.go();
    this.adapter.broker.onOutputDrained();
  }

  onClosed(_error: Error | null): void {
    this.leave();
  }

  // ---- parsing

  /** Takes whole frames from bytes[start, end); returns where it stopped. */
  parse(bytes: Uint8Array, start: number, end: number): number {
    const { scanner, publishing } = this;
    let pos = start;
    this.bytesWanted = 0;
    while (pos < end && (this.state === ConnectionState.Connected || this.state === ConnectionState.AwaitConnect)) {
      const found = scanner.scan(bytes, pos, end);
      if (found === Scan.INCOMPLETE) {
        // Only a length that was announced says where the frame ends.
        const first = bytes[pos];
        if (scanner.contentLength >= 0 && first !== LF && first !== CR) this.bytesWanted = scanner.bytesNeeded;
        break;
      }
      pos = scanner.frameEnd;
      if (found === Scan.HEART_BEAT) continue;
      if (scanner.command === Command.SEND && this.state === ConnectionState.Connected)
        publishing.onSend(bytes, scanner);
      else {
        publishing.flush();
        if (!this.closed) this.onFrame(scanner);
      }
    }
    publishing.flush();
    this.pumpQueues();
    return this.state >= ConnectionState.Leaving ? end : pos;
  }

  private onFrame(scanner: FrameScanner): void {
    const { command } = scanner;
    if (this.state === ConnectionState.AwaitConnect) {
      if (command === Command.CONNECT || command === Command.STOMP) onConnect(this, scanner);
      else throw stompError('connect-expected', `${COMMAND_NAMES[command]!} came before CONNECT`);
      return;
    }
    switch (command) {
      case Command.CONNECT:
      case Command.STOMP:
        // [STOMP-C-11] [STOMP-C-12]
        throw stompError('connect-repeated', `${COMMAND_NAMES[command]!} came a second time`);
      case Command.SUBSCRIBE:
        onSubscribe(this, scanner);
        return;
      case Command.UNSUBSCRIBE:
        onUnsubscribe(this, scanner);
        return;
      case Command.ACK:
      case Command.NACK:
        onAck(this, scanner);
        return;
      case Command.BEGIN:
      case Command.COMMIT:
      case Command.ABORT:
        this.transactions.onFrame(scanner);
        return;
      case Command.DISCONNECT:
        this.onDisconnect();
        return;
      default:
        throw stompError('direction-wrong', `${COMMAND_NAMES[command]!} came from a client`);
    }
  }

  /** STOMP 1.2 "DISCONNECT": its receipt says that everything before it has been done. [STOMP-D-1] [STOMP-D-2] */
  private onDisconnect(): void {
    this.endAll();
    answer(this, this.adapter.broker.positionOfAll());
    this.state = ConnectionState.Leaving;
    closeAfterAnswers(this);
  }

  /** The client is who it says. */
  open(): void {
    this.sessionName = randomName(this.adapter.random, SESSION_NAME_LENGTH);
    this.scanner.version = this.version;
    this.scanner.limits = this.adapter.limits;
    this.state = ConnectionState.Connected;
  }

  // ---- routes

  /** The route of a destination header, perhaps not resolved yet. Throws for what is no destination. */
  findRoute(headers: HeaderIndex, index: number): StompRoute {
    if ((headers.flagsAt(index) & HeaderFlag.ESCAPED) === 0) {
      return this.routeOf(headers.bytes, headers.valueStart(index), headers.valueEnd(index));
    }
    const text = Buffer.from(headers.valueAt(index));
    return this.routeOf(text, 0, text.length);
  }

  private routeOf(bytes: Uint8Array, start: number, end: number): StompRoute {
    const { authorizer } = this.adapter.broker;
    if (this.routes === null || this.routesEpoch !== authorizer.epoch) {
      this.routes = this.speech.routes.get(this.vhost, this.principal!);
      this.routesEpoch = authorizer.epoch;
    }
    return (this.routes.lookup(bytes, start, end) as StompRoute | null) ?? this.makeRoute(bytes, start, end);
  }

  private makeRoute(bytes: Uint8Array, start: number, end: number): StompRoute {
    const destination = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    const parts = this.speech.dialect.activemq ? this.partsOf(destination) : null;
    if (parts !== null) {
      const routes = parts.map((part) => this.makeRoute(part, 0, part.length));
      const composite = new StompRoute(routes[0]!.address, routes[0]!.own, routes.slice(1));
      // One with a temporary part is this connection's only.
      if (!routes.some(({ own }) => own)) this.routes!.insert(composite, bytes, start, end);
      return composite;
    }
    const address = this.addressOf(destination);
    if (!isTemporary(address)) {
      const route = new StompRoute(address);
      this.routes!.insert(route, bytes, start, end);
      return route;
    }
    this.ownRoutes ??= new Map();
    let own = this.ownRoutes.get(destination);
    if (own === undefined) {
      this.publishing.flush();
      if (this.ownRoutes.size >= OWN_ROUTES_MAX) this.ownRoutes.clear();
      own = new StompRoute(this.temporary.sendAddress(address), true);
      this.ownRoutes.set(destination, own);
    }
    return own;
  }

  private partsOf(destination: string): Uint8Array[] | null {
    try {
      return compositeParts(destination, this.speech.dialect)?.map((part) => Buffer.from(part)) ?? null;
    } catch (error) {
      if (error instanceof BrokerError) throw stompError('destination-invalid', error.message);
      throw error;
    }
  }

  private addressOf(destination: string): ReturnType<typeof destinationToAddress> {
    try {
      return destinationToAddress(destination, this.speech.dialect);
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'invalid-argument')
        throw stompError('destination-invalid', error.message);
      throw error;
    }
  }

  /** Finds out where the route leads by now. */
  refreshRoute(route: StompRoute, args: ReadonlyMap<string, string> = NO_ARGUMENTS): void {
    if (args.size === 0 && this.vhost.changes.holds(route)) return;
    // What was gathered belongs to the bindings as they were.
    this.publishing.flush();
    resolveRoute(this.vhost, route, this.principal!, this.clientId, args);
  }

  // ---- subscriptions and queues

  add(subscription: Subscription): void {
    this.subscriptions.set(subscription.key, subscription);
    this.byPlace.set(subscription.place, subscription);
  }

  remove(subscription: Subscription): void {
    this.subscriptions.delete(subscription.key);
    this.byPlace.delete(subscription.place);
  }

  /** A delivery has been settled: its queue is asked for more at the end of the chunk. */
  wantPump(subscription: Subscription): void {
    if (subscription.pumpWanted) return;
    subscription.pumpWanted = true;
    this.pumps.push(subscription);
  }

  private pumpQueues(): void {
    if (this.pumps.length === 0) return;
    for (const subscription of this.pumps.splice(0)) {
      subscription.pumpWanted = false;
      if (!subscription.ended) subscription.queue!.pump();
    }
    this.replay?.go();
  }

  /** Asked while a queue delivers. */
  get hasEnough(): boolean {
    const { unsentBytes, totalBytes } = this.output;
    return unsentBytes >= HOLD_BYTES || totalBytes + unsentBytes - this.releasedBytes >= HOLD_BYTES;
  }

  /** Called while a queue delivers: the client has enough. `returned` is what that queue will add to the consumer's credit afterwards. */
  hold(consumer: StompConsumer, returned: number): void {
    if (!this.holding) {
      this.holding = true;
      for (const subscription of this.subscriptions.values()) subscription.consumer?.refreshCredit();
      // Whether it is congested shows when it has been flushed; if it is, a drain will follow.
      this.adapter.nextTurn(() => {
        if (!this.output.congested) this.release();
      });
    }
    consumer.credit.available = -returned;
  }

  private release(): void {
    if (!this.holding || this.state !== ConnectionState.Connected) return;
    this.holding = false;
    this.releasedBytes = this.output.totalBytes + this.output.unsentBytes;
    const subscriptions = [...this.subscriptions.values()];
    for (const { consumer } of subscriptions) consumer?.refreshCredit();
    for (const { queue, ended } of subscriptions) if (!ended) queue?.pump();
  }

  /** A queue was deleted under a subscription: its client would wait for ever. */
  onQueueGone(subscription: Subscription): void {
    subscription.unsettled?.clear();
    // The queue is still being deleted.
    this.adapter.nextTurn(() => {
      if (this.closed || subscription.ended) return;
      const name = JSON.stringify(subscription.queue!.name);
      this.fail(
        new BrokerError(
          'not-found',
          `queue ${name} is gone, and with it subscription ${JSON.stringify(subscription.id)}`,
        ),
        null,
      );
    });
  }

  // ---- Publisher

  get awaitsDurable(): boolean {
    return !this.confirms.empty;
  }

  onDurable(position: number): void {
    this.confirms.release(position, this);
  }

  onConfirm(what: number, extra: object | null): void {
    if (!this.closed) writeConfirm(this, what, extra);
  }

  onLogFailed(): void {
    this.confirms.clear();
    this.fail(stompError('internal-error', 'the log has failed'), null);
  }

  pause(): void {
    this.pauseCount++;
    this.transport.pause();
  }

  /** STOMP has nothing that its peer would wait for an answer to, as MQTT has PINGREQ: reading may stop for as long as it takes. */
  holdMessages(): void {
    this.pause();
  }

  releaseMessages(): void {
    this.resume();
  }

  resume(): void {
    this.pauseCount--;
    this.transport.resume();
  }

  // ---- time

  tick(nowMs: number): void {
    const { heartBeat, output } = this;
    if (heartBeat === null || this.state !== ConnectionState.Connected) return;
    // [STOMP-H-3] [STOMP-H-4] [STOMP-H-5] [STOMP-H-7]
    // While nothing is read from it, nothing is known about it.
    if (this.pauseCount > 0) this.lastReceivedMs = nowMs;
    if (heartBeat.silenceMaxMs > 0 && nowMs - this.lastReceivedMs > heartBeat.silenceMaxMs) {
      this.fail(
        stompError('heart-beat-missed', `nothing came for ${Math.round(nowMs - this.lastReceivedMs)} ms`),
        null,
      );
    } else if (heartBeat.isDue(nowMs, output.totalBytes + output.unsentBytes) && output.unsentBytes === 0) {
      output.append(LINE_END, 0, 1);
    }
  }

  // ---- sending and ending

  send(frame: Frame): void {
    const bytes = encodeFrame(frame, this.version);
    this.output.append(bytes, 0, bytes.length);
  }

  /** The authentication has been answered: go on with what has arrived. */
  goOn(): void {
    if (this.closed) return;
    try {
      this.joiner.retry();
    } catch (error) {
      this.onError(error, this.receiptAtFault());
    }
  }

  /** The receipt header of the frame that the scanner has or was about to find. */
  private receiptAtFault(): string | null {
    return this.scanner.headers.string(Header.receipt);
  }

  onError(error: unknown, receiptId: string | null): void {
    // What stood in front of the error was complete and valid, so it counts. It may itself be refused, with an ERROR of its own.
    this.publishing.flush();
    // Ours: not to be hidden.
    if (!(error instanceof ProtocolError) && !(error instanceof BrokerError)) throw error;
    this.fail(error, receiptId);
  }

  /** STOMP 1.2 "ERROR": says why, and ends. [STOMP-R-4] [STOMP-R-5] */
  fail(error: ProtocolError | BrokerError, receiptId: string | null): void {
    if (this.closed) return;
    const { logger } = this.adapter;
    if (error instanceof ProtocolError) this.counters.protocolErrors++;
    const message = error instanceof ProtocolError ? 'protocol error' : 'refused';
    logger.warn({ ...this.logFields(), code: error.code }, `${message}: ${error.message}`);
    this.send(errorFrame(error, receiptId));
    this.leave();
  }

  private endAll(): void {
    for (const { consumer } of this.subscriptions.values()) if (consumer !== null) consumer.credit.available = 0;
    // Queue by queue: what one subscription of this connection gives back is not for another one of it, and keeps its order beside what that one gives back.
    const byQueue = new Map<Queue | null, Subscription[]>();
    for (const subscription of this.subscriptions.values()) {
      const others = byQueue.get(subscription.queue);
      if (others === undefined) byQueue.set(subscription.queue, [subscription]);
      else others.push(subscription);
    }
    for (const [queue, subscriptions] of byQueue) {
      const leave = () => {
        for (const subscription of subscriptions) endSubscription(this, subscription);
      };
      if (queue === null) leave();
      else queue.part(leave);
    }
    // [STOMP-T-5]
    this.transactions.abortAll();
    this.temporary.end();
    this.replay?.stop();
  }

  /** Ends the connection: what it has not settled goes back, its open transactions are void, the stream ends. Safe to call again. */
  leave(): void {
    if (this.closed) return;
    this.publishing.flush();
    this.state = ConnectionState.Closed;
    this.endAll();
    this.adapter.forget(this);
    this.transport.end();
    this.confirms.clear();
    this.adapter.broker.forgetPublisher(this);
    this.adapter.broker.onOutputDrained();
  }

  logFields(): LogFields {
    const { peer, listener } = this.transport;
    return { listener, peer: `${peer.address}:${peer.port}`, session: this.sessionName, clientId: this.clientId };
  }
}
