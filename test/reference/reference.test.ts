// The short form of `npm run reference`: some hundred scripts from fixed seeds, one script with its input cut at every byte, and proof that a difference is found and made short.
import { describe, expect, it } from 'vitest';
import { Campaign, type Failure, failureOf } from './campaign.ts';
import { MUTANTS } from './mutants.ts';
import { makeScript, type Script, type Step } from './script.ts';
import { shortened } from './shorten.ts';

const SEEDS = 400;
/** A bug shows in the first scripts; the rarest needs about a hundred. */
const MUTANT_SEEDS_MAX = 400;

describe('the broker and a slow model of it', () => {
  it('send the same bytes, whatever clients of all versions do', () => {
    const campaign = new Campaign();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const failure = campaign.play(seed);
      if (failure !== null) throw new Error(`seed ${seed}: ${failure.message}`);
    }
    expect(campaign.scripts).toBe(SEEDS);
    expect(campaign.packets).toBeGreaterThan(SEEDS * 20);
    expect(campaign.bytes).toBeGreaterThan(SEEDS * 5000);
    // Otherwise the numbers would mean nothing.
    expect(campaign.unseen()).toEqual([]);
  }, 120_000);

  it('send the same bytes wherever the input of a step is cut in two', () => {
    for (const publisher of [0, 1, 2, 3, 4, 5]) {
      const bytes = bytesOf(everySide(publisher, 1_000_000));
      for (let at = 1; at < bytes; at++) {
        const failure = failureOf(everySide(publisher, at));
        if (failure !== null) throw new Error(`client ${publisher}, cut at ${at}: ${failure.message}`);
      }
    }
  }, 120_000);
});

/** A publisher of each version, and listeners to all of it; what one of them publishes is cut once. */
function everySide(publisher: number, at: number): Script {
  const whole = { kind: 'whole', at: 0, sizes: [], arena: false } as const;
  const cut = { kind: 'anywhere', at: 0, sizes: [at, 1_000_000], arena: at % 2 === 0 } as const;
  const connect = { clean: true, expiryS: 0, receiveMaximum: 0, maximumPacketSize: 0, aliases: 0, cut: whole };
  const levels = [3, 4, 5] as const;
  const members: Script['members'] = [
    ...levels.map((level) => ({ protocol: 'mqtt', level, role: 'topics', will: null }) as const),
    ...([10, 11, 12] as const).map((level) => ({ protocol: 'stomp', level, role: 'topics' }) as const),
  ];
  const message = { topic: 1, retain: false, extras: 0, again: false, slashes: false, receipt: true };
  const steps: Step[] = [
    ...members.map((_, client): Step => ({ kind: 'connect', client, ...connect })),
    ...members.map(
      ({ protocol }, client): Step => ({
        kind: 'subscribe',
        client,
        filters: [
          {
            filter: protocol === 'mqtt' ? 'a/#' : '/topic/a.#',
            qos: client % 3,
            noLocal: false,
            retainAsPublished: false,
            retainHandling: 0,
          },
        ],
        identifier: 0,
        slot: 1,
        ack: client % 2 === 0 ? 'auto' : 'client',
        prefetch: 100,
        cut: whole,
      }),
    ),
    {
      kind: 'publish',
      client: publisher,
      // A length in two bytes where that is how lengths are written; a frame's are in its text.
      messages: [
        ...(members[publisher]!.protocol === 'mqtt' ? [{ ...message, qos: 0, bytes: 125 }] : []),
        { ...message, qos: 0, bytes: 3 },
        { ...message, qos: 1, bytes: 1, extras: 1 },
        { ...message, qos: 2, bytes: 2 },
      ],
      acknowledging: 0,
      transaction: '',
      cut,
    },
  ];
  return { seed: 0, congestedBytes: 20_000, members, steps };
}

/** At least as many as the last step has. */
function bytesOf({ steps, members }: Script): number {
  const last = steps.at(-1);
  if (last?.kind !== 'publish') return 0;
  const overhead = members[last.client]!.protocol === 'mqtt' ? 12 : 70;
  return last.messages.reduce((sum, { bytes, extras }) => sum + bytes + overhead + (extras === 0 ? 0 : 60), 0);
}

describe('a script', () => {
  it('is made of its seed alone, and comes out of JSON as it went in', () => {
    expect(makeScript(7)).toEqual(makeScript(7));
    expect(makeScript(7)).not.toEqual(makeScript(8));
    expect(JSON.parse(JSON.stringify(makeScript(7)))).toEqual(makeScript(7));
  });
});

describe('a broker in which', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '%s does not pass',
    (_name, mutant) => {
      const takeOut = mutant.apply();
      let failure: Failure | null = null;
      try {
        const campaign = new Campaign();
        for (let seed = 1; seed <= MUTANT_SEEDS_MAX && failure === null; seed++) failure = campaign.play(seed);
      } finally {
        takeOut();
      }
      expect(failure).not.toBeNull();
      // It is the bug that was found: without it the same script passes.
      expect(failureOf(failure!.script)).toBeNull();
    },
    120_000,
  );

  it('something is wrong fails in a script of a few steps, after all that does not matter was taken out', () => {
    const mutant = MUTANTS.find(({ name }) => name === 'identifiers of overlapping subscriptions are lost')!;
    const takeOut = mutant.apply();
    try {
      const campaign = new Campaign();
      let failure = campaign.play(1);
      for (let seed = 2; failure === null; seed++) failure = campaign.play(seed);
      const { script, message } = shortened(failure.script);
      expect(message).toContain('model (');
      expect(script.steps.length).toBeLessThan(failure.script.steps.length);
      expect(script.steps.length).toBeLessThanOrEqual(8);
    } finally {
      takeOut();
    }
  }, 60_000);
});
