// Packets in the form of mqtt-packet and back, so that the two codecs can be compared on the same bytes. What its form cannot hold is levelled on both
// sides before comparing: it groups user properties by name and keeps no order among names.
import mqttPacket from 'mqtt-packet';
import type { Packet, Qos, Subscription } from '../../../protocols/mqtt/packet.ts';
import { PINGREQ, PINGRESP } from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import { EMPTY_PROPERTIES, Properties } from '../../../protocols/mqtt/properties.ts';
import { connackReturnCode, reasonOfConnackReturnCode } from '../../../protocols/mqtt/reason-codes.ts';

type Record_ = Record<string, unknown>;

/** Our field, its field, and how a value is translated. */
const FIELDS: readonly (readonly [keyof Properties, string, 'same' | 'boolean' | 'bytes' | 'identifiers' | 'pairs'])[] =
  [
    ['payloadFormat', 'payloadFormatIndicator', 'boolean'],
    ['messageExpiryIntervalS', 'messageExpiryInterval', 'same'],
    ['contentType', 'contentType', 'same'],
    ['responseTopic', 'responseTopic', 'same'],
    ['correlationData', 'correlationData', 'bytes'],
    ['subscriptionIdentifiers', 'subscriptionIdentifier', 'identifiers'],
    ['sessionExpiryIntervalS', 'sessionExpiryInterval', 'same'],
    ['assignedClientIdentifier', 'assignedClientIdentifier', 'same'],
    ['serverKeepAliveS', 'serverKeepAlive', 'same'],
    ['authenticationMethod', 'authenticationMethod', 'same'],
    ['authenticationData', 'authenticationData', 'bytes'],
    ['requestProblemInformation', 'requestProblemInformation', 'same'],
    ['willDelayIntervalS', 'willDelayInterval', 'same'],
    ['requestResponseInformation', 'requestResponseInformation', 'same'],
    ['responseInformation', 'responseInformation', 'same'],
    ['serverReference', 'serverReference', 'same'],
    ['reasonString', 'reasonString', 'same'],
    ['receiveMaximum', 'receiveMaximum', 'same'],
    ['topicAliasMaximum', 'topicAliasMaximum', 'same'],
    ['topicAlias', 'topicAlias', 'same'],
    ['maximumQos', 'maximumQoS', 'same'],
    ['retainAvailable', 'retainAvailable', 'same'],
    ['userProperties', 'userProperties', 'pairs'],
    ['maximumPacketSize', 'maximumPacketSize', 'same'],
    ['wildcardSubscriptionAvailable', 'wildcardSubscriptionAvailable', 'same'],
    ['subscriptionIdentifiersAvailable', 'subscriptionIdentifiersAvailable', 'same'],
    ['sharedSubscriptionAvailable', 'sharedSubscriptionAvailable', 'same'],
  ];

/** Names sorted, the values of one name in their order. */
function grouped(pairs: readonly string[]): Record<string, string[]> {
  const groups: Record<string, string[]> = Object.create(null);
  for (let i = 0; i < pairs.length; i += 2) {
    const values = groups[pairs[i]!];
    if (values === undefined) groups[pairs[i]!] = [pairs[i + 1]!];
    else values.push(pairs[i + 1]!);
  }
  return groups;
}

function level(properties: Readonly<Properties>): Readonly<Properties> {
  if (properties.userProperties === null) return properties;
  const groups = grouped(properties.userProperties);
  const pairs = Object.keys(groups)
    .sort()
    .flatMap((name) => groups[name]!.flatMap((value) => [name, value]));
  return Object.assign(new Properties(), properties, { userProperties: pairs });
}

/** The packet as far as mqtt-packet can tell it. */
export function levelled(packet: Packet): Packet {
  if (packet.type === PacketType.PINGREQ || packet.type === PacketType.PINGRESP) return packet;
  const changed = { ...packet, properties: level(packet.properties) };
  if (changed.type !== PacketType.CONNECT || changed.will === null) return changed;
  return { ...changed, will: { ...changed.will, properties: level(changed.will.properties) } };
}

function propertiesToTheirs(properties: Readonly<Properties>): Record_ | undefined {
  const theirs: Record_ = {};
  for (const [ours, name, kind] of FIELDS) {
    const value = properties[ours];
    if (value === null) continue;
    switch (kind) {
      case 'same':
        theirs[name] = value;
        break;
      case 'boolean':
        theirs[name] = value === 1;
        break;
      case 'bytes':
        theirs[name] = Buffer.from(value as Uint8Array);
        break;
      case 'identifiers':
        theirs[name] = [...(value as number[])];
        break;
      case 'pairs': {
        const groups: Record<string, string | string[]> = grouped(value as string[]);
        for (const name of Object.keys(groups)) if (groups[name]!.length === 1) groups[name] = groups[name]![0]!;
        theirs[name] = groups;
        break;
      }
    }
  }
  return Object.keys(theirs).length > 0 ? theirs : undefined;
}

function propertiesFromTheirs(theirs: Record_ | undefined): Readonly<Properties> {
  if (theirs === undefined) return EMPTY_PROPERTIES;
  const properties: Record<string, unknown> & Properties = Object.assign(new Properties());
  for (const [ours, name, kind] of FIELDS) {
    const value = theirs[name];
    if (value === undefined) continue;
    switch (kind) {
      case 'same':
        properties[ours as string] = value;
        break;
      case 'boolean':
        properties[ours as string] = value === true ? 1 : 0;
        break;
      case 'bytes':
        properties[ours as string] = Uint8Array.from(value as Uint8Array);
        break;
      case 'identifiers':
        properties[ours as string] = Array.isArray(value) ? value : [value];
        break;
      case 'pairs': {
        const groups = value as Record<string, string | string[]>;
        properties[ours as string] = Object.keys(groups).flatMap((key) =>
          [groups[key]!].flat().flatMap((one) => [key, one]),
        );
        break;
      }
    }
  }
  return properties;
}

const NAMES: Readonly<Record<number, string>> = {
  [PacketType.PUBACK]: 'puback',
  [PacketType.PUBREC]: 'pubrec',
  [PacketType.PUBREL]: 'pubrel',
  [PacketType.PUBCOMP]: 'pubcomp',
};

function toTheirs(packet: Packet, version: ProtocolVersion): Record_ {
  switch (packet.type) {
    case PacketType.CONNECT: {
      const will =
        packet.will === null
          ? undefined
          : {
              topic: packet.will.topic,
              payload: Buffer.from(packet.will.payload),
              qos: packet.will.qos,
              retain: packet.will.retain,
              properties: propertiesToTheirs(packet.will.properties),
            };
      return {
        cmd: 'connect',
        protocolId: version === ProtocolVersion.V31 ? 'MQIsdp' : 'MQTT',
        protocolVersion: version,
        clean: packet.clean,
        keepalive: packet.keepAliveS,
        clientId: packet.clientId,
        will,
        username: packet.username ?? undefined,
        password: packet.password === null ? undefined : Buffer.from(packet.password),
        properties: propertiesToTheirs(packet.properties),
      };
    }
    case PacketType.CONNACK:
      return {
        cmd: 'connack',
        sessionPresent: packet.sessionPresent,
        ...(version === ProtocolVersion.V5
          ? { reasonCode: packet.reasonCode }
          : { returnCode: connackReturnCode(packet.reasonCode) }),
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.PUBLISH:
      return {
        cmd: 'publish',
        dup: packet.dup,
        qos: packet.qos,
        retain: packet.retain,
        topic: packet.topic,
        messageId: packet.qos > 0 ? packet.packetId : undefined,
        payload: Buffer.from(packet.payload),
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP:
      return {
        cmd: NAMES[packet.type],
        messageId: packet.packetId,
        reasonCode: packet.reasonCode,
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.SUBSCRIBE:
      return {
        cmd: 'subscribe',
        messageId: packet.packetId,
        subscriptions: packet.subscriptions.map((one) => ({
          topic: one.filter,
          qos: one.qos,
          nl: one.noLocal,
          rap: one.retainAsPublished,
          rh: one.retainHandling,
        })),
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.SUBACK:
      return {
        cmd: 'suback',
        messageId: packet.packetId,
        granted: packet.reasonCodes,
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.UNSUBSCRIBE:
      return {
        cmd: 'unsubscribe',
        messageId: packet.packetId,
        unsubscriptions: packet.filters,
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.UNSUBACK:
      return {
        cmd: 'unsuback',
        messageId: packet.packetId,
        granted: packet.reasonCodes,
        properties: propertiesToTheirs(packet.properties),
      };
    case PacketType.PINGREQ:
      return { cmd: 'pingreq' };
    case PacketType.PINGRESP:
      return { cmd: 'pingresp' };
    case PacketType.DISCONNECT:
      return { cmd: 'disconnect', reasonCode: packet.reasonCode, properties: propertiesToTheirs(packet.properties) };
    case PacketType.AUTH:
      return { cmd: 'auth', reasonCode: packet.reasonCode, properties: propertiesToTheirs(packet.properties) };
  }
}

function fromTheirs(theirs: Record_, version: ProtocolVersion): Packet {
  const v5 = version === ProtocolVersion.V5;
  const properties = propertiesFromTheirs(theirs.properties as Record_ | undefined);
  const packetId = theirs.messageId as number;
  switch (theirs.cmd) {
    case 'connect': {
      const will = theirs.will as Record_ | undefined;
      const password = theirs.password as Uint8Array | undefined;
      return {
        type: PacketType.CONNECT,
        protocolVersion: theirs.protocolVersion as ProtocolVersion,
        bridge: theirs.bridgeMode === true,
        clean: theirs.clean as boolean,
        keepAliveS: theirs.keepalive as number,
        clientId: theirs.clientId as string,
        will:
          will === undefined
            ? null
            : {
                topic: will.topic as string,
                payload: Uint8Array.from(will.payload as Uint8Array),
                qos: will.qos as Qos,
                retain: will.retain as boolean,
                properties: propertiesFromTheirs(will.properties as Record_ | undefined),
              },
        username: (theirs.username as string | undefined) ?? null,
        password: password === undefined ? null : Uint8Array.from(password),
        properties,
      };
    }
    case 'connack':
      return {
        type: PacketType.CONNACK,
        sessionPresent: theirs.sessionPresent as boolean,
        reasonCode: v5 ? (theirs.reasonCode as number) : reasonOfConnackReturnCode(theirs.returnCode as number),
        properties,
      };
    case 'publish':
      return {
        type: PacketType.PUBLISH,
        dup: theirs.dup as boolean,
        qos: theirs.qos as Qos,
        retain: theirs.retain as boolean,
        topic: theirs.topic as string,
        packetId: theirs.qos === 0 ? 0 : packetId,
        payload: Uint8Array.from(theirs.payload as Uint8Array),
        properties,
      };
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp': {
      const reasonCode = v5 ? (theirs.reasonCode as number) : 0;
      const type = Number(
        Object.keys(NAMES).find((key) => NAMES[Number(key)] === theirs.cmd),
      ) as typeof PacketType.PUBACK;
      return { type, packetId, reasonCode, properties };
    }
    case 'subscribe':
      return {
        type: PacketType.SUBSCRIBE,
        packetId,
        subscriptions: (theirs.subscriptions as Record_[]).map((one) => ({
          filter: one.topic as string,
          qos: one.qos as Qos,
          noLocal: (one.nl as boolean | undefined) ?? false,
          retainAsPublished: (one.rap as boolean | undefined) ?? false,
          retainHandling: (one.rh as Subscription['retainHandling'] | undefined) ?? 0,
        })),
        properties,
      };
    case 'suback':
      return { type: PacketType.SUBACK, packetId, reasonCodes: theirs.granted as number[], properties };
    case 'unsubscribe':
      return { type: PacketType.UNSUBSCRIBE, packetId, filters: theirs.unsubscriptions as string[], properties };
    case 'unsuback':
      return {
        type: PacketType.UNSUBACK,
        packetId,
        reasonCodes: (theirs.granted as number[] | undefined) ?? [],
        properties,
      };
    case 'pingreq':
      return PINGREQ;
    case 'pingresp':
      return PINGRESP;
    case 'disconnect':
      return { type: PacketType.DISCONNECT, reasonCode: v5 ? (theirs.reasonCode as number) : 0, properties };
    case 'auth':
      return { type: PacketType.AUTH, reasonCode: theirs.reasonCode as number, properties };
    default:
      throw new Error(`mqtt-packet has made a ${String(theirs.cmd)}`);
  }
}

/** The packet's bytes as mqtt-packet writes them. */
export function theirEncode(packet: Packet, version: ProtocolVersion): Uint8Array {
  const generate = mqttPacket.generate as unknown as (packet: Record_, options: Record_) => Buffer;
  return Uint8Array.from(generate(toTheirs(packet, version), { protocolVersion: version }));
}

/** What mqtt-packet reads from the bytes of one frame. */
export function theirDecode(bytes: Uint8Array, version: ProtocolVersion): Packet {
  const parser = mqttPacket.parser({ protocolVersion: version });
  const seen: Packet[] = [];
  parser.on('packet', (packet) => seen.push(fromTheirs(packet as unknown as Record_, version)));
  parser.on('error', (error: unknown) => {
    throw error;
  });
  parser.parse(Buffer.from(bytes));
  if (seen.length !== 1) throw new Error(`mqtt-packet has read ${seen.length} packets`);
  return seen[0]!;
}
