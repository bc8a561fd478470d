// The way of a SEND from its bytes into the core. Consecutive SENDs to the same destinations in the same manner are written in normal form (codec-run.ts), one behind the other, into
// memory that all connections share, and published as one borrowed run; flush() does that and answers. A frame whose headers are those of the frame before costs a look at
// a number, and copies. Whatever is unusual (transaction, retain, expiry, x-nack, long frames) becomes a run of its own.
//
//   slot  ┌──────────────┬──────────────┬──────────────┬───
//         │head│body│NUL │head│body│NUL │head│body│NUL │ …      head: written once, copied from frame to frame
//         └──────────────┴──────────────┴──────────────┴───
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import type { DestinationSet } from '../../src/core/destination-set.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { Run } from '../../src/core/run.ts';
import type { Slot } from '../../src/io/arena.ts';
import { REFERENCE_BYTES_MIN } from '../../src/io/output.ts';
import { copy } from '../../src/lib/copy.ts';
import { destinationToAddress } from './addresses.ts';
import { isEmpty, SEND_LINE, SEND_LINE_BYTES, STOMP_CODEC, TEXT, variantOf } from './codec-run.ts';
import type { Connection } from './connection.ts';
import type { FrameScanner } from './decoder.ts';
import { headerBytes, writeDecimal, writeHeader } from './encoder.ts';
import { stompError } from './errors.ts';
import { Version } from './frame.ts';
import { HeaderFlag, type HeaderIndex } from './header-index.ts';
import { Header } from './headers.ts';
import { expiresAt } from './lifetime.ts';
import { mayBeArgument, priorityOf, queueArguments, TAKEN_OUT } from './mapping.ts';
import * as receipts from './receipts.ts';
import type { StompRoute } from './routes.ts';
import { subscribeToReplies } from './subscriptions.ts';
import { isTemporary, startsWithTemp } from './temporary.ts';
import { queueFull } from './transactions.ts';

/** Messages of one run: bounds the scratch arrays, and how long one publish call can take. */
export const RUN_COUNT_MAX = 1024;
/** Longer frames get memory of their own at once, which then goes by reference. */
const LONG_BYTES = REFERENCE_BYTES_MIN;

const LF = 0x0a;
const NUL = 0x00;
const CONTENT_LENGTH = new TextEncoder().encode('content-length:');
/** content-length line and empty line, at their longest. */
const BODY_LINES_BYTES_MAX = CONTENT_LENGTH.length + 16 + 2;
const NO_ARGUMENTS: ReadonlyMap<string, string> = new Map();

/** What all connections of an adapter gather into; only one of them parses at a time. */
export class Gathering {
  readonly run = new Run(STOMP_CODEC);
  readonly single = new Run(STOMP_CODEC);
  readonly slot: Slot;
  readonly offsets = new Uint32Array(RUN_COUNT_MAX + 1);
  /** Of message i, where its receipt's id is in `source`; an end of 0 for none. */
  readonly receiptStarts = new Uint32Array(RUN_COUNT_MAX);
  readonly receiptEnds = new Uint32Array(RUN_COUNT_MAX);
  source: Uint8Array;
  count = 0;
  receiptCount = 0;
  /** Where the next frame goes. */
  at: number;
  set: DestinationSet | null = null;
  route: StompRoute | null = null;
  owner: PublishPath | null = null;
  // The head in the frame written last: whose, for which headers, where, how long without and with the lines that depend on the body, and for a body how long.
  headOwner: PublishPath | null = null;
  headGeneration = -1;
  headAt = 0;
  headBaseBytes = 0;
  headBytes = 0;
  headBodyBytes = -1;

  constructor(slot: Slot) {
    this.slot = slot;
    this.source = slot.bytes;
    this.at = slot.start;
  }
}

export class PublishPath {
  private readonly connection: Connection;
  private readonly gathering: Gathering;
  // What the headers of generation `generation` ask for.
  private generation = -1;
  private route: StompRoute | null = null;
  private guarantee: 0 | 1 = 0;
  private priority = 0;
  private variant = 0;
  private receipt = -1;
  private headBytesMax = 0;
  /** It goes without content-length. */
  private text = false;
  /** Whether it does depends on the body: a text is asked for, and content-length is there. */
  private mayBeText = false;
  /** Apart from the destination's line, it reads the same in every version. */
  private portable = false;
  private special = false;
  /** Instead of the value of reply-to, where that is a temporary destination. */
  private replyTo: string | null = null;

  constructor(connection: Connection) {
    this.connection = connection;
    this.gathering = connection.adapter.gathering;
  }

  /** The SEND that the scanner has found in `bytes`. */
  onSend(bytes: Uint8Array, scanner: FrameScanner): void {
    const { headers } = scanner;
    const { connection } = this;
    if (headers.generation !== this.generation && !this.classifies(scanner)) return;
    const route = this.route!;
    if (route.generation !== connection.vhost.generation) connection.refreshRoute(route);
    const bodyBytes = scanner.bodyEnd - scanner.bodyStart;
    const bytesMax = this.headBytesMax + BODY_LINES_BYTES_MAX + bodyBytes + 1;
    if (this.special || !route.allowed || bytesMax > LONG_BYTES) {
      this.flush();
      if (!connection.closed) this.one(bytes, scanner, route, bytesMax);
      return;
    }
    const gathering = this.gathering;
    const { slot, run } = gathering;
    if (
      gathering.count > 0 &&
      (route.set !== gathering.set ||
        this.variant !== run.variant ||
        this.guarantee !== run.guarantee ||
        this.priority !== run.priority ||
        gathering.count === RUN_COUNT_MAX ||
        gathering.at + bytesMax > slot.end)
    ) {
      this.flush();
      if (connection.closed) return;
    }
    if (gathering.count === 0) this.begin(route, bytes);
    const { count } = gathering;
    const start = gathering.at;
    let at = this.writeHeadOnce(slot.bytes, start, scanner, bodyBytes);
    if (bodyBytes > 0) {
      copy(bytes, scanner.bodyStart, scanner.bodyEnd, slot.bytes, at);
      at += bodyBytes;
    }
    slot.bytes[at++] = NUL;
    gathering.at = at;
    gathering.offsets[count + 1] = at - slot.start;
    if (at - start > run.frameBytesMax) run.frameBytesMax = at - start;
    if (this.receipt < 0) gathering.receiptEnds[count] = 0;
    else {
      gathering.receiptStarts[count] = headers.valueStart(this.receipt);
      gathering.receiptEnds[count] = headers.valueEnd(this.receipt);
      gathering.receiptCount++;
    }
    gathering.count = count + 1;
    // Each may go elsewhere, or be refused.
    if (route.oneByOne) this.flush();
  }

  private begin(route: StompRoute, source: Uint8Array): void {
    const { gathering } = this;
    const { run } = gathering;
    gathering.owner = this;
    gathering.route = route;
    gathering.set = route.set;
    gathering.source = source;
    gathering.receiptCount = 0;
    gathering.at = gathering.slot.start;
    run.variant = this.variant;
    run.guarantee = this.guarantee;
    run.priority = this.priority;
    run.frameBytesMax = 0;
  }

  /** Publishes what has been gathered, and answers it. */
  flush(): void {
    const { gathering, connection } = this;
    const { count, run } = gathering;
    if (count === 0 || gathering.owner !== this) return;
    gathering.count = 0;
    run.reuse();
    run.bytes = gathering.slot.bytes;
    run.start = gathering.slot.start;
    run.end = gathering.at;
    run.count = count;
    run.offsets = gathering.offsets;
    run.receivedAtMs = connection.nowMs;
    run.publisher = connection;
    const position = connection.vhost.publish(run, gathering.route!);
    if (run.refused !== null) this.publishEach(run);
    else if (gathering.receiptCount > 0) {
      const { receiptStarts, receiptEnds, source } = gathering;
      receipts.answerMany(connection, source, receiptStarts, receiptEnds, count, position);
    }
  }

  /** A queue has no room for all of the run: message by message, as far as it goes. */
  private publishEach(refused: Run): void {
    const { gathering, connection } = this;
    const { counters } = connection;
    const { single, receiptStarts, receiptEnds, source } = gathering;
    // They are counted again.
    counters.messagesReceived -= refused.count;
    counters.bytesReceived -= refused.byteLength;
    counters.refusedQuota -= refused.count;
    for (let i = 0; i < refused.count && !connection.closed; i++) {
      single.reuse();
      single.bytes = refused.bytes;
      single.start = refused.frameStart(i);
      single.end = refused.frameEnd(i);
      single.count = 1;
      single.variant = refused.variant;
      single.guarantee = refused.guarantee;
      single.priority = refused.priority;
      single.frameBytesMax = single.byteLength;
      single.receivedAtMs = refused.receivedAtMs;
      single.publisher = connection;
      const position = connection.vhost.publish(single, gathering.route!);
      const end = receiptEnds[i]!;
      // Without a receipt nothing was promised; the counter knows of it.
      if (end === 0) continue;
      const start = receiptStarts[i]!;
      if (single.refused === null) receipts.answerRange(connection, source, start, end, position);
      else connection.fail(quotaError(gathering.route!), Buffer.from(source.subarray(start, end)).toString());
    }
  }

  /** One SEND as a run of its own; nothing is gathered. */
  private one(bytes: Uint8Array, scanner: FrameScanner, route: StompRoute, bytesMax: number): void {
    const { headers } = scanner;
    const { connection } = this;
    if (!route.allowed) {
      if (route.refusalCode === 'access-refused') connection.counters.refusedUnauthorized++;
      this.refuse(headers, new BrokerError(route.refusalCode, route.refusal!), true);
      return;
    }
    if (route.others.length > 0) {
      this.toEach(bytes, scanner, route, bytesMax);
      return;
    }
    const run = this.ownRun(bytes, scanner, bytesMax);
    const retain = headers.is(Header.retain, 'true');
    const transaction = headers.string(Header.transaction);
    if (transaction !== null) {
      connection.transactions.send(transaction, run, route, retain);
      receipts.answer(connection, 0);
      return;
    }
    const position = this.publishOwned(run, route, retain);
    if (run.refused !== null) this.refuse(headers, quotaError(route), false);
    else receipts.answer(connection, position);
  }

  /** A SEND to a composite destination: one message for each of its parts, or none when one of them may not be sent to. */
  private toEach(bytes: Uint8Array, scanner: FrameScanner, composite: StompRoute, bytesMax: number): void {
    const { headers } = scanner;
    const { connection } = this;
    const { version } = connection;
    const retain = headers.is(Header.retain, 'true');
    const transaction = headers.string(Header.transaction);
    for (const route of composite.others) {
      if (route.generation !== connection.vhost.generation) connection.refreshRoute(route);
      if (!route.allowed) throw new BrokerError(route.refusalCode, route.refusal!);
    }
    let position = 0;
    for (const route of [composite, ...composite.others]) {
      // One before it may have declared its queue.
      if (route.generation !== connection.vhost.generation) connection.refreshRoute(route);
      this.route = route;
      this.variant = variantOf(version, this.portable && route.portable, route.notation, retain, this.text);
      const run = this.ownRun(bytes, scanner, bytesMax + route.line(version).length);
      if (transaction !== null) connection.transactions.send(transaction, run, route, retain);
      else position = Math.max(position, this.publishOwned(run, route, retain));
      if (run.refused === null) continue;
      this.generation = -1;
      this.refuse(headers, quotaError(route), false);
      return;
    }
    // What is known of these headers is of the last part now.
    this.generation = -1;
    receipts.answer(connection, position);
  }

  /** Returns the log position to wait for; run.refused says what became of it. */
  publishOwned(run: Run, route: StompRoute, retain: boolean): number {
    const { connection } = this;
    const { vhost } = connection;
    run.publisher = connection;
    const position = vhost.publish(run, route);
    if (!retain || run.refused !== null || route.exchange !== TOPIC_EXCHANGE) return position;
    // A message without a body clears what was retained.
    const retained = vhost.retain(route.key.path, isEmpty(run) ? null : run);
    if (retained < 0) run.refused = 'quota-exceeded';
    return Math.max(position, retained);
  }

  /**
   * STOMP knows but one no, the ERROR that ends the connection; x-nack:true asks for a RECEIPT that says it instead. Where nothing was promised and nothing is wrong with the
   * frame, the counter is enough.
   */
  private refuse(headers: HeaderIndex, error: BrokerError, always: boolean): void {
    const { connection } = this;
    const promised = headers.has(Header.receipt);
    if (promised && headers.is(Header['x-nack'], 'true')) receipts.refuse(connection, headers, error);
    else if (promised || always) throw error;
  }

  // Headers.

  /** Finds out what new headers ask for. False when that is refused, and the refusal has been told. */
  private classifies(scanner: FrameScanner): boolean {
    this.generation = -1;
    try {
      this.classify(scanner);
      return true;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      this.flush();
      if (!this.connection.closed) this.refuse(scanner.headers, error, true);
      return false;
    }
  }

  private classify(scanner: FrameScanner): void {
    const { connection } = this;
    const { headers } = scanner;
    const { version } = connection;
    const destination = headers.find(Header.destination);
    // [STOMP-S-1]
    if (destination < 0) throw stompError('header-missing', 'SEND without the header destination');
    const route = connection.findRoute(headers, destination);
    this.route = route;
    this.replyTo = this.replacedReplyTo(headers);
    let portable = true;
    let mayHaveArguments = false;
    let size = SEND_LINE_BYTES + route.line(version).length;
    for (let i = 0; i < headers.count; i++) {
      const number = headers.numberAt(i);
      if (isLeftOut(headers, i, number)) continue;
      if (this.isRewritten(headers, i, number))
        size += headerBytes(this.nameOf(headers, i, number), this.valueOf(headers, i, number), version);
      else size += headers.lineBytes(i);
      if (!headers.isPortable(i)) portable = false;
      if (mayBeArgument(headers, i)) mayHaveArguments = true;
    }
    if (this.replyTo !== null) portable = portable && !/[:\\]/.test(this.replyTo);
    const args = mayHaveArguments && route.address.declare ? queueArguments(headers) : NO_ARGUMENTS;
    if (args.size > 0 || route.generation !== connection.vhost.generation) connection.refreshRoute(route, args);
    const retain = headers.is(Header.retain, 'true');
    this.guarantee = headers.is(Header.persistent, 'true') ? 1 : 0;
    this.priority = priorityOf(headers);
    this.receipt = headers.find(Header.receipt);
    this.portable = portable;
    this.readType(headers);
    this.variant = variantOf(version, portable && route.portable, route.notation, retain, this.text);
    this.headBytesMax = size;
    this.special =
      retain ||
      headers.has(Header.transaction) ||
      headers.has(Header.expiration) ||
      headers.has(Header.expires) ||
      headers.has(Header['x-nack']) ||
      this.mayBeText ||
      route.others.length > 0;
    this.generation = headers.generation;
  }

  /** ActiveMQ's dialect: what comes without content-length is text, anything else bytes, unless amq-msg-type says otherwise. */
  private readType(headers: HeaderIndex): void {
    const { activemq } = this.connection.speech.dialect;
    const counted = headers.has(Header['content-length']);
    this.text = activemq && !counted && !headers.is(Header['amq-msg-type'], 'bytes');
    this.mayBeText = activemq && counted && headers.is(Header['amq-msg-type'], 'text');
  }

  /** A temporary destination in reply-to means something to this connection only: it is replaced by what others can use. */
  private replacedReplyTo(headers: HeaderIndex): string | null {
    const reply = headers.find(Header['reply-to']);
    if (reply < 0 || !startsWithTemp(headers.bytes, headers.valueStart(reply), headers.valueEnd(reply))) return null;
    const { connection } = this;
    const address = destinationToAddress(headers.valueAt(reply), connection.speech.dialect);
    if (!isTemporary(address)) return null;
    // Queues and subscriptions may be made, and the routes change: what was sent before goes first.
    this.flush();
    const destination = connection.temporary.replyDestination(address);
    if (address.kind === 'temp-queue') subscribeToReplies(connection, address.name);
    return destination;
  }

  /** Whether the header's line is not the one that came. */
  private isRewritten(headers: HeaderIndex, i: number, number: number): boolean {
    if (number === Header['message-id']) return true;
    if (number === Header['reply-to'] && this.replyTo !== null) return headers.find(number) === i;
    // From 1.1 on a colon in a value is written \c; whoever does not is understood, but not repeated.
    return this.connection.version !== Version.V1_0 && (headers.flagsAt(i) & HeaderFlag.RAW) !== 0;
  }

  private nameOf(headers: HeaderIndex, i: number, number: number): string {
    // message-id is the broker's; the publisher's own travels beside it.
    return number === Header['message-id'] ? 'x-message-id' : headers.nameAt(i);
  }

  private valueOf(headers: HeaderIndex, i: number, number: number): string {
    return number === Header['reply-to'] && headers.find(number) === i && this.replyTo !== null
      ? this.replyTo
      : headers.valueAt(i);
  }

  /** The lines up to content-length. */
  private writeHead(out: Uint8Array, start: number, { headers }: FrameScanner): number {
    const { version } = this.connection;
    const line = this.route!.line(version);
    out.set(SEND_LINE, start);
    out.set(line, start + SEND_LINE_BYTES);
    let at = start + SEND_LINE_BYTES + line.length;
    for (let i = 0; i < headers.count; i++) {
      const number = headers.numberAt(i);
      if (isLeftOut(headers, i, number)) continue;
      at = this.isRewritten(headers, i, number)
        ? writeHeader(out, at, this.nameOf(headers, i, number), this.valueOf(headers, i, number), version)
        : headers.copyLine(i, out, at);
    }
    return at;
  }

  /** The head, copied from the frame before where that has the same headers. */
  private writeHeadOnce(out: Uint8Array, start: number, scanner: FrameScanner, bodyBytes: number): number {
    const { gathering } = this;
    const { headAt } = gathering;
    gathering.headAt = start;
    let at: number;
    if (gathering.headOwner === this && gathering.headGeneration === this.generation) {
      if (gathering.headBodyBytes === bodyBytes) {
        out.copyWithin(start, headAt, headAt + gathering.headBytes);
        return start + gathering.headBytes;
      }
      out.copyWithin(start, headAt, headAt + gathering.headBaseBytes);
      at = start + gathering.headBaseBytes;
    } else {
      gathering.headOwner = this;
      gathering.headGeneration = this.generation;
      at = this.writeHead(out, start, scanner);
      gathering.headBaseBytes = at - start;
    }
    at = writeBodyLines(out, at, this.text ? 0 : bodyBytes);
    gathering.headBodyBytes = bodyBytes;
    gathering.headBytes = at - start;
    return at;
  }

  private ownRun(bytes: Uint8Array, scanner: FrameScanner, bytesMax: number): Run {
    const { bodyStart, bodyEnd, headers } = scanner;
    const { connection } = this;
    const own = bytesMax > LONG_BYTES ? Buffer.allocUnsafeSlow(bytesMax) : Buffer.allocUnsafe(bytesMax);
    let at = this.writeHead(own, 0, scanner);
    const body = bytes.subarray(bodyStart, bodyEnd);
    const text = this.text || (this.mayBeText && !body.includes(NUL));
    at = writeBodyLines(own, at, text ? 0 : body.length);
    own.set(body, at);
    at += body.length;
    own[at++] = NUL;
    const run = new Run(STOMP_CODEC);
    run.variant = text ? this.variant | TEXT : this.variant;
    run.bytes = own;
    run.end = at;
    run.count = 1;
    run.guarantee = this.guarantee;
    run.priority = this.priority;
    run.frameBytesMax = at;
    run.receivedAtMs = connection.nowMs;
    run.expiresAtMs = expiresAt(headers, connection.nowMs);
    run.owned = true;
    return run;
  }
}

/** What is not repeated in the normal form. */
function isLeftOut(headers: HeaderIndex, i: number, number: number): boolean {
  if (number === Header['message-id']) return headers.has(Header['x-message-id']) || headers.find(number) !== i;
  return TAKEN_OUT[number] === 1 || number === Header.destination;
}

/** bodyBytes: 0 for no body, and for one that is not counted. */
function writeBodyLines(out: Uint8Array, start: number, bodyBytes: number): number {
  let at = start;
  if (bodyBytes > 0) {
    out.set(CONTENT_LENGTH, at);
    at = writeDecimal(out, at + CONTENT_LENGTH.length, bodyBytes);
    out[at++] = LF;
  }
  out[at++] = LF;
  return at;
}

function quotaError(route: StompRoute): BrokerError {
  return route.address.kind === 'queue'
    ? queueFull(route.key.path)
    : new BrokerError(
        'quota-exceeded',
        'there is no room for the message: a queue refuses more (x-overflow), or the disk is full',
      );
}
