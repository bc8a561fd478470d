// The properties of MQTT 5 as one table (section 2.2.2.2): identifier, name, field of Properties, kind of value, bounds, and the places that may carry
// it. A property is described here and nowhere else; reading and writing are driven by this table.
import { REMAINING_LENGTH_MAX } from './frame.ts';
import { PacketType } from './packet-type.ts';
import type { Properties } from './properties.ts';

/** Where properties stand: the packet type, or the will inside CONNECT. */
export const WILL = 0;
export type PropertyPlace = PacketType | typeof WILL;

/** How a value is written. */
export const PropertyKind = {
  BYTE: 0,
  FLAG: 1,
  UINT16: 2,
  UINT32: 3,
  TEXT: 4,
  BINARY: 5,
  IDENTIFIERS: 6,
  PAIRS: 7,
} as const;

type FieldOf<T> = { [K in keyof Properties]-?: T extends Properties[K] ? K : never }[keyof Properties];
type NumberField = FieldOf<number>;
type FlagField = FieldOf<boolean>;
type TextField = FieldOf<string>;
type BinaryField = FieldOf<Uint8Array>;

interface DefinitionBase {
  readonly id: number;
  /** As the specification writes it. */
  readonly name: string;
  /** Bits 1 << PropertyPlace. */
  readonly places: number;
}

export type PropertyDefinition = DefinitionBase &
  (
    | {
        readonly kind: typeof PropertyKind.BYTE | typeof PropertyKind.UINT16 | typeof PropertyKind.UINT32;
        readonly field: NumberField;
        readonly minimum: number;
        readonly maximum: number;
      }
    | { readonly kind: typeof PropertyKind.FLAG; readonly field: FlagField }
    | { readonly kind: typeof PropertyKind.TEXT; readonly field: TextField }
    | { readonly kind: typeof PropertyKind.BINARY; readonly field: BinaryField }
    | { readonly kind: typeof PropertyKind.IDENTIFIERS; readonly field: 'subscriptionIdentifiers' }
    | { readonly kind: typeof PropertyKind.PAIRS; readonly field: 'userProperties' }
  );

const { BYTE, FLAG, UINT16, UINT32, TEXT, BINARY, IDENTIFIERS, PAIRS } = PropertyKind;
/** The largest Subscription Identifier (MQTT 5.0 section 3.8.2.1.2). */
export const SUBSCRIPTION_IDENTIFIER_MAX = REMAINING_LENGTH_MAX;

const UINT16_MAX = 0xffff;
const UINT32_MAX = 0xffff_ffff;

const IN_WILL = 1 << WILL;
const CONNECT = 1 << PacketType.CONNECT;
const CONNACK = 1 << PacketType.CONNACK;
const PUBLISH = 1 << PacketType.PUBLISH;
const SUBSCRIBE = 1 << PacketType.SUBSCRIBE;
const DISCONNECT = 1 << PacketType.DISCONNECT;
const AUTH = 1 << PacketType.AUTH;
/** The packets that answer, which may say why. */
const REASONED =
  CONNACK |
  (1 << PacketType.PUBACK) |
  (1 << PacketType.PUBREC) |
  (1 << PacketType.PUBREL) |
  (1 << PacketType.PUBCOMP) |
  (1 << PacketType.SUBACK) |
  (1 << PacketType.UNSUBACK) |
  DISCONNECT |
  AUTH;
const ANY = REASONED | CONNECT | IN_WILL | PUBLISH | SUBSCRIBE | (1 << PacketType.UNSUBSCRIBE);

/** In the order of identifiers, which is also the order in which they are written. */
export const PROPERTIES: readonly PropertyDefinition[] = [
  {
    id: 0x01,
    name: 'Payload Format Indicator',
    field: 'payloadFormat',
    kind: BYTE,
    minimum: 0,
    maximum: 1,
    places: PUBLISH | IN_WILL,
  },
  {
    id: 0x02,
    name: 'Message Expiry Interval',
    field: 'messageExpiryIntervalS',
    kind: UINT32,
    minimum: 0,
    maximum: UINT32_MAX,
    places: PUBLISH | IN_WILL,
  },
  { id: 0x03, name: 'Content Type', field: 'contentType', kind: TEXT, places: PUBLISH | IN_WILL },
  { id: 0x08, name: 'Response Topic', field: 'responseTopic', kind: TEXT, places: PUBLISH | IN_WILL },
  { id: 0x09, name: 'Correlation Data', field: 'correlationData', kind: BINARY, places: PUBLISH | IN_WILL },
  {
    id: 0x0b,
    name: 'Subscription Identifier',
    field: 'subscriptionIdentifiers',
    kind: IDENTIFIERS,
    places: PUBLISH | SUBSCRIBE,
  },
  {
    id: 0x11,
    name: 'Session Expiry Interval',
    field: 'sessionExpiryIntervalS',
    kind: UINT32,
    minimum: 0,
    maximum: UINT32_MAX,
    places: CONNECT | CONNACK | DISCONNECT,
  },
  { id: 0x12, name: 'Assigned Client Identifier', field: 'assignedClientIdentifier', kind: TEXT, places: CONNACK },
  {
    id: 0x13,
    name: 'Server Keep Alive',
    field: 'serverKeepAliveS',
    kind: UINT16,
    minimum: 0,
    maximum: UINT16_MAX,
    places: CONNACK,
  },
  {
    id: 0x15,
    name: 'Authentication Method',
    field: 'authenticationMethod',
    kind: TEXT,
    places: CONNECT | CONNACK | AUTH,
  },
  {
    id: 0x16,
    name: 'Authentication Data',
    field: 'authenticationData',
    kind: BINARY,
    places: CONNECT | CONNACK | AUTH,
  },
  { id: 0x17, name: 'Request Problem Information', field: 'requestProblemInformation', kind: FLAG, places: CONNECT },
  {
    id: 0x18,
    name: 'Will Delay Interval',
    field: 'willDelayIntervalS',
    kind: UINT32,
    minimum: 0,
    maximum: UINT32_MAX,
    places: IN_WILL,
  },
  { id: 0x19, name: 'Request Response Information', field: 'requestResponseInformation', kind: FLAG, places: CONNECT },
  { id: 0x1a, name: 'Response Information', field: 'responseInformation', kind: TEXT, places: CONNACK },
  { id: 0x1c, name: 'Server Reference', field: 'serverReference', kind: TEXT, places: CONNACK | DISCONNECT },
  { id: 0x1f, name: 'Reason String', field: 'reasonString', kind: TEXT, places: REASONED },
  {
    id: 0x21,
    name: 'Receive Maximum',
    field: 'receiveMaximum',
    kind: UINT16,
    minimum: 1,
    maximum: UINT16_MAX,
    places: CONNECT | CONNACK,
  },
  {
    id: 0x22,
    name: 'Topic Alias Maximum',
    field: 'topicAliasMaximum',
    kind: UINT16,
    minimum: 0,
    maximum: UINT16_MAX,
    places: CONNECT | CONNACK,
  },
  // 0 is an error with a code of its own, which PUBLISH knows.
  {
    id: 0x23,
    name: 'Topic Alias',
    field: 'topicAlias',
    kind: UINT16,
    minimum: 0,
    maximum: UINT16_MAX,
    places: PUBLISH,
  },
  { id: 0x24, name: 'Maximum QoS', field: 'maximumQos', kind: BYTE, minimum: 0, maximum: 1, places: CONNACK },
  { id: 0x25, name: 'Retain Available', field: 'retainAvailable', kind: FLAG, places: CONNACK },
  { id: 0x26, name: 'User Property', field: 'userProperties', kind: PAIRS, places: ANY },
  {
    id: 0x27,
    name: 'Maximum Packet Size',
    field: 'maximumPacketSize',
    kind: UINT32,
    minimum: 1,
    maximum: UINT32_MAX,
    places: CONNECT | CONNACK,
  },
  {
    id: 0x28,
    name: 'Wildcard Subscription Available',
    field: 'wildcardSubscriptionAvailable',
    kind: FLAG,
    places: CONNACK,
  },
  {
    id: 0x29,
    name: 'Subscription Identifiers Available',
    field: 'subscriptionIdentifiersAvailable',
    kind: FLAG,
    places: CONNACK,
  },
  {
    id: 0x2a,
    name: 'Shared Subscription Available',
    field: 'sharedSubscriptionAvailable',
    kind: FLAG,
    places: CONNACK,
  },
];

const byId: readonly (PropertyDefinition | null)[] = Array.from(
  { length: 0x2b },
  (_, id) => PROPERTIES.find((definition) => definition.id === id) ?? null,
);

const byPlace: readonly (readonly PropertyDefinition[])[] = Array.from({ length: 16 }, (_, place) =>
  PROPERTIES.filter((definition) => (definition.places & (1 << place)) !== 0),
);

/** The properties that may stand in one place, in the order of their identifiers. */
export function propertiesOf(place: PropertyPlace): readonly PropertyDefinition[] {
  return byPlace[place]!;
}

/** The property with this identifier, or null when there is none. */
export function propertyById(id: number): PropertyDefinition | null {
  return byId[id] ?? null;
}
