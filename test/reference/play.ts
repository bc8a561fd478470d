// Plays a script to the broker and to the model, and compares what every connection gets after every step. The broker is the whole one of support/world.ts, on time that stands still; it gets
// its bytes cut as the script says, the model gets packets.
import { StompWorld } from '../support/stomp-client.ts';
import type { Pipe } from '../support/world.ts';
import { compareMqtt, compareStomp, Difference, DirectIds } from './compare.ts';
import { Gateway, type ModelConnection, type Owed } from './gateway.ts';
import { MqttModel, type MqttWorld } from './mqtt-model.ts';
import { ackBytes, connectBytes, packet, subscribeBytes, unsubscribeBytes } from './mqtt-wire.ts';
import type { Cut, Member, Script, Step, Verdict } from './script.ts';
import { TOPICS } from './script.ts';
import { StompModel, type StompWorld as StompSide } from './stomp-model.ts';
import { frameBytes } from './stomp-wire.ts';
import { MqttSender, stompSend } from './traffic.ts';

const TICK_MS = 100;
/** Of the broker's arena, two of which are STOMP's: what does not fit goes through memory of its own, which is a path, too. */
const SLOT_COUNT = 6;
/** Of a longer step, so many bytes at each end are sent one by one. */
const SINGLE_BYTES = 100;
const BETWEEN_BYTES = 97;
/** So many pieces are as small as the script says; what is left then goes in larger ones. */
const SMALL_PIECES = 50;
const WHOLE: Cut = { kind: 'whole', at: 0, sizes: [], arena: false };

export interface Played {
  readonly tally: Map<string, number>;
  bytes: number;
  packets: number;
}

/** Throws Difference where broker and model part. */
export function play(script: Script): Played {
  const stage = new Stage(script);
  script.steps.forEach((step, i) => {
    try {
      stage.perform(step);
    } catch (error) {
      throw new Difference(
        `step ${i} (${step.kind}): ${error instanceof Difference ? error.message : (error as Error).stack}`,
        {
          cause: error,
        },
      );
    }
  });
  try {
    stage.finish();
  } catch (error) {
    throw new Difference(`at the end: ${error instanceof Difference ? error.message : (error as Error).stack}`, {
      cause: error,
    });
  }
  return stage.played;
}

interface Actor {
  readonly member: Member;
  readonly name: string;
  pipe: Pipe | null;
  model: ModelConnection | null;
  readonly sender: MqttSender;
  /** Of its connection. */
  ids: DirectIds;
  /** The order of its streams is open since it was compared last. */
  open: boolean;
  /** STOMP: destination by slot. */
  readonly slots: Map<number, string>;
}

class Stage {
  readonly played: Played;
  private readonly world: StompWorld;
  private readonly gateway: Gateway;
  private readonly mqtt: MqttWorld;
  private readonly stomp: StompSide;
  private readonly actors: Actor[];
  private sequence = 0;

  constructor({ congestedBytes, members }: Script) {
    const tally = new Map<string, number>();
    this.played = { tally, bytes: 0, packets: 0 };
    this.world = new StompWorld({ congestedBytes, slotCount: SLOT_COUNT });
    this.gateway = new Gateway(this.world.broker.nowMs, tally);
    this.mqtt = { gateway: this.gateway, sessions: new Map(), shares: new Map() };
    this.stomp = { gateway: this.gateway, server: 'Sluice/1.2.3' };
    this.countRuns();
    this.actors = members.map((member, i) => ({
      member,
      name: `client ${i} (${member.protocol} ${member.level})`,
      pipe: null,
      model: null,
      sender: new MqttSender(member.protocol === 'mqtt' ? member.level : 4),
      ids: new DirectIds(),
      open: false,
      slots: new Map(),
    }));
  }

  /** How many messages one call to the core brings says whether the hot path is what is compared. */
  private countRuns(): void {
    const vhost = this.world.broker.addVhost('/');
    const publish = vhost.publish.bind(vhost);
    vhost.publish = (run, route) => {
      this.gateway.count(run.count > 1 ? 'broker: runs of several messages' : 'broker: runs of one message');
      return publish(run, route);
    };
  }

  perform(step: Step): void {
    if (step.kind === 'wait') {
      this.wait(step.ms);
      return;
    }
    const actor = this.actors[step.client]!;
    const connected = actor.pipe !== null && !actor.pipe.isClosed;
    if (step.kind === 'connect') {
      this.connect(step.client, step);
      return;
    }
    if (!connected) return;
    const { pipe } = actor;
    switch (step.kind) {
      case 'stall':
        // Whoever shares a queue leaves to others what it does not take; and aliases are given in the order of what is written.
        if (actor.member.role === 'topics') {
          pipe!.stalled = true;
          actor.open = true;
        }
        return;
      case 'read':
        pipe!.readSome(step.bytes);
        this.settle();
        return;
      case 'leave':
        this.leave(actor, step.lost, step.cut);
        return;
      case 'publish':
        if (actor.member.role !== 'aliases') this.send(actor, this.publishes(actor, step), step.cut);
        return;
      case 'acknowledge':
        // What has not been read cannot be acknowledged.
        if (!pipe!.stalled)
          this.send(actor, this.acknowledgements(actor, step.count, step.picks, step.verdict), step.cut);
        return;
      case 'subscribe':
        // Retained messages come to a slow reader when it has caught up, behind what was published meanwhile.
        this.readOn();
        this.send(actor, this.requests(actor, step), step.cut);
        return;
      case 'unsubscribe':
      case 'ping':
        this.send(actor, this.requests(actor, step), step.cut);
        return;
    }
  }

  /** Everybody reads on and acknowledges what there is. */
  finish(): void {
    this.readOn();
    for (let rounds = 0; ; rounds++) {
      if (rounds > 5000) throw new Error('the acknowledgements do not come to an end');
      let any = false;
      for (const actor of this.actors) {
        if (actor.pipe === null || actor.pipe.isClosed || actor.model!.owed.length === 0) continue;
        any = true;
        this.send(actor, this.acknowledgements(actor, actor.model!.owed.length, [0], 'accept'), WHOLE);
      }
      if (!any) break;
    }
    for (const { pipe } of this.actors)
      if (pipe !== null && !pipe.isClosed && pipe.paused > 0) throw new Difference('somebody is paused for ever');
    // Two slots are STOMP's for good.
    const borrowed = this.world.arena.borrowedCount;
    if (borrowed !== 2) throw new Difference(`${borrowed - 2} slots of the arena are not given back`);
  }

  // ---- both sides

  private send(actor: Actor, packets: readonly Buffer[], cut: Cut): void {
    if (packets.length === 0) return;
    actor.open = true;
    this.feed(actor.pipe!, Buffer.concat(packets), cut);
    for (const one of packets) actor.model!.onPacket(one);
    this.settle();
  }

  private feed(pipe: Pipe, bytes: Buffer, { kind, at: share, sizes, arena }: Cut): void {
    this.gateway.count(`cut: ${kind}`);
    const { length } = bytes;
    let at = 0;
    for (let i = 0; at < length && !pipe.isClosed; i++) {
      this.resume(pipe);
      let size = length;
      if (kind === 'every byte') size = at < SINGLE_BYTES || at >= length - SINGLE_BYTES ? 1 : BETWEEN_BYTES;
      else if (kind === 'anywhere')
        size = i < SMALL_PIECES ? sizes[i % sizes.length]! : 1000 + sizes[i % sizes.length]!;
      else if (kind === 'in two' && i === 0) size = Math.max(1, Math.floor((length * share) / 1000));
      const end = Math.min(length, at + size);
      this.chunk(pipe, bytes.subarray(at, end), arena);
      at = end;
    }
    this.resume(pipe);
  }

  private chunk(pipe: Pipe, bytes: Buffer, throughArena: boolean): void {
    if (!throughArena) {
      pipe.send(bytes);
      return;
    }
    const { arena } = this.world;
    for (let at = 0; at < bytes.length && !pipe.isClosed; ) {
      const size = Math.min(bytes.length - at, arena.readEnd - arena.readStart);
      arena.bytes.set(bytes.subarray(at, at + size), arena.readStart);
      pipe.handler.onChunk(arena.bytes, arena.readStart, arena.readStart + size);
      arena.bytes.fill(0xdb, arena.readStart - 1024, arena.readStart + size);
      at += size;
    }
  }

  /** Nothing is read from a publisher that is paused: it goes on when those it waits for have read. */
  private resume(pipe: Pipe): void {
    if (pipe.paused === 0) return;
    this.gateway.count('publisher paused');
    this.world.settle();
    for (const one of this.actors) one.pipe?.readOn();
    this.world.settle();
    if (pipe.paused > 0) throw new Difference('a publisher is paused although everybody has read');
  }

  private settle(): void {
    this.world.settle();
    this.gateway.settle();
    for (const actor of this.actors) this.compare(actor);
  }

  private compare(actor: Actor): void {
    const { pipe, model, member, name, ids } = actor;
    if (pipe === null || model === null) return;
    if (pipe.stalled) {
      actor.open = true;
      return;
    }
    const received = pipe.taken();
    const expected = model.sent.splice(0);
    const found =
      member.protocol === 'mqtt'
        ? compareMqtt(received, expected, !actor.open && received.length < MUCH_BYTES, name)
        : compareStomp(received, expected, ids, name);
    this.played.bytes += found.bytes;
    this.played.packets += found.messages;
    if (found.messages > 0) this.gateway.count(actor.open ? 'compared by stream' : 'compared in order');
    if (pipe.isClosed !== model.closed)
      throw new Difference(`${name}: the broker has ${pipe.isClosed ? '' : 'not '}ended the connection`);
    actor.open = false;
  }

  private readOn(): void {
    for (const { pipe } of this.actors) {
      if (pipe?.stalled !== true) continue;
      this.gateway.count('slow reader');
      // In small pieces first.
      pipe.readSome(7);
      pipe.readSome(5000);
      pipe.readOn();
    }
    this.settle();
  }

  private wait(ms: number): void {
    this.readOn();
    const { broker, clock, adapters } = this.world;
    for (let gone = 0; gone < ms; gone += TICK_MS) {
      // As the server does, whose timer is not running.
      clock.advance(TICK_MS);
      broker.setTime(clock.realtime());
      broker.tick();
      for (const adapter of adapters) adapter.tick();
      this.gateway.tick(broker.nowMs);
      for (const session of [...this.mqtt.sessions.values()]) {
        session.rest();
        if (session.connection !== null || session.endsAtMs === 0 || session.endsAtMs > broker.nowMs) continue;
        this.gateway.count('session expired');
        session.end();
      }
    }
    this.settle();
  }

  // ---- connecting and leaving

  private connect(client: number, step: Step & { kind: 'connect' }): void {
    this.readOn();
    const actor = this.actors[client]!;
    const { member } = actor;
    const before = actor.model;
    const beforePipe = actor.pipe;
    if (member.protocol === 'stomp') {
      if (beforePipe !== null && !beforePipe.isClosed) return;
      actor.pipe = this.world.connect(this.world.stompAdapter);
      const model = new StompModel(this.stomp, member.level);
      actor.model = model;
      actor.slots.clear();
      const bytes = frameBytes(member.level, 'CONNECT', [
        'accept-version',
        { 10: '1.0', 11: '1.1', 12: '1.2' }[member.level],
        'host',
        '/',
      ]);
      actor.open = true;
      this.feed(actor.pipe, bytes, step.cut);
      this.world.settle();
      const received = actor.pipe.taken();
      model.sessionName = /\nsession:([0-9a-z]{12})\n/.exec(received.toString('latin1'))?.[1] ?? '';
      model.onPacket(bytes);
      compareStomp(received, model.sent.splice(0), actor.ids, actor.name);
      this.settle();
      return;
    }
    const aliases = member.role === 'aliases' ? step.aliases : 0;
    const will =
      member.will === null
        ? null
        : { ...member.will, topic: TOPICS[member.will.topic]!, payload: Buffer.from(`will of ${client}`) };
    const bytes = connectBytes(member.level, {
      ...step,
      clientId: `c${client}`,
      sessionExpiryS: step.expiryS,
      topicAliasMaximum: aliases,
      will,
    });
    const pipe = this.world.connect();
    const model = new MqttModel(this.mqtt, member.level);
    actor.sender.onConnect();
    // Its connection before, if there is one, is ended by this one.
    actor.open = true;
    this.feed(pipe, bytes, step.cut);
    model.onPacket(bytes);
    if (before !== null) {
      this.world.settle();
      this.compare(actor);
    }
    actor.pipe = pipe;
    actor.model = model;
    actor.open = true;
    this.settle();
  }

  private leave(actor: Actor, lost: boolean, cut: Cut): void {
    this.readOn();
    const { member } = actor;
    if (lost) {
      this.gateway.count('connection lost');
      actor.pipe!.hangUp();
      actor.model!.onLost();
      this.settle();
      return;
    }
    this.gateway.count('goodbye');
    const bytes =
      member.protocol === 'mqtt'
        ? packet(0xe0)
        : frameBytes(member.level, 'DISCONNECT', ['receipt', `bye ${this.sequence++}`]);
    this.send(actor, [bytes], cut);
  }

  // ---- what a client sends

  private publishes(actor: Actor, step: Step & { kind: 'publish' }): Buffer[] {
    const { member } = actor;
    // Of a shared queue it would be open to whom the message goes: an acknowledgement behind it may make room before it does.
    const shares = member.protocol === 'mqtt' && member.role === 'queue';
    const owed = actor.pipe!.stalled || shares ? [] : this.acknowledgements(actor, step.acknowledging, [0], 'accept');
    const frames: Buffer[] = [];
    const transaction = member.protocol === 'stomp' && step.transaction !== '' ? `t${this.sequence}` : '';
    if (transaction !== '' && member.protocol === 'stomp')
      frames.push(frameBytes(member.level, 'BEGIN', ['transaction', transaction]));
    for (const sent of step.messages) {
      const sequence = this.sequence++;
      frames.push(
        member.protocol === 'mqtt'
          ? actor.sender.publish(sent, sequence)
          : stompSend(member.level, sent, sequence, transaction),
      );
      const answer = owed.shift();
      if (answer !== undefined) frames.push(answer);
    }
    if (transaction !== '' && member.protocol === 'stomp') {
      frames.push(
        frameBytes(member.level, step.transaction, ['transaction', transaction, 'receipt', `done ${transaction}`]),
      );
    }
    return [...frames, ...owed];
  }

  private acknowledgements(actor: Actor, count: number, picks: readonly number[], verdict: Verdict): Buffer[] {
    const { owed } = actor.model!;
    const answers: Buffer[] = [];
    for (let i = 0; i < count && owed.length > 0; i++) {
      const at = picks[i % picks.length]! % owed.length;
      const one = owed.splice(at, 1)[0]!;
      const { member } = actor;
      answers.push(
        member.protocol === 'mqtt'
          ? mqttAnswer(member.level, one, verdict)
          : stompAnswer(actor, member.level, one, at, verdict),
      );
    }
    return answers;
  }

  private requests(actor: Actor, step: Step & { kind: 'subscribe' | 'unsubscribe' | 'ping' }): Buffer[] {
    const { member, sender } = actor;
    if (member.protocol === 'stomp') return this.stompRequests(actor, member.level, step);
    const { level } = member;
    if (step.kind === 'subscribe') return [subscribeBytes(level, sender.id(), step.filters, step.identifier)];
    if (step.kind === 'unsubscribe') return [unsubscribeBytes(level, sender.id(), step.filters)];
    // Answers to nothing that was asked.
    const strays = [
      ackBytes(level, 4, 65_000),
      ackBytes(level, 5, 65_001),
      ackBytes(level, 6, 65_002),
      ackBytes(level, 7, 65_003),
    ];
    return [packet(0xc0), strays[step.stray]!];
  }

  private stompRequests(
    actor: Actor,
    level: 10 | 11 | 12,
    step: Step & { kind: 'subscribe' | 'unsubscribe' | 'ping' },
  ): Buffer[] {
    if (step.kind === 'ping') return [Buffer.from('\n')];
    const { slot } = step;
    const destination = actor.slots.get(slot);
    // STOMP 1.0 needs no id: its first subscription goes without.
    const id = level === 10 && slot === 0 ? [] : ['id', `sub ${slot}`];
    if (step.kind === 'unsubscribe') {
      if (destination === undefined) return [];
      actor.slots.delete(slot);
      const owed = actor.model!.owed;
      const subscription = id[1] ?? null;
      // What it had not settled is not its own any more.
      owed.splice(0, owed.length, ...owed.filter((one) => one.subscription !== subscription));
      return [
        frameBytes(level, 'UNSUBSCRIBE', [
          ...id,
          ...(id.length === 0 ? ['destination', destination] : []),
          'receipt',
          `u${this.sequence++}`,
        ]),
      ];
    }
    if (destination !== undefined) return [];
    const [{ filter }] = step.filters as unknown as [{ filter: string }];
    actor.slots.set(slot, filter);
    const prefetch = step.prefetch === 100 ? [] : ['prefetch-count', String(step.prefetch)];
    return [
      frameBytes(level, 'SUBSCRIBE', [
        ...id,
        'destination',
        filter,
        'ack',
        step.ack,
        ...prefetch,
        'receipt',
        `s${this.sequence++}`,
      ]),
    ];
  }
}

/** From here on the broker gives others their turn in between, and what may be lost can pass what waits. */
const MUCH_BYTES = 200_000;

function mqttAnswer(level: 3 | 4 | 5, { kind, id }: Owed, verdict: Verdict): Buffer {
  const type = { puback: 4, pubrec: 5, pubrel: 6, pubcomp: 7, ack: 0 }[kind];
  const refuses = level === 5 && verdict === 'refuse' && type < 6;
  return ackBytes(level, type, id, refuses ? 0x80 : 0);
}

function stompAnswer(
  actor: Actor,
  level: 10 | 11 | 12,
  { messageId, subscription, id }: Owed,
  at: number,
  verdict: Verdict,
): Buffer {
  const named =
    level === 12
      ? ['id', messageId]
      : level === 11
        ? ['subscription', subscription!, 'message-id', messageId]
        : ['message-id', messageId];
  const command = verdict === 'accept' || level === 10 ? 'ACK' : 'NACK';
  if (command === 'NACK' && verdict === 'refuse') named.push('requeue', 'false');
  const { owed } = actor.model!;
  if ((actor.model as StompModel).isCumulative(messageId)) {
    // Those before it are settled with it.
    owed.splice(0, owed.length, ...owed.filter((one) => one.subscription !== subscription || one.id > id));
  }
  if (at % 2 === 0) named.push('receipt', `ack ${messageId}`);
  return frameBytes(level, command, named);
}
