// Copying bytes from one array to another, or to another place of the same one.

/** A loop (1 ns a byte) beats a call into native code (21 ns) up to so many bytes; between two arrays, where the call needs a view, up to more. */
const COPIED_BY_HAND_WITHIN = 20;
const COPIED_BY_HAND_BETWEEN = 48;

/** Copies bytes[start, end) to into[at], where none of them may stand; returns the position after them. Within one block of memory many bytes are copied in half the time. */
export function copy(bytes: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  const size = end - start;
  if (size <= (bytes === into ? COPIED_BY_HAND_WITHIN : COPIED_BY_HAND_BETWEEN))
    for (let i = 0; i < size; i++) into[at + i] = bytes[start + i]!;
  else if (bytes === into) into.copyWithin(at, start, end);
  else into.set(size === bytes.length ? bytes : bytes.subarray(start, end), at);
  return at + size;
}
