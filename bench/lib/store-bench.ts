// What benchmarks of the store alone share: a storage on the real disk with its queues, loops that keep a number of messages on their way, and what the disk itself does.
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import type { Message } from '../../src/core/message.ts';
import { type Codec, Run } from '../../src/core/run.ts';
import { NodeDisk } from '../../src/io/disk.ts';
import { SystemRandom } from '../../src/io/random.ts';
import { Durability, LogTargets, type QueueLog } from '../../src/storage/commit-log.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { threadCrew } from '../../src/storage/embedded/thread-crew.ts';

export const CODEC: Codec = {
  id: 1,
  name: 'bench',
  message(): Message {
    throw new Error('nobody asks for messages here');
  },
};
export const CODECS: ReadonlyMap<number, Codec> = new Map([[CODEC.id, CODEC]]);
const SECONDS = 3;

export interface Figures {
  readonly [name: string]: number | string;
}

export function directoryBytes(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

/** CPU time of the main thread in microseconds. */
function mainThreadMicros(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1000;
}

export function runOf(count: number, bytes: number): Run {
  const run = new Run(CODEC);
  run.bytes = new Uint8Array(count * bytes).fill(120);
  run.end = run.bytes.length;
  run.count = count;
  run.guarantee = 1;
  run.frameBytesMax = bytes;
  run.receivedAtMs = Date.now();
  if (count > 1) run.offsets = Uint32Array.from({ length: count + 1 }, (_, i) => i * bytes);
  return run;
}

export class Bench {
  readonly directory: string;
  storage!: EmbeddedStorage;
  queues: QueueLog[] = [];
  onDurable: (position: number) => void = () => undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Puts the storage in place, closed. */
  make(): EmbeddedStorage {
    this.storage = new EmbeddedStorage({
      directory: this.directory,
      disk: new NodeDisk(),
      random: new SystemRandom(),
      crew: threadCrew(),
    });
    return this.storage;
  }

  async open(): Promise<void> {
    this.make();
    await this.storage.open(CODECS, {
      onDurable: (position) => this.onDurable(position),
      onFailed: (error) => {
        throw error;
      },
      onFull: (full) => console.log(full ? 'the disk is full' : 'the disk has room again'),
    });
  }

  openQueues(count: number): void {
    this.queues = Array.from({ length: count }, (_, i) => this.storage.log.openQueue(`q${i}`, Durability.Fsync));
  }

  targets(from: number, count: number): LogTargets {
    const queues = this.queues.slice(from, from + count);
    return new LogTargets(
      queues,
      queues.map(() => AS_PUBLISHED),
    );
  }

  /** Resolves when everything appended is durable. */
  async written(): Promise<void> {
    this.storage.endUnit();
    const { position } = this.storage;
    while (this.storage.durablePosition < position) await new Promise((resolve) => setImmediate(resolve));
  }

  async close(): Promise<void> {
    await this.storage.close();
    this.queues = [];
  }

  /** publishers × window messages are always on their way; a confirmed one is followed by the next. Settles each message when it is confirmed, if asked to. */
  async closedLoop(
    outstanding: number,
    run: Run,
    targets: readonly LogTargets[],
    settle: boolean,
    seconds = SECONDS,
  ): Promise<Figures> {
    const { storage } = this;
    const { log } = storage;
    const perAppend = run.count;
    const slots = Math.max(1, Math.ceil(outstanding / perAppend));
    const positions = new Float64Array(slots);
    const times = new Float64Array(slots);
    let head = 0;
    let inFlight = 0;
    let appended = 0;
    let confirmed = 0;
    let stopping = false;
    const latencies: number[] = [];
    const settled = new Float64Array(this.queues.length).map((_, i) => this.queues[i]!.firstSequence);
    const fill = (): void => {
      const now = performance.now();
      while (inFlight < slots) {
        const slot = (head + inFlight) % slots;
        positions[slot] = log.append(run, targets[appended++ % targets.length]!);
        times[slot] = now;
        inFlight++;
      }
      storage.endUnit();
    };
    const startBytes = storage.figures.logBytes;
    const cpu = mainThreadMicros();
    const all = process.cpuUsage();
    const began = performance.now();
    await new Promise<void>((resolve) => {
      this.onDurable = (position) => {
        const now = performance.now();
        let count = 0;
        while (inFlight > 0 && positions[head]! <= position) {
          if (confirmed % 16 === 0) latencies.push(now - times[head]!);
          if (settle) {
            const queue = confirmed % targets.length;
            this.queues[queue]!.settle(settled[queue]!, perAppend);
            settled[queue] = settled[queue]! + perAppend;
          }
          head = (head + 1) % slots;
          inFlight--;
          confirmed++;
          count++;
        }
        if (now - began > seconds * 1000) stopping = true;
        if (stopping) {
          if (settle) storage.endUnit();
          if (inFlight === 0) resolve();
        } else if (count > 0) setImmediate(fill);
      };
      fill();
    });
    const elapsed = (performance.now() - began) / 1000;
    const messages = confirmed * perAppend;
    const total = process.cpuUsage(all);
    latencies.sort((a, b) => a - b);
    return {
      'confirms/s': Math.round(messages / elapsed),
      'main us/message': round((mainThreadMicros() - cpu) / messages),
      'all us/message': round((total.user + total.system) / messages),
      'p50 ms': round(latencies[Math.floor(latencies.length * 0.5)] ?? 0),
      'p99 ms': round(latencies[Math.floor(latencies.length * 0.99)] ?? 0),
      'disk bytes/message': round((storage.figures.logBytes - startBytes) / messages),
    };
  }
}

export function round(value: number): number {
  return Number(value.toPrecision(3));
}

export interface Raw {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly bytesPerSecond: number;
}

/** Synced sequential writes on a zero-filled file: rate and tail of 4 KB ones, bandwidth of the largest ordinary frame. */
export function rawRate(directory: string): Raw {
  const path = join(directory, 'raw');
  const size = 64 * 1024 * 1024;
  const large = 256 * 1024;
  const zeros = new Uint8Array(size);
  const made = openSync(path, 'w');
  writeSync(made, zeros);
  // Otherwise the first writes would also pay for giving the file its blocks.
  fsyncSync(made);
  closeSync(made);
  const { Memory } = (
    globalThis as unknown as {
      WebAssembly: {
        Memory: new (o: { initial: number; maximum: number; shared: boolean }) => { buffer: SharedArrayBuffer };
      };
    }
  ).WebAssembly;
  const block = new Uint8Array(new Memory({ initial: 4, maximum: 4, shared: true }).buffer);
  const file = openSync(path, constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC);
  const times: number[] = [];
  const began = performance.now();
  for (let i = 0; performance.now() - began < 1500; i++) {
    const start = performance.now();
    writeSync(file, block, 0, 4096, (i * 4096) % size);
    times.push(performance.now() - start);
  }
  const rate = (times.length / (performance.now() - began)) * 1000;
  const largeBegan = performance.now();
  let written = 0;
  while (performance.now() - largeBegan < 1500) {
    writeSync(file, block, 0, large, written % size);
    written += large;
  }
  const bytesPerSecond = (written / (performance.now() - largeBegan)) * 1000;
  closeSync(file);
  rmSync(path);
  times.sort((a, b) => a - b);
  return { rate, p50: times[times.length >>> 1]!, p99: times[Math.floor(times.length * 0.99)]!, bytesPerSecond };
}
