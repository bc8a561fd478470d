// Whether what a connection has received is what the model says: byte for byte. In the model's own order for a client that only listened; stream by stream for one that sent something itself or read
// slowly, because there both protocols leave open how the streams are interleaved. The number in the message-id of a delivery that nobody is to settle is the broker's to choose: it has to be new.
import type { Piece } from './gateway.ts';
import { splitPackets } from './mqtt-wire.ts';
import { DIRECT_ID } from './stomp-model.ts';
import { splitFrames } from './stomp-wire.ts';

export interface Found {
  readonly bytes: number;
  readonly messages: number;
}

/** What is remembered of a connection's message ids. */
export class DirectIds {
  private readonly seen = new Set<string>();

  isNew(id: string): boolean {
    if (this.seen.has(id)) return false;
    this.seen.add(id);
    return true;
  }
}

export class Difference extends Error {}

export function compareMqtt(received: Buffer, expected: readonly Piece[], inOrder: boolean, who: string): Found {
  const all = Buffer.concat(expected.map(({ bytes }) => bytes));
  if (!received.equals(all)) {
    const actual = splitPackets(received).map((bytes) => ({ stream: mqttStream(bytes), bytes }));
    if (inOrder) throw new Difference(difference(who, actual, expected));
    compareStreams(actual, expected, who);
  }
  return { bytes: received.length, messages: expected.length };
}

export function compareStomp(received: Buffer, expected: readonly Piece[], ids: DirectIds, who: string): Found {
  if (received.length === 0 && expected.length === 0) return { bytes: 0, messages: 0 };
  const actual = splitFrames(received).map((bytes) => stompPiece(bytes, ids, who));
  compareStreams(actual, expected, who);
  return { bytes: received.length, messages: expected.length };
}

function compareStreams(actual: readonly Piece[], expected: readonly Piece[], who: string): void {
  const [a, e] = [byStream(actual), byStream(expected)];
  for (const stream of new Set([...a.keys(), ...e.keys()])) {
    const [ours, theirs] = [a.get(stream) ?? [], e.get(stream) ?? []];
    if (!Buffer.concat(ours.map(({ bytes }) => bytes)).equals(Buffer.concat(theirs.map(({ bytes }) => bytes)))) {
      throw new Difference(difference(`${who}, ${stream}`, ours, theirs));
    }
  }
}

function byStream(pieces: readonly Piece[]): Map<string, Piece[]> {
  const streams = new Map<string, Piece[]>();
  for (const piece of pieces) {
    const stream = streams.get(piece.stream);
    if (stream === undefined) streams.set(piece.stream, [piece]);
    else stream.push(piece);
  }
  return streams;
}

function mqttStream(packet: Buffer): string {
  if (packet[0]! >> 4 !== 3) return 'answers';
  return (packet[0]! & 6) === 0 ? 'at most once' : 'acknowledged';
}

function stompPiece(bytes: Buffer, ids: DirectIds, who: string): Piece {
  if (!bytes.subarray(0, 8).equals(MESSAGE)) return { stream: 'answers', bytes };
  const head = bytes.toString('latin1', 0, Math.min(bytes.length, 400));
  const subscription = /^MESSAGE\nsubscription:([^\n]*)\n/.exec(head)?.[1] ?? '';
  const stream = `subscription ${subscription}`;
  const direct = /\nmessage-id:([0-9a-z]{8}-\d+)\n/.exec(head);
  if (direct === null) return { stream, bytes };
  if (!ids.isNew(direct[1]!)) throw new Difference(`${who}: message-id ${direct[1]} came twice`);
  const start = direct.index + '\nmessage-id:'.length;
  return {
    stream,
    bytes: Buffer.concat([bytes.subarray(0, start), Buffer.from(DIRECT_ID), bytes.subarray(start + direct[1]!.length)]),
  };
}

const MESSAGE = Buffer.from('MESSAGE\n');

function difference(who: string, actual: readonly Piece[], expected: readonly Piece[]): string {
  let at = 0;
  while (at < actual.length && at < expected.length && actual[at]!.bytes.equals(expected[at]!.bytes)) at++;
  const show = (pieces: readonly Piece[]): string =>
    pieces
      .slice(at, at + 3)
      .map(({ bytes }) => `      ${readable(bytes)}`)
      .join('\n');
  return [
    `${who}: after ${at} that are the same`,
    `    broker (${actual.length}):`,
    show(actual),
    `    model (${expected.length}):`,
    show(expected),
  ].join('\n');
}

function readable(bytes: Buffer): string {
  const hex = bytes.subarray(0, 48).toString('hex');
  const text = JSON.stringify(bytes.toString('utf8', 0, 240));
  return `${hex}${bytes.length > 48 ? '…' : ''} (${bytes.length}) ${text}`;
}
