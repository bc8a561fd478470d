// Bytes that are written one piece after the other, without knowing beforehand how many there will be.

export class ByteBuilder {
  /** Changes when it grows: to be asked for after room(). */
  bytes: Buffer;
  length = 0;

  /** capacity: what is expected to come. */
  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafe(capacity);
  }

  /** Makes room for exactly `size` bytes behind what is there, which the caller writes; returns where. */
  room(size: number): number {
    const at = this.length;
    this.length = at + size;
    if (this.length > this.bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.length, this.bytes.length * 2));
      grown.set(this.bytes.subarray(0, at));
      this.bytes = grown;
    }
    return at;
  }

  /** Appends a copy of bytes[start, end). */
  append(bytes: Uint8Array, start: number, end: number): void {
    const at = this.room(end - start);
    this.bytes.set(bytes.subarray(start, end), at);
  }
}
