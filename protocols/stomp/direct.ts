// Deliveries at most once: the subscriber that a topic subscription with ack:auto is, and the class of all subscribers that get the same bytes (same version, notation and
// subscription id; browsers that run one program all have the same). A run is written once for a class and copied to each; nothing is kept.
import type { Address } from '../../src/core/address.ts';
import { Action, type Authorizer, type Principal } from '../../src/core/authorizer.ts';
import type { Binding } from '../../src/core/binding.ts';
import type { Counters } from '../../src/core/counters.ts';
import {
  type DeliveryClass,
  type DeliveryPlan,
  type Destination,
  type DirectTarget,
  nextDestinationId,
} from '../../src/core/delivery.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { addressResource } from '../../src/core/resource.ts';
import type { Run, WireForm } from '../../src/core/run.ts';
import type { Slot } from '../../src/io/arena.ts';
import { type Output, REFERENCE_BYTES_MIN } from '../../src/io/output.ts';
import { copy } from '../../src/lib/copy.ts';
import { formFor, SEND_LINE_BYTES } from './codec-run.ts';
import type { Version } from './frame.ts';
import { appendMessages, MessageHead, NO_EXTRA } from './message-writer.ts';

/** With this much unsent, a client is too slow for messages that may be lost: they are dropped and counted. */
export const SLOW_BYTES = 16 * 1024 * 1024;

/** What a direct delivery needs of a connection. */
export interface DirectReceiver {
  readonly output: Output;
  readonly counters: Counters;
}

/** A subscription as the core sees it. */
export class StompTopicSubscriber implements Destination {
  readonly id = nextDestinationId();
  routeStamp = 0;
  routeIndex = 0;
  readonly mayRefuse = false;
  private readonly target: StompTarget;
  private readonly vhostName: string;
  private readonly principal: Principal;
  private readonly clientId: string;
  private readonly authorizer: Authorizer;
  /** Its owner may always read it: the connection's own temporary topic. */
  private readonly own: boolean;

  constructor(
    target: StompTarget,
    vhostName: string,
    principal: Principal,
    clientId: string,
    authorizer: Authorizer,
    own: boolean,
  ) {
    this.target = target;
    this.vhostName = vhostName;
    this.principal = principal;
    this.clientId = clientId;
    this.authorizer = authorizer;
    this.own = own;
  }

  addTo(plan: DeliveryPlan, _bindings: readonly Binding[], _guarantee: Guarantee): void {
    plan.addDirect(this.target);
  }

  mayReceive(address: Address): boolean {
    if (this.own || this.principal.policy === null) return true;
    const resource = addressResource(this.vhostName, address.exchange, address.key.path);
    return this.authorizer.allows(this.principal, this.clientId, Action.Subscribe, resource);
  }
}

export class StompTarget implements DirectTarget {
  readonly deliveryClass: StompClass;
  readonly output: Output;
  readonly counters: Counters;

  constructor(deliveryClass: StompClass, receiver: DirectReceiver) {
    this.deliveryClass = deliveryClass;
    this.output = receiver.output;
    this.counters = receiver.counters;
  }

  get congested(): boolean {
    return this.output.congested;
  }
}

/** What the classes of an adapter share: the numbers in their message ids, and the memory in which they write for many. */
export interface DirectScratch {
  readonly name: string;
  nextNumber: number;
  readonly slot: Slot;
  /** Outputs that take part in the delivery under way. */
  readonly open: Output[];
}

export class StompClass implements DeliveryClass {
  readonly key: string;
  /** Subscriptions that hold it. */
  users = 0;
  readonly head: MessageHead;
  private readonly scratch: DirectScratch;

  constructor(key: string, head: MessageHead, scratch: DirectScratch) {
    this.key = key;
    this.head = head;
    this.scratch = scratch;
  }

  deliver(run: Run, targets: readonly DirectTarget[]): number {
    const { scratch } = this;
    const { open } = scratch;
    open.length = 0;
    let free = 0;
    for (let i = 0; i < targets.length; i++) {
      const { output, counters } = targets[i] as StompTarget;
      if (output.unsentBytes > SLOW_BYTES) {
        counters.droppedSlowConsumer += run.count;
        continue;
      }
      counters.messagesDelivered += run.count;
      open.push(output);
      if (!output.congested) free++;
    }
    if (open.length === 0) return 0;
    const form = formFor(run, this.head);
    const lasting = form !== run || run.owned;
    const extra = run.expiresAtMs === 0 ? NO_EXTRA : expirationLine(run, run.receivedAtMs);
    const number = scratch.nextNumber;
    scratch.nextNumber += run.count;
    if (open.length === 1) appendMessages(open[0]!, this.head, form, lasting, 0, run.count, number, extra);
    else this.deliverToMany(form, lasting, run.count, number, extra);
    open.length = 0;
    return free;
  }

  /** Writes block by block, and each block to every output. */
  private deliverToMany(form: WireForm, lasting: boolean, count: number, number: number, extra: Uint8Array): void {
    const { head } = this;
    const { slot, open } = this.scratch;
    const { bytes, start, end, offsets } = form;
    let at = slot.start;
    for (let i = 0; i < count; i++) {
      const from = (offsets === null ? start : start + offsets[i]!) + SEND_LINE_BYTES;
      const to = offsets === null ? end : start + offsets[i + 1]!;
      const size = head.bytes(number + i, extra) + to - from;
      if (at + size > slot.end || to - from >= REFERENCE_BYTES_MIN) {
        this.appendBlock(at);
        at = slot.start;
        if (size > slot.end - slot.start || to - from >= REFERENCE_BYTES_MIN) {
          // A long frame goes by reference to each, so it needs memory that lasts.
          const frame = lasting
            ? { bytes, start: from - SEND_LINE_BYTES, end: to, offsets: null }
            : ownFrame(bytes, from - SEND_LINE_BYTES, to);
          for (let o = 0; o < open.length; o++) appendMessages(open[o]!, head, frame, true, 0, 1, number + i, extra);
          continue;
        }
      }
      at = head.write(slot.bytes, at, number + i, extra);
      copy(bytes, from, to, slot.bytes, at);
      at += to - from;
    }
    this.appendBlock(at);
  }

  private appendBlock(end: number): void {
    const { slot, open } = this.scratch;
    if (end === slot.start) return;
    for (let i = 0; i < open.length; i++) open[i]!.append(slot.bytes, slot.start, end);
  }
}

function ownFrame(bytes: Uint8Array, start: number, end: number): WireForm {
  const own = Buffer.allocUnsafeSlow(end - start);
  own.set(bytes.subarray(start, end));
  return { bytes: own, start: 0, end: own.length, offsets: null };
}

/** "expiration:…\n", the milliseconds that are left. What has expired is not delivered, so at least one is. */
export function expirationLine(run: Run, nowMs: number): Uint8Array {
  return Buffer.from(`expiration:${Math.max(1, run.expiresAtMs - nowMs)}\n`);
}

/** Classes by what makes them differ, as long as somebody holds them. */
export class StompClasses {
  private readonly classes = new Map<string, StompClass>();
  private readonly scratch: DirectScratch;

  constructor(scratch: DirectScratch) {
    this.scratch = scratch;
  }

  acquire(version: Version, slashes: boolean, texts: boolean, subscription: string | null): StompClass {
    const key = `${version}${slashes ? '/' : '.'}${texts ? 't' : ''}${subscription === null ? '' : `=${subscription}`}`;
    let found = this.classes.get(key);
    if (found === undefined) {
      const head = new MessageHead(version, slashes, texts, subscription, `${this.scratch.name}-`, null);
      found = new StompClass(key, head, this.scratch);
      this.classes.set(key, found);
    }
    found.users++;
    return found;
  }

  release(deliveryClass: StompClass): void {
    if (--deliveryClass.users === 0) this.classes.delete(deliveryClass.key);
  }

  get size(): number {
    return this.classes.size;
  }
}
