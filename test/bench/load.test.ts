// The load generator must notice whatever a broker does to messages; a benchmark that cannot see loss proves nothing.
// It runs here against relays that lose, repeat, swap, damage and misdirect on purpose.

import { afterEach, describe, expect, test } from 'vitest';
import { Load } from '../../bench/lib/load/load.ts';
import { completePlan, type LoadPlan, type LoadReport } from '../../bench/lib/load/plan.ts';
import { type Fault, type Relay, type RelayOptions, startRelay } from './relay.ts';

let relay: Relay | null = null;
afterEach(async () => {
  await relay?.close();
  relay = null;
});

async function load(plan: Partial<LoadPlan>, options: RelayOptions = {}): Promise<LoadReport> {
  relay = await startRelay(options);
  const short = { warmupMs: 20, measureMs: 80, drainMs: 400, port: relay.port };
  return new Load(completePlan({ ...short, ...plan })).run();
}

const clean = { failure: '', lost: 0, duplicates: 0, reordered: 0, corrupt: 0, misrouted: 0 };
const every = (interval: number, fault: (frame: Buffer) => Buffer[]): Fault => {
  return (ordinal, frame) => (ordinal % interval === interval - 1 ? fault(frame) : [frame]);
};
const withoutLength: Fault = (_ordinal, frame) => {
  return [Buffer.from(frame.toString('latin1').replace(/content-length:\d+\n/, ''), 'latin1')];
};

describe('a faithful peer', () => {
  const runs: [string, Partial<LoadPlan>, RelayOptions][] = [
    ['MQTT QoS 0', { window: 50 }, {}],
    ['MQTT QoS 1', { qos: 1, inFlight: 10 }, {}],
    ['MQTT QoS 1 into sessions that last', { qos: 1, inFlight: 10, lastingSessions: true }, {}],
    ['MQTT QoS 2', { qos: 2, inFlight: 10, window: 20 }, {}],
    ['MQTT at a fixed rate', { rate: 2000 }, {}],
    ['MQTT at a rate slow enough to sleep', { rate: 100, measureMs: 300 }, {}],
    ['MQTT fan-out', { subscribers: 5, window: 20 }, {}],
    ['MQTT fan-in', { publishers: 5, window: 20 }, {}],
    ['one publisher to many topics', { topics: 7, window: 20 }, {}],
    ['mixed topics', { topics: 1200, publishers: 3, mixed: true, window: 50 }, {}],
    ['mixed topics, each with a pattern', { topics: 20, mixed: true, patterns: true, window: 50 }, {}],
    ['MQTT deliveries in pieces of 7 bytes', { window: 3 }, { pieceBytes: 7 }],
    ['payloads larger than a read', { payloadBytes: 400_000, window: 2 }, {}],
    ['MQTT over WebSocket', { transport: 'websocket', window: 50 }, { websocket: true }],
    [
      'large payloads over WebSocket',
      { transport: 'websocket', window: 2, payloadBytes: 100_000 },
      { websocket: true },
    ],
    ['small payloads over WebSocket', { transport: 'websocket', window: 1, payloadBytes: 16 }, { websocket: true }],
    ['STOMP', { protocol: 'stomp', window: 50 }, { protocol: 'stomp' }],
    ['STOMP without content-length', { protocol: 'stomp', window: 50 }, { protocol: 'stomp', fault: withoutLength }],
    [
      'STOMP with receipts',
      { protocol: 'stomp', receipts: true, inFlight: 10, ack: 'client-individual' },
      { protocol: 'stomp' },
    ],
    [
      'STOMP deliveries in pieces of 7 bytes',
      { protocol: 'stomp', window: 3, ack: 'client' },
      { protocol: 'stomp', pieceBytes: 7 },
    ],
  ];
  test.each(runs)('%s: everything arrives once, in order and intact', async (_name, plan, options) => {
    const report = await load(plan, options);
    expect(report).toMatchObject(clean);
    expect(report.published).toBeGreaterThan(2);
    expect(report.received).toBe(report.published * (plan.subscribers ?? 1));
    expect(report.latency.count).toBeGreaterThan(0);
    expect(report.latency.p50).toBeLessThanOrEqual(report.latency.p99);
    if (plan.qos !== undefined || plan.receipts === true) expect(report.answer?.count).toBeGreaterThan(0);
  });
});

test.each([false, true])(
  'a mixed load sends each lane to its own topic, all of them in each round (patterns: %s)',
  async (patterns) => {
    const topics: number[] = [];
    const watch: Fault = (_ordinal, frame) => {
      const length = frame.readUInt16BE(2);
      const name = frame.toString('latin1', 4, 4 + length);
      const topic = /^b[0-9a-f]{4}\/t([0-9]{3})(\/v)?$/.exec(name);
      expect(topic, name).not.toBeNull();
      expect(topic![2] === '/v').toBe(patterns);
      expect(Number(topic![1])).toBe(frame.readUInt32LE(4 + length + 8));
      topics.push(Number(topic![1]));
      return [frame];
    };
    const report = await load({ topics: 150, mixed: true, patterns, window: 40, measureMs: 200 }, { fault: watch });
    expect(report).toMatchObject(clean);
    expect(topics.length).toBeGreaterThan(300);
    const rounds = [topics.slice(0, 150), topics.slice(150, 300)];
    for (const round of rounds) expect(new Set(round).size).toBe(150);
    expect(rounds[0]).not.toEqual(rounds[1]);
  },
);

describe('a peer with faults', () => {
  test('counts what is lost, and writes off a window that is lost whole', async () => {
    const report = await load({ window: 5, measureMs: 1600 }, { fault: every(3, () => []) });
    expect(report).toMatchObject({ ...clean, lost: Math.floor(report.published / 3) });
    expect(report.stalls).toBeGreaterThan(0);
    expect(report.lost).toBeGreaterThan(5);
  });

  test('counts what arrives twice', async () => {
    const report = await load({ window: 20 }, { fault: every(10, (frame) => [frame, frame]) });
    expect(report).toMatchObject({ ...clean, duplicates: Math.floor(report.published / 10) });
    expect(report.duplicates).toBeGreaterThan(0);
  });

  test('counts what arrives after a later message', async () => {
    let kept: Buffer | null = null;
    const swap: Fault = (ordinal, frame) => {
      if (ordinal % 10 === 3) {
        kept = Buffer.from(frame);
        return [];
      }
      const frames = kept === null ? [frame] : [frame, kept];
      kept = null;
      return frames;
    };
    const report = await load({ window: 20 }, { fault: swap });
    expect(report.reordered).toBeGreaterThan(0);
    expect(report).toMatchObject({ ...clean, reordered: report.reordered });
  });

  const damages: [string, number][] = [
    ['the sequence number', 16],
    ['the check field', 4],
  ];
  test.each(damages)('counts a message whose payload is damaged in %s', async (_name, fromHeaderEnd) => {
    const damage = (frame: Buffer): Buffer[] => {
      const copy = Buffer.from(frame);
      const at = copy.length - 100 + 16 - fromHeaderEnd;
      copy[at] = copy[at]! ^ 0x40;
      return [copy];
    };
    const report = await load({ window: 20 }, { fault: every(10, damage) });
    expect(report.corrupt).toBe(Math.floor(report.published / 10));
  });

  test('sees a pattern that is wrong in every message', async () => {
    const damage: Fault = (_ordinal, frame) => [Buffer.concat([frame.subarray(0, -1), Buffer.of(0)])];
    expect((await load({ window: 20 }, { fault: damage })).corrupt).toBeGreaterThan(0);
  });

  test('counts a message of another length as corrupt', async () => {
    const shorten = (frame: Buffer): Buffer[] => {
      const copy = Buffer.from(frame.subarray(0, -1));
      copy[1] = copy[1]! - 1;
      return [copy];
    };
    expect((await load({ window: 20 }, { fault: every(10, shorten) })).corrupt).toBeGreaterThan(0);
  });

  test('counts what reaches a subscriber of another topic', async () => {
    // Two topics and two subscribers, and a relay that gives everything to both.
    const report = await load({ publishers: 2, subscribers: 2, topics: 2, window: 20 });
    expect(report.misrouted).toBe(report.published);
  });

  test('fails when the peer closes a connection', async () => {
    let count = 0;
    const report = await load(
      { window: 5, measureMs: 2000 },
      {
        fault: (_ordinal, frame) => {
          if (++count === 50) void relay?.close();
          return [frame];
        },
      },
    );
    expect(report.failure).toMatch(/closed by the broker|ECONNRESET|EPIPE/);
  });

  test('fails when nobody listens', async () => {
    relay = await startRelay();
    const { port } = relay;
    await relay.close();
    const report = await new Load(completePlan({ port, window: 1, warmupMs: 1, measureMs: 1, drainMs: 1 })).run();
    expect(report.failure).toMatch(/ECONNREFUSED/);
  });
});

describe('a plan', () => {
  test.each([
    [{ window: 1, payloadBytes: 15 }, /payloadBytes/],
    [{}, /closed loop/],
    [{ window: 1, rate: 1 }, /exclude/],
    [{ window: 1, colour: 'red' } as Partial<LoadPlan>, /unknown field colour/],
    [{ window: '1' } as unknown as Partial<LoadPlan>, /window must be a number/],
    [{ protocol: 'stomp', transport: 'websocket', window: 1 } as const, /mqtt only/],
  ])('that cannot be run is refused: %j', (plan, message) => {
    expect(() => completePlan(plan)).toThrow(message);
  });
});
