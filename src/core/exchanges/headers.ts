// headers: a message goes to the bindings whose arguments match its headers; the routing key plays no part. The argument x-match says how:
//
//   all (or none given)   every argument is among the message's headers
//   any                   at least one is
//   all-with-x, any-with-x   the same, where arguments whose name starts with "x-" count too; the first two leave them out
//
// An empty `all` matches every message, an empty `any` none. Of a header that a message carries several times, every value counts.
//
// Bindings are found through an index from (name, value) to those that ask for it: an `any` binding stands under each of its pairs, an `all` binding under
// the one that the fewest others stand under. A message costs one look-up per header, plus the candidates found.

import { assert } from '../../lib/assert.ts';
import { type Binding, NO_LOCAL_ARGUMENT } from '../binding.ts';
import { sameBinding } from '../binding-bag.ts';
import { BrokerError } from '../errors.ts';
import type { RouteResult, Router } from '../exchange.ts';
import type { Message } from '../message.ts';
import type { RoutingKey } from '../routing-key.ts';
import { SELECTOR_ARGUMENT } from '../selector/selector.ts';

class Candidate {
  readonly binding: Binding;
  /** What has to be there; null for `any`, where being found is enough. */
  readonly required: readonly string[] | null;
  /** The pairs it stands under in the index. */
  readonly indexed: readonly string[];
  /** The last routing that added it. */
  stamp: number;

  constructor(binding: Binding, required: readonly string[] | null, indexed: readonly string[]) {
    this.binding = binding;
    this.required = required;
    this.indexed = indexed;
    this.stamp = 0;
  }
}

export class HeadersRouter implements Router {
  readonly routesByKey = false;
  private readonly candidates = new Map<Binding, Candidate>();
  private readonly index = new Map<string, Set<Candidate>>();
  /** `all` bindings without any argument. */
  private readonly always = new Set<Candidate>();
  private readonly present = new Set<string>();
  private stamp = 0;

  bind(binding: Binding): void {
    const match = binding.args.get('x-match') ?? 'all';
    const withX = match.endsWith('-with-x');
    const kind = withX ? match.slice(0, -'-with-x'.length) : match;
    if (kind !== 'all' && kind !== 'any') {
      throw new BrokerError('invalid-argument', `x-match is "${match}"; it must be all, any, all-with-x or any-with-x`);
    }
    const pairs: string[] = [];
    for (const [name, value] of binding.args) {
      if (
        name === 'x-match' ||
        name === SELECTOR_ARGUMENT ||
        name === NO_LOCAL_ARGUMENT ||
        (!withX && name.startsWith('x-'))
      )
        continue;
      pairs.push(pair(name, value));
    }
    const candidate =
      kind === 'any' ? new Candidate(binding, null, pairs) : new Candidate(binding, pairs, this.rarest(pairs));
    this.candidates.set(binding, candidate);
    if (kind === 'all' && pairs.length === 0) this.always.add(candidate);
    for (const text of candidate.indexed) {
      const bucket = this.index.get(text);
      if (bucket === undefined) this.index.set(text, new Set([candidate]));
      else bucket.add(candidate);
    }
  }

  unbind(binding: Binding): void {
    const candidate = this.find(binding);
    if (candidate === null) return;
    this.candidates.delete(candidate.binding);
    this.always.delete(candidate);
    for (const text of candidate.indexed) {
      const bucket = this.index.get(text)!;
      bucket.delete(candidate);
      if (bucket.size === 0) this.index.delete(text);
    }
  }

  route(_key: RoutingKey, message: Message | null, result: RouteResult): void {
    assert(message !== null, 'a headers exchange routes messages, not keys');
    for (const candidate of this.always) result.add(candidate.binding);
    if (this.index.size === 0) return;
    const headers = message.headers;
    const present = this.present;
    for (let i = 0; i + 1 < headers.length; i += 2) present.add(pair(headers[i]!, headers[i + 1]!));
    const stamp = ++this.stamp;
    for (const text of present) {
      const bucket = this.index.get(text);
      if (bucket === undefined) continue;
      for (const candidate of bucket) {
        if (candidate.stamp === stamp || !allPresent(candidate.required, present)) continue;
        candidate.stamp = stamp;
        result.add(candidate.binding);
      }
    }
    present.clear();
  }

  private rarest(pairs: readonly string[]): readonly string[] {
    let best: string | null = null;
    let bestSize = Number.POSITIVE_INFINITY;
    for (const text of pairs) {
      const size = this.index.get(text)?.size ?? 0;
      if (size >= bestSize) continue;
      best = text;
      bestSize = size;
    }
    return best === null ? [] : [best];
  }

  private find(binding: Binding): Candidate | null {
    const known = this.candidates.get(binding);
    if (known !== undefined) return known;
    for (const candidate of this.candidates.values()) {
      if (sameBinding(candidate.binding, binding)) return candidate;
    }
    return null;
  }
}

/** Name and value as one text; the length in front keeps ('a=b', 'c') and ('a', 'b=c') apart. */
function pair(name: string, value: string): string {
  return `${name.length}:${name}=${value}`;
}

function allPresent(required: readonly string[] | null, present: ReadonlySet<string>): boolean {
  if (required === null) return true;
  for (let i = 0; i < required.length; i++) {
    if (!present.has(required[i]!)) return false;
  }
  return true;
}
