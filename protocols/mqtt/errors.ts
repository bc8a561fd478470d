// What can be wrong with the bytes of an MQTT peer, one builder per kind, each with its stable code and the MQTT 5 reason code that tells the peer.
// Builders return the error, so that `throw malformed(…)` ends the control flow where the reader sees it.
import { ProtocolError } from '../../src/core/errors.ts';
import { ReasonCode } from './reason-codes.ts';

/** The packet cannot be parsed: lengths, flags, encodings, identifiers of properties. */
export function malformed(message: string): ProtocolError {
  return new ProtocolError('malformed-packet', ReasonCode.MALFORMED_PACKET, message);
}

/** The packet can be parsed and says something that the protocol does not allow. */
export function protocolError(message: string): ProtocolError {
  return new ProtocolError('protocol-error', ReasonCode.PROTOCOL_ERROR, message);
}

/** A name or level in CONNECT that is none of the protocols spoken here. */
export function unsupportedVersion(message: string): ProtocolError {
  return new ProtocolError('unsupported-protocol-version', ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, message);
}

export function clientIdentifierInvalid(message: string): ProtocolError {
  return new ProtocolError('client-identifier-not-valid', ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, message);
}

export function topicNameInvalid(message: string): ProtocolError {
  return new ProtocolError('topic-name-invalid', ReasonCode.TOPIC_NAME_INVALID, message);
}

export function topicAliasInvalid(message: string): ProtocolError {
  return new ProtocolError('topic-alias-invalid', ReasonCode.TOPIC_ALIAS_INVALID, message);
}

/** More parts in one packet than this broker is willing to hold in memory. */
export function quotaExceeded(message: string): ProtocolError {
  return new ProtocolError('quota-exceeded', ReasonCode.QUOTA_EXCEEDED, message);
}

/** Why a message was refused that its client was allowed to publish, for people. The first: nobody got it. */
export const NO_ROOM_FOR_MESSAGE = 'a queue is full and refuses messages, or the disk has no room for them';
export const NO_ROOM_TO_RETAIN =
  'there is no room for one more retained message (settings retained.max and retained.bytesMax)';
