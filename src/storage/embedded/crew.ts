// The writer and the keeper as the storage sees them: frames go to one, jobs to the other, in order; answers come back in later turns. Two crews exist: threads
// (thread-crew.ts), and this one, which does the work in the caller's thread, a step at a time, when it is told to. A simulation is told by its seed; a host that has no
// threads can tell it from a timer.
import type { Disk } from '../../io/disk.ts';
import type { Faults } from './faults.ts';
import { Keeper, type KeeperJob, type KeeperResult } from './keeper.ts';
import { type FrameOrder, Writer } from './writer.ts';

export interface CrewListener {
  /** The oldest frame handed over is written, and durable if it asked for that. */
  onFrameWritten(): void;
  /** No frame from the oldest outstanding one on will ever be written. */
  onWriterFailed(error: Error): void;
}

export type JobDone = (result: KeeperResult) => void;

export interface Crew {
  /** How frames reach the disk, once the first one has. */
  readonly method: string;
  start(listener: CrewListener): Promise<void>;
  /** Memory that frames are built in; page-aligned, shared with the writer. */
  makeMemory(bytes: number): Uint8Array;
  submit(frame: FrameOrder): void;
  /** Takes in now what the writer has done, which otherwise comes in a later turn. */
  poll(): void;
  keep(job: KeeperJob, done: JobDone): void;
  /** In a later turn, when others have had theirs; never, when it is stopped before. */
  later(then: () => void): void;
  stop(): Promise<void>;
}

export class InlineCrew implements Crew {
  private readonly writer: Writer;
  private readonly keeper: Keeper;
  private listener: CrewListener | null = null;
  private readonly frames: FrameOrder[] = [];
  private readonly jobs: { job: KeeperJob; done: JobDone }[] = [];
  private failed = false;
  /** What poll() does. */
  onPoll: () => void = () => undefined;

  constructor(disk: Disk, directory: string, direct: boolean, faults: Faults) {
    this.writer = new Writer(disk, directory, direct, faults);
    this.keeper = new Keeper(disk, directory, faults);
  }

  get method(): string {
    return this.writer.method;
  }

  get frameCount(): number {
    return this.frames.length;
  }

  get jobCount(): number {
    return this.jobs.length;
  }

  start(listener: CrewListener): Promise<void> {
    this.listener = listener;
    return Promise.resolve();
  }

  makeMemory(bytes: number): Uint8Array {
    return new Uint8Array(bytes);
  }

  submit(frame: FrameOrder): void {
    this.frames.push(frame);
  }

  poll(): void {
    this.onPoll();
  }

  keep(job: KeeperJob, done: JobDone): void {
    this.jobs.push({ job, done });
  }

  later(then: () => void): void {
    this.keep({ kind: 'space' }, then);
  }

  /** Writes the oldest frame, and those that go with it. Returns whether there was one. */
  stepWriter(): boolean {
    if (this.frames.length === 0 || this.failed) return false;
    let count = 0;
    try {
      count = this.writer.write(this.frames);
    } catch (error) {
      this.failed = true;
      this.listener?.onWriterFailed(error instanceof Error ? error : new Error(String(error)));
      return true;
    }
    this.frames.splice(0, count);
    for (let i = 0; i < count; i++) this.listener?.onFrameWritten();
    return true;
  }

  /** Does one step of the oldest job. Returns whether there was one. */
  stepKeeper(): boolean {
    const first = this.jobs[0];
    if (first === undefined) return false;
    const result = this.keeper.step(first.job);
    if (result === null) return true;
    this.jobs.shift();
    first.done(result);
    return true;
  }

  stop(): Promise<void> {
    this.listener = null;
    this.frames.length = 0;
    this.jobs.length = 0;
    this.writer.close();
    this.keeper.close();
    return Promise.resolve();
  }
}
