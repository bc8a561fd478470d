// Looks a whole log through, as its tools need it: everything recovery would find, and besides that every frame of every segment and every message the index names, whether
// a start would read them or not. Changes nothing: give it a disk that can not be changed (view-disk.ts).
import { join } from 'node:path';
import type { Disk } from '../../io/disk.ts';
import { SystemRandom } from '../../io/random.ts';
import { Durability } from '../commit-log.ts';
import { copyName } from './checkpoint-format.ts';
import type { Contents } from './contents.ts';
import { NO_FAULTS } from './faults.ts';
import { framesOf, readFile, readSegment, type SegmentImage } from './frames.ts';
import type { EmbeddedQueue } from './queue.ts';
import { PUBLISH_HEADER_BYTES, RecordKind, SLOT_BODY_BITS } from './record.ts';
import { type Damage, NO_VALID_FRAME, type Recovered, recover, storedStride } from './recovery.ts';
import { FORMAT_VERSION, SEGMENT_DATA_START, segmentName } from './segment.ts';
import type { Segment } from './segments.ts';

export interface QueueFigures {
  readonly name: string;
  readonly durability: 'written' | 'fsync';
  /** Messages stored and not settled, and their bytes as they were received. */
  readonly ready: number;
  readonly readyBytes: number;
  /** Sequence of the oldest and the youngest of them; 0 when there is none. */
  readonly first: number;
  readonly last: number;
  /** Of the ready ones, those whose bytes are gone. */
  readonly lost: number;
}

export interface SpaceFigures {
  readonly space: string;
  readonly entries: number;
  readonly bytes: number;
}

export interface SegmentFigures {
  readonly name: string;
  readonly position: number;
  readonly fileBytes: number;
  /** From its first frame to the end of its last one. */
  readonly usedBytes: number;
  readonly frames: number;
  /** Messages per queue that stand in it and are not settled, and how many ever stood there. */
  readonly live: number;
  readonly total: number;
  /** ahead: made for what comes, nothing in it yet. */
  readonly use: 'closed' | 'tail' | 'ahead';
}

export interface CheckpointFigures {
  readonly name: string;
  /** Two, unless a crash came between the renames that put them in place. */
  readonly files: number;
  readonly bytes: number;
  readonly start: number;
  readonly reach: number;
}

export interface Survey {
  readonly formatVersion: number;
  readonly segmentBytes: number;
  /** Position behind the last frame. */
  readonly end: number;
  /** The broker was stopped in order, and nothing has been written since. */
  readonly clean: boolean;
  readonly tornTailBytes: number;
  readonly messages: number;
  readonly queues: readonly QueueFigures[];
  readonly state: readonly SpaceFigures[];
  readonly segments: readonly SegmentFigures[];
  readonly checkpoint: CheckpointFigures | null;
  readonly damages: readonly Damage[];
  /** Messages that are in the index and can not be read. */
  readonly lost: readonly { readonly queue: string; readonly sequence: number }[];
}

/** The messages that the index has in one segment. */
class Bucket {
  readonly positions: number[] = [];
  readonly queues: number[] = [];
  readonly sequences: number[] = [];
}

interface QueueCount {
  readonly queue: EmbeddedQueue;
  last: number;
  bytes: number;
  lost: number;
}

/** Does the directory hold anything of a log? */
export function holdsLog(disk: Disk, directory: string): boolean {
  return disk.list(directory).some((name) => /^\d{10}\.(segment|checkpoint)/.test(name));
}

/** Throws FormatError when another version wrote it. */
export function survey(disk: Disk, directory: string): Survey {
  return new Look(disk, directory).run();
}

class Look {
  private readonly disk: Disk;
  private readonly directory: string;
  private readonly contents: Contents;
  private readonly recovered: Recovered;
  private readonly damages: Damage[] = [];
  private readonly lost: { queue: string; sequence: number }[] = [];
  private readonly counts: QueueCount[];
  private readonly buckets = new Map<number, Bucket>();
  /** Position behind the last frame that was looked at. */
  private end = 0;

  constructor(disk: Disk, directory: string) {
    this.disk = disk;
    this.directory = directory;
    const stride = storedStride(disk, directory) || 4096;
    const { contents, recovered } = recover(disk, directory, stride, new SystemRandom(), NO_FAULTS);
    this.contents = contents;
    this.recovered = recovered;
    this.counts = [...contents.queuesById.values()].map((queue) => ({ queue, last: 0, bytes: 0, lost: 0 }));
  }

  run(): Survey {
    const { contents, recovered } = this;
    // Stretches without frames are found again below, together with those a start would not look at.
    for (const damage of recovered.damages) if (damage.reason !== NO_VALID_FRAME) this.damages.push(damage);
    const checkpoint = this.checkpoint();
    if (recovered.unreadableRecords > 0)
      this.note('', 0, 0, `${recovered.unreadableRecords} records refer to queues whose definitions are damaged`);
    this.sortIntoSegments();
    const segments = contents.segments.all().map((segment) => this.lookThrough(segment));
    for (const [number, bucket] of this.buckets) {
      this.note(segmentName(number), number * contents.segments.stride, 0, 'the segment is missing');
      for (let i = 0; i < bucket.positions.length; i++) this.lose(bucket.queues[i]!, bucket.sequences[i]!);
    }
    return {
      formatVersion: FORMAT_VERSION,
      segmentBytes: contents.segments.stride,
      end: recovered.end,
      clean: recovered.clean,
      tornTailBytes: recovered.tornTailBytes,
      messages: contents.messageCount,
      queues: this.counts.map(figuresOf),
      state: Array.from(contents.state.all(), ([space, entries]) => stateFigures(space, [...entries])),
      segments,
      checkpoint,
      damages: this.damages,
      lost: this.lost,
    };
  }

  private note(segment: string, position: number, bytes: number, reason: string): void {
    this.damages.push({ segment, position, bytes, reason });
  }

  private checkpoint(): CheckpointFigures | null {
    const { checkpointName: name, checkpointStart: start, checkpointReach: reach } = this.recovered;
    if (name === '') return null;
    const there = new Set(this.disk.list(this.directory));
    const files = [name, copyName(name)].filter((one) => there.has(one));
    const contents = files.map((one) => readFile(this.disk, join(this.directory, one)));
    const bytes = contents.reduce((sum, one) => sum + one.length, 0);
    // A crash may have come between the two renames that put a checkpoint in place: one file is as good as two.
    if (files.length === 2 && !Buffer.from(contents[0]!.buffer, 0, contents[0]!.length).equals(contents[1]!))
      this.note(name, 0, 0, 'the two files of the checkpoint differ: one of them is damaged, the other one is used');
    return { name, files: files.length, bytes, start, reach };
  }

  private sortIntoSegments(): void {
    const { segments } = this.contents;
    this.counts.forEach((count, at) => {
      const { queue } = count;
      for (let sequence = queue.firstSequence; sequence < queue.nextSequence; sequence = queue.nextLive(sequence + 1)) {
        const position = queue.position(sequence);
        const number = segments.at(position)?.number ?? Math.floor(position / segments.stride);
        let bucket = this.buckets.get(number);
        if (bucket === undefined) {
          bucket = new Bucket();
          this.buckets.set(number, bucket);
        }
        bucket.positions.push(position);
        bucket.queues.push(at);
        bucket.sequences.push(sequence);
        count.last = sequence;
      }
    });
  }

  private lookThrough(segment: Segment): SegmentFigures {
    const { recovered } = this;
    const name = segmentName(segment.number);
    const image = readSegment(this.disk, join(this.directory, name));
    const starts: number[] = [];
    const ends: number[] = [];
    const dataEnd = segment.dataEnd - segment.base;
    let damaged = 0;
    for (const { at, end, previousEnd } of image === null ? [] : framesOf(image)) {
      // Behind the end of the log lies what a crash has left unfinished.
      if (segment.base + at >= recovered.end) break;
      if (previousEnd > this.end && this.noteGap(previousEnd)) damaged++;
      starts.push(at);
      ends.push(end);
      this.end = segment.base + end;
    }
    const last = ends[ends.length - 1] ?? SEGMENT_DATA_START;
    if (segment.base + last < Math.min(segment.dataEnd, recovered.end) && !this.isSpare(segment)) {
      damaged++;
      this.note(name, segment.base + last, dataEnd - last, NO_VALID_FRAME);
      this.end = segment.dataEnd;
    }
    const bucket = this.buckets.get(segment.number);
    this.buckets.delete(segment.number);
    const before = this.lost.length;
    if (bucket !== undefined) this.weigh(image, bucket, segment.base, starts, ends);
    const gone = this.lost.length - before;
    if (gone > 0 && damaged === 0)
      this.note(name, segment.base, 0, `${gone} messages are not where the index has them`);
    return {
      name,
      position: segment.base,
      fileBytes: image?.bytes.length ?? 0,
      usedBytes: last - SEGMENT_DATA_START,
      frames: starts.length,
      live: segment.live,
      total: Math.max(segment.total, segment.live),
      use: segment === recovered.tail ? 'tail' : recovered.ahead.includes(segment) ? 'ahead' : 'closed',
    };
  }

  /** Nothing in it is needed any more, neither messages nor records: it waits to be used again. */
  private isSpare(segment: Segment): boolean {
    return segment.live === 0 && segment.end <= this.recovered.checkpointStart;
  }

  /** A frame follows another one that ended at `previousEnd` and was not seen. Returns whether it should have been there: in a segment that was freed it need not. */
  private noteGap(previousEnd: number): boolean {
    const { stride } = this.contents.segments;
    const segment = this.contents.segments.at(previousEnd - 1);
    if (segment === undefined) {
      if (previousEnd <= this.recovered.checkpointStart) return false;
      this.note(segmentName(Math.floor((previousEnd - 1) / stride)), this.end, 0, 'the segment is missing');
      return true;
    }
    const from = Math.max(this.end, segment.base + SEGMENT_DATA_START);
    // The very first frame says that it follows itself.
    if (previousEnd <= from || this.isSpare(segment)) return false;
    this.note(segmentName(segment.number), from, previousEnd - from, NO_VALID_FRAME);
    return true;
  }

  /** Adds up the bytes of the messages of a segment; those that stand in no valid frame are lost. */
  private weigh(
    image: SegmentImage | null,
    bucket: Bucket,
    base: number,
    starts: readonly number[],
    ends: readonly number[],
  ): void {
    const { positions, queues, sequences } = bucket;
    for (let i = 0; i < positions.length; i++) {
      const bytes = image === null ? -1 : messageBytes(image, positions[i]! - base, starts, ends);
      if (bytes < 0) this.lose(queues[i]!, sequences[i]!);
      else this.counts[queues[i]!]!.bytes += bytes;
    }
  }

  private lose(queue: number, sequence: number): void {
    const count = this.counts[queue]!;
    count.lost++;
    this.lost.push({ queue: count.queue.name, sequence });
  }
}

function figuresOf({ queue, last, bytes, lost }: QueueCount): QueueFigures {
  return {
    name: queue.name,
    durability: queue.durability === Durability.Fsync ? 'fsync' : 'written',
    ready: queue.count,
    readyBytes: bytes,
    first: queue.count === 0 ? 0 : queue.firstSequence,
    last,
    lost,
  };
}

/** Length of the message whose slot is at offset `slot`; -1 when that is in no valid frame or no message's. */
function stateFigures(space: string, entries: readonly (readonly [key: string, value: Uint8Array])[]): SpaceFigures {
  const bytes = entries.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + value.length, 0);
  return { space, entries: entries.length, bytes };
}

function messageBytes(
  { bytes }: SegmentImage,
  slot: number,
  starts: readonly number[],
  ends: readonly number[],
): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (starts[middle]! <= slot) low = middle;
    else high = middle - 1;
  }
  const start = starts[low];
  if (start === undefined || slot < start || slot + 4 > ends[low]!) return -1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const index = view.getUint32(slot, true) >>> SLOT_BODY_BITS;
  const record = slot - PUBLISH_HEADER_BYTES - 4 * index;
  if (record < start) return -1;
  const kind = view.getUint8(record);
  const count = view.getUint16(record + 18, true);
  if ((kind !== RecordKind.Publish && kind !== RecordKind.Moved) || index >= count) return -1;
  const size = view.getUint32(record + 12, true);
  if (count === 1) return size;
  const begins = view.getUint32(slot, true) & SLOT_BODY_MASK;
  const ending = index + 1 === count ? size : view.getUint32(slot + 4, true) & SLOT_BODY_MASK;
  return ending - begins;
}

const SLOT_BODY_MASK = (1 << SLOT_BODY_BITS) - 1;
