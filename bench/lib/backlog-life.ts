// One life of a store with a backlog, in a process of its own, whose memory is that of a broker's that was just started: fills queues, finds what another has left, or drains it. Says its
// figures to the process that has forked it, and lives until that tells it to go, or kills it.
//
//   backlog-life.js --fill|--find|--drain DIRECTORY QUEUES MESSAGES BEGAN      BEGAN: epoch milliseconds at which it was forked
import { readdirSync, readFileSync } from 'node:fs';
import { CoreBench } from './core-bench.ts';
import { Bench, directoryBytes, type Figures, round, runOf } from './store-bench.ts';

export type Life = 'fill' | 'find' | 'drain';

/** Stores `messages` in `queueCount` queues and says how that went. */
async function fillBacklog(bench: Bench, queueCount: number, messages: number): Promise<Figures> {
  const core = new CoreBench(bench);
  await core.open();
  bench.queues = core.declareQueues(queueCount).map(({ log }) => log!);
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
    'filling: RSS MB at most': rssMbMax(),
    checkpoints,
  };
}

/** Starts a broker on what another one has left and takes the first message of a queue. */
async function findBacklog(bench: Bench, began: number): Promise<Figures> {
  const core = new CoreBench(bench);
  await core.open();
  const first = await core.firstDelivery();
  await bench.close();
  return { found: core.found, ms: Math.round(first - began), 'RSS MB at most': rssMbMax() };
}

/** Starts a broker, takes and settles everything. */
async function drainBacklog(bench: Bench, began: number): Promise<Figures> {
  const core = new CoreBench(bench);
  await core.open();
  const diskMb = directoryBytes(bench.directory) / 1e6;
  const first = await core.firstDelivery();
  const drainBegan = performance.now();
  const drained = await core.drain();
  const seconds = (performance.now() - drainBegan) / 1000;
  const rss = rssMbMax();
  const quiet = performance.now();
  while (performance.now() - quiet < 3000) {
    bench.storage.checkSpace();
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const left = directoryBytes(bench.directory);
  const segmentsLeft = readdirSync(bench.directory).filter((name) => name.endsWith('.segment')).length;
  await bench.close();
  return {
    ms: Math.round(first - began),
    'disk MB': Math.round(diskMb),
    drained,
    'drained/s': Math.round(drained / seconds),
    'draining: RSS MB at most': rss,
    'disk after drain MB': Math.round(left / 1e6),
    'segments after drain': segmentsLeft,
    'lost messages': bench.storage.lostMessages,
  };
}

/** The most memory this process has had resident. The kernel's count for a process (maxRSS) begins with what its parent had when it was forked, so the one of its memory is read. */
function rssMbMax(): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return Math.round(kilobytes === undefined ? process.resourceUsage().maxRSS / 1000 : (Number(kilobytes) * 1024) / 1e6);
}

const lives: {
  readonly [life in Life]: (bench: Bench, queues: number, messages: number, began: number) => Promise<Figures>;
} = {
  fill: (bench, queues, messages) => fillBacklog(bench, queues, messages),
  find: (bench, _queues, _messages, began) => findBacklog(bench, began),
  drain: (bench, _queues, _messages, began) => drainBacklog(bench, began),
};

const [, , mode = '', directory = '', ...numbers] = process.argv;
const life = mode.slice(2) as Life;
if (process.send !== undefined && Object.hasOwn(lives, life)) {
  const [queues, messages, began] = numbers.map(Number);
  const figures = await lives[life](new Bench(directory), queues!, messages!, began!);
  process.on('message', () => process.exit(0));
  process.send(figures);
  // Until it is told to go, or killed.
  await new Promise(() => setInterval(() => undefined, 1000));
}
