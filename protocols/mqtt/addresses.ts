// What MQTT topics mean to the core, and how addresses of the core are shown to MQTT clients. Used where nothing is cached yet; the texts were checked as topic
// names and filters by topics.ts, and are checked again here, since wills and the management API come this way, too.
//
//   a/b/c                          exchange amq.topic, key a/b/c. The text is the key's path as it stands: nothing is decoded, a '%' is a '%'.
//   $queue/<queue>                 the queue, through the default exchange; declared on first use
//   $amq/queue/<queue>             the queue, which must exist;  $dlq/<queue> is $amq/queue/<queue>.dlq
//   $exchange/<exchange>[/<key>]   the exchange; without a key, the empty one
//   $share/<group>/<filter>        subscribe only: one of the group gets each message
//   $exclusive/<filter>            subscribe only: nobody else may subscribe to it
//
// Names are percent-encoded where the notation needs it. A queue's name is everything up to the end, '/' included; in it '%', '+', '#' and control
// characters are written %XX. In the name of an exchange and in the levels of its key '/' is, too. Input may encode any character; %00 is refused, and a '%'
// that starts no escape stands for itself. So $exchange/… says every key there is, while a plain topic shows a level of another protocol that has
// '/', '+' or '#' in it with %2F, %2B and %23, and taking that topic for input gives a level with a '%' (routing-key.ts).
import { type Address, DEFAULT_EXCHANGE, TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { levelFromPath, levelToPath, percentDecode, RoutingKey } from '../../src/core/routing-key.ts';
import { hasNul, percentEncode, quoted } from '../../src/lib/percent.ts';
import { parseTopicFilter, validTopicName } from './topics.ts';

/** Where a PUBLISH goes. */
export interface PublishAddress extends Address {
  readonly kind: 'topic' | 'queue' | 'exchange';
  /** Of a queue, whose name is the key's path: it is declared when it does not exist. False for the others. */
  readonly declare: boolean;
}

/** Where a subscription takes its messages from. */
export type SubscribeAddress =
  | {
      readonly kind: 'binding';
      readonly exchange: string;
      /** In path notation. */
      readonly pattern: string;
      /** The group of a shared subscription, or null. */
      readonly share: string | null;
      readonly exclusive: boolean;
    }
  | {
      readonly kind: 'queue';
      readonly queue: string;
      /** It is declared when it does not exist. */
      readonly declare: boolean;
    };

/** First levels that stand for something else than a topic; true where nothing is behind them yet. */
const SPECIAL: ReadonlyMap<string, boolean> = new Map([
  ['$queue', false],
  ['$amq', false],
  ['$dlq', false],
  ['$exchange', false],
  ['$share', false],
  ['$exclusive', false],
  ['$delayed', true],
  ['$return', true],
  ['$stream', true],
  ['$event', true],
  ['$trace', true],
  ['$tx', true],
  ['$shadow', true],
  ['$opt', true],
  ['$CONTROL', true],
]);

const SYS_IS_OURS = 'topics under $SYS are published by the broker';

const IN_QUEUE_NAME = /[%+#\p{Cc}]/gu;
const IN_LEVEL = /[/%+#\p{Cc}]/gu;

/** Topics to which a client gets its replies: `$reply/<client id>/…` (Response Information). */
export const REPLY_PREFIX = '$reply/';

/** Where the replies to a client go, with the slash at the end. A client id is one level, whatever it consists of. */
export function replyPrefix(clientId: string): string {
  return `${REPLY_PREFIX}${percentEncode(clientId, IN_LEVEL)}/`;
}

/** Throws BrokerError: 'invalid-argument' for what is no address, 'access-refused' for what is one that no client can publish to. */
export function topicToAddress(topic: string): PublishAddress {
  if (!validTopicName(topic)) {
    throw invalid(topic, 'it is empty, too long, or contains a wildcard or U+0000, which a topic name must not');
  }
  const first = firstLevel(topic);
  const special = SPECIAL.get(first);
  if (special === undefined) {
    if (first === '$SYS') throw closed(topic, SYS_IS_OURS);
    return { kind: 'topic', exchange: TOPIC_EXCHANGE, key: new RoutingKey(topic), declare: false };
  }
  if (special) throw reserved(topic, first);
  const queue = queueOf(topic, first);
  if (queue !== null) {
    return { kind: 'queue', exchange: DEFAULT_EXCHANGE, key: new RoutingKey(queue.name), declare: queue.declare };
  }
  if (first !== '$exchange') throw closed(topic, `${first} is for subscriptions; publish to the topic itself`);
  const { exchange, pattern } = exchangeOf(topic, false);
  if (exchange === TOPIC_EXCHANGE && firstLevel(pattern) === '$SYS') throw closed(topic, SYS_IS_OURS);
  return {
    kind: exchange === TOPIC_EXCHANGE ? 'topic' : 'exchange',
    exchange,
    key: new RoutingKey(pattern),
    declare: false,
  };
}

/** As topicToAddress. */
export function filterToAddress(text: string): SubscribeAddress {
  const parsed = parseTopicFilter(text);
  if (parsed === null) {
    throw invalid(text, 'it is no valid topic filter or shared subscription (MQTT 5.0 sections 4.7 and 4.8.2)');
  }
  const { share } = parsed;
  let { filter } = parsed;
  const exclusive = share === null && filter.startsWith('$exclusive/');
  if (exclusive) {
    filter = filter.slice('$exclusive/'.length);
    if (filter === '') throw invalid(text, '$exclusive/ is to be followed by a topic filter');
  }
  const first = firstLevel(filter);
  const special = SPECIAL.get(first);
  if (special === undefined) return { kind: 'binding', exchange: TOPIC_EXCHANGE, pattern: filter, share, exclusive };
  if (special) throw reserved(text, first);
  const queue = queueOf(filter, first);
  if (queue !== null) {
    if (share !== null) throw invalid(text, 'the consumers of a queue share it anyway; subscribe without $share');
    if (exclusive)
      throw invalid(text, 'a queue is kept for one consumer by x-single-active-consumer, not by $exclusive');
    return { kind: 'queue', queue: queue.name, declare: queue.declare };
  }
  if (first !== '$exchange') throw invalid(text, `${first} does not stand inside another one`);
  const { exchange, pattern } = exchangeOf(filter, true);
  return { kind: 'binding', exchange, pattern, share, exclusive };
}

/** The topic that an MQTT client is shown. It may be longer than 65,535 bytes when another protocol made the address; then MQTT can not carry it. */
export function addressToTopic(address: Address): string {
  const { exchange, key } = address;
  if (exchange === TOPIC_EXCHANGE && isPlain(key.path)) return key.mqtt;
  if (exchange === DEFAULT_EXCHANGE) return `$queue/${percentEncode(key.path, IN_QUEUE_NAME)}`;
  return exchangeText(exchange, key.path, false);
}

/** The filter that stands for a pattern of an exchange, the reverse of filterToAddress for bindings. Not every pattern is a valid filter: '#' may stand anywhere. */
export function patternToFilter(exchange: string, pattern: string): string {
  if (exchange === TOPIC_EXCHANGE && isPlain(pattern) && !pattern.includes('\0')) return pattern;
  return exchangeText(exchange, pattern, true);
}

/** Whether a path on amq.topic, taken for a topic, means that path. */
function isPlain(path: string): boolean {
  return path !== '' && !SPECIAL.has(firstLevel(path));
}

function firstLevel(text: string): string {
  const slash = text.indexOf('/');
  return slash < 0 ? text : text.slice(0, slash);
}

function reserved(text: string, first: string): BrokerError {
  return closed(text, `topics under ${first} are reserved and not in use`);
}

/** The queue that $queue, $amq and $dlq name; null for the others. */
function queueOf(text: string, first: string): { name: string; declare: boolean } | null {
  let rest: string;
  if (first === '$queue' || first === '$dlq') rest = text.slice(first.length + 1);
  else if (first !== '$amq') return null;
  else if (text.startsWith('$amq/queue/')) rest = text.slice('$amq/queue/'.length);
  else throw invalid(text, 'what follows $amq is to be /queue/ and the name of a queue');
  if (rest.includes('+') || rest.includes('#')) {
    throw invalid(text, 'the name of a queue has no wildcards; + and # in it are written %2B and %23');
  }
  const name = decodeName(text, rest, 'queue');
  return { name: first === '$dlq' ? `${name}.dlq` : name, declare: first === '$queue' };
}

function exchangeOf(text: string, wildcards: boolean): { exchange: string; pattern: string } {
  const rest = text.slice('$exchange/'.length);
  const slash = rest.indexOf('/');
  const written = slash < 0 ? rest : rest.slice(0, slash);
  if (written === '+' || written === '#') throw invalid(text, 'the name of an exchange is no wildcard');
  const exchange = decodeName(text, written, 'exchange');
  if (slash < 0) return { exchange, pattern: '' };
  const key = rest.slice(slash + 1);
  if (hasNul(key)) throw invalid(text, 'U+0000 is allowed nowhere');
  const levels = key.split('/');
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!;
    if (!wildcards || (level !== '+' && level !== '#')) levels[i] = levelToPath(percentDecode(level));
  }
  return { exchange, pattern: levels.join('/') };
}

function decodeName(text: string, written: string, what: string): string {
  if (written === '') throw invalid(text, `it names no ${what}`);
  if (hasNul(written))
    throw invalid(text, `U+0000 is not allowed in the name of ${what === 'queue' ? 'a queue' : 'an exchange'}`);
  return percentDecode(written);
}

function exchangeText(exchange: string, path: string, wildcards: boolean): string {
  let text = `$exchange/${percentEncode(exchange, IN_LEVEL)}`;
  if (path === '') return text;
  for (const level of path.split('/')) {
    text +=
      wildcards && (level === '+' || level === '#') ? `/${level}` : `/${percentEncode(levelFromPath(level), IN_LEVEL)}`;
  }
  return text;
}

function invalid(text: string, why: string): BrokerError {
  return new BrokerError('invalid-argument', `${quoted(text)} is no address: ${why}`);
}

function closed(text: string, why: string): BrokerError {
  return new BrokerError('access-refused', `${quoted(text)} can not be used: ${why}`);
}
