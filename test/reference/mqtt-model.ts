// The model's MQTT side: sessions and connections. Each packet is decoded by the strict decoder into an object and answered packet by packet (mqtt-wire.ts).
import { FROM_CLIENT } from '../../protocols/mqtt/decode-options.ts';
import { decode } from '../../protocols/mqtt/decoder.ts';
import type { Connect, Publish, Subscribe, Unsubscribe } from '../../protocols/mqtt/packet.ts';
import { PacketType } from '../../protocols/mqtt/packet-type.ts';
import { type Gateway, ModelConnection, merged, type Owed, type Receiver, type Subscription } from './gateway.ts';
import { headersToProperties, type Message } from './message.ts';
import {
  ackBytes,
  answerBytes,
  type Level,
  type PublishProperties,
  packet,
  properties,
  property,
  publishBytes,
  text,
  u16,
  u32,
} from './mqtt-wire.ts';
import type { Entry, ModelQueue, Options, Taker } from './queue.ts';

/** Of the broker the model stands for. */
const RECEIVE_MAXIMUM = 1024;
const ALIAS_MAXIMUM = 32;
const PACKET_BYTES_MAX = 16 * 1024 * 1024;
const KEEP_ALIVE_MAX_S = 65_535;
const INFLIGHT_MAX = 1024;
const ALIAS_TOPIC_BYTES_MIN = 4;

interface Inflight {
  readonly id: number;
  readonly queue: ModelQueue;
  readonly entry: Entry;
  readonly qos: 1 | 2;
  readonly options: Options;
  state: 'puback' | 'pubrec' | 'pubcomp';
  /** To be sent again, as soon as the client has room for it. */
  waits: boolean;
}

/** A subscription that reads a queue which is not the session's own. */
interface QueueSubscription {
  readonly filter: string;
  readonly queue: ModelQueue;
  readonly qos: number;
  readonly identifier: number;
  readonly share: Share | null;
}

interface Share {
  readonly filter: string;
  readonly queue: ModelQueue;
  readonly subscription: Subscription;
  readonly members: Set<Session>;
}

export interface MqttWorld {
  readonly gateway: Gateway;
  readonly sessions: Map<string, Session>;
  readonly shares: Map<string, Share>;
}

export class Session implements Receiver {
  readonly clientId: string;
  connection: MqttModel | null = null;
  expiryMs = 0;
  endsAtMs = 0;
  queue: ModelQueue | null = null;
  readonly topics = new Map<string, Subscription>();
  readonly queues = new Map<string, QueueSubscription>();
  /** In the order in which the identifiers were given out. */
  readonly inflight = new Map<number, Inflight>();
  nextId = 1;
  /** Its client has left since the last tick. */
  hasLeft = false;
  readonly received = new Set<number>();
  readonly takers = new Map<string, Taker>();
  private readonly world: MqttWorld;

  constructor(world: MqttWorld, clientId: string) {
    this.world = world;
    this.clientId = clientId;
  }

  receive(message: Message, subscriptions: readonly Subscription[], publisher: object | null): boolean {
    const wanted = publisher === this ? subscriptions.filter(({ noLocal }) => !noLocal) : subscriptions;
    const { gateway } = this.world;
    if (wanted.length < subscriptions.length) gateway.count('left out by no-local');
    if (wanted.length === 0) return false;
    if (wanted.length > 1) gateway.count('overlapping subscriptions');
    const options = merged(wanted);
    if (Math.min(message.qos, options.qos) > 0) this.queue!.push(message, options);
    else if (this.connection !== null) this.connection.deliverDirect(message, options);
    else gateway.count('at most once, to nobody');
    return true;
  }

  /** At a tick: a session whose client has just left, and for which nothing is stored or under way, keeps nothing in mind. */
  rest(): void {
    if (!this.hasLeft) return;
    this.hasLeft = false;
    const stored = this.queue !== null && this.queue.entries.length > 0;
    if (this.connection === null && !stored && this.inflight.size === 0 && this.received.size === 0) this.nextId = 1;
  }

  /** The next identifier that is free. */
  takeId(): number {
    while (this.inflight.has(this.nextId)) this.nextId = this.nextId === 65_535 ? 1 : this.nextId + 1;
    const id = this.nextId;
    this.nextId = id === 65_535 ? 1 : id + 1;
    return id;
  }

  subscribe(filter: string, subscription: Subscription): void {
    const { gateway } = this.world;
    const before = this.topics.get(filter);
    if (before !== undefined) gateway.subscriptions.splice(gateway.subscriptions.indexOf(before), 1);
    if (subscription.qos > 0 && this.queue === null) this.queue = gateway.makeQueue();
    this.topics.set(filter, subscription);
    gateway.subscriptions.push(subscription);
  }

  /** Returns whether there was one. */
  unsubscribe(filter: string): boolean {
    const { gateway } = this.world;
    const topic = this.topics.get(filter);
    if (topic !== undefined) {
      this.topics.delete(filter);
      gateway.subscriptions.splice(gateway.subscriptions.indexOf(topic), 1);
      return true;
    }
    const work = this.queues.get(filter);
    if (work === undefined) return false;
    this.stopConsuming(work);
    this.queues.delete(filter);
    this.leaveShare(work);
    return true;
  }

  /** What is in flight stays with the session. */
  stopConsuming({ filter, queue }: QueueSubscription): void {
    const taker = this.takers.get(filter);
    if (taker === undefined) return;
    this.takers.delete(filter);
    for (const entry of queue.entries) if (entry.holder === taker) entry.holder = 'kept';
    queue.detach(taker);
    queue.pump();
  }

  leaveShare({ share }: QueueSubscription): void {
    if (share === null) return;
    const { gateway, shares } = this.world;
    share.members.delete(this);
    if (share.members.size > 0) return;
    shares.delete(share.filter);
    gateway.subscriptions.splice(gateway.subscriptions.indexOf(share.subscription), 1);
  }

  /** The connection is gone: others get what it had from queues that are not its own. QoS 2 in flight waits for the client while the session lives. */
  leaveQueues(): void {
    const touched = new Set<ModelQueue>();
    for (const [filter, taker] of this.takers) {
      const { queue, share } = this.queues.get(filter)!;
      for (const { id, queue: of, entry, state } of [...this.inflight.values()]) {
        if (of !== queue || state === 'pubcomp') continue;
        if (state === 'pubrec' && (share !== null || this.expiryMs > 0)) {
          entry.holder = 'kept';
          continue;
        }
        this.inflight.delete(id);
        entry.holder = taker;
        this.world.gateway.count('given back by a lost MQTT client');
      }
      queue.detach(taker);
      touched.add(queue);
    }
    this.takers.clear();
    // What was in flight of subscriptions that have ended, too.
    for (const { id, queue, entry, state } of [...this.inflight.values()]) {
      if (queue === this.queue || state !== 'puback' || entry.holder !== 'kept') continue;
      this.inflight.delete(id);
      entry.holder = null;
      touched.add(queue);
    }
    for (const queue of touched) queue.pump();
  }

  end(): void {
    const { gateway, sessions } = this.world;
    for (const subscription of this.topics.values())
      gateway.subscriptions.splice(gateway.subscriptions.indexOf(subscription), 1);
    if (sessions.get(this.clientId) === this) sessions.delete(this.clientId);
    const touched = new Set<ModelQueue>();
    for (const { queue, entry, state } of this.inflight.values()) {
      if (queue === this.queue || state !== 'pubrec') continue;
      // QoS 2 of a shared subscription must not go to anybody else.
      if (queue.isShared) queue.remove(entry);
      else {
        entry.holder = null;
        touched.add(queue);
      }
    }
    for (const work of this.queues.values()) this.leaveShare(work);
    for (const queue of touched) queue.pump();
  }

  attachOwn(): void {
    const { connection, queue } = this;
    if (queue === null || connection === null || queue.takers.length > 0) return;
    queue.attach({
      get credit() {
        return connection.credit;
      },
      take: (of, entry) => {
        const { message, options } = entry;
        return connection.deliverQueued(of, entry, Math.min(message.qos, options.qos), options);
      },
    });
  }

  /** What is in flight stays. */
  detachOwn(): void {
    const { queue } = this;
    if (queue === null) return;
    for (const entry of queue.entries) if (entry.holder !== null) entry.holder = 'kept';
    for (const taker of [...queue.takers]) queue.detach(taker);
  }

  /** Takes part in the queue of a subscription. */
  consume({ filter, queue, qos, identifier, share }: QueueSubscription): void {
    const connection = this.connection!;
    const options: Options = { qos, retainAsPublished: false, identifiers: identifier === 0 ? null : [identifier] };
    const taker: Taker = {
      get credit() {
        return connection.credit;
      },
      take: (of, entry) =>
        connection.deliverQueued(of, entry, share === null ? qos : Math.min(entry.message.qos, qos), options),
    };
    this.takers.set(filter, taker);
    queue.attach(taker);
  }

  pump(): void {
    for (const flight of this.inflight.values())
      if (flight.waits && this.connection!.credit > 0) this.connection!.resend(flight);
    this.queue?.pump();
    for (const { queue } of this.queues.values()) queue.pump();
  }
}

/** One connection. Its first packet is a CONNECT. */
export class MqttModel extends ModelConnection {
  readonly level: Level;
  readonly owed: Owed[] = [];
  session: Session | null = null;
  private readonly world: MqttWorld;
  private receiveMaximum = 0;
  private packetBytesMax = Number.POSITIVE_INFINITY;
  private aliasMaximum = 0;
  private readonly aliases = new Map<string, number>();
  private readonly heardAliases = new Map<number, string>();
  private will: Message | null = null;
  private replays: (() => void)[] = [];

  constructor(world: MqttWorld, level: Level) {
    super();
    this.world = world;
    this.level = level;
  }

  /** Never more in flight than the client allows. */
  get credit(): number {
    if (this.closed) return 0;
    return this.receiveMaximum - [...this.session!.inflight.values()].filter(({ waits }) => !waits).length;
  }

  onPacket(bytes: Buffer): void {
    const read = decode(bytes, this.level, FROM_CLIENT);
    switch (read.type) {
      case PacketType.CONNECT:
        this.onConnect(read);
        return;
      case PacketType.PUBLISH:
        this.onPublish(read);
        return;
      case PacketType.PUBACK:
        this.onPuback(read.packetId, read.reasonCode);
        return;
      case PacketType.PUBREC:
        this.onPubrec(read.packetId, read.reasonCode);
        return;
      case PacketType.PUBREL: {
        const known = this.session!.received.delete(read.packetId);
        this.answer(ackBytes(this.level, 7, read.packetId, known ? 0 : 0x92));
        return;
      }
      case PacketType.PUBCOMP:
        if (this.session!.inflight.get(read.packetId)?.state !== 'pubcomp') return;
        this.session!.inflight.delete(read.packetId);
        this.session!.pump();
        return;
      case PacketType.SUBSCRIBE:
        this.onSubscribe(read);
        return;
      case PacketType.UNSUBSCRIBE:
        this.onUnsubscribe(read);
        return;
      case PacketType.PINGREQ:
        this.answer(packet(0xd0));
        return;
      case PacketType.DISCONNECT:
        this.leave(false);
        return;
      default:
        throw new Error('the model does not know this packet');
    }
  }

  onLost(): void {
    this.leave(true);
  }

  private answer(bytes: Buffer): void {
    this.send('answers', bytes);
  }

  private count(what: string): void {
    this.world.gateway.count(what);
  }

  // ---- connecting and leaving

  private onConnect(read: Connect): void {
    const { sessions, gateway } = this.world;
    const { properties: asked, clientId } = read;
    let session = sessions.get(clientId) ?? null;
    if (session?.connection != null) {
      this.count('session taken over');
      const { connection } = session;
      session.leaveQueues();
      session.detachOwn();
      session.connection = null;
      connection.onTakenOver();
    }
    if (session !== null && (read.clean || session.expiryMs === 0)) {
      session.end();
      session = null;
    }
    const present = session !== null;
    if (session === null) {
      session = new Session(this.world, clientId);
      sessions.set(clientId, session);
    }
    const v5 = this.level === 5;
    const expiryS = v5 ? (asked.sessionExpiryIntervalS ?? 0) : read.clean ? 0 : 0xffff_ffff;
    session.expiryMs = expiryS === 0xffff_ffff ? Number.POSITIVE_INFINITY : expiryS * 1000;
    session.endsAtMs = 0;
    session.connection = this;
    this.session = session;
    this.receiveMaximum = Math.min(asked.receiveMaximum ?? 65_535, INFLIGHT_MAX);
    this.packetBytesMax = asked.maximumPacketSize ?? Number.POSITIVE_INFINITY;
    this.aliasMaximum = asked.topicAliasMaximum ?? 0;
    if (read.will !== null) {
      const { topic, payload, qos, retain } = read.will;
      const origin = { protocol: 'mqtt', level: this.level, properties: {} } as const;
      this.will = {
        topic,
        isQueue: false,
        payload: Buffer.from(payload),
        qos,
        retain,
        receivedAtMs: 0,
        expiresAtMs: 0,
        origin,
      };
    }
    const told = properties(
      property(0x13, u16(KEEP_ALIVE_MAX_S)),
      property(0x21, u16(RECEIVE_MAXIMUM)),
      property(0x22, u16(ALIAS_MAXIMUM)),
      property(0x27, u32(PACKET_BYTES_MAX)),
    );
    // In MQTT 3.1 the byte is reserved.
    const flags = Buffer.from([present && this.level > 3 ? 1 : 0, 0]);
    this.answer(packet(0x20, flags, ...(v5 ? [told] : [])));
    this.count(present ? 'session resumed' : 'session new');
    for (const flight of session.inflight.values()) flight.waits = flight.state !== 'pubcomp';
    for (const flight of [...session.inflight.values()]) {
      if (flight.state === 'pubcomp') {
        this.owe('pubrel', flight.id);
        this.count('PUBREL repeated');
        this.answer(ackBytes(this.level, 6, flight.id));
      } else if (this.credit > 0) this.resend(flight);
      else this.count('repetition put off by Receive Maximum');
    }
    session.attachOwn();
    for (const work of session.queues.values()) session.consume(work);
    session.pump();
    gateway.count(`MQTT level ${this.level}`);
  }

  resend(flight: Inflight): void {
    const { id, queue, entry, qos } = flight;
    flight.waits = false;
    // The identifiers of a queue's messages are those of the subscription there is.
    const identifier = [...this.session!.queues.values()].find((work) => work.queue === queue)?.identifier ?? 0;
    const options =
      queue === this.session!.queue
        ? flight.options
        : { ...flight.options, identifiers: identifier === 0 ? null : [identifier] };
    this.count(`PUBLISH QoS ${qos} repeated`);
    const retain = options.retainAsPublished && entry.message.retain;
    if (!this.sendPublish(entry.message, qos, retain, true, id, options.identifiers, 0, true)) this.passOver(flight);
  }

  /** Another connection has taken the session. */
  onTakenOver(): void {
    if (this.level === 5) this.answer(packet(0xe0, Buffer.from([0x8e]), properties(property(0x1f, text(TAKEN_OVER)))));
    this.closed = true;
    this.session = null;
    this.publishWill();
  }

  private leave(withWill: boolean): void {
    const { session } = this;
    if (this.closed || session === null) return;
    this.closed = true;
    session.leaveQueues();
    session.detachOwn();
    // While its will is on the way, the client is away.
    session.connection = null;
    session.hasLeft = true;
    if (withWill) this.publishWill();
    if (session.expiryMs === 0) session.end();
    else if (session.expiryMs !== Number.POSITIVE_INFINITY)
      session.endsAtMs = this.world.gateway.nowMs + session.expiryMs;
  }

  private publishWill(): void {
    const { will } = this;
    this.will = null;
    if (will === null) return;
    this.count('will published');
    const { nowMs } = this.world.gateway;
    this.world.gateway.publish({ ...will, receivedAtMs: nowMs }, null);
  }

  // ---- receiving

  private onPublish(read: Publish): void {
    const { gateway } = this.world;
    const session = this.session!;
    const alias = read.properties.topicAlias;
    let { topic } = read;
    if (alias !== null) {
      if (topic === '') {
        topic = this.heardAliases.get(alias)!;
        this.count('topic by alias');
      } else this.heardAliases.set(alias, topic);
    }
    if (read.qos === 2 && session.received.has(read.packetId)) {
      this.count('QoS 2 repeated by its publisher');
      this.answer(ackBytes(this.level, 5, read.packetId));
      return;
    }
    if (read.qos === 2) session.received.add(read.packetId);
    this.count(`published at QoS ${read.qos}`);
    const isQueue = topic.startsWith('$queue/');
    const matched = gateway.publish(
      messageOf(this.level, read, isQueue ? topic.slice('$queue/'.length) : topic, isQueue, gateway.nowMs),
      session,
    );
    const reason = matched ? 0 : 0x10;
    if (!matched) this.count('published to nobody');
    if (read.qos > 0) this.answer(ackBytes(this.level, read.qos === 1 ? 4 : 5, read.packetId, reason));
    if (read.qos === 2) this.owe('pubrec', read.packetId);
  }

  private onPuback(id: number, reason: number): void {
    const { inflight } = this.session!;
    const flight = inflight.get(id);
    if (flight?.state !== 'puback') return;
    inflight.delete(id);
    this.count(reason < 0x80 ? 'PUBACK' : 'PUBACK that refuses');
    flight.queue.remove(flight.entry);
    this.session!.pump();
  }

  private onPubrec(id: number, reason: number): void {
    const { inflight } = this.session!;
    const flight = inflight.get(id);
    if (flight?.state === 'pubcomp') {
      this.answer(ackBytes(this.level, 6, id));
      return;
    }
    if (flight?.state !== 'pubrec') {
      // The client may let go of it.
      if (this.level === 5 && reason >= 0x80) return;
      this.count('PUBREC of nothing');
      this.answer(ackBytes(this.level, 6, id, 0x92));
      return;
    }
    flight.queue.remove(flight.entry);
    if (reason >= 0x80) {
      inflight.delete(id);
      this.count('PUBREC that refuses');
      this.session!.pump();
      return;
    }
    flight.state = 'pubcomp';
    this.count('PUBREC');
    this.answer(ackBytes(this.level, 6, id));
    this.owe('pubrel', id);
  }

  private onSubscribe(read: Subscribe): void {
    const { gateway, shares } = this.world;
    const session = this.session!;
    const identifier = read.properties.subscriptionIdentifiers?.[0] ?? 0;
    const codes: number[] = [];
    for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of read.subscriptions) {
      codes.push(qos);
      if (filter.startsWith('$queue/') || filter.startsWith('$share/')) {
        this.subscribeQueue(filter, qos, identifier, shares);
        continue;
      }
      const pattern = filter.split('/');
      const isNew = !session.topics.has(filter);
      if (!isNew) this.count('subscription replaced');
      session.subscribe(filter, { receiver: session, pattern, qos, noLocal, retainAsPublished, identifier });
      session.attachOwn();
      if (retainHandling === 2 || (retainHandling === 1 && !isNew) || gateway.retained.size === 0) continue;
      this.replays.push(() => this.replay(pattern, qos, identifier));
    }
    this.answer(answerBytes(this.level, 9, read.packetId, codes));
    if (this.replays.length > 0) {
      const replays = this.replays.splice(0);
      gateway.later.push(() => {
        if (!this.closed) for (const replay of replays) replay();
      });
    }
    session.pump();
  }

  private subscribeQueue(filter: string, qos: number, identifier: number, shares: Map<string, Share>): void {
    const { gateway } = this.world;
    const session = this.session!;
    const before = session.queues.get(filter);
    if (before !== undefined) session.stopConsuming(before);
    let share: Share | null = null;
    if (filter.startsWith('$share/')) {
      share = shares.get(filter) ?? this.makeShare(filter);
      shares.set(filter, share);
      share.members.add(session);
      this.count('shared subscription');
    }
    const queue = share?.queue ?? gateway.queue(filter.slice('$queue/'.length));
    const work: QueueSubscription = { filter, queue, qos, identifier, share };
    session.queues.set(filter, work);
    session.consume(work);
  }

  private makeShare(filter: string): Share {
    const { gateway } = this.world;
    const queue = gateway.makeQueue();
    queue.isShared = true;
    const receiver: Receiver = {
      receive: (message) => {
        queue.push(message, { qos: 2, retainAsPublished: false, identifiers: null });
        return true;
      },
    };
    const pattern = filter.split('/').slice(2);
    const subscription: Subscription = {
      receiver,
      pattern,
      qos: 2,
      noLocal: false,
      retainAsPublished: false,
      identifier: 0,
    };
    gateway.subscriptions.push(subscription);
    return { filter, queue, subscription, members: new Set() };
  }

  private replay(pattern: readonly string[], qos: number, identifier: number): void {
    const identifiers = identifier === 0 ? null : [identifier];
    for (const message of this.world.gateway.retainedFor(pattern)) {
      this.count('retained to MQTT');
      const granted = Math.min(message.qos, qos);
      if (granted > 0) this.session!.queue!.push(message, { qos, retainAsPublished: true, identifiers });
      else this.sendPublish(message, 0, true, false, 0, identifiers, 0, false);
    }
  }

  private onUnsubscribe(read: Unsubscribe): void {
    const codes = read.filters.map((filter) => (this.session!.unsubscribe(filter) ? 0 : 0x11));
    this.answer(answerBytes(this.level, 11, read.packetId, codes));
  }

  // ---- delivering

  deliverDirect(message: Message, options: Options): void {
    const retain = options.retainAsPublished && message.retain;
    const { receivedAtMs } = message;
    this.sendPublish(message, 0, retain, false, 0, options.identifiers, 0, true, receivedAtMs);
  }

  /** Returns true when the delivery is settled by having been sent. */
  deliverQueued(queue: ModelQueue, entry: Entry, qos: number, options: Options): boolean {
    const { message, attempts } = entry;
    const session = this.session!;
    const retain = entry.options.retainAsPublished && message.retain;
    if (attempts > 0) this.count('redelivered to MQTT');
    if (qos === 0) {
      this.sendPublish(message, 0, retain, false, 0, options.identifiers, attempts, true);
      return true;
    }
    const id = session.takeId();
    const flight: Inflight = {
      id,
      queue,
      entry,
      qos: qos as 1 | 2,
      options,
      state: qos === 1 ? 'puback' : 'pubrec',
      waits: false,
    };
    session.inflight.set(id, flight);
    if (!this.sendPublish(message, qos, retain, false, id, options.identifiers, attempts, true)) this.passOver(flight);
    return false;
  }

  /** Too large for the client: as if it had been sent and acknowledged, when the turn ends. */
  private passOver(flight: Inflight): void {
    const session = this.session!;
    this.world.gateway.endings.push(() => {
      if (this.closed || session.inflight.get(flight.id) !== flight) return;
      session.inflight.delete(flight.id);
      flight.queue.remove(flight.entry);
      session.pump();
    });
  }

  /** Returns false when the client takes no packet that large. */
  private sendPublish(
    message: Message,
    qos: number,
    retain: boolean,
    dup: boolean,
    id: number,
    identifiers: readonly number[] | null,
    attempts: number,
    mayAlias: boolean,
    nowMs = this.world.gateway.nowMs,
  ): boolean {
    const topic = message.isQueue ? `$queue/${message.topic}` : message.topic;
    const own = this.level === 5 ? this.propertiesFor(message, identifiers, attempts, nowMs) : {};
    const fields = { topic, payload: message.payload, qos, retain, dup, id, properties: own };
    let bytes = publishBytes(this.level, fields);
    const known = this.aliases.get(topic);
    if (
      mayAlias &&
      Buffer.byteLength(topic) >= ALIAS_TOPIC_BYTES_MIN &&
      (known !== undefined || this.aliases.size < this.aliasMaximum)
    ) {
      const alias = known ?? this.aliases.size + 1;
      const aliased = publishBytes(this.level, {
        ...fields,
        topic: known === undefined ? topic : '',
        properties: { ...own, alias },
      });
      if (aliased.length <= this.packetBytesMax) {
        this.aliases.set(topic, alias);
        this.count(known === undefined ? 'alias set' : 'alias used');
        bytes = aliased;
      } else if (known !== undefined) bytes = Buffer.alloc(0);
    }
    if (bytes.length === 0 || bytes.length > this.packetBytesMax) {
      this.count('too large for its receiver');
      return false;
    }
    this.count(`delivered to MQTT at QoS ${qos}`);
    if (message.origin.protocol === 'stomp') this.count('from STOMP to MQTT');
    else if (message.origin.level !== this.level) this.count('between versions of MQTT');
    this.send(qos === 0 ? 'at most once' : 'acknowledged', bytes);
    if (qos > 0) this.owe(qos === 1 ? 'puback' : 'pubrec', id, true);
    return true;
  }

  private propertiesFor(
    message: Message,
    identifiers: readonly number[] | null,
    attempts: number,
    nowMs: number,
  ): PublishProperties {
    const { origin, expiresAtMs } = message;
    const base =
      origin.protocol === 'mqtt' ? (origin.level === 5 ? origin.properties : {}) : headersToProperties(message);
    const pairs = [...(base.pairs ?? []), ...(attempts > 0 ? ['x-delivery-count', String(attempts)] : [])];
    return {
      ...base,
      alias: null,
      expiryS: expiresAtMs === 0 ? null : Math.max(1, Math.ceil((expiresAtMs - nowMs) / 1000)),
      identifiers,
      pairs: pairs.length === 0 ? null : pairs,
    };
  }

  /** What the client owes now: `delivery` for an answer to a message, otherwise to a step of QoS 2. */
  private owe(kind: 'puback' | 'pubrec' | 'pubrel', id: number, delivery = false): void {
    const answer = delivery ? kind : kind === 'pubrec' ? 'pubrel' : 'pubcomp';
    this.owed.push({ kind: answer, id, messageId: '', subscription: null });
  }
}

const TAKEN_OVER = 'another connection uses the client id';

function messageOf(level: Level, read: Publish, topic: string, isQueue: boolean, nowMs: number): Message {
  const { properties: own } = read;
  const seconds = own.messageExpiryIntervalS;
  return {
    topic,
    isQueue,
    payload: Buffer.from(read.payload),
    qos: read.qos,
    retain: read.retain,
    receivedAtMs: nowMs,
    expiresAtMs: seconds === null ? 0 : nowMs + seconds * 1000,
    origin: {
      protocol: 'mqtt',
      level,
      properties: {
        payloadFormat: own.payloadFormat,
        contentType: own.contentType,
        responseTopic: own.responseTopic,
        correlation: own.correlationData === null ? null : Buffer.from(own.correlationData),
        pairs: own.userProperties,
      },
    },
  };
}
