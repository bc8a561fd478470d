// The long form, as a program:  npm run strangers -- [SOCKETS]
// Needs twice as many open files as sockets (ulimit -n), half of them in each process. Exits with 1 when a stranger costs more than it may, or keeps others out.
import { numbersOrUsage } from '../support/numbers.ts';
import { BEHAVIOURS, type Behaviour, measure } from './sockets.ts';

export const BYTES_EACH_MAX = 64 * 1024;
export const LOGIN_MS_MAX = 1000;

const [sockets] = numbersOrUsage('npm run strangers -- [SOCKETS]', process.argv.slice(2), [10_000]);
let held = true;
for (const behaviour of Object.keys(BEHAVIOURS) as Behaviour[]) {
  const { bytesEach, loginMs, open } = await measure(behaviour, sockets);
  const ok = bytesEach <= BYTES_EACH_MAX && loginMs <= LOGIN_MS_MAX;
  held &&= ok;
  const kib = (bytesEach / 1024).toFixed(1);
  process.stdout.write(
    `${ok ? 'ok' : 'NOT OK'}: ${sockets} strangers that ${behaviour}: ${kib} KiB each, ${open} still open; a client is in after ${Math.ceil(loginMs)} ms\n`,
  );
}
process.exitCode = held ? 0 : 1;
