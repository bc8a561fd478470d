// The ring against the plainest model of it: an array of entries in order of their tags.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DeliveryOptions, deliveryOptions } from '../../src/core/delivery.ts';
import { EntryState, MessageRing } from '../../src/core/message-ring.ts';
import type { Run } from '../../src/core/run.ts';
import { textOf, textRun } from './runs.ts';

const OPTIONS = [deliveryOptions(1, false, null), deliveryOptions(2, true, [7])] as const;

interface Entry {
  readonly tag: number;
  readonly run: Run;
  readonly index: number;
  readonly options: DeliveryOptions;
  readonly sequence: number;
  state: EntryState;
  owner: number;
  attempts: number;
}

class Model {
  entries: Entry[] = [];
  tail = 0;

  push(run: Run, index: number, count: number, options: DeliveryOptions, sequence: number, state: EntryState): void {
    for (let i = 0; i < count; i++) {
      this.entries.push({
        tag: this.tail++,
        run,
        index: index + i,
        options,
        sequence: sequence === 0 ? 0 : sequence + i,
        state,
        owner: 0,
        attempts: 0,
      });
    }
  }

  /** The first that is not with somebody, unless it is held. */
  next(): Entry | null {
    const entry = this.entries.find(({ state }) => state !== EntryState.Unsettled);
    return entry?.state === EntryState.Ready ? entry : null;
  }

  /** How many from `entry` on may be taken in one go. */
  span(entry: Entry, limit: number): number {
    const from = this.entries.indexOf(entry);
    let count = 1;
    for (; count < limit; count++) {
      const other = this.entries[from + count];
      if (other?.tag !== entry.tag + count || other.state !== EntryState.Ready || entry.attempts + other.attempts > 0)
        break;
      if (other.run !== entry.run || other.options !== entry.options || other.index !== entry.index + count) break;
    }
    return count;
  }

  find(tag: number): Entry | undefined {
    return this.entries.find((entry) => entry.tag === tag);
  }

  remove(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
  }

  get readyBytes(): number {
    const ready = this.entries.filter(({ state }) => state !== EntryState.Unsettled);
    return ready.reduce((sum, { run, index }) => sum + textOf(run, index).length, 0);
  }

  count(...states: EntryState[]): number {
    return this.entries.filter(({ state }) => states.includes(state)).length;
  }
}

/** Plain comparisons: there are too many for expect(). */
function same(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what} is ${actual}, not ${expected}`);
}

function expectSame(ring: MessageRing, model: Model): void {
  same(ring.readyCount, model.count(EntryState.Ready, EntryState.Held), 'readyCount');
  same(ring.readyBytes, model.readyBytes, 'readyBytes');
  same(ring.unsettledCount, model.count(EntryState.Unsettled), 'unsettledCount');
  same(ring.tail, model.tail, 'tail');
  same(ring.nextReady(), model.next()?.tag ?? -1, 'nextReady');
  const visited: string[] = [];
  ring.forEach((tag, state) => {
    visited.push(`${tag} ${state}`);
  });
  same(visited.join(), model.entries.map(({ tag, state }) => `${tag} ${state}`).join(), 'what forEach visits');
  for (const entry of model.entries) {
    const { tag } = entry;
    same(ring.stateOf(tag), entry.state, 'state');
    same(ring.runOf(tag), entry.run, 'run');
    same(ring.indexOf(tag), entry.index, 'index');
    same(ring.optionsOf(tag), entry.options, 'options');
    same(ring.sequenceOf(tag), entry.sequence, 'sequence');
    same(ring.attemptsOf(tag), entry.attempts, 'attempts');
    if (entry.state === EntryState.Unsettled) same(ring.ownerOf(tag), entry.owner, 'owner');
  }
}

type Step =
  | {
      readonly kind: 'push';
      readonly count: number;
      readonly index: number;
      readonly options: 0 | 1;
      readonly logged: boolean;
      readonly held: boolean;
    }
  | { readonly kind: 'take'; readonly limit: number; readonly owner: number; readonly times: number }
  /** which: from 0 (the oldest) to 1; share: of how many of the ones from there on. */
  | { readonly kind: 'settle' | 'requeue' | 'remove' | 'forgetAttempt'; readonly which: number; readonly count: number }
  | { readonly kind: 'settleAllBut'; readonly which: number }
  | { readonly kind: 'settleTogether'; readonly which: number; readonly count: number }
  | { readonly kind: 'release'; readonly which: number; readonly count: number };

function step(countMax: number): fc.Arbitrary<Step> {
  const which = fc.double({ min: 0, max: 1, noNaN: true });
  const count = fc.integer({ min: 1, max: countMax });
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('push' as const),
        count,
        index: fc.integer({ min: 0, max: 2 }),
        options: fc.constantFrom(0 as const, 1 as const),
        logged: fc.boolean(),
        held: fc.nat({ max: 9 }).map((n) => n === 0),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('take' as const),
        limit: fc.integer({ min: 1, max: countMax }),
        owner: fc.integer({ min: 1, max: 3 }),
        times: fc.integer({ min: 1, max: 20 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('settle' as const, 'requeue' as const, 'remove' as const, 'forgetAttempt' as const),
        which,
        count,
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('settleAllBut' as const), which }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('settleTogether' as const), which, count }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), which, count }) },
  );
}

function perform(ring: MessageRing, model: Model, action: Step): void {
  const at = (which: number, states: readonly EntryState[]): Entry[] => {
    const fitting = model.entries.filter(({ state }) => states.includes(state));
    return fitting.slice(Math.floor(which * (fitting.length - 1)));
  };
  switch (action.kind) {
    case 'push': {
      const { count, index } = action;
      const run = textRun(Array.from({ length: count + index }, (_, i) => `${model.tail + i}`));
      const sequence = action.logged ? model.tail + 1 : 0;
      const state = action.held ? EntryState.Held : EntryState.Ready;
      ring.push(run, index, count, OPTIONS[action.options], sequence, state);
      model.push(run, index, count, OPTIONS[action.options], sequence, state);
      return;
    }
    case 'take':
      for (let i = 0; i < action.times; i++) {
        const entry = model.next();
        same(ring.nextReady(), entry?.tag ?? -1, 'nextReady');
        if (entry === null) return;
        const count = ring.span(entry.tag, action.limit);
        same(count >= 1 && count <= model.span(entry, action.limit), true, 'a span that may be taken');
        ring.take(entry.tag, count, action.owner);
        const from = model.entries.indexOf(entry);
        for (const taken of model.entries.slice(from, from + count)) {
          taken.state = EntryState.Unsettled;
          taken.owner = action.owner;
          if (taken.attempts < 255) taken.attempts++;
        }
      }
      return;
    case 'settle':
    case 'remove': {
      const states =
        action.kind === 'settle' ? [EntryState.Unsettled] : [EntryState.Ready, EntryState.Unsettled, EntryState.Held];
      for (const entry of at(action.which, states).slice(0, action.count)) {
        same(ring.remove(entry.tag), true, 'the answer');
        same(ring.remove(entry.tag), false, 'the answer');
        model.remove(entry);
      }
      return;
    }
    case 'settleTogether': {
      const [first] = at(action.which, [EntryState.Unsettled]);
      if (first === undefined) return;
      const entries = Array.from({ length: action.count }, (_, i) => model.find(first.tag + i));
      const unsettled = entries.filter((entry) => entry?.state === EntryState.Unsettled) as Entry[];
      const { sequence } = first;
      const together =
        unsettled.length === action.count &&
        first.tag >= ring.head &&
        unsettled.every((entry, i) => entry.sequence === (sequence === 0 ? 0 : sequence + i));
      same(ring.removeUnsettled(first.tag, action.count), together ? sequence : -1, 'sequence');
      if (together) for (const entry of unsettled) model.remove(entry);
      return;
    }
    case 'settleAllBut': {
      const [kept] = at(action.which, [EntryState.Unsettled]);
      for (const entry of at(0, [EntryState.Unsettled])) {
        if (entry === kept) continue;
        same(ring.remove(entry.tag), true, 'the answer');
        model.remove(entry);
      }
      return;
    }
    case 'requeue':
      for (const entry of at(action.which, [EntryState.Unsettled]).slice(0, action.count)) {
        same(ring.giveBack(entry.tag), true, 'the answer');
        same(ring.giveBack(entry.tag), false, 'the answer');
        entry.state = EntryState.Ready;
      }
      return;
    case 'forgetAttempt':
      for (const entry of at(action.which, [EntryState.Unsettled]).slice(0, action.count)) {
        ring.forgetAttempt(entry.tag);
        if (entry.attempts > 0) entry.attempts--;
      }
      return;
    case 'release': {
      // As a broker does it: in terms of what was pushed, whatever has become of it since.
      const first = Math.floor(action.which * model.tail);
      const count = Math.min(action.count, model.tail - first);
      ring.release(first, count);
      for (const entry of model.entries) {
        if (entry.tag >= first && entry.tag < first + count && entry.state === EntryState.Held)
          entry.state = EntryState.Ready;
      }
    }
  }
}

describe('a ring does what an array does', () => {
  test.each([
    ['small steps', 4, 300, 200],
    ['steps that make it grow, set stragglers aside and shrink', 900, 40, 150],
  ])('%s', (_name, countMax, steps, numRuns) => {
    fc.assert(
      fc.property(fc.array(step(countMax), { maxLength: steps, size: 'max' }), (actions) => {
        const ring = new MessageRing();
        const model = new Model();
        for (const action of actions) perform(ring, model, action);
        expectSame(ring, model);
      }),
      { numRuns },
    );
  });

  test('after every single step', () => {
    fc.assert(
      fc.property(fc.array(step(3), { maxLength: 60, size: 'max' }), (actions) => {
        const ring = new MessageRing();
        const model = new Model();
        for (const action of actions) {
          perform(ring, model, action);
          expectSame(ring, model);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** How many places the ring has, from head to tail: what its memory follows. */
function length(ring: MessageRing): number {
  return ring.tail - ring.head;
}

function pushOne(ring: MessageRing, text: string, state: EntryState = EntryState.Ready): number {
  const tag = ring.tail;
  ring.push(textRun(text), 0, 1, OPTIONS[0], 0, state);
  return tag;
}

describe('the ring', () => {
  test('gives a run in one piece, as far as the limit goes and as it is consecutive', () => {
    const ring = new MessageRing();
    const run = textRun(['a', 'b', 'c', 'd', 'e']);
    ring.push(run, 0, 5, OPTIONS[0], 0, EntryState.Ready);
    ring.push(run, 0, 1, OPTIONS[1], 0, EntryState.Ready);
    expect(ring.span(0, 3)).toBe(3);
    expect(ring.span(0, 100)).toBe(5);
    ring.remove(3);
    expect(ring.span(0, 100)).toBe(3);
    ring.take(0, 3, 1);
    expect(ring.nextReady()).toBe(4);
    expect(textOf(ring.runOf(4), ring.indexOf(4))).toBe('e');
    expect(ring.span(4, 100)).toBe(1);
  });

  test('gives back what was requeued before it goes on, oldest first and one by one', () => {
    const ring = new MessageRing();
    ring.push(textRun(['a', 'b', 'c', 'd']), 0, 4, OPTIONS[0], 0, EntryState.Ready);
    ring.take(0, 3, 1);
    for (const tag of [2, 0, 1]) expect(ring.giveBack(tag)).toBe(true);
    const order: number[] = [];
    for (let tag = ring.nextReady(); tag >= 0; tag = ring.nextReady()) {
      expect(ring.span(tag, 10)).toBe(1);
      order.push(tag);
      ring.take(tag, 1, 2);
    }
    expect(order).toEqual([0, 1, 2, 3]);
    expect(ring.attemptsOf(0)).toBe(2);
    expect(ring.attemptsOf(3)).toBe(1);
  });

  test('gives nothing past a held message until that is released', () => {
    const ring = new MessageRing();
    const held = pushOne(ring, 'held', EntryState.Held);
    const ready = pushOne(ring, 'ready');
    expect(ring.nextReady()).toBe(-1);
    ring.release(held, 1);
    expect(ring.nextReady()).toBe(held);
    ring.take(held, 1, 1);
    expect(ring.nextReady()).toBe(ready);
  });

  test('counts attempts up to 255', () => {
    const ring = new MessageRing();
    const tag = pushOne(ring, 'x');
    for (let i = 0; i < 300; i++) {
      ring.take(tag, 1, 1);
      ring.giveBack(tag);
    }
    expect(ring.attemptsOf(tag)).toBe(255);
  });

  test('knows nothing of tags it has never given out', () => {
    const ring = new MessageRing();
    for (const tag of [-1, 0, 5]) {
      expect(ring.stateOf(tag)).toBe(EntryState.Gone);
      expect(ring.remove(tag)).toBe(false);
      expect(ring.giveBack(tag)).toBe(false);
    }
  });

  test('does not grow with the age of its oldest message: one that stays unsettled is moved aside', () => {
    const ring = new MessageRing();
    const old = pushOne(ring, 'old');
    ring.take(old, 1, 1);
    let lengthMax = 0;
    for (let i = 0; i < 100_000; i++) {
      const tag = pushOne(ring, 'x');
      ring.take(tag, 1, 1);
      ring.remove(tag);
      lengthMax = Math.max(lengthMax, length(ring));
    }
    expect(lengthMax).toBeLessThanOrEqual(1024);
    expect(ring.stateOf(old)).toBe(EntryState.Unsettled);
    expect(ring.giveBack(old)).toBe(true);
    expect(ring.nextReady()).toBe(old);
  });

  test('nor does it when the oldest is one that nobody has taken yet, while later ones go (they expire)', () => {
    const ring = new MessageRing();
    const old = pushOne(ring, 'old');
    let lengthMax = 0;
    for (let i = 0; i < 100_000; i++) {
      ring.remove(pushOne(ring, 'x'));
      lengthMax = Math.max(lengthMax, length(ring));
    }
    const last = pushOne(ring, 'last');
    expect(lengthMax).toBeLessThanOrEqual(1024);
    expect(ring.nextReady()).toBe(old);
    expect(ring.attemptsOf(old)).toBe(0);
    ring.take(old, 1, 1);
    expect(ring.attemptsOf(old)).toBe(1);
    expect(ring.nextReady()).toBe(last);
  });

  test('its head follows when what was moved aside left nothing but gaps behind', () => {
    const ring = new MessageRing();
    const old = pushOne(ring, 'old');
    ring.take(old, 1, 1);
    // Taken, settled: gaps up to the cursor. Then ready ones that are removed without ever being taken.
    for (let i = 0; i < 1000; i++) {
      const tag = pushOne(ring, 'x');
      ring.take(tag, 1, 1);
      ring.remove(tag);
    }
    for (let i = 0; i < 23; i++) ring.remove(pushOne(ring, 'gone'));
    pushOne(ring, 'live');
    pushOne(ring, 'live');
    ring.remove(ring.nextReady());
    ring.remove(ring.nextReady());
    expect(length(ring)).toBe(0);
    expect(ring.stateOf(old)).toBe(EntryState.Unsettled);
  });

  test('a great many that come back and then go in any order cost no more than a sort', () => {
    const ring = new MessageRing();
    const count = 100_000;
    ring.push(textRun(Array.from({ length: count }, () => 'x')), 0, count, OPTIONS[0], 0, EntryState.Ready);
    ring.take(0, count, 1);
    for (let tag = 0; tag < count; tag++) ring.giveBack(tag);
    // From behind, as messages expire whose expiry is shorter the later they came: quadratic would be minutes.
    for (let tag = count - 1; tag >= 1; tag--) ring.remove(tag);
    expect(ring.nextReady()).toBe(0);
    expect(ring.readyCount).toBe(1);
    ring.take(0, 1, 2);
    expect(ring.nextReady()).toBe(-1);
  });
});
