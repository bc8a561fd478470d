// What stands in a frame. Records follow each other, 8-aligned, little endian. Relies on nothing; the builders are in log.ts and its neighbours, the reading
// side in replay.ts and fetch.ts.
//
//   every record     0 kind u8 │ 1 … u8 × 3 │ 4 bytes u32 (of the record, header included, multiple of 8)
//
//   Publish, Moved   0 kind │ 1 guarantee │ 2 priority │ 3 –
//                    8 set u32                  12 body bytes u32
//                   16 codec u16, count u16     20 variant u32
//                   24 receivedAtMs f64         32 expiresAtMs f64
//                   40 slots u32 × count        slot i = i << 20 | where message i begins in the body
//                      body                     the messages of a run as they were received, in one piece
//                      Moved: refs              (24 bytes each, 8-aligned) queue u32 │ index u32 │ sequence f64 │ place it left u32 │ –, to the end of the record
//
//   Settle          (24 bytes each) queue u32 │ count u32 │ sequence low u32 │ sequence high u32 │ place of the first u32 │ place of the last u32
//   SetDef           8 set u32 │ 12 count u32 │ 16 text bytes u32 │ 20 queue u32 × count │ delivery options as JSON text
//   QueueDef         8 queue u32 │ 12 durability u32 │ 16 text bytes u32 │ 20 name as UTF-8
//   QueueEnd         8 queue u32
//   Put              8 space bytes u32 │ 12 key bytes u32 │ 16 value bytes u32 │ 20 space, key, value
//   Remove           8 space bytes u32 │ 12 key bytes u32 │ 16 0            │ 20 space, key
//   Mark             nothing; makes sure that a unit exists, for whoever waits for it
//
// The place of a message is the position of its slot; in Settle and Moved the low 32 bits of a quarter of it, which tell whether the sequence numbers of a damaged
// log still mean what they meant. A slot knows its own index, so the record can be found from any of its messages, and an index entry is
// one number of 4 bytes. A record holds at most SLOT_MESSAGES_MAX messages and, when more than one, SLOT_BODY_MAX bytes; a longer run becomes several records.
// Publish has no sequence numbers: every queue of the set gives its next ones, in the order of the log.

export const RecordKind = {
  Publish: 1,
  Moved: 2,
  Settle: 3,
  SetDef: 4,
  QueueDef: 5,
  QueueEnd: 6,
  Put: 7,
  Remove: 8,
  Mark: 9,
} as const;

export const PUBLISH_HEADER_BYTES = 40;
export const SLOT_MESSAGES_MAX = 4096;
export const SLOT_BODY_MAX = 1 << 20;
export const SLOT_BODY_BITS = 20;
export const SETTLE_RANGE_BYTES = 24;
export const MOVED_REF_BYTES = 24;
export const RECORD_HEADER_BYTES = 8;
export const TEXT_HEADER_BYTES = 20;

export function padded(bytes: number): number {
  return (bytes + 7) & ~7;
}

export function publishBytes(count: number, bodyBytes: number): number {
  return padded(PUBLISH_HEADER_BYTES + 4 * count + bodyBytes);
}

/** What Settle and Moved keep of a position. */
export function placeOf(position: number): number {
  return (position / 4) % 4_294_967_296;
}
