// What runs in the threads of thread-crew.ts. The writer sleeps in Atomics.wait until there are orders, writes as many at once as it can, counts them as done, and wakes the event loop. The keeper
// does one step of a job at a time and lets reads and checkpoints overtake the slow making of segments.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { NodeDisk } from '../../io/disk.ts';
import { NO_FAULTS } from './faults.ts';
import { Keeper } from './keeper.ts';
import { SALT_BYTES } from './segment.ts';
import {
  Control,
  type JobMessage,
  type MemoryMessage,
  ORDER_DOUBLES,
  ORDERS,
  type ResultMessage,
  type ThreadTask,
  type WriterMessage,
  WriterState,
} from './thread-crew.ts';
import { type FrameOrder, Writer } from './writer.ts';

const port = parentPort!;
const task = workerData as ThreadTask;
/** Orders looked at for one write. */
const WRITTEN_TOGETHER_MAX = 16;

function runWriter(directory: string, direct: boolean, control: Int32Array, orders: Float64Array): void {
  const writer = new Writer(new NodeDisk(), directory, direct, NO_FAULTS);
  const memories = new Map<number, Uint8Array>();
  const orderBytes = new Uint8Array(orders.buffer);
  let done = 0;
  let method = '';
  const memory = (id: number): Uint8Array => {
    let bytes = memories.get(id);
    while (bytes === undefined) {
      const received = receiveMessageOnPort(port) as { message: MemoryMessage } | undefined;
      if (received === undefined) throw new Error('an order refers to memory that was never handed over');
      if (received.message.bytes === null) memories.delete(received.message.memory);
      else memories.set(received.message.memory, received.message.bytes);
      bytes = memories.get(id);
    }
    return bytes;
  };
  const orderAt = (at: number): FrameOrder => ({
    segment: orders[at]!,
    offset: orders[at + 1]!,
    length: orders[at + 2]!,
    memory: memory(orders[at + 3]!),
    at: orders[at + 4]!,
    sync: orders[at + 5] === 1,
    salt: orderBytes.slice((at + 6) * 8, (at + 6) * 8 + SALT_BYTES),
  });
  /** The next orders, the oldest first. */
  const waiting = (): FrameOrder[] => {
    const count = Math.min(WRITTEN_TOGETHER_MAX, (Atomics.load(control, Control.Submitted) - done) | 0);
    return Array.from({ length: count }, (_, i) => orderAt(((done + i) % ORDERS) * ORDER_DOUBLES));
  };
  for (;;) {
    const signal = Atomics.load(control, Control.Signal);
    if (Atomics.load(control, Control.Submitted) === (done | 0)) {
      if (Atomics.load(control, Control.State) === WriterState.Stopping) break;
      Atomics.wait(control, Control.Signal, signal);
      continue;
    }
    try {
      done += writer.write(waiting());
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      port.postMessage({
        error: `the log could not be written: ${text}`,
        method: writer.method,
      } satisfies WriterMessage);
      Atomics.store(control, Control.State, WriterState.Failed);
      break;
    }
    if (writer.method !== method) {
      method = writer.method;
      port.postMessage({ error: null, method } satisfies WriterMessage);
    }
    Atomics.store(control, Control.Done, done | 0);
    Atomics.notify(control, Control.Done);
  }
  writer.close();
  // A failed writer stays until it is told to go, so that its last message arrives before its end is noticed.
  while (Atomics.load(control, Control.State) === WriterState.Failed)
    Atomics.wait(control, Control.State, WriterState.Failed, 100);
}

function runKeeper(directory: string): void {
  const keeper = new Keeper(new NodeDisk(), directory, NO_FAULTS);
  const urgent: JobMessage[] = [];
  const slow: JobMessage[] = [];
  let scheduled = false;
  const step = (): void => {
    scheduled = false;
    const queue = urgent.length > 0 ? urgent : slow;
    const first = queue[0];
    if (first === undefined) return;
    const result = keeper.step(first.job);
    if (result !== null) {
      queue.shift();
      port.postMessage({ id: first.id, result } satisfies ResultMessage);
    }
    schedule();
  };
  const schedule = (): void => {
    if (scheduled || urgent.length + slow.length === 0) return;
    scheduled = true;
    setImmediate(step);
  };
  port.on('message', (message: JobMessage) => {
    const { kind } = message.job;
    if (kind === 'make' || kind === 'remove' || kind === 'ballast') slow.push(message);
    else urgent.push(message);
    schedule();
  });
}

if (task.role === 'writer')
  runWriter(task.directory, task.direct, new Int32Array(task.control), new Float64Array(task.orders));
else runKeeper(task.directory);
