// Topic names, topic filters and shared subscriptions (MQTT 5.0 sections 4.7 and 4.8.2): whether a text may be one, and the parts of a filter. Texts are
// compared as they are; nothing here normalises [MQTT-4.7.3-4], [3.1.1 MQTT-4.7.3-4], matches, or knows what an address means to the broker.
import { SHARE_PREFIX } from '../../src/core/share-group.ts';
import { TEXT_BYTES_MAX, validText } from './text.ts';

/** How large a topic may be. The specification sets bytesMax at most at 65,535 [MQTT-4.7.3-3], [3.1.1 MQTT-4.7.3-3]; levelsMax is the server's own. */
export interface TopicLimits {
  readonly bytesMax: number;
  readonly levelsMax: number;
}

/** What the specification allows: a level for every byte. */
export const SPECIFICATION_LIMITS: TopicLimits = Object.freeze({
  bytesMax: TEXT_BYTES_MAX,
  levelsMax: TEXT_BYTES_MAX + 1,
});

const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

/** A text that a message can be published to: not empty, no wildcard, no U+0000, within the limits. */
export function validTopicName(topic: string, limits: TopicLimits = SPECIFICATION_LIMITS): boolean {
  // [MQTT-4.7.3-1]
  if (topic.length === 0 || !withinBytes(topic, limits.bytesMax)) return false;
  let levels = 1;
  for (let i = 0; i < topic.length; i++) {
    const code = topic.charCodeAt(i);
    if (code === SLASH) levels += 1;
    // [MQTT-4.7.0-1], [3.1.1 MQTT-4.7.1-1]; [MQTT-4.7.3-2], [3.1.1 MQTT-4.7.3-2]
    else if (code === PLUS || code === HASH || code === 0) return false;
  }
  return levels <= limits.levelsMax;
}

/** The same question about bytes that have not been decoded; includes that they are well-formed UTF-8. */
export function validTopicNameBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: TopicLimits = SPECIFICATION_LIMITS,
): boolean {
  if (end <= start || end - start > limits.bytesMax) return false;
  let levels = 1;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === SLASH) levels += 1;
    else if (byte === PLUS || byte === HASH) return false;
  }
  return levels <= limits.levelsMax && validText(bytes, start, end);
}

/** A text that can be subscribed to, a shared subscription included. */
export function validTopicFilter(filter: string, limits: TopicLimits = SPECIFICATION_LIMITS): boolean {
  return parseTopicFilter(filter, limits) !== null;
}

export interface TopicFilter {
  /** ShareName of a shared subscription, or null. */
  readonly share: string | null;
  /** What topics are matched against: the whole text, or what follows `$share/<name>/`. */
  readonly filter: string;
}

/** Whether the text asks for a shared subscription, valid or not. */
export function isShared(filter: string): boolean {
  return filter.startsWith(SHARE_PREFIX);
}

/**
 * The parts of a topic filter, or null when it is not a valid one. The limits hold for the whole text's bytes, and for the levels of the part that is
 * matched.
 */
export function parseTopicFilter(text: string, limits: TopicLimits = SPECIFICATION_LIMITS): TopicFilter | null {
  if (!withinBytes(text, limits.bytesMax)) return null;
  if (!isShared(text)) return validFilter(text, limits.levelsMax) ? { share: null, filter: text } : null;
  // $share/<ShareName>/<filter>: [MQTT-4.8.2-1], [MQTT-4.8.2-2]
  const slash = text.indexOf('/', SHARE_PREFIX.length);
  if (slash <= SHARE_PREFIX.length) return null;
  const share = text.slice(SHARE_PREFIX.length, slash);
  if (share.includes('+') || share.includes('#') || share.includes('\0')) return null;
  const filter = text.slice(slash + 1);
  return validFilter(filter, limits.levelsMax) ? { share, filter } : null;
}

/** Whether a valid filter has a wildcard, which a server may not offer (0xA2). */
export function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.endsWith('#');
}

function validFilter(filter: string, levelsMax: number): boolean {
  const last = filter.length - 1;
  // [MQTT-4.7.3-1]
  if (last < 0) return false;
  let levels = 1;
  for (let i = 0; i <= last; i++) {
    const code = filter.charCodeAt(i);
    if (code === SLASH) levels += 1;
    else if (code === HASH) {
      // On its own or after a separator, and the last character [MQTT-4.7.1-1], [3.1.1 MQTT-4.7.1-2].
      if (i !== last || (i > 0 && filter.charCodeAt(i - 1) !== SLASH)) return false;
    } else if (code === PLUS) {
      // A whole level [MQTT-4.7.1-2], [3.1.1 MQTT-4.7.1-3].
      if (i > 0 && filter.charCodeAt(i - 1) !== SLASH) return false;
      if (i < last && filter.charCodeAt(i + 1) !== SLASH) return false;
    }
    // [MQTT-4.7.3-2]
    else if (code === 0) return false;
  }
  return levels <= levelsMax;
}

/** Counts bytes only where the number of characters leaves the answer open. */
function withinBytes(text: string, bytesMax: number): boolean {
  return text.length <= bytesMax && (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax);
}
