// One publisher: how much it has sent, what is unanswered, and its slab, a block of prebuilt frames in which only
// sequence number, stamp and packet identifier are patched before a stretch of it goes out in one write. It relies on a
// Link; when and how much to send is decided by load.ts. The protocol's subclass builds the slab, patches frames and
// reads answers.
//
//   slab:  | frame of lane 0 | lane 1 | ... | lane L-1 | lane 0 | lane 1 | ...          frame k is of lane k mod L
//            a write of n frames starts at the lane that is next and takes n <= batch frames in a row
//
// A mixed load has several rounds, each with all lanes in another order: a broker must not find what comes next where it
// has put it in the round before. Its slab has the frames of one write, and their topics are patched, too: prebuilt frames of
// a million lanes would push what the broker uses out of the cache that both processes share.

import type { Histogram } from '../histogram.ts';
import type { Deliveries } from './inbox.ts';
import type { Layout } from './layout.ts';
import type { Endpoint, Link } from './link.ts';
import { answered, type LoadPlan } from './plan.ts';

/** What endpoints tell the run they belong to. */
export interface Supervisor {
  onReady(): void;
  onFailure(reason: string): void;
  /** Messages were delivered: closed loops may have room again. */
  onProgress(): void;
  /** The publisher may be able to send again: it was answered, or its connection takes bytes again. */
  onAvailable(publisher: Publisher): void;
}

/** What all endpoints of one run share. */
export interface Shared {
  readonly plan: LoadPlan;
  readonly layout: Layout;
  readonly deliveries: Deliveries;
  readonly supervisor: Supervisor;
  /** Four hexadecimal digits that keep this run's topics and client identifiers apart from any other's. */
  readonly tagText: string;
  /** Time until the publisher was answered. */
  readonly answers: Histogram;
}

/** Prebuilt frames of all publishers together take at most this much, so that ten thousand of them stay affordable. */
const slabBytesMax = 512 * 1024 * 1024;

/** Rounds of a mixed load that differ. */
const SHUFFLED_ROUNDS = 4;

/** What a place of the answers owed holds besides the identifier, above it; 0 is a free place. */
const owed = { answer: 1 << 16, release: 2 << 16 } as const;
/** Places per message in flight: an identifier whose place is still taken is passed over, and few are. */
const PLACES_PER_MESSAGE = 4;
const ID_MAX = 65_535;

export abstract class Publisher implements Endpoint {
  readonly index: number;
  /** Which window of a closed loop it draws on. */
  readonly windowIndex: number;
  link!: Link;
  /** Set while it waits in the run's list. */
  listed = false;
  isOpen = false;
  published = 0;
  inFlight = 0;
  /** Open loop: messages due and not sent yet. */
  credit = 0;
  readonly inFlightMax: number;
  batchFrames = 0;
  protected readonly shared: Shared;
  protected readonly lanes: Uint32Array;
  /** The lanes of the frames as they are sent: every lane once per round. */
  protected readonly order: Uint32Array;
  /** The slab's frames are of no lane in particular. */
  private readonly patchesTopics: boolean;
  protected slab: Buffer = Buffer.alloc(0);
  protected slabView = new DataView(this.slab.buffer);
  protected frameBytes = 0;
  protected lastId = 0;
  /** Only where messages are answered, by the low bits of the packet identifier: who is owed what, and when the message was stamped. As small as it can be: it is walked all the time. */
  private readonly owing: Uint32Array;
  private readonly stamps: Uint32Array;
  private readonly placeMask: number;
  private orderIndex = 0;
  private sentOfRound = 0;
  private round = 0;

  constructor(shared: Shared, index: number) {
    const { plan, layout } = shared;
    this.shared = shared;
    this.index = index;
    this.lanes = layout.lanesOfPublisher(index);
    this.windowIndex = layout.windowOfPublisher(index);
    this.patchesTopics = plan.mixed && this.lanes.length > 1;
    this.order = this.patchesTopics ? shuffledRounds(this.lanes, SHUFFLED_ROUNDS, index) : this.lanes;
    const isAnswered = answered(plan);
    this.inFlightMax = isAnswered ? plan.inFlight : Number.POSITIVE_INFINITY;
    const places = isAnswered ? placesFor(plan.inFlight) : 0;
    this.owing = new Uint32Array(places);
    this.stamps = new Uint32Array(places);
    this.placeMask = places - 1;
  }

  abstract onOpen(): void;
  abstract onBytes(bytes: Buffer, view: DataView, start: number, end: number): number;
  /** A frame with an empty header in its payload. */
  protected abstract buildFrame(lane: number): Buffer;
  /** Writes the topic of a lane into the frame at `at`. */
  protected abstract patchTopic(at: number, lane: number): void;
  /** Writes what changes from message to message into the frame at `at`; `id` is 0 when nobody answers. */
  protected abstract patch(at: number, seq: number, lane: number, stampUs: number, id: number): void;

  onWritable(): void {
    this.shared.supervisor.onAvailable(this);
  }

  onClosed(reason: string): void {
    this.isOpen = false;
    this.shared.supervisor.onFailure(`publisher ${this.index}: ${reason}`);
  }

  /** Sends messages stamped with now, at most `count` and one batch; returns how many. */
  send(count: number, stampUs: number): number {
    const frames = Math.min(count, this.batchFrames);
    const start = this.slabStart();
    for (let index = 0, at = start; index < frames; index++, at += this.frameBytes) this.stamp(at, stampUs);
    this.link.send(this.slab, start, start + frames * this.frameBytes);
    return frames;
  }

  /** Sends messages that were due at different times: the one with ordinal k (of this publisher) at `dueUs(k)`. */
  sendDue(count: number, dueUs: (ordinal: number) => number): number {
    const frames = Math.min(count, this.batchFrames);
    const start = this.slabStart();
    for (let index = 0, at = start; index < frames; index++, at += this.frameBytes)
      this.stamp(at, dueUs(this.published));
    this.link.send(this.slab, start, start + frames * this.frameBytes);
    return frames;
  }

  protected buildSlab(): void {
    const { plan } = this.shared;
    const { order } = this;
    const first = this.buildFrame(order[0]!);
    this.frameBytes = first.length;
    const atOnce = Math.min(this.inFlightMax, plan.window > 0 ? plan.window : Number.POSITIVE_INFINITY);
    const fitting = Math.floor(Math.min(plan.batchBytes, slabBytesMax / plan.publishers) / this.frameBytes);
    this.batchFrames = Math.max(1, Math.min(atOnce, fitting));
    const frames = this.patchesTopics ? this.batchFrames : order.length - 1 + this.batchFrames;
    this.slab = Buffer.allocUnsafeSlow(frames * this.frameBytes);
    this.slabView = new DataView(this.slab.buffer);
    for (let index = 0; index < frames; index++) {
      const frame = index === 0 ? first : this.buildFrame(order[index % order.length]!);
      if (frame.length !== this.frameBytes) throw new Error('frames of one publisher differ in length');
      frame.copy(this.slab, index * this.frameBytes);
    }
  }

  /** The identifier is answered for good, by what a read at `nowUs` brought; false when it was not waiting for that. */
  protected settle(id: number, nowUs: number): boolean {
    const place = id & this.placeMask;
    if ((this.owing[place]! & ID_MAX) !== id || id === 0) return false;
    this.owing[place] = 0;
    this.inFlight--;
    const stampUs = this.stamps[place]!;
    if (this.shared.deliveries.isMeasured(stampUs)) this.shared.answers.record(nowUs > stampUs ? nowUs - stampUs : 0);
    return true;
  }

  /** QoS 2: the first answer; false when the identifier was not waiting for that. */
  protected markReceived(id: number): boolean {
    const place = id & this.placeMask;
    if (this.owing[place] !== (id | owed.answer)) return false;
    this.owing[place] = id | owed.release;
    return true;
  }

  private slabStart(): number {
    return this.patchesTopics ? 0 : this.orderIndex * this.frameBytes;
  }

  private stamp(at: number, stampUs: number): void {
    let id = 0;
    if (this.owing.length > 0) {
      id = this.nextId();
      this.owing[id & this.placeMask] = id | owed.answer;
      this.stamps[id & this.placeMask] = stampUs;
      this.inFlight++;
    }
    const lane = this.order[this.orderIndex]!;
    if (this.patchesTopics) this.patchTopic(at, lane);
    this.patch(at, this.round, lane, stampUs, id);
    this.published++;
    if (++this.orderIndex === this.order.length) this.orderIndex = 0;
    if (++this.sentOfRound === this.lanes.length) {
      this.sentOfRound = 0;
      this.round++;
    }
  }

  private nextId(): number {
    let id = this.lastId;
    do id = id === ID_MAX ? 1 : id + 1;
    while (this.owing[id & this.placeMask] !== 0);
    this.lastId = id;
    return id;
  }
}

/** `rounds` times the lanes, each time in another order; the same ones in every run. */
function shuffledRounds(lanes: Uint32Array, rounds: number, seed: number): Uint32Array {
  const order = new Uint32Array(lanes.length * rounds);
  let state = (seed + 1) * 0x9e37_79b9;
  for (let round = 0; round < rounds; round++) {
    const part = order.subarray(round * lanes.length, (round + 1) * lanes.length);
    part.set(lanes);
    for (let last = part.length - 1; last > 0; last--) {
      // xorshift32: any generator that visits all places will do.
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      const other = (state >>> 0) % (last + 1);
      const lane = part[last]!;
      part[last] = part[other]!;
      part[other] = lane;
    }
  }
  return order;
}

/** A power of two. */
function placesFor(inFlight: number): number {
  let places = 16;
  while (places < inFlight * PLACES_PER_MESSAGE && places <= ID_MAX) places *= 2;
  return places;
}
