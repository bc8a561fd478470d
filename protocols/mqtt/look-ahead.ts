// Looks over the PUBLISH packets that stand in a chunk behind the one whose topic is to be looked up, and has the table look up all of their topics together. In a table of a million
// topics each look-up waits for the memory; of a chunk's look-ups only the first one then does. Relies on nothing being right but the chunk's own bytes: what it says of a packet that the
// hot loop does not take is merely not asked for, and what it knows of routes holds as long as the table and the bindings are the same.
import { type RouteChanges, UNKNOWN } from '../../src/core/route-changes.ts';
import type { Texts } from '../../src/core/route-generation.ts';
import type { Route, RouteTable } from '../../src/core/route-table.ts';
import { hashView, sameBytes } from '../../src/lib/byte-hash.ts';
import { ByteView } from '../../src/lib/byte-view.ts';
import { PacketType, PUBACK_BYTE } from './packet-type.ts';

/** Topics at a time: many enough that the processor has all its outstanding reads in use, few enough that what is read stays in its first cache. */
const TOPICS_MAX = 64;
const PUBLISH = PacketType.PUBLISH;
const PUBACK_BYTES = 4;

/** One for all connections of an adapter; only one of them parses at a time. */
export class LookAhead {
  /** By hashBytes, of the topic that find() was asked for last. */
  hash = 0;
  private readonly views = new ByteView();
  private readonly topics: Texts = {
    view: new ByteView().of(new Uint8Array(0)),
    count: 0,
    starts: new Uint32Array(TOPICS_MAX),
    lengths: new Uint32Array(TOPICS_MAX),
    hashes: new Int32Array(TOPICS_MAX),
    routes: new Array<Route | null>(TOPICS_MAX).fill(null),
  };
  private next = 0;
  /** Whose routes these are, and of which generation of the bindings. */
  private table: RouteTable | null = null;
  private generation = UNKNOWN;

  /** Other bytes are parsed from here on. */
  reset(): void {
    this.topics.count = 0;
    this.next = 0;
  }

  /**
   * The route of the topic bytes[start, topicEnd) in a packet that ends at packetEnd, after which packets stand up to `end`; or null: it is not known here, and to be looked up alone, by
   * its hash.
   */
  find(
    table: RouteTable,
    changes: RouteChanges,
    bytes: Uint8Array,
    start: number,
    topicEnd: number,
    packetEnd: number,
    end: number,
  ): Route | null {
    const { topics } = this;
    const { starts, count } = topics;
    let { next } = this;
    while (next < count && starts[next]! < start) next++;
    if (next === count || starts[next] !== start) {
      this.look(bytes, start, topicEnd, packetEnd, end);
      next = 0;
      this.table = table;
      this.generation = UNKNOWN;
      // Not for one alone: it would be read twice.
      if (topics.count > 1) {
        table.lookupAll(topics, changes);
        this.generation = changes.generation;
      }
    }
    this.next = next + 1;
    this.hash = topics.hashes[next]!;
    return this.generation === changes.generation && this.table === table ? topics.routes[next]! : null;
  }

  private look(bytes: Uint8Array, start: number, topicEnd: number, packetEnd: number, end: number): void {
    const { topics } = this;
    const { starts, hashes, lengths } = topics;
    const view = this.views.of(bytes);
    topics.view = view;
    starts[0] = start;
    lengths[0] = topicEnd - start;
    hashes[0] = hashView(view, start, topicEnd);
    let count = 1;
    let last = start;
    let lastBytes = topicEnd - start;
    let pos = packetEnd;
    while (count < TOPICS_MAX && pos + 2 <= end) {
      const first = bytes[pos]!;
      if (first >>> 4 !== PUBLISH) {
        if (first !== PUBACK_BYTE || bytes[pos + 1] !== PUBACK_BYTES - 2) break;
        pos += PUBACK_BYTES;
        continue;
      }
      let body = pos + 1;
      let length = 0;
      for (let shift = 0; shift < 28 && body < end; shift += 7) {
        const byte = bytes[body++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      const topic = body + 2;
      if (topic > end) break;
      const topicBytes = (bytes[body]! << 8) | bytes[body + 1]!;
      if (topic + topicBytes > end) break;
      pos = body + length;
      // The topic of the packet before is not looked up again. Topics mostly differ in their last bytes, if at all.
      const same =
        topicBytes === lastBytes &&
        bytes[topic + topicBytes - 1] === bytes[last + topicBytes - 1] &&
        sameBytes(bytes, last, bytes, topic, topicBytes);
      last = topic;
      lastBytes = topicBytes;
      if (same) continue;
      starts[count] = topic;
      lengths[count] = topicBytes;
      hashes[count] = hashView(view, topic, topic + topicBytes);
      count++;
    }
    topics.count = count;
  }
}
