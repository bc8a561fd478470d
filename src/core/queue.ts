// A queue: stores messages and gives them to its consumers in turn, as far as their credit goes. In memory it keeps a window (one ring per priority level, one in a plain
// queue); what is beyond the window lies in the log and is fetched when the window runs low. It relies on its log for durability and on its vhost for routing;
// it never reads a clock (time comes in as a number) and knows no protocol.
//
//   deliver ──▶ [window: rings] ──▶ consumer with credit ──▶ unsettled ──settle──▶ gone
//      │             ▲    ▲                                     │
//      └─(full)─▶ [log] ──┘ fetch            requeue, detach ◀──┘
import type { FetchSink, QueueLog } from '../storage/commit-log.ts';
import type { Address } from './address.ts';
import type { Binding } from './binding.ts';
import { type Consumer, Outcome } from './consumer.ts';
import type { Counters } from './counters.ts';
import { AS_PUBLISHED, type DeliveryOptions, type DeliveryPlan, type Destination, nextDestinationId } from './delivery.ts';
import { ExpiryIndex } from './expiry.ts';
import type { Guarantee } from './guarantee.ts';
import { EntryState, MessageRing } from './message-ring.ts';
import { Overflow, type QueueSpec } from './queue-spec.ts';
import type { Run } from './run.ts';

/** Ready messages kept in memory of a queue that has a log; beyond it they wait there. Enough to keep a fast consumer busy while a fetch is under way. */
export const WINDOW_COUNT_MAX = 16_384;
export const WINDOW_BYTES_MAX = 4 * 1024 * 1024;
/** Entries of messages that are gone, which the expiry index may hold besides as many as there are live ones. */
const EXPIRY_SLACK = 1024;
const FETCH_COUNT = 4096;
const FETCH_BYTES = 1024 * 1024;
/** Owner of a delivery that its consumer has left behind; owners of consumers count from 1. */
const NOBODY = 0;

/** What a queue asks of whoever keeps it. */
export interface QueueOwner {
  readonly counters: Counters;
  /** Coarse epoch milliseconds of this turn. */
  readonly nowMs: number;
  /** An auto-delete queue lost its last consumer. */
  onQueueUnused(queue: Queue): void;
  /** A consumer came or went: x-expires counts from here. */
  onQueueUseChanged(queue: Queue): void;
  /** The first expiring message came: visit this queue in expire() from now on. */
  onQueueExpires(queue: Queue): void;
}

interface Attached {
  readonly consumer: Consumer;
  readonly owner: number;
  readonly exclusive: boolean;
}

export class Queue implements Destination, FetchSink {
  readonly id = nextDestinationId();
  readonly name: string;
  readonly spec: QueueSpec;
  readonly log: QueueLog | null;
  readonly durable: boolean;
  routeStamp = 0;
  routeIndex = 0;
  deleted = false;
  /** For exclusive queues: whose. */
  holder: object | null = null;
  /** Bindings that lead here; kept by the vhost. */
  readonly bindings = new Set<Binding>();
  /** Epoch milliseconds since when nobody consumes, 0 while somebody does. */
  unusedSinceMs = 0;
  private readonly owner: QueueOwner;
  private readonly rings: MessageRing[] = [];
  private readonly levels: number;
  private readonly consumers: Attached[] = [];
  private nextConsumer = 0;
  private owners = 0;
  private bytes = 0;
  private expiry: ExpiryIndex | null = null;
  private pumping = false;
  /** Messages of the log from this sequence on are not in the window. Equal to log.nextSequence while nothing is spilled. */
  private loadedTo = 0;
  private fetching = false;
  private purgedTo = 0;
  /** Messages in the window that are in the log, too. */
  private windowLogged = 0;

  constructor(spec: QueueSpec, log: QueueLog | null, owner: QueueOwner) {
    this.name = spec.name;
    this.spec = spec;
    this.log = log;
    this.durable = log !== null;
    this.owner = owner;
    this.levels = spec.priorityMax + 1;
    for (let i = 0; i < this.levels; i++) this.rings.push(new MessageRing());
    // A recovered queue begins with everything spilled.
    if (log !== null) this.loadedTo = log.count > 0 ? log.firstSequence : log.nextSequence;
    this.unusedSinceMs = owner.nowMs;
  }

  addTo(plan: DeliveryPlan, _bindings: readonly Binding[], _guarantee: Guarantee): void {
    plan.addQueue(this, AS_PUBLISHED);
  }

  mayReceive(_address: Address): boolean {
    // Who may read a queue is decided when a consumer attaches.
    return true;
  }

  /** Ready messages, in the window and in the log. */
  get readyCount(): number {
    return this.windowReady() + this.spilledCount;
  }

  get unsettledCount(): number {
    let count = 0;
    for (const ring of this.rings) count += ring.unsettledCount;
    return count;
  }

  get consumerCount(): number {
    return this.consumers.length;
  }

  /** Some of its messages are only in the log: what comes now must go there, too, to keep the order. */
  get spilled(): boolean {
    return this.log !== null && this.loadedTo < this.log.nextSequence;
  }

  /** True when x-overflow is reject-publish and the queue is full: the publisher is refused. */
  refuses(run: Run): boolean {
    if (this.spec.overflow !== Overflow.RejectPublish) return false;
    const { lengthMax, bytesMax } = this.spec;
    if (lengthMax !== null && this.readyCount + run.count > lengthMax) return true;
    return bytesMax !== null && this.bytes + run.byteLength > bytesMax;
  }

  /**
   * Takes all messages of an owned run. firstSequence is the first one's number in the log, 0 when they are not logged. held: they may be delivered only after
   * release().
   * Returns the tag of the first message, or -1 when they stay in the log for now.
   */
  deliver(run: Run, options: DeliveryOptions, firstSequence: number, held: boolean): number {
    if (firstSequence !== 0) {
      if (this.loadedTo < firstSequence || this.windowFull()) {
        // Not into the window: loadedTo stays where it is, a fetch brings them in their turn.
        this.fetchMore();
        return -1;
      }
      this.loadedTo = firstSequence + run.count;
      this.windowLogged += run.count;
    }
    const level = this.levels === 1 ? 0 : Math.min(run.priority, this.levels - 1);
    const ring = this.rings[level]!;
    const first = ring.tail;
    ring.push(run, 0, run.count, options, firstSequence, held ? EntryState.Held : EntryState.Ready);
    this.bytes += run.byteLength;
    if (run.expiresAtMs !== 0 || this.spec.messageTtlMs !== null) this.indexExpiry(run, first, run.count, level);
    if (this.spec.lengthMax !== null || this.spec.bytesMax !== null) this.keepLimits();
    if (!this.pumping) this.pump();
    return first * this.levels + level;
  }

  /** What deliver() held back is durable now. */
  release(firstTag: number, count: number): void {
    const level = firstTag % this.levels;
    this.rings[level]!.release((firstTag - level) / this.levels, count);
    this.pump();
  }

  /** The consumer takes part from now on. exclusive refuses all others; throws nothing, ask mayAttach first. */
  attach(consumer: Consumer, exclusive: boolean): void {
    this.consumers.push({ consumer, owner: ++this.owners, exclusive });
    this.unusedSinceMs = 0;
    this.owner.onQueueUseChanged(this);
    this.pump();
  }

  mayAttach(exclusive: boolean): boolean {
    return this.consumers.length === 0 || !(exclusive || this.consumers[0]!.exclusive);
  }

  /** The consumer leaves; what it has not settled goes back to its place, for others. */
  detach(consumer: Consumer): void {
    const at = this.consumers.findIndex((attached) => attached.consumer === consumer);
    if (at < 0) return;
    const { owner } = this.consumers[at]!;
    this.consumers.splice(at, 1);
    if (this.nextConsumer > at) this.nextConsumer--;
    for (const ring of this.rings) {
      if (ring.unsettledCount === 0) continue;
      ring.forEach((tag, state) => {
        if (state === EntryState.Unsettled && ring.ownerOf(tag) === owner) ring.giveBack(tag);
      });
    }
    if (this.consumers.length === 0) {
      this.unusedSinceMs = this.owner.nowMs;
      this.owner.onQueueUseChanged(this);
      if (this.spec.autoDelete) {
        this.owner.onQueueUnused(this);
        return;
      }
    }
    this.pump();
  }

  /** The consumer's answer to one delivery. Returns false when there is no such unsettled delivery (any more). Does not give credit back. */
  settle(tag: number, outcome: Outcome): boolean {
    const level = this.levels === 1 ? 0 : tag % this.levels;
    const ring = this.rings[level]!;
    const place = this.levels === 1 ? tag : (tag - level) / this.levels;
    if (ring.stateOf(place) !== EntryState.Unsettled) return false;
    if (outcome === Outcome.Requeued) {
      ring.giveBack(place);
      this.pump();
      return true;
    }
    if (outcome === Outcome.Rejected) this.owner.counters.droppedRejected++;
    this.forget(ring, place);
    return true;
  }

  /** The consumer of an unsettled delivery may leave without giving it back: it stays where it is until it is settled. False when there is no such delivery. */
  keep(tag: number): boolean {
    const level = tag % this.levels;
    const ring = this.rings[level]!;
    const place = (tag - level) / this.levels;
    if (ring.stateOf(place) !== EntryState.Unsettled) return false;
    ring.setOwner(place, NOBODY);
    return true;
  }

  /** Its number in the log; 0 for a message that is not logged, or not there. */
  sequenceOf(tag: number): number {
    const level = tag % this.levels;
    const ring = this.rings[level]!;
    const place = (tag - level) / this.levels;
    return ring.stateOf(place) === EntryState.Gone ? 0 : ring.sequenceOf(place);
  }

  /** An unsettled message once more, for a consumer that has to send it again; null when it is gone. */
  delivery(tag: number): { readonly run: Run; readonly index: number; readonly options: DeliveryOptions } | null {
    const level = tag % this.levels;
    const ring = this.rings[level]!;
    const place = (tag - level) / this.levels;
    if (ring.stateOf(place) !== EntryState.Unsettled) return null;
    return { run: ring.runOf(place), index: ring.indexOf(place), options: ring.optionsOf(place) };
  }

  /** How often an unsettled message has been delivered, this time included. */
  attemptsOf(tag: number): number {
    const level = tag % this.levels;
    return this.rings[level]!.attemptsOf((tag - level) / this.levels);
  }

  /** Gives messages to consumers as long as there are both messages and credit. Call when credit has grown. */
  pump(): void {
    if (this.pumping || this.consumers.length === 0) return;
    this.pumping = true;
    for (let level = this.levels - 1; level >= 0; level--) {
      if (!this.pumpRing(this.rings[level]!, level)) break;
    }
    this.pumping = false;
    if (this.spilled) this.fetchMore();
  }

  /** Forgets all ready messages. Returns how many. */
  purge(): number {
    let count = this.spilledCount;
    for (const ring of this.rings) {
      ring.forEach((tag, state) => {
        if (state === EntryState.Unsettled) return;
        count++;
        this.forget(ring, tag);
      });
    }
    if (this.spilled) {
      this.settleSpilled();
      this.purgedTo = this.loadedTo = this.log!.nextSequence;
    }
    return count;
  }

  /** The queue is no more: consumers are told, the log forgets it. The vhost has already unbound it. */
  delete(): void {
    this.deleted = true;
    for (const { consumer } of this.consumers.splice(0)) consumer.onCancelled(this);
    this.log?.delete();
  }

  /** Drops what has expired by nowMs. Called by the vhost's tick for queues that said so by onQueueExpires. */
  expire(nowMs: number): void {
    this.expiry?.popExpired(nowMs, (tag) => {
      const level = tag % this.levels;
      const ring = this.rings[level]!;
      const place = (tag - level) / this.levels;
      const state = ring.stateOf(place);
      // One that is with a consumer may still come back; it is then dropped when it would be delivered again.
      if (state !== EntryState.Ready && state !== EntryState.Held) return;
      this.owner.counters.droppedExpired++;
      this.forget(ring, place);
    });
  }

  onFetched(sequence: number, run: Run, index: number, options: DeliveryOptions): void {
    if (this.deleted || sequence < this.purgedTo) return;
    const level = this.levels === 1 ? 0 : Math.min(run.priority, this.levels - 1);
    const ring = this.rings[level]!;
    const tag = ring.tail;
    ring.push(run, index, 1, options, sequence, EntryState.Ready);
    this.windowLogged++;
    this.bytes += run.frameEnd(index) - run.frameStart(index);
    if (run.expiresAtMs !== 0 || this.spec.messageTtlMs !== null) this.indexExpiry(run, tag, 1, level);
  }

  onFetchEnd(next: number): void {
    this.fetching = false;
    if (this.deleted) return;
    if (next > this.loadedTo) this.loadedTo = next;
    if (this.spec.lengthMax !== null || this.spec.bytesMax !== null) this.keepLimits();
    this.pump();
  }

  /** Delivers from one ring. Returns false when no consumer has credit left. */
  private pumpRing(ring: MessageRing, level: number): boolean {
    for (;;) {
      const tag = ring.nextReady();
      if (tag < 0) return true;
      const attached = this.consumerWithCredit();
      if (attached === null) return false;
      const run = ring.runOf(tag);
      if (this.expiry !== null && this.isExpired(run)) {
        this.owner.counters.droppedExpired++;
        this.forget(ring, tag);
        continue;
      }
      const { credit } = attached.consumer;
      // Alone, a consumer takes a run at a time; several take turns message by message.
      const count = this.consumers.length === 1 ? ring.span(tag, credit.available) : 1;
      const index = ring.indexOf(tag);
      const options = ring.optionsOf(tag);
      const attempts = ring.attemptsOf(tag);
      credit.available -= count;
      ring.take(tag, count, attached.owner);
      if (attached.consumer.deliver(this, run, index, count, tag * this.levels + level, attempts, options)) {
        credit.available += count;
        for (let i = 0; i < count; i++) this.forget(ring, tag + i);
      }
    }
  }

  private consumerWithCredit(): Attached | null {
    const { consumers } = this;
    const { length } = consumers;
    for (let i = 0; i < length; i++) {
      if (this.nextConsumer >= length) this.nextConsumer = 0;
      const attached = consumers[this.nextConsumer++]!;
      if (attached.consumer.credit.available > 0) return attached;
    }
    return null;
  }

  /** Takes an entry out of the queue for good. */
  private forget(ring: MessageRing, place: number): void {
    const run = ring.runOf(place);
    const index = ring.indexOf(place);
    const sequence = ring.sequenceOf(place);
    if (!ring.remove(place)) return;
    this.bytes -= run.offsets === null ? run.byteLength : run.frameEnd(index) - run.frameStart(index);
    if (sequence !== 0) {
      this.windowLogged--;
      // The log has forgotten a deleted queue; its last deliveries may still be answered.
      if (!this.deleted) this.log!.settle(sequence, 1);
    }
  }

  private windowReady(): number {
    let count = 0;
    for (const ring of this.rings) count += ring.readyCount;
    return count;
  }

  private get spilledCount(): number {
    return this.spilled ? this.log!.count - this.windowLogged : 0;
  }

  private windowFull(): boolean {
    return this.bytes > WINDOW_BYTES_MAX || this.windowReady() >= WINDOW_COUNT_MAX;
  }

  private fetchMore(unasked = false): void {
    if (this.fetching || !this.spilled || (this.consumers.length === 0 && !unasked)) return;
    if (this.windowReady() > FETCH_COUNT || this.bytes > WINDOW_BYTES_MAX) return;
    this.fetching = true;
    this.log!.fetch(this.loadedTo, FETCH_COUNT, FETCH_BYTES, this);
  }

  private settleSpilled(): void {
    const log = this.log!;
    const kept = new Set<number>();
    for (const ring of this.rings) ring.forEach((tag) => kept.add(ring.sequenceOf(tag)));
    if (kept.size === 0) {
      log.purge();
      return;
    }
    // Unsettled ones stay; the rest is read through and settled one by one, which only a purge of a spilled queue in use ever does.
    const sink: FetchSink = {
      onFetched: (sequence) => {
        if (!kept.has(sequence)) log.settle(sequence, 1);
      },
      onFetchEnd: (next) => {
        if (next < end) log.fetch(next, FETCH_COUNT, FETCH_BYTES, sink);
      },
    };
    const end = log.nextSequence;
    log.fetch(this.loadedTo, FETCH_COUNT, FETCH_BYTES, sink);
  }

  private expiresAt(run: Run): number {
    const ttl = this.spec.messageTtlMs;
    const byQueue = ttl === null ? Number.POSITIVE_INFINITY : run.receivedAtMs + ttl;
    return run.expiresAtMs === 0 ? byQueue : Math.min(run.expiresAtMs, byQueue);
  }

  private isExpired(run: Run): boolean {
    return this.expiresAt(run) <= this.owner.nowMs;
  }

  private indexExpiry(run: Run, first: number, count: number, level: number): void {
    if (this.expiry === null) {
      this.expiry = new ExpiryIndex();
      this.owner.onQueueExpires(this);
    }
    const { expiry } = this;
    const at = this.expiresAt(run);
    for (let i = 0; i < count; i++) expiry.add(at, (first + i) * this.levels + level);
    // Consumed long before their time: the index must not grow with the throughput.
    const live = this.windowReady() + this.unsettledCount;
    if (expiry.size > 2 * live + EXPIRY_SLACK) expiry.keepOnly((tag) => this.isThere(tag));
  }

  private isThere(tag: number): boolean {
    const level = tag % this.levels;
    return this.rings[level]!.stateOf((tag - level) / this.levels) !== EntryState.Gone;
  }

  /** x-overflow: drop-head. The oldest ready messages of the lowest level go first. */
  private keepLimits(): void {
    const { lengthMax, bytesMax, overflow } = this.spec;
    if (overflow !== Overflow.DropHead) return;
    const over = () => (lengthMax !== null && this.readyCount > lengthMax) || (bytesMax !== null && this.bytes > bytesMax);
    if (!over()) return;
    if (!this.pumping) this.pump();
    for (const ring of this.rings) {
      while (over()) {
        const tag = ring.nextReady();
        if (tag < 0) break;
        this.owner.counters.droppedOverflow++;
        this.forget(ring, tag);
      }
    }
    // The head is in the log only: it is brought in so that it can be dropped.
    if (this.spilled && over()) this.fetchMore(true);
  }
}
