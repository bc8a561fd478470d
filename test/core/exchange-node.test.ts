import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../src/core/errors.ts';
import { Exchange, exchangeSpec, PREDECLARED } from '../../src/core/exchange-node.ts';
import { binding, destination } from './bindings.ts';

const FLAGS = { durable: true, autoDelete: false, internal: false };

function exchange(
  type: string,
  args: Readonly<Record<string, string>> = {},
  flags: Partial<typeof FLAGS> = {},
): Exchange {
  return new Exchange(exchangeSpec('test', type, { ...FLAGS, ...flags }, new Map(Object.entries(args))));
}

describe('an exchange', () => {
  test('is of a known type', () => {
    for (const [, type] of PREDECLARED) expect(exchange(type).spec.type).toBe(type);
    expect(() => exchange('nonsense')).toThrow(BrokerError);
    expect(() => exchange('nonsense')).toThrow(/direct, fanout, topic, headers/);
  });

  test('finds the binding that says exactly the same', () => {
    const node = exchange('topic');
    const [a, b] = [destination(), destination()];
    const args = new Map([['x', '1']]);
    const bindings = [binding('k', a), binding('k', b), binding('l', a), binding('k', a, args)];
    for (const one of bindings) node.add(one);
    // A destination may know its bindings; it has some from elsewhere, too.
    const elsewhere = { ...binding('l', b), source: 'elsewhere' };
    const reaching = new Map([
      [a, new Set(bindings.filter(({ destination }) => destination === a))],
      [b, new Set([elsewhere, bindings[1]!])],
    ]);
    for (const known of [true, false]) {
      const find = (to: typeof a, key: string, asked: ReadonlyMap<string, string>) =>
        node.find(to, key, asked, known ? reaching.get(to)! : null);
      expect(find(a, 'k', new Map())).toBe(bindings[0]);
      expect(find(b, 'k', new Map())).toBe(bindings[1]);
      expect(find(a, 'l', new Map())).toBe(bindings[2]);
      expect(find(a, 'k', new Map(args))).toBe(bindings[3]);
      expect(find(a, 'k', new Map([['x', '2']]))).toBeNull();
      expect(find(a, 'k', new Map([['y', '1']]))).toBeNull();
      expect(find(b, 'l', new Map())).toBeNull();
    }
  });

  test('knows which of its bindings lead on to other exchanges', () => {
    const node = exchange('topic');
    const on = binding('k', exchange('topic'));
    node.add(binding('k', destination()));
    node.add(on);
    expect([...node.onward]).toEqual([on]);
    expect(node.remove(on)).toBe(true);
    expect(node.remove(on)).toBe(false);
    expect([node.onward.size, node.bindings.size]).toEqual([0, 1]);
  });

  test('says how a second declaration differs', () => {
    const node = exchange('topic', { 'alternate-exchange': 'a' });
    expect(node.difference(exchange('topic', { 'alternate-exchange': 'a' }).spec)).toBeNull();
    expect(node.difference(exchange('fanout', { 'alternate-exchange': 'a' }).spec)).toBe(
      'type is topic, asked for fanout',
    );
    expect(node.difference(exchange('topic').spec)).toBe('alternate is a, asked for null');
    for (const flag of ['durable', 'autoDelete', 'internal'] as const) {
      const other = exchange('topic', { 'alternate-exchange': 'a' }, { [flag]: !FLAGS[flag] });
      expect(node.difference(other.spec)).toBe(`${flag} is ${FLAGS[flag]}, asked for ${!FLAGS[flag]}`);
    }
  });
});
