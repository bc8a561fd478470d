import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_FRAME_LIMITS, type FrameLimits, FrameScanner, Scan } from '../../../protocols/stomp/decoder.ts';
import { Command, type Frame, Version, versionText } from '../../../protocols/stomp/frame.ts';
import { HeaderFlag } from '../../../protocols/stomp/header-index.ts';
import { Header } from '../../../protocols/stomp/headers.ts';
import { ProtocolError } from '../../../src/core/errors.ts';
import { byteByByte, cutAt, Feeder, type Outcome, pieces, whole } from './feeder.ts';
import { reference } from './reference.ts';
import { type ExpectedFrame, VECTORS } from './vectors.ts';

const encoder = new TextEncoder();
const bytesOf = (text: string) => encoder.encode(text);

/** Compares without the cost of a deep comparison of thousands of byte arrays. */
function expectFrames(found: readonly (Frame | ExpectedFrame)[], wanted: readonly ExpectedFrame[], how: string): void {
  expect(
    found.map((frame) => frame.command),
    how,
  ).toEqual(wanted.map((frame) => frame.command));
  for (const [i, frame] of found.entries()) {
    expect(frame.headers, how).toEqual(wanted[i]!.headers);
    if (Buffer.compare(frame.body, wanted[i]!.body) !== 0) expect(frame.body, how).toEqual(wanted[i]!.body);
  }
}

function expectOutcome(outcome: Outcome, frames: readonly ExpectedFrame[], code: string | null, how: string): void {
  expectFrames(outcome.frames, frames, how);
  expect(outcome.code, how).toBe(code);
  if (code === null) expect(outcome.left, how).toBe(0);
}

/** Scans `text`, which is one frame. */
function scanned(text: string | Uint8Array, version: Version = Version.V1_2, limits?: FrameLimits): FrameScanner {
  const bytes = typeof text === 'string' ? bytesOf(text) : text;
  const scanner = new FrameScanner(limits);
  scanner.version = version;
  expect(scanner.scan(bytes, 0, bytes.length)).toBe(Scan.FRAME);
  return scanner;
}

function refusal(work: () => unknown): ProtocolError {
  try {
    work();
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a STOMP frame on the wire', () => {
  it('is covered by enough vectors', () => {
    expect(VECTORS.length).toBeGreaterThanOrEqual(150);
    expect(VECTORS.filter((vector) => vector.code !== null).length).toBeGreaterThanOrEqual(60);
    const names = new Set(VECTORS.map((vector) => `${vector.version} ${vector.title}`));
    expect(names.size).toBe(VECTORS.length);
  });

  describe.each([Version.V1_0, Version.V1_1, Version.V1_2])('in version %i', (version) => {
    const vectors = VECTORS.filter((vector) => vector.version === version);
    it.each(vectors.map((vector) => [vector.code === null ? 'reads' : 'refuses', vector.title, vector] as const))(
      '%s %s, whole and in pieces',
      (_verb, _title, { bytes, frames, code }) => {
        expectOutcome(whole(bytes, version), frames, code, 'whole');
        expectOutcome(byteByByte(bytes, version), frames, code, 'byte by byte');
        const step = bytes.length > 600 ? 13 : 1;
        for (let at = 0; at <= bytes.length; at += step) {
          expectOutcome(cutAt(bytes, at, version), frames, code, `cut at ${at}`);
        }
        const other = reference(bytes, version);
        expectFrames(other.frames, frames, 'the reference');
        if (!other.incomplete) expect(other.code, 'the reference').toBe(code);
      },
    );

    const frame = bytesOf('SEND\ndestination:/queue/before\nreceipt:9\n\nx\0');
    it.each(vectors.map((vector) => [vector.title, vector] as const))(
      'finds the same after another frame, and twice in a row: %s',
      (_title, { bytes, frames, code }) => {
        const before = {
          command: 'SEND',
          headers: ['destination', '/queue/before', 'receipt', '9'],
          body: bytesOf('x'),
        };
        expectOutcome(whole(Buffer.concat([frame, bytes]), version), [before, ...frames], code, 'after another');
        const again = code === null ? [...frames, ...frames] : frames;
        expectOutcome(whole(Buffer.concat([bytes, bytes]), version), again, code, 'twice');
      },
    );
  });

  it('is the same for the scanner and for the reference, whatever the bytes and the pieces', () => {
    const part = fc.constantFrom(
      ...[
        'SEND',
        'ACK',
        'CONNECT',
        'MESSAGE',
        'BEGIN',
        '\n',
        '\n\n',
        '\r\n',
        '\r',
        '\0',
        ':',
        '\\',
        '\\n',
        '\\r',
        '\\x',
      ],
      ...['a:b\n', 'content-length:3\n', 'content-length:', '3', 'destination:/a\n', 'xyz', ' ', 'é', '\u0080', '\0\n'],
      ...['SEND\n', 'SEND\na:b\n\nxyz\0', 'SEND\ncontent-length:2\n\n\0\0\0', 'accept-version:1.2\n', 'é\\c:€\n'],
    );
    const bad = fc.uint8Array({ maxLength: 3 });
    const input = fc
      .array(fc.oneof({ weight: 12, arbitrary: part }, { weight: 1, arbitrary: bad }), { maxLength: 24 })
      .map((parts) => Buffer.concat(parts.map((one) => (typeof one === 'string' ? Buffer.from(one) : one))));
    const version = fc.constantFrom(Version.V1_0, Version.V1_1, Version.V1_2);
    const property = fc.property(input, version, fc.array(fc.nat(40), { maxLength: 5 }), (bytes, spoken, cuts) => {
      const expected = reference(bytes, spoken);
      const chunks: Uint8Array[] = [];
      let from = 0;
      for (const size of cuts) {
        chunks.push(bytes.subarray(from, from + size));
        from += size;
      }
      chunks.push(bytes.subarray(from));
      for (const outcome of [whole(bytes, spoken), pieces(chunks, spoken), byteByByte(bytes, spoken)]) {
        expectFrames(outcome.frames, expected.frames, 'frames');
        if (expected.incomplete) expect(outcome.code !== null || outcome.left > 0).toBe(true);
        else expect(outcome.code).toBe(expected.code);
        if (expected.incomplete && outcome.code !== null) {
          // Refused before its end: then nothing that may follow would have made it a frame.
          for (const rest of ['\n\n\0', '\0', ':\n\n\0', '\r\n\r\n\0', 'a:b\n\n\0']) {
            const completed = reference(Buffer.concat([bytes, Buffer.from(rest)]), spoken);
            expect(completed.code !== null || completed.incomplete).toBe(true);
            expect(completed.frames.length).toBe(expected.frames.length);
          }
        }
      }
    });
    fc.assert(property, { numRuns: 4000 });
  });
});

describe('FrameScanner', () => {
  it('reports where everything lies', () => {
    const text = 'SEND\ndestination:/topic/a\nx-one:1\n\nbody\0\n\nSEND';
    const bytes = bytesOf(`....${text}`);
    const scanner = new FrameScanner();
    scanner.version = Version.V1_2;
    expect(scanner.scan(bytes, 4, bytes.length)).toBe(Scan.FRAME);
    const { headers } = scanner;
    const part = (start: number, end: number) => new TextDecoder().decode(bytes.subarray(start, end));
    expect(scanner.command).toBe(Command.SEND);
    expect(scanner.frameStart).toBe(4);
    expect(part(scanner.bodyStart, scanner.bodyEnd)).toBe('body');
    expect(part(scanner.frameEnd, bytes.length)).toBe('SEND');
    expect(scanner.contentLength).toBe(-1);
    expect(headers.count).toBe(2);
    expect(part(headers.nameStart(0), headers.nameEnd(0))).toBe('destination');
    expect(part(headers.valueStart(0), headers.valueEnd(0))).toBe('/topic/a');
    expect(part(headers.nameStart(1), headers.valueEnd(1))).toBe('x-one:1');
    expect(headers.numberAt(0)).toBe(Header.destination);
    expect(headers.numberAt(1)).toBe(0);
    expect(headers.nameAt(1)).toBe('x-one');
  });

  it('answers for known headers by number, the first of repeated ones', () => {
    const { headers } = scanned('SEND\nreceipt:a\nreceipt:b\npriority:4\npersistent:true\nzz:1\nzz:2\n\n\0');
    expect(headers.string(Header.receipt)).toBe('a');
    expect(headers.find(Header.receipt)).toBe(0);
    expect(headers.int(Header.priority, 0)).toBe(4);
    expect(headers.int(Header.expires, 17)).toBe(17);
    expect(headers.has(Header.persistent)).toBe(true);
    expect(headers.is(Header.persistent, 'true')).toBe(true);
    expect(headers.is(Header.persistent, 'tru')).toBe(false);
    expect(headers.is(Header.persistent, 'false')).toBe(false);
    expect(headers.is(Header.ack, '')).toBe(false);
    expect(headers.string(Header.ack)).toBeNull();
    expect(headers.has(Header.ack)).toBe(false);
    expect([0, 1, 2, 3, 4, 5].map((i) => headers.isRepeated(i))).toEqual([false, true, false, false, false, true]);
  });

  it('knows every name of its table, and no other', () => {
    for (const [name, number] of Object.entries(Header)) {
      if (number === Header['content-length']) continue;
      const { headers } = scanned(
        `SEND\n${name}:v\n${name}x:w\n${name.slice(0, -1)}_:w\n${name.toUpperCase()}!:w\n\n\0`,
      );
      expect(headers.string(number)).toBe('v');
      expect([0, 1, 2, 3].map((i) => headers.numberAt(i))).toEqual([number, 0, 0, 0]);
      expect(headers.nameAt(0)).toBe(name);
    }
  });

  it('forgets the known headers of the frame before', () => {
    const bytes = bytesOf('SEND\nreceipt:1\nid:2\n\n\0SEND\nid:3\n\n\0SEND\n\n\0');
    const scanner = new FrameScanner();
    let pos = 0;
    const seen: (string | null)[] = [];
    for (let i = 0; i < 3; i++) {
      expect(scanner.scan(bytes, pos, bytes.length)).toBe(Scan.FRAME);
      pos = scanner.frameEnd;
      seen.push(scanner.headers.string(Header.receipt), scanner.headers.string(Header.id));
    }
    expect(seen).toEqual(['1', '2', null, '3', null, null]);
  });

  it.each(['', '-1', '4x', ' 4', '1.5', '０'])('refuses the number "%s", naming the header', (value) => {
    const { headers } = scanned(`SEND\npriority:${value}\n\n\0`);
    const error = refusal(() => headers.int(Header.priority, 0));
    expect(error.code).toBe('header-value-invalid');
    expect(error.message).toContain('priority');
  });

  it('takes numbers up to 2^53 and no further', () => {
    expect(scanned('SEND\nexpires:9007199254740991\n\n\0').headers.int(Header.expires, 0)).toBe(
      Number.MAX_SAFE_INTEGER,
    );
    const { headers } = scanned(`SEND\nexpires:${'9'.repeat(40)}\n\n\0`);
    expect(headers.int(Header.expires, 0)).toBe(2 ** 53);
  });

  it('marks header lines by what is in them', () => {
    const { headers } = scanned('SEND\na:1\nb:ü\nc:x\\cy\nd:x:y\na:2\nid:1\nid:2\n\n\0');
    expect(headers.flagsAt(0)).toBe(0);
    expect(headers.flagsAt(1)).toBe(HeaderFlag.NON_ASCII);
    expect(headers.flagsAt(2)).toBe(HeaderFlag.ESCAPED);
    expect(headers.flagsAt(3)).toBe(HeaderFlag.RAW);
    expect(headers.flagsAt(6)).toBe(HeaderFlag.REPEATED);
    expect([0, 1, 2, 3].map((i) => headers.isPortable(i))).toEqual([true, true, false, false]);
    expect(scanned('SEND\na:x\\y\n\n\0', Version.V1_0).headers.isPortable(0)).toBe(false);
    expect(scanned('SEND\na:x\ry\n\n\0', Version.V1_1).headers.isPortable(0)).toBe(false);
  });

  it('copies header lines as they came, without the CR of the line end and without padding', () => {
    const { headers } = scanned('SEND\r\nab:c\r\nsub: v \n\n\0', Version.V1_0);
    const out = new Uint8Array(20);
    let at = headers.copyLine(0, out, 2);
    expect(at - 2).toBe(headers.lineBytes(0));
    at = headers.copyLine(1, out, at);
    expect(Buffer.from(out.subarray(2, at)).toString()).toBe('ab:c\nsub:v\n');
  });

  it('gives a frame a body of its own', () => {
    const bytes = Buffer.from('SEND\n\nabc\0');
    const scanner = new FrameScanner();
    scanner.scan(bytes, 0, bytes.length);
    const frame = scanner.toFrame();
    bytes.fill(0x78);
    expect(frame.text()).toBe('abc');
  });

  it('keeps the generation of headers as long as they are the same, byte for byte', () => {
    const scanner = new FrameScanner();
    scanner.version = Version.V1_1;
    const generations: number[] = [];
    const scan = (text: string) => {
      // Other memory every time: what counts is not where the bytes were.
      const bytes = bytesOf(`  ${text}`);
      expect(scanner.scan(bytes, 2, bytes.length)).toBe(Scan.FRAME);
      generations.push(scanner.headers.generation);
      return scanner.headers;
    };
    scan('SEND\ndestination:/a\nx:1\n\none\0');
    expect(scan('SEND\ndestination:/a\nx:1\n\nanother\0').string(Header.destination)).toBe('/a');
    scan('SEND\ndestination:/a\nx:2\n\none\0');
    scan('SEND\ndestination:/a\nx:2\n\none\0');
    scan('SEND\ndestination:/b\nx:2\n\none\0');
    scan('SEND\ndestination:/b\n\none\0');
    scan('SEND\ndestination:/b\nx:2\n\none\0');
    scanner.version = Version.V1_2;
    scan('SEND\ndestination:/b\nx:2\n\none\0');
    scanner.limits = { ...DEFAULT_FRAME_LIMITS };
    scan('SEND\ndestination:/b\nx:2\n\none\0');
    expect(generations.map((generation, i) => i > 0 && generation === generations[i - 1])).toEqual([
      false,
      true,
      false,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  it('judges remembered headers by the rules of now, not by those of then', () => {
    const bytes = bytesOf('SEND\nx:\\r\n\n\0');
    const scanner = new FrameScanner();
    for (const version of [Version.V1_0, Version.V1_2]) {
      scanner.version = version;
      expect(scanner.scan(bytes, 0, bytes.length)).toBe(Scan.FRAME);
      expect(scanner.headers.valueAt(0)).toBe(version === Version.V1_0 ? '\\r' : '\r');
    }
    scanner.version = Version.V1_1;
    expect(refusal(() => scanner.scan(bytes, 0, bytes.length)).code).toBe('header-escape-invalid');
    scanner.version = Version.V1_2;
    scanner.limits = { ...DEFAULT_FRAME_LIMITS, headersMax: 0 };
    expect(refusal(() => scanner.scan(bytes, 0, bytes.length)).code).toBe('header-count-exceeded');
  });

  it('is not misled by a frame like the one before that comes in pieces', () => {
    const frame = bytesOf('SEND\ndestination:/a\nreceipt:1\n\nx\0');
    for (let at = 0; at < frame.length; at++) {
      const scanner = new FrameScanner();
      expect(scanner.scan(frame, 0, frame.length)).toBe(Scan.FRAME);
      expect(scanner.scan(frame, 0, at)).toBe(Scan.INCOMPLETE);
      const moved = Buffer.concat([Buffer.alloc(5), frame]);
      expect(scanner.scan(moved, 5, moved.length)).toBe(Scan.FRAME);
      expect(scanner.command).toBe(Command.SEND);
      expect(scanner.headers.string(Header.receipt)).toBe('1');
      expect(scanner.toFrame().text()).toBe('x');
    }
  });

  it('starts afresh after reset, whatever it was in the middle of', () => {
    const half = bytesOf('SEND\ndestination:/a\ncontent-length:1000\n\nabc');
    const next = bytesOf('ACK\nid:1\n\n\0');
    for (let at = 0; at <= half.length; at++) {
      const scanner = new FrameScanner();
      expect(scanner.scan(half, 0, at)).toBe(Scan.INCOMPLETE);
      scanner.reset();
      expect(scanner.scan(next, 0, next.length)).toBe(Scan.FRAME);
      expect(scanner.toFrame().headers).toEqual(['id', '1']);
      expect(scanner.contentLength).toBe(-1);
    }
  });

  it('reads on after an error, as another connection would need it', () => {
    const bad = bytesOf('SEND\nreceipt:r7\ncontent-length:1\n\nabc\0');
    const good = bytesOf('SEND\nreceipt:r7\ncontent-length:3\n\nabc\0');
    const scanner = new FrameScanner();
    expect(scanner.scan(good, 0, good.length)).toBe(Scan.FRAME);
    expect(refusal(() => scanner.scan(bad, 0, bad.length)).code).toBe('content-length-wrong');
    expect(scanner.scan(good, 0, good.length)).toBe(Scan.FRAME);
    expect(scanner.toFrame().text()).toBe('abc');
  });

  it('still knows after an error which receipt the frame at fault had asked for', () => {
    const scanner = new FrameScanner();
    const bytes = bytesOf('SEND\nreceipt:r7\nbad line\n\n\0');
    expect(refusal(() => scanner.scan(bytes, 0, bytes.length)).code).toBe('header-malformed');
    expect(scanner.headers.string(Header.receipt)).toBe('r7');
    // The receipt of a good frame is not taken for that of the bad one after it.
    for (const bad of ['nonsense\n', '\rx', 'SEND\nno colon\n']) {
      const two = bytesOf(`SEND\nreceipt:r8\n\n\0${bad}`);
      scanner.reset();
      expect(scanner.scan(two, 0, two.length)).toBe(Scan.FRAME);
      refusal(() => scanner.scan(two, scanner.frameEnd, two.length));
      expect(scanner.headers.string(Header.receipt)).toBeNull();
    }
  });

  it('does not keep what a CONNECT frame said', () => {
    const connect = bytesOf('CONNECT\npasscode:secret\n\n\0');
    const scanner = new FrameScanner();
    scanner.scan(connect, 0, connect.length);
    const generation = scanner.headers.generation;
    scanner.scan(connect, 0, connect.length);
    expect(scanner.headers.generation).not.toBe(generation);
  });
});

describe('an incomplete frame', () => {
  it('says how much is needed as soon as content-length is known', () => {
    const head = 'SEND\ndestination:/a\ncontent-length:1000\n\n';
    const bytes = bytesOf(`${head}abc`);
    const scanner = new FrameScanner();
    expect(scanner.scan(bytes, 0, 10)).toBe(Scan.INCOMPLETE);
    expect(scanner.bytesNeeded).toBe(11);
    expect(scanner.scan(bytes, 0, bytes.length)).toBe(Scan.INCOMPLETE);
    expect(scanner.bytesNeeded).toBe(head.length + 1001);
    const complete = Buffer.concat([Buffer.from(head), Buffer.alloc(1000, 0x78), Buffer.from([0])]);
    expect(scanner.scan(complete, 0, complete.length)).toBe(Scan.FRAME);
    expect(scanner.frameEnd).toBe(scanner.bytesNeeded);
  });

  it('needs one more byte when nothing better is known', () => {
    for (const start of [
      '',
      'S',
      'SEND',
      'SEND\r',
      'SEND\n',
      'SEND\na',
      'SEND\na:b\r',
      'SEND\n\n',
      'SEND\n\nxyz',
      '\r',
    ]) {
      const bytes = bytesOf(start);
      const scanner = new FrameScanner();
      expect(scanner.scan(bytes, 0, bytes.length)).toBe(Scan.INCOMPLETE);
      expect(scanner.bytesNeeded).toBe(Math.max(bytes.length + 1, start === '\r' ? 2 : 1));
    }
  });

  it('is searched once, however many pieces it comes in', () => {
    // A Proxy counts what is read: going over the bytes again for every piece would read millions of them.
    let reads = 0;
    const size = 4000;
    const text = `SEND\n${'h:1\n'.repeat(250)}x:${'v'.repeat(size)}\n\n${'b'.repeat(size)}\0`;
    const bytes = bytesOf(text);
    const counted = new Proxy(bytes, {
      get(target, key) {
        if (typeof key === 'string' && /^\d+$/.test(key)) reads++;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const scanner = new FrameScanner();
    let found: Scan = Scan.INCOMPLETE;
    for (let end = 1; end <= bytes.length && found === Scan.INCOMPLETE; end++) found = scanner.scan(counted, 0, end);
    expect(found).toBe(Scan.FRAME);
    expect(reads).toBeGreaterThan(bytes.length / 2);
    expect(reads).toBeLessThan(bytes.length * 8);
  });
});

describe('limits on frames', () => {
  const limits: FrameLimits = {
    frameBytesMax: 200,
    frameBytesSetting: 'stomp.connectBytesMax',
    headersMax: 4,
    headerBytesMax: 40,
    bodyBytesMax: 100,
  };
  const V = Version.V1_2;

  function expectEverywhere(text: string, code: string | null, frames: number): void {
    const bytes = bytesOf(text);
    for (const outcome of [whole(bytes, V, limits), byteByByte(bytes, V, limits)]) {
      expect(outcome.code).toBe(code);
      expect(outcome.frames.length).toBe(frames);
    }
    for (let at = 0; at <= bytes.length; at++) expect(cutAt(bytes, at, V, limits).code).toBe(code);
  }

  it.each([
    ['a header line', 'header-line-too-long', (n: number) => `SEND\nx:${'v'.repeat(n - 2)}\n\n\0`, 40],
    ['a header line before CR LF', 'header-line-too-long', (n: number) => `SEND\nx:${'v'.repeat(n - 2)}\r\n\n\0`, 40],
    ['a name', 'header-line-too-long', (n: number) => `SEND\n${'n'.repeat(n - 1)}:\n\n\0`, 40],
    ['the number of headers', 'header-count-exceeded', (n: number) => `SEND\n${'x:1\n'.repeat(n)}\n\0`, 4],
    ['a body up to NUL', 'body-too-large', (n: number) => `SEND\n\n${'b'.repeat(n)}\0`, 100],
    ['a counted body', 'body-too-large', (n: number) => `SEND\ncontent-length:${n}\n\n${'b'.repeat(n)}\0`, 100],
    [
      'a frame with a body up to NUL',
      'frame-too-large',
      (n: number) => `SEND\n${`${'x:'.padEnd(39, 'v')}\n`.repeat(3)}\n${'b'.repeat(n - 127)}\0`,
      200,
    ],
    [
      'a frame with a counted body',
      'frame-too-large',
      (n: number) =>
        `SEND\n${`${'x:'.padEnd(39, 'v')}\n`.repeat(3)}content-length:${n - 145}\n\n${'b'.repeat(n - 145)}\0`,
      200,
    ],
    [
      'a frame of headers only',
      'frame-too-large',
      (n: number) => `SEND\n${`${'x:'.padEnd(40, 'v')}\n`.repeat(4)}${'b'.repeat(0)}\n${'b'.repeat(n - 171)}\0`,
      200,
    ],
  ] as const)('%s may be as long as the limit, but not one more', (_what, code, text, max) => {
    expectEverywhere(text(max), null, 1);
    expectEverywhere(text(max + 1), code, 0);
    expectEverywhere(text(max) + text(max + 1), code, 1);
  });

  it('does not count line ends between frames', () => {
    expectEverywhere(`${'\n'.repeat(300)}SEND\n\nx\0${'\r\n'.repeat(300)}`, null, 1);
  });

  it('refuses a length that is announced, before any of it is there', () => {
    const error = refusal(() => {
      const bytes = bytesOf('SEND\ncontent-length:101\n\n');
      new FrameScanner(limits).scan(bytes, 0, bytes.length);
    });
    expect(error.code).toBe('body-too-large');
  });

  it.each([
    ['header-line-too-long', `SEND\n${'x'.repeat(50)}`, '40', 'stomp.headerBytesMax'],
    ['header-count-exceeded', `SEND\n${'x:1\n'.repeat(5)}`, '4', 'stomp.headersMax'],
    ['body-too-large', `SEND\n\n${'x'.repeat(101)}`, '100', 'stomp.bodyBytesMax'],
    [
      'frame-too-large',
      `SEND\n${`${'x:'.padEnd(39, 'v')}\n`.repeat(4)}\n${'x'.repeat(40)}`,
      '200',
      'stomp.connectBytesMax',
    ],
  ])('%s names the limit and the setting that raises it', (code, text, limit, setting) => {
    const error = refusal(() => new FrameScanner(limits).scan(bytesOf(text), 0, text.length));
    expect(error.code).toBe(code);
    expect(error.message).toContain(limit);
    expect(error.message).toContain(setting);
    expect(error.reason).toBe(0);
  });

  it('leave room by default for far more than applications use', () => {
    const feeder = new Feeder(V);
    const many = Array.from({ length: 255 }, (_, i) => `header-${i}:value\n`).join('');
    feeder.feed(bytesOf(`SEND\n${many}long:${'v'.repeat(16_000)}\n\n`));
    feeder.feed(new Uint8Array(1_000_000).fill(0x62));
    feeder.feed(Uint8Array.of(0));
    expect(feeder.outcome.code).toBeNull();
    expect(feeder.outcome.frames[0]?.body.length).toBe(1_000_000);
    expect(feeder.outcome.frames[0]?.headers.length).toBe(512);
  });
});

describe('versions', () => {
  it('have the texts of the headers that carry them', () => {
    expect([Version.V1_0, Version.V1_1, Version.V1_2].map(versionText)).toEqual(['1.0', '1.1', '1.2']);
  });
});
