// Small keyed state: definitions, sessions, subscriptions, packet identifiers, retained messages. Kept in memory by its owner; the store only makes it survive, and keeps a copy for that unless
// the owner of a large space lends it its own.
// Shares positions and atomic units with the commit log of the same engine.

export interface StateStore {
  /** Replaces the value of key in space. `value` is copied. Returns the position to wait for. */
  put(space: string, key: string, value: Uint8Array): number;
  /** Removes it, if it is there. Returns the position to wait for. */
  remove(space: string, key: string): number;
  /** Everything in `space`, in no particular order. Only before the first put, that is while recovering. */
  load(space: string): Iterable<readonly [key: string, value: Uint8Array]>;
  /**
   * From now on nothing of `space` is kept here: `entries` gives all of it when it is to be written down as a whole. It is walked in slices, with puts and removes between them. What is there all
   * the time must be found; what comes or goes meanwhile may be found or not. A value given out need only last until the next one is asked for. remove() is then only for what is there.
   */
  lend(space: string, entries: () => Iterable<readonly [key: string, value: Uint8Array]>): void;
}
