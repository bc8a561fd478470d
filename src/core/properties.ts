// Protocol-neutral message properties: what every protocol has a name for (the table of names is in README.md, "One key, four carriers").
import type { Address } from './address.ts';

export interface Properties {
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly correlationId: Uint8Array | null;
  readonly replyTo: Address | null;
  readonly messageId: string | null;
  /** The publisher's own time stamp, as it wrote it. */
  readonly timestamp: string | null;
  readonly type: string | null;
  readonly userId: string | null;
  readonly appId: string | null;
  /** The publisher declares the payload to be UTF-8 text. */
  readonly utf8: boolean;
}

export const NO_PROPERTIES: Properties = Object.freeze({
  contentType: null,
  contentEncoding: null,
  correlationId: null,
  replyTo: null,
  messageId: null,
  timestamp: null,
  type: null,
  userId: null,
  appId: null,
  utf8: false,
});

/** Application headers: name, value, name, value, …, in the publisher's order, duplicates kept. */
export type Headers = readonly string[];

export const NO_HEADERS: Headers = Object.freeze([]);

/** The first value of `name`, or null. */
export function headerValue(headers: Headers, name: string): string | null {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === name) return headers[i + 1]!;
  }
  return null;
}
