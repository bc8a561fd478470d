// The crash campaign of the embedded engine. A seeded workload runs the real engine on the simulated disk in one thread; at storage calls picked by the seed, in the middle
// of the call, the disk is copied as a power cut or a kill would leave it, and the real recovery runs on the copy. What comes back must be the state after some unit that
// is not older than the last one confirmed: nothing lost, nothing invented, nothing half done, every sequence number the same. Some copies live on and crash again.
//
//   node dist/test/sim/crash-images.js [IMAGES] [SEED]       the long form; prints the counts and fails when there is a violation
import { pathToFileURL } from 'node:url';
import { AS_PUBLISHED } from '../../src/core/delivery.ts';
import { Durability, LogTargets, type QueueLog } from '../../src/storage/commit-log.ts';
import { InlineCrew } from '../../src/storage/embedded/crew.ts';
import { type Faults, NO_FAULTS } from '../../src/storage/embedded/faults.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { CODECS, collect, makeRun, RecordingListener } from '../storage/harness.ts';
import { numbersOrUsage } from '../support/numbers.ts';
import { Dice } from './dice.ts';
import { type Crash, SimDisk } from './sim-disk.ts';

export interface CampaignOptions {
  readonly seed: number;
  readonly images: number;
  readonly faults?: Faults;
  /** Ends at the first violation. */
  readonly stopAtFirst?: boolean;
}

export interface CampaignResult {
  images: number;
  lives: number;
  calls: number;
  confirmedUnits: number;
  /** Messages that recovered images held. */
  recoveredMessages: number;
  tornTails: number;
  checkpoints: number;
  compactions: number;
  diskFaultsHit: number;
  /** Each with the seed of its workload. */
  readonly violations: string[];
}

const DIRECTORY = '/data';
const UNITS_PER_LIFE = 120;
const QUEUES = ['a', 'b', 'c', 'written', 'far'] as const;

type Op =
  | { kind: 'append'; queues: readonly string[]; texts: readonly string[] }
  | { kind: 'settle'; queue: string; sequence: number; count: number }
  | { kind: 'purge'; queue: string }
  | { kind: 'delete'; queue: string }
  | { kind: 'open'; queue: string }
  | { kind: 'put'; key: string; value: string }
  | { kind: 'remove'; key: string };

interface Unit {
  readonly ops: readonly Op[];
  /** Carries its number in the keyed state, which also makes it ask for a sync. */
  readonly marked: boolean;
}

class QueueModel {
  next = 1;
  readonly messages = new Map<number, string>();
}

/** What the storage must hold after a unit. */
class Model {
  readonly queues = new Map<string, QueueModel>();
  readonly state = new Map<string, string>();
  unit = 0;

  clone(): Model {
    const copy = new Model();
    for (const [name, queue] of this.queues) {
      const model = new QueueModel();
      model.next = queue.next;
      for (const [sequence, text] of queue.messages) model.messages.set(sequence, text);
      copy.queues.set(name, model);
    }
    for (const [key, value] of this.state) copy.state.set(key, value);
    copy.unit = this.unit;
    return copy;
  }

  apply(unit: Unit): void {
    this.unit++;
    for (const op of unit.ops) {
      switch (op.kind) {
        case 'append':
          for (const name of op.queues) {
            const queue = this.queues.get(name)!;
            for (const text of op.texts) queue.messages.set(queue.next++, text);
          }
          break;
        case 'settle':
          for (let i = 0; i < op.count; i++) this.queues.get(op.queue)!.messages.delete(op.sequence + i);
          break;
        case 'purge':
          this.queues.get(op.queue)!.messages.clear();
          break;
        case 'delete':
          this.queues.delete(op.queue);
          break;
        case 'open':
          if (!this.queues.has(op.queue)) this.queues.set(op.queue, new QueueModel());
          break;
        case 'put':
          this.state.set(op.key, op.value);
          break;
        case 'remove':
          this.state.delete(op.key);
          break;
      }
    }
    if (unit.marked) this.state.set(MARK, String(this.unit));
  }
}

const MARK = 'unit';

interface Image {
  readonly disk: SimDisk;
  /** The state that is confirmed, and the units that followed it. */
  readonly confirmed: Model;
  readonly units: readonly Unit[];
  readonly depth: number;
  readonly crash: Crash | 'kill';
}

class Campaign {
  readonly result: CampaignResult = {
    images: 0,
    lives: 0,
    calls: 0,
    confirmedUnits: 0,
    recoveredMessages: 0,
    tornTails: 0,
    checkpoints: 0,
    compactions: 0,
    diskFaultsHit: 0,
    violations: [],
  };
  private readonly options: CampaignOptions;
  private readonly faults: Faults;
  private dice: Dice;
  private seed: number;
  private images: Image[] = [];
  private textNumber = 0;

  constructor(options: CampaignOptions) {
    this.options = options;
    this.faults = options.faults ?? NO_FAULTS;
    this.seed = options.seed;
    this.dice = new Dice(options.seed);
  }

  get enough(): boolean {
    const { result, options } = this;
    return result.images >= options.images || (options.stopAtFirst === true && result.violations.length > 0);
  }

  async run(): Promise<CampaignResult> {
    for (; !this.enough; this.seed++) {
      this.dice = new Dice(this.seed);
      this.textNumber = 0;
      const disk = new SimDisk();
      disk.directFiles = this.dice.chance(0.6);
      try {
        await this.live(disk, new Model(), [], 0, 0);
      } catch (error) {
        this.violation(
          `the workload failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      }
    }
    return this.result;
  }

  private violation(text: string): void {
    this.result.violations.push(`seed ${this.seed}: ${text}`);
  }

  /** Opens the storage on the disk, checks what it holds against the model, and works with it for a while. */
  private async live(
    disk: SimDisk,
    before: Model,
    candidates: readonly Unit[],
    lower: number,
    depth: number,
  ): Promise<void> {
    const { dice, result } = this;
    result.lives++;
    const damages: string[] = [];
    let crew!: InlineCrew;
    const direct = disk.directFiles;
    const storage = new EmbeddedStorage({
      directory: DIRECTORY,
      disk,
      random: dice,
      crew: (directory) => {
        crew = new InlineCrew(disk, directory, direct, this.faults);
        return crew;
      },
      segmentBytes: 64 * 1024,
      frameBytesMax: dice.pick([4096, 16_384]),
      readCacheBytes: 1,
      checkpointBytes: dice.pick([64, 160, 400]) * 1024,
      compactBelow: 0.6,
      ballastBytes: 0,
      freeBytesMin: 0,
      freeShareMin: 0,
      faults: this.faults,
      onDamage: (damage) => damages.push(`${damage.segment}@${damage.position}+${damage.bytes} ${damage.reason}`),
    });

    const listener = new RecordingListener();
    // Oracle of this life: confirmed so far, and the units behind it with the positions that confirm them.
    let confirmed = before;
    let units: Unit[] = [...candidates];
    let positions: number[] = candidates.map(() => Number.POSITIVE_INFINITY);
    const share = depth === 0 ? 0.12 : 0.04;
    disk.onCall = () => {
      result.calls++;
      if (depth >= DEPTH_MAX || this.images.length >= IMAGES_WAITING || !dice.chance(share)) return;
      advance();
      const crash = dice.pick<Image['crash']>(['drop', 'keep', 'prefix', 'random', 'random', 'kill']);
      const left = crash === 'kill' ? disk.afterKill() : disk.afterPowerCut(dice, crash);
      this.images.push({ disk: left, confirmed: confirmed.clone(), units: [...units], depth: depth + 1, crash });
    };
    const advance = (): void => {
      // After a power cut units that asked for no sync may be gone although they were confirmed; the last marked one is the bound.
      let done = 0;
      for (let i = 0; i < units.length && positions[i]! <= listener.durable; i++) if (units[i]!.marked) done = i + 1;
      for (let i = 0; i < done; i++) confirmed.apply(units[i]!);
      result.confirmedUnits += done;
      units = units.slice(done);
      positions = positions.slice(done);
    };
    const report = await storage.open(CODECS, listener);
    if (report.tornTailBytes > 0) result.tornTails++;
    if (report.damagedFrames > 0)
      this.violation(
        `recovery reports ${report.damagedFrames} damaged places where nothing was damaged: ${damages.join()}`,
      );
    const found = await this.check(storage, crew, before, candidates, lower);
    if (found === null) return;
    // What is served is durable from now on.
    confirmed = found.clone();
    units = [];
    positions = [];
    const model = found;
    if (depth > 0 && dice.chance(0.6)) {
      disk.onCall = () => undefined;
      return;
    }
    if (depth === 0 && dice.chance(0.3)) {
      disk.fault = {
        call: dice.pick(['sync', 'write', 'any']),
        nth: 20 + dice.below(200),
        code: 'EIO',
        sticky: dice.chance(0.5),
      };
    } else if (dice.chance(0.2))
      disk.fault = { call: 'write', nth: 1 + dice.below(60), code: 'short', sticky: dice.chance(0.5) };
    const steps = depth === 0 ? UNITS_PER_LIFE : 25;
    for (let i = 0; i < steps && listener.failures.length === 0; i++) {
      const unit = this.makeUnit(storage, model);
      model.apply(unit);
      storage.endUnit();
      units.push(unit);
      positions.push(storage.log.position);
      const work = dice.below(6);
      for (let k = 0; k < work; k++) this.step(crew);
      // As a host does every second: a resting log tidies up.
      if (dice.chance(0.1)) storage.checkSpace();
      if (this.images.length > 0 && depth === 0) await this.checkImages();
      if (this.enough) break;
    }
    for (let i = 0; i < 2000 && listener.failures.length === 0 && this.step(crew); i++);
    advance();
    const waiting = positions.filter((position) => position > listener.durable).length;
    if (listener.failures.length === 0 && waiting > 0)
      this.violation(`${waiting} units were never confirmed although nothing failed`);
    if (listener.failures.length > 0 && disk.faultHits === 0)
      this.violation(`the storage failed: ${listener.failures[0]!.message}`);
    result.diskFaultsHit += disk.faultHits;
    result.checkpoints += storage.figures.checkpoints;
    result.compactions += storage.figures.compactions;
    disk.onCall = () => undefined;
    if (listener.failures.length > 0) {
      // A failed sync leaves pages that reads show and the disk does not have: the power cut after it is the interesting one.
      for (const crash of ['drop', 'keep', 'random'] as const) {
        this.images.push({
          disk: disk.afterPowerCut(dice, crash),
          confirmed: confirmed.clone(),
          units: [...units],
          depth: depth + 1,
          crash,
        });
      }
    }
    if (depth === 0) await this.checkImages();
  }

  private step(crew: InlineCrew): boolean {
    return this.dice.chance(0.6) ? crew.stepWriter() || crew.stepKeeper() : crew.stepKeeper() || crew.stepWriter();
  }

  private async checkImages(): Promise<void> {
    while (this.images.length > 0 && !this.enough) {
      const image = this.images.shift()!;
      this.result.images++;
      const { length } = this.result.violations;
      try {
        await this.live(image.disk, image.confirmed, image.units, 0, image.depth);
      } catch (error) {
        this.violation(`recovery failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      }
      if (this.result.violations.length > length) {
        const last = this.result.violations.length - 1;
        this.result.violations[last] += ` [${image.crash}, depth ${image.depth}]`;
      }
    }
    this.images = [];
  }

  /** The model of the state the storage is in: after one of the candidate units, or before them. Null, and a violation, when there is none. */
  private async check(
    storage: EmbeddedStorage,
    crew: InlineCrew,
    before: Model,
    candidates: readonly Unit[],
    lower: number,
  ): Promise<Model | null> {
    const state = new Map<string, string>();
    for (const [key, value] of storage.state.load('sim')) state.set(key, Buffer.from(value).toString());
    const queues = new Map<string, QueueModel>();
    for (const name of storage.log.queueNames()) {
      const queue = storage.log.openQueue(name, durabilityOf(name));
      const sink = collect(queue);
      for (let i = 0; !sink.ended && i < 10_000; i++) crew.stepKeeper();
      const model = new QueueModel();
      model.next = queue.nextSequence;
      for (const { sequence, text } of sink.messages) model.messages.set(sequence, text);
      if (!sink.ended || sink.messages.length !== queue.count)
        this.violation(`queue ${name} counts ${queue.count} and gives ${sink.messages.length}`);
      const first = sink.messages[0]?.sequence ?? queue.nextSequence;
      if (first !== queue.firstSequence)
        this.violation(`queue ${name} begins at ${first} and says ${queue.firstSequence}`);
      this.result.recoveredMessages += sink.messages.length;
      queues.set(name, model);
    }
    if (storage.lostMessages > 0) this.violation(`${storage.lostMessages} messages could not be read back`);
    const model = before.clone();
    let reason = '';
    for (let i = 0; i <= candidates.length; i++) {
      if (i > 0) model.apply(candidates[i - 1]!);
      if (i < lower || (model.state.get(MARK) ?? '') !== (state.get(MARK) ?? '')) continue;
      reason = difference(model, queues, state);
      if (reason === '') return model;
    }
    const found = state.get(MARK) ?? 'none';
    this.violation(
      `the state is that of no unit from ${before.unit} (confirmed) to ${before.unit + candidates.length}: it carries mark ${found}${reason === '' ? '' : `, ${reason}`}`,
    );
    return null;
  }

  /** Does a unit's worth of operations on the storage and returns what it did. `model` is the state before it. */
  private makeUnit(storage: EmbeddedStorage, model: Model): Unit {
    const { dice } = this;
    const ops: Op[] = [];
    const view = model.clone();
    const does = (op: Op): void => {
      ops.push(op);
      view.apply({ ops: [op], marked: false });
    };
    const queue = (name: string): QueueLog => {
      const log = storage.log.openQueue(name, durabilityOf(name));
      if (!view.queues.has(name)) does({ kind: 'open', queue: name });
      return log;
    };
    // A unit that touches nothing but the queue that asks for no sync asks for none.
    const unmarked = dice.chance(0.2) && model.queues.has('written');
    if (unmarked) {
      this.append(storage, queue, ['written'], does);
      return { ops, marked: false };
    }
    const count = 1 + dice.below(4);
    for (let i = 0; i < count; i++) {
      const name = dice.pick(QUEUES);
      const kind = dice.below(20);
      if (kind < 9) this.append(storage, queue, dice.chance(0.3) ? [name, dice.pick(QUEUES)] : [name], does);
      else if (kind < 14) this.settle(queue, view, name, does);
      else if (kind < 16) this.move(storage, queue, view, name, does);
      else if (kind === 16 && dice.chance(0.3)) {
        queue(name).purge();
        does({ kind: 'purge', queue: name });
      } else if (kind === 17 && dice.chance(0.3)) {
        queue(name).delete();
        does({ kind: 'delete', queue: name });
      } else if (kind === 18) {
        const key = `key${dice.below(5)}`;
        storage.state.remove('sim', key);
        does({ kind: 'remove', key });
      } else {
        const key = `key${dice.below(5)}`;
        const value = this.text(dice.below(300));
        storage.state.put('sim', key, Buffer.from(value));
        does({ kind: 'put', key, value });
      }
    }
    storage.state.put('sim', MARK, Buffer.from(String(model.unit + 1)));
    return { ops, marked: true };
  }

  private append(
    storage: EmbeddedStorage,
    queue: (name: string) => QueueLog,
    names: readonly string[],
    does: (op: Op) => void,
  ): void {
    const { dice } = this;
    const unique = [...new Set(names)];
    const logs = unique.map(queue);
    const size = dice.chance(0.05) ? 20_000 : dice.chance(0.2) ? 3000 : 60;
    const texts = Array.from({ length: dice.chance(0.3) ? 1 + dice.below(12) : 1 }, () => this.text(dice.below(size)));
    storage.log.append(
      makeRun(texts.map((text) => Buffer.from(text, 'latin1'))),
      new LogTargets(
        logs,
        logs.map(() => AS_PUBLISHED),
      ),
    );
    does({ kind: 'append', queues: unique, texts });
  }

  private settle(queue: (name: string) => QueueLog, view: Model, name: string, does: (op: Op) => void): void {
    const stored = [...(view.queues.get(name)?.messages.keys() ?? [])].sort((a, b) => a - b);
    if (stored.length === 0) return;
    const rounds = 1 + this.dice.below(6);
    for (let i = 0; i < rounds; i++) {
      // Mostly from the front, as consumers do; what is left far behind is what compaction is for.
      const at = this.dice.chance(0.7) ? Math.min(stored.length - 1, 1) : this.dice.below(stored.length);
      const sequence = stored[at]!;
      let count = 1;
      while (count < 4 && stored[at + count] === sequence + count && this.dice.chance(0.6)) count++;
      queue(name).settle(sequence, count);
      does({ kind: 'settle', queue: name, sequence, count });
      stored.splice(at, count);
      if (stored.length === 0) return;
    }
  }

  /** A dead letter: settled here and appended there in one unit. */
  private move(
    storage: EmbeddedStorage,
    queue: (name: string) => QueueLog,
    view: Model,
    name: string,
    does: (op: Op) => void,
  ): void {
    const first = [...(view.queues.get(name)?.messages ?? [])].sort((a, b) => a[0] - b[0])[0];
    if (first === undefined || name === 'far') return;
    const [sequence, text] = first;
    queue(name).settle(sequence, 1);
    does({ kind: 'settle', queue: name, sequence, count: 1 });
    const to = queue('far');
    storage.log.append(makeRun([Buffer.from(text, 'latin1')]), new LogTargets([to], [AS_PUBLISHED]));
    does({ kind: 'append', queues: ['far'], texts: [text] });
  }

  /** Text that occurs once, of about this length. */
  private text(length: number): string {
    const head = `${this.seed}.${this.textNumber++}:`;
    return head + 'x'.repeat(Math.max(0, length - head.length));
  }
}

/** Crashes after crashes. */
const DEPTH_MAX = 3;
/** Images that wait to be checked at a time. */
const IMAGES_WAITING = 24;

function durabilityOf(name: string): Durability {
  return name === 'written' ? Durability.Written : Durability.Fsync;
}

/** In words; '' when they are the same. */
function difference(model: Model, queues: ReadonlyMap<string, QueueModel>, state: ReadonlyMap<string, string>): string {
  const names = [...model.queues.keys()].sort().join();
  const found = [...queues.keys()].sort().join();
  if (names !== found) return `queues are [${found}], not [${names}]`;
  for (const [name, queue] of model.queues) {
    const other = queues.get(name)!;
    if (other.next !== queue.next) return `queue ${name} goes on at ${other.next}, not at ${queue.next}`;
    for (const [sequence, text] of queue.messages) {
      const got = other.messages.get(sequence);
      if (got === undefined) return `message ${sequence} of ${name} is lost`;
      if (got !== text) return `message ${sequence} of ${name} is '${got.slice(0, 20)}', not '${text.slice(0, 20)}'`;
    }
    for (const sequence of other.messages.keys())
      if (!queue.messages.has(sequence)) return `message ${sequence} of ${name} is back`;
  }
  for (const [key, value] of model.state)
    if (state.get(key) !== value) return `state ${key} is ${state.get(key)?.slice(0, 20)}, not ${value.slice(0, 20)}`;
  for (const key of state.keys()) if (!model.state.has(key)) return `state ${key} is back`;
  return '';
}

export function crashImages(options: CampaignOptions): Promise<CampaignResult> {
  return new Campaign(options).run();
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [images, seed] = numbersOrUsage('npm run crash:images -- [IMAGES [SEED]]', process.argv.slice(2), [200_000, 1]);
  const began = performance.now();
  const { violations, ...counts } = await crashImages({ images, seed });
  console.log(
    JSON.stringify({
      seed,
      ...counts,
      violations: violations.length,
      seconds: Math.round((performance.now() - began) / 1000),
    }),
  );
  for (const violation of violations.slice(0, 20)) console.log(violation);
  process.exitCode = violations.length > 0 || counts.confirmedUnits === 0 ? 1 : 0;
}
