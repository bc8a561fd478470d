// Keyed state: a map per space in memory, or what its owner lends instead, a record in the log for every change, everything in every checkpoint.
import type { StateStore } from '../state-store.ts';
import type { Log } from './log.ts';
import { padded, RecordKind, TEXT_HEADER_BYTES } from './record.ts';

export class EmbeddedState implements StateStore {
  readonly spaces = new Map<string, Map<string, Uint8Array>>();
  private readonly lent = new Map<string, () => Iterable<readonly [key: string, value: Uint8Array]>>();
  private readonly log: () => Log;

  constructor(log: () => Log) {
    this.log = log;
  }

  get entryCount(): number {
    let count = 0;
    for (const entries of this.spaces.values()) count += entries.size;
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
    if (!this.lent.has(space) && this.spaces.get(space)?.has(key) !== true) return log.unit;
    this.append(log, RecordKind.Remove, Buffer.from(space), Buffer.from(key), NOTHING);
    this.forget(space, key);
    return log.unit;
  }

  load(space: string): Iterable<readonly [key: string, value: Uint8Array]> {
    return this.spaces.get(space) ?? [];
  }

  lend(space: string, entries: () => Iterable<readonly [key: string, value: Uint8Array]>): void {
    this.lent.set(space, entries);
    this.spaces.delete(space);
  }

  /** Everything, for a checkpoint; the log may change it between two steps. */
  *all(): Iterable<readonly [space: string, entries: Iterable<readonly [key: string, value: Uint8Array]>]> {
    yield* this.spaces;
    for (const [space, entries] of this.lent) yield [space, entries()];
  }

  /** Puts an entry in place without writing it. */
  restore(space: string, key: string, value: Uint8Array): void {
    let entries = this.spaces.get(space);
    if (entries === undefined) {
      entries = new Map();
      this.spaces.set(space, entries);
    }
    entries.set(key, value);
  }

  forget(space: string, key: string): void {
    const entries = this.spaces.get(space);
    if (entries === undefined) return;
    entries.delete(key);
    if (entries.size === 0) this.spaces.delete(space);
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

const NOTHING = new Uint8Array(0);
