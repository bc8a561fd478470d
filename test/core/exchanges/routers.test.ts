import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { topicAddress } from '../../../src/core/address.ts';
import type { Binding } from '../../../src/core/binding.ts';
import type { Router } from '../../../src/core/exchange.ts';
import { createRouter, EXCHANGE_TYPES } from '../../../src/core/exchanges/registry.ts';
import { Message } from '../../../src/core/message.ts';
import { NO_PROPERTIES } from '../../../src/core/properties.ts';
import { binding, destination, matchesPattern, routed } from '../bindings.ts';

function router(type: string): Router {
  const made = createRouter(type);
  if (made === null) throw new Error(`no exchange type ${type}`);
  return made;
}

function message(headers: readonly string[]): Message {
  return new Message(topicAddress('k'), new Uint8Array(0), NO_PROPERTIES, headers, 0, false, 0, 0, 0, null);
}

/** What x-match means, in the plainest way. */
function matchesHeaders(args: ReadonlyMap<string, string>, headers: readonly string[]): boolean {
  const kind = args.get('x-match') ?? 'all';
  const wanted = [...args].filter(
    ([name]) => name !== 'x-match' && (kind.endsWith('-with-x') || !name.startsWith('x-')),
  );
  const has = ([name, value]: [string, string]): boolean =>
    headers.some((text, i) => i % 2 === 0 && text === name && headers[i + 1] === value);
  return kind.startsWith('all') ? wanted.every(has) : wanted.some(has);
}

describe('every exchange type', () => {
  test.each(EXCHANGE_TYPES)('%s forgets a binding that was taken away, and knows one destination once', (type) => {
    const one = router(type);
    const target = destination();
    const bindings = [binding('a', target), binding('a'), binding('a', target, new Map([['h', 'v']]))];
    const sent = one.routesByKey ? null : message(['h', 'v']);
    for (const each of bindings) one.bind(each);
    expect(routed(one, 'a', sent)).toEqual(bindings);
    one.unbind(bindings[1]!);
    one.unbind(bindings[1]!);
    expect(routed(one, 'a', sent)).toEqual([bindings[0], bindings[2]]);
    one.unbind(binding('a', target));
    one.unbind(bindings[2]!);
    expect(routed(one, 'a', sent)).toEqual([]);
  });

  test('a type that does not exist has no router', () => {
    expect(createRouter('x-unknown')).toBeNull();
    expect(createRouter('toString')).toBeNull();
    expect(EXCHANGE_TYPES).toEqual(['direct', 'fanout', 'topic', 'headers']);
  });
});

describe('direct exchange', () => {
  test('the key is taken literally, wildcards included', () => {
    const one = router('direct');
    const bindings = ['#', '+', 'a/b', 'a/+', ''].map((key) => binding(key));
    for (const each of bindings) one.bind(each);
    expect(routed(one, 'a/b').map((found) => found.key)).toEqual(['a/b']);
    expect(routed(one, '#').map((found) => found.key)).toEqual(['#']);
    expect(routed(one, '').map((found) => found.key)).toEqual(['']);
    expect(routed(one, 'a/c')).toEqual([]);
  });
});

describe('fanout exchange', () => {
  test('the key plays no part', () => {
    const one = router('fanout');
    const bindings = [binding(''), binding('a'), binding('x/#')];
    for (const each of bindings) one.bind(each);
    expect(routed(one, 'whatever')).toEqual(bindings);
  });
});

describe('topic exchange', () => {
  test('patterns match', () => {
    const one = router('topic');
    const bindings = ['a/+', 'a/#', '+/b', 'a/b', 'b/#', '#/b'].map((key) => binding(key));
    for (const each of bindings) one.bind(each);
    expect(routed(one, 'a/b')).toEqual(bindings.filter((each) => matchesPattern(each.key, 'a/b')));
    expect(routed(one, 'a')).toEqual([bindings[1]]);
  });
});

describe('headers exchange', () => {
  function bound(...args: Record<string, string>[]): { one: Router; bindings: Binding[] } {
    const one = router('headers');
    const bindings = args.map((each) => binding('', destination(), new Map(Object.entries(each))));
    for (const each of bindings) one.bind(each);
    return { one, bindings };
  }

  test('all asks for every argument, any for one', () => {
    const { one, bindings } = bound(
      { format: 'pdf', type: 'report' },
      { 'x-match': 'all', format: 'pdf', type: 'report' },
      { 'x-match': 'any', format: 'pdf', type: 'log' },
      { 'x-match': 'any', format: 'zip', type: 'log' },
    );
    expect(routed(one, '', message(['type', 'report', 'format', 'pdf', 'other', '1']))).toEqual(bindings.slice(0, 3));
    expect(routed(one, '', message(['format', 'pdf']))).toEqual([bindings[2]]);
    expect(routed(one, '', message([]))).toEqual([]);
  });

  test('arguments that start with x- count only with -with-x', () => {
    const { one, bindings } = bound(
      { 'x-match': 'all', 'x-kind': 'a', k: '1' },
      { 'x-match': 'all-with-x', 'x-kind': 'a', k: '1' },
      { 'x-match': 'any', 'x-kind': 'b' },
      { 'x-match': 'any-with-x', 'x-kind': 'b' },
    );
    expect(routed(one, '', message(['k', '1']))).toEqual([bindings[0]]);
    expect(routed(one, '', message(['k', '1', 'x-kind', 'a']))).toEqual([bindings[0], bindings[1]]);
    expect(routed(one, '', message(['x-kind', 'b']))).toEqual([bindings[3]]);
  });

  test('an empty all matches everything, an empty any nothing', () => {
    const { one, bindings } = bound({}, { 'x-match': 'any' }, { 'x-match': 'all', 'x-only': '1' });
    expect(routed(one, '', message([]))).toEqual([bindings[0], bindings[2]]);
    expect(routed(one, '', message(['a', 'b']))).toEqual([bindings[0], bindings[2]]);
  });

  test('every value of a repeated header counts', () => {
    const { one, bindings } = bound({ tag: 'a' }, { tag: 'b' }, { tag: 'c' });
    expect(routed(one, '', message(['tag', 'a', 'tag', 'b']))).toEqual(bindings.slice(0, 2));
  });

  test('names and values that run into each other are kept apart', () => {
    const { one, bindings } = bound({ 'a=b': 'c' }, { a: 'b=c' });
    expect(routed(one, '', message(['a', 'b=c']))).toEqual([bindings[1]]);
    expect(routed(one, '', message(['a=b', 'c']))).toEqual([bindings[0]]);
  });

  test('an unknown x-match is refused and leaves nothing behind', () => {
    const { one } = bound();
    for (const kind of ['none', '', 'ALL', 'all-with-y', '-with-x']) {
      const bad = binding('', destination(), new Map([['x-match', kind]]));
      expect(() => one.bind(bad)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
    }
    expect(routed(one, '', message([]))).toEqual([]);
  });

  test('it finds what the naive matcher finds, while bindings come and go', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'x-a', 'x-b');
    const value = fc.constantFrom('1', '2', '');
    const args = fc
      .tuple(
        fc.dictionary(name, value, { maxKeys: 4, noNullPrototype: true }),
        fc.constantFrom('', 'all', 'any', 'all-with-x', 'any-with-x'),
      )
      .map(([pairs, kind]) => new Map(Object.entries(kind === '' ? pairs : { ...pairs, 'x-match': kind })));
    const headers = fc.array(fc.tuple(name, value), { maxLength: 5 }).map((pairs) => pairs.flat());
    fc.assert(
      fc.property(
        fc.array(args, { maxLength: 20 }),
        fc.array(headers, { maxLength: 6 }),
        fc.nat(6),
        (all, sent, every) => {
          const one = router('headers');
          const bindings = all.map((each) => binding('', destination(), each));
          for (const each of bindings) one.bind(each);
          const left = bindings.filter((_, i) => every === 0 || i % every !== 0);
          for (const each of bindings) if (!left.includes(each)) one.unbind(each);
          for (const each of sent) {
            expect(routed(one, '', message(each))).toEqual(left.filter((b) => matchesHeaders(b.args, each)));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
