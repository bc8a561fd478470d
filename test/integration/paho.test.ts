// paho, the client for Python: the tour in paho-tour.py, once for each version of MQTT, with a broker of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { formatPasswordHash, hashPassword } from '../../src/auth/password.ts';
import { inTime } from '../support/inbox.ts';
import { RealBroker } from '../support/real-broker.ts';
import { describeWith, requirement } from '../support/requirements.ts';

const TOUR = join(import.meta.dirname, 'paho-tour.py');
/** Two steps of the tour take seconds of the clients' own clocks. */
const TOUR_MS = 60_000;

const EVERY_VERSION = [
  'delivers at the lower of both QoS',
  'matches wildcards',
  'carries payloads of any bytes and size',
  'keeps the order of thousands of messages',
  'keeps retained messages, and forgets them when they are cleared',
  'publishes the will of a client that is lost, not of one that leaves',
  'keeps a session and what it misses',
  'hands a session to the second connection of its client',
  'stops delivering after UNSUBSCRIBE',
  'shares a subscription',
  "hands a queue's messages to one worker each, and those of a lost one to the next",
  'answers pings',
  'tells its figures under $SYS',
  'speaks through WebSocket',
  'is refused with wrong credentials, and not with right ones',
];
const FROM_311 = [...EVERY_VERSION, 'gets an identifier when it has none'];
const MQTT_5 = [
  ...FROM_311,
  'is told which of its filters are refused',
  'learns what was agreed',
  'carries every property of a message, in order',
  'forgets a message whose time is over',
  'shortens topics by aliases in both directions',
  'honours No Local, Retain As Published and Retain Handling',
  'names the subscriptions that a message matched',
  'answers a request where the requester said',
  'publishes a will with its properties when DISCONNECT asks for it, and a delayed one not when the client is back',
  'ends a session at once when DISCONNECT says so',
  'gets everything within its Receive Maximum',
  'is never sent a packet over its limit',
];

async function tour(broker: RealBroker, version: number): Promise<{ code: unknown; out: string; err: string }> {
  const args = [TOUR, version, broker.ports.mqtt, broker.ports.http].map(String);
  const child = spawn(requirement('paho').path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  broker.keep({
    close: async () => {
      child.kill('SIGKILL');
    },
  });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    said.out += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    said.err += String(chunk);
  });
  const [code] = await inTime('the tour to end', once(child, 'close'), TOUR_MS);
  return { code, ...said };
}

describeWith(['paho'], 'paho for Python', () => {
  it.each([
    ['3.1', 3, EVERY_VERSION],
    ['3.1.1', 4, FROM_311],
    ['5.0', 5, MQTT_5],
  ] as const)(
    'finds every feature of MQTT %s',
    async (_name, version, steps) => {
      const hash = formatPasswordHash(hashPassword(Buffer.from('right'), 14));
      const broker = await RealBroker.start({ auth: { users: [{ name: 'meter', hash }] } });
      try {
        const { code, out, err } = await tour(broker, version);
        expect(out.trim().split('\n'), err).toEqual(steps.map((step) => `ok ${step}`));
        expect(code, err).toBe(0);
      } finally {
        await broker.close();
      }
    },
    TOUR_MS + 10_000,
  );
});
