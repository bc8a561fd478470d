// stomp.py, the client for Python: the tour in stomp-py-tour.py, once for each version of STOMP, with a broker of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { formatPasswordHash, hashPassword } from '../../src/auth/password.ts';
import { inTime } from '../support/inbox.ts';
import { RealBroker } from '../support/real-broker.ts';
import { describeWith, requirement } from '../support/requirements.ts';

const TOUR = join(import.meta.dirname, 'stomp-py-tour.py');
/** One step takes seconds of the client's own clock. */
const TOUR_MS = 60_000;
/** Steps of a tour: one that ends early is no success. */
const STEPS = { '1.0': 13, '1.1': 15, '1.2': 15 } as const;

describeWith(['stompPy'], 'stomp.py for Python', () => {
  it.each(['1.0', '1.1', '1.2'] as const)(
    'finds every feature of STOMP %s',
    async (version) => {
      const hash = formatPasswordHash(hashPassword(Buffer.from('right'), 14));
      const broker = await RealBroker.start({
        auth: { users: [{ name: 'meter', hash }] },
        stomp: { heartBeatSendMs: 400, heartBeatReceiveMs: 1000 },
      });
      try {
        const child = spawn(requirement('stompPy').path, [TOUR, version, String(broker.ports.stomp)], {
          stdio: ['ignore', 'pipe', 'pipe'],
        });
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
        const steps = said.out.trim().split('\n');
        expect([code, steps.length], `${said.out}${said.err}`).toEqual([0, STEPS[version]]);
      } finally {
        await broker.close();
      }
    },
    TOUR_MS + 10_000,
  );
});
