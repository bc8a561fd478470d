// Warnings that anybody outside can cause: a few of them in a row are written, then only how many there were. Relies on the clock, never on a timer.
import type { Clock } from './clock.ts';
import type { LogFields, Logger } from './logger.ts';

/** Lines let through in one interval, and its length: enough to see what goes on, too few to fill a disk. */
const LINES_MAX = 20;
const INTERVAL_MS = 10_000;

export class LimitedLog {
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly linesMax: number;
  private intervalEndMs = Number.NEGATIVE_INFINITY;
  private lineCount = 0;
  private suppressed = 0;

  constructor(clock: Clock, logger: Logger, linesMax = LINES_MAX) {
    this.clock = clock;
    this.logger = logger;
    this.linesMax = linesMax;
  }

  warn(fields: LogFields, message: string): void {
    const now = this.clock.now();
    if (now >= this.intervalEndMs) {
      this.intervalEndMs = now + INTERVAL_MS;
      this.lineCount = 0;
    }
    if (this.lineCount === this.linesMax) {
      this.suppressed++;
      return;
    }
    this.lineCount++;
    this.logger.warn(this.suppressed === 0 ? fields : { ...fields, suppressed: this.suppressed }, message);
    this.suppressed = 0;
  }
}
