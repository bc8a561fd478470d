// The end of a turn of the event loop: whoever produced something during it is visited once. First the hooks (the commit log writes what the turn
// appended), then every output that got bytes is handed to its socket: one write per connection per turn.
import type { Clock } from './clock.ts';
import type { Output } from './output.ts';

export class Turn {
  private readonly clock: Clock;
  private dirty: (Output | null)[] = [];
  private dirtyCount = 0;
  /** Null while its outputs are being written: an end within the end takes another one. */
  private spare: (Output | null)[] | null = [];
  private readonly hooks: (() => void)[] = [];
  private scheduled = false;
  private readonly run = (): void => this.finish();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** hook is called at the end of every turn in which request() was called or an output got bytes, before the outputs leave. */
  addHook(hook: () => void): void {
    this.hooks.push(hook);
  }

  /** Asks for an end of turn. */
  request(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.clock.endOfTurn(this.run);
  }

  /** Output calls this at its first byte of a turn. */
  mark(output: Output): void {
    this.dirty[this.dirtyCount++] = output;
    if (!this.scheduled) this.request();
  }

  /** Ends the turn now (closing, tests). */
  finish(): void {
    this.scheduled = false;
    for (let i = 0; i < this.hooks.length; i++) this.hooks[i]!();
    const outputs = this.dirty;
    const count = this.dirtyCount;
    this.dirty = this.spare ?? [];
    this.spare = null;
    this.dirtyCount = 0;
    // Places are emptied, not cut off: setting the length of an array costs more than the rest of this loop.
    for (let i = 0; i < count; i++) {
      const output = outputs[i]!;
      outputs[i] = null;
      output.flush();
    }
    this.spare = outputs;
  }
}
