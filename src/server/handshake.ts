// The time a new stream has until its peer has been let in. Started when the connection is accepted, it goes with the stream from protocol detection over
// an HTTP upgrade to the session, which ends it by transport.established(). Relies on whoever owns the stream to say how it is closed at the moment.
import type { Clock, Timer } from '../io/clock.ts';
import type { LimitedLog } from '../io/limited-log.ts';
import { hostPort } from '../io/tcp.ts';
import type { HandshakeGuard, Peer } from '../io/transport.ts';

/** What a stream has not done yet; becomes part of a log line. */
export const Phase = {
  NothingSent: 'the peer sent nothing',
  NotRecognised: 'no protocol could be recognised in what it sent',
  NoRequest: 'its HTTP request did not get complete',
  AnswerNotRead: 'it did not take the answer to its HTTP request',
  NoSession: 'no session was established',
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

export interface HandshakeRules {
  readonly clock: Clock;
  readonly log: LimitedLog;
  readonly timeoutMs: number;
}

export class Handshake implements HandshakeGuard {
  /** Name of the protocol, once known. */
  protocol = '';
  private readonly rules: HandshakeRules;
  private readonly listener: string;
  private readonly peer: Peer;
  private phase: Phase = Phase.NothingSent;
  private close: () => void;
  private timer: Timer | null;

  constructor(rules: HandshakeRules, listener: string, peer: Peer, close: () => void) {
    this.rules = rules;
    this.listener = listener;
    this.peer = peer;
    this.close = close;
    this.timer = rules.clock.timer(rules.timeoutMs, this);
  }

  /** What is missing from here on; the time goes on running. */
  enter(phase: Phase): void {
    this.phase = phase;
  }

  /** The stream is somebody else's now. */
  closeBy(close: () => void): void {
    this.close = close;
  }

  end(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  onTimer(): void {
    if (this.timer === null) return;
    this.timer = null;
    const { timeoutMs } = this.rules;
    this.rules.log.warn(
      {
        listener: this.listener,
        peer: hostPort(this.peer.address, this.peer.port),
        protocol: this.protocol,
        code: 'handshake-timeout',
        timeoutMs,
        setting: 'connection.handshakeTimeoutMs',
      },
      `connection closed: ${this.phase} within ${timeoutMs} ms`,
    );
    this.close();
  }
}
