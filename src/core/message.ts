// What the core carries, when somebody asks for one message rather than for a run of them. Immutable; all fields always present (one hidden class).
import type { Address } from './address.ts';
import type { Guarantee } from './guarantee.ts';
import { type Headers, NO_HEADERS, NO_PROPERTIES, type Properties } from './properties.ts';

export class Message {
  readonly address: Address;
  readonly payload: Uint8Array;
  readonly properties: Properties;
  readonly headers: Headers;
  /** What the publisher asked for; more than AtMostOnce makes the message persistent. */
  readonly guarantee: Guarantee;
  /** The publisher asked for it to be retained. */
  readonly retain: boolean;
  readonly priority: number;
  /** When the broker took it, epoch milliseconds. */
  readonly receivedAtMs: number;
  /** Epoch milliseconds after which it must not be delivered any more; 0 for never. */
  readonly expiresAtMs: number;
  /** What the codec that made it wants to find again (its own properties), or null. No other codec looks at it. */
  readonly native: object | null;

  constructor(
    address: Address,
    payload: Uint8Array,
    properties: Properties,
    headers: Headers,
    guarantee: Guarantee,
    retain: boolean,
    priority: number,
    receivedAtMs: number,
    expiresAtMs: number,
    native: object | null,
  ) {
    this.address = address;
    this.payload = payload;
    this.properties = properties;
    this.headers = headers;
    this.guarantee = guarantee;
    this.retain = retain;
    this.priority = priority;
    this.receivedAtMs = receivedAtMs;
    this.expiresAtMs = expiresAtMs;
    this.native = native;
  }

  get persistent(): boolean {
    return this.guarantee > 0;
  }
}

/** A message with only what is given; the rest is empty. */
export function simpleMessage(
  address: Address,
  payload: Uint8Array,
  guarantee: Guarantee,
  receivedAtMs: number,
): Message {
  return new Message(address, payload, NO_PROPERTIES, NO_HEADERS, guarantee, false, 0, receivedAtMs, 0, null);
}
