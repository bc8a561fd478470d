// MESSAGE frames into outputs: a head that is made for each delivery, and behind it the bytes of the normal frame as they are.
//
//   MESSAGE\nsubscription:0\nmessage-id:k3x-2-  17  \nack:2-  17  \n  redelivered:true\n…   destination:/topic/a\n…content-length:5\n\nhello NUL
//   └ prefix ───────────────────────────────┘ number └ ack ┘ number     └ extra ──────────┘ └ frame behind its first line ─────────────────┘
//
// message-id is unique in the broker: a name of the connection (or, for deliveries that several connections get alike, of the adapter), the subscription's place in it, a count.
import type { WireForm } from '../../src/core/run.ts';
import { type Output, REFERENCE_BYTES_MIN, SLOT_BYTES } from '../../src/io/output.ts';
import { copy } from '../../src/lib/copy.ts';
import { SEND_LINE_BYTES } from './codec-run.ts';
import { decimalBytes, encodeMessagePrefix, writeDecimal } from './encoder.ts';
import type { Version } from './frame.ts';

const LF = 0x0a;
const ascii = new TextEncoder();
export const NO_EXTRA = new Uint8Array(0);

/** How the MESSAGE frames of a subscription begin and which forms they need. */
export class MessageHead {
  readonly version: Version;
  readonly slashes: boolean;
  /** ActiveMQ's dialect: a text goes out as it came, without content-length. */
  readonly texts: boolean;
  readonly prefix: Uint8Array;
  /** "\nack:…" up to its number; empty where the frames have no ack header. */
  readonly ack: Uint8Array;

  /** subscription: the client's id, null when it has none. name and ack: what stands in front of the number in the headers message-id and ack. */
  constructor(
    version: Version,
    slashes: boolean,
    texts: boolean,
    subscription: string | null,
    name: string,
    ack: string | null,
  ) {
    this.version = version;
    this.slashes = slashes;
    this.texts = texts;
    this.prefix = Buffer.concat([encodeMessagePrefix(subscription, version), ascii.encode(name)]);
    this.ack = ack === null ? NO_EXTRA : ascii.encode(`\nack:${ack}`);
  }

  bytes(number: number, extra: Uint8Array): number {
    const digits = decimalBytes(number);
    return this.prefix.length + digits + (this.ack.length === 0 ? 0 : this.ack.length + digits) + 1 + extra.length;
  }

  write(out: Uint8Array, at: number, number: number, extra: Uint8Array): number {
    const { prefix, ack } = this;
    // Whole arrays need no view, and are set faster than by a loop.
    out.set(prefix, at);
    const first = at + prefix.length;
    let to = writeDecimal(out, first, number);
    if (ack.length > 0) {
      const digits = to - first;
      out.set(ack, to);
      to += ack.length;
      for (let i = 0; i < digits; i++) out[to++] = out[first + i]!;
    }
    out[to++] = LF;
    if (extra.length > 0) {
      out.set(extra, to);
      to += extra.length;
    }
    return to;
  }
}

/**
 * Appends messages [index, index + count) of a form, numbered from `number`. lasting: nobody will change the form's bytes, so that long frames may go by reference.
 */
export function appendMessages(
  output: Output,
  head: MessageHead,
  form: WireForm,
  lasting: boolean,
  index: number,
  count: number,
  number: number,
  extra: Uint8Array,
): void {
  const { bytes, start, end, offsets } = form;
  for (let i = 0; i < count; i++) {
    const from = (offsets === null ? start : start + offsets[index + i]!) + SEND_LINE_BYTES;
    const to = offsets === null ? end : start + offsets[index + i + 1]!;
    const size = head.bytes(number + i, extra);
    const frameSize = to - from;
    if (frameSize < REFERENCE_BYTES_MIN && size + frameSize <= SLOT_BYTES) {
      const at = output.reserve(size + frameSize);
      const out = output.bytes;
      copy(bytes, from, to, out, head.write(out, at, number + i, extra));
    } else appendLong(output, head, bytes, from, to, lasting, number + i, extra);
  }
}

function appendLong(
  output: Output,
  head: MessageHead,
  bytes: Uint8Array,
  from: number,
  to: number,
  lasting: boolean,
  number: number,
  extra: Uint8Array,
): void {
  const beginning = new Uint8Array(head.bytes(number, extra));
  head.write(beginning, 0, number, extra);
  output.append(beginning, 0, beginning.length);
  if (lasting) output.appendOwned(bytes.subarray(from, to));
  else output.append(bytes, from, to);
}
