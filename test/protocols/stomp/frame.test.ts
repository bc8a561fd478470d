import { describe, expect, it } from 'vitest';
import {
  COMMAND_NAMES,
  Command,
  Frame,
  isClientCommand,
  isNeverEscaped,
  mayHaveBody,
} from '../../../protocols/stomp/frame.ts';
import { HEADER_NAMES, HEADER_NUMBERS, Header, headerNumber } from '../../../protocols/stomp/headers.ts';

describe('a STOMP frame object', () => {
  it('answers with the first of repeated headers', () => {
    const frame = new Frame('SEND', ['foo', 'World', 'foo', 'Hello']).add('bar', 'x').add('foo', 'y');
    expect(frame.header('foo')).toBe('World');
    expect(frame.header('bar')).toBe('x');
    expect(frame.header('World')).toBeNull();
    expect(frame.header('baz')).toBeNull();
  });

  it('has a body of bytes, made of text or readable as text', () => {
    expect([...new Frame('SEND', [], 'ü').body]).toEqual([0xc3, 0xbc]);
    expect(new Frame('SEND', [], Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)).text()).toBe('\ufeffa');
    expect(new Frame('ACK').body.length).toBe(0);
  });
});

describe('the commands', () => {
  const named = (test: (command: number) => boolean) => COMMAND_NAMES.filter((_, command) => test(command));

  it('are numbered as they are named', () => {
    for (const [name, command] of Object.entries(Command)) {
      expect(COMMAND_NAMES[command]).toBe(name === 'NONE' ? '' : name);
    }
  });

  it('are the client’s or the server’s', () => {
    expect(named((command) => command > 0 && !isClientCommand(command))).toEqual([
      'CONNECTED',
      'MESSAGE',
      'RECEIPT',
      'ERROR',
    ]);
    expect(isClientCommand(Command.NONE)).toBe(false);
  });

  it('may have bodies and escapes as the specification says', () => {
    expect(named(mayHaveBody)).toEqual(['SEND', 'MESSAGE', 'ERROR']);
    expect(named(isNeverEscaped)).toEqual(['CONNECT', 'STOMP', 'CONNECTED']);
  });
});

describe('the known header names', () => {
  it('are found wherever they stand, and nothing else is', () => {
    for (const [name, number] of Object.entries(Header)) {
      const bytes = Buffer.from(`::${name}::`);
      expect(headerNumber(bytes, 2, 2 + name.length)).toBe(number);
      expect(HEADER_NAMES[number]).toBe(name);
      expect(headerNumber(bytes, 1, 2 + name.length)).toBe(0);
      if (!(name.slice(0, -1) in Header) && name.length > 1) expect(headerNumber(bytes, 2, 1 + name.length)).toBe(0);
      for (let i = 0; i < name.length; i++) {
        const other = Buffer.from(name);
        other[i] = other[i]! ^ 0x20;
        expect(headerNumber(other, 0, other.length)).toBe(0);
      }
    }
    expect(HEADER_NUMBERS).toBe(Object.keys(Header).length + 1);
  });
});
