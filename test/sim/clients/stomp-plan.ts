// What one STOMP client of a workload is like and does: drawn from the dice once, before it starts.
import { Version } from '../../../protocols/stomp/frame.ts';
import type { Dice } from '../dice.ts';
import { type FaultShares, type Mood, QUEUES, retainedTopic, SHARE_TOPICS, TOPICS } from './mqtt-plan.ts';

export type AckMode = 'auto' | 'client' | 'client-individual';

export interface StompSubscriptionPlan {
  readonly id: string;
  readonly kind: 'topic' | 'queue' | 'share' | 'durable';
  /** An MQTT filter; of a queue its address. */
  readonly filter: string;
  /** Of a share. */
  readonly group: string;
  readonly ack: AckMode;
  readonly prefetch: number;
  readonly replays: boolean;
}

export interface StompPlan {
  readonly clientId: string;
  readonly version: Version;
  /** What it offers and asks for; 0 for none. */
  readonly heartBeatMs: number;
  readonly subscriptions: readonly StompSubscriptionPlan[];
  readonly topics: readonly string[];
  readonly steps: number;
  readonly gapMs: number;
  readonly awayMs: number;
  readonly burst: number;
  readonly ackDelayMs: number;
  readonly persistentShare: number;
  readonly receiptShare: number;
  readonly retainShare: number;
  readonly largeShare: number;
  readonly propertyShare: number;
  /** Of a hundred steps that send, those within a transaction. */
  readonly transactionShare: number;
  readonly rejectShare: number;
  readonly requeueShare: number;
  readonly faults: FaultShares;
}

/** When the client does not say. */
export const PREFETCH_DEFAULT = 100;

const FILTERS = [
  't/a',
  't/b',
  't/+',
  't/#',
  't/+/x',
  't/a/#',
  '+/a',
  '/t',
  't//x',
  't/ä/€',
  '$t/#',
  '#',
  'r/#',
  'w/#',
] as const;
const SHARES = [
  ['g', 's/#'],
  ['g', 's/1'],
  ['h', 's/+'],
  ['h', 's/#'],
] as const;

export function drawStompPlan(dice: Dice, clientId: string, mood: Mood, avoid: ReadonlySet<string>): StompPlan {
  const topics: string[] = [];
  for (let i = 1 + dice.below(3); i >= 0; i--) topics.push(dice.pick(TOPICS));
  if (dice.chance(0.5)) topics.push(retainedTopic(clientId, dice.below(3)));
  if (dice.chance(0.4)) topics.push(dice.pick(SHARE_TOPICS));
  if (dice.chance(0.6)) topics.push(dice.pick(QUEUES), dice.pick(QUEUES));
  const version = dice.pick([Version.V1_2, Version.V1_2, Version.V1_1, Version.V1_0]);
  const refuses = version !== Version.V1_0;
  return {
    clientId,
    version,
    heartBeatMs: version === Version.V1_0 ? 0 : dice.pick([0, 0, 1000, 2000]),
    subscriptions: drawSubscriptions(dice, clientId, avoid),
    topics,
    steps: mood.steps,
    gapMs: dice.pick([5, 20, 60, 200]),
    awayMs: dice.pick(mood.theme === 'absence' ? [3000, 6000] : [5, 100, 3000]),
    burst: dice.pick([1, 2, 5, 12]),
    ackDelayMs: dice.pick([0, 0, 5, 50, 400]),
    persistentShare: dice.pick([0, 50, 100]),
    receiptShare: dice.pick([0, 50, 100]),
    retainShare: dice.pick([0, 10, 60]),
    largeShare: mood.large ? dice.pick([0, 2, 10]) : 0,
    propertyShare: dice.pick([0, 20]),
    transactionShare: dice.pick([0, 20, 60]),
    rejectShare: refuses ? dice.pick([0, 0, 10]) : 0,
    requeueShare: refuses ? dice.pick([0, 0, 20]) : 0,
    faults: mood.faults,
  };
}

function drawSubscriptions(dice: Dice, clientId: string, avoid: ReadonlySet<string>): StompSubscriptionPlan[] {
  const plans: StompSubscriptionPlan[] = [];
  const read = new Set<string>();
  for (let i = dice.below(4); i >= 0; i--) {
    const kind = dice.pick(['topic', 'topic', 'queue', 'queue', 'share', 'durable'] as const);
    if (kind === 'share' && avoid.has('mixed-share')) continue;
    const [group, shared] = dice.pick(SHARES);
    const filter = kind === 'queue' ? dice.pick(QUEUES) : kind === 'share' ? shared : dice.pick(FILTERS);
    // One of a kind: what comes is then known to come from it, and one durable one, which is found again by its id.
    const place = kind === 'durable' ? kind : kind === 'topic' ? `${kind}${i}` : `${kind} ${group} ${filter}`;
    if (read.has(place)) continue;
    read.add(place);
    plans.push({
      id: kind === 'durable' ? `${clientId}-durable` : String(i),
      kind,
      filter,
      group,
      ack: dice.pick(['auto', 'client', 'client-individual']),
      prefetch: dice.pick([PREFETCH_DEFAULT, 1, 3]),
      // What waits in a queue that is kept may be a retained message of an earlier subscription.
      replays: kind === 'topic' && dice.chance(0.7),
    });
  }
  return plans;
}

/** An MQTT topic or filter as a STOMP destination. */
export function destinationOf(topic: string): string {
  if (topic.startsWith('$queue/')) return `/queue/${topic.slice('$queue/'.length)}`;
  const levels = topic.split('/').map((level) => {
    if (level === '+') return '*';
    if (level === '#') return '#';
    return level.replace(/[./%*#]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  });
  return `/topic/${levels.join('.')}`;
}
