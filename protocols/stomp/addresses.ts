// What STOMP destinations mean to the core, and how addresses of the core are shown to STOMP clients. Used where nothing is cached yet.
//
//   /topic/a.b.c                exchange amq.topic, key of the levels a, b, c. With a '/' after /topic/ the levels are separated by '/' instead: /topic/a/b.c
//                               has the levels a and b.c; a subscription made so gets its messages' destinations so (`slashes`).
//   /queue/<queue>              the queue, through the default exchange; declared on first use
//   /amq/queue/<queue>          the queue, which must exist
//   /exchange/<exchange>[/<key>]    the exchange, with the key's levels as after /topic/; without a key, the empty one
//   /temp-queue/<n>, /temp-topic/<n>    the connection's own, by a name it made up
//   /reply-queue/<queue>        the queue, which somebody else's reply-to named
//
// Subscriptions: the level * is one level of any kind, # (and > where the dialect says so) zero or more, anywhere.
//
// Percent-encoding, undone once on input for any character but U+0000: in the levels of a key '.' (while '.' separates, or when there is but one level), '/',
// '%', '*' and '#' are written %XX, and a level that is nothing but '>'; in the name of an exchange '/' and '%'; in the name of a queue '%' alone, since it goes
// to the end. Control characters and spaces at the end are encoded everywhere: STOMP 1.0 has no escapes, and its clients trim. On input a '%' that starts no
// escape stands for itself.
import { type Address, DEFAULT_EXCHANGE, TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { BrokerError } from '../../src/core/errors.ts';
import {
  levelFromPath,
  percentDecode,
  RoutingKey,
  separatedToPath,
  separatedToPattern,
} from '../../src/core/routing-key.ts';
import { hasNul, percentEncode, quoted } from '../../src/lib/percent.ts';

export interface StompDialect {
  /** ActiveMQ's: '>' stands for zero or more levels, and a comma stands between several destinations. */
  readonly activemq: boolean;
  /** Levels a key may have. */
  readonly levelsMax: number;
}

/** The connection's own, known by a name that the client made up. */
export interface TempAddress {
  readonly kind: 'temp-queue' | 'temp-topic';
  readonly name: string;
}

/** Where a SEND goes, when not to a temporary one. */
export interface SendAddress extends Address {
  readonly kind: 'topic' | 'queue' | 'reply-queue' | 'exchange';
  /** Of a queue, whose name is the key's path: it is declared when it does not exist. False for the others. */
  readonly declare: boolean;
  /** The key was written with '/' between its levels. */
  readonly slashes: boolean;
}

/** Where a subscription takes its messages from, when not from a temporary one. */
export type SubscribeAddress =
  | {
      readonly kind: 'binding';
      readonly exchange: string;
      /** In path notation. */
      readonly pattern: string;
      /** Written with '/' between the levels: for addressToDestination(). */
      readonly slashes: boolean;
    }
  | {
      readonly kind: 'queue' | 'reply-queue';
      readonly queue: string;
      /** It is declared when it does not exist. */
      readonly declare: boolean;
    };

const IN_NAME_TO_END = /%/g;
const IN_EXCHANGE = /[/%]/g;
const IN_DOTTED_LEVEL = /[./%*#]/g;
const IN_SLASHED_LEVEL = /[/%*#]/g;
const ANYWHERE = /\p{Cc}| +$/gu;

/** Spring's /user/queue/errors is the topic user/queue/errors: nothing is put in for the user. */
const USER = 'user/';

const FORMS =
  '/topic/<key>, /queue/<queue>, /amq/queue/<queue>, /exchange/<exchange>/<key>, /temp-queue/<name>, /temp-topic/<name>, /reply-queue/<queue> or /user/<key>';

/** Throws BrokerError: 'invalid-argument' for what is no address, 'access-refused' for what is one that no client can send to. */
export function destinationToAddress(destination: string, dialect: StompDialect): SendAddress | TempAddress {
  const { prefix, rest } = split(destination);
  switch (prefix) {
    case '/topic/':
      return keyAddress(destination, TOPIC_EXCHANGE, rest, dialect);
    case '/exchange/': {
      const { exchange, key } = exchangeOf(destination, rest);
      return keyAddress(destination, exchange, key, dialect);
    }
    case '/queue/':
      return queueAddress('queue', rest, true);
    case '/amq/queue/':
      return queueAddress('queue', rest, false);
    case '/reply-queue/':
      return queueAddress('reply-queue', rest, false);
    case '/temp-queue/':
      return { kind: 'temp-queue', name: percentDecode(rest) };
    case '/temp-topic/':
      return { kind: 'temp-topic', name: percentDecode(rest) };
    case '/user/':
      return keyAddress(destination, TOPIC_EXCHANGE, USER + rest, dialect);
  }
}

/** Destinations in one. */
export const COMPOSITE_MAX = 32;

/** The parts of a composite destination, null for a plain one. A part that does not say what it is, is what the first one is. */
export function compositeParts(destination: string, dialect: StompDialect): readonly string[] | null {
  if (!dialect.activemq || !destination.includes(',')) return null;
  const parts = destination.split(',');
  if (parts.length > COMPOSITE_MAX) {
    throw invalid(destination, `it has ${parts.length} parts and the limit is ${COMPOSITE_MAX}`);
  }
  const { prefix } = split(parts[0]!);
  return parts.map((part) => (part.startsWith('/') ? part : prefix + part));
}

/** As destinationToAddress, for SUBSCRIBE. */
export function subscriptionToAddress(destination: string, dialect: StompDialect): SubscribeAddress | TempAddress {
  const { prefix, rest } = split(destination);
  switch (prefix) {
    case '/topic/':
      return patternAddress(destination, TOPIC_EXCHANGE, rest, dialect);
    case '/exchange/': {
      const { exchange, key } = exchangeOf(destination, rest);
      return patternAddress(destination, exchange, key, dialect);
    }
    case '/queue/':
      return { kind: 'queue', queue: percentDecode(rest), declare: true };
    case '/amq/queue/':
      return { kind: 'queue', queue: percentDecode(rest), declare: false };
    case '/reply-queue/':
      return { kind: 'reply-queue', queue: percentDecode(rest), declare: false };
    case '/temp-queue/':
      return { kind: 'temp-queue', name: percentDecode(rest) };
    case '/temp-topic/':
      return { kind: 'temp-topic', name: percentDecode(rest) };
    case '/user/':
      return patternAddress(destination, TOPIC_EXCHANGE, USER + rest, dialect);
  }
}

/** The destination that a STOMP client is shown. `slashes`: with '/' between the levels of a key. */
export function addressToDestination(address: Address, slashes: boolean): string {
  const { exchange, key } = address;
  if (exchange === DEFAULT_EXCHANGE) return finished(`/queue/${percentEncode(key.path, IN_NAME_TO_END)}`);
  return finished(destinationText(exchange, key.path, slashes, false));
}

/** As addressToDestination, for somebody to send an answer to: a queue is one that exists, whoever may declare it. */
export function addressToReplyDestination(address: Address): string {
  if (address.exchange !== DEFAULT_EXCHANGE) return addressToDestination(address, false);
  return finished(`/reply-queue/${percentEncode(address.key.path, IN_NAME_TO_END)}`);
}

/** The destination that stands for a pattern of an exchange, the reverse of subscriptionToAddress for bindings. */
export function patternToDestination(exchange: string, pattern: string, slashes: boolean): string {
  return finished(destinationText(exchange, pattern, slashes, true));
}

const PREFIXES = [
  '/topic/',
  '/queue/',
  '/amq/queue/',
  '/exchange/',
  '/temp-queue/',
  '/temp-topic/',
  '/reply-queue/',
  '/user/',
] as const;

function split(destination: string): { prefix: (typeof PREFIXES)[number]; rest: string } {
  if (hasNul(destination)) throw invalid(destination, 'U+0000 is allowed nowhere');
  for (const prefix of PREFIXES) {
    if (!destination.startsWith(prefix)) continue;
    const rest = destination.slice(prefix.length);
    if (rest === '') throw invalid(destination, `${prefix} is to be followed by a name`);
    return { prefix, rest };
  }
  throw invalid(destination, `a destination is ${FORMS}`);
}

function exchangeOf(destination: string, rest: string): { exchange: string; key: string } {
  const slash = rest.indexOf('/');
  const exchange = percentDecode(slash < 0 ? rest : rest.slice(0, slash));
  if (exchange === '') throw invalid(destination, 'it names no exchange; a queue is reached as /queue/<queue>');
  return { exchange, key: slash < 0 ? '' : rest.slice(slash + 1) };
}

function queueAddress(kind: 'queue' | 'reply-queue', written: string, declare: boolean): SendAddress {
  return { kind, exchange: DEFAULT_EXCHANGE, key: new RoutingKey(percentDecode(written)), declare, slashes: false };
}

function keyAddress(destination: string, exchange: string, key: string, dialect: StompDialect): SendAddress {
  const slashes = key.includes('/');
  const separator = slashes ? '/' : '.';
  checkLevels(destination, key, separator, dialect);
  for (const level of key.split(separator)) {
    if (level === '*' || level === '#' || (level === '>' && dialect.activemq)) {
      const encoded = percentEncode(level, /./g);
      throw invalid(destination, `a message goes to one key; a level that is "${level}" itself is written ${encoded}`);
    }
  }
  const path = separatedToPath(key, separator);
  if (exchange === TOPIC_EXCHANGE && (path === '$SYS' || path.startsWith('$SYS/'))) {
    throw new BrokerError(
      'access-refused',
      `${quoted(destination)} can not be sent to: topics under $SYS are published by the broker`,
    );
  }
  const kind = exchange === TOPIC_EXCHANGE ? 'topic' : 'exchange';
  return { kind, exchange, key: new RoutingKey(path), declare: false, slashes };
}

function patternAddress(destination: string, exchange: string, key: string, dialect: StompDialect): SubscribeAddress {
  const slashes = key.includes('/');
  const separator = slashes ? '/' : '.';
  checkLevels(destination, key, separator, dialect);
  return { kind: 'binding', exchange, pattern: separatedToPattern(key, separator, dialect.activemq), slashes };
}

function checkLevels(destination: string, key: string, separator: string, dialect: StompDialect): void {
  let levels = 1;
  for (let at = key.indexOf(separator); at >= 0; at = key.indexOf(separator, at + 1)) levels++;
  if (levels > dialect.levelsMax) {
    throw invalid(destination, `its key has ${levels} levels and the limit is ${dialect.levelsMax}`);
  }
}

function destinationText(exchange: string, path: string, slashes: boolean, wildcards: boolean): string {
  // /topic/ alone says nothing, so the empty key is reached through its exchange.
  if (path === '') return `/exchange/${percentEncode(exchange, IN_EXCHANGE)}`;
  const levels = path.split('/');
  const characters = slashes && levels.length > 1 ? IN_SLASHED_LEVEL : IN_DOTTED_LEVEL;
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!;
    if (wildcards && level === '#') continue;
    if (wildcards && level === '+') levels[i] = '*';
    else levels[i] = level === '>' ? '%3E' : percentEncode(levelFromPath(level), characters);
  }
  const key = levels.join(slashes ? '/' : '.');
  return exchange === TOPIC_EXCHANGE ? `/topic/${key}` : `/exchange/${percentEncode(exchange, IN_EXCHANGE)}/${key}`;
}

/** What no STOMP version carries safely in any place. */
function finished(destination: string): string {
  return percentEncode(destination, ANYWHERE);
}

function invalid(destination: string, why: string): BrokerError {
  return new BrokerError('invalid-argument', `invalid destination ${quoted(destination)}: ${why}`);
}
