// Heart-beats: what two ends agree on in CONNECT and CONNECTED, and the watch over both directions, driven by the adapter's tick. STOMP 1.2 "Heart-beating" [STOMP-H-2].
import type { TransportKind } from '../../src/io/transport.ts';

/** A sender is given twice its interval before it counts as gone: the specification asks receivers for a margin. */
const TOLERANCE = 2;
/** Browsers run the timers of a hidden page once a minute. Over WebSocket, whoever promised beats every few seconds is believed alive so long. */
const HIDDEN_PAGE_MS = 75_000;
const HIDDEN_PAGE_INTERVAL_MS = 5000;
/** What is sent goes out this early, so that the peer, with its own idea of time, never waits in vain. */
const EARLINESS = 0.75;

/** "<cx>,<cy>": what a side can send, and what it would like to get, in milliseconds. Null for anything else. */
export function parseHeartBeat(text: string): { readonly sendsMs: number; readonly wantsMs: number } | null {
  const match = /^\s*(\d{1,10})\s*,\s*(\d{1,10})\s*$/.exec(text);
  return match === null ? null : { sendsMs: Number(match[1]), wantsMs: Number(match[2]) };
}

/** The interval of one direction: none when either side does not care, else the longer one. */
export function agreedInterval(sendsMs: number, wantsMs: number): number {
  return sendsMs === 0 || wantsMs === 0 ? 0 : Math.max(sendsMs, wantsMs);
}

export class HeartBeat {
  /** Send when nothing has been sent for so long; 0 never. */
  private readonly sendAfterMs: number;
  /** The peer is gone when nothing has come for so long; 0 never. */
  readonly silenceMaxMs: number;
  private sentBytes = -1;
  private lastSentMs: number;
  private lastTickMs: number;

  constructor(sendMs: number, receiveMs: number, kind: TransportKind, nowMs: number) {
    this.sendAfterMs = sendMs * EARLINESS;
    const patience = kind === 'ws' && receiveMs >= HIDDEN_PAGE_INTERVAL_MS ? HIDDEN_PAGE_MS : 0;
    this.silenceMaxMs = receiveMs === 0 ? 0 : Math.max(receiveMs * TOLERANCE, patience);
    this.lastSentMs = nowMs;
    this.lastTickMs = nowMs;
  }

  /** A tick of the clock. bytes: all that was ever handed to the output. Returns whether a line end is to be sent. */
  isDue(nowMs: number, bytes: number): boolean {
    if (this.sendAfterMs === 0) return false;
    // What was sent since the last tick may have left right after it.
    if (bytes !== this.sentBytes) this.lastSentMs = this.lastTickMs;
    this.sentBytes = bytes;
    this.lastTickMs = nowMs;
    return nowMs - this.lastSentMs >= this.sendAfterMs;
  }
}
