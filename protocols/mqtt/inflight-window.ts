// What has been sent to a client at QoS 1 or 2 and is not finished: packet identifier → (queue, tag, state). Identifiers are given out in order, so the window is a ring; no
// object per message. It belongs to the session and survives the connection [MQTT-4.4.0-1], [3.1.1 MQTT-4.4.0-1].
//
//   packet id & mask ─▶ ids │ states │ tags │ queues
//
// A slot may be taken by a message that stays unfinished while others pass: the ring then grows, up to one slot per identifier, and after that the identifier is skipped.
import type { Queue } from '../../src/core/queue.ts';

export const InflightState = {
  Free: 0,
  /** PUBLISH QoS 1 sent. */
  // [MQTT-4.3.2-3]
  AwaitPuback: 1,
  /** PUBLISH QoS 2 sent. */
  // [MQTT-4.3.3-3]
  AwaitPubrec: 2,
  /** PUBREC came, PUBREL sent; the queue has settled the message. */
  // [MQTT-4.3.3-5]
  AwaitPubcomp: 3,
  /** PUBLISH QoS 2 sent before the broker was restarted: the message is still in the log, and takes this place when it comes by. */
  Recovered: 4,
} as const;
export type InflightState = (typeof InflightState)[keyof typeof InflightState];

const CAPACITY_MIN = 16;
const CAPACITY_MAX = 65_536;

/** Of every window before its first use: one free place, which nobody writes to. */
const NO_IDS = new Uint16Array(1);
const NO_STATES = new Uint8Array(1);
const NO_TAGS = new Float64Array(1);
const NO_QUEUES: (Queue | null)[] = [null];

export class InflightWindow {
  count = 0;
  private next = 1;
  /** 0 until the first use. */
  private mask = 0;
  private ids: Uint16Array = NO_IDS;
  private states: Uint8Array = NO_STATES;
  private tags: Float64Array = NO_TAGS;
  private queues = NO_QUEUES;

  /** Takes the next free identifier. There must be fewer than 65,535 in use. */
  // [MQTT-2.2.1-4] [MQTT-4.3.2-1], [3.1.1 MQTT-4.3.2-1] [MQTT-4.3.3-1], [3.1.1 MQTT-4.3.3-1]
  add(queue: Queue, tag: number, state: InflightState): number {
    if (this.mask === 0) this.resize(CAPACITY_MIN);
    let id = this.next;
    while (this.states[id & this.mask] !== InflightState.Free) {
      // Within the ring's length another one is unfinished.
      if (this.mask + 1 < CAPACITY_MAX) this.grow();
      else id = id === 65_535 ? 1 : id + 1;
    }
    this.next = id === 65_535 ? 1 : id + 1;
    const at = id & this.mask;
    this.ids[at] = id;
    this.states[at] = state;
    this.tags[at] = tag;
    this.queues[at] = queue;
    this.count++;
    return id;
  }

  /** Takes a certain identifier: one that was given out before a restart. It must be free. */
  place(id: number, queue: Queue | null, tag: number, state: InflightState): void {
    if (this.mask === 0) this.resize(CAPACITY_MIN);
    while (this.states[id & this.mask] !== InflightState.Free) this.grow();
    const at = id & this.mask;
    this.ids[at] = id;
    this.states[at] = state;
    this.tags[at] = tag;
    this.queues[at] = queue;
    this.count++;
    this.next = id === 65_535 ? 1 : id + 1;
  }

  /** A recovered identifier has found its message. */
  found(id: number, queue: Queue, tag: number): void {
    const at = id & this.mask;
    this.states[at] = InflightState.AwaitPubrec;
    this.tags[at] = tag;
    this.queues[at] = queue;
  }

  stateOf(id: number): InflightState {
    const at = id & this.mask;
    return this.ids[at] === id ? (this.states[at] as InflightState) : InflightState.Free;
  }

  setState(id: number, state: InflightState): void {
    this.states[id & this.mask] = state;
  }

  tagOf(id: number): number {
    return this.tags[id & this.mask]!;
  }

  /** Null for an identifier of which only PUBCOMP is missing, or whose message has not been found yet. */
  queueOf(id: number): Queue | null {
    return this.queues[id & this.mask]!;
  }

  remove(id: number): void {
    const at = id & this.mask;
    this.states[at] = InflightState.Free;
    this.queues[at] = null;
    this.count--;
  }

  /** Frees identifiers from `id` on, at most `limit`, which are sent at QoS 1 and stand for consecutive tags of one queue, as stateOf(id) says of the first. Returns how many. */
  removeRun(id: number, limit: number): number {
    const { mask, ids, states, tags, queues } = this;
    const queue = queues[id & mask];
    const tag = tags[id & mask]!;
    let count = 0;
    for (; count < limit; count++) {
      const at = (id + count) & mask;
      if (ids[at] !== id + count || states[at] !== InflightState.AwaitPuback) break;
      if (queues[at] !== queue || tags[at] !== tag + count) break;
      states[at] = InflightState.Free;
      queues[at] = null;
    }
    this.count -= count;
    return count;
  }

  /** Identifiers in use, in the order in which they were given out. */
  inOrder(): number[] {
    const ids: number[] = [];
    for (let at = 0; at <= this.mask; at++) if (this.states[at] !== InflightState.Free) ids.push(this.ids[at]!);
    // Those given out before the counter wrapped are the larger ones.
    const age = (id: number) => (id < this.next ? id + 65_536 : id);
    return ids.sort((a, b) => age(a) - age(b));
  }

  private grow(): void {
    this.resize((this.mask + 1) * 2);
  }

  private resize(size: number): void {
    const { ids, states, tags, queues, mask } = this;
    this.mask = size - 1;
    this.ids = new Uint16Array(size);
    this.states = new Uint8Array(size);
    this.tags = new Float64Array(size);
    this.queues = new Array<Queue | null>(size).fill(null);
    for (let at = 0; at <= mask; at++) {
      if (states[at] === InflightState.Free) continue;
      const to = ids[at]! & this.mask;
      this.ids[to] = ids[at]!;
      this.states[to] = states[at]!;
      this.tags[to] = tags[at]!;
      this.queues[to] = queues[at]!;
    }
  }
}
