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
  return new Exchange(exchangeSpec('e', type, { ...FLAGS, ...flags }, new Map(Object.entries(args))));
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
    for (const one of bindings) node.bindings.add(one);
    expect(node.find(a, 'k', new Map())).toBe(bindings[0]);
    expect(node.find(b, 'k', new Map())).toBe(bindings[1]);
    expect(node.find(a, 'l', new Map())).toBe(bindings[2]);
    expect(node.find(a, 'k', new Map(args))).toBe(bindings[3]);
    expect(node.find(a, 'k', new Map([['x', '2']]))).toBeNull();
    expect(node.find(a, 'k', new Map([['y', '1']]))).toBeNull();
    expect(node.find(b, 'l', new Map())).toBeNull();
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
