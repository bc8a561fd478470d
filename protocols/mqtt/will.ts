// The will: a PUBLISH that the broker sends for a client that went without saying goodbye, at once or after its delay. It takes the same way as any other publish.
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { BrokerError, ProtocolError } from '../../src/core/errors.ts';
import type { Session } from '../../src/core/session.ts';
import type { Vhost } from '../../src/core/vhost.ts';
import { NO_ROOM_FOR_MESSAGE, NO_ROOM_TO_RETAIN } from './errors.ts';
import type { MqttAdapter } from './index.ts';
import { publish, type Will } from './packet.ts';
import { Properties } from './properties.ts';
import { runOfPublish, type WireVersion } from './publish-form.ts';

/** A will in memory of its own. */
export interface StoredWill {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Will['qos'];
  readonly retain: boolean;
  readonly properties: Readonly<Properties>;
  readonly delayMs: number;
  readonly version: WireVersion;
}

/** Copies what the CONNECT packet only lent. */
export function storedWill(will: Will, version: WireVersion): StoredWill {
  const { properties } = will;
  const own = Object.assign(willProperties(will), { willDelayIntervalS: null });
  return {
    topic: will.topic,
    payload: new Uint8Array(will.payload),
    qos: will.qos,
    retain: will.retain,
    properties: own,
    delayMs: (properties.willDelayIntervalS ?? 0) * 1000,
    version,
  };
}

/** The properties of a will in memory of their own. */
// [MQTT-3.1.3-10]
export function willProperties({ properties }: Will): Properties {
  const { correlationData } = properties;
  return Object.assign(new Properties(), properties, {
    correlationData: correlationData === null ? null : new Uint8Array(correlationData),
  });
}

export interface DelayedWill {
  readonly vhost: Vhost;
  readonly session: Session;
  readonly will: StoredWill;
  readonly dueMs: number;
}

/** The connection is gone without a goodbye: the will is sent now, or put on the adapter's list [MQTT-3.1.2-8], [3.1.1 MQTT-3.1.2-8] [MQTT-3.1.3-9]. */
export function publishWill(adapter: MqttAdapter, vhost: Vhost, session: Session, will: StoredWill): void {
  // The end of the session sends it even earlier, so a delay needs a session that goes on.
  const delayMs = Math.min(will.delayMs, session.expiryMs);
  if (delayMs > 0 && !session.ended) {
    const dueMs = adapter.broker.nowMs + delayMs;
    adapter.delayWill({ vhost, session, will, dueMs });
    adapter.stored.putWill(session, will, dueMs);
    return;
  }
  // [MQTT-3.1.2-10], [3.1.1 MQTT-3.1.2-10]
  adapter.stored.removeWill(session);
  sendWill(adapter, vhost, session, will);
}

export function sendWill(adapter: MqttAdapter, vhost: Vhost, session: Session, will: StoredWill): void {
  const packet = publish(will.topic, {
    payload: will.payload,
    qos: will.qos,
    retain: will.retain,
    properties: will.properties,
    packetId: will.qos === 0 ? 0 : 1,
  });
  const topic = Buffer.from(will.topic);
  try {
    const route = adapter.makeRoute(topic, 0, topic.length);
    adapter.resolve(vhost, route, session.principal, session.clientId);
    if (!route.allowed) {
      adapter.broker.counters.refusedUnauthorized++;
      adapter.logger.warn({ clientId: session.clientId }, `will not published: ${route.refusal}`);
      return;
    }
    const run = runOfPublish(packet, will.version, adapter.broker.nowMs);
    vhost.publish(run, route);
    // A publisher would be told; nobody is there any more but the operator.
    if (run.refused !== null) {
      adapter.logger.warn({ clientId: session.clientId }, `will not published: ${NO_ROOM_FOR_MESSAGE}`);
      return;
    }
    if (!will.retain || route.exchange !== TOPIC_EXCHANGE) return;
    // [MQTT-3.1.2-14], [3.1.1 MQTT-3.1.2-16] [MQTT-3.1.2-15], [3.1.1 MQTT-3.1.2-17]
    if (vhost.retain(route.key.path, will.payload.length === 0 ? null : run) < 0)
      adapter.logger.warn({ clientId: session.clientId }, `will published, but not retained: ${NO_ROOM_TO_RETAIN}`);
  } catch (error) {
    // Its topic may name a queue that somebody else holds: nobody is there to be told but the operator.
    if (!(error instanceof BrokerError || error instanceof ProtocolError)) throw error;
    adapter.logger.warn({ clientId: session.clientId }, `will not published: ${error.message}`);
  }
}
