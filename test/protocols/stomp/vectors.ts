// Bytes on the wire and what they mean, or how they are refused, by version. Read by the scanner's tests and as seeds by the fuzzer.
// In the strings ^ stands for NUL.
import { Version } from '../../../protocols/stomp/frame.ts';

const { V1_0, V1_1, V1_2 } = Version;
const ALL: readonly Version[] = [V1_0, V1_1, V1_2];
const NEWER: readonly Version[] = [V1_1, V1_2];

export interface ExpectedFrame {
  readonly command: string;
  readonly headers: readonly string[];
  readonly body: Uint8Array;
}

export interface Vector {
  readonly title: string;
  readonly version: Version;
  readonly bytes: Uint8Array;
  /** Frames found before the end or the fault. */
  readonly frames: readonly ExpectedFrame[];
  /** Code of the ProtocolError, null when the input is valid. */
  readonly code: string | null;
}

type Bytes = string | Uint8Array;

function bytesOf(parts: Bytes | readonly Bytes[]): Uint8Array {
  const list = Array.isArray(parts) ? parts : [parts];
  return Buffer.concat(
    list.map((part: Bytes) => (typeof part === 'string' ? Buffer.from(part.replaceAll('^', '\0')) : part)),
  );
}

function frame(command: string, headers: readonly string[] = [], body: Bytes = ''): ExpectedFrame {
  return { command, headers, body: bytesOf(body) };
}

const vectors: Vector[] = [];

function valid(
  versions: readonly Version[],
  title: string,
  bytes: Bytes | readonly Bytes[],
  ...frames: ExpectedFrame[]
): void {
  for (const version of versions) vectors.push({ title, version, bytes: bytesOf(bytes), frames, code: null });
}

function malformed(
  versions: readonly Version[],
  title: string,
  bytes: Bytes | readonly Bytes[],
  code: string,
  ...frames: ExpectedFrame[]
): void {
  for (const version of versions) vectors.push({ title, version, bytes: bytesOf(bytes), frames, code });
}

const octets = (...values: number[]) => Uint8Array.from(values);
const everyOctet = Uint8Array.from({ length: 256 }, (_, i) => i);
const send = (body: Bytes = '', ...headers: string[]) => frame('SEND', ['destination', '/queue/a', ...headers], body);
const SEND = 'SEND\ndestination:/queue/a\n';

// Frames and their parts.

valid(ALL, 'CONNECT without headers', 'CONNECT\n\n^', frame('CONNECT'));
valid(
  ALL,
  'CONNECT of a 1.2 client',
  'CONNECT\naccept-version:1.0,1.1,1.2\nhost:stomp.example\nlogin:ann\npasscode:secret\nheart-beat:10000,10000\n\n^',
  frame('CONNECT', [
    'accept-version',
    '1.0,1.1,1.2',
    'host',
    'stomp.example',
    'login',
    'ann',
    'passcode',
    'secret',
    'heart-beat',
    '10000,10000',
  ]),
);
valid(ALL, 'STOMP in place of CONNECT', 'STOMP\naccept-version:1.2\nhost:/\n\n^', {
  ...frame('STOMP', ['accept-version', '1.2', 'host', '/']),
});
valid(ALL, 'SEND with a body up to NUL', `${SEND}\nhello^`, send('hello'));
valid(ALL, 'SEND without a body', `${SEND}\n^`, send());
valid(ALL, 'SEND without headers, which the session refuses, not the scanner', 'SEND\n\nx^', frame('SEND', [], 'x'));
for (const [command, headers] of [
  ['SUBSCRIBE', ['id', '0', 'destination', '/topic/a', 'ack', 'client-individual']],
  ['UNSUBSCRIBE', ['id', '0']],
  ['ACK', ['id', '12345', 'transaction', 'tx1']],
  ['NACK', ['id', '12345', 'requeue', 'false']],
  ['BEGIN', ['transaction', 'tx1']],
  ['COMMIT', ['transaction', 'tx1', 'receipt', 'r-1']],
  ['ABORT', ['transaction', 'tx1']],
  ['DISCONNECT', ['receipt', '77']],
  ['CONNECTED', ['version', '1.2', 'session', 's1', 'server', 'sluice/1']],
  ['RECEIPT', ['receipt-id', '77']],
] as const) {
  const lines = headers.map((entry, i) => (i % 2 === 0 ? `${entry}:` : `${entry}\n`)).join('');
  valid(ALL, `${command} with its headers`, `${command}\n${lines}\n^`, frame(command, headers));
}
valid(
  ALL,
  'MESSAGE as a server sends it',
  'MESSAGE\nsubscription:0\nmessage-id:7\ndestination:/queue/a\ncontent-length:3\n\nabc^\n',
  frame('MESSAGE', ['subscription', '0', 'message-id', '7', 'destination', '/queue/a', 'content-length', '3'], 'abc'),
);
valid(
  ALL,
  'ERROR with a body',
  'ERROR\nmessage:malformed\n\nwhy: a line\n^',
  frame('ERROR', ['message', 'malformed'], 'why: a line\n'),
);

// Bodies.

valid(
  ALL,
  'a body counted by content-length',
  `${SEND}content-length:5\n\nhello^`,
  send('hello', 'content-length', '5'),
);
valid(ALL, 'content-length of zero', `${SEND}content-length:0\n\n^`, send('', 'content-length', '0'));
valid(ALL, 'a counted body with NULs', `${SEND}content-length:5\n\na^b^^^`, send('a^b^^', 'content-length', '5'));
valid(ALL, 'a counted body that looks like a frame', `${SEND}content-length:13\n\n^SEND\na:b\n\nx^^`, {
  ...send('^SEND\na:b\n\nx^', 'content-length', '13'),
});
valid(ALL, 'a counted body of every octet', [`${SEND}content-length:256\n\n`, everyOctet, '^'], {
  ...send(everyOctet, 'content-length', '256'),
});
valid(ALL, 'a counted body that ends in line ends', `${SEND}content-length:3\n\na\r\n^\n`, {
  ...send('a\r\n', 'content-length', '3'),
});
valid(ALL, 'content-length with leading zeros', `${SEND}content-length:0005\n\nhello^`, {
  ...send('hello', 'content-length', '0005'),
});
valid(ALL, 'a body that starts with a line end', `${SEND}\n\nx^`, send('\nx'));
valid(ALL, 'a body that is not UTF-8', [`${SEND}\n`, octets(0xff, 0xfe, 0x80), '^'], send(octets(0xff, 0xfe, 0x80)));
valid(ALL, 'a body up to NUL that is longer than a short one', `${SEND}\n${'x'.repeat(700)}^`, send('x'.repeat(700)));
valid(ALL, 'a body with the CRs it was sent with', `${SEND}\na\r\nb\r^`, send('a\r\nb\r'));
valid(
  ALL,
  'the first of two content-lengths counts',
  `${SEND}content-length:2\ncontent-length:1\n\nab^`,
  send('ab', 'content-length', '2', 'content-length', '1'),
);
valid(ALL, 'line ends for a body where none is allowed', 'BEGIN\ntransaction:1\n\n\n\r\n^', {
  ...frame('BEGIN', ['transaction', '1']),
});
valid(ALL, 'CONNECT with a line end for a body', 'CONNECT\naccept-version:1.1\n\n\n^', {
  ...frame('CONNECT', ['accept-version', '1.1']),
});
valid([V1_0], 'a body of SUBSCRIBE is left to be ignored', 'SUBSCRIBE\ndestination:/queue/a\n\nbody^', {
  ...frame('SUBSCRIBE', ['destination', '/queue/a'], 'body'),
});
valid([V1_0], 'a body of CONNECT without accept-version is left to be ignored', 'CONNECT\n\nbody^', {
  ...frame('CONNECT', [], 'body'),
});

// Line ends, and what lies between frames.

valid(ALL, 'CR LF at every line end', 'SEND\r\ndestination:/queue/a\r\nx:y\r\n\r\nbody^\r\n', send('body', 'x', 'y'));
valid(ALL, 'CR LF at some line ends', 'SEND\ndestination:/queue/a\r\nx:y\n\r\nbody^', send('body', 'x', 'y'));
valid(ALL, 'an empty value before CR LF', 'SEND\r\ndestination:/queue/a\r\nx:\r\n\r\n^', send('', 'x', ''));
valid(ALL, 'nothing but heart-beats', '\n\n\r\n\n');
valid(ALL, 'line ends before the first frame', `\n\r\n\n${SEND}\nx^`, send('x'));
valid(ALL, 'line ends after a frame', `${SEND}\nx^\n\n\r\n\n`, send('x'));
valid(ALL, 'line ends between frames', `${SEND}\nx^\n\r\n\n${SEND}\ny^\n`, send('x'), send('y'));
valid(ALL, 'three frames in a row', `${SEND}\nx^${SEND}\ny^${SEND}\nz^`, send('x'), send('y'), send('z'));
valid(
  ALL,
  'the same frame many times',
  `${SEND}content-length:1\n\nx^`.repeat(9),
  {
    ...send('x', 'content-length', '1'),
  },
  ...Array.from({ length: 8 }, () => send('x', 'content-length', '1')),
);
valid(
  ALL,
  'frames that differ in their last header only',
  `${SEND}receipt:1\n\na^${SEND}receipt:2\n\nb^${SEND}receipt:33\n\nc^${SEND}receipt:3\n\nd^`,
  send('a', 'receipt', '1'),
  send('b', 'receipt', '2'),
  send('c', 'receipt', '33'),
  send('d', 'receipt', '3'),
);
valid(
  ALL,
  'content-lengths that change there and back',
  `${SEND}content-length:1\n\na^${SEND}content-length:2\n\nbb^${SEND}content-length:1\n\nc^${SEND}content-length:1\n\nd^`,
  send('a', 'content-length', '1'),
  send('bb', 'content-length', '2'),
  send('c', 'content-length', '1'),
  send('d', 'content-length', '1'),
);
valid(
  ALL,
  'frames that differ in a header in the middle',
  `${SEND}n:1\ncontent-length:1\n\na^${SEND}n:2\ncontent-length:1\n\nb^${SEND}n:22\ncontent-length:2\n\ncc^`,
  send('a', 'n', '1', 'content-length', '1'),
  send('b', 'n', '2', 'content-length', '1'),
  send('cc', 'n', '22', 'content-length', '2'),
);
valid(
  ALL,
  'a frame that has one header more, and one less, than the one before',
  `${SEND}\na^${SEND}x:y\n\nb^${SEND}\nc^SEND\n\nd^${SEND}\ne^`,
  send('a'),
  send('b', 'x', 'y'),
  send('c'),
  frame('SEND', [], 'd'),
  send('e'),
);
valid(
  ALL,
  'a known header that is gone in the next frame, whose body has another length',
  `${SEND}content-length:1\npersistent:true\n\nx^${SEND}content-length:11\n\n${'y'.repeat(11)}^${SEND}\nz^`,
  send('x', 'content-length', '1', 'persistent', 'true'),
  send('y'.repeat(11), 'content-length', '11'),
  send('z'),
);
valid(
  ALL,
  'another command with the same headers',
  'ACK\nid:1\n\n^NACK\nid:1\n\n^ACK\nid:1\n\n^',
  frame('ACK', ['id', '1']),
  frame('NACK', ['id', '1']),
  frame('ACK', ['id', '1']),
);
valid(
  ALL,
  'a whole conversation',
  'CONNECT\n\n^\nSUBSCRIBE\nid:1\n\n^\n\nDISCONNECT\n\n^',
  {
    ...frame('CONNECT'),
  },
  frame('SUBSCRIBE', ['id', '1']),
  frame('DISCONNECT'),
);

// Headers.

valid(
  ALL,
  'repeated headers are all kept, in order',
  `${SEND}foo:World\nfoo:Hello\n\n^`,
  send('', 'foo', 'World', 'foo', 'Hello'),
);
valid(ALL, 'an empty value', `${SEND}x:\n\n^`, send('', 'x', ''));
valid(ALL, 'a colon in a value that is not escaped', `${SEND}time:12:30:00\n\n^`, send('', 'time', '12:30:00'));
valid(ALL, 'a name of one letter', `${SEND}x:1\n\n^`, send('', 'x', '1'));
valid(ALL, 'a name with spaces in it', `${SEND}two words:1\n\n^`, send('', 'two words', '1'));
valid(ALL, 'names differ by case', `${SEND}Receipt:1\n\n^`, send('', 'Receipt', '1'));
valid(ALL, 'control characters in a value', `${SEND}x:\t\u0001\u007f!\n\n^`, send('', 'x', '\t\u0001\u007f!'));
valid(ALL, 'UTF-8 of two, three and four bytes', `${SEND}größe:€ 𝄞\n\n^`, send('', 'größe', '€ 𝄞'));
valid(
  ALL,
  'a byte order mark is a character like others',
  `${SEND}\ufeffx:\ufeffy\n\n^`,
  send('', '\ufeffx', '\ufeffy'),
);
valid(
  ALL,
  'the last code point and a noncharacter',
  `${SEND}x:\u{10ffff}\uffff\n\n^`,
  send('', 'x', '\u{10ffff}\uffff'),
);
valid(
  ALL,
  'more headers than there is room for at first',
  `SEND\n${Array.from({ length: 50 }, (_, i) => `h${i}:v${i}\n`).join('')}\n^`,
  frame('SEND', Array.from({ length: 50 }, (_, i) => [`h${i}`, `v${i}`]).flat()),
);
valid(ALL, 'a header as long as a long one', `${SEND}x:${'v'.repeat(5000)}\n\n^`, send('', 'x', 'v'.repeat(5000)));
valid([V1_0], 'spaces around values are padding', 'SEND\ndestination: /queue/a \nx:  \n\n^', send('', 'x', ''));
valid([V1_0], 'spaces around content-length are padding', `${SEND}content-length: 3 \n\na^b^`, {
  ...send('a^b', 'content-length', '3'),
});
valid([V1_0], 'spaces in CONNECT without accept-version are padding', 'CONNECT\nlogin: ann\npasscode:pw \n\n^', {
  ...frame('CONNECT', ['login', 'ann', 'passcode', 'pw']),
});
valid(
  [V1_0],
  'spaces in CONNECT with accept-version are part of the value',
  'CONNECT\nlogin: ann\naccept-version:1.1\n\n^',
  {
    ...frame('CONNECT', ['login', ' ann', 'accept-version', '1.1']),
  },
);
valid([V1_0], 'spaces in STOMP are part of the value', 'STOMP\nlogin: ann \n\n^', frame('STOMP', ['login', ' ann ']));
valid(NEWER, 'spaces are part of name and value', 'SEND\n x : y \n\n^', frame('SEND', [' x ', ' y ']));

// Escapes.

valid([V1_0], 'a backslash is a backslash', `${SEND}x\\n:\\c\\\\\\q\\\n\n^`, send('', 'x\\n', '\\c\\\\\\q\\'));
valid(NEWER, 'escapes in a value', `${SEND}x:a\\nb\\cc\\\\d\n\n^`, send('', 'x', 'a\nb:c\\d'));
valid(NEWER, 'escapes in a name', `${SEND}a\\cb\\n\\\\:v\n\n^`, send('', 'a:b\n\\', 'v'));
valid(NEWER, 'an escaped backslash before a letter', `${SEND}x:\\\\n\\\\c\\\\r\\\\\n\n^`, send('', 'x', '\\n\\c\\r\\'));
valid(NEWER, 'escapes beside UTF-8', `${SEND}ü\\c:\\nü\n\n^`, send('', 'ü:', '\nü'));
valid([V1_2], 'an escaped CR', `${SEND}x\\r:a\\r\\nb\n\n^`, send('', 'x\r', 'a\r\nb'));
valid(
  [V1_0, V1_1],
  'a CR that is not followed by LF stands for itself',
  `${SEND}x\ry:a\rb\n\n^`,
  send('', 'x\ry', 'a\rb'),
);
valid([V1_0, V1_1], 'only the last CR belongs to the line end', `${SEND}x:a\r\r\n\n^`, send('', 'x', 'a\r'));
for (const command of ['CONNECT', 'STOMP', 'CONNECTED']) {
  valid(NEWER, `${command} is never escaped`, `${command}\nlogin:a\\b\\n\npasscode:\\c:\\\n\n^`, {
    ...frame(command, ['login', 'a\\b\\n', 'passcode', '\\c:\\']),
  });
}
valid(NEWER, 'ERROR is escaped', 'ERROR\nmessage:a\\cb\n\n^', frame('ERROR', ['message', 'a:b']));
valid(
  NEWER,
  'the same bytes mean something else in a frame that is not escaped',
  'CONNECT\nx:\\c\n\n^SEND\nx:\\c\n\n^CONNECT\nx:\\c\n\n^',
  {
    ...frame('CONNECT', ['x', '\\c']),
  },
  frame('SEND', ['x', ':']),
  frame('CONNECT', ['x', '\\c']),
);

// Refused: commands.

malformed(ALL, 'an unknown command', 'HELLO\n\n^', 'command-unknown');
malformed(ALL, 'a command in small letters', 'send\n\n^', 'command-unknown');
malformed(ALL, 'a command with a space after it', 'SEND \n\n^', 'command-unknown');
malformed(ALL, 'a space before a command', ' SEND\n\n^', 'command-unknown');
malformed(ALL, 'the beginning of a command', 'SEN\n\n^', 'command-unknown');
malformed(ALL, 'a command with a letter too many', 'SENDS\n\n^', 'command-unknown');
malformed(ALL, 'a command with the length and first letter of another', 'SXND\n\n^', 'command-unknown');
malformed(ALL, 'a command that never ends', 'UNSUBSCRIBEUNSUBSCRIBE', 'command-unknown');
malformed(ALL, 'an HTTP request', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'command-unknown');
malformed(
  ALL,
  'an MQTT CONNECT',
  octets(0x10, 0x0c, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 0),
  'command-unknown',
);
malformed(ALL, 'a TLS hello', octets(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0), 'command-unknown');
malformed(ALL, 'a NUL where a command should be', '^', 'command-unknown');
malformed(ALL, 'two NULs after a frame', `${SEND}\nx^^`, 'command-unknown', send('x'));
malformed(ALL, 'a command followed by two CRs', 'SEND\r\r\n\n^', 'command-unknown');
malformed(ALL, 'a command ended by NUL', 'DISCONNECT^', 'command-unknown');
malformed(ALL, 'a byte order mark before a command', `\ufeff${SEND}\n^`, 'command-unknown');
malformed(ALL, 'an unknown command after a good frame', `${SEND}\nx^\nPUBLISH\n\n^`, 'command-unknown', send('x'));
malformed(ALL, 'a CR alone between frames', `${SEND}\nx^\n\rSEND\n\n^`, 'line-end-invalid', send('x'));
malformed(ALL, 'a CR alone at the start', '\r\r\n', 'line-end-invalid');

// Refused: headers.

malformed(ALL, 'a header without a colon', `${SEND}nonsense\n\n^`, 'header-malformed');
malformed(ALL, 'a header without a colon before CR LF', `${SEND}nonsense\r\n\r\n^`, 'header-malformed');
malformed(ALL, 'a header without a name', `${SEND}:value\n\n^`, 'header-malformed');
malformed(ALL, 'a colon alone', `${SEND}:\n\n^`, 'header-malformed');
malformed(ALL, 'a frame without the empty line', `${SEND}^${SEND}\nx^`, 'header-nul');
malformed(ALL, 'a NUL in a name', `${SEND}a^b:c\n\n^`, 'header-nul');
malformed(ALL, 'a NUL in a value', `${SEND}a:b^c\n\n^`, 'header-nul');
malformed(ALL, 'DISCONNECT without the empty line', 'DISCONNECT\nreceipt:77\n^', 'header-nul');
malformed(
  ALL,
  'a fault in a frame after good ones',
  `${SEND}\nx^${SEND}\ny^SEND\nbad\n\n^`,
  'header-malformed',
  send('x'),
  send('y'),
);
for (const [what, ...bad] of [
  ['a byte that UTF-8 does not have', 0xff],
  ['a lone continuation byte', 0x80],
  ['a sequence cut short', 0xe2, 0x82],
  ['an overlong slash', 0xc0, 0xaf],
  ['an overlong NUL', 0xc0, 0x80],
  ['half a surrogate pair', 0xed, 0xa0, 0x80],
  ['a code point over the last', 0xf4, 0x90, 0x80, 0x80],
  ['Latin-1', 0x67, 0x72, 0xfc, 0x6e],
] as const) {
  malformed(ALL, `${what} in a value`, [`${SEND}x:`, octets(...bad), '\n\n^'], 'header-not-utf8');
}
malformed(ALL, 'a name that is not UTF-8', [SEND, octets(0xc3), ':1\n\n^'], 'header-not-utf8');
malformed(ALL, 'a passcode that is not UTF-8', ['CONNECT\npasscode:', octets(0xe4), '\n\n^'], 'header-not-utf8');
malformed([V1_2], 'a CR inside a value', `${SEND}x:a\rb\n\n^`, 'line-end-invalid');
malformed([V1_2], 'a CR inside a name', `${SEND}x\ry:a\n\n^`, 'line-end-invalid');
malformed([V1_2], 'two CRs before LF', `${SEND}x:a\r\r\n\n^`, 'line-end-invalid');
for (const letter of ['t', '0', 'N', ':', 'a', ' ', 'x41', 'ü']) {
  malformed(NEWER, `the undefined escape \\${letter}`, `${SEND}x:a\\${letter}b\n\n^`, 'header-escape-invalid');
}
malformed([V1_1], 'the escape \\r, which 1.1 does not have', `${SEND}x:a\\rb\n\n^`, 'header-escape-invalid');
malformed(NEWER, 'a backslash at the end of a value', `${SEND}x:a\\\n\n^`, 'header-escape-invalid');
malformed(NEWER, 'a backslash at the end of a name', `${SEND}x\\:a\n\n^`, 'header-escape-invalid');
malformed(NEWER, 'three backslashes at the end of a value', `${SEND}x:\\\\\\\n\n^`, 'header-escape-invalid');
malformed(NEWER, 'an undefined escape in a header nobody asks for', 'ACK\nid:1\nx:\\t\n\n^', 'header-escape-invalid');
malformed(NEWER, 'an undefined escape before CR LF', `${SEND}x:a\\\r\n\r\n^`, 'header-escape-invalid');

// Refused: content-length and bodies.

for (const value of ['', '-1', '+5', '5x', 'x', '0x5', '1e1', '5.0', '5,5', '٣', '\\n']) {
  const versions = value === '\\n' ? [V1_0] : ALL;
  malformed(
    versions,
    `content-length of "${value}"`,
    `${SEND}content-length:${value}\n\nhello^`,
    'content-length-invalid',
  );
}
malformed(NEWER, 'content-length with a space', `${SEND}content-length: 5\n\nhello^`, 'content-length-invalid');
malformed([V1_0], 'content-length of two numbers', `${SEND}content-length:5 5\n\nhello^`, 'content-length-invalid');
malformed(ALL, 'content-length one too small', `${SEND}content-length:4\n\nhello^`, 'content-length-wrong');
malformed(ALL, 'content-length one too large', `${SEND}content-length:6\n\nhello^\n`, 'content-length-wrong');
malformed(ALL, 'content-length of zero before a body', `${SEND}content-length:0\n\nhello^`, 'content-length-wrong');
malformed(ALL, 'content-length that counts characters', `${SEND}content-length:4\n\ngrün^`, 'content-length-wrong');
malformed(ALL, 'content-length of gigabytes', `${SEND}content-length:99999999999\n\n`, 'body-too-large');
malformed(
  ALL,
  'content-length of a number without end',
  `${SEND}content-length:${'9'.repeat(400)}\n\n`,
  'body-too-large',
);
malformed(NEWER, 'a body of SUBSCRIBE', 'SUBSCRIBE\nid:1\n\nbody^', 'body-not-allowed');
malformed(NEWER, 'a body of ACK', 'ACK\nid:1\n\n ^', 'body-not-allowed');
malformed(NEWER, 'a counted body of BEGIN', 'BEGIN\ntransaction:1\ncontent-length:1\n\n^^', 'body-not-allowed');
malformed(NEWER, 'a body of RECEIPT', 'RECEIPT\nreceipt-id:1\n\nx^', 'body-not-allowed');
malformed(ALL, 'a body of CONNECT with accept-version', 'CONNECT\naccept-version:1.2\n\nbody^', 'body-not-allowed');
malformed(ALL, 'a body of STOMP', 'STOMP\n\nbody^', 'body-not-allowed');

export const VECTORS: readonly Vector[] = vectors;
