// The consumers of one queue and whose turn it is: in a circle among equals; those of a higher priority first, as long as they have credit; where one asked to be the only one that is
// served, that one, and the next such one when it leaves.
import type { Consumer } from './consumer.ts';
import { Lane } from './lane.ts';
import type { Selector } from './selector/selector.ts';

/** What a consumer asks for when it attaches. */
export interface ConsumerWish {
  /** It takes only what this selects; the rest stays for others. */
  readonly selector: Selector | null;
  /** Higher ones are served first. */
  readonly priority: number;
  /** Others may attach, but wait until it leaves. */
  readonly sole: boolean;
}

export const NO_WISH: ConsumerWish = Object.freeze({ selector: null, priority: 0, sole: false });

export interface Attached {
  readonly consumer: Consumer;
  /** Its number in the queue, from 1. */
  readonly owner: number;
  readonly exclusive: boolean;
  readonly wish: ConsumerWish;
  /** Of its selector. */
  readonly lane: Lane | null;
}

export class Consumers {
  /** The highest priority first. */
  private readonly list: Attached[] = [];
  /** Null until one selects. */
  private lanes: Map<Selector, Lane> | null = null;
  private readonly levels: number;
  private next = 0;
  private owners = 0;
  /** Some have a priority, or want to be served alone. */
  private ranked = false;
  private sole: Attached | null = null;

  constructor(levels: number) {
    this.levels = levels;
  }

  get count(): number {
    return this.list.length;
  }

  /** Some take only what they select. */
  get selecting(): boolean {
    return this.lanes !== null && this.lanes.size > 0;
  }

  mayAttach(exclusive: boolean): boolean {
    return this.list.length === 0 || !(exclusive || this.list[0]!.exclusive);
  }

  add(consumer: Consumer, exclusive: boolean, wish: ConsumerWish): void {
    const { selector } = wish;
    let lane: Lane | null = null;
    if (selector !== null) {
      this.lanes ??= new Map();
      lane = this.lanes.get(selector) ?? new Lane(selector, this.levels);
      lane.users++;
      this.lanes.set(selector, lane);
    }
    this.insert({ consumer, owner: ++this.owners, exclusive, wish, lane });
    this.rank();
  }

  /** Returns the number it had; 0 when it was not there. */
  remove(consumer: Consumer): number {
    const at = this.list.findIndex((attached) => attached.consumer === consumer);
    if (at < 0) return 0;
    const { owner, lane } = this.list[at]!;
    this.list.splice(at, 1);
    if (this.next > at) this.next--;
    if (lane !== null && --lane.users === 0) this.lanes!.delete(lane.selector);
    this.rank();
    return owner;
  }

  /** All leave. */
  clear(): Consumer[] {
    this.lanes = null;
    return this.list.splice(0).map(({ consumer }) => consumer);
  }

  /** Whose turn it is among those that have credit; null when nobody has. */
  withCredit(): Attached | null {
    if (this.ranked) return this.serve((attached) => attached);
    const { list } = this;
    const { length } = list;
    for (let i = 0; i < length; i++) {
      if (this.next >= length) this.next = 0;
      const attached = list[this.next++]!;
      if (hasCredit(attached)) return attached;
    }
    return null;
  }

  /** The first answer, not null, of those that have credit, in the order of their turns. */
  serve<T>(ask: (attached: Attached) => T | null): T | null {
    if (this.sole !== null) return hasCredit(this.sole) ? ask(this.sole) : null;
    for (let at = 0; at < this.list.length; at++) {
      const attached = this.list[at]!;
      if (!hasCredit(attached)) continue;
      const answer = ask(attached);
      if (answer === null) continue;
      this.list.splice(at, 1);
      this.insert(attached);
      return answer;
    }
    return null;
  }

  /** Some selector has not seen everything. */
  takeBehind(): boolean {
    let behind = false;
    if (this.lanes === null) return behind;
    for (const lane of this.lanes.values()) {
      if (lane.behind) behind = true;
      lane.behind = false;
    }
    return behind;
  }

  onReturned(tag: number, level: number): void {
    for (const lane of this.lanes?.values() ?? []) lane.onReturned(tag, level);
  }

  /** Behind its equals. */
  private insert(attached: Attached): void {
    const { list } = this;
    let at = list.length;
    while (at > 0 && list[at - 1]!.wish.priority < attached.wish.priority) at--;
    list.splice(at, 0, attached);
  }

  private rank(): void {
    this.ranked = false;
    this.sole = null;
    for (const attached of this.list) {
      const { priority, sole } = attached.wish;
      if (priority !== 0 || sole) this.ranked = true;
      if (!sole) continue;
      // ActiveMQ's order: the highest priority, and among equals the one that came first.
      const first = this.sole;
      if (first === null || (priority === first.wish.priority && attached.owner < first.owner)) this.sole = attached;
    }
  }
}

function hasCredit({ consumer }: Attached): boolean {
  return consumer.credit.available > 0 && !consumer.credit.held;
}
