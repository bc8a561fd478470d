// Judges each delivery of one subscriber: intact, for this subscriber, in order, how old. It relies on the payload's
// header (payload.ts) and the ledger; the work per message is a few loads and compares. It never looks at what the
// protocol has put around the payload.

import { Histogram } from '../histogram.ts';
import type { Layout } from './layout.ts';
import { Ledger } from './ledger.ts';
import { blankPayload, checkAt, headerBytes, laneAt, readHex, seqAt, stampAt, textHeaderBytes } from './payload.ts';
import type { LoadPlan } from './plan.ts';

/** The pattern after the header is compared in one of this many messages: enough to see buffers mixed up. */
const patternCheckInterval = 64;

/** What the inboxes of one run share. */
export class Deliveries {
  readonly layout: Layout;
  readonly ledger: Ledger;
  readonly latency = new Histogram();
  readonly tag: number;
  readonly payloadBytes: number;
  readonly competing: boolean;
  /** The payload's pattern with an empty header. */
  readonly pattern: Buffer;
  /** Stamps from here to there belong to the measured time; nothing does at first. */
  measuredFromUs = 0xffff_ffff;
  measuredUntilUs = 0;
  corrupt = 0;
  misrouted = 0;
  reordered = 0;
  /** By subscriber, for the rest of the generator to read. */
  readonly received: Float64Array;
  /** By subscriber: where its streams begin in the ledger. */
  private readonly firstStream: Uint32Array;

  constructor(plan: LoadPlan, layout: Layout, tag: number) {
    this.layout = layout;
    this.tag = tag;
    this.payloadBytes = plan.payloadBytes;
    this.competing = plan.competing;
    this.pattern = Buffer.from(blankPayload(plan.payloadBytes));
    this.received = new Float64Array(plan.subscribers);
    this.firstStream = new Uint32Array(plan.subscribers);
    let streams = 0;
    for (let subscriber = 0; subscriber < plan.subscribers; subscriber++) {
      const domain = layout.domainOfSubscriber(subscriber);
      if (plan.competing && subscriber >= layout.domainCount) this.firstStream[subscriber] = this.firstStream[domain]!;
      else {
        this.firstStream[subscriber] = streams;
        streams += layout.domainLaneCount[domain]!;
      }
    }
    this.ledger = new Ledger(streams);
  }

  streamsOf(subscriber: number): number {
    return this.firstStream[subscriber]!;
  }

  isMeasured(stampUs: number): boolean {
    return stampUs >= this.measuredFromUs && stampUs < this.measuredUntilUs;
  }
}

export class Inbox {
  private readonly deliveries: Deliveries;
  private readonly subscriber: number;
  private readonly domain: number;
  private readonly firstStream: number;
  private readonly laneDomain: Uint32Array;
  private readonly laneLocal: Uint32Array;
  private readonly expected: Uint32Array;
  /** By lane, where subscribers compete and gaps are normal: the number after the highest seen on this connection. */
  private readonly ownNext: Uint32Array | null;
  private readonly payloadBytes: number;
  private readonly tag: number;
  private untilPatternCheck = 0;

  constructor(deliveries: Deliveries, subscriber: number) {
    const { layout } = deliveries;
    this.deliveries = deliveries;
    this.subscriber = subscriber;
    this.domain = layout.domainOfSubscriber(subscriber);
    this.firstStream = deliveries.streamsOf(subscriber);
    this.laneDomain = layout.laneDomain;
    this.laneLocal = layout.laneLocal;
    this.expected = deliveries.ledger.expected;
    this.ownNext = deliveries.competing ? new Uint32Array(layout.domainLaneCount[this.domain]!) : null;
    this.payloadBytes = deliveries.payloadBytes;
    this.tag = deliveries.tag;
  }

  /** Takes a binary payload of `length` bytes at `at`. */
  take(bytes: Buffer, view: DataView, at: number, length: number, nowUs: number): void {
    if (length !== this.payloadBytes) {
      this.deliveries.corrupt++;
      return;
    }
    const seq = view.getUint32(at + seqAt, true);
    const lane = view.getUint32(at + laneAt, true);
    if ((seq ^ lane ^ this.tag) >>> 0 !== view.getUint32(at + checkAt, true)) this.deliveries.corrupt++;
    else this.account(seq, lane, view.getUint32(at + stampAt, true), nowUs);
    if (--this.untilPatternCheck < 0) this.checkPattern(bytes, at, headerBytes);
  }

  /** Takes a payload whose header is in hexadecimal digits. */
  takeText(bytes: Buffer, at: number, length: number, nowUs: number): void {
    if (length !== this.payloadBytes) {
      this.deliveries.corrupt++;
      return;
    }
    const seq = readHex(bytes, at + 2 * seqAt);
    const lane = readHex(bytes, at + 2 * laneAt);
    if ((seq ^ lane ^ this.tag) >>> 0 !== readHex(bytes, at + 2 * checkAt)) this.deliveries.corrupt++;
    else this.account(seq, lane, readHex(bytes, at + 2 * stampAt), nowUs);
    if (--this.untilPatternCheck < 0) this.checkPattern(bytes, at, textHeaderBytes);
  }

  private account(seq: number, lane: number, stampUs: number, nowUs: number): void {
    const deliveries = this.deliveries;
    if (lane >= this.laneDomain.length || this.laneDomain[lane] !== this.domain) {
      deliveries.misrouted++;
      return;
    }
    const local = this.laneLocal[lane]!;
    const stream = this.firstStream + local;
    if (this.expected[stream] === seq) this.expected[stream] = seq + 1;
    else if (deliveries.ledger.outOfOrder(stream, seq) && this.ownNext === null) deliveries.reordered++;
    if (this.ownNext !== null) {
      if (seq < this.ownNext[local]!) deliveries.reordered++;
      else this.ownNext[local] = seq + 1;
    }
    const received = deliveries.received;
    received[this.subscriber] = received[this.subscriber]! + 1;
    if (stampUs >= deliveries.measuredFromUs && stampUs < deliveries.measuredUntilUs) {
      deliveries.latency.record(nowUs > stampUs ? nowUs - stampUs : 0);
    }
  }

  private checkPattern(bytes: Buffer, at: number, from: number): void {
    this.untilPatternCheck = patternCheckInterval - 1;
    const { pattern } = this.deliveries;
    if (pattern.compare(bytes, at + from, at + this.payloadBytes, from) !== 0) this.deliveries.corrupt++;
  }
}
