// Bytes on the disk change while the broker is stopped: a bit flips, a block reads as zeros, two blocks change places, a block is an old copy of another. Every damaged stretch must be found and reported
// by segment and position, no wrong payload may be delivered, and every message whose own bytes are whole must still come.
//
// Which messages a stretch holds is found out from outside: the frames by their checksums, the messages in them by theirs. What nobody can tell is left alone: after a kill, damage in the last write looks
// like a write that was never finished.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import {
  BLOCK_BYTES,
  decodeSegmentHeader,
  FrameFlag,
  frameLength,
  SEGMENT_DATA_START,
  segmentNumber,
} from '../../src/storage/embedded/segment.ts';
import { Dice } from '../sim/dice.ts';
import { HEADER_BYTES, readPayload } from '../sim/payload.ts';
import type { CrashBroker } from './broker.ts';
import type { Run } from './campaign.ts';
import { Lives } from './lives.ts';

export const BLOCKS_PER_ROUND = 20;
const SETTLE_MS_MAX = 30_000;

interface Frame {
  readonly segment: SegmentFile;
  /** In the file. */
  readonly start: number;
  readonly end: number;
  readonly messages: string[];
  /** The one before it was not on the disk for certain when it was written. */
  readonly loose: boolean;
  damaged: boolean;
}

interface SegmentFile {
  readonly name: string;
  readonly path: string;
  readonly base: number;
  readonly before: Buffer;
  readonly bytes: Buffer;
  readonly frames: Frame[];
}

type Damager = (dice: Dice, frames: readonly Frame[]) => void;

/** Each changes one block (a swap two), in front of the eyes of nobody. */
const DAMAGERS: Readonly<Record<string, Damager>> = {
  'one bit': (dice, frames) => {
    const { segment, at } = somewhere(dice, frames);
    segment.bytes[at]! ^= 1 << dice.below(8);
  },
  'a block of zeros': (dice, frames) => {
    const { segment, block } = somewhere(dice, frames);
    segment.bytes.fill(0, block, block + BLOCK_BYTES);
  },
  'two blocks swapped': (dice, frames) => {
    const one = somewhere(dice, frames);
    const other = somewhere(dice, frames);
    const kept = Buffer.from(one.segment.bytes.subarray(one.block, one.block + BLOCK_BYTES));
    other.segment.bytes.copy(one.segment.bytes, one.block, other.block, other.block + BLOCK_BYTES);
    kept.copy(other.segment.bytes, other.block);
  },
  'an old copy of another block': (dice, frames) => {
    const one = somewhere(dice, frames);
    const other = somewhere(dice, frames);
    other.segment.before.copy(one.segment.bytes, one.block, other.block, other.block + BLOCK_BYTES);
  },
};

/** A place in a frame, small frames as likely as large ones, and its block. */
function somewhere(dice: Dice, frames: readonly Frame[]): { segment: SegmentFile; at: number; block: number } {
  const { segment, start, end } = dice.pick(frames);
  const at = start + dice.below(end - start);
  return { segment, at, block: at - (at % BLOCK_BYTES) };
}

export async function damageRounds(run: Run, blocks: number, settings: readonly string[]): Promise<void> {
  const dice = new Dice(run.seed);
  const sum = { blocks: 0, frames: 0, reported: 0, hit: 0, lost: 0, whole: 0 };
  for (let done = 0, round = 1; done < blocks; done += BLOCKS_PER_ROUND, round++) {
    run.cycles++;
    const folder = run.makeFolder(`damage-${round}`);
    const lives = new Lives({ run, folder, seed: run.seed + round, settings, expectDamage: true });
    lives.journal.where = `damage, round ${round}`;
    const orderly = dice.chance(0.6);
    // Sessions and subscriptions stand in a checkpoint, of which there are two copies: here it is messages that are hit.
    const before = await prepare(lives);
    if (before !== null && (await publish(lives, orderly))) {
      const segments = survey(lives.data, before);
      const names = Object.keys(DAMAGERS);
      for (let i = 0; i < Math.min(BLOCKS_PER_ROUND, blocks - done); i++) {
        const name = dice.pick(names);
        damage(dice, DAMAGERS[name]!, segments, orderly);
        run.faults.count(`damage: ${name}`, true);
        sum.blocks++;
      }
      const hit = await judge(lives, segments);
      for (const key of ['frames', 'reported', 'hit', 'lost', 'whole'] as const) sum[key] += hit[key];
    }
    run.finish(lives.journal, folder);
    if (run.cycles % 10 === 0) run.progress();
  }
  run.figures.push(
    `damage: ${sum.blocks} blocks in ${sum.frames} frames, ${sum.reported} of these reported; they held ${sum.hit} messages, ${sum.lost} deliveries of these are missing; ${sum.whole} messages beside them came`,
  );
}

/** Makes everybody's session and subscriptions, and stops the broker in order. Returns where the log ends then; null when it did not start. */
async function prepare(lives: Lives): Promise<number | null> {
  const started = await lives.startWell();
  if (started === null) return null;
  const { broker, ports } = started;
  const { cast } = lives;
  await cast.begin(ports);
  for (const publisher of cast.publishers) await publisher.connect(ports);
  await lives.stop(broker);
  const frames = survey(lives.data, 0).flatMap((segment) => segment.frames);
  return Math.max(0, ...frames.map(({ segment, end }) => segment.base + end));
}

/** Fills the sessions of clients that are away, and stops the broker. */
async function publish(lives: Lives, orderly: boolean): Promise<boolean> {
  const started = await lives.startWell();
  if (started === null) return false;
  const { broker, ports } = started;
  const { cast } = lives;
  for (const publisher of cast.publishers) {
    publisher.allow(publisher.isLarge ? 600 : 300);
    await publisher.connect(ports);
  }
  for (const publisher of cast.publishers) {
    if (await publisher.settled(SETTLE_MS_MAX)) continue;
    lives.journal.violation(
      'liveness',
      `${publisher.clientId} has ${publisher.unacknowledged} messages unacknowledged`,
    );
  }
  if (orderly) await lives.stop(broker);
  else {
    await broker.kill();
    await lives.bury(broker);
  }
  return true;
}

/** Every segment with its frames from a position of the log on, and the messages in them. */
function survey(directory: string, from: number): SegmentFile[] {
  const files: SegmentFile[] = [];
  for (const name of readdirSync(directory).sort()) {
    if (segmentNumber(name) < 0) continue;
    const path = join(directory, name);
    const bytes = readFileSync(path);
    const header = decodeSegmentHeader(bytes);
    if (header === null) throw new Error(`${name} has no header`);
    const base = header.number * header.stride;
    const file: SegmentFile = { name, path, base, before: Buffer.from(bytes), bytes, frames: [] };
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = SEGMENT_DATA_START; at < bytes.length; ) {
      const length = frameLength(view, bytes, at, bytes.length, base + at, header.salt, NO_FAULTS);
      if (length > 0) {
        if (base + at >= from) {
          const messages = messagesIn(bytes, at, at + length);
          const loose = (bytes.readUInt32LE(at + 12) & FrameFlag.Loose) !== 0;
          file.frames.push({ segment: file, start: at, end: at + length, messages, loose, damaged: false });
        }
        at += length;
      } else {
        const next = Math.ceil((at + 1) / BLOCK_BYTES) * BLOCK_BYTES;
        if (at % BLOCK_BYTES === 0 && bytes.readUInt32LE(at) === 0) break;
        at = next;
      }
    }
    files.push(file);
  }
  return files;
}

/** By their own checksums, wherever they stand. */
function messagesIn(bytes: Buffer, start: number, end: number): string[] {
  const found: string[] = [];
  for (let at = start; at + HEADER_BYTES <= end; at++) {
    // The publisher's number is small, so is the size: two zero bytes that nothing else has at this distance but by chance.
    if (bytes[at + 4] !== 0 || bytes[at + 10] !== 0) continue;
    const size = bytes.readUInt32BE(at + 10);
    if (size < HEADER_BYTES || at + size > end) continue;
    const read = readPayload(bytes.subarray(at, at + size));
    if (read === null) continue;
    found.push(`${read.publisher}/${read.number}`);
    at += size - 1;
  }
  return found;
}

function damage(dice: Dice, damager: Damager, segments: readonly SegmentFile[], orderly: boolean): void {
  const frames = segments.flatMap((segment) => segment.frames);
  // The last write is one frame that is not loose and those behind it.
  const lastWrite = orderly ? [] : frames.slice(frames.findLastIndex(({ loose }) => !loose));
  const candidates = frames.slice(0, frames.length - lastWrite.length);
  const kept = segments.map(({ bytes }) => Buffer.from(bytes));
  for (;;) {
    damager(dice, candidates);
    const changed = segments.some(({ bytes }, index) => !bytes.equals(kept[index]!));
    // The block of a candidate may hold the beginning of the last write, too.
    if (changed && !lastWrite.some(differs)) break;
    for (const [index, { bytes }] of segments.entries()) kept[index]!.copy(bytes);
  }
  for (const frame of frames) frame.damaged = differs(frame);
}

function differs({ segment: { bytes, before }, start, end }: Frame): boolean {
  return bytes.compare(before, start, end, start, end) !== 0;
}

interface Hit {
  frames: number;
  reported: number;
  hit: number;
  lost: number;
  whole: number;
}

/** Starts the broker on the damaged files, takes everything, and compares. */
async function judge(lives: Lives, segments: readonly SegmentFile[]): Promise<Hit> {
  for (const { path, bytes } of segments) writeFileSync(path, bytes);
  const { journal } = lives;
  const frames = segments.flatMap((segment) => segment.frames);
  const damaged = frames.filter((frame) => frame.damaged);
  const physically = new Set(damaged.flatMap(({ messages }) => messages));
  const result: Hit = { frames: damaged.length, reported: 0, hit: physically.size, lost: 0, whole: 0 };
  for (const { messages } of frames.filter((frame) => !frame.damaged)) {
    for (const message of messages) physically.delete(message);
    result.whole += messages.length;
  }
  const broker = await lives.verify((source, number) => {
    const excused = physically.has(`${source.id}/${number}`);
    if (excused) result.lost++;
    return excused;
  });
  if (broker === null) return result;
  for (const frame of damaged) {
    if (isReported(broker, frame)) result.reported++;
    else {
      const { segment, start, end, messages } = frame;
      journal.violation('damage', `${segment.name}, ${start} to ${end}, ${messages.length} messages: not reported`);
    }
  }
  await broker.kill();
  await lives.bury(broker);
  return result;
}

function isReported(broker: CrashBroker, { segment, start, end }: Frame): boolean {
  for (const line of broker.find('damage')) {
    const from = Number(line.position) - segment.base;
    if (line.segment === segment.name && from < end && from + Number(line.bytes) > start) return true;
  }
  return false;
}
