// Does again what the frames of the log say. Takes them in order, holds back units that are not complete, and leaves alone what is done already: a checkpoint is written
// while its contents change, so the records behind its start may meet their own effects. Relies on frames having been checked; never reads a file.
import { Durability } from '../commit-log.ts';
import type { Contents } from './contents.ts';
import type { Faults } from './faults.ts';
import type { EmbeddedQueue } from './queue.ts';
import { NO_QUEUE, type QueueSet } from './queue-sets.ts';
import {
  MOVED_REF_BYTES,
  PUBLISH_HEADER_BYTES,
  padded,
  placeOf,
  RecordKind,
  SETTLE_RANGE_BYTES,
  TEXT_HEADER_BYTES,
} from './record.ts';
import { FRAME_HEADER_BYTES, FrameFlag } from './segment.ts';

const NOBODY: readonly number[] = [];

/** A frame of a unit whose end has not come. */
interface HeldFrame {
  bytes: Uint8Array;
  at: number;
  readonly length: number;
  readonly position: number;
  /** In memory of its own, and not where it was read. */
  kept: boolean;
}

export class Replay {
  /** Records that are whole and can not be used: the definition of their set, or of a queue in it, was damaged everywhere. Complete after end(). */
  unreadableRecords = 0;
  recordCount = 0;
  /** Frames are missing: sequence numbers may be off from here on, and places are compared. */
  damaged = false;
  private readonly contents: Contents;
  private readonly faults: Faults;
  private held: HeldFrame[] = [];
  /** Queues that a set has and nobody knows, by the set's id. */
  private readonly missing = new Map<number, readonly number[]>();
  /** Records for such a queue, by its id, and the queues that have ended. */
  private readonly withoutQueue = new Map<number, number>();
  private readonly ended = new Set<number>();

  constructor(contents: Contents, faults: Faults) {
    this.contents = contents;
    this.faults = faults;
  }

  /** A unit has begun and not ended. */
  get unfinished(): boolean {
    return this.held.length > 0;
  }

  /** bytes must stay as they are until the next keepHeld(). */
  frame(bytes: Uint8Array, at: number, length: number, position: number): void {
    const flags = bytes[at + 12]!;
    if ((flags & FrameFlag.StartsUnit) !== 0 && this.held.length > 0) {
      // The unit before was cut off by a crash: nothing of it counts, unless what is missing of it was lost later.
      if (this.damaged) this.release();
      this.held = [];
    }
    if ((flags & FrameFlag.EndsUnit) === 0 && !this.faults.acceptUnfinishedUnits) {
      this.held.push({ bytes, at, length, position, kept: false });
      return;
    }
    this.release();
    this.apply(bytes, at, length, position);
  }

  /** The memory of the frames is about to be used for others: those that are held go elsewhere. */
  keepHeld(): void {
    for (const frame of this.held) {
      if (frame.kept) continue;
      frame.bytes = frame.bytes.slice(frame.at, frame.at + frame.length);
      frame.at = 0;
      frame.kept = true;
    }
  }

  /** Takes nothing but the definitions of this kind out of a frame. */
  definitions(bytes: Uint8Array, start: number, length: number, position: number, kind: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = start + FRAME_HEADER_BYTES; at < start + length; at += view.getUint32(at + 4, true)) {
      if (bytes[at] === kind) this.record(view, bytes, at, view.getUint32(at + 4, true), position + at - start);
    }
  }

  /** No more frames come. */
  end(): void {
    this.held = [];
    if (!this.damaged) return;
    for (const [id, count] of this.withoutQueue) if (!this.ended.has(id)) this.unreadableRecords += count;
    // One whose end was damaged has a successor of its name.
    const { queuesById, queuesByName, segments } = this.contents;
    for (const queue of [...queuesById.values()]) {
      if (queuesByName.get(queue.name) === queue) continue;
      queue.kill(queue.firstSequence, queue.nextSequence - queue.firstSequence, segments);
      this.contents.forgetQueue(queue);
    }
  }

  private release(): void {
    for (const { bytes, at, length, position } of this.held) this.apply(bytes, at, length, position);
    this.held = [];
  }

  private apply(bytes: Uint8Array, start: number, length: number, position: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = start + length;
    for (let at = start + FRAME_HEADER_BYTES; at < end; ) {
      const size = view.getUint32(at + 4, true);
      if (size < 8 || size % 8 !== 0 || at + size > end)
        throw new Error(`the record at position ${position + at - start} has an impossible size of ${size}`);
      this.recordCount++;
      this.record(view, bytes, at, size, position + at - start);
      at += size;
    }
  }

  private record(view: DataView, bytes: Uint8Array, at: number, size: number, position: number): void {
    const { contents } = this;
    switch (bytes[at]) {
      case RecordKind.Publish:
        this.publish(view, at, position);
        return;
      case RecordKind.Moved:
        this.moved(view, at, size, position);
        return;
      case RecordKind.Settle:
        for (let range = at + 8; range + SETTLE_RANGE_BYTES <= at + size; range += SETTLE_RANGE_BYTES)
          this.settle(view, range);
        return;
      case RecordKind.SetDef: {
        const id = view.getUint32(at + 8, true);
        // Every segment repeats the definitions of what it uses.
        const set = contents.sets.get(id) ?? this.setOf(view, bytes, at, id);
        set.lastUsed = Math.max(set.lastUsed, position);
        return;
      }
      case RecordKind.QueueDef: {
        const id = view.getUint32(at + 8, true);
        const durability = view.getUint32(at + 12, true) === Durability.Fsync ? Durability.Fsync : Durability.Written;
        const known = contents.queuesById.get(id);
        if (known !== undefined) {
          known.durability = durability;
          return;
        }
        const length = view.getUint32(at + 16, true);
        const name = Buffer.from(bytes.subarray(at + TEXT_HEADER_BYTES, at + TEXT_HEADER_BYTES + length)).toString();
        contents.restoreQueue(id, name, durability);
        return;
      }
      case RecordKind.QueueEnd: {
        const id = view.getUint32(at + 8, true);
        this.ended.add(id);
        const queue = contents.queuesById.get(id);
        if (queue === undefined) return;
        queue.kill(queue.firstSequence, queue.nextSequence - queue.firstSequence, contents.segments);
        contents.forgetQueue(queue);
        return;
      }
      case RecordKind.Put:
      case RecordKind.Remove: {
        const space = at + TEXT_HEADER_BYTES;
        const key = space + view.getUint32(at + 8, true);
        const value = key + view.getUint32(at + 12, true);
        const spaceText = Buffer.from(bytes.subarray(space, key)).toString();
        const keyText = Buffer.from(bytes.subarray(key, value)).toString();
        if (bytes[at] === RecordKind.Remove) contents.state.forget(spaceText, keyText);
        else contents.state.restore(spaceText, keyText, bytes.slice(value, value + view.getUint32(at + 16, true)));
        return;
      }
      case RecordKind.Mark:
        return;
      default:
        throw new Error(`the record at position ${position} is of the unknown kind ${bytes[at]}`);
    }
  }

  /** The set that a SetDef defines. */
  private setOf(view: DataView, bytes: Uint8Array, at: number, id: number): QueueSet {
    const { contents } = this;
    const count = view.getUint32(at + 12, true);
    const text = at + TEXT_HEADER_BYTES + 4 * count;
    const ids = new Uint32Array(count);
    for (let i = 0; i < count; i++) ids[i] = view.getUint32(at + TEXT_HEADER_BYTES + 4 * i, true);
    const missing = [...ids].filter((queue) => queue !== NO_QUEUE && !contents.queuesById.has(queue));
    if (missing.length > 0) this.missing.set(id, missing);
    return contents.sets.restore(id, ids, bytes.slice(text, text + view.getUint32(at + 16, true)), (queue) =>
      contents.queuesById.get(queue),
    );
  }

  private publish(view: DataView, at: number, position: number): void {
    const { contents } = this;
    const set = contents.sets.get(view.getUint32(at + 8, true));
    if (set === undefined) {
      this.unreadableRecords++;
      return;
    }
    for (const queue of this.missing.get(set.id) ?? NOBODY) {
      this.withoutQueue.set(queue, (this.withoutQueue.get(queue) ?? 0) + 1);
    }
    const count = view.getUint16(at + 18, true);
    const slot = position + PUBLISH_HEADER_BYTES;
    let references = 0;
    for (const queue of set.queues) {
      if (queue.deleted) continue;
      queue.add(slot, count);
      references += count;
    }
    set.lastUsed = slot;
    if (references > 0) contents.segments.onLive(slot, references);
  }

  private moved(view: DataView, at: number, size: number, position: number): void {
    const { contents } = this;
    const slot = position + PUBLISH_HEADER_BYTES;
    const set = contents.sets.get(view.getUint32(at + 8, true));
    if (set !== undefined) set.lastUsed = Math.max(set.lastUsed, slot);
    const refs = at + padded(PUBLISH_HEADER_BYTES + 4 * view.getUint16(at + 18, true) + view.getUint32(at + 12, true));
    for (let ref = refs; ref + MOVED_REF_BYTES <= at + size; ref += MOVED_REF_BYTES) {
      const queue = contents.queuesById.get(view.getUint32(ref, true));
      if (queue === undefined) continue;
      let sequence = view.getFloat64(ref + 8, true);
      if (this.damaged) {
        const place = view.getUint32(ref + 16, true);
        if (placeOf(queue.position(sequence)) !== place) sequence = queue.sequenceOfPlace(place);
      }
      const to = slot + 4 * view.getUint32(ref + 4, true);
      const before = queue.move(sequence, to);
      if (before === 0) {
        if (this.faults.forgetSettledOnCompaction) queue.revive(sequence, to);
        continue;
      }
      // Already where it went: the checkpoint saw it there.
      if (before === to) continue;
      contents.segments.onLive(to, 1);
      contents.segments.onDead(before, 1);
    }
  }

  private settle(view: DataView, at: number): void {
    const queue = this.contents.queuesById.get(view.getUint32(at, true));
    if (queue === undefined) return;
    const count = view.getUint32(at + 4, true);
    const sequence = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 4_294_967_296;
    if (this.damaged)
      this.settlePlaces(queue, sequence, count, view.getUint32(at + 16, true), view.getUint32(at + 20, true));
    else queue.kill(sequence, count, this.contents.segments);
  }

  /** Settles by place what can be found, rather than by numbers that may have shifted: better twice delivered than lost. */
  private settlePlaces(
    queue: EmbeddedQueue,
    sequence: number,
    count: number,
    firstPlace: number,
    lastPlace: number,
  ): void {
    const { segments } = this.contents;
    const first = placeOf(queue.position(sequence)) === firstPlace ? sequence : queue.sequenceOfPlace(firstPlace);
    if (first === 0) {
      const last = queue.sequenceOfPlace(lastPlace);
      if (last !== 0) queue.kill(last, 1, segments);
      return;
    }
    const last =
      placeOf(queue.position(first + count - 1)) === lastPlace ? first + count - 1 : queue.sequenceOfPlace(lastPlace);
    if (last >= first && last - first < count) queue.kill(first, last - first + 1, segments);
    else queue.kill(first, 1, segments);
  }
}
