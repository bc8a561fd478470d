// The way of a PUBLISH from its bytes into the core: consecutive packets to the same destinations with the same first byte are gathered into one borrowed run; flush() publishes it and
// answers. Whatever is unusual (DUP, QoS 2 with retain, unusual properties, refused topics, repeated QoS 2) comes as an object through one().
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import type { DestinationSet } from '../../src/core/destination-set.ts';
import { BrokerError, ProtocolError } from '../../src/core/errors.ts';
import { UNKNOWN } from '../../src/core/route-changes.ts';
import { type Route, RouteTable } from '../../src/core/route-table.ts';
import type { Run } from '../../src/core/run.ts';
import { copy } from '../../src/lib/copy.ts';
import * as acknowledgements from './acknowledgements.ts';
import { topicToAddress } from './addresses.ts';
import { ReceivedIds } from './client-state.ts';
import type { Connection } from './connection.ts';
import { protocolError, topicAliasInvalid, topicNameInvalid } from './errors.ts';
import { variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';
import type { Publish, Will } from './packet.ts';
import { PacketType } from './packet-type.ts';
import { EMPTY_PROPERTIES } from './properties.ts';
import { isPersistent, MQTT_CODEC, PUBLISH_BYTE, priorityOf, runOfPublish } from './publish-form.ts';
import { ReasonCode } from './reason-codes.ts';
import { validTopicName } from './topics.ts';

/** Messages of one run: bounds the scratch arrays, and how long one publish call can take. */
export const RUN_COUNT_MAX = 8192;

/** Where packets are gathered whose alias has been replaced by its topic. */
const REWRITTEN_BYTES = 64 * 1024;
/** A packet with an alias that is rewritten there: with the longest topic it fits. */
export const ALIASED_BYTES_MAX = 16 * 1024;
const ALIASED_TOPIC_BYTES_MAX = 4096;
/** Identifier and value of a Topic Alias. */
const ALIAS_BYTES = 3;
/** First byte and remaining length. */
const HEADER_BYTES_MAX = 5;

/** What a client means by an alias. */
export interface TopicAlias {
  readonly topic: string;
  readonly bytes: Buffer;
  /** Where it led in this generation of the bindings. */
  route: Route | null;
  generation: number;
}

/** What all connections of an adapter gather into; only one of them parses at a time. */
export class Gathering {
  readonly run: Run;
  readonly offsets = new Uint32Array(RUN_COUNT_MAX + 1);
  readonly ids = new Uint16Array(RUN_COUNT_MAX);
  count = 0;
  first = 0;
  set: DestinationSet | null = null;
  route: Route | null = null;
  /** Of the one message that has been gathered; 0 for never. */
  expiresAtMs = 0;
  /** The one message that has been gathered is to be retained there; null for one that is not. */
  retainPath: string | null = null;
  /** It takes away what is retained there. */
  clears = false;
  /** Made when the first alias is used. Packets stand in it up to rewrittenEnd, until they are published. */
  rewritten: Buffer | null = null;
  rewrittenEnd = 0;

  constructor(run: Run) {
    this.run = run;
    run.offsets = this.offsets;
  }
}

export class PublishPath {
  /** The route of the last PUBLISH: most often the next one's, too. Its topic is where topicStart says, in the bytes being parsed, while topicBytes is not -1. */
  route: Route | null = null;
  topicStart = 0;
  topicBytes = -1;
  /** Of the bindings when it was found: it holds as long as they are the same. */
  generation = UNKNOWN;
  private readonly connection: Connection;
  private readonly gathering: Gathering;
  // [MQTT-3.3.2-7]
  private aliases: TopicAlias[] | null = null;

  constructor(connection: Connection) {
    this.connection = connection;
    this.gathering = connection.adapter.gathering;
  }

  /** This is the route of the last PUBLISH. Where its topic stands is for the caller to say. */
  keep(route: Route): void {
    this.route = route;
    this.generation = this.connection.vhost.generation;
    this.topicBytes = -1;
  }

  /** A whole frame bytes[start, end) in normal form, on a resolved and allowed route. */
  add(bytes: Uint8Array, start: number, end: number, first: number, route: Route, id: number): void {
    const gathering = this.gathering;
    const { run } = gathering;
    let { count } = gathering;
    if (
      count === 0 ||
      start !== run.end ||
      first !== gathering.first ||
      route.set !== gathering.set ||
      route.oneByOne ||
      count === RUN_COUNT_MAX ||
      bytes !== run.bytes
    ) {
      if (count > 0) this.flush();
      count = 0;
      gathering.first = first;
      gathering.set = route.set;
      gathering.route = route;
      run.bytes = bytes;
      run.start = start;
      run.frameBytesMax = 0;
      gathering.offsets[0] = 0;
    }
    gathering.ids[count] = id;
    count++;
    gathering.offsets[count] = end - run.start;
    gathering.count = count;
    run.end = end;
    if (end - start > run.frameBytesMax) run.frameBytesMax = end - start;
  }

  /** The message of the one packet that has been gathered expires. */
  expires(seconds: number): void {
    this.gathering.expiresAtMs = this.connection.nowMs + seconds * 1000;
  }

  /** Publishes the one packet that has been gathered, whose message is to be retained; or, where it is empty, the one there to be cleared. */
  flushRetained(path: string, clears: boolean): void {
    this.gathering.retainPath = path;
    this.gathering.clears = clears;
    this.flush();
  }

  /** What the client means by an alias, if it has said so before and, where it says it again with bytes[start, end), means the same; or null. */
  knownAlias(alias: number, bytes: Uint8Array, start: number, end: number): TopicAlias | null {
    const known = this.aliases?.[alias];
    if (known === undefined || known.bytes.length > ALIASED_TOPIC_BYTES_MAX) return null;
    if (end === start) return known;
    const { length } = known.bytes;
    return length === end - start && RouteTable.sameBytes(known.bytes, 0, bytes, start, length) ? known : null;
  }

  routeOfAlias(alias: TopicAlias): Route {
    const { connection } = this;
    if (alias.route === null || alias.generation !== connection.vhost.generation) {
      alias.route = connection.findRoute(alias.bytes, 0, alias.bytes.length);
      alias.generation = connection.vhost.generation;
    }
    return alias.route;
  }

  /**
   * As add(), of a packet that ends at `end`, with an alias and the properties that adapter.plain has found: it is written anew with the topic and without the alias, behind others that
   * were, so that those together are a run.
   */
  addAliased(bytes: Uint8Array, end: number, first: number, route: Route, id: number, alias: TopicAlias): void {
    const { gathering } = this;
    const { plain } = this.connection.adapter;
    const topicBytes = alias.bytes.length;
    const propertiesBytes = plain.end - plain.start - ALIAS_BYTES;
    const idBytes = first === PUBLISH_BYTE ? 0 : 2;
    const rest = variableByteIntegerBytes(propertiesBytes) + propertiesBytes + (end - plain.end);
    const remaining = 2 + topicBytes + idBytes + rest;
    gathering.rewritten ??= Buffer.allocUnsafeSlow(REWRITTEN_BYTES);
    const out = gathering.rewritten;
    if (gathering.rewrittenEnd + HEADER_BYTES_MAX + remaining > out.length) {
      this.flush();
      gathering.rewrittenEnd = 0;
    }
    const start = gathering.rewrittenEnd;
    out[start] = first;
    let at = writeVariableByteInteger(out, start + 1, remaining);
    out[at++] = topicBytes >>> 8;
    out[at++] = topicBytes & 0xff;
    at = copy(alias.bytes, 0, topicBytes, out, at);
    if (idBytes !== 0) {
      out[at++] = id >>> 8;
      out[at++] = id & 0xff;
    }
    at = writeVariableByteInteger(out, at, propertiesBytes);
    at = copy(bytes, plain.start, plain.aliasAt, out, at);
    at = copy(bytes, plain.aliasAt + ALIAS_BYTES, end, out, at);
    this.add(out, start, at, first, route, id);
    // Not before: what was gathered may have been published to make room for it, and then the next one would be written over it.
    gathering.rewrittenEnd = at;
  }

  /** Publishes what has been gathered, and answers it. */
  flush(): void {
    const gathering = this.gathering;
    const { count } = gathering;
    if (count === 0) return;
    gathering.count = 0;
    const { connection } = this;
    const { run, first } = gathering;
    const qos = ((first >>> 1) & 3) as 0 | 1 | 2;
    if (qos === 1) this.checkReceiveMaximum(1);
    run.reuse();
    run.codec = MQTT_CODEC;
    run.variant = connection.wire;
    run.count = count;
    run.offsets = gathering.offsets;
    run.guarantee = qos;
    run.persistent = true;
    run.priority = 0;
    run.expiresAtMs = gathering.expiresAtMs;
    gathering.expiresAtMs = 0;
    const { retainPath } = gathering;
    gathering.retainPath = null;
    run.receivedAtMs = connection.nowMs;
    run.publisher = connection;
    // [MQTT-4.5.0-1] [MQTT-4.6.0-5] [MQTT-4.6.0-6], [3.1.1 MQTT-3.1.2-5] [3.1.1 MQTT-4.5.0-1] [3.1.1 MQTT-4.6.0-5] [3.1.1 MQTT-4.6.0-6]
    let position = connection.vhost.publish(run, gathering.route!);
    gathering.rewrittenEnd = 0;
    if (retainPath !== null && run.refused === null)
      position = this.retain(run, retainPath, gathering.clears, position);
    if (qos === 0) return;
    if (run.refused !== null && qos === 2) for (let i = 0; i < count; i++) this.giveUp(gathering.ids[i]!);
    const reason = acknowledgements.publishReason(connection, run);
    if (reason < 0) return;
    const kind = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
    acknowledgements.answerMany(connection, kind, gathering.ids, count, reason, position);
    this.checkReceiveMaximum(0);
  }

  /** Forgets what has been gathered: the connection ends by an error in the same chunk before it was published. */
  drop(): void {
    // What stood in front of the error was complete and valid, so it counts; only a run in the middle of being published must not be repeated.
    try {
      this.flush();
    } catch (error) {
      // The connection is ending already, for an earlier reason.
      if (!(error instanceof ProtocolError || error instanceof BrokerError)) throw error;
    }
  }

  /** One PUBLISH as an object; its frame is bytes[start, end). */
  one(publish: Publish, bytes: Uint8Array, start: number, end: number): void {
    const { connection } = this;
    const { adapter } = connection;
    const { options } = adapter;
    const resolved = this.resolveAlias(publish);
    if (publish.qos > options.maximumQos) {
      // [MQTT-3.2.2-11]
      throw new ProtocolError(
        'qos-not-supported',
        ReasonCode.QOS_NOT_SUPPORTED,
        `QoS ${publish.qos}; mqtt.maximumQos is ${options.maximumQos}`,
      );
    }
    if (publish.retain && !options.retainAvailable) {
      // [MQTT-3.2.2-14]
      throw new ProtocolError(
        'retain-not-supported',
        ReasonCode.RETAIN_NOT_SUPPORTED,
        'RETAIN; mqtt.retainAvailable is false',
      );
    }
    if (publish.qos === 2 && this.isRepeated(publish.packetId)) {
      // [MQTT-4.3.3-10]: taken before; the answer is repeated, the message is not.
      acknowledgements.answerAgain(connection, PacketType.PUBREC, publish.packetId);
      return;
    }
    if (publish.qos > 0) this.checkReceiveMaximum(1);
    const topic = Buffer.from(publish.topic);
    const route = connection.findRoute(topic, 0, topic.length);
    if (!route.allowed) {
      this.refuse(publish, ReasonCode.NOT_AUTHORIZED);
      return;
    }
    if (options.validatePayloadFormat && !validPayload(publish)) {
      this.refuse(publish, ReasonCode.PAYLOAD_FORMAT_INVALID);
      return;
    }
    const run = this.runOf(publish, bytes, start, end, resolved);
    run.publisher = connection;
    const { vhost } = connection;
    let position = publish.qos === 2 ? this.take(publish.packetId) : 0;
    position = Math.max(position, vhost.publish(run, route));
    if (run.refused === null && publish.retain) {
      const { exchange, key } = topicToAddress(publish.topic);
      if (exchange === TOPIC_EXCHANGE) position = this.retain(run, key.path, publish.payload.length === 0, position);
    }
    if (publish.qos === 0) return;
    const kind = publish.qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
    if (run.refused !== null && publish.qos === 2) this.giveUp(publish.packetId);
    const reason = acknowledgements.publishReason(connection, run);
    if (reason < 0) return;
    acknowledgements.answer(connection, kind, publish.packetId, reason, position);
  }

  /** Keeps (or clears) the retained message of a topic. Returns the log position to wait for: `position`, or a later one. Notes in the run when there is no room for it. */
  private retain(run: Run, path: string, clears: boolean, position: number): number {
    // [MQTT-3.3.1-5], [3.1.1 MQTT-3.3.1-7], [3.1.1 MQTT-3.3.1-5], [3.1.1 MQTT-3.1.2-7] [MQTT-3.3.1-6], [3.1.1 MQTT-3.3.1-10] [MQTT-3.3.1-7], [3.1.1 MQTT-3.3.1-11]
    const retained = this.connection.vhost.retain(path, clears ? null : run);
    if (retained < 0) run.refused = 'quota-exceeded';
    return Math.max(retained, position);
  }

  /** The frame as it is where it is in normal form, otherwise a new one. */
  private runOf(publish: Publish, bytes: Uint8Array, start: number, end: number, rewritten: boolean): Run {
    const { connection } = this;
    // [MQTT-3.3.1-3], [3.1.1 MQTT-3.3.1-3]
    if (rewritten || publish.dup) {
      publish.dup = false;
      return runOfPublish(publish, connection.wire, connection.nowMs);
    }
    const { run, offsets } = this.gathering;
    run.reuse();
    run.codec = MQTT_CODEC;
    run.variant = connection.wire;
    run.bytes = bytes;
    run.start = start;
    run.end = end;
    run.count = 1;
    offsets[0] = 0;
    offsets[1] = end - start;
    run.guarantee = publish.qos;
    run.persistent = isPersistent(publish);
    run.frameBytesMax = end - start;
    run.receivedAtMs = connection.nowMs;
    const seconds = publish.properties.messageExpiryIntervalS;
    run.expiresAtMs = seconds === null ? 0 : run.receivedAtMs + seconds * 1000;
    run.priority = priorityOf(publish);
    return run;
  }

  /** Puts the topic an alias stands for into the packet; returns whether the frame needs to be rewritten. */
  private resolveAlias(publish: Publish): boolean {
    const alias = publish.properties.topicAlias;
    const { topicAliasMaximum } = this.connection.adapter.options;
    if (alias === null) {
      this.checkTopic(publish.topic);
      return false;
    }
    // [MQTT-3.3.2-8] [MQTT-3.3.2-9]
    if (alias > topicAliasMaximum)
      throw topicAliasInvalid(`topic alias ${alias}; mqtt.topicAliasMaximum is ${topicAliasMaximum}`);
    this.aliases ??= [];
    if (publish.topic === '') {
      const known = this.aliases[alias];
      // [MQTT-3.3.2-12]
      if (known === undefined) throw protocolError(`topic alias ${alias} has not been set`);
      publish.topic = known.topic;
    } else {
      this.checkTopic(publish.topic);
      const { topic } = publish;
      this.aliases[alias] = { topic, bytes: Buffer.from(topic), route: null, generation: UNKNOWN };
    }
    // An alias means something on one connection only [MQTT-3.3.2-10]: it does not travel on.
    publish.properties = Object.assign(
      Object.create(Object.getPrototypeOf(EMPTY_PROPERTIES) as object),
      publish.properties,
      {
        topicAlias: null,
      },
    ) as typeof publish.properties;
    return true;
  }

  private checkTopic(topic: string): void {
    // [MQTT-3.3.2-2], [3.1.1 MQTT-3.3.2-2], [MQTT-4.7.1-1]
    if (!validTopicName(topic, this.connection.adapter.topicLimits)) {
      throw topicNameInvalid(`the topic ${JSON.stringify(topic.slice(0, 100))} is not allowed`);
    }
  }

  private isRepeated(id: number): boolean {
    return this.connection.client!.received?.has(id) === true;
  }

  /** Returns the position to wait for. */
  private take(id: number): number {
    const { connection } = this;
    const client = connection.client!;
    client.received ??= new ReceivedIds();
    client.received.add(id);
    connection.qos2Pending++;
    return connection.adapter.stored.putReceived(client.session, id);
  }

  private giveUp(id: number): void {
    // A PUBREC of 0x80 and above ends the exchange: the identifier is free again [MQTT-4.3.3-9]. MQTT 3 ends the connection instead; its client sends the message again under the same one.
    const client = this.connection.client!;
    client.received!.remove(id);
    this.connection.qos2Pending--;
    this.connection.adapter.stored.removeReceived(client.session, id);
  }

  private refuse(publish: Publish, reason: number): void {
    const { connection } = this;
    if (publish.qos === 0) return;
    const kind = publish.qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
    if (connection.wire === 4) {
      // [3.1.1 MQTT-3.3.5-2]: there is no way to say no. The positive answer keeps the client going; the refusal is counted and logged.
      const position = publish.qos === 2 ? this.take(publish.packetId) : 0;
      acknowledgements.answer(connection, kind, publish.packetId, 0, position);
      return;
    }
    acknowledgements.answer(connection, kind, publish.packetId, reason, 0);
  }

  /**
   * Unanswered PUBLISH packets of this connection and `more`: at QoS 2 until PUBCOMP, at QoS 1 while PUBACK waits for the log; what is answered at once is no more than one at a time.
   * MQTT 3 clients have agreed to no number.
   */
  private checkReceiveMaximum(more: number): void {
    const { connection } = this;
    const pending = connection.pubacksPending + connection.qos2Pending + more;
    const { receiveMaximum } = connection.adapter.options;
    if (pending <= receiveMaximum || connection.wire === 4) return;
    // MQTT 5.0 section 3.3.4; the client was told the number [MQTT-3.3.4-7].
    throw new ProtocolError(
      'receive-maximum-exceeded',
      ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
      `${pending} unanswered PUBLISH packets; mqtt.receiveMaximum is ${receiveMaximum}`,
    );
  }
}

/** Payload Format Indicator 1 promises UTF-8. */
export function validPayload(publish: Publish | Will): boolean {
  if (publish.properties.payloadFormat !== 1) return true;
  try {
    utf8.decode(publish.payload);
    return true;
  } catch {
    // What a fatal decoder throws means only: not UTF-8.
    return false;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
