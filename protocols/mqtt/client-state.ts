// What MQTT remembers of a session between connections: identifiers in flight in both directions, and the consumers that read its queues. A connection plugs in as `connection`;
// while there is none the credit is 0, so nothing is taken from any queue.
import { type Consumer, Credit } from '../../src/core/consumer.ts';
import type { Session } from '../../src/core/session.ts';
import type { Connection } from './connection.ts';
import { InflightWindow } from './inflight-window.ts';
import { OwnConsumer } from './queue-consumer.ts';

/** QoS 2 identifiers whose PUBLISH was taken and whose PUBREL has not come: a bit for each, made when the first is used. */
export class ReceivedIds {
  count = 0;
  private readonly bits = new Uint32Array(65_536 / 32);

  has(id: number): boolean {
    return (this.bits[id >>> 5]! & (1 << (id & 31))) !== 0;
  }

  add(id: number): void {
    this.bits[id >>> 5]! |= 1 << (id & 31);
    this.count++;
  }

  /** Returns whether it was there. */
  remove(id: number): boolean {
    if (!this.has(id)) return false;
    this.bits[id >>> 5]! &= ~(1 << (id & 31));
    this.count--;
    return true;
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let id = 1; id < 65_536; id++) if (this.has(id)) yield id;
  }
}

export class ClientState {
  readonly session: Session;
  readonly window = new InflightWindow();
  readonly credit = new Credit(0);
  readonly own: OwnConsumer;
  received: ReceivedIds | null = null;
  connection: Connection | null = null;
  /** Identifiers whose PUBLISH is to be sent again and waits for credit: the client has come back with a smaller Receive Maximum. They take no credit meanwhile. */
  readonly waiting: number[] = [];
  /** QoS 2 identifiers of this session are kept in the state store. */
  logged = false;
  /** The consumers of subscriptions that read a queue other than the session's own, by filter. Only while connected; null when there are none. */
  consumers: Map<string, Consumer> | null = null;

  constructor(session: Session) {
    this.session = session;
    this.own = new OwnConsumer(this);
  }

  /** The client has answered an identifier before its PUBLISH was sent again. Returns whether that was waiting. */
  stopWaiting(id: number): boolean {
    const at = this.waiting.indexOf(id);
    if (at < 0) return false;
    this.waiting.splice(at, 1);
    return true;
  }

  /** It remembers nothing that a new one would not know. */
  get idle(): boolean {
    return (
      this.connection === null &&
      this.window.count === 0 &&
      (this.received === null || this.received.count === 0) &&
      this.consumers === null
    );
  }

  /** That of the session, made when it has none. */
  static of(session: Session): ClientState {
    if (session.state instanceof ClientState) return session.state;
    const client = new ClientState(session);
    session.state = client;
    return client;
  }
}
