// Frames of every packet type in every version, and what must come of them: a packet, or an error with its code and reason. The bytes are written in the
// notation of wire.ts. Valid frames are in their shortest form and therefore also what the encoder must produce, unless marked as another form.
import {
  auth,
  type Connect,
  connack,
  connect,
  disconnect,
  type Packet,
  PINGREQ,
  PINGRESP,
  properties,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  suback,
  subscribe,
  subscription,
  unsuback,
  unsubscribe,
  will,
} from '../../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion, Sender } from '../../../protocols/mqtt/packet-type.ts';
import { wire } from './wire.ts';

export interface Expected {
  readonly code: string;
  readonly reason: number;
}

export interface Vector {
  readonly name: string;
  readonly version: ProtocolVersion;
  readonly hex: string;
  readonly bytes: Uint8Array;
  readonly sender: Sender;
  readonly packet: Packet | null;
  readonly error: Expected | null;
  /** False for a valid frame that says the same in more bytes than the encoder would. */
  readonly canonical: boolean;
}

const { V31, V311, V5 } = ProtocolVersion;
const V3 = [V31, V311] as const;
const ALL = [V31, V311, V5] as const;

const MALFORMED: Expected = { code: 'malformed-packet', reason: 0x81 };
const PROTOCOL: Expected = { code: 'protocol-error', reason: 0x82 };
const VERSION: Expected = { code: 'unsupported-protocol-version', reason: 0x84 };
const CLIENT_ID: Expected = { code: 'client-identifier-not-valid', reason: 0x85 };
const TOPIC: Expected = { code: 'topic-name-invalid', reason: 0x90 };
const ALIAS: Expected = { code: 'topic-alias-invalid', reason: 0x94 };
const QUOTA: Expected = { code: 'quota-exceeded', reason: 0x97 };

const rows: Vector[] = [];

const SERVER_TYPES: readonly number[] = [
  PacketType.CONNACK,
  PacketType.SUBACK,
  PacketType.UNSUBACK,
  PacketType.PINGRESP,
];

function senderOf(bytes: Uint8Array): Sender {
  return SERVER_TYPES.includes(bytes[0]! >>> 4) ? Sender.SERVER : Sender.CLIENT;
}

type Versions = ProtocolVersion | readonly ProtocolVersion[];

function ok(
  name: string,
  versions: Versions,
  hex: string,
  packet: Packet,
  more: { sender?: Sender; canonical?: boolean } = {},
): void {
  const bytes = wire(hex);
  for (const version of Array.isArray(versions) ? versions : [versions]) {
    const sender = more.sender ?? senderOf(bytes);
    rows.push({ name, version, hex, bytes, sender, packet, error: null, canonical: more.canonical ?? true });
  }
}

function bad(name: string, versions: Versions, hex: string, error: Expected, sender?: Sender): void {
  const bytes = wire(hex);
  for (const version of Array.isArray(versions) ? versions : [versions]) {
    rows.push({ name, version, hex, bytes, sender: sender ?? senderOf(bytes), packet: null, error, canonical: false });
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

// --- CONNECT, MQTT 3.1 -------------------------------------------------------------------------------------------------------------------------------
const c31 = (fields: Partial<Connect>): Connect => connect({ protocolVersion: V31, clientId: 'a', ...fields });
ok('CONNECT of the shortest kind', V31, `10 0f 00 06 4d 51 49 73 64 70 03 02 00 3c 00 01 61`, c31({ keepAliveS: 60 }));
ok('CONNECT without clean session', V31, `10 [ <'MQIsdp'> 03 00 0000 <'a'> ]`, c31({ clean: false }));
ok(
  'CONNECT with everything',
  V31,
  `10 [ <'MQIsdp'> 03 f6 ffff <'a'> <'w/t'> <'gone'> <'user'> <'pw'> ]`,
  c31({
    keepAliveS: 65535,
    will: will('w/t', { payload: text('gone'), qos: 2, retain: true }),
    username: 'user',
    password: text('pw'),
  }),
);
ok(
  'CONNECT with a client id of 24 characters',
  V31,
  `10 [ <'MQIsdp'> 03 02 0000 <('a')*24> ]`,
  c31({ clientId: 'a'.repeat(24) }),
);
ok('CONNECT whose user name flag has no user name', V31, `10 [ <'MQIsdp'> 03 c2 0000 <'a'> ]`, c31({}), {
  canonical: false,
});
ok(
  'CONNECT whose password flag has no password',
  V31,
  `10 [ <'MQIsdp'> 03 c2 0000 <'a'> <'u'> ]`,
  c31({ username: 'u' }),
  { canonical: false },
);
ok('CONNECT with the unused flag', V31, `10 [ <'MQIsdp'> 03 03 0000 <'a'> ]`, c31({}), { canonical: false });
ok('CONNECT with a Will QoS but no will', V31, `10 [ <'MQIsdp'> 03 3a 0000 <'a'> ]`, c31({}), { canonical: false });
bad('CONNECT with an empty client id', V31, `10 [ <'MQIsdp'> 03 02 0000 <> ]`, CLIENT_ID);
bad('CONNECT with an empty client id and rubbish behind it', V31, `10 [ <'MQIsdp'> 03 02 0000 <> 00 ]`, MALFORMED);
bad('CONNECT with a password but no user name', V31, `10 [ <'MQIsdp'> 03 42 0000 <'a'> <'pw'> ]`, MALFORMED);
bad('CONNECT with a Will QoS of 3', V31, `10 [ <'MQIsdp'> 03 1e 0000 <'a'> <'t'> <> ]`, MALFORMED);
bad('CONNECT MQIsdp level 4', V31, `10 [ <'MQIsdp'> 04 02 0000 <'a'> ]`, VERSION);
bad('CONNECT MQTT level 3', V31, `10 [ <'MQTT'> 03 02 0000 <'a'> ]`, VERSION);

// --- CONNECT, MQTT 3.1.1 -----------------------------------------------------------------------------------------------------------------------------
const c311 = (fields: Partial<Connect>): Connect => connect({ protocolVersion: V311, clientId: 'a', ...fields });
ok('CONNECT of the shortest kind', V311, `10 0d 00 04 4d 51 54 54 04 02 00 0a 00 01 61`, c311({ keepAliveS: 10 }));
ok('CONNECT with an empty client id and clean session', V311, `10 [ <'MQTT'> 04 02 0000 <> ]`, c311({ clientId: '' }));
ok('CONNECT to resume', V311, `10 [ <'MQTT'> 04 00 0001 <'a'> ]`, c311({ clean: false, keepAliveS: 1 }));
ok(
  'CONNECT with everything',
  V311,
  `10 [ <'MQTT'> 04 ee 0100 <'a'> <'w'> <'x'> <'u'> <'p'> ]`,
  c311({
    keepAliveS: 256,
    will: will('w', { payload: text('x'), qos: 1, retain: true }),
    username: 'u',
    password: text('p'),
  }),
);
ok('CONNECT with a will without payload', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> <'w'> <> ]`, c311({ will: will('w') }));
ok(
  'CONNECT with empty user name and password',
  V311,
  `10 [ <'MQTT'> 04 c2 0000 <'a'> <> <> ]`,
  c311({ username: '', password: text('') }),
);
ok('CONNECT with a user name only', V311, `10 [ <'MQTT'> 04 82 0000 <'a'> <'u'> ]`, c311({ username: 'u' }));
ok(
  'CONNECT with a password that is not UTF-8',
  V311,
  `10 [ <'MQTT'> 04 c2 0000 <'a'> <'u'> <00ff> ]`,
  c311({ username: 'u', password: Uint8Array.of(0, 255) }),
);
ok(
  'CONNECT with a client id of 65,535 bytes',
  V311,
  `10 [ <'MQTT'> 04 02 0000 <('a')*65535> ]`,
  c311({ clientId: 'a'.repeat(65535) }),
);
ok('CONNECT with a client id in many scripts', V311, `10 [ <'MQTT'> 04 02 0000 <'ä€😀'> ]`, c311({ clientId: 'ä€😀' }));
ok(
  'CONNECT with U+FEFF in the client id',
  V311,
  `10 [ <'MQTT'> 04 02 0000 <efbbbf 61> ]`,
  c311({ clientId: '\ufeffa' }),
);
bad('CONNECT with an empty client id to be resumed', V311, `10 [ <'MQTT'> 04 00 0000 <> ]`, CLIENT_ID);
bad('CONNECT with the reserved flag', V311, `10 [ <'MQTT'> 04 03 0000 <'a'> ]`, MALFORMED);
bad('CONNECT with a Will QoS but no will', V311, `10 [ <'MQTT'> 04 0a 0000 <'a'> ]`, MALFORMED);
bad('CONNECT with a Will Retain but no will', V311, `10 [ <'MQTT'> 04 22 0000 <'a'> ]`, MALFORMED);
bad('CONNECT with a Will QoS of 3', V311, `10 [ <'MQTT'> 04 1e 0000 <'a'> <'t'> <> ]`, MALFORMED);
bad('CONNECT with a will but no will topic', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> ]`, MALFORMED);
bad('CONNECT with a will topic but no payload', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> <'t'> ]`, MALFORMED);
bad('CONNECT with an empty will topic', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> <> <> ]`, TOPIC);
bad('CONNECT with a + in the will topic', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> <'a/+'> <> ]`, TOPIC);
bad('CONNECT with a # in the will topic', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> <'#'> <> ]`, TOPIC);
bad('CONNECT with a password but no user name', V311, `10 [ <'MQTT'> 04 42 0000 <'a'> <'p'> ]`, MALFORMED);
bad('CONNECT whose user name flag has no user name', V311, `10 [ <'MQTT'> 04 82 0000 <'a'> ]`, MALFORMED);
bad('CONNECT with a user name that no flag announces', V311, `10 [ <'MQTT'> 04 02 0000 <'a'> <'u'> ]`, MALFORMED);
bad('CONNECT with U+0000 in the client id', V311, `10 [ <'MQTT'> 04 02 0000 <'a' 00> ]`, MALFORMED);
bad('CONNECT with a surrogate in the client id', V311, `10 [ <'MQTT'> 04 02 0000 <eda080> ]`, MALFORMED);
bad('CONNECT with a lone continuation byte in the client id', V311, `10 [ <'MQTT'> 04 02 0000 <80> ]`, MALFORMED);
bad('CONNECT with an over-long character in the client id', V311, `10 [ <'MQTT'> 04 02 0000 <c1a1> ]`, MALFORMED);
bad('CONNECT with an over-long U+0000 in the client id', V311, `10 [ <'MQTT'> 04 02 0000 <c080> ]`, MALFORMED);
bad('CONNECT with a character above U+10FFFF', V311, `10 [ <'MQTT'> 04 02 0000 <f4908080> ]`, MALFORMED);
bad('CONNECT with a user name that is not UTF-8', V311, `10 [ <'MQTT'> 04 82 0000 <'a'> <c328> ]`, MALFORMED);
bad('CONNECT with a will topic that is not UTF-8', V311, `10 [ <'MQTT'> 04 06 0000 <'a'> <ff> <> ]`, MALFORMED);
bad('CONNECT with half a client id', V311, `10 [ <'MQTT'> 04 02 0000 0002 61 ]`, MALFORMED);
bad('CONNECT with flags in the fixed header', V311, `11 [ <'MQTT'> 04 02 0000 <'a'> ]`, MALFORMED);
bad('CONNECT from a server', V311, `10 [ <'MQTT'> 04 02 0000 <'a'> ]`, PROTOCOL, Sender.SERVER);
bad('CONNECT with another protocol name', ALL, `10 [ <'MQTX'> 04 02 0000 <'a'> ]`, VERSION);
bad('CONNECT with the protocol name in small letters', ALL, `10 [ <'mqtt'> 04 02 0000 <'a'> ]`, VERSION);
bad('CONNECT with an empty protocol name', ALL, `10 [ <> 04 02 0000 <'a'> ]`, VERSION);
bad('CONNECT with level 0', ALL, `10 [ <'MQTT'> 00 02 0000 <'a'> ]`, VERSION);
bad('CONNECT with level 6', ALL, `10 [ <'MQTT'> 06 02 0000 00 <'a'> ]`, VERSION);
bad('CONNECT with the level of a bridge', ALL, `10 [ <'MQTT'> 84 02 0000 <'a'> ]`, VERSION);
bad('CONNECT without a body', ALL, `10 00`, MALFORMED);

// --- CONNECT, MQTT 5 ---------------------------------------------------------------------------------------------------------------------------------
const c5 = (fields: Partial<Connect>): Connect => connect({ protocolVersion: V5, clientId: 'a', ...fields });
const connect5 = (props: string): string => `10 [ <'MQTT'> 05 02 0000 [ ${props} ] <'a'> ]`;
const will5 = (props: string): string => `10 [ <'MQTT'> 05 06 0000 00 <'a'> [ ${props} ] <'w'> <'x'> ]`;
ok('CONNECT of the shortest kind', V5, `10 0e 00 04 4d 51 54 54 05 02 00 00 00 00 01 61`, c5({}));
ok(
  'CONNECT with an empty client id to be resumed',
  V5,
  `10 [ <'MQTT'> 05 00 0000 00 <> ]`,
  c5({ clientId: '', clean: false }),
);
ok(
  'CONNECT with a password but no user name',
  V5,
  `10 [ <'MQTT'> 05 42 0000 00 <'a'> <'p'> ]`,
  c5({ password: text('p') }),
);
ok(
  'CONNECT with all properties',
  V5,
  connect5(
    `11 ffffffff 15 <'SCRAM'> 16 <0001> 17 00 19 01 21 0001 22 000a 26 <'k'> <'v'> 26 <'k'> <'v'> 26 <> <> 27 00000001`,
  ),
  c5({
    properties: properties({
      sessionExpiryIntervalS: 0xffffffff,
      authenticationMethod: 'SCRAM',
      authenticationData: Uint8Array.of(0, 1),
      requestProblemInformation: false,
      requestResponseInformation: true,
      receiveMaximum: 1,
      topicAliasMaximum: 10,
      userProperties: ['k', 'v', 'k', 'v', '', ''],
      maximumPacketSize: 1,
    }),
  }),
);
ok(
  'CONNECT with properties at their upper bounds',
  V5,
  connect5(`17 01 19 00 21 ffff 22 ffff 27 ffffffff`),
  c5({
    properties: properties({
      requestProblemInformation: true,
      requestResponseInformation: false,
      receiveMaximum: 65535,
      topicAliasMaximum: 65535,
      maximumPacketSize: 0xffffffff,
    }),
  }),
);
ok(
  'CONNECT with properties in another order',
  V5,
  connect5(`27 00000100 11 00000000`),
  c5({
    properties: properties({ sessionExpiryIntervalS: 0, maximumPacketSize: 256 }),
  }),
  { canonical: false },
);
ok(
  'CONNECT with a will with all properties',
  V5,
  will5(`01 01 02 00000000 03 <'t/p'> 08 <'r'> 09 <> 18 0000000a 26 <'a'> <'b'> 26 <'A'> <'b'>`),
  c5({
    will: will('w', {
      payload: text('x'),
      properties: properties({
        payloadFormat: 1,
        messageExpiryIntervalS: 0,
        contentType: 't/p',
        responseTopic: 'r',
        correlationData: text(''),
        willDelayIntervalS: 10,
        userProperties: ['a', 'b', 'A', 'b'],
      }),
    }),
  }),
);
ok(
  'CONNECT with a will with every flag',
  V5,
  `10 [ <'MQTT'> 05 f6 0000 00 <'a'> 00 <'w'> <'x'> <'u'> <'p'> ]`,
  c5({
    will: will('w', { payload: text('x'), qos: 2, retain: true }),
    username: 'u',
    password: text('p'),
  }),
);
bad('CONNECT with the reserved flag', V5, `10 [ <'MQTT'> 05 03 0000 00 <'a'> ]`, MALFORMED);
bad('CONNECT with a Will QoS but no will', V5, `10 [ <'MQTT'> 05 0a 0000 00 <'a'> ]`, MALFORMED);
bad('CONNECT with a Will Retain but no will', V5, `10 [ <'MQTT'> 05 22 0000 00 <'a'> ]`, MALFORMED);
bad('CONNECT with a Will QoS of 3', V5, `10 [ <'MQTT'> 05 1e 0000 00 <'a'> 00 <'w'> <'x'> ]`, MALFORMED);
bad('CONNECT with an empty will topic', V5, `10 [ <'MQTT'> 05 06 0000 00 <'a'> 00 <> <'x'> ]`, TOPIC);
bad('CONNECT with a wildcard in the will topic', V5, `10 [ <'MQTT'> 05 06 0000 00 <'a'> 00 <'a/#'> <'x'> ]`, TOPIC);
bad('CONNECT with a Receive Maximum of 0', V5, connect5(`21 0000`), PROTOCOL);
bad('CONNECT with a Maximum Packet Size of 0', V5, connect5(`27 00000000`), PROTOCOL);
bad('CONNECT with Request Problem Information 2', V5, connect5(`17 02`), PROTOCOL);
bad('CONNECT with Request Response Information 2', V5, connect5(`19 02`), PROTOCOL);
bad('CONNECT with Authentication Data but no method', V5, connect5(`16 <'x'>`), PROTOCOL);
for (const [name, property] of [
  ['Session Expiry Interval', `11 00000001`],
  ['Authentication Method', `15 <'m'>`],
  ['Request Problem Information', `17 01`],
  ['Request Response Information', `19 01`],
  ['Receive Maximum', `21 0001`],
  ['Topic Alias Maximum', `22 0001`],
  ['Maximum Packet Size', `27 00000001`],
] as const) {
  bad(`CONNECT with ${name} twice`, V5, connect5(`${property} ${property}`), PROTOCOL);
}
bad('CONNECT with Authentication Data twice', V5, connect5(`15 <'m'> 16 <'x'> 16 <'x'>`), PROTOCOL);
for (const [name, property] of [
  ['Payload Format Indicator', `01 01`],
  ['Message Expiry Interval', `02 00000001`],
  ['Subscription Identifier', `0b 01`],
  ['Assigned Client Identifier', `12 <'x'>`],
  ['Will Delay Interval', `18 00000001`],
  ['Reason String', `1f <'x'>`],
  ['Topic Alias', `23 0001`],
  ['Maximum QoS', `24 01`],
] as const) {
  bad(`CONNECT with ${name}, which it may not have`, V5, connect5(property), MALFORMED);
}
bad('CONNECT with an unknown property', V5, connect5(`7f 00`), MALFORMED);
bad('CONNECT with the property 0', V5, connect5(`00`), MALFORMED);
bad('CONNECT with a property identifier of two bytes', V5, connect5(`9100 00000001`), MALFORMED);
bad('CONNECT with an unknown property of two bytes', V5, connect5(`8101 00`), MALFORMED);
bad('CONNECT with half a property', V5, connect5(`11 000000`), MALFORMED);
bad('CONNECT with a property that leaves the properties', V5, `10 [ <'MQTT'> 05 02 0000 02 26 00 <'a'> ]`, MALFORMED);
bad('CONNECT with properties longer than the packet', V5, `10 [ <'MQTT'> 05 02 0000 7f <'a'> ]`, MALFORMED);
bad('CONNECT with a property length of too many bytes', V5, `10 [ <'MQTT'> 05 02 0000 8000 <'a'> ]`, MALFORMED);
bad('CONNECT with a property length of five bytes', V5, `10 [ <'MQTT'> 05 02 0000 8080808001 <'a'> ]`, MALFORMED);
bad('CONNECT with a user property name that is not UTF-8', V5, connect5(`26 <ff> <'v'>`), MALFORMED);
bad('CONNECT with a user property value with U+0000', V5, connect5(`26 <'k'> <00>`), MALFORMED);
bad('CONNECT with a user property without value', V5, connect5(`26 <'k'>`), MALFORMED);
bad('CONNECT with a will with Will Delay Interval twice', V5, will5(`18 00000001 18 00000001`), PROTOCOL);
bad('CONNECT with a will with a payload format of 2', V5, will5(`01 02`), PROTOCOL);
bad('CONNECT with a will with a Topic Alias', V5, will5(`23 0001`), MALFORMED);
bad('CONNECT with a will with a Session Expiry Interval', V5, will5(`11 00000001`), MALFORMED);
bad('CONNECT with a will with a wildcard in the Response Topic', V5, will5(`08 <'r/+'>`), PROTOCOL);
bad('CONNECT with more user properties than allowed', V5, connect5(`(26 <> <>)*1001`), QUOTA);
bad('CONNECT with a byte too many', V5, `10 [ <'MQTT'> 05 02 0000 00 <'a'> 00 ]`, MALFORMED);

// --- CONNACK -----------------------------------------------------------------------------------------------------------------------------------------
ok('CONNACK that accepts', V3, `20 02 00 00`, connack(0));
ok('CONNACK that resumes', V311, `20 02 01 00`, connack(0, true));
ok('CONNACK whose first byte has no meaning yet', V31, `20 02 01 00`, connack(0), { canonical: false });
ok('CONNACK unacceptable protocol version', V3, `20 02 00 01`, connack(0x84));
ok('CONNACK identifier rejected', V3, `20 02 00 02`, connack(0x85));
ok('CONNACK server unavailable', V3, `20 02 00 03`, connack(0x88));
ok('CONNACK bad user name or password', V3, `20 02 00 04`, connack(0x86));
ok('CONNACK not authorized', V3, `20 02 00 05`, connack(0x87));
bad('CONNACK with return code 6', V3, `20 02 00 06`, PROTOCOL);
bad('CONNACK with session present in a refusal', V311, `20 02 01 05`, PROTOCOL);
bad('CONNACK with a reserved flag', V311, `20 02 02 00`, MALFORMED);
bad('CONNACK with properties', V3, `20 03 00 00 00`, MALFORMED);
bad('CONNACK of one byte', ALL, `20 01 00`, MALFORMED);
bad('CONNACK from a client', ALL, `20 02 00 00`, PROTOCOL, Sender.CLIENT);
bad('CONNACK with flags in the fixed header', ALL, `21 02 00 00`, MALFORMED);
ok('CONNACK that accepts', V5, `20 03 00 00 00`, connack(0));
ok('CONNACK that resumes', V5, `20 03 01 00 00`, connack(0, true));
ok(
  'CONNACK that refuses with a reason',
  V5,
  `20 [ 00 87 [ 1f <'no'> ] ]`,
  connack(0x87, false, properties({ reasonString: 'no' })),
);
ok(
  'CONNACK with all properties',
  V5,
  `20 [ 00 00 [ 11 00000000 12 <'id'> 13 ffff 15 <'m'> 16 <'d'> 1a <'ri'> 1c <'other:1883'> 1f <'ok'> 21 ffff 22 0000 24 01 25 00 26 <'k'> <'v'> 27 ffffffff 28 00 29 01 2a 00 ] ]`,
  connack(
    0,
    false,
    properties({
      sessionExpiryIntervalS: 0,
      assignedClientIdentifier: 'id',
      serverKeepAliveS: 65535,
      authenticationMethod: 'm',
      authenticationData: text('d'),
      responseInformation: 'ri',
      serverReference: 'other:1883',
      reasonString: 'ok',
      receiveMaximum: 65535,
      topicAliasMaximum: 0,
      maximumQos: 1,
      retainAvailable: false,
      userProperties: ['k', 'v'],
      maximumPacketSize: 0xffffffff,
      wildcardSubscriptionAvailable: false,
      subscriptionIdentifiersAvailable: true,
      sharedSubscriptionAvailable: false,
    }),
  ),
);
bad('CONNACK without property length', V5, `20 02 00 00`, MALFORMED);
bad('CONNACK with a reserved flag', V5, `20 03 80 00 00`, MALFORMED);
bad('CONNACK with session present in a refusal', V5, `20 03 01 87 00`, PROTOCOL);
bad('CONNACK with a reason code of SUBACK', V5, `20 03 00 01 00`, PROTOCOL);
bad('CONNACK with a reason code of DISCONNECT', V5, `20 03 00 8e 00`, PROTOCOL);
bad('CONNACK with a Maximum QoS of 2', V5, `20 05 00 00 02 24 02`, PROTOCOL);
for (const id of ['25', '28', '29', '2a']) {
  bad(`CONNACK with property 0x${id} of 2`, V5, `20 05 00 00 02 ${id} 02`, PROTOCOL);
  bad(`CONNACK with property 0x${id} twice`, V5, `20 07 00 00 04 ${id} 00 ${id} 00`, PROTOCOL);
}
bad('CONNACK with a Receive Maximum of 0', V5, `20 [ 00 00 [ 21 0000 ] ]`, PROTOCOL);
bad('CONNACK with Request Problem Information', V5, `20 05 00 00 02 17 01`, MALFORMED);
bad('CONNACK with a Will Delay Interval', V5, `20 [ 00 00 [ 18 00000000 ] ]`, MALFORMED);
for (const [name, property] of [
  ['Assigned Client Identifier', `12 <'x'>`],
  ['Server Keep Alive', `13 0001`],
  ['Response Information', `1a <'x'>`],
  ['Server Reference', `1c <'x'>`],
  ['Reason String', `1f <'x'>`],
  ['Maximum QoS', `24 00`],
] as const) {
  bad(`CONNACK with ${name} twice`, V5, `20 [ 00 00 [ ${property} ${property} ] ]`, PROTOCOL);
}

// --- PUBLISH -----------------------------------------------------------------------------------------------------------------------------------------
ok('PUBLISH of the shortest kind', V3, `30 03 00 01 61`, publish('a'));
ok('PUBLISH with a payload', V3, `30 05 00 01 61 68 69`, publish('a', { payload: text('hi') }));
ok('PUBLISH at QoS 1', V3, `32 07 00 01 61 00 01 68 69`, publish('a', { qos: 1, packetId: 1, payload: text('hi') }));
ok(
  'PUBLISH at QoS 2 with the highest packet id',
  V3,
  `34 05 00 01 61 ff ff`,
  publish('a', { qos: 2, packetId: 65535 }),
);
ok('PUBLISH retained', V3, `31 03 00 01 61`, publish('a', { retain: true }));
ok('PUBLISH sent again', V3, `3b 05 00 01 61 00 0a`, publish('a', { dup: true, qos: 1, retain: true, packetId: 10 }));
ok('PUBLISH to a topic of empty levels', V3, `30 03 00 01 '/'`, publish('/'));
ok('PUBLISH to a topic in many scripts', V3, `30 [ <'ä/€/😀'> 00 ]`, publish('ä/€/😀', { payload: Uint8Array.of(0) }));
ok('PUBLISH to a topic of 65,535 bytes', V311, `30 [ <('a')*65535> ]`, publish('a'.repeat(65535)));
ok(
  'PUBLISH with a remaining length of 127',
  V311,
  `30 7f 00 01 61 (78)*124`,
  publish('a', { payload: text('x'.repeat(124)) }),
);
ok(
  'PUBLISH with a remaining length of 128',
  V311,
  `30 80 01 00 01 61 (78)*125`,
  publish('a', { payload: text('x'.repeat(125)) }),
);
ok(
  'PUBLISH with a remaining length of 16,383',
  V311,
  `30 ff 7f 00 01 61 (78)*16380`,
  publish('a', { payload: text('x'.repeat(16380)) }),
);
ok(
  'PUBLISH with a remaining length of 16,384',
  V311,
  `30 80 80 01 00 01 61 (78)*16381`,
  publish('a', { payload: text('x'.repeat(16381)) }),
);
bad('PUBLISH with an empty topic', V3, `30 03 00 00 61`, PROTOCOL);
bad('PUBLISH with a + in the topic', ALL, `30 [ <'a/+/b'> 00 ]`, TOPIC);
bad('PUBLISH with a # in the topic', ALL, `30 [ <'a/#'> 00 ]`, TOPIC);
bad('PUBLISH with a # within a level', ALL, `30 [ <'a#'> 00 ]`, TOPIC);
bad('PUBLISH with U+0000 in the topic', ALL, `30 [ <'a' 00> 00 ]`, MALFORMED);
bad('PUBLISH with a surrogate in the topic', ALL, `30 [ <'a' edbfbf> 00 ]`, MALFORMED);
bad('PUBLISH with a truncated character in the topic', ALL, `30 [ <'a' e282> 00 ]`, MALFORMED);
bad('PUBLISH with QoS 3', ALL, `36 [ <'a'> 0001 00 ]`, MALFORMED);
bad('PUBLISH with QoS 3 and all flags', ALL, `3f [ <'a'> 0001 00 ]`, MALFORMED);
bad('PUBLISH with DUP at QoS 0', ALL, `38 [ <'a'> 00 ]`, MALFORMED);
bad('PUBLISH with packet id 0 at QoS 1', ALL, `32 [ <'a'> 0000 00 ]`, PROTOCOL);
bad('PUBLISH with packet id 0 at QoS 2', ALL, `34 [ <'a'> 0000 00 ]`, PROTOCOL);
bad('PUBLISH with half a packet id', ALL, `32 04 00 01 61 00`, MALFORMED);
bad('PUBLISH without a packet id at QoS 1', ALL, `32 03 00 01 61`, MALFORMED);
bad('PUBLISH with a topic longer than the packet', ALL, `30 03 00 02 61`, MALFORMED);
bad('PUBLISH of one byte', ALL, `30 01 00`, MALFORMED);
bad('PUBLISH without a body', ALL, `30 00`, MALFORMED);

const publish5 = (props: string): string => `30 [ <'a'> [ ${props} ] 'x' ]`;
const published5 = (fields: Parameters<typeof properties>[0]): Packet =>
  publish('a', { payload: text('x'), properties: properties(fields) });
ok('PUBLISH of the shortest kind', V5, `30 04 00 01 61 00`, publish('a'));
ok('PUBLISH at QoS 1', V5, `32 08 00 01 61 00 01 00 68 69`, publish('a', { qos: 1, packetId: 1, payload: text('hi') }));
ok(
  'PUBLISH at QoS 2 sent again',
  V5,
  `3d 06 00 01 61 12 34 00`,
  publish('a', { qos: 2, dup: true, retain: true, packetId: 0x1234 }),
);
ok('PUBLISH by alias', V5, `30 06 00 00 03 23 00 01`, publish('', { properties: properties({ topicAlias: 1 }) }));
ok('PUBLISH that sets the highest alias', V5, publish5(`23 ffff`), published5({ topicAlias: 65535 }));
ok('PUBLISH with payload format 0', V5, publish5(`01 00`), published5({ payloadFormat: 0 }));
ok('PUBLISH with payload format 1', V5, publish5(`01 01`), published5({ payloadFormat: 1 }));
ok('PUBLISH with the longest expiry', V5, publish5(`02 ffffffff`), published5({ messageExpiryIntervalS: 0xffffffff }));
ok(
  'PUBLISH with the properties of a request',
  V5,
  publish5(`03 <'application/json'> 08 <'reply/me'> 09 <00ff00>`),
  published5({ contentType: 'application/json', responseTopic: 'reply/me', correlationData: Uint8Array.of(0, 255, 0) }),
);
ok(
  'PUBLISH with user properties in their order',
  V5,
  publish5(`26 <'b'> <'1'> 26 <'a'> <'2'> 26 <'b'> <'1'>`),
  published5({ userProperties: ['b', '1', 'a', '2', 'b', '1'] }),
);
ok(
  'PUBLISH with as many user properties as allowed',
  V5,
  publish5(`(26 <'k'> <'v'>)*1000`),
  published5({ userProperties: Array.from({ length: 2000 }, (_, i) => (i % 2 === 0 ? 'k' : 'v')) }),
);
ok(
  'PUBLISH with correlation data of 65,535 bytes',
  V5,
  publish5(`09 <(aa)*65535>`),
  published5({ correlationData: new Uint8Array(65535).fill(0xaa) }),
);
ok(
  'PUBLISH of a server with subscription identifiers',
  V5,
  publish5(`0b 01 0b 7f 0b 8001 0b ffffff7f`),
  published5({ subscriptionIdentifiers: [1, 127, 128, 268435455] }),
  { sender: Sender.SERVER },
);
ok(
  'PUBLISH of a server with the same subscription identifier twice',
  V5,
  publish5(`0b 01 0b 01`),
  published5({ subscriptionIdentifiers: [1, 1] }),
  { sender: Sender.SERVER },
);
bad('PUBLISH of a client with a subscription identifier', V5, publish5(`0b 01`), PROTOCOL);
bad('PUBLISH with subscription identifier 0', V5, publish5(`0b 00`), PROTOCOL, Sender.SERVER);
bad('PUBLISH with a subscription identifier of five bytes', V5, publish5(`0b 8080808001`), MALFORMED, Sender.SERVER);
bad('PUBLISH with a subscription identifier of too many bytes', V5, publish5(`0b 8100`), MALFORMED, Sender.SERVER);
bad('PUBLISH with an empty topic and no alias', V5, `30 03 00 00 00`, PROTOCOL);
bad('PUBLISH with alias 0', V5, publish5(`23 0000`), ALIAS);
bad('PUBLISH with an empty topic and alias 0', V5, `30 06 00 00 03 23 00 00`, ALIAS);
bad('PUBLISH with payload format 2', V5, publish5(`01 02`), PROTOCOL);
bad('PUBLISH with an empty Response Topic', V5, publish5(`08 <>`), PROTOCOL);
bad('PUBLISH with a # in the Response Topic', V5, publish5(`08 <'r/#'>`), PROTOCOL);
bad('PUBLISH with a + in the Response Topic', V5, publish5(`08 <'+'>`), PROTOCOL);
bad('PUBLISH with a Response Topic that is not UTF-8', V5, publish5(`08 <ff>`), MALFORMED);
bad('PUBLISH with a Content Type with U+0000', V5, publish5(`03 <00>`), MALFORMED);
for (const [name, property] of [
  ['Payload Format Indicator', `01 01`],
  ['Message Expiry Interval', `02 00000001`],
  ['Content Type', `03 <'x'>`],
  ['Response Topic', `08 <'x'>`],
  ['Correlation Data', `09 <'x'>`],
  ['Topic Alias', `23 0001`],
] as const) {
  bad(`PUBLISH with ${name} twice`, V5, publish5(`${property} ${property}`), PROTOCOL);
}
for (const [name, property] of [
  ['Session Expiry Interval', `11 00000001`],
  ['Reason String', `1f <'x'>`],
  ['Will Delay Interval', `18 00000001`],
  ['Receive Maximum', `21 0001`],
  ['Authentication Method', `15 <'m'>`],
] as const) {
  bad(`PUBLISH with ${name}, which it may not have`, V5, publish5(property), MALFORMED);
}
bad('PUBLISH without property length', V5, `30 03 00 01 61`, MALFORMED);
bad('PUBLISH with properties longer than the packet', V5, `30 05 00 01 61 02 01`, MALFORMED);
bad('PUBLISH with more user properties than allowed', V5, publish5(`(26 <'k'> <'v'>)*1001`), QUOTA);
bad('PUBLISH with more subscription identifiers than allowed', V5, publish5(`(0b 01)*10001`), QUOTA, Sender.SERVER);

// --- PUBACK, PUBREC, PUBREL, PUBCOMP -----------------------------------------------------------------------------------------------------------------
const ACKS = [
  { name: 'PUBACK', first: '40', make: puback, failure: 0x97, clientOnly: false },
  { name: 'PUBREC', first: '50', make: pubrec, failure: 0x91, clientOnly: false },
  { name: 'PUBREL', first: '62', make: pubrel, failure: 0x92, clientOnly: false },
  { name: 'PUBCOMP', first: '70', make: pubcomp, failure: 0x92, clientOnly: false },
] as const;
for (const { name, first, make, failure } of ACKS) {
  const code = failure.toString(16);
  ok(`${name} of the lowest packet id`, ALL, `${first} 02 00 01`, make(1));
  ok(`${name} of the highest packet id`, ALL, `${first} 02 ff ff`, make(65535));
  ok(`${name} of a server`, ALL, `${first} 02 00 02`, make(2), { sender: Sender.SERVER });
  bad(`${name} of packet id 0`, ALL, `${first} 02 00 00`, PROTOCOL);
  bad(`${name} with half a packet id`, ALL, `${first} 01 00`, MALFORMED);
  bad(`${name} without a packet id`, ALL, `${first} 00`, MALFORMED);
  bad(`${name} with a reason code`, V3, `${first} 03 00 01 00`, MALFORMED);
  ok(`${name} with a failure`, V5, `${first} 03 00 01 ${code}`, make(1, failure));
  ok(`${name} with success spelled out`, V5, `${first} 03 00 01 00`, make(1), { canonical: false });
  ok(`${name} with success and no properties spelled out`, V5, `${first} 04 00 01 00 00`, make(1), {
    canonical: false,
  });
  ok(
    `${name} with properties`,
    V5,
    `${first} [ 0001 00 [ 1f <'why'> 26 <'k'> <'v'> 26 <'k'> <'w'> ] ]`,
    make(1, 0, properties({ reasonString: 'why', userProperties: ['k', 'v', 'k', 'w'] })),
  );
  ok(
    `${name} with a failure and properties`,
    V5,
    `${first} [ 0001 ${code} [ 1f <> ] ]`,
    make(1, failure, properties({ reasonString: '' })),
  );
  bad(`${name} with the Reason String twice`, V5, `${first} [ 0001 00 [ 1f <'a'> 1f <'a'> ] ]`, PROTOCOL);
  bad(`${name} with a Server Reference`, V5, `${first} [ 0001 00 [ 1c <'a'> ] ]`, MALFORMED);
  bad(`${name} with a byte too many`, V5, `${first} 05 00 01 00 00 00`, MALFORMED);
  bad(`${name} with a reason code that does not exist`, V5, `${first} 03 00 01 42`, PROTOCOL);
  bad(`${name} with a reason code of DISCONNECT`, V5, `${first} 03 00 01 8e`, PROTOCOL);
  bad(
    `${name} with other flags in the fixed header`,
    ALL,
    `${first[0]}${first[1] === '2' ? '0' : '2'} 02 00 01`,
    MALFORMED,
  );
}
ok('PUBREL sent again', V31, `6a 02 00 01`, pubrel(1), { canonical: false });
bad('PUBREL with DUP', [V311, V5], `6a 02 00 01`, MALFORMED);
bad('PUBACK with DUP', ALL, `48 02 00 01`, MALFORMED);
ok('PUBACK of a server without matching subscribers', V5, `40 03 00 01 10`, puback(1, 0x10), { sender: Sender.SERVER });
bad('PUBACK of a client without matching subscribers', V5, `40 03 00 01 10`, PROTOCOL);
bad('PUBACK with a reason code of PUBREL', V5, `40 03 00 01 92`, PROTOCOL);
bad('PUBREL with a reason code of PUBACK', V5, `62 03 00 01 97`, PROTOCOL);

// --- SUBSCRIBE ---------------------------------------------------------------------------------------------------------------------------------------
ok('SUBSCRIBE to one filter', V3, `82 06 00 01 00 01 61 00`, subscribe(1, [subscription('a', 0)]));
ok(
  'SUBSCRIBE to three filters',
  V3,
  `82 [ ffff <'a/+'> 00 <'#'> 01 <'$share/g/x'> 02 ]`,
  subscribe(65535, [subscription('a/+', 0), subscription('#', 1), subscription('$share/g/x', 2)]),
);
ok(
  'SUBSCRIBE to the same filter twice',
  V3,
  `82 [ 0001 <'a'> 00 <'a'> 01 ]`,
  subscribe(1, [subscription('a', 0), subscription('a', 1)]),
);
bad('SUBSCRIBE to nothing', V3, `82 02 00 01`, PROTOCOL);
bad('SUBSCRIBE with packet id 0', V3, `82 06 00 00 00 01 61 00`, PROTOCOL);
bad('SUBSCRIBE with QoS 3', V3, `82 06 00 01 00 01 61 03`, MALFORMED);
for (const bits of ['04', '08', '10', '20', '40', '80'])
  bad(`SUBSCRIBE with options 0x${bits}`, V3, `82 06 00 01 00 01 61 ${bits}`, MALFORMED);
bad('SUBSCRIBE without options', ALL, `82 05 00 01 00 01 61`, MALFORMED);
bad('SUBSCRIBE with a filter longer than the packet', V3, `82 06 00 01 00 05 61 00`, MALFORMED);
bad('SUBSCRIBE with half a second filter', V3, `82 08 00 01 00 01 61 00 00 01`, MALFORMED);
bad('SUBSCRIBE with a filter that is not UTF-8', V3, `82 06 00 01 00 01 ff 00`, MALFORMED);
bad('SUBSCRIBE with U+0000 in a filter', V3, `82 06 00 01 00 01 00 00`, MALFORMED);
bad('SUBSCRIBE with no flags in the fixed header', ALL, `80 06 00 01 00 01 61 00`, MALFORMED);
bad('SUBSCRIBE with flags 3 in the fixed header', ALL, `83 06 00 01 00 01 61 00`, MALFORMED);
bad('SUBSCRIBE from a server', V3, `82 06 00 01 00 01 61 00`, PROTOCOL, Sender.SERVER);
ok('SUBSCRIBE sent again', V31, `8a 06 00 01 00 01 61 00`, subscribe(1, [subscription('a', 0)]), { canonical: false });
bad('SUBSCRIBE with DUP', V311, `8a 06 00 01 00 01 61 00`, MALFORMED);
bad('SUBSCRIBE to more filters than allowed', V311, `82 [ 0001 (<'a'> 00)*10001 ]`, QUOTA);
ok(
  'SUBSCRIBE to as many filters as allowed',
  V311,
  `82 [ 0001 (<'a'> 00)*10000 ]`,
  subscribe(
    1,
    Array.from({ length: 10000 }, () => subscription('a', 0)),
  ),
);
ok('SUBSCRIBE to one filter', V5, `82 07 00 01 00 00 01 61 00`, subscribe(1, [subscription('a', 0)]));
ok(
  'SUBSCRIBE with all options',
  V5,
  `82 [ 0001 00 <'a'> 2e <'b'> 15 ]`,
  subscribe(1, [
    subscription('a', 2, { noLocal: true, retainAsPublished: true, retainHandling: 2 }),
    subscription('b', 1, { noLocal: true, retainHandling: 1 }),
  ]),
);
ok(
  'SUBSCRIBE with an identifier and a user property',
  V5,
  `82 [ 0001 [ 0b ffffff7f 26 <'k'> <'v'> ] <'a'> 00 ]`,
  subscribe(
    1,
    [subscription('a', 0)],
    properties({ subscriptionIdentifiers: [268435455], userProperties: ['k', 'v'] }),
  ),
);
ok(
  'SUBSCRIBE to a shared subscription',
  V5,
  `82 [ 0001 00 <'$share/g/a'> 09 ]`,
  subscribe(1, [subscription('$share/g/a', 1, { retainAsPublished: true })]),
);
bad('SUBSCRIBE with No Local to a shared subscription', V5, `82 [ 0001 00 <'$share/g/a'> 05 ]`, PROTOCOL);
bad('SUBSCRIBE with identifier 0', V5, `82 [ 0001 [ 0b 00 ] <'a'> 00 ]`, PROTOCOL);
bad('SUBSCRIBE with an identifier of five bytes', V5, `82 [ 0001 [ 0b 8080808001 ] <'a'> 00 ]`, MALFORMED);
bad('SUBSCRIBE with two identifiers', V5, `82 [ 0001 [ 0b 01 0b 02 ] <'a'> 00 ]`, PROTOCOL);
bad('SUBSCRIBE with a Reason String', V5, `82 [ 0001 [ 1f <'x'> ] <'a'> 00 ]`, MALFORMED);
bad('SUBSCRIBE with QoS 3', V5, `82 [ 0001 00 <'a'> 03 ]`, PROTOCOL);
bad('SUBSCRIBE with Retain Handling 3', V5, `82 [ 0001 00 <'a'> 30 ]`, PROTOCOL);
bad('SUBSCRIBE with reserved option bit 6', V5, `82 [ 0001 00 <'a'> 40 ]`, MALFORMED);
bad('SUBSCRIBE with reserved option bit 7', V5, `82 [ 0001 00 <'a'> 80 ]`, MALFORMED);
bad('SUBSCRIBE to nothing', V5, `82 03 00 01 00`, PROTOCOL);
bad('SUBSCRIBE without property length', V5, `82 02 00 01`, MALFORMED);
bad('SUBSCRIBE with packet id 0', V5, `82 [ 0000 00 <'a'> 00 ]`, PROTOCOL);

// --- SUBACK ------------------------------------------------------------------------------------------------------------------------------------------
ok('SUBACK with every return code', V3, `90 06 00 01 00 01 02 80`, suback(1, [0, 1, 2, 0x80]));
bad('SUBACK with return code 3', V3, `90 03 00 01 03`, PROTOCOL);
bad('SUBACK with return code 0x81', V3, `90 03 00 01 81`, PROTOCOL);
bad('SUBACK with packet id 0', ALL, `90 04 00 00 00 00`, PROTOCOL);
bad('SUBACK without a code', V3, `90 02 00 01`, PROTOCOL);
bad('SUBACK without a code', V5, `90 03 00 01 00`, PROTOCOL);
bad('SUBACK from a client', ALL, `90 04 00 01 00 00`, PROTOCOL, Sender.CLIENT);
ok(
  'SUBACK with every reason code',
  V5,
  `90 [ 0001 00 00 01 02 80 83 87 8f 91 97 9e a1 a2 ]`,
  suback(1, [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]),
);
ok(
  'SUBACK with properties',
  V5,
  `90 [ 0001 [ 1f <'r'> 26 <'k'> <'v'> ] 00 ]`,
  suback(1, [0], properties({ reasonString: 'r', userProperties: ['k', 'v'] })),
);
bad('SUBACK with reason code 3', V5, `90 04 00 01 00 03`, PROTOCOL);
bad('SUBACK with a reason code of UNSUBACK', V5, `90 04 00 01 00 11`, PROTOCOL);
bad('SUBACK with a subscription identifier', V5, `90 [ 0001 [ 0b 01 ] 00 ]`, MALFORMED);
bad('SUBACK with more codes than filters are allowed', V311, `90 [ 0001 (00)*10001 ]`, QUOTA);

// --- UNSUBSCRIBE -------------------------------------------------------------------------------------------------------------------------------------
ok('UNSUBSCRIBE from one filter', V3, `a2 05 00 01 00 01 61`, unsubscribe(1, ['a']));
ok(
  'UNSUBSCRIBE from three filters',
  V3,
  `a2 [ 0001 <'a/+'> <'#'> <'$share/g/a'> ]`,
  unsubscribe(1, ['a/+', '#', '$share/g/a']),
);
ok('UNSUBSCRIBE sent again', V31, `aa 05 00 01 00 01 61`, unsubscribe(1, ['a']), { canonical: false });
bad('UNSUBSCRIBE from nothing', V3, `a2 02 00 01`, PROTOCOL);
bad('UNSUBSCRIBE with packet id 0', V3, `a2 05 00 00 00 01 61`, PROTOCOL);
bad('UNSUBSCRIBE with no flags in the fixed header', ALL, `a0 05 00 01 00 01 61`, MALFORMED);
bad('UNSUBSCRIBE with a byte too many', V3, `a2 06 00 01 00 01 61 00`, MALFORMED);
bad('UNSUBSCRIBE with a filter that is not UTF-8', V3, `a2 05 00 01 00 01 80`, MALFORMED);
bad('UNSUBSCRIBE from more filters than allowed', V311, `a2 [ 0001 (<'a'>)*10001 ]`, QUOTA);
ok('UNSUBSCRIBE from one filter', V5, `a2 06 00 01 00 00 01 61`, unsubscribe(1, ['a']));
ok(
  'UNSUBSCRIBE with a user property',
  V5,
  `a2 [ 0001 [ 26 <'k'> <'v'> ] <'a'> <'b'> ]`,
  unsubscribe(1, ['a', 'b'], properties({ userProperties: ['k', 'v'] })),
);
bad('UNSUBSCRIBE from nothing', V5, `a2 03 00 01 00`, PROTOCOL);
bad('UNSUBSCRIBE with a subscription identifier', V5, `a2 [ 0001 [ 0b 01 ] <'a'> ]`, MALFORMED);
bad('UNSUBSCRIBE from a server', V5, `a2 06 00 01 00 00 01 61`, PROTOCOL, Sender.SERVER);

// --- UNSUBACK ----------------------------------------------------------------------------------------------------------------------------------------
ok('UNSUBACK', V3, `b0 02 00 01`, unsuback(1, []));
bad('UNSUBACK with a code', V3, `b0 03 00 01 00`, MALFORMED);
bad('UNSUBACK with packet id 0', V3, `b0 02 00 00`, PROTOCOL);
ok(
  'UNSUBACK with every reason code',
  V5,
  `b0 [ 0001 00 00 11 80 83 87 8f 91 ]`,
  unsuback(1, [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]),
);
ok('UNSUBACK with properties', V5, `b0 [ 0001 [ 1f <'r'> ] 00 ]`, unsuback(1, [0], properties({ reasonString: 'r' })));
bad('UNSUBACK without a code', V5, `b0 03 00 01 00`, PROTOCOL);
bad('UNSUBACK with a reason code of SUBACK', V5, `b0 04 00 01 00 01`, PROTOCOL);
bad('UNSUBACK from a client', ALL, `b0 04 00 01 00 00`, PROTOCOL, Sender.CLIENT);

// --- PINGREQ, PINGRESP -------------------------------------------------------------------------------------------------------------------------------
ok('PINGREQ', ALL, `c0 00`, PINGREQ);
ok('PINGRESP', ALL, `d0 00`, PINGRESP);
bad('PINGREQ with a body', ALL, `c0 01 00`, MALFORMED);
bad('PINGRESP with a body', ALL, `d0 01 00`, MALFORMED);
bad('PINGREQ with flags in the fixed header', ALL, `c1 00`, MALFORMED);
bad('PINGREQ from a server', ALL, `c0 00`, PROTOCOL, Sender.SERVER);
bad('PINGRESP from a client', ALL, `d0 00`, PROTOCOL, Sender.CLIENT);

// --- DISCONNECT --------------------------------------------------------------------------------------------------------------------------------------
ok('DISCONNECT', ALL, `e0 00`, disconnect());
bad('DISCONNECT with a body', V3, `e0 01 00`, MALFORMED);
bad('DISCONNECT with flags in the fixed header', ALL, `e2 00`, MALFORMED);
bad('DISCONNECT from a server', V3, `e0 00`, PROTOCOL, Sender.SERVER);
ok('DISCONNECT with a reason code', V5, `e0 01 04`, disconnect(4));
ok('DISCONNECT with success spelled out', V5, `e0 01 00`, disconnect(), { canonical: false });
ok('DISCONNECT with no properties spelled out', V5, `e0 02 04 00`, disconnect(4), { canonical: false });
ok(
  'DISCONNECT with properties',
  V5,
  `e0 [ 00 [ 11 00000000 1f <'bye'> 26 <'k'> <'v'> ] ]`,
  disconnect(0, properties({ sessionExpiryIntervalS: 0, reasonString: 'bye', userProperties: ['k', 'v'] })),
);
ok(
  'DISCONNECT of a server that moved',
  V5,
  `e0 [ 9d [ 1c <'b:1883'> ] ]`,
  disconnect(0x9d, properties({ serverReference: 'b:1883' })),
  { sender: Sender.SERVER },
);
bad('DISCONNECT of a server with a Session Expiry Interval', V5, `e0 [ 00 [ 11 00000000 ] ]`, PROTOCOL, Sender.SERVER);
bad('DISCONNECT with the Session Expiry Interval twice', V5, `e0 [ 00 [ 11 00000000 11 00000000 ] ]`, PROTOCOL);
bad('DISCONNECT with a reason code of CONNACK', V5, `e0 01 84`, PROTOCOL);
bad('DISCONNECT of a client with a reason code of servers', V5, `e0 01 8b`, PROTOCOL);
bad('DISCONNECT of a server with a reason code of clients', V5, `e0 01 04`, PROTOCOL, Sender.SERVER);
bad('DISCONNECT with a Receive Maximum', V5, `e0 [ 00 [ 21 0001 ] ]`, MALFORMED);
bad('DISCONNECT with a byte too many', V5, `e0 03 00 00 00`, MALFORMED);

// --- AUTH --------------------------------------------------------------------------------------------------------------------------------------------
ok('AUTH that succeeds', V5, `f0 00`, auth(0), { sender: Sender.SERVER });
ok(
  'AUTH that continues',
  V5,
  `f0 [ 18 [ 15 <'m'> 16 <'data'> ] ]`,
  auth(0x18, properties({ authenticationMethod: 'm', authenticationData: text('data') })),
);
ok(
  'AUTH that starts again',
  V5,
  `f0 [ 19 [ 15 <'m'> 1f <'r'> 26 <'k'> <'v'> ] ]`,
  auth(0x19, properties({ authenticationMethod: 'm', reasonString: 'r', userProperties: ['k', 'v'] })),
);
ok(
  'AUTH of a server that succeeds with a method',
  V5,
  `f0 [ 00 [ 15 <'m'> ] ]`,
  auth(0, properties({ authenticationMethod: 'm' })),
  { sender: Sender.SERVER },
);
bad('AUTH of a client that claims success', V5, `f0 00`, PROTOCOL);
bad('AUTH of a server that starts again', V5, `f0 [ 19 [ 15 <'m'> ] ]`, PROTOCOL, Sender.SERVER);
bad('AUTH without a method', V5, `f0 [ 18 [ 16 <'data'> ] ]`, PROTOCOL);
bad('AUTH without properties', V5, `f0 02 18 00`, PROTOCOL);
bad('AUTH with a reason code only', V5, `f0 01 18`, MALFORMED);
bad('AUTH with a reason code that is none of its own', V5, `f0 [ 87 [ 15 <'m'> ] ]`, PROTOCOL);
bad('AUTH with the method twice', V5, `f0 [ 18 [ 15 <'m'> 15 <'m'> ] ]`, PROTOCOL);
bad('AUTH with flags in the fixed header', V5, `f1 00`, MALFORMED, Sender.SERVER);
bad('AUTH before it existed', V3, `f0 00`, MALFORMED);

// --- what is no packet -------------------------------------------------------------------------------------------------------------------------------
bad('packet type 0', ALL, `00 00`, MALFORMED);
bad('packet type 0 with flags', ALL, `0f 00`, MALFORMED);
bad('a remaining length of two bytes where one is enough', ALL, `c0 80 00`, MALFORMED);
bad('a remaining length of four bytes where one is enough', ALL, `c0 80 80 80 00`, MALFORMED);
bad('a remaining length of five bytes', ALL, `c0 80 80 80 80 01`, MALFORMED);
bad('a remaining length of five bytes that are all set', ALL, `c0 ff ff ff ff ff`, MALFORMED);

export const VECTORS: readonly Vector[] = rows;
