// Time as an input. The broker never calls Date.now or setTimeout itself: it is given a Clock, so that a simulation can own time.
// Durations come from now() (monotonic) only; realtime() is for what leaves the process (time stamps, expiry written to disk).

export interface TimerTarget {
  onTimer(): void;
}

export interface Timer {
  /** Starts the delay again from now; a cancelled timer stays cancelled. */
  refresh(): void;
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; fractions possible. */
  now(): number;
  /** Milliseconds since 1970 (UTC); may jump. */
  realtime(): number;
  /** Calls target.onTimer() once after delayMs (at least; accuracy is a few milliseconds). */
  timer(delayMs: number, target: TimerTarget): Timer;
  /** Calls task once, after the I/O of this turn and before the next: the end of the turn. */
  endOfTurn(task: () => void): void;
}

/** Longer than any tick is late while the process runs. */
const ABSENT_AFTER_MS = 1000;

/**
 * Milliseconds between two ticks in which the process was not there: stopped, suspended, or busy. That a peer was silent then says nothing about it, since what it sent
 * has not been read yet.
 */
export function absentMs(lastTickMs: number, nowMs: number): number {
  const gap = nowMs - lastTickMs;
  return gap > ABSENT_AFTER_MS ? gap : 0;
}

class NodeTimer implements Timer {
  private handle: NodeJS.Timeout | null;

  constructor(delayMs: number, target: TimerTarget) {
    // setTimeout fires at once beyond 2^31-1 ms; whoever needs longer asks again when it fires.
    const handle = setTimeout(() => target.onTimer(), Math.min(delayMs, 0x7fffffff));
    handle.unref();
    this.handle = handle;
  }

  refresh(): void {
    this.handle?.refresh();
  }

  cancel(): void {
    if (this.handle !== null) clearTimeout(this.handle);
    this.handle = null;
  }
}

export class SystemClock implements Clock {
  now(): number {
    return performance.now();
  }

  realtime(): number {
    return Date.now();
  }

  timer(delayMs: number, target: TimerTarget): Timer {
    return new NodeTimer(delayMs, target);
  }

  endOfTurn(task: () => void): void {
    setImmediate(task);
  }
}
