// The end of a turn of the event loop: whoever produced something during it is visited once. First the hooks (the commit log writes what the turn
// appended), then every output that got bytes is handed to its socket: one write per connection per turn.
//
// Waiting for the end of the event loop's turn is what gathers the work of many connections. Where turns have brought a single chunk each for a while
// (one message at a time), there is nothing to gather, and the wait costs as much as the work: then a turn of ours ends with its chunk. Every now and
// then one is ended by the event loop again, to see whether chunks still come alone.
import type { Clock } from './clock.ts';
import type { Output } from './output.ts';

/** Turns in a row with a single chunk after which a turn ends with its chunk. */
const LONE_TURNS = 16;
/** Of the turns that end with their chunk, each so-manieth is left to the event loop. */
const PROBE_TURNS = 16;

export class Turn {
  private readonly clock: Clock;
  private dirty: (Output | null)[] = [];
  private dirtyCount = 0;
  /** Null while its outputs are being written: an end within the end takes another one. */
  private spare: (Output | null)[] | null = [];
  private readonly hooks: (() => void)[] = [];
  private scheduled = false;
  /** Between enter() and leave(). */
  private inChunk = false;
  /** Asked for during this chunk, and not scheduled because the chunk's end will do. */
  private wanted = false;
  /** Chunks since the end that is scheduled was asked for, the asking one included. */
  private chunks = 0;
  private loneTurns = 0;
  /** Turns that may still end with their chunk before the event loop is asked again. */
  private untilProbe = 0;
  private readonly run = (): void => {
    this.judge();
    this.finish();
  };

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
    if (this.inChunk && this.untilProbe > 0) {
      this.wanted = true;
      return;
    }
    this.scheduled = true;
    this.chunks = this.inChunk ? 1 : 0;
    this.clock.endOfTurn(this.run);
  }

  /** A stream is about to hand on a chunk that it has read. To be followed by leave(), whatever the chunk leads to. */
  enter(): void {
    this.inChunk = true;
    this.chunks++;
  }

  /** The chunk has been dealt with. */
  leave(): void {
    this.inChunk = false;
    if (!this.wanted) return;
    this.wanted = false;
    if (this.scheduled) return;
    this.untilProbe--;
    this.finish();
  }

  /** Output calls this at its first byte of a turn. */
  mark(output: Output): void {
    this.dirty[this.dirtyCount++] = output;
    if (!this.scheduled) this.request();
  }

  /** Counts what came during the turn that the event loop ends now. */
  private judge(): void {
    if (this.chunks > 1) {
      this.loneTurns = 0;
      this.untilProbe = 0;
    } else if (this.chunks === 1) {
      if (this.loneTurns < LONE_TURNS) this.loneTurns++;
      else this.untilProbe = PROBE_TURNS;
    }
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
