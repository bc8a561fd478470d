// What the store alone can do: no sockets, no protocol, one process in a closed loop. Every figure stands beside what the same disk does in the same run with nothing but
// 4 KB synced sequential writes (R), because absolute figures are those of the machine.
//
//   npm run bench -- storage [WORKLOAD…]     without workloads all of them run
//     --directory DIR                        on which disk; made, used and removed
//     --write                                the table into bench/RESULTS.md
import { fork } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { rolldown } from 'rolldown';
import { SEGMENT_BYTES } from '../../src/storage/embedded/storage.ts';
import type { Life } from '../lib/backlog-life.ts';
import { describeMachine } from '../lib/machine.ts';
import { resultsPath } from '../lib/paths.ts';
import { writeSection } from '../lib/section.ts';
import { Bench, directoryBytes, type Figures, type Raw, rawRate, round, runOf } from '../lib/store-bench.ts';
import { asMarkdown, asText } from '../lib/table.ts';

/**
 * What runs in a process of its own, and what that starts. The time it takes to come up is part of what is measured: it is put into one file before, as the broker's executable is, and loads nothing
 * but what it runs.
 */
const LIFE_FILES = {
  life: new URL('../lib/backlog-life.js', import.meta.url),
  thread: new URL('../../src/storage/embedded/thread.js', import.meta.url),
};

async function bundleLife(into: string): Promise<void> {
  const input = Object.fromEntries(Object.entries(LIFE_FILES).map(([name, url]) => [name, fileURLToPath(url)]));
  const bundle = await rolldown({ input, platform: 'node' });
  await bundle.write({ dir: into, format: 'esm', entryFileNames: '[name].js' });
  writeFileSync(join(into, 'package.json'), '{ "type": "module" }\n');
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

/** Runs a life to its end, or kills it when it has said its figures. */
function live(life: Life, directory: string, queueCount: number, messages: number, kill = false): Promise<Figures> {
  const began = Date.now();
  const child = fork(join(bundleOf(directory), 'life.js'), [
    `--${life}`,
    directory,
    String(queueCount),
    String(messages),
    String(began),
  ]);
  return new Promise((resolve, reject) => {
    let figures: Figures | null = null;
    child.on('message', (message) => {
      figures = message as Figures;
      if (kill) child.kill('SIGKILL');
      else child.send('end');
    });
    child.on('exit', () => {
      if (figures === null) reject(new Error(`the process that was to ${life} ended early`));
      else resolve(figures);
    });
  });
}

/** Beside the data. */
function bundleOf(directory: string): string {
  return join(directory, '..', 'life');
}

function backlog(queueCount: number, messages: number): Workload {
  return async ({ directory }) => {
    await bundleLife(bundleOf(directory));
    const filled = await live('fill', directory, queueCount, messages, true);
    const { found, ms: killedMs, 'RSS MB at most': rss } = await live('find', directory, queueCount, messages);
    const { ms: cleanMs, ...drained } = await live('drain', directory, queueCount, messages);
    return {
      ...filled,
      found: found!,
      'first delivery after a kill ms': killedMs!,
      'starting after a kill: RSS MB at most': rss!,
      'first delivery after a clean stop ms': cleanMs!,
      ...drained,
    };
  };
}

const BACKLOG_TARGET =
  'index 8 bytes, RSS 250 MB at any time, first delivery 2 s after a kill and 0.5 s after a clean stop, 500,000/s, disk 4 segments and a checkpoint, nothing lost';

function backlogReached(figures: Figures): number {
  if (figures.found !== figures.drained || figures['lost messages'] !== 0) return 0;
  return Math.min(
    8 / Number(figures['index bytes/message']),
    250 / Number(figures['filling: RSS MB at most']),
    250 / Number(figures['starting after a kill: RSS MB at most']),
    250 / Number(figures['draining: RSS MB at most']),
    2000 / Number(figures['first delivery after a kill ms']),
    500 / Number(figures['first delivery after a clean stop ms']),
    Number(figures['drained/s']) / 500_000,
    (4 * SEGMENT_BYTES + CHECKPOINT_SLACK) / (Number(figures['disk after drain MB']) * 1e6),
  );
}

/** A checkpoint of empty queues, and the little files beside it. */
const CHECKPOINT_SLACK = 4e6;

/** What a durable session that has nothing to do costs: one queue each, each once used. */
function idleSessions(count: number): Workload {
  return async (bench) => {
    await bench.open();
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const collect = (): number => {
      gc();
      return process.memoryUsage().heapUsed + bench.storage.figures.indexUsedBytes;
    };
    bench.openQueues(100);
    const before = collect();
    bench.openQueues(count);
    const run = runOf(1, 100);
    for (let i = 100; i < count; i++) {
      bench.storage.append(run, bench.targets(i, 1));
      bench.queues[i]!.settle(1, 1);
      if (i % 1000 === 0) {
        bench.storage.endUnit();
        await bench.written();
      }
    }
    bench.storage.endUnit();
    await bench.written();
    // Others go on: what was said of these in passing is forgotten with the segments it stands in.
    const busy = bench.targets(0, 1);
    const large = runOf(100, 1000);
    for (let i = 0; i < 1500; i++) {
      bench.storage.append(large, busy);
      await bench.written();
      bench.queues[0]!.settle(bench.queues[0]!.firstSequence, 100);
    }
    bench.queues = [];
    for (let i = 0; i < 4; i++) {
      bench.storage.checkSpace();
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    const after = collect();
    await bench.close();
    return { sessions: count, 'bytes/session': Math.round((after - before) / (count - 100)) };
  };
}

/** All but every hundredth message is settled: what the disk holds when everything has calmed down. */
function survivors(queueCount: number, messages: number): Workload {
  return async (bench) => {
    await bench.open();
    bench.openQueues(queueCount);
    const targets = Array.from({ length: queueCount }, (_, i) => bench.targets(i, 1));
    const run = runOf(1, 1000);
    for (let i = 0; i < messages; i++) {
      bench.storage.append(run, targets[i % queueCount]!);
      if (i % 5000 === 4999) {
        bench.storage.endUnit();
        await bench.written();
      }
    }
    await bench.written();
    const full = directoryBytes(bench.directory);
    for (const queue of bench.queues) {
      for (let from = queue.firstSequence; from < queue.nextSequence; from += 100) {
        queue.settle(from, Math.min(99, queue.nextSequence - from));
        if (from % 10_000 === 1) {
          bench.storage.endUnit();
          await bench.written();
        }
      }
    }
    bench.storage.endUnit();
    await bench.written();
    const began = performance.now();
    let disk = full;
    for (let calm = 0; calm < 8 && performance.now() - began < 30_000; ) {
      bench.storage.checkSpace();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const now = directoryBytes(bench.directory);
      calm = now === disk ? calm + 1 : 0;
      disk = now;
    }
    const live = bench.queues.reduce((sum, queue) => sum + queue.count, 0);
    await bench.close();
    return {
      'live MB': round((live * 1000) / 1e6),
      'disk full MB': Math.round(full / 1e6),
      'disk afterwards MB': Math.round(disk / 1e6),
    };
  };
}

interface Measured {
  readonly workload: Workload;
  /** What it shall reach, and how far it is from that: 1 and more is reached. */
  readonly target: string;
  reached(figures: Figures, raw: Raw): number;
}

const WORKLOADS: { readonly [name: string]: Measured } = {
  '1x1': {
    workload: loop(1, 1, 100),
    target: '0.6 R',
    reached: (figures, raw) => Number(figures['confirms/s']) / (0.6 * raw.rate),
  },
  '1x100': {
    workload: loop(1, 100, 100),
    target: '',
    reached: () => 1,
  },
  '50x1': {
    workload: loop(50, 50, 100),
    target: '20 R; p99 5 times raw',
    reached: (figures, raw) =>
      Math.min(Number(figures['confirms/s']) / (20 * raw.rate), (5 * raw.p99) / Number(figures['p99 ms'])),
  },
  '1000x100': {
    workload: loop(1000, 100_000, 100),
    target: '1 M/s at 0.6 µs',
    reached: (figures) => Math.min(Number(figures['confirms/s']) / 1e6, 0.6 / Number(figures['main us/message'])),
  },
  '1000x100 runs of 20': {
    workload: loop(1000, 100_000, 100, 20),
    target: '1 M/s at 0.6 µs',
    reached: (figures) => Math.min(Number(figures['confirms/s']) / 1e6, 0.6 / Number(figures['main us/message'])),
  },
  '1KB 1000x10': {
    workload: loop(1000, 10_000, 1024),
    target: '0.4 of the synced bandwidth',
    reached: (figures, raw) => (Number(figures['confirms/s']) * 1024) / (0.4 * raw.bytesPerSecond),
  },
  'fan-out x1000': {
    workload: fanOut(1000, 200),
    target: '5 M references/s',
    reached: (figures) => Number(figures['references/s']) / 5e6,
  },
  'idle sessions': {
    workload: idleSessions(100_000),
    target: '400 bytes each',
    reached: (figures) => 400 / Number(figures['bytes/session']),
  },
  'backlog 10 queues': { workload: backlog(10, 10_000_000), target: BACKLOG_TARGET, reached: backlogReached },
  'backlog 5000 queues': { workload: backlog(5000, 10_000_000), target: BACKLOG_TARGET, reached: backlogReached },
  'survivors 1 %': {
    workload: survivors(10, 2_000_000),
    target: '2 × live bytes + 4 segments',
    reached: (figures) =>
      (2 * Number(figures['live MB']) * 1e6 + 4 * SEGMENT_BYTES) / (Number(figures['disk afterwards MB']) * 1e6),
  },
};

/** `npm run bench -- storage [WORKLOAD…] [--directory DIR] [--write]` */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { directory: { type: 'string' }, write: { type: 'boolean', default: false } },
  });
  const unknown = positionals.find((name) => !Object.hasOwn(WORKLOADS, name));
  if (unknown !== undefined) throw new TypeError(`${unknown} is none of ${Object.keys(WORKLOADS).join(', ')}`);
  const directory = values.directory ?? join(tmpdir(), `sluice-bench-storage-${process.pid}`);
  mkdirSync(directory, { recursive: true });
  const raw = rawRate(directory);
  process.stdout.write(`${rawLine(raw)}\n\n`);
  const rows: string[][] = [];
  for (const [name, { workload, target, reached }] of Object.entries(WORKLOADS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const figures = await workload(new Bench(join(directory, 'data')));
    const share = reached(figures, raw);
    const text = Object.entries(figures).map(([figure, value]) => `${figure} ${value}`);
    if ('confirms/s' in figures) text.push(`× R ${round(Number(figures['confirms/s']) / raw.rate)}`);
    if ('p99 ms' in figures) text.push(`p99 × raw ${round(Number(figures['p99 ms']) / raw.p99)}`);
    const verdict = target === '' ? '' : `${share >= 1 ? 'yes' : 'no'} (${round(share)})`;
    rows.push([name, target, verdict, text.join(', ')]);
    process.stdout.write(`${name}: ${text.join(', ')}${target === '' ? '' : `; target ${target}: ${verdict}`}\n`);
    rmSync(join(directory, 'data'), { recursive: true });
  }
  rmSync(directory, { recursive: true });
  const table = { columns: ['workload', 'target', 'reached', 'figures'], rows, wordColumns: [0, 1, 2, 3] };
  process.stdout.write(
    `\n${asText({ ...table, columns: table.columns.slice(0, 3), rows: rows.map((row) => row.slice(0, 3)) })}\n`,
  );
  if (values.write) {
    writeSection('storage', section(raw, asMarkdown(table), ['npm run bench -- storage', ...args].join(' ')));
    process.stdout.write(`\nwritten to ${resultsPath}\n`);
  }
  return 0;
}

function rawLine({ rate, p50, p99, bytesPerSecond }: Raw): string {
  return `raw disk: R = ${Math.round(rate)} synced 4 KB writes/s, p50 ${p50.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms; ${Math.round(bytesPerSecond / 1e6)} MB/s in synced writes of 256 KB`;
}

function section(raw: Raw, table: string, command: string): string {
  const machine = describeMachine();
  return `## The store alone

Measured on ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC on ${machine.cpuModel}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}, with

    ${command}

No sockets, no protocol: one process appends, settles what is confirmed, and waits for the disk. The same run measures the disk by itself: ${rawLine(raw)}.
*reached* is the figure over its target; 1 and more is reached.

${table}
`;
}
