// One, some or many bindings under one key. Most keys have a single binding, so that one is kept bare: a million patterns cost no million arrays. A key
// that many share (10,000 subscribers of one topic) turns into a set, whose removal does not scan. All forms keep the order of arrival.
import type { Binding } from './binding.ts';
import type { RouteResult } from './exchange.ts';

export type BindingBag = Binding | Binding[] | Set<Binding>;

/** From here on a set: below it, finding a binding in an array is as fast. */
const SET_FROM = 32;

/** The bag with one more binding; the old one must not be used any more. */
export function addToBag(bag: BindingBag | undefined | null, binding: Binding): BindingBag {
  if (bag === undefined || bag === null) return binding;
  if (bag instanceof Set) return bag.add(binding);
  if (!Array.isArray(bag)) return [bag, binding];
  if (bag.length + 1 >= SET_FROM) return new Set(bag).add(binding);
  // Not push(), which makes room for sixteen more.
  return bag.concat(binding);
}

/** The bag without the binding (or an equal one), null when nothing is left. What is not there is not missed. */
export function removeFromBag(bag: BindingBag, binding: Binding): BindingBag | null {
  if (bag instanceof Set) {
    if (!bag.delete(binding)) {
      for (const other of bag) {
        if (!sameBinding(other, binding)) continue;
        bag.delete(other);
        break;
      }
    }
    return bag.size === 0 ? null : bag;
  }
  if (!Array.isArray(bag)) return sameBinding(bag, binding) ? null : bag;
  let index = bag.indexOf(binding);
  if (index < 0) index = bag.findIndex((other) => sameBinding(other, binding));
  if (index >= 0) bag.splice(index, 1);
  return bag.length > 1 ? bag : (bag[0] ?? null);
}

export function bagSize(bag: BindingBag): number {
  if (bag instanceof Set) return bag.size;
  return Array.isArray(bag) ? bag.length : 1;
}

export function addBagTo(result: RouteResult, bag: BindingBag): void {
  if (bag instanceof Set) {
    for (const binding of bag) result.add(binding);
  } else if (Array.isArray(bag)) {
    for (let i = 0; i < bag.length; i++) result.add(bag[i]!);
  } else {
    result.add(bag);
  }
}

/** Equal as values: an exchange holds at most one of the two. */
export function sameBinding(a: Binding, b: Binding): boolean {
  if (a === b) return true;
  if (a.destination !== b.destination || a.key !== b.key || a.args.size !== b.args.size) return false;
  for (const [name, value] of a.args) {
    if (b.args.get(name) !== value) return false;
  }
  return true;
}
