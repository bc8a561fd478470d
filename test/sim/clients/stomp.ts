// A scripted STOMP client: one connection after the other (stomp-link.ts), each with its subscriptions and transactions, each of which may end at any point. STOMP has no
// sessions: what a connection had not finished is void, and what it sent without a receipt may have arrived or not.
import type { Dice } from '../dice.ts';
import type { Identity } from '../model/oracle.ts';
import type { Sent } from '../model/sent.ts';
import type { Actor } from './actor.ts';
import { type FaultShares, NO_FAULTS } from './mqtt-plan.ts';
import { StompLink } from './stomp-link.ts';
import type { StompPlan } from './stomp-plan.ts';
import type { Surroundings } from './surroundings.ts';

export class StompActor implements Actor {
  readonly name: string;
  readonly plan: StompPlan;
  readonly identity: Identity;
  readonly around: Surroundings;
  link: StompLink | null = null;
  faults: FaultShares;
  healing = false;
  finished = false;
  /** A durable subscription was asked for at least once. */
  durableAsked = false;
  private stepsLeft: number;
  private finishing = false;
  private connections = 0;

  constructor(around: Surroundings, plan: StompPlan) {
    this.around = around;
    this.plan = plan;
    this.name = plan.clientId;
    this.identity = around.oracle.addIdentity(plan.clientId);
    this.faults = plan.faults;
    this.stepsLeft = plan.steps;
  }

  // ---- Actor

  start(): void {
    this.later(this.around.dice.below(100), () => this.connect());
    this.scheduleStep();
  }

  heal(): void {
    this.healing = true;
    this.faults = NO_FAULTS;
    this.link?.wire.readOn();
    // What was kept for it is fetched.
    if (this.link?.connected === true) this.link.subscribeAll();
    if (this.link === null) this.later(1, () => this.connect());
  }

  get quiet(): boolean {
    const { link } = this;
    return link?.connected === true && link.acksPending === 0 && link.receiptsPending === 0;
  }

  leftovers(): readonly (readonly [string, string])[] {
    const { link } = this;
    if (link === null || !link.connected) return [['liveness', `${this.name} is not connected`]];
    const found: [string, string][] = [];
    if (link.receiptsPending > 0)
      found.push(['unanswered', `${link.conn.name} waits for ${link.receiptsPending} receipts`]);
    if (link.wire.paused)
      found.push(['still-paused', `the broker does not read from ${link.conn.name}, and nobody is slow any more`]);
    return found;
  }

  finish(): void {
    this.finishing = true;
    if (this.link !== null) this.link.leave(this.durableAsked);
    else this.later(1, () => this.connect());
  }

  done(): void {
    this.finished = true;
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
    const { link, faults } = this;
    if (link === null) {
      if (dice.chance(0.5)) this.connect();
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
    else if (falls(faults.garbage)) link.garbage();
    else if (falls(faults.stall)) {
      link.wire.stall();
      this.later(50 + dice.below(1500), () => link.wire.readOn());
    } else if (falls(12)) link.changeSubscriptions();
    else this.sendSome(link);
  }

  private sendSome(link: StompLink): void {
    const { dice } = this.around;
    const { plan } = this;
    const messages: Sent[] = [];
    for (let i = dice.below(plan.burst); i >= 0; i--) messages.push(this.draw(dice));
    link.send(messages, dice.below(100) < plan.transactionShare);
  }

  private draw(dice: Dice): Sent {
    const { plan, around } = this;
    around.counts.sent++;
    const topic = dice.pick(plan.topics);
    const retain = topic.startsWith('r/') && dice.below(100) < plan.retainShare;
    const large = dice.below(100) < plan.largeShare;
    const withProperties = dice.below(100) < plan.propertyShare;
    return around.oracle.ledger.send(this.identity.index, {
      topic,
      qos: dice.below(100) < plan.persistentShare ? 1 : 0,
      retain,
      size: retain && dice.chance(0.2) ? 0 : large ? dice.pick([500, 5000, 17_000, 70_000]) : 14 + dice.below(40),
      properties: withProperties ? { contentType: 'text/x', userProperties: ['n', String(dice.below(10))] } : null,
      expiryMs: 0,
    });
  }

  // ---- connections

  connect(): void {
    if (this.link !== null || this.finished) return;
    this.around.counts.connects++;
    this.link = new StompLink(this, ++this.connections);
  }

  /** It has been let in. */
  onConnected(link: StompLink): void {
    if (this.finishing) link.leave(this.durableAsked);
    else link.subscribeAll();
  }

  lose(link: StompLink, how: 'reset' | 'vanish' | 'close'): void {
    if (this.link === link) this.link = null;
    if (how === 'reset') link.wire.reset();
    else if (how === 'close') link.wire.close();
    else link.vanish();
    this.comeBack();
  }

  drop(link: StompLink, step: string): void {
    const { droppedAt } = this.around.counts;
    droppedAt.set(step, (droppedAt.get(step) ?? 0) + 1);
    this.lose(link, this.around.dice.chance(0.8) ? 'reset' : 'vanish');
  }

  dropsAt(): boolean {
    return this.faults.atStep > 0 && this.around.dice.below(100) < this.faults.atStep;
  }

  onHungUp(link: StompLink): void {
    if (this.link !== link) return;
    this.link = null;
    this.comeBack();
  }

  comeBack(): void {
    if (this.finished) return;
    if (this.healing || this.finishing) {
      this.later(5, () => this.connect());
      return;
    }
    const { dice } = this.around;
    if (dice.chance(0.7)) this.later(dice.below(this.plan.awayMs), () => this.connect());
  }
}
