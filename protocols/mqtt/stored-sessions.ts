// What MQTT keeps of durable sessions in the state store, beside what the core keeps: QoS 2 identifiers in both directions and wills. Every entry is written in the turn of what it belongs
// to, so that after a crash both are there or neither. Identifiers of QoS 1 are not kept: after a restart its messages are delivered again under new ones.
//
//   mqtt.received   vhost \0 client id \0 identifier   taken from the client, PUBREL has not come              (empty)
//   mqtt.sent       vhost \0 client id \0 identifier   PUBLISH sent, PUBREC has not come                       f64 sequence │ name of the queue in the log; empty for a message that is not in the log
//   mqtt.released   vhost \0 client id \0 identifier   PUBREC came, PUBCOMP has not                            (empty)
//   mqtt.will       vhost \0 client id                 the will of the connection, or one that waits            f64 due │ f64 delay │ PUBLISH of MQTT 5
import type { Broker } from '../../src/core/broker.ts';
import type { Queue } from '../../src/core/queue.ts';
import type { Session } from '../../src/core/session.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { ClientState, ReceivedIds } from './client-state.ts';
import { FROM_CLIENT } from './decode-options.ts';
import { decode } from './decoder.ts';
import { encode } from './encoder.ts';
import { InflightState } from './inflight-window.ts';
import { publish } from './packet.ts';
import { PacketType, ProtocolVersion } from './packet-type.ts';
import { SentBefore } from './resend.ts';
import type { StoredWill } from './will.ts';

const RECEIVED = 'mqtt.received';
const SENT = 'mqtt.sent';
const RELEASED = 'mqtt.released';
const WILL = 'mqtt.will';
const NOTHING = new Uint8Array(0);
const NO_QUEUES: ReadonlyMap<string, Queue> = new Map();
const WILL_HEADER_BYTES = 17;

/** A will as it was found after a restart. */
export interface RecoveredWill {
  readonly vhost: Vhost;
  readonly session: Session;
  readonly will: StoredWill;
  /** When its delay ends; 0 when its client was connected to the end. */
  readonly dueMs: number;
}

export class StoredSessions {
  private readonly broker: Broker;

  constructor(broker: Broker) {
    this.broker = broker;
  }

  /** Whether anything of this session outlives the process. */
  keeps(session: Session): boolean {
    return session.durable && this.broker.state !== null;
  }

  /** Each returns the position to wait for; 0 when nothing is kept. */
  putReceived(session: Session, id: number): number {
    return this.put(RECEIVED, session, id, NOTHING);
  }

  removeReceived(session: Session, id: number): number {
    return this.remove(RECEIVED, session, id);
  }

  /** sequence: 0 for a message that is not in the log. */
  putSent(session: Session, id: number, queue: Queue, sequence: number): number {
    if (sequence === 0) return this.put(SENT, session, id, NOTHING);
    const name = Buffer.from(queue.log!.name);
    const value = Buffer.allocUnsafe(8 + name.length);
    value.writeDoubleBE(sequence, 0);
    value.set(name, 8);
    return this.put(SENT, session, id, value);
  }

  removeSent(session: Session, id: number): number {
    return this.remove(SENT, session, id);
  }

  /** The message under this identifier is gone; the client, which may know it, is asked to forget it. */
  letGo(session: Session, id: number): void {
    this.removeSent(session, id);
    this.putReleased(session, id);
  }

  putReleased(session: Session, id: number): number {
    return this.put(RELEASED, session, id, NOTHING);
  }

  removeReleased(session: Session, id: number): number {
    return this.remove(RELEASED, session, id);
  }

  putWill(session: Session, will: StoredWill, dueMs: number): number {
    if (!this.keeps(session)) return 0;
    const { topic, payload, qos, retain, properties } = will;
    const packetId = qos === 0 ? 0 : 1;
    const frame = encode(publish(topic, { payload, qos, retain, properties, packetId }), ProtocolVersion.V5);
    const value = Buffer.allocUnsafe(WILL_HEADER_BYTES + frame.length);
    value.writeDoubleBE(dueMs, 0);
    value.writeDoubleBE(will.delayMs, 8);
    value[16] = will.version;
    value.set(frame, WILL_HEADER_BYTES);
    return this.broker.state!.put(WILL, sessionKey(session), value);
  }

  removeWill(session: Session): number {
    return this.keeps(session) ? this.broker.state!.remove(WILL, sessionKey(session)) : 0;
  }

  /** The session is no more, or no longer outlives the process. client: its identifiers, if it has any. */
  forget(session: Session, client: ClientState | null): void {
    const { state } = this.broker;
    if (state === null) return;
    for (const id of client?.received ?? []) state.remove(RECEIVED, idKey(session, id));
    for (const id of client?.window.inOrder() ?? []) {
      const kind = client!.window.stateOf(id);
      if (kind === InflightState.AwaitPubcomp) state.remove(RELEASED, idKey(session, id));
      else if (kind !== InflightState.AwaitPuback) state.remove(SENT, idKey(session, id));
    }
    state.remove(WILL, sessionKey(session));
  }

  /** After Broker.recover: everything goes back to its session. What belongs to no session any more goes. Returns the wills. */
  recover(): RecoveredWill[] {
    const { state } = this.broker;
    const wills: RecoveredWill[] = [];
    if (state === null) return wills;
    for (const [key] of [...state.load(RECEIVED)]) {
      const found = this.find(key);
      if (found === null) {
        state.remove(RECEIVED, key);
        continue;
      }
      found.client.received ??= new ReceivedIds();
      found.client.received.add(found.id);
    }
    for (const [key] of [...state.load(RELEASED)].sort(byId)) {
      const found = this.find(key);
      if (found === null) state.remove(RELEASED, key);
      else found.client.window.place(found.id, null, 0, InflightState.AwaitPubcomp);
    }
    const sent = [...state.load(SENT)].sort(byId);
    const queues = sent.length === 0 ? NO_QUEUES : this.queuesByLog();
    for (const [key, value] of sent) {
      const found = this.find(key);
      if (found === null) {
        state.remove(SENT, key);
        continue;
      }
      if (value.length === 0) {
        // Its message has ended with the process. Only the client knows whether it has it: PUBREL lets it forget the identifier either way.
        found.client.window.place(found.id, null, 0, InflightState.AwaitPubcomp);
        this.letGo(found.client.session, found.id);
        continue;
      }
      const bytes = Buffer.from(value);
      const { client, id } = found;
      const queue = queues.get(bytes.toString('utf8', 8));
      if (queue === undefined) {
        client.window.place(id, null, 0, InflightState.AwaitPubcomp);
        this.letGo(client.session, id);
        continue;
      }
      const sequence = bytes.readDoubleBE(0);
      client.window.place(id, queue, sequence, InflightState.Recovered);
      queue.reserve(sequence, new SentBefore(this, client, id));
    }
    for (const [key, value] of [...state.load(WILL)]) {
      const [vhostName, clientId] = key.split('\0') as [string, string];
      const vhost = this.broker.vhosts.get(vhostName);
      const session = vhost?.sessions.get(clientId);
      if (vhost === undefined || session === undefined) state.remove(WILL, key);
      else wills.push({ vhost, session, ...decodeWill(value) });
    }
    return wills;
  }

  private queuesByLog(): ReadonlyMap<string, Queue> {
    const queues = new Map<string, Queue>();
    for (const vhost of this.broker.vhosts.values()) {
      for (const queue of vhost.queues.values()) if (queue.log !== null) queues.set(queue.log.name, queue);
      for (const { queue } of vhost.sessions.values()) {
        if (queue !== null && queue.log !== null) queues.set(queue.log.name, queue);
      }
    }
    return queues;
  }

  private find(key: string): { client: ClientState; id: number } | null {
    const [vhost, clientId, id] = key.split('\0') as [string, string, string];
    const session = this.broker.vhosts.get(vhost)?.sessions.get(clientId);
    if (session === undefined) return null;
    return { client: ClientState.of(session), id: Number(id) };
  }

  private put(space: string, session: Session, id: number, value: Uint8Array): number {
    return this.keeps(session) ? this.broker.state!.put(space, idKey(session, id), value) : 0;
  }

  private remove(space: string, session: Session, id: number): number {
    return this.keeps(session) ? this.broker.state!.remove(space, idKey(session, id)) : 0;
  }
}

function sessionKey(session: Session): string {
  return `${session.vhostName}\0${session.clientId}`;
}

function idKey(session: Session, id: number): string {
  return `${sessionKey(session)}\0${id}`;
}

/** Smaller identifiers first, so that the next one given out is above them. */
function byId(a: readonly [string, Uint8Array], b: readonly [string, Uint8Array]): number {
  return Number(a[0].slice(a[0].lastIndexOf('\0') + 1)) - Number(b[0].slice(b[0].lastIndexOf('\0') + 1));
}

function decodeWill(value: Uint8Array): { will: StoredWill; dueMs: number } {
  // Memory of its own: the will lives as long as its session.
  const bytes = Buffer.from(value);
  const packet = decode(bytes.subarray(WILL_HEADER_BYTES), ProtocolVersion.V5, FROM_CLIENT);
  if (packet.type !== PacketType.PUBLISH) throw new Error('A stored will is no PUBLISH');
  const { topic, payload, qos, retain, properties } = packet;
  const version = bytes[16] === 5 ? 5 : 4;
  return {
    will: { topic, payload, qos, retain, properties, delayMs: bytes.readDoubleBE(8), version },
    dueMs: bytes.readDoubleBE(0),
  };
}
