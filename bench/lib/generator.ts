// The load generator as a program of its own: `node dist/bench/lib/generator.js '{"port":1883,"window":1000}'` takes a
// plan as JSON (fields and defaults: load/plan.ts), runs it in this one process and thread, prints a line when the
// measured time begins (`measuring`), when it has ended (`watching`) and when the load ends (`watched`), and then one line of JSON, the report. Exit status 0 when the run is valid, 1 when it is not (the report's `failure` says why), 2 when the
// plan is wrong. A run that hangs ends itself.

import { Load } from './load/load.ts';
import { completePlan, type LoadPlan } from './load/plan.ts';

/** On top of the times in the plan: connecting, and all that a busy machine may add. */
const graceMs = 60_000;

function readPlan(): LoadPlan {
  try {
    return completePlan(JSON.parse(process.argv[2] ?? '{}') as Partial<LoadPlan>);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  }
}

const plan = readPlan();
const deadline = setTimeout(
  () => {
    process.stderr.write('the run did not end in time\n');
    process.exit(1);
  },
  Math.max(plan.warmupMs, plan.warmupMessages > 0 ? plan.warmupMsMax : 0) +
    plan.measureMs +
    plan.watchMs +
    plan.drainMs +
    plan.topics * 0.1 +
    graceMs,
);
const report = await new Load(plan, (phase) => process.stdout.write(`${phase}\n`)).run();
clearTimeout(deadline);
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(report.failure === '' ? 0 : 1));
