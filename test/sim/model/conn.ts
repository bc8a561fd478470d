// One connection as the network sees it: what was agreed, and which answers the broker still owes.
import type { Sent } from './sent.ts';
import type { SessionModel } from './session-model.ts';

export class Conn {
  readonly identity: number;
  readonly name: string;
  session: SessionModel | null = null;
  /** The broker has neither ended it nor been told of its end. */
  open = true;
  receiveMaximum = 65_535;
  packetBytesMax = Number.POSITIVE_INFINITY;
  /** Identifiers of PUBLISH packets above QoS 0 written on this connection whose acknowledgement the broker has not been given. */
  readonly unacknowledged = new Set<number>();
  /** The client knows subscription identifiers. */
  takesIdentifiers = false;
  /** Identifiers whose PUBREC the broker was given. */
  readonly pubrecsFed = new Set<number>();
  /** In the order in which the broker was given the questions. */
  readonly pubacks: { readonly id: number; readonly sent: Sent }[] = [];
  readonly pubrecs: { readonly id: number; readonly sent: Sent }[] = [];
  readonly pubcomps: number[] = [];
  pings = 0;
  /** By QoS: when the message that was sent again last was written first. */
  readonly resentSteps = [-1, -1, -1];

  constructor(identity: number, name: string) {
    this.identity = identity;
    this.name = name;
  }
}
