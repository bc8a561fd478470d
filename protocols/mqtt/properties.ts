// The properties of MQTT 5 (section 2.2.2): the object that holds those of one packet, read from and written to the wire as property-table.ts describes
// them. Rules that concern a single property are checked here; those that need more than one field stay with the packet.
import { binaryBytes, writeBinary } from './binary.ts';
import { malformed, protocolError, quotaExceeded } from './errors.ts';
import { variableByteIntegerBytes, writeVariableByteInteger } from './frame.ts';
import { PacketType } from './packet-type.ts';
import {
  PropertyKind,
  type PropertyPlace,
  propertiesOf,
  propertyById,
  SUBSCRIPTION_IDENTIFIER_MAX,
  WILL,
} from './property-table.ts';
import type { PacketReader } from './reader.ts';
import { textBytes, writeText } from './text.ts';

const { BYTE, FLAG, UINT16, UINT32, TEXT, BINARY, IDENTIFIERS, PAIRS } = PropertyKind;

/** Every property of one packet; null when absent. Binary values are views, valid as long as the bytes they were read from. */
export class Properties {
  payloadFormat: number | null = null;
  messageExpiryIntervalS: number | null = null;
  contentType: string | null = null;
  responseTopic: string | null = null;
  correlationData: Uint8Array | null = null;
  subscriptionIdentifiers: readonly number[] | null = null;
  sessionExpiryIntervalS: number | null = null;
  assignedClientIdentifier: string | null = null;
  serverKeepAliveS: number | null = null;
  authenticationMethod: string | null = null;
  authenticationData: Uint8Array | null = null;
  requestProblemInformation: boolean | null = null;
  willDelayIntervalS: number | null = null;
  requestResponseInformation: boolean | null = null;
  responseInformation: string | null = null;
  serverReference: string | null = null;
  reasonString: string | null = null;
  receiveMaximum: number | null = null;
  topicAliasMaximum: number | null = null;
  topicAlias: number | null = null;
  maximumQos: number | null = null;
  retainAvailable: boolean | null = null;
  /** Name, value, name, value, … in the order of the packet, duplicates kept [MQTT-3.3.2-18]. */
  userProperties: readonly string[] | null = null;
  maximumPacketSize: number | null = null;
  wildcardSubscriptionAvailable: boolean | null = null;
  subscriptionIdentifiersAvailable: boolean | null = null;
  sharedSubscriptionAvailable: boolean | null = null;
}

/** The properties of every packet that has none, and of every packet of MQTT 3. Frozen. */
export const EMPTY_PROPERTIES: Readonly<Properties> = Object.freeze(new Properties());

/** How many of the repeatable properties one packet may hold: memory, not the specification, sets these. */
export interface PropertyLimits {
  readonly userPropertiesMax: number;
  readonly subscriptionIdentifiersMax: number;
}

/** Property Length and properties at the reader's position. A packet that leaves them out altogether must not get here. */
export function readProperties(
  reader: PacketReader,
  place: PropertyPlace,
  limits: PropertyLimits,
): Readonly<Properties> {
  const size = reader.variableByteInteger('the property length');
  if (size === 0) return EMPTY_PROPERTIES;
  const properties = new Properties();
  const pairs: string[] = [];
  const identifiers: number[] = [];
  const outerEnd = reader.narrow(size, 'the properties');
  while (reader.remaining > 0) {
    const id = reader.variableByteInteger('a property identifier');
    const definition = propertyById(id);
    // MQTT 5.0 section 2.2.2.2: an identifier that is not valid for its packet type makes the packet malformed.
    if (definition === null) throw malformed(`${reader.packet}: 0x${id.toString(16)} is not a property`);
    const { name } = definition;
    if ((definition.places & (1 << place)) === 0) {
      throw malformed(`${reader.packet}: ${name} is not a property of ${place === WILL ? 'a will' : 'this packet'}`);
    }
    // Each property but those that may be repeated says "it is a Protocol Error to include it more than once".
    if (properties[definition.field] !== null) throw protocolError(`${reader.packet}: ${name} stands there twice`);
    switch (definition.kind) {
      case BYTE:
        properties[definition.field] = bounded(reader, definition, reader.byte(name));
        break;
      case FLAG: {
        const value = reader.byte(name);
        if (value > 1) throw protocolError(`${reader.packet}: ${name} is ${value}, neither 0 nor 1`);
        properties[definition.field] = value === 1;
        break;
      }
      case UINT16:
        properties[definition.field] = bounded(reader, definition, reader.uint16(name));
        break;
      case UINT32:
        properties[definition.field] = bounded(reader, definition, reader.uint32(name));
        break;
      case TEXT:
        properties[definition.field] = reader.text(name);
        break;
      case BINARY:
        properties[definition.field] = reader.binary(name);
        break;
      case IDENTIFIERS: {
        const value = reader.variableByteInteger(name);
        // MQTT 5.0 sections 3.3.2.3.8 and 3.8.2.1.2: a value of 0 is a Protocol Error.
        if (value === 0) throw protocolError(`${reader.packet}: ${name} is 0`);
        // Repeatable in PUBLISH only, one for each matching subscription [MQTT-3.3.4-4].
        if (place !== PacketType.PUBLISH && identifiers.length > 0) {
          throw protocolError(`${reader.packet}: ${name} stands there twice`);
        }
        if (identifiers.length === limits.subscriptionIdentifiersMax) {
          throw quotaExceeded(
            `${reader.packet}: more than ${limits.subscriptionIdentifiersMax} Subscription Identifiers`,
          );
        }
        identifiers.push(value);
        break;
      }
      case PAIRS:
        if (pairs.length === 2 * limits.userPropertiesMax) {
          throw quotaExceeded(`${reader.packet}: more than ${limits.userPropertiesMax} User Properties`);
        }
        // [MQTT-1.5.7-1]
        pairs.push(reader.text('the name of a User Property'), reader.text('the value of a User Property'));
        break;
    }
  }
  reader.widen(outerEnd);
  if (pairs.length > 0) properties.userProperties = pairs;
  if (identifiers.length > 0) properties.subscriptionIdentifiers = identifiers;
  checkResponseTopic(properties.responseTopic, reader.packet);
  return properties;
}

/** The Response Topic is a topic name [MQTT-3.3.2-14], [MQTT-4.7.3-1]; the code for a bad topic name would point at the wrong one. */
function checkResponseTopic(topic: string | null, packet: string): void {
  if (topic === null) return;
  if (topic.length === 0) throw protocolError(`${packet}: Response Topic is empty`);
  if (topic.includes('+') || topic.includes('#')) throw protocolError(`${packet}: Response Topic contains a wildcard`);
}

interface Bounds {
  readonly name: string;
  readonly minimum: number;
  readonly maximum: number;
}

function bounded(reader: PacketReader, bounds: Bounds, value: number): number {
  if (value < bounds.minimum || value > bounds.maximum) {
    throw protocolError(
      `${reader.packet}: ${bounds.name} is ${value}, outside of ${bounds.minimum} to ${bounds.maximum}`,
    );
  }
  return value;
}

/** Bytes of the properties without their length. Properties that the place does not allow are neither counted nor written. */
export function propertiesBytes(properties: Readonly<Properties>, place: PropertyPlace): number {
  if (properties === EMPTY_PROPERTIES) return 0;
  const definitions = propertiesOf(place);
  let size = 0;
  for (let i = 0; i < definitions.length; i++) {
    const definition = definitions[i]!;
    switch (definition.kind) {
      case BYTE:
      case UINT16:
      case UINT32: {
        const value = properties[definition.field];
        if (value === null) break;
        if (!(Number.isInteger(value) && value >= definition.minimum && value <= definition.maximum)) {
          throw new RangeError(`${definition.name} cannot be ${value}`);
        }
        size += definition.kind === BYTE ? 2 : definition.kind === UINT16 ? 3 : 5;
        break;
      }
      case FLAG:
        if (properties[definition.field] !== null) size += 2;
        break;
      case TEXT: {
        const value = properties[definition.field];
        if (value !== null) size += 1 + textBytes(value);
        break;
      }
      case BINARY: {
        const value = properties[definition.field];
        if (value !== null) size += 1 + binaryBytes(value);
        break;
      }
      case IDENTIFIERS: {
        const values = properties.subscriptionIdentifiers;
        if (values === null) break;
        for (let k = 0; k < values.length; k++) {
          const value = values[k]!;
          if (!(Number.isInteger(value) && value >= 1 && value <= SUBSCRIPTION_IDENTIFIER_MAX)) {
            throw new RangeError(`${definition.name} cannot be ${value}`);
          }
          size += 1 + variableByteIntegerBytes(value);
        }
        break;
      }
      case PAIRS: {
        const pairs = properties.userProperties;
        if (pairs === null) break;
        for (let k = 0; k < pairs.length; k += 2) size += 1 + textBytes(pairs[k]!) + textBytes(pairs[k + 1]!);
        break;
      }
    }
  }
  return size;
}

/** Writes Property Length and properties, whose size propertiesBytes has told; returns the position after them. */
export function writeProperties(
  into: Buffer,
  at: number,
  properties: Readonly<Properties>,
  place: PropertyPlace,
  size: number,
): number {
  // [MQTT-2.2.2-1]
  let pos = writeVariableByteInteger(into, at, size);
  if (size === 0) return pos;
  const definitions = propertiesOf(place);
  for (let i = 0; i < definitions.length; i++) {
    const definition = definitions[i]!;
    switch (definition.kind) {
      case BYTE: {
        const value = properties[definition.field];
        if (value === null) break;
        into[pos++] = definition.id;
        into[pos++] = value;
        break;
      }
      case FLAG: {
        const value = properties[definition.field];
        if (value === null) break;
        into[pos++] = definition.id;
        into[pos++] = value ? 1 : 0;
        break;
      }
      case UINT16: {
        const value = properties[definition.field];
        if (value === null) break;
        into[pos++] = definition.id;
        pos = into.writeUInt16BE(value, pos);
        break;
      }
      case UINT32: {
        const value = properties[definition.field];
        if (value === null) break;
        into[pos++] = definition.id;
        pos = into.writeUInt32BE(value, pos);
        break;
      }
      case TEXT: {
        const value = properties[definition.field];
        if (value === null) break;
        into[pos++] = definition.id;
        pos = writeText(into, pos, value);
        break;
      }
      case BINARY: {
        const value = properties[definition.field];
        if (value === null) break;
        into[pos++] = definition.id;
        pos = writeBinary(into, pos, value);
        break;
      }
      case IDENTIFIERS: {
        const values = properties.subscriptionIdentifiers;
        if (values === null) break;
        for (let k = 0; k < values.length; k++) {
          into[pos++] = definition.id;
          pos = writeVariableByteInteger(into, pos, values[k]!);
        }
        break;
      }
      case PAIRS: {
        const pairs = properties.userProperties;
        if (pairs === null) break;
        for (let k = 0; k < pairs.length; k += 2) {
          into[pos++] = definition.id;
          pos = writeText(into, pos, pairs[k]!);
          pos = writeText(into, pos, pairs[k + 1]!);
        }
        break;
      }
    }
  }
  return pos;
}
