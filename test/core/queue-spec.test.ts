import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../src/core/errors.ts';
import { Overflow, type QueueSpec, queueSpec, specDifference } from '../../src/core/queue-spec.ts';

const FLAGS = { durable: true, autoDelete: false, exclusive: false };

function spec(args: Readonly<Record<string, string>>, flags: Partial<typeof FLAGS> = {}): QueueSpec {
  return queueSpec('q', { ...FLAGS, ...flags }, new Map(Object.entries(args)));
}

describe('the arguments of a queue', () => {
  test('become numbers', () => {
    expect(
      spec({
        'x-message-ttl': '0',
        'x-expires': '1',
        'x-max-length': '2',
        'x-max-length-bytes': '3',
        'x-max-priority': '255',
        'x-overflow': 'reject-publish',
        'x-queue-type': 'classic',
      }),
    ).toMatchObject({
      messageTtlMs: 0,
      expiresMs: 1,
      lengthMax: 2,
      bytesMax: 3,
      priorityMax: 255,
      overflow: Overflow.RejectPublish,
    });
  });

  test('are no limits where there are none', () => {
    expect(spec({})).toMatchObject({
      ...FLAGS,
      messageTtlMs: null,
      expiresMs: null,
      lengthMax: null,
      bytesMax: null,
      priorityMax: 0,
      overflow: Overflow.DropHead,
    });
  });

  test('that nobody knows are kept for comparison', () => {
    expect(spec({ 'x-of-mine': 'yes' }).args.get('x-of-mine')).toBe('yes');
  });

  test.each([
    ['x-message-ttl', '-1'],
    ['x-message-ttl', '1.5'],
    ['x-message-ttl', ''],
    ['x-message-ttl', ' 1'],
    ['x-message-ttl', '1e3'],
    ['x-message-ttl', '99999999999999999'],
    ['x-expires', '0'],
    ['x-max-length', 'many'],
    ['x-max-length-bytes', '0x10'],
    ['x-max-length-bytes', '9999999999999999'],
    ['x-max-priority', '256'],
    ['x-overflow', 'drop-tail'],
    ['x-queue-type', 'quorum'],
  ])('%s may not be %j, and the refusal says what may', (name, value) => {
    let error: unknown;
    try {
      spec({ [name]: value });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(BrokerError);
    expect(error).toMatchObject({ code: 'invalid-argument' });
    expect((error as BrokerError).message).toContain(`${name}: '${value}'`);
  });

  test('may be changed by their owner without changing the queue', () => {
    const args = new Map([['x-max-length', '1']]);
    const made = queueSpec('q', FLAGS, args);
    args.set('x-max-length', '2');
    expect(made.args.get('x-max-length')).toBe('1');
    expect(Object.isFrozen(made)).toBe(true);
  });
});

describe('a second declaration', () => {
  test('fits when it says the same', () => {
    expect(specDifference(spec({ 'x-max-length': '1' }), spec({ 'x-max-length': '1' }))).toBeNull();
  });

  test.each<[Partial<typeof FLAGS>, Readonly<Record<string, string>>, string]>([
    [{ durable: false }, {}, 'durable is true, asked for false'],
    [{ autoDelete: true }, {}, 'autoDelete is false, asked for true'],
    [{ exclusive: true }, {}, 'exclusive is false, asked for true'],
    [{}, { 'x-max-length': '2' }, 'x-max-length is not set, asked for 2'],
  ])('does not where it differs: %j %j', (flags, args, difference) => {
    expect(specDifference(spec({}), spec(args, flags))).toBe(difference);
  });

  test('does not where it says less or something else', () => {
    expect(specDifference(spec({ 'x-a': '1' }), spec({}))).toBe('x-a is 1, asked for not set');
    expect(specDifference(spec({ 'x-a': '1' }), spec({ 'x-a': '2' }))).toBe('x-a is 1, asked for 2');
  });
});
