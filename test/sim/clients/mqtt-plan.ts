// What one MQTT client of a workload is like and does: drawn from the dice once, before it starts.
import { ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import type { Dice } from '../dice.ts';

export interface FilterPlan {
  readonly filter: string;
  readonly noLocal: boolean;
  readonly identifier: number;
}

export interface WillPlan {
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly delayS: number;
}

/** How often, of a hundred steps, each thing happens. */
export interface FaultShares {
  readonly reset: number;
  readonly vanish: number;
  readonly stall: number;
  readonly close: number;
  readonly disconnect: number;
  readonly takeover: number;
  readonly garbage: number;
  /** Of a hundred handshake steps, those at which the connection is dropped. */
  readonly atStep: number;
}

export const NO_FAULTS: FaultShares = {
  reset: 0,
  vanish: 0,
  stall: 0,
  close: 0,
  disconnect: 0,
  takeover: 0,
  garbage: 0,
  atStep: 0,
};

export interface MqttPlan {
  readonly clientId: string;
  readonly version: ProtocolVersion;
  /** Session expiry in seconds as MQTT 5 has it: 0 ends with the connection, 0xffffffff never. MQTT 3 has these two only. */
  readonly expiryS: number;
  /** How often it starts clean, of a hundred. */
  readonly cleanShare: number;
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number | null;
  readonly keepAliveS: number;
  readonly will: WillPlan | null;
  readonly filters: readonly FilterPlan[];
  /** The highest QoS it subscribes with. */
  readonly qosMax: 0 | 1 | 2;
  readonly retainAsPublished: boolean;
  readonly topics: readonly string[];
  readonly steps: number;
  readonly gapMs: number;
  /** How long it stays away at most. */
  readonly awayMs: number;
  readonly burst: number;
  readonly ackDelayMs: number;
  readonly shufflesAcks: boolean;
  readonly qosWeights: readonly [number, number, number];
  readonly retainShare: number;
  readonly largeShare: number;
  readonly expiryShare: number;
  readonly propertyShare: number;
  readonly aliases: boolean;
  /** Topics the broker may give a number to. */
  readonly aliasMaximum: number;
  /** Of a hundred subscriptions, those that ask for no retained messages. */
  readonly noReplayShare: number;
  /** Of a hundred deliveries from a named queue, those it refuses, and those it asks back. */
  readonly rejectShare: number;
  readonly requeueShare: number;
  readonly faults: FaultShares;
}

export const NEVER_S = 0xffff_ffff;

/** Publish topics and filters of the plain topic space. */
export const TOPICS = ['t/a', 't/b', 't/a/x', 't/a/y', 't/b/x', 't//x', '/t', 't/ä/€', 'u/a', '$t/a'] as const;
const FILTERS = [
  't/a',
  't/b',
  't/+',
  't/#',
  't/+/x',
  't/a/+',
  't/a/#',
  '+/a',
  '/t',
  '+/t',
  't//x',
  't/ä/€',
  'u/#',
  '$t/#',
  '#',
  't/a/x',
  '+/+/x',
] as const;
export const SHARE_TOPICS = ['s/1', 's/2', 's/2/x'] as const;
const SHARE_FILTERS = ['$share/g/s/#', '$share/g/s/1', '$share/h/s/+', '$share/h/s/#'] as const;
export const QUEUES = ['$queue/q0', '$queue/q1', '$queue/a b/ä'] as const;

export type Role = 'subscriber' | 'sharer' | 'worker' | 'publisher';

export function retainedTopic(clientId: string, index: number): string {
  return `r/${clientId}/${index}`;
}

export function willTopic(clientId: string): string {
  return `w/${clientId}`;
}

/** What a run is mostly about. */
export type Theme =
  /** Everything. */
  | 'mixed'
  /** Clients that do not read, and publishers that have to wait for them. */
  | 'squeeze'
  /** Clients that are away for long, and messages and sessions that expire meanwhile. */
  | 'absence';

export interface Mood {
  readonly theme: Theme;
  readonly faults: FaultShares;
  readonly steps: number;
  readonly large: boolean;
}

export function drawMqttPlan(dice: Dice, clientId: string, role: Role, mood: Mood): MqttPlan {
  const version = dice.pick([
    ProtocolVersion.V5,
    ProtocolVersion.V5,
    ProtocolVersion.V311,
    ProtocolVersion.V311,
    ProtocolVersion.V31,
  ]);
  const v5 = version === ProtocolVersion.V5;
  const persistent = dice.chance(role === 'publisher' ? 0.5 : 0.7);
  const { theme } = mood;
  const expiryS = !persistent ? 0 : !v5 ? NEVER_S : dice.pick([NEVER_S, NEVER_S, 300, 2]);
  const expectsTopics: string[] = [];
  for (let i = 1 + dice.below(3); i >= 0; i--) expectsTopics.push(dice.pick(TOPICS));
  if (dice.chance(0.5)) for (let i = dice.below(3); i >= 0; i--) expectsTopics.push(retainedTopic(clientId, i));
  if (dice.chance(0.4)) expectsTopics.push(dice.pick(SHARE_TOPICS), dice.pick(SHARE_TOPICS));
  if (dice.chance(0.4)) expectsTopics.push(dice.pick(QUEUES), dice.pick(QUEUES));
  return {
    clientId,
    version,
    expiryS,
    // MQTT 3 has one flag for both: a session that ends with its connection starts clean.
    cleanShare: !v5 && expiryS === 0 ? 100 : dice.pick([0, 0, 5, 50]),
    receiveMaximum: v5 ? dice.pick([1, 2, 5, 20, 65_535]) : 65_535,
    maximumPacketSize: v5 && dice.chance(0.1) ? 300 : null,
    keepAliveS: dice.pick([0, 0, 1, 2, 5]),
    will: dice.chance(0.4)
      ? { qos: dice.pick([0, 1, 2]), retain: dice.chance(0.3), delayS: v5 ? dice.pick([0, 0, 1, 3]) : 0 }
      : null,
    filters: drawFilters(dice, role, v5),
    qosMax: theme === 'squeeze' && role === 'subscriber' ? 0 : 2,
    retainAsPublished: v5 && dice.chance(0.15),
    topics: expectsTopics,
    steps: mood.steps,
    gapMs: dice.pick(theme === 'absence' ? [60, 200, 500] : [5, 20, 60, 200]),
    awayMs: dice.pick(theme === 'absence' ? [3000, 6000] : [5, 100, 3000]),
    burst: dice.pick([1, 2, 5, 12]),
    ackDelayMs: dice.pick([0, 0, 5, 50, 400]),
    shufflesAcks: dice.chance(0.2),
    qosWeights: dice.pick([
      [1, 1, 1],
      [0, 1, 0],
      [0, 0, 1],
      [1, 3, 2],
      [4, 1, 1],
    ] as const),
    retainShare: dice.pick([0, 10, 60]),
    largeShare: mood.large ? dice.pick([0, 2, 10]) : 0,
    expiryShare: v5 ? dice.pick(theme === 'absence' ? [20, 60] : [0, 0, 20]) : 0,
    propertyShare: v5 ? dice.pick([0, 20]) : 0,
    aliases: v5 && dice.chance(0.3),
    aliasMaximum: v5 ? dice.pick([0, 0, 1, 5]) : 0,
    noReplayShare: dice.pick([0, 0, 50]),
    rejectShare: v5 ? dice.pick([0, 0, 10]) : 0,
    requeueShare: v5 ? dice.pick([0, 0, 20]) : 0,
    faults: mood.faults,
  };
}

function drawFilters(dice: Dice, role: Role, v5: boolean): FilterPlan[] {
  const chosen = new Set<string>();
  if (role === 'worker') for (let i = dice.below(2); i >= 0; i--) chosen.add(dice.pick(QUEUES));
  // One group each: what comes is then known to come from it.
  else if (role === 'sharer') chosen.add(dice.pick(SHARE_FILTERS));
  if (role === 'subscriber') {
    for (let i = 1 + dice.below(4); i >= 0; i--) chosen.add(dice.pick(FILTERS));
    if (dice.chance(0.4)) chosen.add(dice.pick(['r/#', 'r/+/1', 'r/c0/#']));
    if (dice.chance(0.4)) chosen.add('w/#');
  } else if (dice.chance(0.2)) chosen.add(dice.pick(['t/a', 't/+', 'w/+']));
  return [...chosen].map((filter) => ({
    filter,
    noLocal: v5 && filter.startsWith('t/') && dice.chance(0.15),
    identifier: v5 && dice.chance(0.3) ? 1 + ((filter.length * 7 + filter.charCodeAt(filter.length - 1)) % 300) : 0,
  }));
}
