// What a STOMP peer is told when something goes wrong. Every error has a stable code; the table gives the ERROR frame's short `message` header and a
// sentence that helps, and the error's own message says what exactly it was. Where RabbitMQ has a fixed first word for the same thing, it is that word,
// because clients match on it. Never decides what happens next: an ERROR frame is always followed by the end of the connection.
import { type BrokerErrorCode, ProtocolError } from '../../src/core/errors.ts';
import { Frame } from './frame.ts';

export interface ErrorText {
  /** The `message` header of the ERROR frame. */
  readonly message: string;
  /** First word of the body, for errors that AMQP has a name for; '' for others. */
  readonly word: string;
  /** Second line of the body: what to do about it; '' when the first says it all. */
  readonly help: string;
}

const MALFORMED = 'malformed frame received';

function text(message: string, help: string): ErrorText {
  return { message, word: '', help };
}

function brokerText(message: string, help: string): ErrorText {
  return { message, word: message.toUpperCase(), help };
}

/** What FrameScanner throws. */
const FRAME_ERRORS = {
  'command-unknown': text(
    'Bad command',
    'A frame starts with a command of STOMP 1.0, 1.1 or 1.2, in capitals, on a line of its own.',
  ),
  'line-end-invalid': text(MALFORMED, 'Lines end in LF or CR LF; in STOMP 1.2 a CR inside a header is written \\r.'),
  'header-malformed': text(MALFORMED, 'A header line is name:value; an empty line ends the headers.'),
  'header-nul': text(MALFORMED, 'An empty line stands between the headers and the body, and NUL ends the frame.'),
  'header-escape-invalid': text(
    MALFORMED,
    'STOMP 1.1 knows \\n, \\c and \\\\ in headers, STOMP 1.2 also \\r; nothing else may follow a backslash.',
  ),
  'header-not-utf8': text(MALFORMED, 'Header names and values are encoded in UTF-8.'),
  'header-value-invalid': text('Invalid header', ''),
  'header-count-exceeded': text('Frame over limit', 'Send fewer headers, or ask the operator for a higher limit.'),
  'header-line-too-long': text('Frame over limit', 'Send shorter headers, or ask the operator for a higher limit.'),
  'content-length-invalid': text(MALFORMED, 'content-length is the number of octets of the body, in decimal digits.'),
  'content-length-wrong': text(MALFORMED, 'content-length counts octets, not characters; NUL follows the body.'),
  'body-not-allowed': text(MALFORMED, 'Only SEND, MESSAGE and ERROR may have a body.'),
  'body-too-large': text('Frame over limit', 'Send smaller bodies, or ask the operator for a higher limit.'),
  'frame-too-large': text('Frame over limit', 'Send smaller frames, or ask the operator for a higher limit.'),
} as const satisfies Record<string, ErrorText>;

/** What a session refuses. */
const SESSION_ERRORS = {
  'connect-expected': text('Illegal command', 'The first frame is CONNECT or STOMP.'),
  'connect-repeated': text('Illegal command', 'A connection is opened once, by its first frame.'),
  'direction-wrong': text('Illegal command', 'CONNECTED, MESSAGE, RECEIPT and ERROR are sent by the server only.'),
  'version-unsupported': text('Version mismatch', 'Supported protocol versions are 1.0, 1.1 and 1.2.'),
  'login-refused': text('Bad CONNECT', 'Check the headers login, passcode and host.'),
  'handshake-timeout': text('Handshake timeout', 'Send a complete CONNECT or STOMP frame right after connecting.'),
  'heart-beat-missed': text(
    'Heart-beat timeout',
    'Send frames or newlines as often as the heart-beat header promised.',
  ),
  'header-missing': text('Missing header', ''),
  'header-not-allowed': text('Invalid header', ''),
  'destination-invalid': text(
    'Invalid destination',
    'Destinations start with /topic/, /queue/, /amq/queue/, /exchange/, /temp-queue/, /temp-topic/, /reply-queue/ or /user/.',
  ),
  'subscription-exists': text(
    'Duplicated subscription identifier',
    'Within a connection every subscription has an id of its own.',
  ),
  'subscription-unknown': text('No subscription found', 'Subscriptions are known by the id given in SUBSCRIBE.'),
  'selector-invalid': text(
    'Invalid selector',
    "A selector compares headers as SQL-92 does, as in: price > 10 AND region IN ('north', 'south').",
  ),
  'ack-unknown': text('Invalid header', 'A message is settled once, by the connection that received it.'),
  'transaction-exists': text('Bad transaction', 'Within a connection every open transaction has an id of its own.'),
  'transaction-unknown': text('Bad transaction', 'A transaction is open from BEGIN to COMMIT or ABORT.'),
  'session-limit-exceeded': text('Limit exceeded', ''),
  'internal-error': brokerText('internal_error', 'The fault is on our side; the log of the broker says more.'),
} as const satisfies Record<string, ErrorText>;

/** What the core refuses, whatever the protocol. */
const BROKER_ERRORS = {
  'not-found': brokerText('not_found', ''),
  'access-refused': brokerText('access_refused', ''),
  'precondition-failed': brokerText('precondition_failed', ''),
  'resource-locked': brokerText('resource_locked', ''),
  'quota-exceeded': brokerText('resource_error', ''),
  'invalid-argument': brokerText('precondition_failed', ''),
  'shutting-down': brokerText('connection_forced', 'Connect again in a moment.'),
} as const satisfies Record<BrokerErrorCode, ErrorText>;

export const ERROR_TEXTS = { ...FRAME_ERRORS, ...SESSION_ERRORS, ...BROKER_ERRORS } as const;

export type StompErrorCode = keyof typeof FRAME_ERRORS | keyof typeof SESSION_ERRORS;

/** The error to throw; `detail` names the thing, the limit and the setting that changes it. STOMP has no reason numbers. */
export function stompError(code: StompErrorCode, detail: string): ProtocolError {
  return new ProtocolError(code, 0, detail);
}

/** The texts for a ProtocolError's or BrokerError's code; null for a code that is not meant for a peer. */
export function errorText(code: string): ErrorText | null {
  return Object.hasOwn(ERROR_TEXTS, code) ? ERROR_TEXTS[code as keyof typeof ERROR_TEXTS] : null;
}

/**
 * The ERROR frame for an error. receiptId is the receipt header of the frame at fault, or null: STOMP 1.2 "ERROR" wants it
 * back as receipt-id. An error that is not meant for the peer is told as internal_error, without its message.
 */
export function errorFrame(
  error: { readonly code: string; readonly message: string },
  receiptId: string | null,
): Frame {
  const known = errorText(error.code);
  const { message, word, help } = known ?? ERROR_TEXTS['internal-error'];
  const headers = ['message', message, 'content-type', 'text/plain;charset=utf-8'];
  // STOMP 1.2 "Protocol Negotiation": the ERROR for no common version lists the supported ones.
  if (error.code === 'version-unsupported') headers.push('version', '1.0,1.1,1.2');
  // [STOMP-R-6]
  if (receiptId !== null) headers.push('receipt-id', receiptId);
  const lines = [known === null ? word : word === '' ? error.message : `${word} - ${error.message}`];
  if (help !== '') lines.push(help);
  return new Frame('ERROR', headers, `${lines.join('\n')}\n`);
}

/** Foreign bytes as they may stand in a message or a log line: at most 32 of them, quoted, what is not printable ASCII as a dot. */
export function quoted(bytes: Uint8Array, start: number, end: number): string {
  const shown = Math.min(end, start + 32);
  let line = '"';
  for (let i = start; i < shown; i++) {
    const byte = bytes[i]!;
    line += byte >= 0x20 && byte < 0x7f && byte !== 0x22 ? String.fromCharCode(byte) : '.';
  }
  return end > shown ? `${line}…"` : `${line}"`;
}
