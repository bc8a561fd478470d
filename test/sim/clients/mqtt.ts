// A scripted MQTT client: a session with all a client has to remember, and one connection after the other (mqtt-link.ts), each of which may end at any point. It obeys the specification
// to the letter (except where its plan says garbage), so that whatever goes wrong is the broker's doing. It tells the oracle what the broker was given and what it wrote.
import type { Publish } from '../../../protocols/mqtt/packet.ts';
import { ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import type { Dice } from '../dice.ts';
import type { Identity } from '../model/oracle.ts';
import type { Sent } from '../model/sent.ts';
import { EARLY_MS } from '../model/tolerance.ts';
import type { Actor } from './actor.ts';
import { MqttLink } from './mqtt-link.ts';
import { packetOf } from './mqtt-packets.ts';
import { type FaultShares, type MqttPlan, NEVER_S, NO_FAULTS } from './mqtt-plan.ts';
import type { Surroundings } from './surroundings.ts';

const UNACKNOWLEDGED_MAX = 15;

interface Outgoing {
  readonly id: number;
  readonly sent: Sent;
  released: boolean;
}

export class MqttActor implements Actor {
  readonly name: string;
  readonly plan: MqttPlan;
  readonly identity: Identity;
  readonly around: Surroundings;
  readonly unacknowledged: Outgoing[] = [];
  readonly received = new Set<number>();
  /** Filters with a SUBSCRIBE or UNSUBSCRIBE under way, and those that are subscribed to. */
  readonly asking = new Set<string>();
  readonly subscribed = new Set<string>();
  link: MqttLink | null = null;
  /** There was no clean start since it last had a session that goes on. */
  keepsState = false;
  /** When the session ends, and whether it may have ended without the client having been told. */
  private endsAtMs = Number.POSITIVE_INFINITY;
  private unsure = false;
  faults: FaultShares;
  finished = false;
  private stepsLeft: number;
  private nextId = 1;
  healing = false;
  private finishing = false;
  private connections = 0;

  constructor(around: Surroundings, plan: MqttPlan) {
    this.around = around;
    this.plan = plan;
    this.name = plan.clientId;
    this.identity = around.oracle.addIdentity(plan.clientId);
    this.faults = plan.faults;
    this.stepsLeft = plan.steps;
  }

  get v5(): boolean {
    return this.plan.version === ProtocolVersion.V5;
  }

  // ---- Actor

  start(): void {
    this.later(this.around.dice.below(100), () => this.connect(true));
    this.scheduleStep();
  }

  heal(): void {
    this.healing = true;
    this.faults = NO_FAULTS;
    this.link?.wire.readOn();
    if (this.link === null) this.later(1, () => this.connect(false));
  }

  get quiet(): boolean {
    const { link } = this;
    return (
      link?.connected === true && this.unacknowledged.length === 0 && this.asking.size === 0 && link.acksPending === 0
    );
  }

  leftovers(): readonly (readonly [string, string])[] {
    const found: [string, string][] = [];
    const { link } = this;
    if (link === null || !link.connected) return [['liveness', `${this.name} is not connected`]];
    const { conn } = link;
    if (this.unacknowledged.length > 0)
      found.push([
        'unanswered',
        `${this.name} waits for answers to ${this.unacknowledged.map(({ sent }) => sent).join(', ')}`,
      ]);
    if (this.asking.size > 0)
      found.push(['unanswered', `${this.name} waits for answers about ${[...this.asking].join(', ')}`]);
    if (conn.pubacks.length + conn.pubrecs.length + conn.pubcomps.length + conn.pings > 0)
      found.push(['unanswered', `${conn.name} was not answered`]);
    if (link.wire.paused)
      found.push(['still-paused', `the broker does not read from ${conn.name}, and nobody is slow any more`]);
    if (this.received.size > 0)
      found.push(['qos2-id-stuck', `${this.name} waits for PUBREL of ${[...this.received].join(', ')}`]);
    return found;
  }

  /** A clean session of its own makes an end of the one before. */
  finish(): void {
    this.finishing = true;
    this.link?.leave();
    this.later(1, () => this.connect(true));
  }

  // ---- steps

  private later(delayMs: number, task: () => void): void {
    this.around.network.schedule.after(delayMs, task);
  }

  private scheduleStep(): void {
    if (this.stepsLeft-- <= 0 || this.healing) return;
    this.later(1 + this.around.dice.below(this.plan.gapMs * 2), () => {
      if (!this.healing) this.act();
      this.scheduleStep();
    });
  }

  private act(): void {
    const { dice } = this.around;
    const { link, faults, plan } = this;
    if (link === null) {
      if (dice.chance(0.5)) this.connect(dice.below(100) < plan.cleanShare);
      return;
    }
    if (!link.connected) {
      if (dice.chance(0.02)) this.drop(link, 'CONNECT');
      return;
    }
    let at = dice.below(100);
    const falls = (share: number): boolean => {
      at -= share;
      return at < 0;
    };
    if (falls(faults.reset)) this.lose(link, 'reset');
    else if (falls(faults.vanish)) this.lose(link, 'vanish');
    else if (falls(faults.close)) this.lose(link, 'close');
    else if (falls(faults.disconnect)) link.disconnect();
    else if (falls(faults.takeover)) {
      this.around.counts.takeovers++;
      this.abandon(link);
      this.connect(dice.below(100) < plan.cleanShare);
    } else if (falls(faults.garbage)) link.garbage();
    else if (falls(faults.stall)) {
      link.wire.stall();
      this.later(50 + dice.below(1500), () => link.wire.readOn());
    } else if (falls(12)) this.changeSubscriptions(link);
    else if (falls(4)) link.ping();
    else this.publishSome(link);
  }

  private changeSubscriptions(link: MqttLink): void {
    const { dice } = this.around;
    const free = this.plan.filters.filter(({ filter }) => !this.asking.has(filter));
    if (free.length === 0) return;
    const one = dice.pick(free);
    if (this.subscribed.has(one.filter) && dice.chance(0.5)) link.unsubscribe([one.filter]);
    else link.subscribe(dice.chance(0.3) ? free.slice(0, 3) : [one]);
  }

  private publishSome(link: MqttLink): void {
    const { dice, oracle, counts } = this.around;
    const { plan } = this;
    const packets: { packet: Publish; sent: Sent; id: number }[] = [];
    for (let i = dice.below(plan.burst); i >= 0; i--) {
      const qos = weighted(dice, plan.qosWeights);
      if (qos > 0 && this.unacknowledged.length >= Math.min(UNACKNOWLEDGED_MAX, link.sendMaximum)) break;
      const topic = dice.pick(plan.topics);
      const retain = topic.startsWith('r/') && dice.below(100) < plan.retainShare;
      const clears = retain && dice.chance(0.2);
      const large = dice.below(100) < plan.largeShare;
      const withProperties = dice.below(100) < plan.propertyShare;
      const sent = oracle.ledger.send(this.identity.index, {
        topic,
        qos,
        retain,
        size: clears ? 0 : large ? dice.pick([500, 5000, 17_000, 70_000]) : 14 + dice.below(40),
        properties: withProperties
          ? { contentType: dice.chance(0.5) ? 'text/x' : null, userProperties: ['n', String(dice.below(10)), 'n', 'ü'] }
          : null,
        expiryMs: !retain && dice.below(100) < plan.expiryShare ? dice.pick([1000, 2000, 60_000]) : 0,
      });
      counts.sent++;
      const id = qos === 0 ? 0 : this.takeId();
      if (qos > 0) this.unacknowledged.push({ id, sent, released: false });
      packets.push({ packet: packetOf(sent, id, this.v5), sent, id });
    }
    link.publish(packets);
  }

  private takeId(): number {
    do this.nextId = this.nextId >= 65_535 ? 1 : this.nextId + 1;
    while (this.unacknowledged.some(({ id }) => id === this.nextId));
    return this.nextId;
  }

  freshId(): number {
    return this.takeId();
  }

  // ---- connections

  connect(clean: boolean): void {
    if (this.link !== null || this.finished) return;
    const { plan, around } = this;
    around.counts.connects++;
    this.asking.clear();
    const ends = plan.expiryS === 0;
    const { nowMs } = around.network.schedule;
    // Its session may be over, and the last answer, which would have told, never came: what it still remembers might be taken for that of another session.
    const lostTrack = this.unsure;
    const { ghost } = this.identity;
    const isClean =
      lostTrack ||
      ghost ||
      this.finishing ||
      (around.avoid.has('takeover') ? ends || (clean && this.v5) : clean || (ends && !this.v5));
    if (isClean || nowMs > this.endsAtMs - EARLY_MS) this.unsure = true;
    this.link = new MqttLink(this, ++this.connections, isClean, this.finishing);
  }

  /** The connection is no longer this client's concern. */
  abandon(link: MqttLink, expiryS = this.plan.expiryS): void {
    if (this.link !== link) return;
    this.link = null;
    // [MQTT-3.1.2-6] of 3.1.1; MQTT 5.0 section 3.1.2.11.2: what the session knew ends with the connection.
    if (this.v5 ? expiryS === 0 : link.clean) this.forget();
    // Whether the broker has heard of that is another matter.
    if (expiryS === 0 && this.plan.expiryS !== 0) this.unsure = true;
    this.sessionWaits(expiryS);
  }

  /** As far as the client can tell, its session lives until then. */
  private sessionWaits(expiryS: number): void {
    this.endsAtMs =
      expiryS === NEVER_S ? Number.POSITIVE_INFINITY : this.around.network.schedule.nowMs + expiryS * 1000;
  }

  onConnected(): void {
    this.unsure = false;
    this.endsAtMs = Number.POSITIVE_INFINITY;
  }

  lose(link: MqttLink, how: 'reset' | 'vanish' | 'close', expiryS = this.plan.expiryS): void {
    this.abandon(link, expiryS);
    if (how === 'reset') link.wire.reset();
    else if (how === 'close') link.wire.close();
    else link.vanish();
    const { dice } = this.around;
    const silenceMs = this.plan.keepAliveS * 1500;
    // Time enough for the broker to notice the silence, or not.
    if (how === 'vanish' && silenceMs > 0 && dice.chance(0.5)) this.later(silenceMs + 1500, () => this.comeBack());
    else this.comeBack();
  }

  /** Drops the connection at a step of a handshake. */
  drop(link: MqttLink, step: string): void {
    const { droppedAt } = this.around.counts;
    droppedAt.set(step, (droppedAt.get(step) ?? 0) + 1);
    this.lose(link, this.around.dice.chance(0.8) ? 'reset' : 'vanish');
  }

  dropsAt(): boolean {
    return this.faults.atStep > 0 && this.around.dice.below(100) < this.faults.atStep;
  }

  comeBack(): void {
    if (this.healing || this.finishing) {
      if (!this.finished) this.later(5, () => this.connect(this.finishing));
      return;
    }
    const { dice } = this.around;
    if (dice.chance(0.7))
      this.later(dice.below(this.plan.awayMs), () => this.connect(dice.below(100) < this.plan.cleanShare));
  }

  /** The session the client remembered is not there: what was in flight is nobody's business any more. */
  forget(): void {
    this.unacknowledged.length = 0;
    this.received.clear();
    this.subscribed.clear();
  }

  onHungUp(link: MqttLink): void {
    if (this.link !== link) return;
    this.abandon(link);
    this.comeBack();
  }

  done(): void {
    this.finished = true;
  }
}

function weighted(dice: Dice, weights: readonly [number, number, number]): 0 | 1 | 2 {
  let at = dice.below(weights[0] + weights[1] + weights[2]);
  for (let i = 0; i < 3; i++) {
    at -= weights[i]!;
    if (at < 0) return i as 0 | 1 | 2;
  }
  return 2;
}
