import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compilePattern,
  covers,
  DOTTED,
  isSubstitutable,
  type Notation,
  patternProblem,
  type Subject,
  TOPIC,
  Unusable,
} from '../../src/auth/pattern.ts';

const SUBJECT: Subject = { user: 'ann', clientId: 'c1', vhost: 'plant' };

function topic(pattern: string, name: string, subject = SUBJECT): boolean {
  return covers(compilePattern(pattern, TOPIC), name, false, subject);
}

function filter(pattern: string, name: string): boolean {
  return covers(compilePattern(pattern, TOPIC), name, true, SUBJECT);
}

/** The definition of matching, written for reading: the levels that `pattern` stands for, tried one after the other. '#' may stand anywhere. */
function matches(pattern: readonly string[], name: readonly string[], top = true): boolean {
  const [level, ...more] = pattern;
  if (level === undefined) return name.length === 0;
  const dollar = top && name[0]?.startsWith('$') === true;
  if (level === '#') {
    if (dollar) return false;
    return matches(more, name, false) || (name.length > 0 && matches(pattern, name.slice(1), false));
  }
  if (name.length === 0) return false;
  return (level === '+' ? !dollar : level === name[0]) && matches(more, name.slice(1), false);
}

const level = fc.constantFrom('a', 'b', '', '$x', 'a+', '#b');
const name = fc.array(level, { minLength: 1, maxLength: 4 });
const word = fc.constantFrom('a', 'b', '', '$x', '+');
const rulePattern = fc
  .tuple(fc.array(word, { maxLength: 3 }), fc.boolean())
  .map(([words, rest]) => (rest ? [...words, '#'] : words))
  .filter((words) => words.length > 0 && words.join('/') !== '');
const subscription = fc.array(fc.constantFrom('a', 'b', '', '$x', '+', '#'), { minLength: 1, maxLength: 4 });

describe('a topic pattern', () => {
  it('matches level by level', () => {
    expect(topic('plant/+/state', 'plant/press/state')).toBe(true);
    expect(topic('plant/+/state', 'plant/press/deep/state')).toBe(false);
    expect(topic('plant/+/state', 'plant/press')).toBe(false);
    expect(topic('plant/#', 'plant')).toBe(true);
    expect(topic('plant/#', 'plant/a/b')).toBe(true);
    expect(topic('plant/#', 'planta')).toBe(false);
    expect(topic('/a', '/a')).toBe(true);
    expect(topic('/a', 'a')).toBe(false);
  });

  it('never reaches what begins with $ by a wildcard', () => {
    expect(topic('#', '$SYS/broker')).toBe(false);
    expect(topic('+/broker', '$SYS/broker')).toBe(false);
    expect(topic('$SYS/#', '$SYS/broker')).toBe(true);
    expect(topic('a/+', 'a/$SYS')).toBe(true);
  });

  it('matches what the definition of matching says, for any pattern and name', () => {
    fc.assert(
      fc.property(rulePattern, name, (pattern, levels) => {
        expect(topic(pattern.join('/'), levels.join('/'))).toBe(matches(pattern, levels));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a subscription', () => {
  it('is covered when all it could receive is', () => {
    expect(filter('plant/#', 'plant/+/state')).toBe(true);
    expect(filter('plant/#', 'plant/#')).toBe(true);
    expect(filter('plant/+', 'plant/+')).toBe(true);
    expect(filter('plant/+', 'plant/#')).toBe(false);
    expect(filter('plant/a', 'plant/+')).toBe(false);
    expect(filter('#', '#')).toBe(true);
    expect(filter('#', '$SYS/#')).toBe(false);
    expect(filter('$SYS/#', '#')).toBe(false);
    expect(filter('plant/#', 'plant/#/state')).toBe(true);
  });

  it('is covered only when each name it matches is matched by the rule, whatever both are', () => {
    fc.assert(
      fc.property(rulePattern, subscription, fc.array(name, { maxLength: 20 }), (pattern, wanted, names) => {
        if (!filter(pattern.join('/'), wanted.join('/'))) return;
        for (const levels of names) if (matches(wanted, levels)) expect(matches(pattern, levels)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('a queue pattern', () => {
  const queue = (pattern: string, queueName: string) =>
    covers(compilePattern(pattern, DOTTED), queueName, false, SUBJECT);

  it('is cut at dots, with * for one word and # for the rest', () => {
    expect(queue('jobs', 'jobs')).toBe(true);
    expect(queue('jobs', 'jobs.a')).toBe(false);
    expect(queue('jobs.*', 'jobs.a')).toBe(true);
    expect(queue('jobs.*', 'jobs.a.b')).toBe(false);
    expect(queue('jobs.#', 'jobs.a.b')).toBe(true);
    expect(queue('#', 'anything/at.all')).toBe(true);
    expect(queue('jobs.a/b', 'jobs.a/b')).toBe(true);
  });

  it('takes a wildcard in the name of a queue for a plain character', () => {
    expect(queue('jobs.a', 'jobs.*')).toBe(false);
    expect(queue('jobs.*', 'jobs.#')).toBe(true);
  });
});

describe('a variable', () => {
  it('stands for one whole level', () => {
    expect(topic('users/%u/#', 'users/ann/x')).toBe(true);
    expect(topic('users/%u/#', 'users/bob/x')).toBe(false);
    expect(topic('%v/%c', 'plant/c1')).toBe(true);
    expect(topic('%v/%c', 'plant/%c')).toBe(false);
  });

  it('is compared literally: it covers exactly the level that is written like it, whoever the user is', () => {
    const notation = fc.constantFrom<Notation>(TOPIC, DOTTED);
    fc.assert(
      fc.property(
        notation,
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        (notation, user, other) => {
          const pattern = compilePattern(['in', '%u', 'x'].join(notation.separator), notation);
          const subject = { ...SUBJECT, user };
          const covered = covers(pattern, ['in', other, 'x'].join(notation.separator), false, subject);
          expect(covered).toBe(user === other && isSubstitutable(user, notation, false));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('has no value when the identity could mean more than itself', () => {
    for (const user of ['+', '#', 'a/b', 'a+', '#a', '', 'a\u0000', 'a\n', '\u007f']) {
      const subject = { ...SUBJECT, user };
      expect(topic('users/%u', `users/${user}`, subject), JSON.stringify(user)).toBe(false);
      expect(covers(compilePattern('users/%u', TOPIC), 'users/x', true, subject, Unusable.MatchesAnything)).toBe(true);
    }
    expect(isSubstitutable('a.b', TOPIC, false)).toBe(true);
    expect(isSubstitutable('a.b', DOTTED, false)).toBe(false);
    expect(isSubstitutable('a*', DOTTED, false)).toBe(false);
  });

  it('does not open the space of $ to a user who calls himself so', () => {
    expect(topic('%u/#', '$SYS/broker', { ...SUBJECT, user: '$SYS' })).toBe(false);
    expect(topic('users/%u', 'users/$SYS', { ...SUBJECT, user: '$SYS' })).toBe(true);
  });
});

describe('a pattern’s text', () => {
  it('is checked', () => {
    expect(patternProblem('a/+/b/#', TOPIC)).toBe('');
    expect(patternProblem('a/#/b', TOPIC)).toBe('# may only be the last level');
    expect(patternProblem('a/b#', TOPIC)).toBe('# must be a whole level');
    expect(patternProblem('a+/b', TOPIC)).toBe('+ must be a whole level');
    expect(patternProblem('a*b', DOTTED)).toBe('* must be a whole level');
    expect(patternProblem('a*b', TOPIC)).toBe('');
    expect(patternProblem('dev-%c', TOPIC)).toBe('%c must be a whole level');
    expect(patternProblem('100%', TOPIC)).toBe('');
    expect(patternProblem('', TOPIC)).toBe('it is empty');
    expect(patternProblem('a\u0000', TOPIC)).toBe('it contains a control character');
    expect(patternProblem('a'.repeat(1025), TOPIC)).toBe('it is longer than 1024 characters');
    expect(patternProblem('/'.repeat(128), TOPIC)).toBe('it has more than 128 levels');
    expect(() => compilePattern('#/a', TOPIC)).toThrow('was checked to be a pattern');
  });
});
