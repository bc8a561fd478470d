// A slow STOMP parser that follows the grammar line by line, with strings, over whole input only. It shares no code with FrameScanner and says what that
// one has to find. Which of two faults in one line it names first is the same; what it says of input that stops in the middle is only "incomplete".
import { DEFAULT_FRAME_LIMITS, type FrameLimits } from '../../../protocols/stomp/decoder.ts';
import { type CommandName, Frame, Version } from '../../../protocols/stomp/frame.ts';

export interface ReferenceOutcome {
  readonly frames: Frame[];
  readonly code: string | null;
  /** Whether the input ends inside a frame. */
  readonly incomplete: boolean;
}

class Fault extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}
class Incomplete extends Error {}

const COMMANDS =
  'CONNECT STOMP SEND SUBSCRIBE UNSUBSCRIBE ACK NACK BEGIN COMMIT ABORT DISCONNECT CONNECTED MESSAGE RECEIPT ERROR'.split(
    ' ',
  );
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function reference(input: Uint8Array, version: Version, limits = DEFAULT_FRAME_LIMITS): ReferenceOutcome {
  const bytes = Buffer.from(input);
  const frames: Frame[] = [];
  let at = 0;
  try {
    for (;;) {
      at = afterLineEnds(bytes, at);
      if (at === bytes.length) return { frames, code: null, incomplete: false };
      if (bytes[at] === 0x0d) {
        if (at + 1 === bytes.length) throw new Incomplete();
        throw new Fault('line-end-invalid');
      }
      const { frame, end } = one(bytes, at, version, limits);
      frames.push(frame);
      at = end;
    }
  } catch (error) {
    if (error instanceof Fault) return { frames, code: error.code, incomplete: false };
    if (error instanceof Incomplete) return { frames, code: null, incomplete: true };
    throw error;
  }
}

function afterLineEnds(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    if (bytes[at] === 0x0a) at++;
    else if (bytes[at] === 0x0d && bytes[at + 1] === 0x0a) at += 2;
    else return at;
  }
}

/** A line without its line end, and where the next one starts. */
function lineAt(bytes: Buffer, at: number): { line: string; next: number } {
  const end = bytes.indexOf(0x0a, at);
  if (end < 0) throw new Incomplete();
  const line = bytes.toString('latin1', at, end);
  return { line: line.endsWith('\r') ? line.slice(0, -1) : line, next: end + 1 };
}

function one(bytes: Buffer, start: number, version: Version, limits: FrameLimits): { frame: Frame; end: number } {
  const first = lineAt(bytes, start);
  if (!COMMANDS.includes(first.line)) throw new Fault('command-unknown');
  const command = first.line as CommandName;
  const opening = command === 'CONNECT' || command === 'STOMP' || command === 'CONNECTED';
  const escapes = version === Version.V1_0 || opening ? '' : version === Version.V1_1 ? 'nc\\' : 'ncr\\';

  const headers: string[] = [];
  let at = first.next;
  for (;;) {
    const { line, next } = lineAt(bytes, at);
    at = next;
    if (line === '') break;
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    // The fault that comes first in the line is the one to be named.
    const faults: [number, string][] = [
      [line.indexOf('\0'), 'header-nul'],
      [version === Version.V1_2 ? line.search(/\r/) : -1, 'line-end-invalid'],
      [colon < 0 ? line.length : -1, 'header-malformed'],
      [colon === 0 ? 0 : -1, 'header-malformed'],
    ];
    const earliest = faults.filter(([where]) => where >= 0).sort((a, b) => a[0] - b[0])[0];
    if (earliest !== undefined) throw new Fault(earliest[1]);
    if (line.length > limits.headerBytesMax) throw new Fault('header-line-too-long');
    if (headers.length / 2 >= limits.headersMax) throw new Fault('header-count-exceeded');
    text(line, '');
    headers.push(text(name, escapes), text(line.slice(colon + 1), escapes));
  }

  const value = (name: string) => {
    const index = headers.findIndex((entry, i) => i % 2 === 0 && entry === name);
    return index < 0 ? null : headers[index + 1]!;
  };
  const old = version === Version.V1_0 && command !== 'STOMP' && value('accept-version') === null;
  if (old) for (let i = 1; i < headers.length; i += 2) headers[i] = headers[i]!.replace(/^ +| +$/g, '');

  let bodyEnd: number;
  const contentLength = value('content-length');
  if (contentLength !== null) {
    if (!/^[0-9]+$/.test(contentLength)) throw new Fault('content-length-invalid');
    if (Number(contentLength) > limits.bodyBytesMax) throw new Fault('body-too-large');
    bodyEnd = at + Number(contentLength);
    if (bodyEnd + 1 - start > limits.frameBytesMax) throw new Fault('frame-too-large');
    if (bodyEnd >= bytes.length) throw new Incomplete();
    if (bytes[bodyEnd] !== 0) throw new Fault('content-length-wrong');
  } else {
    if (at - start >= limits.frameBytesMax) throw new Fault('frame-too-large');
    bodyEnd = bytes.indexOf(0, at);
    if (bodyEnd < 0) throw new Incomplete();
    if (bodyEnd - at > limits.bodyBytesMax) throw new Fault('body-too-large');
    if (bodyEnd + 1 - start > limits.frameBytesMax) throw new Fault('frame-too-large');
  }
  let body = new Uint8Array(bytes.subarray(at, bodyEnd));
  if (!['SEND', 'MESSAGE', 'ERROR'].includes(command)) {
    if (/^(\r?\n)*$/.test(Buffer.from(body).toString('latin1'))) body = new Uint8Array(0);
    if (body.length > 0 && !old) throw new Fault('body-not-allowed');
  }
  return { frame: new Frame(command, headers, body), end: bodyEnd + 1 };
}

function text(latin1: string, escapes: string): string {
  let decoded: string;
  try {
    decoded = utf8.decode(Buffer.from(latin1, 'latin1'));
  } catch {
    throw new Fault('header-not-utf8');
  }
  if (escapes === '') return decoded;
  let result = '';
  for (let i = 0; i < decoded.length; i++) {
    if (decoded[i] !== '\\') {
      result += decoded[i];
      continue;
    }
    const next = decoded[++i];
    if (next === undefined || !escapes.includes(next)) throw new Fault('header-escape-invalid');
    result += { n: '\n', c: ':', r: '\r', '\\': '\\' }[next] ?? '';
  }
  return result;
}
