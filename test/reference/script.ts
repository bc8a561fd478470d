// Random traffic scripts: who takes part, and what each does, step by step. A script is plain data, made from a seed alone, so that it can be printed, shortened and run again. What depends on what
// has been received (which message an acknowledgement is for) is found when it runs: a step says "the third of what you owe".
//
// A connection takes its messages either from topics or from one shared queue, never both: which of two queues of one connection delivers a message first is free.
import { Dice } from '../sim/dice.ts';
import type { Filter } from './mqtt-wire.ts';

/** How the bytes of a step reach the broker. */
export interface Cut {
  readonly kind: 'whole' | 'every byte' | 'in two' | 'anywhere';
  /** Where, in thousandths of the bytes, for 'in two'. */
  readonly at: number;
  /** Sizes of the chunks, over and over, for 'anywhere'. */
  readonly sizes: readonly number[];
  /** Into the arena's read buffer, as a socket does. */
  readonly arena: boolean;
}

/** 'topics' and 'queue' say where it takes messages from; 'aliases' is one that allows topic aliases, and only listens. */
export type Role = 'topics' | 'queue' | 'aliases';

export interface MqttMember {
  readonly protocol: 'mqtt';
  readonly level: 3 | 4 | 5;
  readonly role: Role;
  readonly will: { readonly topic: number; readonly qos: number; readonly retain: boolean } | null;
}

export interface StompMember {
  readonly protocol: 'stomp';
  readonly level: 10 | 11 | 12;
  readonly role: Role;
}

export type Member = MqttMember | StompMember;

export interface Sent {
  /** Of TOPICS. */
  readonly topic: number;
  readonly qos: number;
  readonly retain: boolean;
  readonly bytes: number;
  /** Which properties or headers: see traffic.ts. */
  readonly extras: number;
  /** MQTT: the last QoS 2 message once more. STOMP: without content-length. */
  readonly again: boolean;
  /** STOMP: '/' between the levels of its destination. */
  readonly slashes: boolean;
  readonly receipt: boolean;
}

export type Verdict = 'accept' | 'refuse' | 'give back';

export type Step =
  | {
      readonly kind: 'connect';
      readonly client: number;
      readonly clean: boolean;
      readonly expiryS: number;
      readonly receiveMaximum: number;
      readonly maximumPacketSize: number;
      readonly aliases: number;
      readonly cut: Cut;
    }
  | { readonly kind: 'leave'; readonly client: number; readonly lost: boolean; readonly cut: Cut }
  | {
      readonly kind: 'publish';
      readonly client: number;
      readonly messages: readonly Sent[];
      /** So many of the acknowledgements it owes go between the messages. */
      readonly acknowledging: number;
      readonly transaction: '' | 'COMMIT' | 'ABORT';
      readonly cut: Cut;
    }
  | {
      readonly kind: 'acknowledge';
      readonly client: number;
      readonly count: number;
      /** Whose turn it is among those that are owed. */
      readonly picks: readonly number[];
      readonly verdict: Verdict;
      readonly cut: Cut;
    }
  | {
      readonly kind: 'subscribe';
      readonly client: number;
      readonly filters: readonly Filter[];
      readonly identifier: number;
      /** STOMP: which of its subscriptions. */
      readonly slot: number;
      readonly ack: string;
      readonly prefetch: number;
      readonly cut: Cut;
    }
  | {
      readonly kind: 'unsubscribe';
      readonly client: number;
      readonly filters: readonly string[];
      readonly slot: number;
      readonly cut: Cut;
    }
  | { readonly kind: 'ping'; readonly client: number; readonly stray: number; readonly cut: Cut }
  | { readonly kind: 'stall'; readonly client: number }
  | { readonly kind: 'read'; readonly client: number; readonly bytes: number }
  | { readonly kind: 'wait'; readonly ms: number };

export interface Script {
  readonly seed: number;
  readonly congestedBytes: number;
  readonly members: readonly Member[];
  readonly steps: readonly Step[];
}

export const TOPICS = [
  'a',
  'a/b',
  'a/b/c',
  'b/é/語',
  'a.x/b',
  'a/',
  '/',
  `long/${'x'.repeat(200)}`,
  'nobody/is/here',
  'w/1',
  'w/2',
  '$queue/jobs',
];
const FILTERS = ['a', 'a/#', 'a/+', '+/#', '#', '+/b', 'b/é/+', 'long/#', '/', 'a/b/#', '+/+', 'a/b', 'a.x/b'];
const SHARED = ['$share/g/w/#', '$queue/jobs'];
const DESTINATIONS = [
  '/topic/a',
  '/topic/a.#',
  '/topic/a/*',
  '/topic/#',
  '/topic/*.b',
  '/topic/a.b',
  '/topic/*/b',
  '/topic/#.c',
  '/topic/b.*.語',
  '/topic/long.#',
  '/topic/a%2Ex.b',
];
const QUEUE_DESTINATION = '/queue/jobs';
/** Subscriptions of one STOMP connection. */
const SLOTS = 3;
/** Larger ones only past all shared queues: a consumer that has enough leaves the rest to others. */
const SHARED_BYTES_MAX = 2000;

/** Messages to this topic may be for consumers that share them. */
function isShared(topic: number): boolean {
  return /^w\/|^\$queue\//.test(TOPICS[topic]!);
}

export function makeScript(seed: number): Script {
  return new Maker(seed).script();
}

class Maker {
  private readonly dice: Dice;
  private readonly seed: number;
  private members: Member[] = [];

  constructor(seed: number) {
    this.seed = seed;
    this.dice = new Dice(seed);
  }

  script(): Script {
    const { dice } = this;
    const congestedBytes = dice.pick([200, 2000, 20_000, 256 * 1024]);
    this.members = Array.from({ length: 3 + dice.below(4) }, () => this.member());
    const steps: Step[] = [];
    for (let client = 0; client < this.members.length; client++) {
      steps.push(this.connect(client));
      if (dice.chance(0.85)) steps.push(this.subscribe(client));
    }
    const length = 6 + dice.below(14);
    for (let i = 0; i < length; i++) steps.push(this.step());
    return { seed: this.seed, congestedBytes, members: this.members, steps };
  }

  private member(): Member {
    const { dice } = this;
    if (dice.chance(0.35)) {
      return {
        protocol: 'stomp',
        level: dice.pick([10, 11, 12] as const),
        role: dice.chance(0.3) ? 'queue' : 'topics',
      };
    }
    const level = dice.pick([3, 4, 5, 5, 5] as const);
    const role: Role = dice.chance(0.25) ? 'queue' : level === 5 && dice.chance(0.2) ? 'aliases' : 'topics';
    const will = dice.chance(0.2) ? { topic: dice.below(3), qos: dice.below(3), retain: dice.chance(0.3) } : null;
    return { protocol: 'mqtt', level, role, will };
  }

  private cut(): Cut {
    const { dice } = this;
    const kind = dice.pick([
      'whole',
      'whole',
      'whole',
      'in two',
      'in two',
      'anywhere',
      'anywhere',
      'every byte',
    ] as const);
    const sizes = Array.from(
      { length: kind === 'anywhere' ? 1 + dice.below(5) : 0 },
      () => 1 + dice.below(dice.pick([6, 200, 5000])),
    );
    return { kind, at: dice.below(1000), sizes, arena: dice.chance(0.5) };
  }

  private connect(client: number): Step {
    const { dice } = this;
    return {
      kind: 'connect',
      client,
      clean: dice.chance(0.3),
      expiryS: dice.pick([0, 1, 3600, 0xffff_ffff]),
      receiveMaximum: dice.pick([0, 0, 1, 2, 5, 20]),
      maximumPacketSize: dice.chance(0.15) ? dice.pick([60, 120, 300]) : 0,
      aliases: dice.pick([1, 2, 3, 100]),
      cut: this.cut(),
    };
  }

  private subscribe(client: number): Step {
    const { dice } = this;
    const member = this.members[client]!;
    const stomp = member.protocol === 'stomp';
    const count = stomp || member.role === 'queue' ? 1 : 1 + dice.below(3);
    const from =
      member.role === 'queue' ? (stomp ? [QUEUE_DESTINATION] : [SHARED[client % 2]!]) : stomp ? DESTINATIONS : FILTERS;
    const filters = Array.from({ length: count }, () => ({
      filter: dice.pick(from),
      qos: dice.below(3),
      // A shared subscription must not say "no local".
      noLocal: member.role !== 'queue' && dice.chance(0.15),
      retainAsPublished: dice.chance(0.3),
      retainHandling: dice.pick([0, 0, 1, 2]),
    }));
    return {
      kind: 'subscribe',
      client,
      filters,
      identifier: dice.chance(0.5) ? 1 + dice.below(300) : 0,
      slot: member.role === 'queue' ? 0 : dice.below(SLOTS),
      ack: dice.pick(['auto', 'client', 'client-individual']),
      prefetch: dice.pick([0, 1, 2, 5, 100]),
      cut: this.cut(),
    };
  }

  private step(): Step {
    const { dice } = this;
    const client = dice.below(this.members.length);
    const kind = dice.below(100);
    if (kind < 40) return this.publish(client);
    if (kind < 60) return this.acknowledge(client);
    if (kind < 68) return this.subscribe(client);
    if (kind < 73) {
      const member = this.members[client]!;
      const from = member.role === 'queue' ? SHARED : FILTERS;
      return {
        kind: 'unsubscribe',
        client,
        filters: [dice.pick(from), dice.pick(from)],
        slot: dice.below(SLOTS),
        cut: this.cut(),
      };
    }
    if (kind < 76) return { kind: 'ping', client, stray: dice.below(4), cut: this.cut() };
    if (kind < 81) return { kind: 'leave', client, lost: dice.chance(0.5), cut: this.cut() };
    if (kind < 89) return this.connect(client);
    if (kind < 94) return { kind: 'stall', client };
    if (kind < 97) return { kind: 'read', client, bytes: 1 + dice.below(dice.pick([10, 1000, 100_000])) };
    return { kind: 'wait', ms: dice.pick([100, 700, 2500]) };
  }

  private publish(client: number): Step {
    const { dice } = this;
    const heavy = dice.chance(0.004);
    // Mostly the same topic in a row, and half the time everything but the body alike: that is what runs are made of.
    const usual = this.sent(dice.below(TOPICS.length), dice.pick([0, 0, 1, 1, 2]), heavy);
    const alike = dice.chance(0.5);
    const messages: Sent[] = [];
    for (let left = 1 + dice.below(heavy ? 5 : 12); left > 0; left--) {
      const topic = dice.chance(0.75) ? usual.topic : dice.below(TOPICS.length);
      const qos = dice.chance(0.8) ? usual.qos : dice.below(3);
      messages.push(alike ? { ...usual, bytes: this.bytes(usual.topic, heavy) } : this.sent(topic, qos, heavy));
    }
    const transaction = dice.chance(0.12) ? dice.pick(['COMMIT', 'COMMIT', 'ABORT'] as const) : '';
    const cut = this.cut();
    // Byte by byte, a megabyte takes longer than all the rest.
    return {
      kind: 'publish',
      client,
      messages,
      acknowledging: dice.chance(0.4) ? dice.below(6) : 0,
      transaction,
      cut: cut.kind === 'every byte' && messages.some(({ bytes }) => bytes > 5000) ? { ...cut, kind: 'in two' } : cut,
    };
  }

  private sent(topic: number, qos: number, heavy: boolean): Sent {
    const { dice } = this;
    return {
      topic,
      qos,
      retain: !isShared(topic) && dice.chance(0.08),
      bytes: this.bytes(topic, heavy),
      extras: dice.chance(0.75) ? 0 : 1 + dice.below(6),
      again: dice.chance(0.1),
      slashes: dice.chance(0.4),
      receipt: dice.chance(0.25),
    };
  }

  private bytes(topic: number, heavy: boolean): number {
    return Math.min(isShared(topic) ? SHARED_BYTES_MAX : Number.POSITIVE_INFINITY, this.size(heavy));
  }

  private size(heavy: boolean): number {
    const { dice } = this;
    if (heavy) return 300_000 + dice.below(3);
    if (dice.chance(0.75)) return dice.below(30);
    if (dice.chance(0.9)) return dice.pick([100, 110, 120, 125, 127, 128, 130, 300, 1000]) + dice.below(3);
    return dice.pick([2000, 16_370, 16_384, 17_000, 65_536, 70_000]);
  }

  private acknowledge(client: number): Step {
    const { dice } = this;
    const verdict: Verdict = dice.chance(0.75) ? 'accept' : dice.pick(['refuse', 'give back']);
    const count = verdict === 'give back' ? 1 : 1 + dice.below(10);
    return {
      kind: 'acknowledge',
      client,
      count,
      picks: Array.from({ length: count }, () => dice.below(1000)),
      verdict,
      cut: this.cut(),
    };
  }
}
