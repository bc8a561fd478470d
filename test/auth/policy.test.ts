import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicy, isAllowed, NOTHING_ALLOWED, type Rule, type Rules } from '../../src/auth/policy.ts';
import type { Action, Resource } from '../../src/core/authorizer.ts';

const topic = (name: string, vhost = '/'): Resource => ({ vhost, kind: 'topic', name, key: name });
const queue = (name: string, vhost = '/'): Resource => ({ vhost, kind: 'queue', name, key: '' });
const exchange = (name: string, key = '', vhost = '/'): Resource => ({ vhost, kind: 'exchange', name, key });

function may(rules: Rules, action: Action, resource: Resource, user = 'ann', clientId = 'c1'): boolean {
  return isAllowed(compilePolicy(rules), user, clientId, action, resource);
}

const ALL: readonly Action[] = ['publish', 'subscribe', 'configure'];

describe('without rules', () => {
  it('everything may be done to topics, queues and exchanges', () => {
    for (const action of ALL) {
      for (const resource of [topic('a/b'), queue('jobs'), exchange('orders', 'eu/x'), exchange('orders')]) {
        expect(may({}, action, resource)).toBe(true);
      }
    }
    expect(may({}, 'subscribe', topic('#'))).toBe(true);
  });

  it('the broker’s own topics may be read where they are for reading, and never be written', () => {
    expect(may({}, 'subscribe', topic('$SYS/#'))).toBe(true);
    expect(may({}, 'subscribe', topic('$event/queue/created'))).toBe(true);
    expect(may({}, 'subscribe', topic('$CONTROL/x'))).toBe(false);
    expect(may({}, 'publish', topic('$SYS/broker/uptime'))).toBe(false);
    expect(may({}, 'publish', topic('$event/queue/created'))).toBe(false);
    expect(may({}, 'publish', topic('$anything'))).toBe(false);
  });
});

describe('allow', () => {
  const rules: Rules = {
    allow: [
      { actions: ['publish'], topics: ['users/%u/#'] },
      { actions: ['subscribe'], topics: ['plant/+/state'], queues: ['jobs.*'] },
      { actions: ['configure'], queues: ['jobs.*'], vhosts: ['plant'] },
      { actions: ['publish'], exchanges: ['orders/eu/#', 'log'] },
    ],
  };

  it('is the whole of what is allowed', () => {
    expect(may(rules, 'publish', topic('users/ann/x'))).toBe(true);
    expect(may(rules, 'publish', topic('users/bob/x'))).toBe(false);
    expect(may(rules, 'subscribe', topic('users/ann/x'))).toBe(false);
    expect(may(rules, 'subscribe', topic('plant/+/state'))).toBe(true);
    expect(may(rules, 'subscribe', topic('plant/#'))).toBe(false);
    expect(may(rules, 'subscribe', topic('plant/press/state'))).toBe(true);
    expect(may(rules, 'subscribe', queue('jobs.a'))).toBe(true);
    expect(may(rules, 'publish', queue('jobs.a'))).toBe(false);
    expect(may(rules, 'subscribe', topic('$SYS/broker'))).toBe(false);
  });

  it('may hold for some virtual hosts', () => {
    expect(may(rules, 'configure', queue('jobs.a', 'plant'))).toBe(true);
    expect(may(rules, 'configure', queue('jobs.a', '/'))).toBe(false);
  });

  it('may hold for some routing keys of an exchange', () => {
    expect(may(rules, 'publish', exchange('orders', 'eu/x'))).toBe(true);
    expect(may(rules, 'publish', exchange('orders', 'us/x'))).toBe(false);
    expect(may(rules, 'publish', exchange('log', 'any/thing'))).toBe(true);
    expect(may(rules, 'publish', exchange('logs', 'any/thing'))).toBe(false);
  });

  it('that is empty allows nothing', () => {
    for (const action of ALL) expect(may({ allow: [] }, action, topic('a'))).toBe(false);
    expect(isAllowed(NOTHING_ALLOWED, 'ann', 'c1', 'publish', topic('a'))).toBe(false);
  });
});

describe('deny', () => {
  it('beats allow', () => {
    const rules: Rules = {
      allow: [{ actions: ALL, topics: ['#'] }],
      deny: [{ actions: ['publish', 'subscribe'], topics: ['plant/secret/#'] }],
    };
    expect(may(rules, 'publish', topic('plant/x'))).toBe(true);
    expect(may(rules, 'publish', topic('plant/secret'))).toBe(false);
    expect(may(rules, 'subscribe', topic('plant/secret/+'))).toBe(false);
    // The subscription stands, and each delivery is asked about by itself.
    expect(may(rules, 'subscribe', topic('plant/#'))).toBe(true);
    expect(may(rules, 'subscribe', topic('plant/secret/x'))).toBe(false);
  });

  it('without allow takes away from what everybody may', () => {
    const rules: Rules = { deny: [{ actions: ['publish'], queues: ['#'] }] };
    expect(may(rules, 'publish', queue('jobs'))).toBe(false);
    expect(may(rules, 'subscribe', queue('jobs'))).toBe(true);
  });

  it('takes hold of an identity that cannot be substituted', () => {
    const rules: Rules = { deny: [{ actions: ['publish'], topics: ['quota/%c'] }] };
    expect(may(rules, 'publish', topic('quota/c1'), 'ann', 'c1')).toBe(false);
    expect(may(rules, 'publish', topic('quota/c2'), 'ann', 'c1')).toBe(true);
    expect(may(rules, 'publish', topic('quota/c2'), 'ann', '#')).toBe(false);
  });

  it('always wins, and never allows: more deny is never more', () => {
    const word = fc.constantFrom('a', 'b', '%u', '+');
    const pattern = fc
      .tuple(fc.array(word, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([words, rest]) => [...words, ...(rest ? ['#'] : [])].join('/'));
    const rule: fc.Arbitrary<Rule> = fc.record({
      actions: fc.subarray([...ALL], { minLength: 1 }),
      topics: fc.array(pattern, { maxLength: 3 }),
    });
    const list = fc.array(rule, { maxLength: 4 });
    const resource = fc
      .array(fc.constantFrom('a', 'b', '$x'), { minLength: 1, maxLength: 4 })
      .map((levels) => topic(levels.join('/')));
    fc.assert(
      fc.property(
        list,
        list,
        rule,
        fc.constantFrom(...ALL),
        resource,
        fc.constantFrom('a', '#'),
        (allow, deny, more, action, wanted, user) => {
          const before = may({ allow, deny }, action, wanted, user);
          const after = may({ allow, deny: [...deny, more] }, action, wanted, user);
          if (after) expect(before).toBe(true);
          if (may({ allow: [more] }, action, wanted, user)) expect(after).toBe(false);
          if (before) expect(may({ allow }, action, wanted, user)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('one thing by two names', () => {
  const rules: Rules = { allow: [{ actions: ALL, topics: ['a/#'], queues: ['q'] }] };

  it('has one permission: the topic exchange is topics, the default exchange is queues, the event exchange is $event', () => {
    expect(may(rules, 'publish', exchange('amq.topic', 'a/b'))).toBe(true);
    expect(may(rules, 'publish', exchange('amq.topic', 'b'))).toBe(false);
    expect(may(rules, 'subscribe', exchange('amq.topic', '#'))).toBe(false);
    expect(may(rules, 'publish', exchange('', 'q'))).toBe(true);
    expect(may(rules, 'publish', exchange('', 'r'))).toBe(false);
    expect(may({}, 'publish', exchange('sluice.event', 'queue/created'))).toBe(false);
    expect(may({}, 'subscribe', exchange('sluice.event', 'queue/created'))).toBe(true);
  });

  it('denies by either name', () => {
    const denied: Rules = { deny: [{ actions: ALL, topics: ['secret/#'] }] };
    expect(may(denied, 'publish', exchange('amq.topic', 'secret/x'))).toBe(false);
    expect(may(denied, 'subscribe', exchange('amq.topic', 'secret/#'))).toBe(false);
  });
});
