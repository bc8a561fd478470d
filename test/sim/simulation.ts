// One seed, one run: a broker with its network and its clients, first with everything that may go wrong going wrong, then healed until nothing is under way any more, then looked at:
// what was promised, and what is left behind.

import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { Faults } from '../../src/storage/embedded/faults.ts';
import type { StompWorld } from '../support/stomp-client.ts';
import type { Actor } from './clients/actor.ts';
import { MqttActor } from './clients/mqtt.ts';
import {
  drawMqttPlan,
  type FaultShares,
  type MqttPlan,
  NEVER_S,
  NO_FAULTS,
  QUEUES,
  type Role,
  type Theme,
} from './clients/mqtt-plan.ts';
import { StompActor } from './clients/stomp.ts';
import { HEART_BEAT_MS } from './clients/stomp-link.ts';
import { drawStompPlan } from './clients/stomp-plan.ts';
import { ClientCounts, type Surroundings } from './clients/surroundings.ts';
import { Dice } from './dice.ts';
import { checkLeaks } from './leaks.ts';
import { Machine, type MachineCounts, NO_FAULTS as NO_STORAGE_FAULTS } from './machine.ts';
import { Oracle, type OracleCounts, type Violation } from './model/oracle.ts';
import { checkPromises, checkRetained } from './model/promises.ts';
import { Network, type NetworkCounts, type NetworkProfile } from './network.ts';
import { Schedule } from './schedule.ts';

export interface SimulationOptions {
  readonly tolerated?: ReadonlySet<string>;
  readonly avoid?: ReadonlySet<string>;
  /** On a disk, with crashes; otherwise in memory only. */
  readonly durable?: boolean;
  /** Bugs of the storage engine. */
  readonly faults?: Faults;
  /** Changes the broker before it starts: how seeded bugs get in. */
  readonly tamper?: (world: StompWorld) => void;
  /** Keeps a line for everything that happens. */
  readonly trace?: boolean;
}

export interface SimulationReport {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly tolerated: ReadonlyMap<string, number>;
  readonly oracle: OracleCounts;
  readonly network: NetworkCounts;
  readonly clients: ClientCounts;
  readonly machine: MachineCounts;
  readonly sent: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly trace: readonly string[];
}

/** What the broker may keep back for a healed client, and how long it may take. */
const HEAL_MS = 60_000;
const QUIET_MS = 1500;

export class Simulation {
  readonly seed: number;
  readonly dice: Dice;
  readonly machine: Machine;
  readonly schedule: Schedule;
  readonly network: Network;
  readonly oracle: Oracle;
  readonly actors: Actor[] = [];
  readonly clientCounts = new ClientCounts();
  private healed = false;
  private readonly around: Surroundings;

  private constructor(seed: number, options: SimulationOptions, dice: Dice, profile: NetworkProfile, machine: Machine) {
    this.seed = seed;
    this.dice = dice;
    this.machine = machine;
    const { world } = machine;
    this.schedule = new Schedule(world.clock, dice);
    this.schedule.settleShare = dice.pick([1, 0.6, 0.3]);
    this.schedule.halted = () => machine.dead;
    this.network = new Network(world, this.schedule, dice, profile);
    this.network.dead = () => machine.dead;
    this.oracle = new Oracle(options.tolerated);
    this.oracle.crashes.enabled = options.durable === true;
    if (options.trace === true) this.oracle.trace = [];
    this.oracle.nowMs = () => this.schedule.nowMs;
    this.oracle.after = (delayMs, task) => this.schedule.after(delayMs, task);
    this.schedule.onSettled = () => {
      this.oracle.turnEnded();
      machine.work(this.schedule);
    };
    this.network.onDamage = (text) => this.oracle.fail('damage', text);
    this.around = {
      network: this.network,
      oracle: this.oracle,
      dice,
      counts: this.clientCounts,
      avoid: options.avoid ?? new Set(),
      accept: (protocol, transport) =>
        (protocol === 'mqtt' ? machine.world.mqttAdapter : machine.world.stompAdapter).accept(transport, ''),
    };
  }

  static async create(seed: number, options: SimulationOptions = {}): Promise<Simulation> {
    const dice = new Dice(seed);
    const theme: Theme = dice.pick(['mixed', 'mixed', 'mixed', 'squeeze', 'absence']);
    const profile = drawNetwork(dice, theme);
    const world = {
      seed,
      congestedBytes: profile.congestedBytes,
      mqtt: { receiveMaximum: dice.pick([20, 1024]) },
      stomp: { heartBeatSendMs: HEART_BEAT_MS, heartBeatReceiveMs: HEART_BEAT_MS },
    };
    const durable = options.durable === true;
    const machine = new Machine(
      {
        world,
        durable,
        faults: options.faults ?? NO_STORAGE_FAULTS,
        tamper: options.tamper ?? (() => undefined),
      },
      dice,
    );
    await machine.boot();
    const simulation = new Simulation(seed, options, dice, profile, machine);
    simulation.cast(theme);
    return simulation;
  }

  private cast(theme: Theme): void {
    const { dice } = this;
    const faults = this.around.avoid.has('faults') ? NO_FAULTS : drawFaults(dice, theme);
    const mood = { theme, faults, steps: 6 + dice.below(24), large: dice.chance(0.2) };
    const roles: Role[] = ['publisher', 'subscriber'];
    for (let i = dice.below(5); i >= 0; i--)
      roles.push(dice.pick(['publisher', 'subscriber', 'subscriber', 'sharer', 'worker']));
    if (dice.chance(0.5)) roles.push('sharer', 'sharer');
    if (dice.chance(0.5)) roles.push('worker', 'worker');
    roles.forEach((role, i) => {
      this.actors.push(new MqttActor(this.around, drawMqttPlan(dice, `c${i}`, role, mood)));
    });
    if (dice.chance(0.3)) return;
    for (let i = dice.below(4); i >= 0; i--)
      this.actors.push(new StompActor(this.around, drawStompPlan(dice, `s${i}`, mood, this.around.avoid)));
  }

  /** A client without faults and wishes of its own. */
  private addHealthy(clientId: string, filters: readonly string[]): MqttActor {
    const actor = new MqttActor(this.around, healthyPlan(clientId, filters));
    this.actors.push(actor);
    actor.healing = true;
    actor.connect(true);
    return actor;
  }

  async run(): Promise<SimulationReport> {
    try {
      await this.play();
    } catch (error) {
      this.oracle.fail('exception', error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    return {
      seed: this.seed,
      violations: this.oracle.violations,
      tolerated: this.oracle.toleratedCounts,
      oracle: this.oracle.counts,
      network: this.network.counts,
      clients: this.clientCounts,
      machine: this.machine.counts,
      sent: this.oracle.ledger.count,
      events: this.schedule.events,
      virtualMs: this.schedule.nowMs,
      trace: [
        ...(this.oracle.trace ?? []),
        ...(this.oracle.trace !== null ? this.machine.world.logger.lines.map((line) => JSON.stringify(line)) : []),
      ],
    };
  }

  private async play(): Promise<void> {
    const { oracle } = this;
    for (const actor of this.actors) actor.start();
    this.planCrashes();
    await this.drive(() => oracle.failed, 2000 + this.dice.below(6000));
    if (oracle.failed) return;
    this.healed = true;
    this.machine.disarm();
    this.heal();
    // Queues give up what nobody took.
    this.addHealthy('drain', QUEUES);
    if (!(await this.untilQuiet())) {
      for (const actor of this.actors) for (const [rule, text] of actor.leftovers()) oracle.fail(rule, text);
      if (!oracle.failed) oracle.fail('liveness', `not everything came to an end within ${HEAL_MS} ms`);
      return;
    }
    if (oracle.failed) return;
    for (const actor of this.actors) for (const [rule, text] of actor.leftovers()) oracle.fail(rule, text);
    checkPromises(oracle);
    if (oracle.failed) return;
    const auditor = this.addHealthy('audit', ['#']);
    if (!(await this.untilQuiet())) oracle.fail('liveness', 'the retained messages did not come to an end');
    checkRetained(oracle, auditor.identity.session);
    if (oracle.failed) return;
    for (const actor of this.actors) actor.finish();
    const gone = await this.drive(() => oracle.failed || this.actors.every(({ finished }) => finished), HEAL_MS);
    if (!gone) oracle.fail('liveness', 'not every client could end its session');
    await this.drive(() => false, 5000);
    if (!oracle.failed) checkLeaks(oracle, this.machine.world, this.network, this.machine.slotsAtRest);
  }

  /** Lets it run; a broker that dies on the way is followed by the next. Returns whether it was done. */
  private async drive(done: () => boolean, timeMaxMs: number): Promise<boolean> {
    const { schedule, machine } = this;
    const endMs = schedule.nowMs + timeMaxMs;
    for (;;) {
      const isDone = schedule.runWhile(done, endMs - schedule.nowMs);
      if (!machine.dead) return isDone;
      await machine.restart();
      schedule.continueOn(machine.world.clock);
      this.oracle.crashes.crashed();
      this.network.continueWith(machine.world);
    }
  }

  private planCrashes(): void {
    const { dice, machine, schedule, oracle } = this;
    if (!oracle.crashes.enabled) return;
    for (let i = dice.below(3); i >= 0; i--) {
      const within = dice.chance(0.5);
      schedule.after(200 + dice.below(5000), () => {
        if (this.healed) return;
        if (within) machine.crashWithinCall();
        else machine.crash();
      });
    }
  }

  private heal(): void {
    this.network.profile = { ...this.network.profile, latencyMs: 1, jitterMs: 1 };
    for (const wire of this.network.wires) wire.heal();
    for (const actor of this.actors) actor.heal();
  }

  /** Until nobody waits for anything for a while. */
  private async untilQuiet(): Promise<boolean> {
    const { schedule, oracle } = this;
    const endMs = schedule.nowMs + HEAL_MS;
    while (schedule.nowMs < endMs) {
      const isQuiet = (): boolean => oracle.failed || this.actors.every(({ quiet }) => quiet);
      if (!(await this.drive(isQuiet, endMs - schedule.nowMs))) return false;
      if (oracle.failed) return true;
      const delivered = oracle.counts.settled + oracle.counts.delivered + oracle.counts.wills;
      await this.drive(() => false, QUIET_MS);
      const moved = oracle.counts.settled + oracle.counts.delivered + oracle.counts.wills !== delivered;
      if (!moved && this.actors.every(({ quiet }) => quiet)) return true;
    }
    return false;
  }
}

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationReport> {
  const simulation = await Simulation.create(seed, options);
  return simulation.run();
}

function drawNetwork(dice: Dice, theme: Theme): NetworkProfile {
  return {
    latencyMs: dice.pick([0, 0, 1, 20]),
    jitterMs: dice.pick([0, 1, 30, 100]),
    splitShare: dice.pick([0, 0.1, 0.5, 0.9]),
    joinShare: dice.pick([0, 0.5, 1]),
    socketBytes: dice.pick(theme === 'squeeze' ? [100, 2000] : [100, 2000, 65_536, 1_000_000]),
    inlineSentShare: dice.pick([0, 0.5, 1]),
    arenaShare: dice.pick([0, 0.5, 1]),
    congestedBytes: dice.pick(theme === 'squeeze' ? [64] : [64, 1000, 262_144]),
  };
}

function drawFaults(dice: Dice, theme: Theme): FaultShares {
  if (theme === 'mixed' && dice.chance(0.15)) return NO_FAULTS;
  // Nothing but slowness: an end of a connection would set those free who wait for it.
  if (theme === 'squeeze' && dice.chance(0.5)) return { ...NO_FAULTS, stall: 15 };
  const some = (share: number): number => (dice.chance(0.6) ? share : 0);
  return {
    reset: some(3),
    vanish: some(2),
    stall: theme === 'squeeze' ? 15 : some(3),
    close: theme === 'absence' ? 8 : some(2),
    disconnect: theme === 'absence' ? 8 : some(3),
    takeover: some(3),
    garbage: some(1),
    atStep: some(dice.pick([2, 10])),
  };
}

function healthyPlan(clientId: string, filters: readonly string[]): MqttPlan {
  return {
    clientId,
    version: ProtocolVersion.V5,
    expiryS: NEVER_S,
    cleanShare: 0,
    receiveMaximum: 65_535,
    maximumPacketSize: null,
    keepAliveS: 0,
    will: null,
    filters: filters.map((filter) => ({ filter, noLocal: false, identifier: 0 })),
    qosMax: 2,
    retainAsPublished: false,
    topics: [],
    steps: 0,
    gapMs: 1,
    awayMs: 1,
    burst: 1,
    ackDelayMs: 0,
    shufflesAcks: false,
    qosWeights: [0, 1, 0],
    retainShare: 0,
    largeShare: 0,
    expiryShare: 0,
    propertyShare: 0,
    aliases: false,
    aliasMaximum: 0,
    noReplayShare: 0,
    rejectShare: 0,
    requeueShare: 0,
    faults: NO_FAULTS,
  };
}
