// Binary Data (MQTT 5.0 section 1.5.6): up to 65,535 bytes of any kind behind two bytes of length.
/** What two bytes of length can say. */
export const BINARY_BYTES_MAX = 65_535;

/** Bytes of Binary Data on the wire, with its two bytes of length. */
export function binaryBytes(value: Uint8Array): number {
  if (value.length > BINARY_BYTES_MAX) {
    throw new RangeError(`Binary data of ${value.length} bytes exceeds the ${BINARY_BYTES_MAX} bytes MQTT allows`);
  }
  return 2 + value.length;
}

export function writeBinary(into: Buffer, at: number, value: Uint8Array): number {
  const pos = into.writeUInt16BE(value.length, at);
  into.set(value, pos);
  return pos + value.length;
}
