// The broker: its virtual hosts, and what they share: the log, counters, limits, the coarse time of the turn, and the publishers who wait (for durability, or because nobody can
// take what they send). Adapters use a Vhost for everything else. No I/O, no clock: whoever runs it calls setTime, tick and recover.
import { assert } from '../lib/assert.ts';
import { type CommitLog, Durability, type QueueLog } from '../storage/commit-log.ts';
import type { StateStore } from '../storage/state-store.ts';
import type { Storage, StorageListener } from '../storage/storage.ts';
import type { Authorizer, Principal } from './authorizer.ts';
import type { Backlog } from './backlog.ts';
import type { BrokerLimits } from './broker-limits.ts';
import { Counters } from './counters.ts';
import {
  decodeBinding,
  decodeExchange,
  decodeQueue,
  decodeSession,
  encodeQueue,
  encodeSession,
} from './definitions.ts';
import type { Publisher } from './publisher.ts';
import type { Queue } from './queue.ts';
import type { RetainedEntry } from './retained.ts';
import type { Codec } from './run.ts';
import { decodeRun, encodeRun } from './run-record.ts';
import { SelectorTable } from './selector/selector.ts';
import type { Session } from './session.ts';
import { dropUnusedShares, SHARE_GRACE_MS } from './share-group.ts';
import { Vhost } from './vhost.ts';

/** Retained messages of a checkpoint are taken in slices of so many. */
const RETAINED_SLICE = 256;

export interface BrokerOptions {
  readonly storage: Storage;
  /** What the engine can promise; Memory when it forgets everything at the end. */
  readonly durability: Durability;
  readonly authorizer: Authorizer;
  readonly limits: BrokerLimits;
  /** The principal of that name with the rights it has now: for sessions that come back from the disk. */
  principal(name: string): Principal;
}

/** An adapter that keeps state in sessions. */
export interface SessionObserver {
  onSessionEnded(vhost: Vhost, session: Session): void;
  /** Nobody is connected and nothing is stored: what `state` holds beyond the necessary may go. */
  onSessionRests(session: Session): void;
}

interface Held {
  readonly position: number;
  readonly queue: Queue;
  readonly tag: number;
  readonly count: number;
}

export class Broker implements StorageListener {
  readonly counters = new Counters();
  readonly selectors = new SelectorTable();
  readonly limits: BrokerLimits;
  readonly authorizer: Authorizer;
  readonly log: CommitLog;
  readonly durability: Durability;
  readonly vhosts = new Map<string, Vhost>();
  /** Epoch milliseconds, as of the last setTime: coarse, but the same for a whole turn. */
  nowMs = 0;
  recovering = false;
  /** When the share groups that nobody has come back to after a restart end; 0 when that is done. */
  private sharesDueMs = 0;
  failed: Error | null = null;
  /** The disk is: what would have to be stored is refused. */
  full = false;
  /** See setMemoryHigh. */
  memoryHigh = false;
  /** Scratch of Vhost.publish. */
  readonly sequences: number[] = [];
  private readonly principal: (name: string) => Principal;
  private readonly storage: Storage;
  private readonly awaiting: Publisher[] = [];
  /** What those who wait are being told at the moment; 0 when nothing is. */
  private tellingPosition = 0;
  private readonly undrained = new Set<Publisher>();
  private readonly slowed = new Set<Publisher>();
  /** Those that wait for memory. */
  private readonly onHold = new Set<Publisher>();
  private held: Held[] = [];
  private settling: Backlog[] = [];
  private readonly observers: SessionObserver[] = [];
  private policyEpoch = 0;

  constructor(options: BrokerOptions) {
    this.storage = options.storage;
    this.log = options.storage.log;
    this.durability = options.durability;
    this.authorizer = options.authorizer;
    this.limits = options.limits;
    this.principal = options.principal;
    this.policyEpoch = options.authorizer.epoch;
    this.addVhost('/');
  }

  /** Null with an engine that forgets. */
  get state(): StateStore | null {
    // Recovery gives the engine a new one, so it is asked for each time.
    return this.durability === Durability.Memory ? null : this.storage.state;
  }

  addVhost(name: string): Vhost {
    let vhost = this.vhosts.get(name);
    if (vhost === undefined) {
      vhost = new Vhost(name, this);
      this.vhosts.set(name, vhost);
    }
    return vhost;
  }

  observeSessions(observer: SessionObserver): void {
    this.observers.push(observer);
  }

  onSessionEnded(vhost: Vhost, session: Session): void {
    for (const observer of this.observers) observer.onSessionEnded(vhost, session);
  }

  onSessionRests(session: Session): void {
    for (const observer of this.observers) observer.onSessionRests(session);
  }

  // ---- time

  setTime(realtimeMs: number): void {
    this.nowMs = realtimeMs;
  }

  /** Lets go what has expired and notices changed rights. Called a few times a second, after setTime. */
  tick(): void {
    if (this.authorizer.epoch !== this.policyEpoch) {
      this.policyEpoch = this.authorizer.epoch;
      for (const vhost of this.vhosts.values()) vhost.policyChanged();
    }
    for (const vhost of this.vhosts.values()) vhost.tick(this.nowMs);
    if (this.sharesDueMs === 0 || this.nowMs < this.sharesDueMs) return;
    this.sharesDueMs = 0;
    for (const vhost of this.vhosts.values()) dropUnusedShares(vhost);
  }

  // ---- who waits

  /** Publisher.onDurable will be called with every growth of the durable position while the publisher's awaitsDurable holds. */
  awaitDurable(publisher: Publisher): void {
    if (publisher.listedAwaiting) return;
    publisher.listedAwaiting = true;
    this.awaiting.push(publisher);
  }

  /** The publisher's connection is gone. */
  forgetPublisher(publisher: Publisher): void {
    this.undrained.delete(publisher);
    this.slowed.delete(publisher);
    this.onHold.delete(publisher);
  }

  /** Nobody can take what it sends: it is paused until some output has drained. */
  pauseUntilDrained(publisher: Publisher): void {
    if (this.undrained.has(publisher)) return;
    this.undrained.add(publisher);
    publisher.pause();
  }

  /** Adapters say: the output of one of my connections has drained, or is gone. */
  onOutputDrained(): void {
    if (this.undrained.size === 0) return;
    const publishers = [...this.undrained];
    this.undrained.clear();
    for (const publisher of publishers) publisher.resume();
  }

  /** The process has reached its memory watermark, or is below it again: publishers wait meanwhile, consumers go on. */
  setMemoryHigh(high: boolean): void {
    this.memoryHigh = high;
    if (high) return;
    const publishers = [...this.onHold];
    this.onHold.clear();
    for (const publisher of publishers) publisher.releaseMessages();
  }

  /** The log has more on its way to the disk than is good, or memory is short: publishers wait. */
  slowDown(publisher: Publisher): void {
    if (this.memoryHigh && !this.onHold.has(publisher)) {
      this.onHold.add(publisher);
      publisher.holdMessages();
    }
    if (this.log.pendingBytes <= this.limits.logPendingBytesMax || this.slowed.has(publisher)) return;
    this.slowed.add(publisher);
    publisher.pause();
  }

  /** Messages delivered to a queue as held: they are released when the log is durable up to position. */
  holdUntilDurable(position: number, queue: Queue, tag: number, count: number): void {
    this.held.push({ position, queue, tag, count });
  }

  onDurable(position: number): void {
    if (this.held.length > 0) this.releaseHeld(position);
    this.tellAwaiting(position);
    if (this.slowed.size > 0) this.resumeSlowed();
  }

  /** Those who wait no more, because this was all or because they are gone, leave the list. Who is told may ask again, or for others. */
  private tellAwaiting(position: number): void {
    const within = this.tellingPosition !== 0;
    // Who is told may end a turn, and so learn of more: the pass that is under way goes on with that, and begins again for those it has told before.
    this.tellingPosition = position;
    if (within) return;
    const { awaiting } = this;
    try {
      for (let told = 0; told < this.tellingPosition; ) {
        told = this.tellingPosition;
        let kept = 0;
        for (let i = 0; i < awaiting.length; i++) {
          const publisher = awaiting[i]!;
          if (publisher.awaitsDurable) publisher.onDurable(this.tellingPosition);
          if (publisher.awaitsDurable) awaiting[kept++] = publisher;
          else publisher.listedAwaiting = false;
        }
        awaiting.length = kept;
      }
    } finally {
      this.tellingPosition = 0;
    }
  }

  private resumeSlowed(): void {
    if (this.log.pendingBytes > this.limits.logPendingBytesMax / 2) return;
    const publishers = [...this.slowed];
    this.slowed.clear();
    for (const publisher of publishers) publisher.resume();
  }

  onFull(full: boolean): void {
    this.full = full;
  }

  onFailed(error: Error): void {
    this.failed = error;
    for (const publisher of [...this.awaiting]) if (publisher.awaitsDurable) publisher.onLogFailed();
  }

  private releaseHeld(position: number): void {
    let count = 0;
    while (count < this.held.length && this.held[count]!.position <= position) count++;
    if (count === 0) return;
    const released = this.held.slice(0, count);
    this.held = this.held.slice(count);
    for (const { queue, tag, count: messages } of released) if (!queue.deleted) queue.release(tag, messages);
  }

  // ---- recovery

  /** Rebuilds definitions and sessions from the state store. The storage is open; nobody is connected yet. */
  recover(codecs: ReadonlyMap<number, Codec>): void {
    const { state } = this;
    if (state === null) return;
    assert(!this.recovering, 'Recovery happens once.');
    this.recovering = true;
    for (const [key, value] of state.load('exchange')) this.vhostOf(key).declareExchange(decodeExchange(value));
    for (const [key, value] of state.load('queue')) this.vhostOf(key).declareQueue(decodeQueue(value));
    for (const [key, value] of state.load('binding')) {
      const vhost = this.vhostOf(key);
      const binding = decodeBinding(value);
      const destination =
        binding.kind === 'queue' ? vhost.queues.get(binding.destination) : vhost.exchanges.get(binding.destination);
      // Its destination may have been deleted in the same turn as the last change before a crash of a state without atomic units; none of ours, so it must be there.
      assert(
        destination !== undefined,
        `The stored binding of ${binding.source} leads to ${binding.destination}, which is not stored.`,
      );
      vhost.bind(binding.source, destination, binding.key, new Map(binding.args));
    }
    let logged: ReadonlySet<string> | null = null;
    for (const [key, value] of state.load('session')) {
      const stored = decodeSession(value);
      logged ??= new Set(this.log.queueNames());
      this.vhostOf(key).sessions.restore(stored, this.principal(stored.principal), logged);
    }
    this.forgetStrayQueues();
    for (const [key, value] of state.load('retained')) {
      this.vhostOf(key).retain(key.slice(key.indexOf('\0') + 1), decodeRun(value, codecs));
    }
    // There may be a million of each: they are not to be in memory twice.
    state.lend('retained', () => this.retainedRecords());
    state.lend('session', () => this.sessionRecords());
    state.lend('queue', () => this.queueRecords());
    this.recovering = false;
    this.sharesDueMs = this.nowMs + SHARE_GRACE_MS;
  }

  private *retainedRecords(): Iterable<readonly [key: string, value: Uint8Array]> {
    const slice: RetainedEntry[] = [];
    for (const vhost of this.vhosts.values()) {
      const walk = vhost.retained.walkAll();
      for (let done = false; !done; ) {
        slice.length = 0;
        // Also what has expired: whoever takes it away says so to the store.
        done = walk.next(RETAINED_SLICE, slice, 0);
        for (const { path, run } of slice) yield [`${vhost.name}\0${path}`, encodeRun(run)];
      }
    }
  }

  private *sessionRecords(): Iterable<readonly [key: string, value: Uint8Array]> {
    for (const vhost of this.vhosts.values()) {
      for (const session of vhost.sessions.values()) {
        if (session.durable) yield [`${vhost.name}\0${session.clientId}`, encodeSession(session)];
      }
    }
  }

  private *queueRecords(): Iterable<readonly [key: string, value: Uint8Array]> {
    for (const vhost of this.vhosts.values()) {
      for (const { spec } of vhost.queues.values())
        if (spec.durable) yield [`${vhost.name}\0${spec.name}`, encodeQueue(spec)];
    }
  }

  /** Queues in the log that nothing refers to any more, such as that of a session which stopped being durable before the broker ended. They would keep their messages for ever. */
  private forgetStrayQueues(): void {
    const logs: QueueLog[] = [];
    for (const vhost of this.vhosts.values()) {
      for (const { log } of vhost.queues.values()) if (log !== null) logs.push(log);
      for (const { queue } of vhost.sessions.values()) if (queue !== null && queue.log !== null) logs.push(queue.log);
    }
    const names = [...this.log.queueNames()];
    // Each has a log of its own.
    if (names.length === logs.length) return;
    const known = new Set(logs.map(({ name }) => name));
    for (const name of names) if (!known.has(name)) this.log.openQueue(name, this.durability).delete();
  }

  private vhostOf(key: string): Vhost {
    return this.addVhost(key.slice(0, key.indexOf('\0')));
  }

  /** What a queue's consumers settled is told to the log in ranges, when the unit ends. */
  settleBeforeUnitEnds(backlog: Backlog): void {
    this.settling.push(backlog);
  }

  /**
   * Position of everything done so far, settlements included, which otherwise are told to the log when the unit ends. For whoever has to answer for a settlement.
   */
  positionOfAll(): number {
    this.tellSettled();
    return this.log.position;
  }

  private tellSettled(): void {
    const { settling } = this;
    if (settling.length === 0) return;
    this.settling = [];
    for (let i = 0; i < settling.length; i++) settling[i]!.endUnit();
  }

  /** Ends an atomic unit of the log: the end of a turn. */
  endUnit(): void {
    this.storage.poll?.();
    this.tellSettled();
    this.storage.endUnit();
  }
}
