// When a message that a SEND carries expires.
import type { HeaderIndex } from './header-index.ts';
import { Header } from './headers.ts';

/** What lives longer has no end, since no protocol can say how long: a hundred years. */
const LIFE_MS_MAX = 100 * 366 * 86_400_000;

/** The earlier of expiration (milliseconds from now) and expires (epoch milliseconds, 0 for never); 0 for never. */
export function expiresAt(headers: HeaderIndex, nowMs: number): number {
  const until = earlierEnd(headers, nowMs);
  return until > nowMs + LIFE_MS_MAX ? 0 : until;
}

function earlierEnd(headers: HeaderIndex, nowMs: number): number {
  const expires = headers.int(Header.expires, 0);
  const expiration = headers.int(Header.expiration, -1);
  if (expiration < 0) return expires;
  // What lives for 0 ms goes to those who can take it at once, which is within this turn.
  const until = nowMs + Math.max(1, expiration);
  return expires === 0 ? until : Math.min(until, expires);
}
