// Many runs, and what they add up to. A campaign in which something never happened has shown nothing about it, and fails as well.
import { type SimulationOptions, type SimulationReport, simulate } from './simulation.ts';

export interface Failure {
  readonly seed: number;
  readonly report: SimulationReport;
}

export interface CampaignReport {
  readonly seeds: number;
  readonly failures: readonly Failure[];
  /** Counts over all runs, by name. */
  readonly totals: ReadonlyMap<string, number>;
  /** What a campaign of this size should have seen and did not. */
  readonly unseen: readonly string[];
}

/** In this many seeds each of these happens; how often is a matter of the dice, that it does is not. */
const EXPECTED: readonly (readonly [seeds: number, names: readonly string[]])[] = [
  [
    50,
    [
      'messages sent',
      'messages acked',
      'messages delivered',
      'messages delivered at QoS 0',
      'messages checked to be delivered',
      'messages checked to be settled',
      'messages owed at QoS 0',
      'messages sent again',
      'messages requeued',
      'retained messages replayed',
      'retained topics checked',
      'answers without a match',
      'sessions resumed',
      'takeovers',
      'wills sent',
      'wills discarded',
      'chunks cut',
      'chunks joined',
      'connections reset',
      'connections closed',
      'connections half-open',
      'connections dropped within a handshake',
      'chunks lost',
      'clients stalled',
      'garbage',
    ],
  ],
  [
    300,
    [
      'wills cancelled',
      'sessions expired',
      'outputs congested',
      'publishers paused',
      'chunks held back while paused',
      'topic aliases seen',
      'transactions committed',
      'transactions aborted',
    ],
  ],
];

/** Steps at which a handshake can be broken off. */
const HANDSHAKE_STEPS = [
  'PUBLISH sent',
  'PUBREC received',
  'PUBREL sent',
  'QoS 1 PUBLISH received',
  'PUBACK sent',
  'QoS 2 PUBLISH received',
  'PUBREC sent',
  'PUBREL received',
  'PUBCOMP sent',
  'SEND sent',
  'COMMIT sent',
  'RECEIPT received',
  'MESSAGE received',
  'ACK sent',
] as const;

export class Campaign {
  private readonly totals = new Map<string, number>();
  private readonly failures: Failure[] = [];
  private seeds = 0;
  private readonly options: SimulationOptions;

  constructor(options: SimulationOptions = {}) {
    this.options = options;
  }

  async run(seed: number): Promise<SimulationReport> {
    const report = await simulate(seed, this.options);
    this.seeds++;
    if (report.violations.length > 0) this.failures.push({ seed, report });
    this.add(report);
    return report;
  }

  get report(): CampaignReport {
    const unseen: string[] = [];
    for (const [seeds, names] of EXPECTED) {
      if (this.seeds >= seeds) unseen.push(...names.filter((name) => (this.totals.get(name) ?? 0) === 0));
    }
    if (this.seeds >= 300) {
      unseen.push(...HANDSHAKE_STEPS.map(dropped).filter((name) => (this.totals.get(name) ?? 0) === 0));
    }
    return { seeds: this.seeds, failures: this.failures, totals: this.totals, unseen };
  }

  private add(report: SimulationReport): void {
    const { oracle, network, clients, machine } = report;
    const count = (name: string, amount: number): void => {
      this.totals.set(name, (this.totals.get(name) ?? 0) + amount);
    };
    count('events', report.events);
    count('virtual seconds', report.virtualMs / 1000);
    count('connects', clients.connects);
    count('messages sent', report.sent);
    count('messages acked', oracle.acked);
    count('messages delivered', oracle.delivered);
    count('messages delivered at QoS 0', oracle.deliveredQos0);
    count('messages checked to be delivered', oracle.mustDeliver);
    count('messages checked to be settled', oracle.mustSettle);
    count('messages owed at QoS 0', oracle.owedQos0);
    count('messages sent again', oracle.resent);
    count('messages requeued', oracle.requeued);
    count('deliveries settled', oracle.settled);
    count('retained messages replayed', oracle.replayed);
    count('retained topics checked', oracle.retainedChecked);
    count('answers without a match', oracle.unmatchedAnswers);
    count('sessions resumed', oracle.sessionsResumed);
    count('sessions expired', oracle.sessionsExpired);
    count('takeovers', oracle.takeovers);
    count('wills sent', oracle.wills);
    count('wills discarded', oracle.willsDiscarded);
    count('wills cancelled', oracle.willsCancelled);
    count('topic aliases seen', clients.aliasesSeen);
    count('bytes in', network.bytesIn);
    count('bytes out', network.bytesOut);
    count('chunks', network.chunks);
    count('chunks cut', network.splits);
    count('chunks joined', network.joins);
    count('chunks lost', network.lostChunks);
    count('connections reset', network.resets);
    count('connections closed', network.fins);
    count('connections half-open', network.vanished);
    count('clients stalled', network.stalls);
    count('outputs congested', network.congestions);
    count('publishers paused', network.pauses);
    count('chunks held back while paused', network.heldWhilePaused);
    count('garbage', clients.garbage);
    count('transactions committed', clients.commits);
    count('transactions aborted', clients.aborts);
    count('crashes', machine.crashes);
    count('crashes within a call of the disk', machine.crashesWithinCalls);
    count('power cuts', machine.powerCuts);
    count('kills', machine.kills);
    count('messages recovered', machine.recoveredMessages);
    count('entries recovered', machine.recoveredEntries);
    count('torn tails', machine.tornTails);
    for (const [step, times] of clients.droppedAt) {
      count('connections dropped within a handshake', times);
      count(dropped(step), times);
    }
    for (const [rule, times] of report.tolerated) count(`tolerated: ${rule}`, times);
  }
}

function dropped(step: string): string {
  return `dropped at: ${step}`;
}
