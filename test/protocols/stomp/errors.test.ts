import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../../protocols/stomp/encoder.ts';
import { ERROR_TEXTS, errorFrame, errorText, quoted, stompError } from '../../../protocols/stomp/errors.ts';
import { Version } from '../../../protocols/stomp/frame.ts';
import { BrokerError, ProtocolError } from '../../../src/core/errors.ts';
import { whole } from './feeder.ts';

describe('a STOMP error', () => {
  it('is a ProtocolError with its code and no reason number', () => {
    const error = stompError('body-too-large', 'body of more than 5 bytes (stomp.bodyBytesMax)');
    expect(error).toBeInstanceOf(ProtocolError);
    expect([error.code, error.reason]).toEqual(['body-too-large', 0]);
  });

  it('becomes an ERROR frame with a short message, the receipt of the frame at fault, and a body that helps', () => {
    const frame = errorFrame(stompError('header-malformed', 'header line 3 has no colon'), 'r:7');
    expect(frame.command).toBe('ERROR');
    expect(frame.headers).toEqual([
      'message',
      'malformed frame received',
      'content-type',
      'text/plain;charset=utf-8',
      'receipt-id',
      'r:7',
    ]);
    expect(frame.text()).toBe(
      'header line 3 has no colon\nA header line is name:value; an empty line ends the headers.\n',
    );
  });

  it.each([
    ['not-found', 'not_found', 'NOT_FOUND - '],
    ['access-refused', 'access_refused', 'ACCESS_REFUSED - '],
    ['precondition-failed', 'precondition_failed', 'PRECONDITION_FAILED - '],
    ['resource-locked', 'resource_locked', 'RESOURCE_LOCKED - '],
    ['invalid-argument', 'precondition_failed', 'PRECONDITION_FAILED - '],
  ] as const)('says %s in the words that clients match on', (code, message, start) => {
    const frame = errorFrame(new BrokerError(code, "no queue 'jobs' in vhost '/'"), null);
    expect(frame.header('message')).toBe(message);
    expect(frame.text()).toBe(`${start}no queue 'jobs' in vhost '/'\n`);
    expect(frame.header('receipt-id')).toBeNull();
  });

  it('lists the supported versions when there is none in common', () => {
    const frame = errorFrame(stompError('version-unsupported', 'no version in common with 2.0'), null);
    expect(frame.header('version')).toBe('1.0,1.1,1.2');
    expect(frame.text()).toContain('1.0, 1.1 and 1.2');
  });

  it.each(['ENOENT', 'toString', '__proto__', 'constructor'])('tells nothing of an error that is ours (%s)', (code) => {
    expect(errorText(code)).toBeNull();
    const frame = errorFrame({ code, message: '/var/lib/secret' }, null);
    expect(frame.header('message')).toBe('internal_error');
    expect(frame.text()).not.toContain('secret');
    expect(frame.text().startsWith('INTERNAL_ERROR\n')).toBe(true);
  });

  it.each(Object.entries(ERROR_TEXTS))('%s has texts that fit on the wire', (code, { message, word, help }) => {
    expect(code).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    expect(message).toMatch(/^[ -~]+$/);
    expect(message.length).toBeLessThanOrEqual(40);
    expect(help === '' || help.endsWith('.')).toBe(true);
    expect(word).toBe(word.toUpperCase());
    const bytes = encodeFrame(errorFrame({ code, message: 'it is so' }, 'r1'), Version.V1_2);
    const { frames } = whole(bytes, Version.V1_2);
    expect(frames[0]!.header('message')).toBe(message);
    expect(frames[0]!.header('receipt-id')).toBe('r1');
    expect(frames[0]!.text()).toContain('it is so');
  });
});

describe('bytes of a peer in a message', () => {
  it('are shown as printable ASCII, and not too many of them', () => {
    const bytes = Buffer.from('a"b\r\n\u001b[31m\0\u00fc');
    expect(quoted(bytes, 0, bytes.length)).toBe('"a.b...[31m..."');
    expect(quoted(bytes, 0, 1)).toBe('"a"');
    expect(quoted(Buffer.alloc(100, 0x78), 10, 90)).toBe(`"${'x'.repeat(32)}…"`);
  });
});
