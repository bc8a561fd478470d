// The header names the broker has a use for, and how they are recognised in place. A recognised name has a small number, so that a frame's headers
// can be asked for without a string. The keys of the table are the words on the wire. Knows nothing of frames; never allocates after loading.
import { assert } from '../../src/lib/assert.ts';

/** Known header names by their own words; 0 stands for every other name. The session gives them their meaning. */
export const Header = {
  destination: 1,
  'content-length': 2,
  'content-type': 3,
  receipt: 4,
  id: 5,
  ack: 6,
  transaction: 7,
  subscription: 8,
  'message-id': 9,
  // CONNECT and CONNECTED.
  host: 10,
  login: 11,
  passcode: 12,
  'accept-version': 13,
  'heart-beat': 14,
  version: 15,
  session: 16,
  server: 17,
  'client-id': 18,
  // The other server frames.
  'receipt-id': 19,
  message: 20,
  redelivered: 21,
  retained: 22,
  // Properties of a message.
  persistent: 23,
  priority: 24,
  expires: 25,
  expiration: 26,
  'reply-to': 27,
  'correlation-id': 28,
  'correlation-id-encoding': 29,
  'content-encoding': 30,
  timestamp: 31,
  type: 32,
  'user-id': 33,
  'app-id': 34,
  'amqp-message-id': 35,
  'x-message-id': 36,
  'message-type': 37,
  transformation: 38,
  // What SEND may ask for.
  retain: 39,
  mandatory: 40,
  'x-delay': 41,
  'x-deliver-at': 42,
  AMQ_SCHEDULED_DELAY: 43,
  AMQ_SCHEDULED_PERIOD: 44,
  AMQ_SCHEDULED_REPEAT: 45,
  AMQ_SCHEDULED_CRON: 46,
  JMSXGroupID: 47,
  JMSXGroupSeq: 48,
  'x-return-to': 49,
  'x-nack': 50,
  'x-durability': 51,
  'x-message-ttl': 52,
  // What SUBSCRIBE and UNSUBSCRIBE may ask for.
  selector: 53,
  'prefetch-count': 54,
  durable: 55,
  'auto-delete': 56,
  exclusive: 57,
  'no-local': 58,
  browser: 59,
  'durable-subscription-name': 60,
  'activemq.subscriptionName': 61,
  'activemq.prefetchSize': 62,
  'activemq.exclusive': 63,
  'activemq.priority': 64,
  'activemq.noLocal': 65,
  'x-queue-name': 66,
  'x-share-group': 67,
  'x-retain-handling': 68,
  'x-stream-offset': 69,
  // What ACK and NACK may ask for, and what the broker says of a delivery.
  requeue: 70,
  'x-retry-after': 71,
  'x-confirm': 72,
  'x-delivery-count': 73,
  // The word of other protocols for `selector`.
  'x-selector': 74,
  // ActiveMQ's: text or bytes, whatever content-length says.
  'amq-msg-type': 75,
} as const;

export type HeaderName = keyof typeof Header;

/** Names by number; [0] is empty. */
export const HEADER_NAMES: readonly string[] = ['', ...Object.keys(Header)];

/** One more than the highest number. */
export const HEADER_NUMBERS = HEADER_NAMES.length;

// Open addressing: a bucket holds a name's number, a run of taken buckets ends in a 0.
const BUCKET_COUNT = 512;
const BUCKET_MASK = BUCKET_COUNT - 1;
const BUCKETS = new Uint8Array(BUCKET_COUNT);
/** All names one after the other; name n is NAME_BYTES[NAME_AT[n], NAME_AT[n + 1]). */
const NAME_BYTES = new TextEncoder().encode(HEADER_NAMES.join(''));
const NAME_AT = new Uint16Array(HEADER_NUMBERS + 1);
const NAME_BYTES_MAX = Math.max(...HEADER_NAMES.map((name) => name.length));

/** Of a name's length, first, middle and last byte; the multipliers give every name of the table a bucket of its own. */
function bucketOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  return (length + bytes[start]! + bytes[start + (length >> 1)]! * 15 + bytes[end - 1]! * 19) & BUCKET_MASK;
}

let at = 0;
for (let number = 1; number < HEADER_NUMBERS; number++) {
  const name = HEADER_NAMES[number]!;
  assert(Header[name as HeaderName] === number, `Header number ${number} does not stand in its place in the table.`);
  NAME_AT[number] = at;
  let bucket = bucketOf(NAME_BYTES, at, at + name.length);
  while (BUCKETS[bucket] !== 0) bucket = (bucket + 1) & BUCKET_MASK;
  BUCKETS[bucket] = number;
  at += name.length;
}
NAME_AT[HEADER_NUMBERS] = at;

/** The number of the name in bytes[start, end), which is not empty; 0 for a name that is not in the table. */
export function headerNumber(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > NAME_BYTES_MAX) return 0;
  let bucket = bucketOf(bytes, start, end);
  for (;;) {
    const number = BUCKETS[bucket]!;
    if (number === 0) return 0;
    const nameAt = NAME_AT[number]!;
    if (NAME_AT[number + 1]! - nameAt === length) {
      let i = 0;
      while (i < length && bytes[start + i] === NAME_BYTES[nameAt + i]) i++;
      if (i === length) return number;
    }
    bucket = (bucket + 1) & BUCKET_MASK;
  }
}
