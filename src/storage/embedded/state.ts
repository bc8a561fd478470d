// Keyed state: a map per space in memory, or what its owner lends instead, a record in the log for every change, everything in every checkpoint. What a checkpoint had of a space stays as
// it stood there until it changes: most is read once, by an owner who lends the space then.
import { assert } from '../../lib/assert.ts';
import type { StateStore } from '../state-store.ts';
import { stateEntries } from './checkpoint-format.ts';
import type { Log } from './log.ts';
import { padded, RecordKind, TEXT_HEADER_BYTES } from './record.ts';

export class EmbeddedState implements StateStore {
  private readonly spaces = new Map<string, Map<string, Uint8Array>>();
  /** Spaces that have not been touched since the start. */
  private readonly packed = new Map<string, PackedEntries[]>();
  private readonly lent = new Map<string, () => Iterable<readonly [key: string, value: Uint8Array]>>();
  private readonly log: () => Log;

  constructor(log: () => Log) {
    this.log = log;
  }

  get entryCount(): number {
    let count = 0;
    for (const entries of this.spaces.values()) count += entries.size;
    for (const pieces of this.packed.values()) for (const piece of pieces) count += piece.count;
    return count;
  }

  put(space: string, key: string, value: Uint8Array): number {
    const log = this.log();
    this.append(log, RecordKind.Put, Buffer.from(space), Buffer.from(key), value);
    // An exact copy: a slice would pin whatever the value lies in.
    if (!this.lent.has(space)) this.restore(space, key, new Uint8Array(value));
    return log.unit;
  }

  remove(space: string, key: string): number {
    const log = this.log();
    this.unpack(space);
    if (!this.lent.has(space) && this.spaces.get(space)?.has(key) !== true) return log.unit;
    this.append(log, RecordKind.Remove, Buffer.from(space), Buffer.from(key), NOTHING);
    this.forget(space, key);
    return log.unit;
  }

  load(space: string): Iterable<readonly [key: string, value: Uint8Array]> {
    const pieces = this.packed.get(space);
    return pieces === undefined ? (this.spaces.get(space) ?? []) : unpacked(pieces);
  }

  lend(space: string, entries: () => Iterable<readonly [key: string, value: Uint8Array]>): void {
    this.lent.set(space, entries);
    this.spaces.delete(space);
    this.packed.delete(space);
  }

  /** Everything, for a checkpoint; the log may change it between two steps. */
  *all(): Iterable<readonly [space: string, entries: Iterable<readonly [key: string, value: Uint8Array]>]> {
    for (const space of [...this.packed.keys()]) this.unpack(space);
    yield* this.spaces;
    for (const [space, entries] of this.lent) yield [space, entries()];
  }

  /** Puts entries in place as they stand in a checkpoint: `count` of one space, whose keys are new. Keeps the bytes. */
  restorePacked(space: string, bytes: Uint8Array, count: number): void {
    assert(!this.spaces.has(space), `entries of ${space} are there already`);
    const pieces = this.packed.get(space);
    if (pieces !== undefined) pieces.push({ bytes, count });
    else this.packed.set(space, [{ bytes, count }]);
  }

  /** Puts an entry in place without writing it. */
  restore(space: string, key: string, value: Uint8Array): void {
    this.unpack(space);
    let entries = this.spaces.get(space);
    if (entries === undefined) {
      entries = new Map();
      this.spaces.set(space, entries);
    }
    entries.set(key, value);
  }

  forget(space: string, key: string): void {
    this.unpack(space);
    const entries = this.spaces.get(space);
    if (entries === undefined) return;
    entries.delete(key);
    if (entries.size === 0) this.spaces.delete(space);
  }

  /** What is packed of a space goes into its map, with bytes of its own. */
  private unpack(space: string): void {
    const pieces = this.packed.get(space);
    if (pieces === undefined) return;
    this.packed.delete(space);
    const entries = new Map<string, Uint8Array>();
    this.spaces.set(space, entries);
    for (const [key, value] of unpacked(pieces)) entries.set(key, value.slice());
  }

  private append(log: Log, kind: number, space: Uint8Array, key: Uint8Array, value: Uint8Array): void {
    const size = padded(TEXT_HEADER_BYTES + space.length + key.length + value.length);
    const at = log.reserve(size);
    const word = at >>> 2;
    log.words[word] = kind;
    log.words[word + 1] = size;
    log.words[word + 2] = space.length;
    log.words[word + 3] = key.length;
    log.words[word + 4] = value.length;
    const { bytes } = log;
    bytes.set(space, at + TEXT_HEADER_BYTES);
    bytes.set(key, at + TEXT_HEADER_BYTES + space.length);
    bytes.set(value, at + TEXT_HEADER_BYTES + space.length + key.length);
    log.requireSync();
  }
}

interface PackedEntries {
  readonly bytes: Uint8Array;
  readonly count: number;
}

function* unpacked(pieces: readonly PackedEntries[]): Generator<readonly [key: string, value: Uint8Array]> {
  for (const { bytes } of pieces) yield* stateEntries(bytes);
}

const NOTHING = new Uint8Array(0);
