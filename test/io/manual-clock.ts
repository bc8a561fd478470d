// A clock whose time stands still until a test advances it. Ends of turns are real, so that it can be used with real sockets.
import type { Clock, Timer, TimerTarget } from '../../src/io/clock.ts';

interface Waiting {
  dueMs: number;
  readonly delayMs: number;
  readonly target: TimerTarget;
}

export class ManualClock implements Clock {
  private nowMs = 1000;
  private readonly waiting = new Set<Waiting>();

  get timerCount(): number {
    return this.waiting.size;
  }

  now(): number {
    return this.nowMs;
  }

  realtime(): number {
    return this.nowMs;
  }

  timer(delayMs: number, target: TimerTarget): Timer {
    const entry: Waiting = { dueMs: this.nowMs + delayMs, delayMs, target };
    this.waiting.add(entry);
    return {
      refresh: () => {
        if (this.waiting.has(entry)) entry.dueMs = this.nowMs + delayMs;
      },
      cancel: () => {
        this.waiting.delete(entry);
      },
    };
  }

  endOfTurn(task: () => void): void {
    setImmediate(task);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const entry of [...this.waiting]) {
      if (entry.dueMs > this.nowMs || !this.waiting.delete(entry)) continue;
      entry.target.onTimer();
    }
  }
}
