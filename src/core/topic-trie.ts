// Finds the bindings whose pattern matches a routing key. Patterns are paths (routing-key.ts): levels separated by '/', where the level '+' is exactly one
// level and the level '#' zero or more, anywhere. Patterns without wildcards are looked up as a whole in one map; the others stand in a trie with one node
// per level.
//
//   a/+/c   a/#   a/#/z         (root) ── a ──┬── + ── c ●
//                                             └── # ●─ z ●      ● bindings
//
// A match follows all nodes that the key can have reached so far, level by level, each node once per level however many ways lead to it: its cost is bounded
// by levels × nodes, and '#' after '#' (which means the same) is stored once, so no pattern makes it explode.
import type { Binding } from './binding.ts';
import { addBagTo, addToBag, type BindingBag, bagSize, removeFromBag } from './binding-bag.ts';
import type { RouteResult } from './exchange.ts';
import type { RoutingKey } from './routing-key.ts';

class TrieNode {
  readonly label: string;
  /** Reached by '#': stays reached whatever level comes next. */
  readonly loops: boolean;
  /** The only literal child, as long as there is but one; then `children` is null. */
  onlyChild: TrieNode | null;
  children: Map<string, TrieNode> | null;
  /** Child for '+'. */
  one: TrieNode | null;
  /** Child for '#'. A node that loops has none. */
  many: TrieNode | null;
  bag: BindingBag | null;
  /** The level of the match that reached this node last. */
  stamp: number;

  constructor(label: string) {
    this.label = label;
    this.loops = label === '#';
    this.onlyChild = null;
    this.children = null;
    this.one = null;
    this.many = null;
    this.bag = null;
    this.stamp = 0;
  }

  child(label: string): TrieNode | null {
    if (this.children !== null) return this.children.get(label) ?? null;
    return this.onlyChild !== null && this.onlyChild.label === label ? this.onlyChild : null;
  }

  /** The child for one level of a pattern. */
  step(level: string): TrieNode | null {
    if (level === '+') return this.one;
    if (level === '#') return this.many;
    return this.child(level);
  }

  stepOrGrow(level: string): TrieNode {
    const there = this.step(level);
    if (there !== null) return there;
    const node = new TrieNode(level);
    if (level === '+') this.one = node;
    else if (level === '#') this.many = node;
    else if (this.children !== null) this.children.set(level, node);
    else if (this.onlyChild === null) this.onlyChild = node;
    else {
      this.children = new Map([
        [this.onlyChild.label, this.onlyChild],
        [level, node],
      ]);
      this.onlyChild = null;
    }
    return node;
  }

  cut(level: string): void {
    if (level === '+') this.one = null;
    else if (level === '#') this.many = null;
    else if (this.children === null) this.onlyChild = null;
    else {
      this.children.delete(level);
      if (this.children.size === 1) {
        for (const last of this.children.values()) this.onlyChild = last;
        this.children = null;
      }
    }
  }

  get bare(): boolean {
    return (
      this.bag === null && this.onlyChild === null && this.children === null && this.one === null && this.many === null
    );
  }
}

// [MQTT-3.3.2-3], [3.1.1 MQTT-3.3.2-3] [MQTT-4.7.3-4]
export class TopicTrie {
  private readonly exact = new Map<string, BindingBag>();
  private readonly root = new TrieNode('');
  private bindings = 0;
  private stamp = 0;
  /** Scratch of match(): the nodes reached after this level and after the next. */
  private reached: TrieNode[] = [];
  private reachedNext: TrieNode[] = [];

  /** How many bindings it holds. */
  get size(): number {
    return this.bindings;
  }

  add(binding: Binding): void {
    this.bindings++;
    const levels = wildcardLevels(binding.key);
    if (levels === null) {
      this.exact.set(binding.key, addToBag(this.exact.get(binding.key), binding));
      return;
    }
    let node = this.root;
    for (const level of levels) node = node.stepOrGrow(level);
    node.bag = addToBag(node.bag, binding);
  }

  /** Takes the binding (or an equal one) out. Returns whether it was there. */
  remove(binding: Binding): boolean {
    const levels = wildcardLevels(binding.key);
    if (levels === null) {
      const bag = this.exact.get(binding.key);
      if (bag === undefined) return false;
      const before = bagSize(bag);
      const rest = removeFromBag(bag, binding);
      if (rest === null) this.exact.delete(binding.key);
      else if (rest !== bag) this.exact.set(binding.key, rest);
      return this.countRemoved(before, rest);
    }
    const path: TrieNode[] = [this.root];
    let node = this.root;
    for (const level of levels) {
      const next = node.step(level);
      if (next === null) return false;
      node = next;
      path.push(node);
    }
    if (node.bag === null) return false;
    const before = bagSize(node.bag);
    node.bag = removeFromBag(node.bag, binding);
    // What holds nothing any more goes, up to the first node that still does.
    for (let i = levels.length; i > 0 && path[i]!.bare; i--) path[i - 1]!.cut(levels[i - 1]!);
    return this.countRemoved(before, node.bag);
  }

  /** Appends the bindings of every pattern that matches, each binding once. */
  match(key: RoutingKey, result: RouteResult): void {
    const exact = this.exact.get(key.path);
    if (exact !== undefined) addBagTo(result, exact);
    if (this.root.bare) return;

    const levels = key.levels;
    let reached = this.reached;
    let next = this.reachedNext;
    const root = this.root;
    if (levels[0]!.startsWith('$')) {
      // A wildcard in the first level does not match a first level that starts with '$' [MQTT-4.7.2-1].
      const child = root.child(levels[0]!);
      this.stamp++;
      if (child !== null) this.reach(child, reached);
    } else {
      this.stamp++;
      this.reach(root, next);
      this.advance(next, levels[0]!, reached);
      next.length = 0;
    }
    for (let i = 1; i < levels.length && reached.length > 0; i++) {
      this.advance(reached, levels[i]!, next);
      reached.length = 0;
      const swap = reached;
      reached = next;
      next = swap;
    }
    for (let i = 0; i < reached.length; i++) {
      const bag = reached[i]!.bag;
      if (bag !== null) addBagTo(result, bag);
    }
    reached.length = 0;
    this.reached = reached;
    this.reachedNext = next;
  }

  /** From the nodes reached before `level` to those reached after it. */
  private advance(from: readonly TrieNode[], level: string, to: TrieNode[]): void {
    this.stamp++;
    for (let i = 0; i < from.length; i++) {
      const node = from[i]!;
      if (node.loops) this.reach(node, to);
      const child = node.child(level);
      if (child !== null) this.reach(child, to);
      if (node.one !== null) this.reach(node.one, to);
    }
  }

  private reach(node: TrieNode, list: TrieNode[]): void {
    if (node.stamp === this.stamp) return;
    node.stamp = this.stamp;
    list.push(node);
    // '#' is zero levels, too.
    if (node.many !== null) this.reach(node.many, list);
  }

  private countRemoved(before: number, rest: BindingBag | null): boolean {
    const removed = before - (rest === null ? 0 : bagSize(rest));
    this.bindings -= removed;
    return removed > 0;
  }
}

/** The levels of a pattern with '#' after '#' left out; null when it has no wildcard. */
function wildcardLevels(pattern: string): string[] | null {
  if (!pattern.includes('+') && !pattern.includes('#')) return null;
  const levels = pattern.split('/');
  if (!levels.includes('+') && !levels.includes('#')) return null;
  return levels.filter((level, i) => level !== '#' || levels[i - 1] !== '#');
}
