// What tests of storage engines share: runs made of plain bytes, a sink and a listener that write down what they are told.
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import type { Message } from '../../src/core/message.ts';
import { type Codec, Run } from '../../src/core/run.ts';
import { type FetchSink, LogTargets, type QueueLog } from '../../src/storage/commit-log.ts';
import type { RecoveryReport, Storage, StorageListener } from '../../src/storage/storage.ts';

/** Frames are payloads and nothing else. */
export class PlainCodec implements Codec {
  readonly id: number;
  readonly name = 'plain';

  constructor(id = 7) {
    this.id = id;
  }

  message(): Message {
    throw new Error('nobody asks for messages here');
  }
}

export const PLAIN = new PlainCodec();
export const CODECS: ReadonlyMap<number, Codec> = new Map([[PLAIN.id, PLAIN]]);

export interface RunFields {
  variant?: number;
  guarantee?: Guarantee;
  priority?: number;
  receivedAtMs?: number;
  expiresAtMs?: number;
}

/** A borrowed run whose bytes lie somewhere inside a larger chunk, as in a session. */
export function makeRun(payloads: readonly Uint8Array[], fields: RunFields = {}): Run {
  const run = new Run(PLAIN);
  const size = payloads.reduce((sum, payload) => sum + payload.length, 0);
  const chunk = new Uint8Array(size + 24).fill(0xee);
  const offsets = new Uint32Array(payloads.length + 5);
  let at = 0;
  let largest = 0;
  payloads.forEach((payload, i) => {
    offsets[i] = at;
    chunk.set(payload, 11 + at);
    at += payload.length;
    largest = Math.max(largest, payload.length);
  });
  offsets[payloads.length] = at;
  run.bytes = chunk;
  run.start = 11;
  run.end = 11 + size;
  run.count = payloads.length;
  run.offsets = payloads.length === 1 ? null : offsets;
  run.frameBytesMax = largest;
  run.variant = fields.variant ?? 0;
  run.guarantee = fields.guarantee ?? 1;
  run.priority = fields.priority ?? 0;
  run.receivedAtMs = fields.receivedAtMs ?? 0;
  run.expiresAtMs = fields.expiresAtMs ?? 0;
  return run;
}

/** Overwrites the chunk a borrowed run lies in: whoever did not copy shows it. */
export function scribble(run: Run): void {
  run.bytes.fill(0xdd);
  run.offsets?.fill(0xdddddddd);
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function textRun(...texts: string[]): Run {
  return makeRun(texts.map((one) => Buffer.from(one, 'latin1')));
}

export function targets(queues: readonly QueueLog[], options: readonly DeliveryOptions[] | null = null): LogTargets {
  return new LogTargets(queues, options ?? queues.map(() => AS_PUBLISHED));
}

export interface Fetched {
  readonly sequence: number;
  readonly text: string;
  readonly run: Run;
  readonly index: number;
  readonly options: DeliveryOptions;
}

export class CollectingSink implements FetchSink {
  readonly messages: Fetched[] = [];
  next = 0;
  ended = false;

  onFetched(sequence: number, run: Run, index: number, count: number, options: DeliveryOptions): void {
    for (let i = 0; i < count; i++) {
      const body = text(run.bytes.subarray(run.frameStart(index + i), run.frameEnd(index + i)));
      this.messages.push({ sequence: sequence + i, text: body, run, index: index + i, options });
    }
  }

  onFetchEnd(next: number): void {
    this.next = next;
    this.ended = true;
  }

  get texts(): string[] {
    return this.messages.map((message) => message.text);
  }

  get sequences(): number[] {
    return this.messages.map((message) => message.sequence);
  }
}

/** Starts a fetch, and the next one where one ends early, until there is nothing left or enough was given. */
export function collect(queue: QueueLog, from = 0, countMax = 1e9, bytesMax = 1e12): CollectingSink {
  const all = new CollectingSink();
  let countLeft = countMax;
  let bytesLeft = bytesMax;
  const more = (next: number): void => {
    queue.fetch(next, countLeft, bytesLeft, {
      onFetched(sequence, run, index, count, options): void {
        countLeft -= count;
        bytesLeft -= run.frameEnd(index + count - 1) - run.frameStart(index);
        all.onFetched(sequence, run, index, count, options);
      },
      onFetchEnd(end): void {
        if (end >= queue.nextSequence || countLeft <= 0 || bytesLeft <= 0) all.onFetchEnd(end);
        else more(end);
      },
    });
  };
  more(from);
  return all;
}

export class RecordingListener implements StorageListener {
  durable = 0;
  durableCalls = 0;
  readonly failures: Error[] = [];
  readonly full: boolean[] = [];

  onDurable(position: number): void {
    if (position < this.durable) throw new Error(`durable position went back from ${this.durable} to ${position}`);
    this.durable = position;
    this.durableCalls++;
  }

  onFailed(error: Error): void {
    this.failures.push(error);
  }

  onFull(full: boolean): void {
    this.full.push(full);
  }
}

/** One engine under test, on storage of its own that outlives close(). */
export interface Engine {
  /** A fresh instance on the same storage; the one before must be closed. */
  create(): Storage;
  /** Resolves when `ready` holds; lets the engine work meanwhile. */
  until(ready: () => boolean): Promise<void>;
  /** What was durable is there again after close and open. */
  readonly survives: boolean;
  dispose(): Promise<void>;
}

export async function opened(
  engine: Engine,
): Promise<{ storage: Storage; listener: RecordingListener; report: RecoveryReport }> {
  const storage = engine.create();
  const listener = new RecordingListener();
  const report = await storage.open(CODECS, listener);
  return { storage, listener, report };
}

export async function fetchAll(
  engine: Engine,
  queue: QueueLog,
  from = 0,
  countMax = 1_000_000,
  bytesMax = 1e12,
): Promise<CollectingSink> {
  const sink = collect(queue, from, countMax, bytesMax);
  await engine.until(() => sink.ended);
  return sink;
}

export async function endDurably(engine: Engine, storage: Storage): Promise<void> {
  storage.endUnit();
  const position = storage.log.position;
  await engine.until(() => storage.log.durablePosition >= position);
}
