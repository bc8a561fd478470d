// A process that runs `sluice start` on a broker of its own making, told by its first argument how to behave. For start.test.ts.
import { start } from '../../dist/src/cli/start.js';
import { loadConfig } from '../../dist/src/config.js';
import { ListenError } from '../../dist/src/io/tcp.js';

const [behaviour, ...flags] = process.argv.slice(2);

const BROKERS = {
  good: async () => ({
    addresses: [{ name: 'mqtt', protocol: 'mqtt', host: '127.0.0.1', port: 4711 }],
    dataDir: '/var/lib/sluice',
    close: async () => undefined,
  }),
  // Its disk fails with the last that is to be written.
  failing: async () => ({ ...(await BROKERS.good()), close: () => Promise.reject(new Error('EIO: i/o error, write')) }),
  // Never gets closed: the timer keeps the process from ending by itself.
  stuck: async () => {
    setInterval(() => undefined, 1000);
    return { ...(await BROKERS.good()), close: () => new Promise(() => undefined) };
  },
  // The same, with less patience.
  slow: () => BROKERS.stuck(),
  faulty: async () => {
    setImmediate(() => {
      throw new Error('a fault');
    });
    return BROKERS.good();
  },
  rejecting: async () => {
    setImmediate(() => Promise.reject(new Error('a lost promise')));
    return BROKERS.good();
  },
  occupied: async () => {
    throw new ListenError('mqtt', '127.0.0.1', 1883, Object.assign(new Error('x'), { code: 'EADDRINUSE' }));
  },
};

const keepAlive = setInterval(() => undefined, 1000);
try {
  const loaded = loadConfig({ directory: process.cwd() });
  const drainMsMax = behaviour === 'slow' ? 100 : 10_000;
  process.exitCode = await start(
    loaded,
    { json: flags.includes('--json') },
    { launch: BROKERS[behaviour], drainMsMax },
  );
} catch (error) {
  process.stderr.write(`${error.name}: ${error.message}\n`);
  process.exitCode = 1;
}
clearInterval(keepAlive);
if (['stuck', 'slow'].includes(behaviour)) process.exit();
