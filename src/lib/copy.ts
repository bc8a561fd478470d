// Copying a few bytes from one array to another.

/** A loop beats a call into native code, and the view it takes, up to so many bytes. */
const COPIED_BY_HAND = 48;

/** Copies bytes[start, end) to into[at]; returns the position after them. */
export function copy(bytes: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  const size = end - start;
  if (size > COPIED_BY_HAND) into.set(bytes.subarray(start, end), at);
  else for (let i = 0; i < size; i++) into[at + i] = bytes[start + i]!;
  return at + size;
}
