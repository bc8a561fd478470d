// What the store alone can do: no sockets, no protocol, one process in a closed loop. Every figure stands beside what the same disk does in the same run with nothing but
// 4 KB synced sequential writes (R), because absolute figures are those of the machine.
//
//   node dist/bench/macro/storage.js [DIRECTORY] [WORKLOAD…]     DIRECTORY is made, used and removed; without workloads all of them run
import { fork } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import type { Message } from '../../src/core/message.ts';
import { type Codec, Run } from '../../src/core/run.ts';
import { NodeDisk } from '../../src/io/disk.ts';
import { SystemRandom } from '../../src/io/random.ts';
import { Durability, LogTargets, type QueueLog } from '../../src/storage/commit-log.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { threadCrew } from '../../src/storage/embedded/thread-crew.ts';

const CODEC: Codec = {
  id: 1,
  name: 'bench',
  message(): Message {
    throw new Error('nobody asks for messages here');
  },
};
const CODECS = new Map([[CODEC.id, CODEC]]);
const SECONDS = 3;

interface Figures {
  readonly [name: string]: number | string;
}

/** CPU time of the main thread in microseconds. */
function mainThreadMicros(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1000;
}

function runOf(count: number, bytes: number): Run {
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

class Bench {
  readonly directory: string;
  storage!: EmbeddedStorage;
  queues: QueueLog[] = [];
  onDurable: (position: number) => void = () => undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  async open(): Promise<number> {
    const began = performance.now();
    this.storage = new EmbeddedStorage({
      directory: this.directory,
      disk: new NodeDisk(),
      random: new SystemRandom(),
      crew: threadCrew(),
    });
    await this.storage.open(CODECS, {
      onDurable: (position) => this.onDurable(position),
      onFailed: (error) => {
        throw error;
      },
      onFull: (full) => console.log(full ? 'the disk is full' : 'the disk has room again'),
    });
    return performance.now() - began;
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

function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** 4 KB synced sequential writes on a zero-filled file: rate and tail of the disk itself. */
function rawRate(directory: string): { rate: number; p50: number; p99: number } {
  const path = join(directory, 'raw');
  const size = 16 * 1024 * 1024;
  const zeros = new Uint8Array(size);
  const made = openSync(path, 'w');
  writeSync(made, zeros);
  closeSync(made);
  const { Memory } = (
    globalThis as unknown as {
      WebAssembly: {
        Memory: new (o: { initial: number; maximum: number; shared: boolean }) => { buffer: SharedArrayBuffer };
      };
    }
  ).WebAssembly;
  const block = new Uint8Array(new Memory({ initial: 1, maximum: 1, shared: true }).buffer).subarray(0, 4096);
  const file = openSync(path, constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC);
  const times: number[] = [];
  const began = performance.now();
  for (let i = 0; performance.now() - began < 1500; i++) {
    const start = performance.now();
    writeSync(file, block, 0, 4096, (i * 4096) % size);
    times.push(performance.now() - start);
  }
  const rate = (times.length / (performance.now() - began)) * 1000;
  closeSync(file);
  rmSync(path);
  times.sort((a, b) => a - b);
  return { rate, p50: times[times.length >>> 1]!, p99: times[Math.floor(times.length * 0.99)]! };
}

function directoryBytes(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

type Workload = (bench: Bench) => Promise<Figures>;

function loop(queues: number, outstanding: number, bytes: number, perRun = 1, settle = true): Workload {
  return async (bench) => {
    await bench.open();
    bench.openQueues(queues);
    const targets = Array.from({ length: queues }, (_, i) => bench.targets(i, 1));
    await bench.closedLoop(outstanding, runOf(perRun, bytes), targets, settle, 0.7);
    const figures = await bench.closedLoop(outstanding, runOf(perRun, bytes), targets, settle);
    const { checkpoints } = bench.storage.figures;
    await bench.close();
    return { ...figures, checkpoints };
  };
}

function fanOut(queues: number, outstanding: number): Workload {
  return async (bench) => {
    await bench.open();
    bench.openQueues(queues);
    const figures = await bench.closedLoop(outstanding, runOf(1, 100), [bench.targets(0, queues)], false, 2);
    const index = bench.storage.figures.indexUsedBytes;
    await bench.close();
    return { ...figures, 'references/s': Number(figures['confirms/s']) * queues, 'index MB': round(index / 1e6) };
  };
}

/** Stores `messages` in `queueCount` queues and says how that went. */
async function fillBacklog(bench: Bench, queueCount: number, messages: number): Promise<Figures> {
  await bench.open();
  bench.openQueues(queueCount);
  const targets = Array.from({ length: queueCount }, (_, i) => bench.targets(i, 1));
  const run = runOf(1, 100);
  const began = performance.now();
  await new Promise<void>((resolve) => {
    let appended = 0;
    const fill = (): void => {
      while (appended < messages && bench.storage.pendingBytes < 4 * 1024 * 1024) {
        for (let i = 0; i < 1000; i++) bench.storage.append(run, targets[appended++ % queueCount]!);
      }
      bench.storage.endUnit();
      if (appended === messages && bench.storage.durablePosition === bench.storage.position) resolve();
    };
    bench.onDurable = () => setImmediate(fill);
    fill();
  });
  const elapsed = (performance.now() - began) / 1000;
  const { indexBytes, checkpoints } = bench.storage.figures;
  return {
    'fill/s': Math.round(messages / elapsed),
    'index bytes/message': round(indexBytes / messages),
    'rss MB': Math.round(process.memoryUsage().rss / 1e6),
    checkpoints,
  };
}

/** fillBacklog in a process of its own, which is killed when all is confirmed. */
function fillAndKill(directory: string, queueCount: number, messages: number): Promise<Figures> {
  const child = fork(process.argv[1]!, ['--fill', directory, String(queueCount), String(messages)]);
  return new Promise((resolve, reject) => {
    let figures: Figures | null = null;
    child.on('message', (message) => {
      figures = message as Figures;
      child.kill('SIGKILL');
    });
    child.on('exit', () => {
      if (figures === null) reject(new Error('the filling process ended early'));
      else resolve(figures);
    });
  });
}

function backlog(queueCount: number, messages: number): Workload {
  return async (bench) => {
    const filled = await fillAndKill(bench.directory, queueCount, messages);
    const killedMs = await bench.open();
    bench.openQueues(queueCount);
    const found = bench.queues.reduce((sum, queue) => sum + queue.count, 0);
    await bench.close();
    const cleanMs = await bench.open();
    bench.openQueues(queueCount);
    const disk = directoryBytes(bench.directory);
    const drainBegan = performance.now();
    let drained = 0;
    await new Promise<void>((resolve) => {
      let left = queueCount;
      for (const queue of bench.queues) {
        let next = 1;
        const more = (): void => {
          queue.fetch(next, 100, 64 * 1024, {
            onFetched: (sequence) => {
              queue.settle(sequence, 1);
              drained++;
            },
            onFetchEnd: (end) => {
              next = end;
              if (queue.count === 0) {
                if (--left === 0) resolve();
              } else waiting.push(more);
            },
          });
        };
        waiting.push(more);
      }
      const turn = (): void => {
        for (const go of waiting.splice(0, 64)) go();
        bench.storage.endUnit();
        if (left > 0) setImmediate(turn);
      };
      turn();
    });
    const { rss } = process.memoryUsage();
    const drainSeconds = (performance.now() - drainBegan) / 1000;
    const quiet = performance.now();
    while (performance.now() - quiet < 3000) {
      bench.storage.checkSpace();
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const left = directoryBytes(bench.directory);
    await bench.close();
    return {
      ...filled,
      found,
      'killed restart ms': Math.round(killedMs),
      'clean restart ms': Math.round(cleanMs),
      'disk MB': Math.round(disk / 1e6),
      'rss while draining MB': Math.round(rss / 1e6),
      drained,
      'drained/s': Math.round(drained / drainSeconds),
      'disk after drain MB': Math.round(left / 1e6),
      'lost messages': bench.storage.lostMessages,
    };
  };
}

const waiting: (() => void)[] = [];

const WORKLOADS: { readonly [name: string]: Workload } = {
  '1x1': loop(1, 1, 100),
  '1x100': loop(1, 100, 100),
  '50x1': loop(50, 50, 100),
  '1000x100': loop(1000, 100_000, 100),
  '1000x100 runs of 20': loop(1000, 100_000, 100, 20),
  '1KB 1000x10': loop(1000, 10_000, 1024),
  'fan-out x1000': fanOut(1000, 200),
  'backlog 10 queues': backlog(10, 10_000_000),
  'backlog 5000 queues': backlog(5000, 10_000_000),
};

if (process.argv[2] === '--fill') {
  const figures = await fillBacklog(new Bench(process.argv[3]!), Number(process.argv[4]), Number(process.argv[5]));
  process.send?.(figures);
  await new Promise(() => setInterval(() => undefined, 1000));
}

const directory = process.argv[2] ?? join(tmpdir(), `sluice-bench-storage-${process.pid}`);
const chosen = process.argv.slice(3);
mkdirSync(directory, { recursive: true });
const raw = rawRate(directory);
console.log(
  `raw: ${Math.round(raw.rate)} synced 4 KB writes/s, p50 ${raw.p50.toFixed(3)} ms, p99 ${raw.p99.toFixed(3)} ms`,
);
for (const [name, workload] of Object.entries(WORKLOADS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const figures = await workload(new Bench(join(directory, 'data')));
  const ratio = 'confirms/s' in figures ? { 'x R': round(Number(figures['confirms/s']) / raw.rate) } : {};
  console.log(name, { ...figures, ...ratio });
  rmSync(join(directory, 'data'), { recursive: true });
}
rmSync(directory, { recursive: true });
