// A seeded fuzzer for whole sessions: a handful of clients of every version send random packets, most of them valid, some with bytes changed, to a broker in memory; they come, go and come
// back, and time passes. Whatever they do, nothing but an answer or the end of a connection may come of it, what the broker sends must be readable, and when everybody has left nothing may
// be left behind. Same executions and seed: same run.
//
//   node src/cli/ensure.mjs run test/fuzz/mqtt-session.ts [packets] [seed]
import { pathToFileURL } from 'node:url';
import { FROM_SERVER } from '../../protocols/mqtt/decode-options.ts';
import { decode } from '../../protocols/mqtt/decoder.ts';
import { encode } from '../../protocols/mqtt/encoder.ts';
import { headerBytes, readFrameLength, remainingLength } from '../../protocols/mqtt/frame.ts';
import {
  auth,
  connect,
  disconnect,
  type Packet,
  PINGREQ,
  properties,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  type Qos,
  subscribe,
  subscription,
  unsubscribe,
  will,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, type ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { type Pipe, SeededRandom, World } from '../support/world.ts';

export interface SessionFuzzOptions {
  readonly packets: number;
  readonly seed: number;
}

export interface SessionFuzzReport {
  readonly packets: number;
  readonly connections: number;
  /** Connections that the broker ended. */
  readonly ended: number;
  readonly received: number;
  readonly messages: number;
  /** Whatever must not have happened; the first few, with the seed that shows them. */
  readonly findings: readonly string[];
}

const CLIENTS = 6;
const FINDINGS_MAX = 10;
/** A world is looked over and left after so many packets, so that each of them begins afresh. */
const PACKETS_PER_WORLD = 2000;
const IDS = ['a', 'b', 'c', ''];
const TOPICS = [
  'a',
  'a/b',
  'a/b/c',
  '/',
  '$queue/q',
  '$amq/queue/none',
  '$exchange/amq.fanout/k',
  '$SYS/x',
  '$mine/x',
  'x'.repeat(300),
  '$reply/a/1',
];
const FILTERS = [
  ...TOPICS,
  '#',
  'a/#',
  '+/b',
  '$share/g/a/#',
  '$share/h/+',
  '$exclusive/a/b',
  '$share/+/x',
  'a/#/b',
  '',
  '$queue/other',
  '$reply/b/#',
];

class Peer {
  readonly pipe: Pipe;
  readonly version: ProtocolVersion;
  /** Its CONNECT was changed, perhaps into one of another version: what comes back is not looked at. */
  strange = false;
  private rest = Buffer.alloc(0);

  constructor(pipe: Pipe, version: ProtocolVersion) {
    this.pipe = pipe;
    this.version = version;
  }

  /** Reads what has come; what is no packet of a server throws. */
  take(): Packet[] {
    const taken = this.pipe.taken();
    if (this.strange) return [];
    this.rest = Buffer.concat([this.rest, taken]);
    const packets: Packet[] = [];
    let at = 0;
    for (;;) {
      const length = readFrameLength(this.rest, at, this.rest.length);
      const end = length < 0 ? Number.POSITIVE_INFINITY : at + headerBytes(length) + remainingLength(length);
      if (end > this.rest.length) break;
      packets.push(decode(Buffer.from(this.rest.subarray(at, end)), this.version, FROM_SERVER));
      at = end;
    }
    this.rest = this.rest.subarray(at);
    return packets;
  }
}

export async function fuzzMqttSessions({ packets, seed }: SessionFuzzOptions): Promise<SessionFuzzReport> {
  const report = { packets: 0, connections: 0, ended: 0, received: 0, messages: 0, findings: [] as string[] };
  for (let n = 0; report.packets < packets && report.findings.length < FINDINGS_MAX; n++) {
    const random = new SeededRandom(seed * 7919 + n);
    const world = await new World({
      seed: n + 1,
      mqtt: {
        receiveMaximum: random.below(2) === 0 ? 10 : 1024,
        topicAliasMaximum: random.below(20),
        maximumQos: (2 - (random.below(8) === 0 ? 1 : 0)) as Qos,
        overlappingSubscriptions: random.below(2) === 0 ? 'once' : 'each',
        validatePayloadFormat: random.below(2) === 0,
        subscriptionsMax: 12,
        maximumPacketSize: random.below(4) === 0 ? 1024 : 1024 * 1024,
        sessionExpiryMaxS: 60,
      },
    }).open();
    try {
      runWorld(world, random, Math.min(PACKETS_PER_WORLD, packets - report.packets), report);
    } catch (error) {
      report.findings.push(
        `seed ${seed}, world ${n}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    }
  }
  return report;
}

function runWorld(
  world: World,
  random: SeededRandom,
  packets: number,
  report: { -readonly [K in keyof SessionFuzzReport]: SessionFuzzReport[K] },
): void {
  const peers: (Peer | null)[] = new Array<Peer | null>(CLIENTS).fill(null);
  for (let i = 0; i < packets; i++) {
    report.packets++;
    const at = random.below(CLIENTS);
    let peer = peers[at] ?? null;
    if (peer === null || peer.pipe.isClosed) {
      if (peer !== null) report.ended++;
      peer = new Peer(world.connect(), pick(random, [3, 4, 5, 5, 5] as const));
      peers[at] = peer;
      report.connections++;
      send(random, peer, randomConnect(random, peer.version));
    } else {
      const dice = random.below(100);
      if (dice === 0) peer.pipe.hangUp();
      else if (dice === 1) peer.pipe.stalled = true;
      else if (dice < 6 && peer.pipe.stalled) {
        peer.pipe.stalled = false;
        peer.pipe.readOn();
      } else send(random, peer, randomPacket(random));
    }
    if (random.below(4) === 0) world.settle();
    if (random.below(200) === 0) world.advance(random.below(20_000));
    if (random.below(3) !== 0) continue;
    for (const other of peers) if (other !== null) answer(random, other, report);
  }
  leaveNothing(world, peers);
}

/** A well-behaved part: most of what the broker sends is acknowledged. */
function answer(
  random: SeededRandom,
  peer: Peer,
  report: { -readonly [K in keyof SessionFuzzReport]: SessionFuzzReport[K] },
): void {
  for (const packet of peer.take()) {
    report.received++;
    if (peer.pipe.isClosed || random.below(10) === 0) continue;
    if (packet.type === PacketType.PUBLISH) {
      report.messages++;
      const reason = random.below(8) === 0 ? 0x80 : 0;
      const asked =
        random.below(2) === 0
          ? properties({})
          : properties({ userProperties: ['x-requeue', 'true', 'x-retry-after', '100'] });
      if (packet.qos === 1) send(random, peer, puback(packet.packetId, reason, asked));
      if (packet.qos === 2) send(random, peer, pubrec(packet.packetId, reason, asked));
    } else if (packet.type === PacketType.PUBREL) send(random, peer, pubcomp(packet.packetId));
    else if (packet.type === PacketType.PUBREC && packet.reasonCode < 0x80) send(random, peer, pubrel(packet.packetId));
  }
}

function send(random: SeededRandom, peer: Peer, packet: Packet): void {
  let bytes: Uint8Array;
  try {
    bytes = encode(packet, peer.version);
  } catch (error) {
    // A packet its version has no form for.
    if (!(error instanceof RangeError)) throw error;
    return;
  }
  if (random.below(25) === 0) {
    bytes = Uint8Array.from(bytes);
    if (packet.type === PacketType.CONNECT) peer.strange = true;
    for (let i = 1 + random.below(3); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256);
    if (random.below(4) === 0) bytes = bytes.subarray(0, random.below(bytes.length) + 1);
  }
  peer.pipe.send(bytes, random.below(3) === 0 ? 1 + random.below(7) : Number.POSITIVE_INFINITY);
}

function randomConnect(random: SeededRandom, protocolVersion: ProtocolVersion): Packet {
  if (random.below(40) === 0) return randomPacket(random);
  const maybe = <T>(value: T): T | null => (random.below(3) === 0 ? value : null);
  return connect({
    protocolVersion,
    clientId: pick(random, IDS),
    clean: random.below(2) === 0,
    keepAliveS: pick(random, [0, 5, 600]),
    will:
      random.below(3) === 0
        ? will(pick(random, TOPICS), {
            qos: random.below(3) as Qos,
            retain: random.below(2) === 0,
            payload: Buffer.from('will'),
            properties: properties({ willDelayIntervalS: maybe(random.below(30)) }),
          })
        : null,
    properties: properties({
      sessionExpiryIntervalS: maybe(pick(random, [0, 1, 30, 0xffff_ffff])),
      receiveMaximum: maybe(1 + random.below(5)),
      maximumPacketSize: maybe(pick(random, [20, 60, 400])),
      topicAliasMaximum: maybe(random.below(4)),
      requestProblemInformation: maybe(random.below(2) === 0),
      requestResponseInformation: maybe(random.below(2) === 0),
      authenticationMethod: random.below(30) === 0 ? 'X' : null,
      userProperties: random.below(20) === 0 ? ['x-max-length', pick(random, ['1', '3', 'x'])] : null,
    }),
  });
}

function randomPacket(random: SeededRandom): Packet {
  const id = 1 + random.below(12);
  switch (random.below(20)) {
    case 0:
    case 1:
    case 2:
      return subscribe(
        id,
        Array.from({ length: 1 + random.below(3) }, () =>
          subscription(pick(random, FILTERS), random.below(3) as Qos, {
            noLocal: random.below(5) === 0,
            retainAsPublished: random.below(2) === 0,
            retainHandling: random.below(3) as 0 | 1 | 2,
          }),
        ),
        random.below(3) === 0 ? properties({ subscriptionIdentifiers: [1 + random.below(300)] }) : properties({}),
      );
    case 3:
    case 4:
      return unsubscribe(id, [pick(random, FILTERS), pick(random, FILTERS)]);
    case 5:
      return puback(id);
    case 6:
      return pubrec(id, pick(random, [0, 0x80]));
    case 7:
      return pubrel(id);
    case 8:
      return pubcomp(id);
    case 9:
      return PINGREQ;
    case 10:
      return random.below(6) === 0
        ? disconnect(pick(random, [0, 4]), properties({ sessionExpiryIntervalS: pick(random, [null, 0, 20]) }))
        : PINGREQ;
    case 11:
      return random.below(10) === 0 ? auth(0x19, properties({ authenticationMethod: 'X' })) : PINGREQ;
    default: {
      const qos = random.below(3) as Qos;
      const alias = random.below(6) === 0 ? random.below(20) : null;
      return publish(alias !== null && random.below(2) === 0 ? '' : pick(random, TOPICS), {
        qos,
        dup: qos > 0 && random.below(4) === 0,
        retain: random.below(6) === 0,
        packetId: qos === 0 ? 0 : id,
        payload: Buffer.alloc(pick(random, [0, 1, 30, 500])),
        properties: properties({
          topicAlias: alias,
          messageExpiryIntervalS: random.below(6) === 0 ? random.below(20) : null,
          payloadFormat: random.below(6) === 0 ? 1 : null,
          userProperties: random.below(8) === 0 ? ['priority', '3', 'delivery-mode', '1'] : null,
        }),
      });
    }
  }
}

function pick<T>(random: SeededRandom, from: readonly T[]): T {
  return from[random.below(from.length)]!;
}

/** Everybody leaves, and sessions, wills and retries have their time: what is left then is a leak. */
function leaveNothing(world: World, peers: readonly (Peer | null)[]): void {
  for (const peer of peers) {
    peer?.take();
    peer?.pipe.hangUp();
  }
  world.settle();
  world.advance(200_000);
  const { mqttAdapter, broker } = world;
  const vhost = broker.vhosts.get('/')!;
  const left = {
    connections: mqttAdapter.connectionCount,
    sessions: vhost.sessions.size,
    shares: [...vhost.queues.keys()].filter((name) => name.startsWith('$share/')).length,
    retries: mqttAdapter.retries.count,
    unsettled: [...vhost.queues.values()].reduce((sum, queue) => sum + queue.unsettledCount, 0),
    consumers: [...vhost.queues.values()].reduce((sum, queue) => sum + queue.consumerCount, 0),
    bindings: [...vhost.exchanges.values()].reduce((sum, exchange) => sum + exchange.bindingCount, 0),
    opened: broker.counters.connectionsOpened - broker.counters.connectionsClosed,
  };
  for (const [what, count] of Object.entries(left))
    if (count !== 0) throw new Error(`${count} ${what} are left behind`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const packets = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? 1);
  const began = performance.now();
  const report = await fuzzMqttSessions({ packets, seed });
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n${((performance.now() - began) / 1000).toFixed(1)} s\n`);
  process.exitCode = report.findings.length === 0 ? 0 : 1;
}
