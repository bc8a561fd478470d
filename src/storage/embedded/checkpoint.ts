// A checkpoint: everything in memory as of one position of the log, so that a restart reads it and the log behind that position only. Written in blocks while the
// storage goes on working (the generator is asked for a block at a time), so what it says of a queue may be younger than its start; replaying the log from the start sets
// that right, provided that the log reaches as far as the checkpoint looked: hence `reach`, and hence it is put in place only when everything up to there is synced.
//
//   file     block │ block │ …      see checkpoint-format.ts
import { crc32 } from 'node:zlib';
import { assert } from '../../lib/assert.ts';
import {
  BLOCK_HEADER_BYTES,
  CHECKPOINT_BLOCK_BYTES,
  ENTRY_HEADER_BYTES,
  type Ending,
  Kind,
  MAGIC,
} from './checkpoint-format.ts';
import type { Contents } from './contents.ts';
import { DEAD } from './index.ts';
import type { EmbeddedQueue } from './queue.ts';

class BlockBuilder {
  /** Every block is built in it, one after the other; only one with an entry that is larger has memory of its own. */
  private readonly memory: Uint8Array;
  private bytes: Uint8Array;
  private view: DataView;
  private at = BLOCK_HEADER_BYTES;
  private number = 0;

  constructor(memory: Uint8Array) {
    assert(memory.length >= CHECKPOINT_BLOCK_BYTES, 'a block of a checkpoint does not fit into its memory');
    this.memory = memory;
    this.bytes = memory;
    this.view = viewOf(memory);
  }

  fits(size: number): boolean {
    return this.at === BLOCK_HEADER_BYTES || this.at + ENTRY_HEADER_BYTES + size <= CHECKPOINT_BLOCK_BYTES;
  }

  /** Begins an entry with `size` bytes behind its header; returns where they start. They are zero. */
  entry(kind: number, size: number): number {
    const { at } = this;
    const whole = Math.ceil((ENTRY_HEADER_BYTES + size) / 8) * 8;
    if (at + whole > this.bytes.length) {
      const bytes = new Uint8Array(at + whole);
      bytes.set(this.bytes.subarray(0, at));
      this.bytes = bytes;
      this.view = viewOf(bytes);
    } else this.bytes.fill(0, at, at + whole);
    this.view.setUint32(at, kind, true);
    this.view.setUint32(at + 4, whole, true);
    this.at = at + whole;
    return at + ENTRY_HEADER_BYTES;
  }

  u32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  f64(at: number, value: number): void {
    this.view.setFloat64(at, value, true);
  }

  set(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at);
  }

  finish(): Uint8Array {
    const block = this.bytes.subarray(0, this.at);
    this.view.setUint32(0, MAGIC, true);
    this.view.setUint32(4, this.at, true);
    this.view.setUint32(12, this.number++, true);
    this.view.setUint32(8, crc32(block.subarray(12)), true);
    if (this.bytes !== this.memory) {
      this.bytes = this.memory;
      this.view = viewOf(this.memory);
    }
    this.at = BLOCK_HEADER_BYTES;
    return block;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asBytes(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/**
 * The blocks of a checkpoint that starts at `start`, the current end of the log. The first step takes note of what the rest is about. A block is valid until the next one is
 * asked for: it lies in `memory`, of CHECKPOINT_BLOCK_BYTES, unless it is larger.
 */
export class CheckpointDump {
  readonly start: number;
  private readonly contents: Contents;
  private readonly builder: BlockBuilder;
  private readonly steps: Iterator<Uint8Array>;

  constructor(contents: Contents, start: number, memory: Uint8Array) {
    this.contents = contents;
    this.builder = new BlockBuilder(memory);
    this.start = start;
    const queues = [...contents.queuesById.values()];
    const next = Float64Array.from(queues, (queue) => queue.nextSequence);
    this.steps = this.dump(queues, next);
  }

  /** The next block; null when only the last one, end(), is left. */
  step(): Uint8Array | null {
    const { done, value } = this.steps.next();
    return done === true ? null : value;
  }

  end(reach: number, how: Ending): Uint8Array {
    const { builder } = this;
    const at = builder.entry(Kind.End, 16);
    builder.f64(at, reach);
    builder.u32(at + 8, how);
    return builder.finish();
  }

  private *dump(queues: readonly EmbeddedQueue[], next: Float64Array): Generator<Uint8Array> {
    const { builder, contents } = this;
    let at = builder.entry(Kind.Head, 24);
    builder.f64(at, this.start);
    builder.u32(at + 8, contents.segments.stride);
    builder.u32(at + 12, contents.nextQueueId);
    builder.u32(at + 16, contents.sets.nextId);
    for (const segment of contents.segments.all()) {
      const size = 32 + 4 * segment.extents.length;
      if (!builder.fits(size)) yield builder.finish();
      at = builder.entry(Kind.Segment, size);
      builder.f64(at, segment.number);
      builder.f64(at + 8, segment.total);
      builder.f64(at + 16, segment.dataEnd);
      builder.u32(at + 24, segment.extents.length);
      builder.u32(at + 28, segment.live);
      builder.set(at + 32, asBytes(Uint32Array.from(segment.extents)));
    }
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i]!;
      if (queue.deleted) continue;
      const name = Buffer.from(queue.name);
      if (!builder.fits(24 + name.length)) yield builder.finish();
      at = builder.entry(Kind.Queue, 24 + name.length);
      builder.u32(at, queue.id);
      builder.u32(at + 4, queue.durability);
      builder.f64(at + 8, next[i]!);
      builder.u32(at + 16, name.length);
      builder.set(at + 24, name);
    }
    for (const set of contents.sets.all()) {
      const text = set.optionsText();
      const size = 24 + 4 * set.queueIds.length + text.length;
      if (!builder.fits(size)) yield builder.finish();
      at = builder.entry(Kind.Set, size);
      builder.u32(at, set.id);
      builder.u32(at + 4, set.queueIds.length);
      builder.f64(at + 8, set.lastUsed);
      builder.u32(at + 16, text.length);
      builder.set(at + 24, asBytes(set.queueIds));
      builder.set(at + 24 + 4 * set.queueIds.length, text);
    }
    for (const [spaceText, entries] of contents.state.all()) {
      const space = Buffer.from(spaceText);
      for (const [keyText, value] of entries) {
        const key = Buffer.from(keyText);
        const size = 16 + space.length + key.length + value.length;
        if (!builder.fits(size)) yield builder.finish();
        at = builder.entry(Kind.State, size);
        builder.u32(at, space.length);
        builder.u32(at + 4, key.length);
        builder.u32(at + 8, value.length);
        builder.set(at + 16, space);
        builder.set(at + 16 + space.length, key);
        builder.set(at + 16 + space.length + key.length, value);
      }
    }
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i]!;
      for (let sequence = 0; ; ) {
        if (queue.deleted) break;
        sequence = queue.dump(sequence, next[i]!, (base, first, entries, far) => {
          let farCount = 0;
          if (far !== null) for (let k = 0; k < far.length; k++) if (far[k]! > 0) farCount++;
          if (!builder.fits(24 + 4 * entries.length + farCount * 32)) return false;
          const to = builder.entry(Kind.Entries, 24 + 4 * entries.length);
          builder.u32(to, queue.id);
          builder.u32(to + 4, entries.length | (deadIn(entries) << 16));
          builder.f64(to + 8, first);
          builder.f64(to + 16, base);
          builder.set(to + 24, asBytes(entries));
          for (let k = 0; farCount > 0 && k < entries.length; k++) {
            if (far![k]! === 0) continue;
            const one = builder.entry(Kind.Far, 24);
            builder.u32(one, queue.id);
            builder.f64(one + 8, first + k);
            builder.f64(one + 16, far![k]!);
          }
          return true;
        });
        if (sequence >= next[i]!) break;
        yield builder.finish();
      }
    }
    yield builder.finish();
  }
}

function deadIn(entries: Uint32Array): number {
  let count = 0;
  for (let i = 0; i < entries.length; i++) if (entries[i] === DEAD) count++;
  return count;
}
