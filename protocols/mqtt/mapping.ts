// MQTT's PUBLISH and the core's Message: what each field of one is in the other. Only messages that cross to or from another protocol, or whose fields the core asks for, come through here;
// MQTT to MQTT stays bytes (publish-form.ts).
//
//   MQTT 5                      core                 MQTT 5 without a field of its own
//   Content Type                contentType          user property content-encoding, priority, message-id, timestamp, type, user-id, app-id
//   Response Topic              replyTo
//   Correlation Data            correlationId
//   Message Expiry Interval     expiresAtMs
//   Payload Format Indicator    utf8
//   User Properties             headers, in order, duplicates kept

import { type Address, topicAddress } from '../../src/core/address.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { Message } from '../../src/core/message.ts';
import { type Properties as CoreProperties, NO_HEADERS, NO_PROPERTIES } from '../../src/core/properties.ts';
import { addressToTopic, topicToAddress } from './addresses.ts';
import { type Publish, publish } from './packet.ts';
import { EMPTY_PROPERTIES, Properties } from './properties.ts';
import { encodableText, TEXT_BYTES_MAX } from './text.ts';

/** User properties that stand for a core property, and which. */
const NAMED: Readonly<Record<string, 'contentEncoding' | 'messageId' | 'timestamp' | 'type' | 'userId' | 'appId'>> = {
  'content-encoding': 'contentEncoding',
  'message-id': 'messageId',
  timestamp: 'timestamp',
  type: 'type',
  'user-id': 'userId',
  'app-id': 'appId',
};

/** The packet's payload and binary properties are passed on as they are, so the message lives as long as they do. */
export function toMessage(packet: Publish, receivedAtMs: number, expiresAtMs: number): Message {
  const { properties } = packet;
  const address = addressOf(packet.topic);
  if (properties === EMPTY_PROPERTIES) {
    return new Message(
      address,
      packet.payload,
      NO_PROPERTIES,
      NO_HEADERS,
      packet.qos,
      packet.retain,
      0,
      receivedAtMs,
      expiresAtMs,
      packet,
    );
  }
  const core = {
    ...NO_PROPERTIES,
    contentType: properties.contentType,
    correlationId: properties.correlationData,
    replyTo: properties.responseTopic === null ? null : addressOf(properties.responseTopic),
    utf8: properties.payloadFormat === 1,
  };
  let priority = 0;
  const headers: string[] = [];
  const pairs = properties.userProperties ?? [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const name = pairs[i]!;
    const value = pairs[i + 1]!;
    const field = Object.hasOwn(NAMED, name) ? NAMED[name]! : null;
    // The first of a repeated one is the property; the rest stay headers.
    if (field !== null && core[field] === null) core[field] = value;
    else if (name === 'priority' && /^\d{1,3}$/.test(value) && priority === 0) priority = Math.min(255, Number(value));
    else headers.push(name, value);
  }
  return new Message(
    address,
    packet.payload,
    core,
    headers,
    packet.qos,
    packet.retain,
    priority,
    receivedAtMs,
    expiresAtMs,
    packet,
  );
}

/** For encoding at this guarantee; packet id, DUP, RETAIN and subscription identifiers are the sender's to set. */
export function fromMessage(message: Message, qos: Guarantee): Publish {
  return publish(addressToTopic(message.address), {
    payload: message.payload,
    qos,
    properties: propertiesOf(message),
  });
}

function propertiesOf(message: Message): Readonly<Properties> {
  const { properties: core, headers, priority, expiresAtMs, receivedAtMs } = message;
  if (core === NO_PROPERTIES && headers.length === 0 && priority === 0 && expiresAtMs === 0) return EMPTY_PROPERTIES;
  const properties = new Properties();
  properties.contentType = carried(core.contentType);
  properties.correlationData =
    core.correlationId !== null && core.correlationId.length > TEXT_BYTES_MAX ? null : core.correlationId;
  properties.responseTopic = core.replyTo === null ? null : carried(addressToTopic(core.replyTo));
  if (core.utf8) properties.payloadFormat = 1;
  if (expiresAtMs !== 0)
    properties.messageExpiryIntervalS = Math.max(1, Math.ceil((expiresAtMs - receivedAtMs) / 1000));
  const pairs = [...named(core)];
  if (priority !== 0) pairs.push('priority', String(priority));
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (carried(headers[i]!) !== null && carried(headers[i + 1]!) !== null) pairs.push(headers[i]!, headers[i + 1]!);
  }
  if (pairs.length > 0) properties.userProperties = pairs;
  return properties;
}

/** Another protocol may have a text that MQTT has no room for (65,535 bytes) or no way to write: it stays behind, the message goes on. */
function carried(text: string | null): string | null {
  return text !== null && encodableText(text) ? text : null;
}

function* named(core: CoreProperties): Iterable<string> {
  for (const name of Object.keys(NAMED)) {
    const value = carried(core[NAMED[name]!]);
    if (value !== null) {
      yield name;
      yield value;
    }
  }
}

/** What a topic in a packet means; a name that cannot be published to still travels, as the plain topic it looks like. */
function addressOf(topic: string): Address {
  try {
    return topicToAddress(topic);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return topicAddress(topic);
  }
}
