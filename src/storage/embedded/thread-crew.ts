// The crew in threads of its own: one for the writer, one for the keeper, so that neither the event loop nor a busy thread pool ever stands between a frame and the disk.
// Frames go to the writer through a ring of orders in shared memory, and a counter comes back; jobs go to the keeper as messages. Relies on thread.ts for the other side.
//
//   control  Int32Array: [Submitted] orders written, [Done] frames written, [State] running, failed or stopping, [Signal] changes when there is something to look at
//   orders   Float64Array: ORDER_DOUBLES per frame, ORDERS frames
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type MessagePort, Worker } from 'node:worker_threads';
import { assert } from '../../lib/assert.ts';
import type { Crew, CrewListener, JobDone } from './crew.ts';
import type { KeeperJob, KeeperResult } from './keeper.ts';
import { SALT_BYTES } from './segment.ts';
import type { FrameOrder } from './writer.ts';

export const ORDERS = 64;
export const ORDER_DOUBLES = 8;
export const Control = { Submitted: 0, Done: 1, State: 2, Signal: 3 } as const;
export const WriterState = { Running: 0, Failed: 1, Stopping: 2 } as const;

/** What a thread is started with. */
export type ThreadTask =
  | { role: 'writer'; directory: string; direct: boolean; control: SharedArrayBuffer; orders: SharedArrayBuffer }
  | { role: 'keeper'; directory: string };

/** main → writer: memory that orders refer to by number. */
export interface MemoryMessage {
  readonly memory: number;
  readonly bytes: Uint8Array | null;
}

/** writer → main, when it fails; and once at the first frame. */
export interface WriterMessage {
  readonly error: string | null;
  readonly method: string;
}

/** main → keeper, keeper → main. */
export interface JobMessage {
  readonly id: number;
  readonly job: KeeperJob;
}
export interface ResultMessage {
  readonly id: number;
  readonly result: KeeperResult;
}

const PAGE_BYTES = 65_536;

/** Not in the language library this project compiles against, present in every Node it runs on. */
const { Memory } = (
  globalThis as unknown as {
    WebAssembly: {
      Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => { buffer: SharedArrayBuffer };
    };
  }
).WebAssembly;

interface WaitAsync {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
  ): { async: boolean; value: 'not-equal' | 'timed-out' | Promise<'ok' | 'timed-out'> };
}

/** The compiled file of the threads: Node starts JavaScript only, wherever this module itself was loaded from. */
function threadFile(): URL {
  const here = import.meta.url;
  if (!here.endsWith('.ts')) return new URL('./thread.js', here);
  const built = new URL('../../../dist/src/storage/embedded/thread.js', here);
  assert(existsSync(fileURLToPath(built)), `${fileURLToPath(built)} does not exist: build first (npm run build)`);
  return built;
}

export class ThreadCrew implements Crew {
  method = '';
  private readonly directory: string;
  private readonly direct: boolean;
  /** Results that have come in this turn. A job may be followed by the next at once, and its result come before the port is empty: the connections must have their turn in between. */
  private results: ResultMessage[] = [];
  private readonly handOutResults = (): void => {
    const { results } = this;
    this.results = [];
    for (const { id, result } of results) {
      const jobDone = this.jobs.get(id);
      this.jobs.delete(id);
      jobDone?.(result);
    }
  };
  private readonly control = new Int32Array(new SharedArrayBuffer(16));
  private readonly orders = new Float64Array(new SharedArrayBuffer(ORDERS * ORDER_DOUBLES * 8));
  private readonly orderBytes = new Uint8Array(this.orders.buffer);
  private readonly memories = new Map<Uint8Array, number>();
  private nextMemory = 1;
  private writer: Worker | null = null;
  private keeper: Worker | null = null;
  /** By itself, that is by a fault. */
  private writerEnded = false;
  private listener: CrewListener | null = null;
  private submitted = 0;
  private done = 0;
  private readonly overflow: FrameOrder[] = [];
  private watching = false;
  private failed = false;
  private readonly jobs = new Map<number, JobDone>();
  private nextJob = 1;
  private readonly onChange = (): void => {
    this.watching = false;
    this.collect();
  };

  constructor(directory: string, direct: boolean) {
    this.directory = directory;
    this.direct = direct;
  }

  async start(listener: CrewListener): Promise<void> {
    this.listener = listener;
    this.keeper = this.makeThread('log-keeper', { role: 'keeper', directory: this.directory });
    this.keeper.on('message', (message: ResultMessage) => {
      if (this.results.push(message) === 1) setImmediate(this.handOutResults);
    });
    await online(this.keeper);
    // Recovery has gone by, and its first frame must not be what finds that a file of ours has been taken away since.
    if (this.listener !== null) this.writer ??= this.makeWriter();
  }

  private makeWriter(): Worker {
    const writer = this.makeThread('log-writer', {
      role: 'writer',
      directory: this.directory,
      direct: this.direct,
      control: this.control.buffer as SharedArrayBuffer,
      orders: this.orders.buffer as SharedArrayBuffer,
    });
    writer.on('message', (message: WriterMessage) => {
      this.method = message.method;
      if (message.error !== null) this.fail(new Error(message.error));
    });
    writer.on('exit', () => {
      this.writerEnded = true;
    });
    return writer;
  }

  private makeThread(name: string, task: ThreadTask): Worker {
    const limits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8, stackSizeMb: 1 };
    const worker = new Worker(threadFile(), { workerData: task, name, resourceLimits: limits });
    worker.on('error', (error) => this.fail(error));
    worker.on('exit', () => {
      if (this.listener !== null) this.fail(new Error('a storage thread has ended'));
    });
    return worker;
  }

  makeMemory(bytes: number): Uint8Array {
    // WebAssembly's memory starts at a page boundary, which direct writes need and a plain buffer does not promise.
    const pages = Math.ceil(bytes / PAGE_BYTES);
    return new Uint8Array(new Memory({ initial: pages, maximum: pages, shared: true }).buffer);
  }

  submit(frame: FrameOrder): void {
    if (this.submitted - this.done >= ORDERS || this.overflow.length > 0) {
      this.overflow.push(frame);
      return;
    }
    this.order(frame);
  }

  poll(): void {
    // The promise that waits for the same is told, too, finds nothing left, and waits for the next.
    if (this.submitted !== this.done) this.collect();
  }

  keep(job: KeeperJob, done: JobDone): void {
    const id = this.nextJob++;
    this.jobs.set(id, done);
    this.keeper?.postMessage({ id, job } satisfies JobMessage);
  }

  later(then: () => void): void {
    setImmediate(() => {
      if (this.listener !== null) then();
    });
  }

  async stop(): Promise<void> {
    this.listener = null;
    this.jobs.clear();
    const { writer, keeper } = this;
    if (writer !== null && !this.writerEnded) {
      const ended = new Promise((resolve) => writer.once('exit', resolve));
      Atomics.store(this.control, Control.State, WriterState.Stopping);
      this.signal();
      await ended;
    }
    await keeper?.terminate();
    this.writer = null;
    this.keeper = null;
  }

  private order(frame: FrameOrder): void {
    let memory = this.memories.get(frame.memory);
    if (memory === undefined) {
      memory = this.nextMemory++;
      this.memories.set(frame.memory, memory);
      this.port.postMessage({ memory, bytes: frame.memory } satisfies MemoryMessage);
    }
    const at = (this.submitted % ORDERS) * ORDER_DOUBLES;
    const { orders } = this;
    orders[at] = frame.segment;
    orders[at + 1] = frame.offset;
    orders[at + 2] = frame.length;
    orders[at + 3] = memory;
    orders[at + 4] = frame.at;
    orders[at + 5] = frame.sync ? 1 : 0;
    this.orderBytes.set(frame.salt.subarray(0, SALT_BYTES), (at + 6) * 8);
    this.outstanding.push(frame);
    this.submitted++;
    Atomics.store(this.control, Control.Submitted, this.submitted | 0);
    this.signal();
    this.watch();
  }

  private signal(): void {
    Atomics.add(this.control, Control.Signal, 1);
    Atomics.notify(this.control, Control.Signal);
  }

  private readonly outstanding: FrameOrder[] = [];

  private get port(): Pick<MessagePort, 'postMessage'> {
    assert(this.listener !== null, 'the crew has not been started, or has been stopped');
    this.writer ??= this.makeWriter();
    return this.writer;
  }

  /** Asks to be woken when the writer has done more than we know of. */
  private watch(): void {
    // After a failure nothing is taken in any more: what the writer had done before would wake us again and again, and nobody else would ever come to run.
    if (this.watching || this.failed) return;
    this.watching = true;
    const result = (Atomics as unknown as WaitAsync).waitAsync(this.control, Control.Done, this.done | 0);
    if (typeof result.value === 'string') queueMicrotask(this.onChange);
    else void result.value.then(this.onChange);
  }

  private collect(): void {
    const now = Atomics.load(this.control, Control.Done);
    // Who is told may end a turn, and that takes in what is newer still.
    while (((now - this.done) | 0) > 0 && !this.failed) {
      this.done++;
      const frame = this.outstanding.shift()!;
      // Memory made for one frame, which begins at 0, is let go with it; in the ring no frame begins there.
      if (frame.at === 0) this.release(frame.memory);
      const next = this.overflow.shift();
      if (next !== undefined) this.order(next);
      this.listener?.onFrameWritten();
    }
    if (this.submitted !== this.done) this.watch();
  }

  private release(bytes: Uint8Array): void {
    const memory = this.memories.get(bytes);
    if (memory === undefined || this.outstanding.some((frame) => frame.memory === bytes)) return;
    this.memories.delete(bytes);
    this.writer?.postMessage({ memory, bytes: null } satisfies MemoryMessage);
  }

  private fail(error: Error): void {
    if (this.failed) return;
    this.failed = true;
    this.listener?.onWriterFailed(error);
  }
}

/** A crew of threads on the real disk. */
export function threadCrew(direct = true): (directory: string) => Crew {
  return (directory) => new ThreadCrew(directory, direct);
}

function online(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('online', () => resolve());
    worker.once('error', reject);
  });
}
