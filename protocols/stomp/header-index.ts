// The headers of one frame, as ranges of the bytes they stand in. Filled line by line by FrameScanner, asked by sessions: by number (headers.ts) for the
// names the broker knows, by index for all of them. Makes a string only when asked for one. Relies on the scanner for UTF-8 and escapes being valid, and
// on its owner to ask only while the bytes are still there.
//
//   base
//   SEND \n destination : /topic/a \n      four Uint32 per header, counted from base, so that a frame that lies elsewhere needs nothing but a new base
//           └ nameStart └ nameEnd  └ valueEnd
//                         └ valueStart
import { quoted, stompError } from './errors.ts';
import { HEADER_NAMES, HEADER_NUMBERS, headerNumber } from './headers.ts';

/** Marks of a header line. */
export const HeaderFlag = {
  /** Has bytes over 0x7F. */
  NON_ASCII: 1,
  /** Has escape sequences to be undone. */
  ESCAPED: 2,
  /** Has a colon in its value, or a CR or backslash that stands for itself: versions differ in how they write those. */
  RAW: 4,
  /** Has the same number as an earlier header of the frame, and does not count. */
  REPEATED: 8,
} as const;

const LF = 0x0a;
const COLON = 0x3a;
const SPACE = 0x20;

const EMPTY = Buffer.alloc(0);
/** Enough for nearly every frame; doubled when it is not. */
const ROOM_AT_FIRST = 16;

export class HeaderIndex {
  /** Headers so far; indices count from 0 in the order of the frame. */
  count = 0;
  /** Where the frame is; set by the scanner. */
  bytes: Uint8Array = EMPTY;
  base = 0;
  /**
   * Another one for every frame whose command, headers or version differ in any byte from those of the frame before. While
   * it stays the same, everything that was derived from the headers still holds.
   */
  generation = 0;
  /** The bytes that view is a view of. */
  private viewed: Uint8Array = EMPTY;
  private view: Buffer = EMPTY;
  private offsets = new Uint32Array(ROOM_AT_FIRST * 4);
  private numbers = new Uint8Array(ROOM_AT_FIRST);
  private marks = new Uint8Array(ROOM_AT_FIRST);
  /** Number → index of its first header, -1 when absent. */
  private readonly slots = new Int16Array(HEADER_NUMBERS).fill(-1);

  /** Index of the first header with this number, or -1. STOMP 1.2 "Repeated Header Entries": the first one counts. [STOMP-F-18] */
  find(number: number): number {
    return this.slots[number]!;
  }

  has(number: number): boolean {
    return this.slots[number]! >= 0;
  }

  /** The value as a string, escapes undone; null when there is no such header. */
  string(number: number): string | null {
    const index = this.slots[number]!;
    return index < 0 ? null : this.valueAt(index);
  }

  /** The value as a whole number from 0 on; `absent` when there is no such header. Throws ProtocolError for anything else. */
  int(number: number, absent: number): number {
    const index = this.slots[number]!;
    if (index < 0) return absent;
    const value = this.decimalAt(index);
    if (value < 0) {
      const found = quoted(this.bytes, this.valueStart(index), this.valueEnd(index));
      throw stompError('header-value-invalid', `${HEADER_NAMES[number]!} is a whole number from 0 on, not ${found}`);
    }
    return value;
  }

  /** Whether the value is exactly this ASCII text, which has nothing to escape ('true', 'client-individual'). */
  is(number: number, text: string): boolean {
    const index = this.slots[number]!;
    if (index < 0) return false;
    const start = this.valueStart(index);
    if (this.valueEnd(index) - start !== text.length) return false;
    for (let i = 0; i < text.length; i++) {
      if (this.bytes[start + i] !== text.charCodeAt(i)) return false;
    }
    return true;
  }

  /** Number of the header's name; 0 when it has none. */
  numberAt(index: number): number {
    return this.numbers[index]!;
  }

  /** HeaderFlag bits. */
  flagsAt(index: number): number {
    return this.marks[index]!;
  }

  nameStart(index: number): number {
    return this.base + this.offsets[index * 4]!;
  }

  nameEnd(index: number): number {
    return this.base + this.offsets[index * 4 + 1]!;
  }

  valueStart(index: number): number {
    return this.base + this.offsets[index * 4 + 2]!;
  }

  valueEnd(index: number): number {
    return this.base + this.offsets[index * 4 + 3]!;
  }

  nameAt(index: number): string {
    const number = this.numbers[index]!;
    if (number !== 0) return HEADER_NAMES[number]!;
    return this.text(this.nameStart(index), this.nameEnd(index), this.marks[index]!);
  }

  valueAt(index: number): string {
    return this.text(this.valueStart(index), this.valueEnd(index), this.marks[index]!);
  }

  /** The value as a whole number, -1 when it is none; what is over 2^53 is 2^53. */
  decimalAt(index: number): number {
    const start = this.valueStart(index);
    const end = this.valueEnd(index);
    if (start === end) return -1;
    let value = 0;
    for (let p = start; p < end; p++) {
      const digit = this.bytes[p]! - 0x30;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return Math.min(value, 2 ** 53);
  }

  /** Whether an earlier header of the frame has the same name, so that this one does not count. */
  isRepeated(index: number): boolean {
    if (this.numbers[index] !== 0) return (this.marks[index]! & HeaderFlag.REPEATED) !== 0;
    const start = this.nameStart(index);
    const length = this.nameEnd(index) - start;
    for (let other = 0; other < index; other++) {
      const otherStart = this.nameStart(other);
      if (this.nameEnd(other) - otherStart !== length) continue;
      // Within one version a name can be escaped in one way only, so that equal names have equal bytes.
      let i = 0;
      while (i < length && this.bytes[start + i] === this.bytes[otherStart + i]) i++;
      if (i === length) return true;
    }
    return false;
  }

  /** Whether the header's bytes mean the same in a frame of any version, so that copyLine() may put them there. */
  isPortable(index: number): boolean {
    return (this.marks[index]! & (HeaderFlag.ESCAPED | HeaderFlag.RAW)) === 0;
  }

  /** How many bytes copyLine() writes. */
  lineBytes(index: number): number {
    const i = index * 4;
    return this.offsets[i + 1]! - this.offsets[i]! + this.offsets[i + 3]! - this.offsets[i + 2]! + 2;
  }

  /** Writes the header as a line, its bytes as they came, to out[at…]; returns the offset after it. */
  copyLine(index: number, out: Uint8Array, at: number): number {
    const bytes = this.bytes;
    const nameEnd = this.nameEnd(index);
    const valueEnd = this.valueEnd(index);
    let to = at;
    for (let from = this.nameStart(index); from < nameEnd; from++) out[to++] = bytes[from]!;
    out[to++] = COLON;
    for (let from = this.valueStart(index); from < valueEnd; from++) out[to++] = bytes[from]!;
    out[to++] = LF;
    return to;
  }

  /** The bytes as a Buffer, which has faster ways to search and to make strings. */
  buffer(): Buffer {
    const bytes = this.bytes;
    if (this.viewed !== bytes) {
      this.view = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      this.viewed = bytes;
    }
    return this.view;
  }

  // For the scanner.

  clear(): void {
    for (let i = 0; i < this.count; i++) this.slots[this.numbers[i]!] = -1;
    this.count = 0;
  }

  /** Lets go of the bytes too. */
  release(): void {
    this.clear();
    this.bytes = EMPTY;
    this.viewed = EMPTY;
    this.view = EMPTY;
  }

  /** The line name:value in [lineStart, lineEnd). */
  add(lineStart: number, nameEnd: number, lineEnd: number, flags: number): void {
    const index = this.count;
    if (index === this.numbers.length) this.grow();
    const offsets = this.offsets;
    const i = index * 4;
    const base = this.base;
    offsets[i] = lineStart - base;
    offsets[i + 1] = nameEnd - base;
    offsets[i + 2] = nameEnd + 1 - base;
    offsets[i + 3] = lineEnd - base;
    const number = headerNumber(this.bytes, lineStart, nameEnd);
    this.numbers[index] = number;
    this.marks[index] = flags;
    if (number !== 0) {
      if (this.slots[number]! < 0) this.slots[number] = index;
      else this.marks[index] = flags | HeaderFlag.REPEATED;
    }
    this.count = index + 1;
  }

  /**
   * Drops the headers that do not lie, with their line end, in the first `length` bytes of the frame. The last one is always
   * dropped. Returns where the first line dropped starts, counted from base; 0 when no header is left.
   */
  keep(length: number): number {
    let kept = this.count - 1;
    while (kept > 0 && this.offsets[kept * 4]! > length) kept--;
    if (kept <= 0) {
      this.clear();
      return 0;
    }
    for (let i = kept; i < this.count; i++) {
      const number = this.numbers[i]!;
      if (this.slots[number] === i) this.slots[number] = -1;
    }
    this.count = kept;
    return this.offsets[kept * 4]!;
  }

  /** Takes the spaces around every value out of it. */
  trimValues(): void {
    const { bytes, offsets, base } = this;
    for (let i = 2; i < this.count * 4; i += 4) {
      let start = offsets[i]!;
      let end = offsets[i + 1]!;
      while (start < end && bytes[base + start] === SPACE) start++;
      while (start < end && bytes[base + end - 1] === SPACE) end--;
      offsets[i] = start;
      offsets[i + 1] = end;
    }
  }

  private grow(): void {
    const room = this.numbers.length * 2;
    const { offsets, numbers, marks } = this;
    this.offsets = new Uint32Array(room * 4);
    this.offsets.set(offsets);
    this.numbers = new Uint8Array(room);
    this.numbers.set(numbers);
    this.marks = new Uint8Array(room);
    this.marks.set(marks);
  }

  private text(start: number, end: number, flags: number): string {
    const view = this.buffer();
    if ((flags & (HeaderFlag.NON_ASCII | HeaderFlag.ESCAPED)) === 0) return view.toString('latin1', start, end);
    const text = view.toString('utf8', start, end);
    return (flags & HeaderFlag.ESCAPED) === 0 ? text : withoutEscapes(text);
  }
}

function withoutEscapes(text: string): string {
  return text.replaceAll(/\\[cnr\\]/g, (sequence) => {
    switch (sequence) {
      case '\\c':
        return ':';
      case '\\n':
        return '\n';
      case '\\r':
        return '\r';
      default:
        return '\\';
    }
  });
}
