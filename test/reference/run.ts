// The long form: `npm run reference -- N [SEED]`. Plays N scripts from SEED on, prints how many messages and bytes were compared and what they went through, and for a script that fails the shortest one
// that still does. Exits with 1 when a script failed, or when something that scripts are there for never happened.
import { numbersOrUsage } from '../support/numbers.ts';
import { Campaign } from './campaign.ts';
import { shortened } from './shorten.ts';

const [count, from] = numbersOrUsage('npm run reference -- [SCRIPTS [SEED]]', process.argv.slice(2), [1000, 1]);
const PROGRESS_MS = 30_000;
const FAILURES_MAX = 10;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

run();

function run(): void {
  const campaign = new Campaign();
  const began = performance.now();
  let told = began;
  let failures = 0;
  for (let seed = from; seed < from + count; seed++) {
    const failure = campaign.play(seed);
    if (failure !== null) {
      say(`seed ${seed}: ${failure.message}`);
      const { script, message } = shortened(failure.script);
      say(`shortened to ${script.steps.length} steps:\n${JSON.stringify(script)}\n${message}`);
      say(`to see it again: npm run reference -- 1 ${seed}`);
      process.exitCode = 1;
      if (++failures >= FAILURES_MAX) break;
    }
    if (performance.now() - told > PROGRESS_MS) {
      told = performance.now();
      say(`${seed - from + 1} of ${count} scripts`);
    }
  }
  const { scripts, packets, bytes, tally } = campaign;
  for (const [what, times] of [...tally].sort()) say(`${String(times).padStart(12)}  ${what}`);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage();
  say(
    `${scripts} scripts, ${failures} failed; ${packets} packets and frames compared, ${bytes} bytes; seeds ${from} to ${from + scripts - 1}; ${seconds.toFixed(0)} s, ${((user + system) / 1e6).toFixed(0)} s of CPU time`,
  );
  for (const what of campaign.unseen()) {
    say(`never happened: ${what}`);
    if (count >= 1000) process.exitCode = 1;
  }
}
