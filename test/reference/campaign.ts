// Many scripts, one after the other, and what they went through together.
import { Difference } from './compare.ts';
import { play } from './play.ts';
import { makeScript, type Script } from './script.ts';

export interface Failure {
  readonly script: Script;
  readonly message: string;
}

export class Campaign {
  scripts = 0;
  packets = 0;
  bytes = 0;
  readonly tally = new Map<string, number>();

  /** Null when broker and model agree. */
  play(seed: number): Failure | null {
    const script = makeScript(seed);
    const failure = failureOf(script, (played) => {
      this.packets += played.packets;
      this.bytes += played.bytes;
      for (const [what, times] of played.tally) this.tally.set(what, (this.tally.get(what) ?? 0) + times);
    });
    this.scripts++;
    return failure;
  }

  /** What scripts are there for and none did. */
  unseen(): string[] {
    return EXPECTED.filter((what) => !this.tally.has(what));
  }
}

export function failureOf(
  script: Script,
  onPlayed: (played: ReturnType<typeof play>) => void = () => undefined,
): Failure | null {
  try {
    onPlayed(play(script));
    return null;
  } catch (error) {
    if (!(error instanceof Difference)) throw error;
    return { script, message: error.message };
  }
}

/** Each comes within some hundred scripts. */
const EXPECTED: readonly string[] = [
  'ACK',
  'MQTT level 3',
  'MQTT level 4',
  'MQTT level 5',
  'NACK',
  'NACK that drops',
  'PUBACK',
  'PUBACK that refuses',
  'PUBLISH QoS 1 repeated',
  'PUBLISH QoS 2 repeated',
  'PUBREC',
  'PUBREC of nothing',
  'PUBREC that refuses',
  'PUBREL repeated',
  'QoS 2 repeated by its publisher',
  'RECEIPT',
  'STOMP 1.0',
  'STOMP 1.1',
  'STOMP 1.2',
  'STOMP subscription past all queues',
  'STOMP subscription to a queue',
  'STOMP subscription with a queue of its own',
  'alias set',
  'alias used',
  'between versions of MQTT',
  'broker: runs of several messages',
  'compared by stream',
  'compared in order',
  'cumulative ACK or NACK',
  'cut: anywhere',
  'cut: every byte',
  'cut: in two',
  'cut: whole',
  'expired in a queue',
  'from MQTT to STOMP',
  'from STOMP to MQTT',
  'given back by a STOMP client that left',
  'given back by a lost MQTT client',
  'left out by no-local',
  'overlapping subscriptions',
  'published to nobody',
  'publisher paused',
  'redelivered to MQTT',
  'redelivered to STOMP',
  'repetition put off by Receive Maximum',
  'retained cleared',
  'retained to MQTT',
  'retained to STOMP',
  'session expired',
  'session resumed',
  'session taken over',
  'shared subscription',
  'slow reader',
  'subscription replaced',
  'too large for its receiver',
  'topic by alias',
  'transaction aborted',
  'transaction committed',
  'will published',
];
