// Subscriptions that live with their connection, as STOMP has them. Each is a session of its own to the rest of the oracle: one that takes what comes at most once, or one that reads a
// queue, its own (a topic with acknowledgements), a named one, a share group's, or one that is kept while its client is away.
import type { Conn } from './conn.ts';
import type { Delivery, Outcome } from './deliveries.ts';
import type { Oracle } from './oracle.ts';
import { QueueModel } from './queue-model.ts';
import type { Sent } from './sent.ts';
import { SessionModel, SubModel, SubState } from './session-model.ts';

export interface ReaderFields {
  readonly id: string;
  /** The topics it takes, as an MQTT filter; of a named queue its address. */
  readonly topicFilter: string;
  /** What it reads: nothing (straight from the exchange), a queue that others share under this name, or one of its own. */
  readonly reads: 'direct' | 'shared' | 'own' | 'kept';
  /** The shared or kept queue. */
  readonly queueName: string;
  readonly acks: 'auto' | 'client' | 'client-individual';
  readonly prefetch: number;
  readonly replays: boolean;
}

export class Reader {
  readonly conn: Conn;
  readonly fields: ReaderFields;
  readonly session: SessionModel;
  readonly sub: SubModel;
  readonly queue: QueueModel | null;
  /** Its queue is not to be kept any more. */
  forGood = false;
  private keys = 0;

  constructor(conn: Conn, fields: ReaderFields, queue: QueueModel | null) {
    this.conn = conn;
    this.fields = fields;
    this.queue = queue;
    this.session = new SessionModel(`${conn.name} ${fields.id}`, conn.identity);
    this.session.conn = conn;
    const { topicFilter } = fields;
    const qos = fields.acks === 'auto' ? 0 : 1;
    const filter = queue === null ? topicFilter : queue.name;
    this.sub = new SubModel(
      this.session,
      { filter, topicFilter, noLocal: false, retainAsPublished: false, identifier: 0, queue },
      qos,
    );
    this.sub.settlesAnything = true;
    this.session.subs.set(filter, this.sub);
    queue?.members.add(this.sub);
  }

  nextKey(): number {
    return ++this.keys;
  }
}

export class Readers {
  private readonly oracle: Oracle;
  private readonly all = new Set<Reader>();
  private ownQueues = 0;

  constructor(oracle: Oracle) {
    this.oracle = oracle;
  }

  *sessions(): IterableIterator<SessionModel> {
    for (const { session } of this.all) yield session;
  }

  /** The broker is given a SUBSCRIBE. */
  subscribeFed(conn: Conn, fields: ReaderFields): Reader {
    const { oracle } = this;
    oracle.step++;
    const reader = new Reader(conn, fields, this.queueFor(conn, fields));
    if (fields.replays) reader.session.replays.push({ topicFilter: fields.topicFilter, step: oracle.step });
    reader.sub.askedStep = oracle.step;
    this.all.add(reader);
    if (reader.queue === null) oracle.wills.subscribed(reader.session, fields.topicFilter);
    return reader;
  }

  private queueFor(conn: Conn, fields: ReaderFields): QueueModel | null {
    const { queues } = this.oracle;
    switch (fields.reads) {
      case 'direct':
        return null;
      case 'shared':
        return this.oracle.queueOf(fields.queueName);
      case 'own': {
        const queue = new QueueModel(`${conn.name} ${fields.id} (${++this.ownQueues})`, fields.topicFilter);
        queues.set(queue.name, queue);
        this.oracle.wills.bound(queue);
        return queue;
      }
      case 'kept': {
        let queue = queues.get(fields.queueName);
        if (queue === undefined) {
          queue = new QueueModel(fields.queueName, fields.topicFilter);
          queues.set(queue.name, queue);
          this.oracle.wills.bound(queue);
        }
        queue.kept = true;
        return queue;
      }
    }
  }

  /** Its receipt was written. */
  subscribed(reader: Reader): void {
    this.oracle.step++;
    if (reader.sub.state !== SubState.Asked) return;
    reader.sub.state = SubState.Active;
    if (reader.queue?.kept !== true) return;
    reader.queue.keptForCertain = true;
    this.oracle.crashes.answered(reader.sub.askedStep);
  }

  /** The broker is given an UNSUBSCRIBE: what is not settled goes back, for others. */
  unsubscribeFed(reader: Reader, forGood: boolean): void {
    const { oracle } = this;
    oracle.step++;
    reader.sub.state = SubState.Leaving;
    reader.session.leaveQueues(oracle.step, oracle.turn);
    const { queue } = reader;
    if (queue === null) return;
    // A crash before the receipt may leave it where it was.
    reader.forGood = forGood;
    if (forGood) queue.keptForCertain = false;
    queue.memberLeft();
  }

  /** Its receipt was written. */
  unsubscribed(reader: Reader): void {
    this.oracle.step++;
    const { queue, sub } = reader;
    // Unless it was subscribed to again before this answer came.
    if (reader.forGood && queue !== null && ![...queue.members].some((member) => member !== sub)) queue.kept = false;
    this.end(reader);
  }

  /** The broker is given a DISCONNECT: what it answers may wait for the disk, its subscriptions have ended. */
  disconnectFed(conn: Conn): void {
    const { oracle } = this;
    oracle.step++;
    for (const reader of this.all) {
      if (reader.conn !== conn || reader.sub.state === SubState.Leaving) continue;
      reader.sub.state = SubState.Leaving;
      reader.session.leaveQueues(oracle.step, oracle.turn);
      reader.queue?.memberLeft();
    }
  }

  /** The connection is over for the broker. */
  closed(conn: Conn, flushed: boolean): void {
    const { oracle } = this;
    oracle.step++;
    if (!conn.open) return;
    oracle.note(`${conn.name} closed for the broker`);
    conn.open = false;
    for (const reader of this.all) {
      if (reader.conn !== conn) continue;
      if (!flushed) reader.queue?.outputLost(() => reader.fields.acks === 'auto');
      reader.session.leaveQueues(oracle.step, oracle.turn);
      this.end(reader);
    }
  }

  /** The broker has died. */
  crashed(): void {
    for (const reader of [...this.all]) {
      reader.session.leaveQueues(this.oracle.step, -1);
      this.end(reader);
    }
  }

  private end(reader: Reader): void {
    this.all.delete(reader);
    reader.session.ended = true;
    reader.session.conn = null;
    this.oracle.leaveQueue(reader.sub);
  }

  /** The broker has written a MESSAGE. Returns the key by which it is to be acknowledged, 0 where nothing is. */
  emitted(reader: Reader, delivery: Delivery, redelivered: boolean): number {
    const { oracle } = this;
    const { conn, session, queue, sub } = reader;
    const replay = delivery.retain;
    if (sub.state === SubState.Leaving && queue !== null && !replay) {
      // It was delivered before its subscription ended, and has gone back since (unless it was handed over for good);
      // another one may have it by now.
      oracle.deliveries.emittedLate(conn, queue, delivery);
      return delivery.qos === 0 ? 0 : reader.nextKey();
    }
    const sent = oracle.deliveries.emittedTo(
      conn,
      session,
      replay ? null : queue,
      delivery,
      replay,
      replay && redelivered,
    );
    if (delivery.qos === 0) return 0;
    const key = reader.nextKey();
    const { topic, qos, retain } = delivery;
    session.outstanding.set(key, {
      sent,
      qos,
      topic,
      retain,
      queue: replay ? null : queue,
      conn,
      released: false,
      releasedStep: -1,
      step: oracle.step,
    });
    if (session.outstanding.size > reader.fields.prefetch) {
      oracle.fail(
        'receive-maximum',
        `${session.name}: ${session.outstanding.size} unsettled messages; its prefetch-count is ${reader.fields.prefetch}`,
      );
    }
    return key;
  }

  /** The broker is given an ACK or a NACK: of one delivery, or of all up to it. */
  settled(reader: Reader, key: number, outcome: Outcome): void {
    const { outstanding } = reader.session;
    const first = reader.fields.acks === 'client' ? 1 : key;
    for (const [one, delivery] of outstanding) {
      if (one < first || one > key) continue;
      outstanding.delete(one);
      this.oracle.deliveries.settled(delivery, outcome);
    }
  }

  /** The client has given it to the application. */
  received(reader: Reader, sent: Sent): void {
    const { counts } = this.oracle;
    counts.delivered++;
    if (reader.fields.acks === 'auto') counts.deliveredQos0++;
    const copies = reader.queue?.copies.get(sent);
    if (copies !== undefined) copies.received++;
  }
}
