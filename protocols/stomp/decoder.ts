// Finds STOMP frames in bytes, in place: the command, the limits of every header line, the body, the NUL. No string, object or copy is made unless a
// caller asks for one. Relies on the caller for contiguous bytes: what is left of an incomplete frame is presented again, from its first byte, with more
// behind it. Knows nothing of sockets or sessions.
//
//   frameStart                           bodyStart      bodyEnd   frameEnd
//   │ SEND \n destination:/topic/a \n \n │ body …       │ NUL \n \n│ next frame
//
// Lines that are the same as in the frame before are not scanned again (last-headers.ts). A scan that ended INCOMPLETE is continued by the next one (the frame may lie elsewhere by then), so that a frame that comes byte by byte costs as much
// as one that comes whole.
//
// More is accepted than the grammar allows where real clients need it: CR LF ends a line in every version; a colon in a value need not be escaped;
// a frame that may not have a body may have one made of line ends only. STOMP 1.0 values are trimmed, as that specification's own examples have
// "name: value". A NUL in a header is refused, although the grammar would let it pass: it is the mark of a frame without the empty line.
import { isUtf8 } from 'node:buffer';
import { quoted, type StompErrorCode, stompError } from './errors.ts';
import { COMMAND_NAMES, Command, type CommandName, Frame, isNeverEscaped, mayHaveBody, Version } from './frame.ts';
import { HeaderFlag, HeaderIndex } from './header-index.ts';
import { Header } from './headers.ts';
import { LastHeaders } from './last-headers.ts';

/** What scan() has found at the position it was given. */
export const Scan = {
  /** No whole frame yet: call again with the same bytes and at least bytesNeeded of them. Nothing is consumed. */
  INCOMPLETE: 0,
  /** A frame; the next one starts at frameEnd. */
  FRAME: 1,
  /** Line ends between frames, which may be a heart-beat; consumed up to frameEnd. */
  HEART_BEAT: 2,
} as const;

export type Scan = (typeof Scan)[keyof typeof Scan];

/** Bounds on what a peer may send in one frame, named as the settings stomp.*. Going over one ends the connection. */
export interface FrameLimits {
  /** From the command's first byte to NUL. */
  readonly frameBytesMax: number;
  /** The setting that raises frameBytesMax, for the error's text. */
  readonly frameBytesSetting: string;
  readonly headersMax: number;
  /** One header line without its line end. */
  readonly headerBytesMax: number;
  readonly bodyBytesMax: number;
}

/** The defaults of the settings stomp.*, for scanners without a configuration. */
export const DEFAULT_FRAME_LIMITS: FrameLimits = Object.freeze({
  frameBytesMax: 17 * 1024 * 1024,
  frameBytesSetting: 'stomp.frameBytesMax',
  headersMax: 256,
  headerBytesMax: 16 * 1024,
  bodyBytesMax: 16 * 1024 * 1024,
});

const NUL = 0x00;
const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

const COMMAND_BYTES_MAX = 11;

/** Bytes a header line cannot be scanned over without a closer look. */
const SPECIAL = new Uint8Array(256);
SPECIAL[NUL] = SPECIAL[LF] = SPECIAL[CR] = SPECIAL[COLON] = SPECIAL[BACKSLASH] = 1;
SPECIAL.fill(1, 0x80);

/** First letter and length tell the commands apart: [(letter - A) * 16 + length] is the only one it can be. */
const COMMAND_BY_SHAPE = new Uint8Array(26 * 16);
const COMMAND_BYTES: readonly Uint8Array[] = COMMAND_NAMES.map((name) => new TextEncoder().encode(name));
for (let command = 1; command < COMMAND_NAMES.length; command++) {
  const name = COMMAND_BYTES[command]!;
  COMMAND_BY_SHAPE[(name[0]! - UPPER_A) * 16 + name.length] = command;
}

/** What special() says of a byte besides flags. */
const LINE_END = 0x100;
const MORE = 0x200;

/** Where a scan that ended INCOMPLETE goes on. */
const Stage = {
  START: 0,
  /** In the header line at lineStart, which has no end before searchedTo. */
  HEADERS: 1,
  /** At bodyStart, waiting for contentLength bytes and NUL. */
  BODY_BY_LENGTH: 2,
  /** At bodyStart, no NUL before searchedTo. */
  BODY_BY_NUL: 3,
} as const;

/** Up to here a loop finds the NUL sooner than indexOf on a part of the bytes. */
const NUL_LOOP_BYTES = 160;

export class FrameScanner {
  /** Decides about escapes; the owner sets it once negotiated. */
  version: Version = Version.V1_0;
  limits: FrameLimits;

  /** Of the latest frame: its Command. */
  command = 0;
  readonly headers = new HeaderIndex();
  /** Of the content-length header; -1 without one. */
  contentLength = -1;
  frameStart = 0;
  bodyStart = 0;
  bodyEnd = 0;
  frameEnd = 0;
  /** After INCOMPLETE: how many bytes, counted from the frame's first, it takes to get any further. */
  bytesNeeded = 0;

  private stage: number = Stage.START;
  private neverEscaped = false;
  private readonly last = new LastHeaders();
  /** How last was scanned: the same bytes mean the same only under the same rules. */
  private lastVersion: Version = Version.V1_0;
  private lastLimits: FrameLimits;
  /** How many bytes from the frame's first are the same as in last. */
  private common = 0;
  private lineStart = 0;
  private searchedTo = 0;

  constructor(limits: FrameLimits = DEFAULT_FRAME_LIMITS) {
    this.limits = limits;
    this.lastLimits = limits;
  }

  /**
   * Looks for one frame in bytes[pos, end). After INCOMPLETE the next call is about the same frame, unless reset() comes
   * first. Throws ProtocolError; the headers read until then can still be asked for.
   */
  scan(bytes: Uint8Array, pos: number, end: number): Scan {
    this.headers.bytes = bytes;
    if (this.stage !== Stage.START) return this.resume(bytes, pos, end);
    this.frameStart = pos;
    if (pos < end) {
      const first = bytes[pos]!;
      if (first === LF || first === CR) return this.scanLineEnds(bytes, pos, end);
    }
    const sameRules = this.version === this.lastVersion && this.limits === this.lastLimits;
    this.common = sameRules && this.last.length > 0 ? this.last.common(bytes, pos, end) : 0;
    this.headers.base = pos;
    if (this.common > 0 && this.common === this.last.length) {
      this.bodyStart = pos + this.common;
      return this.contentLength < 0 ? this.findBodyEnd(bytes, end) : this.scanBodyByLength(bytes, end);
    }
    // What is remembered counts again once these headers are read to their end.
    this.last.length = 0;
    this.contentLength = -1;
    const kept = this.headers.keep(this.common);
    if (kept > 0) return this.scanHeaders(bytes, pos + kept, end);
    this.command = Command.NONE;
    return this.scanCommand(bytes, pos, end);
  }

  /** Forgets an incomplete frame, and the bytes of the latest one. */
  reset(): void {
    this.stage = Stage.START;
    this.command = Command.NONE;
    this.headers.release();
    this.last.release();
  }

  /** The latest frame as an object of its own, all headers in order, repeated ones too. */
  toFrame(): Frame {
    const headers = this.headers;
    const entries: string[] = [];
    for (let i = 0; i < headers.count; i++) entries.push(headers.nameAt(i), headers.valueAt(i));
    const body = new Uint8Array(headers.bytes.subarray(this.bodyStart, this.bodyEnd));
    return new Frame(COMMAND_NAMES[this.command] as CommandName, entries, body);
  }

  // The stages of a frame, each calling the next. Each leaves a state behind from which resume() can go on.

  private resume(bytes: Uint8Array, pos: number, end: number): Scan {
    if (pos !== this.frameStart) this.moveTo(pos);
    if (this.stage === Stage.HEADERS) {
      let p = this.searchedTo;
      while (p < end) {
        const byte = bytes[p]!;
        if (byte === LF || byte === NUL) return this.scanHeaders(bytes, this.lineStart, end);
        p++;
      }
      return this.awaitLine(this.lineStart, end);
    }
    if (this.stage === Stage.BODY_BY_LENGTH) return this.scanBodyByLength(bytes, end);
    return this.findMoreBody(bytes, end);
  }

  private moveTo(pos: number): void {
    const by = pos - this.frameStart;
    this.headers.base = pos;
    this.frameStart += by;
    this.lineStart += by;
    this.searchedTo += by;
    this.bodyStart += by;
  }

  private scanLineEnds(bytes: Uint8Array, pos: number, end: number): Scan {
    const after = skipLineEnds(bytes, pos, end);
    if (after === pos) {
      if (end - pos > 1) {
        this.headers.clear();
        this.fail('line-end-invalid', 'a CR between frames is not followed by LF');
      }
      this.bytesNeeded = 2;
      return Scan.INCOMPLETE;
    }
    this.frameEnd = after;
    return Scan.HEART_BEAT;
  }

  private scanCommand(bytes: Uint8Array, pos: number, end: number): Scan {
    const stop = end - pos > COMMAND_BYTES_MAX ? pos + COMMAND_BYTES_MAX : end;
    let p = pos;
    while (p < stop && bytes[p]! >= UPPER_A && bytes[p]! <= UPPER_Z) p++;
    if (p === end || (bytes[p] === CR && p + 1 === end && p > pos)) {
      this.bytesNeeded = end - pos + 1;
      return Scan.INCOMPLETE;
    }
    let command = 0;
    if (p > pos) command = COMMAND_BY_SHAPE[(bytes[pos]! - UPPER_A) * 16 + p - pos]!;
    const name = COMMAND_BYTES[command]!;
    for (let i = 0; i < name.length; i++) {
      if (bytes[pos + i] !== name[i]) command = 0;
    }
    if (bytes[p] === CR) p++;
    if (command === 0 || bytes[p] !== LF) this.failCommand(bytes, pos, end);
    this.command = command;
    this.neverEscaped = isNeverEscaped(command);
    return this.scanHeaders(bytes, p + 1, end);
  }

  private scanHeaders(bytes: Uint8Array, from: number, end: number): Scan {
    let p = from;
    for (;;) {
      const lineStart = p;
      if (p >= end) return this.awaitLine(lineStart, end);
      let byte = bytes[p]!;
      if (byte === LF) return this.scanBody(bytes, p + 1, end);
      if (byte === CR) {
        if (p + 1 >= end) return this.awaitLine(lineStart, end);
        if (bytes[p + 1] === LF) return this.scanBody(bytes, p + 2, end);
      }

      let flags = 0;
      while (byte !== COLON) {
        if (SPECIAL[byte] !== 0) {
          const mark = this.special(byte, bytes, p, end);
          if (mark === MORE) return this.awaitLine(lineStart, end);
          if (mark === LINE_END) this.fail('header-malformed', `${this.line()} has no colon`);
          flags |= mark;
        }
        if (++p >= end) return this.awaitLine(lineStart, end);
        byte = bytes[p]!;
      }
      const nameEnd = p;
      if (nameEnd === lineStart) this.fail('header-malformed', `${this.line()} has no name`);

      p++;
      for (; ; p++) {
        if (p >= end) return this.awaitLine(lineStart, end);
        byte = bytes[p]!;
        if (SPECIAL[byte] === 0) continue;
        if (byte === LF) break;
        const mark = this.special(byte, bytes, p, end);
        if (mark === MORE) return this.awaitLine(lineStart, end);
        if (mark === LINE_END) break;
        flags |= mark;
      }
      this.addHeader(bytes, lineStart, nameEnd, p, flags);
      p += byte === CR ? 2 : 1;
    }
  }

  /** Looks closer at a byte of a header line: HeaderFlag bits, or LINE_END, or MORE when that depends on what follows. */
  private special(byte: number, bytes: Uint8Array, p: number, end: number): number {
    if (byte >= 0x80) return HeaderFlag.NON_ASCII;
    switch (byte) {
      case BACKSLASH:
        // STOMP 1.0 has no escapes, and CONNECT and CONNECTED have none in any version. STOMP 1.2 "Value Encoding". [STOMP-F-10] [STOMP-F-11]
        return this.version === Version.V1_0 || this.neverEscaped ? HeaderFlag.RAW : HeaderFlag.ESCAPED;
      case COLON:
        return HeaderFlag.RAW;
      case LF:
        return LINE_END;
      case CR:
        if (p + 1 >= end) return MORE;
        if (bytes[p + 1] === LF) return LINE_END;
        // STOMP 1.2 "Augmented BNF": a header has no CR [STOMP-F-3] [STOMP-F-4]. STOMP 1.1 has no other way to write one.
        if (this.version === Version.V1_2) {
          this.fail('line-end-invalid', `${this.line()} has a CR that is not followed by LF`);
        }
        return HeaderFlag.RAW;
      default:
        return this.fail('header-nul', `${this.line()} has a NUL`);
    }
  }

  private addHeader(bytes: Uint8Array, lineStart: number, nameEnd: number, lineEnd: number, flags: number): void {
    const { headerBytesMax, headersMax } = this.limits;
    // STOMP 1.2 "Size Limits". [STOMP-F-19]
    if (lineEnd - lineStart > headerBytesMax) this.failLine();
    if (this.headers.count >= headersMax) {
      this.fail('header-count-exceeded', `more than ${headersMax} headers in a frame (stomp.headersMax)`);
    }
    if ((flags & HeaderFlag.NON_ASCII) !== 0 && !isUtf8(bytes.subarray(lineStart, lineEnd))) {
      this.fail('header-not-utf8', `${this.line()} is not UTF-8`);
    }
    if ((flags & HeaderFlag.ESCAPED) !== 0) {
      this.checkEscapes(bytes, lineStart, nameEnd);
      this.checkEscapes(bytes, nameEnd + 1, lineEnd);
    }
    this.headers.add(lineStart, nameEnd, lineEnd, flags);
  }

  private checkEscapes(bytes: Uint8Array, start: number, end: number): void {
    for (let p = start; p < end; p++) {
      if (bytes[p] !== BACKSLASH) continue;
      const next = ++p < end ? bytes[p]! : NUL;
      if (next === 0x6e || next === 0x63 || next === BACKSLASH) continue;
      if (next === 0x72 && this.version === Version.V1_2) continue;
      // STOMP 1.2 "Value Encoding": undefined escape sequences are a fatal protocol error. [STOMP-F-7] [STOMP-F-8] [STOMP-F-9]
      const version = this.version === Version.V1_2 ? '1.2' : '1.1';
      const found = quoted(bytes, p - 1, Math.min(p + 1, end));
      this.fail('header-escape-invalid', `${this.line()} has ${found}, no escape of STOMP ${version}`);
    }
  }

  /** The headers are read: finds out how the body ends. */
  private scanBody(bytes: Uint8Array, bodyStart: number, end: number): Scan {
    this.bodyStart = bodyStart;
    const headers = this.headers;
    // From 1.1 on spaces are part of the value; a frame that opens a connection says itself whether it is of 1.0.
    if (this.version === Version.V1_0 && !this.opensNewer()) headers.trimValues();
    // What opens a connection comes once, and has a password in it.
    if (!this.neverEscaped) this.last.remember(bytes, this.frameStart, bodyStart - this.frameStart, this.common);
    this.lastVersion = this.version;
    this.lastLimits = this.limits;
    headers.generation++;
    const { frameBytesMax, bodyBytesMax } = this.limits;
    const index = headers.find(Header['content-length']);
    if (index < 0) {
      if (bodyStart - this.frameStart >= frameBytesMax) this.failFrame();
      return this.findBodyEnd(bytes, end);
    }
    const length = headers.decimalAt(index);
    if (length < 0) {
      const found = quoted(bytes, headers.valueStart(index), headers.valueEnd(index));
      this.fail('content-length-invalid', `content-length is ${found}`);
    }
    if (length > bodyBytesMax) this.failBody();
    if (bodyStart - this.frameStart + length >= frameBytesMax) this.failFrame();
    this.contentLength = length;
    return this.scanBodyByLength(bytes, end);
  }

  /** STOMP 1.2 "Header content-length": that many octets are read, whatever they are, and NUL still follows. [STOMP-F-14] [STOMP-F-16] */
  private scanBodyByLength(bytes: Uint8Array, end: number): Scan {
    const bodyEnd = this.bodyStart + this.contentLength;
    if (bodyEnd >= end) {
      this.stage = Stage.BODY_BY_LENGTH;
      this.bytesNeeded = bodyEnd + 1 - this.frameStart;
      return Scan.INCOMPLETE;
    }
    if (bytes[bodyEnd] !== NUL) {
      this.fail(
        'content-length-wrong',
        `no NUL follows the ${this.contentLength} octets that content-length announces`,
      );
    }
    return this.finish(bytes, bodyEnd, end);
  }

  /** STOMP 1.2 "Header content-length": without it the body ends at the first NUL. [STOMP-F-15] */
  private findBodyEnd(bytes: Uint8Array, end: number): Scan {
    // May look further than `end`, at old bytes; it is still the fastest way, and it is taken once per frame.
    const found = this.headers.buffer().indexOf(NUL, this.bodyStart);
    return this.scanBodyByNul(bytes, found < 0 || found > end ? end : found, end);
  }

  private findMoreBody(bytes: Uint8Array, end: number): Scan {
    const from = this.searchedTo;
    const near = Math.min(end, from + NUL_LOOP_BYTES);
    let p = from;
    while (p < near && bytes[p] !== NUL) p++;
    if (p === near && near < end) {
      const found = bytes.subarray(near, end).indexOf(NUL);
      p = found < 0 ? end : near + found;
    }
    return this.scanBodyByNul(bytes, p, end);
  }

  /** The body ends at p, or at `end` no NUL has been found yet. */
  private scanBodyByNul(bytes: Uint8Array, p: number, end: number): Scan {
    const { frameBytesMax, bodyBytesMax } = this.limits;
    if (p - this.bodyStart > bodyBytesMax) this.failBody();
    if (p - this.frameStart >= frameBytesMax) this.failFrame();
    if (p === end) {
      this.stage = Stage.BODY_BY_NUL;
      this.searchedTo = end;
      this.bytesNeeded = end - this.frameStart + 1;
      return Scan.INCOMPLETE;
    }
    return this.finish(bytes, p, end);
  }

  private finish(bytes: Uint8Array, bodyEnd: number, end: number): Scan {
    this.bodyEnd = bodyEnd;
    if (bodyEnd > this.bodyStart && !mayHaveBody(this.command)) this.checkNoBody(bytes);
    this.stage = Stage.START;
    this.frameEnd = skipLineEnds(bytes, bodyEnd + 1, end);
    return Scan.FRAME;
  }

  private checkNoBody(bytes: Uint8Array): void {
    if (skipLineEnds(bytes, this.bodyStart, this.bodyEnd) === this.bodyEnd) {
      this.bodyEnd = this.bodyStart;
      return;
    }
    // STOMP 1.0 "SUBSCRIBE": the body is ignored.
    if (this.version === Version.V1_0 && !this.opensNewer()) return;
    // [STOMP-F-17]
    this.fail(
      'body-not-allowed',
      `${COMMAND_NAMES[this.command]!} has a body of ${this.bodyEnd - this.bodyStart} octets`,
    );
  }

  /** Whether the frame is one that only clients of 1.1 and later send, before a version is negotiated. */
  private opensNewer(): boolean {
    return this.command === Command.STOMP || this.headers.has(Header['accept-version']);
  }

  private awaitLine(lineStart: number, end: number): Scan {
    const size = end - this.frameStart;
    // One more for a CR that may turn out to belong to the line end.
    if (end - lineStart > this.limits.headerBytesMax + 1) this.failLine();
    if (size >= this.limits.frameBytesMax) this.failFrame();
    this.stage = Stage.HEADERS;
    this.lineStart = lineStart;
    this.searchedTo = end;
    this.bytesNeeded = size + 1;
    return Scan.INCOMPLETE;
  }

  private line(): string {
    return `header line ${this.headers.count + 1}`;
  }

  private failCommand(bytes: Uint8Array, pos: number, end: number): never {
    let lineEnd = pos;
    while (lineEnd < end && lineEnd - pos < 64 && bytes[lineEnd] !== LF) lineEnd++;
    return this.fail('command-unknown', `${quoted(bytes, pos, lineEnd)} is no STOMP command`);
  }

  private failLine(): never {
    const max = this.limits.headerBytesMax;
    return this.fail('header-line-too-long', `${this.line()} is longer than ${max} bytes (stomp.headerBytesMax)`);
  }

  private failBody(): never {
    return this.fail('body-too-large', `body of more than ${this.limits.bodyBytesMax} bytes (stomp.bodyBytesMax)`);
  }

  private failFrame(): never {
    const { frameBytesMax, frameBytesSetting } = this.limits;
    return this.fail('frame-too-large', `frame of more than ${frameBytesMax} bytes (${frameBytesSetting})`);
  }

  private fail(code: StompErrorCode, detail: string): never {
    this.stage = Stage.START;
    this.last.length = 0;
    throw stompError(code, detail);
  }
}

/** STOMP 1.2 "STOMP Frames": NUL can be followed by line ends [STOMP-F-5]. A CR whose LF has not come yet is left alone. */
function skipLineEnds(bytes: Uint8Array, pos: number, end: number): number {
  let p = pos;
  while (p < end) {
    const byte = bytes[p];
    if (byte === LF) p++;
    else if (byte === CR && p + 1 < end && bytes[p + 1] === LF) p += 2;
    else break;
  }
  return p;
}
