// Every statement of STOMP 1.0, 1.1 and 1.2 about what is on the wire, in a few words of our own. The specifications do not count theirs, so the numbers are ours: a letter for the section and a number.
import type { Binds } from './statements.ts';

export interface StompStatement {
  /** STOMP-F-1: without brackets. */
  readonly id: string;
  /** The versions that say it: '012' for 1.0, 1.1 and 1.2. */
  readonly versions: string;
  readonly binds: Binds;
  readonly about: string;
}

function section(
  letter: string,
  rows: readonly (readonly [versions: string, binds: Binds, about: string])[],
): StompStatement[] {
  return rows.map(([versions, binds, about], i) => ({ id: `STOMP-${letter}-${i + 1}`, versions, binds, about }));
}

const S = 'server';
const B = 'both';

export const STOMP: readonly (readonly [title: string, statements: readonly StompStatement[]])[] = [
  [
    'Frames',
    section('F', [
      ['012', B, 'a frame is a command, header lines, an empty line, the body and NUL'],
      ['012', S, 'commands and header names are told apart by case'],
      ['01', B, 'lines end in LF'],
      ['2', B, 'lines end in LF or CR LF'],
      ['012', S, 'any number of line ends may stand behind a frame'],
      ['12', B, 'command and headers are UTF-8'],
      ['2', B, '\\r, \\n, \\c and \\\\ in headers stand for CR, LF, colon and backslash'],
      ['1', B, '\\n, \\c and \\\\ in headers stand for LF, colon and backslash'],
      ['12', S, 'any other escape sequence is a fatal protocol error'],
      ['12', B, 'headers of CONNECT and CONNECTED are not escaped'],
      ['0', B, 'there are no escapes: a backslash is a backslash'],
      ['12', B, 'spaces around names and values belong to them'],
      ['0', B, 'spaces around names and values do not belong to them'],
      ['012', B, 'with content-length so many octets are the body, NULs among them'],
      ['012', B, 'without content-length the body ends at the first NUL'],
      ['012', S, 'a body that content-length does not fit ends the connection'],
      ['12', B, 'only SEND, MESSAGE and ERROR may have a body'],
      ['12', B, 'of a repeated header the first counts'],
      ['012', S, 'the number of headers, their length and that of the body may be limited: ERROR, then the end'],
      ['12', S, 'a frame of the server with a body has content-length'],
      ['012', S, 'a command that is not known is an error'],
      ['012', S, 'headers that mean nothing to the server are no error'],
    ]),
  ],
  [
    'Connecting',
    section('C', [
      ['012', S, 'CONNECT is answered with CONNECTED'],
      ['12', S, 'STOMP is taken as CONNECT is'],
      ['12', S, 'the highest version of accept-version that both know is spoken'],
      ['012', S, 'without accept-version 1.0 is spoken'],
      ['12', S, 'no common version: ERROR that lists those there are, then the end'],
      ['12', S, 'CONNECTED says the version'],
      ['12', S, 'host chooses the virtual host'],
      ['012', S, 'login and passcode are checked: a client that is refused gets ERROR, then the end'],
      ['012', S, 'CONNECTED has a session, its own for every connection'],
      ['12', S, 'CONNECTED names the server and its version'],
      ['012', S, 'what comes before CONNECT is an error'],
      ['012', S, 'a second CONNECT is an error'],
    ]),
  ],
  [
    'Heart-beats',
    section('H', [
      ['12', S, 'without the header heart-beat there are none'],
      ['12', S, '0 on one side: none in that direction'],
      ['12', S, 'the server sends something at least every max(what it can, what the client wants)'],
      ['12', S, 'a client that is silent for longer than agreed, with tolerance, is cut off'],
      ['12', S, 'anything received counts as a heart-beat'],
      ['12', S, 'a heart-beat header that is not two numbers is an error'],
      ['12', S, 'a heart-beat is a line end'],
    ]),
  ],
  [
    'Receipts and errors',
    section('R', [
      ['012', S, 'any frame of the client but CONNECT may ask for a receipt'],
      ['012', S, 'RECEIPT has receipt-id, the value of receipt'],
      ['012', S, 'a receipt says that everything before its frame has been dealt with'],
      ['012', S, 'ERROR has message and, in the body, what was wrong'],
      ['012', S, 'after ERROR the connection is closed'],
      ['012', S, 'ERROR for a frame with a receipt has receipt-id'],
    ]),
  ],
  [
    'Sending',
    section('S', [
      ['012', S, 'SEND needs a destination'],
      ['012', S, 'headers of SEND go into its MESSAGE'],
      ['012', S, 'content-type goes into the MESSAGE'],
      ['012', S, 'SEND that is refused: ERROR, then the end'],
      ['012', S, 'SEND with transaction takes effect with COMMIT'],
    ]),
  ],
  [
    'Subscribing',
    section('U', [
      ['012', S, 'SUBSCRIBE needs a destination'],
      ['12', S, 'SUBSCRIBE needs an id'],
      ['0', S, 'SUBSCRIBE may do without an id'],
      ['12', S, 'an id that is taken on the connection is an error'],
      ['12', S, 'subscriptions of one connection to one destination each get their messages'],
      ['012', S, 'ack is auto where nothing is said: what is sent counts as received'],
      ['012', S, 'ack:client: not acknowledged is not received, and ACK covers everything before it'],
      ['12', S, 'ack:client-individual: ACK covers one message'],
      ['012', S, 'what was not acknowledged when the connection ends goes to others'],
      ['012', S, 'any other ack mode is an error'],
      ['12', S, 'UNSUBSCRIBE needs the id of its SUBSCRIBE'],
      ['0', S, 'UNSUBSCRIBE may name the destination instead of an id'],
      ['012', S, 'after UNSUBSCRIBE nothing comes any more'],
      ['012', S, 'UNSUBSCRIBE of what was not subscribed to is an error'],
    ]),
  ],
  [
    'Acknowledging',
    section('A', [
      ['2', S, 'ACK and NACK name the ack header of the MESSAGE by id'],
      ['1', S, 'ACK and NACK name message-id and subscription'],
      ['0', S, 'ACK names message-id'],
      ['12', S, 'NACK says that a message was not consumed'],
      ['12', S, 'NACK on ack:client covers everything before it'],
      ['012', S, 'ACK may be part of a transaction'],
      ['12', S, 'NACK may be part of a transaction'],
      ['012', S, 'ACK of what was not delivered is an error'],
    ]),
  ],
  [
    'Transactions',
    section('T', [
      ['012', S, 'BEGIN, COMMIT and ABORT need a transaction'],
      ['012', S, 'a transaction that is open cannot be begun again'],
      ['012', S, 'COMMIT does everything of its transaction'],
      ['012', S, 'ABORT does nothing of it'],
      ['012', S, 'a transaction that is open when the connection ends is aborted'],
      ['012', S, 'a transaction that is not open is an error'],
      ['012', S, 'several transactions may be open'],
    ]),
  ],
  [
    'Leaving',
    section('D', [
      ['012', S, 'DISCONNECT ends the connection'],
      ['012', S, 'DISCONNECT with a receipt is answered before the end'],
      ['012', S, 'what comes after DISCONNECT is not looked at'],
    ]),
  ],
  [
    'Messages',
    section('M', [
      ['012', S, 'MESSAGE has destination and message-id'],
      ['12', S, 'MESSAGE has subscription, the id of its SUBSCRIBE'],
      ['012', S, 'message-id is unique on the connection'],
      ['2', S, 'MESSAGE has ack where it has to be acknowledged, and only there'],
      ['012', S, 'the body arrives as it was sent'],
    ]),
  ],
];
