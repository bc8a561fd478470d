// The hot loop: what nearly all bytes of a busy connection are, taken where they lie, without an object for a packet. It takes the plain form of a packet and stops in front of everything
// else; the long way (connection.ts) decides about that, and answers for every error.
import { hashBytes, sameBytes } from '../../src/lib/byte-hash.ts';
import { onPubacks } from './acknowledgements.ts';
import { ReceivedIds } from './client-state.ts';
import type { Connection } from './connection.ts';
import { ProtocolVersion, PUBACK_BYTE } from './packet-type.ts';
import { PUBLISH_BYTE } from './publish-form.ts';

const QOS1_PUBLISH = PUBLISH_BYTE | 2;
const QOS2_PUBLISH = PUBLISH_BYTE | 4;

/**
 * Consecutive PUBLISH packets without flags (and, in MQTT 5, without properties) are gathered into runs; PUBACKs settle. Stops in front of anything else and of incomplete
 * packets; returns where.
 */
export function takeHot(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
  const { adapter, publishing, version } = connection;
  const sizeMax = adapter.options.maximumPacketSize;
  const propertyBytes = version === ProtocolVersion.V5 ? 1 : 0;
  let pos = start;
  while (pos + 2 <= end) {
    const first = bytes[pos]!;
    if (first === PUBLISH_BYTE || first === QOS1_PUBLISH || first === QOS2_PUBLISH) {
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
      const idBytes = first === PUBLISH_BYTE ? 0 : 2;
      if (topicBytes === 0 || afterTopic + idBytes + propertyBytes > frameEnd) return pos;
      if (propertyBytes !== 0 && bytes[afterTopic + idBytes] !== 0) return pos;
      let route = publishing.route!;
      if (
        publishing.topicBytes !== topicBytes ||
        !sameBytes(bytes, publishing.topicStart, bytes, topicStart, topicBytes) ||
        publishing.generation !== connection.vhost.generation
      ) {
        const routes = connection.routeTable();
        const hash = routes.large
          ? adapter.lookAhead.hash(routes, bytes, topicStart, afterTopic, frameEnd, end)
          : hashBytes(bytes, topicStart, afterTopic);
        route = connection.findRoute(bytes, topicStart, afterTopic, hash);
        publishing.topicBytes = topicBytes;
      }
      publishing.topicStart = topicStart;
      if (!route.allowed || first > connection.publishByteMax || (first === QOS2_PUBLISH && !connection.hotQos2))
        return pos;
      if (idBytes === 0) publishing.add(bytes, pos, frameEnd, first, route, 0);
      else {
        const id = (bytes[afterTopic]! << 8) | bytes[afterTopic + 1]!;
        if (id === 0) return pos;
        if (first === QOS2_PUBLISH) {
          connection.client!.received ??= new ReceivedIds();
          if (connection.client!.received.has(id)) return pos;
          connection.client!.received.add(id);
          connection.qos2Pending++;
        }
        publishing.add(bytes, pos, frameEnd, first, route, id);
      }
      pos = frameEnd;
    } else if (first === PUBACK_BYTE && bytes[pos + 1] === 2) {
      const next = onPubacks(connection, bytes, pos, end);
      if (next === pos) return pos;
      pos = next;
    } else return pos;
  }
  return pos;
}
