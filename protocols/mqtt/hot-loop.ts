// The hot loop: what nearly all bytes of a busy connection are, taken where they lie, without an object for a packet. It takes the plain form of a packet and stops in front of everything
// else; the long way (connection.ts) decides about that, and answers for every error.
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import type { Route } from '../../src/core/route-table.ts';
import { hashBytes, sameBytes } from '../../src/lib/byte-hash.ts';
import { onPubacks, onStepsOfQos2 } from './acknowledgements.ts';
import { ReceivedIds } from './client-state.ts';
import type { Connection } from './connection.ts';
import { ProtocolVersion, PUBACK_BYTE, PUBCOMP_BYTE, PUBREC_BYTE, PUBREL_BYTE } from './packet-type.ts';
import { PUBLISH_BYTE, RETAIN_FLAG } from './publish-form.ts';
import { ALIASED_BYTES_MAX, type TopicAlias } from './publish-path.ts';
import { asBuffer } from './text.ts';

const QOS1_PUBLISH = PUBLISH_BYTE | 2;
const QOS2_PUBLISH = PUBLISH_BYTE | 4;
const RETAIN_PUBLISH = PUBLISH_BYTE | RETAIN_FLAG;
const QOS1_RETAIN_PUBLISH = QOS1_PUBLISH | RETAIN_FLAG;
const QOS_BITS = 6;
const DOLLAR = 0x24;

/**
 * Consecutive PUBLISH packets without flags (and, in MQTT 5, with plain properties) are gathered into runs, those to be retained are runs of their own; PUBACKs and the steps of QoS 2 are taken at once. Stops in front of anything else and of incomplete
 * packets; returns where.
 */
export function takeHot(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
  const { adapter, publishing, version } = connection;
  const sizeMax = adapter.options.maximumPacketSize;
  const propertyBytes = version === ProtocolVersion.V5 ? 1 : 0;
  let pos = start;
  while (pos + 2 <= end) {
    const first = bytes[pos]!;
    if (
      first === PUBLISH_BYTE ||
      first === QOS1_PUBLISH ||
      first === QOS2_PUBLISH ||
      first === RETAIN_PUBLISH ||
      first === QOS1_RETAIN_PUBLISH
    ) {
      // The remaining length in one, two or three bytes; longer ones and over-long encodings take the other path.
      let body = pos + 2;
      let length = bytes[pos + 1]!;
      if (length >= 0x80) {
        if (body >= end) return pos;
        const second = bytes[body++]!;
        length = (length & 0x7f) | ((second & 0x7f) << 7);
        if (second >= 0x80) {
          if (body >= end) return pos;
          const third = bytes[body++]!;
          if (third >= 0x80 || third === 0) return pos;
          length |= third << 14;
        } else if (second === 0) return pos;
      }
      const frameEnd = body + length;
      if (frameEnd > end || frameEnd - pos > sizeMax || length < 2) return pos;
      const topicStart = body + 2;
      const topicBytes = (bytes[body]! << 8) | bytes[body + 1]!;
      const afterTopic = topicStart + topicBytes;
      const idBytes = (first & QOS_BITS) === 0 ? 0 : 2;
      if (afterTopic + idBytes + propertyBytes > frameEnd) return pos;
      if (propertyBytes !== 0 && bytes[afterTopic + idBytes] !== 0) {
        if (!takeDressed(connection, bytes, pos, topicStart, afterTopic, frameEnd, end)) return pos;
        pos = frameEnd;
        continue;
      }
      if (topicBytes === 0) return pos;
      const route = routeOf(connection, bytes, topicStart, afterTopic, frameEnd, end);
      if (!route.allowed || first > connection.publishByteMax || (first === QOS2_PUBLISH && !connection.hotQos2))
        return pos;
      const id = idBytes === 0 ? 0 : (bytes[afterTopic]! << 8) | bytes[afterTopic + 1]!;
      if (idBytes !== 0 && !takeId(connection, first, id)) return pos;
      if ((first & RETAIN_FLAG) === 0) publishing.add(bytes, pos, frameEnd, first, route, id);
      else {
        if (!mayRetain(connection, route, bytes, topicStart)) return pos;
        publishing.flush();
        publishing.add(bytes, pos, frameEnd, first, route, id);
        const path = textOf(bytes, topicStart, afterTopic);
        publishing.flushRetained(path, afterTopic + idBytes + propertyBytes === frameEnd);
      }
      pos = frameEnd;
    } else if (first === PUBACK_BYTE && bytes[pos + 1] === 2) {
      const next = onPubacks(connection, bytes, pos, end);
      if (next === pos) return pos;
      pos = next;
    } else if ((first === PUBREL_BYTE || first === PUBREC_BYTE || first === PUBCOMP_BYTE) && bytes[pos + 1] === 2) {
      // Its answer comes after those of what came before it.
      publishing.flush();
      const next = onStepsOfQos2(connection, first, bytes, pos, end);
      if (next === pos) return pos;
      pos = next;
    } else return pos;
  }
  return pos;
}

/** The route of the topic bytes[start, topicEnd), which is that of the packet before most often. The packet ends at frameEnd; after it, packets stand up to `end`. */
function routeOf(
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  topicEnd: number,
  frameEnd: number,
  end: number,
): Route {
  const { adapter, publishing } = connection;
  const size = topicEnd - start;
  const before = publishing.topicStart;
  // Topics mostly differ in their last bytes, if at all.
  if (
    publishing.topicBytes === size &&
    bytes[before + size - 1] === bytes[topicEnd - 1] &&
    sameBytes(bytes, before, bytes, start, size) &&
    publishing.generation === connection.vhost.generation
  ) {
    publishing.topicStart = start;
    return publishing.route!;
  }
  const routes = connection.routeTable();
  let route: Route | null;
  if (routes.large) {
    const { lookAhead } = adapter;
    route = lookAhead.find(routes, connection.vhost.changes, bytes, start, topicEnd, frameEnd, end);
    if (route === null) route = connection.findRoute(bytes, start, topicEnd, lookAhead.hash);
    else publishing.keep(route);
  } else route = connection.findRoute(bytes, start, topicEnd, hashBytes(bytes, start, topicEnd));
  publishing.topicBytes = size;
  publishing.topicStart = start;
  return route;
}

/** Its message can be retained under the topic that begins at topicStart as it stands there. */
function mayRetain(connection: Connection, route: Route, bytes: Uint8Array, topicStart: number): boolean {
  return (
    connection.adapter.options.retainAvailable && route.exchange === TOPIC_EXCHANGE && bytes[topicStart] !== DOLLAR
  );
}

/** A topic that has been found to be one. */
function textOf(bytes: Uint8Array, start: number, end: number): string {
  return asBuffer(bytes).toString('utf8', start, end);
}

/** Takes note of a packet identifier at QoS 1 or 2. False for one that is not to be taken as usual. */
function takeId(connection: Connection, first: number, id: number): boolean {
  if (id === 0) return false;
  if (first !== QOS2_PUBLISH) return true;
  const client = connection.client!;
  client.received ??= new ReceivedIds();
  if (client.received.has(id)) return false;
  client.received.add(id);
  connection.qos2Pending++;
  return true;
}

/** A PUBLISH of MQTT 5 that has properties, at bytes[pos, frameEnd). False: it is one for the long way, and nothing has been done. */
function takeDressed(
  connection: Connection,
  bytes: Uint8Array,
  pos: number,
  topicStart: number,
  afterTopic: number,
  frameEnd: number,
  end: number,
): boolean {
  const { publishing } = connection;
  const { plain } = connection.adapter;
  const first = bytes[pos]!;
  const retains = (first & RETAIN_FLAG) !== 0;
  const idBytes = (first & QOS_BITS) === 0 ? 0 : 2;
  if (!plain.take(bytes, afterTopic + idBytes, frameEnd)) return false;
  let alias: TopicAlias | null = null;
  let route: Route;
  if (plain.alias === 0) {
    if (afterTopic === topicStart) return false;
    route = routeOf(connection, bytes, topicStart, afterTopic, frameEnd, end);
  } else {
    // What is written anew has its properties in our order, by whichever way it goes.
    if (!plain.ordered || retains) return false;
    alias = publishing.knownAlias(plain.alias, bytes, topicStart, afterTopic);
    if (alias === null || frameEnd - pos > ALIASED_BYTES_MAX) return false;
    route = publishing.routeOfAlias(alias);
  }
  if (!route.allowed || first > connection.publishByteMax || (first === QOS2_PUBLISH && !connection.hotQos2))
    return false;
  let id = 0;
  if (idBytes !== 0) {
    id = (bytes[afterTopic]! << 8) | bytes[afterTopic + 1]!;
    if (!takeId(connection, first, id)) return false;
  }
  if (retains && !mayRetain(connection, route, bytes, topicStart)) return false;
  // One that expires or is retained is a run of its own.
  if (plain.expiryS >= 0 || retains) publishing.flush();
  if (alias === null) publishing.add(bytes, pos, frameEnd, first, route, id);
  else publishing.addAliased(bytes, frameEnd, first, route, id, alias);
  if (plain.expiryS >= 0) publishing.expires(plain.expiryS);
  if (retains) publishing.flushRetained(textOf(bytes, topicStart, afterTopic), plain.end === frameEnd);
  else if (plain.expiryS >= 0) publishing.flush();
  return true;
}
