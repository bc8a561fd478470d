// Where the messages of a ring come from: one stretch for each piece of a run that was put into it, however many messages that is. What is the same for all of them, or grows by one from message
// to message, is kept here once; a message only knows its stretch. An object is written once per stretch, not per message, which is what keeps the garbage collector's bookkeeping out of the hot path.
//
//   objects  │ run, options │ run, options │ …        numbers  │ first tag, end, index, sequence, live │ …
//
// Stretches are numbered from 1: 0 stands for none. A free one points to the next free one.
import type { DeliveryOptions } from './delivery.ts';
import type { Run } from './run.ts';

const OBJECTS = 2;
/** Tag of its first message; the tag behind its last; which message of the run the first is; its sequence in the log, 0 when not logged; how many are still in the ring. */
const Field = { First: 0, End: 1, Index: 2, Sequence: 3, Live: 4 } as const;
const FIELDS = 5;
const CAPACITY_MIN = 4;

/** Of every table before its first stretch: nobody writes to them. */
const NO_OBJECTS: (Run | DeliveryOptions | null)[] = [];
const NO_NUMBERS = new Float64Array(0);

export class Stretches {
  private objects = NO_OBJECTS;
  private numbers = NO_NUMBERS;
  /** The first free one, 0 when there is none. */
  private free = 0;
  private used = 0;

  /** Messages [index, index + count) of a run, which get the tags from `tag` on. Returns its number. */
  add(run: Run, index: number, count: number, options: DeliveryOptions, tag: number, sequence: number): number {
    if (this.free === 0) this.grow();
    const stretch = this.free;
    const { objects, numbers } = this;
    const object = (stretch - 1) * OBJECTS;
    const at = (stretch - 1) * FIELDS;
    this.free = numbers[at]!;
    this.used++;
    objects[object] = run;
    // Mostly the ones that stood here before, and a comparison is cheaper than to write an object.
    if (objects[object + 1] !== options) objects[object + 1] = options;
    numbers[at + Field.First] = tag;
    numbers[at + Field.End] = tag + count;
    numbers[at + Field.Index] = index;
    numbers[at + Field.Sequence] = sequence;
    numbers[at + Field.Live] = count;
    return stretch;
  }

  /** So many of its messages are gone. */
  release(stretch: number, count: number): void {
    const at = (stretch - 1) * FIELDS;
    const live = this.numbers[at + Field.Live]! - count;
    this.numbers[at + Field.Live] = live;
    if (live > 0) return;
    this.objects[(stretch - 1) * OBJECTS] = null;
    this.numbers[at] = this.free;
    this.free = stretch;
    this.used--;
    // Those of a great backlog are not kept when that is gone.
    if (this.used === 0 && this.numbers.length > KEPT * FIELDS) this.clear();
  }

  runOf(stretch: number): Run {
    return this.objects[(stretch - 1) * OBJECTS] as Run;
  }

  optionsOf(stretch: number): DeliveryOptions {
    return this.objects[(stretch - 1) * OBJECTS + 1] as DeliveryOptions;
  }

  endOf(stretch: number): number {
    return this.numbers[(stretch - 1) * FIELDS + Field.End]!;
  }

  indexOf(stretch: number, tag: number): number {
    const at = (stretch - 1) * FIELDS;
    return this.numbers[at + Field.Index]! + (tag - this.numbers[at + Field.First]!);
  }

  /** 0 when it is not in the log. */
  sequenceOf(stretch: number, tag: number): number {
    const at = (stretch - 1) * FIELDS;
    const sequence = this.numbers[at + Field.Sequence]!;
    return sequence === 0 ? 0 : sequence + (tag - this.numbers[at + Field.First]!);
  }

  private clear(): void {
    this.objects = NO_OBJECTS;
    this.numbers = NO_NUMBERS;
    this.free = 0;
  }

  private grow(): void {
    const before = this.numbers.length / FIELDS;
    const capacity = Math.max(CAPACITY_MIN, before * 2);
    const objects = new Array<Run | DeliveryOptions | null>(capacity * OBJECTS).fill(null);
    for (let i = 0; i < this.objects.length; i++) objects[i] = this.objects[i]!;
    const numbers = new Float64Array(capacity * FIELDS);
    numbers.set(this.numbers);
    // The lowest comes first: what is used together lies together.
    for (let i = before; i < capacity; i++) numbers[i * FIELDS] = i + 1 < capacity ? i + 2 : 0;
    this.free = before + 1;
    this.objects = objects;
    this.numbers = numbers;
  }
}

const KEPT = 4096;
