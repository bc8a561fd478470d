// The last value of every topic of a vhost that has one: set, cleared, got by path, and walked by pattern in slices, so that a subscription to all of a
// million topics never holds up anybody else. Made for that million: paths in a tree of rows (level-tree.ts), frames in a slab, the rest in typed arrays; a Run is
// made when somebody asks. It stores what the commit log would: a frame with its codec and variant. Who published it is forgotten.
//
// Nothing here knows the time: what has expired by the caller's nowMs is not given out, and goes with expire().
import { assert } from '../lib/assert.ts';
import { SLAB_BYTES_MAX, Slab } from '../lib/slab.ts';
import type { RetainedLimits } from './broker-limits.ts';
import { ExpiryIndex } from './expiry.ts';
import type { Guarantee } from './guarantee.ts';
import { LevelTree, LevelWalk, NO_VALUE } from './level-tree.ts';
import { type Codec, Run } from './run.ts';

const ROWS_MIN = 64;
/** Nodes of the tree that one slice of a walk looks at for each entry it may give out: bounds a pattern that matches little. */
const STEPS_PER_ENTRY = 8;
/** What making a walk costs, in such nodes. */
const STEPS_PER_WALK = 4;
/** Superseded moments in the expiry index, beside one per topic, before it is made anew. */
const STALE_EXPIRIES_MAX = 1024;
/** Handle of a frame that is too long for the slab. */
const LARGE = -1;

export interface RetainedEntry {
  /** The topic, in path notation. */
  readonly path: string;
  /** One message. Owned; keep it as long as you like. */
  readonly run: Run;
}

export class RetainedTable {
  private readonly limits: RetainedLimits;
  private readonly tree = new LevelTree();
  private readonly slab = new Slab();
  private readonly large = new Map<number, Uint8Array>();
  private readonly expiry = new ExpiryIndex();
  private readonly codecs: Codec[] = [];
  private entryCount = 0;
  private entryBytes = 0;
  // An entry is a row of these.
  /** Node of the tree; of a vacant row, the next vacant one. */
  private nodes = new Int32Array(ROWS_MIN);
  private handles = new Int32Array(ROWS_MIN);
  private lengths = new Int32Array(ROWS_MIN);
  private variants = new Int32Array(ROWS_MIN);
  /** Place in `codecs`. */
  private codecIndexes = new Uint8Array(ROWS_MIN);
  private guarantees = new Uint8Array(ROWS_MIN);
  private priorities = new Uint8Array(ROWS_MIN);
  private receivedAts = new Float64Array(ROWS_MIN);
  private expiresAts = new Float64Array(ROWS_MIN);
  private vacant = -1;
  private rows = 0;

  constructor(limits: RetainedLimits) {
    this.limits = limits;
  }

  /** Topics that have a message, those whose message has expired but is not swept away yet included. */
  get count(): number {
    return this.entryCount;
  }

  /** Frames and paths; what limits.bytesMax bounds. */
  get bytes(): number {
    return this.entryBytes;
  }

  /**
   * Makes the one message of `run` (borrowed or owned) the topic's. False when the limits do not allow it and it is not forced; then the topic keeps what it had.
   */
  set(path: string, run: Run, force = false): boolean {
    assert(run.count === 1, 'one message is retained at a time');
    const length = run.byteLength;
    const there = this.tree.find(path);
    let row = there < 0 ? NO_VALUE : this.tree.value(there);
    if (row === NO_VALUE) {
      const added = length + path.length;
      if (!force && (this.entryCount >= this.limits.countMax || this.entryBytes + added > this.limits.bytesMax))
        return false;
      const node = this.tree.findOrGrow(path);
      row = this.addRow();
      this.nodes[row] = node;
      this.tree.setValue(node, row);
      this.entryCount++;
      this.entryBytes += added;
      this.addFrame(row, run);
    } else {
      const before = this.lengths[row]!;
      if (!force && this.entryBytes + length - before > this.limits.bytesMax) return false;
      this.entryBytes += length - before;
      const handle = this.handles[row]!;
      if (handle !== LARGE && length <= SLAB_BYTES_MAX) {
        this.handles[row] = this.slab.replace(handle, before, run.bytes, run.start, run.end);
      } else {
        this.dropFrame(row);
        this.addFrame(row, run);
      }
    }
    this.lengths[row] = length;
    this.variants[row] = run.variant;
    this.codecIndexes[row] = this.codecIndex(run.codec);
    this.guarantees[row] = run.guarantee;
    this.priorities[row] = run.priority;
    this.receivedAts[row] = run.receivedAtMs;
    this.expiresAts[row] = run.expiresAtMs;
    if (run.expiresAtMs !== 0) this.indexExpiry(this.nodes[row]!, run.expiresAtMs);
    return true;
  }

  /** Takes the topic's message away. Returns whether there was one. */
  clear(path: string): boolean {
    const node = this.tree.find(path);
    if (node < 0 || this.tree.value(node) === NO_VALUE) return false;
    this.removeNode(node, path.length);
    return true;
  }

  get(path: string, nowMs: number): Run | null {
    const node = this.tree.find(path);
    const row = node < 0 ? NO_VALUE : this.tree.value(node);
    return row === NO_VALUE || this.hasExpired(row, nowMs) ? null : this.makeRun(row);
  }

  /** Whether a walk by this pattern may find anything. Tells without a walk where the pattern has no wildcard, as most of a long list of subscriptions. */
  mayHave(pattern: string): boolean {
    if (this.entryCount === 0) return false;
    if (pattern.includes('+') || pattern.includes('#')) return true;
    const node = this.tree.find(pattern);
    return node >= 0 && this.tree.value(node) !== NO_VALUE;
  }

  /** Everything that matches a pattern (routing-key.ts). The walk may be left at any time. */
  walk(pattern: string): RetainedWalk {
    return new RetainedWalk(this, new LevelWalk(this.tree, pattern));
  }

  /** Everything, topics that start with '$' included. */
  walkAll(): RetainedWalk {
    return new RetainedWalk(this, new LevelWalk(this.tree, '#', true));
  }

  /** Takes away at most countMax messages that have expired by nowMs, and tells the path of each. Returns how many. */
  expire(nowMs: number, onExpired: (path: string) => void, countMax = Number.POSITIVE_INFINITY): number {
    let expired = 0;
    this.expiry.popExpired(
      nowMs,
      (node) => {
        // The node may have lost its message since, got a later one, or be another topic's by now.
        const row = this.tree.value(node);
        if (row === NO_VALUE || !this.hasExpired(row, nowMs)) return;
        const path = this.tree.path(node);
        this.removeNode(node, path.length);
        onExpired(path);
        expired++;
      },
      countMax,
    );
    return expired;
  }

  /** For RetainedWalk: appends the message at a node, unless it has expired. */
  entryAt(node: number, path: string, nowMs: number, into: RetainedEntry[]): void {
    const row = this.tree.value(node);
    if (!this.hasExpired(row, nowMs)) into.push({ path, run: this.makeRun(row) });
  }

  private hasExpired(row: number, nowMs: number): boolean {
    const expiresAt = this.expiresAts[row]!;
    return expiresAt !== 0 && expiresAt <= nowMs;
  }

  private makeRun(row: number): Run {
    const run = new Run(this.codecs[this.codecIndexes[row]!]!);
    const length = this.lengths[row]!;
    const handle = this.handles[row]!;
    if (handle === LARGE) run.bytes = this.large.get(row)!;
    else {
      run.bytes = Buffer.allocUnsafe(length);
      this.slab.copyTo(handle, length, run.bytes, 0);
    }
    run.variant = this.variants[row]!;
    run.end = length;
    run.count = 1;
    run.guarantee = this.guarantees[row] as Guarantee;
    run.frameBytesMax = length;
    run.priority = this.priorities[row]!;
    run.receivedAtMs = this.receivedAts[row]!;
    run.expiresAtMs = this.expiresAts[row]!;
    run.owned = true;
    return run;
  }

  private removeNode(node: number, pathLength: number): void {
    const row = this.tree.value(node);
    this.entryCount--;
    this.entryBytes -= this.lengths[row]! + pathLength;
    this.dropFrame(row);
    this.tree.remove(node);
    this.expiresAts[row] = 0;
    this.nodes[row] = this.vacant;
    this.vacant = row;
  }

  private addFrame(row: number, run: Run): void {
    if (run.byteLength <= SLAB_BYTES_MAX) this.handles[row] = this.slab.put(run.bytes, run.start, run.end);
    else {
      this.handles[row] = LARGE;
      this.large.set(row, exactCopy(run));
    }
  }

  private dropFrame(row: number): void {
    const handle = this.handles[row]!;
    if (handle === LARGE) this.large.delete(row);
    else this.slab.free(handle, this.lengths[row]!);
  }

  private codecIndex(codec: Codec): number {
    const index = this.codecs.indexOf(codec);
    return index >= 0 ? index : this.codecs.push(codec) - 1;
  }

  private indexExpiry(node: number, expiresAtMs: number): void {
    this.expiry.add(expiresAtMs, node);
    if (this.expiry.size <= 2 * this.entryCount + STALE_EXPIRIES_MAX) return;
    this.expiry.clear();
    for (let row = 0; row < this.rows; row++) {
      if (this.expiresAts[row] !== 0) this.expiry.add(this.expiresAts[row]!, this.nodes[row]!);
    }
  }

  private addRow(): number {
    const row = this.vacant;
    if (row >= 0) {
      this.vacant = this.nodes[row]!;
      return row;
    }
    if (this.rows === this.nodes.length) this.resize();
    return this.rows++;
  }

  private resize(): void {
    const rows = this.rows + Math.max(ROWS_MIN, this.rows >> 1);
    this.nodes = copied(this.nodes, new Int32Array(rows));
    this.handles = copied(this.handles, new Int32Array(rows));
    this.lengths = copied(this.lengths, new Int32Array(rows));
    this.variants = copied(this.variants, new Int32Array(rows));
    this.codecIndexes = copied(this.codecIndexes, new Uint8Array(rows));
    this.guarantees = copied(this.guarantees, new Uint8Array(rows));
    this.priorities = copied(this.priorities, new Uint8Array(rows));
    this.receivedAts = copied(this.receivedAts, new Float64Array(rows));
    this.expiresAts = copied(this.expiresAts, new Float64Array(rows));
  }
}

/** A walk over the messages that match a pattern. Between two slices the table may change in any way (level-tree.ts says what is found then). */
export class RetainedWalk {
  private readonly table: RetainedTable;
  private readonly nodes: LevelWalk;

  constructor(table: RetainedTable, nodes: LevelWalk) {
    this.table = table;
    this.nodes = nodes;
    nodes.suspend();
  }

  /** Nodes of the tree that the last next() looked at. */
  get steps(): number {
    return this.nodes.steps;
  }

  /** Appends up to `limit` messages, fewer when much had to be looked at. Returns whether the walk is done. */
  next(limit: number, into: RetainedEntry[], nowMs: number): boolean {
    const { nodes } = this;
    const full = into.length + limit;
    nodes.resume();
    while (into.length < full) {
      const node = nodes.advance(limit * STEPS_PER_ENTRY);
      if (node < 0) break;
      this.table.entryAt(node, nodes.path, nowMs, into);
    }
    nodes.suspend();
    return nodes.done;
  }
}

/**
 * The walks that one client waits for, one after the other, in slices that cost about the same: one walk may take many slices, and one slice gets through many walks that find little. What
 * waits is a pattern and what the owner wants to know about it; a walk is made when its turn comes.
 */
export class RetainedWalks<About> {
  private readonly table: RetainedTable;
  private waiting: { readonly pattern: string; readonly about: About }[] = [];
  private first = 0;
  private walk: RetainedWalk | null = null;
  /** What the slice may still look at. */
  private stepsLeft = 0;

  constructor(table: RetainedTable) {
    this.table = table;
  }

  add(pattern: string, about: About): void {
    this.waiting.push({ pattern, about });
  }

  /** About the walk that is due; null when there is none. */
  get about(): About | null {
    return this.first < this.waiting.length ? this.waiting[this.first]!.about : null;
  }

  /** A slice begins, which may give out this many messages. */
  begin(entries: number): void {
    this.stepsLeft = entries * STEPS_PER_ENTRY;
  }

  /** The slice has done its share. */
  get used(): boolean {
    return this.stepsLeft <= 0;
  }

  /** Goes on with the walk that is due, and appends what it finds until the slice is used up or the walk is done; then the next one is due. */
  next(into: RetainedEntry[], nowMs: number): void {
    if (this.walk === null) {
      this.walk = this.table.walk(this.waiting[this.first]!.pattern);
      this.stepsLeft -= STEPS_PER_WALK;
    }
    const before = into.length;
    const done = this.walk.next(Math.max(1, Math.ceil(this.stepsLeft / STEPS_PER_ENTRY)), into, nowMs);
    this.stepsLeft -= Math.max(this.walk.steps, (into.length - before) * STEPS_PER_ENTRY);
    if (done) this.skip();
  }

  /** Leaves the walk that is due. */
  skip(): void {
    this.walk = null;
    this.first++;
    if (this.first === this.waiting.length) this.clear();
  }

  clear(): void {
    this.waiting = [];
    this.first = 0;
    this.walk = null;
  }
}

function exactCopy(run: Run): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(run.byteLength);
  bytes.set(run.bytes.subarray(run.start, run.end));
  return bytes;
}

function copied<T extends Int32Array | Uint8Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
