// What one run of the load generator does (the plan, given to it as JSON) and what it saw (the report, one JSON line on
// standard output). Both ends of the process boundary import this file and nothing else of each other.

import type { LatencySummary } from '../histogram.ts';

export interface LoadPlan {
  protocol: 'mqtt' | 'stomp';
  /** 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
  mqttVersion: 4 | 5;
  transport: 'tcp' | 'websocket';
  host: string;
  port: number;
  /** MQTT 5: each PUBLISH has a content type and two user properties. */
  properties: boolean;
  /** Path of the WebSocket upgrade. */
  path: string;
  user: string;
  password: string;

  publishers: number;
  subscribers: number;
  /** Publisher i sends to topics ≡ i, subscriber j listens to topics ≡ j (see layout.ts). */
  topics: number;
  /** Each subscriber listens to all topics with one wildcard instead. */
  wildcard: boolean;
  /** Each topic has a subscription by a pattern of its own instead of its name: a third each ends in +, ends in #, begins with +. */
  patterns: boolean;
  /** Publishers send to topics of all subscribers in turn, each round in another order; one window for all of them. */
  mixed: boolean;
  /** The subscribers of a topic share its messages (a queue) instead of getting each. */
  competing: boolean;
  /** STOMP: what stands before the topic's name. */
  destinationPrefix: string;

  /** MQTT: so often a second, one more client subscribes to a topic that nobody publishes to, or unsubscribes from it again. */
  changes: number;

  payloadBytes: number;
  /** MQTT: of PUBLISH and of SUBSCRIBE. */
  qos: 0 | 1 | 2;
  /** MQTT: sessions of subscribers outlive their connections, and a broker with a disk has what they did not acknowledge there. */
  lastingSessions: boolean;
  /** STOMP: each SEND asks for a RECEIPT. */
  receipts: boolean;
  /** STOMP: SEND with persistent:true. */
  persistent: boolean;
  ack: 'auto' | 'client' | 'client-individual';
  /** STOMP: unacknowledged messages a subscriber takes; 0 says nothing to the broker. */
  prefetch: number;

  /** With QoS > 0 or receipts: unanswered messages per publisher. */
  inFlight: number;
  /** Closed loop: messages sent and not yet with the slowest subscriber, per domain (layout.ts); 0 is no limit. */
  window: number;
  /** Open loop: messages per second of all publishers together; 0 is a closed loop. */
  rate: number;
  /** Open loop: messages due within one tick are sent together at its end. */
  tickUs: number;
  /** A publisher puts at most this much into one write. */
  batchBytes: number;

  warmupMs: number;
  /** The warm-up lasts until so many messages have been published, if that takes longer; at most warmupMsMax. */
  warmupMessages: number;
  warmupMsMax: number;
  measureMs: number;
  /** The load goes on for so long after the measured time, for who wants to watch the broker: what watching costs is in no figure. */
  watchMs: number;
  /** After that: how long to wait for what is still owed. */
  drainMs: number;
  /** The broker's process; its descendants count, too. 0 watches nothing. */
  brokerPid: number;
}

export interface LoadReport {
  /** Empty, or why the run is worth nothing. */
  failure: string;

  // Over the whole run, warm-up and drain included. Deliveries: `received` has everything that arrived intact,
  // duplicates included.
  published: number;
  received: number;
  lost: number;
  duplicates: number;
  reordered: number;
  corrupt: number;
  misrouted: number;
  /** Times a closed loop wrote off messages that did not arrive for a second. */
  stalls: number;

  // Over the measured time.
  seconds: number;
  publishedPerSecond: number;
  receivedPerSecond: number;
  brokerCpuSeconds: number;
  /** Deliveries per CPU second of the broker; 0 when no broker is watched. */
  receivedPerCpuSecond: number;
  /** Cores in use by the broker, by this generator (1.0 means that it was the limit), and by everything else. */
  brokerCores: number;
  generatorCores: number;
  otherCores: number;
  /** From the stamp in the payload (open loop: the due time) to the return of the read that brought the message. */
  latency: LatencySummary;
  /** From the stamp to the publisher's answer (PUBACK, PUBCOMP, RECEIPT); null without any. Both in µs. */
  answer: LatencySummary | null;
  /** Open loop: the furthest a send was behind its due time, in µs. */
  lateUsMax: number;

  /** The broker, at the end of the measured time. */
  rssBytes: number;
  rssPeakBytes: number;
}

/** What the generator says before its report, each on a line of its own. */
export type Phase = 'measuring' | 'watching' | 'watched';

export const planDefaults: LoadPlan = {
  protocol: 'mqtt',
  mqttVersion: 4,
  transport: 'tcp',
  host: '127.0.0.1',
  port: 1883,
  properties: false,
  path: '/mqtt',
  user: '',
  password: '',
  publishers: 1,
  subscribers: 1,
  topics: 1,
  wildcard: false,
  patterns: false,
  mixed: false,
  competing: false,
  destinationPrefix: '/topic/',
  changes: 0,
  payloadBytes: 100,
  qos: 0,
  lastingSessions: false,
  receipts: false,
  persistent: false,
  ack: 'auto',
  prefetch: 0,
  inFlight: 100,
  window: 0,
  rate: 0,
  tickUs: 100,
  batchBytes: 65_536,
  warmupMs: 1000,
  warmupMessages: 0,
  warmupMsMax: 60_000,
  measureMs: 3000,
  watchMs: 0,
  drainMs: 10_000,
  brokerPid: 0,
};

/** Least payload: the header that payload.ts writes, in binary or in hexadecimal digits. */
const payloadBytesMin = { mqtt: 16, stomp: 32 } as const;
/** Two-byte packet identifiers, without 0. */
const inFlightMax = 65_535;
const connectionsMax = 20_000;

/** Fills a partial plan with the defaults and refuses what cannot be run. */
export function completePlan(partial: Partial<LoadPlan>): LoadPlan {
  for (const name of Object.keys(partial)) {
    if (!(name in planDefaults)) throw new Error(`plan: unknown field ${name}`);
    const key = name as keyof LoadPlan;
    if (typeof partial[key] !== typeof planDefaults[key]) {
      throw new Error(`plan: ${name} must be a ${typeof planDefaults[key]}, is ${JSON.stringify(partial[key])}`);
    }
  }
  const plan: LoadPlan = { ...planDefaults, ...partial };
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(`plan: ${what}`);
  };
  const least = payloadBytesMin[plan.protocol];
  require(plan.payloadBytes >= least, `payloadBytes must be at least ${least} with ${plan.protocol}`);
  require(!plan.properties || (plan.protocol === 'mqtt' && plan.mqttVersion === 5), 'properties are of mqtt 5');
  require(plan.publishers >= 1 && plan.topics >= 1, 'at least one publisher and one topic');
  require(plan.publishers + plan.subscribers <= connectionsMax, `at most ${connectionsMax} connections`);
  require(plan.inFlight >= 1 && plan.inFlight <= inFlightMax, `inFlight must be 1 to ${inFlightMax}`);
  require(!(plan.patterns || plan.mixed || plan.changes > 0) ||
    plan.protocol === 'mqtt', 'patterns, mixed and changes are for mqtt only');
  require(!plan.mixed ||
    (plan.topics >= plan.publishers &&
      plan.topics >= plan.subscribers &&
      !plan.wildcard), 'mixed needs as many topics as publishers and as subscribers, and no wildcard');
  require(plan.transport === 'tcp' || plan.protocol === 'mqtt', 'websocket is for mqtt only');
  require(plan.rate === 0 || plan.window === 0, 'rate (open loop) and window (closed loop) exclude each other');
  require(plan.rate > 0 || plan.window > 0 || answered(plan), 'a closed loop needs window, qos > 0 or receipts');
  return plan;
}

/** The report of a run that could not take place. */
export function failedReport(failure: string): LoadReport {
  return {
    failure,
    published: 0,
    received: 0,
    lost: 0,
    duplicates: 0,
    reordered: 0,
    corrupt: 0,
    misrouted: 0,
    stalls: 0,
    seconds: 0,
    publishedPerSecond: 0,
    receivedPerSecond: 0,
    brokerCpuSeconds: 0,
    receivedPerCpuSecond: 0,
    brokerCores: 0,
    generatorCores: 0,
    otherCores: 0,
    latency: { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 },
    answer: null,
    lateUsMax: 0,
    rssBytes: 0,
    rssPeakBytes: 0,
  };
}

/** Whether the broker answers each message to its publisher. */
export function answered(plan: LoadPlan): boolean {
  return plan.protocol === 'mqtt' ? plan.qos > 0 : plan.receipts;
}
