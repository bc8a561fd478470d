// A tree of topic levels in typed arrays: which paths there are, with a number at each, and all paths that match a pattern. Made for a million paths: a node
// is a row of five numbers and a label, no object, so the collector has nothing to walk and an idle topic costs little.
//
//   (root) ── plant ──┬── 1 ── temp ●        rows    parent  first  next  prev  value  birth  label
//                     └── 2 ── temp ●        a node's children are a list: first, then next …, newest first
//
// A node with many children has a map from label to row beside the list.
//
// A walk over the matches of a pattern stops whenever it has done its share and goes on later, whatever has changed in between. It keeps the rows where it
// stands with their births, a number that no other node ever had. Where a row was given up (and perhaps taken by another node), the walk goes on at the
// next older sibling, since the lists are ordered by birth. So a path that is there all the time is found exactly once; one that comes, or goes and
// comes back, during the walk may be missed.

import { assert } from '../lib/assert.ts';

const ROWS_MIN = 64;
/** Up to so many children are searched one by one. */
const SCANNED_CHILDREN_MAX = 16;
/** V8 makes a substring of this length a reference into the whole, which would keep every path it was cut from. */
const SLICED_LENGTH_MIN = 13;
/** Labels that many nodes may share: a million topics end in the same few words. */
const SHARED_LABELS = 1024;
/** No row. The root is row 0, which is nobody's child. */
const NONE = 0;
export const NO_VALUE = -1;

export class LevelTree {
  private parents = new Int32Array(ROWS_MIN);
  private firsts = new Int32Array(ROWS_MIN);
  private nexts = new Int32Array(ROWS_MIN);
  private prevs = new Int32Array(ROWS_MIN);
  private values = new Int32Array(ROWS_MIN).fill(NO_VALUE);
  private births = new Float64Array(ROWS_MIN);
  private labels: string[] = [''];
  private readonly indexes = new Map<number, Map<string, number>>();
  /** The last label of each hash: one string in memory for all nodes that have it. */
  private readonly shared: string[] = new Array<string>(SHARED_LABELS).fill('');
  /** Given-up rows, linked by nexts. */
  private vacant = NONE;
  private rows = 1;
  private birth = 1;

  /** The node of a path, or -1. */
  find(path: string): number {
    let node = 0;
    for (const level of path.split('/')) {
      node = this.child(node, level);
      if (node === NONE) return -1;
    }
    return node;
  }

  findOrGrow(path: string): number {
    let node = 0;
    for (const level of path.split('/')) {
      const child = this.child(node, level);
      node = child === NONE ? this.grow(node, level) : child;
    }
    return node;
  }

  value(node: number): number {
    return this.values[node]!;
  }

  setValue(node: number, value: number): void {
    this.values[node] = value;
  }

  path(node: number): string {
    let path = this.labels[node]!;
    for (let at = this.parents[node]!; at !== NONE; at = this.parents[at]!) path = `${this.labels[at]!}/${path}`;
    return path;
  }

  /** Takes the value away, and the node with all above it that nobody needs. */
  remove(node: number): void {
    this.values[node] = NO_VALUE;
    let at = node;
    while (at !== 0 && this.firsts[at] === NONE && this.values[at] === NO_VALUE) {
      const parent = this.parents[at]!;
      this.unlink(at, parent);
      at = parent;
    }
  }

  child(node: number, label: string): number {
    const first = this.firsts[node]!;
    if (first === NONE) return NONE;
    if (this.indexes.size > 0) {
      const index = this.indexes.get(node);
      if (index !== undefined) return index.get(label) ?? NONE;
    }
    for (let at = first; at !== NONE; at = this.nexts[at]!) {
      if (this.labels[at] === label) return at;
    }
    return NONE;
  }

  // What a walk looks at.

  first(node: number): number {
    return this.firsts[node]!;
  }

  next(node: number): number {
    return this.nexts[node]!;
  }

  label(node: number): string {
    return this.labels[node]!;
  }

  birthOf(node: number): number {
    return this.births[node]!;
  }

  private grow(parent: number, label: string): number {
    let node = this.vacant;
    if (node !== NONE) this.vacant = this.nexts[node]!;
    else {
      if (this.rows === this.parents.length) this.resize();
      node = this.rows++;
    }
    const first = this.firsts[parent]!;
    const own = this.sharedLabel(label);
    this.parents[node] = parent;
    this.firsts[node] = NONE;
    this.nexts[node] = first;
    this.prevs[node] = NONE;
    this.values[node] = NO_VALUE;
    this.births[node] = this.birth++;
    this.labels[node] = own;
    if (first !== NONE) this.prevs[first] = node;
    this.firsts[parent] = node;
    const index = this.indexes.get(parent);
    if (index !== undefined) index.set(own, node);
    else this.indexIfMany(parent);
    return node;
  }

  private sharedLabel(label: string): string {
    const { length } = label;
    if (length === 0) return label;
    const hash =
      length * 31 + label.charCodeAt(0) * 7 + label.charCodeAt(length >> 1) * 131 + label.charCodeAt(length - 1);
    const place = hash % SHARED_LABELS;
    const there = this.shared[place]!;
    if (there === label) return there;
    const own = length < SLICED_LENGTH_MIN ? label : flat(label);
    this.shared[place] = own;
    return own;
  }

  private indexIfMany(parent: number): void {
    let count = 0;
    for (let at = this.firsts[parent]!; at !== NONE; at = this.nexts[at]!) count++;
    if (count <= SCANNED_CHILDREN_MAX) return;
    const index = new Map<string, number>();
    for (let at = this.firsts[parent]!; at !== NONE; at = this.nexts[at]!) index.set(this.labels[at]!, at);
    this.indexes.set(parent, index);
  }

  private unlink(node: number, parent: number): void {
    const next = this.nexts[node]!;
    const prev = this.prevs[node]!;
    if (prev === NONE) this.firsts[parent] = next;
    else this.nexts[prev] = next;
    if (next !== NONE) this.prevs[next] = prev;
    const index = this.indexes.get(parent);
    if (index !== undefined) {
      index.delete(this.labels[node]!);
      if (index.size <= SCANNED_CHILDREN_MAX / 2) this.indexes.delete(parent);
    }
    this.births[node] = 0;
    this.labels[node] = '';
    this.nexts[node] = this.vacant;
    this.vacant = node;
  }

  private resize(): void {
    const rows = this.parents.length + Math.max(ROWS_MIN, this.parents.length >> 1);
    this.parents = larger(this.parents, rows);
    this.firsts = larger(this.firsts, rows);
    this.nexts = larger(this.nexts, rows);
    this.prevs = larger(this.prevs, rows);
    this.values = larger(this.values, rows);
    const births = new Float64Array(rows);
    births.set(this.births);
    this.births = births;
  }
}

function larger(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(length);
  copy.set(array);
  return copy;
}

/** The same text in memory of its own. */
function flat(text: string): string {
  const copy = Buffer.from(text).toString();
  // Half a surrogate pair does not survive the copy.
  return copy === text ? copy : text;
}

/** A node on the way down to where the walk stands. */
class Frame {
  readonly node: number;
  readonly birth: number;
  readonly path: string;
  /** How many levels of the pattern may have been used up on the way to this node, every possibility, ascending. */
  readonly states: readonly number[];
  /** The same for its children, where that does not depend on their labels; null where it does. */
  readonly childStates: readonly number[] | null;
  /** Only the child with the pattern's own label can match: it is looked up, and cursor says whether it was. Otherwise cursor is the next child. */
  readonly looksUp: boolean;
  cursor: number;
  /** Of the node at the cursor, when the walk stopped. */
  cursorBirth: number;

  constructor(
    node: number,
    birth: number,
    path: string,
    states: readonly number[],
    childStates: readonly number[] | null,
    looksUp: boolean,
    cursor: number,
  ) {
    this.node = node;
    this.birth = birth;
    this.path = path;
    this.states = states;
    this.childStates = childStates;
    this.looksUp = looksUp;
    this.cursor = cursor;
    this.cursorBirth = 0;
  }
}

/** The nodes with a value whose path matches a pattern, one after the other. */
export class LevelWalk {
  private readonly tree: LevelTree;
  private readonly pattern: readonly string[];
  private readonly hidesDollar: boolean;
  private readonly stack: Frame[] = [];
  /** Nodes looked at since the walk was last resumed. */
  steps = 0;
  /** Of the node that advance() found last. */
  path = '';

  /** everything: all paths, also those that '#' does not match. */
  constructor(tree: LevelTree, pattern: string, everything = false) {
    this.tree = tree;
    this.pattern = pattern.split('/').filter((level, i, levels) => level !== '#' || levels[i - 1] !== '#');
    // A wildcard in the first level does not match a first level that starts with '$' [MQTT-4.7.2-1], [3.1.1 MQTT-4.7.2-1].
    this.hidesDollar = !everything && (this.pattern[0] === '+' || this.pattern[0] === '#');
    this.push(0, '', this.closed([0]));
  }

  /** After changes of the tree: finds its place again. */
  resume(): void {
    const { tree, stack } = this;
    this.steps = 0;
    for (let depth = 0; depth < stack.length; depth++) {
      const frame = stack[depth]!;
      if (frame.node !== 0 && tree.birthOf(frame.node) !== frame.birth) {
        // This node is gone, and with it all below it.
        stack.length = depth;
        return;
      }
      if (frame.looksUp || frame.cursor === NONE || tree.birthOf(frame.cursor) === frame.cursorBirth) continue;
      let at = tree.first(frame.node);
      while (at !== NONE && tree.birthOf(at) > frame.cursorBirth) at = tree.next(at);
      frame.cursor = at;
    }
  }

  /** Before changes of the tree. */
  suspend(): void {
    for (const frame of this.stack) frame.cursorBirth = frame.looksUp ? 0 : this.tree.birthOf(frame.cursor);
  }

  /** The next match, or -1: then the walk is done, or stepsMax nodes were looked at. */
  advance(stepsMax: number): number {
    const { tree, stack } = this;
    while (stack.length > 0) {
      if (this.steps >= stepsMax) return -1;
      this.steps++;
      const frame = stack[stack.length - 1]!;
      const node = frame.looksUp ? this.nextLookedUp(frame) : this.nextChild(frame);
      if (node === NONE) {
        stack.pop();
        continue;
      }
      const label = tree.label(node);
      if (frame.node === 0 && this.hidesDollar && label.startsWith('$')) continue;
      const states = frame.childStates ?? this.after(frame.states, label);
      if (states.length === 0) continue;
      const path = frame.node === 0 ? label : `${frame.path}/${label}`;
      if (tree.first(node) !== NONE) this.push(node, path, states);
      if (states[states.length - 1] === this.pattern.length && tree.value(node) !== NO_VALUE) {
        this.path = path;
        return node;
      }
    }
    return -1;
  }

  get done(): boolean {
    return this.stack.length === 0;
  }

  private nextChild(frame: Frame): number {
    const node = frame.cursor;
    if (node !== NONE) frame.cursor = this.tree.next(node);
    return node;
  }

  private nextLookedUp(frame: Frame): number {
    if (frame.cursor > 0) return NONE;
    frame.cursor = 1;
    return this.tree.child(frame.node, this.pattern[frame.states[0]!]!);
  }

  private push(node: number, path: string, states: readonly number[]): void {
    const { pattern } = this;
    let wild = false;
    let literal = false;
    for (const state of states) {
      const level = pattern[state];
      if (level === '+' || level === '#') wild = true;
      else if (level !== undefined) literal = true;
    }
    // Used up on the way here in every possible way: nothing below can match.
    if (!wild && !literal) return;
    // More than one state comes from a '#', which stays one of them; so without a wildcard there is one.
    assert(wild || states.length === 1, 'only a # has several ways to a node');
    const childStates = literal ? null : this.after(states, '');
    const cursor = wild ? this.tree.first(node) : 0;
    this.stack.push(new Frame(node, this.tree.birthOf(node), path, states, childStates, !wild, cursor));
  }

  /** The states behind a level with this label. */
  private after(states: readonly number[], label: string): readonly number[] {
    const next: number[] = [];
    for (const state of states) {
      const level = this.pattern[state];
      if (level === '#') add(next, state);
      else if (level === '+' || level === label) add(next, state + 1);
    }
    return this.closed(next);
  }

  /** With what '#' for no level at all adds. */
  private closed(states: number[]): number[] {
    for (let i = 0; i < states.length; i++) {
      const state = states[i]!;
      if (this.pattern[state] === '#' && states[i + 1] !== state + 1) states.splice(i + 1, 0, state + 1);
    }
    return states;
  }
}

/** States are found in ascending order, perhaps the last one again. */
function add(states: number[], state: number): void {
  if (states[states.length - 1] !== state) states.push(state);
}
