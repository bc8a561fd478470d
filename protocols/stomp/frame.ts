// A STOMP frame as an object, for everything that is not a hot path: CONNECTED, ERROR, tests, bridges. Also the tables every other file here speaks of:
// commands, versions, and which command may do what. SEND, MESSAGE, ACK and RECEIPT go through FrameScanner and the encoder's building blocks instead.

/** Commands by number; 0 is none. The numbers up to DISCONNECT are the client's. */
export const Command = {
  NONE: 0,
  CONNECT: 1,
  STOMP: 2,
  SEND: 3,
  SUBSCRIBE: 4,
  UNSUBSCRIBE: 5,
  ACK: 6,
  NACK: 7,
  BEGIN: 8,
  COMMIT: 9,
  ABORT: 10,
  DISCONNECT: 11,
  CONNECTED: 12,
  MESSAGE: 13,
  RECEIPT: 14,
  ERROR: 15,
} as const;

export type CommandName = Exclude<keyof typeof Command, 'NONE'>;

/** Names by number; [0] is empty. */
export const COMMAND_NAMES: readonly string[] = ['', ...Object.keys(Command).slice(1)];

/** Whether the command is one that clients send; the others are the server's. */
export function isClientCommand(command: number): boolean {
  return command >= Command.CONNECT && command <= Command.DISCONNECT;
}

/**
 * Whether the frame's headers are never escaped, in any version. STOMP 1.2 "Value Encoding" names CONNECT and CONNECTED;
 * STOMP is to be handled in the same manner as CONNECT (STOMP 1.2 "CONNECT or STOMP Frame").
 */
export function isNeverEscaped(command: number): boolean {
  return command === Command.CONNECT || command === Command.STOMP || command === Command.CONNECTED;
}

/** STOMP 1.2 "Body": only SEND, MESSAGE and ERROR may have one. */
export function mayHaveBody(command: number): boolean {
  return command === Command.SEND || command === Command.MESSAGE || command === Command.ERROR;
}

/** Protocol versions, ordered. Until one is negotiated a connection speaks 1.0. */
export const Version = {
  V1_0: 10,
  V1_1: 11,
  V1_2: 12,
} as const;

export type Version = (typeof Version)[keyof typeof Version];

/** As it stands in the accept-version and version headers. */
export function versionText(version: Version): string {
  return version === Version.V1_0 ? '1.0' : version === Version.V1_1 ? '1.1' : '1.2';
}

const EMPTY = new Uint8Array(0);

export class Frame {
  readonly command: CommandName;
  /** name, value, name, value, … in order, repeated entries kept. */
  readonly headers: string[];
  readonly body: Uint8Array;

  constructor(command: CommandName, headers: string[] = [], body: Uint8Array | string = EMPTY) {
    this.command = command;
    this.headers = headers;
    this.body = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  }

  /** The first value of `name`, or null. STOMP 1.2 "Repeated Header Entries". */
  header(name: string): string | null {
    for (let i = 0; i < this.headers.length; i += 2) {
      if (this.headers[i] === name) return this.headers[i + 1]!;
    }
    return null;
  }

  /** Appends an entry; it counts only if no earlier one has its name. */
  add(name: string, value: string): this {
    this.headers.push(name, value);
    return this;
  }

  /** The body as UTF-8 text; bytes that are none become U+FFFD. */
  text(): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.body);
  }
}
