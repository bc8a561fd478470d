// Small keyed state: definitions, sessions, subscriptions, packet identifiers, retained messages. Kept in memory by its owner; the store only makes it survive.
// Shares positions and atomic units with the commit log of the same engine.

export interface StateStore {
  /** Replaces the value of key in space. `value` is copied. Returns the position to wait for. */
  put(space: string, key: string, value: Uint8Array): number;
  /** Removes it, if it is there. Returns the position to wait for. */
  remove(space: string, key: string): number;
  /** Everything in `space`, in no particular order. Only before the first put, that is while recovering. */
  load(space: string): Iterable<readonly [key: string, value: Uint8Array]>;
}
