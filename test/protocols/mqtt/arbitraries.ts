// Random packets that a version allows and a sender may send, in the form the decoder gives them: whatever is encoded from one must decode to it.
import fc from 'fast-check';
import type { Packet, Qos, Subscription, Will } from '../../../protocols/mqtt/packet.ts';
import { PINGREQ, PINGRESP } from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion, Sender } from '../../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES, Properties } from '../../../protocols/mqtt/properties.ts';
import {
  type PropertyDefinition,
  PropertyKind,
  type PropertyPlace,
  propertiesOf,
  SUBSCRIPTION_IDENTIFIER_MAX,
  WILL,
} from '../../../protocols/mqtt/property-table.ts';
import { reasonCodeAllowed, reasonOfConnackReturnCode } from '../../../protocols/mqtt/reason-codes.ts';

/** Any character but U+0000, in texts that are short, with now and then one that is not. */
export const text = fc
  .oneof(
    { weight: 8, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
    { weight: 8, arbitrary: fc.string({ maxLength: 12 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 120, maxLength: 200 }) },
  )
  .map((value) => value.replaceAll('\0', '0'));

const topicName = text.map((value) => value.replaceAll(/[+#]/g, '/')).filter((value) => value.length > 0);
const topicFilter = fc.oneof(topicName, fc.constantFrom('#', '+', 'a/+/b', 'a/#', '$share/g/a'));
const binary = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 16 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 120, maxLength: 300 }) },
);
const packetId = fc.oneof(fc.constantFrom(1, 255, 256, 65_535), fc.integer({ min: 1, max: 65_535 }));
const qos = fc.constantFrom<Qos>(0, 1, 2);

function edges(minimum: number, maximum: number): fc.Arbitrary<number> {
  return fc.oneof(
    fc.constantFrom(minimum, minimum + 1, maximum - 1, maximum),
    fc.integer({ min: minimum, max: maximum }),
  );
}

function valueFor(definition: PropertyDefinition, place: PropertyPlace): fc.Arbitrary<unknown> {
  switch (definition.kind) {
    case PropertyKind.BYTE:
    case PropertyKind.UINT16:
    case PropertyKind.UINT32:
      // Topic Alias 0 is in the table's bounds but not in PUBLISH.
      return edges(definition.field === 'topicAlias' ? 1 : definition.minimum, definition.maximum);
    case PropertyKind.FLAG:
      return fc.boolean();
    case PropertyKind.TEXT:
      return definition.field === 'responseTopic' ? topicName : text;
    case PropertyKind.BINARY:
      return binary;
    case PropertyKind.IDENTIFIERS:
      return fc.array(edges(1, SUBSCRIPTION_IDENTIFIER_MAX), {
        minLength: 1,
        maxLength: place === PacketType.PUBLISH ? 3 : 1,
      });
    case PropertyKind.PAIRS:
      return fc
        .array(fc.tuple(fc.oneof(fc.constantFrom('k', 'K', ''), text), text), { minLength: 1, maxLength: 4 })
        .map((pairs) => pairs.flat());
  }
}

/** Absent about half the time each, and all of them often enough. */
export function propertiesIn(
  place: PropertyPlace,
  without: readonly (keyof Properties)[] = [],
): fc.Arbitrary<Readonly<Properties>> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const definition of propertiesOf(place)) {
    if (!without.includes(definition.field))
      fields[definition.field] = fc.option(valueFor(definition, place), { freq: 2 });
  }
  const some = fc.record(fields).map((values) => Object.assign(new Properties(), values));
  return fc.oneof({ weight: 1, arbitrary: fc.constant(EMPTY_PROPERTIES) }, { weight: 2, arbitrary: some });
}

function codes(type: PacketType, sender: Sender): fc.Arbitrary<number> {
  return fc.constantFrom(
    ...Array.from({ length: 256 }, (_, code) => code).filter((code) => reasonCodeAllowed(code, type, sender)),
  );
}

function connectPackets(version: ProtocolVersion): fc.Arbitrary<Packet> {
  const v5 = version === ProtocolVersion.V5;
  const none = fc.constant(EMPTY_PROPERTIES);
  const will: fc.Arbitrary<Will> = fc.record({
    topic: topicName,
    payload: binary,
    qos,
    retain: fc.boolean(),
    properties: v5 ? propertiesIn(WILL) : none,
  });
  return fc
    .record({
      type: fc.constant(PacketType.CONNECT),
      protocolVersion: fc.constant(version),
      bridge: fc.constant(false),
      clean: fc.boolean(),
      keepAliveS: edges(0, 65_535),
      clientId: text,
      will: fc.option(will),
      username: fc.option(text),
      password: fc.option(binary),
      properties: v5 ? propertiesIn(PacketType.CONNECT) : none,
    })
    .filter((packet) => {
      if (packet.properties.authenticationData !== null && packet.properties.authenticationMethod === null)
        return false;
      if (packet.password !== null && packet.username === null && !v5) return false;
      return packet.clientId !== '' || v5 || (version === ProtocolVersion.V311 && packet.clean);
    });
}

function publishPackets(version: ProtocolVersion, sender: Sender): fc.Arbitrary<Packet> {
  const properties =
    version === ProtocolVersion.V5
      ? propertiesIn(PacketType.PUBLISH, sender === Sender.CLIENT ? ['subscriptionIdentifiers'] : [])
      : fc.constant(EMPTY_PROPERTIES);
  return fc
    .record({
      dup: fc.boolean(),
      qos,
      retain: fc.boolean(),
      topic: topicName,
      packetId,
      payload: binary,
      properties,
      byAlias: fc.boolean(),
    })
    .map(({ byAlias, ...fields }) => ({
      type: PacketType.PUBLISH,
      ...fields,
      dup: fields.dup && fields.qos > 0,
      packetId: fields.qos > 0 ? fields.packetId : 0,
      topic: byAlias && fields.properties.topicAlias !== null ? '' : fields.topic,
    }));
}

/** Packets of `version` that `sender` may send; EITHER means those of both. */
export function packets(version: ProtocolVersion, sender: Sender): fc.Arbitrary<Packet> {
  const v5 = version === ProtocolVersion.V5;
  const inPlace = (
    place: PacketType,
    without: readonly (keyof Properties)[] = [],
  ): fc.Arbitrary<Readonly<Properties>> => (v5 ? propertiesIn(place, without) : fc.constant(EMPTY_PROPERTIES));
  const acknowledgement = <T extends PacketType>(type: T) =>
    fc.record({
      type: fc.constant(type),
      packetId,
      reasonCode: v5 ? codes(type, sender) : fc.constant(0),
      properties: inPlace(type),
    });
  const list: fc.Arbitrary<Packet>[] = [
    publishPackets(version, sender),
    acknowledgement(PacketType.PUBACK),
    acknowledgement(PacketType.PUBREC),
    acknowledgement(PacketType.PUBREL),
    acknowledgement(PacketType.PUBCOMP),
  ];
  if (v5) {
    list.push(
      fc.record({
        type: fc.constant(PacketType.DISCONNECT),
        reasonCode: codes(PacketType.DISCONNECT, sender),
        properties: inPlace(PacketType.DISCONNECT, sender === Sender.CLIENT ? [] : ['sessionExpiryIntervalS']),
      }),
      fc.record({
        type: fc.constant(PacketType.AUTH),
        reasonCode: codes(PacketType.AUTH, sender),
        properties: propertiesIn(PacketType.AUTH).filter((properties) => properties.authenticationMethod !== null),
      }),
    );
  }
  if (sender & Sender.CLIENT) {
    const subscription: fc.Arbitrary<Subscription> = fc
      .record({
        filter: topicFilter,
        qos,
        noLocal: v5 ? fc.boolean() : fc.constant(false),
        retainAsPublished: v5 ? fc.boolean() : fc.constant(false),
        retainHandling: v5 ? fc.constantFrom(0, 1, 2) : fc.constant(0 as const),
      })
      .map((value) => ({ ...value, noLocal: value.noLocal && !value.filter.startsWith('$share/') }));
    list.push(
      connectPackets(version),
      fc.record({
        type: fc.constant(PacketType.SUBSCRIBE),
        packetId,
        subscriptions: fc.array(subscription, { minLength: 1, maxLength: 5 }),
        properties: inPlace(PacketType.SUBSCRIBE),
      }),
      fc.record({
        type: fc.constant(PacketType.UNSUBSCRIBE),
        packetId,
        filters: fc.array(topicFilter, { minLength: 1, maxLength: 5 }),
        properties: inPlace(PacketType.UNSUBSCRIBE),
      }),
      fc.constant(PINGREQ),
    );
    if (!v5) list.push(fc.constant({ type: PacketType.DISCONNECT, reasonCode: 0, properties: EMPTY_PROPERTIES }));
  }
  if (sender & Sender.SERVER) {
    const connackCodes = v5
      ? codes(PacketType.CONNACK, Sender.SERVER)
      : fc.integer({ min: 0, max: 5 }).map((code) => reasonOfConnackReturnCode(code));
    const subackCodes = v5 ? codes(PacketType.SUBACK, Sender.SERVER) : fc.constantFrom(0, 1, 2, 0x80);
    list.push(
      fc
        .record({
          type: fc.constant(PacketType.CONNACK),
          sessionPresent: fc.boolean(),
          reasonCode: fc.oneof(fc.constant(0), connackCodes),
          properties: inPlace(PacketType.CONNACK),
        })
        .map((packet) => ({
          ...packet,
          sessionPresent: packet.sessionPresent && packet.reasonCode === 0 && version !== ProtocolVersion.V31,
        })),
      fc.record({
        type: fc.constant(PacketType.SUBACK),
        packetId,
        reasonCodes: fc.array(subackCodes, { minLength: 1, maxLength: 5 }),
        properties: inPlace(PacketType.SUBACK),
      }),
      fc.record({
        type: fc.constant(PacketType.UNSUBACK),
        packetId,
        reasonCodes: v5
          ? fc.array(codes(PacketType.UNSUBACK, Sender.SERVER), { minLength: 1, maxLength: 5 })
          : fc.constant<number[]>([]),
        properties: inPlace(PacketType.UNSUBACK),
      }),
      fc.constant(PINGRESP),
    );
  }
  return fc.oneof(...list);
}
