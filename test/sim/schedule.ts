// What happens when: events in the order of their moments, and of their making where the moments are equal. Time stands still while an event runs and jumps to the next one
// afterwards; the broker's timers fire on the way. Turns of the broker end after an event or
// after several of them, as the dice fall, and always before time moves on.
import type { WorldClock } from '../support/world.ts';
import type { Dice } from './dice.ts';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly task: () => void;
}

/** Time moves in strides so short that the broker's timers do not run ahead of the events they lead to. */
const STRIDE_MS = 50;
/** A run that takes more events than this does not come to an end. */
const EVENTS_MAX = 400_000;

export class Schedule {
  /** How often a turn ends after a single event. */
  settleShare = 1;
  /** No turn of the broker ends any more. */
  halted: () => boolean = () => false;
  /** Called whenever a turn has ended. */
  onSettled: () => void = () => undefined;
  events = 0;
  private clock: WorldClock;
  private readonly dice: Dice;
  private readonly heap: Event[] = [];
  private order = 0;

  constructor(clock: WorldClock, dice: Dice) {
    this.clock = clock;
    this.dice = dice;
  }

  /** Goes on with the clock of another broker, which shows the same time. */
  continueOn(clock: WorldClock): void {
    this.clock = clock;
  }

  get nowMs(): number {
    return this.clock.now();
  }

  /** Events that are still to come. */
  get pending(): number {
    return this.heap.length;
  }

  after(delayMs: number, task: () => void): void {
    this.at(this.clock.now() + delayMs, task);
  }

  at(atMs: number, task: () => void): void {
    const { heap } = this;
    const event = { atMs, order: this.order++, task };
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  /** Runs events up to this moment, which is then the time. */
  runUntil(endMs: number): void {
    this.runWhile(() => false, endMs - this.clock.now());
  }

  /** Runs events until `done` says so or the time is up. Returns whether it was done. */
  runWhile(done: () => boolean, timeMaxMs: number): boolean {
    const endMs = this.clock.now() + timeMaxMs;
    while (!done()) {
      if (this.halted()) return false;
      const next = this.heap[0];
      if (next !== undefined && next.atMs <= this.clock.now()) {
        this.step();
        continue;
      }
      this.settle();
      // What the end of the turn led to comes first.
      if (this.heap[0] !== next) continue;
      const untilMs = next === undefined ? endMs : Math.min(next.atMs, endMs);
      const now = this.clock.now();
      if (now >= endMs) return done();
      this.clock.advance(Math.min(untilMs - now, STRIDE_MS));
      if (!this.halted()) this.onSettled();
    }
    return true;
  }

  settle(): void {
    if (this.halted()) return;
    this.clock.settle();
    if (!this.halted()) this.onSettled();
  }

  private step(): void {
    if (++this.events > EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events`);
    this.pop().task();
    if (this.dice.chance(this.settleShare)) this.settle();
  }

  private pop(): Event {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    const count = heap.length;
    if (count === 0) return first;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= count) break;
      if (child + 1 < count && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
