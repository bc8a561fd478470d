// Reason codes of MQTT 5 as one table: value, name, the packets that may carry each, and who may say it (MQTT 5.0, table 2-6 and the tables of chapter 3).
// Older versions are translated here, at the edge: everything behind the codec speaks MQTT 5 reason codes.
import { PacketType, Sender } from './packet-type.ts';

export const ReasonCode = {
  SUCCESS: 0x00,
  GRANTED_QOS_0: 0x00,
  NORMAL_DISCONNECTION: 0x00,
  GRANTED_QOS_1: 0x01,
  GRANTED_QOS_2: 0x02,
  DISCONNECT_WITH_WILL: 0x04,
  NO_MATCHING_SUBSCRIBERS: 0x10,
  NO_SUBSCRIPTION_EXISTED: 0x11,
  CONTINUE_AUTHENTICATION: 0x18,
  REAUTHENTICATE: 0x19,
  UNSPECIFIED_ERROR: 0x80,
  MALFORMED_PACKET: 0x81,
  PROTOCOL_ERROR: 0x82,
  IMPLEMENTATION_SPECIFIC_ERROR: 0x83,
  UNSUPPORTED_PROTOCOL_VERSION: 0x84,
  CLIENT_IDENTIFIER_NOT_VALID: 0x85,
  BAD_USER_NAME_OR_PASSWORD: 0x86,
  NOT_AUTHORIZED: 0x87,
  SERVER_UNAVAILABLE: 0x88,
  SERVER_BUSY: 0x89,
  BANNED: 0x8a,
  SERVER_SHUTTING_DOWN: 0x8b,
  BAD_AUTHENTICATION_METHOD: 0x8c,
  KEEP_ALIVE_TIMEOUT: 0x8d,
  SESSION_TAKEN_OVER: 0x8e,
  TOPIC_FILTER_INVALID: 0x8f,
  TOPIC_NAME_INVALID: 0x90,
  PACKET_IDENTIFIER_IN_USE: 0x91,
  PACKET_IDENTIFIER_NOT_FOUND: 0x92,
  RECEIVE_MAXIMUM_EXCEEDED: 0x93,
  TOPIC_ALIAS_INVALID: 0x94,
  PACKET_TOO_LARGE: 0x95,
  MESSAGE_RATE_TOO_HIGH: 0x96,
  QUOTA_EXCEEDED: 0x97,
  ADMINISTRATIVE_ACTION: 0x98,
  PAYLOAD_FORMAT_INVALID: 0x99,
  RETAIN_NOT_SUPPORTED: 0x9a,
  QOS_NOT_SUPPORTED: 0x9b,
  USE_ANOTHER_SERVER: 0x9c,
  SERVER_MOVED: 0x9d,
  SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: 0x9e,
  CONNECTION_RATE_EXCEEDED: 0x9f,
  MAXIMUM_CONNECT_TIME: 0xa0,
  SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: 0xa1,
  WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: 0xa2,
} as const;

/** From here on a reason code is a failure. */
export const FAILURE_MIN = 0x80;

export interface ReasonCodeDefinition {
  readonly code: number;
  /** As the specification writes it; for log lines and the management pages. */
  readonly name: string;
  /** Packet types whose sender may be a client, as bits 1 << type. */
  readonly fromClient: number;
  /** Packet types whose sender may be a server, as bits 1 << type. */
  readonly fromServer: number;
}

const CONNACK = 1 << PacketType.CONNACK;
const PUBACK = 1 << PacketType.PUBACK;
const PUBREC = 1 << PacketType.PUBREC;
const PUBREL = 1 << PacketType.PUBREL;
const PUBCOMP = 1 << PacketType.PUBCOMP;
const SUBACK = 1 << PacketType.SUBACK;
const UNSUBACK = 1 << PacketType.UNSUBACK;
const DISCONNECT = 1 << PacketType.DISCONNECT;
const AUTH = 1 << PacketType.AUTH;

const ACKS = PUBACK | PUBREC;
const GRANTS = SUBACK | UNSUBACK;

function row(code: number, name: string, fromClient: number, fromServer: number): ReasonCodeDefinition {
  return { code, name, fromClient, fromServer };
}

/** In the order of the specification. 0x00 has three names; the others are normal disconnection and granted QoS 0. */
export const REASON_CODES: readonly ReasonCodeDefinition[] = [
  row(
    0x00,
    'Success',
    ACKS | PUBREL | PUBCOMP | DISCONNECT,
    CONNACK | ACKS | PUBREL | PUBCOMP | GRANTS | DISCONNECT | AUTH,
  ),
  row(0x01, 'Granted QoS 1', 0, SUBACK),
  row(0x02, 'Granted QoS 2', 0, SUBACK),
  row(0x04, 'Disconnect with Will Message', DISCONNECT, 0),
  row(0x10, 'No matching subscribers', 0, ACKS),
  row(0x11, 'No subscription existed', 0, UNSUBACK),
  row(0x18, 'Continue authentication', AUTH, AUTH),
  row(0x19, 'Re-authenticate', AUTH, 0),
  row(0x80, 'Unspecified error', ACKS | DISCONNECT, CONNACK | ACKS | GRANTS | DISCONNECT),
  row(0x81, 'Malformed Packet', DISCONNECT, CONNACK | DISCONNECT),
  row(0x82, 'Protocol Error', DISCONNECT, CONNACK | DISCONNECT),
  row(0x83, 'Implementation specific error', ACKS | DISCONNECT, CONNACK | ACKS | GRANTS | DISCONNECT),
  row(0x84, 'Unsupported Protocol Version', 0, CONNACK),
  row(0x85, 'Client Identifier not valid', 0, CONNACK),
  row(0x86, 'Bad User Name or Password', 0, CONNACK),
  row(0x87, 'Not authorized', ACKS, CONNACK | ACKS | GRANTS | DISCONNECT),
  row(0x88, 'Server unavailable', 0, CONNACK),
  row(0x89, 'Server busy', 0, CONNACK | DISCONNECT),
  row(0x8a, 'Banned', 0, CONNACK),
  row(0x8b, 'Server shutting down', 0, DISCONNECT),
  row(0x8c, 'Bad authentication method', 0, CONNACK | DISCONNECT),
  row(0x8d, 'Keep Alive timeout', 0, DISCONNECT),
  row(0x8e, 'Session taken over', 0, DISCONNECT),
  row(0x8f, 'Topic Filter invalid', 0, GRANTS | DISCONNECT),
  row(0x90, 'Topic Name invalid', ACKS | DISCONNECT, CONNACK | ACKS | DISCONNECT),
  row(0x91, 'Packet Identifier in use', ACKS, ACKS | GRANTS),
  row(0x92, 'Packet Identifier not found', PUBREL | PUBCOMP, PUBREL | PUBCOMP),
  row(0x93, 'Receive Maximum exceeded', DISCONNECT, DISCONNECT),
  row(0x94, 'Topic Alias invalid', DISCONNECT, DISCONNECT),
  row(0x95, 'Packet too large', DISCONNECT, CONNACK | DISCONNECT),
  row(0x96, 'Message rate too high', DISCONNECT, DISCONNECT),
  row(0x97, 'Quota exceeded', ACKS | DISCONNECT, CONNACK | ACKS | SUBACK | DISCONNECT),
  row(0x98, 'Administrative action', DISCONNECT, DISCONNECT),
  row(0x99, 'Payload format invalid', ACKS | DISCONNECT, CONNACK | ACKS | DISCONNECT),
  row(0x9a, 'Retain not supported', 0, CONNACK | DISCONNECT),
  row(0x9b, 'QoS not supported', 0, CONNACK | DISCONNECT),
  row(0x9c, 'Use another server', 0, CONNACK | DISCONNECT),
  row(0x9d, 'Server moved', 0, CONNACK | DISCONNECT),
  row(0x9e, 'Shared Subscriptions not supported', 0, SUBACK | DISCONNECT),
  row(0x9f, 'Connection rate exceeded', 0, CONNACK | DISCONNECT),
  row(0xa0, 'Maximum connect time', 0, DISCONNECT),
  row(0xa1, 'Subscription Identifiers not supported', 0, SUBACK | DISCONNECT),
  row(0xa2, 'Wildcard Subscriptions not supported', 0, SUBACK | DISCONNECT),
];

const byCode: readonly (ReasonCodeDefinition | null)[] = Array.from(
  { length: 256 },
  (_, code) => REASON_CODES.find((definition) => definition.code === code) ?? null,
);

/** Whether a packet of this type from this sender may carry the code. */
export function reasonCodeAllowed(code: number, type: PacketType, sender: Sender): boolean {
  const definition = byCode[code];
  if (definition === undefined || definition === null) return false;
  const packets =
    (sender & Sender.CLIENT ? definition.fromClient : 0) | (sender & Sender.SERVER ? definition.fromServer : 0);
  return (packets & (1 << type)) !== 0;
}

/** The specification's name of a code, or its number in hexadecimal when it has none. */
export function reasonCodeName(code: number): string {
  return byCode[code]?.name ?? `0x${code.toString(16).padStart(2, '0')}`;
}

/**
 * Return code 0 to 5 of a CONNACK of MQTT 3.1 and 3.1.1 for a reason code, or -1 when none applies: then the connection is closed without a CONNACK
 * [3.1.1 MQTT-3.2.2-6].
 */
export function connackReturnCode(reason: number): number {
  switch (reason) {
    case ReasonCode.SUCCESS:
      return 0;
    case ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
      return 1;
    case ReasonCode.CLIENT_IDENTIFIER_NOT_VALID:
      return 2;
    // Whatever a client may get past by coming back later, or elsewhere, is "server unavailable".
    case ReasonCode.UNSPECIFIED_ERROR:
    case ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR:
    case ReasonCode.SERVER_UNAVAILABLE:
    case ReasonCode.SERVER_BUSY:
    case ReasonCode.QUOTA_EXCEEDED:
    case ReasonCode.USE_ANOTHER_SERVER:
    case ReasonCode.SERVER_MOVED:
    case ReasonCode.CONNECTION_RATE_EXCEEDED:
      return 3;
    case ReasonCode.BAD_USER_NAME_OR_PASSWORD:
      return 4;
    case ReasonCode.NOT_AUTHORIZED:
    case ReasonCode.BANNED:
    case ReasonCode.BAD_AUTHENTICATION_METHOD:
      return 5;
    default:
      return -1;
  }
}

const reasonOfReturnCode: readonly number[] = [
  ReasonCode.SUCCESS,
  ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
  ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
  ReasonCode.SERVER_UNAVAILABLE,
  ReasonCode.BAD_USER_NAME_OR_PASSWORD,
  ReasonCode.NOT_AUTHORIZED,
];

/** The reason code for a return code 0 to 5 of MQTT 3.1 and 3.1.1; -1 for the reserved ones. */
export function reasonOfConnackReturnCode(returnCode: number): number {
  return reasonOfReturnCode[returnCode] ?? -1;
}

/** A SUBACK code as MQTT 3.1 and 3.1.1 say it: the granted QoS, or 0x80 for every failure [3.1.1 MQTT-3.9.3-2]. */
export function subackReturnCode(reason: number): number {
  return reason < FAILURE_MIN ? reason : 0x80;
}

/** More of a reason than a log line has room for helps nobody, and MQTT has none for more than 65,535 bytes. */
const REASON_LENGTH_MAX = 500;

/** A text of ours as a Reason String: names in it come from peers, and can be long. */
export function shortReason(text: string): string {
  const short = text.length <= REASON_LENGTH_MAX ? text : `${text.slice(0, REASON_LENGTH_MAX)}…`;
  return short.replaceAll('\0', '');
}
