// Runs of plain texts for tests of the core: a codec whose frame is the payload and nothing else.
import type { DeliveryOptions } from '../../src/core/delivery.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { Message } from '../../src/core/message.ts';
import { type Headers, NO_HEADERS, NO_PROPERTIES } from '../../src/core/properties.ts';
import type { Publisher } from '../../src/core/publisher.ts';
import { RoutingKey } from '../../src/core/routing-key.ts';
import { type Codec, Run } from '../../src/core/run.ts';

export const TEXT_CODEC: Codec = {
  id: 77,
  name: 'text',
  message: (run, index) => messageOf(run, index, NO_HEADERS),
};

function messageOf(run: Run, index: number, headers: Headers): Message {
  return new Message(
    { exchange: '', key: new RoutingKey('') },
    run.bytes.subarray(run.frameStart(index), run.frameEnd(index)),
    NO_PROPERTIES,
    headers,
    run.guarantee,
    false,
    run.priority,
    run.receivedAtMs,
    run.expiresAtMs,
    null,
  );
}

export interface RunFields {
  readonly guarantee?: Guarantee;
  readonly priority?: number;
  readonly receivedAtMs?: number;
  readonly expiresAtMs?: number;
  readonly publisher?: Publisher | null;
  /** Of a single message. */
  readonly headers?: Headers;
  /** Bytes in front of the first frame; makes the run a borrowed one. */
  readonly borrowedAt?: number;
}

/** A run of these messages: owned, or borrowed when it says where it begins. */
export function textRun(texts: string | readonly string[], fields: RunFields = {}): Run {
  const frames = (typeof texts === 'string' ? [texts] : texts).map((text) => Buffer.from(text));
  const run = new Run(TEXT_CODEC);
  const start = fields.borrowedAt ?? 0;
  const offsets = new Uint32Array(frames.length + 1);
  for (let i = 0; i < frames.length; i++) offsets[i + 1] = offsets[i]! + frames[i]!.length;
  run.bytes = Buffer.concat([Buffer.alloc(start, 0xdb), ...frames, Buffer.alloc(start, 0xdb)]);
  run.start = start;
  run.end = start + offsets[frames.length]!;
  run.count = frames.length;
  run.offsets = frames.length === 1 && fields.borrowedAt === undefined ? null : offsets;
  run.guarantee = fields.guarantee ?? 1;
  run.frameBytesMax = Math.max(...frames.map((frame) => frame.length));
  run.priority = fields.priority ?? 0;
  run.receivedAtMs = fields.receivedAtMs ?? 0;
  run.expiresAtMs = fields.expiresAtMs ?? 0;
  run.publisher = fields.publisher ?? null;
  run.owned = fields.borrowedAt === undefined;
  if (fields.headers !== undefined) run.messages = [messageOf(run, 0, fields.headers)];
  return run;
}

/** Message `index` of a run as text. */
export function textOf(run: Run, index: number): string {
  return Buffer.from(run.bytes.subarray(run.frameStart(index), run.frameEnd(index))).toString();
}

/** Every message of a run. */
export function textsOf(run: Run): string[] {
  return Array.from({ length: run.count }, (_, i) => textOf(run, i));
}

/** Options that are only themselves. */
export function someOptions(guarantee: Guarantee = 1): DeliveryOptions {
  return { guarantee, retainAsPublished: false, subscriptionIdentifiers: null };
}
