// A short way to write the bytes of a frame by hand, so that a table of vectors stays readable and its lengths are right:
//
//   10 0e00        bytes in hexadecimal, spaces anywhere
//   'MQTT'         the UTF-8 of the text
//   < … >          what stands inside, with its length in two bytes before it
//   [ … ]          what stands inside, with its length as a Variable Byte Integer before it
//   ( … )*5        what stands inside, five times

export function wire(text: string): Uint8Array {
  const parser = new WireParser(text);
  const bytes = parser.sequence('');
  return Uint8Array.from(bytes);
}

class WireParser {
  private readonly text: string;
  private pos = 0;

  constructor(text: string) {
    this.text = text;
  }

  sequence(closing: string): number[] {
    const out: number[] = [];
    for (;;) {
      const c = this.text[this.pos];
      if (c === undefined || c === closing) {
        if ((c ?? '') !== closing) throw new Error(`'${closing}' is missing in ${this.text}`);
        this.pos += 1;
        return out;
      }
      append(out, this.item(c));
    }
  }

  private item(c: string): readonly number[] {
    if (/\s/.test(c)) {
      this.pos += 1;
      return [];
    }
    if (c === "'") {
      const end = this.text.indexOf("'", this.pos + 1);
      const bytes = Buffer.from(this.text.slice(this.pos + 1, end));
      this.pos = end + 1;
      return [...bytes];
    }
    if (c === '<') {
      const inner = this.inner('>');
      return [inner.length >>> 8, inner.length & 0xff].concat(inner);
    }
    if (c === '[') {
      const inner = this.inner(']');
      return lengthPrefix(inner.length).concat(inner);
    }
    if (c === '(') return this.repetition();
    const byte = this.text.slice(this.pos, this.pos + 2);
    if (!/^[0-9a-f]{2}$/.test(byte)) throw new Error(`'${byte}' is no byte in ${this.text}`);
    this.pos += 2;
    return [Number.parseInt(byte, 16)];
  }

  private inner(closing: string): number[] {
    this.pos += 1;
    return this.sequence(closing);
  }

  private repetition(): number[] {
    const inner = this.inner(')');
    const count = /^\*(\d+)/.exec(this.text.slice(this.pos));
    if (count === null) throw new Error(`A count is missing in ${this.text}`);
    this.pos += count[0].length;
    const out: number[] = [];
    for (let i = 0; i < Number(count[1]); i++) append(out, inner);
    return out;
  }
}

function append(out: number[], bytes: readonly number[]): void {
  for (const byte of bytes) out.push(byte);
}

/** Not the codec's own function, so that both check each other. */
export function lengthPrefix(length: number): number[] {
  const out: number[] = [];
  let rest = length;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return out;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
