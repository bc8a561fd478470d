// The thread that checks passwords, one at a time, with the synchronous scrypt: it neither blocks the event loop nor takes threads from libuv's pool,
// which file and log writes wait for. Plain JavaScript, so that it runs as it stands from src and from dist.
//
// In:  { id, password, costLog2, blockSize, parallelism, salt, key }     Out: { id, matches }
import { scryptSync, timingSafeEqual } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

parentPort.on('message', ({ id, password, costLog2, blockSize: r, parallelism: p, salt, key }) => {
  const N = 2 ** costLog2;
  const derived = scryptSync(password, salt, key.length, { N, r, p, maxmem: 128 * N * r + 128 * r * p + 1024 * 1024 });
  password.fill(0);
  parentPort.postMessage({ id, matches: timingSafeEqual(derived, key) });
});
