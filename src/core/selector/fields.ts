// The names in a selector and what they stand for in a message: the header of that name, else the property that goes by it; the names that JMS gives to properties
// are properties only.
import type { Message } from '../message.ts';
import { headerValue } from '../properties.ts';

/** Null for what is not there, which makes whatever is asked of it unknown. */
export type Value = string | number | boolean | null;

export type Evaluate = (message: Message) => Value;

const JMS_FIELDS: Readonly<Record<string, Evaluate>> = {
  JMSPriority: (message) => message.priority,
  JMSCorrelationID: (message) => utf8(message.properties.correlationId),
  JMSType: (message) => message.properties.type,
  JMSMessageID: (message) => message.properties.messageId,
  JMSTimestamp: (message) => timestampOf(message),
  JMSDeliveryMode: (message) => (message.persistent ? 'PERSISTENT' : 'NON_PERSISTENT'),
  JMSExpiration: (message) => message.expiresAtMs,
  JMSXGroupID: (message) => headerValue(message.headers, 'JMSXGroupID'),
  JMSXUserID: (message) => message.properties.userId,
};

const PROPERTIES: Readonly<Record<string, Evaluate>> = {
  'content-type': (message) => message.properties.contentType,
  'content-encoding': (message) => message.properties.contentEncoding,
  'correlation-id': (message) => utf8(message.properties.correlationId),
  'message-id': (message) => message.properties.messageId,
  timestamp: (message) => message.properties.timestamp,
  type: (message) => message.properties.type,
  'user-id': (message) => message.properties.userId,
  'app-id': (message) => message.properties.appId,
  priority: (message) => message.priority,
  persistent: (message) => message.persistent,
};

export function fieldOf(name: string): Evaluate {
  if (Object.hasOwn(JMS_FIELDS, name)) return JMS_FIELDS[name]!;
  if (!Object.hasOwn(PROPERTIES, name)) return (message) => headerValue(message.headers, name);
  const property = PROPERTIES[name]!;
  return (message) => headerValue(message.headers, name) ?? property(message);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes that are no text equal nothing. */
function utf8(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null;
  try {
    return decoder.decode(bytes);
  } catch {
    // TextDecoder has no other way to say that they are none.
    return null;
  }
}

function timestampOf({ properties, receivedAtMs }: Message): number {
  const own = properties.timestamp === null ? null : numeral(properties.timestamp);
  return own ?? receivedAtMs;
}

/** The number a text is, or null. */
export function numeral(text: string): number | null {
  if (text.length > 40 || !/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return null;
  return Number(text);
}
