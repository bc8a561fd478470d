// Finds the bindings whose pattern matches a routing key. Patterns are paths (routing-key.ts): levels separated by '/', where the level '+' is exactly one
// level and the level '#' zero or more, anywhere. Patterns without wildcards are looked up as a whole in one map; the others stand in a trie with one node
// per level. Below a literal level, a binding that is alone there stands itself in place of nodes: of a million clients with a pattern each, most are.
//
//   a/+/c   a/#   a/#/z   b/+/c         (root) ─┬─ a ──┬── + ── c ●
//                                               │      └── # ●─ z ●      ● bindings
//                                               └─ b ● (+/c)
//
// A match follows all nodes that the key can have reached so far, level by level, each node once per level however many ways lead to it: its cost is bounded
// by levels × nodes, and '#' after '#' (which means the same) is stored once, so no pattern makes it explode. A binding in place of nodes is never behind a
// '#', so it is met once per match, and costs levels × levels.
import type { Binding } from './binding.ts';
import { addBagTo, addToBag, type BindingBag, bagSize, removeFromBag, sameBinding } from './binding-bag.ts';
import type { RouteResult } from './exchange.ts';
import type { RoutingKey } from './routing-key.ts';

/** What stands below a level: a node, or the one binding whose pattern goes on there. */
type Child = TrieNode | Binding;

class TrieNode {
  /** Reached by '#': stays reached whatever level comes next. */
  readonly loops: boolean;
  /** The only literal child and its level, as long as there is but one; then `children` is null. */
  onlyLevel: string;
  onlyChild: Child | null;
  children: Map<string, Child> | null;
  /** Child for '+'. */
  one: TrieNode | null;
  /** Child for '#'. A node that loops has none. */
  many: TrieNode | null;
  bag: BindingBag | null;
  /** The level of the match that reached this node last. */
  stamp: number;

  constructor(loops: boolean) {
    this.loops = loops;
    this.onlyLevel = '';
    this.onlyChild = null;
    this.children = null;
    this.one = null;
    this.many = null;
    this.bag = null;
    this.stamp = 0;
  }

  /** The child for a literal level. */
  child(level: string): Child | null {
    if (this.children !== null) return this.children.get(level) ?? null;
    return this.onlyChild !== null && this.onlyLevel === level ? this.onlyChild : null;
  }

  setChild(level: string, child: Child): void {
    if (this.children !== null) this.children.set(level, child);
    else if (this.onlyChild === null || this.onlyLevel === level) {
      this.onlyLevel = level;
      this.onlyChild = child;
    } else {
      this.children = new Map([
        [this.onlyLevel, this.onlyChild],
        [level, child],
      ]);
      this.onlyLevel = '';
      this.onlyChild = null;
    }
  }

  /** The child for one level of a pattern. */
  step(level: string): Child | null {
    if (level === '+') return this.one;
    if (level === '#') return this.many;
    return this.child(level);
  }

  cut(level: string): void {
    if (level === '+') this.one = null;
    else if (level === '#') this.many = null;
    else if (this.children === null) {
      this.onlyLevel = '';
      this.onlyChild = null;
    } else {
      this.children.delete(level);
      if (this.children.size === 1) {
        for (const [last, child] of this.children) {
          this.onlyLevel = last;
          this.onlyChild = child;
        }
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
  private readonly root = new TrieNode(false);
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
    this.place(binding, levels, this.root, 0);
  }

  /** Puts a binding under `node`, to which levels[0, depth) have led. */
  private place(binding: Binding, levels: readonly string[], from: TrieNode, depth: number): void {
    let node = from;
    // There is no '#' before: where there is, none stands in place of nodes.
    let mayStandAlone = true;
    for (let i = depth; i < levels.length; i++) {
      const level = levels[i]!;
      const there = node.step(level);
      if (there instanceof TrieNode) {
        node = there;
        if (node.loops) mayStandAlone = false;
        continue;
      }
      if (level === '+') node = node.one = new TrieNode(false);
      else if (level === '#') {
        node = node.many = new TrieNode(true);
        mayStandAlone = false;
      } else if (there === null && mayStandAlone) {
        node.setChild(level, binding);
        return;
      } else {
        const grown = new TrieNode(false);
        node.setChild(level, grown);
        // It is not alone any more.
        if (there !== null) this.place(there, wildcardLevels(there.key)!, grown, i + 1);
        node = grown;
      }
    }
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
      if (!(next instanceof TrieNode)) {
        if (!sameBinding(next, binding)) return false;
        node.cut(level);
        this.prune(path, levels);
        this.bindings--;
        return true;
      }
      node = next;
      path.push(node);
    }
    if (node.bag === null) return false;
    const before = bagSize(node.bag);
    node.bag = removeFromBag(node.bag, binding);
    this.prune(path, levels);
    return this.countRemoved(before, node.bag);
  }

  /** What holds nothing any more goes, up to the first node that still does. */
  private prune(path: readonly TrieNode[], levels: readonly string[]): void {
    for (let i = path.length - 1; i > 0 && path[i]!.bare; i--) path[i - 1]!.cut(levels[i - 1]!);
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
      if (child !== null) this.reachChild(child, reached, levels, 1, result);
    } else {
      this.stamp++;
      this.reach(root, next);
      this.advance(next, levels, 0, reached, result);
      next.length = 0;
    }
    for (let i = 1; i < levels.length && reached.length > 0; i++) {
      this.advance(reached, levels, i, next, result);
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

  /** From the nodes reached before levels[at] to those reached after it. */
  private advance(
    from: readonly TrieNode[],
    levels: readonly string[],
    at: number,
    to: TrieNode[],
    result: RouteResult,
  ): void {
    const level = levels[at]!;
    this.stamp++;
    for (let i = 0; i < from.length; i++) {
      const node = from[i]!;
      if (node.loops) this.reach(node, to);
      const child = node.child(level);
      if (child !== null) this.reachChild(child, to, levels, at + 1, result);
      if (node.one !== null) this.reach(node.one, to);
    }
  }

  /** depth: so many levels lead to the child, of the key as of the pattern. */
  private reachChild(
    child: Child,
    list: TrieNode[],
    levels: readonly string[],
    depth: number,
    result: RouteResult,
  ): void {
    if (child instanceof TrieNode) this.reach(child, list);
    else if (restMatches(child.key.split('/'), levels, depth)) result.add(child);
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

/** Whether pattern and key match from level `depth` on. */
function restMatches(pattern: readonly string[], levels: readonly string[], depth: number): boolean {
  let p = depth;
  let l = depth;
  // The last '#', and the first level that is not its own.
  let many = -1;
  let after = depth;
  while (l < levels.length) {
    if (p < pattern.length && pattern[p] === '#') {
      many = p++;
      after = l;
    } else if (p < pattern.length && (pattern[p] === '+' || pattern[p] === levels[l])) {
      p++;
      l++;
    } else if (many >= 0) {
      p = many + 1;
      l = ++after;
    } else return false;
  }
  while (pattern[p] === '#') p++;
  return p === pattern.length;
}
