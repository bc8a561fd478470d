// Makes a script that fails shorter, as long as it still fails: fewer steps, fewer messages, nothing cut.
import { type Failure, failureOf } from './campaign.ts';
import type { Script, Step } from './script.ts';

/** Attempts in all: each plays a script. */
const ATTEMPTS_MAX = 2000;

export function shortened(script: Script): Failure {
  let best = failureOf(script);
  if (best === null) throw new Error('a script that does not fail cannot be shortened');
  let attempts = 0;
  const tries = (steps: readonly Step[]): boolean => {
    if (attempts++ >= ATTEMPTS_MAX) return false;
    const failure = failureOf({ ...script, steps });
    if (failure === null) return false;
    best = failure;
    return true;
  };
  for (let size = Math.ceil(script.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = best.script.steps.length - size; at >= 0; at -= size) {
      const { steps } = best.script;
      tries([...steps.slice(0, at), ...steps.slice(at + size)]);
    }
  }
  for (let i = best.script.steps.length - 1; i >= 0; i--) {
    for (const simpler of simplerThan(best.script.steps[i]!)) {
      const { steps } = best.script;
      tries([...steps.slice(0, i), simpler(steps[i]!), ...steps.slice(i + 1)]);
    }
  }
  return best;
}

function* simplerThan(step: Step): Iterable<(step: Step) => Step> {
  if ('cut' in step) yield (now) => ({ ...now, cut: { kind: 'whole', at: 0, sizes: [], arena: false } }) as Step;
  if (step.kind !== 'publish') return;
  for (let i = step.messages.length - 1; i >= 0; i--) {
    yield (now) =>
      now.kind === 'publish' && now.messages.length > 1
        ? { ...now, messages: now.messages.filter((_, at) => at !== i) }
        : now;
  }
  yield (now) => (now.kind === 'publish' ? { ...now, acknowledging: 0, transaction: '' } : now);
}
