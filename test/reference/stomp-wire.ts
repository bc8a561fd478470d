// STOMP frames written plainly, header by header with strings; shares no code with protocols/stomp/.

/** 10 is STOMP 1.0, 11 is 1.1, 12 is 1.2. */
export type Level = 10 | 11 | 12;

/** Header values and names as a version writes them; CONNECT and CONNECTED are written as in 1.0. */
export function escapeText(level: Level, value: string, isName = false): string {
  const noNul = value.replaceAll('\0', ' ');
  if (level === 10) {
    const flat = noNul.replace(/[\r\n]/g, ' ');
    return isName ? flat.replaceAll(':', '_') : flat;
  }
  const escaped = noNul.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll(':', '\\c');
  return level === 12 ? escaped.replaceAll('\r', '\\r') : escaped;
}

/** The lines of headers: name, value, name, value, … */
export function headerLines(level: Level, headers: readonly string[]): string {
  let lines = '';
  for (let i = 0; i + 1 < headers.length; i += 2) {
    lines += `${escapeText(level, headers[i]!, true)}:${escapeText(level, headers[i + 1]!)}\n`;
  }
  return lines;
}

/** A frame; counted says whether content-length is written, which the broker does whenever there is a body. */
export function frameBytes(
  level: Level,
  command: string,
  headers: readonly string[],
  body: Uint8Array = Buffer.alloc(0),
  counted = body.length > 0,
): Buffer {
  const lines = headerLines(command === 'CONNECT' || command === 'CONNECTED' ? 10 : level, headers);
  const length = counted ? `content-length:${body.length}\n` : '';
  return Buffer.concat([Buffer.from(`${command}\n${lines}${length}\n`), body, Buffer.from([0])]);
}

/** What stands in a stream of frames of the broker, one by one. */
export function splitFrames(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const blank = bytes.indexOf('\n\n', start);
    const counted = blank < 0 ? null : /\ncontent-length:(\d+)/.exec(bytes.toString('latin1', start, blank));
    const end = counted === null ? bytes.indexOf(0, blank) + 1 : blank + 2 + Number(counted[1]) + 1;
    if (blank < 0 || end <= 0 || end > bytes.length || bytes[end - 1] !== 0)
      throw new Error('the stream ends inside a frame');
    frames.push(bytes.subarray(start, end));
    start = end;
  }
  return frames;
}
