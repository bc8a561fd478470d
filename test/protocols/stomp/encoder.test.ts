import { FrameImpl, type IRawFrameType, Parser } from '@stomp/stompjs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameScanner } from '../../../protocols/stomp/decoder.ts';
import {
  decimalBytes,
  encodeFrame,
  encodeHeaderBlock,
  encodeMessagePrefix,
  frameBytes,
  headerBytes,
  messageHeadBytes,
  messageTailBytes,
  receiptBytes,
  writeDecimal,
  writeFrame,
  writeHeader,
  writeMessageHead,
  writeMessageTail,
  writeReceipt,
} from '../../../protocols/stomp/encoder.ts';
import { COMMAND_NAMES, type CommandName, Frame, Version } from '../../../protocols/stomp/frame.ts';
import { Header } from '../../../protocols/stomp/headers.ts';
import { byteByByte, whole } from './feeder.ts';

const { V1_0, V1_1, V1_2 } = Version;
const ALL = [V1_0, V1_1, V1_2] as const;

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const utf8 = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

describe('an encoded frame', () => {
  it.each([
    ['CONNECTED', V1_2, ['version', '1.2', 'server', 'sluice/1'], '', 'CONNECTED\nversion:1.2\nserver:sluice/1\n\n\0'],
    ['CONNECTED', V1_2, ['session', 'a:b\\c'], '', 'CONNECTED\nsession:a:b\\c\n\n\0'],
    ['CONNECTED', V1_2, ['a:b', 'c\r\nd:e'], '', 'CONNECTED\na_b:c  d:e\n\n\0'],
    ['RECEIPT', V1_0, ['receipt-id', '7'], '', 'RECEIPT\nreceipt-id:7\n\n\0'],
    ['ERROR', V1_1, ['message', 'no: x'], 'why\n', 'ERROR\nmessage:no\\c x\ncontent-length:4\n\nwhy\n\0'],
    ['ERROR', V1_0, ['message', 'no: x'], 'why\n', 'ERROR\nmessage:no: x\ncontent-length:4\n\nwhy\n\0'],
    ['MESSAGE', V1_2, ['k', '\r\n:\\'], 'a\0b', 'MESSAGE\nk:\\r\\n\\c\\\\\ncontent-length:3\n\na\0b\0'],
    ['MESSAGE', V1_1, ['k', '\r\n:\\'], 'a\0b', 'MESSAGE\nk:\r\\n\\c\\\\\ncontent-length:3\n\na\0b\0'],
    ['MESSAGE', V1_0, ['k', '\r\n:\\'], 'a\0b', 'MESSAGE\nk:  :\\\ncontent-length:3\n\na\0b\0'],
    ['MESSAGE', V1_2, ['a:\n', '\0'], '', 'MESSAGE\na\\c\\n: \n\n\0'],
    ['MESSAGE', V1_0, ['a:\n', '\0'], '', 'MESSAGE\na_ : \n\n\0'],
    ['MESSAGE', V1_2, ['content-length', '99', 'a', ''], 'xy', 'MESSAGE\na:\ncontent-length:2\n\nxy\0'],
    ['SEND', V1_2, ['content-length', '99'], '', 'SEND\n\n\0'],
    ['CONNECT', V1_2, ['passcode', 'a:b\\n'], '', 'CONNECT\npasscode:a:b\\n\n\n\0'],
    ['STOMP', V1_1, ['passcode', 'a:b\\n'], '', 'STOMP\npasscode:a:b\\n\n\n\0'],
  ] as const)('%s in version %i is written to the byte: %j', (command, version, headers, body, expected) => {
    const bytes = encodeFrame(new Frame(command, [...headers], body), version);
    expect(latin1(bytes)).toBe(expected);
  });

  it('stands where it was to stand, and touches nothing else', () => {
    const frame = new Frame('MESSAGE', ['größe', '€'], 'body');
    const out = new Uint8Array(200).fill(0xaa);
    const end = writeFrame(out, 50, frame, V1_2);
    expect(end - 50).toBe(frameBytes(frame, V1_2));
    expect(utf8(out.subarray(50, end))).toBe('MESSAGE\ngröße:€\ncontent-length:4\n\nbody\0');
    expect(out.subarray(0, 50).every((byte) => byte === 0xaa)).toBe(true);
    expect(out.subarray(end).every((byte) => byte === 0xaa)).toBe(true);
  });

  it('refuses to have a header without a name, which would be a bug of ours', () => {
    expect(() => encodeFrame(new Frame('MESSAGE', ['', 'x']), V1_2)).toThrow('A header has a name.');
  });

  it('writes UTF-8 as everybody does, and half a surrogate pair as U+FFFD', () => {
    const property = fc.property(fc.string({ unit: 'binary' }), (text) => {
      const value = text.replaceAll(/[\0\r\n:\\]/g, '');
      const bytes = encodeHeaderBlock(['x', value], V1_2);
      expect(latin1(bytes)).toBe(`x:${Buffer.from(value).toString('latin1')}\n`);
    });
    fc.assert(property, { numRuns: 2000 });
    expect(utf8(encodeHeaderBlock(['\ud800', 'a\udc00\ud800'], V1_2))).toBe('\ufffd:a\ufffd\ufffd\n');
  });
});

describe('what is written can be read', () => {
  const body = fc.uint8Array({ maxLength: 300 });
  const anyText = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.string({
      unit: fc.constantFrom('\n', '\r', ':', '\\', '\0', 'n', 'c', 'r', ' ', 'a', 'ü', '€', '😀'),
      maxLength: 8,
    }),
  );
  const sayable: Record<Version, (text: string, name: boolean) => string> = {
    // 1.0 has no escapes, and spaces around a value are padding.
    [V1_0]: (text, name) =>
      name ? text.replaceAll(/[\0\r\n:]/g, '') : text.replaceAll(/[\0\r\n]/g, '').replaceAll(/^ +| +$/g, ''),
    // 1.1 has no escape for CR, and one at the end of a line is taken for a part of the line end.
    [V1_1]: (text, name) => (name ? text.replaceAll('\0', '') : text.replaceAll('\0', '').replace(/\r+$/, '')),
    [V1_2]: (text) => text.replaceAll('\0', ''),
  };

  function headersOf(version: Version): fc.Arbitrary<string[]> {
    const wellFormed = anyText.map((text) => text.replaceAll(/\p{Cs}/gu, ''));
    const name = fc
      .oneof(wellFormed, fc.constantFrom(...Object.keys(Header)))
      .map((text) => sayable[version](text, true));
    const usable = name.filter((text) => text !== '' && text !== 'content-length' && text !== 'accept-version');
    const value = wellFormed.map((text) => sayable[version](text, false));
    return fc.array(fc.tuple(usable, value), { maxLength: 20 }).map((entries) => entries.flat());
  }

  it.each(ALL)('frames of version %i come back as they were, in pieces and whole', (version) => {
    const command = fc.constantFrom<CommandName>('SEND', 'MESSAGE', 'ERROR');
    const frame = fc.tuple(command, headersOf(version), body).map((parts) => new Frame(...parts));
    const property = fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), (frames) => {
      const bytes = Buffer.concat(frames.map((one) => encodeFrame(one, version)));
      for (const outcome of [whole(bytes, version), byteByByte(bytes, version)]) {
        expect(outcome.code).toBeNull();
        expect(outcome.frames.length).toBe(frames.length);
        for (const [i, found] of outcome.frames.entries()) {
          const sent = frames[i]!;
          const length = sent.body.length === 0 ? [] : ['content-length', String(sent.body.length)];
          expect(found.command).toBe(sent.command);
          expect(found.headers).toEqual([...sent.headers, ...length]);
          expect(Buffer.compare(found.body, sent.body)).toBe(0);
        }
      }
    });
    fc.assert(property, { numRuns: 400 });
  });

  it('no header text, in no version and no frame, becomes a second header, a body or another frame', () => {
    const command = fc.constantFrom(...(COMMAND_NAMES.slice(1) as CommandName[]));
    const name = anyText.filter((text) => text !== '' && text !== 'content-length');
    const headers = fc.array(fc.tuple(name, anyText), { maxLength: 6 }).map((entries) => entries.flat());
    const property = fc.property(command, headers, fc.constantFrom(...ALL), (kind, entries, version) => {
      const bytes = encodeFrame(new Frame(kind, entries), version);
      expect(bytes.length).toBe(frameBytes(new Frame(kind, entries), version));
      const { frames, code, left, heartBeats } = whole(bytes, version);
      expect([frames.length, code, left, heartBeats]).toEqual([1, null, 0, 0]);
      expect(frames[0]!.command).toBe(kind);
      expect(frames[0]!.headers.length).toBe(entries.length);
      expect(frames[0]!.body.length).toBe(0);
    });
    fc.assert(property, { numRuns: 4000 });
  });

  it.each([V1_1, V1_2])('a client library of version %i reads the same', (version) => {
    // What that library gets wrong is left out: it trims, does not undo escapes in names, takes the n of an escaped backslash and n for a line end,
    // drops every CR that is not escaped, and has the headers in an object.
    const fair = (text: string) => text.replaceAll(version === V1_1 ? /[\\\r]/g : /\\/g, '').trim();
    const fairName = (text: string) =>
      fair(text)
        .replaceAll(/[:\r\n]/g, '')
        .trim();
    const property = fc.property(headersOf(version), body, (entries, content) => {
      const headers = entries.map((entry, i) => (i % 2 === 0 ? fairName(entry) || 'x' : fair(entry)));
      const frame = new Frame('MESSAGE', headers, content);
      const raw: IRawFrameType[] = [];
      const parser = new Parser(
        (one) => raw.push(one),
        () => expect.unreachable('no line end between frames was sent'),
      );
      const bytes = encodeFrame(frame, version);
      parser.parseChunk(new Uint8Array(bytes).buffer);
      expect(raw.length).toBe(1);
      const read = FrameImpl.fromRawFrame(raw[0]!, true);
      expect(read.command).toBe('MESSAGE');
      expect(Buffer.compare(read.binaryBody, content)).toBe(0);
      for (let i = 0; i < headers.length; i += 2) {
        if (!(headers[i]! in {})) expect(read.headers[headers[i]!]).toBe(frame.header(headers[i]!));
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  it.each([V1_1, V1_2])('what a client library of version %i writes is read the same', (version) => {
    const value = anyText.map((text) => sayable[version](text.replaceAll(/\p{Cs}/gu, ''), false).replaceAll('\r', ''));
    const property = fc.property(value, value, fc.uint8Array({ minLength: 1, maxLength: 50 }), (one, two, content) => {
      const sent = FrameImpl.marshall({
        command: 'SEND',
        headers: { destination: one, other: two },
        body: undefined as unknown as string,
        binaryBody: content,
        escapeHeaderValues: true,
        skipContentLengthHeader: false,
      });
      const bytes = typeof sent === 'string' ? Buffer.from(sent) : new Uint8Array(sent);
      const { frames, code } = whole(bytes, version);
      expect(code).toBeNull();
      expect(frames[0]!.header('destination')).toBe(one);
      expect(frames[0]!.header('other')).toBe(two);
      expect(Buffer.compare(frames[0]!.body, content)).toBe(0);
    });
    fc.assert(property, { numRuns: 300 });
  });
});

describe('decimal digits', () => {
  it('are those of the number, up to the largest whole one', () => {
    const edges = [0, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 1e15, Number.MAX_SAFE_INTEGER];
    const out = new Uint8Array(24);
    const check = (value: number) => {
      const end = writeDecimal(out, 3, value);
      expect(latin1(out.subarray(3, end))).toBe(String(value));
      expect(decimalBytes(value)).toBe(end - 3);
    };
    edges.forEach(check);
    fc.assert(fc.property(fc.maxSafeNat(), check), { numRuns: 1000 });
  });

  it.each([-1, 1.5, Number.NaN])('are refused for %d', (value) => {
    expect(() => writeDecimal(new Uint8Array(24), 0, value)).toThrow();
  });
});

describe('a MESSAGE in two parts', () => {
  it.each([
    [V1_2, 'sub:1', 42, true, true, 'MESSAGE\nsubscription:sub\\c1\nmessage-id:42\nack:42\nredelivered:true\n'],
    [V1_2, 'sub:1', 42, false, false, 'MESSAGE\nsubscription:sub\\c1\nmessage-id:42\n'],
    [V1_1, '0', 7, false, true, 'MESSAGE\nsubscription:0\nmessage-id:7\nredelivered:true\n'],
    [V1_0, null, 7, false, false, 'MESSAGE\nmessage-id:7\n'],
  ] as const)('has in version %i the head of its subscription %j', (version, id, tag, ack, redelivered, expected) => {
    const prefix = encodeMessagePrefix(id, version);
    const out = new Uint8Array(200);
    const end = writeMessageHead(out, 4, prefix, tag, ack, redelivered);
    expect(utf8(out.subarray(4, end))).toBe(expected);
    expect(messageHeadBytes(prefix, tag, ack, redelivered)).toBe(end - 4);
  });

  it('is the same as the whole frame', () => {
    const content = fc.uint8Array({ maxLength: 200 });
    const text = fc.string({ maxLength: 10 });
    const property = fc.property(
      content,
      text,
      text,
      fc.nat(),
      fc.constantFrom(...ALL),
      (bytes, a, b, tag, version) => {
        const headers = ['destination', `/topic/${a}`, `x-${a}`, b];
        const block = encodeHeaderBlock(headers, version);
        const prefix = encodeMessagePrefix('s', version);
        const framed = Buffer.concat([Buffer.alloc(3), bytes, Buffer.alloc(3)]);
        const extra = headerBytes('x-delivery-count', '2', version);
        const size = messageHeadBytes(prefix, tag, true, true) + extra + messageTailBytes(block.length, bytes.length);
        const out = new Uint8Array(size);
        let at = writeMessageHead(out, 0, prefix, tag, true, true);
        at = writeHeader(out, at, 'x-delivery-count', '2', version);
        at = writeMessageTail(out, at, block, framed, 3, 3 + bytes.length);
        expect(at).toBe(size);
        const ids = ['subscription', 's', 'message-id', String(tag), 'ack', String(tag)];
        const whole = new Frame('MESSAGE', [...ids, 'redelivered', 'true', 'x-delivery-count', '2', ...headers], bytes);
        expect(Buffer.compare(out, encodeFrame(whole, version))).toBe(0);
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  it('takes a body out of the memory it is written to', () => {
    const out = Buffer.alloc(200);
    out.write('hello', 150);
    const end = writeMessageTail(out, 0, encodeHeaderBlock(['a', 'b'], V1_2), out, 150, 155);
    expect(latin1(out.subarray(0, end))).toBe('a:b\ncontent-length:5\n\nhello\0');
  });
});

describe('a RECEIPT', () => {
  it('gives the value back as it came', () => {
    const bytes = Buffer.from('SEND\nreceipt:r\\c1\n\n\0');
    const scanner = new FrameScanner();
    scanner.version = V1_2;
    scanner.scan(bytes, 0, bytes.length);
    const { headers } = scanner;
    const index = headers.find(Header.receipt);
    const length = headers.valueEnd(index) - headers.valueStart(index);
    const out = new Uint8Array(100);
    const end = writeReceipt(out, 5, bytes, headers.valueStart(index), headers.valueEnd(index));
    expect(end - 5).toBe(receiptBytes(length));
    const { frames } = whole(out.subarray(5, end), V1_2);
    expect(frames[0]!.command).toBe('RECEIPT');
    expect(frames[0]!.headers).toEqual(['receipt-id', 'r:1']);
  });
});
