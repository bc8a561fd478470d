// The way of a PUBLISH from its bytes into the core: consecutive packets to the same destinations with the same first byte are gathered into one borrowed run; flush() publishes it and
// answers. Whatever is unusual (retain, DUP, properties, aliases, refused topics, repeated QoS 2) comes as an object through one().
import type { DestinationSet } from '../../src/core/destination-set.ts';
import { BrokerError, ProtocolError } from '../../src/core/errors.ts';
import { UNKNOWN } from '../../src/core/route-changes.ts';
import type { Route } from '../../src/core/route-table.ts';
import type { Run } from '../../src/core/run.ts';
import * as acknowledgements from './acknowledgements.ts';
import { ReceivedIds } from './client-state.ts';
import type { Connection } from './connection.ts';
import { protocolError, topicAliasInvalid, topicNameInvalid } from './errors.ts';
import type { Publish, Will } from './packet.ts';
import { PacketType } from './packet-type.ts';
import { EMPTY_PROPERTIES } from './properties.ts';
import { isPersistent, MQTT_CODEC, priorityOf, runOfPublish } from './publish-form.ts';
import { ReasonCode } from './reason-codes.ts';
import { validTopicName } from './topics.ts';

/** Messages of one run: bounds the scratch arrays, and how long one publish call can take. */
export const RUN_COUNT_MAX = 8192;

/** What all connections of an adapter gather into; only one of them parses at a time. */
export class Gathering {
  readonly run: Run;
  readonly offsets = new Uint32Array(RUN_COUNT_MAX + 1);
  readonly ids = new Uint16Array(RUN_COUNT_MAX);
  count = 0;
  first = 0;
  set: DestinationSet | null = null;
  route: Route | null = null;

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
  private aliases: string[] | null = null;

  constructor(connection: Connection) {
    this.connection = connection;
    this.gathering = connection.adapter.gathering;
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
    run.expiresAtMs = 0;
    run.receivedAtMs = connection.nowMs;
    run.publisher = connection;
    // [MQTT-4.5.0-1] [MQTT-4.6.0-5] [MQTT-4.6.0-6], [3.1.1 MQTT-3.1.2-5] [3.1.1 MQTT-4.5.0-1] [3.1.1 MQTT-4.6.0-5] [3.1.1 MQTT-4.6.0-6]
    const position = connection.vhost.publish(run, gathering.route!);
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
      // [MQTT-3.3.1-5], [3.1.1 MQTT-3.3.1-7], [3.1.1 MQTT-3.3.1-5], [3.1.1 MQTT-3.1.2-7] [MQTT-3.3.1-6], [3.1.1 MQTT-3.3.1-10] [MQTT-3.3.1-7], [3.1.1 MQTT-3.3.1-11]
      const retained = adapter.retain(vhost, publish.topic, run, publish.payload.length === 0);
      if (retained < 0) run.refused = 'quota-exceeded';
      else if (retained > position) position = retained;
    }
    if (publish.qos === 0) return;
    const kind = publish.qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
    if (run.refused !== null && publish.qos === 2) this.giveUp(publish.packetId);
    const reason = acknowledgements.publishReason(connection, run);
    if (reason < 0) return;
    acknowledgements.answer(connection, kind, publish.packetId, reason, position);
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
      const topic = this.aliases[alias];
      // [MQTT-3.3.2-12]
      if (topic === undefined) throw protocolError(`topic alias ${alias} has not been set`);
      publish.topic = topic;
    } else {
      this.checkTopic(publish.topic);
      this.aliases[alias] = publish.topic;
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
