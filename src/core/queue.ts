// A queue: stores messages and gives them to its consumers in turn, as far as their credit goes. In memory it keeps a window (one ring per priority level, one in a plain
// queue); what is beyond the window lies in the log (backlog.ts) and is read back when the window runs low. It relies on its log for durability and on its vhost for
// routing; it never reads a clock (time comes in as a number) and knows no protocol.
// A little longer than most files: window, backlog and consumers meet here, and the order in which they do is read in one place.
//
//   deliver ──▶ [window: rings] ──▶ consumer with credit ──▶ unsettled ──settle──▶ gone
//      │             ▲    ▲                                     │
//      └─(full)─▶ [backlog]                  requeue, detach ◀──┘
import type { QueueLog } from '../storage/commit-log.ts';
import type { Address } from './address.ts';
import { Backlog, type BacklogOwner } from './backlog.ts';
import type { Binding } from './binding.ts';
import { type Consumer, Outcome } from './consumer.ts';
import { type Attached, Consumers, type ConsumerWish, NO_WISH } from './consumers.ts';
import {
  AS_PUBLISHED,
  type DeliveryOptions,
  type DeliveryPlan,
  type Destination,
  nextDestinationId,
} from './delivery.ts';
import { ExpiryIndex } from './expiry.ts';
import type { Guarantee } from './guarantee.ts';
import { EntryState, MessageRing } from './message-ring.ts';
import { QUEUE_WINDOW, type QueueOwner, type QueueWindow } from './queue-owner.ts';
import { Overflow, type QueueSpec } from './queue-spec.ts';
import { type Heir, Reservations } from './reservations.ts';
import type { Run } from './run.ts';

/** Batches that one expire() reads to look for expired messages where nobody consumes: about a millisecond each. */
const EXPIRE_BATCHES = 4;
/** Entries of messages that are gone, which the expiry index may hold besides as many as there are live ones. */
const EXPIRY_SLACK = 1024;
/** Owner of a delivery that its consumer has left behind; owners of consumers count from 1. */
const NOBODY = 0;
const NO_BINDINGS: ReadonlySet<Binding> = new Set();

export class Queue implements Destination, BacklogOwner {
  readonly id = nextDestinationId();
  readonly name: string;
  readonly spec: QueueSpec;
  readonly log: QueueLog | null;
  readonly durable: boolean;
  routeStamp = 0;
  routeIndex = 0;
  readonly mayRefuse: boolean;
  deleted = false;
  /** For exclusive queues: whose. */
  holder: object | null = null;
  private bound: Set<Binding> | null = null;
  /** Epoch milliseconds since when nobody consumes, 0 while somebody does. */
  unusedSinceMs = 0;
  private readonly owner: QueueOwner;
  private readonly rings: MessageRing[];
  private readonly levels: number;
  private readonly consumers: Consumers;
  private expiry: ExpiryIndex | null = null;
  private pumping = false;
  /** Several consumers are leaving: nothing goes out, or is dropped, before the last of them has. */
  private parting = false;
  private readonly window: QueueWindow;
  private readonly backlog: Backlog | null;
  /** Batches of the backlog still to be looked through for expired messages. */
  private batchesToExpire = 0;
  /** What was with somebody before a restart, and has not been read back. Null when there is none. */
  private reservations: Reservations | null = null;

  constructor(spec: QueueSpec, log: QueueLog | null, owner: QueueOwner, window: QueueWindow = QUEUE_WINDOW) {
    this.name = spec.name;
    this.spec = spec;
    this.log = log;
    this.durable = log !== null;
    this.mayRefuse = spec.overflow === Overflow.RejectPublish;
    this.owner = owner;
    this.levels = spec.priorityMax + 1;
    this.consumers = new Consumers(this.levels);
    // Most have one level, and there may be very many of them: an array that grows by push() takes room for 17.
    this.rings = [new MessageRing()];
    for (let i = 1; i < this.levels; i++) this.rings.push(new MessageRing());
    this.window = window;
    this.backlog = log === null ? null : new Backlog(log, this, window.batchCount, window.batchBytes);
    // A recovered queue begins with everything in its backlog.
    if (spec.messageTtlMs !== null && this.spilled) {
      this.expiry = new ExpiryIndex();
      owner.onQueueExpires(this);
    }
    this.unusedSinceMs = owner.nowMs;
  }

  /** Bindings that lead here; kept by the vhost. */
  get bindings(): ReadonlySet<Binding> {
    return this.bound ?? NO_BINDINGS;
  }

  onBound(binding: Binding): void {
    this.bound ??= new Set();
    this.bound.add(binding);
  }

  onUnbound(binding: Binding): void {
    this.bound?.delete(binding);
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
    return this.windowReady() + (this.backlog === null ? 0 : this.backlog.count);
  }

  get unsettledCount(): number {
    let count = 0;
    for (const ring of this.rings) count += ring.unsettledCount;
    return count;
  }

  get consumerCount(): number {
    return this.consumers.count;
  }

  /** Nothing is in it, nothing is on its way into or out of it. */
  get idle(): boolean {
    return this.readyCount === 0 && this.unsettledCount === 0 && this.reservations === null && !this.spilled;
  }

  /** Some of its messages are only in the log: what comes now must go there, too, to keep the order. */
  get spilled(): boolean {
    return this.backlog !== null && !this.backlog.empty;
  }

  /** True when x-overflow is reject-publish and the queue is full: the publisher is refused. */
  refuses(run: Run): boolean {
    if (this.spec.overflow !== Overflow.RejectPublish) return false;
    const { lengthMax, bytesMax } = this.spec;
    if (lengthMax !== null && this.readyCount + run.count > lengthMax) return true;
    return bytesMax !== null && this.readyBytes + run.byteLength > bytesMax;
  }

  /**
   * Takes all messages of an owned run. firstSequence is the first one's number in the log, 0 when they are not logged. held: they may be delivered only after
   * release() with what is returned.
   */
  deliver(run: Run, options: DeliveryOptions, firstSequence: number, held: boolean): number {
    const { backlog } = this;
    if (firstSequence !== 0 && backlog !== null) {
      if (backlog.isBefore(firstSequence) || this.windowFull()) {
        backlog.add(run, firstSequence, held);
        this.keepLimits();
        backlog.load();
        return -firstSequence;
      }
      backlog.pass(firstSequence, run.count);
    }
    const level = this.levels === 1 ? 0 : Math.min(run.priority, this.levels - 1);
    const ring = this.rings[level]!;
    const first = ring.tail;
    ring.push(run, 0, run.count, options, firstSequence, held ? EntryState.Held : EntryState.Ready);
    if (run.expiresAtMs !== 0 || this.spec.messageTtlMs !== null) this.indexExpiry(run, first, run.count, level);
    this.keepLimits();
    if (!this.pumping) this.pump();
    return first * this.levels + level;
  }

  /** What deliver() held back and returned this for is durable now. */
  release(held: number, count: number): void {
    if (held < 0) {
      this.backlog?.release(-held);
      this.backlog?.load();
      return;
    }
    const level = held % this.levels;
    this.rings[level]!.release((held - level) / this.levels, count);
    this.pump();
    this.keepLimits();
  }

  /** The consumer takes part from now on. exclusive refuses all others; throws nothing, ask mayAttach first. */
  attach(consumer: Consumer, exclusive: boolean, wish: ConsumerWish = NO_WISH): void {
    this.consumers.add(consumer, exclusive, wish);
    this.unusedSinceMs = 0;
    // What one pump leaves to be looked at, the next tick looks at.
    if (wish.selector !== null) this.owner.onQueueExpires(this);
    this.owner.onQueueUseChanged(this);
    this.pump();
  }

  mayAttach(exclusive: boolean): boolean {
    return this.consumers.mayAttach(exclusive);
  }

  /** Consumers leave together in `leave`: what they had goes to others afterwards, in the order of the queue, and to none of those that leave. */
  part(leave: () => void): void {
    const { parting } = this;
    this.parting = true;
    leave();
    this.parting = parting;
    if (this.deleted || parting) return;
    this.pump();
    this.keepLimits();
  }

  /** The consumer leaves; what it has not settled goes back to its place, for others. */
  detach(consumer: Consumer): void {
    const owner = this.consumers.remove(consumer);
    if (owner === NOBODY) return;
    for (let level = 0; level < this.levels; level++) {
      const ring = this.rings[level]!;
      if (ring.unsettledCount === 0) continue;
      ring.forEach((tag, state) => {
        if (state === EntryState.Unsettled && ring.ownerOf(tag) === owner) this.giveBack(ring, tag);
      });
    }
    if (this.consumers.count === 0) {
      this.unusedSinceMs = this.owner.nowMs;
      this.owner.onQueueUseChanged(this);
      if (this.spec.autoDelete) {
        this.owner.onQueueUnused(this);
        return;
      }
    }
    this.pump();
    this.keepLimits();
  }

  /** The consumer's answer to one delivery. Returns false when there is no such unsettled delivery (any more). Does not give credit back. */
  settle(tag: number, outcome: Outcome): boolean {
    const level = this.levels === 1 ? 0 : tag % this.levels;
    const ring = this.rings[level]!;
    const place = this.levels === 1 ? tag : (tag - level) / this.levels;
    if (ring.stateOf(place) !== EntryState.Unsettled) return false;
    if (outcome === Outcome.Requeued) {
      this.giveBack(ring, place);
      this.pump();
      this.keepLimits();
      return true;
    }
    if (outcome === Outcome.Rejected) this.owner.counters.droppedRejected++;
    this.forget(ring, place);
    return true;
  }

  /** As settle() with Accepted for each of [tag, tag + count). */
  settleRun(tag: number, count: number): void {
    if (this.levels === 1) {
      const sequence = this.rings[0]!.removeUnsettled(tag, count);
      if (sequence >= 0) {
        if (sequence > 0) this.backlog!.settle(sequence, count);
        return;
      }
    }
    for (let i = 0; i < count; i++) this.settle(tag + i, Outcome.Accepted);
  }

  /** The message of this number in the log was with `heir` when the process before this one ended: it is for nobody else. To be said before anybody consumes. */
  reserve(sequence: number, heir: Heir): void {
    this.reservations ??= new Reservations();
    this.reservations.add(sequence, heir);
    this.checkReservations();
  }

  /** It goes to whoever is next, after all. */
  unreserve(sequence: number): void {
    this.reservations?.take(sequence);
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
    if (this.pumping || this.parting || this.consumers.count === 0) return;
    this.pumping = true;
    if (this.consumers.selecting) this.serveAll();
    else this.pumpRings();
    this.pumping = false;
    this.backlog?.load();
  }

  private pumpRings(): void {
    for (let level = this.levels - 1; level >= 0; level--) {
      if (!this.pumpRing(this.rings[level]!, level)) break;
    }
  }

  /** Where some select, everybody takes turns message by message. */
  private serveAll(): void {
    const serveOne = (attached: Attached): true | null => this.serveOne(attached);
    while (this.consumers.serve(serveOne) !== null);
  }

  /** Gives a consumer the next message it takes, if there is one. */
  private serveOne(attached: Attached): true | null {
    for (let level = this.levels - 1; level >= 0; level--) {
      const ring = this.rings[level]!;
      for (;;) {
        const tag = attached.lane === null ? ring.nextReady() : attached.lane.next(ring, level);
        if (tag < 0) break;
        if (this.dropExpired(ring, tag)) continue;
        this.hand(attached, ring, level, tag, 1);
        return true;
      }
    }
    return null;
  }

  private dropExpired(ring: MessageRing, tag: number): boolean {
    if (this.expiry === null || !this.isExpired(ring.runOf(tag))) return false;
    this.owner.counters.droppedExpired++;
    this.forget(ring, tag);
    return true;
  }

  /** Delivers [tag, tag + count), which are ready. */
  private hand(attached: Attached, ring: MessageRing, level: number, tag: number, count: number): void {
    const { consumer, owner } = attached;
    const { credit } = consumer;
    const run = ring.runOf(tag);
    const index = ring.indexOf(tag);
    const options = ring.optionsOf(tag);
    const attempts = ring.attemptsOf(tag);
    credit.available -= count;
    if (attached.lane === null) ring.take(tag, count, owner);
    else ring.pick(tag, owner);
    if (consumer.deliver(this, run, index, count, tag * this.levels + level, attempts, options)) {
      credit.available += count;
      for (let i = 0; i < count; i++) this.forget(ring, tag + i);
    }
  }

  /** Forgets all ready messages. Returns how many. */
  purge(): number {
    let count = 0;
    for (const ring of this.rings) {
      ring.forEach((tag, state) => {
        if (state === EntryState.Unsettled) return;
        count++;
        this.forget(ring, tag);
      });
    }
    if (this.backlog === null) return count;
    count += this.backlog.purge();
    this.checkReservations();
    return count;
  }

  /** The queue is no more: consumers are told, the log forgets it. The vhost has already unbound it. */
  delete(): void {
    this.deleted = true;
    for (const consumer of this.consumers.clear()) consumer.onCancelled(this);
    this.backlog?.close();
    this.reservations?.passed(Number.POSITIVE_INFINITY, this);
  }

  /** Drops what has expired by nowMs. Called by the vhost's tick for queues that said so by onQueueExpires. */
  // [MQTT-3.3.2-5] [MQTT-4.3.3-7]
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
    if (this.consumers.takeBehind()) this.pump();
    if (!this.spilled) return;
    // Some may lie in the log where nobody consumes and nothing else would find them.
    this.batchesToExpire = EXPIRE_BATCHES;
    this.backlog!.load();
  }

  // ---- BacklogOwner

  onSettling(backlog: Backlog): void {
    this.owner.onSettling(backlog);
  }

  get wantsMore(): boolean {
    if (this.windowReady() > this.window.batchCount || this.windowBytes() > this.window.bytesMax) return false;
    // Without a consumer they are brought in only to be dropped.
    return this.consumers.count > 0 || this.batchesToExpire > 0 || this.exceedsLimits();
  }

  onLoaded(sequence: number, run: Run, index: number, count: number, options: DeliveryOptions): void {
    if (this.reservations !== null && count > 1) {
      // Some of them may be reserved.
      for (let i = 0; i < count; i++) this.onLoaded(sequence + i, run, index + i, 1, options);
      return;
    }
    const level = this.levels === 1 ? 0 : Math.min(run.priority, this.levels - 1);
    const ring = this.rings[level]!;
    const tag = ring.tail;
    const heir = this.reservations === null ? null : this.reservations.take(sequence);
    ring.push(run, index, count, options, sequence, heir === null ? EntryState.Ready : EntryState.Unsettled);
    if (heir !== null) {
      heir.onFound(this, tag * this.levels + level);
      return;
    }
    if (run.expiresAtMs === 0 && this.spec.messageTtlMs === null) return;
    if (this.isExpired(run)) {
      this.owner.counters.droppedExpired += count;
      for (let i = 0; i < count; i++) this.forget(ring, tag + i);
    } else this.indexExpiry(run, tag, count, level);
  }

  onBatch(): void {
    if (this.batchesToExpire > 0) this.batchesToExpire--;
    this.checkReservations();
    this.keepLimits();
    this.pump();
  }

  private checkReservations(): void {
    if (this.reservations === null) return;
    this.reservations.passed(this.backlog === null ? Number.POSITIVE_INFINITY : this.backlog.next, this);
    if (this.reservations.empty) this.reservations = null;
  }

  /** Delivers from one ring. Returns false when no consumer has credit left. */
  private pumpRing(ring: MessageRing, level: number): boolean {
    for (;;) {
      const tag = ring.nextReady();
      if (tag < 0) return true;
      if (this.dropExpired(ring, tag)) continue;
      const attached = this.consumers.withCredit();
      if (attached === null) return false;
      // Alone, a consumer takes a run at a time; several take turns message by message. Tags of a queue with priorities are not consecutive.
      const alone = this.consumers.count === 1 && this.levels === 1;
      this.hand(attached, ring, level, tag, alone ? ring.span(tag, attached.consumer.credit.available) : 1);
    }
  }

  /** Back to its place. */
  private giveBack(ring: MessageRing, place: number): void {
    ring.giveBack(place);
    if (this.consumers.selecting) this.consumers.onReturned(place, this.rings.indexOf(ring));
    // Its moment may have come while it was with a consumer. It goes at once: in the way of a length limit it would push out one that is alive.
    if (this.expiry === null || !this.isExpired(ring.runOf(place))) return;
    this.owner.counters.droppedExpired++;
    this.forget(ring, place);
  }

  /** Takes an entry out of the queue for good. */
  private forget(ring: MessageRing, place: number): void {
    const sequence = ring.sequenceOf(place);
    if (ring.remove(place) && sequence !== 0) this.backlog!.settle(sequence);
  }

  private windowReady(): number {
    let count = 0;
    for (const ring of this.rings) count += ring.readyCount;
    return count;
  }

  private windowBytes(): number {
    let bytes = 0;
    for (const ring of this.rings) bytes += ring.readyBytes;
    return bytes;
  }

  /** Bytes of the ready messages, in the window and in the log. */
  private get readyBytes(): number {
    return this.windowBytes() + (this.backlog === null ? 0 : this.backlog.bytes);
  }

  private windowFull(): boolean {
    return this.windowReady() >= this.window.countMax || this.windowBytes() > this.window.bytesMax;
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

  private exceedsLimits(): boolean {
    const { lengthMax, bytesMax, overflow } = this.spec;
    if (overflow !== Overflow.DropHead) return false;
    return (lengthMax !== null && this.readyCount > lengthMax) || (bytesMax !== null && this.readyBytes > bytesMax);
  }

  /** x-overflow: drop-head. The oldest ready messages of the lowest level go first. */
  private keepLimits(): void {
    if (this.parting || !this.exceedsLimits()) return;
    if (!this.pumping) this.pump();
    for (const ring of this.rings) {
      while (this.exceedsLimits()) {
        const tag = ring.nextReady();
        if (tag < 0) break;
        this.owner.counters.droppedOverflow++;
        this.forget(ring, tag);
      }
    }
    // The head may be in the log only: it is brought in so that it can be dropped.
    this.backlog?.load();
  }
}
