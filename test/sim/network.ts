// The network between scripted clients and the broker: byte streams that are cut anywhere, delayed, joined, reset, half-open or not read, all by seed and on the virtual time.
// A Wire is one connection. Its one side is the broker's Transport and behaves as the one over sockets does (end, destroy and the peer's end take their time,
// onClosed comes once and last); its other side is the client's. Whatever the broker was lent is scribbled over as soon as its time is up: read buffers after onChunk, and
// slots of the arena once they are given back.
import type { Arena, Slot } from '../../src/io/arena.ts';
import { Output, type OutputSink, type Piece } from '../../src/io/output.ts';
import type { Peer, Transport, TransportHandler } from '../../src/io/transport.ts';
import type { World } from '../support/world.ts';
import type { Dice } from './dice.ts';
import type { Schedule } from './schedule.ts';

export interface NetworkProfile {
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** How often what a client sends is cut into several chunks. */
  readonly splitShare: number;
  /** How often chunks that are there together are read together. */
  readonly joinShare: number;
  /** What fits between the broker and a client that does not read. */
  readonly socketBytes: number;
  /** How often the broker learns within send() that bytes have left. */
  readonly inlineSentShare: number;
  /** How often reads come in the arena's read buffer. */
  readonly arenaShare: number;
  /** Unsent bytes from which an output is congested. */
  readonly congestedBytes: number;
}

/** What the network did, for the counts of a campaign. */
export class NetworkCounts {
  chunks = 0;
  splits = 0;
  joins = 0;
  resets = 0;
  fins = 0;
  vanished = 0;
  stalls = 0;
  congestions = 0;
  pauses = 0;
  heldWhilePaused = 0;
  lostChunks = 0;
  bytesIn = 0;
  bytesOut = 0;
}

/** Cuts a stream into frames. */
export interface FrameReader<F> {
  /** Calls onFrame for every frame that is complete, with the offset behind it in the stream. `bytes` may be kept. */
  push(bytes: Buffer, onFrame: (frame: F, endOffset: number) => void): void;
}

export interface Part {
  readonly bytes: Uint8Array;
  readonly onFed: () => void;
}

/** The client's side of a wire, and whoever watches. */
export interface WireOwner<F> {
  /** The broker has written this frame. */
  onEmitted(frame: F): void;
  /** The client has read it. */
  onArrived(frame: F): void;
  /** The stream is over for the client. */
  onHungUp(): void;
  /** The stream is over for the broker: called once, before the broker is told, or as soon as it says so itself. */
  onBrokerClosed(byBroker: boolean): void;
  /** The broker is gone, and knows nothing of this stream any more. */
  onBrokerDied(): void;
}

const NOBODY: TransportHandler = { onChunk: () => undefined, onDrain: () => undefined, onClosed: () => undefined };
const LOOPBACK: Peer = { address: '127.0.0.1', port: 40_000, loopback: true };
/** How long a stream that the broker has ended waits for its peer. */
const LINGER_MS = 2000;
const SCRIBBLE = 0xdb;
/** What was held back may take so long to arrive once it is read again. */
const HELD_BACK_MS = 200;

const Way = { Bytes: 0, Fin: 1, Reset: 2 } as const;
type Way = (typeof Way)[keyof typeof Way];

interface Inbound {
  readonly way: Way;
  readonly bytes: Buffer;
  readonly atMs: number;
}

interface Outbound {
  readonly piece: Piece;
  readonly copy: Buffer;
}

export class Network {
  readonly counts = new NetworkCounts();
  world: World;
  readonly schedule: Schedule;
  readonly dice: Dice;
  profile: NetworkProfile;
  /** Told when bytes were changed that the broker had handed over. */
  onDamage: (text: string) => void = () => undefined;
  readonly wires = new Set<Wire<unknown>>();

  constructor(world: World, schedule: Schedule, dice: Dice, profile: NetworkProfile) {
    this.world = world;
    this.schedule = schedule;
    this.dice = dice;
    this.profile = profile;
    scribbleSlots(world.arena);
  }

  /** The broker has died, and another one is up: all streams are broken. */
  continueWith(world: World): void {
    this.world = world;
    scribbleSlots(world.arena);
    const wires = [...this.wires];
    this.wires.clear();
    for (const wire of wires) wire.cut();
  }

  /** Nobody sees any more what the broker does. */
  dead: () => boolean = () => false;

  delayMs(): number {
    const { latencyMs, jitterMs } = this.profile;
    return latencyMs + (jitterMs === 0 ? 0 : this.dice.below(jitterMs + 1));
  }
}

/** Slots that come back are overwritten: whoever still reads them finds out. */
function scribbleSlots(arena: Arena): void {
  const giveBack = arena.giveBack.bind(arena);
  arena.giveBack = (slot: Slot): void => {
    slot.bytes.fill(SCRIBBLE, slot.start, Math.min(slot.end, slot.start + 4096));
    giveBack(slot);
  };
}

export class Wire<F> implements Transport, OutputSink {
  readonly kind = 'memory';
  readonly listener = 'test';
  readonly peer = LOOPBACK;
  readonly output: Output;
  handler: TransportHandler = NOBODY;
  readonly network: Network;
  readonly owner: WireOwner<F>;
  private readonly reader: FrameReader<F>;
  // ---- the broker's side
  /** The broker hears nothing any more. */
  private deaf = false;
  /** The broker has ended the stream. */
  private ended = false;
  private gone = false;
  private told = false;
  private closedSaid = false;
  private pauses = 0;
  private resumedMs = Number.NEGATIVE_INFINITY;
  // ---- client to broker
  private readonly inbound: Inbound[] = [];
  private lastInboundMs = 0;
  private readonly marks: { readonly offset: number; readonly onFed: () => void }[] = [];
  private sentBytes = 0;
  private fedBytes = 0;
  private feeding = false;
  // ---- broker to client
  private readonly waiting: Outbound[] = [];
  private readonly transit: { readonly endOffset: number; readonly bytes: number; readonly atMs: number }[] = [];
  private readonly frames: { readonly frame: F; readonly endOffset: number }[] = [];
  private takenBytes = 0;
  private transitBytes = 0;
  private lastOutboundMs = 0;
  private taking = false;
  private hungUp = false;
  /** The client does not read. */
  private stalled = false;
  /** The client is gone and nobody knows. */
  private vanished = false;
  private readonly onFrame = (frame: F, endOffset: number): void => {
    this.frames.push({ frame, endOffset });
    this.owner.onEmitted(frame);
  };

  constructor(network: Network, owner: WireOwner<F>, reader: FrameReader<F>) {
    this.network = network;
    this.owner = owner;
    this.reader = reader;
    const { arena, turn } = network.world;
    this.output = new Output(arena, turn, this, network.profile.congestedBytes);
    this.output.setDrainTarget(this);
    network.wires.add(this as Wire<unknown>);
  }

  // ---- Transport

  established(): void {
    // No time limit is kept here.
  }

  pause(): void {
    this.pauses++;
    this.network.counts.pauses++;
  }

  resume(): void {
    if (this.pauses === 0) return;
    this.pauses--;
    this.resumedMs = this.network.schedule.nowMs;
    if (this.pauses === 0) this.network.schedule.after(0, () => this.feed());
  }

  end(): void {
    if (this.ended || this.gone) return;
    this.output.flush();
    this.ended = true;
    this.deaf = true;
    this.sayClosed(true);
    this.output.discard();
    this.network.schedule.after(LINGER_MS, () => this.fail(null));
    this.arriveSoon(this.network.delayMs());
  }

  destroy(): void {
    if (this.gone) return;
    this.deaf = true;
    this.ended = true;
    this.output.discard();
    this.sayClosed(true);
    this.network.schedule.after(0, () => this.fail(null));
  }

  onDrain(): void {
    this.handler.onDrain();
  }

  // ---- OutputSink

  send(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      this.network.counts.bytesOut += piece.bytes.length;
      if (this.gone || this.ended || this.network.dead()) {
        this.output.sent(piece);
        continue;
      }
      const copy = Buffer.from(piece.bytes);
      this.waiting.push({ piece, copy });
      this.reader.push(copy, this.onFrame);
    }
    if (this.waiting.length === 0) return;
    const { dice, profile, schedule } = this.network;
    if (dice.chance(profile.inlineSentShare)) this.take();
    else schedule.after(0, () => this.take());
  }

  /** The kernel takes what fits. */
  private take(): void {
    if (this.taking || this.gone) return;
    this.taking = true;
    const { profile, schedule } = this.network;
    while (
      this.waiting.length > 0 &&
      (this.transitBytes === 0 || this.transitBytes + this.waiting[0]!.copy.length <= profile.socketBytes)
    ) {
      const { piece, copy } = this.waiting.shift()!;
      if (!copy.equals(piece.bytes))
        this.network.onDamage('bytes were changed after they had been handed to the transport');
      this.takenBytes += copy.length;
      const atMs = Math.max(this.lastOutboundMs, schedule.nowMs + this.network.delayMs());
      this.lastOutboundMs = atMs;
      this.transit.push({ endOffset: this.takenBytes, bytes: copy.length, atMs });
      this.transitBytes += copy.length;
      schedule.at(atMs, () => this.arrive());
      this.output.sent(piece);
      if (this.gone) break;
    }
    this.taking = false;
    if (this.output.congested) this.network.counts.congestions++;
  }

  private arriveSoon(delayMs: number): void {
    this.network.schedule.at(Math.max(this.lastOutboundMs, this.network.schedule.nowMs + delayMs), () => this.arrive());
  }

  /** The client reads what has come. */
  private arrive(): void {
    if (this.stalled || this.vanished) return;
    const { nowMs } = this.network.schedule;
    while (this.transit.length > 0 && this.transit[0]!.atMs <= nowMs) {
      const { endOffset, bytes } = this.transit.shift()!;
      this.transitBytes -= bytes;
      while (this.frames.length > 0 && this.frames[0]!.endOffset <= endOffset) {
        const { frame } = this.frames.shift()!;
        // What comes after the client has closed is thrown away.
        if (!this.hungUp) this.owner.onArrived(frame);
      }
      if (this.stalled || this.vanished) return;
    }
    this.take();
    if (this.hungUp || !this.ended || this.transit.length > 0 || this.waiting.length > 0 || nowMs < this.lastOutboundMs)
      return;
    this.hungUp = true;
    this.owner.onHungUp();
    this.network.schedule.after(this.network.delayMs(), () => this.fail(null));
  }

  /** The stream is gone for good. */
  private fail(error: Error | null): void {
    if (this.gone) return;
    this.gone = true;
    this.deaf = true;
    this.ended = true;
    this.sayClosed(false);
    this.output.discard();
    while (this.waiting.length > 0) this.output.sent(this.waiting.shift()!.piece);
    this.network.wires.delete(this as Wire<unknown>);
    this.tell(error);
    if (!this.hungUp && !this.vanished) {
      this.hungUp = true;
      this.owner.onHungUp();
    }
  }

  private tell(error: Error | null): void {
    if (this.told) return;
    this.told = true;
    this.handler.onClosed(error);
  }

  private sayClosed(byBroker: boolean): void {
    if (this.closedSaid) return;
    this.closedSaid = true;
    this.owner.onBrokerClosed(byBroker);
  }

  /** The broker does not want to read from it at the moment. */
  get paused(): boolean {
    return this.pauses > 0;
  }

  /** It is paused, or has just been set free and could not say anything yet. */
  get heldBack(): boolean {
    return this.pauses > 0 || this.network.schedule.nowMs - this.resumedMs < HELD_BACK_MS;
  }

  /** The broker reads from it, and writes to it. */
  get open(): boolean {
    return !this.closedSaid;
  }

  // ---- the client's side

  /** Sends frames in one go; onFed of each is called when the broker is about to be given its last byte. */
  write(parts: readonly Part[]): void {
    if (this.hungUp || this.vanished) return;
    for (const { bytes, onFed } of parts) {
      this.sentBytes += bytes.length;
      this.marks.push({ offset: this.sentBytes, onFed });
    }
    const { dice, profile, counts, schedule } = this.network;
    const buffer = Buffer.concat(parts.map(({ bytes }) => bytes));
    const cuts: number[] = [];
    if (buffer.length > 1 && dice.chance(profile.splitShare)) {
      counts.splits++;
      const many = buffer.length <= 40 && dice.chance(0.1);
      if (many) for (let at = 1; at < buffer.length; at++) cuts.push(at);
      else
        for (let i = dice.below(3); i >= 0; i--)
          cuts.push(1 + dice.below(dice.chance(0.5) ? Math.min(8, buffer.length - 1) : buffer.length - 1));
      cuts.sort((a, b) => a - b);
    }
    let from = 0;
    for (const to of [...cuts, buffer.length]) {
      if (to === from) continue;
      const together = this.inbound.length > 0 && dice.chance(0.5);
      const atMs = together
        ? Math.max(this.lastInboundMs, schedule.nowMs)
        : Math.max(this.lastInboundMs, schedule.nowMs + this.network.delayMs());
      this.inboundAt(Way.Bytes, buffer.subarray(from, to), atMs);
      from = to;
    }
  }

  private inboundAt(way: Way, bytes: Buffer, atMs: number): void {
    this.lastInboundMs = atMs;
    this.inbound.push({ way, bytes, atMs });
    this.network.schedule.at(atMs, () => this.feed());
  }

  /** Gives the broker what has come. */
  private feed(): void {
    if (this.feeding) return;
    this.feeding = true;
    try {
      this.feedDue();
    } finally {
      this.feeding = false;
    }
  }

  private feedDue(): void {
    const { dice, profile, counts, schedule } = this.network;
    while (this.inbound.length > 0 && this.inbound[0]!.atMs <= schedule.nowMs) {
      const first = this.inbound[0]!;
      if (first.way === Way.Reset) {
        this.inbound.length = 0;
        this.fail(new Error('ECONNRESET'));
        return;
      }
      if (this.deaf) {
        this.inbound.shift();
        continue;
      }
      if (this.pauses > 0) {
        counts.heldWhilePaused++;
        return;
      }
      this.inbound.shift();
      if (first.way === Way.Fin) {
        this.peerEnd();
        continue;
      }
      let { bytes } = first;
      while (
        this.inbound.length > 0 &&
        this.inbound[0]!.way === Way.Bytes &&
        this.inbound[0]!.atMs <= schedule.nowMs &&
        dice.chance(profile.joinShare)
      ) {
        bytes = Buffer.concat([bytes, this.inbound.shift()!.bytes]);
        counts.joins++;
      }
      this.give(bytes);
    }
  }

  private give(bytes: Buffer): void {
    const { dice, profile, counts, world } = this.network;
    counts.chunks++;
    counts.bytesIn += bytes.length;
    this.fedBytes += bytes.length;
    while (this.marks.length > 0 && this.marks[0]!.offset <= this.fedBytes) this.marks.shift()!.onFed();
    const { arena } = world;
    if (bytes.length <= arena.readEnd - arena.readStart && dice.chance(profile.arenaShare)) {
      const end = arena.readStart + bytes.length;
      arena.bytes.set(bytes, arena.readStart);
      this.handler.onChunk(arena.bytes, arena.readStart, end);
      // What stands in front of the chunk may have been filled with the beginning of a frame.
      arena.bytes.fill(SCRIBBLE, Math.max(0, arena.readStart - 1024), end);
    } else {
      const before = dice.below(3);
      const chunk = Buffer.allocUnsafeSlow(before + bytes.length + 1);
      chunk.set(bytes, before);
      this.handler.onChunk(chunk, before, before + bytes.length);
      chunk.fill(SCRIBBLE);
    }
  }

  /** The client's end has come: answers of this turn still leave. */
  private peerEnd(): void {
    this.deaf = true;
    this.network.world.clock.endOfTurn(() => {
      this.end();
      this.tell(null);
    });
  }

  /** Closes in good order: everything sent before arrives. */
  close(): void {
    if (this.hungUp || this.vanished) return;
    this.hungUp = true;
    this.network.counts.fins++;
    this.inboundAt(Way.Fin, EMPTY, Math.max(this.lastInboundMs, this.network.schedule.nowMs + this.network.delayMs()));
  }

  /** Breaks: of what is under way a part arrives, at most. */
  reset(): void {
    if (this.hungUp && this.ended) return;
    this.hungUp = true;
    this.network.counts.resets++;
    const { schedule, dice } = this.network;
    const atMs = schedule.nowMs + dice.below(this.network.profile.latencyMs + this.network.profile.jitterMs + 2);
    this.lose(atMs);
    this.inboundAt(Way.Reset, EMPTY, atMs);
  }

  /** Half-open: the client is gone, the broker is not told. */
  vanish(): void {
    if (this.hungUp || this.vanished) return;
    this.vanished = true;
    this.network.counts.vanished++;
    const { schedule, dice } = this.network;
    this.lose(schedule.nowMs + dice.below(this.network.profile.latencyMs + this.network.profile.jitterMs + 2));
  }

  private lose(afterMs: number): void {
    while (this.inbound.length > 0 && this.inbound[this.inbound.length - 1]!.atMs > afterMs) {
      this.inbound.pop();
      this.network.counts.lostChunks++;
    }
  }

  stall(): void {
    if (this.stalled) return;
    this.stalled = true;
    this.network.counts.stalls++;
  }

  readOn(): void {
    if (!this.stalled) return;
    this.stalled = false;
    this.arriveSoon(0);
  }

  /** Faults are over: what nobody knew to be gone is found out. */
  heal(): void {
    this.readOn();
    if (!this.vanished || this.gone) return;
    this.inbound.length = 0;
    this.fail(new Error('ETIMEDOUT'));
  }

  /** The broker has died: the client is cut off. */
  cut(): void {
    this.gone = true;
    this.deaf = true;
    this.ended = true;
    this.told = true;
    this.closedSaid = true;
    this.waiting.length = 0;
    this.inbound.length = 0;
    this.transit.length = 0;
    this.owner.onBrokerDied();
    if (this.hungUp || this.vanished) return;
    this.hungUp = true;
    this.network.schedule.after(this.network.delayMs(), () => this.owner.onHungUp());
  }
}

const EMPTY = Buffer.alloc(0);
