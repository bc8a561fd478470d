// How late the event loop of this broker is, watched from inside its process and from outside the product: the benchmark starts the broker with `node --import` of this file. The first SIGUSR2
// begins, the second writes what was seen since to the file that BENCH_LOOP_DELAY names, and so on in turn.
//
// Node's monitor is a timer of one millisecond that records how long it was from one call to the next: a loop with nothing to do gives 1 ms, or 2 where the millisecond has just begun when it
// looks at the clock. What is written has the interval taken off, so that a quarter of a millisecond or so, at most one, is left of the method. A loop that is held up for 20 ms gives one value of 19.

import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const INTERVAL_MS = 1;

/** Milliseconds beyond the interval. */
export interface LoopDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const path = process.env.BENCH_LOOP_DELAY;
if (path !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: INTERVAL_MS });
  let watching = false;
  const beyond = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - INTERVAL_MS);
  process.on('SIGUSR2', () => {
    watching = !watching;
    if (watching) {
      histogram.reset();
      histogram.enable();
      return;
    }
    histogram.disable();
    const seen: LoopDelay = {
      p50Ms: beyond(histogram.percentile(50)),
      p99Ms: beyond(histogram.percentile(99)),
      maxMs: beyond(histogram.max),
    };
    writeFileSync(path, JSON.stringify(seen));
  });
}
